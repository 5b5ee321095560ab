//! RTCP of one stream (RFC 3550 §6): sender and receiver reports with CNAME, BYE, and a bounded reading of the
//! peer's.
//!
//! [`RtcpSession`] says when a report is due and writes it into the caller's buffer. The NTP timestamps it writes run
//! from the start of the stream, not from the calendar (RFC 3550 §4 allows it): a report tells nothing about this
//! host's clock. Jitter and loss come from [`super::quality`].
//!
//! ```text
//! 0                   1                   2                   3
//! |V=2|P|   RC    |   PT=200/201  |            length             |  sender / receiver report
//! |  ssrc, [NTP, RTP timestamp, packets, octets], report block    |
//! |V=2|P|   SC    |    PT=202     |            length             |  SDES: CNAME
//! |V=2|P|   SC    |    PT=203     |            length             |  BYE, only at the end
//! ```
use std::time::{Duration, Instant};

use super::quality::ReceptionFigures;
use crate::model::Entropy;

/// Mean time between reports (RFC 3550 §6.2); each interval is drawn from half to one and a half of it.
pub const INTERVAL: Duration = Duration::from_secs(5);
/// Enough for any compound packet that we write, octets.
pub const COMPOUND_LEN_MAX: usize = 128;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;
const CNAME_ITEM: u8 = 1;
const HEADER_LEN: usize = 4;
const SENDER_INFO_LEN: usize = 20;
const BLOCK_LEN: usize = 24;
/// 96 random bits in hex (RFC 7022 §4.2 asks for at least 96).
const CNAME_LEN: usize = 24;
/// Longest compound packet that is read, octets, and most packets in it.
const DATAGRAM_LEN_MAX: usize = 1500;
const PACKETS_MAX: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RtcpError {
    #[error("expected {expected} octets of RTCP, got {got}")]
    Length { expected: usize, got: usize },
    #[error("expected RTCP version 2, got {0}")]
    Version(u8),
    #[error("expected a report first, got packet type {0}")]
    FirstPacket(u8),
    #[error("expected at most {PACKETS_MAX} RTCP packets in one datagram, got more")]
    TooManyPackets,
    #[error("expected at least {expected} octets to write RTCP into, got {got}")]
    Buffer { expected: usize, got: usize },
}

/// Whether a datagram on a multiplexed port is RTCP (RFC 5761 §4): packet types 192–223.
#[must_use]
pub fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram, [first, 192..=223, ..] if first >> 6 == 2)
}

/// What we have sent, for a sender report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SentFigures {
    pub packets: u32,
    /// Payload octets.
    pub octets: u32,
    /// Media time of this instant.
    pub rtp_timestamp: u32,
}

