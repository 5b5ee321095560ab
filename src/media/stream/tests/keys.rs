use super::*;

#[test]
fn keys_sent_as_events_are_heard_once_each_with_their_length() {
    let (mut a, mut b) = (Bench::new(config(), 10), Bench::new(config(), 11));
    a.play(1, &[clip("long", 8000)]);
    talk(&mut a, &mut b, ms(200));
    a.command(digits("12#"));
    talk(&mut a, &mut b, ms(2000));
    assert_eq!(b.keys(), "12#");
    assert!(
        b.presses()
            .iter()
            .all(|press| press.transport == KeyTransport::Rfc4733 && !press.mismatch)
    );
    let ended = b
        .events
        .iter()
        .filter(|e| matches!(e, MediaEvent::PressEnded { duration_ms: 100, .. }));
    assert_eq!(ended.count(), 3);
    assert_eq!(
        a.events.iter().filter(|e| **e == MediaEvent::DigitsSent).count(),
        1
    );
    assert!(a.events.contains(&MediaEvent::PlayDone { id: 1 }));
    assert_eq!(a.keys(), "");
}

#[test]
fn an_event_is_certain_with_its_second_packet() {
    let (mut a, mut b) = (Bench::new(config(), 12), Bench::new(config(), 13));
    talk(&mut a, &mut b, ms(100));
    a.command(digits("#"));
    talk(&mut a, &mut b, ms(500));
    let press = b.presses()[0];
    assert_eq!(press.started_at - a.start, ms(100));
    assert_eq!(press.at - a.start, ms(120));
}

#[test]
fn events_have_a_marker_a_standing_timestamp_and_three_ends_and_audio_follows_with_a_marker() {
    let mut bench = Bench::new(config(), 14);
    bench.run(ms(100));
    bench.command(digits("5"));
    let sent = bench.run(ms(300));
    let events: Vec<&Sent> = sent.iter().filter(|s| s.packet().payload_type == 101).collect();
    assert_eq!(events.len(), 7);
    let flags: Vec<bool> = events.iter().map(|s| s.packet().marker).collect();
    assert_eq!(flags, [true, false, false, false, false, false, false]);
    assert!(
        events
            .iter()
            .all(|s| s.packet().timestamp == events[0].packet().timestamp)
    );
    let ends = events.iter().filter(|s| s.packet().payload[1] & 0x80 != 0);
    assert_eq!(ends.count(), 3);
    let audio = sent
        .iter()
        .find(|s| s.packet().payload_type == 0)
        .unwrap()
        .packet();
    assert!(audio.marker);
    assert_eq!(
        audio.timestamp,
        events[0].packet().timestamp.wrapping_add(7 * 160)
    );
}

#[test]
fn without_telephone_event_keys_are_sent_and_heard_as_tones() {
    for codec in Codec::ALL.iter().copied() {
        let plain = StreamConfig {
            codec,
            payload_type: codec.static_payload_type(),
            telephone_event: None,
            ..config()
        };
        let (mut a, mut b) = (Bench::new(plain.clone(), 15), Bench::new(plain, 16));
        talk(&mut a, &mut b, ms(200));
        a.command(digits("147*0#"));
        talk(&mut a, &mut b, ms(2000));
        assert_eq!(b.keys(), "147*0#", "{codec}");
        assert!(
            b.presses()
                .iter()
                .all(|p| p.transport == KeyTransport::Inband && !p.mismatch)
        );
        let delay = b.presses()[0].at - b.start - ms(200);
        assert!(delay <= ms(60), "{delay:?}");
        assert!(a.events.contains(&MediaEvent::DigitsSent));
    }
}

/// From PCMU to G.722 to PCMA, told (re-INVITE) or not (RFC 3264 §6.1: any agreed payload type may come at any time).
#[test]
fn keys_are_heard_through_every_change_of_codec() {
    let speaking = |codec: Codec, telephone_event| StreamConfig {
        codec,
        payload_type: codec.static_payload_type(),
        telephone_event,
        ..config()
    };
    for (told, telephone_event) in [(true, None), (false, None), (true, Some(101)), (false, Some(101))] {
        let start = speaking(Codec::Pcmu, telephone_event);
        let (mut a, mut b) = (Bench::new(start.clone(), 50), Bench::new(start, 51));
        let speech = clip("speech", 32_000);
        a.play(1, &[Arc::clone(&speech)]);
        talk(&mut a, &mut b, ms(200));
        for (digit, codec) in [
            ("1", Codec::Pcmu),
            ("5", Codec::G722),
            ("9", Codec::Pcma),
            ("#", Codec::G722),
            ("0", Codec::Pcmu),
        ] {
            let next = speaking(codec, telephone_event);
            a.command(MediaCommand::Update(next.clone()));
            if told {
                b.command(MediaCommand::Update(next));
            }
            talk(&mut a, &mut b, ms(100));
            a.command(digits(digit));
            talk(&mut a, &mut b, ms(500));
        }
        assert_eq!(b.keys(), "159#0", "told: {told}, events: {telephone_event:?}");
        let transport = match telephone_event {
            Some(_) => KeyTransport::Rfc4733,
            None => KeyTransport::Inband,
        };
        assert!(b.presses().iter().all(|press| press.transport == transport));
        assert_eq!(b.stream.rejects(), Rejects::default());
        assert_eq!(a.keys(), "", "the echo of nothing is no key");
    }
}

