//! Which due attempts start now, and over which trunk.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use super::call_task::{self, TaskEnd};
use super::health::Standing;
use super::ledger::{self, Ledger};
use super::soon::{MOMENT, Picked, Soon};
use super::{InForce, Shared, Start};
use crate::call::NextTrunk;
use crate::model::{AttemptId, Outcome, Reason, UnixMillis};
use crate::net::mailbox::{Receiver, mailbox};
use crate::policy::{CallNeed, Overload, Selection, TrunkBoard, TrunkRules};
use crate::store::{Agenda, CancelNotice, DueAttempt, StoreError};
use crate::telemetry::wallclock;

/// Attempts read at once. More are read as soon as these have started.
const BATCH: u32 = 256;
/// Longest sleep: what another process committed is found by then.
const POLL: Duration = Duration::from_secs(1);
/// Rest after a failure of the store.
const STORE_REST: Duration = Duration::from_millis(250);
/// How long a trunk that cannot be reached gets no new calls.
const PENALTY: Duration = Duration::from_secs(5);
/// A trunk may ask for a longer rest, within reason: a mistyped Retry-After must not close it for a day.
const PENALTY_MAX: Duration = Duration::from_secs(600);

/// How long an attempt waits for a place that was not free.
const PLACE_REST: Duration = Duration::from_millis(100);

/// What the loop and the ends of its tasks change.
struct Desk {
    board: TrunkBoard,
    /// Picked and not yet ended here: the store may still show them as due.
    picked: BTreeSet<AttemptId>,
    /// Attempts that were picked, not dialled, and are still due.
    held: BTreeMap<AttemptId, Hold>,
    /// Trunks that carry no call now nor soon: nothing waits for them.
    down: Vec<String>,
    /// Attempts that are due found no place at the last look: the end of a call may have made one.
    is_waited_for: bool,
}

/// What an attempt that is still due has met.
#[derive(Debug)]
struct Hold {
    /// Not picked again before.
    until: Option<Instant>,
    /// Trunks that could not be reached for it.
    unreachable: Vec<String>,
    /// Of its verification; nothing is due after.
    expires_at: UnixMillis,
}

impl Desk {
    fn new(rules: impl IntoIterator<Item = TrunkRules>) -> Self {
        Self {
            board: TrunkBoard::new(rules),
            picked: BTreeSet::new(),
            held: BTreeMap::new(),
            down: Vec::new(),
            is_waited_for: false,
        }
    }

    /// Takes the health of a trunk's targets over.
    fn stands(&mut self, trunk: &str, standing: Standing) {
        self.down.retain(|name| name != trunk);
        match standing {
            Standing::Up => {}
            Standing::Rests(until) => self.board.down(trunk, until),
            Standing::Down => self.down.push(trunk.to_owned()),
        }
    }

    /// The trunk for this attempt, and how many could carry it after that one.
    fn choose(&mut self, due: &DueAttempt, now: Instant) -> (Selection, usize) {
        let mut tried = due.tried_trunks.clone();
        tried.extend(self.down.iter().cloned());
        if let Some(hold) = self.held.get(&due.id) {
            if let Some(until) = hold.until.filter(|until| *until > now) {
                return (Selection::Wait { until: Some(until) }, 0);
            }
            tried.extend(hold.unreachable.iter().cloned());
        }
        let selection = self.board.select(now, &need(due, &tried));
        if let Selection::Start { trunk } = &selection {
            tried.push(trunk.clone());
        }
        (selection, self.board.untried(&need(due, &tried)))
    }

    /// An attempt has left its task.
    fn ended(&mut self, picked: &Picking, end: TaskEnd, now: Instant) {
        let (id, trunk) = (picked.id, picked.trunk.as_str());
        self.board.ended(trunk);
        self.picked.remove(&id);
        let hold = || Hold {
            until: None,
            unreachable: Vec::new(),
            expires_at: picked.expires_at,
        };
        match end {
            TaskEnd::Unreachable => {
                self.board.down(trunk, now + PENALTY);
                let hold = self.held.entry(id).or_insert_with(hold);
                hold.unreachable.push(trunk.to_owned());
            }
            TaskEnd::StaysDue => {
                self.held.entry(id).or_insert_with(hold).until = Some(now + PLACE_REST);
            }
            TaskEnd::NotClaimed | TaskEnd::NumberBusy => {}
            TaskEnd::Refused(_) | TaskEnd::Ran { .. } => {
                self.held.remove(&id);
            }
        }
    }
}

