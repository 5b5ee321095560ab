//! Asks every target of one trunk whether it is alive, and registers where the trunk does, from the listeners that its calls would use.
use std::sync::Arc;
use std::time::Duration;

use super::{AppError, build};
use crate::config::Config;
use crate::dialer::{Probe, Tried, probe, try_registration};
use crate::net::sip_udp::{SipUdp, SipUdpConfig};
use crate::telemetry::entropy;

/// Call-IDs in use at a time: one a target.
const ROUTES_MAX: usize = 64;

/// What was found of one trunk.
pub struct TrunkTest {
    /// One for each target, in the order of the configuration.
    pub probes: Vec<Probe>,
    /// `None` where the trunk does not register.
    pub registration: Option<Tried>,
}

/// All targets and the registrar are asked at the same time.
pub async fn test_trunk(config: &Config, name: &str, patience: Duration) -> Result<TrunkTest, AppError> {
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
    let registration = try_registration(&sip, &dialer, trunk, patience);
    let (probes, registration) = tokio::join!(futures_util::future::join_all(asked), registration);
    Ok(TrunkTest { probes, registration })
}
