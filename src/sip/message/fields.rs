//! Typed views of header fields. They read when asked; [`Message::parse`](super::Message::parse) has already
//! checked the ones every message needs.
use super::values::leading_seconds;
use super::{CSeq, HeaderError, Headers, NameAddr, RAck, ReasonHeader, Refresher, Via};
use crate::sip::uri::Params;
use crate::sip::wire::{HeaderName, LIST_VALUES_MAX, split_list};

/// Contact of a REGISTER may be `*` (RFC 3261 §10.2.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Contacts {
    All,
    Some(Vec<NameAddr>),
}

/// RFC 4028 §4.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionExpires {
    pub seconds: u32,
    pub refresher: Option<Refresher>,
}

impl Headers {
    pub fn vias(&self) -> Result<Vec<Via>, HeaderError> {
        self.list("Via", |text| text.parse())
    }

    pub fn top_via(&self) -> Result<Via, HeaderError> {
        self.all("Via")
            .next()
            .ok_or(HeaderError::Missing { header: "Via" })?
            .parse()
    }

    /// Writes the first Via anew, the ones behind it on the same line kept.
    pub fn set_top_via(&mut self, via: &Via) {
        let Some(line) = self.get("Via") else {
            self.push_front("Via", via.to_string());
            return;
        };
        let line = split_list(line)
            .skip(1)
            .fold(via.to_string(), |line, rest| line + ", " + rest);
        self.replace_first(HeaderName::Via, line);
    }

    pub fn from(&self) -> Result<NameAddr, HeaderError> {
        self.name_addr("From")
    }

    pub fn to(&self) -> Result<NameAddr, HeaderError> {
        self.name_addr("To")
    }

    pub fn call_id(&self) -> Result<&str, HeaderError> {
        self.get("Call-ID")
            .filter(|id| !id.is_empty())
            .ok_or(HeaderError::Missing { header: "Call-ID" })
    }

    pub fn cseq(&self) -> Result<CSeq, HeaderError> {
        self.get("CSeq")
            .ok_or(HeaderError::Missing { header: "CSeq" })?
            .parse()
    }

    /// The addresses of Contact; none for `*`.
    pub fn contacts(&self) -> Result<Vec<NameAddr>, HeaderError> {
        Ok(match self.contacts_or_all()? {
            Contacts::All => Vec::new(),
            Contacts::Some(contacts) => contacts,
        })
    }

    pub fn contacts_or_all(&self) -> Result<Contacts, HeaderError> {
        if self.get("Contact") == Some("*") {
            return Ok(Contacts::All);
        }
        self.addresses("Contact").map(Contacts::Some)
    }

    pub fn record_routes(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.addresses("Record-Route")
    }

    pub fn routes(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.addresses("Route")
    }

    pub fn service_routes(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.addresses("Service-Route")
    }

    pub fn paths(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.addresses("Path")
    }

    /// RFC 3262 §7.1; `None` when absent or unreadable.
    #[must_use]
    pub fn rseq(&self) -> Option<u32> {
        self.get("RSeq").and_then(super::values::decimal)
    }

    pub fn rack(&self) -> Result<RAck, HeaderError> {
        self.get("RAck")
            .ok_or(HeaderError::Missing { header: "RAck" })?
            .parse()
    }

    pub fn require(&self) -> impl Iterator<Item = &str> {
        self.tokens("Require")
    }

    pub fn supported(&self) -> impl Iterator<Item = &str> {
        self.tokens("Supported")
    }

    pub fn allow(&self) -> impl Iterator<Item = &str> {
        self.tokens("Allow")
    }

    #[must_use]
    pub fn requires(&self, option: &str) -> bool {
        self.require().any(|token| token.eq_ignore_ascii_case(option))
    }

    #[must_use]
    pub fn supports(&self, option: &str) -> bool {
        self.supported().any(|token| token.eq_ignore_ascii_case(option))
    }

    /// Seconds, comment and parameters left aside (RFC 3261 §20.33).
    #[must_use]
    pub fn retry_after(&self) -> Option<u32> {
        self.get("Retry-After").and_then(leading_seconds)
    }

    /// Every readable Reason (RFC 3326), several protocols in order.
    #[must_use]
    pub fn reasons(&self) -> Vec<ReasonHeader> {
        self.all("Reason")
            .take(LIST_VALUES_MAX)
            .filter_map(|text| text.parse().ok())
            .collect()
    }

    /// The media type without its parameters: `application/sdp`.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        let text = self.get("Content-Type")?;
        Some(text.split(';').next().unwrap_or(text).trim())
    }

    #[must_use]
    pub fn is_content_type(&self, media_type: &str) -> bool {
        self.content_type()
            .is_some_and(|content| content.eq_ignore_ascii_case(media_type))
    }

    #[must_use]
    pub fn session_expires(&self) -> Option<SessionExpires> {
        let text = self.get("Session-Expires")?;
        let seconds = leading_seconds(text)?;
        let params = text.find(';').and_then(|at| text.get(at..)).unwrap_or_default();
        let refresher = match Params::from_header_text(params).ok()?.get("refresher") {
            Some(side) if side.eq_ignore_ascii_case("uac") => Some(Refresher::Uac),
            Some(side) if side.eq_ignore_ascii_case("uas") => Some(Refresher::Uas),
            Some(_) | None => None,
        };
        Some(SessionExpires { seconds, refresher })
    }

    /// Seconds.
    #[must_use]
    pub fn min_se(&self) -> Option<u32> {
        self.get("Min-SE").and_then(leading_seconds)
    }

    /// Any header of addresses: `P-Asserted-Identity`, `Diversion`, `History-Info`, …
    pub fn addresses(&self, header: &'static str) -> Result<Vec<NameAddr>, HeaderError> {
        self.list(header, |text| NameAddr::parse(header, text))
    }

    /// The tokens of a list header; empty places are skipped.
    pub fn tokens<'a>(&'a self, header: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.all(header)
            .take(LIST_VALUES_MAX)
            .filter(|token| !token.is_empty())
    }

    fn name_addr(&self, header: &'static str) -> Result<NameAddr, HeaderError> {
        NameAddr::parse(header, self.get(header).ok_or(HeaderError::Missing { header })?)
    }

    fn list<T>(
        &self,
        header: &'static str,
        read: impl Fn(&str) -> Result<T, HeaderError>,
    ) -> Result<Vec<T>, HeaderError> {
        let mut values = Vec::new();
        for text in self.all(header) {
            if values.len() == LIST_VALUES_MAX {
                return Err(HeaderError::TooMany { header });
            }
            values.push(read(text)?);
        }
        Ok(values)
    }
}
