//! Samples of a WAV file, in blocks, whatever they are stored as; and WAV files written.
//!
//! [`super::riff`] has already said what is wrong with the container, so hound sees a clean header of our making
//! before the samples and no length that the file does not keep. G.711 is decoded here: hound knows PCM and float.
use std::fs::File;
use std::io::{self, BufReader, Chain, Cursor, Read, Seek, SeekFrom, Take};
use std::path::Path;

use super::error::WavError;
use super::riff::{self, Encoding, Layout, WavFormat};
use crate::media::codec;
use crate::model::Codec;

/// Full scale of 16 bits.
pub(super) const FULL_SCALE: f32 = 32_768.0;

type Samples<R> = Chain<Cursor<Vec<u8>>, Take<R>>;

enum Decoder<R: Read> {
    Whole(hound::WavIntoSamples<Samples<R>, i32>),
    Float(hound::WavIntoSamples<Samples<R>, f32>),
    G711 { octets: Take<R>, law: Codec },
}

/// An open WAV file.
pub struct WavFile<R: Read> {
    format: WavFormat,
    decoder: Decoder<R>,
}

impl WavFile<BufReader<File>> {
    /// Opens a file on disk.
    pub fn open(path: &Path) -> Result<Self, WavError> {
        Self::new(BufReader::with_capacity(64 * 1024, File::open(path)?))
    }
}

impl<R: Read + Seek> WavFile<R> {
    /// Reads the header; the samples follow by [`Self::read`].
    pub fn new(mut source: R) -> Result<Self, WavError> {
        let layout = riff::locate(&mut source)?;
        source.seek(SeekFrom::Start(layout.data_start))?;
        let decoder = Decoder::new(&layout, source.take(layout.data_bytes))?;
        Ok(Self {
            format: layout.format,
            decoder,
        })
    }
}

impl<R: Read> WavFile<R> {
    #[must_use]
    pub const fn format(&self) -> &WavFormat {
        &self.format
    }

    /// Fills `block` with the next samples (channels interleaved, full scale ±1); fewer at the end, then 0.
    pub fn read(&mut self, block: &mut [f32]) -> Result<usize, WavError> {
        match &mut self.decoder {
            Decoder::Whole(samples) => {
                let scale = 1.0 / (1_u64 << (self.format.bits - 1)) as f32;
                fill(block, samples.map(|s| s.map(|s| s as f32 * scale)))
            }
            Decoder::Float(samples) => fill(block, samples),
            Decoder::G711 { octets, law } => {
                let mut coded = vec![0_u8; block.len()];
                let count = read_full(octets, &mut coded)?;
                let mut pcm = vec![0_i16; count];
                codec::decode(*law, &coded[..count], &mut pcm);
                for (sample, pcm) in block.iter_mut().zip(pcm) {
                    *sample = f32::from(pcm) / FULL_SCALE;
                }
                Ok(count)
            }
        }
    }

    /// The whole file mixed to one channel. The caller has looked at [`WavFormat::duration_ms`] first.
    pub fn read_mono(mut self, ms_max: u64) -> Result<Vec<f32>, WavError> {
        let found_ms = self.format.duration_ms();
        if found_ms > ms_max {
            return Err(WavError::TooLong {
                max_ms: ms_max,
                found_ms,
            });
        }
        let channels = usize::from(self.format.channels);
        let mut mono = Vec::with_capacity(usize::try_from(self.format.frames).unwrap_or(0));
        let mut block = vec![0.0_f32; 4096 * channels];
        loop {
            let count = self.read(&mut block)?;
            if count == 0 {
                return Ok(mono);
            }
            let frames = block[..count].chunks_exact(channels);
            mono.extend(frames.map(|frame| frame.iter().sum::<f32>() / channels as f32));
        }
    }
}

