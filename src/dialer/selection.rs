//! Which due attempts start now, and over which trunk.
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::call_task::{self, TaskEnd};
use super::{Shared, Start, Trunk};
use crate::call::NextTrunk;
use crate::model::{AttemptId, Outcome, Reason};
use crate::policy::{CallNeed, Selection, TrunkBoard, TrunkRules};
use crate::store::{CancelNotice, DueAttempt};
use crate::telemetry::wallclock;

/// Attempts read at once. More are read as soon as these have started.
const BATCH: u32 = 256;
/// Longest sleep: what another process committed is found by then.
const POLL: Duration = Duration::from_secs(1);
/// Rest after a failure of the store.
const STORE_REST: Duration = Duration::from_millis(250);
/// How long a trunk that gave no answer, or a 5xx without Retry-After, gets no new calls.
const PENALTY: Duration = Duration::from_secs(5);
/// A trunk may ask for a longer rest, within reason: a mistyped Retry-After must not close it for a day.
const PENALTY_MAX: Duration = Duration::from_secs(600);

/// What the loop and the ends of its tasks change.
struct Desk {
    board: TrunkBoard,
    /// Picked and not yet ended here: the store may still show them as due.
    picked: BTreeSet<AttemptId>,
    /// Picked, or ended and still absorbing what the peer repeats.
    tasks: usize,
}

/// What an attempt takes from the others while it lasts: a line of its trunk, its place in the table of live calls.
pub(super) struct Seat {
    shared: Arc<Shared>,
    desk: Arc<Mutex<Desk>>,
    attempt: AttemptId,
    trunk: Arc<Trunk>,
    taken: AtomicBool,
}

impl Seat {
    /// Gives it back, once. The task may go on for the timers of its transactions.
    pub(super) fn give_back(&self, end: TaskEnd) {
        if !self.taken.swap(false, Ordering::AcqRel) {
            return;
        }
        {
            let mut guard = lock(&self.desk);
            guard.board.ended(&self.trunk.name);
            guard.picked.remove(&self.attempt);
            if let Some((outcome, rest)) = rest_after(end) {
                self.shared.rotate(&self.trunk);
                guard.board.down(&self.trunk.name, Instant::now() + rest);
                tracing::warn!(trunk = %self.trunk.name, %outcome, "the trunk rests for {} s", rest.as_secs());
            }
        }
        self.shared.live().remove(&self.attempt);
        self.shared.wake();
    }
}

