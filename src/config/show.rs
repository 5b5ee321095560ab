//! The configuration as it is in force, secrets masked.
use std::fmt::Write as _;

use super::Config;

/// One `key = value` line for each value in force, for `config show`.
#[must_use]
pub fn show(config: &Config) -> String {
    let mut out = String::new();
    // `Masked` prints as ***, so the derived form cannot show a secret.
    let sections: [(&str, String); 10] = [
        ("server", format!("{:#?}", config.server)),
        ("store", format!("{:#?}", config.store)),
        ("sip", format!("{:#?}", config.sip)),
        ("media", format!("{:#?}", config.media)),
        ("trunk", format!("{:#?}", config.trunks)),
        ("policy", format!("{:#?}", config.policy)),
        ("profile", format!("{:#?}", config.profiles)),
        ("prompts", format!("{:#?}", config.prompts)),
        ("webhook", format!("{:#?}", config.webhook)),
        (
            "enrollment and telemetry",
            format!("{:#?}\n{:#?}", config.enrollment, config.telemetry),
        ),
    ];
    for (name, text) in sections {
        let _ = writeln!(out, "[{name}]\n{text}\n");
    }
    out
}
