//! The few pieces of signal processing that a telephone prompt needs: band filter, speech bounds, limiter.
//!
//! Samples are `f32` at full scale ±1. Everything is deterministic: the same samples give the same samples.
use std::f64::consts::PI;

/// Edges of the telephone band, where the filter has lost half of the amplitude.
pub(super) const BAND_LOW_HZ: f64 = 300.0;
pub(super) const BAND_HIGH_HZ: f64 = 3400.0;

/// Length of the band filter in ms: its slopes are then about 270 Hz wide and 70 dB deep.
const FILTER_MS: f64 = 20.0;

/// Length of one level reading.
const LEVEL_MS: u32 = 10;

/// Reach of the limiter to both sides of a peak: long enough not to be heard as distortion.
const LIMITER_REACH_MS: f64 = 4.0;

pub(super) fn samples_of_ms(ms: u32, rate_hz: u32) -> usize {
    (u64::from(ms) * u64::from(rate_hz) / 1000) as usize
}

pub(super) fn ms_of_samples(samples: usize, rate_hz: u32) -> u64 {
    samples as u64 * 1000 / u64::from(rate_hz)
}

pub(super) fn dbfs(amplitude: f64) -> f64 {
    20.0 * amplitude.max(1e-9).log10()
}

pub(super) fn amplitude(dbfs: f64) -> f64 {
    10_f64.powf(dbfs / 20.0)
}

/// Largest absolute sample.
pub(super) fn peak(samples: &[f32]) -> f64 {
    samples
        .iter()
        .fold(0.0_f64, |peak, s| peak.max(f64::from(s.abs())))
}

/// Keeps 300 to 3400 Hz. Linear phase; the delay is taken out, the length stays.
pub(super) fn telephone_band(samples: &[f32], rate_hz: u32) -> Vec<f32> {
    band_pass(samples, rate_hz, BAND_LOW_HZ, BAND_HIGH_HZ)
}

/// Keeps what lies between two frequencies; outside the sound there is silence.
pub(super) fn band_pass(samples: &[f32], rate_hz: u32, low_hz: f64, high_hz: f64) -> Vec<f32> {
    let taps = band_pass_taps(rate_hz, low_hz, high_hz);
    let silence = vec![0.0; taps.len() / 2];
    let padded = [&silence, samples, &silence].concat();
    // The taps are the same forwards and backwards, so no side has to be turned.
    padded
        .windows(taps.len())
        .map(|window| {
            window
                .iter()
                .zip(&taps)
                .map(|(sample, tap)| f64::from(*sample) * tap)
                .sum::<f64>() as f32
        })
        .collect()
}

/// Windowed-sinc band-pass (Blackman window).
fn band_pass_taps(rate_hz: u32, low_hz: f64, high_hz: f64) -> Vec<f64> {
    let rate = f64::from(rate_hz);
    let half = (rate * FILTER_MS / 2000.0) as i64;
    let low_pass = |cut_hz: f64, n: i64| {
        let x = 2.0 * cut_hz / rate;
        let t = n as f64;
        if n == 0 { x } else { (PI * x * t).sin() / (PI * t) }
    };
    (-half..=half)
        .map(|n| {
            let phase = PI * n as f64 / (half + 1) as f64;
            let window = 0.42 + 0.5 * phase.cos() + 0.08 * (2.0 * phase).cos();
            window * (low_pass(high_hz, n) - low_pass(low_hz, n))
        })
        .collect()
}

/// RMS of each whole 10 ms, dBFS.
pub(super) fn levels_dbfs(samples: &[f32], rate_hz: u32) -> Vec<f64> {
    samples
        .chunks_exact(samples_of_ms(LEVEL_MS, rate_hz).max(1))
        .map(|chunk| {
            let energy: f64 = chunk.iter().map(|s| f64::from(*s).powi(2)).sum();
            dbfs((energy / chunk.len() as f64).sqrt())
        })
        .collect()
}

