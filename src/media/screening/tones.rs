//! Steady tones: the beep of an answering machine, the special information tones, fax machines.
//!
//! Blocks whose sinusoid keeps frequency and level make a run. What a run means depends on its length, on the
//! silence around it, and on what was heard before: the frequency alone says little.
//!
//! | tone | rule |
//! |---|---|
//! | beep | a greeting before it, out of silence, [`BEEP_SURE`] long or [`BEEP_MIN`] and silence after it |
//! | SIT | 950, 1400, 1800 Hz ±50 one after another (ITU-T E.180 §10; North America's pairs lie within) |
//! | fax | 2100 Hz (CED, ITU-T T.30, V.25) for [`CED_MIN`], or 1100 Hz (CNG) twice; nobody spoke |
//! | none | call progress tones (425 Hz for longer than a beep, or again and again), melodies, keys |
use super::block::{Block, Sine};
use super::speech::Greeting;
use super::{BLOCK_MS, Sign, ToneHeard};

const fn blocks(ms: u32) -> u32 {
    ms / BLOCK_MS
}

/// A run's mean residual: −12 dB.
const RUN_RESIDUAL_MAX: f32 = 0.063;
/// Steady: within 2 % (and 10 Hz) of the run's mean…
const HZ_SHARE: f32 = 0.02;
const HZ_SLACK: f32 = 10.0;
/// …and within 3 dB of the block before.
const LEVEL_STEP: f32 = 2.0;
/// Blocks that may miss inside a run: a click, a phase reversal.
const MISSED_MAX: u32 = 2;
/// Lost blocks that may lie inside a run.
const LOST_MAX: u32 = blocks(100);
/// Softer is no tone for us: −42 dBm0.
const TONE_MIN: f32 = 1.57e4;
/// Silence around a tone is 10 dB below it.
const SILENCE_SHARE: f32 = 0.1;
/// Blocks looked at before a tone: the nearest may hold its onset.
const BEFORE: usize = 6;

/// Frequencies of a beep, hertz.
const BEEP_HZ: std::ops::RangeInclusive<f32> = 350.0..=2600.0;
/// Shortest beep. A tone of 100 ms fills nine blocks.
const BEEP_MIN: u32 = blocks(90);
/// A beep this long need not end first.
const BEEP_SURE: u32 = blocks(200);
/// Longest beep that is judged by its end.
const BEEP_MAX: u32 = blocks(2500);
/// Silence after a shorter one.
const BEEP_SILENCE: u32 = blocks(50);
/// Speech before a beep.
const BEEP_SPEECH: u32 = blocks(1500);
/// A beep is at most 13 dB below the loudest of the greeting: one that is softer sounds in somebody's room.
const BEEP_SHARE: f32 = 0.05;
/// Call progress tones: 425 Hz in most of the world, 400, 440, 450, 480.
const PROGRESS_HZ: std::ops::RangeInclusive<f32> = 375.0..=500.0;
/// A beep in that band is shorter than ringback, and alone: busy tone comes again within 500 ms.
const PROGRESS_BEEP_MAX: u32 = blocks(700);
const PROGRESS_SILENCE: u32 = blocks(800);
/// Near a keypad's frequency (1.8 %) a tone must be purer, −20 dB, and this long: it is no half of a key.
const KEY_HZ: [f32; 8] = [697.0, 770.0, 852.0, 941.0, 1209.0, 1336.0, 1477.0, 1633.0];
const KEY_SHARE: f32 = 0.018;
const KEY_RESIDUAL_MAX: f32 = 0.01;
/// Other tones in the last 4 s that make a melody.
const MELODY_TONES: usize = 2;
const MELODY_BLOCKS: u32 = blocks(4000);
const MELODY_MIN: u32 = blocks(80);

/// After a key no tone begins to count for so long: a keypad may leave half a tone behind.
const KEY_BLOCKS: u32 = blocks(500);

const SIT_HZ: [std::ops::RangeInclusive<f32>; 3] = [890.0..=1010.0, 1340.0..=1460.0, 1740.0..=1860.0];
/// Each lasts 276 to 380 ms; 330 ± 70 in E.180.
const SIT_MIN: u32 = blocks(220);
const SIT_MAX: u32 = blocks(440);
const SIT_LAST_MIN: u32 = blocks(150);
/// At most 30 ms between them, and a block at either end.
const SIT_GAP_MAX: u32 = blocks(80);
const CED_HZ: std::ops::RangeInclusive<f32> = 2075.0..=2125.0;
const CED_MIN: u32 = blocks(800);
const CNG_HZ: std::ops::RangeInclusive<f32> = 1060.0..=1140.0;
const CNG_MIN: u32 = blocks(400);
const CNG_MAX: u32 = blocks(600);
/// Speech so short is no greeting: a fax machine says nothing.
const FAX_SPEECH_MAX: u32 = blocks(600);

