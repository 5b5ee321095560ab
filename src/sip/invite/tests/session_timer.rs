//! RFC 4028: who refreshes, how, how often, and what happens when nobody does.
use super::*;

/// Answered with this session timer; the peer allows these methods.
fn answered(session_expires: &str, allow: &str) -> Rig {
    let mut rig = Rig::new();
    let mut ok = rig
        .response(&Method::Invite, 200, "a")
        .with_body("application/sdp", ANSWER.to_vec());
    ok.headers.push("Session-Expires", session_expires);
    ok.headers.push("Require", "timer");
    ok.headers.push("Allow", allow);
    rig.receive(ok);
    rig
}

const WITH_UPDATE: &str = "INVITE, ACK, BYE, UPDATE";
const WITHOUT_UPDATE: &str = "INVITE, ACK, BYE";

/// How often a BYE has left, and whether the owner was told that the network is at fault.
fn is_lost(rig: &Rig) -> (usize, bool) {
    let told = rig.events.iter().any(
        |event| matches!(event, Event::PeerBye { cause } if cause.hung_up_by == Some(HungUpBy::Network)),
    );
    (rig.count(&Method::Bye), told)
}

fn refresh(rig: &mut Rig, seq: u32, session_expires: &str, supported: &str) -> Response {
    let mut update = rig.peer_request(Method::Update, seq, "a");
    update.headers.push("Session-Expires", session_expires);
    update.headers.push("Supported", supported);
    rig.receive(update);
    rig.last_response()
}

#[test]
fn a_peer_that_does_not_refresh_in_time_is_sent_a_bye_before_the_end() {
    // A third of the interval, 32 s at most.
    for (interval_s, ends_s) in [(90, 60), (96, 64), (1800, 1768)] {
        let mut rig = answered(&format!("{interval_s};refresher=uas"), WITH_UPDATE);
        rig.advance(ends_s * 1000 - 1);
        assert_eq!(is_lost(&rig), (0, false), "{interval_s}");
        rig.advance(1);
        assert_eq!(is_lost(&rig), (1, true), "{interval_s}");
        assert_eq!(rig.count(&Method::Update), 0);
        let ok = rig.response(&Method::Bye, 200, "a");
        rig.receive(ok);
        rig.advance(60_000);
        assert!(rig.is_ended());
    }
}

#[test]
fn each_refresh_of_the_peer_starts_the_interval_anew() {
    let mut rig = answered("90;refresher=uas", WITH_UPDATE);
    for seq in 1..4 {
        rig.advance(50_000);
        let ok = refresh(&mut rig, seq, "90;refresher=uac", "timer");
        assert_eq!(ok.headers.get("Session-Expires"), Some("90;refresher=uac"));
    }
    rig.advance(59_999);
    assert_eq!(is_lost(&rig), (0, false));
    rig.advance(1);
    assert_eq!(is_lost(&rig), (1, true));
}

#[test]
fn a_refresh_by_reinvite_counts_too_and_one_without_interval_ends_the_timer() {
    let mut rig = answered("90;refresher=uas", WITH_UPDATE);
    rig.advance(50_000);
    let mut reinvite = rig
        .peer_request(Method::Invite, 1, "a")
        .with_body("application/sdp", ANSWER.to_vec());
    reinvite.headers.push("Session-Expires", "120;refresher=uac");
    reinvite.headers.push("Supported", "timer");
    rig.receive(reinvite);
    rig.input(Input::AnswerOffer { sdp: ANSWER.to_vec() });
    let ack = rig.peer_ack("a", 1);
    rig.receive(ack);
    rig.advance(80_000);
    assert_eq!(is_lost(&rig), (0, false));
    let plain = rig.peer_request(Method::Update, 2, "a");
    rig.receive(plain);
    assert_eq!(rig.last_response().headers.get("Session-Expires"), None);
    rig.advance(1_000_000);
    assert_eq!(is_lost(&rig), (0, false));
}

