//! Calls per second of one trunk, without bursts.
use std::time::{Duration, Instant};

/// Lets calls start at least `1 / cps` apart. Time in which nothing started earns no credit: carriers count in
/// short windows and answer a burst with 503.
#[derive(Debug, Clone, PartialEq)]
pub struct Pacer {
    interval: Duration,
    /// Earliest start of the next call; `None` before the first.
    next_at: Option<Instant>,
}

impl Pacer {
    /// Slowest pace: one call in 1,000 seconds.
    pub const CPS_MIN: f64 = 0.001;
    /// Fastest pace that is told apart from no pacing.
    pub const CPS_MAX: f64 = 100_000.0;

    /// A `cps` that is no number, or out of bounds, is brought into bounds.
    #[must_use]
    pub fn new(cps: f64) -> Self {
        let cps = if cps.is_nan() {
            Self::CPS_MIN
        } else {
            cps.clamp(Self::CPS_MIN, Self::CPS_MAX)
        };
        Self {
            interval: Duration::from_secs_f64(1.0 / cps),
            next_at: None,
        }
    }

    /// When the next call may start; `None`: at once.
    #[must_use]
    pub fn wait_until(&self, now: Instant) -> Option<Instant> {
        self.next_at.filter(|at| *at > now)
    }

    /// Starts a call if its time has come; else says when it will.
    pub fn try_start(&mut self, now: Instant) -> Result<(), Instant> {
        if let Some(at) = self.wait_until(now) {
            return Err(at);
        }
        self.next_at = now.checked_add(self.interval);
        Ok(())
    }

    /// Takes a new pace without forgetting the last start.
    pub fn set_cps(&mut self, cps: f64) {
        let old = std::mem::replace(self, Self::new(cps));
        self.next_at = old
            .next_at
            .and_then(|at| at.checked_sub(old.interval))
            .and_then(|last| last.checked_add(self.interval));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_window_holds_more_starts_than_the_pace_allows(
            cps in 0.5_f64..50.0,
            steps_us in proptest::collection::vec(0_u64..500_000, 1..400),
            window_ms in 1_u64..5_000,
        ) {
            let mut pacer = Pacer::new(cps);
            #[expect(clippy::disallowed_methods, reason = "an origin for test instants")]
            let origin = Instant::now();
            let mut now = origin;
            let mut starts = Vec::new();
            for step in steps_us {
                now += Duration::from_micros(step);
                if pacer.try_start(now).is_ok() {
                    starts.push(now);
                }
            }
            let window = Duration::from_millis(window_ms);
            let most = (window.as_secs_f64() * cps).floor() as usize + 1;
            for (i, first) in starts.iter().enumerate() {
                let inside = starts[i..].iter().take_while(|at| **at - *first < window).count();
                prop_assert!(inside <= most, "{} starts in {:?} at {} cps", inside, window, cps);
            }
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an origin for test instants")]
    fn a_refusal_says_when_and_a_new_pace_keeps_the_last_start() {
        let now = Instant::now();
        let mut pacer = Pacer::new(2.0);
        assert_eq!(pacer.try_start(now), Ok(()));
        assert_eq!(pacer.try_start(now), Err(now + Duration::from_millis(500)));
        pacer.set_cps(10.0);
        assert_eq!(pacer.wait_until(now), Some(now + Duration::from_millis(100)));
        assert_eq!(pacer.try_start(now + Duration::from_millis(100)), Ok(()));
        for odd in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Pacer::new(odd).try_start(now), Ok(()));
        }
    }
}
