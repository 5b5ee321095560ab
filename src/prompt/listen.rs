//! The keys in a sound, heard exactly as a call hears them: coded by G.711, in packets of 20 ms, by the same detector.
use std::path::Path;

use super::error::WavError;
use super::resample::{ResampleError, Resampler};
use super::riff::{Encoding, WavFormat};
use super::wav::{WavFile, to_i16};
use crate::media::codec::{self, SAMPLES_PER_MS};
use crate::media::frame::FRAME_SAMPLES;
use crate::media::inband::{Detector, ToneEvent};
use crate::model::{Codec, Digit};

const TELEPHONE_HZ: u32 = 8000;
/// Rates that are listened to.
const RATES_HZ: [u32; 2] = [8000, 16_000];
/// Samples read from a file at a time: half a second at 8 kHz.
const READ_BLOCK: usize = 4000;

/// One press, with its place in the sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PressedKey {
    pub digit: Digit,
    pub start_ms: u64,
    pub end_ms: u64,
}

/// Why a sound cannot be listened to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListenError {
    #[error(transparent)]
    Wav(#[from] WavError),
    #[error("expected 8000 or 16000 Hz, found {found} Hz")]
    Rate { found: u32 },
    #[error("expected 1 channel, found {found}")]
    Channels { found: u16 },
    #[error("expected PCM or G.711 samples, found floating point")]
    Float,
    #[error(transparent)]
    Resample(#[from] ResampleError),
}

/// The receiving end of a call, fed with samples instead of packets.
struct Ear {
    law: Codec,
    detector: Detector,
    events: Vec<ToneEvent>,
}

impl Ear {
    const fn new(law: Codec, detector: Detector) -> Self {
        Self {
            law,
            detector,
            events: Vec::new(),
        }
    }

    /// Takes the samples of one packet.
    fn packet(&mut self, pcm: &[i16]) {
        let mut octets = [0; FRAME_SAMPLES];
        let length = codec::encode(self.law, pcm, &mut octets);
        self.detector.audio(self.law, &octets[..length], &mut self.events);
    }

    /// The sound is over: a key that reaches its end counts.
    fn finish(&mut self) {
        self.detector.finish(&mut self.events);
    }

    /// Presses that have ended since it was asked last.
    fn presses(&mut self) -> impl Iterator<Item = PressedKey> + '_ {
        self.events.drain(..).filter_map(|event| match event {
            ToneEvent::Began { .. } => None,
            ToneEvent::Ended { digit, start, end } => Some(PressedKey {
                digit,
                start_ms: start / SAMPLES_PER_MS as u64,
                end_ms: end / SAMPLES_PER_MS as u64,
            }),
        })
    }
}

/// Tells every key in a WAV file, in order, as it is read: a file may be hours long.
pub fn listen_to_file(path: &Path, mut found: impl FnMut(PressedKey)) -> Result<WavFormat, ListenError> {
    let mut file = WavFile::open(path)?;
    let format = *file.format();
    if format.channels != 1 {
        return Err(ListenError::Channels {
            found: format.channels,
        });
    }
    if !RATES_HZ.contains(&format.rate_hz) {
        return Err(ListenError::Rate {
            found: format.rate_hz,
        });
    }
    let law = match format.encoding {
        Encoding::Pcm | Encoding::MuLaw => Codec::Pcmu,
        Encoding::ALaw => Codec::Pcma,
        Encoding::Float => return Err(ListenError::Float),
    };
    let mut resampler = Resampler::new(format.rate_hz, TELEPHONE_HZ)?;
    let mut ear = Ear::new(law, Detector::new());
    let mut block = vec![0.0; READ_BLOCK];
    let mut pending = Vec::new();
    loop {
        let count = file.read(&mut block)?;
        if count == 0 {
            resampler.finish(&mut pending)?;
        } else {
            resampler.push(&block[..count], &mut pending)?;
        }
        // At the end of the file the last packet may be short.
        let ready = if count == 0 {
            pending.len()
        } else {
            pending.len() - pending.len() % FRAME_SAMPLES
        };
        for packet in pending[..ready].chunks(FRAME_SAMPLES) {
            ear.packet(&to_i16(packet));
        }
        pending.drain(..ready);
        if count == 0 {
            ear.finish();
        }
        ear.presses().for_each(&mut found);
        if count == 0 {
            return Ok(format);
        }
    }
}

