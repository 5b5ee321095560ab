//! A socket at the server's port, over UDP, TCP or TLS.
//!
//! On a stream, what a message does to the connection is told beforehand by [`fate`]: the messages that leave it
//! readable share one, the others get the fate that they deserve. A server that does otherwise fails the test: it
//! closes the connection before a later answer, or never.
use std::net::SocketAddr;
use std::time::Duration;

use ringproof::sip::message::{Message, ParseError};
use ringproof::sip::transport::SipTransport;
use ringproof::sip::wire::{Frame, StreamFramer};
use rustix::net::sockopt::set_socket_linger;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, UdpSocket};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::messages::good;
use super::server::{NAME, Server};

/// Only ends a test that would hang.
const PATIENCE: Duration = Duration::from_secs(30);

/// What came back.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) answers: usize,
    pub(super) octets: usize,
}

impl Heard {
    fn add(&mut self, other: Self) {
        self.answers += other.answers;
        self.octets += other.octets;
    }
}

pub(super) enum Peer {
    Datagrams(Datagrams),
    Streams(Streams),
}

impl Peer {
    pub(super) async fn at(ip: [u8; 4], server: &Server, transport: SipTransport) -> Self {
        match transport {
            SipTransport::Udp => Self::Datagrams(Datagrams::at(ip, server.served.sip("udp")).await),
            SipTransport::Tcp | SipTransport::Tls => Self::Streams(Streams::at(ip, server, transport)),
        }
    }

    /// Sends the messages, and gives what was answered until an OPTIONS sent after them was.
    pub(super) async fn fire(&mut self, batch: &[Vec<u8>]) -> Heard {
        match self {
            Self::Datagrams(peer) => {
                for datagram in batch {
                    peer.send(datagram).await;
                }
                peer.before_the_next_answer().await
            }
            Self::Streams(peer) => peer.fire(batch).await,
        }
    }

    /// Connections that were made.
    pub(super) fn connections(&self) -> usize {
        match self {
            Self::Datagrams(_) => 0,
            Self::Streams(peer) => peer.connections,
        }
    }
}

/// The sentinel: an OPTIONS whose answer is known by its Call-ID.
fn sentinel(transport: SipTransport, asked: &mut u32) -> (String, String) {
    *asked += 1;
    let call_id = format!("sentinel-{asked}-");
    let text = good(transport)
        .replace("torn-call", &call_id)
        .replace("z9hG4bK-torn", &format!("z9hG4bK-{call_id}"));
    (text, call_id)
}

fn holds(octets: &[u8], text: &str) -> bool {
    octets.windows(text.len()).any(|part| part == text.as_bytes())
}

/// Over UDP the port answers in order.
pub(super) struct Datagrams {
    pub(super) socket: UdpSocket,
    server: SocketAddr,
    asked: u32,
}

impl Datagrams {
    pub(super) async fn at(ip: [u8; 4], server: SocketAddr) -> Self {
        Self {
            socket: UdpSocket::bind(SocketAddr::from((ip, 0))).await.unwrap(),
            server,
            asked: 0,
        }
    }

    pub(super) async fn send(&self, datagram: &[u8]) {
        self.socket.send_to(datagram, self.server).await.unwrap();
    }

    pub(super) async fn before_the_next_answer(&mut self) -> Heard {
        let (text, call_id) = sentinel(SipTransport::Udp, &mut self.asked);
        self.send(text.as_bytes()).await;
        let mut heard = Heard::default();
        let mut buffer = vec![0; 65_536];
        loop {
            let read = self.socket.recv_from(&mut buffer);
            let (len, _) = tokio::time::timeout(PATIENCE, read)
                .await
                .expect("the server stopped answering")
                .unwrap();
            if holds(&buffer[..len], &call_id) {
                return heard;
            }
            heard.add(Heard {
                answers: 1,
                octets: len,
            });
        }
    }
}

/// What a message does to the connection of a trunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The next message can be read.
    Stays,
    /// It cannot be cut, or is not SIP: the server closes.
    Closes,
    /// It is not whole: the server waits for the rest.
    Waits,
}

pub(super) fn fate(octets: &[u8]) -> Fate {
    let mut framer = StreamFramer::new();
    let mut rest = octets;
    loop {
        let taken = framer.push(rest);
        rest = &rest[taken..];
        loop {
            match framer.next_frame() {
                Ok(None) => break,
                Ok(Some(Frame::Ping)) => {}
                Ok(Some(Frame::Message(octets))) => match Message::parse(&octets) {
                    Ok(_) | Err(ParseError::BadRequest(_) | ParseError::BadResponse(_)) => {}
                    Err(_) => return Fate::Closes,
                },
                Err(_) => return Fate::Closes,
            }
        }
        if rest.is_empty() {
            break;
        }
    }
    if framer.is_inside_message() {
        Fate::Waits
    } else {
        Fate::Stays
    }
}

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

