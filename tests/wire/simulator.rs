//! The simulator's own HTTP API.
use serde_json::{Value, json};

use super::house::House;
use super::line::{Carrier, text, voices};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scripted_callee_is_called_watched_and_forgotten() {
    let house = House::start().await;
    let sim = &house.carrier.http;
    let to = "+15005559001";
    let unknown = house.http.create(&json!({"to": to})).await;
    let ended = house.http.ended(text(&unknown["id"])).await;
    assert_eq!(ended["reason"], "not_allocated", "nobody has this number yet");
    let steps = json!(["ring", {"reject": {"status": 486, "headers": {"Reason": "Q.850;cause=21"}}}]);
    house.carrier.callee(to, steps.clone()).await;
    let created = house.http.create(&json!({"to": to})).await;
    let ended = house.http.ended(text(&created["id"])).await;
    assert_eq!(ended["reason"], "declined");
    assert_eq!(ended["attempts"][0]["q850"], 21);
    let numbers = sim.get("/sim/numbers").await.ok();
    assert_eq!(numbers[to]["steps"], steps);
    let calls = house.carrier.calls_to(to).await;
    assert_eq!(calls.len(), 2);
    for by in ["id", "call_id"] {
        let call = sim.get(&format!("/sim/calls/{}", text(&calls[0][by]))).await.ok();
        assert_eq!(call["messages"][0]["summary"], "INVITE");
        assert_eq!(call["caller"], "+18005550199");
        assert!(
            text(&call["messages"][0]["text"]).starts_with("INVITE sip:+15005559001@127.0.0.1"),
            "{call}"
        );
    }
    assert_eq!(sim.delete("/sim/calls").await.status, 204);
    assert_eq!(sim.get("/sim/calls").await.ok(), json!({"calls": []}));
    assert_eq!(
        sim.get(&format!("/sim/calls/{}", text(&calls[0]["id"])))
            .await
            .status,
        404
    );
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_503_at_first_is_counted_anew_after_the_calls_are_forgotten() {
    let house = House::start().await;
    let to = "+15005550008";
    for (round, reason) in ["congestion", "key_confirmed", "congestion"]
        .into_iter()
        .enumerate()
    {
        if round == 2 {
            assert_eq!(house.carrier.http.delete("/sim/calls").await.status, 204);
        }
        // The number stays taken until the phone before is known to be quiet: this one waits for that.
        let body = json!({"to": to, "supersede": true});
        let created = house.http.create(&body).await;
        let ended = house.http.ended(text(&created["id"])).await;
        assert_eq!(ended["reason"], reason, "round {round}");
        house.carrier.wait(to, "ended").await;
    }
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chaos_on_the_wire_changes_no_outcome() {
    let house = House::start().await;
    let sim = &house.carrier.http;
    let chaos = json!({"sip_loss_per_mille": 200, "rtp_loss_per_mille": 50});
    assert_eq!(sim.put("/sim/chaos", &chaos).await.status, 204);
    assert_eq!(sim.get("/sim/chaos").await.ok(), chaos);
    let mut ids = Vec::new();
    for n in 0..12 {
        let to = format!("+1500555{}", 9100 + n);
        let press = json!({"press": {"digits": "#"}});
        house
            .carrier
            .callee(&to, json!(["ring", "answer", "wait_until_told", press]))
            .await;
        let created = house
            .http
            .create(&json!({"to": to, "callback_url": house.hooks.url}))
            .await;
        ids.push((to, text(&created["id"]).to_owned()));
    }
    for (to, id) in ids {
        let ended = house.http.ended(&id).await;
        let attempt = &ended["attempts"][0];
        assert_eq!(ended["reason"], "key_confirmed", "{to}: {attempt}");
        house.hooks.terminal(&id).await;
        assert_eq!(house.hooks.terminal_ids(&id).len(), 1);
        assert_eq!(house.carrier.calls_to(&to).await.len(), 1);
    }
    assert_eq!(sim.put("/sim/chaos", &json!({})).await.status, 204);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attendant_ignores_other_digits_and_hears_tones_too() {
    let house = House::start().await;
    // Telephone-event refused: the extension goes out as tones.
    let to = "+15005559002";
    let press = json!({"press": {"digits": "#", "by": "inband"}});
    let script = json!({
        "about": "an old PBX", "dtmf": "none",
        "steps": ["ring", "answer", {"wait_for_digits": {"digits": "1234"}}, "wait_until_told", press]
    });
    house.carrier.script(to, &script).await;
    let mut body = json!({"to": to, "extension": {"digits": "1234", "wait_ms": 0}});
    let created = house.http.create(&body).await;
    let ended = house.http.ended(text(&created["id"])).await;
    let call = house.carrier.wait(to, "ended").await;
    let told = (&call["keys_received"], &call["heard"], &call["keys"]);
    assert_eq!(ended["reason"], "key_confirmed", "{told:?}");
    assert_eq!(
        keys(&call),
        [("1", "inband"), ("2", "inband"), ("3", "inband"), ("4", "inband")]
    );
    body["extension"]["digits"] = json!("999");
    // The number stays taken until our side of the call before is over too: this one waits for that.
    body["supersede"] = json!(true);
    let created = house.http.create(&body).await;
    let ended = house.http.ended(text(&created["id"])).await;
    assert_eq!(ended["reason"], "no_input", "{ended}");
    house.stop().await;
}

fn keys(call: &Value) -> Vec<(&str, &str)> {
    let keys = call["keys_received"].as_array().unwrap();
    keys.iter()
        .map(|k| (text(&k["digits"]), text(&k["transport"])))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_carrier_is_a_trunk_that_is_down() {
    let house = House::start_with("t1_ms = 50").await;
    let to = "+15005559003";
    house.carrier.callee(to, json!(["silent"])).await;
    let created = house.http.create(&json!({"to": to})).await;
    let ended = house.http.ended(text(&created["id"])).await;
    assert_eq!(
        (&ended["status"], &ended["reason"]),
        (&json!("failed"), &json!("trunk_down"))
    );
    let calls = house.carrier.calls_to(to).await;
    assert_eq!(calls.len(), 1);
    let messages = calls[0]["messages"].as_array().unwrap();
    // Sent at 0, 1, 3, 7, 15, 31 and 63 T1 (RFC 3261 §17.1.1.2), one transaction.
    assert_eq!(messages.len(), 7, "{:?}", calls[0]);
    assert!(messages.iter().all(|m| m["text"] == messages[0]["text"]));
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_requests_to_the_simulator_say_what_is_wrong() {
    let carrier = Carrier::start(voices()).await;
    let number = "/sim/numbers/%2B15005550001";
    for (path, body, status, part) in [
        (number, "", 422, "expected JSON"),
        (number, "[]", 422, "or a callee"),
        (number, "{}", 422, "missing field `about`"),
        (
            number,
            r#"{"code": "12a4"}"#,
            422,
            "code: expected 1 to 16 digits",
        ),
        (number, r#"{"code": "1", "x": 1}"#, 422, "unknown field `x`"),
        (
            number,
            r#"{"about": "", "steps": ["fly"]}"#,
            422,
            "unknown variant `fly`",
        ),
        (
            number,
            r#"{"about": "", "steps": ["ring", "silent"]}"#,
            422,
            "silent: expected as the first step",
        ),
        (
            number,
            r#"{"about": "", "steps": [{"wait": {"ms": 300001}}]}"#,
            422,
            "ms: expected at most 300000",
        ),
        (
            number,
            r#"{"about": "", "steps": [{"press": {"digits": "x"}}]}"#,
            422,
            "digits: expected 1 to 32",
        ),
        (
            number,
            r#"{"about": "", "steps": [{"reject": {"status": 200}}]}"#,
            422,
            "status: expected 300 to 699",
        ),
        (
            "/sim/numbers/abc",
            r#"{"code": "1"}"#,
            422,
            "number: expected + and up to 15 digits",
        ),
        ("/sim/chaos", "{", 422, "EOF"),
        ("/sim/chaos", r#"{"rain": 1}"#, 422, "unknown field `rain`"),
        (
            "/sim/chaos",
            r#"{"sip_loss_per_mille": 1001}"#,
            422,
            "expected 0 to 1000 per mille",
        ),
    ] {
        let answer = carrier.http.put_text(path, body.to_owned()).await;
        assert_eq!(answer.status, status, "{path} {body}: {}", answer.text);
        assert!(
            text(&answer.json()["detail"]).contains(part),
            "{path} {body}: {}",
            answer.text
        );
    }
    for (path, status, part) in [
        ("/sim/calls/nobody", 404, "no call has the id"),
        ("/sim/calls/nobody/audio.wav", 404, "no call has the id"),
        (
            "/sim/wait?state=happy",
            400,
            "expected ringing, answered or ended",
        ),
        ("/sim/wait?colour=red", 400, "unknown field `colour`"),
        ("/sim/wait?timeout=soon", 400, "timeout"),
        ("/sim/wait?timeout=0", 408, "no such call within 0 s"),
    ] {
        let answer = carrier.http.get(path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text);
        assert!(
            text(&answer.json()["detail"]).contains(part),
            "{path}: {}",
            answer.text
        );
    }
}
