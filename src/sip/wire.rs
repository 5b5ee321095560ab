//! Octets of SIP (RFC 3261 §7): the lexer in front of everything else.
//!
//! It finds the start line, the header fields and the body, and nothing more: compact names become long ones,
//! folded lines one line, `Name :` is `Name:`, lists are split at commas that stand outside quotes and `<>`.
//! Line ends may be CRLF or LF. Octets that are not UTF-8 are read as Latin-1. Unknown methods, names and reason
//! phrases pass. What a header field means is not its business.
//!
//! Invariants:
//! - Every input ends in a value or a [`WireError`]; nothing panics, nothing is copied without a bound.
//! - No value holds CR or LF, so that nothing written later can carry a smuggled line.
use std::borrow::Cow;

mod lexer;
mod list;
mod names;
mod stream;
mod token;

pub(crate) use lexer::{Content, FieldLexer, FieldName, StartLine, clean, open};
pub(crate) use list::split_list;
pub(crate) use names::{HeaderName, Shape};
pub use stream::{Frame, FrameError, StreamFramer};
pub(crate) use token::{cut, cut_before, is_token, quote, quoted_end, unquote};

/// Whole message, start line to body.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Header field lines of one message.
pub const HEADERS_MAX: usize = 128;
/// One header field with its folds, or the start line.
pub const HEADER_BYTES_MAX: usize = 8 * 1024;
pub const BODY_BYTES_MAX: usize = 16 * 1024;
/// Values of one list header, over all its lines.
pub const LIST_VALUES_MAX: usize = 128;
/// Parameters of one URI or one header value.
pub const PARAMS_MAX: usize = 64;
/// Above this a request goes over a congestion-controlled transport (RFC 3261 §18.1.1).
pub const DATAGRAM_BYTES_MAX: usize = 1300;

/// Why octets are not a message. [`WireError::status`] is the answer a request earns.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WireError {
    #[error("expected at most {MESSAGE_BYTES_MAX} octets, came {bytes}")]
    MessageTooLarge { bytes: usize },
    #[error("expected a start line of at most {HEADER_BYTES_MAX} octets, came {bytes}")]
    StartLineTooLong { bytes: usize },
    #[error("expected `Method SP Request-URI SP SIP/2.0`, came another request line")]
    RequestLine,
    #[error("expected SIP/2.0, came another version")]
    Version,
    #[error("expected a status of 100 to 699, came another status line")]
    StatusLine,
    #[error("expected at most {HEADERS_MAX} header fields, came more")]
    TooManyHeaders,
    #[error("expected a header field of at most {HEADER_BYTES_MAX} octets, came {bytes}")]
    HeaderTooLong { bytes: usize },
    #[error("expected `Name: value`, came another line")]
    NotAField,
    #[error("expected no control character, came one in a header field")]
    ControlCharacter,
    #[error("expected one Content-Length in decimal, came another value")]
    ContentLength,
    #[error("expected a body of {declared} octets, came {came}")]
    ShortBody { declared: usize, came: usize },
    #[error("expected a body of at most {BODY_BYTES_MAX} octets, came {bytes}")]
    BodyTooLarge { bytes: usize },
}

impl WireError {
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::BodyTooLarge { .. } => 413,
            Self::StartLineTooLong { .. } => 414,
            Self::Version => 505,
            Self::MessageTooLarge { .. } | Self::TooManyHeaders | Self::HeaderTooLong { .. } => 513,
            Self::RequestLine
            | Self::StatusLine
            | Self::NotAField
            | Self::ControlCharacter
            | Self::ContentLength
            | Self::ShortBody { .. } => 400,
        }
    }
}

/// Hides every run of seven or more digits but its first two and last two: no whole telephone number may reach a
/// log. Separators inside a number do not end its run.
#[must_use]
pub fn mask_numbers(text: &str) -> Cow<'_, str> {
    let mut masked: Option<Vec<char>> = None;
    let chars: Vec<char> = text.chars().collect();
    let mut run: Vec<usize> = Vec::new();
    for (at, c) in chars.iter().copied().chain([' ']).enumerate() {
        if c.is_ascii_digit() {
            run.push(at);
            continue;
        }
        if matches!(c, '-' | '(' | ')') {
            continue;
        }
        if run.len() >= 7 {
            let text = masked.get_or_insert_with(|| chars.clone());
            for hidden in run.iter().skip(2).take(run.len() - 4) {
                if let Some(c) = text.get_mut(*hidden) {
                    *c = '•';
                }
            }
        }
        run.clear();
    }
    masked.map_or(Cow::Borrowed(text), |chars| {
        Cow::Owned(chars.into_iter().collect())
    })
}

#[cfg(test)]
mod tests;
