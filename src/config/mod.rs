//! Configuration: TOML and environment → valid types. Nothing is checked again later.
//!
//! [`load`] reads the file, lays `RINGPROOF__SECTION__KEY` variables over it and gives either a [`Config`] or every
//! [`Problem`] at once, each with file, line, key and the mend. Only `app` (and the command line) reads this room.
mod contents;
mod presentation;
mod profile;
mod reader;
mod registration;
mod reload;
mod sections;
mod show;
mod sip;
mod tree;
mod types;

use std::path::{Path, PathBuf};

pub use contents::Contents;
pub use reader::Problem;
pub use reload::{Changes, changes, in_force};
pub use show::show;
pub use types::*;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {path}: {source}", path = path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{} problem{} in the configuration:\n{}", .0.len(), if .0.len() == 1 { "" } else { "s" }, lines(.0))]
    Invalid(Vec<Problem>),
}

fn lines(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(|p| format!("  {p}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Reads `path` and the process environment.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    parse(&text, &path.display().to_string(), directory, std::env::vars())
}

/// Reads a text. `file` names it in problems; relative `*_file` paths start at `directory`.
pub fn parse(
    text: &str,
    file: &str,
    directory: &Path,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let (mut table, syntax) = tree::parse(text);
    let mut report = reader::Report {
        file,
        directory,
        problems: Vec::new(),
    };
    for error in syntax {
        report.add(&tree::Origin::Line(error.line), "syntax", error.message);
    }
    if !report.problems.is_empty() {
        return Err(ConfigError::Invalid(report.problems));
    }
    for (name, reason) in tree::overlay(&mut table, variables) {
        report.add(&tree::Origin::Environment(name.clone()), &name, reason);
    }
    let config = sections::read(&table, &mut report);
    if report.problems.is_empty() {
        Ok(config)
    } else {
        Err(ConfigError::Invalid(report.problems))
    }
}

#[cfg(test)]
mod tests;
