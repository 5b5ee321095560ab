//! In-band DTMF: keys heard in the audio (ITU-T Q.23, Q.24). Pure, `f32`, no allocation.
//!
//! [`Detector`] takes octets or linear samples in any portions and tells when a key's tones began and ended. It works
//! in sub-blocks of 5 ms ([`bank`]) and decides over six of them ([`evidence`]): **begin strictly, continue loosely**.
//!
//! ```text
//!       six sub-blocks are sure, or nine likely              five sub-blocks miss
//!   Idle ───────────────────────────────────────▶ Down ───────────────────────────▶ Idle
//!    ▲        Began (≤ 40 ms after the tone)        │            Ended
//!    └──────────────── five misses ─────────────────┘  another pair passes: Ended, Began
//! ```
//!
//! Besides the pair itself the detector knows what the line carries anyway (the least energy of the last second, outside
//! the keypad's band and inside it), and the key before, whose echo on the line is no new key.
//!
//! An energy gate on the coded octets of G.711 skips silence. Of G.722 the low band is decoded, always: its decoder must
//! not miss a packet. Lost packets are told by [`Detector::lost`]: they neither end a
//! key nor help to begin one.
//!
//! Invariants: `Ended` follows one `Began` of the same digit; a tone of 23 ms or less never begins a key; a break of
//! 10 ms or less never ends one.
mod bank;
mod evidence;
mod line;

#[cfg(test)]
pub(crate) mod cases;
#[cfg(test)]
mod tests;

use bank::{BLOCK_LEN, Bank, Block};
use evidence::{Belief, Found, Pair, RUN_BLOCKS, RUN_LEN, Run};
use line::{Floor, Level, Played};

use super::codec::{self, SAMPLES_PER_MS};
use super::tone;
use crate::model::{Codec, Digit};

/// Audio below this peak (16-bit) holds no key: one tone of −30 dBm0.
const GATE_PEAK: i16 = 705;
/// A key ends after this many sub-blocks without it: 25 ms.
const MISSED_BLOCKS_MAX: u32 = 5;
/// A key whose packets are all lost ends after this many sub-blocks: 200 ms.
const LOST_BLOCKS_MAX: u32 = 40;
/// Sub-blocks kept: a run, and one before it for the start of the tone.
const HISTORY: usize = RUN_BLOCKS + 1;
/// A pair that is only likely begins a key after this many sub-blocks in a row: 30 + 15 ms.
const LIKELY_BLOCKS: u32 = 4;
/// After a key, the same pair this long (40 ms) and this much weaker (−5 dB) is its echo on the line.
const ECHO_SAMPLES_MAX: u64 = 320;
const ECHO_MAX: f32 = 0.56;
/// Our own keys may come back for so long after each packet of them: 300 ms.
const DEAF_SAMPLES: u64 = 2400;
/// Delay of the band-pass filter in the middle of the band, samples.
const FILTER_DELAY: u64 = 8;

/// What the detector heard; positions are samples since [`Detector::new`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToneEvent {
    Began { digit: Digit, start: u64 },
    Ended { digit: Digit, start: u64, end: u64 },
}

/// Listens to one stream. At most 2 kB, none of it on the heap.
#[derive(Debug, Clone)]
pub struct Detector {
    decoder: codec::Decoder,
    bank: Bank,
    /// Samples of an unfinished sub-block.
    pending: [i16; BLOCK_LEN],
    pending_len: usize,
    /// Ring of the last sub-blocks; `next` is the oldest.
    blocks: [Block; HISTORY],
    next: usize,
    /// Unfiltered samples of the same; they came as whole numbers.
    samples: [i16; RUN_LEN],
    /// All of the history is silence, so silence changes nothing.
    silent: bool,
    floor: Floor,
    played: Played,
    /// Samples taken.
    position: u64,
    key: Option<Down>,
    /// The key before, for its echo.
    last: Option<Up>,
    /// A pair that is likely, and for how many sub-blocks.
    likely: Option<(Pair, u32)>,
    /// No key begins before this position.
    deaf_until: u64,
}

/// A key that was released.
#[derive(Debug, Clone, Copy)]
struct Up {
    found: Found,
    held_until: u64,
}

/// A key that is down.
#[derive(Debug, Clone, Copy)]
struct Down {
    digit: Digit,
    found: Found,
    start: u64,
    /// End of the last sub-block that held it.
    held_until: u64,
    missed: u32,
    lost: u32,
}

impl Default for Detector {
    fn default() -> Self {
        Self::new()
    }
}

impl Detector {
    #[must_use]
    pub fn new() -> Self {
        Self {
            decoder: codec::Decoder::default(),
            bank: Bank::default(),
            pending: [0; BLOCK_LEN],
            pending_len: 0,
            blocks: [Block::lost(); HISTORY],
            next: 0,
            samples: [0; RUN_LEN],
            silent: true,
            floor: Floor::default(),
            played: Played::default(),
            position: 0,
            key: None,
            last: None,
            likely: None,
            deaf_until: 0,
        }
    }

