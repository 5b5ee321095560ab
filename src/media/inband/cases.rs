//! Seeded test signals: keys within and outside the limits of Q.24, and sounds that are no keys.
use crate::media::codec;
use crate::media::tone::{HIGH_HZ, LOW_HZ, ToneGenerator, peak_of, row_column, to_sample};
use crate::model::{Codec, Digit, Entropy};

/// Uniform in −1…1.
pub(crate) fn uniform(entropy: &mut Entropy) -> f32 {
    (f64::from(entropy.u32()) / f64::from(u32::MAX) * 2.0 - 1.0) as f32
}

/// Uniform between two values.
pub(crate) fn between(entropy: &mut Entropy, low: f32, high: f32) -> f32 {
    low + (uniform(entropy) + 1.0) / 2.0 * (high - low)
}

/// One key in a signal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyCase {
    pub(crate) digit: Digit,
    /// Of the row; the column is this plus `twist_db`.
    pub(crate) level_dbm0: f32,
    pub(crate) twist_db: f32,
    /// Deviation of row and column, of nominal, and a constant added, Hz.
    pub(crate) off: [f32; 2],
    pub(crate) off_hz: f32,
    pub(crate) tone_ms: f32,
    pub(crate) pause_ms: f32,
}

impl KeyCase {
    pub(crate) fn nominal(digit: Digit) -> Self {
        Self {
            digit,
            level_dbm0: -10.0,
            twist_db: 0.0,
            off: [0.0; 2],
            off_hz: 0.0,
            tone_ms: 60.0,
            pause_ms: 60.0,
        }
    }

    fn levels(&self) -> [f32; 2] {
        [self.level_dbm0, self.level_dbm0 + self.twist_db]
    }
}

/// A signal under construction.
#[derive(Debug, Clone, Default)]
pub(crate) struct Signal(pub(crate) Vec<f32>);

impl Signal {
    pub(crate) fn silence(mut self, ms: f32) -> Self {
        self.0.extend(std::iter::repeat_n(0.0, (ms * 8.0) as usize));
        self
    }

    pub(crate) fn key(mut self, case: &KeyCase, entropy: &mut Entropy) -> Self {
        let (row, column) = row_column(case.digit);
        let [low, high] = case.levels();
        let hz = |nominal: f32, off: f32| nominal * (1.0 + off) + case.off_hz * off.signum();
        let mut generator = ToneGenerator::new(
            hz(LOW_HZ[row], case.off[0]),
            low,
            hz(HIGH_HZ[column], case.off[1]),
            high,
        );
        // A random phase.
        for _ in 0..entropy.below(1000) {
            generator.next_sample();
        }
        for _ in 0..(case.tone_ms * 8.0) as usize {
            self.0.push(generator.next_sample());
        }
        self.silence(case.pause_ms)
    }

    pub(crate) fn add(mut self, other: impl FnMut(usize) -> f32) -> Self {
        let mut other = other;
        for (n, sample) in self.0.iter_mut().enumerate() {
            *sample += other(n);
        }
        self
    }

    /// White noise of an rms level; 0 dBm0 is the rms of a sine of that level.
    pub(crate) fn white_noise(self, dbm0: f32, entropy: &mut Entropy) -> Self {
        let rms = peak_of(dbm0) / 2.0_f32.sqrt();
        self.add(|_| rms * gaussian(entropy))
    }

    /// Noise that falls by 3 dB an octave.
    pub(crate) fn pink_noise(self, dbm0: f32, entropy: &mut Entropy) -> Self {
        let rms = peak_of(dbm0) / 2.0_f32.sqrt();
        let mut poles = [0.0_f32; 3];
        self.add(|_| {
            let white = gaussian(entropy);
            poles[0] = 0.997 * poles[0] + 0.029_591 * white;
            poles[1] = 0.985 * poles[1] + 0.032_534 * white;
            poles[2] = 0.95 * poles[2] + 0.048_056 * white;
            rms * 1.526 * (poles[0] + poles[1] + poles[2] + 0.05 * white)
        })
    }

    pub(crate) fn sine(self, hz: f32, dbm0: f32) -> Self {
        let peak = peak_of(dbm0);
        self.add(|n| peak * (std::f32::consts::TAU * (n as f32 * hz / 8000.0).fract()).sin())
    }

    /// As it goes over RTP.
    pub(crate) fn coded(&self, codec: Codec) -> Vec<u8> {
        let pcm: Vec<i16> = self.0.iter().map(|s| to_sample(*s)).collect();
        let mut octets = vec![0; pcm.len()];
        codec::encode(codec, &pcm, &mut octets);
        octets
    }
}

/// Normal distribution, by the sum of twelve.
pub(crate) fn gaussian(entropy: &mut Entropy) -> f32 {
    (0..6)
        .map(|_| {
            let word = entropy.u32();
            ((word & 0xffff) + (word >> 16)) as f32 / 65_536.0
        })
        .sum::<f32>()
        - 6.0
}

/// Something like a voice: a glottal pulse train of wandering pitch through three formants that glide from vowel to
/// vowel, with pauses and hiss. It has what triggers bad detectors: strong harmonics that cross the keypad's lines.
pub(crate) fn voice(seconds: f32, entropy: &mut Entropy) -> Signal {
    let mut samples = Vec::with_capacity((seconds * 8000.0) as usize);
    let base_hz = between(entropy, 85.0, 260.0);
    let (mut phase, mut pitch) = (0.0_f32, base_hz);
    let mut formants = vowel(entropy);
    let mut memory = [[0.0_f32; 2]; 3];
    while samples.len() < (seconds * 8000.0) as usize {
        let target = vowel(entropy);
        let pitch_target = base_hz * between(entropy, 0.7, 1.5);
        let length = between(entropy, 500.0, 3200.0) as usize;
        let silent = entropy.below(7) == 0;
        let hiss = between(entropy, 0.0, 0.1);
        let loudness = peak_of(between(entropy, -24.0, -6.0));
        for n in 0..length {
            let progress = 1.0 / (length - n) as f32;
            for (formant, target) in formants.iter_mut().zip(target) {
                *formant += (target - *formant) * progress;
            }
            pitch += (pitch_target - pitch) * progress;
            phase += pitch / 8000.0;
            let pulse = if phase >= 1.0 { 1.0 } else { 0.0 };
            phase = phase.fract();
            let mut sample = if silent {
                0.0
            } else {
                pulse + hiss * uniform(entropy) * 0.3
            };
            for (formant, memory) in formants.iter().zip(&mut memory) {
                let radius = (-std::f32::consts::PI * (50.0 + 0.05 * formant) / 8000.0).exp();
                let a1 = 2.0 * radius * (std::f32::consts::TAU * formant / 8000.0).cos();
                let out = sample + a1 * memory[0] - radius * radius * memory[1];
                *memory = [out, memory[0]];
                sample = out * 0.35;
            }
            samples.push((sample * loudness * 3.0).clamp(-32_000.0, 32_000.0));
        }
    }
    Signal(samples)
}

fn vowel(entropy: &mut Entropy) -> [f32; 3] {
    [
        between(entropy, 270.0, 1000.0),
        between(entropy, 800.0, 2300.0),
        between(entropy, 2200.0, 3300.0),
    ]
}
