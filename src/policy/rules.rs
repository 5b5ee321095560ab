//! The rules for one request: which numbers, which limits.
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use regex::{Regex, RegexBuilder};

use crate::model::{Destination, LineType, NumberError, NumberValidation, PhoneNumber, Region};

use super::{NumberLimits, ProblemCode, Quota, QuotaKind, Refusal};

/// `[policy]` of the configuration. 0 = unlimited in every limit.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicySettings {
    /// ISO 3166-1 alpha-2 codes that may be called; empty: none.
    pub countries: Vec<String>,
    pub number_validation: NumberValidation,
    /// Regular expressions; a number that matches one as a whole is internal.
    pub internal_numbers: Vec<String>,
    pub per_number: NumberLimits,
    pub per_end_user_per_hour: u32,
    /// Per address of the end user (IPv6: per /64).
    pub per_ip_per_hour: u32,
    pub per_key_per_hour: u32,
    pub per_prefix_per_hour: u32,
    /// Digits of a number that make its prefix, 5–7.
    pub prefix_digits: u8,
    /// Most verifications in progress.
    pub pending_max: u32,
    /// Most live calls; 0 = unlimited.
    pub live_max: u32,
}

impl Default for PolicySettings {
    fn default() -> Self {
        Self {
            countries: Vec::new(),
            number_validation: NumberValidation::Strict,
            internal_numbers: Vec::new(),
            per_number: NumberLimits::default(),
            per_end_user_per_hour: 5,
            per_ip_per_hour: 20,
            per_key_per_hour: 1000,
            per_prefix_per_hour: 60,
            prefix_digits: 7,
            pending_max: 10_000,
            live_max: 0,
        }
    }
}

/// What is wrong with the settings; names the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error("policy.countries: expected ISO 3166-1 alpha-2 codes such as \"US\", found {0:?}")]
    Country(String),
    #[error("policy.internal_numbers: {pattern:?} is not a regular expression that can be used: {why}")]
    Pattern { pattern: String, why: String },
    #[error("policy.prefix_digits: expected 5 to 7, found {0}")]
    PrefixDigits(u8),
}

/// The rules, ready for use.
#[derive(Debug, Clone)]
pub struct Policy {
    countries: BTreeSet<String>,
    validation: NumberValidation,
    internal: Vec<Regex>,
    settings: PolicySettings,
}

/// Who asks for the call, as far as limits are concerned.
#[derive(Debug, Clone, Copy)]
pub struct CallerOf<'a> {
    pub key_id: &'a str,
    /// End-user ids of different profiles are different people.
    pub profile: &'a str,
    pub end_user_id: Option<&'a str>,
    pub end_user_ip: Option<&'a str>,
}

/// A compiled pattern may take so much memory.
const PATTERN_BYTES_MAX: usize = 64 * 1024;
const INTERNAL_CHARS_MAX: usize = 32;
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

