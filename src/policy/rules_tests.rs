use super::*;
use crate::model::UnixMillis;

fn policy(countries: &[&str], internal: &[&str]) -> Policy {
    Policy::new(PolicySettings {
        countries: countries.iter().map(|c| (*c).to_owned()).collect(),
        internal_numbers: internal.iter().map(|p| (*p).to_owned()).collect(),
        ..PolicySettings::default()
    })
    .unwrap()
}

fn refused(policy: &Policy, text: &str) -> ProblemCode {
    policy.destination(text, Some("US")).unwrap_err().code
}

#[test]
fn the_table_of_refused_numbers() {
    let policy = policy(&["US", "DE", "GB", "FR"], &["1\\d{3}", "9\\d{2,3}", "11[0-9]"]);
    for (text, code) in [
        ("911", ProblemCode::NumberInvalid),
        ("112", ProblemCode::NumberInvalid),
        ("999", ProblemCode::NumberInvalid),
        ("9911", ProblemCode::NumberInvalid),
        ("110", ProblemCode::NumberInvalid),
        ("+1 911", ProblemCode::NumberInvalid),
        ("+19005551234", ProblemCode::PremiumNumber),
        ("+44 9098 123456", ProblemCode::PremiumNumber),
        ("+33 899 12 34 56", ProblemCode::PremiumNumber),
        ("+49 1805 123456", ProblemCode::PremiumNumber),
        ("+44 7012 345678", ProblemCode::PremiumNumber),
        ("+870 773 111 632", ProblemCode::PremiumNumber),
        ("+881 612 345 678", ProblemCode::PremiumNumber),
        ("+883 5100 12345", ProblemCode::PremiumNumber),
        ("+61 2 5550 1234", ProblemCode::CountryNotAllowed),
        ("+800 1234 5678", ProblemCode::CountryNotAllowed),
        ("+1 876 555 0123", ProblemCode::CountryNotAllowed),
        ("*67 425 555 0123", ProblemCode::NumberInvalid),
        ("+14255550123,,9", ProblemCode::NumberInvalid),
        ("+14255550123x9", ProblemCode::ExtensionInvalid),
        ("491751234567", ProblemCode::NumberAmbiguous),
    ] {
        assert_eq!(refused(&policy, text), code, "{text}");
    }
    let required = policy.destination("(425) 555-0123", None).unwrap_err();
    assert_eq!(
        (required.code, required.code.http_status()),
        (ProblemCode::RegionRequired, 422)
    );
}

#[test]
fn a_number_that_may_not_be_called_is_read_all_the_same() {
    let policy = policy(&["US"], &[]);
    let french = policy.read("+33 1 23 45 67 89", None).unwrap();
    assert_eq!((french.reveal(), french.country()), ("+33123456789", Some("FR")));
    assert_eq!(
        policy.admits(&french).unwrap_err().code,
        ProblemCode::CountryNotAllowed
    );
    assert_eq!(
        policy.read("911", Some("US")).unwrap_err().code,
        ProblemCode::NumberInvalid
    );
}

#[test]
fn an_empty_country_list_allows_no_public_number_and_says_so() {
    let refusal = policy(&[], &[]).destination("+14255550123", None).unwrap_err();
    assert_eq!(refusal.code, ProblemCode::CountryNotAllowed);
    assert!(refusal.detail.contains("policy.countries is empty"), "{refusal}");
}

#[test]
fn internal_numbers_match_as_a_whole_and_skip_the_country_rule() {
    let policy = policy(&[], &["1\\d{3}", "desk-[a-z]+|7"]);
    for text in ["1001", " 1999 ", "desk-anna", "7"] {
        assert!(
            matches!(policy.destination(text, None), Ok(Destination::Internal(_))),
            "{text}"
        );
    }
    for text in ["10011", "x1001", "desk-anna;x", "77", "1001\n"] {
        assert!(policy.destination(text, Some("US")).is_err(), "{text}");
    }
    let internal = Destination::Internal("1001".into());
    assert!(policy.admits(&internal).is_ok());
    assert!(policy.admits(&Destination::Internal("2001".into())).is_err());
    assert_eq!(
        policy.quotas(&internal, &caller()).len(),
        6,
        "every limit but the prefix"
    );
}

