//! `random_key`: a digit 1–9, named per call, confirms if it comes alone.
use super::io::Key;
use super::menu::Ruling;
use super::script::Script;
use super::talk::Talk;
use crate::model::{Digit, Entropy, Reason};

#[derive(Debug)]
pub(super) struct RandomKey {
    pub(super) digit: Digit,
    wrong: u8,
    entropy: Entropy,
}

impl RandomKey {
    pub(super) fn new(script: &Script, mut entropy: Entropy) -> Self {
        Self {
            digit: draw(script, None, &mut entropy),
            wrong: 0,
            entropy,
        }
    }

    pub(super) fn judge(&mut self, talk: &Talk, key: &Key) -> Ruling {
        let alone = !talk.history.key_before_last_within(talk.script.quiet_before);
        if key.digit == self.digit && alone {
            Ruling::Quiet
        } else {
            self.wrong_key(&talk.script)
        }
    }

    /// A wrong key, or the right one in bad company: another digit, until too many were wrong.
    pub(super) fn wrong_key(&mut self, script: &Script) -> Ruling {
        self.wrong = self.wrong.saturating_add(1);
        if self.wrong >= script.wrong_keys_max {
            return Ruling::Deny(Reason::WrongKey);
        }
        self.digit = draw(script, Some(self.digit), &mut self.entropy);
        Ruling::NewDigit
    }
}

/// A digit 1–9 that has no other job and is not the one before.
fn draw(script: &Script, before: Option<Digit>, entropy: &mut Entropy) -> Digit {
    let free: Vec<Digit> = (1..=9)
        .filter_map(Digit::from_event)
        .filter(|digit| {
            Some(*digit) != before && *digit != script.keys.repeat && !script.is_first_fraud_key(*digit)
        })
        .collect();
    let index = usize::try_from(entropy.below(free.len() as u64)).unwrap_or(0);
    // At least six of the nine are free, so the index is always in range.
    free.get(index).copied().unwrap_or(script.keys.confirm)
}
