//! Challenges by two parties at once, and the nonces that follow.
use super::authentication::{accepted, server, verdict, with_account};
use super::*;
use crate::sip::digest::DigestServer;

#[test]
fn a_response_that_gathers_the_challenges_of_proxy_and_server_is_answered_at_once() {
    for status in [401, 407] {
        let mut rig = Rig::with(with_account(None));
        let (mut proxy, mut uas) = (server("proxy"), server("uas"));
        let mut both = rig.response(&Method::Invite, status, "challenger");
        for value in proxy.0.challenge(false, &mut proxy.1) {
            both.headers.push("Proxy-Authenticate", value);
        }
        for value in uas.0.challenge(false, &mut uas.1) {
            both.headers.push("WWW-Authenticate", value);
        }
        rig.receive(both.clone());
        let second = rig.last_request(&Method::Invite);
        assert_eq!(second.headers.get("CSeq"), Some("2 INVITE"));
        assert_eq!(verdict(&mut proxy.0, &second, "Proxy-Authorization"), accepted());
        assert_eq!(verdict(&mut uas.0, &second, "Authorization"), accepted());
        // The same again means that the password is wrong.
        let mut again = rig.response(&Method::Invite, status, "challenger");
        for name in ["Proxy-Authenticate", "WWW-Authenticate"] {
            for value in both.headers.lines(name) {
                again.headers.push(name, value);
            }
        }
        rig.receive(again);
        assert_eq!(rig.count(&Method::Invite), 2);
        assert!(matches!(&rig.events[0], Event::Rejected { response, .. } if response.status == status));
    }
}

#[test]
fn a_stale_nonce_costs_one_more_invite_and_the_password_stays_good() {
    let mut rig = Rig::with(with_account(None));
    let mut server = server("trunk.example");
    for stale in [false, true] {
        let mut response = rig.response(&Method::Invite, 407, "challenger");
        for value in server.0.challenge(stale, &mut server.1) {
            response.headers.push("Proxy-Authenticate", value);
        }
        rig.receive(response);
    }
    let third = rig.last_request(&Method::Invite);
    assert_eq!(third.headers.get("CSeq"), Some("3 INVITE"));
    assert_eq!(verdict(&mut server.0, &third, "Proxy-Authorization"), accepted());
    assert_eq!(third.headers.lines("Proxy-Authorization").count(), 1);
    assert!(rig.events.is_empty());
}

#[test]
fn the_next_nonce_of_a_success_goes_with_the_bye_also_when_the_success_is_repeated() {
    let mut rig = Rig::with(with_account(None));
    let mut server = server("trunk.example");
    let mut challenge = rig.response(&Method::Invite, 407, "challenger");
    for value in server.0.challenge(false, &mut server.1) {
        challenge.headers.push("Proxy-Authenticate", value);
    }
    rig.receive(challenge);
    let invite = rig.last_request(&Method::Invite);
    assert_eq!(verdict(&mut server.0, &invite, "Proxy-Authorization"), accepted());
    let next = server.0.next_nonce(&mut server.1);
    let nonce = next
        .strip_prefix("nextnonce=\"")
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap()
        .to_owned();
    let mut ok = rig
        .response(&Method::Invite, 200, "a")
        .with_body("application/sdp", ANSWER.to_vec());
    ok.headers.push("Proxy-Authentication-Info", next);
    rig.receive(ok.clone());
    let info = rig.peer_request(Method::Info, 1, "a");
    rig.receive(info);
    rig.receive(ok);
    rig.input(Input::Bye { reason: None });
    let bye = rig.last_request(&Method::Bye);
    let credentials = bye.headers.get("Proxy-Authorization").unwrap();
    assert!(
        credentials.contains(&nonce) && credentials.contains("nc=00000001"),
        "{credentials}"
    );
    assert_eq!(verdict(&mut server.0, &bye, "Proxy-Authorization"), accepted());
}

/// qop `auth-int` covers the session description, also in the INVITE that answers a 422.
#[test]
fn the_hash_of_the_body_goes_with_the_body() {
    let mut rig = Rig::with(with_account(None));
    let mut server = (
        DigestServer::new("trunk.example")
            .with_user("trunk", "secret")
            .with_qop(&[crate::sip::digest::Qop::AuthInt]),
        Entropy::from_number(9),
    );
    let mut challenge = rig.response(&Method::Invite, 401, "challenger");
    for value in server.0.challenge(false, &mut server.1) {
        challenge.headers.push("WWW-Authenticate", value);
    }
    rig.receive(challenge);
    let second = rig.last_request(&Method::Invite);
    assert!(
        second
            .headers
            .get("Authorization")
            .is_some_and(|value| value.contains("qop=auth-int"))
    );
    assert_eq!(verdict(&mut server.0, &second, "Authorization"), accepted());
    rig.answer("a");
    rig.input(Input::Bye { reason: None });
    let bye = rig.last_request(&Method::Bye);
    assert!(bye.body.is_empty());
    assert_eq!(verdict(&mut server.0, &bye, "Authorization"), accepted());
}
