//! One callee's side of one call: the steps of its script, done on the real wire.
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::callee::{Callee, Dtmf, PressBy, Rejection, Rtp, Srtp, Step};
use super::carrier::Exchange;
use super::ear::{Ear, Heard};
use super::record::{CallState, Record};
use super::sound::{sine, speech, twelve_tones};
use crate::ivr::phrase;
use crate::media::command::{DtmfMode, Impairment, Keying, MediaCommand, MediaEvent, StreamConfig};
use crate::media::frame::Clip;
use crate::model::{Codec, Digit, Digits, Entropy, KeyTransport, SrtpPolicy, SrtpProfile};
use crate::net::media_engine::MediaLeg;
use crate::net::sip_net::{CallQueue, Flow as Way, Flows, Inbound, RouteGuard};
use crate::sdp::{self, LocalMedia, Sdes};
use crate::sip::message::{Message, Method, Request, Response};
use crate::sip::transaction::timer::TimerConfig;
use crate::sip::transport::SipTransport;
use crate::sip::uas::{Event, Input, Output, UasConfig, UasSession};

/// How often the callee listens to what has come.
const LISTEN_EVERY: Duration = Duration::from_millis(40);
/// A call that is refused is not begun again by a repetition for so long: 64 T1.
const TURNED_AWAY: Duration = Duration::from_secs(32);
/// A callee gives up its script after so long.
const CALL_MAX: Duration = Duration::from_secs(300);
/// Where nobody listens (RFC 863).
const DISCARD_PORT: u16 = 9;
/// Keys of the caller that wait for a step.
const DIGITS_MAX: usize = 64;
/// Phrases that name the key to press.
const NAMING: [&str; 4] = [
    phrase::CONFIRM,
    phrase::RANDOM,
    phrase::MATCH_CODE,
    phrase::SPEAK_CODE_INTRO,
];
/// From the last word of a greeting to its beep.
const BEFORE_BEEP_MS: u32 = 300;
/// A screening robot's question, and its word after the answer.
const QUESTION_MS: u32 = 6000;
const PATIENCE_MS: u32 = 3000;
/// A person takes a moment.
const REACTION: Duration = Duration::from_millis(350);

/// Whether the script goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    /// The call has ended: the rest of the script is void.
    Over,
}

/// What a step waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Until {
    At(Instant),
    /// The key is named.
    Told,
    ToldOfFraud,
    Pause,
    Heard(String),
    Canceled,
    DigitsSent,
    PlayDone,
    Code,
    /// These keys came, one after the other, since the last such step.
    Digits(Digits),
    /// Nothing of the script: the other side ends the call.
    TheEnd,
}

pub(super) async fn run(
    exchange: Arc<Exchange>,
    callee: Callee,
    number: String,
    record: Arc<Record>,
    invite: Inbound,
    _route: RouteGuard,
    mut messages: CallQueue,
) {
    record.message("in", &invite.message);
    if callee.steps.first() == Some(&Step::Silent) {
        return stay_silent(&exchange, &record, &mut messages).await;
    }
    let mut flows = Flows::default();
    flows.note(&invite);
    let Inbound {
        message: Message::Request(request),
        source,
        local,
        flow,
    } = invite
    else {
        return;
    };
    let leg = match exchange.media.open() {
        Ok(leg) => leg,
        Err(error) => {
            tracing::warn!(%error, "the simulator has no room for a call");
            record.state(CallState::Ended);
            exchange.records.touch();
            return turn_away(&exchange, &request, source, local, &flow, &mut messages).await;
        }
    };
    let offer = request.body_of_type("application/sdp").map(<[u8]>::to_vec);
    let mut out = Vec::new();
    let started = UasSession::start(
        Instant::now(),
        uas_config(local, flow.transport()),
        request,
        source,
        exchange.entropy(),
        &mut out,
    );
    let Ok(session) = started else {
        record.state(CallState::Ended);
        return exchange.records.touch();
    };
    let local_media = local_media(leg.local, &exchange, &callee);
    let entropy = exchange.entropy();
    let mut phone = Phone {
        exchange,
        record,
        number,
        session: Some(session),
        leg,
        messages,
        local,
        flow,
        flows,
        entropy,
        offer,
        local_media,
        rtp: callee.rtp,
        dtmf: dtmf_of(&callee),
        ear: None,
        seen: Seen::default(),
        began: Instant::now(),
    };
    phone.flush(out).await;
    for step in callee.steps {
        if phone.step(step).await == Flow::Over {
            break;
        }
    }
    phone.pump(Until::TheEnd).await;
    phone.hang_up_media().await;
}

