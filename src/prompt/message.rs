//! The values of a transaction in recorded clips: an amount digit by digit with its currency, a payee as its own
//! recording where there is one, else spelled.
//!
//! Digit by digit needs no grammar, is the same in every language and survives a bad line. A variable's value is
//! then a list of clip names, spaces between, as `media::voice` takes it.
use std::collections::BTreeMap;

use super::manifest::slug;
use crate::ivr::phrase;
use crate::media::voice::{MissingClip, Voice};
use crate::model::Digit;

pub(super) const POINT: &str = "amount-point";
const AMOUNT_DIGITS_MAX: usize = 12;
const PAYEE_CHARS_MAX: usize = 24;

/// Why a value cannot be spoken. The texts go to logs and audit rows: they never hold the amount or the payee.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    #[error("expected the values \"amount\" and \"payee\", {missing:?} is missing")]
    Missing { missing: &'static str },
    #[error("expected the values \"amount\" and \"payee\" only, found {found:?}")]
    Unknown { found: String },
    #[error(
        "expected an amount such as \"249.00 EUR\": 1 to {AMOUNT_DIGITS_MAX} digits and a currency of three letters"
    )]
    Amount,
    #[error("expected a payee of 1 to {PAYEE_CHARS_MAX} letters and digits of the Latin script")]
    Payee,
    #[error("{locale} has no recording of {clip:?}, which the {value} needs")]
    NotRecorded {
        locale: String,
        value: &'static str,
        clip: String,
    },
    #[error("expected an amount and a payee that one sentence can hold: shorten the payee")]
    TooLong,
}

impl MessageError {
    /// The field of the request that is at fault.
    #[must_use]
    pub fn param(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "message",
            Self::Amount
            | Self::Missing { missing: "amount" }
            | Self::NotRecorded { value: "amount", .. } => "message.amount",
            Self::Payee | Self::Missing { .. } | Self::NotRecorded { .. } | Self::TooLong => "message.payee",
        }
    }
}