    /// Samples taken so far, lost ones included.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Milliseconds from a position to now.
    #[must_use]
    pub const fn age_ms(&self, position: u64) -> u64 {
        self.position.saturating_sub(position) / SAMPLES_PER_MS as u64
    }

    /// Takes one packet's octets.
    pub fn audio(&mut self, codec: Codec, octets: &[u8], out: &mut Vec<ToneEvent>) {
        let is_at_rest = self.silent && self.pending_len == 0;
        if is_at_rest && codec::peak(codec, octets).is_some_and(|peak| peak < GATE_PEAK) {
            self.position += octets.len() as u64;
            self.floor
                .hear(Level::default(), (octets.len() / BLOCK_LEN) as u32);
            return;
        }
        let mut pcm = [0; BLOCK_LEN];
        for octets in octets.chunks(BLOCK_LEN) {
            let length = self.decoder.decode(codec, octets, &mut pcm);
            self.pcm(pcm.get(..length).unwrap_or_default(), out);
        }
    }

    /// Another source speaks from here on: its encoder of G.722 knows nothing of the one before.
    pub fn new_source(&mut self) {
        self.decoder = codec::Decoder::default();
    }

    /// Our own side played one packet's octets, which may come back as an echo. To be told of silence too. Of
    /// G.722 the octets do not tell how loud it is: [`Self::played_as_loud`].
    pub fn played(&mut self, codec: Codec, octets: &[u8]) {
        self.played_as_loud(
            codec::mean_square(codec, octets).unwrap_or_default(),
            octets.len(),
        );
    }

    /// The same, where the mean square of the samples is known.
    pub fn played_as_loud(&mut self, mean_square: f32, samples: usize) {
        self.played.packet(mean_square, samples);
    }

    /// Our own side sent keys as tones just now: what sounds like a key is their echo.
    pub const fn sent_keys(&mut self) {
        self.deaf_until = self.position + DEAF_SAMPLES;
    }

    /// Takes linear samples, 8 kHz.
    pub fn pcm(&mut self, pcm: &[i16], out: &mut Vec<ToneEvent>) {
        let mut rest = pcm;
        while !rest.is_empty() {
            let room = self.pending.get_mut(self.pending_len..).unwrap_or_default();
            let (now, later) = rest.split_at(room.len().min(rest.len()));
            room.iter_mut()
                .zip(now)
                .for_each(|(place, sample)| *place = *sample);
            rest = later;
            self.pending_len += now.len();
            self.position += now.len() as u64;
            if self.pending_len == BLOCK_LEN {
                self.pending_len = 0;
                self.finish_block(out);
            }
        }
    }

    /// `samples` did not arrive. They are counted in whole sub-blocks.
    pub fn lost(&mut self, samples: u64, out: &mut Vec<ToneEvent>) {
        self.position += samples;
        self.pending_len = 0;
        self.bank.clear();
        let blocks = samples
            .div_ceil(BLOCK_LEN as u64)
            .min(u64::from(LOST_BLOCKS_MAX) + 1);
        for _ in 0..blocks {
            self.take(Block::lost(), &[0; BLOCK_LEN], out);
        }
    }

    /// The peer sent nothing for `samples`: a pause.
    pub fn silence(&mut self, samples: u64, out: &mut Vec<ToneEvent>) {
        let mut left = samples;
        while left > 0 && !(self.silent && self.pending_len == 0) {
            self.pcm(&[0], out);
            left -= 1;
        }
        self.position += left;
    }

    /// Ends a key that is down, at the end of the stream.
    pub fn finish(&mut self, out: &mut Vec<ToneEvent>) {
        self.release(out);
    }

    fn finish_block(&mut self, out: &mut Vec<ToneEvent>) {
        let samples = self.pending;
        // Not `all`: without an early exit the comparison runs on whole vectors.
        let quiet = samples.iter().fold(true, |quiet, s| {
            quiet & (s.unsigned_abs() < GATE_PEAK.unsigned_abs())
        });
        let signal = samples.map(f32::from);
        let block = if quiet {
            self.bank.clear();
            Block::quiet(&signal)
        } else {
            self.bank.block(&signal)
        };
        self.take(block, &samples, out);
    }

    fn take(&mut self, block: Block, samples: &[i16; BLOCK_LEN], out: &mut Vec<ToneEvent>) {
        if let Some(place) = self.blocks.get_mut(self.next) {
            *place = block;
        }
        self.next = (self.next + 1) % HISTORY;
        self.samples.copy_within(BLOCK_LEN.., 0);
        if let Some(last) = self.samples.last_chunk_mut::<BLOCK_LEN>() {
            *last = *samples;
        }
        let heard = self.follow_line();
        self.hold(&block, out);
        if let Some(found) = self.begun() {
            self.press(found, out);
        }
        self.silent = heard && self.key.is_none() && self.blocks.iter().all(|b| b.band_energy <= 0.0);
    }

