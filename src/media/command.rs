//! What signalling asks of one call's media leg, and what the leg reports back.
//!
//! Signalling is rare and media is constant, so they meet only in these two enums, over bounded queues.
//! Nothing here is sent per packet.
use std::net::SocketAddr;
use std::sync::Arc;

use super::frame::Clip;
pub use super::press::{DtmfMode, InfoKey, Press};
pub use super::screening::{Screening, Sign};
pub use super::stream::{Tape, TapeRules};
use crate::model::{Codec, Digit, Digits, KeyTransport, QualityReport, SrtpKeys};

/// One media stream as offer and answer agreed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamConfig {
    /// Where RTP goes and the only address that it may come from, unless another one is learnt.
    pub remote: SocketAddr,
    /// A peer that first sends from another address than `remote` is followed there ([`Learning`](super::learn::Learning)).
    pub learn: bool,
    /// Where RTCP goes; `None` sends none. Equal to `remote` for RTP/RTCP multiplexing (RFC 5761).
    pub remote_rtcp: Option<SocketAddr>,
    pub codec: Codec,
    /// The payload type of `codec` in both directions.
    pub payload_type: u8,
    /// The payload type of telephone-event; `None` when the peer refused it.
    pub telephone_event: Option<u8>,
    /// Audio per sent packet: 10, 20, 30, 40, 50 or 60 ms. Anything else is sent as 20.
    pub ptime_ms: u8,
    /// False while the peer holds us (`a=sendonly`, `a=inactive`): the prompt waits where it is.
    pub send: bool,
    /// False when the agreed direction forbids the peer to send: its packets are counted and dropped.
    pub receive: bool,
    pub dtmf: DtmfMode,
    /// Keep what the peer says, up to [`Recording::OCTETS_MAX`]. The simulator's callees listen so; a real
    /// call never does.
    pub collect_audio: bool,
    /// `None`: RTP and RTCP in the clear.
    pub srtp: Option<Box<SrtpKeys>>,
    /// Keep the packets for the flight recorder, and which parts of them. Only of a `Start`.
    pub tape: Option<TapeRules>,
}

/// How keys are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keying {
    /// `None`: telephone-event if it was agreed, else tones in the audio. `Inband` forces tones.
    /// [`KeyTransport::Info`] belongs to signalling and is sent as `None` is.
    pub transport: Option<KeyTransport>,
    /// Length of one key, rounded up to whole packets; at most 8 s.
    pub tone_ms: u16,
    /// Silence after each key, rounded up to whole packets.
    pub gap_ms: u16,
    /// Whether the first packet of an event carries the marker, as RFC 4733 §2.5.1.2 asks. Only the simulator
    /// plays a gateway that forgets it.
    pub marker: bool,
}

impl Keying {
    /// A telephone-event counts its length in 16 bits of 8 kHz.
    pub const TONE_MS_MAX: u16 = 8000;
}

impl Default for Keying {
    /// Long enough for every receiver (ITU-T Q.24 asks for 40 ms; many PBX for 80).
    fn default() -> Self {
        Self {
            transport: None,
            tone_ms: 100,
            gap_ms: 100,
            marker: true,
        }
    }
}

/// Damage done to our own outgoing RTP, in packets per thousand. Only the simulator asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Impairment {
    pub drop_per_mille: u16,
    pub duplicate_per_mille: u16,
    /// The packet leaves after the one that follows it.
    pub reorder_per_mille: u16,
}