#[test]
fn the_simulators_range_is_allowed_where_its_country_is() {
    let destination = policy(&["US"], &[]).destination("+1 500 555 0001", None).unwrap();
    assert_eq!(destination.reveal(), "+15005550001");
}

#[test]
fn wrong_settings_name_their_key() {
    let with = |change: fn(&mut PolicySettings)| {
        let mut settings = PolicySettings::default();
        change(&mut settings);
        Policy::new(settings).unwrap_err().to_string()
    };
    for (error, key) in [
        (with(|s| s.countries = vec!["USA".into()]), "policy.countries"),
        (
            with(|s| s.internal_numbers = vec!["1(".into()]),
            "policy.internal_numbers",
        ),
        (
            with(|s| s.internal_numbers = vec!["1)|(.*".into()]),
            "policy.internal_numbers",
        ),
        (
            with(|s| s.internal_numbers = vec!["\\d{1000}{1000}".into()]),
            "policy.internal_numbers",
        ),
        (with(|s| s.prefix_digits = 9), "policy.prefix_digits"),
    ] {
        assert!(error.contains(key), "{error}");
    }
}

fn caller() -> CallerOf<'static> {
    CallerOf {
        key_id: "key_1",
        profile: "default",
        end_user_id: Some("u1"),
        end_user_ip: Some("2001:db8:1:2:3::4"),
    }
}

#[test]
fn limits_are_made_for_every_subject_and_zero_is_unlimited() {
    let policy = policy(&["US"], &[]);
    let destination = policy.destination("+14255550123", None).unwrap();
    let quotas = policy.quotas(&destination, &caller());
    let of = |kind: QuotaKind| quotas.iter().filter(move |q| q.kind == kind).collect::<Vec<_>>();
    assert_eq!(
        of(QuotaKind::Number).iter().map(|q| q.max).collect::<Vec<_>>(),
        [1, 3, 10]
    );
    let cool_downs: Vec<_> = quotas.iter().filter(|q| q.cool_down).collect();
    assert_eq!(cool_downs.len(), 1, "superseding escapes one limit only");
    assert_eq!(
        (cool_downs[0].kind, cool_downs[0].window),
        (QuotaKind::Number, Duration::from_secs(60))
    );
    assert_eq!(of(QuotaKind::EndUser)[0].subject, "default/u1");
    assert_eq!(of(QuotaKind::Ip)[0].subject, "2001:db8:1:2::/64");
    assert_eq!(of(QuotaKind::Prefix)[0].subject, "+1425555");
    let open = Policy::new(PolicySettings {
        countries: vec!["US".into()],
        per_number: NumberLimits {
            per_hour: 0,
            per_day: 0,
            again_after_s: 0,
        },
        per_end_user_per_hour: 0,
        per_ip_per_hour: 0,
        per_key_per_hour: 0,
        per_prefix_per_hour: 0,
        ..PolicySettings::default()
    })
    .unwrap();
    assert_eq!(open.quotas(&destination, &caller()), []);
}

#[test]
fn a_limit_says_when_it_ends_and_never_longer_than_its_window() {
    let quota = quota(QuotaKind::Number, "+14255550123", 3, HOUR);
    let now = UnixMillis(10_000_000);
    assert_eq!(quota.judge(None, now), None);
    assert_eq!(quota.judge(Some(now.minus(HOUR)), now), None);
    let refusal = quota
        .judge(Some(now.minus(Duration::from_millis(1_500))), now)
        .unwrap();
    assert_eq!(refusal.retry_after, Some(Duration::from_secs(3599)));
    assert_eq!(refusal.limit, Some(super::super::Limit::Number));
    assert!(!refusal.to_string().contains("4255550123"));
    // The wall clock went back two hours.
    let refusal = quota.judge(Some(now.plus(HOUR * 2)), now).unwrap();
    assert_eq!(refusal.retry_after, Some(HOUR));
}