impl Policy {
    pub fn new(settings: PolicySettings) -> Result<Self, PolicyError> {
        if !(5..=7).contains(&settings.prefix_digits) {
            return Err(PolicyError::PrefixDigits(settings.prefix_digits));
        }
        if let Some(unknown) = settings
            .countries
            .iter()
            .find(|code| Region::name_of(code).is_none())
        {
            return Err(PolicyError::Country(unknown.clone()));
        }
        let internal = settings
            .internal_numbers
            .iter()
            .map(|pattern| whole_match(pattern))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            countries: settings.countries.iter().cloned().collect(),
            validation: settings.number_validation,
            internal,
            settings,
        })
    }

    /// Reads a number and applies every rule that needs no counter, in the order of the contract: emergency,
    /// internal, form, line type, country.
    pub fn destination(&self, text: &str, region: Option<&str>) -> Result<Destination, Refusal> {
        let destination = self.read(text, region)?;
        self.admits(&destination)?;
        Ok(destination)
    }

    /// What a number is, whether or not it may be called. Emergency numbers are read by no path.
    pub fn read(&self, text: &str, region: Option<&str>) -> Result<Destination, Refusal> {
        if PhoneNumber::is_emergency(text) {
            return Err(refusal_of(&NumberError::EmergencyOrShort));
        }
        if self.is_internal(text.trim_matches(' ')) {
            return Ok(Destination::Internal(text.trim_matches(' ').to_owned()));
        }
        let number = PhoneNumber::parse(text, region, self.validation).map_err(|error| refusal_of(&error))?;
        Ok(Destination::E164(number))
    }

    /// The same rules for a number that was read before (a reload may have changed them).
    pub fn admits(&self, destination: &Destination) -> Result<(), Refusal> {
        let number = match destination {
            Destination::Internal(text) if PhoneNumber::is_emergency(text) => {
                return Err(refusal_of(&NumberError::EmergencyOrShort));
            }
            Destination::Internal(text) if self.is_internal(text) => return Ok(()),
            Destination::Internal(_) => {
                return Err(Refusal::new(
                    ProblemCode::NumberInvalid,
                    "the internal number matches no pattern of policy.internal_numbers",
                ));
            }
            Destination::E164(number) => number,
        };
        refuse_line_type(number)?;
        self.refuse_country(number)
    }

    /// Whether a region may be called: for `GET /v1/regions` and the drop-down.
    #[must_use]
    pub fn allows_country(&self, code: &str) -> bool {
        self.countries.contains(code)
    }

    /// The limits that a request is held against at stop 1.
    #[must_use]
    pub fn quotas(&self, destination: &Destination, caller: &CallerOf<'_>) -> Vec<Quota> {
        let number = destination.reveal();
        let limits = self.settings.per_number;
        let again = Duration::from_secs(limits.again_after_s.into());
        let mut quotas = vec![
            // The shortest wait first: its Retry-After is the most useful.
            Quota {
                // What supersedes a call in progress need not wait for this one.
                cool_down: true,
                ..quota(
                    QuotaKind::Number,
                    number,
                    u32::from(limits.again_after_s > 0),
                    again,
                )
            },
            quota(QuotaKind::Number, number, limits.per_hour, HOUR),
            quota(QuotaKind::Number, number, limits.per_day, DAY),
            quota(
                QuotaKind::Key,
                caller.key_id,
                self.settings.per_key_per_hour,
                HOUR,
            ),
        ];
        if let Some(id) = caller.end_user_id {
            let subject = format!("{}/{id}", caller.profile);
            quotas.push(quota(
                QuotaKind::EndUser,
                &subject,
                self.settings.per_end_user_per_hour,
                HOUR,
            ));
        }
        if let Some(ip) = caller.end_user_ip {
            let subject = address_of_one_site(ip);
            quotas.push(quota(
                QuotaKind::Ip,
                &subject,
                self.settings.per_ip_per_hour,
                HOUR,
            ));
        }
        if let Some(prefix) = self.prefix(destination) {
            quotas.push(quota(
                QuotaKind::Prefix,
                &prefix,
                self.settings.per_prefix_per_hour,
                HOUR,
            ));
        }
        quotas.retain(|quota| quota.max > 0);
        quotas
    }

    /// First digits of a public number, with the `+`.
    #[must_use]
    pub fn prefix(&self, destination: &Destination) -> Option<String> {
        match destination {
            Destination::E164(number) => number
                .reveal()
                .get(..=usize::from(self.settings.prefix_digits))
                .map(str::to_owned),
            Destination::Internal(_) => None,
        }
    }

    /// Most verifications in progress; 0 = unlimited.
    #[must_use]
    pub const fn pending_max(&self) -> u32 {
        self.settings.pending_max
    }

    /// Most live calls; 0 = unlimited.
    #[must_use]
    pub const fn live_max(&self) -> u32 {
        self.settings.live_max
    }

    #[must_use]
    pub const fn validation(&self) -> NumberValidation {
        self.validation
    }

    fn is_internal(&self, text: &str) -> bool {
        // Whatever the pattern allows, the text becomes the user part of a SIP URI.
        let safe = !text.is_empty()
            && text.len() <= INTERNAL_CHARS_MAX
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'+'));
        safe && self.internal.iter().any(|pattern| pattern.is_match(text))
    }

    fn refuse_country(&self, number: &PhoneNumber) -> Result<(), Refusal> {
        if self.countries.is_empty() {
            return Err(Refusal::new(
                ProblemCode::CountryNotAllowed,
                "policy.countries is empty: no country may be called",
            ));
        }
        match number.country() {
            Some(country) if self.countries.contains(country) => Ok(()),
            Some(country) => Err(Refusal::new(
                ProblemCode::CountryNotAllowed,
                format!("calls to {country} are not allowed here"),
            )),
            None => Err(Refusal::new(
                ProblemCode::CountryNotAllowed,
                format!("numbers of +{} belong to no country", number.calling_code()),
            )),
        }
    }
}

fn whole_match(pattern: &str) -> Result<Regex, PolicyError> {
    let wrong = |why: String| PolicyError::Pattern {
        pattern: pattern.chars().take(80).collect(),
        why,
    };
    // Checked alone first, so that an unbalanced bracket cannot escape the group around it.
    regex_of(pattern).map_err(wrong)?;
    regex_of(&format!("^(?:{pattern})$")).map_err(wrong)
}

fn regex_of(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        .size_limit(PATTERN_BYTES_MAX)
        .dfa_size_limit(PATTERN_BYTES_MAX)
        .build()
        .map_err(|error| error.to_string())
}

fn quota(kind: QuotaKind, subject: &str, max: u32, window: Duration) -> Quota {
    Quota {
        kind,
        subject: subject.to_owned(),
        max,
        window,
        cool_down: false,
    }
}

/// One site has one IPv4 address or one /64.
fn address_of_one_site(ip: &str) -> String {
    match ip.parse() {
        Ok(IpAddr::V6(address)) => match address.to_ipv4_mapped() {
            Some(address) => address.to_string(),
            None => {
                let [a, b, c, d, ..] = address.segments();
                format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
            }
        },
        Ok(IpAddr::V4(address)) => address.to_string(),
        Err(_) => ip.chars().take(64).collect(),
    }
}

fn refuse_line_type(number: &PhoneNumber) -> Result<(), Refusal> {
    let kind = match number.line_type() {
        LineType::Premium => "premium-rate",
        LineType::SharedCost => "shared-cost",
        LineType::Satellite => "satellite",
        LineType::Pager => "pager",
        LineType::Voicemail => "voicemail access",
        // +1 5XX costs the caller no more than any other; elsewhere (UK 070) they are a known fraud.
        LineType::Personal if number.calling_code() != 1 => "personal",
        LineType::Personal
        | LineType::FixedLine
        | LineType::Mobile
        | LineType::FixedLineOrMobile
        | LineType::TollFree
        | LineType::Voip
        | LineType::UniversalAccess
        | LineType::Unknown => return Ok(()),
    };
    Err(Refusal::new(
        ProblemCode::PremiumNumber,
        format!("{kind} numbers are not called"),
    ))
}

fn refusal_of(error: &NumberError) -> Refusal {
    let code = match error {
        NumberError::Invalid { .. } | NumberError::EmergencyOrShort => ProblemCode::NumberInvalid,
        NumberError::RegionRequired => ProblemCode::RegionRequired,
        NumberError::Ambiguous { .. } => ProblemCode::NumberAmbiguous,
        NumberError::Extension => ProblemCode::ExtensionInvalid,
    };
    Refusal::new(code, error.to_string())
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
