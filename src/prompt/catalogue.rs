//! Every language that can be offered, encoded once at start and shared by all calls.
//!
//! Invariants: a language is here only when every phrase of `ivr::phrase` exists in it; `en-US` always is.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::complete;
use super::error::PromptError;
use super::language::{Audience, Wanted, choose};
use super::library::{Library, PromptSet};
use super::manifest::slug;
use super::master::master_of_samples;
use super::speech::Speaker;
use crate::media::frame::{Clip, Sound};
use crate::media::voice::Voice;

/// The language of last resort.
pub const FALLBACK: &str = "en-US";

/// What to load.
#[derive(Debug, Clone, Default)]
pub struct CatalogueOptions {
    /// The operator's own sets, over the built-in ones.
    pub directory: Option<PathBuf>,
    /// Names of organisations as the profiles have them.
    pub brands: Vec<String>,
    /// The installed engine that speaks a name without a recording at start: `flite` or `espeak-ng`.
    pub brand_engine: Option<String>,
    /// Encode every clip as G.722 as well: some trunk may agree on it.
    pub g722: bool,
}

/// Something the operator should know that stops nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// The language is not offered.
    Incomplete {
        language: String,
        reasons: Vec<PromptError>,
    },
    /// The neutral words stand in for this name.
    BrandNotSpoken {
        language: String,
        brand: String,
        reason: String,
    },
}

impl std::fmt::Display for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Incomplete { language, reasons } => {
                write!(f, "the language {language} is not offered: ")?;
                match reasons.as_slice() {
                    [] => f.write_str("it is empty"),
                    [only] => write!(f, "{only}"),
                    [first, rest @ ..] => write!(f, "{first}, and {} more", rest.len()),
                }
            }
            Self::BrandNotSpoken {
                language,
                brand,
                reason,
            } => write!(f, "{language} says \"your organisation\" for {brand:?}: {reason}"),
        }
    }
}

/// All voices, ready to play.
#[derive(Debug)]
pub struct Catalogue {
    /// Same order as `voices`.
    audiences: Vec<Audience>,
    voices: Vec<Arc<Voice>>,
    fallback: Arc<Voice>,
}

impl Catalogue {
    /// Reads and encodes every complete set. A WAV that cannot be used is an error; an incomplete language is a
    /// notice.
    pub fn load(options: &CatalogueOptions) -> Result<(Self, Vec<Notice>), PromptError> {
        let library = Library::new(options.directory.as_deref()).with_wide(options.g722);
        let mut notices = Vec::new();
        let (mut audiences, mut voices) = (Vec::new(), Vec::new());
        for language in library.languages()? {
            let mut set = library.load(&language)?;
            let reasons = complete::missing(&set);
            if !reasons.is_empty() {
                notices.push(Notice::Incomplete {
                    language: language.to_string(),
                    reasons,
                });
                continue;
            }
            speak_brands(
                &mut set,
                options.brand_engine.as_deref(),
                &options.brands,
                &mut notices,
            );
            audiences.push(set.manifest.audience.clone());
            voices.push(Arc::new(voice_of(set, options.g722)));
        }
        let fallback = voices
            .iter()
            .find(|voice| voice.locale == FALLBACK)
            .map(Arc::clone)
            .ok_or_else(|| PromptError::NoFallback {
                fallback: FALLBACK,
                reason: notices
                    .iter()
                    .map(ToString::to_string)
                    .find(|notice| notice.contains(FALLBACK))
                    .unwrap_or_else(|| "it is not there".to_owned()),
            })?;
        let catalogue = Self {
            audiences,
            voices,
            fallback,
        };
        Ok((catalogue, notices))
    }

    /// The voice of one call: request → its language only → country → profile → `en-US`.
    #[must_use]
    pub fn voice(&self, wanted: Wanted<'_>) -> Arc<Voice> {
        let chosen = choose(&self.audiences, wanted).and_then(|at| self.voices.get(at));
        Arc::clone(chosen.unwrap_or(&self.fallback))
    }

    /// Whether a call that asks for this language gets it, in this set or another of the language.
    #[must_use]
    pub fn offers(&self, locale: &str) -> bool {
        let wanted = Wanted {
            request: Some(locale),
            ..Wanted::default()
        };
        choose(&self.audiences, wanted).is_some()
    }

    /// Tags of the languages that are offered.
    pub fn locales(&self) -> impl Iterator<Item = &str> {
        self.voices.iter().map(|voice| voice.locale.as_str())
    }
}

/// Value of the variable `brand` for the name of an organisation.
#[must_use]
pub fn brand_variable(name: &str) -> String {
    slug(name)
}

