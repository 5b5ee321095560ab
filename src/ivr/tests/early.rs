use super::*;

#[test]
fn one_early_key_is_asked_to_listen_and_hears_the_play_again() {
    let mut talk = Talk::new(Task::PressKey);
    talk.give(Input::Answered);
    talk.advance(1500);
    talk.press('#');
    assert_eq!(talk.reason(), None);
    assert_eq!(
        talk.plays(),
        [
            vec![phrase::CONFIRM, phrase::FRAUD],
            vec![phrase::PLEASE_LISTEN, phrase::CONFIRM, phrase::FRAUD],
        ]
    );
    talk.advance(2 * LINE_MS);
    talk.press('#');
    assert_eq!(talk.reason(), Some(Reason::KeyConfirmed));
}

#[test]
fn the_replay_after_an_early_key_takes_no_play_away() {
    let mut talk = Talk::new(Task::PressKey);
    talk.give(Input::Answered);
    talk.advance(1500);
    talk.press('#');
    talk.advance(60_000);
    assert_eq!(talk.reason(), Some(Reason::NoInput));
    let naming = talk
        .plays()
        .iter()
        .filter(|play| play.contains(&phrase::CONFIRM))
        .count();
    assert_eq!(naming, 4);
}

#[test]
fn a_second_early_key_is_a_machine() {
    let mut talk = Talk::new(Task::PressKey);
    talk.give(Input::Answered);
    talk.advance(1000);
    talk.press('#');
    talk.advance(2000);
    talk.press('#');
    let verdict = talk.verdict().unwrap();
    assert_eq!(
        (verdict.reason, &verdict.goodbye),
        (Reason::SuspectMachine, &None)
    );
    assert!(talk.is_stopped() && talk.is_over());
}

#[test]
fn a_key_in_the_silence_before_the_first_word_opens_the_play_with_please_listen() {
    let mut talk = Talk::new(Task::PressKey);
    talk.give(Input::Answered);
    talk.advance(300);
    talk.press('#');
    talk.advance(400);
    assert_eq!(
        talk.plays(),
        [[phrase::PLEASE_LISTEN, phrase::CONFIRM, phrase::FRAUD]]
    );
}

#[test]
fn two_different_digits_within_a_second_before_the_naming_sentence_are_a_machine() {
    let mut talk = Talk::new(Task::PressKey);
    talk.give(Input::Answered);
    talk.advance(100);
    talk.type_keys("12", 150);
    assert_eq!(talk.reason(), Some(Reason::SuspectMachine));
    assert!(talk.plays().is_empty());
}

#[test]
fn two_different_digits_within_a_second_in_early_media_are_a_machine_once_answered() {
    let mut talk = Talk::new(Task::PressKey);
    talk.type_keys("1#", 200);
    assert_eq!(talk.reason(), None);
    talk.advance(5000);
    talk.give(Input::Answered);
    assert_eq!(talk.reason(), Some(Reason::SuspectMachine));
}

#[test]
fn a_key_in_early_media_never_confirms() {
    let mut talk = Talk::new(Task::PressKey);
    talk.press('#');
    talk.advance(3000);
    talk.give(Input::Answered);
    talk.advance(700 + 2 * LINE_MS + 1000);
    assert_eq!(talk.reason(), None);
    talk.press('#');
    assert_eq!(talk.reason(), Some(Reason::KeyConfirmed));
}

#[test]
fn a_tone_before_the_answer_that_still_sounds_after_it_is_a_machine() {
    let mut talk = Talk::new(Task::PressKey);
    let key = Key {
        digit: Digit::POUND,
        transport: KeyTransport::Inband,
        started_at: talk.now,
        at: talk.now,
    };
    talk.give(Input::Press(key));
    talk.advance(100);
    talk.give(Input::Answered);
    assert_eq!(talk.reason(), Some(Reason::SuspectMachine));
}

