//! One language's recordings: phrases in, clips out.
//!
//! A phrase is a list of items. An item is the name of a clip, or:
//! - `digits:{code}` or `digit:{key}`: one clip for each symbol of the variable, named by
//!   [`Voice::digit_clip_name`];
//! - `brand`: the clip `brand-` + variable `brand` if it was recorded, else `brand-default`;
//! - `{payee}`: the clips whose names are the variable's value, spaces between.
//!
//! Invariant: an answer is complete or an error. A call never speaks half a phrase.
use std::collections::BTreeMap;
use std::sync::Arc;

use super::frame::Clip;
use crate::model::Digit;

/// Longest phrase after variables are put in; a code has at most 10 digits.
const CLIPS_MAX: usize = 64;

/// All clips and phrases of one language, shared by every call in it.
#[derive(Debug, Clone)]
pub struct Voice {
    /// BCP 47 tag.
    pub locale: String,
    clips: BTreeMap<String, Arc<Clip>>,
    phrases: BTreeMap<String, Vec<String>>,
}

/// Why a phrase cannot be spoken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MissingClip {
    #[error("{locale}: expected a phrase or clip named {phrase:?}, found none")]
    Phrase { locale: String, phrase: String },
    #[error("{locale}: phrase {phrase:?} needs the clip {clip:?}, which is not recorded")]
    Clip {
        locale: String,
        phrase: String,
        clip: String,
    },
    #[error("{locale}: phrase {phrase:?} needs the variable {variable:?}, which was not given")]
    Variable {
        locale: String,
        phrase: String,
        variable: String,
    },
    /// The value is not shown: it may be a code.
    #[error("{locale}: phrase {phrase:?} expected 0-9, *, # or A-D in {variable:?}")]
    NotDigits {
        locale: String,
        phrase: String,
        variable: String,
    },
    #[error("{locale}: phrase {phrase:?} has more than {CLIPS_MAX} clips")]
    TooLong { locale: String, phrase: String },
}

impl Voice {
    #[must_use]
    pub fn new(
        locale: impl Into<String>,
        clips: BTreeMap<String, Arc<Clip>>,
        phrases: BTreeMap<String, Vec<String>>,
    ) -> Self {
        Self {
            locale: locale.into(),
            clips,
            phrases,
        }
    }

    /// The clips of `phrase` in order. A name that is no phrase may be that of a clip.
    pub fn clips(
        &self,
        phrase: &str,
        vars: &BTreeMap<String, String>,
    ) -> Result<Vec<Arc<Clip>>, MissingClip> {
        let Some(items) = self.phrases.get(phrase) else {
            return match self.clips.get(phrase) {
                Some(clip) => Ok(vec![Arc::clone(clip)]),
                None => Err(MissingClip::Phrase {
                    locale: self.locale.clone(),
                    phrase: phrase.to_owned(),
                }),
            };
        };
        let mut clips = Vec::with_capacity(items.len());
        for item in items {
            self.resolve(phrase, item, vars, &mut clips)?;
            if clips.len() > CLIPS_MAX {
                return Err(MissingClip::TooLong {
                    locale: self.locale.clone(),
                    phrase: phrase.to_owned(),
                });
            }
        }
        Ok(clips)
    }

    /// The clip of this name, if it is recorded.
    #[must_use]
    pub fn clip(&self, name: &str) -> Option<&Arc<Clip>> {
        self.clips.get(name)
    }

    /// Every clip, by name.
    pub fn all_clips(&self) -> impl Iterator<Item = &Arc<Clip>> {
        self.clips.values()
    }

    #[must_use]
    pub fn has_phrase(&self, phrase: &str) -> bool {
        self.phrases.contains_key(phrase)
    }

    /// Every phrase by name, for checks at start-up.
    pub fn phrases(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.phrases
            .iter()
            .map(|(name, items)| (name.as_str(), items.as_slice()))
    }

    fn resolve(
        &self,
        phrase: &str,
        item: &str,
        vars: &BTreeMap<String, String>,
        out: &mut Vec<Arc<Clip>>,
    ) -> Result<(), MissingClip> {
        let variable = |slot: &str| {
            let name = slot.trim_start_matches('{').trim_end_matches('}');
            match vars.get(name) {
                Some(value) => Ok((name.to_owned(), value.as_str())),
                None => Err(MissingClip::Variable {
                    locale: self.locale.clone(),
                    phrase: phrase.to_owned(),
                    variable: name.to_owned(),
                }),
            }
        };
        if item == "brand" {
            out.push(self.brand(phrase, vars)?);
            return Ok(());
        }
        if let Some(slot) = item
            .strip_prefix("digits:")
            .or_else(|| item.strip_prefix("digit:"))
        {
            let (name, value) = variable(slot)?;
            return self.spell(phrase, &name, value, out);
        }
        if item.starts_with('{') {
            let (_, value) = variable(item)?;
            for clip in value.split_whitespace().take(CLIPS_MAX + 1) {
                out.push(self.require(phrase, clip)?);
            }
            return Ok(());
        }
        out.push(self.require(phrase, item)?);
        Ok(())
    }

