//! Hours of audio without a key: every report is false.
use std::collections::BTreeMap;
use std::path::Path;

use crate::cases::line::{Law, encode};
use crate::cases::set::Half;
use crate::detectors::{Audio, Detector};

/// Samples handed over at a time: 10 minutes.
pub const STRETCH: usize = 8000 * 600;

/// The same audio played faster or slower and louder: more draws for tuning, never counted as hours.
#[derive(Clone, Copy)]
pub struct Variant {
    pub speed: f64,
    pub gain: f64,
}

pub const AS_RECORDED: [Variant; 1] = [Variant {
    speed: 1.0,
    gain: 1.0,
}];

/// Eight speeds and gains for each round, 0-2.
pub fn augmented(round: usize) -> Vec<Variant> {
    let gains = [1.0, 2.0, 0.5, 1.0];
    let speeds = [0.92, 0.95, 0.98, 1.015, 1.03, 1.055, 1.08, 1.11];
    speeds
        .iter()
        .enumerate()
        .map(|(n, speed)| Variant {
            speed: speed + 0.01 * round as f64,
            gain: gains[(n + round) % gains.len()],
        })
        .collect()
}

impl Variant {
    /// Resampled by cubic interpolation.
    fn of(self, pcm: &[i16]) -> Vec<i16> {
        if self.speed == 1.0 && self.gain == 1.0 {
            return pcm.to_vec();
        }
        let length = (pcm.len().saturating_sub(4) as f64 / self.speed) as usize;
        let varied = (0..length).map(|n| {
            let place = n as f64 * self.speed;
            let (first, t) = (place as usize, place.fract());
            let [a, b, c, d] = std::array::from_fn(|k| f64::from(pcm[first + k]));
            let slope = (c - a) / 2.0;
            let bend = a - 2.5 * b + 2.0 * c - d / 2.0;
            let twist = (d - a) / 2.0 + 1.5 * (b - c);
            (self.gain * (b + t * (slope + t * (bend + t * twist)))) as i16
        });
        varied.collect()
    }
}

pub struct Heard {
    /// Seconds by `KIND-LANGUAGE`.
    pub seconds: BTreeMap<String, f64>,
    pub total_seconds: f64,
    pub detectors: Vec<Falses>,
}

#[derive(Default, Clone)]
pub struct Falses {
    pub by_class: BTreeMap<String, usize>,
    pub digits: usize,
    pub pounds: usize,
    pub cpu_seconds: f64,
}

/// `prompt` is played throughout if it is as long as a stretch.
pub fn listen(
    cache: &Path,
    half: Half,
    detectors: &mut [Box<dyn Detector>],
    variants: &[Variant],
    prompt: &[i16],
    verbose: bool,
) -> Result<Heard, String> {
    let directory = cache.join("audio").join(match half {
        Half::Tuning => "tuning",
        Half::Checking => "checking",
        Half::Fresh => return Err("--half fresh draws calls only: leave CACHE out".into()),
    });
    let unreadable = |error| format!("{}: {error}", directory.display());
    let mut files: Vec<_> = std::fs::read_dir(&directory)
        .map_err(unreadable)?
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "s16"))
        .collect();
    files.sort();
    let mut heard = Heard {
        seconds: BTreeMap::new(),
        total_seconds: 0.0,
        detectors: vec![Falses::default(); detectors.len()],
    };
    let varied = files
        .iter()
        .enumerate()
        .flat_map(|(n, path)| variants.iter().map(move |variant| (n, path, variant)));
    for (n, path, variant) in varied {
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let class: String = name.splitn(3, '-').take(2).collect::<Vec<_>>().join("-");
        let octets = std::fs::read(path).map_err(unreadable)?;
        let pcm: Vec<i16> = octets
            .as_chunks::<2>()
            .0
            .iter()
            .map(|s| i16::from_le_bytes(*s))
            .collect();
        let pcm = variant.of(&pcm);
        let law = if n % 2 == 0 { Law::Mu } else { Law::A };
        let coded = encode(law, &pcm);
        let seconds = pcm.len() as f64 / 8000.0;
        *heard.seconds.entry(class.clone()).or_default() += seconds;
        heard.total_seconds += seconds;
        for (detector, falses) in detectors.iter_mut().zip(&mut heard.detectors) {
            detector.reset();
            for octets in coded.chunks(STRETCH) {
                let audio = Audio {
                    law,
                    octets,
                    lost: &[],
                    prompt: prompt.get(..octets.len()).unwrap_or_default(),
                };
                let (reports, cpu_seconds) = detector.hear(&audio);
                falses.cpu_seconds += cpu_seconds;
                falses.digits += reports.len();
                *falses.by_class.entry(class.clone()).or_default() += reports.len();
                falses.pounds += reports.iter().filter(|r| r.digit == '#').count();
                if verbose && detector.name() != "crate dtmf" {
                    for report in reports {
                        let seconds = report.at_ms / 1000.0;
                        eprintln!(
                            "{}: {name} {} at {seconds:.3} s, speed {}, gain {}",
                            detector.name(),
                            report.digit,
                            variant.speed,
                            variant.gain
                        );
                    }
                }
            }
        }
    }
    Ok(heard)
}
