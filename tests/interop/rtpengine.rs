//! rtpengine between us and a phone: SRTP towards us, in the suite that it is told to take, and the phone's audio in the
//! clear. Kamailio before it speaks TLS with us and passes the SDP through it; a simulated callee is the phone.
//!
//! Each case starts an rtpengine of its own, which forwards in user space, and asks it afterwards what it saw.
#[path = "rtpengine/control.rs"]
mod control;
#[path = "rtpengine/phone.rs"]
mod phone;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use self::phone::Phone;
use super::cases::{self, Expected};
use super::kamailio::{self, Kamailio, Proxy};
use super::process::{self, Lines, Process};
use super::server::{Server, Settings};
use super::{baresip, sipp};

/// Where rtpengine listens for its control protocol, above the port of the phone.
const CONTROL: u16 = 1001;
/// RTP ports of the rtpengines; each case has its own.
const ITS_RTP: u16 = 31_000;
const ITS_RTP_PORTS: u16 = 40;
/// The phone sends its reports as long as it waits for a repeated BYE; ours come with the call.
const REPORTS_MAX: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Its lines that are not worth keeping.
const OF_EACH_PACKET: [&str; 2] = ["Handling packet", "Forward to sink"];
/// Of a call of ten seconds and more, each way.
const PACKETS_MIN: u64 = 400;

pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Lines for `[[trunk]]`.
    trunk: &'static str,
    /// What rtpengine is told with the offer and with the answer.
    offer: &'static str,
    answer: &'static str,
    status: &'static str,
    reason: &'static str,
    attempt: &'static [(&'static str, Expected)],
    /// What rtpengine must say of our leg.
    protocol: &'static str,
    suite: Option<&'static str>,
}

/// Lines for `[[trunk]]`, and the certificate that `kamailio` makes.
macro_rules! over_tls {
    ($lines:literal) => {
        concat!(
            $lines,
            "\ntls = { ca_file = \"kamailio/carrier.pem\" }\ntls_name = \"carrier.example\""
        )
    };
}

const REQUIRE: &str = over_tls!("srtp = \"require\"");
const PREFER: &str = over_tls!("srtp = \"prefer\"");
const PREFER_AVP: &str = over_tls!("srtp = \"prefer\"\nsrtp_profile = \"avp\"");
const PREFER_AVP_MUX: &str = over_tls!("srtp = \"prefer\"\nsrtp_profile = \"avp\"\nrtcp_mux = true");

const fn confirmed(name: &'static str, trunk: &'static str, suite: &'static str) -> Case {
    Case {
        name,
        trunk,
        offer: "RTP/AVP",
        answer: "",
        status: "approved",
        reason: "key_confirmed",
        attempt: &[
            ("key_transport", Expected::Text("rfc4733")),
            ("key", Expected::Text("#")),
            ("flags", Expected::Holds("[]")),
        ],
        protocol: "RTP/SAVP",
        suite: Some(suite),
    }
}

const SHA1_80: &str = "AES_CM_128_HMAC_SHA1_80";
const SHA1_32: &str = "AES_CM_128_HMAC_SHA1_32";
const GCM: &str = "AEAD_AES_128_GCM";

