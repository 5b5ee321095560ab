//! The flight recorder: the SIP messages of the last calls, kept in memory and given out as a capture file.
//!
//! ```text
//!  SIP trace ── note(call id, message) ──▶ the last N calls ── capture(call ids) ──▶ pcap, one IP datagram a message
//! ```
//! Invariants:
//! - Only a call that we place opens a record, so strangers push nobody out.
//! - The memory is bounded: calls, messages of a call, octets of a message. What finds no room is left out and counted (`ringproof_capture_messages_dropped_total`).
//! - Streams are written as datagrams too, one for each message, between the same addresses and ports: a capture of TLS could
//!   not be read at all.
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
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

/// Handle of the recorder; clones share it.
#[derive(Clone, Debug)]
pub struct FlightRecorder(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    calls_max: usize,
    calls: BTreeMap<String, Vec<Record>>,
    /// Oldest first.
    order: VecDeque<String>,
    ways: Ways,
}

/// One message as a reader may see it.
#[derive(Debug, Clone)]
struct Record {
    since_epoch: Duration,
    source: SocketAddr,
    destination: SocketAddr,
    payload: Vec<u8>,
}

impl FlightRecorder {
    /// Keeps the last `calls_max` calls.
    #[must_use]
    pub fn new(calls_max: usize) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            calls_max,
            calls: BTreeMap::new(),
            order: VecDeque::new(),
            ways: Ways::default(),
        })))
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
        inner.calls.insert(call_id.to_owned(), Vec::new());
    }

    /// One message of a call; `payload` is asked for only where the call is kept.
    pub fn note(
        &self,
        call_id: &str,
        way: Way,
        local: SocketAddr,
        peer: SocketAddr,
        payload: impl FnOnce() -> Vec<u8>,
    ) {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut inner = self.inner();
        let Some(kept) = inner.calls.get(call_id).map(Vec::len) else {
            return;
        };
        if kept >= MESSAGES_MAX {
            return left_out();
        }
        let payload = payload();
        if payload.len() > OCTETS_MAX {
            return left_out();
        }
        let local = inner.ways.seen(local, peer);
        let (source, destination) = match way {
            Way::Sent => (local, peer),
            Way::Received => (peer, local),
        };
        if let Some(records) = inner.calls.get_mut(call_id) {
            records.push(Record {
                since_epoch,
                source,
                destination,
                payload,
            });
        }
    }

    /// The messages of these calls in the order of their time as a pcap file of raw IP datagrams. `None`: none is kept.
    pub fn capture(&self, call_ids: &[String]) -> Result<Option<Vec<u8>>, CaptureError> {
        let mut records: Vec<Record> = {
            let inner = self.inner();
            let kept = call_ids.iter().filter_map(|id| inner.calls.get(id));
            kept.flatten().cloned().collect()
        };
        if records.is_empty() {
            return Ok(None);
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn left_out() {
    metrics::counter!("ringproof_capture_messages_dropped_total").increment(1);
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
        recorder.note(call_id, way, local, peer, || payload.as_bytes().to_vec());
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
        let recorder = FlightRecorder::new(2);
        recorder.open("a");
        note(&recorder, "a", Way::Sent, "INVITE");
        note(&recorder, "a", Way::Received, "SIP/2.0 200 OK");
        let file = recorder.capture(&ids(&["a"])).unwrap().unwrap();
        let sent = (LOCAL.to_owned(), PEER.to_owned(), "INVITE".to_owned());
        let received = (PEER.to_owned(), LOCAL.to_owned(), "SIP/2.0 200 OK".to_owned());
        assert_eq!(read(&file), [sent, received]);
    }

    #[test]
    fn the_oldest_call_makes_room_and_a_stranger_opens_nothing() {
        let recorder = FlightRecorder::new(2);
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
        let recorder = FlightRecorder::new(1);
        recorder.open("a");
        for _ in 0..MESSAGES_MAX + 10 {
            note(&recorder, "a", Way::Received, "again");
        }
        let file = recorder.capture(&ids(&["a"])).unwrap().unwrap();
        assert_eq!(read(&file).len(), MESSAGES_MAX);
        recorder.note(
            "a",
            Way::Sent,
            LOCAL.parse().unwrap(),
            PEER.parse().unwrap(),
            || panic!("expected that a full call asks for nothing"),
        );
    }

    #[test]
    fn a_message_that_no_datagram_holds_leaves_the_others_readable() {
        let recorder = FlightRecorder::new(1);
        recorder.open("a");
        note(&recorder, "a", Way::Received, &"x".repeat(OCTETS_MAX + 1));
        note(&recorder, "a", Way::Received, "SIP/2.0 200 OK");
        let file = recorder.capture(&ids(&["a"])).unwrap().unwrap();
        assert_eq!(read(&file).len(), 1);
    }

    #[test]
    fn nothing_is_kept_where_nothing_is_wanted() {
        let recorder = FlightRecorder::new(0);
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
            payload: b"OPTIONS".to_vec(),
        };
        let packet = record.datagram().unwrap();
        assert_eq!(packet.first().map(|octet| octet >> 4), Some(6));
        let long = Record {
            payload: vec![0; OCTETS_MAX + 100],
            ..record
        };
        assert!(matches!(long.datagram(), Err(CaptureError::TooLong(_))));
    }
}
