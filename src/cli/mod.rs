//! Shell room.
pub mod prompts;
