use proptest::prelude::*;

use super::NumberValidation::{Possible, Shape, Strict};
use super::*;

fn parse(text: &str, region: Option<&str>) -> Result<String, NumberError> {
    PhoneNumber::parse(text, region, Strict).map(|n| n.reveal().to_owned())
}

#[test]
fn every_way_of_writing_a_number_gives_the_same_one() {
    for (text, region, expected) in [
        ("+14255550123", None, "+14255550123"),
        ("  +1 (425) 555-0123 ", None, "+14255550123"),
        ("(425) 555-0123", Some("US"), "+14255550123"),
        ("1.425.555.0123", Some("US"), "+14255550123"),
        ("0014255550123", None, "+14255550123"),
        ("001 425 555 0123", Some("DE"), "+14255550123"),
        ("0049 30 123456", Some("US"), "+4930123456"),
        ("011 49 30 123456", Some("US"), "+4930123456"),
        ("0011 49 30 123456", Some("AU"), "+4930123456"),
        ("030/123456", Some("DE"), "+4930123456"),
        ("+49 (0)30 123456", None, "+4930123456"),
        // A typed country code wins over the region.
        ("+44 20 7946 0958", Some("US"), "+442079460958"),
        ("06 1234 5678", Some("IT"), "+390612345678"),
        ("8 911 123-45-67", Some("RU"), "+79111234567"),
        ("+91 11 2345 6789", None, "+911123456789"),
        ("4002", Some("NU"), "+6834002"),
    ] {
        assert_eq!(parse(text, region).as_deref(), Ok(expected), "{text} {region:?}");
    }
}

#[test]
fn the_fictional_range_of_the_simulator_parses_at_every_level() {
    for validation in [Strict, Possible, Shape] {
        for last in ["0001", "0027", "0099"] {
            let number = PhoneNumber::parse(&format!("+1500555{last}"), None, validation).unwrap();
            assert_eq!((number.country(), number.calling_code()), (Some("US"), 1));
            assert_eq!(number.line_type(), LineType::Personal);
        }
    }
}

#[test]
fn emergency_numbers_and_short_codes_are_refused_in_every_format() {
    let texts = [
        ("911", None),
        ("911", Some("US")),
        ("9-1-1", Some("US")),
        ("+911", None),
        ("+1911", None),
        ("+1 911", None),
        ("001 911", None),
        ("1911", Some("US")),
        ("0911", Some("US")),
        ("9911", Some("US")),
        ("+1 1 911", None),
        ("112", Some("DE")),
        ("+49112", None),
        ("+49 0112", None),
        ("0049110", None),
        ("999", Some("GB")),
        ("+44999", None),
        ("000", Some("AU")),
        ("+61000", None),
        ("15", Some("FR")),
        ("+3315", None),
        ("18", Some("FR")),
        ("+81119", None),
        ("+1 911 555 0123", None),
        ("(911) 555-0123", Some("US")),
        ("116117", Some("DE")),
        ("12345", None),
        ("12345", Some("US")),
        ("411", Some("US")),
        ("+27 10111", None),
    ];
    for (text, region) in texts {
        for validation in [Strict, Possible, Shape] {
            let error = PhoneNumber::parse(text, region, validation).unwrap_err();
            let refused = match &error {
                NumberError::EmergencyOrShort => true,
                // Too short to be anything: also never dialled.
                NumberError::Invalid { why } => why.contains("digits"),
                _ => false,
            };
            assert!(refused, "{text} {region:?} {validation:?}: {error:?}");
        }
    }
}

#[test]
fn what_is_not_a_number_is_refused_with_its_reason() {
    for (text, reason) in [
        ("", "nothing"),
        ("+", "no digits"),
        ("()-", "no digits"),
        ("+1425,5550123", "','"),
        ("+14255550123;123", "';'"),
        ("+14255550123p9", "'p'"),
        ("+14255550123w9", "'w'"),
        ("*31#+14255550123", "'*'"),
        ("+14255550123#", "'#'"),
        ("+14255550123;isub=12", "isub"),
        ("5550123;phone-context=+1425", "phone-context"),
        ("tel:+14255550123", "URI"),
        ("sip:1001@example.com", "URI"),
        ("+1425555٠١٢٣", "digit other than 0-9"),
        ("＋14255550123", "U+FF0B"),
        ("+1425555\u{7}0123", "control character U+0007"),
        ("+1425555\n0123", "control character U+000A"),
        ("+1425555\u{200b}0123", "U+200B"),
        ("1-800-FLOWERS", "letter 'F'"),
        ("+1425+5550123", "+ inside"),
        ("++14255550123", "+ inside"),
        ("+1234567890123456", "digits"),
        ("+9991234567", "country code"),
        ("+14255", "too few digits"),
        ("+15555550123", "does not assign"),
        ("+310001000", "zeros before the number"),
    ] {
        let error = parse(text, None).unwrap_err().to_string();
        assert!(error.contains(reason), "{text:?}: {error}");
        assert!(!error.contains("4255550123"), "{error}");
    }
    let long = "1".repeat(65);
    assert!(
        parse(&long, None)
            .unwrap_err()
            .to_string()
            .contains("64 characters")
    );
    let error = parse("4255550123", Some("usa")).unwrap_err().to_string();
    assert!(error.contains("region") && error.contains("usa"), "{error}");
}

