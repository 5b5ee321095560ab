//! The receiving side: which packets are believed, and where they go.
//!
//! The socket admits only the agreed address. Of what comes from there, a packet counts if its payload type is one
//! that can be meant, its source is one that counts ([`super::source`]), and its sequence number fits (SAFETY 3).
//!
//! Its timestamp is asked only where it means something: which press an event belongs to, which source is learnt. As a
//! test of the followed source's audio it would refuse honest peers, whose clocks begin anew after hold and with each
//! talk spurt, and nobody else: the marker must excuse a jump, and who forges SSRC and sequence number can set it.
use std::time::Instant;

use super::order::{Item, Order};
use super::recording::Recorder;
use super::screen::Screen;
use super::source::{Admission, Sources};
use crate::media::codec;
use crate::media::command::{MediaEvent, StreamConfig};
use crate::media::keys::{Content, Keys, KeysConfig};
use crate::media::press::{InfoKey, PressEvent};
use crate::media::quality::{ReceiveQuality, ReceptionFigures};
use crate::media::rtp::{Arrival, Packet};
use crate::model::Codec;

/// Audio that proves silence: a second of it in packets of 20 ms.
const SILENT_PACKETS_MIN: u32 = 50;
/// What silence decodes to is no louder.
const SILENCE_PEAK: i16 = 8;

/// RFC 3389.
const COMFORT_NOISE_PAYLOAD_TYPE: u8 = 13;

/// Received datagrams that were not believed, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rejects {
    /// No RTP, or no payload.
    pub malformed: u64,
    /// The agreed direction forbids the peer to send.
    pub direction: u64,
    pub payload_type: u64,
    /// Another source than the one followed.
    pub source: u64,
    /// A duplicate, or a sequence number from nowhere.
    pub order: u64,
    /// Keys are agreed, and they did not make this packet, or it came before.
    pub srtp: u64,
}

impl Rejects {
    /// Each with the word for its reason.
    #[must_use]
    pub const fn by_reason(&self) -> [(&'static str, u64); 6] {
        [
            ("malformed", self.malformed),
            ("direction", self.direction),
            ("payload_type", self.payload_type),
            ("source", self.source),
            ("order", self.order),
            ("srtp", self.srtp),
        ]
    }

    const fn since(&self, before: &Self) -> Self {
        Self {
            malformed: self.malformed - before.malformed,
            direction: self.direction - before.direction,
            payload_type: self.payload_type - before.payload_type,
            source: self.source - before.source,
            order: self.order - before.order,
            srtp: self.srtp - before.srtp,
        }
    }
}

#[derive(Debug)]
pub(super) struct Receiver {
    quality: ReceiveQuality,
    sources: Sources,
    order: Order,
    keys: Keys,
    /// Filled and emptied within one call; kept so that no packet allocates.
    presses: Vec<PressEvent>,
    recorder: Option<Recorder>,
    rejects: Rejects,
    /// As they were when they were last taken.
    rejects_taken: Rejects,
    callee: Callee,
    /// Only where it was asked for.
    screen: Option<Box<Screen>>,
    sound: Sound,
    /// Until the first sound.
    sound_decoder: codec::Decoder,
}

/// What was in the audio since the answer. Comfort noise is none: it is made by the network, not by a microphone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sound {
    /// So many packets of digital silence so far.
    None(u32),
    Heard,
}

/// Whether the answered side was heard. The stream itself may have begun with early media.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Callee {
    NotAwaited,
    Awaited,
    Heard,
}

impl Receiver {
    pub(super) fn new(config: &StreamConfig) -> Self {
        Self {
            quality: ReceiveQuality::default(),
            sources: Sources::default(),
            order: Order::default(),
            keys: Keys::new(keys_config(config)),
            presses: Vec::with_capacity(4),
            recorder: config.collect_audio.then(|| Recorder::new(config.codec)),
            rejects: Rejects::default(),
            rejects_taken: Rejects::default(),
            callee: Callee::NotAwaited,
            screen: None,
            sound: Sound::None(0),
            sound_decoder: codec::Decoder::default(),
        }
    }

