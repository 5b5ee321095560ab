//! The timers of RFC 3261 §17 (table 4 in §A) with those of RFC 6026, by their letters.
//!
//! | timer | value | meaning |
//! |---|---|---|
//! | A | T1, doubles | INVITE retransmission, unreliable transport only |
//! | B | 64·T1 | an INVITE got no response |
//! | D | ≥ 32 s, 0 if reliable | absorbs repeated 3xx–6xx of an INVITE |
//! | E | T1, doubles up to T2 | request retransmission, unreliable transport only |
//! | F | 64·T1 | a request got no final response |
//! | G | T1, doubles up to T2 | retransmission of a 3xx–6xx to an INVITE, unreliable transport only |
//! | H | 64·T1 | no ACK came |
//! | I | T4, 0 if reliable | absorbs repeated ACKs |
//! | J | 64·T1, 0 if reliable | absorbs repeated requests |
//! | K | T4, 0 if reliable | absorbs repeated responses |
//! | L | 64·T1 | absorbs repeated INVITEs after our 2xx |
//! | M | 64·T1 | collects repeated and forked 2xx |
//!
//! Timer C is a proxy's. The 2xx retransmission of RFC 3261 §13.3.1.4 belongs to the session and uses
//! [`Backoff`] with T1 and T2.
use std::time::{Duration, Instant};

pub use crate::sip::transport::SipTransport as Transport;

/// The base values of RFC 3261 §17.1.1.1 and §17.1.2.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimerConfig {
    /// Estimate of the round trip.
    pub t1: Duration,
    /// Longest interval between retransmissions of a request that is no INVITE, and of responses to INVITE.
    pub t2: Duration,
    /// Longest time a message stays in the network.
    pub t4: Duration,
}

impl Default for TimerConfig {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
        }
    }
}

impl TimerConfig {
    /// Timers B, F, H, L and M: the longest a transaction goes on.
    #[must_use]
    pub fn t1_64(&self) -> Duration {
        self.t1 * 64
    }

    /// Timer D: the peer retransmits its response for timer H, so at least that long.
    #[must_use]
    pub fn timer_d(&self, reliability: Reliability) -> Duration {
        match reliability {
            Reliability::Unreliable => self.t1_64().max(Duration::from_secs(32)),
            Reliability::Reliable => Duration::ZERO,
        }
    }

    /// Timer J.
    #[must_use]
    pub fn timer_j(&self, reliability: Reliability) -> Duration {
        match reliability {
            Reliability::Unreliable => self.t1_64(),
            Reliability::Reliable => Duration::ZERO,
        }
    }

    /// Timers I and K.
    #[must_use]
    pub fn timer_i_k(&self, reliability: Reliability) -> Duration {
        match reliability {
            Reliability::Unreliable => self.t4,
            Reliability::Reliable => Duration::ZERO,
        }
    }

    /// When timer E would have reached T2, RFC 4320 §4.1: the earliest moment of a 100 to a request that is no
    /// INVITE (3.5 s with the default values).
    #[must_use]
    pub fn timer_e_reaches_t2(&self) -> Duration {
        let (mut elapsed, mut interval) = (Duration::ZERO, self.t1);
        // T1 of at least 1 ms and T2 below 2^16 ms end this long before the bound.
        for _ in 0..16 {
            if interval >= self.t2 {
                break;
            }
            elapsed += interval;
            interval *= 2;
        }
        elapsed
    }

    /// Retransmission deadline of a request or response first sent at `now`; none on a reliable transport.
    #[must_use]
    pub(crate) fn backoff(&self, now: Instant, reliability: Reliability) -> Option<Backoff> {
        match reliability {
            Reliability::Unreliable => Some(Backoff::start(now, self.t1)),
            Reliability::Reliable => None,
        }
    }
}

/// Whether the transport delivers by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reliability {
    Unreliable,
    Reliable,
}

/// A retransmission deadline that doubles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    pub(crate) at: Instant,
    interval: Duration,
}

impl Backoff {
    #[must_use]
    pub(crate) fn start(now: Instant, interval: Duration) -> Self {
        Self {
            at: now + interval,
            interval,
        }
    }

    /// The deadline after this one; `cap` is T2 where the RFC has one. A late wake-up never causes a burst.
    #[must_use]
    pub(crate) fn doubled(self, now: Instant, cap: Option<Duration>) -> Self {
        let interval = cap.map_or(self.interval * 2, |cap| (self.interval * 2).min(cap));
        self.followed_by(now, interval)
    }

    /// The deadline `interval` after this one.
    #[must_use]
    pub(crate) fn followed_by(self, now: Instant, interval: Duration) -> Self {
        let at = self.at + interval;
        Self {
            at: if at > now { at } else { now + interval },
            interval,
        }
    }
}

/// The earlier of two optional deadlines.
#[must_use]
pub(crate) fn earliest(
    a: Option<(Instant, &'static str)>,
    b: Option<(Instant, &'static str)>,
) -> Option<(Instant, &'static str)> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b.0 < a.0 { b } else { a }),
        (one, None) | (None, one) => one,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_values_are_those_of_table_4() {
        let timers = TimerConfig::default();
        assert_eq!(timers.t1_64(), Duration::from_secs(32));
        assert_eq!(timers.timer_d(Reliability::Unreliable), Duration::from_secs(32));
        assert_eq!(timers.timer_j(Reliability::Unreliable), Duration::from_secs(32));
        assert_eq!(timers.timer_i_k(Reliability::Unreliable), Duration::from_secs(5));
        for reliable in [
            timers.timer_d(Reliability::Reliable),
            timers.timer_j(Reliability::Reliable),
        ] {
            assert_eq!(reliable, Duration::ZERO);
        }
        assert_eq!(timers.timer_i_k(Reliability::Reliable), Duration::ZERO);
        assert_eq!(timers.timer_e_reaches_t2(), Duration::from_millis(3500));
    }

    #[test]
    fn timer_d_is_never_below_32_seconds() {
        let timers = TimerConfig {
            t1: Duration::from_millis(10),
            ..TimerConfig::default()
        };
        assert_eq!(timers.timer_d(Reliability::Unreliable), Duration::from_secs(32));
    }

    #[test]
    fn a_backoff_doubles_from_its_own_deadline_up_to_the_cap_and_never_bursts() {
        let start = crate::sip::epoch();
        let ms = Duration::from_millis;
        let mut backoff = Backoff::start(start, ms(500));
        let mut at = vec![];
        for _ in 0..6 {
            at.push((backoff.at - start).as_millis());
            backoff = backoff.doubled(backoff.at, Some(ms(4000)));
        }
        assert_eq!(at, [500, 1500, 3500, 7500, 11_500, 15_500]);
        let late = start + ms(60_000);
        assert_eq!(
            Backoff::start(start, ms(500)).doubled(late, None).at,
            late + ms(1000)
        );
    }
}
