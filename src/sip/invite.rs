//! Our INVITE session as UAC: one INVITE, whatever it forks into, and the one session that comes of it.
//!
//! ```text
//!   start
//!     |            491: wait, then INVITE again
//!     v           +---------> Pausing ---+
//!  Inviting ------+  <-------------------+     3xx, 401, 407, 422, 494, and 488, 606 where there is another
//!                                              offer: INVITE again at once;
//!                                              503, Timer B, not sent: INVITE to the next target
//!   | | | |
//!   | | | +-- 2xx (Answered) ---------> Confirmed --BYE either way--> Closing
//!   | | +---- 3xx–6xx (Rejected) ----> Closing
//!   | +------ Timer B (TimedOut) ----> Closing + late window
//!   +-------- Cancel: CANCEL once a 1xx was heard; then
//!               487 (Rejected), 2xx: ACK + BYE (AnsweredAfterCancel), 64·T1 (nothing) --> Closing
//!
//!  Closing --our requests answered--> Ended (absorbs repetitions until its timers have run out)
//! ```
//!
//! | file | part |
//! |---|---|
//! | `setup` | the INVITE, and the INVITE again |
//! | `redirect` | 3xx: what is followed |
//! | `party` | forwarding and asserted identity, as responses tell them |
//! | `inviting` | 1xx, early dialogs, PRACK, CANCEL, rejections |
//! | `legs` | 2xx: ACK, further legs ACKed and ended |
//! | `late` | what still comes after Timer B |
//! | `failover` | the next target of the trunk |
//! | `inbound` | the peer's requests |
//!
//! It knows no media: session descriptions are octets that go through. The ring timeout is the owner's.
//!
//! Beyond what a reader of RFC 3261 expects: `Answered` carries the description of the 1xx when the 2xx had none;
//! `PeerBye` also reports a dialog that the peer lost (`hung_up_by: Network`).
//!
//! Invariants:
//! - Every 2xx is acknowledged, each repetition with the same ACK; every leg that is not the session gets a BYE.
//! - A CANCEL never leaves before a 1xx came, and at most one for each INVITE.
//! - Never to another target once a 1xx other than 100 came, or once the call was cancelled.
//! - `Answered` comes at most once; `Ended` exactly once, last but for `LateResponse`.
//! - A message without our Call-ID, tags, branch and CSeq, or from a source that is no peer, changes nothing.
use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use super::digest::Credentials;
use super::endpoint::{Endpoint, EndpointConfig};
use super::message::{Message, NameAddr, Response};
use super::peer::IpNet;
use super::transaction::timer::earliest;
use super::uri::Uri;
use super::usage::{InviteUsage, UsageEvent};
use crate::model::{Entropy, HangupCause};

pub use super::transaction::timer::{TimerConfig, Transport};

mod failover;
mod inbound;
mod inviting;
mod late;
mod legs;
mod party;
mod redirect;
mod setup;
mod shedding;

#[cfg(test)]
mod tests;

pub use failover::{Failover, Hop, TargetFailure};

use failover::Targets;
use inviting::{Inviting, Pausing};
use late::LateWindow;
use legs::AckedLeg;
pub use party::Party;

/// One call's signalling, as the trunk wants it.
#[derive(Clone)]
pub struct InviteConfig {
    /// Where the INVITE goes: the trunk's address, already resolved.
    pub target: SocketAddr,
    /// Our address: sent-by of Via and host of Contact, unless `public` is set.
    pub local: SocketAddr,
    pub public: Option<SocketAddr>,
    pub transport: Transport,
    pub request_uri: Uri,
    /// A tag in it is kept: the next target of the same trunk gets the same one (RFC 3263 §4.3).
    pub from: NameAddr,
    pub to: NameAddr,
    pub contact_user: String,
    /// Preloaded route, such as a Service-Route.
    pub route: Vec<NameAddr>,
    /// Identity, Privacy, Diversion and what else the trunk wants. Fields that the session writes are skipped.
    pub extra_headers: Vec<(String, String)>,
    pub user_agent: String,
    pub call_id: String,
    pub credentials: Option<Credentials>,
    /// Sources of in-dialog requests beside the target and the route set.
    pub peers: Vec<IpNet>,
    /// Offer reliable provisional responses (RFC 3262).
    pub rel100: bool,
    pub timers: TimerConfig,
    pub failover: Failover,
}

