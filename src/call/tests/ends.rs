use std::time::Duration;

use super::seen::Seen;
use super::world::SDP;
use super::*;
use crate::ivr::phrase;
use crate::media::command::{MediaEvent, MediaRefusal};
use crate::media::voice::MissingClip;
use crate::model::{HungUpBy, KeyTransport, Reason};

#[test]
fn a_hangup_in_the_prompt_is_denied() {
    let mut world = World::answered(spec(Method::PressKey));
    world.run_to(2000);
    world.does(Act::Bye);
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::HungUp));
    let (_, report, _) = world.finished().unwrap();
    assert_eq!(report.cause.hung_up_by, Some(HungUpBy::Callee));
    assert_eq!(report.talk_ms, Some(1000));
    assert_eq!(report.quality.packets_sent, 100);
    assert_eq!((world.sent("200 BYE"), world.sent("BYE")), (1, 0));
}

#[test]
fn a_hangup_with_no_rtp_in_is_failed_media() {
    let mut world = World::new(spec(Method::PressKey));
    world.at(500, Act::Answer(Some(SDP.to_owned())));
    world.at(3000, Act::Bye);
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::MediaFailed));
}

#[test]
fn no_key_and_no_rtp_in_is_failed_media() {
    let mut world = World::new(spec(Method::PressKey));
    world.at(500, Act::Answer(Some(SDP.to_owned())));
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::MediaFailed));
}

#[test]
fn a_press_that_lies_in_the_media_queue_when_bye_arrives_is_judged_first() {
    let mut world = World::named(spec(Method::PressKey));
    world.queue_ms = 40;
    world.does(Act::Press('#', KeyTransport::Rfc4733));
    // The BYE takes 10 ms, the press 40.
    world.does(Act::Bye);
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::KeyConfirmed));
    assert_eq!(
        world.finished().unwrap().1.cause.hung_up_by,
        Some(HungUpBy::Callee)
    );
    assert_eq!(world.play_times_ms().len(), 1);
}

#[test]
fn the_end_of_the_naming_sentence_in_the_queue_names_the_key_behind_it() {
    let mut world = World::answered(spec(Method::PressKey));
    world.queue_ms = 100;
    // The sentence ends at 2710 ms; its report, and the press after it, come behind the BYE.
    world.at(2730, Act::Press('#', KeyTransport::Rfc4733));
    world.at(2750, Act::Bye);
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::KeyConfirmed));
}

#[test]
fn a_press_before_its_sentence_ended_does_not_count_in_the_queue_either() {
    let mut world = World::answered(spec(Method::PressKey));
    world.queue_ms = 100;
    world.at(2600, Act::Press('#', KeyTransport::Rfc4733));
    world.at(2620, Act::Bye);
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::HungUp));
}

#[test]
fn a_code_whose_end_lies_in_the_queue_was_delivered() {
    let mut world = World::named(spec(Method::SpeakCode));
    world.press('1');
    world.run_for(10);
    world.queue_ms = 60;
    world.run_for(2400 - 5);
    world.does(Act::Bye);
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::CodePlayed));
}

#[test]
fn a_hangup_in_the_middle_of_the_code_is_denied() {
    let mut world = World::named(spec(Method::SpeakCode));
    world.press('1');
    world.run_for(1200);
    world.does(Act::Bye);
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::HungUp));
}

#[test]
fn a_leg_that_does_not_report_its_end_holds_nobody_up() {
    let mut world = World::answered(spec(Method::PressKey));
    world.leg_reports = false;
    world.run_to(2000);
    world.does(Act::Bye);
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::HungUp));
    assert_eq!(world.finished().unwrap().0, 2010 + 250);

    let mut world = World::named(spec(Method::PressKey));
    world.leg_reports = false;
    world.press('#');
    world.run_out();
    let bye_ms = world.seen(|seen| *seen == Seen::Sent("BYE".to_owned()))[0];
    assert_eq!(world.finished().unwrap().0, bye_ms + 500);
}

#[test]
fn a_hangup_during_the_goodbye_changes_nothing() {
    let mut world = World::named(spec(Method::PressKey));
    world.press('#');
    world.run_for(300);
    world.does(Act::Bye);
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::KeyConfirmed));
    assert_eq!(world.sent("BYE"), 0);
}

#[test]
fn a_cancel_of_an_answered_call_is_a_bye() {
    let mut world = World::answered(spec(Method::PressKey));
    world.run_to(3000);
    world.does(Act::Cancel(Reason::Superseded));
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::Superseded));
    assert_eq!((world.sent("CANCEL"), world.sent("BYE")), (0, 1));
}

#[test]
fn the_life_of_a_verification_does_not_end_an_answered_call() {
    let mut world = World::named(spec(Method::PressKey));
    world.does(Act::Cancel(Reason::Ttl));
    assert_eq!(world.reason(), None);
    world.press('#');
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::KeyConfirmed));
}

#[test]
fn a_cancel_after_the_verdict_is_too_late() {
    let mut world = World::named(spec(Method::PressKey));
    world.press('#');
    world.run_for(100);
    world.does(Act::Cancel(Reason::ByClient));
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::KeyConfirmed));
}

