//! `name-addr` and `addr-spec` with their parameters: From, To, Contact, Route and their kin (RFC 3261 §20.10).
use std::fmt;
use std::str::FromStr;

use super::HeaderError;
use crate::sip::uri::{self, HeaderParams, Params, Uri};
use crate::sip::wire::{cut, cut_before, quote, quoted_end, unquote};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NameAddr {
    /// Without quotes; written back in quotes.
    pub display: Option<String>,
    pub uri: Uri,
    /// Parameters of the header field, such as `tag`; those of the URI are inside it.
    pub params: Params,
}

#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    /// As written, quotes included.
    display: Option<&'a str>,
    pub(super) uri: &'a str,
    pub(super) params: &'a str,
}

impl NameAddr {
    #[must_use]
    pub fn new(uri: Uri) -> Self {
        Self {
            display: None,
            uri,
            params: Params::default(),
        }
    }

    #[must_use]
    pub fn with_display(mut self, display: &str) -> Self {
        self.display = Some(display.to_owned()).filter(|display| !display.is_empty());
        self
    }

    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.params.get("tag").filter(|tag| !tag.is_empty())
    }

    /// Sets or replaces the tag.
    #[must_use]
    pub fn with_tag(mut self, tag: &str) -> Self {
        self.params.set("tag", Some(tag));
        self
    }

    #[must_use]
    pub fn without_tag(mut self) -> Self {
        self.params.remove("tag");
        self
    }

    /// Reads one value; `header` is named in the error.
    pub(super) fn parse(header: &'static str, text: &str) -> Result<Self, HeaderError> {
        let malformed = |expected| HeaderError::malformed(header, expected, text);
        let parts = scan(text).map_err(malformed)?;
        Ok(Self {
            display: parts.display.map(|display| unquote(display).into_owned()),
            uri: parts
                .uri
                .parse()
                .map_err(|error: uri::UriError| malformed(error.expected))?,
            params: Params::from_header_text(parts.params).map_err(|error| malformed(error.expected))?,
        })
    }
}

impl FromStr for NameAddr {
    type Err = HeaderError;

    fn from_str(text: &str) -> Result<Self, HeaderError> {
        Self::parse("name-addr", text.trim())
    }
}

impl fmt::Display for NameAddr {
    /// Always with `<>`: without them the parameters of the URI would become those of the field.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(display) = &self.display {
            write!(f, "{} ", quote(display))?;
        }
        write!(f, "<{}>{}", self.uri, self.params)
    }
}

/// Checks one value without keeping it.
pub(super) fn check(header: &'static str, text: &str) -> Result<(), HeaderError> {
    let malformed = |expected| HeaderError::malformed(header, expected, text);
    let parts = scan(text).map_err(malformed)?;
    uri::check(parts.uri).map_err(|error| malformed(error.expected))?;
    HeaderParams::new(parts.params)
        .try_for_each(|param| param.map(|_| ()))
        .map_err(|error| malformed(error.expected))
}

/// Finds display name, URI and parameters. Without `<>` the first `;` ends the URI, and a `,` or `?` may not stand
/// in it (RFC 3261 §20).
pub(super) fn scan(text: &str) -> Result<Parts<'_>, &'static str> {
    if text.starts_with('"') {
        let end = quoted_end(text).ok_or("a closing quote")?;
        let (display, rest) = text.split_at_checked(end).ok_or("a display name")?;
        let rest = rest
            .trim_ascii_start()
            .strip_prefix('<')
            .ok_or("`<` after a display name")?;
        return bracketed(Some(display), rest);
    }
    if let Some((display, rest)) = cut(text, b'<') {
        let display = display.trim_ascii();
        if display
            .bytes()
            .any(|b| matches!(b, b'"' | b',' | b';' | b':' | b'@' | b'>'))
        {
            return Err("quotes around such a display name");
        }
        return bracketed(Some(display).filter(|display| !display.is_empty()), rest);
    }
    let (uri, params) = cut_before(text, b';');
    let uri = uri.trim_ascii_end();
    if uri.contains([',', '?']) {
        return Err("`<>` around such a URI");
    }
    Ok(Parts {
        display: None,
        uri,
        params,
    })
}

fn bracketed<'a>(display: Option<&'a str>, rest: &'a str) -> Result<Parts<'a>, &'static str> {
    let (uri, params) = cut(rest, b'>').ok_or("`>` after a URI")?;
    Ok(Parts {
        display,
        uri,
        params: params.trim_ascii_start(),
    })
}
