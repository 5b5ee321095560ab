//! 3xx (RFC 3261 §8.1.3.4): followed within the trunk only, and only to the number that was asked for.
//!
//! A redirect server of the carrier sends the same number to another of its hosts. Anything else is a call to somebody
//! whom no rule has allowed (toll fraud), so it is refused: another number, a host that is not the trunk's, another
//! scheme or transport.
use super::Core;
use crate::sip::message::{NameAddr, Request, Response};
use crate::sip::uri::{Host, Scheme, Uri};

const Q_DEFAULT: f32 = 1.0;

/// The Request-URI to go on with; the endpoint then sends to its host.
pub(super) fn followed(invite: &Request, response: &Response, core: &mut Core) -> Option<Uri> {
    let mut contacts = response.headers.contacts().ok()?;
    // Stable: of equals the first counts.
    contacts.sort_by(|a, b| q_of(b).total_cmp(&q_of(a)));
    let own = invite.uri.host();
    let routed = invite.headers.contains("Route");
    contacts.into_iter().find_map(|contact| {
        let uri = contact.uri;
        let fits = uri.scheme() == Scheme::Sip
            && !uri.has_param("maddr")
            && is_same_number(&uri, &invite.uri)
            && !uri.equivalent(&invite.uri);
        if !fits {
            return None;
        }
        let is_own_name = |host: &Host| own.is_some_and(|own| own.equivalent(host));
        let hop = match uri.host()? {
            host @ Host::Name(_) if is_own_name(host) => core.ua.target(),
            Host::Name(_) => return None,
            Host::V4(_) | Host::V6(_) => core.ua.hop_within_trunk(&uri)?,
        };
        // A preloaded route says where to go, whatever the target is.
        if !routed {
            core.ua.redirect_to(hop);
        }
        Some(uri.into_request_uri())
    })
}

/// The user part up to its parameters (`;npdi`, `;rn=`), escapes undone.
fn is_same_number(a: &Uri, b: &Uri) -> bool {
    let number = |uri: &Uri| {
        let user = uri.user_decoded()?;
        user.split(';')
            .next()
            .map(str::to_owned)
            .filter(|user| !user.is_empty())
    };
    number(a).is_some_and(|number_a| number(b).is_some_and(|number_b| number_a == number_b))
}

/// §20.10; a value out of its range comes last.
fn q_of(contact: &NameAddr) -> f32 {
    match contact.params.get("q") {
        None => Q_DEFAULT,
        Some(text) => text
            .parse::<f32>()
            .ok()
            .filter(|q| (0.0..=1.0).contains(q))
            .unwrap_or(0.0),
    }
}
