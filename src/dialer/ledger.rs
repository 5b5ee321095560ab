//! What one call writes to the store, in order, one write at a time.
//!
//! Signalling goes on while a write runs. A stage that has not begun to be written when a later one or the outcome
//! comes is skipped: readers see the newest, and the outcome never waits for progress.
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::call::FLAG_UNWANTED;
use crate::model::{AttemptId, AttemptReport, Outcome, Reason, Stage, UnixMillis};
use crate::store::{BLOCK_FOR_EVER, Decided, Decision, Next, Store, StoreError};
use crate::telemetry::{entropy, wallclock};

/// Pauses between tries of a write that the store could not do. An outcome is tried for about ten minutes; after
/// that the attempt is found at the next start and told as `unknown_after_crash`.
const PAUSE_FIRST: Duration = Duration::from_millis(20);
const PAUSE_LONGEST: Duration = Duration::from_secs(1);
const TRIES_MAX: u32 = 600;

#[derive(Debug)]
enum Entry {
    Stage(Stage),
    Decide {
        outcome: Outcome,
        report: Box<AttemptReport>,
        next_trunk: bool,
        frees_number: bool,
    },
    Report(Box<AttemptReport>),
    FreeNumber,
}

/// What a finished write was.
#[derive(Debug)]
pub(super) enum Written {
    /// Whether it was written or not: the next one says more.
    Stage,
    Decided(Decided),
    Reported,
    Freed,
    /// Given up; the store's own words are in the log.
    Lost,
}

type Running = Pin<Box<dyn Future<Output = Written> + Send>>;

pub(super) struct Ledger {
    store: Store,
    attempt: AttemptId,
    node: String,
    fraud_block: Duration,
    queue: VecDeque<Entry>,
    running: Option<Running>,
}

impl Ledger {
    pub(super) fn new(store: Store, attempt: AttemptId, node: String, fraud_block: Duration) -> Self {
        Self {
            store,
            attempt,
            node,
            fraud_block,
            queue: VecDeque::new(),
            running: None,
        }
    }

    pub(super) fn stage(&mut self, stage: Stage) {
        self.queue.retain(|entry| !matches!(entry, Entry::Stage(_)));
        self.queue.push_back(Entry::Stage(stage));
    }

    /// `frees_number`: the phone is known to be quiet; otherwise [`Ledger::free_number`] is owed.
    pub(super) fn decide(
        &mut self,
        outcome: Outcome,
        report: Box<AttemptReport>,
        next_trunk: bool,
        frees_number: bool,
    ) {
        self.queue.retain(|entry| !matches!(entry, Entry::Stage(_)));
        self.queue.push_back(Entry::Decide {
            outcome,
            report,
            next_trunk,
            frees_number,
        });
    }

    pub(super) fn report(&mut self, report: Box<AttemptReport>) {
        self.queue.push_back(Entry::Report(report));
    }

    /// Before a report that waits: whoever reads that the call is over may ask for the next one.
    pub(super) fn free_number(&mut self) {
        let at = match self.queue.back() {
            Some(Entry::Report(_)) => self.queue.len() - 1,
            Some(_) | None => self.queue.len(),
        };
        self.queue.insert(at, Entry::FreeNumber);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.running.is_none() && self.queue.is_empty()
    }

    /// The next finished write; waits for ever when there is none. Safe to drop and call again.
    pub(super) async fn next(&mut self) -> Written {
        if self.running.is_none() {
            match self.queue.pop_front() {
                Some(entry) => self.running = Some(self.begin(entry)),
                None => return std::future::pending().await,
            }
        }
        match self.running.as_mut() {
            Some(running) => {
                let written = running.await;
                self.running = None;
                written
            }
            None => std::future::pending().await,
        }
    }

