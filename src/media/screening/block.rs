//! Ten milliseconds of audio as three numbers: power, and how much of it is one sinusoid of which frequency.
//!
//! A sinusoid obeys `x[n] + x[n−2] = 2·cos ω · x[n−1]`. The least-squares fit of that one coefficient gives the
//! frequency: three sums a sample, no bank of filters, any frequency. Only where that fit is good a sinusoid of this
//! frequency is fitted to the samples themselves; what it leaves is the share of power that is something else.
use std::f32::consts::PI;

/// Samples of a block: 10 ms.
pub(super) const BLOCK_LEN: usize = 80;
/// Power (16-bit, mean square) below which nothing is measured: −50 dBm0.
const POWER_MIN: f32 = 2485.0;
/// Samples per second.
const RATE_HZ: f32 = 8000.0;
/// A fit that leaves more is not looked at again, in a power that is referred to white noise: −7 dB.
const FIRST_RESIDUAL_MAX: f32 = 0.2;
/// Largest share of power that is not the sinusoid: −6 dB.
const RESIDUAL_MAX: f32 = 0.25;

/// What a block holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    /// Mean square of the samples.
    pub(super) power: f32,
    /// Of the sinusoid; `None` when there is none.
    pub(super) sine: Option<Sine>,
    pub(super) lost: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Sine {
    pub(super) hz: f32,
    /// Share of power that is not it.
    pub(super) residual: f32,
}

impl Block {
    pub(super) const SILENCE: Self = Self {
        power: 0.0,
        sine: None,
        lost: false,
    };
    pub(super) const LOST: Self = Self {
        lost: true,
        ..Self::SILENCE
    };

    /// `near`: a frequency that is looked for where the samples alone show none.
    pub(super) fn of(samples: &[f32; BLOCK_LEN], near: Option<f32>) -> Self {
        let energy: f32 = samples.iter().map(|x| x * x).sum();
        let power = energy / BLOCK_LEN as f32;
        let sine = (power >= POWER_MIN)
            .then(|| fit(samples).or_else(|| near.and_then(|hz| refine(samples, hz * 2.0 * PI / RATE_HZ))))
            .flatten();
        Self {
            power,
            sine,
            lost: false,
        }
    }
}

fn fit(samples: &[f32; BLOCK_LEN]) -> Option<Sine> {
    let (mut outer, mut cross, mut inner) = (0.0, 0.0, 0.0);
    for window in samples.windows(3) {
        let [before, here, after] = window else { continue };
        let sum = before + after;
        outer += sum * sum;
        cross += sum * here;
        inner += here * here;
    }
    if inner <= 0.0 {
        return None;
    }
    let coefficient = cross / inner;
    let left = (outer - coefficient * cross).max(0.0);
    if left > FIRST_RESIDUAL_MAX * inner * (2.0 + coefficient * coefficient) {
        return None;
    }
    let turn = (coefficient / 2.0).clamp(-1.0, 1.0).acos();
    refine(samples, turn)
}

/// The first fit takes some noise for signal, which pulls the frequency; one step on the samples puts it right.
fn refine(samples: &[f32; BLOCK_LEN], turn: f32) -> Option<Sine> {
    let turn = turn + Wave::fit(samples, turn)?.correction(samples);
    let residual = Wave::fit(samples, turn)?.residual;
    (residual <= RESIDUAL_MAX).then_some(Sine {
        hz: turn * RATE_HZ / (2.0 * PI),
        residual,
    })
}

/// The sinusoid of one frequency that is nearest to the samples. Two tones side by side pass the first fit, as one
/// between them, and fail here.
struct Wave {
    turn: f32,
    sin: f32,
    cos: f32,
    /// Share of the power that it leaves.
    residual: f32,
}

