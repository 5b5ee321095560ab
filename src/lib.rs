//! Ringproof places confirmation calls: it dials a number over the operator's own SIP trunk, plays
//! recorded prompts over RTP, hears the person press `#`, commits the outcome and reports it.
//!
//! # Layout
//!
//! An import goes to a lower floor only (`tests/architecture.rs` enforces it).
//!
//! | floor | rooms |
//! |---|---|
//! | 0 | [`model`]: the nouns |
//! | 1 | [`config`], and the PURE rooms [`policy`], [`sip`], [`sdp`], [`media`], [`ivr`] |
//! | 2 | [`call`] (PURE: one call is one machine), and the shells [`store`], [`net`], [`prompt`], [`telemetry`] |
//! | 3 | [`api`], [`web`], [`dialer`], [`webhook`], [`sim`]: they meet only in [`store`] |
//! | 5 | [`app`]: builds each part once, starts the loops, drains on shutdown |
//! | 6 | [`cli`] |
//!
//! PURE rooms have no sockets, clock, tasks, threads or global randomness: time comes in as an argument,
//! deadlines go out as a value with a reason, entropy comes from [`model::Entropy`].

pub mod api;
pub mod app;
pub mod call;
pub mod cli;
pub mod config;
pub mod dialer;
pub mod ivr;
pub mod media;
pub mod model;
pub mod net;
pub mod policy;
pub mod prompt;
pub mod sdp;
pub mod sim;
pub mod sip;
pub mod store;
pub mod telemetry;
pub mod web;
pub mod webhook;
