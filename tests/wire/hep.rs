//! `[telemetry] hep` as HOMER sees it: the packets are taken apart by their chunks, and tshark, which we did not write,
//! reads what was inside as it lay on the wire.
use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use tokio::net::UdpSocket;

use super::trace::{FROM, TO, configuration, trunk};

/// Chunk type → value, as the specification of HEP version 3 lays them out.
fn chunks(datagram: &[u8]) -> BTreeMap<u16, Vec<u8>> {
    let u16_at = |at: usize| u16::from_be_bytes([datagram[at], datagram[at + 1]]);
    assert_eq!(
        (&datagram[..4], usize::from(u16_at(4))),
        (&b"HEP3"[..], datagram.len())
    );
    let (mut chunks, mut at) = (BTreeMap::new(), 6);
    while at < datagram.len() {
        let (vendor, kind, length) = (u16_at(at), u16_at(at + 2), usize::from(u16_at(at + 4)));
        assert_eq!(vendor, 0);
        let value = datagram[at + 6..at + length].to_vec();
        assert!(chunks.insert(kind, value).is_none(), "chunk {kind} twice");
        at += length;
    }
    chunks
}

fn number(value: &[u8]) -> u64 {
    value
        .iter()
        .fold(0, |number, octet| number << 8 | u64::from(*octet))
}

/// A capture file of what was inside, each between the addresses of its packet (LINKTYPE_RAW, RFC 791, RFC 768).
fn capture_file(path: &Path, packets: &[BTreeMap<u16, Vec<u8>>]) {
    let mut file = std::fs::File::create(path).unwrap();
    let mut write = |octets: &[u8]| file.write_all(octets).unwrap();
    write(&0xa1b2_c3d4_u32.to_le_bytes());
    write(&[2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 101, 0, 0, 0]);
    for packet in packets {
        let udp_length = u16::try_from(packet[&15].len() + 8).unwrap();
        let ip_length = udp_length + 20;
        for time in [9, 10] {
            write(&u32::try_from(number(&packet[&time])).unwrap().to_le_bytes());
        }
        write(&u32::from(ip_length).to_le_bytes());
        write(&u32::from(ip_length).to_le_bytes());
        write(&[0x45, 0]);
        write(&ip_length.to_be_bytes());
        write(&[0, 0, 0, 0, 64, packet[&2][0], 0, 0]);
        for kind in [3, 4, 7, 8] {
            write(&packet[&kind]);
        }
        write(&udp_length.to_be_bytes());
        write(&[0, 0]);
        write(&packet[&15]);
    }
}

/// One line for each packet, its fields by tabs.
fn decoded(path: &Path, sip_port: u16) -> Vec<Vec<String>> {
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(path);
    tshark.args(["-d", &format!("udp.port=={sip_port},sip"), "-T", "fields"]);
    for field in ["udp.srcport", "sip.Call-ID", "_ws.col.Info", "_ws.expert.message"] {
        tshark.args(["-e", field]);
    }
    let output = tshark
        .output()
        .unwrap_or_else(|e| panic!("tshark (Debian package tshark): {e}"));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| line.split('\t').map(str::to_owned).collect())
        .collect()
}

/// Places one call over a trunk that challenges and declines; gives what the capture server got.
async fn captured(scratch: &Path, keys: &str) -> (Vec<Vec<u8>>, SocketAddr) {
    let homer = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    homer.set_nonblocking(true).unwrap();
    let carrier = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let carrier_address = carrier.local_addr().unwrap();
    let telemetry = format!(
        "[telemetry]\nhep = \"udp:{}\"\nhep_id = 2001\nhep_password = \"homer\"\n{keys}\n",
        homer.local_addr().unwrap()
    );
    // All addresses, as operators listen; tests beside this one have the other ports.
    let text = configuration(scratch, carrier_address)
        .replace("udp:127.0.0.1:0", "udp:0.0.0.0:0")
        .replace("44000-44999", "45000-45499")
        + &telemetry;
    let config = scratch.join("ringproof.toml");
    std::fs::write(&config, text).unwrap();
    let (tell, _requests) = tokio::sync::mpsc::unbounded_channel();
    let trunk = tokio::spawn(trunk(carrier, tell));
    let mut call = Command::new(env!("CARGO_BIN_EXE_ringproof"));
    call.args(["call", &format!("+1{TO}"), "--config"]).arg(&config);
    let output = tokio::task::spawn_blocking(move || call.output())
        .await
        .unwrap()
        .unwrap();
    trunk.abort();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    // The program has ended: all that it sent lies in the socket's buffer.
    let mut datagrams = Vec::new();
    let mut buffer = vec![0; 65_536];
    while let Ok(length) = homer.recv(&mut buffer) {
        datagrams.push(buffer[..length].to_vec());
    }
    (datagrams, carrier_address)
}

fn all_text(datagrams: &[Vec<u8>]) -> String {
    datagrams
        .iter()
        .map(|d| String::from_utf8_lossy(d).into_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tshark_reads_what_homer_gets_of_a_call() {
    let scratch = tempfile::tempdir().unwrap();
    let (datagrams, carrier) = captured(scratch.path(), "").await;
    let sent = all_text(&datagrams);
    for hidden in [TO, FROM, "response=\"", "n0nce"] {
        assert!(!sent.contains(hidden), "{hidden} in\n{sent}");
    }
    let packets: Vec<_> = datagrams.iter().map(|datagram| chunks(datagram)).collect();
    let file = scratch.path().join("sip.pcap");
    capture_file(&file, &packets);
    let lines = decoded(&file, carrier.port());
    assert_eq!(lines.len(), packets.len());
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let mut infos = Vec::new();
    for (packet, line) in packets.iter().zip(&lines) {
        let [from, call_id, info, expert] = line.as_slice() else {
            panic!("{line:?}");
        };
        // IPv4, UDP, SIP, agent 2001; both ends where they really are, though the socket is bound to all addresses.
        let told = [1, 2, 11, 12].map(|kind| number(&packet[&kind]));
        assert_eq!(told, [2, 17, 1, 2001]);
        let loopback = Ipv4Addr::LOCALHOST.octets().to_vec();
        assert_eq!([&packet[&3], &packet[&4]], [&loopback, &loopback]);
        assert!(number(&packet[&9]).abs_diff(now) < 600 && number(&packet[&10]) < 1_000_000);
        assert_eq!(packet[&14], b"homer");
        assert!(
            !call_id.is_empty() && packet[&17] == call_id.as_bytes(),
            "{line:?}"
        );
        let is_theirs = info.contains("Status: ");
        assert_eq!(from == &carrier.port().to_string(), is_theirs, "{line:?}");
        assert!(
            !expert.contains("Malformed") && !info.contains("Malformed"),
            "{line:?}"
        );
        infos.push(info.as_str());
    }
    for wanted in ["INVITE", "Status: 407", "ACK", "Status: 603"] {
        assert!(
            infos.iter().any(|info| info.contains(wanted)),
            "{wanted} not in {infos:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_mask_homer_gets_numbers_and_still_no_credentials() {
    let scratch = tempfile::tempdir().unwrap();
    let (datagrams, _) = captured(scratch.path(), "hep_mask = false").await;
    let sent = all_text(&datagrams);
    assert!(
        sent.contains(&format!("INVITE sip:+1{TO}@")) && sent.contains(FROM),
        "{sent}"
    );
    for hidden in ["response=\"", "n0nce", "open sesame"] {
        assert!(!sent.contains(hidden), "{hidden} in\n{sent}");
    }
}
