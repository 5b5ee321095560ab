//! `GET /v1/regions`, and the same list for the drop-down of the pages.
use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::Caller;
use super::query::Query;
use super::{ApiConfig, ApiState, Problem};
use crate::model::Region;

/// A region that numbers can belong to.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Region)]
pub struct RegionView {
    /// ISO 3166-1 alpha-2.
    #[schema(example = "DE")]
    pub code: &'static str,
    #[schema(example = "49")]
    pub calling_code: String,
    /// In the language of the answer.
    #[schema(example = "Deutschland")]
    pub name: String,
    /// Whether the policy lets it be called.
    pub allowed: bool,
    /// A number of the region that belongs to nobody.
    #[schema(example = "+49 1512 3456789")]
    pub example: String,
}

/// All regions by name.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RegionList)]
pub(super) struct RegionList {
    /// Language of the names.
    #[schema(example = "de")]
    locale: &'static str,
    items: Vec<RegionView>,
}

/// Regions and whether they may be called.
///
/// Names come in the language of `locale`, else of `Accept-Language`, else in English.
#[utoipa::path(get, path = "/v1/regions", operation_id = "list_regions", tag = "numbers",
    params(("locale" = Option<String>, Query, description = "BCP 47 tag; its language counts", example = "de-DE")),
    responses((status = 200, body = RegionList), (status = "4XX", response = super::openapi::Refusal)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    _caller: Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut query = Query::parse(query.as_deref())?;
    let asked = query.text("locale");
    query.finish()?;
    let accept = headers.get(header::ACCEPT_LANGUAGE).and_then(|v| v.to_str().ok());
    let language = match asked.as_deref() {
        Some(tag) => language_of(tag).unwrap_or(ENGLISH),
        None => preferred_language(accept),
    };
    let list = RegionList {
        locale: language,
        items: regions(&state.config(), language),
    };
    let mut response = Json(list).into_response();
    response.headers_mut().insert(
        header::VARY,
        HeaderValue::from_static("Accept-Language, Authorization"),
    );
    Ok(response)
}

const ENGLISH: &str = "en";

/// Names by language, then by region code.
type Names = BTreeMap<&'static str, BTreeMap<&'static str, &'static str>>;

static NAMES: LazyLock<Names> = LazyLock::new(|| {
    let mut rows = include_str!("region_names.tsv")
        .lines()
        .filter(|line| !line.starts_with('#'));
    let languages: Vec<&str> = rows.next().unwrap_or_default().split('\t').skip(1).collect();
    let mut names = Names::new();
    for row in rows {
        let mut cells = row.split('\t');
        let code = cells.next().unwrap_or_default();
        for (language, name) in languages.iter().zip(cells) {
            names.entry(language).or_default().insert(code, name);
        }
    }
    names
});

/// The language of a BCP 47 tag when names exist in it.
#[must_use]
pub fn language_of(tag: &str) -> Option<&'static str> {
    let primary = tag.split(['-', '_']).next()?.to_ascii_lowercase();
    let primary = if primary == "no" { "nb" } else { primary.as_str() };
    if primary == ENGLISH {
        Some(ENGLISH)
    } else {
        NAMES.get_key_value(primary).map(|(known, _)| *known)
    }
}

/// The first language of `Accept-Language`, by weight, in which names exist.
#[must_use]
pub fn preferred_language(accept_language: Option<&str>) -> &'static str {
    accepted(accept_language)
        .into_iter()
        .find_map(|tag| language_of(&tag))
        .unwrap_or(ENGLISH)
}

/// The first region that `Accept-Language` names and the policy allows: `de-AT` → `AT`, `de` → `DE`.
#[must_use]
pub fn guessed_region(accept_language: Option<&str>, regions: &[RegionView]) -> Option<&'static str> {
    let allowed = |code: &str| {
        regions
            .iter()
            .find(|r| r.allowed && r.code == code)
            .map(|r| r.code)
    };
    let tags = accepted(accept_language);
    let named = tags.iter().find_map(|tag| {
        tag.split('-')
            .skip(1)
            .find(|part| part.len() == 2)
            .and_then(|part| allowed(&part.to_ascii_uppercase()))
    });
    // Without a region the language's own country is the best guess; English has none.
    named.or_else(|| {
        tags.iter().find_map(|tag| {
            let home = match tag.split('-').next().unwrap_or_default() {
                "cs" => "CZ",
                "da" => "DK",
                "ja" => "JP",
                "ko" => "KR",
                "nb" | "nn" | "no" => "NO",
                "sv" => "SE",
                "uk" => "UA",
                "zh" => "CN",
                "en" => return None,
                other => return allowed(&other.to_ascii_uppercase()),
            };
            allowed(home)
        })
    })
}

