//! Text → speech by a voice engine that is installed: flite or espeak-ng, as a child process.
//!
//! The text goes in by standard input and never through a shell or an argument; the sound comes out as a file in a
//! directory that only we can read. Used by `prompts build` and, for the name of a brand, once at start.
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::error::SpeechError;
use super::manifest::Manifest;
use super::wav::WavFile;

const TEXT_CHARS_MAX: usize = 600;
const RUN_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(5);
/// Words per minute of espeak-ng at stretch 1: a little slower than its own 175.
const ESPEAK_WORDS_PER_MINUTE: f64 = 150.0;
const SPEECH_MS_MAX: u64 = 120_000;

/// The engines that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Flite,
    EspeakNg,
}

impl Engine {
    const fn program(self) -> &'static str {
        match self {
            Self::Flite => "flite",
            Self::EspeakNg => "espeak-ng",
        }
    }

    fn named(name: &str) -> Result<Self, SpeechError> {
        match name {
            "flite" => Ok(Self::Flite),
            "espeak-ng" => Ok(Self::EspeakNg),
            other => Err(SpeechError::UnknownEngine {
                found: other.chars().take(40).collect(),
            }),
        }
    }
}

/// One installed voice.
#[derive(Debug, Clone)]
pub struct Speaker {
    engine: Engine,
    voice: String,
    stretch: f64,
}

/// What the engine said.
#[derive(Debug, Clone, PartialEq)]
pub struct Speech {
    pub samples: Vec<f32>,
    pub rate_hz: u32,
}

impl Speaker {
    /// The voice of a set, if its engine is installed and has it.
    pub fn for_set(manifest: &Manifest) -> Result<Self, SpeechError> {
        let engine = Engine::named(&manifest.voice.engine)?;
        Self::new(engine, &manifest.voice.voice, manifest.stretch)
    }

    /// The voice that speaks a name in a set: the set's own where `engine` made it, else the engine's plainest voice
    /// of that language.
    pub fn for_brand(manifest: &Manifest, engine: &str) -> Result<Self, SpeechError> {
        if manifest.voice.engine == engine {
            return Self::for_set(manifest);
        }
        let language = manifest.language();
        match Engine::named(engine)? {
            Engine::EspeakNg => Self::new(Engine::EspeakNg, language.primary(), manifest.stretch),
            Engine::Flite if language.primary() == "en" => Self::new(Engine::Flite, "slt", manifest.stretch),
            Engine::Flite => Err(SpeechError::NoSuchVoice {
                program: Engine::Flite.program(),
                voice: language.to_string(),
            }),
        }
    }

    pub fn new(engine: Engine, voice: &str, stretch: f64) -> Result<Self, SpeechError> {
        // flite would open a path or an address given as a voice.
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+');
        if voice.is_empty() || voice.len() > 40 || voice.starts_with('-') || !voice.chars().all(plain) {
            return Err(SpeechError::VoiceName {
                found: voice.chars().take(60).collect(),
            });
        }
        let speaker = Self {
            engine,
            voice: voice.to_owned(),
            stretch,
        };
        speaker.check_installed()?;
        Ok(speaker)
    }

    /// Speaks one text.
    pub fn speak(&self, text: &str) -> Result<Speech, SpeechError> {
        check_text(text)?;
        let place = Scratch::new().map_err(|error| self.failed(&error))?;
        let wav = place.path.join("speech.wav");
        let log = place.path.join("log");
        let mut command = Command::new(self.engine.program());
        match self.engine {
            Engine::Flite => command
                .args(["-voice", &self.voice])
                .args(["--setf", &format!("duration_stretch={:.3}", self.stretch)])
                .args(["-f", "-"])
                .arg("-o")
                .arg(&wav),
            Engine::EspeakNg => command
                .args(["-v", &self.voice])
                .args(["-s", &format!("{:.0}", ESPEAK_WORDS_PER_MINUTE / self.stretch)])
                .arg("-w")
                .arg(&wav)
                .arg("--stdin"),
        };
        let stderr = File::create(&log).map_err(|error| self.failed(&error))?;
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .map_err(|error| self.not_installed(&error))?;
        let status = self.run(child, text)?;
        if !status.success() {
            return Err(SpeechError::Failed {
                program: self.engine.program(),
                reason: format!("{status}: {}", first_line(&log)),
            });
        }
        let file = WavFile::open(&wav).map_err(|error| self.failed(&error))?;
        let rate_hz = file.format().rate_hz;
        let samples = file
            .read_mono(SPEECH_MS_MAX)
            .map_err(|error| self.failed(&error))?;
        Ok(Speech { samples, rate_hz })
    }

