//! A telephone of the simulator that knows no SRTP: it rings, answers, and presses `#` when it was told to.
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::process::{self, Process};
use crate::server::PROGRAM;
use crate::sound;

/// RTP ports of the phones; each case has its own.
const RTP: u16 = 32_000;
const RTP_PORTS: u16 = 20;

pub(crate) struct Phone {
    _process: Process,
    url: String,
    directory: PathBuf,
}

impl Phone {
    pub(crate) async fn start(port: u16, index: u16, directory: &Path) -> Result<Self, String> {
        let file = directory.join("phone.toml");
        let script = "[callee.1001]\nabout = \"a phone without SRTP\"\nsrtp = \"refused\"\n\
                      steps = [\"ring\", { wait = { ms = 500 } }, \"answer\", \"wait_until_told\", \
                      { press = { digits = \"#\" } }]\n";
        std::fs::write(&file, script).map_err(|e| e.to_string())?;
        let first = RTP + RTP_PORTS * index;
        let mut process = Process::start(
            Command::new(PROGRAM)
                .args([
                    "sim",
                    "--http",
                    "127.0.0.1:0",
                    "--sip",
                    &format!("127.0.0.1:{port}"),
                ])
                .args(["--rtp-ports", &format!("{first}-{}", first + RTP_PORTS - 1)])
                .arg("--config")
                .arg(file)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::null()),
            "none: this is the program under test",
        )?;
        let said = process::line_with(&mut process.stdout(), "http://", Duration::from_secs(20)).await?;
        let url = said.split_whitespace().find(|word| word.starts_with("http://"));
        Ok(Self {
            _process: process,
            url: url.unwrap_or_default().to_owned(),
            directory: directory.to_owned(),
        })
    }

    /// Which of our prompts lie in what came, by their sound.
    pub(crate) async fn heard(&self) -> Result<String, String> {
        let calls: Value = serde_json::from_slice(&self.get("").await?).map_err(|e| e.to_string())?;
        let [call] = calls["calls"].as_array().map_or(&[][..], Vec::as_slice) else {
            return Err(format!("expected one call to the phone, found {calls:#}"));
        };
        let id = call["id"].as_str().unwrap_or_default();
        let file = self.directory.join("heard.wav");
        let audio = self.get(&format!("/{id}/audio.wav")).await?;
        std::fs::write(&file, audio).map_err(|e| e.to_string())?;
        // Seconds of arithmetic: not where the other cases' calls go on.
        let found = tokio::task::spawn_blocking(move || sound::prompts_in(sound::read(&file)?));
        found.await.map_err(|e| e.to_string())?
    }

    async fn get(&self, path: &str) -> Result<Vec<u8>, String> {
        let answer = reqwest::get(format!("{}{path}", self.url)).await;
        let answer = answer.and_then(reqwest::Response::error_for_status);
        let body = answer.map_err(|e| e.to_string())?.bytes().await;
        Ok(body.map_err(|e| e.to_string())?.to_vec())
    }
}
