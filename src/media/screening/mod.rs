//! Listening beyond keys: who, or what, has answered (contract §2: `voicemail`, `call_screened`). Pure, `f32`, no
//! allocation, and never a reason to wait: the prompt plays from the first word whatever is found here.
//!
//! ```text
//! packets ─► blocks of 10 ms ─┬─► tones: beep, SIT, fax      ─► certain: the call ends
//!                             └─► speech: first utterance,   ─► a guess: refines how a call without a key ended
//! our own audio ─► echo ──────────► pauses, answers
//! ```
//! Two kinds of findings, kept apart because their errors cost differently. A **certain** one ends a call, so each
//! needs what no person does: a pure, steady tone out of silence right after a greeting; the three special
//! information tones; the tone of a fax machine. A **guess** ([`Sign::LongGreeting`], [`Sign::Robot`]) comes from how
//! long was spoken and when; it ends nothing, and is withdrawn ([`Sign::Person`]) when what follows speaks against it.
//!
//! What it does not: know words, voices or languages, or store audio. Keys are [`super::inband`]'s.
//!
//! Invariants: at most one certain finding, and none after it; a guess is told only when it changes; the state is
//! bounded, and whatever octets come, nothing panics.
mod block;
mod speech;
mod tones;

#[cfg(test)]
mod tests;

use block::{BLOCK_LEN, Block};
use speech::Speech;
use tones::Tones;

use super::codec;
use crate::model::Codec;

/// Milliseconds of a block.
const BLOCK_MS: u32 = 10;
/// Audio whose peak (16-bit) is below this is silence: −50 dBm0.
const GATE_PEAK: i16 = 70;
/// A gap in what is sent counts as so much silence at most, samples: 60 s.
const GAP_SAMPLES_MAX: u64 = 480_000;

/// What was heard besides keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sign {
    /// One steady tone after a greeting: an answering machine records from here.
    Beep,
    /// The network's special information tones (ITU-T E.180): an announcement, nobody's phone.
    Sit,
    /// A fax machine or modem.
    Fax,
    /// A first utterance that no person makes, and no word after it: most likely an answering machine.
    LongGreeting,
    /// A long first utterance, a pause for us to speak, and a long answer: most likely a screening robot.
    Robot,
    /// What was guessed does not hold any more.
    Person,
}

impl Sign {
    /// Sure enough to end a call by.
    #[must_use]
    pub const fn is_certain(self) -> bool {
        match self {
            Self::Beep | Self::Sit | Self::Fax => true,
            Self::LongGreeting | Self::Robot | Self::Person => false,
        }
    }

    /// As an attempt's flags say it; `None` for what is no finding.
    #[must_use]
    pub const fn as_flag(self) -> Option<&'static str> {
        match self {
            Self::Beep => Some("beep"),
            Self::Sit => Some("sit_tones"),
            Self::Fax => Some("fax_tones"),
            Self::LongGreeting => Some("long_greeting"),
            Self::Robot => Some("screening_robot"),
            Self::Person => None,
        }
    }
}

/// One finding, with what was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screening {
    pub sign: Sign,
    /// From the start of listening, milliseconds.
    pub at_ms: u32,
    /// Speech of the first utterance so far, without its pauses, milliseconds.
    pub first_speech_ms: u32,
    /// The tone that decided.
    pub tone: Option<ToneHeard>,
}

/// A steady tone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToneHeard {
    pub hz: u16,
    /// So far.
    pub ms: u32,
    /// Level, dBm0.
    pub dbm0: i8,
}

/// Listens to one callee, from the answer on.
#[derive(Debug, Clone)]
pub struct Screener {
    decoder: codec::Decoder,
    /// Samples of an unfinished block.
    pending: [f32; BLOCK_LEN],
    pending_len: usize,
    /// Blocks taken.
    clock: u32,
    speech: Speech,
    tones: Tones,
    /// What was told last.
    guess: Sign,
    over: bool,
}

impl Default for Screener {
    fn default() -> Self {
        Self {
            decoder: codec::Decoder::default(),
            pending: [0.0; BLOCK_LEN],
            pending_len: 0,
            clock: 0,
            speech: Speech::default(),
            tones: Tones::default(),
            guess: Sign::Person,
            over: false,
        }
    }
}

impl Screener {
    /// Takes one packet's octets.
    pub fn audio(&mut self, law: Codec, octets: &[u8], out: &mut Vec<Screening>) {
        if codec::peak(law, octets).is_some_and(|peak| peak < GATE_PEAK) {
            self.silence(octets.len() as u64, out);
            return;
        }
        let mut pcm = [0; BLOCK_LEN];
        for octets in octets.chunks(BLOCK_LEN) {
            let length = self.decoder.decode(law, octets, &mut pcm);
            self.pcm(pcm.get(..length).unwrap_or_default(), out);
        }
    }

    /// Takes linear samples, 8 kHz.
    pub fn pcm(&mut self, pcm: &[i16], out: &mut Vec<Screening>) {
        for sample in pcm {
            if let Some(place) = self.pending.get_mut(self.pending_len) {
                *place = f32::from(*sample);
            }
            self.pending_len += 1;
            if self.pending_len >= BLOCK_LEN {
                self.pending_len = 0;
                let block = Block::of(&self.pending, self.tones.hz());
                self.take(block, out);
            }
        }
    }

    /// `samples` were silent, or not sent.
    pub fn silence(&mut self, samples: u64, out: &mut Vec<Screening>) {
        self.pass(samples, Block::SILENCE, out);
    }

    /// `samples` did not arrive: they say nothing.
    pub fn lost(&mut self, samples: u64, out: &mut Vec<Screening>) {
        self.pass(samples, Block::LOST, out);
    }

    fn pass(&mut self, samples: u64, block: Block, out: &mut Vec<Screening>) {
        let samples = samples.min(GAP_SAMPLES_MAX) as usize + self.pending_len;
        self.pending_len = samples % BLOCK_LEN;
        // What is left of a block begins in silence.
        if self.pending_len > 0 {
            self.pending.fill(0.0);
        }
        for _ in 0..samples / BLOCK_LEN {
            self.take(block, out);
        }
    }

    /// Our own side played one packet, which may come back as an echo. To be told of silence too.
    pub fn played(&mut self, mean_square: f32, samples: usize) {
        self.speech.played(mean_square, samples);
    }

    /// The callee pressed a key.
    pub fn key(&mut self) {
        self.tones.key();
    }

    /// Whether a tone sounds or has just ended: what follows decides, and silence may not be sent at all.
    #[must_use]
    pub const fn is_deciding(&self) -> bool {
        !self.over && self.tones.is_deciding()
    }

    fn take(&mut self, block: Block, out: &mut Vec<Screening>) {
        self.clock = self.clock.saturating_add(1);
        if self.over {
            return;
        }
        let found = self
            .tones
            .take(&block, self.speech.greeting(), self.speech.echo());
        self.speech.take(&block, self.clock, self.tones.is_tone());
        if let Some((sign, tone)) = found {
            self.over = true;
            self.tell(sign, Some(tone), out);
            return;
        }
        let guess = self.speech.guess();
        if guess != self.guess {
            self.guess = guess;
            self.tell(guess, None, out);
        }
    }

    fn tell(&self, sign: Sign, tone: Option<ToneHeard>, out: &mut Vec<Screening>) {
        out.push(Screening {
            sign,
            at_ms: self.clock.saturating_mul(BLOCK_MS),
            first_speech_ms: self.speech.first_speech_blocks() * BLOCK_MS,
            tone,
        });
    }
}
