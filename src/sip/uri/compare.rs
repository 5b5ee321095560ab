//! Equivalence of URIs: RFC 3261 §19.1.4, and RFC 3966 §4 for `tel:`.
use std::borrow::Cow;

use super::{Params, SipUri, TelUri, Uri, scan};

/// Parameters that count even when only one side has them.
const STRICT_PARAMS: [&str; 4] = ["user", "ttl", "method", "maddr"];

pub(super) fn equivalent(a: &Uri, b: &Uri) -> bool {
    match (a, b) {
        (Uri::Sip(a), Uri::Sip(b)) => sip(a, b),
        (Uri::Tel(a), Uri::Tel(b)) => tel(a, b),
        (Uri::Absolute(a), Uri::Absolute(b)) => {
            a.scheme.eq_ignore_ascii_case(&b.scheme) && a.opaque == b.opaque
        }
        (Uri::Sip(_), Uri::Tel(_) | Uri::Absolute(_))
        | (Uri::Tel(_), Uri::Sip(_) | Uri::Absolute(_))
        | (Uri::Absolute(_), Uri::Sip(_) | Uri::Tel(_)) => false,
    }
}

fn sip(a: &SipUri, b: &SipUri) -> bool {
    // An absent port differs from a written 5060, and the user is the one part where case counts.
    a.secure == b.secure
        && decoded(a.user.as_deref()) == decoded(b.user.as_deref())
        && decoded(a.password.as_deref()) == decoded(b.password.as_deref())
        && a.host.equivalent(&b.host)
        && a.port == b.port
        && params(&a.params, &b.params)
        && headers(a.headers.as_deref()) == headers(b.headers.as_deref())
}

fn decoded(part: Option<&str>) -> Option<Cow<'_, str>> {
    part.map(scan::unescape)
}

fn params(a: &Params, b: &Params) -> bool {
    let agree = |name: &str| match (a.get(name), b.get(name)) {
        (Some(a), Some(b)) => scan::unescape(a).eq_ignore_ascii_case(&scan::unescape(b)),
        (None, None) => true,
        // `transport` counts as well: RFC 3261 gives `sip:a@b` and `sip:a@b;transport=udp` as different.
        (Some(_), None) | (None, Some(_)) => !STRICT_PARAMS
            .iter()
            .chain(&["transport"])
            .any(|strict| strict.eq_ignore_ascii_case(name)),
    };
    a.iter().chain(b.iter()).all(|param| agree(&param.name))
}

/// Headers count on both sides, in any order; names without regard to case.
fn headers(text: Option<&str>) -> Vec<(String, String)> {
    let mut headers: Vec<_> = text
        .into_iter()
        .flat_map(|text| text.split('&'))
        .map(|header| {
            let (name, value) = header.split_once('=').unwrap_or((header, ""));
            (
                scan::unescape(name).to_ascii_lowercase(),
                scan::unescape(value).into_owned(),
            )
        })
        .collect();
    headers.sort_unstable();
    headers
}

fn tel(a: &TelUri, b: &TelUri) -> bool {
    let bare = |number: &str| -> String {
        number
            .chars()
            .filter(|c| !matches!(c, '-' | '.' | '(' | ')'))
            .map(|c| c.to_ascii_lowercase())
            .collect()
    };
    // Of a name that stands there twice the first counts, as everywhere: else such a URI would differ from itself.
    let agree = |name: &str| match (a.params.get(name), b.params.get(name)) {
        (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
        (Some(_), None) | (None, Some(_) | None) => false,
    };
    let mut names = a.params.iter().chain(b.params.iter()).map(|param| &param.name);
    bare(&a.number) == bare(&b.number) && names.all(|name| agree(name))
}
