use super::*;

#[test]
fn the_confirm_key_after_the_naming_sentence_approves() {
    let mut talk = Talk::named(Task::PressKey);
    talk.advance(300);
    talk.press('#');
    let verdict = talk.verdict().unwrap();
    assert_eq!(verdict.reason, Reason::KeyConfirmed);
    let key = verdict.key.unwrap();
    assert_eq!((key.digit, key.transport), (Digit::POUND, KeyTransport::Rfc4733));
    // The naming sentence ended one line before the play did.
    assert_eq!(u64::from(key.delay_ms), LINE_MS + 300);
    assert_eq!(talk.plays().last().unwrap(), &[phrase::CONFIRMED]);
}

#[test]
fn the_confirm_key_barges_in_as_soon_as_its_sentence_has_ended() {
    let mut talk = Talk::new(Task::PressKey);
    talk.give(Input::Answered);
    talk.advance(700 + LINE_MS);
    talk.press('#');
    assert_eq!(talk.reason(), Some(Reason::KeyConfirmed));
    assert_eq!(talk.verdict().unwrap().key.unwrap().delay_ms, 0);
    assert!(talk.is_stopped());
}

#[test]
fn once_named_the_key_counts_in_the_middle_of_a_repeated_play() {
    let mut talk = Talk::named(Task::PressKey);
    talk.advance(5000 + 100);
    assert_eq!(talk.plays().len(), 2);
    talk.press('#');
    assert_eq!(talk.reason(), Some(Reason::KeyConfirmed));
}

#[test]
fn no_key_in_three_plays_ends_with_no_input_and_its_goodbye() {
    let mut talk = Talk::new(Task::PressKey);
    talk.give(Input::Answered);
    talk.advance(60_000);
    assert_eq!(talk.reason(), Some(Reason::NoInput));
    assert_eq!(
        talk.plays(),
        [
            vec![phrase::CONFIRM, phrase::FRAUD],
            vec![phrase::CONFIRM],
            vec![phrase::CONFIRM],
            vec![phrase::NO_INPUT],
        ]
    );
    // First word after 700 ms; a key is awaited for 5 s after each play.
    assert_eq!(talk.play_times_ms(), [700, 9_700, 16_700, 23_700]);
    assert!(talk.is_over());
}

#[test]
fn the_repeat_key_plays_again_at_once_and_the_confirm_key_still_counts() {
    let mut talk = Talk::named(Task::PressKey);
    talk.press('*');
    assert_eq!(
        talk.plays(),
        [vec![phrase::CONFIRM, phrase::FRAUD], vec![phrase::CONFIRM]]
    );
    talk.advance(100);
    talk.press('#');
    assert_eq!(talk.reason(), Some(Reason::KeyConfirmed));
}

#[test]
fn the_repeat_key_gives_no_fourth_play() {
    let mut talk = Talk::named(Task::PressKey);
    for _ in 0..5 {
        talk.press('*');
        talk.advance(1000);
    }
    assert_eq!(talk.plays().len(), 3);
    talk.advance(60_000);
    assert_eq!(talk.reason(), Some(Reason::NoInput));
}

#[test]
fn a_fraud_sentence_that_was_cut_short_is_said_again_and_then_no_more() {
    let mut talk = Talk::new(Task::PressKey);
    talk.give(Input::Answered);
    talk.advance(700 + LINE_MS + 500);
    talk.press('*');
    let whole = vec![phrase::CONFIRM, phrase::FRAUD];
    assert_eq!(talk.plays(), [whole.clone(), whole.clone()]);
    talk.advance(2 * LINE_MS);
    talk.press('*');
    assert_eq!(talk.plays(), [whole.clone(), whole, vec![phrase::CONFIRM]]);
    talk.press('0');
    talk.advance(500);
    talk.press('#');
    assert_eq!(talk.reason(), Some(Reason::FraudReported));
}

#[test]
fn zero_then_pound_within_three_seconds_reports_fraud_at_once() {
    for gap_ms in [50, 1000, 2999] {
        let mut talk = Talk::named(Task::PressKey);
        talk.press('0');
        assert_eq!(talk.reason(), None);
        talk.advance(gap_ms);
        talk.press('#');
        assert_eq!(talk.reason(), Some(Reason::FraudReported), "gap {gap_ms} ms");
        assert_eq!(talk.plays().last().unwrap(), &[phrase::FRAUD_REPORTED]);
    }
}

#[test]
fn a_pound_later_than_three_seconds_after_zero_confirms() {
    let mut talk = Talk::named(Task::PressKey);
    talk.press('0');
    talk.advance(3100);
    assert_eq!(
        talk.plays().last().unwrap(),
        &[phrase::WRONG_KEY, phrase::CONFIRM]
    );
    talk.press('#');
    assert_eq!(talk.reason(), Some(Reason::KeyConfirmed));
}

