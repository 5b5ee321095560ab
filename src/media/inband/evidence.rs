//! Deciding: are the last 30 ms a key, strictly; is a key that began still there, loosely.
//!
//! A tone pair is believed when all of this holds over six consecutive sub-blocks (ITU-T Q.24, with AT&T's and NTT's
//! limits, and what keeps speech out):
//!
//! - one row and one column stand out, each loud enough, the two not too different (twist);
//! - both frequencies, measured by their phase slope, are within tolerance;
//! - both envelopes are flat and both phases run straight: a voice wavers;
//! - the pair holds nearly all energy between 640 and 1800 Hz;
//! - what is left of the whole signal is little, or was there before: hum, dial tone and echo stay, while a voice
//!   brings its own fundamental along;
//! - neither tone has a second harmonic: a vowel does;
//! - both tones began together, on a line whose band was quiet within the last second: a chord does neither.
//!
//! Each measure uses up a share of its allowance, and the sum of the shares is limited too. A run of which one tone wavers
//! while all else is in order is only likely, and is believed when the next runs show the same.
use super::bank::{BLOCK_LEN, Block, Complex, TABLES, TONES};
use super::line::Level;
use crate::media::tone::{HIGH_HZ, LOW_HZ, PEAK_AT_0_DBM0, SAMPLE_RATE_HZ};

/// Sub-blocks that must agree: 30 ms. A tone of 40 ms covers seven wholly, one of 23 ms at most four.
pub(super) const RUN_BLOCKS: usize = 6;
/// Samples of such a run.
pub(super) const RUN_LEN: usize = RUN_BLOCKS * BLOCK_LEN;

/// Weakest tone taken, dBm0; −25 must be taken, −55 never.
const LEVEL_DBM0_MIN: f32 = -28.5;
/// Column over row and row over column, dB; 4 and 8 must be taken.
const TWIST_DB_MAX: f32 = 6.0;
const REVERSE_TWIST_DB_MAX: f32 = 10.0;
/// Deviation from the nominal frequency: 1.5 % + 2 Hz must be taken, 3.5 % never. The measurement errs by 1 Hz or so.
const DEVIATION_MAX: f32 = 0.015;
const DEVIATION_HZ_MAX: f32 = 3.5;
/// The second strongest of a group may have this share of the strongest's amplitude.
const NEIGHBOUR_MAX: f32 = 0.55;
/// Each sub-block's amplitude may differ from the run's by this share.
const ENVELOPE_MAX: f32 = 0.24;
/// Share of a tone's power that is not coherent over the run.
const INCOHERENCE_MAX: f32 = 0.02;
/// Share of the band's energy that the pair does not hold.
const BAND_REST_MAX: f32 = 0.16;
/// The rest of the whole signal, above what was there before, as a share of the pair's energy.
const REST_MAX: f32 = 0.20;
/// How many times the earlier floor belongs to the line and not to a voice.
const FLOOR_FACTOR: f32 = 2.0;
/// Each of the eight measures above may use up its allowance, but not all of them at once: the sum of the used shares
/// has this limit. A key at a corner of one limit is clean elsewhere; a voice that passes is marginal everywhere.
const DOUBT_MAX: f32 = 4.2;
/// The same when the floor excuses some of the rest: music brings its own floor. The limit falls by this for each share
/// of [`REST_MAX`] excused, but not below the second.
const EXCUSE_COST: f32 = 5.0;
const DOUBT_EXCUSED_MAX: f32 = 1.5;
/// The same when it can be the echo of what we play.
const DOUBT_ECHOED_MAX: f32 = 3.0;
/// A pair of which one tone wavers is believed when it goes on: what disturbs one tone (a partial of music, a codec)
/// leaves the other alone, so that one must be steady and all else in order. Sums of shares, and shares of
/// [`ENVELOPE_MAX`] and [`INCOHERENCE_MAX`].
const FIRM_LIKELY_MAX: f32 = 2.0;
const STEADIER_LIKELY_MAX: f32 = 1.5;
const ENVELOPE_LIKELY_MAX: f32 = 2.0;
const INCOHERENCE_LIKELY_MAX: f32 = 8.0;
/// Shares of the two tones in the sub-block before may differ by this.
const ONSET_MAX: f32 = 0.3;
/// The least energy of the band in the recent past, as a share of the pair's: a key starts on a quiet line. Noise 15 dB
/// below the key all in the band is 0.03.
const BAND_FLOOR_MAX: f32 = 0.05;
/// Second harmonic over its tone, power: −16 dB.
const HARMONIC_MAX: f32 = 0.025;

/// A sub-block still holds the key when both its tones keep this share of their amplitude …
const HELD_AMPLITUDE_MIN: f32 = 0.45;
/// … and together this share of the band.
const HELD_SHARE_MIN: f32 = 0.30;

