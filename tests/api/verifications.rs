//! The life of a verification over HTTP.
use reqwest::{Method, StatusCode};
use ringproof::model::{Reason, Stage};
use ringproof::policy::PolicySettings;
use serde_json::{Value, json};

use super::dialer;
use super::harness::{Answer, Lab, Setup};

const V: &str = "/v1/verifications";

#[tokio::test]
async fn a_number_is_called_and_confirmed() {
    let lab = Lab::start().await;
    let body = json!({"to": {"number": "(425) 555-0101", "region": "us"}, "client_ref": "ref-1",
        "extension": {"digits": "1234", "wait_ms": 500}, "tags": {"app": "sspr"},
        "end_user": {"id": "u1", "ip": "203.0.113.7"}, "callback_url": "https://idp.example/hooks"});
    let answer = lab.post(V, &body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let created = answer.json();
    let path = answer.header("location").to_owned();
    assert_eq!(path, format!("{V}/{}", created["id"].as_str().unwrap()));
    assert_eq!(created["status"], "pending");
    assert_eq!(created["stage"], "queued");
    assert_eq!(created["to"], "+14255550101");
    assert_eq!(created["to_masked"], "+1••••••••01");
    assert_eq!(created["country"], "US");
    assert_eq!(created["method"], "press_key");
    assert_eq!(created["caller_id"], "+18005550199");
    assert_eq!(created["brand"], "Contoso");
    assert_eq!(created["sequence"], 1);
    assert!(created.get("display_code").is_none());
    assert_eq!(created["links"]["self"], format!("{}{path}", lab.base));

    assert_eq!(dialer::play_due(&lab).await, 1);
    let read = lab.get(&path).await.json();
    assert_eq!(
        (&read["status"], &read["reason"]),
        (&json!("approved"), &json!("key_confirmed"))
    );
    assert_eq!(read["stage"], Value::Null);
    let attempt = &read["attempts"][0];
    assert_eq!(
        (&attempt["key"], &attempt["key_transport"]),
        (&json!("#"), &json!("rfc4733"))
    );
    assert_eq!(attempt["trunk"], "carrier");
    assert_eq!(
        (&read["client_ref"], &read["tags"]["app"]),
        (&json!("ref-1"), &json!("sspr"))
    );
}

#[tokio::test]
async fn each_end_has_its_status_and_reason() {
    let lab = Lab::start().await;
    for (number, status, reason) in [
        ("+14255550104", "failed", "busy"),
        ("+14255550105", "expired", "no_answer"),
        ("+14255550106", "denied", "declined"),
        ("+14255550107", "failed", "not_allocated"),
        ("+14255550111", "denied", "fraud_reported"),
        ("+493012345601", "approved", "key_confirmed"),
        ("1001", "approved", "key_confirmed"),
    ] {
        let (id, created) = lab.create(&json!({"to": number})).await;
        dialer::play_due(&lab).await;
        let read = lab.get(&format!("{V}/{id}")).await.json();
        assert_eq!(
            (&read["status"], &read["reason"]),
            (&json!(status), &json!(reason)),
            "{number}"
        );
        let caller_id = if number.starts_with("+49") {
            "+4930123456"
        } else {
            "+18005550199"
        };
        assert_eq!(created["caller_id"], caller_id);
    }
}

#[tokio::test]
async fn the_code_for_the_screen_stands_in_the_answer_to_the_post_only() {
    let lab = Lab::start().await;
    let (id, created) = lab
        .create(&json!({"to": "+14255550101", "method": "match_code"}))
        .await;
    let code = created["display_code"].as_str().unwrap();
    assert!(
        code.len() == 4 && code.bytes().all(|b| b.is_ascii_digit()),
        "{code}"
    );
    for path in [format!("{V}/{id}"), V.to_owned()] {
        assert!(!lab.get(&path).await.text.contains("display_code"), "{path}");
    }
    let (_, given) = lab
        .create(&json!({"to": "+14255550102", "method": "match_code", "code": "481920"}))
        .await;
    assert_eq!(given["display_code"], "481920");
    let (_, spoken) = lab
        .create(&json!({"to": "+14255550103", "method": "speak_code", "code": "481920"}))
        .await;
    assert!(!spoken.to_string().contains("481920"));
}

#[tokio::test]
async fn an_idempotency_key_gives_the_same_answer_and_refuses_another_body() {
    let lab = Lab::start().await;
    let send = |body: Value, key: &'static str| {
        let request = lab
            .request(Method::POST, V)
            .header("idempotency-key", key)
            .json(&body);
        async move { Answer::of(request.send().await.unwrap()).await }
    };
    let body = json!({"to": "+14255550101", "method": "match_code"});
    let first = send(body.clone(), "k1").await;
    let again = send(body.clone(), "k1").await;
    assert_eq!((again.status, &again.text), (StatusCode::CREATED, &first.text));
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(first.header("idempotent-replayed"), "");
    let other = send(json!({"to": "+14255550102"}), "k1").await;
    assert_eq!(
        (other.status.as_u16(), other.json()["code"].as_str()),
        (422, Some("idempotency_mismatch"))
    );
    // Another key is another account: the same value means nothing there.
    let second = lab
        .create_key("second", &[ringproof::store::Scope::Verifications], &["default"])
        .await;
    let request = lab
        .client
        .post(format!("{}{V}", lab.base))
        .bearer_auth(second)
        .header("idempotency-key", "k1");
    let own = request.json(&json!({"to": "+14255550103"})).send().await.unwrap();
    assert_eq!(own.status(), StatusCode::CREATED);
    assert_eq!(dialer::play_due(&lab).await, 2);
}

