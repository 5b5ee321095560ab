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
        let reader = hound::WavReader::new(Cursor::new(canonical_header(&spec, layout.data_bytes)).chain(bytes))
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
pub fn read_master(bytes: &[u8], rate_hz: u32, ms_max: u64) -> Result<Vec<i16>, WavError> {
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
pub fn to_i16(samples: &[f32]) -> Vec<i16> {
    samples
        .iter()
        .map(|s| (s * FULL_SCALE).round().clamp(-32_768.0, 32_767.0) as i16)
        .collect()
}

/// 16 bits to full scale ±1.
#[must_use]
pub fn to_f32(samples: &[i16]) -> Vec<f32> {
    samples.iter().map(|s| f32::from(*s) / FULL_SCALE).collect()
}
