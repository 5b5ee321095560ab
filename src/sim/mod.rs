//! The carrier and its callees in the box: "Mailpit for phone calls".
//!
//! A SIP server of its own on the real wire. The called number chooses the callee ([`Callee`], a list of [`Step`]s); every
//! call is recorded with its messages, the keys that were sent, RTP figures and what the callee heard. An HTTP API shows
//! the calls, waits for one, and scripts callees.
//!
//! It uses the UAS side of the same `sip`, `sdp` and `media` as the server, so it proves nothing about them alone; peers that
//! we did not write do that (`tests/interop`).
mod callee;
mod carrier;
mod ear;
mod http;
mod phone;
mod record;
mod registrar;
mod sound;

pub use callee::{AtFirst, Callee, CalleeError, Dtmf, PressBy, Rejection, Rtp, Step, defaults, scripted};
pub use carrier::{Chaos, SimConfig, SimError, Simulator};
pub use http::router;
pub use record::{Call, CallState, KeyRecord, MessageRecord};
pub use registrar::{Registered, RegistrarRules};
