//! `ringproof call`: one confirmation call from the terminal, with the server's own parts in this process.
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::ConfigFile;
use super::client::{Client, ClientError};
use super::progress::{Progress, outcome_lines};
use crate::app::{App, AppError};
use crate::config::{self, Config};
use crate::model::Method;
use crate::store::{Scope, StoreError};

/// Place one confirmation call and watch it
#[derive(Debug, Args)]
#[command(
    after_help = "It works on a store of its own: blocks and limits that a running server knows do not count here.\n\nExit codes: 0 approved or delivered, 2 denied, 3 expired, 4 failed, 5 blocked, 6 canceled, 1 no call was placed"
)]
pub(super) struct CallArgs {
    /// Number: +14255550123, a national number with --region, or an internal number
    number: String,
    /// Region of a number without country code (ISO 3166, such as US)
    #[arg(long)]
    region: Option<String>,
    /// press_key, random_key, match_code or speak_code
    #[arg(long, default_value = "press_key")]
    method: Method,
    /// Digits to speak (speak_code), or to be keyed (match_code; made when absent)
    #[arg(long)]
    code: Option<String>,
    /// Only over this trunk
    #[arg(long)]
    trunk: Option<String>,
    /// Language of the prompts, such as en-GB
    #[arg(long)]
    locale: Option<String>,
    /// Digits to send after the answer
    #[arg(long)]
    extension: Option<String>,
    #[command(flatten)]
    file: ConfigFile,
    /// The verification, or the problem that refused it, as JSON on standard output
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    trace: super::TraceSip,
    /// Follow RTP that comes from elsewhere than SDP says, whatever the trunk's `learn` is.
    #[arg(skip)]
    learn: bool,
}

