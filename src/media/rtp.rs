//! RTP headers (RFC 3550 §5.1): read in place, write into the caller's buffer, follow the sequence number. The only
//! file that names `rtp_rs`.
//!
//! It knows no payload format and no socket, and allocates nothing.
use rtp_rs::{RtpPacketBuilder, RtpReader, RtpReaderError, Seq};

/// Octets of the header we write: no CSRC, no extension.
pub const HEADER_LEN: usize = 12;
/// Largest datagram a stream looks at, octets: the loopback of an Ethernet frame, far above 60 ms of G.711.
pub const DATAGRAM_LEN_MAX: usize = 1500;

/// Why octets are not an RTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RtpError {
    #[error("expected at least {expected} octets of RTP, got {got}")]
    TooShort { expected: usize, got: usize },
    #[error("expected at most {DATAGRAM_LEN_MAX} octets of RTP, got {0}")]
    TooLong(usize),
    #[error("expected RTP version 2, got {0}")]
    Version(u8),
    #[error("padding of {0} octets does not fit the packet")]
    Padding(u8),
    #[error("expected a payload type of at most 127, got {0}")]
    PayloadType(u8),
}

/// A received packet, borrowed from its datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    pub payload_type: u8,
    pub marker: bool,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    /// Without CSRCs, header extension and padding.
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    pub fn parse(datagram: &'a [u8]) -> Result<Self, RtpError> {
        if datagram.len() > DATAGRAM_LEN_MAX {
            return Err(RtpError::TooLong(datagram.len()));
        }
        let reader = RtpReader::new(datagram).map_err(|error| match error {
            RtpReaderError::BufferTooShort(got) => RtpError::TooShort {
                expected: HEADER_LEN,
                got,
            },
            RtpReaderError::UnsupportedVersion(version) => RtpError::Version(version),
            RtpReaderError::HeadersTruncated {
                header_len,
                buffer_len,
            } => RtpError::TooShort {
                expected: header_len,
                got: buffer_len,
            },
            RtpReaderError::PaddingLengthInvalid(padding) => RtpError::Padding(padding),
        })?;
        Ok(Self {
            payload_type: reader.payload_type(),
            marker: reader.mark(),
            sequence: reader.sequence_number().into(),
            timestamp: reader.timestamp(),
            ssrc: reader.ssrc(),
            payload: reader.payload(),
        })
    }
}

/// The header of a packet to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub payload_type: u8,
    pub marker: bool,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
}

impl Header {
    /// Writes header and payload to the front of `buffer` and returns the length of the packet.
    pub fn write(&self, payload: &[u8], buffer: &mut [u8]) -> Result<usize, RtpError> {
        let expected = HEADER_LEN + payload.len();
        let got = buffer.len();
        if self.payload_type > 127 {
            return Err(RtpError::PayloadType(self.payload_type));
        }
        RtpPacketBuilder::new()
            .payload_type(self.payload_type)
            .marked(self.marker)
            .sequence(Seq::from(self.sequence))
            .timestamp(self.timestamp)
            .ssrc(self.ssrc)
            .payload(payload)
            .build_into(buffer)
            .map_err(|_| RtpError::TooShort { expected, got })
    }
}

/// What a sequence number says about a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// The next one, after `lost` that are missing so far.
    InOrder {
        lost: u16,
    },
    /// Fills a gap.
    Late,
    Duplicate,
    /// Too far from what is expected; believed only if the next one follows it (RFC 3550 §A.1).
    Stray,
    /// First packet, or the sender began a new count.
    Started,
}

/// A forward step up to this is loss, beyond it a restart (RFC 3550 §A.1 MAX_DROPOUT).
const DROPOUT_MAX: u16 = 3000;
/// A packet this far behind is too old to fill a gap; also the width of the duplicate check.
const MISORDER_MAX: u16 = 64;

/// Follows one source's 16-bit sequence number as a 32-bit one and counts what arrived.
#[derive(Debug, Clone, Default)]
pub struct SequenceTracker {
    state: Option<Tracked>,
}

