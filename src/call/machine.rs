//! The call machine.
//!
//! ```text
//! Dialing ──2xx──> Talking ──menu hangs up──────────────────────> Closing ──last report──> Finished
//!    │  │             │ └──peer's BYE──> Draining ──presses judged──────────────────────────┤
//!    │  │             └──cancel, no media──> Closing                                        │
//!    │  └──ring timer, cancel──> GivingUp ──487, 2xx (BYE), or its deadline─────────────────┤
//!    └──3xx–6xx, Timer B, transport error───────────────────────────────────────────────────┘
//! ```
//! `Decided` comes where the outcome is known: at the menu's verdict, at the final response, at the latest on
//! entering `Finished`. The session lives on beside all of it until its transactions are done.
use std::collections::VecDeque;
use std::time::Instant;

use super::desk::Desk;
use super::dialing::{Progress, Unanswered};
use super::io::{Input, Output};
use super::lingering::Lingering;
use super::outcome::NextTrunk;
use super::spec::CallSpec;
use crate::ivr::Menu;
use crate::media::command::MediaEvent;
use crate::model::{Entropy, Reason};
use crate::sip::invite;

/// One call, from its INVITE to its last transaction.
#[derive(Debug)]
pub struct Call {
    life: Life,
}

#[derive(Debug)]
enum Life {
    Live(Box<Live>),
    /// Settled, and every output of before has been taken.
    Lingering(Lingering),
}

#[derive(Debug)]
struct Live {
    desk: Desk,
    phase: Phase,
}

#[derive(Debug)]
pub(super) enum Phase {
    /// Waiting for a final response.
    Dialing(Unanswered),
    /// CANCEL was asked for. `reason` is the outcome whatever final response comes.
    GivingUp {
        reason: Reason,
        until: Instant,
    },
    Talking {
        menu: Menu,
    },
    /// The peer said BYE: the leg is closing, and what it has heard so far is still judged.
    Draining {
        menu: Menu,
        until: Instant,
    },
    /// We said BYE; the leg's last report is awaited.
    Closing {
        until: Instant,
    },
    Finished,
}

/// A bound on what one input can set in motion between session and phases.
const EVENTS_MAX: usize = 256;

impl Call {
    /// Sends the INVITE: the attempt must already be committed as `dialing`.
    #[must_use]
    pub fn new(now: Instant, spec: CallSpec, mut entropy: Entropy) -> Self {
        let menu = Menu::new(spec.menu(), entropy.fork());
        let desk = Desk::start(now, spec, entropy);
        let phase = Phase::Dialing(Unanswered {
            menu,
            progress: Progress::NoResponse,
        });
        let mut live = Box::new(Live { desk, phase });
        live.session_events(now);
        Self {
            life: Life::Live(live),
        }
    }

    pub fn handle_input(&mut self, now: Instant, input: Input) {
        match &mut self.life {
            Life::Live(live) => live.handle_input(now, input),
            Life::Lingering(lingering) => lingering.handle_input(now, input),
        }
    }

    /// Empty before the next input, please: outputs are in the order in which they must happen.
    pub fn poll_output(&mut self) -> Option<Output> {
        match &mut self.life {
            Life::Live(live) => {
                let output = live.desk.pop_output();
                if output.is_none() && live.is_settled() {
                    self.life = Life::Lingering(live.desk.leave());
                }
                output
            }
            Life::Lingering(lingering) => lingering.poll_output(),
        }
    }

    /// The next deadline and its name, for the log.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        match &self.life {
            Life::Live(live) => live.poll_timeout(),
            Life::Lingering(lingering) => lingering.poll_timeout(),
        }
    }

    /// Whether another trunk may try; known from `Decided` on.
    #[must_use]
    pub fn next_trunk(&self) -> NextTrunk {
        match &self.life {
            Life::Live(live) => live.desk.next_trunk(),
            Life::Lingering(lingering) => lingering.next_trunk(),
        }
    }

    /// The call as a person or a carrier sees it has ended: told, hung up and answered. Its transactions still absorb
    /// repetitions (Timer D: 32 s) and catch a late answer, so it wants its messages and deadlines until
    /// [`Call::is_over`]; it needs no media any more, and is small.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        match &self.life {
            Life::Live(live) => live.is_settled(),
            Life::Lingering(_) => true,
        }
    }

    /// Nothing will come out any more, whatever goes in.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        match &self.life {
            Life::Live(live) => matches!(live.phase, Phase::Finished) && !live.desk.has_session(),
            Life::Lingering(lingering) => lingering.is_over(),
        }
    }

    /// Whether [`Output::PossibleDoubleRing`] may still come out of a settled call.
    #[must_use]
    pub fn may_ring_late(&self) -> bool {
        match &self.life {
            Life::Live(_) => true,
            Life::Lingering(lingering) => lingering.may_ring_late(),
        }
    }
}

