//! The seven invariants, as far as they can be judged only when a run is over. What can be judged at once is judged
//! where it happens: at the tap of the wire, at the leg, at the receiver.
use std::collections::{BTreeMap, BTreeSet};

use ringproof::ivr::Script;
use ringproof::model::{AttemptId, Method, Outcome, Reason, Verification, VerificationId};
use ringproof::store::{EventType, OutboxState, ProgressKind, Visibility};

use crate::clock::At;
use crate::facts::{AttemptFacts, PressFact};
use crate::peer::Exchange;
use crate::plan::{Receipt, Trouble};
use crate::world::World;

/// From acceptance to outcome: the life of a queued or unanswered attempt, its CANCEL, the longest talk, and what
/// scheduling and the store may add to it.
const CANCEL_MAX_S: u64 = 2;
const TALK_MAX_S: u64 = 60 + 6;
const SLACK_S: u64 = 5;
/// 64·T1: so long a transaction waits for its answer.
const TRANSACTION_MS: u64 = 32_000;
/// How far an event may lie behind its cause: queues between leg and call.
const QUEUE_MAX_MS: u64 = 250;

impl World<'_> {
    /// After the last transition.
    pub(crate) fn check(&mut self) {
        let ids: Vec<VerificationId> = self.facts.verifications.keys().copied().collect();
        for id in ids {
            self.check_verification(id);
        }
        let attempts: Vec<AttemptId> = self.facts.attempts.keys().copied().collect();
        for attempt in attempts {
            self.check_legs(attempt);
        }
        self.check_lone_calls();
        self.check_rest();
    }

    fn check_verification(&mut self, id: VerificationId) {
        let name = self.name_of_verification(id);
        let store = self.vault.store();
        let row = self.vault.wait(store.verification(id, &Visibility::All)).unwrap();
        let Some(row) = row else {
            return self.violate(1, format!("{name}: was accepted and is not in the store"));
        };
        let Some(outcome) = row.outcome else {
            return self.violate(1, format!("{name}: has no outcome, its stage is {}", row.stage));
        };
        self.check_outcome(id, &name, outcome);
        self.check_events(id, &name, outcome);
        self.check_meaning(&row, &name, outcome);
        self.check_webhooks(&row, &name, outcome);
    }

    /// 1: exactly one outcome, in time.
    fn check_outcome(&mut self, id: VerificationId, name: &str, outcome: Outcome) {
        let facts = &self.facts.verifications[&id];
        let asked = &self.plan.requests[facts.request];
        let Some((at, known)) = facts.outcome else {
            return self.violate(
                1,
                format!("{name}: nobody saw its outcome {outcome} being written"),
            );
        };
        let bound = asked.life_s + CANCEL_MAX_S + TALK_MAX_S + SLACK_S + self.facts.outage.as_secs();
        let took = at.since(facts.accepted_at).as_secs();
        if known != outcome {
            self.violate(1, format!("{name}: its outcome was {known} and is {outcome}"));
        }
        if took > bound {
            self.violate(
                1,
                format!("{name}: its outcome took {took} s, at most {bound} s are allowed"),
            );
        }
    }

    fn check_events(&mut self, id: VerificationId, name: &str, outcome: Outcome) {
        let events = self.vault.wait(self.vault.store().events_after(id, 0)).unwrap();
        let ends = events
            .iter()
            .filter(|event| matches!(event.kind, ProgressKind::Ended(_)))
            .count();
        let last = events.last().map(|event| event.kind);
        if ends != 1 || last != Some(ProgressKind::Ended(outcome)) {
            self.violate(
                1,
                format!("{name}: {ends} terminal events, the last event is {last:?}"),
            );
        }
        let grows = events.windows(2).all(|pair| pair[0].sequence < pair[1].sequence);
        if !grows {
            self.violate(1, format!("{name}: its sequence does not grow"));
        }
    }

    /// 2: an outcome says what happened.
    fn check_meaning(&mut self, row: &Verification, name: &str, outcome: Outcome) {
        let deciding = row
            .attempts
            .iter()
            .rev()
            .find(|attempt| attempt.call_id.is_some());
        let facts = deciding.and_then(|attempt| self.facts.attempts.get(&attempt.id));
        let request = self.facts.verifications[&row.id].request;
        let code = self.plan.requests[request].code.clone();
        let complaint = match (outcome.reason(), facts) {
            (
                Reason::KeyConfirmed | Reason::CodeMatched | Reason::CodePlayed | Reason::FraudReported,
                None,
            ) => Some("without any call".to_owned()),
            (Reason::KeyConfirmed, Some(facts)) => confirmed(row.method, facts),
            (Reason::CodeMatched, Some(facts)) => code_matched(facts, &code),
            (Reason::CodePlayed, Some(facts)) => code_played(facts, &code),
            (Reason::FraudReported, Some(facts)) => fraud_reported(facts),
            (Reason::HungUp, Some(facts)) if facts.wire.peer_byes.is_empty() && !self.lost_dialog(facts) => {
                Some("nobody hung up".to_owned())
            }
            (Reason::UnknownAfterCrash, _) if !self.facts.verifications[&row.id].cut_by_crash => {
                Some("no crash cut it".to_owned())
            }
            _ => None,
        };
        if let Some(what) = complaint {
            self.violate(2, format!("{name}: {outcome}, but {what}"));
        }
    }

    /// A dialog that the peer has forgotten (481) counts as hung up.
    fn lost_dialog(&self, facts: &AttemptFacts) -> bool {
        self.exchange_of(facts)
            .is_some_and(|exchange| exchange.legs.iter().any(|leg| leg.bye_sent_at.is_some()))
    }

    fn exchange_of(&self, facts: &AttemptFacts) -> Option<&Exchange> {
        self.peers[facts.trunk]
            .exchanges
            .iter()
            .find(|exchange| exchange.call_id == facts.call_id)
    }

    /// 4: every answered leg is acknowledged and ended once, every other one cancelled.
    fn check_legs(&mut self, attempt: AttemptId) {
        let name = self.name_of(attempt);
        let facts = &self.facts.attempts[&attempt];
        let wire = &facts.wire;
        if facts.cut_by_crash {
            return;
        }
        let mut breaches: Vec<(u8, String)> = Vec::new();
        for tag in wire.answered.keys() {
            let (ours, theirs) = (wire.byes.contains_key(tag), wire.peer_byes.contains_key(tag));
            if !wire.acked.contains(tag) {
                breaches.push((4, "an answered leg gets no ACK".to_owned()));
            }
            if !ours && !theirs && !self.peer_gave_up(facts, tag) {
                breaches.push((4, "an answered leg gets no BYE".to_owned()));
            }
        }
        if let Some(branch) = wire.invites.last() {
            let owes = wire.provisional.contains(branch) && !wire.finals.contains(branch);
            if owes && !wire.cancels.contains(branch) {
                breaches.push((4, "a leg that was given up on is not CANCELled".to_owned()));
            }
        }
        if facts.ended_at.is_none() {
            breaches.push((5, "its task never ends".to_owned()));
        }
        for (invariant, what) in breaches {
            self.violate(invariant, format!("{name}: {what}"));
        }
    }

    /// The peer has said BYE itself, and none of its datagrams came through; or it answered 481 to a request.
    fn peer_gave_up(&self, facts: &AttemptFacts, tag: &str) -> bool {
        let leg = self
            .exchange_of(facts)
            .and_then(|exchange| exchange.legs.iter().find(|leg| leg.tag == tag));
        leg.is_some_and(|leg| leg.bye_sent_at.is_some())
    }

    /// 3: no number has two calls at the same time.
    fn check_two_calls(&self, breaches: &mut Vec<String>) {
        let mut of_number: BTreeMap<&str, Vec<(&AttemptFacts, At, At)>> = BTreeMap::new();
        for facts in self.facts.attempts.values() {
            let Some(exchange) = self.exchange_of(facts) else {
                continue;
            };
            let Some(from) = exchange.rang_at else { continue };
            // A telephone that a CANCEL has reached is the trunk's to silence.
            let until = [exchange.released_at, exchange.canceled_at]
                .into_iter()
                .flatten()
                .min();
            let until = until.unwrap_or(At(u64::MAX));
            let request = self.facts.verifications[&facts.verification].request;
            let number = self.plan.requests[request].number.as_str();
            of_number.entry(number).or_default().push((facts, from, until));
        }
        for mut calls in of_number.into_values() {
            calls.sort_by_key(|(facts, ..)| facts.invited_at);
            for (index, (first, from, until)) in calls.iter().enumerate() {
                for (second, second_from, second_until) in &calls[index + 1..] {
                    let together = from < second_until && second_from < until;
                    if together && !may_ring_twice(first, second) {
                        let name = self.name_of_verification(second.verification);
                        breaches.push(format!("{name}: two telephones ring or talk at the same time"));
                    }
                }
            }
        }
    }

    /// 3: at most one live call per request, and per number.
    fn check_lone_calls(&mut self) {
        let mut breaches = Vec::new();
        self.check_two_calls(&mut breaches);
        let mut of_verification: BTreeMap<VerificationId, Vec<AttemptId>> = BTreeMap::new();
        for (attempt, facts) in &self.facts.attempts {
            let Some(exchange) = self.exchange_of(facts) else {
                continue;
            };
            if exchange.rang_at.is_some() {
                of_verification
                    .entry(facts.verification)
                    .or_default()
                    .push(*attempt);
            }
        }
        for (verification, calls) in of_verification {
            // One that was decided before the crash only lingered: its next attempt was committed with the decision.
            let undecided = |facts: &&AttemptFacts| {
                let cut = facts
                    .outcome
                    .is_none_or(|outcome| outcome.reason() == Reason::UnknownAfterCrash);
                facts.cut_by_crash && cut
            };
            let dialled = calls
                .iter()
                .filter_map(|attempt| self.facts.attempts.get(attempt));
            let last_life = dialled.clone().map(|facts| facts.life).max();
            let cut_in = dialled.filter(undecided).map(|facts| facts.life).min();
            if cut_in.is_some() && cut_in < last_life {
                let name = self.name_of_verification(verification);
                breaches.push(format!("{name}: dialled again after a crash"));
            }
        }
        // Every telephone that rang belongs to a Call-ID that was committed.
        let known: BTreeSet<&str> = self
            .facts
            .attempts
            .values()
            .map(|facts| facts.call_id.as_str())
            .collect();
        let strangers = self.peers.iter().flat_map(|peer| &peer.exchanges);
        let strangers = strangers
            .filter(|exchange| !known.contains(exchange.call_id.as_str()))
            .count();
        if strangers > 0 {
            breaches.push(format!(
                "{strangers} calls with a Call-ID that the store does not know"
            ));
        }
        for what in breaches {
            self.violate(3, what);
        }
    }

    /// 6: one event id per terminal outcome, delivered until acknowledged or given up.
    fn check_webhooks(&mut self, row: &Verification, name: &str, outcome: Outcome) {
        let request = self.facts.verifications[&row.id].request;
        let Some(receiver) = self.plan.requests[request].receiver.clone() else {
            return;
        };
        let page = self.vault.wait(
            self.vault
                .store()
                .deliveries(Some(row.id), 100, None, &Visibility::All),
        );
        let rows = page.unwrap().items;
        let kind = EventType::of_status(outcome.status());
        let terminal: Vec<_> = rows
            .iter()
            .filter(|delivery| Some(delivery.kind) == kind)
            .collect();
        if terminal.len() != 1 {
            self.violate(
                6,
                format!("{name}: {} events for its outcome {outcome}", terminal.len()),
            );
        }
        for delivery in &rows {
            let arrivals = self
                .facts
                .webhooks
                .get(&delivery.id)
                .map_or(0, |facts| facts.arrivals.len());
            let fault = match delivery.state {
                OutboxState::Pending => Some("is still waiting"),
                OutboxState::Delivered if arrivals == 0 => Some("counts as delivered and never arrived"),
                OutboxState::GaveUp if delivery.tries < 11 => Some("is given up before its last try"),
                OutboxState::Disabled if !receiver.answers.contains(&Receipt::Status(410)) => {
                    Some("is disabled, and nobody said 410")
                }
                OutboxState::Dropped if !delivery.kind.is_progress() => Some("is terminal and was dropped"),
                _ => None,
            };
            if let Some(what) = fault {
                self.violate(6, format!("{name}: its webhook {} {what}", delivery.kind));
            }
        }
        self.check_receiver(row, name, &rows.iter().map(|delivery| delivery.id).collect());
    }

    /// What the receiver saw: known ids only, and in order.
    fn check_receiver(&mut self, row: &Verification, name: &str, ids: &BTreeSet<ringproof::model::EventId>) {
        let request = self.facts.verifications[&row.id].request;
        let of_this = self
            .platform
            .events
            .iter()
            .filter(|(_, of)| **of == request)
            .map(|(event, _)| *event);
        let made = self.platform.requests[request].made.len();
        let unknown = of_this.filter(|event| !ids.contains(event)).count();
        if made == 1 && unknown > 0 {
            self.violate(
                6,
                format!("{name}: {unknown} webhooks arrived with an id that the store does not know"),
            );
        }
    }

    /// 5, and what is left over.
    fn check_rest(&mut self) {
        if let Some(process) = &self.process {
            let (tasks, free, all) = (process.tasks.len(), process.free_ports.len(), process.ports);
            if tasks > 0 {
                self.violate(5, format!("{tasks} call tasks are left over"));
            }
            if free < all {
                self.violate(5, format!("{} of {all} ports never came back", all - free));
            }
        } else if !self
            .plan
            .troubles
            .iter()
            .any(|trouble| matches!(trouble, Trouble::Terminate { .. }))
        {
            self.violate(0, "the process did not come back".to_owned());
        }
        let (pending, live) = self.vault.wait(self.vault.store().in_progress()).unwrap();
        if pending + live > 0 {
            self.violate(
                1,
                format!("{pending} verifications pending, {live} attempts live in the store"),
            );
        }
        for what in crate::logs::take_leaks() {
            self.violate(7, format!("a log line holds a number: {what}"));
        }
    }
}