    fn begin(&self, entry: Entry) -> Running {
        let (store, attempt) = (self.store.clone(), self.attempt);
        match entry {
            Entry::Stage(stage) => Box::pin(async move {
                // Progress is worth one try: the next stage or the outcome says more.
                let Ok(entropy) = entropy() else {
                    return Written::Stage;
                };
                match store.set_stage(attempt, stage, entropy, wallclock()).await {
                    Ok(_) => Written::Stage,
                    Err(error) => {
                        tracing::warn!(%attempt, %stage, %error, "a stage was not written");
                        Written::Stage
                    }
                }
            }),
            Entry::Decide {
                outcome,
                report,
                next_trunk,
                frees_number,
            } => {
                let decision = Decision {
                    frees_number,
                    ..self.decision(outcome, *report, next_trunk)
                };
                Box::pin(decide(store, decision))
            }
            Entry::Report(report) => Box::pin(async move {
                let write = || {
                    let (store, report) = (store.clone(), (*report).clone());
                    async move { store.finish_report(attempt, report, wallclock()).await }
                };
                persist(attempt, write)
                    .await
                    .map_or(Written::Lost, |()| Written::Reported)
            }),
            Entry::FreeNumber => Box::pin(async move {
                persist(attempt, || {
                    let store = store.clone();
                    async move { store.free_number(attempt).await }
                })
                .await
                .map_or(Written::Lost, |()| Written::Freed)
            }),
        }
    }

    fn decision(&self, outcome: Outcome, report: AttemptReport, next_trunk: bool) -> Decision {
        let now = wallclock();
        let block_until = block_until(outcome, &report, self.fraud_block, now);
        Decision {
            attempt: self.attempt,
            node: self.node.clone(),
            outcome,
            report,
            next: if next_trunk {
                Next::Retry { due_at: now }
            } else {
                Next::Finish
            },
            block_until,
            frees_number: false,
        }
    }
}

/// A callee who wants no more calls (607) is never called again without a person's doing.
fn block_until(
    outcome: Outcome,
    report: &AttemptReport,
    fraud_block: Duration,
    now: UnixMillis,
) -> Option<UnixMillis> {
    if report.flags.iter().any(|flag| flag == FLAG_UNWANTED) {
        return Some(BLOCK_FOR_EVER);
    }
    let fraud = outcome.reason() == Reason::FraudReported;
    (fraud && !fraud_block.is_zero()).then(|| now.plus(fraud_block))
}

/// The task of this ledger's attempt has left without an outcome, so ours is owed: otherwise its number stays taken
/// until the next start. `None`: it was never claimed, nothing was sent, and it is still due.
pub(super) async fn settle_lost(mut ledger: Ledger) -> Option<Outcome> {
    let outcome = Outcome::new(Reason::Internal);
    ledger.decide(outcome, Box::default(), false, true);
    let written = ledger.next().await;
    // Its own decision may have been written before it left, with the number still taken.
    if matches!(written, Written::Decided(Decided::Already(_))) {
        ledger.free_number();
        ledger.next().await;
    }
    match written {
        Written::Decided(Decided::Finished { .. } | Decided::Retrying { .. }) => {
            ledger.report(Box::default());
            ledger.next().await;
            Some(outcome)
        }
        Written::Decided(Decided::Already(outcome)) => Some(outcome),
        Written::Decided(Decided::NotOurs) => None,
        Written::Stage | Written::Reported | Written::Freed | Written::Lost => Some(outcome),
    }
}

async fn decide(store: Store, decision: Decision) -> Written {
    let attempt = decision.attempt;
    let write = || {
        let (store, decision) = (store.clone(), decision.clone());
        async move {
            let entropy = entropy().map_err(|e| StoreError::Unavailable(e.to_string()))?;
            store.decide(decision, entropy, wallclock()).await
        }
    };
    persist(attempt, write)
        .await
        .map_or(Written::Lost, Written::Decided)
}

