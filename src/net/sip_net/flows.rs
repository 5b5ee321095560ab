//! By which flow the latest requests of a call came, so that each answer goes back the same way (RFC 3261 §18.2.2).
use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::net::sip_router::{Flow, Inbound};
use crate::sip::message::Message;
use crate::sip::transport::{is_response, top_branch};

/// Requests of one call that may be unanswered at once; an older one is answered where the call's own requests go.
const REQUESTS_MAX: usize = 16;

#[derive(Debug, Default)]
pub struct Flows(VecDeque<Seen>);

#[derive(Debug)]
struct Seen {
    branch: String,
    flow: Flow,
    local: SocketAddr,
}

impl Flows {
    /// Remembers a request; a response needs no answer.
    pub fn note(&mut self, inbound: &Inbound) {
        let Message::Request(request) = &inbound.message else {
            return;
        };
        let via = request.headers.top_via();
        let Some(branch) = via.as_ref().ok().and_then(|via| via.branch()) else {
            return;
        };
        self.0.retain(|seen| seen.branch != branch);
        if self.0.len() >= REQUESTS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(Seen {
            branch: branch.to_owned(),
            flow: inbound.flow.clone(),
            local: inbound.local,
        });
    }

    /// The flow and our address of the request that these octets answer; `None` for a request, or one not remembered.
    #[must_use]
    pub fn of(&self, octets: &[u8]) -> Option<(Flow, SocketAddr)> {
        let branch = top_branch(octets).filter(|_| is_response(octets))?;
        let seen = self.0.iter().rev().find(|seen| seen.branch == branch)?;
        Some((seen.flow.clone(), seen.local))
    }
}
