//! The Ed25519 seed that signs enrolment results: configured, or made once and kept beside the store.
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::AppError;
use crate::config::Config;

pub(super) fn seed(config: &Config) -> Result<[u8; 32], AppError> {
    if let Some(configured) = &config.enrollment.signing_key {
        return decode(configured.reveal(), "enrollment.signing_key");
    }
    let Some(path) = beside_the_store(&config.store.url) else {
        // A store in memory: so is its key.
        return fresh();
    };
    match std::fs::read_to_string(&path) {
        Ok(text) => decode(text.trim(), &path.display().to_string()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => create(&path),
        Err(error) => Err(AppError::Config(format!(
            "cannot read {}: {error}",
            path.display()
        ))),
    }
}

fn beside_the_store(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("sqlite:")?.trim_start_matches("//");
    let path = path.split('?').next().unwrap_or(path);
    (!path.is_empty() && path != ":memory:").then(|| PathBuf::from(format!("{path}.signing-key")))
}

fn create(path: &Path) -> Result<[u8; 32], AppError> {
    let seed = fresh()?;
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| writeln!(file, "{}", STANDARD.encode(seed)).and_then(|()| file.sync_all()));
    written.map_err(|e| AppError::Config(format!("cannot write {}: {e}", path.display())))?;
    tracing::info!(path = %path.display(), "made a key that signs enrolment results; keep it with the store");
    Ok(seed)
}

fn fresh() -> Result<[u8; 32], AppError> {
    let mut seed = [0; 32];
    crate::telemetry::entropy()?.fill(&mut seed);
    Ok(seed)
}

fn decode(text: &str, place: &str) -> Result<[u8; 32], AppError> {
    STANDARD
        .decode(text)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| AppError::Config(format!("{place}: expected 32 octets in base64 (an Ed25519 seed)")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_and_only_its_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/r.db", directory.path().display());
        let path = beside_the_store(&url).unwrap();
        let first = create(&path).unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(
            decode(std::fs::read_to_string(&path).unwrap().trim(), "x").unwrap(),
            first
        );
        assert!(create(&path).is_err(), "a key that exists is never written over");
        assert!(
            decode("c2hvcnQ=", "the file")
                .unwrap_err()
                .to_string()
                .contains("the file: expected 32 octets")
        );
    }
}
