use super::seen::Seen;
use super::world::SDP;
use super::*;
use crate::media::command::MediaEvent;
use crate::model::{KeyTransport, Reason, Stage};

fn early() -> World {
    let mut world = World::new(spec(Method::PressKey));
    world.at(100, Act::Provisional(180, None));
    world.at(300, Act::Provisional(183, Some(SDP.to_owned())));
    world.at(350, Act::Media(MediaEvent::FirstPacket));
    world.run_to(1000);
    world
}

#[test]
fn early_media_is_heard_and_nothing_is_said_into_it() {
    let mut world = early();
    assert_eq!(world.stages(), [Stage::Ringing, Stage::EarlyMedia]);
    assert!(world.stream().is_some());
    world.run_to(20_000);
    assert!(world.play_times_ms().is_empty());
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::NoAnswer));
}

#[test]
fn a_180_after_early_media_takes_no_stage_back() {
    let mut world = early();
    world.does(Act::Provisional(180, None));
    world.run_for(100);
    assert_eq!(world.stages(), [Stage::Ringing, Stage::EarlyMedia]);
}

#[test]
fn a_key_in_early_media_never_counts() {
    let mut world = early();
    world.press('#');
    world.at(4000, Act::Answer(Some(SDP.to_owned())));
    world.run_to(10_000);
    assert_eq!(world.reason(), None);
    world.press('#');
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::KeyConfirmed));
}

#[test]
fn a_tone_that_goes_on_over_the_answer_is_a_machine() {
    let mut world = early();
    world.at(2950, Act::Press('#', KeyTransport::Inband));
    world.at(3000, Act::Answer(Some(SDP.to_owned())));
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::SuspectMachine));
    assert!(world.play_times_ms().is_empty());
}

#[test]
fn the_answer_of_an_18x_serves_when_the_2xx_has_none() {
    let mut world = early();
    world.does(Act::Answer(None));
    world.run_for(3000);
    assert_eq!(world.play_times_ms().len(), 1);
    assert_eq!(world.seen(|seen| matches!(seen, Seen::Start(_))).len(), 1);
    world.press('#');
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::KeyConfirmed));
}

#[test]
fn another_answer_in_the_2xx_is_followed() {
    let mut world = early();
    world.does(Act::Answer(Some(SDP.replace("30000", "30008"))));
    world.run_for(100);
    assert_eq!(world.stream().unwrap().remote, address("192.0.2.20:30008"));
    assert_eq!(world.seen(|seen| matches!(seen, Seen::Update(_))).len(), 1);
    world.run_out();
}

#[test]
fn an_early_answer_that_cannot_be_read_waits_for_the_2xx() {
    let mut world = World::new(spec(Method::PressKey));
    world.at(300, Act::Provisional(183, Some("v=0 nonsense".to_owned())));
    world.at(900, Act::Answer(Some(SDP.to_owned())));
    world.run_to(2000);
    assert_eq!(
        world.stages(),
        [Stage::Ringing, Stage::Answered, Stage::Prompting]
    );
    world.run_out();
}

#[test]
fn ringback_before_a_dead_answer_is_not_the_callee() {
    for hangs_up in [true, false] {
        let mut world = early();
        world.does(Act::Answer(Some(SDP.to_owned())));
        // The last of the early media waited in the leg's queue.
        world.does(Act::Media(MediaEvent::FirstPacket));
        if hangs_up {
            world.run_for(3000);
            world.does(Act::Bye);
        }
        world.run_out();
        assert_eq!(world.reason(), Some(Reason::MediaFailed), "hangs up: {hangs_up}");
        assert_eq!(world.seen(|seen| *seen == Seen::Answered).len(), 1);
    }
}

#[test]
fn a_callee_heard_after_ringback_has_hung_up_or_said_nothing() {
    for (hangs_up, reason) in [(true, Reason::HungUp), (false, Reason::NoInput)] {
        let mut world = early();
        world.does(Act::Answer(Some(SDP.to_owned())));
        world.run_for(50);
        world.does(Act::Media(MediaEvent::Heard));
        if hangs_up {
            world.run_for(3000);
            world.does(Act::Bye);
        }
        world.run_out();
        assert_eq!(world.reason(), Some(reason));
    }
}

#[test]
fn an_announcement_and_then_480_is_no_answer() {
    let mut world = early();
    world.does(Act::Reject(480, vec![]));
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::NoAnswer));
    assert_eq!(world.finished().unwrap().1.quality.packets_sent, 100);
}

#[test]
fn a_forwarded_call_says_so_in_its_report() {
    let mut world = World::new(spec(Method::PressKey));
    world.at(100, Act::Provisional(181, None));
    world.at(300, Act::Provisional(180, None));
    world.at(
        900,
        Act::Reject(486, vec![("Warning", "399 pbx.example \"Do not disturb\"")]),
    );
    world.run_to(2000);
    let report = &world.finished().unwrap().1;
    let by = report.forwarded.as_ref().map(|forwarded| forwarded.by);
    assert_eq!(by, Some(crate::model::ForwardedBy::Status181));
    assert_eq!(report.flags, ["forwarded"]);
    assert_eq!(report.cause.reason_text.as_deref(), Some("399 Do not disturb"));
    world.run_out();
}
