//! The decision alone, and in a closed loop with a server in virtual time.
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::*;
use crate::model::{Entropy, UnixMillis};

#[expect(clippy::disallowed_methods, reason = "an origin for test instants")]
fn origin() -> Instant {
    Instant::now()
}

fn ids() -> impl FnMut() -> VerificationId {
    let mut entropy = Entropy::from_number(1);
    let mut at = 0;
    move || {
        at += 1;
        VerificationId::generate(UnixMillis(at), &mut entropy)
    }
}

const QUIET_LOOK: Look = Look {
    runtime_late: Duration::ZERO,
    media_late: false,
    writes_waiting: 0,
    busy: Some(0.3),
};

fn look_for(overload: &mut Overload, from: Instant, ms: u64, look: Look) -> Instant {
    let mut now = from;
    for _ in 0..ms / 50 {
        now += Duration::from_millis(50);
        overload.look(now, look);
    }
    now
}

/// What the first one is told that is not let in; those before it are dialled at once.
fn refused_at_last(overload: &mut Overload, now: Instant) -> Shed {
    let mut id = ids();
    for _ in 0..100 {
        let id = id();
        match overload.admit(now, None, id) {
            Ok(()) => overload.released(id),
            Err(shed) => return shed,
        }
    }
    panic!("a hundred were let in at once");
}

#[test]
fn places_that_were_promised_are_not_given_twice() {
    let (now, mut id) = (origin(), ids());
    let mut overload = Overload::new(now);
    let room = |calls| {
        Some(Room {
            calls,
            scarcest: Shed::NoPort,
        })
    };
    let (first, second) = (id(), id());
    assert_eq!(overload.admit(now, room(2), first), Ok(()));
    assert_eq!(overload.admit(now, room(2), second), Ok(()));
    assert_eq!(overload.judge(now, room(2)), Err(Shed::NoPort));
    // The first has taken its port: it is counted there.
    overload.picked(now, first);
    overload.released(first);
    assert_eq!(overload.judge(now, room(1)), Err(Shed::NoPort));
    overload.released(second);
    assert_eq!(overload.judge(now, room(1)), Ok(()));
    assert_eq!(overload.judge(now, room(0)), Err(Shed::NoPort));
}

#[test]
fn what_was_canceled_in_the_queue_is_forgotten() {
    let (now, mut id) = (origin(), ids());
    let mut overload = Overload::new(now);
    overload.admit(now, None, id()).unwrap();
    look_for(&mut overload, now, 10_100, QUIET_LOOK);
    assert_eq!(overload.standing().promised, 0);
    assert_eq!(overload.standing().pressure, 0.0);
}

#[test]
fn one_stall_shuts_nothing_and_a_standing_wait_does_until_it_has_gone() {
    let (mut now, mut id) = (origin(), ids());
    let mut overload = Overload::new(now);
    let late = Look {
        runtime_late: Duration::from_millis(400),
        ..QUIET_LOOK
    };
    now = look_for(&mut overload, now, 100, late);
    now = look_for(&mut overload, now, 300, QUIET_LOOK);
    assert_eq!(overload.standing().rate, None);

    let waits = id();
    overload.admit(now, None, waits).unwrap();
    now = look_for(&mut overload, now, 900, QUIET_LOOK);
    assert!(overload.standing().shut);
    assert_eq!(refused_at_last(&mut overload, now), Shed::Waiting);
    overload.picked(now, waits);
    overload.released(waits);
    now = look_for(&mut overload, now, 100, QUIET_LOOK);
    assert!(!overload.standing().shut);
    // Nobody was refused for a while: no limit is left.
    look_for(&mut overload, now, 6_000, QUIET_LOOK);
    assert_eq!(overload.standing().rate, None);
}

#[test]
fn where_lateness_is_not_heeded_all_are_taken() {
    let now = origin();
    let mut overload = Overload::new(now);
    let late = Look {
        media_late: true,
        ..QUIET_LOOK
    };
    let now = look_for(&mut overload, now, 500, late);
    assert!(overload.standing().rate.is_some());
    overload.heed_lateness(false);
    let now = look_for(&mut overload, now, 500, late);
    assert_eq!(overload.standing().rate, None);
    assert_eq!(overload.judge(now, None), Ok(()));
}

#[test]
fn what_waits_for_its_trunk_is_no_lateness() {
    let (mut now, mut id) = (origin(), ids());
    let mut overload = Overload::new(now);
    for _ in 0..100 {
        let waits = id();
        overload.admit(now, None, waits).unwrap();
        overload.released(waits);
    }
    now = look_for(&mut overload, now, 5_000, QUIET_LOOK);
    assert_eq!(overload.judge(now, None), Ok(()));
}

