use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::media::codec;
use crate::media::command::{DtmfMode, Impairment, InfoKey, MediaRefusal, Press};
use crate::media::frame::Clip;
use crate::media::rtp::{Header, Packet};
use crate::model::{Codec, Digit, Digits, KeyTransport};

#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some origin; only differences count"
)]
fn origin() -> Instant {
    Instant::now()
}

fn config() -> StreamConfig {
    StreamConfig {
        remote: "192.0.2.1:4000".parse().unwrap(),
        remote_rtcp: None,
        codec: Codec::Pcmu,
        payload_type: 0,
        telephone_event: Some(101),
        ptime_ms: 20,
        send: true,
        receive: true,
        dtmf: DtmfMode::Auto,
        collect_audio: false,
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A packet as it left.
#[derive(Debug, Clone)]
struct Sent {
    /// Since the start.
    at: Duration,
    octets: Vec<u8>,
}

impl Sent {
    fn packet(&self) -> Packet<'_> {
        Packet::parse(&self.octets).unwrap()
    }
}

struct Bench {
    start: Instant,
    now: Instant,
    stream: Stream,
    events: Vec<MediaEvent>,
    reports: Vec<Vec<u8>>,
}

impl Bench {
    fn new(config: StreamConfig, seed: u64) -> Self {
        let start = origin();
        Self {
            start,
            now: start,
            stream: Stream::new(start, config, Entropy::from_number(seed)),
            events: Vec::new(),
            reports: Vec::new(),
        }
    }

    fn command(&mut self, command: MediaCommand) {
        self.stream.command(self.now, command, &mut self.events);
    }

    fn play(&mut self, id: u32, clips: &[Arc<Clip>]) {
        self.command(MediaCommand::Play {
            id,
            clips: clips.to_vec(),
        });
    }

    /// What is due at this moment.
    fn due(&mut self) -> Vec<Sent> {
        let at = self.now - self.start;
        let mut buffer = [0; 1500];
        let mut sent = Vec::new();
        while let Some(packet) = self.stream.next_packet(self.now, &mut buffer, &mut self.events) {
            for _ in 0..packet.copies {
                let octets = buffer[..packet.len].to_vec();
                sent.push(Sent { at, octets });
            }
        }
        if let Some(len) = self.stream.next_rtcp(self.now, &mut buffer) {
            self.reports.push(buffer[..len].to_vec());
        }
        self.stream.poll(self.now, &mut self.events);
        sent
    }

    /// Steps from deadline to deadline through `span`, up to but without its end.
    fn run(&mut self, span: Duration) -> Vec<Sent> {
        let end = self.now + span;
        let mut sent = Vec::new();
        while self.stream.next_due() < end {
            self.now = self.now.max(self.stream.next_due());
            sent.extend(self.due());
        }
        self.now = end;
        sent
    }

    fn takes(&mut self, octets: &[u8]) {
        self.stream.handle_rtp(self.now, octets, &mut self.events);
    }

    fn presses(&self) -> Vec<Press> {
        let presses = self.events.iter().filter_map(|event| match event {
            MediaEvent::Press(press) => Some(*press),
            _ => None,
        });
        presses.collect()
    }

    fn keys(&self) -> String {
        self.presses().iter().map(|press| press.digit.as_char()).collect()
    }
}

/// Plays both ways for `span`: what one sends the other hears at once.
fn talk(a: &mut Bench, b: &mut Bench, span: Duration) {
    let end = a.now + span;
    loop {
        let next = a.stream.next_due().min(b.stream.next_due());
        if next >= end {
            break;
        }
        (a.now, b.now) = (a.now.max(next), b.now.max(next));
        for sent in a.due() {
            b.takes(&sent.octets);
        }
        for sent in b.due() {
            a.takes(&sent.octets);
        }
    }
    (a.now, b.now) = (end, end);
}

fn digits(text: &str) -> MediaCommand {
    MediaCommand::SendDigits {
        digits: Digits::parse(text).unwrap(),
        transport: None,
    }
}

/// A clip whose every octet differs from its neighbours, so that a shift would show.
fn clip(name: &str, samples: i16) -> Arc<Clip> {
    let pcm: Vec<i16> = (0..samples).map(|n| n.wrapping_mul(37) % 8000).collect();
    Arc::new(Clip::from_pcm(name, &pcm))
}

fn audio(sent: &[Sent]) -> Vec<u8> {
    sent.iter()
        .flat_map(|sent| sent.packet().payload.to_vec())
        .collect()
}

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
fn a_new_prompt_replaces_the_old_one_and_stop_ends_it_without_an_event() {
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
            MediaEvent::ClipDone { id: 2, index: 0 },
            MediaEvent::PlayDone { id: 2 }
        ]
    );
    bench.events.clear();
    bench.play(3, &[clip("long", 8000)]);
    bench.run(ms(40));
    bench.command(MediaCommand::Stop);
    assert_eq!(audio(&bench.run(ms(40))), [0xff; 320]);
    assert!(bench.events.is_empty());
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
    for codec in [Codec::Pcmu, Codec::Pcma] {
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

#[test]
fn tones_in_spite_of_agreed_events_count_and_are_flagged() {
    let (mut a, mut b) = (Bench::new(config(), 17), Bench::new(config(), 18));
    talk(&mut a, &mut b, ms(200));
    a.command(MediaCommand::SendDigits {
        digits: Digits::parse("#").unwrap(),
        transport: Some(KeyTransport::Inband),
    });
    talk(&mut a, &mut b, ms(500));
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

/// What a peer of our choosing sends.
fn packet(ssrc: u32, sequence: u16, payload_type: u8, payload: &[u8]) -> Vec<u8> {
    let header = Header {
        payload_type,
        marker: false,
        sequence,
        timestamp: u32::from(sequence) * 160,
        ssrc,
    };
    let mut buffer = vec![0; 1500];
    let len = header.write(payload, &mut buffer).unwrap();
    buffer.truncate(len);
    buffer
}

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
    };
    assert_eq!(bench.stream.rejects(), rejects);
    assert_eq!(bench.events.len(), 1);
    bench.command(MediaCommand::Update(StreamConfig {
        receive: false,
        ..config()
    }));
    bench.takes(&packet(1, 11, 0, &[0xff; 160]));
    assert_eq!(bench.stream.rejects().direction, 1);
    bench.command(MediaCommand::ReportQuality);
    let Some(MediaEvent::Quality(report)) = bench.events.last() else {
        panic!()
    };
    assert_eq!((report.packets_received, report.packets_sent), (1, 0));
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
        bench.takes(&packet(1, n, 0, &[1; 160]));
        bench.takes(&packet(2, 500 + n, 0, &[2; 160]));
    }
    assert_eq!(bench.stream.rejects().source, 10);
    for n in 10..20 {
        bench.takes(&packet(2, 500 + n, 0, &[2; 160]));
    }
    bench.takes(&packet(1, 99, 0, &[1; 160]));
    bench.command(MediaCommand::TakeAudio);
    let Some(MediaEvent::Audio(recording)) = bench.events.last() else {
        panic!()
    };
    assert_eq!(recording.octets, [vec![1; 1600], vec![2; 1600]].concat());
    assert_eq!(bench.stream.rejects().source, 11);
}

#[test]
fn events_under_a_source_of_their_own_are_heard_beside_the_audio() {
    let mut bench = Bench::new(config(), 25);
    let event = |sequence: u16, end: bool| {
        let header = Header {
            payload_type: 101,
            marker: false,
            sequence,
            timestamp: 4000,
            ssrc: 2,
        };
        let mut buffer = vec![0; 16];
        let duration = (sequence * 160).to_be_bytes();
        let flags = if end { 0x8a } else { 0x0a };
        header
            .write(&[11, flags, duration[0], duration[1]], &mut buffer)
            .unwrap();
        buffer
    };
    for n in 0..20_u16 {
        bench.now += ms(20);
        bench.takes(&packet(1, n, 0, &[0xff; 160]));
        if (5..10).contains(&n) {
            bench.takes(&event(n, n == 9));
        }
    }
    assert_eq!(bench.keys(), "#");
    assert_eq!(bench.stream.rejects().source, 1, "one packet proves nothing");
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