/// What a received compound packet says that matters to us.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PeerReport {
    /// The peer's sender report, if it is one.
    pub sender: Option<SenderReport>,
    /// Its block about our stream.
    pub about_us: Option<BlockAboutUs>,
    /// The peer's source says BYE. It ends no call: signalling does.
    pub goodbye: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderReport {
    pub ssrc: u32,
    /// Middle 32 bits of its NTP timestamp.
    pub ntp_middle: u32,
    pub rtp_timestamp: u32,
    pub packets: u32,
    pub octets: u32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BlockAboutUs {
    /// In 1/256.
    pub fraction_lost: u8,
    /// Signed: duplicates may outnumber losses.
    pub lost: i32,
    pub jitter_ticks: u32,
    pub round_trip_ms: Option<f32>,
}

/// Our half of RTCP.
#[derive(Debug, Clone)]
pub struct RtcpSession {
    ssrc: u32,
    cname: [u8; CNAME_LEN],
    /// NTP time zero of this stream lies a random number of seconds before it.
    origin: Instant,
    origin_ntp_s: u32,
    due_at: Instant,
    /// Middle NTP bits of the peer's last sender report, and its arrival.
    heard: Option<(u32, Instant)>,
    about_us: Option<BlockAboutUs>,
    round_trip_ms: Option<f32>,
    entropy: Entropy,
}

impl RtcpSession {
    #[must_use]
    pub fn new(now: Instant, ssrc: u32, mut entropy: Entropy) -> Self {
        let mut cname = [0; CNAME_LEN];
        cname
            .iter_mut()
            .zip(entropy.token().bytes())
            .for_each(|(octet, hex)| *octet = hex);
        let mut session = Self {
            ssrc,
            cname,
            origin: now,
            origin_ntp_s: 0x8000_0000 | entropy.u32() >> 2,
            due_at: now,
            heard: None,
            about_us: None,
            round_trip_ms: None,
            entropy,
        };
        // RFC 3550 §6.3.1: the first report comes after half the interval.
        session.due_at = now + session.draw_interval() / 2;
        session
    }

    #[must_use]
    pub const fn due_at(&self) -> Instant {
        self.due_at
    }

    /// Last round trip that a report block showed.
    #[must_use]
    pub const fn round_trip_ms(&self) -> Option<f32> {
        self.round_trip_ms
    }

    /// The peer's last block about our stream.
    #[must_use]
    pub const fn about_us(&self) -> Option<BlockAboutUs> {
        self.about_us
    }

    /// Writes the report and draws the next interval. `sent` when anything was sent since the last one.
    pub fn write_report(
        &mut self,
        now: Instant,
        sent: Option<SentFigures>,
        received: Option<ReceptionFigures>,
        buffer: &mut [u8],
    ) -> Result<usize, RtcpError> {
        self.due_at = now + self.draw_interval();
        self.write(now, sent, received, false, buffer)
    }

    /// Writes the last report, with BYE.
    pub fn write_goodbye(
        &self,
        now: Instant,
        sent: Option<SentFigures>,
        received: Option<ReceptionFigures>,
        buffer: &mut [u8],
    ) -> Result<usize, RtcpError> {
        self.write(now, sent, received, true, buffer)
    }

    /// Reads a compound packet of the peer (RFC 3550 §A.2).
    pub fn on_packet(&mut self, now: Instant, datagram: &[u8]) -> Result<PeerReport, RtcpError> {
        let mut report = PeerReport::default();
        for (index, packet) in Packets(datagram).enumerate() {
            let (count, packet_type, body) = packet?;
            if index == 0 && !matches!(packet_type, SENDER_REPORT | RECEIVER_REPORT) {
                return Err(RtcpError::FirstPacket(packet_type));
            }
            if index >= PACKETS_MAX {
                return Err(RtcpError::TooManyPackets);
            }
            match packet_type {
                SENDER_REPORT => {
                    report.sender = sender_report(body);
                    let blocks = body.get(HEADER_LEN + SENDER_INFO_LEN..).unwrap_or_default();
                    report.about_us = self.block_about_us(now, count, blocks).or(report.about_us);
                }
                RECEIVER_REPORT => {
                    let blocks = body.get(HEADER_LEN..).unwrap_or_default();
                    report.about_us = self.block_about_us(now, count, blocks).or(report.about_us);
                }
                GOODBYE => report.goodbye = true,
                _ => {}
            }
        }
        if datagram.len() < HEADER_LEN || datagram.len() > DATAGRAM_LEN_MAX {
            return Err(RtcpError::Length {
                expected: HEADER_LEN,
                got: datagram.len(),
            });
        }
        if let Some(sender) = report.sender {
            self.heard = Some((sender.ntp_middle, now));
        }
        self.about_us = report.about_us.or(self.about_us);
        if let Some(round_trip_ms) = report.about_us.and_then(|b| b.round_trip_ms) {
            self.round_trip_ms = Some(round_trip_ms);
        }
        Ok(report)
    }

    fn draw_interval(&mut self) -> Duration {
        let spread_ms = self.entropy.below(INTERVAL.as_millis() as u64);
        INTERVAL / 2 + Duration::from_millis(spread_ms)
    }

    /// 64-bit NTP format: seconds and their binary fraction.
    fn ntp(&self, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.origin);
        let fraction = (u64::from(elapsed.subsec_nanos()) << 32) / 1_000_000_000;
        ((u64::from(self.origin_ntp_s) + elapsed.as_secs()) << 32) | fraction
    }

    fn block_about_us(&self, now: Instant, count: u8, blocks: &[u8]) -> Option<BlockAboutUs> {
        let (blocks, _) = blocks.as_chunks::<BLOCK_LEN>();
        let ours = blocks
            .iter()
            .take(usize::from(count))
            .find(|b| word(*b, 0) == self.ssrc)?;
        let loss = word(ours, 4);
        let (last_report, delay) = (word(ours, 16), word(ours, 20));
        let now_middle = (self.ntp(now) >> 16) as u32;
        let round_trip = now_middle.wrapping_sub(last_report).wrapping_sub(delay);
        // More than ten seconds, or negative: a peer that fills the fields wrongly.
        let believable = last_report != 0 && round_trip < 10 << 16;
        Some(BlockAboutUs {
            fraction_lost: (loss >> 24) as u8,
            lost: (loss << 8) as i32 >> 8,
            jitter_ticks: word(ours, 12),
            round_trip_ms: believable.then_some(round_trip as f32 * 1000.0 / 65_536.0),
        })
    }

    fn write(
        &self,
        now: Instant,
        sent: Option<SentFigures>,
        received: Option<ReceptionFigures>,
        goodbye: bool,
        buffer: &mut [u8],
    ) -> Result<usize, RtcpError> {
        let got = buffer.len();
        let Some(buffer) = buffer.get_mut(..COMPOUND_LEN_MAX) else {
            return Err(RtcpError::Buffer {
                expected: COMPOUND_LEN_MAX,
                got,
            });
        };
        let mut writer = Writer { buffer, length: 0 };
        let packet_type = if sent.is_some() {
            SENDER_REPORT
        } else {
            RECEIVER_REPORT
        };
        let report = writer.begin(packet_type, u8::from(received.is_some()));
        writer.word(self.ssrc);
        if let Some(sent) = sent {
            let ntp = self.ntp(now);
            writer.words(&[
                (ntp >> 32) as u32,
                ntp as u32,
                sent.rtp_timestamp,
                sent.packets,
                sent.octets,
            ]);
        }
        if let Some(figures) = received {
            let loss = u32::from(figures.fraction_lost) << 24 | figures.lost & 0x00ff_ffff;
            let (last_report, delay) = self.heard.map_or((0, 0), |(ntp_middle, at)| {
                let delay = now.saturating_duration_since(at).as_nanos() * 65_536 / 1_000_000_000;
                (ntp_middle, u32::try_from(delay).unwrap_or(u32::MAX))
            });
            writer.words(&[
                figures.ssrc,
                loss,
                figures.highest_sequence,
                figures.jitter_ticks,
                last_report,
                delay,
            ]);
        }
        writer.end(report);
        let description = writer.begin(SOURCE_DESCRIPTION, 1);
        writer.word(self.ssrc);
        writer.octets(&[CNAME_ITEM, CNAME_LEN as u8]);
        writer.octets(&self.cname);
        // The chunk ends with a zero octet and is padded to a whole word (RFC 3550 §6.5): 2 + 24 + 2.
        writer.octets(&[0, 0]);
        writer.end(description);
        if goodbye {
            let bye = writer.begin(GOODBYE, 1);
            writer.word(self.ssrc);
            writer.end(bye);
        }
        Ok(writer.length)
    }
}

