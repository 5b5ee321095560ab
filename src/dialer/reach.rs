//! Which destinations a call over a trunk may try, in order: every target located, what is marked down left out.
use std::net::SocketAddr;

use futures_util::future::join_all;

use super::{Shared, Trunk};
use crate::net::resolver::ResolveError;
use crate::sip::locate::Target;
use crate::sip::transport::{Destination, SipTransport};
use crate::sip::uri::Host;

/// Destinations of one trunk.
const DESTINATIONS_MAX: usize = 32;
/// Destinations that one call tries: two of them silent are a minute, and a life is two.
const TRIES_MAX: usize = 4;

/// Why a trunk cannot be called.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    #[error("{trunk} has no target that can be reached from the SIP listeners")]
    Empty { trunk: String },
    #[error("every target of {trunk} is down")]
    Down { trunk: String },
}

/// A destination, and what the configuration says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) destination: Destination,
    /// Of the target's URI: RFC 3263 changes the destination only, not the Request-URI.
    pub(crate) port: Option<u16>,
    /// The target leaves the transport open: a request too long for UDP may go over TCP (RFC 3261 §18.1.1).
    pub(crate) may_switch: bool,
}

impl Place {
    /// As configured, where that is a host.
    pub(super) fn host(&self) -> Host {
        let Destination { host, address, .. } = &self.destination;
        host.parse().unwrap_or_else(|_| address.ip().into())
    }

    /// For URIs, in which the usual port is not written.
    pub(super) fn uri_port(&self) -> Option<u16> {
        let usual = self.destination.transport.default_port();
        self.port.filter(|port| *port != usual)
    }
}

/// Where a trunk is reached now.
#[derive(Debug)]
pub(crate) struct Reached {
    /// To be tried, in order; never empty.
    pub(crate) places: Vec<Place>,
    /// All addresses of the targets: a cluster may send from any of them.
    pub(crate) addresses: Vec<SocketAddr>,
}

impl Shared {
    /// Every place of the trunk, healthy or not. An error only where there is none at all.
    pub(super) async fn located(&self, trunk: &Trunk) -> Result<Vec<Place>, TargetError> {
        let located = join_all(trunk.targets.iter().map(|target| self.resolver.locate(target))).await;
        let mut places: Vec<Place> = Vec::new();
        let mut failure = None;
        for (target, found) in trunk.targets.iter().zip(located) {
            match found {
                Ok(destinations) => {
                    places.extend(
                        destinations
                            .into_iter()
                            .map(|destination| place(target, destination)),
                    );
                }
                Err(error) => {
                    tracing::warn!(trunk = %trunk.name, %error, "a target was not located");
                    failure = Some(error);
                }
            }
        }
        let mut seen: Vec<Destination> = Vec::new();
        places.retain(|place| {
            let is_new = !seen.contains(&place.destination);
            if is_new {
                seen.push(place.destination.clone());
            }
            is_new && seen.len() <= DESTINATIONS_MAX && self.is_ours(trunk, &place.destination)
        });
        match failure {
            Some(failure) if places.is_empty() => Err(failure.into()),
            _ if places.is_empty() => Err(TargetError::Empty {
                trunk: trunk.name.clone(),
            }),
            _ => Ok(places),
        }
    }

    pub(super) async fn reach(&self, trunk: &Trunk) -> Result<Reached, TargetError> {
        let mut places = self.located(trunk).await?;
        let addresses = places.iter().map(|place| place.destination.address).collect();
        self.health.keep_usable(&trunk.name, &mut places);
        // The session description names one address of ours: all tries must see it.
        let family = places.first().map(|place| place.destination.address.is_ipv4());
        places.retain(|place| Some(place.destination.address.is_ipv4()) == family);
        places.truncate(TRIES_MAX);
        if places.is_empty() {
            return Err(TargetError::Down {
                trunk: trunk.name.clone(),
            });
        }
        Ok(Reached { places, addresses })
    }

    /// Whether we have a way to send there. TLS needs somebody to believe.
    fn is_ours(&self, trunk: &Trunk, destination: &Destination) -> bool {
        let believes = destination.transport != SipTransport::Tls || trunk.tls.is_some();
        believes
            && self
                .sip
                .has_way(destination.transport, destination.address)
                .is_ok()
    }
}

pub(super) fn place(target: &Target, destination: Destination) -> Place {
    Place {
        may_switch: target.transport.is_none() && destination.transport == SipTransport::Udp,
        destination,
        port: target.port,
    }
}
