mod bad_line;
mod keys;
mod receiving;
mod sending;
mod srtp;
mod taping;
mod vouching;

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::media::codec;
use crate::media::command::{DtmfMode, Impairment, InfoKey, Keying, MediaRefusal, Press};
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
            private: false,
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
        keying: Keying::default(),
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