    pub(super) fn update(&mut self, config: &StreamConfig) {
        self.keys.renegotiate(keys_config(config));
        if self.recorder.is_none() && config.collect_audio {
            self.recorder = Some(Recorder::new(config.codec));
        }
    }

    /// What comes now comes from another address than before.
    pub(super) const fn moved(&mut self) {
        self.sources.moved();
    }

    /// From now on a packet is the callee's.
    pub(super) fn listen_for_callee(&mut self) {
        if self.callee == Callee::NotAwaited {
            self.callee = Callee::Awaited;
        }
    }

    /// From now on more is listened for than keys.
    pub(super) fn screen(&mut self) {
        self.screen = Some(Screen::begin());
    }

    pub(super) const fn reject_unauthentic(&mut self) {
        self.rejects.srtp += 1;
    }

    pub(super) fn take_rejects(&mut self) -> Option<Rejects> {
        if self.rejects == self.rejects_taken {
            return None;
        }
        let before = std::mem::replace(&mut self.rejects_taken, self.rejects);
        Some(self.rejects.since(&before))
    }

    /// What a packet carries, as agreed.
    pub(super) fn content(&self, packet: &Packet<'_>) -> Content {
        self.keys.content(packet)
    }

    pub(super) const fn quality(&self) -> &ReceiveQuality {
        &self.quality
    }

    pub(super) const fn rejects(&self) -> Rejects {
        self.rejects
    }

    /// Whether audio came since the answer, long enough to tell, and all of it was digital silence.
    pub(super) const fn is_silent(&self) -> bool {
        matches!(self.sound, Sound::None(SILENT_PACKETS_MIN..))
    }

    pub(super) fn take_figures(&mut self) -> Option<ReceptionFigures> {
        self.quality.take_figures()
    }

    pub(super) fn take_audio(&mut self, events: &mut Vec<MediaEvent>) {
        if let Some(recorder) = &mut self.recorder {
            events.push(MediaEvent::Audio(Box::new(recorder.take())));
        }
    }

    pub(super) fn info(&mut self, now: Instant, key: InfoKey, events: &mut Vec<MediaEvent>) {
        self.keys.on_info(now, key, &mut self.presses);
        self.tell_presses(events);
    }

