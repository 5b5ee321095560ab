//! Who may be called, how often, over which trunk.
//!
//! Does: refuse numbers (emergency, short, premium, shared-cost, satellite, country), make the limits that a
//! request is held against, choose a trunk, pace it, judge the health of its targets, decide whether a failed attempt
//! goes to the next one, and shed what the server cannot carry.
//! Does not: count – `store` does, in the transaction of stop 1 – nor read a clock: `now` is an argument.
//!
//! Invariants:
//! - An emergency number or a short code is refused before any other rule, in every format.
//! - An empty country list allows no public number.
//! - A trunk never starts two calls closer together than `1 / cps`.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod health;
mod overload;
mod pacer;
mod quota;
mod refusal;
mod rules;
mod trunk;

pub use health::{CallFailure, Change, Pinged, REST_MAX, TrunkHealth};
pub use overload::{Look, Overload, Room, Shed, Standing};
pub use pacer::Pacer;
pub use quota::{NumberLimits, Quota, QuotaKind};
pub use refusal::{Limit, ProblemCode, Refusal};
pub use rules::{CallerOf, Policy, PolicyError, PolicySettings};
pub use trunk::{
    ATTEMPTS_MAX, Attempts, CallNeed, Failover, Gate, Selection, TrunkBoard, TrunkRules, goes_to_next_trunk,
};