/// When this clip was last heard in full before `at`.
fn said_before(facts: &AttemptFacts, clip: &str, at: At) -> Option<At> {
    let said = facts.heard.said.iter().rev();
    said.filter(|(said_at, name, _)| *said_at <= at && name == clip)
        .map(|(said_at, ..)| *said_at)
        .next()
}

/// The permitted holes: a crash cut the first call, or the network kept silent about it for 64·T1, after its INVITE or
/// after its CANCEL or BYE, before the second was dialled.
fn may_ring_twice(first: &AttemptFacts, second: &AttemptFacts) -> bool {
    let waited = |since: Option<At>, wait_ms: u64| {
        since
            .zip(second.invited_at)
            .is_some_and(|(since, at)| at >= since.plus_ms(wait_ms))
    };
    let heard =
        first.wire.invites.last().is_some_and(|branch| {
            first.wire.provisional.contains(branch) || first.wire.finals.contains(branch)
        });
    // What came later than that was flagged.
    let silent = (!heard || first.double_ring) && waited(first.invited_at, TRANSACTION_MS);
    // The outcome follows an unanswered CANCEL by its wait, and is there before the BYE.
    let gave_up = waited(
        first.decided_at,
        TRANSACTION_MS - CANCEL_MAX_S * 1000 - QUEUE_MAX_MS,
    );
    first.cut_by_crash || silent || gave_up
}

