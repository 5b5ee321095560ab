use super::*;

#[test]
fn the_named_digit_alone_approves_after_the_quiet_time() {
    let mut talk = Talk::named(Task::RandomKey);
    talk.advance(500);
    let digit = talk.asked();
    talk.press(digit);
    talk.advance(699);
    assert_eq!(talk.reason(), None);
    talk.advance(1);
    let verdict = talk.verdict().unwrap();
    assert_eq!(verdict.reason, Reason::KeyConfirmed);
    assert_eq!(verdict.key.unwrap().digit.as_char(), digit);
    assert_eq!(u64::from(verdict.key.unwrap().delay_ms), LINE_MS + 500);
}

#[test]
fn the_digit_is_one_to_nine_and_differs_between_calls() {
    let mut seen = [0_u32; 10];
    for seed in 0..300 {
        let config = MenuConfig {
            script: Arc::new(Script::default()),
            task: Task::RandomKey,
            extension: None,
            transaction: None,
        };
        let mut talk = Talk::configured(config, seed);
        talk.give(Input::Answered);
        talk.advance(700);
        seen[talk.asked().to_digit(10).unwrap() as usize] += 1;
    }
    assert_eq!(seen[0], 0);
    assert!(seen[1..].iter().all(|count| *count > 10), "{seen:?}");
}

#[test]
fn the_confirm_key_of_other_methods_does_not_confirm() {
    let mut talk = Talk::named(Task::RandomKey);
    talk.press('#');
    talk.advance(1000);
    assert_eq!(talk.reason(), None);
    assert_eq!(talk.plays().last().unwrap(), &[phrase::WRONG_KEY, phrase::RANDOM]);
}

#[test]
fn another_key_within_700_ms_after_the_right_one_spoils_it() {
    let mut talk = Talk::named(Task::RandomKey);
    let (digit, wrong) = (talk.asked(), talk.wrong());
    talk.press(digit);
    talk.advance(650);
    talk.press(wrong);
    talk.advance(2000);
    assert_eq!(talk.reason(), None);
    assert_eq!(talk.plays().last().unwrap(), &[phrase::WRONG_KEY, phrase::RANDOM]);
    assert_ne!(talk.asked(), digit);
}

#[test]
fn another_key_within_a_second_before_the_right_one_spoils_it() {
    let mut talk = Talk::named(Task::RandomKey);
    let digit = talk.asked();
    talk.press('*');
    talk.advance(900);
    talk.press(digit);
    talk.advance(1000);
    assert_eq!(talk.reason(), None);
    assert_eq!(talk.plays().last().unwrap(), &[phrase::WRONG_KEY, phrase::RANDOM]);
}

#[test]
fn a_key_more_than_a_second_before_the_right_one_does_not_spoil_it() {
    let mut talk = Talk::named(Task::RandomKey);
    let digit = talk.asked();
    talk.press('*');
    talk.advance(1100);
    talk.press(digit);
    talk.advance(700);
    assert_eq!(talk.reason(), Some(Reason::KeyConfirmed));
}

#[test]
fn a_wrong_key_draws_a_new_digit_that_must_be_named_first() {
    let mut talk = Talk::named(Task::RandomKey);
    let first = talk.asked();
    talk.press(talk.wrong());
    let second = talk.asked();
    assert_ne!(second, first);
    // Past "wrong key" and the naming sentence.
    talk.advance(2 * LINE_MS);
    talk.press(second);
    talk.advance(700);
    assert_eq!(talk.reason(), Some(Reason::KeyConfirmed));
}

#[test]
fn the_new_digit_before_its_own_sentence_is_an_early_key() {
    let mut talk = Talk::named(Task::RandomKey);
    talk.press(talk.wrong());
    talk.advance(2500);
    talk.press(talk.asked());
    talk.advance(1000);
    assert_eq!(talk.reason(), None);
    assert_eq!(
        talk.plays().last().unwrap(),
        &[phrase::PLEASE_LISTEN, phrase::RANDOM]
    );
}

#[test]
fn the_second_wrong_key_is_denied() {
    let mut talk = Talk::named(Task::RandomKey);
    talk.press(talk.wrong());
    talk.advance(2 * LINE_MS + 100);
    talk.press(talk.wrong());
    assert_eq!(talk.reason(), Some(Reason::WrongKey));
    assert_eq!(talk.plays().last().unwrap(), &[phrase::GOODBYE]);
}

#[test]
fn three_keys_within_two_seconds_are_a_machine() {
    let mut talk = Talk::named(Task::RandomKey);
    talk.press('*');
    talk.advance(900);
    talk.press('*');
    talk.advance(900);
    talk.press('*');
    assert_eq!(talk.reason(), Some(Reason::SuspectMachine));
}

#[test]
fn zero_then_pound_reports_fraud_in_random_key_too() {
    let mut talk = Talk::named(Task::RandomKey);
    talk.type_keys("0#", 800);
    assert_eq!(talk.reason(), Some(Reason::FraudReported));
}

#[test]
fn a_lone_zero_is_a_wrong_key() {
    let mut talk = Talk::named(Task::RandomKey);
    talk.press('0');
    talk.advance(3000);
    assert_eq!(talk.plays().last().unwrap(), &[phrase::WRONG_KEY, phrase::RANDOM]);
}

#[test]
fn a_hangup_in_the_quiet_time_approves_since_no_other_key_can_come() {
    let mut talk = Talk::named(Task::RandomKey);
    talk.press(talk.asked());
    talk.advance(200);
    talk.give(Input::HungUp);
    let verdict = talk.verdict().unwrap();
    assert_eq!((verdict.reason, &verdict.goodbye), (Reason::KeyConfirmed, &None));
    assert!(talk.is_over());
}
