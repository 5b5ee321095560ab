//! What `config check` asks beyond the file itself: everything that the parts would refuse at the start.
use super::{AppError, build};
use crate::api::{AllowedUrl, MessageCheck};
use crate::config::{Config, Problem};
use crate::model::Codec;
use crate::prompt::{Catalogue, CatalogueOptions, Notice};

/// What the parts say to a configuration that reads well.
#[derive(Debug)]
pub struct Checked {
    /// With one of these the server does not start.
    pub errors: Vec<AppError>,
    /// What an operator should know of the prompts.
    pub notices: Vec<Notice>,
}

#[must_use]
pub fn check(config: &Config) -> Checked {
    checked(config).0
}

/// The recordings as well, when they could be read.
pub(super) fn checked(config: &Config) -> (Checked, Option<Catalogue>) {
    // Nothing is asked of this one: the recordings are looked at below.
    let message_check = MessageCheck::new(|_| Ok(()));
    let mut errors: Vec<AppError> = [
        build::dialer(config).map(drop),
        build::api(config, config.server.public_url.clone(), [0; 32], message_check).map(drop),
        build::webhooks(config).map(drop),
        build::server_tls(config),
    ]
    .into_iter()
    .filter_map(Result::err)
    .collect();
    errors.extend(callback_urls(config));
    let (voices, notices) = match Catalogue::load(&catalogue_options(config)) {
        Ok((voices, notices)) => {
            errors.extend(prompts(config, &voices));
            errors.extend(build::announcer(config, &voices).err());
            (Some(voices), notices)
        }
        Err(error) => {
            errors.push(error.into());
            (None, Vec::new())
        }
    };
    (Checked { errors, notices }, voices)
}

pub(super) fn catalogue_options(config: &Config) -> CatalogueOptions {
    let mut brands: Vec<String> = config
        .profiles
        .values()
        .map(|p| p.brand.clone())
        .filter(|brand| !brand.is_empty())
        .collect();
    brands.sort();
    brands.dedup();
    CatalogueOptions {
        directory: config.prompts.directory.clone(),
        brands,
        brand_engine: config.prompts.brand_engine.clone(),
        g722: config
            .trunks
            .iter()
            .any(|trunk| trunk.codecs.contains(&Codec::G722)),
    }
}

/// A webhook must not go where a request could not send it.
pub(super) fn callback_urls(config: &Config) -> Vec<AppError> {
    let mut errors = Vec::new();
    for profile in config.profiles.values() {
        let Some(url) = &profile.callback_url else {
            continue;
        };
        let opens = |entry: &String| entry.parse().is_ok_and(|entry: AllowedUrl| entry.admits(url));
        if !profile.callbacks.iter().any(opens) {
            errors.push(AppError::Written(Problem {
                place: profile.written.callback_url.clone(),
                key: format!("profile.{}.callback_url", profile.name),
                message: format!("expected a URL that callbacks opens, found {url:?}"),
            }));
        }
    }
    errors
}

