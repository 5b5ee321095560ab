//! How one trunk wants an INVITE to look: the called number, our identity, privacy, diversion, headers of the
//! carrier's own.
//!
//! ```text
//! INVITE sip:<called>@<host>;<uri_params>
//! From: "<display_name>" <sip:<from_user, or the caller ID>@<from_domain, or the host>>
//! To: <sip:<called>@<host>;<uri_params>>
//! P-Asserted-Identity: "<display_name>" <sip:<caller ID>@…>        RFC 3325
//! Privacy: <privacy>                                                RFC 3323
//! Diversion: <sip:<number>@…>;reason=<reason>                       RFC 5806
//! ```
//! It knows no addresses and resolves nothing. What it writes was checked by the configuration.
use crate::model::{Destination, NumberValidation, PhoneNumber};
use crate::sip::message::NameAddr;
use crate::sip::uri::{Host, Uri};

/// RFC 3323 §4.1.1.3: the domain of a caller who is not named. Nobody's identity is in it.
const ANONYMOUS_DOMAIN: &str = "anonymous.invalid";

/// How a number is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberFormat {
    /// `+14255550123`
    PlusE164,
    /// `14255550123`
    E164,
    /// `0014255550123`
    DoubleZero,
    /// As it is dialled in the home country, or in the number's own one: `030123456`, `14255550123`.
    National,
}

/// A call that is said to have been diverted to us (RFC 5806).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diversion {
    pub number: String,
    pub reason: String,
}

/// The trunk's rules.
#[derive(Debug, Clone, PartialEq)]
pub struct Presentation {
    /// Of the called number.
    pub number_format: NumberFormat,
    /// ISO region whose dialling [`NumberFormat::National`] follows; the number's own country when absent.
    pub home_country: Option<String>,
    /// Digits before the called number.
    pub tech_prefix: String,
    /// Of a caller ID in E.164; as configured when absent.
    pub caller_id_format: Option<NumberFormat>,
    /// User of From; the caller ID when absent.
    pub from_user: Option<String>,
    /// Domain of From; the target's host when absent.
    pub from_domain: Option<Host>,
    pub display_name: Option<String>,
    /// `P-Asserted-Identity`, `P-Preferred-Identity` (RFC 3325), or none.
    pub identity_header: Option<&'static str>,
    /// Value of Privacy (RFC 3323).
    pub privacy: Option<String>,
    pub diversion: Option<Diversion>,
    /// Parameters of Request-URI and To.
    pub uri_params: Vec<(String, Option<String>)>,
    pub headers: Vec<(String, String)>,
}

/// What one INVITE says.
#[derive(Debug, Clone)]
pub(super) struct Presented {
    pub(super) request_uri: Uri,
    pub(super) from: NameAddr,
    pub(super) to: NameAddr,
    pub(super) headers: Vec<(String, String)>,
}

impl Default for Presentation {
    fn default() -> Self {
        Self {
            number_format: NumberFormat::PlusE164,
            home_country: None,
            tech_prefix: String::new(),
            caller_id_format: None,
            from_user: None,
            from_domain: None,
            display_name: None,
            identity_header: Some("P-Asserted-Identity"),
            privacy: None,
            diversion: None,
            uri_params: Vec::new(),
            headers: Vec::new(),
        }
    }
}

impl Presentation {
    /// `caller` as configured; `host` and `port` of the target, as configured.
    pub(super) fn present(
        &self,
        to: &Destination,
        caller: &str,
        host: &Host,
        port: Option<u16>,
    ) -> Presented {
        let request_uri = self.request_uri(to, host, port);
        Presented {
            from: self.from(caller, host),
            to: NameAddr::new(request_uri.clone()),
            request_uri,
            headers: self.header_fields(caller, host),
        }
    }

    /// As the configuration writes the target: RFC 3263 changes the destination only.
    pub(super) fn request_uri(&self, to: &Destination, host: &Host, port: Option<u16>) -> Uri {
        self.with_params(Uri::sip(Some(&self.called(to)), host.clone(), port))
    }

    /// The called number as this trunk wants it. An internal number has one form only.
    fn called(&self, to: &Destination) -> String {
        let number = match to {
            Destination::Internal(number) => number.clone(),
            Destination::E164(number) => self.written(number, self.number_format),
        };
        format!("{}{number}", self.tech_prefix)
    }

    /// A caller ID without `+` is in the carrier's own form already, or the extension of a PBX.
    fn caller(&self, caller: &str) -> String {
        // Without a format of its own it goes out as configured: nothing of it need be read.
        let format = self.caller_id_format.filter(|_| caller.starts_with('+'));
        let written = format.and_then(|format| {
            let number = PhoneNumber::parse(caller, None, NumberValidation::Shape).ok()?;
            Some(self.written(&number, format))
        });
        written.unwrap_or_else(|| caller.to_owned())
    }

    fn written(&self, number: &PhoneNumber, format: NumberFormat) -> String {
        let digits = number.reveal().trim_start_matches('+');
        match format {
            NumberFormat::PlusE164 => format!("+{digits}"),
            NumberFormat::E164 => digits.to_owned(),
            NumberFormat::DoubleZero => format!("00{digits}"),
            NumberFormat::National => number.reveal_dialled_in(self.home_country.as_deref()),
        }
    }

    /// From, as an OPTIONS or REGISTER of this trunk carries it too.
    pub(super) fn from(&self, caller: &str, host: &Host) -> NameAddr {
        let domain = self.from_domain.as_ref().unwrap_or(host).clone();
        self.named(match &self.from_user {
            // A name or an account: no telephone number, whatever uri_params say.
            Some(user) => Uri::sip(Some(user), domain, None),
            None => self.as_phone(Uri::sip(Some(&self.caller(caller)), domain, None)),
        })
    }

    fn header_fields(&self, caller: &str, host: &Host) -> Vec<(String, String)> {
        let domain = match &self.from_domain {
            Some(Host::Name(name)) if name.eq_ignore_ascii_case(ANONYMOUS_DOMAIN) => host,
            Some(domain) => domain,
            None => host,
        };
        let mut fields = Vec::new();
        if let Some(header) = self.identity_header {
            let uri = Uri::sip(Some(&self.caller(caller)), domain.clone(), None);
            fields.push((header.to_owned(), self.named(self.as_phone(uri)).to_string()));
        }
        if let Some(privacy) = &self.privacy {
            fields.push(("Privacy".to_owned(), privacy.clone()));
        }
        if let Some(Diversion { number, reason }) = &self.diversion {
            let uri = Uri::sip(Some(&self.caller(number)), domain.clone(), None);
            let value = format!("{};reason={reason}", NameAddr::new(self.as_phone(uri)));
            fields.push(("Diversion".to_owned(), value));
        }
        fields.extend(self.headers.iter().cloned());
        fields
    }

    fn named(&self, uri: Uri) -> NameAddr {
        NameAddr::new(uri).with_display(self.display_name.as_deref().unwrap_or_default())
    }

    fn with_params(&self, uri: Uri) -> Uri {
        self.uri_params
            .iter()
            .fold(uri, |uri, (name, value)| uri.with_param(name, value.as_deref()))
    }

    /// `user=phone` (RFC 3261 §19.1.1) belongs to every URI whose user part is a telephone number.
    fn as_phone(&self, uri: Uri) -> Uri {
        let user = self.uri_params.iter().find(|(name, _)| name == "user");
        match user {
            Some((name, value)) => uri.with_param(name, value.as_deref()),
            None => uri,
        }
    }
}

#[cfg(test)]
#[path = "presentation_tests.rs"]
mod tests;
