//! RTP in the flight recorder: tshark and our own reader agree about it, and what must not be there is not.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser;
use ringproof::cli::capture::{CaptureCommand, ShowExit, run};
use ringproof::model::Codec;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::house::House;
use super::line::text;

/// Anything that an RTP header has before its payload.
const HEADER: usize = 12;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: CaptureCommand,
}

/// A call from its POST to its capture file.
struct Recorded {
    house: House,
    /// After the last report.
    verification: Value,
    file: PathBuf,
    _scratch: tempfile::TempDir,
}

impl Recorded {
    async fn of(capture: &str, body: &Value) -> Self {
        let house = House::start_with(&format!("[capture]\n{capture}")).await;
        let created = house.http.create(body).await;
        let id = text(&created["id"]).to_owned();
        if created["display_code"].is_string() {
            let code = json!({"code": created["display_code"]});
            house.carrier.script(text(&body["to"]), &code).await;
        }
        // The last report is written when the tape is in.
        let verification = house
            .http
            .until(&id, "reported", |view| {
                view["attempts"][0]["packets_sent"]
                    .as_u64()
                    .is_some_and(|sent| sent > 0)
            })
            .await;
        house.carrier.wait(text(&body["to"]), "ended").await;
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("call.pcap");
        let path = format!("/v1/verifications/{id}/capture.pcap");
        std::fs::write(&file, house.http.bytes(&path).await).unwrap();
        Self {
            house,
            verification,
            file,
            _scratch: scratch,
        }
    }

    /// As `ringproof capture show --json` tells it.
    fn shown(&self) -> Value {
        let arguments = ["capture", "show", "--json", self.file.to_str().unwrap()];
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let exit = run(&Cli::parse_from(arguments).command, &mut out, &mut err);
        assert_eq!(exit, ShowExit::Read, "{}", String::from_utf8_lossy(&err));
        serde_json::from_slice(&out).unwrap()
    }

    fn tshark(&self, arguments: &[&str]) -> String {
        tshark(&self.file, self.house.carrier.sip.port(), arguments)
    }

    /// Payloads of RTP, with the payload type before each.
    fn payloads(&self) -> Vec<Vec<u8>> {
        let fields = ["-Y", "rtp", "-T", "fields", "-e", "udp.payload"];
        let lines = self.tshark(&fields);
        let octets = |line: &str| -> Vec<u8> {
            let pairs = line.as_bytes().chunks(2);
            pairs
                .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
                .collect()
        };
        lines.lines().map(|line| octets(&line.replace(':', ""))).collect()
    }
}

