//! SIP over TCP and TLS: listeners, and connections that we open and use again (RFC 3261 §18, RFC 5922).
//!
//! Does not frame or parse here (see [`connection`]), does not choose a target, and repeats nothing: TCP does.
//!
//! Invariants:
//! - One connection to a (transport, address, name to prove), however many calls want it at once.
//! - Connections are bounded, and strangers have at most half of the places and a few for each source (SAFETY 8).
//! - A connection that somebody else opened over TLS never carries a request of ours: only its owner's certificate is
//!   unknown, so only answers go there.
mod connection;
mod metrics;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

pub use self::connection::Connection;
pub use self::metrics::SipStreamMetrics;

use self::connection::{Side, drive};
use self::metrics::Counters;
use super::sip_router::Router;
use super::sip_tls::{TlsPolicy, in_words};
use super::sip_udp::allowance::Allowances;
use crate::sip::transport::{Destination, SipTransport};

/// Connection and handshake together: a target that is down costs a call no more (SIP.md §2).
const CONNECT_MAX: Duration = Duration::from_secs(4);

/// The kernel gives up a connection whose octets are not acknowledged for so long: as long as Timer B.
const UNACKNOWLEDGED_MAX_MS: u32 = 32_000;

/// Rest after an error of `accept`, such as no free descriptor.
const ACCEPT_ERROR_REST: Duration = Duration::from_millis(50);

/// Bounds of the stream transports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamLimits {
    /// Connections at a time, ours and those of others.
    pub connections_max: usize,
    /// Connections at a time from one address that is no trunk's.
    pub per_source_max: usize,
    /// Pause after which a connection of ours is pinged; `None`: never.
    pub keep_alive: Option<Duration>,
    /// How long a message may take from its first octet to its last, a handshake or a write may last, and a stranger be
    /// idle.
    pub half_open: Duration,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            connections_max: 1024,
            per_source_max: 8,
            keep_alive: Some(Duration::from_secs(30)),
            half_open: Duration::from_secs(32),
        }
    }
}

/// What every connection shares.
pub(super) struct Streams {
    router: Arc<Router>,
    limits: StreamLimits,
    /// Addresses that connections of ours leave from, where a listener names one.
    sources: Vec<IpAddr>,
    allowances: Mutex<Allowances>,
    registry: Mutex<Registry>,
    counters: Counters,
}

#[derive(Default)]
struct Registry {
    next_id: u64,
    open: HashMap<u64, Connection>,
    /// Connections of ours, to be used again.
    ours: HashMap<Key, Connection>,
    /// Connections that are being made; whoever wants the same one waits for it.
    making: HashMap<Key, watch::Receiver<Option<Made>>>,
}

type Made = Result<Connection, Arc<io::Error>>;

/// What two calls must have in common to share a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    transport: SipTransport,
    address: SocketAddr,
    /// Of TLS: whose policy, and the name that was proved.
    proof: Option<(String, String)>,
}

impl Streams {
    pub(super) fn new(router: Arc<Router>, limits: StreamLimits, sources: Vec<IpAddr>) -> Arc<Self> {
        Arc::new(Self {
            router,
            limits,
            sources,
            allowances: Mutex::new(Allowances::new(std::time::Instant::now())),
            registry: Mutex::default(),
            counters: Counters::default(),
        })
    }

    /// Takes connections until the task is ended.
    pub(super) async fn listen(
        self: Arc<Self>,
        listener: TcpListener,
        local: SocketAddr,
        acceptor: Option<TlsAcceptor>,
    ) {
        loop {
            match listener.accept().await {
                Ok((socket, peer)) => self.admit(socket, peer, local, acceptor.clone()),
                Err(error) => {
                    tracing::debug!(%local, %error, "cannot accept a SIP connection");
                    tokio::time::sleep(ACCEPT_ERROR_REST).await;
                }
            }
        }
    }

    fn admit(
        self: &Arc<Self>,
        socket: TcpStream,
        peer: SocketAddr,
        listener: SocketAddr,
        acceptor: Option<TlsAcceptor>,
    ) {
        let side = if self.router.is_peer(peer.ip()) {
            Side::Peers
        } else {
            Side::Strangers
        };
        let transport = match acceptor {
            Some(_) => SipTransport::Tls,
            None => SipTransport::Tcp,
        };
        let local = socket.local_addr().unwrap_or(listener);
        let mut registry = self.registry();
        if !self.has_place(&registry, peer.ip(), side) {
            self.counters.turned_away.add();
            return;
        }
        let (connection, waiting) = Connection::new(registry.fresh_id(), transport, local, peer, side);
        registry.open.insert(connection.id(), connection.clone());
        drop(registry);
        self.counters.accepted.add();
        prepare(&socket);
        let streams = Arc::clone(self);
        tokio::spawn(async move {
            let Some(acceptor) = acceptor else {
                return drive(streams, connection, waiting, socket).await;
            };
            match timeout(streams.limits.half_open, acceptor.accept(socket)).await {
                Ok(Ok(secured)) => drive(streams, connection, waiting, secured).await,
                failed => {
                    streams.counters.handshakes_failed.add();
                    if let Ok(Err(error)) = failed {
                        tracing::debug!(?connection, error = in_words(&error), "a TLS handshake failed");
                    }
                    streams.forget(&connection);
                }
            }
        });
    }

