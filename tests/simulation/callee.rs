//! The person, or the machine, at one phone.
use ringproof::model::Method;

use crate::script::{CalleeScript, Habit};

#[derive(Debug)]
pub(crate) struct Callee {
    pub(crate) script: CalleeScript,
    method: Method,
    /// On the screen in front of the person.
    code: String,
    /// Times that the key was named.
    named: u8,
    random: bool,
    done: bool,
    pub(crate) over: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    Key(char),
    HangUp,
}

/// Deeds with the milliseconds from now.
pub(crate) type Deeds = Vec<(u64, Deed)>;

const TWELVE: &str = "123456789*0#";

impl Callee {
    pub(crate) fn new(script: CalleeScript, method: Method, code: &str) -> Self {
        Self {
            script,
            method,
            code: code.to_owned(),
            named: 0,
            random: false,
            done: false,
            over: false,
        }
    }

    pub(crate) fn early_media(&self) -> Deeds {
        match &self.script.habit {
            Habit::TonesBeforeAnswer { .. } => vec![(400, Deed::Key('5'))],
            _ => Vec::new(),
        }
    }

    pub(crate) fn answered(&self) -> Deeds {
        match &self.script.habit {
            Habit::EarlyKeys { at_ms, keys } => {
                at_ms.iter().copied().zip(keys.chars().map(Deed::Key)).collect()
            }
            Habit::HangsUp { at_ms } => vec![(*at_ms, Deed::HangUp)],
            Habit::TwelveTones => {
                let tones = TWELVE.chars().cycle().take(36).enumerate();
                tones
                    .map(|(nth, key)| (300 + nth as u64 * 250, Deed::Key(key)))
                    .collect()
            }
            Habit::Mashes { keys } => keys
                .iter()
                .map(|(at_ms, key)| (*at_ms, Deed::Key(*key)))
                .collect(),
            Habit::Nothing
            | Habit::Obeys { .. }
            | Habit::RepeatsThenObeys
            | Habit::ReportsFraud
            | Habit::ObeysAndHangsUp { .. }
            | Habit::TonesBeforeAnswer { .. } => Vec::new(),
        }
    }

    /// The end of one recording.
    pub(crate) fn hears(&mut self, clip: &str) -> Deeds {
        if clip == "say-fraud" && self.script.habit == Habit::ReportsFraud && !self.done {
            self.done = true;
            return self.row("0#");
        }
        let Some(right) = self.named_by(clip) else {
            return Vec::new();
        };
        let nth = self.named;
        self.named += 1;
        if self.done {
            return Vec::new();
        }
        match &self.script.habit {
            Habit::Obeys { wrong_first } if nth < *wrong_first => self.row(&self.wrong(&right)),
            Habit::RepeatsThenObeys if nth == 0 => self.row("*"),
            Habit::Obeys { .. } | Habit::RepeatsThenObeys | Habit::EarlyKeys { .. } => {
                self.done = true;
                self.row(&right)
            }
            Habit::TonesBeforeAnswer { goes_on: false } => {
                self.done = true;
                self.row(&right)
            }
            Habit::ObeysAndHangsUp { after_ms } => {
                self.done = true;
                let after_ms = *after_ms;
                let mut deeds = self.row(&right);
                let last_ms = deeds.last().map_or(0, |(at_ms, _)| *at_ms);
                deeds.push((last_ms + after_ms, Deed::HangUp));
                deeds
            }
            Habit::Nothing
            | Habit::ReportsFraud
            | Habit::HangsUp { .. }
            | Habit::TwelveTones
            | Habit::TonesBeforeAnswer { .. }
            | Habit::Mashes { .. } => Vec::new(),
        }
    }

    /// What this recording asks for, if it names a key.
    fn named_by(&mut self, clip: &str) -> Option<String> {
        let was_random = std::mem::replace(&mut self.random, clip == "say-random");
        match (self.method, clip) {
            (Method::PressKey, "say-confirm") => Some("#".to_owned()),
            (Method::RandomKey, digit) if was_random => digit.strip_prefix("digit-").map(str::to_owned),
            (Method::MatchCode, "say-match-code" | "say-wrong-code-retry") => Some(format!("{}#", self.code)),
            (Method::SpeakCode, "say-speak-code-intro") => Some("1".to_owned()),
            _ => None,
        }
    }

    fn wrong(&self, right: &str) -> String {
        match self.method {
            Method::PressKey => "7".to_owned(),
            Method::RandomKey => if right == "4" { "6" } else { "4" }.to_owned(),
            Method::MatchCode => if self.code.starts_with('3') {
                "9999#"
            } else {
                "3333#"
            }
            .to_owned(),
            Method::SpeakCode => "9".to_owned(),
        }
    }

    fn row(&self, keys: &str) -> Deeds {
        let script = &self.script;
        let at_ms = |nth: usize| script.reaction_ms + nth as u64 * (script.tone_ms + script.gap_ms);
        keys.chars()
            .enumerate()
            .map(|(nth, key)| (at_ms(nth), Deed::Key(key)))
            .collect()
    }
}
