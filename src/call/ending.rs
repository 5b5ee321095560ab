//! The ends of an answered call: our BYE, the peer's, and the last report.
use std::time::Instant;

use super::desk::Desk;
use super::dialing::hear;
use super::leg::{Leg, Reports};
use super::machine::Phase;
use crate::ivr::{self, Menu};
use crate::media::command::MediaEvent;
use crate::model::Reason;

impl Phase {
    pub(super) fn hang_up(desk: &mut Desk, now: Instant, why: &str) -> Self {
        let reports = desk.hang_up(now, why);
        Self::closing(desk, now, reports)
    }

    /// The leg is closed: its last report is awaited, if there is one.
    pub(super) fn closing(desk: &mut Desk, now: Instant, reports: Reports) -> Self {
        match reports {
            Reports::Last => Self::Closing {
                until: now + desk.timings.close_wait,
            },
            Reports::None => Self::finished(desk),
        }
    }

    /// The peer has gone. The leg reports what it has heard before its last report, so a press that lies in the
    /// queue comes before that and is judged.
    pub(super) fn peer_left(desk: &mut Desk, now: Instant, menu: Menu) -> Self {
        desk.talked(now);
        match desk.with_leg(Leg::close) {
            Reports::Last => Self::Draining {
                menu,
                until: now + desk.timings.drain_wait,
            },
            Reports::None => Self::drained(desk, now, menu),
        }
    }

    pub(super) fn drain_media(
        desk: &mut Desk,
        now: Instant,
        menu: Menu,
        until: Instant,
        event: &MediaEvent,
    ) -> Self {
        let mut out = Vec::new();
        let menu = match event {
            MediaEvent::Press(press) => hear(menu, now, press, &mut out),
            // What had left before the leg closed was heard: a key may have been named by it.
            MediaEvent::ClipDone { id, index } => match desk.leg.line_done(*id, *index) {
                Some(line) => menu.handle(now, ivr::Input::LineDone(line), &mut out),
                None => menu,
            },
            MediaEvent::PlayDone { id } if desk.leg.is_current(*id) => {
                menu.handle(now, ivr::Input::PlayDone, &mut out)
            }
            MediaEvent::PlayDone { .. }
            | MediaEvent::PressEnded { .. }
            | MediaEvent::FirstPacket
            | MediaEvent::Heard
            | MediaEvent::Screened(_)
            | MediaEvent::UnnegotiatedEvents { .. }
            | MediaEvent::SourceLearnt { .. }
            | MediaEvent::DigitsSent
            | MediaEvent::Audio(_)
            | MediaEvent::Tape(_)
            | MediaEvent::PlayStopped { .. }
            | MediaEvent::Refused(_)
            | MediaEvent::Unreachable => menu,
            MediaEvent::Quality(_) => return Self::drained(desk, now, menu),
        };
        judge(desk, out);
        Self::Draining { menu, until }
    }

    /// Everything that was heard is judged; the rest is the hangup itself.
    pub(super) fn drained(desk: &mut Desk, now: Instant, menu: Menu) -> Self {
        let mut out = Vec::new();
        let _over = menu.handle(now, ivr::Input::HungUp, &mut out);
        judge(desk, out);
        desk.decide_talk(Reason::HungUp);
        Self::finished(desk)
    }

    pub(super) fn finished(desk: &mut Desk) -> Self {
        desk.finish();
        Self::Finished
    }
}

/// Nobody is left to speak to: of what the menu says, only its verdict counts.
fn judge(desk: &mut Desk, outputs: Vec<ivr::Output>) {
    for output in outputs {
        match output {
            ivr::Output::Verdict(verdict) => desk.decide_verdict(&verdict),
            ivr::Output::Play(_) | ivr::Output::Stop => desk.leg.forget_play(),
            ivr::Output::SendDigits(_) | ivr::Output::Hangup => {}
        }
    }
}
