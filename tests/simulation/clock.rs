//! Time that moves only when the world says so.
use std::fmt;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use ringproof::model::UnixMillis;

/// Microseconds since the run began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct At(pub(crate) u64);

impl At {
    pub(crate) const ZERO: Self = Self(0);

    pub(crate) fn plus(self, duration: Duration) -> Self {
        Self(self.0 + u64::try_from(duration.as_micros()).unwrap_or(u64::MAX / 4))
    }

    pub(crate) fn plus_ms(self, ms: u64) -> Self {
        Self(self.0 + ms * 1000)
    }

    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>4}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// The three clocks of one run: its own time, the monotonic instants that machines are given, and the calendar.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    now: At,
    /// Calendar time of [`At::ZERO`].
    epoch: UnixMillis,
    /// By how much somebody has set the wall clock.
    wall_shift_ms: i64,
}

/// Instants have no origin of their own; nothing depends on which one this is.
fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    *ORIGIN.get_or_init(Instant::now)
}

impl Clock {
    pub(crate) fn new(epoch: UnixMillis) -> Self {
        Self {
            now: At::ZERO,
            epoch,
            wall_shift_ms: 0,
        }
    }

    pub(crate) fn now(&self) -> At {
        self.now
    }

    /// Time never goes back, whatever the wall clock does.
    pub(crate) fn advance_to(&mut self, at: At) {
        assert!(at >= self.now, "time went back from {} to {at}", self.now);
        self.now = at;
    }

    pub(crate) fn instant(&self) -> Instant {
        origin() + Duration::from_micros(self.now.0)
    }

    /// The run's time of an instant that a machine gave: a deadline.
    pub(crate) fn at(&self, instant: Instant) -> At {
        At::ZERO.plus(instant.saturating_duration_since(origin()))
    }

    pub(crate) fn wall(&self) -> UnixMillis {
        let true_time = self.epoch.plus(Duration::from_micros(self.now.0));
        UnixMillis(true_time.0 + self.wall_shift_ms)
    }

    pub(crate) fn shift_wall(&mut self, ms: i64) {
        self.wall_shift_ms += ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_and_the_calendar_follow_and_only_the_calendar_can_be_set() {
        let mut clock = Clock::new(UnixMillis(1_000));
        let start = clock.instant();
        clock.advance_to(At(1_500_000));
        assert_eq!(clock.instant() - start, Duration::from_millis(1_500));
        assert_eq!(clock.at(clock.instant()), At(1_500_000));
        assert_eq!(clock.wall(), UnixMillis(2_500));
        clock.shift_wall(-3_600_000);
        assert_eq!(clock.wall(), UnixMillis(2_500 - 3_600_000));
        assert_eq!(clock.instant() - start, Duration::from_millis(1_500));
        assert_eq!(At(61_000_042).to_string(), "  61.000042");
    }
}
