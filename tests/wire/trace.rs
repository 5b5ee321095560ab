//! `ringproof call --trace-sip` as a person runs it, against a trunk that asks for credentials.
use std::path::Path;
use std::process::Command;

use tokio::net::UdpSocket;

pub(super) const TO: &str = "4155550123";
pub(super) const FROM: &str = "8005550199";

/// A trunk that challenges each INVITE once and then declines it. Tells what it was sent.
pub(super) async fn trunk(socket: UdpSocket, received: tokio::sync::mpsc::UnboundedSender<String>) {
    let mut buffer = [0; 8192];
    while let Ok((len, source)) = socket.recv_from(&mut buffer).await {
        let request = String::from_utf8_lossy(&buffer[..len]).into_owned();
        let challenged = request.contains("\r\nProxy-Authorization:");
        let status = match request.split(' ').next() {
            Some("INVITE") if challenged => "603 Decline",
            Some("INVITE") => "407 Proxy Authentication Required",
            _ => "",
        };
        let copied = ["Via:", "From:", "Call-ID:", "CSeq:"];
        let mut answer = format!("SIP/2.0 {status}\r\n");
        for line in request.split("\r\n") {
            if copied.iter().any(|name| line.starts_with(name)) {
                answer += &format!("{line}\r\n");
            } else if line.starts_with("To:") {
                answer += &format!("{line};tag=trunk\r\n");
            }
        }
        if !challenged {
            answer += "Proxy-Authenticate: Digest realm=\"lab\", nonce=\"n0nce\", qop=\"auth\"\r\n";
        }
        answer += "Content-Length: 0\r\n\r\n";
        if !status.is_empty() {
            socket.send_to(answer.as_bytes(), source).await.unwrap();
        }
        let _ = received.send(request);
    }
}

pub(super) fn configuration(directory: &Path, target: std::net::SocketAddr) -> String {
    format!(
        r#"
[store]
url = "sqlite://{directory}/trace.db"
[sip]
listen = ["udp:127.0.0.1:0"]
[media]
rtp_ports = "44000-44999"
[[trunk]]
name = "lab"
targets = ["sip:{target}"]
auth = {{ username = "u", password = "open sesame" }}
caller_id = {{ default = "+1{FROM}" }}
[policy]
countries = ["US"]
number_validation = "shape"
[profile.default]
brand = "Contoso"
"#,
        directory = directory.display(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_of_a_call_shows_each_message_and_neither_number_nor_credentials() {
    let scratch = tempfile::tempdir().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let config = scratch.path().join("ringproof.toml");
    std::fs::write(
        &config,
        configuration(scratch.path(), socket.local_addr().unwrap()),
    )
    .unwrap();
    let (tell, mut received) = tokio::sync::mpsc::unbounded_channel();
    let trunk = tokio::spawn(trunk(socket, tell));
    let mut call = Command::new(env!("CARGO_BIN_EXE_ringproof"));
    call.args(["call", &format!("+1{TO}"), "--trace-sip", "--config"])
        .arg(&config);
    let output = tokio::task::spawn_blocking(move || call.output())
        .await
        .unwrap()
        .unwrap();
    trunk.abort();
    let (shown, said) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert_eq!(output.status.code(), Some(2), "{shown}\n{said}");

    // What went over the wire did carry both.
    let mut sent = String::new();
    while let Ok(request) = received.try_recv() {
        sent += &request;
    }
    assert!(sent.contains(TO) && sent.contains("response=\""), "{sent}");
    for hidden in [TO, FROM, "response=\"", "n0nce"] {
        assert!(!shown.contains(hidden), "{hidden} in\n{shown}");
    }
    for line in [
        "\nINVITE sip:+14•••••••23@",
        "\nSIP/2.0 407 Proxy Authentication Required\n",
        "\nProxy-Authenticate: ***\n",
        "\nProxy-Authorization: ***\n",
        "\nSIP/2.0 603 Decline\n",
        "\nACK sip:+14•••••••23@",
        "\nm=audio ",
    ] {
        assert!(shown.contains(line), "{line:?} not in\n{shown}");
    }
    assert!(shown.contains(" sent udp 127.0.0.1:") && shown.contains(" received udp 127.0.0.1:"));
}
