//! One INVITE of ours as the trunk remembers it, with the legs that it forked into.
use std::collections::{BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};

use ringproof::model::Entropy;
use ringproof::sip::message::{Method, Request};

use super::{LineEvent, Out, Timer, branch, seq, text, to_tag};
use crate::clock::At;
use crate::dice::Dice;
use crate::script::{AnswerForm, CallScript, OnBye, OnCancel};

/// Phones that one INVITE may reach.
pub(crate) const LEGS: usize = 2;

#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) call_id: String,
    pub(crate) script: CallScript,
    pub(crate) legs: Vec<Leg>,
    pub(super) invite: Request,
    pub(super) source: SocketAddr,
    /// Branches of INVITEs that another has replaced.
    pub(super) old_branches: BTreeSet<String>,
    /// Counts INVITEs with a CSeq of their own: a new one begins the script again.
    pub(super) generation: u32,
    pub(super) challenges: u8,
    pub(super) first_try_done: bool,
    pub(super) last_provisional: Option<Vec<u8>>,
    pub(super) rejection: Option<Rejection>,
    pub(super) unacknowledged: Option<Reliable>,
    pub(super) rseq: u32,
    pub(super) requests: Vec<OwnRequest>,
    /// Keys that wait for the INFO before them to be answered.
    pub(super) keys_waiting: VecDeque<WaitingKey>,
    /// Keys pressed that go by INFO.
    pub(crate) keys: Vec<InfoKey>,
    /// CANCEL came while nothing final had been sent.
    pub(crate) canceled_at: Option<At>,
    /// First 18x or 2xx that left.
    pub(crate) rang_at: Option<At>,
    /// No phone rings or talks any more.
    pub(crate) released_at: Option<At>,
    /// INVITE datagrams, repetitions included.
    pub(crate) invites: u32,
}

#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) tag: String,
    /// Where its RTP comes from.
    pub(crate) media: SocketAddr,
    pub(crate) state: LegState,
    /// The 2xx and its time.
    pub(crate) answered_at: Option<At>,
    pub(super) ok: Option<Vec<u8>>,
    pub(crate) acked: bool,
    /// CSeq numbers of BYEs that came.
    pub(crate) byes: BTreeSet<u32>,
    pub(crate) bye_came_at: Option<At>,
    pub(crate) bye_sent_at: Option<At>,
    pub(super) seq: u32,
    pub(crate) form: Media,
    pub(super) bye_challenged: bool,
    pub(super) sdp_version: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LegState {
    Unanswered,
    Answered,
    Over,
}

/// What the leg's side has said about media.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Media {
    pub(crate) events: bool,
}

#[derive(Debug)]
pub(super) struct Rejection {
    pub(super) bytes: Vec<u8>,
    pub(super) acked: bool,
    pub(super) sent_at: At,
}

#[derive(Debug)]
pub(super) struct Reliable {
    pub(super) rseq: u32,
    pub(super) bytes: Vec<u8>,
    pub(super) sent_at: At,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct WaitingKey {
    pub(super) leg: usize,
    pub(super) key: char,
    pub(super) ms: u64,
    pub(super) pressed_at: At,
}

/// A key and the CSeq of its INFO; none left when the leg was over first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InfoKey {
    pub(crate) leg: usize,
    pub(crate) pressed_at: At,
    pub(crate) seq: Option<u32>,
}

#[derive(Debug)]
pub(super) struct OwnRequest {
    pub(super) branch: String,
    pub(super) method: &'static str,
    pub(super) leg: usize,
    pub(super) seq: u32,
    pub(super) from: SocketAddr,
    pub(super) bytes: Vec<u8>,
    pub(super) sent_at: At,
    pub(super) done: bool,
    pub(super) provisional: bool,
}

impl Exchange {
    pub(super) fn new(
        invite: Request,
        source: SocketAddr,
        script: CallScript,
        (media, index): (Ipv4Addr, usize),
        dice: &mut Entropy,
    ) -> Self {
        let legs = (0..LEGS).map(|leg| {
            let port = 20_000 + u16::try_from((index * LEGS + leg) * 2).unwrap();
            Leg {
                tag: format!("{}-{leg}", &dice.token()[..8]),
                media: SocketAddr::from((media, port)),
                state: LegState::Unanswered,
                answered_at: None,
                ok: None,
                acked: false,
                byes: BTreeSet::new(),
                bye_came_at: None,
                bye_sent_at: None,
                seq: u32::try_from(dice.below(1000)).unwrap(),
                form: Media { events: true },
                bye_challenged: false,
                sdp_version: 1,
            }
        });
        Self {
            call_id: invite.headers.call_id().unwrap_or_default().to_owned(),
            script,
            legs: legs.collect(),
            invite,
            source,
            old_branches: BTreeSet::new(),
            generation: 0,
            challenges: 0,
            first_try_done: false,
            last_provisional: None,
            rejection: None,
            unacknowledged: None,
            rseq: u32::try_from(dice.between(1, 5000)).unwrap(),
            requests: Vec::new(),
            keys_waiting: VecDeque::new(),
            keys: Vec::new(),
            canceled_at: None,
            rang_at: None,
            released_at: None,
            invites: 1,
        }
    }

    pub(super) fn request(&mut self, request: &Request, source: SocketAddr, out: &mut Out<'_>) {
        self.source = source;
        match &request.method {
            Method::Invite => self.invite_again(request, source, out),
            Method::Ack => self.ack(request, out),
            Method::Cancel => self.cancel(request, source, out),
            Method::Bye => self.bye(request, source, out),
            Method::Prack => self.prack(request, source, out),
            _ => self.reply(request, source, 200, &[], out),
        }
    }

