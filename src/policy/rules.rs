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
        if PhoneNumber::is_emergency(text) {
            return Err(refusal_of(&NumberError::EmergencyOrShort));
        }
        if self.is_internal(text.trim_matches(' ')) {
            return Ok(Destination::Internal(text.trim_matches(' ').to_owned()));
        }
        let number = PhoneNumber::parse(text, region, self.validation).map_err(|error| refusal_of(&error))?;
        let destination = Destination::E164(number);
        self.admits(&destination)?;
        Ok(destination)
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
            quota(
                QuotaKind::Number,
                number,
                u32::from(limits.again_after_s > 0),
                again,
            ),
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
mod tests {
    use super::*;
    use crate::model::UnixMillis;

    fn policy(countries: &[&str], internal: &[&str]) -> Policy {
        Policy::new(PolicySettings {
            countries: countries.iter().map(|c| (*c).to_owned()).collect(),
            internal_numbers: internal.iter().map(|p| (*p).to_owned()).collect(),
            ..PolicySettings::default()
        })
        .unwrap()
    }

    fn refused(policy: &Policy, text: &str) -> ProblemCode {
        policy.destination(text, Some("US")).unwrap_err().code
    }

    #[test]
    fn the_table_of_refused_numbers() {
        let policy = policy(&["US", "DE", "GB", "FR"], &["1\\d{3}", "9\\d{2,3}", "11[0-9]"]);
        for (text, code) in [
            ("911", ProblemCode::NumberInvalid),
            ("112", ProblemCode::NumberInvalid),
            ("999", ProblemCode::NumberInvalid),
            ("9911", ProblemCode::NumberInvalid),
            ("110", ProblemCode::NumberInvalid),
            ("+1 911", ProblemCode::NumberInvalid),
            ("+19005551234", ProblemCode::PremiumNumber),
            ("+44 9098 123456", ProblemCode::PremiumNumber),
            ("+33 899 12 34 56", ProblemCode::PremiumNumber),
            ("+49 1805 123456", ProblemCode::PremiumNumber),
            ("+44 7012 345678", ProblemCode::PremiumNumber),
            ("+870 773 111 632", ProblemCode::PremiumNumber),
            ("+881 612 345 678", ProblemCode::PremiumNumber),
            ("+883 5100 12345", ProblemCode::PremiumNumber),
            ("+61 2 5550 1234", ProblemCode::CountryNotAllowed),
            ("+800 1234 5678", ProblemCode::CountryNotAllowed),
            ("+1 876 555 0123", ProblemCode::CountryNotAllowed),
            ("*67 425 555 0123", ProblemCode::NumberInvalid),
            ("+14255550123,,9", ProblemCode::NumberInvalid),
            ("+14255550123x9", ProblemCode::ExtensionInvalid),
            ("491751234567", ProblemCode::NumberAmbiguous),
        ] {
            assert_eq!(refused(&policy, text), code, "{text}");
        }
        let required = policy.destination("(425) 555-0123", None).unwrap_err();
        assert_eq!(
            (required.code, required.code.http_status()),
            (ProblemCode::RegionRequired, 422)
        );
    }

    #[test]
    fn an_empty_country_list_allows_no_public_number_and_says_so() {
        let refusal = policy(&[], &[]).destination("+14255550123", None).unwrap_err();
        assert_eq!(refusal.code, ProblemCode::CountryNotAllowed);
        assert!(refusal.detail.contains("policy.countries is empty"), "{refusal}");
    }

    #[test]
    fn internal_numbers_match_as_a_whole_and_skip_the_country_rule() {
        let policy = policy(&[], &["1\\d{3}", "desk-[a-z]+|7"]);
        for text in ["1001", " 1999 ", "desk-anna", "7"] {
            assert!(
                matches!(policy.destination(text, None), Ok(Destination::Internal(_))),
                "{text}"
            );
        }
        for text in ["10011", "x1001", "desk-anna;x", "77", "1001\n"] {
            assert!(policy.destination(text, Some("US")).is_err(), "{text}");
        }
        let internal = Destination::Internal("1001".into());
        assert!(policy.admits(&internal).is_ok());
        assert!(policy.admits(&Destination::Internal("2001".into())).is_err());
        assert_eq!(
            policy.quotas(&internal, &caller()).len(),
            6,
            "every limit but the prefix"
        );
    }

