use super::*;

fn asked(digits: &str) -> Talk {
    Talk::named(Task::MatchCode { code: code(digits) })
}

#[test]
fn the_code_then_the_confirm_key_approves() {
    let mut talk = asked("481920");
    talk.type_keys("481920", 700);
    assert_eq!(talk.reason(), None);
    talk.press('#');
    let verdict = talk.verdict().unwrap();
    assert_eq!(verdict.reason, Reason::CodeMatched);
    assert_eq!(verdict.key.unwrap().digit, Digit::POUND);
    assert_eq!(talk.plays().last().unwrap(), &[phrase::CONFIRMED]);
}

#[test]
fn a_code_that_ends_in_zero_is_no_fraud_report() {
    let mut talk = asked("4810");
    talk.type_keys("4810#", 200);
    assert_eq!(talk.reason(), Some(Reason::CodeMatched));
}

#[test]
fn a_code_that_begins_with_zero_is_entered_like_any_other() {
    let mut talk = asked("0481");
    talk.type_keys("0481#", 200);
    assert_eq!(talk.reason(), Some(Reason::CodeMatched));
}

#[test]
fn an_entry_that_is_exactly_zero_reports_fraud() {
    for gap_ms in [100, 4000] {
        let mut talk = asked("4819");
        talk.type_keys("0#", gap_ms);
        assert_eq!(talk.reason(), Some(Reason::FraudReported), "gap {gap_ms} ms");
    }
}

#[test]
fn two_zeros_are_a_wrong_code() {
    let mut talk = asked("4819");
    talk.type_keys("00#", 200);
    assert_eq!(talk.reason(), None);
    assert_eq!(talk.plays().last().unwrap(), &[phrase::WRONG_CODE_RETRY]);
}

#[test]
fn one_wrong_code_may_be_tried_again_and_the_second_is_denied() {
    let mut talk = asked("4819");
    talk.type_keys("4818#", 200);
    assert_eq!(talk.plays().last().unwrap(), &[phrase::WRONG_CODE_RETRY]);
    talk.type_keys("4819#", 200);
    assert_eq!(talk.reason(), Some(Reason::CodeMatched));

    let mut talk = asked("4819");
    talk.type_keys("4818#4817#", 200);
    assert_eq!(talk.reason(), Some(Reason::WrongCode));
    assert_eq!(talk.plays().last().unwrap(), &[phrase::GOODBYE]);
}

#[test]
fn prefixes_longer_entries_and_nothing_at_all_are_wrong_codes() {
    for entry in ["#", "481#", "48191#", "481948194819481948194819#", "A819#"] {
        let mut talk = asked("4819");
        talk.type_keys(entry, 100);
        assert_eq!(
            talk.plays().last().unwrap(),
            &[phrase::WRONG_CODE_RETRY],
            "{entry}"
        );
    }
}

#[test]
fn the_first_digit_stops_the_prompt() {
    let mut talk = asked("4819");
    talk.advance(5000 + 100);
    assert_eq!(talk.plays().len(), 2);
    talk.press('4');
    assert!(talk.is_stopped());
}

#[test]
fn half_an_entry_is_forgotten_after_the_wait() {
    let mut talk = asked("4819");
    talk.type_keys("48", 200);
    talk.advance(5000);
    assert_eq!(talk.plays().len(), 2);
    talk.type_keys("4819#", 200);
    assert_eq!(talk.reason(), Some(Reason::CodeMatched));
}

#[test]
fn the_repeat_key_clears_the_entry() {
    let mut talk = asked("4819");
    talk.type_keys("99*4819#", 300);
    assert_eq!(talk.reason(), Some(Reason::CodeMatched));
}

#[test]
fn digits_typed_before_the_sentence_never_count() {
    let mut talk = Talk::new(Task::MatchCode { code: code("4444") });
    talk.give(Input::Answered);
    talk.advance(1000);
    talk.press('4');
    talk.advance(3 * LINE_MS);
    talk.type_keys("444#", 200);
    assert_eq!(talk.reason(), None);
    assert_eq!(talk.plays().last().unwrap(), &[phrase::WRONG_CODE_RETRY]);
}

#[test]
fn the_code_is_in_no_line_and_in_no_debug_text() {
    let mut talk = asked("481920");
    talk.type_keys("481921#481920#", 300);
    for (_, output) in &talk.log {
        if let Output::Play(lines) = output {
            assert!(lines.iter().all(|line| line.vars.is_empty()));
        }
        assert!(!format!("{output:?}").contains("4819"));
    }
    assert!(!format!("{:?}", talk.menu).contains("4819"));
}
