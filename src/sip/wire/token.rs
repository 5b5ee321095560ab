//! Tokens and quoted strings (RFC 3261 §25.1).
use std::borrow::Cow;

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~'
            );
        byte += 1;
    }
    table
};

pub(crate) const fn is_token(byte: u8) -> bool {
    TOKEN[byte as usize]
}

/// What stands before and after the first `byte`, an ASCII one.
pub(crate) fn cut(text: &str, byte: u8) -> Option<(&str, &str)> {
    let at = text.bytes().position(|b| b == byte)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// What stands before the first `byte`, an ASCII one, and the rest that begins with it.
pub(crate) fn cut_before(text: &str, byte: u8) -> (&str, &str) {
    let at = text.bytes().position(|b| b == byte).unwrap_or(text.len());
    text.split_at(at)
}

/// The length of the quoted string that `text` starts with, both quotes counted.
pub(crate) fn quoted_end(text: &str) -> Option<usize> {
    let mut bytes = text.bytes().enumerate().skip(1);
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Some(at + 1),
            b'\\' => {
                bytes.next()?;
            }
            _ => {}
        }
    }
    None
}

/// The text of a quoted string; anything else is returned as it is.
pub(crate) fn unquote(text: &str) -> Cow<'_, str> {
    let Some(inner) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else {
        return Cow::Borrowed(text);
    };
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    Cow::Owned(plain)
}

/// A quoted string that reads back as `text`. CR and LF cannot be quoted (RFC 3261 §25.1) and become spaces.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\r' | '\n' => quoted.push(' '),
            c if c.is_ascii_control() && c != '\t' => quoted.extend(['\\', c]),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
