//! `ringproof serve` as a user starts it, and the platform that it reports to.
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

const SECRET: &str = "whsec_cmluZ3Byb29mLWludGVyb3Atc2VjcmV0LTAwMDAwMQ==";

pub struct Server {
    child: Child,
    pub url: String,
    key: String,
    client: reqwest::Client,
    callback: String,
    webhooks: mpsc::Receiver<Result<Value, String>>,
    log: PathBuf,
}

/// What a case changes in the configuration.
#[derive(Clone, Default)]
pub struct Settings {
    /// `host:port` of the far end.
    pub target: String,
    /// Lines for `[[trunk]]`.
    pub trunk: &'static str,
    /// Lines for `[profile.default]`.
    pub profile: &'static str,
    /// Lines for `[sip]`.
    pub sip: String,
}

impl Server {
    pub async fn start(directory: &Path, settings: &Settings) -> Result<Self, String> {
        std::fs::create_dir_all(directory).map_err(|e| e.to_string())?;
        let (callback, webhooks) = platform().await?;
        let config = directory.join("ringproof.toml");
        std::fs::write(&config, configuration(directory, settings, &callback)).map_err(|e| e.to_string())?;
        let key = create_key(&config).await?;
        let log = directory.join("serve.log");
        let file = std::fs::File::create(&log).map_err(|e| e.to_string())?;
        let mut child = Command::new(env!("CARGO_BIN_EXE_ringproof"))
            .args(["serve", "--config"])
            .arg(&config)
            .stdout(Stdio::piped())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| e.to_string())?;
        let stdout = child.stdout.take().ok_or("no standard output")?;
        let mut lines = BufReader::new(stdout).lines();
        let url = loop {
            match tokio::time::timeout(Duration::from_secs(20), lines.next_line()).await {
                Ok(Ok(Some(line))) => {
                    if let Some(at) = line.find("http://") {
                        break line[at..]
                            .split_whitespace()
                            .next()
                            .unwrap_or_default()
                            .to_owned();
                    }
                }
                _ => return Err(format!("serve did not say its address\n{}", read(&log))),
            }
        };
        // Somebody has to read on, or a full pipe would stop the server.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self {
            child,
            url,
            key,
            client: reqwest::Client::new(),
            callback,
            webhooks,
            log,
        })
    }

    /// Asks for a verification of the internal number `to`.
    pub async fn verify(&self, to: &str, extra: &Value) -> Result<Value, String> {
        let mut body = json!({"to": to, "callback_url": self.callback, "client_ref": "interop"});
        if let (Some(body), Some(extra)) = (body.as_object_mut(), extra.as_object()) {
            body.extend(extra.clone());
        }
        let answer = self
            .client
            .post(format!("{}/v1/verifications", self.url))
            .bearer_auth(&self.key)
            .json(&body)
            .send()
            .await
            .map_err(|e| e.to_string())?;
        let status = answer.status();
        let body: Value = answer.json().await.map_err(|e| e.to_string())?;
        if status == StatusCode::CREATED {
            Ok(body)
        } else {
            Err(format!("{status}: {body}"))
        }
    }

    pub async fn cancel(&self, id: &str) -> Result<(), String> {
        let url = format!("{}/v1/verifications/{id}/cancel", self.url);
        let answer = self
            .client
            .post(url)
            .bearer_auth(&self.key)
            .send()
            .await
            .map_err(|e| e.to_string())?;
        if answer.status().is_success() {
            Ok(())
        } else {
            Err(format!("cancel: {}", answer.status()))
        }
    }

    /// The verification as the API shows it now.
    pub async fn get(&self, id: &str) -> Result<Value, String> {
        let url = format!("{}/v1/verifications/{id}", self.url);
        let answer = self
            .client
            .get(url)
            .bearer_auth(&self.key)
            .send()
            .await
            .map_err(|e| e.to_string())?;
        answer.json().await.map_err(|e| e.to_string())
    }

    /// Waits until the verification has reached `stage`, by long polls.
    pub async fn wait_for_stage(&self, id: &str, stage: &str) -> Result<(), String> {
        for _ in 0..200 {
            let url = format!("{}/v1/verifications/{id}?wait=5", self.url);
            let now = self.get(id).await?;
            if now["stage"] == stage {
                return Ok(());
            }
            if now["status"] != "pending" {
                return Err(format!("ended before {stage}: {now}"));
            }
            self.client
                .get(url)
                .bearer_auth(&self.key)
                .send()
                .await
                .map_err(|e| e.to_string())?;
        }
        Err(format!("{stage} was not reached"))
    }

    /// The next webhook whose signature is good.
    pub async fn webhook(&mut self) -> Result<Value, String> {
        match tokio::time::timeout(Duration::from_secs(100), self.webhooks.recv()).await {
            Ok(Some(webhook)) => webhook,
            _ => Err(format!("no webhook came\n{}", self.log())),
        }
    }

    pub fn log(&self) -> String {
        read(&self.log)
    }

    /// SIGTERM, as a service manager does it; the exit code must be 0.
    pub async fn stop(mut self) -> Result<(), String> {
        let pid = self.child.id().ok_or("already gone")?;
        Command::new("kill")
            .arg(pid.to_string())
            .status()
            .await
            .map_err(|e| e.to_string())?;
        match tokio::time::timeout(Duration::from_secs(20), self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            other => Err(format!("serve did not stop cleanly: {other:?}\n{}", self.log())),
        }
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn configuration(directory: &Path, settings: &Settings, callback: &str) -> String {
    let Settings {
        target,
        trunk,
        profile,
        sip,
    } = settings;
    let sip = if sip.is_empty() {
        "listen = [\"udp:127.0.0.1:0\"]"
    } else {
        sip
    };
    format!(
        r#"
[server]
listen = "127.0.0.1:0"
drain_s = 5
[store]
url = "sqlite://{directory}/ringproof.db"
[sip]
{sip}
[media]
rtp_ports = "20000-29999"
[[trunk]]
name = "peer"
targets = ["sip:{target}"]
caller_id = {{ default = "+18005550199" }}
cps = 100.0
{trunk}
[policy]
internal_numbers = ["1\\d{{3}}"]
per_number = {{ per_hour = 0, per_day = 0, again_after_s = 0 }}
[profile.default]
brand = "Contoso"
callbacks = ["{callback}"]
fraud_sentence = false
{profile}
[webhook]
secret = "{SECRET}"
allow_private = ["127.0.0.0/8"]
[telemetry]
log = "debug"
"#,
        directory = directory.display(),
    )
}

async fn create_key(config: &Path) -> Result<String, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_ringproof"))
        .args([
            "keys",
            "create",
            "--name",
            "interop",
            "--scope",
            "verifications",
            "--json",
            "--config",
        ])
        .arg(config)
        .output()
        .await
        .map_err(|e| e.to_string())?;
    let told: Value = serde_json::from_slice(&output.stdout)
        .map_err(|e| format!("keys create: {e}: {}", String::from_utf8_lossy(&output.stderr)))?;
    told["key"]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| format!("keys create: {told}"))
}

/// The identity platform: verifies each webhook with the Standard Webhooks library.
async fn platform() -> Result<(String, mpsc::Receiver<Result<Value, String>>), String> {
    let (send, receive) = mpsc::channel(16);
    let app = Router::new().route("/hooks", post(hook)).with_state(send);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .map_err(|e| e.to_string())?;
    let address = listener.local_addr().map_err(|e| e.to_string())?;
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok((format!("http://{address}/hooks"), receive))
}

async fn hook(
    State(send): State<mpsc::Sender<Result<Value, String>>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let verified = standardwebhooks::Webhook::new(SECRET)
        .and_then(|webhook| webhook.verify(&body, &headers))
        .map_err(|e| format!("the signature is wrong: {e}"));
    let parsed = verified.and_then(|()| serde_json::from_slice(&body).map_err(|e| e.to_string()));
    let _ = send.send(parsed).await;
    StatusCode::NO_CONTENT
}
