//! `ringproof serve` as a process of its own, over one store for as many lives as a test wants.
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::hooks::{Hooks, SECRET};
use crate::line::{Carrier, Http, text, voices};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ringproof");

/// What outlives the server: store, carrier, receiver of webhooks.
pub(super) struct Town {
    pub(super) carrier: Carrier,
    pub(super) hooks: Hooks,
    key: String,
    config: PathBuf,
    _scratch: tempfile::TempDir,
}

impl Town {
    /// `trunk`: lines of the trunk, such as its limits.
    pub(super) async fn found(trunk: &str) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let carrier = Carrier::start(voices()).await;
        let hooks = Hooks::start().await;
        let config = scratch.path().join("ringproof.toml");
        let text = format!(
            r#"
[server]
listen = "127.0.0.1:0"
[store]
url = "sqlite://{directory}/crash.db"
[sip]
listen = ["udp:127.0.0.1:0"]
[media]
rtp_ports = "49000-50999"
[[trunk]]
name = "simulated-carrier"
targets = ["sip:{carrier}"]
caller_id = {{ default = "+18005550199" }}
cps = 50.0
{trunk}
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
wait_key_s = 1.5
[webhook]
secret = "{SECRET}"
allow_private = ["127.0.0.0/8"]
[telemetry]
log = "warn"
"#,
            directory = scratch.path().display(),
            carrier = carrier.sip,
            hooks = hooks.url,
        );
        std::fs::write(&config, text).unwrap();
        let made = program(&config, &["keys", "create"])
            .args(["--name", "crash", "--scope", "verifications", "--json"])
            .output()
            .unwrap();
        let key = match serde_json::from_slice::<serde_json::Value>(&made.stdout) {
            Ok(made) => text_of(&made["key"]),
            Err(error) => panic!("{error}: {made:?}"),
        };
        Self {
            carrier,
            hooks,
            key,
            config,
            _scratch: scratch,
        }
    }

    pub(super) fn serve(&self) -> Server {
        let mut child = program(&self.config, &["serve", "--json"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let said: serde_json::Value =
            serde_json::from_str(&line).unwrap_or_else(|e| panic!("the server did not start: {e}: {line:?}"));
        let http = Http::new(text_of(&said["http"]), &self.key);
        Server { child, http }
    }
}

fn text_of(value: &serde_json::Value) -> String {
    text(value).to_owned()
}

fn program(config: &Path, command: &[&str]) -> Command {
    let mut program = Command::new(PROGRAM);
    program.args(command).arg("--config").arg(config);
    program
}

/// One life of the server. Dropping it kills it.
pub(super) struct Server {
    child: Child,
    pub(super) http: Http,
}

impl Server {
    /// SIGKILL: nothing of it runs any more, and nothing is said to anybody.
    pub(super) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; the process goes on until it is done.
    pub(super) fn ask_to_stop(&self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).unwrap();
    }

    /// What it ended with.
    pub(super) async fn exit(mut self) -> std::process::ExitStatus {
        let mut child = std::mem::replace(&mut self.child, Command::new("true").spawn().unwrap());
        tokio::task::spawn_blocking(move || child.wait())
            .await
            .unwrap()
            .unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Dead already, or left over by a test that failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
