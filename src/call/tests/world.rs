//! The world around one call.
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::super::{Call, CallSpec, Input, Output};
use super::address;
use super::seen::Seen;
use crate::media::command::{MediaCommand, MediaEvent};
use crate::media::frame::Clip;
use crate::media::press::Press;
use crate::model::{Digit, Entropy, KeyTransport, QualityReport, Reason};
use crate::sip::message::{Message, Method, Request, Response};
use crate::sip::uas::{self, UasConfig, UasSession};

const LINK_MS: u64 = 10;
pub(super) const DEAD: &str = "192.0.2.66:5060";

pub(super) const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\n\
    m=audio 30000 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n";

/// What the callee, its network, or our own shell does.
#[derive(Debug, Clone)]
pub(super) enum Act {
    Provisional(u16, Option<String>),
    Answer(Option<String>),
    Reject(u16, Vec<(&'static str, &'static str)>),
    Bye,
    Offer(String),
    Info(&'static str, &'static str),
    /// Down for 100 ms.
    Press(char, KeyTransport),
    Media(MediaEvent),
    Cancel(Reason),
    TransportError,
    Committed,
    /// The dead target answers the INVITE after all.
    Dead(u16),
}

enum Due {
    Act(Act),
    ToCall(Message),
    ToPeer(Message),
    Event(MediaEvent),
    Clip { id: u32, index: usize, last: bool },
}

pub(super) struct World {
    pub(super) call: Call,
    pub(super) start: Instant,
    pub(super) now: Instant,
    peer: Option<UasSession>,
    due: Vec<(Instant, u64, Due)>,
    order: u64,
    pub(super) log: Vec<(u64, Seen)>,
    play: Option<u32>,
    /// After how long an outcome is durable; `None`: never.
    pub(super) commit_ms: Option<u64>,
    /// A target from which nothing comes.
    dead: SocketAddr,
    dead_invite: Option<Request>,
    /// Whether the peer answers anything at all.
    pub(super) peer_hears: bool,
    pub(super) loss_percent: u64,
    /// From the peer to the call.
    pub(super) back_ms: u64,
    /// How long the leg's events wait in their queue.
    pub(super) queue_ms: u64,
    pub(super) leg_reports: bool,
    /// What the last report tells beside the packets that were sent.
    pub(super) quality: QualityReport,
    /// CSeq of the INVITE whose offer the peer refused.
    rejected_seq: Option<u32>,
    /// The last session description that the call sent in a request.
    pub(super) last_offer: Option<String>,
    /// The peer's 2xx to our INVITE.
    answer: Option<Response>,
    /// The last session description that the call sent in a response.
    pub(super) last_sdp: Option<String>,
    entropy: Entropy,
}

impl World {
    pub(super) fn new(spec: CallSpec) -> Self {
        Self::seeded(spec, 1)
    }

    #[expect(clippy::disallowed_methods, reason = "virtual time has to begin somewhere")]
    pub(super) fn seeded(spec: CallSpec, seed: u64) -> Self {
        let start = Instant::now();
        let mut entropy = Entropy::from_number(seed);
        let call = Call::new(start, spec, entropy.fork());
        Self {
            call,
            start,
            now: start,
            peer: None,
            due: Vec::new(),
            order: 0,
            log: Vec::new(),
            play: None,
            commit_ms: Some(5),
            dead: address(DEAD),
            dead_invite: None,
            peer_hears: true,
            loss_percent: 0,
            back_ms: LINK_MS,
            queue_ms: 1,
            leg_reports: true,
            quality: QualityReport::default(),
            rejected_seq: None,
            last_offer: None,
            answer: None,
            last_sdp: None,
            entropy,
        }
    }

    /// Rings after 100 ms, is answered after a second, and sends audio.
    pub(super) fn answered(spec: CallSpec) -> Self {
        let mut world = Self::new(spec);
        world.at(100, Act::Provisional(180, None));
        world.at(1000, Act::Answer(Some(SDP.to_owned())));
        world.at(1050, Act::Media(MediaEvent::Heard));
        world.run_to(1010 + LINK_MS);
        world
    }

    /// Answered, with the naming and the fraud sentence heard.
    pub(super) fn named(spec: CallSpec) -> Self {
        let mut world = Self::answered(spec);
        world.run_to(1010 + 700 + 2100);
        world
    }

    pub(super) fn at(&mut self, ms: u64, act: Act) {
        self.push(self.start + Duration::from_millis(ms), Due::Act(act));
    }

