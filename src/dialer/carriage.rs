//! How one call's messages leave: over which transport, and on which connection.
//!
//! ```text
//! answer ─────────────► the flow of its request
//! request, stream trunk ─► the call's connection while it lives, else a new one to the target
//! request, UDP trunk ──► UDP;  > 1300 octets ─► TCP, Via rewritten ─► no connection ─► UDP (RFC 3261 §18.1.1)
//! ```
//! A call that moves to the next target has one [`Carriage`] for each: what still belongs to an earlier target goes over
//! that target's own.
//!
//! Invariants:
//! - A request and all that goes with it (repetition, CANCEL, ACK of a rejection) take the same transport.
//! - What was sent on a connection that still lives is not repeated there.
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::select_all;

use crate::net::sip_net::{Connection, Flows, Inbound, SipNet, TlsPolicy};
use crate::sip::transport::{
    DATAGRAM_REQUEST_MAX, Destination, SipTransport, is_response, over, top_branch, top_transport,
};

/// Every carriage of one call.
pub(super) struct Carriages {
    sip: SipNet,
    /// In the order in which the call tries them.
    ways: Vec<Carriage>,
    current: usize,
    flows: Flows,
}

impl Carriages {
    pub(super) fn new(sip: SipNet, ways: Vec<Carriage>) -> Self {
        Self {
            sip,
            ways,
            current: 0,
            flows: Flows::default(),
        }
    }

    pub(super) fn note(&mut self, inbound: &Inbound) {
        self.flows.note(inbound);
    }

    /// The call has moved to this target.
    pub(super) const fn turn_to(&mut self, way: usize) {
        self.current = way;
    }

    /// Boxed: making a connection needs much room, and who waits for messages would keep it all the time.
    pub(super) async fn send(&mut self, to: SocketAddr, octets: &[u8]) -> io::Result<()> {
        Box::pin(self.send_now(to, octets)).await
    }

    async fn send_now(&mut self, to: SocketAddr, octets: &[u8]) -> io::Result<()> {
        if let Some((flow, local)) = self.flows.of(octets) {
            return self.sip.answer(&flow, local, to, octets).await;
        }
        let index = self.way_of(to, octets);
        match self.ways.get_mut(index) {
            Some(way) => way.send(to, octets).await,
            None => Err(io::Error::other("expected a target to send to, there is none")),
        }
    }

    /// A request to the present target over a stream, which repeats nothing: when it is not sent, that was the only try.
    pub(super) fn is_only_try(&self, to: SocketAddr, octets: &[u8]) -> bool {
        let index = self.way_of(to, octets);
        !is_response(octets) && index == self.current && self.ways.get(index).is_some_and(Carriage::is_stream)
    }

    /// Returns when a connection that carries requests of this call has ended, and which target's it was.
    pub(super) async fn lost(&self) -> usize {
        let connected = self.ways.iter().enumerate().filter(|(_, way)| way.may_be_lost());
        let lost = connected.map(|(index, way)| {
            Box::pin(async move {
                way.lost().await;
                index
            })
        });
        let lost: Vec<_> = lost.collect();
        if lost.is_empty() {
            return std::future::pending().await;
        }
        select_all(lost).await.0
    }

    /// The next request to this target opens a new connection.
    pub(super) fn forget_connection(&mut self, way: usize) {
        if let Some(way) = self.ways.get_mut(way) {
            way.forget_connection();
        }
    }

    /// The target that a request belongs to: the one that its Via was written for and that lies where it goes. A Contact
    /// may name another port or another host; then it is the present target, where the transport fits.
    fn way_of(&self, to: SocketAddr, octets: &[u8]) -> usize {
        let transport = top_transport(octets);
        let likeness = |index: usize, way: &Carriage| {
            let same_host = way.to.address.ip().to_canonical() == to.ip().to_canonical();
            (
                transport.is_none_or(|transport| transport == way.to.transport),
                way.to.address == to,
                same_host,
                index == self.current,
            )
        };
        let ways = self.ways.iter().enumerate();
        ways.max_by_key(|(index, way)| likeness(*index, way))
            .map_or(self.current, |(index, _)| index)
    }
}

