//! 3xx: followed within the trunk to the same number, and never else.
use super::authentication::with_account;
use super::*;
use crate::sip::digest::DigestServer;

fn within_trunk() -> InviteConfig {
    InviteConfig {
        peers: vec!["198.51.100.0/28".parse().unwrap()],
        ..config()
    }
}

fn redirected(config: InviteConfig, contact: &str) -> Rig {
    let mut rig = Rig::with(config);
    let mut moved = rig.response(&Method::Invite, 302, "a");
    moved.headers.set("Contact", contact);
    rig.receive(moved);
    assert_eq!(rig.count(&Method::Ack), 1, "{contact}");
    rig
}

#[test]
fn the_same_number_at_another_host_of_the_trunk_is_called_there() {
    let mut rig = redirected(within_trunk(), "<sip:+493012345@198.51.100.7:5070>");
    let (first, second) = (
        rig.requests(&Method::Invite)[0].clone(),
        rig.last_request(&Method::Invite),
    );
    let to = |rig: &Rig| rig.sent.last().unwrap().0.to_string();
    assert_eq!(second.uri.to_string(), "sip:+493012345@198.51.100.7:5070");
    assert_eq!(to(&rig), "198.51.100.7:5070");
    assert_eq!(second.headers.get("CSeq"), Some("2 INVITE"));
    assert_eq!(second.headers.get("Call-ID"), first.headers.get("Call-ID"));
    assert_eq!(second.headers.get("From"), first.headers.get("From"));
    assert_eq!(second.headers.get("To"), first.headers.get("To"));
    assert_eq!(second.body, OFFER);
    assert!(rig.events.is_empty());
    // The new host speaks, the CANCEL goes there, and the old host's repetitions are still answered.
    let there = "198.51.100.7:5070".parse().unwrap();
    let ringing = rig.response(&Method::Invite, 180, "b");
    rig.receive_from(ringing, there);
    rig.input(Input::Cancel { reason: None });
    assert_eq!(to(&rig), "198.51.100.7:5070");
    assert_eq!(
        Rig::branch(&rig.last_request(&Method::Cancel)),
        Rig::branch(&second)
    );
    let mut repeated = Response::reply_to(&first, 302, None).with_to_tag("a");
    repeated
        .headers
        .push("Contact", "<sip:+493012345@198.51.100.7:5070>");
    rig.receive(repeated);
    assert_eq!(rig.count(&Method::Ack), 2);
}

#[test]
fn a_contact_by_the_trunks_own_name_goes_to_the_same_target() {
    let rig = redirected(
        config(),
        "<sip:%2B493012345;npdi;rn=+49190@TRUNK.example;x=1?Subject=hi>",
    );
    let second = rig.last_request(&Method::Invite);
    assert_eq!(rig.count(&Method::Invite), 2);
    assert_eq!(rig.sent.last().unwrap().0, target());
    assert!(!second.uri.to_string().contains("Subject"), "{}", second.uri);
}

#[test]
fn the_best_contact_that_fits_is_taken() {
    let contacts = "<sip:+493012345@198.51.100.1>;q=0.2, <sip:+1900555@198.51.100.2>;q=1, \
        <sip:+493012345@198.51.100.3>;q=0.9, <sip:+493012345@198.51.100.4>;q=0.9, \
        <sip:+493012345@203.0.113.5>, <sip:+493012345@198.51.100.6>;q=7";
    let rig = redirected(within_trunk(), contacts);
    assert_eq!(
        rig.last_request(&Method::Invite).uri.to_string(),
        "sip:+493012345@198.51.100.3"
    );
}

#[test]
fn anything_else_is_not_followed() {
    for contact in [
        // Another number, at the trunk itself.
        "<sip:+19005550100@198.51.100.7>",
        "<sip:+493012345,+1900@198.51.100.7>",
        "<sip:198.51.100.7>",
        // Hosts that are not the trunk's.
        "<sip:+493012345@203.0.113.66>",
        "<sip:+493012345@trunk.example.evil.example>",
        "<sip:+493012345@edge.trunk.example>",
        "<sip:+493012345@198.51.100.7;maddr=203.0.113.66>",
        "<sip:+493012345@198.51.100.7:0>",
        "<sip:+493012345@[2001:db8::1]>",
        // Other ways.
        "<sips:+493012345@198.51.100.7>",
        "<sip:+493012345@198.51.100.7;transport=tcp>",
        "<tel:+493012345>",
        "<mailto:x@trunk.example>",
        // Where we have been.
        "<sip:+493012345@trunk.example>",
        "nonsense",
        "",
    ] {
        let rig = redirected(within_trunk(), contact);
        assert_eq!(rig.count(&Method::Invite), 1, "{contact}");
        assert!(
            matches!(&rig.events[0], Event::Rejected { response, .. } if response.status == 302),
            "{contact}"
        );
    }
}

#[test]
fn one_redirection_is_followed_and_a_second_is_final() {
    let mut rig = redirected(within_trunk(), "<sip:+493012345@198.51.100.7>");
    let mut moved = rig.response(&Method::Invite, 302, "b");
    moved.headers.set("Contact", "<sip:+493012345@198.51.100.8>");
    rig.receive_from(moved, "198.51.100.7:5060".parse().unwrap());
    assert_eq!(rig.count(&Method::Invite), 2);
    assert!(matches!(&rig.events[0], Event::Rejected { .. }));
}

#[test]
fn credentials_stay_with_the_target() {
    let mut rig = redirected(
        InviteConfig {
            peers: vec!["198.51.100.0/28".parse().unwrap()],
            ..with_account(None)
        },
        "<sip:+493012345@198.51.100.7>",
    );
    let mut challenge = rig.response(&Method::Invite, 407, "b");
    let mut server = DigestServer::new("other").with_user("trunk", "secret");
    for value in server.challenge(false, &mut Entropy::from_number(4)) {
        challenge.headers.push("Proxy-Authenticate", value);
    }
    rig.receive_from(challenge, "198.51.100.7:5060".parse().unwrap());
    assert!(
        rig.requests(&Method::Invite)
            .iter()
            .all(|invite| !invite.headers.contains("Proxy-Authorization"))
    );
}

#[test]
fn after_the_wish_to_cancel_no_redirection_is_followed() {
    let mut rig = Rig::with(within_trunk());
    rig.respond(100, "");
    rig.input(Input::Cancel { reason: None });
    let mut moved = rig.response(&Method::Invite, 302, "a");
    moved.headers.set("Contact", "<sip:+493012345@198.51.100.7>");
    rig.receive(moved);
    assert_eq!(rig.count(&Method::Invite), 1);
}
