//! Who answers, besides keys: people, machines and networks through the path of a live call, with our prompt playing and
//! its echo coming back.
//!
//! Without samples the speech is that of our own prompts: a small run, which CI makes. The whole evaluation, on spoken
//! samples in two halves, is `benches/screening/run`; `docs/screening.md` has its table.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where it stands when something is missing"
)]

#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with the set of the key detector"
)]
#[path = "dtmf/dice.rs"]
mod dice;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with the set of the key detector"
)]
#[path = "dtmf/line.rs"]
mod line;
#[allow(unreachable_pub, reason = "a part of this test alone")]
#[path = "screening/live.rs"]
mod live;
#[allow(unreachable_pub, reason = "a part of this test alone")]
#[path = "screening/material.rs"]
mod material;
#[allow(unreachable_pub, reason = "a part of this test alone")]
#[path = "screening/report.rs"]
mod report;
#[allow(unreachable_pub, reason = "a part of this test alone")]
#[path = "screening/scene.rs"]
mod scene;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with the set of the key detector"
)]
#[path = "dtmf/signal.rs"]
mod signal;

use std::path::Path;

use material::{Half, Material};
use report::Tally;
use scene::Kind;

/// Calls of each kind in CI.
const SAMPLE: u64 = 4;

#[test]
fn people_are_heard_out_and_machines_are_left() {
    let material = Material::ours();
    let tally = report::evaluate(&material, 0, |_| SAMPLE);
    println!("{tally}");
    assert_eq!(tally.people_ended(), 0, "{tally}");
    assert_eq!(tally.people_named(), 0, "{tally}");
    assert!(tally.share(Kind::VoicemailWithBeep, "beep") >= 0.75, "{tally}");
    assert!(tally.share(Kind::Sit, "sit_tones") >= 0.75, "{tally}");
    assert!(tally.share(Kind::Fax, "fax_tones") >= 0.75, "{tally}");
}

/// Needs the folder that `benches/screening/samples.sh` filled, in `RINGPROOF_SCREENING`.
#[test]
#[ignore = "the whole evaluation: benches/screening/run"]
fn evaluation() {
    let folder =
        std::env::var("RINGPROOF_SCREENING").expect("RINGPROOF_SCREENING: the folder with the samples");
    let times: u64 =
        std::env::var("RINGPROOF_SCREENING_TIMES").map_or(1, |times| times.parse().expect("a number"));
    let half = match std::env::var("RINGPROOF_SCREENING_HALF").as_deref() {
        Ok("tuning") => Half::Tuning,
        _ => Half::Checking,
    };
    let material = Material::spoken(Path::new(&folder), half);
    let first_seed = match half {
        Half::Tuning => 1_000_000,
        Half::Checking => 2_000_000,
    };
    let tally: Tally = report::evaluate(&material, first_seed, |kind| times * report::weight(kind));
    println!("{half:?}\n{tally}");
}