    pub(super) fn poll(&mut self, now: Instant, events: &mut Vec<MediaEvent>) {
        if self.keys.poll_timeout().is_some_and(|(at, _)| now >= at) {
            self.keys.poll(now, &mut self.presses);
            self.tell_presses(events);
        }
        if let Some(screen) = &mut self.screen {
            screen.poll(now);
            screen.tell(events);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let screen = self.screen.as_ref().and_then(|screen| screen.poll_timeout());
        let timeouts = [self.keys.poll_timeout(), screen];
        timeouts.into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Whether anything listens for what of our own sound comes back.
    pub(super) const fn heeds_own_sound(&self) -> bool {
        self.screen.is_some() || self.keys.heeds_own_sound()
    }

    /// Audio that our side sent, for what of it comes back.
    pub(super) fn sent(&mut self, mean_square: f32, samples: usize, are_tones: bool) {
        self.keys.on_sent(mean_square, samples, are_tones);
        if let Some(screen) = &mut self.screen {
            screen.sent(mean_square, samples);
        }
    }

    pub(super) fn handle(
        &mut self,
        now: Instant,
        datagram: &[u8],
        config: &StreamConfig,
        events: &mut Vec<MediaEvent>,
    ) {
        let Ok(packet) = Packet::parse(datagram) else {
            self.rejects.malformed += 1;
            return;
        };
        if !config.receive {
            self.rejects.direction += 1;
            return;
        }
        let content = self.keys.content(&packet);
        if content == Content::Other && packet.payload_type != COMFORT_NOISE_PAYLOAD_TYPE {
            self.rejects.payload_type += 1;
            return;
        }
        if packet.payload.is_empty() {
            self.rejects.malformed += 1;
            return;
        }
        match self.sources.admit(now, &packet, content, config.ptime_ms) {
            Admission::Refused => self.rejects.source += 1,
            // Its sequence numbers are not the audio's; the event's own timestamp tells repeats.
            Admission::EventsOnly => {
                let arrival = Arrival::InOrder { lost: 0 };
                self.keys.on_packet(now, &packet, arrival, &mut self.presses);
            }
            Admission::Followed => self.follow(now, &packet, content, events),
        }
        self.tell_presses(events);
    }

    fn follow(&mut self, now: Instant, packet: &Packet<'_>, content: Content, events: &mut Vec<MediaEvent>) {
        let audio_timestamp = match content {
            Content::Audio(_) => Some(packet.timestamp),
            Content::Event { .. } | Content::Other => None,
        };
        let first = self.quality.packets_received() == 0;
        let arrival = self
            .quality
            .on_packet(now, packet.ssrc, packet.sequence, audio_timestamp);
        match arrival {
            Arrival::Duplicate | Arrival::Stray => {
                self.rejects.order += 1;
                return;
            }
            Arrival::Started => self.order.restart(),
            Arrival::InOrder { .. } | Arrival::Late => {}
        }
        self.sources.heard(now);
        if first {
            events.push(MediaEvent::FirstPacket);
        }
        if self.callee == Callee::Awaited {
            self.callee = Callee::Heard;
            events.push(MediaEvent::Heard);
        }
        let item = match content {
            Content::Audio(codec) => {
                self.judge_sound(codec, packet.payload);
                if let Some(recorder) = &mut self.recorder {
                    recorder.put(codec, packet.ssrc, packet.timestamp, packet.payload);
                }
                Item::Audio(*packet)
            }
            Content::Event { .. } => {
                self.keys.on_packet(now, packet, arrival, &mut self.presses);
                Item::Other
            }
            Content::Other => Item::Other,
        };
        let (keys, presses, screen) = (&mut self.keys, &mut self.presses, &mut self.screen);
        self.order.take(packet.sequence, item, &mut |turn| {
            let arrival = Arrival::InOrder { lost: turn.lost };
            keys.on_packet(now, &turn.packet, arrival, presses);
            if let (Some(screen), Content::Audio(codec)) = (screen.as_mut(), keys.content(&turn.packet)) {
                screen.packet(now, codec, &turn.packet, turn.lost);
            }
        });
    }

    /// Until the first sound; then it costs nothing any more.
    fn judge_sound(&mut self, codec: Codec, payload: &[u8]) {
        if let (Sound::None(packets), Callee::Heard) = (self.sound, self.callee) {
            self.sound = match self.sound_decoder.peak(codec, payload) {
                ..=SILENCE_PEAK => Sound::None(packets.saturating_add(1)),
                _ => Sound::Heard,
            };
        }
    }

    fn tell_presses(&mut self, events: &mut Vec<MediaEvent>) {
        let pressed = self.presses.iter().any(|p| matches!(p, PressEvent::Pressed(_)));
        events.extend(self.presses.drain(..).map(|press| match press {
            PressEvent::Pressed(press) => MediaEvent::Press(press),
            PressEvent::Ended {
                digit,
                transport,
                duration_ms,
            } => MediaEvent::PressEnded {
                digit,
                transport,
                duration_ms,
            },
            PressEvent::UnnegotiatedEvents { payload_type } => {
                MediaEvent::UnnegotiatedEvents { payload_type }
            }
        }));
        // A press counts before what is found in the same packet.
        if let Some(screen) = &mut self.screen {
            if pressed {
                screen.key();
            }
            screen.tell(events);
        }
    }
}

const fn keys_config(config: &StreamConfig) -> KeysConfig {
    KeysConfig {
        mode: config.dtmf,
        codec: config.codec,
        payload_type: config.payload_type,
        telephone_event: config.telephone_event,
        ptime_ms: config.ptime_ms,
    }
}