/// Tries until the store has it, as long as the failure may pass.
async fn persist<T, F>(attempt: AttemptId, write: impl Fn() -> F + Send) -> Option<T>
where
    F: Future<Output = Result<T, StoreError>> + Send,
{
    let mut pause = PAUSE_FIRST;
    let began: UnixMillis = wallclock();
    for _ in 0..TRIES_MAX {
        match write().await {
            Ok(value) => return Some(value),
            Err(error) if error.is_transient() => {
                tracing::error!(%attempt, %error, "the store did not take an outcome; trying again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_LONGEST);
            }
            Err(error) => {
                tracing::error!(%attempt, %error, "the store refused an outcome");
                return None;
            }
        }
    }
    tracing::error!(%attempt, since = %began, "an outcome was given up; it will be told as unknown_after_crash");
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{
        Destination, Entropy, Method, NumberValidation, PhoneNumber, Purpose, Verification, VerificationId,
    };
    use crate::store::{
        Accept, Accepted, Claim, Claimed, StoreOptions, StoredAnswer, Subscription, Visibility,
    };

    const NODE: &str = "node-1";

    fn accept(seed: u64) -> Accept {
        let now = wallclock();
        let to = PhoneNumber::parse("+15005550001", None, NumberValidation::Strict).unwrap();
        let verification = Verification {
            id: VerificationId::generate(now, &mut Entropy::from_number(seed)),
            key_id: "key_a".into(),
            profile: "default".into(),
            to: Destination::E164(to),
            extension: None,
            method: Method::PressKey,
            code: None,
            purpose: Purpose::Enroll,
            locale: Some("en-US".into()),
            brand: None,
            client_ref: None,
            end_user_id: None,
            end_user_ip: None,
            callback_url: None,
            tags: [].into(),
            message: [].into(),
            caller_id: "+18005550199".into(),
            created_at: now,
            expires_at: now.plus(Duration::from_secs(120)),
            stage: Stage::Queued,
            outcome: None,
            sequence: 0,
            attempts: Vec::new(),
        };
        Accept {
            verification,
            subscription: Subscription::terminal_only(),
            idempotency: None,
            supersede: false,
            quotas: Vec::new(),
            pending_max: 0,
            live_max: 0,
            render_answer: Box::new(|_| StoredAnswer {
                status: 201,
                location: None,
                body: String::new(),
            }),
        }
    }

    async fn created(store: &Store, seed: u64) -> Verification {
        let accepted = store
            .accept(accept(seed), Entropy::from_number(seed + 100), wallclock())
            .await;
        match accepted.unwrap() {
            Accepted::Created { verification, .. } => *verification,
            other => panic!("expected Created, got {other:?}"),
        }
    }

    #[test]
    fn a_fraud_report_blocks_for_its_time_and_an_unwanted_call_for_ever() {
        let (now, day) = (UnixMillis(1_000), Duration::from_secs(86_400));
        let plain = AttemptReport::default();
        let mut unwanted = AttemptReport::default();
        unwanted.flag(FLAG_UNWANTED);
        for (reason, report, fraud_block, expected) in [
            (Reason::FraudReported, &plain, day, Some(now.plus(day))),
            (Reason::FraudReported, &plain, Duration::ZERO, None),
            (Reason::Declined, &plain, day, None),
            (Reason::Declined, &unwanted, day, Some(BLOCK_FOR_EVER)),
            (Reason::Declined, &unwanted, Duration::ZERO, Some(BLOCK_FOR_EVER)),
        ] {
            let found = block_until(Outcome::new(reason), report, fraud_block, now);
            assert_eq!(found, expected, "{reason} {fraud_block:?}");
        }
    }

    #[tokio::test]
    async fn a_claimed_attempt_that_its_task_left_ends_as_internal_and_frees_its_number() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", directory.path().join("ringproof.db").display());
        let options = StoreOptions::new(url, Arc::new(|_| String::new()));
        let store = Store::open(options).await.unwrap();
        let verification = created(&store, 1).await;
        let attempt = verification.attempts[0].id;
        let ledger = || Ledger::new(store.clone(), attempt, NODE.into(), Duration::ZERO);
        assert_eq!(settle_lost(ledger()).await, None, "it is not claimed");
        let claim = Claim {
            attempt,
            node: NODE.into(),
            call_id: "call-1".into(),
            trunk: "carrier".into(),
            caller_id: None,
        };
        let claimed = store
            .claim(claim, Entropy::from_number(7), wallclock())
            .await
            .unwrap();
        assert!(matches!(claimed, Claimed::Dialing(_)), "{claimed:?}");
        let internal = Outcome::new(Reason::Internal);
        assert_eq!(settle_lost(ledger()).await, Some(internal));
        let read = store.verification(verification.id, &Visibility::All).await;
        let read = read.unwrap().unwrap();
        assert_eq!(read.outcome, Some(internal));
        assert!(read.attempts[0].ended_at.is_some());
        created(&store, 2).await;
    }
}
