//! Steady tones: the beep of an answering machine, the special information tones, fax machines.
//!
//! Blocks whose sinusoid keeps frequency and level make a run. What a run means depends on its length, on the
//! silence around it, and on what was heard before: the frequency alone says little.
//!
//! | tone | rule |
//! |---|---|
//! | beep | a greeting before it, out of silence, [`BEEP_SURE`] long or [`BEEP_MIN`] and silence after it |
//! | the same after few words, in our echo, or where appliances sound alike | nothing else for [`ALONE_SILENCE`] |
//! | SIT | 950, 1400, 1800 Hz ±50 one after another (ITU-T E.180 §10; North America's pairs lie within) |
//! | fax | 2100 Hz (CED, ITU-T T.30, V.25) for [`CED_MIN`], or 1100 Hz (CNG) twice; nobody spoke |
//! | none | call progress tones (425 Hz for longer than a beep, or again and again), melodies, keys, whistles |
//!
//! Our own prompt comes back while all this is judged. How loud its echo may be is known, not what it is: up to that
//! power another sound is silence, and not held against a tone; and a tone goes on below what is louder for a moment.
use super::block::{Block, Sine};
use super::speech::Greeting;
use super::{BLOCK_MS, Sign, ToneHeard};

const fn blocks(ms: u32) -> u32 {
    ms / BLOCK_MS
}

/// A run's mean residual: −14 dB.
const RUN_RESIDUAL_MAX: f32 = 0.04;
/// Steady: within 2 % (and 10 Hz) of the run's mean…
const HZ_SHARE: f32 = 0.02;
const HZ_SLACK: f32 = 10.0;
/// …and within 3 dB of the block before.
const LEVEL_STEP: f32 = 2.0;
/// Blocks that may miss inside a run: a click, a phase reversal.
const MISSED_MAX: u32 = 2;
/// Blocks as loud as it that may lie inside: something is louder for a moment.
const MASKED_MAX: u32 = blocks(120);
/// What is 6 dB over a tone does not hold it.
const OUTSHINES: f32 = 4.0;
/// Lost blocks that may lie inside a run.
const LOST_MAX: u32 = blocks(100);
/// Softer is no tone for us: −42 dBm0.
const TONE_MIN: f32 = 1.57e4;
/// Silence around a tone is 10 dB below it.
const SILENCE_SHARE: f32 = 0.1;
/// So much of a block that is not the tone may be our own echo: −7 dB.
const ECHO_RESIDUAL_MAX: f32 = 0.2;
/// Blocks before a tone that must be silent; the nearest may hold its onset.
const SILENT_BEFORE: u32 = blocks(50);
/// Blocks remembered for that, with those that may hide its beginning.
const BEFORE: usize = (SILENT_BEFORE + MASKED_MAX + 3) as usize;

