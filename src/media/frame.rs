//! Audio made ready once and sent many times: a [`Clip`] is one recording in every codec; in G.711 it is cut into
//! 20 ms frames that share one buffer. With [`replay`] the only file that names `webrtc_media`.
//!
//! G.722 is made only where a trunk can use it ([`Clip::with_g722`]), so that others have no memory for it. A clip
//! without it is still never silent: it is encoded from its G.711 when it is first asked for, once.
//!
//! `Sample::default()` and `Sample`'s own comparison read the clock, so a [`Frame`] is built with every field
//! given: its `timestamp` is the epoch plus media time, and it compares by octets and media time.
pub mod replay;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use webrtc_media::Sample;

use super::codec::g722::{self, Encoder, NarrowEncoder};
use super::codec::{self, SAMPLES_PER_MS};
use crate::model::Codec;

/// Length of one frame, milliseconds.
pub const FRAME_MS: u32 = 20;
/// Length of one frame, samples at 8 kHz; in every codec here also octets.
pub const FRAME_SAMPLES: usize = FRAME_MS as usize * SAMPLES_PER_MS;
/// Longest clip, milliseconds: a prompt is seconds, so ten minutes is a mistake somewhere.
pub const CLIP_MS_MAX: u32 = 600_000;

/// One frame of coded audio with its place in the clip.
pub struct Frame(Sample);

impl Frame {
    fn new(data: Bytes, first_sample: u32) -> Self {
        let media_time = Duration::from_millis(u64::from(first_sample) / SAMPLES_PER_MS as u64);
        Self(Sample {
            data,
            timestamp: SystemTime::UNIX_EPOCH + media_time,
            duration: Duration::from_millis(u64::from(FRAME_MS)),
            packet_timestamp: first_sample,
            prev_dropped_packets: 0,
            prev_padding_packets: 0,
        })
    }

    /// The octets of an RTP payload.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.0.data
    }

    /// Media time from the start of the clip, in samples.
    #[must_use]
    pub const fn first_sample(&self) -> u32 {
        self.0.packet_timestamp
    }

    #[must_use]
    pub const fn duration(&self) -> Duration {
        self.0.duration
    }
}

impl Clone for Frame {
    fn clone(&self) -> Self {
        Self::new(self.0.data.clone(), self.0.packet_timestamp)
    }
}

impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        self.payload() == other.payload() && self.first_sample() == other.first_sample()
    }
}

impl Eq for Frame {}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Frame({} octets at sample {})",
            self.payload().len(),
            self.first_sample()
        )
    }
}

/// One recording, ready for every codec.
#[derive(Clone, PartialEq, Eq)]
pub struct Clip {
    pub name: String,
    pub pcmu: Vec<Frame>,
    pub pcma: Vec<Frame>,
    /// Whole frames, milliseconds.
    pub duration_ms: u32,
    pcmu_audio: Bytes,
    pcma_audio: Bytes,
    g722_audio: OnceLock<Bytes>,
    /// By place in [`Codec::ALL`], once somebody has asked.
    digests: [OnceLock<String>; Codec::ALL.len()],
}

