//! One stream, heard as a live call hears it: put in order, then keys and figures by the code of the media threads.
//!
//! Its clock is the capture's: an `Instant` of the process plus the time since the first packet.
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::report::Sound;
use super::rtp::{Flow, Taken};
use crate::media::codec;
use crate::media::frame::replay::{Replay, Turn};
use crate::media::keys::{Content, Keys, KeysConfig};
use crate::media::press::{DtmfMode, InfoKey, Press, PressEvent};
use crate::media::quality::ReceiveQuality;
use crate::media::rtp::{Arrival, Packet};
use crate::model::Codec;

/// A number that no packet has.
const NO_PAYLOAD_TYPE: u8 = 255;
/// What silence decodes to is no louder.
const SILENCE_PEAK: i16 = 8;
/// After the last packet every decision about a press is made within this.
const DECIDED_WITHIN: Duration = Duration::from_secs(3);

/// What the numbers in the packets of a stream mean.
#[derive(Debug, Clone, Default)]
pub(super) struct Meaning {
    /// Payload type → encoding, as announced.
    pub(super) encodings: BTreeMap<u8, String>,
    pub(super) telephone_event: Option<u8>,
    pub(super) encrypted: bool,
}

impl Meaning {
    pub(super) fn encoding(&self, payload_type: u8) -> Option<&str> {
        self.encodings.get(&payload_type).map(String::as_str)
    }

    /// The codec of most audio packets, and its number.
    fn codec(&self, flow: &Flow<'_>) -> Option<(Codec, u8)> {
        let mut counts: BTreeMap<u8, u64> = BTreeMap::new();
        for taken in &flow.packets {
            *counts.entry(taken.rtp.payload_type).or_default() += 1;
        }
        let known = counts.into_iter().filter_map(|(number, count)| {
            let codec = match self.encoding(number) {
                Some(name) => Codec::ALL.iter().find(|c| c.as_str().eq_ignore_ascii_case(name)),
                None => Codec::ALL.iter().find(|c| c.static_payload_type() == number),
            };
            codec.map(|codec| (count, (*codec, number)))
        });
        known.max_by_key(|(count, _)| *count).map(|(_, found)| found)
    }

    fn keys(&self, flow: &Flow<'_>) -> KeysConfig {
        let (codec, payload_type) = self.codec(flow).unwrap_or((Codec::Pcmu, NO_PAYLOAD_TYPE));
        KeysConfig {
            mode: DtmfMode::Auto,
            codec,
            payload_type,
            telephone_event: self.telephone_event,
            ptime_ms: 20,
        }
    }
}

/// A press, by the clock of the capture.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeardKey {
    pub(super) at: Duration,
    pub(super) press: Press,
    pub(super) duration_ms: Option<u32>,
}

/// Figures of one stream.
#[derive(Debug, Clone)]
pub(super) struct Figures {
    pub(super) codec: String,
    pub(super) packets: u64,
    pub(super) lost: u64,
    pub(super) jitter_mean_ms: f64,
    pub(super) jitter_max_ms: f64,
    pub(super) jitter_last_ms: f64,
    pub(super) mos: Option<f64>,
    pub(super) sound: Sound,
    pub(super) event_packets: u64,
}

/// Measures in the order of arrival, as RFC 3550 does.
pub(super) fn measure(origin: Instant, flow: &Flow<'_>, meaning: &Meaning) -> Figures {
    let keys = Keys::new(meaning.keys(flow));
    let began = flow.began();
    let mut quality = ReceiveQuality::default();
    let (mut sum, mut largest, mut measured) = (0.0_f64, 0.0_f64, 0_u32);
    let (mut sound, mut event_packets) = (Sound::Unknown, 0);
    let mut decoder = codec::Decoder::default();
    for taken in &flow.packets {
        let now = origin + taken.at.saturating_sub(began);
        let content = keys.content(&taken.rtp);
        let is_event = matches!(content, Content::Event { .. });
        event_packets += u64::from(is_event);
        let timestamp = (!is_event).then_some(taken.rtp.timestamp);
        quality.on_packet(now, flow.ssrc, taken.rtp.sequence, timestamp);
        if !is_event {
            let jitter = f64::from(quality.jitter_ms());
            sum += jitter;
            largest = largest.max(jitter);
            measured += 1;
        }
        if let Content::Audio(codec) = content
            && !meaning.encrypted
            && sound != Sound::Heard
        {
            sound = match decoder.peak(codec, taken.rtp.payload) {
                ..=SILENCE_PEAK => Sound::Silence,
                _ => Sound::Heard,
            };
        }
    }
    let report = quality.report(0, None);
    let decoded = meaning.codec(flow).is_some();
    Figures {
        codec: match usize::try_from(event_packets) == Ok(flow.packets.len()) {
            true => "telephone-event".to_owned(),
            false => name(flow, meaning),
        },
        packets: report.packets_received,
        lost: report.packets_lost,
        // The first packet has nothing to differ from.
        jitter_mean_ms: sum / f64::from(measured.saturating_sub(1).max(1)),
        jitter_max_ms: largest,
        jitter_last_ms: f64::from(quality.jitter_ms()),
        mos: report.mos.filter(|_| decoded).map(f64::from),
        sound,
        event_packets,
    }
}

/// `PCMU`, or `type 96` of a number that nothing explains.
fn name(flow: &Flow<'_>, meaning: &Meaning) -> String {
    if let Some((codec, _)) = meaning.codec(flow) {
        return codec.to_string();
    }
    let mut numbers: Vec<u8> = flow.packets.iter().map(|taken| taken.rtp.payload_type).collect();
    numbers.sort_unstable();
    let most = numbers.chunk_by(|a, b| a == b).max_by_key(|run| run.len());
    let number = most
        .and_then(|run| run.first())
        .copied()
        .unwrap_or(NO_PAYLOAD_TYPE);
    meaning
        .encoding(number)
        .map_or_else(|| format!("type {number}"), super::report::shown)
}

