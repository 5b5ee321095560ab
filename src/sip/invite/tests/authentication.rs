//! 401 and 407, for the INVITE and inside the dialog.
use super::*;
use crate::model::Masked;
use crate::sip::digest::{DigestServer, Verdict};

pub(super) fn with_account(realm: Option<&str>) -> InviteConfig {
    InviteConfig {
        credentials: Some(Credentials {
            username: "trunk".to_owned(),
            password: Masked::new("secret".to_owned()),
            realm: realm.map(str::to_owned),
        }),
        ..config()
    }
}

pub(super) fn server(realm: &str) -> (DigestServer, Entropy) {
    (
        DigestServer::new(realm).with_user("trunk", "secret"),
        Entropy::from_number(9),
    )
}

fn challenge(rig: &mut Rig, method: &Method, status: u16, server: &mut (DigestServer, Entropy)) {
    let name = if status == 407 {
        "Proxy-Authenticate"
    } else {
        "WWW-Authenticate"
    };
    let mut response = rig.response(method, status, "challenger");
    for value in server.0.challenge(false, &mut server.1) {
        response.headers.push(name, value);
    }
    rig.receive(response);
}

pub(super) fn verdict(server: &mut DigestServer, request: &Request, name: &str) -> Verdict {
    server.verify(
        request.headers.get(name),
        &request.method,
        &request.uri,
        &request.body,
    )
}

pub(super) fn accepted() -> Verdict {
    Verdict::Accepted {
        username: "trunk".to_owned(),
    }
}

#[test]
fn a_407_is_answered_with_a_new_branch_the_next_cseq_and_the_same_call() {
    let mut rig = Rig::with(with_account(None));
    let mut server = server("trunk.example");
    let first = rig.last_request(&Method::Invite);
    assert!(!first.headers.contains("Proxy-Authorization"));
    challenge(&mut rig, &Method::Invite, 407, &mut server);
    assert_eq!(rig.count(&Method::Ack), 1);
    let second = rig.last_request(&Method::Invite);
    assert_eq!(verdict(&mut server.0, &second, "Proxy-Authorization"), accepted());
    assert_eq!(second.headers.get("CSeq"), Some("2 INVITE"));
    assert_eq!(second.headers.get("Call-ID"), first.headers.get("Call-ID"));
    assert_eq!(second.headers.from().unwrap(), first.headers.from().unwrap());
    assert_eq!(second.headers.to().unwrap().tag(), None);
    assert_ne!(Rig::branch(&second), Rig::branch(&first));
    assert_eq!(second.headers.vias().unwrap().len(), 1);
    assert!(rig.events.is_empty());
    // The ACK of the 2xx repeats the credentials, since it cannot be challenged.
    rig.answer("a");
    let ack = rig.last_request(&Method::Ack);
    assert_eq!(ack.headers.get("CSeq"), Some("2 ACK"));
    assert_eq!(
        ack.headers.get("Proxy-Authorization"),
        second.headers.get("Proxy-Authorization")
    );
}

#[test]
fn a_proxy_and_a_server_may_both_ask() {
    let mut rig = Rig::with(with_account(None));
    let (mut proxy, mut uas) = (server("proxy"), server("uas"));
    challenge(&mut rig, &Method::Invite, 407, &mut proxy);
    let second = rig.last_request(&Method::Invite);
    assert_eq!(verdict(&mut proxy.0, &second, "Proxy-Authorization"), accepted());
    challenge(&mut rig, &Method::Invite, 401, &mut uas);
    let third = rig.last_request(&Method::Invite);
    assert_eq!(verdict(&mut uas.0, &third, "Authorization"), accepted());
    assert_eq!(verdict(&mut proxy.0, &third, "Proxy-Authorization"), accepted());
    challenge(&mut rig, &Method::Invite, 407, &mut proxy);
    assert_eq!(rig.count(&Method::Invite), 3);
    assert!(matches!(&rig.events[0], Event::Rejected { response, .. } if response.status == 407));
}

#[test]
fn a_refused_password_is_not_tried_again() {
    let mut rig = Rig::with(with_account(None));
    let mut server = server("trunk.example");
    challenge(&mut rig, &Method::Invite, 401, &mut server);
    challenge(&mut rig, &Method::Invite, 401, &mut server);
    assert_eq!(rig.count(&Method::Invite), 2);
    assert!(matches!(&rig.events[0], Event::Rejected { response, .. } if response.status == 401));
}

