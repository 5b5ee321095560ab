//! The trunk's own requests in an answered call: BYE, INFO, offers, OPTIONS.
use ringproof::sip::message::{Request, Response};

use super::answering::{PCMA, PCMU};
use super::exchange::{Exchange, InfoKey, LegState, OwnRequest, WaitingKey};
use super::text::{InDialog, param, uri};
use super::{GIVE_UP_MS, Out, T1_MS, T2_MS, Timer, branch, response_branch};
use crate::script::OfferForm;

impl Exchange {
    pub(super) fn hang_up(&mut self, leg: usize, out: &mut Out<'_>) {
        if self.legs[leg].state != LegState::Answered {
            return;
        }
        // RFC 3261 §15: the callee says no BYE before the ACK.
        if !self.legs[leg].acked {
            return out.timer(100, Timer::HangUp { leg });
        }
        self.send_bye(leg, out);
    }

    pub(super) fn send_bye(&mut self, leg: usize, out: &mut Out<'_>) {
        let cause = (
            "Reason",
            "Q.850;cause=16;text=\"Normal call clearing\"".to_owned(),
        );
        self.send_request("BYE", leg, &[cause], None, out);
        self.legs[leg].bye_sent_at = Some(out.now);
        self.end(leg, out);
    }

    pub(super) fn key_info(&mut self, leg: usize, key: char, ms: u64, out: &mut Out<'_>) {
        self.keys_waiting.push_back(WaitingKey {
            leg,
            key,
            ms,
            pressed_at: out.now,
        });
        self.send_waiting_keys(out);
    }

    fn send_waiting_keys(&mut self, out: &mut Out<'_>) {
        while let Some(waiting) = self.keys_waiting.front().copied() {
            let unanswered = |request: &OwnRequest| request.method == "INFO" && !request.done;
            if self.script.info_waits && self.requests.iter().any(unanswered) {
                return;
            }
            self.keys_waiting.pop_front();
            let WaitingKey {
                leg,
                key,
                ms,
                pressed_at,
            } = waiting;
            let mut seq = None;
            if self.legs[leg].state == LegState::Answered {
                let body = format!("Signal={key}\r\nDuration={ms}\r\n");
                let content = ("Content-Type", "application/dtmf-relay".to_owned());
                self.send_request("INFO", leg, &[content], Some(&body), out);
                seq = Some(self.legs[leg].seq);
            }
            self.keys.push(InfoKey { leg, pressed_at, seq });
        }
    }

    pub(super) fn options(&mut self, leg: usize, out: &mut Out<'_>) {
        if self.may_ask(leg) {
            self.send_request("OPTIONS", leg, &[], None, out);
        }
    }

    pub(super) fn offer(&mut self, leg: usize, form: OfferForm, out: &mut Out<'_>) {
        if !self.may_ask(leg) {
            return;
        }
        self.legs[leg].sdp_version += 1;
        let port = self.legs[leg].media.port();
        let (method, sdp) = match form {
            OfferForm::Hold => ("INVITE", Some(self.describe(leg, port, PCMU, "sendonly"))),
            OfferForm::Resume => ("INVITE", Some(self.describe(leg, port, PCMU, "sendrecv"))),
            OfferForm::OtherCodec => ("INVITE", Some(self.describe(leg, port, PCMA, "sendrecv"))),
            OfferForm::Offerless => ("INVITE", None),
            OfferForm::UpdateRefresh => ("UPDATE", Some(self.describe(leg, port, PCMU, "sendrecv"))),
        };
        let headers = self.dialog_headers(out);
        self.send_request(method, leg, &headers[..1], sdp.as_deref(), out);
    }

    pub(super) fn response(&mut self, response: &Response, out: &mut Out<'_>) {
        let ours = response_branch(response);
        let Some(index) = self.requests.iter().position(|request| request.branch == ours) else {
            return;
        };
        let request = &mut self.requests[index];
        if response.status < 200 {
            request.provisional = true;
            return;
        }
        let (leg, method, was_done) = (request.leg, request.method, request.done);
        request.done = true;
        if method == "INVITE" {
            self.acknowledge(index, response, out);
        }
        if !was_done && matches!(response.status, 408 | 481) && method != "BYE" {
            self.end(leg, out);
        }
        self.send_waiting_keys(out);
    }