fn voice_of(set: PromptSet, g722: bool) -> Voice {
    let clip = |(name, samples): (String, Vec<i16>)| {
        let clip = Clip::from_pcm(name.clone(), &samples);
        // The masters of both rates have the telephone's band, so one of 8 kHz loses nothing: the low band of G.722.
        let clip = match set.wide.get(&name) {
            _ if !g722 => clip,
            Some(wide) => clip.with_g722(Sound::Wide(wide)),
            None => clip.with_g722(Sound::Narrow(&samples)),
        };
        (name, Arc::new(clip))
    };
    let clips: BTreeMap<String, Arc<Clip>> = set.clips.into_iter().map(clip).collect();
    let locale = set.manifest.language().to_string();
    Voice::new(locale, clips, set.manifest.phrases)
}

/// Adds a clip for each name that has none. What cannot be spoken is said in a notice.
fn speak_brands(set: &mut PromptSet, engine: Option<&str>, brands: &[String], notices: &mut Vec<Notice>) {
    for brand in brands {
        let slug = slug(brand);
        let clip = format!("brand-{slug}");
        if slug.is_empty() || set.clips.contains_key(&clip) {
            continue;
        }
        let spoken = match engine {
            Some(engine) => spoken_brand(set, engine, brand),
            None => Err(format!(
                "there is no {clip}.wav, and prompts.brand_engine is none"
            )),
        };
        match spoken {
            Ok(samples) => {
                set.clips.insert(clip, samples);
            }
            Err(reason) => notices.push(Notice::BrandNotSpoken {
                language: set.manifest.language().to_string(),
                brand: brand.clone(),
                reason,
            }),
        }
    }
}

