//! Session timers, RFC 4028: accepted as the peer asks, and refreshed by us where we are the refresher.
//!
//! We ask for none ourselves. As refresher we send UPDATE without a body, or re-INVITE with our present
//! description to a peer that does not allow UPDATE. A session that nobody refreshes in time is over: BYE (§10).
use std::time::{Duration, Instant};

use super::{InviteUsage, Negotiation, SOON, UsageEvent};
use crate::sip::endpoint::Endpoint;
use crate::sip::message::{Headers, Method, Refresher, Request, Response};
use crate::sip::transaction::table::{Completion, Reply};

/// RFC 4028 §4: the least interval that anyone has to accept.
const MIN_SE_S: u32 = 90;
/// An interval above one day is a day.
const MAX_SE_S: u32 = 86_400;

/// §10: how long before the end a BYE leaves where the peer has not refreshed, at most.
const EARLY_END_S: u32 = 32;

/// Who refreshes, and how the peer may be asked to.
#[derive(Debug)]
pub(super) struct Refresh {
    duty: Duty,
    method: Method,
    /// What a 422 asked for; it goes with every later request (§7.4).
    min_se_s: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
enum Duty {
    /// No session timer.
    None,
    Ours {
        interval_s: u32,
        at: Instant,
        ends_at: Instant,
    },
    /// The peer's work.
    Theirs { ends_at: Instant },
}

impl Refresh {
    pub(super) const fn off() -> Self {
        Self {
            duty: Duty::None,
            method: Method::Invite,
            min_se_s: None,
        }
    }

    /// What a 2xx to our INVITE says.
    pub(super) fn agreed_by(now: Instant, ok: &Response) -> Self {
        let mut refresh = Self::off();
        refresh.learn_method(&ok.headers);
        refresh.renew(now, ok);
        refresh
    }

    /// A 2xx to a request of ours: we are the refresher unless it says `uas`.
    pub(super) fn renew(&mut self, now: Instant, ok: &Response) {
        self.duty = match ok.headers.session_expires() {
            Some(agreed) if agreed.refresher == Some(Refresher::Uas) => theirs(now, agreed.seconds),
            Some(agreed) => ours(now, agreed.seconds),
            None => Duty::None,
        };
    }

    /// Our 2xx to a request of the peer: accepted as asked (§9). Where it did not choose, the sender refreshes if it
    /// can; where a proxy asked for a sender that cannot, we do.
    pub(super) fn grant(&mut self, now: Instant, request: &Request, ok: &mut Response) {
        self.learn_method(&request.headers);
        let Some(asked) = request.headers.session_expires() else {
            self.duty = Duty::None;
            return;
        };
        let (side, duty) = match asked.refresher {
            Some(Refresher::Uas) => ("uas", ours(now, asked.seconds)),
            None if !request.headers.supports("timer") => ("uas", ours(now, asked.seconds)),
            Some(Refresher::Uac) | None => ("uac", theirs(now, asked.seconds)),
        };
        ok.headers
            .push("Session-Expires", format!("{};refresher={side}", asked.seconds));
        if side == "uac" && request.headers.supports("timer") {
            ok.headers.push("Require", "timer");
        }
        self.duty = duty;
    }

    /// §9: an interval that nobody has to accept.
    pub(super) fn refusal(&self, request: &Request, ua: &Endpoint) -> Option<Response> {
        let asked = request.headers.session_expires()?;
        if asked.seconds >= MIN_SE_S || !request.headers.supports("timer") {
            return None;
        }
        let mut response = ua.reply(request, 422);
        response.headers.push("Min-SE", MIN_SE_S.to_string());
        Some(response)
    }

    /// Adds our wish to a refreshing request, where we are the refresher.
    pub(super) fn ask(&self, request: &mut Request) {
        if let Duty::Ours { interval_s, .. } = self.duty {
            request
                .headers
                .push("Session-Expires", format!("{interval_s};refresher=uac"));
            if let Some(min_se_s) = self.min_se_s {
                request.headers.push("Min-SE", min_se_s.to_string());
            }
        }
    }

