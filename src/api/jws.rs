//! Compact JWS with EdDSA (RFC 7515, RFC 8037), the key set that verifies them, and short-lived browser tokens.
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::model::{Masked, UnixMillis, VerificationId};

/// Signs results and binds tokens. Built from one 32-octet seed, which the operator keeps.
#[derive(Clone)]
pub struct ResultSigner {
    key: Box<SigningKey>,
    kid: String,
    token_key: Masked<[u8; 32]>,
}

impl std::fmt::Debug for ResultSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ResultSigner({})", self.kid)
    }
}

impl ResultSigner {
    #[must_use]
    pub fn new(seed: &Masked<[u8; 32]>) -> Self {
        let key = SigningKey::from_bytes(seed.reveal());
        // RFC 7638 thumbprint: the members of an OKP key in lexical order.
        let x = BASE64_URL_SAFE_NO_PAD.encode(key.verifying_key());
        let thumbprint = Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#));
        let kid = BASE64_URL_SAFE_NO_PAD.encode(thumbprint);
        let token_key = Sha256::new()
            .chain_update(b"ringproof token v1")
            .chain_update(seed.reveal())
            .finalize();
        Self {
            key: Box::new(key),
            kid,
            token_key: Masked::new(token_key.into()),
        }
    }

    /// Compact serialisation of `claims`.
    pub fn sign<C: Serialize>(&self, claims: &C) -> Result<String, serde_json::Error> {
        let header = format!(r#"{{"alg":"EdDSA","typ":"JWT","kid":"{}"}}"#, self.kid);
        let payload = serde_json::to_vec(claims)?;
        let content = format!(
            "{}.{}",
            BASE64_URL_SAFE_NO_PAD.encode(header),
            BASE64_URL_SAFE_NO_PAD.encode(payload)
        );
        let signature = self.key.sign(content.as_bytes()).to_bytes();
        Ok(format!("{content}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }

    /// The JWK set (RFC 7517) for `/.well-known/jwks.json`.
    #[must_use]
    pub fn key_set(&self) -> serde_json::Value {
        serde_json::json!({ "keys": [{
            "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": self.kid,
            "x": BASE64_URL_SAFE_NO_PAD.encode(self.key.verifying_key()),
        }]})
    }

    /// A token with which a browser may follow the events of one verification until `until`.
    #[must_use]
    pub fn browser_token(&self, id: VerificationId, until: UnixMillis) -> String {
        let until_s = until.as_seconds();
        format!("{until_s}.{}", self.mac("events", &format!("{id}.{until_s}")))
    }

    #[must_use]
    pub fn browser_token_fits(&self, token: &str, id: VerificationId, now: UnixMillis) -> bool {
        let Some((until, mac)) = token.split_once('.') else {
            return false;
        };
        let Ok(until_s) = until.parse::<i64>() else {
            return false;
        };
        now.as_seconds() < until_s && self.mac_fits("events", &format!("{id}.{until_s}"), mac)
    }

    /// A keyed hash of `text` for one `purpose`, base64url.
    #[must_use]
    pub fn mac(&self, purpose: &str, text: &str) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.mac_octets(purpose, text))
    }

    #[must_use]
    pub fn mac_fits(&self, purpose: &str, text: &str, mac: &str) -> bool {
        let Ok(offered) = BASE64_URL_SAFE_NO_PAD.decode(mac) else {
            return false;
        };
        self.mac_octets(purpose, text).ct_eq(&offered).into()
    }

    fn mac_octets(&self, purpose: &str, text: &str) -> Vec<u8> {
        // HMAC takes a key of any length; the empty result of the other branch fits no token.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.token_key.reveal()) else {
            return Vec::new();
        };
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Entropy;

    fn signer() -> ResultSigner {
        ResultSigner::new(&Masked::new([9; 32]))
    }

    #[test]
    fn a_result_verifies_with_the_published_key() {
        let signer = signer();
        let jws = signer
            .sign(&serde_json::json!({"iss": "https://calls.example"}))
            .unwrap();
        let (content, signature) = jws.rsplit_once('.').unwrap();
        let keys = signer.key_set();
        let x = BASE64_URL_SAFE_NO_PAD
            .decode(keys["keys"][0]["x"].as_str().unwrap())
            .unwrap();
        let key = ed25519_dalek::VerifyingKey::from_bytes(&x.try_into().unwrap()).unwrap();
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
        let signature = ed25519_dalek::Signature::from_slice(&signature).unwrap();
        key.verify_strict(content.as_bytes(), &signature).unwrap();
        let header = BASE64_URL_SAFE_NO_PAD
            .decode(content.split('.').next().unwrap())
            .unwrap();
        let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
        assert_eq!(header["kid"], keys["keys"][0]["kid"]);
    }

    #[test]
    fn the_thumbprint_is_the_one_of_rfc_8037() {
        // RFC 8037 A.1 and A.3.
        let seed = BASE64_URL_SAFE_NO_PAD
            .decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
            .unwrap();
        let signer = ResultSigner::new(&Masked::new(seed.try_into().unwrap()));
        assert_eq!(signer.kid, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn a_browser_token_opens_one_verification_for_a_while() {
        let (signer, mut entropy) = (signer(), Entropy::from_number(1));
        let id = VerificationId::generate(UnixMillis(1), &mut entropy);
        let other = VerificationId::generate(UnixMillis(1), &mut entropy);
        let token = signer.browser_token(id, UnixMillis(60_000));
        assert!(signer.browser_token_fits(&token, id, UnixMillis(59_000)));
        assert!(!signer.browser_token_fits(&token, id, UnixMillis(60_000)));
        assert!(!signer.browser_token_fits(&token, other, UnixMillis(0)));
        let later = token.replacen("60.", "61.", 1);
        assert!(!signer.browser_token_fits(&later, id, UnixMillis(0)));
        for bad in ["", ".", "60", "x.y", "60."] {
            assert!(!signer.browser_token_fits(bad, id, UnixMillis(0)), "{bad}");
        }
    }
}
