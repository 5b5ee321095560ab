//! The evaluation set of the in-band detector: seeded calls with keys that must be heard ([`set::CATEGORIES`]), sounds
//! that must not be ([`set::REFUSED`]), and how a detector is scored on them.
//!
//! Only `std`: the same files make the quick test of the package and the full comparison in `benches/dtmf`, which adds
//! speech codecs, other detectors and hours of speech and music. Standards: ITU-T Q.23, Q.24, G.711, E.180.
pub mod call;
pub mod dice;
pub mod line;
pub mod score;
pub mod set;
pub mod signal;
