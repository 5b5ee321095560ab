//! Bearer keys: who asks, with which scopes, for which profiles.
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::header;
use axum::http::request::Parts;

use super::{ApiState, Code, Problem, key};
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
        let address = client_address(parts, state);
        let now = state.now();
        if let Some(wait_s) = state.failures().wait_s(address, now) {
            let mut problem = Problem::new(
                Code::RateLimited,
                "too many requests with a wrong API key came from this address",
            );
            problem.limit = Some("ip".to_owned());
            problem.retry_after_s = Some(wait_s);
            return Err(problem);
        }
        match authenticate(parts, state).await {
            Err(problem) if problem.code == Code::Unauthorized => {
                state.failures().count_failure(address, now);
                Err(problem)
            }
            other => other,
        }
    }
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
    let found = state.store().key_by_hash(&hash).await?;
    let key = found.filter(|key| key.is_valid(now)).ok_or_else(unknown)?;
    if let Err(error) = state.store().key_touch(&key.id, now).await {
        // The time of last use is a convenience: the request does not fail for it.
        tracing::debug!(%error, "last use of the API key was not noted");
    }
    Ok(Caller { key })
}

pub(super) fn client_address(parts: &Parts, state: &ApiState) -> IpAddr {
    let peer = parts
        .extensions
        .get::<ConnectInfo<SocketAddr>>()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |info| info.0.ip());
    let forwarded = parts.headers.get("x-forwarded-for").and_then(|v| v.to_str().ok());
    state.client_address(peer, forwarded)
}
