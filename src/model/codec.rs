//! Audio codecs that SDP may agree on.

super::outcome::words!(
    /// G.711, 8 kHz, one octet a sample (RFC 3551 §4.5.14); G.722, 16 kHz, one octet for two (§4.5.2).
    Codec, "codec" { Pcmu = "PCMU", Pcma = "PCMA", G722 = "G722" }
);
use std::fmt;
use std::str::FromStr;

use super::UnknownWord;

impl Codec {
    /// Static payload type (RFC 3551 §6).
    #[must_use]
    pub const fn static_payload_type(self) -> u8 {
        match self {
            Self::Pcmu => 0,
            Self::Pcma => 8,
            Self::G722 => 9,
        }
    }

    /// RTP clock, Hz. That of G.722 is an error of RFC 1890 which everybody keeps: so each octet is one tick here too.
    #[must_use]
    pub const fn clock_rate(self) -> u32 {
        8000
    }
}