    pub(super) fn timer(&mut self, timer: Timer, out: &mut Out<'_>) {
        match timer {
            Timer::Step { generation, index } if generation == self.generation => self.step(index, out),
            Timer::RepeatAnswer { leg, interval_ms } => self.repeat_answer(leg, interval_ms, out),
            Timer::RepeatRejection {
                generation,
                interval_ms,
            } if generation == self.generation => {
                self.repeat_rejection(interval_ms, out);
            }
            Timer::RepeatReliable {
                generation,
                rseq,
                interval_ms,
            } if generation == self.generation => {
                self.repeat_reliable(rseq, interval_ms, out);
            }
            Timer::RepeatRequest { index, interval_ms } => self.repeat_request(index, interval_ms, out),
            Timer::Terminate { generation } if generation == self.generation && !self.is_final() => {
                self.reject(487, None, &[], out);
            }
            Timer::HangUp { leg } => self.hang_up(leg, out),
            Timer::Step { .. }
            | Timer::RepeatRejection { .. }
            | Timer::RepeatReliable { .. }
            | Timer::Terminate { .. } => {}
        }
    }

    pub(super) fn reply(
        &self,
        request: &Request,
        source: SocketAddr,
        status: u16,
        extra: &[(&str, String)],
        out: &mut Out<'_>,
    ) {
        let bytes = text::response(request, source, status, Some(&self.legs[0].tag), extra, None);
        out.send(out.edge, source, bytes);
    }

    pub(super) fn is_answered(&self) -> bool {
        self.legs.iter().any(|leg| leg.state != LegState::Unanswered)
    }

    /// Something final has been said to the present INVITE.
    pub(super) fn is_final(&self) -> bool {
        self.rejection.is_some() || self.is_answered()
    }

    pub(super) fn leg_of(&self, request: &Request) -> Option<usize> {
        let tag = to_tag(request)?;
        self.legs
            .iter()
            .position(|leg| leg.tag == tag && leg.state != LegState::Unanswered)
    }

    /// The leg is over, whoever said so.
    pub(super) fn end(&mut self, leg: usize, out: &mut Out<'_>) {
        if self.legs[leg].state == LegState::Over {
            return;
        }
        self.legs[leg].state = LegState::Over;
        out.line(leg, LineEvent::Over);
        self.release_if_idle(out.now);
    }

    pub(super) fn release_if_idle(&mut self, now: At) {
        let talks = self.legs.iter().any(|leg| leg.state == LegState::Answered);
        if !talks && self.is_final() {
            self.released_at.get_or_insert(now);
        }
    }

    fn ack(&mut self, request: &Request, out: &mut Out<'_>) {
        if branch(request) == branch(&self.invite)
            && let Some(rejection) = &mut self.rejection
        {
            rejection.acked = true;
            return;
        }
        if let Some(index) = self.own_ack(request) {
            self.requests[index].done = true;
            return;
        }
        match self.leg_of(request) {
            Some(leg) if seq(request) == seq(&self.invite) => self.legs[leg].acked = true,
            Some(_) | None => {
                let of_rejection = self.rejection.is_some() || self.generation > 0;
                if !of_rejection {
                    out.breach(format!("an ACK with CSeq {} acknowledges nothing", seq(request)));
                }
            }
        }
    }

    fn cancel(&mut self, cancel: &Request, source: SocketAddr, out: &mut Out<'_>) {
        if branch(cancel) != branch(&self.invite) || seq(cancel) != seq(&self.invite) {
            return self.reply(cancel, source, 481, &[], out);
        }
        if self.is_final() {
            return self.reply(cancel, source, 200, &[], out);
        }
        if self.last_provisional.is_none() {
            out.breach("CANCEL before any provisional response was sent".to_owned());
        }
        let first = self.canceled_at.is_none();
        self.canceled_at.get_or_insert(out.now);
        match self.script.on_cancel {
            OnCancel::Terminates { after_ms } => {
                self.reply(cancel, source, 200, &[], out);
                if first {
                    out.timer(
                        after_ms,
                        Timer::Terminate {
                            generation: self.generation,
                        },
                    );
                }
            }
            OnCancel::AnswersFirst => {
                self.answer(0, AnswerForm::Pcmu, out);
                self.reply(cancel, source, 200, &[], out);
            }
            OnCancel::Ignores => self.reply(cancel, source, 200, &[], out),
            OnCancel::Deaf => {}
            OnCancel::Unknown => self.reply(cancel, source, 481, &[], out),
        }
    }

    fn bye(&mut self, bye: &Request, source: SocketAddr, out: &mut Out<'_>) {
        let Some(leg) = self.leg_of(bye) else {
            out.breach("a BYE for a leg that was never answered".to_owned());
            return self.reply(bye, source, 481, &[], out);
        };
        let seen = &mut self.legs[leg];
        let is_new = seen.byes.insert(seq(bye));
        seen.bye_came_at.get_or_insert(out.now);
        if is_new && seen.byes.len() > 1 + usize::from(seen.bye_challenged) {
            out.breach(format!("leg {leg} gets a second BYE"));
        }
        match self.script.on_bye {
            OnBye::Challenges if !bye.headers.contains("Authorization") => {
                self.legs[leg].bye_challenged = true;
                let nonce = super::answering::nonce(9);
                let value = super::digest::challenge(&nonce, true, false);
                self.reply(bye, source, 401, &[("WWW-Authenticate", value)], out);
            }
            OnBye::Ok | OnBye::Challenges => {
                self.reply(bye, source, 200, &[], out);
                self.end(leg, out);
            }
            OnBye::Unknown => {
                self.reply(bye, source, 481, &[], out);
                self.end(leg, out);
            }
            OnBye::Deaf => self.end(leg, out),
        }
    }
}
