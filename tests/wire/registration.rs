//! Trunks that know us by a login: registered at the simulated carrier, on the wire of loopback.
use std::time::Duration;

use ringproof::sim::RegistrarRules;
use serde_json::{Value, json};

use super::house::House;
use super::line::{Carrier, Http};

const LOGIN: &str = "auth = { username = \"u\", password = \"right\" }";
const V: &str = "/v1/verifications";

fn rules(min_expires_s: u32) -> RegistrarRules {
    RegistrarRules {
        username: Some("u".to_owned()),
        password: "right".to_owned(),
        min_expires_s,
        max_expires_s: 3600,
    }
}

/// The bindings, once `liked` likes them: read again after each look, which the carrier answers at once.
async fn until(carrier: &Carrier, what: &str, liked: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let search = async {
        let mut every = tokio::time::interval(Duration::from_millis(20));
        loop {
            every.tick().await;
            let found = carrier.http.get("/sim/registrations").await.ok();
            let found = found["registrations"].as_array().unwrap().clone();
            if liked(&found) {
                return found;
            }
        }
    };
    match tokio::time::timeout(Duration::from_secs(60), search).await {
        Ok(found) => found,
        Err(_) => panic!("not {what}"),
    }
}

async fn confirm(http: &Http, number: &str) -> Value {
    let made = http
        .create(&json!({"to": number, "method": "press_key", "profile": "default"}))
        .await;
    http.ended(made["id"].as_str().unwrap()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_registers_with_a_login_and_its_calls_carry_the_service_route() {
    // The carrier wants longer than the trunk asks: 401, then 423, then 200.
    let lines = format!("{LOGIN}\nregister = {{ expires_s = 60 }}");
    let house = House::start_registering(rules(600), &lines).await;
    let found = until(&house.carrier, "bound", |found| found.len() == 1).await;
    assert_eq!(found[0]["expires_s"], 600, "{found:?}");
    assert_eq!(found[0]["aor"], "sip:u@127.0.0.1", "{found:?}");
    let view = confirm(&house.http, "+15005550001").await;
    assert_eq!(view["status"], "approved", "{view}");
    let call = house.carrier.wait("+15005550001", "ended").await;
    let route = format!("Route: <sip:{};lr>", house.carrier.sip);
    assert!(call.to_string().contains(&route), "no {route} in {call}");
    let carrier = house.stop_but_carrier().await;
    until(&carrier, "gone after the stop", <[Value]>::is_empty).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_that_is_refused_carries_no_calls_and_without_another_none_is_taken() {
    let lines = "auth = { username = \"u\", password = \"wrong\" }\nregister = true";
    let house = House::start_registering(rules(1), lines).await;
    // What was taken before the registrar had answered waits for its word.
    for last in 1..10 {
        let to = format!("+1500555000{last}");
        let made = house
            .http
            .post(V, &json!({"to": to, "method": "press_key", "profile": "default"}))
            .await;
        if made.status.as_u16() == 503 {
            assert_eq!(made.json()["code"], "no_trunk_available");
            assert!(house.carrier.calls_to(&to).await.is_empty());
            house.stop().await;
            return;
        }
        let made = made.json();
        let view = house.http.ended(made["id"].as_str().unwrap()).await;
        assert_eq!(
            (&view["status"], &view["reason"]),
            (&json!("failed"), &json!("trunk_down")),
            "{view}"
        );
        assert!(house.carrier.calls_to(&to).await.is_empty());
    }
    panic!("calls are taken without a trunk");
}
