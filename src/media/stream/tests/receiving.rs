use super::*;
use crate::media::command::Sign;
use crate::media::tone::{ToneGenerator, to_sample};

#[test]
fn what_is_not_believed_is_counted_by_reason_and_changes_nothing() {
    let mut bench = Bench::new(config(), 23);
    bench.takes(&packet(1, 10, 0, &[0xff; 160]));
    assert_eq!(bench.events, [MediaEvent::FirstPacket]);
    bench.takes(&packet(1, 10, 0, &[0xff; 160]));
    bench.takes(&packet(1, 30_000, 0, &[0xff; 160]));
    bench.takes(&packet(1, 11, 96, &[0xff; 160]));
    bench.takes(&packet(1, 12, 0, &[]));
    bench.takes(&[0x80, 0, 0]);
    bench.takes(&packet(2, 13, 0, &[0xff; 160]));
    bench.takes(&packet(2, 77, 101, &[11, 0, 0, 160]));
    let rejects = Rejects {
        malformed: 2,
        direction: 0,
        payload_type: 1,
        source: 2,
        order: 2,
        srtp: 0,
    };
    assert_eq!(bench.stream.rejects(), rejects);
    assert_eq!(
        [bench.stream.take_rejects(), bench.stream.take_rejects()],
        [Some(rejects), None]
    );
    assert_eq!(bench.events.len(), 1);
    bench.command(MediaCommand::Update(StreamConfig {
        receive: false,
        ..config()
    }));
    bench.takes(&packet(1, 11, 0, &[0xff; 160]));
    assert_eq!(bench.stream.rejects().direction, 1);
    let since = Rejects {
        direction: 1,
        ..Rejects::default()
    };
    assert_eq!(bench.stream.take_rejects(), Some(since));
    bench.command(MediaCommand::ReportQuality);
    let Some(MediaEvent::Quality(report)) = bench.events.last() else {
        panic!()
    };
    assert_eq!((report.packets_received, report.packets_sent), (1, 0));
}

#[test]
fn the_callee_is_heard_with_the_first_good_packet_after_the_answer() {
    let mut bench = Bench::new(config(), 22);
    bench.takes(&packet(1, 10, 0, &[0xff; 160]));
    bench.takes(&packet(1, 11, 0, &[0xff; 160]));
    bench.command(MediaCommand::Answered);
    // Repeated, of another payload type, of a source that is not followed.
    bench.takes(&packet(1, 11, 0, &[0xff; 160]));
    bench.takes(&packet(1, 12, 96, &[0xff; 160]));
    bench.takes(&packet(2, 13, 0, &[0xff; 160]));
    assert_eq!(bench.events, [MediaEvent::FirstPacket]);
    bench.takes(&packet(1, 12, 0, &[0xff; 160]));
    bench.command(MediaCommand::Answered);
    bench.takes(&packet(1, 13, 0, &[0xff; 160]));
    assert_eq!(bench.events, [MediaEvent::FirstPacket, MediaEvent::Heard]);
}

#[test]
fn a_stream_that_begins_with_the_answer_tells_both_firsts() {
    let mut bench = Bench::new(config(), 22);
    bench.command(MediaCommand::Answered);
    bench.takes(&packet(1, 10, 0, &[0xff; 160]));
    bench.takes(&packet(1, 11, 0, &[0xff; 160]));
    assert_eq!(bench.events, [MediaEvent::FirstPacket, MediaEvent::Heard]);
}

