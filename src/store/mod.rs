//! Where every fact of a call is kept: the two stops of the corridor, and what the loops meet in.
//!
//! Does: accept (stop 1), claim, stage, decide (stop 2), recover after a crash, outbox of webhooks,
//! idempotency, API keys, enrolments, blocks, audit, retention; wakes those who wait for a change.
//! Holds too, without a row, the gate at which the API and the dialer share what the process can carry.
//! Does not: judge a request (`policy` does), dial, post, read a clock or draw randomness – the caller gives
//! `now` and `entropy`.
//!
//! ```text
//!            accept              claim                decide                finish_report
//!  request ─────────▶ queued ─────────────▶ dialing … ─────────▶ outcome ─────────────────▶ + quality
//!             stop 1    │  ▲                  │  set_stage ↻      stop 2
//!                       │  └──── next trunk ──┘
//!                       └─ cancel, expire_due ─▶ outcome          recover: dialing … ─▶ unknown_after_crash
//! ```
//!
//! # Invariants
//! - An attempt is `dialing`, with node and Call-ID, in a committed row before its INVITE leaves.
//! - An outcome is written once. A second decision is refused and told what stands.
//! - One verification in progress per number, one phone that may ring per number: it is
//!   taken from the claim until the phone is known to be quiet, which may be after the outcome.
//! - The terminal webhook is written in the transaction that writes the outcome.
//! - No caller is answered before the commit that holds its change; several callers may share a commit.
//!
//! [`Store`] is a facade over an engine. Each engine keeps its SQL in its own room ([`sqlite`]); all pass the
//! same contract tests.
mod accept;
mod attempt;
mod changes;
#[cfg(test)]
mod contract;
mod error;
mod event;
mod facade;
mod gate;
mod key;
mod outbox;
mod records;
mod sqlite;

pub use accept::{
    Accept, Accepted, DailyUsage, IDEMPOTENCY_LIFE_MS, IdempotencyKey, IdempotencyStart, RenderAnswer,
    StoredAnswer,
};
pub use attempt::{
    Agenda, BLOCK_FOR_EVER, CancelNotice, Canceled, Claim, Claimed, Decided, Decision, DueAttempt, Next,
    Recovered, StageSet, live_attempt,
};
pub use changes::{WATCHED_MAX, Watch};
pub use error::StoreError;
pub use event::{EventType, Progress, ProgressKind, RenderWebhook, Subscription, WebhookEvent};
pub use facade::{Store, StoreOptions};
pub use gate::OverloadGate;
pub use key::{ApiKey, Scope, Visibility};
pub use outbox::{
    Delivery, DeliveryTry, DeliveryVerdict, DueWebhooks, LastTry, LooseEvent, OutboxItem, OutboxState,
};
pub use records::{AuditRow, Block, BlockSubject, Cursor, Enrollment, ListFilter, Page, Purged, Retention};
