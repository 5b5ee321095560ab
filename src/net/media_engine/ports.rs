//! The RTP ports: pairs of an even port (RTP) and the next one (RTCP), taken at random.
//!
//! A random port makes a blind injector guess (SAFETY 3). A port that was given back rests before it is taken
//! again, so that packets of the last call on it do not meet the next one; when nothing else is left the
//! longest-rested goes first. Exhaustion is known without asking the kernel.
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::Refusal;
use crate::model::Entropy;

/// How long a port rests.
const REST: Duration = Duration::from_secs(5);

/// Ports tried for one leg before giving up; another program may own some of the range.
const TRIES: usize = 16;

#[derive(Debug)]
pub(super) struct PortPool {
    bind: IpAddr,
    ports: Mutex<Ports>,
}

#[derive(Debug)]
struct Ports {
    free: Vec<u16>,
    resting: VecDeque<(Instant, u16)>,
    entropy: Entropy,
}

/// Two bound sockets; their ports go back to the pool when it drops.
#[derive(Debug)]
pub(super) struct PortPair {
    pub(super) rtp: UdpSocket,
    pub(super) rtcp: UdpSocket,
    pub(super) local: SocketAddr,
    // Last, so that the sockets are closed before the port is free.
    _lease: Lease,
}

#[derive(Debug)]
struct Lease {
    port: u16,
    pool: Arc<PortPool>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.lock().resting.push_back((Instant::now(), self.port));
    }
}

impl PortPool {
    pub(super) fn new(bind: IpAddr, range: &RangeInclusive<u16>, entropy: Entropy) -> Self {
        // Port 0 would let the kernel choose.
        let free = range
            .clone()
            .filter(|port| *port != 0 && port % 2 == 0 && *port < *range.end())
            .collect();
        Self {
            bind,
            ports: Mutex::new(Ports {
                free,
                resting: VecDeque::new(),
                entropy,
            }),
        }
    }

    /// A bound, non-blocking pair, unless the range is used up or the process may open no more files.
    pub(super) fn take(self: &Arc<Self>) -> Result<PortPair, Refusal> {
        let mut in_use_elsewhere = Vec::new();
        let mut pair = Err(Refusal::NoPort);
        for _ in 0..TRIES {
            let Some(port) = self.lock().draw(Instant::now()) else {
                break;
            };
            match self.bind_pair(port) {
                Ok(bound) => {
                    pair = Ok(bound);
                    break;
                }
                Err(error) => {
                    in_use_elsewhere.push(port);
                    if matches!(Errno::from_io_error(&error), Some(Errno::MFILE | Errno::NFILE)) {
                        pair = Err(Refusal::NoFile);
                        break;
                    }
                }
            }
        }
        if !in_use_elsewhere.is_empty() {
            let mut ports = self.lock();
            let now = Instant::now();
            ports
                .resting
                .extend(in_use_elsewhere.into_iter().map(|port| (now, port)));
        }
        pair
    }

    pub(super) fn free(&self) -> usize {
        let ports = self.lock();
        ports.free.len() + ports.resting.len()
    }

    fn bind_pair(self: &Arc<Self>, port: u16) -> io::Result<PortPair> {
        let local = SocketAddr::new(self.bind, port);
        let rtp = UdpSocket::bind(local)?;
        let rtcp = UdpSocket::bind(SocketAddr::new(self.bind, port + 1))?;
        rtp.set_nonblocking(true)?;
        rtcp.set_nonblocking(true)?;
        Ok(PortPair {
            rtp,
            rtcp,
            local,
            _lease: Lease {
                port,
                pool: Arc::clone(self),
            },
        })
    }

    fn lock(&self) -> MutexGuard<'_, Ports> {
        // Nobody panics while holding it, and the lists stay whole at every step.
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ports {
    fn draw(&mut self, now: Instant) -> Option<u16> {
        while let Some((since, port)) = self.resting.front().copied() {
            if now.saturating_duration_since(since) < REST {
                break;
            }
            self.resting.pop_front();
            self.free.push(port);
        }
        if self.free.is_empty() {
            return self.resting.pop_front().map(|(_, port)| port);
        }
        let index = self.entropy.below(self.free.len() as u64) as usize;
        Some(self.free.swap_remove(index))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::Ipv4Addr;

    use super::*;

    fn ports(range: RangeInclusive<u16>) -> Ports {
        PortPool::new(Ipv4Addr::LOCALHOST.into(), &range, Entropy::from_number(1))
            .ports
            .into_inner()
            .unwrap()
    }

    #[test]
    fn only_even_ports_whose_neighbour_is_in_the_range_are_drawn_each_once() {
        let mut ports = ports(10_001..=10_008);
        let now = Instant::now();
        let drawn: Vec<u16> = std::iter::from_fn(|| ports.draw(now)).collect();
        assert_eq!(drawn.len(), 3);
        assert_eq!(
            drawn.into_iter().collect::<BTreeSet<_>>(),
            BTreeSet::from([10_002, 10_004, 10_006])
        );
    }

    #[test]
    fn the_order_of_ports_is_not_the_order_of_numbers() {
        let mut ports = ports(10_000..=10_999);
        let now = Instant::now();
        let drawn: Vec<u16> = std::iter::from_fn(|| ports.draw(now)).collect();
        assert_eq!(drawn.len(), 500);
        assert!(!drawn.is_sorted() && !drawn.iter().rev().is_sorted());
    }

    #[test]
    fn a_port_rests_before_it_is_drawn_again_unless_nothing_else_is_left() {
        let mut ports = ports(10_000..=10_003);
        let now = Instant::now();
        let first = ports.draw(now).unwrap();
        ports.resting.push_back((now, first));
        let second = ports.draw(now).unwrap();
        assert_ne!(first, second);
        assert_eq!(ports.draw(now), Some(first));
        ports.resting.push_back((now, first));
        assert_eq!(ports.draw(now + REST), Some(first));
        assert_eq!(ports.draw(now + REST), None);
    }

    #[test]
    fn an_empty_range_has_no_port() {
        #[expect(clippy::reversed_empty_ranges, reason = "what a wrong configuration may hold")]
        let range = 20_000..=10_000;
        assert_eq!(ports(range).draw(Instant::now()), None);
        assert_eq!(ports(0..=1).draw(Instant::now()), None);
    }
}
