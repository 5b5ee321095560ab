//! The nouns that the detector's files name.
#[path = "../../../src/model/codec.rs"]
mod codec;
#[path = "../../../src/model/digit.rs"]
mod digit;
#[path = "../../../src/model/outcome.rs"]
mod outcome;

pub use codec::Codec;
pub use digit::{Digit, Digits};
pub use outcome::UnknownWord;