pub(super) async fn run(shared: Arc<Shared>, mut accepting: watch::Receiver<bool>) {
    let rules = shared
        .config
        .trunks
        .iter()
        .map(|t| TrunkRules::new(&t.name, t.cps, t.calls_max));
    let desk = Arc::new(Mutex::new(Desk {
        board: TrunkBoard::new(rules),
        picked: BTreeSet::new(),
        tasks: 0,
    }));
    let mut due_changed = shared.store.attempts_changed();
    let mut cancels = shared.store.cancels();
    let mut sleep = Duration::ZERO;
    loop {
        tokio::select! {
            () = tokio::time::sleep(sleep) => {}
            changed = due_changed.changed() => if changed.is_err() { return },
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
        sleep = if *accepting.borrow() {
            round(&shared, &desk).await
        } else {
            POLL
        };
    }
}

/// One look at what is due; returns how long the next may wait.
async fn round(shared: &Arc<Shared>, desk: &Arc<Mutex<Desk>>) -> Duration {
    let now = wallclock();
    if let Ok(entropy) = crate::telemetry::entropy()
        && let Err(error) = shared.store.expire_due(entropy, now).await
    {
        tracing::warn!(%error, "expired verifications were not ended");
    }
    let due = match shared.store.due_attempts(now, BATCH).await {
        Ok(due) => due,
        Err(error) => {
            tracing::warn!(%error, "due attempts were not read");
            return STORE_REST;
        }
    };
    let full_batch = due.len() == BATCH as usize;
    let mut next = POLL;
    for attempt in due {
        match pick(shared, desk, &attempt) {
            Picked::Started => {}
            Picked::Wait(until) => {
                let wait = until.map_or(POLL, |at| at.saturating_duration_since(Instant::now()));
                next = next.min(wait.max(Duration::from_millis(1)));
            }
            Picked::NoTrunk => refuse(shared, &attempt, Outcome::new(Reason::TrunkDown)).await,
        }
    }
    if full_batch {
        return Duration::from_millis(1);
    }
    match shared.store.next_attempt_at().await {
        // One that is due already waits for a trunk or for its number, and `next` knows when that may change.
        Ok(Some(at)) if at > wallclock() => next.min(at.since(wallclock()).max(Duration::from_millis(1))),
        Ok(_) | Err(_) => next,
    }
}

enum Picked {
    Started,
    /// `None`: only the end of a call helps, and that wakes the loop.
    Wait(Option<Instant>),
    NoTrunk,
}

fn pick(shared: &Arc<Shared>, desk: &Arc<Mutex<Desk>>, due: &DueAttempt) -> Picked {
    let mut guard = lock(desk);
    if guard.picked.contains(&due.id) {
        return Picked::Started;
    }
    let calls_max = shared.config.calls_max;
    if guard.picked.len() >= calls_max || guard.tasks >= calls_max.saturating_mul(2) {
        return Picked::Wait(None);
    }
    let need = CallNeed {
        country: due.country.as_deref(),
        internal: due.internal,
        tried: &due.tried_trunks,
    };
    let name = match guard.board.select(Instant::now(), &need) {
        Selection::Start { trunk } => trunk,
        Selection::Wait { until } => return Picked::Wait(until),
        Selection::NoTrunk => return Picked::NoTrunk,
    };
    let Some(trunk) = shared.config.trunks.iter().find(|t| t.name == name) else {
        return Picked::NoTrunk;
    };
    guard.picked.insert(due.id);
    guard.tasks += 1;
    drop(guard);
    let start = Start {
        due: due.clone(),
        trunk: Arc::new(trunk.clone()),
    };
    let (cancel, canceled) = mpsc::channel(2);
    shared.live().insert(due.id, cancel);
    tokio::spawn(attend(Arc::clone(shared), Arc::clone(desk), start, canceled));
    Picked::Started
}

/// Runs one attempt and gives back what it held, even if its task panics.
async fn attend(shared: Arc<Shared>, desk: Arc<Mutex<Desk>>, start: Start, cancel: mpsc::Receiver<Reason>) {
    let id = start.due.id;
    let seat = Arc::new(Seat {
        shared: Arc::clone(&shared),
        desk: Arc::clone(&desk),
        attempt: id,
        trunk: Arc::clone(&start.trunk),
        taken: AtomicBool::new(true),
    });
    let task = call_task::run(Arc::clone(&shared), start, cancel, Arc::clone(&seat));
    let end = match tokio::spawn(task).await {
        Ok(end) => end,
        Err(error) => {
            tracing::error!(attempt = %id, %error, "a call task failed; the next start will tell its outcome");
            TaskEnd::Ran {
                outcome: None,
                next_trunk: NextTrunk::No,
            }
        }
    };
    seat.give_back(end);
    lock(&desk).tasks -= 1;
    shared.wake();
    if end == TaskEnd::NumberBusy {
        tracing::debug!(attempt = %id, "waits for the number's earlier call to end");
    }
}

/// How long the trunk rests after this end, if it is the trunk that failed: what its 503 asked for (RFC 3261
/// §20.33), else [`PENALTY`].
fn rest_after(end: TaskEnd) -> Option<(Outcome, Duration)> {
    let TaskEnd::Ran {
        outcome: Some(outcome),
        next_trunk: NextTrunk::Yes { retry_after_s },
    } = end
    else {
        return None;
    };
    matches!(outcome.reason(), Reason::TrunkDown | Reason::Congestion).then(|| {
        let asked = retry_after_s.map(|s| Duration::from_secs(s.into()));
        (outcome, asked.map_or(PENALTY, |rest| rest.min(PENALTY_MAX)))
    })
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
    match shared.store.pending_cancels(&shared.config.node).await {
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

    #[test]
    fn a_trunk_rests_as_long_as_its_503_asks_within_reason() {
        let rest = |reason, next_trunk| {
            let end = TaskEnd::Ran {
                outcome: Some(Outcome::new(reason)),
                next_trunk,
            };
            rest_after(end).map(|(_, rest)| rest.as_secs())
        };
        let yes = |retry_after_s| NextTrunk::Yes { retry_after_s };
        for (reason, next_trunk, expected) in [
            (Reason::Congestion, yes(Some(1)), Some(1)),
            (Reason::Congestion, yes(Some(0)), Some(0)),
            (Reason::Congestion, yes(Some(120)), Some(120)),
            (Reason::Congestion, yes(Some(u32::MAX)), Some(600)),
            (Reason::Congestion, yes(None), Some(5)),
            (Reason::TrunkDown, yes(None), Some(5)),
            // The number's fate, or one opinion of many: the trunk itself is well.
            (Reason::CodecMismatch, yes(None), None),
            (Reason::RejectedByNetwork, NextTrunk::Once, None),
            (Reason::Congestion, NextTrunk::No, None),
        ] {
            assert_eq!(rest(reason, next_trunk), expected, "{reason} {next_trunk:?}");
        }
        assert_eq!(rest_after(TaskEnd::NotClaimed), None);
    }
}
