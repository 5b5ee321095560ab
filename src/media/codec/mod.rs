//! Octets to linear PCM at 8 kHz and back, over slices the caller owns: G.711, both laws (ITU-T G.711; RFC 3551
//! §4.5.14), and the low band of G.722 ([`g722`]). Whatever the codec, one octet is one sample and one tick of RTP.
//!
//! It does no resampling and no packetisation. G.711 needs no memory, so a slice of it may begin anywhere. G.722 does:
//! [`encode`] and [`decode`] take a slice of it for a whole recording, and a stream keeps a [`Decoder`].
//!
//! [`peak`] reads loudness from the coded octets of G.711 without decoding them, so that silence costs a detector
//! almost nothing.
pub mod g722;

#[cfg(test)]
mod g722_tests;

use std::sync::LazyLock;

use audio_codec_algorithms::{decode_alaw, decode_ulaw, encode_alaw, encode_ulaw};

use crate::model::Codec;

/// Samples per millisecond, and octets of every codec here.
pub const SAMPLES_PER_MS: usize = 8;

/// G.711 flips bits so that idle lines still carry edges: μ-law all of them, A-law every second one.
const ULAW_MASK: u8 = 0xff;
const ALAW_MASK: u8 = 0x55;
/// What silence decodes to is no larger.
const SILENCE_PEAK: i16 = 8;
/// The octet without its sign.
const MAGNITUDE: u8 = 0x7f;

/// What each octet of a law stands for, looked up: arithmetic per sample costs more than a packet's whole way else.
struct Table {
    samples: [i16; 256],
    /// Squares of the samples; of those that are silence, 0.
    squares: [f32; 256],
}

impl Table {
    fn of(decode: fn(u8) -> i16) -> Self {
        let samples = std::array::from_fn(|octet| decode(octet as u8));
        let square = |sample: i16| match sample.saturating_abs() {
            ..=SILENCE_PEAK => 0.0,
            audible => f32::from(audible).powi(2),
        };
        let squares = samples.map(square);
        Self { samples, squares }
    }

    fn decode(&self, octets: &[u8], pcm: &mut [i16]) {
        let pairs = pcm.iter_mut().zip(octets);
        pairs.for_each(|(sample, octet)| *sample = self.samples[usize::from(*octet)]);
    }

    /// Sum over every second octet, in lanes that do not wait for each other.
    fn sum_of_squares(&self, octets: &[u8]) -> f32 {
        let mut lanes = [0.0_f32; 4];
        let (groups, rest) = octets.as_chunks::<8>();
        for group in groups {
            for (lane, pair) in lanes.iter_mut().zip(group.as_chunks::<2>().0) {
                *lane += self.squares[usize::from(pair[0])];
            }
        }
        let rest = rest.as_chunks::<2>().0.iter();
        let rest: f32 = rest.map(|pair| self.squares[usize::from(pair[0])]).sum();
        lanes.iter().sum::<f32>() + rest
    }
}

static ULAW: LazyLock<Table> = LazyLock::new(|| Table::of(decode_ulaw));
static ALAW: LazyLock<Table> = LazyLock::new(|| Table::of(decode_alaw));

/// Octets to 8 kHz, packet after packet. A stream of G.722 begins anew where another codec lay between.
#[derive(Debug, Clone, Default)]
pub struct Decoder {
    g722: Option<g722::NarrowDecoder>,
}

impl Decoder {
    /// Decodes as many octets as both slices hold and returns that number.
    pub fn decode(&mut self, codec: Codec, octets: &[u8], pcm: &mut [i16]) -> usize {
        match codec {
            Codec::G722 => self.g722.get_or_insert_default().decode(octets, pcm),
            Codec::Pcmu | Codec::Pcma => {
                self.g722 = None;
                decode(codec, octets, pcm)
            }
        }
    }

    /// [`peak`], of G.722 too: its octets are decoded for it.
    pub fn peak(&mut self, codec: Codec, octets: &[u8]) -> i16 {
        peak(codec, octets).unwrap_or_else(|| {
            let mut loudest = 0;
            self.each_sample(codec, octets, |sample| {
                loudest = sample.saturating_abs().max(loudest)
            });
            loudest
        })
    }

    /// [`mean_square`], of G.722 too.
    pub fn mean_square(&mut self, codec: Codec, octets: &[u8]) -> f32 {
        mean_square(codec, octets).unwrap_or_else(|| {
            let mut sum = 0.0;
            self.each_sample(codec, octets, |sample| sum += f32::from(sample).powi(2));
            sum / octets.len().max(1) as f32
        })
    }

    fn each_sample(&mut self, codec: Codec, octets: &[u8], mut take: impl FnMut(i16)) {
        let mut pcm = [0; 160];
        for part in octets.chunks(pcm.len()) {
            let count = self.decode(codec, part, &mut pcm);
            pcm.iter().take(count).for_each(|sample| take(*sample));
        }
    }
}

/// 8 kHz to octets, packet after packet, the first one after silence.
#[derive(Debug, Clone)]
pub struct Encoder {
    g722: g722::NarrowEncoder,
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            g722: g722::NarrowEncoder::after_silence(),
        }
    }
}

impl Encoder {
    /// Encodes as many samples as both slices hold and returns that number.
    pub fn encode(&mut self, codec: Codec, pcm: &[i16], octets: &mut [u8]) -> usize {
        match codec {
            Codec::G722 => self.g722.encode(pcm, octets),
            Codec::Pcmu | Codec::Pcma => encode(codec, pcm, octets),
        }
    }
}

