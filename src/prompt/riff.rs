//! The RIFF container of a WAV file: finds the format and the samples, and says exactly what is wrong.
//!
//! Does not decode samples (that is [`super::wav`]). Microsoft "Multimedia Programming Interface 1.0", RFC 2361.
//!
//! Invariants: reads no more than [`CHUNKS_MAX`] chunk headers; a [`Layout`] names bytes that exist in the file.
use std::io::{self, Read, Seek, SeekFrom};

use super::error::WavError;

/// Real files hold fewer than ten; a crafted one must not keep us walking.
const CHUNKS_MAX: usize = 256;

/// A writer that could not seek back leaves a length near the top of its integer: the data then ends with the file.
const STREAMED_LENGTH_MIN: u32 = 0x7FFF_0000;

/// How one sample is stored (RFC 2361 registers the numbers).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Whole numbers, format tag 1.
    Pcm,
    /// IEEE floating point, format tag 3.
    Float,
    /// G.711 A-law, format tag 6.
    ALaw,
    /// G.711 µ-law, format tag 7.
    MuLaw,
}

impl Encoding {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pcm => "PCM",
            Self::Float => "floating point",
            Self::ALaw => "G.711 A-law",
            Self::MuLaw => "G.711 µ-law",
        }
    }
}

/// What the header says about the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WavFormat {
    pub encoding: Encoding,
    pub channels: u16,
    pub rate_hz: u32,
    pub bits: u16,
    /// Samples per channel.
    pub frames: u64,
}

impl WavFormat {
    #[must_use]
    pub const fn duration_ms(&self) -> u64 {
        self.frames.saturating_mul(1000) / self.rate_hz as u64
    }
}

/// The format and where its samples lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) format: WavFormat,
    pub(super) data_start: u64,
    pub(super) data_bytes: u64,
}

/// Walks the chunks up to the samples.
pub(super) fn locate<R: Read + Seek>(source: &mut R) -> Result<Layout, WavError> {
    let file_bytes = source.seek(SeekFrom::End(0))?;
    source.seek(SeekFrom::Start(0))?;
    riff_header(source, file_bytes)?;
    let mut position = 12_u64;
    let mut format = None;
    for _ in 0..CHUNKS_MAX {
        if position.saturating_add(8) > file_bytes {
            break;
        }
        source.seek(SeekFrom::Start(position))?;
        let mut head = [0_u8; 8];
        source.read_exact(&mut head)?;
        let [a, b, c, d, l0, l1, l2, l3] = head;
        let declared = u32::from_le_bytes([l0, l1, l2, l3]);
        let body = position + 8;
        match &[a, b, c, d] {
            b"fmt " => format = Some(parse_format(source, declared, file_bytes - body)?),
            b"data" => {
                let format = format.ok_or(WavError::DataBeforeFormat)?;
                return data_chunk(format, body, declared, file_bytes - body);
            }
            _ => {}
        }
        // Chunks are padded to an even length.
        position = body + u64::from(declared) + u64::from(declared & 1);
    }
    match format {
        Some(_) => Err(WavError::NoData),
        None => Err(WavError::NoFormat),
    }
}

fn riff_header<R: Read>(source: &mut R, file_bytes: u64) -> Result<(), WavError> {
    if file_bytes == 0 {
        return Err(WavError::EmptyFile);
    }
    if file_bytes < 12 {
        return Err(WavError::TooShort { bytes: file_bytes });
    }
    let mut head = [0_u8; 12];
    source.read_exact(&mut head)?;
    let [a, b, c, d, _, _, _, _, w, x, y, z] = head;
    if [a, b, c, d] != *b"RIFF" {
        return Err(WavError::NotRiff { found: [a, b, c, d] });
    }
    if [w, x, y, z] != *b"WAVE" {
        return Err(WavError::NotWave { found: [w, x, y, z] });
    }
    Ok(())
}

/// The fields of the format chunk as they stand in the file.
struct RawFormat {
    tag: u16,
    channels: u16,
    rate_hz: u32,
    block_bytes: u16,
    bits: u16,
}

fn parse_format<R: Read>(source: &mut R, declared: u32, present: u64) -> Result<RawFormat, WavError> {
    if declared < 16 {
        return Err(WavError::FormatTooShort { bytes: declared });
    }
    let length = u64::from(declared).min(40);
    if present < length {
        return Err(WavError::Truncated {
            declared: u64::from(declared),
            present,
        });
    }
    let mut body = [0_u8; 40];
    let used = usize::try_from(length).unwrap_or(40).min(40);
    source.read_exact(&mut body[..used])?;
    let short = |at: usize| u16::from_le_bytes([body[at], body[at + 1]]);
    let mut tag = short(0);
    // WAVE_FORMAT_EXTENSIBLE: the real tag opens the sub-format GUID.
    if tag == 0xFFFE {
        if declared < 40 {
            return Err(WavError::FormatTooShort { bytes: declared });
        }
        tag = short(24);
    }
    Ok(RawFormat {
        tag,
        channels: short(2),
        rate_hz: u32::from_le_bytes([body[4], body[5], body[6], body[7]]),
        block_bytes: short(12),
        bits: short(14),
    })
}

fn data_chunk(raw: RawFormat, start: u64, declared: u32, present: u64) -> Result<Layout, WavError> {
    let encoding = encoding_of(&raw)?;
    if !(1..=8).contains(&raw.channels) {
        return Err(WavError::Channels { found: raw.channels });
    }
    if !(4000..=384_000).contains(&raw.rate_hz) {
        return Err(WavError::Rate { found: raw.rate_hz });
    }
    let block_bytes = raw.channels * raw.bits.div_ceil(8);
    if raw.block_bytes != block_bytes {
        return Err(WavError::BlockSize {
            expected: block_bytes,
            found: raw.block_bytes,
        });
    }
    let data_bytes = match u64::from(declared) {
        _ if declared >= STREAMED_LENGTH_MIN && u64::from(declared) > present => {
            present - present % u64::from(block_bytes)
        }
        bytes if bytes > present => {
            return Err(WavError::Truncated {
                declared: bytes,
                present,
            });
        }
        bytes => bytes,
    };
    if data_bytes == 0 {
        return Err(WavError::NoSamples);
    }
    if data_bytes % u64::from(block_bytes) != 0 {
        return Err(WavError::PartialFrame {
            bytes: data_bytes,
            block_bytes,
        });
    }
    let format = WavFormat {
        encoding,
        channels: raw.channels,
        rate_hz: raw.rate_hz,
        bits: raw.bits,
        frames: data_bytes / u64::from(block_bytes),
    };
    Ok(Layout {
        format,
        data_start: start,
        data_bytes,
    })
}

fn encoding_of(raw: &RawFormat) -> Result<Encoding, WavError> {
    match (raw.tag, raw.bits) {
        (1, 8 | 16 | 24 | 32) => Ok(Encoding::Pcm),
        (3, 32) => Ok(Encoding::Float),
        (6, 8) => Ok(Encoding::ALaw),
        (7, 8) => Ok(Encoding::MuLaw),
        (1 | 3 | 6 | 7, bits) => Err(WavError::Bits { tag: raw.tag, bits }),
        (tag, _) => Err(WavError::Encoding { tag }),
    }
}

impl From<io::Error> for WavError {
    fn from(error: io::Error) -> Self {
        Self::Read(error.to_string())
    }
}
