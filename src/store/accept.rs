//! Stop 1: a request becomes a verification, or is refused, or was answered before.
use std::fmt;

use crate::model::{UnixMillis, Verification, VerificationId};
use crate::policy::{Quota, Refusal};

use super::Subscription;

/// What the API hands over at stop 1. Everything in it has been parsed and checked by `policy`.
pub struct Accept {
    /// `stage` queued, no outcome, no attempts; `sequence` is set by the store.
    pub verification: Verification,
    /// Which webhooks the callback gets; without a `callback_url` none are written.
    pub subscription: Subscription,
    pub idempotency: Option<IdempotencyKey>,
    /// `"supersede": true`: a verification of the same key in progress for this number gives way.
    pub supersede: bool,
    /// Limits to hold against the counters in the same transaction (`Policy::quotas`).
    pub quotas: Vec<Quota>,
    /// Most verifications that may be pending at once; 0 = unlimited.
    pub pending_max: u32,
    /// Most calls that may be live at once; 0 = unlimited.
    pub live_max: u32,
    /// Renders the answer that a replay of the idempotency key repeats.
    pub render_answer: RenderAnswer,
}

/// Makes the HTTP answer from the verification as committed.
pub type RenderAnswer = Box<dyn Fn(&Verification) -> StoredAnswer + Send + Sync>;

/// An answer as it was first given.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    pub status: u16,
    pub location: Option<String>,
    /// May hold a code for the screen: `Debug` hides it.
    pub body: String,
}

impl fmt::Debug for StoredAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredAnswer")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// `Idempotency-Key` of a request: scoped to the API key, kept 24 h.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Id of the API key.
    pub key_id: String,
    /// The header's value.
    pub value: String,
    /// SHA-256 of method, path and body.
    pub body_hash: [u8; 32],
}

/// What stop 1 made of a request.
#[derive(Debug)]
pub enum Accepted {
    /// Committed, with the first attempt due and `sequence` 1; `answer` is what `render_answer` made.
    Created {
        verification: Box<Verification>,
        answer: StoredAnswer,
    },
    /// The same key and body came before.
    Replay(StoredAnswer),
    /// The key came before with another body: 422.
    IdempotencyMismatch,
    /// The first request with this key has not been answered yet: 409.
    IdempotencyInFlight,
    /// Another call to this number is in progress, or its phone may still ring: 409.
    NumberBusy { verification: VerificationId },
    /// A block, a limit or a full queue. The audit row has been written.
    Refused(Refusal),
}

/// What [`super::Store::idempotency_begin`] found, for the requests that do not go through stop 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdempotencyStart {
    /// First time: do the work, then `idempotency_finish` (or `idempotency_abandon`).
    Fresh,
    Replay(StoredAnswer),
    Mismatch,
    InFlight,
}

/// Idempotency keys live this long.
pub const IDEMPOTENCY_LIFE_MS: i64 = 24 * 3600 * 1000;

/// Counters of one day, for the conversion alarm and the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DailyUsage {
    /// Midnight UTC of the day.
    pub day: UnixMillis,
    pub country: String,
    pub prefix: String,
    pub accepted: u64,
    pub answered: u64,
    pub approved: u64,
}