    pub(super) fn repeat_request(&mut self, index: usize, interval_ms: u64, out: &mut Out<'_>) {
        let request = &self.requests[index];
        if request.done {
            return;
        }
        if out.now.since(request.sent_at).as_millis() >= u128::from(GIVE_UP_MS) {
            let (leg, method) = (request.leg, request.method);
            // Nobody is there any more.
            if method != "BYE" {
                self.end(leg, out);
            }
            return;
        }
        if request.method == "INVITE" && request.provisional {
            return;
        }
        let (from, bytes) = (request.from, request.bytes.clone());
        out.send(from, self.source, bytes);
        let doubled_ms = interval_ms * 2;
        let next_ms = if self.requests[index].method == "INVITE" {
            doubled_ms
        } else {
            doubled_ms.min(T2_MS)
        };
        out.timer(
            next_ms,
            Timer::RepeatRequest {
                index,
                interval_ms: next_ms,
            },
        );
    }

    /// An ACK for a re-INVITE would be ours to send, never to get.
    pub(super) fn own_ack(&self, ack: &Request) -> Option<usize> {
        self.requests
            .iter()
            .position(|request| request.branch == branch(ack))
    }

    fn may_ask(&self, leg: usize) -> bool {
        let busy = self
            .requests
            .iter()
            .any(|request| request.leg == leg && !request.done);
        self.legs[leg].state == LegState::Answered && self.legs[leg].acked && !busy
    }

    fn send_request(
        &mut self,
        method: &'static str,
        leg: usize,
        extra: &[(&str, String)],
        body: Option<&str>,
        out: &mut Out<'_>,
    ) {
        self.legs[leg].seq += 1;
        let seq = self.legs[leg].seq;
        let branch = format!("z9hG4bK-{}", out.dice.token());
        let from = if !self.script.record_route && out.dice.below(2) == 0 {
            out.core
        } else {
            out.edge
        };
        let bytes = self
            .in_dialog(method, leg, seq, &branch, from)
            .to_bytes(extra, body);
        out.send(from, self.source, bytes.clone());
        let index = self.requests.len();
        self.requests.push(OwnRequest {
            branch,
            method,
            leg,
            seq,
            from,
            bytes,
            sent_at: out.now,
            done: false,
            provisional: false,
        });
        out.timer(
            T1_MS,
            Timer::RepeatRequest {
                index,
                interval_ms: T1_MS,
            },
        );
    }

    fn acknowledge(&mut self, index: usize, response: &Response, out: &mut Out<'_>) {
        let request = &self.requests[index];
        let (leg, seq, from) = (request.leg, request.seq, request.from);
        let success = (200..300).contains(&response.status);
        let branch = if success {
            format!("z9hG4bK-{}", out.dice.token())
        } else {
            request.branch.clone()
        };
        // The answer to an offer of ours (the re-INVITE had none).
        let offerless = success
            && !request
                .bytes
                .windows(15)
                .any(|window| window == b"application/sdp");
        let sdp = offerless.then(|| self.describe(leg, self.legs[leg].media.port(), PCMU, "sendrecv"));
        let bytes = self
            .in_dialog("ACK", leg, seq, &branch, from)
            .to_bytes(&[], sdp.as_deref());
        out.send(from, self.source, bytes);
    }

    fn in_dialog<'a>(
        &'a self,
        method: &'static str,
        leg: usize,
        seq: u32,
        branch: &'a str,
        local: std::net::SocketAddr,
    ) -> DialogText<'a> {
        let get = |name: &str| self.invite.headers.get(name).unwrap_or_default().to_owned();
        DialogText {
            method,
            uri: uri(&get("Contact")),
            from: format!("{};tag={}", get("To"), self.legs[leg].tag),
            to: get("From"),
            call_id: &self.call_id,
            seq,
            branch,
            local,
        }
    }
}

struct DialogText<'a> {
    method: &'static str,
    uri: String,
    from: String,
    to: String,
    call_id: &'a str,
    seq: u32,
    branch: &'a str,
    local: std::net::SocketAddr,
}

impl DialogText<'_> {
    fn to_bytes(&self, extra: &[(&str, String)], body: Option<&str>) -> Vec<u8> {
        debug_assert!(param(&self.to, "tag").is_some());
        InDialog {
            method: self.method,
            uri: &self.uri,
            from: &self.from,
            to: &self.to,
            call_id: self.call_id,
            seq: self.seq,
            branch: self.branch,
            local: self.local,
        }
        .to_bytes(extra, body)
    }
}
