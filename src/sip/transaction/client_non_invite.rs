//! Client transaction of every request but INVITE and ACK, RFC 3261 §17.1.2.
//!
//! ```text
//!         request sent
//!              |   timer E: request again (T1, 2·T1, … T2)
//!              v  +---+
//!           Trying <--+ ----timer F---------> Terminated (TimedOut)
//!            |   |
//!        1xx |   | 200–699
//!            v   +-----------> Completed --timer K--> Terminated
//!        Proceeding --200–699-->  ^
//!            +--timer E (every T2), timer F as above
//! ```
//!
//! Invariant: exactly one of a final response, `TimedOut` and `TransportFailed` is handed up.
use std::time::Instant;

use super::client_invite::Rules;
use super::timer::{Backoff, Reliability, earliest};
use super::{ClientInput, ClientOutput};
use crate::sip::message::{Request, Response};

#[derive(Debug, Clone)]
pub enum ClientNonInvite {
    Trying {
        bytes: Vec<u8>,
        timer_e: Option<Backoff>,
        timer_f: Instant,
    },
    Proceeding {
        bytes: Vec<u8>,
        timer_e: Option<Backoff>,
        timer_f: Instant,
    },
    Completed {
        timer_k: Instant,
    },
    Terminated,
}

impl ClientNonInvite {
    #[must_use]
    pub(crate) fn start(now: Instant, rules: Rules, request: &Request, out: &mut Vec<ClientOutput>) -> Self {
        let bytes = request.to_bytes();
        out.push(ClientOutput::Send(bytes.clone()));
        Self::Trying {
            bytes,
            timer_e: rules.timers.backoff(now, rules.reliability),
            timer_f: now + rules.timers.t1_64(),
        }
    }

    #[must_use]
    pub(crate) fn handle(
        self,
        now: Instant,
        rules: Rules,
        input: ClientInput,
        out: &mut Vec<ClientOutput>,
    ) -> Self {
        match input {
            ClientInput::Response(response) => self.response(now, rules, response, out),
            ClientInput::Timeout => self.timeout(now, rules, out),
            ClientInput::TransportError => self.transport_error(out),
        }
    }

    /// The next deadline and its name, for the log.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        match *self {
            Self::Trying { timer_e, timer_f, .. } | Self::Proceeding { timer_e, timer_f, .. } => earliest(
                timer_e.map(|timer| (timer.at, "timer E")),
                Some((timer_f, "timer F")),
            ),
            Self::Completed { timer_k } => Some((timer_k, "timer K")),
            Self::Terminated => None,
        }
    }

    fn response(
        self,
        now: Instant,
        rules: Rules,
        response: Box<Response>,
        out: &mut Vec<ClientOutput>,
    ) -> Self {
        match (self, response.status) {
            (
                Self::Trying {
                    bytes,
                    timer_e,
                    timer_f,
                }
                | Self::Proceeding {
                    bytes,
                    timer_e,
                    timer_f,
                },
                100..=199,
            ) => {
                out.push(ClientOutput::Response(response));
                Self::Proceeding {
                    bytes,
                    timer_e,
                    timer_f,
                }
            }
            (Self::Trying { .. } | Self::Proceeding { .. }, 200..=699) => {
                out.push(ClientOutput::Response(response));
                match rules.reliability {
                    Reliability::Reliable => Self::Terminated,
                    Reliability::Unreliable => Self::Completed {
                        timer_k: now + rules.timers.timer_i_k(rules.reliability),
                    },
                }
            }
            (state, _) => state,
        }
    }

    fn timeout(self, now: Instant, rules: Rules, out: &mut Vec<ClientOutput>) -> Self {
        let t2 = rules.timers.t2;
        match self {
            Self::Trying { timer_f, .. } | Self::Proceeding { timer_f, .. } if now >= timer_f => {
                out.push(ClientOutput::TimedOut);
                Self::Terminated
            }
            Self::Trying {
                bytes,
                timer_e: Some(timer_e),
                timer_f,
            } if now >= timer_e.at => {
                out.push(ClientOutput::Send(bytes.clone()));
                Self::Trying {
                    bytes,
                    timer_e: Some(timer_e.doubled(now, Some(t2))),
                    timer_f,
                }
            }
            Self::Proceeding {
                bytes,
                timer_e: Some(timer_e),
                timer_f,
            } if now >= timer_e.at => {
                out.push(ClientOutput::Send(bytes.clone()));
                // §17.1.2.2: in Proceeding timer E is always reset to T2.
                Self::Proceeding {
                    bytes,
                    timer_e: Some(timer_e.followed_by(now, t2)),
                    timer_f,
                }
            }
            Self::Completed { timer_k } if now >= timer_k => Self::Terminated,
            state => state,
        }
    }

    fn transport_error(self, out: &mut Vec<ClientOutput>) -> Self {
        match self {
            Self::Trying { .. } | Self::Proceeding { .. } => {
                out.push(ClientOutput::TransportFailed);
                Self::Terminated
            }
            state => state,
        }
    }
}
