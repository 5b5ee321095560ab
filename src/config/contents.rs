//! What the certificate files hold when the configuration is read: the same names may stand for others a month later.
use std::collections::BTreeMap;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::types::*;

/// Larger is no certificate.
const FILE_OCTETS_MAX: u64 = 1 << 20;

/// Hash of each file that could be read, by its dotted key and name. Whoever uses a file says when it cannot be read.
pub type Contents = BTreeMap<(String, PathBuf), [u8; 32]>;

pub(super) fn contents(config: &Config) -> Contents {
    let mut files: Vec<(String, &PathBuf)> = Vec::new();
    if let Some(tls) = &config.sip.tls {
        files.extend(of_identity("sip.tls", Some(&tls.identity)));
        files.extend(named("sip.tls.client_ca_file", tls.client_ca_file.as_ref()));
    }
    for trunk in &config.trunks {
        let path = format!("trunk.{}.tls", trunk.name);
        files.extend(of_identity(&path, trunk.tls.identity.as_ref()));
        files.extend(named(&format!("{path}.ca_file"), trunk.tls.ca_file.as_ref()));
    }
    let hashed = |(key, file): (String, &PathBuf)| {
        let size = std::fs::metadata(file).ok()?.len();
        let octets = (size <= FILE_OCTETS_MAX).then(|| std::fs::read(file).ok())??;
        Some(((key, file.clone()), Sha256::digest(octets).into()))
    };
    files.into_iter().filter_map(hashed).collect()
}

/// Keys whose file has the same name and holds something else.
pub(super) fn changed(running: &Contents, new: &Contents) -> Vec<String> {
    let both = new
        .iter()
        .filter_map(|(of, hash)| Some((of, hash, running.get(of)?)));
    both.filter(|(_, hash, old)| hash != old)
        .map(|((key, _), _, _)| format!("{key} (contents)"))
        .collect()
}

fn of_identity<'a>(path: &str, identity: Option<&'a TlsIdentity>) -> Vec<(String, &'a PathBuf)> {
    let files = |identity: &'a TlsIdentity| {
        vec![
            (format!("{path}.cert_file"), &identity.cert_file),
            (format!("{path}.key_file"), &identity.key_file),
        ]
    };
    identity.map(files).unwrap_or_default()
}

fn named<'a>(key: &str, file: Option<&'a PathBuf>) -> Option<(String, &'a PathBuf)> {
    file.map(|file| (key.to_owned(), file))
}