fn tshark(file: &Path, sip: u16, arguments: &[&str]) -> String {
    let mut tshark = Command::new("tshark");
    // Twice over the file: the SDP announces which datagrams are RTP.
    tshark
        .args(["-2", "-d", &format!("udp.port=={sip},sip"), "-r"])
        .arg(file);
    let output = tshark.args(arguments).output().expect("tshark is installed");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// SSRC → packets, lost, mean and largest jitter, as `-z rtp,streams` prints them.
fn streams(table: &str) -> Vec<(String, [f64; 4])> {
    let rows = table.lines().filter(|line| line.contains(" 0x"));
    rows.map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.iter().position(|word| word.starts_with("0x")).unwrap();
        // Packets, lost, (percent), three of delta, three of jitter; the payload before may be several words.
        let percent = words.iter().position(|word| word.starts_with('(')).unwrap();
        let number = |place: usize| words[place].parse::<f64>().unwrap();
        let figures = [
            number(percent - 2),
            number(percent - 1),
            number(percent + 5),
            number(percent + 6),
        ];
        (words[at].trim_start_matches("0x").to_lowercase(), figures)
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tshark_and_our_reader_agree_about_a_recorded_call() {
    let call = Recorded::of("rtp = \"audio\"", &json!({"to": "+15005550001"})).await;
    let bad = call.tshark(&["-Y", "_ws.malformed or _ws.expert.severity == error"]);
    assert_eq!(bad, "", "malformed packets");
    let told = streams(&call.tshark(&["-q", "-z", "rtp,streams"]));
    assert_eq!(told.len(), 2, "{told:?}");
    let report = call.shown();
    let ours = report["calls"][0]["streams"].as_array().unwrap();
    assert_eq!(ours.len(), 2, "{report:#}");
    for (ssrc, [packets, lost, mean, largest]) in told {
        let stream = ours
            .iter()
            .find(|stream| stream["ssrc"] == ssrc.as_str())
            .unwrap();
        let figure = |name: &str| stream[name].as_f64().unwrap();
        // tshark counts each of the end packets of a key, and their repeated numbers as losses below zero.
        let events = figure("event_packets");
        assert!(
            (figure("packets") - packets).abs() <= events,
            "{stream:#} {packets}"
        );
        assert!((figure("lost") - lost).abs() <= events, "{stream:#} {lost}");
        if events == 0.0 {
            assert!(
                (figure("jitter_mean_ms") - mean).abs() < 0.01,
                "{stream:#} {mean}"
            );
            assert!(
                (figure("jitter_max_ms") - largest).abs() < 0.01,
                "{stream:#} {largest}"
            );
        }
    }
    let key = &report["calls"][0]["keys"][0];
    assert_eq!(
        (&key["digit"], &key["transport"]),
        (&json!("#"), &json!("rfc4733")),
        "{report:#}"
    );
    let played = call.verification["attempts"][0]["prompts"].as_array().unwrap();
    assert!(played.len() > 1, "{played:?}");
    for clip in played {
        let known = call.house.voices[0].clip(text(&clip["clip"])).unwrap();
        assert_eq!(text(&clip["sha256"]), known.digest(Codec::Pcmu), "{clip}");
        assert!(clip["played_ms"].as_u64() <= clip["of_ms"].as_u64() && clip["of_ms"] == known.duration_ms);
    }
    // Our prompt is there, and of the callee nothing that could be heard.
    let sounds: Vec<&Value> = ours.iter().map(|stream| &stream["sound"]).collect();
    assert!(
        sounds.contains(&&json!("heard")) && sounds.contains(&&json!("silence")),
        "{sounds:?}"
    );
    call.house.stop().await;
}

fn digest(octets: &[u8]) -> String {
    let octets = Sha256::digest(octets);
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// The recordings are not asked: the digests of the report are those of the octets in the packets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_digest_of_a_whole_recording_is_that_of_the_payload_in_its_packets() {
    let call = Recorded::of("rtp = \"audio\"", &json!({"to": "+15005550001"})).await;
    // Audio of each source, packet after packet in PCMU.
    let mut sources: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    for rtp in call.payloads().iter().filter(|rtp| rtp[1] & 0x7f == 0) {
        let audio = sources.entry(rtp[8..HEADER].to_vec()).or_default();
        audio.extend_from_slice(&rtp[HEADER..]);
    }
    let played = call.verification["attempts"][0]["prompts"].as_array().unwrap();
    let (whole, part): (Vec<&Value>, Vec<&Value>) =
        played.iter().partition(|clip| clip["played_ms"] == clip["of_ms"]);
    assert!(whole.len() >= 2, "{played:?}");
    let left = |clip: &Value| {
        let len = usize::try_from(clip["of_ms"].as_u64().unwrap()).unwrap() * 8;
        // A recording begins with a packet.
        sources.values().any(|audio| {
            let starts = (0..audio.len()).step_by(160);
            starts
                .filter_map(|at| audio.get(at..at + len))
                .any(|octets| digest(octets) == text(&clip["sha256"]))
        })
    };
    for clip in whole {
        assert!(left(clip), "{clip} is in no packet");
    }
    for clip in part {
        assert!(!left(clip), "{clip} was cut short");
    }
    call.house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_alone_hold_no_sound() {
    let call = Recorded::of("rtp = \"headers\"", &json!({"to": "+15005550001"})).await;
    let report = call.shown();
    let ours = report["calls"][0]["streams"].as_array().unwrap();
    assert_eq!(ours.len(), 2);
    assert!(
        ours.iter().all(|stream| stream["sound"] == "silence"),
        "{ours:#?}"
    );
    assert!(
        ours.iter().all(|stream| stream["packets"].as_u64() > Some(100)),
        "{ours:#?}"
    );
    call.house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spoken_code_cannot_be_heard_in_the_record() {
    let body = json!({"to": "+15005550025", "method": "speak_code", "code": "481920"});
    let call = Recorded::of("rtp = \"audio\"\ncallee_audio = true", &body).await;
    let payloads = call.payloads();
    let voice = &call.house.voices[0];
    let known = |name: &str| {
        let audio = voice.clip(name).unwrap().audio(Codec::Pcmu);
        // In the middle of the word, at the beginning of a frame; the edges are silence.
        let middle = &audio[audio.len() / 320 * 160..];
        payloads
            .iter()
            .any(|rtp| rtp[HEADER..].windows(80).any(|w| w == &middle[..80]))
    };
    let played = call.verification["attempts"][0]["prompts"].as_array().unwrap();
    let hidden = played
        .iter()
        .filter(|clip| clip["clip"].is_null() && clip["sha256"].is_null());
    assert!(hidden.count() >= 12, "{played:?}");
    for digit in "481920".chars() {
        assert!(
            !known(&format!("digit-{digit}")),
            "{digit} is spoken in the record"
        );
    }
    assert!(known("brand-default"), "the rest is there");
    call.house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keys_of_a_code_are_not_in_the_record() {
    let body = json!({"to": "+15005550021", "method": "match_code"});
    let call = Recorded::of("rtp = \"audio\"\ncallee_audio = true", &body).await;
    let played = call.verification["attempts"][0]["prompts"].as_array().unwrap();
    assert!(played.iter().all(|clip| clip["clip"].is_string()), "{played:?}");
    let events = call.tshark(&["-Y", "rtpevent", "-T", "fields", "-e", "rtpevent.event_id"]);
    assert!(events.lines().count() > 10, "{events}");
    assert!(events.lines().all(|event| event == "255"), "{events}");
    let report = call.shown();
    assert_eq!(report["calls"][0]["keys"], json!([]), "{report:#}");
    call.house.stop().await;
}
