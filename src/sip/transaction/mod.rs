//! The transaction layer of RFC 3261 §17: four machines, one file each, with RFC 6026 and RFC 4320.
//!
//! | machine | file |
//! |---|---|
//! | client INVITE | [`client_invite`] |
//! | client, any other request | [`client_non_invite`] |
//! | server INVITE | [`server_invite`] |
//! | server, any other request | [`server_non_invite`] |
//!
//! [`timer`] names the timers. `table` keeps the transactions of one call and matches messages to them; the
//! sessions above ([`crate::sip::invite`], [`crate::sip::uas`]) decide what to send and what to answer.
//!
//! Invariants:
//! - A machine takes itself by value and gives its next state: a half-changed state cannot exist.
//! - Deadlines live in the state that needs them; `poll_timeout` names the next one. A timeout that comes early
//!   changes nothing.
//! - A client machine hands up every response that matters once, a server machine every request once.
pub mod client_invite;
pub mod client_non_invite;
pub mod server_invite;
pub mod server_non_invite;
pub mod timer;

mod sent;
mod slot;
pub(crate) mod table;
mod via;

pub(crate) use slot::same_identity;
pub use via::{datagram_response_target, response_target};

#[cfg(test)]
mod tests;

use crate::sip::message::{Request, Response};

/// What happens to a client transaction.
#[derive(Debug, Clone)]
pub enum ClientInput {
    /// A response that matched by branch and CSeq method (RFC 3261 §17.1.3).
    Response(Box<Response>),
    Timeout,
    TransportError,
}

/// What a client transaction wants done.
#[derive(Debug, Clone)]
pub enum ClientOutput {
    /// Octets for the destination of the request.
    Send(Vec<u8>),
    /// To the session: a 1xx, a final response, a further 2xx.
    Response(Box<Response>),
    /// Timer B or F: no final response came.
    TimedOut,
    TransportFailed,
}

/// What happens to a server transaction.
#[derive(Debug, Clone)]
pub enum ServerInput {
    /// The request came again.
    Retransmission,
    /// An ACK with the branch of the INVITE, or the ACK of its 2xx.
    Ack(Box<Request>),
    /// The session answers.
    Respond {
        status: u16,
        bytes: Vec<u8>,
    },
    Timeout,
    TransportError,
}

/// What a server transaction wants done.
#[derive(Debug, Clone)]
pub enum ServerOutput {
    /// Octets for where the request came from.
    Send(Vec<u8>),
    /// To the session: the ACK of a 2xx.
    Ack(Box<Request>),
    /// Timer H: a 3xx–6xx was never acknowledged.
    NoAck,
    TransportFailed,
}
