//! From samples to numbers: a band-pass filter, then eight demodulators, 5 ms at a time.
//!
//! Per sub-block of [`BLOCK_LEN`] samples it gives the complex amplitude at the eight keypad frequencies (the
//! Goertzel sum, written as a correlation so that eight frequencies fill a vector), and the energy before and after
//! the filter. Deciding is [`super::evidence`]'s.
use std::f64::consts::TAU;
use std::sync::LazyLock;

use crate::media::tone::{HIGH_HZ, LOW_HZ, SAMPLE_RATE_HZ};

/// Sub-block, samples: 5 ms.
pub(super) const BLOCK_LEN: usize = 40;
/// Four rows, then four columns.
pub(super) const TONES: usize = 8;
/// Sub-blocks of one coherent sum: 15 ms, narrow enough to tell 697 from 770 Hz, wide enough for ±1.8 %.
const SUM_BLOCKS: usize = 3;

/// Second-order sections of the band-pass: within 0.8 dB from 685 to 1665 Hz, −34 dB up to 460 Hz (dial tone, ring
/// tone, hum, the fundamental of speech), −14 dB above 2150 Hz. Zeros lie on the unit circle, so a section needs one
/// numerator coefficient: `y = x + b1 x₁ + x₂ − a1 y₁ − a2 y₂`.
const SECTIONS: [Section; 3] = [
    Section::new(440.649, 640.668, 0.928_94),
    Section::new(189.651, 723.24, 0.760_66),
    Section::new(2385.787, 1729.338, 0.788_27),
];

/// Zero frequency, pole frequency (Hz) and pole radius.
#[derive(Debug, Clone, Copy)]
struct Section {
    zero_hz: f64,
    pole_hz: f64,
    radius: f64,
}

impl Section {
    const fn new(zero_hz: f64, pole_hz: f64, radius: f64) -> Self {
        Self {
            zero_hz,
            pole_hz,
            radius,
        }
    }

    fn coefficients(self) -> [f64; 3] {
        let turn = |hz: f64| (TAU * hz / f64::from(SAMPLE_RATE_HZ)).cos();
        let b1 = -2.0 * turn(self.zero_hz);
        [
            b1,
            -2.0 * self.radius * turn(self.pole_hz),
            self.radius * self.radius,
        ]
    }

    /// Squared magnitude at a frequency.
    fn power_at(self, hz: f64) -> f64 {
        let [b1, a1, a2] = self.coefficients();
        let turn = TAU * hz / f64::from(SAMPLE_RATE_HZ);
        let power = |c1: f64, c2: f64| {
            let re = 1.0 + c1 * turn.cos() + c2 * (2.0 * turn).cos();
            let im = c1 * turn.sin() + c2 * (2.0 * turn).sin();
            re * re + im * im
        };
        power(b1, 1.0) / power(a1, a2)
    }
}

/// Complex numbers, one per lane.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lanes {
    pub(super) re: [f32; TONES],
    pub(super) im: [f32; TONES],
}

impl Lanes {
    pub(super) fn at(&self, lane: usize) -> Complex {
        let lane = lane % TONES;
        Complex {
            re: self.re[lane],
            im: self.im[lane],
        }
    }

