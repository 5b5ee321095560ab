//! Everything that may happen in the world, one at a time.
use ringproof::model::{AttemptId, EventId};

use crate::clock::At;
use crate::link::Datagram;
use crate::peer;

/// A step of the platform's plan, by its place there.
pub(crate) type RequestIndex = usize;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Transition {
    // The process.
    Start,
    /// `kill -9`.
    Kill,
    /// SIGTERM.
    Terminate,
    DrainOver {
        life: u32,
    },
    Exit {
        life: u32,
    },

    // Its loops.
    /// The selection loop looks at what is due.
    Select {
        life: u32,
    },
    /// A call task has something in a queue, or a deadline.
    Wake {
        life: u32,
        attempt: AttemptId,
    },
    /// The outbox loop looks at what is due.
    Deliver {
        life: u32,
    },

    // The store.
    /// A write becomes durable.
    Commit {
        life: u32,
        write: u64,
    },
    /// Its caller hears of it.
    Settle {
        life: u32,
        write: u64,
    },
    /// A call task tries a write again.
    TryAgain {
        life: u32,
        attempt: AttemptId,
    },
    StoreDown,
    StoreUp,

    // The wires.
    Arrives(Datagram),
    TrunkTimer {
        trunk: usize,
        exchange: usize,
        timer: peer::Timer,
    },
    LinkDown {
        trunk: usize,
    },
    LinkUp {
        trunk: usize,
    },
    /// Somebody who is no party of the call sends what looks like its message.
    Spoof {
        kind: SpoofKind,
    },

    // Media.
    /// The last packet of the clip that plays has left.
    ClipEnds {
        life: u32,
        attempt: AttemptId,
        generation: u32,
    },
    DigitsEnd {
        life: u32,
        attempt: AttemptId,
    },
    /// RTP of a phone reaches the leg.
    FirstPacket {
        line: Line,
    },
    /// A key of a phone is certain at the leg.
    KeyCertain {
        line: Line,
        key: char,
        started: At,
        tone_ms: u64,
        in_band: bool,
        mismatch: bool,
    },
    KeyUp {
        line: Line,
        key: char,
        tone_ms: u64,
        in_band: bool,
    },
    LegReports {
        life: u32,
        attempt: AttemptId,
    },

    // The callee.
    Hears {
        line: Line,
        clip: String,
    },
    Presses {
        line: Line,
        key: char,
    },
    HangsUp {
        line: Line,
    },

    // The platform.
    Posts {
        request: RequestIndex,
    },
    Cancels {
        request: RequestIndex,
    },
    WebhookArrives {
        life: u32,
        event: EventId,
        body: String,
        tries: u32,
        request: Option<RequestIndex>,
    },
    WebhookAnswered {
        life: u32,
        event: EventId,
        sent: At,
        tries: u32,
        answer: HttpAnswer,
    },

    /// Somebody sets the clock.
    WallClock {
        ms: i64,
    },
}

/// One phone: a leg of an exchange at a trunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line {
    pub(crate) trunk: usize,
    pub(crate) exchange: usize,
    pub(crate) leg: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpoofKind {
    /// A BYE with the right Call-ID and tags that are guessed.
    Bye,
    /// A CANCEL for our own INVITE.
    Cancel,
    /// A 200 to our INVITE with a branch that is guessed.
    Ok,
    /// A BYE with everything right but its source.
    ByeFromStranger,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HttpAnswer {
    Status(u16),
    /// Nothing within the 15 s.
    Nothing,
}
