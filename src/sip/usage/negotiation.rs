//! Offers inside a dialog: re-INVITE (RFC 3261 §14) and UPDATE (RFC 3311), ours and the peer's, and their glare.
use std::time::Instant;

use super::{Acknowledges, InviteUsage, ReinviteAck, SOON, Sent2xx, Side, UsageEvent};
use crate::sip::endpoint::{Endpoint, SDP};
use crate::sip::message::{Method, Request, Response};
use crate::sip::transaction::table::{ClientId, Completion, Reply, ServerId, Transmit};

/// RFC 3261 §20.43: why a description is refused.
const INCOMPATIBLE_MEDIA: (u16, &str) = (305, "Incompatible media format");
const NO_ANSWER: &str = "a re-INVITE got no answer";

/// The one offer that may be open.
#[derive(Debug)]
pub(super) enum Negotiation {
    /// That of the first INVITE.
    Initial,
    Stable,
    /// Our re-INVITE waits for its final response. After a 1xx its transaction has no timer, so this one bounds it.
    Ours {
        id: ClientId,
        offer: Vec<u8>,
        give_up_at: Instant,
    },
    /// Our re-INVITE has to wait: it met the peer's (491), or an ACK is missing.
    OursLater {
        at: Instant,
        offer: Vec<u8>,
    },
    /// The peer's re-INVITE or UPDATE, handed up.
    Theirs {
        id: ServerId,
        request: Box<Request>,
    },
}

impl InviteUsage {
    /// Offers `sdp` by re-INVITE, now or as soon as the negotiation allows.
    pub(crate) fn offer(&mut self, now: Instant, sdp: Vec<u8>, ua: &mut Endpoint) {
        if !self.is_confirmed() {
            return;
        }
        match &self.negotiation {
            Negotiation::Stable if self.unacked.is_none() => self.send_reinvite(now, sdp, ua),
            Negotiation::Stable | Negotiation::OursLater { .. } => {
                self.negotiation = Negotiation::OursLater {
                    at: now + SOON,
                    offer: sdp,
                };
            }
            // One offer at a time: the owner has this one still open.
            Negotiation::Initial | Negotiation::Ours { .. } | Negotiation::Theirs { .. } => {}
        }
    }

    /// Answers the peer's offer; where the peer made none, `sdp` is our offer and the ACK brings the answer.
    pub(crate) fn answer_offer(&mut self, now: Instant, sdp: Vec<u8>, ua: &mut Endpoint) {
        let Some((id, request)) = self.take_peer_offer() else {
            return;
        };
        self.dialog.refresh_target(&request.headers);
        let mut response = ua.reply(&request, 200).with_body(SDP, sdp.clone());
        self.refresh.grant(now, &request, &mut response);
        self.description = sdp;
        let Some(transmit) = ua.transactions.respond(now, id, &response) else {
            return;
        };
        if request.method == Method::Invite {
            let seq = request.headers.cseq().map_or(0, |cseq| cseq.seq);
            let carries_offer = request.body_of_type(SDP).is_none();
            self.await_ack(
                now,
                ua,
                Acknowledges::Reinvite,
                Sent2xx {
                    transmit,
                    seq,
                    carries_offer,
                },
            );
        }
    }

    /// Refuses the peer's offer: 488, or any 4xx–6xx.
    pub(crate) fn reject_offer(&mut self, now: Instant, status: u16, ua: &mut Endpoint) {
        let Some((id, request)) = self.take_peer_offer() else {
            return;
        };
        let status = if (400..700).contains(&status) { status } else { 488 };
        let mut response = ua.reply(&request, status);
        if matches!(status, 488 | 606) {
            response.headers.push("Warning", ua.warning(INCOMPATIBLE_MEDIA));
        }
        ua.transactions.respond(now, id, &response);
    }

    /// The peer's re-INVITE was cancelled, or the session ends: 487 (RFC 3261 §9.2, §15.1.2).
    pub(super) fn terminate_peer_offer(&mut self, now: Instant, ua: &mut Endpoint) {
        self.reject_offer(now, 487, ua);
    }

    /// A CANCEL met this pending re-INVITE.
    pub(crate) fn cancel_peer_offer(&mut self, now: Instant, cancelled: ServerId, ua: &mut Endpoint) -> bool {
        let is_pending = matches!(&self.negotiation, Negotiation::Theirs { id, .. } if *id == cancelled);
        if is_pending {
            self.terminate_peer_offer(now, ua);
        }
        is_pending
    }

    pub(super) fn receive_offer(
        &mut self,
        now: Instant,
        request: &Request,
        id: ServerId,
        ua: &mut Endpoint,
        out: &mut Vec<UsageEvent>,
    ) -> Option<Response> {
        if let Some(refusal) = self.refresh.refusal(request, ua) {
            return Some(refusal);
        }
        let sdp = request.body_of_type(SDP).map(<[u8]>::to_vec);
        if request.method == Method::Update && sdp.is_none() {
            // RFC 4028 §7.4: an UPDATE without offer refreshes the session and nothing else.
            self.dialog.refresh_target(&request.headers);
            let mut response = ua.reply(request, 200);
            self.refresh.grant(now, request, &mut response);
            return Some(response);
        }
        match self.collision(request) {
            Some(Collision::Pending) => Some(ua.reply(request, 491)),
            Some(Collision::TooSoon) => {
                let mut response = ua.reply(request, 500);
                // RFC 3261 §14.2: a random value between 0 and 10 seconds.
                response
                    .headers
                    .push("Retry-After", ua.entropy.below(11).to_string());
                Some(response)
            }
            None => {
                self.negotiation = Negotiation::Theirs {
                    id,
                    request: Box::new(request.clone()),
                };
                out.push(UsageEvent::Offer { sdp });
                None
            }
        }
    }

