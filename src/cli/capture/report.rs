//! What a capture holds, as a program reads it (`--json`) and as the ladder shows it.
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

/// The whole capture.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    /// Packets read.
    pub(super) packets: u64,
    pub(super) calls: Vec<Call>,
    /// SIP that belongs to no call, by method: REGISTER, OPTIONS, …
    pub(super) exchanges: Vec<Exchange>,
    /// RTP that no SDP of a call announces.
    pub(super) streams: Vec<Stream>,
    /// Packets without a datagram or segment that can be read, by reason.
    pub(super) left_out: Vec<LeftOut>,
    /// What begins as SIP and is none.
    pub(super) malformed: Vec<Malformed>,
    /// Why the file could not be read to its end.
    pub(super) damage: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct LeftOut {
    pub(super) reason: &'static str,
    pub(super) count: u64,
    pub(super) first_packet: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Malformed {
    pub(super) packet: u64,
    pub(super) error: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Exchange {
    pub(super) method: String,
    pub(super) requests: u64,
}

/// One Call-ID with an INVITE.
#[derive(Debug, Default, Serialize)]
pub(super) struct Call {
    pub(super) call_id: String,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) started_at: String,
    /// In words.
    pub(super) outcome: String,
    /// Who takes part, in the order of their first packet.
    pub(super) hosts: Vec<SocketAddr>,
    pub(super) messages: Vec<Message>,
    pub(super) streams: Vec<Stream>,
    pub(super) keys: Vec<Key>,
    /// What an engineer would say about the media.
    pub(super) notes: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Message {
    pub(super) packet: u64,
    /// From the first message of the call.
    pub(super) at_ms: f64,
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) transport: &'static str,
    /// `INVITE`, `200 OK (INVITE)`.
    pub(super) summary: String,
    pub(super) method: String,
    pub(super) status: Option<u16>,
    /// Passed before, octet for octet.
    pub(super) again: bool,
    pub(super) sdp: Vec<Audio>,
}

/// One audio line of an SDP.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Audio {
    pub(super) address: Option<IpAddr>,
    pub(super) port: u16,
    /// `PCMU/0`, in the order of the line.
    pub(super) codecs: Vec<String>,
    pub(super) telephone_event: Option<u8>,
    pub(super) ptime_ms: Option<u8>,
    pub(super) direction: &'static str,
    pub(super) encrypted: bool,
}

/// One RTP stream, as the receiver may have seen it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Stream {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    /// Eight hexadecimal digits.
    pub(super) ssrc: String,
    /// What most of its packets are.
    pub(super) codec: String,
    /// From the first message of the call, else from the first packet of the capture.
    pub(super) first_ms: f64,
    pub(super) last_ms: f64,
    pub(super) packets: u64,
    pub(super) lost: u64,
    pub(super) loss_percent: f64,
    /// Of the RTP timestamps against the arrival (RFC 3550 §A.8): mean and largest over the stream, and the last value.
    pub(super) jitter_mean_ms: f64,
    pub(super) jitter_max_ms: f64,
    pub(super) jitter_last_ms: f64,
    /// By the E-model; none where the codec is not G.711.
    pub(super) mos: Option<f64>,
    pub(super) sound: Sound,
    /// Packets of telephone-event.
    pub(super) event_packets: u64,
    pub(super) rtcp_packets: u64,
}

/// What was in the audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Sound {
    /// Louder than digital silence at some moment.
    Heard,
    /// Audio packets, and not one sample louder than digital silence.
    Silence,
    /// Encrypted, of a codec that is not decoded, or no audio at all.
    Unknown,
}

/// One press.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Key {
    pub(super) at_ms: f64,
    pub(super) digit: char,
    /// `rfc4733`, `inband` or `info`.
    pub(super) transport: &'static str,
    pub(super) duration_ms: Option<u32>,
    /// telephone-event was agreed, and the key came as tones.
    pub(super) mismatch: bool,
    /// Where the media comes from, of INFO the message.
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
}

/// The words of others, printable and short: they go to a terminal.
pub(super) fn shown(text: &str) -> String {
    const LEN_MAX: usize = 120;
    let printable = text.chars().map(|c| if c.is_control() { '.' } else { c });
    printable.take(LEN_MAX).collect()
}
