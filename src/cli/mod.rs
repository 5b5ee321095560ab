//! Arguments → `app`; one file per subcommand. The only room that prints.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this room talks to a person"
)]
mod config;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Self-hosted confirmation calls over your own SIP trunk.
#[derive(Debug, Parser)]
#[command(
    name = "ringproof",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
#[command(
    after_help = "Start here:\n  ringproof demo          everything in one process, no configuration, no network\n  ringproof serve         the server, with config/ringproof.toml\n\nDocumentation: README.md, docs/"
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a configuration, or show what is in force
    #[command(subcommand)]
    Config(config::ConfigCommand),
}

/// Where the configuration is read from.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ConfigFile {
    /// Configuration file
    #[arg(
        long,
        value_name = "FILE",
        default_value = "config/ringproof.toml",
        env = "RINGPROOF_CONFIG"
    )]
    pub(crate) config: PathBuf,
}

/// Runs what the arguments say.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    match cli.command {
        Command::Config(command) => config::run(&command),
    }
}

/// An error for a person: what happened, then each cause on a line of its own.
pub(crate) fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("error: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        eprintln!("  because: {cause}");
        source = cause.source();
    }
    ExitCode::from(1)
}
