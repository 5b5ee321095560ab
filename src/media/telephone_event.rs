//! Telephone-event, the key as a number in RTP (RFC 4733; RFC 2833 is its ancestor): [`EventReceiver`] and
//! [`EventSender`].
//!
//! One press on the wire, 20 ms apart (`D` duration in ticks, `E` end bit):
//!
//! ```text
//! marker  sequence  timestamp    payload          receiver
//!   1        40       8000       D=160            first evidence
//!            41       8000       D=320            two consistent packets: Began
//!            42       8000       D=480
//!            43       8000       D=640  E         Ended, 80 ms
//!            44       8000       D=640  E         the same press, repeated
//!            45       8000       D=640  E
//! ```
//!
//! A press is the triple (SSRC, timestamp, event); the marker decides nothing. A new timestamp is a new press, even
//! of the same digit, unless it continues the last one ([`Active::continues`]). A lost end comes by
//! [`EventReceiver::poll`] or by the next press.
//!
//! It does not decide which payload type carries events ([`super::keys`]) nor merge with tones ([`super::press`]).
//!
//! Invariants: every `Ended` follows one `Began` of the same digit; late and repeated packets of the last
//! [`FINISHED_MAX`] presses change nothing.
use std::time::{Duration, Instant};

use super::codec::SAMPLES_PER_MS;
use crate::model::{Digit, Digits};

/// Octets of one event block (RFC 4733 §2.3).
pub const EVENT_LEN: usize = 4;
/// Event blocks read from one packet; real senders put one.
const BLOCKS_MAX: usize = 16;
/// Presses remembered, so that their late packets are known.
const FINISHED_MAX: usize = 8;
/// Wait for the next update: three packet times, but never less.
const LOST_END_MIN: Duration = Duration::from_millis(120);
/// A press continues under a new timestamp only this soon after its last update.
const CONTINUATION_MAX: Duration = Duration::from_millis(60);
/// An older timestamp within this many ticks (8 s) is a late packet, beyond it a restart of the clock.
const LATE_TICKS_MAX: u32 = 64_000;
/// Longest press reported, milliseconds: an hour.
const DURATION_MS_MAX: u64 = 3_600_000;
const END_BIT: u8 = 0x80;

/// Why a payload is no telephone-event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a telephone-event payload of a non-zero multiple of {EVENT_LEN} octets, got {0}")]
pub struct EventLenError(pub usize);

/// What the receiver is certain of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventReport {
    Began { digit: Digit, started_at: Instant },
    Ended { digit: Digit, duration_ms: u32 },
}

/// What a packet is to the presses, by the most that one of its blocks is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evidence {
    /// An event that is no key.
    Nothing,
    /// Of a press that is over: repeated or late.
    Old,
    /// Of what is a press or may become one.
    Press,
}

/// Place of a packet in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventPacket<'a> {
    pub ssrc: u32,
    pub sequence: u16,
    pub timestamp: u32,
    pub payload: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    ssrc: u32,
    timestamp: u32,
    digit: Digit,
}

/// One event block with its key.
#[derive(Debug, Clone, Copy)]
struct Block {
    key: Key,
    sequence: u16,
    end: bool,
    duration_ticks: u16,
}

/// How a sender counts through a long press.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clocking {
    /// One timestamp for the press, as the RFC has it; segments add up.
    Fixed,
    /// The timestamp moves with every packet.
    Advancing,
}

/// The press under way: no end bit seen.
#[derive(Debug, Clone, Copy)]
struct Active {
    key: Key,
    first_sequence: u16,
    started_at: Instant,
    updated_at: Instant,
    certain: bool,
    clocking: Clocking,
    /// Ticks of finished segments and of the present one.
    earlier_ticks: u64,
    duration_ticks: u16,
}

#[derive(Debug, Clone, Copy)]
struct Finished {
    key: Key,
    at: Instant,
    clocking: Clocking,
}

