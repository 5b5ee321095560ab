use super::*;

#[test]
fn silence_leaves_exactly_every_ptime_with_one_marker_and_running_numbers() {
    for ptime_ms in [10_u8, 20, 30, 40, 60] {
        let mut bench = Bench::new(StreamConfig { ptime_ms, ..config() }, u64::from(ptime_ms));
        let sent = bench.run(ms(1200));
        assert_eq!(sent.len(), 1200 / usize::from(ptime_ms));
        let first = sent[0].packet();
        for (n, sent) in sent.iter().enumerate() {
            let packet = sent.packet();
            let samples = u32::from(ptime_ms) * 8;
            assert_eq!(sent.at, ms(n as u64 * u64::from(ptime_ms)));
            assert_eq!(packet.marker, n == 0);
            assert_eq!(packet.sequence, first.sequence.wrapping_add(n as u16));
            assert_eq!(packet.timestamp, first.timestamp.wrapping_add(n as u32 * samples));
            assert_eq!((packet.ssrc, packet.payload_type), (first.ssrc, 0));
            assert_eq!(packet.payload, vec![0xff; samples as usize]);
        }
        assert!(bench.events.is_empty());
    }
}

#[test]
fn two_streams_of_one_seed_are_alike_and_of_two_seeds_are_not() {
    let first = |seed| Bench::new(config(), seed).run(ms(20))[0].octets.clone();
    assert_eq!(first(1), first(1));
    assert_ne!(first(1)[2..12], first(2)[2..12]);
}

#[test]
fn an_odd_ptime_is_sent_as_twenty() {
    for ptime_ms in [0, 25, 120, 255] {
        let mut bench = Bench::new(StreamConfig { ptime_ms, ..config() }, 1);
        assert_eq!(bench.run(ms(1000)).len(), 50);
    }
}

#[test]
fn a_prompt_is_carried_octet_by_octet_and_its_end_comes_with_its_last_packet() {
    for (codec, payload_type) in [(Codec::Pcmu, 0), (Codec::Pcma, 8)] {
        let config = StreamConfig {
            codec,
            payload_type,
            ..config()
        };
        let mut bench = Bench::new(config, 5);
        bench.run(ms(100));
        let clips = [clip("one", 800), clip("two", 320)];
        bench.play(9, &clips);
        let mut heard = Vec::new();
        let mut done = Vec::new();
        for packet in 0..8 {
            heard.extend(audio(&bench.run(ms(20))));
            done.extend(bench.events.drain(..).map(|event| (packet, event)));
        }
        let expected = [clips[0].audio(codec).to_vec(), clips[1].audio(codec).to_vec()].concat();
        assert_eq!(heard[..expected.len()], expected);
        assert_eq!(
            done,
            [
                (4, MediaEvent::ClipDone { id: 9, index: 0 }),
                (6, MediaEvent::ClipDone { id: 9, index: 1 }),
                (6, MediaEvent::PlayDone { id: 9 }),
            ]
        );
    }
}

#[test]
fn a_late_tick_sends_what_is_owed_and_never_more_than_two() {
    let mut bench = Bench::new(config(), 7);
    let long = clip("long", 8000);
    bench.play(1, &[Arc::clone(&long)]);
    let mut all = bench.run(ms(100));
    // 30 ms late: the packet of 100 ms and that of 120 ms.
    bench.now += ms(30);
    let sent = bench.due();
    assert_eq!(sent.len(), 2);
    assert_eq!(bench.stream.take_skipped(), 0);
    all.extend(sent);
    // 210 ms late: of eleven owed the last two leave.
    bench.now = bench.start + ms(350);
    let sent = bench.due();
    assert_eq!(sent.len(), 2);
    assert_eq!(bench.stream.take_skipped(), 9);
    let (before, after) = (all.last().unwrap().packet(), sent[0].packet());
    assert!(after.marker && !sent[1].packet().marker);
    assert_eq!(
        after.sequence,
        before.sequence.wrapping_add(1),
        "the peer sees a pause, not loss"
    );
    assert_eq!(
        after.timestamp.wrapping_sub(before.timestamp),
        10 * 160,
        "media time ran on"
    );
    all.extend(sent);
    all.extend(bench.run(ms(2000)));
    assert_eq!(
        audio(&all)[..8000],
        long.audio(Codec::Pcmu)[..],
        "no octet of the prompt is lost"
    );
    assert_eq!(
        bench.stream.next_due() - bench.start,
        ms(2360),
        "the clock keeps its phase"
    );
}