#[test]
fn another_source_is_followed_when_the_first_is_silent_and_not_before() {
    let mut bench = Bench::new(
        StreamConfig {
            collect_audio: true,
            ..config()
        },
        24,
    );
    for n in 0..10 {
        bench.now += ms(20);
        bench.takes(&packet(1, n, 0, &[1; 160]));
        bench.takes(&packet(2, 500 + n, 0, &[2; 160]));
    }
    assert_eq!(bench.stream.rejects().source, 10);
    for n in 10..20 {
        bench.now += ms(20);
        bench.takes(&packet(2, 500 + n, 0, &[2; 160]));
    }
    bench.takes(&packet(1, 99, 0, &[1; 160]));
    bench.command(MediaCommand::TakeAudio);
    let Some(MediaEvent::Audio(recording)) = bench.events.last() else {
        panic!()
    };
    // 80 ms of the second are not heard: until then the first might have been late.
    assert_eq!(recording.octets, [vec![1; 1600], vec![2; 6 * 160]].concat());
    assert_eq!(bench.stream.rejects().source, 15);
}

#[test]
fn another_source_between_two_packets_of_the_first_is_refused_however_many_it_sends() {
    for (ptime_ms, heard_until_ms) in [(10, 99), (20, 99), (60, 179)] {
        let agreed = StreamConfig { ptime_ms, ..config() };
        let mut bench = Bench::new(agreed, 24);
        bench.takes(&packet(1, 10, 0, &[1; 160]));
        for n in 0..40 {
            bench.takes(&packet(2, 500 + n, 0, &[2; 160]));
        }
        bench.now += ms(heard_until_ms);
        for n in 40..42 {
            bench.takes(&packet(2, 500 + n, 0, &[2; 160]));
        }
        assert_eq!(bench.stream.rejects().source, 42, "{ptime_ms} ms");
        // A packet of the first that is believed by nobody keeps nothing back.
        bench.takes(&packet(1, 10, 0, &[1; 160]));
        bench.takes(&packet(2, 542, 0, &[2; 160]));
        bench.now += ms(1);
        bench.takes(&packet(2, 543, 0, &[2; 160]));
        bench.takes(&packet(1, 11, 0, &[1; 160]));
        let rejects = bench.stream.rejects();
        assert_eq!((rejects.source, rejects.order), (44, 1), "{ptime_ms} ms");
    }
}

#[test]
fn at_another_address_another_source_need_not_wait() {
    let mut bench = Bench::new(config(), 24);
    bench.takes(&packet(1, 10, 0, &[1; 160]));
    bench.command(MediaCommand::Update(StreamConfig {
        remote: "192.0.2.2:4000".parse().unwrap(),
        ..config()
    }));
    bench.takes(&packet(2, 500, 0, &[2; 160]));
    bench.takes(&packet(2, 501, 0, &[2; 160]));
    assert_eq!(bench.stream.rejects().source, 1);
    bench.stream.moved("192.0.2.3:4000".parse().unwrap(), None);
    bench.takes(&packet(3, 500, 0, &[3; 160]));
    bench.takes(&packet(3, 501, 0, &[3; 160]));
    assert_eq!(bench.stream.rejects().source, 2);
}

#[test]
fn a_callee_that_collects_hears_the_prompt_exactly() {
    let listening = StreamConfig {
        collect_audio: true,
        ..config()
    };
    let (mut a, mut b) = (Bench::new(config(), 27), Bench::new(listening, 28));
    let prompt = clip("prompt", 16_000);
    a.play(1, &[Arc::clone(&prompt)]);
    talk(&mut a, &mut b, ms(2000));
    b.command(MediaCommand::Close);
    let [.., MediaEvent::Audio(recording), MediaEvent::Quality(report)] = &b.events[..] else {
        panic!()
    };
    assert_eq!(recording.octets, prompt.audio(Codec::Pcmu)[..]);
    assert_eq!(
        (recording.received, report.packets_received, report.packets_lost),
        (16_000, 100, 0)
    );
    assert!(report.mos.unwrap() > 4.2 && report.jitter_ms.unwrap() < 0.1);
    assert!(
        !format!("{recording:?}").contains("[255"),
        "audio stays out of logs"
    );
}

