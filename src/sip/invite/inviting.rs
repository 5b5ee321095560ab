//! Before the answer: 1xx and their early dialogs, PRACK (RFC 3262), CANCEL (RFC 3261 §9), rejections.
use std::sync::Arc;
use std::time::Instant;

use super::failover::TargetFailure;
use super::late::LateWindow;
use super::setup::{self, Again};
use super::{Core, EarlyDialogId, Event, InviteConfig, State, party};
use crate::sip::cause;
use crate::sip::dialog::Dialog;
use crate::sip::digest::{CHALLENGES_MAX, RequestChallenges};
use crate::sip::endpoint::SDP;
use crate::sip::message::{Method, RAck, Request, Response};
use crate::sip::transaction::client_invite::cancel_of;
use crate::sip::transaction::table::{ClientId, Reply};
use crate::sip::usage::{InviteUsage, Side};

/// Early dialogs of one INVITE; a fork to more telephones is not followed.
const EARLY_DIALOGS_MAX: usize = 16;

#[derive(Debug)]
pub(super) struct Inviting {
    pub(super) id: ClientId,
    pub(super) invite: Arc<Request>,
    pub(super) early: Vec<EarlyDialog>,
    pub(super) intent: Intent,
    heard: Heard,
    next_early: u16,
    budget: RetryBudget,
}

/// Waits before the INVITE goes out again.
#[derive(Debug)]
pub(super) struct Pausing {
    at: Instant,
    request: Request,
    response: Box<Response>,
    budget: RetryBudget,
}

#[derive(Debug)]
pub(super) struct EarlyDialog {
    id: EarlyDialogId,
    pub(super) usage: InviteUsage,
    /// Latest reliable provisional response.
    rseq: Option<u32>,
    /// Latest session description; the answer when the 2xx carries none.
    pub(super) sdp: Option<Vec<u8>>,
}

/// What we want of the INVITE.
#[derive(Debug)]
pub(super) enum Intent {
    Answer,
    /// Wished before any response: CANCEL follows the first 1xx (§9.1).
    CancelWhenHeard {
        reason: Option<String>,
    },
    /// CANCEL is out. Without a final response the INVITE counts as cancelled at `give_up_at` (§9.1).
    Cancelled {
        reason: Option<String>,
        give_up_at: Instant,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Nothing,
    Provisional,
}

/// How often the INVITE may go out again, by cause.
#[derive(Debug, Clone)]
pub(super) struct RetryBudget {
    pub(super) challenges: u8,
    pub(super) asked: RequestChallenges,
    pub(super) intervals: u8,
    pub(super) glares: u8,
    pub(super) agreements: u8,
    pub(super) redirects: u8,
}

impl RetryBudget {
    fn new() -> Self {
        Self {
            challenges: CHALLENGES_MAX,
            asked: RequestChallenges::default(),
            intervals: 1,
            glares: 1,
            agreements: 1,
            redirects: 1,
        }
    }
}

impl Inviting {
    pub(super) fn start(
        now: Instant,
        config: &InviteConfig,
        core: &mut Core,
        events: &mut Vec<Event>,
    ) -> State {
        let invite = setup::first_invite(config, core);
        Self::send(now, invite, RetryBudget::new(), core, events)
    }

    #[must_use]
    pub(super) fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let give_up = match &self.intent {
            Intent::Cancelled { give_up_at, .. } => Some((*give_up_at, "CANCEL without effect")),
            Intent::Answer | Intent::CancelWhenHeard { .. } => None,
        };
        let early = self.early.iter().map(|early| early.usage.poll_timeout());
        early.fold(give_up, crate::sip::transaction::timer::earliest)
    }

    pub(super) fn timeout(
        mut self: Box<Self>,
        now: Instant,
        core: &mut Core,
        events: &mut Vec<Event>,
    ) -> State {
        let mut told = Vec::new();
        for early in &mut self.early {
            early.usage.handle_timeout(now, &mut core.ua, &mut told);
        }
        events.extend(told.into_iter().filter_map(super::event_of));
        match &self.intent {
            Intent::Cancelled { give_up_at, .. } if now >= *give_up_at => {
                core.ua.transactions.forget(self.id);
                core.late.push(LateWindow::cancelled(
                    now,
                    Arc::clone(&self.invite),
                    core.ua.target(),
                    core.ua.timers(),
                ));
                self.close(now, core)
            }
            Intent::Answer | Intent::CancelWhenHeard { .. } | Intent::Cancelled { .. } => {
                State::Inviting(self)
            }
        }
    }

