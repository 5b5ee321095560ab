//! Wakes those who wait for a change. In-process: what another process writes is found by polling.
//!
//! Invariants: a signal is sent only after the commit; a lost signal costs a poll, never a fact. Watched
//! verifications are bounded by [`WATCHED_MAX`]; beyond it a watcher simply polls.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{broadcast, watch};

use crate::model::VerificationId;

use super::{CancelNotice, DueAttempt};

/// Most verifications that have a watcher at the same time.
pub const WATCHED_MAX: usize = 65_536;
/// Cancel notices that a slow dialer may be behind; past it, it reads `pending_cancels`.
const CANCEL_NOTICES_MAX: usize = 1024;
/// New attempts that a slow dialer may be behind; past it, it looks.
const CREATED_MAX: usize = 1024;

/// What a transaction changed, collected while it runs and sent once it is durable.
#[derive(Debug, Default)]
pub(super) struct Signals {
    /// Verification and its new sequence.
    pub(super) changed: Vec<(VerificationId, u64)>,
    pub(super) attempts_due: bool,
    /// New ones that are due now, and nothing is in their way.
    pub(super) created: Vec<DueAttempt>,
    pub(super) outbox_due: bool,
    pub(super) cancels: Vec<CancelNotice>,
}

impl Signals {
    pub(super) fn add(&mut self, other: Self) {
        self.changed.extend(other.changed);
        self.attempts_due |= other.attempts_due;
        self.created.extend(other.created);
        self.outbox_due |= other.outbox_due;
        self.cancels.extend(other.cancels);
    }
}

#[derive(Debug, Clone)]
pub(super) struct Changes {
    watched: Arc<Mutex<BTreeMap<VerificationId, watch::Sender<u64>>>>,
    attempts: watch::Sender<u64>,
    created: broadcast::Sender<DueAttempt>,
    outbox: watch::Sender<u64>,
    cancels: broadcast::Sender<CancelNotice>,
}

impl Changes {
    pub(super) fn new() -> Self {
        Self {
            watched: Arc::default(),
            attempts: watch::Sender::new(0),
            created: broadcast::Sender::new(CREATED_MAX),
            outbox: watch::Sender::new(0),
            cancels: broadcast::Sender::new(CANCEL_NOTICES_MAX),
        }
    }

    pub(super) fn attempts(&self) -> watch::Receiver<u64> {
        self.attempts.subscribe()
    }

    pub(super) fn created(&self) -> broadcast::Receiver<DueAttempt> {
        self.created.subscribe()
    }

    pub(super) fn outbox(&self) -> watch::Receiver<u64> {
        self.outbox.subscribe()
    }

    pub(super) fn cancels(&self) -> broadcast::Receiver<CancelNotice> {
        self.cancels.subscribe()
    }

    /// `None` when too many are watched already.
    pub(super) fn watch(&self, id: VerificationId) -> Option<Watch> {
        let mut watched = lock(&self.watched);
        if watched.len() >= WATCHED_MAX && !watched.contains_key(&id) {
            return None;
        }
        let receiver = watched
            .entry(id)
            .or_insert_with(|| watch::Sender::new(0))
            .subscribe();
        Some(Watch {
            id,
            receiver,
            watched: Arc::clone(&self.watched),
        })
    }

    /// Called after the commit.
    pub(super) fn send(&self, signals: Signals) {
        if !signals.changed.is_empty() {
            let watched = lock(&self.watched);
            for (id, sequence) in signals.changed {
                if let Some(sender) = watched.get(&id) {
                    sender.send_if_modified(|last| std::mem::replace(last, (*last).max(sequence)) < sequence);
                }
            }
        }
        let mut look = signals.attempts_due;
        for attempt in signals.created {
            // Nobody takes them one by one: then somebody must look.
            look |= self.created.send(attempt).is_err();
        }
        if look {
            self.attempts.send_modify(|count| *count = count.wrapping_add(1));
        }
        if signals.outbox_due {
            self.outbox.send_modify(|count| *count = count.wrapping_add(1));
        }
        for notice in signals.cancels {
            // No receiver only means that no dialer runs in this process.
            let _ = self.cancels.send(notice);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The map holds no half-done change: a panic elsewhere does not spoil it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for the next change of one verification.
#[derive(Debug)]
pub struct Watch {
    id: VerificationId,
    receiver: watch::Receiver<u64>,
    watched: Arc<Mutex<BTreeMap<VerificationId, watch::Sender<u64>>>>,
}

impl Watch {
    /// Returns after a change committed since this watch was made, or since the last return. Take the watch
    /// first and read the verification second, then no change can fall between. Cancel-safe.
    pub async fn changed(&mut self) {
        if self.receiver.changed().await.is_err() {
            // The sender lives in the map as long as a watch does; a missing one means that nothing will come.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watched = lock(&self.watched);
        // This receiver still counts: one left is ours.
        if watched
            .get(&self.id)
            .is_some_and(|sender| sender.receiver_count() <= 1)
        {
            watched.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Entropy, UnixMillis};

    fn id(seed: u64) -> VerificationId {
        VerificationId::generate(UnixMillis(1), &mut Entropy::from_number(seed))
    }

    fn changed(id: VerificationId, sequence: u64) -> Signals {
        Signals {
            changed: vec![(id, sequence)],
            ..Signals::default()
        }
    }

    #[tokio::test]
    async fn a_watcher_hears_its_own_verification_only() {
        let changes = Changes::new();
        let mut watch = changes.watch(id(1)).unwrap();
        changes.send(changed(id(2), 5));
        assert!(!watch.receiver.has_changed().unwrap());
        changes.send(changed(id(1), 2));
        watch.changed().await;
    }

    #[tokio::test]
    async fn the_last_watcher_takes_the_entry_with_it() {
        let changes = Changes::new();
        let (first, second) = (changes.watch(id(1)).unwrap(), changes.watch(id(1)).unwrap());
        drop(first);
        assert_eq!(lock(&changes.watched).len(), 1);
        drop(second);
        assert_eq!(lock(&changes.watched).len(), 0);
    }
}
