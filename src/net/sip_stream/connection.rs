//! One connection: octets in, cut into messages and routed; octets out of a bounded queue.
//!
//! ```text
//! socket ─► framer ─► ping? ─► pong to a peer
//!                 └► stranger's allowance ─► parse ─► router (a call, or the out-of-call queue)
//!                        └ used up: closed     └ not SIP: closed in silence; a peer's bad request is refused first
//! queue ─► socket;  nothing to say for `keep_alive`, and the connection is ours ─► CRLFCRLF (RFC 5626 §3.5.1)
//! ```
//! Invariants:
//! - A message that has begun is whole within [`StreamLimits::half_open`](super::StreamLimits::half_open), or the connection is closed (SAFETY 8).
//! - A stranger is never written to, and may be idle for as long.
//! - Whoever reads more slowly than the queue fills is closed, and everybody else is not held up.
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout, timeout_at};

use super::Streams;
use crate::net::sip_router::{Flow, Inbound};
use crate::sip::message::{Message, ParseError};
use crate::sip::transport::SipTransport;
use crate::sip::wire::{Frame, FrameError, StreamFramer};

/// Messages that wait to be written to one connection; a trunk's connection carries many calls.
const WRITE_QUEUE_MAX: usize = 256;

/// How long a refusal may take before the connection is closed behind it.
const LAST_WORD_MAX: Duration = Duration::from_secs(4);

const READ_OCTETS: usize = 16 * 1024;

/// A handle of one connection; clones name the same one.
#[derive(Clone)]
pub struct Connection(Arc<Info>);

struct Info {
    id: u64,
    transport: SipTransport,
    local: SocketAddr,
    peer: SocketAddr,
    side: Side,
    queue: mpsc::Sender<Vec<u8>>,
    close: Notify,
}

/// Who opened the connection, and whether it is one of a trunk's addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Ours,
    Peers,
    Strangers,
}

/// Why a connection has ended, for the log and the counters.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the peer closed it")]
    Closed,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("a message was not whole in time")]
    Slow,
    #[error("a stranger said nothing for too long")]
    Idle,
    #[error("{0}")]
    Frame(FrameError),
    #[error("what came is not SIP")]
    NotSip,
    #[error("a stranger sent more than its allowance")]
    Allowance,
}

impl Connection {
    /// The queue's other end belongs to [`drive`].
    pub(super) fn new(
        id: u64,
        transport: SipTransport,
        local: SocketAddr,
        peer: SocketAddr,
        side: Side,
    ) -> (Self, mpsc::Receiver<Vec<u8>>) {
        let (queue, waiting) = mpsc::channel(WRITE_QUEUE_MAX);
        let info = Info {
            id,
            transport,
            local,
            peer,
            side,
            queue,
            close: Notify::new(),
        };
        (Self(Arc::new(info)), waiting)
    }

    #[must_use]
    pub fn transport(&self) -> SipTransport {
        self.0.transport
    }

    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.0.local
    }

    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.0.peer
    }

    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.0.queue.is_closed()
    }

    /// Returns when the connection has ended.
    pub async fn lost(&self) {
        self.0.queue.closed().await;
    }

    pub(super) fn id(&self) -> u64 {
        self.0.id
    }

    pub(super) fn side(&self) -> Side {
        self.0.side
    }

    pub(super) fn close(&self) {
        self.0.close.notify_one();
    }

    /// Puts octets into the queue. A full one ends the connection: the peer does not read.
    pub(in crate::net) fn push(&self, octets: Vec<u8>) -> io::Result<()> {
        self.0.queue.try_send(octets).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                self.close();
                let message = format!("{} does not read what it is sent", self.0.peer);
                io::Error::new(io::ErrorKind::TimedOut, message)
            }
            mpsc::error::TrySendError::Closed(_) => {
                let message = format!("the connection to {} has ended", self.0.peer);
                io::Error::new(io::ErrorKind::BrokenPipe, message)
            }
        })
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Info {
            id,
            transport,
            local,
            peer,
            ..
        } = &*self.0;
        write!(f, "#{id} {} {local} {peer}", transport.param())
    }
}

/// Carries a connection until one side ends it. `waiting` is dropped last: [`Connection::lost`] returns then.
pub(super) async fn drive<S>(
    streams: Arc<Streams>,
    connection: Connection,
    mut waiting: mpsc::Receiver<Vec<u8>>,
    stream: S,
) where
    S: AsyncRead + AsyncWrite,
{
    let (reader, writer) = tokio::io::split(stream);
    let keep_alive = (connection.side() == Side::Ours)
        .then_some(streams.limits.keep_alive)
        .flatten();
    let end = tokio::select! {
        () = connection.0.close.notified() => None,
        end = read(&streams, &connection, reader) => Some(end),
        end = write(&streams, &connection, &mut waiting, writer, keep_alive) => Some(end),
    };
    match &end {
        None => streams.counters.slow_readers.add(),
        Some(End::Slow | End::Idle) => streams.counters.slow_writers.add(),
        Some(End::Frame(_) | End::NotSip | End::Allowance) => streams.counters.garbage.add(),
        Some(End::Closed | End::Io(_)) => {}
    }
    if let Some(end) = &end {
        tracing::debug!(?connection, %end, "a SIP connection has ended");
    }
    streams.forget(&connection);
}