/// Appends to a buffer that is known to be long enough; what would not fit is not written.
struct Writer<'a> {
    buffer: &'a mut [u8],
    length: usize,
}

impl Writer<'_> {
    fn octets(&mut self, octets: &[u8]) {
        if let Some(place) = self.buffer.get_mut(self.length..self.length + octets.len()) {
            place.copy_from_slice(octets);
            self.length += octets.len();
        }
    }

    fn word(&mut self, word: u32) {
        self.octets(&word.to_be_bytes());
    }

    fn words(&mut self, words: &[u32]) {
        words.iter().for_each(|w| self.word(*w));
    }

    /// Starts a packet and returns its place, for [`Writer::end`].
    fn begin(&mut self, packet_type: u8, count: u8) -> usize {
        let place = self.length;
        self.octets(&[0x80 | count, packet_type, 0, 0]);
        place
    }

    /// Fills in the length: whole words, less one.
    fn end(&mut self, place: usize) {
        let words = (self.length - place) / 4;
        let length = u16::try_from(words.saturating_sub(1))
            .unwrap_or(u16::MAX)
            .to_be_bytes();
        if let Some(field) = self.buffer.get_mut(place + 2..place + 4) {
            field.copy_from_slice(&length);
        }
    }
}

/// Splits a compound packet: count, type, and all octets after the first word.
struct Packets<'a>(&'a [u8]);