/// A profile whose words do not exist would be heard in another language.
pub(super) fn prompts(config: &Config, voices: &Catalogue) -> Vec<AppError> {
    let there = || voices.locales().collect::<Vec<_>>().join(", ");
    let mut errors = Vec::new();
    for profile in config.profiles.values() {
        let name = &profile.name;
        if !voices.offers(&profile.locale) {
            errors.push(AppError::Written(Problem {
                place: profile.written.locale.clone(),
                key: format!("profile.{name}.locale"),
                message: format!(
                    "expected a language of which there are prompts ({}), found {:?}",
                    there(),
                    profile.locale
                ),
            }));
        }
        if let Some(set) = &profile.prompts
            && !voices.locales().any(|locale| locale == set)
        {
            errors.push(AppError::Written(Problem {
                place: profile.written.prompts.clone(),
                key: format!("profile.{name}.prompts"),
                message: format!("expected one of {}, found {set:?}", there()),
            }));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;

    const SMALL: &str = r#"
[[trunk]]
name = "carrier"
targets = ["sip:127.0.0.1:5080"]
caller_id = { default = "+18005550199" }
[policy]
countries = ["US"]
[profile.default]
"#;

    fn checked(profile: &str) -> Checked {
        let text = format!("{SMALL}{profile}\n");
        let config = config::parse(&text, "test.toml", Path::new("."), std::iter::empty()).unwrap();
        check(&config)
    }

    fn errors(profile: &str) -> Vec<String> {
        checked(profile).errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn neither_secret_nor_callbacks_is_a_server_without_webhooks() {
        assert_eq!(errors(""), Vec::<String>::new());
        let config = config::parse(SMALL, "test.toml", Path::new("."), std::iter::empty()).unwrap();
        assert!(build::webhooks(&config).unwrap().is_none());
    }

    #[test]
    fn prompts_are_made_in_g722_only_for_a_trunk_that_lists_it() {
        let wants = |codecs: &str| {
            let text = SMALL.replace("caller_id", &format!("codecs = [{codecs}]\ncaller_id"));
            let config = config::parse(&text, "test.toml", Path::new("."), std::iter::empty()).unwrap();
            assert_eq!(config.trunks[0].codecs.len(), codecs.split(',').count());
            catalogue_options(&config).g722
        };
        assert!(wants("\"G722\", \"PCMU\", \"PCMA\""));
        assert!(!wants("\"PCMU\", \"PCMA\""));
    }

    #[test]
    fn a_profile_names_prompts_that_exist() {
        assert_eq!(
            errors("prompts = \"lab\"\nlocale = \"en-NZ\""),
            Vec::<String>::new()
        );
        assert_eq!(
            errors("prompts = \"nonsense\"\nlocale = \"xx\""),
            [
                "test.toml:10: profile.default.locale: expected a language of which there are prompts (en-GB, en-US, lab), found \"xx\"",
                "test.toml:9: profile.default.prompts: expected one of en-GB, en-US, lab, found \"nonsense\"",
            ]
        );
    }

    #[test]
    fn webhooks_without_an_address_of_their_own_go_where_a_request_could_send_them() {
        let secret = "\n[webhook]\nsecret = \"whsec_cmluZ3Byb29mLWxhYi1zZWNyZXQtMDAwMDAwMDE=\"";
        let with = |profile: &str| errors(&format!("{profile}{secret}"));
        let open = "callbacks = [\"https://idp.example/hooks\"]\n";
        let right = format!("{open}callback_url = \"https://idp.example/hooks/calls?from=ringproof\"");
        assert_eq!(with(&right), Vec::<String>::new());
        let url = "https://idp.example/elsewhere";
        let expected = format!(
            "test.toml:10: profile.default.callback_url: expected a URL that callbacks opens, found {url:?}"
        );
        assert_eq!(with(&format!("{open}callback_url = {url:?}")), [expected]);
    }

    #[test]
    fn trunk_events_go_to_the_address_of_the_default_profile_or_to_all_its_callbacks() {
        let told = |profile: &str| {
            let secret = "[webhook]\nsecret = \"whsec_cmluZ3Byb29mLWxhYi1zZWNyZXQtMDAwMDAwMDE=\"";
            let text = format!("{SMALL}{profile}\n{secret}");
            let config = config::parse(&text, "test.toml", Path::new("."), std::iter::empty()).unwrap();
            build::dialer(&config).unwrap().trunk_notices.urls
        };
        let open = "callbacks = [\"https://a.example/\", \"https://b.example/\"]";
        assert_eq!(told(open), ["https://a.example/", "https://b.example/"]);
        let one = format!("{open}\ncallback_url = \"https://b.example/hooks\"");
        assert_eq!(told(&one), ["https://b.example/hooks"]);
    }

    #[test]
    fn words_that_a_variable_asks_for_are_told_with_its_name() {
        let name = "RINGPROOF__PROFILE__DEFAULT__PROMPTS";
        let variables = [(name.to_owned(), "nonsense".to_owned())];
        let config = config::parse(SMALL, "test.toml", Path::new("."), variables.into_iter()).unwrap();
        let told: Vec<String> = check(&config).errors.iter().map(ToString::to_string).collect();
        let expected = "profile.default.prompts: expected one of en-GB, en-US, lab, found \"nonsense\"";
        assert_eq!(told, [format!("{name}: {expected}")]);
    }

    #[test]
    fn a_brand_without_a_recording_is_told() {
        let told =
            |checked: Checked| -> Vec<String> { checked.notices.iter().map(ToString::to_string).collect() };
        assert_eq!(told(checked("")), Vec::<String>::new());
        let notices = told(checked("brand = \"Contoso\""));
        assert_eq!(notices.len(), 3, "{notices:?}");
        assert!(
            notices[0].starts_with("en-GB says \"your organisation\" for \"Contoso\": "),
            "{notices:?}"
        );
    }

    #[test]
    fn both_webhook_secrets_sign_and_the_public_key_is_told() {
        let webhook = "[webhook]\nsecret = \"whsk_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\"\n\
            previous_secret = \"whsec_cmluZ3Byb29mLWxhYi1zZWNyZXQtMDAwMDAwMDE=\"\n";
        let text = format!("{SMALL}{webhook}");
        let config = config::parse(&text, "test.toml", Path::new("."), std::iter::empty()).unwrap();
        let signed = build::signer(&config).unwrap().unwrap().sign("evt_1", 5, "{}");
        let kinds: Vec<&str> = signed.split(' ').filter_map(|s| s.split(',').next()).collect();
        assert_eq!(kinds, ["v1a", "v1"]);
        let keys = super::super::webhook_public_keys(&config);
        assert!(
            matches!(keys.as_slice(), [key] if key.starts_with("whpk_")),
            "{keys:?}"
        );
    }
}
