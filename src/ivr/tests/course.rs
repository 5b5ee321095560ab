use std::collections::BTreeMap;

use super::*;

fn extension() -> Extension {
    Extension::parse("1234", 2000).unwrap()
}

#[test]
fn the_first_word_comes_700_ms_after_the_answer() {
    let mut talk = Talk::new(Task::PressKey);
    talk.advance(10_000);
    assert!(talk.plays().is_empty());
    talk.give(Input::Answered);
    talk.advance(699);
    assert!(talk.plays().is_empty());
    talk.advance(1);
    assert_eq!(talk.plays().len(), 1);
}

#[test]
fn an_extension_is_dialled_after_its_wait_and_before_the_menu() {
    let mut talk = Talk::with(Task::PressKey, Script::default(), Some(extension()));
    talk.give(Input::Answered);
    talk.advance(1999);
    assert!(talk.log.is_empty());
    talk.advance(1);
    assert_eq!(
        talk.log,
        [(2000, Output::SendDigits(Digits::parse("1234").unwrap()))]
    );
    talk.advance(1000);
    talk.give(Input::DigitsSent);
    talk.advance(700);
    assert_eq!(
        talk.plays(),
        [[phrase::ALREADY_AT_EXTENSION, phrase::CONFIRM, phrase::FRAUD]]
    );
    talk.advance(2 * LINE_MS);
    talk.press('#');
    assert_eq!(talk.reason(), Some(Reason::KeyConfirmed));
}

#[test]
fn keys_heard_while_the_extension_is_dialled_are_our_own_echo() {
    let mut talk = Talk::with(Task::PressKey, Script::default(), Some(extension()));
    talk.give(Input::Answered);
    talk.advance(2000);
    talk.type_keys("1234", 150);
    assert_eq!(talk.reason(), None);
    talk.give(Input::DigitsSent);
    // The last one is heard a little after it was sent.
    talk.advance(150);
    talk.press('4');
    talk.advance(550);
    assert_eq!(talk.plays()[0][0], phrase::ALREADY_AT_EXTENSION);
}

#[test]
fn the_values_of_a_transaction_are_said_before_the_key_is_named() {
    let vars = BTreeMap::from([
        ("amount".to_owned(), "12.50".to_owned()),
        ("payee".to_owned(), "acme".to_owned()),
    ]);
    let config = MenuConfig {
        script: Arc::new(Script::default()),
        task: Task::PressKey,
        extension: None,
        transaction: Some(Masked::new(vars.clone())),
    };
    let mut talk = Talk::configured(config, 1);
    talk.give(Input::Answered);
    talk.advance(700);
    assert_eq!(
        talk.plays(),
        [[phrase::TRANSACTION, phrase::CONFIRM, phrase::FRAUD]]
    );
    assert_eq!(talk.last_lines()[0].vars, vars);
    talk.advance(LINE_MS + 100);
    talk.press('#');
    assert_eq!(talk.reason(), None);
}

#[test]
fn a_hangup_before_any_key_is_denied() {
    let mut talk = Talk::new(Task::PressKey);
    talk.give(Input::Answered);
    talk.advance(1500);
    talk.give(Input::HungUp);
    let verdict = talk.verdict().unwrap();
    assert_eq!(
        (verdict.reason, verdict.key, &verdict.goodbye),
        (Reason::HungUp, None, &None)
    );
    assert!(talk.is_over());
}

#[test]
fn the_goodbye_waits_for_the_commit() {
    let mut talk = Talk::named(Task::PressKey);
    talk.commits = false;
    talk.press('#');
    talk.advance(3000);
    assert_eq!(talk.plays().len(), 1);
    talk.give(Input::Committed);
    assert_eq!(talk.plays().last().unwrap(), &[phrase::CONFIRMED]);
    talk.advance(LINE_MS);
    assert_eq!(talk.log.last().unwrap().1, Output::Hangup);
}

#[test]
fn a_commit_that_never_comes_ends_the_call_without_a_goodbye() {
    let mut talk = Talk::named(Task::PressKey);
    talk.commits = false;
    talk.press('#');
    talk.advance(5000);
    assert_eq!(talk.plays().len(), 1);
    assert!(talk.is_over());
}

#[test]
fn a_profile_without_goodbye_hangs_up_at_the_verdict() {
    let script = Script {
        goodbye: false,
        ..Script::default()
    };
    let mut talk = Talk::with(Task::PressKey, script, None);
    talk.give(Input::Answered);
    talk.advance(700 + 2 * LINE_MS);
    talk.press('#');
    assert_eq!(talk.verdict().unwrap().goodbye, None);
    assert!(talk.is_over());
}

#[test]
fn an_answered_call_lasts_sixty_seconds_at_most() {
    let script = Script {
        plays_max: 200,
        ..Script::default()
    };
    let mut talk = Talk::with(Task::PressKey, script, None);
    talk.give(Input::Answered);
    talk.advance(59_999);
    assert_eq!(talk.reason(), None);
    talk.advance(1);
    let verdict = talk.verdict().unwrap();
    assert_eq!((verdict.reason, &verdict.goodbye), (Reason::NoInput, &None));
    assert!(talk.is_over());
}

#[test]
fn media_that_never_reports_an_end_is_given_up_after_sixty_seconds() {
    let mut talk = Talk::new(Task::PressKey);
    talk.give(Input::Answered);
    talk.advance(700);
    talk.playing = None;
    talk.advance(60_000);
    assert_eq!(talk.reason(), Some(Reason::NoInput));
    assert!(talk.is_over());
}

#[test]
fn a_lost_report_of_one_line_does_not_leave_its_key_unnamed() {
    let mut talk = Talk::new(Task::PressKey);
    talk.give(Input::Answered);
    talk.advance(700);
    talk.playing = None;
    talk.advance(4000);
    talk.give(Input::PlayDone);
    talk.press('#');
    assert_eq!(talk.reason(), Some(Reason::KeyConfirmed));
}

#[test]
fn every_phrase_that_a_menu_plays_is_in_the_list() {
    for task in [
        Task::PressKey,
        Task::RandomKey,
        Task::MatchCode { code: code("1234") },
    ] {
        let mut talk = Talk::named(task);
        talk.type_keys("55#", 2500);
        talk.advance(60_000);
        assert!(
            talk.plays()
                .iter()
                .flatten()
                .all(|name| phrase::ALL.contains(name))
        );
    }
}