#[test]
fn what_the_peer_lost_of_ours_is_in_the_report_and_nothing_where_it_says_nothing() {
    let rtcp = StreamConfig {
        remote_rtcp: Some("192.0.2.1:4001".parse().unwrap()),
        ..config()
    };
    let (mut a, mut b) = (Bench::new(rtcp.clone(), 31), Bench::new(rtcp, 32));
    a.command(MediaCommand::ReportQuality);
    let Some(MediaEvent::Quality(report)) = a.events.pop() else {
        panic!()
    };
    let told = (
        report.peer_packets_lost,
        report.peer_fraction_lost,
        report.peer_jitter_ms,
    );
    assert_eq!(told, (None, None, None));
    // Of four packets of A one comes to B.
    for (number, packet) in a.run(ms(12_000)).iter().enumerate() {
        b.now = b.start + packet.at;
        if number % 4 == 0 {
            b.takes(&packet.octets);
        }
        let _ = b.due();
    }
    for report in &b.reports {
        a.stream.handle_rtcp(a.now, report);
    }
    a.command(MediaCommand::ReportQuality);
    let Some(MediaEvent::Quality(report)) = a.events.last() else {
        panic!()
    };
    let lost = report.peer_packets_lost.unwrap();
    assert!((150..=450).contains(&lost), "{report:?}");
    assert!(
        (0.7..0.8).contains(&report.peer_fraction_lost.unwrap()),
        "{report:?}"
    );
    assert!(report.peer_jitter_ms.is_some());
}

#[test]
fn reports_go_out_about_every_five_seconds_and_measure_the_way() {
    let rtcp = StreamConfig {
        remote_rtcp: Some("192.0.2.1:4001".parse().unwrap()),
        ..config()
    };
    let (mut a, mut b) = (Bench::new(rtcp.clone(), 29), Bench::new(rtcp, 30));
    for _ in 0..60_000 / 20 {
        talk(&mut a, &mut b, ms(20));
        for report in std::mem::take(&mut b.reports) {
            a.stream.handle_rtcp(a.now, &report);
        }
        if let Some(report) = a.reports.last() {
            // Multiplexed.
            b.takes(report);
        }
    }
    assert!((8..=24).contains(&a.reports.len()), "{}", a.reports.len());
    assert!(
        a.reports
            .iter()
            .all(|report| rtcp::is_rtcp(report) && report[1] == 200)
    );
    a.command(MediaCommand::ReportQuality);
    let Some(MediaEvent::Quality(report)) = a.events.last() else {
        panic!()
    };
    assert_eq!((report.packets_sent, report.packets_received), (3000, 3000));
    assert_eq!(
        (report.peer_packets_lost, report.peer_fraction_lost),
        (Some(0), Some(0.0))
    );
    assert!(report.peer_jitter_ms.unwrap() < 0.1);
    let mut buffer = [0; 256];
    let len = a.stream.goodbye(a.now, &mut buffer).unwrap();
    assert!(
        buffer[..len].windows(2).any(|pair| pair == [0x81, 203]),
        "RTCP BYE"
    );
}

#[test]
fn without_an_rtcp_address_no_report_is_due() {
    let mut bench = Bench::new(config(), 31);
    bench.run(ms(20_000));
    assert_eq!(bench.stream.next_rtcp(bench.now, &mut [0; 256]), None);
    assert_eq!(bench.stream.goodbye(bench.now, &mut [0; 256]), None);
}

proptest! {
    #[test]
    fn no_datagram_panics_or_makes_a_press_alone(
        datagrams in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..64), 0..40),
        headed in any::<bool>(),
    ) {
        let mut bench = Bench::new(config(), 34);
        for mut datagram in datagrams {
            if headed && datagram.len() >= 12 {
                datagram[0] = 0x80;
                datagram[1] &= 0xe5;
            }
            bench.takes(&datagram);
            bench.stream.handle_rtcp(bench.now, &datagram);
            bench.run(ms(20));
        }
    }
}

