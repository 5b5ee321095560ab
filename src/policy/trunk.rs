//! Which trunk carries a call: order, pace, concurrency, health.
use std::collections::BTreeSet;
use std::time::Instant;

use crate::model::{Outcome, Reason};

use super::Pacer;

/// What the configuration says of one trunk. Trunks stand in order of preference.
#[derive(Debug, Clone, PartialEq)]
pub struct TrunkRules {
    pub name: String,
    /// Calls started per second.
    pub cps: f64,
    /// Calls at the same time; 0 closes the trunk.
    pub max_calls: u32,
    /// Countries that it carries; empty: all, and internal numbers too.
    pub countries: BTreeSet<String>,
    /// Whether it carries internal numbers when `countries` is not empty.
    pub internal: bool,
}

impl TrunkRules {
    #[must_use]
    pub fn new(name: impl Into<String>, cps: f64, max_calls: u32) -> Self {
        Self {
            name: name.into(),
            cps,
            max_calls,
            countries: BTreeSet::new(),
            internal: true,
        }
    }

    fn carries(&self, need: &CallNeed<'_>) -> bool {
        if need.internal {
            return self.internal;
        }
        self.countries.is_empty()
            || need
                .country
                .is_some_and(|country| self.countries.contains(country))
    }
}

/// What a due attempt asks of a trunk.
#[derive(Debug, Clone, Copy)]
pub struct CallNeed<'a> {
    pub country: Option<&'a str>,
    pub internal: bool,
    /// Trunks that earlier attempts used.
    pub tried: &'a [String],
}

/// The choice for one attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum Selection {
    /// The call is counted and paced: claim it, then [`TrunkBoard::ended`] once it is over (or was not claimed).
    Start { trunk: String },
    /// A trunk fits but cannot take it now. `until` is `None` when only the end of a call can help.
    Wait { until: Option<Instant> },
    /// No trunk carries it, or all that do were tried: it will never start.
    NoTrunk,
}

/// Whether a trunk takes calls at all: one that registers does so only while it is registered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Gate {
    #[default]
    Open,
    /// It will be known in a moment: calls wait for it.
    Waits,
    /// As if the trunk were not there; the reason is for people.
    Closed(String),
}

/// Budgets of all trunks, as of the last word of the dialer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrunkBoard {
    slots: Vec<Slot>,
}

#[derive(Debug, Clone, PartialEq)]
struct Slot {
    rules: TrunkRules,
    pacer: Pacer,
    live: u32,
    /// In the penalty box until then.
    down_until: Option<Instant>,
    gate: Gate,
}

impl TrunkBoard {
    #[must_use]
    pub fn new(rules: impl IntoIterator<Item = TrunkRules>) -> Self {
        let mut board = Self::default();
        board.replace(rules);
        board
    }

    /// New rules (reload). Trunks of the same name keep their pace, live calls and health; a trunk that is gone
    /// only lets its calls end, and should it come back before that, they count.
    pub fn replace(&mut self, rules: impl IntoIterator<Item = TrunkRules>) {
        let mut old = std::mem::take(&mut self.slots);
        for rules in rules {
            let slot = match old.iter().position(|slot| slot.rules.name == rules.name) {
                Some(at) => {
                    let mut slot = old.swap_remove(at);
                    slot.pacer.set_cps(rules.cps);
                    slot.rules = rules;
                    slot
                }
                None => Slot {
                    pacer: Pacer::new(rules.cps),
                    rules,
                    live: 0,
                    down_until: None,
                    gate: Gate::Open,
                },
            };
            self.slots.push(slot);
        }
        for mut slot in old.into_iter().filter(|slot| slot.live > 0) {
            slot.rules.max_calls = 0;
            self.slots.push(slot);
        }
    }

