//! Why the store could not do it.

/// Small on purpose: a caller either answers 503, answers 404, or stops the process.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The engine cannot be reached or refused the work; worth another try.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// Another process holds the write lock longer than the busy timeout.
    #[error("the store is locked by another process")]
    Locked,
    /// No space for the write. Nothing of it was kept.
    #[error("the store has no disk space left")]
    Full,
    /// More work is waiting than the store accepts.
    #[error("the store has too much work waiting")]
    Overloaded,
    /// A row or the file does not hold what it should.
    #[error("the store holds something unexpected: {0}")]
    Corrupt(String),
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The change contradicts one that was made since it was read.
    #[error("{0} was changed by somebody else")]
    Conflict(&'static str),
    /// `store.url` or an argument cannot be used.
    #[error("{0}")]
    Unusable(String),
}

impl StoreError {
    /// The same request may succeed later without any change to it.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Locked | Self::Full | Self::Overloaded => true,
            Self::Corrupt(_) | Self::NotFound(_) | Self::Conflict(_) | Self::Unusable(_) => false,
        }
    }
}
