//! The detectors behind one face. All get the same G.711 octets in packets of 20 ms; lost packets are told to those that
//! can be told, and are silence to the rest.
use dtmf::decoder::Decoder;
use dtmf::enums::State;
use rustix::time::{ClockId, clock_gettime};

use crate::cases::call::Call;
use crate::cases::line::{Law, PACKET, decode, encode};
use crate::cases::score::Report;
use crate::media::inband::{self, ToneEvent};
use crate::model::Codec;
use crate::peer::Peer;

/// A stretch of audio as packets.
pub struct Audio<'a> {
    pub law: Law,
    pub octets: &'a [u8],
    /// Empty: all arrive.
    pub lost: &'a [bool],
    /// What we play meanwhile; empty: nothing.
    pub prompt: &'a [i16],
}

impl<'a> From<&'a Call> for Audio<'a> {
    fn from(call: &'a Call) -> Self {
        Self {
            law: call.law,
            octets: &call.octets,
            lost: &call.lost,
            prompt: &call.prompt,
        }
    }
}

impl Audio<'_> {
    fn packets(&self) -> impl Iterator<Item = (bool, &[u8])> {
        let lost = self.lost.iter().copied().chain(std::iter::repeat(false));
        lost.zip(self.octets.chunks_exact(PACKET))
    }

    /// Silence where a packet was lost.
    fn decoded(&self) -> Vec<(bool, [i16; PACKET])> {
        let decoded = self.packets().map(|(lost, octets)| {
            let mut samples = [0; PACKET];
            if !lost {
                samples.copy_from_slice(&decode(self.law, octets));
            }
            (lost, samples)
        });
        decoded.collect()
    }
}

pub trait Detector {
    fn name(&self) -> &'static str;
    /// A new call.
    fn reset(&mut self);
    /// Reports with times since the reset, and CPU seconds.
    fn hear(&mut self, audio: &Audio<'_>) -> (Vec<Report>, f64);
}

fn cpu_seconds() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
}

#[derive(Default)]
pub struct Ours(inband::Detector);

impl Detector for Ours {
    fn name(&self) -> &'static str {
        "ringproof"
    }

    fn reset(&mut self) {
        self.0 = inband::Detector::new();
    }

    fn hear(&mut self, audio: &Audio<'_>) -> (Vec<Report>, f64) {
        let law = match audio.law {
            Law::Mu => Codec::Pcmu,
            Law::A => Codec::Pcma,
        };
        let (mut events, mut reports) = (Vec::with_capacity(8), Vec::new());
        let prompt = encode(audio.law, audio.prompt);
        let start = cpu_seconds();
        for (n, (lost, octets)) in audio.packets().enumerate() {
            if let Some(played) = prompt.get(n * PACKET..(n + 1) * PACKET) {
                self.0.played(law, played);
            }
            if lost {
                self.0.lost(PACKET as u64, &mut events);
            } else {
                self.0.audio(law, octets, &mut events);
            }
            for event in events.drain(..) {
                if let ToneEvent::Began { digit, .. } = event {
                    reports.push(Report {
                        digit: digit.as_char(),
                        at_ms: self.0.position() as f64 / 8.0,
                    });
                }
            }
        }
        (reports, cpu_seconds() - start)
    }
}

pub struct Spandsp(pub Peer);

impl Detector for Spandsp {
    fn name(&self) -> &'static str {
        "spandsp"
    }

    fn reset(&mut self) {
        self.0.reset();
    }

    fn hear(&mut self, audio: &Audio<'_>) -> (Vec<Report>, f64) {
        let (reports, seconds) = self.0.detect(&audio.decoded());
        let reports = reports.into_iter().map(|(digit, position)| Report {
            digit,
            at_ms: f64::from(position) / 8.0,
        });
        (reports.collect(), seconds)
    }
}

/// The crate `dtmf`. Its decoder cannot be kept between calls of [`Detector::hear`], so each is a stream of its own.
pub struct Crate;

impl Detector for Crate {
    fn name(&self) -> &'static str {
        "crate dtmf"
    }

    fn reset(&mut self) {}

    fn hear(&mut self, audio: &Audio<'_>) -> (Vec<Report>, f64) {
        let packets = audio.decoded();
        let heard = std::cell::RefCell::new(Vec::new());
        let mut reports = Vec::new();
        let mut decoder = Decoder::new(8000, |tone, state| {
            if state == State::On {
                heard.borrow_mut().push(tone.as_char());
            }
        });
        let start = cpu_seconds();
        for (n, (_, samples)) in packets.iter().enumerate() {
            decoder.process(&samples.map(|s| f32::from(s) / 32_768.0));
            let at_ms = (n + 1) as f64 * 20.0;
            reports.extend(heard.borrow_mut().drain(..).map(|digit| Report { digit, at_ms }));
        }
        (reports, cpu_seconds() - start)
    }
}
