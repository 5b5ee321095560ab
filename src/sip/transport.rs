//! Transports of SIP, and a place that a message may be sent to (RFC 3261 §18, RFC 3263).
use std::net::SocketAddr;

/// How the octets travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SipTransport {
    Udp,
    Tcp,
    Tls,
}

/// One place to send to, found by RFC 3263.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination {
    pub transport: SipTransport,
    pub address: SocketAddr,
    /// Name or address as it was configured: what a certificate must name (RFC 5922 §4).
    pub host: String,
}
