//! DNS for trunks: asks what [`sip::locate`](crate::sip::locate) wants to know, and remembers the answers.
//!
//! ```text
//! target ─► locate ─► Ask ─► hosts file ─► cache ─► DNS ─► answer ─► locate ─► … ─► destinations
//!                                           │ fresh    └ late or failed: the last good answer
//!                                           └ failed a moment ago: the last good answer, at once
//! ```
//! Does not: choose transports or order servers, which is `sip::locate`'s.
//!
//! Invariants:
//! - [`Resolver::locate`] returns within [`LOCATE_MAX`].
//! - What is remembered is bounded, and a good answer outlives the name server that gave it by [`STALE_MAX`](cache::STALE_MAX).
mod cache;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig as DnsConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::Query as DnsQuery;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Hosts, TokioResolver};

use self::cache::{Cache, Known};
use crate::model::Entropy;
use crate::sip::locate::{Answer, Families, LocateError, Locator, Naptr, Query, Srv, Step, Target};
use crate::sip::transport::{Destination, SipTransport};

/// The longest that a call waits for DNS.
pub const LOCATE_MAX: Duration = Duration::from_secs(4);
/// One try of one question to one server.
const TRY_MAX: Duration = Duration::from_millis(900);
/// How long an answer without a lifetime of its own is kept: "there are none" without SOA.
const NEGATIVE_TTL: Duration = Duration::from_secs(60);
/// Addresses that are remembered as belonging to trunks.
const ADDRESSES_MAX: usize = 4096;

/// How names are looked up.
#[derive(Debug, Clone, Default)]
pub struct ResolverConfig {
    /// Name servers, asked over UDP; empty: those of the system.
    pub servers: Vec<SocketAddr>,
    pub families: Families,
    /// Transports that we have, in the order of preference.
    pub transports: Vec<SipTransport>,
}

/// Why a target has no destination.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    #[error(transparent)]
    Locate(#[from] LocateError),
    #[error("looking up {host}: {detail}")]
    Lookup { host: String, detail: String },
    #[error("looking up {host} took longer than {}s", LOCATE_MAX.as_secs())]
    Slow { host: String },
}

/// Why there is no resolver.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a resolver: {0}")]
pub struct ResolverError(String);

/// Cheap to clone; clones share what they know.
#[derive(Clone)]
pub struct Resolver(Arc<Inner>);

struct Inner {
    dns: TokioResolver,
    hosts: Hosts,
    families: Families,
    transports: Vec<SipTransport>,
    cache: Mutex<Cache>,
    addresses: Mutex<Addresses>,
    entropy: Mutex<Entropy>,
}

/// Every address that a target had.
#[derive(Default)]
struct Addresses {
    /// With the hosts of the targets that had it.
    seen: BTreeMap<IpAddr, BTreeSet<String>>,
    /// Hosts that are targets still; `None`: all of them.
    wanted: Option<BTreeSet<String>>,
}

/// What one look came to.
enum Looked {
    Answer(Answer),
    Failed(String),
    Late,
}

