//! Captures of anyone: a pcap or pcapng file → the UDP datagrams and TCP segments in it, in the order of their time.
//!
//! ```text
//!  file ── records ──▶ link layer ──▶ IP, fragments joined ──▶ Carried::Datagram │ Carried::Segment
//! ```
//! Link layers: Ethernet with VLANs, raw IP, BSD loopback, Linux "cooked" of both versions. What it does not: read what the
//! datagrams carry, join TCP, or check sums (a sending host's card makes them after the capture).
//!
//! Invariants:
//! - No octets of a file make it panic. A damaged file gives what came before the damage, and the number of the packet.
//! - What is left out is counted by its reason.
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use etherparse::defrag::IpDefragPool;
use etherparse::{
    EtherType, IpNumber, LaxNetSlice, LaxSlicedPacket, NetSlice, SlicedPacket, TcpSlice, TransportSlice,
    UdpSlice,
};
use pcap_file::pcap::PcapParser;
use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionOption;
use pcap_file::pcapng::{Block, PcapNgParser};
use pcap_file::{DataLink, PcapError, TsResolution};

/// First octets of a pcapng file, in both orders of octets.
const PCAPNG_MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
/// Fragments that may wait for others of their datagram; then all that wait are given up.
const FRAGMENTS_MAX: u32 = 1024;

/// One datagram or segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried<'a> {
    /// Of the packet in the file, as Wireshark counts: from 1. Of fragments, the last.
    pub packet: u64,
    pub since_epoch: Duration,
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub content: Content<'a>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content<'a> {
    Datagram(Cow<'a, [u8]>),
    Segment {
        sequence: u32,
        /// The first of its connection: its octets begin after `sequence`.
        opens: bool,
        octets: Cow<'a, [u8]>,
    },
}

/// Packets that were left out for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    pub reason: &'static str,
    pub count: u64,
    /// The first of them.
    pub packet: u64,
}

/// The whole file, or what came before its damage.
#[derive(Debug, Default)]
pub struct Dissection<'a> {
    pub packets: u64,
    pub carried: Vec<Carried<'a>>,
    pub left_out: Vec<LeftOut>,
    pub damage: Option<DissectError>,
}

/// Why a file cannot be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum DissectError {
    #[error("expected a pcap or pcapng file, got {0}")]
    NoCapture(String),
    #[error("packet {packet}: expected a whole record, the file ends within it")]
    Cut { packet: u64 },
    #[error("packet {packet}: expected a record that can be read, got: {error}")]
    Damaged {
        packet: u64,
        #[source]
        error: PcapError,
    },
}

impl DissectError {
    fn at(packet: u64, error: PcapError) -> Self {
        match error {
            PcapError::IncompleteBuffer => Self::Cut { packet },
            error => Self::Damaged { packet, error },
        }
    }
}

/// Reads a whole file.
pub fn dissect(file: &[u8]) -> Result<Dissection<'_>, DissectError> {
    let mut reader = Reader::default();
    if file.starts_with(&PCAPNG_MAGIC) {
        reader.pcapng(file)?;
    } else {
        reader.pcap(file)?;
    }
    reader.found.carried.sort_by_key(|carried| carried.since_epoch);
    Ok(reader.found)
}

#[derive(Default)]
struct Reader<'a> {
    found: Dissection<'a>,
    fragments: IpDefragPool<(), ()>,
    fragments_waiting: u32,
}

/// What a pcapng section says about the packets of one interface.
#[derive(Clone, Copy)]
struct Interface {
    link: DataLink,
    /// Units of the timestamps in a second.
    units: u64,
}

impl<'a> Reader<'a> {
    fn pcap(&mut self, file: &'a [u8]) -> Result<(), DissectError> {
        let (mut rest, parser) = PcapParser::new(file).map_err(|_| no_capture(file))?;
        let header = parser.header();
        let units = match header.ts_resolution {
            TsResolution::MicroSecond => 1_000_000,
            TsResolution::NanoSecond => 1_000_000_000,
        };
        while !rest.is_empty() {
            self.found.packets += 1;
            let (after, record) = match parser.next_raw_packet(rest) {
                Ok(read) => read,
                Err(error) => return self.stop(error),
            };
            let since_epoch =
                Duration::from_secs(u64::from(record.ts_sec)) + fraction(u64::from(record.ts_frac), units);
            match record.data {
                Cow::Borrowed(data) => self.frame(header.datalink, since_epoch, data),
                Cow::Owned(_) => self.leave_out("cannot be read in place"),
            }
            rest = after;
        }
        Ok(())
    }

