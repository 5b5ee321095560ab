//! The INVITE (RFC 3261 §13.2.1), and the INVITE again after 3xx, 401, 407, 422, 488, 491, 494 and 606.
use std::time::Instant;

use super::inviting::RetryBudget;
use super::{Core, InviteConfig, redirect};
use crate::sip::dialog::MAX_FORWARDS;
use crate::sip::endpoint::{SDP, set_seq, without_credentials, without_via};
use crate::sip::message::{CSeq, Method, Request, Response};

/// RFC 4028 §4; a larger Min-SE than a day is no session timer but a fault.
const MIN_SE_MAX_S: u32 = 86_400;

/// Fields that the session writes itself.
const OWN_FIELDS: [&str; 20] = [
    "Via",
    "From",
    "To",
    "Call-ID",
    "CSeq",
    "Contact",
    "Route",
    "Record-Route",
    "Max-Forwards",
    "Content-Type",
    "Content-Length",
    "Content-Encoding",
    "Allow",
    "Accept",
    "Supported",
    "Require",
    "User-Agent",
    "Authorization",
    "Proxy-Authorization",
    "Session-Expires",
];

/// What to do with a rejection.
pub(super) enum Again {
    Now(Request),
    /// After a pause (491).
    At(Instant, Request),
    /// It is final.
    No,
}

/// The first INVITE, but for what the endpoint adds.
pub(super) fn first_invite(config: &InviteConfig, core: &Core) -> Request {
    let (uri, routes) = routed(config);
    let mut invite = Request::new(Method::Invite, uri);
    for route in routes {
        invite.headers.push("Route", route);
    }
    let from = config.from.clone().with_tag(&core.local_tag);
    invite.headers.push("Max-Forwards", MAX_FORWARDS);
    invite.headers.push("From", from.to_string());
    invite
        .headers
        .push("To", config.to.clone().without_tag().to_string());
    invite.headers.push("Call-ID", config.call_id.as_str());
    invite
        .headers
        .push("CSeq", CSeq::new(1, Method::Invite).to_string());
    invite.headers.push("Accept", SDP);
    for (name, value) in &config.extra_headers {
        if !OWN_FIELDS.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            invite.headers.push(name, value.as_str());
        }
    }
    invite.with_body(SDP, core.offer.clone())
}

/// RFC 3261 §8.1.1.1 and §12.2.1.1: a strict first router gets its own URI as Request-URI.
fn routed(config: &InviteConfig) -> (crate::sip::uri::Uri, Vec<String>) {
    let uri = config.request_uri.clone().into_request_uri();
    match config.route.split_first() {
        Some((first, rest)) if !first.uri.is_loose_router() => {
            let mut routes: Vec<String> = rest.iter().map(ToString::to_string).collect();
            routes.push(format!("<{uri}>"));
            (first.uri.clone().into_request_uri(), routes)
        }
        Some(_) | None => (uri, config.route.iter().map(ToString::to_string).collect()),
    }
}

/// Whether and how the INVITE goes out again after this rejection.
pub(super) fn again(
    now: Instant,
    invite: &Request,
    response: &Response,
    budget: &mut RetryBudget,
    core: &mut Core,
) -> Again {
    let request = match response.status {
        401 | 407 if take_one(&mut budget.challenges) => {
            core.ua.answer_challenge(invite, response, &mut budget.asked)
        }
        300..=399 if take_one(&mut budget.redirects) => {
            redirect::followed(invite, response, core).map(|uri| Request { uri, ..fresh(invite) })
        }
        422 if take_one(&mut budget.intervals) => longer_interval(invite, response),
        488 | 606 if core.targets.is_unheard() => core.fallback.take().map(|offer| {
            core.offer.clone_from(&offer);
            fresh(invite).with_body(SDP, offer)
        }),
        491 if take_one(&mut budget.glares) => Some(fresh(invite)),
        494 if take_one(&mut budget.agreements) => Some(fresh(invite)),
        _ => None,
    };
    let Some(mut request) = request else {
        return Again::No;
    };
    let seq = invite.headers.cseq().map_or(1, |cseq| cseq.seq);
    set_seq(&mut request, seq.saturating_add(1));
    if response.status == 491 {
        return Again::At(now + core.ua.glare_pause(true), request);
    }
    Again::Now(request)
}

/// RFC 4028 §7.3: with the Min-SE that the 422 names.
fn longer_interval(invite: &Request, response: &Response) -> Option<Request> {
    let min_se = response
        .headers
        .min_se()
        .filter(|seconds| *seconds <= MIN_SE_MAX_S)?;
    let mut again = fresh(invite);
    again.headers.set("Session-Expires", min_se.to_string());
    again.headers.set("Min-SE", min_se.to_string());
    Some(again)
}

fn fresh(invite: &Request) -> Request {
    without_credentials(without_via(invite))
}

fn take_one(left: &mut u8) -> bool {
    match left.checked_sub(1) {
        Some(rest) => {
            *left = rest;
            true
        }
        None => false,
    }
}