    pub(super) fn does(&mut self, act: Act) {
        self.push(self.now, Due::Act(act));
        self.run_for(0);
    }

    pub(super) fn press(&mut self, symbol: char) {
        self.does(Act::Press(symbol, KeyTransport::Rfc4733));
    }

    pub(super) fn run_for(&mut self, ms: u64) {
        self.run_until(self.now + Duration::from_millis(ms));
    }

    pub(super) fn run_to(&mut self, ms: u64) {
        self.run_until(self.start + Duration::from_millis(ms));
    }

    /// Until the call's last timer has run out.
    pub(super) fn run_out(&mut self) {
        self.run_for(400_000);
        assert!(self.call.is_over(), "{:#?}", self.log);
        assert_eq!(self.call.poll_timeout(), None);
        self.check();
    }

    fn push(&mut self, at: Instant, due: Due) {
        self.order += 1;
        self.due.push((at, self.order, due));
    }

    fn run_until(&mut self, end: Instant) {
        self.drain();
        for _ in 0..200_000 {
            let due = self.due.iter().map(|(at, order, _)| (*at, *order)).min();
            let call = self.call.poll_timeout().map(|(at, _)| at);
            let peer = self
                .peer
                .as_ref()
                .and_then(UasSession::poll_timeout)
                .map(|(at, _)| at);
            let next = [due.map(|(at, _)| at), call, peer].into_iter().flatten().min();
            let Some(next) = next.filter(|at| *at <= end) else {
                self.now = self.now.max(end);
                return;
            };
            self.now = self.now.max(next);
            if let Some((_, order)) = due.filter(|(at, _)| *at <= next) {
                self.happen(order);
            } else if call.is_some_and(|at| at <= next) {
                self.call.handle_input(self.now, Input::Timeout);
            } else {
                self.peer(uas::Input::Timeout);
            }
            self.drain();
        }
        panic!(
            "a deadline does not move: {:?} {:#?}",
            self.call.poll_timeout(),
            self.log
        );
    }

    fn happen(&mut self, order: u64) {
        let index = self.due.iter().position(|(_, o, _)| *o == order).unwrap();
        let (_, _, due) = self.due.swap_remove(index);
        match due {
            Due::Act(act) => self.act(act),
            Due::ToCall(message) => {
                let source = address("192.0.2.10:5060");
                self.call.handle_input(self.now, Input::Sip { message, source });
            }
            Due::ToPeer(message) => self.arrive(message),
            Due::Event(event) => self.call.handle_input(self.now, Input::Media(event)),
            Due::Clip { id, index, last } if self.play == Some(id) => {
                self.leg(MediaEvent::ClipDone { id, index });
                if last {
                    self.play = None;
                    self.leg(MediaEvent::PlayDone { id });
                }
            }
            Due::Clip { .. } => {}
        }
    }

    fn act(&mut self, act: Act) {
        let body = |sdp: Option<String>| sdp.map(String::into_bytes);
        match act {
            Act::Provisional(status, sdp) => self.peer(uas::Input::Provisional {
                status,
                reason: None,
                sdp: body(sdp),
                reliable: false,
                headers: Vec::new(),
            }),
            Act::Answer(sdp) => self.peer(uas::Input::Answer {
                sdp: body(sdp),
                headers: Vec::new(),
            }),
            Act::Reject(status, headers) => self.peer(uas::Input::Reject {
                status,
                reason: None,
                headers: headers
                    .iter()
                    .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                    .collect(),
            }),
            Act::Bye => self.peer(uas::Input::Bye { reason: None }),
            Act::Offer(sdp) => self.peer(uas::Input::Offer {
                sdp: sdp.into_bytes(),
            }),
            Act::Info(content_type, body) => self.peer(uas::Input::Info {
                content_type: content_type.to_owned(),
                body: body.as_bytes().to_vec(),
            }),
            Act::Press(symbol, transport) => self.key(symbol, transport),
            Act::Media(event) => self.leg(event),
            Act::Cancel(reason) => self.call.handle_input(self.now, Input::Cancel(reason)),
            Act::TransportError => self.call.handle_input(self.now, Input::TransportError),
            Act::Committed => self.call.handle_input(self.now, Input::Committed),
            Act::Dead(status) => {
                let invite = self.dead_invite.as_ref().unwrap();
                let mut response = Response::reply_to(invite, status, None).with_to_tag("dead");
                response.headers.push("Contact", "<sip:late@192.0.2.66>");
                let message = Message::parse(&response.to_bytes()).unwrap();
                let source = self.dead;
                self.call.handle_input(self.now, Input::Sip { message, source });
            }
        }
    }

