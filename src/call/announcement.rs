//! Somebody calls the number that we call from: answer, say one sentence, hang up (`inbound = "announce"`).
//!
//! ```text
//!  INVITE ──▶ 200 ──ACK──▶ a phone is lifted to the ear ──▶ the sentence ──its end──▶ BYE
//!    └ no codec in common: 488          └──────── BYE of the caller, or LEAVE_AFTER: BYE ────┘
//! ```
//! It hears no key and decides nothing: such a call is no verification. Whom it answers, and how many at a time, is
//! the shell's.
//!
//! Invariants:
//! - No media leaves before the ACK: only who got our 2xx can write it, so a forged source address aims no audio at
//!   anybody.
//! - [`AnnouncementOutput::Over`] comes exactly once, right after the last media command, `Close`.
//! - After [`LEAVE_AFTER`] the call ends, whatever the peer does.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::leg::Leg;
use crate::media::command::{DtmfMode, MediaCommand, MediaEvent};
use crate::media::frame::Clip;
use crate::model::Entropy;
use crate::sdp::LocalMedia;
use crate::sip::message::{HeaderError, Message, Request};
use crate::sip::transaction::timer::earliest;
use crate::sip::uas::{self, UasConfig, UasSession};

#[cfg(test)]
mod tests;

/// From the ACK to the first word, as in the calls that we place.
const FIRST_WORD: Duration = Duration::from_millis(700);
/// The longest such call, from its INVITE: the sentence takes ten seconds, and a brand may be long.
const LEAVE_AFTER: Duration = Duration::from_secs(30);

/// What there is to say, and from where.
#[derive(Debug, Clone)]
pub struct AnnouncementSpec {
    pub sip: UasConfig,
    pub local_media: LocalMedia,
    pub clips: Vec<Arc<Clip>>,
}

#[derive(Debug)]
pub enum AnnouncementInput {
    /// A message with this call's Call-ID.
    Sip {
        message: Message,
        source: SocketAddr,
    },
    Media(MediaEvent),
    /// The deadline of [`Announcement::poll_timeout`] has come.
    Timeout,
    /// The server stops.
    Leave,
}

#[derive(Debug)]
pub enum AnnouncementOutput {
    SendSip {
        to: SocketAddr,
        bytes: Vec<u8>,
    },
    Media(MediaCommand),
    /// The caller's part is over. The call lives on until [`Announcement::is_over`], for its transactions.
    Over(AnnouncementEnd),
}

/// How it ended, for the log and the counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnnouncementEnd {
    /// The sentence was said in full.
    Announced,
    /// The caller hung up before its end.
    HungUp,
    /// We ended it before the sentence did: too long, on hold, or the server stops.
    Cut,
    /// No codec in common, or a request that cannot be answered.
    Refused,
    /// No ACK came, or the peer lost the call.
    Lost,
}

impl AnnouncementEnd {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Announced => "announced",
            Self::HungUp => "hung_up",
            Self::Cut => "cut",
            Self::Refused => "refused",
            Self::Lost => "lost",
        }
    }
}

#[derive(Debug)]
pub struct Announcement {
    /// `None` only while an input is handled.
    session: Option<UasSession>,
    leg: Leg,
    clips: Vec<Arc<Clip>>,
    leave_at: Instant,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// The 2xx has left; what the media shall do waits for its ACK.
    Answered {
        held: Vec<MediaCommand>,
    },
    /// A person lifts the phone to the ear.
    Lifting {
        speak_at: Instant,
    },
    Speaking,
    /// The end is told; only transactions are left.
    Left,
}

impl Announcement {
    /// Answers an INVITE outside any dialog. The error names the header field that cannot be used.
    pub fn start(
        now: Instant,
        spec: AnnouncementSpec,
        invite: Request,
        source: SocketAddr,
        entropy: Entropy,
        out: &mut Vec<AnnouncementOutput>,
    ) -> Result<Self, HeaderError> {
        let offer = invite.body_of_type("application/sdp").map(<[u8]>::to_vec);
        let mut told = Vec::new();
        let session = UasSession::start(now, spec.sip, invite, source, entropy, &mut told)?;
        let mut call = Self {
            session: Some(session),
            leg: Leg::new(spec.local_media, DtmfMode::Rfc4733, false, None),
            clips: spec.clips,
            leave_at: now + LEAVE_AFTER,
            phase: Phase::Answered { held: Vec::new() },
        };
        call.take(now, told, out);
        if !call.has_left() {
            call.answer(now, offer.as_deref(), out);
        }
        Ok(call)
    }

    pub fn handle(&mut self, now: Instant, input: AnnouncementInput, out: &mut Vec<AnnouncementOutput>) {
        match input {
            AnnouncementInput::Sip { message, source } => {
                self.signal(now, uas::Input::Message { message, source }, out);
            }
            AnnouncementInput::Media(MediaEvent::PlayDone { id }) => {
                if matches!(self.phase, Phase::Speaking) && self.leg.is_current(id) {
                    self.hang_up(now, AnnouncementEnd::Announced, out);
                }
            }
            AnnouncementInput::Media(_) => {}
            AnnouncementInput::Timeout => {
                self.signal(now, uas::Input::Timeout, out);
                self.timeout(now, out);
            }
            AnnouncementInput::Leave => self.hang_up(now, AnnouncementEnd::Cut, out),
        }
    }

