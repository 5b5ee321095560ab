//! Whether one sound lies in another, and whether our prompts do.
use std::path::Path;

/// What is said in a call that is confirmed: each of them must be heard whole.
const CLIPS: [&str; 3] = ["brand-default", "confirm-press-pound", "confirmed"];
const LIKENESS_MIN: f64 = 0.9;
/// Samples that may be missing at the end: 500 ms.
const TAIL: usize = 4000;

/// Samples of the excerpt that a place is searched with: 100 ms.
const EXCERPT: usize = 800;

/// A WAV file of one channel at 8 kHz.
pub(crate) fn read(path: &Path) -> Result<Vec<f64>, String> {
    let named = |error: hound::Error| format!("{}: {error}", path.display());
    let mut reader = hound::WavReader::open(path).map_err(named)?;
    let spec = reader.spec();
    if (spec.sample_rate, spec.channels, spec.bits_per_sample) != (8000, 1, 16) {
        return Err(format!(
            "{}: expected 8 kHz, one channel, 16 bits, found {spec:?}",
            path.display()
        ));
    }
    reader
        .samples::<i16>()
        .map(|sample| sample.map(f64::from).map_err(named))
        .collect()
}

/// Finds each of our clips in what a peer heard; the error tells which one is not there.
pub(crate) fn prompts_in(mut audio: Vec<f64>) -> Result<String, String> {
    // BYE comes with the last packet of the goodbye: what still lay in a jitter buffer then is not recorded.
    audio.extend(std::iter::repeat_n(0.0, TAIL));
    let prompts = Path::new(env!("CARGO_MANIFEST_DIR")).join("prompts/en-US");
    let mut told = Vec::new();
    for clip in CLIPS {
        let clip_audio = read(&prompts.join(format!("{clip}.wav")))?;
        let (at_ms, likeness) = find(&audio, &clip_audio);
        if likeness < LIKENESS_MIN {
            return Err(format!(
                "{clip} was not heard: likeness {likeness:.3} at {at_ms} ms of {} ms",
                audio.len() / 8
            ));
        }
        told.push(format!("{clip} {likeness:.3} at {at_ms} ms"));
    }
    Ok(told.join(", "))
}

/// Where `clip` is most likely to begin in `audio` (milliseconds), and the normalised cross-correlation of the whole clip
/// at that place: 1 is the same sound at any loudness.
fn find(audio: &[f64], clip: &[f64]) -> (usize, f64) {
    if audio.len() < clip.len() || clip.len() < EXCERPT {
        return (0, 0.0);
    }
    let energy = |piece: &[f64]| piece.iter().map(|s| s * s).sum::<f64>();
    // The loudest excerpt finds the place, the whole clip judges it.
    let offset = (0..=clip.len() - EXCERPT)
        .step_by(EXCERPT / 2)
        .max_by(|a, b| energy(&clip[*a..a + EXCERPT]).total_cmp(&energy(&clip[*b..b + EXCERPT])))
        .unwrap_or_default();
    let excerpt = &clip[offset..offset + EXCERPT];
    (0..=audio.len() - clip.len())
        .map(|at| (at, likeness(&audio[at + offset..at + offset + EXCERPT], excerpt)))
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map_or((0, 0.0), |(at, _)| {
            (at / 8, likeness(&audio[at..at + clip.len()], clip))
        })
}

fn likeness(a: &[f64], b: &[f64]) -> f64 {
    let (mut product, mut a_energy, mut b_energy) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        product += a * b;
        a_energy += a * a;
        b_energy += b * b;
    }
    if a_energy == 0.0 || b_energy == 0.0 {
        return 0.0;
    }
    product / (a_energy * b_energy).sqrt()
}
