//! What lives as long as the call, whatever its phase: the session, the leg, the report, what goes out.
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::io::Output;
use super::keys::LastPress;
use super::leg::{Leg, Reports};
use super::lingering::Lingering;
use super::outcome::{Alerting, InboundAudio, NextTrunk, Ruling};
use super::played::Played;
use super::spec::{CallSpec, CallTimings};
use crate::ivr::{Line, Verdict, phrase};
use crate::media::command::{MediaCommand, MediaEvent, Sign};
use crate::media::frame::Clip;
use crate::media::press::parse_info;
use crate::media::voice::{MissingClip, Voice};
use crate::model::{
    AttemptReport, Entropy, HungUpBy, Masked, Outcome, Reason, RtpSource, ScreeningMode, SrtpPolicy,
    SrtpProfile, Stage,
};
use crate::sdp::{LocalMedia, Sdes};
use crate::sip::invite::{self, InviteSession};

/// Why our BYE, and our CANCEL of a phone that nobody answers, are sent (RFC 3326).
pub(super) const REASON_NORMAL: &str = "Q.850;cause=16;text=\"Normal call clearing\"";
pub(super) const REASON_NO_ANSWER: &str = "Q.850;cause=19;text=\"No answer\"";
pub(super) const REASON_NO_MEDIA: &str = "SIP;cause=488;text=\"Not acceptable here\"";

/// A peer that hangs up closes its port before its BYE is here, so what it refused this shortly before the end tells
/// nothing.
const HANGING_UP: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Desk {
    out: VecDeque<Output>,
    /// `None` once nothing is left of it but what the network forgets.
    session: Option<InviteSession>,
    pub(super) events: VecDeque<invite::Event>,
    /// What leaves only when the events before it have been dealt with.
    held: Vec<Output>,
    pub(super) leg: Leg,
    pub(super) timings: CallTimings,
    pub(super) times: Times,
    pub(super) report: AttemptReport,
    pub(super) audio: InboundAudio,
    pub(super) last_press: Option<LastPress>,
    played: Played,
    screening: ScreeningMode,
    /// What the callee seemed to be when it was last told.
    seems: Sign,
    voice: Arc<Voice>,
    /// Of every phrase: brand, amount, payee.
    vars: Masked<Box<[(String, String)]>>,
    stage: Stage,
    decision: Option<Decision>,
}

#[derive(Debug)]
pub(super) struct Times {
    pub(super) invited_at: Instant,
    /// When the present target was asked.
    pub(super) tried_at: Instant,
    pub(super) alerted_at: Option<Instant>,
    pub(super) answered_at: Option<Instant>,
    /// When the answered peer's host first refused our RTP.
    refused_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Decision {
    outcome: Outcome,
    next_trunk: NextTrunk,
}

impl Desk {
    /// Writes the offer and sends the INVITE.
    pub(super) fn start(now: Instant, spec: CallSpec, mut entropy: Entropy) -> Self {
        let vars = spec.vars().into_iter().collect();
        let sdes = Sdes::new(spec.srtp, spec.srtp_profile, &mut entropy);
        // In RTP/AVP a peer without SRTP ignores the keys; RTP/SAVP it refuses.
        let falls_back = spec.srtp == SrtpPolicy::Prefer && spec.srtp_profile == SrtpProfile::Savp;
        let local = LocalMedia {
            address: spec.local_media.ip(),
            port: spec.local_media.port(),
            codecs: spec.codecs,
            telephone_event: spec.dtmf != crate::media::press::DtmfMode::Inband,
            ptime_ms: crate::sdp::PTIME_MS_DEFAULT,
            // RFC 8866 §5.2 allows 64 bits; some peers keep 32.
            session_id: u64::from(entropy.u32() >> 1),
            version: 1,
            rtcp_mux: spec.rtcp_mux,
            srtp: sdes,
        };
        let mut desk = Self {
            out: VecDeque::new(),
            session: None,
            events: VecDeque::new(),
            held: Vec::new(),
            leg: Leg::new(local, spec.dtmf, spec.learn, spec.tape),
            timings: spec.timings,
            times: Times {
                invited_at: now,
                tried_at: now,
                alerted_at: None,
                answered_at: None,
                refused_at: None,
            },
            report: AttemptReport::default(),
            audio: InboundAudio::None,
            played: Played::default(),
            last_press: None,
            screening: spec.script.screening,
            seems: Sign::Person,
            voice: spec.voice,
            vars: Masked::new(vars),
            stage: Stage::Dialing,
            decision: None,
        };
        let offer = desk.leg.offer();
        let mut out = Vec::new();
        let mut session = InviteSession::start(now, spec.invite, offer, entropy, &mut out);
        if falls_back {
            session = session.with_fallback(desk.leg.plain_offer());
        }
        desk.take(session, out);
        desk
    }

