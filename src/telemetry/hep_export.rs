//! Shell: sends SIP messages to a capture server (HOMER) as HEP version 3 over UDP.
//!
//! A thread of its own behind a bounded queue: a capture server that is slow, gone or unknown costs packets, never a call.
//! Its name is looked up by that thread, and again after a while when it cannot be reached.
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::hep::{IpProtocol, Packet};
use super::ways::{Ways, bound_for};
use crate::model::Masked;

/// Messages that wait to be sent: some seconds of a busy trunk.
const WAITING_MAX: usize = 4096;
/// A capture server that could not be found or reached is tried again after so long.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Where packets go and what they say of us.
#[derive(Debug, Clone)]
pub struct HepConfig {
    pub host: String,
    pub port: u16,
    pub agent_id: u32,
    pub password: Option<Masked<String>>,
}

/// Which way a message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Sent,
    Received,
}

/// One message for the capture server.
#[derive(Debug)]
pub struct Captured {
    pub way: Way,
    pub protocol: IpProtocol,
    /// Our socket, which may be bound to all addresses.
    pub local: SocketAddr,
    pub peer: SocketAddr,
    pub call_id: String,
    /// As the capture server shall see it.
    pub payload: Vec<u8>,
}

/// Handle of the exporter; clones share it. Its thread ends with the last one.
#[derive(Clone)]
pub struct HepExporter(Arc<SyncSender<Entry>>);

enum Entry {
    Message(Box<Captured>, Duration),
    /// Answered when everything before it is sent.
    Flush(SyncSender<()>),
}

impl HepExporter {
    pub fn start(config: HepConfig) -> io::Result<Self> {
        let (queue, entries) = sync_channel(WAITING_MAX);
        let sender = Sender {
            config,
            socket: None,
            not_before: None,
            ways: Ways::default(),
        };
        std::thread::Builder::new()
            .name("hep".to_owned())
            .spawn(move || sender.run(&entries))?;
        Ok(Self(Arc::new(queue)))
    }

    /// Puts the message into the queue; a full one drops it, and that is counted.
    pub fn send(&self, captured: Captured) {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if let Err(TrySendError::Full(_)) = self.0.try_send(Entry::Message(Box::new(captured), at)) {
            count("dropped");
        }
    }

    /// Waits until everything so far is sent, at most `limit`: before the process ends. Blocks its thread.
    pub fn flush(&self, limit: Duration) {
        let (done, sent) = sync_channel(1);
        if self.0.try_send(Entry::Flush(done)).is_ok() {
            // Late or gone: there is nothing more to be done for it.
            let _ = sent.recv_timeout(limit);
        }
    }
}

fn count(result: &'static str) {
    metrics::counter!("ringproof_hep_packets_total", "result" => result).increment(1);
}

struct Sender {
    config: HepConfig,
    socket: Option<UdpSocket>,
    /// Not looked up again before.
    not_before: Option<Instant>,
    ways: Ways,
}

impl Sender {
    fn run(mut self, entries: &Receiver<Entry>) {
        while let Ok(entry) = entries.recv() {
            match entry {
                Entry::Message(captured, at) => match self.send(&captured, at) {
                    Ok(true) => count("sent"),
                    Ok(false) => count("failed"),
                    Err(error) => {
                        count("failed");
                        self.rest(&error);
                    }
                },
                Entry::Flush(done) => {
                    let _ = done.try_send(());
                }
            }
        }
    }

    /// False: not sent, and nothing new to be said of it.
    fn send(&mut self, captured: &Captured, at: Duration) -> io::Result<bool> {
        let local = self.ways.seen(captured.local, captured.peer);
        let (source, destination) = match captured.way {
            Way::Sent => (local, captured.peer),
            Way::Received => (captured.peer, local),
        };
        let packet = Packet {
            protocol: captured.protocol,
            source,
            destination,
            since_epoch: at,
            agent_id: self.config.agent_id,
            password: self.config.password.as_ref().map(|p| p.reveal().as_str()),
            correlation_id: &captured.call_id,
            payload: &captured.payload,
        };
        let Ok(octets) = packet.encode() else {
            return Ok(false);
        };
        let Some(socket) = self.connected()? else {
            return Ok(false);
        };
        socket.send(&octets)?;
        Ok(true)
    }