    fn pcapng(&mut self, file: &'a [u8]) -> Result<(), DissectError> {
        let (mut rest, mut parser) = PcapNgParser::new(file).map_err(|_| no_capture(file))?;
        let mut last = Duration::ZERO;
        while !rest.is_empty() {
            let (after, block) = match parser.next_block(rest) {
                Ok(read) => read,
                Err(error) => {
                    self.found.packets += 1;
                    return self.stop(error);
                }
            };
            rest = after;
            let (interface, at, data) = match block {
                // The crate takes every timestamp for nanoseconds; the interface says what they are.
                Block::EnhancedPacket(packet) => (packet.interface_id, Some(packet.timestamp), packet.data),
                Block::SimplePacket(packet) => (0, None, packet.data),
                Block::Packet(packet) => (
                    u32::from(packet.interface_id),
                    Some(Duration::from_nanos(packet.timestamp)),
                    packet.data,
                ),
                _ => continue,
            };
            self.found.packets += 1;
            let interface = usize::try_from(interface).unwrap_or(usize::MAX);
            let Some(interface) = parser.interfaces().get(interface).map(|described| Interface {
                link: described.linktype,
                units: units_of(&described.options),
            }) else {
                self.leave_out("of no described interface");
                continue;
            };
            // A simple packet carries no time.
            if let Some(units) = at.map(|at| u64::try_from(at.as_nanos()).unwrap_or(u64::MAX)) {
                last = Duration::from_secs((units / interface.units).min(u64::from(u32::MAX)))
                    + fraction(units % interface.units, interface.units);
            }
            match data {
                Cow::Borrowed(data) => self.frame(interface.link, last, data),
                Cow::Owned(_) => self.leave_out("cannot be read in place"),
            }
        }
        Ok(())
    }

    fn stop(&mut self, error: PcapError) -> Result<(), DissectError> {
        self.found.damage = Some(DissectError::at(self.found.packets, error));
        self.found.packets -= 1;
        Ok(())
    }

    fn leave_out(&mut self, reason: &'static str) {
        let packet = self.found.packets;
        let known = self.found.left_out.iter_mut().find(|left| left.reason == reason);
        match known {
            Some(left) => left.count += 1,
            None => self.found.left_out.push(LeftOut {
                reason,
                count: 1,
                packet,
            }),
        }
    }

    fn frame(&mut self, link: DataLink, since_epoch: Duration, data: &'a [u8]) {
        match self.carried(link, since_epoch, data) {
            Ok(Some(carried)) => self.found.carried.push(carried),
            Ok(None) => {}
            Err(reason) => self.leave_out(reason),
        }
    }

    /// `None`: a fragment whose datagram is not whole yet.
    fn carried(
        &mut self,
        link: DataLink,
        since_epoch: Duration,
        data: &'a [u8],
    ) -> Result<Option<Carried<'a>>, &'static str> {
        let framed = Framed::of(link, data)?;
        let sliced = framed.lax()?;
        let (source, destination, fragmented) = match &sliced.net {
            Some(LaxNetSlice::Ipv4(ip)) => (
                IpAddr::V4(ip.header().source_addr()),
                IpAddr::V4(ip.header().destination_addr()),
                ip.is_payload_fragmented(),
            ),
            Some(LaxNetSlice::Ipv6(ip)) => (
                IpAddr::V6(ip.header().source_addr()),
                IpAddr::V6(ip.header().destination_addr()),
                ip.is_payload_fragmented(),
            ),
            Some(LaxNetSlice::Arp(_)) | None => return Err("not IPv4 or IPv6"),
        };
        let found = match sliced.transport {
            Some(TransportSlice::Udp(udp)) => datagram(&udp, Cow::Borrowed(udp.payload())),
            Some(TransportSlice::Tcp(tcp)) => segment(&tcp, Cow::Borrowed(tcp.payload())),
            Some(TransportSlice::Icmpv4(_) | TransportSlice::Icmpv6(_)) => return Err("ICMP"),
            None if fragmented => match self.joined(framed)? {
                Some(found) => found,
                None => return Ok(None),
            },
            None => return Err("neither UDP nor TCP"),
        };
        let (source_port, destination_port, content) = found;
        Ok(Some(Carried {
            packet: self.found.packets,
            since_epoch,
            source: SocketAddr::new(source.to_canonical(), source_port),
            destination: SocketAddr::new(destination.to_canonical(), destination_port),
            content,
        }))
    }

    fn joined(&mut self, framed: Framed<'a>) -> Result<Option<Ported<'a>>, &'static str> {
        if self.fragments_waiting >= FRAGMENTS_MAX {
            self.fragments = IpDefragPool::new();
            self.fragments_waiting = 0;
        }
        let sliced = framed.strict()?;
        if !matches!(sliced.net, Some(NetSlice::Ipv4(_) | NetSlice::Ipv6(_))) {
            return Err("a fragment that cannot be read");
        }
        self.fragments_waiting += 1;
        let joined = self
            .fragments
            .process_sliced_packet(&sliced, (), ())
            .map_err(|_| "a fragment that does not fit the others")?;
        let Some(joined) = joined else {
            return Ok(None);
        };
        let octets = &joined.payload;
        let found = match joined.ip_number {
            IpNumber::UDP => {
                let udp = UdpSlice::from_slice_lax(octets).map_err(|_| "UDP that cannot be read")?;
                datagram(&udp, Cow::Owned(udp.payload().to_vec()))
            }
            IpNumber::TCP => {
                let tcp = TcpSlice::from_slice(octets).map_err(|_| "TCP that cannot be read")?;
                segment(&tcp, Cow::Owned(tcp.payload().to_vec()))
            }
            _ => return Err("neither UDP nor TCP"),
        };
        Ok(Some(found))
    }
}