#[derive(Debug, Clone)]
struct Tracked {
    /// First and highest extended sequence number of this count.
    base: u32,
    highest: u32,
    /// Bit n: `highest - n` has arrived.
    arrived: u64,
    /// Packets counted once each.
    received: u32,
    /// Follower of a stray packet: a second stray with this number is a restart.
    restart_at: Option<u16>,
}

impl SequenceTracker {
    pub fn on_packet(&mut self, sequence: u16) -> Arrival {
        let Some(tracked) = &mut self.state else {
            self.state = Some(Tracked::starting_at(sequence));
            return Arrival::Started;
        };
        tracked.on_packet(sequence)
    }

    /// Forgets the count, for a new SSRC.
    pub fn reset(&mut self) {
        self.state = None;
    }

    /// Highest extended sequence number, as a receiver report carries it.
    #[must_use]
    pub fn highest(&self) -> u32 {
        self.state.as_ref().map_or(0, |t| t.highest)
    }

    /// Packets that should have arrived.
    #[must_use]
    pub fn expected(&self) -> u32 {
        self.state
            .as_ref()
            .map_or(0, |t| t.highest.wrapping_sub(t.base).wrapping_add(1))
    }

    /// Packets that arrived, duplicates not counted.
    #[must_use]
    pub fn received(&self) -> u32 {
        self.state.as_ref().map_or(0, |t| t.received)
    }

    #[must_use]
    pub fn lost(&self) -> u32 {
        self.expected().saturating_sub(self.received())
    }
}

impl Tracked {
    fn starting_at(sequence: u16) -> Self {
        // One cycle up, so that a packet from before the first one has a number too.
        let first = 0x1_0000 | u32::from(sequence);
        Self {
            base: first,
            highest: first,
            arrived: 1,
            received: 1,
            restart_at: None,
        }
    }

    fn on_packet(&mut self, sequence: u16) -> Arrival {
        let ahead = sequence.wrapping_sub(self.highest as u16);
        let behind = (self.highest as u16).wrapping_sub(sequence);
        if (1..=DROPOUT_MAX).contains(&ahead) {
            self.restart_at = None;
            self.highest = self.highest.wrapping_add(u32::from(ahead));
            self.arrived = self.arrived.checked_shl(u32::from(ahead)).unwrap_or(0) | 1;
            self.received = self.received.wrapping_add(1);
            return Arrival::InOrder { lost: ahead - 1 };
        }
        if behind < MISORDER_MAX {
            return self.fill(behind);
        }
        if self.restart_at == Some(sequence) {
            *self = Self::starting_at(sequence);
            return Arrival::Started;
        }
        self.restart_at = Some(sequence.wrapping_add(1));
        Arrival::Stray
    }

