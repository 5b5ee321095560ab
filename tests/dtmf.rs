//! The in-band detector on a sample of the checking half of its evaluation set: no speech codecs, no talk-off audio. The
//! whole comparison is `benches/dtmf/run`; `docs/dtmf.md` has its table.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where it stands when something is missing"
)]

#[allow(dead_code, unreachable_pub, reason = "some of it is for the bench")]
#[path = "dtmf/mod.rs"]
mod cases;

use std::path::Path;

use cases::call::{self, Call, PROMPTS, Studio};
use cases::line::{Law, PACKET, encode, samples_of_wav};
use cases::score::{Report, Score, score};
use cases::set::{CATEGORIES, Half, REFUSED};
use ringproof::media::inband::{Detector, ToneEvent};
use ringproof::model::Codec;

/// Calls of each kind.
const SAMPLE: usize = 12;
/// Weighted share of keys that must be heard.
const HITS_MIN: f64 = 0.97;

fn hear(call: &Call) -> Vec<Report> {
    let law = match call.law {
        Law::Mu => Codec::Pcmu,
        Law::A => Codec::Pcma,
    };
    let (mut detector, mut events) = (Detector::new(), Vec::new());
    let mut reports = Vec::new();
    let prompt = encode(call.law, &call.prompt);
    for (n, (octets, lost)) in call.octets.chunks_exact(PACKET).zip(&call.lost).enumerate() {
        if let Some(played) = prompt.get(n * PACKET..(n + 1) * PACKET) {
            detector.played(law, played);
        }
        if *lost {
            detector.lost(PACKET as u64, &mut events);
        } else {
            detector.audio(law, octets, &mut events);
        }
        for event in events.drain(..) {
            if let ToneEvent::Began { digit, .. } = event {
                reports.push(Report {
                    digit: digit.as_char(),
                    at_ms: detector.position() as f64 / 8.0,
                });
            }
        }
    }
    reports
}

fn prompts() -> Vec<Vec<i16>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("prompts/en-US");
    PROMPTS
        .iter()
        .map(|name| samples_of_wav(&std::fs::read(directory.join(name)).unwrap()).unwrap())
        .collect()
}

#[test]
fn the_sampled_checking_half_is_heard_and_nothing_else() {
    let prompts = prompts();
    let mut studio = Studio {
        prompts: &prompts,
        through: &mut |_, pcm| pcm.to_vec(),
    };
    let (mut hits, mut weights, mut falses) = (0.0, 0.0, 0);
    for category in CATEGORIES.iter().filter(|c| !c.kind.is_transcoded()) {
        let mut sum = Score::default();
        for seed in Half::Checking.seeds().take(SAMPLE) {
            let call = call::call(category, seed, &mut studio);
            sum.add(score(&call.keys, &hear(&call)));
        }
        println!(
            "{}: {:.1} %, {} false",
            category.name,
            100.0 * sum.share(),
            sum.falses
        );
        hits += category.weight * sum.share();
        weights += category.weight;
        falses += sum.falses;
    }
    assert!(hits / weights >= HITS_MIN, "{:.2} %", 100.0 * hits / weights);
    assert_eq!(falses, 0);
}

#[test]
fn sounds_that_hold_no_key_give_none() {
    for (kind, name) in REFUSED {
        for seed in Half::Checking.seeds().take(SAMPLE) {
            let reports = hear(&call::refused(kind, seed));
            assert!(reports.is_empty(), "{name}, seed {seed}: {reports:?}");
        }
    }
}

#[test]
fn the_scoring_counts_a_repeat_and_a_wrong_digit_against_the_key() {
    let key = |digit, start_ms| call::Pressed {
        digit,
        start_ms,
        end_ms: start_ms + 60.0,
    };
    let said = |digit, at_ms| Report { digit, at_ms };
    let keys = [key('1', 100.0), key('#', 300.0), key('#', 420.0)];
    let all = [said('1', 140.0), said('#', 340.0), said('#', 460.0)];
    let judged = |reports: &[Report]| {
        let score = score(&keys, reports);
        (score.hits, score.falses, score.pounds)
    };
    assert_eq!(judged(&all), (3, 0, 0));
    assert_eq!(judged(&all[1..]), (2, 0, 0));
    assert_eq!(judged(&[said('1', 140.0), said('1', 180.0)]), (0, 1, 0));
    assert_eq!(judged(&[said('#', 140.0), all[1], all[2]]), (2, 1, 1));
    assert_eq!(judged(&[all[0], said('#', 900.0)]), (1, 1, 1));
}
