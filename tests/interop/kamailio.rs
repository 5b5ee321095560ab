//! Kamailio between us and the phones: an outbound proxy that asks for credentials and records its route, a dispatcher
//! before dead gateways, a fork to two phones. SIPp plays the phones behind it.
//!
//! Each case starts a Kamailio of its own by a file of `kamailio/`, which tells in lines what it does; they are counted.
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use super::cases::{self, AUTH, Common, Expected, RFC4733};
use super::process::{self, Lines, Process};
use super::server::{Server, Settings};
use super::sipp::{self, Setup, Sipp};

/// SIP ports of the proxies and of the phones behind them; the phones' RTP ports lie 1000 above.
pub(crate) const PORTS: RangeInclusive<u16> = 9000..=9499;
/// The phones of a case, by their place in the ports of SIPp: two a case, the first one at the beginning of `PORTS`.
const FIRST_PHONE: u16 = 200;
const PHONES_PER_CASE: u16 = 2;
/// Beside the port of the first phone.
const PROXY: u16 = 9;
const NOBODY: u16 = 8;
/// What the proxy writes before each line that counts.
const TELLS: &str = "interop: ";

pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// File of `kamailio/`.
    file: &'static str,
    /// Words that the file knows.
    defines: &'static [&'static str],
    /// Over which we speak to the proxy.
    transport: &'static str,
    /// Address of everything.
    host: &'static str,
    /// Lines for `[[trunk]]`.
    trunk: &'static str,
    /// Scenarios of the phones.
    phones: &'static [&'static str],
    status: &'static str,
    reason: &'static str,
    attempt: &'static [(&'static str, Expected)],
    /// What the proxy tells, and how often.
    told: &'static [(&'static str, usize)],
}

const ONE_PHONE: &[&str] = &["answers-behind-a-proxy"];
const SAYS_BYE: &[(&str, usize)] = &[
    ("INVITE goes on", 1),
    ("ACK along the route set", 1),
    ("BYE along the route set", 1),
    ("without a route", 0),
];

/// The phone presses `#`.
const fn approved(name: &'static str, file: &'static str) -> Case {
    Case {
        name,
        file,
        defines: &[],
        transport: "udp",
        host: "127.0.0.1",
        trunk: "",
        phones: ONE_PHONE,
        status: "approved",
        reason: "key_confirmed",
        attempt: RFC4733,
        told: SAYS_BYE,
    }
}

/// The proxy asks once, and lets us pass.
const fn with_account(
    name: &'static str,
    defines: &'static [&'static str],
    told: &'static [(&'static str, usize)],
) -> Case {
    Case {
        trunk: AUTH,
        defines,
        told,
        ..approved(name, "proxy.cfg")
    }
}

const BY_MD5: &[(&str, usize)] = &[
    ("asks for credentials", 1),
    ("credentials by MD5 are good", 1),
    ("INVITE goes on", 1),
    ("ACK along the route set", 1),
    ("BYE along the route set", 1),
    ("without a route", 0),
];
const BY_SHA_256: &[(&str, usize)] = &[
    ("asks for credentials", 1),
    ("credentials by SHA-256 are good", 1),
    ("INVITE goes on", 1),
    ("BYE along the route set", 1),
];