    /// Keeps the floor; false when some of the run was lost.
    fn follow_line(&mut self) -> bool {
        let run = self.run();
        let heard = run.iter().all(|b| !b.lost);
        let band: f32 = run.iter().map(|b| b.band_energy).sum();
        let total: f32 = run.iter().map(|b| b.total_energy).sum();
        let end = self.end();
        let is_after_key = self
            .last
            .as_ref()
            .is_some_and(|last| end < last.held_until + ECHO_SAMPLES_MAX + RUN_LEN as u64);
        // While keys are pressed their pauses are no measure of the line: an echo fills them.
        if heard && self.key.is_none() && !is_after_key {
            let outside = (total - band).max(0.0);
            self.floor.hear(Level { outside, band }, 1);
        }
        heard
    }

    /// Strictly: has a key begun that is not down already? What is only likely must go on.
    fn begun(&mut self) -> Option<Found> {
        let before = self.likely.take();
        let run = self.run();
        let pair = evidence::stands_out(&run)?;
        let is_down = self.key.as_ref().is_some_and(|key| key.found.pair == pair);
        if is_down || self.end() < self.deaf_until {
            return None;
        }
        let (found, belief) = evidence::judge(&run, pair, self.floor.least(), self.played.echo_max())?;
        let before_run = &self.blocks[self.next % HISTORY];
        if self.is_echo(&found)
            || !evidence::began_together(before_run, &found)
            || evidence::has_harmonic(&found, &self.samples)
        {
            return None;
        }
        let blocks = before.map_or(0, |(p, blocks)| if p == pair { blocks } else { 0 }) + 1;
        self.likely = Some((pair, blocks));
        (belief == Belief::Sure || blocks >= LIKELY_BLOCKS).then_some(found)
    }

    /// A weaker copy of the key before, within the time that a line's echo takes.
    fn is_echo(&self, found: &Found) -> bool {
        let run_start = self.end().saturating_sub(RUN_LEN as u64);
        self.last.as_ref().is_some_and(|last| {
            run_start < last.held_until + ECHO_SAMPLES_MAX
                && found.pair == last.found.pair
                && found.low < ECHO_MAX * last.found.low
                && found.high < ECHO_MAX * last.found.high
        })
    }

    /// Where the last sub-block ended.
    const fn end(&self) -> u64 {
        self.position - self.pending_len as u64
    }

    /// The last sub-blocks, oldest first.
    fn run(&self) -> Run<'_> {
        std::array::from_fn(|k| &self.blocks[(self.next + HISTORY - RUN_BLOCKS + k) % HISTORY])
    }

    /// Loosely: does the key that is down go on?
    fn hold(&mut self, block: &Block, out: &mut Vec<ToneEvent>) {
        let end = self.end();
        let Some(key) = &mut self.key else { return };
        if block.lost {
            key.lost += 1;
        } else if evidence::holds(block, &key.found) {
            (key.missed, key.lost, key.held_until) = (0, 0, end);
        } else {
            key.missed += 1;
        }
        if key.missed >= MISSED_BLOCKS_MAX || key.lost >= LOST_BLOCKS_MAX {
            self.release(out);
        }
    }

    fn press(&mut self, found: Found, out: &mut Vec<ToneEvent>) {
        let digit = tone::digit_at(found.pair.row, found.pair.column);
        self.release(out);
        let end = self.end();
        let before = &self.blocks[self.next % HISTORY];
        let partial = (evidence::presence(before, &found) * BLOCK_LEN as f32) as u64;
        let start = end.saturating_sub(RUN_LEN as u64 + partial + FILTER_DELAY);
        self.key = Some(Down {
            digit,
            found,
            start,
            held_until: end,
            missed: 0,
            lost: 0,
        });
        out.push(ToneEvent::Began { digit, start });
    }

    fn release(&mut self, out: &mut Vec<ToneEvent>) {
        let Some(key) = self.key.take() else { return };
        self.last = Some(Up {
            found: key.found,
            held_until: key.held_until,
        });
        let end = key.held_until.saturating_sub(FILTER_DELAY);
        out.push(ToneEvent::Ended {
            digit: key.digit,
            start: key.start,
            end,
        });
    }
}

/// A key in a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detected {
    pub digit: Digit,
    pub start_ms: u64,
    pub end_ms: u64,
}

/// All keys of a recording at 8 kHz.
#[must_use]
pub fn detect(pcm: &[i16]) -> Vec<Detected> {
    let (mut detector, mut events) = (Detector::new(), Vec::new());
    detector.pcm(pcm, &mut events);
    detector.finish(&mut events);
    let ended = events.iter().filter_map(|event| match event {
        ToneEvent::Began { .. } => None,
        ToneEvent::Ended { digit, start, end } => Some(Detected {
            digit: *digit,
            start_ms: start / SAMPLES_PER_MS as u64,
            end_ms: end / SAMPLES_PER_MS as u64,
        }),
    });
    ended.collect()
}