impl<'a> Iterator for Packets<'a> {
    type Item = Result<(u8, u8, &'a [u8]), RtcpError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let whole = std::mem::take(&mut self.0);
        let [first, packet_type, high, low, after @ ..] = whole else {
            return Some(Err(RtcpError::Length {
                expected: HEADER_LEN,
                got: whole.len(),
            }));
        };
        if first >> 6 != 2 {
            return Some(Err(RtcpError::Version(first >> 6)));
        }
        let length = usize::from(u16::from_be_bytes([*high, *low])) * 4;
        let Some((body, rest)) = after.split_at_checked(length) else {
            return Some(Err(RtcpError::Length {
                expected: length + HEADER_LEN,
                got: whole.len(),
            }));
        };
        self.0 = rest;
        Some(Ok((first & 0x1f, *packet_type, body)))
    }
}

/// `body` starts with the sender's SSRC.
fn sender_report(body: &[u8]) -> Option<SenderReport> {
    let (info, _) = body.split_first_chunk::<{ 4 + SENDER_INFO_LEN }>()?;
    Some(SenderReport {
        ssrc: word(info, 0),
        ntp_middle: word(info, 4) << 16 | word(info, 8) >> 16,
        rtp_timestamp: word(info, 12),
        packets: word(info, 16),
        octets: word(info, 20),
    })
}

