//! The seeded generator that every PURE room draws from.
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Cryptographic generator with an explicit seed: the shell seeds it from the operating system, a test from
/// a number, so that every run can be replayed. Tags, branches and Call-IDs take 128 bits from it (SAFETY 5).
#[derive(Clone)]
pub struct Entropy(ChaCha20Rng);

impl Entropy {
    /// For the shell: 32 octets from the operating system.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ChaCha20Rng::from_seed(seed))
    }

    /// For tests and the simulator.
    #[must_use]
    pub fn from_number(seed: u64) -> Self {
        Self(ChaCha20Rng::seed_from_u64(seed))
    }

    /// An independent generator, for a child machine.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        let mut seed = [0; 32];
        self.0.fill_bytes(&mut seed);
        Self::from_seed(seed)
    }

    pub fn u16(&mut self) -> u16 {
        (self.0.next_u32() >> 16) as u16
    }

    pub fn u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    pub fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
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
}
