//! The one place where the API and the dialer meet without a row: who is let in, and who has had its turn.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::policy::Overload;

/// One [`Overload`], shared by those that see something of it; held for microseconds.
#[derive(Debug, Clone)]
pub struct OverloadGate(Arc<Mutex<Overload>>);

impl OverloadGate {
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self(Arc::new(Mutex::new(Overload::new(now))))
    }

    /// Not to be held while waiting for anything.
    pub fn lock(&self) -> MutexGuard<'_, Overload> {
        // Nobody panics while holding it, and every step leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
