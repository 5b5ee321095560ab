//! One transaction of the table: its machine, and what identifies and addresses it.
use std::net::SocketAddr;
use std::time::Instant;

use super::client_invite::{ClientInvite, Rules};
use super::client_non_invite::ClientNonInvite;
use super::sent::Sent;
use super::server_invite::ServerInvite;
use super::server_non_invite::ServerNonInvite;
use super::table::{ClientId, Completion, Reply, ServerId, Transmit};
use super::via::ServerKey;
use super::{ClientInput, ClientOutput, ServerInput, ServerOutput};
use crate::sip::message::{Request, Response};

#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: ClientId,
    pub(super) branch: String,
    pub(super) request: Sent,
    pub(super) to: SocketAddr,
    pub(super) machine: ClientMachine,
}

#[derive(Debug)]
pub(super) enum ClientMachine {
    Invite(ClientInvite),
    NonInvite(ClientNonInvite),
}

#[derive(Debug)]
pub(super) struct Server {
    pub(super) id: ServerId,
    pub(super) key: ServerKey,
    pub(super) to: SocketAddr,
    pub(super) machine: ServerMachine,
}

#[derive(Debug)]
pub(super) enum ServerMachine {
    Invite(ServerInvite),
    NonInvite(ServerNonInvite),
}

/// What a server transaction tells the session.
pub(super) enum ServerEvent {
    Ack(Box<Request>),
    NoAck(ServerId),
}

impl Client {
    pub(super) fn step(
        &mut self,
        now: Instant,
        rules: Rules,
        input: ClientInput,
        transmits: &mut Vec<Transmit>,
    ) -> Vec<Completion> {
        let mut out = Vec::new();
        self.machine = match std::mem::replace(&mut self.machine, ClientMachine::TERMINATED) {
            ClientMachine::Invite(machine) => {
                ClientMachine::Invite(machine.handle(now, rules, input, &mut out))
            }
            ClientMachine::NonInvite(machine) => {
                ClientMachine::NonInvite(machine.handle(now, rules, input, &mut out))
            }
        };
        let mut completions = Vec::new();
        for output in out {
            let reply = match output {
                ClientOutput::Send(bytes) => {
                    transmits.push(Transmit { to: self.to, bytes });
                    continue;
                }
                ClientOutput::Response(response) => Reply::Response(response),
                ClientOutput::TimedOut => Reply::TimedOut,
                ClientOutput::TransportFailed => Reply::TransportFailed,
            };
            let Some(request) = self.request.request() else {
                continue;
            };
            completions.push(Completion {
                id: self.id,
                request,
                reply,
            });
        }
        completions
    }

    /// An open request, or an INVITE whose response may come again.
    pub(super) const fn has_more_to_say(&self) -> bool {
        match &self.machine {
            ClientMachine::Invite(_) => true,
            ClientMachine::NonInvite(machine) => !matches!(
                machine,
                ClientNonInvite::Completed { .. } | ClientNonInvite::Terminated
            ),
        }
    }

    /// An INVITE that has its final response is not sent again.
    pub(super) fn shed(&mut self) {
        if let ClientMachine::Invite(ClientInvite::Accepted { .. } | ClientInvite::Completed { .. }) =
            &mut self.machine
        {
            self.request.shed();
        }
        if let ClientMachine::Invite(ClientInvite::Completed { ack, .. }) = &mut self.machine {
            ack.shrink_to_fit();
        }
    }

    /// RFC 3261 §17.1.3 and §8.1.3.3, and the fields that a spoofer cannot know.
    pub(super) fn matches(&self, response: &Response) -> bool {
        let headers = &response.headers;
        let Ok(cseq) = headers.cseq() else {
            return false;
        };
        let branch_matches = match headers.vias() {
            Ok(vias) => matches!(vias.as_slice(), [via] if via.branch() == Some(self.branch.as_str())),
            Err(_) => false,
        };
        branch_matches
            && self.request.is_of(&cseq.method)
            && self
                .request
                .request()
                .is_some_and(|request| same_identity(&request, response))
    }
}

/// Same Call-ID, From tag and CSeq number; and the same To tag where the request had one.
#[must_use]
pub(crate) fn same_identity(request: &Request, response: &Response) -> bool {
    let (sent, got) = (&request.headers, &response.headers);
    let same = || {
        let call_id = sent.call_id().ok()? == got.call_id().ok()?;
        let seq = sent.cseq().ok()?.seq == got.cseq().ok()?.seq;
        let from = sent.from().ok()?.tag() == got.from().ok()?.tag();
        let to = match sent.to().ok()?.tag() {
            Some(tag) => got.to().ok()?.tag() == Some(tag),
            None => true,
        };
        Some(call_id && seq && from && to)
    };
    same().unwrap_or(false)
}

impl ClientMachine {
    const TERMINATED: Self = Self::NonInvite(ClientNonInvite::Terminated);

    pub(super) fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        match self {
            Self::Invite(machine) => machine.poll_timeout(),
            Self::NonInvite(machine) => machine.poll_timeout(),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        match self {
            Self::Invite(machine) => {
                matches!(
                    machine,
                    ClientInvite::Calling { .. } | ClientInvite::Proceeding { .. }
                )
            }
            Self::NonInvite(machine) => {
                matches!(
                    machine,
                    ClientNonInvite::Trying { .. } | ClientNonInvite::Proceeding { .. }
                )
            }
        }
    }

    pub(super) fn is_terminated(&self) -> bool {
        matches!(
            self,
            Self::Invite(ClientInvite::Terminated) | Self::NonInvite(ClientNonInvite::Terminated)
        )
    }
}

impl Server {
    pub(super) fn step(
        &mut self,
        now: Instant,
        rules: Rules,
        input: ServerInput,
        transmits: &mut Vec<Transmit>,
    ) -> Option<ServerEvent> {
        let mut out = Vec::new();
        self.machine = match std::mem::replace(&mut self.machine, ServerMachine::TERMINATED) {
            ServerMachine::Invite(machine) => {
                ServerMachine::Invite(machine.handle(now, rules, input, &mut out))
            }
            ServerMachine::NonInvite(machine) => {
                ServerMachine::NonInvite(machine.handle(now, rules, input, &mut out))
            }
        };
        let mut event = None;
        for output in out {
            match output {
                ServerOutput::Send(bytes) => transmits.push(Transmit { to: self.to, bytes }),
                ServerOutput::Ack(ack) => event = Some(ServerEvent::Ack(ack)),
                ServerOutput::NoAck | ServerOutput::TransportFailed => {
                    event = Some(ServerEvent::NoAck(self.id));
                }
            }
        }
        event
    }
}

impl ServerMachine {
    const TERMINATED: Self = Self::NonInvite(ServerNonInvite::Terminated);

    pub(super) fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        match self {
            Self::Invite(machine) => machine.poll_timeout(),
            Self::NonInvite(machine) => machine.poll_timeout(),
        }
    }

    pub(super) fn is_terminated(&self) -> bool {
        matches!(
            self,
            Self::Invite(ServerInvite::Terminated) | Self::NonInvite(ServerNonInvite::Terminated)
        )
    }
}
