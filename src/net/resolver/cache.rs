//! Answers of DNS, and what is done when it gives none. Time is an argument.
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::sip::locate::{Answer, Query};

/// How long a good answer serves after its lifetime while DNS fails.
pub(super) const STALE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Longest lifetime that is believed.
const TTL_MAX: Duration = Duration::from_secs(24 * 3600);
/// Longest that "there are none" is believed: a record that is added should be found the same hour.
const NEGATIVE_MAX: Duration = Duration::from_secs(300);
/// After a failure DNS is left alone for so long: calls do not wait for it one after the other.
const FAILURE_REST: Duration = Duration::from_secs(5);
const ENTRIES_MAX: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Cache {
    entries: BTreeMap<Query, Entry>,
}

#[derive(Debug)]
struct Entry {
    good: Option<Good>,
    rests_until: Option<Instant>,
}

#[derive(Debug)]
struct Good {
    answer: Answer,
    until: Instant,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Known {
    Fresh(Answer),
    /// Its lifetime is over: ask, and use it if there is no answer.
    Stale(Answer),
    /// DNS failed a moment ago: do not ask.
    Resting(Option<Answer>),
    Nothing,
}

impl Cache {
    pub(super) fn look(&self, now: Instant, query: &Query) -> Known {
        let Some(entry) = self.entries.get(query) else {
            return Known::Nothing;
        };
        let good = entry.good.as_ref().filter(|good| good.until + STALE_MAX > now);
        if let Some(fresh) = good.filter(|good| good.until > now) {
            return Known::Fresh(fresh.answer.clone());
        }
        let answer = good.map(|good| good.answer.clone());
        if entry.rests_until.is_some_and(|until| until > now) {
            return Known::Resting(answer);
        }
        answer.map_or(Known::Nothing, Known::Stale)
    }

    pub(super) fn keep(&mut self, now: Instant, query: Query, answer: Answer, ttl: Duration) {
        let longest = if is_empty(&answer) { NEGATIVE_MAX } else { TTL_MAX };
        let good = Good {
            answer,
            until: now + ttl.min(longest),
        };
        if let Some(entry) = self.entry(now, query) {
            entry.good = Some(good);
            entry.rests_until = None;
        }
    }

    pub(super) fn failed(&mut self, now: Instant, query: Query) {
        if let Some(entry) = self.entry(now, query) {
            entry.rests_until = Some(now + FAILURE_REST);
        }
    }

    /// Room is made by dropping what serves nobody any more; without any a new name is not remembered.
    fn entry(&mut self, now: Instant, query: Query) -> Option<&mut Entry> {
        if self.entries.len() >= ENTRIES_MAX && !self.entries.contains_key(&query) {
            self.entries
                .retain(|_, entry| entry.good.as_ref().is_some_and(|good| good.until > now));
            if self.entries.len() >= ENTRIES_MAX {
                return None;
            }
        }
        Some(self.entries.entry(query).or_insert(Entry {
            good: None,
            rests_until: None,
        }))
    }
}

fn is_empty(answer: &Answer) -> bool {
    match answer {
        Answer::Naptr(records) => records.is_empty(),
        Answer::Srv(records) => records.is_empty(),
        Answer::Addresses(addresses) => addresses.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(n: usize) -> Query {
        Query::Addresses(format!("n{n}.example"))
    }

    fn answer(ip: &str) -> Answer {
        Answer::Addresses(vec![ip.parse().unwrap()])
    }

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_answer_lives_its_time_and_then_serves_while_dns_fails() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        assert_eq!(cache.look(now, &query(1)), Known::Nothing);
        cache.keep(now, query(1), answer("192.0.2.1"), s(30));
        let at = |after| now + after;
        assert_eq!(
            cache.look(at(s(29)), &query(1)),
            Known::Fresh(answer("192.0.2.1"))
        );
        assert_eq!(
            cache.look(at(s(30)), &query(1)),
            Known::Stale(answer("192.0.2.1"))
        );
        cache.failed(at(s(34)), query(1));
        assert_eq!(
            cache.look(at(s(38)), &query(1)),
            Known::Resting(Some(answer("192.0.2.1")))
        );
        assert_eq!(
            cache.look(at(s(39)), &query(1)),
            Known::Stale(answer("192.0.2.1"))
        );
        assert_eq!(cache.look(at(s(30) + STALE_MAX), &query(1)), Known::Nothing);
        cache.keep(at(s(40)), query(1), answer("192.0.2.2"), s(1));
        assert_eq!(
            cache.look(at(s(40)), &query(1)),
            Known::Fresh(answer("192.0.2.2"))
        );
    }

    #[test]
    fn a_name_that_never_had_an_answer_rests_too() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        cache.failed(now, query(1));
        assert_eq!(cache.look(now + s(4), &query(1)), Known::Resting(None));
        assert_eq!(cache.look(now + s(5), &query(1)), Known::Nothing);
    }

    #[test]
    fn none_is_believed_for_a_short_time_and_a_lifetime_within_reason() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        let none = Answer::Srv(Vec::new());
        cache.keep(now, query(1), none.clone(), s(86_400));
        assert_eq!(cache.look(now + s(299), &query(1)), Known::Fresh(none.clone()));
        assert_eq!(cache.look(now + s(300), &query(1)), Known::Stale(none));
        cache.keep(now, query(2), answer("192.0.2.1"), Duration::MAX);
        assert!(matches!(cache.look(now + TTL_MAX, &query(2)), Known::Stale(_)));
    }

    #[test]
    fn the_cache_is_bounded() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        for n in 0..ENTRIES_MAX + 10 {
            cache.keep(now, query(n), answer("192.0.2.1"), s(60));
        }
        assert_eq!(cache.entries.len(), ENTRIES_MAX);
        assert_eq!(cache.look(now, &query(ENTRIES_MAX + 1)), Known::Nothing);
        // Once the old ones are over there is room again.
        cache.keep(now + s(60), query(ENTRIES_MAX + 1), answer("192.0.2.1"), s(60));
        assert_eq!(cache.entries.len(), 1);
    }
}
