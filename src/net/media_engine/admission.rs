//! Whether a media thread keeps up, judged by windows of ticks: the door for new calls closes while it does not.
//!
//! ```text
//!        a bad window                     another bad one
//! open ───────────────▶ shut (refused: late) ───▶ shut
//!   ▲                     │ a good window
//!   └─────────────────────┘
//! ```
//! Pure: it is told how late each tick was and how long its work took.
use std::time::Duration;

/// Admission looks at windows of this many ticks.
const WINDOW_TICKS: u64 = 200;
/// A tick may be this late without harm to anyone's jitter buffer.
const LATENESS_MAX: Duration = Duration::from_millis(10);
/// Of a window's ticks, late ones that close the door. One stall of the host stays below it (a real-time thread is
/// held up for 50 ms of each second at most); a thread that cannot keep up passes it at once.
const LATE_PER_MILLE_MAX: u64 = 250;
/// Of a window's time, work that closes the door.
const BUSY_PER_MILLE_MAX: u64 = 900;

/// Sums of the current window.
#[derive(Debug, Default)]
pub(super) struct Window {
    began_tick: u64,
    late_ticks: u64,
    busy: Duration,
}

/// What a window that has ended says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) busy_per_mille: u64,
    pub(super) late: bool,
}

impl Window {
    pub(super) fn beginning(tick: u64) -> Self {
        Self {
            began_tick: tick,
            ..Self::default()
        }
    }

    /// Takes one turn of the loop: the `tick` that it has reached, how long after the tick that it slept for it woke,
    /// and its work. Says the standing where this ends the window, and begins the next one.
    pub(super) fn observe(&mut self, tick: u64, lateness: Duration, busy: Duration) -> Option<Standing> {
        let late = lateness.saturating_sub(LATENESS_MAX);
        self.late_ticks += u64::try_from(late.as_millis()).unwrap_or(0);
        self.busy += busy;
        let ticks = tick.saturating_sub(self.began_tick);
        if ticks < WINDOW_TICKS {
            return None;
        }
        let late_per_mille = self.late_ticks * 1000 / ticks;
        let busy_per_mille = u64::try_from(self.busy.as_micros()).unwrap_or(u64::MAX) / ticks;
        *self = Self::beginning(tick);
        Some(Standing {
            busy_per_mille,
            late: late_per_mille >= LATE_PER_MILLE_MAX || busy_per_mille >= BUSY_PER_MILLE_MAX,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thread in virtual time.
    struct Turning {
        tick: u64,
        window: Window,
        /// Of each window that has ended.
        standings: Vec<Standing>,
    }

    impl Turning {
        fn from(tick: u64) -> Self {
            Self {
                tick,
                window: Window::beginning(tick),
                standings: Vec::new(),
            }
        }

        /// One turn that wakes `late_ms` after its tick and works for `busy_us`.
        fn turn(&mut self, late_ms: u64, busy_us: u64) {
            self.tick += 1 + late_ms;
            let (lateness, busy) = (Duration::from_millis(late_ms), Duration::from_micros(busy_us));
            self.standings
                .extend(self.window.observe(self.tick, lateness, busy));
        }

        /// Turns until a window has ended; says whether the door is shut then.
        fn until_judged(&mut self, late_ms: u64, busy_us: u64) -> bool {
            let judged = self.standings.len();
            while self.standings.len() == judged {
                self.turn(late_ms, busy_us);
            }
            self.standings.last().unwrap().late
        }
    }

    #[test]
    fn a_thread_that_wakes_late_again_and_again_shuts_the_door_and_a_good_window_opens_it() {
        let mut thread = Turning::from(1_000_000);
        assert!(!thread.until_judged(0, 300));
        // 14 ms of every 25 are past what a jitter buffer forgives.
        assert!(thread.until_judged(24, 300));
        assert!(
            thread.until_judged(24, 300),
            "it stays shut while nothing gets better"
        );
        assert!(!thread.until_judged(0, 300));
    }

    #[test]
    fn lateness_that_every_jitter_buffer_forgives_shuts_nothing() {
        assert!(!Turning::from(0).until_judged(10, 300));
        // 1 of 12 ms is too late, then 4 of 15: 83 and 266 of a thousand.
        assert!(!Turning::from(0).until_judged(11, 300));
        assert!(Turning::from(0).until_judged(14, 300));
    }

    #[test]
    fn one_stall_of_the_host_shuts_nothing() {
        for before in [0, 100, 190, 199] {
            let mut thread = Turning::from(7);
            for _ in 0..before {
                thread.turn(0, 300);
            }
            thread.turn(50, 300);
            let rest_is_late = thread.until_judged(0, 300);
            let any_late = rest_is_late || thread.standings.iter().any(|standing| standing.late);
            assert!(!any_late, "after {before} ticks: {:?}", thread.standings);
        }
    }

    #[test]
    fn a_stall_of_a_tenth_of_a_second_shuts_the_door() {
        let mut thread = Turning::from(0);
        thread.turn(100, 300);
        assert!(thread.until_judged(0, 300));
    }

    #[test]
    fn work_that_fills_the_time_shuts_the_door_without_a_late_tick() {
        let mut thread = Turning::from(0);
        assert!(!thread.until_judged(0, 899));
        assert!(thread.until_judged(0, 900));
        let told: Vec<u64> = thread.standings.iter().map(|s| s.busy_per_mille).collect();
        assert_eq!(told, [899, 900]);
        assert!(!thread.until_judged(0, 500));
    }

    #[test]
    fn nothing_is_said_before_a_window_has_ended() {
        let mut thread = Turning::from(0);
        for _ in 0..WINDOW_TICKS - 1 {
            thread.turn(0, 1000);
        }
        assert_eq!(thread.standings, []);
        thread.turn(0, 1000);
        assert_eq!(thread.standings.len(), 1);
    }
}
