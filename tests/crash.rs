//! The real server process, killed: what was promised before is kept after.
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
#[allow(dead_code, reason = "shared with the torture tests, which use all of it")]
#[path = "crash/served.rs"]
mod served;

mod crash {
    mod files;
    mod kill;
    mod reload;
    #[allow(dead_code, reason = "shared with the torture tests, which use all of it")]
    mod server;
    mod stop;
}
