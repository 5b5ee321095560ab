//! Remembers for a second which key a hash belongs to: a client that sends a hundred requests a second is looked up
//! in the database once.
//!
//! Only keys that exist are kept, so strangers fill nothing. A key that is revoked is refused a second later at most.
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::UnixMillis;
use crate::store::ApiKey;

const KEPT_FOR: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct KeyCache {
    keys: Mutex<HashMap<[u8; 32], Kept>>,
}

#[derive(Debug)]
struct Kept {
    key: ApiKey,
    since: UnixMillis,
}

impl Kept {
    /// A clock that was set back ages all at once.
    fn is_fresh(&self, now: UnixMillis) -> bool {
        self.since <= now && now.since(self.since) < KEPT_FOR
    }
}

impl KeyCache {
    pub(super) fn get(&self, hash: &[u8; 32], now: UnixMillis) -> Option<ApiKey> {
        let keys = self.lock();
        let kept = keys.get(hash).filter(|kept| kept.is_fresh(now))?;
        Some(kept.key.clone())
    }

    pub(super) fn keep(&self, hash: [u8; 32], key: ApiKey, now: UnixMillis) {
        let mut keys = self.lock();
        keys.retain(|_, kept| kept.is_fresh(now));
        keys.insert(hash, Kept { key, since: now });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Kept>> {
        // The map is whole at every step.
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str) -> ApiKey {
        ApiKey {
            id: id.into(),
            label: String::new(),
            scopes: Vec::new(),
            profiles: Vec::new(),
            created_at: UnixMillis(0),
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
        }
    }

    #[test]
    fn a_key_is_known_for_a_second_and_not_before_its_time() {
        let cache = KeyCache::default();
        let at = UnixMillis(10_000);
        assert_eq!(cache.get(&[1; 32], at), None);
        cache.keep([1; 32], key("a"), at);
        assert_eq!(
            cache.get(&[1; 32], at.plus(Duration::from_millis(999))),
            Some(key("a"))
        );
        assert_eq!(cache.get(&[1; 32], at.plus(KEPT_FOR)), None);
        assert_eq!(cache.get(&[1; 32], UnixMillis(9_999)), None);
        assert_eq!(cache.get(&[2; 32], at), None);
    }

    #[test]
    fn what_is_old_makes_room() {
        let cache = KeyCache::default();
        cache.keep([1; 32], key("a"), UnixMillis(0));
        cache.keep([2; 32], key("b"), UnixMillis(1_000));
        assert_eq!(cache.lock().len(), 1);
    }
}
