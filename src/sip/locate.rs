//! Where a SIP URI leads (RFC 3263 §4.1 and §4.2), with the order of SRV records (RFC 2782). No DNS of its own.
//!
//! ```text
//!            transport known, or a port, or an address          no NAPTR that we can use
//!  Target ──────────────────────────────┐          ┌──────────────────────────────────────┐
//!     └─ name alone ──▶ Naptr ──────────│──────────┴─▶ Srv of each transport              │
//!                         └─ SIP+D2U… ──│──▶ Srv ──▶ Addresses of each server ──▶ Done    │
//!                                       └──▶ address, or Addresses of the name ◀──────────┘ no SRV
//! ```
//!
//! The shell asks what [`Step::Ask`] lists, all at once, gives every [`Answer`] to [`Locator::answer`], and goes on until
//! [`Step::Done`]. A question about NAPTR that failed counts as no records: a name server that drops it must not stop the
//! calls. Where SRV failed the name itself is not tried: it may be a web server.
//!
//! Invariants:
//! - At most [`DESTINATIONS_MAX`] destinations, at most [`SERVERS_MAX`] names asked for, whatever the records say.
//! - A `sips:` target leads to TLS only; a transport that is not allowed leads nowhere.
//! - The same records and the same generator give the same order.
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::transport::{Destination, SipTransport};
use crate::model::Entropy;

mod records;
#[cfg(test)]
mod tests;

pub use records::{Naptr, Srv};

/// Destinations of one target.
pub const DESTINATIONS_MAX: usize = 16;
/// Servers of one target whose addresses are asked for.
pub const SERVERS_MAX: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    Sip,
    Sips,
}

/// What a trunk's URI says of its place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    pub scheme: Scheme,
    /// Name or IP literal, without brackets.
    pub host: String,
    pub port: Option<u16>,
    /// The transport parameter.
    pub transport: Option<SipTransport>,
}

/// Which kinds of address may be used, the preferred one first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Families {
    #[default]
    V4First,
    V6First,
    V4Only,
    V6Only,
}

/// One question to DNS.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Query {
    Naptr(String),
    Srv(String),
    /// A, AAAA or both.
    Addresses(String),
}

/// What DNS said to one [`Query`]; empty for "there are none".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Naptr(Vec<Naptr>),
    Srv(Vec<Srv>),
    Addresses(Vec<IpAddr>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Never empty.
    Ask(Vec<Query>),
    /// In the order in which they are to be tried.
    Done(Vec<Destination>),
}

/// Why a target leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocateError {
    #[error("{host}: expected one of the allowed transports, found {wanted}")]
    Transport { host: String, wanted: &'static str },
    #[error("{host} has no address that can be used")]
    Empty { host: String },
}

/// RFC 3263 for one target.
#[derive(Debug, Clone)]
pub struct Locator {
    target: Target,
    allowed: Vec<SipTransport>,
    families: Families,
    entropy: Entropy,
    state: State,
}

/// A server that SRV named, or the name itself.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Server {
    transport: SipTransport,
    name: String,
    port: u16,
}

#[derive(Debug, Clone)]
enum State {
    Naptr,
    /// The names to ask, with the transport that each stands for, in order.
    Srv(Vec<(SipTransport, String)>),
    Addresses(Vec<Server>),
    Done(Vec<Destination>),
}

/// RFC 3263 §4.2: what is put before the name to ask for SRV.
const fn srv_prefix(transport: SipTransport) -> &'static str {
    match transport {
        SipTransport::Udp => "_sip._udp.",
        SipTransport::Tcp => "_sip._tcp.",
        SipTransport::Tls => "_sips._tcp.",
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Sip => "sip",
            Scheme::Sips => "sips",
        };
        match self.host.contains(':') {
            true => write!(f, "{scheme}:[{}]", self.host)?,
            false => write!(f, "{scheme}:{}", self.host)?,
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        match self.transport {
            Some(transport) => write!(f, ";transport={}", transport.param()),
            None => Ok(()),
        }
    }
}

impl Target {
    /// The transport that the URI itself fixes; `None` leaves it to NAPTR.
    fn own_transport(&self) -> Option<SipTransport> {
        let fixed = match (self.scheme, self.transport) {
            // RFC 3261 §26.2.2: sips over TCP is TLS.
            (Scheme::Sips, _) => Some(SipTransport::Tls),
            (Scheme::Sip, given) => given,
        };
        let needs_none = self.port.is_some() || self.host.parse::<IpAddr>().is_ok();
        fixed.or(needs_none.then_some(SipTransport::Udp))
    }
}

impl Locator {
    /// `allowed` in the order of preference; it must not be empty.
    pub fn new(
        target: Target,
        allowed: Vec<SipTransport>,
        families: Families,
        entropy: Entropy,
    ) -> Result<Self, LocateError> {
        let mut locator = Self {
            target,
            allowed,
            families,
            entropy,
            state: State::Naptr,
        };
        let contradicts =
            locator.target.scheme == Scheme::Sips && locator.target.transport == Some(SipTransport::Udp);
        let fixed = locator.target.own_transport();
        if let Some(wanted) = fixed.filter(|wanted| contradicts || !locator.allowed.contains(wanted)) {
            return Err(LocateError::Transport {
                host: locator.target.host,
                wanted: if contradicts {
                    "sips over udp"
                } else {
                    wanted.param()
                },
            });
        }
        locator.state = locator.first(fixed);
        Ok(locator)
    }

