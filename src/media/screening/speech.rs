//! When the callee speaks, and what the order of speech and pauses says of who it is.
//!
//! A block is speech when its level stands out of the noise floor (minimum statistics over some seconds), of the
//! echo of what we play, and of the callee's own voice (so that a television behind it is no speech). Blocks become
//! utterances, which a pause of [`UTTERANCE_PAUSE`] ends.
use super::Sign;
use super::block::Block;

/// Milliseconds as blocks.
const fn blocks(ms: u32) -> u32 {
    ms / super::BLOCK_MS
}

/// Levels as power (16-bit, mean square). 0 dBm0 is a mean square of 2.486e8.
const fn at_dbm0(hundredth_of_0_dbm0: f32) -> f32 {
    2.486e8 * hundredth_of_0_dbm0
}

/// Softer is no speech: −46 dBm0.
const SPEECH_MIN: f32 = at_dbm0(2.5e-5);
/// Speech over the noise floor: +11 dB.
const OVER_FLOOR: f32 = 12.6;
/// The floor is believed up to here: −32 dBm0. A line that is louder all the time is no floor.
const FLOOR_MAX: f32 = at_dbm0(6.3e-4);
/// Speech may be so much softer than the loudest so far: −11 dB. A television behind a person is softer.
const UNDER_LOUDEST: f32 = 0.08;
/// The loudest fades by half in 14 s.
const LOUDEST_KEPT: f32 = 0.9995;
/// The echo of our own sound that is expected at most: −17 dB. Softer is no speech while we play…
const ECHO_MAX: f32 = 0.02;
/// …and what is over this, −10 dB, no line returns: it is clearly the callee's.
const ECHO_NEVER: f32 = 0.1;
/// Of what we played so much is kept in the memory each 20 ms: −3 dB after 300 ms, which a mobile's echo may take.
const ECHO_KEPT: f32 = 0.95;
/// Share of a new block in the smoothed power.
const SMOOTHING: f32 = 0.4;
/// Spans of the floor, and their length: 3.2 s in all.
const FLOOR_SPANS: usize = 8;
const FLOOR_SPAN: u32 = blocks(400);
/// Speech goes on so long after the last loud block: consonants are soft.
const HANG: u32 = blocks(80);
/// A pause that ends an utterance.
const UTTERANCE_PAUSE: u32 = blocks(1000);
/// Less is a click or a cough.
const UTTERANCE_MIN: u32 = blocks(200);
/// A greeting counts for a beep so long after its last sound.
const GREETING_PAUSE: u32 = blocks(2000);
/// The first utterance begins by then, or it is no greeting.
const FIRST_STARTS: u32 = blocks(4000);
/// A first utterance this long, its pauses not counted, is a machine's.
const LONG_GREETING: u32 = blocks(9000);
/// A first utterance this long may be a robot's question.
const ROBOT_GREETING: u32 = blocks(3800);
/// A robot's later utterances are of this length…
const ROBOT_ANSWER: std::ops::RangeInclusive<u32> = blocks(1800)..=blocks(5500);
/// …after it has listened for so long…
const ROBOT_LISTENS: u32 = blocks(2000);
/// …and so many at most.
const ROBOT_ANSWERS_MAX: u32 = 3;
/// A later utterance this short is a person's "hello?", and one longer than a robot's is somebody who talks.
const PERSON_ANSWER: u32 = blocks(1600);
/// So much of a first utterance must clearly be the callee's, or it may be our own echo.
const CLEAR_MIN: u32 = blocks(400);
/// Speech pauses: music does not. Share of an utterance's length that is pauses, in 32nds.
const PAUSES_MIN_32NDS: u32 = 1;

/// A stretch of speech.
#[derive(Debug, Clone, Copy, Default)]
struct Utterance {
    start: u32,
    /// Blocks with speech.
    active: u32,
    /// Of those, blocks louder than any echo of ours.
    clear: u32,
    /// Since the last speech.
    pause: u32,
    /// Pauses inside it, all together.
    pauses: u32,
}

impl Utterance {
    /// An echo is never so loud.
    const fn is_callees(&self) -> bool {
        self.clear >= CLEAR_MIN || self.clear * 3 >= self.active
    }

    const fn pauses_like_speech(&self) -> bool {
        self.pauses * 32 >= self.active * PAUSES_MIN_32NDS
    }
}

/// What is known of the talk so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Speech {
    smooth: f32,
    floor: Floor,
    loudest: f32,
    /// Power of our own sound, fading.
    own: f32,
    hang: u32,
    now: Option<Utterance>,
    first: Option<Utterance>,
    /// Of the last utterance.
    last_end: u32,
    /// Later utterances of a robot's length, and those that are a person's.
    robotic: u32,
    personal: u32,
    /// Speech that may be a greeting, and the silence since.
    greeting: u32,
    silence: u32,
}

/// What a beep must follow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Greeting {
    /// Speech in blocks.
    pub(super) speech: u32,
    /// The loudest so far, power.
    pub(super) loudest: f32,
}

impl Speech {
    pub(super) fn played(&mut self, power: f32, octets: usize) {
        let kept = 1.0 - (1.0 - ECHO_KEPT) * octets as f32 / 160.0;
        self.own = power.max(self.own * kept.max(0.0));
    }

    /// Power of our own sound that may be coming back.
    pub(super) fn echo(&self) -> f32 {
        self.own * ECHO_MAX
    }

    pub(super) fn greeting(&self) -> Greeting {
        Greeting {
            speech: self.greeting,
            loudest: self.loudest,
        }
    }

