//! Any speech → a telephone master: band, trim, loudness, peaks, lead-in, at 16 kHz and 8 kHz.
//!
//! The order matters: what the telephone takes away (below 300, above 3400 Hz) goes first, so that loudness and
//! silence are judged on what the callee will hear.
//!
//! Invariant: a [`Master`] passes `prompts check` by construction, or the reason why not is the error.
use std::io::{Read, Seek};

use super::dsp::{self, SpeechBounds};
use super::error::{MasterError, WavError};
use super::measure::{
    CLIP_MS_MAX, LEAD_IN_MS, LOUDNESS_LUFS, LOUDNESS_TOLERANCE_LU, PEAK_DBFS_MAX, SPEECH_DEPTH_DB,
    loudness_lufs,
};
use super::resample::resample;
use super::wav::{WavFile, to_i16};

/// Rates of the two files of a clip.
pub(super) const WIDE_HZ: u32 = 16_000;
pub(super) const NARROW_HZ: u32 = 8000;

/// Longest recording that is looked at: room for a lot of silence around the speech.
const RECORDING_MS_MAX: u64 = 120_000;
/// Speech must reach this somewhere, else the recording is mostly noise of the converter.
const LOUDEST_DBFS_MIN: f64 = -45.0;
/// Speech over the background of the room.
const OVER_BACKGROUND_DB_MIN: f64 = 15.0;
const SPEECH_MS_MIN: u64 = 100;
/// Kept of what surrounds the speech: soft consonants start before their level tells.
const BEFORE_MS: u32 = 20;
const AFTER_MS: u32 = 60;
/// Silence after the last sound.
const TAIL_MS: u32 = 60;
/// The limiter holds a little more than is asked for: 8 kHz rounds peaks elsewhere than 16 kHz.
const CEILING_DBFS: f64 = PEAK_DBFS_MAX - 0.4;

/// Rounds of gain and limiter; three or four are usual.
const LEVEL_ROUNDS: usize = 10;

/// One clip at both rates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Master {
    pub wide: Vec<i16>,
    pub narrow: Vec<i16>,
}

/// A WAV file of any rate, width and number of channels.
pub(super) fn master_of_wav<R: Read + Seek>(source: R, exact_ms: Option<u64>) -> Result<Master, MasterError> {
    let file = WavFile::new(source)?;
    let rate_hz = file.format().rate_hz;
    let samples = file.read_mono(RECORDING_MS_MAX)?;
    master_of_samples(&samples, rate_hz, exact_ms)
}

/// Samples of one channel. `exact_ms` stretches the silence at the end so that the clip has just that length.
pub(super) fn master_of_samples(
    samples: &[f32],
    rate_hz: u32,
    exact_ms: Option<u64>,
) -> Result<Master, MasterError> {
    let runs = dsp::clipped_runs(samples);
    // A few runs are a loud consonant; more is an overdriven recording.
    if runs > 8 {
        return Err(MasterError::Clipped { runs });
    }
    let wide =
        resample(samples, rate_hz, WIDE_HZ).map_err(|error| MasterError::Resample(error.to_string()))?;
    let band = dsp::telephone_band(&wide, WIDE_HZ);
    let speech = trim(&band)?;
    let levelled = level(&speech)?;
    let framed = frame(levelled, exact_ms)?;
    let narrow =
        resample(&framed, WIDE_HZ, NARROW_HZ).map_err(|error| MasterError::Resample(error.to_string()))?;
    Ok(Master {
        wide: to_i16(&framed),
        narrow: to_i16(&silence_lead_in(narrow)),
    })
}