/// The detector for tones costs a core's part: only where somebody listens for keys.
fn dtmf_of(callee: &Callee) -> DtmfMode {
    if callee.listens_for_digits() {
        DtmfMode::Auto
    } else {
        DtmfMode::Rfc4733
    }
}

fn uas_config(local: SocketAddr, transport: SipTransport) -> UasConfig {
    UasConfig {
        local,
        public: None,
        transport,
        contact_user: "callee".to_owned(),
        user_agent: concat!("Ringproof-Sim/", env!("CARGO_PKG_VERSION")).to_owned(),
        peers: Vec::new(),
        timers: TimerConfig::default(),
    }
}

fn codecs_of(callee: &Callee, of_the_box: &[Codec]) -> Vec<Codec> {
    let known = |codec: &&Codec| callee.codecs.is_empty() || callee.codecs.contains(codec);
    of_the_box.iter().filter(known).copied().collect()
}

fn local_media(local: SocketAddr, exchange: &Exchange, callee: &Callee) -> LocalMedia {
    LocalMedia {
        address: local.ip(),
        port: match callee.rtp {
            Rtp::BehindNat => DISCARD_PORT,
            Rtp::Good | Rtp::Silent | Rtp::Lossy => local.port(),
        },
        codecs: codecs_of(callee, &exchange.codecs),
        telephone_event: callee.dtmf == Dtmf::TelephoneEvent,
        ptime_ms: 20,
        session_id: u64::from(local.port()),
        version: 1,
        rtcp_mux: false,
        // Whoever offers keys gets keys, under either profile.
        srtp: match callee.srtp {
            Srtp::Taken => Sdes::new(SrtpPolicy::Prefer, SrtpProfile::Avp, &mut exchange.entropy()),
            Srtp::Refused => None,
        },
    }
}

/// 503, and the same to each repetition of the INVITE: none of them begins another call.
async fn turn_away(
    exchange: &Exchange,
    request: &Request,
    source: SocketAddr,
    local: SocketAddr,
    flow: &Way,
    messages: &mut CallQueue,
) {
    let refusal = Response::reply_to(request, 503, None).with_to_tag(&exchange.entropy().token());
    let octets = refusal.to_bytes();
    let limit = Instant::now() + TURNED_AWAY;
    let mut invited = true;
    loop {
        if invited && let Err(error) = exchange.sip.answer(flow, local, source, &octets).await {
            tracing::debug!(%error, "an answer was not sent");
        }
        let Ok(Some(next)) = tokio::time::timeout_at(limit.into(), messages.recv()).await else {
            return;
        };
        invited = matches!(&next.message, Message::Request(request) if request.method == Method::Invite);
    }
}

/// A carrier that takes the INVITE and never says a word.
async fn stay_silent(exchange: &Exchange, record: &Record, messages: &mut CallQueue) {
    let limit = Instant::now() + CALL_MAX;
    while let Ok(Some(inbound)) = tokio::time::timeout_at(limit.into(), messages.recv()).await {
        record.message("in", &inbound.message);
        exchange.records.touch();
    }
    record.state(CallState::Ended);
    exchange.records.touch();
}

/// What has happened and no step has used yet.
#[derive(Debug, Default)]
struct Seen {
    canceled: bool,
    over: bool,
    digits_sent: bool,
    play_done: bool,
    /// Clips heard when a step was last told something.
    told: usize,
    /// Keys of the caller that no step has used.
    digits: Vec<Digit>,
    answer_cancel: bool,
}