    /// Of the first utterance, over or not.
    pub(super) fn first_speech_blocks(&self) -> u32 {
        self.first.or(self.now).map_or(0, |utterance| utterance.active)
    }

    pub(super) fn take(&mut self, block: &Block, clock: u32, is_tone: bool) {
        // A lost block changes nothing but the time.
        if !block.lost {
            self.smooth += SMOOTHING * (block.power - self.smooth);
            self.floor.hear(self.smooth);
            let speaks = !is_tone && self.smooth > self.threshold();
            if speaks {
                self.loudest = self.loudest.max(self.smooth);
                self.hang = HANG;
            } else {
                self.hang = self.hang.saturating_sub(1);
            }
            self.loudest *= LOUDEST_KEPT;
        }
        let voiced = self.hang > 0;
        self.count(voiced);
        self.utter(voiced, clock);
    }

    fn threshold(&self) -> f32 {
        let floor = self.floor.least().min(FLOOR_MAX) * OVER_FLOOR;
        SPEECH_MIN
            .max(floor)
            .max(self.echo())
            .max(self.loudest * UNDER_LOUDEST)
    }

    fn count(&mut self, voiced: bool) {
        if voiced {
            self.greeting += 1;
            self.silence = 0;
            return;
        }
        self.silence += 1;
        if self.silence > GREETING_PAUSE {
            self.greeting = 0;
        }
    }

    fn utter(&mut self, voiced: bool, clock: u32) {
        let is_clear = self.smooth > self.own * ECHO_NEVER;
        match (&mut self.now, voiced) {
            (None, false) => {}
            (None, true) => {
                self.now = Some(Utterance {
                    start: clock,
                    active: 1,
                    clear: u32::from(is_clear),
                    pause: 0,
                    pauses: 0,
                });
            }
            (Some(now), true) => {
                now.active += 1;
                now.clear += u32::from(is_clear);
                now.pauses += std::mem::take(&mut now.pause);
            }
            (Some(now), false) => {
                now.pause += 1;
                if now.pause >= UTTERANCE_PAUSE {
                    let over = *now;
                    self.now = None;
                    self.close(over, clock);
                }
            }
        }
    }

    fn close(&mut self, over: Utterance, clock: u32) {
        if over.active < UTTERANCE_MIN {
            return;
        }
        let before = std::mem::replace(&mut self.last_end, clock.saturating_sub(over.pause));
        if self.first.is_none() {
            self.first = Some(over);
            return;
        }
        if !over.is_callees() {
            return;
        }
        if ROBOT_ANSWER.contains(&over.active) {
            self.robotic += u32::from(over.start.saturating_sub(before) >= ROBOT_LISTENS);
        } else if over.active < PERSON_ANSWER || over.active > *ROBOT_ANSWER.end() {
            self.personal += 1;
        }
    }

    /// What the talk so far looks like.
    pub(super) fn guess(&self) -> Sign {
        let Some(first) = self.first else {
            return Sign::Person;
        };
        let is_greeting =
            first.start <= FIRST_STARTS && first.clear >= CLEAR_MIN && first.pauses_like_speech();
        if !is_greeting || self.personal > 0 {
            return Sign::Person;
        }
        match self.robotic {
            0 if first.active >= LONG_GREETING => Sign::LongGreeting,
            1..=ROBOT_ANSWERS_MAX if first.active >= ROBOT_GREETING => Sign::Robot,
            _ => Sign::Person,
        }
    }
}

/// The least smoothed power of the last seconds.
#[derive(Debug, Clone)]
struct Floor {
    spans: [f32; FLOOR_SPANS],
    span: usize,
    blocks: u32,
    /// Of all spans but the one that runs: kept, since it is asked for with each block.
    least_before: f32,
    known_before: u32,
}

impl Default for Floor {
    fn default() -> Self {
        Self {
            spans: [f32::INFINITY; FLOOR_SPANS],
            span: 0,
            blocks: 0,
            least_before: f32::INFINITY,
            known_before: 0,
        }
    }
}

impl Floor {
    fn hear(&mut self, power: f32) {
        self.blocks += 1;
        if self.blocks > FLOOR_SPAN {
            self.blocks = 1;
            self.turn();
        }
        self.spans[self.span] = self.spans[self.span].min(power);
    }

    /// The next span begins; what stood there is forgotten.
    fn turn(&mut self) {
        self.span = (self.span + 1) % FLOOR_SPANS;
        self.spans[self.span] = f32::INFINITY;
        self.least_before = self.spans.iter().copied().fold(f32::INFINITY, f32::min);
        self.known_before = self.spans.iter().map(|span| u32::from(span.is_finite())).sum();
    }

    /// 0 while the line is not known: then any sound is speech.
    fn least(&self) -> f32 {
        let running = self.spans[self.span];
        if self.known_before + u32::from(running.is_finite()) > 1 {
            self.least_before.min(running)
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_floor_is_the_least_of_its_spans(powers in prop::collection::vec(0.0_f32..1e9, 1..2000)) {
            let mut floor = Floor::default();
            for (n, power) in powers.iter().enumerate() {
                floor.hear(*power);
                let span = FLOOR_SPAN as usize;
                let begun = n / span;
                let oldest = (begun + 1).saturating_sub(FLOOR_SPANS) * span;
                let least = powers[oldest..=n].iter().copied().fold(f32::INFINITY, f32::min);
                prop_assert_eq!(floor.least(), if begun == 0 { 0.0 } else { least });
            }
        }
    }
}
