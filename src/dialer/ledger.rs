//! What one call writes to the store, in order, one write at a time.
//!
//! Signalling goes on while a write runs. A stage that has not begun to be written when a later one or the outcome
//! comes is skipped: readers see the newest, and the outcome never waits for progress.
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::model::{AttemptId, AttemptReport, Outcome, Stage, UnixMillis};
use crate::store::{Decided, Decision, Next, Store, StoreError};
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
    },
    Report(Box<AttemptReport>),
}

/// What a finished write was.
#[derive(Debug)]
pub(super) enum Written {
    /// Whether it was written or not: the next one says more.
    Stage,
    Decided(Decided),
    Reported,
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

    pub(super) fn decide(&mut self, outcome: Outcome, report: AttemptReport, next_trunk: bool) {
        self.queue.retain(|entry| !matches!(entry, Entry::Stage(_)));
        self.queue.push_back(Entry::Decide {
            outcome,
            report: Box::new(report),
            next_trunk,
        });
    }

    pub(super) fn report(&mut self, report: AttemptReport) {
        self.queue.push_back(Entry::Report(Box::new(report)));
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
            } => {
                let decision = self.decision(outcome, *report, next_trunk);
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
        }
    }

    fn decision(&self, outcome: Outcome, report: AttemptReport, next_trunk: bool) -> Decision {
        let now = wallclock();
        let fraud = outcome.reason() == crate::model::Reason::FraudReported;
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
            block_until: (fraud && !self.fraud_block.is_zero()).then(|| now.plus(self.fraud_block)),
        }
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