    fn check_installed(&self) -> Result<(), SpeechError> {
        let mut command = Command::new(self.engine.program());
        match self.engine {
            Engine::Flite => command.arg("-lv"),
            Engine::EspeakNg => command.arg("--voices"),
        };
        let output = command
            .stdin(Stdio::null())
            .output()
            .map_err(|error| self.not_installed(&error))?;
        let known = String::from_utf8_lossy(&output.stdout);
        // espeak-ng takes variants after a plus sign, and its voices under several names.
        let wanted = self.voice.split('+').next().unwrap_or(&self.voice);
        if known.split_whitespace().any(|word| word == wanted) {
            return Ok(());
        }
        Err(SpeechError::NoSuchVoice {
            program: self.engine.program(),
            voice: self.voice.clone(),
        })
    }

    fn run(&self, mut child: Child, text: &str) -> Result<ExitStatus, SpeechError> {
        // The text is far smaller than a pipe holds, so this cannot block; an engine that exits early says why.
        if let Some(mut stdin) = child.stdin.take() {
            let _ = writeln!(stdin, "{text}");
        }
        let deadline = Instant::now() + RUN_LIMIT;
        loop {
            if let Some(status) = child.try_wait().map_err(|error| self.failed(&error))? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                let _ = child.kill();
                let _ = child.wait();
                return Err(SpeechError::Timeout {
                    program: self.engine.program(),
                    limit_s: RUN_LIMIT.as_secs(),
                });
            }
            std::thread::sleep(POLL);
        }
    }

    fn not_installed(&self, error: &io::Error) -> SpeechError {
        SpeechError::NotInstalled {
            program: self.engine.program(),
            reason: error.to_string(),
        }
    }

    fn failed(&self, error: &impl ToString) -> SpeechError {
        SpeechError::Failed {
            program: self.engine.program(),
            reason: error.to_string(),
        }
    }
}

/// Letters, digits and the punctuation of plain sentences; nothing that an engine takes for a command
/// (`[[` opens phonemes in espeak-ng, `<` markup).
pub(super) fn check_text(text: &str) -> Result<(), SpeechError> {
    let found = text.chars().count();
    if text.trim().is_empty() || found > TEXT_CHARS_MAX {
        return Err(SpeechError::TextLength {
            max: TEXT_CHARS_MAX,
            found,
        });
    }
    let plain = |c: char| {
        c.is_alphanumeric()
            || matches!(
                c,
                ' ' | '.'
                    | ','
                    | ';'
                    | ':'
                    | '!'
                    | '?'
                    | '\''
                    | '’'
                    | '-'
                    | '–'
                    | '&'
                    | '('
                    | ')'
                    | '/'
                    | '+'
                    | '%'
            )
    };
    match text.chars().position(|c| !plain(c)) {
        Some(at) => Err(SpeechError::TextCharacter {
            character: text.chars().nth(at).unwrap_or('?'),
            position: at + 1,
        }),
        None => Ok(()),
    }
}

fn first_line(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.lines()
        .next()
        .unwrap_or("no message")
        .chars()
        .take(200)
        .collect()
}

/// A directory of our own that goes away with its content.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn new() -> io::Result<Self> {
        let mut random = [0_u8; 12];
        getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
        let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = std::env::temp_dir().join(format!("ringproof-speech-{name}"));
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        // Fails when the name exists: nobody can have put a link there.
        builder.create(&path)?;
        Ok(Self { path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_text_is_spoken() {
        assert_eq!(check_text("Hello from Müller & Co. (Ltd.)!"), Ok(()));
        for (text, character) in [
            ("a [[b]]", '['),
            ("<b>", '<'),
            ("a\nb", '\n'),
            ("$(id)", '$'),
            ("a|b", '|'),
        ] {
            let error = check_text(text).unwrap_err();
            assert!(
                matches!(error, SpeechError::TextCharacter { character: c, .. } if c == character),
                "{error}"
            );
        }
        assert!(matches!(check_text(" "), Err(SpeechError::TextLength { .. })));
        assert!(matches!(
            check_text(&"a".repeat(601)),
            Err(SpeechError::TextLength { found: 601, .. })
        ));
    }

    #[test]
    fn a_voice_cannot_be_a_path_an_option_or_an_address() {
        for voice in ["", "-o", "/tmp/x.flitevox", "http://x", "a b", "../slt"] {
            let error = Speaker::new(Engine::Flite, voice, 1.0).unwrap_err();
            assert!(
                matches!(error, SpeechError::VoiceName { .. }),
                "{voice:?}: {error}"
            );
        }
    }

    #[test]
    fn an_unknown_engine_is_named() {
        let error = Engine::named("sh").unwrap_err().to_string();
        assert!(error.contains("flite") && error.contains("\"sh\""), "{error}");
    }
}
