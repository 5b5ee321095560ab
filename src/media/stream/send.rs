//! The sending side: what leaves when, in which packet.
use std::time::{Duration, Instant};

use crate::media::codec::SAMPLES_PER_MS;
use crate::media::command::{MediaEvent, StreamConfig};
use crate::media::playout::Playout;
use crate::media::rtp::Header;
use crate::model::Entropy;

/// Packets that a late caller may send at once; more would be a burst that jitter buffers throw away.
const OWED_MAX: u32 = 2;

/// Longest payload: 60 ms of G.711.
const PAYLOAD_OCTETS_MAX: usize = 60 * SAMPLES_PER_MS;

/// A packet in the caller's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outgoing {
    pub len: usize,
    /// How often to send it: 1, unless the simulator asked for damage.
    pub copies: u8,
}

#[derive(Debug)]
pub(super) struct Sender {
    ssrc: u32,
    sequence: u16,
    /// Media time of the next packet.
    timestamp: u32,
    due: Instant,
    ptime: Duration,
    samples: u32,
    /// The next packet follows a gap.
    marker: bool,
    packets_sent: u64,
    octets_sent: u64,
    skipped: u64,
}

impl Sender {
    pub(super) fn new(now: Instant, config: &StreamConfig, entropy: &mut Entropy) -> Self {
        let mut sender = Self {
            ssrc: entropy.u32(),
            sequence: entropy.u16(),
            timestamp: entropy.u32(),
            due: now,
            ptime: Duration::ZERO,
            samples: 0,
            marker: true,
            packets_sent: 0,
            octets_sent: 0,
            skipped: 0,
        };
        sender.update(config);
        sender
    }

    pub(super) fn update(&mut self, config: &StreamConfig) {
        self.ptime = Duration::from_millis(u64::from(config.ptime_ms));
        self.samples = u32::from(config.ptime_ms) * SAMPLES_PER_MS as u32;
    }

    pub(super) const fn due(&self) -> Instant {
        self.due
    }

    pub(super) const fn packets_sent(&self) -> u64 {
        self.packets_sent
    }

    pub(super) const fn take_skipped(&mut self) -> u64 {
        std::mem::replace(&mut self.skipped, 0)
    }

    pub(super) fn next_packet(
        &mut self,
        now: Instant,
        config: &StreamConfig,
        playout: &mut Playout,
        buffer: &mut [u8],
        events: &mut Vec<MediaEvent>,
    ) -> Option<Outgoing> {
        let late = now.checked_duration_since(self.due)?;
        let owed = u32::try_from(late.as_nanos() / self.ptime.as_nanos())
            .unwrap_or(u32::MAX)
            .saturating_add(1);
        if !config.send {
            self.pass_over(owed);
            return None;
        }
        if owed > OWED_MAX {
            self.pass_over(owed - OWED_MAX);
            self.skipped += u64::from(owed - OWED_MAX);
        }
        let mut payload = [0; PAYLOAD_OCTETS_MAX];
        let payload = payload.get_mut(..self.samples as usize)?;
        playout.fill(config.codec, payload, events);
        let header = Header {
            payload_type: config.payload_type,
            marker: std::mem::replace(&mut self.marker, false),
            sequence: self.sequence,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
        };
        self.sequence = self.sequence.wrapping_add(1);
        self.advance(1);
        let len = header.write(payload, buffer).ok()?;
        self.packets_sent += 1;
        self.octets_sent += payload.len() as u64;
        Some(Outgoing { len, copies: 1 })
    }

    /// Lets packets go unsent: media time runs on.
    fn pass_over(&mut self, packets: u32) {
        self.advance(packets);
        self.marker = true;
    }

    fn advance(&mut self, packets: u32) {
        self.timestamp = self.timestamp.wrapping_add(self.samples.wrapping_mul(packets));
        self.due += self.ptime.saturating_mul(packets);
    }
}
