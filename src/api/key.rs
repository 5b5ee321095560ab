//! API keys as their owners hold them: `rp_live_` and 256 random bits in base62.
//!
//! Only the SHA-256 of a key is stored. A fast hash is right here: a secret of 256 random bits cannot be
//! guessed, so nothing slow has to stand in the way, and each request costs microseconds.
//!
//! A key is found by its hash in the store's index, and never compared as text. What the time of that look-up could
//! tell is how far the hash of a guess agrees with a stored hash; nobody can choose a key for the start of its SHA-256,
//! so no further comparison in constant time is owed.
use sha2::{Digest as _, Sha256};

use crate::model::{Entropy, Masked};

pub const PREFIX: &str = "rp_live_";
/// 62^43 > 2^256.
const SECRET_LEN: usize = 43;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A key just made: its text is shown once, its hash is stored.
#[derive(Debug, Clone)]
pub struct NewKey {
    pub text: Masked<String>,
    pub hash: [u8; 32],
}

/// Makes a key.
#[must_use]
pub fn generate(entropy: &mut Entropy) -> NewKey {
    let mut bits = [0; 32];
    entropy.fill(&mut bits);
    let text = format!("{PREFIX}{}", base62(bits));
    let hash = Sha256::digest(text.as_bytes()).into();
    NewKey {
        text: Masked::new(text),
        hash,
    }
}

/// The stored form of a key; `None` for a text that no key can be.
#[must_use]
pub fn hash(text: &str) -> Option<[u8; 32]> {
    let secret = text.strip_prefix(PREFIX)?;
    let fits = secret.len() == SECRET_LEN && secret.bytes().all(|b| b.is_ascii_alphanumeric());
    fits.then(|| Sha256::digest(text.as_bytes()).into())
}

/// Big-endian long division by 62, 43 digits.
fn base62(mut number: [u8; 32]) -> String {
    let mut digits = [b'0'; SECRET_LEN];
    for digit in digits.iter_mut().rev() {
        let mut remainder = 0_u32;
        for octet in &mut number {
            let value = (remainder << 8) | u32::from(*octet);
            *octet = u8::try_from(value / 62).unwrap_or(0);
            remainder = value % 62;
        }
        *digit = usize::try_from(remainder)
            .ok()
            .and_then(|i| ALPHABET.get(i))
            .copied()
            .unwrap_or(b'0');
    }
    digits.iter().map(|d| char::from(*d)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_have_the_form_and_hash_to_what_is_stored() {
        let mut entropy = Entropy::from_number(5);
        let (a, b) = (generate(&mut entropy), generate(&mut entropy));
        assert_ne!(a.text.reveal(), b.text.reveal());
        assert_eq!(a.text.reveal().len(), PREFIX.len() + SECRET_LEN);
        assert_eq!(hash(a.text.reveal()), Some(a.hash));
        assert_ne!(a.hash, b.hash);
        assert!(!format!("{a:?}").contains(a.text.reveal().as_str()));
    }

    #[test]
    fn all_256_bits_stand_in_the_text() {
        assert_eq!(base62([0; 32]), "0".repeat(43));
        let mut one = [0; 32];
        one[31] = 61;
        assert!(base62(one).ends_with("0z"));
        assert_ne!(
            base62([255; 32]),
            base62({
                let mut other = [255; 32];
                other[0] = 254;
                other
            })
        );
    }

    #[test]
    fn what_no_key_can_be_is_not_looked_up() {
        let short = format!("{PREFIX}{}", "a".repeat(42));
        let odd = format!("{PREFIX}{}-", "a".repeat(42));
        for text in ["", "rp_live_", "sk_live_x", short.as_str(), odd.as_str()] {
            assert_eq!(hash(text), None, "{text}");
        }
    }
}
