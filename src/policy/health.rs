//! Which targets of a trunk may be called now: OPTIONS pings, failed calls, Retry-After.
//!
//! ```text
//!        2 pings missed, a ping answered 503, a call failed and the ping after it too
//!   Up ──────────────────────────────────────────────────────────────────────────▶ Down
//!    ▲ └─ a call failed, 503 with Retry-After ─▶ resting                             │
//!    └──────────── a ping or a call answered ◀──────┴────────────────────────────────┘
//! ```
//!
//! A target that is new is up. Any final response to OPTIONS but 408 and 503 shows it alive: carriers say 404, 405 or 481
//! to it. A target that answers calls and never an OPTIONS is not judged by its silence to OPTIONS.
//!
//! Invariants:
//! - A rest that a 503 asked for ends by its time only, within [`REST_MAX`].
//! - [`TrunkHealth::change`] tells of down and up in turn, however often it is asked.
use std::time::{Duration, Instant};

/// Pings in a row without an answer that take a target down.
const MISSES_MAX: u8 = 2;
/// Rest of a target that failed and did not say for how long. It doubles while nothing but failures come.
const REST: Duration = Duration::from_secs(5);
const REST_DOUBLED_MAX: Duration = Duration::from_secs(300);
/// A mistyped Retry-After must not close a target for a day.
pub const REST_MAX: Duration = Duration::from_secs(600);
/// After a missed ping the next one comes sooner.
const PING_AGAIN: Duration = Duration::from_secs(5);
/// A rest that is over by then is waited for: it makes no trunk down.
const SHORT_REST: Duration = Duration::from_secs(10);

/// What became of a ping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pinged {
    /// Any final response but 408 and 503.
    Alive,
    Unavailable {
        retry_after_s: Option<u32>,
    },
    /// No answer, 408, or it could not be sent.
    Missed,
}

/// How a call found out that a target does not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallFailure {
    /// Silence until Timer B, or nothing could be sent.
    Unreachable,
    /// 503.
    Unavailable { retry_after_s: Option<u32> },
}

/// The trunk as a whole, when that has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Down,
    Up,
}

/// One trunk's targets; `K` names one.
#[derive(Debug, Clone)]
pub struct TrunkHealth<K> {
    /// `None`: no pings.
    ping_every: Option<Duration>,
    slots: Vec<Slot<K>>,
    told: Change,
}

#[derive(Debug, Clone)]
struct Slot<K> {
    key: K,
    state: State,
    rest: Option<Rest>,
    /// Calls in a row that failed without a word.
    failures: u32,
    ping_at: Instant,
    /// A ping is under way.
    pinging: bool,
    proof: Proof,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Up {
        misses: u8,
    },
    /// Until it answers.
    Down,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// By Retry-After.
    Asked(Instant),
    /// By our own caution: an answer ends it.
    Ours(Instant),
}

/// What it has ever answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    Nothing,
    CallsOnly,
    Options,
}

impl<K: Clone + PartialEq> TrunkHealth<K> {
    #[must_use]
    pub const fn new(ping_every: Option<Duration>) -> Self {
        Self {
            ping_every,
            slots: Vec::new(),
            told: Change::Up,
        }
    }

    /// Another rhythm (reload), from the ping after the next on.
    pub const fn set_ping_every(&mut self, ping_every: Option<Duration>) {
        self.ping_every = ping_every;
    }

    /// The targets as they are now, in order; known ones keep what is known of them.
    pub fn set_targets(&mut self, now: Instant, keys: &[K]) {
        let mut old = std::mem::take(&mut self.slots);
        for key in keys {
            if self.slots.iter().any(|slot| slot.key == *key) {
                continue;
            }
            let slot = match old.iter().position(|slot| slot.key == *key) {
                Some(at) => old.swap_remove(at),
                None => Slot {
                    key: key.clone(),
                    state: State::Up { misses: 0 },
                    rest: None,
                    failures: 0,
                    ping_at: now,
                    pinging: false,
                    proof: Proof::Nothing,
                },
            };
            self.slots.push(slot);
        }
    }