#[test]
fn a_leg_that_cannot_obey_ends_the_call() {
    let mut world = World::answered(spec(Method::PressKey));
    let refusal = MediaRefusal::NoRoute(std::io::ErrorKind::NetworkUnreachable);
    world.does(Act::Media(MediaEvent::Refused(refusal)));
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::MediaFailed));
    assert_eq!(world.sent("BYE"), 1);
}

#[test]
fn an_icmp_error_does_not_end_a_call() {
    let mut world = World::named(spec(Method::PressKey));
    world.does(Act::Media(MediaEvent::Unreachable));
    world.press('#');
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::KeyConfirmed));
}

fn flags(world: &World) -> Vec<String> {
    world.finished().unwrap().1.flags.clone()
}

#[test]
fn a_host_that_refuses_our_rtp_while_it_talks_is_flagged() {
    let mut world = World::named(spec(Method::PressKey));
    world.does(Act::Media(MediaEvent::Unreachable));
    world.run_for(1500);
    world.press('#');
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::KeyConfirmed));
    assert!(flags(&world).iter().any(|flag| flag == "rtp_refused"));
}

#[test]
fn a_port_that_closes_with_its_call_is_not_flagged() {
    let mut world = World::named(spec(Method::PressKey));
    world.does(Act::Media(MediaEvent::Unreachable));
    world.run_for(20);
    world.does(Act::Bye);
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::HungUp));
    assert_eq!(flags(&world), [""; 0]);
}

#[test]
fn a_peer_that_got_next_to_nothing_of_ours_is_flagged_and_changes_no_outcome() {
    for (lost, fraction, flagged) in [
        (Some(400), Some(0.9), true),
        // A line that is bad, and a closing report of one packet.
        (Some(400), Some(0.2), false),
        (Some(1), Some(0.99), false),
        (None, None, false),
    ] {
        let mut world = World::named(spec(Method::PressKey));
        world.quality.peer_packets_lost = lost;
        world.quality.peer_fraction_lost = fraction;
        world.run_out();
        assert_eq!(world.reason(), Some(Reason::NoInput));
        let expected: &[&str] = if flagged { &["rtp_not_received"] } else { &[] };
        assert_eq!(flags(&world), expected, "{lost:?} {fraction:?}");
    }
}

#[test]
fn a_sentence_that_is_not_recorded_is_named_before_the_call_and_ends_it_otherwise() {
    let names: Vec<&str> = phrase::ALL
        .iter()
        .copied()
        .filter(|name| *name != phrase::FRAUD)
        .collect();
    let mut mute = spec(Method::PressKey);
    mute.voice = Arc::new(voice(&names));
    assert!(matches!(
        mute.check(),
        Err(SpecError::Voice(MissingClip::Phrase { ref phrase, .. })) if phrase == phrase::FRAUD
    ));
    let mut world = World::answered(mute);
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::Internal));
    assert_eq!(world.sent("BYE"), 1);
}

#[test]
fn a_missing_goodbye_ends_the_call_as_decided() {
    let names: Vec<&str> = phrase::ALL
        .iter()
        .copied()
        .filter(|name| *name != phrase::CONFIRMED)
        .collect();
    let mut mute = spec(Method::PressKey);
    mute.voice = Arc::new(voice(&names));
    let mut world = World::named(mute);
    world.press('#');
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::KeyConfirmed));
}

#[test]
fn specs_that_cannot_be_called_are_refused_by_name() {
    assert_eq!(spec(Method::PressKey).check(), Ok(()));
    assert_eq!(spec(Method::SpeakCode).check(), Ok(()));
    for bad in ["", "123", "123456789", "12*4"] {
        let mut short = spec(Method::MatchCode);
        short.code = code(bad);
        assert!(matches!(short.check(), Err(SpecError::Code { .. })), "{bad}");
    }
    let mut none = spec(Method::PressKey);
    none.codecs.clear();
    assert_eq!(none.check(), Err(SpecError::NoCodec));
}

#[test]
fn an_answered_call_is_settled_when_its_bye_has_been_answered() {
    let mut world = World::answered(spec(Method::PressKey));
    world.run_to(2000);
    world.does(Act::Cancel(Reason::ByClient));
    assert_eq!(world.sent("BYE"), 1);
    assert!(!world.call.is_settled());
    world.run_for(100);
    assert!(world.call.is_settled());
    world.run_out();
}

#[test]
fn a_dialog_that_the_network_lost_closes_the_leg_before_its_bye_and_nobody_hung_up() {
    let mut spec = spec(Method::PressKey);
    // 64·T1 without an ACK, before the menu has given up.
    spec.invite.timers.t1 = Duration::from_millis(100);
    let mut world = World::answered(spec);
    world.run_to(2000);
    world.does(Act::Offer(SDP.replace("o=- 1 1", "o=- 1 2")));
    world.peer_hears = false;
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::TrunkDown));
    let (_, report, _) = world.finished().unwrap();
    assert_eq!(report.cause.hung_up_by, Some(HungUpBy::Network));
    let place = |wanted: &Seen| world.log.iter().position(|(_, seen)| seen == wanted).unwrap();
    assert!(
        place(&Seen::Close) < place(&Seen::Sent("BYE".to_owned())),
        "{:#?}",
        world.log
    );
}
