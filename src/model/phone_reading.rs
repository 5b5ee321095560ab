//! From a typed text to a number: punctuation, prefixes, plans, and all that is refused on the way.
use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat};

use super::emergency;
use super::{NumberError, NumberValidation, PhoneNumber};

type Region = rlibphonenumber::Region;

/// Longest thing that is taken for a short code when no country code stands before it.
const SHORT_DIGITS_MAX: usize = 6;

fn invalid(why: impl Into<String>) -> NumberError {
    NumberError::Invalid { why: why.into() }
}

fn parse_region(code: &str) -> Result<Region, NumberError> {
    let known = super::region::Region::name_of(code).is_some();
    code.parse().ok().filter(|_| known).ok_or_else(|| {
        let found: String = code.chars().take(8).collect();
        invalid(format!(
            "region: expected an ISO 3166-1 alpha-2 code such as US, found {found:?}"
        ))
    })
}

/// A canonical number, taken apart.
pub(super) struct Parts {
    pub(super) e164: String,
    pub(super) calling_code: u16,
    pub(super) country: Option<String>,
}

pub(super) fn read(
    text: &str,
    region: Option<&str>,
    validation: NumberValidation,
) -> Result<Parts, NumberError> {
    let dialled = Dialled::read(text)?;
    let region = region.map(parse_region).transpose()?;
    let digits = &dialled.digits;
    let number = match (dialled.international, region) {
        (true, _) => read_international(digits, validation)?,
        (false, region) if digits.len() <= SHORT_DIGITS_MAX => read_short(digits, region)?,
        (false, region) if digits.starts_with("00") => read_idd(digits, region, validation)?,
        (false, None) => return Err(NumberError::RegionRequired),
        (false, Some(region)) => read_national(digits, region, validation)?,
    };
    number.checked(validation)
}

/// What was typed, without its punctuation.
struct Dialled {
    /// A `+` stood first.
    international: bool,
    digits: String,
}

impl Dialled {
    fn read(text: &str) -> Result<Self, NumberError> {
        let text = text.trim_matches(' ');
        if text.is_empty() {
            return Err(invalid("found nothing"));
        }
        if text.chars().count() > PhoneNumber::TEXT_MAX {
            return Err(invalid(format!(
                "found more than {} characters",
                PhoneNumber::TEXT_MAX
            )));
        }
        refuse_parameters(text)?;
        let mut international = false;
        let mut digits = String::new();
        for found in text.chars() {
            match found {
                '0'..='9' => digits.push(found),
                '+' if digits.is_empty() && !international => international = true,
                '+' => return Err(invalid("found a + inside the number")),
                ' ' | '(' | ')' | '-' | '.' | '/' => {}
                other => return Err(invalid(refusal_of(other))),
            }
        }
        if digits.is_empty() {
            return Err(invalid("found no digits"));
        }
        Ok(Self {
            international,
            digits,
        })
    }
}

/// Parameters of `tel:` and dial strings are named, so that the message helps.
fn refuse_parameters(text: &str) -> Result<(), NumberError> {
    let lower = text.to_ascii_lowercase();
    for parameter in ["isub", "phone-context"] {
        if lower.contains(parameter) {
            return Err(invalid(format!("found the parameter {parameter}")));
        }
    }
    if lower.starts_with("tel:") || lower.starts_with("sip:") || lower.starts_with("sips:") {
        return Err(invalid("found a URI: send the number alone"));
    }
    let extension = lower.contains("ext")
        || lower.split_once('x').is_some_and(|(head, tail)| {
            head.contains(|c: char| c.is_ascii_digit())
                && tail.trim_start().starts_with(|c: char| c.is_ascii_digit())
        });
    if extension {
        Err(NumberError::Extension)
    } else {
        Ok(())
    }
}

fn refusal_of(found: char) -> String {
    match found {
        ',' | ';' | 'p' | 'P' | 'w' | 'W' => {
            format!("found {found:?}: pauses and parameters are not dialled")
        }
        '*' | '#' => format!("found {found:?}: service codes are not dialled"),
        c if c.is_control() => format!("found the control character U+{:04X}", u32::from(c)),
        c if c.is_ascii_alphabetic() => format!("found the letter {c:?}"),
        c if c.is_numeric() => "found a digit other than 0-9".into(),
        c if c.is_ascii() => format!("found {c:?}"),
        c => format!("found the character U+{:04X}", u32::from(c)),
    }
}

