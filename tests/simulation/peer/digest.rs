//! Whether an Authorization value answers a challenge with the right password: RFC 2617 §3.2.2 with MD5.
use md5::{Digest, Md5};

use ringproof::sip::message::Request;

pub(super) const REALM: &str = "sim.example";
pub(super) const USER: &str = "ringproof";

pub(super) fn challenge(nonce: &str, with_qop: bool, stale: bool) -> String {
    let qop = if with_qop { ", qop=\"auth\"" } else { "" };
    let stale = if stale { ", stale=true" } else { "" };
    format!("Digest realm=\"{REALM}\", nonce=\"{nonce}\", algorithm=MD5{qop}{stale}")
}

/// Says what is wrong with the credentials of `request`; `None` when they are right.
pub(super) fn fault(request: &Request, value: &str, nonce: &str, password: &str) -> Option<String> {
    let get = |name: &str| field(value, name).unwrap_or_default();
    if (get("username"), get("realm"), get("nonce")) != (USER.to_owned(), REALM.to_owned(), nonce.to_owned())
    {
        return Some("credentials for another user, realm or nonce".to_owned());
    }
    let uri = get("uri");
    if uri != request.uri.to_string() {
        return Some(format!("digest uri {uri} is not the Request-URI"));
    }
    let ha1 = hex(&format!("{USER}:{REALM}:{password}"));
    let ha2 = hex(&format!("{}:{uri}", request.method));
    let expected = match field(value, "qop") {
        Some(qop) => hex(&format!(
            "{ha1}:{nonce}:{}:{}:{qop}:{ha2}",
            get("nc"),
            get("cnonce")
        )),
        None => hex(&format!("{ha1}:{nonce}:{ha2}")),
    };
    (expected != get("response")).then(|| "the digest is wrong".to_owned())
}

fn field(value: &str, name: &str) -> Option<String> {
    let rest = value.strip_prefix("Digest ")?;
    rest.split(',').find_map(|part| {
        let (key, value) = part.trim().split_once('=')?;
        (key == name).then(|| value.trim_matches('"').to_owned())
    })
}

fn hex(text: &str) -> String {
    Md5::digest(text.as_bytes())
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_rfc_1321() {
        assert_eq!(hex("abc"), "900150983cd24fb0d6963f7d28e17f72");
    }
}