/// A steady tone, sounding or over.
#[derive(Debug, Clone, Copy)]
struct Run {
    start: u32,
    /// Blocks that hold it.
    held: u32,
    /// The last of them.
    last: u32,
    hz: f32,
    power: f32,
    residual: f32,
    /// Power of the last block.
    latest: f32,
    missed: u32,
    lost: u32,
    from_silence: bool,
}

impl Run {
    const fn length(&self) -> u32 {
        self.last + 1 - self.start
    }

    fn fits(&self, block: &Block, sine: Sine) -> bool {
        let steady_hz = (sine.hz - self.hz).abs() <= self.hz * HZ_SHARE + HZ_SLACK;
        let level = block.power / self.latest.max(1.0);
        steady_hz && (1.0 / LEVEL_STEP..=LEVEL_STEP).contains(&level)
    }

    fn hold(&mut self, clock: u32, block: &Block, sine: Sine) {
        self.held += 1;
        let share = 1.0 / self.held as f32;
        self.hz += (sine.hz - self.hz) * share;
        self.residual += (sine.residual - self.residual) * share;
        self.power += (block.power - self.power) * share;
        (self.latest, self.last, self.missed, self.lost) = (block.power, clock, 0, 0);
    }

    fn is_pure(&self) -> bool {
        self.residual <= RUN_RESIDUAL_MAX
    }

    fn is_near_key(&self) -> bool {
        KEY_HZ.iter().any(|key| (self.hz - key).abs() <= key * KEY_SHARE)
    }

    /// Whether it can be a beep, its length apart.
    fn may_be_beep(&self, greeting: Greeting) -> bool {
        self.is_pure()
            && self.from_silence
            && BEEP_HZ.contains(&self.hz)
            && greeting.speech >= BEEP_SPEECH
            && self.power >= greeting.loudest * BEEP_SHARE
            && (!self.is_near_key() || self.residual <= KEY_RESIDUAL_MAX && self.length() >= BEEP_SURE)
    }

    /// Whether its end must be waited for: it may be a part of something else.
    fn must_end(&self) -> bool {
        PROGRESS_HZ.contains(&self.hz) || SIT_HZ[0].contains(&self.hz)
    }

    fn heard(&self) -> ToneHeard {
        let dbm0 = 10.0 * (self.power.max(1.0) / 2.486e8).log10();
        ToneHeard {
            hz: self.hz.round() as u16,
            ms: self.length() * BLOCK_MS,
            dbm0: dbm0.round() as i8,
        }
    }
}

/// A run that has ended, and the silence that it needs after it.
#[derive(Debug, Clone, Copy)]
struct Ended {
    run: Run,
    silent: u32,
    wanted: u32,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Tones {
    clock: u32,
    /// Power of the last blocks, a ring.
    before: [f32; BEFORE],
    run: Option<Run>,
    ended: Option<Ended>,
    /// The last tones that were over, the latest first.
    past: [Option<Run>; 4],
    cng: u32,
    /// What begins before this block is a key's.
    deaf_until: u32,
}

impl Tones {
    /// The callee pressed a key: no tone that it leaves behind is a machine's.
    pub(super) const fn key(&mut self) {
        self.run = None;
        self.ended = None;
        self.deaf_until = self.clock.saturating_add(KEY_BLOCKS);
    }

    pub(super) const fn is_deciding(&self) -> bool {
        self.run.is_some() || self.ended.is_some()
    }

    /// Whether the block just taken belongs to a tone rather than to speech.
    pub(super) fn is_tone(&self) -> bool {
        self.run
            .as_ref()
            .is_some_and(|run| run.held >= 5 && run.is_pure())
    }

    pub(super) fn take(&mut self, block: &Block, greeting: Greeting) -> Option<(Sign, ToneHeard)> {
        self.clock = self.clock.saturating_add(1);
        let found = self.follow(block, greeting);
        let found = found.or_else(|| self.after(block, greeting));
        self.before[self.clock as usize % BEFORE] = block.power;
        found
    }

