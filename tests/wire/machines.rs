//! An answering machine under profiles that do not cut it off; what happens by default is in the table of callees.
use serde_json::{Value, json};

use super::callees::reported;
use super::house::House;
use super::line::text;

/// Greets for 4 s, then beeps.
const TO: &str = "+15005550014";
/// By then a call that is cut off at the beep would be over.
const CUT_OFF_BY_MS: u64 = 5500;

/// A call that asks once, under `screening`: how it ended, with its attempt.
async fn called(screening: &str) -> (String, Value) {
    let profile = format!("wait_key_s = 1.5\nplays = 1\nscreening = \"{screening}\"");
    let house = House::start_edited("wait_key_s = 1.5", &profile).await;
    let created = house.http.create(&json!({"to": TO})).await;
    let id = text(&created["id"]).to_owned();
    let ended = house.http.ended(&id).await;
    let call = house.carrier.wait(TO, "ended").await;
    let attempt = reported(&house, &id).await["attempts"][0].clone();
    assert_eq!(attempt["call_id"], call["call_id"]);
    house.stop().await;
    let outcome = format!("{}/{}", text(&ended["status"]), text(&ended["reason"]));
    (outcome, attempt)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_is_not_cut_off_hears_the_prompt_to_its_end() {
    let (labelled, unheard) = tokio::join!(called("label"), called("off"));
    for ((outcome, attempt), expected, flags) in [
        (labelled, "expired/voicemail", json!(["beep"])),
        (unheard, "expired/no_input", json!([])),
    ] {
        assert_eq!(outcome, expected, "{attempt}");
        assert_eq!(attempt["flags"], flags, "{attempt}");
        assert_eq!(attempt["hung_up_by"], "us", "{attempt}");
        let talked_ms = attempt["talk_ms"].as_u64().unwrap();
        assert!(talked_ms > CUT_OFF_BY_MS, "{attempt}");
    }
}
