//! Language tags (BCP 47) and how one set of prompts is chosen among those that exist.
use std::fmt;
use std::str::FromStr;

use super::error::PromptError;

/// A well-formed tag in its canonical case: `en-US`, `zh-Hant-TW`, `en-US-x-lab`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Language(String);

impl Language {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first subtag: the language itself.
    #[must_use]
    pub fn primary(&self) -> &str {
        self.0.split('-').next().unwrap_or(&self.0)
    }

    /// The region subtag, if there is one (RFC 5646 §2.2.4).
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.0
            .split('-')
            .skip(1)
            .take_while(|subtag| subtag.len() > 1)
            .find(|subtag| is_region(subtag))
    }

    /// The tag and its shorter forms, cut from the right (RFC 4647 §3.4).
    pub fn shorter(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(Some(self.0.as_str()), |tag| {
            let (mut rest, _) = tag.rsplit_once('-')?;
            // A single letter or digit introduces what was just removed: it goes too.
            if let Some((before, last)) = rest.rsplit_once('-')
                && last.len() == 1
            {
                rest = before;
            }
            Some(rest)
        })
    }
}

fn is_region(subtag: &str) -> bool {
    match subtag.len() {
        2 => subtag.bytes().all(|b| b.is_ascii_alphabetic()),
        3 => subtag.bytes().all(|b| b.is_ascii_digit()),
        _ => false,
    }
}

impl FromStr for Language {
    type Err = PromptError;

    /// Accepts any case and `_` for `-`, as operating systems write it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || PromptError::LanguageTag {
            found: text.chars().take(40).collect(),
        };
        if text.len() > 35 {
            return Err(wrong());
        }
        let mut tag = String::with_capacity(text.len());
        let mut private = false;
        for (at, subtag) in text.split(['-', '_']).enumerate() {
            let alphanumeric = subtag.bytes().all(|b| b.is_ascii_alphanumeric());
            let first_is_language = at > 0
                || ((2..=3).contains(&subtag.len()) && subtag.bytes().all(|b| b.is_ascii_alphabetic()));
            if !(1..=8).contains(&subtag.len()) || !alphanumeric || !first_is_language {
                return Err(wrong());
            }
            if at > 0 {
                tag.push('-');
            }
            let lower = subtag.to_ascii_lowercase();
            match subtag.len() {
                2 if at > 0 && !private => tag.push_str(&lower.to_ascii_uppercase()),
                4 if at > 0 && !private => {
                    tag.push_str(&lower[..1].to_ascii_uppercase());
                    tag.push_str(&lower[1..]);
                }
                _ => tag.push_str(&lower),
            }
            private |= subtag.len() == 1;
        }
        if tag.rsplit('-').next().is_some_and(|last| last.len() == 1) {
            return Err(wrong());
        }
        Ok(Self(tag))
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a set of prompts says about whom it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience {
    pub language: Language,
    /// ISO 3166 codes of the countries where people expect this set.
    pub countries: Vec<String>,
    /// Serves the language wherever no other set of it names the country.
    pub default_for_language: bool,
}

/// Which language a call asks for, most wanted first.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// `locale` of the request.
    pub request: Option<&'a str>,
    /// Country of the number, ISO 3166.
    pub country: Option<&'a str>,
    /// `locale` of the profile.
    pub profile: Option<&'a str>,
}

/// The place in `sets` that serves a call best: request, its language only, country, profile. `None` leaves the
/// built-in fallback.
#[must_use]
pub(super) fn choose(sets: &[Audience], wanted: Wanted<'_>) -> Option<usize> {
    let by_tag = |text: Option<&str>| {
        let tag = text?.parse::<Language>().ok()?;
        by_language(sets, &tag, wanted.country)
    };
    by_tag(wanted.request)
        .or_else(|| for_country(sets, wanted.country?))
        .or_else(|| by_tag(wanted.profile))
}