/// One key per press, also where a decoder of G.722 loses its way for a moment.
#[test]
fn tones_survive_loss_in_every_codec_and_count_once() {
    for codec in Codec::ALL.iter().copied() {
        let plain = StreamConfig {
            codec,
            payload_type: codec.static_payload_type(),
            telephone_event: None,
            ..config()
        };
        let (mut found, mut more) = (0, 0);
        for seed in 0..40 {
            let (mut a, mut b) = (
                Bench::new(plain.clone(), seed),
                Bench::new(plain.clone(), seed + 1000),
            );
            a.command(MediaCommand::Impair(Impairment {
                drop_per_mille: 30,
                duplicate_per_mille: 0,
                reorder_per_mille: 0,
            }));
            talk(&mut a, &mut b, ms(200));
            a.command(digits("1234567890"));
            talk(&mut a, &mut b, ms(2400));
            let keys = b.keys();
            let mut rest = keys.chars().peekable();
            let heard = "1234567890"
                .chars()
                .filter(|digit| rest.next_if_eq(digit).is_some())
                .count();
            found += heard;
            more += keys.len() - heard;
        }
        assert!(found >= 390 && more == 0, "{codec}: {found} of 400, {more} more");
    }
}

/// The agreed number may be a dynamic one; the static one of RFC 3551 is known in any case.
#[test]
fn g722_on_a_dynamic_number_is_heard() {
    let dynamic = StreamConfig {
        codec: Codec::G722,
        payload_type: 96,
        telephone_event: None,
        ..config()
    };
    let (mut a, mut b) = (Bench::new(dynamic.clone(), 52), Bench::new(dynamic, 53));
    talk(&mut a, &mut b, ms(100));
    a.command(digits("4#"));
    talk(&mut a, &mut b, ms(1000));
    assert_eq!(b.keys(), "4#");
}

/// Our prompt comes back weaker while the callee presses a key: only the key counts.
#[test]
fn in_g722_the_echo_of_our_tones_is_no_key_and_a_key_over_our_prompt_is_one() {
    let plain = StreamConfig {
        codec: Codec::G722,
        payload_type: 9,
        telephone_event: None,
        ..config()
    };
    let (mut a, mut b) = (Bench::new(plain.clone(), 54), Bench::new(plain, 55));
    b.play(1, &[clip("speech", 16_000)]);
    talk(&mut a, &mut b, ms(100));
    a.command(digits("7"));
    talk(&mut a, &mut b, ms(1000));
    assert_eq!((a.keys().as_str(), b.keys().as_str()), ("", "7"));
    b.command(digits("3"));
    // What b sends comes back to it at once.
    let end = b.now + ms(600);
    while b.stream.next_due() < end {
        b.now = b.now.max(b.stream.next_due());
        for sent in b.due() {
            let mut echo = sent.octets.clone();
            echo[8..12].copy_from_slice(&a_source(&mut a));
            b.takes(&echo);
        }
    }
    assert_eq!(b.keys(), "7");
}

/// The source under which `a` sends.
fn a_source(a: &mut Bench) -> [u8; 4] {
    a.now += ms(20);
    a.due()[0].packet().ssrc.to_be_bytes()
}

