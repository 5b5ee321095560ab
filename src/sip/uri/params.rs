//! Parameters: `;name=value` of a URI, and the looser ones of a header field, which allow space and quotes.
use std::borrow::Cow;
use std::fmt;

use super::UriError;
use super::scan;
use crate::sip::wire::{PARAMS_MAX, is_token, quoted_end, unquote};

/// Names are compared without regard to case. Values are kept as written, quotes and escapes included.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Params(Vec<Param>);

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Param {
    pub name: String,
    pub value: Option<String>,
}

impl Params {
    /// The first value of that name as written; empty for a parameter without a value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|p| p.name.eq_ignore_ascii_case(name))
            .map(|p| p.value.as_deref().unwrap_or_default())
    }

    /// The value with quotes and backslashes undone.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        self.get(name).map(unquote)
    }

    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Replaces in place, or appends.
    pub fn set(&mut self, name: &str, value: Option<&str>) {
        let value = value.map(str::to_owned);
        if let Some(param) = self.0.iter_mut().find(|p| p.name.eq_ignore_ascii_case(name)) {
            param.value = value;
        } else if self.0.len() < PARAMS_MAX {
            // One or two are usual, and a dialog keeps four lists of them.
            if self.0.len() < 4 {
                self.0.reserve_exact(1);
            }
            self.0.push(Param {
                name: name.to_owned(),
                value,
            });
        }
    }

    pub fn remove(&mut self, name: &str) {
        self.0.retain(|p| !p.name.eq_ignore_ascii_case(name));
    }

    pub fn iter(&self) -> impl Iterator<Item = &Param> {
        self.0.iter()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `;a=1;lr`, as found inside a URI: no space, no quotes.
    pub(super) fn from_uri_text(text: &str) -> Result<Self, UriError> {
        let mut params = Self::default();
        for (name, value) in scan::uri_params(text) {
            params.push(name, value)?;
        }
        Ok(params)
    }

    /// `; a = "1"; lr`, as found after the value of a header field.
    pub(crate) fn from_header_text(text: &str) -> Result<Self, UriError> {
        let mut params = Self::default();
        for param in HeaderParams::new(text) {
            let (name, value) = param?;
            params.push(name, value)?;
        }
        Ok(params)
    }

    fn push(&mut self, name: &str, value: Option<&str>) -> Result<(), UriError> {
        if self.0.len() == PARAMS_MAX {
            return Err(UriError {
                expected: "fewer parameters",
            });
        }
        self.0.push(Param {
            name: name.to_owned(),
            value: value.map(str::to_owned),
        });
        Ok(())
    }
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|param| match &param.value {
            Some(value) => write!(f, ";{}={value}", param.name),
            None => write!(f, ";{}", param.name),
        })
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::sip::wire::mask_numbers(&self.to_string()))
    }
}

/// Walks the parameters of a header field without copying: `*( SEMI generic-param )`.
///
/// A value may hold any visible octet but a separator of the list: carriers put `=`, `/`, `@` and bare IPv6
/// addresses there. One semicolon at the very end is forgiven, an empty parameter between two is not.
pub(crate) struct HeaderParams<'a> {
    rest: &'a str,
    left: usize,
}

impl<'a> HeaderParams<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self {
            rest: text,
            left: PARAMS_MAX,
        }
    }

    fn step(&mut self) -> Result<(&'a str, Option<&'a str>), UriError> {
        let rest = self.rest.strip_prefix(';').ok_or(UriError {
            expected: "`;` before a parameter",
        })?;
        let rest = rest.trim_ascii_start();
        let end = rest.bytes().position(|b| !is_token(b)).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        if name.is_empty() {
            return Err(UriError {
                expected: "a parameter name",
            });
        }
        let rest = rest.trim_ascii_start();
        let Some(rest) = rest.strip_prefix('=') else {
            self.rest = rest;
            return Ok((name, None));
        };
        let rest = rest.trim_ascii_start();
        let end = if rest.starts_with('"') {
            quoted_end(rest).ok_or(UriError {
                expected: "a closing quote",
            })?
        } else {
            rest.bytes()
                .position(|b| matches!(b, b';' | b',' | b'"' | b'<' | b'>' | b' ' | b'\t'))
                .unwrap_or(rest.len())
        };
        let (value, rest) = rest.split_at(end);
        if value.is_empty() {
            return Err(UriError {
                expected: "a parameter value",
            });
        }
        self.rest = rest.trim_ascii_start();
        Ok((name, Some(value)))
    }
}

impl<'a> Iterator for HeaderParams<'a> {
    type Item = Result<(&'a str, Option<&'a str>), UriError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.trim_ascii();
        if rest.is_empty() || (rest == ";" && self.left < PARAMS_MAX) {
            return None;
        }
        self.rest = rest;
        let step = match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                self.step()
            }
            None => Err(UriError {
                expected: "fewer parameters",
            }),
        };
        if step.is_err() {
            self.rest = "";
        }
        Some(step)
    }
}
