//! `ringproof serve` as a user starts it, and the platform that it reports to.
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::process::{self, Process};

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_ringproof");
/// Silence after the answer, before the first word (default of the call script).
const FIRST_WORD: Duration = Duration::from_millis(700);
/// Of the servers whose packets the capture reads.
const RTP_PORTS: &str = "20000-29999";
const SECRET: &str = "whsec_cmluZ3Byb29mLWludGVyb3Atc2VjcmV0LTAwMDAwMQ==";

pub(crate) struct Server {
    process: Process,
    pub(crate) url: String,
    /// Where its first SIP listener is, `host:port`.
    pub(crate) sip: String,
    /// Where it listens over TLS, if it does.
    pub(crate) sips: String,
    key: String,
    client: reqwest::Client,
    callback: String,
    webhooks: mpsc::Receiver<Result<Value, String>>,
    log: PathBuf,
}

/// What a case changes in the configuration.
#[derive(Clone, Default)]
pub(crate) struct Settings {
    /// `host:port` of the far end.
    pub(crate) target: String,
    /// Lines for `[[trunk]]`.
    pub(crate) trunk: &'static str,
    /// Lines for `[profile.default]`.
    pub(crate) profile: &'static str,
    /// Lines for `[sip]`.
    pub(crate) sip: String,
    /// `rtp_ports`; empty for the usual ones.
    pub(crate) rtp_ports: &'static str,
}

impl Server {
    pub(crate) async fn start(directory: &Path, settings: &Settings) -> Result<Self, String> {
        std::fs::create_dir_all(directory).map_err(|e| e.to_string())?;
        let (callback, webhooks) = platform().await?;
        let config = directory.join("ringproof.toml");
        std::fs::write(&config, configuration(directory, settings, &callback)).map_err(|e| e.to_string())?;
        let key = create_key(&config).await?;
        let log = directory.join("serve.log");
        let file = std::fs::File::create(&log).map_err(|e| e.to_string())?;
        let mut process = Process::start(
            Command::new(PROGRAM)
                .args(["serve", "--config"])
                .arg(&config)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(file),
            "none: this is the program under test",
        )?;
        let said = process::line_with(&mut process.stdout(), "http://", Duration::from_secs(20))
            .await
            .map_err(|e| format!("serve did not say its address: {e}\n{}", read(&log)))?;
        let url = said
            .split_whitespace()
            .find(|word| word.starts_with("http://"))
            .unwrap_or_default()
            .to_owned();
        let [sip, sips] = ["udp:", "tls:"].map(|transport| {
            let mut words = said.split_whitespace();
            let found = words.find_map(|word| word.strip_prefix(transport));
            found.unwrap_or_default().to_owned()
        });
        Ok(Self {
            process,
            url,
            sip,
            sips,
            key,
            client: reqwest::Client::new(),
            callback,
            webhooks,
            log,
        })
    }

