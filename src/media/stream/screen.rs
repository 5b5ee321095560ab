//! Brings the callee's audio, put in order, to the screener: with what was lost, what was not sent, and the moment
//! when a peer that sends nothing after a tone has been silent for long enough.
use std::time::{Duration, Instant};

use crate::media::codec::SAMPLES_PER_MS;
use crate::media::command::MediaEvent;
use crate::media::rtp::Packet;
use crate::media::screening::{Screener, Screening};
use crate::model::Codec;

/// A peer that records may send nothing: after a tone, a packet that is so late stands for silence.
const QUIET: Duration = Duration::from_millis(120);
/// That silence.
const QUIET_SAMPLES: u64 = 100 * SAMPLES_PER_MS as u64;
/// Further silences are given so often while a tone is undecided: the longest rule wants 800 ms.
const QUIET_TIMES_MAX: u8 = 10;

/// Listens for more than keys.
#[derive(Debug, Default)]
pub(super) struct Screen {
    screener: Screener,
    /// Source, and timestamp after its last sample.
    heard: Option<(u32, u32)>,
    due: Option<Instant>,
    quiet_times: u8,
    /// Filled and emptied within one call; kept so that no packet allocates.
    found: Vec<Screening>,
}

impl Screen {
    /// Boxed: most of it is there for every answered call, and for no other.
    pub(super) fn begin() -> Box<Self> {
        Box::new(Self {
            found: Vec::with_capacity(2),
            ..Self::default()
        })
    }

    /// Takes a packet in its turn, after `lost` others.
    pub(super) fn packet(&mut self, now: Instant, codec: Codec, packet: &Packet<'_>, lost: u16) {
        if let Some((ssrc, end)) = self.heard
            && ssrc == packet.ssrc
        {
            let gap = packet.timestamp.wrapping_sub(end);
            match gap {
                0 => {}
                // An older timestamp than expected is no gap.
                gap if gap > u32::MAX / 2 => {}
                gap if lost > 0 => self.screener.lost(gap.into(), &mut self.found),
                gap => self.screener.silence(gap.into(), &mut self.found),
            }
        }
        self.screener.audio(codec, packet.payload, &mut self.found);
        let length = u32::try_from(packet.payload.len()).unwrap_or(0);
        self.heard = Some((packet.ssrc, packet.timestamp.wrapping_add(length)));
        self.quiet_times = 0;
        self.due = self.screener.is_deciding().then(|| now + QUIET);
    }

    pub(super) fn sent(&mut self, mean_square: f32, samples: usize) {
        self.screener.played(mean_square, samples);
    }

    pub(super) fn key(&mut self) {
        self.screener.key();
    }

    pub(super) const fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        match self.due {
            Some(at) => Some((at, "silence after a tone")),
            None => None,
        }
    }

    pub(super) fn poll(&mut self, now: Instant) {
        if self.due.is_none_or(|at| now < at) {
            return;
        }
        self.screener.silence(QUIET_SAMPLES, &mut self.found);
        self.quiet_times += 1;
        let goes_on = self.screener.is_deciding() && self.quiet_times < QUIET_TIMES_MAX;
        self.due = goes_on.then(|| now + QUIET);
    }

    pub(super) fn tell(&mut self, events: &mut Vec<MediaEvent>) {
        events.extend(self.found.drain(..).map(MediaEvent::Screened));
    }
}