pub(crate) fn all() -> Vec<Case> {
    vec![
        with_account("kamailio-asks-with-407", &[], BY_MD5),
        with_account("kamailio-asks-with-401", &["ASKS_WITH_401"], BY_MD5),
        with_account("kamailio-asks-for-sha-256", &["SHA_256"], BY_SHA_256),
        Case {
            host: "[::1]",
            ..with_account("kamailio-over-ipv6", &[], BY_MD5)
        },
        Case {
            transport: "tcp",
            ..with_account("kamailio-over-tcp", &["OVER_TCP"], BY_MD5)
        },
        Case {
            transport: "tls",
            trunk: "auth = { username = \"lab\", password = \"open sesame\" }\n\
                    tls = { ca_file = \"kamailio/carrier.pem\" }\n\
                    tls_name = \"carrier.example\"",
            ..with_account("kamailio-over-tls", &["OVER_TLS"], BY_MD5)
        },
        Case {
            trunk: "auth = { username = \"lab\", password = \"close sesame\" }",
            phones: &[],
            status: "failed",
            reason: "trunk_auth",
            attempt: &[("sip_status", Expected::Number(407))],
            ..with_account(
                "kamailio-refuses-a-wrong-password",
                &[],
                &[
                    ("asks for credentials", 2),
                    ("are good", 0),
                    ("INVITE goes on", 0),
                ],
            )
        },
        Case {
            phones: &["hangs-up-behind-a-proxy"],
            status: "denied",
            reason: "hung_up",
            attempt: &[("hung_up_by", Expected::Text("callee"))],
            ..with_account("kamailio-passes-the-callees-bye", &[], BY_MD5)
        },
        Case {
            phones: &["is-congested", "answers-behind-a-proxy"],
            told: &[
                ("INVITE goes on", 1),
                ("a gateway is silent", 1),
                ("a gateway says 503", 1),
                ("ACK along the route set", 1),
                ("BYE along the route set", 1),
            ],
            ..approved("kamailio-passes-dead-gateways-by", "dispatcher.cfg")
        },
        Case {
            phones: &["answers-behind-a-proxy", "rings-behind-a-proxy-until-cancelled"],
            told: &[
                ("INVITE goes on", 1),
                ("a phone answers", 1),
                ("ACK along the route set", 1),
                ("BYE along the route set", 1),
                ("CANCEL from the caller", 0),
            ],
            ..approved("kamailio-forks-and-one-answers", "forks.cfg")
        },
        Case {
            phones: &["answers-behind-a-proxy", "answers-behind-a-proxy-when-cancelled"],
            told: &[
                ("INVITE goes on", 1),
                ("a phone answers", 2),
                ("ACK along the route set", 2),
                ("BYE along the route set", 2),
                ("CANCEL from the caller", 0),
            ],
            ..approved("kamailio-forks-and-both-answer", "forks.cfg")
        },
        Case {
            defines: &["REGISTERS"],
            trunk: "auth = { username = \"lab\", password = \"open sesame\" }\nregister = { expires_s = 60 }",
            told: &[
                ("asks for credentials", 1),
                ("a binding comes", 1),
                ("the caller is not bound", 0),
                ("INVITE by the Service-Route", 1),
                ("INVITE goes on", 1),
                ("BYE along the route set", 1),
                ("a binding goes", 1),
            ],
            ..approved("kamailio-is-the-registrar", "registrar.cfg")
        },
    ]
}

/// Where a proxy speaks TLS.
pub(crate) fn tls_ports() -> Vec<u16> {
    let cases = (0..).zip(all());
    cases
        .filter(|(_, case)| case.transport == "tls")
        .map(|(index, _)| proxy_port(index))
        .collect()
}

pub(crate) const fn place_of(index: u16) -> u16 {
    FIRST_PHONE + PHONES_PER_CASE * index
}

pub(crate) const fn proxy_port(index: u16) -> u16 {
    sipp::port_of(place_of(index)) + PROXY
}

pub(crate) async fn run(
    case: Case,
    index: u16,
    directory: PathBuf,
    common: Common,
) -> Result<String, String> {
    let place = place_of(index);
    let bare = case.host.trim_matches(['[', ']']);
    let mut phones = Vec::new();
    for (phone, scenario) in (0..).zip(case.phones) {
        phones.push(Sipp::start(&Setup {
            scenario,
            index: place + phone,
            directory: &directory.join(format!("phone-{}", phone + 1)),
            sounds: &common.sounds,
            press_after: common.press_after,
            transport: "udp",
            calls: None,
            host: bare,
        })?);
    }
    let at = |port: u16| format!("{}:{port}", case.host);
    let port = sipp::port_of(place);
    let mut proxy = Kamailio::start(&Proxy {
        file: case.file,
        defines: case.defines,
        words: &[
            ("@PROXY@", at(port + PROXY)),
            ("@NOBODY@", at(port + NOBODY)),
            ("@PHONE_1@", at(port)),
            ("@PHONE_2@", at(sipp::port_of(place + 1))),
        ],
        directory: &directory.join("kamailio"),
    })
    .await?;
    let settings = Settings {
        target: format!("{}:{};transport={}", case.host, proxy_port(index), case.transport),
        trunk: case.trunk,
        sip: format!("listen = [\"udp:{}:0\"]", case.host),
        ..Settings::default()
    };
    let mut server = Server::start(&directory, &settings).await?;
    let played = play(&case, &mut server, &mut phones).await;
    let log = server.log();
    server.stop().await?;
    let mut wrong = played.map_err(|why| format!("{why}\n{log}\n{}", proxy.said()))?;
    proxy.stop().await?;
    wrong.extend(proxy.differences(case.told));
    if wrong.is_empty() {
        return Ok(format!("{}/{}", case.status, case.reason));
    }
    Err(format!("{}\n{log}\n{}", wrong.join("\n"), proxy.said()))
}

