//! The thin binary: arguments in, exit code out.
use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    ringproof::cli::run(ringproof::cli::Cli::parse())
}