struct Phone {
    exchange: Arc<Exchange>,
    record: Arc<Record>,
    number: String,
    session: Option<UasSession>,
    leg: MediaLeg,
    messages: CallQueue,
    local: SocketAddr,
    /// That the INVITE came by: requests of ours go back there.
    flow: Way,
    /// Where the answers go.
    flows: Flows,
    entropy: Entropy,
    offer: Option<Vec<u8>>,
    local_media: LocalMedia,
    rtp: Rtp,
    dtmf: DtmfMode,
    ear: Option<Ear>,
    seen: Seen,
    began: Instant,
}

impl Phone {
    async fn step(&mut self, step: Step) -> Flow {
        match step {
            // The whole call is silent, or this is not the first step and means nothing.
            Step::Silent => Flow::On,
            Step::Ring => {
                self.provisional(180, None).await;
                Flow::On
            }
            Step::EarlyMedia { ms } => self.early_media(ms).await,
            Step::Wait { ms } => {
                self.pump(Until::At(Instant::now() + Duration::from_millis(ms.into())))
                    .await
            }
            Step::Reject(rejection) => {
                self.reject(rejection).await;
                Flow::Over
            }
            Step::Answer => {
                self.answer().await;
                Flow::On
            }
            Step::AnswerWhenCanceled => {
                self.seen.answer_cancel = true;
                self.pump(Until::Canceled).await
            }
            Step::WaitUntilTold => self.react(Until::Told).await,
            Step::WaitUntilToldOfFraud => self.react(Until::ToldOfFraud).await,
            Step::WaitForPause => self.react(Until::Pause).await,
            Step::WaitForClip { clip } => self.react(Until::Heard(clip)).await,
            Step::WaitForDigits { digits } => match Digits::parse(&digits) {
                Ok(digits) => self.pump(Until::Digits(digits)).await,
                Err(_) => Flow::On,
            },
            Step::Press { digits, by } => self.press(&digits, by).await,
            Step::PressHeardDigit => match self.heard_digit() {
                Some(digit) => self.press(&digit.to_string(), PressBy::Rfc4733).await,
                None => Flow::On,
            },
            Step::PressCode => self.press_code().await,
            Step::Greeting { ms, all_tones } => self.greeting(ms, all_tones).await,
            Step::Speak { ms } => self.play(speech(&self.exchange, ms)).await,
            Step::Ringback { ms } => self.play(sine("ringback", 440.0, ms)).await,
            Step::Screening => self.screening().await,
            Step::HangUp => {
                self.signal(Input::Bye { reason: None }).await;
                Flow::Over
            }
        }
    }

    async fn react(&mut self, until: Until) -> Flow {
        if self.pump(until).await == Flow::Over {
            return Flow::Over;
        }
        self.pump(Until::At(Instant::now() + REACTION)).await
    }

    /// Lets the call go on until `until`, or its end.
    async fn pump(&mut self, until: Until) -> Flow {
        let mut listen = tokio::time::interval(LISTEN_EVERY);
        loop {
            if self.seen.over
                && (until != Until::TheEnd || self.session.as_ref().is_none_or(UasSession::is_ended))
            {
                return Flow::Over;
            }
            if self.is_reached(&until) {
                return Flow::On;
            }
            if !self.seen.over && self.began.elapsed() > CALL_MAX {
                self.signal(Input::Bye { reason: None }).await;
                self.seen.over = true;
                continue;
            }
            let deadline = self
                .session
                .as_ref()
                .and_then(UasSession::poll_timeout)
                .map(|(at, _)| at);
            tokio::select! {
                biased;
                inbound = self.messages.recv() => match inbound {
                    Some(inbound) => self.receive(inbound).await,
                    None => return Flow::Over,
                },
                event = self.leg.events.recv() => match event {
                    Some(event) => self.media(event),
                    // The leg is closed: only signalling is left to wait for.
                    None => self.wait_signalling(deadline).await,
                },
                () = until_instant(deadline) => self.signal(Input::Timeout).await,
                _ = listen.tick() => {
                    if self.ear.is_some() && !self.seen.over {
                        let _ = self.leg.command(MediaCommand::TakeAudio);
                    }
                }
            }
        }
    }

