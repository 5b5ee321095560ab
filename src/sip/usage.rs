//! The INVITE usage of one dialog (RFC 5057): everything a session does once it has a dialog, the same on both
//! sides. [`invite`](super::invite) and [`uas`](super::uas) set it up and own it.
//!
//! ```text
//!             2xx                 BYE sent            BYE answered
//!   Early ---------> Confirmed ------------> Leaving ---------------> Gone
//!                     |   |  BYE received                              ^
//!                     |   +--------------------------------------------+
//!                     | BYE wished, ACK of our 2xx missing             |
//!                     +---------> Closing --ACK or its deadline--> Leaving
//!
//!   offers (RFC 3264, 3311, 6337), beside the phase:
//!   Initial --answered--> Stable <--> Ours (491: OursLater, then again)
//!                           ^-------> Theirs (491 to or from a second one)
//! ```
//!
//! It answers BYE, INFO, OPTIONS and session refreshes by itself, hands offers up, and repeats a 2xx until its ACK
//! comes. A peer's request reaches it only after source, Call-ID and tags have been checked.
//!
//! Invariants:
//! - One offer at a time, whichever side made it.
//! - Exactly one BYE transaction is opened by us, and none after the peer's BYE.
//! - A repeated 2xx to our re-INVITE gets the same ACK again, octet by octet.
use std::time::{Duration, Instant};

use super::cause;
use super::dialog::Dialog;
use super::digest::RequestChallenges;
use super::endpoint::Endpoint;
use super::message::{Method, Request, Response};
use super::transaction::table::{ClientId, Completion, Reply, ServerId, Transmit};
use super::transaction::timer::earliest;
use crate::model::HangupCause;

mod acknowledgement;
mod content;
mod negotiation;
mod refresh;

pub(crate) use acknowledgement::{Acknowledges, Sent2xx};
pub(crate) use content::refusal_of_content;

use acknowledgement::Unacked;
use negotiation::Negotiation;
use refresh::Refresh;

/// Requests of ours in one dialog at a time.
const REQUESTS_MAX: usize = 16;

#[derive(Debug)]
pub(crate) struct InviteUsage {
    pub(crate) dialog: Dialog,
    side: Side,
    phase: Phase,
    negotiation: Negotiation,
    unacked: Option<Unacked>,
    requests: Vec<OpenRequest>,
    reinvite_ack: Option<ReinviteAck>,
    refresh: Refresh,
    /// Our latest session description, for a refresh by re-INVITE.
    description: Vec<u8>,
}

/// Who sent the INVITE that made the dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Uac,
    Uas,
}

#[derive(Debug)]
enum Phase {
    Early,
    Confirmed,
    /// RFC 3261 §15: the UAS sends no BYE before the ACK of its 2xx.
    Closing {
        reason: Option<String>,
    },
    Leaving,
    Gone,
}

#[derive(Debug)]
struct OpenRequest {
    id: ClientId,
    challenges: RequestChallenges,
}

#[derive(Debug)]
struct ReinviteAck {
    id: ClientId,
    ack: Transmit,
}

/// What the owner has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum UsageEvent {
    /// Answer with [`InviteUsage::answer_offer`] or [`InviteUsage::reject_offer`].
    Offer {
        sdp: Option<Vec<u8>>,
    },
    /// The answer to an offer of ours.
    SdpAnswer {
        sdp: Vec<u8>,
    },
    /// Our re-INVITE was refused; the session stays as it was.
    OfferRejected {
        status: u16,
    },
    Info {
        content_type: String,
        body: Vec<u8>,
    },
    /// The ACK of the 2xx to the first INVITE.
    Acked {
        sdp: Option<Vec<u8>>,
    },
    PeerBye {
        cause: HangupCause,
    },
    /// The peer has lost the dialog; our BYE is on its way.
    Lost {
        cause: HangupCause,
    },
}

impl InviteUsage {
    /// A dialog made by a 1xx, sent or received.
    #[must_use]
    pub(crate) fn early(dialog: Dialog, side: Side, description: Vec<u8>) -> Self {
        Self {
            dialog,
            side,
            phase: Phase::Early,
            negotiation: Negotiation::Initial,
            unacked: None,
            requests: Vec::new(),
            reinvite_ack: None,
            refresh: Refresh::off(),
            description,
        }
    }

    /// UAC: a 2xx came. The route set is now that of the 2xx (RFC 3261 §13.2.2.4).
    pub(crate) fn confirm(&mut self, now: Instant, ok: &Response) {
        self.dialog.confirm(ok);
        self.phase = Phase::Confirmed;
        if matches!(self.negotiation, Negotiation::Initial) {
            self.negotiation = Negotiation::Stable;
        }
        self.refresh = Refresh::agreed_by(now, ok);
    }

