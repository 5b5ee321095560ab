//! [`Store`]: one method per thing that the rooms above may ask.
use std::time::Duration;

use tokio::sync::{broadcast, watch};

use crate::model::{
    AttemptId, AttemptReport, Entropy, EventId, Outcome, Reason, Stage, UnixMillis, Verification,
    VerificationId,
};

use super::changes::Changes;
use super::sqlite::Sqlite;
use super::*;

/// How to open a store.
#[derive(Clone)]
pub struct StoreOptions {
    /// `sqlite://path/to/file.db`.
    pub url: String,
    /// Makes the body of each webhook when its event is committed.
    pub render: RenderWebhook,
    /// Connections for reading, 1–64.
    pub readers: u32,
    /// Longest wait for another process's lock.
    pub busy_timeout: Duration,
    /// How long a write that nobody waits for may wait for others to share its commit.
    pub gather: Duration,
}

impl StoreOptions {
    #[must_use]
    pub fn new(url: impl Into<String>, render: RenderWebhook) -> Self {
        Self {
            url: url.into(),
            render,
            readers: 4,
            busy_timeout: Duration::from_secs(5),
            gather: Duration::from_millis(10),
        }
    }
}

/// The store. Cheap to clone; clones share the engine.
#[derive(Clone)]
pub struct Store {
    engine: Engine,
    changes: Changes,
}

#[derive(Clone)]
enum Engine {
    Sqlite(Sqlite),
}

