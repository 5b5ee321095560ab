//! The keys of a trunk that say what its INVITEs look like: number formats, From, identity, privacy, headers.
//!
//! Whatever passes here can stand on the wire as it is: no line end, no separator, no field that is ours to write.
use std::collections::BTreeMap;

use super::reader::{Report, Section};
use super::types::*;
use crate::model::{Region, SrtpPolicy, SrtpProfile};

/// Words of `number_format` and `caller_id_format`.
pub(super) const FORMATS: [(&str, NumberFormat); 4] = [
    ("+e164", NumberFormat::PlusE164),
    ("e164", NumberFormat::E164),
    ("00", NumberFormat::DoubleZero),
    ("national", NumberFormat::National),
];

/// Header fields that the session writes, in its own hand only.
const OURS: [&str; 25] = [
    "via",
    "from",
    "to",
    "call-id",
    "cseq",
    "contact",
    "route",
    "record-route",
    "max-forwards",
    "content-length",
    "content-type",
    "content-encoding",
    "content-disposition",
    "mime-version",
    "authorization",
    "proxy-authorization",
    "allow",
    "accept",
    "supported",
    "require",
    "proxy-require",
    "user-agent",
    "session-expires",
    "min-se",
    "rack",
];

/// Header field → the key that writes it.
const BY_KEY: [(&str, &str); 4] = [
    ("p-asserted-identity", "identity"),
    ("p-preferred-identity", "identity"),
    ("privacy", "privacy"),
    ("diversion", "diversion"),
];

/// RFC 5806 §3, ABNF of diversion-reason.
const DIVERSION_REASONS: [&str; 11] = [
    "unconditional",
    "user-busy",
    "no-answer",
    "unavailable",
    "time-of-day",
    "do-not-disturb",
    "deflection",
    "follow-me",
    "out-of-service",
    "away",
    "unknown",
];

/// RFC 3323 §4.2 and RFC 3325 §9.3.
const PRIVACY_WORDS: [&str; 6] = ["none", "id", "header", "session", "user", "critical"];

/// URI parameters that decide where a request goes or what it is: never an operator's to add.
const ROUTING_PARAMS: [&str; 6] = ["transport", "maddr", "ttl", "method", "lr", "tag"];

pub(super) fn tech_prefix(s: &mut Section<'_>, report: &mut Report<'_>) -> String {
    let prefix = s.text("tech_prefix", report).unwrap_or_default();
    let fits = |c: char| c.is_ascii_digit() || matches!(c, '#' | '*');
    if prefix.len() > 16 || !prefix.chars().all(fits) {
        let message = format!("expected at most 16 of 0-9, * and #, found {prefix:?}");
        s.problem(report, "tech_prefix", message);
    }
    prefix
}

pub(super) fn home_country(s: &mut Section<'_>, report: &mut Report<'_>) -> Option<String> {
    let country = s.text("home_country", report)?;
    if Region::name_of(&country).is_none() {
        let message =
            format!("expected a region that has telephone numbers, such as \"DE\", found {country:?}");
        s.problem(report, "home_country", message);
    }
    Some(country)
}

/// A key that changes nothing is a mistake about another.
pub(super) fn home_country_is_used(s: &Section<'_>, trunk: &Trunk, report: &mut Report<'_>) {
    let national =
        [Some(trunk.number_format), trunk.caller_id_format].contains(&Some(NumberFormat::National));
    if trunk.home_country.is_some() && !national {
        let message = "expected number_format or caller_id_format = \"national\" beside home_country";
        s.problem(report, "home_country", message);
    }
}

pub(super) fn caller_id_format(s: &mut Section<'_>, report: &mut Report<'_>) -> Option<NumberFormat> {
    let words = FORMATS.map(|(word, format)| (word, Some(format)));
    s.one_of("caller_id_format", &words, None, report)
}

pub(super) fn from_user(s: &mut Section<'_>, report: &mut Report<'_>) -> Option<String> {
    let user = s.text("from_user", report)?;
    let fits = |c: char| c.is_ascii_graphic() && !matches!(c, '@' | '<' | '>' | '"');
    if user.is_empty() || user.len() > 64 || !user.chars().all(fits) {
        let message = format!(
            "expected what stands before the @, at most 64 characters such as \"1234567t0\", found {user:?}"
        );
        s.problem(report, "from_user", message);
    }
    Some(user)
}

pub(super) fn display_name(s: &mut Section<'_>, report: &mut Report<'_>) -> Option<String> {
    let name = s.text("display_name", report)?;
    if name.trim().is_empty() || name.chars().count() > 64 || name.chars().any(char::is_control) {
        let message = format!("expected 1 to 64 printable characters such as \"Contoso\", found {name:?}");
        s.problem(report, "display_name", message);
    }
    Some(name)
}