#[tokio::test]
async fn what_has_been_answered_is_answered_again_whatever_has_changed_since() {
    let lab = Lab::start().await;
    let send = |to: &'static str, key: &'static str| {
        let request = lab
            .request(Method::POST, V)
            .header("idempotency-key", key)
            .json(&json!({"to": to}));
        async move { Answer::of(request.send().await.unwrap()).await }
    };
    let first = send("+14255550101", "k1").await;
    assert_eq!(first.status, StatusCode::CREATED);
    // The country and the profile are gone.
    let config = lab.state.config();
    let policy = PolicySettings {
        countries: vec!["DE".into()],
        ..Setup::default().policy
    };
    lab.state.reload(ringproof::api::ApiConfig {
        policy: ringproof::policy::Policy::new(policy).unwrap(),
        profiles: std::collections::BTreeMap::new(),
        ..(*config).clone()
    });
    let replayed = send("+14255550101", "k1").await;
    assert_eq!(
        (replayed.status, &replayed.text),
        (StatusCode::CREATED, &first.text)
    );
    lab.state.reload((*config).clone());
    lab.state.admission().drain();
    let replayed = send("+14255550101", "k1").await;
    assert_eq!(
        (replayed.status, &replayed.text),
        (StatusCode::CREATED, &first.text)
    );
    assert_eq!(replayed.header("idempotent-replayed"), "true");
    assert_eq!(send("+14255550102", "k1").await.status, 422);
    assert_eq!(send("+14255550102", "k2").await.status, 503);
}

#[tokio::test]
async fn one_call_at_a_time_per_number_unless_it_is_superseded() {
    // The cool-down holds for a call after the last one, not for a call in its place.
    let lab = Lab::start_with(Setup::with_number_limits(0, 0, 60)).await;
    let (first, _) = lab.create(&json!({"to": "+14255550101"})).await;
    let busy = lab.post(V, &json!({"to": "+14255550101"})).await;
    assert_eq!(
        (busy.status.as_u16(), busy.json()["code"].as_str()),
        (409, Some("call_in_progress"))
    );
    assert_eq!(busy.json()["verification"], first.to_string());
    let stranger = lab
        .create_key("stranger", &[ringproof::store::Scope::Verifications], &["other"])
        .await;
    let request = lab.client.post(format!("{}{V}", lab.base)).bearer_auth(stranger);
    let body = json!({"to": "+14255550101", "profile": "other", "supersede": true});
    let refused = Answer::of(request.json(&body).send().await.unwrap()).await;
    assert_eq!(refused.status, 409);
    assert!(
        refused.json().get("verification").is_none(),
        "a stranger does not learn the id"
    );
    let (second, _) = lab
        .create(&json!({"to": "+14255550101", "supersede": true}))
        .await;
    let read = lab.get(&format!("{V}/{first}")).await.json();
    assert_eq!(
        (&read["status"], &read["reason"]),
        (&json!("canceled"), &json!("superseded"))
    );
    dialer::play_due(&lab).await;
    assert_eq!(
        lab.get(&format!("{V}/{second}")).await.json()["status"],
        "approved"
    );
    let after = lab
        .post(V, &json!({"to": "+14255550101", "supersede": true}))
        .await;
    assert_eq!(
        (after.status.as_u16(), &after.json()["limit"]),
        (429, &json!("number")),
        "nothing is in progress any more"
    );
}