    /// `None` while it rests.
    fn connected(&mut self) -> io::Result<Option<&UdpSocket>> {
        if self.socket.is_none() {
            if self.not_before.is_some_and(|at| at > Instant::now()) {
                return Ok(None);
            }
            self.socket = Some(connect(&self.config.host, self.config.port)?);
            if self.not_before.take().is_some() {
                tracing::info!(host = %self.config.host, "telemetry.hep: the capture server is tried again");
            }
        }
        Ok(self.socket.as_ref())
    }

    /// One line for each time that it fails, not one a packet.
    fn rest(&mut self, error: &io::Error) {
        self.socket = None;
        self.not_before = Some(Instant::now() + RETRY_AFTER);
        let (host, port) = (&self.config.host, self.config.port);
        tracing::warn!(%host, port, %error, "telemetry.hep: the capture server is not reached; packets are lost meanwhile");
    }
}

fn connect(host: &str, port: u16) -> io::Result<UdpSocket> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        let connected = bound_for(address).and_then(|socket| socket.connect(address).map(|()| socket));
        match connected {
            Ok(socket) => return Ok(socket),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn captured(way: Way, call_id: &str) -> Captured {
        Captured {
            way,
            protocol: IpProtocol::Udp,
            local: "0.0.0.0:5060".parse().unwrap(),
            peer: "127.0.0.1:5080".parse().unwrap(),
            call_id: call_id.to_owned(),
            payload: b"OPTIONS".to_vec(),
        }
    }

    fn config(port: u16) -> HepConfig {
        HepConfig {
            host: "127.0.0.1".to_owned(),
            port,
            agent_id: 7,
            password: Some(Masked::new("open sesame".to_owned())),
        }
    }

    #[test]
    fn each_message_is_one_datagram_that_says_where_the_socket_really_is() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        server.set_read_timeout(Some(LIMIT)).unwrap();
        let exporter = HepExporter::start(config(server.local_addr().unwrap().port())).unwrap();
        exporter.send(captured(Way::Sent, "one"));
        exporter.send(captured(Way::Received, "two"));
        exporter.flush(LIMIT);
        for (call_id, ports) in [("one", [5060_u16, 5080]), ("two", [5080, 5060])] {
            let mut buffer = [0; 2048];
            let length = server.recv(&mut buffer).unwrap();
            let octets = &buffer[..length];
            let holds = |part: &[u8]| octets.windows(part.len()).any(|window| window == part);
            assert!(octets.starts_with(b"HEP3") && holds(call_id.as_bytes()) && holds(b"open sesame"));
            assert!(holds(b"\x00\x03\x00\x0a\x7f\x00\x00\x01") && holds(b"\x00\x04\x00\x0a\x7f\x00\x00\x01"));
            let [from, to] = ports.map(u16::to_be_bytes);
            assert!(holds(&[&b"\x00\x07\x00\x08"[..], &from].concat()), "{call_id}");
            assert!(holds(&[&b"\x00\x08\x00\x08"[..], &to].concat()), "{call_id}");
        }
    }

    #[test]
    fn a_server_that_is_not_reached_costs_packets_only() {
        let gone = HepConfig {
            // Nobody may connect to a broadcast address unasked.
            host: "255.255.255.255".to_owned(),
            ..config(9060)
        };
        let mut sender = Sender {
            config: gone,
            socket: None,
            not_before: None,
            ways: Ways::default(),
        };
        let error = sender
            .send(&captured(Way::Sent, "one"), Duration::ZERO)
            .unwrap_err();
        sender.rest(&error);
        // It rests: nothing is looked up for the next packet.
        assert!(!sender.send(&captured(Way::Sent, "two"), Duration::ZERO).unwrap());
        sender.config = config(9060);
        sender.not_before = Some(Instant::now());
        assert!(sender.connected().unwrap().is_some());
    }
}
