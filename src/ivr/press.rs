//! A key comes: too soon, as a machine's, or as one that counts.
use std::time::Instant;

use super::early::Early;
use super::io::{DecidingKey, Key, Line, Output};
use super::menu::{Ask, Ruling, State};
use super::phrase;
use super::progress::{next_play, replay, say};
use super::talk::{BURST, EARLY_PAIR, SCALE, Talk};
use crate::model::Reason;

impl State {
    pub(super) fn press(
        self,
        talk: &mut Talk,
        ask: &mut Ask,
        now: Instant,
        key: &Key,
        out: &mut Vec<Output>,
    ) -> Self {
        match self {
            Self::Unanswered { .. } => {
                talk.remember(key);
                talk.early = talk
                    .early
                    .before_answer(talk.history.two_different_within(EARLY_PAIR));
                Self::Unanswered { sounding: Some(*key) }
            }
            // Our own digits may come back as echo.
            Self::ExtensionDialing | Self::Committing { .. } | Self::Goodbye | Self::Over => self,
            state if talk.is_echo(key) => state,
            Self::ExtensionWait { .. }
            | Self::Lead { .. }
            | Self::Playing { .. }
            | Self::Waiting { .. }
            | Self::HalfFraud { .. }
            | Self::Quiet { .. }
            | Self::Speaking { .. }
            | Self::Spoken { .. } => {
                talk.remember(key);
                if talk.is_machine(ask, key) {
                    return self.suspect(talk, now, out);
                }
                self.press_answered(talk, ask, now, key, out)
            }
        }
    }

    fn press_answered(
        self,
        talk: &mut Talk,
        ask: &mut Ask,
        now: Instant,
        key: &Key,
        out: &mut Vec<Output>,
    ) -> Self {
        match self {
            // The right key did not stand alone.
            Self::Quiet { .. } => {
                let ruling = ask.wrong_key(talk);
                self.apply(talk, ask, now, ruling, Some(key), out)
            }
            Self::Speaking { .. } | Self::Spoken { .. } => self.press_over_code(talk, ask, now, key, out),
            state if talk.named_at.is_none() => {
                let two_different = talk.history.two_different_within(EARLY_PAIR);
                state.too_soon(talk, ask, now, two_different, out)
            }
            Self::HalfFraud { .. } => {
                let ruling = ask.judge_after_fraud_key(talk, key);
                self.apply(talk, ask, now, ruling, Some(key), out)
            }
            state => {
                let ruling = ask.judge(talk, key);
                state.apply(talk, ask, now, ruling, Some(key), out)
            }
        }
    }

    /// A key before the sentence that names it: forgiven once.
    fn too_soon(
        self,
        talk: &mut Talk,
        ask: &mut Ask,
        now: Instant,
        two_different: bool,
        out: &mut Vec<Output>,
    ) -> Self {
        talk.early = talk.early.after_answer(two_different);
        match self {
            state if talk.early == Early::Suspect => state.suspect(talk, now, out),
            // Nothing was said yet: the first play will open with it.
            state @ (Self::ExtensionWait { .. } | Self::Lead { .. }) => state,
            _ => replay(talk, ask, Some(phrase::PLEASE_LISTEN), out),
        }
    }

    fn suspect(self, talk: &Talk, now: Instant, out: &mut Vec<Output>) -> Self {
        self.stop(out);
        talk.conclude(now, Reason::SuspectMachine, None, out)
    }

    /// While the code is spoken, a key may only report fraud or ask for the code from its beginning.
    fn press_over_code(
        self,
        talk: &mut Talk,
        ask: &Ask,
        now: Instant,
        key: &Key,
        out: &mut Vec<Output>,
    ) -> Self {
        if talk.fraud_keys_pressed() && talk.fraud_is_named() {
            self.stop(out);
            return talk.conclude(now, Reason::FraudReported, Some(talk.deciding(key)), out);
        }
        match (self, ask) {
            (Self::Speaking { key: reveal }, Ask::SpeakCode(code))
                if key.digit == talk.script.keys.repeat && talk.plays_left() =>
            {
                talk.plays = talk.plays.saturating_add(1);
                out.push(Output::Play(code.lines()));
                Self::Speaking { key: reveal }
            }
            (state, _) => state,
        }
    }

    pub(super) fn apply(
        self,
        talk: &mut Talk,
        ask: &mut Ask,
        now: Instant,
        ruling: Ruling,
        key: Option<&Key>,
        out: &mut Vec<Output>,
    ) -> Self {
        let deciding = key.map(|key| talk.deciding(key));
        match ruling {
            Ruling::Approve(reason) | Ruling::Deny(reason) => {
                self.stop(out);
                talk.conclude(now, reason, deciding, out)
            }
            Ruling::Fraud => {
                self.stop(out);
                talk.conclude(now, Reason::FraudReported, deciding, out)
            }
            Ruling::Unnamed => self.too_soon(talk, ask, now, false, out),
            Ruling::Ignored => self,
            Ruling::AwaitSecondFraudKey => {
                self.stop(out);
                let pressed_at = key.map_or(now, |key| key.at);
                Self::HalfFraud {
                    until: pressed_at + talk.script.fraud_window,
                }
            }
            Ruling::Repeat if talk.plays_left() => next_play(talk, ask, None, out),
            Ruling::Repeat => self.listening_on(talk, now),
            Ruling::Invalid => self.invalid(talk, ask, now, deciding, out),
            Ruling::NewDigit => {
                talk.named_at = None;
                next_play(talk, ask, Some(phrase::WRONG_KEY), out)
            }
            Ruling::CodeDigit => {
                self.stop(out);
                Self::Waiting {
                    until: now + talk.script.key_wait,
                }
            }
            Ruling::RetryCode => say(vec![Line::new(phrase::WRONG_CODE_RETRY)], out),
            Ruling::Quiet => self.quiet(talk, now, deciding, key, out),
            Ruling::Reveal => Self::reveal(self, ask, deciding, out),
        }
    }

