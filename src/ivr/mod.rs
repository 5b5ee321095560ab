//! The menu of one call: play, repeat, await a key, confirm, report fraud, give up. PURE room.
//!
//! - [`Script`]: keys, times, counts and sentences, as data of a profile.
//! - [`Menu`]: the machine. It speaks in phrase names ([`phrase`]) and hears single key presses; it knows
//!   nothing of SIP, RTP or recordings.
//!
//! Invariants:
//! - A key decides only after the call was answered and the sentence that names it was played in full.
//! - One menu gives at most one [`Verdict`], and after [`Output::Hangup`] nothing more.
//! - The code of `match_code` is never in a [`Line`]; that of `speak_code` only after its key was pressed.
//! - An answered menu ends by [`Script::answered_max`], whatever comes in or fails to.
//!
//! Not here: merging detectors (one physical press arrives once), reading recordings, committing a verdict.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod early;
mod history;
mod io;
mod match_code;
mod menu;
pub mod phrase;
mod press;
mod press_key;
mod progress;
mod random_key;
mod script;
mod speak_code;
mod talk;

pub use io::{DecidingKey, Input, Key, Line, Output, Verdict};
pub use menu::{Menu, MenuConfig, Task};
pub use script::{FraudKeys, Keys, Names, Script, ScriptError};

#[cfg(test)]
mod tests;
