//! The real server process, killed: what was promised before is kept after.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where it stands when something is missing"
)]

#[path = "wire/hooks.rs"]
mod hooks;
#[path = "wire/line.rs"]
mod line;

mod crash {
    mod kill;
    mod server;
    mod stop;
}
