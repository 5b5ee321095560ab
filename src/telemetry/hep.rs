//! PURE: one SIP message as a packet of HEP version 3, for HOMER and other capture servers.
//!
//! By the public specification of HEP/EEP (github.com/sipcapture/HEP): `HEP3`, the length of the whole in two octets, then
//! chunks of vendor, type, length (its own six octets included) and value, all in network order.
//!
//! ```text
//! 1 family · 2 protocol · 3/4 or 5/6 addresses · 7/8 ports · 9/10 time · 11 payload type · 12 agent · 14 key · 17 Call-ID · 15 message
//! ```
//! What it does not: sockets, clock, and what may be shown of a message: the payload comes as it shall be seen.
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// Longest payload of a UDP datagram over IPv4.
pub(super) const PACKET_OCTETS_MAX: usize = 65_507;

const CHUNK_HEAD_OCTETS: usize = 6;
/// Chunks whose meaning the specification itself fixes.
const VENDOR_GENERIC: u16 = 0;
/// AF_INET and AF_INET6 as the specification numbers them.
const FAMILY_IPV4: u8 = 2;
const FAMILY_IPV6: u8 = 10;
const PAYLOAD_SIP: u8 = 1;

/// How the message travelled, by its IP protocol number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IpProtocol {
    /// TLS too: the payload is what was inside.
    Tcp,
    Udp,
}

/// A packet would not fit into a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a HEP packet of at most {PACKET_OCTETS_MAX} octets, came {0}")]
pub(super) struct TooLong(usize);

/// Everything that one packet says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packet<'a> {
    pub(super) protocol: IpProtocol,
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) since_epoch: Duration,
    pub(super) agent_id: u32,
    /// The capture server's key.
    pub(super) password: Option<&'a str>,
    /// What joins the packets of one call: its Call-ID.
    pub(super) correlation_id: &'a str,
    pub(super) payload: &'a [u8],
}

impl Packet<'_> {
    pub(super) fn encode(&self) -> Result<Vec<u8>, TooLong> {
        let mut out = Vec::with_capacity(128 + self.correlation_id.len() + self.payload.len());
        out.extend(b"HEP3\0\0");
        self.addresses(&mut out);
        let seconds = u32::try_from(self.since_epoch.as_secs()).unwrap_or(u32::MAX);
        chunk(&mut out, 0x0009, &seconds.to_be_bytes());
        chunk(&mut out, 0x000a, &self.since_epoch.subsec_micros().to_be_bytes());
        chunk(&mut out, 0x000b, &[PAYLOAD_SIP]);
        chunk(&mut out, 0x000c, &self.agent_id.to_be_bytes());
        if let Some(password) = self.password {
            chunk(&mut out, 0x000e, password.as_bytes());
        }
        chunk(&mut out, 0x0011, self.correlation_id.as_bytes());
        chunk(&mut out, 0x000f, self.payload);
        let octets = out.len();
        // What fits into a datagram fits into the two octets of every length.
        let length = u16::try_from(octets).map_err(|_| TooLong(octets))?;
        if octets > PACKET_OCTETS_MAX {
            return Err(TooLong(octets));
        }
        if let Some(place) = out.get_mut(4..6) {
            place.copy_from_slice(&length.to_be_bytes());
        }
        Ok(out)
    }

    fn addresses(&self, out: &mut Vec<u8>) {
        let protocol = match self.protocol {
            IpProtocol::Tcp => 6,
            IpProtocol::Udp => 17,
        };
        let ends = (
            self.source.ip().to_canonical(),
            self.destination.ip().to_canonical(),
        );
        if let (IpAddr::V4(source), IpAddr::V4(destination)) = ends {
            chunk(out, 0x0001, &[FAMILY_IPV4]);
            chunk(out, 0x0002, &[protocol]);
            chunk(out, 0x0003, &source.octets());
            chunk(out, 0x0004, &destination.octets());
        } else {
            chunk(out, 0x0001, &[FAMILY_IPV6]);
            chunk(out, 0x0002, &[protocol]);
            chunk(out, 0x0005, &ipv6(ends.0).octets());
            chunk(out, 0x0006, &ipv6(ends.1).octets());
        }
        chunk(out, 0x0007, &self.source.port().to_be_bytes());
        chunk(out, 0x0008, &self.destination.port().to_be_bytes());
    }
}

