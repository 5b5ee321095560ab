//! The session against a peer that the test plays by hand, in virtual time.
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::*;
use crate::model::HungUpBy;
use crate::sip::message::{CSeq, Method, Request};

mod answering;
mod authentication;
mod cancelling;
mod failing_over;
mod in_dialog;
mod nonces;
mod party;
mod provisional;
mod redirect;
mod reliable;
mod session_timer;
mod shedding;
mod spoofing;

const TARGET: &str = "192.0.2.10:5060";
const OFFER: &[u8] = b"v=0\r\noffer\r\n";
const ANSWER: &[u8] = b"v=0\r\nanswer\r\n";

fn target() -> SocketAddr {
    TARGET.parse().unwrap()
}

fn config() -> InviteConfig {
    InviteConfig {
        target: target(),
        local: "192.0.2.1:5060".parse().unwrap(),
        public: None,
        transport: Transport::Udp,
        request_uri: "sip:+493012345@trunk.example".parse().unwrap(),
        from: NameAddr::new("sip:+4930999@us.example".parse().unwrap()),
        to: NameAddr::new("sip:+493012345@trunk.example".parse().unwrap()),
        contact_user: "ringproof".to_owned(),
        route: Vec::new(),
        extra_headers: Vec::new(),
        user_agent: "Ringproof".to_owned(),
        call_id: "call-1".to_owned(),
        credentials: None,
        peers: Vec::new(),
        rel100: true,
        timers: TimerConfig::default(),
        failover: Failover::default(),
    }
}

/// The session, the clock, and all that left.
struct Rig {
    start: Instant,
    now: Instant,
    session: Option<InviteSession>,
    sent: Vec<(SocketAddr, Message)>,
    raw: Vec<Vec<u8>>,
    events: Vec<Event>,
}

impl Rig {
    fn new() -> Self {
        Self::with(config())
    }

    fn with(config: InviteConfig) -> Self {
        let now = crate::sip::epoch();
        let mut out = Vec::new();
        let session = InviteSession::start(now, config, OFFER.to_vec(), Entropy::from_number(1), &mut out);
        let mut rig = Self {
            start: now,
            now,
            session: Some(session),
            sent: vec![],
            raw: vec![],
            events: vec![],
        };
        rig.take(out);
        rig
    }

