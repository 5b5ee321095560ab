//! 2xx and rejections: ACK, forks, BYE, retries, late responses.
use super::*;

#[test]
fn a_2xx_is_acknowledged_and_every_repetition_gets_the_same_ack() {
    let mut rig = Rig::new();
    rig.respond(180, "a");
    rig.answer("a");
    let first = rig.raw.last().unwrap().clone();
    assert_eq!(rig.count(&Method::Ack), 1);
    for _ in 0..3 {
        rig.advance(500);
        rig.answer("a");
        assert_eq!(rig.raw.last().unwrap(), &first);
    }
    assert_eq!(rig.count(&Method::Ack), 4);
    assert_eq!(
        rig.events
            .iter()
            .filter(|event| matches!(event, Event::Answered { .. }))
            .count(),
        1
    );
    let ack = rig.last_request(&Method::Ack);
    assert_eq!(ack.headers.get("CSeq"), Some("1 ACK"));
    assert_eq!(ack.uri.to_string(), "sip:callee@192.0.2.10:5062");
    assert_ne!(Rig::branch(&ack), Rig::branch(&rig.last_request(&Method::Invite)));
    // Long after timer M the leg is still known.
    rig.advance(100_000);
    rig.answer("a");
    assert_eq!(rig.raw.last().unwrap(), &first);
}

#[test]
fn the_ack_follows_the_route_set_of_the_2xx() {
    let mut rig = Rig::new();
    let mut ok = rig.response(&Method::Invite, 200, "a");
    ok.headers.push(
        "Record-Route",
        "<sip:192.0.2.20:5070;lr>, <sip:192.0.2.21:5071;lr>",
    );
    rig.receive(ok);
    let ack = rig.last_request(&Method::Ack);
    let routes: Vec<&str> = ack.headers.all("Route").collect();
    assert_eq!(routes, ["<sip:192.0.2.21:5071;lr>", "<sip:192.0.2.20:5070;lr>"]);
    assert_eq!(rig.sent.last().unwrap().0, "192.0.2.21:5071".parse().unwrap());
}

#[test]
fn a_hop_known_by_name_is_reached_where_the_invite_went() {
    let mut rig = Rig::new();
    let mut ok = rig.response(&Method::Invite, 200, "a");
    ok.headers.push("Record-Route", "<sip:edge.example;lr>");
    rig.receive(ok);
    assert_eq!(rig.sent.last().unwrap().0, target());
}

#[test]
fn a_contact_that_no_packet_may_go_to_is_not_followed() {
    for contact in [
        "sip:x@0.0.0.0",
        "sip:x@224.0.0.1",
        "sip:x@255.255.255.255",
        "sip:x@[2001:db8::1]",
        "sip:x@192.0.2.7:0",
    ] {
        let mut rig = Rig::new();
        let mut ok = rig.response(&Method::Invite, 200, "a");
        ok.headers.set("Contact", format!("<{contact}>"));
        rig.receive(ok);
        assert_eq!(rig.sent.last().unwrap().0, target(), "{contact}");
    }
}

#[test]
fn further_legs_of_a_fork_are_acknowledged_and_ended() {
    let mut rig = Rig::new();
    for tag in ["a", "b", "c"] {
        rig.respond(180, tag);
    }
    rig.answer("b");
    rig.answer("a");
    rig.answer("x");
    let ended: Vec<String> = rig
        .requests(&Method::Bye)
        .iter()
        .map(|bye| bye.headers.to().unwrap().tag().unwrap().to_owned())
        .collect();
    assert_eq!(ended, ["a", "x"]);
    assert_eq!(rig.count(&Method::Ack), 3);
    rig.answer("a");
    assert_eq!((rig.count(&Method::Ack), rig.count(&Method::Bye)), (4, 2));
    assert_eq!(
        rig.events
            .iter()
            .filter(|event| matches!(event, Event::Answered { .. }))
            .count(),
        1
    );
    // The session itself goes on.
    let info = rig.peer_request(Method::Info, 1, "b");
    rig.receive(info);
    assert_eq!(rig.last_response().status, 200);
}

