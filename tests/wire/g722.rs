//! Whole calls in G.722: the callee hears our prompt and we its key, as tones and as events.
use ringproof::model::Codec;
use serde_json::{Value, json};

use super::house::House;
use super::line::text;

const TO: &str = "+15005559722";

/// A callee who presses # once told to: the verification.
async fn called(house: &House, extra: Value) -> Value {
    let mut script = json!({
        "about": "a person with a good telephone",
        "steps": ["ring", "answer", "wait_until_told", {"press": {"digits": "#", "by": "inband"}}]
    });
    let fields = script.as_object_mut().unwrap();
    fields.extend(extra.as_object().unwrap().clone());
    house.carrier.script(TO, &script).await;
    let created = house.http.create(&json!({"to": TO})).await;
    house.http.ended(text(&created["id"])).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_in_the_audio_of_g722_is_heard_and_so_are_our_prompts() {
    let codecs = [Codec::Pcmu, Codec::Pcma, Codec::G722];
    let house = House::start_speaking(&codecs, "codecs = [\"G722\", \"PCMU\", \"PCMA\"]").await;
    let ended = called(&house, json!({"dtmf": "none"})).await;
    let call = house.carrier.wait(TO, "ended").await;
    let attempt = &ended["attempts"][0];
    let found = ["codec", "key", "key_transport"].map(|key| &attempt[key]);
    assert_eq!(found, ["G722", "#", "inband"], "{ended}\n{call}");
    assert_eq!(ended["reason"], "key_confirmed");
    let offer = text(&call["messages"][0]["text"]);
    assert!(offer.contains("RTP/AVP 9 0 8 101"), "{offer}");
    assert!(offer.contains("a=rtpmap:9 G722/8000"), "{offer}");
    let heard = call["heard"].as_array().unwrap();
    assert!(heard.iter().any(|clip| clip == "confirm-press-pound"), "{call}");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_callees_only_codec_is_taken_where_the_trunk_lists_it_and_refused_where_not() {
    let only = json!({"codecs": ["G722"], "steps": ["ring", "answer", "wait_until_told", {"press": {"digits": "#"}}]});
    let codecs = [Codec::Pcmu, Codec::Pcma, Codec::G722];
    let house = House::start_speaking(&codecs, "codecs = [\"PCMU\", \"PCMA\", \"G722\"]").await;
    let ended = called(&house, only.clone()).await;
    let attempt = &ended["attempts"][0];
    let found = ["codec", "key", "key_transport"].map(|key| &attempt[key]);
    assert_eq!(found, ["G722", "#", "rfc4733"], "{ended}");
    house.stop().await;
    let house = House::start_speaking(&codecs, "").await;
    let ended = called(&house, only).await;
    assert_eq!(ended["reason"], "codec_mismatch", "{ended}");
    house.stop().await;
}
