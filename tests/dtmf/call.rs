//! Calls of every kind: what the peer sends, and which keys are in it.
use std::f64::consts::TAU;

use super::dice::Dice;
use super::line::{self, Law, PACKET, to_pcm};
use super::set::{Category, Kind, Refused};
use super::signal::{self, Key, add_sine, any_digit, peak_of, ratio_of, samples_of};

/// A press as it was made; milliseconds of the call.
#[derive(Debug, Clone, Copy)]
pub struct Pressed {
    pub digit: char,
    pub start_ms: f64,
    pub end_ms: f64,
}

/// What arrives from the line.
pub struct Call {
    pub law: Law,
    pub octets: Vec<u8>,
    /// Packets of [`PACKET`] octets that do not arrive.
    pub lost: Vec<bool>,
    pub keys: Vec<Pressed>,
    /// What we play meanwhile, sample for sample; empty when nothing.
    pub prompt: Vec<i16>,
}

/// What is played while keys are pressed, of `prompts/en-US`.
pub const PROMPTS: [&str; 6] = [
    "already-at-extension.wav",
    "brand-default.wav",
    "calls-back.wav",
    "code-again.wav",
    "confirm-press-pound.wav",
    "confirmed.wav",
];

/// What the generator needs from outside: our prompts at 8 kHz, and speech codecs.
pub struct Studio<'a> {
    pub prompts: &'a [Vec<i16>],
    pub through: &'a mut dyn FnMut(Kind, &[i16]) -> Vec<i16>,
}

impl Kind {
    /// Needs a speech codec from outside.
    pub const fn is_transcoded(self) -> bool {
        matches!(
            self,
            Self::Gsm | Self::G726 | Self::Opus | Self::Speex | Self::Amr
        )
    }
}

/// A signal under construction.
struct Draft {
    signal: Vec<f64>,
    keys: Vec<(Key, usize, usize)>,
}

impl Draft {
    /// Silence, the keys with their pauses, silence.
    fn dial(keys: &[Key], dice: &mut Dice) -> Self {
        let mut draft = Self {
            signal: vec![0.0; samples_of(dice.between(200.0, 420.0))],
            keys: Vec::new(),
        };
        for key in keys {
            let (start, length) = (draft.signal.len(), samples_of(key.tone_ms));
            draft
                .signal
                .resize(start + length + samples_of(key.pause_ms), 0.0);
            let ramp = dice.below(9);
            for (hz, dbm0) in key.hz().into_iter().zip([key.low_dbm0, key.high_dbm0]) {
                let phase = dice.between(0.0, TAU);
                add_sine(
                    &mut draft.signal[start..start + length],
                    hz,
                    peak_of(dbm0),
                    phase,
                    ramp,
                );
            }
            draft.keys.push((*key, start, start + length));
        }
        draft.signal.resize(draft.signal.len() + samples_of(300.0), 0.0);
        let whole = draft.signal.len().div_ceil(PACKET) * PACKET;
        draft.signal.resize(whole, 0.0);
        draft
    }

    fn add(&mut self, noise: &[f64], gain: f64) {
        self.signal
            .iter_mut()
            .zip(noise)
            .for_each(|(x, n)| *x += n * gain);
    }

    /// Rms of the weakest key of the call.
    fn key_rms(&self) -> f64 {
        let power = |k: &Key| (peak_of(k.low_dbm0).powi(2) + peak_of(k.high_dbm0).powi(2)) / 2.0;
        self.keys
            .iter()
            .map(|(k, ..)| power(k).sqrt())
            .fold(f64::INFINITY, f64::min)
    }

    /// At `at`, drops `cut` samples and puts `silence` in; keys after it move.
    fn splice(&mut self, at: usize, cut: usize, silence: usize) {
        let cut = cut.min(self.signal.len() - at);
        self.signal
            .splice(at..at + cut, std::iter::repeat_n(0.0, silence));
        let moved = |place: usize| {
            if place > at {
                (place + silence).saturating_sub(cut).max(at)
            } else {
                place
            }
        };
        for (_, start, end) in &mut self.keys {
            (*start, *end) = (moved(*start), moved(*end));
        }
    }

    fn pressed(&self) -> Vec<Pressed> {
        let keys = self.keys.iter().map(|(key, start, end)| Pressed {
            digit: key.digit,
            start_ms: *start as f64 / 8.0,
            end_ms: *end as f64 / 8.0,
        });
        keys.collect()
    }
}