#[test]
fn a_pound_within_three_seconds_after_zero_never_approves_even_with_a_key_between() {
    let mut talk = Talk::named(Task::PressKey);
    talk.press('0');
    talk.advance(500);
    talk.press('*');
    talk.advance(500);
    talk.press('#');
    assert_ne!(talk.reason(), Some(Reason::KeyConfirmed));
    talk.advance(60_000);
    assert_ne!(talk.reason(), Some(Reason::KeyConfirmed));
}

#[test]
fn the_fraud_keys_count_only_after_the_fraud_sentence() {
    let mut talk = Talk::new(Task::PressKey);
    talk.give(Input::Answered);
    talk.advance(700 + LINE_MS + 100);
    talk.type_keys("0#", 200);
    assert_eq!(talk.reason(), None);
    assert_eq!(
        talk.plays().last().unwrap(),
        &[phrase::PLEASE_LISTEN, phrase::CONFIRM, phrase::FRAUD]
    );
    talk.advance(3 * LINE_MS);
    talk.type_keys("0#", 200);
    assert_eq!(talk.reason(), Some(Reason::FraudReported));
}

#[test]
fn a_report_begun_in_the_fraud_sentence_and_ended_after_it_counts() {
    let mut talk = Talk::new(Task::PressKey);
    talk.give(Input::Answered);
    talk.advance(700 + 2 * LINE_MS - 500);
    talk.press('0');
    talk.advance(600);
    talk.press('#');
    assert_eq!(talk.reason(), Some(Reason::FraudReported));
}

#[test]
fn without_a_fraud_sentence_the_report_counts_after_the_naming_sentence() {
    let script = Script {
        fraud_sentence: false,
        ..Script::default()
    };
    let mut talk = Talk::with(Task::PressKey, script, None);
    talk.give(Input::Answered);
    talk.advance(700 + LINE_MS);
    assert_eq!(talk.plays(), [[phrase::CONFIRM]]);
    talk.type_keys("0#", 300);
    assert_eq!(talk.reason(), Some(Reason::FraudReported));
}

#[test]
fn a_profile_without_fraud_keys_takes_zero_as_any_other_key() {
    let mut script = Script::default();
    script.keys.fraud = None;
    let mut talk = Talk::with(Task::PressKey, script, None);
    talk.give(Input::Answered);
    talk.advance(700 + LINE_MS);
    assert_eq!(talk.plays(), [[phrase::CONFIRM]]);
    talk.press('0');
    assert_eq!(
        talk.plays().last().unwrap(),
        &[phrase::WRONG_KEY, phrase::CONFIRM]
    );
}

#[test]
fn the_third_invalid_key_ends_the_call_with_a_goodbye() {
    let mut talk = Talk::named(Task::PressKey);
    for (symbol, plays) in [('5', 2), ('7', 3)] {
        talk.press(symbol);
        assert_eq!(talk.plays().len(), plays);
        assert_eq!(
            talk.plays().last().unwrap(),
            &[phrase::WRONG_KEY, phrase::CONFIRM]
        );
        talk.advance(1000);
    }
    talk.press('9');
    assert_eq!(talk.reason(), Some(Reason::WrongKey));
    assert_eq!(talk.plays().last().unwrap(), &[phrase::GOODBYE]);
}

#[test]
fn a_wrong_key_first_does_not_keep_the_right_one_from_confirming() {
    let mut talk = Talk::named(Task::PressKey);
    talk.press('7');
    talk.advance(1500);
    talk.press('#');
    assert_eq!(talk.reason(), Some(Reason::KeyConfirmed));
}

#[test]
fn an_invalid_key_after_the_last_play_is_named_wrong_and_waited_on() {
    let mut talk = Talk::new(Task::PressKey);
    talk.give(Input::Answered);
    talk.advance(16_700 + LINE_MS + 100);
    assert_eq!(talk.plays().len(), 3);
    talk.press('4');
    assert_eq!(talk.plays().last().unwrap(), &[phrase::WRONG_KEY]);
    talk.advance(LINE_MS + 4000);
    talk.press('#');
    assert_eq!(talk.reason(), Some(Reason::KeyConfirmed));
}

#[test]
fn every_key_is_configurable() {
    let mut script = Script::default();
    script.keys.confirm = Digit::from_char('1').unwrap();
    script.keys.repeat = Digit::from_char('2').unwrap();
    script.keys.fraud = Some(FraudKeys {
        first: Digit::from_char('9').unwrap(),
        second: Digit::from_char('8').unwrap(),
    });
    let start = || {
        let mut talk = Talk::with(Task::PressKey, script.clone(), None);
        talk.give(Input::Answered);
        talk.advance(700 + 2 * LINE_MS);
        talk
    };
    let mut talk = start();
    talk.press('1');
    assert_eq!(talk.reason(), Some(Reason::KeyConfirmed));
    let mut talk = start();
    talk.press('2');
    assert_eq!(talk.plays().len(), 2);
    let mut talk = start();
    talk.type_keys("98", 100);
    assert_eq!(talk.reason(), Some(Reason::FraudReported));
    // The confirm key shortly after the first fraud key is a wrong key, not a confirmation.
    let mut talk = start();
    talk.type_keys("91", 100);
    assert_eq!(talk.reason(), None);
}
