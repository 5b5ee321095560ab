//! The writes of a process: each takes its time, and a process that dies meanwhile never hears of it.
use ringproof::model::{
    AttemptId, AttemptReport, Entropy, Outcome, Reason, Stage, UnixMillis, VerificationId,
};
use ringproof::store::{
    Accept, Accepted, Canceled, Claim, Claimed, Decided, Decision, DeliveryTry, Store, StoreError, Visibility,
};

pub(crate) enum Op {
    Accept(Box<Accept>),
    Cancel {
        id: VerificationId,
        reason: Reason,
    },
    Claim(Claim),
    Stage {
        attempt: AttemptId,
        stage: Stage,
    },
    Decide(Box<Decision>),
    Report {
        attempt: AttemptId,
        report: Box<AttemptReport>,
    },
    FreeNumber(AttemptId),
    EndQueued {
        id: VerificationId,
        outcome: Outcome,
    },
    Tried(DeliveryTry),
}

#[derive(Debug)]
pub(crate) enum Done {
    Accepted(Accepted),
    Canceled(Canceled),
    Claimed(Claimed),
    Staged,
    Decided(Decided),
    Reported,
    Freed,
    EndedQueued(bool),
    Tried,
}

impl Op {
    /// The words of the trace.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Accept(_) => "accept",
            Self::Cancel { .. } => "cancel",
            Self::Claim(_) => "claim",
            Self::Stage { .. } => "stage",
            Self::Decide(_) => "decide",
            Self::Report { .. } => "report",
            Self::FreeNumber(_) => "free number",
            Self::EndQueued { .. } => "end queued",
            Self::Tried(_) => "webhook result",
        }
    }

    pub(crate) async fn run(
        self,
        store: &Store,
        entropy: Entropy,
        now: UnixMillis,
    ) -> Result<Done, StoreError> {
        match self {
            Self::Accept(accept) => store.accept(*accept, entropy, now).await.map(Done::Accepted),
            Self::Cancel { id, reason } => store
                .cancel(id, &Visibility::All, reason, entropy, now)
                .await
                .map(Done::Canceled),
            Self::Claim(claim) => store.claim(claim, entropy, now).await.map(Done::Claimed),
            Self::Stage { attempt, stage } => store
                .set_stage(attempt, stage, entropy, now)
                .await
                .map(|_| Done::Staged),
            Self::Decide(decision) => store.decide(*decision, entropy, now).await.map(Done::Decided),
            Self::Report { attempt, report } => store
                .finish_report(attempt, *report, now)
                .await
                .map(|()| Done::Reported),
            Self::FreeNumber(attempt) => store.free_number(attempt).await.map(|()| Done::Freed),
            Self::EndQueued { id, outcome } => store
                .end_queued(id, outcome, entropy, now)
                .await
                .map(Done::EndedQueued),
            Self::Tried(tried) => store.outbox_result(tried).await.map(|()| Done::Tried),
        }
    }
}
