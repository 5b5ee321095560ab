//! Server transaction of every request but INVITE and ACK, RFC 3261 §17.2.2 with RFC 4320.
//!
//! ```text
//!         request
//!            |     request again: absorbed
//!            v    100 by itself once timer E has reached T2 (RFC 4320 §4.1)
//!         Trying ---------------------> Proceeding
//!            |   \                        |   +--request again: the 100 again
//!            |    +-64·T1: too late (1)   |   +--64·T1: too late (1)
//!    200–699 |                            | 200–699
//!            v                            |
//!        Completed <----------------------+
//!            |  +--request again: the response again
//!            +--timer J--> Terminated
//! ```
//!
//! (1) RFC 4320 §4.2: the peer has given up by now, so no final response is sent, and never a 408.
//!
//! Invariants: no 1xx but 100 leaves here, and none before timer E would have reached T2.
use std::time::Instant;

use super::client_invite::Rules;
use super::timer::{Reliability, earliest};
use super::{ServerInput, ServerOutput};
use crate::sip::message::{Request, Response};

#[derive(Debug, Clone)]
pub enum ServerNonInvite {
    Trying {
        trying: Vec<u8>,
        trying_at: Instant,
        too_late_at: Instant,
    },
    Proceeding {
        trying: Vec<u8>,
        too_late_at: Instant,
    },
    Completed {
        bytes: Vec<u8>,
        timer_j: Instant,
    },
    Terminated,
}

impl ServerNonInvite {
    #[must_use]
    pub(crate) fn start(now: Instant, rules: Rules, request: &Request) -> Self {
        Self::Trying {
            trying: Response::reply_to(request, 100, None).to_bytes(),
            trying_at: now + rules.timers.timer_e_reaches_t2(),
            too_late_at: now + rules.timers.t1_64(),
        }
    }

    #[must_use]
    pub(crate) fn handle(
        self,
        now: Instant,
        rules: Rules,
        input: ServerInput,
        out: &mut Vec<ServerOutput>,
    ) -> Self {
        match input {
            ServerInput::Retransmission => self.retransmission(out),
            ServerInput::Respond { status, bytes } => self.respond(now, rules, status, bytes, out),
            ServerInput::Timeout => self.timeout(now, out),
            ServerInput::TransportError => self.transport_error(out),
            // An ACK belongs to an INVITE only.
            ServerInput::Ack(_) => self,
        }
    }

    /// The next deadline and its name, for the log.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        match *self {
            Self::Trying {
                trying_at,
                too_late_at,
                ..
            } => earliest(
                Some((trying_at, "100 Trying")),
                Some((too_late_at, "too late to respond")),
            ),
            Self::Proceeding { too_late_at, .. } => Some((too_late_at, "too late to respond")),
            Self::Completed { timer_j, .. } => Some((timer_j, "timer J")),
            Self::Terminated => None,
        }
    }

    fn retransmission(self, out: &mut Vec<ServerOutput>) -> Self {
        match self {
            Self::Proceeding { trying, too_late_at } => {
                out.push(ServerOutput::Send(trying.clone()));
                Self::Proceeding { trying, too_late_at }
            }
            Self::Completed { bytes, timer_j } => {
                out.push(ServerOutput::Send(bytes.clone()));
                Self::Completed { bytes, timer_j }
            }
            state => state,
        }
    }

    fn respond(
        self,
        now: Instant,
        rules: Rules,
        status: u16,
        bytes: Vec<u8>,
        out: &mut Vec<ServerOutput>,
    ) -> Self {
        match (self, status) {
            (Self::Trying { .. } | Self::Proceeding { .. }, 200..=699) => match rules.reliability {
                Reliability::Reliable => {
                    out.push(ServerOutput::Send(bytes));
                    Self::Terminated
                }
                Reliability::Unreliable => {
                    out.push(ServerOutput::Send(bytes.clone()));
                    Self::Completed {
                        bytes,
                        timer_j: now + rules.timers.timer_j(rules.reliability),
                    }
                }
            },
            (state, _) => state,
        }
    }

    fn timeout(self, now: Instant, out: &mut Vec<ServerOutput>) -> Self {
        match self {
            Self::Trying { too_late_at, .. } | Self::Proceeding { too_late_at, .. } if now >= too_late_at => {
                Self::Terminated
            }
            Self::Trying {
                trying,
                trying_at,
                too_late_at,
            } if now >= trying_at => {
                out.push(ServerOutput::Send(trying.clone()));
                Self::Proceeding { trying, too_late_at }
            }
            Self::Completed { timer_j, .. } if now >= timer_j => Self::Terminated,
            state => state,
        }
    }

    fn transport_error(self, out: &mut Vec<ServerOutput>) -> Self {
        match self {
            Self::Terminated => Self::Terminated,
            _ => {
                out.push(ServerOutput::TransportFailed);
                Self::Terminated
            }
        }
    }
}
