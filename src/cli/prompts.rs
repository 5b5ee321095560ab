//! `ringproof prompts list|check|import|build`: the catalogue of what a call says.
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::media::frame::Clip;
use crate::model::Codec;
use crate::prompt::{
    Built, Import, Language, LanguageReport, Library, PromptError, build_language, check_language, import,
    phrase_ms,
};

/// Hear, check, replace and make the prompts.
#[derive(Debug, Args)]
pub struct PromptsArgs {
    #[command(subcommand)]
    command: PromptsCommand,
}

#[derive(Debug, Subcommand)]
enum PromptsCommand {
    /// Languages, phrases, lengths and transcripts.
    List(ListArgs),
    /// Format, loudness, clipping, lead-in, silence, key tones and completeness of every prompt.
    ///
    /// Exit code 0: nothing is wrong; 1: something is; 2: the prompts cannot be read at all.
    Check(CheckArgs),
    /// Take in a recording: any WAV becomes the two telephone masters of one clip.
    Import(ImportArgs),
    /// Speak the transcripts of `prompts.toml` with an installed voice (flite or espeak-ng).
    Build(BuildArgs),
}

#[derive(Debug, Args)]
struct PlaceArgs {
    /// Directory of sets (`<language>/prompts.toml`); the built-in sets where none is given.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Only these languages, such as en-US.
    #[arg(long = "language", short = 'l', value_name = "TAG")]
    languages: Vec<Language>,
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// One JSON document instead of a table, with the digest of every recording.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct CheckArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// One JSON document instead of a table.
    #[arg(long)]
    json: bool,
    /// Every file in the table, not only those with something wrong.
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Args)]
struct ImportArgs {
    /// The recording: WAV, PCM of 8 to 32 bits, float or G.711, any rate, mono or stereo.
    file: PathBuf,
    /// Language of the set.
    #[arg(long, short = 'l', value_name = "TAG")]
    language: Language,
    /// Name of the clip, such as confirm-press-pound or brand-contoso.
    #[arg(long, value_name = "CLIP")]
    name: String,
    /// What it says; needed for a clip that prompts.toml does not list yet.
    #[arg(long, value_name = "TEXT")]
    transcript: Option<String>,
    /// Whose voice it is.
    #[arg(long, value_name = "NAME")]
    voice: Option<String>,
    /// Under which terms it may be used.
    #[arg(long, value_name = "TEXT")]
    licence: Option<String>,
    /// Directory of sets to put it in.
    #[arg(long, value_name = "DIR", default_value = "prompts")]
    dir: PathBuf,
}

#[derive(Debug, Args)]
struct BuildArgs {
    /// Directory of sets to build in.
    #[arg(long, value_name = "DIR", default_value = "prompts")]
    dir: PathBuf,
    /// Only these languages.
    #[arg(long = "language", short = 'l', value_name = "TAG")]
    languages: Vec<Language>,
    /// Only these clips.
    #[arg(long = "clip", value_name = "CLIP")]
    clips: Vec<String>,
}

/// How `ringproof prompts …` ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptsExit {
    /// 0: done, and nothing is wrong.
    Good,
    /// 1: `check` found problems.
    Problems,
    /// 2: a file, a manifest or a voice cannot be used.
    Failed,
}

impl From<PromptsExit> for ExitCode {
    fn from(exit: PromptsExit) -> Self {
        match exit {
            PromptsExit::Good => Self::SUCCESS,
            PromptsExit::Problems => Self::from(1),
            PromptsExit::Failed => Self::from(2),
        }
    }
}

/// Why a subcommand stopped: a reader that went away is no error of ours.
enum Stop {
    Prompt(PromptError),
    Output(io::Error),
}

