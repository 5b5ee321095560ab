//! The process: what it holds in memory, how it starts, dies, drains, and its selection loop, as `dialer` does it.
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ringproof::call::NextTrunk;
use ringproof::model::{AttemptId, EventId, Outcome, Reason};
use ringproof::policy::{CallNeed, Selection, TrunkBoard, TrunkRules};
use ringproof::store::{Accepted, Agenda, CancelNotice, Canceled, Claimed, Decided, DueAttempt, StoreError};
use tokio::sync::{broadcast, watch};

use crate::clock::At;
use crate::dice::Dice;
use crate::facts::AttemptFacts;
use crate::ops::{Done, Op};
use crate::plan::{Plant, Trouble};
use crate::task::{Task, TaskEnd};
use crate::transition::Transition;
use crate::world::{NODE, Owner, World};

/// Attempts read at once.
const BATCH: u32 = 256;
/// Longest sleep while something waits. With nothing to wait for the loop sleeps on here: only other processes could
/// have made work that no signal tells of.
const POLL_MS: u64 = 1_000;
/// Rest after a failure of the store.
const STORE_REST_MS: u64 = 250;
/// The longest rest of a trunk that failed.
const PENALTY_MAX: Duration = Duration::from_secs(600);
/// From the cancels of a drain to the exit.
const GOODBYE_MS: u64 = 10_000;
pub(crate) const FIRST_PORT: u16 = 20_000;

pub(crate) struct Process {
    pub(crate) accepting: bool,
    pub(crate) board: TrunkBoard,
    /// Picked and not yet ended.
    pub(crate) picked: BTreeSet<AttemptId>,
    pub(crate) tasks: BTreeMap<AttemptId, Task>,
    /// Call-ID → task.
    pub(crate) routes: BTreeMap<String, AttemptId>,
    pub(crate) free_ports: Vec<u16>,
    pub(crate) ports: usize,
    /// Webhooks on their way.
    pub(crate) posting: BTreeSet<EventId>,
    due_changed: watch::Receiver<u64>,
    outbox_changed: watch::Receiver<u64>,
    cancels: broadcast::Receiver<CancelNotice>,
    select_at: Option<At>,
    pub(crate) deliver_at: Option<At>,
}

