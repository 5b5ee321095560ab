use super::seen::Seen;
use super::world::SDP;
use super::*;
use crate::model::{Extension, HungUpBy, KeyTransport, Reason, Stage};

#[test]
fn a_call_goes_from_ringing_to_a_confirmed_key_and_its_bye() {
    let mut world = World::named(spec(Method::PressKey));
    assert_eq!(
        world.stages(),
        [Stage::Ringing, Stage::Answered, Stage::Prompting]
    );
    world.press('#');
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::KeyConfirmed));
    let (_, report, next_trunk) = world.finished().unwrap();
    assert!(!next_trunk);
    assert_eq!(
        (report.key, report.key_transport),
        (Some('#'), Some(KeyTransport::Rfc4733))
    );
    assert_eq!(report.key_duration_ms, Some(100));
    assert_eq!(report.codec.as_deref(), Some("PCMU"));
    assert_eq!((report.pdd_ms, report.ring_ms), (Some(110), Some(900)));
    assert_eq!(report.cause.hung_up_by, Some(HungUpBy::Us));
    assert_eq!(report.cause.sip_status, Some(200));
    assert_eq!(report.quality.packets_sent, 100);
    assert!(report.talk_ms.unwrap() > 2800);
    assert_eq!(
        (world.sent("ACK"), world.sent("BYE"), world.sent("CANCEL")),
        (1, 1, 0)
    );
}

#[test]
fn the_first_word_comes_700_ms_after_the_2xx() {
    let world = World::named(spec(Method::PressKey));
    assert_eq!(world.play_times_ms(), [1010 + 700]);
}

#[test]
fn the_key_delay_counts_from_the_end_of_the_naming_sentence() {
    let mut world = World::answered(spec(Method::PressKey));
    // Brand and sentence last a second.
    world.run_to(1010 + 700 + 1000 + 1 + 250);
    world.press('#');
    world.run_out();
    assert_eq!(world.decided().unwrap().2.key_delay_ms, Some(250));
}

#[test]
fn the_goodbye_plays_after_the_commit_and_before_the_bye() {
    let mut world = World::named(spec(Method::PressKey));
    world.commit_ms = Some(800);
    world.press('#');
    world.run_out();
    let (decided_ms, ..) = world.decided().unwrap();
    let goodbye_ms = *world.play_times_ms().last().unwrap();
    assert_eq!(goodbye_ms, decided_ms + 800);
    let bye_ms = world.seen(|seen| *seen == Seen::Sent("BYE".to_owned()))[0];
    assert_eq!(bye_ms, goodbye_ms + 1000 + 1);
}

#[test]
fn an_outcome_that_is_never_durable_gets_no_goodbye() {
    let mut world = World::named(spec(Method::PressKey));
    world.commit_ms = None;
    world.press('#');
    world.run_out();
    assert_eq!(world.play_times_ms().len(), 1);
    let (decided_ms, ..) = world.decided().unwrap();
    assert_eq!(world.finished().unwrap().0, decided_ms + 5000 + 1);
}

#[test]
fn each_method_ends_as_it_should() {
    let mut world = World::named(spec(Method::MatchCode));
    for symbol in "481920#".chars() {
        world.press(symbol);
        world.run_for(300);
    }
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::CodeMatched));

    let mut world = World::named(spec(Method::SpeakCode));
    world.press('1');
    // Six digits of 200 ms, twice.
    world.run_for(2390);
    assert_eq!(world.reason(), None);
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::CodePlayed));
    assert_eq!(world.decided().unwrap().2.key_duration_ms, Some(100));

    let mut world = World::named(spec(Method::RandomKey));
    for symbol in "0#".chars() {
        world.press(symbol);
        world.run_for(300);
    }
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::FraudReported));
}

#[test]
fn an_answered_call_ends_within_sixty_seconds_of_the_2xx() {
    let mut long = spec(Method::PressKey);
    long.script.plays_max = 100;
    let mut world = World::answered(long);
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::NoInput));
    let bye_ms = world.seen(|seen| *seen == Seen::Sent("BYE".to_owned()))[0];
    assert_eq!(bye_ms, 1010 + 60_000);
}

#[test]
fn an_extension_is_dialled_before_the_menu() {
    let mut with_extension = spec(Method::PressKey);
    with_extension.extension = Some(Extension::parse("1234", 2000).unwrap());
    let mut world = World::answered(with_extension);
    world.run_to(10_000);
    let digits = world.seen(|seen| *seen == Seen::Digits("1234".to_owned()));
    assert_eq!(digits, [1010 + 2000]);
    assert_eq!(world.play_times_ms()[0], 1010 + 2000 + 800 + 700);
    world.run_out();
}

#[test]
fn a_2xx_without_sdp_after_no_other_ends_in_failed_media() {
    let mut world = World::new(spec(Method::PressKey));
    world.at(500, Act::Answer(None));
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::MediaFailed));
    assert_eq!((world.sent("ACK"), world.sent("BYE")), (1, 1));
    assert!(world.stream().is_none());
}

#[test]
fn an_answer_without_a_common_codec_is_a_codec_mismatch_with_bye() {
    for sdp in [
        SDP.replace("0 101", "18 101").replace("0 PCMU", "18 G729"),
        SDP.replace("m=audio 30000", "m=audio 0"),
        "v=0 nonsense".to_owned(),
    ] {
        let mut world = World::new(spec(Method::PressKey));
        world.at(500, Act::Answer(Some(sdp)));
        world.run_out();
        assert_eq!(world.reason(), Some(Reason::CodecMismatch));
        assert_eq!((world.sent("ACK"), world.sent("BYE")), (1, 1));
        assert!(!world.finished().unwrap().2);
    }
}

#[test]
fn lost_messages_change_no_outcome() {
    for seed in 0..40 {
        let mut world = World::seeded(spec(Method::PressKey), seed);
        world.loss_percent = 25;
        world.at(3000, Act::Provisional(180, None));
        world.at(9000, Act::Answer(Some(SDP.to_owned())));
        world.at(9050, Act::Media(crate::media::command::MediaEvent::Heard));
        for n in 0..30 {
            world.at(20_000 + n * 1500, Act::Press('#', KeyTransport::Rfc4733));
        }
        world.run_out();
        let reason = world.reason().unwrap();
        assert!(
            matches!(
                reason,
                Reason::KeyConfirmed | Reason::SuspectMachine | Reason::TrunkDown
            ),
            "seed {seed}: {reason}"
        );
        assert_eq!(reason == Reason::TrunkDown, world.sent("ACK") == 0, "seed {seed}");
    }
}
