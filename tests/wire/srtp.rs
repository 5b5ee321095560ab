//! Whole calls with encrypted audio: the callee hears the prompt and its key is heard, or the call ends before it rings.
use serde_json::{Value, json};

use super::house::House;
use super::line::text;

const TO: &str = "+15005559800";
const SUITE: &str = "AES_CM_128_HMAC_SHA1_80";

/// A trunk with these lines, and a callee who presses # once told to: the verification.
async fn called(house: &House, srtp: &str) -> Value {
    let press = json!({"press": {"digits": "#"}});
    let script = json!({
        "about": "a person", "srtp": srtp,
        "steps": ["ring", "answer", "wait_until_told", press]
    });
    house.carrier.script(TO, &script).await;
    let created = house.http.create(&json!({"to": TO})).await;
    house.http.ended(text(&created["id"])).await
}

async fn house_over_tls(lines: &str) -> House {
    House::start_by("", |carrier| {
        format!(
            "targets = [\"sips:{}\"]\ntls_name = \"sip.carrier.example\"\ntls = {{ ca_file = \"{}\" }}\n{lines}",
            carrier.sip_tls,
            carrier.ca_file.display()
        )
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_call_is_encrypted_under_either_profile() {
    for lines in [
        "srtp = \"require\"",
        "srtp = \"prefer\"",
        "srtp = \"require\"\nsrtp_profile = \"avp\"",
        "srtp = \"prefer\"\nsrtp_profile = \"avp\"\nrtcp_mux = true",
    ] {
        let house = house_over_tls(lines).await;
        let ended = called(&house, "taken").await;
        let call = house.carrier.wait(TO, "ended").await;
        let attempt = &ended["attempts"][0];
        assert_eq!(ended["reason"], "key_confirmed", "{lines}: {ended}\n{call}");
        assert_eq!(attempt["srtp"], SUITE, "{lines}: {ended}");
        assert_eq!(attempt["key_transport"], "rfc4733");
        let offer = text(&call["messages"][0]["text"]);
        assert_eq!(offer.contains("RTP/SAVP"), !lines.contains("avp"), "{offer}");
        assert!(
            call["heard"].as_array().is_some_and(|heard| !heard.is_empty()),
            "{call}"
        );
        house.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_carrier_without_srtp_gets_one_more_invite_where_keys_are_preferred() {
    let house = House::start_by("", |carrier| {
        format!("targets = [\"sip:{}\"]\nsrtp = \"prefer\"", carrier.sip)
    })
    .await;
    let ended = called(&house, "refused").await;
    assert_eq!(ended["reason"], "key_confirmed", "{ended}");
    assert_eq!(ended["attempts"][0]["srtp"], Value::Null);
    assert_eq!(ended["attempts"].as_array().map(Vec::len), Some(1));
    let calls = house.carrier.calls_to(TO).await;
    assert_eq!(calls.len(), 1, "one telephone rang, once");
    let invite = &calls[0]["messages"][0]["text"];
    assert!(text(invite).contains("CSeq: 2 INVITE"), "{invite}");
    assert!(
        text(invite).contains("RTP/AVP") && !text(invite).contains("crypto"),
        "{invite}"
    );
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_carrier_without_srtp_gets_nothing_in_the_clear_where_keys_are_required() {
    for lines in ["", "srtp_profile = \"avp\""] {
        let house = House::start_by("", |carrier| {
            format!("targets = [\"sip:{}\"]\nsrtp = \"require\"\n{lines}", carrier.sip)
        })
        .await;
        let ended = called(&house, "refused").await;
        assert_eq!(ended["reason"], "codec_mismatch", "{ended}");
        for call in house.carrier.calls_to(TO).await {
            assert_eq!(call["rtp"]["packets_received"], 0, "{call}");
        }
        house.stop().await;
    }
}
