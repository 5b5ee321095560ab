//! Sounds: key tones and what disturbs them. Linear samples at 8 kHz; a sine of 0 dBm0 has a peak of 22,297.
use std::f64::consts::TAU;

use super::dice::Dice;

pub const RATE_HZ: f64 = 8000.0;
const PEAK_AT_0_DBM0: f64 = 22_297.0;
const LOW_HZ: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
const HIGH_HZ: [f64; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
/// The keypad by rows.
const KEYPAD: &[u8; 16] = b"123A456B789C*0#D";

pub fn samples_of(ms: f64) -> usize {
    (ms * RATE_HZ / 1000.0).round() as usize
}

pub fn peak_of(dbm0: f64) -> f64 {
    PEAK_AT_0_DBM0 * ratio_of(dbm0)
}

/// Amplitude ratio.
pub fn ratio_of(db: f64) -> f64 {
    10.0_f64.powf(db / 20.0)
}

pub fn any_digit(dice: &mut Dice) -> char {
    char::from(KEYPAD[dice.below(16)])
}

/// One press.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    pub digit: char,
    /// Of the row's tone.
    pub low_dbm0: f64,
    /// Of the column's tone.
    pub high_dbm0: f64,
    /// Of nominal: 1 is exact.
    pub low_factor: f64,
    pub high_factor: f64,
    pub tone_ms: f64,
    pub pause_ms: f64,
}

impl Key {
    pub fn hz(&self) -> [f64; 2] {
        let place = KEYPAD
            .iter()
            .position(|k| char::from(*k) == self.digit)
            .unwrap_or(0);
        [
            LOW_HZ[place / 4] * self.low_factor,
            HIGH_HZ[place % 4] * self.high_factor,
        ]
    }
}

/// Adds a sine from a sample on, with a ramp of 1 ms or none at both ends.
pub fn add_sine(to: &mut [f64], hz: f64, peak: f64, phase: f64, ramp: usize) {
    let length = to.len();
    for (n, sample) in to.iter_mut().enumerate() {
        let edge = (n + 1).min(length - n).min(ramp + 1) as f64 / (ramp + 1) as f64;
        *sample += edge * peak * (TAU * hz * n as f64 / RATE_HZ + phase).sin();
    }
}

pub fn rms(signal: &[f64]) -> f64 {
    (signal.iter().map(|x| x * x).sum::<f64>() / signal.len().max(1) as f64).sqrt()
}

/// Noise of rms 1.
pub fn white(length: usize, dice: &mut Dice) -> Vec<f64> {
    (0..length).map(|_| dice.gaussian()).collect()
}

/// Falls by 3 dB an octave (three poles), rms 1.
pub fn pink(length: usize, dice: &mut Dice) -> Vec<f64> {
    let mut poles = [0.0; 3];
    let noise = (0..length + 2000).map(|_| {
        let white = dice.gaussian();
        poles[0] = 0.997 * poles[0] + 0.029_591 * white;
        poles[1] = 0.985 * poles[1] + 0.032_534 * white;
        poles[2] = 0.95 * poles[2] + 0.048_056 * white;
        poles[0] + poles[1] + poles[2] + 0.05 * white
    });
    level(noise.skip(2000).collect())
}

/// To rms 1; silence stays.
pub fn level(mut signal: Vec<f64>) -> Vec<f64> {
    let rms = rms(&signal);
    if rms > 0.0 {
        signal.iter_mut().for_each(|x| *x /= rms);
    }
    signal
}

/// Clicks of a switch or a bad contact: they ring down in 0.3–3 ms, 4–12 in a second, largest peak 1.
pub fn impulses(length: usize, dice: &mut Dice) -> Vec<f64> {
    let mut signal = vec![0.0; length];
    let rate = dice.between(4.0, 12.0);
    let mut at = 0.0;
    loop {
        at += -dice.between(1e-6, 1.0).ln() / rate * RATE_HZ;
        let Some(rest) = signal.get_mut(at as usize..) else {
            return signal;
        };
        let (peak, hz) = (dice.between(0.3, 1.0) * dice.sign(), dice.between(200.0, 3400.0));
        let decay = samples_of(dice.between(0.3, 3.0)).max(1) as f64;
        for (n, sample) in rest.iter_mut().take(decay as usize * 5).enumerate() {
            *sample += peak * (-(n as f64) / decay).exp() * (TAU * hz * n as f64 / RATE_HZ).cos();
        }
    }
}

/// Chords and a tune on top, rms 1: plucked notes of six harmonics.
pub fn music(length: usize, dice: &mut Dice) -> Vec<f64> {
    let mut signal = vec![0.0; length];
    let beat = samples_of(dice.between(110.0, 320.0));
    let root = dice.between(36.0, 48.0).round();
    let mut start = 0;
    while start < length {
        let mut notes = vec![root + [0.0, 5.0, 7.0, 9.0][dice.below(4)]];
        notes.extend(
            [16.0, 19.0, 24.0, 28.0, 31.0]
                .iter()
                .filter(|_| dice.chance(0.5))
                .map(|n| root + n),
        );
        notes.push(root + 24.0 + [0.0, 2.0, 4.0, 7.0, 9.0, 12.0, 14.0, 16.0][dice.below(8)]);
        let (decay, brightness) = (dice.between(0.1, 0.6) * RATE_HZ, dice.between(0.35, 0.8));
        let end = length.min(start + beat * 3);
        for note in notes {
            let hz = 440.0 * 2.0_f64.powf((note - 69.0) / 12.0);
            for harmonic in 1..=6 {
                let hz = hz * f64::from(harmonic);
                let (peak, phase) = (brightness.powi(harmonic - 1), dice.between(0.0, TAU));
                if hz > 3600.0 {
                    break;
                }
                for (n, sample) in signal[start..end].iter_mut().enumerate() {
                    let attack = (n as f64 / 40.0).min(1.0);
                    *sample += attack
                        * peak
                        * (-(n as f64) / decay).exp()
                        * (TAU * hz * n as f64 / RATE_HZ + phase).sin();
                }
            }
        }
        start += beat;
    }
    level(signal)
}

/// What comes back of a signal: delayed, coloured by a short random response, some of it twice.
pub fn echo(of: &[f64], delay: usize, gain: f64, dice: &mut Dice) -> Vec<f64> {
    let taps: Vec<f64> = (0..6)
        .map(|n| dice.gaussian() * 0.5_f64.powi(n) + f64::from(u8::from(n == 0)))
        .collect();
    let energy = taps.iter().map(|t| t * t).sum::<f64>().sqrt();
    let mut back = vec![0.0; of.len()];
    for (n, x) in of.iter().enumerate() {
        for (k, tap) in taps.iter().enumerate() {
            if let Some(sample) = back.get_mut(n + delay + k) {
                *sample += gain * tap / energy * x;
            }
        }
    }
    back
}
