//! Server, simulated carrier and webhook receiver on the real wire of loopback.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where it stands when something is missing"
)]

mod wire {
    mod browser;
    mod callees;
    mod datagrams;
    #[allow(dead_code, reason = "its moods are for the crash tests")]
    mod hooks;
    mod house;
    mod line;
    mod requests;
    mod simulator;
    mod transports;
    mod wizard;
}