    #[test]
    fn the_simulators_range_is_allowed_where_its_country_is() {
        let destination = policy(&["US"], &[]).destination("+1 500 555 0001", None).unwrap();
        assert_eq!(destination.reveal(), "+15005550001");
    }

    #[test]
    fn wrong_settings_name_their_key() {
        let with = |change: fn(&mut PolicySettings)| {
            let mut settings = PolicySettings::default();
            change(&mut settings);
            Policy::new(settings).unwrap_err().to_string()
        };
        for (error, key) in [
            (with(|s| s.countries = vec!["USA".into()]), "policy.countries"),
            (
                with(|s| s.internal_numbers = vec!["1(".into()]),
                "policy.internal_numbers",
            ),
            (
                with(|s| s.internal_numbers = vec!["1)|(.*".into()]),
                "policy.internal_numbers",
            ),
            (
                with(|s| s.internal_numbers = vec!["\\d{1000}{1000}".into()]),
                "policy.internal_numbers",
            ),
            (with(|s| s.prefix_digits = 9), "policy.prefix_digits"),
        ] {
            assert!(error.contains(key), "{error}");
        }
    }

    fn caller() -> CallerOf<'static> {
        CallerOf {
            key_id: "key_1",
            profile: "default",
            end_user_id: Some("u1"),
            end_user_ip: Some("2001:db8:1:2:3::4"),
        }
    }

    #[test]
    fn limits_are_made_for_every_subject_and_zero_is_unlimited() {
        let policy = policy(&["US"], &[]);
        let destination = policy.destination("+14255550123", None).unwrap();
        let quotas = policy.quotas(&destination, &caller());
        let of = |kind: QuotaKind| quotas.iter().filter(move |q| q.kind == kind).collect::<Vec<_>>();
        assert_eq!(
            of(QuotaKind::Number).iter().map(|q| q.max).collect::<Vec<_>>(),
            [1, 3, 10]
        );
        assert_eq!(of(QuotaKind::EndUser)[0].subject, "default/u1");
        assert_eq!(of(QuotaKind::Ip)[0].subject, "2001:db8:1:2::/64");
        assert_eq!(of(QuotaKind::Prefix)[0].subject, "+1425555");
        let open = Policy::new(PolicySettings {
            countries: vec!["US".into()],
            per_number: NumberLimits {
                per_hour: 0,
                per_day: 0,
                again_after_s: 0,
            },
            per_end_user_per_hour: 0,
            per_ip_per_hour: 0,
            per_key_per_hour: 0,
            per_prefix_per_hour: 0,
            ..PolicySettings::default()
        })
        .unwrap();
        assert_eq!(open.quotas(&destination, &caller()), []);
    }

    #[test]
    fn a_limit_says_when_it_ends_and_never_longer_than_its_window() {
        let quota = quota(QuotaKind::Number, "+14255550123", 3, HOUR);
        let now = UnixMillis(10_000_000);
        assert_eq!(quota.judge(None, now), None);
        assert_eq!(quota.judge(Some(now.minus(HOUR)), now), None);
        let refusal = quota
            .judge(Some(now.minus(Duration::from_millis(1_500))), now)
            .unwrap();
        assert_eq!(refusal.retry_after, Some(Duration::from_secs(3599)));
        assert_eq!(refusal.limit, Some(super::super::Limit::Number));
        assert!(!refusal.to_string().contains("4255550123"));
        // The wall clock went back two hours.
        let refusal = quota.judge(Some(now.plus(HOUR * 2)), now).unwrap();
        assert_eq!(refusal.retry_after, Some(HOUR));
    }
}
