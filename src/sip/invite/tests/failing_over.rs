//! RFC 3263 §4.3: the INVITE goes to the next target, and what the old one still says is dealt with.
use super::*;
use crate::sip::transport::{Destination, SipTransport};

const SECOND: &str = "192.0.2.20:5060";
const THIRD: &str = "192.0.2.30:5060";

fn hop(address: &str, transport: SipTransport) -> Hop {
    Hop {
        destination: Destination {
            transport,
            address: address.parse().unwrap(),
            host: "second.example".to_owned(),
        },
        local: "192.0.2.2:5060".parse().unwrap(),
        public: None,
        request_uri: "sip:+493012345@second.example".parse().unwrap(),
    }
}

fn config_with_three() -> InviteConfig {
    let mut config = config();
    config.failover = Failover {
        further: vec![hop(SECOND, SipTransport::Udp), hop(THIRD, SipTransport::Tcp)],
        on_silence: true,
    };
    config
}

fn addresses_of_invites(rig: &Rig) -> Vec<String> {
    let is_invite = |message: &Message| matches!(message, Message::Request(r) if r.method == Method::Invite);
    rig.sent
        .iter()
        .filter(|(_, message)| is_invite(message))
        .map(|(to, _)| to.to_string())
        .collect()
}

fn sent_to(rig: &Rig, address: &str, method: &Method) -> usize {
    rig.sent
        .iter()
        .filter(|(to, message)| {
            to.to_string() == address
                && matches!(message, Message::Request(request) if request.method == *method)
        })
        .count()
}

fn unavailable(rig: &mut Rig, fields: &[(&str, &str)]) {
    let mut response = rig.response(&Method::Invite, 503, "gone");
    for (name, value) in fields {
        response.headers.push(name, *value);
    }
    let source = rig.sent.last().unwrap().0;
    rig.receive_from(response, source);
}

fn moved(rig: &mut Rig, contact: &str) {
    let mut response = rig.response(&Method::Invite, 302, "moved");
    response.headers.set("Contact", contact);
    let source = addresses_of_invites(rig).pop().unwrap().parse().unwrap();
    rig.receive_from(response, source);
}

#[test]
fn a_503_moves_the_same_call_to_the_next_target_at_once() {
    let mut rig = Rig::with(config_with_three());
    let first = rig.last_request(&Method::Invite);
    unavailable(&mut rig, &[("Retry-After", "20")]);
    let second = rig.last_request(&Method::Invite);
    assert_eq!(addresses_of_invites(&rig), [TARGET, SECOND]);
    for name in ["Call-ID", "From", "To", "CSeq"] {
        assert_eq!(first.headers.get(name), second.headers.get(name), "{name}");
    }
    assert_ne!(Rig::branch(&first), Rig::branch(&second));
    assert_eq!(second.uri.to_string(), "sip:+493012345@second.example");
    for name in ["Contact", "Via", "Allow", "Supported", "Route"] {
        assert!(
            second.headers.all(name).count() == first.headers.all(name).count(),
            "{name}"
        );
    }
    assert!(
        second
            .headers
            .get("Contact")
            .is_some_and(|c| c.contains("192.0.2.2"))
    );
    assert_eq!(sent_to(&rig, TARGET, &Method::Ack), 1);
    assert_eq!(
        rig.events,
        [Event::NextTarget {
            failed: 0,
            failure: TargetFailure::Unavailable {
                retry_after_s: Some(20)
            }
        }]
    );
    let answer = rig
        .response(&Method::Invite, 200, "b")
        .with_body("application/sdp", ANSWER.to_vec());
    rig.receive_from(answer, SECOND.parse().unwrap());
    assert!(matches!(rig.events.last(), Some(Event::Answered { .. })));
}

#[test]
fn the_last_targets_503_is_the_end_of_it() {
    let mut rig = Rig::with(config_with_three());
    for _ in 0..3 {
        unavailable(&mut rig, &[]);
    }
    assert_eq!(addresses_of_invites(&rig), [TARGET, SECOND, THIRD]);
    assert!(
        rig.last_request(&Method::Invite)
            .headers
            .get("Via")
            .is_some_and(|via| via.contains("TCP"))
    );
    let rejected = rig
        .events
        .iter()
        .filter(|event| matches!(event, Event::Rejected { .. }))
        .count();
    assert_eq!((rejected, rig.events.last()), (1, Some(&Event::Ended)));
}

