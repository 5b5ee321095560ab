//! API keys: stored as a hash, with scopes, profiles, expiry.
use std::time::Duration;

use crate::model::{UnixMillis, UnknownWord};

/// What a key may do (contract §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    Verifications,
    Enrollments,
    Blocks,
    Hooks,
    Admin,
}

impl Scope {
    pub const ALL: &'static [Self] = &[
        Self::Verifications,
        Self::Enrollments,
        Self::Blocks,
        Self::Hooks,
        Self::Admin,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verifications => "verifications",
            Self::Enrollments => "enrollments",
            Self::Blocks => "blocks",
            Self::Hooks => "hooks",
            Self::Admin => "admin",
        }
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Scope {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        Self::ALL
            .iter()
            .copied()
            .find(|s| s.as_str() == text)
            .ok_or_else(|| UnknownWord {
                what: "scope",
                found: text.chars().take(64).collect(),
                expected: Self::ALL.iter().map(|s| s.as_str()).collect::<Vec<_>>().join(" "),
            })
    }
}

/// A busy key does not write at each request: its use is noted when the last note is older than this.
pub(super) const NOTED_EVERY: Duration = Duration::from_secs(60);

/// A key without its secret, which only its owner has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// `key_…`; stands in rows and logs.
    pub id: String,
    /// The operator's name for it.
    pub label: String,
    pub scopes: Vec<Scope>,
    /// Profiles whose rows it sees and may use.
    pub profiles: Vec<String>,
    pub created_at: UnixMillis,
    pub expires_at: Option<UnixMillis>,
    pub revoked_at: Option<UnixMillis>,
    /// To the minute.
    pub last_used_at: Option<UnixMillis>,
}

impl ApiKey {
    #[must_use]
    pub fn is_valid(&self, now: UnixMillis) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| now < at)
    }

    /// [`super::Store::key_touch`] would write something.
    #[must_use]
    pub fn is_to_be_noted(&self, now: UnixMillis) -> bool {
        self.last_used_at.is_none_or(|at| at <= now.minus(NOTED_EVERY))
    }

    /// `admin` includes every other scope.
    #[must_use]
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }

    /// `*` in the list stands for all profiles.
    #[must_use]
    pub fn visibility(&self) -> Visibility {
        if self.profiles.iter().any(|p| p == "*") {
            Visibility::All
        } else {
            Visibility::Profiles(self.profiles.clone())
        }
    }
}

/// Which rows a reader may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visibility {
    /// The process itself, or a key for all profiles.
    All,
    Profiles(Vec<String>),
}

impl Visibility {
    #[must_use]
    pub fn sees(&self, profile: &str) -> bool {
        match self {
            Self::All => true,
            Self::Profiles(profiles) => profiles.iter().any(|p| p == profile),
        }
    }
}
