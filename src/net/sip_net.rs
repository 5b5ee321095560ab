//! Every SIP transport of the process behind one handle: UDP, TCP and TLS listeners, and connections of ours.
//!
//! Gives each message the way that RFC 3261 §18 wants: a request to its destination, an answer back by the flow of its
//! request. Does not choose a destination, and repeats nothing.
//!
//! Invariants:
//! - A request over TLS leaves only on a connection whose certificate proved the destination's name.
//! - A connection that cannot be made is told within four seconds, and a lost one at once ([`Connection::lost`]).
mod flows;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;

pub use super::sip_router::{CallQueue, Flow, Inbound, PeerCheck, RegisterError, RouteGuard, routes_for};
pub use super::sip_stream::{Connection, SipStreamMetrics, StreamLimits};
pub use super::sip_tls::{TlsPolicy, TlsServerConfig};
pub use super::sip_udp::SipUdpMetrics;

pub use self::flows::Flows;
use super::sip_router::Router;
use super::sip_stream::Streams;
use super::sip_tls::{TlsError, acceptor};
use super::sip_trace::SipTrace;
use super::sip_udp::{self, SipUdp};
use crate::sip::message::Message;
use crate::sip::transport::{Destination, SipTransport};

/// How long a host that took no TCP is not tried again for a long request.
const WITHOUT_TCP_FOR: Duration = Duration::from_secs(600);
/// Hosts are those of trunks, so this is a guard, not a limit that is met.
const WITHOUT_TCP_MAX: usize = 1024;

/// Answers at a time that wait for a new connection, since theirs has ended: a peer cannot make us open many.
const RETURNING_MAX: usize = 16;

/// One listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    pub transport: SipTransport,
    /// Port 0 lets the kernel choose.
    pub address: SocketAddr,
    /// Static NAT: what Via and Contact say instead. Port 0 stands for the listener's own.
    pub public: Option<SocketAddr>,
}

/// How the transports are built.
#[derive(Clone)]
pub struct SipNetConfig {
    pub listen: Vec<Listen>,
    /// Static NAT for connections of ours where no listener of their transport exists.
    pub public_address: Option<IpAddr>,
    /// Call-IDs registered at a time, see [`routes_for`].
    pub routes_max: usize,
    pub is_peer: PeerCheck,
    pub limits: StreamLimits,
    /// For TLS listeners.
    pub tls: Option<TlsServerConfig>,
}

impl SipNetConfig {
    /// Listeners without NAT and TLS, and the usual limits.
    #[must_use]
    pub fn plain(
        listen: impl IntoIterator<Item = (SipTransport, SocketAddr)>,
        routes_max: usize,
        is_peer: PeerCheck,
    ) -> Self {
        let listen = listen.into_iter().map(|(transport, address)| Listen {
            transport,
            address,
            public: None,
        });
        Self {
            listen: listen.collect(),
            public_address: None,
            routes_max,
            is_peer,
            limits: StreamLimits::default(),
            tls: None,
        }
    }
}

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error(transparent)]
    Udp(#[from] sip_udp::BindError),
    #[error("expected at least one address to listen on for SIP, got none")]
    NoAddress,
    #[error("cannot listen on {address} for SIP over {}", transport.via_name())]
    Socket {
        transport: SipTransport,
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("expected a certificate and its key (sip.tls) for the TLS listener on {0}")]
    NoCertificate(SocketAddr),
    #[error("sip.tls: {0}")]
    Tls(#[from] TlsError),
}

/// Our side of a way to somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Local {
    pub address: SocketAddr,
    /// What Via and Contact say instead.
    pub public: Option<SocketAddr>,
}

/// Handle of the transports; clones share them. They end when the last clone is dropped.
#[derive(Clone)]
pub struct SipNet(Arc<Inner>);

struct Inner {
    router: Arc<Router>,
    udp: SipUdp,
    streams: Arc<Streams>,
    /// As bound, in the order of the configuration.
    listeners: Vec<Listen>,
    public_address: Option<IpAddr>,
    /// Hosts that took no TCP, and when: a long request does not wait for them again and again.
    without_tcp: Mutex<HashMap<SocketAddr, Instant>>,
    returning: Arc<Semaphore>,
    tasks: Vec<AbortHandle>,
}

impl SipNet {
    /// Binds every listener and begins to receive. The receiver gets requests that belong to no registered call.
    pub fn bind(config: SipNetConfig) -> Result<(Self, mpsc::Receiver<Inbound>), BindError> {
        Self::bind_traced(config, SipTrace::off())
    }

