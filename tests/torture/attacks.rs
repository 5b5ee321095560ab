//! The server's SIP port under fire, over each transport: a sweep of header fields, mutations, strangers. Nothing may end
//! it, make it grow, or make it say more than it heard.
use std::net::SocketAddr;

use ringproof::sip::transport::SipTransport::{self, Tcp, Tls, Udp};
use tokio::net::TcpListener;

use super::dice::{Dice, mutate};
use super::messages::{FIELDS, good, seeds, strangers, swept, values};
use super::peer::{Datagrams, Heard, Peer, Streams};
use super::server::Server;

/// So many datagrams fit into the socket's queue at once.
const BATCH: usize = 24;
/// SAFETY §2: what torture may leave behind in memory.
const GROWTH_KB_MAX: u64 = 8 * 1024;
/// No connection outlives it: its line is longer than any that the server reads, whatever came before.
const LAST_WORDS: [u8; 20_000] = [b'x'; 20_000];

struct Battle {
    server: Server,
    peer: Peer,
    octets_in: usize,
    sent: usize,
    heard: Heard,
}

impl Battle {
    async fn begin(transport: SipTransport) -> Self {
        let server = Server::start();
        let peer = Peer::at([127, 0, 0, 1], &server, transport).await;
        Self {
            server,
            peer,
            octets_in: 0,
            sent: 0,
            heard: Heard::default(),
        }
    }

    async fn fire(&mut self, batch: &[Vec<u8>]) {
        let Heard { answers, octets } = self.peer.fire(batch).await;
        let heard: usize = batch.iter().map(Vec::len).sum();
        assert!(
            octets * 2 <= heard * 3,
            "{octets} octets said for {heard} heard: {batch:?}"
        );
        // On a stream a torn message can be two.
        let messages = batch.len()
            * if matches!(self.peer, Peer::Streams(_)) {
                2
            } else {
                1
            };
        assert!(answers <= messages, "{answers} answers for {batch:?}");
        self.octets_in += heard;
        self.sent += batch.len();
        self.heard.answers += answers;
        self.heard.octets += octets;
    }

    fn tell(&mut self, what: &str, growth_kb: i64) {
        assert!(self.server.served.is_alive(), "the server died");
        let ratio = self.heard.octets as f64 / self.octets_in as f64;
        let (sent, answers) = (self.sent, self.heard.answers);
        let connections = match self.peer.connections() {
            0 => String::new(),
            made => format!("{made} connections, "),
        };
        println!(
            "{what}: {sent} messages, {answers} answers, {ratio:.2} octets said per octet heard, {connections}memory {growth_kb:+} kB"
        );
    }
}

/// The first tenth warms the allocator up; what comes after must leave nothing behind.
async fn rage(what: &str, battle: &mut Battle, count: usize, mut next: impl FnMut(usize) -> Vec<u8>) {
    let mut resident = 0;
    for first in (0..count).step_by(BATCH) {
        let batch: Vec<Vec<u8>> = (first..(first + BATCH).min(count)).map(&mut next).collect();
        battle.fire(&batch).await;
        if resident == 0 && first >= count / 10 {
            resident = battle.server.served.resident_kb();
        }
    }
    let after = battle.server.served.resident_kb();
    let growth = i64::try_from(after).unwrap() - i64::try_from(resident).unwrap();
    battle.tell(what, growth);
    assert!(
        after <= resident + GROWTH_KB_MAX,
        "grew from {resident} to {after} kB"
    );
}

async fn sweep(transport: SipTransport) {
    let (values, good) = (values(), good(transport));
    assert!(
        FIELDS.len() >= 50 && values.len() >= 60,
        "{} values",
        values.len()
    );
    let mut battle = Battle::begin(transport).await;
    let count = FIELDS.len() * values.len();
    let sweep = |index: usize| {
        let (field, value) = (FIELDS[index / values.len()], &values[index % values.len()]);
        swept(&good, field, value, u32::try_from(index).unwrap())
    };
    let what = format!("sweep over {}", transport.param());
    rage(&what, &mut battle, count, sweep).await;
    // The walk is over: a good message is still answered as before.
    assert_eq!(battle.peer.fire(&[]).await, Heard::default());
}

#[tokio::test]
async fn every_field_with_every_value_leaves_the_server_as_it_was() {
    sweep(Udp).await;
}

#[tokio::test]
async fn every_field_with_every_value_over_tcp_leaves_the_server_as_it_was() {
    sweep(Tcp).await;
}

#[tokio::test]
async fn every_field_with_every_value_over_tls_leaves_the_server_as_it_was() {
    sweep(Tls).await;
}