/// What a clip is encoded from as G.722.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sound<'a> {
    /// At 16 kHz, both bands.
    Wide(&'a [i16]),
    /// At 8 kHz: the low band, and silence above it.
    Narrow(&'a [i16]),
}

impl Clip {
    /// Encodes 8 kHz samples. The last frame is filled up with silence; what goes past [`CLIP_MS_MAX`] is cut.
    #[must_use]
    pub fn from_pcm(name: impl Into<String>, pcm: &[i16]) -> Self {
        let pcm = pcm.get(..CLIP_MS_MAX as usize * SAMPLES_PER_MS).unwrap_or(pcm);
        let frames = pcm.len().div_ceil(FRAME_SAMPLES);
        let coded = |law| {
            let mut octets = vec![codec::silence(law); frames * FRAME_SAMPLES];
            codec::encode(law, pcm, &mut octets);
            Bytes::from(octets)
        };
        Self::from_audio(name.into(), coded(Codec::Pcmu), coded(Codec::Pcma))
    }

    /// The same recording as G.722 too, as long as the other codecs have it.
    #[must_use]
    pub fn with_g722(self, sound: Sound<'_>) -> Self {
        let mut octets = vec![g722::SILENCE; self.pcmu_audio.len()];
        match sound {
            Sound::Wide(pcm) => g722::encode_wide(Encoder::after_silence(), pcm, &mut octets),
            Sound::Narrow(pcm) => g722::encode_narrow(NarrowEncoder::after_silence(), pcm, &mut octets),
        };
        Self {
            g722_audio: OnceLock::from(Bytes::from(octets)),
            ..self
        }
    }

    /// Digital silence, rounded up to whole frames.
    #[must_use]
    pub fn silence(duration_ms: u32) -> Self {
        let frames = duration_ms.min(CLIP_MS_MAX).div_ceil(FRAME_MS) as usize;
        let coded = |law| Bytes::from(vec![codec::silence(law); frames * FRAME_SAMPLES]);
        Self::from_audio("silence".to_owned(), coded(Codec::Pcmu), coded(Codec::Pcma))
    }

    fn from_audio(name: String, pcmu_audio: Bytes, pcma_audio: Bytes) -> Self {
        let (pcmu, pcma) = (cut(&pcmu_audio), cut(&pcma_audio));
        let duration_ms = u32::try_from(pcmu.len())
            .unwrap_or(u32::MAX)
            .saturating_mul(FRAME_MS);
        Self {
            name,
            pcmu,
            pcma,
            duration_ms,
            pcmu_audio,
            pcma_audio,
            g722_audio: OnceLock::new(),
            digests: [const { OnceLock::new() }; Codec::ALL.len()],
        }
    }

    /// The whole clip as one run of octets, as many in every codec.
    #[must_use]
    pub fn audio(&self, codec: Codec) -> &Bytes {
        match codec {
            Codec::Pcmu => &self.pcmu_audio,
            Codec::Pcma => &self.pcma_audio,
            Codec::G722 => self.g722_audio.get_or_init(|| self.g722_of_g711()),
        }
    }

    /// SHA-256 of [`Clip::audio`] in hexadecimal digits: proof of what was played. Made once for all calls.
    #[must_use]
    pub fn digest(&self, codec: Codec) -> String {
        let made = || {
            let octets = Sha256::digest(self.audio(codec));
            octets.iter().map(|octet| format!("{octet:02x}")).collect()
        };
        let place = Codec::ALL.iter().position(|known| *known == codec);
        let kept = place.and_then(|place| self.digests.get(place));
        kept.map_or_else(made, |kept| kept.get_or_init(made).clone())
    }

    /// Whether it is there in this codec already.
    #[must_use]
    pub fn is_ready(&self, codec: Codec) -> bool {
        codec != Codec::G722 || self.g722_audio.get().is_some()
    }

    fn g722_of_g711(&self) -> Bytes {
        let mut pcm = vec![0; self.pcmu_audio.len()];
        codec::decode(Codec::Pcmu, &self.pcmu_audio, &mut pcm);
        let mut octets = vec![g722::SILENCE; pcm.len()];
        g722::encode_narrow(NarrowEncoder::after_silence(), &pcm, &mut octets);
        Bytes::from(octets)
    }

    #[must_use]
    pub fn shared(self) -> Arc<Self> {
        Arc::new(self)
    }
}

impl fmt::Debug for Clip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clip({:?}, {} ms)", self.name, self.duration_ms)
    }
}