    /// Room for outputs is given back with the last one: they are large, and mostly none waits.
    pub(super) fn pop_output(&mut self) -> Option<Output> {
        let output = self.out.pop_front();
        if self.out.is_empty() {
            self.out = VecDeque::new();
        }
        output
    }

    /// What is left of a settled call. Its outputs have been taken.
    pub(super) fn leave(&mut self) -> Lingering {
        Lingering::new(self.session.take(), self.next_trunk())
    }

    /// Gives the session an input; its events wait in [`Desk::events`].
    pub(super) fn signal(&mut self, now: Instant, input: invite::Input) {
        let Some(session) = self.session.take() else {
            return;
        };
        let mut out = Vec::new();
        let session = session.handle(now, input, &mut out);
        self.take(session, out);
    }

    fn take(&mut self, session: InviteSession, out: Vec<invite::Output>) {
        // A session that has lost its dialog says BYE by itself; no RTP follows a BYE, so the leg is closed first.
        let is_lost = |output: &invite::Output| {
            matches!(output, invite::Output::Event(invite::Event::PeerBye { cause })
                if cause.hung_up_by == Some(HungUpBy::Network))
        };
        let lost = out.iter().any(is_lost);
        // Who sends must know of the next target before its INVITE; the trunk's health, at once.
        for output in &out {
            if let invite::Output::Event(invite::Event::NextTarget { failed, failure }) = *output {
                self.out.push_back(Output::NextTarget { failed, failure });
            }
        }
        for output in out {
            match output {
                invite::Output::Send { to, bytes } if lost => self.held.push(Output::SendSip { to, bytes }),
                invite::Output::Send { to, bytes } => self.out.push_back(Output::SendSip { to, bytes }),
                invite::Output::Event(event) => self.events.push_back(event),
            }
        }
        self.session = (!session.is_ended()).then_some(session);
    }

    /// The session's events have been dealt with.
    pub(super) fn release(&mut self) {
        self.out.extend(self.held.drain(..));
    }

    pub(super) fn session_timeout(&self) -> Option<(Instant, &'static str)> {
        self.session.as_ref().and_then(InviteSession::poll_timeout)
    }

    pub(super) const fn has_session(&self) -> bool {
        self.session.is_some()
    }

    pub(super) fn has_open_session(&self) -> bool {
        self.session
            .as_ref()
            .is_some_and(|session| !session.only_absorbs())
    }

    /// Runs `give` on the leg and sends on what it commands.
    pub(super) fn with_leg<T>(&mut self, give: impl FnOnce(&mut Leg, &mut Vec<MediaCommand>) -> T) -> T {
        let mut commands = Vec::new();
        let result = give(&mut self.leg, &mut commands);
        self.out.extend(commands.into_iter().map(Output::Media));
        result
    }

    /// Stages go forward only: a 180 after early media does not take it back.
    pub(super) fn reach(&mut self, stage: Stage) {
        if stage > self.stage {
            self.stage = stage;
            self.out.push_back(Output::Stage(stage));
        }
    }