    /// A 422 to our refresh: one more at once, with the interval that it names (§7.3). Says whether there is one.
    pub(super) fn raise(&mut self, now: Instant, refusal: &Response) -> bool {
        let Duty::Ours { interval_s, at, .. } = &mut self.duty else {
            return false;
        };
        let asked = refusal.headers.min_se().filter(|asked| *asked <= MAX_SE_S);
        let (None, Some(min_se_s)) = (self.min_se_s, asked) else {
            return false;
        };
        self.min_se_s = Some(min_se_s);
        *interval_s = min_se_s.max(*interval_s);
        *at = now;
        true
    }

    pub(super) fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        match self.duty {
            Duty::None => None,
            Duty::Ours { at, ends_at, .. } => Some((at.min(ends_at), "session refresh")),
            Duty::Theirs { ends_at } => Some((ends_at, "session expiry")),
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        match self.duty {
            Duty::None => false,
            Duty::Ours { ends_at, .. } | Duty::Theirs { ends_at } => now >= ends_at,
        }
    }

    fn learn_method(&mut self, headers: &Headers) {
        if headers.allow().any(|method| method == "UPDATE") {
            self.method = Method::Update;
        }
    }

    fn again_at(&mut self, next: Instant) {
        if let Duty::Ours { at, .. } = &mut self.duty {
            *at = next;
        }
    }
}

/// §7.2: half the interval leaves time for a second try.
fn ours(now: Instant, seconds: u32) -> Duty {
    let interval_s = seconds.clamp(MIN_SE_S, MAX_SE_S);
    Duty::Ours {
        interval_s,
        at: after(now, interval_s / 2),
        ends_at: after(now, interval_s),
    }
}

/// §10: a third of the interval, or 32 s, before the end.
fn theirs(now: Instant, seconds: u32) -> Duty {
    let interval_s = seconds.clamp(MIN_SE_S, MAX_SE_S);
    Duty::Theirs {
        ends_at: after(now, interval_s - EARLY_END_S.min(interval_s / 3)),
    }
}

fn after(now: Instant, seconds: u32) -> Instant {
    now + Duration::from_secs(seconds.into())
}

impl InviteUsage {
    pub(super) fn refresh_session(&mut self, now: Instant, ua: &mut Endpoint, out: &mut Vec<UsageEvent>) {
        if !self.is_confirmed() {
            return;
        }
        if self.refresh.is_over(now) {
            self.refresh.duty = Duty::None;
            return self.lose(now, "nobody refreshed the session", ua, out);
        }
        let Duty::Ours {
            interval_s,
            at,
            ends_at,
        } = self.refresh.duty
        else {
            return;
        };
        if now < at {
            return;
        }
        if !matches!(self.negotiation, Negotiation::Stable) || self.unacked.is_some() {
            self.refresh.again_at(now + SOON);
            return;
        }
        // Until the answer says when, the next try is half an interval away.
        self.refresh.duty = Duty::Ours {
            interval_s,
            at: after(now, interval_s / 2),
            ends_at,
        };
        if self.refresh.method == Method::Update {
            let mut update = self.dialog.next_request(Method::Update);
            self.refresh.ask(&mut update);
            if self.send(now, update, ua).is_none() {
                self.refresh.again_at(now + SOON);
            }
        } else {
            self.send_reinvite(now, self.description.clone(), ua);
        }
    }

    pub(super) fn update_completed(
        &mut self,
        now: Instant,
        completion: &Completion,
        ua: &mut Endpoint,
        out: &mut Vec<UsageEvent>,
    ) {
        let Reply::Response(response) = &completion.reply else {
            return self.lose(now, "a session refresh got no answer", ua, out);
        };
        match response.status {
            200..=299 => {
                self.dialog.refresh_target(&response.headers);
                self.refresh.renew(now, response);
            }
            408 | 481 => self.lose(now, "the peer does not know the dialog", ua, out),
            // Without a second try the session goes on until its end.
            422 => {
                self.refresh.raise(now, response);
            }
            491 | 500 | 504 => {
                let pause = ua.glare_pause(true);
                self.refresh.again_at(now + pause);
            }
            _ => {
                self.refresh.method = Method::Invite;
                self.refresh.again_at(now + SOON);
            }
        }
    }
}
