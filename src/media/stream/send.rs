//! The sending side: what leaves when, in which packet.
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::impair::Impairer;
use crate::media::codec::{self, Encoder, SAMPLES_PER_MS};
use crate::media::command::{Impairment, Keying, MediaEvent, MediaRefusal, StreamConfig};
use crate::media::playout::Playout;
use crate::media::rtcp::SentFigures;
use crate::media::rtp::{HEADER_LEN, Header};
use crate::media::telephone_event::{EVENT_LEN, EventSender, SendStep};
use crate::media::tone::ToneSender;
use crate::model::{Codec, Digits, Entropy, KeyTransport};

/// Packets that a late caller may send at once; more would be a burst that jitter buffers throw away.
const OWED_MAX: u32 = 2;

/// Longest payload: 60 ms.
const PAYLOAD_OCTETS_MAX: usize = 60 * SAMPLES_PER_MS;

/// Groups of keys that wait for the one being sent.
const KEYS_WAITING_MAX: usize = 8;

/// A packet in the caller's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outgoing {
    pub len: usize,
    /// How often to send it: 1, unless the simulator asked for damage.
    pub copies: u8,
}

#[derive(Debug)]
pub(super) struct Sender {
    ssrc: u32,
    sequence: u16,
    /// Media time of the next packet.
    timestamp: u32,
    due: Instant,
    ptime: Duration,
    samples: u32,
    /// The next audio packet follows a gap.
    marker: bool,
    keying: Option<KeySender>,
    keys_waiting: VecDeque<(Digits, Keying)>,
    impairer: Option<Box<Impairer>>,
    entropy: Entropy,
    packets_sent: u64,
    octets_sent: u64,
    packets_reported: u64,
    skipped: u64,
}

/// Keys on their way out.
#[derive(Debug)]
enum KeySender {
    Events { sender: EventSender, payload_type: u8 },
    Tones { sender: ToneSender, encoder: Encoder },
}

/// What goes into the packet that is due.
enum Content {
    Audio,
    Event {
        payload_type: u8,
        payload: [u8; EVENT_LEN],
        marker: bool,
        timestamp: u32,
    },
}

impl Sender {
    pub(super) fn new(now: Instant, config: &StreamConfig, mut entropy: Entropy) -> Self {
        let mut sender = Self {
            ssrc: entropy.u32(),
            sequence: first_sequence(config, &mut entropy),
            timestamp: entropy.u32(),
            due: now,
            ptime: Duration::ZERO,
            samples: 0,
            marker: true,
            keying: None,
            keys_waiting: VecDeque::new(),
            impairer: None,
            entropy,
            packets_sent: 0,
            octets_sent: 0,
            packets_reported: 0,
            skipped: 0,
        };
        sender.update(config);
        sender
    }

    pub(super) fn update(&mut self, config: &StreamConfig) {
        self.ptime = Duration::from_millis(u64::from(config.ptime_ms));
        self.samples = u32::from(config.ptime_ms) * SAMPLES_PER_MS as u32;
    }

    pub(super) const fn ssrc(&self) -> u32 {
        self.ssrc
    }

    pub(super) const fn due(&self) -> Instant {
        self.due
    }

    pub(super) const fn packets_sent(&self) -> u64 {
        self.packets_sent
    }

    pub(super) const fn take_skipped(&mut self) -> u64 {
        std::mem::replace(&mut self.skipped, 0)
    }

    /// For a sender report; `None` when nothing was sent since the last one (RFC 3550 §6.4).
    pub(super) fn take_figures(&mut self, now: Instant) -> Option<SentFigures> {
        if self.packets_sent == self.packets_reported {
            return None;
        }
        self.packets_reported = self.packets_sent;
        // The next packet's media time is that of its due time, which may lie on either side of now.
        let ahead = samples_in(self.due.saturating_duration_since(now));
        let behind = samples_in(now.saturating_duration_since(self.due));
        Some(SentFigures {
            packets: self.packets_sent as u32,
            octets: self.octets_sent as u32,
            rtp_timestamp: self.timestamp.wrapping_sub(ahead).wrapping_add(behind),
        })
    }

    pub(super) fn send_digits(&mut self, digits: Digits, keying: Keying, events: &mut Vec<MediaEvent>) {
        if self.keys_waiting.len() >= KEYS_WAITING_MAX {
            events.push(MediaEvent::Refused(MediaRefusal::TooManyKeys(KEYS_WAITING_MAX)));
            return;
        }
        self.keys_waiting.push_back((digits, keying));
    }

    /// Drops keys that have not left. A key in the middle ends for the peer by its own timeout (RFC 4733
    /// §2.5.2.2).
    pub(super) fn stop_digits(&mut self) {
        self.keys_waiting.clear();
        if self.keying.take().is_some() {
            self.marker = true;
        }
    }

    pub(super) fn impair(&mut self, impairment: Impairment) {
        self.impairer = match impairment {
            Impairment {
                drop_per_mille: 0,
                duplicate_per_mille: 0,
                reorder_per_mille: 0,
            } => None,
            damage => Some(Box::new(Impairer::new(damage, self.entropy.fork()))),
        };
    }

    /// Whether the last packet was of keys as tones.
    pub(super) const fn is_sending_tones(&self) -> bool {
        matches!(self.keying, Some(KeySender::Tones { .. }))
    }