    pub(super) fn cancel(
        mut self: Box<Self>,
        now: Instant,
        reason: Option<String>,
        core: &mut Core,
    ) -> Box<Self> {
        match (&self.intent, self.heard) {
            (Intent::Answer, Heard::Nothing) => self.intent = Intent::CancelWhenHeard { reason },
            (Intent::Answer, Heard::Provisional) => self.send_cancel(now, reason, core),
            (Intent::CancelWhenHeard { .. } | Intent::Cancelled { .. }, _) => {}
        }
        self
    }

    /// The INVITE transaction speaks; 2xx have gone another way ([`super::legs`]).
    pub(super) fn reply(
        mut self: Box<Self>,
        now: Instant,
        reply: Reply,
        core: &mut Core,
        events: &mut Vec<Event>,
    ) -> State {
        match reply {
            Reply::Response(response) if response.is_provisional() => {
                self.provisional(now, &response, core, events);
                State::Inviting(self)
            }
            Reply::Response(response) => self.rejected(now, response, core, events),
            Reply::TimedOut => self.unanswered(now, TargetFailure::Silent, Event::TimedOut, core, events),
            Reply::TransportFailed => {
                self.unanswered(now, TargetFailure::Unsent, Event::TransportFailed, core, events)
            }
        }
    }

    /// No response at all: the INVITE may have arrived all the same.
    fn unanswered(
        self,
        now: Instant,
        failure: TargetFailure,
        event: Event,
        core: &mut Core,
        events: &mut Vec<Event>,
    ) -> State {
        core.late.push(LateWindow::silent(
            now,
            Arc::clone(&self.invite),
            core.ua.target(),
            core.ua.timers(),
        ));
        let (id, invite) = (self.id, Arc::clone(&self.invite));
        let wanted = matches!(self.intent, Intent::Answer);
        let closed = self.close(now, core);
        match core.next_target(id, &invite, failure, wanted, events) {
            Some(request) => Self::send(now, request, RetryBudget::new(), core, events),
            None => {
                events.push(event);
                closed
            }
        }
    }

    /// Ends what the early dialogs still had open.
    pub(super) fn close(self, now: Instant, core: &mut Core) -> State {
        for early in self.early {
            core.retire(now, early.usage);
        }
        State::Closing
    }

    /// A telephone was heard of beside the one whose dialog was taken out.
    pub(super) const fn rings_elsewhere(&self) -> bool {
        !self.early.is_empty()
    }

    /// The early dialog with this To tag, taken out.
    pub(super) fn take_early(&mut self, tag: &str) -> Option<EarlyDialog> {
        let index = self
            .early
            .iter()
            .position(|early| early.usage.dialog.remote_tag == tag)?;
        Some(self.early.swap_remove(index))
    }

    fn send(
        now: Instant,
        invite: Request,
        budget: RetryBudget,
        core: &mut Core,
        events: &mut Vec<Event>,
    ) -> State {
        let Some((id, invite)) = core.ua.send_to_target(now, invite) else {
            events.push(Event::TransportFailed);
            return State::Closing;
        };
        State::Inviting(Box::new(Self {
            id,
            invite,
            early: Vec::new(),
            intent: Intent::Answer,
            heard: Heard::Nothing,
            next_early: 0,
            budget,
        }))
    }

    fn send_cancel(&mut self, now: Instant, reason: Option<String>, core: &mut Core) {
        let mut cancel = cancel_of(&self.invite);
        if let Some(reason) = &reason {
            cancel.headers.push("Reason", reason.as_str());
        }
        let to = core.ua.target();
        core.ua.transactions.request(now, cancel, to);
        let give_up_at = now + core.ua.timers().t1_64();
        self.intent = Intent::Cancelled { reason, give_up_at };
    }

    fn provisional(&mut self, now: Instant, response: &Response, core: &mut Core, events: &mut Vec<Event>) {
        let first = self.heard == Heard::Nothing;
        self.heard = Heard::Provisional;
        if response.status > 100 {
            core.targets.rings();
        }
        match &mut self.intent {
            Intent::CancelWhenHeard { reason } => {
                let reason = reason.take();
                self.send_cancel(now, reason, core);
            }
            Intent::Cancelled { .. } => {}
            Intent::Answer if response.status == 100 => {
                if first {
                    events.push(Event::Trying);
                }
            }
            Intent::Answer => self.early_response(now, response, core, events),
        }
    }

