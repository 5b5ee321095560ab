//! What goes into a call and what comes out of it.
use std::net::SocketAddr;

use crate::media::command::{MediaCommand, MediaEvent};
use crate::model::{AttemptReport, Outcome, Reason, Stage};
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
    Decided(Outcome, AttemptReport),
    /// Comes after `Finished`, if at all: a response arrived when the call had been given up. A telephone may have
    /// rung beside that of the next attempt; the attempt is to be flagged `possible_double_ring`.
    PossibleDoubleRing,
    /// All that will be known: quality, talk time, length of the key. The call lives on until
    /// [`Call::is_over`](super::Call::is_over), for its transactions.
    Finished {
        outcome: Outcome,
        report: AttemptReport,
        next_trunk: bool,
    },
}
