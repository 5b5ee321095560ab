//! Before the answer: progress, early media, ring timers, giving up.
use std::time::Instant;

use super::desk::{Desk, REASON_NO_MEDIA};
use super::leg::Leg;
use super::machine::Phase;
use super::outcome::{self, FLAG_NO_SRTP_KEY, NextTrunk, Ruling};
use crate::ivr::{self, Key, Menu};
use crate::media::command::MediaEvent;
use crate::media::press::Press;
use crate::model::{HungUpBy, KeyTransport, Reason, Stage};
use crate::sip::invite::{self, Event};

#[derive(Debug)]
pub(super) struct Unanswered {
    /// Hears tones in early media: no key counts, but a machine's are remembered.
    pub(super) menu: Menu,
    pub(super) progress: Progress,
}

/// How far the network says it is. The INVITE transaction has no timer once a 1xx came, so this has.
#[derive(Debug, Clone, Copy)]
pub(super) enum Progress {
    /// Timer B of the transaction rules.
    NoResponse,
    Trying {
        since: Instant,
    },
    /// An 18x came.
    Alerting {
        since: Instant,
    },
}

impl Unanswered {
    pub(super) fn deadline(&self, desk: &Desk) -> (Instant, &'static str) {
        let hard = (
            desk.times.tried_at + desk.timings.unanswered_max,
            "unanswered max",
        );
        let own = match self.progress {
            Progress::NoResponse => return hard,
            Progress::Trying { since } => (since + desk.timings.trying_max, "ring timeout without 18x"),
            Progress::Alerting { since } => (since + desk.timings.ring_max, "ring timeout"),
        };
        if own.0 < hard.0 { own } else { hard }
    }

    pub(super) fn session(mut self, desk: &mut Desk, now: Instant, event: Event) -> Phase {
        match event {
            Event::Trying => {
                self.trying(now);
                Phase::Dialing(self)
            }
            Event::Provisional { status, sdp, .. } => {
                self.provisional(desk, now, status, sdp.as_deref());
                Phase::Dialing(self)
            }
            Event::Answered { sdp } => self.answered(desk, now, sdp.as_deref()),
            Event::Rejected { response, cause } => {
                desk.rang(now);
                desk.report.cause = cause;
                let ruling = outcome::of_response(&response, desk.alerting());
                Phase::failed(desk, now, ruling)
            }
            Event::NextTarget { .. } => {
                desk.next_target(now);
                // Nothing was heard of the next one yet: its own Timer B rules.
                self.progress = Progress::NoResponse;
                Phase::Dialing(self)
            }
            Event::FellBack => {
                desk.leg.fall_back();
                self.progress = Progress::NoResponse;
                Phase::Dialing(self)
            }
            Event::TimedOut => Phase::failed(desk, now, outcome::of_silence(desk.alerting())),
            Event::TransportFailed => Phase::failed(desk, now, outcome::of_transport_error(desk.alerting())),
            Event::PeerBye { cause } => {
                desk.report.cause = cause;
                Phase::failed(desk, now, Ruling::new(Reason::Unreachable, NextTrunk::No))
            }
            Event::Ended => Phase::failed(desk, now, Ruling::new(Reason::Internal, NextTrunk::No)),
            event @ (Event::Offer { .. } | Event::SdpAnswer { .. } | Event::Info { .. }) => {
                desk.session_media(now, event);
                Phase::Dialing(self)
            }
            // Of a target that was left; the one of today may ring too.
            Event::LateResponse { .. } => {
                desk.double_ring();
                Phase::Dialing(self)
            }
            // The first only after a Cancel, and then this phase is over.
            Event::AnsweredAfterCancel | Event::Party(_) => Phase::Dialing(self),
        }
    }

    pub(super) fn media(self, now: Instant, event: &MediaEvent) -> Phase {
        let Self { menu, progress } = self;
        // What the menu hears before the answer makes it remember, not speak.
        let mut silent = Vec::new();
        let menu = match event {
            MediaEvent::Press(press) => hear(menu, now, press, &mut silent),
            MediaEvent::PressEnded { .. } => menu.handle(now, ivr::Input::Release, &mut silent),
            MediaEvent::FirstPacket
            | MediaEvent::Heard
            | MediaEvent::Screened(_)
            | MediaEvent::ClipDone { .. }
            | MediaEvent::PlayDone { .. }
            | MediaEvent::UnnegotiatedEvents { .. }
            | MediaEvent::SourceLearnt { .. }
            | MediaEvent::DigitsSent
            | MediaEvent::Quality(_)
            | MediaEvent::Audio(_)
            | MediaEvent::Tape(_)
            | MediaEvent::PlayStopped { .. }
            | MediaEvent::Refused(_)
            | MediaEvent::Unreachable => menu,
        };
        Phase::Dialing(Self { menu, progress })
    }

    fn trying(&mut self, now: Instant) {
        if matches!(self.progress, Progress::NoResponse) {
            self.progress = Progress::Trying { since: now };
        }
    }

