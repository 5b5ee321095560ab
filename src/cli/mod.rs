//! Shell room.
pub mod dtmf;
pub mod prompts;
