//! SIP over UDP: datagrams in, parsed messages routed to calls; octets out (RFC 3261 §18).
//!
//! ```text
//! socket ─► keep-alive? ─► stranger's allowance ─► parse ─► Call-ID of a call? ─► that call's queue
//!                │                  │                │                  └► request? ─► the out-of-call queue
//!                └ dropped          └ dropped        └ dropped, or refused statelessly to a known peer
//! ```
//! What it does not: transactions, retransmission, deciding whether a message is believable. A call checks
//! branch, tags and peer itself; here a message only finds its way.
//!
//! Invariants:
//! - Every queue is bounded; what does not fit is dropped and counted (SIP retransmits).
//! - A stranger never gets an octet from here, and can make us parse only a bounded number of messages a second.
pub(super) mod allowance;
mod metrics;

#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

pub use self::metrics::SipUdpMetrics;

use self::allowance::Allowances;
pub(super) use self::metrics::Counters;
use super::sip_router::Router;
pub use super::sip_router::{CallQueue, Flow, Inbound, PeerCheck, RegisterError, RouteGuard, routes_for};
use super::sip_trace::SipTrace;
use crate::sip::message::{Message, ParseError};
use crate::sip::transaction::datagram_response_target;
use crate::sip::transaction::timer::Transport;

/// No UDP datagram is longer.
const DATAGRAM_OCTETS_MAX: usize = 65_536;

/// Asked of the kernel, which may grant less: one second of a busy trunk's messages.
const SOCKET_BUFFER_OCTETS: usize = 4 << 20;

/// Rest after an error of `recv`, so that a broken socket does not burn a core.
const RECEIVE_ERROR_REST: Duration = Duration::from_millis(10);

/// How the listeners are built.
#[derive(Clone)]
pub struct SipUdpConfig {
    /// One listener each, e.g. one for IPv4 and one for IPv6. Port 0 lets the kernel choose.
    pub bind: Vec<SocketAddr>,
    /// Call-IDs registered at a time, see [`routes_for`].
    pub routes_max: usize,
    pub is_peer: PeerCheck,
}

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("expected at least one address to listen on for SIP, got none")]
    NoAddress,
    #[error("cannot listen on {address} for SIP over UDP")]
    Socket {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
}

/// Handle of the listeners; clones share them. They end when the last clone is dropped.
#[derive(Clone)]
pub struct SipUdp(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    tasks: Vec<AbortHandle>,
}

struct Shared {
    listeners: Vec<Listener>,
    router: Arc<Router>,
}

struct Listener {
    socket: UdpSocket,
    local: SocketAddr,
}

impl SipUdp {
    /// Binds every listener and begins to receive. The receiver gets requests that belong to no registered call.
    pub fn bind(config: SipUdpConfig) -> Result<(Self, mpsc::Receiver<Inbound>), BindError> {
        Self::bind_traced(config, SipTrace::off())
    }

    /// As [`Self::bind`]; every message that comes or leaves is told to `trace`.
    pub fn bind_traced(
        config: SipUdpConfig,
        trace: SipTrace,
    ) -> Result<(Self, mpsc::Receiver<Inbound>), BindError> {
        if config.bind.is_empty() {
            return Err(BindError::NoAddress);
        }
        let (router, requests) = Router::new(config.routes_max, config.is_peer, trace);
        Ok((Self::beside(router, config.bind)?, requests))
    }

    /// The same for a router that other transports share; without an address there is nothing to receive.
    pub(super) fn beside(
        router: Arc<Router>,
        bind: impl IntoIterator<Item = SocketAddr>,
    ) -> Result<Self, BindError> {
        let mut listeners = Vec::new();
        for address in bind {
            let listener = Listener::bind(address).map_err(|source| BindError::Socket { address, source })?;
            listeners.push(listener);
        }
        let shared = Arc::new(Shared { listeners, router });
        let tasks = (0..shared.listeners.len())
            .map(|index| tokio::spawn(receive(Arc::clone(&shared), index)).abort_handle())
            .collect();
        Ok(Self(Arc::new(Inner { shared, tasks })))
    }

    /// The bound addresses, in the order of the configuration.
    pub fn locals(&self) -> impl Iterator<Item = SocketAddr> {
        self.0.shared.listeners.iter().map(|listener| listener.local)
    }

    /// The address that a peer at `target` sees: for Via and Contact. A wildcard listener's address is what the
    /// kernel's routing table would choose.
    pub fn local_for(&self, target: SocketAddr) -> io::Result<SocketAddr> {
        let listener = self.0.shared.listener_for(target)?;
        if !listener.local.ip().is_unspecified() {
            return Ok(listener.local);
        }
        Ok(SocketAddr::new(local_ip_for(target)?, listener.local.port()))
    }

    /// Sends from the first listener of the target's address family. Waits while the socket's buffer is full.
    pub async fn send(&self, to: SocketAddr, octets: &[u8]) -> io::Result<()> {
        let listener = self.0.shared.listener_for(to)?;
        self.0.shared.send(listener, to, octets).await
    }

    /// Sends from the listener bound to `local`, as [`Inbound::local`] names it: a response leaves from where
    /// its request came in (RFC 3581 §4).
    pub async fn send_from(&self, local: SocketAddr, to: SocketAddr, octets: &[u8]) -> io::Result<()> {
        let shared = &self.0.shared;
        match shared.listeners.iter().find(|listener| listener.local == local) {
            Some(listener) => shared.send(listener, to, octets).await,
            None => self.send(to, octets).await,
        }
    }