/// The big-endian word at `at`; 0 past the end.
fn word(octets: &[u8], at: usize) -> u32 {
    octets
        .get(at..)
        .and_then(|o| o.first_chunk::<4>())
        .map_or(0, |o| u32::from_be_bytes(*o))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[expect(
        clippy::disallowed_methods,
        reason = "a test needs some origin; only differences count"
    )]
    fn origin() -> Instant {
        Instant::now()
    }

    fn session(now: Instant, ssrc: u32) -> RtcpSession {
        RtcpSession::new(now, ssrc, Entropy::from_number(u64::from(ssrc)))
    }

    const SENT: SentFigures = SentFigures {
        packets: 50,
        octets: 8000,
        rtp_timestamp: 1234,
    };

    #[test]
    fn two_sessions_measure_loss_and_round_trip() {
        let start = origin();
        let at = |ms| start + Duration::from_millis(ms);
        let (mut a, mut b) = (session(start, 1), session(start, 2));
        let mut buffer = [0; COMPOUND_LEN_MAX];
        let length = a.write_report(at(1000), Some(SENT), None, &mut buffer).unwrap();
        let heard = b.on_packet(at(1030), &buffer[..length]).unwrap();
        let sender = heard.sender.unwrap();
        assert_eq!(
            (sender.ssrc, sender.packets, sender.octets, sender.rtp_timestamp),
            (1, 50, 8000, 1234)
        );
        let figures = ReceptionFigures {
            ssrc: 1,
            fraction_lost: 25,
            lost: 5,
            highest_sequence: 0x1_0040,
            jitter_ticks: 16,
        };
        let length = b
            .write_report(at(3030), None, Some(figures), &mut buffer)
            .unwrap();
        let about_us = a
            .on_packet(at(3070), &buffer[..length])
            .unwrap()
            .about_us
            .unwrap();
        assert_eq!(
            (about_us.fraction_lost, about_us.lost, about_us.jitter_ticks),
            (25, 5, 16)
        );
        let round_trip_ms = about_us.round_trip_ms.unwrap();
        assert!((round_trip_ms - 70.0).abs() < 0.1, "{round_trip_ms}");
        assert_eq!(a.round_trip_ms(), Some(round_trip_ms));
        // A report without a block of ours leaves the one before.
        let length = b.write_report(at(4000), Some(SENT), None, &mut buffer).unwrap();
        a.on_packet(at(4010), &buffer[..length]).unwrap();
        assert_eq!((a.about_us(), b.about_us()), (Some(about_us), None));
    }

    #[test]
    fn a_report_is_report_and_cname_and_a_goodbye_ends_it() {
        let start = origin();
        let mut session = session(start, 0xabcd);
        let mut buffer = [0; COMPOUND_LEN_MAX];
        let length = session
            .write_report(start, Some(SENT), None, &mut buffer)
            .unwrap();
        assert_eq!(length, 28 + 36);
        assert_eq!(buffer[..4], [0x80, 200, 0, 6]);
        assert_eq!(buffer[28..32], [0x81, 202, 0, 8]);
        assert_eq!(buffer[36..38], [1, 24]);
        assert!(buffer[38..62].iter().all(u8::is_ascii_hexdigit));
        assert!(is_rtcp(&buffer));
        let length = session.write_goodbye(start, None, None, &mut buffer).unwrap();
        assert_eq!(buffer[..4], [0x80, 201, 0, 1]);
        assert_eq!(buffer[length - 8..length], [0x81, 203, 0, 1, 0, 0, 0xab, 0xcd]);
        let mut peer = self::session(start, 5);
        assert!(peer.on_packet(start, &buffer[..length]).unwrap().goodbye);
    }

    #[test]
    fn intervals_are_drawn_around_five_seconds() {
        let start = origin();
        let mut session = session(start, 3);
        assert!(session.due_at() >= start + INTERVAL / 4);
        for _ in 0..200 {
            session
                .write_report(start, None, None, &mut [0; COMPOUND_LEN_MAX])
                .unwrap();
            let wait = session.due_at() - start;
            assert!(wait >= INTERVAL / 2 && wait < INTERVAL * 3 / 2, "{wait:?}");
        }
    }

    #[test]
    fn broken_packets_are_named() {
        let start = origin();
        let mut session = session(start, 3);
        let short = RtcpError::Length { expected: 4, got: 2 };
        assert_eq!(session.on_packet(start, &[0x80, 200]), Err(short));
        assert!(session.on_packet(start, &[]).is_err());
        assert_eq!(
            session.on_packet(start, &[0x40, 200, 0, 0]),
            Err(RtcpError::Version(1))
        );
        assert_eq!(
            session.on_packet(start, &[0x80, 202, 0, 0]),
            Err(RtcpError::FirstPacket(202))
        );
        let cut = RtcpError::Length { expected: 28, got: 8 };
        assert_eq!(session.on_packet(start, &[0x80, 200, 0, 6, 0, 0, 0, 1]), Err(cut));
        let many = [0x80, 201, 0, 0].repeat(PACKETS_MAX + 1);
        assert_eq!(session.on_packet(start, &many), Err(RtcpError::TooManyPackets));
        let written = session.write_report(start, None, None, &mut [0; 20]);
        assert!(matches!(written, Err(RtcpError::Buffer { got: 20, .. })));
    }

    #[test]
    fn rtp_is_not_rtcp() {
        assert!(!is_rtcp(&[0x80, 0, 1, 2]) && !is_rtcp(&[0x80, 0x80 | 101, 1, 2]) && !is_rtcp(&[0x80]));
        assert!(is_rtcp(&[0x81, 201]) && !is_rtcp(&[0x01, 201]));
    }

    proptest! {
        #[test]
        fn no_octets_panic(datagram in proptest::collection::vec(any::<u8>(), 0..200), plausible in any::<bool>()) {
            let start = origin();
            let mut datagram = datagram;
            if let (true, Some(first)) = (plausible, datagram.first_chunk_mut::<4>()) {
                *first = [0x81, 200, 0, 12];
            }
            let _ = session(start, 7).on_packet(start, &datagram);
        }
    }
}