/// Keys in samples of 8 kHz.
#[must_use]
pub(super) fn keys_in_call(samples: &[i16]) -> Vec<PressedKey> {
    let mut ear = Ear::new(Codec::Pcmu, Detector::new());
    for packet in samples.chunks(FRAME_SAMPLES) {
        ear.packet(packet);
    }
    ear.finish();
    ear.presses().collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::media::command::{DtmfMode, MediaEvent, StreamConfig};
    use crate::media::rtp::Header;
    use crate::media::stream::Stream;
    use crate::media::tone::{SEND_TONE_MS, ToneSender};
    use crate::model::{Digits, Entropy};
    use crate::prompt::resample::resample;
    use crate::prompt::wav::{to_f32, write_master};

    /// The digits as a telephone sends them, with silence around.
    fn dialled(digits: &str) -> Vec<i16> {
        let mut samples = vec![0; 1600];
        let mut tones = vec![0; digits.len() * 1600];
        ToneSender::new(Digits::parse(digits).unwrap()).fill(&mut tones);
        samples.extend(tones);
        samples.extend([0; 1600]);
        samples
    }

    fn heard(path: &Path) -> Result<String, ListenError> {
        let mut text = String::new();
        listen_to_file(path, |key| text.push(key.digit.as_char()))?;
        Ok(text)
    }

    /// A WAV file of any format tag.
    fn raw_wav(tag: u16, rate_hz: u32, channels: u16, bits: u16, data: &[u8]) -> Vec<u8> {
        let block = channels * bits / 8;
        let mut bytes = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0".to_vec();
        bytes.extend(tag.to_le_bytes());
        bytes.extend(channels.to_le_bytes());
        bytes.extend(rate_hz.to_le_bytes());
        bytes.extend((rate_hz * u32::from(block)).to_le_bytes());
        bytes.extend(block.to_le_bytes());
        bytes.extend(bits.to_le_bytes());
        bytes.extend(b"data");
        bytes.extend((data.len() as u32).to_le_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn every_digit_is_heard_in_every_kind_of_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.wav");
        let samples = dialled("0123456789*#ABCD");
        let coded = |law| {
            let mut octets = vec![0; samples.len()];
            codec::encode(law, &samples, &mut octets);
            octets
        };
        let wide = to_i16(&resample(&to_f32(&samples), 8000, 16_000).unwrap());
        for bytes in [
            write_master(&samples, 8000).unwrap(),
            write_master(&wide, 16_000).unwrap(),
            raw_wav(7, 8000, 1, 8, &coded(Codec::Pcmu)),
            raw_wav(6, 8000, 1, 8, &coded(Codec::Pcma)),
        ] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(heard(&path).unwrap(), "0123456789*#ABCD");
        }
    }

    #[test]
    fn a_press_has_its_place_in_the_sound() {
        let keys = keys_in_call(&dialled("5"));
        let [key] = keys[..] else { panic!("{keys:?}") };
        assert!(key.start_ms.abs_diff(200) <= 10, "{key:?}");
        assert!(
            key.end_ms.abs_diff(200 + u64::from(SEND_TONE_MS)) <= 15,
            "{key:?}"
        );
    }

    /// The same samples as the packets of a callee, through all that a live call has in front of the detector.
    fn heard_in_a_call(samples: &[i16]) -> Vec<(Digit, u64)> {
        let begin = Instant::now();
        let mut stream = Stream::new(begin, in_band(), Entropy::from_number(1));
        let (mut events, mut keys) = (Vec::new(), Vec::new());
        for (n, pcm) in (0_u16..).zip(samples.chunks(FRAME_SAMPLES)) {
            let now = begin + Duration::from_millis(20 * u64::from(n));
            let (mut octets, mut packet) = ([0; FRAME_SAMPLES], [0; 200]);
            let length = codec::encode(Codec::Pcmu, pcm, &mut octets);
            let header = Header {
                payload_type: 0,
                marker: n == 0,
                sequence: n,
                timestamp: 160 * u32::from(n),
                ssrc: 7,
            };
            let length = header.write(&octets[..length], &mut packet).unwrap();
            stream.handle_rtp(now, &packet[..length], &mut events);
            stream.poll(now, &mut events);
            keys.extend(events.drain(..).filter_map(|event| match event {
                MediaEvent::Press(press) => Some((press.digit, press.started_at.duration_since(begin))),
                _ => None,
            }));
        }
        keys.into_iter()
            .map(|(digit, at)| (digit, at.as_millis() as u64))
            .collect()
    }

    fn in_band() -> StreamConfig {
        StreamConfig {
            remote: "192.0.2.1:4000".parse().unwrap(),
            learn: false,
            remote_rtcp: None,
            codec: Codec::Pcmu,
            payload_type: 0,
            telephone_event: None,
            ptime_ms: 20,
            send: true,
            receive: true,
            dtmf: DtmfMode::Auto,
            collect_audio: false,
            srtp: None,
            tape: None,
        }
    }

    #[test]
    fn a_file_is_heard_as_the_same_octets_are_in_a_call() {
        let mut samples = dialled("0123456789*#ABCD##");
        // A hum, and keys that are too short or too weak to be one or just not: what decides is the same.
        samples.extend(dialled("951").iter().map(|s| s / 20));
        samples.extend(dialled("7").into_iter().take(1600 + 30 * 8));
        samples.extend([0; 3200]);
        for (n, sample) in samples.iter_mut().enumerate() {
            *sample += ((n as f32 * 0.039).sin() * 300.0) as i16;
        }
        let file = keys_in_call(&samples);
        let call = heard_in_a_call(&samples);
        assert!(file.len() >= 18, "{file:?}");
        let digits: Vec<Digit> = call.iter().map(|(digit, _)| *digit).collect();
        assert_eq!(file.iter().map(|key| key.digit).collect::<Vec<_>>(), digits);
        for (key, (_, start_ms)) in file.iter().zip(&call) {
            // A call knows the time of a packet, not of a sample.
            assert!(key.start_ms.abs_diff(*start_ms) <= 20, "{key:?} {start_ms}");
        }
    }

    #[test]
    fn what_no_call_carries_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.wav");
        for (bytes, expected) in [
            (
                raw_wav(1, 44_100, 1, 16, &[0; 400]),
                "expected 8000 or 16000 Hz, found 44100 Hz",
            ),
            (raw_wav(1, 8000, 2, 16, &[0; 400]), "expected 1 channel, found 2"),
            (
                raw_wav(3, 8000, 1, 32, &[0; 400]),
                "expected PCM or G.711 samples, found floating point",
            ),
            (
                b"OggS".repeat(20),
                "expected a WAV file starting with \"RIFF\", found \"OggS\" (an Ogg file)",
            ),
        ] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(heard(&path).unwrap_err().to_string(), expected);
        }
    }
}