/// Tags of `Accept-Language` by falling weight (RFC 9110 §12.5.4), at most 16, without `*` and weight 0.
fn accepted(header: Option<&str>) -> Vec<String> {
    let mut tags: Vec<(u32, String)> = Vec::new();
    for part in header.unwrap_or_default().split(',').take(16) {
        let mut pieces = part.trim().split(';');
        let tag = pieces.next().unwrap_or_default().trim();
        let weight = pieces
            .find_map(|p| p.trim().strip_prefix("q=")?.parse::<f32>().ok())
            .unwrap_or(1.0);
        if tag.is_empty() || tag == "*" || weight <= 0.0 {
            continue;
        }
        tags.push(((weight.min(1.0) * 1000.0) as u32, tag.to_owned()));
    }
    tags.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    tags.into_iter().map(|(_, tag)| tag).collect()
}

/// All regions with names in `language`, sorted by name as its readers expect.
#[must_use]
pub fn regions(config: &ApiConfig, language: &str) -> Vec<RegionView> {
    let names = NAMES.get(language);
    let mut regions: Vec<RegionView> = Region::all()
        .into_iter()
        .map(|region| RegionView {
            code: region.code,
            calling_code: region.calling_code.to_string(),
            name: names
                .and_then(|n| n.get(region.code))
                .map_or(region.name, |n| *n)
                .to_owned(),
            allowed: config.policy.allows_country(region.code),
            example: region.example,
        })
        .collect();
    regions.sort_by_cached_key(|r| (folded(&r.name), r.code));
    regions
}

/// Sort key: lower case, Latin letters without their marks.
fn folded(name: &str) -> String {
    name.to_lowercase()
        .chars()
        .map(|c| match c {
            'à'..='å' | 'ā' | 'ă' | 'ą' => 'a',
            'æ' => 'a',
            'ç' | 'ć' | 'č' => 'c',
            'ď' | 'đ' => 'd',
            'è'..='ë' | 'ě' | 'ę' | 'ē' => 'e',
            'ì'..='ï' | 'ı' | 'ī' => 'i',
            'ł' | 'ľ' => 'l',
            'ñ' | 'ń' | 'ň' => 'n',
            'ò'..='ö' | 'ø' | 'ő' => 'o',
            'ř' => 'r',
            'ś' | 'š' | 'ş' => 's',
            'ť' | 'ț' => 't',
            'ù'..='ü' | 'ů' | 'ű' | 'ū' => 'u',
            'ý' | 'ÿ' => 'y',
            'ź' | 'ż' | 'ž' => 'z',
            '\u{300}'..='\u{36f}' | '\'' | '’' => ' ',
            other => other,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_region_has_a_name_in_every_language() {
        let languages: Vec<&str> = NAMES.keys().copied().collect();
        assert_eq!(languages.len(), 17, "{languages:?}");
        for region in Region::all() {
            for language in &languages {
                assert!(
                    NAMES[language].contains_key(region.code),
                    "{language} {}",
                    region.code
                );
            }
        }
    }

    #[test]
    fn the_language_follows_weights_and_falls_back_to_english() {
        for (header, language) in [
            (Some("de-DE,de;q=0.9,en;q=0.8"), "de"),
            (Some("xx,fr;q=0.5,en;q=0.7"), "en"),
            (Some("no"), "nb"),
            (Some("pt-BR"), "pt"),
            (Some("*"), "en"),
            (Some(""), "en"),
            (None, "en"),
            (Some(";;;q=,,"), "en"),
        ] {
            assert_eq!(preferred_language(header), language, "{header:?}");
        }
    }

    #[test]
    fn the_region_is_guessed_from_the_language_among_the_allowed() {
        let region = |code, allowed| RegionView {
            code,
            calling_code: String::new(),
            name: String::new(),
            allowed,
            example: String::new(),
        };
        let regions = [
            region("AT", true),
            region("DE", true),
            region("SE", true),
            region("US", true),
            region("GB", false),
        ];
        for (header, guess) in [
            (Some("de-AT"), Some("AT")),
            (Some("de"), Some("DE")),
            (Some("sv"), Some("SE")),
            (Some("en-GB,en-US;q=0.9"), Some("US")),
            (Some("en"), None),
            (Some("zh-Hant-TW"), None),
            (None, None),
        ] {
            assert_eq!(guessed_region(header, &regions), guess, "{header:?}");
        }
    }
}