    fn early_response(
        &mut self,
        now: Instant,
        response: &Response,
        core: &mut Core,
        events: &mut Vec<Event>,
    ) {
        let Some(index) = self.early_dialog(response, core) else {
            return;
        };
        let Some(early) = self.early.get_mut(index) else {
            return;
        };
        let is_reliable = response.headers.requires("100rel");
        if let (true, Some(rseq)) = (is_reliable, response.headers.rseq()) {
            match early.rseq {
                // A repetition, or one whose predecessor is missing (RFC 3262 §4): the peer sends it again.
                Some(seen) if Some(rseq) != seen.checked_add(1) => return,
                Some(_) | None => early.acknowledge(now, rseq, &self.invite, core),
            }
        }
        let sdp = response.body_of_type(SDP).map(<[u8]>::to_vec);
        if sdp.is_some() {
            if is_reliable {
                early.usage.offer_answered_early();
            }
            early.sdp.clone_from(&sdp);
        }
        let dialog = early.id;
        let status = response.status;
        if status == 199 {
            // RFC 6228: this leg is over, others may go on.
            let early = self.early.swap_remove(index);
            core.retire(now, early.usage);
        }
        events.extend(party::told(response));
        events.push(Event::Provisional { status, sdp, dialog });
    }

    /// The place of the early dialog of this response, made if it is new.
    fn early_dialog(&mut self, response: &Response, core: &Core) -> Option<usize> {
        let to = response.headers.to().ok()?;
        let tag = to.tag().unwrap_or_default();
        let known = self
            .early
            .iter()
            .position(|early| early.usage.dialog.remote_tag == tag);
        if known.is_some() || self.early.len() >= EARLY_DIALOGS_MAX {
            return known;
        }
        let dialog = Dialog::from_response(&self.invite, response).ok()?;
        let usage = InviteUsage::early(dialog, Side::Uac, core.offer.clone());
        let id = EarlyDialogId(self.next_early);
        self.next_early = self.next_early.saturating_add(1);
        self.early.push(EarlyDialog {
            id,
            usage,
            rseq: None,
            sdp: None,
        });
        Some(self.early.len() - 1)
    }

    fn rejected(
        mut self,
        now: Instant,
        response: Box<Response>,
        core: &mut Core,
        events: &mut Vec<Event>,
    ) -> State {
        let had_fallback = core.fallback.is_some();
        let again = match self.intent {
            Intent::Answer => setup::again(now, &self.invite, &response, &mut self.budget, core),
            Intent::CancelWhenHeard { .. } | Intent::Cancelled { .. } => Again::No,
        };
        if had_fallback && core.fallback.is_none() {
            events.push(Event::FellBack);
        }
        let mut budget = self.budget.clone();
        if !matches!(response.status, 401 | 407) {
            budget.asked = RequestChallenges::default();
        }
        let (id, invite) = (self.id, Arc::clone(&self.invite));
        let failure = TargetFailure::of_response(&response);
        let wanted = matches!(self.intent, Intent::Answer);
        let closed = self.close(now, core);
        match again {
            Again::Now(request) => Self::send(now, request, budget, core, events),
            Again::At(at, request) => State::Pausing(Box::new(Pausing {
                at,
                request,
                response,
                budget,
            })),
            Again::No => {
                let next = failure.and_then(|failure| core.next_target(id, &invite, failure, wanted, events));
                match next {
                    Some(request) => Self::send(now, request, RetryBudget::new(), core, events),
                    None => {
                        events.push(rejection(response));
                        closed
                    }
                }
            }
        }
    }
}

impl Pausing {
    #[must_use]
    pub(super) fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        Some((self.at, "INVITE again"))
    }

    pub(super) fn timeout(self: Box<Self>, now: Instant, core: &mut Core, events: &mut Vec<Event>) -> State {
        if now < self.at {
            return State::Pausing(self);
        }
        Inviting::send(now, self.request, self.budget, core, events)
    }

    /// Nothing is in flight: the rejection stands.
    pub(super) fn cancel(self: Box<Self>, events: &mut Vec<Event>) -> State {
        events.push(rejection(self.response));
        State::Closing
    }
}

impl EarlyDialog {
    /// RFC 3262 §4.
    fn acknowledge(&mut self, now: Instant, rseq: u32, invite: &Request, core: &mut Core) {
        let Ok(cseq) = invite.headers.cseq() else {
            return;
        };
        self.rseq = Some(rseq);
        let mut prack = self.usage.dialog.next_request(Method::Prack);
        prack.headers.push("RAck", RAck { rseq, cseq }.to_string());
        self.usage.send(now, prack, &mut core.ua);
    }
}

fn rejection(response: Box<Response>) -> Event {
    let cause = cause::of_response(&response);
    Event::Rejected { response, cause }
}