#[test]
fn a_key_lasts_as_long_as_asked_by_either_transport() {
    for (transport, ended_ms) in [
        (KeyTransport::Rfc4733, 260..=260),
        (KeyTransport::Inband, 235..=270),
    ] {
        let negotiated = (transport == KeyTransport::Rfc4733).then_some(101);
        let config = StreamConfig {
            telephone_event: negotiated,
            ..config()
        };
        let (mut a, mut b) = (Bench::new(config.clone(), 40), Bench::new(config, 41));
        a.command(MediaCommand::SendDigits {
            digits: Digits::parse("77").unwrap(),
            keying: Keying {
                transport: Some(transport),
                tone_ms: 250,
                gap_ms: 60,
                ..Keying::default()
            },
        });
        talk(&mut a, &mut b, ms(1500));
        assert_eq!(b.keys(), "77", "{transport}");
        let lengths = b.events.iter().filter_map(|event| match event {
            MediaEvent::PressEnded { duration_ms, .. } => Some(*duration_ms),
            _ => None,
        });
        let lengths: Vec<u32> = lengths.collect();
        assert!(
            lengths.len() == 2 && lengths.iter().all(|ms| ended_ms.contains(ms)),
            "{lengths:?}"
        );
    }
}

#[test]
fn a_key_without_marker_is_the_same_key() {
    let keys = || MediaCommand::SendDigits {
        digits: Digits::parse("4#").unwrap(),
        keying: Keying {
            marker: false,
            ..Keying::default()
        },
    };
    let mut bench = Bench::new(config(), 44);
    bench.command(keys());
    let sent = bench.run(ms(1000));
    let events: Vec<&Sent> = sent.iter().filter(|s| s.packet().payload_type == 101).collect();
    assert_eq!(events.len(), 14);
    assert!(events.iter().all(|s| !s.packet().marker));
    let (mut a, mut b) = (Bench::new(config(), 45), Bench::new(config(), 46));
    a.command(keys());
    talk(&mut a, &mut b, ms(1000));
    assert_eq!(b.keys(), "4#");
}

#[test]
fn tones_in_spite_of_agreed_events_count_and_are_flagged() {
    let (mut a, mut b) = (Bench::new(config(), 17), Bench::new(config(), 18));
    talk(&mut a, &mut b, ms(200));
    assert!(!b.stream.has_decision_due());
    a.command(MediaCommand::SendDigits {
        digits: Digits::parse("#").unwrap(),
        keying: Keying {
            transport: Some(KeyTransport::Inband),
            ..Keying::default()
        },
    });
    let mut waits_for_an_event = false;
    for _ in 0..100 {
        talk(&mut a, &mut b, ms(5));
        waits_for_an_event |= b.stream.has_decision_due() && b.presses().is_empty();
    }
    assert!(waits_for_an_event);
    let press = b.presses()[0];
    assert_eq!(
        (b.keys().as_str(), press.transport, press.mismatch),
        ("#", KeyTransport::Inband, true)
    );
    // The wait for an event ends by itself, not with the next packet: 120 ms after the tone began.
    assert!(
        press.at - press.started_at <= ms(120),
        "{:?}",
        press.at - press.started_at
    );
}

#[test]
fn keys_wait_for_keys_and_too_many_are_refused() {
    let (mut a, mut b) = (Bench::new(config(), 19), Bench::new(config(), 20));
    for key in ["1", "2", "3", "4", "5", "6", "7", "8", "9"] {
        a.command(digits(key));
    }
    assert_eq!(a.events, [MediaEvent::Refused(MediaRefusal::TooManyKeys(8))]);
    talk(&mut a, &mut b, ms(3000));
    assert_eq!(b.keys(), "12345678");
    assert_eq!(
        a.events.iter().filter(|e| **e == MediaEvent::DigitsSent).count(),
        8
    );
}

#[test]
fn a_key_in_info_and_in_the_media_is_one_press() {
    let (mut a, mut b) = (Bench::new(config(), 21), Bench::new(config(), 22));
    a.command(digits("#"));
    talk(&mut a, &mut b, ms(300));
    let key = InfoKey {
        digit: Digit::POUND,
        duration_ms: Some(100),
    };
    b.command(MediaCommand::Info(key));
    assert_eq!(b.keys(), "#");
    talk(&mut a, &mut b, ms(3000));
    b.command(MediaCommand::Info(key));
    assert_eq!(b.keys(), "##");
    assert_eq!(b.presses()[1].transport, KeyTransport::Info);
}

#[test]
fn presses_survive_loss_duplication_and_reordering_and_count_once() {
    let mut sent_keys = 0;
    let mut found = 0;
    for seed in 0..60 {
        let (mut a, mut b) = (Bench::new(config(), seed), Bench::new(config(), seed + 1000));
        a.command(MediaCommand::Impair(Impairment {
            drop_per_mille: 50,
            duplicate_per_mille: 50,
            reorder_per_mille: 50,
        }));
        talk(&mut a, &mut b, ms(200));
        a.command(digits("1234567890"));
        talk(&mut a, &mut b, ms(4000));
        sent_keys += 10;
        found += b.presses().len();
        assert!(
            "1234567890".starts_with(&b.keys()[..1]),
            "seed {seed}: {}",
            b.keys()
        );
        assert!(b.presses().len() <= 10, "seed {seed}: {}", b.keys());
    }
    assert!(found * 1000 >= sent_keys * 995, "{found} of {sent_keys}");
}

