//! SRTP as signalling and media both know it: suites, keys, and what a trunk asks for (RFC 3711, RFC 4568).
use std::fmt;
use std::str::FromStr;

use super::{Entropy, UnknownWord};

super::outcome::words!(
    /// A crypto suite as SDES names it (RFC 4568 §6.2, RFC 7714 §14.2), in the order in which we offer them. The first
    /// is the one that every peer has.
    SrtpSuite, "SRTP suite" {
        AesCm128HmacSha1_80 = "AES_CM_128_HMAC_SHA1_80",
        AeadAes128Gcm = "AEAD_AES_128_GCM",
        AesCm128HmacSha1_32 = "AES_CM_128_HMAC_SHA1_32",
    }
);

super::outcome::words!(
    /// Whether a trunk's audio is encrypted.
    SrtpPolicy, "SRTP policy" { Off = "off", Prefer = "prefer", Require = "require" }
);

super::outcome::words!(
    /// Under which profile the keys are offered: RTP/SAVP, or RTP/AVP for trunks that want it so.
    SrtpProfile, "SRTP profile" { Savp = "savp", Avp = "avp" }
);

/// Octets of the master key of every suite here.
pub const MASTER_KEY_LEN: usize = 16;
/// Octets of the longest master salt.
pub const MASTER_SALT_LEN_MAX: usize = 14;

impl SrtpSuite {
    /// Octets of the master salt.
    #[must_use]
    pub const fn salt_len(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 => MASTER_SALT_LEN_MAX,
            Self::AeadAes128Gcm => 12,
        }
    }

    /// Octets of key and salt as SDES carries them.
    #[must_use]
    pub const fn key_len(self) -> usize {
        MASTER_KEY_LEN + self.salt_len()
    }
}

/// A master key with its salt, for one direction.
#[derive(Clone, PartialEq, Eq)]
pub struct SrtpKey {
    suite: SrtpSuite,
    octets: [u8; MASTER_KEY_LEN + MASTER_SALT_LEN_MAX],
}

impl SrtpKey {
    #[must_use]
    pub fn draw(suite: SrtpSuite, entropy: &mut Entropy) -> Self {
        let mut key = Self {
            suite,
            octets: [0; MASTER_KEY_LEN + MASTER_SALT_LEN_MAX],
        };
        let len = suite.key_len();
        if let Some(octets) = key.octets.get_mut(..len) {
            entropy.fill(octets);
        }
        key
    }

    /// `None` when the octets are not as many as the suite has.
    #[must_use]
    pub fn from_octets(suite: SrtpSuite, octets: &[u8]) -> Option<Self> {
        if octets.len() != suite.key_len() {
            return None;
        }
        let mut key = Self {
            suite,
            octets: [0; MASTER_KEY_LEN + MASTER_SALT_LEN_MAX],
        };
        key.octets.get_mut(..octets.len())?.copy_from_slice(octets);
        Some(key)
    }

    #[must_use]
    pub const fn suite(&self) -> SrtpSuite {
        self.suite
    }

    /// Key and salt, one after the other.
    #[must_use]
    pub fn reveal(&self) -> &[u8] {
        self.octets.get(..self.suite.key_len()).unwrap_or_default()
    }

    #[must_use]
    pub fn master_key(&self) -> [u8; MASTER_KEY_LEN] {
        self.octets.first_chunk().copied().unwrap_or_default()
    }

    /// The salt, filled up with zeros (RFC 7714 §11).
    #[must_use]
    pub fn master_salt(&self) -> [u8; MASTER_SALT_LEN_MAX] {
        self.octets.last_chunk().copied().unwrap_or_default()
    }
}

impl fmt::Debug for SrtpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SrtpKey({} ***)", self.suite)
    }
}

/// What both sides agreed: each encrypts with the key that it has named itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SrtpKeys {
    pub suite: SrtpSuite,
    pub ours: SrtpKey,
    pub theirs: SrtpKey,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_length_of_its_suite_and_does_not_show_itself() {
        for (suite, len) in [
            (SrtpSuite::AesCm128HmacSha1_80, 30),
            (SrtpSuite::AesCm128HmacSha1_32, 30),
            (SrtpSuite::AeadAes128Gcm, 28),
        ] {
            let key = SrtpKey::draw(suite, &mut Entropy::from_number(1));
            assert_eq!(key.reveal().len(), len);
            assert_eq!(SrtpKey::from_octets(suite, key.reveal()).as_ref(), Some(&key));
            assert_eq!(SrtpKey::from_octets(suite, &[0; 29]), None);
            assert_eq!(key.master_key(), key.reveal()[..16]);
            assert_eq!(key.master_salt()[..suite.salt_len()], key.reveal()[16..]);
            assert!(format!("{key:?}").ends_with("***)"));
        }
    }
}
