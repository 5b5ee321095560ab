//! RFC 7616 §3.4.1 with MD5 or SHA-256 and `qop=auth`, written a second time: SIPp 3.6 knows MD5 in `Authorization` only, so
//! any other digest is checked here.
use md5::{Digest, Md5};
use sha2::Sha256;

/// Finds `Digest …` in `log` and computes what its `response` must be.
pub(crate) fn check(log: &str, user: &str, password: &str) -> Result<(), String> {
    let line = log
        .lines()
        .find_map(|line| line.find("Digest ").map(|at| &line[at + "Digest ".len()..]))
        .ok_or_else(|| format!("no credentials in\n{log}"))?;
    let field = |name: &str| {
        line.split(',')
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.trim_matches('"'))
            .ok_or_else(|| format!("no {name} in {line}"))
    };
    let (nonce, count, cnonce) = (field("nonce")?, field("nc")?, field("cnonce")?);
    let hex = match field("algorithm")? {
        "MD5" => hex::<Md5>,
        "SHA-256" => hex::<Sha256>,
        other => return Err(format!("a digest by {other}: {line}")),
    };
    let secret = hex(&format!("{user}:{}:{password}", field("realm")?));
    let request = hex(&format!("INVITE:{}", field("uri")?));
    let expected = hex(&format!("{secret}:{nonce}:{count}:{cnonce}:auth:{request}"));
    let told = (field("username")?, field("qop")?, field("response")?);
    if told == (user, "auth", expected.as_str()) && matches!(count, "00000001" | "00000002") {
        Ok(())
    } else {
        Err(format!("expected the response {expected}, found {line}"))
    }
}

fn hex<D: Digest>(text: &str) -> String {
    D::digest(text)
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect()
}