/// A telephone's own spread: what no category changes.
fn ordinary(dice: &mut Dice) -> Key {
    let low_dbm0 = dice.between(-18.0, -5.0);
    Key {
        digit: any_digit(dice),
        low_dbm0,
        high_dbm0: low_dbm0 + dice.between(-3.0, 3.0),
        low_factor: dice.between(0.995, 1.005),
        high_factor: dice.between(0.995, 1.005),
        tone_ms: dice.between(60.0, 120.0),
        pause_ms: dice.between(60.0, 120.0),
    }
}

fn at_level(key: Key, low: f64, high: f64, dice: &mut Dice) -> Key {
    let low_dbm0 = dice.between(low, high);
    Key {
        low_dbm0,
        high_dbm0: low_dbm0 + key.high_dbm0 - key.low_dbm0,
        ..key
    }
}

/// Off by a share of nominal and by 2 Hz on top, both the same way.
fn off(key: Key, low: f64, high: f64, dice: &mut Dice) -> Key {
    let plain = Key {
        low_factor: 1.0,
        high_factor: 1.0,
        ..key
    };
    let [low_hz, high_hz] = plain.hz();
    let mut factor = |hz: f64| 1.0 + dice.sign() * (dice.between(low, high) + 2.0 / hz);
    Key {
        low_factor: factor(low_hz),
        high_factor: factor(high_hz),
        ..key
    }
}

/// Column over row, dB, both tones within 0…-25 dBm0.
fn twisted(key: Key, twist_db: f64, dice: &mut Dice) -> Key {
    let stronger = dice.between(-24.0 + twist_db.abs(), -3.0);
    let (low_dbm0, high_dbm0) = if twist_db > 0.0 {
        (stronger - twist_db, stronger)
    } else {
        (stronger, stronger + twist_db)
    };
    Key {
        low_dbm0,
        high_dbm0,
        ..key
    }
}

fn key(kind: Kind, dice: &mut Dice) -> Key {
    let key = ordinary(dice);
    let (tone, pause) = (dice.between(0.0, 1.0), dice.between(0.0, 1.0));
    let timed = |tones: [f64; 2], pauses: [f64; 2]| Key {
        tone_ms: tones[0] + tone * (tones[1] - tones[0]),
        pause_ms: pauses[0] + pause * (pauses[1] - pauses[0]),
        ..key
    };
    match kind {
        Kind::Length => timed([40.0, 60.0], [60.0, 120.0]),
        Kind::Pause => timed([50.0, 90.0], [40.0, 50.0]),
        Kind::Fast => timed([40.0, 50.0], [40.0, 50.0]),
        Kind::Frequency => {
            let key = timed([45.0, 100.0], [60.0, 120.0]);
            off(key, 0.010, 0.015, dice)
        }
        Kind::Twist => {
            let twist_db = if dice.chance(0.5) {
                dice.between(-8.0, -6.0)
            } else {
                dice.between(3.0, 4.0)
            };
            twisted(key, twist_db, dice)
        }
        Kind::Level if dice.chance(0.7) => at_level(
            Key {
                high_dbm0: key.low_dbm0,
                ..key
            },
            -25.0,
            -19.0,
            dice,
        ),
        Kind::Level => at_level(
            Key {
                high_dbm0: key.low_dbm0,
                ..key
            },
            -6.0,
            0.0,
            dice,
        ),
        Kind::Corners => {
            let key = timed([40.0, 45.0], [40.0, 45.0]);
            let key = off(key, 0.015, 0.015, dice);
            let twist_db = if dice.chance(0.5) { -8.0 } else { 4.0 };
            twisted(key, twist_db, dice)
        }
        Kind::PromptEcho => at_level(key, -20.0, -5.0, dice),
        Kind::DialTone => at_level(key, -13.0, -4.0, dice),
        Kind::Hum => at_level(key, -15.0, -4.0, dice),
        Kind::Loss | Kind::Concealed => timed([100.0, 240.0], [100.0, 200.0]),
        Kind::JitterGap => timed([80.0, 160.0], [80.0, 150.0]),
        Kind::Break => timed([100.0, 200.0], [60.0, 120.0]),
        Kind::Long => timed([800.0, 4000.0], [100.0, 300.0]),
        Kind::Gsm | Kind::G726 | Kind::Opus | Kind::Speex | Kind::Amr => {
            let key = timed([70.0, 150.0], [80.0, 150.0]);
            at_level(key, -16.0, -5.0, dice)
        }
        Kind::White | Kind::Pink | Kind::Impulse | Kind::Music | Kind::Clipping | Kind::LineEcho => key,
    }
}

