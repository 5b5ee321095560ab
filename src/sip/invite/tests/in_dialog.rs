//! The peer's requests inside the dialog, and our session refresh.
use super::*;

fn reinvite(rig: &Rig, seq: u32, sdp: Option<&[u8]>) -> Request {
    let request = rig.peer_request(Method::Invite, seq, "a");
    match sdp {
        Some(sdp) => request.with_body("application/sdp", sdp.to_vec()),
        None => request,
    }
}

#[test]
fn a_reinvite_is_offered_answered_and_its_2xx_repeated_until_the_ack() {
    let mut rig = Rig::answered();
    let request = reinvite(&rig, 5, Some(b"hold"));
    rig.receive(request.clone());
    assert_eq!(
        rig.events,
        [Event::Offer {
            sdp: Some(b"hold".to_vec())
        }]
    );
    rig.input(Input::AnswerOffer {
        sdp: b"held".to_vec(),
    });
    let ok = rig.last_response();
    assert_eq!((ok.status, ok.body.as_slice()), (200, &b"held"[..]));
    assert!(ok.headers.contains("Contact") && ok.headers.contains("Allow"));
    rig.receive(request);
    let before = rig.sent.len();
    rig.advance(1_600);
    assert_eq!(rig.sent.len(), before + 2);
    let ack = rig.peer_ack("a", 5);
    rig.receive(ack);
    rig.advance(40_000);
    assert_eq!((rig.sent.len(), rig.events.len()), (before + 2, 1));
    // The target moved with the re-INVITE's Contact.
    rig.input(Input::Bye { reason: None });
    assert_eq!(
        rig.last_request(&Method::Bye).uri.to_string(),
        format!("sip:callee@{TARGET}")
    );
}

#[test]
fn a_2xx_to_a_reinvite_without_ack_ends_the_session_by_bye() {
    let mut rig = Rig::answered();
    let request = reinvite(&rig, 5, Some(b"hold"));
    rig.receive(request);
    rig.input(Input::AnswerOffer {
        sdp: b"held".to_vec(),
    });
    rig.advance(32_000);
    assert_eq!(rig.count(&Method::Bye), 1);
    let Event::PeerBye { cause } = &rig.events[1] else {
        panic!("{:?}", rig.events)
    };
    assert_eq!(cause.hung_up_by, Some(HungUpBy::Network));
}

#[test]
fn a_reinvite_without_offer_gets_ours_and_the_ack_brings_the_answer() {
    let mut rig = Rig::answered();
    let request = reinvite(&rig, 5, None);
    rig.receive(request);
    assert_eq!(rig.events, [Event::Offer { sdp: None }]);
    rig.input(Input::AnswerOffer {
        sdp: b"our offer".to_vec(),
    });
    // While our offer is open the peer's UPDATE has to wait.
    let update = rig
        .peer_request(Method::Update, 6, "a")
        .with_body("application/sdp", b"x".to_vec());
    rig.receive(update);
    assert_eq!(rig.last_response().status, 491);
    let ack = rig
        .peer_ack("a", 5)
        .with_body("application/sdp", b"their answer".to_vec());
    rig.receive(ack);
    assert_eq!(
        rig.events[1..],
        [Event::SdpAnswer {
            sdp: b"their answer".to_vec()
        }]
    );
}

#[test]
fn a_refused_reinvite_leaves_the_session_as_it_was() {
    let mut rig = Rig::answered();
    let request = reinvite(&rig, 5, Some(b"video"));
    rig.receive(request);
    rig.input(Input::RejectOffer { status: 488 });
    assert_eq!(rig.last_response().status, 488);
    let ack = {
        let mut ack = rig.peer_ack("a", 5);
        ack.headers.set(
            "Via",
            format!("SIP/2.0/UDP {TARGET};rport;branch=z9hG4bKpeerINVITE5"),
        );
        ack
    };
    rig.receive(ack);
    let sent = rig.sent.len();
    rig.advance(60_000);
    assert_eq!((rig.sent.len(), rig.events.len()), (sent, 1));
    let again = reinvite(&rig, 6, Some(b"audio"));
    rig.receive(again);
    assert_eq!(rig.events.len(), 2);
}

#[test]
fn a_second_offer_before_the_first_is_answered_has_to_wait() {
    let mut rig = Rig::answered();
    let request = reinvite(&rig, 5, Some(b"one"));
    rig.receive(request);
    for method in [Method::Invite, Method::Update] {
        let seq = if method == Method::Invite { 6 } else { 7 };
        let second = rig
            .peer_request(method, seq, "a")
            .with_body("application/sdp", b"two".to_vec());
        rig.receive(second);
        let refusal = rig.last_response();
        assert_eq!(refusal.status, 500);
        assert!(refusal.headers.retry_after().is_some_and(|seconds| seconds <= 10));
    }
    assert_eq!(rig.events.len(), 1);
    rig.input(Input::AnswerOffer {
        sdp: b"first".to_vec(),
    });
    assert_eq!(rig.last_response().headers.get("CSeq"), Some("5 INVITE"));
}

