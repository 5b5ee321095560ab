//! Digest authentication (RFC 3261 §22, RFC 7616, RFC 8760): challenges, the credentials that answer them, and the
//! server side for the simulator.
//!
//! Algorithms MD5, SHA-256, SHA-512-256 and their `-sess` forms; qop `auth`, `auth-int` and none (RFC 2069). Of
//! several challenges of one realm the strongest is answered; a proxy and a server that ask in one response both get
//! their answer. `nextnonce` is heeded. `userhash` and `charset` are ignored: names and passwords are hashed as UTF-8
//! and the name goes as it is, which every server must take (RFC 7616 §3.4.4).
//!
//! Invariants:
//! - A password leaves [`Credentials`] only into a hash.
//! - With a realm set in the credentials no other realm ever gets an answer.
//! - One request is answered at most twice (a proxy and a server, or one stale nonce), so that no peer can make us
//!   compute for ever; the same realm twice without `stale` means that the password is wrong.
use crate::model::Masked;

mod challenge;
mod client;
mod hash;
mod params;
mod server;

pub use challenge::{Challenge, Challenger};
pub use client::{CHALLENGES_MAX, DigestClient, DigestError, RequestChallenges};
pub use hash::{Algorithm, Hash, Qop};
pub use server::{Authorization, DigestServer, Verdict};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credentials {
    pub username: String,
    pub password: Masked<String>,
    /// Answer this realm only; any realm of the trunk's own target when `None`.
    pub realm: Option<String>,
}

#[cfg(test)]
mod session_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
