//! The flight recorder: the SIP messages of the last calls, and their RTP where the operator wants it, kept in memory and given
//! out as a capture file.
//!
//! ```text
//!  SIP trace ── note(call id, message) ──┬─▶ the last N calls ── capture(call ids) ──▶ pcap, one IP datagram a message
//!  a leg's tape ── seat, keep(call id) ──┘
//! ```
//! Invariants:
//! - Only a call that we place opens a record, so strangers push nobody out.
//! - The memory is bounded: calls, messages of a call, octets of a message; RTP by its seats, one for each call that is being
//!   recorded, as many as calls are kept. What finds no room is left out and counted (`ringproof_capture_…_total`).
//! - RTP comes redacted. SIP is kept as it was on the wire, in memory only, and redacted when a reader asks for it: of a
//!   hundred calls that pass, one is looked at.
//! - Streams are written as datagrams too, one for each message, between the same addresses and ports: a capture of TLS could
//!   not be read at all.
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use etherparse::PacketBuilder;
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};
use pcap_file::{DataLink, PcapError};

use super::Way;
use super::ways::Ways;

/// A call with every retransmission on a bad network stays below.
const MESSAGES_MAX: usize = 256;
/// What fits into one datagram of IPv4.
const OCTETS_MAX: usize = 65_507;
/// Hops left in the headers that we make up.
const TTL: u8 = 64;

/// Why a capture could not be written.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    #[error("the capture file: expected records that can be written, got: {0}")]
    File(#[from] PcapError),
    #[error("the capture file: expected a message of at most {OCTETS_MAX} octets, got {0}")]
    TooLong(usize),
}

/// A SIP message as a reader may see it; `None`: not at all.
pub type Redact = fn(&[u8]) -> Option<Vec<u8>>;

/// Handle of the recorder; clones share it.
#[derive(Clone, Debug)]
pub struct FlightRecorder {
    inner: Arc<Mutex<Inner>>,
    redact: Redact,
    /// Calls whose RTP is being recorded.
    seats: Arc<AtomicUsize>,
    calls_max: usize,
}

#[derive(Debug)]
struct Inner {
    calls_max: usize,
    calls: BTreeMap<String, Kept>,
    /// Oldest first.
    order: VecDeque<String>,
    ways: Ways,
}

/// What is kept of one call.
#[derive(Debug, Default)]
struct Kept {
    /// As they were on the wire.
    messages: Vec<Record>,
    rtp: Option<Arc<dyn Recorded>>,
}

/// The RTP of one call. It knows how its packets are held; here they are only asked for.
pub trait Recorded: std::fmt::Debug + Send + Sync {
    fn packets(&self, each: &mut dyn FnMut(RecordedPacket));
}

/// One RTP or RTCP packet as a reader may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedPacket {
    pub since_epoch: Duration,
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub payload: Vec<u8>,
}

/// Room for the RTP of one call that goes on; dropped, it is free again.
#[derive(Debug)]
pub struct Seat(FlightRecorder);