async fn write(
    streams: &Streams,
    connection: &Connection,
    waiting: &mut mpsc::Receiver<Vec<u8>>,
    mut writer: impl AsyncWrite + Unpin,
    keep_alive: Option<Duration>,
) -> End {
    loop {
        let next = match keep_alive {
            Some(pause) => timeout(pause, waiting.recv()).await,
            None => Ok(waiting.recv().await),
        };
        let octets = match next {
            Ok(Some(octets)) if octets.is_empty() => return End::Closed,
            Ok(Some(octets)) => octets,
            Ok(None) => return End::Closed,
            Err(_) => {
                streams.counters.pings_sent.add();
                b"\r\n\r\n".to_vec()
            }
        };
        // Told first: no record may hold the answer before the request.
        tell_sent(streams, connection, &octets);
        let written = async {
            writer.write_all(&octets).await?;
            writer.flush().await
        };
        match timeout(streams.limits.half_open, written).await {
            Ok(Ok(())) => {
                streams.counters.sent.add();
            }
            Ok(Err(error)) => return End::Io(error),
            Err(_) => return End::Slow,
        }
    }
}

/// Pings and pongs are no messages.
fn tell_sent(streams: &Streams, connection: &Connection, octets: &[u8]) {
    if !octets.starts_with(b"\r\n") {
        let Info {
            transport,
            local,
            peer,
            ..
        } = *connection.0;
        streams.router.trace.sent(transport, local, peer, octets);
    }
}

async fn read(streams: &Streams, connection: &Connection, mut reader: impl AsyncRead + Unpin) -> End {
    let mut framer = StreamFramer::new();
    let mut buffer = vec![0; READ_OCTETS];
    let mut last_message = Instant::now();
    let mut begun: Option<Instant> = None;
    loop {
        let quiet = (connection.side() == Side::Strangers).then_some(last_message);
        let limit = begun.or(quiet).map(|since| since + streams.limits.half_open);
        let arrived = match limit {
            Some(limit) => timeout_at(limit, reader.read(&mut buffer)).await,
            None => Ok(reader.read(&mut buffer).await),
        };
        let count = match arrived {
            Ok(Ok(0)) => return End::Closed,
            Ok(Ok(count)) => count,
            Ok(Err(error)) => return End::Io(error),
            Err(_) if begun.is_some() => return End::Slow,
            Err(_) => return End::Idle,
        };
        let mut rest = buffer.get(..count).unwrap_or_default();
        while !rest.is_empty() {
            let taken = framer.push(rest);
            rest = rest.get(taken..).unwrap_or_default();
            let messages = match cut(streams, connection, &mut framer) {
                Ok(messages) => messages,
                Err(end) => return last_word(connection, end).await,
            };
            if messages > 0 {
                last_message = Instant::now();
                begun = None;
            }
        }
        match (framer.is_inside_message(), begun) {
            (true, None) => begun = Some(Instant::now()),
            (true, Some(_)) => {}
            (false, _) => begun = None,
        }
    }
}

/// Takes every whole message and ping out of the framer.
fn cut(streams: &Streams, connection: &Connection, framer: &mut StreamFramer) -> Result<usize, End> {
    let mut messages = 0;
    loop {
        match framer.next_frame() {
            Ok(None) => return Ok(messages),
            Ok(Some(Frame::Ping)) => {
                streams.counters.pings.add();
                if connection.side() != Side::Strangers {
                    // A full queue has closed the connection already.
                    let _ = connection.push(b"\r\n".to_vec());
                }
            }
            Ok(Some(Frame::Message(octets))) => {
                messages += 1;
                take(streams, connection, &octets)?;
            }
            Err(error) => {
                refuse(
                    streams,
                    connection,
                    framer.head().len(),
                    &Message::unframed(framer.head(), error),
                );
                return Err(End::Frame(error));
            }
        }
    }
}

fn take(streams: &Streams, connection: &Connection, octets: &[u8]) -> Result<(), End> {
    streams.counters.received.add();
    let source = connection.peer();
    if connection.side() == Side::Strangers && !streams.allows(source.ip()) {
        return Err(End::Allowance);
    }
    let parsed = Message::parse(octets);
    streams.router.trace.received(
        connection.transport(),
        source,
        connection.local(),
        octets,
        &parsed,
    );
    match parsed {
        Ok(message) => {
            streams.router.route(Inbound {
                message,
                source,
                local: connection.local(),
                flow: Flow::Stream(connection.clone()),
            });
            Ok(())
        }
        Err(error) => {
            streams.counters.unparsable.add();
            tracing::debug!(%source, %error, "a message that is not SIP");
            refuse(streams, connection, octets.len(), &error);
            match error {
                // Its length was right: what follows can be read.
                ParseError::BadRequest(_) | ParseError::BadResponse(_)
                    if connection.side() != Side::Strangers =>
                {
                    Ok(())
                }
                _ => Err(End::NotSip),
            }
        }
    }
}

/// A known peer learns what was wrong, when its message said enough to be answered; nobody else does.
fn refuse(streams: &Streams, connection: &Connection, octets_in: usize, error: &ParseError) {
    let ParseError::BadRequest(bad) = error else {
        return;
    };
    if connection.side() == Side::Strangers {
        return;
    }
    if let Some(octets) = streams.router.refusal_of(bad, connection.peer(), octets_in)
        && connection.push(octets).is_ok()
    {
        streams.counters.refused.add();
    }
}

/// Lets a refusal that waits leave before the connection is closed.
async fn last_word(connection: &Connection, end: End) -> End {
    if connection.side() != Side::Strangers && connection.push(Vec::new()).is_ok() {
        // The writer ends the connection at the empty entry.
        tokio::time::sleep(LAST_WORD_MAX).await;
    }
    end
}
