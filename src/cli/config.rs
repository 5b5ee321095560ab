//! `ringproof config check|show`.
use std::process::ExitCode;

use clap::Subcommand;

use super::ConfigFile;
use crate::app::AppError;
use crate::config::{self, Config, ConfigError, Problem};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Tell every problem at once, with file, line and key (exit 1 when there is one)
    Check {
        #[command(flatten)]
        file: ConfigFile,
        /// One JSON object for a program to read
        #[arg(long)]
        json: bool,
    },
    /// Print what is in force: file, environment and defaults together, secrets masked
    Show {
        #[command(flatten)]
        file: ConfigFile,
    },
}

pub(super) fn run(command: &ConfigCommand) -> ExitCode {
    match command {
        ConfigCommand::Check { file, json } => check(file, *json),
        ConfigCommand::Show { file } => match config::load(&file.config) {
            Ok(config) => {
                print!("{}", config::show(&config));
                for key in crate::app::webhook_public_keys(&config) {
                    println!("# Receivers verify the v1a signatures of webhooks with {key}");
                }
                ExitCode::SUCCESS
            }
            Err(error) => super::fail(&error),
        },
    }
}

/// The file reads well, but a part of the server would not start with it.
fn refused(path: &str, errors: &[AppError], json: bool) -> ExitCode {
    if json {
        let list: Vec<_> = errors
            .iter()
            .map(|error| match error {
                AppError::Written(problem) => of_problem(problem),
                error => serde_json::json!({"place": path, "key": null, "message": error.to_string()}),
            })
            .collect();
        println!(
            "{}",
            serde_json::json!({"file": path, "valid": false, "problems": list})
        );
    } else {
        eprintln!("error: {} problem(s) in the configuration:", errors.len());
        errors.iter().for_each(|error| match error {
            AppError::Written(problem) => eprintln!("  {problem}"),
            error => eprintln!("  {path}: {error}"),
        });
    }
    ExitCode::from(1)
}

fn of_problem(problem: &Problem) -> serde_json::Value {
    serde_json::json!({"place": problem.place, "key": problem.key, "message": problem.message})
}

fn check(file: &ConfigFile, json: bool) -> ExitCode {
    let path = file.config.display().to_string();
    match config::load(&file.config) {
        Ok(config) => valid_or_refused(&path, &config, json),
        Err(ConfigError::Invalid(problems)) if json => {
            let list: Vec<_> = problems.iter().map(of_problem).collect();
            println!(
                "{}",
                serde_json::json!({"file": path, "valid": false, "problems": list})
            );
            ExitCode::from(1)
        }
        Err(error) => super::fail(&error),
    }
}

/// The file reads well; now the parts are asked.
fn valid_or_refused(path: &str, config: &Config, json: bool) -> ExitCode {
    let checked = crate::app::check(config);
    if !checked.errors.is_empty() {
        return refused(path, &checked.errors, json);
    }
    if json {
        println!(
            "{}",
            serde_json::json!({"file": path, "valid": true, "trunks": config.trunks.len()})
        );
        return ExitCode::SUCCESS;
    }
    let (trunks, profiles) = (config.trunks.len(), config.profiles.len());
    println!("{path}: valid ({trunks} trunk(s), {profiles} profile(s))");
    if config.policy.countries.is_empty() && config.policy.internal_numbers.is_empty() {
        println!("warning: policy.countries is empty: no number can be called. Add one, such as [\"US\"].");
    }
    if config.trunks.is_empty() {
        println!("warning: there is no [[trunk]]: every request is answered 503 no_trunk_available.");
    }
    if config.webhook.secrets.is_empty() {
        println!("warning: webhook.secret is not set and no profile has callbacks: no webhook is sent.");
    }
    for warning in config.trunks.iter().filter_map(|trunk| trunk.srtp_warning()) {
        println!("warning: {warning}");
    }
    for notice in &checked.notices {
        println!("warning: prompts: {notice}");
    }
    ExitCode::SUCCESS
}
