//! tshark listens to the whole run and reads it again at the end: not one message may carry a malformed mark.
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

pub struct Capture {
    child: Child,
    file: PathBuf,
}

impl Capture {
    pub async fn start(directory: &Path) -> Result<Self, String> {
        let file = directory.join("run.pcap");
        let mut child = Command::new("tshark")
            .args(["-i", "lo", "-f", "udp", "-q", "-w"])
            .arg(&file)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| format!("tshark (Debian package tshark): {e}"))?;
        let stderr = child.stderr.take().ok_or("no standard error")?;
        let mut lines = BufReader::new(stderr).lines();
        let mut told = String::new();
        loop {
            match tokio::time::timeout(Duration::from_secs(20), lines.next_line()).await {
                Ok(Ok(Some(line))) if line.contains("Capturing on") => break,
                Ok(Ok(Some(line))) => told.push_str(&line),
                _ => return Err(format!("tshark does not capture: {told}")),
            }
        }
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { child, file })
    }

    /// Ends the capture and judges every packet of it.
    pub async fn finish(mut self) -> Result<String, String> {
        let pid = self.child.id().ok_or("tshark ended early")?;
        // SIGINT makes tshark write what it still holds.
        Command::new("kill")
            .args(["-INT", &pid.to_string()])
            .status()
            .await
            .map_err(|e| e.to_string())?;
        self.child.wait().await.map_err(|e| e.to_string())?;
        let sip = self.count("sip").await?;
        let rtp = self.count("rtp").await?;
        let ours = "sip.User-Agent contains \"Ringproof\" or sip.Server contains \"Ringproof\" or rtp";
        let bad = self
            .list(&format!(
                "({ours}) and (_ws.malformed or sip.unparsable or sdp.invalid_line_equal or rtp.version != 2)"
            ))
            .await?;
        if sip < 100 || rtp < 1000 {
            return Err(format!(
                "the capture is too small to prove anything: {sip} SIP, {rtp} RTP"
            ));
        }
        if bad.is_empty() {
            Ok(format!(
                "{sip} SIP messages and {rtp} RTP packets, none malformed"
            ))
        } else {
            Err(format!("malformed:\n{}", bad.join("\n")))
        }
    }

    async fn count(&self, filter: &str) -> Result<usize, String> {
        Ok(self.list(filter).await?.len())
    }

    async fn list(&self, filter: &str) -> Result<Vec<String>, String> {
        let output = Command::new("tshark")
            .arg("-r")
            .arg(&self.file)
            .args([
                "-o",
                "rtp.heuristic_rtp:TRUE",
                "--enable-heuristic",
                "rtp_udp",
                "-Y",
                filter,
            ])
            .args(["-T", "fields", "-e", "frame.number", "-e", "_ws.col.Info"])
            .output()
            .await
            .map_err(|e| e.to_string())?;
        if !output.status.success() {
            return Err(format!(
                "tshark {filter}: {}",
                String::from_utf8_lossy(&output.stderr)
            ));
        }
        Ok(String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(str::to_owned)
            .collect())
    }
}
