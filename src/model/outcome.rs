//! The two-level outcome (status, reason) and the stages of a pending verification.
use std::fmt;
use std::str::FromStr;

/// A word that the contract does not list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} {found:?}; expected one of: {expected}")]
pub struct UnknownWord {
    pub what: &'static str,
    pub found: String,
    /// The listed words, separated by spaces.
    pub expected: String,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $what:literal { $($variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($variant),+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word of the contract.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                Self::ALL.iter().copied().find(|w| w.as_str() == text).ok_or_else(|| UnknownWord {
                    what: $what,
                    found: text.chars().take(64).collect(),
                    expected: Self::ALL.iter().map(|w| w.as_str()).collect::<Vec<_>>().join(" "),
                })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use words;

words!(
    /// First level. All but `Pending` are terminal and never change.
    Status, "status" {
        Pending = "pending", Approved = "approved", Delivered = "delivered", Denied = "denied",
        Expired = "expired", Failed = "failed", Blocked = "blocked", Canceled = "canceled",
    }
);

words!(
    /// Where a pending verification stands.
    Stage, "stage" {
        Queued = "queued", Dialing = "dialing", Ringing = "ringing", EarlyMedia = "early_media",
        Answered = "answered", Prompting = "prompting",
    }
);

words!(
    /// Second level: why it ended so. Each reason belongs to exactly one [`Status`].
    Reason, "reason" {
        KeyConfirmed = "key_confirmed", CodeMatched = "code_matched",
        CodePlayed = "code_played",
        FraudReported = "fraud_reported", WrongKey = "wrong_key", WrongCode = "wrong_code",
        Declined = "declined", HungUp = "hung_up",
        NoAnswer = "no_answer", NoInput = "no_input", Voicemail = "voicemail",
        CallScreened = "call_screened", SuspectMachine = "suspect_machine", Ttl = "ttl",
        Busy = "busy", Unreachable = "unreachable", InvalidNumber = "invalid_number",
        NotAllocated = "not_allocated", Congestion = "congestion", TrunkAuth = "trunk_auth",
        TrunkDown = "trunk_down", RejectedByNetwork = "rejected_by_network",
        CodecMismatch = "codec_mismatch", MediaFailed = "media_failed",
        UnknownAfterCrash = "unknown_after_crash", Internal = "internal",
        CountryNotAllowed = "country_not_allowed", NumberBlocked = "number_blocked",
        UserBlocked = "user_blocked", RateLimited = "rate_limited", SpendLimit = "spend_limit",
        PremiumNumber = "premium_number",
        ByClient = "by_client", Superseded = "superseded", Shutdown = "shutdown",
    }
);

impl Status {
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Pending)
    }
}

impl Reason {
    /// The one status that this reason belongs to (contract §2).
    #[must_use]
    pub const fn status(self) -> Status {
        match self {
            Self::KeyConfirmed | Self::CodeMatched => Status::Approved,
            Self::CodePlayed => Status::Delivered,
            Self::FraudReported | Self::WrongKey | Self::WrongCode | Self::Declined | Self::HungUp => {
                Status::Denied
            }
            Self::NoAnswer
            | Self::NoInput
            | Self::Voicemail
            | Self::CallScreened
            | Self::SuspectMachine
            | Self::Ttl => Status::Expired,
            Self::Busy
            | Self::Unreachable
            | Self::InvalidNumber
            | Self::NotAllocated
            | Self::Congestion
            | Self::TrunkAuth
            | Self::TrunkDown
            | Self::RejectedByNetwork
            | Self::CodecMismatch
            | Self::MediaFailed
            | Self::UnknownAfterCrash
            | Self::Internal => Status::Failed,
            Self::CountryNotAllowed
            | Self::NumberBlocked
            | Self::UserBlocked
            | Self::RateLimited
            | Self::SpendLimit
            | Self::PremiumNumber => Status::Blocked,
            Self::ByClient | Self::Superseded | Self::Shutdown => Status::Canceled,
        }
    }
}

/// A terminal verdict. The reason decides the status, so no pair outside the contract can exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Outcome {
    reason: Reason,
}

impl Outcome {
    #[must_use]
    pub const fn new(reason: Reason) -> Self {
        Self { reason }
    }

    #[must_use]
    pub const fn reason(self) -> Reason {
        self.reason
    }

    #[must_use]
    pub const fn status(self) -> Status {
        self.reason.status()
    }
}

impl From<Reason> for Outcome {
    fn from(reason: Reason) -> Self {
        Self::new(reason)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.status(), self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_terminal_and_every_terminal_status_has_one() {
        assert!(Reason::ALL.iter().all(|r| r.status().is_terminal()));
        for status in Status::ALL.iter().filter(|s| s.is_terminal()) {
            assert!(Reason::ALL.iter().any(|r| r.status() == *status), "{status}");
        }
    }

    #[test]
    fn an_unknown_word_lists_the_known_ones() {
        let error = "aproved".parse::<Status>().unwrap_err().to_string();
        assert!(
            error.contains("\"aproved\"") && error.contains("approved delivered"),
            "{error}"
        );
    }
}
