//! Messages from the wire: who may speak, which dialog is meant, and what is answered when none is.
use std::net::SocketAddr;
use std::time::Instant;

use super::{Core, Event, State};
use crate::sip::message::{Message, Method, Request, stateless_tag};
use crate::sip::transaction::table::{CancelledInvite, Received};
use crate::sip::usage::InviteUsage;

impl State {
    pub(super) fn message(
        self,
        now: Instant,
        message: Message,
        source: SocketAddr,
        core: &mut Core,
        events: &mut Vec<Event>,
    ) -> Self {
        let of_call = message.headers().call_id() == Ok(core.call_id.as_str());
        let dialogs = self
            .usages()
            .into_iter()
            .chain(&core.legs)
            .map(|usage| &usage.dialog);
        if !of_call || !core.ua.listens_to(source, dialogs) {
            return self;
        }
        match message {
            Message::Request(request) => self.request(now, request, source, core, events),
            Message::Response(response) => {
                match core.ua.transactions.receive_response(now, Box::new(response)) {
                    Ok(completions) => completions.into_iter().fold(self, |state, completion| {
                        state.completion(now, completion, core, events)
                    }),
                    Err(stray) => self.stray_response(now, &stray, core, events),
                }
            }
        }
    }

    pub(super) fn answer_offer(self, now: Instant, sdp: &[u8], core: &mut Core) -> Self {
        let mut state = self;
        for usage in state.usages_mut() {
            usage.answer_offer(now, sdp.to_vec(), &mut core.ua);
        }
        state
    }

    pub(super) fn reject_offer(self, now: Instant, status: u16, core: &mut Core) -> Self {
        let mut state = self;
        for usage in state.usages_mut() {
            usage.reject_offer(now, status, &mut core.ua);
        }
        state
    }

    /// The dialogs whose events the owner hears.
    pub(super) fn usages_mut(&mut self) -> Vec<&mut InviteUsage> {
        match self {
            Self::Inviting(inviting) => inviting.early.iter_mut().map(|early| &mut early.usage).collect(),
            Self::Confirmed(usage) => vec![usage],
            Self::Pausing(_) | Self::Closing | Self::Ended => Vec::new(),
        }
    }

    fn usages(&self) -> Vec<&InviteUsage> {
        match self {
            Self::Inviting(inviting) => inviting.early.iter().map(|early| &early.usage).collect(),
            Self::Confirmed(usage) => vec![usage],
            Self::Pausing(_) | Self::Closing | Self::Ended => Vec::new(),
        }
    }

    fn request(
        self,
        now: Instant,
        mut request: Request,
        source: SocketAddr,
        core: &mut Core,
        events: &mut Vec<Event>,
    ) -> Self {
        request.stamp_source(source);
        match core.ua.transactions.receive_request(now, Box::new(request)) {
            Received::Absorbed => self,
            Received::Ack(ack) => self.ack(now, &ack, core, events),
            Received::New(request) if request.method == Method::Cancel => {
                self.cancel(now, &request, source, core)
            }
            Received::New(request) => self.new_request(now, &request, source, core, events),
        }
    }

    fn ack(self, now: Instant, ack: &Request, core: &mut Core, events: &mut Vec<Event>) -> Self {
        let mut state = self;
        let mut told = Vec::new();
        for usage in state.usages_mut() {
            if usage.dialog.owns(ack) {
                usage.receive_ack(now, ack, &mut core.ua, &mut told);
            }
        }
        events.extend(told.into_iter().filter_map(super::event_of));
        state
    }

    /// RFC 3261 §9.2. A CANCEL that meets nothing takes no place: a spray of them would leave none to a genuine BYE.
    fn cancel(self, now: Instant, cancel: &Request, source: SocketAddr, core: &mut Core) -> Self {
        let mut state = self;
        let Some(met) = core.ua.transactions.cancelled_invite(cancel) else {
            core.refuse(cancel, 481, source);
            return state;
        };
        core.answer_at_once(now, cancel, 200, source);
        if let CancelledInvite::Pending(invite) = met {
            for usage in state.usages_mut() {
                usage.cancel_peer_offer(now, invite, &mut core.ua);
            }
        }
        state
    }

    fn new_request(
        self,
        now: Instant,
        request: &Request,
        source: SocketAddr,
        core: &mut Core,
        events: &mut Vec<Event>,
    ) -> Self {
        let mut state = self;
        let mut owners = state
            .usages()
            .into_iter()
            .chain(&core.legs)
            .filter(|usage| usage.dialog.owns(request))
            .peekable();
        if owners.peek().is_none() {
            core.refuse(request, 481, source);
            return state;
        }
        // What is out of order takes no place either (§12.2.2).
        if owners.all(|usage| usage.dialog.has_passed(request)) {
            core.refuse(request, 500, source);
            return state;
        }
        let Some(id) = core.ua.transactions.accept(now, request, source) else {
            core.refuse(request, 503, source);
            return state;
        };
        let mut told = Vec::new();
        for usage in state.usages_mut() {
            if usage.dialog.owns(request) {
                usage.receive_request(now, request, id, &mut core.ua, &mut told);
            }
        }
        events.extend(told.into_iter().filter_map(super::event_of));
        let mut dropped = Vec::new();
        for leg in core.legs.iter_mut().filter(|leg| leg.dialog.owns(request)) {
            leg.receive_request(now, request, id, &mut core.ua, &mut dropped);
        }
        state
    }
}

impl Core {
    fn answer_at_once(&mut self, now: Instant, request: &Request, status: u16, source: SocketAddr) {
        let Some(id) = self.ua.transactions.accept(now, request, source) else {
            return self.refuse(request, 503, source);
        };
        let response = self
            .ua
            .reply(request, status)
            .with_to_tag(&stateless_tag(&request.headers));
        self.ua.transactions.respond(now, id, &response);
    }

    /// Without state: what is not ours costs nothing.
    fn refuse(&mut self, request: &Request, status: u16, source: SocketAddr) {
        let mut response = self
            .ua
            .reply(request, status)
            .with_to_tag(&stateless_tag(&request.headers));
        if status == 503 {
            response.headers.push("Retry-After", "5");
        }
        self.ua
            .transactions
            .respond_statelessly(request, source, &response);
    }
}