    fn fill(&mut self, behind: u16) -> Arrival {
        let bit = 1_u64 << behind;
        if self.arrived & bit != 0 {
            return Arrival::Duplicate;
        }
        self.arrived |= bit;
        self.received = self.received.wrapping_add(1);
        let extended = self.highest.wrapping_sub(u32::from(behind));
        self.base = self.base.min(extended);
        Arrival::Late
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Entropy;

    const HEADER: Header = Header {
        payload_type: 101,
        marker: true,
        sequence: 0xfffe,
        timestamp: 0x0102_0304,
        ssrc: 0xdead_beef,
    };

    #[test]
    fn what_is_written_is_read_back() {
        let mut buffer = [0; 64];
        let length = HEADER.write(b"\x0b\x0a\x00\xa0", &mut buffer).unwrap();
        assert_eq!(length, 16);
        assert_eq!(buffer[..4], [0x80, 0x80 | 101, 0xff, 0xfe]);
        let packet = Packet::parse(&buffer[..length]).unwrap();
        assert_eq!((packet.payload_type, packet.marker), (101, true));
        assert_eq!(
            (packet.sequence, packet.timestamp, packet.ssrc),
            (0xfffe, 0x0102_0304, 0xdead_beef)
        );
        assert_eq!(packet.payload, b"\x0b\x0a\x00\xa0");
    }

    #[test]
    fn csrc_extension_and_padding_are_not_payload() {
        let mut datagram = vec![0x80 | 0x20 | 0x10 | 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1];
        datagram.extend([9, 9, 9, 9]);
        datagram.extend([0xbe, 0xde, 0, 1, 1, 2, 3, 4]);
        datagram.extend([0xff, 0xfe, 0, 2]);
        let packet = Packet::parse(&datagram).unwrap();
        assert_eq!(packet.payload, [0xff, 0xfe]);
    }

    #[test]
    fn rejects_say_what_was_expected() {
        let short = RtpError::TooShort { expected: 12, got: 3 };
        assert_eq!(Packet::parse(&[0x80, 0, 0]), Err(short));
        assert_eq!(Packet::parse(&[0x40; 12]), Err(RtpError::Version(1)));
        assert_eq!(Packet::parse(&[0x80; 1501]), Err(RtpError::TooLong(1501)));
        let mut padded = [0; 16];
        padded[0] = 0xa0;
        padded[15] = 9;
        assert_eq!(Packet::parse(&padded), Err(RtpError::Padding(9)));
        assert!(HEADER.write(&[0; 60], &mut [0; 64]).is_err());
        let reserved = Header {
            payload_type: 128,
            ..HEADER
        };
        assert_eq!(reserved.write(&[], &mut [0; 64]), Err(RtpError::PayloadType(128)));
    }

    #[test]
    fn the_sequence_wraps_and_loss_is_counted() {
        let mut tracker = SequenceTracker::default();
        assert_eq!(tracker.on_packet(0xfffe), Arrival::Started);
        assert_eq!(tracker.on_packet(0xffff), Arrival::InOrder { lost: 0 });
        assert_eq!(tracker.on_packet(2), Arrival::InOrder { lost: 2 });
        assert_eq!(tracker.on_packet(1), Arrival::Late);
        assert_eq!(tracker.on_packet(1), Arrival::Duplicate);
        assert_eq!(
            (tracker.expected(), tracker.received(), tracker.lost()),
            (5, 4, 1)
        );
        assert_eq!(tracker.highest(), 0x2_0002);
    }

    #[test]
    fn one_stray_packet_changes_nothing_and_two_restart() {
        let mut tracker = SequenceTracker::default();
        tracker.on_packet(100);
        assert_eq!(tracker.on_packet(40_000), Arrival::Stray);
        assert_eq!(tracker.on_packet(101), Arrival::InOrder { lost: 0 });
        assert_eq!(tracker.on_packet(40_000), Arrival::Stray);
        assert_eq!(tracker.on_packet(40_001), Arrival::Started);
        assert_eq!(tracker.lost(), 0);
    }

    #[test]
    fn a_shuffled_stream_loses_nothing() {
        let mut entropy = Entropy::from_number(11);
        let mut order: Vec<u16> = (0..4000_u16).map(|n| n.wrapping_add(63_000)).collect();
        for i in 1..order.len() - 6 {
            order.swap(i, i + entropy.below(5) as usize);
        }
        let mut tracker = SequenceTracker::default();
        let arrivals: Vec<Arrival> = order.iter().map(|s| tracker.on_packet(*s)).collect();
        assert_eq!((tracker.expected(), tracker.received()), (4000, 4000));
        assert!(!arrivals.contains(&Arrival::Duplicate));
    }

    proptest! {
        #[test]
        fn no_octets_panic(datagram in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(packet) = Packet::parse(&datagram) {
                prop_assert!(packet.payload.len() + HEADER_LEN <= datagram.len());
            }
        }

        #[test]
        fn counts_stay_consistent(sequences in proptest::collection::vec(any::<u16>(), 0..400)) {
            let mut tracker = SequenceTracker::default();
            for sequence in sequences {
                tracker.on_packet(sequence);
                prop_assert!(tracker.received() <= tracker.expected());
            }
        }
    }
}
