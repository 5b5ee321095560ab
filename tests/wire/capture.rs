//! The flight recorder as a telecom engineer uses it: a capture file of one call, read by tshark.
use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::house::House;
use super::line::text;

/// One line a message: method or status, then what else is asked for.
fn read(file: &Path, fields: &[&str]) -> Vec<String> {
    let mut tshark = Command::new("tshark");
    // The ports of a test are any: every datagram is read as SIP, whatever its port.
    tshark.args(["-d", "udp.port==1-65535,sip", "-r"]).arg(file);
    tshark.args(["-T", "fields", "-E", "separator=|"]);
    for field in ["sip.Method", "sip.Status-Code"].iter().chain(fields) {
        tshark.args(["-e", field]);
    }
    let output = tshark.output().expect("tshark is installed");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_can_be_downloaded_and_tshark_reads_it() {
    let house = House::start().await;
    let created = house.http.create(&json!({"to": "+15005550004"})).await;
    let id = text(&created["id"]).to_owned();
    house.http.ended(&id).await;
    house.carrier.wait("+15005550004", "ended").await;
    let bytes = house
        .http
        .bytes(&format!("/v1/verifications/{id}/capture.pcap"))
        .await;
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("call.pcap");
    std::fs::write(&file, &bytes).unwrap();
    let messages = read(&file, &["_ws.malformed", "sip.to.user"]);
    let kinds: Vec<String> = messages
        .iter()
        .map(|line| line.split('|').take(2).collect::<String>())
        .collect();
    assert_eq!(kinds.first().map(String::as_str), Some("INVITE"), "{messages:?}");
    assert!(kinds.iter().any(|kind| kind == "486"), "{messages:?}");
    assert_eq!(kinds.last().map(String::as_str), Some("ACK"), "{messages:?}");
    for message in &messages {
        let rest: Vec<&str> = message.split('|').skip(2).collect();
        assert_eq!(rest.first(), Some(&""), "malformed: {message}");
        assert!(
            !message.contains("5005550004"),
            "the number stands there: {message}"
        );
    }
    let other = house
        .http
        .get("/v1/verifications/ver_01890a5d-ac96-774b-bcce-b302099a8057/capture.pcap")
        .await;
    assert_eq!(other.status, 404, "{}", other.text);
    house.stop().await;
}