impl Seat {
    /// The leg has closed; `left_out` packets found no room on its tape.
    pub fn keep(&self, call_id: &str, left_out: u64, rtp: Box<dyn Recorded>) {
        metrics::counter!("ringproof_capture_rtp_packets_dropped_total").increment(left_out);
        // Newer calls may have pushed it out meanwhile.
        if let Some(kept) = self.0.inner().calls.get_mut(call_id) {
            kept.rtp = Some(Arc::from(rtp));
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.seats.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One message, or one packet.
#[derive(Debug, Clone)]
struct Record {
    since_epoch: Duration,
    source: SocketAddr,
    destination: SocketAddr,
    payload: Box<[u8]>,
}

impl FlightRecorder {
    /// Keeps the last `calls_max` calls.
    #[must_use]
    pub fn new(calls_max: usize, redact: Redact) -> Self {
        Self {
            redact,
            inner: Arc::new(Mutex::new(Inner {
                calls_max,
                calls: BTreeMap::new(),
                order: VecDeque::new(),
                ways: Ways::default(),
            })),
            seats: Arc::default(),
            calls_max,
        }
    }

    /// Room for the RTP of one more call; `None` when as many as may be kept are being recorded.
    #[must_use]
    pub fn seat(&self) -> Option<Seat> {
        if self.seats.fetch_add(1, Ordering::AcqRel) < self.calls_max {
            return Some(Seat(self.clone()));
        }
        self.seats.fetch_sub(1, Ordering::AcqRel);
        metrics::counter!("ringproof_capture_rtp_calls_refused_total").increment(1);
        None
    }

    /// A call that we place: from now on its messages are kept. Again for the same Call-ID it does nothing.
    pub fn open(&self, call_id: &str) {
        let mut inner = self.inner();
        if inner.calls_max == 0 || inner.calls.contains_key(call_id) {
            return;
        }
        while inner.order.len() >= inner.calls_max {
            let Some(oldest) = inner.order.pop_front() else {
                break;
            };
            inner.calls.remove(&oldest);
        }
        inner.order.push_back(call_id.to_owned());
        inner.calls.insert(call_id.to_owned(), Kept::default());
    }

    /// One message of a call, as it was on the wire.
    pub fn note(&self, call_id: &str, way: Way, local: SocketAddr, peer: SocketAddr, payload: &[u8]) {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut inner = self.inner();
        let Some(kept) = inner.calls.get(call_id).map(|kept| kept.messages.len()) else {
            return;
        };
        if kept >= MESSAGES_MAX || payload.len() > OCTETS_MAX {
            return left_out();
        }
        let local = inner.ways.seen(local, peer);
        let (source, destination) = match way {
            Way::Sent => (local, peer),
            Way::Received => (peer, local),
        };
        if let Some(kept) = inner.calls.get_mut(call_id) {
            kept.messages.push(Record {
                since_epoch,
                source,
                destination,
                payload: payload.into(),
            });
        }
    }

    /// The messages and the RTP of these calls in the order of their time, as a pcap file of raw IP datagrams. `None`: none is
    /// kept.
    pub fn capture(&self, call_ids: &[String]) -> Result<Option<Vec<u8>>, CaptureError> {
        let (mut records, rtp): (Vec<Record>, Vec<Arc<dyn Recorded>>) = {
            let inner = self.inner();
            let kept = || call_ids.iter().filter_map(|id| inner.calls.get(id));
            let records = kept().flat_map(|kept| &kept.messages).cloned();
            (
                records.collect(),
                kept().filter_map(|kept| kept.rtp.clone()).collect(),
            )
        };
        if records.is_empty() {
            return Ok(None);
        }
        records.retain_mut(|record| {
            let shown = (self.redact)(&record.payload).filter(|shown| shown.len() <= OCTETS_MAX);
            shown.map(|shown| record.payload = shown.into()).is_some()
        });
        for rtp in rtp {
            rtp.packets(&mut |packet| records.push(packet.into()));
        }
        records.sort_by_key(|record| record.since_epoch);
        let header = PcapHeader {
            datalink: DataLink::RAW,
            ..PcapHeader::default()
        };
        let mut file = PcapWriter::with_header(Vec::new(), header)?;
        for record in &records {
            let packet = record.datagram()?;
            let octets = u32::try_from(packet.len()).unwrap_or(u32::MAX);
            file.write_packet(&PcapPacket::new(record.since_epoch, octets, &packet))?;
        }
        Ok(Some(file.into_writer()))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn left_out() {
    metrics::counter!("ringproof_capture_messages_dropped_total").increment(1);
}

impl From<RecordedPacket> for Record {
    fn from(packet: RecordedPacket) -> Self {
        Self {
            since_epoch: packet.since_epoch,
            source: packet.source,
            destination: packet.destination,
            payload: packet.payload.into(),
        }
    }
}

impl Record {
    /// The message in UDP in IP, both made up from the addresses.
    fn datagram(&self) -> Result<Vec<u8>, CaptureError> {
        let (source, destination) = (
            self.source.ip().to_canonical(),
            self.destination.ip().to_canonical(),
        );
        let network = match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                PacketBuilder::ipv4(source.octets(), destination.octets(), TTL)
            }
            (source, destination) => PacketBuilder::ipv6(v6(source), v6(destination), TTL),
        };
        let builder = network.udp(self.source.port(), self.destination.port());
        let mut packet = Vec::with_capacity(builder.size(self.payload.len()));
        builder
            .write(&mut packet, &self.payload)
            .map_err(|_| CaptureError::TooLong(self.payload.len()))?;
        Ok(packet)
    }
}

const fn v6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

#[cfg(test)]
mod tests {
    use pcap_file::pcap::PcapReader;

    use super::*;

    const LOCAL: &str = "192.0.2.10:5060";
    const PEER: &str = "198.51.100.7:5060";

    fn note(recorder: &FlightRecorder, call_id: &str, way: Way, payload: &str) {
        let (local, peer) = (LOCAL.parse().unwrap(), PEER.parse().unwrap());
        recorder.note(call_id, way, local, peer, payload.as_bytes());
    }

    /// What nobody may see is in small letters.
    fn shout(octets: &[u8]) -> Option<Vec<u8>> {
        (octets != b"hidden").then(|| octets.to_ascii_uppercase())
    }

    fn ids(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    /// Source, destination and payload of each datagram of a file.
    fn read(file: &[u8]) -> Vec<(String, String, String)> {
        let mut reader = PcapReader::new(file).unwrap();
        assert_eq!(reader.header().datalink, DataLink::RAW);
        let mut found = Vec::new();
        while let Some(packet) = reader.next_packet() {
            let packet = packet.unwrap();
            let parsed = etherparse::SlicedPacket::from_ip(&packet.data).unwrap();
            let Some(etherparse::NetSlice::Ipv4(ip)) = parsed.net else {
                panic!("expected IPv4")
            };
            let Some(etherparse::TransportSlice::Udp(udp)) = parsed.transport else {
                panic!("expected UDP")
            };
            let header = ip.header();
            found.push((
                format!("{}:{}", header.source_addr(), udp.source_port()),
                format!("{}:{}", header.destination_addr(), udp.destination_port()),
                String::from_utf8(udp.payload().to_vec()).unwrap(),
            ));
        }
        found
    }

    #[test]
    fn a_call_is_a_file_that_reads_back() {
        let recorder = FlightRecorder::new(2, shout);
        recorder.open("a");
        note(&recorder, "a", Way::Sent, "INVITE");
        note(&recorder, "a", Way::Received, "SIP/2.0 200 OK");
        let file = recorder.capture(&ids(&["a"])).unwrap().unwrap();
        let sent = (LOCAL.to_owned(), PEER.to_owned(), "INVITE".to_owned());
        let received = (PEER.to_owned(), LOCAL.to_owned(), "SIP/2.0 200 OK".to_owned());
        assert_eq!(read(&file), [sent, received]);
    }

    #[test]
    fn a_message_is_redacted_when_it_is_read() {
        let recorder = FlightRecorder::new(1, shout);
        recorder.open("a");
        note(&recorder, "a", Way::Sent, "invite");
        note(&recorder, "a", Way::Received, "hidden");
        let file = recorder.capture(&ids(&["a"])).unwrap().unwrap();
        let payloads: Vec<String> = read(&file).into_iter().map(|(_, _, payload)| payload).collect();
        assert_eq!(payloads, ["INVITE"]);
    }

    #[test]
    fn the_oldest_call_makes_room_and_a_stranger_opens_nothing() {
        let recorder = FlightRecorder::new(2, shout);
        for id in ["a", "b", "c"] {
            recorder.open(id);
            note(&recorder, id, Way::Sent, id);
        }
        note(&recorder, "stranger", Way::Received, "OPTIONS");
        assert!(recorder.capture(&ids(&["a", "stranger"])).unwrap().is_none());
        let file = recorder.capture(&ids(&["c", "b"])).unwrap().unwrap();
        assert_eq!(read(&file).len(), 2);
    }

    #[test]
    fn one_call_cannot_grow_without_end() {
        let recorder = FlightRecorder::new(1, shout);
        recorder.open("a");
        for _ in 0..MESSAGES_MAX + 10 {
            note(&recorder, "a", Way::Received, "again");
        }
        let file = recorder.capture(&ids(&["a"])).unwrap().unwrap();
        assert_eq!(read(&file).len(), MESSAGES_MAX);
    }

    #[derive(Debug)]
    struct Packets(Vec<RecordedPacket>);

    impl Recorded for Packets {
        fn packets(&self, each: &mut dyn FnMut(RecordedPacket)) {
            self.0.iter().cloned().for_each(each);
        }
    }

    #[test]
    fn rtp_stands_between_the_messages_and_its_seats_are_counted() {
        let recorder = FlightRecorder::new(1, shout);
        recorder.open("a");
        note(&recorder, "a", Way::Sent, "INVITE");
        let seat = recorder.seat().unwrap();
        assert!(recorder.seat().is_none());
        let packet = RecordedPacket {
            since_epoch: SystemTime::now().duration_since(UNIX_EPOCH).unwrap(),
            source: "192.0.2.10:20000".parse().unwrap(),
            destination: "198.51.100.7:4000".parse().unwrap(),
            payload: b"rtp".to_vec(),
        };
        note(&recorder, "a", Way::Sent, "BYE");
        seat.keep("a", 0, Box::new(Packets(vec![packet])));
        drop(seat);
        assert!(recorder.seat().is_some());
        let file = recorder.capture(&ids(&["a"])).unwrap().unwrap();
        let payloads: Vec<String> = read(&file).into_iter().map(|(_, _, payload)| payload).collect();
        assert_eq!(payloads, ["INVITE", "rtp", "BYE"]);
    }

    #[test]
    fn a_message_that_no_datagram_holds_leaves_the_others_readable() {
        let recorder = FlightRecorder::new(1, shout);
        recorder.open("a");
        note(&recorder, "a", Way::Received, &"x".repeat(OCTETS_MAX + 1));
        note(&recorder, "a", Way::Received, "SIP/2.0 200 OK");
        let file = recorder.capture(&ids(&["a"])).unwrap().unwrap();
        assert_eq!(read(&file).len(), 1);
    }

    #[test]
    fn nothing_is_kept_where_nothing_is_wanted() {
        let recorder = FlightRecorder::new(0, shout);
        recorder.open("a");
        note(&recorder, "a", Way::Sent, "INVITE");
        assert!(recorder.capture(&ids(&["a"])).unwrap().is_none());
    }

    #[test]
    fn six_and_four_are_written_as_six() {
        let record = Record {
            since_epoch: Duration::ZERO,
            source: "[2001:db8::1]:5060".parse().unwrap(),
            destination: "[2001:db8::2]:5062".parse().unwrap(),
            payload: b"OPTIONS".as_slice().into(),
        };
        let packet = record.datagram().unwrap();
        assert_eq!(packet.first().map(|octet| octet >> 4), Some(6));
        let long = Record {
            payload: vec![0; OCTETS_MAX + 100].into(),
            ..record
        };
        assert!(matches!(long.datagram(), Err(CaptureError::TooLong(_))));
    }
}