/// Where the speech lies, in samples, and what surrounds it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct SpeechBounds {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) loudest_dbfs: f64,
    /// The level that a twentieth of the sound stays under.
    pub(super) background_dbfs: f64,
    /// The longest silence between two pieces of speech.
    pub(super) longest_gap_ms: u64,
}

/// Speech is what lies less than `depth_db` under the loudest 10 ms, and above the background.
pub(super) fn speech_bounds(samples: &[f32], rate_hz: u32, depth_db: f64) -> Option<SpeechBounds> {
    let levels = levels_dbfs(samples, rate_hz);
    let loudest_dbfs = levels.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let background_dbfs = low_percentile(&levels)?;
    // A recording of nothing but speech has no background to stay above.
    let above_background = (background_dbfs + 6.0).min(loudest_dbfs - 12.0);
    let threshold = (loudest_dbfs - depth_db).max(above_background);
    let is_speech = |level: &f64| *level > threshold;
    let first = levels.iter().position(is_speech)?;
    let last = levels.iter().rposition(is_speech)?;
    let mut longest_gap = 0_usize;
    let mut gap = 0_usize;
    for level in &levels[first..=last] {
        gap = if is_speech(level) { 0 } else { gap + 1 };
        longest_gap = longest_gap.max(gap);
    }
    let step = samples_of_ms(LEVEL_MS, rate_hz);
    Some(SpeechBounds {
        start: first * step,
        end: ((last + 1) * step).min(samples.len()),
        loudest_dbfs,
        background_dbfs,
        longest_gap_ms: longest_gap as u64 * u64::from(LEVEL_MS),
    })
}

fn low_percentile(levels: &[f64]) -> Option<f64> {
    let mut sorted = levels.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 20).copied()
}

/// Fades the ends in and out, so that a cut is not a click.
pub(super) fn fade_ends(samples: &mut [f32], in_samples: usize, out_samples: usize) {
    let length = samples.len();
    let in_samples = in_samples.min(length);
    for (n, sample) in samples.iter_mut().take(in_samples).enumerate() {
        *sample *= raised_cosine(n, in_samples);
    }
    let out_samples = out_samples.min(length);
    for (n, sample) in samples.iter_mut().rev().take(out_samples).enumerate() {
        *sample *= raised_cosine(n, out_samples);
    }
}

fn raised_cosine(n: usize, length: usize) -> f32 {
    (0.5 - 0.5 * (PI * (n as f64 + 0.5) / length as f64).cos()) as f32
}

/// Holds every sample under `ceiling` by turning the gain down smoothly around each peak.
///
/// The gain curve is the least gain needed within reach, averaged over the same reach: no sample can escape it,
/// and it changes as slowly as a fade.
pub(super) fn limit(samples: &[f32], rate_hz: u32, ceiling: f64) -> Vec<f32> {
    if peak(samples) <= ceiling {
        return samples.to_vec();
    }
    let reach = (f64::from(rate_hz) * LIMITER_REACH_MS / 1000.0) as usize;
    let mut lowest = vec![1.0_f64; samples.len()];
    for (n, sample) in samples.iter().enumerate() {
        let needed = ceiling / f64::from(sample.abs()).max(1e-12);
        if needed < 1.0 {
            let end = (n + reach + 1).min(samples.len());
            for gain in &mut lowest[n.saturating_sub(reach)..end] {
                *gain = gain.min(needed);
            }
        }
    }
    let weights: Vec<f64> = (0..=2 * reach)
        .map(|k| 0.5 - 0.5 * (2.0 * PI * (k as f64 + 1.0) / (2 * reach + 2) as f64).cos())
        .collect();
    samples
        .iter()
        .enumerate()
        .map(|(n, sample)| {
            let first = n.saturating_sub(reach);
            let near = &lowest[first..(n + reach + 1).min(lowest.len())];
            if near.iter().all(|gain| *gain >= 1.0) {
                return *sample;
            }
            let weights = &weights[first + reach - n..];
            let total: f64 = weights.iter().take(near.len()).sum();
            let sum: f64 = near.iter().zip(weights).map(|(gain, weight)| gain * weight).sum();
            (f64::from(*sample) * sum / total) as f32
        })
        .collect()
}

