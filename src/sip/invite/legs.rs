//! 2xx to the INVITE (RFC 3261 §13.2.2.4): the first one we want is the session; every other leg is acknowledged
//! and ended, so that no telephone stays off the hook.
use std::net::SocketAddr;
use std::time::Instant;

use super::inviting::Intent;
use super::{Core, Event, State, party};
use crate::sip::dialog::Dialog;
use crate::sip::endpoint::SDP;
use crate::sip::message::{Method, Request, Response};
use crate::sip::transaction::table::{ClientId, Completion, Reply, Transmit};
use crate::sip::usage::{InviteUsage, Side};

/// Answered legs of one call. More are not ours any more: a fork of this width is an attack or a fault.
const LEGS_MAX: usize = 16;

/// The ACK of one answered leg, kept to be sent again.
#[derive(Debug)]
pub(super) struct AckedLeg {
    remote_tag: String,
    invite_seq: u32,
    pub(super) ack: Transmit,
}

impl State {
    /// A client transaction has something to say.
    pub(super) fn completion(
        self,
        now: Instant,
        completion: Completion,
        core: &mut Core,
        events: &mut Vec<Event>,
    ) -> Self {
        if let Reply::Response(response) = &completion.reply {
            core.ua.heed_authentication_info(response);
        }
        match completion.request.method {
            Method::Invite if is_outside_dialog(&completion.request) => {
                self.invite_completion(now, completion, core, events)
            }
            // The INVITE's own response tells whether the CANCEL had an effect.
            Method::Cancel => self,
            _ => self.in_dialog_completion(now, completion, core, events),
        }
    }

    /// An answered leg: the session, or one to be ended.
    pub(super) fn answered(
        self,
        now: Instant,
        id: Option<ClientId>,
        request: &Request,
        response: &Response,
        core: &mut Core,
        events: &mut Vec<Event>,
    ) -> Self {
        if core.repeat_ack(response) || core.acked.len() >= LEGS_MAX {
            return self;
        }
        let Ok(to) = response.headers.to() else {
            return self;
        };
        let tag = to.tag().unwrap_or_default();
        match self {
            Self::Inviting(mut inviting) if Some(inviting.id) == id => {
                let early = inviting.take_early(tag);
                let (usage, early_sdp) = match early {
                    Some(early) => (Some(early.usage), early.sdp),
                    None => (core.usage_of(request, response), None),
                };
                let Some(mut usage) = usage else {
                    return Self::Inviting(inviting);
                };
                usage.confirm(now, response);
                core.acknowledge(&usage, request);
                let intent = std::mem::replace(&mut inviting.intent, Intent::Answer);
                if !matches!(intent, Intent::Answer) && inviting.rings_elsewhere() {
                    core.rings_until = Some(now + core.ua.timers().t1_64());
                }
                inviting.close(now, core);
                match intent {
                    Intent::Answer => {
                        let sdp = response.body_of_type(SDP).map(<[u8]>::to_vec).or(early_sdp);
                        events.extend(party::told(response));
                        events.push(Event::Answered { sdp });
                        core.settle_on_answer();
                        Self::Confirmed(Box::new(usage))
                    }
                    Intent::CancelWhenHeard { reason } | Intent::Cancelled { reason, .. } => {
                        events.push(Event::AnsweredAfterCancel);
                        core.end_leg(now, usage, reason);
                        Self::Closing
                    }
                }
            }
            state => {
                if let Some(mut usage) = core.usage_of(request, response) {
                    usage.confirm(now, response);
                    core.acknowledge(&usage, request);
                    core.end_leg(now, usage, None);
                    if id.is_none_or(|id| core.targets.was_left(id)) {
                        events.push(Event::LateResponse {
                            status: response.status,
                        });
                    }
                }
                state
            }
        }
    }

