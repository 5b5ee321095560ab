//! What one call to a callee looked like.
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;
use tokio::sync::watch;

use crate::media::codec;
use crate::model::{Codec, Digit, QualityReport, UnixMillis};
use crate::sip::message::Message;

/// Calls that are kept; older ones go.
const CALLS_MAX: usize = 1000;
/// Messages that are kept of one call.
const MESSAGES_MAX: usize = 256;
/// Received keys that are kept of one call.
const KEYS_MAX: usize = 256;
/// Audio that is kept of one call: three minutes.
const AUDIO_OCTETS_MAX: usize = 180 * 8000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    Ringing,
    Answered,
    Ended,
}

/// One SIP message as it passed.
#[derive(Debug, Clone, Serialize)]
pub struct MessageRecord {
    /// Milliseconds from the INVITE.
    pub at_ms: u64,
    /// `in` from the caller, `out` to it.
    pub direction: &'static str,
    /// `INVITE`, `200 OK (INVITE)`.
    pub summary: String,
    /// Whole text, without credentials.
    pub text: String,
}

/// Keys that the callee sent, or one that it received.
#[derive(Debug, Clone, Serialize)]
pub struct KeyRecord {
    pub at_ms: u64,
    pub digits: String,
    /// `rfc4733`, `inband` or `info`.
    pub transport: &'static str,
}

/// One call, as `GET /sim/calls/{id}` shows it.
#[derive(Debug, Clone, Serialize)]
pub struct Call {
    /// `sim_…`
    pub id: String,
    /// SIP Call-ID.
    pub call_id: String,
    pub number: String,
    /// User part of From.
    pub caller: String,
    pub about: String,
    pub state: CallState,
    pub started_at: String,
    pub messages: Vec<MessageRecord>,
    pub keys: Vec<KeyRecord>,
    /// Keys that came from the caller.
    pub keys_received: Vec<KeyRecord>,
    /// Sentences of our own prompts that the callee heard to the end.
    pub heard: Vec<String>,
    /// Milliseconds of audio that came.
    pub audio_ms: usize,
    /// What the callee's side measured.
    pub rtp: QualityReport,
}

/// A call that is going on or over.
#[derive(Debug)]
pub(super) struct Record {
    began: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    call: Call,
    law: Codec,
    audio: Vec<u8>,
}

/// All calls, newest last. A change wakes those who wait.
#[derive(Debug)]
pub(super) struct Records {
    calls: Mutex<VecDeque<Arc<Record>>>,
    changed: watch::Sender<u64>,
}

impl Default for Records {
    fn default() -> Self {
        Self {
            calls: Mutex::default(),
            changed: watch::Sender::new(0),
        }
    }
}

impl Records {
    pub(super) fn begin(
        &self,
        id: String,
        call_id: &str,
        number: &str,
        caller: &str,
        about: &str,
        at: UnixMillis,
    ) -> Arc<Record> {
        let call = Call {
            id,
            call_id: call_id.to_owned(),
            number: number.to_owned(),
            caller: caller.to_owned(),
            about: about.to_owned(),
            state: CallState::Ringing,
            started_at: at.to_rfc3339(),
            messages: Vec::new(),
            keys: Vec::new(),
            keys_received: Vec::new(),
            heard: Vec::new(),
            audio_ms: 0,
            rtp: QualityReport::default(),
        };
        let inner = Mutex::new(Inner {
            call,
            law: Codec::Pcmu,
            audio: Vec::new(),
        });
        let record = Arc::new(Record {
            began: Instant::now(),
            inner,
        });
        let mut calls = lock(&self.calls);
        if calls.len() >= CALLS_MAX {
            calls.pop_front();
        }
        calls.push_back(Arc::clone(&record));
        drop(calls);
        self.touch();
        record
    }

    /// Says that some call has changed.
    pub(super) fn touch(&self) {
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Newest first.
    pub(super) fn list(&self) -> Vec<Call> {
        lock(&self.calls).iter().rev().map(|r| r.call()).collect()
    }

    /// By id, or by SIP Call-ID.
    pub(super) fn find(&self, id: &str) -> Option<Arc<Record>> {
        lock(&self.calls).iter().find(|r| r.is(id)).map(Arc::clone)
    }

    pub(super) fn clear(&self) {
        lock(&self.calls).clear();
        self.touch();
    }
}

impl Record {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    fn is(&self, id: &str) -> bool {
        let inner = self.inner();
        inner.call.id == id || inner.call.call_id == id
    }

    fn at_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn call(&self) -> Call {
        self.inner().call.clone()
    }

    pub(super) fn state(&self, state: CallState) {
        let mut inner = self.inner();
        inner.call.state = inner.call.state.max(state);
    }

    pub(super) fn message(&self, direction: &'static str, message: &Message) {
        let at_ms = self.at_ms();
        let (summary, text) = (summary(message), text(message));
        let mut inner = self.inner();
        if inner.call.messages.len() < MESSAGES_MAX {
            inner.call.messages.push(MessageRecord {
                at_ms,
                direction,
                summary,
                text,
            });
        }
    }

    pub(super) fn keys(&self, digits: &str, transport: &'static str) {
        let record = self.key(digits.to_owned(), transport);
        self.inner().call.keys.push(record);
    }

    pub(super) fn key_received(&self, digit: Digit, transport: &'static str) {
        let record = self.key(digit.to_string(), transport);
        let mut inner = self.inner();
        if inner.call.keys_received.len() < KEYS_MAX {
            inner.call.keys_received.push(record);
        }
    }

    fn key(&self, digits: String, transport: &'static str) -> KeyRecord {
        KeyRecord {
            at_ms: self.at_ms(),
            digits,
            transport,
        }
    }

    pub(super) fn audio(&self, law: Codec, octets: &[u8], heard: Vec<String>) {
        let mut inner = self.inner();
        inner.law = law;
        let room = AUDIO_OCTETS_MAX.saturating_sub(inner.audio.len());
        inner.audio.extend_from_slice(&octets[..octets.len().min(room)]);
        inner.call.audio_ms = inner.audio.len() / 8;
        inner.call.heard = heard;
    }

    pub(super) fn quality(&self, quality: QualityReport) {
        self.inner().call.rtp = quality;
    }

    /// What the callee heard: 16-bit mono at 8 kHz as WAV.
    pub(super) fn wav(&self) -> Result<Vec<u8>, crate::prompt::WavError> {
        let inner = self.inner();
        let mut pcm = vec![0; inner.audio.len()];
        let count = codec::decode(inner.law, &inner.audio, &mut pcm);
        crate::prompt::write_master(&pcm[..count], 8000)
    }
}

fn summary(message: &Message) -> String {
    match message {
        Message::Request(request) => request.method.as_str().to_owned(),
        Message::Response(response) => {
            let of = response
                .headers
                .cseq()
                .map(|c| c.method.as_str().to_owned())
                .unwrap_or_default();
            format!("{} {} ({of})", response.status, response.reason)
        }
    }
}

/// The message as sent, without what a credential is made of.
fn text(message: &Message) -> String {
    let bytes = message.to_bytes();
    let text = String::from_utf8_lossy(&bytes);
    let shown: Vec<&str> = text
        .lines()
        .map(|line| match line.split_once(':') {
            Some((name @ ("Authorization" | "Proxy-Authorization"), _)) => name,
            _ => line,
        })
        .collect();
    shown.join("\n")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
