//! Calls of every kind, drawn from a seed: what the callee's side sounds like from the answer on.
use std::f64::consts::TAU;

use super::dice::Dice;
use super::material::Material;
use super::signal::{self, add_sine, peak_of, ratio_of, samples_of};

/// Length of a scene: longer than three plays.
pub const SCENE_MS: f64 = 50_000.0;

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A word or a sentence, then listening.
    Person,
    /// The same before a television, a crowd, music or a loud line.
    NoisyPerson,
    /// Talks over the prompt, with somebody or to it.
    Talker,
    /// Other sounds of a household: appliances that beep, wrong keys.
    Household,
    /// Says nothing.
    Quiet,
    /// An announcement, ringback of another country, and then a person.
    Forwarded,
    /// A waiting loop: announcements and music.
    OnHold,
    VoicemailWithBeep,
    /// The same, with a beep that is no plain tone: decaying, with overtones, of two tones, or far below the greeting.
    VoicemailOddBeep,
    VoicemailNoBeep,
    Robot,
    Sit,
    Fax,
}

impl Kind {
    pub const ALL: [Self; 13] = [
        Self::Person,
        Self::NoisyPerson,
        Self::Talker,
        Self::Household,
        Self::Quiet,
        Self::Forwarded,
        Self::OnHold,
        Self::VoicemailWithBeep,
        Self::VoicemailOddBeep,
        Self::VoicemailNoBeep,
        Self::Robot,
        Self::Sit,
        Self::Fax,
    ];

    /// Somebody may listen and press a key.
    pub const fn is_person(self) -> bool {
        matches!(
            self,
            Self::Person | Self::NoisyPerson | Self::Talker | Self::Household | Self::Quiet | Self::Forwarded
        )
    }
}

/// How a person presses `#`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Press {
    Event,
    Tone,
}

pub struct Scene {
    /// From the answer on, 16-bit scale.
    pub signal: Vec<f64>,
    /// Sample at which `#` goes down.
    pub press: Option<(usize, Press)>,
    /// Samples of the beep.
    pub beep: Option<(usize, usize)>,
    /// From this sample on no packets are sent.
    pub mute_from: Option<usize>,
    pub is_mu_law: bool,
    pub loss: f64,
    pub echo_gain: f64,
    pub echo_delay: usize,
    pub seed: u64,
}

struct Stage<'a> {
    signal: Vec<f64>,
    at: usize,
    /// Of speech.
    dbm0: f64,
    material: &'a Material,
    dice: Dice,
    ringing: bool,
}

pub fn scene(kind: Kind, seed: u64, material: &Material) -> Scene {
    let mut dice = Dice::new(seed * 64 + kind as u64);
    let dbm0 = dice.between(-27.0, -13.0);
    let mut stage = Stage {
        signal: vec![0.0; samples_of(SCENE_MS)],
        at: 0,
        dbm0,
        material,
        dice,
        ringing: kind == Kind::Forwarded,
    };
    let (press, beep) = match kind {
        Kind::Person => stage.person(),
        Kind::NoisyPerson => stage.noisy_person(),
        Kind::Talker => stage.talker(),
        Kind::Household => stage.household(),
        Kind::Quiet => (stage.press(0.5), None),
        Kind::Forwarded => stage.forwarded(),
        Kind::OnHold => stage.on_hold(),
        Kind::VoicemailWithBeep => stage.voicemail(Some(false)),
        Kind::VoicemailOddBeep => stage.voicemail(Some(true)),
        Kind::VoicemailNoBeep => stage.voicemail(None),
        Kind::Robot => stage.robot(),
        Kind::Sit => stage.sit(),
        Kind::Fax => stage.fax(),
    };
    stage.finish(kind, seed, press, beep)
}

type Acted = (Option<(usize, Press)>, Option<(usize, usize)>);

