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
mod allowance;
mod metrics;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::AbortHandle;

pub use self::metrics::SipUdpMetrics;

use self::allowance::Allowances;
use self::metrics::Counters;
use super::sip_trace::SipTrace;
use crate::sip::message::{Headers, Message, ParseError};
use crate::sip::transaction::datagram_response_target;
use crate::sip::transaction::timer::Transport;

/// No UDP datagram is longer.
const DATAGRAM_OCTETS_MAX: usize = 65_536;

/// A call that is over keeps its route until its transactions are (Timer D and Timer M: 32 s), and its line is free
/// long before.
const ROUTES_PER_CALL: usize = 64;

/// The fewest and the most routes, whatever the calls. A route is its Call-ID and a queue, about 10 KiB.
const ROUTES_MIN: usize = 4096;
const ROUTES_MAX: usize = 65_536;

/// Messages that wait for one call. A call has tens in its whole life.
const CALL_QUEUE_MAX: usize = 64;

/// Requests that wait for whoever answers outside calls.
const OUT_OF_CALL_QUEUE_MAX: usize = 1024;

/// Asked of the kernel, which may grant less: one second of a busy trunk's messages.
const SOCKET_BUFFER_OCTETS: usize = 4 << 20;

/// Rest after an error of `recv`, so that a broken socket does not burn a core.
const RECEIVE_ERROR_REST: Duration = Duration::from_millis(10);

/// Tells a trunk's addresses from strangers'.
pub type PeerCheck = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// How the listeners are built.
#[derive(Clone)]
pub struct SipUdpConfig {
    /// One listener each, e.g. one for IPv4 and one for IPv6. Port 0 lets the kernel choose.
    pub bind: Vec<SocketAddr>,
    /// Call-IDs registered at a time, see [`routes_for`].
    pub routes_max: usize,
    pub is_peer: PeerCheck,
}

/// A message with the way it came.
#[derive(Debug, Clone)]
pub struct Inbound {
    pub message: Message,
    pub source: SocketAddr,
    /// The listener's bound address; [`SipUdp::send_from`] answers from it.
    pub local: SocketAddr,
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

/// Why a Call-ID was not registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    #[error("expected a new Call-ID, this one belongs to a live call")]
    Taken,
    #[error("expected at most {0} registered Call-IDs")]
    Full(usize),
}

/// Routes that `calls_max` live calls need beside those of calls that have ended: never fewer than calls.
#[must_use]
pub fn routes_for(calls_max: usize) -> usize {
    calls_max
        .saturating_mul(ROUTES_PER_CALL)
        .clamp(ROUTES_MIN, ROUTES_MAX)
        .max(calls_max)
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
    routes: Mutex<HashMap<String, mpsc::Sender<Inbound>>>,
    routes_max: usize,
    out_of_call: mpsc::Sender<Inbound>,
    is_peer: PeerCheck,
    tag_keys: [RandomState; 2],
    counters: Counters,
    trace: SipTrace,
}

struct Listener {
    socket: UdpSocket,
    local: SocketAddr,
}