/// Each listed method goes to the engine's method of the same name.
macro_rules! to_engine {
    ($( $(#[$doc:meta])* fn $name:ident(&self $(, $arg:ident: $type:ty)*) -> $ret:ty; )+) => {
        impl Store {
            $(
                $(#[$doc])*
                pub async fn $name(&self $(, $arg: $type)*) -> Result<$ret, StoreError> {
                    match &self.engine {
                        Engine::Sqlite(engine) => engine.$name($($arg),*).await,
                    }
                }
            )+
        }
    };
}

impl Store {
    /// Opens the store, creates it when missing, and brings its schema up to date.
    pub async fn open(options: StoreOptions) -> Result<Self, StoreError> {
        let changes = Changes::new();
        if options.url.starts_with("sqlite:") {
            let engine = Engine::Sqlite(Sqlite::open(&options, changes.clone()).await?);
            return Ok(Self { engine, changes });
        }
        let scheme: String = options.url.chars().take_while(|c| *c != ':').take(32).collect();
        Err(StoreError::Unusable(format!(
            "store.url: expected sqlite://<file>, found {scheme:?}"
        )))
    }

    /// Writes that wait for their commit.
    #[must_use]
    pub fn writes_waiting(&self) -> usize {
        match &self.engine {
            Engine::Sqlite(engine) => engine.writes_waiting(),
        }
    }

    /// Watches one verification (`?wait=`, SSE). `None` when too many are watched: poll instead.
    #[must_use]
    pub fn watch(&self, id: VerificationId) -> Option<Watch> {
        self.changes.watch(id)
    }

    /// First attempts that are due as they are accepted. Who takes these is not woken by [`Store::attempts_changed`] for
    /// them, and saves a look; a receiver that lagged looks.
    #[must_use]
    pub fn attempts_created(&self) -> broadcast::Receiver<DueAttempt> {
        self.changes.created()
    }

    /// Changes when an attempt may have become due.
    #[must_use]
    pub fn attempts_changed(&self) -> watch::Receiver<u64> {
        self.changes.attempts()
    }

    /// Changes when a webhook may have become due.
    #[must_use]
    pub fn outbox_changed(&self) -> watch::Receiver<u64> {
        self.changes.outbox()
    }

    /// Live calls to end. A receiver that lagged reads [`Store::pending_cancels`].
    #[must_use]
    pub fn cancels(&self) -> broadcast::Receiver<CancelNotice> {
        self.changes.cancels()
    }
}

to_engine! {
    /// Waits for running writes, checkpoints, closes the files. Later calls are `Unavailable`.
    fn close(&self) -> ();
    /// For `/readyz`: reads, and passes one empty write through the writer.
    fn ready(&self) -> ();

    /// Stop 1, in one transaction: idempotency, number in progress, blocks, quotas, then verification, first
    /// due attempt, counters, created event.
    fn accept(&self, request: Accept, entropy: Entropy, now: UnixMillis) -> Accepted;
    /// Takes an idempotency key for work outside stop 1.
    fn idempotency_begin(&self, key: IdempotencyKey, now: UnixMillis) -> IdempotencyStart;
    /// What is stored under an idempotency key, without taking it; `Fresh` when nothing is.
    fn idempotency_find(&self, key: IdempotencyKey, now: UnixMillis) -> IdempotencyStart;
    fn idempotency_finish(&self, key: IdempotencyKey, answer: StoredAnswer) -> ();
    /// Frees the key: the work failed and may be tried again.
    fn idempotency_abandon(&self, key: IdempotencyKey) -> ();

    /// What is due, at most `limit` of it, and when the next look is worth its while.
    fn agenda(&self, now: UnixMillis, limit: u32) -> Agenda;
    /// Commits `dialing`; only `Claimed::Dialing` allows an INVITE. What was blocked since stop 1 ends here instead.
    fn claim(&self, claim: Claim, entropy: Entropy, now: UnixMillis) -> Claimed;
    fn set_stage(&self, attempt: AttemptId, stage: Stage, entropy: Entropy, now: UnixMillis) -> StageSet;
    /// Stop 2.
    fn decide(&self, decision: Decision, entropy: Entropy, now: UnixMillis) -> Decided;
    /// The call's phone is quiet: its number may be called again. Nothing happens before the outcome, nor twice.
    fn free_number(&self, attempt: AttemptId) -> ();
    /// The whole evidence, quality included, once the call is over. Never changes the outcome.
    fn finish_report(&self, attempt: AttemptId, report: AttemptReport, now: UnixMillis) -> ();
    /// Ends a verification that has no live call (no trunk can carry it, policy refuses it later). False when it
    /// has one, or has ended.
    fn end_queued(&self, id: VerificationId, outcome: Outcome, entropy: Entropy, now: UnixMillis) -> bool;
    /// Idempotent. `NotFound` when the reader does not see it.
    fn cancel(&self, id: VerificationId, visibility: &Visibility, reason: Reason, entropy: Entropy, now: UnixMillis) -> Canceled;
    /// Cancels asked for live calls of this node and not yet decided.
    fn pending_cancels(&self, node: &str) -> Vec<CancelNotice>;
    /// Queued verifications past their life become `expired/ttl`. Returns those that ended.
    fn expire_due(&self, entropy: Entropy, now: UnixMillis) -> Vec<VerificationId>;
    /// At start, before the first claim: every live attempt of this node becomes `failed/unknown_after_crash`,
    /// and no number stays taken.
    fn recover(&self, node: &str, entropy: Entropy, now: UnixMillis) -> Recovered;
    /// Verifications without an outcome, and among them live calls.
    fn in_progress(&self) -> (u64, u64);

    fn verification(&self, id: VerificationId, visibility: &Visibility) -> Option<Verification>;
    fn verifications(&self, filter: &ListFilter, visibility: &Visibility) -> Page<Verification>;
    /// Events with a higher sequence, in order, at most 256.
    fn events_after(&self, id: VerificationId, sequence: u64) -> Vec<Progress>;

    /// Writes an event that belongs to no verification.
    fn enqueue(&self, event: LooseEvent) -> ();
    /// Leases due webhooks to the caller until `now + lease`.
    fn outbox_due(&self, now: UnixMillis, limit: u32, lease: Duration) -> DueWebhooks;
    fn outbox_result(&self, tried: DeliveryTry) -> ();
    /// Webhooks waiting, for metrics.
    fn outbox_pending(&self) -> u64;
    fn deliveries(&self, verification: Option<VerificationId>, limit: u32, cursor: Option<&Cursor>, visibility: &Visibility) -> Page<Delivery>;
    /// Sends one again, same id and body; its URL counts as enabled. False when the reader does not see it, or
    /// retention has erased it.
    fn redeliver(&self, event: EventId, visibility: &Visibility, now: UnixMillis) -> bool;

    /// `hash` is SHA-256 of the whole key.
    fn key_create(&self, key: ApiKey, hash: [u8; 32]) -> ();
    fn keys(&self) -> Vec<ApiKey>;
    /// False when there is none of this id. Revoking twice keeps the first time.
    fn key_revoke(&self, id: &str, now: UnixMillis) -> bool;
    fn key_by_hash(&self, hash: &[u8; 32]) -> Option<ApiKey>;
    /// Notes the use, at most once a minute.
    fn key_touch(&self, id: &str, now: UnixMillis) -> ();

    fn enrollment_create(&self, enrollment: Enrollment) -> ();
    fn enrollment(&self, id: &str, visibility: &Visibility) -> Option<Enrollment>;
    fn enrollment_by_token(&self, token_hash: &[u8; 32]) -> Option<Enrollment>;
    /// Writes all but id, token, key and profile if `version` is the stored one; returns the new version.
    fn enrollment_update(&self, enrollment: Enrollment) -> u64;

    fn block_add(&self, block: Block) -> ();
    /// Blocks in force, newest first.
    fn blocks(&self, now: UnixMillis, limit: u32, cursor: Option<&Cursor>) -> Page<Block>;
    fn block_remove(&self, id: &str) -> bool;
    /// The block that stops this destination or end user, for `numbers/check` and before a claim.
    fn blocked(&self, destination: &str, end_user: Option<&str>, now: UnixMillis) -> Option<Block>;

    fn audit(&self, row: AuditRow) -> ();
    /// Newest first.
    fn audit_rows(&self, limit: u32) -> Vec<AuditRow>;
    /// Calls per day, country and prefix since the day of `since`.
    fn daily_usage(&self, since: UnixMillis) -> Vec<DailyUsage>;

    /// One bounded run of retention; call again while `more`.
    fn purge(&self, retention: &Retention, now: UnixMillis) -> Purged;
    /// Erases a number (as dialled) from every ended verification, its webhooks and counters. Blocks stay.
    /// Returns the verifications.
    fn erase_number(&self, number: &str, now: UnixMillis) -> u64;
}
