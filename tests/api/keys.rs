//! API keys: scopes, profiles, expiry, and the limit on wrong ones.
use reqwest::Method;
use ringproof::store::Scope;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::dialer;
use super::harness::{Answer, Lab, Setup};

async fn with_key(lab: &Lab, key: &str, method: Method, path: &str) -> Answer {
    let request = lab
        .client
        .request(method, format!("{}{path}", lab.base))
        .bearer_auth(key);
    Answer::of(request.send().await.unwrap()).await
}

#[tokio::test]
async fn a_key_sees_the_rows_of_its_profiles_only() {
    let lab = Lab::start().await;
    let (id, _) = lab.create(&json!({"to": "+14255550101"})).await;
    let other = lab.create_key("other", &[Scope::Verifications], &["other"]).await;
    let all = lab.create_key("all", &[Scope::Admin], &["*"]).await;
    for (key, status) in [(&lab.key, 200), (&other, 404), (&all, 200)] {
        let path = format!("/v1/verifications/{id}");
        assert_eq!(with_key(&lab, key, Method::GET, &path).await.status, status);
        let cancel = format!("{path}/cancel");
        if status == 404 {
            assert_eq!(with_key(&lab, key, Method::POST, &cancel).await.status, 404);
        }
        let events = with_key(&lab, key, Method::GET, "/v1/verifications").await.json();
        assert_eq!(
            events["items"].as_array().unwrap().len(),
            usize::from(status == 200)
        );
    }
    dialer::play_due(&lab).await;
}

#[tokio::test]
async fn a_key_is_refused_a_second_after_it_was_revoked() {
    let lab = Lab::start().await;
    assert_eq!(lab.get("/v1/verifications").await.status, 200);
    assert!(lab.store.key_revoke("key_lab", lab.now()).await.unwrap());
    lab.move_clock(1000);
    let answer = lab.get("/v1/verifications").await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"ringproof\"");
    assert_eq!(
        answer.json()["detail"],
        "the API key is unknown, expired or revoked"
    );
}

#[tokio::test]
async fn wrong_keys_from_one_address_are_stopped_and_others_go_on() {
    let lab = Lab::start().await;
    let wrong = format!("rp_live_{}", "a".repeat(43));
    for _ in 0..20 {
        assert_eq!(
            with_key(&lab, &wrong, Method::GET, "/v1/regions").await.status,
            401
        );
    }
    let answer = with_key(&lab, &wrong, Method::GET, "/v1/regions").await;
    assert_eq!(answer.status, 429);
    assert_eq!(answer.json()["limit"], "ip");
    let wait_s: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&wait_s), "{wait_s}");
    // A good key is let in whatever others send from its address.
    assert_eq!(lab.get("/v1/regions").await.status, 200);
    // What the client claims stands in a line of its own, above the proxy's: the last hop counts.
    let from = |hop: &'static str| {
        let request = lab
            .client
            .get(format!("{}/v1/regions", lab.base))
            .bearer_auth(&wrong)
            .header("x-forwarded-for", "203.0.113.1")
            .header("x-forwarded-for", hop);
        async move { request.send().await.unwrap().status() }
    };
    assert_eq!(from("198.51.100.9").await, 401);
    assert_eq!(
        from("127.0.0.1, 127.0.0.1").await,
        401,
        "all hops are trusted but the first"
    );
    lab.move_clock(60_000);
    assert_eq!(
        with_key(&lab, &wrong, Method::GET, "/v1/regions").await.status,
        401
    );
}

#[tokio::test]
async fn a_connection_that_sends_no_request_is_closed_and_others_are_served() {
    let mut setup = Setup::default();
    setup.limits.head_timeout_s = 1;
    let lab = Lab::start_with(setup).await;
    let address = lab.base.strip_prefix("http://").unwrap();
    let mut silent = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut slow = tokio::net::TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Slow: ")
        .await
        .unwrap();
    assert_eq!(lab.get("/healthz").await.status, 200);
    let mut rest = Vec::new();
    silent.read_to_end(&mut rest).await.unwrap();
    slow.read_to_end(&mut rest).await.unwrap();
    assert!(!String::from_utf8_lossy(&rest).contains("200 OK"));
}

#[tokio::test]
async fn stopping_ends_streams_lets_answers_leave_and_closes_the_listener() {
    let lab = Lab::start().await;
    let (id, _) = lab.create(&json!({"to": "+14255550150"})).await;
    let events = lab.request(Method::GET, &format!("/v1/verifications/{id}/events"));
    let mut open = events.send().await.unwrap();
    assert!(open.chunk().await.unwrap().is_some(), "the stream is on");
    lab.state.admission().stop();
    while open.chunk().await.unwrap().is_some() {}
    lab.served.await.unwrap();
    assert!(
        lab.client
            .get(format!("{}/healthz", lab.base))
            .send()
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_capture_is_for_the_admin_scope_and_says_why_there_is_none() {
    let lab = Lab::start().await;
    let (id, _) = lab.create(&json!({"to": "+14255550101"})).await;
    let path = format!("/v1/verifications/{id}/capture.pcap");
    let refused = lab.get(&path).await;
    assert_eq!(refused.status, 403);
    assert_eq!(refused.json()["code"], "scope_missing");
    let admin = lab.create_key("admin", &[Scope::Admin], &["default"]).await;
    let none = with_key(&lab, &admin, Method::GET, &path).await;
    assert_eq!(none.status, 404);
    assert_eq!(
        none.json()["detail"],
        "no call of this verification is in the flight recorder; it keeps the last [capture] calls since the start"
    );
    dialer::play_due(&lab).await;
}
