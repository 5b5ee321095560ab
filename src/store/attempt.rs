//! The corridor between the two stops: due, claimed, staged, decided, reported.
use crate::model::{
    Attempt, AttemptId, AttemptReport, Outcome, Reason, UnixMillis, Verification, VerificationId,
};

/// A queued attempt that may be started now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueAttempt {
    pub id: AttemptId,
    pub verification: VerificationId,
    /// Counted from 1 within the verification.
    pub number: u32,
    pub profile: String,
    /// ISO 3166-1 alpha-2; `None` for an internal number.
    pub country: Option<String>,
    pub internal: bool,
    pub due_at: UnixMillis,
    pub expires_at: UnixMillis,
    /// Trunks that earlier attempts of this verification used, oldest first.
    pub tried_trunks: Vec<String>,
}

/// What the dialer finds at one look.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Agenda {
    /// Attempts whose time has come, oldest first, without those whose number is taken: its phone may still ring.
    pub due: Vec<DueAttempt>,
    /// The next time after this look at which an attempt becomes due or a queued verification expires.
    pub next_at: Option<UnixMillis>,
    /// [`super::Store::expire_due`] has something to end.
    pub is_overdue: bool,
}

/// The claim: committed before the first octet of the INVITE leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub attempt: AttemptId,
    pub node: String,
    pub call_id: String,
    pub trunk: String,
    /// Identity that this trunk presents; `None` keeps the one chosen at stop 1.
    pub caller_id: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// Committed `dialing`: the INVITE may leave. Holds everything that the call needs, the code included.
    Dialing(Box<Verification>),
    /// Canceled, expired, claimed by another, or unknown: nothing may be sent.
    NoLonger,
    /// The number or the end user was blocked after stop 1: the verification has ended with this outcome.
    Blocked(Outcome),
    /// The phone of an earlier call to this number may still ring (that one is ending): try again soon.
    NumberBusy,
}

/// Stop 2 of one attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    pub attempt: AttemptId,
    /// Only the node that claimed may decide.
    pub node: String,
    pub outcome: Outcome,
    pub report: AttemptReport,
    pub next: Next,
    /// Blocks the number until then: the callee reported fraud, or wants no more calls ([`BLOCK_FOR_EVER`]).
    pub block_until: Option<UnixMillis>,
    /// The call's phone is known to be quiet. Otherwise its number stays taken until [`super::Store::free_number`].
    pub frees_number: bool,
}

/// The block stays until a person takes it away.
pub const BLOCK_FOR_EVER: UnixMillis = UnixMillis(i64::MAX);

/// What follows a decided attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The outcome ends the verification.
    Finish,
    /// Another attempt, on a trunk not tried yet, unless the verification was canceled or would expire first.
    Retry { due_at: UnixMillis },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decided {
    /// Committed; the verification is terminal, its webhooks are in the outbox.
    Finished { outcome: Outcome, sequence: u64 },
    /// Committed; another attempt is due.
    Retrying { attempt: AttemptId, sequence: u64 },
    /// Refused: this attempt has had its outcome, and keeps it.
    Already(Outcome),
    /// Refused: not claimed, or by another node.
    NotOurs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageSet {
    Moved {
        sequence: u64,
    },
    /// A stage never goes back, and never changes after the outcome.
    Unchanged,
}

/// What a cancel request met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Canceled {
    /// No call was live: the verification is canceled now.
    Now(Box<Verification>),
    /// A call is live on this node; its task has been told and will decide.
    Live {
        verification: Box<Verification>,
        attempt: AttemptId,
        node: String,
    },
    /// It had ended before; nothing changed.
    AlreadyOver(Box<Verification>),
}

/// Tells the task of a live call to end it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelNotice {
    pub verification: VerificationId,
    pub attempt: AttemptId,
    pub node: String,
    /// `by_client`, `superseded` or `shutdown`.
    pub reason: Reason,
}

/// What [`super::Store::recover`] found after a crash.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Attempts that were live: now `failed/unknown_after_crash`.
    pub unknown: Vec<VerificationId>,
    /// Attempts decided before the crash whose report never came.
    pub unreported: u64,
}

/// The attempt that `decide` and `finish_report` concern, for callers that hold a verification.
#[must_use]
pub fn live_attempt(verification: &Verification) -> Option<&Attempt> {
    verification
        .attempts
        .iter()
        .rev()
        .find(|a| a.call_id.is_some() && a.outcome.is_none())
}