impl World<'_> {
    pub(crate) fn start(&mut self) {
        if self.process.is_some() {
            return;
        }
        if self.store_down {
            self.note(format_args!("the process cannot start without its store"));
            return self.after_ms(1_000, Transition::Start);
        }
        self.life += 1;
        let plan = std::sync::Arc::clone(&self.plan);
        let rules = plan.trunks.iter().enumerate().map(|(index, trunk)| {
            TrunkRules::new(self.peers[index].name.clone(), trunk.cps, trunk.calls_max)
        });
        let board = TrunkBoard::new(rules);
        let store = self.vault.store();
        let process = Process {
            accepting: true,
            board,
            picked: BTreeSet::new(),
            tasks: BTreeMap::new(),
            routes: BTreeMap::new(),
            free_ports: (0..plan.ports)
                .map(|index| FIRST_PORT + 2 * u16::try_from(index).unwrap())
                .collect(),
            ports: plan.ports,
            posting: BTreeSet::new(),
            due_changed: store.attempts_changed(),
            outbox_changed: store.outbox_changed(),
            cancels: store.cancels(),
            select_at: None,
            deliver_at: None,
        };
        let life = self.life;
        self.note(format_args!("the process starts, life {life}"));
        self.process = Some(process);
        if let Some(since) = self.platform.process_down_since.take() {
            self.facts.outage += self.now().since(since);
        }
        self.recover();
        self.select_in_ms(1);
        self.deliver_in_ms(1);
    }

    fn recover(&mut self) {
        if self.plant == Some(Plant::RedialsAfterCrash) {
            self.redial();
        }
        let (entropy, wall) = (self.dice.fork(), self.clock.wall());
        let recovered = self
            .vault
            .wait(self.vault.store().recover(NODE, entropy, wall))
            .unwrap();
        let outcome = Outcome::new(Reason::UnknownAfterCrash);
        for id in &recovered.unknown {
            self.outcome_known(*id, outcome);
        }
        let lost: Vec<_> = self
            .facts
            .verifications
            .iter()
            .filter(|(_, facts)| facts.cut_by_crash && facts.outcome.is_none())
            .map(|(id, _)| *id)
            .collect();
        for id in lost {
            let name = self.name_of_verification(id);
            self.violate(
                1,
                format!("{name}: its live call was cut by the crash, and nobody found it after"),
            );
        }
        self.note(format_args!(
            "recovered: {} unknown, {} unreported",
            recovered.unknown.len(),
            recovered.unreported
        ));
        self.hear_store();
    }

    /// `kill -9`: all that was in memory is gone.
    pub(crate) fn kill(&mut self) {
        if self.process.is_none() {
            return;
        }
        self.note(format_args!("kill -9"));
        self.facts.crashes += 1;
        self.bury();
        // The next process opens the files as they lie; doing that for every crash would cost more than it shows.
        if self.dice.chance(20) {
            self.vault.crash();
        }
    }

    pub(crate) fn terminate(&mut self) {
        let Some(process) = self.process.as_mut() else {
            return;
        };
        process.accepting = false;
        let life = self.life;
        self.note(format_args!("SIGTERM"));
        let drain_ms = self.plan.troubles.iter().find_map(|trouble| match trouble {
            Trouble::Terminate { drain_ms, .. } => Some(*drain_ms),
            _ => None,
        });
        self.after_ms(drain_ms.unwrap_or(10_000), Transition::DrainOver { life });
        self.exit_if_idle();
    }

    pub(crate) fn drain_over(&mut self) {
        let Some(process) = self.process.as_mut() else {
            return;
        };
        let live = process.tasks.iter().filter(|(_, task)| task.is_live());
        let live: Vec<AttemptId> = live.map(|(attempt, _)| *attempt).collect();
        for attempt in live {
            self.tell(attempt, Reason::Shutdown);
        }
        let life = self.life;
        self.after_ms(GOODBYE_MS, Transition::Exit { life });
    }

    pub(crate) fn exit(&mut self) {
        self.note(format_args!("the process exits"));
        self.bury();
        self.vault.reopen();
        let down_ms = self.plan.troubles.iter().find_map(|trouble| match trouble {
            Trouble::Terminate { down_ms, .. } => Some(*down_ms),
            _ => None,
        });
        self.after_ms(down_ms.unwrap_or(1_000), Transition::Start);
    }

    fn exit_if_idle(&mut self) {
        let idle = self
            .process
            .as_ref()
            .is_some_and(|process| !process.accepting && !process.tasks.values().any(Task::is_live));
        if idle {
            let life = self.life;
            self.after_ms(1, Transition::Exit { life });
        }
    }

    fn bury(&mut self) {
        let now = self.now();
        self.process = None;
        self.writes.clear();
        self.platform.process_down_since.get_or_insert(now);
        for facts in self.facts.attempts.values_mut() {
            let live = facts.claimed_at.is_some() && facts.outcome.is_none();
            if facts.life == self.life && (live || facts.ended_at.is_none()) {
                facts.cut_by_crash = true;
            }
            if facts.life == self.life
                && live
                && let Some(verification) = self.facts.verifications.get_mut(&facts.verification)
            {
                verification.cut_by_crash = true;
            }
        }
        self.platform_loses_process();
    }

    /// Signals of the store, as the loops hear them.
    pub(crate) fn hear_store(&mut self) {
        let Some(process) = self.process.as_mut() else {
            return;
        };
        let due = process.due_changed.has_changed().unwrap_or(false);
        let outbox = process.outbox_changed.has_changed().unwrap_or(false);
        process.due_changed.borrow_and_update();
        process.outbox_changed.borrow_and_update();
        let mut notices = Vec::new();
        while let Ok(notice) = process.cancels.try_recv() {
            notices.push(notice);
        }
        if due {
            self.select_in_ms(0);
        }
        if outbox {
            self.deliver_in_ms(0);
        }
        for notice in notices {
            self.tell(notice.attempt, notice.reason);
        }
    }

    pub(crate) fn select_in_ms(&mut self, ms: u64) {
        let latency_us = self.dice.between(1, self.plan.scheduling_us_max);
        let at = self.now().plus_ms(ms).plus(Duration::from_micros(latency_us));
        let life = self.life;
        let Some(process) = self.process.as_mut() else {
            return;
        };
        if process.select_at.is_none_or(|planned| at < planned) {
            process.select_at = Some(at);
            self.at(at, Transition::Select { life });
        }
    }

    /// One look at what is due.
    pub(crate) fn select(&mut self) {
        let now = self.now();
        let Some(process) = self.process.as_mut() else {
            return;
        };
        if process.select_at != Some(now) {
            return;
        }
        process.select_at = None;
        if !process.accepting {
            return;
        }
        if self.store_down {
            return self.select_in_ms(STORE_REST_MS);
        }
        // A look costs three reads, so it is taken only where there is something to see.
        if self
            .facts
            .verifications
            .values()
            .all(|facts| facts.outcome.is_some())
        {
            return;
        }
        let Some(agenda) = self.agenda() else { return };
        let mut next: Option<At> = None;
        for attempt in agenda.due {
            match self.pick(&attempt) {
                Picked::Started => {}
                Picked::Wait(until) => {
                    let until = until.unwrap_or(self.now().plus_ms(POLL_MS));
                    next = Some(next.map_or(until, |next| next.min(until)));
                }
                Picked::NoTrunk => {
                    let outcome = Outcome::new(Reason::TrunkDown);
                    self.write(
                        Op::EndQueued {
                            id: attempt.verification,
                            outcome,
                        },
                        Owner::Nobody,
                    );
                }
            }
        }
        if let Some(at) = next {
            let wait = at.since(self.now()).as_millis();
            self.select_in_ms(u64::try_from(wait).unwrap().clamp(1, POLL_MS));
        }
        if let Some(at) = agenda.next_at {
            let wait = at.since(self.clock.wall()).as_millis();
            self.select_in_ms(u64::try_from(wait).unwrap().max(1));
        }
    }

    /// What is due, after what is past its life has ended.
    fn agenda(&mut self) -> Option<Agenda> {
        let look = |town: &Self| {
            town.vault
                .wait(town.vault.store().agenda(town.clock.wall(), BATCH))
        };
        let mut agenda = look(self);
        if agenda.as_ref().is_ok_and(|agenda| agenda.is_overdue) {
            self.expire();
            agenda = look(self);
        }
        match agenda {
            Ok(agenda) => Some(agenda),
            Err(error) => {
                self.violate(0, format!("due attempts were not read: {error}"));
                None
            }
        }
    }

    fn expire(&mut self) {
        let (entropy, wall) = (self.dice.fork(), self.clock.wall());
        match self.vault.wait(self.vault.store().expire_due(entropy, wall)) {
            Ok(ended) => {
                for id in ended {
                    self.outcome_known(id, Outcome::new(Reason::Ttl));
                }
            }
            Err(error) => self.violate(0, format!("expired verifications were not ended: {error}")),
        }
        self.hear_store();
    }

    fn pick(&mut self, due: &DueAttempt) -> Picked {
        let instant = self.clock.instant();
        let Some(process) = self.process.as_mut() else {
            return Picked::Started;
        };
        if process.picked.contains(&due.id) {
            return Picked::Started;
        }
        if !process.accepting || process.picked.len() >= self.plan.calls_max {
            return Picked::Wait(None);
        }
        let need = CallNeed {
            country: due.country.as_deref(),
            internal: due.internal,
            tried: &due.tried_trunks,
        };
        let name = match process.board.select(instant, &need) {
            Selection::Start { trunk } => trunk,
            Selection::Wait { until } => {
                return Picked::Wait(until.map(|until| self.clock.at(until)));
            }
            Selection::NoTrunk => return Picked::NoTrunk,
        };
        process.picked.insert(due.id);
        self.begin_task(due, &name);
        Picked::Started
    }

    /// A cancel for a live call.
    pub(crate) fn tell(&mut self, attempt: AttemptId, reason: Reason) {
        let Some(task) = self
            .process
            .as_mut()
            .and_then(|process| process.tasks.get_mut(&attempt))
        else {
            return;
        };
        // A full queue holds a cancel already.
        if task.is_live() && task.cancels.len() < 2 {
            task.cancels.push_back(reason);
        }
        self.wake_soon(attempt);
    }

    /// A task is over: what it held is given back, and the loop looks again.
    pub(crate) fn attend(&mut self, attempt: AttemptId, trunk: usize, end: &TaskEnd) {
        let instant = self.clock.instant();
        let name = self.peers[trunk].name.clone();
        let Some(process) = self.process.as_mut() else {
            return;
        };
        process.board.ended(&name);
        process.picked.remove(&attempt);
        if let TaskEnd::Ran {
            outcome: Some(outcome),
            next_trunk: NextTrunk::Yes { rest_s: Some(rest_s) },
        } = end
            && matches!(outcome.reason(), Reason::TrunkDown | Reason::Congestion)
        {
            let rest = Duration::from_secs((*rest_s).into()).min(PENALTY_MAX);
            process.board.down(&name, instant + rest);
        }
        self.select_in_ms(0);
        self.exit_if_idle();
    }

    /// Performs a write and keeps in mind what it means.
    pub(crate) fn run_op(&mut self, op: Op, owner: Owner) -> Result<Done, StoreError> {
        if self.store_down {
            return Err(StoreError::Unavailable("no disk".to_owned()));
        }
        if self.plant == Some(Plant::ForgetsOutcome)
            && let Op::Decide(decision) = &op
        {
            let outcome = decision.outcome;
            return Ok(Done::Decided(Decided::Finished { outcome, sequence: 9 }));
        }
        let decided = match &op {
            Op::Decide(decision) => Some((decision.attempt, decision.outcome)),
            _ => None,
        };
        let claimed = match &op {
            Op::Claim(claim) => Some(claim.attempt),
            _ => None,
        };
        let ended = match &op {
            Op::EndQueued { id, outcome } => Some((*id, *outcome)),
            Op::Cancel { id, reason } => Some((*id, Outcome::new(*reason))),
            _ => None,
        };
        let tried = match &op {
            Op::Tried(tried) => Some(tried.clone()),
            _ => None,
        };
        let (entropy, wall) = (self.dice.fork(), self.clock.wall());
        let done = self.vault.wait(op.run(self.vault.store(), entropy, wall))?;
        match &done {
            Done::Accepted(accepted) => self.accepted(owner, accepted),
            Done::Claimed(Claimed::Dialing(_)) => {
                let now = self.now();
                if let Some(facts) = claimed.and_then(|id| self.facts.attempts.get_mut(&id)) {
                    facts.claimed_at = Some(now);
                }
            }
            Done::Decided(verdict) => {
                if let Some((attempt, outcome)) = decided {
                    self.decided(attempt, outcome, verdict);
                }
            }
            Done::EndedQueued(true) | Done::Canceled(Canceled::Now(_)) => {
                if let Some((id, outcome)) = ended {
                    self.outcome_known(id, outcome);
                }
            }
            Done::Tried => {
                if let Some(tried) = tried {
                    self.webhook_settled(&tried);
                }
            }
            Done::Claimed(Claimed::Blocked(outcome)) => {
                let of = claimed.and_then(|id| self.facts.attempts.get(&id));
                if let Some(verification) = of.map(|facts| facts.verification) {
                    self.outcome_known(verification, *outcome);
                }
            }
            Done::Claimed(_)
            | Done::Canceled(_)
            | Done::EndedQueued(false)
            | Done::Staged
            | Done::Reported
            | Done::Freed => {}
        }
        Ok(done)
    }

    /// Stop 2 of an attempt was committed, or refused.
    fn decided(&mut self, attempt: AttemptId, outcome: Outcome, verdict: &Decided) {
        let Some(facts) = self.facts.attempts.get_mut(&attempt) else {
            return;
        };
        let verification = facts.verification;
        match verdict {
            Decided::Finished {
                outcome: of_verification,
                ..
            } => {
                facts.outcome = Some(outcome);
                let of_verification = *of_verification;
                self.outcome_known(verification, of_verification);
            }
            Decided::Retrying { .. } => facts.outcome = Some(outcome),
            // Written before, and its caller did not hear of it.
            Decided::Already(before) if facts.outcome == Some(*before) => {}
            Decided::Already(_) | Decided::NotOurs => {
                let name = self.name_of(attempt);
                self.violate(
                    1,
                    format!("{name}: its outcome {outcome} is refused: {verdict:?}"),
                );
            }
        }
    }

    /// For the trace.
    pub(crate) fn note_done(&mut self, name: &str, done: &Done) {
        if !self.trace.is_on() {
            return;
        }
        match done {
            Done::Accepted(Accepted::Created { verification, .. }) => {
                let of = self.name_of_verification(verification.id);
                self.note(format_args!("store: {of} accepted"));
            }
            Done::Accepted(Accepted::Replay(_)) => self.note(format_args!("store: accepted before")),
            Done::Accepted(Accepted::NumberBusy { .. }) => self.note(format_args!("store: number busy")),
            Done::Accepted(Accepted::Refused(refusal)) => {
                self.note(format_args!("store: refused: {refusal}"))
            }
            Done::Accepted(_) => self.note(format_args!("store: not accepted")),
            Done::Claimed(Claimed::Dialing(_)) => self.note(format_args!("store: claimed")),
            Done::Claimed(other) => self.note(format_args!("store: not claimed: {other:?}")),
            Done::Decided(Decided::Retrying { .. }) => {
                self.note(format_args!("store: decided, another attempt is due"))
            }
            _ => self.note(format_args!("store: {name} done")),
        }
    }

    /// Fault: what was live is dialled again.
    fn redial(&mut self) {
        let cut: Vec<AttemptId> = self
            .facts
            .attempts
            .iter()
            .filter(|(_, facts): &(&AttemptId, &AttemptFacts)| facts.cut_by_crash && facts.outcome.is_none())
            .map(|(id, _)| *id)
            .collect();
        for attempt in cut {
            self.forged_invite(attempt);
        }
    }
}

enum Picked {
    Started,
    /// `None`: only the end of a call helps, and that wakes the loop.
    Wait(Option<At>),
    NoTrunk,
}
