//! `match_code`: the digits on the screen, then the confirm key. The code itself is never spoken.
use subtle::ConstantTimeEq;

use super::io::Key;
use super::menu::Ruling;
use super::talk::Talk;
use crate::model::{Digits, Masked, Reason};

#[derive(Debug)]
pub(super) struct MatchCode {
    code: Masked<Digits>,
    entry: Digits,
    wrong: u8,
}

/// Longer than any code: a full entry cannot match.
const ENTRY_MAX: usize = 16;

impl MatchCode {
    pub(super) fn new(code: Masked<Digits>) -> Self {
        Self {
            code,
            entry: Digits::default(),
            wrong: 0,
        }
    }

    pub(super) fn judge(&mut self, talk: &Talk, key: &Key) -> Ruling {
        let keys = talk.script.keys;
        if let Some(fraud) = keys.fraud
            && key.digit == fraud.second
            && self.entry.as_slice() == [fraud.first]
        {
            self.entry.clear();
            return if talk.fraud_is_named() {
                Ruling::Fraud
            } else {
                Ruling::Unnamed
            };
        }
        if key.digit == keys.confirm {
            return self.entered(talk);
        }
        if key.digit == keys.repeat {
            self.entry.clear();
            return Ruling::Repeat;
        }
        if self.entry.len() < ENTRY_MAX {
            self.entry.push(key.digit);
        }
        Ruling::CodeDigit
    }

    /// A play began or the wait ran out: half an entry is no entry.
    pub(super) fn forget_entry(&mut self) {
        self.entry.clear();
    }

    fn entered(&mut self, talk: &Talk) -> Ruling {
        let matches = same_digits(&self.entry, self.code.reveal());
        self.entry.clear();
        if matches {
            return Ruling::Approve(Reason::CodeMatched);
        }
        self.wrong = self.wrong.saturating_add(1);
        if self.wrong >= talk.script.wrong_codes_max {
            Ruling::Deny(Reason::WrongCode)
        } else {
            Ruling::RetryCode
        }
    }
}

/// Compares in a time that does not depend on where the first difference is.
fn same_digits(entry: &Digits, code: &Digits) -> bool {
    let padded = |digits: &Digits| {
        let mut octets = [u8::MAX; ENTRY_MAX + 1];
        for (octet, digit) in octets.iter_mut().zip(digits.as_slice()) {
            *octet = digit.event();
        }
        octets
    };
    let same: bool = padded(entry).ct_eq(&padded(code)).into();
    same && entry.len() == code.len() && !code.is_empty()
}