impl CallArgs {
    /// A test call over one trunk. It follows the callee's RTP wherever it comes from, to tell of it.
    pub(super) const fn over(
        number: String,
        region: Option<String>,
        trunk: String,
        file: ConfigFile,
        trace: super::TraceSip,
    ) -> Self {
        Self {
            number,
            region,
            method: Method::PressKey,
            code: None,
            trunk: Some(trunk),
            locale: None,
            extension: None,
            file,
            json: false,
            trace,
            learn: true,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error(transparent)]
    Config(#[from] config::ConfigError),
    #[error(transparent)]
    App(#[from] AppError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a temporary directory: {0}")]
    Scratch(#[from] std::io::Error),
    #[error("--trace-sip: {0}")]
    Trace(#[source] std::io::Error),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("--trunk: the configuration has no trunk {name:?}; it has {known}")]
    Trunk { name: String, known: String },
}

pub(super) fn run(args: &CallArgs) -> ExitCode {
    // Progress is on the screen already; the log would only break its lines.
    if let Err(error) = crate::telemetry::install_logging("error", false) {
        return super::fail(&error);
    }
    match super::block_on(place(args)) {
        Ok(verification) => {
            if args.json {
                println!("{verification}");
            } else {
                outcome_lines(&verification)
                    .iter()
                    .for_each(|line| println!("{line}"));
            }
            ExitCode::from(exit_code(verification["status"].as_str().unwrap_or_default()))
        }
        Err(CallError::Client(error)) => {
            if let Some(problem) = error.problem().filter(|_| args.json) {
                println!("{problem}");
            }
            if error.is_refusal() {
                eprintln!("blocked: {error}");
                return ExitCode::from(5);
            }
            super::fail(&error)
        }
        Err(error) => super::fail(&error),
    }
}

const fn exit_code_of(status: crate::model::Status) -> u8 {
    use crate::model::Status;
    match status {
        Status::Approved | Status::Delivered => 0,
        Status::Denied => 2,
        Status::Expired => 3,
        Status::Failed => 4,
        Status::Blocked => 5,
        Status::Canceled => 6,
        Status::Pending => 1,
    }
}

fn exit_code(status: &str) -> u8 {
    status.parse().map_or(1, exit_code_of)
}

pub(super) async fn place(args: &CallArgs) -> Result<Value, CallError> {
    let mut config = config::load(&args.file.config)?;
    only_trunk(&mut config, args.trunk.as_deref())?;
    config
        .trunks
        .iter_mut()
        .for_each(|trunk| trunk.learn |= args.learn);
    let directory = beside_a_server(&mut config)?;
    let profiles = config.profiles.keys().cloned().collect();
    let trace = args.trace.open(args.json).map_err(CallError::Trace)?;
    let app = App::start_traced(&config, None, trace.clone()).await?;
    let (_, key) = super::keys::create(
        app.store(),
        "ringproof call".to_owned(),
        vec![Scope::Verifications],
        profiles,
        Some(1),
    )
    .await?;
    let client = Client::new(format!("http://{}", app.http), key)?;
    let result = watch(args, &client).await;
    app.shutdown(config.server.drain).await;
    trace.flush(super::TRACE_FLUSH_MAX);
    drop(directory);
    result
}

/// A server may be running with the same file. It keeps its ports, its store and its queue: this call has its own, which
/// are gone with it. Policy holds; counters of earlier calls are not seen.
fn beside_a_server(config: &mut Config) -> Result<super::Scratch, CallError> {
    let directory = super::Scratch::new()?;
    config.store.url = format!("sqlite://{}", directory.path().join("call.db").display());
    config
        .server
        .listen
        .set_ip(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
    config.server.listen.set_port(0);
    config.server.admin_listen = None;
    free_sip_ports(config);
    Ok(directory)
}

/// Ports that another process holds give way to any free one; whether there were such.
pub(super) fn free_sip_ports(config: &mut Config) -> bool {
    let mut moved = false;
    for listener in &mut config.sip.listen {
        let is_free = match listener.transport {
            config::Transport::Udp => std::net::UdpSocket::bind(listener.address).is_ok(),
            config::Transport::Tcp | config::Transport::Tls => {
                std::net::TcpListener::bind(listener.address).is_ok()
            }
        };
        if !is_free {
            listener.address.set_port(0);
            moved = true;
        }
    }
    moved
}

fn only_trunk(config: &mut Config, name: Option<&str>) -> Result<(), CallError> {
    let Some(name) = name else { return Ok(()) };
    let known: Vec<String> = config.trunks.iter().map(|t| t.name.clone()).collect();
    config.trunks.retain(|t| t.name == name);
    if config.trunks.is_empty() {
        return Err(CallError::Trunk {
            name: name.to_owned(),
            known: known.join(", "),
        });
    }
    Ok(())
}

fn body(args: &CallArgs) -> Value {
    let to = match &args.region {
        Some(region) => json!({"number": args.number, "region": region}),
        None => json!(args.number),
    };
    let mut body = json!({"to": to, "method": args.method.as_str(), "client_ref": "ringproof call"});
    let optional = [("code", &args.code), ("locale", &args.locale)];
    for (key, value) in optional {
        if let Some(value) = value {
            body[key] = json!(value);
        }
    }
    if let Some(digits) = &args.extension {
        body["extension"] = json!({"digits": digits});
    }
    body
}

async fn watch(args: &CallArgs, client: &Client) -> Result<Value, CallError> {
    let created = client.create(&body(args)).await?;
    eprintln!(
        "Calling {} from {}",
        created["to_masked"].as_str().unwrap_or("?"),
        created["caller_id"].as_str().unwrap_or("?")
    );
    if let Some(code) = created["display_code"].as_str() {
        eprintln!("Key this code, then #: {code}");
    }
    let id = created["id"].as_str().unwrap_or_default().to_owned();
    let mut progress = Progress::new();
    let mut verification = created;
    while verification["status"] == "pending" {
        progress.show(&verification);
        tokio::select! {
            changed = client.changed(&verification) => verification = changed?,
            interrupted = tokio::signal::ctrl_c() => {
                if interrupted.is_ok() {
                    eprintln!("  canceling");
                    client.cancel(&id).await?;
                }
            }
        }
    }
    let verification = client.with_evidence(verification).await?;
    progress.finish();
    Ok(verification)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_its_documented_exit_code() {
        let codes: Vec<u8> = [
            "approved",
            "delivered",
            "denied",
            "expired",
            "failed",
            "blocked",
            "canceled",
            "odd",
        ]
        .map(exit_code)
        .to_vec();
        assert_eq!(codes, [0, 0, 2, 3, 4, 5, 6, 1]);
    }
}
