//! Masters written to a directory: `prompts build` from transcripts, `prompts import` from a person's recording.
use std::fs::{self, File};
use std::io::{BufReader, Write as _};
use std::path::{Path, PathBuf};

use super::check::{Problem, keys_heard};
use super::error::{MasterError, PromptError, WavError};
use super::language::Language;
use super::library::{Library, WIDE_DIR, wav_path};
use super::manifest::{ClipEntry, Manifest, RECORDING, VoiceSource, check_clip_name, is_brand};
use super::master::{Master, NARROW_HZ, WIDE_HZ, master_of_samples, master_of_wav};
use super::speech::Speaker;
use super::wav::write_master;

/// What became of one clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Built {
    /// New or different files were written.
    Written,
    /// The same octets were there already.
    Unchanged,
    /// A person's recording: left alone.
    Recording,
}

/// Speaks the clips of one language into `directory`, `only` those named where some are.
pub fn build_language(
    directory: &Path,
    language: &Language,
    only: &[String],
    mut progress: impl FnMut(&str, Built),
) -> Result<(), PromptError> {
    let manifest = Library::directory(directory).manifest(language)?;
    if let Some(unknown) = only.iter().find(|name| !manifest.clips.contains_key(*name)) {
        return Err(PromptError::Manifest {
            language: language.to_string(),
            reason: format!("expected a clip named {unknown:?}, found none"),
        });
    }
    let speaker = Speaker::for_set(&manifest).map_err(|error| PromptError::Speech {
        language: language.to_string(),
        error,
    })?;
    for (name, entry) in &manifest.clips {
        if !only.is_empty() && !only.contains(name) {
            continue;
        }
        let built = if entry.source.engine == RECORDING {
            Built::Recording
        } else {
            let master = spoken(&speaker, language, name, entry)?;
            write_clip(directory, language, name, &master)?
        };
        progress(name, built);
    }
    Ok(())
}

fn spoken(
    speaker: &Speaker,
    language: &Language,
    name: &str,
    entry: &ClipEntry,
) -> Result<Master, PromptError> {
    let text = entry.spoken.as_ref().unwrap_or(&entry.transcript);
    let speech = speaker.speak(text).map_err(|error| PromptError::Speech {
        language: language.to_string(),
        error,
    })?;
    master_of_samples(&speech.samples, speech.rate_hz, entry.exact_ms)
        .and_then(without_keys)
        .map_err(|error| clip_error(language, name, error))
}

/// A recording to be taken in.
#[derive(Debug, Clone)]
pub struct Import<'a> {
    pub file: &'a Path,
    pub directory: &'a Path,
    pub language: &'a Language,
    pub clip: &'a str,
    pub transcript: Option<&'a str>,
    /// Whose voice it is; needed for a clip that is no name, where the set has one voice.
    pub voice: Option<&'a str>,
    pub licence: Option<&'a str>,
}

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    pub files: [PathBuf; 2],
    pub duration_ms: u64,
    /// The manifest got an entry for the clip.
    pub entry_added: bool,
}

/// Makes the two masters of a recording, and its entry in the manifest where there is one to hold it.
pub fn import(import: &Import<'_>) -> Result<Imported, PromptError> {
    check_clip_name(import.clip)?;
    let entry = manifest_entry(import)?;
    let file = File::open(import.file).map_err(|error| PromptError::io(import.file, &error))?;
    let master = master_of_wav(BufReader::new(file), None)
        .and_then(without_keys)
        .map_err(|error| PromptError::Io {
            path: import.file.to_path_buf(),
            reason: error.to_string(),
        })?;
    write_clip(import.directory, import.language, import.clip, &master)?;
    if let Some(entry) = &entry {
        let path = import
            .directory
            .join(import.language.as_str())
            .join("prompts.toml");
        let mut text = fs::read_to_string(&path).map_err(|error| PromptError::io(&path, &error))?;
        text.push_str(entry);
        // What was appended must read back: a broken manifest would take the whole language away.
        Manifest::parse(import.language, &text)?;
        write_file(&path, text.as_bytes())?;
    }
    let file = |rate_hz| {
        import
            .directory
            .join(wav_path(import.language, import.clip, rate_hz))
    };
    Ok(Imported {
        files: [file(NARROW_HZ), file(WIDE_HZ)],
        duration_ms: master.narrow.len() as u64 * 1000 / u64::from(NARROW_HZ),
        entry_added: entry.is_some(),
    })
}

