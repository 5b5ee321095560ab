//! The 1 ms clock of a media thread: absolute deadlines on the monotonic clock, so that a late wake-up never
//! shifts the ones after it.
use std::time::{Duration, Instant};

use rustix::thread::{ClockId, clock_nanosleep_absolute};
use rustix::time::{Timespec, clock_gettime};

const TICK_NS: u64 = 1_000_000;

/// Tick 0 is the moment of construction.
#[derive(Debug, Clone, Copy)]
pub(super) struct TickClock {
    start: Instant,
    start_ns: u64,
}

impl TickClock {
    pub(super) fn new() -> Self {
        // The two readings differ by a few nanoseconds, always the same ones: it is a shift, not a drift.
        let start = Instant::now();
        let ts = clock_gettime(ClockId::Monotonic);
        let start_ns =
            u64::try_from(ts.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(ts.tv_nsec).unwrap_or(0);
        Self { start, start_ns }
    }

    /// The last tick at or before `now`.
    pub(super) fn tick_at(&self, now: Instant) -> u64 {
        self.ns_until(now) / TICK_NS
    }

    /// The first tick at or after `when`.
    pub(super) fn tick_reaching(&self, when: Instant) -> u64 {
        self.ns_until(when).div_ceil(TICK_NS)
    }

    /// Centuries fit.
    fn ns_until(&self, when: Instant) -> u64 {
        when.saturating_duration_since(self.start).as_nanos() as u64
    }

    pub(super) fn instant_of(&self, tick: u64) -> Instant {
        self.start + Duration::from_nanos(tick.saturating_mul(TICK_NS))
    }

    /// Sleeps until `tick`; returns at once when it is past.
    pub(super) fn sleep_until(&self, tick: u64) {
        let at_ns = self.start_ns + tick.saturating_mul(TICK_NS);
        let request = Timespec {
            tv_sec: i64::try_from(at_ns / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: (at_ns % 1_000_000_000) as _,
        };
        // A signal is the only error here (EINTR): the deadline is absolute, so ask again.
        while let Err(rustix::io::Errno::INTR) = clock_nanosleep_absolute(ClockId::Monotonic, &request) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_and_instants_agree_both_ways() {
        let clock = TickClock::new();
        let at = clock.instant_of(17);
        assert_eq!(clock.tick_at(at), 17);
        assert_eq!(clock.tick_reaching(at), 17);
        assert_eq!(clock.tick_at(at + Duration::from_micros(999)), 17);
        assert_eq!(clock.tick_reaching(at + Duration::from_nanos(1)), 18);
    }

    #[test]
    fn sleeping_reaches_the_tick_and_a_past_tick_returns_at_once() {
        let clock = TickClock::new();
        clock.sleep_until(3);
        assert!(clock.tick_at(Instant::now()) >= 3);
        clock.sleep_until(1);
    }
}
