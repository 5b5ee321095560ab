//! After the answer: the menu speaks and hears through the leg.
use std::time::Instant;

use super::desk::{Desk, REASON_NORMAL};
use super::dialing::hear;
use super::leg::Leg;
use super::machine::Phase;
use crate::ivr::{self, Line, Menu};
use crate::media::command::MediaEvent;
use crate::model::{Reason, Stage};
use crate::sip::invite::Event;

impl Phase {
    pub(super) fn talking(desk: &mut Desk, now: Instant, menu: Menu, event: Event) -> Self {
        match event {
            Event::PeerBye { cause } => {
                desk.report.cause = cause;
                Self::peer_left(desk, now, menu)
            }
            // The session is gone without a BYE.
            Event::Ended => Self::peer_left(desk, now, menu),
            event @ (Event::Offer { .. } | Event::SdpAnswer { .. } | Event::Info { .. }) => {
                desk.session_media(now, event);
                Self::Talking { menu }
            }
            Event::LateResponse { .. } => {
                desk.double_ring();
                Self::Talking { menu }
            }
            // Of the INVITE that has been answered; the talk goes on while its media does.
            Event::Trying
            | Event::Party(_)
            | Event::Provisional { .. }
            | Event::Answered { .. }
            | Event::Rejected { .. }
            | Event::TimedOut
            | Event::TransportFailed
            | Event::NextTarget { .. }
            | Event::FellBack
            | Event::AnsweredAfterCancel => Self::Talking { menu },
        }
    }

    pub(super) fn talk_media(desk: &mut Desk, now: Instant, menu: Menu, event: &MediaEvent) -> Self {
        match event {
            MediaEvent::Press(press) => {
                let mut out = Vec::new();
                let menu = hear(menu, now, press, &mut out);
                Self::obey(desk, now, menu, out)
            }
            MediaEvent::ClipDone { id, index } => match desk.leg.line_done(*id, *index) {
                Some(line) => Self::run(desk, now, menu, ivr::Input::LineDone(line)),
                None => Self::Talking { menu },
            },
            MediaEvent::PlayDone { id } if desk.leg.is_current(*id) => {
                Self::run(desk, now, menu, ivr::Input::PlayDone)
            }
            MediaEvent::PressEnded { .. } => Self::run(desk, now, menu, ivr::Input::Release),
            MediaEvent::DigitsSent => {
                // Who answers at the extension is listened to afresh.
                desk.screen();
                Self::run(desk, now, menu, ivr::Input::DigitsSent)
            }
            MediaEvent::Screened(found) => match desk.machine(found.sign) {
                Some(reason) => Self::run(desk, now, menu, ivr::Input::Machine(reason)),
                None => Self::Talking { menu },
            },
            MediaEvent::Refused(_) => {
                desk.decide_reason(Reason::MediaFailed);
                Self::hang_up(desk, now, REASON_NORMAL)
            }
            MediaEvent::FirstPacket
            | MediaEvent::Heard
            | MediaEvent::PlayDone { .. }
            | MediaEvent::UnnegotiatedEvents { .. }
            | MediaEvent::SourceLearnt { .. }
            | MediaEvent::Quality(_)
            | MediaEvent::Audio(_)
            | MediaEvent::Tape(_)
            | MediaEvent::PlayStopped { .. } => Self::Talking { menu },
            MediaEvent::Unreachable => {
                desk.rtp_refused(now);
                Self::Talking { menu }
            }
        }
    }

    /// Gives the menu one input and does what it says.
    pub(super) fn run(desk: &mut Desk, now: Instant, menu: Menu, input: ivr::Input) -> Self {
        let mut out = Vec::new();
        let menu = menu.handle(now, input, &mut out);
        Self::obey(desk, now, menu, out)
    }

    fn obey(desk: &mut Desk, now: Instant, menu: Menu, outputs: Vec<ivr::Output>) -> Self {
        for output in outputs {
            match output {
                ivr::Output::Play(lines) => {
                    if let Some(phase) = Self::speak(desk, now, &lines) {
                        return phase;
                    }
                }
                ivr::Output::Stop => desk.with_leg(Leg::stop),
                ivr::Output::SendDigits(digits) => desk.with_leg(|leg, out| leg.send_digits(digits, out)),
                ivr::Output::Verdict(verdict) => desk.decide_verdict(&verdict),
                ivr::Output::Hangup => return Self::hang_up(desk, now, REASON_NORMAL),
            }
        }
        Self::Talking { menu }
    }

    /// A call that cannot say what it must say is over; without its goodbye it ends as decided.
    fn speak(desk: &mut Desk, now: Instant, lines: &[Line]) -> Option<Self> {
        if desk.speak(lines).is_err() {
            desk.decide_reason(Reason::Internal);
            return Some(Self::hang_up(desk, now, REASON_NORMAL));
        }
        if !desk.is_decided() {
            desk.reach(Stage::Prompting);
        }
        None
    }
}