pub(super) struct Carriage {
    sip: SipNet,
    to: Destination,
    tls: Option<Arc<TlsPolicy>>,
    /// A request that is too long for UDP may go over TCP.
    may_switch: bool,
    connection: Option<Connection>,
    switched: Option<Switched>,
}

/// The request that went over TCP for its length.
struct Switched {
    branch: String,
    last: Vec<u8>,
}

impl Carriage {
    pub(super) fn new(sip: SipNet, to: Destination, tls: Option<Arc<TlsPolicy>>, may_switch: bool) -> Self {
        Self {
            may_switch: may_switch && to.transport == SipTransport::Udp,
            sip,
            to,
            tls,
            connection: None,
            switched: None,
        }
    }

    /// The transport delivers, or tells at once that it does not.
    const fn is_stream(&self) -> bool {
        self.to.transport.is_stream()
    }

    async fn send(&mut self, to: SocketAddr, octets: &[u8]) -> io::Result<()> {
        if self.is_stream() {
            return self.send_on_stream(to, octets).await;
        }
        if self.is_to_switch(octets) && self.send_switched(to, octets).await {
            return Ok(());
        }
        let udp = self.towards(SipTransport::Udp, to);
        self.sip.send(&udp, None, octets).await.map(|_| ())
    }

    const fn may_be_lost(&self) -> bool {
        self.is_stream() && self.connection.is_some()
    }

    /// Returns when the connection that carries this call's requests has ended; never for a trunk over UDP, whose
    /// requests are repeated anyway.
    async fn lost(&self) {
        match &self.connection {
            Some(connection) if self.is_stream() => connection.lost().await,
            Some(_) | None => std::future::pending().await,
        }
    }

    /// The next request opens a new connection.
    fn forget_connection(&mut self) {
        self.connection = None;
    }

    /// The target's host keeps the connection that it has, whatever port its Contact names.
    async fn send_on_stream(&mut self, to: SocketAddr, octets: &[u8]) -> io::Result<()> {
        let at_target = to.ip().to_canonical() == self.to.address.ip().to_canonical();
        if let Some(connection) = &self.connection
            && connection.is_open()
            && (at_target || connection.peer() == to)
        {
            return self.sip.send_on(connection, octets);
        }
        let address = if at_target { self.to.address } else { to };
        let next = self.towards(self.to.transport, address);
        let connection = self.sip.send(&next, self.tls.as_ref(), octets).await?;
        if at_target {
            self.connection = connection;
        }
        Ok(())
    }

    fn is_to_switch(&self, octets: &[u8]) -> bool {
        let goes_with = |switched: &Switched| top_branch(octets) == Some(switched.branch.as_str());
        let is_long = self.may_switch && octets.len() > DATAGRAM_REQUEST_MAX;
        !is_response(octets) && (is_long || self.switched.as_ref().is_some_and(goes_with))
    }

    /// False when there is no connection: UDP it is, then and from then on.
    async fn send_switched(&mut self, to: SocketAddr, octets: &[u8]) -> bool {
        let lives = self.connection.as_ref().is_some_and(Connection::is_open);
        if lives
            && self
                .switched
                .as_ref()
                .is_some_and(|switched| switched.last == octets)
        {
            return true;
        }
        let (Some(branch), Some(moved)) = (top_branch(octets), over(SipTransport::Tcp, octets)) else {
            return false;
        };
        let tcp = self.towards(SipTransport::Tcp, to);
        if !self.sip.may_switch(to) {
            return false;
        }
        match self.sip.send(&tcp, None, &moved).await {
            Ok(connection) => {
                self.connection = connection;
                self.switched = Some(Switched {
                    branch: branch.to_owned(),
                    last: octets.to_vec(),
                });
                true
            }
            Err(error) => {
                tracing::info!(to = %tcp, %error, "a long request goes over UDP, there is no TCP");
                self.sip.switch_failed(to);
                self.may_switch = false;
                self.switched = None;
                false
            }
        }
    }

    fn towards(&self, transport: SipTransport, address: SocketAddr) -> Destination {
        Destination {
            transport,
            address,
            host: self.to.host.clone(),
        }
    }
}
