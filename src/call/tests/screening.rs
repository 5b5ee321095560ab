//! What is heard besides keys: certain findings end a call, guesses name one that had no key.
use super::*;
use crate::media::command::{MediaEvent, Screening, Sign};
use crate::model::{Extension, HungUpBy, Reason, ScreeningMode};

use super::seen::Seen;

fn heard(sign: Sign) -> Act {
    Act::Media(MediaEvent::Screened(Screening {
        sign,
        at_ms: 5000,
        first_speech_ms: 4000,
        tone: None,
    }))
}

/// By default a machine ends the call.
fn named(method: Method) -> World {
    World::named(spec(method))
}

fn under(mode: ScreeningMode, method: Method) -> World {
    let mut spec = spec(method);
    spec.script.screening = mode;
    World::named(spec)
}

/// The contract's bound from a verdict to the BYE.
const LEFT_WITHIN_MS: u64 = 200;

#[test]
fn a_machine_is_left_at_once_and_without_a_word() {
    for method in [
        Method::PressKey,
        Method::RandomKey,
        Method::MatchCode,
        Method::SpeakCode,
    ] {
        for (sign, reason, flag) in [
            (Sign::Beep, Reason::Voicemail, "beep"),
            (Sign::Sit, Reason::Unreachable, "sit_tones"),
            (Sign::Fax, Reason::SuspectMachine, "fax_tones"),
        ] {
            let mut world = named(method);
            world.does(heard(sign));
            // What the media queue takes, and no more: stop, verdict, BYE.
            world.run_for(world.queue_ms);
            assert_eq!(world.reason(), Some(reason), "{method}");
            assert_eq!(world.sent("BYE"), 1, "{method}");
            world.run_out();
            assert_eq!(world.decided().unwrap().2.flags, [flag]);
        }
    }
}

#[test]
fn the_prompt_stops_and_bye_leaves_within_200_ms_of_the_verdict() {
    // Before the first word, in the middle of the sentence, after it, and in the middle of the second play.
    for at_ms in [1400, 2500, 4500, 9500] {
        let mut world = World::answered(spec(Method::PressKey));
        world.queue_ms = 150;
        world.run_to(at_ms);
        let plays = world.play_times_ms();
        world.does(heard(Sign::Beep));
        world.run_out();
        let closed = world.seen(|seen| *seen == Seen::Close);
        let left = world.seen(|seen| *seen == Seen::Sent("BYE".to_owned()));
        assert_eq!((closed.len(), left.len()), (1, 1), "{at_ms}");
        for done_ms in [closed[0], left[0]] {
            assert!(
                (at_ms..=at_ms + LEFT_WITHIN_MS).contains(&done_ms),
                "{at_ms}: {done_ms}"
            );
        }
        assert_eq!(world.play_times_ms(), plays, "{at_ms}: no goodbye, no message");
        let report = world.finished().unwrap().1;
        assert_eq!((report.key, report.cause.hung_up_by), (None, Some(HungUpBy::Us)));
    }
}

#[test]
fn what_a_machine_answered_is_not_dialled_again() {
    for sign in [Sign::Beep, Sign::Sit, Sign::Fax] {
        let mut world = named(Method::PressKey);
        world.does(heard(sign));
        world.run_out();
        let (_, report, next_trunk) = world.finished().unwrap();
        assert!(!next_trunk, "{sign:?}: a telephone was answered");
        assert_eq!(report.cause.sip_status, Some(200), "{sign:?}");
        assert_eq!(world.sent("INVITE"), 1, "{sign:?}");
    }
}

#[test]
fn a_key_before_the_verdict_wins_and_one_after_it_does_not() {
    // Both in one instant: the order in which the leg told them decides.
    let mut world = named(Method::PressKey);
    world.press('#');
    world.does(heard(Sign::Beep));
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::KeyConfirmed));
    assert!(world.decided().unwrap().2.flags.is_empty());
    let mut world = named(Method::PressKey);
    world.does(heard(Sign::Beep));
    world.press('#');
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::Voicemail));
}

#[test]
fn a_code_that_is_being_spoken_is_not_cut_off() {
    let mut world = named(Method::SpeakCode);
    world.press('1');
    world.run_for(300);
    world.does(heard(Sign::Beep));
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::CodePlayed));
}

#[test]
fn a_guess_ends_nothing_and_names_a_call_without_a_key() {
    for (sign, reason) in [
        (Sign::LongGreeting, Reason::Voicemail),
        (Sign::Robot, Reason::CallScreened),
        (Sign::Person, Reason::NoInput),
    ] {
        let mut world = named(Method::PressKey);
        world.does(heard(Sign::LongGreeting));
        world.does(heard(sign));
        world.run_for(4000);
        assert_eq!(world.reason(), None, "{sign:?}");
        world.run_out();
        assert_eq!(world.reason(), Some(reason), "{sign:?}");
        let flags: Vec<&str> = sign.as_flag().into_iter().collect();
        assert_eq!(world.decided().unwrap().2.flags, flags);
    }
    let mut world = named(Method::PressKey);
    world.does(heard(Sign::Robot));
    world.press('#');
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::KeyConfirmed));
}

#[test]
fn a_profile_may_only_label() {
    for (sign, reason) in [
        (Sign::Beep, Reason::Voicemail),
        (Sign::Fax, Reason::SuspectMachine),
        (Sign::LongGreeting, Reason::Voicemail),
        (Sign::Robot, Reason::CallScreened),
    ] {
        let mut world = under(ScreeningMode::Label, Method::PressKey);
        world.does(heard(sign));
        world.run_for(4000);
        assert_eq!(world.reason(), None, "it ends nothing: {sign:?}");
        world.run_out();
        assert_eq!(world.reason(), Some(reason), "{sign:?}");
        assert_eq!(world.decided().unwrap().2.flags, [sign.as_flag().unwrap()]);
    }
    let mut world = under(ScreeningMode::Label, Method::PressKey);
    world.does(heard(Sign::Beep));
    world.press('#');
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::KeyConfirmed));
}

#[test]
fn a_profile_may_not_listen() {
    for (mode, times) in [
        (ScreeningMode::End, 1),
        (ScreeningMode::Label, 1),
        (ScreeningMode::Off, 0),
    ] {
        let world = under(mode, Method::PressKey);
        assert_eq!(world.seen(|seen| *seen == Seen::Screen).len(), times, "{mode}");
    }
    // What a leg tells all the same means nothing.
    let mut world = under(ScreeningMode::Off, Method::PressKey);
    world.does(heard(Sign::Beep));
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::NoInput));
}

#[test]
fn a_machine_before_the_extension_is_expected_and_the_one_behind_it_is_not() {
    let mut spec = spec(Method::PressKey);
    spec.extension = Some(Extension::parse("1234", 2000).unwrap());
    let mut world = World::answered(spec);
    world.does(heard(Sign::Beep));
    world.run_for(4000);
    assert_eq!(world.reason(), None);
    assert_eq!(world.seen(|seen| *seen == Seen::Screen).len(), 2);
    world.does(heard(Sign::Beep));
    world.run_for(world.queue_ms);
    assert_eq!(world.reason(), Some(Reason::Voicemail));
    world.run_out();
    assert_eq!(world.decided().unwrap().2.flags, ["beep"]);
}