    pub(super) const fn alerting(&self) -> Alerting {
        match self.times.alerted_at {
            Some(_) => Alerting::Heard,
            None => Alerting::Silent,
        }
    }

    /// The first 18x, whatever it says.
    pub(super) fn alerted(&mut self, now: Instant) {
        if self.times.alerted_at.is_none() {
            self.times.alerted_at = Some(now);
            self.report.pdd_ms = Some(ms(now.saturating_duration_since(self.times.invited_at)));
        }
    }

    /// A final response came.
    pub(super) fn rang(&mut self, now: Instant) {
        if let Some(since) = self.times.alerted_at {
            self.report
                .ring_ms
                .get_or_insert(ms(now.saturating_duration_since(since)));
        }
    }

    pub(super) fn talked(&mut self, now: Instant) {
        if self.report.talk_ms.is_some() {
            return;
        }
        let since = |at: Instant| now.saturating_duration_since(at);
        self.report.talk_ms = self.times.answered_at.map(|at| ms(since(at)));
        if self.times.refused_at.is_some_and(|at| since(at) >= HANGING_UP) {
            self.report.flag(super::outcome::FLAG_RTP_REFUSED);
        }
    }

    /// The answered peer's host takes no RTP where SDP said.
    pub(super) fn rtp_refused(&mut self, now: Instant) {
        self.times.refused_at.get_or_insert(now);
    }

    pub(super) const fn is_decided(&self) -> bool {
        self.decision.is_some()
    }

    pub(super) fn next_trunk(&self) -> NextTrunk {
        self.decision
            .map_or(NextTrunk::No, |decision| decision.next_trunk)
    }

    /// The one verdict of the call; a later one is not heard.
    pub(super) fn decide(&mut self, ruling: Ruling) {
        if self.decision.is_some() {
            return;
        }
        if let Some(flag) = ruling.flag {
            self.report.flag(flag);
        }
        let outcome = Outcome::new(ruling.reason);
        self.decision = Some(Decision {
            outcome,
            next_trunk: ruling.next_trunk,
        });
        self.out
            .push_back(Output::Decided(outcome, Box::new(self.report.clone())));
    }

    pub(super) fn decide_reason(&mut self, reason: Reason) {
        self.decide(Ruling::new(reason, NextTrunk::No));
    }

    /// What the menu found, with the key that decided.
    pub(super) fn decide_verdict(&mut self, verdict: &Verdict) {
        if let Some(key) = verdict.key {
            self.report.pressed(key.digit, key.transport);
            self.report.key_delay_ms = Some(key.delay_ms);
            self.report.key_duration_ms = self
                .last_press
                .and_then(|press| press.duration_ms_of(key.digit, key.transport));
        }
        self.decide_talk(self.refined(verdict.reason));
    }

    /// A call without a key, by what was heard instead. Nothing is ended by it that was not over.
    fn refined(&self, reason: Reason) -> Reason {
        if reason != Reason::NoInput || self.screening == ScreeningMode::Off {
            return reason;
        }
        match self.seems {
            Sign::LongGreeting => Reason::Voicemail,
            Sign::Robot => Reason::CallScreened,
            sign => certain(sign).unwrap_or(reason),
        }
    }

    /// Listens for more than keys from now on, where the profile wants it.
    pub(super) fn screen(&mut self) {
        if self.screening != ScreeningMode::Off {
            self.seem(Sign::Person);
            self.with_leg(|leg, out| leg.screen(out));
        }
    }

    fn seem(&mut self, sign: Sign) {
        if let Some(flag) = std::mem::replace(&mut self.seems, sign).as_flag() {
            self.report.unflag(flag);
        }
        if let Some(flag) = sign.as_flag() {
            self.report.flag(flag);
        }
    }

    /// What the call ends with when this was heard, if it is to end.
    pub(super) fn machine(&self, sign: Sign) -> Option<Reason> {
        match self.screening {
            ScreeningMode::End => certain(sign),
            ScreeningMode::Label | ScreeningMode::Off => None,
        }
    }