    fn take(&mut self, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Send { to, bytes } => {
                    let parsed = Message::parse(&bytes);
                    let message = parsed.unwrap_or_else(|error| {
                        panic!(
                            "we sent what cannot be read: {error}\n{}",
                            String::from_utf8_lossy(&bytes)
                        )
                    });
                    self.sent.push((to, message));
                    self.raw.push(bytes);
                }
                Output::Event(event) => self.events.push(event),
            }
        }
    }

    fn input(&mut self, input: Input) {
        let mut out = Vec::new();
        let session = self.session.take().unwrap();
        let mut session = session.handle(self.now, input, &mut out);
        // As its owner does: nothing that a session lets go of may be missed.
        session.shed();
        self.session = Some(session);
        self.take(out);
    }

    fn receive(&mut self, message: impl Into<Message>) {
        self.receive_from(message, target());
    }

    fn receive_from(&mut self, message: impl Into<Message>, source: SocketAddr) {
        // Over the wire, so that nothing passes that could not be written.
        let message = Message::parse(&message.into().to_bytes()).unwrap();
        self.input(Input::Message { message, source });
    }

    /// Runs the session's own deadlines for that long.
    fn advance(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        for _ in 0..10_000 {
            let due = self
                .session
                .as_ref()
                .unwrap()
                .poll_timeout()
                .filter(|(at, _)| *at <= end);
            let Some((at, why)) = due else {
                self.now = end;
                return;
            };
            let before = (self.now, why);
            self.now = self.now.max(at);
            self.input(Input::Timeout);
            let next = self.session.as_ref().unwrap().poll_timeout();
            assert!(
                next.is_none_or(|(next, why)| (next, why) != (at, before.1)),
                "stuck at {why}"
            );
        }
        panic!("more than 10,000 deadlines in {ms} ms");
    }

    fn elapsed_ms(&self) -> u128 {
        (self.now - self.start).as_millis()
    }

    fn is_ended(&self) -> bool {
        self.session.as_ref().unwrap().is_ended()
    }

    /// Every request of that method so far.
    fn requests(&self, method: &Method) -> Vec<Request> {
        let requests = self.sent.iter().filter_map(|(_, message)| match message {
            Message::Request(request) if request.method == *method => Some(request.clone()),
            Message::Request(_) | Message::Response(_) => None,
        });
        requests.collect()
    }

    fn last_request(&self, method: &Method) -> Request {
        self.requests(method)
            .pop()
            .unwrap_or_else(|| panic!("no {method} was sent"))
    }

    fn count(&self, method: &Method) -> usize {
        self.requests(method).len()
    }

    fn last_response(&self) -> Response {
        let last = self.sent.iter().rev().find_map(|(_, message)| match message {
            Message::Response(response) => Some(response.clone()),
            Message::Request(_) => None,
        });
        last.unwrap()
    }

    /// A response to the latest request of that method.
    fn response(&self, method: &Method, status: u16, tag: &str) -> Response {
        let mut response = Response::reply_to(&self.last_request(method), status, None);
        if !tag.is_empty() {
            response = response.with_to_tag(tag);
        }
        if *method == Method::Invite && (101..300).contains(&status) {
            response.headers.push("Contact", "<sip:callee@192.0.2.10:5062>");
        }
        response
    }

    fn respond(&mut self, status: u16, tag: &str) {
        let response = self.response(&Method::Invite, status, tag);
        self.receive(response);
    }

    fn answer(&mut self, tag: &str) {
        let response = self
            .response(&Method::Invite, 200, tag)
            .with_body("application/sdp", ANSWER.to_vec());
        self.receive(response);
    }

    /// Answered, with the 2xx of leg `a`.
    fn answered() -> Self {
        let mut rig = Self::new();
        rig.respond(180, "a");
        rig.answer("a");
        assert_eq!(
            rig.events.last(),
            Some(&Event::Answered {
                sdp: Some(ANSWER.to_vec())
            })
        );
        rig.clear();
        rig
    }

    fn clear(&mut self) {
        self.sent
            .retain(|(_, message)| matches!(message, Message::Request(r) if r.method == Method::Invite));
        self.raw.clear();
        self.events.clear();
    }

    /// A request of the peer in leg `tag`.
    fn peer_request(&self, method: Method, seq: u32, tag: &str) -> Request {
        let invite = self.last_request(&Method::Invite);
        let contact = invite.headers.contacts().unwrap().remove(0);
        let mut request = Request::new(method.clone(), contact.uri);
        let branch = format!("z9hG4bKpeer{method}{seq}");
        request
            .headers
            .push("Via", format!("SIP/2.0/UDP {TARGET};rport;branch={branch}"));
        request.headers.push("Max-Forwards", "70");
        request
            .headers
            .push("From", format!("<sip:+493012345@trunk.example>;tag={tag}"));
        request
            .headers
            .push("To", invite.headers.from().unwrap().to_string());
        request.headers.push("Call-ID", invite.headers.call_id().unwrap());
        request
            .headers
            .push("CSeq", CSeq::new(seq, method.clone()).to_string());
        if matches!(method, Method::Invite | Method::Update) {
            request.headers.push("Contact", format!("<sip:callee@{TARGET}>"));
        }
        request
    }

    /// The ACK that a peer sends to our latest 2xx.
    fn peer_ack(&self, tag: &str, seq: u32) -> Request {
        let mut ack = self.peer_request(Method::Ack, seq, tag);
        ack.headers.set("CSeq", CSeq::new(seq, Method::Ack).to_string());
        ack
    }

    fn branch(request: &Request) -> String {
        request.headers.top_via().unwrap().branch().unwrap().to_owned()
    }
}

impl From<Request> for Message {
    fn from(request: Request) -> Self {
        Self::Request(request)
    }
}

impl From<Response> for Message {
    fn from(response: Response) -> Self {
        Self::Response(response)
    }
}

