//! One run as data: who asks for what, how each trunk treats each call, and what goes wrong around it.
use ringproof::model::Method;

use crate::calls::Ending;
use crate::link::Link;
use crate::script::CallScript;
use crate::transition::SpoofKind;

#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) requests: Vec<RequestPlan>,
    pub(crate) trunks: Vec<TrunkPlan>,
    pub(crate) troubles: Vec<Trouble>,
    /// Ports of the media engine.
    pub(crate) ports: usize,
    pub(crate) calls_max: usize,
    /// Longest a call task waits for its turn, microseconds.
    pub(crate) scheduling_us_max: u64,
    /// Longest from a write to its commit, and from there to its caller, microseconds.
    pub(crate) store_us_max: u64,
    /// A leg that does not report its end, percent.
    pub(crate) mute_legs_percent: u64,
    /// A datagram that the socket refuses, per mille.
    pub(crate) send_errors_per_mille: u64,
    pub(crate) fraud_block: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct TrunkPlan {
    pub(crate) link: Link,
    pub(crate) cps: f64,
    pub(crate) calls_max: u32,
    pub(crate) has_credentials: bool,
    pub(crate) rel100: bool,
    pub(crate) failover_on_timeout: bool,
    /// A target that is tried before the one that works.
    pub(crate) front: Option<Front>,
}

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Front {
    Silent,
    /// 503 to every INVITE.
    Unavailable,
}

#[derive(Debug, Clone)]
pub(crate) struct RequestPlan {
    pub(crate) at_ms: u64,
    pub(crate) number: String,
    pub(crate) method: Method,
    pub(crate) code: String,
    pub(crate) extension: bool,
    pub(crate) transaction: bool,
    pub(crate) life_s: u64,
    pub(crate) supersede: bool,
    pub(crate) idempotent: bool,
    pub(crate) cancel_at_ms: Option<u64>,
    /// What the trunks make of the first, second… INVITE for it.
    pub(crate) calls: Vec<CallScript>,
    pub(crate) receiver: Option<ReceiverPlan>,
    /// How each of `calls` ends where nothing goes wrong around it.
    pub(crate) endings: Vec<Option<Ending>>,
    /// Whether nothing does, so that the end of the request follows from them.
    pub(crate) is_known: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct ReceiverPlan {
    /// Answers to the first tries; after them 200.
    pub(crate) answers: Vec<Receipt>,
    pub(crate) progress: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Receipt {
    Status(u16),
    /// Taken, but the answer is lost.
    Unheard,
    /// Not even received.
    Refused,
}

/// What goes wrong, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// `kill -9` before the transition of this number; back so much later.
    KillAtStep {
        step: u64,
        down_ms: u64,
    },
    KillAt {
        at_ms: u64,
        down_ms: u64,
    },
    Terminate {
        at_ms: u64,
        drain_ms: u64,
        down_ms: u64,
    },
    StoreDown {
        at_ms: u64,
        for_ms: u64,
    },
    LinkDown {
        trunk: usize,
        at_ms: u64,
        for_ms: u64,
    },
    WallClock {
        at_ms: u64,
        ms: i64,
    },
    Spoof {
        at_ms: u64,
        kind: SpoofKind,
    },
}

/// A fault of the product that is acted out, to see whether the checks would find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plant {
    SwallowsAck,
    SwallowsBye,
    SwallowsCancel,
    SaysByeTwice,
    RedialsAfterCrash,
    DialsBeforeClaim,
    DialsTwice,
    NamesKeyTooSoon,
    CountsEarlyMedia,
    ForgetsOutcome,
    ForgetsDeadlines,
    KeepsPort,
    TalksAfterBye,
    TalksBeforeAnswer,
    NewIdPerTry,
    ForgetsWebhook,
    PostsAfterAcknowledgement,
    LogsNumber,
}

impl Plant {
    /// With the invariant that has to find it.
    pub(crate) const ALL: &'static [(Self, u8)] = &[
        (Self::ForgetsOutcome, 1),
        (Self::ForgetsDeadlines, 1),
        (Self::NamesKeyTooSoon, 2),
        (Self::CountsEarlyMedia, 2),
        (Self::RedialsAfterCrash, 3),
        (Self::DialsBeforeClaim, 3),
        (Self::DialsTwice, 3),
        (Self::SwallowsAck, 4),
        (Self::SwallowsBye, 4),
        (Self::SwallowsCancel, 4),
        (Self::SaysByeTwice, 4),
        (Self::KeepsPort, 5),
        (Self::TalksAfterBye, 5),
        (Self::TalksBeforeAnswer, 5),
        (Self::NewIdPerTry, 6),
        (Self::ForgetsWebhook, 6),
        (Self::PostsAfterAcknowledgement, 6),
        (Self::LogsNumber, 7),
    ];
}