/// `RINGPROOF_LONG=1`: a hundred times as many. `RINGPROOF_SEED` repeats one.
async fn mutations(transport: SipTransport) {
    let count = 100_000;
    let long = std::env::var("RINGPROOF_LONG").is_ok_and(|v| v == "1");
    let count = if long { count * 100 } else { count };
    let seed = std::env::var("RINGPROOF_SEED").map_or(4475, |seed| seed.parse().unwrap());
    let what = format!("mutations over {} (seed {seed})", transport.param());
    let mut dice = Dice::new(seed);
    let seeds = seeds(&good(transport));
    assert!(seeds.len() > 60);
    let mut battle = Battle::begin(transport).await;
    let next = |_| {
        let (one, other) = (dice.below(seeds.len()), dice.below(seeds.len()));
        mutate(&mut dice, &seeds[one], &seeds[other])
    };
    rage(&what, &mut battle, count, next).await;
}

#[tokio::test]
async fn mutations_leave_the_server_as_it_was() {
    mutations(Udp).await;
}

#[tokio::test]
async fn mutations_over_tcp_leave_the_server_as_it_was() {
    mutations(Tcp).await;
}

/// Most of them cost a handshake.
#[tokio::test]
async fn mutations_over_tls_leave_the_server_as_it_was() {
    mutations(Tls).await;
}

#[tokio::test]
async fn fifty_kinds_of_strangers_hear_nothing() {
    let kinds = strangers(&good(Udp));
    assert!(kinds.len() >= 50, "{}", kinds.len());
    let mut battle = Battle::begin(Udp).await;
    let stranger = Datagrams::at([127, 0, 0, 2], battle.server.served.sip("udp")).await;
    for kind in &kinds {
        stranger.send(kind).await;
        // Whatever the stranger was answered has left before this.
        let to_the_trunk = battle.peer.fire(&[]).await;
        assert_eq!(to_the_trunk, Heard::default(), "answered to the trunk: {kind:?}");
        let mut buffer = [0; 4096];
        let heard = stranger.socket.try_recv_from(&mut buffer);
        assert!(heard.is_err(), "a stranger was answered: {kind:?}");
    }
    assert!(battle.server.served.is_alive());
}

/// Nor on a connection of theirs, nor on one that the server would open to the port of their Via, as it does for a
/// trunk whose connection has ended (RFC 3261 §18.2.2).
async fn strangers_hear_nothing_over(transport: SipTransport) {
    const IP: [u8; 4] = [127, 0, 0, 2];
    let via = TcpListener::bind(SocketAddr::from((IP, 0))).await.unwrap();
    let port = via.local_addr().unwrap().port();
    let good = good(transport).replace(":5999", &format!(":{port}"));
    let mut battle = Battle::begin(transport).await;
    let mut stranger = Streams::at(IP, &battle.server, transport);
    let kinds = strangers(&good);
    for kind in &kinds {
        let mut line = stranger.connect().await.expect("a stranger may connect");
        line.write(kind).await;
        line.write(&LAST_WORDS).await;
        assert_eq!(line.to_its_end().await, Heard::default(), "{kind:?}");
        let to_the_trunk = battle.peer.fire(&[]).await;
        assert_eq!(to_the_trunk, Heard::default(), "answered to the trunk: {kind:?}");
    }
    let called = tokio::select! {
        biased;
        called = via.accept() => Some(called.unwrap().1),
        () = std::future::ready(()) => None,
    };
    assert_eq!(called, None, "a stranger was called back");
    println!(
        "strangers over {}: {} kinds, 0 octets",
        transport.param(),
        kinds.len()
    );
    assert!(battle.server.served.is_alive());
}

#[tokio::test]
async fn fifty_kinds_of_strangers_hear_nothing_over_tcp() {
    strangers_hear_nothing_over(Tcp).await;
}

#[tokio::test]
async fn fifty_kinds_of_strangers_hear_nothing_over_tls() {
    strangers_hear_nothing_over(Tls).await;
}

/// `connections_per_source` of them, and the others are closed before they are read.
#[tokio::test]
async fn a_stranger_has_a_few_connections_and_the_trunk_its_own() {
    let mut battle = Battle::begin(Tcp).await;
    let mut stranger = Streams::at([127, 0, 0, 2], &battle.server, Tcp);
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(stranger.connect().await.unwrap());
    }
    // Accepted in order: when one more is closed, all of them have been judged.
    let mut one_more = stranger.connect().await.unwrap();
    assert_eq!(one_more.to_its_end().await, Heard::default());
    assert_eq!(battle.peer.fire(&[]).await, Heard::default());
    drop(held);
    assert!(battle.server.served.is_alive());
}