/// `id`, or several words with `;` between them.
pub(super) fn privacy(s: &mut Section<'_>, report: &mut Report<'_>) -> Option<String> {
    let text = s.text("privacy", report)?;
    let words: Vec<&str> = text.split(';').map(str::trim).collect();
    let known = words.iter().all(|word| PRIVACY_WORDS.contains(word));
    let twice = words
        .iter()
        .enumerate()
        .any(|(at, word)| words[..at].contains(word));
    if !known || twice {
        let message = format!(
            "expected one of {}, or several once each with ; between them, found {text:?}",
            PRIVACY_WORDS.join(", ")
        );
        s.problem(report, "privacy", message);
    } else if words.len() > 1 && words.contains(&"none") {
        let message = format!("expected \"none\" to stand alone (RFC 3323), found {text:?}");
        s.problem(report, "privacy", message);
    } else if words == ["critical"] {
        s.problem(
            report,
            "privacy",
            "expected what is critical, such as \"id;critical\"",
        );
    }
    Some(words.join(";"))
}

pub(super) fn diversion(s: &mut Section<'_>, report: &mut Report<'_>) -> Option<Diversion> {
    if !s.holds("diversion") {
        // The key is known all the same: it is what an unknown one may be meant for.
        s.section("diversion", report);
        return None;
    }
    let mut section = s.section("diversion", report);
    let number = section.text("number", report).unwrap_or_default();
    let digits = number.strip_prefix('+').unwrap_or(&number);
    if digits.is_empty() || digits.len() > 15 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        let message = format!("expected a number such as +4930123456, found {number:?}");
        section.problem(report, "number", message);
    }
    let reasons = DIVERSION_REASONS.map(|reason| (reason, reason));
    let reason = section.one_of("reason", &reasons, "unconditional", report);
    section.finish(report);
    Some(Diversion {
        number,
        reason: reason.to_owned(),
    })
}

pub(super) fn uri_params(s: &mut Section<'_>, report: &mut Report<'_>) -> BTreeMap<String, String> {
    let params = s.text_table("uri_params", report);
    for (name, value) in &params {
        if name.is_empty() || !name.bytes().all(is_param_char) || !value.bytes().all(is_param_char) {
            let message = format!(
                "expected names and values of letters, digits and -_.!~*'()+ such as {{ user = \"phone\" }}, \
                 found {name:?} = {value:?}"
            );
            s.problem(report, "uri_params", message);
        } else if ROUTING_PARAMS.contains(&name.to_ascii_lowercase().as_str()) {
            s.problem(
                report,
                "uri_params",
                format!("{name} is written by Ringproof itself"),
            );
        }
    }
    params
}

/// RFC 3261 §25.1: paramchar without escapes, brackets and separators.
const fn is_param_char(b: u8) -> bool {
    b.is_ascii_alphanumeric()
        || matches!(
            b,
            b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')' | b'+'
        )
}

/// RFC 3261 §25.1.
const fn is_token_char(b: u8) -> bool {
    b.is_ascii_alphanumeric()
        || matches!(
            b,
            b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~'
        )
}

pub(super) fn headers(s: &mut Section<'_>, report: &mut Report<'_>) -> BTreeMap<String, String> {
    let headers = s.text_table("headers", report);
    for (name, value) in &headers {
        let lower = name.to_ascii_lowercase();
        let token = !name.is_empty() && name.bytes().all(is_token_char);
        if !token {
            let message = format!(
                "expected a header name of letters, digits and -.!%*_+`'~ such as X-Account, found {name:?}"
            );
            s.problem(report, "headers", message);
        } else if value.trim().is_empty() || value.chars().any(char::is_control) || value.len() > 1024 {
            let message = format!("expected 1 to 1024 octets without control characters for {name}");
            s.problem(report, "headers", message);
        } else if name.len() == 1 {
            // `v`, `t`, `x`…: compact names of fields that are ours, now or in the next RFC.
            let message = format!("expected a whole header name, found the compact {name:?}");
            s.problem(report, "headers", message);
        } else if let Some((_, key)) = BY_KEY.iter().find(|(field, _)| *field == lower) {
            s.problem(report, "headers", format!("{name} is written by the key {key}"));
        } else if OURS.contains(&lower.as_str()) {
            s.problem(
                report,
                "headers",
                format!("{name} is written by Ringproof itself"),
            );
        }
    }
    headers
}

pub(super) const SRTP_POLICIES: [(&str, SrtpPolicy); 3] = [
    ("off", SrtpPolicy::Off),
    ("prefer", SrtpPolicy::Prefer),
    ("require", SrtpPolicy::Require),
];
pub(super) const SRTP_PROFILES: [(&str, SrtpProfile); 2] =
    [("savp", SrtpProfile::Savp), ("avp", SrtpProfile::Avp)];

/// A profile without keys to offer under it is a mistake.
pub(super) fn srtp_profile_is_used(s: &Section<'_>, trunk: &Trunk, report: &mut Report<'_>) {
    if trunk.srtp == SrtpPolicy::Off && trunk.srtp_profile != SrtpProfile::Savp {
        let message = "expected srtp = \"prefer\" or \"require\" beside it: with \"off\" no keys are offered";
        s.problem(report, "srtp_profile", message);
    }
}
