//! How many datagrams a stranger may make us parse.
//!
//! A token bucket per source address, in a table of bounded size; when the table is full the rest of the world
//! shares one bucket. Peers of a trunk are not counted here.
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

/// Datagrams a second, and at once, from one source.
const RATE_PER_S: f64 = 50.0;
const BURST: f64 = 100.0;

/// Sources told apart.
const SOURCES_MAX: usize = 4096;

#[derive(Debug)]
pub(in crate::net) struct Allowances {
    sources: HashMap<IpAddr, Bucket>,
    others: Bucket,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Allowances {
    pub(in crate::net) fn new(now: Instant) -> Self {
        Self {
            sources: HashMap::new(),
            others: Bucket::full(now),
        }
    }

    /// Takes one datagram from the source's allowance; false when it is used up.
    pub(in crate::net) fn take(&mut self, source: IpAddr, now: Instant) -> bool {
        let key = network_of(source);
        if let Some(bucket) = self.sources.get_mut(&key) {
            return bucket.take(now);
        }
        if self.sources.len() >= SOURCES_MAX {
            // A full bucket says no more than a new one would.
            self.sources.retain(|_, bucket| !bucket.is_full(now));
        }
        if self.sources.len() >= SOURCES_MAX {
            return self.others.take(now);
        }
        self.sources.entry(key).or_insert(Bucket::full(now)).take(now)
    }
}

impl Bucket {
    const fn full(now: Instant) -> Self {
        Self {
            tokens: BURST,
            at: now,
        }
    }

    fn refilled(&self, now: Instant) -> f64 {
        let seconds = now.saturating_duration_since(self.at).as_secs_f64();
        seconds.mul_add(RATE_PER_S, self.tokens).min(BURST)
    }

    fn is_full(&self, now: Instant) -> bool {
        self.refilled(now) >= BURST
    }

    fn take(&mut self, now: Instant) -> bool {
        self.tokens = self.refilled(now);
        self.at = now;
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

/// An IPv6 host owns a /64 and can change its address at will.
fn network_of(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    fn taken(allowances: &mut Allowances, source: IpAddr, now: Instant) -> usize {
        (0..1000).filter(|_| allowances.take(source, now)).count()
    }

    #[test]
    fn a_source_gets_its_burst_and_then_its_rate() {
        let now = Instant::now();
        let mut allowances = Allowances::new(now);
        let source = Ipv4Addr::new(192, 0, 2, 1).into();
        assert_eq!(taken(&mut allowances, source, now), 100);
        assert_eq!(taken(&mut allowances, source, now + Duration::from_secs(1)), 50);
        assert_eq!(
            taken(&mut allowances, Ipv4Addr::new(192, 0, 2, 2).into(), now),
            100
        );
    }

    #[test]
    fn one_ipv6_network_is_one_source() {
        let now = Instant::now();
        let mut allowances = Allowances::new(now);
        assert_eq!(taken(&mut allowances, "2001:db8::1".parse().unwrap(), now), 100);
        assert_eq!(taken(&mut allowances, "2001:db8::2".parse().unwrap(), now), 0);
        assert_eq!(
            taken(&mut allowances, "2001:db8:0:1::1".parse().unwrap(), now),
            100
        );
    }

    #[test]
    fn a_spray_of_sources_stays_bounded_and_shares_one_bucket() {
        let now = Instant::now();
        let mut allowances = Allowances::new(now);
        let passed = (0..20_000_u32)
            .filter(|n| allowances.take(Ipv4Addr::from_bits(0x0a00_0000 + n).into(), now))
            .count();
        assert_eq!(allowances.sources.len(), SOURCES_MAX);
        assert_eq!(passed, SOURCES_MAX + 100);
        let later = now + Duration::from_secs(10);
        assert!(allowances.take(Ipv4Addr::new(192, 0, 2, 1).into(), later));
        assert_eq!(allowances.sources.len(), 1);
    }
}
