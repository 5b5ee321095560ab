//! Limits per number, end user, address, API key and prefix.
use std::time::Duration;

use crate::model::UnixMillis;

use super::{Limit, Refusal};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What a quota counts by. The word is stored: it never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QuotaKind {
    Number,
    EndUser,
    Ip,
    Key,
    Prefix,
}

impl QuotaKind {
    pub const ALL: &'static [Self] = &[Self::Number, Self::EndUser, Self::Ip, Self::Key, Self::Prefix];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::EndUser => "end_user",
            Self::Ip => "ip",
            Self::Key => "key",
            Self::Prefix => "prefix",
        }
    }

    #[must_use]
    pub const fn limit(self) -> Limit {
        match self {
            Self::Number => Limit::Number,
            Self::EndUser => Limit::User,
            Self::Ip => Limit::Ip,
            Self::Key => Limit::Key,
            Self::Prefix => Limit::Prefix,
        }
    }
}

/// At most `max` calls for `subject` in any `window`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    pub kind: QuotaKind,
    /// The number, the end user's id, the address…
    pub subject: String,
    /// At least 1: a limit of 0 (unlimited) makes no quota.
    pub max: u32,
    pub window: Duration,
    /// The least time between two calls: a request that supersedes a call in progress need not wait for it.
    pub cool_down: bool,
}

impl Quota {
    /// `nth_newest` is the time of the `max`-th newest call of the subject, when it has had so many.
    /// While that call lies in the window, one more would be too many.
    #[must_use]
    pub fn judge(&self, nth_newest: Option<UnixMillis>, now: UnixMillis) -> Option<Refusal> {
        let free_at = nth_newest?.plus(self.window);
        if free_at <= now {
            return None;
        }
        // A wall clock set back must not lock a number out for longer than the window.
        let wait = free_at.since(now).min(self.window);
        let seconds = Duration::from_secs(wait.as_millis().div_ceil(1000) as u64);
        let detail = format!(
            "at most {} call{} per {} for one {}",
            self.max,
            if self.max == 1 { "" } else { "s" },
            words(self.window),
            self.kind.as_str().replace('_', " "),
        );
        Some(Refusal::limited(self.kind.limit(), seconds, detail))
    }
}

fn words(window: Duration) -> String {
    match window {
        HOUR => "hour".into(),
        DAY => "day".into(),
        other => format!("{} s", other.as_secs()),
    }
}

/// `per_number` of the configuration; 0 = unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct NumberLimits {
    pub per_hour: u32,
    pub per_day: u32,
    /// Least time between two calls to one number, seconds.
    pub again_after_s: u32,
}

impl Default for NumberLimits {
    fn default() -> Self {
        Self {
            per_hour: 3,
            per_day: 10,
            again_after_s: 60,
        }
    }
}
