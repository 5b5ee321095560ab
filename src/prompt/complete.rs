//! Whether a set has everything that a call may have to say.
use super::error::PromptError;
use super::library::PromptSet;
use crate::ivr::phrase;
use crate::media::voice::Voice;
use crate::model::Digit;

/// What of a set is missing, phrase by phrase; empty when the language can be offered.
#[must_use]
pub(super) fn missing(set: &PromptSet) -> Vec<PromptError> {
    let mut missing = Vec::new();
    for name in phrase::ALL {
        if !set.manifest.phrases.contains_key(*name) {
            missing.push(PromptError::MissingPhrase {
                language: set.manifest.language().to_string(),
                phrase: (*name).to_owned(),
            });
        }
    }
    for (name, items) in &set.manifest.phrases {
        for clip in items.iter().flat_map(|item| clips_of_item(item)) {
            if !set.clips.contains_key(&clip) {
                missing.push(PromptError::MissingClip {
                    language: set.manifest.language().to_string(),
                    phrase: name.clone(),
                    clip,
                });
            }
        }
    }
    missing
}

/// Every clip that an item may come to.
fn clips_of_item(item: &str) -> Vec<String> {
    let digits = || {
        (0..10)
            .filter_map(Digit::from_event)
            .map(Voice::digit_clip_name)
            .collect::<Vec<_>>()
    };
    match item {
        "brand" => vec!["brand-default".to_owned()],
        "{amount}" => {
            let mut clips = digits();
            clips.push(super::message::POINT.to_owned());
            clips
        }
        "{payee}" => ('a'..='z').map(super::message::letter_clip_name).collect(),
        _ if item.starts_with("digits:") || item.starts_with("digit:") => digits(),
        _ if item.starts_with('{') => Vec::new(),
        clip => vec![clip.to_owned()],
    }
}
