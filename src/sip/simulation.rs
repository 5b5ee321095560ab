//! Our UAC session against our UAS sessions over a link that loses, repeats and reorders, in virtual time.
//!
//! One seed is one run: it draws the plan (who answers, rejects, forks, cancels, hangs up, and when) and the fate
//! of every packet. The checks are those of the product: each answered leg is acknowledged and ended, nobody
//! is left waiting, no CANCEL before a 1xx, the same ACK for the same 2xx.
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::invite::{self, InviteConfig, InviteSession, TimerConfig, Transport};
use super::message::{Message, Method, NameAddr, Request, Response};
use super::uas::{self, UasConfig, UasSession};
use crate::model::Entropy;

mod checks;
mod plan;

use plan::{CalleePlan, CallerPlan, Plan};

const RUN_LIMIT: Duration = Duration::from_secs(600);
const STEPS_MAX: usize = 20_000;

fn caller_address() -> SocketAddr {
    "192.0.2.1:5060".parse().unwrap()
}

fn callee_address() -> SocketAddr {
    "192.0.2.10:5060".parse().unwrap()
}

/// What the link does to a packet.
#[derive(Debug, Clone, Copy)]
struct Link {
    loss_percent: u64,
    duplicate_percent: u64,
    delay_ms_max: u64,
}

#[derive(Debug)]
struct Callee {
    session: Option<UasSession>,
    plan: CalleePlan,
    tag: String,
    progress: Progress,
    events: Vec<(u64, uas::Event)>,
}

/// How far a telephone is with the INVITE, as its proxy sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Ringing,
    Answered,
    Rejected,
}

/// What one side has to do at a moment of its own.
#[derive(Debug, Clone)]
enum Due {
    Packet { from: SocketAddr, bytes: Vec<u8> },
    Caller(invite::Input),
    Callee(usize, uas::Input),
}

struct World {
    start: Instant,
    now: Instant,
    link: Link,
    entropy: Entropy,
    order: u64,
    due: BTreeMap<(Instant, u64), Due>,
    caller: Option<InviteSession>,
    caller_plan: CallerPlan,
    callees: Vec<Callee>,
    callee_plans: Vec<CalleePlan>,
    record: Record,
}

/// What happened, for the checks and the trace.
#[derive(Debug, Default)]
struct Record {
    caller_events: Vec<(u64, invite::Event)>,
    caller_sent: Vec<(u64, Message, Vec<u8>)>,
    caller_received: Vec<(u64, Message)>,
    callee_sent: Vec<(u64, Message)>,
    trace: Vec<String>,
}

impl World {
    fn run(seed: u64) -> Self {
        let mut entropy = Entropy::from_number(seed);
        let plan = Plan::draw(&mut entropy);
        let start = crate::sip::epoch();
        let mut world = Self {
            start,
            now: start,
            link: plan.link,
            order: 0,
            due: BTreeMap::new(),
            caller: None,
            caller_plan: plan.caller,
            callees: Vec::new(),
            callee_plans: plan.callees,
            record: Record::default(),
            entropy,
        };
        world.call();
        world.turn();
        world
    }

    fn call(&mut self) {
        let mut out = Vec::new();
        let entropy = self.entropy.fork();
        let session = InviteSession::start(self.now, caller_config(), b"offer".to_vec(), entropy, &mut out);
        self.caller = Some(session);
        self.take_caller(out);
        if let Some(ms) = self.caller_plan.cancel_after_ms {
            self.plan_in(ms, Due::Caller(invite::Input::Cancel { reason: None }));
        }
        // The ring timeout that the owner has: nothing rings for ever.
        self.plan_in(60_000, Due::Caller(invite::Input::Bye { reason: None }));
    }

    fn turn(&mut self) {
        for _ in 0..STEPS_MAX {
            let caller = self
                .caller
                .as_ref()
                .and_then(InviteSession::poll_timeout)
                .map(|(at, _)| at);
            let callees = self
                .callees
                .iter()
                .enumerate()
                .filter_map(|(n, callee)| Some((callee.session.as_ref()?.poll_timeout()?.0, n)));
            let callee = callees.min();
            let planned = self.due.keys().next().map(|(at, _)| *at);
            let next = [caller, callee.map(|(at, _)| at), planned]
                .into_iter()
                .flatten()
                .min();
            let Some(at) = next.filter(|at| *at <= self.start + RUN_LIMIT) else {
                return;
            };
            self.now = self.now.max(at);
            if planned == Some(at) {
                if let Some((_, due)) = self.due.pop_first() {
                    self.handle(due);
                }
            } else if caller == Some(at) {
                self.caller_input(invite::Input::Timeout);
            } else if let Some((_, n)) = callee {
                self.callee_input(n, uas::Input::Timeout);
            }
        }
        panic!("more than {STEPS_MAX} steps:\n{}", self.record.trace.join("\n"));
    }