fn by_language(sets: &[Audience], tag: &Language, country: Option<&str>) -> Option<usize> {
    for shorter in tag.shorter() {
        if let Some(at) = sets.iter().position(|set| set.language.as_str() == shorter) {
            return Some(at);
        }
    }
    // Nothing bears the name: another set of the same language, for the tag's region first, then the number's
    // country (a Canadian hears "pound", an Australian "hash").
    let same_language =
        |set: &&Audience| set.language.primary() == tag.primary() && !is_private(&set.language);
    let serves = |country: &str| {
        sets.iter()
            .position(|set| same_language(&set) && names_country(set, country))
    };
    let default = || {
        let is_default = |set: &Audience| same_language(&set) && set.default_for_language;
        sets.iter()
            .position(is_default)
            .or_else(|| sets.iter().position(|set| same_language(&set)))
    };
    match tag.region() {
        Some(region) => serves(region).or_else(default),
        None => country.and_then(serves).or_else(default),
    }
}

fn for_country(sets: &[Audience], country: &str) -> Option<usize> {
    sets.iter()
        .position(|set| names_country(set, country) && !is_private(&set.language))
}

fn names_country(set: &Audience, country: &str) -> bool {
    set.countries
        .iter()
        .any(|named| named.eq_ignore_ascii_case(country))
}

/// A private set (`-x-`) is taken only by its full name.
fn is_private(language: &Language) -> bool {
    language.as_str().contains("-x-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sets() -> Vec<Audience> {
        let set = |tag: &str, countries: &[&str], default_for_language| Audience {
            language: tag.parse().unwrap(),
            countries: countries.iter().map(|c| (*c).to_owned()).collect(),
            default_for_language,
        };
        vec![
            set("en-US", &["US", "CA"], false),
            set("en-US-x-lab", &[], false),
            set("en-GB", &["GB", "IE"], true),
            set("de-DE", &["DE", "AT"], true),
        ]
    }

    fn chosen(request: &str, country: &str, profile: &str) -> Option<&'static str> {
        let some = |text: &'static str| (!text.is_empty()).then_some(text);
        let leak = |text: &str| some(Box::leak(text.to_owned().into_boxed_str()));
        let wanted = Wanted {
            request: leak(request),
            country: leak(country),
            profile: leak(profile),
        };
        choose(&sets(), wanted).map(|at| ["en-US", "lab", "en-GB", "de-DE"][at])
    }

    #[test]
    fn a_request_is_served_from_its_full_tag_down_to_its_language() {
        for (request, country, expected) in [
            ("en-US", "GB", "en-US"),
            ("en_us", "", "en-US"),
            ("en-US-x-twain", "", "en-US"),
            ("en-US-x-lab", "", "lab"),
            ("de-CH-1996", "CH", "de-DE"),
            ("DE", "", "de-DE"),
            ("en-CA", "", "en-US"),
            ("en-AU", "", "en-GB"),
            ("en-AU", "US", "en-GB"),
            ("en", "US", "en-US"),
            ("en", "AU", "en-GB"),
            ("en", "", "en-GB"),
        ] {
            assert_eq!(
                chosen(request, country, ""),
                Some(expected),
                "{request} {country}"
            );
        }
    }

    #[test]
    fn without_the_language_the_country_decides_then_the_profile() {
        assert_eq!(chosen("fr-FR", "AT", "en-US"), Some("de-DE"));
        assert_eq!(chosen("", "US", "de-DE"), Some("en-US"));
        assert_eq!(chosen("fr-FR", "FR", "de-LU"), Some("de-DE"));
        assert_eq!(chosen("fr-FR", "FR", ""), None);
        assert_eq!(chosen("not a tag", "", ""), None);
    }

    #[test]
    fn tags_are_canonical_and_bad_ones_refused() {
        for (text, expected) in [
            ("EN-us", "en-US"),
            ("zh_hant_tw", "zh-Hant-TW"),
            ("es-419", "es-419"),
            ("en-us-X-LAB", "en-US-x-lab"),
        ] {
            assert_eq!(text.parse::<Language>().unwrap().as_str(), expected);
        }
        assert_eq!("zh-Hant-TW".parse::<Language>().unwrap().region(), Some("TW"));
        assert_eq!("es-419".parse::<Language>().unwrap().region(), Some("419"));
        assert_eq!("en-x-us".parse::<Language>().unwrap().region(), None);
        for bad in [
            "", "e", "english", "en-", "en--US", "en-US-x", "../etc", "en US", "1n",
        ] {
            assert!(bad.parse::<Language>().is_err(), "{bad:?}");
        }
    }
}