pub(crate) fn all() -> Vec<Case> {
    vec![
        confirmed("rtpengine-takes-sha1-80", REQUIRE, SHA1_80),
        Case {
            offer: "RTP/AVP SDES-no-AES_CM_128_HMAC_SHA1_80 SDES-no-AEAD_AES_128_GCM",
            answer: "SDES-no-AES_CM_128_HMAC_SHA1_80 SDES-no-AEAD_AES_128_GCM",
            ..confirmed("rtpengine-takes-sha1-32", REQUIRE, SHA1_32)
        },
        // Without the padding of its key, as rtpengine writes it.
        Case {
            offer: "RTP/AVP SDES-no-AES_CM_128_HMAC_SHA1_80",
            answer: "SDES-no-AES_CM_128_HMAC_SHA1_80",
            ..confirmed("rtpengine-takes-gcm", REQUIRE, GCM)
        },
        Case {
            offer: "RTP/AVP SDES-no-AES_CM_128_HMAC_SHA1_80",
            answer: "SDES-no-AES_CM_128_HMAC_SHA1_80 SDES-pad SDES-lifetime",
            ..confirmed("rtpengine-takes-gcm-where-keys-are-preferred", PREFER, GCM)
        },
        Case {
            offer: "RTP/AVP rtcp-mux-demux",
            protocol: "RTP/AVP",
            ..confirmed(
                "rtpengine-takes-keys-in-rtp-avp-on-one-port",
                PREFER_AVP_MUX,
                SHA1_80,
            )
        },
        // Told of no profile, it leaves the keys to the phone, which knows none.
        Case {
            offer: "",
            protocol: "RTP/AVP",
            suite: None,
            ..confirmed("rtpengine-takes-no-keys-where-they-are-preferred", PREFER_AVP, "")
        },
        Case {
            answer: "RTP/AVP",
            status: "failed",
            reason: "codec_mismatch",
            attempt: &[
                ("flags", Expected::Holds("no_srtp_key")),
                ("packets_sent", Expected::Number(0)),
            ],
            protocol: "RTP/AVP",
            suite: None,
            ..confirmed("rtpengine-answers-in-the-clear-despite-savp", REQUIRE, "")
        },
    ]
}

/// Places after those of Kamailio's own cases.
fn place_of(index: u16) -> Result<(u16, u16), String> {
    let after = u16::try_from(kamailio::all().len()).map_err(|e| e.to_string())?;
    let place = after + index;
    Ok((
        sipp::port_of(kamailio::place_of(place)),
        kamailio::proxy_port(place),
    ))
}

/// Where the proxies speak TLS.
pub(crate) fn tls_ports() -> Vec<u16> {
    let cases = (0..).zip(all());
    cases
        .filter_map(|(index, _)| place_of(index).ok())
        .map(|(_, proxy)| proxy)
        .collect()
}

pub(crate) async fn run(case: Case, index: u16, directory: PathBuf) -> Result<String, String> {
    std::fs::create_dir_all(&directory).map_err(|e| e.to_string())?;
    let (phone_port, proxy_port) = place_of(index)?;
    let at = |port: u16| format!("127.0.0.1:{port}");
    let control = at(phone_port + CONTROL);
    let phone = Phone::start(phone_port, index, &directory).await?;
    let mut rtpengine = Rtpengine::start(&control, index, &directory).await?;
    let mut proxy = Kamailio::start(&Proxy {
        file: "rtpengine.cfg",
        defines: &["OVER_TLS", "LEADS_MEDIA"],
        words: &[
            ("@PROXY@", at(proxy_port)),
            ("@PHONE_1@", at(phone_port)),
            ("@RTPENGINE@", control),
            ("@OFFER@", case.offer.to_owned()),
            ("@ANSWER@", case.answer.to_owned()),
        ],
        directory: &directory.join("kamailio"),
    })
    .await?;
    let settings = Settings {
        target: format!("{};transport=tls", at(proxy_port)),
        trunk: case.trunk,
        // tshark sees the keys of none of these packets.
        rtp_ports: baresip::SEALED_RTP_PORTS,
        ..Settings::default()
    };
    let mut server = Server::start(&directory, &settings).await?;
    let played = play(&case, &mut server, &phone, &mut rtpengine).await;
    let log = server.log();
    server.stop().await?;
    let said = |rtpengine: &mut Rtpengine, proxy: &mut Kamailio, why: &str| {
        format!("{why}\n{log}\n{}\n{}", proxy.said(), rtpengine.said())
    };
    let (told, mut wrong) = played.map_err(|why| said(&mut rtpengine, &mut proxy, &why))?;
    proxy.stop().await?;
    wrong.extend(proxy.differences(&[
        ("rtpengine takes the offer", 1),
        ("INVITE goes on", 1),
        ("ACK along the route set", 1),
        ("BYE along the route set", 1),
        ("rtpengine ends the call", 1),
    ]));
    match wrong.is_empty() {
        true => Ok(told),
        false => Err(said(&mut rtpengine, &mut proxy, &wrong.join("\n"))),
    }
}

