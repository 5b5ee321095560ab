//! Packets of a recorded stream in the order in which they were sent, for what is decoded after the call. Never in a live
//! one: the buffer of a single `SampleBuilder` is 12 MB ([`crate::media::stream`] has its own of two packets).
//!
//! It judges no source and no payload type: one [`Replay`] takes one SSRC, without the packets that the sequence tracker calls
//! stray.
use bytes::Bytes;
use webrtc_media::io::sample_builder::SampleBuilder;
use webrtc_rtp::packet::Packet as RtpPacket;
use webrtc_rtp::packetizer::Depacketizer;

use crate::media::rtp::{Arrival, Packet, SequenceTracker};

/// Packets that a missing one is waited for: as far as the tracker calls a packet late and not stray.
const LATE_MAX: u16 = 64;
/// Every payload begins with the place of its packet in what was pushed.
const PLACE_LEN: usize = 8;
/// Media clock of every codec here, Hz; only the durations of the builder depend on it, and they are not used.
const CLOCK_HZ: u32 = 8000;

/// A packet in its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Which of the pushed packets it is, from 0.
    pub place: u64,
    /// Packets that never came, before this one.
    pub lost: u16,
}

/// Puts one stream in order.
pub struct Replay {
    builder: SampleBuilder<Whole>,
    tracker: SequenceTracker,
    pushed: u64,
    highest: u16,
    turns: Vec<Turn>,
}

impl std::fmt::Debug for Replay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Replay({} pushed, {} in order)", self.pushed, self.turns.len())
    }
}

/// Every packet is a frame of its own.
#[derive(Debug)]
struct Whole;

impl Depacketizer for Whole {
    fn depacketize(&mut self, payload: &Bytes) -> Result<Bytes, webrtc_rtp::Error> {
        Ok(payload.clone())
    }

    fn is_partition_head(&self, _: &Bytes) -> bool {
        true
    }

    fn is_partition_tail(&self, _: bool, _: &Bytes) -> bool {
        true
    }
}

impl Default for Replay {
    fn default() -> Self {
        Self {
            builder: builder(),
            tracker: SequenceTracker::default(),
            pushed: 0,
            highest: 0,
            turns: Vec::new(),
        }
    }
}

impl Replay {
    /// Takes the next packet as it was captured.
    pub fn push(&mut self, packet: &Packet<'_>) {
        let place = self.pushed;
        self.pushed += 1;
        match self.tracker.on_packet(packet.sequence) {
            Arrival::Stray | Arrival::Duplicate => return,
            Arrival::Started if place > 0 => {
                // A new count: what is buffered belongs to the old one.
                self.drain();
                self.builder = builder();
            }
            Arrival::InOrder { .. } | Arrival::Late | Arrival::Started => {}
        }
        self.highest = self.tracker.highest() as u16;
        self.builder
            .push(numbered(packet.sequence, packet.timestamp, place));
        self.pop();
    }

    /// Every packet in its turn; duplicates and strays are not among them.
    #[must_use]
    pub fn finish(mut self) -> Vec<Turn> {
        self.drain();
        self.turns
    }

    /// The builder keeps the last packet until another follows it, and those behind a gap until enough do.
    fn drain(&mut self) {
        let beyond = self.highest.wrapping_add(LATE_MAX + 2);
        self.builder.push(numbered(beyond, 0, u64::MAX));
        self.pop();
    }

    fn pop(&mut self) {
        while let Some(sample) = self.builder.pop() {
            let place = sample
                .data
                .first_chunk::<PLACE_LEN>()
                .map(|octets| u64::from_be_bytes(*octets));
            if let Some(place) = place.filter(|place| *place != u64::MAX) {
                let lost = sample.prev_dropped_packets;
                self.turns.push(Turn { place, lost });
            }
        }
    }
}

fn builder() -> SampleBuilder<Whole> {
    SampleBuilder::new(LATE_MAX, Whole, CLOCK_HZ)
}

fn numbered(sequence: u16, timestamp: u32, place: u64) -> RtpPacket {
    let mut packet = RtpPacket::default();
    packet.header.sequence_number = sequence;
    packet.header.timestamp = timestamp;
    packet.payload = Bytes::copy_from_slice(&place.to_be_bytes());
    packet
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Entropy;

    fn packet(sequence: u16) -> Packet<'static> {
        Packet {
            payload_type: 0,
            marker: false,
            sequence,
            timestamp: u32::from(sequence).wrapping_mul(160),
            ssrc: 7,
            payload: &[0; 160],
        }
    }

    /// Sequence numbers with what was lost before each.
    fn replayed(sequences: &[u16]) -> Vec<(u16, u16)> {
        let mut replay = Replay::default();
        sequences.iter().for_each(|s| replay.push(&packet(*s)));
        let turns = replay.finish().into_iter();
        turns
            .map(|turn| (sequences[usize::try_from(turn.place).unwrap()], turn.lost))
            .collect()
    }

    #[test]
    fn packets_come_out_as_they_were_sent_to_the_last() {
        assert_eq!(
            replayed(&[65_534, 0, 65_535, 2, 1]),
            [(65_534, 0), (65_535, 0), (0, 0), (1, 0), (2, 0)]
        );
    }

    #[test]
    fn what_never_came_is_counted_and_a_duplicate_is_no_packet() {
        assert_eq!(
            replayed(&[10, 11, 11, 14, 13, 10]),
            [(10, 0), (11, 0), (13, 1), (14, 0)]
        );
        assert_eq!(replayed(&[5]), [(5, 0)]);
        assert_eq!(replayed(&[]), []);
    }

    #[test]
    fn a_new_count_goes_on_and_a_stray_packet_is_left_out() {
        assert_eq!(
            replayed(&[1, 2, 40_000, 3, 50_000, 50_001, 50_002]),
            [(1, 0), (2, 0), (3, 0), (50_001, 0), (50_002, 0)]
        );
    }

    #[test]
    fn a_long_shuffled_stream_with_loss_keeps_its_order_and_its_count() {
        let mut entropy = Entropy::from_number(5);
        let mut sequences: Vec<u16> = (0..70_000_u32)
            .filter(|_| entropy.below(10) != 0)
            .map(|n| (n + 60_000) as u16)
            .collect();
        // The first stays: what comes before it has no turn.
        for block in sequences.split_at_mut(1).1.chunks_mut(12) {
            for i in 1..block.len() {
                block.swap(i, entropy.below(i as u64 + 1) as usize);
            }
        }
        let turns = replayed(&sequences);
        assert_eq!(turns.len(), sequences.len());
        for pair in turns.windows(2) {
            let step = pair[1].0.wrapping_sub(pair[0].0);
            assert_eq!(step, pair[1].1 + 1, "{pair:?}");
        }
    }
}
