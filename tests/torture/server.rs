//! `ringproof serve` with one trunk, whose place the test takes.
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::net::UdpSocket;

use super::messages::GOOD;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ringproof");
/// Only ends a test that would hang.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Server {
    child: Child,
    pub(super) sip: SocketAddr,
    _scratch: tempfile::TempDir,
}

impl Server {
    pub(super) fn start() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let config = scratch.path().join("ringproof.toml");
        let text = format!(
            r#"
[server]
listen = "127.0.0.1:0"
[store]
url = "sqlite://{}/torture.db"
[sip]
listen = ["udp:127.0.0.1:0"]
[media]
rtp_ports = "48000-48099"
[[trunk]]
name = "carrier"
targets = ["sip:127.0.0.1:5999"]
caller_id = {{ default = "+18005550199" }}
[policy]
countries = ["US"]
[profile.default]
brand = "Contoso"
callbacks = ["http://127.0.0.1:9/"]
[webhook]
secret = "whsec_cmluZ3Byb29mLWV4YW1wbGUtc2VjcmV0LTAx"
allow_private = ["127.0.0.0/8"]
[telemetry]
log = "error"
"#,
            scratch.path().display()
        );
        std::fs::write(&config, text).unwrap();
        let mut child = Command::new(PROGRAM)
            .args(["serve", "--json", "--config"])
            .arg(&config)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let said: serde_json::Value =
            serde_json::from_str(&line).unwrap_or_else(|e| panic!("the server did not start: {e}: {line:?}"));
        let sip = said["sip"][0]
            .as_str()
            .unwrap()
            .trim_start_matches("udp:")
            .parse()
            .unwrap();
        Self {
            child,
            sip,
            _scratch: scratch,
        }
    }

    /// Resident memory, kB.
    pub(super) fn resident_kb(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").trim().parse().unwrap()
    }

    pub(super) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A socket at the server's port.
pub(super) struct Peer {
    pub(super) socket: UdpSocket,
    server: SocketAddr,
    asked: u32,
}

impl Peer {
    pub(super) async fn at(ip: [u8; 4], server: SocketAddr) -> Self {
        let socket = UdpSocket::bind(SocketAddr::from((ip, 0))).await.unwrap();
        Self {
            socket,
            server,
            asked: 0,
        }
    }

    pub(super) async fn send(&self, datagram: &[u8]) {
        self.socket.send_to(datagram, self.server).await.unwrap();
    }

    /// Octets of each answer that came before the answer to an OPTIONS sent now: the port answers in order.
    pub(super) async fn before_the_next_answer(&mut self) -> Vec<usize> {
        self.asked += 1;
        let call_id = format!("sentinel-{}-", self.asked);
        let sentinel = GOOD
            .replace("torn-call", &call_id)
            .replace("z9hG4bK-torn", &format!("z9hG4bK-{call_id}"));
        self.send(sentinel.as_bytes()).await;
        let mut before = Vec::new();
        let mut buffer = vec![0; 65_536];
        loop {
            let read = self.socket.recv_from(&mut buffer);
            let (len, _) = tokio::time::timeout(PATIENCE, read)
                .await
                .expect("the server stopped answering")
                .unwrap();
            if String::from_utf8_lossy(&buffer[..len]).contains(&call_id) {
                return before;
            }
            before.push(len);
        }
    }
}