    /// As [`Self::bind`]; every message that comes or leaves is told to `trace`.
    pub fn bind_traced(
        config: SipNetConfig,
        trace: SipTrace,
    ) -> Result<(Self, mpsc::Receiver<Inbound>), BindError> {
        if config.listen.is_empty() {
            return Err(BindError::NoAddress);
        }
        let (router, requests) = Router::new(config.routes_max, config.is_peer.clone(), trace);
        let of_udp = config
            .listen
            .iter()
            .filter(|listen| listen.transport == SipTransport::Udp);
        let udp = SipUdp::beside(Arc::clone(&router), of_udp.map(|listen| listen.address))?;
        let sources = config
            .listen
            .iter()
            .map(|listen| listen.address.ip())
            .filter(|ip| !ip.is_unspecified())
            .collect();
        let streams = Streams::new(Arc::clone(&router), config.limits, sources);
        let mut inner = Inner {
            router,
            udp,
            streams,
            listeners: Vec::new(),
            public_address: config.public_address,
            without_tcp: Mutex::default(),
            returning: Arc::new(Semaphore::new(RETURNING_MAX)),
            tasks: Vec::new(),
        };
        let mut datagrams = inner.udp.locals().collect::<Vec<_>>().into_iter();
        for listen in &config.listen {
            let address = match listen.transport {
                SipTransport::Udp => datagrams.next().unwrap_or(listen.address),
                SipTransport::Tcp | SipTransport::Tls => inner.listen(*listen, config.tls.as_ref())?,
            };
            inner.listeners.push(Listen {
                address,
                public: listen.public.map(|public| match public.port() {
                    0 => SocketAddr::new(public.ip(), address.port()),
                    _ => public,
                }),
                ..*listen
            });
        }
        Ok((Self(Arc::new(inner)), requests))
    }

    /// The bound addresses, in the order of the configuration.
    pub fn locals(&self) -> impl Iterator<Item = (SipTransport, SocketAddr)> {
        self.0
            .listeners
            .iter()
            .map(|listen| (listen.transport, listen.address))
    }

    /// Where a transport listens first.
    #[must_use]
    pub fn local_of(&self, transport: SipTransport) -> Option<SocketAddr> {
        self.locals()
            .find_map(|(of, address)| (of == transport).then_some(address))
    }

    /// The kernel has a way to this address over this transport; nothing is sent.
    pub fn has_way(&self, transport: SipTransport, to: SocketAddr) -> io::Result<()> {
        match transport {
            SipTransport::Udp => self.0.udp.local_for(to).map(|_| ()),
            SipTransport::Tcp | SipTransport::Tls => sip_udp::local_ip_for(to).map(|_| ()),
        }
    }

    /// The address that the kernel would leave from towards this one.
    pub fn local_ip_for(&self, to: SocketAddr) -> io::Result<IpAddr> {
        sip_udp::local_ip_for(to)
    }

    /// What a peer at the destination knows us by: for Via and Contact. Where no listener takes connections of that
    /// transport, it is the connection's own address, and the connection is made for it: the peer reaches us by that
    /// one only. A connection that cannot be made gives the address that it would have left from; sending tells why.
    pub async fn local_for(&self, to: &Destination, tls: Option<&Arc<TlsPolicy>>) -> io::Result<Local> {
        let listener = self.0.listener_for(to.transport, to.address);
        let public = |port| {
            let fits = |ip: &IpAddr| ip.is_ipv4() == to.address.is_ipv4();
            let ip = self.0.public_address.filter(fits)?;
            Some(SocketAddr::new(ip, port))
        };
        if to.transport == SipTransport::Udp {
            let address = self.0.udp.local_for(to.address)?;
            let public = listener
                .and_then(|listen| listen.public)
                .or_else(|| public(address.port()));
            return Ok(Local { address, public });
        }
        if let Some(listen) = listener {
            let ip = match listen.address.ip() {
                ip if ip.is_unspecified() => sip_udp::local_ip_for(to.address)?,
                ip => ip,
            };
            let address = SocketAddr::new(ip, listen.address.port());
            return Ok(Local {
                address,
                public: listen.public.or_else(|| public(address.port())),
            });
        }
        let address = match self.0.streams.reach(to, tls).await {
            Ok(connection) => connection.local(),
            Err(_) => SocketAddr::new(sip_udp::local_ip_for(to.address)?, to.transport.default_port()),
        };
        Ok(Local {
            address,
            public: public(address.port()),
        })
    }

    /// Sends a request. Over a stream the connection that carries it is given: [`Connection::lost`] tells of its end.
    pub async fn send(
        &self,
        to: &Destination,
        tls: Option<&Arc<TlsPolicy>>,
        octets: &[u8],
    ) -> io::Result<Option<Connection>> {
        if to.transport == SipTransport::Udp {
            self.0.udp.send(to.address, octets).await?;
            return Ok(None);
        }
        let connection = self.0.streams.reach(to, tls).await?;
        connection.push(octets.to_vec())?;
        Ok(Some(connection))
    }

    /// Sends on a connection that a message came by, or that [`SipNet::send`] gave.
    pub fn send_on(&self, connection: &Connection, octets: &[u8]) -> io::Result<()> {
        connection.push(octets.to_vec())
    }

