//! Between the process and the trunks: datagrams, and a tap that remembers what every rule of signalling needs.
use std::net::SocketAddr;
use std::time::Duration;

use ringproof::model::{AttemptId, Verification};
use ringproof::sip::message::{Message, Method, Request, Response};
use ringproof::sip::out_of_call;

use crate::dice::Dice;
use crate::link::Datagram;
use crate::media::Leg;
use crate::peer::{Effect, tag_of, top_branch};
use crate::plan::{Front, Plant};
use crate::script::CallScript;
use crate::task::{Owed, Phase, Task};
use crate::transition::{SpoofKind, Transition};
use crate::world::{LOCAL, World};

/// Messages that wait for one call.
const CALL_QUEUE_MAX: usize = 64;
/// How long after an INVITE that got no final answer a 2xx may still come and find its call.
const LATE_ANSWER_MAX_S: u64 = 64;

/// One message of ours, as far as debts are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    method: Method,
    branch: String,
    to_tag: String,
}

pub(crate) fn summary(message: &Message) -> String {
    let cseq = message.headers().get("CSeq").unwrap_or_default();
    let body = if message.body().is_empty() { "" } else { " +body" };
    match message {
        Message::Request(request) => format!("{} ({cseq}){body}", request.method),
        Message::Response(response) => format!("{} to {cseq}{body}", response.status),
    }
}

fn to_tag(message: &Message) -> String {
    tag_of(message.headers().get("To").unwrap_or_default())
        .unwrap_or_default()
        .to_owned()
}

fn from_tag(message: &Message) -> String {
    tag_of(message.headers().get("From").unwrap_or_default())
        .unwrap_or_default()
        .to_owned()
}

fn cseq(message: &Message) -> (u32, String) {
    let line = message.headers().get("CSeq").unwrap_or_default();
    match line.split_once(' ') {
        Some((seq, method)) => (seq.parse().unwrap_or_default(), method.trim().to_owned()),
        None => (0, String::new()),
    }
}

/// RFC 3261 §13.2.2.4: so long after the first 2xx the INVITE is over, and a further one is nobody's.
const INVITE_OVER: Duration = Duration::from_secs(32);