#[test]
fn a_503_about_the_callee_or_after_ringing_is_final() {
    let mut rig = Rig::with(config_with_three());
    unavailable(&mut rig, &[("Reason", "Q.850;cause=17")]);
    assert_eq!(addresses_of_invites(&rig), [TARGET]);
    for status in [180, 183, 199] {
        let mut rig = Rig::with(config_with_three());
        rig.respond(status, "a");
        rig.respond(503, "a");
        assert_eq!(addresses_of_invites(&rig), [TARGET], "{status}");
        assert!(
            rig.events
                .iter()
                .any(|event| matches!(event, Event::Rejected { .. }))
        );
    }
    for (status, moves) in [(500, false), (502, false), (486, false), (503, true)] {
        let mut rig = Rig::with(config_with_three());
        rig.respond(100, "");
        rig.respond(status, "a");
        assert_eq!(addresses_of_invites(&rig).len() == 2, moves, "{status}");
    }
}

#[test]
fn a_cancelled_call_goes_nowhere_else() {
    let mut rig = Rig::with(config_with_three());
    rig.input(Input::Cancel { reason: None });
    unavailable(&mut rig, &[]);
    assert_eq!(addresses_of_invites(&rig), [TARGET]);
    let mut rig = Rig::with(config_with_three());
    rig.input(Input::Cancel { reason: None });
    rig.advance(32_000);
    assert!(addresses_of_invites(&rig).iter().all(|to| to == TARGET));
    assert!(rig.events.contains(&Event::TimedOut));
}

#[test]
fn silence_moves_on_after_timer_b_and_each_target_has_a_late_window() {
    let mut rig = Rig::with(config_with_three());
    let first = rig.last_request(&Method::Invite);
    rig.advance(32_000);
    assert_eq!(sent_to(&rig, TARGET, &Method::Invite), 7);
    assert_eq!(sent_to(&rig, SECOND, &Method::Invite), 1);
    // The first one rings now: CANCEL goes to it, and to nobody else.
    let mut late = Response::reply_to(&first, 180, None).with_to_tag("late");
    late.headers.push("Contact", "<sip:late@192.0.2.10>");
    rig.receive_from(late, target());
    assert_eq!(sent_to(&rig, TARGET, &Method::Cancel), 1);
    assert_eq!(sent_to(&rig, SECOND, &Method::Cancel), 0);
    assert!(rig.events.contains(&Event::LateResponse { status: 180 }));
    // Its rejection is acknowledged where it came from, and the second target answers the call.
    rig.receive_from(
        Response::reply_to(&first, 487, None).with_to_tag("late"),
        target(),
    );
    assert_eq!(sent_to(&rig, TARGET, &Method::Ack), 1);
    let ringing = rig.response(&Method::Invite, 180, "b");
    rig.receive_from(ringing, SECOND.parse().unwrap());
    let answer = rig.response(&Method::Invite, 200, "b");
    rig.receive_from(
        answer.with_body("application/sdp", ANSWER.to_vec()),
        SECOND.parse().unwrap(),
    );
    assert!(matches!(rig.events.last(), Some(Event::Answered { .. })));
}

#[test]
fn a_late_answer_of_an_old_target_is_ended_where_it_is_reached() {
    for contact in ["<sip:late@old.example>", "<sip:late@192.0.2.10>"] {
        let mut rig = Rig::with(config_with_three());
        let first = rig.last_request(&Method::Invite);
        rig.advance(32_000);
        let mut late = Response::reply_to(&first, 200, None).with_to_tag("late");
        late.headers.push("Contact", contact);
        rig.receive_from(late.clone(), target());
        rig.receive_from(late, target());
        assert_eq!(sent_to(&rig, TARGET, &Method::Ack), 2, "{contact}");
        assert_eq!(sent_to(&rig, TARGET, &Method::Bye), 1, "{contact}");
        assert_eq!(sent_to(&rig, SECOND, &Method::Bye), 0, "{contact}");
        let told = rig
            .events
            .iter()
            .filter(|event| matches!(event, Event::LateResponse { .. }));
        assert_eq!(told.count(), 1);
        assert_eq!(sent_to(&rig, SECOND, &Method::Invite), 1);
    }
}

