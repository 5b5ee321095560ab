//! A public telephone number in E.164.
use std::fmt;

use rlibphonenumber::{PhoneNumberFormat, PhoneNumberType};

use super::emergency;
use super::phone_reading::{self, Parts};

/// How strictly a number is checked after parsing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NumberValidation {
    /// The numbering plan assigns it.
    #[default]
    Strict,
    /// Right length for its region.
    Possible,
    /// `+` and 7–15 digits; for labs.
    Shape,
}

/// Why a text is not a number that can be dialled. Each maps to one problem `code` of the contract. The text
/// of an error never holds the number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    #[error("expected a telephone number, {why}")]
    Invalid { why: String },
    #[error("the number has no country code: send it as +<country code><number>, or name a region")]
    RegionRequired,
    #[error("the number fits more than one reading: {why}")]
    Ambiguous { why: String },
    #[error("an extension belongs in the field extension")]
    Extension,
    #[error("emergency numbers and short codes are never called")]
    EmergencyOrShort,
}

/// What kind of line the numbering plan says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LineType {
    FixedLine,
    Mobile,
    /// Plans such as +1 do not tell them apart.
    FixedLineOrMobile,
    TollFree,
    Premium,
    SharedCost,
    /// Satellite systems and international networks: +870, +878, +881, +882, +883, +888.
    Satellite,
    Voip,
    Personal,
    Pager,
    UniversalAccess,
    Voicemail,
    Unknown,
}

impl LineType {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FixedLine => "fixed_line",
            Self::Mobile => "mobile",
            Self::FixedLineOrMobile => "fixed_line_or_mobile",
            Self::TollFree => "toll_free",
            Self::Premium => "premium",
            Self::SharedCost => "shared_cost",
            Self::Satellite => "satellite",
            Self::Voip => "voip",
            Self::Personal => "personal",
            Self::Pager => "pager",
            Self::UniversalAccess => "universal_access",
            Self::Voicemail => "voicemail",
            Self::Unknown => "unknown",
        }
    }
}

/// Canonical E.164, at most 15 digits. `Debug` and `Display` are masked; [`PhoneNumber::reveal`] is not.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PhoneNumber {
    e164: String,
    calling_code: u16,
    country: Option<String>,
}

/// Stands for the digits of a number that retention has erased.
const ERASED: &str = "•••";

impl PhoneNumber {
    /// Most digits of an E.164 number (ITU-T E.164 §6.2.1).
    pub const DIGITS_MAX: usize = 15;
    /// Most characters of a text that is looked at.
    pub const TEXT_MAX: usize = 64;

    /// Reads what a person or a program typed: `+`, `00`, spaces, brackets, dashes, dots and slashes are
    /// understood. A typed country code wins over `region` (ISO 3166-1 alpha-2, used for national forms).
    ///
    /// Emergency numbers and short codes are refused in every form and at every level of validation.
    pub fn parse(
        text: &str,
        region: Option<&str>,
        validation: NumberValidation,
    ) -> Result<Self, NumberError> {
        let Parts {
            e164,
            calling_code,
            country,
        } = phone_reading::read(text, region, validation)?;
        Ok(Self {
            e164,
            calling_code,
            country,
        })
    }

    /// Whether these digits must never be dialled, not even inside a PBX: an emergency number of any region,
    /// or one behind an outside-line digit.
    #[must_use]
    pub fn is_emergency(text: &str) -> bool {
        let mut digits = String::new();
        for found in text.chars().take(Self::TEXT_MAX) {
            match found {
                '0'..='9' => digits.push(found),
                '+' | ' ' | '(' | ')' | '-' | '.' | '/' => {}
                // Not dialled as digits: `desk-15` is a name.
                _ => return false,
            }
        }
        emergency::is_emergency_anywhere(&digits) || emergency::is_emergency_behind_access_digit(&digits)
    }

    /// From the store: `None` when it is not canonical.
    #[must_use]
    pub(crate) fn restore(e164: &str, calling_code: u16, country: Option<&str>) -> Option<Self> {
        let rest = e164.strip_prefix('+')?.strip_prefix(&calling_code.to_string())?;
        let digits = rest.len() <= Self::DIGITS_MAX && rest.bytes().all(|b| b.is_ascii_digit());
        (digits || rest == ERASED).then(|| Self {
            e164: e164.to_owned(),
            calling_code,
            country: country.map(str::to_owned),
        })
    }