#[test]
fn on_hold_nothing_leaves_and_the_prompt_waits() {
    let mut bench = Bench::new(config(), 8);
    let long = clip("long", 1600);
    bench.play(1, &[Arc::clone(&long)]);
    let mut sent = bench.run(ms(100));
    bench.command(MediaCommand::Update(StreamConfig {
        send: false,
        ..config()
    }));
    assert_eq!(bench.run(ms(1000)).len(), 0);
    assert!(bench.events.is_empty());
    bench.command(MediaCommand::Update(config()));
    let after = bench.run(ms(100));
    assert!(after[0].packet().marker);
    assert_eq!(
        after[0]
            .packet()
            .timestamp
            .wrapping_sub(sent[4].packet().timestamp),
        51 * 160
    );
    sent.extend(after);
    assert_eq!(audio(&sent), long.audio(Codec::Pcmu)[..]);
}

#[test]
fn damage_is_the_simulators_and_ends_when_told() {
    let mut bench = Bench::new(config(), 32);
    bench.command(MediaCommand::Impair(Impairment {
        reorder_per_mille: 1000,
        ..Impairment::default()
    }));
    let sequences: Vec<u16> = bench.run(ms(80)).iter().map(|s| s.packet().sequence).collect();
    let first = sequences[1];
    assert_eq!(sequences, [1, 0, 3, 2].map(|n| first.wrapping_add(n)));
    bench.command(MediaCommand::Impair(Impairment {
        duplicate_per_mille: 1000,
        ..Impairment::default()
    }));
    assert_eq!(bench.run(ms(100)).len(), 10);
    bench.command(MediaCommand::Impair(Impairment::default()));
    assert_eq!(bench.run(ms(100)).len(), 5);
}

#[test]
fn silence_of_the_other_law_is_its_own() {
    assert_eq!(codec::silence(Codec::Pcma), 0xd5);
    let config = StreamConfig {
        codec: Codec::Pcma,
        payload_type: 8,
        ..config()
    };
    assert_eq!(audio(&Bench::new(config, 33).run(ms(20))), [0xd5; 160]);
}

#[test]
fn a_new_prompt_replaces_the_old_one_and_stop_ends_it_at_once() {
    let mut bench = Bench::new(config(), 6);
    bench.play(1, &[clip("long", 8000)]);
    bench.run(ms(40));
    let short = clip("short", 160);
    bench.play(2, &[Arc::clone(&short)]);
    let sent = bench.run(ms(40));
    assert_eq!(sent[0].packet().payload, short.pcmu[0].payload());
    assert_eq!(
        bench.events,
        [
            MediaEvent::PlayStopped {
                id: 1,
                index: 0,
                played_ms: 40
            },
            MediaEvent::ClipDone { id: 2, index: 0 },
            MediaEvent::PlayDone { id: 2 }
        ]
    );
    bench.events.clear();
    bench.play(3, &[clip("long", 8000)]);
    bench.run(ms(40));
    bench.command(MediaCommand::Stop);
    assert_eq!(audio(&bench.run(ms(40))), [0xff; 320]);
    let stopped = MediaEvent::PlayStopped {
        id: 3,
        index: 0,
        played_ms: 40,
    };
    assert_eq!(bench.events, [stopped]);
}

