//! The timing wheel: which legs are due in which millisecond.
//!
//! One slot per tick. A due time past the horizon is put on the last slot and looked at again then. Entries are
//! never searched for: a leg that was moved to an earlier tick leaves its old entry behind, and the reader
//! recognises it because the leg's own `due_tick` differs.

/// A leg by slab index; the generation tells a reused index from its former owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LegKey {
    pub(super) index: u32,
    pub(super) generation: u32,
}

/// Ticks that the wheel sees ahead: more than the longest packet (60 ms), a power of two.
const HORIZON_TICKS: u64 = 256;

#[derive(Debug)]
pub(super) struct Wheel {
    slots: Vec<Vec<LegKey>>,
    /// The last tick that was taken.
    now_tick: u64,
}

impl Wheel {
    pub(super) fn new(now_tick: u64) -> Self {
        Self {
            slots: (0..HORIZON_TICKS).map(|_| Vec::new()).collect(),
            now_tick,
        }
    }

    /// Puts `key` on `due_tick`, or as near as the wheel can: not before the next tick, not past the horizon.
    /// Returns the tick it stands on.
    pub(super) fn insert(&mut self, key: LegKey, due_tick: u64) -> u64 {
        let tick = due_tick.clamp(self.now_tick + 1, self.now_tick + HORIZON_TICKS - 1);
        self.slot(tick).push(key);
        tick
    }

    /// Moves everything due up to and including `tick` into `due`, earliest first, each with its tick.
    pub(super) fn take_until(&mut self, tick: u64, due: &mut Vec<(LegKey, u64)>) {
        // Nothing ever stands past the horizon, so a longer stall takes each slot once.
        for t in self.now_tick + 1..=tick.min(self.now_tick + HORIZON_TICKS - 1) {
            due.extend(self.slot(t).drain(..).map(|key| (key, t)));
        }
        self.now_tick = self.now_tick.max(tick);
    }

    /// Jumps over time in which nothing was due, after the thread has slept.
    pub(super) fn skip_to(&mut self, tick: u64) {
        for slot in &mut self.slots {
            slot.clear();
        }
        self.now_tick = self.now_tick.max(tick);
    }

    fn slot(&mut self, tick: u64) -> &mut Vec<LegKey> {
        let index = (tick % HORIZON_TICKS) as usize;
        &mut self.slots[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(index: u32) -> LegKey {
        LegKey { index, generation: 0 }
    }

    fn taken(wheel: &mut Wheel, tick: u64) -> Vec<(u32, u64)> {
        let mut due = Vec::new();
        wheel.take_until(tick, &mut due);
        due.into_iter().map(|(key, tick)| (key.index, tick)).collect()
    }

    #[test]
    fn each_entry_comes_out_once_on_its_tick_in_order() {
        let mut wheel = Wheel::new(1000);
        assert_eq!(wheel.insert(key(1), 1020), 1020);
        assert_eq!(wheel.insert(key(2), 1001), 1001);
        assert_eq!(taken(&mut wheel, 1001), [(2, 1001)]);
        assert_eq!(taken(&mut wheel, 1019), []);
        wheel.insert(key(3), 1022);
        assert_eq!(taken(&mut wheel, 1030), [(1, 1020), (3, 1022)]);
        assert_eq!(taken(&mut wheel, 5000), []);
    }

    #[test]
    fn a_due_time_past_the_horizon_or_in_the_past_is_brought_inside() {
        let mut wheel = Wheel::new(10);
        assert_eq!(wheel.insert(key(1), 100_000), 10 + HORIZON_TICKS - 1);
        assert_eq!(wheel.insert(key(2), 3), 11);
        assert_eq!(taken(&mut wheel, 11), [(2, 11)]);
        assert_eq!(
            taken(&mut wheel, 10 + HORIZON_TICKS),
            [(1, 10 + HORIZON_TICKS - 1)]
        );
    }

    #[test]
    fn a_stall_longer_than_the_wheel_loses_nothing() {
        let mut wheel = Wheel::new(0);
        for i in 1..HORIZON_TICKS {
            wheel.insert(key(i as u32), i);
        }
        let due = taken(&mut wheel, 10_000);
        assert_eq!(due.len() as u64, HORIZON_TICKS - 1);
        assert!(due.is_sorted_by_key(|(_, tick)| *tick));
        assert_eq!(wheel.insert(key(1), 0), 10_001);
    }
}
