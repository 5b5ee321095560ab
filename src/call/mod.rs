//! One call: `sip::invite` + `sdp` + `ivr` + media commands and events → one outcome. PURE room.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod outcome;

pub use outcome::{
    Alerting, FLAG_CALL_BLOCKED, FLAG_UNWANTED, InboundAudio, NextTrunk, Ruling, of_response, of_silence,
    of_talk, of_transport_error,
};
