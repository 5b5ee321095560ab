mod learning;

use std::collections::BTreeSet;
use std::future::Future;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::*;
use crate::media::codec;
use crate::media::command::{DtmfMode, Keying, MediaRefusal, StreamConfig};
use crate::media::frame::Clip;
use crate::media::rtp::{Header, Packet};
use crate::media::stream::Rejects;
use crate::model::{Codec, Digits, KeyTransport};

/// Nothing here waits for time to pass; this only ends a test that would hang.
const PATIENCE: Duration = Duration::from_secs(20);

/// Each test has ports of its own, since all run at once, and so has each process.
fn ports(first: u16, last: u16) -> RangeInclusive<u16> {
    let base = 10_000 + (std::process::id() % 10) as u16 * 2200;
    base + first..=base + last
}

fn engine(first: u16, last: u16, calls_max: usize) -> MediaEngine {
    MediaEngine::start(EngineConfig {
        threads: 1,
        ports: ports(first, last),
        bind: Ipv4Addr::LOCALHOST.into(),
        calls_max,
        refuse_when_late: true,
        files_max: None,
        pin: None,
        entropy: Entropy::from_number(7),
    })
    .unwrap()
}

fn towards(remote: SocketAddr) -> StreamConfig {
    StreamConfig {
        remote,
        learn: false,
        remote_rtcp: None,
        codec: Codec::Pcmu,
        payload_type: 0,
        telephone_event: Some(101),
        ptime_ms: 20,
        send: true,
        receive: true,
        dtmf: DtmfMode::Auto,
        collect_audio: false,
        srtp: None,
        tape: None,
    }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap()
}

