//! Runs many seeds on all cores, and tells of a failure so that it can be seen again.
use std::collections::BTreeMap;
use std::fmt::Write;
use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use ringproof::model::Reason;

use crate::expectation::{self, Judged};
use crate::facts::Violation;
use crate::logs;
use crate::plan::Plant;
use crate::scenario::{self, Profile};
use crate::trace::Trace;
use crate::vault::Vault;
use crate::world::World;

/// Failures that are shown; after them a batch is given up.
const FAILURES_MAX: usize = 3;
/// Seeds that a worker takes at once.
const BLOCK: u64 = 50;

#[derive(Debug, Default)]
pub(crate) struct Run {
    pub(crate) violations: Vec<Violation>,
    pub(crate) trace: Vec<String>,
    pub(crate) steps: u64,
    pub(crate) crashes: u64,
    pub(crate) calls: u64,
    pub(crate) outcomes: Vec<Judged>,
    pub(crate) double_rings: u64,
}

/// What a batch was made of.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) runs: u64,
    pub(crate) steps: u64,
    pub(crate) crashes: u64,
    pub(crate) calls: u64,
    pub(crate) double_rings: u64,
    pub(crate) reasons: BTreeMap<String, u64>,
    /// Requests whose end was known before, and those that ended so.
    pub(crate) expected: u64,
    pub(crate) as_expected: u64,
    /// Known requests that are not counted above: see [`Judged::set_aside`].
    pub(crate) set_aside: u64,
    /// A few of those that did not, for the report.
    pub(crate) surprises: Vec<String>,
    /// Seeds that broke an invariant, with the first that they broke.
    pub(crate) failures: BTreeMap<u64, String>,
}

impl Tally {
    fn add(&mut self, seed: u64, run: &Run) {
        self.runs += 1;
        self.steps += run.steps;
        self.crashes += run.crashes;
        self.calls += run.calls;
        self.double_rings += run.double_rings;
        for Judged {
            outcome,
            expected,
            set_aside,
        } in &run.outcomes
        {
            let word = outcome.map_or("refused", Reason::as_str);
            *self.reasons.entry(word.to_owned()).or_default() += 1;
            let (Some(outcome), Some(expected)) = (outcome, expected) else {
                continue;
            };
            if *set_aside {
                self.set_aside += 1;
                continue;
            }
            self.expected += 1;
            self.as_expected += u64::from(outcome == expected);
            if outcome != expected && self.surprises.len() < 8 {
                self.surprises
                    .push(format!("seed {seed}: expected {expected}, came {outcome}"));
            }
        }
        if let Some(Violation { invariant, at, what }) = run.violations.first() {
            self.failures
                .insert(seed, format!("invariant {invariant} at {at}: {what}"));
        }
    }

    fn merge(&mut self, other: Self) {
        self.runs += other.runs;
        self.steps += other.steps;
        self.crashes += other.crashes;
        self.calls += other.calls;
        self.double_rings += other.double_rings;
        self.expected += other.expected;
        self.as_expected += other.as_expected;
        self.set_aside += other.set_aside;
        self.surprises.extend(other.surprises);
        self.failures.extend(other.failures);
        for (word, count) in other.reasons {
            *self.reasons.entry(word).or_default() += count;
        }
    }

    pub(crate) fn summary(&self) -> String {
        let mut text = format!(
            "{} runs, {} calls, {} transitions, {} crashes, {} possible double rings",
            self.runs, self.calls, self.steps, self.crashes, self.double_rings
        );
        if self.expected > 0 {
            let _ = write!(
                text,
                ", {} of {} known outcomes came, {} set aside",
                self.as_expected, self.expected, self.set_aside
            );
        }
        for (word, count) in &self.reasons {
            let _ = write!(text, "\n    {count:>9}  {word}");
        }
        text
    }
}