/// What happens to the session.
#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time goes in, and none is kept"
)]
pub enum Input {
    Message {
        message: Message,
        source: SocketAddr,
    },
    /// The deadline of [`InviteSession::poll_timeout`] has come.
    Timeout,
    /// End the call before it is answered. `reason` is the value of a Reason field: `SIP;cause=200;text="…"`.
    /// After the answer it is a [`Input::Bye`].
    Cancel {
        reason: Option<String>,
    },
    /// End the answered call. Before the answer it is a [`Input::Cancel`].
    Bye {
        reason: Option<String>,
    },
    /// Answers [`Event::Offer`].
    AnswerOffer {
        sdp: Vec<u8>,
    },
    /// Refuses [`Event::Offer`]; 488 where the status is no 4xx–6xx.
    RejectOffer {
        status: u16,
    },
    /// The transport could not send.
    TransportError,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    Send { to: SocketAddr, bytes: Vec<u8> },
    Event(Event),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// 100: the next hop has the INVITE.
    Trying,
    /// What the 1xx or 2xx whose event follows says of the telephone that is reached.
    Party(Box<Party>),
    /// 101–199.
    Provisional {
        status: u16,
        sdp: Option<Vec<u8>>,
        dialog: EarlyDialogId,
    },
    /// A 2xx, already acknowledged.
    Answered {
        sdp: Option<Vec<u8>>,
    },
    /// 3xx–6xx, after the retries that the session makes by itself; 487 after a CANCEL.
    Rejected {
        response: Box<Response>,
        cause: HangupCause,
    },
    /// A target failed before any telephone could ring, and the INVITE has gone to the next one.
    NextTarget {
        /// 0 is [`InviteConfig::target`], then [`Failover::further`].
        failed: usize,
        failure: TargetFailure,
    },
    /// 488 or 606: the offer was refused before any telephone could ring, and the INVITE has gone out again with the
    /// description of [`InviteSession::with_fallback`].
    FellBack,
    /// Timer B: nothing at all came back.
    TimedOut,
    TransportFailed,
    /// A 2xx crossed our CANCEL: the callee had answered, and was sent ACK and BYE.
    AnsweredAfterCancel,
    /// A response came after Timer B, or after the CANCEL had been given up: the 1xx was CANCELled, the 2xx got ACK
    /// and BYE. The telephone rang although the call had been counted as failed.
    LateResponse {
        status: u16,
    },
    /// The peer's re-INVITE or UPDATE: answer with [`Input::AnswerOffer`] or [`Input::RejectOffer`]. Without `sdp`
    /// the answer is an offer of ours, and [`Event::SdpAnswer`] brings the peer's.
    Offer {
        sdp: Option<Vec<u8>>,
    },
    SdpAnswer {
        sdp: Vec<u8>,
    },
    Info {
        content_type: String,
        body: Vec<u8>,
    },
    PeerBye {
        cause: HangupCause,
    },
    /// Nothing is left but timers that absorb repetitions: see [`InviteSession::is_ended`].
    Ended,
}

/// One of the dialogs that a forked INVITE may have before its answer, in the order of their first response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EarlyDialogId(u16);

#[derive(Debug)]
pub struct InviteSession {
    core: Box<Core>,
    state: State,
}

/// What outlives the states.
#[derive(Debug)]
struct Core {
    ua: Endpoint,
    call_id: String,
    local_tag: String,
    offer: Vec<u8>,
    /// What is offered once when the peer refuses `offer`.
    fallback: Option<Vec<u8>>,
    acked: Vec<AckedLeg>,
    /// Answered legs that are not, or no longer, the session.
    legs: Vec<InviteUsage>,
    /// Early dialogs that lost.
    retired: Vec<InviteUsage>,
    /// At most one for each target.
    late: Vec<LateWindow>,
    /// Our CANCEL crossed the answer of one telephone: whether it reached the others of a fork nobody knows, so until then
    /// each of them, unless it answers too, may ring.
    rings_until: Option<Instant>,
    targets: Targets,
}