async fn until(mut condition: impl FnMut() -> bool) {
    soon(async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

impl MediaLeg {
    async fn event(&mut self) -> Option<MediaEvent> {
        soon(self.events.recv()).await
    }

    /// Every event up to and including the first that `last` accepts.
    async fn events_until(&mut self, last: impl Fn(&MediaEvent) -> bool) -> Vec<MediaEvent> {
        let mut events = Vec::new();
        while let Some(event) = self.event().await {
            let found = last(&event);
            events.push(event);
            if found {
                return events;
            }
        }
        panic!("the channel closed after {events:?}");
    }

    fn says(&self, command: MediaCommand) {
        self.command(command).unwrap();
    }
}

/// A telephone of our own making.
struct Peer {
    socket: UdpSocket,
    ssrc: u32,
    sequence: u16,
}

impl Peer {
    async fn new(ssrc: u32) -> Self {
        Self {
            socket: UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap(),
            ssrc,
            sequence: 0,
        }
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    async fn sends(&mut self, to: SocketAddr, payload_type: u8, timestamp: u32, payload: &[u8]) {
        let header = Header {
            payload_type,
            marker: false,
            sequence: self.sequence,
            timestamp,
            ssrc: self.ssrc,
        };
        self.sequence = self.sequence.wrapping_add(1);
        let mut buffer = [0; 1500];
        let len = header.write(payload, &mut buffer).unwrap();
        self.socket.send_to(&buffer[..len], to).await.unwrap();
    }

    /// One press of `#`: four packets of 20 ms and two repeated ends.
    async fn presses_pound(&mut self, to: SocketAddr) {
        for (duration, end) in [
            (160, 0),
            (320, 0),
            (480, 0),
            (640, 0x80),
            (640, 0x80),
            (640, 0x80_u8),
        ] {
            let [high, low] = u16::to_be_bytes(duration);
            self.sends(to, 101, 5000, &[11, end | 10, high, low]).await;
        }
    }

    /// Sequence number, timestamp and payload of the next packet, and its source.
    async fn hears(&self) -> (u16, u32, Vec<u8>, SocketAddr) {
        let mut buffer = [0; 1500];
        let (len, source) = soon(self.socket.recv_from(&mut buffer)).await.unwrap();
        let packet = Packet::parse(&buffer[..len]).unwrap();
        (packet.sequence, packet.timestamp, packet.payload.to_vec(), source)
    }
}

fn clip(seed: usize) -> Arc<Clip> {
    let pcm: Vec<i16> = (0..4000)
        .map(|n| ((n * (seed + 3)) % 9000) as i16 - 4500)
        .collect();
    Arc::new(Clip::from_pcm(format!("clip {seed}"), &pcm))
}

#[tokio::test]
async fn a_hundred_calls_each_hear_their_own_clip_and_are_heard() {
    let engine = engine(0, 999, 100);
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..100 {
        let mut leg = engine.open().unwrap();
        calls.spawn(async move {
            let mut peer = Peer::new(n as u32).await;
            let clip = clip(n);
            leg.says(MediaCommand::Start(towards(peer.address())));
            leg.says(MediaCommand::Play {
                id: 5,
                clips: vec![Arc::clone(&clip)],
                private: false,
            });
            let mut heard = Vec::new();
            let mut numbers = Vec::new();
            // The clip may begin with the second packet.
            for packet in 0..26 {
                let (sequence, timestamp, payload, source) = peer.hears().await;
                assert_eq!(source, leg.local);
                heard.extend(payload);
                numbers.push((sequence, timestamp));
                if packet == 10 {
                    peer.presses_pound(leg.local).await;
                }
            }
            let steps = numbers.windows(2).map(|pair| {
                (
                    pair[1].0.wrapping_sub(pair[0].0),
                    pair[1].1.wrapping_sub(pair[0].1),
                )
            });
            assert!(
                steps
                    .into_iter()
                    .all(|(sequence, timestamp)| sequence == 1 && timestamp % 160 == 0)
            );
            let silence = [codec::silence(Codec::Pcmu); 160];
            let begin = if heard.starts_with(&silence) { 160 } else { 0 };
            assert!(
                heard[begin..begin + 4000] == clip.audio(Codec::Pcmu)[..],
                "call {n}"
            );

            leg.says(MediaCommand::Close);
            let events = leg
                .events_until(|event| matches!(event, MediaEvent::Quality(_)))
                .await;
            let presses: Vec<_> = events
                .iter()
                .filter(|e| matches!(e, MediaEvent::Press(_)))
                .collect();
            let [MediaEvent::Press(press)] = presses[..] else {
                panic!("{events:?}")
            };
            assert_eq!(
                (press.digit.as_char(), press.transport),
                ('#', KeyTransport::Rfc4733)
            );
            assert_eq!(
                events.iter().filter(|e| **e == MediaEvent::FirstPacket).count(),
                1
            );
            let done = [
                MediaEvent::ClipDone { id: 5, index: 0 },
                MediaEvent::PlayDone { id: 5 },
            ];
            assert!(done.iter().all(|event| events.contains(event)), "{events:?}");
            assert_eq!(leg.event().await, None);
            leg.local
        });
    }
    let ports: BTreeSet<u16> = soon(calls.join_all())
        .await
        .iter()
        .map(|local| local.port())
        .collect();
    assert_eq!(ports.len(), 100);
    assert!(ports.iter().all(|port| port % 2 == 0));
    let metrics = engine.metrics();
    assert_eq!(
        (metrics.legs_open, metrics.legs_active, metrics.ports_free),
        (0, 0, 500)
    );
    assert_eq!(
        (
            metrics.packets_received,
            metrics.events_dropped,
            metrics.send_errors
        ),
        (600, 0, 0)
    );
    assert!(metrics.packets_sent >= 2600);
}

#[tokio::test]
async fn when_ports_or_places_run_out_the_refusal_names_it_and_a_closed_leg_makes_room() {
    let few_ports = engine(1000, 1005, 100);
    let mut legs: Vec<MediaLeg> = (0..3).map(|_| few_ports.open().unwrap()).collect();
    assert_eq!(few_ports.open().unwrap_err(), Refusal::NoPort);
    let mut closed = legs.pop().unwrap();
    closed.says(MediaCommand::Close);
    assert_eq!(closed.event().await, None);
    let reopened = few_ports.open().unwrap();
    assert_eq!(reopened.local, closed.local);

    let few_places = engine(1010, 1099, 2);
    let legs = [few_places.open().unwrap(), few_places.open().unwrap()];
    assert_eq!(few_places.open().unwrap_err(), Refusal::Full);
    drop(legs);
    until(|| few_places.metrics().legs_open == 0).await;
    assert_eq!(few_places.metrics().ports_free, 45);
    few_places.open().unwrap();
    let metrics = few_places.metrics();
    assert_eq!(
        (
            metrics.refused_full,
            metrics.refused_no_port,
            metrics.refused_late
        ),
        (1, 0, 0)
    );
}

#[tokio::test]
async fn on_a_port_shared_by_agreement_reports_are_not_taken_for_audio() {
    let engine = engine(2000, 2019, 10);
    let mut leg = engine.open().unwrap();
    let mut peer = Peer::new(1).await;
    leg.says(MediaCommand::Start(StreamConfig {
        remote_rtcp: Some(peer.address()),
        ..towards(peer.address())
    }));
    peer.hears().await;
    // An empty receiver report (RFC 3550 §6.4.2), then audio: once that is heard, the report has been read too.
    let report = [0x80, 201, 0, 1, 0, 0, 0, 7];
    peer.socket.send_to(&report, leg.local).await.unwrap();
    peer.sends(leg.local, 0, 160, &[0xff; 160]).await;
    assert_eq!(leg.event().await, Some(MediaEvent::FirstPacket));
    let metrics = engine.metrics();
    assert_eq!((metrics.rtcp_received, metrics.packets_received), (1, 1));
}

#[tokio::test]
async fn on_the_second_port_only_an_agreed_peer_is_heard() {
    let engine = engine(2020, 2033, 10);
    let (peer_rtcp, stranger) = (Peer::new(1).await, Peer::new(2).await);
    let mut heard = Vec::new();
    for agreed in ["none", "shared", "own"] {
        let mut leg = engine.open().unwrap();
        let mut peer = Peer::new(1).await;
        let remote_rtcp = match agreed {
            "none" => None,
            "shared" => Some(peer.address()),
            _ => Some(peer_rtcp.address()),
        };
        leg.says(MediaCommand::Start(StreamConfig {
            remote_rtcp,
            ..towards(peer.address())
        }));
        peer.hears().await;
        let second = SocketAddr::new(leg.local.ip(), leg.local.port() + 1);
        let report = [0x80, 201, 0, 1, 0, 0, 0, 7];
        for sender in [&peer_rtcp, &stranger] {
            sender.socket.send_to(&report, second).await.unwrap();
        }
        // Commands are obeyed after what is ready was read: once this leg is gone, all that came before the audio has been read
        // from both sockets.
        peer.sends(leg.local, 0, 160, &[0xff; 160]).await;
        assert_eq!(leg.event().await, Some(MediaEvent::FirstPacket));
        leg.says(MediaCommand::Close);
        leg.events_until(|event| matches!(event, MediaEvent::Quality(_)))
            .await;
        assert_eq!(leg.event().await, None);
        heard.push((agreed, engine.metrics().rtcp_received));
    }
    assert_eq!(heard, [("none", 0), ("shared", 0), ("own", 1)]);
}

#[tokio::test]
async fn what_is_not_believed_is_counted_by_reason_over_all_legs() {
    let engine = engine(2034, 2049, 10);
    for round in 1..=2 {
        let mut leg = engine.open().unwrap();
        let mut peer = Peer::new(1).await;
        leg.says(MediaCommand::Start(towards(peer.address())));
        peer.hears().await;
        peer.sends(leg.local, 0, 160, &[0xff; 160]).await;
        peer.sends(leg.local, 96, 320, &[0xff; 160]).await;
        peer.sends(leg.local, 0, 320, &[]).await;
        peer.socket.send_to(&[0x80, 0, 0], leg.local).await.unwrap();
        let mut forger = Peer {
            ssrc: 2,
            sequence: 0,
            socket: peer.socket,
        };
        forger.sends(leg.local, 0, 160, &[0xff; 160]).await;
        until(|| engine.metrics().packets_received == round * 5).await;
        leg.says(MediaCommand::Close);
        leg.events_until(|event| matches!(event, MediaEvent::Quality(_)))
            .await;
        assert_eq!(leg.event().await, None);
        let expected = Rejects {
            malformed: 2 * round,
            payload_type: round,
            source: round,
            ..Rejects::default()
        };
        assert_eq!(engine.metrics().rejected, expected);
    }
}

#[tokio::test]
async fn strangers_are_not_heard_before_nor_after_the_start() {
    let engine = engine(1100, 1199, 10);
    let mut leg = engine.open().unwrap();
    let (mut peer, mut stranger) = (Peer::new(1).await, Peer::new(2).await);
    for _ in 0..5 {
        stranger.presses_pound(leg.local).await;
    }
    leg.says(MediaCommand::Start(towards(peer.address())));
    peer.hears().await;
    for _ in 0..5 {
        stranger.presses_pound(leg.local).await;
    }
    peer.sends(leg.local, 0, 160, &[0xff; 160]).await;
    assert_eq!(leg.event().await, Some(MediaEvent::FirstPacket));
    leg.says(MediaCommand::Close);
    let events = leg
        .events_until(|event| matches!(event, MediaEvent::Quality(_)))
        .await;
    let [MediaEvent::Quality(report)] = events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(report.packets_received, 1);
    assert_eq!(engine.metrics().packets_received, 1);
}

#[tokio::test]
async fn a_refused_port_is_said_once_and_ends_nothing() {
    let engine = engine(1200, 1299, 10);
    let mut leg = engine.open().unwrap();
    let peer = Peer::new(1).await;
    let (address, ssrc) = (peer.address(), peer.ssrc);
    drop(peer);
    leg.says(MediaCommand::Start(towards(address)));
    assert_eq!(leg.event().await, Some(MediaEvent::Unreachable));
    // Before the answer it tells nothing of the callee, so it is said once more.
    leg.says(MediaCommand::Answered);
    assert_eq!(leg.event().await, Some(MediaEvent::Unreachable));
    let mut peer = Peer {
        socket: UdpSocket::bind(address).await.unwrap(),
        ssrc,
        sequence: 0,
    };
    peer.hears().await;
    peer.sends(leg.local, 0, 160, &[0xff; 160]).await;
    assert_eq!(leg.event().await, Some(MediaEvent::FirstPacket));
}

#[tokio::test]
async fn commands_without_agreed_media_and_unreachable_families_are_refused_by_name() {
    let engine = engine(1300, 1399, 10);
    let mut leg = engine.open().unwrap();
    leg.says(MediaCommand::Play {
        id: 1,
        clips: Vec::new(),
        private: false,
    });
    let refused = MediaEvent::Refused(MediaRefusal::NotStarted("Play"));
    assert_eq!(leg.event().await, Some(refused));
    leg.says(MediaCommand::Start(towards(
        "[2001:db8::1]:4000".parse().unwrap(),
    )));
    let event = leg.event().await;
    assert!(
        matches!(event, Some(MediaEvent::Refused(MediaRefusal::NoRoute(_)))),
        "{event:?}"
    );
    let peer = Peer::new(1).await;
    leg.says(MediaCommand::Start(towards(peer.address())));
    peer.hears().await;
}

#[tokio::test]
async fn a_new_address_in_a_later_answer_is_followed_with_the_same_source() {
    let engine = engine(1400, 1499, 10);
    let mut leg = engine.open().unwrap();
    let (mut first, mut second) = (Peer::new(1).await, Peer::new(2).await);
    leg.says(MediaCommand::Start(towards(first.address())));
    first.hears().await;
    first.sends(leg.local, 0, 160, &[0xff; 160]).await;
    assert_eq!(leg.event().await, Some(MediaEvent::FirstPacket));
    leg.says(MediaCommand::Update(towards(second.address())));
    let (_, _, _, source) = second.hears().await;
    assert_eq!(source, leg.local);
    first.presses_pound(leg.local).await;
    second.sends(leg.local, 0, 160, &[0xff; 160]).await;
    second.sends(leg.local, 0, 320, &[0xff; 160]).await;
    second.presses_pound(leg.local).await;
    let events = leg
        .events_until(|event| matches!(event, MediaEvent::PressEnded { .. }))
        .await;
    assert_eq!(
        events
            .iter()
            .filter(|e| matches!(e, MediaEvent::Press(_)))
            .count(),
        1,
        "{events:?}"
    );
}

#[tokio::test]
async fn two_legs_talk_to_each_other() {
    let engine = engine(1500, 1599, 10);
    let (mut a, mut b) = (engine.open().unwrap(), engine.open().unwrap());
    let listening = StreamConfig {
        collect_audio: true,
        ..towards(a.local)
    };
    b.says(MediaCommand::Start(listening));
    a.says(MediaCommand::Start(towards(b.local)));
    a.says(MediaCommand::SendDigits {
        digits: Digits::parse("42#").unwrap(),
        keying: Keying::default(),
    });
    let heard = b
        .events_until(|e| matches!(e, MediaEvent::Press(press) if press.digit.as_char() == '#'))
        .await;
    let keys: String = heard
        .iter()
        .filter_map(|event| match event {
            MediaEvent::Press(press) => Some(press.digit.as_char()),
            _ => None,
        })
        .collect();
    assert_eq!(keys, "42#");
    a.events_until(|event| *event == MediaEvent::DigitsSent).await;
    b.says(MediaCommand::Close);
    let last = b
        .events_until(|event| matches!(event, MediaEvent::Quality(_)))
        .await;
    assert!(last.iter().any(|event| matches!(event, MediaEvent::Audio(_))));
}

#[tokio::test]
async fn reports_reach_the_peers_rtcp_port_with_a_bye_at_the_end() {
    let engine = engine(1600, 1699, 10);
    let leg = engine.open().unwrap();
    let (peer, rtcp) = (Peer::new(1).await, Peer::new(1).await);
    let config = StreamConfig {
        remote_rtcp: Some(rtcp.address()),
        ..towards(peer.address())
    };
    leg.says(MediaCommand::Start(config));
    peer.hears().await;
    drop(leg);
    let mut buffer = [0; 1500];
    let (len, source) = soon(rtcp.socket.recv_from(&mut buffer)).await.unwrap();
    assert_eq!(source.port() % 2, 1);
    assert!(
        buffer[..len].windows(2).any(|pair| pair == [0x81, 203]),
        "RTCP BYE"
    );
}

#[tokio::test]
async fn an_idle_thread_does_not_tick_and_wakes_at_once() {
    let engine = engine(1700, 1799, 10);
    let peer = Peer::new(1).await;
    let mut leg = engine.open().unwrap();
    leg.says(MediaCommand::Start(towards(peer.address())));
    peer.hears().await;
    leg.says(MediaCommand::Close);
    leg.events_until(|event| matches!(event, MediaEvent::Quality(_)))
        .await;
    assert_eq!(leg.event().await, None);
    let ticks = engine.metrics().ticks;
    // Commands are obeyed without a tick: the thread blocks and is woken for each.
    for _ in 0..50 {
        let mut leg = engine.open().unwrap();
        leg.says(MediaCommand::Close);
        assert_eq!(leg.event().await, None);
    }
    assert!(engine.metrics().ticks <= ticks + 1);
}

#[tokio::test]
async fn events_that_nobody_takes_are_dropped_and_counted() {
    let engine = engine(1800, 1899, 10);
    let peer = Peer::new(1).await;
    let leg = engine.open().unwrap();
    leg.says(MediaCommand::Start(towards(peer.address())));
    for id in 0..EVENTS_PER_LEG_MAX as u32 + 10 {
        leg.says(MediaCommand::Play {
            id,
            clips: Vec::new(),
            private: false,
        });
    }
    until(|| engine.metrics().events_dropped == 10).await;
    peer.hears().await;
}

#[tokio::test]
async fn the_end_of_the_engine_closes_every_leg() {
    let engine = engine(1900, 1999, 10);
    let (mut running, mut waiting) = (engine.open().unwrap(), engine.open().unwrap());
    let peer = Peer::new(1).await;
    running.says(MediaCommand::Start(towards(peer.address())));
    peer.hears().await;
    drop(engine);
    assert_eq!(running.event().await, None);
    assert_eq!(waiting.event().await, None);
    assert_eq!(running.command(MediaCommand::Stop), Err(Full));
}

#[test]
fn a_full_command_queue_refuses_at_once() {
    let (commands, _receiver) = sync_channel(1);
    let handle = Arc::new(ThreadHandle::new(commands).unwrap());
    let leg = MediaLeg {
        local: (Ipv4Addr::LOCALHOST, 4000).into(),
        events: mailbox(1).1,
        id: 0,
        thread: handle,
        admission: Arc::default(),
    };
    assert_eq!(leg.command(MediaCommand::Stop), Ok(()));
    assert_eq!(leg.command(MediaCommand::Stop), Err(Full));
    assert_eq!(leg.admission.commands_refused.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn files_are_counted_before_they_run_out() {
    for (files_max, legs) in [(60, 0), (72, 4), (1024, 384), (1_048_576, 523_264)] {
        assert_eq!(legs_by_files(files_max), legs, "{files_max}");
    }
    let engine = MediaEngine::start(EngineConfig {
        threads: 1,
        ports: ports(2200, 2299),
        bind: Ipv4Addr::LOCALHOST.into(),
        calls_max: 100,
        refuse_when_late: true,
        files_max: Some(72),
        pin: None,
        entropy: Entropy::from_number(1),
    })
    .unwrap();
    assert_eq!(engine.room(), (4, Refusal::NoFile));
    let legs: Vec<MediaLeg> = (0..4).map(|_| engine.open().unwrap()).collect();
    assert_eq!(engine.room(), (0, Refusal::NoFile));
    assert_eq!(engine.open().unwrap_err(), Refusal::NoFile);
    assert_eq!(engine.metrics().refused_no_file, 1);
    drop(legs);
    until(|| engine.metrics().legs_open == 0).await;
    engine.open().unwrap();
}

#[test]
fn a_range_without_a_pair_is_refused_at_the_start() {
    let config = EngineConfig {
        threads: 2,
        ports: 32_001..=32_002,
        bind: Ipv4Addr::LOCALHOST.into(),
        calls_max: 1,
        refuse_when_late: true,
        files_max: None,
        pin: None,
        entropy: Entropy::from_number(1),
    };
    let error = MediaEngine::start(config).unwrap_err();
    assert!(error.to_string().contains("32001-32002"), "{error}");
}

#[tokio::test]
async fn legs_spread_over_the_threads_and_a_pinned_thread_runs() {
    let engine = MediaEngine::start(EngineConfig {
        threads: 2,
        ports: ports(2100, 2199),
        bind: Ipv4Addr::LOCALHOST.into(),
        calls_max: 4,
        refuse_when_late: true,
        files_max: None,
        pin: Some(vec![0]),
        entropy: Entropy::from_number(1),
    })
    .unwrap();
    let peer = Peer::new(1).await;
    let legs: Vec<MediaLeg> = (0..4).map(|_| engine.open().unwrap()).collect();
    for leg in &legs {
        leg.says(MediaCommand::Start(towards(peer.address())));
    }
    until(|| engine.metrics().legs_active == 4).await;
    let open = engine
        .0
        .threads
        .iter()
        .map(|t| t.handle.metrics.open.load(Ordering::Relaxed));
    assert_eq!(open.collect::<Vec<_>>(), [2, 2]);
    assert_eq!(engine.open().unwrap_err(), Refusal::Full);
}
