//! What encryption costs a packet of 20 ms of G.711 (172 octets): written and sealed, opened and read, refused, in each
//! suite, beside the same packet in the clear; and what it costs a call to make its ciphers.
//!
//! `cargo bench --bench srtp`
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench ends where it stands")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringproof::media::rtp::{Header, Packet};
use ringproof::media::srtp::{Srtp, SrtpError};
use ringproof::model::{Entropy, SrtpKey, SrtpKeys, SrtpSuite};

const PAYLOAD_LEN: usize = 160;
const PACKET_LEN: usize = 12 + PAYLOAD_LEN;
/// The packet and the longest tag.
const SEALED_LEN_MAX: usize = PACKET_LEN + 16;
/// Sealed in advance, and opened in one go: a packet can be opened only once.
const BATCH: usize = 1024;

/// The packets of one stream, one after the other.
struct Source {
    sequence: u16,
    timestamp: u32,
    payload: [u8; PAYLOAD_LEN],
}

impl Source {
    fn new(entropy: &mut Entropy) -> Self {
        let mut payload = [0; PAYLOAD_LEN];
        entropy.fill(&mut payload);
        Self {
            sequence: 0,
            timestamp: 0,
            payload,
        }
    }

    fn write(&mut self, buffer: &mut [u8]) -> usize {
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(PAYLOAD_LEN as u32);
        let header = Header {
            payload_type: 0,
            marker: false,
            sequence: self.sequence,
            timestamp: self.timestamp,
            ssrc: 0x5243_5052,
        };
        header.write(black_box(&self.payload), buffer).unwrap()
    }
}

/// Both ends of a leg.
fn ends(suite: SrtpSuite, entropy: &mut Entropy) -> (SrtpKeys, SrtpKeys) {
    let [near, far] = [(); 2].map(|()| SrtpKey::draw(suite, entropy));
    let keys = |ours: &SrtpKey, theirs: &SrtpKey| SrtpKeys {
        suite,
        ours: ours.clone(),
        theirs: theirs.clone(),
    };
    (keys(&near, &far), keys(&far, &near))
}

/// Time that `count` packets of `sender` take to be opened and read.
fn opened(count: u64, source: &mut Source, sender: &mut Srtp, receiver: &mut Srtp) -> Duration {
    let mut batch = vec![([0; SEALED_LEN_MAX], 0); BATCH];
    let (mut left, mut took) = (usize::try_from(count).unwrap(), Duration::ZERO);
    while left > 0 {
        let sealed = &mut batch[..left.min(BATCH)];
        for (buffer, len) in sealed.iter_mut() {
            let written = source.write(buffer);
            *len = sender.seal_rtp(buffer, written).unwrap();
        }
        let mut plain = [0; SEALED_LEN_MAX];
        let began = Instant::now();
        for (buffer, len) in sealed.iter() {
            let packet = receiver.open_rtp(black_box(&buffer[..*len]), &mut plain).unwrap();
            black_box(Packet::parse(packet).unwrap().payload);
        }
        took += began.elapsed();
        left -= sealed.len();
    }
    took
}

/// A packet under a key that is not ours.
fn forged(source: &mut Source, entropy: &mut Entropy, suite: SrtpSuite) -> Vec<u8> {
    let mut stranger = Srtp::new(&ends(suite, entropy).0).unwrap();
    let mut buffer = [0; SEALED_LEN_MAX];
    let written = source.write(&mut buffer);
    let len = stranger.seal_rtp(&mut buffer, written).unwrap();
    buffer[..len].to_vec()
}

fn in_the_clear(criterion: &mut Criterion) {
    let mut entropy = Entropy::from_number(1);
    let mut source = Source::new(&mut entropy);
    let mut buffer = [0; SEALED_LEN_MAX];
    let mut group = criterion.benchmark_group("RTP in the clear, 172 octets");
    group.throughput(Throughput::Elements(1));
    group.bench_function("written", |b| {
        b.iter(|| source.write(black_box(&mut buffer)));
    });
    let len = source.write(&mut buffer);
    assert_eq!(len, PACKET_LEN);
    group.bench_function("read", |b| {
        b.iter(|| {
            black_box(Packet::parse(black_box(&buffer[..len])).unwrap().payload);
        });
    });
    group.finish();
}

fn in_suite(criterion: &mut Criterion, suite: SrtpSuite) {
    let mut entropy = Entropy::from_number(1);
    let mut source = Source::new(&mut entropy);
    let (near, far) = ends(suite, &mut entropy);
    let mut sender = Srtp::new(&near).unwrap();
    let mut group = criterion.benchmark_group(format!("RTP under {suite}, 172 octets"));
    group.throughput(Throughput::Elements(1));
    let mut buffer = [0; SEALED_LEN_MAX];
    group.bench_function("written and sealed", |b| {
        b.iter(|| {
            let written = source.write(black_box(&mut buffer));
            sender.seal_rtp(black_box(&mut buffer), written).unwrap()
        });
    });
    // A receiver begins with the first packets of a sender: later ones are under a rollover counter that it cannot know.
    let mut source = Source::new(&mut entropy);
    let (mut sender, mut receiver) = (Srtp::new(&near).unwrap(), Srtp::new(&far).unwrap());
    opened(1, &mut source, &mut sender, &mut receiver);
    group.bench_function("opened and read", |b| {
        b.iter_custom(|count| opened(count, &mut source, &mut sender, &mut receiver));
    });
    let stranger = forged(&mut source, &mut entropy, suite);
    let mut plain = [0; SEALED_LEN_MAX];
    assert_eq!(
        receiver.open_rtp(&stranger, &mut plain).err(),
        Some(SrtpError::NotAuthentic)
    );
    group.bench_function("refused", |b| {
        b.iter(|| receiver.open_rtp(black_box(&stranger), &mut plain).is_err());
    });
    group.bench_function("ciphers of a call", |b| {
        b.iter(|| Srtp::new(black_box(&near)).unwrap());
    });
    group.finish();
}

fn srtp(criterion: &mut Criterion) {
    in_the_clear(criterion);
    for suite in SrtpSuite::ALL {
        in_suite(criterion, *suite);
    }
}

criterion_group!(benches, srtp);
criterion_main!(benches);
