//! The packets of one leg, kept for the flight recorder where the operator wants them: plain RTP and RTCP, redacted as they
//! are put in, so that what may not be kept is never held (SAFETY 1.11).
//!
//! | packet | kept |
//! |---|---|
//! | our prompt | header; its audio only where [`TapeRules::own_audio`] says so |
//! | our prompt that speaks a code, our keys as tones | header, audio as silence |
//! | our keys and hidden keys of the callee as telephone-event | all but the digit, which becomes [`NO_DIGIT`] |
//! | audio of the callee | header, audio as silence, but with [`TapeRules::callee_audio`] |
//! | under keys (SRTP) | headers of both sides; no digit, no RTCP |
//! | RTCP | its first report; a source description may name a person |
//!
//! A header is kept as its twelve octets: no CSRC, no extension (RFC 6464 tells the loudness). Silence is the octet of the
//! codec that decodes to it, of unknown payloads 0; it is written when the tape is read, and takes no memory before.
//!
//! Invariants: the tape is made once, when media begins, with all its memory; a packet that finds no room is counted and
//! left out, and nothing is allocated for any.
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::media::codec;
use crate::media::keys::Content;
use crate::media::rtp::{HEADER_LEN, Packet};
use crate::media::telephone_event::EVENT_LEN;

/// An event that is no digit and no other signal (RFC 4733 §3.2 reserves it).
pub const NO_DIGIT: u8 = 255;

/// Agreements of one call whose addresses differ; later packets are said to go the last way.
const PATHS_MAX: usize = 16;
/// Flags, path, fill, time, length of the payload; then the RTP header, and the payload where it is kept.
const ENTRY_LEN: usize = 1 + 1 + 1 + 4 + 2;
const FROM_CALLEE: u8 = 1;
const RTCP: u8 = 2;
const HIDDEN: u8 = 4;

/// What may be kept of a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TapeRules {
    pub octets_max: usize,
    /// The audio that we send, where it speaks no code.
    pub own_audio: bool,
    /// Never in a call whose keys are hidden: tones are in the audio.
    pub callee_audio: bool,
    /// Which key the callee pressed.
    pub callee_digits: bool,
}

/// The tape. What it says of itself holds no audio and no key.
#[derive(Clone, PartialEq, Eq)]
pub struct Tape {
    rules: TapeRules,
    began: Instant,
    octets: Vec<u8>,
    paths: Vec<Path>,
    left_out: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Path {
    rtp: SocketAddr,
    rtcp: Option<SocketAddr>,
}

/// One packet of a tape, whole again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taped {
    /// Since the tape began.
    pub at: Duration,
    pub from_callee: bool,
    /// RTCP on ports of its own.
    pub is_rtcp_apart: bool,
    /// The callee's address.
    pub remote: SocketAddr,
    pub datagram: Vec<u8>,
}

impl std::fmt::Debug for Tape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (octets, left_out) = (self.octets.len(), self.left_out);
        write!(f, "Tape({octets} octets, {left_out} packets left out)")
    }
}

impl Tape {
    pub(super) fn new(now: Instant, rules: TapeRules) -> Self {
        Self {
            rules,
            began: now,
            octets: Vec::with_capacity(rules.octets_max),
            paths: Vec::with_capacity(PATHS_MAX),
            left_out: 0,
        }
    }

    /// Where packets go from now on.
    pub(super) fn agreed(&mut self, rtp: SocketAddr, rtcp: Option<SocketAddr>) {
        let path = Path { rtp, rtcp };
        if self.paths.last() != Some(&path) && self.paths.len() < PATHS_MAX {
            self.paths.push(path);
        }
    }

    /// When the first packet could have been.
    #[must_use]
    pub const fn began(&self) -> Instant {
        self.began
    }

    /// Packets that found no room.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Memory that it holds, octets.
    #[must_use]
    pub const fn held_octets(&self) -> usize {
        self.octets.capacity()
    }

    /// Gives back what was not used; the call is over.
    #[must_use]
    pub fn trimmed(mut self) -> Self {
        self.octets.shrink_to_fit();
        self
    }

    /// A packet from the callee that is RTP, and authentic under keys.
    pub(super) fn received(&mut self, now: Instant, packet: &Packet<'_>, content: Content, encrypted: bool) {
        let keep = match content {
            Content::Audio(_) => self.rules.callee_audio && self.rules.callee_digits && !encrypted,
            Content::Event { .. } => true,
            Content::Other => false,
        };
        let hide_digit = !self.rules.callee_digits || encrypted;
        self.put(now, FROM_CALLEE, packet, Kept::of(content, keep, hide_digit));
    }

