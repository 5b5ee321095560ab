//! Where the peer's RTP really comes from (symmetric RTP, RFC 4961), for trunks that write a wrong address into SDP.
//!
//! ```text
//!          a valid packet of the SDP address ─────────────────────┐
//! Open ────┤                                                      ├──► Settled, until SDP names another address
//!  ▲  │    └ a run of valid packets of one other source, unbroken ┘
//!  │  └─ WINDOW over ──► Lapsed: the SDP address ─┐
//!  └────────────── the call is answered ──────────┘
//! ```
//! A run is at least [`RUN_MIN`] packets of one SSRC with consecutive sequence numbers and no step back in time, over at
//! least [`SPAN_MIN`], and no valid packet of anybody else between them. So a stranger who knows the port wins nothing
//! while the true peer is heard: where two contend, nobody is learnt.
//!
//! What it does not: judge a packet (the stream does, [`Claim`] is what it vouches for), or own a socket.
//!
//! Invariants:
//! - A source that was heard to be the peer's is never left for another, unless SDP names another address.
//! - Packets of the source that is settled on are given back in their order; nobody else's ever are.
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long it is listened for, from the first SDP and again from the answer.
pub const WINDOW: Duration = Duration::from_secs(5);
/// Packets of a run that are enough.
pub const RUN_MIN: usize = 3;
/// How long a run must last: longer than a peer who is sending is silent between two packets, jitter and all.
pub const SPAN_MIN: Duration = Duration::from_millis(100);
/// Packets of a run that are kept; of a longer burst the first ones go.
const HELD_MAX: usize = 32;
/// Between two packets of one run, in ticks of the RTP clock: a second.
const TIMESTAMP_STEP_MAX: u32 = 8000;

/// What a packet says of its stream. Only a packet that is valid under the agreement has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    pub ssrc: u32,
    pub sequence: u16,
    pub timestamp: u32,
}

#[derive(Debug, Clone)]
pub struct Learning {
    /// As SDP has it.
    agreed: SocketAddr,
    /// Where packets go now.
    source: SocketAddr,
    state: State,
    /// Packets of the run, or of the source that was settled on.
    held: VecDeque<Vec<u8>>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Open { until: Instant, run: Option<Run> },
    Settled,
    Lapsed,
}

#[derive(Debug, Clone, Copy)]
struct Run {
    source: SocketAddr,
    began: Instant,
    packets: usize,
    last: Claim,
}

impl Learning {
    #[must_use]
    pub fn begin(now: Instant, agreed: SocketAddr) -> Self {
        Self {
            agreed,
            source: agreed,
            state: State::Open {
                until: now + WINDOW,
                run: None,
            },
            held: VecDeque::new(),
        }
    }

    /// The address of SDP that this began with.
    #[must_use]
    pub const fn agreed(&self) -> SocketAddr {
        self.agreed
    }

    /// Where packets go: the SDP address until another one is learnt.
    #[must_use]
    pub const fn source(&self) -> SocketAddr {
        self.source
    }

    /// Whether another source may still be learnt.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// The call was answered: what is heard from now on is the callee. Where nobody was heard before, it is listened for
    /// afresh.
    pub fn answered(&mut self, now: Instant) {
        let run = match self.state {
            State::Settled => return,
            State::Open { run, .. } => run,
            State::Lapsed => None,
        };
        self.state = State::Open {
            until: now + WINDOW,
            run,
        };
    }

    /// Takes one datagram and what the stream vouches for; tells whether it has settled just now. Then
    /// [`Self::next_held`] gives the packets that came of that source.
    pub fn packet(
        &mut self,
        now: Instant,
        source: SocketAddr,
        claim: Option<Claim>,
        datagram: &[u8],
    ) -> bool {
        let (State::Open { run, .. }, Some(claim)) = (&mut self.state, claim) else {
            return false;
        };
        if is_same(source, self.agreed) {
            self.held.clear();
            self.held.push_back(datagram.to_vec());
            self.state = State::Settled;
            return true;
        }
        let follows = run.filter(|run| run.source == source && claim.follows(run.last));
        if follows.is_none() {
            self.held.clear();
        }
        if self.held.len() >= HELD_MAX {
            self.held.pop_front();
        }
        self.held.push_back(datagram.to_vec());
        let grown = Run {
            source,
            began: follows.map_or(now, |run| run.began),
            packets: follows.map_or(1, |run| run.packets + 1),
            last: claim,
        };
        *run = Some(grown);
        if grown.packets < RUN_MIN || now.saturating_duration_since(grown.began) < SPAN_MIN {
            return false;
        }
        self.source = source;
        self.state = State::Settled;
        true
    }

