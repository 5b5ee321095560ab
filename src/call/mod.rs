//! One call: `sip::invite` + `sdp` + `ivr` + media commands and events → one outcome. PURE room, and the only one
//! that joins the others.
//!
//! The shell drives a [`Call`] so: give one [`Input`] with the time, take every [`Output`] until there is none,
//! wait for the next input or for the deadline of [`Call::poll_timeout`], which comes back as [`Input::Timeout`].
//!
//! Invariants:
//! - Every call gives [`Output::Decided`] exactly once, later [`Output::Finished`] exactly once, with the same
//!   outcome, and both within a bound that the timings fix.
//! - No key counts before the 2xx; nothing is said after a verdict until [`Input::Committed`].
//! - The last media command is `Close`, given exactly once, before the BYE.
//! - A press that the media reported before its `Close` took effect is judged before the peer's BYE is.
//!
//! Not here: sockets, transactions and dialogs (`sip`), recordings (`prompt`), what is tried next (`policy`).
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod announcement;
mod desk;
mod dialing;
mod ending;
mod io;
mod keys;
mod leg;
mod lingering;
mod machine;
mod outcome;
mod played;
mod spec;
mod talking;

#[cfg(test)]
mod tests;

pub use announcement::{
    Announcement, AnnouncementEnd, AnnouncementInput, AnnouncementOutput, AnnouncementSpec,
};
pub use io::{Input, Output};
pub use machine::Call;
pub use outcome::{
    Alerting, FLAG_CALL_BLOCKED, FLAG_NO_CALLEE_AUDIO, FLAG_RTP_NOT_RECEIVED, FLAG_RTP_REFUSED,
    FLAG_RTP_SOURCE_LEARNED, FLAG_SILENT_CALLEE, FLAG_UNWANTED, InboundAudio, NextTrunk, Ruling, asked_once,
    of_response, of_silence, of_talk, of_transport_error,
};
pub use spec::{CallSpec, CallTimings, SpecError};