#[test]
fn a_cancelled_reinvite_gets_487_and_the_late_answer_none() {
    let mut rig = Rig::answered();
    let request = reinvite(&rig, 5, Some(b"one"));
    rig.receive(request.clone());
    let mut cancel = rig.peer_request(Method::Cancel, 5, "a");
    cancel.headers.set("Via", request.headers.get("Via").unwrap());
    rig.receive(cancel);
    let statuses: Vec<u16> = rig
        .sent
        .iter()
        .filter_map(|(_, message)| match message {
            Message::Response(response) => Some(response.status),
            Message::Request(_) => None,
        })
        .collect();
    assert_eq!(statuses, [200, 487]);
    let sent = rig.sent.len();
    rig.input(Input::AnswerOffer {
        sdp: b"late".to_vec(),
    });
    assert_eq!(rig.sent.len(), sent);
}

#[test]
fn a_cancel_of_nothing_gets_481() {
    let mut rig = Rig::answered();
    let cancel = rig.peer_request(Method::Cancel, 5, "a");
    rig.receive(cancel);
    assert_eq!(rig.last_response().status, 481);
}

#[test]
fn an_update_with_an_offer_is_answered_in_its_200_and_one_without_refreshes() {
    let mut rig = Rig::answered();
    let update = rig
        .peer_request(Method::Update, 1, "a")
        .with_body("application/sdp", b"new".to_vec());
    rig.receive(update);
    rig.input(Input::AnswerOffer {
        sdp: b"ours".to_vec(),
    });
    assert_eq!(
        (rig.last_response().status, rig.last_response().body),
        (200, b"ours".to_vec())
    );
    let mut refresh = rig.peer_request(Method::Update, 2, "a");
    refresh.headers.push("Session-Expires", "90;refresher=uac");
    refresh.headers.push("Supported", "timer");
    rig.receive(refresh);
    let ok = rig.last_response();
    assert_eq!(
        (ok.status, ok.headers.get("Session-Expires")),
        (200, Some("90;refresher=uac"))
    );
    assert!(ok.headers.requires("timer"));
    assert_eq!(rig.events.len(), 1);
}

#[test]
fn a_session_interval_that_is_too_small_gets_422() {
    let mut rig = Rig::answered();
    let mut refresh = rig.peer_request(Method::Update, 1, "a");
    refresh.headers.push("Session-Expires", "30");
    refresh.headers.push("Supported", "timer");
    rig.receive(refresh);
    assert_eq!(
        (rig.last_response().status, rig.last_response().headers.min_se()),
        (422, Some(90))
    );
}

#[test]
fn as_refresher_we_send_update_at_half_the_interval() {
    let mut rig = Rig::new();
    let mut ok = rig.response(&Method::Invite, 200, "a");
    ok.headers.push("Session-Expires", "100;refresher=uac");
    ok.headers.push("Require", "timer");
    ok.headers.push("Allow", "INVITE, ACK, BYE, UPDATE");
    rig.receive(ok);
    rig.advance(49_999);
    assert_eq!(rig.count(&Method::Update), 0);
    rig.advance(1);
    let update = rig.last_request(&Method::Update);
    assert_eq!(update.headers.get("Session-Expires"), Some("100;refresher=uac"));
    assert!(update.body.is_empty() && update.headers.contains("Contact"));
    let mut ok = rig.response(&Method::Update, 200, "a");
    ok.headers.push("Session-Expires", "100;refresher=uac");
    rig.receive(ok);
    rig.advance(50_000);
    assert_eq!(rig.count(&Method::Update), 2);
    // The peer lost the dialog.
    let gone = rig.response(&Method::Update, 481, "a");
    rig.receive(gone);
    assert_eq!(rig.count(&Method::Bye), 1);
    assert!(
        matches!(rig.events.last(), Some(Event::PeerBye { cause }) if cause.hung_up_by == Some(HungUpBy::Network))
    );
}

#[test]
fn a_peer_without_update_is_refreshed_by_reinvite_with_the_same_description() {
    let mut rig = Rig::new();
    let mut ok = rig.response(&Method::Invite, 200, "a");
    ok.headers.push("Session-Expires", "100;refresher=uac");
    rig.receive(ok);
    rig.advance(50_000);
    assert_eq!(rig.count(&Method::Invite), 2);
    let again = rig.last_request(&Method::Invite);
    assert_eq!(
        (again.body.as_slice(), again.headers.to().unwrap().tag()),
        (OFFER, Some("a"))
    );
    // The peer offers at the same time.
    let theirs = reinvite(&rig, 9, Some(b"theirs"));
    rig.receive(theirs);
    assert_eq!(rig.last_response().status, 491);
    rig.respond(491, "a");
    rig.advance(4_000);
    assert_eq!(rig.count(&Method::Invite), 3);
    rig.answer("a");
    let ack = rig.raw.last().unwrap().clone();
    assert_eq!(rig.last_request(&Method::Ack).headers.get("CSeq"), Some("3 ACK"));
    assert_eq!(
        rig.events.last(),
        Some(&Event::SdpAnswer { sdp: ANSWER.to_vec() })
    );
    rig.answer("a");
    assert_eq!(rig.raw.last().unwrap(), &ack);
}

