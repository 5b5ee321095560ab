//! The transactions of one call: starts them, matches messages to them, runs their timers.
//!
//! It knows no dialogs. What it cannot match is handed to the session, which answers or drops it.
//!
//! Invariants:
//! - At most [`CLIENTS_MAX`] client and [`SERVERS_MAX`] server transactions; what exceeds them is refused.
//! - A response is taken only with the branch, CSeq, Call-ID, From tag and single Via of a request that we sent.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::client_invite::{ClientInvite, Rules};
use super::client_non_invite::ClientNonInvite;
use super::sent::Sent;
use super::server_invite::ServerInvite;
use super::server_non_invite::ServerNonInvite;
use super::slot::{Client, ClientMachine, Server, ServerEvent, ServerMachine};
use super::timer::{TimerConfig, Transport, earliest};
use super::via::{ServerKey, response_target};
use super::{ClientInput, ClientOutput, ServerInput};
use crate::sip::message::{Method, Request, Response};

const CLIENTS_MAX: usize = 64;
const SERVERS_MAX: usize = 32;
/// Places that a BYE or CANCEL still finds when other requests have taken the rest.
const SERVERS_RESERVED: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClientId(u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ServerId(u32);

/// A datagram, or octets for a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transmit {
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

/// What a client transaction hands up.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Response(Box<Response>),
    TimedOut,
    TransportFailed,
}

#[derive(Debug, Clone)]
pub(crate) struct Completion {
    pub(crate) id: ClientId,
    pub(crate) request: Arc<Request>,
    pub(crate) reply: Reply,
}

/// What became of a request that came in.
#[derive(Debug, Clone)]
pub(crate) enum Received {
    /// A repetition or the ACK of a rejection: a transaction took it.
    Absorbed,
    /// The ACK of a 2xx, or of nothing we know.
    Ack(Box<Request>),
    /// To be judged by the session, then accepted or answered without a transaction.
    New(Box<Request>),
}

#[derive(Debug)]
pub(crate) struct Transactions {
    rules: Rules,
    next_id: u32,
    clients: Vec<Client>,
    servers: Vec<Server>,
    transmits: Vec<Transmit>,
}

impl Transactions {
    #[must_use]
    pub(crate) fn new(timers: TimerConfig, transport: Transport) -> Self {
        Self {
            rules: Rules {
                timers,
                reliability: transport.reliability(),
            },
            next_id: 0,
            clients: Vec::new(),
            servers: Vec::new(),
            transmits: Vec::new(),
        }
    }

    /// For the transactions that follow: another target may be reached another way.
    pub(crate) fn set_transport(&mut self, transport: Transport) {
        self.rules.reliability = transport.reliability();
    }

    /// Where the request of this transaction went.
    #[must_use]
    pub(crate) fn destination(&self, id: ClientId) -> Option<SocketAddr> {
        self.clients
            .iter()
            .find(|client| client.id == id)
            .map(|client| client.to)
    }

    /// Sends a request with its Via in place. `None` when too many are under way.
    pub(crate) fn request(&mut self, now: Instant, request: Request, to: SocketAddr) -> Option<ClientId> {
        if self.clients.len() >= CLIENTS_MAX {
            return None;
        }
        let branch = request.headers.top_via().ok()?.branch()?.to_owned();
        let (request, mut out) = (Arc::new(request), Vec::new());
        let machine = if request.method == Method::Invite {
            ClientMachine::Invite(ClientInvite::start(
                now,
                self.rules,
                Arc::clone(&request),
                &mut out,
            ))
        } else {
            ClientMachine::NonInvite(ClientNonInvite::start(now, self.rules, &request, &mut out))
        };
        let id = ClientId(self.fresh_id());
        // One by one: a call has two or three, and is kept for 32 s after its end.
        self.clients.reserve_exact(1);
        self.clients.push(Client {
            id,
            branch,
            request: Sent::Whole(request),
            to,
            machine,
        });
        for output in out {
            if let ClientOutput::Send(bytes) = output {
                self.transmits.push(Transmit { to, bytes });
            }
        }
        Some(id)
    }