/// Cuts the silence off both ends.
fn trim(band: &[f32]) -> Result<Vec<f32>, MasterError> {
    let bounds = dsp::speech_bounds(band, WIDE_HZ, SPEECH_DEPTH_DB).ok_or(WavError::NoSamples)?;
    let SpeechBounds {
        start,
        end,
        loudest_dbfs,
        background_dbfs,
        ..
    } = bounds;
    if loudest_dbfs < LOUDEST_DBFS_MIN {
        return Err(MasterError::TooQuiet {
            min_dbfs: LOUDEST_DBFS_MIN,
            found_dbfs: loudest_dbfs,
        });
    }
    let over_background_db = loudest_dbfs - background_dbfs;
    if over_background_db < OVER_BACKGROUND_DB_MIN {
        return Err(MasterError::Noisy {
            min_db: OVER_BACKGROUND_DB_MIN,
            found_db: over_background_db,
        });
    }
    let found_ms = dsp::ms_of_samples(end - start, WIDE_HZ);
    if found_ms < SPEECH_MS_MIN {
        return Err(MasterError::TooShort {
            min_ms: SPEECH_MS_MIN,
            found_ms,
        });
    }
    if found_ms > CLIP_MS_MAX - 1000 {
        return Err(MasterError::TooLong {
            max_ms: CLIP_MS_MAX - 1000,
            found_ms,
        });
    }
    let before = dsp::samples_of_ms(BEFORE_MS, WIDE_HZ);
    let after = dsp::samples_of_ms(AFTER_MS, WIDE_HZ);
    // Where the recording starts with the first word, silence stands in for what was not recorded.
    let missing = before.saturating_sub(start);
    let mut speech = vec![0.0; missing];
    speech.extend_from_slice(&band[start - (before - missing)..(end + after).min(band.len())]);
    dsp::fade_ends(&mut speech, before / 2, after);
    Ok(speech)
}

/// Brings the speech to the loudness asked for without letting a peak through. The limiter takes a little loudness
/// away, so the gain is found in a few rounds.
fn level(speech: &[f32]) -> Result<Vec<f32>, MasterError> {
    let plain = clip_loudness_lufs(speech, false)?;
    // What a second pass of the telephone's filter takes away hardly depends on the gain.
    let filter_lu = clip_loudness_lufs(speech, true)? - plain;
    let mut gain_db = LOUDNESS_LUFS - plain - filter_lu;
    let mut best = (f64::INFINITY, Vec::new());
    for _ in 0..LEVEL_ROUNDS {
        let gain = dsp::amplitude(gain_db) as f32;
        let louder: Vec<f32> = speech.iter().map(|s| s * gain).collect();
        let limited = dsp::limit(&louder, WIDE_HZ, dsp::amplitude(CEILING_DBFS));
        let missing_lu = LOUDNESS_LUFS - clip_loudness_lufs(&limited, false)? - filter_lu;
        gain_db += missing_lu;
        if missing_lu.abs() < best.0 {
            best = (missing_lu.abs(), limited);
        }
        if missing_lu.abs() < 0.05 {
            break;
        }
    }
    let (off_lu, levelled) = best;
    if off_lu > LOUDNESS_TOLERANCE_LU * 0.8 {
        return Err(MasterError::Loudness {
            found_lufs: LOUDNESS_LUFS - off_lu,
        });
    }
    Ok(levelled)
}

/// Loudness as a meter reads it from the finished file, silences included; behind a telephone's filter if asked.
fn clip_loudness_lufs(speech: &[f32], filtered: bool) -> Result<f64, MasterError> {
    let framed = frame(speech.to_vec(), None)?;
    let heard = if filtered {
        dsp::telephone_band(&framed, WIDE_HZ)
    } else {
        framed
    };
    loudness_lufs(&heard, WIDE_HZ).ok_or(MasterError::Wav(WavError::NoSamples))
}

/// Puts the silences around the speech.
fn frame(speech: Vec<f32>, exact_ms: Option<u64>) -> Result<Vec<f32>, MasterError> {
    let lead_in = dsp::samples_of_ms(LEAD_IN_MS as u32 - BEFORE_MS, WIDE_HZ);
    let mut framed = vec![0.0; lead_in];
    framed.extend(speech);
    framed.resize(framed.len() + dsp::samples_of_ms(TAIL_MS, WIDE_HZ), 0.0);
    // Whole 20 ms frames: a clip that follows starts with its own packet.
    let packet = dsp::samples_of_ms(20, WIDE_HZ);
    framed.resize(framed.len().next_multiple_of(packet), 0.0);
    if let Some(exact_ms) = exact_ms {
        let found_ms = dsp::ms_of_samples(framed.len(), WIDE_HZ);
        if found_ms > exact_ms {
            return Err(MasterError::TooLong {
                max_ms: exact_ms,
                found_ms,
            });
        }
        framed.resize(dsp::samples_of_ms(exact_ms as u32, WIDE_HZ), 0.0);
    }
    Ok(framed)
}

/// The resampler rings a little before the first sound; the lead-in stays silent.
fn silence_lead_in(mut narrow: Vec<f32>) -> Vec<f32> {
    let silent = dsp::samples_of_ms(LEAD_IN_MS as u32 - 2 * BEFORE_MS, NARROW_HZ);
    for sample in narrow.iter_mut().take(silent) {
        *sample = 0.0;
    }
    narrow
}