    /// UAS: a 2xx was sent and waits for its ACK.
    pub(crate) fn answered(&mut self, now: Instant, ua: &Endpoint, sent: Sent2xx, description: Vec<u8>) {
        self.phase = Phase::Confirmed;
        self.negotiation = Negotiation::Stable;
        self.description = description;
        self.await_ack(now, ua, Acknowledges::FirstInvite, sent);
    }

    /// UAS: what the 2xx to the first INVITE says of session timers.
    pub(crate) fn grant_session_timer(&mut self, now: Instant, invite: &Request, ok: &mut Response) {
        self.refresh.grant(now, invite, ok);
    }

    /// The offer of the first INVITE was answered in a reliable provisional response (RFC 3262 §5).
    pub(crate) fn offer_answered_early(&mut self) {
        if matches!(self.negotiation, Negotiation::Initial) {
            self.negotiation = Negotiation::Stable;
        }
    }

    #[must_use]
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.phase, Phase::Gone)
    }

    /// Gone, and no answer of the peer's is acknowledged any more.
    #[must_use]
    pub(crate) fn is_spent(&self) -> bool {
        self.is_gone() && self.reinvite_ack.is_none() && self.requests.is_empty()
    }

    /// The session will not be refreshed: a late answer ends at once.
    pub(crate) fn shed(&mut self) {
        self.description = Vec::new();
    }

    #[must_use]
    pub(crate) fn is_confirmed(&self) -> bool {
        matches!(self.phase, Phase::Confirmed)
    }

    #[must_use]
    pub(crate) fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let unacked = self.unacked.as_ref().and_then(|unacked| {
            earliest(
                Some((unacked.again.at, "2xx again")),
                Some((unacked.give_up_at, "no ACK")),
            )
        });
        let offer = match self.negotiation {
            Negotiation::OursLater { at, .. } => Some((at, "offer after glare")),
            Negotiation::Ours { give_up_at, .. } => Some((give_up_at, "re-INVITE without answer")),
            Negotiation::Initial | Negotiation::Stable | Negotiation::Theirs { .. } => None,
        };
        let refresh = match self.phase {
            Phase::Confirmed => self.refresh.poll_timeout(),
            Phase::Early | Phase::Closing { .. } | Phase::Leaving | Phase::Gone => None,
        };
        earliest(earliest(unacked, offer), refresh)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, ua: &mut Endpoint, out: &mut Vec<UsageEvent>) {
        self.repeat_2xx(now, ua, out);
        self.give_up_reinvite(now, ua, out);
        self.offer_after_glare(now, ua);
        self.refresh_session(now, ua, out);
    }

    /// A new request with this dialog's tags: accepts it into a transaction and answers it, or hands it up.
    pub(crate) fn receive_request(
        &mut self,
        now: Instant,
        request: &Request,
        id: ServerId,
        ua: &mut Endpoint,
        out: &mut Vec<UsageEvent>,
    ) {
        let response = self.judge(now, request, id, ua, out);
        if let Some(response) = response {
            ua.transactions.respond(now, id, &response);
        }
    }

    /// The response, or `None` where the owner answers.
    fn judge(
        &mut self,
        now: Instant,
        request: &Request,
        id: ServerId,
        ua: &mut Endpoint,
        out: &mut Vec<UsageEvent>,
    ) -> Option<Response> {
        let seq = request.headers.cseq().map_or(0, |cseq| cseq.seq);
        if self.dialog.receive_seq(seq).is_err() {
            return Some(ua.reply(request, 500));
        }
        if matches!(self.phase, Phase::Leaving | Phase::Gone) && request.method != Method::Bye {
            return Some(ua.reply(request, 481));
        }
        if let Some(refusal) = refusal_of_content(request, ua) {
            return Some(refusal);
        }
        match &request.method {
            Method::Bye => Some(self.receive_bye(now, request, ua, out)),
            Method::Invite | Method::Update => self.receive_offer(now, request, id, ua, out),
            Method::Info => {
                let content_type = request.headers.content_type().unwrap_or_default().to_owned();
                out.push(UsageEvent::Info {
                    content_type,
                    body: request.body.clone(),
                });
                Some(ua.reply(request, 200))
            }
            Method::Options => Some(ua.reply(request, 200)),
            // No reliable response of ours waits: the UAS takes its own PRACKs before they come here.
            Method::Prack => Some(ua.reply(request, 481)),
            Method::Other(_) => Some(ua.reply(request, 501)),
            Method::Ack
            | Method::Cancel
            | Method::Register
            | Method::Refer
            | Method::Notify
            | Method::Subscribe
            | Method::Message
            | Method::Publish => Some(ua.reply(request, 405)),
        }
    }

    /// Ends the session from our side.
    pub(crate) fn bye(&mut self, now: Instant, reason: Option<String>, ua: &mut Endpoint) {
        if !self.is_confirmed() {
            return;
        }
        let first_ack_missing = self
            .unacked
            .as_ref()
            .is_some_and(|unacked| unacked.acknowledges == Acknowledges::FirstInvite);
        if first_ack_missing {
            self.phase = Phase::Closing { reason };
        } else {
            self.send_bye(now, reason, ua);
        }
    }

    /// An early dialog ended by the final response to its INVITE. A late 2xx of its own confirms it all the same.
    pub(crate) fn abandon(&mut self, now: Instant, ua: &mut Endpoint) {
        self.terminate_peer_offer(now, ua);
        self.phase = Phase::Gone;
    }

    /// Sends a request in the dialog: INFO, PRACK, UPDATE, BYE.
    pub(crate) fn send(&mut self, now: Instant, request: Request, ua: &mut Endpoint) -> Option<ClientId> {
        if self.requests.len() >= REQUESTS_MAX {
            return None;
        }
        let id = ua.send_in_dialog(now, &self.dialog, request)?;
        let challenges = RequestChallenges::default();
        self.requests.push(OpenRequest { id, challenges });
        Some(id)
    }

    /// A client transaction has something to say; given back when it is not this dialog's.
    pub(crate) fn receive_completion(
        &mut self,
        now: Instant,
        completion: Completion,
        ua: &mut Endpoint,
        out: &mut Vec<UsageEvent>,
    ) -> Option<Completion> {
        if self.repeat_reinvite_ack(&completion, ua) {
            return None;
        }
        let Some(index) = self
            .requests
            .iter()
            .position(|request| request.id == completion.id)
        else {
            return Some(completion);
        };
        if matches!(&completion.reply, Reply::Response(response) if response.is_provisional()) {
            return None;
        }
        let open = self.requests.swap_remove(index);
        if self.answer_challenge(now, &completion, open, ua) {
            return None;
        }
        match &completion.request.method {
            Method::Invite => self.reinvite_completed(now, completion, ua, out),
            Method::Update => self.update_completed(now, &completion, ua, out),
            Method::Bye => self.phase = Phase::Gone,
            // PRACK, INFO: nothing depends on their answer.
            _ => {}
        }
        None
    }

    fn receive_bye(
        &mut self,
        now: Instant,
        bye: &Request,
        ua: &mut Endpoint,
        out: &mut Vec<UsageEvent>,
    ) -> Response {
        match (&self.phase, self.side) {
            (Phase::Confirmed | Phase::Closing { .. }, _) | (Phase::Early, Side::Uas) => {
                self.terminate_peer_offer(now, ua);
                self.unacked = None;
                self.phase = Phase::Gone;
                out.push(UsageEvent::PeerBye {
                    cause: cause::of_bye(bye),
                });
                ua.reply(bye, 200)
            }
            // Both sides hung up at once: ours is still to be answered.
            (Phase::Leaving, _) => ua.reply(bye, 200),
            // RFC 3261 §15: the callee ends no early dialog by BYE.
            (Phase::Early, Side::Uac) | (Phase::Gone, _) => ua.reply(bye, 481),
        }
    }

    fn send_bye(&mut self, now: Instant, reason: Option<String>, ua: &mut Endpoint) {
        self.terminate_peer_offer(now, ua);
        self.unacked = None;
        let mut bye = self.dialog.next_request(Method::Bye);
        if let Some(reason) = reason {
            bye.headers.push("Reason", reason);
        }
        // The other open requests may fill the list; the BYE is worth more than any of them.
        self.requests.truncate(REQUESTS_MAX - 1);
        self.phase = match self.send(now, bye, ua) {
            Some(_) => Phase::Leaving,
            None => Phase::Gone,
        };
    }

    fn lose(&mut self, now: Instant, text: &str, ua: &mut Endpoint, out: &mut Vec<UsageEvent>) {
        if self.is_confirmed() {
            out.push(UsageEvent::Lost {
                cause: cause::of_lost_dialog(text),
            });
        }
        if matches!(self.phase, Phase::Confirmed | Phase::Closing { .. }) {
            self.send_bye(now, None, ua);
        }
    }

    /// Sends the request again with credentials, if this is a challenge that we can answer.
    fn answer_challenge(
        &mut self,
        now: Instant,
        completion: &Completion,
        open: OpenRequest,
        ua: &mut Endpoint,
    ) -> bool {
        let Reply::Response(response) = &completion.reply else {
            return false;
        };
        if !matches!(response.status, 401 | 407) {
            return false;
        }
        let mut challenges = open.challenges;
        let Some(mut again) = ua.answer_challenge(&completion.request, response, &mut challenges) else {
            return false;
        };
        self.dialog.local_seq = self.dialog.local_seq.saturating_add(1);
        super::endpoint::set_seq(&mut again, self.dialog.local_seq);
        let Some(id) = ua.send_in_dialog(now, &self.dialog, again) else {
            return false;
        };
        self.requests.push(OpenRequest { id, challenges });
        if let Negotiation::Ours { id: ours, .. } = &mut self.negotiation
            && *ours == completion.id
        {
            *ours = id;
        }
        true
    }
}

/// A pause short of nothing the peer could feel, long enough not to spin.
const SOON: Duration = Duration::from_secs(2);