/// The call, from all three sides: what is worth telling, and what was not as expected.
async fn play(
    case: &Case,
    server: &mut Server,
    phone: &Phone,
    rtpengine: &mut Rtpengine,
) -> Result<(String, Vec<String>), String> {
    let created = server.verify("1001", &json!({})).await?;
    let id = created["id"]
        .as_str()
        .ok_or_else(|| format!("no id: {created}"))?;
    let webhook = server.webhook().await?;
    let mut told = format!("{}/{}", webhook["data"]["status"], webhook["data"]["reason"]).replace('"', "");
    let mut wrong = Vec::new();
    let expected = format!("{}/{}", case.status, case.reason);
    if told != expected {
        wrong.push(format!("expected {expected}, found {told}"));
    }
    let verification = server.settled(id).await?;
    wrong.extend(cases::differences(case.attempt, &verification));
    let attempt = &verification["attempts"][0];
    if attempt["srtp"].as_str() != case.suite {
        wrong.push(format!(
            "expected suite {:?}, found {}",
            case.suite, attempt["srtp"]
        ));
    }
    let legs = rtpengine
        .legs(attempt["call_id"].as_str().unwrap_or_default())
        .await?;
    wrong.extend(legs.differences(case));
    if case.status == "approved" {
        told = format!(
            "{told}, {}, the phone heard {}",
            case.suite.unwrap_or("in the clear"),
            phone.heard().await?
        );
        wrong.extend(legs.carried());
        wrong.extend(rtpengine.reports(&legs).await);
        let packets = attempt["packets_received"].as_u64().unwrap_or_default();
        let rejected = server.rejected(packets).await?;
        if rejected != 0 {
            wrong.push(format!("expected no packet without a key, found {rejected}"));
        }
    }
    wrong.extend(rtpengine.discarded());
    if !wrong.is_empty() {
        wrong.push(format!("{verification:#}"));
    }
    Ok((told, wrong))
}

struct Rtpengine {
    _process: Process,
    lines: Lines,
    told: Vec<String>,
    control: String,
}

