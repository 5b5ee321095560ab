//! What the platform asked for, and each attempt to do it.
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use super::outcome::words;
use super::{
    AttemptId, Destination, Digit, Digits, Extension, Forwarded, HangupCause, Masked, Outcome, SrtpSuite,
    Stage, Status, UnixMillis, UnknownWord, VerificationId,
};

words!(
    /// How the person confirms.
    Method, "method" {
        PressKey = "press_key", RandomKey = "random_key", MatchCode = "match_code", SpeakCode = "speak_code",
    }
);

words!(
    /// What the confirmation is for; `transaction` needs a `message`.
    Purpose, "purpose" {
        Enroll = "enroll", SignIn = "sign_in", PasswordReset = "password_reset", Transaction = "transaction",
    }
);

words!(
    /// How a key reached us.
    KeyTransport, "transport" { Rfc4733 = "rfc4733", Inband = "inband", Info = "info" }
);

/// One request to confirm one number. Its terminal outcome never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    pub id: VerificationId,
    /// API key that asked; its scope limits who may read this.
    pub key_id: String,
    pub profile: String,
    pub to: Destination,
    pub extension: Option<Extension>,
    pub method: Method,
    /// `match_code`: the digits on the screen. `speak_code`: the digits to speak.
    pub code: Option<Masked<Digits>>,
    pub purpose: Purpose,
    /// BCP 47 tag as asked; the prompt catalogue falls back from it. `None`: the number's country chooses, then the
    /// profile.
    pub locale: Option<String>,
    pub brand: Option<String>,
    /// Opaque to us, ≤ 128 characters.
    pub client_ref: Option<String>,
    pub end_user_id: Option<String>,
    pub end_user_ip: Option<String>,
    pub callback_url: Option<String>,
    pub tags: BTreeMap<String, String>,
    /// `purpose: transaction`: the values that are spoken (`amount`, `payee`).
    pub message: BTreeMap<String, String>,
    pub caller_id: String,
    pub created_at: UnixMillis,
    pub expires_at: UnixMillis,
    pub stage: Stage,
    /// `None` while pending.
    pub outcome: Option<Outcome>,
    /// Grows by one with every change that a reader can see.
    pub sequence: u64,
    pub attempts: Vec<Attempt>,
}

impl Verification {
    #[must_use]
    pub fn status(&self) -> Status {
        self.outcome.map_or(Status::Pending, Outcome::status)
    }
}

/// One dialled INVITE, with all that is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    pub id: AttemptId,
    /// Counted from 1 within the verification.
    pub number: u32,
    pub trunk: String,
    /// Committed before the first octet leaves.
    pub call_id: Option<String>,
    pub node: Option<String>,
    pub stage: Stage,
    pub outcome: Option<Outcome>,
    pub created_at: UnixMillis,
    pub dialed_at: Option<UnixMillis>,
    pub ended_at: Option<UnixMillis>,
    pub report: AttemptReport,
}

/// Evidence of one attempt, as `Call` reports it.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct AttemptReport {
    pub cause: HangupCause,
    /// The key that decided, never a key of a code.
    pub key: Option<char>,
    pub key_transport: Option<KeyTransport>,
    /// From the end of the sentence that names the key to the press, milliseconds.
    pub key_delay_ms: Option<u32>,
    /// Duration of the deciding press, milliseconds.
    pub key_duration_ms: Option<u32>,
    /// `PCMU` or `PCMA`.
    pub codec: Option<String>,
    /// `None`: the audio went in the clear, or none was agreed.
    pub srtp: Option<SrtpSuite>,
    pub quality: QualityReport,
    /// Post-dial delay: INVITE to the first 18x, milliseconds.
    pub pdd_ms: Option<u32>,
    /// First 18x to the final answer, milliseconds.
    pub ring_ms: Option<u32>,
    /// 2xx to BYE, milliseconds.
    pub talk_ms: Option<u32>,
    /// Words that explain: `dtmf_mismatch`, `call_blocked`, `unwanted`, `forwarded`, `no_srtp_key`,
    /// `possible_double_ring`, `no_callee_audio`, `silent_callee`, `rtp_refused`, `rtp_not_received`, `rtp_source_learned`; heard
    /// besides keys: `beep`, `sit_tones`, `fax_tones`, `long_greeting`, `screening_robot`.
    pub flags: Vec<String>,
    /// Only beside `rtp_source_learned`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtp_source: Option<RtpSource>,
    pub forwarded: Option<Forwarded>,
    /// P-Asserted-Identity of the telephone that was reached, masked.
    pub answered_as: Option<String>,
    /// What was played, in order. Of the last report only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prompts: Vec<PlayedClip>,
}

/// RTP came from another address than SDP named, and the trunk lets that be learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RtpSource {
    /// As SDP has it.
    pub agreed: SocketAddr,
    pub seen: SocketAddr,
}

/// One recording as far as it has left.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct PlayedClip {
    /// `None`: it spoke a code, and its name would tell it.
    pub clip: Option<String>,
    /// SHA-256 of the whole recording as the codec of the call codes it, in hexadecimal digits. `None` beside no name,
    /// and where the codec changed while it may have played.
    pub sha256: Option<String>,
    pub played_ms: u32,
    pub of_ms: u32,
}

impl Eq for AttemptReport {}

impl AttemptReport {
    pub fn flag(&mut self, word: &str) {
        if !self.flags.iter().any(|f| f == word) {
            self.flags.push(word.to_owned());
        }
    }

    pub fn unflag(&mut self, word: &str) {
        self.flags.retain(|flag| flag != word);
    }

    pub fn pressed(&mut self, digit: Digit, transport: KeyTransport) {
        self.key = Some(digit.as_char());
        self.key_transport = Some(transport);
    }
}

/// What the media path measured.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct QualityReport {
    pub packets_sent: u64,
    pub packets_received: u64,
    /// Packets missing by sequence number (RFC 3550 A.3).
    pub packets_lost: u64,
    /// Interarrival jitter, milliseconds (RFC 3550 A.8).
    pub jitter_ms: Option<f32>,
    /// Mean opinion score by the E-model, 1.0–4.5.
    pub mos: Option<f32>,
    /// Packets of ours that the peer missed, as its last RTCP report says. `None`: it sent none about us.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_packets_lost: Option<u32>,
    /// Of our packets since its report before, 0–1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_fraction_lost: Option<f32>,
    /// Jitter of our stream where the peer hears it, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_jitter_ms: Option<f32>,
    /// Audio came after the answer, and every sample of it was digital silence.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub silent: bool,
}
