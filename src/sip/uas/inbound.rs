//! Messages from the wire: who may speak, and what is answered when the dialog is not meant.
use std::net::SocketAddr;
use std::time::Instant;

use super::{Core, Event, State, event_of};
use crate::sip::cause;
use crate::sip::message::{Message, Method, Request, stateless_tag};
use crate::sip::transaction::table::{CancelledInvite, Received};

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
        if !of_call || !core.ua.listens_to(source, std::iter::once(&core.usage.dialog)) {
            return self;
        }
        match message {
            Message::Request(request) => self.request(now, request, source, core, events),
            Message::Response(response) => {
                if let Ok(completions) = core.ua.transactions.receive_response(now, Box::new(response)) {
                    for completion in completions {
                        core.completion(now, completion, events);
                    }
                }
                self
            }
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
            Received::Ack(ack) => {
                if core.usage.dialog.owns(&ack) {
                    let mut told = Vec::new();
                    core.usage.receive_ack(now, &ack, &mut core.ua, &mut told);
                    events.extend(told.into_iter().map(event_of));
                }
                self
            }
            Received::New(request) if request.method == Method::Cancel => {
                self.cancel(now, &request, source, core, events)
            }
            Received::New(request) => self.new_request(now, &request, source, core, events),
        }
    }

    fn new_request(
        self,
        now: Instant,
        request: &Request,
        source: SocketAddr,
        core: &mut Core,
        events: &mut Vec<Event>,
    ) -> Self {
        // What is not ours, or out of order, takes no place: a spray of it would leave none to a genuine BYE.
        let place = match &core.usage.dialog {
            dialog if !dialog.owns(request) => Err(481),
            dialog if dialog.has_passed(request) => Err(500),
            _ => core.ua.transactions.accept(now, request, source).ok_or(503),
        };
        let id = match place {
            Ok(id) => id,
            Err(status) => {
                let response = core.ua.reply(request, status);
                let response = response.with_to_tag(&stateless_tag(&request.headers));
                core.ua
                    .transactions
                    .respond_statelessly(request, source, &response);
                return self;
            }
        };
        match self {
            Self::Proceeding(proceeding) if request.method == Method::Prack => {
                proceeding.receive_prack(now, request, id, core)
            }
            state => {
                let mut told = Vec::new();
                core.usage
                    .receive_request(now, request, id, &mut core.ua, &mut told);
                events.extend(told.into_iter().map(event_of));
                state
            }
        }
    }

    /// RFC 3261 §9.2: 200 to the CANCEL, 487 to the INVITE that has no final response yet.
    fn cancel(
        self,
        now: Instant,
        cancel: &Request,
        source: SocketAddr,
        core: &mut Core,
        events: &mut Vec<Event>,
    ) -> Self {
        let met = core.ua.transactions.cancelled_invite(cancel);
        let status = if met.is_some() { 200 } else { 481 };
        let response = core
            .ua
            .reply(cancel, status)
            .with_to_tag(&core.usage.dialog.local_tag);
        let place = met.and_then(|_| core.ua.transactions.accept(now, cancel, source));
        match place {
            Some(id) => drop(core.ua.transactions.respond(now, id, &response)),
            None => core
                .ua
                .transactions
                .respond_statelessly(cancel, source, &response),
        }
        match (met, self) {
            (Some(CancelledInvite::Pending(id)), Self::Proceeding(proceeding)) if proceeding.id == id => {
                proceeding.finish(now, 487, core);
                events.push(Event::Cancelled {
                    cause: cause::of_bye(cancel),
                });
                Self::Closing
            }
            (Some(CancelledInvite::Pending(id)), state) => {
                core.usage.cancel_peer_offer(now, id, &mut core.ua);
                state
            }
            (Some(CancelledInvite::Answered) | None, state) => state,
        }
    }
}
