//! What `--trace-sip` prints: every SIP message that came or left, masked, for a person who looks at a trunk.
//!
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
//! - Switched off it reads nothing, formats nothing and owns no thread.
//! - No control character of a peer reaches the terminal.
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

/// Handle of the trace for every transport; clones share it. [`SipTrace::off`] is the one that does nothing.
#[derive(Clone, Default)]
pub struct SipTrace(Option<Arc<Shared>>);

struct Shared {
    queue: SyncSender<Entry>,
    /// Messages that found the queue full since the last one that did not.
    lost: AtomicU64,
}

enum Entry {
    Text(String),
    /// Answered when everything before it is written.
    Flush(SyncSender<()>),
}

impl SipTrace {
    #[must_use]
    pub const fn off() -> Self {
        Self(None)
    }

    /// Writes to `writer` from a thread of its own, which ends with the last clone of this handle.
    pub fn to(writer: impl Write + Send + 'static) -> std::io::Result<Self> {
        let (queue, entries) = sync_channel(WAITING_MAX);
        std::thread::Builder::new()
            .name("sip-trace".to_owned())
            .spawn(move || write_out(writer, &entries))?;
        Ok(Self(Some(Arc::new(Shared {
            queue,
            lost: AtomicU64::new(0),
        }))))
    }

    /// One message that came, or what was wrong with it.
    pub fn received(
        &self,
        transport: Transport,
        source: SocketAddr,
        local: SocketAddr,
        octets: usize,
        message: &Result<Message, ParseError>,
    ) {
        let Some(shared) = &self.0 else { return };
        let text = match message {
            Ok(message) => message.masked(),
            Err(error) => format!("[not SIP: {error}]\n"),
        };
        shared.put(entry("received", transport, source, local, octets, &text));
    }

    /// The octets of one message that left.
    pub fn sent(&self, transport: Transport, local: SocketAddr, to: SocketAddr, octets: &[u8]) {
        let Some(shared) = &self.0 else { return };
        let text = match Message::parse(octets) {
            Ok(message) => message.masked(),
            Err(_) => "[not shown: expected a whole SIP message]\n".to_owned(),
        };
        shared.put(entry("sent", transport, local, to, octets.len(), &text));
    }

    /// Waits until everything so far is written, at most `limit`: before the process ends. Blocks its thread.
    pub fn flush(&self, limit: Duration) {
        let Some(shared) = &self.0 else { return };
        let (done, written) = sync_channel(1);
        if shared.queue.try_send(Entry::Flush(done)).is_ok() {
            // Late or gone: there is nothing more to be done for it.
            let _ = written.recv_timeout(limit);
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

impl Shared {
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

fn entry(
    what: &str,
    transport: Transport,
    from: SocketAddr,
    to: SocketAddr,
    octets: usize,
    text: &str,
) -> String {
    let at = now().to_rfc3339();
    let transport = transport.via_name().to_ascii_lowercase();
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
