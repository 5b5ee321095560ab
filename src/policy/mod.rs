//! Who may be called, how often, over which trunk.
//!
//! Does: refuse numbers (emergency, short, premium, shared-cost, satellite, country), count limits, choose a
//! trunk, pace it, decide whether a failed attempt goes to the next one.
//! Does not: count – `store` does, in the transaction of stop 1 – nor read a clock: `now` is an argument.
//!
//! Invariants:
//! - An emergency number or a short code is refused before any other rule, in every format.
//! - An empty country list allows no public number.
//! - A trunk never starts two calls closer together than `1 / cps`.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod quota;
mod refusal;

pub use quota::{NumberLimits, Quota, QuotaKind};
pub use refusal::{Limit, ProblemCode, Refusal};
