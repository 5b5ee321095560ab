//! Standard Webhooks signatures: `v1` HMAC-SHA256 and `v1a` ed25519 over `id.timestamp.body`.
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::model::Masked;

/// Why a signing secret cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    #[error("at least one webhook secret is needed")]
    None,
    #[error("expected a webhook secret of the form whsec_<base64> (HMAC) or whsk_<base64> (ed25519)")]
    Prefix,
    #[error("the part of the webhook secret after the prefix is no base64")]
    Base64,
    #[error("a whsec_ secret must hold 24 to 64 octets, found {0}")]
    HmacLength(usize),
    #[error("a whsk_ secret must hold 32 octets (the seed) or 64 (seed and public key), found {0}")]
    Ed25519Length(usize),
}

/// One signing secret.
#[derive(Clone)]
enum Secret {
    Hmac(Masked<Vec<u8>>),
    Ed25519(Box<SigningKey>),
}

/// Signs with every live secret, the newest first; receivers accept any signature that fits.
#[derive(Clone)]
pub struct Signer {
    secrets: Vec<Secret>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({} secrets)", self.secrets.len())
    }
}

impl Signer {
    /// From `whsec_…` and `whsk_…` secrets; several while rotating.
    pub fn new<S: AsRef<str>>(secrets: impl IntoIterator<Item = S>) -> Result<Self, SecretError> {
        let secrets = secrets
            .into_iter()
            .map(|s| Secret::parse(s.as_ref().trim()))
            .collect::<Result<Vec<_>, _>>()?;
        if secrets.is_empty() {
            Err(SecretError::None)
        } else {
            Ok(Self { secrets })
        }
    }

    /// The value of `webhook-signature`: one signature per secret, separated by spaces.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp_s: i64, body: &str) -> String {
        let content = format!("{id}.{timestamp_s}.{body}");
        let signatures: Vec<String> = self
            .secrets
            .iter()
            .filter_map(|s| s.sign(content.as_bytes()))
            .collect();
        signatures.join(" ")
    }

    /// The ed25519 public keys, as receivers configure them: `whpk_<base64>`.
    #[must_use]
    pub fn public_keys(&self) -> Vec<String> {
        let keys = self.secrets.iter().filter_map(|secret| match secret {
            Secret::Hmac(_) => None,
            Secret::Ed25519(key) => Some(format!("whpk_{}", BASE64_STANDARD.encode(key.verifying_key()))),
        });
        keys.collect()
    }
}

impl Secret {
    fn parse(text: &str) -> Result<Self, SecretError> {
        let decode = |rest: &str| BASE64_STANDARD.decode(rest).map_err(|_| SecretError::Base64);
        if let Some(rest) = text.strip_prefix("whsec_") {
            let key = decode(rest)?;
            if !(24..=64).contains(&key.len()) {
                return Err(SecretError::HmacLength(key.len()));
            }
            return Ok(Self::Hmac(Masked::new(key)));
        }
        let rest = text.strip_prefix("whsk_").ok_or(SecretError::Prefix)?;
        let key = decode(rest)?;
        let error = SecretError::Ed25519Length(key.len());
        if !matches!(key.len(), 32 | 64) {
            return Err(error);
        }
        let seed: [u8; 32] = key.get(..32).and_then(|s| s.try_into().ok()).ok_or(error)?;
        Ok(Self::Ed25519(Box::new(SigningKey::from_bytes(&seed))))
    }

    fn sign(&self, content: &[u8]) -> Option<String> {
        match self {
            Self::Hmac(key) => {
                // HMAC takes a key of any length, so this is always `Some`.
                let mut mac = Hmac::<Sha256>::new_from_slice(key.reveal()).ok()?;
                mac.update(content);
                Some(format!(
                    "v1,{}",
                    BASE64_STANDARD.encode(mac.finalize().into_bytes())
                ))
            }
            Self::Ed25519(key) => Some(format!(
                "v1a,{}",
                BASE64_STANDARD.encode(key.sign(content).to_bytes())
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_example_of_standard_webhooks_fits() {
        let signer = Signer::new(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]).unwrap();
        let signature = signer.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            "{\"test\": 2432232314}",
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn rotation_gives_one_signature_per_secret_and_ed25519_verifies() {
        let seed = BASE64_STANDARD.encode([7_u8; 32]);
        let signer = Signer::new([
            format!("whsk_{seed}"),
            format!("whsec_{}", BASE64_STANDARD.encode([1_u8; 24])),
        ])
        .unwrap();
        let header = signer.sign("evt_1", 5, "{}");
        let parts: Vec<&str> = header.split(' ').collect();
        assert!(matches!(parts.as_slice(), [a, b] if a.starts_with("v1a,") && b.starts_with("v1,")));
        let bytes = BASE64_STANDARD.decode(&parts[0][4..]).unwrap();
        let signature = ed25519_dalek::Signature::from_slice(&bytes).unwrap();
        let key = SigningKey::from_bytes(&[7; 32]).verifying_key();
        key.verify_strict(b"evt_1.5.{}", &signature).unwrap();
        assert_eq!(
            signer.public_keys(),
            vec![format!("whpk_{}", BASE64_STANDARD.encode(key))]
        );
    }

    #[test]
    fn a_bad_secret_is_refused_with_its_fault() {
        for (secret, error) in [
            ("", SecretError::Prefix),
            ("hunter2", SecretError::Prefix),
            ("whsec_###", SecretError::Base64),
            ("whsec_AAAA", SecretError::HmacLength(3)),
            ("whsk_AAAA", SecretError::Ed25519Length(3)),
        ] {
            assert_eq!(Signer::new([secret]).unwrap_err(), error);
        }
    }
}