    fn key(&mut self, symbol: char, transport: KeyTransport) {
        let digit = Digit::from_char(symbol).unwrap();
        self.leg(MediaEvent::Press(Press {
            digit,
            transport,
            at: self.now,
            started_at: self.now,
            duration_ms: None,
            mismatch: false,
        }));
        let ended = MediaEvent::PressEnded {
            digit,
            transport,
            duration_ms: 100,
        };
        self.push(
            self.now + Duration::from_millis(100 + self.queue_ms),
            Due::Event(ended),
        );
    }

    /// An event of the leg goes through its queue.
    fn leg(&mut self, event: MediaEvent) {
        self.push(self.now + Duration::from_millis(self.queue_ms), Due::Event(event));
    }

    fn arrive(&mut self, message: Message) {
        if !self.peer_hears {
            return;
        }
        match (&self.peer, message) {
            (None, Message::Request(request)) if request.method == Method::Invite => {
                let config = UasConfig {
                    local: address("192.0.2.10:5060"),
                    public: None,
                    transport: crate::sip::invite::Transport::Udp,
                    contact_user: "callee".to_owned(),
                    user_agent: "Callee".to_owned(),
                    peers: Vec::new(),
                    timers: crate::sip::invite::TimerConfig::default(),
                };
                let mut out = Vec::new();
                let source = address("192.0.2.1:5060");
                let peer =
                    UasSession::start(self.now, config, request, source, self.entropy.fork(), &mut out)
                        .unwrap();
                self.peer = Some(peer);
                self.peer_outputs(out);
            }
            (None, _) => {}
            // Out of every dialog, with a new CSeq: the call again, after its first offer was refused.
            (Some(_), Message::Request(request))
                if request.method == Method::Invite && self.refused_seq(&request) =>
            {
                self.peer = None;
                self.rejected_seq = None;
                self.arrive(Message::Request(request));
            }
            (Some(_), message) => self.peer(uas::Input::Message {
                message,
                source: address("192.0.2.1:5060"),
            }),
        }
    }

    fn refused_seq(&self, request: &Request) -> bool {
        let seq = request.headers.cseq().map(|cseq| cseq.seq).ok();
        self.rejected_seq.is_some() && seq > self.rejected_seq
    }

    fn peer(&mut self, input: uas::Input) {
        let Some(peer) = self.peer.take() else { return };
        let mut out = Vec::new();
        self.peer = Some(peer.handle(self.now, input, &mut out));
        self.peer_outputs(out);
    }

    fn peer_outputs(&mut self, out: Vec<uas::Output>) {
        for output in out {
            match output {
                uas::Output::Send { bytes, .. } => {
                    let message = Message::parse(&bytes).unwrap();
                    if let Message::Response(response) = &message
                        && matches!(response.status, 488 | 606)
                    {
                        self.rejected_seq = response.headers.cseq().map(|cseq| cseq.seq).ok();
                    }
                    if let Message::Response(response) = &message
                        && response.is_success()
                        && self.answer.is_none()
                    {
                        self.answer = Some(response.clone());
                    }
                    if !self.is_lost() {
                        self.push(
                            self.now + Duration::from_millis(self.back_ms),
                            Due::ToCall(message),
                        );
                    }
                }
                uas::Output::Event(event) => self.see(Seen::Peer(event)),
            }
        }
    }

    /// A request in the peer's dialog that its machine would not make.
    pub(super) fn raw(&mut self, method: &str, seq: u32, sdp: &str) {
        let answer = self.answer.clone().unwrap();
        let field = |name: &str| answer.headers.get(name).unwrap().to_owned();
        let content = if sdp.is_empty() {
            String::new()
        } else {
            "Content-Type: application/sdp\r\n".to_owned()
        };
        let text = format!(
            "{method} sip:ringproof@192.0.2.1 SIP/2.0\r\n\
             Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK-raw-{method}-{seq}\r\n\
             From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {seq} {method}\r\nMax-Forwards: 70\r\n\
             Contact: <sip:callee@192.0.2.10>\r\n{content}Content-Length: {}\r\n\r\n{sdp}",
            field("To"),
            field("From"),
            field("Call-ID"),
            sdp.len(),
        );
        let message = Message::parse(text.as_bytes()).unwrap();
        self.push(self.now, Due::ToCall(message));
    }

