//! `ringproof serve` as a process of its own, over one store for as many lives as a test wants.
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::mpsc;

use crate::hooks::{Hooks, SECRET};
use crate::line::{Carrier, Http, text, voices};
use crate::served::{Served, program};

/// Only ends a test that would hang.
const LOG_LINE_MAX: Duration = Duration::from_secs(60);

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
cps = 1000.0
{trunk}
[policy]
countries = ["US"]
number_validation = "shape"
per_number = {{ per_hour = 0, per_day = 0, again_after_s = 0 }}
per_user_per_hour = 0
per_ip_per_hour = 0
per_prefix_per_hour = 0
refuse_when_late = false
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

    /// Another text where this one stands in the configuration file.
    pub(super) fn rewrite(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(&self.config).unwrap();
        assert!(text.contains(from), "{from} not in\n{text}");
        std::fs::write(&self.config, text.replace(from, to)).unwrap();
    }

    pub(super) fn serve(&self) -> Server {
        self.started(&mut program(&self.config, &["serve", "--json"]))
    }

    /// As [`Self::serve`], where it may open no more than `files`.
    pub(super) fn serve_with_files(&self, files: u32) -> Server {
        let serve = program(&self.config, &["serve", "--json"]);
        let mut limited = Command::new("sh");
        limited
            .args(["-c", &format!("ulimit -n {files}; exec \"$@\""), "sh"])
            .arg(serve.get_program())
            .args(serve.get_args());
        self.started(&mut limited)
    }

    /// As [`Self::serve`], and what it logs.
    pub(super) fn serve_heard(&self) -> (Server, Log) {
        let mut serve = program(&self.config, &["serve", "--json"]);
        serve
            .env("RINGPROOF__TELEMETRY__LOG", "info")
            .stderr(Stdio::piped());
        let mut server = self.started(&mut serve);
        let (say, lines) = mpsc::unbounded_channel();
        let stderr = server.served.child.stderr.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = say.send(line);
            }
        });
        (server, Log(lines))
    }

    fn started(&self, serve: &mut Command) -> Server {
        let served = Served::start(serve);
        let http = Http::new(served.http().to_owned(), &self.key);
        Server { served, http }
    }
}

fn text_of(value: &serde_json::Value) -> String {
    text(value).to_owned()
}

/// What a server logs, line by line.
pub(super) struct Log(mpsc::UnboundedReceiver<String>);

impl Log {
    /// All lines up to the first that holds `text`.
    pub(super) async fn until(&mut self, text: &str) -> String {
        let mut told = String::new();
        let found = async {
            while let Some(line) = self.0.recv().await {
                told += &format!("{line}\n");
                if line.contains(text) {
                    return true;
                }
            }
            false
        };
        let found = tokio::time::timeout(LOG_LINE_MAX, found).await;
        assert_eq!(found, Ok(true), "{text:?} was not logged:\n{told}");
        told
    }
}

/// One life of the server. Dropping it kills it.
pub(super) struct Server {
    served: Served,
    pub(super) http: Http,
}

impl Server {
    /// SIGKILL: nothing of it runs any more, and nothing is said to anybody.
    pub(super) fn kill(mut self) {
        self.served.child.kill().unwrap();
        self.served.child.wait().unwrap();
    }

    /// Where it listens for SIP over UDP.
    pub(super) fn sip(&self) -> SocketAddr {
        self.served.sip("udp")
    }

    /// SIGHUP: it reads its configuration again.
    pub(super) fn ask_to_reload(&self) {
        kill_process(Pid::from_child(&self.served.child), Signal::HUP).unwrap();
    }

    /// SIGTERM; the process goes on until it is done.
    pub(super) fn ask_to_stop(&self) {
        let pid = Pid::from_child(&self.served.child);
        kill_process(pid, Signal::TERM).unwrap();
    }

    /// What it ended with.
    pub(super) async fn exit(mut self) -> std::process::ExitStatus {
        let ended = Command::new("true").spawn().unwrap();
        let mut child = std::mem::replace(&mut self.served.child, ended);
        tokio::task::spawn_blocking(move || child.wait())
            .await
            .unwrap()
            .unwrap()
    }
}
