//! Arguments → `app`; one file per subcommand. The only room that prints.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this room talks to a person"
)]
mod call;
pub mod capture;
mod client;
mod config;
mod demo;
pub mod dtmf;
mod explain;
mod explain_registration;
mod keys;
mod progress;
pub mod prompts;
mod serve;
mod sim;
mod sink;
mod trunk;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::net::sip_trace::SipTrace;

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
    /// Server, carrier and callees in one process: no configuration, no network
    Demo(demo::DemoArgs),
    /// Run the server
    Serve(serve::ServeArgs),
    /// Place one confirmation call and watch it
    Call(call::CallArgs),
    /// The carrier and its callees in the box, as a SIP server with an HTTP API
    Sim(sim::SimArgs),
    /// Digits in WAV files, heard as a live call hears them
    Dtmf(dtmf::DtmfArgs),
    /// Recordings: list, check, import, build
    Prompts(prompts::PromptsArgs),
    /// Trunks: list them, test one and hear in words what is wrong
    #[command(subcommand)]
    Trunk(trunk::TrunkCommand),
    /// Captures: the calls, streams and keys in a pcap file, decoded offline
    #[command(subcommand)]
    Capture(capture::CaptureCommand),
    /// API keys: create, list, revoke
    #[command(subcommand)]
    Keys(keys::KeysCommand),
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

/// `--trace-sip`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct TraceSip {
    /// Print every SIP message on standard output (with --json on standard error); numbers, credentials and keys masked
    #[arg(long)]
    trace_sip: bool,
}

/// Lines of the trace that may be outstanding when the process ends get so long to be written.
const TRACE_FLUSH_MAX: std::time::Duration = std::time::Duration::from_secs(2);

impl TraceSip {
    /// With `json`, standard output belongs to the program that reads it.
    pub(crate) fn open(&self, json: bool) -> std::io::Result<SipTrace> {
        match (self.trace_sip, json) {
            (false, _) => Ok(SipTrace::off()),
            (true, false) => SipTrace::to(std::io::stdout()),
            (true, true) => SipTrace::to(std::io::stderr()),
        }
    }
}

/// Runs what the arguments say.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    match cli.command {
        Command::Serve(args) => serve::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Sim(args) => sim::run(&args),
        Command::Dtmf(args) => dtmf::run(
            &args,
            &mut std::io::stdout().lock(),
            &mut std::io::stderr().lock(),
        )
        .into(),
        Command::Prompts(args) => prompts::run(
            &args,
            &mut std::io::stdout().lock(),
            &mut std::io::stderr().lock(),
        )
        .into(),
        Command::Capture(command) => capture::run(
            &command,
            &mut std::io::stdout().lock(),
            &mut std::io::stderr().lock(),
        )
        .into(),
        Command::Call(args) => call::run(&args),
        Command::Trunk(command) => trunk::run(command),
        Command::Keys(command) => keys::run(command),
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

/// Runs `work` on a runtime with a thread for each core.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    #[expect(
        clippy::expect_used,
        reason = "without threads there is no program to go on with"
    )]
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("the operating system gives a runtime its threads")
        .block_on(work)
}

/// A directory of this process alone, removed when dropped.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> std::io::Result<Self> {
        let mut name = [0; 8];
        getrandom::fill(&mut name).map_err(std::io::Error::other)?;
        let path = std::env::temp_dir().join(format!("ringproof-{:016x}", u64::from_be_bytes(name)));
        std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700).create(&path)?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left to the system's own cleaning of its temporary directory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
