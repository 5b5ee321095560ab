//! What the host gives the shells: wallclock and entropy. PURE rooms take both as arguments.
use std::time::{SystemTime, UNIX_EPOCH};

use crate::model::{Entropy, UnixMillis};

/// Calendar time now. A clock before 1970 reads as 0.
#[must_use]
pub fn wallclock() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The operating system gave no random octets.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the operating system gave no random octets: {0}")]
pub struct NoEntropy(String);

/// A generator seeded by the operating system.
pub fn entropy() -> Result<Entropy, NoEntropy> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|e| NoEntropy(e.to_string()))?;
    Ok(Entropy::from_seed(seed))
}