#[test]
fn a_later_agreement_changes_codec_and_ptime_and_keeps_source_and_numbers() {
    let mut bench = Bench::new(config(), 9);
    let long = clip("long", 4800);
    bench.play(1, &[Arc::clone(&long)]);
    let before = bench.run(ms(200));
    bench.command(MediaCommand::Update(StreamConfig {
        codec: Codec::Pcma,
        payload_type: 8,
        ptime_ms: 30,
        ..config()
    }));
    let after = bench.run(ms(300));
    assert_eq!((before.len(), after.len()), (10, 10));
    let (last, first) = (before[9].packet(), after[0].packet());
    assert_eq!((first.ssrc, first.payload_type), (last.ssrc, 8));
    assert_eq!(first.sequence, last.sequence.wrapping_add(1));
    assert_eq!(first.timestamp, last.timestamp.wrapping_add(160));
    assert_eq!(audio(&after), long.audio(Codec::Pcma)[1600..4000]);
}

#[test]
fn a_play_that_is_ended_tells_how_far_it_came_and_one_that_is_over_does_not() {
    let (long, short) = (clip("long", 8000), clip("short", 320));
    let stopped = |bench: &Bench| {
        let stops = bench.events.iter().filter_map(|event| match event {
            MediaEvent::PlayStopped { id, index, played_ms } => Some((*id, *index, *played_ms)),
            _ => None,
        });
        stops.collect::<Vec<_>>()
    };
    let mut bench = Bench::new(config(), 3);
    bench.play(1, &[Arc::clone(&short), Arc::clone(&long)]);
    bench.run(ms(100));
    bench.command(MediaCommand::Stop);
    assert_eq!(stopped(&bench), [(1, 1, 60)]);
    bench.command(MediaCommand::Stop);
    bench.play(2, std::slice::from_ref(&long));
    bench.run(ms(200));
    bench.play(3, &[short]);
    assert_eq!(stopped(&bench), [(1, 1, 60), (2, 0, 200)]);
    bench.run(ms(200));
    bench.play(4, &[long]);
    bench.run(ms(20));
    bench.command(MediaCommand::Close);
    assert_eq!(stopped(&bench), [(1, 1, 60), (2, 0, 200), (4, 0, 20)]);
}

#[test]
fn a_prompt_goes_on_in_each_codec_where_it_was_in_the_one_before() {
    let mut bench = Bench::new(config(), 60);
    let long = clip("long", 6400);
    bench.play(1, &[Arc::clone(&long)]);
    let mut sent = bench.run(ms(200));
    for (codec, ptime_ms) in [(Codec::G722, 20), (Codec::Pcma, 20), (Codec::G722, 40)] {
        bench.command(MediaCommand::Update(StreamConfig {
            codec,
            payload_type: codec.static_payload_type(),
            ptime_ms,
            ..config()
        }));
        sent.extend(bench.run(ms(200)));
    }
    let types: Vec<u8> = sent.iter().map(|s| s.packet().payload_type).collect();
    assert_eq!([&[0; 10][..], &[9; 10], &[8; 10], &[9; 5]].concat(), types);
    let expected = [
        &long.audio(Codec::Pcmu)[..1600],
        &long.audio(Codec::G722)[1600..3200],
        &long.audio(Codec::Pcma)[3200..4800],
        &long.audio(Codec::G722)[4800..],
    ];
    assert_eq!(audio(&sent), expected.concat());
    // RFC 3551 §4.5.2: 160 ticks for the 320 samples of 20 ms.
    let first = sent[0].packet().timestamp;
    for (n, packet) in sent[..35].iter().enumerate() {
        let ticks = if n <= 30 { n * 160 } else { 4800 + (n - 30) * 320 };
        assert_eq!(packet.packet().timestamp.wrapping_sub(first) as usize, ticks);
    }
    assert!(bench.events.contains(&MediaEvent::PlayDone { id: 1 }));
    assert_eq!(audio(&bench.run(ms(40))), [0xff; 320]);
}