    fn handle(&mut self, due: Due) {
        match due {
            Due::Packet { from, bytes } => self.deliver(from, &bytes),
            Due::Caller(input) => self.caller_input(input),
            Due::Callee(n, input) => self.callee_input(n, input),
        }
    }

    fn deliver(&mut self, source: SocketAddr, bytes: &[u8]) {
        let message = Message::parse(bytes).unwrap();
        if source == callee_address() {
            self.record
                .caller_received
                .push((self.elapsed_ms(), message.clone()));
            self.caller_input(invite::Input::Message { message, source });
            return;
        }
        let owners: Vec<usize> = (0..self.callees.len())
            .filter(|n| {
                self.callees[*n]
                    .session
                    .as_ref()
                    .is_some_and(|session| session.owns(&message))
            })
            .collect();
        for n in &owners {
            self.callee_input(
                *n,
                uas::Input::Message {
                    message: message.clone(),
                    source,
                },
            );
        }
        if let (true, Message::Request(request)) = (owners.is_empty(), message) {
            self.arrive(request, source);
        }
    }

    /// A first request: an INVITE reaches every telephone of the fork, anything else belongs to no call.
    fn arrive(&mut self, request: Request, source: SocketAddr) {
        if request.method != Method::Invite {
            if let Some(response) = super::out_of_call::answer(&request, source, true) {
                self.transmit(callee_address(), response.to_bytes());
            }
            return;
        }
        for plan in self.callee_plans.clone() {
            let (mut out, entropy) = (Vec::new(), self.entropy.fork());
            let session = UasSession::start(
                self.now,
                callee_config(),
                request.clone(),
                source,
                entropy,
                &mut out,
            )
            .unwrap();
            let n = self.callees.len();
            let tag = session.local_tag().to_owned();
            for (ms, input) in plan.steps() {
                self.plan_in(ms, Due::Callee(n, input));
            }
            self.callees.push(Callee {
                session: Some(session),
                plan,
                tag,
                progress: Progress::Ringing,
                events: Vec::new(),
            });
            self.take_callee(n, out);
        }
    }

    fn caller_input(&mut self, input: invite::Input) {
        let Some(session) = self.caller.take() else { return };
        let mut out = Vec::new();
        let mut session = session.handle(self.now, input, &mut out);
        session.shed();
        self.caller = Some(session);
        self.take_caller(out);
    }

    fn callee_input(&mut self, n: usize, input: uas::Input) {
        let Some(session) = self.callees[n].session.take() else {
            return;
        };
        let mut out = Vec::new();
        self.callees[n].session = Some(session.handle(self.now, input, &mut out));
        self.take_callee(n, out);
    }

    fn take_caller(&mut self, out: Vec<invite::Output>) {
        for output in out {
            match output {
                invite::Output::Send { to, bytes } => {
                    assert_eq!(to, callee_address());
                    let message = Message::parse(&bytes).unwrap();
                    self.trace("caller", &first_line(&message));
                    self.record
                        .caller_sent
                        .push((self.elapsed_ms(), message, bytes.clone()));
                    self.transmit(caller_address(), bytes);
                }
                invite::Output::Event(event) => {
                    self.trace("caller", &format!("{event:?}"));
                    self.react(&event);
                    self.record.caller_events.push((self.elapsed_ms(), event));
                }
            }
        }
    }

    /// The owner of the caller's session.
    fn react(&mut self, event: &invite::Event) {
        match event {
            invite::Event::Answered { .. } => {
                if let Some(ms) = self.caller_plan.bye_after_ms {
                    self.plan_in(ms, Due::Caller(invite::Input::Bye { reason: None }));
                }
            }
            invite::Event::Offer { .. } => {
                let ms = self.entropy.below(300);
                self.plan_in(
                    ms,
                    Due::Caller(invite::Input::AnswerOffer {
                        sdp: b"answer".to_vec(),
                    }),
                );
            }
            _ => {}
        }
    }

    fn take_callee(&mut self, n: usize, out: Vec<uas::Output>) {
        for output in out {
            match output {
                uas::Output::Send { to, bytes } => {
                    assert_eq!(to, caller_address());
                    let message = Message::parse(&bytes).unwrap();
                    self.trace(&format!("callee {n}"), &first_line(&message));
                    self.record.callee_sent.push((self.elapsed_ms(), message.clone()));
                    if self.passes_proxy(n, &message) {
                        self.transmit(callee_address(), bytes);
                    }
                }
                uas::Output::Event(event) => {
                    self.trace(&format!("callee {n}"), &format!("{event:?}"));
                    if matches!(event, uas::Event::Offer { .. }) {
                        self.plan_in(
                            50,
                            Due::Callee(
                                n,
                                uas::Input::AnswerOffer {
                                    sdp: b"answer".to_vec(),
                                },
                            ),
                        );
                    }
                    let at = self.elapsed_ms();
                    self.callees[n].events.push((at, event));
                }
            }
        }
    }