    /// The end of an answered call, as far as the menu can know it.
    pub(super) fn decide_talk(&mut self, reason: Reason) {
        let who = self.report.cause.hung_up_by;
        let reason = super::outcome::of_talk(reason, self.audio, who);
        self.explain_silence(reason);
        self.decide_reason(reason);
    }

    /// One-way audio, where it may be why no key came: no RTP of the callee at all, or none with a sound in it.
    fn explain_silence(&mut self, reason: Reason) {
        let unheard = matches!(reason, Reason::MediaFailed | Reason::NoInput | Reason::HungUp);
        if !unheard || self.times.answered_at.is_none() {
            return;
        }
        if self.audio == InboundAudio::None {
            self.report.flag(super::outcome::FLAG_NO_CALLEE_AUDIO);
        } else if self.report.quality.silent {
            self.report.flag(super::outcome::FLAG_SILENT_CALLEE);
        }
    }

    /// The last word, after which only transactions go on.
    pub(super) fn finish(&mut self) {
        self.report.prompts = self.played.clips();
        let decision = self.decision.unwrap_or(Decision {
            outcome: Outcome::new(Reason::Internal),
            next_trunk: NextTrunk::No,
        });
        self.explain_silence(decision.outcome.reason());
        if self.times.answered_at.is_some() && super::outcome::is_unheard(&self.report.quality) {
            self.report.flag(super::outcome::FLAG_RTP_NOT_RECEIVED);
        }
        self.out.push_back(Output::Finished {
            outcome: decision.outcome,
            report: Box::new(self.report.clone()),
            next_trunk: decision.next_trunk.is_allowed(),
        });
    }

    /// One is enough: the attempt is flagged, not counted.
    pub(super) fn double_ring(&mut self) {
        self.report.flag("possible_double_ring");
        self.out.push_back(Output::PossibleDoubleRing);
    }

    pub(super) const fn next_target(&mut self, now: Instant) {
        self.times.tried_at = now;
    }

    /// Closes the leg and says BYE, in this order: no RTP follows a BYE.
    pub(super) fn hang_up(&mut self, now: Instant, reason: &str) -> Reports {
        let reports = self.with_leg(Leg::close);
        self.report.cause.hung_up_by.get_or_insert(HungUpBy::Us);
        self.talked(now);
        self.signal(
            now,
            invite::Input::Bye {
                reason: Some(reason.to_owned()),
            },
        );
        reports
    }

    /// Plays `lines`, or says what is not recorded.
    pub(super) fn speak(&mut self, lines: &[Line]) -> Result<(), MissingClip> {
        let clips = lines
            .iter()
            .map(|line| self.clips(line))
            .collect::<Result<Vec<_>, _>>()?;
        let private = lines.iter().any(|line| line.vars.contains_key(phrase::VAR_CODE));
        let all: Vec<Arc<Clip>> = clips.iter().flatten().cloned().collect();
        if let Some((id, codec)) = self.with_leg(|leg, out| leg.play(clips, private, out)) {
            self.played.began(id, codec, all, private);
        }
        Ok(())
    }

    fn clips(&self, line: &Line) -> Result<Vec<Arc<Clip>>, MissingClip> {
        let own = self.vars.reveal().iter().cloned();
        let vars: BTreeMap<_, _> = own.chain(line.vars.clone()).collect();
        let clips = self.voice.clips(&line.phrase, &vars)?;
        // A sentence without a sound would name a key that nobody heard of.
        if clips.is_empty() {
            return Err(MissingClip::Phrase {
                locale: self.voice.locale.clone(),
                phrase: line.phrase.clone(),
            });
        }
        Ok(clips)
    }

    /// The telephone that is reached, as the network tells it. History-Info says most and a bare 181 least.
    pub(super) fn reached(&mut self, party: invite::Party) {
        if let Some(forwarded) = party.forwarded {
            self.report.flag("forwarded");
            let known = self.report.forwarded.as_ref();
            if known.is_none_or(|known| forwarded.by <= known.by) {
                self.report.forwarded = Some(forwarded);
            }
        }
        if party.asserted.is_some() {
            self.report.answered_as = party.asserted;
        }
    }