/// Reads one stream's events.
#[derive(Debug, Clone)]
pub struct EventReceiver {
    lost_end: Duration,
    active: Option<Active>,
    finished: [Option<Finished>; FINISHED_MAX],
    finished_next: usize,
}

impl EventReceiver {
    #[must_use]
    pub fn new(ptime_ms: u8) -> Self {
        Self {
            lost_end: lost_end(ptime_ms),
            active: None,
            finished: [None; FINISHED_MAX],
            finished_next: 0,
        }
    }

    /// Another packet time was agreed; a press under way goes on and ends by it.
    pub fn renegotiate(&mut self, ptime_ms: u8) {
        self.lost_end = lost_end(ptime_ms);
    }

    /// Takes one packet. Blocks are read in order: each begins where the one before it ended (RFC 4733 §2.5.1.5).
    pub fn on_packet(
        &mut self,
        now: Instant,
        packet: EventPacket<'_>,
        out: &mut Vec<EventReport>,
    ) -> Result<Evidence, EventLenError> {
        let (blocks, rest) = packet.payload.as_chunks::<EVENT_LEN>();
        if blocks.is_empty() || !rest.is_empty() {
            return Err(EventLenError(packet.payload.len()));
        }
        let mut timestamp = packet.timestamp;
        let mut evidence = Evidence::Nothing;
        for [event, flags, high, low] in blocks.iter().take(BLOCKS_MAX) {
            let duration_ticks = u16::from_be_bytes([*high, *low]);
            if let Some(digit) = Digit::from_event(*event) {
                let key = Key {
                    ssrc: packet.ssrc,
                    timestamp,
                    digit,
                };
                let block = Block {
                    key,
                    sequence: packet.sequence,
                    end: flags & END_BIT != 0,
                    duration_ticks,
                };
                evidence = evidence.max(self.on_block(now, block, out));
            }
            timestamp = timestamp.wrapping_add(u32::from(duration_ticks));
        }
        Ok(evidence)
    }

    /// Ends a press whose end packets were lost.
    pub fn poll(&mut self, now: Instant, out: &mut Vec<EventReport>) {
        if self.active.is_some_and(|a| now >= a.updated_at + self.lost_end) {
            self.finish(now, out);
        }
    }

    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let active = self.active.as_ref()?;
        Some((
            active.updated_at + self.lost_end,
            "the end of a telephone-event was lost",
        ))
    }

    fn on_block(&mut self, now: Instant, block: Block, out: &mut Vec<EventReport>) -> Evidence {
        if self.is_finished(now, block) {
            return Evidence::Old;
        }
        if let Some(active) = &mut self.active {
            if active.key == block.key {
                active.update(now, block);
                return self.settle(now, block, out);
            }
            if active.continues(now, block) {
                active.continue_with(now, block);
                return self.settle(now, block, out);
            }
            if active.is_after(block.key) {
                return self.on_late(now, block, out);
            }
        }
        self.finish(now, out);
        self.active = Some(Active::new(now, block));
        self.settle(now, block, out)
    }

    /// A packet of a press before the active one: alone it proves a press only with its end bit.
    fn on_late(&mut self, now: Instant, block: Block, out: &mut Vec<EventReport>) -> Evidence {
        if !block.end {
            return Evidence::Old;
        }
        let late = Active::new(now, block);
        out.push(late.began());
        out.push(late.ended());
        self.remember(now, &late);
        Evidence::Press
    }

    fn settle(&mut self, now: Instant, block: Block, out: &mut Vec<EventReport>) -> Evidence {
        if let Some(active) = &mut self.active {
            let certain = block.end || block.sequence != active.first_sequence;
            if certain && !active.certain {
                active.certain = true;
                out.push(active.began());
            }
        }
        if block.end {
            self.finish(now, out);
        }
        Evidence::Press
    }

    /// Closes the active press. One that was never certain (a lone packet without end bit) is forgotten.
    fn finish(&mut self, now: Instant, out: &mut Vec<EventReport>) {
        let Some(active) = self.active.take() else { return };
        self.remember(now, &active);
        if active.certain {
            out.push(active.ended());
        }
    }

    fn remember(&mut self, now: Instant, active: &Active) {
        if let Some(slot) = self.finished.get_mut(self.finished_next % FINISHED_MAX) {
            *slot = Some(Finished {
                key: active.key,
                at: now,
                clocking: active.clocking,
            });
        }
        self.finished_next = (self.finished_next + 1) % FINISHED_MAX;
    }

    fn is_finished(&self, now: Instant, block: Block) -> bool {
        self.finished
            .iter()
            .flatten()
            .any(|f| f.key == block.key || f.has_tail(now, block))
    }
}