/// Runs of three or more samples held at the same extreme: what a converter out of range leaves behind.
pub(super) fn clipped_runs(samples: &[f32]) -> usize {
    let extreme = peak(samples) as f32;
    if extreme < 0.98 {
        return 0;
    }
    let edge = extreme * 0.9995;
    let (mut runs, mut length, mut sign) = (0, 0, 0.0_f32);
    for sample in samples {
        let held = sample.abs() >= edge && (length == 0 || sample.signum() == sign);
        length = if held {
            length + 1
        } else {
            usize::from(sample.abs() >= edge)
        };
        sign = sample.signum();
        if length == 3 {
            runs += 1;
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(frequency_hz: f32, level: f32, samples: usize) -> Vec<f32> {
        (0..samples)
            .map(|n| level * (std::f32::consts::TAU * frequency_hz * n as f32 / 16_000.0).sin())
            .collect()
    }

    #[test]
    fn the_band_filter_passes_speech_and_stops_hum_and_hiss() {
        let gain = |frequency_hz| {
            let output = telephone_band(&tone(frequency_hz, 0.5, 4000), 16_000);
            dbfs(peak(&output[1000..3000]) / 0.5)
        };
        for frequency_hz in [450.0, 1000.0, 2000.0, 3200.0] {
            assert!(
                gain(frequency_hz).abs() < 0.5,
                "{frequency_hz}: {}",
                gain(frequency_hz)
            );
        }
        for frequency_hz in [300.0, 3400.0] {
            assert!(
                (gain(frequency_hz) + 6.0).abs() < 0.5,
                "{frequency_hz}: {}",
                gain(frequency_hz)
            );
        }
        for frequency_hz in [50.0, 60.0, 3700.0, 5000.0, 7000.0] {
            assert!(
                gain(frequency_hz) < -55.0,
                "{frequency_hz}: {}",
                gain(frequency_hz)
            );
        }
    }

    #[test]
    fn the_limiter_holds_the_ceiling_and_leaves_the_rest_alone() {
        let mut sound = tone(400.0, 0.3, 8000);
        sound[4000] = 1.2;
        sound[4001] = -1.1;
        let limited = limit(&sound, 16_000, 0.7);
        assert!(peak(&limited) <= 0.7 + 1e-6);
        assert_eq!(sound[..3800], limited[..3800]);
        assert_eq!(sound[4200..], limited[4200..]);
    }

    #[test]
    fn speech_is_found_between_its_silences() {
        let mut sound = vec![0.0; 3200];
        sound.extend(tone(700.0, 0.4, 8000));
        sound.extend(vec![0.0; 4800]);
        sound.extend(tone(700.0, 0.2, 1600));
        sound.extend(vec![0.0; 1600]);
        let bounds = speech_bounds(&sound, 16_000, 40.0).unwrap();
        assert_eq!((bounds.start, bounds.end), (3200, 3200 + 8000 + 4800 + 1600));
        assert_eq!(bounds.longest_gap_ms, 300);
        assert_eq!(speech_bounds(&[], 16_000, 40.0), None);
    }

    #[test]
    fn clipping_is_a_run_at_the_extreme_and_a_loud_peak_is_not() {
        let clean = tone(440.0, 1.0, 4000);
        assert_eq!(clipped_runs(&tone(3000.0, 0.9, 4000)), 0);
        let clipped: Vec<f32> = clean.iter().map(|s| (s * 1.5).clamp(-1.0, 1.0)).collect();
        assert!(clipped_runs(&clipped) > 50);
    }
}