    fn has_place(&self, registry: &Registry, source: IpAddr, side: Side) -> bool {
        if registry.open.len() >= self.limits.connections_max {
            return false;
        }
        if side != Side::Strangers {
            return true;
        }
        let strangers = || {
            registry
                .open
                .values()
                .filter(|connection| connection.side() == Side::Strangers)
        };
        let same = strangers().filter(|connection| connection.peer().ip() == source);
        strangers().count() < self.limits.connections_max.div_ceil(2)
            && same.count() < self.limits.per_source_max
    }

    /// An open connection to this destination, or a new one.
    pub(super) async fn reach(
        self: &Arc<Self>,
        to: &Destination,
        tls: Option<&Arc<TlsPolicy>>,
    ) -> io::Result<Connection> {
        let key = key_of(to, tls);
        let mut making = {
            let mut registry = self.registry();
            if let Some(connection) = registry.ours.get(&key).filter(|c| c.is_open()) {
                return Ok(connection.clone());
            }
            if let Some(making) = registry.making.get(&key) {
                making.clone()
            } else {
                if registry.open.len() >= self.limits.connections_max {
                    self.counters.turned_away.add();
                    return Err(io::Error::other(format!(
                        "expected at most {} SIP connections",
                        self.limits.connections_max
                    )));
                }
                let (made, making) = watch::channel(None);
                registry.making.insert(key.clone(), making.clone());
                tokio::spawn(Arc::clone(self).make(key, to.clone(), tls.cloned(), made));
                making
            }
        };
        let made = making.wait_for(Option::is_some).await;
        match made.ok().and_then(|made| made.clone()) {
            Some(Ok(connection)) => Ok(connection),
            Some(Err(error)) => Err(io::Error::new(error.kind(), error.to_string())),
            None => Err(io::Error::other(format!("the connection to {to} was given up"))),
        }
    }

    async fn make(
        self: Arc<Self>,
        key: Key,
        to: Destination,
        tls: Option<Arc<TlsPolicy>>,
        told: watch::Sender<Option<Made>>,
    ) {
        let made = match timeout(CONNECT_MAX, self.connect(&key, &to, tls)).await {
            Ok(made) => made,
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no connection to {to} within {} s", CONNECT_MAX.as_secs()),
            )),
        };
        if let Err(error) = &made {
            self.counters.connect_failed.add();
            tracing::info!(%to, %error, "a SIP connection could not be made");
        }
        self.registry().making.remove(&key);
        told.send_replace(Some(made.map_err(Arc::new)));
    }

    async fn connect(
        self: &Arc<Self>,
        key: &Key,
        to: &Destination,
        tls: Option<Arc<TlsPolicy>>,
    ) -> io::Result<Connection> {
        let socket = if to.address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        let fits = |ip: &&IpAddr| ip.is_ipv4() == to.address.is_ipv4();
        if let Some(source) = self.sources.iter().find(fits) {
            socket.bind(SocketAddr::new(*source, 0))?;
        }
        let stream = socket.connect(to.address).await?;
        prepare(&stream);
        let local = stream.local_addr()?;
        if to.transport == SipTransport::Tls {
            let policy = tls.ok_or_else(|| io::Error::other("expected a TLS policy for this destination"))?;
            let (connector, name) = policy.connector(&to.host).map_err(io::Error::other)?;
            let secured = connector
                .connect(name, stream)
                .await
                .map_err(|error| io::Error::new(error.kind(), in_words(&error)))?;
            return Ok(self.carry(key, local, secured));
        }
        Ok(self.carry(key, local, stream))
    }

    fn carry<S>(self: &Arc<Self>, key: &Key, local: SocketAddr, stream: S) -> Connection
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + 'static,
    {
        let mut registry = self.registry();
        let id = registry.fresh_id();
        let (connection, waiting) = Connection::new(id, key.transport, local, key.address, Side::Ours);
        registry.open.insert(id, connection.clone());
        registry.ours.insert(key.clone(), connection.clone());
        drop(registry);
        self.counters.connected.add();
        tokio::spawn(drive(Arc::clone(self), connection.clone(), waiting, stream));
        connection
    }

    fn forget(&self, connection: &Connection) {
        let mut registry = self.registry();
        registry.open.remove(&connection.id());
        registry.ours.retain(|_, ours| ours.id() != connection.id());
    }

    fn allows(&self, source: IpAddr) -> bool {
        self.allowances
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(source, std::time::Instant::now())
    }

    pub(super) fn close_all(&self) {
        for connection in self.registry().open.values() {
            connection.close();
        }
    }

    pub(super) fn metrics(&self) -> SipStreamMetrics {
        let open = self.registry().open.len();
        self.counters.snapshot(open)
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        // Nobody panics while holding it.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

fn key_of(to: &Destination, tls: Option<&Arc<TlsPolicy>>) -> Key {
    let proof = tls
        .filter(|_| to.transport == SipTransport::Tls)
        .map(|policy| (policy.name().to_owned(), to.host.to_ascii_lowercase()));
    Key {
        transport: to.transport,
        address: to.address,
        proof,
    }
}

/// Small messages leave at once, and a dead peer is noticed.
fn prepare(socket: &TcpStream) {
    // Best effort: without them the connection works, only later.
    let _ = socket.set_nodelay(true);
    let _ = rustix::net::sockopt::set_tcp_user_timeout(socket, UNACKNOWLEDGED_MAX_MS);
}