/// The text to append to the manifest, or the reason why this clip cannot join the set.
fn manifest_entry(import: &Import<'_>) -> Result<Option<String>, PromptError> {
    let wrong = |reason: String| PromptError::Manifest {
        language: import.language.to_string(),
        reason,
    };
    let path = import
        .directory
        .join(import.language.as_str())
        .join("prompts.toml");
    let is_name = is_brand(import.clip) || import.clip.starts_with("payee-");
    if !path.is_file() {
        return if is_name {
            Ok(None)
        } else {
            Err(wrong(format!(
                "expected this file in {}: without it only brand-… and payee-… clips can be added",
                import.directory.display()
            )))
        };
    }
    let manifest = Library::directory(import.directory).manifest(import.language)?;
    let voice = import.voice.unwrap_or(&manifest.voice.voice);
    if let Some(known) = manifest.clips.get(import.clip) {
        // The file would say that an engine spoke what a person did, and the next build would undo the import.
        return if known.source.engine == RECORDING {
            Ok(None)
        } else {
            Err(wrong(format!(
                "expected engine = \"{RECORDING}\" for the clip {:?}, found {:?}: change it there first",
                import.clip, known.source.engine
            )))
        };
    }
    if !is_name && voice != manifest.voice.voice {
        return Err(wrong(format!(
            "expected the set's one voice {:?}, found {voice:?}",
            manifest.voice.voice
        )));
    }
    let source = VoiceSource {
        voice: voice.to_owned(),
        engine: RECORDING.to_owned(),
        licence: import.licence.unwrap_or("the operator's own").to_owned(),
    };
    let transcript = import.transcript.ok_or_else(|| {
        wrong(format!(
            "expected a transcript for the new clip {:?}",
            import.clip
        ))
    })?;
    Ok(Some(format!(
        "\n[clips.{:?}]\ntranscript = {}\nvoice = {}\nengine = {}\nlicence = {}\n",
        import.clip,
        toml_string(transcript),
        toml_string(&source.voice),
        toml_string(&source.engine),
        toml_string(&source.licence)
    )))
}

