//! Messages as text, written by hand.
use std::net::SocketAddr;

use ringproof::sip::message::Request;

/// Value of `;name=value` in a header line, outside of `<…>`.
pub(super) fn param<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let outside = line.rsplit_once('>').map_or(line, |(_, rest)| rest);
    outside.split(';').skip(1).find_map(|part| {
        let (key, value) = part.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// What stands between `<` and `>`, or the line without its parameters.
pub(super) fn uri(line: &str) -> String {
    match line.split_once('<').and_then(|(_, rest)| rest.split_once('>')) {
        Some((uri, _)) => uri.to_owned(),
        None => line.split(';').next().unwrap_or_default().trim().to_owned(),
    }
}

fn phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        183 => "Session Progress",
        200 => "OK",
        487 => "Request Terminated",
        _ => "As Scripted",
    }
}

/// The status line may bring a phrase of its own.
pub(super) fn response_with_phrase(
    request: &Request,
    source: SocketAddr,
    (status, own_phrase): (u16, Option<&str>),
    tag: Option<&str>,
    extra: &[(&str, String)],
    sdp: Option<&str>,
) -> Vec<u8> {
    let mut text = format!(
        "SIP/2.0 {status} {}\r\n",
        own_phrase.unwrap_or_else(|| phrase(status))
    );
    for (index, via) in request.headers.lines("Via").enumerate() {
        let stamped = if index == 0 {
            stamp(via, source)
        } else {
            via.to_owned()
        };
        text.push_str(&format!("Via: {stamped}\r\n"));
    }
    let get = |name: &str| request.headers.get(name).unwrap_or_default().to_owned();
    let to = get("To");
    let to = match (param(&to, "tag"), tag) {
        (None, Some(tag)) => format!("{to};tag={tag}"),
        _ => to,
    };
    text.push_str(&format!("From: {}\r\nTo: {to}\r\n", get("From")));
    text.push_str(&format!(
        "Call-ID: {}\r\nCSeq: {}\r\n",
        get("Call-ID"),
        get("CSeq")
    ));
    finish(text, extra, sdp)
}

pub(super) fn response(
    request: &Request,
    source: SocketAddr,
    status: u16,
    tag: Option<&str>,
    extra: &[(&str, String)],
    sdp: Option<&str>,
) -> Vec<u8> {
    response_with_phrase(request, source, (status, None), tag, extra, sdp)
}

/// A request in a dialog that an INVITE of ours made.
pub(super) struct InDialog<'a> {
    pub(super) method: &'a str,
    pub(super) uri: &'a str,
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    pub(super) call_id: &'a str,
    pub(super) seq: u32,
    pub(super) branch: &'a str,
    pub(super) local: SocketAddr,
}

impl InDialog<'_> {
    pub(super) fn to_bytes(&self, extra: &[(&str, String)], sdp: Option<&str>) -> Vec<u8> {
        let text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch={branch};rport\r\nMax-Forwards: 70\r\n\
             From: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {seq} {method}\r\n",
            method = self.method,
            uri = self.uri,
            local = self.local,
            branch = self.branch,
            from = self.from,
            to = self.to,
            call_id = self.call_id,
            seq = self.seq,
        );
        finish(text, extra, sdp)
    }
}

fn finish(mut text: String, extra: &[(&str, String)], sdp: Option<&str>) -> Vec<u8> {
    for (name, value) in extra {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    let has_type = extra.iter().any(|(name, _)| *name == "Content-Type");
    let body = sdp.unwrap_or_default();
    if !body.is_empty() && !has_type {
        text.push_str("Content-Type: application/sdp\r\n");
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    text.into_bytes()
}

/// RFC 3581: where the request really came from.
fn stamp(via: &str, source: SocketAddr) -> String {
    let parts = via.split(';').map(|part| match part.trim() {
        "rport" => format!("rport={};received={}", source.port(), source.ip()),
        other => other.to_owned(),
    });
    parts.collect::<Vec<_>>().join(";")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_outside_of_the_uri_only() {
        let line = "\"A\" <sip:+1;tag=no@192.0.2.1;user=phone>;tag=yes";
        assert_eq!(param(line, "tag"), Some("yes"));
        assert_eq!(param("<sip:a@b;tag=no>", "tag"), None);
        assert_eq!(uri(line), "sip:+1;tag=no@192.0.2.1;user=phone");
        let source = SocketAddr::from(([192, 0, 2, 1], 5061));
        assert_eq!(
            stamp("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx;rport", source),
            "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx;rport=5061;received=192.0.2.1"
        );
    }
}