#[cfg(test)]
pub(super) mod tests {
    use std::f32::consts::TAU;
    use std::io::Cursor;

    use super::super::measure::{LOUDNESS_TOLERANCE_LU, measure};
    use super::super::wav::write_master;
    use super::*;

    /// Something like a voice: a buzz with the syllables of slow speech, silence around.
    pub(crate) fn voice(rate_hz: u32, level: f32, ms: u32) -> Vec<f32> {
        let silence = vec![0.0; dsp::samples_of_ms(300, rate_hz)];
        let buzz = (0..dsp::samples_of_ms(ms, rate_hz)).map(|n| {
            let t = n as f32 / rate_hz as f32;
            let syllable = 0.55 - 0.45 * (TAU * 4.0 * t).cos();
            let harmonics: f32 = (2..16)
                .map(|h| (TAU * 150.0 * h as f32 * t).sin() / h as f32)
                .sum();
            level * syllable * harmonics
        });
        silence
            .iter()
            .copied()
            .chain(buzz)
            .chain(silence.iter().copied())
            .collect()
    }

    #[test]
    fn any_rate_and_level_becomes_the_same_master() {
        for (rate_hz, level) in [
            (8000, 0.05),
            (16_000, 0.3),
            (22_050, 0.6),
            (44_100, 0.1),
            (48_000, 0.02),
        ] {
            let master = master_of_samples(&voice(rate_hz, level, 1500), rate_hz, None).unwrap();
            for (samples, rate_hz) in [(&master.wide, WIDE_HZ), (&master.narrow, NARROW_HZ)] {
                let found = measure(samples, rate_hz).unwrap();
                assert!(
                    (found.loudness_lufs - LOUDNESS_LUFS).abs() < LOUDNESS_TOLERANCE_LU / 2.0,
                    "{found:?}"
                );
                assert!(found.peak_dbfs <= PEAK_DBFS_MAX, "{found:?}");
                assert!(found.lead_in_ms.abs_diff(LEAD_IN_MS) <= 30, "{found:?}");
                assert_eq!(found.clipped_runs, 0);
                assert_eq!(samples.len() % dsp::samples_of_ms(20, rate_hz), 0);
            }
        }
    }

    #[test]
    fn the_same_sound_gives_the_same_octets() {
        let sound = voice(22_050, 0.3, 800);
        assert_eq!(
            master_of_samples(&sound, 22_050, None).unwrap(),
            master_of_samples(&sound, 22_050, None).unwrap()
        );
    }

    #[test]
    fn an_exact_length_is_kept_or_refused() {
        let sound = voice(16_000, 0.3, 1500);
        let master = master_of_samples(&sound, 16_000, Some(3000)).unwrap();
        assert_eq!((master.wide.len(), master.narrow.len()), (48_000, 24_000));
        let error = master_of_samples(&sound, 16_000, Some(1000)).unwrap_err();
        assert!(
            matches!(error, MasterError::TooLong { max_ms: 1000, .. }),
            "{error}"
        );
    }

    #[test]
    fn each_bad_recording_has_its_own_words() {
        let loud: Vec<f32> = voice(16_000, 3.0, 1500)
            .iter()
            .map(|s| s.clamp(-1.0, 1.0))
            .collect();
        let noise: Vec<f32> = (0..32_000_u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 16) as f32 / 65_536.0 * 0.4 - 0.2)
            .collect();
        for (sound, expected) in [
            (loud, "the recording is clipped: "),
            (
                voice(16_000, 0.0005, 1500),
                "expected speech louder than -45 dBFS, the loudest 10 ms have -",
            ),
            (vec![0.0; 16_000], "expected speech louder than -45 dBFS"),
            (vec![], "expected speech, found 0 samples"),
            (
                voice(16_000, 0.3, 40),
                "expected at least 100 ms of speech, found ",
            ),
            (
                voice(16_000, 0.3, 31_000),
                "expected at most 29000 ms of speech, found ",
            ),
            (
                noise,
                "expected speech at least 15 dB above the background, found ",
            ),
        ] {
            let error = master_of_samples(&sound, 16_000, None).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        let long = write_master(&vec![0; 8000 * 121], 8000).unwrap();
        let error = master_of_wav(Cursor::new(long), None).unwrap_err().to_string();
        assert_eq!(error, "expected at most 120000 ms, found 121000 ms");
    }
}
