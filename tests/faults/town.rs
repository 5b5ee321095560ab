//! `ringproof serve` as a process of its own, with the simulated carrier behind a link.
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ringproof::model::Codec;
use ringproof::sim::{Callee, RegistrarRules, SimConfig, Simulator, scripted};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::link::{Link, Weather};
use super::platform::{Ends, Platform, SECRET};
use crate::line::{Http, text, voices};

/// Only ends a test that would hang.
const LOG_LINE_MAX: Duration = Duration::from_secs(60);

const PROGRAM: &str = env!("CARGO_BIN_EXE_ringproof");

/// New calls a second: fewer than the machine can do, so that what is measured is the fault.
pub(crate) const CALLS_PER_S: usize = 25;

pub(crate) fn is_long() -> bool {
    std::env::var("RINGPROOF_LONG").is_ok_and(|long| long == "1")
}

pub(crate) struct Setup<'a> {
    /// Of loopback, one for each town: all RTP ports are its own.
    pub(crate) host: &'a str,
    /// Before the link: `sip:…`.
    pub(crate) first_target: Option<&'a str>,
    /// Further lines of the trunk.
    pub(crate) trunk: &'a str,
    pub(crate) weather: Weather,
    /// Numbers, and what each callee does.
    pub(crate) callees: &'a [(String, Value)],
}

pub(crate) struct Town {
    pub(crate) link: Link,
    platform: Platform,
    numbers: Vec<String>,
    http: Http,
    log: mpsc::UnboundedReceiver<String>,
    child: Child,
    _carrier: Simulator,
    _scratch: tempfile::TempDir,
}

/// A call that was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) number: String,
    pub(crate) id: String,
    pub(crate) at: Instant,
}

impl Town {
    pub(crate) async fn found(setup: &Setup<'_>) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let carrier = carrier(setup);
        let link = Link::start(carrier.sip, setup.weather).await;
        let platform = Platform::start().await;
        let config = scratch.path().join("ringproof.toml");
        std::fs::write(&config, configuration(scratch.path(), setup, &link, &platform)).unwrap();
        let made = program(&config, &["keys", "create"])
            .args(["--name", "faults", "--scope", "verifications", "--json"])
            .output()
            .unwrap();
        let key: Value = serde_json::from_slice(&made.stdout).unwrap_or_else(|e| panic!("{e}: {made:?}"));
        let mut child = program(&config, &["serve", "--json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let said: Value =
            serde_json::from_str(&line).unwrap_or_else(|e| panic!("the server did not start: {e}: {line:?}"));
        let (say, log) = mpsc::unbounded_channel();
        let stderr = child.stderr.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = say.send(line);
            }
        });
        Self {
            http: Http::new(text(&said["http"]).to_owned(), text(&key["key"])),
            platform,
            numbers: setup.callees.iter().map(|(number, _)| number.clone()).collect(),
            link,
            log,
            child,
            _carrier: carrier,
            _scratch: scratch,
        }
    }

    /// Waits for the next line of the server's log that holds `words`.
    pub(crate) async fn logged(&mut self, words: &str) {
        let found = async {
            while let Some(line) = self.log.recv().await {
                if line.contains(words) {
                    return true;
                }
            }
            false
        };
        assert_eq!(
            tokio::time::timeout(LOG_LINE_MAX, found).await,
            Ok(true),
            "{words:?} was not logged"
        );
    }

    /// Asks for one call to each number, at an even pace.
    pub(crate) async fn call_all(&self) -> Vec<Asked> {
        let mut pace = tokio::time::interval(Duration::from_secs(1) / u32::try_from(CALLS_PER_S).unwrap());
        let mut asked = Vec::new();
        for number in &self.numbers {
            pace.tick().await;
            let at = Instant::now();
            let body = json!({"to": number, "callback_url": self.platform.url});
            let made = self.http.create(&body).await;
            asked.push(Asked {
                number: number.clone(),
                id: text(&made["id"]).to_owned(),
                at,
            });
        }
        asked
    }

    /// How each ended, once all have and the phones are quiet.
    pub(crate) async fn ended(&self, asked: &[Asked], at_most: Duration) -> BTreeMap<String, Ends> {
        let ends = self.platform.ended(asked.len(), at_most).await;
        let quiet = self
            .link
            .until(Duration::from_secs(40), |tally| {
                tally.calls().all(|(_, seen)| seen.is_over())
            })
            .await;
        if !quiet {
            let tally = self.link.tally();
            let open: Vec<_> = tally.calls().filter(|(_, seen)| !seen.is_over()).collect();
            let of_open = |call: &&Asked| open.iter().any(|(_, seen)| seen.number == call.number);
            let told: Vec<_> = asked.iter().filter(of_open).map(|call| &ends[&call.id]).collect();
            panic!("an answered call had no ACK or no BYE: {open:#?}\n{told:#?}");
        }
        ends
    }
}

impl Drop for Town {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn carrier(setup: &Setup<'_>) -> Simulator {
    let callee = |(number, steps): &(String, Value)| {
        let callee = json!({"about": "scripted by a test", "steps": steps});
        let callee: Callee = serde_json::from_value(callee).unwrap();
        scripted(number, callee).unwrap()
    };
    let host: IpAddr = setup.host.parse().unwrap();
    Simulator::start(SimConfig {
        sip: SocketAddr::new(host, 0),
        streams: Vec::new(),
        tls: None,
        rtp_ports: 20_000..=27_999,
        callees: setup.callees.iter().map(callee).collect(),
        voices: voices(),
        codecs: vec![Codec::Pcmu, Codec::Pcma],
        calls_max: 3000,
        registrar: RegistrarRules::default(),
    })
    .unwrap()
}

fn program(config: &Path, command: &[&str]) -> Command {
    let mut program = Command::new(PROGRAM);
    program.args(command).arg("--config").arg(config);
    program
}

fn configuration(directory: &Path, setup: &Setup<'_>, link: &Link, platform: &Platform) -> String {
    let Setup {
        host,
        first_target,
        trunk,
        ..
    } = setup;
    let first = first_target.map_or_else(String::new, |target| format!("\"{target}\", "));
    format!(
        r#"
[server]
listen = "127.0.0.1:0"
[store]
url = "sqlite://{directory}/faults.db"
[sip]
listen = ["udp:{host}:0"]
public_address = {{ "udp:{host}:0" = "{far}" }}
[media]
rtp_ports = "28000-32767"
[[trunk]]
name = "carrier"
targets = [{first}"sip:{near}"]
caller_id = {{ default = "+18005550199" }}
cps = 100.0
max_calls = 2000
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
ring_s = 20
no_18x_s = 60
ring_hard_s = 90
wait_key_s = 3
[webhook]
secret = "{SECRET}"
allow_private = ["127.0.0.0/8"]
[telemetry]
log = "warn,ringproof::dialer::health=info"
"#,
        directory = directory.display(),
        far = link.far,
        near = link.near,
        hooks = platform.url,
    )
}
