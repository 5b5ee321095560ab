//! The hashes of RFC 7616 §3.4.
use std::fmt;
use std::str::FromStr;

use md5::Md5;
use sha2::{Digest, Sha256, Sha512_256};

/// Weakest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Hash {
    Md5,
    Sha256,
    Sha512Trunc256,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Algorithm {
    pub hash: Hash,
    /// `-sess`: the first hash binds nonce and cnonce.
    pub session: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Qop {
    Auth,
    /// The body is hashed too.
    AuthInt,
}

impl Algorithm {
    pub const MD5: Self = Self {
        hash: Hash::Md5,
        session: false,
    };
    pub const SHA_256: Self = Self {
        hash: Hash::Sha256,
        session: false,
    };
    pub const SHA_512_256: Self = Self {
        hash: Hash::Sha512Trunc256,
        session: false,
    };

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match (self.hash, self.session) {
            (Hash::Md5, false) => "MD5",
            (Hash::Md5, true) => "MD5-sess",
            (Hash::Sha256, false) => "SHA-256",
            (Hash::Sha256, true) => "SHA-256-sess",
            (Hash::Sha512Trunc256, false) => "SHA-512-256",
            (Hash::Sha512Trunc256, true) => "SHA-512-256-sess",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected MD5, SHA-256 or SHA-512-256, came another algorithm")]
pub struct UnknownAlgorithm;

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(token: &str) -> Result<Self, UnknownAlgorithm> {
        [Hash::Md5, Hash::Sha256, Hash::Sha512Trunc256]
            .into_iter()
            .flat_map(|hash| [false, true].map(|session| Self { hash, session }))
            .find(|algorithm| algorithm.as_str().eq_ignore_ascii_case(token))
            .ok_or(UnknownAlgorithm)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Qop {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::AuthInt => "auth-int",
        }
    }

    pub(super) fn find(token: &str) -> Option<Self> {
        [Self::Auth, Self::AuthInt]
            .into_iter()
            .find(|qop| qop.as_str().eq_ignore_ascii_case(token))
    }
}

/// Everything one response is computed from.
pub(super) struct Input<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) username: &'a str,
    pub(super) realm: &'a str,
    pub(super) password: &'a str,
    /// The nonce that a `-sess` key is bound to: that of the challenge.
    pub(super) key_nonce: &'a str,
    pub(super) nonce: &'a str,
    pub(super) cnonce: &'a str,
    /// Eight hex digits, as on the wire.
    pub(super) nc: &'a str,
    pub(super) qop: Option<Qop>,
    pub(super) method: &'a str,
    pub(super) uri: &'a str,
    pub(super) body: &'a [u8],
}

impl Input<'_> {
    pub(super) fn response(&self) -> String {
        let hash = self.algorithm.hash;
        let mut secret = joined(hash, &[self.username, self.realm, self.password]);
        if self.algorithm.session {
            secret = joined(hash, &[&secret, self.key_nonce, self.cnonce]);
        }
        let request = match self.qop {
            Some(Qop::AuthInt) => joined(hash, &[self.method, self.uri, &hex(hash, &[self.body])]),
            Some(Qop::Auth) | None => joined(hash, &[self.method, self.uri]),
        };
        match self.qop {
            Some(qop) => joined(
                hash,
                &[&secret, self.nonce, self.nc, self.cnonce, qop.as_str(), &request],
            ),
            None => joined(hash, &[&secret, self.nonce, &request]),
        }
    }
}

/// The hash of the parts with colons between.
pub(super) fn joined(hash: Hash, parts: &[&str]) -> String {
    let mut octets: Vec<&[u8]> = Vec::with_capacity(parts.len() * 2);
    for part in parts {
        if !octets.is_empty() {
            octets.push(b":");
        }
        octets.push(part.as_bytes());
    }
    hex(hash, &octets)
}

fn hex(hash: Hash, parts: &[&[u8]]) -> String {
    match hash {
        Hash::Md5 => hex_of::<Md5>(parts),
        Hash::Sha256 => hex_of::<Sha256>(parts),
        Hash::Sha512Trunc256 => hex_of::<Sha512_256>(parts),
    }
}

fn hex_of<D: Digest>(parts: &[&[u8]]) -> String {
    let mut digest = D::new();
    for part in parts {
        digest.update(part);
    }
    digest
        .finalize()
        .iter()
        .flat_map(|octet| [octet >> 4, octet & 15])
        .filter_map(|n| char::from_digit(n.into(), 16))
        .collect()
}
