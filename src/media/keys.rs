//! The keys of one received stream: sorts packets into telephone-event and audio, runs the detectors, merges them.
//!
//! [`Keys`] is what a stream holds: it gets each packet with the verdict on its sequence number
//! ([`super::quality::ReceiveQuality::on_packet`]) and gives [`PressEvent`]s. Lost audio is told to the in-band
//! detector as lost; a gap in timestamps without a gap in sequence numbers is silence that was not sent. What our side
//! sends is told to it as well, for the echo.
//!
//! Payload types: the agreed audio and telephone-event numbers; every codec by its static number too, since a
//! peer may change between agreed codecs without a word (RFC 3264 §6.1); telephone-event that was not agreed only as
//! 101 with a 4-octet payload, told once. Everything else (comfort noise, unknown) is ignored.
use std::time::{Duration, Instant};

use super::inband::{Detector, ToneEvent};
use super::press::{DtmfMode, InfoKey, PressEvent, PressMerger};
use super::rtp::{Arrival, Packet};
use super::telephone_event::{EVENT_LEN, EventPacket, EventReceiver, EventReport};
use crate::model::Codec;

/// The number that peers use for telephone-event when they forget to say so.
const USUAL_EVENT_PT: u8 = 101;
/// Audio payloads longer than this are no telephony: 60 ms is the most that we agree to, 100 ms the most that is read.
const AUDIO_LEN_MAX: usize = 800;
/// A timestamp gap up to this many samples (1 s) is filled; a longer one is a new start.
const GAP_SAMPLES_MAX: u32 = 8000;

/// What was agreed, as far as keys care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeysConfig {
    pub mode: DtmfMode,
    pub codec: Codec,
    pub payload_type: u8,
    pub telephone_event: Option<u8>,
    pub ptime_ms: u8,
}

/// What a packet carries for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    Audio(Codec),
    Event { negotiated: bool },
    Other,
}

/// Last audio that went to the detector.
#[derive(Debug, Clone, Copy)]
struct Heard {
    ssrc: u32,
    /// Timestamp after its last sample.
    end_timestamp: u32,
}

/// Detectors and merger of one stream.
#[derive(Debug, Clone)]
pub struct Keys {
    config: KeysConfig,
    events: EventReceiver,
    detector: Detector,
    heard: Option<Heard>,
    merger: PressMerger,
    unnegotiated_told: bool,
    reports: Vec<EventReport>,
    tones: Vec<ToneEvent>,
}

impl Keys {
    #[must_use]
    pub fn new(config: KeysConfig) -> Self {
        Self {
            config,
            events: EventReceiver::new(config.ptime_ms),
            detector: Detector::new(),
            heard: None,
            merger: PressMerger::new(config.mode, config.telephone_event.is_some()),
            unnegotiated_told: false,
            reports: Vec::with_capacity(4),
            tones: Vec::with_capacity(4),
        }
    }

    /// Another SDP; presses under way go on.
    pub fn renegotiate(&mut self, config: KeysConfig) {
        self.config = config;
        self.events.renegotiate(config.ptime_ms);
        self.merger
            .renegotiate(config.mode, config.telephone_event.is_some());
    }

    /// What a packet carries, by its payload type and size.
    #[must_use]
    pub fn content(&self, packet: &Packet<'_>) -> Content {
        let payload_type = packet.payload_type;
        if self.config.telephone_event == Some(payload_type) {
            return Content::Event { negotiated: true };
        }
        if self.config.payload_type == payload_type {
            return Content::Audio(self.config.codec);
        }
        if payload_type == USUAL_EVENT_PT && packet.payload.len() == EVENT_LEN {
            return Content::Event { negotiated: false };
        }
        let by_static_number = Codec::ALL
            .iter()
            .find(|c| c.static_payload_type() == payload_type);
        by_static_number.map_or(Content::Other, |codec| Content::Audio(*codec))
    }

    /// Takes one packet. A stray one (a sequence number out of nowhere) proves nothing and is dropped.
    pub fn on_packet(
        &mut self,
        now: Instant,
        packet: &Packet<'_>,
        arrival: Arrival,
        out: &mut Vec<PressEvent>,
    ) {
        if arrival == Arrival::Stray {
            return;
        }
        match self.content(packet) {
            Content::Audio(codec) => self.on_audio(now, packet, codec, arrival, out),
            Content::Event { negotiated } => self.on_event(now, packet, negotiated, out),
            Content::Other => {}
        }
    }

