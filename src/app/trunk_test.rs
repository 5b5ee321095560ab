//! Asks every destination of one trunk whether it is alive, from the listeners that its calls would use.
use std::sync::Arc;
use std::time::Duration;

use super::{AppError, build};
use crate::config::Config;
use crate::dialer::{PROBES_MAX, Probe, probe};
use crate::net::sip_net::{SipNet, SipNetConfig};
use crate::telemetry::entropy;

/// One result for each destination that the targets are located at, in the order of the configuration.
pub async fn test_trunk(config: &Config, name: &str, patience: Duration) -> Result<Vec<Probe>, AppError> {
    let dialer = build::dialer(config)?;
    let Some(trunk) = dialer.trunks.iter().find(|trunk| trunk.name == name) else {
        return Err(AppError::Config(format!(
            "the configuration has no trunk {name:?}"
        )));
    };
    // The address is checked with each answer; here only strangers' allowance is at stake.
    let (sip, _requests) = SipNet::bind(SipNetConfig {
        routes_max: PROBES_MAX,
        ..build::sip_net(config, Arc::new(|_| true))
    })?;
    let resolver = build::resolver(config, entropy()?)?;
    Ok(probe(&sip, &resolver, &dialer, trunk, patience, entropy()?).await)
}
