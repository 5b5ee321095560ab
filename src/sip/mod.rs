//! SIP signalling (RFC 3261): messages as values, and the machines of a User Agent. PURE.
//!
//! | module | owns |
//! |---|---|
//! | [`wire`] | octets → start line, header fields, body: framing, limits, folding, compact names |
//! | [`uri`] | `sip:`, `sips:` and `tel:` URIs, parameters, comparison |
//! | [`message`] | requests, responses and their header fields; **the only file that names `rsip`** |
//! | [`digest`] | challenges and credentials (RFC 7616, 8760), client and server side |
//! | [`transaction`] | the four machines of §17 and their timers |
//! | [`transport`] | the way to a server: transport, address, name |
//! | [`dialog`] | tags, CSeq, route set, remote target: requests made and checked |
//! | [`invite`] | our INVITE session as UAC |
//! | [`registration`] | our binding at a registrar, kept alive |
//! | [`uas`] | the INVITE session of the side that answers, for the simulator |
//! | [`out_of_call`] | stateless answers to what belongs to no call |
//! | [`locate`] | RFC 3263: a URI and the records of its name → destinations in order |
//! | [`ping`] | one OPTIONS, to learn whether a target lives |
//! | [`peer`] | address ranges of peers |
//!
//! Invariants:
//! - No socket, clock, task or global randomness: time and entropy are arguments.
//! - Nothing a peer sends panics or grows without a bound; see the limits in [`wire`].
//! - `Debug` never shows a whole telephone number or credentials.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

// Messages: from octets to values and back.
pub mod digest;
pub mod message;
pub mod uri;
pub mod wire;

// Machines: transactions, dialogs, sessions.
pub mod dialog;
pub mod invite;
pub mod locate;
pub mod out_of_call;
pub mod peer;
pub mod ping;
pub mod registration;
pub mod transaction;
pub mod transport;
pub mod uas;

mod cause;
mod endpoint;
mod usage;

#[cfg(test)]
mod simulation;

/// Where virtual time begins.
#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test has no other way to an `Instant`; all later ones follow from it"
)]
fn epoch() -> std::time::Instant {
    std::time::Instant::now()
}
