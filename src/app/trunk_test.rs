//! Asks every target of one trunk whether it is alive, from the listeners that its calls would use.
use std::sync::Arc;
use std::time::Duration;

use super::{AppError, build};
use crate::config::Config;
use crate::dialer::{Probe, probe};
use crate::net::sip_udp::{SipUdp, SipUdpConfig};
use crate::telemetry::entropy;

/// Call-IDs in use at a time: one a target.
const ROUTES_MAX: usize = 64;

/// One result for each target, in the order of the configuration. All are asked at the same time.
pub async fn test_trunk(config: &Config, name: &str, patience: Duration) -> Result<Vec<Probe>, AppError> {
    let dialer = build::dialer(config)?;
    let Some(trunk) = dialer.trunks.iter().find(|trunk| trunk.name == name) else {
        return Err(AppError::Config(format!(
            "the configuration has no trunk {name:?}"
        )));
    };
    let (sip, _requests) = SipUdp::bind(SipUdpConfig {
        bind: config.sip.listen.clone(),
        routes_max: ROUTES_MAX,
        // The address is checked with each answer; here only strangers' allowance is at stake.
        is_peer: Arc::new(|_| true),
    })?;
    let mut asked = Vec::new();
    for target in trunk.targets.iter().take(ROUTES_MAX) {
        let entropy = entropy()?;
        asked.push(probe(&sip, &dialer, trunk, target, patience, entropy));
    }
    Ok(futures_util::future::join_all(asked).await)
}
