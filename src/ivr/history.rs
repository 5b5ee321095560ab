//! The keys that were pressed of late, for the rules that look back.
use std::time::{Duration, Instant};

use crate::model::Digit;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stroke {
    digit: Digit,
    at: Instant,
}

/// The last three strokes, oldest first, and the last first-fraud key. Everything older decides nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct History {
    strokes: Vec<Stroke>,
    first_fraud_key_at: Option<Instant>,
}

const KEPT: usize = 3;

impl History {
    pub(super) fn push(&mut self, digit: Digit, at: Instant, is_first_fraud_key: bool) {
        if self.strokes.len() == KEPT {
            self.strokes.remove(0);
        }
        self.strokes.push(Stroke { digit, at });
        if is_first_fraud_key {
            self.first_fraud_key_at = Some(at);
        }
    }

    /// Whether the last three keys came within `window`.
    pub(super) fn three_within(&self, window: Duration) -> bool {
        match self.strokes.as_slice() {
            [first, _, last] => last.at.saturating_duration_since(first.at) <= window,
            _ => false,
        }
    }

    /// Whether the last three keys were three different digits within `window`.
    pub(super) fn three_different_within(&self, window: Duration) -> bool {
        match self.strokes.as_slice() {
            [first, second, last] => {
                let differ =
                    first.digit != second.digit && second.digit != last.digit && first.digit != last.digit;
                differ && self.three_within(window)
            }
            _ => false,
        }
    }

    /// Whether the last two keys were different digits within `window`.
    pub(super) fn two_different_within(&self, window: Duration) -> bool {
        self.last_two().is_some_and(|(before, last)| {
            before.digit != last.digit && last.at.saturating_duration_since(before.at) <= window
        })
    }

    /// Whether a key came within `window` before the last one.
    pub(super) fn key_before_last_within(&self, window: Duration) -> bool {
        self.last_two()
            .is_some_and(|(before, last)| last.at.saturating_duration_since(before.at) <= window)
    }

    /// Whether the last key is `second` and follows `first` directly, within `window`.
    pub(super) fn ends_with(&self, first: Digit, second: Digit, window: Duration) -> bool {
        self.last_two().is_some_and(|(before, last)| {
            before.digit == first
                && last.digit == second
                && last.at.saturating_duration_since(before.at) <= window
        })
    }

    /// Whether a first-fraud key came within `window` before `at`, whatever came between.
    pub(super) fn first_fraud_key_within(&self, window: Duration, at: Instant) -> bool {
        self.first_fraud_key_at
            .is_some_and(|pressed| at.saturating_duration_since(pressed) <= window)
    }

    /// When the last key was a first-fraud key: the time until which its second may follow.
    pub(super) fn fraud_open_until(&self, first: Digit, window: Duration) -> Option<Instant> {
        self.strokes
            .last()
            .filter(|last| last.digit == first)
            .map(|last| last.at + window)
    }

    fn last_two(&self) -> Option<(Stroke, Stroke)> {
        match self.strokes.as_slice() {
            [.., before, last] => Some((*before, *last)),
            _ => None,
        }
    }
}
