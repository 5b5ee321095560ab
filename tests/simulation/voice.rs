//! Recordings that say what they are: each clip is named by what it speaks.
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use ringproof::ivr::phrase;
use ringproof::media::frame::Clip;
use ringproof::media::voice::Voice;

pub(crate) static VOICE: LazyLock<Arc<Voice>> = LazyLock::new(|| Arc::new(make()));

/// How long the prompts are, milliseconds. Short, so that a run holds more decisions than waiting.
const BRAND_MS: u32 = 400;
const DIGIT_MS: u32 = 300;
const NAMING_MS: u32 = 1600;
const SENTENCE_MS: u32 = 1000;

fn make() -> Voice {
    let mut clips: BTreeMap<String, Arc<Clip>> = BTreeMap::new();
    let mut clip = |name: String, ms: u32| {
        let mut clip = Clip::silence(ms);
        clip.name.clone_from(&name);
        clips.insert(name.clone(), Arc::new(clip));
        name
    };
    for digit in 0..10 {
        clip(format!("digit-{digit}"), DIGIT_MS);
    }
    clip("brand-default".to_owned(), BRAND_MS);
    let mut phrases = BTreeMap::new();
    for name in phrase::ALL {
        let said = |ms: u32, clip: &mut dyn FnMut(String, u32) -> String| clip(format!("say-{name}"), ms);
        let items = match *name {
            phrase::CODE => vec!["digits:{code}".to_owned()],
            phrase::CODE_AGAIN => vec![said(SENTENCE_MS / 2, &mut clip), "digits:{code}".to_owned()],
            phrase::RANDOM => vec![
                "brand".to_owned(),
                said(NAMING_MS, &mut clip),
                "digit:{key}".to_owned(),
            ],
            phrase::CONFIRM | phrase::MATCH_CODE | phrase::SPEAK_CODE_INTRO => {
                vec!["brand".to_owned(), said(NAMING_MS, &mut clip)]
            }
            _ => vec![said(SENTENCE_MS, &mut clip)],
        };
        phrases.insert((*name).to_owned(), items);
    }
    Voice::new("en-US", clips, phrases)
}