#[test]
fn digital_silence_after_the_answer_is_told_and_one_sound_ends_it() {
    let silent = |before: &[u8], after: &[Vec<u8>]| {
        let mut bench = Bench::new(config(), 31);
        bench.takes(&packet(1, 10, 0, before));
        bench.command(MediaCommand::Answered);
        for (payload, sequence) in after.iter().zip(11..) {
            bench.takes(&packet(1, sequence, 0, payload));
        }
        bench.command(MediaCommand::ReportQuality);
        match bench.events.last() {
            Some(MediaEvent::Quality(report)) => report.silent,
            other => panic!("{other:?}"),
        }
    };
    let quiet = vec![0xff; 160];
    let voice = vec![0x30; 160];
    // What the network plays before the answer is not the callee.
    assert!(silent(&voice, &vec![quiet.clone(); 60]));
    assert!(!silent(&quiet, &vec![quiet.clone(); 20]), "too short to tell");
    assert!(!silent(&quiet, &[vec![quiet.clone(); 60], vec![voice]].concat()));
}

/// A greeting and its beep, in packets of 20 ms.
fn machine() -> Vec<[u8; 160]> {
    let tones = |low, high, level: f32, ms: usize| {
        let mut generator = ToneGenerator::new(low, -18.0, high, level);
        (0..ms * 8)
            .map(|_| to_sample(generator.next_sample()))
            .collect::<Vec<i16>>()
    };
    let mut pcm = Vec::new();
    for word in 0..20_u8 {
        let low = 300.0 + 17.0 * f32::from(word);
        pcm.extend(tones(low, low * 2.7, -18.0, 160));
        pcm.extend([0; 40 * 8]);
    }
    pcm.extend([0; 300 * 8]);
    pcm.extend(tones(800.0, 0.0, -99.0, 400));
    let packets = pcm.chunks_exact(160).map(|frame| {
        let mut octets = [0; 160];
        codec::encode(Codec::Pcmu, frame, &mut octets);
        octets
    });
    packets.collect()
}

#[test]
fn a_key_counts_before_a_beep_that_the_same_packet_makes_certain() {
    let packets = machine();
    let listening = || {
        let mut bench = Bench::new(config(), 27);
        bench.command(MediaCommand::Answered);
        bench.command(MediaCommand::Screen);
        bench
    };
    let is_beep =
        |event: &MediaEvent| matches!(event, MediaEvent::Screened(found) if found.sign == Sign::Beep);
    let mut bench = listening();
    let deciding = packets.iter().zip(0..).position(|(octets, n)| {
        bench.now += ms(20);
        bench.takes(&packet(1, n, 0, octets));
        bench.events.iter().any(is_beep)
    });
    let deciding = deciding.expect("the machine is heard");
    assert!(deciding * 20 > 4000 + 300, "{deciding}");
    let sent = |sequence: usize, payload_type: u8, timestamp: usize, payload: &[u8]| {
        let header = Header {
            payload_type,
            marker: false,
            sequence: u16::try_from(sequence).unwrap(),
            timestamp: u32::try_from(timestamp * 160).unwrap(),
            ssrc: 1,
        };
        let mut buffer = vec![0; 200];
        let len = header.write(payload, &mut buffer).unwrap();
        buffer.truncate(len);
        buffer
    };
    let mut bench = listening();
    for (n, octets) in packets[..deciding].iter().enumerate() {
        bench.now += ms(20);
        bench.takes(&sent(n, 0, n, octets));
    }
    // The packet that decides comes before the second of a key's: that one makes the key certain and lets the other in.
    bench.takes(&sent(deciding, 101, deciding, &[11, 10, 0, 160]));
    bench.takes(&sent(deciding + 2, 0, deciding, &packets[deciding]));
    bench.events.clear();
    bench.takes(&sent(deciding + 1, 101, deciding, &[11, 10, 1, 64]));
    assert_eq!(bench.keys(), "#");
    assert!(
        matches!(&bench.events[..], [MediaEvent::Press(_), beep] if is_beep(beep)),
        "{:?}",
        bench.events
    );
}