/// Keeps a Call-ID routed; dropping it ends that.
pub struct RouteGuard {
    call_id: String,
    shared: Arc<Shared>,
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
        let mut listeners = Vec::with_capacity(config.bind.len());
        for address in config.bind {
            let listener = Listener::bind(address).map_err(|source| BindError::Socket { address, source })?;
            listeners.push(listener);
        }
        if listeners.is_empty() {
            return Err(BindError::NoAddress);
        }
        let (out_of_call, requests) = mpsc::channel(OUT_OF_CALL_QUEUE_MAX);
        let shared = Arc::new(Shared {
            listeners,
            routes: Mutex::default(),
            routes_max: config.routes_max,
            out_of_call,
            is_peer: config.is_peer,
            tag_keys: [RandomState::new(), RandomState::new()],
            counters: Counters::default(),
            trace,
        });
        let tasks = (0..shared.listeners.len())
            .map(|index| tokio::spawn(receive(Arc::clone(&shared), index)).abort_handle())
            .collect();
        Ok((Self(Arc::new(Inner { shared, tasks })), requests))
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
        let any: IpAddr = match target {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        // Connecting a UDP socket sends nothing; it only makes the kernel choose.
        let probe = std::net::UdpSocket::bind((any, 0))?;
        probe.connect(target)?;
        Ok(SocketAddr::new(probe.local_addr()?.ip(), listener.local.port()))
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
    pub fn register(&self, call_id: &str) -> Result<(RouteGuard, mpsc::Receiver<Inbound>), RegisterError> {
        let shared = &self.0.shared;
        let mut routes = shared.routes();
        if routes.len() >= shared.routes_max {
            return Err(RegisterError::Full(shared.routes_max));
        }
        let Entry::Vacant(vacant) = routes.entry(call_id.to_owned()) else {
            return Err(RegisterError::Taken);
        };
        let (queue_in, queue) = mpsc::channel(CALL_QUEUE_MAX);
        vacant.insert(queue_in);
        let guard = RouteGuard {
            call_id: call_id.to_owned(),
            shared: Arc::clone(shared),
        };
        Ok((guard, queue))
    }

    /// Routes a message again: one that waited in the out-of-call queue while its call was being registered.
    /// Gives it back when no call has its Call-ID.
    #[expect(
        clippy::result_large_err,
        reason = "the message goes back to its owner, not up as an error"
    )]
    pub fn reroute(&self, inbound: Inbound) -> Result<(), Inbound> {
        self.0.shared.to_call(inbound)
    }

    #[must_use]
    pub fn metrics(&self) -> SipUdpMetrics {
        let calls = self.0.shared.routes().len();
        self.0.shared.counters.snapshot(calls)
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

impl Drop for RouteGuard {
    fn drop(&mut self) {
        self.shared.routes().remove(&self.call_id);
    }
}

impl std::fmt::Debug for RouteGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RouteGuard").field(&self.call_id).finish()
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
                shared.counters.receive_errors.add();
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
        self.counters.received.add();
        if is_keep_alive(datagram) {
            self.counters.keep_alives.add();
            return;
        }
        let is_peer = (self.is_peer)(source.ip().to_canonical());
        if !is_peer && !allowances.take(source.ip(), Instant::now()) {
            self.counters.strangers_limited.add();
            return;
        }
        let parsed = Message::parse(datagram);
        self.trace
            .received(Transport::Udp, source, listener.local, datagram.len(), &parsed);
        match parsed {
            Ok(message) => self.route(Inbound {
                message,
                source,
                local: listener.local,
            }),
            Err(error) => {
                self.counters.unparsable.add();
                tracing::debug!(%source, %error, "dropped a datagram that is not SIP");
                if is_peer {
                    self.refuse(listener, source, datagram.len(), &error).await;
                }
            }
        }
    }

    fn route(&self, inbound: Inbound) {
        let Err(inbound) = self.to_call(inbound) else {
            return;
        };
        if let Message::Response(_) = inbound.message {
            // A call that is over absorbs nothing any more; RFC 3261 §18.1.2 lets a stray response be dropped.
            self.counters.stray_responses.add();
            return;
        }
        match self.out_of_call.try_send(inbound) {
            Ok(()) => self.counters.out_of_call.add(),
            Err(TrySendError::Full(_)) => self.counters.out_of_call_dropped.add(),
            Err(TrySendError::Closed(_)) => {}
        }
    }

    #[expect(
        clippy::result_large_err,
        reason = "the message goes back to its owner, not up as an error"
    )]
    fn to_call(&self, inbound: Inbound) -> Result<(), Inbound> {
        let queue = match inbound.message.headers().call_id() {
            Ok(call_id) => self.routes().get(call_id).cloned(),
            Err(_) => None,
        };
        let Some(queue) = queue else { return Err(inbound) };
        match queue.try_send(inbound) {
            Ok(()) => {
                self.counters.routed.add();
                Ok(())
            }
            Err(TrySendError::Full(_)) => {
                self.counters.call_queue_dropped.add();
                Ok(())
            }
            // The call's task has ended and its guard is about to drop.
            Err(TrySendError::Closed(inbound)) => Err(inbound),
        }
    }

    /// A known peer learns what was wrong, when its message said enough to be answered; nobody else does.
    async fn refuse(&self, listener: &Listener, source: SocketAddr, octets_in: usize, error: &ParseError) {
        let ParseError::BadRequest(bad) = error else {
            return;
        };
        let Some(refusal) = bad.reply(&self.to_tag_for(&bad.headers)) else {
            return;
        };
        let to = datagram_response_target(&bad.headers, source);
        let mut stamped = refusal.clone();
        stamped.headers.stamp_source(source);
        let mut octets = stamped.to_bytes();
        // What is written into Via may not make the answer longer than an answer may be (SAFETY 5).
        if octets.len() * 2 > octets_in * 3 {
            octets = refusal.to_bytes();
        }
        if self.send(listener, to, &octets).await.is_ok() {
            self.counters.refused.add();
        }
    }

    /// The same tag for a request and its retransmissions, without state, and unguessable (RFC 3261 §8.2.7).
    fn to_tag_for(&self, headers: &Headers) -> String {
        let request = [headers.get("Via"), headers.get("Call-ID"), headers.get("CSeq")];
        let [high, low] = self.tag_keys.each_ref().map(|key| key.hash_one(request));
        format!("{high:016x}{low:016x}")
    }

    async fn send(&self, listener: &Listener, to: SocketAddr, octets: &[u8]) -> io::Result<()> {
        match listener.socket.send_to(octets, to).await {
            Ok(_) => {
                self.counters.sent.add();
                self.trace.sent(Transport::Udp, listener.local, to, octets);
                Ok(())
            }
            Err(error) => {
                self.counters.send_errors.add();
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

    fn routes(&self) -> MutexGuard<'_, HashMap<String, mpsc::Sender<Inbound>>> {
        // Nobody panics while holding it.
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What peers send to keep a NAT open: nothing, zeros, or line ends (RFC 5626 §3.5.1).
fn is_keep_alive(datagram: &[u8]) -> bool {
    datagram.len() <= 4 && datagram.iter().all(|octet| matches!(octet, 0 | b'\r' | b'\n'))
}
