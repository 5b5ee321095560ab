//! The enrolment pages walked without JavaScript while the call they place goes over the wire to a simulated callee.
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use reqwest::{StatusCode, Url};
use serde_json::{Value, json};

use super::house::House;
use super::line::text;
use crate::browser::Browser;

/// A session of the wizard, and a browser on its first page.
async fn begin(house: &House) -> (String, Browser) {
    let body = json!({
        "return_url": "https://idp.example/security-info?tab=2", "client_ref": "user-42",
        "alternatives": [{"type": "sms", "url": "https://idp.example/setup/sms"}],
    });
    let made = house.http.post("/v1/enrollments", &body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let made = made.json();
    let url = Url::parse(text(&made["url"])).unwrap();
    let base = format!("http://{}", house.app.http);
    let browser = Browser::open(&base, url.path()).await;
    (text(&made["id"]).to_owned(), browser)
}

/// From the list to the call, which is followed to its end.
async fn call(house: &House, browser: &mut Browser, enrollment: &str, number: &str) -> Value {
    let root = browser.path.clone();
    browser.go(&format!("{root}/phone")).await;
    browser
        .submit(&[("region", "US"), ("number", number), ("method", "press_key")])
        .await;
    assert!(browser.path.ends_with("/review"), "{}", browser.text);
    browser.submit(&[]).await;
    assert!(browser.path.ends_with("/call"), "{}", browser.text);
    browser.sees("role=\"status\"");
    let read = house
        .http
        .get(&format!("/v1/enrollments/{enrollment}"))
        .await
        .ok();
    let ended = house.http.ended(text(&read["verification"]["id"])).await;
    browser.go(&format!("{root}/call")).await;
    ended
}

/// Where the wizard sends its user back to, and what the signed result says.
async fn returned(house: &House, browser: &mut Browser, root: &str) -> Value {
    browser.go(&format!("{root}/return")).await;
    assert_eq!(browser.status, StatusCode::SEE_OTHER, "{}", browser.text);
    let target = Url::parse(browser.header("location")).unwrap();
    assert_eq!(
        (target.host_str(), target.path()),
        (Some("idp.example"), "/security-info")
    );
    let (_, result) = target.query_pairs().find(|(name, _)| name == "result").unwrap();
    let (content, signature) = result.rsplit_once('.').unwrap();
    let decode = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).unwrap();
    let keys = house.http.get("/.well-known/jwks.json").await.ok();
    let key: [u8; 32] = decode(text(&keys["keys"][0]["x"])).try_into().unwrap();
    let key = ed25519_dalek::VerifyingKey::from_bytes(&key).unwrap();
    let signature = ed25519_dalek::Signature::from_slice(&decode(signature)).unwrap();
    key.verify_strict(content.as_bytes(), &signature).unwrap();
    serde_json::from_slice(&decode(content.split_once('.').unwrap().1)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn number_call_pound_success_and_the_signed_return() {
    let house = House::start().await;
    let (enrollment, mut browser) = begin(&house).await;
    let root = browser.path.clone();
    browser
        .sees("Security info")
        .sees("https://idp.example/setup/sms");
    let ended = call(&house, &mut browser, &enrollment, "500 555 0001").await;
    assert_eq!(ended["reason"], "key_confirmed", "{ended}");
    browser
        .sees("Confirmed: your phone is set up")
        .sees("+1••••••••01");
    let claims = returned(&house, &mut browser, &root).await;
    assert_eq!(
        (&claims["status"], &claims["reason"], &claims["client_ref"]),
        (&json!("approved"), &json!("key_confirmed"), &json!("user-42"))
    );
    assert_eq!(
        (&claims["enrollment"], &claims["verification"]),
        (&json!(enrollment), &ended["id"])
    );
    let heard = house.carrier.calls_to("+15005550001").await;
    assert_eq!(heard.len(), 1, "one phone rang once");
    let read = house
        .http
        .get(&format!("/v1/enrollments/{enrollment}"))
        .await
        .ok();
    assert_eq!(read["status"], "completed");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn busy_and_unanswered_calls_say_what_to_do_next_and_a_second_number_succeeds() {
    let house = House::start().await;
    let (enrollment, mut browser) = begin(&house).await;
    let root = browser.path.clone();
    for (number, reason, title, next) in [
        (
            "500 555 0004",
            "busy",
            "The line is busy",
            "End the other call, then call again.",
        ),
        (
            "500 555 0005",
            "no_answer",
            "Nobody answered",
            "Make sure that it is switched on",
        ),
    ] {
        let ended = call(&house, &mut browser, &enrollment, number).await;
        assert_eq!(ended["reason"], reason, "{ended}");
        assert!(browser.title().starts_with(title), "{}", browser.title());
        browser.sees(next);
        browser.go(&root).await;
    }
    let ended = call(&house, &mut browser, &enrollment, "500 555 0002").await;
    assert_eq!(ended["reason"], "key_confirmed", "{ended}");
    assert_eq!(returned(&house, &mut browser, &root).await["status"], "approved");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_country_that_is_not_allowed_is_named_at_its_field_and_nothing_rings() {
    let house = House::start().await;
    let (enrollment, mut browser) = begin(&house).await;
    let path = format!("{}/phone", browser.path);
    browser.go(&path).await;
    browser
        .submit(&[
            ("region", "US"),
            ("number", "+33 1 23 45 67 89"),
            ("method", "press_key"),
        ])
        .await;
    assert_eq!(browser.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(browser.title().starts_with("Error: "));
    browser
        .sees("does not call numbers of this country")
        .sees("<a href=\"#number\">");
    let read = house
        .http
        .get(&format!("/v1/enrollments/{enrollment}"))
        .await
        .ok();
    assert_eq!(
        (&read["status"], &read["verification"]),
        (&json!("open"), &Value::Null)
    );
    let calls = house.carrier.http.get("/sim/calls").await.ok();
    assert_eq!(calls["calls"], json!([]));
    house.stop().await;
}
