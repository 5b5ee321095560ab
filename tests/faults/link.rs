//! A link over UDP between the server and the carrier: it loses, doubles and delays datagrams by seeded dice, and keeps a
//! tally of what passes.
//!
//! ```text
//! server ── near ▏link▕ far ── carrier
//! ```
//! The server calls `near`; its `public_address` is `far`, so that the carrier's requests come through the link too. The
//! carrier has no such setting: its Contact is written anew on the way.
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use ringproof::model::Entropy;
use ringproof::sip::message::Message;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::tally::{Tally, Way};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    pub(crate) lost_per_mille: u64,
    pub(crate) doubled_per_mille: u64,
    /// Each datagram takes up to so long, so that later ones overtake it.
    pub(crate) delay_max: Duration,
    pub(crate) seed: u64,
}

pub(crate) const FAIR: Weather = Weather {
    lost_per_mille: 0,
    doubled_per_mille: 0,
    delay_max: Duration::ZERO,
    seed: 0,
};

pub(crate) struct Link {
    pub(crate) near: SocketAddr,
    pub(crate) far: SocketAddr,
    shared: Arc<Shared>,
    tasks: [JoinHandle<()>; 2],
}

struct Shared {
    near: Arc<UdpSocket>,
    far: Arc<UdpSocket>,
    /// Its first datagram tells where it is.
    server: OnceLock<SocketAddr>,
    carrier: SocketAddr,
    weather: Weather,
    dice: Mutex<Entropy>,
    tally: Mutex<Tally>,
    counted: Mutex<Counted>,
    changed: watch::Sender<()>,
}

/// Datagrams.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counted {
    pub(crate) came: u64,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
}

impl Link {
    pub(crate) async fn start(carrier: SocketAddr, weather: Weather) -> Self {
        let (near, far) = (socket(carrier.ip()).await, socket(carrier.ip()).await);
        let shared = Arc::new(Shared {
            near: Arc::clone(&near),
            far: Arc::clone(&far),
            server: OnceLock::new(),
            carrier,
            weather,
            dice: Mutex::new(Entropy::from_number(weather.seed)),
            tally: Mutex::default(),
            counted: Mutex::default(),
            changed: watch::Sender::new(()),
        });
        Self {
            near: near.local_addr().unwrap(),
            far: far.local_addr().unwrap(),
            tasks: [Way::ToCarrier, Way::ToServer].map(|way| tokio::spawn(carry(Arc::clone(&shared), way))),
            shared,
        }
    }

    pub(crate) fn tally(&self) -> Tally {
        self.shared.tally.lock().unwrap().clone()
    }

    pub(crate) fn counted(&self) -> Counted {
        *self.shared.counted.lock().unwrap()
    }

    /// False when `liked` does not like the tally within `at_most`.
    pub(crate) async fn until(&self, at_most: Duration, liked: impl Fn(&Tally) -> bool) -> bool {
        let mut changed = self.shared.changed.subscribe();
        let search = async {
            loop {
                changed.borrow_and_update();
                if liked(&self.shared.tally.lock().unwrap()) {
                    return;
                }
                changed.changed().await.unwrap();
            }
        };
        tokio::time::timeout(at_most, search).await.is_ok()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// With room for a burst of every call at once: only the dice lose datagrams.
async fn socket(ip: IpAddr) -> Arc<UdpSocket> {
    let socket = UdpSocket::bind((ip, 0)).await.unwrap();
    rustix::net::sockopt::set_socket_recv_buffer_size(&socket, 4 << 20).unwrap();
    Arc::new(socket)
}

async fn carry(shared: Arc<Shared>, way: Way) {
    let (from, over) = match way {
        Way::ToCarrier => (&shared.near, &shared.far),
        Way::ToServer => (&shared.far, &shared.near),
    };
    let mut buffer = [0; 65_536];
    while let Ok((len, source)) = from.recv_from(&mut buffer).await {
        let to = match way {
            Way::ToCarrier => {
                let _ = shared.server.set(source);
                Some(shared.carrier)
            }
            Way::ToServer => shared.server.get().copied(),
        };
        let Some(to) = to else { continue };
        let delays = shared.fates();
        if let Ok(message) = Message::parse(&buffer[..len]) {
            shared
                .tally
                .lock()
                .unwrap()
                .note(way, &message, !delays.is_empty());
            shared.changed.send_replace(());
        }
        let octets = match way {
            Way::ToCarrier => buffer[..len].to_vec(),
            Way::ToServer => shared.with_our_contact(&buffer[..len]),
        };
        for delay in delays {
            let (over, octets) = (Arc::clone(over), octets.clone());
            if delay.is_zero() {
                let _ = over.send_to(&octets, to).await;
            } else {
                tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    // Nobody there is as good as lost.
                    let _ = over.send_to(&octets, to).await;
                });
            }
        }
    }
}

impl Shared {
    /// The delay of each copy that arrives.
    fn fates(&self) -> Vec<Duration> {
        let mut dice = self.dice.lock().unwrap();
        let mut counted = self.counted.lock().unwrap();
        counted.came += 1;
        if dice.below(1000) < self.weather.lost_per_mille {
            counted.lost += 1;
            return Vec::new();
        }
        let is_doubled = dice.below(1000) < self.weather.doubled_per_mille;
        counted.doubled += u64::from(is_doubled);
        let delay_max_us = u64::try_from(self.weather.delay_max.as_micros()).unwrap();
        (0..1 + usize::from(is_doubled))
            .map(|_| Duration::from_micros(dice.below(delay_max_us)))
            .collect()
    }

    /// The head only: a body keeps its length.
    fn with_our_contact(&self, octets: &[u8]) -> Vec<u8> {
        let Ok(text) = std::str::from_utf8(octets) else {
            return octets.to_vec();
        };
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let (theirs, ours) = (
            self.carrier.to_string(),
            self.near.local_addr().unwrap().to_string(),
        );
        let line = |line: &str| match line.starts_with("Contact:") {
            true => line.replace(&theirs, &ours),
            false => line.to_owned(),
        };
        let lines: Vec<String> = head.split("\r\n").map(line).collect();
        format!("{}\r\n\r\n{body}", lines.join("\r\n")).into_bytes()
    }
}
