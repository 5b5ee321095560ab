//! The product in a world of its own: real rules, real call machine, real store; everything around them acted out in
//! virtual time, from a seed.
//!
//! ```text
//! seed ─▶ scenario ─▶ plan ─▶ world ── transition by transition ──▶ facts ─▶ the seven invariants
//!                              │
//!        platform · process (selection, call tasks, outbox) · store · links · trunks · phones · callees
//! ```
//!
//! A failure prints the seed, the commit and a trace stamped with simulated time. `docs/simulation.md` says how to see
//! one again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test stops where it finds the unexpected"
)]
#![allow(clippy::print_stderr, reason = "the numbers of a batch are worth reading")]

#[path = "simulation/callee.rs"]
mod callee;
#[path = "simulation/calls.rs"]
mod calls;
#[path = "simulation/clock.rs"]
mod clock;
#[path = "simulation/dice.rs"]
mod dice;
#[path = "simulation/expectation.rs"]
mod expectation;
#[path = "simulation/facts.rs"]
mod facts;
#[path = "simulation/invariants.rs"]
mod invariants;
#[path = "simulation/ledger.rs"]
mod ledger;
#[path = "simulation/lines.rs"]
mod lines;
#[path = "simulation/link.rs"]
mod link;
#[path = "simulation/logs.rs"]
mod logs;
#[path = "simulation/media.rs"]
mod media;
#[path = "simulation/ops.rs"]
mod ops;
#[path = "simulation/peer/mod.rs"]
mod peer;
#[path = "simulation/plan.rs"]
mod plan;
#[path = "simulation/platform.rs"]
mod platform;
#[path = "simulation/process.rs"]
mod process;
#[path = "simulation/runner.rs"]
mod runner;
#[path = "simulation/scenario.rs"]
mod scenario;
#[path = "simulation/script.rs"]
mod script;
#[path = "simulation/task.rs"]
mod task;
#[path = "simulation/trace.rs"]
mod trace;
#[path = "simulation/transition.rs"]
mod transition;
#[path = "simulation/vault.rs"]
mod vault;
#[path = "simulation/voice.rs"]
mod voice;
#[path = "simulation/wire.rs"]
mod wire;
#[path = "simulation/world.rs"]
mod world;

use plan::Plant;
use runner::{Tally, expect_none, run, run_many, tell};
use scenario::Profile;
use trace::Trace;
use vault::Vault;

/// Runs of the seeded worlds: in every check, and in the long run.
const RUNS: u64 = 20_000;
const RUNS_LONG: u64 = 1_000_000;
/// Runs of each world with a figure of its own.
const FIGURE_RUNS: u64 = 2_000;
/// Seeds that a planted fault gets to show itself.
const PLANT_RUNS: u64 = 3_000;

fn is_long() -> bool {
    std::env::var_os("RINGPROOF_LONG").is_some_and(|value| value == "1")
}

/// `RINGPROOF_SEED=n`: only this one, with its trace; its thousand millions say in which profile it was drawn.
fn wanted_seed() -> Option<u64> {
    std::env::var("RINGPROOF_SEED").ok()?.parse().ok()
}

/// `RINGPROOF_SEEDS=200000..400000`: these instead, so that the long run may be made in parts. First and count.
fn wanted_seeds() -> Option<(u64, u64)> {
    let text = std::env::var("RINGPROOF_SEEDS").ok()?;
    let (first, end) = text.split_once("..")?;
    let (first, end): (u64, u64) = (first.parse().ok()?, end.parse().ok()?);
    Some((first, end.checked_sub(first)?))
}

fn report(name: &str, tally: &Tally) {
    eprintln!("{name}: {}", tally.summary());
}

#[test]
fn every_seeded_world_keeps_the_seven_invariants() {
    if let Some(seed) = wanted_seed() {
        let (clean, story) = tell(Profile::of_seed(seed), seed);
        eprintln!("{story}");
        assert!(clean, "seed {seed} breaks an invariant");
        return;
    }
    let (first, runs) = wanted_seeds().unwrap_or((
        Profile::Any.first_seed(),
        if is_long() { RUNS_LONG } else { RUNS },
    ));
    let tally = run_many(Profile::Any, first, runs);
    report("any world", &tally);
    expect_none(Profile::Any, &tally);
    assert_eq!(tally.runs, runs);
}