/// The call of a seed.
pub fn call(category: &Category, seed: u64, studio: &mut Studio<'_>) -> Call {
    let mut dice = Dice::new(seed.wrapping_mul(64).wrapping_add(category.kind as u64));
    let dice = &mut dice;
    let keys: Vec<Key> = (0..category.keys).map(|_| key(category.kind, dice)).collect();
    let mut draft = Draft::dial(&keys, dice);
    let mut prompt = Vec::new();
    disturb(category.kind, &mut draft, &mut prompt, studio, dice);
    let whole = draft.signal.len().div_ceil(PACKET) * PACKET;
    draft.signal.resize(whole, 0.0);
    // No line is wholly silent.
    let idle = signal::white(whole, dice);
    draft.add(&idle, peak_of(dice.between(-75.0, -62.0)) / 2.0_f64.sqrt());
    let mut pcm = to_pcm(&draft.signal);
    let law = if dice.chance(0.5) { Law::Mu } else { Law::A };
    let mut lost = vec![false; whole / PACKET];
    match category.kind {
        Kind::Loss => lost = line::losses(lost.len(), 0.1, dice),
        Kind::Concealed => {
            let share = dice.between(0.04, 0.10);
            line::conceal(&mut pcm, &line::losses(lost.len(), share, dice));
        }
        kind if kind.is_transcoded() => {
            let length = pcm.len();
            pcm = (studio.through)(kind, &pcm);
            pcm.resize(length, 0);
        }
        _ => {}
    }
    Call {
        law,
        octets: line::encode(law, &pcm),
        lost,
        keys: draft.pressed(),
        prompt,
    }
}

fn disturb(kind: Kind, draft: &mut Draft, prompt: &mut Vec<i16>, studio: &Studio<'_>, dice: &mut Dice) {
    let length = draft.signal.len();
    let key_rms = draft.key_rms();
    match kind {
        Kind::Corners => {
            let noise = signal::white(length, dice);
            draft.add(&noise, peak_of(dice.between(-55.0, -45.0)) / 2.0_f64.sqrt());
        }
        Kind::White | Kind::Pink => {
            let make = if kind == Kind::White {
                signal::white
            } else {
                signal::pink
            };
            draft.add(&make(length, dice), key_rms * ratio_of(-dice.between(15.0, 21.0)));
        }
        Kind::Music => {
            let music = signal::music(length, dice);
            draft.add(&music, key_rms * ratio_of(-dice.between(10.0, 25.0)));
        }
        Kind::Impulse => {
            let peak = key_rms * 2.0_f64.sqrt() * ratio_of(dice.between(-6.0, 9.0));
            draft.add(&signal::impulses(length, dice), peak);
        }
        Kind::PromptEcho => {
            *prompt = playing(studio.prompts, length, dice);
            let played: Vec<f64> = prompt.iter().map(|s| f64::from(*s)).collect();
            let delay = samples_of(dice.between(5.0, 220.0));
            let gain = ratio_of(-dice.between(10.0, 30.0));
            let back = signal::echo(&played, delay, gain, dice);
            draft.add(&back, 1.0);
        }
        Kind::DialTone => {
            let tones: &[f64] = [&[350.0, 440.0][..], &[425.0], &[400.0, 450.0], &[440.0]][dice.below(4)];
            for hz in tones {
                let peak = peak_of(dice.between(-20.0, -10.0));
                add_sine(&mut draft.signal, *hz, peak, dice.between(0.0, TAU), 0);
            }
        }
        Kind::Hum => {
            let (mains, level) = ([50.0, 60.0][dice.below(2)], dice.between(-24.0, -10.0));
            for harmonic in 1..=5 {
                let peak = peak_of(level - 5.0 * f64::from(harmonic - 1) - dice.between(0.0, 4.0));
                add_sine(
                    &mut draft.signal,
                    mains * f64::from(harmonic),
                    peak,
                    dice.between(0.0, TAU),
                    0,
                );
            }
        }
        Kind::Clipping => {
            let peak = draft.signal.iter().fold(0.0_f64, |max, x| max.max(x.abs()));
            let (limit, over) = (dice.between(8_000.0, 32_000.0), ratio_of(dice.between(2.0, 12.0)));
            draft
                .signal
                .iter_mut()
                .for_each(|x| *x = (*x / peak * limit * over).clamp(-limit, limit));
        }
        Kind::LineEcho => {
            let delay = samples_of(dice.between(3.0, 40.0));
            let gain = ratio_of(-dice.between(8.0, 24.0));
            let back = signal::echo(&draft.signal, delay, gain, dice);
            draft.add(&back, 1.0);
        }
        Kind::JitterGap => {
            let mut at = length.saturating_sub(samples_of(dice.between(150.0, 400.0)));
            while at > samples_of(100.0) {
                let size = samples_of(dice.between(4.0, 10.0));
                if dice.chance(0.5) {
                    draft.splice(at, size, 0)
                } else {
                    draft.splice(at, 0, size)
                }
                at = at.saturating_sub(samples_of(dice.between(120.0, 400.0)));
            }
        }
        Kind::Break => {
            for (key, start, _) in draft.keys.clone() {
                let size = dice.between(2.0, 10.0);
                let at = start + samples_of(dice.between(35.0, key.tone_ms - 35.0 - size));
                draft.signal[at..at + samples_of(size)].fill(0.0);
            }
        }
        _ => {}
    }
}

