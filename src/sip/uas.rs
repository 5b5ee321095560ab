//! The INVITE session of the side that answers (UAS): for the simulator's callees and for tests of the UAC.
//!
//! ```text
//!   start
//!     |
//!  Proceeding --Answer: 2xx--> Confirmed --BYE either way--> Closing --> Ended
//!     |  |  \--Provisional: 1xx, with PRACK if reliable
//!     |  +-----CANCEL: 487 (Cancelled); BYE: 487 (PeerBye) ----^
//!     +--------Reject: 3xx–6xx --------------------------------^
//! ```
//!
//! A 2xx is repeated until its ACK comes; without one the session ends by BYE after 64·T1 (RFC 3261 §13.3.1.4).
//! It does not misbehave on request: a simulator that loses or forges messages does so between sessions.
//!
//! Invariants:
//! - The INVITE gets exactly one final response.
//! - No BYE leaves before the ACK of the 2xx, or its deadline.
//! - While a reliable 1xx waits for its PRACK, what would follow it waits too (RFC 3262 §3).
use std::net::SocketAddr;
use std::time::Instant;

use super::dialog::Dialog;
use super::endpoint::{Endpoint, EndpointConfig};
use super::message::{HeaderError, Message, Method, Request};
use super::peer::IpNet;
use super::transaction::table::Completion;
use super::transaction::timer::{TimerConfig, Transport, earliest};
use super::usage::{InviteUsage, Side, UsageEvent, refusal_of_content};
use crate::model::{Entropy, HangupCause};

mod inbound;
mod proceeding;
mod reliable;

#[cfg(test)]
mod tests;

use proceeding::Proceeding;
use reliable::Reliable;

#[derive(Debug, Clone)]
pub struct UasConfig {
    /// Our address: host of Contact, unless `public` is set.
    pub local: SocketAddr,
    pub public: Option<SocketAddr>,
    pub transport: Transport,
    pub contact_user: String,
    pub user_agent: String,
    /// Sources of in-dialog requests beside that of the INVITE and its route.
    pub peers: Vec<IpNet>,
    pub timers: TimerConfig,
}

/// What happens to the session. Headers are added to the response as they are.
#[derive(Debug, Clone)]
pub enum Input {
    Message {
        message: Message,
        source: SocketAddr,
    },
    Timeout,
    /// 101–199. `reliable` has an effect only if the peer supports 100rel.
    Provisional {
        status: u16,
        reason: Option<String>,
        sdp: Option<Vec<u8>>,
        reliable: bool,
        headers: Vec<(String, String)>,
    },
    Answer {
        sdp: Option<Vec<u8>>,
        headers: Vec<(String, String)>,
    },
    /// 300–699.
    Reject {
        status: u16,
        reason: Option<String>,
        headers: Vec<(String, String)>,
    },
    Bye {
        reason: Option<String>,
    },
    /// Offers by re-INVITE.
    Offer {
        sdp: Vec<u8>,
    },
    AnswerOffer {
        sdp: Vec<u8>,
    },
    RejectOffer {
        status: u16,
    },
    Info {
        content_type: String,
        body: Vec<u8>,
    },
    TransportError,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    Send { to: SocketAddr, bytes: Vec<u8> },
    Event(Event),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// CANCEL came, the INVITE got 487.
    Cancelled {
        cause: HangupCause,
    },
    /// The ACK of the 2xx; with the answer, if the 2xx carried the offer.
    Acked {
        sdp: Option<Vec<u8>>,
    },
    Offer {
        sdp: Option<Vec<u8>>,
    },
    SdpAnswer {
        sdp: Vec<u8>,
    },
    OfferRejected {
        status: u16,
    },
    Info {
        content_type: String,
        body: Vec<u8>,
    },
    PeerBye {
        cause: HangupCause,
    },
    /// No ACK, or the peer lost the dialog: BYE was sent.
    Lost {
        cause: HangupCause,
    },
    /// Nothing is left but timers that absorb repetitions.
    Ended,
}

