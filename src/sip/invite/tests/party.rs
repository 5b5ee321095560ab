//! What responses tell of the telephone that is reached.
use super::*;
use crate::model::ForwardedBy;

type Told = Option<(ForwardedBy, Option<String>, Option<String>)>;

/// The parties told by a response with these fields, after the INVITE.
fn told(status: u16, headers: &[(&str, &str)]) -> (Told, Option<String>) {
    let mut rig = Rig::new();
    let mut response = rig.response(&Method::Invite, status, "a");
    for (name, value) in headers {
        response.headers.push(name, *value);
    }
    rig.receive(response);
    let party = rig.events.iter().find_map(|event| match event {
        Event::Party(party) => Some(party.as_ref().clone()),
        _ => None,
    });
    let party = party.unwrap_or_default();
    (party.forwarded.map(|f| (f.by, f.to, f.reason)), party.asserted)
}

fn forwarded(status: u16, headers: &[(&str, &str)]) -> Told {
    told(status, headers).0
}

#[test]
fn forwarding_is_seen_in_181_diversion_and_history() {
    assert_eq!(forwarded(180, &[]), None);
    assert_eq!(forwarded(181, &[]), Some((ForwardedBy::Status181, None, None)));
    let diversion = (
        "Diversion",
        "\"Anna\" <sip:+493012345@example.com>;reason=no-answer;counter=1",
    );
    let by_diversion = Some((ForwardedBy::Diversion, None, Some("no-answer".to_owned())));
    assert_eq!(forwarded(180, &[diversion]), by_diversion);
    assert_eq!(forwarded(200, &[diversion]), by_diversion);
    let first = ("History-Info", "<sip:+493012345@example.com>;index=1");
    assert_eq!(forwarded(180, &[first]), None);
    let second = (
        "History-Info",
        "<sip:+4917212345678@example.com?Reason=SIP%3Bcause%3D302>;index=1.1;mp=1",
    );
    let by_history = Some((ForwardedBy::HistoryInfo, Some("+49•••••••••78".to_owned()), None));
    assert_eq!(forwarded(180, &[first, second]), by_history);
    assert_eq!(
        forwarded(181, &[diversion, first, second]),
        by_history,
        "the most telling sign counts"
    );
    let on_one_line = format!("{}, {}", first.1, second.1);
    assert_eq!(forwarded(181, &[("History-Info", &on_one_line)]), by_history);
}

#[test]
fn unreadable_signs_still_say_that_the_call_went_elsewhere() {
    let odd = [("Diversion", "???")];
    assert_eq!(forwarded(180, &odd), Some((ForwardedBy::Diversion, None, None)));
    let odd = [("Diversion", "<sip:x@example.com>;reason=\"no <b>way</b>\"")];
    assert_eq!(forwarded(180, &odd), Some((ForwardedBy::Diversion, None, None)));
    let odd = [("History-Info", "a"), ("History-Info", "b")];
    assert_eq!(forwarded(180, &odd), Some((ForwardedBy::HistoryInfo, None, None)));
}

#[test]
fn the_asserted_identity_of_the_answerer_is_told_masked() {
    for (value, masked) in [
        ("<sip:+4917212345678@carrier.example>", "+49•••••••••78"),
        ("\"Anna\" <tel:+1-425-555-0123>", "+1-4••-•••-••23"),
        ("sip:1001@pbx.example", "1001"),
        ("<sip:anna.schmidt@pbx.example>", "a•••"),
        (
            "<sip:+4930123456;rn=+49190@pbx.example;user=phone>",
            "+49••••••56",
        ),
    ] {
        for status in [183, 200] {
            let (_, asserted) = told(status, &[("P-Asserted-Identity", value)]);
            assert_eq!(asserted.as_deref(), Some(masked), "{value}");
        }
    }
    for value in ["", "nonsense", "<sip:pbx.example>", "<http://x>"] {
        assert_eq!(told(200, &[("P-Asserted-Identity", value)]).1, None, "{value}");
    }
}

#[test]
fn an_identity_that_asks_for_privacy_is_not_told() {
    let identity = ("P-Asserted-Identity", "<sip:+4917212345678@carrier.example>");
    for (privacy, is_told) in [
        ("id", false),
        ("header; id", false),
        ("none", true),
        ("critical", true),
    ] {
        let (_, asserted) = told(200, &[identity, ("Privacy", privacy)]);
        assert_eq!(asserted.is_some(), is_told, "{privacy}");
    }
}