impl<R: Read> Decoder<R> {
    fn new(layout: &Layout, bytes: Take<R>) -> Result<Self, WavError> {
        let format = &layout.format;
        let sample_format = match format.encoding {
            Encoding::ALaw => {
                return Ok(Self::G711 {
                    octets: bytes,
                    law: Codec::Pcma,
                });
            }
            Encoding::MuLaw => {
                return Ok(Self::G711 {
                    octets: bytes,
                    law: Codec::Pcmu,
                });
            }
            Encoding::Pcm => hound::SampleFormat::Int,
            Encoding::Float => hound::SampleFormat::Float,
        };
        let spec = hound::WavSpec {
            channels: format.channels,
            sample_rate: format.rate_hz,
            bits_per_sample: format.bits,
            sample_format,
        };
        let reader =
            hound::WavReader::new(Cursor::new(canonical_header(&spec, layout.data_bytes)).chain(bytes))
                .map_err(|error| WavError::Read(error.to_string()))?;
        Ok(match sample_format {
            hound::SampleFormat::Int => Self::Whole(reader.into_samples()),
            hound::SampleFormat::Float => Self::Float(reader.into_samples()),
        })
    }
}

/// The 44-byte header that says only what was checked.
fn canonical_header(spec: &hound::WavSpec, data_bytes: u64) -> Vec<u8> {
    let data_bytes = u32::try_from(data_bytes).unwrap_or(u32::MAX);
    let block_bytes = spec.channels * (spec.bits_per_sample / 8);
    let tag: u16 = match spec.sample_format {
        hound::SampleFormat::Int => 1,
        hound::SampleFormat::Float => 3,
    };
    let mut header = Vec::with_capacity(44);
    header.extend_from_slice(b"RIFF");
    header.extend_from_slice(&data_bytes.saturating_add(36).to_le_bytes());
    header.extend_from_slice(b"WAVEfmt ");
    header.extend_from_slice(&16_u32.to_le_bytes());
    header.extend_from_slice(&tag.to_le_bytes());
    header.extend_from_slice(&spec.channels.to_le_bytes());
    header.extend_from_slice(&spec.sample_rate.to_le_bytes());
    header.extend_from_slice(&(spec.sample_rate.saturating_mul(u32::from(block_bytes))).to_le_bytes());
    header.extend_from_slice(&block_bytes.to_le_bytes());
    header.extend_from_slice(&spec.bits_per_sample.to_le_bytes());
    header.extend_from_slice(b"data");
    header.extend_from_slice(&data_bytes.to_le_bytes());
    header
}

fn fill(
    block: &mut [f32],
    samples: impl Iterator<Item = Result<f32, hound::Error>>,
) -> Result<usize, WavError> {
    let mut count = 0;
    for (slot, sample) in block.iter_mut().zip(samples) {
        let sample = sample.map_err(|error| WavError::Read(error.to_string()))?;
        if !sample.is_finite() {
            return Err(WavError::NotFinite);
        }
        *slot = sample;
        count += 1;
    }
    Ok(count)
}