    pub(super) fn next_packet(
        &mut self,
        now: Instant,
        config: &StreamConfig,
        playout: &mut Playout,
        buffer: &mut [u8],
        events: &mut Vec<MediaEvent>,
    ) -> Option<Outgoing> {
        if let Some(impairer) = &mut self.impairer
            && let Some(len) = impairer.release(buffer)
        {
            return Some(Outgoing { len, copies: 1 });
        }
        let late = now.checked_duration_since(self.due)?;
        // Centuries of nanoseconds fit into 64 bits, and their division is cheap.
        let owed = (late.as_nanos() as u64 / (self.ptime.as_nanos() as u64).max(1)).saturating_add(1);
        let owed = u32::try_from(owed).unwrap_or(u32::MAX);
        if !config.send {
            self.pass_over(owed);
            return None;
        }
        if owed > OWED_MAX {
            self.pass_over(owed - OWED_MAX);
            self.skipped += u64::from(owed - OWED_MAX);
        }
        let len = self.write(config, playout, buffer, events)?;
        self.packets_sent += 1;
        self.octets_sent += (len - HEADER_LEN) as u64;
        let copies = match &mut self.impairer {
            Some(impairer) => impairer.copies_of(buffer.get(..len)?),
            None => 1,
        };
        Some(Outgoing { len, copies })
    }

    fn write(
        &mut self,
        config: &StreamConfig,
        playout: &mut Playout,
        buffer: &mut [u8],
        events: &mut Vec<MediaEvent>,
    ) -> Option<usize> {
        let mut audio = [0; PAYLOAD_OCTETS_MAX];
        let audio = audio.get_mut(..self.samples as usize)?;
        let content = self.content(config, playout, audio, events);
        let mut header = Header {
            payload_type: config.payload_type,
            marker: false,
            sequence: self.sequence,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
        };
        self.sequence = self.sequence.wrapping_add(1);
        self.advance(1);
        match content {
            Content::Audio => {
                header.marker = std::mem::replace(&mut self.marker, false);
                header.write(audio, buffer).ok()
            }
            Content::Event {
                payload_type,
                payload,
                marker,
                timestamp,
            } => {
                // Audio pauses while the event lasts, so what follows is a new talk spurt.
                self.marker = true;
                header.payload_type = payload_type;
                header.marker = marker;
                header.timestamp = timestamp;
                header.write(&payload, buffer).ok()
            }
        }
    }

    /// Keys before the prompt, the prompt before silence. Audio goes into `audio`.
    fn content(
        &mut self,
        config: &StreamConfig,
        playout: &mut Playout,
        audio: &mut [u8],
        events: &mut Vec<MediaEvent>,
    ) -> Content {
        // Every turn but the last ends a group of keys.
        for _ in 0..=KEYS_WAITING_MAX {
            if self.keying.is_none() {
                self.keying = self
                    .keys_waiting
                    .pop_front()
                    .map(|(digits, keying)| KeySender::new(digits, keying, config));
            }
            match &mut self.keying {
                None => break,
                Some(KeySender::Events { sender, payload_type }) => match sender.next_step(self.timestamp) {
                    SendStep::Event {
                        payload,
                        marker,
                        timestamp,
                    } => {
                        return Content::Event {
                            payload_type: *payload_type,
                            payload,
                            marker,
                            timestamp,
                        };
                    }
                    SendStep::Gap => {
                        audio.fill(codec::silence(config.codec));
                        return Content::Audio;
                    }
                    SendStep::Done => {}
                },
                Some(KeySender::Tones { sender, encoder }) => {
                    if fill_with_tones(sender, encoder, config.codec, audio) {
                        return Content::Audio;
                    }
                }
            }
            self.keying = None;
            events.push(MediaEvent::DigitsSent);
        }
        playout.fill(config.codec, audio, events);
        Content::Audio
    }

    /// Lets packets go unsent: media time runs on.
    fn pass_over(&mut self, packets: u32) {
        self.advance(packets);
        self.marker = true;
    }

    fn advance(&mut self, packets: u32) {
        self.timestamp = self.timestamp.wrapping_add(self.samples.wrapping_mul(packets));
        self.due += self.ptime.saturating_mul(packets);
    }
}

/// RFC 3711 §3.3.1: a low one, so that a receiver which misses the first packets still knows the rollover counter.
fn first_sequence(config: &StreamConfig, entropy: &mut Entropy) -> u16 {
    let sequence = entropy.u16();
    if config.srtp.is_some() {
        sequence >> 1
    } else {
        sequence
    }
}

impl KeySender {
    fn new(digits: Digits, keying: Keying, config: &StreamConfig) -> Self {
        let (tone_ms, gap_ms) = (
            u32::from(keying.tone_ms.min(Keying::TONE_MS_MAX)),
            u32::from(keying.gap_ms),
        );
        match (keying.transport, config.telephone_event) {
            (Some(KeyTransport::Inband), _) | (_, None) => {
                let sender = ToneSender::new(digits).with_timing(tone_ms, gap_ms);
                let encoder = Encoder::default();
                Self::Tones { sender, encoder }
            }
            (None | Some(KeyTransport::Rfc4733 | KeyTransport::Info), Some(payload_type)) => Self::Events {
                sender: EventSender::new(digits, config.ptime_ms)
                    .with_timing(tone_ms, gap_ms)
                    .with_marker(keying.marker),
                payload_type,
            },
        }
    }
}

fn fill_with_tones(sender: &mut ToneSender, encoder: &mut Encoder, codec: Codec, audio: &mut [u8]) -> bool {
    let mut pcm = [0; PAYLOAD_OCTETS_MAX];
    let Some(pcm) = pcm.get_mut(..audio.len()) else {
        return false;
    };
    if !sender.fill(pcm) {
        return false;
    }
    encoder.encode(codec, pcm, audio);
    true
}

fn samples_in(duration: Duration) -> u32 {
    (duration.as_micros() * SAMPLES_PER_MS as u128 / 1000) as u32
}
