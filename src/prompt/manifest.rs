//! `prompts.toml`: what one language's recordings say, whose voice they are and which phrases they make.
use std::collections::BTreeMap;

use serde::Deserialize;

use super::error::PromptError;
use super::language::{Audience, Language};

/// Clips and phrases that one manifest may name.
const ENTRIES_MAX: usize = 1000;
const TRANSCRIPT_CHARS_MAX: usize = 500;

/// Engine name of what a person recorded: `prompts build` leaves it alone.
pub(super) const RECORDING: &str = "recording";

/// One language, as its file says.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    pub audience: Audience,
    /// For people: "English (United States)".
    pub name: String,
    /// A set whose clips and phrases stand in where this one has none. Same voice.
    pub extends: Option<Language>,
    /// How a brand that was not recorded is spoken; `{brand}` is its name.
    pub brand_text: String,
    pub voice: VoiceSource,
    /// Time stretch of the engine, 1 = as it is.
    pub stretch: f64,
    pub phrases: BTreeMap<String, Vec<String>>,
    pub clips: BTreeMap<String, ClipEntry>,
}

/// Whose voice a clip is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoiceSource {
    pub voice: String,
    /// `flite`, `espeak-ng`, or `recording`.
    pub engine: String,
    pub licence: String,
}

/// One clip.
#[derive(Debug, Clone, PartialEq)]
pub struct ClipEntry {
    /// What the callee hears, in the language's own spelling.
    pub transcript: String,
    /// What the engine is given where the transcript would be read wrongly.
    pub spoken: Option<String>,
    pub source: VoiceSource,
    /// The clip has exactly this length.
    pub exact_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawManifest {
    language: String,
    name: String,
    extends: Option<String>,
    #[serde(default)]
    countries: Vec<String>,
    #[serde(default)]
    default_for_language: bool,
    brand_text: String,
    voice: RawVoice,
    #[serde(default)]
    phrases: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    clips: BTreeMap<String, RawClip>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVoice {
    name: String,
    engine: String,
    licence: String,
    #[serde(default = "natural")]
    stretch: f64,
}

const fn natural() -> f64 {
    1.0
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClip {
    transcript: String,
    spoken: Option<String>,
    voice: Option<String>,
    engine: Option<String>,
    licence: Option<String>,
    exact_ms: Option<u64>,
}

impl Manifest {
    /// Parses the manifest found in the directory of `language`.
    pub fn parse(language: &Language, text: &str) -> Result<Self, PromptError> {
        let wrong = |reason: String| PromptError::Manifest {
            language: language.to_string(),
            reason,
        };
        let raw: RawManifest = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        if raw.language.parse::<Language>()? != *language {
            return Err(wrong(format!(
                "expected language = \"{language}\" as its directory is named, found {:?}",
                raw.language
            )));
        }
        if raw.clips.len() > ENTRIES_MAX || raw.phrases.len() > ENTRIES_MAX {
            return Err(wrong(format!("expected at most {ENTRIES_MAX} clips and phrases")));
        }
        if !(0.5..=2.0).contains(&raw.voice.stretch) {
            return Err(wrong(format!(
                "expected voice.stretch from 0.5 to 2, found {}",
                raw.voice.stretch
            )));
        }
        if !raw.brand_text.contains("{brand}") {
            return Err(wrong("expected {brand} in brand_text".to_owned()));
        }
        let voice = VoiceSource {
            voice: raw.voice.name,
            engine: raw.voice.engine,
            licence: raw.voice.licence,
        };
        let clips = raw
            .clips
            .into_iter()
            .map(|(name, clip)| {
                check_clip_name(&name)?;
                let length = clip.transcript.chars().count();
                if !(1..=TRANSCRIPT_CHARS_MAX).contains(&length) {
                    return Err(wrong(format!(
                        "expected a transcript of 1 to {TRANSCRIPT_CHARS_MAX} characters for the clip {name:?}, found {length}"
                    )));
                }
                Ok((name, clip.with_defaults(&voice)))
            })
            .collect::<Result<BTreeMap<_, _>, PromptError>>()?;
        let manifest = Self {
            audience: Audience {
                language: language.clone(),
                countries: raw.countries,
                default_for_language: raw.default_for_language,
            },
            name: raw.name,
            extends: raw.extends.map(|tag| tag.parse()).transpose()?,
            brand_text: raw.brand_text,
            voice,
            stretch: raw.voice.stretch,
            phrases: raw.phrases,
            clips,
        };
        match manifest.second_voice() {
            Some((clip, other)) => Err(wrong(format!(
                "expected one voice in a set, found {other:?} in the clip {clip:?} beside {:?}",
                manifest.voice.voice
            ))),
            None => Ok(manifest),
        }
    }

    #[must_use]
    pub const fn language(&self) -> &Language {
        &self.audience.language
    }

    /// A clip in another voice than the set's; a brand may have its own.
    fn second_voice(&self) -> Option<(&str, &str)> {
        self.clips
            .iter()
            .find(|(name, clip)| !is_brand(name) && clip.source.voice != self.voice.voice)
            .map(|(name, clip)| (name.as_str(), clip.source.voice.as_str()))
    }
}

impl RawClip {
    fn with_defaults(self, set: &VoiceSource) -> ClipEntry {
        ClipEntry {
            transcript: self.transcript,
            spoken: self.spoken,
            source: VoiceSource {
                voice: self.voice.unwrap_or_else(|| set.voice.clone()),
                engine: self.engine.unwrap_or_else(|| set.engine.clone()),
                licence: self.licence.unwrap_or_else(|| set.licence.clone()),
            },
            exact_ms: self.exact_ms,
        }
    }
}

/// Whether a clip says the name of an organisation.
#[must_use]
pub(super) fn is_brand(clip: &str) -> bool {
    clip.starts_with("brand-")
}

/// Clip names become file names: letters, digits and inner hyphens, nothing that leads elsewhere.
pub(super) fn check_clip_name(name: &str) -> Result<(), PromptError> {
    let fits = (1..=64).contains(&name.chars().count());
    let letters = name
        .chars()
        .all(|c| c == '-' || (c.is_alphanumeric() && !c.is_uppercase()));
    if fits && letters && !name.starts_with('-') && !name.ends_with('-') {
        return Ok(());
    }
    Err(PromptError::ClipName {
        found: name.chars().take(80).collect(),
    })
}

/// The name of a brand or payee as part of a clip name: lower case, everything else one hyphen.
#[must_use]
pub(super) fn slug(name: &str) -> String {
    let mut slug = String::new();
    for c in name.chars().flat_map(char::to_lowercase).take(50) {
        if c.is_alphanumeric() {
            slug.push(c);
        } else if !slug.ends_with('-') && !slug.is_empty() {
            slug.push('-');
        }
    }
    slug.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
language = "en-US"
name = "English"
brand_text = "Hello from {brand}."
[voice]
name = "slt"
engine = "flite"
licence = "MIT-like"
[phrases]
confirm = ["brand", "press"]
[clips.press]
transcript = "Press pound."
[clips.brand-acme]
transcript = "Acme"
voice = "Ann"
engine = "recording"
licence = "ours"
"#;

    fn parse(text: &str) -> Result<Manifest, PromptError> {
        Manifest::parse(&"en-US".parse().unwrap(), text)
    }

    #[test]
    fn a_clip_has_the_voice_of_its_set_and_a_brand_may_have_its_own() {
        let manifest = parse(GOOD).unwrap();
        assert_eq!(manifest.clips["press"].source, manifest.voice);
        assert_eq!(manifest.clips["brand-acme"].source.engine, RECORDING);
        assert_eq!(manifest.phrases["confirm"], ["brand", "press"]);
    }

    #[test]
    fn each_mistake_is_named() {
        for (from, to, expected) in [
            (
                "language = \"en-US\"",
                "language = \"en-GB\"",
                "expected language = \"en-US\"",
            ),
            ("[clips.press]", "[clips.Press]", "expected a clip name"),
            ("[clips.press]", "[clips.\"../x\"]", "expected a clip name"),
            ("transcript = \"Press pound.\"", "transcript = \"\"", "found 0"),
            ("[clips.brand-acme]", "[clips.acme]", "expected one voice"),
            ("engine = \"flite\"", "engin = \"flite\"", "engin"),
            ("{brand}", "brand", "{brand}"),
            (
                "licence = \"MIT-like\"",
                "licence = \"x\"\nstretch = 9.0",
                "0.5 to 2",
            ),
            ("name = \"English\"", "", "name"),
        ] {
            let error = parse(&GOOD.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error} has no {expected}");
        }
    }

    #[test]
    fn a_brand_becomes_a_file_name() {
        for (name, expected) in [
            ("Contoso", "contoso"),
            ("Contoso, Ltd.", "contoso-ltd"),
            ("  A&B  ", "a-b"),
            ("Müller", "müller"),
            ("../..", ""),
        ] {
            assert_eq!(slug(name), expected);
        }
    }
}
