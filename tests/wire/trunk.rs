//! `ringproof trunk test` as a person runs it, against the simulated carrier.
use std::net::UdpSocket;
use std::process::{Command, Output};

use serde_json::Value;

use super::line::{Carrier, voices};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ringproof");

/// A configuration with one trunk that leads to `target`; the file lives as long as the directory.
fn configuration(target: &str) -> tempfile::TempDir {
    let scratch = tempfile::tempdir().unwrap();
    let text = format!(
        r#"
[server]
listen = "127.0.0.1:0"
[sip]
listen = ["udp:127.0.0.1:0"]
[media]
rtp_ports = "43000-43999"
[[trunk]]
name = "carrier"
targets = ["sip:{target}"]
caller_id = {{ default = "+18005550199" }}
[policy]
countries = ["US"]
number_validation = "shape"
[profile.default]
brand = "Contoso"
plays = 1
wait_key_s = 1.5
"#
    );
    std::fs::write(scratch.path().join("ringproof.toml"), text).unwrap();
    scratch
}

async fn trunk(target: &str, arguments: &[&str]) -> Output {
    let scratch = configuration(target);
    let mut program = Command::new(PROGRAM);
    program
        .arg("trunk")
        .args(arguments)
        .arg("--config")
        .arg(scratch.path().join("ringproof.toml"));
    let output = tokio::task::spawn_blocking(move || program.output());
    output.await.unwrap().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_call_is_explained_and_sets_the_exit_code() {
    let carrier = Carrier::start(voices()).await;
    let target = carrier.sip.to_string();
    let call = async |number: &str| trunk(&target, &["test", "carrier", number, "--json"]).await;
    // Confirms; is answered without a packet of audio; is not allocated; is blocked by the network.
    for (number, code, verdict, says) in [
        ("+15005550001", 0, "works", "audio both ways, key # by rfc4733"),
        ("+15005550018", 4, "fails", "answered, but no audio came in"),
        ("+15005550007", 4, "fails", "does not know this number (404"),
        (
            "+15005550026",
            2,
            "refuses",
            "a network rates the caller ID as unwanted",
        ),
    ] {
        let output = call(number).await;
        assert_eq!(output.status.code(), Some(code), "{number}: {output:?}");
        let report = json(&output);
        assert_eq!(report["verdict"], verdict, "{number}: {report}");
        assert_eq!(report["targets"][0]["sip_status"], 200, "{number}: {report}");
        let said = report["call"]["says"].as_str().unwrap();
        assert!(said.contains(says), "{number}: {said}");
    }
    let output = trunk(&target, &["test", "carrier"]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("OPTIONS    alive (200 OK)"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_port_is_told_with_the_mend() {
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap();
    let target = closed.local_addr().unwrap().to_string();
    drop(closed);
    let output = trunk(&target, &["test", "carrier"]).await;
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("the port is closed") && text.contains("- check the port in targets"),
        "{text}"
    );
    let output = trunk(&target, &["test", "carier"]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("no trunk \"carier\"; it has carrier"), "{text}");
    let listed = trunk(&target, &["list"]).await;
    assert_eq!(listed.status.code(), Some(0), "{listed:?}");
}