#[test]
fn a_2xx_that_follows_the_503_is_ended_too() {
    let mut rig = Rig::with(config_with_three());
    let first = rig.last_request(&Method::Invite);
    unavailable(&mut rig, &[]);
    let mut late = Response::reply_to(&first, 200, None).with_to_tag("late");
    late.headers.push("Contact", "<sip:late@old.example>");
    rig.receive_from(late, target());
    // One for the 503, one for the 2xx.
    assert_eq!(sent_to(&rig, TARGET, &Method::Ack), 2);
    assert_eq!(sent_to(&rig, TARGET, &Method::Bye), 1);
    assert!(rig.events.contains(&Event::LateResponse { status: 200 }));
}

#[test]
fn silence_stays_where_it_is_when_failover_on_timeout_is_off() {
    let mut config = config_with_three();
    config.failover.on_silence = false;
    let mut rig = Rig::with(config);
    rig.advance(32_000);
    assert_eq!(sent_to(&rig, SECOND, &Method::Invite), 0);
    assert_eq!(rig.events, [Event::TimedOut, Event::Ended]);
    // What cannot be sent at all rings nowhere.
    let mut config = config_with_three();
    config.failover.on_silence = false;
    let mut rig = Rig::with(config);
    rig.input(Input::TransportError);
    assert_eq!(addresses_of_invites(&rig), [TARGET, SECOND]);
}

#[test]
fn a_challenge_at_the_second_target_is_answered_there() {
    let mut config = config_with_three();
    config.credentials = Some(Credentials {
        username: "u".to_owned(),
        password: crate::model::Masked::new("p".to_owned()),
        realm: None,
    });
    let mut rig = Rig::with(config);
    unavailable(&mut rig, &[]);
    let mut challenge = rig.response(&Method::Invite, 407, "b");
    challenge.headers.push(
        "Proxy-Authenticate",
        "Digest realm=\"second\", nonce=\"n\", algorithm=MD5, qop=\"auth\"",
    );
    rig.receive_from(challenge, SECOND.parse().unwrap());
    assert_eq!(addresses_of_invites(&rig), [TARGET, SECOND, SECOND]);
    let again = rig.last_request(&Method::Invite);
    assert!(again.headers.contains("Proxy-Authorization"));
    assert_eq!(again.headers.get("CSeq"), Some("2 INVITE"));
}

#[test]
fn where_a_redirection_led_fails_as_its_target_does_and_the_next_target_may_redirect_anew() {
    const FIRST_HOP: &str = "198.51.100.7:5070";
    const SECOND_HOP: &str = "198.51.100.8:5060";
    let mut config = config_with_three();
    config.peers = vec!["198.51.100.0/24".parse().unwrap()];
    let mut rig = Rig::with(config);
    moved(&mut rig, "<sip:+493012345@198.51.100.7:5070>");
    let redirected = rig.last_request(&Method::Invite);
    rig.advance(32_000);
    // The hop is forgotten, and with it the Request-URI that it wanted.
    assert_eq!(sent_to(&rig, FIRST_HOP, &Method::Invite), 7);
    assert_eq!(sent_to(&rig, SECOND, &Method::Invite), 1);
    let second = rig.last_request(&Method::Invite);
    assert_eq!(second.uri.to_string(), "sip:+493012345@second.example");
    // What it still says is heard, and answered there.
    let late = Response::reply_to(&redirected, 180, None).with_to_tag("late");
    rig.receive_from(late, FIRST_HOP.parse().unwrap());
    assert_eq!(sent_to(&rig, FIRST_HOP, &Method::Cancel), 1);
    assert!(rig.events.contains(&Event::LateResponse { status: 180 }));
    moved(&mut rig, "<sip:+493012345@198.51.100.8>");
    assert_eq!(sent_to(&rig, SECOND_HOP, &Method::Invite), 1);
    let answer = rig
        .response(&Method::Invite, 200, "b")
        .with_body("application/sdp", ANSWER.to_vec());
    rig.receive_from(answer, SECOND_HOP.parse().unwrap());
    assert!(matches!(rig.events.last(), Some(Event::Answered { .. })));
    let rejected = |event: &Event| matches!(event, Event::Rejected { .. });
    assert!(!rig.events.iter().any(rejected));
}
