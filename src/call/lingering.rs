//! A call that has settled: nothing but its session, for as long as the network may repeat something of it (Timer D, Timer M).
//!
//! ```text
//!  settled ──2xx again: ACK again──▶┐
//!     │ ──a late answer: ACK, BYE──▶┤──▶ … ──the last timer──▶ over
//!     └──a request again: the answer again──▶┘
//! ```
//! It needs no media, menu or report, and lets go of them: for one live call there are some five that linger.
use std::collections::VecDeque;
use std::time::Instant;

use super::io::{Input, Output};
use super::outcome::NextTrunk;
use crate::sip::invite::{self, InviteSession};

#[derive(Debug)]
pub(super) struct Lingering {
    /// `None`: over.
    session: Option<InviteSession>,
    next_trunk: NextTrunk,
    out: VecDeque<Output>,
}

impl Lingering {
    pub(super) fn new(session: Option<InviteSession>, next_trunk: NextTrunk) -> Self {
        let mut lingering = Self {
            session: None,
            next_trunk,
            out: VecDeque::new(),
        };
        lingering.keep(session);
        lingering
    }

    pub(super) fn handle_input(&mut self, now: Instant, input: Input) {
        let input = match input {
            Input::Sip { message, source } => invite::Input::Message { message, source },
            Input::TransportError => invite::Input::TransportError,
            Input::Timeout => invite::Input::Timeout,
            Input::Media(_) | Input::Cancel(_) | Input::Committed => return,
        };
        let Some(session) = self.session.take() else {
            return;
        };
        let mut out = Vec::new();
        let session = session.handle(now, input, &mut out);
        for output in out {
            match output {
                invite::Output::Send { to, bytes } => self.out.push_back(Output::SendSip { to, bytes }),
                // The outcome was told without it, so the number was free for another call.
                invite::Output::Event(
                    invite::Event::LateResponse { .. } | invite::Event::AnsweredAfterCancel,
                ) => self.out.push_back(Output::PossibleDoubleRing),
                invite::Output::Event(_) => {}
            }
        }
        self.keep(Some(session));
    }

    pub(super) fn poll_output(&mut self) -> Option<Output> {
        let output = self.out.pop_front();
        if self.out.is_empty() {
            self.out = VecDeque::new();
        }
        output
    }

    pub(super) fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        self.session.as_ref().and_then(InviteSession::poll_timeout)
    }

    pub(super) const fn next_trunk(&self) -> NextTrunk {
        self.next_trunk
    }

    pub(super) const fn is_over(&self) -> bool {
        self.session.is_none()
    }

    pub(super) fn may_ring_late(&self) -> bool {
        self.session.as_ref().is_some_and(InviteSession::may_answer_late)
    }

    fn keep(&mut self, session: Option<InviteSession>) {
        self.session = session.and_then(|mut session| {
            session.shed();
            (!session.is_ended()).then_some(session)
        });
    }
}