    async fn wait_signalling(&mut self, deadline: Option<Instant>) {
        tokio::select! {
            inbound = self.messages.recv() => match inbound {
                Some(inbound) => self.receive(inbound).await,
                None => self.seen.over = true,
            },
            () = until_instant(deadline) => self.signal(Input::Timeout).await,
        }
    }

    fn is_reached(&mut self, until: &Until) -> bool {
        match until {
            Until::At(at) => Instant::now() >= *at,
            Until::Canceled => self.seen.canceled,
            Until::DigitsSent => std::mem::take(&mut self.seen.digits_sent),
            Until::PlayDone => std::mem::take(&mut self.seen.play_done),
            Until::Code => self.exchange.code(&self.number).is_some(),
            Until::Digits(wanted) => {
                let come = self.seen.digits.ends_with(wanted.as_slice());
                if come {
                    self.seen.digits.clear();
                    // Digits may have come as tones: those were no prompt.
                    if let Some(ear) = self.ear.as_mut() {
                        ear.expect_more();
                    }
                }
                come
            }
            Until::TheEnd => false,
            Until::Pause => self.ear.as_mut().is_some_and(|ear| {
                let over = ear.is_prompt_over();
                if over {
                    ear.expect_more();
                }
                over
            }),
            Until::Heard(clip) => self
                .ear
                .as_ref()
                .is_some_and(|ear| ear.finished().any(|h| h.clip == *clip)),
            Until::Told => self.is_told(&NAMING),
            Until::ToldOfFraud => self.is_told(&[phrase::FRAUD]),
        }
    }

    /// One of these sentences was said since the last time, or somebody else's prompt has ended.
    fn is_told(&mut self, phrases: &[&str]) -> bool {
        let Some(ear) = self.ear.as_mut() else {
            return false;
        };
        let finished = ear.finished().count();
        let is_new = |h: &&Heard| self.exchange.ends_phrase(&h.clip, phrases);
        if ear.finished().skip(self.seen.told).any(|h| is_new(&h)) {
            self.seen.told = finished;
            ear.expect_more();
            return true;
        }
        let over = ear.is_prompt_over();
        if over {
            ear.expect_more();
        }
        over
    }

    async fn receive(&mut self, inbound: Inbound) {
        self.record.message("in", &inbound.message);
        self.flows.note(&inbound);
        let is_cancel = matches!(&inbound.message, Message::Request(r) if r.method == Method::Cancel);
        if is_cancel && self.seen.answer_cancel {
            // The answer leaves first: 200 crossing CANCEL.
            self.seen.answer_cancel = false;
            self.answer().await;
        }
        self.signal(Input::Message {
            message: inbound.message,
            source: inbound.source,
        })
        .await;
        if is_cancel {
            self.seen.canceled = true;
        }
        self.exchange.records.touch();
    }

    fn media(&mut self, event: MediaEvent) {
        match event {
            MediaEvent::DigitsSent => self.seen.digits_sent = true,
            MediaEvent::PlayDone { .. } => self.seen.play_done = true,
            MediaEvent::Quality(quality) => self.record.quality(quality),
            MediaEvent::Audio(recording) => {
                if let Some(ear) = self.ear.as_mut() {
                    ear.listen(&self.exchange.memory, &recording.octets);
                    let heard = ear.finished().map(|h| h.clip.clone()).collect();
                    self.record.audio(recording.codec, &recording.octets, heard);
                }
            }
            MediaEvent::Press(press) => {
                self.record.key_received(press.digit, press.transport.as_str());
                if self.seen.digits.len() < DIGITS_MAX {
                    self.seen.digits.push(press.digit);
                }
                self.exchange.records.touch();
            }
            MediaEvent::FirstPacket
            | MediaEvent::Heard
            | MediaEvent::Screened(_)
            | MediaEvent::ClipDone { .. }
            | MediaEvent::PressEnded { .. }
            | MediaEvent::UnnegotiatedEvents { .. }
            | MediaEvent::SourceLearnt { .. }
            | MediaEvent::Tape(_)
            | MediaEvent::PlayStopped { .. }
            | MediaEvent::Refused(_)
            | MediaEvent::Unreachable => {}
        }
    }