    fn provisional(&mut self, desk: &mut Desk, now: Instant, status: u16, sdp: Option<&[u8]>) {
        if !(180..=189).contains(&status) {
            self.trying(now);
            return;
        }
        desk.alerted(now);
        if !matches!(self.progress, Progress::Alerting { .. }) {
            self.progress = Progress::Alerting { since: now };
        }
        desk.reach(Stage::Ringing);
        let Some(sdp) = sdp else { return };
        // An early answer that cannot be used is not yet an end: the 2xx brings its own.
        if desk.with_leg(|leg, out| leg.accept_answer(sdp, out)).is_ok() {
            desk.reach(Stage::EarlyMedia);
        }
    }

    fn answered(self, desk: &mut Desk, now: Instant, sdp: Option<&[u8]>) -> Phase {
        desk.rang(now);
        desk.times.answered_at = Some(now);
        desk.report.cause.sip_status = Some(200);
        desk.reach(Stage::Answered);
        let agreed = match sdp {
            Some(sdp) => desk
                .with_leg(|leg, out| leg.accept_answer(sdp, out))
                .map_err(|error| {
                    if error.lacks_keys() {
                        desk.report.flag(FLAG_NO_SRTP_KEY);
                    }
                    Reason::CodecMismatch
                }),
            // The answer may have come in an 18x (RFC 3261 §13.2.1).
            None if desk.leg.is_agreed() => Ok(()),
            None => Err(Reason::MediaFailed),
        };
        if let Err(reason) = agreed {
            desk.decide_reason(reason);
            return Phase::hang_up(desk, now, REASON_NO_MEDIA);
        }
        desk.with_leg(|leg, out| leg.answered(out));
        desk.screen();
        desk.note_codec();
        Phase::run(desk, now, self.menu, ivr::Input::Answered)
    }
}

impl Phase {
    /// Asks for the CANCEL. What is reported is why we gave up, not what the network makes of it.
    pub(super) fn give_up(desk: &mut Desk, now: Instant, reason: Reason, why: &str) -> Self {
        desk.rang(now);
        desk.report.cause.hung_up_by = Some(HungUpBy::Us);
        desk.with_leg(Leg::close);
        desk.signal(
            now,
            invite::Input::Cancel {
                reason: Some(why.to_owned()),
            },
        );
        Self::GivingUp {
            reason,
            until: now + desk.timings.cancel_wait,
        }
    }

    pub(super) fn giving_up(
        desk: &mut Desk,
        now: Instant,
        reason: Reason,
        until: Instant,
        event: Event,
    ) -> Self {
        match event {
            Event::Rejected { cause, .. } => {
                desk.report.cause = cause;
                desk.report.cause.hung_up_by = Some(HungUpBy::Us);
                Self::given_up(desk, reason)
            }
            // The 2xx crossed our CANCEL: it got its ACK and its BYE.
            Event::Answered { .. } | Event::AnsweredAfterCancel => {
                desk.report.cause.sip_status = Some(200);
                Self::given_up(desk, reason)
            }
            Event::TimedOut | Event::TransportFailed | Event::PeerBye { .. } | Event::Ended => {
                Self::given_up(desk, reason)
            }
            Event::Provisional { status, .. } => {
                if (180..=189).contains(&status) {
                    desk.alerted(now);
                }
                Self::GivingUp { reason, until }
            }
            Event::LateResponse { .. } => {
                desk.double_ring();
                Self::GivingUp { reason, until }
            }
            event @ (Event::Offer { .. }
            | Event::Trying
            | Event::SdpAnswer { .. }
            | Event::Info { .. }
            | Event::Party(_)
            | Event::FellBack
            | Event::NextTarget { .. }) => {
                Self::refuse_offer(desk, now, &event);
                Self::GivingUp { reason, until }
            }
        }
    }

    pub(super) fn given_up(desk: &mut Desk, reason: Reason) -> Self {
        desk.decide_reason(reason);
        Self::finished(desk)
    }

    fn failed(desk: &mut Desk, now: Instant, ruling: Ruling) -> Self {
        desk.decide(ruling);
        let reports = desk.with_leg(Leg::close);
        Self::closing(desk, now, reports)
    }

    /// A call that is ending agrees to no other media.
    pub(super) fn refuse_offer(desk: &mut Desk, now: Instant, event: &Event) {
        if matches!(event, Event::Offer { .. }) {
            desk.signal(now, invite::Input::RejectOffer { status: 488 });
        }
    }
}

/// Gives one press to the menu. A key in INFO has no length of its own there.
pub(super) fn hear(menu: Menu, now: Instant, press: &Press, out: &mut Vec<ivr::Output>) -> Menu {
    let key = Key {
        digit: press.digit,
        transport: press.transport,
        started_at: press.started_at,
        at: press.at,
    };
    let menu = menu.handle(now, ivr::Input::Press(key), out);
    if press.transport == KeyTransport::Info {
        menu.handle(now, ivr::Input::Release, out)
    } else {
        menu
    }
}
