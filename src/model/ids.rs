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

/// How the 128 bits are written behind the prefix, in 32 characters that sort as the bits do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Digits {
    /// `0-9a-f`.
    Hex,
    /// `a-p`: who looks for the digits of a telephone number in what carries this id never finds them in it.
    Letters,
}

impl Digits {
    fn write(self, id: uuid::Uuid, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hex => write!(f, "{}", id.as_simple()),
            Self::Letters => {
                let nibbles = id.as_bytes().iter().flat_map(|byte| [byte >> 4, byte & 15]);
                nibbles
                    .map(|nibble| char::from(b'a' + nibble))
                    .try_for_each(|letter| write!(f, "{letter}"))
            }
        }
    }

    fn read(self, text: &str) -> Option<uuid::Uuid> {
        if text.len() != 32 {
            return None;
        }
        match self {
            Self::Hex => uuid::Uuid::try_parse(text).ok(),
            Self::Letters => text
                .bytes()
                .try_fold(0, |bits: u128, letter| {
                    let nibble = letter.checked_sub(b'a').filter(|nibble| *nibble < 16)?;
                    Some(bits << 4 | u128::from(nibble))
                })
                .map(uuid::Uuid::from_u128),
        }
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $digits:expr) => {
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
                f.write_str($prefix)?;
                $digits.write(self.0, f)
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
                    .and_then(|rest| $digits.read(rest))
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
    VerificationId, "ver_", Digits::Hex
);
id!(
    /// One dialled INVITE: `att_…`.
    AttemptId, "att_", Digits::Hex
);
id!(
    /// One webhook, stable over all its retries: `evt_…`.
    EventId, "evt_", Digits::Letters
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_has_no_digits_and_sorts_by_time_too() {
        let mut entropy = Entropy::from_number(1);
        let early = EventId::generate(UnixMillis(1_000), &mut entropy);
        let late = EventId::generate(UnixMillis(2_000), &mut entropy);
        assert!(early.to_string() < late.to_string());
        let text = late.to_string();
        assert!(
            text.len() == 36 && !text.contains(|c: char| c.is_ascii_digit()),
            "{text}"
        );
        assert_eq!(text.parse(), Ok(late));
        for odd in [
            "evt_",
            "evt_01932f0c8a7b7c3e9d4a5b6c7d8e9f00",
            &text[..35],
            &format!("{text}a"),
        ] {
            assert!(odd.parse::<EventId>().is_err(), "{odd}");
        }
    }

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