    /// The next deadline and its name, for the log.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let own = match &self.phase {
            Phase::Lifting { speak_at } => Some((*speak_at, "first word")),
            Phase::Answered { .. } | Phase::Speaking => Some((self.leave_at, "announcement")),
            Phase::Left => None,
        };
        earliest(self.session.as_ref().and_then(UasSession::poll_timeout), own)
    }

    /// No timer runs any more: the call may be dropped.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.has_left() && self.session.as_ref().is_none_or(UasSession::is_ended)
    }

    const fn has_left(&self) -> bool {
        matches!(self.phase, Phase::Left)
    }

    fn answer(&mut self, now: Instant, offer: Option<&[u8]>, out: &mut Vec<AnnouncementOutput>) {
        let mut commands = Vec::new();
        let sdp = match offer {
            Some(offer) => self.leg.answer(offer, &mut commands),
            // The ACK brings the answer (RFC 3261 §13.2.1).
            None => Ok(self.leg.offer()),
        };
        let Ok(sdp) = sdp else {
            let refusal = uas::Input::Reject {
                status: 488,
                reason: None,
                headers: Vec::new(),
            };
            self.signal(now, refusal, out);
            return self.leave(AnnouncementEnd::Refused, out);
        };
        self.command(commands, out);
        let answer = uas::Input::Answer {
            sdp: Some(sdp),
            headers: Vec::new(),
        };
        self.signal(now, answer, out);
    }

    fn timeout(&mut self, now: Instant, out: &mut Vec<AnnouncementOutput>) {
        match self.phase {
            Phase::Lifting { speak_at } if now >= speak_at => {
                self.phase = Phase::Speaking;
                let mut commands = Vec::new();
                self.leg.play(vec![self.clips.clone()], false, &mut commands);
                self.command(commands, out);
            }
            Phase::Answered { .. } | Phase::Speaking if now >= self.leave_at => {
                self.hang_up(now, AnnouncementEnd::Cut, out);
            }
            _ => {}
        }
    }

    fn signal(&mut self, now: Instant, input: uas::Input, out: &mut Vec<AnnouncementOutput>) {
        let Some(session) = self.session.take() else {
            return;
        };
        let mut told = Vec::new();
        self.session = Some(session.handle(now, input, &mut told));
        self.take(now, told, out);
    }

    fn take(&mut self, now: Instant, told: Vec<uas::Output>, out: &mut Vec<AnnouncementOutput>) {
        for output in told {
            match output {
                uas::Output::Send { to, bytes } => out.push(AnnouncementOutput::SendSip { to, bytes }),
                uas::Output::Event(event) => self.event(now, event, out),
            }
        }
    }

    fn event(&mut self, now: Instant, event: uas::Event, out: &mut Vec<AnnouncementOutput>) {
        match event {
            uas::Event::Acked { sdp } => self.acked(now, sdp.as_deref(), out),
            uas::Event::Offer { sdp } => self.offered(now, sdp.as_deref(), out),
            uas::Event::SdpAnswer { sdp } => {
                let mut commands = Vec::new();
                // An answer that cannot be used leaves the media as it was.
                let _ = self.leg.accept_answer(&sdp, &mut commands);
                self.command(commands, out);
            }
            uas::Event::PeerBye { .. } | uas::Event::Cancelled { .. } => {
                self.leave(AnnouncementEnd::HungUp, out);
            }
            uas::Event::Lost { .. } => self.leave(AnnouncementEnd::Lost, out),
            // Told first by one of the above, unless the INVITE itself was refused.
            uas::Event::Ended => self.leave(AnnouncementEnd::Refused, out),
            uas::Event::OfferRejected { .. } | uas::Event::Info { .. } => {}
        }
    }

    fn acked(&mut self, now: Instant, sdp: Option<&[u8]>, out: &mut Vec<AnnouncementOutput>) {
        let Phase::Answered { held } = &mut self.phase else {
            return;
        };
        if let Some(sdp) = sdp {
            // Whether it gave media is looked at below.
            let _ = self.leg.accept_answer(sdp, held);
        }
        let held = std::mem::take(held);
        if !self.leg.is_agreed() {
            return self.hang_up(now, AnnouncementEnd::Refused, out);
        }
        self.phase = Phase::Lifting {
            speak_at: now + FIRST_WORD,
        };
        self.command(held, out);
    }

    /// Hold, or another codec: followed, and the sentence goes on where it was.
    fn offered(&mut self, now: Instant, sdp: Option<&[u8]>, out: &mut Vec<AnnouncementOutput>) {
        let mut commands = Vec::new();
        let answer = match sdp {
            Some(offer) => self.leg.answer(offer, &mut commands),
            None => Ok(self.leg.offer()),
        };
        self.command(commands, out);
        let input = match answer {
            Ok(sdp) => uas::Input::AnswerOffer { sdp },
            Err(_) => uas::Input::RejectOffer { status: 488 },
        };
        self.signal(now, input, out);
    }

    fn hang_up(&mut self, now: Instant, end: AnnouncementEnd, out: &mut Vec<AnnouncementOutput>) {
        if !self.has_left() {
            // First, so that the session's own end tells nothing else.
            self.leave(end, out);
            self.signal(now, uas::Input::Bye { reason: None }, out);
        }
    }

    fn leave(&mut self, end: AnnouncementEnd, out: &mut Vec<AnnouncementOutput>) {
        if self.has_left() {
            return;
        }
        self.phase = Phase::Left;
        let mut commands = Vec::new();
        self.leg.close(&mut commands);
        self.command(commands, out);
        out.push(AnnouncementOutput::Over(end));
    }

    fn command(&mut self, commands: Vec<MediaCommand>, out: &mut Vec<AnnouncementOutput>) {
        match &mut self.phase {
            Phase::Answered { held } => held.extend(commands),
            Phase::Lifting { .. } | Phase::Speaking | Phase::Left => {
                out.extend(commands.into_iter().map(AnnouncementOutput::Media));
            }
        }
    }
}