#[derive(Debug)]
enum State {
    Inviting(Box<Inviting>),
    Pausing(Box<Pausing>),
    Confirmed(Box<InviteUsage>),
    Closing,
    Ended,
}

impl InviteSession {
    /// Sends the INVITE.
    #[must_use]
    pub fn start(
        now: Instant,
        config: InviteConfig,
        sdp_offer: Vec<u8>,
        entropy: Entropy,
        out: &mut Vec<Output>,
    ) -> Self {
        let mut ua = Endpoint::new(endpoint_config(&config), entropy);
        let local_tag = config
            .from
            .tag()
            .map_or_else(|| ua.entropy.token(), str::to_owned);
        let mut core = Box::new(Core {
            ua,
            local_tag,
            call_id: config.call_id.clone(),
            offer: sdp_offer,
            fallback: None,
            acked: Vec::new(),
            legs: Vec::new(),
            retired: Vec::new(),
            late: Vec::new(),
            rings_until: None,
            targets: Targets::new(config.failover.clone()),
        });
        let mut events = Vec::new();
        let state = Inviting::start(now, &config, &mut core, &mut events);
        core.flush(events, out);
        Self { core, state }
    }

    /// A description to offer, once, when the peer refuses the first with 488 or 606 before any telephone could ring.
    #[must_use]
    pub fn with_fallback(mut self, offer: Vec<u8>) -> Self {
        self.core.fallback = Some(offer);
        self
    }

    #[must_use]
    pub fn handle(self, now: Instant, input: Input, out: &mut Vec<Output>) -> Self {
        let Self { mut core, state } = self;
        let mut events = Vec::new();
        let state = match input {
            Input::Message { message, source } => state.message(now, message, source, &mut core, &mut events),
            Input::Timeout => state.timeout(now, &mut core, &mut events),
            Input::Cancel { reason } | Input::Bye { reason } => {
                state.leave(now, reason, &mut core, &mut events)
            }
            Input::AnswerOffer { sdp } => state.answer_offer(now, &sdp, &mut core),
            Input::RejectOffer { status } => state.reject_offer(now, status, &mut core),
            Input::TransportError => state.transport_error(now, &mut core, &mut events),
        };
        let state = state.settle(&mut core, &mut events);
        core.flush(events, out);
        Self { core, state }
    }

    /// The next deadline and its name, for the log.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let state = match &self.state {
            State::Inviting(inviting) => inviting.poll_timeout(),
            State::Pausing(pausing) => pausing.poll_timeout(),
            State::Confirmed(usage) => usage.poll_timeout(),
            State::Closing | State::Ended => None,
        };
        let legs = self.core.legs.iter().map(InviteUsage::poll_timeout);
        let late = self.core.late.iter().map(|late| Some(late.deadline()));
        legs.chain(late)
            .chain([self.core.rings_until.map(|at| (at, "telephones of a fork"))])
            .chain([self.core.ua.transactions.poll_timeout()])
            .fold(state, earliest)
    }

    /// All of our requests are answered and [`Event::Ended`] has come: what is left absorbs repetitions, and catches a
    /// late answer.
    #[must_use]
    pub const fn only_absorbs(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Nothing can happen any more: no timer runs, and the session may be dropped. [`Event::Ended`] comes earlier.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.only_absorbs() && self.poll_timeout().is_none()
    }
}

impl State {
    fn timeout(self, now: Instant, core: &mut Core, events: &mut Vec<Event>) -> Self {
        let (completions, _) = core.ua.transactions.handle_timeout(now);
        let mut state = self;
        for completion in completions {
            state = state.completion(now, completion, core, events);
        }
        core.late.retain(|late| late.deadline().0 > now);
        core.rings_until = core.rings_until.filter(|at| *at > now);
        let mut dropped = Vec::new();
        for leg in &mut core.legs {
            leg.handle_timeout(now, &mut core.ua, &mut dropped);
        }
        match state {
            Self::Inviting(inviting) => inviting.timeout(now, core, events),
            Self::Pausing(pausing) => pausing.timeout(now, core, events),
            Self::Confirmed(mut usage) => {
                let mut told = Vec::new();
                usage.handle_timeout(now, &mut core.ua, &mut told);
                events.extend(told.into_iter().filter_map(event_of));
                Self::Confirmed(usage)
            }
            Self::Closing | Self::Ended => state,
        }
    }