fn read_full(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while count < buffer.len() {
        match source.read(&mut buffer[count..]) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

/// Samples of a telephone master: 16-bit mono PCM at exactly `rate_hz`, nothing else.
pub(super) fn read_master(bytes: &[u8], rate_hz: u32, ms_max: u64) -> Result<Vec<i16>, WavError> {
    let file = WavFile::new(Cursor::new(bytes))?;
    let format = *file.format();
    if format.encoding != Encoding::Pcm {
        return Err(WavError::Master {
            expected: "PCM samples",
            found: format.encoding.name().to_owned(),
        });
    }
    if format.bits != 16 {
        return Err(WavError::Master {
            expected: "16 bits a sample",
            found: format.bits.to_string(),
        });
    }
    if format.channels != 1 {
        return Err(WavError::Master {
            expected: "1 channel",
            found: format.channels.to_string(),
        });
    }
    if format.rate_hz != rate_hz {
        return Err(WavError::MasterRate {
            expected: rate_hz,
            found: format.rate_hz,
        });
    }
    Ok(to_i16(&file.read_mono(ms_max)?))
}

/// A 16-bit mono WAV file.
pub fn write_master(samples: &[i16], rate_hz: u32) -> Result<Vec<u8>, WavError> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: rate_hz,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let failed = |error: hound::Error| WavError::Read(error.to_string());
    let mut bytes = Cursor::new(Vec::with_capacity(44 + samples.len() * 2));
    let mut writer = hound::WavWriter::new(&mut bytes, spec).map_err(failed)?;
    for sample in samples {
        writer.write_sample(*sample).map_err(failed)?;
    }
    writer.finalize().map_err(failed)?;
    Ok(bytes.into_inner())
}

/// Rounds to 16 bits; what lies outside full scale is held there.
#[must_use]
pub(super) fn to_i16(samples: &[f32]) -> Vec<i16> {
    samples
        .iter()
        .map(|s| (s * FULL_SCALE).round().clamp(-32_768.0, 32_767.0) as i16)
        .collect()
}

/// 16 bits to full scale ±1.
#[must_use]
pub(super) fn to_f32(samples: &[i16]) -> Vec<f32> {
    samples.iter().map(|s| f32::from(*s) / FULL_SCALE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces of a WAV file, each of which a test may spoil.
    #[derive(Clone)]
    struct Pieces {
        riff: Vec<u8>,
        tag: u16,
        channels: u16,
        rate_hz: u32,
        bits: u16,
        block: Option<u16>,
        format_bytes: u32,
        before_data: Vec<u8>,
        declared: Option<u32>,
        data: Vec<u8>,
    }

    impl Pieces {
        fn good() -> Self {
            Self {
                riff: b"RIFF\0\0\0\0WAVE".to_vec(),
                tag: 1,
                channels: 1,
                rate_hz: 8000,
                bits: 16,
                block: None,
                format_bytes: 16,
                before_data: Vec::new(),
                declared: None,
                data: [0x00, 0x10].repeat(800),
            }
        }

        fn bytes(&self) -> Vec<u8> {
            let block = self.block.unwrap_or(self.channels * self.bits.div_ceil(8));
            let mut bytes = self.riff.clone();
            bytes.extend(b"fmt ");
            bytes.extend(self.format_bytes.to_le_bytes());
            bytes.extend(self.tag.to_le_bytes());
            bytes.extend(self.channels.to_le_bytes());
            bytes.extend(self.rate_hz.to_le_bytes());
            bytes.extend((self.rate_hz.wrapping_mul(u32::from(block))).to_le_bytes());
            bytes.extend(block.to_le_bytes());
            bytes.extend(self.bits.to_le_bytes());
            bytes.extend(&self.before_data);
            bytes.extend(b"data");
            let declared = self.declared.unwrap_or(self.data.len() as u32);
            bytes.extend(declared.to_le_bytes());
            bytes.extend(&self.data);
            bytes
        }
    }

    fn spoiled(change: impl FnOnce(&mut Pieces)) -> Vec<u8> {
        let mut pieces = Pieces::good();
        change(&mut pieces);
        pieces.bytes()
    }

    fn without(chunk: &[u8; 4]) -> Vec<u8> {
        let mut bytes = Pieces::good().bytes();
        let at = bytes.windows(4).position(|w| w == chunk).unwrap();
        bytes[at..at + 4].copy_from_slice(b"junk");
        bytes
    }

    #[test]
    fn every_bad_master_has_its_own_words() {
        let cases: Vec<(Vec<u8>, &str)> = vec![
            (Vec::new(), "expected a WAV file, found an empty one"),
            (
                b"RIFF".to_vec(),
                "expected a RIFF header of 12 bytes, the whole file has 4",
            ),
            (
                spoiled(|p| p.riff = b"ID3\x04\0\0\0\0\0\0\0\0".to_vec()),
                "expected a WAV file starting with \"RIFF\", found \"ID3\\x04\" (an MP3 file?)",
            ),
            (
                spoiled(|p| p.riff = b"RIFX\0\0\0\0WAVE".to_vec()),
                "expected a WAV file starting with \"RIFF\", found \"RIFX\" (a relative of WAV that is not read here)",
            ),
            (
                b"<!DOCTYPE html>".to_vec(),
                "expected a WAV file starting with \"RIFF\", found \"<!DO\"",
            ),
            (
                spoiled(|p| p.riff = b"RIFF\0\0\0\0AVI ".to_vec()),
                "expected a RIFF file of type \"WAVE\", found \"AVI \"",
            ),
            (
                without(b"fmt "),
                "expected the \"fmt \" chunk before the \"data\" chunk, found it missing or after",
            ),
            (without(b"data"), "expected a \"data\" chunk, found none"),
            (
                b"RIFF\0\0\0\0WAVE".to_vec(),
                "expected a \"fmt \" chunk, found none",
            ),
            (
                spoiled(|p| p.format_bytes = 14),
                "expected a \"fmt \" chunk of at least 16 bytes (40 when extensible), found 14",
            ),
            (
                spoiled(|p| p.tag = 0xFFFE),
                "expected a \"fmt \" chunk of at least 16 bytes (40 when extensible), found 16",
            ),
            (
                spoiled(|p| p.tag = 0x11),
                "expected PCM, floating point, A-law or µ-law samples, found format tag 0x0011 (IMA ADPCM)",
            ),
            (
                spoiled(|p| p.tag = 0x4444),
                "expected PCM, floating point, A-law or µ-law samples, found format tag 0x4444",
            ),
            (
                spoiled(|p| p.bits = 12),
                "expected 8, 16, 24 or 32 bits a sample (32 for floating point, 8 for G.711), found 12 with format tag 1",
            ),
            (
                spoiled(|p| (p.tag, p.bits) = (3, 64)),
                "expected 8, 16, 24 or 32 bits a sample (32 for floating point, 8 for G.711), found 64 with format tag 3",
            ),
            (spoiled(|p| p.channels = 0), "expected 1 to 8 channels, found 0"),
            (spoiled(|p| p.channels = 9), "expected 1 to 8 channels, found 9"),
            (
                spoiled(|p| p.rate_hz = 0),
                "expected a sampling rate of 4000 to 384000 Hz, found 0",
            ),
            (
                spoiled(|p| p.rate_hz = u32::MAX),
                "expected a sampling rate of 4000 to 384000 Hz, found 4294967295",
            ),
            (
                spoiled(|p| p.block = Some(4)),
                "expected 2 bytes per sample frame, the header says 4",
            ),
            (
                spoiled(|p| p.declared = Some(4000)),
                "the file is truncated: its header announces 4000 bytes, 1600 are present",
            ),
            (spoiled(|p| p.data.clear()), "expected speech, found 0 samples"),
            (
                spoiled(|p| p.data.truncate(1599)),
                "expected a whole number of 2-byte sample frames, found 1599 bytes of data",
            ),
            (
                spoiled(|p| (p.tag, p.bits) = (3, 32)),
                "expected PCM samples, found floating point",
            ),
            (
                spoiled(|p| (p.tag, p.bits) = (7, 8)),
                "expected PCM samples, found G.711 µ-law",
            ),
            (
                spoiled(|p| {
                    p.bits = 24;
                    p.data.truncate(1500);
                }),
                "expected 16 bits a sample, found 24",
            ),
            (spoiled(|p| p.channels = 2), "expected 1 channel, found 2"),
            (
                spoiled(|p| p.rate_hz = 16_000),
                "expected a sampling rate of 8000 Hz, found 16000 Hz",
            ),
            (
                spoiled(|p| p.data = vec![0; 2 * 8 * 501]),
                "expected at most 500 ms, found 501 ms",
            ),
        ];
        assert!(cases.len() >= 25);
        for (bytes, expected) in cases {
            let error = read_master(&bytes, 8000, 500).unwrap_err().to_string();
            assert_eq!(error, expected);
        }
        assert_eq!(
            read_master(&Pieces::good().bytes(), 8000, 500).unwrap(),
            [0x1000; 800]
        );
    }

    #[test]
    fn no_spoiled_byte_panics() {
        let good = Pieces::good().bytes();
        for at in 0..60 {
            for value in [0, 1, 0x7F, 0x80, 0xFF] {
                let mut bytes = good.clone();
                bytes[at] = value;
                let _ = read_master(&bytes, 8000, 500);
                let _ = read_master(&bytes[..at], 8000, 500);
            }
        }
    }

    #[test]
    fn every_width_and_law_gives_the_same_sound() {
        let octet = |tag, law| {
            let mut octets = [0; 4];
            codec::encode(law, &[8031, -8031, 0, 31_000], &mut octets);
            spoiled(|p| (p.tag, p.bits, p.data) = (tag, 8, octets.to_vec()))
        };
        let whole = |bits: u16, shift: u32| {
            let bytes = usize::from(bits / 8);
            let data = [8031_i32, -8031, 0, 31_000]
                .iter()
                .flat_map(|s| (s << shift).to_le_bytes()[..bytes].to_vec());
            spoiled(|p| (p.bits, p.data) = (bits, data.collect()))
        };
        let float: Vec<u8> = [8031.0_f32, -8031.0, 0.0, 31_000.0]
            .iter()
            .flat_map(|s| (s / FULL_SCALE).to_le_bytes())
            .collect();
        for (bytes, tolerance) in [
            (octet(7, Codec::Pcmu), 700),
            (octet(6, Codec::Pcma), 700),
            (whole(16, 0), 0),
            (whole(24, 8), 0),
            (whole(32, 16), 0),
            (spoiled(|p| (p.tag, p.bits, p.data) = (3, 32, float.clone())), 0),
            (spoiled(|p| (p.bits, p.data) = (8, vec![159, 97, 128, 249])), 256),
        ] {
            let file = WavFile::new(Cursor::new(bytes)).unwrap();
            let samples = to_i16(&file.read_mono(1000).unwrap());
            for (found, expected) in samples.iter().zip([8031_i16, -8031, 0, 31_000]) {
                assert!(found.abs_diff(expected) <= tolerance, "{samples:?}");
            }
        }
    }

    #[test]
    fn stereo_is_mixed_and_chunks_around_the_samples_are_passed_over() {
        let mut chunk = b"LIST\x05\0\0\0abcde\0".to_vec();
        chunk.extend(b"fact\x04\0\0\0\0\0\0\0");
        let bytes = spoiled(|p| {
            p.before_data = chunk;
            p.channels = 2;
            p.data = [100_i16, 300, -50, 50]
                .iter()
                .flat_map(|s| s.to_le_bytes())
                .collect();
        });
        let file = WavFile::new(Cursor::new(bytes)).unwrap();
        assert_eq!(to_i16(&file.read_mono(1000).unwrap()), [200, 0]);
    }

    #[test]
    fn a_streamed_length_ends_with_the_file() {
        let bytes = spoiled(|p| p.declared = Some(0xFFFF_FFFF));
        assert_eq!(read_master(&bytes, 8000, 500).unwrap().len(), 800);
    }

    #[test]
    fn a_float_that_is_no_number_is_refused() {
        let bytes = spoiled(|p| (p.tag, p.bits, p.data) = (3, 32, f32::NAN.to_le_bytes().to_vec()));
        let error = WavFile::new(Cursor::new(bytes))
            .unwrap()
            .read_mono(1000)
            .unwrap_err();
        assert_eq!(error, WavError::NotFinite);
    }

    #[test]
    fn what_is_written_reads_back() {
        let samples: Vec<i16> = (-400..400).map(|n| n * 80).collect();
        let bytes = write_master(&samples, 16_000).unwrap();
        assert_eq!(bytes.len(), 44 + 1600);
        assert_eq!(read_master(&bytes, 16_000, 100).unwrap(), samples);
    }
}
