//! The real server with trouble between it and the simulated carrier, in real time: a target that is down, silent,
//! answers 503 or resets, and a link that loses, doubles and reorders. Figures of SAFETY §2, printed as measured.
//!
//! CI plays a few calls of each, `RINGPROOF_LONG=1` plays 500 and 5,000.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where it stands when something is missing"
)]

#[allow(dead_code, reason = "shared with the wire tests, which use all of it")]
#[path = "wire/line.rs"]
mod line;

mod faults {
    mod broken;
    mod failover;
    mod link;
    mod lossy;
    mod platform;
    mod tally;
    mod town;
}
