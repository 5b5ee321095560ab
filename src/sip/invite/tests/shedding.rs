//! A session that only absorbs has let go of nearly everything, and answers as before.
use super::*;

/// Answered by leg `a`, our BYE answered too.
fn hung_up() -> Rig {
    let mut rig = Rig::answered();
    rig.input(Input::Bye { reason: None });
    let ok = rig.response(&Method::Bye, 200, "");
    rig.receive(ok);
    assert_eq!(rig.events, [Event::Ended]);
    rig.clear();
    rig
}

fn core(rig: &Rig) -> &Core {
    &rig.session.as_ref().unwrap().core
}

#[test]
fn descriptions_and_dialogs_go_with_the_call() {
    let rig = hung_up();
    assert!(core(&rig).offer.is_empty() && core(&rig).legs.is_empty());
    assert_eq!(core(&rig).acked.len(), 1);
    assert_eq!(rig.session.as_ref().unwrap().poll_timeout().unwrap().1, "timer M");
    assert!(!rig.session.as_ref().unwrap().may_answer_late());
}

#[test]
fn a_2xx_that_is_repeated_after_the_bye_gets_its_ack() {
    let mut rig = hung_up();
    rig.advance(20_000);
    rig.answer("a");
    assert_eq!(rig.raw.len(), 1);
    assert_eq!(rig.last_request(&Method::Ack).headers.get("CSeq"), Some("1 ACK"));
}

#[test]
fn another_telephone_that_answers_after_the_bye_is_hung_up() {
    let mut rig = hung_up();
    rig.answer("b");
    let (ack, bye) = (rig.last_request(&Method::Ack), rig.last_request(&Method::Bye));
    for request in [&ack, &bye] {
        assert_eq!(request.headers.to().unwrap().tag(), Some("b"));
        assert_eq!(request.uri.to_string(), "sip:callee@192.0.2.10:5062");
    }
    assert_eq!(bye.headers.get("CSeq"), Some("2 BYE"));
    assert!(!rig.is_ended());
    rig.answer("b");
    assert_eq!((rig.count(&Method::Ack), rig.count(&Method::Bye)), (2, 1));
    let ok = rig.response(&Method::Bye, 200, "");
    rig.receive(ok);
    assert!(core(&rig).legs.is_empty());
    rig.advance(40_000);
    assert!(rig.is_ended());
}

#[test]
fn the_bye_of_the_peer_is_answered_again_and_a_new_one_meets_nothing() {
    let mut rig = Rig::answered();
    let bye = rig.peer_request(Method::Bye, 7, "a");
    rig.receive(bye.clone());
    assert_eq!(rig.last_response().status, 200);
    rig.clear();
    rig.receive(bye);
    assert_eq!(rig.last_response().status, 200);
    let again = rig.peer_request(Method::Bye, 8, "a");
    rig.receive(again);
    assert_eq!(rig.last_response().status, 481);
    assert_eq!(rig.events, []);
}

#[test]
fn a_rejection_that_is_repeated_gets_its_ack_and_a_2xx_after_it_ack_and_bye() {
    let mut rig = Rig::new();
    rig.respond(180, "a");
    rig.respond(486, "a");
    rig.clear();
    rig.respond(486, "a");
    assert_eq!(rig.raw.len(), 1);
    assert_eq!(rig.last_request(&Method::Ack).headers.get("CSeq"), Some("1 ACK"));
    rig.answer("a");
    assert_eq!(
        rig.last_request(&Method::Bye).headers.to().unwrap().tag(),
        Some("a")
    );
}

#[test]
fn a_host_of_the_dialog_that_is_gone_is_still_heard() {
    let mut rig = Rig::new();
    let mut ok = rig.response(&Method::Invite, 200, "a");
    ok.headers.push("Record-Route", "<sip:192.0.2.77:5070;lr>");
    rig.receive(ok.clone());
    rig.input(Input::Bye { reason: None });
    let answered = rig.response(&Method::Bye, 200, "");
    rig.receive_from(answered, "192.0.2.77:5070".parse().unwrap());
    rig.clear();
    rig.receive_from(ok.clone(), "192.0.2.77:5070".parse().unwrap());
    assert_eq!(rig.count(&Method::Ack), 1);
    rig.receive_from(ok, "192.0.2.78:5070".parse().unwrap());
    assert_eq!(rig.count(&Method::Ack), 1);
}
