//! The call script as data: keys, times, counts and sentences of one profile.
use std::time::Duration;

use super::phrase;
use crate::model::{Digit, ScreeningMode};

/// Everything about a menu that an operator may change. The defaults are those of the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    pub keys: Keys,
    pub names: Names,
    /// Silence between the answer (or the extension's last digit) and the first word.
    pub first_word: Duration,
    /// How long a key is waited for after each play, and between the digits of a code.
    pub key_wait: Duration,
    /// Plays in all, those asked for by the repeat key included.
    pub plays_max: u8,
    /// Invalid keys in `press_key` and `speak_code`: at this count the call says goodbye.
    pub invalid_keys_max: u8,
    /// Wrong keys in `random_key`: at this count the call is denied. A new digit follows each before.
    pub wrong_keys_max: u8,
    /// Wrong entries in `match_code`: at this count the call is denied.
    pub wrong_codes_max: u8,
    /// The whole answered call, goodbye included.
    pub answered_max: Duration,
    /// How long the second fraud key may come after the first.
    pub fraud_window: Duration,
    /// `random_key`: no other key in this time before the right one…
    pub quiet_before: Duration,
    /// …nor in this time after it.
    pub quiet_after: Duration,
    /// How long a verdict may take to be committed before the call ends without its goodbye.
    pub commit_wait: Duration,
    /// Whether the fraud sentence is said, until it was heard to its end once.
    pub fraud_sentence: bool,
    /// Whether a verdict is followed by a goodbye.
    pub goodbye: bool,
    /// What is done about a machine that answers.
    pub screening: ScreeningMode,
}

/// Which key does what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keys {
    pub confirm: Digit,
    pub repeat: Digit,
    /// `speak_code`: makes the code be spoken.
    pub reveal: Digit,
    /// `None`: this profile takes no fraud reports by key.
    pub fraud: Option<FraudKeys>,
}

/// Two keys, so that one mistaken key reports nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FraudKeys {
    pub first: Digit,
    pub second: Digit,
}

/// Which phrase names each key. A key counts only after the phrase that names it was played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    pub confirm: String,
    pub random: String,
    pub match_code: String,
    pub reveal: String,
    pub fraud: String,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            confirm: Digit::POUND,
            repeat: Digit::STAR,
            reveal: Digit::from_event(1).unwrap_or(Digit::POUND),
            fraud: Some(FraudKeys {
                first: Digit::ZERO,
                second: Digit::POUND,
            }),
        }
    }
}

impl Default for Names {
    fn default() -> Self {
        Self {
            confirm: phrase::CONFIRM.to_owned(),
            random: phrase::RANDOM.to_owned(),
            match_code: phrase::MATCH_CODE.to_owned(),
            reveal: phrase::SPEAK_CODE_INTRO.to_owned(),
            fraud: phrase::FRAUD.to_owned(),
        }
    }
}

impl Default for Script {
    fn default() -> Self {
        Self {
            keys: Keys::default(),
            names: Names::default(),
            first_word: Duration::from_millis(700),
            key_wait: Duration::from_secs(5),
            plays_max: 3,
            invalid_keys_max: 3,
            wrong_keys_max: 2,
            wrong_codes_max: 2,
            answered_max: Duration::from_secs(60),
            fraud_window: Duration::from_secs(3),
            quiet_before: Duration::from_secs(1),
            quiet_after: Duration::from_millis(700),
            commit_wait: Duration::from_secs(5),
            fraud_sentence: true,
            goodbye: true,
            screening: ScreeningMode::End,
        }
    }
}

/// Why a script cannot be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    #[error("expected the {a} key and the {b} key to differ, found {key} for both")]
    SameKey {
        a: &'static str,
        b: &'static str,
        key: Digit,
    },
    #[error("expected {what} of at least 1, found 0")]
    Zero { what: &'static str },
}

impl Script {
    /// Whether the keys and counts can work together. `config` asks this once; a menu relies on it.
    pub fn check(&self) -> Result<(), ScriptError> {
        let Keys {
            confirm,
            repeat,
            reveal,
            fraud,
        } = self.keys;
        let mut pairs = vec![
            ("confirm", confirm, "repeat", repeat),
            ("reveal", reveal, "repeat", repeat),
        ];
        if let Some(fraud) = fraud {
            pairs.extend([
                ("first fraud", fraud.first, "confirm", confirm),
                ("first fraud", fraud.first, "repeat", repeat),
                ("first fraud", fraud.first, "reveal", reveal),
                ("first fraud", fraud.first, "second fraud", fraud.second),
                ("second fraud", fraud.second, "repeat", repeat),
            ]);
        }
        for (a, key, b, other) in pairs {
            if key == other {
                return Err(ScriptError::SameKey { a, b, key });
            }
        }
        let counts = [
            ("plays", self.plays_max),
            ("invalid keys", self.invalid_keys_max),
            ("wrong keys", self.wrong_keys_max),
            ("wrong codes", self.wrong_codes_max),
        ];
        match counts.into_iter().find(|(_, count)| *count == 0) {
            Some((what, _)) => Err(ScriptError::Zero { what }),
            None => Ok(()),
        }
    }

    pub(super) fn is_first_fraud_key(&self, digit: Digit) -> bool {
        self.keys.fraud.is_some_and(|fraud| fraud.first == digit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_script_is_that_of_the_contract() {
        let script = Script::default();
        assert_eq!(script.check(), Ok(()));
        assert_eq!(script.keys.reveal.as_char(), '1');
        assert_eq!(script.first_word.as_millis(), 700);
        assert_eq!((script.key_wait.as_secs(), script.plays_max), (5, 3));
        assert_eq!(
            (script.answered_max.as_secs(), script.fraud_window.as_secs()),
            (60, 3)
        );
    }

    #[test]
    fn a_script_with_one_key_for_two_jobs_is_refused_by_name() {
        let mut script = Script::default();
        script.keys.repeat = Digit::POUND;
        let error = script.check().unwrap_err().to_string();
        assert!(error.contains("confirm") && error.contains("repeat"), "{error}");
        script = Script::default();
        script.keys.confirm = Digit::ZERO;
        assert!(script.check().is_err());
    }

    #[test]
    fn a_count_of_zero_is_refused_by_name() {
        let script = Script {
            plays_max: 0,
            ..Script::default()
        };
        assert_eq!(script.check(), Err(ScriptError::Zero { what: "plays" }));
    }
}