/// The octet that stands for silence.
#[must_use]
pub const fn silence(codec: Codec) -> u8 {
    match codec {
        Codec::Pcmu => 0xff,
        Codec::Pcma => 0xd5,
        Codec::G722 => g722::SILENCE,
    }
}

/// Encodes as many samples as both slices hold, from the beginning of a recording, and returns that number.
pub fn encode(codec: Codec, pcm: &[i16], octets: &mut [u8]) -> usize {
    match codec {
        Codec::Pcmu => octets.iter_mut().zip(pcm).for_each(|(o, s)| *o = encode_ulaw(*s)),
        Codec::Pcma => octets.iter_mut().zip(pcm).for_each(|(o, s)| *o = encode_alaw(*s)),
        Codec::G722 => return g722::encode_narrow(g722::NarrowEncoder::default(), pcm, octets),
    }
    pcm.len().min(octets.len())
}

/// Decodes as many octets as both slices hold, from the beginning of a recording, and returns that number.
pub fn decode(codec: Codec, octets: &[u8], pcm: &mut [i16]) -> usize {
    match codec {
        Codec::Pcmu => ULAW.decode(octets, pcm),
        Codec::Pcma => ALAW.decode(octets, pcm),
        Codec::G722 => return g722::NarrowDecoder::default().decode(octets, pcm),
    }
    pcm.len().min(octets.len())
}

/// The largest sample magnitude, found on the coded octets: in both laws a larger code is a larger magnitude. `None`
/// for G.722, whose codes are differences in steps that adapt.
#[must_use]
pub fn peak(codec: Codec, octets: &[u8]) -> Option<i16> {
    let mask = match codec {
        Codec::Pcmu => ULAW_MASK,
        Codec::Pcma => ALAW_MASK,
        Codec::G722 => return None,
    };
    let loudest = octets
        .iter()
        .fold(0, |max: u8, o| max.max((o ^ mask) & MAGNITUDE));
    let mut sample = [0];
    decode(codec, &[(loudest | !MAGNITUDE) ^ mask], &mut sample);
    Some(sample[0].saturating_abs())
}

/// Mean square of the samples, from every second octet: a measure of loudness. `None` for G.722, as above.
#[must_use]
pub fn mean_square(codec: Codec, octets: &[u8]) -> Option<f32> {
    let table = match codec {
        Codec::Pcmu => &ULAW,
        Codec::Pcma => &ALAW,
        Codec::G722 => return None,
    };
    Some(table.sum_of_squares(octets) / (octets.len() / 2).max(1) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_octet_survives_decoding_and_encoding() {
        for codec in [Codec::Pcmu, Codec::Pcma] {
            let octets: Vec<u8> = (0..=255).collect();
            let mut pcm = [0; 256];
            assert_eq!(decode(codec, &octets, &mut pcm), 256);
            let mut again = [0; 256];
            assert_eq!(encode(codec, &pcm, &mut again), 256);
            for (octet, back) in octets.iter().zip(again) {
                // μ-law has two zeros; both mean silence.
                let both_zero = codec == Codec::Pcmu && *octet == 0x7f && back == 0xff;
                assert!(*octet == back || both_zero, "{codec} {octet:#x} {back:#x}");
            }
        }
    }

    #[test]
    fn silence_decodes_to_almost_nothing() {
        for codec in Codec::ALL.iter().copied() {
            let mut pcm = [1; 160];
            decode(codec, &[silence(codec); 160], &mut pcm);
            assert!(pcm.iter().all(|s| s.abs() <= 8), "{codec} {pcm:?}");
        }
    }

    #[test]
    fn the_peak_on_octets_is_the_peak_of_the_samples() {
        for codec in [Codec::Pcmu, Codec::Pcma] {
            for level in [0_i16, 5, 90, 700, 4000, 31000] {
                let pcm: Vec<i16> = (0..160)
                    .map(|i| if i % 7 == 3 { -level } else { level / 2 })
                    .collect();
                let (mut octets, mut decoded) = ([0; 160], [0; 160]);
                encode(codec, &pcm, &mut octets);
                decode(codec, &octets, &mut decoded);
                let expected = decoded.iter().map(|s| s.saturating_abs()).max().unwrap();
                assert_eq!(peak(codec, &octets), Some(expected), "{codec} {level}");
            }
        }
        assert!(peak(Codec::Pcma, &[]).unwrap() <= 8);
        assert_eq!(peak(Codec::G722, &[0; 160]), None);
    }

    #[test]
    fn the_mean_square_of_a_square_wave_is_its_square() {
        for codec in [Codec::Pcmu, Codec::Pcma] {
            let mut octets = [0; 160];
            encode(codec, &[4000; 160], &mut octets);
            assert!((mean_square(codec, &octets).unwrap().sqrt() / 4000.0 - 1.0).abs() < 0.03);
            assert_eq!(mean_square(codec, &[silence(codec); 160]), Some(0.0));
        }
        assert_eq!(mean_square(Codec::Pcma, &[]), Some(0.0));
    }

    #[test]
    fn short_slices_bound_the_work() {
        let mut octets = [7; 2];
        assert_eq!(encode(Codec::Pcmu, &[0; 5], &mut octets), 2);
        let mut pcm = [7; 3];
        assert_eq!(decode(Codec::Pcma, &[0xd5], &mut pcm), 1);
        assert_eq!(pcm[1..], [7, 7]);
    }
}
