//! After Timer B the leg is kept for 64·T1: the INVITE may have arrived, and a telephone may ring.
//!
//! ```text
//!  silent ──1xx: CANCEL──▶ cancelled
//!     └────── 2xx: ACK + BYE, 3xx–6xx: ACK ──────┘   64·T1 after the last of them: over
//! ```
//!
//! The same window follows a CANCEL that had no effect. Each target that gave no answer has a window of its own, beside
//! the INVITE to the next one.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Core, Event, State};
use crate::sip::message::{Method, Request, Response};
use crate::sip::transaction::client_invite::{ack_of_rejection, cancel_of, identity_of};
use crate::sip::transaction::same_identity;
use crate::sip::transaction::timer::TimerConfig;

#[derive(Debug)]
pub(super) struct LateWindow {
    invite: Arc<Request>,
    /// Where the INVITE went.
    to: SocketAddr,
    until: Instant,
    length: Duration,
    cancel: Cancel,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cancel {
    NotSent,
    Sent,
}

impl LateWindow {
    /// No response came, so no CANCEL could be sent.
    #[must_use]
    pub(super) fn silent(now: Instant, invite: Arc<Request>, to: SocketAddr, timers: TimerConfig) -> Self {
        let length = timers.t1_64();
        Self {
            invite,
            to,
            until: now + length,
            length,
            cancel: Cancel::NotSent,
        }
    }

    /// The CANCEL is out, its effect missing.
    #[must_use]
    pub(super) fn cancelled(now: Instant, invite: Arc<Request>, to: SocketAddr, timers: TimerConfig) -> Self {
        Self {
            cancel: Cancel::Sent,
            ..Self::silent(now, invite, to, timers)
        }
    }

    #[must_use]
    pub(super) fn deadline(&self) -> (Instant, &'static str) {
        (self.until, "late responses")
    }

    /// The INVITE will not be sent again.
    pub(super) fn shed(&mut self) {
        self.invite = identity_of(&self.invite);
    }

    fn matches(&self, response: &Response) -> bool {
        let branch = |via: crate::sip::message::Via| via.branch().map(str::to_owned);
        let sent = self.invite.headers.top_via().ok().and_then(branch);
        let got = match response.headers.vias() {
            Ok(vias) if vias.len() == 1 => vias.into_iter().next().and_then(branch),
            Ok(_) | Err(_) => None,
        };
        let of_invite = response
            .headers
            .cseq()
            .is_ok_and(|cseq| cseq.method == Method::Invite);
        sent.is_some() && sent == got && of_invite && same_identity(&self.invite, response)
    }
}

impl State {
    /// A response that no transaction knows.
    pub(super) fn stray_response(
        self,
        now: Instant,
        response: &Response,
        core: &mut Core,
        events: &mut Vec<Event>,
    ) -> Self {
        let Some(late) = core.late.iter_mut().find(|late| late.matches(response)) else {
            // The transaction of the INVITE is over, its 2xx still repeated: only a known leg is answered.
            if response.is_success() && is_of_call(response, core) {
                core.repeat_ack(response);
            }
            return self;
        };
        late.until = late.until.max(now + late.length);
        let (invite, to) = (Arc::clone(&late.invite), late.to);
        match (response.status, late.cancel) {
            (100..=199, Cancel::NotSent) => {
                late.cancel = Cancel::Sent;
                core.ua.transactions.request(now, cancel_of(&invite), to);
                events.push(Event::LateResponse {
                    status: response.status,
                });
                self
            }
            (100..=199, Cancel::Sent) => self,
            (200..=299, _) => {
                core.leg_of_former_target(response, to);
                self.answered(now, None, &invite, response, core, events)
            }
            _ => {
                core.ua
                    .transactions
                    .send(to, ack_of_rejection(&invite, response).to_bytes());
                self
            }
        }
    }
}

/// Beside the To tag, which [`Core::repeat_ack`] checks: Call-ID and our From tag.
fn is_of_call(response: &Response, core: &Core) -> bool {
    let from_tag = response
        .headers
        .from()
        .ok()
        .and_then(|from| from.tag().map(str::to_owned));
    response.headers.call_id() == Ok(core.call_id.as_str()) && from_tag.as_deref() == Some(&core.local_tag)
}
