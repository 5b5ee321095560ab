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
}
