//! What one call writes to the store, in order, one write at a time, as `dialer` does it.
use std::collections::VecDeque;
use std::time::Duration;

use ringproof::call::FLAG_UNWANTED;
use ringproof::model::{AttemptId, AttemptReport, Outcome, Reason, Stage, UnixMillis};
use ringproof::store::{BLOCK_FOR_EVER, Decided, Decision, Next, StoreError};

use crate::ops::{Done, Op};
use crate::world::NODE;

const PAUSE_FIRST: Duration = Duration::from_millis(20);
const PAUSE_LONGEST: Duration = Duration::from_secs(1);
const TRIES_MAX: u32 = 600;
const FRAUD_BLOCK: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug, Clone)]
enum Entry {
    Stage(Stage),
    Decide(Box<Decision>),
    Report(Box<AttemptReport>),
    FreeNumber,
}

/// What a finished write was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// The outcome of the call is durable.
    Decided,
    Other,
}

pub(crate) struct Ledger {
    queue: VecDeque<Pending>,
    running: Option<Running>,
}

enum Pending {
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

struct Running {
    entry: Entry,
    tries: u32,
    pause: Duration,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            running: None,
        }
    }

    pub(crate) fn stage(&mut self, stage: Stage) {
        self.queue.retain(|entry| !matches!(entry, Pending::Stage(_)));
        self.queue.push_back(Pending::Stage(stage));
    }

    pub(crate) fn decide(
        &mut self,
        outcome: Outcome,
        report: Box<AttemptReport>,
        next_trunk: bool,
        frees_number: bool,
    ) {
        self.queue.retain(|entry| !matches!(entry, Pending::Stage(_)));
        self.queue.push_back(Pending::Decide {
            outcome,
            report,
            next_trunk,
            frees_number,
        });
    }

    pub(crate) fn report(&mut self, report: Box<AttemptReport>) {
        self.queue.push_back(Pending::Report(report));
    }

    pub(crate) fn free_number(&mut self) {
        let at = match self.queue.back() {
            Some(Pending::Report(_)) => self.queue.len() - 1,
            Some(_) | None => self.queue.len(),
        };
        self.queue.insert(at, Pending::FreeNumber);
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_none() && self.queue.is_empty()
    }

    /// The next write, if none is under way.
    pub(crate) fn begin(&mut self, attempt: AttemptId, now: UnixMillis, fraud_block: bool) -> Option<Op> {
        if self.running.is_some() {
            return None;
        }
        let entry = match self.queue.pop_front()? {
            Pending::Stage(stage) => Entry::Stage(stage),
            Pending::Report(report) => Entry::Report(report),
            Pending::FreeNumber => Entry::FreeNumber,
            Pending::Decide {
                outcome,
                report,
                next_trunk,
                frees_number,
            } => {
                let fraud = outcome.reason() == Reason::FraudReported;
                let unwanted = report.flags.iter().any(|flag| flag == FLAG_UNWANTED);
                Entry::Decide(Box::new(Decision {
                    attempt,
                    node: NODE.to_owned(),
                    outcome,
                    report: *report,
                    next: if next_trunk {
                        Next::Retry { due_at: now }
                    } else {
                        Next::Finish
                    },
                    block_until: match unwanted {
                        true => Some(BLOCK_FOR_EVER),
                        false => (fraud && fraud_block).then(|| now.plus(FRAUD_BLOCK)),
                    },
                    frees_number,
                }))
            }
        };
        let op = op_of(&entry, attempt);
        self.running = Some(Running {
            entry,
            tries: 1,
            pause: PAUSE_FIRST,
        });
        Some(op)
    }

    /// The write that is under way, once more.
    pub(crate) fn again(&self, attempt: AttemptId) -> Option<Op> {
        self.running
            .as_ref()
            .map(|running| op_of(&running.entry, attempt))
    }

    /// Its result. Gives the pause before it is tried again, where it must be.
    pub(crate) fn settle(
        &mut self,
        result: Result<Done, StoreError>,
        written: &mut VecDeque<Written>,
    ) -> Option<Duration> {
        let mut running = self.running.take()?;
        match (&running.entry, result) {
            (Entry::Decide(decision), Ok(Done::Decided(decided))) => {
                let stands = match decided {
                    Decided::Finished { .. } | Decided::Retrying { .. } => true,
                    Decided::Already(outcome) => outcome == decision.outcome,
                    Decided::NotOurs => false,
                };
                written.push_back(if stands { Written::Decided } else { Written::Other });
                None
            }
            // Progress is worth one try: the next stage or the outcome says more.
            (Entry::Stage(_), _) | (_, Ok(_)) => {
                written.push_back(Written::Other);
                None
            }
            (_, Err(error)) if error.is_transient() && running.tries < TRIES_MAX => {
                let pause = running.pause;
                running.tries += 1;
                running.pause = (pause * 2).min(PAUSE_LONGEST);
                self.running = Some(running);
                Some(pause)
            }
            (_, Err(_)) => {
                written.push_back(Written::Other);
                None
            }
        }
    }
}

fn op_of(entry: &Entry, attempt: AttemptId) -> Op {
    match entry {
        Entry::Stage(stage) => Op::Stage {
            attempt,
            stage: *stage,
        },
        Entry::Decide(decision) => Op::Decide(decision.clone()),
        Entry::Report(report) => Op::Report {
            attempt,
            report: report.clone(),
        },
        Entry::FreeNumber => Op::FreeNumber(attempt),
    }
}