    /// The request as it left, Via included.
    #[must_use]
    pub(crate) fn sent_request(&self, id: ClientId) -> Option<Arc<Request>> {
        self.clients
            .iter()
            .find(|client| client.id == id)
            .and_then(|client| client.request.request())
    }

    /// Sends octets outside any transaction: an ACK of a 2xx, a repeated 2xx, a stateless answer.
    pub(crate) fn send(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        self.transmits.push(Transmit { to, bytes });
    }

    /// A response that matches nothing comes back as the error: a session may still know it.
    pub(crate) fn receive_response(
        &mut self,
        now: Instant,
        response: Box<Response>,
    ) -> Result<Vec<Completion>, Box<Response>> {
        match self.clients.iter().position(|client| client.matches(&response)) {
            Some(index) => Ok(self.step_client(now, index, ClientInput::Response(response))),
            None => Err(response),
        }
    }

    /// `request` already carries its source in the Via ([`Request::stamp_source`]).
    pub(crate) fn receive_request(&mut self, now: Instant, request: Box<Request>) -> Received {
        let key = ServerKey::of(&request);
        let index = self
            .servers
            .iter()
            .position(|server| Some(&server.key) == key.as_ref());
        match (index, request.method == Method::Ack) {
            (Some(index), true) => match self.step_server(now, index, ServerInput::Ack(request)) {
                Some(ServerEvent::Ack(ack)) => Received::Ack(ack),
                Some(ServerEvent::NoAck(_)) | None => Received::Absorbed,
            },
            (Some(index), false) => {
                self.step_server(now, index, ServerInput::Retransmission);
                Received::Absorbed
            }
            (None, true) => Received::Ack(request),
            (None, false) => Received::New(request),
        }
    }

    /// Opens the server transaction of a new request. `None` when too many are under way or it has no Via.
    pub(crate) fn accept(&mut self, now: Instant, request: &Request, source: SocketAddr) -> Option<ServerId> {
        let ends = matches!(request.method, Method::Bye | Method::Cancel);
        let places = if ends {
            SERVERS_MAX
        } else {
            SERVERS_MAX - SERVERS_RESERVED
        };
        if self.servers.len() >= places {
            return None;
        }
        let key = ServerKey::of(request)?;
        let to = response_target(request, source, self.rules.reliability);
        let machine = if request.method == Method::Invite {
            ServerMachine::Invite(ServerInvite::start(now, request))
        } else {
            ServerMachine::NonInvite(ServerNonInvite::start(now, self.rules, request))
        };
        let id = ServerId(self.fresh_id());
        self.servers.reserve_exact(1);
        self.servers.push(Server { id, key, to, machine });
        Some(id)
    }

    /// Answers through the transaction; gives the octets and their destination, for a session that has to
    /// repeat a 2xx.
    pub(crate) fn respond(&mut self, now: Instant, id: ServerId, response: &Response) -> Option<Transmit> {
        let index = self.servers.iter().position(|server| server.id == id)?;
        let to = self.servers.get(index)?.to;
        let bytes = response.to_bytes();
        let input = ServerInput::Respond {
            status: response.status,
            bytes: bytes.clone(),
        };
        self.step_server(now, index, input);
        Some(Transmit { to, bytes })
    }

    /// Answers a request that deserves no transaction.
    pub(crate) fn respond_statelessly(&mut self, request: &Request, source: SocketAddr, response: &Response) {
        let to = response_target(request, source, self.rules.reliability);
        self.send(to, response.to_bytes());
    }

    /// The request repeats, acknowledges or cancels one that is here.
    #[must_use]
    pub(crate) fn knows(&self, request: &Request) -> bool {
        let keys = [ServerKey::of(request), ServerKey::of_cancelled_invite(request)];
        let is_cancel = request.method == Method::Cancel;
        self.servers.iter().any(|server| {
            Some(&server.key) == keys[0].as_ref() || (is_cancel && Some(&server.key) == keys[1].as_ref())
        })
    }

