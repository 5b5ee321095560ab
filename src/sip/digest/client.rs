//! Answers challenges.
//!
//! ```text
//!  request ──401/407──▶ answer ──▶ request with credentials ──2xx…──▶ done
//!                         ▲                    │               └─ nextnonce: used from the next request on
//!                         └── second challenge ┘ (another realm, or stale); a third is refused
//! ```
use super::hash::Input;
use super::params::AuthParams;
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
    /// Of the challenge itself: a `-sess` key stays bound to it when a `nextnonce` follows (RFC 2617 §3.2.2.2).
    key_nonce: String,
    /// Kept as long as the challenge: a `-sess` key is bound to it too.
    cnonce: String,
    nc: u32,
}

/// One challenge that we can answer, and how.
struct Chosen<'a> {
    challenge: &'a Challenge,
    algorithm: Algorithm,
    qop: Option<Qop>,
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

impl RequestChallenges {
    /// Whether credentials were given for this request before.
    #[must_use]
    pub const fn has_answered(&self) -> bool {
        self.answered > 0
    }
}

impl DigestClient {
    #[must_use]
    pub const fn new(credentials: Credentials) -> Self {
        Self {
            credentials,
            sessions: Vec::new(),
        }
    }

    /// The first of what [`DigestClient::answer`] gives, for a request that meets one party only.
    pub fn authorize(
        &mut self,
        asked: &mut RequestChallenges,
        challenges: &[Challenge],
        method: &Method,
        uri: &Uri,
        body: &[u8],
        entropy: &mut Entropy,
    ) -> Result<(&'static str, String), DigestError> {
        let answers = self.answer(asked, challenges, method, uri, body, entropy)?;
        answers.into_iter().next().ok_or(DigestError::Unsupported)
    }

    /// Answers, for each party and realm that asks, its strongest challenge (RFC 3261 §22.3: a forking proxy may have
    /// gathered several): the header fields to add to the request that is sent again. Where the request already
    /// carried credentials for another realm, write those anew with [`DigestClient::headers_for`] instead, so that
    /// no nonce count repeats.
    pub fn answer(
        &mut self,
        asked: &mut RequestChallenges,
        challenges: &[Challenge],
        method: &Method,
        uri: &Uri,
        body: &[u8],
        entropy: &mut Entropy,
    ) -> Result<Vec<(&'static str, String)>, DigestError> {
        let left = CHALLENGES_MAX.saturating_sub(asked.answered);
        if left == 0 {
            return Err(DigestError::TooManyChallenges);
        }
        let chosen = self.choose(challenges)?;
        let repeated = |chosen: &&Chosen<'_>| {
            let realm = (chosen.challenge.challenger, chosen.challenge.realm.clone());
            asked.realms.contains(&realm) && !chosen.challenge.stale
        };
        if let Some(refused) = chosen.iter().find(repeated) {
            return Err(DigestError::Refused {
                realm: refused.challenge.realm.clone(),
            });
        }
        let mut answers = Vec::new();
        for Chosen {
            challenge,
            algorithm,
            qop,
        } in chosen.into_iter().take(left.into())
        {
            asked.answered += 1;
            asked.realms.push((challenge.challenger, challenge.realm.clone()));
            let mut session = Session {
                challenge: challenge.clone(),
                algorithm,
                qop,
                key_nonce: challenge.nonce.clone(),
                cnonce: entropy.token(),
                nc: 0,
            };
            answers.push(session.header(&self.credentials, method, uri, body));
            self.remember(session);
        }
        Ok(answers)
    }

    fn remember(&mut self, session: Session) {
        match self
            .sessions
            .iter_mut()
            .find(|known| known.is_of(&session.challenge))
        {
            Some(known) => *known = session,
            None => {
                self.sessions.truncate(SESSIONS_MAX - 1);
                self.sessions.insert(0, session);
            }
        }
    }

    /// Authentication-Info or Proxy-Authentication-Info of a success (RFC 7616 §3.5, RFC 7615): `nextnonce` replaces
    /// the nonce, and its count begins anew. Without a realm it is taken only where one session can be meant.
    pub fn heed_info(&mut self, challenger: Challenger, info: &str) {
        let line = format!("Digest {info}");
        let schemes = AuthParams::read(&line);
        let Some(params) = schemes.first() else {
            return;
        };
        let Some(nonce) = params.owned("nextnonce").filter(|nonce| !nonce.is_empty()) else {
            return;
        };
        let realm = params.get("realm");
        let mut meant = self.sessions.iter_mut().filter(|session| {
            session.challenge.challenger == challenger
                && realm.is_none_or(|realm| realm == session.challenge.realm)
        });
        // A repeated success says it again: the count goes on.
        if let (Some(session), None) = (meant.next(), meant.next())
            && session.challenge.nonce != nonce
        {
            session.challenge.nonce = nonce;
            session.nc = 0;
        }
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

    /// The strongest challenge of each party and realm, in the order in which they ask.
    fn choose<'a>(&self, challenges: &'a [Challenge]) -> Result<Vec<Chosen<'a>>, DigestError> {
        let first = challenges.first().ok_or(DigestError::NoChallenge)?;
        if let Some(expected) = &self.credentials.realm
            && !challenges.iter().any(|challenge| challenge.realm == *expected)
        {
            return Err(DigestError::Realm {
                expected: expected.clone(),
                came: first.realm.clone(),
            });
        }
        let mut chosen: Vec<Chosen<'a>> = Vec::new();
        for challenge in challenges.iter().filter(|challenge| self.may_answer(challenge)) {
            let Some((algorithm, qop)) = challenge.method() else {
                continue;
            };
            let this = Chosen {
                challenge,
                algorithm,
                qop,
            };
            match chosen.iter_mut().find(|other| other.is_of(challenge)) {
                Some(other) if other.algorithm.hash < algorithm.hash => *other = this,
                // Of equals the first counts.
                Some(_) => {}
                None => chosen.push(this),
            }
        }
        if chosen.is_empty() {
            return Err(DigestError::Unsupported);
        }
        Ok(chosen)
    }

    fn may_answer(&self, challenge: &Challenge) -> bool {
        match &self.credentials.realm {
            Some(realm) => *realm == challenge.realm,
            None => true,
        }
    }
}

impl Chosen<'_> {
    fn is_of(&self, challenge: &Challenge) -> bool {
        self.challenge.challenger == challenge.challenger && self.challenge.realm == challenge.realm
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
            key_nonce: &self.key_nonce,
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
