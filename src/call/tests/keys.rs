use super::*;
use crate::media::command::MediaEvent;
use crate::media::press::Press;
use crate::model::{Digit, KeyTransport, Reason, RtpSource};

#[test]
fn a_pound_in_sip_info_confirms_with_its_transport() {
    for (content_type, body) in [
        ("application/dtmf-relay", "Signal=#\r\nDuration=160\r\n"),
        ("application/dtmf", "#"),
    ] {
        let mut world = World::named(spec(Method::PressKey));
        world.does(Act::Info(content_type, body));
        world.run_out();
        assert_eq!(world.reason(), Some(Reason::KeyConfirmed), "{content_type}");
        let report = world.decided().unwrap().2;
        assert_eq!(report.key_transport, Some(KeyTransport::Info));
        assert_eq!(world.sent("200 INFO"), 1);
    }
}

#[test]
fn the_length_of_a_key_in_info_is_kept() {
    let mut world = World::named(spec(Method::PressKey));
    world.does(Act::Info(
        "application/dtmf-relay",
        "Signal=#\r\nDuration=160\r\n",
    ));
    world.run_out();
    assert_eq!(world.decided().unwrap().2.key_duration_ms, Some(160));
}

#[test]
fn info_before_the_answer_never_confirms() {
    let mut world = World::new(spec(Method::PressKey));
    world.at(100, Act::Provisional(180, None));
    world.at(500, Act::Info("application/dtmf-relay", "Signal=#\r\n"));
    world.at(1000, Act::Answer(Some(world::SDP.to_owned())));
    world.at(1050, Act::Media(MediaEvent::Heard));
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::NoInput));
}

#[test]
fn other_info_bodies_are_answered_and_mean_nothing() {
    let mut world = World::named(spec(Method::PressKey));
    world.does(Act::Info("application/dtmf-relay", "Signal=##\r\n"));
    world.run_for(1000);
    assert_eq!(world.reason(), None);
    assert_eq!(world.sent("200 INFO"), 1);
}

#[test]
fn tones_where_events_were_agreed_are_flagged() {
    let mut world = World::named(spec(Method::PressKey));
    let press = Press {
        digit: Digit::POUND,
        transport: KeyTransport::Inband,
        at: world.now,
        started_at: world.now,
        duration_ms: None,
        mismatch: true,
    };
    world.does(Act::Media(MediaEvent::Press(press)));
    world.run_out();
    let report = world.decided().unwrap().2;
    assert_eq!(report.key_transport, Some(KeyTransport::Inband));
    assert_eq!(report.flags, ["dtmf_mismatch"]);
}

#[test]
fn a_source_that_was_learnt_is_flagged_with_both_addresses() {
    let mut world = World::named(CallSpec {
        learn: true,
        ..spec(Method::PressKey)
    });
    assert!(world.stream().is_some_and(|stream| stream.learn));
    let (agreed, seen) = (address("10.0.0.7:4000"), address("192.0.2.20:31000"));
    world.does(Act::Media(MediaEvent::SourceLearnt { agreed, source: seen }));
    world.press('#');
    world.run_out();
    let report = world.decided().unwrap().2;
    assert_eq!(report.flags, ["rtp_source_learned"]);
    assert_eq!(report.rtp_source, Some(RtpSource { agreed, seen }));
}

#[test]
fn the_length_of_an_earlier_press_is_not_that_of_the_deciding_one() {
    let mut world = World::named(spec(Method::PressKey));
    world.press('5');
    world.run_for(300);
    world.press('#');
    world.run_for(10);
    assert_eq!(world.decided().unwrap().2.key_duration_ms, None);
    world.run_out();
    assert_eq!(world.finished().unwrap().1.key_duration_ms, Some(100));
}

#[test]
fn digits_of_a_code_stand_in_no_report() {
    let mut world = World::named(spec(Method::MatchCode));
    for symbol in "481920#".chars() {
        world.press(symbol);
        world.run_for(200);
    }
    world.run_out();
    assert_eq!(world.finished().unwrap().1.key, Some('#'));
}

/// The last report lists what was played; a code has no name in it.
#[test]
fn what_was_played_is_proven_and_a_code_is_not_told() {
    let mut world = World::named(spec(Method::PressKey));
    world.does(Act::Info("application/dtmf", "#"));
    world.run_out();
    assert_eq!(world.decided().unwrap().2.prompts, []);
    let played = &world.finished().unwrap().1.prompts;
    assert!(played.len() > 1, "{played:?}");
    for clip in played {
        assert_eq!(clip.sha256.as_ref().map(String::len), Some(64), "{clip:?}");
        assert!(clip.played_ms <= clip.of_ms && clip.clip.is_some(), "{clip:?}");
    }
    let mut world = World::named(spec(Method::SpeakCode));
    world.does(Act::Info("application/dtmf", "1"));
    world.run_out();
    let played = &world.finished().unwrap().1.prompts;
    let hidden = played.iter().filter(|clip| clip.clip.is_none()).count();
    assert!(hidden >= 12, "{played:?}");
    assert!(
        played
            .iter()
            .all(|clip| clip.clip.is_some() == clip.sha256.is_some())
    );
}