#[test]
fn where_nothing_goes_wrong_every_call_ends_as_the_documents_say() {
    let tally = run_many(Profile::Calm, Profile::Calm.first_seed(), FIGURE_RUNS);
    report("calm world", &tally);
    expect_none(Profile::Calm, &tally);
    assert_eq!(tally.surprises, Vec::<String>::new());
    assert!(tally.expected > FIGURE_RUNS / 2);
    assert_eq!(tally.set_aside, 0);
}

#[test]
fn at_ten_percent_loss_999_of_1000_outcomes_are_right() {
    let tally = run_many(Profile::Lossy, Profile::Lossy.first_seed(), FIGURE_RUNS * 2);
    report("lossy world", &tally);
    expect_none(Profile::Lossy, &tally);
    let wrong = tally.expected - tally.as_expected;
    assert!(
        tally.set_aside * 10 < tally.expected,
        "{} set aside",
        tally.set_aside
    );
    assert!(
        wrong * 1000 <= tally.expected,
        "{wrong} of {}: {:?}",
        tally.expected,
        tally.surprises
    );
}

#[test]
fn an_answer_that_crosses_our_cancel_leaves_no_telephone_off_the_hook() {
    let tally = run_many(
        Profile::CancelCrossesAnswer,
        Profile::CancelCrossesAnswer.first_seed(),
        FIGURE_RUNS,
    );
    report("CANCEL crosses 200", &tally);
    expect_none(Profile::CancelCrossesAnswer, &tally);
}

#[test]
fn a_process_that_is_killed_anywhere_loses_and_repeats_nothing() {
    let tally = run_many(Profile::Killed, Profile::Killed.first_seed(), FIGURE_RUNS);
    report("killed", &tally);
    expect_none(Profile::Killed, &tally);
    assert!(tally.crashes >= FIGURE_RUNS / 2, "{} crashes", tally.crashes);
}

#[test]
fn a_voicemail_that_plays_all_tones_is_never_approved() {
    let tally = run_many(Profile::Voicemail, Profile::Voicemail.first_seed(), 400);
    report("voicemail", &tally);
    expect_none(Profile::Voicemail, &tally);
    for word in ["key_confirmed", "code_matched", "code_played", "fraud_reported"] {
        assert_eq!(tally.reasons.get(word), None, "{word}");
    }
    assert!(
        tally
            .reasons
            .get("suspect_machine")
            .is_some_and(|count| *count >= 400)
    );
}

#[test]
fn one_seed_is_one_story() {
    for seed in 0..40 {
        let story = |vault: &mut Vault| run(seed, Profile::Any, None, Trace::On(Vec::new()), vault).trace;
        let first = story(&mut Vault::new());
        let mut used = Vault::new();
        run(seed + 1, Profile::Any, None, Trace::Off, &mut used);
        let second = story(&mut used);
        let differs = first.iter().zip(&second).find(|(a, b)| a != b);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(first.len(), second.len(), "seed {seed}");
        assert!(first.len() > 2, "seed {seed}");
    }
}

#[test]
fn every_planted_fault_is_found_by_its_invariant() {
    logs::read_all();
    let mut unseen = Vec::new();
    for (plant, invariant) in Plant::ALL {
        let mut vault = Vault::new();
        let found = (0..PLANT_RUNS).find(|seed| {
            let run = run(*seed, Profile::Any, Some(*plant), Trace::Off, &mut vault);
            run.violations
                .iter()
                .any(|violation| violation.invariant == *invariant)
        });
        match found {
            Some(seed) => eprintln!("{plant:?}: invariant {invariant}, seed {seed}"),
            None => unseen.push(plant),
        }
    }
    assert!(unseen.is_empty(), "{unseen:?}");
}
