//! On captures that peers of ours made: two SIPp processes and tshark, see `tests/vectors/captures/make`.
use std::time::Duration;

use clap::Parser;
use pcap_file::DataLink;
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};
use serde_json::Value;

use super::*;
use crate::model::Entropy;

const UDP: &[u8] = include_bytes!("../../../tests/vectors/captures/sipp-udp.pcap");
const TCP: &[u8] = include_bytes!("../../../tests/vectors/captures/sipp-tcp.pcapng");

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: CaptureCommand,
}

fn shown(file: &[u8], arguments: &[&str]) -> (ShowExit, String, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.pcap");
    std::fs::write(&path, file).unwrap();
    let path = path.to_str().unwrap();
    let cli = Cli::parse_from(["capture", "show"].iter().chain(arguments).chain([&path]));
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = run(&cli.command, &mut out, &mut err);
    let text = |octets: Vec<u8>| String::from_utf8(octets).unwrap().replace(path, "a.pcap");
    (exit, text(out), text(err))
}

fn json(file: &[u8]) -> Value {
    let (exit, out, err) = shown(file, &["--json"]);
    assert_eq!((exit, err.as_str()), (ShowExit::Read, ""));
    serde_json::from_str(&out).unwrap()
}

fn texts<'a>(values: &'a Value, field: &str) -> Vec<&'a str> {
    let values = values.as_array().unwrap().iter();
    values.map(|value| value[field].as_str().unwrap()).collect()
}

#[test]
fn a_call_of_peers_is_read_with_its_keys() {
    for (file, transport) in [(UDP, "UDP"), (TCP, "TCP")] {
        let report = json(file);
        let calls = report["calls"].as_array().unwrap();
        assert_eq!(calls.len(), 1, "{transport}");
        let call = &calls[0];
        let expected = [
            "INVITE",
            "180 Ringing (INVITE)",
            "200 OK (INVITE)",
            "ACK",
            "INFO",
            "200 OK (INFO)",
            "BYE",
            "200 OK (BYE)",
        ];
        assert_eq!(texts(&call["messages"], "summary"), expected);
        assert!(
            texts(&call["messages"], "transport")
                .iter()
                .all(|t| *t == transport)
        );
        let sdp = &call["messages"][0]["sdp"][0];
        assert_eq!(
            (&sdp["codecs"][0], &sdp["telephone_event"]),
            (&"PCMA/8".into(), &96.into())
        );
        assert_eq!(call["to"], "sip:1001@127.0.0.1:5070");
        // The events come as 101 though 96 was agreed, as the usual mistake is.
        let keys: Vec<String> = texts(&call["keys"], "digit")
            .iter()
            .zip(texts(&call["keys"], "transport"))
            .map(|(digit, transport)| format!("{digit} {transport}"))
            .collect();
        assert_eq!(keys, ["# rfc4733", "5 inband", "* info"]);
        assert_eq!(call["keys"][1]["mismatch"], true);
        let long = call["keys"][1]["duration_ms"].as_u64().unwrap();
        assert!((110..=130).contains(&long), "{long}");
        let audio = call["streams"]
            .as_array()
            .unwrap()
            .iter()
            .find(|s| s["codec"] == "PCMA")
            .unwrap();
        assert_eq!((&audio["packets"], &audio["lost"]), (&35.into(), &1.into()));
        let notes = [
            "keys of 127.0.0.1:6000 are tones, though events were agreed",
            "one-way: no RTP comes from 127.0.0.1:7000",
        ];
        assert_eq!(call["notes"], serde_json::json!(notes));
    }
}

/// tshark 4.0.17, `-z rtp,streams`, of the PCMA stream: lost, mean and largest jitter.
#[test]
fn loss_and_jitter_are_those_of_another_program() {
    for (file, lost, mean, largest) in [(UDP, 1, 2.657, 5.344), (TCP, 1, 2.538, 5.306)] {
        let report = json(file);
        let streams = report["calls"][0]["streams"].as_array().unwrap();
        let audio = streams.iter().find(|s| s["codec"] == "PCMA").unwrap();
        assert_eq!(audio["lost"], lost);
        let near = |field: &str, expected: f64| {
            let found = audio[field].as_f64().unwrap();
            assert!(
                (found - expected).abs() < 0.01,
                "{field}: {found}, expected {expected}"
            );
        };
        near("jitter_mean_ms", mean);
        near("jitter_max_ms", largest);
    }
}

