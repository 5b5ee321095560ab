//! Tells of every SIP message that came or left: a fan-out to sinks, of which one is the text of `--trace-sip`.
//!
//! That text is for a person who looks at a trunk:
//! ```text
//! 2026-11-28T07:30:00.123Z sent udp 192.0.2.1:5060 -> 198.51.100.9:5060 812 octets
//! INVITE sip:+14•••••••23@carrier.example SIP/2.0
//! …
//!
//! ```
//! Who writes it out is a thread of its own behind a bounded queue: a terminal that stands still costs lines of the
//! trace, never a call. What is masked is decided by [`Message::masked`]; octets that are no SIP are never shown.
//!
//! Invariants:
//! - Without a sink it reads nothing, formats nothing and owns no thread.
//! - No control character of a peer reaches the terminal.
use std::cell::OnceCell;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::model::UnixMillis;
use crate::sip::message::{Message, ParseError};
use crate::sip::transaction::timer::Transport;

#[cfg(test)]
mod tests;

/// Messages that wait for the writer: some seconds of a busy trunk.
const WAITING_MAX: usize = 4096;

/// Which way a message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Sent,
    Received,
}

/// One message as it went over the wire.
#[derive(Debug)]
pub struct Traced<'a> {
    pub direction: Direction,
    pub transport: Transport,
    /// Our socket, which may be bound to all addresses.
    pub local: SocketAddr,
    pub peer: SocketAddr,
    /// On the wire.
    pub octets: &'a [u8],
    parsed: Option<&'a Result<Message, ParseError>>,
    /// What we sent is read only for a sink that asks.
    read: OnceCell<Result<Message, ParseError>>,
}

impl Traced<'_> {
    /// Or what was wrong with it.
    pub fn message(&self) -> &Result<Message, ParseError> {
        self.parsed
            .unwrap_or_else(|| self.read.get_or_init(|| Message::parse(self.octets)))
    }

    /// Of what we sent it is found without reading the rest: we write each name one way.
    pub fn call_id(&self) -> Option<&str> {
        if let Some(parsed) = self.parsed {
            return parsed.as_ref().ok()?.headers().call_id().ok();
        }
        let text = std::str::from_utf8(self.octets).ok()?;
        let head = text.split("\r\n\r\n").next()?;
        head.split("\r\n").find_map(|line| line.strip_prefix("Call-ID: "))
    }

    pub fn is_invite(&self) -> bool {
        self.octets.starts_with(b"INVITE ")
    }
}

/// Whoever is told of every message. It must not wait: a call stands behind it.
pub trait TraceSink: Send + Sync {
    fn take(&self, traced: &Traced<'_>);

    /// Waits until everything so far is out, at most `limit`. Blocks its thread.
    fn flush(&self, limit: Duration);
}

/// Handle of the trace for every transport; clones share it. [`SipTrace::off`] is the one that does nothing.
#[derive(Clone, Default)]
pub struct SipTrace(Option<Arc<[Arc<dyn TraceSink>]>>);

impl SipTrace {
    #[must_use]
    pub const fn off() -> Self {
        Self(None)
    }

    /// Writes to `writer` from a thread of its own, which ends with the last clone of this handle.
    pub fn to(writer: impl Write + Send + 'static) -> std::io::Result<Self> {
        Ok(Self::off().with(Arc::new(TextSink::to(writer)?)))
    }

    /// This trace with one more sink.
    #[must_use]
    pub fn with(&self, sink: Arc<dyn TraceSink>) -> Self {
        let sinks = self.0.iter().flat_map(|sinks| sinks.iter().cloned());
        Self(Some(sinks.chain([sink]).collect()))
    }

    /// One message that came, or what was wrong with it.
    pub fn received(
        &self,
        transport: Transport,
        source: SocketAddr,
        local: SocketAddr,
        octets: &[u8],
        message: &Result<Message, ParseError>,
    ) {
        self.tell(&Traced {
            direction: Direction::Received,
            transport,
            local,
            peer: source,
            octets,
            parsed: Some(message),
            read: OnceCell::new(),
        });
    }

