//! `ringproof demo`: server, simulated carrier and callees, and a webhook receiver, in one process on loopback.
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::client::{Client, ClientError};
use super::progress::{Progress, outcome_lines};
use super::sink::{self, Received};
use crate::app::{App, AppError};
use crate::config::{self, Config, ConfigError};
use crate::model::Codec;
use crate::prompt::{Catalogue, CatalogueOptions, PromptError, Wanted};
use crate::sim::{RegistrarRules, SimConfig, SimError, Simulator};
use crate::store::{Scope, StoreError};

/// Server, carrier and callees in one process: no configuration, no network
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Place one call, then exit: 0 if it was approved and its webhook delivered, else 1
    #[arg(long)]
    once: bool,
    /// Where the API listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Number to call: +15005550001 to +15005550027, each another kind of callee
    #[arg(long, default_value = "+15005550001")]
    number: String,
    /// Log to standard error at this level
    #[arg(long, default_value = "error")]
    log: String,
}

#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error(transparent)]
    App(#[from] AppError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Sim(#[from] SimError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Prompts(#[from] PromptError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("no webhook came within {} s", WEBHOOK_MAX.as_secs())]
    NoWebhook,
}

const WEBHOOK_MAX: Duration = Duration::from_secs(20);
/// The longest life that the API gives a link: the demo stays up, and nobody looks at the clock.
const WIZARD_LIFE_S: u32 = 3600;

pub(super) fn run(args: &DemoArgs) -> ExitCode {
    if let Err(error) = crate::telemetry::install_logging(&args.log, false) {
        return super::fail(&error);
    }
    match super::block_on(demo(args)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => super::fail(&error),
    }
}

/// Everything that the demo runs.
struct Stage {
    app: App,
    simulator: Simulator,
    sim_http: SocketAddr,
    client: Client,
    key: String,
    hooks: String,
    webhooks: mpsc::Receiver<Received>,
    drain: Duration,
    _scratch: super::Scratch,
}

async fn demo(args: &DemoArgs) -> Result<bool, DemoError> {
    let mut stage = set_up(args).await?;
    println!("Ringproof demo: everything in this process, on loopback\n");
    println!("  API        http://{}/v1   (pages at /docs)", stage.app.http);
    println!(
        "  SIP        udp:{} -> simulated carrier udp:{}",
        stage.app.sip[0].1, stage.simulator.sip
    );
    println!("  simulator  http://{}/sim/calls\n", stage.sim_http);
    let good = one_call(&mut stage, &args.number).await?;
    if !args.once {
        stay(args, &mut stage).await?;
    }
    stage
        .app
        .shutdown(if args.once {
            Duration::from_secs(3)
        } else {
            stage.drain
        })
        .await;
    Ok(good)
}

async fn set_up(args: &DemoArgs) -> Result<Stage, DemoError> {
    let scratch = super::Scratch::new()?;
    let secret = new_secret()?;
    let (sink, webhooks) = sink::start(&secret).await?;
    let simulator = simulator()?;
    let sim_listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let sim_http = sim_listener.local_addr()?;
    let sim_routes = crate::sim::router(&simulator);
    tokio::spawn(async move { axum::serve(sim_listener, sim_routes).await });
    let hooks = format!("http://{sink}/hooks");
    let config = configuration(args, scratch.path(), simulator.sip, &hooks, &secret)?;
    let app = App::start(&config, None).await?;
    let scopes = vec![Scope::Verifications, Scope::Enrollments];
    let (_, key) = super::keys::create(
        app.store(),
        "demo".to_owned(),
        scopes,
        vec!["default".to_owned()],
        Some(1),
    )
    .await?;
    let client = Client::new(format!("http://{}", app.http), key.clone())?;
    let drain = config.server.drain;
    Ok(Stage {
        app,
        simulator,
        sim_http,
        client,
        key,
        hooks,
        webhooks,
        drain,
        _scratch: scratch,
    })
}

/// The box, with the languages that the server speaks.
fn simulator() -> Result<Simulator, DemoError> {
    let (voices, _) = Catalogue::load(&CatalogueOptions::default())?;
    let voice = |tag| {
        voices.voice(Wanted {
            request: Some(tag),
            country: None,
            profile: None,
        })
    };
    Ok(Simulator::start(SimConfig {
        sip: SocketAddr::from(([127, 0, 0, 1], 0)),
        streams: Vec::new(),
        tls: None,
        rtp_ports: 41_000..=42_999,
        callees: crate::sim::defaults(),
        voices: vec![voice("en-US"), voice("en-GB")],
        codecs: vec![Codec::Pcmu, Codec::Pcma],
        calls_max: 500,
        registrar: RegistrarRules::default(),
    })?)
}

fn new_secret() -> std::io::Result<String> {
    use base64::Engine as _;
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(format!(
        "whsec_{}",
        base64::engine::general_purpose::STANDARD.encode(bytes)
    ))
}

/// Written as a file would be, so that the demo says nothing that a configuration could not.
fn configuration(
    args: &DemoArgs,
    directory: &Path,
    carrier: SocketAddr,
    hooks: &str,
    secret: &str,
) -> Result<Config, ConfigError> {
    let text = format!(
        r#"
[server]
listen = "{listen}"
[store]
url = "sqlite://{directory}/demo.db"
[sip]
listen = ["udp:127.0.0.1:0"]
[media]
rtp_ports = "43000-44999"
[[trunk]]
name = "simulated-carrier"
targets = ["sip:{carrier}"]
caller_id = {{ default = "+18005550199" }}
cps = 50.0
max_calls = 200
[policy]
countries = ["US"]
number_validation = "shape"
per_number = {{ per_hour = 0, per_day = 0, again_after_s = 0 }}
per_user_per_hour = 0
per_ip_per_hour = 0
per_prefix_per_hour = 0
[profile.default]
brand = "Contoso"
callbacks = ["{hooks}"]
return_urls = ["http://{listen}/"]
[webhook]
secret = "{secret}"
allow_private = ["127.0.0.0/8"]
"#,
        listen = args.listen,
        directory = directory.display(),
    );
    config::parse(&text, "demo", directory, std::iter::empty())
}

