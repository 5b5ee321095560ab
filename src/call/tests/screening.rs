//! What is heard besides keys: certain findings end a call, guesses name one that had no key.
use super::*;
use crate::media::command::{MediaEvent, Screening, Sign};
use crate::model::{Extension, Reason, ScreeningMode};

use super::seen::Seen;

fn heard(sign: Sign) -> Act {
    Act::Media(MediaEvent::Screened(Screening {
        sign,
        at_ms: 5000,
        first_speech_ms: 4000,
        tone: None,
    }))
}

fn under(mode: ScreeningMode, method: Method) -> World {
    let mut spec = spec(method);
    spec.script.screening = mode;
    World::named(spec)
}

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
            let mut world = under(ScreeningMode::End, method);
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
fn a_key_before_the_verdict_wins_and_one_after_it_does_not() {
    let mut world = under(ScreeningMode::End, Method::PressKey);
    world.press('#');
    world.does(heard(Sign::Beep));
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::KeyConfirmed));
    assert!(world.decided().unwrap().2.flags.is_empty());
    let mut world = under(ScreeningMode::End, Method::PressKey);
    world.does(heard(Sign::Beep));
    world.press('#');
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::Voicemail));
}

#[test]
fn a_code_that_is_being_spoken_is_not_cut_off() {
    let mut world = under(ScreeningMode::End, Method::SpeakCode);
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
        let mut world = under(ScreeningMode::End, Method::PressKey);
        world.does(heard(Sign::LongGreeting));
        world.does(heard(sign));
        world.run_for(4000);
        assert_eq!(world.reason(), None, "{sign:?}");
        world.run_out();
        assert_eq!(world.reason(), Some(reason), "{sign:?}");
        let flags: Vec<&str> = sign.as_flag().into_iter().collect();
        assert_eq!(world.decided().unwrap().2.flags, flags);
    }
    let mut world = under(ScreeningMode::End, Method::PressKey);
    world.does(heard(Sign::Robot));
    world.press('#');
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::KeyConfirmed));
}

#[test]
fn a_profile_may_only_label_or_not_listen() {
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
    for (mode, times) in [
        (ScreeningMode::End, 1),
        (ScreeningMode::Label, 1),
        (ScreeningMode::Off, 0),
    ] {
        let world = under(mode, Method::PressKey);
        assert_eq!(world.seen(|seen| *seen == Seen::Screen).len(), times, "{mode}");
    }
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
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::Voicemail));
    assert_eq!(world.decided().unwrap().2.flags, ["beep"]);
}