    fn first(&self, fixed: Option<SipTransport>) -> State {
        let target = &self.target;
        let Some(transport) = fixed else {
            return State::Naptr;
        };
        let port = target.port.unwrap_or(transport.default_port());
        if let Ok(ip) = target.host.parse::<IpAddr>() {
            return State::Done(vec![self.destination(transport, ip, port)]);
        }
        if target.port.is_some() {
            return State::Addresses(vec![Server {
                transport,
                name: target.host.clone(),
                port,
            }]);
        }
        // RFC 3263 §4.1 asks NAPTR for a sips URI too, but all it could say is TLS.
        State::Srv(vec![(transport, self.srv_name(transport))])
    }

    #[must_use]
    pub fn step(&self) -> Step {
        match &self.state {
            State::Naptr => Step::Ask(vec![Query::Naptr(self.target.host.clone())]),
            State::Srv(names) => Step::Ask(names.iter().map(|(_, name)| Query::Srv(name.clone())).collect()),
            State::Addresses(servers) => {
                let mut queries: Vec<Query> = Vec::new();
                for server in servers {
                    let query = Query::Addresses(server.name.clone());
                    if !queries.contains(&query) {
                        queries.push(query);
                    }
                }
                Step::Ask(queries)
            }
            State::Done(destinations) => Step::Done(destinations.clone()),
        }
    }

    /// What the last [`Step::Ask`] asked for; what is missing has failed.
    pub fn answer(&mut self, answers: &BTreeMap<Query, Answer>) -> Result<(), LocateError> {
        self.state = match std::mem::replace(&mut self.state, State::Naptr) {
            State::Naptr => self.with_naptr(answers),
            State::Srv(names) => self.with_srv(names, answers),
            State::Addresses(servers) => State::Done(self.with_addresses(&servers, answers)),
            done @ State::Done(_) => done,
        };
        match &self.state {
            State::Done(found) if found.is_empty() => Err(LocateError::Empty {
                host: self.target.host.clone(),
            }),
            State::Addresses(servers) if servers.is_empty() => Err(LocateError::Empty {
                host: self.target.host.clone(),
            }),
            _ => Ok(()),
        }
    }

    fn with_naptr(&self, answers: &BTreeMap<Query, Answer>) -> State {
        let records = match answers.get(&Query::Naptr(self.target.host.clone())) {
            Some(Answer::Naptr(records)) => records.as_slice(),
            _ => &[],
        };
        let named = records::by_naptr(records, &self.allowed);
        if !named.is_empty() {
            return State::Srv(named);
        }
        // §4.1: without NAPTR each transport that we have is asked for.
        State::Srv(
            self.allowed
                .iter()
                .map(|transport| (*transport, self.srv_name(*transport)))
                .collect(),
        )
    }

    fn with_srv(&mut self, names: Vec<(SipTransport, String)>, answers: &BTreeMap<Query, Answer>) -> State {
        let mut servers = Vec::new();
        let mut name_serves = true;
        for (transport, name) in names {
            let Some(Answer::Srv(records)) = answers.get(&Query::Srv(name)) else {
                name_serves = false;
                continue;
            };
            name_serves &= records.is_empty();
            for record in records::by_srv(records, &mut self.entropy) {
                servers.push(Server {
                    transport,
                    name: record.target,
                    port: record.port,
                });
            }
        }
        servers.truncate(SERVERS_MAX);
        // SRV records that name nobody ("." alone) say that there is no service (RFC 2782).
        if !name_serves {
            return State::Addresses(servers);
        }
        let transport = self.target.own_transport().unwrap_or_else(|| self.preferred());
        State::Addresses(vec![Server {
            transport,
            name: self.target.host.clone(),
            port: transport.default_port(),
        }])
    }

    fn with_addresses(&self, servers: &[Server], answers: &BTreeMap<Query, Answer>) -> Vec<Destination> {
        let mut found: Vec<Destination> = Vec::new();
        for server in servers {
            let addresses = match answers.get(&Query::Addresses(server.name.clone())) {
                Some(Answer::Addresses(addresses)) => self.families.order(addresses),
                _ => Vec::new(),
            };
            for ip in addresses {
                let destination = self.destination(server.transport, ip, server.port);
                if !found.contains(&destination) && found.len() < DESTINATIONS_MAX {
                    found.push(destination);
                }
            }
        }
        found
    }

    /// RFC 5922 §4: a certificate is held against the name that was asked for, not against what DNS made of it.
    fn destination(&self, transport: SipTransport, ip: IpAddr, port: u16) -> Destination {
        Destination {
            transport,
            address: SocketAddr::new(ip, port),
            host: self.target.host.clone(),
        }
    }

    fn srv_name(&self, transport: SipTransport) -> String {
        format!("{}{}", srv_prefix(transport), self.target.host)
    }

    /// §4.1: UDP for sip: where DNS says nothing, if we have it.
    fn preferred(&self) -> SipTransport {
        if self.allowed.contains(&SipTransport::Udp) {
            return SipTransport::Udp;
        }
        self.allowed.first().copied().unwrap_or(SipTransport::Udp)
    }
}

impl Families {
    #[must_use]
    pub fn has_v4(self) -> bool {
        self != Self::V6Only
    }

    #[must_use]
    pub fn has_v6(self) -> bool {
        self != Self::V4Only
    }

    fn order(self, addresses: &[IpAddr]) -> Vec<IpAddr> {
        let of = |v4: bool| addresses.iter().filter(move |ip| ip.is_ipv4() == v4).copied();
        match self {
            Self::V4First => of(true).chain(of(false)).collect(),
            Self::V6First => of(false).chain(of(true)).collect(),
            Self::V4Only => of(true).collect(),
            Self::V6Only => of(false).collect(),
        }
    }
}
