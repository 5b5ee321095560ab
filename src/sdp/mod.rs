//! Offer and answer (RFC 3264) of one G.711 or G.722 audio stream with telephone-event, over `sdp_types` (RFC 8866). PURE.
//!
//! - [`offer`] writes what we would like, also when a peer asks with an offerless INVITE.
//! - [`accept_answer`] reads the peer's SDP answer to it, in an 18x, a 2xx or an ACK.
//! - [`answer`] reads a peer's offer (re-INVITE, UPDATE, or the simulator as UAS) and writes the SDP answer.
//! - [`describe`] tells the audio lines of a body that is not for us.
//!
//! Keys of SRTP are in `crypto`: RTP/SAVP, and `a=crypto` in RTP/AVP where the trunk wants it so; otherwise it is ignored
//! there.
//!
//! What is not here: DTLS-SRTP, codecs of another RTP clock than 8000 Hz, and who may send an offer when (`sip::invite`).
//!
//! Invariants:
//! - A body over [`SDP_LEN_MAX`] octets or [`MEDIA_LINES_MAX`] m-lines is refused before anything is allocated for it.
//! - [`Negotiated::remote`] is never multicast and never port 0; an unspecified address (`c=0.0.0.0`) only ever comes
//!   with a direction that does not send.
//! - An answer has the m-lines of its offer, in order, all but one refused, and uses the offer's payload numbers.
//! - Over RTP/SAVP nothing is agreed without keys.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod crypto;
mod describe;
mod lines;
mod negotiate;
mod write;

#[cfg(test)]
mod crypto_tests;
#[cfg(test)]
mod rfc4317_vectors;
#[cfg(test)]
mod rules_tests;
#[cfg(test)]
mod vectors;

use std::net::{IpAddr, SocketAddr};

pub use crypto::{Sdes, Secured};
pub use describe::{AudioFormat, AudioLine, describe};

use crate::model::Codec;

/// Longest body that is read, octets.
pub const SDP_LEN_MAX: usize = 16 * 1024;
/// Most m-lines of one body.
pub const MEDIA_LINES_MAX: usize = 16;
/// Most payload types of one m-line.
pub const FORMATS_MAX: usize = 64;
/// Most attribute lines of one body.
pub const ATTRIBUTES_MAX: usize = 512;

/// Packet durations that a stream can send, milliseconds.
pub const PTIME_MS_ALLOWED: [u8; 5] = [10, 20, 30, 40, 60];
pub const PTIME_MS_DEFAULT: u8 = 20;
/// Payload type that we offer for telephone-event; nearly every peer uses the same.
pub const TELEPHONE_EVENT_PT: u8 = 101;

/// Our side of the media.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalMedia {
    /// Address that the peer shall send to.
    pub address: IpAddr,
    pub port: u16,
    /// In order of preference.
    pub codecs: Vec<Codec>,
    pub telephone_event: bool,
    pub ptime_ms: u8,
    /// `o=` session id; one per call.
    pub session_id: u64,
    /// `o=` version; the caller adds one for each body that differs ([`LocalMedia::next_version`]).
    pub version: u64,
    /// Offer `a=rtcp-mux`; only where the trunk says so. A mux that the peer offers is accepted in any case.
    pub rtcp_mux: bool,
    /// `None`: RTP/AVP, and no keys.
    pub srtp: Option<Sdes>,
}

impl LocalMedia {
    /// The same media without keys.
    #[must_use]
    pub fn plain(&self) -> Self {
        Self {
            srtp: None,
            ..self.clone()
        }
    }

    /// The same media for the next body of the session (RFC 3264 §8).
    #[must_use]
    pub fn next_version(&self) -> Self {
        Self {
            version: self.version.wrapping_add(1),
            ..self.clone()
        }
    }
}

/// Who sends, seen from us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl Direction {
    #[must_use]
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    #[must_use]
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    const fn of(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// The same direction as the other side names it.
    const fn seen_from_peer(self) -> Self {
        Self::of(self.receives(), self.sends())
    }

    const fn attribute(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }
}

/// What both sides agreed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiated {
    /// Where our packets go. Unspecified (`0.0.0.0`, `::`) on the old form of hold; then `direction` does not send.
    pub remote: SocketAddr,
    pub remote_rtcp: SocketAddr,
    pub codec: Codec,
    /// Number of `codec` in the packets we send (and, nearly always, receive).
    pub payload_type: u8,
    /// Number of telephone-event in the packets we send.
    pub telephone_event: Option<u8>,
    /// What we send per packet, milliseconds.
    pub ptime_ms: u8,
    /// Ours.
    pub direction: Direction,
    pub rtcp_mux: bool,
    /// `None`: RTP in the clear.
    pub secured: Option<Secured>,
}

/// Why a body gives no media.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    #[error("expected at most {SDP_LEN_MAX} octets of SDP, got {0}")]
    TooLong(usize),
    #[error("expected at most {max} {what} in SDP, got more")]
    TooMany { what: &'static str, max: usize },
    #[error("expected SDP, got {0}")]
    Malformed(String),
    #[error("expected an audio stream over {expected}, got {got}")]
    NoAudio { expected: &'static str, got: String },
    #[error("expected a=crypto with a key for one of {expected}, got {got}")]
    NoKey { expected: String, got: String },
    #[error("the peer refused the audio stream (port 0)")]
    Refused,
    #[error("expected a c= line with a unicast IP address, got {0}")]
    Address(String),
    #[error("expected one of {expected}, the peer has {got}")]
    NoCommonCodec { expected: String, got: String },
    #[error("expected {expected} m-lines as in the offer, got {got}")]
    MediaLines { expected: usize, got: usize },
}

impl SdpError {
    /// The codecs may fit, the keys do not: nothing but the clear is left.
    #[must_use]
    pub fn lacks_keys(&self) -> bool {
        matches!(
            self,
            Self::NoKey { .. }
                | Self::NoAudio {
                    expected: "RTP/SAVP",
                    ..
                }
        )
    }
}

/// Our offer.
#[must_use]
pub fn offer(local: &LocalMedia) -> Vec<u8> {
    write::offer(local)
}

/// Our offer within a session that has agreed before (an offerless re-INVITE): the same payload numbers.
#[must_use]
pub fn reoffer(local: &LocalMedia, agreed: &Negotiated) -> Vec<u8> {
    write::reoffer(local, agreed)
}

/// Reads the SDP answer to [`offer`].
pub fn accept_answer(local: &LocalMedia, answer: &[u8]) -> Result<Negotiated, SdpError> {
    negotiate::accept_answer(local, &lines::Description::parse(answer)?)
}

/// Whether all the audio of an offer is over a secure profile.
#[must_use]
pub fn wants_srtp(offer: &[u8]) -> bool {
    let Ok(offer) = lines::Description::parse(offer) else {
        return false;
    };
    let mut audio = offer
        .medias
        .iter()
        .filter_map(lines::MediaLine::transport)
        .peekable();
    audio.peek().is_some() && audio.all(|transport| transport == lines::Transport::Secure)
}

/// Reads a peer's offer and writes our answer to it.
pub fn answer(local: &LocalMedia, offer: &[u8]) -> Result<(Vec<u8>, Negotiated), SdpError> {
    let offer = lines::Description::parse(offer)?;
    let (chosen, negotiated) = negotiate::accept_offer(local, &offer)?;
    let body = write::answer(local, &offer, chosen, &negotiated);
    Ok((body, negotiated))
}
