//! Finds the parts of a URI without copying, and checks them.
use std::borrow::Cow;

use super::UriError;
use super::host::HostPart;
use crate::sip::wire::{PARAMS_MAX, cut, cut_before};

pub(super) enum Parts<'a> {
    Sip(SipParts<'a>),
    Tel { number: &'a str, params: &'a str },
    Absolute { scheme: &'a str, opaque: &'a str },
}

pub(super) struct SipParts<'a> {
    pub(super) secure: bool,
    pub(super) user: Option<&'a str>,
    pub(super) password: Option<&'a str>,
    pub(super) host: HostPart<'a>,
    pub(super) port: Option<u16>,
    /// With the leading `;`.
    pub(super) params: &'a str,
    pub(super) headers: Option<&'a str>,
}

/// Checks a URI without keeping it.
pub(crate) fn check(text: &str) -> Result<(), UriError> {
    scan(text).map(|_| ())
}

pub(super) fn scan(text: &str) -> Result<Parts<'_>, UriError> {
    let bad = |b: u8| b <= b' ' || matches!(b, b'<' | b'>' | b'"' | 0x7f);
    // All of them are looked at, which the compiler does many at a time.
    if text.bytes().fold(false, |found, b| found | bad(b)) {
        return Err(UriError {
            expected: "no space, quote or bracket",
        });
    }
    let (scheme, rest) = cut(text, b':').ok_or(UriError { expected: "a scheme" })?;
    check_scheme(scheme)?;
    if scheme.eq_ignore_ascii_case("sip") {
        return sip(false, rest).map(Parts::Sip);
    }
    if scheme.eq_ignore_ascii_case("sips") {
        return sip(true, rest).map(Parts::Sip);
    }
    if scheme.eq_ignore_ascii_case("tel") {
        return tel(rest);
    }
    if rest.is_empty() {
        return Err(UriError {
            expected: "something after the scheme",
        });
    }
    Ok(Parts::Absolute { scheme, opaque: rest })
}

fn check_scheme(scheme: &str) -> Result<(), UriError> {
    let good = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    if good {
        Ok(())
    } else {
        Err(UriError { expected: "a scheme" })
    }
}

/// `[ user [ ":" password ] "@" ] host [ ":" port ] *( ";" param ) [ "?" headers ]`. The user may hold `;`, `?`
/// and `/`, so the `@` is looked for first; it occurs nowhere else unescaped.
fn sip(secure: bool, rest: &str) -> Result<SipParts<'_>, UriError> {
    let (userinfo, rest) = match cut(rest, b'@') {
        Some((userinfo, rest)) => (Some(userinfo), rest),
        None => (None, rest),
    };
    let (user, password) =
        match userinfo.map(|info| cut(info, b':').map_or((info, None), |(u, p)| (u, Some(p)))) {
            Some(("", _)) => {
                return Err(UriError {
                    expected: "a user before `@`",
                });
            }
            Some((user, password)) => (Some(user), password),
            None => (None, None),
        };
    let (rest, headers) = match cut(rest, b'?') {
        Some((rest, headers)) => (rest, Some(headers)),
        None => (rest, None),
    };
    let (authority, params) = cut_before(rest, b';');
    let (host, port) = host_port(authority)?;
    for part in [user, password, Some(params), headers].into_iter().flatten() {
        check_part(part)?;
    }
    check_params(params)?;
    if headers.is_some_and(|headers| headers.is_empty() || !headers.split('&').all(|h| h.contains('='))) {
        return Err(UriError {
            expected: "name=value headers after `?`",
        });
    }
    Ok(SipParts {
        secure,
        user,
        password,
        host,
        port,
        params,
        headers,
    })
}

fn tel(rest: &str) -> Result<Parts<'_>, UriError> {
    let (number, params) = cut_before(rest, b';');
    let digits = number.strip_prefix('+').unwrap_or(number);
    // A local number (RFC 3966 §5.1.5) may hold hex digits, `*` and `#`.
    if !digits
        .bytes()
        .any(|b| b.is_ascii_hexdigit() || matches!(b, b'*' | b'#'))
        || !digits.chars().all(is_tel_char_after_plus)
    {
        return Err(UriError {
            expected: "a telephone number",
        });
    }
    check_part(params)?;
    check_params(params)?;
    Ok(Parts::Tel { number, params })
}

