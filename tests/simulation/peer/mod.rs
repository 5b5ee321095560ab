//! A trunk and the phones behind it: a User Agent Server by script, with its own retransmissions.
//!
//! It shares only the reading of messages with the product. Its transactions, dialogs and texts are its own and much
//! simpler, so that a mistake in the product's machines has no twin here.
mod answering;
mod digest;
mod exchange;
mod requests;
mod text;

use std::net::SocketAddr;
use std::time::Duration;

use ringproof::model::Entropy;
use ringproof::sip::message::{Message, Method, Request, Response};

pub(crate) use exchange::{Exchange, Media};

use crate::clock::At;
use crate::script::CallScript;

/// Timers T1, T2 and 64·T1 of its side (RFC 3261 §17).
const T1_MS: u64 = 500;
const T2_MS: u64 = 4_000;
const GIVE_UP_MS: u64 = 32_000;

/// What the trunk wants of the world.
#[derive(Debug)]
pub(crate) enum Effect {
    Send {
        from: SocketAddr,
        to: SocketAddr,
        bytes: Vec<u8>,
    },
    Timer {
        after: Duration,
        exchange: usize,
        timer: Timer,
    },
    /// Something happened on the line of one leg that the callee there notices.
    Line {
        exchange: usize,
        leg: usize,
        event: LineEvent,
    },
    /// The product has broken a rule that only the other side can see.
    Breach(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineEvent {
    EarlyMedia,
    Answered,
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    Step {
        generation: u32,
        index: usize,
    },
    RepeatAnswer {
        leg: usize,
        interval_ms: u64,
    },
    RepeatRejection {
        generation: u32,
        interval_ms: u64,
    },
    RepeatReliable {
        generation: u32,
        rseq: u32,
        interval_ms: u64,
    },
    RepeatRequest {
        index: usize,
        interval_ms: u64,
    },
    Terminate {
        generation: u32,
    },
    /// A hangup waits for the ACK of the answer.
    HangUp {
        leg: usize,
    },
}

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) name: String,
    /// Where our INVITE goes.
    pub(crate) edge: SocketAddr,
    /// A target of the same trunk that does not work, where the plan has one.
    pub(crate) front: SocketAddr,
    /// Behind it: a second element, which may be the one that speaks in a dialog.
    pub(crate) core: SocketAddr,
    pub(crate) media: std::net::Ipv4Addr,
    pub(crate) exchanges: Vec<Exchange>,
    pub(crate) password: String,
    dice: Entropy,
}

/// What one step of an exchange may use and fill.
pub(crate) struct Out<'a> {
    pub(crate) now: At,
    pub(crate) exchange: usize,
    pub(crate) edge: SocketAddr,
    pub(crate) core: SocketAddr,
    pub(crate) password: &'a str,
    pub(crate) dice: &'a mut Entropy,
    pub(crate) effects: &'a mut Vec<Effect>,
}

impl Out<'_> {
    pub(crate) fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        self.effects.push(Effect::Send { from, to, bytes });
    }

    pub(crate) fn timer(&mut self, after_ms: u64, timer: Timer) {
        let after = Duration::from_millis(after_ms);
        self.effects.push(Effect::Timer {
            after,
            exchange: self.exchange,
            timer,
        });
    }

    pub(crate) fn line(&mut self, leg: usize, event: LineEvent) {
        self.effects.push(Effect::Line {
            exchange: self.exchange,
            leg,
            event,
        });
    }

    pub(crate) fn breach(&mut self, text: String) {
        self.effects.push(Effect::Breach(text));
    }
}

impl Peer {
    pub(crate) fn new(index: u8, password: &str, dice: Entropy) -> Self {
        let address = |last: u8| SocketAddr::from(([192, 0, 2, last], 5060));
        Self {
            name: format!("trunk-{index}"),
            edge: address(10 + index * 10),
            core: address(11 + index * 10),
            front: address(12 + index * 10),
            media: std::net::Ipv4Addr::new(198, 51, 100, 10 + index),
            exchanges: Vec::new(),
            password: password.to_owned(),
            dice,
        }
    }

    pub(crate) fn owns(&self, address: SocketAddr) -> bool {
        address == self.edge || address == self.core
    }

