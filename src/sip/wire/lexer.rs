//! One message in memory → start line, header fields, body.
use std::borrow::Cow;

use super::{BODY_BYTES_MAX, HEADER_BYTES_MAX, HeaderName, WireError, is_token};

pub(crate) enum StartLine<'a> {
    Request {
        method: &'a str,
        uri: &'a str,
    },
    Response {
        status: u16,
        reason: Cow<'a, str>,
    },
    /// Surely meant as a request, so that an answer may be owed, but not one we can read.
    BadRequest(WireError),
    BadResponse(WireError),
}

/// Reads the start line. `None` when the octets are not SIP at all.
pub(crate) fn open(bytes: &[u8]) -> Option<(StartLine<'_>, FieldLexer<'_>)> {
    let (line, rest) = split_line(bytes);
    let fields = FieldLexer { rest };
    if line
        .get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/"))
    {
        let start = status_line(line).unwrap_or(StartLine::BadResponse(WireError::StatusLine));
        return Some((start, fields));
    }
    request_line(line).map(|start| (start, fields))
}

/// `SIP/2.0 SP 3DIGIT SP reason`; the reason and the space before it may be missing.
fn status_line(line: &[u8]) -> Option<StartLine<'_>> {
    if line.len() > HEADER_BYTES_MAX {
        return Some(StartLine::BadResponse(WireError::StartLineTooLong {
            bytes: line.len(),
        }));
    }
    let rest = strip_version(line)?.trim_ascii_start();
    let (digits, rest) = rest.split_at_checked(3)?;
    if !digits.iter().all(u8::is_ascii_digit) || !matches!(rest.first(), None | Some(b' ' | b'\t')) {
        return None;
    }
    let status = digits
        .iter()
        .fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
    if !(100..700).contains(&status) {
        return None;
    }
    Some(StartLine::Response {
        status,
        reason: trimmed(clean(text(rest))),
    })
}

fn strip_version(line: &[u8]) -> Option<&[u8]> {
    let (version, rest) = line.split_at_checked(7)?;
    (version.eq_ignore_ascii_case(b"SIP/2.0") && rest.first() == Some(&b' ')).then_some(rest)
}

/// `Method SP Request-URI SP SIP/2.0`. More space than one is forgiven around the URI, none inside it.
fn request_line(line: &[u8]) -> Option<StartLine<'_>> {
    let line = line.trim_ascii_end();
    let space = line.iter().rposition(|b| *b == b' ')?;
    let (head, version) = (line.get(..space)?, line.get(space + 1..)?);
    if !version
        .get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/"))
    {
        return None;
    }
    let method_end = head.iter().position(|b| *b == b' ').unwrap_or(head.len());
    let (method, uri) = head.split_at_checked(method_end)?;
    if method.is_empty() || !method.iter().copied().all(is_token) {
        return Some(StartLine::BadRequest(WireError::RequestLine));
    }
    if line.len() > HEADER_BYTES_MAX {
        return Some(StartLine::BadRequest(WireError::StartLineTooLong {
            bytes: line.len(),
        }));
    }
    if !version.eq_ignore_ascii_case(b"SIP/2.0") {
        return Some(StartLine::BadRequest(WireError::Version));
    }
    let good = (std::str::from_utf8(method), std::str::from_utf8(uri.trim_ascii()));
    Some(match good {
        (Ok(method), Ok(uri)) => StartLine::Request { method, uri },
        _ => StartLine::BadRequest(WireError::RequestLine),
    })
}

pub(crate) enum FieldName<'a> {
    Known(HeaderName),
    Other(&'a str),
}

/// Walks the header fields; afterwards [`FieldLexer::body`] is what follows the empty line.
pub(crate) struct FieldLexer<'a> {
    rest: &'a [u8],
}

impl<'a> FieldLexer<'a> {
    /// Valid once the iterator has ended.
    pub(crate) const fn body(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for FieldLexer<'a> {
    type Item = Result<(FieldName<'a>, Cow<'a, str>), WireError>;

    /// An error is of one line: the walk goes on behind it, so that Via can still be found for an answer.
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let start = self.rest;
        let (line, mut rest) = split_line(start);
        if line.is_empty() {
            self.rest = rest;
            return None;
        }
        let mut folded = false;
        while matches!(rest.first(), Some(b' ' | b'\t')) {
            folded = true;
            rest = split_line(rest).1;
        }
        self.rest = rest;
        if !folded {
            return Some(field(line));
        }
        let whole = start.get(..start.len() - rest.len()).unwrap_or_default();
        Some(if whole.len() > HEADER_BYTES_MAX {
            Err(WireError::HeaderTooLong { bytes: whole.len() })
        } else {
            folded_field(whole)
        })
    }
}

fn field(line: &[u8]) -> Result<(FieldName<'_>, Cow<'_, str>), WireError> {
    if line.len() > HEADER_BYTES_MAX {
        return Err(WireError::HeaderTooLong { bytes: line.len() });
    }
    let (name, value) = split_field(line)?;
    let value = value.trim_ascii();
    check_controls(value)?;
    let value = text(value);
    check_length(&name, &value)?;
    Ok((name, value))
}