/// A number between parsing and checking.
enum Reading {
    /// Of a numbering plan that the metadata know.
    Plan(rlibphonenumber::PhoneNumber),
    /// Of no known plan, for labs: digits with their country code.
    Raw(String),
}

/// `digits` begin with a country code.
fn read_international(digits: &str, validation: NumberValidation) -> Result<Reading, NumberError> {
    match rlibphonenumber::PhoneNumber::parse(format!("+{digits}"), None) {
        Ok(number) => Ok(Reading::Plan(number)),
        Err(_) if validation == NumberValidation::Shape => Ok(Reading::Raw(digits.to_owned())),
        Err(error) => Err(parse_refusal(&error)),
    }
}

/// `00…`: the region's own international prefix if it makes a valid number, else `00` stands for `+`.
fn read_idd(
    digits: &str,
    region: Option<Region>,
    validation: NumberValidation,
) -> Result<Reading, NumberError> {
    let own = region.and_then(|region| rlibphonenumber::PhoneNumber::parse(digits, Some(region)).ok());
    match own.filter(rlibphonenumber::PhoneNumber::is_valid) {
        Some(number) => Ok(Reading::Plan(number)),
        None => read_international(digits.trim_start_matches('0'), validation),
    }
}

/// Six digits or fewer without a country code: a whole number in a few small plans, else a short code.
fn read_short(digits: &str, region: Option<Region>) -> Result<Reading, NumberError> {
    let region = region.ok_or(NumberError::EmergencyOrShort)?;
    if emergency::is_emergency_anywhere(digits) {
        return Err(NumberError::EmergencyOrShort);
    }
    match rlibphonenumber::PhoneNumber::parse(digits, Some(region)) {
        Ok(number) if number.is_valid() => Ok(Reading::Plan(number)),
        Ok(_) | Err(_) => Err(NumberError::EmergencyOrShort),
    }
}

fn read_national(digits: &str, region: Region, validation: NumberValidation) -> Result<Reading, NumberError> {
    let national = rlibphonenumber::PhoneNumber::parse(digits, Some(region));
    let with_plus = rlibphonenumber::PhoneNumber::parse(format!("+{digits}"), None)
        .ok()
        .filter(rlibphonenumber::PhoneNumber::is_valid);
    let hint = "write + before the country code, or 0 or nothing before a national number";
    match (national, with_plus) {
        // The digits begin with the region's own country code, and both readings exist in its plan.
        (Ok(number), Some(other))
            if number.is_valid() && number != other && other.country_code == number.country_code =>
        {
            Err(NumberError::Ambiguous { why: hint.into() })
        }
        (Ok(number), _) if number.is_valid() => Ok(Reading::Plan(number)),
        (_, Some(other)) => Err(NumberError::Ambiguous {
            why: format!("it looks like a number of +{}; {hint}", other.country_code),
        }),
        (Ok(number), None) => Ok(Reading::Plan(number)),
        (Err(_), None) if validation == NumberValidation::Shape => {
            let code = PHONE_NUMBER_UTIL
                .get_country_code_for_region(region)
                .unwrap_or_default();
            Ok(Reading::Raw(format!("{code}{}", digits.trim_start_matches('0'))))
        }
        (Err(error), None) => Err(parse_refusal(&error)),
    }
}

fn parse_refusal(error: &rlibphonenumber::ParseError) -> NumberError {
    use rlibphonenumber::ParseError as E;
    match error {
        E::InvalidCountryCode => invalid("found no known country code"),
        E::NotANumber(_) => invalid("found something else"),
        E::TooShortAfterIdd | E::TooShortNsn => invalid("found too few digits"),
        E::TooLongNsn => invalid("found too many digits"),
    }
}

impl Reading {
    fn checked(self, validation: NumberValidation) -> Result<Parts, NumberError> {
        match self {
            Self::Plan(number) => check_plan(&number, validation),
            Self::Raw(digits) => check_raw(&digits),
        }
    }
}