    /// A packet of ours; `private` when it speaks a code or is keys as tones.
    pub(super) fn sent(&mut self, now: Instant, packet: &Packet<'_>, content: Content, private: bool) {
        let keep = match content {
            Content::Audio(_) => self.rules.own_audio && !private,
            Content::Event { .. } => true,
            Content::Other => false,
        };
        self.put(now, 0, packet, Kept::of(content, keep, true));
    }

    /// The first report of a compound packet; the source description behind it is left away.
    pub(super) fn rtcp(&mut self, now: Instant, from_callee: bool, datagram: &[u8]) {
        let [_, _, high, low, ..] = datagram else { return };
        let len = (usize::from(u16::from_be_bytes([*high, *low])) + 1) * 4;
        let Some(report) = datagram.get(..len) else { return };
        let flags = RTCP | if from_callee { FROM_CALLEE } else { 0 };
        if self.begin(now, flags, 0, report.len(), report.len()) {
            self.octets.extend_from_slice(report);
        }
    }

    fn put(&mut self, now: Instant, way: u8, packet: &Packet<'_>, kept: Kept) {
        let len = packet.payload.len();
        let (flags, fill, stored) = match kept {
            Kept::Whole | Kept::EventWithoutDigit => (way, 0, len),
            Kept::Silence(fill) => (way | HIDDEN, fill, 0),
        };
        if !self.begin(now, flags, fill, len, HEADER_LEN + stored) {
            return;
        }
        let marker = if packet.marker { 0x80 } else { 0 };
        self.octets
            .extend_from_slice(&[0x80, marker | packet.payload_type]);
        self.octets.extend_from_slice(&packet.sequence.to_be_bytes());
        self.octets.extend_from_slice(&packet.timestamp.to_be_bytes());
        self.octets.extend_from_slice(&packet.ssrc.to_be_bytes());
        let at = self.octets.len();
        if stored > 0 {
            self.octets.extend_from_slice(packet.payload);
        }
        if kept == Kept::EventWithoutDigit {
            let events = self.octets.get_mut(at..).unwrap_or_default();
            for event in events.chunks_mut(EVENT_LEN) {
                if let Some(digit) = event.first_mut() {
                    *digit = NO_DIGIT;
                }
            }
        }
    }

    /// Room for an entry, or a count.
    fn begin(&mut self, now: Instant, flags: u8, fill: u8, len: usize, stored: usize) -> bool {
        let room = self.rules.octets_max.saturating_sub(self.octets.len());
        let (Ok(len), true) = (u16::try_from(len), ENTRY_LEN + stored <= room) else {
            self.left_out += 1;
            return false;
        };
        let path = self.paths.len().saturating_sub(1) as u8;
        let at = now.saturating_duration_since(self.began).as_micros();
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        self.octets.extend_from_slice(&[flags, path, fill]);
        self.octets.extend_from_slice(&at.to_be_bytes());
        self.octets.extend_from_slice(&len.to_be_bytes());
        true
    }

    /// Every packet, in order.
    pub fn packets(&self) -> impl Iterator<Item = Taped> + '_ {
        let mut rest = self.octets.as_slice();
        std::iter::from_fn(move || {
            let ([flags, path, fill, time @ .., high, low], after) = rest.split_first_chunk::<ENTRY_LEN>()?;
            let len = usize::from(u16::from_be_bytes([*high, *low]));
            let (is_rtcp, is_hidden) = (flags & RTCP != 0, flags & HIDDEN != 0);
            let header = if is_rtcp { 0 } else { HEADER_LEN };
            let stored = header + if is_hidden { 0 } else { len };
            let (octets, after) = after.split_at_checked(stored)?;
            rest = after;
            let mut datagram = octets.to_vec();
            datagram.resize(header + len, *fill);
            let path = self.paths.get(usize::from(*path))?;
            Some(Taped {
                at: Duration::from_micros(u64::from(u32::from_be_bytes(*time))),
                from_callee: flags & FROM_CALLEE != 0,
                is_rtcp_apart: is_rtcp && path.rtcp != Some(path.rtp),
                remote: if is_rtcp {
                    path.rtcp.unwrap_or(path.rtp)
                } else {
                    path.rtp
                },
                datagram,
            })
        })
    }
}

/// What is kept of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    Whole,
    EventWithoutDigit,
    /// Its length, and the octet that it is filled with.
    Silence(u8),
}

