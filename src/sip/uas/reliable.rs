//! Reliable provisional responses of the UAS, RFC 3262 §3: one at a time, repeated until its PRACK.
use std::collections::VecDeque;
use std::time::Instant;

use super::{Core, Input, Proceeding, State};
use crate::sip::message::{Method, Request, Response};
use crate::sip::transaction::table::{ServerId, Transmit};
use crate::sip::transaction::timer::{Backoff, TimerConfig, earliest};

/// What may wait behind an unacknowledged 1xx.
const QUEUE_MAX: usize = 8;

#[derive(Debug)]
pub(super) struct Reliable {
    next_rseq: u32,
    waiting: Option<Waiting>,
    queue: VecDeque<Input>,
}

#[derive(Debug)]
struct Waiting {
    rseq: u32,
    transmit: Transmit,
    again: Backoff,
    give_up_at: Instant,
    carries_answer: bool,
}

impl Reliable {
    pub(super) const fn new(first_rseq: u32) -> Self {
        Self {
            next_rseq: first_rseq,
            waiting: None,
            queue: VecDeque::new(),
        }
    }

    pub(super) const fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    pub(super) fn queue(&mut self, input: Input) {
        if self.queue.len() < QUEUE_MAX {
            self.queue.push_back(input);
        }
    }

    pub(super) fn mark(&self, response: &mut Response) {
        response.headers.push("Require", "100rel");
        response.headers.push("RSeq", self.next_rseq.to_string());
    }

    pub(super) fn sent(
        &mut self,
        now: Instant,
        timers: TimerConfig,
        transmit: Transmit,
        carries_answer: bool,
    ) {
        self.waiting = Some(Waiting {
            rseq: self.next_rseq,
            transmit,
            again: Backoff::start(now, timers.t1),
            give_up_at: now + timers.t1_64(),
            carries_answer,
        });
        self.next_rseq = self.next_rseq.saturating_add(1);
    }

    #[must_use]
    pub(super) fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let waiting = self.waiting.as_ref()?;
        earliest(
            Some((waiting.again.at, "1xx again")),
            Some((waiting.give_up_at, "no PRACK")),
        )
    }

    /// The 1xx that this PRACK acknowledges.
    fn acknowledged_by(&mut self, prack: &Request, invite: &Request) -> Option<Waiting> {
        let rack = prack.headers.rack().ok()?;
        let seq = invite.headers.cseq().ok()?.seq;
        self.waiting.take_if(|waiting| {
            rack.rseq == waiting.rseq && rack.cseq.seq == seq && rack.cseq.method == Method::Invite
        })
    }
}

impl Proceeding {
    pub(super) fn receive_prack(
        mut self: Box<Self>,
        now: Instant,
        prack: &Request,
        id: ServerId,
        core: &mut Core,
    ) -> State {
        let seq = prack.headers.cseq().map_or(0, |cseq| cseq.seq);
        let status = if core.usage.dialog.receive_seq(seq).is_err() {
            500
        } else {
            match self.reliable.acknowledged_by(prack, &self.invite) {
                Some(waiting) => {
                    if waiting.carries_answer {
                        core.usage.offer_answered_early();
                    }
                    200
                }
                None => 481,
            }
        };
        let response = core.ua.reply(prack, status);
        core.ua.transactions.respond(now, id, &response);
        let mut state = State::Proceeding(self);
        // What waited goes on until the next reliable 1xx.
        for _ in 0..QUEUE_MAX {
            state = match state {
                State::Proceeding(mut proceeding) if !proceeding.reliable.is_waiting() => {
                    match proceeding.reliable.queue.pop_front() {
                        Some(input) => proceeding.respond(now, input, core),
                        None => State::Proceeding(proceeding),
                    }
                }
                state => state,
            };
        }
        state
    }

    pub(super) fn timeout(mut self: Box<Self>, now: Instant, core: &mut Core) -> State {
        let Some(waiting) = &mut self.reliable.waiting else {
            return State::Proceeding(self);
        };
        if now >= waiting.give_up_at {
            // §3: a 5xx ends the INVITE when no PRACK comes.
            self.finish(now, 504, core);
            return State::Closing;
        }
        if now >= waiting.again.at {
            core.ua
                .transactions
                .send(waiting.transmit.to, waiting.transmit.bytes.clone());
            // RFC 3262 §3: doubles without a cap.
            waiting.again = waiting.again.doubled(now, None);
        }
        State::Proceeding(self)
    }
}