#[tokio::test]
async fn limits_answer_429_with_the_limit_and_the_wait() {
    let lab = Lab::start_with(Setup::with_number_limits(3, 10, 60)).await;
    lab.create(&json!({"to": "+14255550104"})).await;
    dialer::play_due(&lab).await;
    let answer = lab.post(V, &json!({"to": "+14255550104"})).await;
    assert_eq!(answer.status, 429);
    let problem = answer.json();
    assert_eq!(
        (&problem["code"], &problem["limit"]),
        (&json!("rate_limited"), &json!("number"))
    );
    let wait_s: u64 = answer.header("retry-after").parse().unwrap();
    assert!((50..=60).contains(&wait_s), "{wait_s}");
    lab.move_clock(60_000);
    lab.create(&json!({"to": "+14255550104"})).await;
}

#[tokio::test]
async fn a_long_poll_answers_at_the_next_change() {
    let lab = Lab::start().await;
    let (id, _) = lab.create(&json!({"to": "+14255550150"})).await;
    let path = format!("{V}/{id}?wait=60");
    let (answer, played) = tokio::join!(lab.get(&path), dialer::play_due(&lab));
    assert_eq!(played, 1);
    let sequence = answer.json()["sequence"].as_u64().unwrap();
    assert!(sequence > 1, "{}", answer.text);
    // What was missed is answered at once.
    let seen = lab
        .get(&format!("{V}/{id}?wait=60&after_sequence=1"))
        .await
        .json();
    assert_eq!(seen["stage"], "ringing");
    let latest = seen["sequence"].as_u64().unwrap();
    let attempt = seen["attempts"][0]["id"].as_str().unwrap().parse().unwrap();
    let path = format!("{V}/{id}?wait=60&after_sequence={latest}");
    let (answer, ()) = tokio::join!(
        lab.get(&path),
        dialer::decide(&lab.store, &lab, attempt, Reason::Busy)
    );
    assert_eq!(answer.json()["status"], "failed");
    // What has ended does not change: no waiting.
    assert_eq!(lab.get(&path).await.json()["reason"], "busy");
}

#[tokio::test]
async fn a_long_poll_outlives_draining() {
    let lab = Lab::start().await;
    let (id, _) = lab.create(&json!({"to": "+14255550150"})).await;
    lab.state.admission().drain();
    let path = format!("{V}/{id}?wait=60");
    let (answer, _) = tokio::join!(lab.get(&path), dialer::play_due(&lab));
    assert!(answer.json()["sequence"].as_u64().unwrap() > 1, "{}", answer.text);
}

#[tokio::test]
async fn cancel_is_idempotent_and_leaves_an_end_as_it_is() {
    let lab = Lab::start().await;
    let (queued, _) = lab.create(&json!({"to": "+14255550101"})).await;
    let cancel = format!("{V}/{queued}/cancel");
    for _ in 0..2 {
        let answer = lab.post(&cancel, &json!({})).await;
        assert_eq!(answer.status, 200);
        assert_eq!(
            (&answer.json()["status"], &answer.json()["reason"]),
            (&json!("canceled"), &json!("by_client"))
        );
    }
    let (live, _) = lab.create(&json!({"to": "+14255550150"})).await;
    dialer::play_due(&lab).await;
    let mut notices = lab.store.cancels();
    let answer = lab.post(&format!("{V}/{live}/cancel"), &json!({})).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["status"]),
        (202, &json!("pending"))
    );
    assert_eq!(notices.recv().await.unwrap().verification, live);
    let (done, _) = lab.create(&json!({"to": "+14255550102"})).await;
    dialer::play_due(&lab).await;
    let answer = lab.post(&format!("{V}/{done}/cancel"), &json!({})).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["status"]),
        (200, &json!("approved"))
    );
}

