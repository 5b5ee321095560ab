//! Where sets of prompts lie: those built into the program, and a directory of the operator's over them.
//!
//! A language with its own `prompts.toml` in the directory is taken from there alone; without one, the directory
//! adds only names of organisations and payees (`brand-…`, `payee-…`) to the built-in set. So a call never mixes
//! voices in a sentence.
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::error::{MasterError, PromptError, WavError};
use super::language::Language;
use super::manifest::{Manifest, check_clip_name};
use super::master::{NARROW_HZ, WIDE_HZ};
use super::measure::CLIP_MS_MAX;
use super::wav::read_master;

/// Directory of the 16 kHz masters inside a language's.
pub(super) const WIDE_DIR: &str = "16k";
const MANIFEST: &str = "prompts.toml";
/// Files that one directory may hold.
const FILES_MAX: usize = 2000;
/// 30 s at 16 kHz are 1 MB.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

#[derive(rust_embed::RustEmbed)]
#[folder = "prompts/"]
#[include = "*/prompts.toml"]
#[include = "*/*.wav"]
#[exclude = "*/16k/*"]
struct BuiltIn;

/// One place that holds sets.
#[derive(Debug, Clone)]
enum Place {
    BuiltIn,
    Directory(PathBuf),
}

/// All sets that can be reached.
#[derive(Debug, Clone)]
pub struct Library {
    /// The first place that has a manifest of a language owns it.
    places: Vec<Place>,
    wide: bool,
}

/// One language: what it says, and the sound of every clip at 8 kHz.
#[derive(Debug, Clone)]
pub struct PromptSet {
    pub manifest: Manifest,
    pub clips: BTreeMap<String, Vec<i16>>,
    /// The same at 16 kHz, where the library was asked for it and there is such a master.
    pub wide: BTreeMap<String, Vec<i16>>,
}

impl Library {
    /// The built-in sets, with a directory over them.
    #[must_use]
    pub fn new(over: Option<&Path>) -> Self {
        let mut places = Vec::with_capacity(2);
        places.extend(over.map(|path| Place::Directory(path.to_path_buf())));
        places.push(Place::BuiltIn);
        Self { places, wide: false }
    }

    /// Sets hold their masters at 16 kHz as well.
    #[must_use]
    pub fn with_wide(self, wide: bool) -> Self {
        Self { wide, ..self }
    }

    /// One directory and nothing else: what `prompts check` and `build` work on.
    #[must_use]
    pub fn directory(path: &Path) -> Self {
        Self {
            places: vec![Place::Directory(path.to_path_buf())],
            wide: false,
        }
    }

    /// Every language that has a manifest.
    pub fn languages(&self) -> Result<Vec<Language>, PromptError> {
        let mut languages = BTreeSet::new();
        for place in &self.places {
            languages.extend(place.languages()?);
        }
        Ok(languages.into_iter().collect())
    }

    /// What a language says.
    pub fn manifest(&self, language: &Language) -> Result<Manifest, PromptError> {
        self.owner(language).map(|(_, manifest)| manifest)
    }

    /// One WAV of a clip as it is stored; 16 kHz masters are not built in.
    pub fn wav(&self, language: &Language, clip: &str, rate_hz: u32) -> Result<Option<Vec<u8>>, PromptError> {
        let (owner, _) = self.owner(language)?;
        Ok(owner
            .read(&wav_path(language, clip, rate_hz))?
            .map(Cow::into_owned))
    }

    /// A set with everything it extends.
    pub fn load(&self, language: &Language) -> Result<PromptSet, PromptError> {
        let mut set = self.load_own(language)?;
        let Some(base) = set.manifest.extends.clone() else {
            return Ok(set);
        };
        let base = self.load_own(&base)?;
        let wrong = |reason: String| PromptError::Manifest {
            language: language.to_string(),
            reason,
        };
        if base.manifest.extends.is_some() {
            return Err(wrong(format!(
                "expected extends to name a set that stands alone, {} extends another",
                base.manifest.language()
            )));
        }
        if base.manifest.voice.voice != set.manifest.voice.voice {
            return Err(wrong(format!(
                "expected the voice {:?} of {}, found {:?}",
                base.manifest.voice.voice,
                base.manifest.language(),
                set.manifest.voice.voice
            )));
        }
        let mut base_wide = base.wide;
        for (name, samples) in base.clips {
            if !set.clips.contains_key(&name) {
                set.wide.extend(base_wide.remove_entry(&name));
                set.clips.insert(name, samples);
            }
        }
        for (name, entry) in base.manifest.clips {
            set.manifest.clips.entry(name).or_insert(entry);
        }
        for (name, items) in base.manifest.phrases {
            set.manifest.phrases.entry(name).or_insert(items);
        }
        Ok(set)
    }

    /// A set as its own files make it. Clips without a file are absent; a file that cannot be used is an error.
    fn load_own(&self, language: &Language) -> Result<PromptSet, PromptError> {
        let (owner, manifest) = self.owner(language)?;
        let mut set = PromptSet {
            manifest,
            clips: BTreeMap::new(),
            wide: BTreeMap::new(),
        };
        let names: Vec<String> = set.manifest.clips.keys().cloned().collect();
        for name in &names {
            self.add(&mut set, owner, language, name)?;
        }
        for place in &self.places {
            for name in place.names(language)? {
                if !set.clips.contains_key(&name) {
                    self.add(&mut set, place, language, &name)?;
                }
            }
        }
        Ok(set)
    }

