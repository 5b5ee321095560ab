//! `ringproof serve`.
use std::process::ExitCode;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::ConfigFile;
use crate::app::App;
use crate::config;

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    file: ConfigFile,
    /// Say on standard output where it listens, as one JSON object
    #[arg(long)]
    json: bool,
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
        let metrics = match crate::telemetry::install_metrics() {
            Ok(metrics) => Some(metrics),
            Err(error) => return super::fail(&error),
        };
        let app = match App::start(&config, metrics).await {
            Ok(app) => app,
            Err(error) => return super::fail(&error),
        };
        tell(&app, args.json);
        match stop_asked().await {
            Ok(name) => tracing::info!(
                "{name}: no new calls; {} live may finish within {} s",
                app.live_calls(),
                config.server.drain.as_secs()
            ),
            Err(error) => tracing::error!(%error, "signals cannot be received; stopping"),
        }
        let canceled = app.shutdown(config.server.drain).await;
        if canceled > 0 {
            tracing::warn!(canceled, "calls were ended by the drain limit");
        }
        ExitCode::SUCCESS
    })
}

fn tell(app: &App, json: bool) {
    let sip: Vec<String> = app.sip.iter().map(|a| format!("udp:{a}")).collect();
    if json {
        println!(
            "{}",
            serde_json::json!({"http": format!("http://{}", app.http), "sip": sip})
        );
    } else {
        println!("ringproof listens: http://{} , SIP {}", app.http, sip.join(" "));
    }
}

/// Returns the name of the signal that asks to stop.
async fn stop_asked() -> std::io::Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => Ok("SIGTERM"),
        _ = interrupt.recv() => Ok("SIGINT"),
    }
}
