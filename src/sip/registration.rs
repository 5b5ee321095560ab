//! One binding of ours at a registrar, kept alive (RFC 3261 §10.2, RFC 3608, RFC 5626 §4.5). PURE.
//!
//! ```text
//!              start
//!                │                ┌── 423: once more with Min-Expires; 401, 407: with credentials ─┐
//!                ▼                ▼                                                                │
//!            Asking(bind) ────────┴────────────────────────────────────────────────────────────────┘
//!             │   ▲   ▲ └── any other end ──► Resting ── 30 s, doubled to 30 min, or Retry-After ──┐
//!         2xx │   │   └────────────────────────────────────────────────────────────────────────────┘
//!             ▼   │ 60–80 % of what was granted
//!            Bound┘
//!
//!            any ── stop ──► Asking(remove) ── any end ──► Over        (nothing bound: Over at once)
//! ```
//! One Call-ID and a rising CSeq for the life of the machine (§10.2.4). A binding outlives a refresh that failed for
//! want of an answer; what the registrar says ends it at once. Redirections (301, 302) are not followed: credentials go to
//! the registrar that was configured and to nobody else. `Supported: path` is said, since a Path on the way concerns
//! the registrar alone (RFC 3327 §5.1); what comes back of it is not kept.
//!
//! Contact is our address as the registrar sees it (`reach`). A connection that ends under a binding brings the refresh
//! forward, 30 s after the last one at the soonest.
//!
//! It does not look up names and does not send: [`Registration::poll_output`] has the octets. Requests that name its
//! Call-ID are not answered.
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::dialog::MAX_FORWARDS;
use super::digest::{Challenge, Credentials, RequestChallenges};
use super::endpoint::{Endpoint, EndpointConfig, set_seq};
use super::message::{CSeq, Message, Method, NameAddr, Request, Response};
use super::transaction::table::{ClientId, Completion, Reply};
use super::transaction::timer::{TimerConfig, Transport, earliest};
use super::uri::Uri;
use crate::model::Entropy;
use reach::Reach;

mod pace;
mod reach;
#[cfg(test)]
mod tests;

/// Asked or granted, no binding is counted on for longer: a day.
pub const EXPIRES_MAX_S: u32 = 86_400;
/// Routes of Service-Route that are kept; more than that is no registrar's.
pub const SERVICE_ROUTES_MAX: usize = 8;

#[derive(Debug, Clone)]
pub struct RegistrationConfig {
    /// Address of the registrar, or of the proxy before it.
    pub target: SocketAddr,
    /// Ours: sent-by of Via and host of Contact, unless `public` is set or a NAT is seen.
    pub local: SocketAddr,
    pub public: Option<SocketAddr>,
    pub transport: Transport,
    /// The registrar's domain: `sip:carrier.example`.
    pub request_uri: Uri,
    /// To and From: whose address is bound.
    pub aor: Uri,
    pub contact_user: String,
    /// Asked for, in seconds.
    pub expires_s: u32,
    pub user_agent: String,
    pub call_id: String,
    pub credentials: Option<Credentials>,
    pub timers: TimerConfig,
}

#[derive(Debug)]
pub enum Input {
    Message {
        message: Box<Message>,
        source: SocketAddr,
    },
    Timeout,
    TransportError,
    /// Take the binding away and end.
    Stop,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    Transmit { to: SocketAddr, bytes: Vec<u8> },
    Event(Event),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Bound, for the first time or again.
    Registered {
        until: Instant,
        granted: Duration,
        /// RFC 3608: the route of requests that go out over this trunk.
        service_route: Vec<NameAddr>,
    },
    /// Tried again at `retry_at`. Calls still come to us while `bound` says until when.
    Failed {
        why: Failure,
        retry_at: Instant,
        bound: Option<Instant>,
    },
    /// The time that was granted has passed and no refresh got through.
    Lapsed,
    /// After a stop; the registrar may not have said so.
    Unregistered,
}

/// Why a REGISTER did not bind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("expected a success, came {status} {reason}")]
    Refused { status: u16, reason: String },
    #[error(
        "expected no challenge or a realm of ours, came a challenge of `{realm}` and there are no credentials for it"
    )]
    NoCredentials { realm: String },
    #[error("expected the credentials to be accepted, came the challenge of `{realm}` again")]
    WrongCredentials { realm: String },
    #[error("expected an interval that can be used with 423, came {min_s:?} s")]
    TooBrief { min_s: Option<u32> },
    #[error("expected our Contact in the success, came one without it or for 0 s")]
    NotKept,
    #[error("expected an answer, came none within timer F")]
    Silent,
    #[error("expected to send, came an error of the transport")]
    Transport,
}

