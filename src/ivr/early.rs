//! Keys that come too soon: before the answer, or before the sentence that names them.

/// What has been heard too soon so far. A person may do it once; a machine does it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Early {
    #[default]
    Nothing,
    /// A tone in early media that had ended by the answer: harmless if it stays alone.
    BeforeAnswer,
    /// One key after the answer: asked to listen.
    Forgiven,
    /// Enough to know that no person presses them.
    Suspect,
}

impl Early {
    /// After a tone before the answer. `two_different` within a second are a machine's already.
    pub(super) const fn before_answer(self, two_different: bool) -> Self {
        match self {
            Self::Suspect => Self::Suspect,
            Self::Nothing | Self::BeforeAnswer | Self::Forgiven if two_different => Self::Suspect,
            Self::Nothing | Self::BeforeAnswer | Self::Forgiven => Self::BeforeAnswer,
        }
    }

    /// After a key between the answer and the naming sentence.
    pub(super) const fn after_answer(self, two_different: bool) -> Self {
        match self {
            Self::Nothing if !two_different => Self::Forgiven,
            Self::Nothing | Self::BeforeAnswer | Self::Forgiven | Self::Suspect => Self::Suspect,
        }
    }
}