    async fn signal(&mut self, input: Input) {
        let Some(session) = self.session.take() else {
            return;
        };
        let mut out = Vec::new();
        self.session = Some(session.handle(Instant::now(), input, &mut out));
        self.flush(out).await;
    }

    async fn flush(&mut self, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Send { to, bytes } => self.send(to, &bytes).await,
                Output::Event(event) => self.event(event),
            }
        }
    }

    async fn send(&mut self, to: SocketAddr, bytes: &[u8]) {
        if let Ok(message) = Message::parse(bytes) {
            self.record.message("out", &message);
        }
        let loss = self
            .exchange
            .chaos
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .sip_loss_per_mille;
        let (flow, local) = self
            .flows
            .of(bytes)
            .unwrap_or_else(|| (self.flow.clone(), self.local));
        // A stream loses nothing by itself.
        if flow.transport() == SipTransport::Udp && self.entropy.below(1000) < u64::from(loss) {
            return;
        }
        if let Err(error) = self.exchange.sip.answer(&flow, local, to, bytes).await {
            tracing::debug!(%error, "the callee could not send");
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Cancelled { .. } => {
                self.seen.canceled = true;
                self.seen.over = true;
            }
            Event::PeerBye { .. } | Event::Lost { .. } | Event::Ended => self.seen.over = true,
            Event::Acked { .. }
            | Event::Offer { .. }
            | Event::SdpAnswer { .. }
            | Event::OfferRejected { .. }
            | Event::Info { .. } => {}
        }
        if self.seen.over {
            self.record.state(CallState::Ended);
        }
        self.exchange.records.touch();
    }

    async fn provisional(&mut self, status: u16, sdp: Option<Vec<u8>>) {
        self.signal(Input::Provisional {
            status,
            reason: None,
            sdp,
            reliable: false,
            headers: Vec::new(),
        })
        .await;
        self.exchange.records.touch();
    }

    async fn reject(&mut self, rejection: Rejection) {
        let headers = rejection.headers.into_iter().collect();
        self.signal(Input::Reject {
            status: rejection.status,
            reason: rejection.phrase,
            headers,
        })
        .await;
        self.seen.over = true;
        self.record.state(CallState::Ended);
        self.exchange.records.touch();
    }

    /// Makes the SDP answer and starts the media that it agrees on.
    fn agree(&mut self) -> Option<Vec<u8>> {
        let offer = self.offer.as_deref()?;
        match sdp::answer(&self.local_media, offer) {
            Ok((body, agreed)) => {
                let config = StreamConfig {
                    remote: agreed.remote,
                    learn: false,
                    remote_rtcp: Some(agreed.remote_rtcp),
                    codec: agreed.codec,
                    payload_type: agreed.payload_type,
                    telephone_event: agreed.telephone_event,
                    ptime_ms: agreed.ptime_ms,
                    send: agreed.direction.sends() && self.rtp != Rtp::Silent,
                    receive: agreed.direction.receives(),
                    dtmf: self.dtmf,
                    collect_audio: true,
                    srtp: agreed.secured.map(|secured| Box::new(secured.keys)),
                    tape: None,
                };
                self.ear = Some(Ear::new(config.codec));
                let _ = self.leg.command(MediaCommand::Start(config));
                self.impair();
                Some(body)
            }
            Err(error) => {
                tracing::warn!(%error, "the callee cannot use the offer");
                None
            }
        }
    }

    fn impair(&self) {
        let chaos = self
            .exchange
            .chaos
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .rtp_loss_per_mille;
        let lossy = self.rtp == Rtp::Lossy;
        if lossy || chaos > 0 {
            let impairment = Impairment {
                drop_per_mille: chaos + if lossy { 100 } else { 0 },
                duplicate_per_mille: 0,
                reorder_per_mille: if lossy { 100 } else { 0 },
            };
            let _ = self.leg.command(MediaCommand::Impair(impairment));
        }
    }

    async fn answer(&mut self) {
        let sdp = self.agree();
        if sdp.is_none() && self.offer.is_some() {
            let rejection = Rejection {
                status: 488,
                phrase: None,
                headers: BTreeMap::new(),
            };
            return self.reject(rejection).await;
        }
        self.signal(Input::Answer {
            sdp,
            headers: Vec::new(),
        })
        .await;
        self.record.state(CallState::Answered);
        self.exchange.records.touch();
    }

    async fn early_media(&mut self, ms: u32) -> Flow {
        let sdp = self.agree();
        self.provisional(183, sdp).await;
        self.play(sine("announcement", 440.0, ms)).await
    }

    async fn play(&mut self, clip: Clip) -> Flow {
        self.seen.play_done = false;
        let _ = self.leg.command(MediaCommand::Play {
            id: 0,
            clips: vec![Arc::new(clip)],
            private: false,
        });
        self.pump(Until::PlayDone).await
    }

    async fn press(&mut self, digits: &str, by: PressBy) -> Flow {
        let Ok(parsed) = Digits::parse(digits) else {
            return Flow::On;
        };
        let (word, transport) = match by {
            PressBy::Info => return self.press_by_info(parsed).await,
            PressBy::Inband => ("inband", KeyTransport::Inband),
            PressBy::Rfc4733 | PressBy::Rfc4733NoMarker => ("rfc4733", KeyTransport::Rfc4733),
        };
        self.record.keys(digits, word);
        self.seen.digits_sent = false;
        let _ = self.leg.command(MediaCommand::SendDigits {
            digits: parsed,
            keying: Keying {
                transport: Some(transport),
                tone_ms: 160,
                gap_ms: 100,
                marker: by != PressBy::Rfc4733NoMarker,
            },
        });
        self.pump(Until::DigitsSent).await
    }

    async fn press_by_info(&mut self, digits: Digits) -> Flow {
        self.record.keys(&digits.reveal(), "info");
        for digit in digits.as_slice() {
            let body = format!("Signal={digit}\r\nDuration=160\r\n").into_bytes();
            self.signal(Input::Info {
                content_type: "application/dtmf-relay".to_owned(),
                body,
            })
            .await;
            if self
                .pump(Until::At(Instant::now() + Duration::from_millis(260)))
                .await
                == Flow::Over
            {
                return Flow::Over;
            }
        }
        Flow::On
    }

    async fn press_code(&mut self) -> Flow {
        if self.pump(Until::Code).await == Flow::Over {
            return Flow::Over;
        }
        match self.exchange.code(&self.number) {
            Some(code) => self.press(&format!("{code}#"), PressBy::Rfc4733).await,
            None => Flow::On,
        }
    }

    /// The digit of the `digit-…` clip that was heard last.
    fn heard_digit(&self) -> Option<Digit> {
        let heard = self
            .ear
            .as_ref()?
            .finished()
            .filter_map(|h| h.clip.strip_prefix("digit-"));
        heard
            .last()
            .and_then(|name| name.chars().next())
            .and_then(Digit::from_char)
    }

    /// The beep comes a moment after the last word; then the machine records and says nothing more.
    async fn greeting(&mut self, ms: u32, all_tones: bool) -> Flow {
        let clip = if all_tones {
            twelve_tones(ms)
        } else {
            speech(&self.exchange, ms)
        };
        if self.play(clip).await == Flow::Over || self.play(Clip::silence(BEFORE_BEEP_MS)).await == Flow::Over
        {
            return Flow::Over;
        }
        self.play(sine("beep", 1000.0, 400)).await
    }

    /// Asks who calls and why, waits for an answer, and asks for patience while nobody comes.
    async fn screening(&mut self) -> Flow {
        if self.play(speech(&self.exchange, QUESTION_MS)).await == Flow::Over
            || self.react(Until::Pause).await == Flow::Over
        {
            return Flow::Over;
        }
        self.play(speech(&self.exchange, PATIENCE_MS)).await
    }

    async fn hang_up_media(&mut self) {
        let _ = self.leg.command(MediaCommand::Close);
        let limit = Instant::now() + Duration::from_millis(500);
        while let Ok(Some(event)) = tokio::time::timeout_at(limit.into(), self.leg.events.recv()).await {
            self.media(event);
        }
        self.record.state(CallState::Ended);
        self.exchange.records.touch();
    }
}

async fn until_instant(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