#[test]
fn a_tone_begun_before_the_answer_and_certain_after_it_is_a_machine() {
    let mut talk = Talk::new(Task::PressKey);
    talk.advance(100);
    let started_at = talk.now;
    talk.advance(10);
    talk.give(Input::Answered);
    talk.advance(10);
    talk.give(Input::Press(Key {
        digit: Digit::POUND,
        transport: KeyTransport::Rfc4733,
        started_at,
        at: talk.now,
    }));
    assert_eq!(talk.reason(), Some(Reason::SuspectMachine));
}

#[test]
fn tones_before_the_answer_that_come_again_after_it_are_a_machine() {
    let mut talk = Talk::new(Task::PressKey);
    talk.press('#');
    talk.advance(3000);
    talk.give(Input::Answered);
    talk.advance(1000);
    talk.press('#');
    assert_eq!(talk.reason(), Some(Reason::SuspectMachine));
}

#[test]
fn a_greeting_with_all_twelve_tones_is_never_approved() {
    for task in [
        Task::PressKey,
        Task::RandomKey,
        Task::MatchCode { code: code("4819") },
        Task::SpeakCode { code: code("4819") },
    ] {
        for offset_ms in (0..12_000).step_by(370) {
            let mut talk = Talk::new(task.clone());
            talk.give(Input::Answered);
            talk.advance(offset_ms);
            for _ in 0..5 {
                talk.type_keys("1234567890*#", 200);
            }
            let reason = talk.reason();
            let early = offset_ms < 700 + LINE_MS;
            if early {
                assert_eq!(reason, Some(Reason::SuspectMachine), "{task:?} at {offset_ms} ms");
            }
            assert!(
                !matches!(reason, Some(Reason::CodeMatched)),
                "{task:?} at {offset_ms} ms"
            );
            match task {
                Task::RandomKey => assert_ne!(reason, Some(Reason::KeyConfirmed), "at {offset_ms} ms"),
                Task::PressKey => assert_eq!(reason, Some(Reason::SuspectMachine), "at {offset_ms} ms"),
                Task::MatchCode { .. } | Task::SpeakCode { .. } => {}
            }
        }
    }
}

/// SAFETY of `press_key` once its key was named: whatever the order, as long as `#` is not among the first two.
#[test]
fn all_twelve_tones_after_the_key_was_named_are_a_machine() {
    let orders = [
        "123456789*0#",
        "1234567890*#",
        "*0123456789#",
        "147*2580369#",
        "0*#987654321",
        "12#34567890*",
    ];
    for order in orders {
        for gap_ms in [60, 130, 250, 400, 500] {
            let mut talk = Talk::named(Task::PressKey);
            talk.advance(400);
            talk.type_keys(order, gap_ms);
            assert_eq!(
                talk.reason(),
                Some(Reason::SuspectMachine),
                "{order} every {gap_ms} ms"
            );
            assert!(talk.is_over(), "a machine is left without a word");
        }
    }
}

#[test]
fn a_report_of_fraud_in_a_burst_is_still_one() {
    let mut talk = Talk::named(Task::PressKey);
    talk.type_keys("*0#123456789", 250);
    assert_eq!(talk.reason(), Some(Reason::FraudReported));
}

#[test]
fn a_slow_scale_is_refused_as_wrong_keys() {
    let mut talk = Talk::named(Task::PressKey);
    talk.type_keys("123456789*0#", 800);
    assert_eq!(talk.reason(), Some(Reason::WrongKey));
}

#[test]
fn a_person_who_errs_once_or_twice_is_no_machine() {
    for (keys, gap_ms) in [
        // A neighbour of the key, hit first.
        ("9#", 100),
        ("8#", 600),
        ("99#", 200),
        ("89#", 600),
        ("78#", 1500),
        ("*#", 200),
        ("**#", 300),
    ] {
        let mut talk = Talk::named(Task::PressKey);
        talk.type_keys(keys, gap_ms);
        assert_eq!(
            talk.reason(),
            Some(Reason::KeyConfirmed),
            "{keys} every {gap_ms} ms"
        );
    }
}
