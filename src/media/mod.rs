//! One call's audio as values: RTP and RTCP on the wire, G.711 and G.722, ready-made frames, telephone-event and
//! in-band DTMF, one report per physical press, what answered besides keys, quality figures. PURE: no socket, no
//! clock, no task, no thread.
//!
//! What is not here: sockets and the timing wheel (`net::media_engine`), WAV files (`prompt`), SDP (`sdp`).
//!
//! Three clocks, kept apart: *now* (`Instant`, an argument), *media time* (RTP timestamp, 8000 per second for every
//! codec here) and *wallclock* (never seen in this room; RTCP takes it as an argument).
//!
//! Invariants:
//! - Octets from the network become a value or a typed reject; nothing here panics on them.
//! - One physical press gives exactly one [`press::PressEvent::Pressed`], whatever transports carried it.
//! - The path of a packet allocates nothing.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod codec;
pub mod frame;
pub mod inband;
pub mod keys;
pub mod learn;
pub mod press;
pub mod quality;
pub mod rtcp;
pub mod rtp;
pub mod screening;
pub mod srtp;
pub mod telephone_event;
pub mod tone;

pub mod command;
pub mod playout;
pub mod stream;
pub mod voice;
