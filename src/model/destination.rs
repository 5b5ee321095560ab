//! What is dialled: a public number or a number of the operator's own PBX.
use std::fmt;

use super::{DigitError, Digits, PhoneNumber};

/// Where a call goes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Destination {
    /// A public number in E.164.
    E164(PhoneNumber),
    /// Matched `policy.internal_numbers` as a whole; skips the country rule and no limit.
    Internal(String),
}

impl Destination {
    /// The number in the clear (`+1425…` or `1001`): for the wire and the store, never for a log.
    #[must_use]
    pub fn reveal(&self) -> &str {
        match self {
            Self::E164(number) => number.reveal(),
            Self::Internal(number) => number,
        }
    }

    /// With all but the country code and the last two digits hidden: `+1 ••• ••• ••23`.
    #[must_use]
    pub fn masked(&self) -> String {
        match self {
            Self::E164(number) => number.masked(),
            Self::Internal(number) => {
                let tail: String = number
                    .chars()
                    .skip(number.chars().count().saturating_sub(1))
                    .collect();
                format!("{}{tail}", "•".repeat(number.chars().count().saturating_sub(1)))
            }
        }
    }

    /// ISO 3166-1 alpha-2 region; `None` for an internal number or a number of no region (+800…).
    #[must_use]
    pub fn country(&self) -> Option<&str> {
        match self {
            Self::E164(number) => number.country(),
            Self::Internal(_) => None,
        }
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

/// Digits to send after the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    pub digits: Digits,
    /// Pause between the answer and the first digit, milliseconds, 0–30,000.
    pub wait_ms: u32,
}

/// Why an extension cannot be dialled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExtensionError {
    #[error("extension.digits: {0}")]
    Digit(#[from] DigitError),
    #[error("extension.digits: expected 1 to 16 digits, found {0}")]
    Length(usize),
    #[error("extension.wait_ms: expected 0 to 30000, found {0}")]
    Wait(u32),
}

impl Extension {
    pub const WAIT_MS_DEFAULT: u32 = 2000;

    pub fn parse(digits: &str, wait_ms: u32) -> Result<Self, ExtensionError> {
        let digits = Digits::parse(digits)?;
        if digits.is_empty() || digits.len() > 16 {
            return Err(ExtensionError::Length(digits.len()));
        }
        if wait_ms > 30_000 {
            return Err(ExtensionError::Wait(wait_ms));
        }
        Ok(Self { digits, wait_ms })
    }
}
