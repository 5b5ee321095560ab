//! The table: a scenario of the far end, and what the platform must be told.
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::digest;
use super::server::{self, Server, Settings};
use super::sipp::{self, Setup, Sipp};

/// A person takes a moment to press; the wait for a key after each play is 5 s.
pub(crate) const AFTER_NAMED: Duration = Duration::from_millis(1000);

pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Scenario file, named by what the far end does.
    scenario: &'static str,
    asked: Asked,
    status: &'static str,
    reason: &'static str,
    /// JSON pointer into the last attempt → value.
    attempt: &'static [(&'static str, Expected)],
    trunk: &'static str,
    profile: &'static str,
    /// Over which the trunk and the far end speak.
    transport: &'static str,
    /// The platform cancels once this stage is reached.
    cancel_at: Option<&'static str>,
}

/// How the call is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// `serve`, by HTTP; the outcome comes as a webhook.
    Server,
    /// `ringproof call`; the outcome is its exit code and what it prints.
    CommandLine,
    /// Not at all: the far end calls us, and hears the announcement.
    Nobody,
}

#[derive(Clone, Copy)]
pub(crate) enum Expected {
    Text(&'static str),
    Number(u64),
    AtLeast(u64),
    Holds(&'static str),
}
use Expected::{AtLeast, Holds, Number, Text};

const fn case(name: &'static str, status: &'static str, reason: &'static str) -> Case {
    Case {
        name,
        scenario: name,
        asked: Asked::Server,
        status,
        reason,
        attempt: &[],
        trunk: "",
        profile: "",
        transport: "udp",
        cancel_at: None,
    }
}

const fn approved(name: &'static str, attempt: &'static [(&'static str, Expected)]) -> Case {
    Case {
        attempt,
        ..case(name, "approved", "key_confirmed")
    }
}

/// The same far end, called from the terminal.
const fn by_call(
    name: &'static str,
    scenario: &'static str,
    attempt: &'static [(&'static str, Expected)],
) -> Case {
    Case {
        scenario,
        asked: Asked::CommandLine,
        ..approved(name, attempt)
    }
}

pub(crate) const RFC4733: &[(&str, Expected)] = &[
    ("key_transport", Text("rfc4733")),
    ("key", Text("#")),
    ("codec", Text("PCMU")),
    ("packets_sent", AtLeast(200)),
];

pub(crate) const AUTH: &str = "auth = { username = \"lab\", password = \"open sesame\" }";

/// The far end asks who we are.
const fn with_account(name: &'static str) -> Case {
    Case {
        trunk: AUTH,
        ..approved(name, RFC4733)
    }
}

/// Digests that SIPp cannot check, so that its log is.
const CHECKED_BY_LOG: [&str; 4] = [
    "challenges-with-407",
    "challenges-with-sha-256",
    "challenges-by-proxy-and-server",
    "gathers-two-challenges",
];

pub(crate) fn all() -> Vec<Case> {
    vec![
        approved("presses-pound-by-rfc4733", RFC4733),
        approved(
            "presses-pound-in-band",
            &[("key_transport", Text("inband")), ("flags", Holds("[]"))],
        ),
        approved(
            "presses-pound-in-band-despite-telephone-event",
            &[
                ("key_transport", Text("inband")),
                ("flags", Holds("dtmf_mismatch")),
            ],
        ),
        approved("presses-pound-by-info", &[("key_transport", Text("info"))]),
        Case {
            scenario: "presses-pound-by-rfc4733",
            transport: "tcp",
            ..approved("presses-pound-over-tcp", RFC4733)
        },
        approved("presses-wrong-key-then-pound", RFC4733),
        approved(
            "answers-with-pcma-only",
            &[("key_transport", Text("rfc4733")), ("codec", Text("PCMA"))],
        ),
        approved("answers-without-ringing", RFC4733),
        approved("sends-early-media-then-answers", RFC4733),
        approved("sends-reliable-provisional", RFC4733),
        approved("repeats-its-200", RFC4733),
        approved("loses-a-third-of-what-it-receives", RFC4733),
        approved("forks-to-two-phones", RFC4733),
        approved("re-invites-to-hold-and-back", RFC4733),
        approved("updates-the-session", RFC4733),
        approved("uses-compact-names-and-folding", RFC4733),
        with_account("challenges-with-401"),
        with_account("challenges-with-407"),
        Case {
            attempt: &[("sip_status", Number(486))],
            ..case("is-busy", "failed", "busy")
        },
        Case {
            attempt: &[("sip_status", Number(603))],
            ..case("declines", "denied", "declined")
        },
        Case {
            attempt: &[("flags", Holds("call_blocked"))],
            ..case("is-blocked-by-the-network", "failed", "rejected_by_network")
        },
        Case {
            attempt: &[("q850", Number(1))],
            ..case("is-not-allocated", "failed", "not_allocated")
        },
        case("is-unreachable", "failed", "unreachable"),
        case("stops-ringing-with-480", "expired", "no_answer"),
        case("refuses-the-codecs", "failed", "codec_mismatch"),
        case("is-congested", "failed", "congestion"),
        Case {
            profile: "ring_s = 2",
            ..case("rings-until-cancelled", "expired", "no_answer")
        },
        Case {
            cancel_at: Some("ringing"),
            ..case("answers-when-cancelled", "canceled", "by_client")
        },
        Case {
            attempt: &[("hung_up_by", Text("callee"))],
            ..case("hangs-up-mid-prompt", "denied", "hung_up")
        },
        Case {
            profile: "plays = 1",
            ..case("presses-nothing", "expired", "no_input")
        },
        // The table began with what a carrier does every day; these it does sometimes.
        approved("sends-two-reliable-provisionals", RFC4733),
        approved("updates-before-the-answer", RFC4733),
        approved("answers-again-with-other-sdp", &[("codec", Text("PCMA"))]),
        approved("refreshes-its-session", RFC4733),
        Case {
            profile: "plays = 1\nwait_key_s = 60",
            attempt: &[("hung_up_by", Text("network"))],
            ..case("lets-its-session-expire", "failed", "trunk_down")
        },
        approved("finds-the-interval-too-small", RFC4733),
        approved("answers-491-then-accepts", RFC4733),
        approved("re-invites-without-sdp", RFC4733),
        approved("holds-the-old-way", RFC4733),
        approved("drops-telephone-event", &[("key_transport", Text("inband"))]),
        approved("offers-srtp-only", RFC4733),
        approved("says-bye-with-a-wrong-tag", RFC4733),
        approved("answers-the-bye-late", RFC4733),
        approved(
            "is-forwarded",
            &[
                ("flags", Holds("forwarded")),
                ("forwarded", Holds("\"by\":\"history_info\"")),
                ("answered_as", Text("+49•••••••••78")),
            ],
        ),
        approved("redirects-within-the-trunk", RFC4733),
        Case {
            attempt: &[("sip_status", Number(302))],
            ..case("redirects-elsewhere", "failed", "rejected_by_network")
        },
        with_account("challenges-by-proxy-and-server"),
        with_account("gathers-two-challenges"),
        with_account("calls-its-nonce-stale"),
        with_account("challenges-with-sha-256"),
        with_account("challenges-with-auth-int"),
        with_account("gives-the-next-nonce"),
        Case {
            attempt: &[("reason_text", Text("305 Incompatible media format"))],
            ..case("explains-its-refusal", "failed", "codec_mismatch")
        },
        case("answers-with-port-0", "failed", "codec_mismatch"),
        Case {
            attempt: &[("hung_up_by", Text("callee"))],
            ..case("repeats-its-bye", "denied", "hung_up")
        },
        Case {
            profile: "ring_s = 2",
            ..case("answers-on-another-leg-after-487", "expired", "no_answer")
        },
        by_call("call-to-rfc4733", "presses-pound-by-rfc4733", RFC4733),
        by_call(
            "call-to-in-band",
            "presses-pound-in-band",
            &[("key_transport", Text("inband"))],
        ),
        by_call(
            "call-to-info",
            "presses-pound-by-info",
            &[("key_transport", Text("info"))],
        ),
        Case {
            asked: Asked::Nobody,
            ..case("calls-back", "", "")
        },
    ]
}

/// What all cases share.
#[derive(Clone)]
pub(crate) struct Common {
    pub(crate) sounds: Vec<PathBuf>,
    pub(crate) press_after: Duration,
}

impl Common {
    pub(crate) async fn new(work: &Path) -> Result<Self, String> {
        Ok(Self {
            sounds: sipp::audio_captures(work).await?,
            press_after: server::named_after("en-US").await? + AFTER_NAMED,
        })
    }
}

pub(crate) async fn run(
    case: Case,
    index: u16,
    directory: PathBuf,
    common: Common,
) -> Result<String, String> {
    let sipp = directory.join("sipp");
    let setup = Setup {
        scenario: case.scenario,
        transport: case.transport,
        index,
        directory: &sipp,
        sounds: &common.sounds,
        press_after: common.press_after,
        calls: None,
        host: "127.0.0.1",
    };
    let settings = Settings {
        target: format!("127.0.0.1:{};transport={}", sipp::port_of(index), case.transport),
        trunk: case.trunk,
        profile: case.profile,
        sip: String::new(),
        rtp_ports: "",
    };
    match case.asked {
        Asked::Server => by_server(&case, &directory, &settings, Sipp::start(&setup)?).await,
        Asked::CommandLine => by_command_line(&case, &directory, &settings, Sipp::start(&setup)?).await,
        Asked::Nobody => by_nobody(&directory, settings, setup).await,
    }
}

/// The far end calls the number that it was called from.
async fn by_nobody(directory: &Path, mut settings: Settings, setup: Setup<'_>) -> Result<String, String> {
    "listen = [\"udp:127.0.0.1:0\"]\ninbound = \"announce\"".clone_into(&mut settings.sip);
    let server = Server::start(directory, &settings).await?;
    let mut peer = Sipp::start(&Setup {
        calls: Some(&server.sip),
        ..setup
    })?;
    let played = peer.finish().await;
    let log = server.log();
    server.stop().await?;
    played.map_err(|words| format!("{words}\n{log}"))?;
    match log.lines().find(|line| line.contains("somebody called back")) {
        Some(line) if line.contains("announced") => Ok("announced".to_owned()),
        line => Err(format!(
            "expected a line that the sentence was said, found {line:?}\n{log}"
        )),
    }
}

async fn by_command_line(
    case: &Case,
    directory: &Path,
    settings: &Settings,
    mut peer: Sipp,
) -> Result<String, String> {
    let (code, verification, said) = server::call(directory, settings, "1001").await?;
    let told = format!("{}/{}", verification["status"], verification["reason"]).replace('"', "");
    let mut wrong = Vec::new();
    if told != format!("{}/{}", case.status, case.reason) || code != Some(0) {
        wrong.push(format!(
            "expected {}/{} and exit code 0, found {told} and {code:?}",
            case.status, case.reason
        ));
    }
    if let Err(words) = peer.finish().await {
        wrong.push(words);
    }
    wrong.extend(differences(case.attempt, &verification));
    if wrong.is_empty() {
        return Ok(told);
    }
    Err(format!("{}\n{verification:#}\n{said}", wrong.join("\n")))
}

async fn by_server(
    case: &Case,
    directory: &Path,
    settings: &Settings,
    mut peer: Sipp,
) -> Result<String, String> {
    let mut server = Server::start(directory, settings).await?;
    let created = server.verify("1001", &json!({})).await?;
    let id = created["id"]
        .as_str()
        .ok_or_else(|| format!("no id: {created}"))?
        .to_owned();
    if let Some(stage) = case.cancel_at {
        server.wait_for_stage(&id, stage).await?;
        server.cancel(&id).await?;
    }
    let webhook = server.webhook().await?;
    let told = format!("{}/{}", webhook["data"]["status"], webhook["data"]["reason"]).replace('"', "");
    let mut wrong = Vec::new();
    if webhook["type"] != format!("verification.{}", case.status) {
        wrong.push(format!("type is {}", webhook["type"]));
    }
    if told != format!("{}/{}", case.status, case.reason) {
        wrong.push(format!("expected {}/{}, found {told}", case.status, case.reason));
    }
    // The far end has its own opinion of the dialog: ACK, BYE, CANCEL as the scenario expects them.
    if let Err(words) = peer.finish().await {
        wrong.push(words);
    }
    if CHECKED_BY_LOG.contains(&case.name)
        && let Err(why) = digest::check(&peer.logged(), "lab", "open sesame")
    {
        wrong.push(why);
    }
    let log = server.log();
    let verification = server.settled(&id).await?;
    server.stop().await?;
    wrong.extend(differences(case.attempt, &verification));
    if wrong.is_empty() {
        return Ok(told);
    }
    Err(format!("{}\n{verification:#}\n{log}", wrong.join("\n")))
}

/// What is not as expected in the last attempt.
pub(crate) fn differences(expected: &[(&str, Expected)], verification: &Value) -> Vec<String> {
    let attempts = verification["attempts"].as_array();
    let attempt = attempts.and_then(|a| a.last()).cloned().unwrap_or_default();
    expected
        .iter()
        .filter_map(|(key, expected)| differs(&attempt, key, *expected))
        .collect()
}

fn differs(attempt: &Value, key: &str, expected: Expected) -> Option<String> {
    let found = &attempt[key];
    let fits = match expected {
        Text(text) => found == text,
        Number(number) => found.as_u64() == Some(number),
        AtLeast(number) => found.as_u64().is_some_and(|n| n >= number),
        Holds(text) => found.to_string().contains(text),
    };
    let wanted = match expected {
        Text(text) | Holds(text) => text.to_owned(),
        Number(number) | AtLeast(number) => number.to_string(),
    };
    (!fits).then(|| format!("attempt.{key}: expected {wanted}, found {found}"))
}
