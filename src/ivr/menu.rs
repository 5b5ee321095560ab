//! The menu machine: one talk from the first tone of early media to the hangup.
//!
//! ```text
//! Unanswered ─2xx─> [ExtensionWait ─> ExtensionDialing ─>] Lead ─> Playing ─> Waiting ─┐
//!                                                                  ^    │        │     │ no key, plays left
//!                                                                  └────┴────────┴─────┘
//! Playing, Waiting ─0─> HalfFraud          a second key must follow in 3 s
//!                  ─digit─> Quiet          random_key: nothing else for 700 ms
//!                  ─1─> Speaking ─> Spoken speak_code: the code, then a fraud report half begun
//! any ─verdict─> Committing ─durable─> Goodbye ─> Over
//! ```
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::early::Early;
use super::history::History;
use super::io::{DecidingKey, Input, Key, Line, Output};
use super::match_code::MatchCode;
use super::phrase;
use super::press_key::PressKey;
use super::random_key::RandomKey;
use super::script::Script;
use super::speak_code::SpeakCode;
use super::talk::Talk;
use crate::model::{Digits, Entropy, Extension, Masked, Reason};

/// What one menu is to do.
#[derive(Debug, Clone)]
pub struct MenuConfig {
    pub script: Arc<Script>,
    pub task: Task,
    pub extension: Option<Extension>,
    /// `purpose: transaction`: the values to say before the key is named.
    pub transaction: Option<Masked<BTreeMap<String, String>>>,
}

/// How the person confirms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    PressKey,
    RandomKey,
    MatchCode { code: Masked<Digits> },
    SpeakCode { code: Masked<Digits> },
}

/// One menu. Deadlines leave by [`Menu::poll_timeout`] and come back as [`Input::Timeout`].
#[derive(Debug)]
pub struct Menu {
    talk: Talk,
    ask: Ask,
    state: State,
}

#[derive(Debug)]
pub(super) enum Ask {
    PressKey(PressKey),
    /// Boxed for its generator.
    RandomKey(Box<RandomKey>),
    MatchCode(MatchCode),
    SpeakCode(SpeakCode),
}

#[derive(Debug)]
pub(super) enum State {
    Unanswered {
        /// The tone that has not ended yet.
        sounding: Option<Key>,
    },
    ExtensionWait {
        until: Instant,
    },
    ExtensionDialing,
    /// Silence before the first word.
    Lead {
        until: Instant,
    },
    Playing {
        lines: Vec<Line>,
    },
    Waiting {
        until: Instant,
    },
    HalfFraud {
        until: Instant,
    },
    Quiet {
        until: Instant,
        key: DecidingKey,
    },
    Speaking {
        key: DecidingKey,
    },
    Spoken {
        until: Instant,
        key: DecidingKey,
    },
    Committing {
        until: Instant,
        goodbye: Line,
    },
    Goodbye,
    Over,
}

/// What a key means to the method that hears it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ruling {
    Approve(Reason),
    Deny(Reason),
    Fraud,
    /// The fraud keys, before their sentence was heard.
    Unnamed,
    /// The first fraud key: its second is awaited.
    AwaitSecondFraudKey,
    Ignored,
    Repeat,
    Invalid,
    /// `random_key`: the right digit, if nothing follows it.
    Quiet,
    /// `random_key`: another digit was drawn.
    NewDigit,
    CodeDigit,
    RetryCode,
    Reveal,
}

impl Menu {
    /// Before the answer. `entropy` draws the digits of `random_key`.
    #[must_use]
    pub fn new(config: MenuConfig, entropy: Entropy) -> Self {
        let ask = match config.task {
            Task::PressKey => Ask::PressKey(PressKey),
            Task::RandomKey => Ask::RandomKey(Box::new(RandomKey::new(&config.script, entropy))),
            Task::MatchCode { code } => Ask::MatchCode(MatchCode::new(code)),
            Task::SpeakCode { code } => Ask::SpeakCode(SpeakCode::new(code)),
        };
        Self {
            talk: Talk {
                script: config.script,
                extension: config.extension,
                transaction: config.transaction,
                history: History::default(),
                early: Early::default(),
                plays: 0,
                invalid_keys: 0,
                answered: None,
                dialed_at: None,
                named_at: None,
                fraud_named_at: None,
            },
            ask,
            state: State::Unanswered { sounding: None },
        }
    }

    #[must_use]
    pub fn handle(self, now: Instant, input: Input, out: &mut Vec<Output>) -> Self {
        let Self {
            mut talk,
            mut ask,
            state,
        } = self;
        let state = match input {
            Input::Answered => state.answered(&mut talk, now, out),
            Input::Press(key) => state.press(&mut talk, &mut ask, now, &key, out),
            Input::Release => state.release(),
            Input::LineDone(index) => state.line_done(&mut talk, &ask, now, index),
            Input::PlayDone => state.play_done(&mut talk, &ask, now, out),
            Input::DigitsSent => state.digits_sent(&mut talk, now),
            Input::Timeout => state.timeout(&mut talk, &mut ask, now, out),
            Input::Machine(reason) => state.machine(&talk, now, reason, out),
            Input::HungUp => state.hung_up(&talk, now, out),
            Input::Committed => state.committed(out),
        };
        Self { talk, ask, state }
    }

    /// The next deadline and its name, for the log.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let ends_at = self.talk.answered?.ends_at;
        let own = self.state.deadline();
        match own {
            Some((until, name)) if until < ends_at => Some((until, name)),
            _ if self.is_over() => None,
            _ => Some((ends_at, "answered call max")),
        }
    }

    /// Nothing more will come out.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Whether the callee has begun to hear what the call is about.
    #[must_use]
    pub const fn prompt_began(&self) -> bool {
        self.talk.plays > 0
    }
}

impl Ask {
    /// The line that names the method's key.
    pub(super) fn naming(&self, script: &Script) -> Line {
        match self {
            Self::PressKey(_) => Line::new(&script.names.confirm),
            Self::RandomKey(random) => {
                Line::new(&script.names.random).with(phrase::VAR_KEY, random.digit.to_string())
            }
            Self::MatchCode(_) => Line::new(&script.names.match_code),
            Self::SpeakCode(_) => Line::new(&script.names.reveal),
        }
    }

    pub(super) fn naming_phrase<'a>(&self, script: &'a Script) -> &'a str {
        match self {
            Self::PressKey(_) => &script.names.confirm,
            Self::RandomKey(_) => &script.names.random,
            Self::MatchCode(_) => &script.names.match_code,
            Self::SpeakCode(_) => &script.names.reveal,
        }
    }
}