fn spoken_brand(set: &PromptSet, engine: &str, brand: &str) -> Result<Vec<i16>, String> {
    let speaker = Speaker::for_brand(&set.manifest, engine).map_err(|error| error.to_string())?;
    let text = set.manifest.brand_text.replace("{brand}", brand);
    let speech = speaker.speak(&text).map_err(|error| error.to_string())?;
    master_of_samples(&speech.samples, speech.rate_hz, None)
        .map(|master| master.narrow)
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::ivr::phrase;
    use crate::model::Codec;
    use crate::prompt::message_vars;

    fn load(directory: Option<&std::path::Path>) -> Result<(Catalogue, Vec<Notice>), PromptError> {
        Catalogue::load(&CatalogueOptions {
            directory: directory.map(PathBuf::from),
            ..CatalogueOptions::default()
        })
    }

    fn locale(catalogue: &Catalogue, request: Option<&str>, country: Option<&str>) -> String {
        let wanted = Wanted {
            request,
            country,
            profile: None,
        };
        catalogue.voice(wanted).locale.clone()
    }

    #[test]
    fn the_built_in_languages_say_every_phrase() {
        let (catalogue, notices) = load(None).unwrap();
        assert_eq!(notices, []);
        assert_eq!(catalogue.locales().collect::<Vec<_>>(), ["en-GB", "en-US", "lab"]);
        for locale in ["en-US", "en-GB", "lab"] {
            let voice = catalogue.voice(Wanted {
                request: Some(locale),
                ..Wanted::default()
            });
            let message = [("amount", "1,249.00 EUR"), ("payee", "Acme 7")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()));
            let mut vars = message_vars(&voice, &message.into()).unwrap();
            vars.insert(phrase::VAR_CODE.to_owned(), "0123456789".to_owned());
            vars.insert(phrase::VAR_KEY.to_owned(), "7".to_owned());
            for name in phrase::ALL {
                let clips = voice.clips(name, &vars).unwrap();
                assert!(
                    clips.iter().all(|clip| clip.duration_ms >= 300),
                    "{locale} {name}"
                );
            }
        }
    }

    #[test]
    fn g722_is_encoded_at_start_where_it_is_wanted_and_only_there() {
        let root = tempfile::tempdir().unwrap();
        let own = root.path().join("lab");
        fs::create_dir_all(own.join("16k")).unwrap();
        let built_in = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("prompts/lab");
        for file in fs::read_dir(&built_in)
            .unwrap()
            .flatten()
            .filter(|file| file.path().is_file())
        {
            fs::copy(file.path(), own.join(file.file_name())).unwrap();
        }
        let clip = |g722: bool, directory: Option<&std::path::Path>| {
            let (catalogue, _) = Catalogue::load(&CatalogueOptions {
                directory: directory.map(PathBuf::from),
                g722,
                ..CatalogueOptions::default()
            })
            .unwrap();
            let voice = catalogue.voice(Wanted {
                request: Some("lab"),
                ..Wanted::default()
            });
            Arc::clone(voice.clip("confirm-six-seconds").unwrap())
        };
        assert!(!clip(false, None).is_ready(Codec::G722));
        let narrow = clip(true, Some(root.path()));
        assert!(narrow.is_ready(Codec::G722));
        assert!(
            narrow == clip(true, None),
            "the built-in masters are those of 8 kHz"
        );
        let wide = fs::read_dir(built_in.join("16k"))
            .unwrap()
            .flatten()
            .next()
            .unwrap();
        fs::copy(wide.path(), own.join("16k").join(wide.file_name())).unwrap();
        let wide = clip(true, Some(root.path()));
        let [wide, narrow] = [wide, narrow].map(|clip| clip.audio(Codec::G722).clone());
        assert!(wide != narrow && wide.len() == narrow.len());
    }

    #[test]
    fn the_lab_prompt_lasts_six_seconds() {
        let (catalogue, _) = load(None).unwrap();
        let voice = catalogue.voice(Wanted {
            request: Some("lab"),
            country: Some("DE"),
            profile: Some("en-US"),
        });
        let clips = voice.clips(phrase::CONFIRM, &BTreeMap::new()).unwrap();
        assert_eq!(
            clips.iter().map(|clip| clip.duration_ms).collect::<Vec<_>>(),
            [6000]
        );
    }

    #[test]
    fn america_hears_pound_and_everyone_else_hash() {
        let (catalogue, _) = load(None).unwrap();
        assert_eq!(locale(&catalogue, None, Some("CA")), "en-US");
        assert_eq!(locale(&catalogue, Some("en"), Some("GB")), "en-GB");
        assert_eq!(locale(&catalogue, Some("en-NZ"), Some("US")), "en-GB");
        assert_eq!(locale(&catalogue, Some("xx"), Some("JP")), "en-US");
    }

    #[test]
    fn an_incomplete_language_is_not_offered_and_says_why() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("de-DE")).unwrap();
        let manifest = "language = \"de-DE\"\nname = \"Deutsch\"\nbrand_text = \"{brand}\"\n\
            [voice]\nname = \"a\"\nengine = \"recording\"\nlicence = \"b\"\n";
        fs::write(root.path().join("de-DE/prompts.toml"), manifest).unwrap();
        let (catalogue, notices) = load(Some(root.path())).unwrap();
        assert_eq!(locale(&catalogue, Some("de-DE"), None), "en-US");
        let notice = notices[0].to_string();
        assert_eq!(
            notice,
            "the language de-DE is not offered: de-DE: the phrase \"confirm\" is missing, and 15 more"
        );
    }

    #[test]
    fn a_broken_file_in_the_operators_directory_stops_the_start() {
        let root = tempfile::tempdir().unwrap();
        let language = root.path().join("en-US");
        fs::create_dir(&language).unwrap();
        fs::write(language.join("brand-acme.wav"), b"hello").unwrap();
        let error = load(Some(root.path())).unwrap_err().to_string();
        assert_eq!(
            error,
            "en-US/brand-acme.wav: expected a RIFF header of 12 bytes, the whole file has 5"
        );
        fs::rename(language.join("brand-acme.wav"), language.join("confirm.wav")).unwrap();
        let error = load(Some(root.path())).unwrap_err().to_string();
        assert!(
            error.contains("expected this file beside \"confirm.wav\""),
            "{error}"
        );
    }

    #[test]
    fn a_name_without_recording_is_told_where_no_engine_speaks_it() {
        let (_, notices) = Catalogue::load(&CatalogueOptions {
            brands: vec!["Contoso".to_owned()],
            ..CatalogueOptions::default()
        })
        .unwrap();
        let told: Vec<String> = notices.iter().map(ToString::to_string).collect();
        let reason = "there is no brand-contoso.wav, and prompts.brand_engine is none";
        assert_eq!(
            told,
            ["en-GB", "en-US", "lab"]
                .map(|l| format!("{l} says \"your organisation\" for \"Contoso\": {reason}"))
        );
    }

    #[test]
    fn a_name_without_recording_is_spoken_or_the_notice_says_why_not() {
        let load = |engine: &str| {
            Catalogue::load(&CatalogueOptions {
                brands: vec!["Fabrikam & Co.".to_owned(), "<b>".to_owned()],
                brand_engine: Some(engine.to_owned()),
                ..CatalogueOptions::default()
            })
            .unwrap()
        };
        let (catalogue, notices) = load("flite");
        let spoken = catalogue
            .voice(Wanted::default())
            .clip("brand-fabrikam-co")
            .is_some();
        let told = |brand: &str| {
            notices.iter().any(|notice| {
                matches!(notice, Notice::BrandNotSpoken { brand: b, language, .. } if b == brand && language == "en-US")
            })
        };
        assert_ne!(spoken, told("Fabrikam & Co."));
        assert!(told("<b>"));
        let (_, notices) = load("sh");
        assert!(
            notices[0]
                .to_string()
                .contains("\"flite\" or \"espeak-ng\", found \"sh\"")
        );
    }
}