pub(super) fn is_tel_char(c: char) -> bool {
    c == '+' || is_tel_char_after_plus(c)
}

const fn is_tel_char_after_plus(c: char) -> bool {
    c.is_ascii_hexdigit() || matches!(c, '*' | '#' | '-' | '.' | '(' | ')')
}

/// `host [ ":" port ]`, an IPv6 address in brackets.
pub(crate) fn host_port(text: &str) -> Result<(HostPart<'_>, Option<u16>), UriError> {
    let end = match text.strip_prefix('[') {
        Some(inner) => inner.find(']').map(|at| at + 2).ok_or(UriError {
            expected: "`]` after an IPv6 address",
        })?,
        None => cut_before(text, b':').0.len(),
    };
    let (host, rest) = text.split_at(end);
    let port = match rest.strip_prefix(':') {
        Some(digits) => Some(port(digits)?),
        None if rest.is_empty() => None,
        None => {
            return Err(UriError {
                expected: "a port after the host",
            });
        }
    };
    Ok((HostPart::parse(host)?, port))
}

pub(super) fn port(digits: &str) -> Result<u16, UriError> {
    let good = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let port = if good { digits.parse().ok() } else { None };
    port.ok_or(UriError {
        expected: "a port below 65536",
    })
}

/// Escapes are whole, and no second `@` came.
fn check_part(part: &str) -> Result<(), UriError> {
    let bytes = part.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'%' => {
                let hex = bytes
                    .get(at + 1..at + 3)
                    .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
                if !hex {
                    return Err(UriError {
                        expected: "two hex digits after `%`",
                    });
                }
            }
            b'@' => return Err(UriError { expected: "one `@`" }),
            _ => {}
        }
    }
    Ok(())
}

fn check_params(text: &str) -> Result<(), UriError> {
    let mut count = 0;
    for (name, value) in uri_params(text) {
        count += 1;
        if name.is_empty() || value.is_some_and(str::is_empty) {
            return Err(UriError {
                expected: "a name and a value in a parameter",
            });
        }
    }
    if count > PARAMS_MAX {
        Err(UriError {
            expected: "fewer parameters",
        })
    } else {
        Ok(())
    }
}

/// `text` is empty or starts with `;`.
pub(super) fn uri_params(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let mut rest = text.strip_prefix(';');
    std::iter::from_fn(move || {
        let (param, tail) = cut_before(rest?, b';');
        rest = tail.strip_prefix(';');
        Some(match cut(param, b'=') {
            Some((name, value)) => (name, Some(value)),
            None => (param, None),
        })
    })
}

/// Undoes `%HH`. Octets that are not UTF-8 are read as Latin-1.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = (first == b'%')
            .then(|| tail.first_chunk::<2>())
            .flatten()
            .and_then(|hex| octet(*hex));
        match escaped {
            Some(octet) => {
                octets.push(octet);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                octets.push(first);
                rest = tail;
            }
        }
    }
    Cow::Owned(match String::from_utf8(octets) {
        Ok(text) => text,
        Err(error) => error.into_bytes().into_iter().map(char::from).collect(),
    })
}

fn octet([high, low]: [u8; 2]) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// RFC 3261 §25.1 `user`: unreserved and user-unreserved stay, the rest is escaped.
pub(super) fn escape_user(user: &str) -> Cow<'_, str> {
    let keep = |b: u8| b.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&b);
    if user.bytes().all(keep) {
        return Cow::Borrowed(user);
    }
    let mut escaped = String::with_capacity(user.len() + 8);
    for byte in user.bytes() {
        if keep(byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push('%');
            escaped.extend([byte >> 4, byte & 15].map(|n| {
                char::from_digit(u32::from(n), 16)
                    .unwrap_or('0')
                    .to_ascii_uppercase()
            }));
        }
    }
    Cow::Owned(escaped)
}
