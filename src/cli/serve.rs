//! `ringproof serve`.
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{ConfigFile, TRACE_FLUSH_MAX};
use crate::app::App;
use crate::config;

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    file: ConfigFile,
    /// Say on standard output where it listens, as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    trace: super::TraceSip,
}

pub(super) fn run(args: &ServeArgs) -> ExitCode {
    let config = match config::load(&args.file.config) {
        Ok(config) => config,
        Err(error) => return super::fail(&error),
    };
    if let Err(error) = crate::telemetry::install_logging(&config.telemetry.log, config.telemetry.log_json) {
        return super::fail(&error);
    }
    super::block_on(async {
        let metrics = match config
            .telemetry
            .metrics
            .then(crate::telemetry::install_metrics)
            .transpose()
        {
            Ok(metrics) => metrics,
            Err(error) => return super::fail(&error),
        };
        let mut signals = match Signals::new() {
            Ok(signals) => signals,
            Err(error) => return super::fail(&error),
        };
        let trace = match args.trace.open(args.json) {
            Ok(trace) => trace,
            Err(error) => return super::fail(&error),
        };
        let mut app = match App::start_traced(&config, metrics, trace.clone()).await {
            Ok(app) => app,
            Err(error) => return super::fail(&error),
        };
        tell(&app, args.json);
        let name = run_on(&mut app, &mut signals, &args.file.config).await;
        let (live, limit) = (app.live_calls(), app.drain_limit());
        tracing::info!(
            "{name}: no new calls; {live} live may finish within {} s",
            limit.as_secs()
        );
        let canceled = tokio::select! {
            canceled = app.shutdown(limit) => canceled,
            name = signals.stop.asked() => {
                tracing::warn!("{name} again: stopping at once; calls that were live are told as unknown_after_crash");
                return ExitCode::from(1);
            }
        };
        trace.flush(TRACE_FLUSH_MAX);
        if canceled > 0 {
            tracing::warn!(canceled, "calls were ended by the drain limit");
        }
        ExitCode::SUCCESS
    })
}

fn tell(app: &App, json: bool) {
    let sip: Vec<String> = app
        .sip
        .iter()
        .map(|(transport, a)| format!("{}:{a}", transport.param()))
        .collect();
    if json {
        println!(
            "{}",
            serde_json::json!({"http": format!("http://{}", app.http), "sip": sip})
        );
    } else {
        println!("ringproof listens: http://{} , SIP {}", app.http, sip.join(" "));
    }
}

/// Reads the configuration again at each SIGHUP; returns the name of the signal that asks to stop.
async fn run_on(app: &mut App, signals: &mut Signals, config: &Path) -> &'static str {
    loop {
        tokio::select! {
            name = signals.stop.asked() => return name,
            _ = signals.hangup.recv() => {}
        }
        tokio::select! {
            // Looking up the names of trunks may take seconds, and a stop does not wait for it.
            name = signals.stop.asked() => return name,
            () = reload(app, config) => {}
        }
    }
}

async fn reload(app: &mut App, path: &Path) {
    let new = match config::load(path) {
        Ok(new) => new,
        Err(config::ConfigError::Invalid(problems)) => {
            for problem in &problems {
                tracing::error!("SIGHUP: {problem}");
            }
            return not_taken(problems.len());
        }
        Err(error) => {
            tracing::error!("SIGHUP: {error}");
            return not_taken(1);
        }
    };
    match app.reload(new).await {
        Ok(changes) => {
            if !changes.needs_restart.is_empty() {
                tracing::warn!("SIGHUP: needs a restart: {}", changes.needs_restart.join(", "));
            }
            let changed = match changes.in_force.as_slice() {
                [] => "nothing in it has changed; prompts and secrets were read again".to_owned(),
                changed => changed.join(", "),
            };
            tracing::info!("SIGHUP: configuration reloaded: {changed}");
        }
        Err(errors) => {
            for error in &errors {
                tracing::error!("SIGHUP: {error}");
            }
            not_taken(errors.len());
        }
    }
}

fn not_taken(problems: usize) {
    tracing::error!("SIGHUP: the configuration has {problems} problem(s); the server goes on as it was");
}

/// Taken before anything starts, so that no signal finds the default action.
struct Signals {
    stop: Stop,
    hangup: Signal,
}

struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            stop: Stop {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
            },
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

impl Stop {
    /// Returns the name of the signal that asks to stop.
    async fn asked(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