#[test]
fn each_lateness_names_itself() {
    for (look, shed) in [
        (
            Look {
                media_late: true,
                ..QUIET_LOOK
            },
            Shed::MediaLate,
        ),
        (
            Look {
                runtime_late: Duration::from_millis(300),
                ..QUIET_LOOK
            },
            Shed::RuntimeLate,
        ),
        (
            Look {
                writes_waiting: 1024,
                ..QUIET_LOOK
            },
            Shed::StoreLate,
        ),
    ] {
        let now = origin();
        let mut overload = Overload::new(now);
        let now = look_for(&mut overload, now, 500, look);
        assert_eq!(refused_at_last(&mut overload, now), shed);
    }
}

/// One CPU that serves calls: each costs at its begin, while it lasts and at its end. What is to be done waits in one
/// queue, but media, which comes first.
struct Plant {
    /// Of one call, in seconds of CPU.
    cost: f64,
    queue: VecDeque<Work>,
    backlog_s: f64,
    ends: BinaryHeap<Reverse<u64>>,
    live: u32,
    /// Time of the CPU that is left; below zero while a piece of work goes on.
    credit_s: f64,
    used_s: f64,
}

enum Work {
    Begin(VerificationId, u64),
    End,
    Refusal(u64),
}

const LIFE_MS: u64 = 6_650;
const BEGIN: f64 = 0.45;
const TALK: f64 = 0.30;
const END: f64 = 0.25;
/// A refusal, in seconds of CPU.
const REFUSAL_S: f64 = 0.000_05;

impl Plant {
    fn new(capacity: f64) -> Self {
        Self {
            cost: 1.0 / capacity,
            queue: VecDeque::new(),
            backlog_s: 0.0,
            ends: BinaryHeap::new(),
            live: 0,
            credit_s: 0.0,
            used_s: 0.0,
        }
    }

    fn cost_of(&self, work: &Work) -> f64 {
        match work {
            Work::Begin(..) => self.cost * BEGIN,
            Work::End => self.cost * END,
            Work::Refusal(_) => REFUSAL_S,
        }
    }

    fn push(&mut self, work: Work) {
        self.backlog_s += self.cost_of(&work);
        self.queue.push_back(work);
    }

    /// One millisecond of CPU; tells what was done in it.
    fn serve(&mut self, ms: u64, mut done: impl FnMut(&Work)) {
        while self.ends.peek().is_some_and(|Reverse(at)| *at <= ms) {
            self.ends.pop();
            self.live -= 1;
            self.push(Work::End);
        }
        let media = f64::from(self.live) * self.cost * TALK / (LIFE_MS as f64 / 1000.0) / 1000.0;
        self.credit_s += 0.001 - media;
        self.used_s += media.min(0.001);
        while self.credit_s > 0.0
            && let Some(work) = self.queue.pop_front()
        {
            let cost = self.cost_of(&work);
            self.credit_s -= cost;
            self.used_s += cost;
            self.backlog_s -= cost;
            if let Work::Begin(..) = work {
                self.live += 1;
                self.ends.push(Reverse(ms + LIFE_MS));
            }
            done(&work);
        }
        self.credit_s = self.credit_s.min(0.0);
    }
}

#[derive(Debug, Default)]
struct Score {
    offered: u64,
    refused: u64,
    /// How long accepted calls waited for their INVITE, ms.
    waits: Vec<u64>,
    /// How long the refused waited for that, ms.
    refusals: Vec<u64>,
    seconds: u64,
}

impl Score {
    fn calls_a_second(&self) -> f64 {
        self.waits.len() as f64 / self.seconds as f64
    }

    fn at(of: &[u64], percent: usize) -> u64 {
        let mut sorted = of.to_vec();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        sorted.get(last * percent / 100).copied().unwrap_or(0)
    }
}

struct Course {
    capacity: f64,
    /// Requests a second, by the second.
    offered: fn(u64) -> f64,
    /// Whether the CPU's use can be told.
    sees_cpu: bool,
    /// Left out of the score.
    run_in_s: u64,
    seconds: u64,
}

/// Offers a course of requests to a server behind the decision.
fn run(course: &Course) -> Score {
    let (start, mut id, mut noise) = (origin(), ids(), Entropy::from_number(7));
    let mut overload = Overload::new(start);
    let mut plant = Plant::new(course.capacity);
    let mut score = Score {
        seconds: course.seconds - course.run_in_s,
        ..Score::default()
    };
    for ms in 0..course.seconds * 1000 {
        let now = start + Duration::from_millis(ms);
        let counts = ms >= course.run_in_s * 1000;
        // Random gaps: the mean of many small draws.
        let mut due = (course.offered)(ms / 1000) / 1000.0;
        while due > 0.0 {
            let comes = (noise.below(1_000_000) as f64) < due.min(1.0) * 1e6;
            due -= 1.0;
            if !comes {
                continue;
            }
            score.offered += u64::from(counts);
            let id = id();
            if overload.admit(now, None, id).is_ok() {
                plant.push(Work::Begin(id, ms));
            } else {
                plant.push(Work::Refusal(ms));
            }
        }
        plant.serve(ms, |work| match work {
            Work::Begin(id, since) => {
                overload.picked(now, *id);
                overload.released(*id);
                if counts {
                    score.waits.push(ms - since);
                }
            }
            Work::Refusal(since) if counts => {
                score.refused += 1;
                score.refusals.push(ms - since);
            }
            Work::Refusal(_) | Work::End => {}
        });
        if ms % 50 == 49 {
            let used = std::mem::take(&mut plant.used_s);
            overload.look(
                now,
                Look {
                    runtime_late: Duration::from_secs_f64(plant.backlog_s.max(0.0)),
                    media_late: false,
                    writes_waiting: 0,
                    busy: course.sees_cpu.then_some((used / 0.05).min(1.0)),
                },
            );
        }
    }
    score
}