    fn invite_completion(
        self,
        now: Instant,
        completion: Completion,
        core: &mut Core,
        events: &mut Vec<Event>,
    ) -> Self {
        match (completion.reply, self) {
            (Reply::Response(response), state) if response.is_success() => {
                if core.targets.was_left(completion.id)
                    && let Some(to) = core.ua.transactions.destination(completion.id)
                {
                    core.leg_of_former_target(&response, to);
                }
                state.answered(
                    now,
                    Some(completion.id),
                    &completion.request,
                    &response,
                    core,
                    events,
                )
            }
            (reply, Self::Inviting(inviting)) if inviting.id == completion.id => {
                inviting.reply(now, reply, core, events)
            }
            // An INVITE that was sent again in another transaction.
            (_, state) => state,
        }
    }

    fn in_dialog_completion(
        self,
        now: Instant,
        completion: Completion,
        core: &mut Core,
        events: &mut Vec<Event>,
    ) -> Self {
        let mut state = self;
        let mut told = Vec::new();
        let mut left = Some(completion);
        for usage in state.usages_mut() {
            left = left
                .and_then(|completion| usage.receive_completion(now, completion, &mut core.ua, &mut told));
        }
        events.extend(told.into_iter().filter_map(super::event_of));
        let mut dropped = Vec::new();
        for leg in &mut core.legs {
            left = left
                .and_then(|completion| leg.receive_completion(now, completion, &mut core.ua, &mut dropped));
        }
        state
    }
}

impl Core {
    /// A 2xx that was acknowledged before: the same ACK again.
    pub(super) fn repeat_ack(&mut self, response: &Response) -> bool {
        let (Ok(to), Ok(cseq)) = (response.headers.to(), response.headers.cseq()) else {
            return false;
        };
        let tag = to.tag().unwrap_or_default();
        let known = self
            .acked
            .iter()
            .find(|leg| leg.remote_tag == tag && leg.invite_seq == cseq.seq && cseq.method == Method::Invite);
        let Some(leg) = known else {
            return false;
        };
        self.ua.transactions.send(leg.ack.to, leg.ack.bytes.clone());
        true
    }

    /// The early dialog that is not wanted any more. It is kept, since its telephone may still answer, and then our
    /// CSeq goes on from the PRACKs that it has had.
    pub(super) fn retire(&mut self, now: Instant, mut usage: InviteUsage) {
        usage.abandon(now, &mut self.ua);
        if self.retired.len() < LEGS_MAX {
            self.retired.reserve_exact(1);
            self.retired.push(usage);
        }
    }

    /// Its dialog is reached where its own INVITE went, not where the present target is.
    pub(super) fn leg_of_former_target(&mut self, response: &Response, to: SocketAddr) {
        if to != self.ua.target()
            && let Ok(remote) = response.headers.to()
        {
            self.ua.belongs_to(remote.tag().unwrap_or_default(), to);
        }
    }

    fn usage_of(&mut self, request: &Request, response: &Response) -> Option<InviteUsage> {
        let dialog = Dialog::from_response(request, response).ok()?;
        let known = self
            .retired
            .iter()
            .position(|usage| usage.dialog.remote_tag == dialog.remote_tag);
        Some(match known {
            Some(index) => self.retired.swap_remove(index),
            None => InviteUsage::early(dialog, Side::Uac, self.offer.clone()),
        })
    }

    fn acknowledge(&mut self, usage: &InviteUsage, invite: &Request) {
        let bytes = self.ua.ack_bytes(&usage.dialog, invite);
        let to = self.ua.next_hop(&usage.dialog);
        self.ua.transactions.send(to, bytes.clone());
        self.acked.push(AckedLeg {
            remote_tag: usage.dialog.remote_tag.clone(),
            invite_seq: invite.headers.cseq().map_or(1, |cseq| cseq.seq),
            ack: Transmit { to, bytes },
        });
    }

    fn end_leg(&mut self, now: Instant, mut usage: InviteUsage, reason: Option<String>) {
        usage.bye(now, reason, &mut self.ua);
        // Nearly always the only one, and large.
        self.legs.reserve_exact(1);
        self.legs.push(usage);
    }
}

/// The INVITE that makes a dialog has no To tag; a re-INVITE has one.
fn is_outside_dialog(request: &Request) -> bool {
    request.headers.to().is_ok_and(|to| to.tag().is_none())
}