/// A row and a column (0–3 each).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) row: usize,
    pub(super) column: usize,
}

/// A pair that passed, with its amplitudes (peaks).
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) pair: Pair,
    pub(super) low: f32,
    pub(super) high: f32,
    /// Deviations from nominal, Hz.
    low_off_hz: f32,
    high_off_hz: f32,
}

/// How much of a pair a run shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Belief {
    /// Only if the next runs show it too.
    Likely,
    Sure,
}

/// The last sub-blocks, oldest first.
pub(super) type Run<'a> = [&'a Block; RUN_BLOCKS];

/// Strict test of a pair that stands out, on the sub-blocks alone; `floor` is the least energy of such a run in the
/// recent past, `echo_max` the most energy that can be an echo of what we play. `None`: no key.
pub(super) fn judge(run: &Run<'_>, pair: Pair, floor: Level, echo_max: f32) -> Option<(Found, Belief)> {
    let (low, high) = tones_of(run, pair);
    let (low, high) = (Track::measure(&low)?, Track::measure(&high)?);
    let (low_hz, high_hz) = (LOW_HZ[pair.row % 4], HIGH_HZ[pair.column % 4]);
    if !levels_fit(low.peak, high.peak) {
        return None;
    }
    let (low_energy, high_energy) = (low.energy(), high.energy());
    if floor.band > BAND_FLOOR_MAX * (low_energy + high_energy) {
        return None;
    }
    let band: f32 = run.iter().map(|b| b.band_energy).sum();
    let band_rest = (1.0 - (low_energy + high_energy) / band).max(0.0);
    let before = &TABLES.power_before;
    let pair_energy = low_energy * before[pair.row % 4] + high_energy * before[4 + pair.column % 4];
    let total: f32 = run.iter().map(|b| b.total_energy).sum();
    let rest = ((total - FLOOR_FACTOR * floor.outside) / pair_energy - 1.0).max(0.0);
    let excused = (total / pair_energy - 1.0).max(0.0) - rest;
    // Only as much as the allowance lacks: an echo explains a rest, and adds no trust.
    let is_echoed = rest > REST_MAX;
    let rest = rest.min(REST_MAX.max(rest - echo_max / pair_energy));
    let firm = used(low.off_share(low_hz))?
        + used(high.off_share(high_hz))?
        + used(band_rest / BAND_REST_MAX)?
        + used(rest / REST_MAX)?;
    let (steadier, other) = if low.unsteady() < high.unsteady() {
        (&low, &high)
    } else {
        (&high, &low)
    };
    let doubt = firm + low.unsteady() + high.unsteady();
    let most = low.most_unsteady().max(high.most_unsteady());
    let doubt_max = if is_echoed {
        DOUBT_ECHOED_MAX
    } else {
        (DOUBT_MAX - EXCUSE_COST * excused / REST_MAX).max(DOUBT_EXCUSED_MAX)
    };
    let found = Found {
        pair,
        low: low.peak,
        high: high.peak,
        low_off_hz: low.off_hz,
        high_off_hz: high.off_hz,
    };
    if most <= 1.0 && doubt <= doubt_max {
        Some((found, Belief::Sure))
    } else if excused <= REST_MAX / 2.0
        && firm <= FIRM_LIKELY_MAX
        && steadier.unsteady() <= STEADIER_LIKELY_MAX
        && other.envelope <= ENVELOPE_LIKELY_MAX
        && other.incoherence <= INCOHERENCE_LIKELY_MAX
    {
        Some((found, Belief::Likely))
    } else {
        None
    }
}

/// Whether the unfiltered samples of the run hold a second harmonic of either tone.
pub(super) fn has_harmonic(found: &Found, samples: &[i16; RUN_LEN]) -> bool {
    let low_hz = LOW_HZ[found.pair.row % 4] + found.low_off_hz;
    let high_hz = HIGH_HZ[found.pair.column % 4] + found.high_off_hz;
    // The double of a row lies among the columns, so the column's own tone is taken out of it.
    let of_low = without(
        amplitude_at(2.0 * low_hz, samples),
        amplitude_at(high_hz, samples),
        high_hz - 2.0 * low_hz,
    );
    let of_high = amplitude_at(2.0 * high_hz, samples);
    let limit = |peak: f32| HARMONIC_MAX * peak * peak;
    of_low.power() > limit(found.low) || of_high.power() > limit(found.high)
}

/// Whether a sub-block still holds a pair of these amplitudes.
pub(super) fn holds(block: &Block, found: &Found) -> bool {
    let (low, high) = separate(block, found.pair);
    let (low, high) = (low.power(), high.power());
    let keeps = |power: f32, peak: f32| power >= (HELD_AMPLITUDE_MIN * peak).powi(2);
    let energy = (low + high) * (BLOCK_LEN as f32 / 2.0);
    keeps(low, found.low) && keeps(high, found.high) && energy >= HELD_SHARE_MIN * block.band_energy
}