fn cut(audio: &Bytes) -> Vec<Frame> {
    let starts = (0..audio.len()).step_by(FRAME_SAMPLES);
    starts
        .map(|start| {
            let first_sample = u32::try_from(start).unwrap_or(u32::MAX);
            Frame::new(audio.slice(start..start + FRAME_SAMPLES), first_sample)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PCMU_SILENCE: &str = "0052516839b94ee314a4e3b398c8036de3790d672194987a394ee60323848539";
    const PCMA_SILENCE: &str = "b8c5f61ec21c39c91dc7de26d0e134cb2f2aaac29a0c0049a5e948258cd58eb6";

    #[test]
    fn a_clip_is_cut_into_whole_frames_that_share_one_buffer() {
        let clip = Clip::from_pcm("hello", &vec![1000; FRAME_SAMPLES * 2 + 1]);
        assert_eq!((clip.pcmu.len(), clip.pcma.len(), clip.duration_ms), (3, 3, 60));
        for (codec, frames) in [(Codec::Pcmu, &clip.pcmu), (Codec::Pcma, &clip.pcma)] {
            assert!(frames.iter().all(|f| f.payload().len() == FRAME_SAMPLES));
            assert_eq!(
                frames[1].payload().as_ptr(),
                clip.audio(codec)[FRAME_SAMPLES..].as_ptr()
            );
            assert_eq!(
                frames[2].payload()[1..],
                [codec::silence(codec); FRAME_SAMPLES - 1]
            );
            assert_eq!(frames[2].first_sample(), 320);
        }
    }

    /// `printf '\377%.0s' {1..160} | sha256sum`, and the same of 0xd5.
    #[test]
    fn the_digest_is_that_of_the_octets_that_leave() {
        let clip = Clip::silence(20);
        assert_eq!(clip.digest(Codec::Pcmu), PCMU_SILENCE);
        assert_eq!(clip.digest(Codec::Pcma), PCMA_SILENCE);
        assert_eq!(clip.digest(Codec::Pcma), PCMA_SILENCE);
    }

    #[test]
    fn silence_is_rounded_up_to_a_frame() {
        let clip = Clip::silence(41);
        assert_eq!((clip.pcmu.len(), clip.duration_ms), (3, 60));
        assert!(clip.pcma[0].payload().iter().all(|o| *o == 0xd5));
        assert_eq!(Clip::silence(0).duration_ms, 0);
    }

    #[test]
    fn g722_is_as_long_as_the_others_whatever_it_is_made_of() {
        let tone = |hz: f32, rate: f32| {
            move |n: i32| (8000.0 * (std::f32::consts::TAU * hz * n as f32 / rate).sin()) as i16
        };
        let narrow: Vec<i16> = (0..8001).map(tone(1000.0, 8000.0)).collect();
        let clip = Clip::from_pcm("tone", &narrow);
        assert!(!clip.is_ready(Codec::G722) && clip.is_ready(Codec::Pcma));
        for wide_len in [16_002, 15_000, 20_001, 0] {
            let wide: Vec<i16> = (0..wide_len).map(tone(1000.0, 16_000.0)).collect();
            let clip = clip.clone().with_g722(Sound::Wide(&wide));
            assert!(clip.is_ready(Codec::G722));
            assert_eq!(clip.audio(Codec::G722).len(), clip.audio(Codec::Pcmu).len());
        }
        let energy = |octets: &[u8]| {
            let mut pcm = vec![0; octets.len()];
            codec::decode(Codec::G722, octets, &mut pcm);
            pcm[800..7200].iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / 6400.0
        };
        let wide: Vec<i16> = (0..16_002).map(tone(1000.0, 16_000.0)).collect();
        for made in [
            clip.clone().with_g722(Sound::Wide(&wide)),
            clip.clone().with_g722(Sound::Narrow(&narrow)),
            clip,
        ] {
            assert_eq!(made.audio(Codec::G722).len(), 8160);
            let level = energy(made.audio(Codec::G722)).sqrt();
            assert!((level / 5657.0 - 1.0).abs() < 0.05, "{level}");
        }
    }

    #[test]
    fn a_frame_carries_media_time_and_never_the_clock() {
        let clip = Clip::silence(40);
        let second = &clip.pcmu[1];
        assert_eq!(
            second.0.timestamp,
            SystemTime::UNIX_EPOCH + Duration::from_millis(20)
        );
        assert_eq!(second.duration(), Duration::from_millis(20));
        assert_eq!(second, &second.clone());
        assert_ne!(second, &clip.pcmu[0]);
    }

    #[test]
    fn an_endless_recording_is_cut() {
        let clip = Clip::from_pcm("long", &vec![0; (CLIP_MS_MAX as usize + 1000) * SAMPLES_PER_MS]);
        assert_eq!(clip.duration_ms, CLIP_MS_MAX);
        assert_eq!(Clip::silence(u32::MAX).duration_ms, CLIP_MS_MAX);
    }
}
