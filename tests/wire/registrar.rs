//! A registrar that a test leads step by step, over UDP or one TCP connection.
use std::net::SocketAddr;
use std::time::Duration;

use ringproof::sip::message::{Message, Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// Only ends a test that would hang.
const PATIENCE: Duration = Duration::from_secs(60);

async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not come"),
    }
}

/// 200 with the Contact that was asked for.
pub(crate) fn granted(register: &Request) -> Response {
    let mut response = Response::reply_to(register, 200, None).with_to_tag("registrar");
    let contact = register.headers.get("Contact").unwrap().to_owned();
    response.headers.push("Contact", contact);
    response
}

pub(crate) struct Datagrams(UdpSocket);

impl Datagrams {
    pub(crate) async fn start() -> Self {
        Self(UdpSocket::bind("127.0.0.1:0").await.unwrap())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// The next request with another CSeq than `before`.
    pub(crate) async fn request(&self, before: Option<&Request>) -> (Request, SocketAddr) {
        let mut buffer = [0; 65_536];
        let next = async {
            loop {
                let (len, source) = self.0.recv_from(&mut buffer).await.unwrap();
                let Ok(Message::Request(request)) = Message::parse(&buffer[..len]) else {
                    continue;
                };
                let is_new = |before: &Request| before.headers.get("CSeq") != request.headers.get("CSeq");
                if before.is_none_or(is_new) {
                    return (request, source);
                }
            }
        };
        in_time("a request", next).await
    }

    pub(crate) async fn send(&self, octets: &[u8], to: SocketAddr) {
        self.0.send_to(octets, to).await.unwrap();
    }
}

pub(crate) struct Flow {
    stream: TcpStream,
    heard: String,
}

impl Flow {
    pub(crate) async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = in_time("a connection", listener.accept()).await.unwrap();
        Self {
            stream,
            heard: String::new(),
        }
    }

    /// The port that it comes from.
    pub(crate) fn port(&self) -> u16 {
        self.stream.peer_addr().unwrap().port()
    }

    /// The next message; what comes here has no body.
    pub(crate) async fn message(&mut self) -> Message {
        let mut buffer = [0; 65_536];
        let read = async {
            loop {
                // CRLF between messages keeps the connection alive (RFC 5626 §3.5.1).
                let start = self.heard.len() - self.heard.trim_start().len();
                self.heard.drain(..start);
                if let Some(end) = self.heard.find("\r\n\r\n") {
                    let message: String = self.heard.drain(..end + 4).collect();
                    return Message::parse(message.as_bytes()).unwrap();
                }
                let len = self.stream.read(&mut buffer).await.unwrap();
                assert!(len > 0, "the connection was closed");
                self.heard.push_str(std::str::from_utf8(&buffer[..len]).unwrap());
            }
        };
        in_time("a message", read).await
    }

    pub(crate) async fn request(&mut self) -> Request {
        match self.message().await {
            Message::Request(request) => request,
            Message::Response(response) => panic!("expected a request, came {response:?}"),
        }
    }

    pub(crate) async fn response(&mut self) -> Response {
        match self.message().await {
            Message::Response(response) => response,
            Message::Request(request) => panic!("expected a response, came {request:?}"),
        }
    }

    pub(crate) async fn send(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).await.unwrap();
    }
}