    /// Whether [`Self::on_sent`] changes anything.
    #[must_use]
    pub const fn heeds_own_sound(&self) -> bool {
        !matches!(self.config.mode, DtmfMode::Rfc4733)
    }

    /// Audio that our side sent, its mean square and how long it is: the in-band detector knows its echo. `are_tones` when
    /// it was keys.
    pub fn on_sent(&mut self, mean_square: f32, samples: usize, are_tones: bool) {
        if !self.heeds_own_sound() {
            return;
        }
        if are_tones {
            self.detector.sent_keys();
        }
        self.detector.played_as_loud(mean_square, samples);
    }

    /// A key by SIP INFO.
    pub fn on_info(&mut self, now: Instant, key: InfoKey, out: &mut Vec<PressEvent>) {
        self.merger.info(now, key, out);
    }

    /// Ends what ends by silence: lost event ends, tones that waited for an event.
    pub fn poll(&mut self, now: Instant, out: &mut Vec<PressEvent>) {
        self.events.poll(now, &mut self.reports);
        self.drain_reports(now, out);
        self.merger.poll(now, out);
    }

    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let timeouts = [self.events.poll_timeout(), self.merger.poll_timeout()];
        timeouts.into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    fn on_event(&mut self, now: Instant, packet: &Packet<'_>, negotiated: bool, out: &mut Vec<PressEvent>) {
        if self.config.mode == DtmfMode::Inband {
            return;
        }
        let event = EventPacket {
            ssrc: packet.ssrc,
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            payload: packet.payload,
        };
        let Ok(evidence) = self.events.on_packet(now, event, &mut self.reports) else {
            return;
        };
        if !negotiated && !self.unnegotiated_told {
            self.unnegotiated_told = true;
            let payload_type = packet.payload_type;
            out.push(PressEvent::UnnegotiatedEvents { payload_type });
        }
        self.merger.event_packet(now, evidence);
        self.drain_reports(now, out);
    }

    fn drain_reports(&mut self, now: Instant, out: &mut Vec<PressEvent>) {
        for report in self.reports.drain(..) {
            match report {
                EventReport::Began { digit, started_at } => {
                    self.merger.event_began(now, digit, started_at, out);
                }
                EventReport::Ended { digit, duration_ms } => {
                    self.merger.event_ended(now, digit, duration_ms, out);
                }
            }
        }
    }

    fn on_audio(
        &mut self,
        now: Instant,
        packet: &Packet<'_>,
        codec: Codec,
        arrival: Arrival,
        out: &mut Vec<PressEvent>,
    ) {
        let in_order = matches!(arrival, Arrival::InOrder { .. } | Arrival::Started);
        let unusable = !in_order || packet.payload.is_empty() || packet.payload.len() > AUDIO_LEN_MAX;
        if self.config.mode == DtmfMode::Rfc4733 || unusable {
            return;
        }
        if self.heard.is_some_and(|heard| heard.ssrc != packet.ssrc) {
            self.detector.new_source();
        }
        let lost = matches!(arrival, Arrival::InOrder { lost: 1.. });
        self.fill_gap(packet, lost);
        self.detector.audio(codec, packet.payload, &mut self.tones);
        let length = u32::try_from(packet.payload.len()).unwrap_or(0);
        self.heard = Some(Heard {
            ssrc: packet.ssrc,
            end_timestamp: packet.timestamp.wrapping_add(length),
        });
        for tone in self.tones.drain(..) {
            match tone {
                ToneEvent::Began { digit, start } => {
                    let age = Duration::from_millis(self.detector.age_ms(start));
                    let started_at = now.checked_sub(age).unwrap_or(now);
                    self.merger.tone_began(now, digit, started_at, out);
                }
                ToneEvent::Ended { digit, start, end } => {
                    let duration_ms = u32::try_from(end.saturating_sub(start) / 8).unwrap_or(u32::MAX);
                    self.merger.tone_ended(now, digit, duration_ms, out);
                }
            }
        }
        self.merger.poll(now, out);
    }

