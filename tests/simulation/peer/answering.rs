//! The answers to the INVITE, step by step, each repeated until it is acknowledged.
use std::net::SocketAddr;

use ringproof::sip::message::Request;

use super::exchange::{Exchange, LegState, Rejection, Reliable};
use super::{GIVE_UP_MS, LineEvent, Out, T1_MS, T2_MS, Timer, branch, digest, seq, text, to_tag};
use crate::script::{AnswerForm, Challenge, ChallengeVerdict, FirstTry, Step};

pub(super) fn nonce(round: u8) -> String {
    format!("nonce-{round}")
}

impl Exchange {
    /// A new INVITE: the first, or one that was sent again with another CSeq.
    pub(super) fn invited(&mut self, out: &mut Out<'_>) {
        if let Some(challenge) = self.script.challenge
            && !self.passes(challenge, out)
        {
            return;
        }
        if let Some(first) = self.script.first
            && !self.first_try_done
        {
            self.first_try_done = true;
            return match first {
                FirstTry::Pending491 => self.reject(491, None, &[], out),
                FirstTry::IntervalTooSmall422 => self.reject(422, None, &[("Min-SE", "600".to_owned())], out),
            };
        }
        self.schedule(0, out);
    }

    pub(super) fn invite_again(&mut self, request: &Request, source: SocketAddr, out: &mut Out<'_>) {
        self.invites += 1;
        if to_tag(request).is_some() {
            return self.reply(request, source, 488, &[], out);
        }
        if branch(request) == branch(&self.invite) {
            return self.repeat_last(source, out);
        }
        if self.old_branches.contains(&branch(request)) {
            return;
        }
        if seq(request) <= seq(&self.invite) {
            out.breach(format!(
                "an INVITE with a new branch and the old CSeq {}",
                seq(request)
            ));
            return;
        }
        if self.is_answered() {
            out.breach("another INVITE after the answer".to_owned());
        }
        self.old_branches.insert(branch(&self.invite));
        self.invite = request.clone();
        self.generation += 1;
        self.rejection = None;
        self.last_provisional = None;
        self.unacknowledged = None;
        self.released_at = None;
        self.invited(out);
    }

    pub(super) fn step(&mut self, index: usize, out: &mut Out<'_>) {
        let Some((_, step)) = self.script.steps.get(index).cloned() else {
            return;
        };
        let unanswered = !self.is_final() && self.canceled_at.is_none_or(|_| self.goes_on_after_cancel());
        match step {
            Step::Provisional {
                leg,
                status,
                media,
                reliable,
            } if unanswered => {
                self.provisional(leg, status, media, reliable, out);
            }
            Step::Answer { leg, form } if self.rejection.is_none() => self.answer(leg, form, out),
            Step::Refuse {
                status,
                phrase,
                headers,
            } if unanswered => {
                self.reject(status, phrase, &headers, out);
            }
            Step::Offer { leg, form } => self.offer(leg, form, out),
            Step::Options { leg } => self.options(leg, out),
            Step::Provisional { .. } | Step::Answer { .. } | Step::Refuse { .. } => {}
        }
        self.schedule(index + 1, out);
    }

    pub(super) fn answer(&mut self, leg: usize, form: AnswerForm, out: &mut Out<'_>) {
        let stopped = self.canceled_at.is_some() && !self.goes_on_after_cancel();
        if stopped || self.legs[leg].state != LegState::Unanswered {
            return;
        }
        self.legs[leg].form.events = !matches!(form, AnswerForm::WithoutEvents);
        let sdp = self.sdp(leg, form);
        let extra = self.dialog_headers(out);
        let tag = self.legs[leg].tag.clone();
        let bytes = text::response(&self.invite, self.source, 200, Some(&tag), &extra, sdp.as_deref());
        self.legs[leg].ok = Some(bytes);
        self.legs[leg].state = LegState::Answered;
        self.legs[leg].answered_at = Some(out.now);
        self.rang_at.get_or_insert(out.now);
        self.released_at = None;
        self.unacknowledged = None;
        out.line(leg, LineEvent::Answered);
        self.send_ok(leg, out);
        out.timer(
            T1_MS,
            Timer::RepeatAnswer {
                leg,
                interval_ms: T1_MS,
            },
        );
    }

