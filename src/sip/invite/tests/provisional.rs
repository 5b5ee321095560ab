//! 1xx: early dialogs, early media, PRACK, forwarding.
use super::*;

fn provisional(rig: &Rig, index: usize) -> (u16, Option<Vec<u8>>, EarlyDialogId) {
    match &rig.events[index] {
        Event::Provisional { status, sdp, dialog } => (*status, sdp.clone(), *dialog),
        other => panic!("expected a provisional response, got {other:?}"),
    }
}

#[test]
fn trying_is_told_once_and_stops_the_retransmission() {
    let mut rig = Rig::new();
    rig.respond(100, "");
    rig.respond(100, "");
    rig.advance(60_000);
    assert_eq!(rig.events, [Event::Trying]);
    assert_eq!(rig.count(&Method::Invite), 1);
}

#[test]
fn each_to_tag_is_an_early_dialog_of_its_own_and_keeps_its_id() {
    let mut rig = Rig::new();
    for tag in ["a", "b", "a", "c", "b"] {
        rig.respond(180, tag);
    }
    let ids: Vec<EarlyDialogId> = (0..5).map(|n| provisional(&rig, n).2).collect();
    assert_eq!((ids[0], ids[1]), (ids[2], ids[4]));
    assert!(ids[0] != ids[1] && ids[1] != ids[3] && ids[0] != ids[3]);
}

#[test]
fn early_dialogs_are_bounded_and_a_2xx_of_an_unknown_leg_still_counts() {
    let mut rig = Rig::new();
    for n in 0..100 {
        rig.respond(183, &format!("leg{n}"));
    }
    assert_eq!(rig.events.len(), 16);
    rig.answer("leg99");
    assert_eq!(
        rig.events.last(),
        Some(&Event::Answered {
            sdp: Some(ANSWER.to_vec())
        })
    );
}

#[test]
fn the_early_description_answers_a_2xx_that_has_none_of_the_same_leg_only() {
    let mut rig = Rig::new();
    let early = rig
        .response(&Method::Invite, 183, "a")
        .with_body("application/sdp", b"early a".to_vec());
    rig.receive(early);
    let early = rig
        .response(&Method::Invite, 183, "b")
        .with_body("application/sdp", b"early b".to_vec());
    rig.receive(early);
    assert_eq!(provisional(&rig, 0).1.as_deref(), Some(&b"early a"[..]));
    rig.respond(200, "a");
    assert_eq!(
        rig.events.last(),
        Some(&Event::Answered {
            sdp: Some(b"early a".to_vec())
        })
    );
}

#[test]
fn a_description_inside_multipart_is_found() {
    let mut rig = Rig::new();
    let body = b"--x\r\nContent-Type: application/isup\r\n\r\n\x01\x02\r\n--x\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--x--\r\n";
    let early = rig
        .response(&Method::Invite, 183, "a")
        .with_body("multipart/mixed;boundary=x", body.to_vec());
    rig.receive(early);
    assert_eq!(provisional(&rig, 0).1.as_deref(), Some(&b"v=0"[..]));
}

#[test]
fn a_reliable_response_gets_one_prack_and_its_repetitions_none() {
    let mut rig = Rig::new();
    let mut ringing = rig.response(&Method::Invite, 180, "a");
    ringing.headers.push("Require", "100rel");
    ringing.headers.push("RSeq", "7");
    ringing.headers.push("Record-Route", "<sip:192.0.2.44:5066;lr>");
    rig.receive(ringing.clone());
    rig.receive(ringing.clone());
    let pracks = rig.requests(&Method::Prack);
    assert_eq!(pracks.len(), 1);
    assert_eq!(pracks[0].headers.get("RAck"), Some("7 1 INVITE"));
    assert_eq!(pracks[0].headers.get("CSeq"), Some("2 PRACK"));
    assert_eq!(pracks[0].headers.to().unwrap().tag(), Some("a"));
    assert_eq!(pracks[0].uri.to_string(), "sip:callee@192.0.2.10:5062");
    assert_eq!(rig.sent.last().unwrap().0, "192.0.2.44:5066".parse().unwrap());
    assert_eq!(rig.events.len(), 1);
    let ok = rig.response(&Method::Prack, 200, "a");
    rig.receive(ok);
    // One is missing between 7 and 9.
    ringing.headers.set("RSeq", "9");
    rig.receive(ringing.clone());
    assert_eq!((rig.count(&Method::Prack), rig.events.len()), (1, 1));
    ringing.headers.set("RSeq", "8");
    rig.receive(ringing);
    assert_eq!((rig.count(&Method::Prack), rig.events.len()), (2, 2));
    // CSeq goes on in the dialog; the ACK keeps the INVITE's.
    rig.answer("a");
    assert_eq!(rig.last_request(&Method::Ack).headers.get("CSeq"), Some("1 ACK"));
    rig.input(Input::Bye { reason: None });
    assert_eq!(rig.last_request(&Method::Bye).headers.get("CSeq"), Some("4 BYE"));
}

#[test]
fn an_update_in_an_early_dialog_is_offered_only_once_ours_is_answered() {
    let mut rig = Rig::new();
    rig.respond(183, "a");
    let mut update = rig
        .peer_request(Method::Update, 1, "a")
        .with_body("application/sdp", b"new".to_vec());
    rig.receive(update.clone());
    assert_eq!(rig.last_response().status, 491);
    let mut reliable = rig
        .response(&Method::Invite, 183, "a")
        .with_body("application/sdp", ANSWER.to_vec());
    reliable.headers.push("Require", "100rel");
    reliable.headers.push("RSeq", "1");
    rig.receive(reliable);
    update.headers.set("CSeq", "2 UPDATE");
    update
        .headers
        .set("Via", format!("SIP/2.0/UDP {TARGET};rport;branch=z9hG4bKsecond"));
    rig.receive(update);
    assert_eq!(
        rig.events.last(),
        Some(&Event::Offer {
            sdp: Some(b"new".to_vec())
        })
    );
    rig.input(Input::AnswerOffer {
        sdp: b"ours".to_vec(),
    });
    assert_eq!(
        (rig.last_response().status, rig.last_response().body),
        (200, b"ours".to_vec())
    );
}

#[test]
fn a_leg_that_is_over_is_forgotten() {
    let mut rig = Rig::new();
    rig.respond(180, "a");
    rig.respond(199, "a");
    let info = rig.peer_request(Method::Info, 1, "a");
    rig.receive(info);
    assert_eq!(rig.last_response().status, 481);
}
