use super::*;

fn uri(text: &str) -> Uri {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn every_part_is_found_and_written_back_as_it_came() {
    let full =
        "sips:alice:secret%20word@[2001:db8::1]:5071;transport=tcp;lr;x=%41?Subject=a%20b&Priority=urgent";
    let Uri::Sip(parts) = uri(full) else {
        panic!("expected a SIP URI")
    };
    assert!(parts.secure);
    assert_eq!(parts.user.as_deref(), Some("alice"));
    assert_eq!(parts.password.as_deref(), Some("secret%20word"));
    assert_eq!(parts.host.ip(), Some("2001:db8::1".parse().unwrap()));
    assert_eq!(parts.port, Some(5071));
    assert_eq!(parts.params.get("Transport"), Some("tcp"));
    assert_eq!(parts.params.get("lr"), Some(""));
    assert_eq!(parts.headers.as_deref(), Some("Subject=a%20b&Priority=urgent"));
    assert_eq!(uri(full).to_string(), full);
}

#[test]
fn texts_of_many_kinds_survive_reading_and_writing() {
    for text in [
        "sip:atlanta.com",
        "sip:alice@atlanta.com",
        "sip:+14155550100@192.0.2.4;user=phone",
        "sip:+1-212-555-1212:1234@gateway.com;user=phone",
        "sip:alice;day=tuesday@atlanta.com",
        "sip:#31#0151@carrier.example",
        "sip:a_b.example",
        "sip:host_with_underscore.example:5080",
        "tel:+1-201-555-0123",
        "tel:7042;phone-context=example.com",
        "tel:*31#;phone-context=+49",
        "mailto:user@example.com",
        "urn:service:sos",
    ] {
        assert_eq!(uri(text).to_string(), text);
    }
    assert_eq!(uri("SIP:alice@Atlanta.com").to_string(), "sip:alice@Atlanta.com");
}

#[test]
fn a_telephone_uri_keeps_its_plus() {
    let tel = uri("tel:+4930901820;isub=1");
    assert_eq!((tel.scheme(), tel.user()), (Scheme::Tel, Some("+4930901820")));
    assert_eq!(tel.param("isub"), Some("1"));
    assert_eq!(Uri::tel("+49 30 901820").to_string(), "tel:+4930901820");
}

#[test]
fn what_cannot_be_a_uri_is_refused() {
    for text in [
        "",
        "alice@atlanta.com",
        ":alice",
        "sip:",
        "sip:@host",
        "sip:alice@",
        "sip:a@b@c",
        "sip:host:port",
        "sip:host:65536",
        "sip:host:",
        "sip:2001:db8::1",
        "sip:[2001:db8::1",
        "sip:[nonsense]",
        "sip:[2001:db8::1]x",
        "sip:[fe80::1%25eth0]",
        "sip:[2001:db8:::10]",
        "sip:300.1.1.1",
        "sip:al ice@host",
        "sip:<alice>@host",
        "sip:%4@host",
        "sip:%zz@host",
        "sip:host;",
        "sip:host;=1",
        "sip:host;a=",
        "sip:host?",
        "sip:host?Subject",
        "sip:-host",
        "sip:a..b",
        "tel:",
        "tel:+",
        "tel:+1 2",
        "tel:hello",
        "x:",
    ] {
        assert!(text.parse::<Uri>().is_err(), "{text}");
    }
    let many = format!("sip:host{}", ";a=1".repeat(crate::sip::wire::PARAMS_MAX + 1));
    assert!(many.parse::<Uri>().is_err());
}

#[test]
fn a_built_user_part_is_escaped() {
    let built = Uri::sip(
        Some("+1 @\"é"),
        "192.0.2.1".parse::<std::net::IpAddr>().unwrap(),
        Some(5060),
    );
    assert_eq!(built.to_string(), "sip:+1%20%40%22%C3%A9@192.0.2.1:5060");
    assert_eq!(built.user_decoded().as_deref(), Some("+1 @\"é"));
    assert_eq!(uri(&built.to_string()), built);
}

/// RFC 3261 §19.1.4.
#[test]
fn the_standard_s_examples_of_equivalence_hold() {
    for (a, b) in [
        ("tel:+1-425;ext=1;ext=2", "tel:+1425;ext=1;ext=2"),
        (
            "sip:%61lice@atlanta.com;transport=TCP",
            "sip:alice@AtlanTa.CoM;Transport=tcp",
        ),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
        ("tel:+1-201-555-0123", "tel:+1(201)555.0123"),
        (
            "tel:7042;phone-context=Example.com",
            "tel:7042;phone-context=example.com",
        ),
    ] {
        assert!(
            uri(a).equivalent(&uri(b)) && uri(b).equivalent(&uri(a)),
            "{a} {b}"
        );
    }
}

#[test]
fn the_standard_s_examples_of_difference_hold() {
    for (a, b) in [
        (
            "SIP:ALICE@AtLanTa.CoM;Transport=udp",
            "sip:alice@AtLanTa.CoM;Transport=UDP",
        ),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
        (
            "sip:carol@chicago.com",
            "sip:carol@chicago.com?Subject=next%20meeting",
        ),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        (
            "sip:carol@chicago.com;security=on",
            "sip:carol@chicago.com;security=off",
        ),
        ("sip:bob@biloxi.com", "sips:bob@biloxi.com"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;user=phone"),
        ("sip:bob@biloxi.com", "sip:biloxi.com"),
        ("tel:+12015550123", "sip:+12015550123@host"),
        ("tel:12015550123", "tel:+12015550123"),
        ("tel:7042;phone-context=a", "tel:7042"),
    ] {
        assert!(
            !uri(a).equivalent(&uri(b)) && !uri(b).equivalent(&uri(a)),
            "{a} {b}"
        );
    }
}

#[test]
fn a_request_uri_loses_headers_and_method() {
    let contact = uri("sip:bob@host;method=INVITE;transport=tcp?Route=%3Csip:evil%3E");
    assert_eq!(
        contact.into_request_uri().to_string(),
        "sip:bob@host;transport=tcp"
    );
}

#[test]
fn debug_hides_the_number() {
    let text = format!("{:?}", uri("sip:+14155550123@host;user=phone"));
    assert_eq!(text, "sip:+14•••••••23@host;user=phone");
    assert!(!format!("{:?}", uri("tel:+1-415-555-0123")).contains("555"));
}

#[test]
fn parameters_are_set_in_place_and_taken_away() {
    let set = uri("sip:h;a=1;lr")
        .with_param("A", Some("2"))
        .with_param("b", None);
    assert_eq!(set.to_string(), "sip:h;a=2;lr;b");
    let Uri::Sip(mut sip) = set else {
        panic!("expected a SIP URI")
    };
    sip.params.remove("LR");
    assert_eq!(sip.to_string(), "sip:h;a=2;b");
}