#[derive(Debug)]
enum State {
    Asking {
        id: ClientId,
        purpose: Purpose,
        asked: RequestChallenges,
    },
    Bound {
        refresh_at: Instant,
    },
    Resting {
        retry_at: Instant,
    },
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Bind(Interval),
    Remove,
}

/// 423 is answered once in a refresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interval {
    Ours,
    Raised,
}

/// What the operator wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Bound,
    Gone,
}

#[derive(Debug)]
pub struct Registration {
    config: RegistrationConfig,
    ua: Endpoint,
    from_tag: String,
    seq: u32,
    /// Raised by a 423 and kept: the registrar would only say it again.
    expires_s: u32,
    /// Failures since the last success.
    failures: u32,
    state: State,
    wish: Wish,
    reach: Reach,
    /// When the last REGISTER bound.
    bound_at: Option<Instant>,
    /// When the binding ends at the registrar.
    bound: Option<Instant>,
    outputs: VecDeque<Output>,
}

impl Registration {
    /// Asks at once.
    #[must_use]
    pub fn start(now: Instant, config: RegistrationConfig, mut entropy: Entropy) -> Self {
        let from_tag = entropy.token();
        let mut registration = Self {
            ua: endpoint(&config, entropy),
            from_tag,
            seq: 0,
            expires_s: config.expires_s.clamp(1, EXPIRES_MAX_S),
            failures: 0,
            state: State::Resting { retry_at: now },
            wish: Wish::Bound,
            reach: Reach::default(),
            bound_at: None,
            bound: None,
            outputs: VecDeque::new(),
            config,
        };
        registration.ask(now, Purpose::Bind(Interval::Ours));
        registration.collect();
        registration
    }

    pub fn handle_input(&mut self, now: Instant, input: Input) {
        let completions = match input {
            Input::Message { message, source } => self.received(now, *message, source),
            Input::Timeout => {
                let completions = self.ua.transactions.handle_timeout(now).0;
                self.lapse(now);
                self.wake(now);
                completions
            }
            Input::TransportError => {
                self.flow_lost(now);
                self.ua.transactions.handle_transport_error(now)
            }
            Input::Stop => {
                self.stop(now);
                Vec::new()
            }
        };
        for completion in completions {
            self.completed(now, completion);
        }
        self.collect();
    }

