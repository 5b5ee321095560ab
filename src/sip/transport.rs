//! Where a message goes: transport, address, and the name that the peer must prove (RFC 3261 §18, RFC 3263 §4).
use std::fmt;
use std::net::SocketAddr;

use super::transaction::timer::Reliability;

/// Transport of a hop, as its Via names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum SipTransport {
    #[default]
    Udp,
    Tcp,
    Tls,
}

impl SipTransport {
    #[must_use]
    pub const fn reliability(self) -> Reliability {
        match self {
            Self::Udp => Reliability::Unreliable,
            Self::Tcp | Self::Tls => Reliability::Reliable,
        }
    }

    #[must_use]
    pub const fn is_stream(self) -> bool {
        matches!(self, Self::Tcp | Self::Tls)
    }

    /// The token of a Via: `UDP`.
    #[must_use]
    pub const fn via_name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }

    /// The value of a `transport` parameter and the prefix of a listener: `udp`.
    #[must_use]
    pub const fn param(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }

    /// Reads a `transport` parameter or the transport of a Via.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Udp, Self::Tcp, Self::Tls]
            .into_iter()
            .find(|transport| transport.param().eq_ignore_ascii_case(name))
    }

    /// RFC 3261 §19.1.2: 5061 for TLS, else 5060.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
        }
    }
}

/// One way to reach a server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Destination {
    pub transport: SipTransport,
    pub address: SocketAddr,
    /// Name of the target as configured, before any lookup: a TLS certificate is checked against it (RFC 5922 §7.1).
    pub host: String,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} ({})", self.transport.param(), self.address, self.host)
    }
}

/// A request longer than this leaves UDP where it may (RFC 3261 §18.1.1).
pub const DATAGRAM_REQUEST_MAX: usize = 1300;

/// The octets are those of a response.
#[must_use]
pub fn is_response(octets: &[u8]) -> bool {
    octets.starts_with(b"SIP/2.0 ")
}

/// The branch of the topmost Via, in octets that this program wrote: long names, one field a line.
#[must_use]
pub fn top_branch(octets: &[u8]) -> Option<&str> {
    let line = octets.get(top_via(octets)?)?;
    let (_, value) = std::str::from_utf8(line).ok()?.split_once(";branch=")?;
    value
        .split([';', ',', ' '])
        .next()
        .filter(|branch| !branch.is_empty())
}

/// The transport of the topmost Via, in octets that this program wrote.
#[must_use]
pub fn top_transport(octets: &[u8]) -> Option<SipTransport> {
    let line = octets.get(top_via(octets)?)?.get(VIA_START.len()..)?;
    let name = line.split(|octet| *octet == b' ').next()?;
    SipTransport::from_name(std::str::from_utf8(name).ok()?)
}

/// The same request as it leaves over another transport: its Via says so.
#[must_use]
pub fn over(transport: SipTransport, octets: &[u8]) -> Option<Vec<u8>> {
    let line = top_via(octets)?;
    let at = line.start + VIA_START.len();
    let end = at
        + octets
            .get(at..line.end)?
            .iter()
            .position(|octet| *octet == b' ')?;
    let mut moved = octets.get(..at)?.to_vec();
    moved.extend_from_slice(transport.via_name().as_bytes());
    moved.extend_from_slice(octets.get(end..)?);
    Some(moved)
}

const VIA_START: &[u8] = b"Via: SIP/2.0/";

/// Where the first Via line is, without its line end.
fn top_via(octets: &[u8]) -> Option<std::ops::Range<usize>> {
    let start = octets
        .windows(VIA_START.len())
        .position(|four| four == VIA_START)?;
    let after_line = start == 0 || octets.get(start - 1) == Some(&b'\n');
    let length = octets.get(start..)?.iter().position(|octet| *octet == b'\r')?;
    after_line.then_some(start..start + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transport_reads_its_own_names() {
        for transport in [SipTransport::Udp, SipTransport::Tcp, SipTransport::Tls] {
            assert_eq!(SipTransport::from_name(transport.param()), Some(transport));
            assert_eq!(SipTransport::from_name(transport.via_name()), Some(transport));
        }
        assert_eq!(SipTransport::from_name("sctp"), None);
        assert_eq!(SipTransport::Tls.default_port(), 5061);
    }

    #[test]
    fn a_request_that_changes_its_transport_keeps_its_branch_and_all_else() {
        let invite = b"INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx;rport\r\n\
            Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKold\r\nCall-ID: c\r\n\r\n";
        let moved = over(SipTransport::Tcp, invite).unwrap();
        let text = String::from_utf8(moved.clone()).unwrap();
        assert!(
            text.contains("Via: SIP/2.0/TCP 192.0.2.1:5060;branch=z9hG4bKx;rport\r\n"),
            "{text}"
        );
        assert!(text.contains("Via: SIP/2.0/UDP 192.0.2.9;"), "{text}");
        assert_eq!(moved.len(), invite.len());
        assert_eq!(
            (top_branch(invite), top_branch(&moved)),
            (Some("z9hG4bKx"), Some("z9hG4bKx"))
        );
        assert_eq!(
            top_branch(b"INVITE sip:a@b SIP/2.0\r\nX-Via: SIP/2.0/UDP x;branch=y\r\n\r\n"),
            None
        );
        assert_eq!(
            (top_transport(invite), top_transport(&moved)),
            (Some(SipTransport::Udp), Some(SipTransport::Tcp))
        );
        assert!(is_response(b"SIP/2.0 200 OK\r\n") && !is_response(invite));
    }
}