#[test]
fn the_invite_carries_what_rfc_3261_asks_for() {
    let mut config = config();
    config.public = Some("203.0.113.7:5080".parse().unwrap());
    config.route = vec![NameAddr::new("sip:edge.example;lr".parse().unwrap())];
    config.extra_headers = vec![
        ("Privacy".to_owned(), "id".to_owned()),
        ("Via".to_owned(), "SIP/2.0/UDP evil".to_owned()),
        ("X-Note".to_owned(), "a\r\nInjected: yes".to_owned()),
    ];
    let rig = Rig::with(config);
    let invite = rig.last_request(&Method::Invite);
    assert_eq!(rig.sent[0].0, target());
    assert_eq!(invite.uri.to_string(), "sip:+493012345@trunk.example");
    assert_eq!(invite.headers.vias().unwrap().len(), 1);
    let via = invite.headers.top_via().unwrap();
    assert!(
        via.to_string().starts_with("SIP/2.0/UDP 203.0.113.7:5080;"),
        "{via}"
    );
    assert!(via.wants_rport());
    assert_eq!(via.branch().unwrap().len(), "z9hG4bK".len() + 32);
    assert_eq!(invite.headers.from().unwrap().tag().unwrap().len(), 32);
    assert_eq!(invite.headers.to().unwrap().tag(), None);
    assert_eq!(invite.headers.get("CSeq"), Some("1 INVITE"));
    assert_eq!(invite.headers.get("Call-ID"), Some("call-1"));
    assert_eq!(invite.headers.get("Max-Forwards"), Some("70"));
    assert_eq!(
        invite.headers.get("Contact"),
        Some("<sip:ringproof@203.0.113.7:5080>")
    );
    assert_eq!(invite.headers.get("Route"), Some("<sip:edge.example;lr>"));
    assert_eq!(invite.headers.get("Privacy"), Some("id"));
    assert!(!invite.headers.contains("Injected"));
    assert!(invite.headers.supports("100rel") && invite.headers.supports("timer"));
    assert!(invite.headers.allow().any(|method| method == "UPDATE"));
    assert_eq!(invite.headers.get("User-Agent"), Some("Ringproof"));
    assert_eq!(invite.body, OFFER);
    assert_eq!(invite.headers.content_type(), Some("application/sdp"));
}

#[test]
fn a_strict_preloaded_route_takes_the_request_uri() {
    let mut config = config();
    config.route = vec![NameAddr::new("sip:strict.example".parse().unwrap())];
    let invite = Rig::with(config).last_request(&Method::Invite);
    assert_eq!(invite.uri.to_string(), "sip:strict.example");
    assert_eq!(
        invite.headers.get("Route"),
        Some("<sip:+493012345@trunk.example>")
    );
}

#[test]
fn over_tcp_nothing_is_repeated_and_the_hop_is_named() {
    let mut config = config();
    config.transport = Transport::Tcp;
    let mut rig = Rig::with(config);
    let invite = rig.last_request(&Method::Invite);
    assert!(
        invite
            .headers
            .get("Via")
            .is_some_and(|via| via.starts_with("SIP/2.0/TCP "))
    );
    assert!(
        invite
            .headers
            .get("Contact")
            .is_some_and(|contact| contact.contains(";transport=tcp"))
    );
    rig.advance(31_000);
    assert_eq!(rig.count(&Method::Invite), 1);
    rig.respond(486, "a");
    assert!(rig.is_ended());
}

#[test]
fn without_any_response_it_times_out_after_seven_invites_and_then_keeps_listening_for_64_t1() {
    let mut rig = Rig::new();
    rig.advance(31_999);
    assert_eq!(rig.count(&Method::Invite), 7);
    assert!(rig.events.is_empty());
    rig.advance(1);
    assert_eq!(rig.events, [Event::TimedOut, Event::Ended]);
    assert!(!rig.is_ended());
    rig.advance(32_000);
    assert!(rig.is_ended());
    assert_eq!(rig.elapsed_ms(), 64_000);
}

#[test]
fn a_transport_error_before_any_response_ends_it() {
    let mut rig = Rig::new();
    rig.input(Input::TransportError);
    assert_eq!(rig.events, [Event::TransportFailed, Event::Ended]);
}

#[test]
fn a_debug_print_shows_no_number() {
    let mut config = config();
    config.extra_headers = vec![("P-Asserted-Identity".to_owned(), "<tel:+4930888777>".to_owned())];
    let printed = format!("{config:?}");
    assert!(
        !printed.contains("493012345") && !printed.contains("4930888777"),
        "{printed}"
    );
    let printed = format!("{:?}", Rig::with(config).session.unwrap());
    assert!(!printed.contains("493012345"), "{printed}");
}