    /// `self + other × factor`, lane by lane.
    fn plus_product(mut self, other: &Self, factor: &Self) -> Self {
        for lane in 0..TONES {
            self.re[lane] += other.re[lane] * factor.re[lane] - other.im[lane] * factor.im[lane];
            self.im[lane] += other.re[lane] * factor.im[lane] + other.im[lane] * factor.re[lane];
        }
        self
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Complex {
    pub(super) re: f32,
    pub(super) im: f32,
}

impl Complex {
    pub(super) fn turn(radians: f32) -> Self {
        Self {
            re: radians.cos(),
            im: radians.sin(),
        }
    }

    pub(super) const fn conj(self) -> Self {
        Self {
            re: self.re,
            im: -self.im,
        }
    }

    pub(super) fn times(self, other: Self) -> Self {
        Self {
            re: self.re * other.re - self.im * other.im,
            im: self.re * other.im + self.im * other.re,
        }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            re: self.re + other.re,
            im: self.im + other.im,
        }
    }

    pub(super) fn scaled(self, factor: f32) -> Self {
        Self {
            re: self.re * factor,
            im: self.im * factor,
        }
    }

    pub(super) fn power(self) -> f32 {
        self.re * self.re + self.im * self.im
    }

    pub(super) fn phase(self) -> f32 {
        self.im.atan2(self.re)
    }
}

/// Everything that depends on frequencies alone.
pub(super) struct Tables {
    sections: [[f32; 3]; 3],
    gain: f32,
    /// e^(−jωn) for each sample of a sub-block.
    carrier: [Lanes; BLOCK_LEN],
    /// e^(−jω·40·m): brings sub-block m of a sum to the phase of its first.
    advance: [Lanes; SUM_BLOCKS],
    /// Phase advance of a sub-block at the nominal frequency, as e^(−jω·40).
    pub(super) step: Lanes,
    /// How much of a column (second index) shows in a row's demodulator.
    pub(super) leak: [[Complex; 4]; 4],
    /// Power of a tone before the filter for each unit after it.
    pub(super) power_before: [f32; TONES],
}

pub(super) static TABLES: LazyLock<Tables> = LazyLock::new(Tables::new);

/// Radians per sample at each lane's nominal frequency.
fn radians_per_sample() -> [f64; TONES] {
    let mut all = [0.0; TONES];
    let hz = LOW_HZ.iter().chain(&HIGH_HZ);
    all.iter_mut()
        .zip(hz)
        .for_each(|(w, hz)| *w = TAU * f64::from(*hz) / f64::from(SAMPLE_RATE_HZ));
    all
}

fn lanes_turned(samples: usize) -> Lanes {
    let mut lanes = Lanes::default();
    for (lane, w) in radians_per_sample().iter().enumerate() {
        let turn = -w * samples as f64;
        (lanes.re[lane], lanes.im[lane]) = (turn.cos() as f32, turn.sin() as f32);
    }
    lanes
}

impl Tables {
    fn new() -> Self {
        let filter_power = |hz: f64| SECTIONS.iter().map(|s| s.power_at(hz)).product::<f64>();
        let nominal: Vec<f64> = LOW_HZ
            .iter()
            .chain(&HIGH_HZ)
            .map(|hz| filter_power(f64::from(*hz)))
            .collect();
        let mean_power = nominal.iter().sum::<f64>() / TONES as f64;
        let mut power_before = [1.0; TONES];
        power_before
            .iter_mut()
            .zip(&nominal)
            .for_each(|(p, n)| *p = (mean_power / n) as f32);
        Self {
            sections: SECTIONS.map(|s| s.coefficients().map(|c| c as f32)),
            gain: (1.0 / mean_power.sqrt()) as f32,
            carrier: std::array::from_fn(lanes_turned),
            advance: std::array::from_fn(|m| lanes_turned(m * BLOCK_LEN)),
            step: lanes_turned(BLOCK_LEN),
            leak: std::array::from_fn(|row| std::array::from_fn(|column| leak(row, column))),
            power_before,
        }
    }
}

/// Mean of e^(j(ω_column − ω_row)n) over a sub-block.
fn leak(row: usize, column: usize) -> Complex {
    let apart = TAU * f64::from(HIGH_HZ[column] - LOW_HZ[row]) / f64::from(SAMPLE_RATE_HZ);
    let mean = |part: fn(f64) -> f64| {
        let sum: f64 = (0..BLOCK_LEN).map(|n| part(apart * n as f64)).sum();
        (sum / BLOCK_LEN as f64) as f32
    };
    Complex {
        re: mean(f64::cos),
        im: mean(f64::sin),
    }
}

/// 5 ms of signal.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Block {
    /// Amplitudes: a sine of peak A at a lane's frequency gives magnitude A.
    pub(super) tones: Lanes,
    /// Power of each lane in the 15 ms that end here, as squared peak.
    pub(super) power_15_ms: [f32; TONES],
    /// Sum of squares after and before the filter.
    pub(super) band_energy: f32,
    pub(super) total_energy: f32,
    /// The signal was not received.
    pub(super) lost: bool,
}

impl Block {
    /// Below the gate: no tone is looked for.
    pub(super) fn quiet(samples: &[f32; BLOCK_LEN]) -> Self {
        Self {
            total_energy: energy(samples),
            ..Self::default()
        }
    }

    pub(super) fn lost() -> Self {
        Self {
            lost: true,
            ..Self::default()
        }
    }
}

/// The filter's memory and the last sub-blocks.
#[derive(Debug, Clone, Default)]
pub(super) struct Bank {
    memory: [[f32; 2]; 3],
    earlier: [Lanes; SUM_BLOCKS - 1],
}

