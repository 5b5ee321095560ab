//! `scheme name=value, name="value"`, one or several on a line (RFC 7235 §2.1).
use std::borrow::Cow;

use crate::sip::wire::{is_token, quoted_end, unquote};

const PARAMS_MAX: usize = 32;
pub(super) const SCHEMES_MAX: usize = 16;

/// The parameters under one scheme, values without quotes.
pub(super) struct AuthParams<'a> {
    pub(super) scheme: &'a str,
    params: Vec<(&'a str, Cow<'a, str>)>,
}

impl<'a> AuthParams<'a> {
    /// Every scheme on the line; what comes after something unreadable is left.
    pub(super) fn read(line: &'a str) -> Vec<Self> {
        let mut schemes: Vec<Self> = Vec::new();
        let mut rest = line;
        while let Some(step) = step(&mut rest) {
            match step {
                Step::Scheme(scheme) if schemes.len() < SCHEMES_MAX => schemes.push(Self {
                    scheme,
                    params: Vec::new(),
                }),
                Step::Param(name, value) => match schemes.last_mut() {
                    Some(scheme) if scheme.params.len() < PARAMS_MAX => {
                        scheme.params.push((name, unquote(value)))
                    }
                    Some(_) | None => break,
                },
                Step::Scheme(_) => break,
            }
        }
        schemes
    }

    pub(super) fn is_digest(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("Digest")
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.params
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_ref())
    }

    pub(super) fn owned(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }
}

enum Step<'a> {
    Scheme(&'a str),
    Param(&'a str, &'a str),
}

/// A token followed by `=` is a parameter, any other starts a scheme.
fn step<'a>(rest: &mut &'a str) -> Option<Step<'a>> {
    let text = rest.trim_start_matches([' ', '\t', ',']);
    let end = text.bytes().position(|b| !is_token(b)).unwrap_or(text.len());
    let (name, after) = text.split_at(end);
    if name.is_empty() {
        return None;
    }
    let Some(value) = after.trim_start_matches([' ', '\t']).strip_prefix('=') else {
        *rest = after;
        return Some(Step::Scheme(name));
    };
    let value = value.trim_start_matches([' ', '\t']);
    let end = match value.starts_with('"') {
        true => quoted_end(value)?,
        false => value.find([',', ' ', '\t']).unwrap_or(value.len()),
    };
    let (value, after) = value.split_at(end);
    *rest = after;
    Some(Step::Param(name, value))
}