impl Live {
    fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Sip { message, source } => {
                self.desk.signal(now, invite::Input::Message { message, source });
            }
            Input::TransportError => self.desk.signal(now, invite::Input::TransportError),
            Input::Media(event) => {
                self.desk.leg_event(&event);
                self.step(|phase, desk| phase.media(desk, now, &event));
            }
            Input::Timeout => self.timeout(now),
            Input::Cancel(reason) => self.step(|phase, desk| phase.cancel(desk, now, reason)),
            Input::Committed => self.step(|phase, desk| phase.committed(desk, now)),
        }
        self.session_events(now);
    }

    fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let own = self.phase.deadline(&self.desk);
        match (own, self.desk.session_timeout()) {
            (Some(own), Some(session)) if session.0 < own.0 => Some(session),
            (Some(own), _) => Some(own),
            (None, session) => session,
        }
    }

    fn is_settled(&self) -> bool {
        matches!(self.phase, Phase::Finished) && !self.desk.has_open_session()
    }

    fn timeout(&mut self, now: Instant) {
        if self.desk.session_timeout().is_some_and(|(at, _)| at <= now) {
            self.desk.signal(now, invite::Input::Timeout);
            self.session_events(now);
        }
        if self.phase.deadline(&self.desk).is_some_and(|(at, _)| at <= now) {
            self.step(|phase, desk| phase.timeout(desk, now));
        }
    }

    fn session_events(&mut self, now: Instant) {
        for _ in 0..EVENTS_MAX {
            let Some(event) = self.desk.events.pop_front() else {
                break;
            };
            if let invite::Event::Party(party) = event {
                self.desk.reached(*party);
                continue;
            }
            self.step(|phase, desk| phase.session(desk, now, event));
        }
        if self.desk.events.is_empty() {
            self.desk.events = VecDeque::new();
        }
        self.desk.release();
    }

    fn step(&mut self, step: impl FnOnce(Phase, &mut Desk) -> Phase) {
        let phase = std::mem::replace(&mut self.phase, Phase::Finished);
        self.phase = step(phase, &mut self.desk);
    }
}

impl Phase {
    fn session(self, desk: &mut Desk, now: Instant, event: invite::Event) -> Self {
        match self {
            Self::Dialing(unanswered) => unanswered.session(desk, now, event),
            Self::GivingUp { reason, until } => Self::giving_up(desk, now, reason, until, event),
            Self::Talking { menu } => Self::talking(desk, now, menu, event),
            phase @ (Self::Draining { .. } | Self::Closing { .. } | Self::Finished) => {
                Self::refuse_offer(desk, now, &event);
                let is_late = match event {
                    invite::Event::LateResponse { .. } => true,
                    // The outcome was told without it, so the number was free for another call.
                    invite::Event::AnsweredAfterCancel => matches!(phase, Self::Finished),
                    _ => false,
                };
                if is_late {
                    desk.double_ring();
                }
                phase
            }
        }
    }

    fn media(self, desk: &mut Desk, now: Instant, event: &MediaEvent) -> Self {
        match self {
            Self::Dialing(unanswered) => unanswered.media(now, event),
            Self::Talking { menu } => Self::talk_media(desk, now, menu, event),
            Self::Draining { menu, until } => Self::drain_media(desk, now, menu, until, event),
            Self::Closing { .. } if matches!(event, MediaEvent::Quality(_)) => Self::finished(desk),
            phase @ (Self::GivingUp { .. } | Self::Closing { .. } | Self::Finished) => phase,
        }
    }

    fn deadline(&self, desk: &Desk) -> Option<(Instant, &'static str)> {
        match self {
            Self::Dialing(unanswered) => Some(unanswered.deadline(desk)),
            Self::GivingUp { until, .. } => Some((*until, "cancel wait")),
            Self::Talking { menu } => menu.poll_timeout(),
            Self::Draining { until, .. } => Some((*until, "drain wait")),
            Self::Closing { until } => Some((*until, "close wait")),
            Self::Finished => None,
        }
    }

    fn timeout(self, desk: &mut Desk, now: Instant) -> Self {
        match self {
            Self::Dialing(_) => Self::give_up(desk, now, Reason::NoAnswer, super::desk::REASON_NO_ANSWER),
            Self::GivingUp { reason, .. } => Self::given_up(desk, reason),
            Self::Talking { menu } => Self::run(desk, now, menu, crate::ivr::Input::Timeout),
            Self::Draining { menu, .. } => Self::drained(desk, now, menu),
            Self::Closing { .. } => Self::finished(desk),
            Self::Finished => Self::Finished,
        }
    }

    fn cancel(self, desk: &mut Desk, now: Instant, reason: Reason) -> Self {
        match self {
            Self::Dialing(_) => Self::give_up(desk, now, reason, super::desk::REASON_NORMAL),
            // A life ends queued and unanswered attempts only.
            Self::Talking { menu } if reason == Reason::Ttl || desk.is_decided() => Self::Talking { menu },
            Self::Talking { .. } => {
                desk.decide_reason(reason);
                Self::hang_up(desk, now, super::desk::REASON_NORMAL)
            }
            phase @ (Self::GivingUp { .. }
            | Self::Draining { .. }
            | Self::Closing { .. }
            | Self::Finished) => phase,
        }
    }

    fn committed(self, desk: &mut Desk, now: Instant) -> Self {
        match self {
            Self::Talking { menu } => Self::run(desk, now, menu, crate::ivr::Input::Committed),
            phase @ (Self::Dialing(_)
            | Self::GivingUp { .. }
            | Self::Draining { .. }
            | Self::Closing { .. }
            | Self::Finished) => phase,
        }
    }
}