impl Wave {
    fn fit(samples: &[f32; BLOCK_LEN], turn: f32) -> Option<Self> {
        let (mut with_sin, mut with_cos, mut energy) = (0.0, 0.0, 0.0);
        let (mut sin_sin, mut sin_cos, mut cos_cos) = (0.0, 0.0, 0.0);
        for (sample, (sin, cos)) in samples.iter().zip(circle(turn)) {
            with_sin += sample * sin;
            with_cos += sample * cos;
            energy += sample * sample;
            sin_sin += sin * sin;
            sin_cos += sin * cos;
            cos_cos += cos * cos;
        }
        let determinant = sin_sin * cos_cos - sin_cos * sin_cos;
        if determinant <= f32::EPSILON || energy <= 0.0 {
            return None;
        }
        let sin = (with_sin * cos_cos - with_cos * sin_cos) / determinant;
        let cos = (with_cos * sin_sin - with_sin * sin_cos) / determinant;
        let fitted = sin * with_sin + cos * with_cos;
        Some(Self {
            turn,
            sin,
            cos,
            residual: (1.0 - fitted / energy).clamp(0.0, 1.0),
        })
    }

    /// How much the frequency is to change to leave less, radians a sample; at most 3 % of it.
    fn correction(&self, samples: &[f32; BLOCK_LEN]) -> f32 {
        let (mut along, mut slope_energy) = (0.0, 0.0);
        for (n, (sample, (sin, cos))) in samples.iter().zip(circle(self.turn)).enumerate() {
            let left = sample - self.sin * sin - self.cos * cos;
            // From the middle, where a change of frequency does not change the phase.
            let place = n as f32 - (BLOCK_LEN - 1) as f32 / 2.0;
            let slope = place * (self.sin * cos - self.cos * sin);
            along += left * slope;
            slope_energy += slope * slope;
        }
        if slope_energy <= 0.0 {
            return 0.0;
        }
        let limit = 0.03 * self.turn;
        (along / slope_energy).clamp(-limit, limit)
    }
}

/// Sine and cosine of 0, `turn`, 2 `turn`, …
fn circle(turn: f32) -> impl Iterator<Item = (f32, f32)> {
    let (step_sin, step_cos) = turn.sin_cos();
    std::iter::successors(Some((0.0, 1.0)), move |(sin, cos)| {
        Some((sin * step_cos + cos * step_sin, cos * step_cos - sin * step_sin))
    })
}

/// Power ratio of decibels.
#[cfg(test)]
pub(super) fn ratio_of(db: f32) -> f32 {
    10.0_f32.powf(db / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::tone::peak_of;

    fn block(hz: f32, dbm0: f32, noise: impl Fn(usize) -> f32) -> Block {
        let peak = peak_of(dbm0);
        let samples = std::array::from_fn(|n| peak * (2.0 * PI * hz * n as f32 / RATE_HZ).sin() + noise(n));
        Block::of(&samples, None)
    }

    #[test]
    fn a_sine_is_measured_to_a_hertz_at_any_frequency() {
        for hz in [360.0, 440.0, 950.0, 1000.0, 1400.0, 1776.7, 2100.0, 2550.0] {
            let sine = block(hz, -20.0, |_| 0.0).sine.unwrap();
            assert!(
                (sine.hz - hz).abs() < 1.0 && sine.residual < 1e-3,
                "{hz}: {sine:?}"
            );
        }
    }

    #[test]
    fn noise_20_db_below_is_about_a_hundredth_of_the_power() {
        let mut entropy = crate::model::Entropy::from_number(3);
        let width = peak_of(-20.0) * (ratio_of(-20.0) * 1.5).sqrt();
        let noise: Vec<f32> = (0..BLOCK_LEN)
            .map(|_| width * (entropy.below(20_001) as f32 / 10_000.0 - 1.0))
            .collect();
        let sine = block(1000.0, -20.0, |n| noise[n]).sine.unwrap();
        assert!((0.004..0.02).contains(&sine.residual), "{sine:?}");
        assert!((sine.hz - 1000.0).abs() < 8.0, "{sine:?}");
    }

    #[test]
    fn two_tones_noise_and_silence_are_no_sinusoid() {
        let peak = peak_of(-16.0);
        let other = |n: usize| peak * (2.0 * PI * 1477.0 * n as f32 / RATE_HZ).sin();
        assert!(block(941.0, -16.0, other).sine.is_none());
        assert!(block(1000.0, -55.0, |_| 0.0).sine.is_none());
        let mut entropy = crate::model::Entropy::from_number(4);
        let noise: Vec<f32> = (0..BLOCK_LEN)
            .map(|_| entropy.below(8000) as f32 - 4000.0)
            .collect();
        assert!(block(1000.0, -40.0, |n| noise[n]).sine.is_none());
    }
}
