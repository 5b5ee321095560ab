//! One symbol of the telephone keypad.
use std::fmt;

/// A keypad symbol `0–9 * # A–D`; the discriminant is the RFC 4733 event code (§3.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digit(u8);

/// The symbols in the order of their RFC 4733 event codes.
const SYMBOLS: &[u8; 16] = b"0123456789*#ABCD";

impl Digit {
    pub const STAR: Self = Self(10);
    pub const POUND: Self = Self(11);
    pub const ZERO: Self = Self(0);

    /// From an RFC 4733 event code 0–15; other events are not digits.
    #[must_use]
    pub const fn from_event(event: u8) -> Option<Self> {
        if event < 16 { Some(Self(event)) } else { None }
    }

    /// The RFC 4733 event code, 0–15.
    #[must_use]
    pub const fn event(self) -> u8 {
        self.0
    }

    /// From its symbol; `a`–`d` are accepted as `A`–`D`.
    #[must_use]
    pub fn from_char(symbol: char) -> Option<Self> {
        let symbol = u8::try_from(symbol.to_ascii_uppercase()).ok()?;
        let event = SYMBOLS.iter().position(|s| *s == symbol)?;
        u8::try_from(event).ok().map(Self)
    }

    #[must_use]
    pub fn as_char(self) -> char {
        char::from(SYMBOLS[usize::from(self.0 & 15)])
    }

    /// `0`–`9` as a number.
    #[must_use]
    pub const fn value(self) -> Option<u8> {
        if self.0 < 10 { Some(self.0) } else { None }
    }
}

impl fmt::Display for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_char())
    }
}

impl fmt::Debug for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digit({})", self.as_char())
    }
}

/// A string of digits, such as a code or an extension. `Debug` hides them: they may be a secret.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Digits(Vec<Digit>);

/// The first symbol that no keypad has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected only 0-9, *, # and A-D, found {found:?} at position {position}")]
pub struct DigitError {
    pub found: char,
    /// Counted from 1.
    pub position: usize,
}

impl Digits {
    /// Parses `0–9*#A–D`; nothing else, no spaces.
    pub fn parse(text: &str) -> Result<Self, DigitError> {
        text.chars()
            .enumerate()
            .map(|(i, found)| {
                Digit::from_char(found).ok_or(DigitError {
                    found,
                    position: i + 1,
                })
            })
            .collect::<Result<Vec<_>, _>>()
            .map(Self)
    }

    #[must_use]
    pub fn as_slice(&self) -> &[Digit] {
        &self.0
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn push(&mut self, digit: Digit) {
        self.0.push(digit);
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The symbols in the clear. For the wire and the store, never for a log.
    #[must_use]
    pub fn reveal(&self) -> String {
        self.0.iter().map(|d| d.as_char()).collect()
    }
}

impl FromIterator<Digit> for Digits {
    fn from_iter<I: IntoIterator<Item = Digit>>(iter: I) -> Self {
        Self(iter.into_iter().collect())
    }
}

impl fmt::Debug for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digits(…{})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_code_has_its_symbol_and_back() {
        for event in 0..16 {
            let digit = Digit::from_event(event).unwrap();
            assert_eq!(Digit::from_char(digit.as_char()), Some(digit));
            assert_eq!(digit.event(), event);
        }
        assert_eq!(Digit::from_event(16), None);
        assert_eq!(Digit::POUND.as_char(), '#');
        assert_eq!(Digit::STAR.as_char(), '*');
    }

    #[test]
    fn a_wrong_symbol_is_named_with_its_place() {
        let error = Digits::parse("12x4").unwrap_err();
        assert_eq!(
            error,
            DigitError {
                found: 'x',
                position: 3
            }
        );
    }

    #[test]
    fn digits_never_show_in_debug() {
        assert!(!format!("{:?}", Digits::parse("481920").unwrap()).contains("481"));
    }
}
