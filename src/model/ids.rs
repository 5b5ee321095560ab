//! Identifiers: a prefix that names the thing and a UUIDv7 (RFC 9562 §5.7), so that they sort by time.
use std::fmt;
use std::str::FromStr;

use super::{Entropy, UnixMillis};

/// What an identifier should have looked like.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an id of the form {prefix}<uuid>, found {found:?}")]
pub struct IdError {
    pub prefix: &'static str,
    /// At most 64 characters of what came.
    pub found: String,
}

fn v7(now: UnixMillis, entropy: &mut Entropy) -> uuid::Uuid {
    let mut random = [0; 10];
    entropy.fill(&mut random);
    uuid::Builder::from_unix_timestamp_millis(u64::try_from(now.0).unwrap_or(0), &random).into_uuid()
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(uuid::Uuid);

        impl $name {
            pub const PREFIX: &'static str = $prefix;

            #[must_use]
            pub fn generate(now: UnixMillis, entropy: &mut Entropy) -> Self {
                Self(v7(now, entropy))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", $prefix, self.0.as_simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                text.strip_prefix($prefix)
                    .filter(|rest| rest.len() == 32)
                    .and_then(|rest| uuid::Uuid::try_parse(rest).ok())
                    .map(Self)
                    .ok_or_else(|| IdError { prefix: $prefix, found: text.chars().take(64).collect() })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
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

id!(
    /// What the platform asked for: `ver_…`.
    VerificationId, "ver_"
);
id!(
    /// One dialled INVITE: `att_…`.
    AttemptId, "att_"
);
id!(
    /// One webhook, stable over all its retries: `evt_…`.
    EventId, "evt_"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_sort_by_time_and_refuse_strangers() {
        let mut entropy = Entropy::from_number(1);
        let early = VerificationId::generate(UnixMillis(1_000), &mut entropy);
        let late = VerificationId::generate(UnixMillis(2_000), &mut entropy);
        assert!(early.to_string() < late.to_string());
        assert_eq!(early.to_string().parse(), Ok(early));
        assert!(early.to_string().parse::<AttemptId>().is_err());
        assert!("ver_".parse::<VerificationId>().is_err());
    }
}
