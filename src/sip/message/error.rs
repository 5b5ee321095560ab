//! Why octets are not a message we can use, and what may be answered.
use super::{Headers, Method, Response};
use crate::sip::wire::{FrameError, WireError};

/// What to do with octets that are no message.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParseError {
    /// Only line ends: a keep-alive (RFC 5626 §3.5.1). Nothing to answer on a datagram.
    #[error("expected a message, came a keep-alive")]
    KeepAlive,
    /// STUN, HTTP, noise: never answered.
    #[error("expected SIP, came something else")]
    NotSip,
    /// A response nobody can use: dropped (RFC 3261 §8.1.3.3, §16.7).
    #[error("bad response: {0}")]
    BadResponse(Fault),
    #[error("bad request: {}", .0.fault)]
    BadRequest(Box<BadRequest>),
}

/// A request that is refused without state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadRequest {
    /// 400, 413, 414, 416, 505 or 513.
    pub status: u16,
    pub fault: Fault,
    /// `None` when the request line could not be read.
    pub method: Option<Method>,
    /// Via, From, To, Call-ID and CSeq, as far as they could be read.
    pub headers: Headers,
}

impl BadRequest {
    /// The refusal; `None` where none may be sent: to an ACK, or when the fields that route and match a response
    /// did not all come.
    #[must_use]
    pub fn reply(&self, to_tag: &str) -> Option<Response> {
        super::reply::refuse(self, to_tag)
    }
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    #[error(transparent)]
    Wire(#[from] WireError),
    /// On a stream only.
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error("expected one {0}, came several")]
    Duplicate(&'static str),
    #[error("expected a CSeq of the request's method, came another")]
    MethodMismatch,
    #[error("expected a Request-URI, came something else ({expected})")]
    RequestUri { expected: &'static str },
    #[error("expected a sip, sips or tel Request-URI, came another scheme")]
    Scheme,
}

impl Fault {
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Wire(error) => error.status(),
            Self::Frame(error) => error.status(),
            Self::Scheme => 416,
            Self::Header(_) | Self::Duplicate(_) | Self::MethodMismatch | Self::RequestUri { .. } => 400,
        }
    }
}

/// A header field that is missing or cannot be read. It never carries what came whole: that may be a number.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HeaderError {
    #[error("expected a {header} header field, came none")]
    Missing { header: &'static str },
    #[error("expected {expected} in {header}, came `{came}`")]
    Malformed {
        header: &'static str,
        expected: &'static str,
        came: String,
    },
    #[error("expected fewer values of {header}")]
    TooMany { header: &'static str },
}

impl HeaderError {
    pub(super) fn malformed(header: &'static str, expected: &'static str, came: &str) -> Self {
        Self::Malformed {
            header,
            expected,
            came: excerpt(came),
        }
    }
}

/// The first characters with every digit hidden.
fn excerpt(text: &str) -> String {
    text.chars()
        .take(40)
        .map(|c| if c.is_ascii_digit() { '•' } else { c })
        .collect()
}