pub(super) struct Streams {
    ip: [u8; 4],
    server: SocketAddr,
    transport: SipTransport,
    tls: TlsConnector,
    /// The connection that the next message goes by.
    line: Option<Line>,
    asked: u32,
    connections: usize,
}

impl Streams {
    pub(super) fn at(ip: [u8; 4], server: &Server, transport: SipTransport) -> Self {
        Self {
            ip,
            server: server.served.sip(transport.param()),
            transport,
            tls: server.connector(),
            line: None,
            asked: 0,
            connections: 0,
        }
    }

    /// A connection of its own; `None` where the server takes none.
    pub(super) async fn connect(&mut self) -> Option<Line> {
        self.connections += 1;
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((self.ip, 0))).unwrap();
        let connects = async {
            let stream = socket.connect(self.server).await.unwrap();
            stream.set_nodelay(true).unwrap();
            // Closed by a reset: tens of thousands that rest for a minute would leave no port.
            set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
            if self.transport == SipTransport::Tcp {
                return Some(Line::over(stream));
            }
            let name = ServerName::try_from(NAME).unwrap();
            self.tls.connect(name, stream).await.ok().map(Line::over)
        };
        tokio::time::timeout(PATIENCE, connects)
            .await
            .expect("the server takes no connections")
    }

    async fn taken(&mut self) -> Line {
        match self.line.take() {
            Some(line) => line,
            None => self.connect().await.expect("the server turned a trunk away"),
        }
    }

    async fn fire(&mut self, batch: &[Vec<u8>]) -> Heard {
        let (mut heard, mut waiting) = (Heard::default(), Vec::new());
        for message in batch {
            match fate(message) {
                Fate::Stays => {
                    let mut line = self.taken().await;
                    line.write(message).await;
                    self.line = Some(line);
                }
                Fate::Closes => {
                    let mut line = self.taken().await;
                    line.write(message).await;
                    heard.add(line.to_its_end().await);
                }
                Fate::Waits => {
                    let mut line = self.connect().await.expect("the server turned a trunk away");
                    line.write(message).await;
                    waiting.push(line);
                }
            }
        }
        let (text, call_id) = sentinel(self.transport, &mut self.asked);
        let mut line = self.taken().await;
        line.write(text.as_bytes()).await;
        while let Some((octets, told)) = line.next().await {
            if holds(&octets, &call_id) {
                self.line = Some(line);
                break;
            }
            heard.add(told);
        }
        assert!(self.line.is_some(), "closed instead of an answer: {batch:?}");
        for mut line in waiting {
            heard.add(line.at_hand().await);
        }
        heard
    }
}

/// One connection.
pub(super) struct Line {
    io: Box<dyn Io>,
    framer: StreamFramer,
    /// Read and not yet told.
    octets: usize,
}

impl Line {
    fn over(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        Self {
            io: Box::new(io),
            framer: StreamFramer::new(),
            octets: 0,
        }
    }

    /// The server may have closed before the last octet: reading tells.
    pub(super) async fn write(&mut self, octets: &[u8]) {
        let written = async {
            self.io.write_all(octets).await?;
            self.io.flush().await
        };
        let _ = tokio::time::timeout(PATIENCE, written)
            .await
            .expect("the server stopped reading");
    }

    /// The next message, and what it and the pongs before it amount to; `None` at the end of the connection.
    async fn next(&mut self) -> Option<(Vec<u8>, Heard)> {
        let mut buffer = [0; 8192];
        loop {
            let frame = self.framer.next_frame();
            let frame = frame.unwrap_or_else(|error| {
                let head = String::from_utf8_lossy(self.framer.head());
                panic!("the server sent what cannot be cut: {error}: {head:?}")
            });
            match frame {
                Some(Frame::Message(octets)) => {
                    let heard = Heard {
                        answers: 1,
                        octets: std::mem::take(&mut self.octets),
                    };
                    return Some((octets, heard));
                }
                Some(Frame::Ping) => {}
                None => {
                    let read = tokio::time::timeout(PATIENCE, self.io.read(&mut buffer))
                        .await
                        .expect("the server neither answered nor closed");
                    match read {
                        Ok(len @ 1..) => {
                            self.octets += len;
                            self.framer.push(&buffer[..len]);
                        }
                        // An end without the word of TLS, or a reset because the server left octets unread.
                        Ok(0) | Err(_) => return None,
                    }
                }
            }
        }
    }

    /// Everything until the server closes.
    pub(super) async fn to_its_end(&mut self) -> Heard {
        let mut heard = Heard::default();
        while let Some((_, told)) = self.next().await {
            heard.add(told);
        }
        heard.octets += self.octets;
        heard
    }

    /// What has come already.
    async fn at_hand(&mut self) -> Heard {
        let mut heard = Heard::default();
        loop {
            tokio::select! {
                biased;
                told = self.next() => match told {
                    Some((_, told)) => heard.add(told),
                    None => break,
                },
                () = std::future::ready(()) => break,
            }
        }
        heard.octets += self.octets;
        heard
    }
}