/// Amplitude of the pair in a sub-block over that of the run, 0–1: how much of it the key was down.
pub(super) fn presence(block: &Block, found: &Found) -> f32 {
    let (low, high) = separate(block, found.pair);
    let share = (low.power().sqrt() + high.power().sqrt()) / (found.low + found.high);
    share.clamp(0.0, 1.0)
}

/// Whether the sub-block before a run holds as much of the one tone as of the other: a keypad switches both at once,
/// while the notes of a chord come one by one.
pub(super) fn began_together(before: &Block, found: &Found) -> bool {
    let (low, high) = separate(before, found.pair);
    let (low, high) = (low.power().sqrt() / found.low, high.power().sqrt() / found.high);
    before.lost || (low.min(1.0) - high.min(1.0)).abs() <= ONSET_MAX
}

/// The strongest row and column of two 15 ms sums, if each clearly leads its group and they carry the band.
pub(super) fn stands_out(run: &Run<'_>) -> Option<Pair> {
    let (middle, last) = (run[RUN_BLOCKS / 2 - 1], run[RUN_BLOCKS - 1]);
    let mut power = [0.0; TONES];
    for (lane, power) in power.iter_mut().enumerate() {
        *power = middle.power_15_ms[lane] + last.power_15_ms[lane];
    }
    let (rows, columns) = power.split_at(TONES / 2);
    let ((row, low), (column, high)) = (leader(rows)?, leader(columns)?);
    // Half a tone's power may be missing at the edge of the frequency tolerance.
    let energy = (low + high) / 2.0 * (BLOCK_LEN * RUN_BLOCKS) as f32 / 2.0;
    let band: f32 = run.iter().map(|b| b.band_energy).sum();
    if run.iter().any(|b| b.lost) || energy < 0.5 * (1.0 - BAND_REST_MAX) * band || band <= 0.0 {
        return None;
    }
    Some(Pair { row, column })
}

fn leader(group: &[f32]) -> Option<(usize, f32)> {
    let (place, strongest) = group
        .iter()
        .copied()
        .enumerate()
        .max_by(|a, b| a.1.total_cmp(&b.1))?;
    let mut others = group.iter().enumerate().filter(|(p, _)| *p != place);
    let leads = others.all(|(_, power)| *power <= NEIGHBOUR_MAX * NEIGHBOUR_MAX * strongest);
    leads.then_some((place, strongest))
}

fn levels_fit(low: f32, high: f32) -> bool {
    let level_min = PEAK_AT_0_DBM0 * 10.0_f32.powf(LEVEL_DBM0_MIN / 20.0);
    let twist_db = 20.0 * (high / low).log10();
    low >= level_min && high >= level_min && (-REVERSE_TWIST_DB_MAX..=TWIST_DB_MAX).contains(&twist_db)
}

/// Both tones of each sub-block, without each other's leakage, turned so that a tone of nominal frequency stands still.
fn tones_of(run: &Run<'_>, pair: Pair) -> ([Complex; RUN_BLOCKS], [Complex; RUN_BLOCKS]) {
    let step = &TABLES.step;
    let (low_step, high_step) = (step.at(pair.row % 4), step.at(4 + pair.column % 4));
    let mut turn = (Complex { re: 1.0, im: 0.0 }, Complex { re: 1.0, im: 0.0 });
    let (mut lows, mut highs) = ([Complex::default(); RUN_BLOCKS], [Complex::default(); RUN_BLOCKS]);
    for ((block, low), high) in run.iter().zip(&mut lows).zip(&mut highs) {
        let (l, h) = separate(block, pair);
        (*low, *high) = (l.times(turn.0), h.times(turn.1));
        turn = (turn.0.times(low_step), turn.1.times(high_step));
    }
    (lows, highs)
}

/// 5 ms tell frequencies apart only by 200 Hz, so each demodulator hears some of the other tone:
/// z_l = a + C b, z_h = b + C* a. Solved for a and b.
fn separate(block: &Block, pair: Pair) -> (Complex, Complex) {
    let (z_low, z_high) = (block.tones.at(pair.row % 4), block.tones.at(4 + pair.column % 4));
    let leak = TABLES.leak[pair.row % 4][pair.column % 4];
    let scale = 1.0 / (1.0 - leak.power());
    let low = z_low.plus(leak.times(z_high).scaled(-1.0)).scaled(scale);
    let high = z_high.plus(leak.conj().times(z_low).scaled(-1.0)).scaled(scale);
    (low, high)
}

