//! Whatever is pressed, whenever: one verdict, in time, and nothing after the hangup.
use super::*;

fn task(entropy: &mut Entropy) -> Task {
    match entropy.below(4) {
        0 => Task::PressKey,
        1 => Task::RandomKey,
        2 => Task::MatchCode { code: code("4810") },
        _ => Task::SpeakCode { code: code("4810") },
    }
}

fn step(talk: &mut Talk, entropy: &mut Entropy) {
    match entropy.below(12) {
        0..=4 => {
            let symbols = ['#', '*', '0', '1', '4', '8', '7', 'A'];
            talk.press(symbols[usize::try_from(entropy.below(8)).unwrap()]);
        }
        5 => talk.give(Input::Answered),
        6 => talk.give(Input::DigitsSent),
        7 if entropy.below(8) == 0 => talk.give(Input::HungUp),
        8 => talk.give(Input::LineDone(usize::try_from(entropy.below(4)).unwrap())),
        9 => talk.give(Input::Timeout),
        10 => talk.give(Input::Committed),
        _ => {}
    }
    talk.advance(entropy.below(1800));
}

#[test]
fn every_answered_menu_gives_one_verdict_in_time_and_nothing_after_its_hangup() {
    for seed in 0..4000 {
        let mut entropy = Entropy::from_number(seed);
        let extension = (entropy.below(3) == 0).then(|| Extension::parse("12", 500).unwrap());
        let mut talk = Talk::with(task(&mut entropy), Script::default(), extension);
        talk.commits = entropy.below(4) != 0;
        talk.advance(entropy.below(3000));
        talk.give(Input::Answered);
        let answered_ms = talk.ms();
        for _ in 0..entropy.below(40) {
            step(&mut talk, &mut entropy);
        }
        talk.advance(61_000);
        let verdicts = talk
            .log
            .iter()
            .filter(|(_, output)| matches!(output, Output::Verdict(_)))
            .count();
        assert_eq!(verdicts, 1, "seed {seed}: {:?}", talk.log);
        assert!(talk.is_over(), "seed {seed}: {:?}", talk.log);
        let (last_ms, last) = talk.log.last().unwrap();
        assert!(*last == Output::Hangup || talk.reason().is_some(), "seed {seed}");
        assert!(*last_ms <= answered_ms + 60_000, "seed {seed}: {:?}", talk.log);
        let hangups = talk
            .log
            .iter()
            .filter(|(_, output)| *output == Output::Hangup)
            .count();
        assert!(hangups <= 1, "seed {seed}: {:?}", talk.log);
    }
}