impl From<PromptError> for Stop {
    fn from(error: PromptError) -> Self {
        Self::Prompt(error)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Runs the subcommand; results go to `out`, errors to `err`.
pub fn run(args: &PromptsArgs, out: &mut impl Write, err: &mut impl Write) -> PromptsExit {
    let result = match &args.command {
        PromptsCommand::List(args) => list(args, out),
        PromptsCommand::Check(args) => check(args, out),
        PromptsCommand::Import(args) => take_in(args, out),
        PromptsCommand::Build(args) => build(args, out),
    };
    match result {
        Ok(exit) => exit,
        Err(Stop::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => PromptsExit::Good,
        Err(Stop::Output(error)) => {
            let _ = writeln!(err, "error: cannot write the result: {error}");
            PromptsExit::Failed
        }
        Err(Stop::Prompt(error)) => {
            let _ = writeln!(err, "error: {error}");
            PromptsExit::Failed
        }
    }
}

impl PlaceArgs {
    fn library(&self) -> Library {
        match &self.dir {
            Some(directory) => Library::directory(directory),
            None => Library::new(None),
        }
    }

    fn languages(&self, library: &Library) -> Result<Vec<Language>, PromptError> {
        if self.languages.is_empty() {
            library.languages()
        } else {
            Ok(self.languages.clone())
        }
    }
}

#[derive(Serialize)]
struct ListedLanguage {
    language: String,
    name: String,
    voice: String,
    engine: String,
    licence: String,
    phrases: BTreeMap<String, ListedPhrase>,
    /// Every recording; the digests are those of `prompts` in an attempt.
    clips: BTreeMap<String, ListedClip>,
}

#[derive(Serialize)]
struct ListedClip {
    duration_ms: u32,
    /// By codec, of the recording as that codec codes it.
    sha256: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
struct ListedPhrase {
    items: Vec<String>,
    /// Absent where the call decides it.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u64>,
    transcript: String,
}

fn list(args: &ListArgs, out: &mut impl Write) -> Result<PromptsExit, Stop> {
    let library = args.place.library();
    let mut listed = Vec::new();
    for language in args.place.languages(&library)? {
        listed.push(listed_language(&library, &language, args.json)?);
    }
    if args.json {
        json(out, &listed)?;
        return Ok(PromptsExit::Good);
    }
    for language in &listed {
        writeln!(
            out,
            "{}  {}  voice {} ({}), {}",
            language.language, language.name, language.voice, language.engine, language.licence
        )?;
        for (name, phrase) in &language.phrases {
            let seconds = match phrase.duration_ms {
                Some(ms) => format!("{:.1} s", ms as f64 / 1000.0),
                None => "varies".to_owned(),
            };
            writeln!(out, "  {name:<22} {seconds:>7}  {}", phrase.transcript)?;
        }
        writeln!(out)?;
    }
    Ok(PromptsExit::Good)
}

fn listed_clip(name: &str, pcm: &[i16]) -> ListedClip {
    let clip = Clip::from_pcm(name, pcm);
    ListedClip {
        duration_ms: clip.duration_ms,
        sha256: Codec::ALL
            .iter()
            .map(|codec| (codec.as_str(), clip.digest(*codec)))
            .collect(),
    }
}

fn listed_language(
    library: &Library,
    language: &Language,
    with_clips: bool,
) -> Result<ListedLanguage, PromptError> {
    let set = library.load(language)?;
    let phrases = set
        .manifest
        .phrases
        .iter()
        .map(|(name, items)| {
            let words: Vec<&str> = items
                .iter()
                .map(|item| match item.as_str() {
                    "brand" => "[brand]",
                    item => set
                        .manifest
                        .clips
                        .get(item)
                        .map_or(item, |clip| clip.transcript.as_str()),
                })
                .collect();
            let phrase = ListedPhrase {
                items: items.clone(),
                duration_ms: phrase_ms(&set, name),
                transcript: words.join(" "),
            };
            (name.clone(), phrase)
        })
        .collect();
    let clips = match with_clips {
        true => set
            .clips
            .iter()
            .map(|(name, pcm)| (name.clone(), listed_clip(name, pcm)))
            .collect(),
        false => BTreeMap::new(),
    };
    Ok(ListedLanguage {
        clips,
        language: language.to_string(),
        name: set.manifest.name,
        voice: set.manifest.voice.voice,
        engine: set.manifest.voice.engine,
        licence: set.manifest.voice.licence,
        phrases,
    })
}

#[derive(Serialize)]
struct CheckedSets {
    ok: bool,
    problems: usize,
    languages: Vec<LanguageReport>,
}

fn check(args: &CheckArgs, out: &mut impl Write) -> Result<PromptsExit, Stop> {
    let library = args.place.library();
    // The 16 kHz masters are not built in.
    let wide = args.place.dir.is_some();
    let mut languages = Vec::new();
    for language in args.place.languages(&library)? {
        languages.push(check_language(&library, &language, wide)?);
    }
    let problems: usize = languages.iter().map(LanguageReport::problem_count).sum();
    let ok = problems == 0 && !languages.is_empty();
    if args.json {
        json(
            out,
            &CheckedSets {
                ok,
                problems,
                languages,
            },
        )?;
    } else {
        for report in &languages {
            check_table(report, args.all, out)?;
        }
        match languages.len() {
            0 => writeln!(out, "expected sets of prompts here, found none")?,
            count => writeln!(out, "{count} languages, {problems} problems")?,
        }
    }
    Ok(if ok {
        PromptsExit::Good
    } else {
        PromptsExit::Problems
    })
}

fn check_table(report: &LanguageReport, all: bool, out: &mut impl Write) -> io::Result<()> {
    let files = report.clips.len();
    let seconds = report
        .clips
        .iter()
        .filter_map(|clip| clip.duration_ms)
        .sum::<u64>() as f64
        / 1000.0;
    writeln!(
        out,
        "{}  {}  voice {}  {files} files, {seconds:.1} s",
        report.language, report.name, report.voice
    )?;
    let shown: Vec<_> = report
        .clips
        .iter()
        .filter(|clip| all || !clip.problems.is_empty())
        .collect();
    if !shown.is_empty() {
        writeln!(
            out,
            "  {:<26} {:>6} {:>8} {:>6} {:>6} {:>7} {:>6}  result",
            "clip", "Hz", "length", "LUFS", "peak", "lead-in", "gap"
        )?;
    }
    for clip in shown {
        let ms = |value: Option<u64>| value.map_or("-".to_owned(), |ms| format!("{ms} ms"));
        let db = |value: Option<f64>| value.map_or("-".to_owned(), |db| format!("{db:.1}"));
        let verdict = match clip.problems.as_slice() {
            [] => "ok".to_owned(),
            problems => problems
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; "),
        };
        writeln!(
            out,
            "  {:<26} {:>6} {:>8} {:>6} {:>6} {:>7} {:>6}  {verdict}",
            clip.clip,
            clip.rate_hz,
            ms(clip.duration_ms),
            db(clip.loudness_lufs),
            db(clip.peak_dbfs),
            ms(clip.lead_in_ms),
            ms(clip.longest_gap_ms)
        )?;
    }
    for problem in &report.problems {
        writeln!(out, "  {problem}")?;
    }
    Ok(())
}

fn take_in(args: &ImportArgs, out: &mut impl Write) -> Result<PromptsExit, Stop> {
    let imported = import(&Import {
        file: &args.file,
        directory: &args.dir,
        language: &args.language,
        clip: &args.name,
        transcript: args.transcript.as_deref(),
        voice: args.voice.as_deref(),
        licence: args.licence.as_deref(),
    })?;
    for file in &imported.files {
        writeln!(out, "wrote {}", file.display())?;
    }
    let entry = if imported.entry_added {
        ", added to prompts.toml"
    } else {
        ""
    };
    writeln!(out, "{:.1} s{entry}", imported.duration_ms as f64 / 1000.0)?;
    Ok(PromptsExit::Good)
}

fn build(args: &BuildArgs, out: &mut impl Write) -> Result<PromptsExit, Stop> {
    let languages = if args.languages.is_empty() {
        Library::directory(&args.dir).languages()?
    } else {
        args.languages.clone()
    };
    for language in languages {
        let (mut written, mut unchanged, mut recordings) = (0, 0, 0);
        let mut lines = Vec::new();
        build_language(&args.dir, &language, &args.clips, |clip, built| match built {
            Built::Written => {
                written += 1;
                lines.push(clip.to_owned());
            }
            Built::Unchanged => unchanged += 1,
            Built::Recording => recordings += 1,
        })?;
        for clip in lines {
            writeln!(out, "{language}/{clip}")?;
        }
        writeln!(
            out,
            "{language}: {written} written, {unchanged} unchanged, {recordings} recordings left alone"
        )?;
    }
    Ok(PromptsExit::Good)
}

fn json(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: PromptsArgs,
    }

    fn printed(arguments: &[&str]) -> (PromptsExit, String, String) {
        let command = Command::parse_from(["prompts"].iter().chain(arguments));
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let exit = run(&command.args, &mut out, &mut err);
        (
            exit,
            String::from_utf8(out).unwrap(),
            String::from_utf8(err).unwrap(),
        )
    }

    const MANIFEST: &str = r#"
language = "en-US"
name = "English"
brand_text = "Hello from {brand}."
[voice]
name = "Ann"
engine = "recording"
licence = "ours"
[phrases]
confirm = ["hello"]
[clips.hello]
transcript = "Hello."
"#;

    #[test]
    fn the_built_in_sets_are_listed_with_words_and_lengths() {
        let (exit, out, err) = printed(&["list", "--language", "en-GB", "--json"]);
        assert_eq!((exit, err.as_str()), (PromptsExit::Good, ""));
        let listed: serde_json::Value = serde_json::from_str(&out).unwrap();
        let confirm = &listed[0]["phrases"]["confirm"];
        assert!(
            confirm["transcript"]
                .as_str()
                .unwrap()
                .contains("press the hash key")
        );
        assert!(confirm["duration_ms"].as_u64().unwrap() <= 9000);
        let clip = &listed[0]["clips"]["confirmed"];
        assert_eq!(clip["sha256"]["PCMA"].as_str().map(str::len), Some(64), "{clip}");
        assert_ne!(clip["sha256"]["PCMA"], clip["sha256"]["PCMU"]);
        assert_eq!(listed[0]["phrases"]["code"].get("duration_ms"), None);
        let (_, table, _) = printed(&["list", "--language", "en-US"]);
        assert!(table.contains("press the pound key"), "{table}");
    }

    #[test]
    fn a_check_counts_what_is_wrong_and_says_it_by_its_exit_code() {
        let root = tempfile::tempdir().unwrap();
        let language = root.path().join("en-US");
        fs::create_dir(&language).unwrap();
        fs::write(language.join("prompts.toml"), MANIFEST).unwrap();
        fs::write(language.join("hello.wav"), b"RIFF....WAVE").unwrap();
        let directory = root.path().to_str().unwrap();
        let (exit, out, _) = printed(&["check", "--dir", directory, "--json"]);
        assert_eq!(exit, PromptsExit::Problems);
        let checked: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(checked["ok"], false);
        let clips = &checked["languages"][0]["clips"];
        assert_eq!(clips[0]["problems"][0], "expected a \"fmt \" chunk, found none");
        assert_eq!(
            (&clips[1]["rate_hz"], &clips[1]["problems"][0]),
            (
                &serde_json::json!(16_000),
                &serde_json::json!("the file is missing")
            )
        );
        let (_, table, _) = printed(&["check", "--dir", directory]);
        assert!(table.contains("1 languages, 2 problems"), "{table}");
    }

    #[test]
    fn what_cannot_be_read_at_all_is_an_error_with_its_place() {
        let (exit, _, err) = printed(&["check", "--dir", "/nonexistent"]);
        assert_eq!(exit, PromptsExit::Failed);
        assert!(err.starts_with("error: /nonexistent: No such file"), "{err}");
        let root = tempfile::tempdir().unwrap();
        let (exit, out, _) = printed(&["check", "--dir", root.path().to_str().unwrap()]);
        assert_eq!(exit, PromptsExit::Problems);
        assert!(out.contains("expected sets of prompts here, found none"), "{out}");
        let (exit, _, err) = printed(&["list", "--language", "tlh"]);
        assert_eq!(exit, PromptsExit::Failed);
        assert_eq!(err, "error: tlh/prompts.toml: expected this file, found none\n");
    }
}