fn keys_between<'a>(facts: &'a AttemptFacts, from: At, to: At) -> impl Iterator<Item = &'a PressFact> {
    facts
        .heard
        .pressed
        .iter()
        .filter(move |press| press.at >= from && press.at <= to)
}

fn back(at: At, ms: u64) -> At {
    At(at.0.saturating_sub(ms * 1000))
}

/// Some press of the callee, after the answer and after the sentence that named it, that nothing speaks against.
fn confirmed(method: Method, facts: &AttemptFacts) -> Option<String> {
    let pressed = &facts.heard.pressed;
    let found = pressed.iter().any(|press| {
        let named = match method {
            Method::PressKey => press.key == '#' && said_before(facts, "say-confirm", press.at).is_some(),
            Method::RandomKey => is_random_key(facts, press),
            Method::MatchCode | Method::SpeakCode => false,
        };
        named && press.answered && is_undisturbed(method, facts, press)
    });
    (!found).then(|| format!("no key of the callee says so: {pressed:?}"))
}

/// The digit that the last full play of the naming sentence ended with.
fn is_random_key(facts: &AttemptFacts, press: &PressFact) -> bool {
    let mut named = None;
    let mut announced = false;
    for (at, clip, _) in &facts.heard.said {
        if *at > press.at {
            break;
        }
        if announced && let Some(digit) = clip.strip_prefix("digit-") {
            named = digit.chars().next();
        }
        announced = clip == "say-random";
    }
    named == Some(press.key)
}

