//! The keys that say what a trunk's INVITEs look like.
use super::*;

#[test]
fn bad_trunks_each_get_their_exact_problem() {
    each_gets_its_problem(&[
        (
            "caller_id =",
            "number_format = \"e.164\"\ncaller_id =",
            "test.toml:7: trunk.carrier.number_format: expected one of +e164, e164, 00, national, found \"e.164\"",
        ),
        (
            "caller_id =",
            "caller_id_format = \"local\"\ncaller_id =",
            "test.toml:7: trunk.carrier.caller_id_format: expected one of +e164, e164, 00, national, found \"local\"",
        ),
        (
            "caller_id =",
            "home_country = \"DE\"\ncaller_id =",
            "test.toml:7: trunk.carrier.home_country: expected number_format or caller_id_format = \"national\" beside home_country",
        ),
        (
            "caller_id =",
            "tech_prefix = \"12a\"\ncaller_id =",
            "test.toml:7: trunk.carrier.tech_prefix: expected at most 16 of 0-9, * and #, found \"12a\"",
        ),
        (
            "caller_id =",
            "from_user = \"u@carrier.example\"\ncaller_id =",
            "test.toml:7: trunk.carrier.from_user: expected what stands before the @, at most 64 characters such as \"1234567t0\", found \"u@carrier.example\"",
        ),
        (
            "caller_id =",
            "display_name = \" \"\ncaller_id =",
            "test.toml:7: trunk.carrier.display_name: expected 1 to 64 printable characters such as \"Contoso\", found \" \"",
        ),
        (
            "caller_id =",
            "identity = \"both\"\ncaller_id =",
            "test.toml:7: trunk.carrier.identity: expected one of none, asserted, preferred, found \"both\"",
        ),
        (
            "caller_id =",
            "privacy = \"hide\"\ncaller_id =",
            "test.toml:7: trunk.carrier.privacy: expected one of none, id, header, session, user, critical, or several once each with ; between them, found \"hide\"",
        ),
        (
            "caller_id =",
            "privacy = \"id;id\"\ncaller_id =",
            "test.toml:7: trunk.carrier.privacy: expected one of none, id, header, session, user, critical, or several once each with ; between them, found \"id;id\"",
        ),
        (
            "caller_id =",
            "privacy = \"none;id\"\ncaller_id =",
            "test.toml:7: trunk.carrier.privacy: expected \"none\" to stand alone (RFC 3323), found \"none;id\"",
        ),
        (
            "caller_id =",
            "privacy = \"critical\"\ncaller_id =",
            "test.toml:7: trunk.carrier.privacy: expected what is critical, such as \"id;critical\"",
        ),
        (
            "caller_id =",
            "diversion = { number = \"reception\" }\ncaller_id =",
            "test.toml:7: trunk.carrier.diversion.number: expected a number such as +4930123456, found \"reception\"",
        ),
        (
            "caller_id =",
            "diversion = { number = \"+4930123456\", reason = \"busy\" }\ncaller_id =",
            "test.toml:7: trunk.carrier.diversion.reason: expected one of unconditional, user-busy, no-answer, unavailable, time-of-day, do-not-disturb, deflection, follow-me, out-of-service, away, unknown, found \"busy\"",
        ),
        (
            "caller_id =",
            "diversion = { number = \"+4930123456\", why = \"away\" }\ncaller_id =",
            "test.toml:7: trunk.carrier.diversion.why: unknown key; known here: number, reason",
        ),
        (
            "caller_id =",
            "uri_params = { transport = \"tcp\" }\ncaller_id =",
            "test.toml:7: trunk.carrier.uri_params: transport is written by Ringproof itself",
        ),
        (
            "caller_id =",
            "uri_params = { user = \"a phone\" }\ncaller_id =",
            "test.toml:7: trunk.carrier.uri_params: expected names and values of letters, digits and -_.!~*'()+ such as { user = \"phone\" }, found \"user\" = \"a phone\"",
        ),
        (
            "caller_id =",
            "headers = { \"X Account\" = \"42\" }\ncaller_id =",
            "test.toml:7: trunk.carrier.headers: expected a header name of letters, digits and -.!%*_+`'~ such as X-Account, found \"X Account\"",
        ),
        (
            "caller_id =",
            "headers = { X-Account = \"\" }\ncaller_id =",
            "test.toml:7: trunk.carrier.headers: expected 1 to 1024 octets without control characters for X-Account",
        ),
        (
            "caller_id =",
            "headers = { v = \"SIP/2.0/UDP evil\" }\ncaller_id =",
            "test.toml:7: trunk.carrier.headers: expected a whole header name, found the compact \"v\"",
        ),
        (
            "caller_id =",
            "headers = { P-Asserted-Identity = \"<sip:1@x>\" }\ncaller_id =",
            "test.toml:7: trunk.carrier.headers: P-Asserted-Identity is written by the key identity",
        ),
        (
            "caller_id =",
            "headers = { diversion = \"<sip:1@x>\" }\ncaller_id =",
            "test.toml:7: trunk.carrier.headers: diversion is written by the key diversion",
        ),
        (
            "caller_id =",
            "headers = { Session-Expires = \"90\" }\ncaller_id =",
            "test.toml:7: trunk.carrier.headers: Session-Expires is written by Ringproof itself",
        ),
        (
            "caller_id =",
            "srtp_profile = \"avp\"\ncaller_id =",
            "test.toml:7: trunk.carrier.srtp_profile: expected srtp = \"prefer\" or \"require\" beside it: with \"off\" no keys are offered",
        ),
        (
            "caller_id =",
            "srtp = \"on\"\ncaller_id =",
            "test.toml:7: trunk.carrier.srtp: expected one of off, prefer, require, found \"on\"",
        ),
        (
            "caller_id =",
            "srtp = \"require\"\nsrtp_profile = \"dtls\"\ncaller_id =",
            "test.toml:8: trunk.carrier.srtp_profile: expected one of savp, avp, found \"dtls\"",
        ),
        (
            "caller_id =",
            "headers = { X-Account = \"4\\r\\nVia: x\" }\ncaller_id =",
            "test.toml:7: trunk.carrier.headers: expected 1 to 1024 octets without control characters for X-Account",
        ),
        (
            "caller_id =",
            "home_country = \"XX\"\nnumber_format = \"national\"\ncaller_id =",
            "test.toml:7: trunk.carrier.home_country: expected a region that has telephone numbers, such as \"DE\", found \"XX\"",
        ),
        (
            "{ default = \"+18005550199\" }",
            "{ default = \"+18005550199\", de = \"+4930123456\" }",
            "test.toml:7: trunk.carrier.caller_id: expected default or a region such as DE = \"+…\", found de",
        ),
    ]);
}

