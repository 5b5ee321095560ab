//! SIP signalling (RFC 3261): messages as values, and the machines of a User Agent. PURE.
//!
//! | module | owns |
//! |---|---|
//! | [`wire`] | octets → start line, header fields, body: framing, limits, folding, compact names |
//! | [`uri`] | `sip:`, `sips:` and `tel:` URIs, parameters, comparison |
//! | [`message`] | requests, responses and their header fields; **the only file that names `rsip`** |
//! | [`digest`] | challenges and credentials (RFC 7616, 8760), client and server side |
//!
//! Invariants:
//! - No socket, clock, task or global randomness: time and entropy are arguments.
//! - Nothing a peer sends panics or grows without a bound; see the limits in [`wire`].
//! - `Debug` never shows a whole telephone number or credentials.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

// Messages: from octets to values and back.
pub mod message;
pub mod uri;
pub mod wire;

// Machines: transactions, dialogs, sessions.