    /// Asks for a verification of the internal number `to`.
    pub(crate) async fn verify(&self, to: &str, extra: &Value) -> Result<Value, String> {
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

    pub(crate) async fn cancel(&self, id: &str) -> Result<(), String> {
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
    pub(crate) async fn get(&self, id: &str) -> Result<Value, String> {
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

    /// Waits until the verification has reached `stage`. By looking: a long poll would miss a change just before it.
    pub(crate) async fn wait_for_stage(&self, id: &str, stage: &str) -> Result<(), String> {
        for _ in 0..1000 {
            let now = self.get(id).await?;
            if now["stage"] == stage {
                return Ok(());
            }
            if now["status"] != "pending" {
                return Err(format!("ended before {stage}: {now}"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(format!("{stage} was not reached"))
    }

    /// The next webhook whose signature is good.
    pub(crate) async fn webhook(&mut self) -> Result<Value, String> {
        match tokio::time::timeout(Duration::from_secs(100), self.webhooks.recv()).await {
            Ok(Some(webhook)) => webhook,
            _ => Err(format!("no webhook came\n{}", self.log())),
        }
    }

    /// The verification when its last attempt is complete: a moment after the outcome, when the call itself is over.
    pub(crate) async fn settled(&self, id: &str) -> Result<Value, String> {
        let mut verification = self.get(id).await?;
        for _ in 0..200 {
            let ended = |attempt: &Value| !attempt["ended_at"].is_null();
            if verification["attempts"]
                .as_array()
                .is_some_and(|a| a.iter().all(ended))
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            verification = self.get(id).await?;
        }
        Ok(verification)
    }

    /// How many packets the keys of SRTP did not let in, told once `packets` of all were counted.
    pub(crate) async fn rejected(&self, packets: u64) -> Result<u64, String> {
        let looks = async {
            let mut every = tokio::time::interval(Duration::from_millis(200));
            loop {
                every.tick().await;
                let answer = self.client.get(format!("{}/metrics", self.url)).send().await;
                let page = answer.map_err(|e| e.to_string())?.text().await;
                let page = page.map_err(|e| e.to_string())?;
                let value = |name: &str| {
                    let line = page.lines().find_map(|line| line.strip_prefix(name));
                    line.and_then(|value| value.trim().parse::<u64>().ok())
                };
                if value("ringproof_rtp_packets_received_total ").is_some_and(|n| n >= packets) {
                    let rejected = value("ringproof_srtp_packets_rejected_total ");
                    return rejected.ok_or_else(|| format!("no count of rejected packets\n{page}"));
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), looks)
            .await
            .unwrap_or_else(|_| Err(format!("{packets} packets were not counted")))
    }

    pub(crate) fn log(&self) -> String {
        read(&self.log)
    }

    /// Waits until the log holds `words`.
    pub(crate) async fn logs(&self, words: &str, at_most: Duration) -> Result<(), String> {
        let looks = async {
            let mut every = tokio::time::interval(Duration::from_millis(50));
            while !self.log().contains(words) {
                every.tick().await;
            }
        };
        tokio::time::timeout(at_most, looks)
            .await
            .map_err(|_| format!("{words:?} was not logged within {} s", at_most.as_secs()))
    }

    /// SIGTERM, as a service manager does it; the exit code must be 0.
    pub(crate) async fn stop(mut self) -> Result<(), String> {
        self.process.signal("TERM")?;
        match self.process.ended(Duration::from_secs(20)).await {
            Ok(status) if status.success() => Ok(()),
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
        rtp_ports,
    } = settings;
    let rtp_ports = if rtp_ports.is_empty() {
        RTP_PORTS
    } else {
        rtp_ports
    };
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
rtp_ports = "{rtp_ports}"
[[trunk]]
name = "peer"
targets = ["sip:{target}"]
caller_id = {{ default = "+18005550199" }}
cps = 100.0
options_s = 0
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

/// `ringproof call`: its exit code, the verification that it prints as JSON, and what it said meanwhile.
pub(crate) async fn call(
    directory: &Path,
    settings: &Settings,
    to: &str,
) -> Result<(Option<i32>, Value, String), String> {
    let config = directory.join("ringproof.toml");
    // Nobody listens there: a call from the terminal asks for no webhook.
    let text = configuration(directory, settings, "http://127.0.0.1:9/hooks");
    std::fs::write(&config, text).map_err(|e| e.to_string())?;
    let mut call = Command::new(PROGRAM);
    call.args(["call", to, "--json", "--config"])
        .arg(&config)
        .stdin(Stdio::null());
    let output = process::output(call, "none").await?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let verification = serde_json::from_slice(&output.stdout).map_err(|e| format!("call: {e}\n{said}"))?;
    Ok((output.status.code(), verification, said))
}

/// From the answer to the end of the sentence that names the key, by the catalogue that the server itself tells.
pub(crate) async fn named_after(locale: &str) -> Result<Duration, String> {
    let mut prompts = Command::new(PROGRAM);
    prompts.args(["prompts", "list", "--json", "--language", locale]);
    let output = process::output(prompts, "none").await?;
    let told: Value = serde_json::from_slice(&output.stdout).map_err(|e| format!("prompts list: {e}"))?;
    let confirm = told[0]["phrases"]["confirm"]["duration_ms"]
        .as_u64()
        .ok_or("prompts list tells no length of `confirm`")?;
    Ok(FIRST_WORD + Duration::from_millis(confirm))
}

async fn create_key(config: &Path) -> Result<String, String> {
    let mut keys = Command::new(PROGRAM);
    keys.args([
        "keys",
        "create",
        "--name",
        "interop",
        "--scope",
        "verifications",
        "--json",
        "--config",
    ]);
    keys.arg(config);
    let output = process::output(keys, "none").await?;
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
