//! What every method's menu shares: the script, what was already said and heard, and the ends of a talk.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::early::Early;
use super::history::History;
use super::io::{DecidingKey, Key, Line, Output, Verdict};
use super::menu::{Ask, State};
use super::phrase;
use super::script::Script;
use crate::model::{Extension, Masked, Reason};

/// Two different digits in this time, before any key was named, are a machine's.
pub(super) const EARLY_PAIR: Duration = Duration::from_secs(1);
/// Three keys in this time are a machine's (`random_key`).
pub(super) const BURST: Duration = Duration::from_secs(2);

/// Three different keys in this time are a machine's that plays one tone after another (`press_key`): a tone every half
/// second or faster. A person who errs hears that the key was wrong, or sees it, before the next press: that takes
/// longer for each, and nobody errs twice in a second and finds the right key then.
pub(super) const SCALE: Duration = Duration::from_secs(1);

/// How late the echo of a digit that we sent may begin.
const ECHO: Duration = Duration::from_millis(300);

/// Where an answered talk stands in time. The answer fixes both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answered {
    pub(super) at: Instant,
    pub(super) ends_at: Instant,
}

#[derive(Debug)]
pub(super) struct Talk {
    pub(super) script: Arc<Script>,
    pub(super) extension: Option<Extension>,
    /// Values of the transaction that is being confirmed.
    pub(super) transaction: Option<Masked<BTreeMap<String, String>>>,
    pub(super) history: History,
    pub(super) early: Early,
    pub(super) plays: u8,
    /// Invalid keys so far (`press_key`, `speak_code`).
    pub(super) invalid_keys: u8,
    pub(super) answered: Option<Answered>,
    /// When the extension's last digit had left.
    pub(super) dialed_at: Option<Instant>,
    /// End of the last play of the sentence that names the method's key.
    pub(super) named_at: Option<Instant>,
    /// End of the fraud sentence, which is said once.
    pub(super) fraud_named_at: Option<Instant>,
}

impl Talk {
    /// The lines of the next play: what is confirmed, the key's name, and the fraud sentence until it was heard to its
    /// end once: who cuts it short, with the key that repeats, can still learn how to report.
    pub(super) fn lines(&self, naming: Line) -> Vec<Line> {
        let mut lines = Vec::with_capacity(4);
        if self.plays <= 1 && self.extension.is_some() {
            lines.push(Line::new(phrase::ALREADY_AT_EXTENSION));
        }
        if let Some(vars) = &self.transaction {
            lines.push(Line {
                phrase: phrase::TRANSACTION.to_owned(),
                vars: vars.reveal().clone(),
            });
        }
        lines.push(naming);
        if self.says_fraud() && self.fraud_named_at.is_none() {
            lines.push(Line::new(&self.script.names.fraud));
        }
        lines
    }

    fn says_fraud(&self) -> bool {
        self.script.fraud_sentence && self.script.keys.fraud.is_some()
    }

    /// Whether a fraud report counts: its sentence was played, or, where the script leaves it out, the
    /// method's own.
    pub(super) fn fraud_is_named(&self) -> bool {
        if self.says_fraud() {
            self.fraud_named_at.is_some()
        } else {
            self.named_at.is_some()
        }
    }

    /// Whether the last two keys are the fraud keys in time.
    pub(super) fn fraud_keys_pressed(&self) -> bool {
        self.script.keys.fraud.is_some_and(|fraud| {
            self.history
                .ends_with(fraud.first, fraud.second, self.script.fraud_window)
        })
    }

    /// The deadline of the second fraud key, when the last key was the first.
    pub(super) fn fraud_open_until(&self) -> Option<Instant> {
        let fraud = self.script.keys.fraud?;
        self.history
            .fraud_open_until(fraud.first, self.script.fraud_window)
    }

    /// Whether a first fraud key was pressed so shortly before `at` that a confirm key cannot be meant as one.
    pub(super) fn first_fraud_key_is_fresh(&self, at: Instant) -> bool {
        self.history.first_fraud_key_within(self.script.fraud_window, at)
    }

    pub(super) fn plays_left(&self) -> bool {
        self.plays < self.script.plays_max
    }

    /// Whether this key may be one of ours, come back.
    pub(super) fn is_echo(&self, key: &Key) -> bool {
        self.dialed_at
            .is_some_and(|dialed_at| key.started_at < dialed_at + ECHO)
    }

    pub(super) fn remember(&mut self, key: &Key) {
        let is_first = self.script.is_first_fraud_key(key.digit);
        self.history.push(key.digit, key.at, is_first);
    }

    /// A line has been played: it names its key from now on.
    pub(super) fn line_done(&mut self, now: Instant, phrase: &str, ask: &Ask) {
        if phrase == ask.naming_phrase(&self.script) {
            self.named_at = Some(now);
        }
        if phrase == self.script.names.fraud {
            self.fraud_named_at.get_or_insert(now);
        }
    }

    /// The same, where it may have been said already.
    pub(super) fn line_named(&mut self, now: Instant, phrase: &str, ask: &Ask) {
        if phrase != ask.naming_phrase(&self.script) || self.named_at.is_none() {
            self.line_done(now, phrase, ask);
        }
    }

    /// `key` as the one that decides, with its delay after the sentence that named it.
    pub(super) fn deciding(&self, key: &Key) -> DecidingKey {
        let named_at = if self.fraud_keys_pressed() {
            self.fraud_named_at.or(self.named_at)
        } else {
            self.named_at
        };
        let delay = named_at.map_or(Duration::ZERO, |at| key.at.saturating_duration_since(at));
        DecidingKey {
            digit: key.digit,
            transport: key.transport,
            delay_ms: u32::try_from(delay.as_millis()).unwrap_or(u32::MAX),
        }
    }

    /// Gives the verdict. Where something is said after it, its commit is awaited first.
    pub(super) fn conclude(
        &self,
        now: Instant,
        reason: Reason,
        key: Option<DecidingKey>,
        out: &mut Vec<Output>,
    ) -> State {
        let time_is_up = self.answered.is_none_or(|answered| now >= answered.ends_at);
        let goodbye = goodbye_of(reason)
            .filter(|_| self.script.goodbye && !time_is_up)
            .map(Line::new);
        out.push(Output::Verdict(Verdict {
            reason,
            key,
            goodbye: goodbye.clone(),
        }));
        match goodbye {
            Some(goodbye) => State::Committing {
                goodbye,
                until: now + self.script.commit_wait,
            },
            None => {
                out.push(Output::Hangup);
                State::Over
            }
        }
    }
}

/// A machine is left without a word; so is a callee who is gone.
const fn goodbye_of(reason: Reason) -> Option<&'static str> {
    match reason {
        Reason::KeyConfirmed | Reason::CodeMatched => Some(phrase::CONFIRMED),
        Reason::CodePlayed | Reason::WrongKey | Reason::WrongCode => Some(phrase::GOODBYE),
        Reason::FraudReported => Some(phrase::FRAUD_REPORTED),
        Reason::NoInput => Some(phrase::NO_INPUT),
        _ => None,
    }
}
