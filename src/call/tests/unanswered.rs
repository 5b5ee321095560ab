use super::seen::Seen;
use super::world::SDP;
use super::*;
use crate::model::{HungUpBy, Reason, Stage};

fn cancel_ms(world: &World) -> u64 {
    world.seen(|seen| *seen == Seen::Sent("CANCEL".to_owned()))[0]
}

#[test]
fn a_phone_that_rings_for_ever_is_given_up_thirty_seconds_after_the_first_18x() {
    let mut world = World::new(spec(Method::PressKey));
    world.at(0, Act::Provisional(100, None));
    world.at(5000, Act::Provisional(180, None));
    world.at(9000, Act::Provisional(180, None));
    world.run_out();
    assert_eq!(cancel_ms(&world), 5010 + 30_000);
    assert_eq!(world.reason(), Some(Reason::NoAnswer));
    let (_, report, next_trunk) = world.finished().unwrap();
    assert_eq!(report.cause.sip_status, Some(487));
    assert_eq!(report.cause.hung_up_by, Some(HungUpBy::Us));
    assert_eq!((report.ring_ms, next_trunk), (Some(30_000), false));
    assert_eq!(world.stages(), [Stage::Ringing]);
}

#[test]
fn without_an_18x_the_call_is_given_up_twenty_seconds_after_the_first_1xx() {
    let mut world = World::new(spec(Method::PressKey));
    world.at(2000, Act::Provisional(100, None));
    world.at(7000, Act::Provisional(199, None));
    world.run_out();
    // The UAS sends its own 100 within 200 ms of the INVITE.
    assert!(
        (20_000..=22_100).contains(&cancel_ms(&world)),
        "{}",
        cancel_ms(&world)
    );
    assert_eq!(world.reason(), Some(Reason::NoAnswer));
    assert!(world.stages().is_empty());
}

#[test]
fn no_call_rings_longer_than_forty_five_seconds_in_all() {
    let mut world = World::new(spec(Method::PressKey));
    world.at(0, Act::Provisional(100, None));
    world.at(18_000, Act::Provisional(183, None));
    world.run_out();
    assert_eq!(cancel_ms(&world), 45_000);
    assert_eq!(world.reason(), Some(Reason::NoAnswer));
}

#[test]
fn a_silent_trunk_is_down_after_timer_b_and_the_next_one_may_try() {
    let mut world = World::new(spec(Method::PressKey));
    world.peer_hears = false;
    world.run_out();
    let (at_ms, reason, _) = world.decided().unwrap();
    assert_eq!((at_ms, reason), (32_000, Reason::TrunkDown));
    assert_eq!(world.call.next_trunk(), NextTrunk::Yes { rest_s: Some(5) });
    assert_eq!((world.sent("INVITE"), world.sent("CANCEL")), (7, 0));
}

#[test]
fn a_late_answer_after_timer_b_is_ended_and_flagged() {
    let mut world = World::new(spec(Method::PressKey));
    world.peer_hears = false;
    world.run_to(31_400);
    // The last INVITE arrives, and its answer comes too late.
    world.peer_hears = true;
    world.back_ms = 1000;
    world.at(31_550, Act::Answer(Some(SDP.to_owned())));
    world.run_to(32_300);
    world.back_ms = 10;
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::TrunkDown));
    assert_eq!(world.seen(|seen| *seen == Seen::DoubleRing).len(), 1);
    assert_eq!((world.sent("CANCEL"), world.sent("BYE")), (0, 1));
    assert!(world.sent("ACK") >= 1);
    assert!(world.stream().is_none());
}

#[test]
fn a_late_ringing_after_timer_b_is_cancelled_and_flagged() {
    let mut world = World::new(spec(Method::PressKey));
    world.peer_hears = false;
    world.run_to(31_400);
    world.peer_hears = true;
    world.back_ms = 1000;
    world.at(31_550, Act::Provisional(180, None));
    world.run_to(32_300);
    world.back_ms = 10;
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::TrunkDown));
    assert_eq!(world.seen(|seen| *seen == Seen::DoubleRing).len(), 1);
    assert_eq!((world.sent("CANCEL"), world.sent("BYE")), (1, 0));
}

#[test]
fn an_invite_that_cannot_leave_is_congestion_and_the_next_trunk_may_try() {
    let mut world = World::new(spec(Method::PressKey));
    world.does(Act::TransportError);
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::Congestion));
    assert!(world.finished().unwrap().2);
}

#[test]
fn rejections_end_as_the_table_says() {
    for (status, headers, reason, next_trunk) in [
        (486, vec![], Reason::Busy, NextTrunk::No),
        (603, vec![], Reason::Declined, NextTrunk::No),
        (404, vec![], Reason::NotAllocated, NextTrunk::No),
        (480, vec![], Reason::Unreachable, NextTrunk::No),
        (403, vec![], Reason::RejectedByNetwork, NextTrunk::Once),
        (
            503,
            vec![("Retry-After", "30")],
            Reason::Congestion,
            NextTrunk::Yes { rest_s: Some(30) },
        ),
        (
            500,
            vec![("Reason", "Q.850;cause=17")],
            Reason::Busy,
            NextTrunk::No,
        ),
    ] {
        let mut world = World::new(spec(Method::PressKey));
        world.at(300, Act::Reject(status, headers));
        world.run_out();
        assert_eq!(world.reason(), Some(reason), "{status}");
        assert_eq!(world.call.next_trunk(), next_trunk, "{status}");
        assert_eq!(world.finished().unwrap().1.cause.sip_status, Some(status));
    }
}