impl Rtpengine {
    async fn start(control: &str, index: u16, directory: &Path) -> Result<Self, String> {
        let first = ITS_RTP + ITS_RTP_PORTS * index;
        let file = directory.join("rtpengine.conf");
        // No kernel module; a call that is over stays known for half a minute. Of SRTP only what goes wrong: it would
        // tell of each packet.
        let config = format!(
            "[rtpengine]\ntable = -1\ninterface = 127.0.0.1\nlisten-ng = {control}\n\
             port-min = {first}\nport-max = {last}\nnum-threads = 1\nmedia-num-threads = 1\n\
             delete-delay = 30\nforeground = true\nlog-stderr = true\n\
             log-level = 7\nlog-level-srtp = 4\n",
            last = first + ITS_RTP_PORTS - 1,
        );
        std::fs::write(&file, config).map_err(|e| e.to_string())?;
        let mut process = Process::start(
            Command::new("rtpengine")
                .arg(format!("--config-file={}", file.display()))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::piped()),
            "rtpengine-daemon",
        )?;
        let mut lines = process.stderr();
        process::line_with(&mut lines, "Startup complete", Duration::from_secs(20)).await?;
        Ok(Self {
            _process: process,
            lines,
            told: Vec::new(),
            control: control.to_owned(),
        })
    }

    async fn legs(&self, call_id: &str) -> Result<Legs, String> {
        let answer = control::query(&self.control, call_id).await?;
        let tags = answer["tags"].as_object().into_iter().flatten();
        let (ours, phones) = tags
            .map(|(_, leg)| leg["medias"][0].clone())
            .partition::<Vec<_>, _>(is_ours);
        match (<[Value; 1]>::try_from(ours), <[Value; 1]>::try_from(phones)) {
            (Ok([ours]), Ok([phones])) => Ok(Legs { ours, phones }),
            _ => Err(format!("expected our leg and the phone's, found {answer:#}")),
        }
    }

    /// Waits until each side has answered the other's sender report, by the time that both took: then RTCP has come in
    /// both directions, and what was sealed on the way was opened.
    async fn reports(&mut self, legs: &Legs) -> Vec<String> {
        let sides = [("the phone's reports", &legs.phones), ("ours", &legs.ours)];
        let mut missing: Vec<(&str, String)> = sides
            .into_iter()
            .map(|(whose, leg)| {
                let ssrc = leg["streams"][0]["SSRC"].as_u64().unwrap_or_default();
                (whose, format!("Calculated round-trip time for {ssrc:x} is "))
            })
            .collect();
        let looks = async {
            let mut every = tokio::time::interval(LOOK_EVERY);
            loop {
                every.tick().await;
                self.listen();
                missing.retain(|(_, words)| !self.told.iter().any(|line| line.contains(words)));
                if missing.is_empty() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(REPORTS_MAX, looks).await;
        let words = |(whose, words): (&str, String)| {
            format!("expected rtpengine to see an answer to {whose}: {words:?}")
        };
        missing.into_iter().map(words).collect()
    }

    /// What it found to be forged, sealed by another key, or repeated.
    fn discarded(&mut self) -> Vec<String> {
        self.listen();
        let lines = self.told.iter();
        lines
            .filter(|line| line.contains("Discarded invalid SRT"))
            .cloned()
            .collect()
    }

    fn listen(&mut self) {
        while let Ok(line) = self.lines.try_recv() {
            if !OF_EACH_PACKET.iter().any(|words| line.contains(words)) {
                self.told.push(line);
            }
        }
    }

    fn said(&mut self) -> String {
        self.listen();
        format!("--- rtpengine\n{}", self.told.join("\n"))
    }
}

/// What rtpengine says of both sides' audio.
struct Legs {
    ours: Value,
    phones: Value,
}

fn is_ours(leg: &Value) -> bool {
    let range = baresip::SEALED_RTP_PORTS.split_once('-');
    let port = |text: &str| text.parse::<u64>().unwrap_or_default();
    let found = leg["streams"][0]["endpoint"]["port"].as_u64();
    range.is_some_and(|(first, last)| found.is_some_and(|found| (port(first)..=port(last)).contains(&found)))
}

impl Legs {
    fn differences(&self, case: &Case) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.ours["protocol"] != case.protocol {
            wrong.push(format!(
                "expected our leg under {}, found {}",
                case.protocol, self.ours["protocol"]
            ));
        }
        // RTP, and RTCP beside it.
        for stream in self.ours["streams"].as_array().into_iter().flatten() {
            let suite = &stream["crypto suite"];
            if suite.as_str() != case.suite {
                wrong.push(format!(
                    "expected rtpengine to name suite {:?}, found {suite}: {stream}",
                    case.suite
                ));
            }
        }
        wrong
    }

    /// Whether audio and reports went both ways.
    fn carried(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for leg in [&self.ours, &self.phones] {
            let (rtp, rtcp) = (&leg["streams"][0]["stats"], &leg["streams"][1]["stats"]);
            if rtp["packets"].as_u64().is_none_or(|n| n < PACKETS_MIN) || rtcp["errors"] != 0 {
                wrong.push(format!(
                    "expected {PACKETS_MIN} packets and RTCP without errors, found {leg:#}"
                ));
            }
        }
        wrong
    }
}