#[test]
fn the_bye_to_a_leg_that_had_a_prack_counts_on_from_it() {
    let mut rig = Rig::new();
    let mut reliable = rig.response(&Method::Invite, 180, "b");
    reliable.headers.push("Require", "100rel");
    reliable.headers.push("RSeq", "1");
    rig.receive(reliable);
    rig.answer("a");
    rig.answer("b");
    assert_eq!(
        rig.last_request(&Method::Prack).headers.get("CSeq"),
        Some("2 PRACK")
    );
    assert_eq!(rig.last_request(&Method::Bye).headers.get("CSeq"), Some("3 BYE"));
}

#[test]
fn a_fork_without_end_is_bounded() {
    let mut rig = Rig::new();
    for n in 0..100 {
        rig.answer(&format!("leg{n}"));
    }
    assert_eq!((rig.count(&Method::Ack), rig.count(&Method::Bye)), (16, 15));
}

#[test]
fn our_bye_is_answered_and_the_session_ends() {
    let mut rig = Rig::answered();
    rig.input(Input::Bye {
        reason: Some("Q.850;cause=16".to_owned()),
    });
    let bye = rig.last_request(&Method::Bye);
    assert_eq!(bye.headers.get("Reason"), Some("Q.850;cause=16"));
    assert_eq!(bye.headers.get("CSeq"), Some("2 BYE"));
    assert!(rig.events.is_empty());
    let ok = rig.response(&Method::Bye, 200, "a");
    rig.receive(ok);
    assert_eq!(rig.events, [Event::Ended]);
    assert!(!rig.is_ended());
    rig.advance(60_000);
    assert!(rig.is_ended());
    assert_eq!(rig.session.as_ref().unwrap().poll_timeout(), None);
}

#[test]
fn a_bye_that_nobody_answers_is_repeated_and_then_given_up() {
    let mut rig = Rig::answered();
    rig.input(Input::Bye { reason: None });
    rig.input(Input::Bye { reason: None });
    rig.advance(31_999);
    assert_eq!(rig.count(&Method::Bye), 11);
    let branches: std::collections::BTreeSet<String> =
        rig.requests(&Method::Bye).iter().map(Rig::branch).collect();
    assert_eq!(branches.len(), 1);
    assert!(rig.events.is_empty());
    rig.advance(1);
    assert_eq!(rig.events, [Event::Ended]);
}

#[test]
fn the_peers_bye_is_answered_told_with_its_reason_and_repeated_without_effect() {
    let mut rig = Rig::answered();
    let mut bye = rig.peer_request(Method::Bye, 1, "a");
    bye.headers.push("Reason", "Q.850;cause=16;text=\"Terminated\"");
    rig.receive(bye.clone());
    assert_eq!(rig.last_response().status, 200);
    let Event::PeerBye { cause } = &rig.events[0] else {
        panic!("{:?}", rig.events)
    };
    assert_eq!(
        (cause.q850, cause.reason_text.as_deref()),
        (Some(16), Some("Terminated"))
    );
    assert_eq!(cause.hung_up_by, Some(HungUpBy::Callee));
    assert_eq!(rig.events[1], Event::Ended);
    let responses = rig.sent.len();
    rig.receive(bye);
    assert_eq!((rig.sent.len(), rig.events.len()), (responses + 1, 2));
    assert_eq!(rig.count(&Method::Bye), 0);
    rig.advance(60_000);
    assert!(rig.is_ended());
}

#[test]
fn byes_that_cross_are_both_answered_and_nobody_is_told_of_a_hang_up() {
    let mut rig = Rig::answered();
    rig.input(Input::Bye { reason: None });
    let bye = rig.peer_request(Method::Bye, 1, "a");
    rig.receive(bye);
    assert_eq!(rig.last_response().status, 200);
    assert!(rig.events.is_empty());
    let gone = rig.response(&Method::Bye, 481, "a");
    rig.receive(gone);
    assert_eq!(rig.events, [Event::Ended]);
}

