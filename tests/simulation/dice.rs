//! Draws from the run's one generator.
use ringproof::model::Entropy;

pub(crate) trait Dice {
    fn chance(&mut self, percent: u64) -> bool;
    /// Both ends included.
    fn between(&mut self, low: u64, high: u64) -> u64;
    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T;
    /// One of the values, each as often as its weight says.
    fn weighted<T: Copy>(&mut self, from: &[(u64, T)]) -> T;
}

impl Dice for Entropy {
    fn chance(&mut self, percent: u64) -> bool {
        percent > 0 && self.below(100) < percent
    }

    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }

    fn weighted<T: Copy>(&mut self, from: &[(u64, T)]) -> T {
        let mut draw = self.below(from.iter().map(|(weight, _)| weight).sum());
        for (weight, value) in from {
            match draw.checked_sub(*weight) {
                Some(rest) => draw = rest,
                None => return *value,
            }
        }
        from[from.len() - 1].1
    }
}