    /// Whether the window has ended just now.
    pub fn poll(&mut self, now: Instant) -> bool {
        let over = matches!(self.state, State::Open { until, .. } if now >= until);
        if over {
            self.lapse();
        }
        over
    }

    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Open { until, .. } => Some(until),
            State::Settled | State::Lapsed => None,
        }
    }

    /// What was learnt cannot be used, or nothing was: the SDP address it is.
    pub fn lapse(&mut self) {
        self.source = self.agreed;
        self.state = State::Lapsed;
        self.held.clear();
    }

    /// The next packet of the source that was settled on.
    pub fn next_held(&mut self) -> Option<Vec<u8>> {
        match self.state {
            State::Settled => self.held.pop_front(),
            State::Open { .. } | State::Lapsed => None,
        }
    }
}

impl Claim {
    const fn follows(self, last: Self) -> bool {
        self.ssrc == last.ssrc
            && self.sequence == last.sequence.wrapping_add(1)
            && self.timestamp.wrapping_sub(last.timestamp) <= TIMESTAMP_STEP_MAX
    }
}

/// The kernel writes an IPv4 peer of an IPv6 socket in its own way, and adds a scope.
#[must_use]
pub fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port() && one.ip().to_canonical() == other.ip().to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Entropy;

    const PTIME: Duration = Duration::from_millis(20);

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn claim(ssrc: u32, number: u16) -> Claim {
        Claim {
            ssrc,
            sequence: number.wrapping_add(65_530),
            timestamp: u32::from(number) * 160,
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a test needs some origin; only differences count"
    )]
    fn origin() -> Instant {
        Instant::now()
    }

    struct Bench {
        began: Instant,
        learning: Learning,
    }

    impl Bench {
        fn new() -> Self {
            let began = origin();
            Self {
                began,
                learning: Learning::begin(began, at(4000)),
            }
        }

        fn hears(&mut self, ms: u64, port: u16, claim: Option<Claim>) -> bool {
            let now = self.began + Duration::from_millis(ms);
            let datagram = claim.map_or(Vec::new(), |claim| claim.sequence.to_be_bytes().to_vec());
            self.learning.packet(now, at(port), claim, &datagram)
        }

        fn held(&mut self) -> Vec<u16> {
            std::iter::from_fn(|| self.learning.next_held())
                .map(|octets| u16::from_be_bytes([octets[0], octets[1]]).wrapping_sub(65_530))
                .collect()
        }
    }

    #[test]
    fn a_valid_packet_of_the_agreed_address_settles_at_once() {
        let mut bench = Bench::new();
        assert!(!bench.hears(0, 5000, Some(claim(7, 0))));
        assert!(!bench.hears(20, 4000, None));
        assert!(bench.learning.is_open());
        assert!(bench.hears(40, 4000, Some(claim(1, 9))));
        assert!(!bench.learning.is_open());
        assert_eq!(bench.learning.source(), at(4000));
        assert_eq!(bench.held(), [9]);
    }

    #[test]
    fn a_run_of_another_source_is_learnt_with_all_its_packets() {
        let mut bench = Bench::new();
        for number in 0..5 {
            assert!(!bench.hears(u64::from(number) * 20, 5000, Some(claim(7, number))));
            assert!(bench.held().is_empty());
        }
        assert_eq!(bench.learning.source(), at(4000));
        assert!(bench.hears(100, 5000, Some(claim(7, 5))));
        assert_eq!(bench.learning.source(), at(5000));
        assert_eq!(bench.learning.agreed(), at(4000));
        assert_eq!(bench.held(), [0, 1, 2, 3, 4, 5]);
        assert_eq!(bench.learning.poll_timeout(), None);
    }

    #[test]
    fn a_burst_is_not_enough_and_its_followers_are() {
        let mut bench = Bench::new();
        for number in 0..40 {
            assert!(!bench.hears(0, 5000, Some(claim(7, number))));
        }
        assert!(bench.hears(100, 5000, Some(claim(7, 40))));
        assert_eq!(bench.held(), (9..=40).collect::<Vec<_>>());
        let mut bench = Bench::new();
        assert!(!bench.hears(0, 5000, Some(claim(7, 0))));
        assert!(
            !bench.hears(900, 5000, Some(claim(7, 1))),
            "two packets are no run"
        );
        assert!(bench.hears(901, 5000, Some(claim(7, 2))));
    }

    #[test]
    fn a_gap_another_ssrc_a_step_back_in_time_and_another_port_begin_a_run_anew() {
        let stepped_back = Claim {
            timestamp: 0,
            ..claim(7, 3)
        };
        for (port, broken) in [
            (5000, claim(7, 4)),
            (5000, claim(7, 2)),
            (5000, claim(8, 3)),
            (5000, stepped_back),
            (5001, claim(7, 3)),
        ] {
            let mut bench = Bench::new();
            assert!(!bench.hears(0, 5000, Some(claim(7, 1))));
            assert!(!bench.hears(60, 5000, Some(claim(7, 2))));
            assert!(!bench.hears(120, port, Some(broken)), "{broken:?}");
        }
    }

    #[test]
    fn what_the_stream_does_not_vouch_for_neither_counts_nor_breaks_a_run() {
        let mut bench = Bench::new();
        for ms in 0..1000 {
            assert!(!bench.hears(ms, 5000, None));
        }
        assert!(!bench.hears(1000, 5000, Some(claim(7, 0))));
        assert!(!bench.hears(1010, 5001, None));
        assert!(!bench.hears(1050, 5000, Some(claim(7, 1))));
        assert!(!bench.hears(1060, 5000, None));
        assert!(bench.hears(1100, 5000, Some(claim(7, 2))));
        assert_eq!(bench.held(), [0, 1, 2]);
    }

    #[test]
    fn a_source_that_settled_is_never_left() {
        for settled in [4000, 5000] {
            let mut bench = Bench::new();
            for number in 0..6 {
                bench.hears(u64::from(number) * 20, settled, Some(claim(1, number)));
            }
            bench.held();
            for number in 0..200 {
                for port in [4000, 5000, 6000] {
                    assert!(!bench.hears(200 + u64::from(number) * 20, port, Some(claim(9, number))));
                }
            }
            bench.learning.answered(bench.began + WINDOW);
            assert!(!bench.learning.poll(bench.began + WINDOW * 3));
            assert_eq!(bench.learning.source(), at(settled));
            assert!(bench.held().is_empty());
        }
    }

    #[test]
    fn the_window_ends_on_the_agreed_address_and_the_answer_opens_another() {
        let mut bench = Bench::new();
        let end = bench.began + WINDOW;
        assert!(!bench.hears(4980, 5000, Some(claim(7, 0))));
        assert!(!bench.learning.poll(end - PTIME));
        assert_eq!(bench.learning.poll_timeout(), Some(end));
        assert!(bench.learning.poll(end) && !bench.learning.poll(end));
        assert_eq!(bench.learning.source(), at(4000));
        assert!(!bench.hears(5000, 4000, Some(claim(1, 0))));
        assert!(bench.held().is_empty());
        bench.learning.answered(end + WINDOW);
        assert_eq!(bench.learning.poll_timeout(), Some(end + WINDOW * 2));
        for number in 1..7 {
            bench.hears(10_000 + u64::from(number) * 20, 5000, Some(claim(7, number)));
        }
        assert_eq!(bench.learning.source(), at(5000));
    }

    #[test]
    fn strangers_who_spray_are_not_learnt_while_the_peer_sends() {
        for seed in 0..300 {
            let mut entropy = Entropy::from_number(seed);
            let mut bench = Bench::new();
            // Behind NAT in every other world; strangers send much more often and count as they should.
            let peer = if seed % 2 == 0 { 4000 } else { 5000 };
            let strangers = 1 + entropy.below(4) as u16;
            let mut counts = [0; 4];
            // Up to 79 ms late, so that two of its packets are less than 100 ms apart.
            let mut next_ms = entropy.below(80);
            let mut number = 0;
            for ms in 0..5000 {
                if ms == next_ms {
                    bench.hears(ms, peer, Some(claim(1, number)));
                    number += 1;
                    next_ms = (u64::from(number) * 20 + entropy.below(80)).max(ms + 1);
                }
                for _ in 0..entropy.below(4) {
                    let which = entropy.below(strangers.into()) as usize;
                    bench.hears(
                        ms,
                        6000 + which as u16,
                        Some(claim(50 + which as u32, counts[which])),
                    );
                    counts[which] += 1;
                }
            }
            let source = bench.learning.source();
            assert!([at(peer), at(4000)].contains(&source), "seed {seed}: {source}");
        }
    }

    #[test]
    fn an_address_is_the_same_in_the_form_of_an_ipv6_socket() {
        let mapped: SocketAddr = "[::ffff:192.0.2.1]:4000".parse().unwrap();
        assert!(is_same(mapped, at(4000)) && !is_same(mapped, at(4001)));
    }
}
