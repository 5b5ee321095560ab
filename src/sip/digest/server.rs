//! The side that challenges: for the simulator's trunks and for tests.
use std::collections::{BTreeMap, VecDeque};

use subtle::ConstantTimeEq;

use super::hash::Input;
use super::params::AuthParams;
use super::{Algorithm, Qop};
use crate::model::{Entropy, Masked};
use crate::sip::message::Method;
use crate::sip::uri::Uri;
use crate::sip::wire::quote;

/// Nonces remembered, the oldest forgotten: it is then stale.
const NONCES_MAX: usize = 1024;

/// Credentials as they came in Authorization or Proxy-Authorization.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Authorization {
    pub username: String,
    pub realm: String,
    pub nonce: String,
    pub uri: String,
    pub response: Masked<String>,
    pub algorithm: Algorithm,
    pub qop: Option<Qop>,
    pub cnonce: Option<String>,
    /// As written, since the hash covers the text.
    pub nc: Option<String>,
    pub opaque: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    Accepted {
        username: String,
    },
    /// Right, but with a nonce that is unknown, forgotten or used before: challenge with `stale=true`.
    Stale,
    /// None, unreadable or wrong.
    Refused,
}

#[derive(Clone, Debug)]
pub struct DigestServer {
    realm: String,
    users: BTreeMap<String, Masked<String>>,
    algorithms: Vec<Algorithm>,
    qop: Vec<Qop>,
    /// Nonce → highest count seen.
    nonces: BTreeMap<String, u32>,
    order: VecDeque<String>,
}

impl Authorization {
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let schemes = AuthParams::read(value);
        let params = schemes.first().filter(|params| params.is_digest())?;
        Some(Self {
            username: params.owned("username")?,
            realm: params.owned("realm")?,
            nonce: params.owned("nonce")?,
            uri: params.owned("uri")?,
            response: params.owned("response")?.into(),
            algorithm: params
                .get("algorithm")
                .map_or(Ok(Algorithm::MD5), str::parse)
                .ok()?,
            qop: match params.get("qop") {
                Some(token) => Some(Qop::find(token)?),
                None => None,
            },
            cnonce: params.owned("cnonce"),
            nc: params.owned("nc"),
            opaque: params.owned("opaque"),
        })
    }

    /// Whether this is the response of one who knows the password. Compared in constant time.
    #[must_use]
    pub fn is_right(&self, password: &Masked<String>, method: &Method, body: &[u8]) -> bool {
        let expected = Input {
            algorithm: self.algorithm,
            username: &self.username,
            realm: &self.realm,
            password: password.reveal(),
            key_nonce: &self.nonce,
            nonce: &self.nonce,
            cnonce: self.cnonce.as_deref().unwrap_or_default(),
            nc: self.nc.as_deref().unwrap_or_default(),
            qop: self.qop,
            method: method.as_str(),
            uri: &self.uri,
            body,
        }
        .response();
        expected
            .as_bytes()
            .ct_eq(self.response.reveal().to_ascii_lowercase().as_bytes())
            .into()
    }

    /// RFC 7616 §3.4: exactly eight hex digits.
    fn count(&self) -> Option<u32> {
        let nc = self.nc.as_deref()?;
        let good = nc.len() == 8 && nc.bytes().all(|b| b.is_ascii_hexdigit());
        if good {
            u32::from_str_radix(nc, 16).ok()
        } else {
            None
        }
    }
}

impl DigestServer {
    /// Offers SHA-256 and MD5 with qop `auth`.
    #[must_use]
    pub fn new(realm: &str) -> Self {
        Self {
            realm: realm.to_owned(),
            users: BTreeMap::new(),
            algorithms: vec![Algorithm::SHA_256, Algorithm::MD5],
            qop: vec![Qop::Auth],
            nonces: BTreeMap::new(),
            order: VecDeque::new(),
        }
    }

    #[must_use]
    pub fn with_user(mut self, username: &str, password: &str) -> Self {
        self.users
            .insert(username.to_owned(), Masked::new(password.to_owned()));
        self
    }

    #[must_use]
    pub fn with_algorithms(mut self, algorithms: &[Algorithm]) -> Self {
        self.algorithms = algorithms.to_vec();
        self
    }

    /// An empty list gives the challenge of RFC 2069.
    #[must_use]
    pub fn with_qop(mut self, qop: &[Qop]) -> Self {
        self.qop = qop.to_vec();
        self
    }

    /// The values of WWW-Authenticate or Proxy-Authenticate, one header field for each algorithm, under one new
    /// nonce.
    pub fn challenge(&mut self, stale: bool, entropy: &mut Entropy) -> Vec<String> {
        let nonce = self.new_nonce(entropy);
        let qop = self
            .qop
            .iter()
            .map(|qop| qop.as_str())
            .collect::<Vec<_>>()
            .join(",");
        let qop = if qop.is_empty() {
            qop
        } else {
            format!(", qop=\"{qop}\"")
        };
        let stale = if stale { ", stale=true" } else { "" };
        self.algorithms
            .iter()
            .map(|algorithm| {
                format!(
                    "Digest realm={}, nonce=\"{nonce}\", algorithm={algorithm}{qop}{stale}",
                    quote(&self.realm)
                )
            })
            .collect()
    }

    /// The value of Authentication-Info or Proxy-Authentication-Info: the nonce that the next request shall use.
    pub fn next_nonce(&mut self, entropy: &mut Entropy) -> String {
        format!("nextnonce=\"{}\"", self.new_nonce(entropy))
    }

    fn new_nonce(&mut self, entropy: &mut Entropy) -> String {
        let nonce = entropy.token();
        if self.order.len() == NONCES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.nonces.remove(&oldest);
        }
        self.order.push_back(nonce.clone());
        self.nonces.insert(nonce.clone(), 0);
        nonce
    }

    /// Judges the value of Authorization or Proxy-Authorization of a request.
    pub fn verify(&mut self, value: Option<&str>, method: &Method, uri: &Uri, body: &[u8]) -> Verdict {
        let Some(authorization) = value.and_then(Authorization::parse) else {
            return Verdict::Refused;
        };
        let offered = authorization.realm == self.realm
            && self.algorithms.contains(&authorization.algorithm)
            && match authorization.qop {
                Some(qop) => self.qop.contains(&qop),
                None => self.qop.is_empty(),
            };
        let same_uri = authorization
            .uri
            .parse::<Uri>()
            .is_ok_and(|named| named.equivalent(uri));
        let known = self.users.get(&authorization.username);
        if !offered
            || !same_uri
            || !known.is_some_and(|password| authorization.is_right(password, method, body))
        {
            return Verdict::Refused;
        }
        let Some(highest) = self.nonces.get_mut(&authorization.nonce) else {
            return Verdict::Stale;
        };
        if authorization.qop.is_some() {
            match authorization.count() {
                Some(count) if count > *highest => *highest = count,
                Some(_) => return Verdict::Stale,
                None => return Verdict::Refused,
            }
        }
        Verdict::Accepted {
            username: authorization.username,
        }
    }

    /// Forgets every nonce, so that the next credentials are stale.
    pub fn expire_nonces(&mut self) {
        self.nonces.clear();
        self.order.clear();
    }
}
