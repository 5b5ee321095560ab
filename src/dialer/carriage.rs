//! How one call's messages leave: over which transport, and on which connection.
//!
//! ```text
//! answer ─────────────► the flow of its request
//! request, stream trunk ─► the call's connection while it lives, else a new one to the target
//! request, UDP trunk ──► UDP;  > 1300 octets ─► TCP, Via rewritten ─► no connection ─► UDP (RFC 3261 §18.1.1)
//! ```
//! Invariants:
//! - A request and all that goes with it (repetition, CANCEL, ACK of a rejection) take the same transport.
//! - What was sent on a connection that still lives is not repeated there.
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::net::sip_net::{Connection, Flows, Inbound, SipNet, TlsPolicy};
use crate::sip::transport::{DATAGRAM_REQUEST_MAX, Destination, SipTransport, is_response, over, top_branch};

pub(super) struct Carriage {
    sip: SipNet,
    to: Destination,
    tls: Option<Arc<TlsPolicy>>,
    /// A request that is too long for UDP may go over TCP.
    may_switch: bool,
    flows: Flows,
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
            flows: Flows::default(),
            connection: None,
            switched: None,
        }
    }

    /// The transport delivers, or tells at once that it does not.
    pub(super) const fn is_stream(&self) -> bool {
        self.to.transport.is_stream()
    }

    pub(super) fn note(&mut self, inbound: &Inbound) {
        self.flows.note(inbound);
    }

    pub(super) async fn send(&mut self, to: SocketAddr, octets: &[u8]) -> io::Result<()> {
        if let Some((flow, local)) = self.flows.of(octets) {
            return self.sip.answer(&flow, local, to, octets).await;
        }
        if self.is_stream() {
            return self.send_on_stream(to, octets).await;
        }
        if self.is_to_switch(octets) && self.send_switched(to, octets).await {
            return Ok(());
        }
        let udp = self.towards(SipTransport::Udp, to);
        self.sip.send(&udp, None, octets).await.map(|_| ())
    }

    /// Returns when the connection that carries this call's requests has ended; never for a trunk over UDP, whose
    /// requests are repeated anyway.
    pub(super) async fn lost(&self) {
        match &self.connection {
            Some(connection) if self.is_stream() => connection.lost().await,
            Some(_) | None => std::future::pending().await,
        }
    }

    /// The next request opens a new connection.
    pub(super) fn forget_connection(&mut self) {
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
