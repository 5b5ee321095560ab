//! Whatever the peer, the leg and the shell do, in whatever order: one outcome, in time, and silence after `Close`.
use super::world::SDP;
use super::*;
use crate::media::command::{MediaEvent, MediaRefusal, Screening, Sign};
use crate::model::{Entropy, Extension, KeyTransport, QualityReport, Reason};

fn method(entropy: &mut Entropy) -> Method {
    Method::ALL[usize::try_from(entropy.below(4)).unwrap()]
}

fn sdp(entropy: &mut Entropy) -> String {
    match entropy.below(8) {
        0 => SDP.replace("30000", "30010"),
        1 => format!("{SDP}a=sendonly\r\n"),
        2 => SDP.replace("192.0.2.20\r\nt", "0.0.0.0\r\nt"),
        3 => SDP.replace("0 101", "18").replace("0 PCMU", "18 G729"),
        4 => "v=0\r\n".to_owned(),
        _ => SDP.to_owned(),
    }
}

fn media_event(entropy: &mut Entropy) -> MediaEvent {
    let id = entropy.u32() % 6;
    match entropy.below(9) {
        0 => MediaEvent::FirstPacket,
        8 => MediaEvent::Screened(screening(entropy)),
        1 => MediaEvent::ClipDone {
            id,
            index: usize::try_from(entropy.below(4)).unwrap(),
        },
        2 => MediaEvent::PlayDone { id },
        3 => MediaEvent::DigitsSent,
        4 => MediaEvent::Quality(QualityReport::default()),
        5 => MediaEvent::Unreachable,
        6 => MediaEvent::Heard,
        _ if entropy.below(6) == 0 => MediaEvent::Refused(MediaRefusal::NotStarted("Play")),
        _ => MediaEvent::UnnegotiatedEvents { payload_type: 101 },
    }
}

fn screening(entropy: &mut Entropy) -> Screening {
    let sign = match entropy.below(12) {
        0 => Sign::Beep,
        1 => Sign::Sit,
        2..=5 => Sign::LongGreeting,
        6..=8 => Sign::Robot,
        _ => Sign::Person,
    };
    Screening {
        sign,
        at_ms: 0,
        first_speech_ms: 0,
        tone: None,
    }
}

fn act(entropy: &mut Entropy) -> Act {
    let symbols = ['#', '*', '0', '1', '4', '8', 'A'];
    let symbol = symbols[usize::try_from(entropy.below(7)).unwrap()];
    match entropy.below(24) {
        0 => Act::Provisional(180, None),
        1 => Act::Provisional(183, Some(sdp(entropy))),
        2 | 3 => Act::Answer((entropy.below(6) != 0).then(|| sdp(entropy))),
        4 if entropy.below(6) == 0 => Act::Reject(480, vec![]),
        5 if entropy.below(6) == 0 => Act::Reject(503, vec![("Retry-After", "9")]),
        6 if entropy.below(4) == 0 => Act::Bye,
        7 => Act::Offer(sdp(entropy)),
        8 => Act::Info("application/dtmf-relay", "Signal=#\r\nDuration=100\r\n"),
        9..=15 => Act::Press(symbol, KeyTransport::Rfc4733),
        16 => Act::Press(symbol, KeyTransport::Inband),
        17 | 18 => Act::Media(media_event(entropy)),
        19 if entropy.below(8) == 0 => Act::Cancel(Reason::ByClient),
        20 if entropy.below(8) == 0 => Act::Cancel(Reason::Ttl),
        21 if entropy.below(12) == 0 => Act::TransportError,
        22 => Act::Committed,
        _ => Act::Media(MediaEvent::Heard),
    }
}

fn run(seed: u64) -> World {
    let mut entropy = Entropy::from_number(seed);
    let mut random = spec(method(&mut entropy));
    if entropy.below(4) == 0 {
        random.extension = Some(Extension::parse("12", 300).unwrap());
    }
    let mut world = World::seeded(random, seed);
    world.commit_ms = [Some(0), Some(30), Some(2000), None][usize::try_from(entropy.below(4)).unwrap()];
    world.queue_ms = entropy.below(60);
    world.leg_reports = entropy.below(5) != 0;
    world.loss_percent = [0, 0, 10, 40][usize::try_from(entropy.below(4)).unwrap()];
    world.peer_hears = entropy.below(20) != 0;
    let mut at_ms = 0;
    for _ in 0..entropy.below(60) {
        at_ms += entropy.below(1500);
        let act = act(&mut entropy);
        world.at(at_ms, act);
    }
    world.run_out();
    world
}

#[test]
fn every_call_is_decided_and_finished_once_in_time_and_commands_nothing_after_close() {
    for seed in 0..1500 {
        let world = run(seed);
        let (decided_ms, reason, _) = world.decided().unwrap();
        let (finished_ms, report, _) = world.finished().unwrap();
        // 45 s to the answer, 60 s of talk, and the last waits.
        assert!(decided_ms <= 105_000 + 2_000, "seed {seed}: {decided_ms} ms");
        assert!(
            finished_ms <= decided_ms + 60_000 + 1_000,
            "seed {seed}: {finished_ms} ms"
        );
        let approved = matches!(
            reason,
            Reason::KeyConfirmed | Reason::CodeMatched | Reason::CodePlayed
        );
        if approved {
            assert!(report.key.is_some(), "seed {seed}");
            assert!(report.talk_ms.is_some(), "seed {seed}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..20 {
        assert_eq!(run(seed).log, run(seed).log, "seed {seed}");
    }
}
