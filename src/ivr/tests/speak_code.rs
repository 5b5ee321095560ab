use super::*;

fn intro() -> Talk {
    Talk::named(Task::SpeakCode { code: code("481920") })
}

#[test]
fn the_code_is_spoken_twice_only_after_its_key_and_then_delivered() {
    let mut talk = intro();
    assert_eq!(talk.plays(), [[phrase::SPEAK_CODE_INTRO, phrase::FRAUD]]);
    talk.advance(400);
    talk.press('1');
    assert_eq!(talk.plays().last().unwrap(), &[phrase::CODE, phrase::CODE_AGAIN]);
    let spoken = talk.last_lines();
    assert!(
        spoken
            .iter()
            .all(|line| line.vars.get(phrase::VAR_CODE).map(String::as_str) == Some("481920"))
    );
    talk.advance(2 * LINE_MS - 1);
    assert_eq!(talk.reason(), None);
    talk.advance(1);
    let verdict = talk.verdict().unwrap();
    assert_eq!(verdict.reason, Reason::CodePlayed);
    assert_eq!(verdict.key.unwrap().digit.as_char(), '1');
    assert_eq!(u64::from(verdict.key.unwrap().delay_ms), LINE_MS + 400);
    assert_eq!(talk.plays().last().unwrap(), &[phrase::GOODBYE]);
}

#[test]
fn nobody_who_presses_nothing_hears_the_code() {
    let mut talk = intro();
    talk.advance(60_000);
    assert_eq!(talk.reason(), Some(Reason::NoInput));
    assert!(
        talk.plays()
            .iter()
            .flatten()
            .all(|phrase| *phrase != phrase::CODE)
    );
}

#[test]
fn a_hangup_before_the_end_of_the_code_is_denied() {
    let mut talk = intro();
    talk.press('1');
    talk.advance(2 * LINE_MS - 100);
    talk.give(Input::HungUp);
    assert_eq!(talk.reason(), Some(Reason::HungUp));
}

#[test]
fn a_hangup_after_the_end_of_the_code_changes_nothing() {
    let mut talk = intro();
    talk.press('1');
    talk.advance(2 * LINE_MS);
    talk.give(Input::HungUp);
    assert_eq!(talk.reason(), Some(Reason::CodePlayed));
    let verdicts = talk
        .log
        .iter()
        .filter(|(_, output)| matches!(output, Output::Verdict(_)))
        .count();
    assert_eq!(verdicts, 1);
}

#[test]
fn a_fraud_report_while_the_code_is_spoken_counts_at_once() {
    let mut talk = intro();
    talk.press('1');
    talk.advance(1000);
    talk.type_keys("0#", 300);
    assert_eq!(talk.reason(), Some(Reason::FraudReported));
}

#[test]
fn a_fraud_report_half_begun_when_the_code_ends_is_heard_out() {
    let mut talk = intro();
    talk.press('1');
    talk.advance(2 * LINE_MS - 200);
    talk.press('0');
    talk.advance(1000);
    assert_eq!(talk.reason(), None);
    talk.press('#');
    assert_eq!(talk.reason(), Some(Reason::FraudReported));

    let mut talk = intro();
    talk.press('1');
    talk.advance(2 * LINE_MS - 200);
    talk.press('0');
    talk.advance(3000);
    assert_eq!(talk.reason(), Some(Reason::CodePlayed));
}

#[test]
fn the_repeat_key_speaks_the_code_from_its_beginning() {
    let mut talk = intro();
    talk.press('1');
    talk.advance(1000);
    talk.press('*');
    talk.advance(2 * LINE_MS - 100);
    assert_eq!(talk.reason(), None);
    talk.advance(100);
    assert_eq!(talk.reason(), Some(Reason::CodePlayed));
}

#[test]
fn other_keys_are_invalid_before_the_code_and_ignored_over_it() {
    let mut talk = intro();
    talk.press('#');
    assert_eq!(
        talk.plays().last().unwrap(),
        &[phrase::WRONG_KEY, phrase::SPEAK_CODE_INTRO]
    );
    talk.advance(200);
    talk.press('1');
    talk.type_keys("5678", 100);
    talk.advance(2 * LINE_MS);
    assert_eq!(talk.reason(), Some(Reason::CodePlayed));
}

#[test]
fn an_early_reveal_key_reveals_nothing() {
    let mut talk = Talk::new(Task::SpeakCode { code: code("481920") });
    talk.give(Input::Answered);
    talk.advance(1000);
    talk.press('1');
    assert_eq!(
        talk.plays().last().unwrap(),
        &[phrase::PLEASE_LISTEN, phrase::SPEAK_CODE_INTRO, phrase::FRAUD]
    );
}