/// Whether the values can be spoken, within the sentence that holds them: what is refused here would end the call before
/// it is dialled.
pub fn check_message(voice: &Voice, message: &BTreeMap<String, String>) -> Result<(), MessageError> {
    let vars = message_vars(voice, message)?;
    match voice.clips(phrase::TRANSACTION, &vars) {
        Err(MissingClip::TooLong { .. }) => Err(MessageError::TooLong),
        // A voice without the sentence itself is not offered.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Variables of the phrase `transaction`, from the values of the request.
pub fn message_vars(
    voice: &Voice,
    message: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, MessageError> {
    if let Some(found) = message
        .keys()
        .find(|name| !matches!(name.as_str(), "amount" | "payee"))
    {
        return Err(MessageError::Unknown {
            found: found.chars().take(40).collect(),
        });
    }
    let value = |missing: &'static str| message.get(missing).ok_or(MessageError::Missing { missing });
    let amount = amount_clips(value("amount")?)?;
    let payee = payee_clips(voice, value("payee")?)?;
    for (value, clips) in [("amount", &amount), ("payee", &payee)] {
        if let Some(clip) = clips.iter().find(|clip| voice.clip(clip).is_none()) {
            return Err(MessageError::NotRecorded {
                locale: voice.locale.clone(),
                value,
                clip: clip.clone(),
            });
        }
    }
    Ok(BTreeMap::from([
        ("amount".to_owned(), amount.join(" ")),
        ("payee".to_owned(), payee.join(" ")),
    ]))
}

#[must_use]
pub(super) fn letter_clip_name(letter: char) -> String {
    format!("letter-{letter}")
}

/// "1,249.50 EUR" → one, two, four, nine, point, five, zero, euros.
fn amount_clips(text: &str) -> Result<Vec<String>, MessageError> {
    let wrong = || MessageError::Amount;
    let (number, currency) = split_currency(text.trim()).ok_or_else(wrong)?;
    let (whole, cents) = split_number(number).ok_or_else(wrong)?;
    let mut clips = Vec::with_capacity(AMOUNT_DIGITS_MAX + 4);
    let spell = |digits: &str, clips: &mut Vec<String>| {
        clips.extend(
            digits
                .chars()
                .filter_map(Digit::from_char)
                .map(Voice::digit_clip_name),
        );
    };
    spell(&whole, &mut clips);
    if let Some(cents) = cents {
        clips.push(POINT.to_owned());
        spell(&cents, &mut clips);
    }
    match currency.as_str() {
        "usd" | "eur" | "gbp" => clips.push(format!("currency-{currency}")),
        other => clips.extend(other.chars().map(letter_clip_name)),
    }
    Ok(clips)
}

/// A sign or a three-letter code, before or after the number.
fn split_currency(text: &str) -> Option<(&str, String)> {
    for (sign, code) in [("$", "usd"), ("€", "eur"), ("£", "gbp")] {
        if let Some(number) = text.strip_prefix(sign).or_else(|| text.strip_suffix(sign)) {
            return Some((number.trim(), code.to_owned()));
        }
    }
    let is_code = |part: &str| part.len() == 3 && part.bytes().all(|b| b.is_ascii_alphabetic());
    if let (Some(first), Some(rest)) = (text.get(..3), text.get(3..))
        && is_code(first)
    {
        return Some((rest.trim(), first.to_ascii_lowercase()));
    }
    let at = text.len().checked_sub(3)?;
    let (number, last) = (text.get(..at)?, text.get(at..)?);
    is_code(last).then(|| (number.trim(), last.to_ascii_lowercase()))
}

/// Digits before and after the decimal mark: the last `.` or `,` that one or two digits follow.
fn split_number(text: &str) -> Option<(String, Option<String>)> {
    let plain = |c: char| c.is_ascii_digit() || matches!(c, '.' | ',' | '\'' | ' ');
    if !text.starts_with(|c: char| c.is_ascii_digit()) || !text.chars().all(plain) {
        return None;
    }
    let (whole, cents) = match text.rsplit_once(['.', ',']) {
        Some((whole, cents)) if (1..=2).contains(&cents.len()) => (whole, Some(cents.to_owned())),
        _ => (text, None),
    };
    if cents
        .as_ref()
        .is_some_and(|c| !c.bytes().all(|b| b.is_ascii_digit()))
    {
        return None;
    }
    // Marks between thousands: every group after the first has three digits.
    let mut groups = whole.split(['.', ',', '\'', ' ']);
    let first = groups.next()?;
    if first.is_empty() || !groups.all(|group| group.len() == 3) {
        return None;
    }
    let digits: String = whole.chars().filter(char::is_ascii_digit).collect();
    (digits.len() <= AMOUNT_DIGITS_MAX).then_some((digits, cents))
}

fn payee_clips(voice: &Voice, name: &str) -> Result<Vec<String>, MessageError> {
    let wrong = || MessageError::Payee;
    let recorded = format!("payee-{}", slug(name));
    if voice.clip(&recorded).is_some() {
        return Ok(vec![recorded]);
    }
    if name.chars().count() > PAYEE_CHARS_MAX {
        return Err(wrong());
    }
    let mut clips = Vec::new();
    for c in name.chars() {
        if let Some(digit) = c.to_digit(10).and_then(|value| Digit::from_event(value as u8)) {
            clips.push(Voice::digit_clip_name(digit));
        } else if c.is_alphabetic() {
            clips.extend(plain_letters(c).ok_or_else(wrong)?.chars().map(letter_clip_name));
        }
        // Spaces and punctuation are not spelled.
    }
    if clips.is_empty() { Err(wrong()) } else { Ok(clips) }
}

/// A letter as it is spelled without its marks; letters of other scripts have none.
fn plain_letters(c: char) -> Option<String> {
    let lower = c.to_lowercase().next()?;
    let plain = match lower {
        'a'..='z' => return Some(lower.to_string()),
        'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' | 'ą' => "a",
        'ç' | 'ć' | 'č' => "c",
        'ď' => "d",
        'è' | 'é' | 'ê' | 'ë' | 'ę' | 'ě' => "e",
        'ğ' => "g",
        'ì' | 'í' | 'î' | 'ï' | 'ı' => "i",
        'ł' => "l",
        'ñ' | 'ń' | 'ň' => "n",
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' | 'ø' | 'ő' => "o",
        'ř' => "r",
        'ś' | 'š' | 'ş' => "s",
        'ť' => "t",
        'ù' | 'ú' | 'û' | 'ü' | 'ů' | 'ű' => "u",
        'ý' | 'ÿ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        _ => return None,
    };
    Some(plain.to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::media::frame::Clip;

    fn clips(text: &str) -> Result<String, MessageError> {
        amount_clips(text).map(|clips| clips.join(" ").replace("digit-", ""))
    }

    #[test]
    fn an_amount_is_spoken_digit_by_digit_in_every_spelling() {
        for (text, expected) in [
            ("249.00 EUR", "2 4 9 amount-point 0 0 currency-eur"),
            ("$16", "1 6 currency-usd"),
            ("GBP 1,249.5", "1 2 4 9 amount-point 5 currency-gbp"),
            ("1.249,50 €", "1 2 4 9 amount-point 5 0 currency-eur"),
            ("1'000'000 CHF", "1 0 0 0 0 0 0 letter-c letter-h letter-f"),
        ] {
            assert_eq!(clips(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in [
            "",
            "EUR",
            "249",
            "-5 EUR",
            "2 EUR 3",
            "1,24,9 EUR",
            "12.3.4 EUR",
            "9999999999999 USD",
            "€€",
        ] {
            assert!(
                matches!(clips(text), Err(MessageError::Amount { .. })),
                "{text:?}"
            );
        }
    }

    fn voice() -> Voice {
        let letters = ('a'..='z').map(letter_clip_name);
        let digits = (0..10).filter_map(Digit::from_event).map(Voice::digit_clip_name);
        let others = ["amount-point", "currency-eur", "payee-acme"].map(str::to_owned);
        let clips = letters
            .chain(digits)
            .chain(others)
            .map(|name| (name.clone(), Arc::new(Clip::from_pcm(name, &[0; 160]))))
            .collect();
        let sentence = ["{amount}", "{payee}"].map(str::to_owned).to_vec();
        let phrases = BTreeMap::from([(phrase::TRANSACTION.to_owned(), sentence)]);
        Voice::new("en-US", clips, phrases)
    }

    fn vars(amount: &str, payee: &str) -> Result<String, MessageError> {
        let message = BTreeMap::from([
            ("amount".to_owned(), amount.to_owned()),
            ("payee".to_owned(), payee.to_owned()),
        ]);
        message_vars(&voice(), &message).map(|vars| vars["payee"].clone())
    }

    #[test]
    fn a_payee_is_its_recording_or_spelled() {
        assert_eq!(vars("1 EUR", "ACME").unwrap(), "payee-acme");
        assert_eq!(vars("1 EUR", "Jö 4").unwrap(), "letter-j letter-o digit-4");
        assert!(matches!(vars("1 EUR", "東京"), Err(MessageError::Payee { .. })));
        assert!(matches!(vars("1 EUR", " - "), Err(MessageError::Payee { .. })));
        assert!(matches!(
            vars("1 USD", "ACME"),
            Err(MessageError::NotRecorded { .. })
        ));
        assert_eq!(
            message_vars(&voice(), &BTreeMap::new()),
            Err(MessageError::Missing { missing: "amount" })
        );
    }

    #[test]
    fn a_fault_names_its_field_and_holds_no_value() {
        let checked = |entries: &[(&str, &str)]| {
            let message = entries
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            check_message(&voice(), &message)
        };
        let long = "ß".repeat(PAYEE_CHARS_MAX);
        for (entries, param) in [
            (&[("payee", "ACME")][..], "message.amount"),
            (&[("amount", "1 EUR")], "message.payee"),
            (
                &[("amount", "1 EUR"), ("payee", "ACME"), ("note", "x")],
                "message",
            ),
            (&[("amount", "777"), ("payee", "ACME")], "message.amount"),
            (&[("amount", "777 USD"), ("payee", "ACME")], "message.amount"),
            (&[("amount", "777 EUR"), ("payee", "東京")], "message.payee"),
            // 18 clips of the amount and 48 of the payee are more than a sentence may have.
            (
                &[("amount", "777777777777.77 CHF"), ("payee", long.as_str())],
                "message.payee",
            ),
        ] {
            let error = checked(entries).unwrap_err();
            assert_eq!(error.param(), param, "{error}");
            let text = error.to_string();
            assert!(!text.contains("777") && !text.contains("東京"), "{text}");
        }
        assert_eq!(checked(&[("amount", "777 EUR"), ("payee", "ACME")]), Ok(()));
    }
}
