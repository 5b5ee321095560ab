//! Client INVITE transaction, RFC 3261 §17.1.1 with RFC 6026.
//!
//! ```text
//!             INVITE sent
//!                  |    timer A: INVITE again
//!                  v   +---+
//!              Calling <---+ --timer B---------------> Terminated (TimedOut)
//!               |  |  |
//!               |  | 1xx          +---+ 1xx
//!               |  |  +--> Proceeding <-+
//!               |  |         |  |
//!     300–699   |  | 2xx     |  | 2xx
//!     ACK sent  |  +---------)--+--> Accepted --timer M--> Terminated
//!               +------------+           +--2xx: handed up
//!                            v
//!                        Completed --timer D--------> Terminated
//!                            +--300–699: the same ACK again
//! ```
//!
//! Invariants:
//! - It sends the ACK of a 3xx–6xx itself; the ACK of a 2xx is the session's.
//! - *Proceeding* has no timer: the caller owns the ring timeout and sends CANCEL.
//! - A 2xx that follows a 3xx–6xx (a proxy may forward one, §16.7) is handed up, so that no answered leg is
//!   left without ACK and BYE.
use std::sync::Arc;
use std::time::Instant;

use super::timer::{Backoff, Reliability, TimerConfig, earliest};
use super::{ClientInput, ClientOutput};
use crate::sip::message::{CSeq, Method, Request, Response};

#[derive(Debug, Clone)]
pub enum ClientInvite {
    /// No response yet.
    Calling {
        invite: Arc<Request>,
        bytes: Vec<u8>,
        timer_a: Option<Backoff>,
        timer_b: Instant,
    },
    /// A 1xx came.
    Proceeding {
        invite: Arc<Request>,
    },
    /// A 2xx came; more may come, from this or other branches.
    Accepted {
        timer_m: Instant,
    },
    /// A 3xx–6xx came and was acknowledged.
    Completed {
        ack: Vec<u8>,
        timer_d: Instant,
    },
    Terminated,
}

/// What stays the same for one transaction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) timers: TimerConfig,
    pub(crate) reliability: Reliability,
}

impl ClientInvite {
    #[must_use]
    pub(crate) fn start(
        now: Instant,
        rules: Rules,
        invite: Arc<Request>,
        out: &mut Vec<ClientOutput>,
    ) -> Self {
        let bytes = invite.to_bytes();
        out.push(ClientOutput::Send(bytes.clone()));
        Self::Calling {
            invite,
            bytes,
            timer_a: rules.timers.backoff(now, rules.reliability),
            timer_b: now + rules.timers.t1_64(),
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
            ClientInput::Timeout => self.timeout(now, out),
            ClientInput::TransportError => self.transport_error(out),
        }
    }

    /// The next deadline and its name, for the log.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        match *self {
            Self::Calling { timer_a, timer_b, .. } => earliest(
                timer_a.map(|timer| (timer.at, "timer A")),
                Some((timer_b, "timer B")),
            ),
            Self::Accepted { timer_m } => Some((timer_m, "timer M")),
            Self::Completed { timer_d, .. } => Some((timer_d, "timer D")),
            Self::Proceeding { .. } | Self::Terminated => None,
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
            (Self::Calling { invite, .. } | Self::Proceeding { invite }, 100..=199) => {
                out.push(ClientOutput::Response(response));
                Self::Proceeding { invite }
            }
            (Self::Calling { .. } | Self::Proceeding { .. }, 200..=299) => {
                out.push(ClientOutput::Response(response));
                Self::Accepted {
                    timer_m: now + rules.timers.t1_64(),
                }
            }
            (Self::Calling { invite, .. } | Self::Proceeding { invite }, 300..=699) => {
                let ack = ack_of_rejection(&invite, &response).to_bytes();
                out.push(ClientOutput::Send(ack.clone()));
                out.push(ClientOutput::Response(response));
                match rules.reliability {
                    Reliability::Reliable => Self::Terminated,
                    Reliability::Unreliable => Self::Completed {
                        ack,
                        timer_d: now + rules.timers.timer_d(rules.reliability),
                    },
                }
            }
            (state @ (Self::Accepted { .. } | Self::Completed { .. }), 200..=299) => {
                out.push(ClientOutput::Response(response));
                state
            }
            (Self::Completed { ack, timer_d }, 300..=699) => {
                out.push(ClientOutput::Send(ack.clone()));
                Self::Completed { ack, timer_d }
            }
            (state, _) => state,
        }
    }

    fn timeout(self, now: Instant, out: &mut Vec<ClientOutput>) -> Self {
        match self {
            Self::Calling { timer_b, .. } if now >= timer_b => {
                out.push(ClientOutput::TimedOut);
                Self::Terminated
            }
            Self::Calling {
                invite,
                bytes,
                timer_a: Some(timer_a),
                timer_b,
            } if now >= timer_a.at => {
                out.push(ClientOutput::Send(bytes.clone()));
                // §17.1.1.2: timer A doubles without a cap.
                Self::Calling {
                    invite,
                    bytes,
                    timer_a: Some(timer_a.doubled(now, None)),
                    timer_b,
                }
            }
            Self::Accepted { timer_m: until } | Self::Completed { timer_d: until, .. } if now >= until => {
                Self::Terminated
            }
            state => state,
        }
    }

    fn transport_error(self, out: &mut Vec<ClientOutput>) -> Self {
        match self {
            Self::Calling { .. } => {
                out.push(ClientOutput::TransportFailed);
                Self::Terminated
            }
            // A later failure to send concerns an ACK that the peer asks for again by repeating its response.
            state => state,
        }
    }
}

