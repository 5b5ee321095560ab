//! What goes into a call and what comes out of it.
use std::net::SocketAddr;

use crate::media::command::{MediaCommand, MediaEvent};
use crate::model::{AttemptReport, Outcome, Reason, Stage};
use crate::sip::invite::TargetFailure;
use crate::sip::message::Message;

#[derive(Debug)]
pub enum Input {
    /// A message with this call's Call-ID.
    Sip {
        message: Message,
        source: SocketAddr,
    },
    Media(MediaEvent),
    /// The deadline of [`Call::poll_timeout`](super::Call::poll_timeout) has come.
    Timeout,
    /// `ByClient`, `Superseded`, `Shutdown`, or `Ttl`, which ends unanswered calls only.
    Cancel(Reason),
    /// The outcome of [`Output::Decided`] is durable.
    Committed,
    /// What was sent last did not leave.
    TransportError,
}

#[derive(Debug)]
pub enum Output {
    SendSip {
        to: SocketAddr,
        bytes: Vec<u8>,
    },
    Media(MediaCommand),
    /// Stages only ever go forward.
    Stage(Stage),
    /// To be committed, and then answered by [`Input::Committed`]; a goodbye plays only after that.
    /// [`Call::next_trunk`](super::Call::next_trunk) says whether another trunk may try.
    Decided(Outcome, Box<AttemptReport>),
    /// A response arrived when the call, or the target that it comes from, had been given up: a telephone may have rung
    /// beside another. Before `Finished` the report there has the flag `possible_double_ring`; after it the attempt is
    /// to be flagged.
    PossibleDoubleRing,
    /// A target of the trunk failed, and the call goes on at the next one. 0 is the first; a failure of the last one is
    /// in the outcome.
    NextTarget {
        failed: usize,
        failure: TargetFailure,
    },
    /// All that will be known: quality, talk time, length of the key. The call lives on until
    /// [`Call::is_over`](super::Call::is_over), for its transactions.
    Finished {
        outcome: Outcome,
        report: Box<AttemptReport>,
        next_trunk: bool,
    },
}