    pub(super) fn reject(
        &mut self,
        status: u16,
        phrase: Option<&str>,
        headers: &[(&str, String)],
        out: &mut Out<'_>,
    ) {
        let tag = self.legs[0].tag.clone();
        let line = (status, phrase);
        let bytes = text::response_with_phrase(&self.invite, self.source, line, Some(&tag), headers, None);
        out.send(out.edge, self.source, bytes.clone());
        self.rejection = Some(Rejection {
            bytes,
            acked: false,
            sent_at: out.now,
        });
        out.timer(
            T1_MS,
            Timer::RepeatRejection {
                generation: self.generation,
                interval_ms: T1_MS,
            },
        );
        for leg in 0..self.legs.len() {
            out.line(leg, LineEvent::Over);
        }
        self.release_if_idle(out.now);
    }

    pub(super) fn repeat_answer(&mut self, leg: usize, interval_ms: u64, out: &mut Out<'_>) {
        let Some(answered_at) = self.legs[leg].answered_at else {
            return;
        };
        if self.legs[leg].acked || self.legs[leg].state == LegState::Over {
            return;
        }
        // RFC 3261 §13.3.1.4: without an ACK the callee's side ends the session itself.
        if out.now.since(answered_at).as_millis() >= u128::from(GIVE_UP_MS) {
            return self.send_bye(leg, out);
        }
        self.send_ok(leg, out);
        let next_ms = (interval_ms * 2).min(T2_MS);
        out.timer(
            next_ms,
            Timer::RepeatAnswer {
                leg,
                interval_ms: next_ms,
            },
        );
    }

    pub(super) fn repeat_rejection(&mut self, interval_ms: u64, out: &mut Out<'_>) {
        let Some(rejection) = &self.rejection else { return };
        let age_ms = out.now.since(rejection.sent_at).as_millis();
        if rejection.acked || age_ms >= u128::from(GIVE_UP_MS) {
            return;
        }
        out.send(out.edge, self.source, rejection.bytes.clone());
        let next_ms = (interval_ms * 2).min(T2_MS);
        out.timer(
            next_ms,
            Timer::RepeatRejection {
                generation: self.generation,
                interval_ms: next_ms,
            },
        );
    }

    pub(super) fn repeat_reliable(&mut self, rseq: u32, interval_ms: u64, out: &mut Out<'_>) {
        let Some(reliable) = self
            .unacknowledged
            .as_ref()
            .filter(|reliable| reliable.rseq == rseq)
        else {
            return;
        };
        if out.now.since(reliable.sent_at).as_millis() >= u128::from(GIVE_UP_MS) || self.is_final() {
            return;
        }
        out.send(out.edge, self.source, reliable.bytes.clone());
        let next_ms = interval_ms * 2;
        out.timer(
            next_ms,
            Timer::RepeatReliable {
                generation: self.generation,
                rseq,
                interval_ms: next_ms,
            },
        );
    }

    pub(super) fn prack(&mut self, prack: &Request, source: SocketAddr, out: &mut Out<'_>) {
        let rack = prack.headers.get("RAck").unwrap_or_default();
        let number = rack.split(' ').next().and_then(|n| n.parse::<u32>().ok());
        let expected = self.unacknowledged.as_ref().map(|reliable| reliable.rseq);
        if expected.is_some() && number == expected {
            self.unacknowledged = None;
        }
        let known = number.is_some_and(|number| number <= self.rseq);
        self.reply(prack, source, if known { 200 } else { 481 }, &[], out);
    }

    pub(super) fn dialog_headers(&self, out: &Out<'_>) -> Vec<(&'static str, String)> {
        let contact = if self.script.record_route {
            out.core
        } else {
            out.edge
        };
        let mut headers = vec![
            ("Contact", format!("<sip:callee@{contact}>")),
            ("Allow", "INVITE, ACK, BYE".to_owned()),
        ];
        if self.script.record_route {
            headers.push(("Record-Route", format!("<sip:{};lr>", out.edge)));
        }
        headers
    }

    pub(super) fn sdp(&self, leg: usize, form: AnswerForm) -> Option<String> {
        let (port, lines) = match form {
            AnswerForm::Absent => return None,
            AnswerForm::Pcmu => (self.legs[leg].media.port(), PCMU),
            AnswerForm::Pcma => (self.legs[leg].media.port(), PCMA),
            AnswerForm::WithoutEvents => (self.legs[leg].media.port(), PCMU_ALONE),
            AnswerForm::OtherCodec => (self.legs[leg].media.port(), G729),
            AnswerForm::PortZero => (0, PCMU),
        };
        Some(self.describe(leg, port, lines, "sendrecv"))
    }

    pub(super) fn describe(
        &self,
        leg: usize,
        port: u16,
        (formats, lines): Formats,
        direction: &str,
    ) -> String {
        let (ip, version) = (self.legs[leg].media.ip(), self.legs[leg].sdp_version);
        format!(
            "v=0\r\no=- {leg} {version} IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP {formats}\r\n{lines}a=ptime:20\r\na={direction}\r\n"
        )
    }

