//! The server's SIP port under fire: a sweep of header fields, mutations, strangers. Nothing may end it, make it grow, or
//! make it say more than it heard.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where it stands when something is missing"
)]

mod torture {
    mod attacks;
    mod dice;
    mod messages;
    mod replay;
    mod server;
}