#[test]
fn without_credentials_or_for_another_realm_a_challenge_is_final() {
    for config in [config(), with_account(Some("trunk.example"))] {
        let mut rig = Rig::with(config);
        challenge(&mut rig, &Method::Invite, 401, &mut server("evil.example"));
        assert_eq!(rig.count(&Method::Invite), 1);
        assert!(matches!(&rig.events[0], Event::Rejected { response, .. } if response.status == 401));
    }
}

#[test]
fn a_challenged_bye_is_sent_again_with_credentials() {
    let mut rig = Rig::with(with_account(None));
    rig.answer("a");
    rig.input(Input::Bye { reason: None });
    let mut server = server("trunk.example");
    challenge(&mut rig, &Method::Bye, 407, &mut server);
    let bye = rig.last_request(&Method::Bye);
    assert_eq!(
        (rig.count(&Method::Bye), bye.headers.get("CSeq")),
        (2, Some("3 BYE"))
    );
    assert_eq!(verdict(&mut server.0, &bye, "Proxy-Authorization"), accepted());
    let ok = rig.response(&Method::Bye, 200, "a");
    rig.receive(ok);
    assert_eq!(rig.events.last(), Some(&Event::Ended));
}

#[test]
fn what_the_trunk_asked_for_once_the_bye_carries_at_once() {
    let mut rig = Rig::with(with_account(None));
    let mut server = server("trunk.example");
    challenge(&mut rig, &Method::Invite, 407, &mut server);
    let invite = rig.last_request(&Method::Invite);
    assert_eq!(verdict(&mut server.0, &invite, "Proxy-Authorization"), accepted());
    rig.answer("a");
    rig.input(Input::Bye { reason: None });
    let bye = rig.last_request(&Method::Bye);
    assert_eq!(verdict(&mut server.0, &bye, "Proxy-Authorization"), accepted());
}

#[test]
fn credentials_do_not_follow_a_contact_to_a_stranger() {
    credentials_stay_home(with_account(None));
}

#[test]
fn credentials_do_not_follow_a_contact_to_a_peer_that_is_not_the_target() {
    credentials_stay_home(InviteConfig {
        peers: vec!["198.51.100.0/24".parse().unwrap()],
        ..with_account(None)
    });
}

fn credentials_stay_home(config: InviteConfig) {
    let mut rig = Rig::with(config);
    let mut server = server("trunk.example");
    challenge(&mut rig, &Method::Invite, 407, &mut server);
    let mut ok = rig.response(&Method::Invite, 200, "a");
    ok.headers.set("Contact", "<sip:callee@198.51.100.66>");
    rig.receive(ok);
    rig.input(Input::Bye { reason: None });
    for method in [Method::Ack, Method::Bye] {
        let request = rig.last_request(&method);
        assert_eq!(request.uri.to_string(), "sip:callee@198.51.100.66");
        assert!(!request.headers.contains("Proxy-Authorization"), "{method}");
    }
}

#[test]
fn a_prack_is_challenged_on_its_own_while_the_invite_is_open() {
    let mut rig = Rig::with(with_account(None));
    let mut server = server("trunk.example");
    challenge(&mut rig, &Method::Invite, 407, &mut server);
    let mut progress = rig.response(&Method::Invite, 183, "a");
    progress.headers.push("Require", "100rel");
    progress.headers.push("RSeq", "7");
    rig.receive(progress);
    assert_eq!(rig.count(&Method::Prack), 1);
    challenge(&mut rig, &Method::Prack, 407, &mut server);
    assert_eq!(rig.count(&Method::Prack), 2);
    let prack = rig.last_request(&Method::Prack);
    assert_eq!(verdict(&mut server.0, &prack, "Proxy-Authorization"), accepted());
    // The same realm again without `stale` means that the password is wrong.
    challenge(&mut rig, &Method::Prack, 407, &mut server);
    assert_eq!(rig.count(&Method::Prack), 2);
    // What the PRACK was asked gives the INVITE no further try.
    challenge(&mut rig, &Method::Invite, 407, &mut server);
    assert_eq!(rig.count(&Method::Invite), 2);
    let rejected =
        |event: &Event| matches!(event, Event::Rejected { response, .. } if response.status == 407);
    assert!(rig.events.iter().any(rejected), "{:?}", rig.events);
}
