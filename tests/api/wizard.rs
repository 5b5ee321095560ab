//! The enrolment pages over plain HTTP, as a browser without JavaScript walks them.
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::dialer;
use super::harness::Lab;
use crate::browser::{Browser, between, with_form};

async fn enroll(lab: &Lab, extra: Value) -> (String, String) {
    let mut body = json!({
        "return_url": "https://idp.example/security-info?tab=2", "client_ref": "user-42",
        "allowed_methods": ["press_key", "match_code"],
        "current_methods": [
            {"id": "m1", "type": "email", "detail": "a•••@idp.example", "default": true},
            {"id": "m2", "type": "authenticator", "label": "Authenticator on <Pixel>"}],
        "alternatives": [{"type": "sms", "url": "https://idp.example/setup/sms"}],
    });
    body.as_object_mut()
        .unwrap()
        .extend(extra.as_object().unwrap().clone());
    let answer = lab.post("/v1/enrollments", &body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let json = answer.json();
    (
        json["id"].as_str().unwrap().to_owned(),
        json["url"].as_str().unwrap().to_owned(),
    )
}

/// Verifies a compact JWS with the published key and returns its claims.
async fn claims(lab: &Lab, jws: &str) -> Value {
    let keys = lab.get("/.well-known/jwks.json").await.json();
    let (content, signature) = jws.rsplit_once('.').unwrap();
    let decode = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).unwrap();
    let (header, payload) = content.split_once('.').unwrap();
    let header: Value = serde_json::from_slice(&decode(header)).unwrap();
    assert_eq!(header["alg"], "EdDSA");
    let key = keys["keys"]
        .as_array()
        .unwrap()
        .iter()
        .find(|k| k["kid"] == header["kid"])
        .unwrap();
    let key: [u8; 32] = decode(key["x"].as_str().unwrap()).try_into().unwrap();
    let key = ed25519_dalek::VerifyingKey::from_bytes(&key).unwrap();
    let signature = ed25519_dalek::Signature::from_slice(&decode(signature)).unwrap();
    key.verify_strict(content.as_bytes(), &signature).unwrap();
    serde_json::from_slice(&decode(payload)).unwrap()
}

async fn returned(lab: &Lab, browser: &mut Browser, token_path: &str) -> (reqwest::Url, Value) {
    browser.go(&format!("{token_path}/return")).await;
    assert_eq!(browser.status, StatusCode::SEE_OTHER);
    let url = reqwest::Url::parse(browser.header("location")).unwrap();
    let result = url
        .query_pairs()
        .find(|(k, _)| k == "result")
        .unwrap()
        .1
        .into_owned();
    let claims = claims(lab, &result).await;
    (url, claims)
}

/// From the list to the review of a number.
async fn enter(browser: &mut Browser, number: &str, method: &str) {
    let path = format!("{}/phone", browser.path);
    browser.go(&path).await;
    browser
        .submit(&[
            ("region", "US"),
            ("number", number),
            ("extension", ""),
            ("method", method),
        ])
        .await;
}

#[tokio::test]
async fn from_the_list_to_the_signed_return() {
    let lab = Lab::start().await;
    let (enrollment, url) = enroll(&lab, json!({})).await;
    let mut browser = Browser::open(&lab.base, &url).await;
    let root = browser.path.clone();
    browser
        .sees("Security info")
        .sees("a•••@idp.example")
        .sees("Authenticator on &#60;Pixel&#62;")
        .sees("Contoso");
    browser
        .sees("https://idp.example/setup/sms")
        .sees("Your organisation decides which methods are offered");
    let policy = browser.header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert_eq!(browser.header("cache-control"), "no-store");

    enter(&mut browser, "(425) 555-0101", "press_key").await;
    browser
        .sees("+1 425-555-0101")
        .sees("+1 800-555-0199")
        .sees("press # (pound or hash)");
    assert!(browser.path.ends_with("/review"));
    browser.submit(&[]).await;
    assert!(browser.path.ends_with("/call"), "{}", browser.path);
    browser
        .sees("role=\"status\"")
        .sees("Calling…")
        .sees("<noscript><meta http-equiv=\"refresh\" content=\"2\">");
    let read = lab.get(&format!("/v1/enrollments/{enrollment}")).await.json();
    assert_eq!(
        (&read["status"], &read["verification"]["status"]),
        (&json!("calling"), &json!("pending"))
    );

    assert_eq!(dialer::play_due(&lab).await, 1);
    browser.go(&format!("{root}/call")).await;
    browser
        .sees("Confirmed: your phone is set up")
        .sees("+1••••••••01")
        .sees("Continue to Contoso");
    let (target, claims) = returned(&lab, &mut browser, &root).await;
    assert!(
        target
            .as_str()
            .starts_with("https://idp.example/security-info?tab=2&enrollment="),
        "{target}"
    );
    assert_eq!(claims["iss"], lab.base);
    assert_eq!(
        (&claims["aud"], &claims["enrollment"]),
        (&json!("default"), &json!(enrollment))
    );
    assert_eq!(
        (&claims["status"], &claims["reason"]),
        (&json!("approved"), &json!("key_confirmed"))
    );
    assert_eq!(claims["client_ref"], "user-42");
    let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert!(life > 0 && life <= 300);
    let read = lab.get(&format!("/v1/enrollments/{enrollment}")).await.json();
    assert_eq!(
        (&read["status"], &read["verification"]["id"]),
        (&json!("completed"), &claims["verification"])
    );
    browser.go(&root).await;
    browser.sees("New").sees("+1••••••••01");
}

