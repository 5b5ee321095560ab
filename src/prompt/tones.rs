//! A second opinion on keys in a prompt: a plain Goertzel block detector, deliberately easier to convince than the
//! one that listens to callers.
//!
//! It shares no code with `media::inband`, so a mistake there does not hide here. It is no detector for calls.
use std::f64::consts::TAU;

use crate::model::Digit;

const RATE_HZ: f64 = 8000.0;
/// 25.6 ms: the classical block of 205 samples.
const BLOCK: usize = 205;
const HOP: usize = BLOCK / 2;
/// Blocks in a row, half over each other: about 38 ms of tone.
const BLOCKS_MIN: usize = 2;
/// Share of the block's energy that the two tones must hold. Detectors for calls ask for more.
const ENERGY_SHARE_MIN: f64 = 0.7;
/// A tone over the others of its group, dB.
const OVER_OTHERS_DB: f64 = 6.0;
/// The two tones to each other, either way, dB.
const TWIST_DB_MAX: f64 = 10.0;
/// Quieter blocks are not looked at, dBFS.
const LEVEL_DBFS_MIN: f64 = -42.0;

const ROWS_HZ: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
const COLUMNS_HZ: [f64; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
const KEYS: [[char; 4]; 4] = [
    ['1', '2', '3', 'A'],
    ['4', '5', '6', 'B'],
    ['7', '8', '9', 'C'],
    ['*', '0', '#', 'D'],
];

/// A key that this detector hears, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeardKey {
    pub digit: Digit,
    pub start_ms: u64,
}

/// Every key in a sound of 8 kHz.
#[must_use]
pub(super) fn keys_in(samples: &[i16]) -> Vec<HeardKey> {
    let mut heard = Vec::new();
    let mut run: Option<(Digit, usize)> = None;
    let starts = (0..samples.len().saturating_sub(BLOCK - 1)).step_by(HOP);
    for start in starts {
        let key = key_of_block(&samples[start..start + BLOCK]);
        run = match (key, run) {
            (Some(digit), Some((before, length))) if digit == before => Some((digit, length + 1)),
            (Some(digit), _) => Some((digit, 1)),
            (None, _) => None,
        };
        if let Some((digit, BLOCKS_MIN)) = run {
            let first = start.saturating_sub((BLOCKS_MIN - 1) * HOP);
            heard.push(HeardKey {
                digit,
                start_ms: first as u64 * 1000 / RATE_HZ as u64,
            });
        }
    }
    heard
}

fn key_of_block(block: &[i16]) -> Option<Digit> {
    let energy: f64 = block.iter().map(|s| (f64::from(*s) / 32_768.0).powi(2)).sum();
    let level_dbfs = 10.0 * (energy / block.len() as f64).max(1e-12).log10();
    if level_dbfs < LEVEL_DBFS_MIN {
        return None;
    }
    let (row, row_power) = strongest(block, &ROWS_HZ)?;
    let (column, column_power) = strongest(block, &COLUMNS_HZ)?;
    let twist_db = 10.0 * (row_power / column_power).log10();
    // A tone of amplitude a gives power (a·n/2)² and energy a²·n/2.
    let share = 2.0 * (row_power + column_power) / (block.len() as f64 * energy);
    if twist_db.abs() > TWIST_DB_MAX || share < ENERGY_SHARE_MIN {
        return None;
    }
    Digit::from_char(KEYS[row][column])
}

/// The strongest tone of a group, if it stands clear of the others.
fn strongest(block: &[i16], group_hz: &[f64; 4]) -> Option<(usize, f64)> {
    let powers = group_hz.map(|frequency_hz| goertzel_power(block, frequency_hz));
    let (best, power) = powers
        .iter()
        .copied()
        .enumerate()
        .max_by(|a, b| a.1.total_cmp(&b.1))?;
    let second = powers
        .iter()
        .enumerate()
        .filter(|(at, _)| *at != best)
        .fold(1e-12_f64, |second, (_, power)| second.max(*power));
    (10.0 * (power / second).log10() >= OVER_OTHERS_DB).then_some((best, power))
}

fn goertzel_power(block: &[i16], frequency_hz: f64) -> f64 {
    let coefficient = 2.0 * (TAU * frequency_hz / RATE_HZ).cos();
    let (mut s1, mut s2) = (0.0, 0.0);
    for sample in block {
        let s0 = f64::from(*sample) / 32_768.0 + coefficient * s1 - s2;
        s2 = s1;
        s1 = s0;
    }
    s1 * s1 + s2 * s2 - coefficient * s1 * s2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_tone(row_hz: f64, column_hz: f64, ms: usize, noise: f64) -> Vec<i16> {
        let mut state = 1_u32;
        (0..ms * 8)
            .map(|n| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let white = f64::from(state) / f64::from(u32::MAX) - 0.5;
                let t = n as f64 / RATE_HZ;
                let tones = (TAU * row_hz * t).sin() + (TAU * column_hz * t).sin();
                ((0.2 * tones + noise * white) * 32_767.0) as i16
            })
            .collect()
    }

    #[test]
    fn every_key_is_heard_once_also_in_noise() {
        for (row, row_hz) in ROWS_HZ.iter().enumerate() {
            for (column, column_hz) in COLUMNS_HZ.iter().enumerate() {
                for noise in [0.0, 0.2] {
                    let heard = keys_in(&key_tone(*row_hz, *column_hz, 100, noise));
                    assert_eq!(heard.len(), 1, "{row} {column} {noise}");
                    assert_eq!(heard[0].digit.as_char(), KEYS[row][column]);
                }
            }
        }
    }

    #[test]
    fn a_single_tone_a_short_tone_and_noise_are_no_key() {
        assert_eq!(keys_in(&key_tone(941.0, 941.0, 200, 0.0)), []);
        assert_eq!(keys_in(&key_tone(941.0, 1477.0, 20, 0.0)), []);
        assert_eq!(keys_in(&key_tone(0.0, 0.0, 500, 0.8)), []);
        assert_eq!(keys_in(&[]), []);
    }
}
