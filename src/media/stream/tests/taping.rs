//! What the tape of a leg holds at its end, and what it never holds.
use super::*;
use crate::media::rtp::HEADER_LEN;
use crate::model::{SrtpKey, SrtpKeys, SrtpSuite};

const RULES: TapeRules = TapeRules {
    octets_max: 256 * 1024,
    own_audio: true,
    callee_audio: false,
    callee_digits: true,
};

fn taped(rules: TapeRules) -> StreamConfig {
    StreamConfig {
        tape: Some(rules),
        remote_rtcp: Some("192.0.2.1:4001".parse().unwrap()),
        ..config()
    }
}

impl Bench {
    fn tape(&mut self) -> Tape {
        self.command(MediaCommand::Close);
        let tapes = self.events.iter().filter_map(|event| match event {
            MediaEvent::Tape(tape) => Some((**tape).clone()),
            _ => None,
        });
        let tapes: Vec<Tape> = tapes.collect();
        let [tape] = &tapes[..] else { panic!("{tapes:?}") };
        assert!(matches!(self.events.last(), Some(MediaEvent::Quality(_))));
        tape.clone()
    }
}

fn payload(taped: &Taped) -> &[u8] {
    &taped.datagram[HEADER_LEN..]
}

#[test]
fn a_leg_that_is_not_recorded_gives_no_tape() {
    let mut bench = Bench::new(config(), 1);
    bench.run(ms(100));
    bench.command(MediaCommand::Close);
    assert!(!bench.events.iter().any(|e| matches!(e, MediaEvent::Tape(_))));
}

#[test]
fn every_packet_of_ours_is_on_the_tape_as_it_left() {
    let mut bench = Bench::new(taped(RULES), 1);
    bench.play(1, &[clip("hello", 1600)]);
    let sent = bench.run(ms(6000));
    let tape = bench.tape();
    let (reports, packets): (Vec<Taped>, Vec<Taped>) = tape.packets().partition(|t| t.is_rtcp_apart);
    assert_eq!(packets.len(), sent.len());
    for (taped, sent) in packets.iter().zip(&sent) {
        assert_eq!((taped.at, &taped.datagram), (sent.at, &sent.octets));
    }
    assert_eq!(reports.len(), bench.reports.len());
    assert!(!reports.is_empty() && reports[0].remote.port() == 4001);
}

#[test]
fn the_digits_of_a_code_are_not_on_it_and_what_follows_is() {
    let mut bench = Bench::new(taped(RULES), 1);
    let (intro, code, goodbye) = (clip("intro", 1600), clip("7", 1600), clip("bye", 1600));
    bench.play(1, std::slice::from_ref(&intro));
    let mut sent = bench.run(ms(200));
    bench.command(MediaCommand::Play {
        id: 2,
        clips: vec![code],
        private: true,
    });
    sent.extend(bench.run(ms(200)));
    bench.play(3, &[goodbye]);
    sent.extend(bench.run(ms(200)));
    let tape = bench.tape();
    let packets: Vec<Taped> = tape.packets().collect();
    assert_eq!(packets.len(), 30);
    for (n, (taped, sent)) in packets.iter().zip(&sent).enumerate() {
        match n {
            10..20 => assert_eq!(payload(taped), [0xff; 160], "{n}"),
            _ => assert_eq!(taped.datagram, sent.octets, "{n}"),
        }
        assert_eq!(taped.datagram[..HEADER_LEN], sent.octets[..HEADER_LEN]);
    }
}

#[test]
fn keys_of_an_extension_are_hidden_as_events_and_as_tones() {
    for telephone_event in [Some(101), None] {
        let config = StreamConfig {
            telephone_event,
            ..taped(RULES)
        };
        let mut bench = Bench::new(config, 1);
        bench.command(digits("1234"));
        bench.run(ms(1500));
        let tape = bench.tape();
        let mut events = 0;
        for taped in tape.packets().filter(|t| !t.is_rtcp_apart) {
            match payload(&taped) {
                [digit, _, _, _] => {
                    events += 1;
                    assert_eq!(*digit, NO_DIGIT);
                }
                audio => assert_eq!(audio, [0xff; 160]),
            }
        }
        assert_eq!(events > 0, telephone_event.is_some());
    }
}

#[test]
fn a_callee_is_heard_as_keys_and_silence() {
    let mut bench = Bench::new(taped(RULES), 1);
    bench.takes(&packet(7, 1, 0, &[0x12; 160]));
    bench.takes(&packet(7, 2, 101, &[11, 10, 0, 160]));
    bench.takes(b"no RTP at all");
    let tape = bench.tape();
    let packets: Vec<Taped> = tape.packets().collect();
    assert_eq!(packets.len(), 2);
    assert!(packets.iter().all(|taped| taped.from_callee));
    assert_eq!(payload(&packets[0]), [0xff; 160]);
    assert_eq!(payload(&packets[1]), [11, 10, 0, 160]);
}

#[test]
fn under_keys_only_headers_are_kept_whatever_the_rules() {
    let mut entropy = Entropy::from_number(4);
    let suite = SrtpSuite::AesCm128HmacSha1_80;
    let (ours, theirs) = (
        SrtpKey::draw(suite, &mut entropy),
        SrtpKey::draw(suite, &mut entropy),
    );
    let keys = |ours: &SrtpKey, theirs: &SrtpKey| {
        Some(Box::new(SrtpKeys {
            suite,
            ours: ours.clone(),
            theirs: theirs.clone(),
        }))
    };
    let all = TapeRules {
        callee_audio: true,
        ..RULES
    };
    let near = StreamConfig {
        srtp: keys(&ours, &theirs),
        ..taped(all)
    };
    let far = StreamConfig {
        srtp: keys(&theirs, &ours),
        tape: None,
        ..taped(all)
    };
    let (mut near, mut far) = (Bench::new(near, 1), Bench::new(far, 2));
    near.play(1, &[clip("hello", 8000)]);
    far.play(1, &[clip("hello", 8000)]);
    far.command(digits("4"));
    talk(&mut near, &mut far, ms(6000));
    assert_eq!(near.keys(), "4");
    let tape = near.tape();
    let packets: Vec<Taped> = tape.packets().collect();
    assert!(packets.len() > 500 && packets.iter().any(|taped| taped.from_callee));
    for taped in &packets {
        assert!(!taped.is_rtcp_apart);
        match payload(taped) {
            [digit, _, _, _] => assert_eq!(*digit, NO_DIGIT),
            audio => assert_eq!(audio, [0xff; 160]),
        }
    }
}