/// As it would be written: a compact name grows, Latin-1 doubles, and what we send must be short enough to be read.
fn check_length(name: &FieldName<'_>, value: &str) -> Result<(), WireError> {
    let name = match name {
        FieldName::Known(known) => known.as_str(),
        FieldName::Other(name) => name,
    };
    let bytes = name.len() + ": ".len() + value.len();
    if bytes > HEADER_BYTES_MAX {
        return Err(WireError::HeaderTooLong { bytes });
    }
    Ok(())
}

/// RFC 3261 §7.3.1: a line that starts with space goes on with the one before; the fold is one space.
fn folded_field(whole: &[u8]) -> Result<(FieldName<'_>, Cow<'_, str>), WireError> {
    let (name, value) = split_field(whole)?;
    let mut joined = Vec::with_capacity(value.len());
    for line in value
        .split(|b| *b == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty())
    {
        if !joined.is_empty() {
            joined.push(b' ');
        }
        joined.extend_from_slice(line);
    }
    check_controls(&joined)?;
    let value = text(&joined).into_owned();
    check_length(&name, &value)?;
    Ok((name, Cow::Owned(value)))
}

/// Space is allowed before the colon (RFC 3261 §25.1 HCOLON), not before the name.
fn split_field(line: &[u8]) -> Result<(FieldName<'_>, &[u8]), WireError> {
    let colon = line
        .iter()
        .position(|b| !is_token(*b))
        .ok_or(WireError::NotAField)?;
    let (name, rest) = line.split_at(colon);
    let Some((b':', value)) = rest.trim_ascii_start().split_first() else {
        return Err(WireError::NotAField);
    };
    if name.is_empty() {
        return Err(WireError::NotAField);
    }
    let name = match HeaderName::find(name) {
        Some(known) => FieldName::Known(known),
        None => FieldName::Other(std::str::from_utf8(name).map_err(|_| WireError::NotAField)?),
    };
    Ok((name, value))
}

/// Control characters stand only behind a backslash in a quoted string (`quoted-pair`); CR and LF nowhere.
fn check_controls(value: &[u8]) -> Result<(), WireError> {
    let control = |b: u8| (b < b' ' && b != b'\t') || b == 0x7f;
    if !value.iter().fold(false, |found, b| found | control(*b)) {
        return Ok(());
    }
    let (mut quoted, mut escaped) = (false, false);
    for byte in value.iter().copied() {
        match byte {
            b'\r' | b'\n' => return Err(WireError::ControlCharacter),
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if control(byte) => return Err(WireError::ControlCharacter),
            _ => {}
        }
    }
    Ok(())
}

/// The line without its end, and what follows. The last line may lack an end.
fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let Some(end) = memchr::memchr(b'\n', bytes) else {
        return (bytes, &[]);
    };
    let (line, rest) = bytes.split_at(end);
    (
        line.strip_suffix(b"\r").unwrap_or(line),
        rest.get(1..).unwrap_or_default(),
    )
}

/// UTF-8 where it is UTF-8, else Latin-1: one stray octet in a display name must not cost a call.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().copied().map(char::from).collect()),
    }
}

/// Replaces what would end or break a line by a space.
pub(crate) fn clean(text: Cow<'_, str>) -> Cow<'_, str> {
    if !text.bytes().any(|b| (b < b' ' && b != b'\t') || b == 0x7f) {
        return text;
    }
    Cow::Owned(
        text.chars()
            .map(|c| if c.is_ascii_control() && c != '\t' { ' ' } else { c })
            .collect(),
    )
}

/// Cleaned text may begin or end with what was a control character.
fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim_ascii()),
        Cow::Owned(text) => Cow::Owned(text.trim_ascii().to_owned()),
    }
}

/// What Content-Length says about the octets after the empty line of a datagram.
pub(crate) struct Content(Option<usize>);

impl Content {
    pub(crate) const fn unknown() -> Self {
        Self(None)
    }

    pub(crate) fn declare(&mut self, value: &str) -> Result<(), WireError> {
        let good = !value.is_empty() && value.len() <= 10 && value.bytes().all(|b| b.is_ascii_digit());
        let length = if good { value.parse().ok() } else { None };
        self.0 = Some(length.ok_or(WireError::ContentLength)?);
        Ok(())
    }

    /// RFC 3261 §18.3: octets beyond the declared length are cut, too few are an error; without a length the
    /// body is all that came.
    pub(crate) fn cut(self, rest: &[u8]) -> Result<&[u8], WireError> {
        let declared = self.0.unwrap_or(rest.len());
        if declared > BODY_BYTES_MAX {
            return Err(WireError::BodyTooLarge { bytes: declared });
        }
        rest.get(..declared).ok_or(WireError::ShortBody {
            declared,
            came: rest.len(),
        })
    }
}
