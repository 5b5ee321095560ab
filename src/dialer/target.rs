//! Host names of trunk targets → addresses, kept for a minute.
//!
//! RFC 3263 (NAPTR, SRV) is not done here: a name is looked up for its addresses with the port that is configured.
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::sip::transport::SipTransport;

/// `host:port` of a trunk.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// Name or IP literal, without brackets.
    pub host: String,
    pub port: u16,
    pub transport: SipTransport,
    /// The configuration leaves the transport open: a request too long for UDP may go over TCP (RFC 3261 §18.1.1).
    pub may_switch: bool,
}

/// Why a target has no address.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error("looking up {host} took longer than {}s", LOOKUP_MAX.as_secs())]
    Slow { host: String },
    #[error("looking up {host}: {source}")]
    Lookup { host: String, source: std::io::Error },
    #[error("{host} has no address")]
    Empty { host: String },
}

const LOOKUP_MAX: Duration = Duration::from_secs(4);
const KEPT_FOR: Duration = Duration::from_secs(60);
/// Names are those of the configuration, so this is a guard, not a limit that is met.
const NAMES_MAX: usize = 1024;

/// Remembers answers, so that a call does not wait for DNS once a minute has a first one.
#[derive(Debug, Default)]
pub(super) struct Resolver {
    known: Mutex<BTreeMap<Target, (Instant, Vec<SocketAddr>)>>,
}

impl Resolver {
    /// Addresses of `target`, in the resolver's order.
    pub(super) async fn addresses(&self, target: &Target) -> Result<Vec<SocketAddr>, TargetError> {
        if let Ok(ip) = target.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, target.port)]);
        }
        if let Some(addresses) = self.remembered(target) {
            return Ok(addresses);
        }
        let host = || target.host.clone();
        let lookup = tokio::net::lookup_host((target.host.as_str(), target.port));
        let found = tokio::time::timeout(LOOKUP_MAX, lookup)
            .await
            .map_err(|_| TargetError::Slow { host: host() })?
            .map_err(|source| TargetError::Lookup { host: host(), source })?;
        let addresses: Vec<SocketAddr> = found.take(16).collect();
        if addresses.is_empty() {
            return Err(TargetError::Empty { host: host() });
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < NAMES_MAX {
            known.insert(target.clone(), (Instant::now(), addresses.clone()));
        }
        Ok(addresses)
    }

    fn remembered(&self, target: &Target) -> Option<Vec<SocketAddr>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, addresses) = known.get(target)?;
        (at.elapsed() < KEPT_FOR).then(|| addresses.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(host: &str) -> Target {
        Target {
            host: host.to_owned(),
            port: 5060,
            transport: SipTransport::Udp,
            may_switch: true,
        }
    }

    #[tokio::test]
    async fn literals_need_no_lookup_and_names_are_remembered() {
        let resolver = Resolver::default();
        let six = resolver.addresses(&target("2001:db8::1")).await.unwrap();
        assert_eq!(six, ["[2001:db8::1]:5060".parse().unwrap()]);
        let local = resolver.addresses(&target("localhost")).await.unwrap();
        assert!(local.iter().all(|a| a.ip().is_loopback()));
        assert_eq!(resolver.remembered(&target("localhost")), Some(local));
    }

    #[tokio::test]
    async fn a_name_that_does_not_exist_is_named() {
        let error = Resolver::default()
            .addresses(&target("no-such-host.invalid"))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("no-such-host.invalid"), "{error}");
    }
}