    /// RFC 3261 §14.2 and RFC 3311 §5.2.
    fn collision(&self, request: &Request) -> Option<Collision> {
        match (&self.negotiation, &self.unacked) {
            (Negotiation::Ours { .. }, _) => Some(Collision::Pending),
            (Negotiation::Theirs { .. }, _) => Some(Collision::TooSoon),
            (Negotiation::Initial, _) => Some(match self.side {
                Side::Uac => Collision::Pending,
                Side::Uas => Collision::TooSoon,
            }),
            (Negotiation::Stable | Negotiation::OursLater { .. }, Some(unacked)) => {
                if request.method == Method::Invite {
                    Some(Collision::TooSoon)
                } else {
                    unacked.expects_answer.then_some(Collision::Pending)
                }
            }
            (Negotiation::Stable | Negotiation::OursLater { .. }, None) => None,
        }
    }

    pub(super) fn offer_after_glare(&mut self, now: Instant, ua: &mut Endpoint) {
        let due = matches!(&self.negotiation, Negotiation::OursLater { at, .. } if now >= *at);
        if !due {
            return;
        }
        if let Negotiation::OursLater { offer, .. } =
            std::mem::replace(&mut self.negotiation, Negotiation::Stable)
        {
            self.offer(now, offer, ua);
        }
    }

    pub(super) fn give_up_reinvite(&mut self, now: Instant, ua: &mut Endpoint, out: &mut Vec<UsageEvent>) {
        let Negotiation::Ours { id, give_up_at, .. } = &self.negotiation else {
            return;
        };
        if now < *give_up_at {
            return;
        }
        let id = *id;
        self.negotiation = Negotiation::Stable;
        self.requests.retain(|request| request.id != id);
        ua.transactions.forget(id);
        self.lose(now, NO_ANSWER, ua, out);
    }

    pub(super) fn send_reinvite(&mut self, now: Instant, offer: Vec<u8>, ua: &mut Endpoint) {
        let mut request = self
            .dialog
            .next_request(Method::Invite)
            .with_body(SDP, offer.clone());
        self.refresh.ask(&mut request);
        self.negotiation = match self.send(now, request, ua) {
            Some(id) => Negotiation::Ours {
                id,
                offer,
                give_up_at: now + ua.timers().t1_64(),
            },
            None => Negotiation::OursLater {
                at: now + SOON,
                offer,
            },
        };
    }

    pub(super) fn reinvite_completed(
        &mut self,
        now: Instant,
        completion: Completion,
        ua: &mut Endpoint,
        out: &mut Vec<UsageEvent>,
    ) {
        let offer = match std::mem::replace(&mut self.negotiation, Negotiation::Stable) {
            Negotiation::Ours { offer, .. } => offer,
            other => {
                self.negotiation = other;
                Vec::new()
            }
        };
        let Reply::Response(response) = &completion.reply else {
            return self.lose(now, NO_ANSWER, ua, out);
        };
        match response.status {
            200..=299 => {
                self.acknowledge_reinvite(&completion, response, ua);
                self.description = offer;
                self.refresh.renew(now, response);
                if let Some(sdp) = response.body_of_type(SDP) {
                    out.push(UsageEvent::SdpAnswer { sdp: sdp.to_vec() });
                }
            }
            491 => {
                let at = now + ua.glare_pause(self.side == Side::Uac);
                self.negotiation = Negotiation::OursLater { at, offer };
            }
            408 | 481 => self.lose(now, "the peer does not know the dialog", ua, out),
            422 if self.refresh.raise(now, response) => {}
            status => out.push(UsageEvent::OfferRejected { status }),
        }
    }

    fn acknowledge_reinvite(&mut self, completion: &Completion, response: &Response, ua: &mut Endpoint) {
        self.dialog.refresh_target(&response.headers);
        let bytes = ua.ack_bytes(&self.dialog, &completion.request);
        let ack = Transmit {
            to: ua.next_hop(&self.dialog),
            bytes,
        };
        ua.transactions.send(ack.to, ack.bytes.clone());
        self.reinvite_ack = Some(ReinviteAck {
            id: completion.id,
            ack,
        });
    }

    /// A 2xx to our re-INVITE came again: its ACK was lost.
    pub(super) fn repeat_reinvite_ack(&self, completion: &Completion, ua: &mut Endpoint) -> bool {
        match &self.reinvite_ack {
            Some(ReinviteAck { id, ack }) if *id == completion.id => {
                ua.transactions.send(ack.to, ack.bytes.clone());
                true
            }
            Some(_) | None => false,
        }
    }

    fn take_peer_offer(&mut self) -> Option<(ServerId, Box<Request>)> {
        match std::mem::replace(&mut self.negotiation, Negotiation::Stable) {
            Negotiation::Theirs { id, request } => Some((id, request)),
            other => {
                self.negotiation = other;
                None
            }
        }
    }
}

/// Why the peer's offer cannot be taken now.
enum Collision {
    /// 491: an offer of ours is open.
    Pending,
    /// 500 with Retry-After: an earlier offer of the peer's is open.
    TooSoon,
}
