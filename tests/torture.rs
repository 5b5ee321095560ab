//! The server's SIP port under fire: a sweep of header fields, mutations, strangers. Nothing may end it, make it grow, or
//! make it say more than it heard.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where it stands when something is missing"
)]

#[allow(dead_code, reason = "shared with the wire tests, which use all of it")]
#[path = "wire/hooks.rs"]
mod hooks;
#[allow(dead_code, reason = "shared with the wire tests, which use all of it")]
#[path = "wire/line.rs"]
mod line;
#[path = "crash/served.rs"]
mod served;
#[allow(dead_code, reason = "shared with the crash tests, which use all of it")]
#[path = "crash/server.rs"]
mod town;

mod torture {
    mod attacks;
    mod dice;
    mod messages;
    mod peer;
    mod replay;
    mod server;
    mod spoofs;
    mod spray;
}