impl Resolver {
    pub fn new(config: ResolverConfig, entropy: Entropy) -> Result<Self, ResolverError> {
        let failed = |error: NetError| ResolverError(error.to_string());
        let mut builder = if config.servers.is_empty() {
            // Without /etc/resolv.conf there are still addresses and the hosts file.
            TokioResolver::builder_tokio().unwrap_or_else(|error| {
                tracing::warn!(%error, "the system names no DNS servers");
                TokioResolver::builder_with_config(DnsConfig::default(), TokioRuntimeProvider::default())
            })
        } else {
            let servers = config.servers.iter().map(|server| {
                let mut connection = ConnectionConfig::udp();
                connection.port = server.port();
                NameServerConfig::new(server.ip(), true, vec![connection])
            });
            let config = DnsConfig::from_parts(None, Vec::new(), servers.collect());
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        options.timeout = TRY_MAX;
        options.attempts = 2;
        // One cache is enough, and it is ours: it knows what to do when a server is gone.
        options.cache_size = 0;
        let dns = builder.build().map_err(failed)?;
        let mut transports = config.transports;
        if transports.is_empty() {
            transports.push(SipTransport::Udp);
        }
        Ok(Self(Arc::new(Inner {
            dns,
            hosts: Hosts::from_system().unwrap_or_default(),
            families: config.families,
            transports,
            cache: Mutex::default(),
            addresses: Mutex::default(),
            entropy: Mutex::new(entropy),
        })))
    }

    /// The destinations of a target, in the order in which they are to be tried.
    pub async fn locate(&self, target: &Target) -> Result<Vec<Destination>, ResolveError> {
        let deadline = Instant::now() + LOCATE_MAX;
        let inner = &self.0;
        let entropy = lock(&inner.entropy).fork();
        let mut locator = Locator::new(target.clone(), inner.transports.clone(), inner.families, entropy)?;
        let mut failure = None;
        loop {
            let queries = match locator.step() {
                Step::Ask(queries) => queries,
                Step::Done(destinations) => {
                    self.remember(&target.host, &destinations);
                    return Ok(destinations);
                }
            };
            let left = deadline.saturating_duration_since(Instant::now());
            // A server that drops NAPTR or SRV leaves time to ask for addresses.
            let share = match queries.first() {
                Some(Query::Addresses(_)) => left,
                _ => left / 2,
            };
            let looks = queries.iter().map(|query| self.look(query, share));
            let looked = join_all(looks).await;
            let mut answers = BTreeMap::new();
            for (query, looked) in queries.into_iter().zip(looked) {
                match looked {
                    Looked::Answer(answer) => {
                        answers.insert(query, answer);
                    }
                    Looked::Failed(detail) => {
                        failure = Some(ResolveError::Lookup {
                            host: target.host.clone(),
                            detail,
                        });
                    }
                    Looked::Late => {
                        failure = Some(ResolveError::Slow {
                            host: target.host.clone(),
                        });
                    }
                }
            }
            if let Err(error) = locator.answer(&answers) {
                return Err(failure.unwrap_or(ResolveError::Locate(error)));
            }
        }
    }

    /// Whether a target of ours has, or had, this address.
    #[must_use]
    pub fn has_seen(&self, ip: IpAddr) -> bool {
        let addresses = lock(&self.0.addresses);
        let hosts = addresses.seen.get(&ip.to_canonical());
        match (hosts, &addresses.wanted) {
            (Some(hosts), Some(wanted)) => !hosts.is_disjoint(wanted),
            (hosts, None) => hosts.is_some(),
            (None, Some(_)) => false,
        }
    }

    /// These hosts are the targets from now on: whatever address only others had is a stranger's.
    pub fn keep_only<'a>(&self, hosts: impl IntoIterator<Item = &'a str>) {
        let wanted: BTreeSet<String> = hosts.into_iter().map(str::to_ascii_lowercase).collect();
        let mut addresses = lock(&self.0.addresses);
        addresses.seen.retain(|_, hosts| {
            hosts.retain(|host| wanted.contains(host));
            !hosts.is_empty()
        });
        addresses.wanted = Some(wanted);
    }

    fn remember(&self, host: &str, destinations: &[Destination]) {
        let host = host.to_ascii_lowercase();
        let seen = &mut lock(&self.0.addresses).seen;
        for destination in destinations {
            let ip = destination.address.ip().to_canonical();
            if seen.len() < ADDRESSES_MAX || seen.contains_key(&ip) {
                seen.entry(ip).or_default().insert(host.clone());
            }
        }
    }

    async fn look(&self, query: &Query, share: Duration) -> Looked {
        if self.is_in_hosts(query) {
            return Looked::Answer(empty(query));
        }
        let known = lock(&self.0.cache).look(Instant::now(), query);
        let stale = match known {
            Known::Fresh(answer) | Known::Resting(Some(answer)) => return Looked::Answer(answer),
            Known::Resting(None) => return Looked::Failed("it failed a moment ago".to_owned()),
            Known::Stale(answer) => Some(answer),
            Known::Nothing => None,
        };
        // Its own task: an answer that comes too late for this call is there for the next.
        let (resolver, asked) = (self.clone(), query.clone());
        let asking = tokio::spawn(async move {
            let found = resolver.0.ask(&asked).await;
            let mut cache = lock(&resolver.0.cache);
            match found {
                Ok((answer, ttl)) => {
                    cache.keep(Instant::now(), asked, answer.clone(), ttl);
                    Ok(answer)
                }
                Err(detail) => {
                    cache.failed(Instant::now(), asked);
                    Err(detail)
                }
            }
        });
        let looked = match tokio::time::timeout(share, asking).await {
            Ok(Ok(Ok(answer))) => Looked::Answer(answer),
            Ok(Ok(Err(detail))) => Looked::Failed(detail),
            Ok(Err(error)) => Looked::Failed(error.to_string()),
            Err(_) => Looked::Late,
        };
        match (looked, stale) {
            (Looked::Failed(_) | Looked::Late, Some(answer)) => {
                tracing::warn!(?query, "DNS does not answer; the last good answer is used");
                Looked::Answer(answer)
            }
            (looked, _) => looked,
        }
    }