#[test]
fn a_rejection_is_acknowledged_told_with_its_cause_and_repeated_without_effect() {
    let mut rig = Rig::new();
    rig.respond(180, "a");
    let mut busy = rig.response(&Method::Invite, 486, "a");
    busy.headers.push("Reason", "Q.850;cause=17;text=\"User busy\"");
    rig.receive(busy.clone());
    let ack = rig.last_request(&Method::Ack);
    assert_eq!(Rig::branch(&ack), Rig::branch(&rig.last_request(&Method::Invite)));
    let Some(Event::Rejected { response, cause }) = rig.events.get(1) else {
        panic!("{:?}", rig.events)
    };
    assert_eq!(
        (response.status, cause.sip_status, cause.q850),
        (486, Some(486), Some(17))
    );
    assert_eq!(rig.events[2], Event::Ended);
    rig.receive(busy);
    assert_eq!((rig.count(&Method::Ack), rig.events.len()), (2, 3));
    rig.advance(32_000);
    assert!(rig.is_ended());
}

#[test]
fn a_redirection_is_not_followed() {
    let mut rig = Rig::new();
    let mut moved = rig.response(&Method::Invite, 302, "a");
    moved.headers.set("Contact", "<sip:premium@198.51.100.66>");
    rig.receive(moved);
    assert!(matches!(&rig.events[0], Event::Rejected { response, .. } if response.status == 302));
    assert_eq!(rig.count(&Method::Invite), 1);
}

#[test]
fn a_2xx_after_a_rejection_leaves_no_open_leg() {
    let mut rig = Rig::new();
    rig.respond(486, "a");
    rig.answer("b");
    assert_eq!(
        rig.last_request(&Method::Bye).headers.to().unwrap().tag(),
        Some("b")
    );
    assert!(
        !rig.events
            .iter()
            .any(|event| matches!(event, Event::Answered { .. }))
    );
}

#[test]
fn a_short_session_interval_is_raised_once() {
    let mut rig = Rig::new();
    let mut small = rig.response(&Method::Invite, 422, "a");
    small.headers.push("Min-SE", "240");
    rig.receive(small);
    let again = rig.last_request(&Method::Invite);
    assert_eq!(
        (again.headers.get("Min-SE"), again.headers.get("Session-Expires")),
        (Some("240"), Some("240"))
    );
    assert_eq!(again.headers.get("CSeq"), Some("2 INVITE"));
    let mut small = rig.response(&Method::Invite, 422, "a");
    small.headers.push("Min-SE", "480");
    rig.receive(small);
    assert_eq!(rig.count(&Method::Invite), 2);
    assert!(matches!(&rig.events[0], Event::Rejected { response, .. } if response.status == 422));
}

#[test]
fn a_422_without_a_usable_min_se_is_final() {
    for min_se in ["", "4000000000"] {
        let mut rig = Rig::new();
        let mut small = rig.response(&Method::Invite, 422, "a");
        small.headers.push("Min-SE", min_se);
        rig.receive(small);
        assert!(matches!(&rig.events[0], Event::Rejected { .. }), "{min_se}");
    }
}

#[test]
fn glare_and_security_agreement_get_one_more_invite_each() {
    let mut rig = Rig::new();
    rig.respond(491, "a");
    assert_eq!(rig.count(&Method::Invite), 1);
    rig.advance(2_099);
    assert_eq!(rig.count(&Method::Invite), 1);
    rig.advance(1_901);
    assert_eq!(rig.count(&Method::Invite), 2);
    let (first, second) = (
        &rig.requests(&Method::Invite)[0],
        rig.last_request(&Method::Invite),
    );
    assert_ne!(Rig::branch(first), Rig::branch(&second));
    assert_eq!(first.headers.from().unwrap(), second.headers.from().unwrap());
    rig.respond(494, "a");
    assert_eq!(
        rig.last_request(&Method::Invite).headers.get("CSeq"),
        Some("3 INVITE")
    );
    rig.respond(491, "a");
    assert!(matches!(&rig.events[0], Event::Rejected { response, .. } if response.status == 491));
}