    /// CANCEL or BYE, whichever the state asks for.
    fn leave(self, now: Instant, reason: Option<String>, core: &mut Core, events: &mut Vec<Event>) -> Self {
        match self {
            Self::Inviting(inviting) => Self::Inviting(inviting.cancel(now, reason, core)),
            Self::Pausing(pausing) => pausing.cancel(events),
            Self::Confirmed(mut usage) => {
                usage.bye(now, reason, &mut core.ua);
                Self::Confirmed(usage)
            }
            Self::Closing | Self::Ended => self,
        }
    }

    fn transport_error(self, now: Instant, core: &mut Core, events: &mut Vec<Event>) -> Self {
        let completions = core.ua.transactions.handle_transport_error(now);
        completions.into_iter().fold(self, |state, completion| {
            state.completion(now, completion, core, events)
        })
    }

    /// What follows from the rest: a session that is over closes, and what has nothing open has ended.
    fn settle(self, core: &mut Core, events: &mut Vec<Event>) -> Self {
        let state = match self {
            Self::Confirmed(usage) if usage.is_gone() => {
                core.legs.push(*usage);
                Self::Closing
            }
            state => state,
        };
        if core.retired.is_empty() {
            core.rings_until = None;
        }
        let open = core.ua.transactions.has_open_request()
            || core.legs.iter().any(|leg| !leg.is_gone())
            || core.rings_until.is_some();
        match state {
            Self::Closing if !open => {
                events.push(Event::Ended);
                Self::Ended
            }
            state => state,
        }
    }
}

impl Core {
    /// Messages before events: the ACK is on its way when the owner hears of the answer.
    fn flush(&mut self, events: Vec<Event>, out: &mut Vec<Output>) {
        let sends = self.ua.transactions.take_transmits().into_iter();
        out.extend(sends.map(|transmit| Output::Send {
            to: transmit.to,
            bytes: transmit.bytes,
        }));
        out.extend(events.into_iter().map(Output::Event));
    }
}

/// An event of the session itself; those of the UAS's side do not arise here.
fn event_of(event: UsageEvent) -> Option<Event> {
    match event {
        UsageEvent::Offer { sdp } => Some(Event::Offer { sdp }),
        UsageEvent::SdpAnswer { sdp } => Some(Event::SdpAnswer { sdp }),
        UsageEvent::Info { content_type, body } => Some(Event::Info { content_type, body }),
        UsageEvent::PeerBye { cause } | UsageEvent::Lost { cause } => Some(Event::PeerBye { cause }),
        // Our only re-INVITE refreshes the session: refused, the session goes on.
        UsageEvent::OfferRejected { .. } | UsageEvent::Acked { .. } => None,
    }
}

fn endpoint_config(config: &InviteConfig) -> EndpointConfig {
    EndpointConfig {
        target: config.target,
        local: config.local,
        public: config.public,
        transport: config.transport,
        contact_user: config.contact_user.clone(),
        user_agent: config.user_agent.clone(),
        peers: config.peers.clone(),
        timers: config.timers,
        supported: if config.rel100 { "timer, 100rel" } else { "timer" },
        credentials: config.credentials.clone(),
    }
}

impl fmt::Display for EarlyDialogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "early dialog {}", self.0)
    }
}

/// Header values that carry a number stay out of the log.
impl fmt::Debug for InviteConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InviteConfig")
            .field("target", &self.target)
            .field("request_uri", &self.request_uri)
            .field("call_id", &self.call_id)
            .field("rel100", &self.rel100)
            .field("further", &self.failover.further.len())
            .finish_non_exhaustive()
    }
}