    /// The octets of one message that left.
    pub fn sent(&self, transport: Transport, local: SocketAddr, to: SocketAddr, octets: &[u8]) {
        if self.0.is_none() {
            return;
        }
        self.tell(&Traced {
            direction: Direction::Sent,
            transport,
            local,
            peer: to,
            octets,
            parsed: None,
            read: OnceCell::new(),
        });
    }

    /// Waits until every sink has put out what it has, each at most `limit`: before the process ends. Blocks its thread.
    pub fn flush(&self, limit: Duration) {
        for sink in self.0.iter().flat_map(|sinks| sinks.iter()) {
            sink.flush(limit);
        }
    }

    fn tell(&self, traced: &Traced<'_>) {
        for sink in self.0.iter().flat_map(|sinks| sinks.iter()) {
            sink.take(traced);
        }
    }
}

impl std::fmt::Debug for SipTrace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() {
            "SipTrace(on)"
        } else {
            "SipTrace(off)"
        })
    }
}

/// The text for a person.
struct TextSink {
    queue: SyncSender<Entry>,
    /// Messages that found the queue full since the last one that did not.
    lost: AtomicU64,
}

enum Entry {
    Text(String),
    /// Answered when everything before it is written.
    Flush(SyncSender<()>),
}

impl TraceSink for TextSink {
    fn take(&self, traced: &Traced<'_>) {
        let text = match (traced.message(), traced.direction) {
            (Ok(message), _) => message.masked(),
            (Err(error), Direction::Received) => format!("[not SIP: {error}]\n"),
            (Err(_), Direction::Sent) => "[not shown: expected a whole SIP message]\n".to_owned(),
        };
        self.put(entry(traced, &text));
    }

    fn flush(&self, limit: Duration) {
        let (done, written) = sync_channel(1);
        if self.queue.try_send(Entry::Flush(done)).is_ok() {
            // Late or gone: there is nothing more to be done for it.
            let _ = written.recv_timeout(limit);
        }
    }
}

impl TextSink {
    fn to(writer: impl Write + Send + 'static) -> std::io::Result<Self> {
        let (queue, entries) = sync_channel(WAITING_MAX);
        std::thread::Builder::new()
            .name("sip-trace".to_owned())
            .spawn(move || write_out(writer, &entries))?;
        Ok(Self {
            queue,
            lost: AtomicU64::new(0),
        })
    }

    fn put(&self, text: String) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        let text = match lost {
            0 => text,
            lost => format!("[{lost} messages not shown: the output was too slow]\n\n{text}"),
        };
        // A closed pipe ends the writer; then nobody reads and nothing is lost.
        if let Err(TrySendError::Full(_)) = self.queue.try_send(Entry::Text(text)) {
            self.lost.fetch_add(lost + 1, Ordering::Relaxed);
        }
    }
}

fn entry(traced: &Traced<'_>, text: &str) -> String {
    let at = now().to_rfc3339();
    let transport = traced.transport.via_name().to_ascii_lowercase();
    let (local, peer, octets) = (traced.local, traced.peer, traced.octets.len());
    let (what, from, to) = match traced.direction {
        Direction::Sent => ("sent", local, peer),
        Direction::Received => ("received", peer, local),
    };
    let mut entry = format!("{at} {what} {transport} {from} -> {to} {octets} octets\n");
    // A stranger's header field may hold what a terminal takes for a command.
    entry.extend(text.chars().map(|c| match c {
        '\n' | '\t' => c,
        c if c.is_control() => '\u{fffd}',
        c => c,
    }));
    if !entry.ends_with('\n') {
        entry.push('\n');
    }
    entry.push('\n');
    entry
}

fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Ends with the last handle, or with the first error of the writer.
fn write_out(mut writer: impl Write, entries: &Receiver<Entry>) {
    while let Ok(entry) = entries.recv() {
        let written = match entry {
            Entry::Text(text) => writer.write_all(text.as_bytes()).and_then(|()| writer.flush()),
            Entry::Flush(done) => {
                let _ = done.try_send(());
                Ok(())
            }
        };
        if written.is_err() {
            return;
        }
    }
}
