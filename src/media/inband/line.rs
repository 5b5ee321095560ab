//! What the line carries besides a key: hum, dial tone and noise that were there before, and the echo of what we play.
use super::evidence::RUN_LEN;

/// The floor is the least run energy of this many spans of [`FLOOR_SPAN_BLOCKS`]: 1.28 s.
const FLOOR_SPANS: usize = 8;
const FLOOR_SPAN_BLOCKS: u32 = 32;
/// The floor counts after this many sub-blocks: 120 ms.
const FLOOR_KNOWN_BLOCKS: u32 = 24;
/// Energy of a run, or the least of several.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Level {
    /// Outside the band of the keypad.
    pub(super) outside: f32,
    /// Inside it.
    pub(super) band: f32,
}

impl Level {
    const UNKNOWN: Self = Self {
        outside: f32::INFINITY,
        band: f32::INFINITY,
    };

    fn least(self, other: Self) -> Self {
        Self {
            outside: self.outside.min(other.outside),
            band: self.band.min(other.band),
        }
    }
}

/// The least energy of a run in the last second or so: what the line itself carries.
#[derive(Debug, Clone)]
pub(super) struct Floor {
    spans: [Level; FLOOR_SPANS],
    span: usize,
    blocks: u32,
}

impl Default for Floor {
    fn default() -> Self {
        Self {
            spans: [Level::UNKNOWN; FLOOR_SPANS],
            span: 0,
            blocks: 0,
        }
    }
}

impl Floor {
    /// 0 while the line is not known: then nothing is excused.
    pub(super) fn least(&self) -> Level {
        let known = self.span > 0 || self.blocks >= FLOOR_KNOWN_BLOCKS || self.spans[1].band.is_finite();
        let least = self.spans.iter().copied().fold(Level::UNKNOWN, Level::least);
        if known && least.band.is_finite() {
            least
        } else {
            Level::default()
        }
    }

    /// `blocks` sub-blocks at the end of runs of this energy.
    pub(super) fn hear(&mut self, energy: Level, blocks: u32) {
        self.blocks += blocks;
        if self.blocks > FLOOR_SPAN_BLOCKS {
            self.blocks = 0;
            self.span = (self.span + 1) % FLOOR_SPANS;
            self.spans[self.span] = energy;
            return;
        }
        let span = &mut self.spans[self.span];
        *span = span.least(energy);
    }
}

/// Packet length that [`PLAYED_FADE`] is for, octets: 20 ms.
const PACKET_LEN: f32 = 160.0;
/// What is played is remembered with this share less after each 20 ms, for an echo comes up to 200 ms later; −7 dB then.
const PLAYED_FADE: f32 = 0.15;
/// The strongest echo that a line gives, power: 10 dB below what was played.
const ECHO_RETURN_MAX: f32 = 0.1;

/// How loud our own sound was in the last moments.
#[derive(Debug, Clone, Default)]
pub(super) struct Played {
    mean_square: f32,
}

impl Played {
    pub(super) fn packet(&mut self, mean_square: f32, samples: usize) {
        let kept = (1.0 - PLAYED_FADE * samples as f32 / PACKET_LEN).max(0.0);
        self.mean_square = mean_square.max(self.mean_square * kept);
    }

    /// The most energy of a run that can be its echo.
    pub(super) fn echo_max(&self) -> f32 {
        ECHO_RETURN_MAX * self.mean_square * RUN_LEN as f32
    }
}
