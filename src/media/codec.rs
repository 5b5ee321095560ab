//! G.711, both laws: linear PCM to octets and back, over slices the caller owns (ITU-T G.711; RFC 3551 §4.5.14).
//!
//! It does no resampling and no packetisation. [`peak`] reads loudness from the coded octets without decoding
//! them, so that silence costs a detector almost nothing.
use audio_codec_algorithms::{decode_alaw, decode_ulaw, encode_alaw, encode_ulaw};

use crate::model::Codec;

/// Samples per millisecond of every codec here.
pub const SAMPLES_PER_MS: usize = 8;

/// G.711 flips bits so that idle lines still carry edges: μ-law all of them, A-law every second one.
const ULAW_MASK: u8 = 0xff;
const ALAW_MASK: u8 = 0x55;
/// What silence decodes to is no larger.
const SILENCE_PEAK: i16 = 8;
/// The octet without its sign.
const MAGNITUDE: u8 = 0x7f;

/// The octet that stands for silence.
#[must_use]
pub const fn silence(codec: Codec) -> u8 {
    match codec {
        Codec::Pcmu => 0xff,
        Codec::Pcma => 0xd5,
    }
}

/// Encodes as many samples as both slices hold and returns that number.
pub fn encode(codec: Codec, pcm: &[i16], octets: &mut [u8]) -> usize {
    match codec {
        Codec::Pcmu => octets.iter_mut().zip(pcm).for_each(|(o, s)| *o = encode_ulaw(*s)),
        Codec::Pcma => octets.iter_mut().zip(pcm).for_each(|(o, s)| *o = encode_alaw(*s)),
    }
    pcm.len().min(octets.len())
}

/// Decodes as many octets as both slices hold and returns that number.
pub fn decode(codec: Codec, octets: &[u8], pcm: &mut [i16]) -> usize {
    match codec {
        Codec::Pcmu => pcm.iter_mut().zip(octets).for_each(|(s, o)| *s = decode_ulaw(*o)),
        Codec::Pcma => pcm.iter_mut().zip(octets).for_each(|(s, o)| *s = decode_alaw(*o)),
    }
    pcm.len().min(octets.len())
}

/// The largest sample magnitude, found on the coded octets: in both laws a larger code is a larger magnitude.
#[must_use]
pub fn peak(codec: Codec, octets: &[u8]) -> i16 {
    let mask = match codec {
        Codec::Pcmu => ULAW_MASK,
        Codec::Pcma => ALAW_MASK,
    };
    let loudest = octets
        .iter()
        .fold(0, |max: u8, o| max.max((o ^ mask) & MAGNITUDE));
    let octet = (loudest | !MAGNITUDE) ^ mask;
    match codec {
        Codec::Pcmu => decode_ulaw(octet),
        Codec::Pcma => decode_alaw(octet),
    }
    .saturating_abs()
}

/// Mean square of the samples, from every second octet: a measure of loudness.
#[must_use]
pub fn mean_square(codec: Codec, octets: &[u8]) -> f32 {
    if peak(codec, octets) <= SILENCE_PEAK {
        return 0.0;
    }
    let mut sum = 0.0;
    for pair in octets.as_chunks::<2>().0 {
        let mut sample = [0];
        decode(codec, &pair[..1], &mut sample);
        sum += f32::from(sample[0]).powi(2);
    }
    sum / (octets.len() / 2).max(1) as f32
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
        for codec in [Codec::Pcmu, Codec::Pcma] {
            let mut pcm = [1; 1];
            decode(codec, &[silence(codec)], &mut pcm);
            assert!(pcm[0].abs() <= 8, "{codec} {}", pcm[0]);
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
                assert_eq!(peak(codec, &octets), expected, "{codec} {level}");
            }
        }
        assert!(peak(Codec::Pcma, &[]) <= 8);
    }

    #[test]
    fn the_mean_square_of_a_square_wave_is_its_square() {
        for codec in [Codec::Pcmu, Codec::Pcma] {
            let mut octets = [0; 160];
            encode(codec, &[4000; 160], &mut octets);
            assert!((mean_square(codec, &octets).sqrt() / 4000.0 - 1.0).abs() < 0.03);
            assert_eq!(mean_square(codec, &[silence(codec); 160]), 0.0);
        }
        assert_eq!(mean_square(Codec::Pcma, &[]), 0.0);
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