    /// The same number with all but its country code gone for good.
    #[must_use]
    pub fn erased(&self) -> Self {
        Self {
            e164: format!("+{}{ERASED}", self.calling_code),
            calling_code: self.calling_code,
            country: self.country.clone(),
        }
    }

    /// Retention took its digits: it can be shown, not dialled.
    #[must_use]
    pub fn is_erased(&self) -> bool {
        self.e164.ends_with(ERASED)
    }

    /// The number in the clear: `+14255550123`.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.e164
    }

    /// Country calling code, 1–999.
    #[must_use]
    pub const fn calling_code(&self) -> u16 {
        self.calling_code
    }

    /// ISO 3166-1 alpha-2 region; `None` for non-geographic codes.
    #[must_use]
    pub fn country(&self) -> Option<&str> {
        self.country.as_deref()
    }

    /// As the numbering plan has it.
    #[must_use]
    pub fn line_type(&self) -> LineType {
        match self.calling_code {
            870 | 878 | 881 | 882 | 883 | 888 => return LineType::Satellite,
            979 => return LineType::Premium,
            808 => return LineType::SharedCost,
            _ => {}
        }
        let Ok(number) = rlibphonenumber::PhoneNumber::parse(&self.e164, None) else {
            return LineType::Unknown;
        };
        match number.get_type() {
            PhoneNumberType::FixedLine => LineType::FixedLine,
            PhoneNumberType::Mobile => LineType::Mobile,
            PhoneNumberType::FixedLineOrMobile => LineType::FixedLineOrMobile,
            PhoneNumberType::TollFree => LineType::TollFree,
            PhoneNumberType::PremiumRate => LineType::Premium,
            PhoneNumberType::SharedCost => LineType::SharedCost,
            PhoneNumberType::VoIP => LineType::Voip,
            PhoneNumberType::PersonalNumber => LineType::Personal,
            PhoneNumberType::Pager => LineType::Pager,
            PhoneNumberType::UAN => LineType::UniversalAccess,
            PhoneNumberType::VoiceMail => LineType::Voicemail,
            PhoneNumberType::Unknown => LineType::Unknown,
        }
    }

    /// As people of the region write it, with the country code: `+1 425-555-0123`. For an echo to the person
    /// who typed it, never for a log.
    #[must_use]
    pub fn reveal_formatted(&self) -> String {
        match rlibphonenumber::PhoneNumber::parse(&self.e164, None) {
            Ok(number) => number.format_as(PhoneNumberFormat::International).into_owned(),
            Err(_) => self.e164.clone(),
        }
    }

    /// As it is dialled in `region`: `030123456` in Germany, `14255550123` in North America, abroad with the
    /// international prefix that is used there (`0014255550123`, `0114930123456`). `None`: in the number's own
    /// country. Where no plan knows it, E.164 with `+`.
    #[must_use]
    pub fn reveal_dialled_in(&self, region: Option<&str>) -> String {
        let region = region.or(self.country()).and_then(|code| code.parse().ok());
        let number = rlibphonenumber::PhoneNumber::parse(&self.e164, None);
        let (Some(region), Ok(number)) = (region, number) else {
            return self.e164.clone();
        };
        let written = number.format_out_of_country_calling_number(region);
        let keeps_plus = written.starts_with('+');
        let digits = written.chars().filter(char::is_ascii_digit);
        let dialled: String = keeps_plus.then_some('+').into_iter().chain(digits).collect();
        // In North America the metadata writes the trunk prefix 1 for some regions only.
        let digits = self.e164.trim_start_matches('+');
        if self.calling_code == 1 && digits.strip_prefix('1') == Some(&dialled) {
            return digits.to_owned();
        }
        dialled
    }

    /// `+1•••••••0123` → all but the country code and the last two digits hidden.
    #[must_use]
    pub fn masked(&self) -> String {
        if self.is_erased() {
            return self.e164.clone();
        }
        let code_len = 1 + self.calling_code.to_string().len();
        let hidden = self.e164.len().saturating_sub(code_len + 2);
        let tail = self
            .e164
            .get(self.e164.len().saturating_sub(2)..)
            .unwrap_or_default();
        format!("+{}{}{tail}", self.calling_code, "•".repeat(hidden))
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl fmt::Display for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

#[cfg(test)]
#[path = "phone_number_tests.rs"]
mod tests;