    /// Both masters come from the same place.
    fn add(
        &self,
        set: &mut PromptSet,
        place: &Place,
        language: &Language,
        name: &str,
    ) -> Result<(), PromptError> {
        let Some(samples) = place.clip(language, name, NARROW_HZ)? else {
            return Ok(());
        };
        set.clips.insert(name.to_owned(), samples);
        if self.wide
            && let Some(samples) = place.clip(language, name, WIDE_HZ)?
        {
            set.wide.insert(name.to_owned(), samples);
        }
        Ok(())
    }

    fn owner(&self, language: &Language) -> Result<(&Place, Manifest), PromptError> {
        for place in &self.places {
            if let Some(bytes) = place.read(&format!("{language}/{MANIFEST}"))? {
                let text = std::str::from_utf8(&bytes).map_err(|error| PromptError::Manifest {
                    language: language.to_string(),
                    reason: format!("expected UTF-8 text: {error}"),
                })?;
                return Ok((place, Manifest::parse(language, text)?));
            }
        }
        Err(PromptError::Manifest {
            language: language.to_string(),
            reason: "expected this file, found none".to_owned(),
        })
    }
}

impl Place {
    fn languages(&self) -> Result<Vec<Language>, PromptError> {
        match self {
            Self::BuiltIn => Ok(BuiltIn::iter()
                .filter_map(|path| {
                    path.strip_suffix("/prompts.toml")
                        .and_then(|tag| tag.parse().ok())
                })
                .collect()),
            Self::Directory(root) => {
                let mut languages = Vec::new();
                for name in file_names(root)? {
                    if root.join(&name).join(MANIFEST).is_file() {
                        languages.push(name.parse()?);
                    }
                }
                Ok(languages)
            }
        }
    }

    /// Clips beside the manifest's: names of organisations and payees, each recorded as the operator needs them.
    fn names(&self, language: &Language) -> Result<Vec<String>, PromptError> {
        let files: Vec<String> = match self {
            Self::BuiltIn => {
                let prefix = format!("{language}/");
                BuiltIn::iter()
                    .filter_map(|path| path.strip_prefix(&prefix).map(str::to_owned))
                    .collect()
            }
            Self::Directory(root) => {
                let directory = root.join(language.as_str());
                let own = self.read(&format!("{language}/{MANIFEST}"))?.is_some();
                let files = if directory.is_dir() {
                    file_names(&directory)?
                } else {
                    Vec::new()
                };
                if !own && let Some(stray) = files.iter().find(|file| is_wav(file) && !is_name_clip(file)) {
                    return Err(PromptError::Manifest {
                        language: language.to_string(),
                        reason: format!(
                            "expected this file beside {stray:?}: without it a directory adds only brand-… and payee-… clips to the built-in voice"
                        ),
                    });
                }
                files
            }
        };
        files
            .iter()
            .filter(|file| is_wav(file) && is_name_clip(file))
            .filter_map(|file| file.strip_suffix(".wav"))
            .map(|name| check_clip_name(name).map(|()| name.to_owned()))
            .collect()
    }

    fn clip(&self, language: &Language, name: &str, rate_hz: u32) -> Result<Option<Vec<i16>>, PromptError> {
        let Some(bytes) = self.read(&wav_path(language, name, rate_hz))? else {
            return Ok(None);
        };
        let wrong = |error: WavError| PromptError::Clip {
            language: language.to_string(),
            clip: name.to_owned(),
            error: MasterError::Wav(error),
        };
        read_master(&bytes, rate_hz, CLIP_MS_MAX).map(Some).map_err(wrong)
    }

    fn read(&self, path: &str) -> Result<Option<Cow<'static, [u8]>>, PromptError> {
        match self {
            Self::BuiltIn => Ok(BuiltIn::get(path).map(|file| file.data)),
            Self::Directory(root) => {
                let path = root.join(path);
                let length = match fs::metadata(&path) {
                    Ok(metadata) => metadata.len(),
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                    Err(error) => return Err(PromptError::io(&path, &error)),
                };
                if length > FILE_BYTES_MAX {
                    return Err(PromptError::Io {
                        path,
                        reason: format!("expected at most {FILE_BYTES_MAX} bytes, found {length}"),
                    });
                }
                fs::read(&path)
                    .map(|bytes| Some(Cow::Owned(bytes)))
                    .map_err(|error| PromptError::io(&path, &error))
            }
        }
    }
}

/// Path of a clip under the root of a place.
#[must_use]
pub(super) fn wav_path(language: &Language, clip: &str, rate_hz: u32) -> String {
    match rate_hz {
        WIDE_HZ => format!("{language}/{WIDE_DIR}/{clip}.wav"),
        _ => format!("{language}/{clip}.wav"),
    }
}

fn is_wav(file: &str) -> bool {
    file.ends_with(".wav")
}

fn is_name_clip(file: &str) -> bool {
    file.starts_with("brand-") || file.starts_with("payee-")
}

/// Names in a directory, sorted.
fn file_names(directory: &Path) -> Result<Vec<String>, PromptError> {
    let entries = fs::read_dir(directory).map_err(|error| PromptError::io(directory, &error))?;
    let mut names = Vec::new();
    for entry in entries.take(FILES_MAX) {
        let entry = entry.map_err(|error| PromptError::io(directory, &error))?;
        names.extend(entry.file_name().into_string());
    }
    names.sort();
    Ok(names)
}