    fn goes_on_after_cancel(&self) -> bool {
        use crate::script::OnCancel;
        match self.script.on_cancel {
            OnCancel::Terminates { .. } => false,
            OnCancel::AnswersFirst | OnCancel::Ignores | OnCancel::Deaf | OnCancel::Unknown => true,
        }
    }

    fn schedule(&self, index: usize, out: &mut Out<'_>) {
        if let Some((after_ms, _)) = self.script.steps.get(index) {
            out.timer(
                *after_ms,
                Timer::Step {
                    generation: self.generation,
                    index,
                },
            );
        }
    }

    fn provisional(&mut self, leg: usize, status: u16, media: bool, reliable: bool, out: &mut Out<'_>) {
        let mut extra = if status == 100 {
            Vec::new()
        } else {
            self.dialog_headers(out)
        };
        let supports = self
            .invite
            .headers
            .lines("Supported")
            .any(|line| line.contains("100rel"));
        let reliable = reliable && supports && self.unacknowledged.is_none();
        if reliable {
            self.rseq += 1;
            extra.extend([("Require", "100rel".to_owned()), ("RSeq", self.rseq.to_string())]);
        }
        let tag = self.legs[leg].tag.clone();
        let tag = (status != 100).then_some(tag.as_str());
        let sdp = if media {
            self.sdp(leg, AnswerForm::Pcmu)
        } else {
            None
        };
        let bytes = text::response(&self.invite, self.source, status, tag, &extra, sdp.as_deref());
        self.last_provisional = Some(bytes.clone());
        out.send(out.edge, self.source, bytes.clone());
        if reliable {
            let (rseq, generation) = (self.rseq, self.generation);
            self.unacknowledged = Some(Reliable {
                rseq,
                bytes,
                sent_at: out.now,
            });
            out.timer(
                T1_MS,
                Timer::RepeatReliable {
                    generation,
                    rseq,
                    interval_ms: T1_MS,
                },
            );
        }
        if (180..=189).contains(&status) {
            self.rang_at.get_or_insert(out.now);
        }
        if media {
            out.line(leg, LineEvent::EarlyMedia);
        }
    }

    /// A repeated INVITE gets the last answer again.
    fn repeat_last(&mut self, source: SocketAddr, out: &mut Out<'_>) {
        let answered = self
            .legs
            .iter()
            .find(|leg| leg.state == LegState::Answered && !leg.acked);
        let bytes = match (&self.rejection, answered) {
            (Some(rejection), _) => Some(rejection.bytes.clone()),
            (None, Some(leg)) => leg.ok.clone(),
            (None, None) => self.last_provisional.clone(),
        };
        if let Some(bytes) = bytes {
            out.send(out.edge, source, bytes);
        }
    }

    fn send_ok(&self, leg: usize, out: &mut Out<'_>) {
        if let Some(bytes) = self.legs[leg].ok.clone() {
            out.send(out.edge, self.source, bytes);
        }
    }

    /// Whether the INVITE may go on; if not, it has been answered.
    fn passes(&mut self, challenge: Challenge, out: &mut Out<'_>) -> bool {
        let (field, ask) = match challenge.status {
            407 => ("Proxy-Authorization", "Proxy-Authenticate"),
            _ => ("Authorization", "WWW-Authenticate"),
        };
        let credentials = self.invite.headers.get(field).map(str::to_owned);
        let asked = nonce(self.challenges);
        let stale = match credentials {
            None => false,
            Some(value) => match digest::fault(&self.invite, &value, &asked, out.password) {
                Some(fault) => {
                    out.breach(format!("{field}: {fault}"));
                    return true;
                }
                None => match challenge.verdict {
                    ChallengeVerdict::Accepts => return true,
                    ChallengeVerdict::StaleOnce if self.challenges > 1 => return true,
                    ChallengeVerdict::StaleOnce => true,
                    ChallengeVerdict::Never => false,
                },
            },
        };
        self.challenges += 1;
        let value = digest::challenge(&nonce(self.challenges), challenge.with_qop, stale);
        self.reject(challenge.status, None, &[(ask, value)], out);
        false
    }
}

pub(super) type Formats = (&'static str, &'static str);

pub(super) const PCMU: Formats = (
    "0 101",
    "a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n",
);
pub(super) const PCMA: Formats = ("8 101", "a=rtpmap:101 telephone-event/8000\r\n");
pub(super) const PCMU_ALONE: Formats = ("0", "");
pub(super) const G729: Formats = ("18", "a=rtpmap:18 G729/8000\r\n");
