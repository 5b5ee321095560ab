//! Due attempts that a trunk takes in a moment: its pace lets calls start a little apart. They are tried again at that
//! moment, in their order, without another look at the store, which costs more than the call's own start.
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::store::DueAttempt;

/// The longest moment. What waits longer is read again: it may have been canceled, or another trunk have room.
pub(super) const MOMENT: Duration = Duration::from_millis(50);

/// What came of picking an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Picked {
    Started,
    /// Its task runs already.
    Before,
    /// A trunk takes it then, no later than after [`MOMENT`].
    Soon(Instant),
    /// `None`: only the end of a call helps, and that wakes the loop.
    Wait(Option<Instant>),
    NoTrunk,
}

/// In the order in which they became due.
#[derive(Debug, Default)]
pub(super) struct Soon {
    attempts: VecDeque<DueAttempt>,
    retry_at: Option<Instant>,
    /// More is due than was read: it is looked for when these have started.
    more: bool,
}

impl Soon {
    /// Before a look, which reads all of them again.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn len(&self) -> usize {
        self.attempts.len()
    }

    pub(super) const fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// More than these is due.
    pub(super) const fn expect_more(&mut self) {
        self.more = true;
    }

    pub(super) fn wait(&mut self, attempt: DueAttempt, until: Instant) {
        self.attempts.push_back(attempt);
        self.retry_at = Some(self.retry_at.map_or(until, |at| at.min(until)));
    }

    /// A new attempt, behind those that wait.
    pub(super) fn push(&mut self, attempt: DueAttempt) {
        self.attempts.push_back(attempt);
    }

    /// Tries each of them once; true when a look is needed.
    pub(super) fn retry(&mut self, mut pick: impl FnMut(&DueAttempt) -> Picked) -> bool {
        self.retry_at = None;
        for _ in 0..self.attempts.len() {
            let Some(attempt) = self.attempts.pop_front() else {
                break;
            };
            match pick(&attempt) {
                Picked::Started | Picked::Before => {}
                Picked::Soon(until) => self.wait(attempt, until),
                Picked::Wait(_) | Picked::NoTrunk => return true,
            }
        }
        self.more && self.attempts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AttemptId, Entropy, UnixMillis, VerificationId};

    fn due(number: u32) -> DueAttempt {
        let entropy = || Entropy::from_number(number.into());
        DueAttempt {
            id: AttemptId::generate(UnixMillis(0), &mut entropy()),
            verification: VerificationId::generate(UnixMillis(0), &mut entropy()),
            number,
            profile: "default".into(),
            country: None,
            internal: false,
            due_at: UnixMillis(0),
            expires_at: UnixMillis(60_000),
            tried_trunks: Vec::new(),
        }
    }

    #[test]
    fn they_start_in_their_order_one_pace_apart_and_no_look_is_taken() {
        let origin = Instant::now();
        let pace = Duration::from_millis(2);
        let mut soon = Soon::default();
        for number in 0..5 {
            soon.push(due(number));
        }
        let (mut now, mut started) = (origin, Vec::new());
        while soon.len() > 0 {
            let mut free = true;
            let look = soon.retry(|attempt| match std::mem::take(&mut free) {
                true => {
                    started.push(attempt.number);
                    Picked::Started
                }
                false => Picked::Soon(now + pace),
            });
            assert!(!look);
            now = soon.retry_at().unwrap_or(now);
        }
        assert_eq!(started, [0, 1, 2, 3, 4]);
        assert_eq!(now, origin + pace * 4);
        assert_eq!(soon.retry_at(), None);
    }

    #[test]
    fn who_must_wait_longer_is_looked_for_and_so_is_what_was_not_read() {
        for verdict in [Picked::Wait(None), Picked::NoTrunk] {
            let mut soon = Soon::default();
            soon.push(due(1));
            assert!(soon.retry(|_| verdict), "{verdict:?}");
        }
        let mut soon = Soon::default();
        soon.wait(due(1), Instant::now());
        soon.expect_more();
        assert!(soon.retry(|_| Picked::Before), "more is due");
        soon.clear();
        assert!(!soon.retry(|_| Picked::Started));
    }
}
