//! Messages for people: `--trace-sip`, `Debug` and capture servers. Numbers, credentials, keys and codes are hidden.
use std::borrow::Cow;
use std::fmt::{self, Write};

use super::{Headers, Message, Request, Response};
use crate::sip::wire::mask_numbers;

/// Values that grant access or identify by more than digits.
const HIDDEN: [&str; 7] = [
    "Authorization",
    "Proxy-Authorization",
    "WWW-Authenticate",
    "Proxy-Authenticate",
    "Authentication-Info",
    "Proxy-Authentication-Info",
    "Identity",
];

/// What a capture server is shown of telephone numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    Masked,
    Whole,
}

impl Message {
    /// The message as octets for a capture server. Credentials, keys and codes are hidden, whatever `numbers` says, and
    /// Content-Length is that of what is left of the body.
    #[must_use]
    pub fn for_capture(&self, numbers: Numbers) -> Vec<u8> {
        let (start, headers, body) = match self {
            Self::Request(request) => {
                let uri = request.uri.to_string();
                let start = format!("{} {} SIP/2.0", request.method, numbers.shown(&uri));
                (start, &request.headers, &request.body)
            }
            Self::Response(response) => {
                let start = format!("SIP/2.0 {} {}", response.status, numbers.shown(&response.reason));
                (start, &response.headers, &response.body)
            }
        };
        let mut shown_body = String::new();
        for line in shown_body_lines(headers, body, numbers) {
            shown_body.push_str(&line);
            shown_body.push_str("\r\n");
        }
        let mut text = format!("{start}\r\n");
        for (name, value) in headers.iter() {
            let value = match HIDDEN.contains(&name) {
                true => Cow::Owned(well_formed(name, value)),
                false => shown_value(name, value, numbers),
            };
            // Writing to a String cannot fail.
            let _ = write!(text, "{name}: {value}\r\n");
        }
        let _ = write!(text, "Content-Length: {}\r\n\r\n{shown_body}", shown_body.len());
        text.into_bytes()
    }

    /// The message as text with every secret masked.
    #[must_use]
    pub fn masked(&self) -> String {
        match self {
            Self::Request(request) => format!("{request:?}"),
            Self::Response(response) => format!("{response:?}"),
        }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(request) => request.fmt(f),
            Self::Response(response) => response.fmt(f),
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {:?} SIP/2.0", self.method, self.uri)?;
        write_rest(f, &self.headers, &self.body)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "SIP/2.0 {} {}", self.status, mask_numbers(&self.reason))?;
        write_rest(f, &self.headers, &self.body)
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.iter() {
            writeln!(f, "{name}: {}", shown_value(name, value, Numbers::Masked))?;
        }
        Ok(())
    }
}

impl Numbers {
    fn shown(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::Masked => mask_numbers(text),
            Self::Whole => Cow::Borrowed(text),
        }
    }
}

/// A hidden value in its field's own grammar, since a capture server parses what it gets: RFC 3261 §25.1 wants a scheme
/// before the parameters of credentials and challenges.
fn well_formed(name: &str, value: &str) -> String {
    let scheme = value.split(' ').next().unwrap_or_default();
    let known = !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric());
    match name {
        "Identity" => "***".to_owned(),
        "Authentication-Info" | "Proxy-Authentication-Info" => "hidden=\"***\"".to_owned(),
        _ if known => format!("{scheme} hidden=\"***\""),
        _ => "Digest hidden=\"***\"".to_owned(),
    }
}

fn shown_value<'a>(name: &str, value: &'a str, numbers: Numbers) -> Cow<'a, str> {
    match name {
        name if HIDDEN.contains(&name) => Cow::Borrowed("***"),
        // No number of ours is ever in these, and a trace without them cannot be followed.
        "Via" | "CSeq" | "Call-ID" | "Max-Forwards" => Cow::Borrowed(value),
        _ => numbers.shown(value),
    }
}

fn write_rest(f: &mut fmt::Formatter<'_>, headers: &Headers, body: &[u8]) -> fmt::Result {
    write!(f, "{headers:?}")?;
    writeln!(f, "Content-Length: {}", body.len())?;
    if body.is_empty() {
        return Ok(());
    }
    f.write_char('\n')?;
    for line in shown_body_lines(headers, body, Numbers::Masked) {
        writeln!(f, "{line}")?;
    }
    Ok(())
}

/// A body may hold dialled keys (INFO) or names; only a session description is shown, without its keys.
fn shown_body_lines(headers: &Headers, body: &[u8], numbers: Numbers) -> Vec<String> {
    if body.is_empty() {
        return Vec::new();
    }
    if !headers.is_content_type("application/sdp") {
        return vec![format!("[{} octets not shown]", body.len())];
    }
    String::from_utf8_lossy(body)
        .lines()
        .map(|line| shown_sdp_line(line, numbers))
        .collect()
}

fn shown_sdp_line(line: &str, numbers: Numbers) -> String {
    match line.trim_end() {
        line if line.starts_with("a=crypto") => "a=crypto:***".to_owned(),
        line if line.starts_with("k=") => "k=***".to_owned(),
        line if line.starts_with("o=") => shown_origin(line, numbers),
        // Session name, information, address of a page, e-mail, telephone: a peer writes its caller there.
        line if ["s=", "i=", "u=", "e=", "p="]
            .iter()
            .any(|name| line.starts_with(name)) =>
        {
            numbers.shown(line).into_owned()
        }
        line => line.to_owned(),
    }
}

/// `o=` begins with a user name, which some peers make of the number; the rest is needed to follow offer and answer.
fn shown_origin(line: &str, numbers: Numbers) -> String {
    match line.split_once(' ') {
        Some((user, rest)) => format!("{} {rest}", numbers.shown(user)),
        None => numbers.shown(line).into_owned(),
    }
}