    /// Tells the detector of the samples between the last packet and this one.
    fn fill_gap(&mut self, packet: &Packet<'_>, lost: bool) {
        let Some(heard) = self.heard.filter(|h| h.ssrc == packet.ssrc) else {
            return;
        };
        let gap = packet.timestamp.wrapping_sub(heard.end_timestamp);
        match gap {
            0 => {}
            1..=GAP_SAMPLES_MAX if lost => self.detector.lost(u64::from(gap), &mut self.tones),
            1..=GAP_SAMPLES_MAX => self.detector.silence(u64::from(gap), &mut self.tones),
            _ => self.detector.silence(u64::from(GAP_SAMPLES_MAX), &mut self.tones),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::tone::ToneSender;
    use crate::media::{codec, rtp};
    use crate::model::{Digits, KeyTransport};

    const CONFIG: KeysConfig = KeysConfig {
        mode: DtmfMode::Auto,
        codec: Codec::Pcmu,
        payload_type: 0,
        telephone_event: Some(101),
        ptime_ms: 20,
    };

    struct Bench {
        start: Instant,
        keys: Keys,
        tracker: rtp::SequenceTracker,
        ssrc: u32,
        out: Vec<PressEvent>,
    }

    impl Bench {
        #[expect(
            clippy::disallowed_methods,
            reason = "a test needs some origin; only differences count"
        )]
        fn new(config: KeysConfig) -> Self {
            Self {
                start: Instant::now(),
                keys: Keys::new(config),
                tracker: rtp::SequenceTracker::default(),
                ssrc: 7,
                out: Vec::new(),
            }
        }

        /// Packet number `n` of a stream of 20 ms packets.
        fn packet(&mut self, n: u16, payload_type: u8, payload: &[u8]) {
            self.packet_at(n, payload_type, u32::from(n) * 160, payload);
        }

        fn packet_at(&mut self, n: u16, payload_type: u8, timestamp: u32, payload: &[u8]) {
            let now = self.start + Duration::from_millis(1000 + 20 * u64::from(n));
            let packet = Packet {
                payload_type,
                marker: false,
                sequence: n,
                timestamp,
                ssrc: self.ssrc,
                payload,
            };
            let arrival = self.tracker.on_packet(n);
            self.keys.on_packet(now, &packet, arrival, &mut self.out);
            self.keys.poll(now, &mut self.out);
        }

        fn audio(&mut self, digits: &str, codec: Codec, skip: &[u16]) {
            let mut sender = ToneSender::new(Digits::parse(digits).unwrap());
            let (mut pcm, mut octets) = ([0; 160], [0; 160]);
            for n in 0..100 {
                sender.fill(&mut pcm);
                codec::encode(codec, &pcm, &mut octets);
                if !skip.contains(&n) {
                    self.packet(n, codec.static_payload_type(), &octets);
                }
            }
        }

        fn presses(&self) -> Vec<(char, KeyTransport, bool)> {
            let presses = self.out.iter().filter_map(|event| match event {
                PressEvent::Pressed(p) => Some((p.digit.as_char(), p.transport, p.mismatch)),
                PressEvent::Ended { .. } | PressEvent::UnnegotiatedEvents { .. } => None,
            });
            presses.collect()
        }
    }

    #[test]
    fn tones_instead_of_agreed_events_count_and_are_flagged() {
        let mut bench = Bench::new(CONFIG);
        bench.audio("1#", Codec::Pcmu, &[]);
        let inband = KeyTransport::Inband;
        assert_eq!(bench.presses(), [('1', inband, true), ('#', inband, true)]);
        let PressEvent::Pressed(press) = bench.out[0] else {
            panic!("{:?}", bench.out)
        };
        let waited = press.at - press.started_at;
        assert!((120..=145).contains(&waited.as_millis()), "{waited:?}");
        let PressEvent::Ended { duration_ms, .. } = bench.out[1] else {
            panic!("{:?}", bench.out)
        };
        assert!((90..=110).contains(&duration_ms), "{duration_ms}");
    }