/// What a leg takes in, by the capture's clock.
enum Taking<'a> {
    /// Its own audio or event, after `lost` that never came.
    Received(Packet<'a>, u16),
    /// Audio of the other direction: its echo is no key.
    Sent(Packet<'a>, Codec),
    Info(InfoKey),
}

/// The keys of one stream. `back` is the stream of the other direction, `infos` the keys that came by SIP from its sender.
pub(super) fn keys(
    origin: Instant,
    flow: Option<(&Flow<'_>, &Meaning)>,
    back: Option<(&Flow<'_>, &Meaning)>,
    infos: &[(Duration, InfoKey)],
) -> Vec<HeardKey> {
    let mut taking: Vec<(Duration, Taking<'_>)> =
        infos.iter().map(|(at, key)| (*at, Taking::Info(*key))).collect();
    let mut config = Meaning::default().keys(&EMPTY);
    if let Some((flow, meaning)) = flow.filter(|(_, meaning)| !meaning.encrypted) {
        config = meaning.keys(flow);
        let in_order = in_order(flow);
        taking.extend(in_order.map(|(at, packet, lost)| (at, Taking::Received(packet, lost))));
        if let Some((codec, number)) = back.and_then(|(back, meaning)| meaning.codec(back)) {
            let sent = back.map(|(back, _)| back.packets.as_slice()).unwrap_or_default();
            let audio = sent.iter().filter(|taken| taken.rtp.payload_type == number);
            taking.extend(audio.map(|taken| (taken.at, Taking::Sent(taken.rtp, codec))));
        }
    }
    // Stable: what came at the same time stays in its order.
    taking.sort_by_key(|(at, _)| *at);
    let began = taking.first().map_or(Duration::ZERO, |(at, _)| *at);
    let mut ear = Ear {
        keys: Keys::new(config),
        sent: codec::Decoder::default(),
        origin,
        began,
        found: Vec::new(),
        events: Vec::new(),
    };
    for (at, what) in taking {
        ear.take(at, &what);
    }
    ear.finish()
}

const EMPTY: Flow<'static> = Flow {
    source: std::net::SocketAddr::V4(std::net::SocketAddrV4::new(std::net::Ipv4Addr::UNSPECIFIED, 0)),
    destination: std::net::SocketAddr::V4(std::net::SocketAddrV4::new(std::net::Ipv4Addr::UNSPECIFIED, 0)),
    ssrc: 0,
    packets: Vec::new(),
};

/// The packets as they were sent. One that was overtaken is heard with those that waited for it.
fn in_order<'f, 'a>(flow: &'f Flow<'a>) -> impl Iterator<Item = (Duration, Packet<'a>, u16)> + use<'f, 'a> {
    let mut replay = Replay::default();
    for taken in &flow.packets {
        replay.push(&taken.rtp);
    }
    let mut latest = Duration::ZERO;
    replay
        .finish()
        .into_iter()
        .filter_map(move |Turn { place, lost }| {
            let taken: &Taken<'a> = flow.packets.get(usize::try_from(place).ok()?)?;
            latest = latest.max(taken.at);
            Some((latest, taken.rtp, lost))
        })
}

struct Ear {
    keys: Keys,
    /// Of what the other side sent, for its loudness.
    sent: codec::Decoder,
    origin: Instant,
    began: Duration,
    found: Vec<HeardKey>,
    events: Vec<PressEvent>,
}

impl Ear {
    fn take(&mut self, at: Duration, what: &Taking<'_>) {
        let now = self.origin + at.saturating_sub(self.began);
        self.decide_until(now);
        match what {
            Taking::Received(packet, lost) => {
                let arrival = Arrival::InOrder { lost: *lost };
                self.keys.on_packet(now, packet, arrival, &mut self.events);
            }
            Taking::Sent(packet, codec) => {
                let mean_square = self.sent.mean_square(*codec, packet.payload);
                self.keys.on_sent(mean_square, packet.payload.len(), false);
            }
            Taking::Info(key) => self.keys.on_info(now, *key, &mut self.events),
        }
        self.note();
    }

    /// Lets every deadline up to now pass at its own time.
    fn decide_until(&mut self, now: Instant) {
        let mut last = None;
        while let Some((at, _)) = self.keys.poll_timeout().filter(|(at, _)| *at <= now) {
            // A deadline that stays where it is would hold us for ever.
            if last.is_some_and(|last| at <= last) {
                self.keys.poll(now, &mut self.events);
                break;
            }
            last = Some(at);
            self.keys.poll(at, &mut self.events);
        }
        self.note();
    }

    fn note(&mut self) {
        for event in self.events.drain(..) {
            match event {
                PressEvent::Pressed(press) => self.found.push(HeardKey {
                    at: self.began + press.started_at.saturating_duration_since(self.origin),
                    press,
                    duration_ms: press.duration_ms,
                }),
                PressEvent::Ended {
                    digit,
                    transport,
                    duration_ms,
                } => {
                    let same = self
                        .found
                        .iter_mut()
                        .rev()
                        .find(|key| key.press.digit == digit && key.press.transport == transport);
                    if let Some(key) = same {
                        key.duration_ms = Some(duration_ms);
                    }
                }
                PressEvent::UnnegotiatedEvents { .. } => {}
            }
        }
    }

    fn finish(mut self) -> Vec<HeardKey> {
        let last = self.keys.poll_timeout().map(|(at, _)| at);
        if let Some(last) = last {
            self.decide_until(last + DECIDED_WITHIN);
        }
        self.found
    }
}
