//! CANCEL: when it may leave, and what it may meet.
use super::*;

fn cancel(rig: &mut Rig) {
    rig.input(Input::Cancel {
        reason: Some("SIP;cause=480;text=\"no answer\"".to_owned()),
    });
}

#[test]
fn a_cancel_waits_for_the_first_1xx() {
    let mut rig = Rig::new();
    cancel(&mut rig);
    rig.advance(1_000);
    assert_eq!(rig.count(&Method::Cancel), 0);
    rig.respond(100, "");
    let sent = rig.last_request(&Method::Cancel);
    let invite = rig.last_request(&Method::Invite);
    assert_eq!(Rig::branch(&sent), Rig::branch(&invite));
    assert_eq!(sent.uri, invite.uri);
    assert_eq!(sent.headers.get("CSeq"), Some("1 CANCEL"));
    assert_eq!(sent.headers.to().unwrap().tag(), None);
    assert_eq!(
        sent.headers.get("Reason"),
        Some("SIP;cause=480;text=\"no answer\"")
    );
    rig.respond(180, "a");
    assert_eq!(rig.count(&Method::Cancel), 1);
    assert!(rig.events.is_empty(), "{:?}", rig.events);
}

#[test]
fn a_cancelled_invite_ends_by_487() {
    let mut rig = Rig::new();
    rig.respond(180, "a");
    cancel(&mut rig);
    cancel(&mut rig);
    assert_eq!(rig.count(&Method::Cancel), 1);
    let ok = rig.response(&Method::Cancel, 200, "a");
    rig.receive(ok);
    rig.respond(487, "a");
    assert_eq!(rig.count(&Method::Ack), 1);
    assert!(matches!(&rig.events[1], Event::Rejected { response, cause }
        if response.status == 487 && cause.hung_up_by == Some(HungUpBy::Us)));
    assert_eq!(rig.events[2], Event::Ended);
    rig.advance(40_000);
    assert!(rig.is_ended());
}

#[test]
fn a_2xx_that_crosses_the_cancel_gets_ack_and_bye() {
    let mut rig = Rig::new();
    rig.respond(180, "a");
    cancel(&mut rig);
    rig.answer("a");
    assert_eq!((rig.count(&Method::Ack), rig.count(&Method::Bye)), (1, 1));
    assert_eq!(
        rig.last_request(&Method::Bye).headers.get("Reason"),
        Some("SIP;cause=480;text=\"no answer\"")
    );
    assert_eq!(rig.events[1..], [Event::AnsweredAfterCancel]);
    rig.answer("a");
    assert_eq!((rig.count(&Method::Ack), rig.count(&Method::Bye)), (2, 1));
    let late = rig.response(&Method::Cancel, 481, "a");
    rig.receive(late);
    let ok = rig.response(&Method::Bye, 200, "a");
    rig.receive(ok);
    assert_eq!(rig.events[2..], [Event::Ended]);
    rig.advance(60_000);
    assert!(rig.is_ended());
}

#[test]
fn where_a_cancel_crossed_one_answer_the_other_telephones_of_the_fork_may_ring_for_64_t1() {
    let crossed = || {
        let mut rig = Rig::new();
        rig.respond(180, "a");
        rig.respond(180, "b");
        cancel(&mut rig);
        rig.answer("a");
        let late = rig.response(&Method::Cancel, 481, "a");
        rig.receive(late);
        let ok = rig.response(&Method::Bye, 200, "a");
        rig.receive(ok);
        rig
    };
    let mut rig = crossed();
    rig.advance(31_000);
    assert!(!rig.events.contains(&Event::Ended), "the other one may ring");
    rig.advance(2_000);
    assert_eq!(rig.events.last(), Some(&Event::Ended));
    // One that answers too is ended, and then nothing rings any more.
    let mut rig = crossed();
    rig.advance(1_000);
    rig.answer("b");
    assert_eq!(rig.count(&Method::Bye), 2);
    assert!(!rig.events.contains(&Event::Ended));
    let ok = rig.response(&Method::Bye, 200, "b");
    rig.receive(ok);
    assert_eq!(rig.events.last(), Some(&Event::Ended));
}

#[test]
fn a_2xx_before_any_1xx_after_the_wish_to_cancel_gets_ack_and_bye_and_no_cancel() {
    let mut rig = Rig::new();
    cancel(&mut rig);
    rig.answer("a");
    assert_eq!(
        (
            rig.count(&Method::Cancel),
            rig.count(&Method::Ack),
            rig.count(&Method::Bye)
        ),
        (0, 1, 1)
    );
    assert_eq!(rig.events, [Event::AnsweredAfterCancel]);
}

#[test]
fn a_cancel_without_effect_is_given_up_after_64_t1_and_a_late_answer_still_ended() {
    let mut rig = Rig::new();
    rig.respond(180, "a");
    cancel(&mut rig);
    rig.advance(31_999);
    assert!(!rig.events.contains(&Event::Ended));
    rig.advance(1);
    assert_eq!(rig.events.last(), Some(&Event::Ended));
    rig.advance(10_000);
    rig.answer("a");
    assert_eq!((rig.count(&Method::Ack), rig.count(&Method::Bye)), (1, 1));
    assert_eq!(rig.events.last(), Some(&Event::LateResponse { status: 200 }));
}

#[test]
fn a_wish_to_cancel_that_nobody_hears_ends_by_timer_b() {
    let mut rig = Rig::new();
    cancel(&mut rig);
    rig.advance(32_000);
    assert_eq!(rig.events, [Event::TimedOut, Event::Ended]);
    assert_eq!(rig.count(&Method::Cancel), 0);
}

#[test]
fn a_rejection_after_the_cancel_is_final_and_not_tried_again() {
    let mut rig = Rig::new();
    rig.respond(100, "");
    cancel(&mut rig);
    rig.respond(491, "a");
    rig.advance(10_000);
    assert_eq!(rig.count(&Method::Invite), 1);
    assert!(matches!(&rig.events[1], Event::Rejected { response, .. } if response.status == 491));
}

#[test]
fn a_cancel_in_the_pause_after_glare_ends_it_with_that_rejection() {
    let mut rig = Rig::new();
    rig.respond(491, "a");
    cancel(&mut rig);
    assert!(matches!(&rig.events[0], Event::Rejected { response, .. } if response.status == 491));
    assert_eq!(rig.events[1], Event::Ended);
    rig.advance(60_000);
    assert_eq!((rig.count(&Method::Invite), rig.is_ended()), (1, true));
}

#[test]
fn cancel_after_the_answer_is_a_bye_and_bye_before_it_a_cancel() {
    let mut rig = Rig::answered();
    rig.input(Input::Cancel { reason: None });
    assert_eq!((rig.count(&Method::Cancel), rig.count(&Method::Bye)), (0, 1));
    let mut rig = Rig::new();
    rig.respond(180, "a");
    rig.input(Input::Bye { reason: None });
    assert_eq!((rig.count(&Method::Cancel), rig.count(&Method::Bye)), (1, 0));
}
