//! What became of a call, in words.
use std::time::Duration;

use super::calls::method;
use super::report::shown;
use super::sip::Heard;
use crate::sip::message::{Message, Method};

/// `INVITE`, `200 OK (INVITE)`.
pub(super) fn summary(message: &Message) -> String {
    match message {
        Message::Request(request) => shown(request.method.as_str()),
        Message::Response(response) => {
            let said = format!("{} {}", response.status, response.reason);
            shown(&format!("{} ({})", said.trim(), method(message)))
        }
    }
}

/// The whole life of the call in one line.
pub(super) fn told(heard: &[&Heard]) -> String {
    let began = heard.first().map_or(Duration::ZERO, |h| h.at);
    let after = |h: &Heard| format!("{:.1} s", h.at.saturating_sub(began).as_secs_f64());
    let answered = heard
        .iter()
        .find(|h| invite_status(h).is_some_and(|s| (200..300).contains(&s)));
    let bye = heard.iter().find(|h| is_request(h, &Method::Bye));
    let ended = bye.map_or_else(
        || "no BYE in the capture".to_owned(),
        |bye| format!("{} hung up after {}", bye.source, after(bye)),
    );
    if let Some(answered) = answered {
        return format!("answered after {}; {ended}", after(answered));
    }
    // A challenge is no refusal: the INVITE comes again with credentials.
    let refused = heard
        .iter()
        .rev()
        .find(|h| invite_status(h).is_some_and(|s| s >= 300));
    if let Some(refused) = refused {
        let canceled = heard.iter().any(|h| is_request(h, &Method::Cancel));
        let how = if canceled { "canceled" } else { "refused" };
        return format!("{how} after {}: {}", after(refused), summary(&refused.message));
    }
    "no final response in the capture".to_owned()
}

/// Status of a response to INVITE.
fn invite_status(heard: &Heard) -> Option<u16> {
    match &heard.message {
        Message::Response(response) if method(&heard.message) == Method::Invite.as_str() => {
            Some(response.status)
        }
        Message::Request(_) | Message::Response(_) => None,
    }
}

fn is_request(heard: &Heard, wanted: &Method) -> bool {
    matches!(&heard.message, Message::Request(request) if request.method == *wanted)
}
