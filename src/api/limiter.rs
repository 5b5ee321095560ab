//! Counts failed sign-ins per address, so that keys cannot be guessed at speed.
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Mutex;
use std::time::Duration;

use crate::model::UnixMillis;

/// Failures an address may make within the window.
const FAILURES_MAX: u32 = 20;
const WINDOW: Duration = Duration::from_secs(60);
/// Beyond this many addresses old windows are forgotten: memory stays bounded under a flood.
const ADDRESSES_MAX: usize = 10_000;

#[derive(Debug, Clone, Copy)]
struct Window {
    began_at: UnixMillis,
    failures: u32,
}

#[derive(Debug, Default)]
pub(super) struct FailureLimiter {
    windows: Mutex<BTreeMap<IpAddr, Window>>,
}

impl FailureLimiter {
    /// Seconds until the address may try again; `None` when it may now.
    pub(super) fn wait_s(&self, address: IpAddr, now: UnixMillis) -> Option<u64> {
        let windows = self.lock();
        let window = windows.get(&network(address))?;
        let left = window.began_at.plus(WINDOW).since(now);
        (window.failures >= FAILURES_MAX && !left.is_zero()).then(|| left.as_secs().max(1))
    }

    pub(super) fn count_failure(&self, address: IpAddr, now: UnixMillis) {
        let mut windows = self.lock();
        if windows.len() >= ADDRESSES_MAX {
            make_room(&mut windows, now);
        }
        let fresh = Window {
            began_at: now,
            failures: 0,
        };
        let window = windows.entry(network(address)).or_insert(fresh);
        if window.began_at.plus(WINDOW).since(now).is_zero() {
            *window = fresh;
        }
        window.failures = window.failures.saturating_add(1);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<IpAddr, Window>> {
        // A panic while holding the lock leaves counters that are still good enough to count on.
        self.windows
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Forgets closed windows, and when that frees nothing the older half: a flood pays once per many insertions.
fn make_room(windows: &mut BTreeMap<IpAddr, Window>, now: UnixMillis) {
    windows.retain(|_, w| !w.began_at.plus(WINDOW).since(now).is_zero());
    if windows.len() < ADDRESSES_MAX {
        return;
    }
    let mut by_age: Vec<(UnixMillis, IpAddr)> = windows.iter().map(|(a, w)| (w.began_at, *a)).collect();
    by_age.sort_unstable();
    for (_, address) in by_age.into_iter().take(ADDRESSES_MAX / 2) {
        windows.remove(&address);
    }
}

/// An IPv6 subscriber commands a /64: its addresses count as one.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_stopped_after_its_failures_and_freed_by_the_window() {
        let (limiter, address) = (FailureLimiter::default(), "192.0.2.1".parse().unwrap());
        let now = UnixMillis(1_000);
        for _ in 0..FAILURES_MAX {
            assert_eq!(limiter.wait_s(address, now), None);
            limiter.count_failure(address, now);
        }
        assert_eq!(limiter.wait_s(address, now), Some(60));
        assert_eq!(limiter.wait_s("192.0.2.2".parse().unwrap(), now), None);
        assert_eq!(limiter.wait_s(address, now.plus(WINDOW)), None);
    }

    #[test]
    fn one_ipv6_subscriber_counts_once_and_a_flood_of_addresses_stays_bounded() {
        let limiter = FailureLimiter::default();
        for host in 0..u128::from(FAILURES_MAX) {
            let address = IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8 << 96) | host));
            limiter.count_failure(address, UnixMillis(0));
        }
        assert!(
            limiter
                .wait_s("2001:db8::ffff".parse().unwrap(), UnixMillis(0))
                .is_some()
        );
        for host in 0..20_000_u32 {
            limiter.count_failure(IpAddr::V4(host.into()), UnixMillis(1));
        }
        assert!(limiter.lock().len() <= ADDRESSES_MAX);
    }
}