impl Kept {
    const fn of(content: Content, keep: bool, hide_digit: bool) -> Self {
        match content {
            Content::Event { .. } if hide_digit => Self::EventWithoutDigit,
            Content::Event { .. } => Self::Whole,
            Content::Audio(_) if keep => Self::Whole,
            Content::Audio(codec) => Self::Silence(codec::silence(codec)),
            Content::Other => Self::Silence(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Codec;

    const RULES: TapeRules = TapeRules {
        octets_max: 4096,
        own_audio: true,
        callee_audio: false,
        callee_digits: true,
    };
    const AUDIO: Content = Content::Audio(Codec::Pcma);
    const EVENT: Content = Content::Event { negotiated: true };

    #[expect(
        clippy::disallowed_methods,
        reason = "a test needs some origin; only differences count"
    )]
    fn tape(rules: TapeRules) -> Tape {
        let mut tape = Tape::new(Instant::now(), rules);
        tape.agreed("192.0.2.7:4000".parse().unwrap(), None);
        tape
    }

    fn packet(payload: &[u8]) -> Packet<'_> {
        Packet {
            payload_type: 8,
            marker: true,
            sequence: 0x0102,
            timestamp: 0x0304_0506,
            ssrc: 0x0708_090a,
            payload,
        }
    }

    fn payloads(tape: &Tape) -> Vec<Vec<u8>> {
        tape.packets()
            .map(|taped| taped.datagram[HEADER_LEN..].to_vec())
            .collect()
    }

    #[test]
    fn a_packet_reads_back_with_its_header_and_its_time() {
        let mut tape = tape(RULES);
        let at = Duration::from_micros(1_234_567);
        tape.sent(tape.began() + at, &packet(&[1; 20]), AUDIO, false);
        let expected = Taped {
            at,
            from_callee: false,
            is_rtcp_apart: false,
            remote: "192.0.2.7:4000".parse().unwrap(),
            datagram: [&[0x80, 0x88, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10][..], &[1; 20]].concat(),
        };
        assert_eq!(tape.packets().collect::<Vec<_>>(), [expected]);
    }

    #[test]
    fn what_a_callee_says_and_what_speaks_a_code_is_never_held() {
        let mut tape = tape(RULES);
        let now = tape.began();
        tape.received(now, &packet(b"voice"), AUDIO, false);
        tape.sent(now, &packet(b"code!"), AUDIO, true);
        tape.received(now, &packet(b"noise"), Content::Other, false);
        assert!(
            !tape
                .octets
                .windows(5)
                .any(|w| [&b"voice"[..], b"code!", b"noise"].contains(&w))
        );
        assert_eq!(payloads(&tape), [[0xd5; 5], [0xd5; 5], [0; 5]]);
    }

    #[test]
    fn a_digit_is_kept_only_where_it_is_no_code_and_not_ours() {
        let event = [5, 0x8a, 3, 32];
        let hidden = [NO_DIGIT, 0x8a, 3, 32];
        let mut open = tape(RULES);
        let now = open.began();
        open.received(now, &packet(&event), EVENT, false);
        open.received(now, &packet(&event), EVENT, true);
        open.sent(now, &packet(&event), EVENT, false);
        assert_eq!(payloads(&open), [event, hidden, hidden]);
        let mut code = tape(TapeRules {
            callee_digits: false,
            callee_audio: true,
            ..RULES
        });
        code.received(now, &packet(&[event, event].concat()), EVENT, false);
        code.received(now, &packet(b"tones"), AUDIO, false);
        assert_eq!(payloads(&code), [[hidden, hidden].concat(), vec![0xd5; 5]]);
    }

    #[test]
    fn callee_audio_is_kept_where_it_is_wanted_but_never_under_keys() {
        let mut tape = tape(TapeRules {
            callee_audio: true,
            ..RULES
        });
        let now = tape.began();
        tape.received(now, &packet(b"voice"), AUDIO, false);
        tape.received(now, &packet(b"voice"), AUDIO, true);
        assert_eq!(payloads(&tape), [b"voice".to_vec(), vec![0xd5; 5]]);
    }

    #[test]
    fn of_rtcp_the_report_is_kept_and_not_who_sent_it() {
        let mut tape = tape(RULES);
        let report = [0x80, 201, 0, 1, 0, 0, 0, 9];
        let compound = [&report[..], &[0x81, 202, 0, 2, 0, 0, 0, 9, 1, 1, b'a', 0]].concat();
        tape.rtcp(tape.began(), true, &compound);
        tape.rtcp(tape.began(), true, &compound[..6]);
        let taped: Vec<_> = tape.packets().collect();
        assert_eq!(taped.len(), 1);
        assert!(taped[0].is_rtcp_apart && taped[0].from_callee);
        assert_eq!(taped[0].datagram, report);
    }

    #[test]
    fn a_full_tape_counts_and_never_grows() {
        let mut tape = tape(TapeRules {
            octets_max: 400,
            ..RULES
        });
        let held = tape.held_octets();
        for _ in 0..10 {
            tape.sent(tape.began(), &packet(&[1; 160]), AUDIO, false);
        }
        assert_eq!((tape.packets().count(), tape.left_out()), (2, 8));
        assert_eq!(tape.held_octets(), held);
        assert!(tape.trimmed().held_octets() < held);
    }
}
