//! Two-tone multifrequency signals as samples (ITU-T Q.23): what an extension is dialled with when the trunk has no
//! telephone-event, and what tests of the detector are made of.
//!
//! It makes samples only; levels are in dBm0, where a full-scale sine of G.711 is +3.17 dBm0 (μ-law; ITU-T G.711 §5).
use std::f32::consts::TAU;

use super::codec::SAMPLES_PER_MS;
use crate::model::{Digit, Digits};

/// Row and column frequencies of the keypad, Hz.
pub const LOW_HZ: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
pub const HIGH_HZ: [f32; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
pub const SAMPLE_RATE_HZ: f32 = 8000.0;

/// Peak of a sine of 0 dBm0 in 16-bit samples: full scale is +3.17 dBm0.
pub const PEAK_AT_0_DBM0: f32 = 22_297.0;

/// Level of each tone when we send: −9 dBm0 low, −7 dBm0 high, as ETSI ES 201 235-2 asks of terminals.
pub const SEND_LOW_DBM0: f32 = -9.0;
pub const SEND_HIGH_DBM0: f32 = -7.0;
/// Duration of a sent tone and of the pause after it, milliseconds.
pub const SEND_TONE_MS: u32 = 100;
pub const SEND_GAP_MS: u32 = 100;
/// Ramp at both ends, milliseconds: no click, and still ≥ 98 ms at full level.
const RAMP_MS: u32 = 1;

/// Row and column of the digits in the order of their event codes `0123456789*#ABCD`.
const ROW_COLUMN: [(usize, usize); 16] = [
    (3, 1),
    (0, 0),
    (0, 1),
    (0, 2),
    (1, 0),
    (1, 1),
    (1, 2),
    (2, 0),
    (2, 1),
    (2, 2),
    (3, 0),
    (3, 2),
    (0, 3),
    (1, 3),
    (2, 3),
    (3, 3),
];

/// Row (0–3, by [`LOW_HZ`]) and column (0–3, by [`HIGH_HZ`]) of a digit.
#[must_use]
pub const fn row_column(digit: Digit) -> (usize, usize) {
    ROW_COLUMN[(digit.event() & 15) as usize]
}

/// The digit at a row and column; both are taken modulo 4.
#[must_use]
pub fn digit_at(row: usize, column: usize) -> Digit {
    let place = (row % 4, column % 4);
    let event = ROW_COLUMN.iter().position(|rc| *rc == place).unwrap_or(0);
    Digit::from_event(event as u8).unwrap_or(Digit::ZERO)
}

/// Peak sample value of a sine at `dbm0`.
#[must_use]
pub fn peak_of(dbm0: f32) -> f32 {
    PEAK_AT_0_DBM0 * 10.0_f32.powf(dbm0 / 20.0)
}

/// A pair of sines that runs on: phase is kept in turns, so that hours of it stay exact.
#[derive(Debug, Clone)]
pub struct ToneGenerator {
    turns: [f64; 2],
    step: [f64; 2],
    peak: [f32; 2],
}

impl ToneGenerator {
    #[must_use]
    pub fn new(low_hz: f32, low_dbm0: f32, high_hz: f32, high_dbm0: f32) -> Self {
        let step = [low_hz, high_hz].map(|hz| f64::from(hz) / f64::from(SAMPLE_RATE_HZ));
        Self {
            turns: [0.0; 2],
            step,
            peak: [peak_of(low_dbm0), peak_of(high_dbm0)],
        }
    }

    /// The digit's nominal tones at the levels we send.
    #[must_use]
    pub fn of(digit: Digit) -> Self {
        let (row, column) = row_column(digit);
        Self::new(LOW_HZ[row], SEND_LOW_DBM0, HIGH_HZ[column], SEND_HIGH_DBM0)
    }

    /// The next sample, unrounded.
    pub fn next_sample(&mut self) -> f32 {
        let mut sum = 0.0;
        for ((turns, step), peak) in self.turns.iter_mut().zip(self.step).zip(self.peak) {
            sum += peak * (*turns as f32 * TAU).sin();
            *turns = (*turns + step).fract();
        }
        sum
    }
}

/// Nearest 16-bit sample, clipped.
#[must_use]
pub fn to_sample(value: f32) -> i16 {
    // A float-to-integer cast saturates.
    value.round() as i16
}

/// Sends digits as tones, samples at a time.
#[derive(Debug, Clone)]
pub struct ToneSender {
    digits: Digits,
    tone_len: usize,
    gap_len: usize,
    digit: usize,
    sample: usize,
    generator: Option<ToneGenerator>,
}

impl ToneSender {
    #[must_use]
    pub const fn new(digits: Digits) -> Self {
        Self {
            digits,
            tone_len: SEND_TONE_MS as usize * SAMPLES_PER_MS,
            gap_len: SEND_GAP_MS as usize * SAMPLES_PER_MS,
            digit: 0,
            sample: 0,
            generator: None,
        }
    }

    /// Other lengths of key and pause.
    #[must_use]
    pub fn with_timing(self, tone_ms: u32, gap_ms: u32) -> Self {
        Self {
            tone_len: tone_ms.max(1) as usize * SAMPLES_PER_MS,
            gap_len: gap_ms as usize * SAMPLES_PER_MS,
            ..self
        }
    }

    /// Fills `pcm` with the next samples (silence after the last digit); false when there was nothing left to send.
    pub fn fill(&mut self, pcm: &mut [i16]) -> bool {
        if self.digit >= self.digits.len() {
            pcm.fill(0);
            return false;
        }
        for sample in pcm {
            *sample = to_sample(self.next_sample());
        }
        true
    }

    fn next_sample(&mut self) -> f32 {
        let Some(digit) = self.digits.as_slice().get(self.digit).copied() else {
            return 0.0;
        };
        let tone_len = self.tone_len;
        let ramp_len = RAMP_MS as usize * SAMPLES_PER_MS;
        let place = self.sample;
        self.sample += 1;
        if self.sample >= tone_len + self.gap_len {
            self.sample = 0;
            self.digit += 1;
        }
        if place >= tone_len {
            self.generator = None;
            return 0.0;
        }
        let generator = self.generator.get_or_insert_with(|| ToneGenerator::of(digit));
        let edge = place.min(tone_len - 1 - place).min(ramp_len) as f32;
        generator.next_sample() * edge / ramp_len as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_on_the_keypad_has_its_digit() {
        for event in 0..16 {
            let digit = Digit::from_event(event).unwrap();
            let (row, column) = row_column(digit);
            assert_eq!(digit_at(row, column), digit);
        }
        let keypad: String = (0..16).map(|n| digit_at(n / 4, n % 4).as_char()).collect();
        assert_eq!(keypad, "123A456B789C*0#D");
    }

    #[test]
    fn a_sine_at_0_dbm0_peaks_3_17_db_below_full_scale() {
        let below_full_scale_db = 20.0 * (32_124.0 / peak_of(0.0)).log10();
        assert!((below_full_scale_db - 3.17).abs() < 0.01, "{below_full_scale_db}");
    }

    #[test]
    fn digits_are_tones_and_pauses_of_the_stated_length() {
        let mut sender = ToneSender::new(Digits::parse("5#").unwrap());
        let mut pcm = Vec::new();
        let mut frame = [0; 160];
        while sender.fill(&mut frame) {
            pcm.extend_from_slice(&frame);
        }
        assert_eq!(pcm.len(), 2 * 200 * SAMPLES_PER_MS);
        let loud = |range: std::ops::Range<usize>| pcm[range].iter().any(|s| s.abs() > 5000);
        assert!(loud(0..800) && loud(1600..2400));
        assert!(pcm[800..1600].iter().chain(&pcm[2400..]).all(|s| *s == 0));
        assert!(!sender.fill(&mut frame) && frame == [0; 160]);
    }
}
