//! What a response tells of the telephone that is reached: that the call was forwarded (181, Diversion of RFC 5806,
//! History-Info of RFC 7044), and who the network says it is (P-Asserted-Identity, RFC 3325).
//!
//! Numbers leave this file masked: nothing behind it needs them whole.
use super::Event;
use crate::model::{Forwarded, ForwardedBy};
use crate::sip::message::{Headers, Response};
use crate::sip::uri::Uri;
use crate::sip::wire::{is_token, mask_numbers};

/// Characters of a party and of a reason that are kept.
const CHARS_MAX: usize = 32;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Party {
    pub forwarded: Option<Forwarded>,
    /// Masked.
    pub asserted: Option<String>,
}

/// The event, where there is something to tell.
pub(super) fn told(response: &Response) -> Option<Event> {
    let party = Party {
        forwarded: forwarded(response),
        asserted: asserted(&response.headers),
    };
    (party != Party::default()).then(|| Event::Party(Box::new(party)))
}

/// The most telling of the three signs.
fn forwarded(response: &Response) -> Option<Forwarded> {
    let headers = &response.headers;
    let by = |by| Forwarded {
        by,
        to: None,
        reason: None,
    };
    // A first entry alone is the number that was dialled; a second is a retargeting.
    if headers.all("History-Info").nth(1).is_some() {
        let last = headers
            .addresses("History-Info")
            .ok()
            .and_then(|mut all| all.pop());
        return Some(Forwarded {
            to: last.and_then(|last| masked(&last.uri)),
            ..by(ForwardedBy::HistoryInfo)
        });
    }
    if headers.contains("Diversion") {
        let first = headers.addresses("Diversion").ok();
        let reason = first.and_then(|all| {
            let reason = all.first()?.params.text("reason")?.into_owned();
            (reason.len() <= CHARS_MAX && reason.bytes().all(is_token)).then_some(reason)
        });
        return Some(Forwarded {
            reason,
            ..by(ForwardedBy::Diversion)
        });
    }
    (response.status == 181).then(|| by(ForwardedBy::Status181))
}

/// Nothing where the party asks for privacy (RFC 3323, RFC 3325 §7).
fn asserted(headers: &Headers) -> Option<String> {
    let is_private = headers
        .lines("Privacy")
        .flat_map(|line| line.split([';', ',']))
        .any(|value| matches!(value.trim(), "id" | "user" | "header"));
    if is_private {
        return None;
    }
    let identities = headers.addresses("P-Asserted-Identity").ok()?;
    identities.iter().find_map(|identity| masked(&identity.uri))
}

/// A number without its middle; of a name the first letter.
fn masked(uri: &Uri) -> Option<String> {
    let user = uri.user_decoded()?;
    let user = user.split(';').next().unwrap_or_default();
    let is_number = user
        .chars()
        .all(|c| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | '(' | ')' | '*' | '#'));
    let first = user.chars().next().filter(|c| !c.is_control())?;
    Some(if is_number {
        mask_numbers(user).chars().take(CHARS_MAX).collect()
    } else {
        format!("{first}•••")
    })
}