fn is_undisturbed(method: Method, facts: &AttemptFacts, press: &PressFact) -> bool {
    let script = Script::default();
    let others = |from: At, to: At| {
        keys_between(facts, from, to)
            .filter(|other| other.at != press.at)
            .count()
    };
    match method {
        Method::RandomKey => {
            let before_ms = u64::try_from(script.quiet_before.as_millis()).unwrap();
            let after_ms = u64::try_from(script.quiet_after.as_millis()).unwrap() - QUEUE_MAX_MS;
            others(back(press.at, before_ms), press.at.plus_ms(after_ms)) == 0
        }
        // A confirm key shortly after the first fraud key never approves.
        Method::PressKey => {
            let window_ms = u64::try_from(script.fraud_window.as_millis()).unwrap();
            !keys_between(facts, back(press.at, window_ms), press.at).any(|other| other.key == '0')
        }
        Method::MatchCode | Method::SpeakCode => true,
    }
}

/// The digits of the code and `#`, in a row, after the menu began.
fn code_matched(facts: &AttemptFacts, code: &str) -> Option<String> {
    let keys: Vec<&PressFact> = facts
        .heard
        .pressed
        .iter()
        .filter(|press| press.answered)
        .collect();
    let wanted: Vec<char> = format!("{code}#").chars().collect();
    let found = keys.windows(wanted.len()).any(|row| {
        row.iter().map(|press| press.key).eq(wanted.iter().copied())
            && said_before(facts, "say-match-code", row[0].at).is_some()
    });
    (!found).then(|| "the callee never entered the code".to_owned())
}