    /// The INVITE transaction that a CANCEL is about, while it has no final response.
    #[must_use]
    pub(crate) fn cancelled_invite(&self, cancel: &Request) -> Option<CancelledInvite> {
        let key = ServerKey::of_cancelled_invite(cancel)?;
        let server = self.servers.iter().find(|server| server.key == key)?;
        Some(match server.machine {
            ServerMachine::Invite(ServerInvite::Proceeding(_)) => CancelledInvite::Pending(server.id),
            ServerMachine::Invite(_) | ServerMachine::NonInvite(_) => CancelledInvite::Answered,
        })
    }

    /// Runs every deadline that has passed. Gives completions and the rejections that got no ACK.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> (Vec<Completion>, Vec<ServerId>) {
        let mut completions = Vec::new();
        for index in 0..self.clients.len() {
            completions.extend(self.step_client(now, index, ClientInput::Timeout));
        }
        let mut unacknowledged = Vec::new();
        for index in 0..self.servers.len() {
            if let Some(ServerEvent::NoAck(id)) = self.step_server(now, index, ServerInput::Timeout) {
                unacknowledged.push(id);
            }
        }
        self.sweep();
        (completions, unacknowledged)
    }

    /// The transport could not send to `to`; `None`: to anyone.
    pub(crate) fn handle_transport_error(&mut self, now: Instant) -> Vec<Completion> {
        let mut completions = Vec::new();
        for index in 0..self.clients.len() {
            completions.extend(self.step_client(now, index, ClientInput::TransportError));
        }
        self.sweep();
        completions
    }

    #[must_use]
    pub(crate) fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let clients = self
            .clients
            .iter()
            .filter_map(|client| client.machine.poll_timeout());
        let servers = self
            .servers
            .iter()
            .filter_map(|server| server.machine.poll_timeout());
        clients
            .chain(servers)
            .fold(None, |least, deadline| earliest(least, Some(deadline)))
    }

    pub(crate) fn take_transmits(&mut self) -> Vec<Transmit> {
        std::mem::take(&mut self.transmits)
    }

    /// A request of ours waits for its final response.
    #[must_use]
    pub(crate) fn has_open_request(&self) -> bool {
        self.clients.iter().any(|client| client.machine.is_open())
    }

    /// Every request of ours is answered, and none follows but for a late answer. A request that is no INVITE has nothing to
    /// do with what still comes for it, so it is forgotten before timer K.
    pub(crate) fn shed(&mut self) {
        self.clients.retain(Client::has_more_to_say);
        self.clients.iter_mut().for_each(Client::shed);
        self.clients.shrink_to_fit();
        self.servers.shrink_to_fit();
    }

    /// Forgets a client transaction: whatever still comes for it is a stray response.
    pub(crate) fn forget(&mut self, id: ClientId) {
        self.clients.retain(|client| client.id != id);
    }

    fn fresh_id(&mut self) -> u32 {
        self.next_id = self.next_id.wrapping_add(1);
        self.next_id
    }

    fn sweep(&mut self) {
        self.clients.retain(|client| !client.machine.is_terminated());
        self.servers.retain(|server| !server.machine.is_terminated());
    }

    fn step_client(&mut self, now: Instant, index: usize, input: ClientInput) -> Vec<Completion> {
        match self.clients.get_mut(index) {
            Some(client) => client.step(now, self.rules, input, &mut self.transmits),
            None => Vec::new(),
        }
    }

    fn step_server(&mut self, now: Instant, index: usize, input: ServerInput) -> Option<ServerEvent> {
        self.servers
            .get_mut(index)?
            .step(now, self.rules, input, &mut self.transmits)
    }
}

/// What a CANCEL met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CancelledInvite {
    Pending(ServerId),
    /// §9.2: a CANCEL after the final response has no effect.
    Answered,
}
