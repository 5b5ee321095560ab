//! Answers challenges.
//!
//! ```text
//!  request ──401/407──▶ authorize ──▶ request with credentials ──2xx…──▶ done
//!                           ▲                    │
//!                           └── second challenge ┘ (another realm, or stale); a third is refused
//! ```
use super::hash::Input;
use super::{Algorithm, Challenge, Challenger, Credentials, Qop};
use crate::model::Entropy;
use crate::sip::message::Method;
use crate::sip::uri::Uri;
use crate::sip::wire::quote;

/// Challenges of one request that get an answer (SIP limit of this house, and RFC 3261 §22.1 against loops).
pub const CHALLENGES_MAX: u8 = 2;
/// Realms of one session, the newest kept.
const SESSIONS_MAX: usize = 4;

/// The memory of one session: what each realm asked for, and how often its nonce was used.
#[derive(Clone, Debug)]
pub struct DigestClient {
    credentials: Credentials,
    sessions: Vec<Session>,
}

#[derive(Clone, Debug)]
struct Session {
    challenge: Challenge,
    algorithm: Algorithm,
    qop: Option<Qop>,
    /// Kept as long as the nonce: a `-sess` key is bound to it.
    cnonce: String,
    nc: u32,
}

/// What one request, with its repetitions, was challenged with so far. Each open request has its own: a PRACK may
/// be challenged while the INVITE is still open.
#[derive(Clone, Default, Debug)]
pub struct RequestChallenges {
    answered: u8,
    realms: Vec<(Challenger, String)>,
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DigestError {
    #[error("expected a Digest challenge, came none")]
    NoChallenge,
    #[error("expected MD5, SHA-256 or SHA-512-256 with qop auth or auth-int, came other challenges only")]
    Unsupported,
    #[error("expected a challenge for realm `{expected}`, came `{came}`")]
    Realm { expected: String, came: String },
    #[error("expected the credentials for realm `{realm}` to be accepted, came the challenge again")]
    Refused { realm: String },
    #[error("expected at most {CHALLENGES_MAX} challenges for one request, came another")]
    TooManyChallenges,
}

impl DigestClient {
    #[must_use]
    pub const fn new(credentials: Credentials) -> Self {
        Self {
            credentials,
            sessions: Vec::new(),
        }
    }

    /// Answers the strongest challenge we may answer: the header field to add to the request that is sent again.
    /// Where the request already carried credentials for another realm, write those anew with
    /// [`DigestClient::headers_for`] instead, so that no nonce count repeats.
    pub fn authorize(
        &mut self,
        asked: &mut RequestChallenges,
        challenges: &[Challenge],
        method: &Method,
        uri: &Uri,
        body: &[u8],
        entropy: &mut Entropy,
    ) -> Result<(&'static str, String), DigestError> {
        if asked.answered >= CHALLENGES_MAX {
            return Err(DigestError::TooManyChallenges);
        }
        let (challenge, algorithm, qop) = self.choose(challenges)?;
        let place = self.sessions.iter().position(|session| session.is_of(challenge));
        let realm = (challenge.challenger, challenge.realm.clone());
        if asked.realms.contains(&realm) && !challenge.stale {
            return Err(DigestError::Refused {
                realm: challenge.realm.clone(),
            });
        }
        asked.answered += 1;
        asked.realms.push(realm);
        let mut session = Session {
            challenge: challenge.clone(),
            algorithm,
            qop,
            cnonce: entropy.token(),
            nc: 0,
        };
        let header = session.header(&self.credentials, method, uri, body);
        match place.and_then(|at| self.sessions.get_mut(at)) {
            Some(known) => *known = session,
            None => {
                self.sessions.truncate(SESSIONS_MAX - 1);
                self.sessions.insert(0, session);
            }
        }
        Ok(header)
    }

    /// Credentials for every realm known so far, each nonce counted up: for the next request of the session, and
    /// for a request that two parties challenged. Empty before the first challenge.
    pub fn headers_for(&mut self, method: &Method, uri: &Uri, body: &[u8]) -> Vec<(&'static str, String)> {
        let credentials = &self.credentials;
        self.sessions
            .iter_mut()
            .map(|session| session.header(credentials, method, uri, body))
            .collect()
    }

    fn choose<'a>(
        &self,
        challenges: &'a [Challenge],
    ) -> Result<(&'a Challenge, Algorithm, Option<Qop>), DigestError> {
        let first = challenges.first().ok_or(DigestError::NoChallenge)?;
        let ours = |challenge: &&Challenge| match &self.credentials.realm {
            Some(realm) => *realm == challenge.realm,
            None => true,
        };
        if let Some(expected) = &self.credentials.realm
            && !challenges.iter().any(|challenge| ours(&challenge))
        {
            return Err(DigestError::Realm {
                expected: expected.clone(),
                came: first.realm.clone(),
            });
        }
        challenges
            .iter()
            .filter(ours)
            .filter_map(|challenge| {
                challenge
                    .method()
                    .map(|(algorithm, qop)| (challenge, algorithm, qop))
            })
            // Of equals the first counts, and `max_by_key` would take the last.
            .rev()
            .max_by_key(|(_, algorithm, _)| algorithm.hash)
            .ok_or(DigestError::Unsupported)
    }
}

impl Session {
    fn is_of(&self, challenge: &Challenge) -> bool {
        self.challenge.challenger == challenge.challenger && self.challenge.realm == challenge.realm
    }

    /// RFC 7616 §3.4: algorithm, qop and nc stand without quotes, everything else in quotes.
    fn header(
        &mut self,
        credentials: &Credentials,
        method: &Method,
        uri: &Uri,
        body: &[u8],
    ) -> (&'static str, String) {
        self.nc = self.nc.saturating_add(1);
        let (nc, uri) = (format!("{:08x}", self.nc), uri.to_string());
        let response = Input {
            algorithm: self.algorithm,
            username: &credentials.username,
            realm: &self.challenge.realm,
            password: credentials.password.reveal(),
            nonce: &self.challenge.nonce,
            cnonce: &self.cnonce,
            nc: &nc,
            qop: self.qop,
            method: method.as_str(),
            uri: &uri,
            body,
        }
        .response();
        let mut value = format!(
            "Digest username={}, realm={}, nonce={}, uri={}, response=\"{response}\"",
            quote(&credentials.username),
            quote(&self.challenge.realm),
            quote(&self.challenge.nonce),
            quote(&uri),
        );
        if let Some(token) = &self.challenge.algorithm_token {
            value = value + ", algorithm=" + token;
        }
        if let Some(qop) = self.qop {
            value = value + ", qop=" + qop.as_str() + ", nc=" + &nc;
        }
        if self.qop.is_some() || self.algorithm.session {
            value = value + ", cnonce=" + &quote(&self.cnonce);
        }
        if let Some(opaque) = &self.challenge.opaque {
            value = value + ", opaque=" + &quote(opaque);
        }
        (self.challenge.challenger.credentials_header(), value)
    }
}

impl DigestClient {
    /// Whether a realm of this kind has been answered yet.
    #[must_use]
    pub fn has_answered(&self, challenger: Challenger) -> bool {
        self.sessions
            .iter()
            .any(|session| session.challenge.challenger == challenger)
    }
}