#[test]
fn a_late_1xx_is_cancelled_and_its_487_acknowledged() {
    let mut rig = Rig::new();
    rig.advance(40_000);
    assert_eq!(rig.events, [Event::TimedOut, Event::Ended]);
    rig.respond(180, "a");
    rig.respond(180, "a");
    assert_eq!(rig.count(&Method::Cancel), 1);
    assert_eq!(
        Rig::branch(&rig.last_request(&Method::Cancel)),
        Rig::branch(&rig.last_request(&Method::Invite))
    );
    assert_eq!(rig.events[2..], [Event::LateResponse { status: 180 }]);
    let ok = rig.response(&Method::Cancel, 200, "a");
    rig.receive(ok);
    rig.respond(487, "a");
    rig.respond(487, "a");
    assert_eq!(rig.count(&Method::Ack), 2);
    assert_eq!(rig.events.len(), 3);
    rig.advance(32_000);
    assert!(rig.is_ended());
}

#[test]
fn a_late_2xx_is_acknowledged_and_ended() {
    let mut rig = Rig::new();
    rig.advance(50_000);
    rig.answer("a");
    rig.answer("a");
    assert_eq!((rig.count(&Method::Ack), rig.count(&Method::Bye)), (2, 1));
    assert_eq!(rig.events[2..], [Event::LateResponse { status: 200 }]);
    let ok = rig.response(&Method::Bye, 200, "a");
    rig.receive(ok);
    rig.advance(32_000);
    assert!(rig.is_ended());
}

const PLAIN_OFFER: &[u8] = b"v=0\r\nplain offer\r\n";

fn with_fallback() -> Rig {
    let mut rig = Rig::new();
    rig.session = rig
        .session
        .take()
        .map(|session| session.with_fallback(PLAIN_OFFER.to_vec()));
    rig
}

#[test]
fn a_refused_offer_is_followed_by_the_other_one_once() {
    for status in [488, 606] {
        let mut rig = with_fallback();
        rig.respond(100, "");
        rig.respond(status, "a");
        assert_eq!(rig.events, [Event::Trying, Event::FellBack]);
        let (first, second) = (
            rig.requests(&Method::Invite)[0].clone(),
            rig.last_request(&Method::Invite),
        );
        assert_eq!((&first.body[..], &second.body[..]), (OFFER, PLAIN_OFFER));
        assert_eq!(second.headers.get("CSeq"), Some("2 INVITE"));
        assert_eq!(first.headers.call_id(), second.headers.call_id());
        assert_eq!(first.headers.from().unwrap(), second.headers.from().unwrap());
        assert_ne!(Rig::branch(&first), Rig::branch(&second));
        rig.respond(status, "b");
        assert_eq!(rig.count(&Method::Invite), 2);
        assert!(matches!(&rig.events[2], Event::Rejected { response, .. } if response.status == status));
    }
}

#[test]
fn the_other_offer_is_kept_where_a_telephone_may_have_rung_or_nobody_wants_the_call() {
    for provisional in [180, 181, 183] {
        let mut rig = with_fallback();
        rig.respond(provisional, "a");
        rig.respond(488, "a");
        assert_eq!(rig.count(&Method::Invite), 1, "{provisional}");
        assert!(
            rig.events
                .iter()
                .any(|event| matches!(event, Event::Rejected { .. }))
        );
    }
    let mut rig = with_fallback();
    rig.input(Input::Cancel { reason: None });
    rig.respond(488, "a");
    assert_eq!(rig.count(&Method::Invite), 1);
    for status in [486, 415, 600, 603] {
        let mut rig = with_fallback();
        rig.respond(status, "a");
        assert_eq!(rig.count(&Method::Invite), 1, "{status}");
    }
    // Without another offer the refusal stands.
    let mut rig = Rig::new();
    rig.respond(488, "a");
    assert_eq!(rig.count(&Method::Invite), 1);
}