/// The code was spoken twice in full, after the key that asks for it.
fn code_played(facts: &AttemptFacts, code: &str) -> Option<String> {
    let asked = facts.heard.pressed.iter().find(|press| {
        press.key == '1' && press.answered && said_before(facts, "say-speak-code-intro", press.at).is_some()
    });
    let Some(asked) = asked else {
        return Some("nobody asked for the code".to_owned());
    };
    let digits: Vec<String> = code.chars().map(|digit| format!("digit-{digit}")).collect();
    let mut wanted = digits.clone();
    wanted.push("say-code-again".to_owned());
    wanted.extend(digits);
    let said: Vec<&str> = facts
        .heard
        .said
        .iter()
        .filter(|(at, ..)| *at >= asked.at)
        .map(|(_, clip, _)| clip.as_str())
        .collect();
    let found = said
        .windows(wanted.len())
        .any(|row| row.iter().copied().eq(wanted.iter().map(String::as_str)));
    (!found).then(|| "the code was not spoken twice in full".to_owned())
}

fn fraud_reported(facts: &AttemptFacts) -> Option<String> {
    let keys: Vec<&PressFact> = facts
        .heard
        .pressed
        .iter()
        .filter(|press| press.answered)
        .collect();
    let found = keys.windows(2).any(|pair| {
        (pair[0].key, pair[1].key) == ('0', '#') && said_before(facts, "say-fraud", pair[1].at).is_some()
    });
    (!found).then(|| "nobody pressed the fraud keys".to_owned())
}
