//! The detector, from the product's own files.
#[path = "../../../src/media/codec/mod.rs"]
pub mod codec;
#[path = "../../../src/media/inband/mod.rs"]
pub mod inband;
#[path = "../../../src/media/tone.rs"]
pub mod tone;