impl World<'_> {
    /// A message of a call on its way to the network.
    pub(crate) fn emit(&mut self, attempt: AttemptId, leg: Option<&Leg>, to: SocketAddr, bytes: Vec<u8>) {
        let message = match Message::parse(&bytes) {
            Ok(message) => message,
            Err(error) => return self.violate(0, format!("a message of ours cannot be read: {error:?}")),
        };
        if self.is_swallowed(&message) {
            return;
        }
        if self.trace.is_on() {
            let (name, text) = (self.name_of(attempt), summary(&message));
            self.note(format_args!("{name} -> {text}"));
        }
        self.tap(attempt, leg, &message);
        self.send(to, bytes.clone());
        self.double(attempt, to, &message, &bytes);
    }

    /// A message that the socket does not take: the call has done its part, and the network loses it.
    pub(crate) fn lose(&mut self, attempt: AttemptId, leg: &Leg, bytes: &[u8]) {
        let name = self.name_of(attempt);
        self.note(format_args!("{name} -> a datagram that the socket refuses"));
        if let Ok(message) = Message::parse(bytes) {
            self.tap(attempt, Some(leg), &message);
        }
    }

    /// A target that does not work: nothing comes of it, or a 503.
    fn send_to_front(&mut self, trunk: usize, bytes: &[u8]) {
        let Ok(Message::Request(request)) = Message::parse(bytes) else {
            return self.violate(0, "a response leaves for one that asked nothing".to_owned());
        };
        if self.plan.trunks[trunk].front != Some(Front::Unavailable) || request.method != Method::Invite {
            return;
        }
        let response = Response::reply_to(&request, 503, None).with_to_tag("front");
        let datagram = Datagram {
            from: self.peers[trunk].front,
            to: LOCAL,
            bytes: response.to_bytes(),
        };
        self.after(Duration::from_millis(5), Transition::Arrives(datagram));
    }

    fn send(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        if let Some(trunk) = self.peers.iter().position(|peer| peer.front == to) {
            return self.send_to_front(trunk, &bytes);
        }
        let Some(trunk) = self.peers.iter().position(|peer| peer.owns(to)) else {
            return self.violate(0, format!("a message leaves for {to}, where nobody is"));
        };
        let link = self.links[trunk];
        for delay in link.carry(&mut self.dice) {
            let datagram = Datagram {
                from: LOCAL,
                to,
                bytes: bytes.clone(),
            };
            self.after(delay, Transition::Arrives(datagram));
        }
    }

    pub(crate) fn arrives(&mut self, datagram: Datagram) {
        if datagram.to == LOCAL {
            return self.arrives_here(&datagram);
        }
        let Some(trunk) = self.peers.iter().position(|peer| peer.owns(datagram.to)) else {
            return;
        };
        let Ok(message) = Message::parse(&datagram.bytes) else {
            return;
        };
        if self.trace.is_on() {
            let (name, text) = (self.peers[trunk].name.clone(), summary(&message));
            self.note(format_args!("{name:>28} <- {text}"));
        }
        let script = self.script_for(&message);
        let now = self.now();
        let effects = self.peers[trunk].receive(now, datagram.from, &message, |_| script);
        self.trunk_effects(trunk, effects);
    }

    /// What becomes of this INVITE: the next call of the plan of its request.
    fn script_for(&self, message: &Message) -> Option<CallScript> {
        let call_id = message.headers().call_id().ok()?;
        let known = self
            .facts
            .attempts
            .values()
            .find(|facts| facts.call_id == call_id);
        let (request, number) = match known {
            Some(facts) => (
                self.facts.verifications.get(&facts.verification)?.request,
                facts.number,
            ),
            None => (0, 1),
        };
        let calls = &self.plan.requests[request].calls;
        let nth = usize::try_from(number - 1).unwrap().min(calls.len() - 1);
        Some(calls[nth].clone())
    }

    pub(crate) fn trunk_effects(&mut self, trunk: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send { from, to, bytes } => {
                    if self.trace.is_on()
                        && let Ok(message) = Message::parse(&bytes)
                    {
                        let (name, text) = (self.peers[trunk].name.clone(), summary(&message));
                        self.note(format_args!("{name:>28} -> {text}"));
                    }
                    let link = self.links[trunk];
                    for delay in link.carry(&mut self.dice) {
                        let datagram = Datagram {
                            from,
                            to,
                            bytes: bytes.clone(),
                        };
                        self.after(delay, Transition::Arrives(datagram));
                    }
                }
                Effect::Timer {
                    after,
                    exchange,
                    timer,
                } => {
                    self.after(
                        after,
                        Transition::TrunkTimer {
                            trunk,
                            exchange,
                            timer,
                        },
                    );
                }
                Effect::Line { exchange, leg, event } => self.line_event(trunk, exchange, leg, event),
                Effect::Breach(what) => {
                    let name = self.peers[trunk].name.clone();
                    self.violate(4, format!("{name}: {what}"));
                }
            }
        }
    }

    fn arrives_here(&mut self, datagram: &Datagram) {
        if self.process.is_none() {
            return;
        }
        let message = match Message::parse(&datagram.bytes) {
            Ok(message) => message,
            Err(error) => return self.violate(0, format!("a trunk's message cannot be read: {error:?}")),
        };
        let call_id = message.headers().call_id().unwrap_or_default().to_owned();
        let Some(process) = self.process.as_mut() else {
            return;
        };
        if let Some(attempt) = process.routes.get(&call_id).copied()
            && let Some(task) = process.tasks.get_mut(&attempt)
        {
            if task.sip.len() < CALL_QUEUE_MAX {
                task.sip.push_back((message, datagram.from));
            }
            return self.wake_soon(attempt);
        }
        match message {
            Message::Request(request) => self.answer_outside(&request, datagram.from),
            Message::Response(response) => self.stray(&response, &call_id),
        }
    }

    fn answer_outside(&mut self, request: &Request, source: SocketAddr) {
        let is_peer = self.peers.iter().any(|peer| peer.owns(source));
        if let Some(response) = out_of_call::answer(request, source, is_peer) {
            if !is_peer {
                self.violate(0, "a stranger gets an answer".to_owned());
            }
            self.send(source, response.to_bytes());
        }
    }

    /// A response that no call waits for. A telephone that was picked up must not be left alone.
    fn stray(&mut self, response: &Response, call_id: &str) {
        let of_invite = response
            .headers
            .get("CSeq")
            .is_some_and(|line| line.ends_with("INVITE"));
        if !of_invite || !(200..300).contains(&response.status) {
            return;
        }
        let now = self.now();
        let lost = self
            .facts
            .attempts
            .values()
            .find(|facts| facts.call_id == call_id);
        let Some(facts) = lost.filter(|facts| facts.life == self.life) else {
            return;
        };
        let unanswered = facts.wire.answered.is_empty();
        let soon = facts
            .invited_at
            .is_some_and(|at| now.since(at).as_secs() < LATE_ANSWER_MAX_S);
        if unanswered && soon {
            let name = self.name_of_call(call_id);
            self.violate(4, format!("{name}: a 2xx comes and its call is gone"));
        }
    }

    fn name_of_call(&self, call_id: &str) -> String {
        let known = self
            .facts
            .attempts
            .iter()
            .find(|(_, facts)| facts.call_id == call_id);
        known.map_or_else(|| "a call".to_owned(), |(attempt, _)| self.name_of(*attempt))
    }

    /// A message that this call is about to see. Messages that nobody of its parties sent oblige it to nothing.
    pub(crate) fn seen_by_call(&mut self, task: &Task, message: &Message, source: SocketAddr) -> Owed {
        let now = self.now();
        let Some(facts) = self.facts.attempts.get_mut(&task.attempt) else {
            return Owed::Nothing;
        };
        let wire = &mut facts.wire;
        match message {
            Message::Request(request) => {
                let tag = from_tag(message);
                let peer = &self.peers[task.trunk];
                let known = peer.owns(source)
                    && peer.exchanges.iter().any(|exchange| {
                        exchange.call_id == task.call_id && exchange.legs.iter().any(|leg| leg.tag == tag)
                    });
                if known {
                    wire.sdp_seen |= !message.body().is_empty();
                    match request.method {
                        Method::Bye => drop(wire.peer_byes.entry(tag).or_insert(now)),
                        Method::Info => drop(wire.infos.entry((tag, cseq(message).0)).or_insert(now)),
                        _ => {}
                    }
                }
                Owed::Nothing
            }
            Message::Response(response) => {
                let branch = top_branch(message);
                let method = cseq(message).1;
                if method == "BYE" && matches!(response.status, 401 | 407) {
                    wire.bye_challenges += 1;
                }
                if method != "INVITE" || !wire.invites.contains(&branch) {
                    return Owed::Nothing;
                }
                wire.sdp_seen |= !message.body().is_empty();
                match response.status {
                    100..=199 => {
                        wire.ringing_seen |= response.status > 100;
                        wire.provisional.insert(branch);
                        Owed::Nothing
                    }
                    200..=299 => {
                        let tag = to_tag(message);
                        let first = wire.answered.values().min().copied();
                        if first.is_some_and(|first| now.since(first) >= INVITE_OVER) {
                            return Owed::Nothing;
                        }
                        wire.finals.insert(branch);
                        wire.answered.entry(tag.clone()).or_insert(now);
                        wire.session_tag.get_or_insert_with(|| tag.clone());
                        Owed::AckOfAnswer(tag)
                    }
                    _ if wire.finals.insert(branch.clone()) => Owed::AckOfRejection(branch),
                    _ => Owed::Nothing,
                }
            }
        }
    }

    /// Whether the call has done at once what a message obliged it to.
    pub(crate) fn settle_debts(&mut self, task: &Task, owed: &Owed) {
        let acks = |test: &dyn Fn(&Sent) -> bool| {
            self.sent_now
                .iter()
                .any(|sent| sent.method == Method::Ack && test(sent))
        };
        let paid = match owed {
            Owed::Nothing => true,
            Owed::AckOfAnswer(tag) => acks(&|sent| sent.to_tag == *tag),
            Owed::AckOfRejection(branch) => acks(&|sent| sent.branch == *branch),
        };
        let name = self.name_of(task.attempt);
        if !paid {
            self.violate(4, format!("{name}: a final response is not acknowledged"));
        }
        let Some(facts) = self.facts.attempts.get(&task.attempt) else {
            return;
        };
        let wire = &facts.wire;
        let peer_left = wire
            .session_tag
            .as_ref()
            .is_some_and(|tag| wire.peer_byes.contains_key(tag));
        let rejected = matches!(owed, Owed::AckOfRejection(_));
        let invited_again = self.sent_now.iter().any(|sent| sent.method == Method::Invite);
        if task.leg.is_open() && (peer_left || (rejected && !invited_again)) {
            self.violate(
                5,
                format!("{name}: RTP goes on after the peer has ended the call"),
            );
        }
    }

    fn tap(&mut self, attempt: AttemptId, leg: Option<&Leg>, message: &Message) {
        let (now, life) = (self.now(), self.life);
        let name = self.name_of(attempt);
        let Message::Request(request) = message else {
            return;
        };
        let (branch, tag) = (top_branch(message), to_tag(message));
        self.sent_now.push(Sent {
            method: request.method.clone(),
            branch: branch.clone(),
            to_tag: tag.clone(),
        });
        let Some(facts) = self.facts.attempts.get_mut(&attempt) else {
            return;
        };
        let mut breaches: Vec<(u8, &str)> = Vec::new();
        match &request.method {
            Method::Invite if tag.is_empty() => {
                if facts.claimed_at.is_none() {
                    breaches.push((3, "an INVITE leaves before its attempt is committed as dialing"));
                }
                if facts.life != life {
                    breaches.push((3, "an attempt of an earlier life is dialled again"));
                }
                if request.headers.call_id().ok() != Some(facts.call_id.as_str()) {
                    breaches.push((3, "an INVITE leaves with a Call-ID that was not committed"));
                }
                facts.invited_at.get_or_insert(now);
                if !facts.wire.invites.contains(&branch) {
                    facts.wire.invites.push(branch);
                }
            }
            Method::Ack => {
                facts.wire.acked.insert(tag);
            }
            Method::Cancel => {
                if !facts.wire.provisional.contains(&branch) {
                    breaches.push((4, "a CANCEL leaves before any provisional response came"));
                }
                if leg.is_some_and(Leg::is_open) {
                    breaches.push((5, "RTP goes on after the CANCEL"));
                }
                facts.wire.cancels.insert(branch);
            }
            Method::Bye => {
                let wire = &mut facts.wire;
                let seqs = wire.byes.entry(tag.clone()).or_default();
                let is_new = seqs.insert(cseq(message).0);
                if is_new && seqs.len() > 1 + wire.bye_challenges {
                    breaches.push((4, "one leg gets two BYEs"));
                }
                if is_new && wire.bye_challenges == 0 && wire.peer_byes.contains_key(&tag) {
                    breaches.push((4, "a BYE answers a BYE"));
                }
                if wire.session_tag.as_deref() == Some(tag.as_str()) && leg.is_some_and(Leg::is_open) {
                    breaches.push((5, "RTP goes on after the BYE"));
                }
            }
            _ => {}
        }
        for (invariant, what) in breaches {
            self.violate(invariant, format!("{name}: {what}"));
        }
    }

    fn is_swallowed(&self, message: &Message) -> bool {
        let Message::Request(request) = message else {
            return false;
        };
        match self.plant {
            Some(Plant::SwallowsAck) => request.method == Method::Ack,
            Some(Plant::SwallowsBye) => request.method == Method::Bye,
            Some(Plant::SwallowsCancel) => request.method == Method::Cancel,
            _ => false,
        }
    }

    /// Faults: a second BYE, a second call.
    fn double(&mut self, attempt: AttemptId, to: SocketAddr, message: &Message, bytes: &[u8]) {
        let Message::Request(request) = message else {
            return;
        };
        let wanted = match self.plant {
            Some(Plant::SaysByeTwice) => request.method == Method::Bye,
            Some(Plant::DialsTwice) => request.method == Method::Invite,
            _ => false,
        };
        if !wanted {
            return;
        }
        let plant = self.plant.take();
        let (seq, method) = cseq(message);
        let text = String::from_utf8_lossy(bytes).replace("z9hG4bK", "z9hG4bK2");
        let text = match plant {
            Some(Plant::SaysByeTwice) => text.replace(
                &format!("CSeq: {seq} {method}"),
                &format!("CSeq: {} {method}", seq + 1),
            ),
            _ => text.replace("Call-ID: ", "Call-ID: 2"),
        };
        self.emit(attempt, None, to, text.into_bytes());
        self.plant = plant;
    }

    /// Fault: an INVITE that the call machine did not send.
    pub(crate) fn forged_invite(&mut self, attempt: AttemptId) {
        let Some(facts) = self.facts.attempts.get(&attempt) else {
            return;
        };
        let (to, call_id) = (self.peers[facts.trunk].edge, facts.call_id.clone());
        let branch = self.dice.token();
        let text = format!(
            "INVITE sip:+14255550000@{ip} SIP/2.0\r\nVia: SIP/2.0/UDP {LOCAL};branch=z9hG4bK{branch};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:+18005550199@{ip}>;tag=forged\r\nTo: <sip:+14255550000@{ip}>\r\n\
             Call-ID: {call_id}\r\nCSeq: 1 INVITE\r\nContact: <sip:a@{LOCAL}>\r\nContent-Length: 0\r\n\r\n",
            ip = to.ip(),
        );
        self.emit(attempt, None, to, text.into_bytes());
    }

    /// Somebody who knows a Call-ID tries to end, or to answer, a call that is not theirs.
    pub(crate) fn spoof(&mut self, kind: SpoofKind) {
        let Some(process) = self.process.as_ref() else {
            return;
        };
        let Some(task) = process
            .tasks
            .values()
            .find(|task| matches!(task.phase, Phase::Running(_)))
        else {
            return;
        };
        let (call_id, trunk) = (task.call_id.clone(), task.trunk);
        let exchange = self.peers[trunk]
            .exchanges
            .iter()
            .find(|exchange| exchange.call_id == call_id);
        let right_tag =
            exchange.map_or_else(|| "unknown".to_owned(), |exchange| exchange.legs[0].tag.clone());
        let edge = self.peers[trunk].edge;
        let stranger = SocketAddr::from(([203, 0, 113, 66], 5060));
        let (source, method, from_tag) = match kind {
            SpoofKind::Bye => (edge, "BYE", self.dice.token()),
            SpoofKind::Cancel => (edge, "CANCEL", self.dice.token()),
            SpoofKind::Ok => (edge, "INVITE", self.dice.token()),
            SpoofKind::ByeFromStranger => (stranger, "BYE", right_tag),
        };
        let (branch, to_tag) = (self.dice.token(), self.dice.token());
        let first = match kind {
            SpoofKind::Ok => "SIP/2.0 200 OK".to_owned(),
            _ => format!("{method} sip:ringproof@{LOCAL} SIP/2.0"),
        };
        let text = format!(
            "{first}\r\nVia: SIP/2.0/UDP {source};branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n\
             From: <sip:callee@{source}>;tag={from_tag}\r\nTo: <sip:ringproof@{LOCAL}>;tag={to_tag}\r\n\
             Call-ID: {call_id}\r\nCSeq: 77 {method}\r\nContact: <sip:x@{source}>\r\nContent-Length: 0\r\n\r\n"
        );
        self.note(format_args!("somebody sends a false {first}"));
        let datagram = Datagram {
            from: source,
            to: LOCAL,
            bytes: text.into_bytes(),
        };
        let wait_ms = self.dice.between(1, 20);
        self.after_ms(wait_ms, Transition::Arrives(datagram));
    }

    pub(crate) fn log_dialling(&self, trunk: &str, verification: &Verification) {
        tracing::info!(verification = %verification.id, to = %verification.to, trunk, "dialling");
        tracing::info!(?verification, "as the store gave it");
        if self.plant == Some(Plant::LogsNumber) {
            tracing::info!(to = verification.to.reveal(), "dialling");
        }
    }
}