#[test]
fn tones_survive_a_bad_line_too() {
    let plain = StreamConfig {
        telephone_event: None,
        ..config()
    };
    let mut found = 0;
    for seed in 0..30 {
        let (mut a, mut b) = (
            Bench::new(plain.clone(), seed),
            Bench::new(plain.clone(), seed + 1000),
        );
        a.command(MediaCommand::Impair(Impairment {
            drop_per_mille: 20,
            duplicate_per_mille: 50,
            reorder_per_mille: 50,
        }));
        talk(&mut a, &mut b, ms(200));
        a.command(digits("1234567890"));
        talk(&mut a, &mut b, ms(4000));
        found += b.presses().len();
        assert!(b.presses().len() <= 10, "seed {seed}: {}", b.keys());
    }
    assert!(found >= 290, "{found} of 300");
}

/// One packet of an event that the source 2 sends.
fn event_of_another_source(sequence: u16, timestamp: u32, event: u8, end: bool) -> Vec<u8> {
    let header = Header {
        payload_type: 101,
        marker: false,
        sequence,
        timestamp,
        ssrc: 2,
    };
    let mut buffer = vec![0; 16];
    let duration = (sequence * 160).to_be_bytes();
    let flags = if end { 0x8a } else { 0x0a };
    header
        .write(&[event, flags, duration[0], duration[1]], &mut buffer)
        .unwrap();
    buffer
}

#[test]
fn events_under_a_source_of_their_own_are_heard_beside_the_audio() {
    let mut bench = Bench::new(config(), 25);
    for n in 0..20_u16 {
        bench.now += ms(20);
        bench.takes(&packet(1, n, 0, &[0xff; 160]));
        if (5..10).contains(&n) {
            bench.takes(&event_of_another_source(n, 4000, 11, n == 9));
        }
    }
    assert_eq!(bench.keys(), "#");
    assert_eq!(bench.stream.rejects().source, 1, "one packet proves nothing");
}

#[test]
fn events_of_another_source_that_come_at_one_moment_are_no_key() {
    let mut bench = Bench::new(config(), 25);
    bench.takes(&packet(1, 0, 0, &[0xff; 160]));
    for n in 0..9 {
        bench.takes(&event_of_another_source(n, 4000, 11, n >= 6));
        bench.now += ms(1);
    }
    bench.run(ms(500));
    assert_eq!((bench.keys().as_str(), bench.stream.rejects().source), ("", 9));
    // In time, but not of one press: another event at the same timestamp, or a timestamp from nowhere.
    for (sequence, timestamp, event) in [(20, 4000, 11), (21, 4000, 5), (22, 3000, 5), (23, 90_000, 5)] {
        bench.now += ms(20);
        bench.takes(&event_of_another_source(sequence, timestamp, event, false));
    }
    assert_eq!((bench.keys().as_str(), bench.stream.rejects().source), ("", 13));
    // Packets of 10 ms, the second a little early.
    for (sequence, after_ms) in [(24, 10), (25, 9), (26, 10), (27, 10)] {
        bench.now += ms(after_ms);
        bench.takes(&event_of_another_source(sequence, 180_000, 11, false));
    }
    assert_eq!((bench.keys().as_str(), bench.stream.rejects().source), ("#", 15));
}

#[test]
fn events_on_the_usual_number_are_accepted_unasked_and_said_once() {
    let mut bench = Bench::new(
        StreamConfig {
            telephone_event: None,
            ..config()
        },
        26,
    );
    for n in 0..6_u16 {
        bench.now += ms(20);
        let duration = (n * 160).to_be_bytes();
        let header = Header {
            payload_type: 101,
            marker: false,
            sequence: n,
            timestamp: 800,
            ssrc: 1,
        };
        let mut buffer = [0; 16];
        header
            .write(&[11, 10, duration[0], duration[1]], &mut buffer)
            .unwrap();
        bench.takes(&buffer);
    }
    assert_eq!(bench.keys(), "#");
    let said = bench
        .events
        .iter()
        .filter(|e| **e == MediaEvent::UnnegotiatedEvents { payload_type: 101 });
    assert_eq!(said.count(), 1);
    // The end was lost: it comes by time.
    bench.run(ms(500));
    assert!(
        matches!(bench.events.last(), Some(MediaEvent::PressEnded { .. })),
        "{:?}",
        bench.events
    );
}
