//! A public telephone number in E.164.
use std::fmt;

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

/// Why a text is not a number that can be dialled. Each maps to one problem `code` of the contract.
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

/// Canonical E.164, at most 15 digits. `Debug` and `Display` are masked; [`PhoneNumber::reveal`] is not.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PhoneNumber {
    e164: String,
    calling_code: u16,
    country: Option<String>,
}

impl PhoneNumber {
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

    /// `+1•••••••0123` → all but the country code and the last two digits hidden.
    #[must_use]
    pub fn masked(&self) -> String {
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