    /// A name of the hosts file has addresses there, and nothing else.
    fn is_in_hosts(&self, query: &Query) -> bool {
        let name = match query {
            Query::Naptr(name) => name.as_str(),
            Query::Srv(name) => name.splitn(3, '.').nth(2).unwrap_or_default(),
            Query::Addresses(_) => return false,
        };
        let Ok(name) = Name::from_utf8(name) else {
            return false;
        };
        name.is_localhost()
            || [RecordType::A, RecordType::AAAA].into_iter().any(|kind| {
                self.0
                    .hosts
                    .lookup_static_host(&DnsQuery::query(name.clone(), kind))
                    .is_some()
            })
    }
}

impl Inner {
    /// Asks DNS. "There are none" is an answer; a failure is not.
    async fn ask(&self, query: &Query) -> Result<(Answer, Duration), String> {
        match query {
            Query::Naptr(name) => {
                let (records, ttl) = self.records(name, RecordType::NAPTR).await?;
                Ok((Answer::Naptr(records.iter().filter_map(naptr).collect()), ttl))
            }
            Query::Srv(name) => {
                let (records, ttl) = self.records(name, RecordType::SRV).await?;
                Ok((Answer::Srv(records.iter().filter_map(srv).collect()), ttl))
            }
            Query::Addresses(name) => {
                let one = |wanted: bool, kind| async move {
                    match wanted {
                        true => Some(self.records(name, kind).await),
                        false => None,
                    }
                };
                let found = tokio::join!(
                    one(self.families.has_v4(), RecordType::A),
                    one(self.families.has_v6(), RecordType::AAAA),
                );
                of_families([found.0, found.1])
            }
        }
    }

    async fn records(&self, name: &str, kind: RecordType) -> Result<(Vec<RData>, Duration), String> {
        match self.dns.lookup(name, kind).await {
            Ok(lookup) => {
                let answers = lookup.answers();
                // The chain of aliases counts too.
                let ttl = answers.iter().map(|record| record.ttl).min().unwrap_or_default();
                let data = answers
                    .iter()
                    .filter(|record| record.record_type() == kind)
                    .map(|record| record.data.clone())
                    .collect();
                Ok((data, Duration::from_secs(ttl.into())))
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(none))) => {
                let ttl = none
                    .negative_ttl
                    .map_or(NEGATIVE_TTL, |seconds| Duration::from_secs(seconds.into()));
                Ok((Vec::new(), ttl))
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

type Records = Result<(Vec<RData>, Duration), String>;

/// One family may fail while the other has addresses.
fn of_families(found: [Option<Records>; 2]) -> Result<(Answer, Duration), String> {
    let mut addresses = Vec::new();
    let (mut ttl, mut failure) = (Duration::MAX, None);
    for records in found.into_iter().flatten() {
        match records {
            Ok((records, lives)) => {
                if !records.is_empty() || addresses.is_empty() {
                    ttl = ttl.min(lives);
                }
                addresses.extend(records.iter().filter_map(RData::ip_addr));
            }
            Err(error) => failure = Some(error),
        }
    }
    match failure {
        Some(failure) if addresses.is_empty() => Err(failure),
        _ => Ok((Answer::Addresses(addresses), ttl)),
    }
}

fn naptr(data: &RData) -> Option<Naptr> {
    let RData::NAPTR(record) = data else {
        return None;
    };
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    Some(Naptr {
        order: record.order,
        preference: record.preference,
        flags: text(&record.flags),
        services: text(&record.services),
        replacement: record.replacement.to_utf8(),
    })
}

fn srv(data: &RData) -> Option<Srv> {
    let RData::SRV(record) = data else {
        return None;
    };
    Some(Srv {
        priority: record.priority,
        weight: record.weight,
        port: record.port,
        target: record.target.to_utf8(),
    })
}

const fn empty(query: &Query) -> Answer {
    match query {
        Query::Naptr(_) => Answer::Naptr(Vec::new()),
        Query::Srv(_) => Answer::Srv(Vec::new()),
        Query::Addresses(_) => Answer::Addresses(Vec::new()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nobody panics while holding it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver")
            .field("transports", &self.0.transports)
            .finish_non_exhaustive()
    }
}
