//! Server INVITE transaction, RFC 3261 §17.2.1 with RFC 6026.
//!
//! ```text
//!             INVITE
//!               |     100 by itself after 200 ms; INVITE again: last 1xx again
//!               v    +---+
//!          Proceeding <--+ --2xx--> Accepted --timer L--> Terminated
//!               |                      +--INVITE again: absorbed; ACK: handed up; 2xx: sent
//!        300–699|
//!               v
//!          Completed --timer H--> Terminated (NoAck)
//!               |  +--INVITE again, timer G: the response again
//!           ACK |
//!               v
//!          Confirmed --timer I--> Terminated
//!               +--ACK again: absorbed
//! ```
//!
//! Invariant: after the first final response no other final response of a 3xx–6xx is sent. Retransmitting a 2xx
//! until its ACK is the session's work (RFC 3261 §13.3.1.4).
use std::time::{Duration, Instant};

use super::client_invite::Rules;
use super::timer::{Backoff, Reliability, earliest};
use super::{ServerInput, ServerOutput};
use crate::sip::message::{Request, Response};

/// RFC 3261 §17.2.1: the transaction sends 100 unless the session answers within this time.
const TRYING_AFTER: Duration = Duration::from_millis(200);

#[derive(Debug, Clone)]
pub enum ServerInvite {
    Proceeding(Provisional),
    /// A 2xx was sent.
    Accepted {
        timer_l: Instant,
    },
    /// A 3xx–6xx was sent.
    Completed {
        bytes: Vec<u8>,
        timer_g: Option<Backoff>,
        timer_h: Instant,
    },
    /// The ACK of the 3xx–6xx came.
    Confirmed {
        timer_i: Instant,
    },
    Terminated,
}

#[derive(Debug, Clone)]
pub enum Provisional {
    /// Nothing sent yet; this 100 goes out when its time comes.
    Awaited { trying: Vec<u8>, at: Instant },
    /// The latest 1xx.
    Sent(Vec<u8>),
}

impl ServerInvite {
    #[must_use]
    pub(crate) fn start(now: Instant, invite: &Request) -> Self {
        let trying = Response::reply_to(invite, 100, None).to_bytes();
        Self::Proceeding(Provisional::Awaited {
            trying,
            at: now + TRYING_AFTER,
        })
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
            ServerInput::Ack(ack) => self.ack(now, rules, ack, out),
            ServerInput::Respond { status, bytes } => self.respond(now, rules, status, bytes, out),
            ServerInput::Timeout => self.timeout(now, rules, out),
            ServerInput::TransportError => self.transport_error(out),
        }
    }

    /// The next deadline and its name, for the log.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        match *self {
            Self::Proceeding(Provisional::Awaited { at, .. }) => Some((at, "100 Trying")),
            Self::Accepted { timer_l } => Some((timer_l, "timer L")),
            Self::Completed { timer_g, timer_h, .. } => earliest(
                timer_g.map(|timer| (timer.at, "timer G")),
                Some((timer_h, "timer H")),
            ),
            Self::Confirmed { timer_i } => Some((timer_i, "timer I")),
            Self::Proceeding(Provisional::Sent(_)) | Self::Terminated => None,
        }
    }

    fn retransmission(self, out: &mut Vec<ServerOutput>) -> Self {
        match self {
            Self::Proceeding(Provisional::Awaited { trying: bytes, .. } | Provisional::Sent(bytes)) => {
                out.push(ServerOutput::Send(bytes.clone()));
                Self::Proceeding(Provisional::Sent(bytes))
            }
            Self::Completed {
                bytes,
                timer_g,
                timer_h,
            } => {
                out.push(ServerOutput::Send(bytes.clone()));
                Self::Completed {
                    bytes,
                    timer_g,
                    timer_h,
                }
            }
            state => state,
        }
    }

    fn ack(self, now: Instant, rules: Rules, ack: Box<Request>, out: &mut Vec<ServerOutput>) -> Self {
        match self {
            Self::Completed { .. } => match rules.reliability {
                Reliability::Reliable => Self::Terminated,
                Reliability::Unreliable => Self::Confirmed {
                    timer_i: now + rules.timers.timer_i_k(rules.reliability),
                },
            },
            Self::Accepted { timer_l } => {
                out.push(ServerOutput::Ack(ack));
                Self::Accepted { timer_l }
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
            (Self::Proceeding(_), 100..=199) => {
                out.push(ServerOutput::Send(bytes.clone()));
                Self::Proceeding(Provisional::Sent(bytes))
            }
            (Self::Proceeding(_), 200..=299) => {
                out.push(ServerOutput::Send(bytes));
                Self::Accepted {
                    timer_l: now + rules.timers.t1_64(),
                }
            }
            (Self::Proceeding(_), 300..=699) => {
                out.push(ServerOutput::Send(bytes.clone()));
                Self::Completed {
                    bytes,
                    timer_g: rules.timers.backoff(now, rules.reliability),
                    timer_h: now + rules.timers.t1_64(),
                }
            }
            (Self::Accepted { timer_l }, 200..=299) => {
                out.push(ServerOutput::Send(bytes));
                Self::Accepted { timer_l }
            }
            (state, _) => state,
        }
    }

    fn timeout(self, now: Instant, rules: Rules, out: &mut Vec<ServerOutput>) -> Self {
        match self {
            Self::Proceeding(Provisional::Awaited { trying, at }) if now >= at => {
                out.push(ServerOutput::Send(trying.clone()));
                Self::Proceeding(Provisional::Sent(trying))
            }
            Self::Completed { timer_h, .. } if now >= timer_h => {
                out.push(ServerOutput::NoAck);
                Self::Terminated
            }
            Self::Completed {
                bytes,
                timer_g: Some(timer_g),
                timer_h,
            } if now >= timer_g.at => {
                out.push(ServerOutput::Send(bytes.clone()));
                let timer_g = Some(timer_g.doubled(now, Some(rules.timers.t2)));
                Self::Completed {
                    bytes,
                    timer_g,
                    timer_h,
                }
            }
            Self::Accepted { timer_l: until } | Self::Confirmed { timer_i: until } if now >= until => {
                Self::Terminated
            }
            state => state,
        }
    }

    fn transport_error(self, out: &mut Vec<ServerOutput>) -> Self {
        match self {
            // RFC 6026 §8.8: in Accepted a failed send is not the end, the session retransmits.
            Self::Proceeding(_) | Self::Completed { .. } => {
                out.push(ServerOutput::TransportFailed);
                Self::Terminated
            }
            state => state,
        }
    }
}
