//! WWW-Authenticate and Proxy-Authenticate.
use super::params::{AuthParams, SCHEMES_MAX};
use super::{Algorithm, Qop};
use crate::sip::message::Headers;

/// Who asks: the two have their own statuses and header fields (RFC 3261 §22.2, §22.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Challenger {
    /// 401, WWW-Authenticate, Authorization.
    Server,
    /// 407, Proxy-Authenticate, Proxy-Authorization.
    Proxy,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Challenge {
    pub challenger: Challenger,
    pub realm: String,
    pub nonce: String,
    pub opaque: Option<String>,
    /// As written, to be repeated; MD5 is meant where none came.
    pub algorithm_token: Option<String>,
    /// `None` for an algorithm that we do not speak.
    pub algorithm: Option<Algorithm>,
    /// `None`: no qop at all, the form of RFC 2069. Unknown tokens are left out.
    pub qop: Option<Vec<Qop>>,
    /// The nonce was too old, not the password wrong.
    pub stale: bool,
}

impl Challenger {
    #[must_use]
    pub const fn of_status(status: u16) -> Option<Self> {
        match status {
            401 => Some(Self::Server),
            407 => Some(Self::Proxy),
            _ => None,
        }
    }

    #[must_use]
    pub const fn challenge_header(self) -> &'static str {
        match self {
            Self::Server => "WWW-Authenticate",
            Self::Proxy => "Proxy-Authenticate",
        }
    }

    /// What a success may say of the next nonce (RFC 7615 §3, §4).
    #[must_use]
    pub const fn info_header(self) -> &'static str {
        match self {
            Self::Server => "Authentication-Info",
            Self::Proxy => "Proxy-Authentication-Info",
        }
    }

    #[must_use]
    pub const fn credentials_header(self) -> &'static str {
        match self {
            Self::Server => "Authorization",
            Self::Proxy => "Proxy-Authorization",
        }
    }
}

impl Challenge {
    /// The Digest challenges of a 401 or 407 in order; those of the other kind, which a forking proxy may have
    /// gathered (RFC 3261 §16.7), behind them. Challenges without realm or nonce, and other schemes, are left out.
    #[must_use]
    pub fn parse_all(headers: &Headers, status: u16) -> Vec<Self> {
        let Some(first) = Challenger::of_status(status) else {
            return Vec::new();
        };
        let second = match first {
            Challenger::Server => Challenger::Proxy,
            Challenger::Proxy => Challenger::Server,
        };
        [first, second]
            .into_iter()
            .flat_map(|challenger| {
                headers
                    .lines(challenger.challenge_header())
                    .map(move |line| (challenger, line))
            })
            .flat_map(|(challenger, line)| {
                AuthParams::read(line)
                    .into_iter()
                    .map(move |params| (challenger, params))
            })
            .filter_map(|(challenger, params)| Self::from_params(challenger, &params))
            .take(SCHEMES_MAX)
            .collect()
    }

    fn from_params(challenger: Challenger, params: &AuthParams<'_>) -> Option<Self> {
        if !params.is_digest() {
            return None;
        }
        let algorithm_token = params.owned("algorithm");
        let qop = params.get("qop").map(|tokens| {
            tokens
                .split(',')
                .filter_map(|token| Qop::find(token.trim()))
                .collect()
        });
        Some(Self {
            challenger,
            realm: params.owned("realm")?,
            nonce: params.owned("nonce").filter(|nonce| !nonce.is_empty())?,
            opaque: params.owned("opaque"),
            algorithm: match &algorithm_token {
                Some(token) => token.parse().ok(),
                None => Some(Algorithm::MD5),
            },
            algorithm_token,
            qop,
            stale: params
                .get("stale")
                .is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
        })
    }

    /// The algorithm and qop we would answer with. `auth` goes before `auth-int`: session border controllers
    /// rewrite bodies, and then the hash of the body no longer holds.
    pub(super) fn method(&self) -> Option<(Algorithm, Option<Qop>)> {
        let algorithm = self.algorithm?;
        let qop = match &self.qop {
            None => None,
            Some(offered) => Some(
                *offered
                    .iter()
                    .find(|qop| **qop == Qop::Auth)
                    .or(offered.first())?,
            ),
        };
        Some((algorithm, qop))
    }
}