/// From signalling to the leg.
#[derive(Debug, Clone)]
pub enum MediaCommand {
    /// Media is agreed: connect to the peer and begin.
    Start(StreamConfig),
    /// A later answer, or the peer's new offer, changed it. Sequence numbers, timestamps and the prompt go on.
    Update(StreamConfig),
    /// The call was answered: what comes from now on is the callee's, and [`MediaEvent::Heard`] tells it.
    Answered,
    /// Listens for more than keys from now on, afresh, and tells it by [`MediaEvent::Screened`]. The prompt waits for none
    /// of it.
    Screen,
    /// Plays the clips one after another, at once, in place of whatever plays; `id` comes back in the events.
    Play {
        id: u32,
        clips: Vec<Arc<Clip>>,
        /// They speak a code: no record of the call may hold them.
        private: bool,
    },
    /// Ends the prompt, and digits not yet sent; silence goes on. Gives [`MediaEvent::PlayStopped`] and no
    /// [`MediaEvent::PlayDone`].
    Stop,
    /// Sends keys, for an extension. A prompt that plays waits meanwhile, and so do more keys.
    SendDigits { digits: Digits, keying: Keying },
    /// A key in a SIP INFO: merged with what the media brought, so that one press is reported once.
    Info(InfoKey),
    /// Simulator only.
    Impair(Impairment),
    /// Asks for [`MediaEvent::Quality`] now.
    ReportQuality,
    /// Asks for [`MediaEvent::Audio`] now and begins a new recording. Needs `collect_audio`.
    TakeAudio,
    /// Ends the leg: the last events are `Audio` (if collected), `Tape` (if kept) and `Quality`, then the event channel closes.
    Close,
}

/// From the leg to signalling.
#[derive(Debug, Clone, PartialEq)]
pub enum MediaEvent {
    /// The first valid RTP packet of the peer has come.
    FirstPacket,
    /// The first valid RTP packet since [`MediaCommand::Answered`] has come. Early media says nothing about it.
    Heard,
    /// The last packet of clip `index` of `Play { id }` has left.
    ClipDone {
        id: u32,
        index: usize,
    },
    /// The last packet of the last clip has left. An empty `Play` is done at once.
    PlayDone {
        id: u32,
    },
    /// `Play { id }` was ended before its end, by `Stop`, `Close` or another `Play`: of clip `index` so much has left.
    PlayStopped {
        id: u32,
        index: usize,
        played_ms: u32,
    },
    /// One physical press, reported as soon as it is certain; its length may still be unknown.
    Press(Press),
    /// The press reported before has ended.
    PressEnded {
        digit: Digit,
        transport: KeyTransport,
        duration_ms: u32,
    },
    /// Said once: events come on a payload type that was not agreed, and are accepted.
    UnnegotiatedEvents {
        payload_type: u8,
    },
    /// RTP comes from `source`, and from now on only from there, where SDP named `agreed`. Only where `learn` asks for it.
    SourceLearnt {
        agreed: SocketAddr,
        source: SocketAddr,
    },
    /// What [`MediaCommand::Screen`] found: certain once at most, a guess whenever it changes.
    Screened(Screening),
    /// All keys of `SendDigits` have left.
    DigitsSent,
    Quality(QualityReport),
    /// What the peer said, in answer to `TakeAudio` and at the end.
    Audio(Box<Recording>),
    /// The packets of the leg, at its end, where `tape` asked for them.
    Tape(Box<Tape>),
    /// The command could not be obeyed.
    Refused(MediaRefusal),
    /// The peer's host answered with an ICMP error. Said once per `Start` or `Update`; it never ends a call.
    Unreachable,
}

/// Why a command could not be obeyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MediaRefusal {
    #[error("expected Start first, got {0} on a leg without agreed media")]
    NotStarted(&'static str),
    #[error("expected at most {0} groups of keys to wait, got one more")]
    TooManyKeys(usize),
    #[error("expected an address that this leg's socket can reach, connect failed: {0}")]
    NoRoute(std::io::ErrorKind),
}

/// The peer's audio as it came: octets of the agreed codec in media time, a missing packet as silence.
#[derive(Clone, PartialEq, Eq)]
pub struct Recording {
    pub codec: Codec,
    pub octets: Vec<u8>,
    /// Octets that came from packets, the rest of `octets` is filled in.
    pub received: usize,
}

impl Recording {
    /// Three minutes.
    pub const OCTETS_MAX: usize = 180 * 8000;
}

impl std::fmt::Debug for Recording {
    /// Without the audio: it is personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recording")
            .field("codec", &self.codec)
            .field("octets", &self.octets.len())
            .field("received", &self.received)
            .finish()
    }
}