    /// The targets to be pinged now; each is owed a [`TrunkHealth::pinged`].
    pub fn due_pings(&mut self, now: Instant) -> Vec<K> {
        let Some(every) = self.ping_every else {
            return Vec::new();
        };
        let mut due = Vec::new();
        for slot in &mut self.slots {
            if !slot.pinging && slot.ping_at <= now {
                slot.pinging = true;
                slot.ping_at = now + every;
                due.push(slot.key.clone());
            }
        }
        due
    }

    pub fn pinged(&mut self, now: Instant, key: &K, pinged: Pinged) {
        let again = self.ping_every.unwrap_or(PING_AGAIN).min(PING_AGAIN);
        let Some(slot) = self.slot(key) else { return };
        slot.pinging = false;
        match pinged {
            Pinged::Alive => {
                slot.proof = Proof::Options;
                slot.works();
            }
            Pinged::Unavailable { retry_after_s } => {
                slot.proof = Proof::Options;
                slot.state = State::Down;
                slot.asks_for_rest(now, retry_after_s);
            }
            Pinged::Missed => {
                slot.ping_at = slot.ping_at.min(now + again);
                slot.misses();
            }
        }
    }

    pub fn call_failed(&mut self, now: Instant, key: &K, failure: CallFailure) {
        let Some(slot) = self.slot(key) else { return };
        match failure {
            CallFailure::Unavailable { retry_after_s } => {
                slot.rests(Rest::Asked(now + rest_of(retry_after_s)));
            }
            CallFailure::Unreachable => {
                let doubled = REST.saturating_mul(1 << slot.failures.min(6));
                slot.failures += 1;
                slot.rests(Rest::Ours(now + doubled.min(REST_DOUBLED_MAX)));
                // A ping tells soonest whether it was the call's bad luck: one more miss is enough.
                slot.ping_at = now;
                if matches!(slot.state, State::Up { .. }) {
                    slot.state = State::Up {
                        misses: MISSES_MAX - 1,
                    };
                }
            }
        }
    }

    /// A call got an answer from it that is no 503.
    pub fn call_answered(&mut self, key: &K) {
        if let Some(slot) = self.slot(key) {
            if slot.proof == Proof::Nothing {
                slot.proof = Proof::CallsOnly;
            }
            slot.works();
        }
    }

    /// A target that is not known is not judged.
    #[must_use]
    pub fn is_usable(&self, now: Instant, key: &K) -> bool {
        self.slots
            .iter()
            .find(|slot| slot.key == *key)
            .is_none_or(|slot| slot.is_usable(now))
    }

    /// When one of the targets may be called: `None` if one may now, or none is known; a far time where only an answer
    /// helps.
    #[must_use]
    pub fn down_until(&self, now: Instant) -> Option<Instant> {
        if self.slots.is_empty() || self.slots.iter().any(|slot| slot.is_usable(now)) {
            return None;
        }
        self.slots.iter().filter_map(|slot| slot.usable_at(now)).min()
    }

    /// Whether the trunk carries no call now nor soon.
    #[must_use]
    pub fn is_down(&self, now: Instant) -> bool {
        self.down_until(now).is_some_and(|until| until > now + SHORT_REST)
    }

    /// Down or up, once for each turn.
    pub fn change(&mut self, now: Instant) -> Option<Change> {
        let is_now = match (self.told, self.is_down(now)) {
            (Change::Up, true) => Change::Down,
            // Not up before a call could be placed: a rest that gets short is still a rest.
            (Change::Down, false) if self.down_until(now).is_none() => Change::Up,
            (Change::Up, false) | (Change::Down, _) => return None,
        };
        self.told = is_now;
        Some(is_now)
    }

    fn slot(&mut self, key: &K) -> Option<&mut Slot<K>> {
        self.slots.iter_mut().find(|slot| slot.key == *key)
    }
}

impl Rest {
    const fn until(self) -> Instant {
        match self {
            Self::Asked(until) | Self::Ours(until) => until,
        }
    }
}

impl<K> Slot<K> {
    fn works(&mut self) {
        self.state = State::Up { misses: 0 };
        self.failures = 0;
        if matches!(self.rest, Some(Rest::Ours(_))) {
            self.rest = None;
        }
    }

    fn misses(&mut self) {
        if self.proof == Proof::CallsOnly {
            return;
        }
        if let State::Up { misses } = self.state {
            let misses = misses + 1;
            self.state = if misses >= MISSES_MAX {
                State::Down
            } else {
                State::Up { misses }
            };
        }
    }