/// The call, until the phones have ended and the verification is settled; what was not as expected.
async fn play(case: &Case, server: &mut Server, phones: &mut [Sipp]) -> Result<Vec<String>, String> {
    let created = server.verify("1001", &json!({})).await?;
    let id = created["id"]
        .as_str()
        .ok_or_else(|| format!("no id: {created}"))?;
    let webhook = server.webhook().await?;
    let mut wrong = Vec::new();
    let told = format!("{}/{}", webhook["data"]["status"], webhook["data"]["reason"]).replace('"', "");
    let expected = format!("{}/{}", case.status, case.reason);
    if told != expected || webhook["type"] != format!("verification.{}", case.status) {
        wrong.push(format!(
            "expected {expected}, found {told} of {}",
            webhook["type"]
        ));
    }
    for phone in phones {
        if let Err(words) = phone.finish().await {
            wrong.push(words);
        }
    }
    let verification = server.settled(id).await?;
    wrong.extend(cases::differences(case.attempt, &verification));
    let attempts = verification["attempts"].as_array().map_or(0, Vec::len);
    if attempts != 1 {
        wrong.push(format!("expected one attempt, found {attempts}"));
    }
    if !wrong.is_empty() {
        wrong.push(format!("{verification:#}"));
    }
    Ok(wrong)
}

/// What a Kamailio is to run.
pub(crate) struct Proxy<'a> {
    /// File of `kamailio/`.
    pub(crate) file: &'a str,
    /// Words that the file knows.
    pub(crate) defines: &'a [&'a str],
    /// What stands in the files between two @, and what goes there.
    pub(crate) words: &'a [(&'a str, String)],
    pub(crate) directory: &'a Path,
}

pub(crate) struct Kamailio {
    process: Process,
    lines: Lines,
    told: Vec<String>,
}

impl Kamailio {
    pub(crate) async fn start(proxy: &Proxy<'_>) -> Result<Self, String> {
        let Proxy {
            file,
            defines,
            words,
            directory,
        } = *proxy;
        configure(words, directory)?;
        let mut process = Process::start(
            Command::new("kamailio")
                // In the foreground, its log on standard error, and memory for one call.
                .args(["-DD", "-E", "-m", "32", "-M", "4", "-f"])
                .arg(directory.join(file))
                .arg("-w")
                .arg(directory)
                .arg("-Y")
                .arg(directory)
                .args(defines.iter().flat_map(|define| ["-A", define]))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::piped()),
            "kamailio",
        )?;
        let mut lines = process.stderr();
        process::line_with(&mut lines, "interop: listens", Duration::from_secs(20)).await?;
        Ok(Self {
            process,
            lines,
            told: Vec::new(),
        })
    }

    /// SIGTERM, and its lines to the last.
    pub(crate) async fn stop(&mut self) -> Result<(), String> {
        self.process.signal("TERM")?;
        self.process.ended(Duration::from_secs(20)).await?;
        while let Some(line) = self.lines.recv().await {
            self.told.push(line);
        }
        Ok(())
    }

    pub(crate) fn said(&mut self) -> String {
        while let Ok(line) = self.lines.try_recv() {
            self.told.push(line);
        }
        format!("--- kamailio\n{}", self.told.join("\n"))
    }

    /// What it did not tell as often as expected.
    pub(crate) fn differences(&self, expected: &[(&str, usize)]) -> Vec<String> {
        expected
            .iter()
            .filter_map(|(words, times)| self.differs(words, *times))
            .collect()
    }

    fn differs(&self, words: &str, times: usize) -> Option<String> {
        let tells = |line: &&String| {
            line.split_once(TELLS)
                .is_some_and(|(_, told)| told.contains(words))
        };
        let found = self.told.iter().filter(tells).count();
        (found != times)
            .then(|| format!("expected kamailio to tell {words:?} {times} times, found {found} times"))
    }
}

/// Lays the files of `kamailio/` into `directory`, with what goes into their gaps.
fn configure(words: &[(&str, String)], directory: &Path) -> Result<(), String> {
    std::fs::create_dir_all(directory).map_err(|e| e.to_string())?;
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/kamailio");
    for entry in std::fs::read_dir(files).map_err(|e| e.to_string())?.flatten() {
        let mut text = std::fs::read_to_string(entry.path()).map_err(|e| e.to_string())?;
        for (word, there) in words {
            text = text.replace(word, there);
        }
        std::fs::write(directory.join(entry.file_name()), text).map_err(|e| e.to_string())?;
    }
    certificate(directory).map_err(|e| e.to_string())
}

/// For `carrier.example`, and its own authority.
fn certificate(directory: &Path) -> std::io::Result<()> {
    let made =
        rcgen::generate_simple_self_signed(["carrier.example".to_owned()]).map_err(std::io::Error::other)?;
    std::fs::write(directory.join("carrier.pem"), made.cert.pem())?;
    std::fs::write(directory.join("carrier.key"), made.signing_key.serialize_pem())
}