    /// What is to be done now, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The next deadline and its name, for the log.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let own = match self.state {
            State::Asking { .. } | State::Over => None,
            State::Bound { refresh_at } => Some((refresh_at, "refresh")),
            State::Resting { retry_at } => Some((retry_at, "retry")),
        };
        let ends = self.bound.map(|until| (until, "binding"));
        earliest(earliest(own, ends), self.ua.transactions.poll_timeout())
    }

    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Another address of the registrar, another of ours or another transport, from the next REGISTER on. While one is
    /// under way it is left where it was sent: false. A challenge that was answered before is answered anew there.
    #[must_use]
    pub fn retarget(
        &mut self,
        target: SocketAddr,
        local: SocketAddr,
        public: Option<SocketAddr>,
        transport: Transport,
    ) -> bool {
        if matches!(self.state, State::Asking { .. } | State::Over) {
            return false;
        }
        let old = &self.config;
        if (old.target, old.local, old.public, old.transport) == (target, local, public, transport) {
            return true;
        }
        let before = self.bound.map(|_| self.reach.contact(&self.ua));
        self.config.target = target;
        self.config.local = local;
        self.config.public = public;
        self.config.transport = transport;
        let entropy = self.ua.entropy.fork();
        self.ua = endpoint(&self.config, entropy);
        self.reach.moved(None);
        self.reach
            .moved(before.filter(|before| *before != self.reach.contact(&self.ua)));
        true
    }

    /// Whether the next [`Input::Timeout`] at this time makes a REGISTER: the last moment for [`Self::retarget`].
    #[must_use]
    pub fn is_about_to_ask(&self, now: Instant) -> bool {
        match self.state {
            State::Bound { refresh_at } => now >= refresh_at,
            State::Resting { retry_at } => now >= retry_at,
            State::Asking { .. } | State::Over => false,
        }
    }

    fn received(&mut self, now: Instant, message: Message, source: SocketAddr) -> Vec<Completion> {
        match message {
            // Only from the registrar: a stranger who guessed the branch is none.
            Message::Response(response) if self.ua.listens_to(source, std::iter::empty()) => self
                .ua
                .transactions
                .receive_response(now, Box::new(response))
                .unwrap_or_default(),
            Message::Response(_) | Message::Request(_) => Vec::new(),
        }
    }

    /// A deadline of the state itself.
    fn wake(&mut self, now: Instant) {
        if self.is_about_to_ask(now) {
            self.ask(now, Purpose::Bind(Interval::Ours));
        }
    }

    /// RFC 5626 §4.2.1: calls to us came over this connection. Whoever closes it after each answer is not asked again at
    /// once.
    fn flow_lost(&mut self, now: Instant) {
        if let (State::Bound { refresh_at }, true) = (&mut self.state, self.config.transport.is_stream()) {
            let soonest = self.bound_at.map_or(now, |at| at + pace::REST_MIN);
            *refresh_at = soonest.max(now).min(*refresh_at);
        }
    }

    fn lapse(&mut self, now: Instant) {
        if self.bound.is_some_and(|until| now >= until) {
            self.bound = None;
            self.say(Event::Lapsed);
        }
    }

    fn stop(&mut self, now: Instant) {
        self.wish = Wish::Gone;
        match self.state {
            // §10.2: no new REGISTER before the last one has its answer; that answer goes on from here.
            State::Asking { .. } | State::Over => {}
            State::Bound { .. } | State::Resting { .. } => self.leave(now),
        }
    }

    fn leave(&mut self, now: Instant) {
        if self.bound.is_some() {
            self.ask(now, Purpose::Remove);
        } else {
            self.end();
        }
    }

    fn end(&mut self) {
        self.bound = None;
        self.state = State::Over;
        self.say(Event::Unregistered);
    }

    fn ask(&mut self, now: Instant, purpose: Purpose) {
        let request = self.request(purpose);
        self.send(now, purpose, request, RequestChallenges::default());
    }

    fn send(&mut self, now: Instant, purpose: Purpose, mut request: Request, asked: RequestChallenges) {
        self.seq += 1;
        set_seq(&mut request, self.seq);
        match self.ua.send_to_target(now, request) {
            Some((id, _)) => self.state = State::Asking { id, purpose, asked },
            None => self.failed(now, purpose, Failure::Transport, None),
        }
    }

    fn request(&self, purpose: Purpose) -> Request {
        let expires_s = match purpose {
            Purpose::Bind(_) => self.expires_s,
            Purpose::Remove => 0,
        };
        let mut contact = self.reach.contact(&self.ua);
        contact.params.set("expires", Some(&expires_s.to_string()));
        let aor = NameAddr::new(self.config.aor.clone());
        let mut request = Request::new(Method::Register, self.config.request_uri.clone());
        let fields = [
            ("Max-Forwards", MAX_FORWARDS.to_string()),
            ("From", aor.clone().with_tag(&self.from_tag).to_string()),
            ("To", aor.to_string()),
            ("Call-ID", self.config.call_id.clone()),
            ("CSeq", CSeq::new(self.seq, Method::Register).to_string()),
            ("Contact", contact.to_string()),
            ("Expires", expires_s.to_string()),
            ("Supported", "path".to_owned()),
        ];
        for (name, value) in fields {
            request.headers.push(name, value);
        }
        if let Some(former) = self.reach.former() {
            request.headers.push("Contact", former.to_string());
        }
        request
    }

    fn completed(&mut self, now: Instant, completion: Completion) {
        let State::Asking { id, purpose, asked } = &self.state else {
            return;
        };
        if *id != completion.id {
            return;
        }
        let (purpose, asked) = (*purpose, asked.clone());
        match completion.reply {
            Reply::Response(response) if response.is_provisional() => {}
            Reply::Response(response) => self.answered(now, purpose, asked, &completion.request, &response),
            Reply::TimedOut => self.failed(now, purpose, Failure::Silent, None),
            Reply::TransportFailed => self.failed(now, purpose, Failure::Transport, None),
        }
    }

    fn answered(
        &mut self,
        now: Instant,
        purpose: Purpose,
        asked: RequestChallenges,
        request: &Request,
        response: &Response,
    ) {
        self.ua.heed_authentication_info(response);
        match (response.status, purpose) {
            (200..=299, Purpose::Bind(_)) => self.bind(now, purpose, response),
            (401 | 407, _) => self.challenged(now, purpose, asked, request, response),
            (423, Purpose::Bind(interval)) => self.too_brief(now, interval, response),
            _ => {
                let why = Failure::Refused {
                    status: response.status,
                    reason: response.reason.chars().take(64).collect(),
                };
                self.failed(now, purpose, why, response.headers.retry_after());
            }
        }
    }

    fn bind(&mut self, now: Instant, purpose: Purpose, response: &Response) {
        let Some(granted) = self.granted(response).filter(|granted| !granted.is_zero()) else {
            return self.failed(now, purpose, Failure::NotKept, None);
        };
        let mut service_route = response.headers.service_routes().unwrap_or_default();
        service_route.truncate(SERVICE_ROUTES_MAX);
        let until = now + granted;
        let again = self.reach.bound(&self.ua, &self.config, response);
        self.failures = 0;
        self.bound = Some(until);
        self.bound_at = Some(now);
        self.state = State::Bound {
            refresh_at: now + pace::refresh_after(granted, &mut self.ua.entropy),
        };
        self.say(Event::Registered {
            until,
            granted,
            service_route,
        });
        if self.wish == Wish::Gone {
            self.leave(now);
        } else if again {
            self.ask(now, Purpose::Bind(Interval::Ours));
        }
    }

    /// §10.2.4: of our own Contact, else of the Expires field, else what was asked. A registrar that has written our
    /// address anew is known by the user alone. `None`: the success lists bindings, and ours is not among them.
    fn granted(&self, response: &Response) -> Option<Duration> {
        let ours = self.reach.contact(&self.ua);
        let listed = response.headers.contacts().unwrap_or_default();
        // A port that is the usual one may have been left out.
        let same = |contact: &&NameAddr| {
            let (theirs, ours) = (&contact.uri, &ours.uri);
            let same_host = match (theirs.host(), ours.host()) {
                (Some(theirs), Some(ours)) => theirs.equivalent(ours),
                _ => false,
            };
            same_host && theirs.user() == ours.user() && theirs.port_or_default() == ours.port_or_default()
        };
        let same_user = |contact: &&NameAddr| contact.uri.user() == ours.uri.user();
        let own = listed.iter().find(same).or_else(|| listed.iter().find(same_user));
        if own.is_none() && !listed.is_empty() {
            return None;
        }
        let own_s = own
            .and_then(|contact| contact.params.get("expires"))
            .and_then(|text| text.parse::<u32>().ok());
        let granted_s = own_s
            .or_else(|| response.headers.expires())
            .unwrap_or(self.expires_s);
        Some(Duration::from_secs(granted_s.min(EXPIRES_MAX_S).into()))
    }

    fn challenged(
        &mut self,
        now: Instant,
        purpose: Purpose,
        mut asked: RequestChallenges,
        request: &Request,
        response: &Response,
    ) {
        let fresh = !asked.has_answered();
        if let Some(again) = self.ua.answer_challenge(request, response, &mut asked) {
            return self.send(now, purpose, again, asked);
        }
        let realm = Challenge::parse_all(&response.headers, response.status)
            .first()
            .map(|challenge| challenge.realm.chars().take(64).collect())
            .unwrap_or_default();
        let why = if fresh {
            Failure::NoCredentials { realm }
        } else {
            Failure::WrongCredentials { realm }
        };
        self.failed(now, purpose, why, None);
    }

    /// §10.2.8: once more with the interval that the registrar wants, which is then asked for from the start.
    fn too_brief(&mut self, now: Instant, interval: Interval, response: &Response) {
        let min_s = response.headers.min_expires();
        match min_s {
            Some(min_s) if interval == Interval::Ours && min_s > self.expires_s && min_s <= EXPIRES_MAX_S => {
                self.expires_s = min_s;
                self.ask(now, Purpose::Bind(Interval::Raised));
            }
            _ => self.failed(now, Purpose::Bind(interval), Failure::TooBrief { min_s }, None),
        }
    }

    fn failed(&mut self, now: Instant, purpose: Purpose, why: Failure, retry_after_s: Option<u32>) {
        // A removal that fails: the binding ends by itself.
        if purpose == Purpose::Remove {
            return self.end();
        }
        // What was bound stays so when nobody answered or the registrar is out of order for now.
        let says_no = match &why {
            Failure::Refused { status, .. } => !(500..=599).contains(status),
            Failure::Silent | Failure::Transport => false,
            Failure::NoCredentials { .. }
            | Failure::WrongCredentials { .. }
            | Failure::TooBrief { .. }
            | Failure::NotKept => true,
        };
        if says_no {
            self.bound = None;
            self.reach.refused();
        }
        let rest = pace::rest_after(self.failures, retry_after_s, &mut self.ua.entropy);
        self.failures = self.failures.saturating_add(1);
        let retry_at = now + rest;
        self.state = State::Resting { retry_at };
        self.say(Event::Failed {
            why,
            retry_at,
            bound: self.bound,
        });
        if self.wish == Wish::Gone {
            self.leave(now);
        }
    }

    fn say(&mut self, event: Event) {
        // Octets before the event that they led to.
        self.collect();
        self.outputs.push_back(Output::Event(event));
    }

    fn collect(&mut self) {
        let transmits = self.ua.transactions.take_transmits().into_iter();
        self.outputs.extend(transmits.map(|transmit| Output::Transmit {
            to: transmit.to,
            bytes: transmit.bytes,
        }));
    }
}

fn endpoint(config: &RegistrationConfig, entropy: Entropy) -> Endpoint {
    Endpoint::new(
        EndpointConfig {
            target: config.target,
            local: config.local,
            public: config.public,
            transport: config.transport,
            contact_user: config.contact_user.clone(),
            user_agent: config.user_agent.clone(),
            peers: Vec::new(),
            timers: config.timers,
            supported: "path",
            credentials: config.credentials.clone(),
        },
        entropy,
    )
}