#[test]
fn what_a_trunk_sends_is_read_and_shown() {
    let lines = [
        "number_format = \"national\"",
        "home_country = \"DE\"",
        "tech_prefix = \"9#\"",
        "caller_id_format = \"00\"",
        "from_user = \"1234567t0\"",
        "from_domain = \"carrier.example\"",
        "display_name = \"Contoso \\\"Bank\\\"\"",
        "identity = \"preferred\"",
        "privacy = \"id;critical\"",
        "diversion = { number = \"+4930123456\", reason = \"deflection\" }",
        "uri_params = { user = \"phone\" }",
        "headers = { \"X!Account\" = \"42\", X-Route = \"de\" }",
        "srtp = \"prefer\"",
        "srtp_profile = \"avp\"",
    ];
    let config = read(&SMALL.replace("caller_id =", &format!("{}\ncaller_id =", lines.join("\n")))).unwrap();
    let trunk = &config.trunks[0];
    assert_eq!(trunk.caller_id_format, Some(NumberFormat::DoubleZero));
    assert_eq!(trunk.privacy.as_deref(), Some("id;critical"));
    // What is shown reads back as the same.
    let shown = show(&config);
    for line in lines {
        let value: toml::Table = line.parse().unwrap();
        let (key, value) = value.iter().next().unwrap();
        let shown: toml::Table = shown.parse().unwrap();
        assert_eq!(&shown["trunk"][0][key], value, "{key}");
    }
}

#[test]
fn keys_in_sdp_are_shown_to_others_unless_every_target_is_over_tls() {
    let with = |targets: &str, srtp: &str| {
        let text = SMALL.replace("caller_id =", &format!("srtp = \"{srtp}\"\ncaller_id ="));
        let line = text
            .lines()
            .find(|line| line.starts_with("targets ="))
            .unwrap()
            .to_owned();
        let config = read(&text.replace(&line, &format!("targets = [{targets}]"))).unwrap();
        config.trunks[0].srtp_warning().is_some()
    };
    let (tls, sips, udp) = (
        "\"sip:a.example;transport=tls\"",
        "\"sips:b.example\"",
        "\"sip:c.example;transport=udp\"",
    );
    assert!(!with(tls, "require"));
    assert!(!with(&format!("{tls}, {sips}"), "prefer"));
    assert!(with(&format!("{tls}, {udp}"), "require"));
    // DNS decides, and may lead to UDP.
    assert!(with("\"sip:d.example\"", "prefer"));
    assert!(!with(udp, "off"));
}

#[test]
fn a_trunk_of_its_own_words_takes_the_defaults_for_the_rest() {
    let config = read(SMALL).unwrap();
    let trunk = &config.trunks[0];
    assert_eq!(trunk.number_format, NumberFormat::PlusE164);
    assert_eq!(trunk.identity, Identity::Asserted);
    assert_eq!(
        (&trunk.caller_id_format, &trunk.privacy, &trunk.diversion),
        (&None, &None, &None)
    );
}
