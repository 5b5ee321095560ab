//! `[profile.NAME]`: who is called for what, with which keys, words and times.
use std::collections::BTreeMap;
use std::net::IpAddr;

use reqwest::Url;

use super::reader::{Report, Section};
use super::sections::{count, millis, seconds};
use super::types::*;
use crate::model::{Digit, Method, ScreeningMode};

pub(super) fn profiles(
    root: &mut Section<'_>,
    webhook: &Webhook,
    report: &mut Report<'_>,
) -> BTreeMap<String, Profile> {
    let mut profiles = BTreeMap::new();
    for (name, section) in root.named_sections("profile", report) {
        let profile = profile(section, name.clone(), webhook, report);
        profiles.insert(name, profile);
    }
    if !profiles.contains_key("default") {
        root.problem(report, "profile", "expected a table [profile.default]");
    }
    profiles
}

fn profile(mut s: Section<'_>, name: String, webhook: &Webhook, report: &mut Report<'_>) -> Profile {
    let methods: Vec<Method> = s.parsed_list(
        "methods",
        "press_key, random_key, match_code or speak_code",
        report,
    );
    let brand = s.text("brand", report).unwrap_or_default();
    if brand.chars().count() > 64 || brand.chars().any(char::is_control) {
        s.problem(report, "brand", "expected at most 64 printable characters");
    }
    let profile = Profile {
        locale: s.text("locale", report).unwrap_or_else(|| "en-US".to_owned()),
        prompts: s.text("prompts", report),
        written: ProfilePlaces {
            locale: report.place(&s.origin_of("locale")),
            prompts: report.place(&s.origin_of("prompts")),
            callback_url: report.place(&s.origin_of("callback_url")),
        },
        confirm_key: key(&mut s, "confirm_key", Digit::POUND, report),
        repeat_key: key(&mut s, "repeat_key", Digit::STAR, report),
        reveal_key: key(&mut s, "reveal_key", REVEAL, report),
        fraud_key: fraud_key(&mut s, report),
        methods: if methods.is_empty() {
            Method::ALL.to_vec()
        } else {
            methods
        },
        callbacks: callbacks(&mut s, webhook, report),
        callback_url: callback_url(&mut s, report),
        return_urls: url_list(&mut s, "return_urls", report).into_keys().collect(),
        plays: count(&mut s, "plays", 1..=10, 3, report),
        wait_key: seconds(&mut s, "wait_key_s", 60.0, 5.0, report),
        first_word: millis(&mut s, "first_word_ms", 0..=10_000, 700, report),
        invalid_keys_max: count(&mut s, "invalid_keys", 1..=20, 3, report),
        wrong_keys_max: count(&mut s, "wrong_keys_max", 1..=20, 2, report),
        wrong_codes_max: count(&mut s, "wrong_codes_max", 1..=20, 2, report),
        fraud_window: seconds(&mut s, "fraud_window_s", 30.0, 3.0, report),
        quiet_before: millis(&mut s, "quiet_before_ms", 0..=10_000, 1000, report),
        quiet_after: millis(&mut s, "quiet_after_ms", 0..=10_000, 700, report),
        fraud_sentence: s.boolean("fraud_sentence", true, report),
        goodbye: s.boolean("goodbye", true, report),
        screening: s.one_of("screening", &SCREENING, ScreeningMode::End, report),
        ring: seconds(&mut s, "ring_s", 120.0, 30.0, report),
        no_18x: seconds(&mut s, "no_18x_s", 120.0, 20.0, report),
        ring_hard: seconds(&mut s, "ring_hard_s", 180.0, 45.0, report),
        answered_max: seconds(&mut s, "answered_max_s", 600.0, 60.0, report),
        expires_in: seconds(&mut s, "expires_in_s", 3600.0, 120.0, report),
        name,
        brand,
    };
    keys_differ(&s, &profile, report);
    keys_are_no_input(&s, &profile, report);
    s.finish(report);
    profile
}

const SCREENING: [(&str, ScreeningMode); 3] = [
    ("end", ScreeningMode::End),
    ("label", ScreeningMode::Label),
    ("off", ScreeningMode::Off),
];

/// `1`, as the built-in sentence says.
const REVEAL: Digit = match Digit::from_event(1) {
    Some(digit) => digit,
    None => Digit::ZERO,
};

fn key(s: &mut Section<'_>, name: &'static str, default: Digit, report: &mut Report<'_>) -> Digit {
    let Some(text) = s.text(name, report) else {
        return default;
    };
    one_key(&text).unwrap_or_else(|| {
        let message = format!("expected one of 0-9, * and #, found {text:?}");
        s.problem(report, name, message);
        default
    })
}