/// Frequencies of a beep, hertz.
const BEEP_HZ: std::ops::RangeInclusive<f32> = 350.0..=2600.0;
/// Shortest beep. A tone of 100 ms fills nine blocks.
const BEEP_MIN: u32 = blocks(90);
/// A beep this long need not end first.
const BEEP_SURE: u32 = blocks(200);
/// Longest beep that is judged by its end.
const BEEP_MAX: u32 = blocks(2500);
/// What is no louder than our echo may be it: no vowel is so long.
const BEEP_IN_ECHO_MIN: u32 = blocks(130);
/// How far its frequency may be from its mean, in the mean: somebody who whistles glides.
const WANDER_SHARE: f32 = 0.003;
const WANDER_SLACK: f32 = 4.0;
/// Trucks that back sound near 1250 Hz, the buzzers of appliances from here on.
const TRUCK_HZ: std::ops::RangeInclusive<f32> = 1200.0..=1300.0;
const BUZZER_HZ: f32 = 1900.0;
/// Silence after a shorter one.
const BEEP_SILENCE: u32 = blocks(50);
/// Speech before a beep.
const BEEP_SPEECH: u32 = blocks(400);
/// After so much of it, which no person says to a caller without a pause for an answer, a beep is believed at once.
const GREETING_SURE: u32 = blocks(2500);
/// After less it must stay alone for so long: a truck that backs and an oven that is ready repeat theirs.
const ALONE_SILENCE: u32 = blocks(900);
/// Loud blocks that may lie in the silence after a tone: a click, the tone's own end.
const LOUD_MAX: u32 = 2;
/// A beep is at most 13 dB below the loudest of the greeting: one that is softer sounds in somebody's room.
const BEEP_SHARE: f32 = 0.032;
/// Call progress tones: 425 Hz in most of the world, 400, 440, 450, 480.
const PROGRESS_HZ: std::ops::RangeInclusive<f32> = 375.0..=500.0;
/// A beep in that band is shorter than ringback, and alone: busy tone comes again within 500 ms.
const PROGRESS_BEEP_MAX: u32 = blocks(700);
const PROGRESS_SILENCE: u32 = blocks(800);
/// One that is longer is ringback, unless it is not heard again by then.
const RINGBACK_SILENCE: u32 = blocks(4300);
/// Near a keypad's frequency (1.8 %) a tone must be purer, −15 dB: it is no half of a key.
const KEY_HZ: [f32; 8] = [697.0, 770.0, 852.0, 941.0, 1209.0, 1336.0, 1477.0, 1633.0];
const KEY_SHARE: f32 = 0.018;
const KEY_RESIDUAL_MAX: f32 = 0.03;
/// The same tone within this time is no beep.
const REPEAT_MIN: u32 = blocks(60);
const REPEAT_MAX: u32 = blocks(2500);
/// Blocks of a tone that is heard again.
const REPEAT_HELD: u32 = 4;
/// Other tones in the last 4 s that make a melody.
const MELODY_TONES: usize = 2;
const MELODY_BLOCKS: u32 = blocks(4000);
const MELODY_MIN: u32 = blocks(80);

/// After a key no tone begins to count for so long: a keypad may leave half a tone behind.
const KEY_BLOCKS: u32 = blocks(500);

