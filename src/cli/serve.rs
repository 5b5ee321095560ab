//! `ringproof serve`.
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
        let app = match App::start_traced(&config, metrics, trace.clone()).await {
            Ok(app) => app,
            Err(error) => return super::fail(&error),
        };
        tell(&app, args.json);
        let name = signals.stop_asked().await;
        let (live, limit) = (app.live_calls(), config.server.drain);
        tracing::info!(
            "{name}: no new calls; {live} live may finish within {} s",
            limit.as_secs()
        );
        let canceled = tokio::select! {
            canceled = app.shutdown(limit) => canceled,
            name = signals.stop_asked() => {
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

/// Taken before anything starts, so that no signal finds the default action.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Returns the name of the signal that asks to stop.
    async fn stop_asked(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hangup.recv() => {
                    tracing::warn!("SIGHUP: this version reads its configuration at the start only; restart to apply changes");
                }
            }
        }
    }
}