#[test]
fn the_ladder_fits_a_terminal() {
    let (exit, out, err) = shown(UDP, &[]);
    assert_eq!((exit, err.as_str()), (ShowExit::Read, ""));
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/captures/sipp-udp.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(golden, &out).unwrap();
    }
    assert_eq!(
        out,
        std::fs::read_to_string(golden).unwrap(),
        "UPDATE_GOLDEN=1 writes it anew"
    );
    for line in out.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn a_damaged_file_shows_what_came_before_and_names_the_packet() {
    let (exit, out, err) = shown(&UDP[..UDP.len() - 1], &[]);
    assert_eq!(exit, ShowExit::Unreadable);
    assert_eq!(
        err,
        "error: a.pcap: packet 53: expected a whole record, the file ends within it\n"
    );
    assert!(out.contains("key      #"), "{out}");
    let (exit, out, err) = shown(b"RIFF, a sound and no capture", &[]);
    assert_eq!((exit, out.as_str()), (ShowExit::Unreadable, ""));
    assert_eq!(
        err,
        "error: a.pcap: expected a pcap or pcapng file, got a file that begins with 52 49 46 46\n"
    );
}

#[test]
fn what_holds_no_call_says_so() {
    let empty = PcapWriter::new(Vec::new()).unwrap().into_writer();
    let (exit, out, _) = shown(&empty, &[]);
    assert_eq!(exit, ShowExit::Read);
    assert!(
        out.contains("0 packets, 0 calls") && out.contains("No SIP call and no RTP"),
        "{out}"
    );
}

/// Media alone, as a tap at a media server catches it.
#[test]
fn rtp_without_sdp_is_shown_by_its_looks() {
    let header = PcapHeader {
        datalink: DataLink::RAW,
        ..PcapHeader::default()
    };
    let mut file = PcapWriter::with_header(Vec::new(), header).unwrap();
    for n in 0..50_u16 {
        let mut rtp = vec![0; 172];
        let header = crate::media::rtp::Header {
            payload_type: 0,
            marker: false,
            sequence: n,
            timestamp: u32::from(n) * 160,
            ssrc: 7,
        };
        header.write(&[0xff; 160], &mut rtp).unwrap();
        let mut packet = Vec::new();
        etherparse::PacketBuilder::ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64)
            .udp(4000, 5000)
            .write(&mut packet, &rtp)
            .unwrap();
        let at = Duration::from_millis(1000 + u64::from(n) * 20);
        let octets = u32::try_from(packet.len()).unwrap();
        file.write_packet(&PcapPacket::new(at, octets, &packet)).unwrap();
    }
    let report = json(&file.into_writer());
    let stream = &report["streams"][0];
    assert_eq!(
        (&stream["codec"], &stream["packets"]),
        (&"PCMU".into(), &50.into())
    );
    assert_eq!(stream["sound"], "silence");
    assert!(
        (stream["mos"].as_f64().unwrap() - 4.39).abs() < 0.03,
        "{}",
        stream["mos"]
    );
}

/// Whatever octets a file holds: an answer, and never a panic.
#[test]
fn mutated_captures_end_in_words() {
    let mut entropy = Entropy::from_number(17);
    let below = |entropy: &mut Entropy, limit: usize| entropy.below(limit as u64) as usize;
    let count = match std::env::var("RINGPROOF_LONG").as_deref() {
        Ok("1") => 2000,
        _ => 300,
    };
    for (n, file) in [UDP, TCP].into_iter().cycle().take(count).enumerate() {
        let mut mutated = file.to_vec();
        for _ in 0..=below(&mut entropy, 20) {
            let at = below(&mut entropy, mutated.len());
            match n % 3 {
                0 => mutated[at] = entropy.below(256) as u8,
                1 => mutated[at] ^= 1 << entropy.below(8),
                _ => {
                    let end = (at + below(&mut entropy, 64)).min(mutated.len());
                    let piece = mutated[at..end].to_vec();
                    let to = below(&mut entropy, mutated.len());
                    mutated.splice(to..to, piece);
                }
            }
        }
        if n % 5 == 0 {
            mutated.truncate(below(&mut entropy, mutated.len()));
        }
        let (mut text, mut program) = (Vec::new(), Vec::new());
        let told = show(&mutated, "a", false, &mut text);
        let again = show(&mutated, "a", true, &mut program);
        assert_eq!(told.is_ok(), again.is_ok());
        let is_terminal_safe = |octet: &u8| *octet == b'\n' || !octet.is_ascii_control();
        assert!(text.iter().all(is_terminal_safe));
    }
}