    /// What the forking proxy in front of the telephones does (RFC 3261 §16.7): every 1xx and 2xx passes, the first
    /// 2xx cancels the others, and of the rejections only the last one passes, the others it acknowledges itself.
    fn passes_proxy(&mut self, n: usize, message: &Message) -> bool {
        let Message::Response(response) = message else {
            return true;
        };
        if response.headers.get("CSeq") != Some("1 INVITE") || response.is_provisional() {
            return true;
        }
        let others: Vec<usize> = (0..self.callees.len()).filter(|other| *other != n).collect();
        if response.is_success() {
            let first = self.callees[n].progress == Progress::Ringing;
            self.callees[n].progress = Progress::Answered;
            for other in others.into_iter().filter(|_| first) {
                let reject = uas::Input::Reject {
                    status: 487,
                    reason: None,
                    headers: Vec::new(),
                };
                let ms = self.entropy.below(900);
                self.plan_in(ms, Due::Callee(other, reject));
            }
            return true;
        }
        self.callees[n].progress = Progress::Rejected;
        let is_last = others
            .iter()
            .all(|other| self.callees[*other].progress == Progress::Rejected);
        if !is_last {
            let invite = self.first_invite();
            let ack = super::transaction::client_invite::ack_of_rejection(&invite, response);
            self.plan_in(
                1,
                Due::Callee(
                    n,
                    uas::Input::Message {
                        message: Message::Request(ack),
                        source: caller_address(),
                    },
                ),
            );
        }
        is_last
    }

    fn first_invite(&self) -> Request {
        match &self.record.caller_sent[0].1 {
            Message::Request(request) => request.clone(),
            Message::Response(_) => unreachable!("the caller begins with an INVITE"),
        }
    }

    fn transmit(&mut self, from: SocketAddr, bytes: Vec<u8>) {
        let copies = 1 + u64::from(self.entropy.below(100) < self.link.duplicate_percent);
        for _ in 0..copies {
            if self.entropy.below(100) >= self.link.loss_percent {
                let ms = 1 + self.entropy.below(self.link.delay_ms_max);
                self.plan_in(
                    ms,
                    Due::Packet {
                        from,
                        bytes: bytes.clone(),
                    },
                );
            }
        }
    }

    fn plan_in(&mut self, ms: u64, due: Due) {
        self.order += 1;
        self.due
            .insert((self.now + Duration::from_millis(ms), self.order), due);
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from((self.now - self.start).as_millis()).unwrap()
    }

    fn trace(&mut self, who: &str, what: &str) {
        let line = format!("{:>7} {who}: {what}", self.elapsed_ms());
        self.record.trace.push(line);
    }
}

fn first_line(message: &Message) -> String {
    let tag = message
        .headers()
        .to()
        .ok()
        .and_then(|to| to.tag().map(|tag| tag[..4.min(tag.len())].to_owned()));
    let cseq = message.headers().get("CSeq").unwrap_or_default().to_owned();
    match message {
        Message::Request(request) => format!("{} ({cseq}) to {tag:?}", request.method),
        Message::Response(response) => format!("{} ({cseq}) of {tag:?}", response.status),
    }
}

fn caller_config() -> InviteConfig {
    InviteConfig {
        target: callee_address(),
        local: caller_address(),
        public: None,
        transport: Transport::Udp,
        request_uri: "sip:callee@192.0.2.10".parse().unwrap(),
        from: NameAddr::new("sip:caller@192.0.2.1".parse().unwrap()),
        to: NameAddr::new("sip:callee@192.0.2.10".parse().unwrap()),
        contact_user: "caller".to_owned(),
        route: Vec::new(),
        extra_headers: Vec::new(),
        user_agent: String::new(),
        call_id: "call".to_owned(),
        credentials: None,
        peers: Vec::new(),
        rel100: true,
        timers: TimerConfig::default(),
        failover: invite::Failover::default(),
    }
}

fn callee_config() -> UasConfig {
    UasConfig {
        local: callee_address(),
        public: None,
        transport: Transport::Udp,
        contact_user: "callee".to_owned(),
        user_agent: String::new(),
        peers: Vec::new(),
        timers: TimerConfig::default(),
    }
}