/// Source port, destination port, content.
type Ported<'a> = (u16, u16, Content<'a>);

fn datagram<'a>(udp: &UdpSlice<'_>, payload: Cow<'a, [u8]>) -> Ported<'a> {
    (
        udp.source_port(),
        udp.destination_port(),
        Content::Datagram(payload),
    )
}

fn segment<'a>(tcp: &TcpSlice<'_>, octets: Cow<'a, [u8]>) -> Ported<'a> {
    let content = Content::Segment {
        sequence: tcp.sequence_number(),
        opens: tcp.syn(),
        octets,
    };
    (tcp.source_port(), tcp.destination_port(), content)
}

/// A packet without what stands before its first header that is the same everywhere.
#[derive(Clone, Copy)]
enum Framed<'a> {
    Ethernet(&'a [u8]),
    Typed(EtherType, &'a [u8]),
    Ip(&'a [u8]),
}

const UNREADABLE: &str = "headers that cannot be read";

impl<'a> Framed<'a> {
    fn of(link: DataLink, data: &'a [u8]) -> Result<Self, &'static str> {
        let typed = |type_at: usize, header: usize| {
            let octets = data.get(type_at..type_at + 2).and_then(|two| two.try_into().ok());
            let ether_type = octets.map(|two| EtherType(u16::from_be_bytes(two)));
            match (ether_type, data.get(header..)) {
                (Some(ether_type), Some(rest)) => Ok(Self::Typed(ether_type, rest)),
                _ => Err("shorter than the header of its link layer"),
            }
        };
        match link {
            DataLink::ETHERNET => Ok(Self::Ethernet(data)),
            DataLink::LINUX_SLL => typed(14, 16),
            DataLink::LINUX_SLL2 => typed(0, 20),
            DataLink::RAW | DataLink::IPV4 | DataLink::IPV6 => Ok(Self::Ip(data)),
            DataLink::NULL | DataLink::LOOP => data
                .get(4..)
                .map(Self::Ip)
                .ok_or("shorter than the header of its link layer"),
            _ => Err("of a link layer that is not read"),
        }
    }

    fn lax(self) -> Result<LaxSlicedPacket<'a>, &'static str> {
        match self {
            Self::Ethernet(data) => LaxSlicedPacket::from_ethernet(data).map_err(|_| UNREADABLE),
            Self::Typed(ether_type, data) => Ok(LaxSlicedPacket::from_ether_type(ether_type, data)),
            Self::Ip(data) => LaxSlicedPacket::from_ip(data).map_err(|_| UNREADABLE),
        }
    }

    fn strict(self) -> Result<SlicedPacket<'a>, &'static str> {
        match self {
            Self::Ethernet(data) => SlicedPacket::from_ethernet(data),
            Self::Typed(ether_type, data) => SlicedPacket::from_ether_type(ether_type, data),
            Self::Ip(data) => SlicedPacket::from_ip(data),
        }
        .map_err(|_| UNREADABLE)
    }
}

/// `if_tsresol`: a power of ten, or with the highest bit of two. Microseconds where nothing is said.
fn units_of(options: &[InterfaceDescriptionOption<'_>]) -> u64 {
    let resolution = options.iter().find_map(|option| match option {
        InterfaceDescriptionOption::IfTsResol(resolution) => Some(*resolution),
        _ => None,
    });
    let power = resolution.unwrap_or(6);
    let units = match power {
        0x80.. => 2_u64.checked_pow(u32::from(power & 0x7f)),
        _ => 10_u64.checked_pow(u32::from(power)),
    };
    units.unwrap_or(u64::MAX)
}

/// Part of a second.
fn fraction(units: u64, in_second: u64) -> Duration {
    let nanos = u128::from(units.min(in_second)) * 1_000_000_000 / u128::from(in_second.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

fn no_capture(file: &[u8]) -> DissectError {
    DissectError::NoCapture(match file {
        [] => "an empty file".to_owned(),
        [0x1f, 0x8b, ..] => "a gzip file: unpack it first".to_owned(),
        short if short.len() < 24 => format!("{} octets", short.len()),
        [a, b, c, d, ..] => format!("a file that begins with {a:02x} {b:02x} {c:02x} {d:02x}"),
        _ => "a short file".to_owned(),
    })
}

#[cfg(test)]
#[path = "dissect_tests.rs"]
mod tests;