fn told(course: &Course, score: &Score) -> String {
    format!(
        "{:.0} calls/s of {:.0}, {:.0} offered; waits p50 {} p99 {} max {} ms; refused in p50 {} p99 {} max {} ms",
        score.calls_a_second(),
        course.capacity,
        score.offered as f64 / score.seconds as f64,
        Score::at(&score.waits, 50),
        Score::at(&score.waits, 99),
        Score::at(&score.waits, 100),
        Score::at(&score.refusals, 50),
        Score::at(&score.refusals, 99),
        Score::at(&score.refusals, 100),
    )
}

const CAPACITY: f64 = 190.0;

/// What is offered from the first second on; `run_in_s` are left out of the score.
fn overloaded(offered: fn(u64) -> f64, sees_cpu: bool, run_in_s: u64) -> (Score, String) {
    let course = Course {
        capacity: CAPACITY,
        offered,
        sees_cpu,
        run_in_s,
        seconds: run_in_s + 90,
    };
    let score = run(&course);
    let told = told(&course, &score);
    println!("{told}");
    (score, told)
}

const OVERLOADS: [fn(u64) -> f64; 3] = [|_| 1.7 * CAPACITY, |_| 3.0 * CAPACITY, |_| 5.0 * CAPACITY];

#[test]
fn under_overload_it_carries_nine_tenths_and_keeps_waits_and_refusals_short() {
    for offered in OVERLOADS {
        let (score, told) = overloaded(offered, true, 30);
        assert!(score.calls_a_second() >= 0.9 * CAPACITY, "{told}");
        assert!(Score::at(&score.waits, 99) <= 50, "{told}");
        assert!(Score::at(&score.refusals, 99) <= 50, "{told}");
    }
}

#[test]
fn where_the_cpu_cannot_be_seen_the_lateness_alone_does() {
    for offered in OVERLOADS {
        let (score, told) = overloaded(offered, false, 30);
        assert!(score.calls_a_second() >= 0.9 * CAPACITY, "{told}");
        assert!(Score::at(&score.waits, 99) <= 400, "{told}");
    }
}

#[test]
fn from_the_first_second_on_little_is_lost_to_finding_the_rate() {
    for offered in OVERLOADS {
        let (score, told) = overloaded(offered, true, 0);
        assert!(score.calls_a_second() >= 0.85 * CAPACITY, "{told}");
        assert!(Score::at(&score.waits, 100) <= 1000, "{told}");
    }
}

#[test]
fn what_it_can_carry_is_never_refused() {
    let (score, told) = overloaded(|_| 0.85 * CAPACITY, true, 0);
    assert_eq!(score.refused, 0, "{told}");
}

#[test]
fn when_the_load_has_gone_nothing_of_the_limit_stays() {
    // Five times too much for 30 s, then half; the first seconds after it may refuse.
    let offered = |s| if s < 30 { 5.0 * CAPACITY } else { 0.5 * CAPACITY };
    let (score, told) = overloaded(offered, true, 35);
    assert_eq!(score.refused, 0, "{told}");
}

#[test]
fn a_store_that_stood_still_for_a_minute_is_forgotten_within_seconds() {
    let (mut now, mut id) = (origin(), ids());
    let mut overload = Overload::new(now);
    let stuck = Look {
        writes_waiting: 1024,
        ..QUIET_LOOK
    };
    // 100 requests a second all the time.
    let mut refused_since_ms = [0_u32; 2];
    for ms in 0..75_000_u64 {
        now += Duration::from_millis(1);
        if ms % 10 == 0 {
            let id = id();
            let refused = overload.admit(now, None, id).is_err();
            overload.picked(now, id);
            overload.released(id);
            for (count, from) in refused_since_ms.iter_mut().zip([5_000, 68_000]) {
                *count += u32::from(refused && ms >= from);
            }
        }
        if ms % 50 == 0 {
            overload.look(
                now,
                if (5_000..60_000).contains(&ms) {
                    stuck
                } else {
                    QUIET_LOOK
                },
            );
        }
    }
    assert!(refused_since_ms[0] > 5_000, "{refused_since_ms:?}");
    assert_eq!(refused_since_ms[1], 0, "{:?}", overload.standing());
}