    /// A datagram of ours. `script` says what becomes of a new INVITE.
    pub(crate) fn receive(
        &mut self,
        now: At,
        source: SocketAddr,
        message: &Message,
        script: impl FnOnce(&Request) -> Option<CallScript>,
    ) -> Vec<Effect> {
        let mut effects = Vec::new();
        let call_id = message.headers().call_id().unwrap_or_default().to_owned();
        let known = self
            .exchanges
            .iter()
            .position(|exchange| exchange.call_id == call_id);
        match (message, known) {
            (Message::Request(request), None) if request.method == Method::Invite => {
                self.begin(now, source, request, script, &mut effects);
            }
            (Message::Request(request), None) => {
                if request.method != Method::Ack {
                    let bytes = text::response(request, source, 481, Some("nobody"), &[], None);
                    effects.push(Effect::Send {
                        from: self.edge,
                        to: source,
                        bytes,
                    });
                }
            }
            (Message::Request(request), Some(index)) => {
                self.with(index, now, &mut effects, |exchange, out| {
                    exchange.request(request, source, out)
                });
            }
            (Message::Response(response), Some(index)) => {
                self.with(index, now, &mut effects, |exchange, out| {
                    exchange.response(response, out)
                });
            }
            (Message::Response(_), None) => {}
        }
        effects
    }

    pub(crate) fn timer(&mut self, now: At, index: usize, timer: Timer) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.with(index, now, &mut effects, |exchange, out| {
            exchange.timer(timer, out)
        });
        effects
    }

    /// The callee puts the phone down.
    pub(crate) fn hang_up(&mut self, now: At, index: usize, leg: usize) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.with(index, now, &mut effects, |exchange, out| {
            exchange.hang_up(leg, out)
        });
        effects
    }

    /// A key as SIP INFO.
    pub(crate) fn key_info(&mut self, now: At, index: usize, leg: usize, key: char, ms: u64) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.with(index, now, &mut effects, |exchange, out| {
            exchange.key_info(leg, key, ms, out)
        });
        effects
    }

    fn begin(
        &mut self,
        now: At,
        source: SocketAddr,
        request: &Request,
        script: impl FnOnce(&Request) -> Option<CallScript>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(script) = script(request) else {
            let bytes = text::response(request, source, 404, Some("nobody"), &[], None);
            effects.push(Effect::Send {
                from: self.edge,
                to: source,
                bytes,
            });
            return;
        };
        let index = self.exchanges.len();
        let exchange = Exchange::new(
            request.clone(),
            source,
            script,
            (self.media, index),
            &mut self.dice,
        );
        self.exchanges.push(exchange);
        self.with(index, now, effects, Exchange::invited);
    }

    fn with(
        &mut self,
        index: usize,
        now: At,
        effects: &mut Vec<Effect>,
        act: impl FnOnce(&mut Exchange, &mut Out<'_>),
    ) {
        let Some(exchange) = self.exchanges.get_mut(index) else {
            return;
        };
        let mut out = Out {
            now,
            exchange: index,
            edge: self.edge,
            core: self.core,
            password: &self.password,
            dice: &mut self.dice,
            effects,
        };
        act(exchange, &mut out);
    }
}

fn branch_of(message: &Message) -> String {
    let via = message.headers().lines("Via").next().unwrap_or_default();
    text::param(via, "branch").unwrap_or_default().to_owned()
}

fn branch(request: &Request) -> String {
    text::param(request.headers.get("Via").unwrap_or_default(), "branch")
        .unwrap_or_default()
        .to_owned()
}

fn response_branch(response: &Response) -> String {
    text::param(response.headers.get("Via").unwrap_or_default(), "branch")
        .unwrap_or_default()
        .to_owned()
}

fn to_tag(request: &Request) -> Option<String> {
    text::param(request.headers.get("To").unwrap_or_default(), "tag").map(str::to_owned)
}

fn seq(request: &Request) -> u32 {
    let line = request.headers.get("CSeq").unwrap_or_default();
    line.split(' ')
        .next()
        .and_then(|n| n.parse().ok())
        .unwrap_or_default()
}

/// The branch of any message: the world's tap needs it too.
pub(crate) fn top_branch(message: &Message) -> String {
    branch_of(message)
}

pub(crate) fn tag_of(line: &str) -> Option<&str> {
    text::param(line, "tag")
}