/// One seed. A panic counts as a violation: nothing that a peer or a crash does may cause one.
pub(crate) fn run(seed: u64, profile: Profile, plant: Option<Plant>, trace: Trace, vault: &mut Vault) -> Run {
    let plan = scenario::draw(seed, profile);
    // A number of a few digits is found in every identifier.
    let numbers = plan.requests.iter().map(|request| request.number.clone());
    logs::watch(numbers.filter(|number| number.len() > 8).collect());
    let mut world = World::new(seed, plan, plant, trace, vault);
    let panicked = std::panic::catch_unwind(AssertUnwindSafe(|| {
        world.run();
        world.check();
    }))
    .err();
    if let Some(panic) = panicked {
        let words = panic.downcast_ref::<String>().cloned();
        let words = words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned()));
        world.violate(0, format!("panic: {}", words.unwrap_or_default()));
    }
    let outcomes = (0..world.plan.requests.len()).map(|request| expectation::judge(&world, request));
    let run = Run {
        outcomes: outcomes.collect(),
        steps: world.steps,
        crashes: world.facts.crashes.into(),
        calls: world
            .facts
            .attempts
            .values()
            .filter(|facts| facts.invited_at.is_some())
            .count() as u64,
        double_rings: world
            .facts
            .attempts
            .values()
            .filter(|facts| facts.double_ring)
            .count() as u64,
        violations: std::mem::take(&mut world.facts.violations),
        trace: std::mem::replace(&mut world.trace, Trace::Off).into_lines(),
    };
    if !run.violations.is_empty() || plant.is_some() {
        vault.discard();
    }
    run
}

/// Seeds `first..first + count`, on every core.
pub(crate) fn run_many(profile: Profile, first: u64, count: u64) -> Tally {
    logs::read_all();
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    let next = AtomicU64::new(first);
    let tally = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for worker in 0..workers {
            let (next, tally) = (&next, &tally);
            scope.spawn(move || {
                stay_on(worker);
                let mut vault = Vault::new();
                loop {
                    let from = next.fetch_add(BLOCK, Ordering::Relaxed);
                    let enough = tally.lock().unwrap().failures.len() >= FAILURES_MAX;
                    if from >= first + count || enough {
                        return;
                    }
                    let mut own = Tally::default();
                    for seed in from..(from + BLOCK).min(first + count) {
                        own.add(seed, &run(seed, profile, None, Trace::Off, &mut vault));
                    }
                    tally.lock().unwrap().merge(own);
                }
            });
        }
    });
    tally.into_inner().unwrap()
}

/// Keeps this thread, and the threads that the store will start from it, on one core: they take turns all the time, and
/// waking another core costs more than the work itself.
fn stay_on(worker: usize) {
    let Ok(allowed) = rustix::thread::sched_getaffinity(None) else {
        return;
    };
    let cores: Vec<usize> = (0..rustix::thread::CpuSet::MAX_CPU)
        .filter(|core| allowed.is_set(*core))
        .collect();
    if cores.is_empty() {
        return;
    }
    let mut one = rustix::thread::CpuSet::new();
    one.set(cores[worker % cores.len()]);
    // Only the speed depends on it.
    let _ = rustix::thread::sched_setaffinity(None, &one);
}

/// All that somebody needs to see a failure again.
pub(crate) fn tell(profile: Profile, seed: u64) -> (bool, String) {
    let mut vault = Vault::new();
    let run = run(seed, profile, None, Trace::On(Vec::new()), &mut vault);
    let mut text = format!("seed {seed}, profile {profile:?}, commit {}\n", commit());
    for Violation { invariant, at, what } in &run.violations {
        let _ = writeln!(text, "  invariant {invariant} at {at}: {what}");
    }
    for line in &run.trace {
        let _ = writeln!(text, "{line}");
    }
    (run.violations.is_empty(), text)
}

/// Fails the test with the story of the first failures.
pub(crate) fn expect_none(profile: Profile, tally: &Tally) {
    let stories = tally
        .failures
        .iter()
        .take(FAILURES_MAX)
        .map(|(seed, first)| match tell(profile, *seed) {
            (true, story) => {
                format!("{first}, but not when it runs alone, so it is not deterministic: {story}")
            }
            (false, story) => story,
        });
    let stories: Vec<String> = stories.collect();
    assert!(
        stories.is_empty(),
        "{} runs failed\n{}",
        tally.failures.len(),
        stories.join("\n")
    );
}

fn commit() -> String {
    let asked = std::process::Command::new("git")
        .args(["rev-parse", "HEAD"])
        .output();
    let text = asked.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.ok()
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| "unknown".to_owned())
}