fn lost_end(ptime_ms: u8) -> Duration {
    LOST_END_MIN.max(Duration::from_millis(3 * u64::from(ptime_ms)))
}

impl Finished {
    /// Repeated end packets, and late ones, of a sender whose timestamp moves with every packet.
    fn has_tail(&self, now: Instant, block: Block) -> bool {
        let behind = self.key.timestamp.wrapping_sub(block.key.timestamp);
        self.clocking == Clocking::Advancing
            && (block.end || behind <= LATE_TICKS_MAX)
            && (block.key.ssrc, block.key.digit) == (self.key.ssrc, self.key.digit)
            && now.saturating_duration_since(self.at) <= CONTINUATION_MAX
    }
}

impl Active {
    const fn new(now: Instant, block: Block) -> Self {
        Self {
            key: block.key,
            first_sequence: block.sequence,
            started_at: now,
            updated_at: now,
            certain: false,
            clocking: Clocking::Fixed,
            earlier_ticks: 0,
            duration_ticks: block.duration_ticks,
        }
    }

    fn update(&mut self, now: Instant, block: Block) {
        self.updated_at = now;
        // Reordered packets carry a smaller duration.
        self.duration_ticks = self.duration_ticks.max(block.duration_ticks);
    }

    /// Whether a new timestamp is this press still: the same key soon after, and either a segment of a long event
    /// that begins where the last one ended (RFC 4733 §2.5.1.3) or a sender that moves timestamp and duration on
    /// together.
    fn continues(&self, now: Instant, block: Block) -> bool {
        let same = (block.key.ssrc, block.key.digit) == (self.key.ssrc, self.key.digit);
        let soon = now.saturating_duration_since(self.updated_at) <= CONTINUATION_MAX;
        if !same || !soon {
            return false;
        }
        let step = block.key.timestamp.wrapping_sub(self.key.timestamp);
        let next_segment = step == u32::from(self.duration_ticks);
        let known_to_advance =
            self.clocking == Clocking::Advancing && step <= CONTINUATION_MAX.as_millis() as u32 * 16;
        next_segment || self.moves_together(step, block) || known_to_advance
    }

    fn moves_together(&self, step: u32, block: Block) -> bool {
        step > 0
            && block
                .duration_ticks
                .checked_sub(self.duration_ticks)
                .is_some_and(|grown| u32::from(grown) == step)
    }

    fn continue_with(&mut self, now: Instant, block: Block) {
        let step = block.key.timestamp.wrapping_sub(self.key.timestamp);
        if self.moves_together(step, block) {
            // The duration counts from the start of the press already.
            self.clocking = Clocking::Advancing;
        } else {
            self.earlier_ticks = self.earlier_ticks.saturating_add(u64::from(step));
            // A segment is 65,535 ticks long; a step of a packet time is a sender that counts each packet alone.
            if self.duration_ticks < u16::MAX / 2 {
                self.clocking = Clocking::Advancing;
            }
        }
        self.key = block.key;
        self.duration_ticks = block.duration_ticks;
        self.updated_at = now;
    }

    /// Whether `key` lies shortly before this press in media time.
    const fn is_after(&self, key: Key) -> bool {
        let behind = self.key.timestamp.wrapping_sub(key.timestamp);
        key.ssrc == self.key.ssrc && behind > 0 && behind <= LATE_TICKS_MAX
    }

    const fn began(&self) -> EventReport {
        EventReport::Began {
            digit: self.key.digit,
            started_at: self.started_at,
        }
    }