    fn spell(
        &self,
        phrase: &str,
        variable: &str,
        value: &str,
        out: &mut Vec<Arc<Clip>>,
    ) -> Result<(), MissingClip> {
        let not_digits = || MissingClip::NotDigits {
            locale: self.locale.clone(),
            phrase: phrase.to_owned(),
            variable: variable.to_owned(),
        };
        // An empty code would be a phrase that says nothing.
        if value.is_empty() {
            return Err(not_digits());
        }
        for symbol in value.chars().take(CLIPS_MAX + 1) {
            let digit = Digit::from_char(symbol).ok_or_else(not_digits)?;
            out.push(self.require(phrase, &Self::digit_clip_name(digit))?);
        }
        Ok(())
    }

    /// `digit-0` … `digit-9`, `digit-star`, `digit-pound`, `digit-a` … `digit-d`.
    #[must_use]
    pub fn digit_clip_name(digit: Digit) -> String {
        match digit {
            Digit::STAR => "digit-star".to_owned(),
            Digit::POUND => "digit-pound".to_owned(),
            other => format!("digit-{}", other.as_char().to_ascii_lowercase()),
        }
    }

    fn brand(&self, phrase: &str, vars: &BTreeMap<String, String>) -> Result<Arc<Clip>, MissingClip> {
        if let Some(own) = vars
            .get("brand")
            .and_then(|brand| self.clips.get(&format!("brand-{brand}")))
        {
            return Ok(Arc::clone(own));
        }
        self.require(phrase, "brand-default")
    }

    fn require(&self, phrase: &str, clip: &str) -> Result<Arc<Clip>, MissingClip> {
        self.clips
            .get(clip)
            .map(Arc::clone)
            .ok_or_else(|| MissingClip::Clip {
                locale: self.locale.clone(),
                phrase: phrase.to_owned(),
                clip: clip.to_owned(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voice() -> Voice {
        let clips = [
            "hello",
            "your-code-is",
            "brand-default",
            "brand-acme",
            "digit-4",
            "digit-pound",
        ]
        .into_iter()
        .map(|name| (name.to_owned(), Arc::new(Clip::from_pcm(name, &[0; 160]))))
        .collect();
        let phrases = [
            ("confirm", vec!["brand", "hello"]),
            ("code", vec!["your-code-is", "digits:{code}"]),
            ("key", vec!["digit:{key}"]),
            ("payee", vec!["{payee}"]),
        ]
        .into_iter()
        .map(|(name, items)| (name.to_owned(), items.into_iter().map(str::to_owned).collect()))
        .collect();
        Voice::new("en-US", clips, phrases)
    }

    fn spoken(phrase: &str, vars: &[(&str, &str)]) -> Result<Vec<String>, MissingClip> {
        let vars = vars
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let clips = voice().clips(phrase, &vars)?;
        Ok(clips.iter().map(|clip| clip.name.clone()).collect())
    }

    #[test]
    fn a_phrase_becomes_its_clips_in_order() {
        assert_eq!(
            spoken("code", &[("code", "4#4")]).unwrap(),
            ["your-code-is", "digit-4", "digit-pound", "digit-4"]
        );
        assert_eq!(spoken("key", &[("key", "#")]).unwrap(), ["digit-pound"]);
        assert_eq!(spoken("hello", &[]).unwrap(), ["hello"]);
        assert_eq!(
            spoken("payee", &[("payee", "hello digit-4")]).unwrap(),
            ["hello", "digit-4"]
        );
    }

    #[test]
    fn an_unrecorded_brand_falls_back_to_the_neutral_one() {
        assert_eq!(
            spoken("confirm", &[("brand", "acme")]).unwrap(),
            ["brand-acme", "hello"]
        );
        assert_eq!(
            spoken("confirm", &[("brand", "other")]).unwrap(),
            ["brand-default", "hello"]
        );
        assert_eq!(spoken("confirm", &[]).unwrap(), ["brand-default", "hello"]);
    }

    #[test]
    fn what_is_missing_is_named_and_a_code_is_not_shown() {
        assert!(matches!(spoken("nothing", &[]), Err(MissingClip::Phrase { .. })));
        assert!(matches!(spoken("code", &[]), Err(MissingClip::Variable { .. })));
        assert!(matches!(
            spoken("code", &[("code", "47")]),
            Err(MissingClip::Clip { .. })
        ));
        let error = spoken("code", &[("code", "4x9")]).unwrap_err();
        assert!(matches!(error, MissingClip::NotDigits { .. }));
        assert!(!error.to_string().contains("4x9"));
        assert!(matches!(
            spoken("code", &[("code", "")]),
            Err(MissingClip::NotDigits { .. })
        ));
        assert!(matches!(
            spoken("code", &[("code", &"4".repeat(100))]),
            Err(MissingClip::TooLong { .. })
        ));
    }
}