#[test]
fn after_an_18x_no_other_trunk_may_try() {
    let mut world = World::new(spec(Method::PressKey));
    world.at(300, Act::Provisional(180, None));
    world.at(900, Act::Reject(503, vec![]));
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::Congestion));
    assert_eq!(world.call.next_trunk(), NextTrunk::No);
}

#[test]
fn a_480_after_ringing_is_no_answer_and_a_blocked_call_is_flagged() {
    let mut world = World::new(spec(Method::PressKey));
    world.at(300, Act::Provisional(180, None));
    world.at(900, Act::Reject(480, vec![]));
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::NoAnswer));

    let mut world = World::new(spec(Method::PressKey));
    let analytics = ("Reason", "Q.850;cause=21;text=\"v=analytics1\"");
    world.at(300, Act::Reject(603, vec![analytics]));
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::RejectedByNetwork));
    assert_eq!(world.decided().unwrap().2.flags, [FLAG_CALL_BLOCKED]);
}

#[test]
fn each_reason_to_cancel_is_the_outcome() {
    for reason in [
        Reason::ByClient,
        Reason::Superseded,
        Reason::Shutdown,
        Reason::Ttl,
    ] {
        let mut world = World::new(spec(Method::PressKey));
        world.at(300, Act::Provisional(180, None));
        world.at(2000, Act::Cancel(reason));
        world.run_out();
        assert_eq!(world.reason(), Some(reason));
        assert_eq!(
            (world.sent("CANCEL"), world.sent("ACK"), world.sent("BYE")),
            (1, 1, 0)
        );
    }
}

#[test]
fn a_cancel_before_any_response_waits_for_the_first_1xx() {
    let mut world = World::new(spec(Method::PressKey));
    world.does(Act::Cancel(Reason::ByClient));
    assert_eq!(world.sent("CANCEL"), 0);
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::ByClient));
    assert_eq!(world.sent("CANCEL"), 1);
}

#[test]
fn a_cancel_that_nobody_answers_is_decided_all_the_same() {
    let mut world = World::new(spec(Method::PressKey));
    world.at(300, Act::Provisional(180, None));
    world.run_to(1000);
    world.peer_hears = false;
    world.does(Act::Cancel(Reason::ByClient));
    world.run_out();
    let (at_ms, reason, _) = world.decided().unwrap();
    assert_eq!((at_ms, reason), (3000, Reason::ByClient));
}

#[test]
fn an_answer_after_the_outcome_of_a_cancel_is_ended_and_flagged() {
    let mut world = World::new(spec(Method::PressKey));
    world.at(300, Act::Provisional(180, None));
    world.run_to(1000);
    // Neither the CANCEL nor its repetitions arrive until the call has been given up.
    world.peer_hears = false;
    world.does(Act::Cancel(Reason::ByClient));
    world.run_to(4000);
    assert_eq!(world.decided().map(|(at_ms, ..)| at_ms), Some(3000));
    assert!(!world.call.is_settled(), "the phone may still ring");
    world.does(Act::Answer(Some(SDP.to_owned())));
    world.peer_hears = true;
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::ByClient));
    assert_eq!(world.seen(|seen| *seen == Seen::DoubleRing).len(), 1);
    assert!(world.sent("ACK") >= 1);
    assert_eq!(world.sent("BYE"), 1);
    assert!(world.stream().is_none());
}

#[test]
fn a_2xx_that_crosses_the_cancel_gets_ack_and_bye_and_stays_no_answer() {
    let mut world = World::new(spec(Method::PressKey));
    world.at(300, Act::Provisional(180, None));
    // The CANCEL leaves at 30,310 ms and arrives ten later.
    world.at(30_315, Act::Answer(Some(SDP.to_owned())));
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::NoAnswer));
    assert_eq!(
        (world.sent("CANCEL"), world.sent("ACK"), world.sent("BYE")),
        (1, 1, 1)
    );
    assert!(world.stream().is_none());
}

#[test]
fn a_forwarded_call_is_flagged() {
    let mut world = World::new(spec(Method::PressKey));
    world.at(300, Act::Provisional(181, None));
    world.at(900, Act::Reject(486, vec![]));
    world.run_out();
    assert_eq!(world.decided().unwrap().2.flags, ["forwarded"]);
}

#[test]
fn a_refused_call_is_settled_at_once_and_over_when_timer_d_has_run_out() {
    let mut world = World::new(spec(Method::PressKey));
    world.at(500, Act::Reject(486, Vec::new()));
    world.run_to(500);
    assert!(!world.call.is_settled());
    world.run_to(600);
    assert!(world.call.is_settled() && !world.call.is_over());
    world.run_to(33_000);
    assert!(world.call.is_over());
}