#[tokio::test]
async fn each_stage_is_told_and_the_code_is_shown_large() {
    let lab = Lab::start().await;
    let (_, url) = enroll(&lab, json!({})).await;
    let mut browser = Browser::open(&lab.base, &url).await;
    enter(&mut browser, "+1 425 555 0150", "match_code").await;
    browser.submit(&[]).await;
    dialer::play_due(&lab).await;
    let path = browser.path.clone();
    browser.go(&path).await;
    browser.sees("Ringing").sees("class=\"digits\"");
    let code = between(&browser.text, "<span aria-hidden=\"true\">", "</span>").to_owned();
    assert!(
        code.len() == 4 && code.bytes().all(|b| b.is_ascii_digit()),
        "{code}"
    );
    browser.submit(&[]).await;
    browser.sees("Ringing");
    let canceled = lab.store.pending_cancels("node-1").await.unwrap();
    assert_eq!(canceled.len(), 1, "the button asks for the end of the live call");
}

#[tokio::test]
async fn each_failure_says_what_to_do_next() {
    let lab = Lab::start().await;
    for (number, title, next) in [
        (
            "4255550104",
            "The line is busy",
            "End the other call, then call again.",
        ),
        (
            "4255550105",
            "Nobody answered",
            "Make sure that it is switched on",
        ),
        ("4255550106", "The call was declined", "Call again and answer it."),
        (
            "4255550107",
            "This number does not exist",
            "Check the digits and change the number.",
        ),
        (
            "4255550111",
            "The call was reported as fraud",
            "speak to your administrator",
        ),
    ] {
        let (enrollment, url) = enroll(&lab, json!({})).await;
        let mut browser = Browser::open(&lab.base, &url).await;
        let root = browser.path.clone();
        enter(&mut browser, number, "press_key").await;
        browser.submit(&[]).await;
        dialer::play_due(&lab).await;
        browser.go(&format!("{root}/call")).await;
        assert!(browser.title().starts_with(title), "{}", browser.title());
        browser.sees(next).sees("https://idp.example/setup/sms");
        let (_, claims) = returned(&lab, &mut browser, &root).await;
        assert_ne!(claims["status"], "approved");
        let read = lab.get(&format!("/v1/enrollments/{enrollment}")).await.json();
        assert_eq!(read["status"], "open");
    }
}

#[tokio::test]
async fn call_again_is_offered_after_a_minute() {
    let lab = Lab::start().await;
    let (_, url) = enroll(&lab, json!({})).await;
    let mut browser = Browser::open(&lab.base, &url).await;
    enter(&mut browser, "4255550104", "press_key").await;
    browser.submit(&[]).await;
    dialer::play_due(&lab).await;
    let path = browser.path.clone();
    browser.go(&path).await;
    browser.sees("You can call again in");
    assert!(!browser.text.contains(">Call again</button>"));
    lab.move_clock(61_000);
    browser.go(&path).await;
    browser.sees(">Call again</button>");
    browser.submit(&[]).await;
    browser.sees("Calling…");
    assert_eq!(dialer::play_due(&lab).await, 1);
}

