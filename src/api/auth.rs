//! Bearer keys: who asks, with which scopes, for which profiles.
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};

use super::{ApiState, Code, Problem, key};
use crate::model::UnixMillis;
use crate::store::{ApiKey, Scope, Visibility};

/// The key of the request, checked: known, neither expired nor revoked.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    key: ApiKey,
}

impl Caller {
    pub(super) fn key_id(&self) -> &str {
        &self.key.id
    }

    pub(super) fn visibility(&self) -> Visibility {
        self.key.visibility()
    }

    pub(super) fn require(&self, scope: Scope) -> Result<(), Problem> {
        if self.key.allows(scope) {
            return Ok(());
        }
        let held: Vec<&str> = self.key.scopes.iter().map(|s| s.as_str()).collect();
        let held = if held.is_empty() {
            "none".to_owned()
        } else {
            held.join(", ")
        };
        let detail = format!("this needs the scope {scope}; the key has: {held}");
        Err(Problem::new(Code::ScopeMissing, detail))
    }

    /// A profile that the key may not use is refused like one that does not exist.
    pub(super) fn require_profile(&self, profile: &str) -> Result<(), Problem> {
        if self.key.visibility().sees(profile) {
            return Ok(());
        }
        let detail =
            format!("the key may not use the profile {profile:?}; `ringproof keys list` shows its profiles");
        Err(Problem::new(Code::ProfileNotAllowed, detail).at("profile"))
    }
}

impl FromRequestParts<ApiState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        match authenticate(parts, state).await {
            Err(problem) if problem.code == Code::Unauthorized => Err(failed(problem, parts, state)),
            other => other,
        }
    }
}

/// The answer to a wrong key: 401, and 429 in its place once too many came from the address.
///
/// Only failures are limited. A good key is let in whatever strangers send from the same address, and 256 random bits
/// are not found by asking which key passes.
fn failed(unauthorized: Problem, parts: &Parts, state: &ApiState) -> Problem {
    let (address, now) = (client_address(parts, state), state.now());
    let Some(wait_s) = state.failures().wait_s(address, now) else {
        state.failures().count_failure(address, now);
        return unauthorized;
    };
    let mut problem = Problem::new(
        Code::RateLimited,
        "too many requests with a wrong API key came from this address",
    );
    problem.limit = Some("ip".to_owned());
    problem.retry_after_s = Some(wait_s);
    problem
}

async fn authenticate(parts: &Parts, state: &ApiState) -> Result<Caller, Problem> {
    let unauthorized = |detail: &str| Problem::new(Code::Unauthorized, detail);
    let header = parts
        .headers
        .get(header::AUTHORIZATION)
        .ok_or_else(|| unauthorized("send the header Authorization: Bearer rp_live_…"))?;
    let wrong_scheme = || unauthorized("the header Authorization must read: Bearer rp_live_…");
    let (scheme, token) = header
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .ok_or_else(wrong_scheme)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(wrong_scheme());
    }
    let unknown = || unauthorized("the API key is unknown, expired or revoked");
    let hash = key::hash(token.trim()).ok_or_else(unknown)?;
    let now = state.now();
    let key = match state.keys().get(&hash, now) {
        Some(key) => key,
        None => look_up(hash, now, state).await?.ok_or_else(unknown)?,
    };
    if !key.is_valid(now) {
        return Err(unknown());
    }
    Ok(Caller { key })
}

async fn look_up(hash: [u8; 32], now: UnixMillis, state: &ApiState) -> Result<Option<ApiKey>, Problem> {
    let Some(key) = state.store().key_by_hash(&hash).await? else {
        return Ok(None);
    };
    if key.is_valid(now)
        && key.is_to_be_noted(now)
        && let Err(error) = state.store().key_touch(&key.id, now).await
    {
        // The time of last use is a convenience: the request does not fail for it.
        tracing::debug!(%error, "last use of the API key was not noted");
    }
    state.keys().keep(hash, key.clone(), now);
    Ok(Some(key))
}

pub(super) fn client_address(parts: &Parts, state: &ApiState) -> IpAddr {
    let peer = parts
        .extensions
        .get::<ConnectInfo<SocketAddr>>()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |info| info.0.ip());
    state.client_address(peer, forwarded_for(&parts.headers).as_deref())
}

/// All lines of `X-Forwarded-For` as one list (RFC 9110 §5.3): a proxy may add its hop as a line of its own, and the
/// lines above it are then the client's claim.
fn forwarded_for(headers: &HeaderMap) -> Option<String> {
    // A line that is no text stays in its place as a hop that no address is: nothing left of it is believed.
    let lines: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .map(|line| line.to_str().unwrap_or_default())
        .collect();
    (!lines.is_empty()).then(|| lines.join(","))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn every_line_of_forwarded_hops_counts() {
        let mut headers = HeaderMap::new();
        assert_eq!(forwarded_for(&headers), None);
        let mut add = |line: &[u8]| {
            headers.append("x-forwarded-for", HeaderValue::from_bytes(line).unwrap());
            forwarded_for(&headers).unwrap()
        };
        assert_eq!(add(b"9.9.9.9"), "9.9.9.9");
        assert_eq!(add(b"1.2.3.4, 10.0.0.2"), "9.9.9.9,1.2.3.4, 10.0.0.2");
        assert_eq!(add(b"\xff"), "9.9.9.9,1.2.3.4, 10.0.0.2,");
    }
}