#[derive(Debug)]
pub struct UasSession {
    core: Box<Core>,
    state: State,
}

#[derive(Debug)]
struct Core {
    ua: Endpoint,
    call_id: String,
    usage: InviteUsage,
}

#[derive(Debug)]
enum State {
    Proceeding(Box<Proceeding>),
    Confirmed,
    Closing,
    Ended,
}

impl UasSession {
    /// Takes an INVITE outside any dialog. The error names the header field that cannot be used.
    pub fn start(
        now: Instant,
        config: UasConfig,
        mut invite: Request,
        source: SocketAddr,
        mut entropy: Entropy,
        out: &mut Vec<Output>,
    ) -> Result<Self, HeaderError> {
        invite.stamp_source(source);
        let tag = entropy.token();
        let first_rseq = 1 + u32::from(entropy.u16());
        let dialog = Dialog::from_request(&invite, &tag)?;
        let mut ua = Endpoint::new(endpoint_config(config, source), entropy);
        let Some(id) = ua.transactions.accept(now, &invite, source) else {
            return Err(HeaderError::Missing { header: "Via" });
        };
        let usage = InviteUsage::early(dialog, Side::Uas, Vec::new());
        let mut core = Box::new(Core {
            ua,
            call_id: invite.headers.call_id()?.to_owned(),
            usage,
        });
        let mut events = Vec::new();
        let state = match refusal_of_content(&invite, &core.ua) {
            Some(refusal) => {
                core.ua.transactions.respond(now, id, &refusal.with_to_tag(&tag));
                core.usage.abandon(now, &mut core.ua);
                State::Closing
            }
            None => State::Proceeding(Box::new(Proceeding {
                id,
                invite,
                reliable: Reliable::new(first_rseq),
            })),
        };
        let state = state.settle(now, &mut core, &mut events);
        core.flush(events, out);
        Ok(Self { core, state })
    }

    #[must_use]
    pub fn handle(self, now: Instant, input: Input, out: &mut Vec<Output>) -> Self {
        let Self { mut core, state } = self;
        let mut events = Vec::new();
        let state = match input {
            Input::Message { message, source } => state.message(now, message, source, &mut core, &mut events),
            Input::Timeout => state.timeout(now, &mut core, &mut events),
            Input::TransportError => state.transport_error(now, &mut core, &mut events),
            Input::Provisional { .. } | Input::Answer { .. } | Input::Reject { .. } => match state {
                State::Proceeding(proceeding) => proceeding.respond(now, input, &mut core),
                state => state,
            },
            in_session => {
                core.in_session(now, in_session);
                state
            }
        };
        let state = state.settle(now, &mut core, &mut events);
        core.flush(events, out);
        Self { core, state }
    }

    /// The next deadline and its name, for the log.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let reliable = match &self.state {
            State::Proceeding(proceeding) => proceeding.reliable.poll_timeout(),
            State::Confirmed | State::Closing | State::Ended => None,
        };
        let usage = earliest(self.core.usage.poll_timeout(), reliable);
        earliest(self.core.ua.transactions.poll_timeout(), usage)
    }

    /// No timer runs any more: the session may be dropped.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended) && self.poll_timeout().is_none()
    }

    /// The message belongs here. An INVITE that repeats the Call-ID in a new transaction, as after a 401, does not.
    #[must_use]
    pub fn owns(&self, message: &Message) -> bool {
        if message.headers().call_id() != Ok(self.core.call_id.as_str()) {
            return false;
        }
        match message {
            Message::Response(_) => true,
            Message::Request(request) => {
                self.core.usage.dialog.owns(request) || self.core.ua.transactions.knows(request)
            }
        }
    }

    /// The To tag of this callee.
    #[must_use]
    pub fn local_tag(&self) -> &str {
        &self.core.usage.dialog.local_tag
    }
}