#[tokio::test]
async fn a_wrong_entry_is_named_at_its_field_and_kept() {
    let lab = Lab::start().await;
    let (_, url) = enroll(&lab, json!({})).await;
    for (region, number, extension, field, text) in [
        ("US", "", "", "number", "Enter your telephone number"),
        (
            "US",
            "12",
            "",
            "number",
            "Enter a telephone number that can be called",
        ),
        (
            "US",
            "911",
            "",
            "number",
            "Enter a telephone number that can be called",
        ),
        (
            "US",
            "+33 1 23 45 67 89",
            "",
            "number",
            "does not call numbers of this country",
        ),
        (
            "US",
            "(900) 555-0123",
            "",
            "number",
            "premium-rate numbers are not called",
        ),
        (
            "",
            "4255550101",
            "",
            "region",
            "Choose a country or region, or start the number with +",
        ),
        (
            "US",
            "4255550101",
            "12x",
            "extension",
            "Enter the extension with digits only",
        ),
        (
            "US",
            "4255550101 ext 5",
            "",
            "number",
            "Enter the extension in its own field",
        ),
        (
            "US",
            "<script>",
            "",
            "number",
            "Enter a telephone number that can be called",
        ),
    ] {
        let mut browser = Browser::open(&lab.base, &url).await;
        let path = format!("{}/phone", browser.path);
        browser.go(&path).await;
        browser
            .submit(&[("region", region), ("number", number), ("extension", extension)])
            .await;
        assert_eq!(browser.status, StatusCode::UNPROCESSABLE_ENTITY, "{number}");
        assert!(browser.title().starts_with("Error: "));
        browser
            .sees(text)
            .sees(&format!("<a href=\"#{field}\">"))
            .sees("aria-invalid=\"true\"");
        assert!(!browser.text.contains("<script>"), "{}", browser.text);
    }
    assert_eq!(lab.get("/v1/verifications").await.json()["items"], json!([]));
}

#[tokio::test]
async fn the_country_follows_the_language_of_the_browser() {
    let lab = Lab::start().await;
    let (_, url) = enroll(&lab, json!({})).await;
    for (language, option) in [
        (
            "de-DE",
            "<option value=\"DE\" selected>Deutschland (+49)</option>",
        ),
        (
            "en-US",
            "<option value=\"US\" selected>United States (+1)</option>",
        ),
        ("fr", "<option value=\"\" selected>"),
    ] {
        let mut browser = Browser::open_in(&lab.base, &url, language).await;
        let path = format!("{}/phone", browser.path);
        browser.go(&path).await;
        browser.sees(option);
        assert_eq!(
            browser.text.matches("<option value=\"").count(),
            2 + usize::from(language == "fr")
        );
    }
}

#[tokio::test]
async fn a_form_from_elsewhere_is_refused() {
    let lab = Lab::start().await;
    let (_, url) = enroll(&lab, json!({})).await;
    let mut browser = Browser::open(&lab.base, &url).await;
    let path = format!("{}/phone", browser.path);
    browser.go(&path).await;
    let csrf = between(&browser.text, "name=\"csrf\" value=\"", "\"").to_owned();
    let cookie = browser.cookie.clone().unwrap();
    let send = |cookie: Option<&str>, csrf: &str, site: &'static str| {
        let form = [("csrf", csrf), ("region", "US"), ("number", "4255550101")];
        let request = with_form(lab.client.post(format!("{}{path}", lab.base)), form);
        let mut request = request.header("sec-fetch-site", site);
        if let Some(cookie) = cookie {
            request = request.header("cookie", cookie);
        }
        async move { request.send().await.unwrap().status() }
    };
    assert_eq!(send(None, &csrf, "same-origin").await, StatusCode::FORBIDDEN);
    assert_eq!(
        send(Some(&cookie), "", "same-origin").await,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        send(Some(&cookie), &csrf, "cross-site").await,
        StatusCode::FORBIDDEN
    );
    let other = format!("rp_form={}", "0".repeat(32));
    assert_eq!(
        send(Some(&other), &csrf, "same-origin").await,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        send(Some(&cookie), &csrf, "same-origin").await,
        StatusCode::SEE_OTHER
    );
}