    /// Routes every message of this Call-ID to the returned queue for as long as the guard lives.
    pub fn register(&self, call_id: &str) -> Result<(RouteGuard, CallQueue), RegisterError> {
        self.0.shared.router.register(call_id)
    }

    /// Routes a message again: one that waited in the out-of-call queue while its call was being registered.
    /// Gives it back when no call has its Call-ID.
    #[expect(
        clippy::result_large_err,
        reason = "the message goes back to its owner, not up as an error"
    )]
    pub fn reroute(&self, inbound: Inbound) -> Result<(), Inbound> {
        self.0.shared.router.to_call(inbound)
    }

    #[must_use]
    pub fn metrics(&self) -> SipUdpMetrics {
        let router = &self.0.shared.router;
        router.counters.snapshot(router.calls())
    }
}

impl std::fmt::Debug for SipUdp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.locals()).finish()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Listener {
    fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = std::net::UdpSocket::bind(address)?;
        // Best effort: `net.core.rmem_max` limits it silently.
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BUFFER_OCTETS);
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(&socket, SOCKET_BUFFER_OCTETS);
        socket.set_nonblocking(true)?;
        let local = socket.local_addr()?;
        let socket = UdpSocket::from_std(socket)?;
        Ok(Self { socket, local })
    }
}

async fn receive(shared: Arc<Shared>, index: usize) {
    let Some(listener) = shared.listeners.get(index) else {
        return;
    };
    let mut buffer = vec![0; DATAGRAM_OCTETS_MAX];
    let mut allowances = Allowances::new(Instant::now());
    loop {
        match listener.socket.recv_from(&mut buffer).await {
            Ok((len, source)) => {
                let datagram = buffer.get(..len).unwrap_or_default();
                shared.take(listener, source, datagram, &mut allowances).await;
            }
            Err(error) => {
                shared.router.counters.receive_errors.add();
                tracing::debug!(local = %listener.local, %error, "cannot receive SIP");
                tokio::time::sleep(RECEIVE_ERROR_REST).await;
            }
        }
    }
}

impl Shared {
    async fn take(
        &self,
        listener: &Listener,
        source: SocketAddr,
        datagram: &[u8],
        allowances: &mut Allowances,
    ) {
        self.router.counters.received.add();
        if is_keep_alive(datagram) {
            self.router.counters.keep_alives.add();
            return;
        }
        let is_peer = self.router.is_peer(source.ip());
        if !is_peer && !allowances.take(source.ip(), Instant::now()) {
            self.router.counters.strangers_limited.add();
            return;
        }
        let parsed = Message::parse(datagram);
        self.router
            .trace
            .received(Transport::Udp, source, listener.local, datagram, &parsed);
        match parsed {
            Ok(message) => self.router.route(Inbound {
                message,
                source,
                local: listener.local,
                flow: Flow::Datagram,
            }),
            Err(error) => {
                self.router.counters.unparsable.add();
                tracing::debug!(%source, %error, "dropped a datagram that is not SIP");
                if is_peer {
                    self.refuse(listener, source, datagram.len(), &error).await;
                }
            }
        }
    }

    /// A known peer learns what was wrong, when its message said enough to be answered; nobody else does.
    async fn refuse(&self, listener: &Listener, source: SocketAddr, octets_in: usize, error: &ParseError) {
        let ParseError::BadRequest(bad) = error else {
            return;
        };
        let Some(octets) = self.router.refusal_of(bad, source, octets_in) else {
            return;
        };
        let to = datagram_response_target(&bad.headers, source);
        if self.send(listener, to, &octets).await.is_ok() {
            self.router.counters.refused.add();
        }
    }

    async fn send(&self, listener: &Listener, to: SocketAddr, octets: &[u8]) -> io::Result<()> {
        // Told first: no record may hold the answer before the request.
        self.router.trace.sent(Transport::Udp, listener.local, to, octets);
        match listener.socket.send_to(octets, to).await {
            Ok(_) => {
                self.router.counters.sent.add();
                Ok(())
            }
            Err(error) => {
                self.router.counters.send_errors.add();
                Err(error)
            }
        }
    }

    fn listener_for(&self, target: SocketAddr) -> io::Result<&Listener> {
        let fits = |listener: &&Listener| listener.local.is_ipv4() == target.is_ipv4();
        self.listeners.iter().find(fits).ok_or_else(|| {
            let family = if target.is_ipv4() { "IPv4" } else { "IPv6" };
            let message = format!("expected a SIP listener for {family}, none is configured");
            io::Error::new(io::ErrorKind::AddrNotAvailable, message)
        })
    }
}

/// The address that the kernel's routing table would leave from.
pub(super) fn local_ip_for(target: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = match target {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // Connecting a UDP socket sends nothing; it only makes the kernel choose.
    let probe = std::net::UdpSocket::bind((any, 0))?;
    probe.connect(target)?;
    Ok(probe.local_addr()?.ip())
}

/// What peers send to keep a NAT open: nothing, zeros, or line ends (RFC 5626 §3.5.1).
fn is_keep_alive(datagram: &[u8]) -> bool {
    datagram.len() <= 4 && datagram.iter().all(|octet| matches!(octet, 0 | b'\r' | b'\n'))
}