    /// What every phase does with an event of the session that is about media.
    pub(super) fn session_media(&mut self, now: Instant, event: invite::Event) {
        match event {
            invite::Event::Offer { sdp: Some(offer) } => {
                match self.with_leg(|leg, out| leg.answer(&offer, out)) {
                    Ok(sdp) => self.signal(now, invite::Input::AnswerOffer { sdp }),
                    Err(_) => self.signal(now, invite::Input::RejectOffer { status: 488 }),
                }
                self.note_codec();
            }
            invite::Event::Offer { sdp: None } => {
                let sdp = self.leg.offer();
                self.signal(now, invite::Input::AnswerOffer { sdp });
            }
            // An answer that cannot be read leaves the media as it was (RFC 3264 §8).
            invite::Event::SdpAnswer { sdp } => {
                let _ = self.with_leg(|leg, out| leg.accept_answer(&sdp, out));
                self.note_codec();
            }
            invite::Event::Info { content_type, body } => {
                if let Some(key) = parse_info(&content_type, &body) {
                    self.with_leg(|leg, out| leg.info(key, out));
                }
            }
            _ => {}
        }
    }

    pub(super) fn note_codec(&mut self) {
        if let Some(codec) = self.leg.codec() {
            self.report.codec = Some(codec.as_str().to_owned());
            self.report.srtp = self.leg.srtp();
            self.played.agreed(codec);
        }
    }

    /// What every phase does with an event of the leg.
    pub(super) fn leg_event(&mut self, event: &MediaEvent) {
        match event {
            MediaEvent::Heard => self.audio = InboundAudio::Heard,
            MediaEvent::Press(press) => {
                if press.mismatch {
                    self.report.flag("dtmf_mismatch");
                }
                if self.decision.is_none() {
                    self.last_press = Some(LastPress::new(press));
                }
            }
            MediaEvent::PressEnded {
                digit,
                transport,
                duration_ms,
            } => {
                if let Some(press) = &mut self.last_press {
                    press.ended(*digit, *transport, *duration_ms);
                    if self.report.key == Some(digit.as_char()) {
                        self.report.key_duration_ms = press.duration_ms_of(*digit, *transport);
                    }
                }
            }
            MediaEvent::SourceLearnt { agreed, source } => {
                self.report.flag(super::outcome::FLAG_RTP_SOURCE_LEARNED);
                self.report.rtp_source = Some(RtpSource {
                    agreed: *agreed,
                    seen: *source,
                });
            }
            MediaEvent::Quality(quality) => self.report.quality = *quality,
            MediaEvent::ClipDone { id, index } => self.played.done(*id, *index),
            MediaEvent::PlayStopped { id, index, played_ms } => self.played.stopped(*id, *index, *played_ms),
            MediaEvent::Screened(found) => {
                if self.decision.is_none() {
                    self.seem(found.sign);
                }
            }
            // Of a stream that began before the answer it may be the network's ringback.
            MediaEvent::FirstPacket
            | MediaEvent::PlayDone { .. }
            | MediaEvent::UnnegotiatedEvents { .. }
            | MediaEvent::DigitsSent
            | MediaEvent::Audio(_)
            | MediaEvent::Tape(_)
            | MediaEvent::Refused(_)
            | MediaEvent::Unreachable => {}
        }
    }
}

/// What answered, where that is sure enough to end a call by.
const fn certain(sign: Sign) -> Option<Reason> {
    match sign {
        Sign::Beep => Some(Reason::Voicemail),
        // The network answered in place of the number.
        Sign::Sit => Some(Reason::Unreachable),
        Sign::Fax => Some(Reason::SuspectMachine),
        Sign::LongGreeting | Sign::Robot | Sign::Person => None,
    }
}

pub(super) fn ms(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
