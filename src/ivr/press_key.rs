//! `press_key`: one fixed key confirms.
use super::io::Key;
use super::menu::Ruling;
use super::talk::Talk;
use crate::model::Reason;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct PressKey;

impl PressKey {
    pub(super) fn judge(self, talk: &Talk, key: &Key) -> Ruling {
        if key.digit == talk.script.keys.confirm && !talk.first_fraud_key_is_fresh(key.at) {
            return Ruling::Approve(Reason::KeyConfirmed);
        }
        Ruling::Invalid
    }
}
