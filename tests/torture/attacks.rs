use super::dice::{Dice, mutate};
use super::messages::{FIELDS, seeds, strangers, swept, values};
use super::server::{Peer, Server};

/// So many datagrams fit into the socket's queue at once.
const BATCH: usize = 24;
/// SAFETY §2: what torture may leave behind in memory.
const GROWTH_KB_MAX: u64 = 8 * 1024;

struct Battle {
    server: Server,
    peer: Peer,
    octets_in: usize,
    octets_out: usize,
    sent: usize,
    answers: usize,
}

impl Battle {
    async fn begin() -> Self {
        let server = Server::start();
        let peer = Peer::at([127, 0, 0, 1], server.sip).await;
        Self {
            server,
            peer,
            octets_in: 0,
            octets_out: 0,
            sent: 0,
            answers: 0,
        }
    }

    async fn fire(&mut self, batch: &[Vec<u8>]) {
        for datagram in batch {
            self.peer.send(datagram).await;
        }
        let answers = self.peer.before_the_next_answer().await;
        let (heard, said): (usize, usize) = (batch.iter().map(Vec::len).sum(), answers.iter().sum());
        assert!(
            said * 2 <= heard * 3,
            "{said} octets said for {heard} heard: {batch:?}"
        );
        assert!(
            answers.len() <= batch.len(),
            "{} answers for {batch:?}",
            answers.len()
        );
        self.octets_in += heard;
        self.octets_out += said;
        self.sent += batch.len();
        self.answers += answers.len();
    }

    fn tell(&mut self, what: &str, growth_kb: i64) {
        assert!(self.server.is_alive(), "the server died");
        let ratio = self.octets_out as f64 / self.octets_in as f64;
        println!(
            "{what}: {} messages, {} answers, {ratio:.2} octets said per octet heard, memory {growth_kb:+} kB",
            self.sent, self.answers
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
            resident = battle.server.resident_kb();
        }
    }
    let after = battle.server.resident_kb();
    let growth = i64::try_from(after).unwrap() - i64::try_from(resident).unwrap();
    battle.tell(what, growth);
    assert!(
        after <= resident + GROWTH_KB_MAX,
        "grew from {resident} to {after} kB"
    );
}

#[tokio::test]
async fn every_field_with_every_value_leaves_the_server_as_it_was() {
    let values = values();
    assert!(
        FIELDS.len() >= 50 && values.len() >= 60,
        "{} values",
        values.len()
    );
    let mut battle = Battle::begin().await;
    let count = FIELDS.len() * values.len();
    let sweep = |index: usize| {
        let (field, value) = (FIELDS[index / values.len()], &values[index % values.len()]);
        swept(field, value, u32::try_from(index).unwrap())
    };
    rage("sweep", &mut battle, count, sweep).await;
    // The walk is over: a good message is still answered as before.
    assert_eq!(battle.peer.before_the_next_answer().await, Vec::<usize>::new());
}

/// 10⁵; `RINGPROOF_LONG=1`: 10⁷. `RINGPROOF_SEED` repeats one.
#[tokio::test]
async fn mutations_leave_the_server_as_it_was() {
    let long = std::env::var("RINGPROOF_LONG").is_ok_and(|v| v == "1");
    let count = if long { 10_000_000 } else { 100_000 };
    let seed = std::env::var("RINGPROOF_SEED").map_or(4475, |seed| seed.parse().unwrap());
    println!("seed {seed}");
    let mut dice = Dice::new(seed);
    let seeds = seeds();
    assert!(seeds.len() > 60);
    let mut battle = Battle::begin().await;
    let next = |_| {
        let (one, other) = (dice.below(seeds.len()), dice.below(seeds.len()));
        mutate(&mut dice, &seeds[one], &seeds[other])
    };
    rage("mutations", &mut battle, count, next).await;
}

#[tokio::test]
async fn fifty_kinds_of_strangers_hear_nothing() {
    let kinds = strangers();
    assert!(kinds.len() >= 50, "{}", kinds.len());
    let mut battle = Battle::begin().await;
    let stranger = Peer::at([127, 0, 0, 2], battle.server.sip).await;
    for kind in &kinds {
        stranger.send(kind).await;
        // Whatever the stranger was answered has left before this.
        let to_the_trunk = battle.peer.before_the_next_answer().await;
        assert!(to_the_trunk.is_empty(), "answered to the trunk: {kind:?}");
        let mut buffer = [0; 4096];
        let heard = stranger.socket.try_recv_from(&mut buffer);
        assert!(heard.is_err(), "a stranger was answered: {kind:?}");
    }
    assert!(battle.server.is_alive());
}
