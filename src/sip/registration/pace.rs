//! When a REGISTER goes out again: the refresh of a binding, and the rest after a failure (RFC 5626 §4.5).
use std::time::Duration;

use crate::model::Entropy;

/// First rest after a failure, and the longest.
pub(super) const REST_MIN: Duration = Duration::from_secs(30);
pub(super) const REST_MAX: Duration = Duration::from_secs(1800);
/// A registrar may ask for a longer rest, within reason.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// 60 to 80 % of what was granted, so that many clients do not come at once, and of five minutes one is left: time
/// for a refresh that is never answered (32 s) and for another.
pub(super) fn refresh_after(granted: Duration, entropy: &mut Entropy) -> Duration {
    let per_mille = 600 + entropy.below(201);
    let after_ms = u64::try_from(granted.as_millis()).unwrap_or(u64::MAX) / 1000 * per_mille;
    Duration::from_millis(after_ms.max(500))
}

/// `failures`: in a row, before this one. The upper half of 30 s, 60 s, … 30 min is drawn from; Retry-After is heeded
/// as it is.
pub(super) fn rest_after(failures: u32, retry_after_s: Option<u32>, entropy: &mut Entropy) -> Duration {
    if let Some(seconds) = retry_after_s {
        return Duration::from_secs(seconds.max(1).into()).min(RETRY_AFTER_MAX);
    }
    let longest = REST_MIN.saturating_mul(1 << failures.min(10)).min(REST_MAX);
    let half_ms = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX) / 2;
    Duration::from_millis(half_ms + entropy.below(half_ms + 1))
}