fn fraud_key(s: &mut Section<'_>, report: &mut Report<'_>) -> Option<Digit> {
    let Some(text) = s.text("fraud_key", report) else {
        return Some(Digit::ZERO);
    };
    if matches!(text.as_str(), "" | "none") {
        return None;
    }
    let digit = one_key(&text);
    if digit.is_none() {
        let message = format!("expected one of 0-9, * and #, or \"none\", found {text:?}");
        s.problem(report, "fraud_key", message);
    }
    digit
}

fn one_key(text: &str) -> Option<Digit> {
    let mut symbols = text.chars();
    let digit = symbols.next().and_then(Digit::from_char)?;
    symbols.next().is_none().then_some(digit)
}

/// One key cannot do two things in one menu.
fn keys_differ(s: &Section<'_>, profile: &Profile, report: &mut Report<'_>) {
    let confirm = ("confirm_key", profile.confirm_key);
    let repeat = ("repeat_key", profile.repeat_key);
    let reveal = ("reveal_key", profile.reveal_key);
    let mut pairs = vec![(confirm, repeat), (reveal, repeat)];
    if let Some(fraud) = profile.fraud_key {
        pairs.extend([confirm, repeat, reveal].map(|other| (("fraud_key", fraud), other)));
    }
    for ((a, key), (b, other)) in pairs {
        if key == other {
            let written = if s.holds(a) { a } else { b };
            let message = format!("expected {a} and {b} to differ, found {key} for both");
            s.problem(report, written, message);
        }
    }
}

/// Where digits are the answer, a digit cannot be a command as well: it would cut the answer short.
fn keys_are_no_input(s: &Section<'_>, profile: &Profile, report: &mut Report<'_>) {
    let answers: Vec<String> = profile
        .methods
        .iter()
        .filter(|m| matches!(m, Method::MatchCode | Method::RandomKey))
        .map(ToString::to_string)
        .collect();
    for (name, key) in [
        ("confirm_key", profile.confirm_key),
        ("repeat_key", profile.repeat_key),
    ] {
        if key.value().is_some() && !answers.is_empty() {
            let message = format!(
                "expected * or #, found {key}: digits are the answer in {}",
                answers.join(" and ")
            );
            s.problem(report, name, message);
        }
    }
}

/// Callbacks, less those that the guard of the webhooks would always refuse.
fn callbacks(s: &mut Section<'_>, webhook: &Webhook, report: &mut Report<'_>) -> Vec<String> {
    let urls = url_list(s, "callbacks", report);
    for (text, url) in &urls {
        let Some(url) = url.as_ref().filter(|url| url.scheme() == "http") else {
            continue;
        };
        let bare = url.host_str().unwrap_or_default();
        let bare = bare.trim_start_matches('[').trim_end_matches(']');
        let open = match bare.parse::<IpAddr>() {
            Ok(address) => webhook.allow_private.iter().any(|block| block.contains(address)),
            // A name is judged when it is looked up; with no block at all, no address can pass.
            Err(_) => !webhook.allow_private.is_empty(),
        };
        if !open {
            let message = format!(
                "expected https://, or http:// to an address in webhook.allow_private, found {text:?}"
            );
            s.problem(report, "callbacks", message);
        }
    }
    urls.into_keys().collect()
}

/// As long as a request may name one.
const CALLBACK_URL_MAX: usize = 2048;

/// Whether `callbacks` opens it is asked by `app`, with the rule that requests meet.
fn callback_url(s: &mut Section<'_>, report: &mut Report<'_>) -> Option<String> {
    let text = s.text("callback_url", report)?;
    if text.len() > CALLBACK_URL_MAX {
        let message = format!("expected at most {CALLBACK_URL_MAX} octets, found {}", text.len());
        s.problem(report, "callback_url", message);
        return None;
    }
    web_url(&text)
        .map_err(|message| s.problem(report, "callback_url", message))
        .ok()
        .map(String::from)
}

/// URL prefixes as they are written, each with what it reads as.
fn url_list(
    s: &mut Section<'_>,
    key: &'static str,
    report: &mut Report<'_>,
) -> BTreeMap<String, Option<Url>> {
    let mut urls = BTreeMap::new();
    for text in s.texts(key, report).unwrap_or_default() {
        let url = url_prefix(&text)
            .map_err(|message| s.problem(report, key, message))
            .ok();
        urls.insert(text, url);
    }
    urls
}

fn url_prefix(text: &str) -> Result<Url, String> {
    let url = web_url(text)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!(
            "expected a URL without query and fragment, found {text:?}"
        ));
    }
    Ok(url)
}

fn web_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "https" | "http"))
        .ok_or_else(|| format!("expected https://HOST/PATH, found {text:?}"))?;
    // The text may hold a password: it is not repeated.
    if !url.username().is_empty() || url.password().is_some() {
        return Err("expected a URL without a user name and password".to_owned());
    }
    Ok(url)
}