    /// The first trunk in order that can start the call now. A `Start` takes its place in the budgets.
    pub fn select(&mut self, now: Instant, need: &CallNeed<'_>) -> Selection {
        let mut soonest: Option<Instant> = None;
        let mut fits = false;
        for slot in &mut self.slots {
            let tried = need.tried.contains(&slot.rules.name);
            if tried || !slot.rules.carries(need) || slot.rules.max_calls == 0 {
                continue;
            }
            match slot.gate {
                Gate::Open => {}
                Gate::Waits => {
                    fits = true;
                    continue;
                }
                Gate::Closed(_) => continue,
            }
            fits = true;
            if slot.live >= slot.rules.max_calls {
                continue;
            }
            let ready = match slot.down_until.filter(|until| *until > now) {
                Some(until) => Err(until),
                None => slot.pacer.try_start(now),
            };
            match ready {
                Ok(()) => {
                    slot.live += 1;
                    return Selection::Start {
                        trunk: slot.rules.name.clone(),
                    };
                }
                Err(at) => soonest = Some(soonest.map_or(at, |earlier| earlier.min(at))),
            }
        }
        if fits {
            Selection::Wait { until: soonest }
        } else {
            Selection::NoTrunk
        }
    }

    /// A call of this trunk is over, or was selected and then not claimed.
    pub fn ended(&mut self, trunk: &str) {
        if let Some(slot) = self.slot(trunk) {
            slot.live = slot.live.saturating_sub(1);
        }
    }

    /// Into the penalty box (503 with Retry-After, no OPTIONS answer). A later end replaces an earlier one.
    pub fn down(&mut self, trunk: &str, until: Instant) {
        if let Some(slot) = self.slot(trunk) {
            slot.down_until = Some(slot.down_until.map_or(until, |old| old.max(until)));
        }
    }

    /// Out of the penalty box.
    pub fn up(&mut self, trunk: &str) {
        if let Some(slot) = self.slot(trunk) {
            slot.down_until = None;
        }
    }

    pub fn set_gate(&mut self, trunk: &str, gate: Gate) {
        if let Some(slot) = self.slot(trunk) {
            slot.gate = gate;
        }
    }

    /// Why trunks are closed, one line each.
    #[must_use]
    pub fn closed(&self) -> Vec<String> {
        let line = |slot: &Slot| match &slot.gate {
            Gate::Closed(reason) => Some(format!("{}: {reason}", slot.rules.name)),
            Gate::Open | Gate::Waits => None,
        };
        self.slots.iter().filter_map(line).collect()
    }

    #[must_use]
    pub fn is_down(&self, trunk: &str, now: Instant) -> bool {
        self.slots
            .iter()
            .any(|slot| slot.rules.name == trunk && slot.down_until.is_some_and(|until| until > now))
    }

    /// Live calls of a trunk.
    #[must_use]
    pub fn live(&self, trunk: &str) -> u32 {
        self.slots
            .iter()
            .find(|slot| slot.rules.name == trunk)
            .map_or(0, |slot| slot.live)
    }

    /// Trunks that could still carry it after `need.tried`, whatever their load.
    #[must_use]
    pub fn untried(&self, need: &CallNeed<'_>) -> usize {
        self.slots
            .iter()
            .filter(|slot| slot.rules.max_calls > 0 && slot.rules.carries(need))
            .filter(|slot| !matches!(slot.gate, Gate::Closed(_)))
            .filter(|slot| !need.tried.contains(&slot.rules.name))
            .count()
    }

    fn slot(&mut self, trunk: &str) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|slot| slot.rules.name == trunk)
    }
}

/// Most attempts of one verification.
pub const ATTEMPTS_MAX: u32 = 3;

/// A call's own word on another trunk: it knows whether a phone rang.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failover {
    No,
    /// This trunk's rule or the number's fate (403): one more opinion is enough.
    Once,
    Yes,
}

/// What a verification's attempts have used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts {
    /// This one included.
    pub made: u32,
    /// An earlier one asked for [`Failover::Once`].
    pub asked_once: bool,
    /// Trunks that have not tried it.
    pub untried: usize,
}