/// The ACK of a 3xx–6xx, RFC 3261 §17.1.1.3: same branch, Request-URI and Route; To from the response.
#[must_use]
pub(crate) fn ack_of_rejection(invite: &Request, response: &Response) -> Request {
    let mut ack = Request::new(Method::Ack, invite.uri.clone());
    for name in ["Via", "Max-Forwards", "Route", "From"] {
        copy_first_or_all(invite, &mut ack, name);
    }
    let to = response
        .headers
        .get("To")
        .or_else(|| invite.headers.get("To"))
        .unwrap_or_default();
    ack.headers.push("To", to);
    copy_first_or_all(invite, &mut ack, "Call-ID");
    let seq = invite.headers.cseq().map_or(1, |cseq| cseq.seq);
    ack.headers.push(
        "CSeq",
        CSeq {
            seq,
            method: Method::Ack,
        }
        .to_string(),
    );
    ack
}

/// The CANCEL of an INVITE, RFC 3261 §9.1: everything that identifies the transaction is the INVITE's.
#[must_use]
pub(crate) fn cancel_of(invite: &Request) -> Request {
    let mut cancel = Request::new(Method::Cancel, invite.uri.clone());
    for name in ["Via", "Max-Forwards", "Route", "From", "To", "Call-ID"] {
        copy_first_or_all(invite, &mut cancel, name);
    }
    let seq = invite.headers.cseq().map_or(1, |cseq| cseq.seq);
    cancel.headers.push(
        "CSeq",
        CSeq {
            seq,
            method: Method::Cancel,
        }
        .to_string(),
    );
    cancel
}

/// What identifies an INVITE that will not be sent again: enough for its responses to be recognised, and for the ACK, the
/// CANCEL and the dialog that follow from it.
#[must_use]
pub(crate) fn identity_of(invite: &Arc<Request>) -> Arc<Request> {
    if invite.body.is_empty() && !invite.headers.contains("Contact") {
        return Arc::clone(invite);
    }
    let mut identity = Request::new(Method::Invite, invite.uri.clone());
    for name in ["Via", "Max-Forwards", "Route", "From", "To", "Call-ID", "CSeq"] {
        copy_first_or_all(invite, &mut identity, name);
    }
    // The ACK of a 2xx has the INVITE's (RFC 3261 §22.1).
    for name in ["Authorization", "Proxy-Authorization"] {
        for value in invite.headers.lines(name) {
            identity.headers.push(name, value);
        }
    }
    identity.headers.shrink();
    Arc::new(identity)
}

/// Our INVITE has one Via; Route is the only list among the copied fields.
fn copy_first_or_all(from: &Request, to: &mut Request, name: &str) {
    let count = if name == "Route" { usize::MAX } else { 1 };
    for value in from.headers.all(name).take(count) {
        to.headers.push(name, value);
    }
}