fn toml_string(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Refuses a sound in which a telephone would hear a key.
fn without_keys(master: Master) -> Result<Master, MasterError> {
    for problem in keys_heard(&master.narrow, NARROW_HZ) {
        if let Problem::Key { digit, at_ms, .. } = problem {
            return Err(MasterError::KeyTone { digit, at_ms });
        }
    }
    Ok(master)
}

fn write_clip(
    directory: &Path,
    language: &Language,
    name: &str,
    master: &Master,
) -> Result<Built, PromptError> {
    let wide_dir = directory.join(language.as_str()).join(WIDE_DIR);
    fs::create_dir_all(&wide_dir).map_err(|error| PromptError::io(&wide_dir, &error))?;
    let mut built = Built::Unchanged;
    for (samples, rate_hz) in [(&master.narrow, NARROW_HZ), (&master.wide, WIDE_HZ)] {
        let path = directory.join(wav_path(language, name, rate_hz));
        let bytes = write_master(samples, rate_hz)
            .map_err(|error: WavError| clip_error(language, name, error.into()))?;
        if fs::read(&path).is_ok_and(|present| present == bytes) {
            continue;
        }
        write_file(&path, &bytes)?;
        built = Built::Written;
    }
    Ok(built)
}

/// Writes beside and renames, so that a server that reloads never reads half a file.
fn write_file(path: &Path, bytes: &[u8]) -> Result<(), PromptError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let write = || {
        let mut file = File::create(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().map_err(|error| PromptError::io(path, &error))
}

fn clip_error(language: &Language, clip: &str, error: MasterError) -> PromptError {
    PromptError::Clip {
        language: language.to_string(),
        clip: clip.to_owned(),
        error,
    }
}

#[cfg(test)]
mod tests {
    use super::super::master::tests::voice;
    use super::super::wav::to_i16;
    use super::*;
    use crate::media::tone::ToneSender;
    use crate::model::Digits;

    const MANIFEST: &str = r#"
language = "en-US"
name = "English"
brand_text = "Hello from {brand}."
[voice]
name = "Ann"
engine = "recording"
licence = "ours"
[clips.hello]
transcript = "Hello."
"#;

    struct Place {
        root: tempfile::TempDir,
        language: Language,
    }

    impl Place {
        fn new(manifest: Option<&str>) -> Self {
            let root = tempfile::tempdir().unwrap();
            fs::create_dir(root.path().join("en-US")).unwrap();
            if let Some(text) = manifest {
                fs::write(root.path().join("en-US/prompts.toml"), text).unwrap();
            }
            fs::write(
                root.path().join("voice.wav"),
                write_master(&to_i16(&voice(16_000, 0.3, 900)), 16_000).unwrap(),
            )
            .unwrap();
            let mut tones = vec![0; 1600 + 8000];
            ToneSender::new(Digits::parse("#").unwrap()).fill(&mut tones[1600..]);
            fs::write(root.path().join("tones.wav"), write_master(&tones, 8000).unwrap()).unwrap();
            Self {
                root,
                language: "en-US".parse().unwrap(),
            }
        }

        fn import(&self, file: &str, clip: &str, transcript: Option<&str>) -> Result<Imported, String> {
            import(&Import {
                file: &self.root.path().join(file),
                directory: self.root.path(),
                language: &self.language,
                clip,
                transcript,
                voice: None,
                licence: None,
            })
            .map_err(|error| error.to_string())
        }
    }

    #[test]
    fn a_recording_becomes_both_masters_and_an_entry() {
        let place = Place::new(Some(MANIFEST));
        let imported = place.import("voice.wav", "bye", Some("Good \"bye\".")).unwrap();
        assert!(imported.entry_added && imported.files.iter().all(|file| file.is_file()));
        let library = Library::directory(place.root.path());
        let set = library.load(&place.language).unwrap();
        assert_eq!(set.manifest.clips["bye"].transcript, "Good \"bye\".");
        assert_eq!(set.clips["bye"].len() as u64 * 1000 / 8000, imported.duration_ms);
        let again = place.import("voice.wav", "bye", None).unwrap();
        assert!(!again.entry_added);
    }

    #[test]
    fn the_name_of_an_organisation_needs_no_manifest() {
        let place = Place::new(None);
        place.import("voice.wav", "brand-contoso", None).unwrap();
        let set = Library::new(Some(place.root.path()))
            .load(&place.language)
            .unwrap();
        assert!(set.clips.contains_key("brand-contoso") && set.clips.contains_key("brand-default"));
        assert!(
            place
                .import("voice.wav", "hello", None)
                .unwrap_err()
                .contains("only brand-")
        );
    }

    #[test]
    fn what_cannot_join_a_set_is_refused_with_the_reason() {
        let place = Place::new(Some(MANIFEST));
        for (file, clip, expected) in [
            (
                "voice.wav",
                "new",
                "expected a transcript for the new clip \"new\"",
            ),
            ("voice.wav", "../up", "expected a clip name of lower-case letters"),
            ("none.wav", "hello", "none.wav: No such file"),
            ("tones.wav", "hello", "a telephone would hear the key # at "),
            (
                "en-US/prompts.toml",
                "hello",
                "expected a WAV file starting with \"RIFF\"",
            ),
        ] {
            let error = place.import(file, clip, None).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let spoken = Place::new(Some(&MANIFEST.replace("\"recording\"", "\"flite\"")));
        let error = spoken.import("voice.wav", "hello", None).unwrap_err();
        assert!(error.contains("expected engine = \"recording\""), "{error}");
    }

    #[test]
    fn a_build_leaves_recordings_alone_and_names_what_it_cannot_do() {
        let place = Place::new(Some(&MANIFEST.replace("\"recording\"", "\"nobody\"")));
        let build = |only: &[&str]| {
            let only: Vec<String> = only.iter().map(|clip| (*clip).to_owned()).collect();
            build_language(place.root.path(), &place.language, &only, |_, _| {})
                .unwrap_err()
                .to_string()
        };
        assert!(build(&[]).contains("\"flite\" or \"espeak-ng\", found \"nobody\""));
        assert!(build(&["nothing"]).contains("expected a clip named \"nothing\""));
    }
}
