//! Small header values: CSeq, RAck, Reason, and numbers.
use std::fmt;
use std::str::FromStr;

use super::{HeaderError, Method};
use crate::sip::uri::Params;
use crate::sip::wire::is_token;

/// RFC 3261 §8.1.1.5: below 2³¹.
const SEQUENCE_END: u32 = 1 << 31;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CSeq {
    pub seq: u32,
    pub method: Method,
}

/// RFC 3262 §7.2: which provisional response a PRACK acknowledges.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RAck {
    pub rseq: u32,
    pub cseq: CSeq,
}

/// RFC 3326: `Q.850;cause=16;text="Normal call clearing"`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReasonHeader {
    pub protocol: String,
    pub cause: Option<u16>,
    pub text: Option<String>,
}

/// RFC 4028 §4: who refreshes the session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refresher {
    Uac,
    Uas,
}

impl CSeq {
    #[must_use]
    pub const fn new(seq: u32, method: Method) -> Self {
        Self { seq, method }
    }
}

impl FromStr for CSeq {
    type Err = HeaderError;

    fn from_str(text: &str) -> Result<Self, HeaderError> {
        let (seq, method) = scan_cseq(text)?;
        Ok(Self {
            seq,
            method: Method::from(method),
        })
    }
}

/// `1*DIGIT LWS Method`
pub(super) fn scan_cseq(text: &str) -> Result<(u32, &str), HeaderError> {
    let malformed = |expected| HeaderError::malformed("CSeq", expected, text);
    let (seq, method) = text
        .split_once([' ', '\t'])
        .ok_or_else(|| malformed("a number and a method"))?;
    let seq = decimal(seq)
        .filter(|seq| *seq < SEQUENCE_END)
        .ok_or_else(|| malformed("a number below 2^31"))?;
    let method = method.trim_matches([' ', '\t']);
    if method.is_empty() || !method.bytes().all(is_token) {
        return Err(malformed("a method"));
    }
    Ok((seq, method))
}

impl FromStr for RAck {
    type Err = HeaderError;

    fn from_str(text: &str) -> Result<Self, HeaderError> {
        let malformed = || HeaderError::malformed("RAck", "two numbers and a method", text);
        let (rseq, cseq) = text.split_once([' ', '\t']).ok_or_else(malformed)?;
        let rseq = decimal(rseq).ok_or_else(malformed)?;
        Ok(Self {
            rseq,
            cseq: cseq.trim_start().parse().map_err(|_| malformed())?,
        })
    }
}

impl FromStr for ReasonHeader {
    type Err = HeaderError;

    fn from_str(text: &str) -> Result<Self, HeaderError> {
        let malformed = |expected| HeaderError::malformed("Reason", expected, text);
        let split = text.find(';').unwrap_or(text.len());
        let (protocol, params) = text.split_at(split);
        let protocol = protocol.trim();
        if protocol.is_empty() || !protocol.bytes().all(is_token) {
            return Err(malformed("a protocol"));
        }
        let params = Params::from_header_text(params).map_err(|error| malformed(error.expected))?;
        Ok(Self {
            protocol: protocol.to_owned(),
            cause: params.text("cause").and_then(|cause| cause.parse().ok()),
            text: params
                .text("text")
                .map(std::borrow::Cow::into_owned)
                .filter(|text| !text.is_empty()),
        })
    }
}

impl ReasonHeader {
    #[must_use]
    pub fn is_q850(&self) -> bool {
        self.protocol.eq_ignore_ascii_case("Q.850")
    }
}

impl fmt::Display for ReasonHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.protocol)?;
        if let Some(cause) = self.cause {
            write!(f, ";cause={cause}")?;
        }
        match &self.text {
            Some(text) => write!(f, ";text={}", crate::sip::wire::quote(text)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.seq, self.method)
    }
}

impl fmt::Display for RAck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.rseq, self.cseq)
    }
}

impl fmt::Display for Refresher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uac => "uac",
            Self::Uas => "uas",
        })
    }
}

/// Digits only: `u32::from_str` would let a `+` pass.
pub(super) fn decimal(text: &str) -> Option<u32> {
    let good = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if good { text.parse().ok() } else { None }
}

/// `delta-seconds` before parameters or a comment: `120 (in a meeting);duration=3600`.
pub(super) fn leading_seconds(text: &str) -> Option<u32> {
    let end = text
        .bytes()
        .position(|b| !b.is_ascii_digit())
        .unwrap_or(text.len());
    decimal(text.get(..end)?)
}