/// The used share of an allowance; `None` when it is exceeded or no number.
fn used(share: f32) -> Option<f32> {
    (share <= 1.0).then_some(share)
}

/// One tone over the run.
#[derive(Debug, Clone, Copy)]
struct Track {
    /// Root mean square of the sub-blocks' peaks, corrected for the frequency offset.
    peak: f32,
    off_hz: f32,
    /// Used share of [`ENVELOPE_MAX`].
    envelope: f32,
    /// Used share of [`INCOHERENCE_MAX`].
    incoherence: f32,
}

impl Track {
    /// `None` when the envelope is far from flat.
    fn measure(tone: &[Complex; RUN_BLOCKS]) -> Option<Self> {
        let power: f32 = tone.iter().map(|t| t.power()).sum();
        let mean = (power / RUN_BLOCKS as f32).sqrt();
        let differences = tone.iter().map(|t| (t.power().sqrt() - mean).abs());
        let envelope = differences.fold(0.0, f32::max) / (ENVELOPE_MAX * mean);
        if envelope > ENVELOPE_LIKELY_MAX || envelope.is_nan() {
            return None;
        }
        let slope = phase_slope(tone);
        let (turn, mut carrier) = (Complex::turn(-slope), Complex { re: 1.0, im: 0.0 });
        let mut sum = Complex::default();
        for t in tone {
            sum = sum.plus(t.times(carrier));
            carrier = carrier.times(turn);
        }
        let incoherence = (1.0 - sum.power() / (RUN_BLOCKS as f32 * power)).max(0.0);
        Some(Self {
            peak: mean / scallop(slope / 2.0),
            off_hz: slope * SAMPLE_RATE_HZ / (BLOCK_LEN as f32 * std::f32::consts::TAU),
            envelope,
            incoherence: incoherence / INCOHERENCE_MAX,
        })
    }

    fn unsteady(&self) -> f32 {
        self.envelope + self.incoherence
    }

    const fn most_unsteady(&self) -> f32 {
        self.envelope.max(self.incoherence)
    }

    /// Used share of the deviation from the nominal frequency.
    fn off_share(&self, nominal_hz: f32) -> f32 {
        self.off_hz.abs() / (DEVIATION_MAX * nominal_hz + DEVIATION_HZ_MAX)
    }

    /// Sum of squares over the run.
    fn energy(&self) -> f32 {
        self.peak * self.peak * RUN_LEN as f32 / 2.0
    }
}

/// Radians per sub-block: coarse from neighbours, fine from sub-blocks three apart.
fn phase_slope(tone: &[Complex; RUN_BLOCKS]) -> f32 {
    let lag = |apart: usize| {
        let pairs = tone.iter().zip(tone.iter().skip(apart));
        pairs
            .fold(Complex::default(), |sum, (a, b)| sum.plus(b.times(a.conj())))
            .phase()
    };
    let (coarse, fine) = (lag(1), lag(3));
    let whole_turns = ((3.0 * coarse - fine) / std::f32::consts::TAU).round();
    (fine + whole_turns * std::f32::consts::TAU) / 3.0
}

/// Amplitude that a sub-block's demodulator sees of a tone whose phase runs `half` radians off by its middle.
fn scallop(half: f32) -> f32 {
    if half.abs() < 1.0e-3 {
        1.0
    } else {
        (half.sin() / half).abs()
    }
}

/// Amplitude (peak) of the samples at a frequency.
fn amplitude_at(hz: f32, samples: &[i16; RUN_LEN]) -> Complex {
    let step = Complex::turn(-std::f32::consts::TAU * hz / SAMPLE_RATE_HZ);
    let mut carrier = Complex { re: 1.0, im: 0.0 };
    let mut sum = Complex::default();
    for sample in samples {
        sum = sum.plus(carrier.scaled(f32::from(*sample)));
        carrier = carrier.times(step);
    }
    sum.scaled(2.0 / RUN_LEN as f32)
}

/// What is left at a frequency of `weak` when the tone measured as `strong`, `apart_hz` above it, does not leak into
/// it: z_w = a + L b, z_s = b + L* a, solved for a.
fn without(weak: Complex, strong: Complex, apart_hz: f32) -> Complex {
    let half_turn = std::f32::consts::PI * apart_hz / SAMPLE_RATE_HZ;
    let length = RUN_LEN as f32;
    if (half_turn * length).abs() < 1.0 {
        // Closer than the run can tell apart.
        return Complex::default();
    }
    let leak = Complex::turn(half_turn * (length - 1.0))
        .scaled((half_turn * length).sin() / (length * half_turn.sin()));
    weak.plus(leak.times(strong).scaled(-1.0))
        .scaled(1.0 / (1.0 - leak.power()))
}
