//! Messages for people: `--trace-sip` and `Debug`. Numbers, credentials, keys and codes are hidden.
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

impl Message {
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
            match name {
                name if HIDDEN.contains(&name) => writeln!(f, "{name}: ***")?,
                // No number of ours is ever in these, and a trace without them cannot be followed.
                "Via" | "CSeq" | "Call-ID" | "Max-Forwards" => writeln!(f, "{name}: {value}")?,
                name => writeln!(f, "{name}: {}", mask_numbers(value))?,
            }
        }
        Ok(())
    }
}

fn write_rest(f: &mut fmt::Formatter<'_>, headers: &Headers, body: &[u8]) -> fmt::Result {
    write!(f, "{headers:?}")?;
    writeln!(f, "Content-Length: {}", body.len())?;
    if body.is_empty() {
        return Ok(());
    }
    f.write_char('\n')?;
    // A body may hold dialled keys (INFO) or names; only a session description is shown, without its keys.
    if !headers.is_content_type("application/sdp") {
        return writeln!(f, "[{} octets not shown]", body.len());
    }
    for line in String::from_utf8_lossy(body).lines() {
        match line {
            line if line.starts_with("a=crypto") => writeln!(f, "a=crypto:***")?,
            line if line.starts_with("k=") => writeln!(f, "k=***")?,
            line if line.starts_with("o=") => writeln!(f, "{}", masked_origin(line.trim_end()))?,
            // Session name, information, address of a page, e-mail, telephone: a peer writes its caller there.
            line if ["s=", "i=", "u=", "e=", "p="]
                .iter()
                .any(|name| line.starts_with(name)) =>
            {
                writeln!(f, "{}", mask_numbers(line.trim_end()))?;
            }
            line => writeln!(f, "{}", line.trim_end())?,
        }
    }
    Ok(())
}

/// `o=` begins with a user name, which some peers make of the number; the rest is needed to follow offer and answer.
fn masked_origin(line: &str) -> String {
    match line.split_once(' ') {
        Some((user, rest)) => format!("{} {rest}", mask_numbers(user)),
        None => mask_numbers(line).into_owned(),
    }
}
