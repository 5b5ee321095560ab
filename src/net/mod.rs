//! Shell: the sockets. SIP over UDP, TCP and TLS and its trace, DNS, and the media threads.
//!
//! Moves octets between the network and the pure rooms `sip` and `media`; decides nothing about a call.
//!
//! Invariants:
//! - Every queue is bounded and its overflow counted.
//! - Nothing that a peer sends ends a task, a thread or the process.
//! - A stranger gets no answer from this room (the one exception is a peer that the caller vouches for).
pub mod mailbox;
pub mod media_engine;
pub mod resolver;
pub mod sip_net;
mod sip_router;
pub mod sip_stream;
pub mod sip_tls;
pub mod sip_trace;
pub mod sip_udp;