#[test]
fn a_refresh_that_hangs_after_a_1xx_ends_the_session() {
    let mut rig = Rig::new();
    let mut ok = rig.response(&Method::Invite, 200, "a");
    ok.headers.push("Session-Expires", "100;refresher=uac");
    rig.receive(ok);
    rig.advance(50_000);
    rig.respond(100, "");
    rig.advance(32_000);
    assert_eq!(rig.count(&Method::Bye), 1);
    let ok = rig.response(&Method::Bye, 200, "a");
    rig.receive(ok);
    rig.advance(32_000);
    assert!(rig.is_ended());
}

#[test]
fn the_peer_as_refresher_is_left_to_it() {
    let mut rig = Rig::new();
    let mut ok = rig.response(&Method::Invite, 200, "a");
    ok.headers.push("Session-Expires", "100;refresher=uas");
    rig.receive(ok);
    rig.advance(300_000);
    assert_eq!((rig.count(&Method::Update), rig.count(&Method::Invite)), (0, 1));
}

#[test]
fn each_request_in_the_dialog_has_its_answer() {
    for (method, status) in [
        (Method::Options, 200),
        (Method::Info, 200),
        (Method::Refer, 405),
        (Method::Notify, 405),
        (Method::Message, 405),
        (Method::Prack, 481),
        (Method::Other("FROB".to_owned()), 501),
    ] {
        let mut rig = Rig::answered();
        let request = rig.peer_request(method.clone(), 1, "a");
        rig.receive(request);
        let response = rig.last_response();
        assert_eq!(response.status, status, "{method}");
        assert_eq!(
            response.headers.contains("Allow"),
            matches!(status, 200 | 405),
            "{method}"
        );
    }
}

#[test]
fn info_hands_up_its_body() {
    let mut rig = Rig::answered();
    let body = b"Signal=#\r\nDuration=160\r\n".to_vec();
    let info = rig
        .peer_request(Method::Info, 1, "a")
        .with_body("application/dtmf-relay", body.clone());
    rig.receive(info.clone());
    rig.receive(info);
    assert_eq!(
        rig.events,
        [Event::Info {
            content_type: "application/dtmf-relay".to_owned(),
            body
        }]
    );
}

#[test]
fn what_we_cannot_honour_is_refused_by_name() {
    let mut rig = Rig::answered();
    let mut request = rig.peer_request(Method::Info, 1, "a");
    request.headers.push("Require", "100rel, frob");
    rig.receive(request);
    assert_eq!(
        (
            rig.last_response().status,
            rig.last_response().headers.get("Unsupported")
        ),
        (420, Some("frob"))
    );
    let request = rig
        .peer_request(Method::Invite, 2, "a")
        .with_body("text/plain", b"hello".to_vec());
    rig.receive(request);
    assert_eq!(rig.last_response().status, 415);
    assert!(rig.last_response().headers.contains("Accept"));
    let mut request = reinvite(&rig, 3, Some(b"zipped"));
    request.headers.push("Content-Encoding", "gzip");
    rig.receive(request);
    assert_eq!(rig.last_response().status, 415);
    assert!(rig.events.is_empty());
}

#[test]
fn a_lower_or_repeated_cseq_gets_500_and_has_no_effect() {
    let mut rig = Rig::answered();
    let info = rig.peer_request(Method::Info, 10, "a");
    rig.receive(info);
    for (method, seq) in [(Method::Bye, 9), (Method::Bye, 10), (Method::Update, 1)] {
        let stale = rig.peer_request(method, seq, "a");
        rig.receive(stale);
        assert_eq!(rig.last_response().status, 500, "{seq}");
    }
    assert_eq!(rig.events.len(), 1);
    let bye = rig.peer_request(Method::Bye, 11, "a");
    rig.receive(bye);
    assert!(matches!(rig.events[1], Event::PeerBye { .. }));
}

#[test]
fn the_peers_bye_during_its_own_reinvite_ends_both() {
    let mut rig = Rig::answered();
    let request = reinvite(&rig, 5, Some(b"one"));
    rig.receive(request);
    let bye = rig.peer_request(Method::Bye, 6, "a");
    rig.receive(bye);
    let statuses: Vec<u16> = rig
        .sent
        .iter()
        .filter_map(|(_, message)| match message {
            Message::Response(response) => Some(response.status),
            Message::Request(_) => None,
        })
        .collect();
    assert_eq!(statuses, [487, 200]);
}

#[test]
fn after_our_bye_the_peers_requests_get_481() {
    let mut rig = Rig::answered();
    rig.input(Input::Bye { reason: None });
    let request = reinvite(&rig, 5, Some(b"one"));
    rig.receive(request);
    assert_eq!(rig.last_response().status, 481);
    assert!(rig.events.is_empty());
}