/// Our prompts, one after the other, as long as the call.
fn playing(prompts: &[Vec<i16>], length: usize, dice: &mut Dice) -> Vec<i16> {
    let mut out = Vec::with_capacity(length);
    while out.len() < length {
        let prompt = &prompts[dice.below(prompts.len())];
        // Its lead-in would leave the first key without an echo.
        out.extend(prompt.iter().skip(1600));
    }
    out.truncate(length);
    out
}

/// A sound that holds no key.
pub fn refused(kind: Refused, seed: u64) -> Call {
    let mut dice = Dice::new(seed.wrapping_mul(64).wrapping_add(40 + kind as u64));
    let dice = &mut dice;
    let keys: Vec<Key> = (0..4).map(|_| unwanted(kind, dice)).collect();
    let mut draft = Draft::dial(&keys, dice);
    if kind == Refused::CallProgress {
        progress(&mut draft, dice);
    }
    let idle = signal::white(draft.signal.len(), dice);
    draft.add(&idle, peak_of(dice.between(-75.0, -55.0)) / 2.0_f64.sqrt());
    let law = if dice.chance(0.5) { Law::Mu } else { Law::A };
    Call {
        law,
        octets: line::encode(law, &to_pcm(&draft.signal)),
        lost: vec![false; draft.signal.len() / PACKET],
        keys: Vec::new(),
        prompt: Vec::new(),
    }
}

fn unwanted(kind: Refused, dice: &mut Dice) -> Key {
    let key = ordinary(dice);
    match kind {
        Refused::Short => Key {
            tone_ms: dice.between(5.0, 23.0),
            ..key
        },
        Refused::OffFrequency => {
            let far = 1.0 + dice.sign() * dice.between(0.035, 0.06);
            if dice.chance(0.5) {
                Key {
                    low_factor: far,
                    ..key
                }
            } else {
                Key {
                    high_factor: far,
                    ..key
                }
            }
        }
        Refused::Faint => at_level(key, -70.0, -55.0 - 3.0, dice),
        Refused::OneTone if dice.chance(0.5) => Key {
            low_dbm0: -90.0,
            ..key
        },
        Refused::OneTone => Key {
            high_dbm0: -90.0,
            ..key
        },
        Refused::CallProgress => Key {
            low_dbm0: -99.0,
            high_dbm0: -99.0,
            ..key
        },
    }
}

/// Dial, busy and ringing tones, special information tones, fax and modem calling and answering tones (ITU-T E.180,
/// T.30, V.25).
fn progress(draft: &mut Draft, dice: &mut Dice) {
    const SOUNDS: [&[f64]; 12] = [
        &[350.0, 440.0],
        &[425.0],
        &[480.0, 620.0],
        &[440.0, 480.0],
        &[950.0],
        &[1400.0],
        &[1800.0],
        &[1100.0],
        &[2100.0],
        &[1300.0],
        &[2250.0],
        &[697.0, 1100.0],
    ];
    let mut at = 0;
    while at < draft.signal.len() {
        let end = draft
            .signal
            .len()
            .min(at + samples_of(dice.between(100.0, 500.0)));
        for hz in SOUNDS[dice.below(SOUNDS.len())] {
            let peak = peak_of(dice.between(-20.0, -6.0));
            add_sine(&mut draft.signal[at..end], *hz, peak, dice.between(0.0, TAU), 8);
        }
        at = end + samples_of(dice.between(0.0, 200.0));
    }
}