#[tokio::test]
async fn removing_a_method_comes_back_as_an_action() {
    let lab = Lab::start().await;
    let (enrollment, url) = enroll(&lab, json!({})).await;
    let mut browser = Browser::open(&lab.base, &url).await;
    let root = browser.path.clone();
    browser.go(&format!("{root}/methods/1/remove")).await;
    browser.sees("Remove Authenticator on");
    browser.submit(&[]).await;
    browser.sees("Continue to Contoso");
    let (_, claims) = returned(&lab, &mut browser, &root).await;
    assert_eq!(claims["action"], json!({"type": "remove", "method_id": "m2"}));
    assert_eq!(
        (&claims["status"], &claims["verification"]),
        (&json!("none"), &Value::Null)
    );
    let read = lab.get(&format!("/v1/enrollments/{enrollment}")).await.json();
    assert_eq!(read["action"], json!({"type": "remove", "method_id": "m2"}));
    browser.go(&format!("{root}/methods/9/remove")).await;
    assert_eq!(browser.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn links_end_and_unknown_ones_say_so() {
    let lab = Lab::start().await;
    let (enrollment, url) = enroll(&lab, json!({"expires_in": 60})).await;
    lab.move_clock(61_000);
    let browser = Browser::open(&lab.base, &url).await;
    assert_eq!(browser.status, StatusCode::GONE);
    browser.sees("This link has expired");
    assert_eq!(
        lab.get(&format!("/v1/enrollments/{enrollment}")).await.json()["status"],
        "expired"
    );
    for token in ["x", &"0".repeat(64)] {
        let browser = Browser::open(&lab.base, &format!("{}/enroll/{token}", lab.base)).await;
        assert_eq!(browser.status, StatusCode::NOT_FOUND);
        browser.sees("This link does not work");
    }
}

#[tokio::test]
async fn a_finished_session_signs_no_result_once_its_link_is_over() {
    let lab = Lab::start().await;
    let (enrollment, url) = enroll(&lab, json!({"expires_in": 60})).await;
    let mut browser = Browser::open(&lab.base, &url).await;
    let root = browser.path.clone();
    enter(&mut browser, "4255550101", "press_key").await;
    browser.submit(&[]).await;
    dialer::play_due(&lab).await;
    // The end of the link has passed, the grace has not: the person may still go back.
    lab.move_clock(61_000);
    let (_, claims) = returned(&lab, &mut browser, &root).await;
    assert_eq!(claims["status"], "approved");
    lab.move_clock(300_000);
    for step in ["", "/phone", "/review", "/call", "/return"] {
        browser.go(&format!("{root}{step}")).await;
        assert_eq!(browser.status, StatusCode::GONE, "{step}");
        assert!(browser.header("location").is_empty(), "{step}");
        browser.sees("This link has expired");
    }
    // The platform's own reading is not ended by it.
    assert_eq!(
        lab.get(&format!("/v1/enrollments/{enrollment}")).await.json()["status"],
        "completed"
    );
}

#[tokio::test]
async fn a_second_click_finds_the_call_of_the_first() {
    let lab = Lab::start().await;
    let (_, url) = enroll(&lab, json!({})).await;
    let mut browser = Browser::open(&lab.base, &url).await;
    enter(&mut browser, "4255550101", "press_key").await;
    let csrf = between(&browser.text, "name=\"csrf\" value=\"", "\"").to_owned();
    let click = || {
        let target = browser.path.replace("/review", "/call");
        let request = lab.client.post(format!("{}{target}", lab.base));
        let request = with_form(request, [("csrf", csrf.as_str())]);
        let request = request.header("cookie", browser.cookie.clone().unwrap());
        async move { request.send().await.unwrap().status() }
    };
    let (a, b, c) = tokio::join!(click(), click(), click());
    assert_eq!([a, b, c], [StatusCode::SEE_OTHER; 3]);
    assert_eq!(
        lab.get("/v1/verifications").await.json()["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn the_assets_are_served_with_their_types() {
    let lab = Lab::start().await;
    for (file, kind) in [
        ("enroll.css", "text/css"),
        ("enroll.js", "text/javascript"),
        ("icon.svg", "image/svg"),
    ] {
        let answer = lab.get(&format!("/assets/{file}")).await;
        assert_eq!(answer.status, 200);
        assert!(answer.header("content-type").starts_with(kind));
        let again = lab.request(reqwest::Method::GET, &format!("/assets/{file}"));
        let again = again
            .header("if-none-match", answer.header("etag"))
            .send()
            .await
            .unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    }
    assert_eq!(lab.get("/assets/..%2fmod.rs").await.status, 404);
}