    fn is_lost(&mut self) -> bool {
        self.loss_percent > 0 && self.entropy.below(100) < self.loss_percent
    }

    fn ms(&self) -> u64 {
        u64::try_from(self.now.duration_since(self.start).as_millis()).unwrap()
    }

    fn see(&mut self, seen: Seen) {
        self.log.push((self.ms(), seen));
    }

    fn drain(&mut self) {
        while let Some(output) = self.call.poll_output() {
            match output {
                Output::SendSip { to, bytes } => self.send(to, &bytes),
                Output::Media(command) => self.command(command),
                Output::Stage(stage) => self.see(Seen::Stage(stage)),
                Output::Decided(outcome, report) => {
                    self.see(Seen::Decided(outcome, report));
                    if let Some(ms) = self.commit_ms {
                        self.push(self.now + Duration::from_millis(ms), Due::Act(Act::Committed));
                    }
                }
                Output::Finished {
                    outcome,
                    report,
                    next_trunk,
                } => self.see(Seen::Finished(outcome, report, next_trunk)),
                Output::NextTarget { failed, failure } => self.see(Seen::NextTarget(failed, failure)),
                Output::PossibleDoubleRing => self.see(Seen::DoubleRing),
            }
        }
    }

    fn send(&mut self, to: SocketAddr, bytes: &[u8]) {
        let message = Message::parse(bytes).unwrap();
        if to == self.dead {
            let Message::Request(request) = &message else {
                panic!("a response to one who asked nothing")
            };
            self.see(Seen::SentToDead(request.method.to_string()));
            if request.method == Method::Invite {
                self.dead_invite = Some(request.clone());
            }
            return;
        }
        assert_eq!(to, address("192.0.2.10:5060"));
        let name = match &message {
            Message::Request(request) => {
                if !request.body.is_empty() {
                    self.last_offer = String::from_utf8(request.body.clone()).ok();
                }
                request.method.to_string()
            }
            Message::Response(response) => {
                if !response.body.is_empty() {
                    self.last_sdp = String::from_utf8(response.body.clone()).ok();
                }
                format!("{} {}", response.status, response.headers.cseq().unwrap().method)
            }
        };
        self.see(Seen::Sent(name));
        if !self.is_lost() {
            self.push(self.now + Duration::from_millis(LINK_MS), Due::ToPeer(message));
        }
    }

    fn command(&mut self, command: MediaCommand) {
        match command {
            MediaCommand::Start(config) => self.see(Seen::Start(config)),
            MediaCommand::Update(config) => self.see(Seen::Update(config)),
            MediaCommand::Answered => self.see(Seen::Answered),
            MediaCommand::Screen => self.see(Seen::Screen),
            MediaCommand::Play { id, clips, .. } => self.plays(id, &clips),
            MediaCommand::Stop => {
                self.play = None;
                self.see(Seen::Stop);
            }
            MediaCommand::SendDigits { digits, .. } => {
                self.see(Seen::Digits(digits.reveal()));
                let ms = 200 * digits.len() as u64;
                self.push(
                    self.now + Duration::from_millis(ms),
                    Due::Event(MediaEvent::DigitsSent),
                );
            }
            MediaCommand::Info(key) => self.leg(MediaEvent::Press(Press {
                digit: key.digit,
                transport: KeyTransport::Info,
                at: self.now,
                started_at: self.now,
                duration_ms: key.duration_ms,
                mismatch: false,
            })),
            MediaCommand::Close => {
                self.play = None;
                self.see(Seen::Close);
                if self.leg_reports {
                    let quality = QualityReport {
                        packets_sent: 100,
                        ..self.quality
                    };
                    self.leg(MediaEvent::Quality(quality));
                }
            }
            MediaCommand::ReportQuality | MediaCommand::TakeAudio | MediaCommand::Impair(_) => {
                self.see(Seen::OtherMedia);
            }
        }
    }

    fn plays(&mut self, id: u32, clips: &[std::sync::Arc<Clip>]) {
        self.play = Some(id);
        let mut at = self.now;
        for (index, clip) in clips.iter().enumerate() {
            at += Duration::from_millis(clip.duration_ms.into());
            let last = index + 1 == clips.len();
            self.push(at, Due::Clip { id, index, last });
        }
        let total = clips.iter().map(|clip| clip.duration_ms.to_string()).collect();
        self.see(Seen::Play(total));
    }
}