    fn follow(&mut self, block: &Block, greeting: Greeting) -> Option<(Sign, ToneHeard)> {
        let clock = self.clock;
        let sine = block.sine.filter(|_| block.power >= TONE_MIN);
        let Some(run) = &mut self.run else {
            self.run = sine.map(|sine| self.begin(block, sine));
            return None;
        };
        match sine {
            Some(sine) if run.fits(block, sine) => {
                run.hold(clock, block, sine);
                let run = *run;
                return self.sounding(&run, greeting);
            }
            // The first block holds only a part of the tone.
            Some(sine) if run.held == 1 => {
                let from_silence = run.from_silence;
                self.run = Some(Run {
                    from_silence,
                    ..self.begin(block, sine)
                });
                return None;
            }
            _ => {}
        }
        if block.lost {
            run.lost += 1;
        } else {
            run.missed += 1;
        }
        if run.missed > MISSED_MAX || run.lost > LOST_MAX {
            let run = *run;
            self.run = None;
            return self.end(run);
        }
        None
    }

    fn begin(&self, block: &Block, sine: Sine) -> Run {
        // The block just before may hold the tone's onset.
        let newest = self.clock.wrapping_sub(1) as usize % BEFORE;
        let loudest = (0..BEFORE)
            .filter(|place| *place != newest)
            .map(|place| self.before[place])
            .fold(0.0, f32::max);
        Run {
            start: self.clock,
            held: 1,
            last: self.clock,
            hz: sine.hz,
            power: block.power,
            residual: sine.residual,
            latest: block.power,
            missed: 0,
            lost: 0,
            from_silence: loudest <= block.power * SILENCE_SHARE && self.clock >= self.deaf_until,
        }
    }

    /// A tone goes on.
    fn sounding(&self, run: &Run, greeting: Greeting) -> Option<(Sign, ToneHeard)> {
        if run.length() >= SIT_LAST_MIN && run.is_pure() && self.is_sit(run) {
            return Some((Sign::Sit, run.heard()));
        }
        if run.length() >= CED_MIN
            && run.is_pure()
            && CED_HZ.contains(&run.hz)
            && greeting.speech <= FAX_SPEECH_MAX
        {
            return Some((Sign::Fax, run.heard()));
        }
        let is_beep =
            run.length() >= BEEP_SURE && !run.must_end() && run.may_be_beep(greeting) && !self.is_melody(run);
        is_beep.then(|| (Sign::Beep, run.heard()))
    }

    /// Whether it is the last of the three.
    fn is_sit(&self, third: &Run) -> bool {
        let [Some(second), Some(first), ..] = &self.past else {
            return false;
        };
        let is_part = |run: &Run, place: usize, next: &Run| {
            SIT_HZ[place].contains(&run.hz)
                && (SIT_MIN..=SIT_MAX).contains(&run.length())
                && next.start.saturating_sub(run.last) <= SIT_GAP_MAX
        };
        SIT_HZ[2].contains(&third.hz) && is_part(second, 1, third) && is_part(first, 0, second)
    }

    fn is_melody(&self, run: &Run) -> bool {
        let others = self.past.iter().flatten().filter(|past| {
            run.start.saturating_sub(past.last) <= MELODY_BLOCKS
                && (past.hz - run.hz).abs() > run.hz * HZ_SHARE + HZ_SLACK
        });
        others.count() >= MELODY_TONES
    }

    fn end(&mut self, run: Run) -> Option<(Sign, ToneHeard)> {
        if run.length() < MELODY_MIN || !run.is_pure() || run.hz < *BEEP_HZ.start() {
            return None;
        }
        let wanted = if PROGRESS_HZ.contains(&run.hz) {
            PROGRESS_SILENCE
        } else {
            BEEP_SILENCE
        };
        self.ended = (!self.is_melody(&run)).then_some(Ended {
            run,
            silent: 0,
            wanted,
        });
        self.past.rotate_right(1);
        self.past[0] = Some(run);
        let is_cng = CNG_HZ.contains(&run.hz) && (CNG_MIN..=CNG_MAX).contains(&run.length());
        self.cng += u32::from(is_cng);
        (is_cng && self.cng >= 2).then(|| (Sign::Fax, run.heard()))
    }

    /// Silence after a tone makes it a beep.
    fn after(&mut self, block: &Block, greeting: Greeting) -> Option<(Sign, ToneHeard)> {
        let ended = self.ended.as_mut()?;
        if self.run.is_some() || block.power > ended.run.power * SILENCE_SHARE {
            self.ended = None;
            return None;
        }
        ended.silent += u32::from(!block.lost);
        if ended.silent < ended.wanted {
            return None;
        }
        let run = ended.run;
        self.ended = None;
        let longest = if PROGRESS_HZ.contains(&run.hz) {
            PROGRESS_BEEP_MAX
        } else {
            BEEP_MAX
        };
        let is_beep = (BEEP_MIN..=longest).contains(&run.length()) && run.may_be_beep(greeting);
        is_beep.then(|| (Sign::Beep, run.heard()))
    }
}
