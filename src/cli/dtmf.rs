//! `ringproof dtmf FILE…`: the digits in WAV files, heard as a call hears them.
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::prompt::{ListenError, PressedKey, WavFormat, listen_to_file};

/// Find the keys in recordings.
///
/// Takes WAV at 8 or 16 kHz, mono: PCM of 8 to 32 bits, G.711 A-law or µ-law. The sound goes through the detector of
/// a live call, packet by packet.
///
/// Exit code 0: every file was read, whether it holds digits or not; 1: a file could not be read.
#[derive(Debug, Args)]
pub struct DtmfArgs {
    /// WAV files.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// One JSON object per digit per line: {"digit":"#","start_ms":123,"end_ms":203}; with several files also "file".
    #[arg(long)]
    json: bool,
    /// Which detector listens.
    #[arg(long, value_enum, default_value_t = DetectorName::Inband)]
    detector: DetectorName,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DetectorName {
    /// The one for tones in the audio of a call.
    Inband,
}

/// How `ringproof dtmf` ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DtmfExit {
    /// 0
    Read,
    /// 1: at least one file could not be read; the others were.
    Unreadable,
}

impl From<DtmfExit> for ExitCode {
    fn from(exit: DtmfExit) -> Self {
        match exit {
            DtmfExit::Read => Self::SUCCESS,
            DtmfExit::Unreadable => Self::from(1),
        }
    }
}

#[derive(Serialize)]
struct DigitLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    digit: char,
    start_ms: u64,
    end_ms: u64,
}

/// Listens to every file; digits go to `out`, errors to `err`.
pub fn run(args: &DtmfArgs, out: &mut impl Write, err: &mut impl Write) -> DtmfExit {
    let DetectorName::Inband = args.detector;
    let mut exit = DtmfExit::Read;
    for path in &args.files {
        let heard = if args.json {
            json_lines(path, args.files.len() > 1, out)
        } else {
            table(path, out)
        };
        match heard {
            Ok(()) => {}
            // The reader has seen enough.
            Err(Stop::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => return exit,
            Err(error) => {
                let _ = writeln!(err, "error: {}: {error}", path.display());
                exit = DtmfExit::Unreadable;
            }
        }
    }
    exit
}

#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("cannot write the result: {0}")]
    Output(#[from] io::Error),
}

/// Listens and hands each key on as it is heard; the first failure to write is kept.
fn listen(path: &Path, mut write: impl FnMut(PressedKey) -> io::Result<()>) -> Result<WavFormat, Stop> {
    let mut written = Ok(());
    let format = listen_to_file(path, |key| {
        if written.is_ok() {
            written = write(key);
        }
    })?;
    written?;
    Ok(format)
}

fn json_lines(path: &Path, name_file: bool, out: &mut impl Write) -> Result<(), Stop> {
    let name = path.to_string_lossy();
    listen(path, |key| {
        let line = DigitLine {
            file: name_file.then_some(name.as_ref()),
            digit: key.digit.as_char(),
            start_ms: key.start_ms,
            end_ms: key.end_ms,
        };
        serde_json::to_writer(&mut *out, &line)?;
        writeln!(out)
    })?;
    Ok(())
}

fn table(path: &Path, out: &mut impl Write) -> Result<(), Stop> {
    let mut keys = Vec::new();
    let format = listen(path, |key| {
        keys.push(key);
        Ok(())
    })?;
    writeln!(
        out,
        "{}: {}, {} Hz, {:.3} s, {} digits",
        path.display(),
        format.encoding.name(),
        format.rate_hz,
        format.duration_ms() as f64 / 1000.0,
        keys.len()
    )?;
    if !keys.is_empty() {
        writeln!(out, "  digit     start       end    length")?;
    }
    for key in keys {
        writeln!(
            out,
            "  {:<5} {:>6} ms {:>6} ms {:>6} ms",
            key.digit.as_char(),
            key.start_ms,
            key.end_ms,
            key.end_ms.saturating_sub(key.start_ms)
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::media::tone::ToneSender;
    use crate::model::Digits;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: DtmfArgs,
    }

    fn printed(arguments: &[&str]) -> (DtmfExit, String, String) {
        let command = Command::parse_from(["dtmf"].iter().chain(arguments));
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let exit = run(&command.args, &mut out, &mut err);
        (
            exit,
            String::from_utf8(out).unwrap(),
            String::from_utf8(err).unwrap(),
        )
    }

    fn write_tones(path: &Path, digits: &str) {
        let mut samples = vec![0; 800];
        let mut tones = vec![0; digits.len() * 1600];
        ToneSender::new(Digits::parse(digits).unwrap()).fill(&mut tones);
        samples.extend(tones);
        samples.extend([0; 800]);
        let data: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
        let mut bytes = pcm_header();
        bytes.extend((data.len() as u32).to_le_bytes());
        bytes.extend(data);
        std::fs::write(path, bytes).unwrap();
    }

    /// Header of 16-bit mono PCM at 8 kHz up to the length of the samples.
    fn pcm_header() -> Vec<u8> {
        let mut bytes = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
        bytes.extend(8000_u32.to_le_bytes());
        bytes.extend(16_000_u32.to_le_bytes());
        bytes.extend(b"\x02\0\x10\0data");
        bytes
    }

    #[test]
    fn json_is_one_object_per_digit_per_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.wav");
        write_tones(&path, "7#");
        let (exit, out, err) = printed(&["--json", "--detector", "inband", path.to_str().unwrap()]);
        assert_eq!((exit, err.as_str()), (DtmfExit::Read, ""));
        let lines: Vec<serde_json::Value> = out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert!(out.starts_with("{\"digit\":\"7\",\"start_ms\":"), "{out}");
        assert_eq!(lines[1]["digit"], "#");
        assert!(lines[1]["end_ms"].as_u64() > lines[1]["start_ms"].as_u64());
        assert_eq!(lines[1].as_object().unwrap().len(), 3);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_and_the_next_is_still_heard() {
        let directory = tempfile::tempdir().unwrap();
        let (good, bad) = (
            directory.path().join("good.wav"),
            directory.path().join("bad.wav"),
        );
        write_tones(&good, "4");
        std::fs::write(&bad, "hello").unwrap();
        let (exit, out, err) = printed(&["--json", bad.to_str().unwrap(), good.to_str().unwrap()]);
        assert_eq!(exit, DtmfExit::Unreadable);
        assert!(
            err.contains("bad.wav: expected a RIFF header of 12 bytes, the whole file has 5"),
            "{err}"
        );
        assert!(out.contains("good.wav\",\"digit\":\"4\""), "{out}");
    }

    #[test]
    fn the_table_says_what_was_read_and_what_was_heard() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.wav");
        write_tones(&path, "1*");
        let (_, out, _) = printed(&[path.to_str().unwrap()]);
        assert!(out.contains("PCM, 8000 Hz, 0.600 s, 2 digits"), "{out}");
        assert_eq!(out.lines().count(), 4);
    }
}
