//! Asks every destination of one trunk whether it is alive, and registers where the trunk does, from the listeners that
//! its calls would use.
use std::sync::Arc;
use std::time::Duration;

use super::{AppError, build};
use crate::config::Config;
use crate::dialer::{PROBES_MAX, Probe, Tried, probe, try_registration};
use crate::net::sip_net::{SipNet, SipNetConfig};
use crate::telemetry::entropy;

/// What was found of one trunk.
pub struct TrunkTest {
    /// One for each destination that the targets are located at, in the order of the configuration.
    pub probes: Vec<Probe>,
    /// `None` where the trunk does not register.
    pub registration: Option<Tried>,
}

/// All destinations and the registrar are asked at the same time.
pub async fn test_trunk(config: &Config, name: &str, patience: Duration) -> Result<TrunkTest, AppError> {
    let dialer = build::dialer(config)?;
    let Some(trunk) = dialer.trunks.iter().find(|trunk| trunk.name == name) else {
        return Err(AppError::Config(format!(
            "the configuration has no trunk {name:?}"
        )));
    };
    // The address is checked with each answer; here only strangers' allowance is at stake.
    let (sip, _requests) = SipNet::bind(SipNetConfig {
        // One Call-ID for each, and the registration's.
        routes_max: PROBES_MAX + 1,
        ..build::sip_net(config, Arc::new(|_| true))
    })?;
    let resolver = build::resolver(config, entropy()?)?;
    let probes = probe(&sip, &resolver, &dialer, trunk, patience, entropy()?);
    let registration = try_registration(&sip, &resolver, &dialer, trunk, patience);
    let (probes, registration) = tokio::join!(probes, registration);
    Ok(TrunkTest { probes, registration })
}