const fn ipv6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// A value that no length can tell makes the whole too long, and [`Packet::encode`] refuses that.
fn chunk(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(CHUNK_HEAD_OCTETS + value.len()).unwrap_or(u16::MAX);
    for field in [VENDOR_GENERIC, kind, length] {
        out.extend(field.to_be_bytes());
    }
    out.extend(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(payload: &[u8]) -> Packet<'_> {
        Packet {
            protocol: IpProtocol::Udp,
            source: "192.0.2.1:5060".parse().unwrap(),
            destination: "198.51.100.9:5080".parse().unwrap(),
            since_epoch: Duration::new(1_795_856_400, 123_456_789),
            agent_id: 2001,
            password: Some("open"),
            correlation_id: "7f3a@h",
            payload,
        }
    }

    #[test]
    fn each_octet_of_a_packet_is_where_the_specification_puts_it() {
        let mut expected: Vec<u8> = Vec::new();
        expected.extend(b"HEP3\x00\x81");
        // Vendor, type and length of each chunk, then its value.
        expected.extend(b"\x00\x00\x00\x01\x00\x07\x02");
        expected.extend(b"\x00\x00\x00\x02\x00\x07\x11");
        expected.extend(b"\x00\x00\x00\x03\x00\x0a\xc0\x00\x02\x01");
        expected.extend(b"\x00\x00\x00\x04\x00\x0a\xc6\x33\x64\x09");
        expected.extend(b"\x00\x00\x00\x07\x00\x08\x13\xc4");
        expected.extend(b"\x00\x00\x00\x08\x00\x08\x13\xd8");
        expected.extend(b"\x00\x00\x00\x09\x00\x0a\x6b\x0a\x98\x10");
        expected.extend(b"\x00\x00\x00\x0a\x00\x0a\x00\x01\xe2\x40");
        expected.extend(b"\x00\x00\x00\x0b\x00\x07\x01");
        expected.extend(b"\x00\x00\x00\x0c\x00\x0a\x00\x00\x07\xd1");
        expected.extend(b"\x00\x00\x00\x0e\x00\x0aopen");
        expected.extend(b"\x00\x00\x00\x11\x00\x0c7f3a@h");
        expected.extend(b"\x00\x00\x00\x0f\x00\x0eSIP/2.0 ");
        assert_eq!(expected.len(), 0x81);
        assert_eq!(packet(b"SIP/2.0 ").encode().unwrap(), expected);
    }

    #[test]
    fn ipv6_and_streams_have_their_own_numbers_and_a_server_without_a_key_gets_none() {
        let octets = Packet {
            protocol: IpProtocol::Tcp,
            source: "[2001:db8::1]:5060".parse().unwrap(),
            destination: "[::ffff:198.51.100.9]:5061".parse().unwrap(),
            password: None,
            ..packet(b"x")
        }
        .encode()
        .unwrap();
        let holds = |part: &[u8]| octets.windows(part.len()).any(|window| window == part);
        assert!(holds(b"\x00\x00\x00\x01\x00\x07\x0a") && holds(b"\x00\x00\x00\x02\x00\x07\x06"));
        assert!(holds(
            b"\x00\x00\x00\x05\x00\x16\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
        ));
        assert!(holds(
            b"\x00\x00\x00\x06\x00\x16\0\0\0\0\0\0\0\0\0\0\xff\xff\xc6\x33\x64\x09"
        ));
        assert!(!holds(b"\x00\x00\x00\x0e\x00"));
    }

    #[test]
    fn a_packet_that_fits_into_no_datagram_is_refused() {
        let empty = packet(b"").encode().unwrap().len();
        let most = vec![b'a'; PACKET_OCTETS_MAX - empty];
        assert_eq!(packet(&most).encode().unwrap().len(), PACKET_OCTETS_MAX);
        for more in [1, 100_000] {
            let longer = vec![b'a'; most.len() + more];
            assert_eq!(packet(&longer).encode(), Err(TooLong(PACKET_OCTETS_MAX + more)));
        }
    }
}
