//! Why a request is refused at the POST.
use std::fmt;
use std::time::Duration;

/// `code` of the problem document (contract §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProblemCode {
    NumberInvalid,
    NumberAmbiguous,
    RegionRequired,
    ExtensionInvalid,
    CountryNotAllowed,
    NumberBlocked,
    UserBlocked,
    PremiumNumber,
    RateLimited,
    NoTrunkAvailable,
    Overloaded,
}

impl ProblemCode {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NumberInvalid => "number_invalid",
            Self::NumberAmbiguous => "number_ambiguous",
            Self::RegionRequired => "region_required",
            Self::ExtensionInvalid => "extension_invalid",
            Self::CountryNotAllowed => "country_not_allowed",
            Self::NumberBlocked => "number_blocked",
            Self::UserBlocked => "user_blocked",
            Self::PremiumNumber => "premium_number",
            Self::RateLimited => "rate_limited",
            Self::NoTrunkAvailable => "no_trunk_available",
            Self::Overloaded => "overloaded",
        }
    }

    #[must_use]
    pub const fn http_status(self) -> u16 {
        match self {
            Self::NumberInvalid | Self::NumberAmbiguous | Self::RegionRequired | Self::ExtensionInvalid => {
                422
            }
            Self::CountryNotAllowed | Self::NumberBlocked | Self::UserBlocked | Self::PremiumNumber => 403,
            Self::RateLimited => 429,
            Self::NoTrunkAvailable | Self::Overloaded => 503,
        }
    }
}

impl fmt::Display for ProblemCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `limit` of a 429 (contract §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    Number,
    User,
    Ip,
    Prefix,
    Key,
    Global,
}

impl Limit {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::User => "user",
            Self::Ip => "ip",
            Self::Prefix => "prefix",
            Self::Key => "key",
            Self::Global => "global",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refusal, as the problem document tells it. The text never holds the number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Refusal {
    pub code: ProblemCode,
    pub detail: String,
    /// With `rate_limited`.
    pub limit: Option<Limit>,
    /// With `rate_limited`: when the same request may be allowed.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    #[must_use]
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            limit: None,
            retry_after: None,
        }
    }

    #[must_use]
    pub fn limited(limit: Limit, retry_after: Duration, detail: impl Into<String>) -> Self {
        Self {
            code: ProblemCode::RateLimited,
            detail: detail.into(),
            limit: Some(limit),
            retry_after: Some(retry_after),
        }
    }
}
