//! The seeded generator that every PURE room draws from.
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Draws after which a generator keeps its block of random words. Most make fewer in their life.
const DRAWS_AT_REST: u8 = 64;

/// Cryptographic generator with an explicit seed: the shell seeds it from the operating system, a test from
/// a number, so that every run can be replayed. Tags, branches and Call-IDs take 128 bits from it (SAFETY 5).
///
/// A call has several of them, each drawn from a few times: until it is drawn from often, one is but a seed and a place.
#[derive(Clone)]
pub struct Entropy {
    seed: [u8; 32],
    /// Words that were drawn; not counted any more once `busy`.
    words: u64,
    draws: u8,
    busy: Option<Box<ChaCha20Rng>>,
}

impl Entropy {
    /// For the shell: 32 octets from the operating system.
    #[must_use]
    pub const fn from_seed(seed: [u8; 32]) -> Self {
        Self {
            seed,
            words: 0,
            draws: 0,
            busy: None,
        }
    }

    /// For tests and the simulator.
    #[must_use]
    pub fn from_number(seed: u64) -> Self {
        Self::from_seed(ChaCha20Rng::seed_from_u64(seed).get_seed())
    }

    /// An independent generator, for a child machine.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        let mut seed = [0; 32];
        self.fill(&mut seed);
        Self::from_seed(seed)
    }

    pub fn u16(&mut self) -> u16 {
        (self.u32() >> 16) as u16
    }

    pub fn u32(&mut self) -> u32 {
        self.draw(Rng::next_u32)
    }

    pub fn u64(&mut self) -> u64 {
        self.draw(Rng::next_u64)
    }

    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.draw(|rng| rng.fill_bytes(bytes));
    }

    /// The same words in the same order, whether the generator is kept or made anew.
    fn draw<T>(&mut self, draw: impl FnOnce(&mut ChaCha20Rng) -> T) -> T {
        if let Some(rng) = &mut self.busy {
            return draw(rng);
        }
        let mut rng = ChaCha20Rng::from_seed(self.seed);
        rng.set_word_pos(self.words.into());
        let drawn = draw(&mut rng);
        self.words = u64::try_from(rng.get_word_pos()).unwrap_or(u64::MAX);
        self.draws = self.draws.saturating_add(1);
        if self.draws >= DRAWS_AT_REST {
            self.busy = Some(Box::new(rng));
        }
        drawn
    }

    /// Uniform in `0..bound`; 0 for a bound of 0. Rejection keeps it unbiased.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        let zone = u64::MAX - u64::MAX % bound;
        for _ in 0..64 {
            let draw = self.u64();
            if draw < zone {
                return draw % bound;
            }
        }
        self.u64() % bound
    }

    /// 128 random bits as 32 lower-case hex characters.
    pub fn token(&mut self) -> String {
        format!("{:016x}{:016x}", self.u64(), self.u64())
    }
}

impl std::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entropy(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_run_and_a_fork_another() {
        let (mut a, mut b) = (Entropy::from_number(7), Entropy::from_number(7));
        assert_eq!(a.token(), b.token());
        assert_ne!(a.fork().token(), b.token());
        assert!((0..1000).all(|_| a.below(10) < 10));
    }

    #[test]
    fn a_generator_at_rest_gives_what_one_that_is_kept_gives() {
        let (mut ours, mut plain) = (Entropy::from_number(7), ChaCha20Rng::seed_from_u64(7));
        for round in 0..200_usize {
            assert_eq!(ours.u32(), plain.next_u32(), "{round}");
            assert_eq!(ours.u64(), plain.next_u64(), "{round}");
            let (mut a, mut b) = ([0; 40], [0; 40]);
            let len = round % 40;
            ours.fill(&mut a[..len]);
            plain.fill_bytes(&mut b[..len]);
            assert_eq!(a, b, "{round}");
        }
    }
}
