//! Requests that meet each other while the call they ask for is on the wire.
use serde_json::json;

use super::house::House;
use super::line::text;

const V: &str = "/v1/verifications";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_requests_for_one_number_one_calls_and_one_is_told_so() {
    let house = House::start().await;
    let body = json!({"to": "+15005550005", "callback_url": house.hooks.url});
    let (one, two) = tokio::join!(house.http.post(V, &body), house.http.post(V, &body));
    let mut statuses = [one.status.as_u16(), two.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409], "{} {}", one.text, two.text);
    let (made, refused) = if one.status.as_u16() == 201 {
        (one.json(), two.json())
    } else {
        (two.json(), one.json())
    };
    assert_eq!(refused["code"], "call_in_progress");
    assert_eq!(refused["verification"], made["id"]);
    let id = text(&made["id"]);
    house.http.stage(id, "ringing").await;
    let late = house.http.post(V, &body).await;
    assert_eq!(late.status, 409, "{}", late.text);
    house.http.post(&format!("{V}/{id}/cancel"), &json!({})).await;
    let ended = house.http.ended(id).await;
    assert_eq!(
        (text(&ended["status"]), text(&ended["reason"])),
        ("canceled", "by_client")
    );
    house.carrier.wait("+15005550005", "ended").await;
    assert_eq!(house.carrier.calls_to("+15005550005").await.len(), 1);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_request_is_answered_again_and_calls_nobody() {
    let house = House::start().await;
    let body = json!({"to": "+15005550004", "callback_url": house.hooks.url});
    let first = house.http.post_once(V, "order-1", &body).await;
    assert_eq!(first.status, 201, "{}", first.text);
    let id = text(&first.json()["id"]).to_owned();
    let while_live = house.http.post_once(V, "order-1", &body).await;
    house.http.ended(&id).await;
    house.hooks.terminal(&id).await;
    let when_over = house.http.post_once(V, "order-1", &body).await;
    for again in [while_live, when_over] {
        assert_eq!((again.status, &again.text), (first.status, &first.text));
    }
    let other = json!({"to": "+15005550006", "callback_url": house.hooks.url});
    let reused = house.http.post_once(V, "order-1", &other).await;
    assert_eq!(reused.status, 422, "{}", reused.text);
    assert_eq!(house.carrier.calls_to("+15005550004").await.len(), 1);
    assert_eq!(house.carrier.calls_to("+15005550006").await.len(), 0);
    assert_eq!(house.hooks.of(&id).len(), 1);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fraud_report_is_told_at_once_and_closes_the_number() {
    let house = House::start().await;
    let to = "+15005550011";
    let body = json!({"to": to, "callback_url": house.hooks.url});
    let created = house.http.create(&body).await;
    let id = text(&created["id"]).to_owned();
    let fraud = house
        .hooks
        .until("fraud.reported", |hooks| {
            hooks.iter().find(|h| h.kind == "fraud.reported").cloned()
        })
        .await;
    assert_eq!(fraud.verification, id);
    assert_eq!(fraud.fault, None);
    assert_eq!(fraud.body["data"]["reason"], "fraud_reported");
    let denied = house.hooks.terminal(&id).await;
    assert_eq!(denied.kind, "verification.denied");
    assert_ne!(denied.id, fraud.id);
    house.carrier.wait(to, "ended").await;
    let refused = house.http.post(V, &body).await;
    assert_eq!(refused.status, 403, "{}", refused.text);
    assert_eq!(refused.json()["code"], "number_blocked");
    assert_eq!(house.carrier.calls_to(to).await.len(), 1);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_request_takes_the_place_of_the_ringing_call() {
    let house = House::start().await;
    let to = "+15005550005";
    let first = house
        .http
        .create(&json!({"to": to, "callback_url": house.hooks.url}))
        .await;
    let first = text(&first["id"]);
    house.http.stage(first, "ringing").await;
    let body = json!({"to": to, "callback_url": house.hooks.url, "supersede": true});
    let second = house.http.create(&body).await;
    let second = text(&second["id"]);
    let replaced = house.http.ended(first).await;
    assert_eq!(
        (text(&replaced["status"]), text(&replaced["reason"])),
        ("canceled", "superseded")
    );
    // The second waits until the phone has stopped ringing for the first.
    house.http.stage(second, "ringing").await;
    let calls = house.carrier.calls_to(to).await;
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[1]["state"], "ended");
    let ended = house.http.ended(second).await;
    assert_eq!(text(&ended["reason"]), "no_answer");
    house.hooks.terminal(first).await;
    house.hooks.terminal(second).await;
    assert_eq!(house.hooks.terminal_ids(first).len(), 1);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_lets_live_calls_finish_and_takes_no_new_ones() {
    let house = House::start().await;
    let mut ids = Vec::new();
    for number in ["+15005550001", "+15005550002", "+15005550003"] {
        let created = house
            .http
            .create(&json!({"to": number, "callback_url": house.hooks.url}))
            .await;
        let id = text(&created["id"]).to_owned();
        house.http.stage(&id, "ringing").await;
        ids.push(id);
    }
    let House {
        app,
        carrier,
        http,
        hooks,
        ..
    } = house;
    let draining = tokio::spawn(app.shutdown(std::time::Duration::from_secs(60)));
    let body = json!({"to": "+15005550004", "callback_url": hooks.url});
    let refused = loop {
        // The drain begins when its task first runs.
        let answer = http.post(V, &body).await;
        if answer.status != 201 && answer.status != 409 {
            break answer;
        }
    };
    assert_eq!(refused.status, 503, "{}", refused.text);
    for id in &ids {
        let hook = hooks.terminal(id).await;
        assert_eq!(hook.kind, "verification.approved", "{}", hook.body);
    }
    assert_eq!(draining.await.unwrap(), 0);
    for number in ["+15005550001", "+15005550002", "+15005550003"] {
        assert_eq!(carrier.calls_to(number).await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_call_holds_neither_a_line_nor_a_drain() {
    let house = House::start().await;
    let body = json!({"to": "+15005550004", "callback_url": house.hooks.url});
    let id = text(&house.http.create(&body).await["id"]).to_owned();
    house.hooks.terminal(&id).await;
    let began = std::time::Instant::now();
    assert_eq!(house.app.shutdown(std::time::Duration::from_secs(60)).await, 0);
    // Timer D absorbs repeated 486 for 32 s: the line is free long before.
    assert!(
        began.elapsed() < std::time::Duration::from_secs(16),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_only_absorbs_repetitions_keeps_no_other_from_its_place() {
    let house = House::start_with("max_calls = 1").await;
    for (number, reason) in [("+15005550004", "busy"), ("+15005550001", "key_confirmed")] {
        let created = house.http.create(&json!({"to": number})).await;
        let ended = house.http.ended(text(&created["id"])).await;
        assert_eq!(ended["reason"], reason, "{ended}");
    }
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_that_cannot_be_found_makes_way_for_the_next() {
    let trunks = [("lost", Some("nowhere.invalid")), ("simulated-carrier", None)];
    let house = House::start_over("", &trunks).await;
    let created = house.http.create(&json!({"to": "+15005550001"})).await;
    let ended = house.http.ended(text(&created["id"])).await;
    assert_eq!(
        (text(&ended["status"]), text(&ended["reason"])),
        ("approved", "key_confirmed")
    );
    let attempts = ended["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 1, "{ended}");
    assert_eq!(attempts[0]["trunk"], "simulated-carrier");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_trunk_without_another_is_a_trunk_that_is_down() {
    let house = House::start_over("", &[("lost", Some("nowhere.invalid"))]).await;
    let created = house.http.create(&json!({"to": "+15005550001"})).await;
    let ended = house.http.ended(text(&created["id"])).await;
    assert_eq!(
        (text(&ended["status"]), text(&ended["reason"])),
        ("failed", "trunk_down")
    );
    assert_eq!(house.carrier.calls_to("+15005550001").await.len(), 0);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callee_who_wants_no_calls_is_not_called_again() {
    let house = House::start().await;
    let to = "+15005559007";
    let steps = json!([{"reject": {"status": 607}}]);
    house.carrier.callee(to, steps).await;
    let body = json!({"to": to});
    let created = house.http.create(&body).await;
    let ended = house.http.ended(text(&created["id"])).await;
    assert_eq!(
        (text(&ended["status"]), text(&ended["reason"])),
        ("denied", "declined")
    );
    let refused = house.http.post(V, &body).await;
    assert_eq!(refused.status, 403, "{}", refused.text);
    assert_eq!(refused.json()["code"], "number_blocked");
    assert_eq!(house.carrier.calls_to(to).await.len(), 1);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_names_no_callback_is_told_where_the_profile_says() {
    let mut house = House::start().await;
    let untold = house.http.create(&json!({"to": "+15005550004"})).await;
    house.http.ended(text(&untold["id"])).await;
    let key = format!("callback_url = \"{}/profile\"\nring_s = 5", house.hooks.url);
    house.reload("ring_s = 5", &key).await;
    let told = house.http.create(&json!({"to": "+15005550006"})).await;
    let hook = house.hooks.terminal(text(&told["id"])).await;
    assert_eq!(
        (hook.fault, text(&hook.body["data"]["reason"])),
        (None, "declined")
    );
    assert!(house.hooks.of(text(&untold["id"])).is_empty());
    house.stop().await;
}
