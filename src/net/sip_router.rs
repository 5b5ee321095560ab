//! What the SIP transports have in common: a message finds its call by Call-ID, or the queue of requests outside calls.
//!
//! Does not look into a message beyond its Call-ID, and sends nothing.
//!
//! Invariants:
//! - Every queue is bounded; what does not fit is dropped and counted (SIP retransmits, or the caller gives up).
//! - A Call-ID belongs to one live call at a time.
use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::{TryRecvError, TrySendError};

use super::mailbox::{self, mailbox};
use super::sip_stream::Connection;
use super::sip_trace::SipTrace;
use super::sip_udp::Counters;
use crate::sip::message::{BadRequest, Headers, Message, Response};
use crate::sip::transport::SipTransport;

/// A call that is over keeps its route until its transactions are (Timer D and Timer M: 32 s), and its line is free
/// long before.
const ROUTES_PER_CALL: usize = 64;

/// The fewest and the most routes, whatever the calls. A route is its Call-ID and a queue, about 250 octets.
const ROUTES_MIN: usize = 4096;
const ROUTES_MAX: usize = 65_536;

/// Messages that wait for one call. A call has tens in its whole life.
pub(super) const CALL_QUEUE_MAX: usize = 64;

/// Requests that wait for whoever answers outside calls.
const OUT_OF_CALL_QUEUE_MAX: usize = 1024;

/// Tells a trunk's addresses from strangers'.
pub type PeerCheck = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// The way that a message came, and that its answer goes back (RFC 3261 §18.2.2).
#[derive(Debug, Clone)]
pub enum Flow {
    /// By the UDP listener of [`Inbound::local`].
    Datagram,
    Stream(Connection),
}

impl Flow {
    #[must_use]
    pub fn transport(&self) -> SipTransport {
        match self {
            Self::Datagram => SipTransport::Udp,
            Self::Stream(connection) => connection.transport(),
        }
    }
}

/// A message with the way it came.
#[derive(Debug, Clone)]
pub struct Inbound {
    pub message: Message,
    pub source: SocketAddr,
    /// Our address of the flow: the listener's bound one, or the connection's.
    pub local: SocketAddr,
    pub flow: Flow,
}

/// The messages of one call, in the order in which they came.
#[derive(Debug)]
pub struct CallQueue(mailbox::Receiver<Box<Inbound>>);

impl CallQueue {
    /// `None` once the call's [`RouteGuard`] is gone and nothing waits. Cancel-safe.
    pub async fn recv(&mut self) -> Option<Inbound> {
        self.0.recv().await.map(|inbound| *inbound)
    }

    pub fn try_recv(&mut self) -> Result<Inbound, TryRecvError> {
        self.0.try_recv().map(|inbound| *inbound)
    }
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

/// Shared by every listener and connection.
pub(super) struct Router {
    routes: Mutex<HashMap<String, mailbox::Sender<Box<Inbound>>>>,
    routes_max: usize,
    out_of_call: mpsc::Sender<Inbound>,
    is_peer: PeerCheck,
    tag_keys: [RandomState; 2],
    pub(super) counters: Counters,
    pub(super) trace: SipTrace,
}

/// Keeps a Call-ID routed; dropping it ends that.
pub struct RouteGuard {
    call_id: String,
    router: Arc<Router>,
}

impl Router {
    /// The receiver gets requests that belong to no registered call.
    pub(super) fn new(
        routes_max: usize,
        is_peer: PeerCheck,
        trace: SipTrace,
    ) -> (Arc<Self>, mpsc::Receiver<Inbound>) {
        let (out_of_call, requests) = mpsc::channel(OUT_OF_CALL_QUEUE_MAX);
        let router = Self {
            routes: Mutex::default(),
            routes_max,
            out_of_call,
            is_peer,
            tag_keys: [RandomState::new(), RandomState::new()],
            counters: Counters::default(),
            trace,
        };
        (Arc::new(router), requests)
    }

    pub(super) fn is_peer(&self, ip: IpAddr) -> bool {
        (self.is_peer)(ip.to_canonical())
    }

    /// Routes every message of this Call-ID to the returned queue for as long as the guard lives.
    pub(super) fn register(
        self: &Arc<Self>,
        call_id: &str,
    ) -> Result<(RouteGuard, CallQueue), RegisterError> {
        let mut routes = self.routes();
        if routes.len() >= self.routes_max {
            return Err(RegisterError::Full(self.routes_max));
        }
        let Entry::Vacant(vacant) = routes.entry(call_id.to_owned()) else {
            return Err(RegisterError::Taken);
        };
        let (queue_in, queue) = mailbox(CALL_QUEUE_MAX);
        vacant.insert(queue_in);
        let guard = RouteGuard {
            call_id: call_id.to_owned(),
            router: Arc::clone(self),
        };
        Ok((guard, CallQueue(queue)))
    }

    pub(super) fn route(&self, inbound: Inbound) {
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
    pub(super) fn to_call(&self, inbound: Inbound) -> Result<(), Inbound> {
        let queue = match inbound.message.headers().call_id() {
            Ok(call_id) => self.routes().get(call_id).cloned(),
            Err(_) => None,
        };
        let Some(queue) = queue else { return Err(inbound) };
        match queue.try_send(Box::new(inbound)) {
            Ok(()) => {
                self.counters.routed.add();
                Ok(())
            }
            Err(TrySendError::Full(_)) => {
                self.counters.call_queue_dropped.add();
                Ok(())
            }
            // The call's task has ended and its guard is about to drop.
            Err(TrySendError::Closed(inbound)) => Err(*inbound),
        }
    }

    /// The refusal of a request that cannot be read, when it said enough to be answered. What is written into Via may
    /// not make the answer longer than an answer may be (SAFETY 5).
    pub(super) fn refusal_of(
        &self,
        bad: &BadRequest,
        source: SocketAddr,
        octets_in: usize,
    ) -> Option<Vec<u8>> {
        let refusal: Response = bad.reply(&self.to_tag_for(&bad.headers))?;
        let mut stamped = refusal.clone();
        stamped.headers.stamp_source(source);
        let octets = stamped.to_bytes();
        if octets.len() * 2 <= octets_in * 3 && stamped.headers.is_readable() {
            return Some(octets);
        }
        refusal.headers.is_readable().then(|| refusal.to_bytes())
    }

    /// Call-IDs registered now.
    pub(super) fn calls(&self) -> usize {
        self.routes().len()
    }

    /// The same tag for a request and its retransmissions, without state, and unguessable (RFC 3261 §8.2.7).
    fn to_tag_for(&self, headers: &Headers) -> String {
        let request = [headers.get("Via"), headers.get("Call-ID"), headers.get("CSeq")];
        let [high, low] = self.tag_keys.each_ref().map(|key| key.hash_one(request));
        format!("{high:016x}{low:016x}")
    }

    fn routes(&self) -> MutexGuard<'_, HashMap<String, mailbox::Sender<Box<Inbound>>>> {
        // Nobody panics while holding it.
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RouteGuard {
    fn drop(&mut self) {
        self.router.routes().remove(&self.call_id);
    }
}

impl std::fmt::Debug for RouteGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RouteGuard").field(&self.call_id).finish()
    }
}