fn check_plan(
    number: &rlibphonenumber::PhoneNumber,
    validation: NumberValidation,
) -> Result<Parts, NumberError> {
    let valid = number.is_valid();
    let national = number.get_national_significant_number();
    refuse_emergency(number.country_code, &national, valid)?;
    let e164 = number.format_as(PhoneNumberFormat::E164).into_owned();
    if !valid && !reads_back(&e164) {
        return Err(invalid(
            "found zeros before the number that its country does not dial",
        ));
    }
    let digits = e164.len().saturating_sub(1);
    if digits > PhoneNumber::DIGITS_MAX {
        return Err(invalid(format!("found {digits} digits; E.164 allows 15")));
    }
    match validation {
        NumberValidation::Strict if !valid => {
            return Err(number.is_possible_with_reason().err().map_or_else(
                || invalid("found one that the numbering plan does not assign"),
                |error| length_refusal(&error),
            ));
        }
        NumberValidation::Possible => {
            use rlibphonenumber::NumberLengthType as Length;
            match number.is_possible_with_reason() {
                Ok(Length::IsPossible) => {}
                Ok(Length::IsPossibleLocalOnly) => return Err(invalid("found one without its area code")),
                Err(error) => return Err(length_refusal(&error)),
            }
        }
        // A plan knows its own short numbers: Niue has four digits.
        NumberValidation::Shape if digits < 7 && !valid => {
            return Err(invalid(format!("found {digits} digits; expected 7 to 15")));
        }
        NumberValidation::Strict | NumberValidation::Shape => {}
    }
    let country = number
        .get_region_code()
        .filter(|r| *r != Region::World)
        .map(|r| r.as_region_str().to_string())
        // A lab's number that no plan assigns counts as one of the country whose code it has.
        .or_else(|| main_region(number.country_code).filter(|_| validation == NumberValidation::Shape));
    Ok(Parts {
        e164,
        calling_code: u16::try_from(number.country_code).unwrap_or_default(),
        country,
    })
}

/// Whether the written form is read as itself: of a number outside of its plan each reading may drop a trunk prefix.
fn reads_back(e164: &str) -> bool {
    rlibphonenumber::PhoneNumber::parse(e164, None)
        .is_ok_and(|again| again.format_as(PhoneNumberFormat::E164) == e164)
}

fn length_refusal(error: &rlibphonenumber::ValidationError) -> NumberError {
    use rlibphonenumber::ValidationError as E;
    match error {
        E::InvalidCountryCode => invalid("found no known country code"),
        E::TooShort => invalid("found too few digits for its country"),
        E::TooLong => invalid("found too many digits for its country"),
        E::InvalidLength => invalid("found a number of digits that its country does not have"),
    }
}

/// The first of the regions that have this calling code; `None` for codes of no region (+800).
fn main_region(calling_code: i32) -> Option<String> {
    let mut regions = PHONE_NUMBER_UTIL.get_regions_for_country_calling_code(calling_code)?;
    regions
        .next()
        .filter(|region| *region != Region::World)
        .map(|region| region.as_region_str().to_string())
}

/// `valid` numbers may begin like an emergency number (+91 11 2… does); they are refused only when they are one.
fn refuse_emergency(calling_code: i32, national: &str, valid: bool) -> Result<(), NumberError> {
    let stripped = national.trim_start_matches('0');
    let is_one = |digits: &str| emergency::is_emergency_anywhere(digits);
    if is_one(national) || is_one(stripped) {
        return Err(NumberError::EmergencyOrShort);
    }
    if valid {
        return Ok(());
    }
    // Regions that share a calling code (+1, +44) are told apart by their area codes: what has none of them is read by
    // the first region's switches.
    let begins_as_one = main_region(calling_code).is_some_and(|region| {
        [national, stripped]
            .iter()
            .any(|digits| emergency::begins_as_emergency_in(&region, digits))
    });
    if begins_as_one {
        Err(NumberError::EmergencyOrShort)
    } else {
        Ok(())
    }
}

fn check_raw(digits: &str) -> Result<Parts, NumberError> {
    let length = digits.len();
    if !(7..=PhoneNumber::DIGITS_MAX).contains(&length) {
        return Err(invalid(format!("found {length} digits; expected 7 to 15")));
    }
    // Of an unknown plan nothing is known but that country codes have at most three digits.
    let code = digits
        .get(..3)
        .and_then(|code| code.parse().ok())
        .filter(|code| *code >= 100);
    let (Some(calling_code), Some(national)) = (code, digits.get(3..)) else {
        return Err(invalid("found no country code"));
    };
    refuse_emergency(i32::from(calling_code), national, false)?;
    if emergency::begins_as_emergency_in("", national) {
        return Err(NumberError::EmergencyOrShort);
    }
    Ok(Parts {
        e164: format!("+{digits}"),
        calling_code,
        country: None,
    })
}