    #[test]
    fn without_agreed_events_a_tone_counts_within_two_packets() {
        let config = KeysConfig {
            telephone_event: None,
            ..CONFIG
        };
        for codec in [Codec::Pcmu, Codec::Pcma] {
            let mut bench = Bench::new(config);
            bench.audio("#", codec, &[]);
            assert_eq!(bench.presses(), [('#', KeyTransport::Inband, false)], "{codec}");
            let PressEvent::Pressed(press) = bench.out[0] else {
                panic!("{:?}", bench.out)
            };
            assert!((press.at - press.started_at).as_millis() <= 45);
        }
    }

    /// Three packet times, at least 120 ms, of what was agreed last: a lost packet of 60 ms ends no press.
    #[test]
    fn a_lost_end_is_waited_for_by_the_packet_time_agreed_last() {
        let mut bench = Bench::new(CONFIG);
        bench.keys.renegotiate(KeysConfig {
            ptime_ms: 60,
            ..CONFIG
        });
        let end_is_due = |bench: &Bench| {
            let (due, _) = bench.keys.poll_timeout().unwrap();
            (due - bench.start).as_millis() - 1000
        };
        // Numbered by 20 ms; of packets of 60 ms the third is lost.
        for n in [0_u16, 3, 9] {
            let [high, low] = (160 * (n + 3)).to_be_bytes();
            bench.packet_at(n, 101, 8000, &[11, 10, high, low]);
            assert_eq!(end_is_due(&bench), u128::from(n) * 20 + 180);
        }
        let still_down = [('#', KeyTransport::Rfc4733, false)];
        assert_eq!(
            (bench.presses().as_slice(), bench.out.len()),
            (&still_down[..], 1)
        );
        bench.keys.renegotiate(CONFIG);
        assert_eq!(end_is_due(&bench), 180 + 120);
        let now = bench.start + Duration::from_millis(1300);
        bench.keys.poll(now, &mut bench.out);
        assert!(
            matches!(bench.out[1..], [PressEvent::Ended { duration_ms: 240, .. }]),
            "{:?}",
            bench.out
        );
    }

    /// Of the packets that come while a tone waits, only those of a key that is or may be pressed take its place.
    #[test]
    fn a_tone_that_waits_outlasts_events_that_are_no_press() {
        // Event, octet of flags, timestamp; before the tone a 1 was pressed, at the timestamp 0.
        for (event, flags, timestamp, heard) in [
            (16, 0x0a, 2400, "15"),
            (1, 0x8a, 0, "15"),
            (7, 0x0a, 2400, "1"),
            (7, 0x8a, 2400, "17"),
        ] {
            let mut bench = Bench::new(CONFIG);
            bench.packet(0, 101, &[1, 0x8a, 3, 0x20]);
            let mut sender = ToneSender::new(Digits::parse("5").unwrap());
            let (mut pcm, mut octets) = ([0; 160], [0; 160]);
            for n in 10..40 {
                sender.fill(&mut pcm);
                codec::encode(Codec::Pcmu, &pcm, &mut octets);
                match n {
                    // The tone is over, and waits until 120 ms after it began.
                    15 => bench.packet_at(n, 101, timestamp, &[event, flags, 0, 160]),
                    _ => bench.packet(n, 0, &octets),
                }
            }
            let keys: String = bench.presses().iter().map(|(digit, ..)| *digit).collect();
            assert_eq!(keys, heard, "event {event} at {timestamp}");
        }
    }

    #[test]
    fn the_echo_of_our_own_tones_is_no_key() {
        for (told, heard) in [(false, 1), (true, 0)] {
            let mut bench = Bench::new(KeysConfig {
                telephone_event: None,
                ..CONFIG
            });
            let mut sender = ToneSender::new(Digits::parse("#").unwrap());
            let (mut pcm, mut octets) = ([0; 160], [0; 160]);
            for n in 0..30 {
                let sends = sender.fill(&mut pcm);
                codec::encode(Codec::Pcmu, &pcm, &mut octets);
                if told {
                    let loud = codec::mean_square(Codec::Pcmu, &octets).unwrap();
                    bench.keys.on_sent(loud, octets.len(), sends);
                }
                // It comes back at once, 12 dB weaker.
                codec::encode(Codec::Pcmu, &pcm.map(|s| s / 4), &mut octets);
                bench.packet(n, 0, &octets);
            }
            assert_eq!(bench.presses().len(), heard);
        }
    }