    /// Sends a response by the flow of its request (RFC 3261 §18.2.2, RFC 3581 §4): from the same listener to `to`, or on
    /// the same connection. Where that has ended, TCP gets a new one to the port that Via names; nobody waits for it.
    pub async fn answer(
        &self,
        flow: &Flow,
        local: SocketAddr,
        to: SocketAddr,
        octets: &[u8],
    ) -> io::Result<()> {
        let connection = match flow {
            Flow::Datagram => return self.0.udp.send_from(local, to, octets).await,
            Flow::Stream(connection) => connection,
        };
        if connection.is_open() || connection.transport() == SipTransport::Tls {
            // Nobody's name was configured for a stranger's TLS server: no new connection goes there.
            return connection.push(octets.to_vec());
        }
        let port = Message::parse(octets)
            .ok()
            .and_then(|response| response.headers().top_via().ok())
            .map_or(to.port(), |via| via.port_or_default());
        let sent_by = SocketAddr::new(connection.peer().ip(), port);
        let again = Destination {
            transport: SipTransport::Tcp,
            address: sent_by,
            host: sent_by.ip().to_string(),
        };
        let Ok(place) = Arc::clone(&self.0.returning).try_acquire_owned() else {
            return Err(io::Error::other(format!(
                "expected at most {RETURNING_MAX} answers that wait for a new connection"
            )));
        };
        let (streams, octets) = (Arc::clone(&self.0.streams), octets.to_vec());
        tokio::spawn(async move {
            let returned = match streams.reach(&again, None).await {
                Ok(connection) => connection.push(octets),
                Err(error) => Err(error),
            };
            if let Err(error) = returned {
                tracing::debug!(to = %again, %error, "an answer whose connection had ended was not sent");
            }
            drop(place);
        });
        Ok(())
    }

    /// A request too long for UDP may try TCP at this host: none has failed there lately.
    #[must_use]
    pub fn may_switch(&self, to: SocketAddr) -> bool {
        let without = self.0.without_tcp();
        without.get(&to).is_none_or(|at| at.elapsed() >= WITHOUT_TCP_FOR)
    }

    /// TCP failed at this host.
    pub fn switch_failed(&self, to: SocketAddr) {
        let mut without = self.0.without_tcp();
        if without.len() >= WITHOUT_TCP_MAX {
            without.clear();
        }
        without.insert(to, Instant::now());
    }

    /// Routes every message of this Call-ID to the returned queue for as long as the guard lives.
    pub fn register(&self, call_id: &str) -> Result<(RouteGuard, CallQueue), RegisterError> {
        self.0.router.register(call_id)
    }

    /// Routes a message again: one that waited in the out-of-call queue while its call was being registered.
    /// Gives it back when no call has its Call-ID.
    #[expect(
        clippy::result_large_err,
        reason = "the message goes back to its owner, not up as an error"
    )]
    pub fn reroute(&self, inbound: Inbound) -> Result<(), Inbound> {
        self.0.router.to_call(inbound)
    }

    #[must_use]
    pub fn metrics(&self) -> SipUdpMetrics {
        self.0.udp.metrics()
    }

    #[must_use]
    pub fn stream_metrics(&self) -> SipStreamMetrics {
        self.0.streams.metrics()
    }
}

impl Inner {
    /// Binds one stream listener and begins to accept.
    fn listen(&mut self, listen: Listen, tls: Option<&TlsServerConfig>) -> Result<SocketAddr, BindError> {
        let acceptor = match (listen.transport, tls) {
            (SipTransport::Tls, None) => return Err(BindError::NoCertificate(listen.address)),
            (SipTransport::Tls, Some(config)) => Some(acceptor(config)?),
            (SipTransport::Udp | SipTransport::Tcp, _) => None,
        };
        let bound = || -> io::Result<(TcpListener, SocketAddr)> {
            let socket = std::net::TcpListener::bind(listen.address)?;
            socket.set_nonblocking(true)?;
            let local = socket.local_addr()?;
            Ok((TcpListener::from_std(socket)?, local))
        };
        let (listener, local) = bound().map_err(|source| BindError::Socket {
            transport: listen.transport,
            address: listen.address,
            source,
        })?;
        let accepting = Arc::clone(&self.streams).listen(listener, local, acceptor);
        self.tasks.push(tokio::spawn(accepting).abort_handle());
        Ok(local)
    }

    fn without_tcp(&self) -> MutexGuard<'_, HashMap<SocketAddr, Instant>> {
        // Nobody panics while holding it.
        self.without_tcp.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listener_for(&self, transport: SipTransport, to: SocketAddr) -> Option<&Listen> {
        self.listeners
            .iter()
            .find(|listen| listen.transport == transport && listen.address.is_ipv4() == to.is_ipv4())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        self.streams.close_all();
    }
}

impl std::fmt::Debug for SipNet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.locals()).finish()
    }
}
