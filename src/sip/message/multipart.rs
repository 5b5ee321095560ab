//! One part of a body (RFC 5621, RFC 2046 §5.1): carriers send SDP beside ISUP or a location in `multipart/mixed`.
use super::{Headers, Message, Request, Response};
use crate::sip::uri::Params;

/// Parts looked at in one body, nested ones not at all.
const PARTS_MAX: usize = 8;

impl Request {
    /// The body, or the first part of it, of that media type.
    #[must_use]
    pub fn body_of_type(&self, media_type: &str) -> Option<&[u8]> {
        body_of_type(&self.headers, &self.body, media_type)
    }
}

impl Response {
    /// The body, or the first part of it, of that media type.
    #[must_use]
    pub fn body_of_type(&self, media_type: &str) -> Option<&[u8]> {
        body_of_type(&self.headers, &self.body, media_type)
    }
}

impl Message {
    /// The session description of this message.
    #[must_use]
    pub fn sdp(&self) -> Option<&[u8]> {
        body_of_type(self.headers(), self.body(), "application/sdp")
    }
}

fn body_of_type<'a>(headers: &Headers, body: &'a [u8], media_type: &str) -> Option<&'a [u8]> {
    if body.is_empty() {
        return None;
    }
    let content = headers.content_type()?;
    if content.eq_ignore_ascii_case(media_type) {
        return Some(body);
    }
    if !content.get(..10)?.eq_ignore_ascii_case("multipart/") {
        return None;
    }
    let params = headers
        .get("Content-Type")
        .and_then(|line| line.get(line.find(';')?..))?;
    let params = Params::from_header_text(params).ok()?;
    let boundary = params.text("boundary").filter(|boundary| !boundary.is_empty())?;
    parts(body, boundary.as_bytes())
        .take(PARTS_MAX)
        .find_map(|part| part_of_type(part, media_type))
}

/// What lies between `CRLF--boundary` lines.
fn parts<'a, 'b>(body: &'a [u8], boundary: &'b [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a, 'b> {
    let mut rest = delimiter(body, boundary).map(|(_, rest)| rest);
    std::iter::from_fn(move || {
        let (part, after) = delimiter(rest?, boundary)?;
        rest = (!after.starts_with(b"--")).then_some(after);
        Some(part)
    })
}

/// The octets before the next delimiter, and those after its line end.
fn delimiter<'a>(text: &'a [u8], boundary: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let mut at = 0;
    loop {
        let line = text.get(at..)?;
        let end = line
            .iter()
            .position(|b| *b == b'\n')
            .map_or(line.len(), |feed| feed + 1);
        if line.is_empty() {
            return None;
        }
        if let Some(after) = line
            .strip_prefix(b"--")
            .and_then(|line| line.strip_prefix(boundary))
        {
            let before = text.get(..at)?;
            let before = before.strip_suffix(b"\n").unwrap_or(before);
            let before = before.strip_suffix(b"\r").unwrap_or(before);
            let last = after.starts_with(b"--");
            return Some((before, if last { after } else { line.get(end..)? }));
        }
        at += end;
    }
}

fn part_of_type<'a>(part: &'a [u8], media_type: &str) -> Option<&'a [u8]> {
    let mut rest = part;
    let mut found = false;
    loop {
        let end = rest.iter().position(|b| *b == b'\n')?;
        let line = rest.get(..end)?.trim_ascii();
        rest = rest.get(end + 1..)?;
        if line.is_empty() {
            return found.then_some(rest);
        }
        let colon = line.iter().position(|b| *b == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default();
        let value = value
            .split(|b| *b == b';')
            .next()
            .unwrap_or_default()
            .trim_ascii();
        found |= name.trim_ascii().eq_ignore_ascii_case(b"Content-Type")
            && value.eq_ignore_ascii_case(media_type.as_bytes());
    }
}
