//! Server, simulated carrier and webhook receiver on the real wire of loopback.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where it stands when something is missing"
)]

#[allow(dead_code, reason = "some of it is for the tests of the API")]
mod browser;
mod wire {
    mod callees;
    mod calls_back;
    mod capture;
    mod datagrams;
    mod failover;
    mod g722;
    mod hep;
    #[allow(dead_code, reason = "its moods are for the crash tests")]
    mod hooks;
    mod house;
    mod line;
    mod machines;
    mod overload;
    mod recorder;
    mod registrar;
    mod registration;
    mod requests;
    mod simulator;
    mod srtp;
    mod symmetric;
    mod trace;
    mod transports;
    mod trunk;
    mod wizard;
}
