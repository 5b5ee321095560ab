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
use crate::media::frame::Clip;
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
    /// Whether a name without a recording is spoken at start by the set's own voice, where it is installed.
    pub speak_brands: bool,
}

/// Something the operator should know that stops nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// The language is not offered.
    Incomplete { language: String, reasons: Vec<PromptError> },
    /// The neutral words stand in for this name.
    BrandNotSpoken { language: String, brand: String, reason: String },
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
        let library = Library::new(options.directory.as_deref());
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
            if options.speak_brands {
                speak_brands(&mut set, &options.brands, &mut notices);
            }
            audiences.push(set.manifest.audience.clone());
            voices.push(Arc::new(voice_of(set)));
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

fn voice_of(set: PromptSet) -> Voice {
    let clips: BTreeMap<String, Arc<Clip>> = set
        .clips
        .into_iter()
        .map(|(name, samples)| (name.clone(), Arc::new(Clip::from_pcm(name, &samples))))
        .collect();
    let locale = set.manifest.language().to_string();
    Voice::new(locale, clips, set.manifest.phrases)
}

/// Adds a clip for each name that has none. What cannot be spoken is said in a notice.
fn speak_brands(set: &mut PromptSet, brands: &[String], notices: &mut Vec<Notice>) {
    for brand in brands {
        let slug = slug(brand);
        let clip = format!("brand-{slug}");
        if slug.is_empty() || set.clips.contains_key(&clip) {
            continue;
        }
        match spoken_brand(set, brand) {
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

fn spoken_brand(set: &PromptSet, brand: &str) -> Result<Vec<i16>, String> {
    let speaker = Speaker::for_set(&set.manifest).map_err(|error| error.to_string())?;
    let text = set.manifest.brand_text.replace("{brand}", brand);
    let speech = speaker.speak(&text).map_err(|error| error.to_string())?;
    master_of_samples(&speech.samples, speech.rate_hz, None)
        .map(|master| master.narrow)
        .map_err(|error| error.to_string())
}
