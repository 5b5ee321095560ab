//! `prompts check`: everything that can be measured about a set, clip by clip and phrase by phrase.
use std::collections::BTreeMap;

use serde::Serialize;

use super::complete;
use super::dsp;
use super::error::{PromptError, WavError};
use super::language::Language;
use super::library::{Library, PromptSet};
use super::listen::keys_in_call;
use super::manifest::is_brand;
use super::master::{NARROW_HZ, WIDE_HZ};
use super::measure::{
    CLIP_MS_MAX, GAP_MS_MAX, LEAD_IN_MS, LEAD_IN_TOLERANCE_MS, LOUDNESS_LUFS, LOUDNESS_TOLERANCE_LU,
    Measurement, PEAK_DBFS_MAX, measure,
};
use super::resample::resample;
use super::tones;
use super::wav::{read_master, to_f32, to_i16};
use crate::ivr::phrase;

/// The name of the organisation is over by then: call screening transcribes the first words.
const BRAND_MS_MAX: u64 = 2000;
/// Everything up to the sentence that names the key.
const CORE_MS_MAX: u64 = 9000;
/// The same with the fraud sentence.
const WITH_FRAUD_MS_MAX: u64 = 15_000;
/// What lies outside 300–3400 Hz and the slopes of a filter around them, relative to the whole.
const OUT_OF_BAND_DB_MAX: f64 = -30.0;
const SLOPE_LOW_HZ: f64 = 200.0;
const SLOPE_HIGH_HZ: f64 = 3550.0;
/// The two rates of a clip say the same.
const RATES_DIFFER_MS_MAX: u64 = 2;

/// One thing that is wrong: what was expected and what came.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Problem {
    #[error(transparent)]
    Wav(#[from] WavError),
    #[error("the file is missing")]
    NoFile,
    #[error("no speech in it")]
    Silent,
    #[error("expected {LOUDNESS_LUFS:.0} ± {LOUDNESS_TOLERANCE_LU:.0} LUFS, found {0:.1}")]
    Loudness(f64),
    #[error("expected a peak of at most {PEAK_DBFS_MAX:.0} dBFS, found {0:.1}")]
    Peak(f64),
    #[error("{0} runs of samples held at full scale: clipped")]
    Clipped(usize),
    #[error("expected a lead-in of {LEAD_IN_MS} ms, found {0} ms")]
    LeadIn(u64),
    #[error("expected no silence over {GAP_MS_MAX} ms inside, found {0} ms")]
    Gap(u64),
    #[error("expected at most {OUT_OF_BAND_DB_MAX:.0} dB outside 300-3400 Hz, found {0:.1} dB")]
    OutOfBand(f64),
    #[error("the {detector} detector hears the key {digit} at {at_ms} ms")]
    Key {
        detector: &'static str,
        digit: char,
        at_ms: u64,
    },
    #[error("expected the same length at 8 and 16 kHz, found {narrow_ms} ms and {wide_ms} ms")]
    RatesDiffer { narrow_ms: u64, wide_ms: u64 },
    #[error("expected {expected_ms} ms, found {found_ms} ms")]
    Length { expected_ms: u64, found_ms: u64 },
    #[error("expected at most {max_ms} ms {what}, found {found_ms} ms")]
    TooLong {
        what: &'static str,
        max_ms: u64,
        found_ms: u64,
    },
    #[error(transparent)]
    Incomplete(PromptError),
}

