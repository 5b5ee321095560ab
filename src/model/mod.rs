//! The nouns of the product. PURE: `std` and value types only.
//!
//! Invariants:
//! - A [`PhoneNumber`] is always canonical E.164; its `Debug` and `Display` are masked.
//! - An [`Outcome`] holds only a (status, reason) pair that the contract lists.
//! - Nothing here reads a clock or a global generator.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod cidr;
mod codec;
mod destination;
mod digit;
mod emergency;
mod entropy;
mod hangup;
mod ids;
mod masked;
mod outcome;
mod party;
mod phone_number;
mod phone_reading;
mod region;
mod screening;
mod srtp;
mod time;
mod verification;

pub use cidr::{Cidr, CidrError};
pub use codec::Codec;
pub use destination::{Destination, Extension, ExtensionError};
pub use digit::{Digit, DigitError, Digits};
pub use entropy::Entropy;
pub use hangup::{HangupCause, HungUpBy};
pub use ids::{AttemptId, EventId, IdError, VerificationId};
pub use masked::Masked;
pub use outcome::{Outcome, Reason, Stage, Status, UnknownWord};
pub use party::{Forwarded, ForwardedBy};
pub use phone_number::{LineType, NumberError, NumberValidation, PhoneNumber};
pub use region::Region;
pub use screening::ScreeningMode;
pub use srtp::{MASTER_KEY_LEN, MASTER_SALT_LEN_MAX, SrtpKey, SrtpKeys, SrtpPolicy, SrtpProfile, SrtpSuite};
pub use time::UnixMillis;
pub use verification::{
    Attempt, AttemptReport, KeyTransport, Method, PlayedClip, Purpose, QualityReport, RtpSource, Verification,
};