fn need<'a>(due: &'a DueAttempt, tried: &'a [String]) -> CallNeed<'a> {
    CallNeed {
        country: due.country.as_deref(),
        internal: due.internal,
        tried,
    }
}

/// What is kept of an attempt while its task has it.
struct Picking {
    id: AttemptId,
    trunk: String,
    expires_at: UnixMillis,
}

pub(super) async fn run(shared: Arc<Shared>, mut accepting: watch::Receiver<bool>) {
    let mut in_force = shared.in_force();
    let desk = Arc::new(Mutex::new(Desk::new(rules(&in_force))));
    let mut due_changed = shared.store.attempts_changed();
    let mut created = shared.store.attempts_created();
    let mut cancels = shared.store.cancels();
    let mut next_look = Instant::now();
    let mut soon = Soon::default();
    loop {
        let mut must_look = true;
        let wake_at = soon.retry_at().map_or(next_look, |at| at.min(next_look));
        tokio::select! {
            () = tokio::time::sleep_until(wake_at.into()) => must_look = Instant::now() >= next_look,
            changed = due_changed.changed() => if changed.is_err() { return },
            attempt = created.recv() => match attempt {
                // Behind those that wait for a place it takes its turn with the next look.
                Ok(attempt) if soon.len() < BATCH as usize && !lock(&desk).is_waited_for => {
                    soon.push(attempt);
                    must_look = false;
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
            () = shared.room.notified() => {}
            cancel = cancels.recv() => {
                match cancel {
                    Ok(notice) => tell(&shared, &notice),
                    Err(_) => tell_pending(&shared).await,
                }
                continue;
            }
            changed = accepting.changed() => if changed.is_err() { return },
        }
        let newest = shared.in_force();
        if !Arc::ptr_eq(&newest, &in_force) {
            let mut guard = lock(&desk);
            guard.board.replace(rules(&newest));
            // The next pick tells of each trunk again.
            guard.down.clear();
            drop(guard);
            in_force = newest;
        }
        if !*accepting.borrow() {
            soon.clear();
            next_look = Instant::now() + POLL;
            continue;
        }
        set_gates(&shared, &desk, &in_force);
        if !must_look && !soon.retry(|attempt| pick(&shared, &desk, &in_force, attempt)) {
            continue;
        }
        soon.clear();
        next_look = Instant::now() + round(&shared, &desk, &in_force, &mut soon).await;
    }
}

fn rules(in_force: &InForce) -> impl Iterator<Item = TrunkRules> {
    let trunks = in_force.config.trunks.iter();
    trunks.map(|t| TrunkRules::new(&t.name, t.cps, t.calls_max))
}

fn set_gates(shared: &Shared, desk: &Mutex<Desk>, in_force: &InForce) {
    let mut guard = lock(desk);
    let mut gates = shared.bindings.gates();
    for trunk in &in_force.config.trunks {
        // One that does not register, or does so no more, is open.
        let gate = gates.remove(&trunk.name).unwrap_or_default();
        guard.board.set_gate(&trunk.name, gate);
    }
}

/// One look at what is due; returns how long the next may wait.
async fn round(
    shared: &Arc<Shared>,
    desk: &Arc<Mutex<Desk>>,
    in_force: &Arc<InForce>,
    soon: &mut Soon,
) -> Duration {
    let now = wallclock();
    {
        let mut guard = lock(desk);
        guard.held.retain(|_, hold| hold.expires_at > now);
        guard.is_waited_for = false;
    }
    let agenda = match agenda(shared, now).await {
        Ok(agenda) => agenda,
        Err(error) => {
            tracing::warn!(%error, "due attempts were not read");
            return STORE_REST;
        }
    };
    let full_batch = agenda.due.len() == BATCH as usize;
    let (mut started, mut waited) = (false, false);
    let mut next = POLL;
    for attempt in agenda.due {
        match pick(shared, desk, in_force, &attempt) {
            Picked::Started => started = true,
            Picked::Before => {}
            Picked::Soon(until) => {
                waited = true;
                soon.wait(attempt, until);
            }
            Picked::Wait(until) => {
                // For a trunk or a place: that is no lateness of ours.
                shared.gate.lock().released(attempt.verification);
                waited = true;
                let wait = until.map_or(POLL, |at| at.saturating_duration_since(Instant::now()));
                next = next.min(wait.max(Duration::from_millis(1)));
            }
            Picked::NoTrunk => {
                shared.gate.lock().released(attempt.verification);
                for reason in lock(desk).board.closed() {
                    tracing::warn!(attempt = %attempt.id, reason, "no trunk carries it");
                }
                refuse(shared, &attempt, Outcome::new(Reason::TrunkDown)).await;
            }
        }
    }
    if full_batch {
        lock(desk).is_waited_for = true;
        soon.expect_more();
    }
    if full_batch && waited {
        shared.gate.lock().released_unpicked();
    }
    if full_batch && started && soon.len() == 0 {
        return Duration::from_millis(1);
    }
    match agenda.next_at {
        Some(at) => next.min(at.since(wallclock()).max(Duration::from_millis(1))),
        None => next,
    }
}

/// What is due, after what is past its life has ended.
async fn agenda(shared: &Shared, now: UnixMillis) -> Result<Agenda, StoreError> {
    let agenda = shared.store.agenda(now, BATCH).await?;
    if !agenda.is_overdue {
        return Ok(agenda);
    }
    if let Ok(entropy) = crate::telemetry::entropy()
        && let Err(error) = shared.store.expire_due(entropy, now).await
    {
        tracing::warn!(%error, "expired verifications were not ended");
    }
    shared.store.agenda(now, BATCH).await
}

fn pick(shared: &Arc<Shared>, desk: &Arc<Mutex<Desk>>, in_force: &Arc<InForce>, due: &DueAttempt) -> Picked {
    let mut guard = lock(desk);
    if guard.picked.contains(&due.id) {
        return Picked::Before;
    }
    // Until it has started, and under one lock: no call ends unnoticed in between.
    let others_wait = std::mem::replace(&mut guard.is_waited_for, true);
    if shared.is_draining() {
        return Picked::Wait(None);
    }
    if guard.picked.len() >= in_force.config.calls_max {
        return Picked::Wait(None);
    }
    let now = Instant::now();
    for trunk in &in_force.config.trunks {
        guard.stands(&trunk.name, shared.health.standing(&trunk.name, now));
    }
    let (selection, untried) = guard.choose(due, now);
    let name = match selection {
        Selection::Start { trunk } => trunk,
        Selection::Wait { until: Some(until) } if until <= now + MOMENT => {
            // No end of a call is waited for, and its turn has come: the rest is the trunk's pace.
            guard.is_waited_for = others_wait;
            drop(guard);
            paced(&mut shared.gate.lock(), due, now, wallclock());
            return Picked::Soon(until);
        }
        Selection::Wait { until } => return Picked::Wait(until),
        Selection::NoTrunk => return Picked::NoTrunk,
    };
    let Some(trunk) = in_force.trunks.iter().find(|t| t.name == name) else {
        return Picked::NoTrunk;
    };
    guard.picked.insert(due.id);
    guard.is_waited_for = others_wait;
    drop(guard);
    shared.gate.lock().picked(now, due.verification);
    let start = Start {
        due: due.clone(),
        in_force: Arc::clone(in_force),
        trunk: Arc::clone(trunk),
        untried,
    };
    let (cancel, canceled) = mailbox(2);
    shared.live().insert(due.id, cancel);
    tokio::spawn(attend(Arc::clone(shared), Arc::clone(desk), start, canceled));
    Picked::Started
}

/// An attempt that could start now waits for its trunk's pace: its place is kept for it for a moment. What waits longer
/// stands in a queue that the trunk's rate makes, and takes no place from others.
fn paced(gate: &mut Overload, due: &DueAttempt, now: Instant, clock: UnixMillis) {
    gate.picked(now, due.verification);
    if clock.since(due.due_at) > MOMENT {
        gate.released(due.verification);
    }
}

/// Runs one attempt and gives back what it held, even if its task panics.
async fn attend(shared: Arc<Shared>, desk: Arc<Mutex<Desk>>, start: Start, cancel: Receiver<Reason>) {
    let picked = Picking {
        id: start.due.id,
        trunk: start.trunk.name.clone(),
        expires_at: start.due.expires_at,
    };
    let (id, trunk) = (picked.id, Arc::clone(&start.trunk));
    let verification = start.due.verification;
    let task = tokio::spawn(call_task::run(Arc::clone(&shared), start, cancel));
    let end = match task.await {
        Ok(TaskEnd::Ran { outcome: None, .. }) => {
            tracing::error!(attempt = %id, "a call task ended without an outcome");
            Box::pin(lost(&shared, id)).await
        }
        Ok(end) => end,
        Err(error) => {
            tracing::error!(attempt = %id, %error, "a call task failed");
            Box::pin(lost(&shared, id)).await
        }
    };
    // However it went, no place is kept for it any longer.
    shared.gate.lock().released(verification);
    let must_look = {
        let mut guard = lock(&desk);
        let now = Instant::now();
        guard.ended(&picked, end, now);
        // With another target in order the trunk goes on: the call has told which ones are not.
        if let Some((outcome, rest)) = rest_after(end)
            && shared.health.standing(&trunk.name, now) != Standing::Up
        {
            guard.board.down(&trunk.name, now + rest);
            tracing::warn!(trunk = %trunk.name, %outcome, "the trunk rests for {} s", rest.as_secs());
        }
        guard.is_waited_for || !matches!(end, TaskEnd::Refused(_) | TaskEnd::Ran { .. })
    };
    shared.live().remove(&id);
    // One permit for the loop, where somebody waits for the place or the attempt is still due; one wake for a drain that waits.
    shared.room.notify_waiters();
    if must_look {
        shared.room.notify_one();
    }
    if end == TaskEnd::NumberBusy {
        tracing::debug!(attempt = %id, "waits for the number's earlier call to end");
    }
}

/// The end of an attempt whose task could not say it.
async fn lost(shared: &Shared, attempt: AttemptId) -> TaskEnd {
    let in_force = shared.in_force();
    let (node, fraud_block) = (in_force.config.node.clone(), in_force.config.fraud_block);
    let ledger = Ledger::new(shared.store.clone(), attempt, node, fraud_block);
    match ledger::settle_lost(ledger).await {
        Some(outcome) => TaskEnd::Ran {
            outcome: Some(outcome),
            next_trunk: NextTrunk::No,
        },
        None => TaskEnd::StaysDue,
    }
}

/// How long the trunk rests after this end, if it is the trunk that failed: what its 503 asked for (RFC 3261
/// §20.33), or the usual.
fn rest_after(end: TaskEnd) -> Option<(Outcome, Duration)> {
    let TaskEnd::Ran {
        outcome: Some(outcome),
        next_trunk: NextTrunk::Yes { rest_s: Some(rest_s) },
    } = end
    else {
        return None;
    };
    matches!(outcome.reason(), Reason::TrunkDown | Reason::Congestion)
        .then(|| (outcome, Duration::from_secs(rest_s.into()).min(PENALTY_MAX)))
}

async fn refuse(shared: &Shared, due: &DueAttempt, outcome: Outcome) {
    let Ok(entropy) = crate::telemetry::entropy() else {
        return;
    };
    if let Err(error) = shared
        .store
        .end_queued(due.verification, outcome, entropy, wallclock())
        .await
    {
        tracing::warn!(attempt = %due.id, %error, "no trunk carries it, and that was not written");
    }
}

fn tell(shared: &Shared, notice: &CancelNotice) {
    if let Some(cancel) = shared.live().get(&notice.attempt) {
        // A full queue holds a cancel already.
        let _ = cancel.try_send(notice.reason);
    }
}

/// The loop was behind on notices: the store knows all that are open.
async fn tell_pending(shared: &Shared) {
    match shared.store.pending_cancels(&shared.in_force().config.node).await {
        Ok(notices) => notices.iter().for_each(|notice| tell(shared, notice)),
        Err(error) => tracing::warn!(%error, "pending cancels were not read"),
    }
}

fn lock(desk: &Mutex<Desk>) -> std::sync::MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Entropy, VerificationId};

    #[test]
    fn a_trunk_rests_as_long_as_its_503_asks_within_reason() {
        let rest = |reason, next_trunk| {
            let end = TaskEnd::Ran {
                outcome: Some(Outcome::new(reason)),
                next_trunk,
            };
            rest_after(end).map(|(_, rest)| rest.as_secs())
        };
        let yes = |rest_s| NextTrunk::Yes { rest_s };
        for (reason, next_trunk, expected) in [
            (Reason::Congestion, yes(Some(1)), Some(1)),
            (Reason::Congestion, yes(Some(0)), Some(0)),
            (Reason::Congestion, yes(Some(120)), Some(120)),
            (Reason::Congestion, yes(Some(u32::MAX)), Some(600)),
            (Reason::TrunkDown, yes(Some(5)), Some(5)),
            // 500, 502, 504, or a cause that says congestion: one call's failure.
            (Reason::Congestion, yes(None), None),
            // The number's fate, or one opinion of many: the trunk itself is well.
            (Reason::CodecMismatch, yes(None), None),
            (Reason::RejectedByNetwork, NextTrunk::Once, None),
            (Reason::Congestion, NextTrunk::No, None),
        ] {
            assert_eq!(rest(reason, next_trunk), expected, "{reason} {next_trunk:?}");
        }
        assert_eq!(rest_after(TaskEnd::NotClaimed), None);
    }

    fn due(number: u64) -> DueAttempt {
        let id = AttemptId::generate(UnixMillis(0), &mut Entropy::from_number(number));
        DueAttempt {
            id,
            verification: VerificationId::generate(UnixMillis(0), &mut Entropy::from_number(number)),
            number: 1,
            profile: "default".into(),
            country: Some("US".into()),
            internal: false,
            due_at: UnixMillis(0),
            expires_at: UnixMillis(60_000),
            tried_trunks: Vec::new(),
        }
    }

    fn desk(trunks: &[&str]) -> Desk {
        Desk::new(trunks.iter().map(|name| TrunkRules::new(*name, 50.0, 9)))
    }

    fn picking(due: &DueAttempt, trunk: &str) -> Picking {
        Picking {
            id: due.id,
            trunk: trunk.to_owned(),
            expires_at: due.expires_at,
        }
    }

    fn start(trunk: &str) -> Selection {
        Selection::Start { trunk: trunk.into() }
    }

    #[test]
    fn a_place_is_kept_for_a_moment_of_the_trunks_pace_and_no_longer() {
        let now = Instant::now();
        let mut gate = Overload::new(now);
        let due = due(1);
        gate.admit(now, None, due.verification).unwrap();
        let at = |ms: i64| UnixMillis(due.due_at.0 + ms);
        paced(&mut gate, &due, now, at(50));
        assert_eq!(gate.standing().promised, 1);
        paced(&mut gate, &due, now, at(51));
        assert_eq!(gate.standing().promised, 0);
    }

    #[test]
    fn a_trunk_that_was_not_reached_rests_and_is_not_asked_again_for_this_attempt() {
        let now = Instant::now();
        let (one, two) = (due(1), due(2));
        let mut desk = desk(&["a", "b"]);
        assert_eq!(desk.choose(&one, now), (start("a"), 1));
        desk.ended(&picking(&one, "a"), TaskEnd::Unreachable, now);
        assert!(desk.board.is_down("a", now));
        assert_eq!(desk.board.live("a"), 0);
        assert_eq!(desk.choose(&one, now), (start("b"), 0));
        // Another attempt takes the healthy trunk at once, and the first again after its rest.
        let later = now + Duration::from_secs(1);
        assert_eq!(desk.choose(&two, later), (start("b"), 1));
        desk.ended(&picking(&one, "b"), TaskEnd::Unreachable, later);
        assert_eq!(desk.choose(&one, later).0, Selection::NoTrunk);
        assert_eq!(desk.choose(&due(3), now + PENALTY), (start("a"), 1));
    }

    #[test]
    fn nothing_waits_for_a_trunk_that_is_down_and_a_short_rest_is_waited_for() {
        let now = Instant::now();
        let due = due(1);
        let mut desk = desk(&["a", "b"]);
        desk.stands("a", Standing::Down);
        assert_eq!(desk.choose(&due, now), (start("b"), 0));
        desk.stands("b", Standing::Down);
        assert_eq!(desk.choose(&due, now).0, Selection::NoTrunk);
        let until = now + Duration::from_secs(3);
        desk.stands("b", Standing::Rests(until));
        assert_eq!(desk.choose(&due, now).0, Selection::Wait { until: Some(until) });
        desk.stands("a", Standing::Up);
        assert_eq!(desk.choose(&due, now), (start("a"), 1));
    }

    #[test]
    fn an_attempt_without_a_place_waits_a_little_and_its_trunk_does_not_rest() {
        let now = Instant::now();
        let due = due(1);
        let mut desk = desk(&["a"]);
        assert_eq!(desk.choose(&due, now), (start("a"), 0));
        desk.ended(&picking(&due, "a"), TaskEnd::StaysDue, now);
        assert!(!desk.board.is_down("a", now));
        let until = now + PLACE_REST;
        assert_eq!(desk.choose(&due, now).0, Selection::Wait { until: Some(until) });
        assert_eq!(desk.choose(&due, until), (start("a"), 0));
        desk.ended(
            &picking(&due, "a"),
            TaskEnd::Refused(Outcome::new(Reason::Internal)),
            until,
        );
        assert!(desk.held.is_empty());
    }
}