impl State {
    fn timeout(self, now: Instant, core: &mut Core, events: &mut Vec<Event>) -> Self {
        let (completions, _) = core.ua.transactions.handle_timeout(now);
        for completion in completions {
            core.completion(now, completion, events);
        }
        let mut told = Vec::new();
        core.usage.handle_timeout(now, &mut core.ua, &mut told);
        events.extend(told.into_iter().map(event_of));
        match self {
            Self::Proceeding(proceeding) => proceeding.timeout(now, core),
            state => state,
        }
    }

    fn transport_error(self, now: Instant, core: &mut Core, events: &mut Vec<Event>) -> Self {
        for completion in core.ua.transactions.handle_transport_error(now) {
            core.completion(now, completion, events);
        }
        self
    }

    fn settle(self, now: Instant, core: &mut Core, events: &mut Vec<Event>) -> Self {
        let state = match self {
            // The caller ended the early dialog by BYE (RFC 3261 §15.1.2).
            Self::Proceeding(proceeding) if core.usage.is_gone() => {
                proceeding.finish(now, 487, core);
                Self::Closing
            }
            Self::Confirmed if core.usage.is_gone() => Self::Closing,
            state => state,
        };
        match state {
            Self::Closing if !core.ua.transactions.has_open_request() => {
                events.push(Event::Ended);
                Self::Ended
            }
            state => state,
        }
    }
}

impl Core {
    fn in_session(&mut self, now: Instant, input: Input) {
        match input {
            Input::Bye { reason } => self.usage.bye(now, reason, &mut self.ua),
            Input::Offer { sdp } => self.usage.offer(now, sdp, &mut self.ua),
            Input::AnswerOffer { sdp } => self.usage.answer_offer(now, sdp, &mut self.ua),
            Input::RejectOffer { status } => self.usage.reject_offer(now, status, &mut self.ua),
            Input::Info { content_type, body } => {
                if !self.usage.is_gone() {
                    let info = self
                        .usage
                        .dialog
                        .next_request(Method::Info)
                        .with_body(&content_type, body);
                    self.usage.send(now, info, &mut self.ua);
                }
            }
            Input::Message { .. }
            | Input::Timeout
            | Input::Provisional { .. }
            | Input::Answer { .. }
            | Input::Reject { .. }
            | Input::TransportError => {}
        }
    }

    fn completion(&mut self, now: Instant, completion: Completion, events: &mut Vec<Event>) {
        let mut told = Vec::new();
        self.usage
            .receive_completion(now, completion, &mut self.ua, &mut told);
        events.extend(told.into_iter().map(event_of));
    }

    fn flush(&mut self, events: Vec<Event>, out: &mut Vec<Output>) {
        let sends = self.ua.transactions.take_transmits().into_iter();
        out.extend(sends.map(|transmit| Output::Send {
            to: transmit.to,
            bytes: transmit.bytes,
        }));
        out.extend(events.into_iter().map(Output::Event));
    }
}

fn event_of(event: UsageEvent) -> Event {
    match event {
        UsageEvent::Offer { sdp } => Event::Offer { sdp },
        UsageEvent::SdpAnswer { sdp } => Event::SdpAnswer { sdp },
        UsageEvent::OfferRejected { status } => Event::OfferRejected { status },
        UsageEvent::Info { content_type, body } => Event::Info { content_type, body },
        UsageEvent::Acked { sdp } => Event::Acked { sdp },
        UsageEvent::PeerBye { cause } => Event::PeerBye { cause },
        UsageEvent::Lost { cause } => Event::Lost { cause },
    }
}

fn endpoint_config(config: UasConfig, source: SocketAddr) -> EndpointConfig {
    EndpointConfig {
        target: source,
        local: config.local,
        public: config.public,
        transport: config.transport,
        contact_user: config.contact_user,
        user_agent: config.user_agent,
        peers: config.peers,
        timers: config.timers,
        supported: "timer, 100rel",
        credentials: None,
    }
}
