//! What can be wrong with a prompt, a set of prompts or a voice: what was expected and what came.
use std::path::PathBuf;

/// Why a WAV file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WavError {
    #[error("expected a WAV file, found an empty one")]
    EmptyFile,
    #[error("expected a RIFF header of 12 bytes, the whole file has {bytes}")]
    TooShort { bytes: u64 },
    #[error("expected a WAV file starting with \"RIFF\", found {}", start_of_file(*found))]
    NotRiff { found: [u8; 4] },
    #[error("expected a RIFF file of type \"WAVE\", found \"{}\"", found.escape_ascii())]
    NotWave { found: [u8; 4] },
    #[error("expected a \"fmt \" chunk, found none")]
    NoFormat,
    #[error("expected the \"fmt \" chunk before the \"data\" chunk, found it missing or after")]
    DataBeforeFormat,
    #[error("expected a \"fmt \" chunk of at least 16 bytes (40 when extensible), found {bytes}")]
    FormatTooShort { bytes: u32 },
    #[error("expected a \"data\" chunk, found none")]
    NoData,
    #[error("the file is truncated: its header announces {declared} bytes, {present} are present")]
    Truncated { declared: u64, present: u64 },
    #[error(
        "expected PCM, floating point, A-law or µ-law samples, found format tag {tag:#06x}{}",
        tag_name(*tag)
    )]
    Encoding { tag: u16 },
    #[error(
        "expected 8, 16, 24 or 32 bits a sample (32 for floating point, 8 for G.711), found {bits} with format tag {tag}"
    )]
    Bits { tag: u16, bits: u16 },
    #[error("expected 1 to 8 channels, found {found}")]
    Channels { found: u16 },
    #[error("expected a sampling rate of 4000 to 384000 Hz, found {found}")]
    Rate { found: u32 },
    #[error("expected {expected} bytes per sample frame, the header says {found}")]
    BlockSize { expected: u16, found: u16 },
    #[error("expected a whole number of {block_bytes}-byte sample frames, found {bytes} bytes of data")]
    PartialFrame { bytes: u64, block_bytes: u16 },
    #[error("expected speech, found 0 samples")]
    NoSamples,
    #[error("expected floating-point samples between -1 and 1, found one that is not a number")]
    NotFinite,
    #[error("expected at most {max_ms} ms, found {found_ms} ms")]
    TooLong { max_ms: u64, found_ms: u64 },
    #[error("expected {expected}, found {found}")]
    Master { expected: &'static str, found: String },
    #[error("expected a sampling rate of {expected} Hz, found {found} Hz")]
    MasterRate { expected: u32, found: u32 },
    #[error("cannot read the file: {0}")]
    Read(String),
}

fn start_of_file(found: [u8; 4]) -> String {
    let kind = match &found {
        [b'I', b'D', b'3', _] | [0xFF, 0xE2..=0xFB, _, _] => " (an MP3 file?)",
        b"OggS" => " (an Ogg file)",
        b"fLaC" => " (a FLAC file)",
        b"RF64" | b"RIFX" | b"FORM" => " (a relative of WAV that is not read here)",
        b".snd" => " (a Sun audio file)",
        _ => "",
    };
    format!("\"{}\"{kind}", found.escape_ascii())
}

const fn tag_name(tag: u16) -> &'static str {
    match tag {
        2 => " (Microsoft ADPCM)",
        0x11 => " (IMA ADPCM)",
        0x31 => " (GSM 6.10)",
        0x55 => " (MP3)",
        _ => "",
    }
}

/// Why a sound cannot become a telephone master.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MasterError {
    #[error(transparent)]
    Wav(#[from] WavError),
    #[error(
        "the recording is clipped: {runs} runs of 3 or more samples at full scale; record it again with less gain"
    )]
    Clipped { runs: usize },
    #[error("expected speech louder than {min_dbfs:.0} dBFS, the loudest 10 ms have {found_dbfs:.1} dBFS")]
    TooQuiet { min_dbfs: f64, found_dbfs: f64 },
    #[error("expected at least {min_ms} ms of speech, found {found_ms} ms")]
    TooShort { min_ms: u64, found_ms: u64 },
    #[error("expected at most {max_ms} ms of speech, found {found_ms} ms")]
    TooLong { max_ms: u64, found_ms: u64 },
    #[error(
        "expected speech at least {min_db:.0} dB above the background, found {found_db:.1} dB; record it in a quiet room"
    )]
    Noisy { min_db: f64, found_db: f64 },
    #[error(
        "expected a loudness of -19 LUFS within 1, {found_lufs:.1} was the nearest: its peaks are too sharp"
    )]
    Loudness { found_lufs: f64 },
    #[error("a telephone would hear the key {digit} at {at_ms} ms of this recording; record it again")]
    KeyTone { digit: char, at_ms: u64 },
    #[error("cannot resample: {0}")]
    Resample(String),
}

/// Why a voice engine gave no speech.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpeechError {
    #[error("expected the engine \"flite\" or \"espeak-ng\", found {found:?}")]
    UnknownEngine { found: String },
    #[error("{program} is not installed: {reason}")]
    NotInstalled { program: &'static str, reason: String },
    #[error("expected a voice name of letters, digits, '_', '-' and '+', found {found:?}")]
    VoiceName { found: String },
    #[error("{program} has no voice {voice:?}")]
    NoSuchVoice { program: &'static str, voice: String },
    #[error("expected 1 to {max} characters to speak, found {found}")]
    TextLength { max: usize, found: usize },
    #[error("{character:?} at position {position} cannot be spoken")]
    TextCharacter { character: char, position: usize },
    #[error("{program} did not finish within {limit_s} s")]
    Timeout { program: &'static str, limit_s: u64 },
    #[error("{program} failed: {reason}")]
    Failed { program: &'static str, reason: String },
}

/// Why a set of prompts cannot be loaded, built or extended.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PromptError {
    #[error("{path}: {reason}")]
    Io { path: PathBuf, reason: String },
    #[error("{language}/prompts.toml: {reason}")]
    Manifest { language: String, reason: String },
    #[error("{language}/{clip}.wav: {error}")]
    Clip {
        language: String,
        clip: String,
        error: MasterError,
    },
    #[error("{language}: {error}")]
    Speech { language: String, error: SpeechError },
    #[error("{language}: phrase {phrase:?} names the clip {clip:?}, which does not exist")]
    MissingClip {
        language: String,
        phrase: String,
        clip: String,
    },
    #[error("{language}: the phrase {phrase:?} is missing")]
    MissingPhrase { language: String, phrase: String },
    #[error("expected a language such as \"en-US\", found {found:?}")]
    LanguageTag { found: String },
    #[error("expected a clip name of lower-case letters, digits and '-', found {found:?}")]
    ClipName { found: String },
    #[error("no set of prompts is complete; {fallback} is needed: {reason}")]
    NoFallback { fallback: &'static str, reason: String },
}

impl PromptError {
    pub(super) fn io(path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::Io {
            path: path.to_path_buf(),
            reason: error.to_string(),
        }
    }
}