impl Serialize for Problem {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One WAV file.
#[derive(Debug, Clone, Serialize)]
pub struct ClipReport {
    pub language: String,
    pub clip: String,
    pub rate_hz: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loudness_lufs: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_dbfs: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lead_in_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longest_gap_ms: Option<u64>,
    pub problems: Vec<Problem>,
}

/// One language as a whole.
#[derive(Debug, Clone, Serialize)]
pub struct LanguageReport {
    pub language: String,
    pub name: String,
    pub voice: String,
    /// Phrases with a length that does not depend on the call.
    pub phrases_ms: BTreeMap<String, u64>,
    /// Of the set as a whole: what is missing or too long.
    pub problems: Vec<Problem>,
    pub clips: Vec<ClipReport>,
}

impl LanguageReport {
    #[must_use]
    pub fn problem_count(&self) -> usize {
        self.problems.len() + self.clips.iter().map(|clip| clip.problems.len()).sum::<usize>()
    }
}

/// Checks one language of a library. `wide` asks for the 16 kHz masters too.
pub fn check_language(
    library: &Library,
    language: &Language,
    wide: bool,
) -> Result<LanguageReport, PromptError> {
    let manifest = library.manifest(language)?;
    let mut report = LanguageReport {
        language: language.to_string(),
        name: manifest.name.clone(),
        voice: format!("{} ({})", manifest.voice.voice, manifest.voice.engine),
        phrases_ms: BTreeMap::new(),
        problems: Vec::new(),
        clips: Vec::new(),
    };
    for (clip, entry) in &manifest.clips {
        check_clip(library, language, clip, entry.exact_ms, wide, &mut report)?;
    }
    // A file that cannot be read is in its clip's report already.
    match library.load(language) {
        Ok(set) => {
            for clip in set
                .clips
                .keys()
                .filter(|clip| !set.manifest.clips.contains_key(*clip))
            {
                check_clip(library, language, clip, None, false, &mut report)?;
            }
            report
                .problems
                .extend(complete::missing(&set).into_iter().map(Problem::Incomplete));
            check_lengths(&set, &mut report);
        }
        Err(PromptError::Clip { .. }) => {}
        Err(error) => return Err(error),
    }
    Ok(report)
}

fn check_clip(
    library: &Library,
    language: &Language,
    clip: &str,
    exact_ms: Option<u64>,
    wide: bool,
    report: &mut LanguageReport,
) -> Result<(), PromptError> {
    let rates: &[u32] = if wide { &[NARROW_HZ, WIDE_HZ] } else { &[NARROW_HZ] };
    let mut lengths = Vec::with_capacity(2);
    for rate_hz in rates {
        let mut one = ClipReport {
            language: language.to_string(),
            clip: clip.to_owned(),
            rate_hz: *rate_hz,
            duration_ms: None,
            loudness_lufs: None,
            peak_dbfs: None,
            lead_in_ms: None,
            longest_gap_ms: None,
            problems: Vec::new(),
        };
        match library.wav(language, clip, *rate_hz)? {
            None => one.problems.push(Problem::NoFile),
            Some(bytes) => match read_master(&bytes, *rate_hz, CLIP_MS_MAX) {
                Ok(samples) => judge(&samples, clip, exact_ms, &mut one),
                Err(error) => one.problems.push(error.into()),
            },
        }
        lengths.extend(one.duration_ms);
        report.clips.push(one);
    }
    if let [narrow_ms, wide_ms] = lengths[..]
        && narrow_ms.abs_diff(wide_ms) > RATES_DIFFER_MS_MAX
        && let Some(last) = report.clips.last_mut()
    {
        last.problems.push(Problem::RatesDiffer { narrow_ms, wide_ms });
    }
    Ok(())
}

/// Measures one master and notes what is out of bounds.
fn judge(samples: &[i16], clip: &str, exact_ms: Option<u64>, report: &mut ClipReport) {
    let Some(measurement) = measure(samples, report.rate_hz) else {
        report.problems.push(Problem::Silent);
        return;
    };
    let Measurement {
        duration_ms,
        loudness_lufs,
        peak_dbfs,
        lead_in_ms,
        tail_ms,
        longest_gap_ms,
        clipped_runs,
    } = measurement;
    report.duration_ms = Some(duration_ms);
    report.loudness_lufs = Some(round_tenth(loudness_lufs));
    report.peak_dbfs = Some(round_tenth(peak_dbfs));
    report.lead_in_ms = Some(lead_in_ms);
    report.longest_gap_ms = Some(longest_gap_ms);
    let out_of_band_db = out_of_band_db(samples, report.rate_hz);
    let findings = [
        ((loudness_lufs - LOUDNESS_LUFS).abs() > LOUDNESS_TOLERANCE_LU)
            .then_some(Problem::Loudness(loudness_lufs)),
        (peak_dbfs > PEAK_DBFS_MAX).then_some(Problem::Peak(peak_dbfs)),
        (clipped_runs > 0).then_some(Problem::Clipped(clipped_runs)),
        (lead_in_ms.abs_diff(LEAD_IN_MS) > LEAD_IN_TOLERANCE_MS).then_some(Problem::LeadIn(lead_in_ms)),
        (longest_gap_ms > GAP_MS_MAX).then_some(Problem::Gap(longest_gap_ms)),
        (out_of_band_db > OUT_OF_BAND_DB_MAX).then_some(Problem::OutOfBand(out_of_band_db)),
        exact_ms
            .filter(|expected| *expected != duration_ms)
            .map(|expected_ms| Problem::Length {
                expected_ms,
                found_ms: duration_ms,
            }),
        (is_brand(clip) && duration_ms - tail_ms > BRAND_MS_MAX).then_some(Problem::TooLong {
            what: "to the end of the organisation's name",
            max_ms: BRAND_MS_MAX,
            found_ms: duration_ms - tail_ms,
        }),
    ];
    report.problems.extend(findings.into_iter().flatten());
    report.problems.extend(keys_heard(samples, report.rate_hz));
}

/// Keys that either detector would take from this sound.
pub(super) fn keys_heard(samples: &[i16], rate_hz: u32) -> Vec<Problem> {
    let resampled;
    let narrow = if rate_hz == NARROW_HZ {
        samples
    } else {
        match resample(&to_f32(samples), rate_hz, NARROW_HZ) {
            Ok(samples) => {
                resampled = to_i16(&samples);
                &resampled
            }
            Err(error) => return vec![Problem::Wav(WavError::Read(error.to_string()))],
        }
    };
    let ours = keys_in_call(narrow).into_iter().map(|key| Problem::Key {
        detector: "call",
        digit: key.digit.as_char(),
        at_ms: key.start_ms,
    });
    let second = tones::keys_in(narrow).into_iter().map(|key| Problem::Key {
        detector: "second",
        digit: key.digit.as_char(),
        at_ms: key.start_ms,
    });
    ours.chain(second).collect()
}

fn out_of_band_db(samples: &[i16], rate_hz: u32) -> f64 {
    let samples = to_f32(samples);
    let band = dsp::band_pass(&samples, rate_hz, SLOPE_LOW_HZ, SLOPE_HIGH_HZ);
    let energy =
        |values: &mut dyn Iterator<Item = f32>| -> f64 { values.map(|v| f64::from(v).powi(2)).sum() };
    let outside = energy(&mut samples.iter().zip(&band).map(|(s, b)| s - b));
    let all = energy(&mut samples.iter().copied());
    10.0 * (outside / all.max(1e-12)).max(1e-9).log10()
}

fn round_tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// Lengths of phrases, with the longest name of an organisation in them.
fn check_lengths(set: &PromptSet, report: &mut LanguageReport) {
    for name in set.manifest.phrases.keys() {
        if let Some(ms) = phrase_ms(set, name) {
            report.phrases_ms.insert(name.clone(), ms);
        }
    }
    let mut limit = |what, names: &[&str], max_ms| {
        let lengths: Vec<u64> = names
            .iter()
            .filter_map(|name| report.phrases_ms.get(*name).copied())
            .collect();
        let found_ms = lengths.iter().sum();
        if found_ms > max_ms {
            report.problems.push(Problem::TooLong {
                what,
                max_ms,
                found_ms,
            });
        }
    };
    limit("for the phrase confirm", &[phrase::CONFIRM], CORE_MS_MAX);
    limit("for the phrase random", &[phrase::RANDOM], CORE_MS_MAX);
    limit("for the phrase match-code", &[phrase::MATCH_CODE], CORE_MS_MAX);
    limit(
        "for the phrase speak-code-intro",
        &[phrase::SPEAK_CODE_INTRO],
        CORE_MS_MAX,
    );
    limit(
        "for confirm and fraud together",
        &[phrase::CONFIRM, phrase::FRAUD],
        WITH_FRAUD_MS_MAX,
    );
    limit(
        "for match-code and fraud together",
        &[phrase::MATCH_CODE, phrase::FRAUD],
        WITH_FRAUD_MS_MAX,
    );
}

/// How long a phrase lasts; `None` when a variable other than one digit decides it.
#[must_use]
pub fn phrase_ms(set: &PromptSet, name: &str) -> Option<u64> {
    let clip_ms = |clip: &str| {
        set.clips
            .get(clip)
            .map(|samples| dsp::ms_of_samples(samples.len(), NARROW_HZ))
    };
    let longest = |prefix: &str| {
        set.clips
            .keys()
            .filter(|clip| clip.starts_with(prefix))
            .filter_map(|clip| clip_ms(clip))
            .max()
    };
    set.manifest
        .phrases
        .get(name)?
        .iter()
        .map(|item| match item.as_str() {
            "brand" => longest("brand-"),
            item if item.starts_with("digit:") => longest("digit-"),
            item => clip_ms(item),
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::super::master::master_of_samples;
    use super::super::master::tests::voice;
    use super::*;

    fn problems(samples: &[i16]) -> Vec<String> {
        let mut report = ClipReport {
            language: "en-US".to_owned(),
            clip: "brand-acme".to_owned(),
            rate_hz: NARROW_HZ,
            duration_ms: None,
            loudness_lufs: None,
            peak_dbfs: None,
            lead_in_ms: None,
            longest_gap_ms: None,
            problems: Vec::new(),
        };
        judge(samples, "brand-acme", None, &mut report);
        report.problems.iter().map(ToString::to_string).collect()
    }

    fn scaled(samples: &[i16], gain: f32) -> Vec<i16> {
        to_i16(&to_f32(samples).iter().map(|s| s * gain).collect::<Vec<_>>())
    }

    #[test]
    fn each_fault_of_a_master_is_found() {
        let good = master_of_samples(&voice(16_000, 0.3, 1200), 16_000, None)
            .unwrap()
            .narrow;
        assert_eq!(problems(&good), [""; 0]);
        let lead_in = dsp::samples_of_ms(150, NARROW_HZ);
        let with_gap = [&good[..6000], &[0; 9600], &good[6000..]].concat();
        let hum: Vec<i16> = good
            .iter()
            .enumerate()
            .map(|(n, s)| s.saturating_add((2000.0 * (n as f32 * 0.0393).sin()) as i16))
            .collect();
        for (samples, expected) in [
            (scaled(&good, 0.6), "expected -19 ± 1 LUFS, found -23."),
            (scaled(&good, 20.0), "runs of samples held at full scale: clipped"),
            (scaled(&good, 2.0), "expected a peak of at most -3 dBFS"),
            (
                good[lead_in..].to_vec(),
                "expected a lead-in of 150 ms, found 0 ms",
            ),
            (with_gap, "expected no silence over 900 ms inside"),
            (hum, "expected at most -30 dB outside 300-3400 Hz"),
            (good.repeat(2), "to the end of the organisation's name"),
            (vec![0; 8000], "no speech in it"),
        ] {
            let found = problems(&samples);
            assert!(
                found.iter().any(|problem| problem.contains(expected)),
                "{expected}: {found:?}"
            );
        }
    }

    #[test]
    fn the_built_in_sets_have_nothing_wrong() {
        let library = Library::new(None);
        for language in library.languages().unwrap() {
            let report = check_language(&library, &language, false).unwrap();
            let faults: Vec<_> = report
                .clips
                .iter()
                .filter(|clip| !clip.problems.is_empty())
                .collect();
            assert!(
                faults.is_empty() && report.problems.is_empty(),
                "{faults:?} {:?}",
                report.problems
            );
        }
    }
}