impl Stage<'_> {
    fn wait(&mut self, low_ms: f64, high_ms: f64) {
        self.at += samples_of(self.dice.between(low_ms, high_ms));
    }

    fn say(&mut self, kind: &str) {
        let dbm0 = self.dbm0;
        self.say_at(kind, dbm0);
    }

    /// A recording at a level of its loud parts, where the stage stands.
    fn say_at(&mut self, kind: &str, dbm0: f64) {
        let pcm: Vec<f64> = self
            .material
            .any(kind, &mut self.dice)
            .iter()
            .map(|sample| f64::from(*sample))
            .collect();
        let gain = peak_of(dbm0) / 2.0_f64.sqrt() / loud_rms(&pcm).max(1.0);
        for (place, sample) in self.signal.iter_mut().skip(self.at).zip(&pcm) {
            *place += sample * gain;
        }
        self.at += pcm.len();
    }

    /// Something that goes on through the whole call.
    fn behind(&mut self, sound: &[f64], dbm0: f64) {
        let gain = peak_of(dbm0) / 2.0_f64.sqrt() / loud_rms(sound).max(1e-9);
        for (place, sample) in self.signal.iter_mut().zip(sound.iter().cycle()) {
            *place += sample * gain;
        }
    }

    fn tone(&mut self, hz: f64, ms: f64, dbm0: f64) {
        let end = (self.at + samples_of(ms)).min(self.signal.len());
        if self.at < end {
            add_sine(&mut self.signal[self.at..end], hz, peak_of(dbm0), 0.3, 24);
        }
        self.at = end;
    }

    fn press(&mut self, share: f64) -> Option<(usize, Press)> {
        if !self.dice.chance(share) {
            return None;
        }
        let at = samples_of(self.dice.between(6500.0, 24_000.0));
        // Not before somebody is there.
        let at = at.max(if self.ringing { self.at } else { 0 });
        let by = if self.dice.chance(0.5) {
            Press::Event
        } else {
            Press::Tone
        };
        if by == Press::Tone {
            self.at = at;
            let (ms, dbm0) = (self.dice.between(80.0, 400.0), self.dice.between(-14.0, -6.0));
            let here = self.at;
            self.tone(941.0, ms, dbm0);
            self.at = here;
            self.tone(1477.0, ms, dbm0);
        }
        Some((at, by))
    }

    fn answer(&mut self) {
        self.wait(50.0, 1600.0);
        if self.dice.chance(0.15) {
            self.say("word");
        } else {
            self.say("answer");
        }
    }

    fn person(&mut self) -> Acted {
        self.answer();
        for _ in 0..self.dice.below(4) {
            self.wait(1200.0, 9000.0);
            self.say("hello");
        }
        (self.press(0.5), None)
    }

    fn noisy_person(&mut self) -> Acted {
        let length = self.signal.len();
        let under = self.dice.between(6.0, 25.0);
        let sound = match self.dice.below(5) {
            0 => signal::pink(length, &mut self.dice),
            1 => signal::music(length, &mut self.dice),
            2 => self.some("music", 8000 * 40),
            // A television, and several of them: a crowd.
            3 => self.some("talk", 8000 * 40),
            _ => {
                let mut crowd = vec![0.0; 8000 * 40];
                for _ in 0..5 {
                    let one = self.some("talker", 8000 * 40);
                    crowd
                        .iter_mut()
                        .zip(one.iter().cycle())
                        .for_each(|(sum, x)| *sum += x);
                }
                crowd
            }
        };
        let dbm0 = self.dbm0 - under;
        self.behind(&sound, dbm0);
        self.person()
    }

    /// Recordings of a kind one after another, at least `length` samples.
    fn some(&mut self, kind: &str, length: usize) -> Vec<f64> {
        let mut sound = Vec::new();
        for _ in 0..200 {
            if sound.len() >= length {
                break;
            }
            let piece = self.material.any(kind, &mut self.dice);
            sound.extend(piece.iter().map(|sample| f64::from(*sample)));
            sound.extend(std::iter::repeat_n(
                0.0,
                samples_of(self.dice.between(100.0, 900.0)),
            ));
        }
        if sound.is_empty() {
            sound = signal::music(length, &mut self.dice);
        }
        sound
    }

    fn talker(&mut self) -> Acted {
        self.wait(50.0, 1600.0);
        if self.dice.chance(0.5) {
            self.say("answer");
            self.wait(300.0, 4000.0);
        }
        for _ in 0..1 + self.dice.below(4) {
            self.say("talker");
            self.wait(600.0, 6000.0);
            if self.dice.chance(0.5) {
                self.say("hello");
                self.wait(800.0, 5000.0);
            }
        }
        (self.press(0.6), None)
    }

    fn household(&mut self) -> Acted {
        self.answer();
        let loud = self.dbm0 - self.dice.between(0.0, 30.0);
        match self.dice.below(5) {
            // An oven that is ready; a truck that backs.
            0 => {
                self.wait(1500.0, 9000.0);
                let (hz, ms) = (self.dice.between(1900.0, 3200.0), self.dice.between(100.0, 700.0));
                for _ in 0..1 + self.dice.below(4) {
                    self.tone(hz, ms, loud);
                    self.wait(ms * 0.9, ms * 1.2);
                }
            }
            1 => {
                for _ in 0..12 {
                    self.tone(1250.0, 500.0, loud);
                    self.wait(500.0, 500.1);
                }
            }
            // A wrong key, and keys held long.
            2 | 3 => {
                self.wait(1500.0, 6000.0);
                for _ in 0..1 + self.dice.below(3) {
                    let (row, column) = (self.dice.below(4), self.dice.below(3));
                    let (ms, dbm0) = (self.dice.between(60.0, 700.0), self.dice.between(-16.0, -6.0));
                    let twist = self.dice.between(-4.0, 8.0);
                    let here = self.at;
                    self.tone([697.0, 770.0, 852.0, 941.0][row], ms, dbm0);
                    self.at = here;
                    self.tone([1209.0, 1336.0, 1477.0][column], ms, dbm0 - twist);
                    self.wait(300.0, 1500.0);
                }
            }
            // Somebody whistles or sings: a tone that glides and trembles.
            _ => {
                self.wait(500.0, 4000.0);
                self.whistle(loud);
            }
        }
        (self.press(0.5), None)
    }

    fn whistle(&mut self, dbm0: f64) {
        let mut phase = 0.0;
        let mut hz = self.dice.between(700.0, 1800.0);
        for _ in 0..8 {
            let to = hz * self.dice.between(0.8, 1.25);
            let length = samples_of(self.dice.between(150.0, 500.0));
            for n in 0..length {
                let place = n as f64 / length as f64;
                let tremble = 1.0 + 0.012 * (TAU * 5.5 * n as f64 / 8000.0).sin();
                phase += TAU * (hz + (to - hz) * place.powi(2)) * tremble / 8000.0;
                let envelope = (place * std::f64::consts::PI).sin().sqrt();
                if let Some(sample) = self.signal.get_mut(self.at + n) {
                    *sample += peak_of(dbm0) * envelope * phase.sin();
                }
            }
            self.at += length;
            hz = to;
            self.wait(0.0, 250.0);
        }
    }

    fn forwarded(&mut self) -> Acted {
        self.wait(100.0, 900.0);
        if self.dice.chance(0.6) {
            let dbm0 = self.dbm0;
            self.say_at("notice", dbm0);
            self.wait(300.0, 1500.0);
        }
        let level = self.dice.between(-26.0, -12.0);
        for _ in 0..1 + self.dice.below(3) {
            match self.dice.below(3) {
                0 => {
                    self.tone(425.0, 1000.0, level);
                    self.wait(3990.0, 4010.0);
                }
                1 => {
                    let here = self.at;
                    self.tone(440.0, 2000.0, level);
                    self.at = here;
                    self.tone(480.0, 2000.0, level);
                    self.wait(3990.0, 4010.0);
                }
                _ => {
                    for gap in [200.0, 2000.0] {
                        let here = self.at;
                        self.tone(400.0, 400.0, level);
                        self.at = here;
                        self.tone(450.0, 400.0, level);
                        self.wait(gap, gap + 1.0);
                    }
                }
            }
        }
        self.say("answer");
        self.wait(1500.0, 5000.0);
        self.say("hello");
        (self.press(0.5), None)
    }

    fn on_hold(&mut self) -> Acted {
        self.wait(100.0, 900.0);
        let kind = if self.dice.chance(0.6) { "music" } else { "none" };
        while self.at < self.signal.len() {
            self.say("notice");
            self.wait(200.0, 800.0);
            let length = 8000 * (8 + self.dice.below(10));
            let music = self.some(kind, length);
            let gain = peak_of(self.dbm0 - 2.0) / 2.0_f64.sqrt() / loud_rms(&music).max(1e-9);
            for (place, sample) in self
                .signal
                .iter_mut()
                .skip(self.at)
                .zip(music.iter().take(length))
            {
                *place += sample * gain;
            }
            self.at += length;
            self.wait(0.0, 300.0);
        }
        (None, None)
    }

    fn voicemail(&mut self, odd_beep: Option<bool>) -> Acted {
        self.wait(50.0, 2000.0);
        let kind = if self.dice.chance(0.15) && self.material.count("voicemail") > 0 {
            "voicemail"
        } else {
            "greeting"
        };
        self.say(kind);
        let Some(odd) = odd_beep else {
            return (None, None);
        };
        self.wait(60.0, 1400.0);
        let start = self.at;
        self.beep(odd);
        (None, Some((start, self.at)))
    }

    fn beep(&mut self, odd: bool) {
        const COMMON: [f64; 14] = [
            1000.0, 1400.0, 440.0, 850.0, 600.0, 425.0, 2000.0, 950.0, 1100.0, 780.0, 660.0, 523.0, 480.0,
            1200.0,
        ];
        let hz = if self.dice.chance(0.6) {
            COMMON[self.dice.below(COMMON.len())]
        } else {
            self.dice.between(380.0, 2400.0)
        };
        let ms = self.dice.between(110.0, 900.0);
        let dbm0 = (self.dbm0 + self.dice.between(-9.0, 8.0)).min(-5.0);
        if !odd {
            self.tone(hz, ms, dbm0);
            return;
        }
        let here = self.at;
        match self.dice.below(4) {
            0 => {
                self.tone(hz, ms, dbm0);
                for (times, under) in [
                    (2.0, self.dice.between(10.0, 20.0)),
                    (3.0, self.dice.between(14.0, 26.0)),
                ] {
                    self.at = here;
                    if hz * times < 3500.0 {
                        self.tone(hz * times, ms, dbm0 - under);
                    }
                }
                self.at = here + samples_of(ms);
            }
            1 => {
                self.tone(hz, ms, dbm0);
                self.at = here;
                let other = hz * self.dice.between(1.2, 1.6);
                let under = self.dice.between(0.0, 6.0);
                self.tone(other, ms, dbm0 - under);
            }
            2 => {
                let fade = self.dice.between(80.0, 300.0) * 8.0;
                let length = samples_of(900.0);
                for n in 0..length {
                    if let Some(sample) = self.signal.get_mut(here + n) {
                        *sample +=
                            peak_of(dbm0) * (-(n as f64) / fade).exp() * (TAU * hz * n as f64 / 8000.0).sin();
                    }
                }
                self.at = here + length;
            }
            _ => {
                let soft = self.dbm0 - self.dice.between(9.0, 18.0);
                self.tone(hz, ms, soft);
            }
        }
    }

    fn robot(&mut self) -> Acted {
        self.wait(50.0, 900.0);
        self.say("question");
        // It listens until the first play is over.
        self.at = self.at.max(samples_of(self.dice.between(10_500.0, 16_000.0)));
        for _ in 0..1 + self.dice.below(2) {
            self.say("patience");
            self.wait(6000.0, 14_000.0);
        }
        (None, None)
    }

    fn sit(&mut self) -> Acted {
        self.wait(100.0, 1500.0);
        let sets = [
            [950.0, 1400.0, 1800.0],
            [913.8, 1370.6, 1776.7],
            [985.2, 1370.6, 1776.7],
            [913.8, 1428.5, 1776.7],
            [985.2, 1428.5, 1776.7],
        ];
        let level = self.dice.between(-27.0, -12.0);
        for hz in sets[self.dice.below(sets.len())] {
            let ms = if self.dice.chance(0.5) { 276.0 } else { 380.0 };
            self.tone(hz, ms, level);
            self.wait(0.0, 30.0);
        }
        for _ in 0..3 {
            self.wait(200.0, 800.0);
            self.say("notice");
        }
        (None, None)
    }

    fn fax(&mut self) -> Acted {
        let level = self.dice.between(-24.0, -8.0);
        if self.dice.chance(0.7) {
            self.wait(200.0, 2500.0);
            let (hz, ms) = (
                self.dice.between(2085.0, 2115.0),
                self.dice.between(2600.0, 4000.0),
            );
            self.tone(hz, ms, level);
        } else {
            self.wait(200.0, 2500.0);
            let hz = self.dice.between(1065.0, 1135.0);
            for _ in 0..8 {
                let ms = self.dice.between(430.0, 570.0);
                self.tone(hz, ms, level);
                self.wait(2600.0, 3400.0);
            }
        }
        (None, None)
    }

    fn finish(
        mut self,
        kind: Kind,
        seed: u64,
        press: Option<(usize, Press)>,
        beep: Option<(usize, usize)>,
    ) -> Scene {
        let noise_dbm0 = if kind.is_person() {
            self.dice.between(-68.0, -42.0)
        } else {
            self.dice.between(-72.0, -48.0)
        };
        let length = self.signal.len();
        let noise = if self.dice.chance(0.5) {
            signal::white(length, &mut self.dice)
        } else {
            signal::pink(length, &mut self.dice)
        };
        self.behind(&noise, noise_dbm0);
        let mutes = beep.is_some() && self.dice.chance(0.3);
        Scene {
            signal: self.signal,
            press,
            beep,
            mute_from: beep.filter(|_| mutes).map(|(_, end)| end),
            is_mu_law: self.dice.chance(0.5),
            loss: if self.dice.chance(0.25) {
                self.dice.between(0.005, 0.04)
            } else {
                0.0
            },
            echo_gain: ratio_of(self.dice.between(-30.0, -20.0)),
            echo_delay: samples_of(self.dice.between(20.0, 280.0)),
            seed,
        }
    }
}

/// Rms of the parts that are not pauses.
fn loud_rms(pcm: &[f64]) -> f64 {
    let frames: Vec<f64> = pcm
        .chunks(160)
        .map(|frame| frame.iter().map(|x| x * x).sum::<f64>() / frame.len() as f64)
        .collect();
    let loudest = frames.iter().copied().fold(0.0, f64::max);
    let loud: Vec<f64> = frames
        .into_iter()
        .filter(|power| *power > loudest / 100.0)
        .collect();
    (loud.iter().sum::<f64>() / loud.len().max(1) as f64).sqrt()
}