/// One confirmation call, told as it goes; true when it was approved and its webhook verified.
async fn one_call(stage: &mut Stage, number: &str) -> Result<bool, DemoError> {
    let body = json!({"to": number, "client_ref": "demo", "callback_url": stage.hooks});
    let began = Instant::now();
    let created = stage.client.create(&body).await?;
    println!(
        "Calling {} from {}",
        text(&created["to_masked"]),
        text(&created["caller_id"])
    );
    let mut progress = Progress::new();
    let mut verification = created;
    while verification["status"] == "pending" {
        progress.show(&verification);
        verification = stage.client.changed(&verification).await?;
    }
    progress.finish();
    let webhook = tokio::time::timeout(WEBHOOK_MAX, stage.webhooks.recv())
        .await
        .ok()
        .flatten();
    // The ladder ends with BYE, after the goodbye has played.
    let call = sim_call(stage, &verification).await?;
    let verification = stage.client.with_evidence(verification).await?;
    ladder(&call);
    media_lines(&call, &verification);
    let Some(webhook) = webhook else {
        return Err(DemoError::NoWebhook);
    };
    Ok(tell_webhook(&webhook, began) && verification["status"] == "approved")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

/// The callee's side of the call, once it has ended.
async fn sim_call(stage: &Stage, verification: &Value) -> Result<Value, DemoError> {
    let simulator = Client::new(format!("http://{}", stage.sim_http), String::new())?;
    let number = text(&verification["to"]).replace('+', "%2B");
    Ok(simulator
        .read(&format!("/sim/wait?number={number}&state=ended&timeout=60"))
        .await?)
}

fn ladder(call: &Value) {
    println!("\n  {:>8}  {:<10}{:^44}carrier", "", "Ringproof", "");
    for message in call["messages"].as_array().into_iter().flatten() {
        let at_ms = message["at_ms"].as_u64().unwrap_or_default();
        let summary = text(&message["summary"]);
        let dashes = 44_usize.saturating_sub(summary.chars().count());
        let (left, right) = (dashes / 2, dashes - dashes / 2);
        let arrow = match message["direction"].as_str() {
            Some("in") => format!("|{} {summary} {}>|", "-".repeat(left), "-".repeat(right)),
            _ => format!("|<{} {summary} {}|", "-".repeat(left), "-".repeat(right)),
        };
        println!("  {at_ms:>5} ms      {arrow}");
    }
    println!();
}

fn media_lines(call: &Value, verification: &Value) {
    let heard: Vec<&str> = call["heard"].as_array().into_iter().flatten().map(text).collect();
    println!(
        "  prompt   {:.1} s of audio reached the callee: {}",
        call["audio_ms"].as_u64().unwrap_or_default() as f32 / 1000.0,
        heard.join(", ")
    );
    for key in call["keys"].as_array().into_iter().flatten() {
        println!(
            "  pressed  {} by {} at {} ms",
            text(&key["digits"]),
            text(&key["transport"]),
            key["at_ms"]
        );
    }
    println!("  outcome  {}", outcome_lines(verification).join("\n           "));
}

fn tell_webhook(webhook: &Received, began: Instant) -> bool {
    let after = webhook.at.saturating_duration_since(began).as_secs_f32();
    match &webhook.fault {
        None => println!(
            "  webhook  {} received {after:.1} s after the request, signature verified ({})",
            text(&webhook.body["type"]),
            webhook.id
        ),
        Some(fault) => println!("  webhook  {} received, but {fault}", text(&webhook.body["type"])),
    }
    webhook.fault.is_none()
}

/// Stays up for more calls, until interrupted.
async fn stay(args: &DemoArgs, stage: &mut Stage) -> Result<(), DemoError> {
    let base = format!("http://{}", stage.app.http);
    println!("\nThe demo stays up. Call again, another callee for another number (…0001 to …0027):\n");
    println!(
        "  curl -s {base}/v1/verifications -H 'Authorization: Bearer {}' \\\n       -H 'Content-Type: application/json' -d '{{\"to\":\"{}\",\"callback_url\":\"{}\"}}'\n",
        stage.key, args.number, stage.hooks
    );
    println!("  callees  http://{}/sim/numbers", stage.sim_http);
    println!(
        "  wizard   {}   (enter +15005550001; good for {} min)",
        wizard(stage).await?,
        WIZARD_LIFE_S / 60
    );
    println!("\nCtrl-C ends it. Webhooks as they come:");
    let began = Instant::now();
    loop {
        tokio::select! {
            webhook = stage.webhooks.recv() => match webhook {
                Some(webhook) => {
                    tell_webhook(&webhook, began);
                    println!("           {}", outcome_lines(&webhook.body["data"]).join("\n           "));
                }
                None => return Ok(()),
            },
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}

/// A fresh session of the hosted wizard.
async fn wizard(stage: &Stage) -> Result<String, DemoError> {
    let body = json!({"return_url": format!("http://{}/", stage.app.http), "client_ref": "demo",
        "expires_in": WIZARD_LIFE_S});
    let made = stage.client.enroll(&body).await?;
    Ok(text(&made["url"]).to_owned())
}