impl Bank {
    /// Forgets the past, for a stretch that was silent or lost.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn block(&mut self, samples: &[f32; BLOCK_LEN]) -> Block {
        let tables = &*TABLES;
        let total_energy = energy(samples);
        let mut filtered = *samples;
        self.filter(tables, &mut filtered);
        let band_energy = energy(&filtered);
        let tones = correlate(tables, &filtered);
        let [before_last, last] = self.earlier;
        let [_, one, two] = &tables.advance;
        let sum = before_last.plus_product(&last, one).plus_product(&tones, two);
        self.earlier = [last, tones];
        let mut power_15_ms = [0.0; TONES];
        for (lane, power) in power_15_ms.iter_mut().enumerate() {
            *power = (sum.re[lane] * sum.re[lane] + sum.im[lane] * sum.im[lane])
                / (SUM_BLOCKS * SUM_BLOCKS) as f32;
        }
        Block {
            tones,
            power_15_ms,
            band_energy,
            total_energy,
            lost: false,
        }
    }

    /// Transposed direct form II, the three sections sample by sample, so that they overlap in the pipeline.
    fn filter(&mut self, tables: &Tables, samples: &mut [f32; BLOCK_LEN]) {
        let [[mut a1, mut a2], [mut b1, mut b2], [mut c1, mut c2]] = self.memory;
        let [first, second, third] = tables.sections;
        for sample in samples {
            let x = *sample * tables.gain;
            let x = section(x, first, &mut a1, &mut a2);
            let x = section(x, second, &mut b1, &mut b2);
            *sample = section(x, third, &mut c1, &mut c2);
        }
        self.memory = [[a1, a2], [b1, b2], [c1, c2]];
    }
}

fn section(x: f32, [b1, a1, a2]: [f32; 3], memory1: &mut f32, memory2: &mut f32) -> f32 {
    let y = x + *memory1;
    *memory1 = (b1 * x + *memory2) - a1 * y;
    *memory2 = x - a2 * y;
    y
}

fn energy(samples: &[f32; BLOCK_LEN]) -> f32 {
    // Eight partial sums: an addition need not wait for the one before it.
    let mut sums = [0.0; 8];
    for eight in samples.as_chunks::<8>().0 {
        for (sum, x) in sums.iter_mut().zip(eight) {
            *sum += x * x;
        }
    }
    sums.iter().sum()
}

fn correlate(tables: &Tables, samples: &[f32; BLOCK_LEN]) -> Lanes {
    let mut sum = Lanes::default();
    for (x, carrier) in samples.iter().zip(&tables.carrier) {
        for lane in 0..TONES {
            sum.re[lane] += x * carrier.re[lane];
            sum.im[lane] += x * carrier.im[lane];
        }
    }
    let scale = 2.0 / BLOCK_LEN as f32;
    sum.re
        .iter_mut()
        .chain(&mut sum.im)
        .for_each(|part| *part *= scale);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::tone::{ToneGenerator, peak_of};

    fn blocks_of(mut generator: ToneGenerator, count: usize) -> Vec<Block> {
        let mut bank = Bank::default();
        (0..count)
            .map(|_| bank.block(&std::array::from_fn(|_| generator.next_sample())))
            .collect()
    }

    #[test]
    fn a_tone_shows_its_peak_in_its_lane_and_little_elsewhere() {
        for (lane, hz) in LOW_HZ.iter().chain(&HIGH_HZ).enumerate() {
            let generator = ToneGenerator::new(*hz, -10.0, 100.0, -90.0);
            let last = blocks_of(generator, 20)[19];
            let peak = last.power_15_ms[lane].sqrt();
            assert!((peak / peak_of(-10.0) - 1.0).abs() < 0.07, "{hz} Hz: {peak}");
            let others = (0..TONES)
                .filter(|l| *l != lane)
                .map(|l| last.power_15_ms[l].sqrt());
            let loudest = others.fold(0.0, f32::max);
            assert!(loudest < 0.3 * peak, "{hz} Hz: {loudest} of {peak}");
        }
    }

    #[test]
    fn the_filter_stops_dial_tone_and_lets_the_keypad_through() {
        let gain_db = |hz: f32| {
            let blocks = blocks_of(ToneGenerator::new(hz, -10.0, 100.0, -90.0), 40);
            let (band, total): (f32, f32) = blocks[20..]
                .iter()
                .fold((0.0, 0.0), |(b, t), x| (b + x.band_energy, t + x.total_energy));
            10.0 * (band / total).log10()
        };
        for hz in [50.0, 350.0, 425.0, 440.0, 455.0] {
            assert!(gain_db(hz) < -30.0, "{hz} Hz: {}", gain_db(hz));
        }
        for hz in [685.0, 770.0, 941.0, 1209.0, 1477.0, 1663.0] {
            assert!(gain_db(hz).abs() < 1.0, "{hz} Hz: {}", gain_db(hz));
        }
        assert!(gain_db(2200.0) < -13.0 && gain_db(3400.0) < -13.0);
    }
}