    fn ended(&self) -> EventReport {
        let ticks = self.earlier_ticks.saturating_add(u64::from(self.duration_ticks));
        let duration_ms = (ticks / SAMPLES_PER_MS as u64).min(DURATION_MS_MAX);
        EventReport::Ended {
            digit: self.key.digit,
            duration_ms: u32::try_from(duration_ms).unwrap_or(u32::MAX),
        }
    }
}

/// Shortest tone that every receiver takes, and the pause between two, milliseconds.
pub const SEND_TONE_MS: u32 = 100;
pub const SEND_GAP_MS: u32 = 100;
/// The end packet goes out three times (RFC 4733 §2.5.1.4).
const END_PACKETS: u32 = 3;
/// −10 dBm0, as telephones send (RFC 4733 §2.3.3).
const SEND_VOLUME: u8 = 10;

/// What the stream sends in this packet time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendStep {
    /// An event packet instead of audio; its timestamp is that of the event's first packet.
    Event {
        payload: [u8; EVENT_LEN],
        marker: bool,
        timestamp: u32,
    },
    /// Silence, or nothing.
    Gap,
    Done,
}

/// Sends digits one after the other, one step per packet time.
#[derive(Debug, Clone)]
pub struct EventSender {
    digits: Digits,
    ptime_ms: u32,
    tone_ms: u32,
    gap_ms: u32,
    marker: bool,
    /// Index of the digit and of the packet time within it.
    digit: usize,
    tick: u32,
    timestamp: u32,
}

impl EventSender {
    #[must_use]
    pub fn new(digits: Digits, ptime_ms: u8) -> Self {
        Self {
            digits,
            ptime_ms: u32::from(ptime_ms.max(1)),
            tone_ms: SEND_TONE_MS,
            gap_ms: SEND_GAP_MS,
            marker: true,
            digit: 0,
            tick: 0,
            timestamp: 0,
        }
    }

    /// Other lengths of key and pause, both at least one packet time.
    #[must_use]
    pub fn with_timing(self, tone_ms: u32, gap_ms: u32) -> Self {
        let (tone_ms, gap_ms) = (tone_ms.max(1), gap_ms.max(1));
        Self {
            tone_ms,
            gap_ms,
            ..self
        }
    }

    /// Without the marker on a key's first packet, as some gateways send.
    #[must_use]
    pub fn with_marker(self, marker: bool) -> Self {
        Self { marker, ..self }
    }

    /// The step for the packet time that begins at `media_timestamp`.
    pub fn next_step(&mut self, media_timestamp: u32) -> SendStep {
        let Some(digit) = self.digits.as_slice().get(self.digit).copied() else {
            return SendStep::Done;
        };
        let tick = self.tick;
        if tick == 0 {
            self.timestamp = media_timestamp;
        }
        let tone_ticks = self.tone_ms.div_ceil(self.ptime_ms);
        let last_end = tone_ticks + END_PACKETS - 1;
        // The pause is silence on the wire, so it begins after the repeated end packets.
        let ticks = last_end + self.gap_ms.div_ceil(self.ptime_ms);
        self.tick += 1;
        if self.tick >= ticks {
            self.tick = 0;
            self.digit += 1;
        }
        if tick >= last_end {
            return SendStep::Gap;
        }
        let end = tick + 1 >= tone_ticks;
        let duration_ms = (tick + 1).min(tone_ticks) * self.ptime_ms;
        let duration_ticks = u16::try_from(duration_ms * SAMPLES_PER_MS as u32).unwrap_or(u16::MAX);
        let [high, low] = duration_ticks.to_be_bytes();
        let flags = if end { END_BIT | SEND_VOLUME } else { SEND_VOLUME };
        SendStep::Event {
            payload: [digit.event(), flags, high, low],
            marker: self.marker && tick == 0,
            timestamp: self.timestamp,
        }
    }
}

#[cfg(test)]
#[path = "telephone_event_tests.rs"]
mod tests;
