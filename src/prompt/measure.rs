//! What a finished clip measures: length, loudness, peak, lead-in, gaps, keys that a detector would hear.
use ebur128::{EbuR128, Mode};

use super::dsp::{self, SpeechBounds};
use super::wav::to_f32;

/// Loudness of every clip, after the telephone filter.
pub(super) const LOUDNESS_LUFS: f64 = -19.0;
pub(super) const LOUDNESS_TOLERANCE_LU: f64 = 1.0;
/// No sample is louder.
pub(super) const PEAK_DBFS_MAX: f64 = -3.0;
/// Silence before the first sound: a telephone that opens its path late loses none of the first word.
pub(super) const LEAD_IN_MS: u64 = 150;
pub(super) const LEAD_IN_TOLERANCE_MS: u64 = 30;
/// A longer silence inside a clip sounds like the end of it.
pub(super) const GAP_MS_MAX: u64 = 900;
/// A clip longer than this is a recording error.
pub(super) const CLIP_MS_MAX: u64 = 30_000;

/// Speech lies within this of its loudest 10 ms.
pub(super) const SPEECH_DEPTH_DB: f64 = 38.0;

/// What one WAV of a clip measures.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Measurement {
    pub duration_ms: u64,
    pub loudness_lufs: f64,
    pub peak_dbfs: f64,
    pub lead_in_ms: u64,
    pub tail_ms: u64,
    pub longest_gap_ms: u64,
    pub clipped_runs: usize,
}

/// Measures a master; `None` when there is no speech in it.
#[must_use]
pub(super) fn measure(samples: &[i16], rate_hz: u32) -> Option<Measurement> {
    let samples = to_f32(samples);
    let band = dsp::telephone_band(&samples, rate_hz);
    let SpeechBounds {
        start,
        end,
        loudest_dbfs,
        longest_gap_ms,
        ..
    } = dsp::speech_bounds(&samples, rate_hz, SPEECH_DEPTH_DB)?;
    if loudest_dbfs < -70.0 {
        return None;
    }
    Some(Measurement {
        duration_ms: dsp::ms_of_samples(samples.len(), rate_hz),
        loudness_lufs: loudness_lufs(&band, rate_hz)?,
        peak_dbfs: dsp::dbfs(dsp::peak(&samples)),
        lead_in_ms: dsp::ms_of_samples(start, rate_hz),
        tail_ms: dsp::ms_of_samples(samples.len() - end, rate_hz),
        longest_gap_ms,
        clipped_runs: dsp::clipped_runs(&samples),
    })
}

/// Integrated loudness (EBU R 128). A sound shorter than one measuring block of 400 ms is repeated to fill it.
pub(super) fn loudness_lufs(samples: &[f32], rate_hz: u32) -> Option<f64> {
    let block = dsp::samples_of_ms(400, rate_hz);
    let repeats = if samples.is_empty() {
        return None;
    } else if samples.len() < block {
        block.div_ceil(samples.len()) + 1
    } else {
        1
    };
    let mut meter = EbuR128::new(1, rate_hz, Mode::I).ok()?;
    for _ in 0..repeats {
        meter.add_frames_f32(samples).ok()?;
    }
    meter.loudness_global().ok().filter(|lufs| lufs.is_finite())
}
