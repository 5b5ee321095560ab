//! The host of a URI or of a Via: a name, an IPv4 address, or an IPv6 reference in brackets.
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::UriError;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Host {
    /// As written; compared without regard to case.
    Name(String),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

impl Host {
    #[must_use]
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::V4(ip) => Some(IpAddr::V4(*ip)),
            Self::V6(ip) => Some(IpAddr::V6(*ip)),
        }
    }

    /// Names without regard to case and a final dot, addresses by value.
    #[must_use]
    pub fn equivalent(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(a), Self::Name(b)) => a
                .trim_end_matches('.')
                .eq_ignore_ascii_case(b.trim_end_matches('.')),
            (a, b) => a == b,
        }
    }
}

impl From<IpAddr> for Host {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::V4(ip),
            IpAddr::V6(ip) => Self::V6(ip),
        }
    }
}

impl FromStr for Host {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        HostPart::parse(text).map(Self::from)
    }
}

/// A checked host that still borrows its text.
#[derive(Clone, Copy)]
pub(crate) enum HostPart<'a> {
    Name(&'a str),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

impl<'a> HostPart<'a> {
    /// IPv6 with brackets only: without them a port could not be told from a group (RFC 5118 §4.2).
    pub(crate) fn parse(text: &'a str) -> Result<Self, UriError> {
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or(UriError {
                expected: "`]` after an IPv6 address",
            })?;
            return v6(inner).map(Self::V6).ok_or(UriError {
                expected: "an IPv6 address",
            });
        }
        check_name(text)?;
        if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            let ip = text.parse().map_err(|_| UriError {
                expected: "an IPv4 address or a host name",
            })?;
            return Ok(Self::V4(ip));
        }
        Ok(Self::Name(text))
    }
}

/// RFC 5118 §4.10: the grammar of RFC 3261 derives a third colon before an embedded IPv4 address, and nowhere else.
fn v6(text: &str) -> Option<Ipv6Addr> {
    if let Ok(ip) = text.parse() {
        return Some(ip);
    }
    let (head, tail) = text.split_once(":::")?;
    let tail: Ipv4Addr = tail.parse().ok()?;
    if head.contains("::") {
        None
    } else {
        format!("{head}::{tail}").parse().ok()
    }
}

impl From<HostPart<'_>> for Host {
    fn from(part: HostPart<'_>) -> Self {
        match part {
            HostPart::Name(name) => Self::Name(name.to_owned()),
            HostPart::V4(ip) => Self::V4(ip),
            HostPart::V6(ip) => Self::V6(ip),
        }
    }
}

/// `_` is not in the grammar, but real names carry it.
fn check_name(text: &str) -> Result<(), UriError> {
    let good = !text.is_empty()
        && text.len() <= 255
        && !text.starts_with(['.', '-'])
        && !text.contains("..")
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if good {
        Ok(())
    } else {
        Err(UriError { expected: "a host" })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(ip) => ip.fmt(f),
            Self::V6(ip) => write!(f, "[{ip}]"),
        }
    }
}
