//! Events of a verification: for SSE readers, and as webhooks.
use std::sync::Arc;

use crate::model::{EventId, Outcome, Reason, Stage, UnixMillis, Verification};

/// One change that a reader can see. `sequence` grows by one with each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    pub sequence: u64,
    pub at: UnixMillis,
    pub kind: ProgressKind,
    /// Number of the attempt that it concerns, from 1; 0 before the first.
    pub attempt: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgressKind {
    Created,
    Stage(Stage),
    /// A cancel was asked while a call was live.
    CancelRequested(Reason),
    /// Terminal; the last of its verification.
    Ended(Outcome),
}

impl ProgressKind {
    /// The webhook type of the contract (§3); `None` when the change is for SSE readers only.
    #[must_use]
    pub fn event_type(self) -> Option<EventType> {
        match self {
            Self::Created => Some(EventType::Created),
            Self::Stage(Stage::Ringing) => Some(EventType::Ringing),
            Self::Stage(Stage::Answered) => Some(EventType::Answered),
            Self::Stage(Stage::Queued | Stage::Dialing | Stage::EarlyMedia | Stage::Prompting) => None,
            Self::CancelRequested(_) => None,
            Self::Ended(outcome) => EventType::of_status(outcome.status()),
        }
    }
}

macro_rules! event_types {
    ($($variant:ident = $word:literal),+ $(,)?) => {
        /// Webhook types (contract §3).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EventType { $($variant),+ }

        impl EventType {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}

event_types! {
    Created = "verification.created", Ringing = "verification.ringing", Answered = "verification.answered",
    Approved = "verification.approved", Delivered = "verification.delivered", Denied = "verification.denied",
    Expired = "verification.expired", Failed = "verification.failed", Blocked = "verification.blocked",
    Canceled = "verification.canceled", FraudReported = "fraud.reported",
    TrunkDown = "trunk.down", TrunkUp = "trunk.up",
}

impl std::fmt::Display for EventType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for EventType {
    type Err = super::StoreError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|t| t.as_str() == text)
            .ok_or_else(|| {
                super::StoreError::Unusable(format!(
                    "unknown event type {:?}",
                    text.chars().take(64).collect::<String>()
                ))
            })
    }
}

impl EventType {
    #[must_use]
    pub const fn of_status(status: crate::model::Status) -> Option<Self> {
        use crate::model::Status;
        match status {
            Status::Pending => None,
            Status::Approved => Some(Self::Approved),
            Status::Delivered => Some(Self::Delivered),
            Status::Denied => Some(Self::Denied),
            Status::Expired => Some(Self::Expired),
            Status::Failed => Some(Self::Failed),
            Status::Blocked => Some(Self::Blocked),
            Status::Canceled => Some(Self::Canceled),
        }
    }

    /// Progress events give way to later ones; all others are delivered until acknowledged or given up.
    #[must_use]
    pub const fn is_progress(self) -> bool {
        matches!(self, Self::Created | Self::Ringing | Self::Answered)
    }
}

/// Which webhooks a verification's callback gets: terminal events and `fraud.reported` always, progress by choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Subscription {
    bits: u8,
}

impl Subscription {
    #[must_use]
    pub const fn terminal_only() -> Self {
        Self { bits: 0 }
    }

    #[must_use]
    pub const fn all() -> Self {
        Self { bits: 7 }
    }

    #[must_use]
    pub const fn with(self, event: EventType) -> Self {
        Self {
            bits: self.bits | Self::bit(event),
        }
    }

    #[must_use]
    pub const fn wants(self, event: EventType) -> bool {
        !event.is_progress() || self.bits & Self::bit(event) != 0
    }

    const fn bit(event: EventType) -> u8 {
        match event {
            EventType::Created => 1,
            EventType::Ringing => 2,
            EventType::Answered => 4,
            _ => 0,
        }
    }

    pub(super) const fn to_bits(self) -> u8 {
        self.bits
    }

    pub(super) const fn from_bits(bits: u8) -> Self {
        Self { bits: bits & 7 }
    }
}

/// A webhook about to be written to the outbox: the renderer makes its body, which never changes afterwards.
#[derive(Debug, Clone, Copy)]
pub struct WebhookEvent<'a> {
    pub id: EventId,
    pub kind: EventType,
    pub at: UnixMillis,
    /// As committed with this event.
    pub verification: &'a Verification,
}

/// Makes the body `{type, timestamp, data}`. Given at [`super::Store::open`], since the public shape of a
/// verification belongs to the API. It runs inside a transaction: no I/O, no panic.
pub type RenderWebhook = Arc<dyn Fn(&WebhookEvent<'_>) -> String + Send + Sync>;