    /// As after a transfer: its encoder begins where the standard says, whatever the one before had come to.
    #[test]
    fn the_first_key_of_another_source_of_g722_is_heard() {
        let mut bench = Bench::new(KeysConfig {
            telephone_event: None,
            codec: Codec::G722,
            payload_type: 9,
            ..CONFIG
        });
        for (source, digit) in ["1", "8", "#"].into_iter().enumerate() {
            bench.ssrc = source as u32;
            let mut sender = ToneSender::new(Digits::parse(digit).unwrap());
            let mut encoder = codec::g722::NarrowEncoder::default();
            for n in 0..6 {
                let (mut pcm, mut octets) = ([0; 160], [0; 160]);
                sender.fill(&mut pcm);
                encoder.encode(&pcm, &mut octets);
                bench.packet(20 * source as u16 + n, 9, &octets);
            }
        }
        let keys: String = bench.presses().iter().map(|(key, ..)| *key).collect();
        assert_eq!(keys, "18#");
    }

    #[test]
    fn a_lost_packet_inside_a_tone_does_not_split_it() {
        let config = KeysConfig {
            telephone_event: None,
            ..CONFIG
        };
        let mut bench = Bench::new(config);
        bench.audio("5", Codec::Pcmu, &[3]);
        assert_eq!(bench.presses().len(), 1);
        let ended = bench.out.iter().find_map(|event| match event {
            PressEvent::Ended { duration_ms, .. } => Some(*duration_ms),
            PressEvent::Pressed(_) | PressEvent::UnnegotiatedEvents { .. } => None,
        });
        assert!((90..=110).contains(&ended.unwrap()), "{ended:?}");
    }

    #[test]
    fn audio_that_is_not_sent_is_a_pause() {
        let config = KeysConfig {
            telephone_event: None,
            ..CONFIG
        };
        let mut bench = Bench::new(config);
        let mut sender = ToneSender::new(Digits::parse("5").unwrap());
        let (mut pcm, mut octets) = ([0; 160], [0; 160]);
        for n in 0..5 {
            sender.fill(&mut pcm);
            codec::encode(Codec::Pcmu, &pcm, &mut octets);
            bench.packet(n, 0, &octets);
        }
        let mut again = ToneSender::new(Digits::parse("5").unwrap());
        for n in 5..10 {
            again.fill(&mut pcm);
            codec::encode(Codec::Pcmu, &pcm, &mut octets);
            bench.packet_at(n, 0, u32::from(n) * 160 + 4000, &octets);
        }
        assert_eq!(bench.presses().len(), 2);
    }

    #[test]
    fn events_that_were_not_agreed_are_accepted_as_101_and_told_once() {
        let config = KeysConfig {
            telephone_event: None,
            ..CONFIG
        };
        let mut bench = Bench::new(config);
        for n in 0..4_u8 {
            bench.packet_at(u16::from(n), 101, 0, &[11, 10, 0, 160 + n]);
        }
        bench.packet_at(4, 101, 0, &[11, 0x8a, 3, 32]);
        bench.packet_at(5, 96, 0, &[3, 0x8a, 3, 32]);
        bench.packet_at(6, 101, 0, &[3, 0x8a, 3, 32, 4, 0x8a, 3, 32]);
        assert_eq!(bench.presses(), [('#', KeyTransport::Rfc4733, false)]);
        let told = bench
            .out
            .iter()
            .filter(|e| matches!(e, PressEvent::UnnegotiatedEvents { payload_type: 101 }));
        assert_eq!(told.count(), 1);
    }

    #[test]
    fn a_stray_packet_is_no_evidence() {
        let mut bench = Bench::new(CONFIG);
        bench.packet(10, 0, &[0xff; 160]);
        bench.packet_at(40_000, 101, 5, &[11, 0x8a, 3, 32]);
        assert_eq!(bench.presses(), []);
    }

    #[test]
    fn a_new_dtmf_method_takes_effect_within_the_stream() {
        let mut bench = Bench::new(CONFIG);
        bench.keys.renegotiate(KeysConfig {
            telephone_event: Some(96),
            ..CONFIG
        });
        bench.packet_at(0, 96, 0, &[11, 0x8a, 3, 32]);
        assert_eq!(bench.presses(), [('#', KeyTransport::Rfc4733, false)]);
    }
}