    fn invalid(
        self,
        talk: &mut Talk,
        ask: &mut Ask,
        now: Instant,
        deciding: Option<DecidingKey>,
        out: &mut Vec<Output>,
    ) -> Self {
        talk.invalid_keys = talk.invalid_keys.saturating_add(1);
        if talk.invalid_keys >= talk.script.invalid_keys_max {
            self.stop(out);
            return talk.conclude(now, Reason::WrongKey, deciding, out);
        }
        if talk.plays_left() {
            return next_play(talk, ask, Some(phrase::WRONG_KEY), out);
        }
        say(vec![Line::new(phrase::WRONG_KEY)], out)
    }

    /// No play is left to repeat: what plays goes on, and what was stopped is waited on.
    fn listening_on(self, talk: &Talk, now: Instant) -> Self {
        match self {
            Self::HalfFraud { .. } => Self::Waiting {
                until: now + talk.script.key_wait,
            },
            state => state,
        }
    }

    fn quiet(
        self,
        talk: &Talk,
        now: Instant,
        deciding: Option<DecidingKey>,
        key: Option<&Key>,
        out: &mut Vec<Output>,
    ) -> Self {
        let (Some(deciding), Some(key)) = (deciding, key) else {
            return self;
        };
        self.stop(out);
        // From when it was certain, but never in the past: the deadline is still to come.
        Self::Quiet {
            until: (key.at + talk.script.quiet_after).max(now),
            key: deciding,
        }
    }

    fn reveal(self, ask: &Ask, deciding: Option<DecidingKey>, out: &mut Vec<Output>) -> Self {
        match (ask, deciding) {
            (Ask::SpeakCode(code), Some(key)) => {
                out.push(Output::Play(code.lines()));
                Self::Speaking { key }
            }
            _ => self,
        }
    }
}

impl Talk {
    /// Whether this key, after those before it, cannot be a person's.
    fn is_machine(&self, ask: &Ask, key: &Key) -> bool {
        // A tone that began before the answer and goes on after it.
        let straddles_answer = self.answered.is_some_and(|answered| key.started_at < answered.at);
        let burst = match ask {
            Ask::RandomKey(_) => self.history.three_within(BURST),
            // A person's report of fraud is not to be lost, and it approves nothing.
            Ask::PressKey(_) if self.fraud_keys_pressed() && self.fraud_is_named() => false,
            Ask::PressKey(_) => self.history.three_different_within(SCALE),
            // Typing a code is a burst, and the key that reveals one is its first.
            Ask::MatchCode(_) | Ask::SpeakCode(_) => false,
        };
        straddles_answer || burst
    }
}

impl Ask {
    fn judge(&mut self, talk: &Talk, key: &Key) -> Ruling {
        if let Self::MatchCode(code) = self {
            return code.judge(talk, key);
        }
        if talk.fraud_keys_pressed() {
            return if talk.fraud_is_named() {
                Ruling::Fraud
            } else {
                Ruling::Unnamed
            };
        }
        if talk.script.is_first_fraud_key(key.digit) {
            // Before its sentence the key has no name yet: it is remembered, and the prompt goes on.
            return if talk.fraud_is_named() {
                Ruling::AwaitSecondFraudKey
            } else {
                Ruling::Ignored
            };
        }
        if key.digit == talk.script.keys.repeat {
            return Ruling::Repeat;
        }
        match self {
            Self::PressKey(press) => press.judge(talk, key),
            Self::RandomKey(random) => random.judge(talk, key),
            Self::MatchCode(code) => code.judge(talk, key),
            Self::SpeakCode(_) if key.digit == talk.script.keys.reveal => Ruling::Reveal,
            Self::SpeakCode(_) => Ruling::Invalid,
        }
    }

    /// A key that is not the second fraud key follows the first: the first was a wrong key.
    fn judge_after_fraud_key(&mut self, talk: &mut Talk, key: &Key) -> Ruling {
        if talk.fraud_keys_pressed() {
            return Ruling::Fraud;
        }
        if let Self::RandomKey(random) = self {
            return random.wrong_key(&talk.script);
        }
        talk.invalid_keys = talk.invalid_keys.saturating_add(1);
        if talk.invalid_keys >= talk.script.invalid_keys_max {
            return Ruling::Deny(Reason::WrongKey);
        }
        self.judge(talk, key)
    }
}