const SIT_HZ: [std::ops::RangeInclusive<f32>; 3] = [890.0..=1010.0, 1340.0..=1460.0, 1740.0..=1860.0];
/// Each lasts 276 to 380 ms, 330 ± 70 in E.180; our own echo may hide more than half of it.
const SIT_MIN: u32 = blocks(120);
const SIT_MAX: u32 = blocks(440);
const SIT_LAST_MIN: u32 = blocks(120);
/// At most 30 ms between them, a block at either end, and what is hidden.
const SIT_GAP_MAX: u32 = blocks(220);
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
    /// Mean distance of the blocks' frequencies from that, hertz.
    wander: f32,
    power: f32,
    /// Share of the power that is neither the tone nor, at most, our own echo.
    residual: f32,
    /// Power of the last block.
    latest: f32,
    missed: u32,
    masked: u32,
    lost: u32,
    /// Lost blocks inside it.
    unheard: u32,
    from_silence: bool,
    /// Something else hid its beginning.
    hidden: bool,
    /// The loudest echo of ours that may have been beside it.
    echo: f32,
    /// What was spoken before it.
    greeting: Greeting,
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

    fn hold(&mut self, clock: u32, block: &Block, residual: f32, sine: Sine, echo: f32) {
        self.echo = self.echo.max(echo);
        self.held += 1;
        let share = 1.0 / self.held as f32;
        self.wander += ((sine.hz - self.hz).abs() - self.wander) * share;
        self.hz += (sine.hz - self.hz) * share;
        self.residual += (residual - self.residual) * share;
        self.power += (block.power - self.power) * share;
        self.unheard += self.lost;
        (self.latest, self.last) = (block.power, clock);
        (self.missed, self.masked, self.lost) = (0, 0, 0);
    }

    /// One tone all along: two that beat look like one in every other block.
    fn is_pure(&self) -> bool {
        let heard = self.length().saturating_sub(self.unheard);
        self.residual <= RUN_RESIDUAL_MAX && self.held * 8 >= heard * 5
    }

    /// Of the same frequency.
    fn is_like(&self, other: &Self) -> bool {
        (self.hz - other.hz).abs() <= self.hz * HZ_SHARE + HZ_SLACK
    }

    /// Our own echo is not it.
    fn is_over_echo(&self) -> bool {
        self.power > self.echo || self.length() >= BEEP_IN_ECHO_MIN
    }

    fn is_near_key(&self) -> bool {
        KEY_HZ.iter().any(|key| (self.hz - key).abs() <= key * KEY_SHARE)
    }

    /// Whether it can be a beep, its length apart.
    fn may_be_beep(&self) -> bool {
        self.is_pure()
            && self.from_silence
            && self.wander <= self.hz * WANDER_SHARE + WANDER_SLACK
            && self.is_over_echo()
            && BEEP_HZ.contains(&self.hz)
            && self.greeting.speech >= BEEP_SPEECH
            && self.power >= self.greeting.loudest * BEEP_SHARE
            && (!self.is_near_key() || self.residual <= KEY_RESIDUAL_MAX)
    }

    /// Whether its end must be waited for: it may be a part of something else.
    fn must_end(&self) -> bool {
        self.may_be_repeated()
            || PROGRESS_HZ.contains(&self.hz)
            || SIT_HZ[0].contains(&self.hz) && self.length() <= SIT_MAX
    }

    fn may_be_repeated(&self) -> bool {
        self.greeting.speech < GREETING_SURE
            || self.power <= self.echo
            || self.hidden
            || self.hz >= BUZZER_HZ
            || TRUCK_HZ.contains(&self.hz)
    }

    /// The silence that it needs after it.
    fn silence_wanted(&self) -> u32 {
        if PROGRESS_HZ.contains(&self.hz) && self.length() > PROGRESS_BEEP_MAX {
            RINGBACK_SILENCE
        } else if self.may_be_repeated() {
            ALONE_SILENCE
        } else if PROGRESS_HZ.contains(&self.hz) {
            PROGRESS_SILENCE
        } else {
            BEEP_SILENCE
        }
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
    loud: u32,
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

    /// Where a tone sounds, its frequency.
    pub(super) fn hz(&self) -> Option<f32> {
        self.run.as_ref().filter(|run| run.held > 1).map(|run| run.hz)
    }

    /// `echo`: power of our own sound that may be in the block.
    pub(super) fn take(&mut self, block: &Block, greeting: Greeting, echo: f32) -> Option<(Sign, ToneHeard)> {
        self.clock = self.clock.saturating_add(1);
        let found = self.follow(block, greeting, echo);
        let found = found.or_else(|| self.after(block, echo));
        self.before[self.clock as usize % BEFORE] = block.power;
        found
    }

    fn follow(&mut self, block: &Block, greeting: Greeting, echo: f32) -> Option<(Sign, ToneHeard)> {
        let clock = self.clock;
        let echo_share = (echo / block.power.max(1.0)).min(ECHO_RESIDUAL_MAX);
        let sine = block.sine.filter(|_| block.power >= TONE_MIN);
        let Some(run) = &mut self.run else {
            self.run = sine.map(|sine| self.begin(block, sine, greeting, echo));
            return None;
        };
        match sine {
            Some(sine) if run.fits(block, sine) => {
                run.hold(clock, block, (sine.residual - echo_share).max(0.0), sine, echo);
                let run = *run;
                return self.sounding(&run);
            }
            // The first block holds only a part of the tone.
            Some(sine) if run.held == 1 => {
                let from_silence = run.from_silence;
                self.run = Some(Run {
                    from_silence,
                    ..self.begin(block, sine, greeting, echo)
                });
                return None;
            }
            // Something louder begins: it is not heard out first whether our own echo goes on.
            Some(sine) if block.power > run.power * OUTSHINES => {
                let over = *run;
                self.run = Some(self.begin(block, sine, greeting, echo));
                return self.end(over);
            }
            _ => {}
        }
        if block.lost {
            run.lost += 1;
        } else if sine.is_none() && may_hide(run.power, block.power) {
            run.masked += 1;
        } else {
            run.missed += 1;
        }
        if run.missed > MISSED_MAX || run.masked > MASKED_MAX || run.lost > LOST_MAX {
            let run = *run;
            self.run = None;
            return self.end(run);
        }
        None
    }

    fn begin(&self, block: &Block, sine: Sine, greeting: Greeting, echo: f32) -> Run {
        // Something else may hide its beginning, and the block before that may hold the onset.
        let masked = (1..=MASKED_MAX)
            .take_while(|age| may_hide(block.power, self.power_before(*age)))
            .count() as u32;
        let loudest = (masked + 2..masked + 2 + SILENT_BEFORE)
            .map(|age| self.power_before(age))
            .fold(0.0, f32::max);
        Run {
            start: self.clock,
            held: 1,
            last: self.clock,
            hz: sine.hz,
            wander: 0.0,
            power: block.power,
            residual: sine.residual,
            latest: block.power,
            missed: 0,
            masked: 0,
            lost: 0,
            unheard: 0,
            from_silence: loudest <= silence_beside(block.power, echo) && self.clock >= self.deaf_until,
            hidden: masked > 1,
            echo,
            greeting,
        }
    }

    /// So many blocks ago.
    fn power_before(&self, age: u32) -> f32 {
        self.before[self.clock.wrapping_sub(age) as usize % BEFORE]
    }

    /// A tone goes on.
    fn sounding(&self, run: &Run) -> Option<(Sign, ToneHeard)> {
        if run.length() >= SIT_LAST_MIN && run.is_pure() && self.is_sit(run) {
            return Some((Sign::Sit, run.heard()));
        }
        if run.length() >= CED_MIN
            && run.is_pure()
            && CED_HZ.contains(&run.hz)
            && run.greeting.speech <= FAX_SPEECH_MAX
        {
            return Some((Sign::Fax, run.heard()));
        }
        let is_beep = run.length() >= BEEP_SURE
            && !run.must_end()
            && run.may_be_beep()
            && !self.is_melody(run)
            && !self.is_repeated(run);
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

    /// The same tone not long before: an appliance, a truck, a network.
    fn is_repeated(&self, run: &Run) -> bool {
        self.past.iter().flatten().any(|past| {
            let pause = run.start.saturating_sub(past.last);
            (REPEAT_MIN..=REPEAT_MAX).contains(&pause) && past.is_like(run)
        })
    }

    fn is_melody(&self, run: &Run) -> bool {
        let others = self.past.iter().flatten().filter(|past| {
            run.start.saturating_sub(past.last) <= MELODY_BLOCKS && past.is_over_echo() && !past.is_like(run)
        });
        others.count() >= MELODY_TONES
    }

    fn end(&mut self, run: Run) -> Option<(Sign, ToneHeard)> {
        if run.length() < MELODY_MIN || !run.is_pure() || run.hz < *BEEP_HZ.start() {
            return None;
        }
        // What is no louder than our own echo may be it, and takes no beep away.
        if run.power <= run.echo && self.ended.is_some() {
            return None;
        }
        self.ended = (!self.is_melody(&run) && !self.is_repeated(&run)).then_some(Ended {
            run,
            silent: 0,
            wanted: run.silence_wanted(),
            loud: 0,
        });
        self.past.rotate_right(1);
        self.past[0] = Some(run);
        let is_cng = CNG_HZ.contains(&run.hz) && (CNG_MIN..=CNG_MAX).contains(&run.length());
        self.cng += u32::from(is_cng);
        (is_cng && self.cng >= 2).then(|| (Sign::Fax, run.heard()))
    }

    /// Silence after a tone makes it a beep.
    fn after(&mut self, block: &Block, echo: f32) -> Option<(Sign, ToneHeard)> {
        let ended = self.ended.as_mut()?;
        if self
            .run
            .is_some_and(|run| run.held >= REPEAT_HELD && ended.run.is_like(&run))
        {
            self.ended = None;
            return None;
        }
        if block.power > silence_beside(ended.run.power, echo) {
            ended.loud += 1;
            if ended.loud > LOUD_MAX {
                self.ended = None;
            }
            return None;
        }
        ended.silent += u32::from(!block.lost);
        if ended.silent < ended.wanted {
            return None;
        }
        let run = ended.run;
        self.ended = None;
        let is_beep = (BEEP_MIN..=BEEP_MAX).contains(&run.length()) && run.may_be_beep();
        is_beep.then(|| (Sign::Beep, run.heard()))
    }
}

/// Whether a tone may be there below what is heard.
fn may_hide(tone: f32, heard: f32) -> bool {
    (tone / LEVEL_STEP..=tone * OUTSHINES).contains(&heard)
}

/// What counts as silence before and after a tone of that power.
fn silence_beside(tone: f32, echo: f32) -> f32 {
    (tone * SILENCE_SHARE).max(echo)
}
