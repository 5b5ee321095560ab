//! A machine answered: what it ends, and what keys have decided before.
use super::*;

fn tasks() -> [Task; 4] {
    [
        Task::PressKey,
        Task::RandomKey,
        Task::MatchCode { code: code("481920") },
        Task::SpeakCode { code: code("481920") },
    ]
}

fn answered(task: Task) -> Talk {
    let mut talk = Talk::new(task);
    talk.give(Input::Answered);
    talk
}

fn machine() -> Input {
    Input::Machine(Reason::Voicemail)
}

#[test]
fn it_is_left_without_a_word_before_while_and_after_the_prompt_plays() {
    for task in tasks() {
        for (at_ms, plays) in [
            (300, false),
            (700 + LINE_MS / 2, true),
            (700 + 2 * LINE_MS + 300, false),
        ] {
            let mut talk = answered(task.clone());
            talk.advance(at_ms);
            let before = talk.log.len();
            talk.give(machine());
            let verdict = Output::Verdict(Verdict {
                reason: Reason::Voicemail,
                key: None,
                goodbye: None,
            });
            let mut expected = vec![(at_ms, verdict), (at_ms, Output::Hangup)];
            if plays {
                expected.insert(0, (at_ms, Output::Stop));
            }
            assert_eq!(talk.log[before..], expected, "{task:?} at {at_ms} ms");
            assert!(talk.is_over());
        }
    }
}

#[test]
fn the_key_wins_that_came_before_it_in_the_same_instant() {
    let wins = |task: Task, entry: &str, key: char, reason: Reason| {
        let mut talk = Talk::named(task.clone());
        talk.type_keys(entry, 200);
        talk.press(key);
        talk.give(machine());
        talk.advance(20_000);
        assert_eq!(talk.reason(), Some(reason), "{task:?}");
    };
    let [press, random, matches, speak] = tasks();
    wins(press, "", '#', Reason::KeyConfirmed);
    wins(matches, "481920", '#', Reason::CodeMatched);
    wins(speak, "", '1', Reason::CodePlayed);
    // The quiet time after the digit is not over yet.
    let mut talk = Talk::named(random);
    let digit = talk.asked();
    talk.press(digit);
    talk.give(machine());
    assert_eq!(talk.reason(), None);
    talk.advance(700);
    assert_eq!(talk.reason(), Some(Reason::KeyConfirmed));
}

#[test]
fn a_key_that_comes_after_it_is_nobodys() {
    let mut talk = Talk::named(Task::PressKey);
    talk.give(machine());
    talk.press('#');
    talk.advance(20_000);
    assert_eq!(talk.reason(), Some(Reason::Voicemail));
}

#[test]
fn half_a_fraud_report_is_heard_out() {
    let mut talk = Talk::named(Task::PressKey);
    talk.press('0');
    talk.give(machine());
    assert_eq!(talk.reason(), None);
    talk.advance(1000);
    talk.press('#');
    assert_eq!(talk.reason(), Some(Reason::FraudReported));
}
