//! Runs the set and writes the table.
use crate::cases::call::{self, Studio};
use crate::cases::score::{Score, score};
use crate::cases::set::{CALLS, CATEGORIES, Half, REFUSED, REFUSED_CALLS};
use crate::detectors::{Audio, Detector};
use crate::peer::Peer;
use crate::talkoff::Heard;

/// Scores of each category, and of each refused kind, for each detector.
pub struct Calls {
    required: Vec<Vec<Score>>,
    refused: Vec<Vec<Score>>,
}

pub fn calls(
    half: Half,
    prompts: &[Vec<i16>],
    codecs: &mut Peer,
    detectors: &mut [Box<dyn Detector>],
    verbose: bool,
) -> Calls {
    let mut calls = Calls {
        required: vec![vec![Score::default(); detectors.len()]; CATEGORIES.len()],
        refused: vec![vec![Score::default(); detectors.len()]; REFUSED.len()],
    };
    let mut through = |kind, pcm: &[i16]| codecs.through(kind, pcm);
    let mut studio = Studio {
        prompts,
        through: &mut through,
    };
    for (category, scores) in CATEGORIES.iter().zip(&mut calls.required) {
        for seed in half.of(CALLS) {
            let call = call::call(category, seed, &mut studio);
            for (detector, sum) in detectors.iter_mut().zip(&mut *scores) {
                detector.reset();
                let (reports, _) = detector.hear(&Audio::from(&call));
                let one = score(&call.keys, &reports);
                if verbose && detector.name() == "ringproof" && one.hits < one.keys {
                    eprintln!("{} {seed}: {:?}\n  heard {reports:?}", category.name, call.keys);
                }
                sum.add(one);
            }
        }
    }
    for ((kind, name), scores) in REFUSED.iter().zip(&mut calls.refused) {
        for seed in half.of(REFUSED_CALLS) {
            let call = call::refused(*kind, seed);
            for (detector, sum) in detectors.iter_mut().zip(&mut *scores) {
                detector.reset();
                let (reports, _) = detector.hear(&Audio::from(&call));
                if verbose && detector.name() == "ringproof" && !reports.is_empty() {
                    eprintln!("{name} {seed}: heard {reports:?}");
                }
                sum.add(score(&[], &reports));
            }
        }
    }
    calls
}

fn row(cells: impl IntoIterator<Item = String>) {
    println!("| {} |", cells.into_iter().collect::<Vec<_>>().join(" | "));
}

pub fn print(detectors: &[Box<dyn Detector>], calls: &Calls, heard: Option<&Heard>) {
    let names = || detectors.iter().map(|d| d.name().to_owned());
    row(["category", "weight", "keys"]
        .map(str::to_owned)
        .into_iter()
        .chain(names()));
    row((0..3 + detectors.len()).map(|_| "---".to_owned()));
    for (category, scores) in CATEGORIES.iter().zip(&calls.required) {
        let cells = [
            category.name.to_owned(),
            category.weight.to_string(),
            scores[0].keys.to_string(),
        ];
        row(cells.into_iter().chain(scores.iter().map(|s| match s.falses {
            0 => format!("{:.1} %", 100.0 * s.share()),
            falses => format!("{:.1} % ({falses} false)", 100.0 * s.share()),
        })));
    }
    let weights: f64 = CATEGORIES.iter().map(|c| c.weight).sum();
    let keys: usize = calls.required.iter().map(|s| s[0].keys).sum();
    let total = |n: usize| {
        let scores = CATEGORIES.iter().zip(&calls.required);
        100.0 * scores.map(|(c, s)| c.weight * s[n].share()).sum::<f64>() / weights
    };
    let cells = [
        "**hits, weighted**".to_owned(),
        weights.to_string(),
        keys.to_string(),
    ];
    row(cells
        .into_iter()
        .chain((0..detectors.len()).map(|n| format!("**{:.2} %**", total(n)))));
    let falses = |of: &[Vec<Score>], n: usize| {
        let (falses, pounds) = of
            .iter()
            .fold((0, 0), |(f, p), s| (f + s[n].falses, p + s[n].pounds));
        format!("{falses} ({pounds})")
    };
    let cells = [
        "false in these calls (`#`)".to_owned(),
        String::new(),
        String::new(),
    ];
    row(cells
        .into_iter()
        .chain((0..detectors.len()).map(|n| falses(&calls.required, n))));
    for ((_, name), scores) in REFUSED.iter().zip(&calls.refused) {
        let cells = [format!("heard, must not: {name}"), String::new(), String::new()];
        row(cells
            .into_iter()
            .chain(scores.iter().map(|s| s.falses.to_string())));
    }
    if let Some(heard) = heard {
        print_talk_off(detectors, heard);
    }
}

fn print_talk_off(detectors: &[Box<dyn Detector>], heard: &Heard) {
    let hours = heard.total_seconds / 3600.0;
    for (class, seconds) in &heard.seconds {
        let cells = [
            format!("talk-off: {class}"),
            String::new(),
            format!("{:.2} h", seconds / 3600.0),
        ];
        row(cells.into_iter().chain(
            heard
                .detectors
                .iter()
                .map(|f| f.by_class.get(class).copied().unwrap_or(0).to_string()),
        ));
    }
    let cells = |name: &str| [name.to_owned(), String::new(), format!("{hours:.2} h")];
    row(cells("**false digits in talk-off audio (`#`)**")
        .into_iter()
        .chain(
            heard
                .detectors
                .iter()
                .map(|f| format!("**{} ({})**", f.digits, f.pounds)),
        ));
    row(cells("CPU seconds per hour of audio").into_iter().chain(
        heard
            .detectors
            .iter()
            .map(|f| format!("{:.2}", f.cpu_seconds / hours)),
    ));
    let _ = detectors;
}
