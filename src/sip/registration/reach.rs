//! By which address calls reach us: our own, or what a NAT on the way makes of it (RFC 3581); and which was bound before.
//!
//! A registrar that fills in `received` and `rport` tells where our REGISTER came from. Where that is not our address and
//! nobody has configured a public one, it is what Contact says from then on, and the binding of the other is taken away in
//! the same REGISTER. Over a stream only the host counts: the port of a connection is never that of the listener.
use std::net::SocketAddr;

use super::RegistrationConfig;
use crate::sip::endpoint::Endpoint;
use crate::sip::message::{NameAddr, Response};

#[derive(Debug, Default)]
pub(super) struct Reach {
    /// Our address as the registrar sees it.
    seen: Option<SocketAddr>,
    /// Bound before another one, and to be taken away.
    former: Option<NameAddr>,
    follows: Follows,
}

/// What a new address leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Follows {
    /// A REGISTER at once.
    #[default]
    AtOnce,
    /// The last one was such a REGISTER: a NAT with an address for each of them is followed at the refresh.
    AtRefresh,
    /// Nothing: the registrar refused what it had told us.
    Never,
}

impl Reach {
    pub(super) fn contact(&self, ua: &Endpoint) -> NameAddr {
        match self.seen {
            Some(address) => ua.contact_at(address),
            None => ua.contact(),
        }
    }

    /// With no time left.
    pub(super) fn former(&self) -> Option<NameAddr> {
        let mut former = self.former.clone()?;
        former.params.set("expires", Some("0"));
        Some(former)
    }

    /// Bound by this success. Whether a REGISTER from the address that it tells of is wanted at once.
    pub(super) fn bound(&mut self, ua: &Endpoint, config: &RegistrationConfig, response: &Response) -> bool {
        self.former = None;
        let seen = match self.follows {
            Follows::Never => None,
            Follows::AtOnce | Follows::AtRefresh => seen_by(response, config),
        };
        if seen == self.seen {
            if self.follows == Follows::AtRefresh {
                self.follows = Follows::AtOnce;
            }
            return false;
        }
        self.former = Some(self.contact(ua));
        self.seen = seen;
        std::mem::replace(&mut self.follows, Follows::AtRefresh) == Follows::AtOnce
    }

    /// The registrar says no to what was asked.
    pub(super) fn refused(&mut self) {
        if self.seen.take().is_some() {
            self.follows = Follows::Never;
        }
        self.former = None;
    }

    /// Another way begins with our own address. `bound`: under the address so far.
    pub(super) fn moved(&mut self, bound: Option<NameAddr>) {
        self.seen = None;
        self.former = bound;
    }
}

fn seen_by(response: &Response, config: &RegistrationConfig) -> Option<SocketAddr> {
    if config.public.is_some() {
        return None;
    }
    let via = response.headers.top_via().ok()?;
    let port = via.rport().filter(|port| *port != 0)?;
    let ip = via.received().or_else(|| via.host.ip())?.to_canonical();
    let ours = SocketAddr::new(config.local.ip().to_canonical(), config.local.port());
    let is_ours = ip == ours.ip() && (config.transport.is_stream() || port == ours.port());
    let is_odd = ip.is_unspecified() || ip.is_multicast() || ip.is_ipv4() != ours.is_ipv4();
    (!is_ours && !is_odd).then(|| SocketAddr::new(ip, port))
}