#[tokio::test]
async fn a_list_is_filtered_and_paged() {
    let lab = Lab::start().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        let (id, _) = lab
            .create(&json!({"to": format!("+1425555010{n}"), "client_ref": format!("r{n}")}))
            .await;
        ids.push(id.to_string());
        lab.move_clock(10);
    }
    lab.create(&json!({"to": "+493012345601"})).await;
    let mut seen = Vec::new();
    let mut path = format!("{V}?limit=2&country=US");
    loop {
        let page = lab.get(&path).await.json();
        seen.extend(
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|v| v["id"].as_str().unwrap().to_owned()),
        );
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("{V}?limit=2&country=US&cursor={cursor}"),
            None => break,
        }
    }
    ids.reverse();
    assert_eq!(seen, ids);
    let one = lab.get(&format!("{V}?client_ref=r3")).await.json();
    assert_eq!(one["items"][0]["to"], "+14255550103");
    assert_eq!(
        lab.get(&format!("{V}?status=approved")).await.json()["items"],
        json!([])
    );
}

/// Reads a stream to its end and returns (name, id, data) of each event.
async fn read_events(request: reqwest::RequestBuilder) -> Vec<(String, u64, Value)> {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let text = response.text().await.unwrap();
    let field = |block: &str, name: &str| {
        block
            .lines()
            .find_map(|l| l.strip_prefix(name))
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    text.split("\n\n")
        .filter(|block| block.contains("data:"))
        .map(|block| {
            let data = serde_json::from_str(&field(block, "data:")).unwrap();
            (field(block, "event:"), field(block, "id:").parse().unwrap(), data)
        })
        .collect()
}

#[tokio::test]
async fn events_come_in_order_resume_and_end() {
    let lab = Lab::start().await;
    let (id, created) = lab.create(&json!({"to": "+14255550101"})).await;
    let path = format!("{V}/{id}/events");
    let (events, _) = tokio::join!(
        read_events(lab.request(Method::GET, &path)),
        dialer::play_due(&lab)
    );
    let names: Vec<&str> = events.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "created",
            "dialing",
            "ringing",
            "answered",
            "prompting",
            "approved"
        ]
    );
    assert!(events.windows(2).all(|w| w[0].1 < w[1].1));
    let (_, last, data) = events.last().unwrap();
    assert_eq!(
        (&data["status"], &data["reason"]),
        (&json!("approved"), &json!("key_confirmed"))
    );
    assert!(!format!("{events:?}").contains("4255550101"));

    let resumed = lab
        .request(Method::GET, &path)
        .header("last-event-id", events[2].1.to_string());
    let resumed = read_events(resumed).await;
    assert_eq!(resumed, events[3..]);
    let over = lab
        .request(Method::GET, &path)
        .header("last-event-id", last.to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(over.status(), StatusCode::NO_CONTENT);

    let browser = created["links"]["browser_events"].as_str().unwrap();
    assert_eq!(read_events(lab.client.get(browser)).await.len(), events.len());
    let other = browser.replace(&id.to_string(), "ver_01932f0c8a7b7c3e9d4a5b6c7d8e9f00");
    assert_eq!(
        lab.client.get(other).send().await.unwrap().status(),
        StatusCode::UNAUTHORIZED
    );
    lab.move_clock(301_000);
    assert_eq!(
        lab.client.get(browser).send().await.unwrap().status(),
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn numbers_are_checked_without_a_call() {
    let lab = Lab::start().await;
    let check = |to: Value| {
        let lab = &lab;
        async move { lab.post("/v1/numbers/check", &json!({ "to": to })).await.json() }
    };
    let good = check(json!({"number": "030 12345601", "region": "DE"})).await;
    assert_eq!(
        (&good["allowed"], &good["to"], &good["country"]),
        (&json!(true), &json!("+493012345601"), &json!("DE"))
    );
    assert_eq!(
        (&good["line_type"], &good["caller_id"]),
        (&json!("fixed_line"), &json!("+4930123456"))
    );
    let foreign = check(json!("+33123456789")).await;
    assert_eq!(
        (&foreign["allowed"], &foreign["code"]),
        (&json!(false), &json!("country_not_allowed"))
    );
    // It is described all the same.
    assert_eq!(
        (&foreign["to"], &foreign["country"], &foreign["line_type"]),
        (&json!("+33123456789"), &json!("FR"), &json!("fixed_line"))
    );
    assert_eq!(foreign["detail"], "calls to FR are not allowed here");
    assert_eq!(foreign["caller_id"], Value::Null);
    let premium = check(json!("+19005550123")).await;
    assert_eq!(
        (&premium["allowed"], &premium["code"], &premium["line_type"]),
        (&json!(false), &json!("premium_number"), &json!("premium"))
    );
    let broken = check(json!("hello")).await;
    assert_eq!(
        (&broken["allowed"], &broken["code"]),
        (&json!(false), &json!("number_invalid"))
    );
    let block = lab
        .post("/v1/blocks", &json!({"number": "+14255550101", "note": "asked"}))
        .await;
    assert_eq!(block.status, StatusCode::CREATED, "{}", block.text);
    assert_eq!(check(json!("+14255550101")).await["code"], "number_blocked");
    let refused = lab.post(V, &json!({"to": "+14255550101"})).await;
    assert_eq!(
        (refused.status.as_u16(), refused.json()["code"].as_str()),
        (403, Some("number_blocked"))
    );
    let listed = lab.get("/v1/blocks").await.json();
    assert_eq!(
        (&listed["items"][0]["value"], &listed["items"][0]["note"]),
        (&json!("+14255550101"), &json!("asked"))
    );
    let removed = lab
        .request(Method::DELETE, block.header("location"))
        .send()
        .await
        .unwrap();
    assert_eq!(removed.status(), StatusCode::NO_CONTENT);
    assert_eq!(check(json!("+14255550101")).await["allowed"], true);
    assert_eq!(lab.get(V).await.json()["items"], json!([]));
}

#[tokio::test]
async fn regions_come_in_the_language_asked_for() {
    let lab = Lab::start().await;
    let german = lab.get("/v1/regions?locale=de-AT").await.json();
    let germany = german["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|r| r["code"] == "DE")
        .unwrap()
        .clone();
    assert_eq!(
        (&germany["name"], &germany["calling_code"]),
        (&json!("Deutschland"), &json!("49"))
    );
    assert_eq!(germany["allowed"], true);
    let request = lab
        .request(Method::GET, "/v1/regions")
        .header("accept-language", "fr-CH, en;q=0.5");
    let french: Value = request.send().await.unwrap().json().await.unwrap();
    let items = french["items"].as_array().unwrap();
    assert_eq!(french["locale"], "fr");
    assert!(
        items
            .iter()
            .any(|r| r["name"] == "Allemagne" && r["allowed"] == true)
    );
    assert!(items.iter().any(|r| r["code"] == "FR" && r["allowed"] == false));
}

#[tokio::test]
async fn the_number_of_open_streams_is_bounded() {
    let mut setup = Setup::default();
    setup.limits.streams_max = 1;
    let lab = Lab::start_with(setup).await;
    let (id, _) = lab.create(&json!({"to": "+14255550150"})).await;
    dialer::play_due(&lab).await;
    let path = format!("{V}/{id}/events");
    let mut open = lab.request(Method::GET, &path).send().await.unwrap();
    assert!(open.chunk().await.unwrap().is_some());
    let second = lab.get(&path).await;
    assert_eq!(
        (second.status.as_u16(), &second.json()["limit"]),
        (429, &json!("global"))
    );
    let attempt = lab
        .store
        .verification(id, &ringproof::store::Visibility::All)
        .await
        .unwrap()
        .unwrap()
        .attempts[0]
        .id;
    dialer::set_stage(&lab, attempt, Stage::Answered).await;
    let mut text = String::new();
    while !text.contains("event: answered") {
        text.push_str(std::str::from_utf8(&open.chunk().await.unwrap().unwrap()).unwrap());
    }
}