#[test]
fn the_refresher_is_whom_the_peer_names_and_who_can() {
    for (asked, supported, granted, ours) in [
        ("90;refresher=uac", "timer", "90;refresher=uac", false),
        ("90;refresher=uas", "timer", "90;refresher=uas", true),
        ("90", "timer", "90;refresher=uac", false),
        // A proxy asks in the name of a peer that knows no timer.
        ("90", "100rel", "90;refresher=uas", true),
    ] {
        let mut rig = Rig::answered();
        let ok = refresh(&mut rig, 1, asked, supported);
        assert_eq!(ok.status, 200);
        assert_eq!(
            ok.headers.get("Session-Expires"),
            Some(granted),
            "{asked} {supported}"
        );
        assert_eq!(ok.headers.requires("timer"), !ours, "{asked} {supported}");
        rig.advance(45_000);
        let sent = rig.count(&Method::Update) + rig.count(&Method::Invite) - 1;
        assert_eq!(sent == 1, ours, "{asked} {supported}");
    }
}

#[test]
fn a_422_to_our_refresh_gets_one_more_with_the_interval_that_it_names() {
    for (allow, method) in [(WITH_UPDATE, Method::Update), (WITHOUT_UPDATE, Method::Invite)] {
        let mut rig = answered("90;refresher=uac", allow);
        let before = rig.count(&method);
        rig.advance(45_000);
        assert_eq!(rig.count(&method), before + 1, "{method}");
        assert!(!rig.last_request(&method).headers.contains("Min-SE"));
        for _ in 0..2 {
            let mut small = rig.response(&method, 422, "a");
            small.headers.push("Min-SE", "240");
            rig.receive(small);
            rig.advance(1);
            assert_eq!(rig.count(&method), before + 2, "{method}");
        }
        let again = rig.last_request(&method);
        assert_eq!(
            (again.headers.get("Session-Expires"), again.headers.get("Min-SE")),
            (Some("240;refresher=uac"), Some("240"))
        );
        // Refused again, the session lasts as long as it was agreed.
        rig.advance(44_997);
        assert_eq!(is_lost(&rig), (0, false), "{method}");
        rig.advance(1);
        assert_eq!(is_lost(&rig), (1, true), "{method}");
    }
}

#[test]
fn a_refresh_that_fails_is_tried_again_until_the_session_ends() {
    let mut rig = answered("90;refresher=uac", WITH_UPDATE);
    rig.advance(45_000);
    let busy = rig.response(&Method::Update, 500, "a");
    rig.receive(busy);
    rig.advance(4_000);
    assert_eq!(rig.count(&Method::Update), 2);
    // A peer that allows UPDATE and then does not is asked by re-INVITE.
    let refused = rig.response(&Method::Update, 405, "a");
    rig.receive(refused);
    rig.advance(2_000);
    assert_eq!(rig.count(&Method::Invite), 2);
    let refused = rig.response(&Method::Invite, 488, "a");
    rig.receive(refused);
    rig.advance(38_999);
    assert_eq!(is_lost(&rig), (0, false));
    rig.advance(1);
    assert_eq!(is_lost(&rig), (1, true));
}

#[test]
fn a_session_that_ends_in_its_refresh_says_bye_once() {
    let mut rig = answered("90;refresher=uac", WITHOUT_UPDATE);
    rig.advance(45_000);
    rig.respond(100, "");
    // No final response: 64·T1 after the re-INVITE the session is lost.
    rig.advance(32_000);
    assert_eq!(is_lost(&rig), (1, true));
    rig.answer("a");
    let ok = rig.response(&Method::Bye, 200, "a");
    rig.receive(ok);
    rig.advance(100_000);
    assert_eq!(rig.count(&Method::Bye), 1);
    assert!(rig.is_ended());
}

#[test]
fn an_answer_without_interval_has_no_timer_at_all() {
    let mut rig = Rig::answered();
    rig.advance(1_000_000);
    assert_eq!(is_lost(&rig), (0, false));
    assert_eq!((rig.count(&Method::Update), rig.count(&Method::Invite)), (0, 1));
}
