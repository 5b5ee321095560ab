//! Keys sprayed over the whole range of RTP ports while calls run (SAFETY §2): none is accepted, nothing is answered, and no
//! call is harmed. Whoever sprays knows the range and sends perfect RTP; only his address or port is not the callee's.
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use ringproof::media::rtp::Header;
use serde_json::{Value, json};

use super::dice::Dice;
use crate::line::text;
use crate::town::{Server, Town};

/// Of the town's configuration.
const PORTS: std::ops::RangeInclusive<u16> = 49_000..=50_999;
/// From before the key is named until after.
const VOLLEYS: u32 = 160;
const VOLLEY_EVERY: Duration = Duration::from_millis(50);
/// How long a callee stays once it was told which key to press.
const HELD_MS: u32 = 5000;

/// Packets and calls.
fn scale() -> (usize, usize) {
    match std::env::var("RINGPROOF_LONG").is_ok_and(|long| long == "1") {
        true => (1_000_000, 200),
        false => (16_000, 20),
    }
}

struct Sprayer {
    /// Another address, and another port of the callees' own.
    sockets: [UdpSocket; 2],
    dice: Dice,
    port: u16,
    sent: usize,
}

impl Sprayer {
    fn new() -> Self {
        let bound = |address: &str| {
            let outside = |socket: &UdpSocket| !PORTS.contains(&socket.local_addr().unwrap().port());
            // Within the range it would hear its own spray, and take it for an answer.
            let mut given = (0..64).map(|_| UdpSocket::bind(address).unwrap());
            let socket = given.find(outside).expect("a port outside the range");
            socket.set_nonblocking(true).unwrap();
            socket
        };
        Self {
            sockets: [bound("127.0.0.66:0"), bound("127.0.0.1:0")],
            dice: Dice::new(4733),
            port: *PORTS.start(),
            sent: 0,
        }
    }

    /// `#` as a telephone says it, for one port after another: two packets make a key certain.
    fn volley(&mut self, packets: usize) {
        for _ in 0..packets / 2 {
            let (ssrc, timestamp) = (self.number(), self.number());
            let sequence = self.number() as u16;
            for n in 0..2_u16 {
                let header = Header {
                    payload_type: 101,
                    marker: n == 0,
                    sequence: sequence.wrapping_add(n),
                    timestamp,
                    ssrc,
                };
                let mut packet = [0; 16];
                let duration = ((n + 1) * 160).to_be_bytes();
                header
                    .write(&[11, 10, duration[0], duration[1]], &mut packet)
                    .unwrap();
                let to = SocketAddr::from(([127, 0, 0, 1], self.port));
                let socket = &self.sockets[self.sent / 2 % 2];
                // A full queue of the socket is waited for.
                while socket.send_to(&packet, to).is_err() {}
                self.sent += 1;
            }
            self.port = if self.port == *PORTS.end() {
                *PORTS.start()
            } else {
                self.port + 1
            };
        }
    }

    fn number(&mut self) -> u32 {
        u32::try_from(self.dice.below(1 << 32)).unwrap()
    }

    fn has_heard_nothing(&self) {
        for socket in &self.sockets {
            let mut buffer = [0; 2048];
            let heard = socket.recv_from(&mut buffer);
            assert!(heard.is_err(), "the spray was answered: {heard:?}");
        }
    }
}

async fn place(town: &Town, server: &Server, n: usize, steps: &Value) -> String {
    let to = format!("+1500555{}", 2000 + n);
    town.carrier.callee(&to, steps.clone()).await;
    let body = json!({"to": to, "callback_url": town.hooks.url});
    text(&server.http.create(&body).await["id"]).to_owned()
}

/// 16,000 packets at 20 calls; `RINGPROOF_LONG=1`: 10⁶ at 200.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_sprayed_over_all_ports_are_heard_by_no_call() {
    let (packets, count) = scale();
    let town = Town::found("max_calls = 250").await;
    let server = town.serve();
    let leaves = json!(["answer", "wait_until_told", {"wait": {"ms": HELD_MS}}, "hang_up"]);
    let presses = json!(["answer", "wait_until_told", {"wait": {"ms": HELD_MS}}, {"press": {"digits": "#"}}]);
    let mut calls = Vec::new();
    for n in 0..count {
        // The last one shows that a key from the callee itself counts all the while.
        let (steps, outcome) = match n + 1 == count {
            true => (&presses, "approved/key_confirmed"),
            false => (&leaves, "denied/hung_up"),
        };
        calls.push((place(&town, &server, n, steps).await, outcome));
    }
    for (id, _) in &calls {
        server.http.stage(id, "prompting").await;
    }
    let mut sprayer = Sprayer::new();
    let mut ticks = tokio::time::interval(VOLLEY_EVERY);
    for _ in 0..VOLLEYS {
        ticks.tick().await;
        sprayer.volley(packets / VOLLEYS as usize);
    }
    for (id, outcome) in &calls {
        let view = server.http.ended(id).await;
        let found = format!("{}/{}", text(&view["status"]), text(&view["reason"]));
        assert_eq!(found, *outcome, "{view}");
        let attempts = view["attempts"].as_array().unwrap();
        assert_eq!(attempts.len(), 1, "{view}");
        // All that it heard is what the callee said: a stranger's packet is not even counted.
        assert_eq!(attempts[0]["packets_lost"], 0, "{view}");
    }
    sprayer.has_heard_nothing();
    println!(
        "spray: {} packets over {} ports at {count} calls, 0 accepted, 0 octets back, 0 calls harmed",
        sprayer.sent,
        PORTS.len()
    );
    server.kill();
}