/// Whether a failed attempt goes to another trunk (SIP §4). Only network-side failures qualify; busy, declined and
/// no answer are never redialled.
#[must_use]
pub fn goes_to_next_trunk(outcome: Outcome, asked: Failover, attempts: Attempts) -> bool {
    let asks = match asked {
        Failover::No => false,
        Failover::Once => !attempts.asked_once,
        Failover::Yes => true,
    };
    if !asks || attempts.untried == 0 || attempts.made >= ATTEMPTS_MAX {
        return false;
    }
    matches!(
        outcome.reason(),
        Reason::Unreachable
            | Reason::TrunkDown
            | Reason::TrunkAuth
            | Reason::Congestion
            | Reason::CodecMismatch
            | Reason::RejectedByNetwork
            | Reason::Internal
    )
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an origin for test instants")]
mod tests {
    use std::time::Duration;

    use super::*;

    const ANY: CallNeed<'_> = CallNeed {
        country: Some("US"),
        internal: false,
        tried: &[],
    };

    fn start(trunk: &str) -> Selection {
        Selection::Start { trunk: trunk.into() }
    }

    #[test]
    fn trunks_are_taken_in_order_and_overflow_goes_to_the_next() {
        let now = Instant::now();
        let mut board = TrunkBoard::new([TrunkRules::new("a", 1.0, 10), TrunkRules::new("b", 2.0, 10)]);
        assert_eq!(board.select(now, &ANY), start("a"));
        assert_eq!(board.select(now, &ANY), start("b"));
        let wait = Selection::Wait {
            until: Some(now + Duration::from_millis(500)),
        };
        assert_eq!(board.select(now, &ANY), wait);
        assert_eq!(board.select(now + Duration::from_millis(500), &ANY), start("b"));
        assert_eq!(board.select(now + Duration::from_secs(1), &ANY), start("a"));
        assert_eq!((board.live("a"), board.live("b")), (2, 2));
    }

    #[test]
    fn a_closed_trunk_is_passed_over_and_one_that_is_not_known_yet_is_waited_for() {
        let now = Instant::now();
        let mut board = TrunkBoard::new([TrunkRules::new("a", 9.0, 10), TrunkRules::new("b", 9.0, 10)]);
        board.set_gate("a", Gate::Closed("not registered: 403".into()));
        assert_eq!(board.closed(), ["a: not registered: 403"]);
        assert_eq!(board.untried(&ANY), 1);
        assert_eq!(board.select(now, &ANY), start("b"));
        board.set_gate("b", Gate::Waits);
        let later = now + Duration::from_secs(1);
        assert_eq!(board.select(later, &ANY), Selection::Wait { until: None });
        board.set_gate("b", Gate::Closed("not registered: silence".into()));
        assert_eq!(board.select(later, &ANY), Selection::NoTrunk);
        board.set_gate("a", Gate::Open);
        assert_eq!(board.select(later, &ANY), start("a"));
    }

    #[test]
    fn a_full_trunk_waits_for_an_end() {
        let now = Instant::now();
        let mut board = TrunkBoard::new([TrunkRules::new("a", 100.0, 1)]);
        assert_eq!(board.select(now, &ANY), start("a"));
        let later = now + Duration::from_secs(9);
        assert_eq!(board.select(later, &ANY), Selection::Wait { until: None });
        board.ended("a");
        assert_eq!(board.select(later, &ANY), start("a"));
    }

    #[test]
    fn a_trunk_in_the_penalty_box_is_passed_over_until_its_time() {
        let now = Instant::now();
        let until = now + Duration::from_secs(30);
        let mut board = TrunkBoard::new([TrunkRules::new("a", 10.0, 9), TrunkRules::new("b", 10.0, 9)]);
        board.down("a", until);
        assert!(board.is_down("a", now));
        assert_eq!(board.select(now, &ANY), start("b"));
        board.down("b", until + Duration::from_secs(1));
        assert_eq!(board.select(now, &ANY), Selection::Wait { until: Some(until) });
        board.up("b");
        assert_eq!(board.select(now + Duration::from_secs(1), &ANY), start("b"));
        assert_eq!(board.select(until, &ANY), start("a"));
    }

    #[test]
    fn tried_and_unfit_trunks_never_carry_the_call() {
        let now = Instant::now();
        let mut german = TrunkRules::new("de", 10.0, 9);
        german.countries.insert("DE".into());
        german.internal = false;
        let mut board = TrunkBoard::new([german, TrunkRules::new("any", 10.0, 9)]);
        let tried = ["any".to_owned()];
        let need = CallNeed { tried: &tried, ..ANY };
        assert_eq!(board.select(now, &need), Selection::NoTrunk);
        assert_eq!(board.untried(&need), 0);
        let german_call = CallNeed {
            country: Some("DE"),
            internal: false,
            tried: &tried,
        };
        assert_eq!(board.select(now, &german_call), start("de"));
        let desk = CallNeed {
            country: None,
            internal: true,
            tried: &[],
        };
        assert_eq!(board.select(now, &desk), start("any"));
    }

    #[test]
    fn a_reload_keeps_pace_calls_and_health() {
        let now = Instant::now();
        let mut board = TrunkBoard::new([TrunkRules::new("a", 1.0, 5)]);
        assert_eq!(board.select(now, &ANY), start("a"));
        board.down("a", now + Duration::from_secs(5));
        board.replace([TrunkRules::new("b", 1.0, 5), TrunkRules::new("a", 1.0, 5)]);
        assert_eq!(board.live("a"), 1);
        assert!(board.is_down("a", now));
        assert_eq!(board.select(now, &ANY), start("b"));
    }

    #[test]
    fn a_trunk_that_is_gone_takes_no_call_and_comes_back_with_those_that_still_live() {
        let now = Instant::now();
        let mut board = TrunkBoard::new([TrunkRules::new("a", 1.0, 1), TrunkRules::new("b", 9.0, 9)]);
        assert_eq!(board.select(now, &ANY), start("a"));
        board.replace([TrunkRules::new("b", 9.0, 9)]);
        let later = now + Duration::from_secs(9);
        assert_eq!(board.select(later, &ANY), start("b"));
        assert_eq!(board.untried(&ANY), 1);
        board.replace([TrunkRules::new("a", 1.0, 1)]);
        assert_eq!(board.select(later, &ANY), Selection::Wait { until: None });
        board.ended("a");
        assert_eq!(board.select(later, &ANY), start("a"));
    }

    #[test]
    fn only_network_failures_try_another_trunk() {
        let attempts = |made, untried| Attempts {
            made,
            asked_once: false,
            untried,
        };
        let next = |reason: Reason, made| goes_to_next_trunk(reason.into(), Failover::Yes, attempts(made, 1));
        for reason in [
            Reason::Congestion,
            Reason::TrunkDown,
            Reason::TrunkAuth,
            Reason::CodecMismatch,
        ] {
            assert!(
                next(reason, 1) && next(reason, 2) && !next(reason, ATTEMPTS_MAX),
                "{reason}"
            );
            assert!(!goes_to_next_trunk(reason.into(), Failover::Yes, attempts(1, 0)));
            assert!(!goes_to_next_trunk(reason.into(), Failover::No, attempts(1, 1)));
        }
        for reason in [
            Reason::Busy,
            Reason::Declined,
            Reason::NoAnswer,
            Reason::KeyConfirmed,
            Reason::HungUp,
        ] {
            assert!(!next(reason, 1), "{reason}");
        }
    }

    #[test]
    fn once_is_one_more_opinion_wherever_it_is_asked() {
        use Failover::{Once, Yes};
        let rejected = Reason::RejectedByNetwork;
        for (asked, reached) in [
            // 428, 428, then whatever the third says; 503, 403; 403, 403; 403, 428.
            ([(rejected, Yes), (rejected, Yes)], 3),
            ([(Reason::Congestion, Yes), (rejected, Once)], 3),
            ([(rejected, Once), (rejected, Once)], 2),
            ([(rejected, Once), (rejected, Yes)], 3),
        ] {
            let mut attempts = Attempts {
                made: 1,
                asked_once: false,
                untried: 2,
            };
            for (reason, failover) in asked {
                if !goes_to_next_trunk(reason.into(), failover, attempts) {
                    break;
                }
                attempts.made += 1;
                attempts.untried -= 1;
                attempts.asked_once |= failover == Once;
            }
            assert_eq!(attempts.made, reached, "{asked:?}");
        }
    }
}
