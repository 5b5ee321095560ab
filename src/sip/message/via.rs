//! Via (RFC 3261 §20.42, §18.2), with `received` and `rport` (RFC 3581).
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use super::HeaderError;
use crate::sip::uri::{HeaderParams, Host, HostPart, Params, host_port};
use crate::sip::wire::{cut_before, is_token};

/// RFC 3261 §8.1.1.7: branches that start so are unique over space and time.
pub const MAGIC_COOKIE: &str = "z9hG4bK";

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Via {
    /// `UDP`, `TCP`, `TLS`, …, as written.
    pub transport: String,
    pub host: Host,
    pub port: Option<u16>,
    pub params: Params,
}

struct Parts<'a> {
    transport: &'a str,
    host: HostPart<'a>,
    port: Option<u16>,
    params: &'a str,
}

impl Via {
    /// A Via of our own: asks for `rport` (RFC 3581).
    #[must_use]
    pub fn new(transport: &str, sent_by: SocketAddr, branch: &str) -> Self {
        let mut params = Params::default();
        params.set("branch", Some(branch));
        params.set("rport", None);
        Self {
            transport: transport.to_owned(),
            host: sent_by.ip().into(),
            port: Some(sent_by.port()),
            params,
        }
    }

    #[must_use]
    pub fn branch(&self) -> Option<&str> {
        self.params.get("branch").filter(|branch| !branch.is_empty())
    }

    pub fn set_branch(&mut self, branch: &str) {
        self.params.set("branch", Some(branch));
    }

    /// The address the request came from, with or without brackets around IPv6 (RFC 5118 §4.5).
    #[must_use]
    pub fn received(&self) -> Option<IpAddr> {
        let value = self.params.get("received")?;
        value.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }

    pub fn set_received(&mut self, ip: IpAddr) {
        self.params.set("received", Some(&ip.to_string()));
    }

    /// The port the request came from, once a server has filled it in.
    #[must_use]
    pub fn rport(&self) -> Option<u16> {
        self.params.get("rport")?.parse().ok()
    }

    /// The client asked for `rport`, filled in or not.
    #[must_use]
    pub fn wants_rport(&self) -> bool {
        self.params.has("rport")
    }

    pub fn set_rport(&mut self, port: u16) {
        self.params.set("rport", Some(&port.to_string()));
    }

    #[must_use]
    pub fn is_reliable(&self) -> bool {
        !self.transport.eq_ignore_ascii_case("UDP")
    }

    /// The written port, or the default of the transport.
    #[must_use]
    pub fn port_or_default(&self) -> u16 {
        self.port
            .unwrap_or(if self.transport.eq_ignore_ascii_case("TLS") {
                5061
            } else {
                5060
            })
    }

    /// What a server does with the top Via of a request (RFC 3261 §18.2.1, RFC 3581 §4): `received` when the
    /// sent-by does not tell the source, or when `rport` was asked for; `rport` filled in.
    pub fn stamp(&mut self, source: SocketAddr) {
        let told = self.host.ip() == Some(source.ip());
        if !told || self.wants_rport() {
            self.set_received(source.ip());
        }
        if self.wants_rport() {
            self.set_rport(source.port());
        }
    }

    /// Where a response on a datagram goes (RFC 3261 §18.2.2, RFC 3581 §4); `None` when only a name is known, and
    /// then the source of the request is the answer.
    #[must_use]
    pub fn response_target(&self) -> Option<SocketAddr> {
        let ip = self.received().or_else(|| self.host.ip())?;
        Some(SocketAddr::new(
            ip,
            self.rport().unwrap_or_else(|| self.port_or_default()),
        ))
    }
}

impl FromStr for Via {
    type Err = HeaderError;

    fn from_str(text: &str) -> Result<Self, HeaderError> {
        let malformed = |expected| HeaderError::malformed("Via", expected, text);
        let parts = scan(text).map_err(malformed)?;
        Ok(Self {
            transport: parts.transport.to_owned(),
            host: parts.host.into(),
            port: parts.port,
            params: Params::from_header_text(parts.params).map_err(|error| malformed(error.expected))?,
        })
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIP/2.0/{} {}", self.transport, self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write!(f, "{}", self.params)
    }
}

/// Checks one value without keeping it.
pub(super) fn check(text: &str) -> Result<(), HeaderError> {
    let malformed = |expected| HeaderError::malformed("Via", expected, text);
    let parts = scan(text).map_err(malformed)?;
    HeaderParams::new(parts.params)
        .try_for_each(|param| param.map(|_| ()))
        .map_err(|error| malformed(error.expected))
}

/// `SIP / 2.0 / UDP host : port ; params`, with space wherever RFC 3261 §25.1 allows it.
fn scan(text: &str) -> Result<Parts<'_>, &'static str> {
    let (name, rest) = token(text).ok_or("SIP/2.0/transport")?;
    let (version, rest) = slash(rest).and_then(token).ok_or("SIP/2.0/transport")?;
    let (transport, rest) = slash(rest).and_then(token).ok_or("SIP/2.0/transport")?;
    if !name.eq_ignore_ascii_case("SIP") || version != "2.0" {
        return Err("SIP/2.0");
    }
    let sent_by = rest.trim_start_matches(SPACE);
    if sent_by.len() == rest.len() {
        return Err("space before the sent-by");
    }
    let (sent_by, params) = cut_before(sent_by, b';');
    let (host, port) = spaced_host_port(sent_by.trim_matches(SPACE))?;
    Ok(Parts {
        transport,
        host,
        port,
        params,
    })
}

const SPACE: [char; 2] = [' ', '\t'];

fn token(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start_matches(SPACE);
    let end = text.bytes().position(|b| !is_token(b)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

fn slash(text: &str) -> Option<&str> {
    text.trim_start_matches(SPACE).strip_prefix('/')
}

/// Space may stand around the colon: `first.example.com : 4000`.
fn spaced_host_port(text: &str) -> Result<(HostPart<'_>, Option<u16>), &'static str> {
    if !text.contains(SPACE) {
        return host_port(text).map_err(|error| error.expected);
    }
    let (host, port) = text.rsplit_once(':').ok_or("a sent-by without space")?;
    let host = HostPart::parse(host.trim_matches(SPACE)).map_err(|error| error.expected)?;
    let port = port
        .trim_matches(SPACE)
        .parse()
        .map_err(|_| "a port below 65536")?;
    Ok((host, Some(port)))
}
