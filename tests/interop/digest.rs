//! RFC 7616 §3.4.1 with MD5 and `qop=auth`, written a second time: SIPp 3.6 looks at `Authorization` only, so a digest in
//! `Proxy-Authorization` is checked here.
use md5::{Digest as _, Md5};

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
    let secret = hex(&format!("{user}:{}:{password}", field("realm")?));
    let request = hex(&format!("INVITE:{}", field("uri")?));
    let expected = hex(&format!("{secret}:{nonce}:{count}:{cnonce}:auth:{request}"));
    let told = (field("username")?, field("qop")?, field("response")?);
    if told == (user, "auth", expected.as_str()) && count == "00000001" {
        Ok(())
    } else {
        Err(format!("expected the response {expected}, found {line}"))
    }
}

fn hex(text: &str) -> String {
    Md5::digest(text)
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect()
}