    fn asks_for_rest(&mut self, now: Instant, retry_after_s: Option<u32>) {
        if retry_after_s.is_some() {
            self.rests(Rest::Asked(now + rest_of(retry_after_s)));
        }
    }

    /// The longer rest stands.
    fn rests(&mut self, rest: Rest) {
        if self.rest.is_none_or(|old| old.until() < rest.until()) {
            self.rest = Some(rest);
        }
    }

    fn rest_until(&self, now: Instant) -> Option<Instant> {
        match self.rest {
            Some(rest) => Some(rest.until()).filter(|until| *until > now),
            None => None,
        }
    }

    fn is_usable(&self, now: Instant) -> bool {
        self.state != State::Down && self.rest_until(now).is_none()
    }

    fn usable_at(&self, now: Instant) -> Option<Instant> {
        match self.state {
            State::Down => now.checked_add(REST_MAX),
            State::Up { .. } => self.rest_until(now),
        }
    }
}

fn rest_of(retry_after_s: Option<u32>) -> Duration {
    retry_after_s
        .map_or(REST, |seconds| Duration::from_secs(seconds.into()))
        .min(REST_MAX)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an origin for test instants")]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(30);

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn health(every: Option<Duration>) -> (TrunkHealth<&'static str>, Instant) {
        let now = Instant::now();
        let mut health = TrunkHealth::new(every);
        health.set_targets(now, &["a", "b"]);
        (health, now)
    }

    fn usable(health: &TrunkHealth<&'static str>, now: Instant) -> Vec<&'static str> {
        ["a", "b"]
            .into_iter()
            .filter(|key| health.is_usable(now, key))
            .collect()
    }

    #[test]
    fn two_missed_pings_take_a_target_down_and_one_answer_brings_it_back() {
        let (mut health, now) = health(Some(EVERY));
        assert_eq!(health.due_pings(now), ["a", "b"]);
        assert!(health.due_pings(now + s(90)).is_empty(), "they are under way");
        health.pinged(now + s(4), &"a", Pinged::Missed);
        health.pinged(now + s(1), &"b", Pinged::Alive);
        assert_eq!(usable(&health, now + s(4)), ["a", "b"]);
        // The second try comes soon, not after half a minute.
        assert_eq!(health.due_pings(now + s(9)), ["a"]);
        health.pinged(now + s(13), &"a", Pinged::Missed);
        assert_eq!(usable(&health, now + s(13)), ["b"]);
        assert_eq!(health.change(now + s(13)), None, "b carries the trunk");
        assert_eq!(health.due_pings(now + s(18)), ["a"]);
        health.pinged(now + s(19), &"a", Pinged::Alive);
        assert_eq!(usable(&health, now + s(19)), ["a", "b"]);
        assert_eq!(health.due_pings(now + s(30)), ["b"]);
    }

    #[test]
    fn a_503_to_options_is_enough() {
        let (mut health, now) = health(Some(EVERY));
        health.due_pings(now);
        let unavailable = Pinged::Unavailable {
            retry_after_s: Some(60),
        };
        health.pinged(now, &"a", unavailable);
        assert_eq!(usable(&health, now), ["b"]);
        // The time that it asked for is kept to, whatever it answers meanwhile.
        health.pinged(now + s(30), &"a", Pinged::Alive);
        assert_eq!(usable(&health, now + s(59)), ["b"]);
        assert_eq!(usable(&health, now + s(60)), ["a", "b"]);
    }

    #[test]
    fn a_call_that_fails_and_the_ping_after_it_take_the_target_down() {
        let (mut health, now) = health(Some(EVERY));
        health.due_pings(now);
        for key in ["a", "b"] {
            health.pinged(now, &key, Pinged::Alive);
        }
        health.call_failed(now + s(1), &"a", CallFailure::Unreachable);
        assert_eq!(usable(&health, now + s(5)), ["b"]);
        assert_eq!(health.due_pings(now + s(1)), ["a"], "it is asked at once");
        health.pinged(now + s(5), &"a", Pinged::Missed);
        assert_eq!(usable(&health, now + s(200)), ["b"]);
        health.pinged(now + s(201), &"a", Pinged::Alive);
        assert_eq!(usable(&health, now + s(201)), ["a", "b"]);
        // Bad luck of one call: the answer ends the rest.
        health.call_failed(now + s(210), &"a", CallFailure::Unreachable);
        health.pinged(now + s(211), &"a", Pinged::Alive);
        assert_eq!(usable(&health, now + s(211)), ["a", "b"]);
    }

    #[test]
    fn without_pings_a_failing_target_rests_longer_each_time() {
        let (mut health, now) = health(None);
        assert!(health.due_pings(now).is_empty());
        let mut at = now;
        for rest in [5, 10, 20, 40, 80, 160, 300, 300] {
            health.call_failed(at, &"a", CallFailure::Unreachable);
            assert_eq!(usable(&health, at + s(rest - 1)), ["b"], "{rest}");
            at += s(rest);
            assert_eq!(usable(&health, at), ["a", "b"], "{rest}");
        }
        health.call_answered(&"a");
        health.call_failed(at, &"a", CallFailure::Unreachable);
        assert_eq!(usable(&health, at + s(5)), ["a", "b"]);
    }

    #[test]
    fn retry_after_is_honoured_within_reason() {
        for (asked, rests) in [(Some(1), 1), (Some(120), 120), (None, 5), (Some(u32::MAX), 600)] {
            let (mut health, now) = health(Some(EVERY));
            let failure = CallFailure::Unavailable { retry_after_s: asked };
            health.call_failed(now, &"a", failure);
            // Other calls that were under way do not cut it short.
            health.call_answered(&"a");
            assert_eq!(usable(&health, now + s(rests) - Duration::from_millis(1)), ["b"]);
            assert_eq!(usable(&health, now + s(rests)), ["a", "b"]);
        }
        let (mut health, now) = health(None);
        let failure = CallFailure::Unavailable {
            retry_after_s: Some(0),
        };
        health.call_failed(now, &"a", failure);
        assert_eq!(usable(&health, now), ["a", "b"]);
    }

    #[test]
    fn who_answers_calls_and_never_options_is_not_judged_by_options() {
        let (mut health, now) = health(Some(EVERY));
        health.call_answered(&"a");
        for round in 0..5 {
            health.due_pings(now + s(round * 30));
            health.pinged(now + s(round * 30 + 4), &"a", Pinged::Missed);
        }
        assert!(health.is_usable(now + s(200), &"a"));
        health.call_failed(now + s(200), &"a", CallFailure::Unreachable);
        assert!(!health.is_usable(now + s(204), &"a"));
        assert!(health.is_usable(now + s(205), &"a"));
    }

    #[test]
    fn a_trunk_is_down_when_all_of_it_is_and_that_is_told_once() {
        let (mut health, now) = health(Some(EVERY));
        let unavailable = |retry_after_s| CallFailure::Unavailable { retry_after_s };
        for key in ["a", "b"] {
            health.call_failed(now, &key, unavailable(Some(8)));
        }
        assert_eq!(health.down_until(now), Some(now + s(8)));
        assert_eq!(health.change(now), None, "a short rest is waited for");
        for key in ["a", "b"] {
            health.call_failed(now, &key, CallFailure::Unreachable);
            health.pinged(now, &key, Pinged::Missed);
        }
        assert!(health.is_down(now));
        assert_eq!(health.change(now), Some(Change::Down));
        assert_eq!(health.change(now + s(1)), None);
        health.pinged(now + s(9), &"b", Pinged::Alive);
        assert_eq!(health.change(now + s(9)), Some(Change::Up));
        assert_eq!(health.change(now + s(9)), None);
        let long = unavailable(Some(100));
        for key in ["a", "b"] {
            health.call_failed(now + s(10), &key, long);
        }
        assert_eq!(health.change(now + s(10)), Some(Change::Down));
        // Up only when a call may be placed, not when the rest has become short.
        assert_eq!(health.change(now + s(105)), None);
        assert_eq!(health.change(now + s(110)), Some(Change::Up));
    }

    #[test]
    fn new_addresses_of_a_trunk_are_up_and_old_ones_keep_their_state() {
        let (mut health, now) = health(None);
        health.call_failed(now, &"a", CallFailure::Unreachable);
        health.set_targets(now, &["c", "a", "c"]);
        assert!(!health.is_usable(now, &"a"));
        assert!(health.is_usable(now, &"c") && health.is_usable(now, &"b"));
        health.set_targets(now, &[]);
        assert_eq!(health.change(now), None);
    }
}
