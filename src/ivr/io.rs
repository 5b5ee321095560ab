//! What goes into a menu and what comes out of it.
use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use crate::model::{Digit, Digits, KeyTransport, Reason};

/// One physical press.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    pub digit: Digit,
    pub transport: KeyTransport,
    /// First evidence of it.
    pub started_at: Instant,
    /// When it was certain.
    pub at: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// The 2xx came.
    Answered,
    Press(Key),
    /// The press reported last has ended.
    Release,
    /// The last sound of this line of the last [`Output::Play`] has left.
    LineDone(usize),
    /// The last sound of the last line has left.
    PlayDone,
    /// The last digit of [`Output::SendDigits`] has left.
    DigitsSent,
    /// The deadline of [`Menu::poll_timeout`](super::Menu::poll_timeout) has come.
    Timeout,
    /// A machine has answered, for certain: the reason to end with.
    Machine(Reason),
    /// The callee hung up; every press made before is already in.
    HungUp,
    /// The verdict is durable.
    Committed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// In place of whatever plays.
    Play(Vec<Line>),
    Stop,
    /// The extension's digits.
    SendDigits(Digits),
    /// Given once. Where it has a goodbye, [`Input::Committed`] is awaited before it plays.
    Verdict(Verdict),
    /// The last output: the menu is over.
    Hangup,
}

/// What the menu found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub reason: Reason,
    /// The key that decided, never a key of a code.
    pub key: Option<DecidingKey>,
    /// What is said once the verdict is durable.
    pub goodbye: Option<Line>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecidingKey {
    pub digit: Digit,
    pub transport: KeyTransport,
    /// From the end of the sentence that names the key.
    pub delay_ms: u32,
}

/// One phrase to be spoken.
#[derive(Clone, PartialEq, Eq)]
pub struct Line {
    pub phrase: String,
    pub vars: BTreeMap<String, String>,
}

impl Line {
    #[must_use]
    pub fn new(phrase: &str) -> Self {
        Self {
            phrase: phrase.to_owned(),
            vars: BTreeMap::new(),
        }
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.vars.insert(name.to_owned(), value.into());
        self
    }
}

impl fmt::Debug for Line {
    /// Names of the variables only: a value may be a code.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.phrase)?;
        if !self.vars.is_empty() {
            let names: Vec<&str> = self.vars.keys().map(String::as_str).collect();
            write!(f, "({})", names.join(", "))?;
        }
        Ok(())
    }
}
