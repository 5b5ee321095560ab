//! Whole calls over TCP and TLS, and what happens when a connection fails.
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use super::house::House;
use super::line::text;

const TO: &str = "+15005559700";

/// A person who presses # once told to, over the trunk of this text: the verification and the carrier's record.
async fn confirmed(house: &House) -> (serde_json::Value, serde_json::Value) {
    let press = json!({"press": {"digits": "#"}});
    house
        .carrier
        .callee(TO, json!(["ring", "answer", "wait_until_told", press]))
        .await;
    let created = house.http.create(&json!({"to": TO})).await;
    let ended = house.http.ended(text(&created["id"])).await;
    let call = house.carrier.wait(TO, "ended").await;
    assert_eq!(ended["reason"], "key_confirmed", "{ended}\n{call}");
    (ended, call)
}

fn invite_of(call: &serde_json::Value) -> String {
    text(&call["messages"][0]["text"]).to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_call_goes_over_tcp() {
    let house = House::start_by("", |carrier| {
        format!("targets = [\"sip:{};transport=tcp\"]", carrier.sip)
    })
    .await;
    let (_, call) = confirmed(&house).await;
    let invite = invite_of(&call);
    assert!(invite.contains("Via: SIP/2.0/TCP 127.0.0.1:"), "{invite}");
    assert!(invite.contains(";transport=tcp"), "{invite}");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_call_goes_over_tls_to_the_name_that_was_configured() {
    let house = House::start_by("", |carrier| {
        format!(
            "targets = [\"sips:{}\"]\ntls_name = \"sip.carrier.example\"\ntls = {{ ca_file = \"{}\" }}",
            carrier.sip_tls,
            carrier.ca_file.display()
        )
    })
    .await;
    let (_, call) = confirmed(&house).await;
    let invite = invite_of(&call);
    assert!(invite.contains("Via: SIP/2.0/TLS 127.0.0.1:"), "{invite}");
    assert!(invite.contains(";transport=tls"), "{invite}");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_carrier_that_cannot_prove_its_name_gets_no_call_and_the_next_trunk_does() {
    let house = House::start_by("", |carrier| {
        format!(
            "targets = [\"sip:{};transport=tls\"]\ntls_name = \"other.example\"\ntls = {{ ca_file = \"{}\" }}\noptions_s = 0\n\
             caller_id = {{ default = \"+18005550199\" }}\n\
             [[trunk]]\nname = \"second\"\ntargets = [\"sip:{}\"]",
            carrier.sip_tls,
            carrier.ca_file.display(),
            carrier.sip
        )
    })
    .await;
    let (ended, call) = confirmed(&house).await;
    assert_eq!(ended["attempts"][0]["reason"], "congestion", "{ended}");
    assert!(invite_of(&call).contains("Via: SIP/2.0/UDP"));
    assert_eq!(house.carrier.calls_to(TO).await.len(), 1);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invite_too_long_for_udp_goes_over_tcp() {
    let house = House::start_by("", |carrier| {
        format!(
            "targets = [\"sip:{}\"]\nheaders = {{ X-Filler = \"{}\" }}",
            carrier.sip,
            "x".repeat(1000)
        )
    })
    .await;
    let (_, call) = confirmed(&house).await;
    let invite = invite_of(&call);
    assert!(invite.contains("Via: SIP/2.0/TCP"), "{invite}");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_after_the_invite_sends_the_call_to_the_next_trunk_at_once() {
    let broken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = broken.local_addr().unwrap();
    let breaks = tokio::spawn(async move {
        let (mut stream, _) = broken.accept().await.unwrap();
        let mut octets = vec![0; 10];
        stream.read_exact(&mut octets).await.unwrap();
        octets
    });
    let house = House::start_by("", |carrier| {
        format!(
            "targets = [\"sip:{address};transport=tcp\"]\noptions_s = 0\n\
             caller_id = {{ default = \"+18005550199\" }}\n\
             [[trunk]]\nname = \"second\"\ntargets = [\"sip:{}\"]",
            carrier.sip
        )
    })
    .await;
    let (ended, _) = confirmed(&house).await;
    assert_eq!(ended["attempts"][0]["reason"], "congestion", "{ended}");
    let invite = tokio::time::timeout(Duration::from_secs(10), breaks)
        .await
        .unwrap();
    assert_eq!(invite.unwrap(), b"INVITE sip");
    house.stop().await;
}