#[test]
fn a_missing_region_an_extension_and_two_readings_have_errors_of_their_own() {
    assert_eq!(parse("(425) 555-0123", None), Err(NumberError::RegionRequired));
    for text in [
        "+14255550123 ext. 5",
        "+14255550123x5",
        "+14255550123 x 5",
        "+14255550123;ext=5",
    ] {
        assert_eq!(parse(text, None), Err(NumberError::Extension), "{text}");
    }
    // Both a fixed line in Leer (0491…) and a mobile with its country code.
    assert!(matches!(
        parse("491751234567", Some("DE")),
        Err(NumberError::Ambiguous { .. })
    ));
    let error = parse("491751234567", Some("US")).unwrap_err().to_string();
    assert!(error.contains("+49"), "{error}");
}

#[test]
fn validation_levels_differ_as_described() {
    // 555 is no area code.
    assert!(PhoneNumber::parse("+15555550123", None, Strict).is_err());
    assert!(PhoneNumber::parse("+15555550123", None, Possible).is_ok());
    assert!(PhoneNumber::parse("+155555501234", None, Possible).is_err());
    assert!(PhoneNumber::parse("+155555501234", None, Shape).is_ok());
    assert!(PhoneNumber::parse("+9991234567", None, Shape).is_ok());
    // 999 is an emergency number of some regions of +1, each of which has an area code that is not 999.
    let lab = PhoneNumber::parse("+199900000001", None, Shape).unwrap();
    assert_eq!(lab.country(), Some("US"));
    assert!(PhoneNumber::parse("+199900000001", None, Strict).is_err());
    assert!(PhoneNumber::parse("+155555", None, Shape).is_err());
    assert!(PhoneNumber::parse("+1234567890123456", None, Shape).is_err());
}

#[test]
fn line_types_come_from_the_plan() {
    for (text, expected) in [
        ("+19005551234", LineType::Premium),
        ("+491805123456", LineType::SharedCost),
        ("+870773111632", LineType::Satellite),
        ("+881612345678", LineType::Satellite),
        ("+883510012345", LineType::Satellite),
        ("+491751234567", LineType::Mobile),
        ("+442079460958", LineType::FixedLine),
        ("+18005550199", LineType::TollFree),
        ("+14255550123", LineType::FixedLineOrMobile),
    ] {
        let number = PhoneNumber::parse(text, None, Strict).unwrap();
        assert_eq!(number.line_type(), expected, "{text}");
    }
}

#[test]
fn a_number_is_written_as_it_is_dialled_at_home_and_abroad() {
    for (number, region, dialled) in [
        ("+4930123456", None, "030123456"),
        ("+14255550123", None, "14255550123"),
        ("+442079460123", None, "02079460123"),
        // Italy has no trunk prefix: the zero is part of the number.
        ("+390612345678", None, "0612345678"),
        ("+34911234567", None, "911234567"),
        ("+4930123456", Some("DE"), "030123456"),
        ("+14255550123", Some("DE"), "0014255550123"),
        ("+4930123456", Some("US"), "0114930123456"),
        ("+16045550123", Some("US"), "16045550123"),
        ("+442079460123", Some("AU"), "0011442079460123"),
        // Of no country.
        ("+80012345678", None, "+80012345678"),
        ("+80012345678", Some("DE"), "0080012345678"),
    ] {
        let parsed = PhoneNumber::parse(number, None, Shape).unwrap();
        assert_eq!(parsed.reveal_dialled_in(region), dialled, "{number} {region:?}");
    }
}

#[test]
fn an_erased_number_keeps_its_country_and_nothing_else() {
    let number = PhoneNumber::parse("+442079460958", None, Strict).unwrap();
    let erased = number.erased();
    assert_eq!((erased.reveal(), erased.country()), ("+44•••", Some("GB")));
    assert_eq!(erased.masked(), "+44•••");
    for n in [number, erased] {
        assert_eq!(
            PhoneNumber::restore(n.reveal(), n.calling_code(), n.country()),
            Some(n)
        );
    }
    assert_eq!(PhoneNumber::restore("+44x", 44, None), None);
    assert_eq!(PhoneNumber::restore("+442079460958", 49, None), None);
}

proptest! {
    #[test]
    fn parsing_never_panics_and_accepts_only_canonical_numbers(
        text in "\\PC{0,40}|[+0-9 ()./-]{0,24}|\\+[0-9]{0,18}",
        region in proptest::option::of("[A-Z]{2}"),
        level in 0..3,
    ) {
        let validation = [Strict, Possible, Shape][level as usize];
        if let Ok(number) = PhoneNumber::parse(&text, region.as_deref(), validation) {
            let digits = number.reveal().strip_prefix('+').unwrap();
            prop_assert!(digits.len() <= 15 && digits.bytes().all(|b| b.is_ascii_digit()));
            prop_assert!(!PhoneNumber::is_emergency(digits));
            let again = PhoneNumber::parse(number.reveal(), None, validation);
            prop_assert_eq!(again.as_ref(), Ok(&number));
            let restored = PhoneNumber::restore(number.reveal(), number.calling_code(), number.country());
            prop_assert_eq!(restored.as_ref(), Some(&number));
        }
    }

    #[test]
    fn an_emergency_number_is_refused_behind_any_country_code_trunk_prefix_or_outside_line(
        prefix in "(\\+|00)(1|7|33|39|44|49|61|81|91|358|971)0{0,2}|[0-9]?",
        number in proptest::sample::select(vec!["112", "911", "999", "000", "110", "118", "119"]),
        region in proptest::option::of(proptest::sample::select(vec!["US", "DE", "GB", "FR", "AU", "JP", "IN"])),
    ) {
        let text = format!("{prefix}{number}");
        let parsed = PhoneNumber::parse(&text, region, Shape);
        prop_assert!(parsed.is_err(), "{} {:?} {:?}", text, region, parsed.map(|n| n.reveal().to_owned()));
    }
}
