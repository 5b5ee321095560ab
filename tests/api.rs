//! The HTTP side as its users meet it: a real server on loopback over a real store in a temporary file. Calls are
//! played by a fake dialer that drives the store through the stages.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where it stands when something is missing"
)]

mod browser;
mod api {
    mod bad_requests;
    mod dialer;
    mod harness;
    mod keys;
    mod openapi;
    mod refusals;
    mod sink;
    mod verifications;
    mod webhooks;
    mod wizard;
}
