//! Whose packets count: the source that is followed, and one that may send events beside it (SAFETY 3).
//!
//! - The first source is followed. Another one takes its place with two packets in a row once nothing of the first
//!   has come for [`silence`], as after a transfer or a change of media server.
//! - Some gateways send events under a source of their own beside the audio: two in a row that lie
//!   [`EVENT_SPAN_MIN`] apart and belong together admit it, for events only.
//!
//! Who forges the agreed address from outside cannot take the audio from a peer that speaks, and nothing that he sends
//! at one moment makes a key. He can send keys as such an event source does, and take the place of a peer that is
//! silent; against him only keys help (SRTP).
use std::time::{Duration, Instant};

use crate::media::keys::Content;
use crate::media::rtp::Packet;

/// Packet times without a packet, after which a source is taken for silent: one may be lost and one late.
const SILENCE_PACKETS: u32 = 3;
/// And no less than this: short packets come in bursts.
const SILENCE_MIN: Duration = Duration::from_millis(100);

/// From the first to the last of the event packets that admit a source: the shortest packet time. Packets that
/// come at one moment prove nothing that one of them does not.
const EVENT_SPAN_MIN: Duration = Duration::from_millis(10);
/// Ticks from one event to what follows on: a segment is no longer (RFC 4733 §2.5.1.3).
const EVENT_STEP_MAX: u32 = u16::MAX as u32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    Followed,
    EventsOnly,
    Refused,
}

#[derive(Debug, Default)]
pub(super) struct Sources {
    followed: Option<u32>,
    /// Its last good packet; `None` when there is nothing to wait for.
    heard_at: Option<Instant>,
    /// Another source that speaks, and its next sequence number.
    candidate: Option<(u32, u16)>,
    event_source: Option<u32>,
    event_candidate: Option<EventCandidate>,
}

/// Another source that sends events, by its last packet.
#[derive(Debug, Clone, Copy)]
struct EventCandidate {
    ssrc: u32,
    next_sequence: u16,
    timestamp: u32,
    event: Option<u8>,
    /// When the first of its packets in a row came.
    since: Instant,
}

impl Sources {
    pub(super) fn admit(
        &mut self,
        now: Instant,
        packet: &Packet<'_>,
        content: Content,
        ptime_ms: u8,
    ) -> Admission {
        match self.followed {
            None => {
                self.followed = Some(packet.ssrc);
                return Admission::Followed;
            }
            Some(followed) if followed == packet.ssrc => {
                self.candidate = None;
                return Admission::Followed;
            }
            Some(_) => {}
        }
        if matches!(content, Content::Event { .. }) {
            return self.admit_event(now, packet);
        }
        let this = Some((packet.ssrc, packet.sequence));
        let next = Some((packet.ssrc, packet.sequence.wrapping_add(1)));
        let is_second = std::mem::replace(&mut self.candidate, next) == this;
        if !is_second || !self.is_silent(now, ptime_ms) {
            return Admission::Refused;
        }
        self.followed = Some(packet.ssrc);
        self.candidate = None;
        Admission::Followed
    }

    /// A packet of the followed source was good.
    pub(super) const fn heard(&mut self, now: Instant) {
        self.heard_at = Some(now);
    }

    /// Another address was agreed or learnt: of the source that was followed nothing can come any more.
    pub(super) const fn moved(&mut self) {
        self.heard_at = None;
    }

    fn is_silent(&self, now: Instant, ptime_ms: u8) -> bool {
        self.heard_at
            .is_none_or(|at| now.saturating_duration_since(at) >= silence(ptime_ms))
    }

    fn admit_event(&mut self, now: Instant, packet: &Packet<'_>) -> Admission {
        if self.event_source == Some(packet.ssrc) {
            return Admission::EventsOnly;
        }
        let event = packet.payload.first().copied();
        let before = self.event_candidate.filter(|c| c.goes_on_with(packet, event));
        let since = before.map_or(now, |before| before.since);
        if now.saturating_duration_since(since) >= EVENT_SPAN_MIN {
            self.event_source = Some(packet.ssrc);
            self.event_candidate = None;
            return Admission::EventsOnly;
        }
        self.event_candidate = Some(EventCandidate {
            ssrc: packet.ssrc,
            next_sequence: packet.sequence.wrapping_add(1),
            timestamp: packet.timestamp,
            event,
            since,
        });
        Admission::Refused
    }
}

impl EventCandidate {
    /// Whether a packet is the next one, of the same event or of one that follows on.
    fn goes_on_with(&self, packet: &Packet<'_>, event: Option<u8>) -> bool {
        let is_next = (self.ssrc, self.next_sequence) == (packet.ssrc, packet.sequence);
        let belongs = match packet.timestamp.wrapping_sub(self.timestamp) {
            0 => self.event == event,
            1..=EVENT_STEP_MAX => true,
            _ => false,
        };
        is_next && belongs
    }
}

fn silence(ptime_ms: u8) -> Duration {
    SILENCE_MIN.max(SILENCE_PACKETS * Duration::from_millis(u64::from(ptime_ms)))
}
