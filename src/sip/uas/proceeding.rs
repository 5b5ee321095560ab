//! The INVITE before its final response: what the callee sends, and with what.
use std::time::Instant;

use super::reliable::Reliable;
use super::{Core, Input, State};
use crate::sip::endpoint::SDP;
use crate::sip::message::{Request, Response};
use crate::sip::transaction::table::ServerId;
use crate::sip::usage::Sent2xx;

#[derive(Debug)]
pub(super) struct Proceeding {
    pub(super) id: ServerId,
    pub(super) invite: Request,
    pub(super) reliable: Reliable,
}

impl Proceeding {
    pub(super) fn respond(mut self: Box<Self>, now: Instant, input: Input, core: &mut Core) -> State {
        if self.reliable.is_waiting() && !matches!(input, Input::Reject { .. }) {
            self.reliable.queue(input);
            return State::Proceeding(self);
        }
        match input {
            Input::Provisional {
                status,
                reason,
                sdp,
                reliable,
                headers,
            } => {
                let mut response = self.response(status.clamp(101, 199), reason.as_deref(), headers, core);
                if let Some(sdp) = sdp {
                    response = response.with_body(SDP, sdp);
                }
                let is_reliable = reliable && self.invite.headers.supports("100rel");
                if is_reliable {
                    self.reliable.mark(&mut response);
                }
                let transmit = core.ua.transactions.respond(now, self.id, &response);
                if let (true, Some(transmit)) = (is_reliable, transmit) {
                    self.reliable
                        .sent(now, core.ua.timers(), transmit, !response.body.is_empty());
                }
                State::Proceeding(self)
            }
            Input::Answer { sdp, headers } => self.answer(now, sdp, headers, core),
            Input::Reject {
                status,
                reason,
                headers,
            } => {
                let response = self.response(status.clamp(300, 699), reason.as_deref(), headers, core);
                core.ua.transactions.respond(now, self.id, &response);
                core.usage.abandon(now, &mut core.ua);
                State::Closing
            }
            _ => State::Proceeding(self),
        }
    }

    fn answer(
        self: Box<Self>,
        now: Instant,
        sdp: Option<Vec<u8>>,
        headers: Vec<(String, String)>,
        core: &mut Core,
    ) -> State {
        let mut response = self.response(200, None, headers, core);
        core.usage.grant_session_timer(now, &self.invite, &mut response);
        let carries_offer = sdp.is_some() && self.invite.body_of_type(SDP).is_none();
        if let Some(sdp) = &sdp {
            response = response.with_body(SDP, sdp.clone());
        }
        let seq = self.invite.headers.cseq().map_or(0, |cseq| cseq.seq);
        let Some(transmit) = core.ua.transactions.respond(now, self.id, &response) else {
            return State::Closing;
        };
        let sent = Sent2xx {
            transmit,
            seq,
            carries_offer,
        };
        core.usage.answered(now, &core.ua, sent, sdp.unwrap_or_default());
        State::Confirmed
    }

    fn response(
        &self,
        status: u16,
        reason: Option<&str>,
        headers: Vec<(String, String)>,
        core: &Core,
    ) -> Response {
        let mut response = core
            .ua
            .reply(&self.invite, status)
            .with_to_tag(&core.usage.dialog.local_tag);
        if let Some(reason) = reason {
            response.reason = Response::new(status, Some(reason)).reason;
        }
        for (name, value) in headers {
            response.headers.push(&name, value);
        }
        response
    }

    pub(super) fn finish(&self, now: Instant, status: u16, core: &mut Core) {
        let response = self.response(status, None, Vec::new(), core);
        core.ua.transactions.respond(now, self.id, &response);
        core.usage.abandon(now, &mut core.ua);
    }
}
