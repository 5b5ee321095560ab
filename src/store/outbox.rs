//! Webhooks that wait, went, or were given up.
use std::time::Duration;

use crate::model::{EventId, UnixMillis, VerificationId};

use super::EventType;

/// A webhook to send now. It is leased to the caller: nobody else gets it until `leased_until`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxItem {
    /// `webhook-id`, stable over all tries.
    pub id: EventId,
    /// `None` for trunk events.
    pub verification: Option<VerificationId>,
    pub profile: String,
    pub kind: EventType,
    pub sequence: u64,
    pub url: String,
    pub body: String,
    /// Tries made before this one.
    pub attempts: u32,
    pub created_at: UnixMillis,
}

/// What the outbox loop finds at one look.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DueWebhooks {
    /// In order per verification.
    pub items: Vec<OutboxItem>,
    /// When there is something to send next; lies in the past when there was more than the limit.
    pub next_at: Option<UnixMillis>,
}

/// How one try to deliver went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryTry {
    pub event: EventId,
    pub at: UnixMillis,
    pub duration: Duration,
    /// HTTP status, when one came.
    pub status: Option<u16>,
    /// In words, for the operator, at most 512 characters; never a body.
    pub error: Option<String>,
    pub verdict: DeliveryVerdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryVerdict {
    /// 2xx.
    Delivered,
    Retry {
        at: UnixMillis,
    },
    /// The schedule is exhausted.
    GaveUp,
    /// 410: nothing more goes to this URL until a redelivery succeeds.
    Disabled,
}

/// State of an outbox row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutboxState {
    Pending,
    Delivered,
    GaveUp,
    /// A progress event that a later event made worthless.
    Dropped,
    Disabled,
}

impl OutboxState {
    pub const ALL: &'static [Self] = &[
        Self::Pending,
        Self::Delivered,
        Self::GaveUp,
        Self::Dropped,
        Self::Disabled,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::GaveUp => "gave_up",
            Self::Dropped => "dropped",
            Self::Disabled => "disabled",
        }
    }
}

/// An outbox row as `GET /v1/webhook-deliveries` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub id: EventId,
    pub verification: Option<VerificationId>,
    pub profile: String,
    pub kind: EventType,
    pub sequence: u64,
    pub url: String,
    pub state: OutboxState,
    pub created_at: UnixMillis,
    /// When the next try is due, while pending.
    pub next_at: Option<UnixMillis>,
    pub tries: u32,
    pub last_try: Option<LastTry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastTry {
    pub at: UnixMillis,
    pub duration_ms: u32,
    pub status: Option<u16>,
    pub error: Option<String>,
}

/// An event that belongs to no verification (`trunk.down`, `trunk.up`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LooseEvent {
    pub id: EventId,
    pub kind: EventType,
    pub profile: String,
    pub url: String,
    pub body: String,
    pub at: UnixMillis,
}
