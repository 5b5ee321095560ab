//! Bad requests, each with the exact answer that it gets.
use reqwest::Method;
use serde_json::json;

use super::harness::{Answer, Lab, Setup};
use crate::browser::with_form;

/// A request and its refusal: status, code, param, detail.
pub(super) struct Case {
    pub(super) what: &'static str,
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) body: &'static str,
    pub(super) status: u16,
    pub(super) code: &'static str,
    param: Option<&'static str>,
    detail: &'static str,
}

pub(super) const V: &str = "/v1/verifications";

/// A POST to `/v1/verifications`.
const fn create(
    what: &'static str,
    body: &'static str,
    (status, code, param): (u16, &'static str, Option<&'static str>),
    detail: &'static str,
) -> Case {
    Case {
        what,
        method: Method::POST,
        path: V,
        body,
        status,
        code,
        param,
        detail,
    }
}

const fn get(
    what: &'static str,
    path: &'static str,
    (status, code, param): (u16, &'static str, Option<&'static str>),
    detail: &'static str,
) -> Case {
    Case {
        what,
        method: Method::GET,
        path,
        body: "",
        status,
        code,
        param,
        detail,
    }
}

const fn post(
    what: &'static str,
    path: &'static str,
    body: &'static str,
    (status, code, param): (u16, &'static str, Option<&'static str>),
    detail: &'static str,
) -> Case {
    Case {
        what,
        method: Method::POST,
        path,
        body,
        status,
        code,
        param,
        detail,
    }
}

pub(super) const CASES: &[Case] = &[
    // The body as JSON.
    create(
        "nothing",
        "",
        (400, "malformed", None),
        "the body is empty; send a JSON object",
    ),
    create(
        "broken JSON",
        "{\"to\":",
        (400, "malformed", None),
        "the body is no valid JSON: EOF while parsing a value at line 1 column 6",
    ),
    create(
        "an array",
        "[]",
        (400, "malformed", None),
        "the body must be a JSON object, found an array",
    ),
    create(
        "a string",
        "\"+1\"",
        (400, "malformed", None),
        "the body must be a JSON object, found a string",
    ),
    create(
        "a field twice",
        r#"{"to":"+1","to":"+2"}"#,
        (400, "malformed", None),
        "the body is no valid JSON: the name \"to\" stands twice in one object at line 1 column 21",
    ),
    create(
        "trailing text",
        r#"{"to":"+14255550123"} x"#,
        (400, "malformed", None),
        "the body is no valid JSON: trailing characters at line 1 column 23",
    ),
    create(
        "invalid UTF-8 escape",
        r#"{"to":"\ud800"}"#,
        (400, "malformed", None),
        "the body is no valid JSON: unexpected end of hex escape at line 1 column 14",
    ),
    // Fields.
    create(
        "no number",
        "{}",
        (400, "malformed", Some("to")),
        "to is required: send a number such as \"+14255550123\"",
    ),
    create(
        "null number",
        r#"{"to":null}"#,
        (400, "malformed", Some("to")),
        "to is required: send a number such as \"+14255550123\"",
    ),
    create(
        "number as a number",
        r#"{"to":14255550123}"#,
        (400, "malformed", Some("to")),
        "to must be a string such as \"+14255550123\" or an object {\"number\", \"region\"}",
    ),
    create(
        "object without number",
        r#"{"to":{"region":"US"}}"#,
        (400, "malformed", Some("to.number")),
        "number is required: send the number as the person wrote it",
    ),
    create(
        "unknown field in to",
        r#"{"to":{"number":"1","regoin":"US"}}"#,
        (400, "malformed", Some("to.regoin")),
        "unknown field \"regoin\"; did you mean \"region\"?",
    ),
    create(
        "unknown region",
        r#"{"to":{"number":"1","region":"XX"}}"#,
        (422, "param_invalid", Some("to.region")),
        "region must be an ISO 3166-1 alpha-2 code such as \"US\", found \"XX\"",
    ),
    create(
        "misspelt field",
        r#"{"to":"+14255550123","metod":"press_key"}"#,
        (400, "malformed", Some("metod")),
        "unknown field \"metod\"; did you mean \"method\"?",
    ),
    create(
        "unknown field",
        r#"{"to":"+14255550123","channel":"sms"}"#,
        (400, "malformed", Some("channel")),
        "unknown field \"channel\"; known fields: to, extension, method, code, purpose, locale, brand, profile, \
         client_ref, end_user, callback_url, expires_in, tags, message, supersede",
    ),
    create(
        "unknown method",
        r#"{"to":"+14255550123","method":"sms"}"#,
        (400, "malformed", Some("method")),
        "unknown method \"sms\"; expected one of: press_key random_key match_code speak_code",
    ),
    create(
        "unknown purpose",
        r#"{"to":"+14255550123","purpose":"login"}"#,
        (400, "malformed", Some("purpose")),
        "unknown purpose \"login\"; expected one of: enroll sign_in password_reset transaction",
    ),
    create(
        "method as a number",
        r#"{"to":"+14255550123","method":1}"#,
        (400, "malformed", Some("method")),
        "method must be a string, found a number",
    ),
    create(
        "supersede as a string",
        r#"{"to":"+14255550123","supersede":"yes"}"#,
        (400, "malformed", Some("supersede")),
        "supersede must be true or false, found a string",
    ),
    create(
        "expires_in as a fraction",
        r#"{"to":"+14255550123","expires_in":1.5}"#,
        (400, "malformed", Some("expires_in")),
        "expires_in must be a whole number, found a fraction or a very large number",
    ),
    create(
        "expires_in too short",
        r#"{"to":"+14255550123","expires_in":5}"#,
        (422, "param_invalid", Some("expires_in")),
        "expires_in must be 10 to 3600, found 5",
    ),
    create(
        "empty brand",
        r#"{"to":"+14255550123","brand":""}"#,
        (422, "param_invalid", Some("brand")),
        "brand must not be empty; leave it out instead",
    ),
    create(
        "brand with a control character",
        r#"{"to":"+14255550123","brand":"a\u0007"}"#,
        (422, "param_invalid", Some("brand")),
        "brand must not hold control characters",
    ),
    create(
        "locale",
        r#"{"to":"+14255550123","locale":"german!"}"#,
        (422, "param_invalid", Some("locale")),
        "locale must be a BCP 47 tag such as \"de-DE\", found \"german!\"",
    ),
    create(
        "tags as a list",
        r#"{"to":"+14255550123","tags":["a"]}"#,
        (400, "malformed", Some("tags")),
        "tags must be an object, found an array",
    ),
    create(
        "tag as a number",
        r#"{"to":"+14255550123","tags":{"a":1}}"#,
        (400, "malformed", Some("tags.a")),
        "a must be a string, found a number",
    ),
    create(
        "end user's address",
        r#"{"to":"+14255550123","end_user":{"ip":"localhost"}}"#,
        (422, "param_invalid", Some("end_user.ip")),
        "ip must be an IPv4 or IPv6 address, found \"localhost\"",
    ),
    create(
        "end user's unknown field",
        r#"{"to":"+14255550123","end_user":{"name":"A"}}"#,
        (400, "malformed", Some("end_user.name")),
        "unknown field \"name\"; known fields: id, ip",
    ),
    // Extension and code.
    create(
        "extension as a string",
        r#"{"to":"+14255550123","extension":"12"}"#,
        (400, "malformed", Some("extension")),
        "extension must be an object, found a string",
    ),
    create(
        "extension without digits",
        r#"{"to":"+14255550123","extension":{}}"#,
        (400, "malformed", Some("extension.digits")),
        "digits is required: send the keys, such as \"1234\"",
    ),
    create(
        "extension with a letter",
        r#"{"to":"+14255550123","extension":{"digits":"12x"}}"#,
        (422, "extension_invalid", Some("extension.digits")),
        "extension.digits: expected only 0-9, *, # and A-D, found 'x' at position 3",
    ),
    create(
        "long extension",
        r#"{"to":"+14255550123","extension":{"digits":"12345678901234567"}}"#,
        (422, "extension_invalid", Some("extension.digits")),
        "extension.digits: expected 1 to 16 digits, found 17",
    ),
    create(
        "long pause",
        r#"{"to":"+14255550123","extension":{"digits":"1","wait_ms":40000}}"#,
        (422, "extension_invalid", Some("extension.wait_ms")),
        "extension.wait_ms: expected 0 to 30000, found 40000",
    ),
    create(
        "extension in the number",
        r#"{"to":"+14255550123 ext 5"}"#,
        (422, "extension_invalid", Some("to")),
        "an extension belongs in the field extension",
    ),
    create(
        "code for press_key",
        r#"{"to":"+14255550123","code":"1234"}"#,
        (422, "code_invalid", Some("code")),
        "press_key takes no code; leave it out, or use match_code or speak_code",
    ),
    create(
        "no code to speak",
        r#"{"to":"+14255550123","method":"speak_code"}"#,
        (422, "code_invalid", Some("code")),
        "speak_code needs the code to speak: 4 to 8 digits",
    ),
    create(
        "short code",
        r#"{"to":"+14255550123","method":"match_code","code":"123"}"#,
        (422, "code_invalid", Some("code")),
        "code must have 4 to 8 digits, found 3",
    ),
    create(
        "code with a letter",
        r#"{"to":"+14255550123","method":"match_code","code":"12a4"}"#,
        (422, "code_invalid", Some("code")),
        "code must hold the digits 0-9 only",
    ),
    create(
        "transaction without values",
        r#"{"to":"+14255550123","purpose":"transaction"}"#,
        (422, "param_invalid", Some("message")),
        "purpose transaction needs message: the values to speak, such as {\"amount\", \"payee\"}",
    ),
    create(
        "transaction without an amount",
        r#"{"to":"+14255550123","purpose":"transaction","message":{"payee":"ACME"}}"#,
        (422, "param_invalid", Some("message.amount")),
        "expected the values \"amount\" and \"payee\", \"amount\" is missing",
    ),
    create(
        "transaction without a payee",
        r#"{"to":"+14255550123","purpose":"transaction","message":{"amount":"249.00 EUR"}}"#,
        (422, "param_invalid", Some("message.payee")),
        "expected the values \"amount\" and \"payee\", \"payee\" is missing",
    ),
    create(
        "a value that is not spoken",
        r#"{"to":"+14255550123","purpose":"transaction","message":{"amount":"1 EUR","payee":"ACME","iban":"DE1"}}"#,
        (422, "param_invalid", Some("message")),
        "expected the values \"amount\" and \"payee\" only, found \"iban\"",
    ),
    create(
        "amount without a currency",
        r#"{"to":"+14255550123","purpose":"transaction","message":{"amount":"249.00","payee":"ACME"}}"#,
        (422, "param_invalid", Some("message.amount")),
        "expected an amount such as \"249.00 EUR\": 1 to 12 digits and a currency of three letters",
    ),
    create(
        "payee of another script",
        r#"{"to":"+14255550123","purpose":"transaction","message":{"amount":"249.00 EUR","payee":"東京"}}"#,
        (422, "param_invalid", Some("message.payee")),
        "expected a payee of 1 to 24 letters and digits of the Latin script",
    ),
    create(
        "values without transaction",
        r#"{"to":"+14255550123","message":{"amount":"5"}}"#,
        (422, "param_invalid", Some("message")),
        "message is spoken for purpose transaction only; leave it out or change the purpose",
    ),
    // Numbers.
    create(
        "national without region",
        r#"{"to":"425 555 0123"}"#,
        (422, "region_required", Some("to")),
        "the number has no country code: send it as +<country code><number>, or name a region",
    ),
    create(
        "letters",
        r#"{"to":"+1425call"}"#,
        (422, "number_invalid", Some("to")),
        "expected a telephone number, found the letter 'c'",
    ),
    create(
        "pause",
        r#"{"to":"+14255550123,,1"}"#,
        (422, "number_invalid", Some("to")),
        "expected a telephone number, found ',': pauses and parameters are not dialled",
    ),
    create(
        "service code",
        r##"{"to":"*21*+14255550123#"}"##,
        (422, "number_invalid", Some("to")),
        "expected a telephone number, found '*': service codes are not dialled",
    ),
    create(
        "URI",
        r#"{"to":"tel:+14255550123"}"#,
        (422, "number_invalid", Some("to")),
        "expected a telephone number, found a URI: send the number alone",
    ),
    create(
        "too short",
        r#"{"to":"+1425555"}"#,
        (422, "number_invalid", Some("to")),
        "expected a telephone number, found too few digits for its country",
    ),
    create(
        "emergency",
        r#"{"to":"911"}"#,
        (422, "number_invalid", Some("to")),
        "emergency numbers and short codes are never called",
    ),
    create(
        "emergency with a region",
        r#"{"to":{"number":"112","region":"DE"}}"#,
        (422, "number_invalid", Some("to.number")),
        "emergency numbers and short codes are never called",
    ),
    create(
        "country",
        r#"{"to":"+33123456789"}"#,
        (403, "country_not_allowed", Some("to")),
        "calls to FR are not allowed here",
    ),
    create(
        "premium",
        r#"{"to":"+19005550123"}"#,
        (403, "premium_number", Some("to")),
        "premium-rate numbers are not called",
    ),
    create(
        "satellite",
        r#"{"to":"+881612345678"}"#,
        (403, "premium_number", Some("to")),
        "satellite numbers are not called",
    ),
    // Profile, callback.
    create(
        "profile of others",
        r#"{"to":"+14255550123","profile":"other"}"#,
        (403, "profile_not_allowed", Some("profile")),
        "the key may not use the profile \"other\"; `ringproof keys list` shows its profiles",
    ),
    create(
        "profile that does not exist",
        r#"{"to":"+14255550123","profile":"none"}"#,
        (403, "profile_not_allowed", Some("profile")),
        "the key may not use the profile \"none\"; `ringproof keys list` shows its profiles",
    ),
    create(
        "callback elsewhere",
        r#"{"to":"+14255550123","callback_url":"https://evil.example/hooks"}"#,
        (403, "callback_not_allowed", Some("callback_url")),
        "callback_url: the URL is not in the profile's allow-list callbacks",
    ),
    create(
        "callback beside",
        r#"{"to":"+14255550123","callback_url":"https://idp.example/hooksevil"}"#,
        (403, "callback_not_allowed", Some("callback_url")),
        "callback_url: the URL is not in the profile's allow-list callbacks",
    ),
    create(
        "callback with a user",
        r#"{"to":"+14255550123","callback_url":"https://a@idp.example/hooks"}"#,
        (422, "param_invalid", Some("callback_url")),
        "callback_url: a user name or password in the URL is refused",
    ),
    create(
        "callback by file",
        r#"{"to":"+14255550123","callback_url":"file:///etc/passwd"}"#,
        (422, "param_invalid", Some("callback_url")),
        "callback_url: the scheme must be https or http, found file",
    ),
    // Reading.
    get(
        "unknown verification",
        "/v1/verifications/ver_01932f0c8a7b7c3e9d4a5b6c7d8e9f00",
        (404, "not_found", None),
        "no verification with this id is visible to this API key",
    ),
    get(
        "no id",
        "/v1/verifications/42",
        (404, "not_found", None),
        "no verification with this id is visible to this API key",
    ),
    get(
        "wait",
        "/v1/verifications/42?wait=61",
        (400, "malformed", Some("wait")),
        "wait must be a whole number, 0 to 60, found \"61\"",
    ),
    get(
        "misspelt wait",
        "/v1/verifications/42?wiat=5",
        (400, "malformed", Some("wiat")),
        "unknown query parameter \"wiat\"; known: wait, after_sequence",
    ),
    get(
        "wait twice",
        "/v1/verifications/42?wait=5&wait=6",
        (400, "malformed", Some("wait")),
        "wait stands twice in the query",
    ),
    get(
        "limit",
        "/v1/verifications?limit=201",
        (400, "malformed", Some("limit")),
        "limit must be a whole number, 0 to 200, found \"201\"",
    ),
    get(
        "no items",
        "/v1/verifications?limit=0",
        (400, "malformed", Some("limit")),
        "limit must be 1 to 200, found 0",
    ),
    get(
        "cursor",
        "/v1/verifications?cursor=%21%21",
        (400, "malformed", Some("cursor")),
        "cursor must be the next_cursor of an earlier answer",
    ),
    get(
        "status",
        "/v1/verifications?status=done",
        (400, "malformed", Some("status")),
        "unknown status \"done\"; expected one of: pending approved delivered denied expired failed blocked canceled",
    ),
    get(
        "country in a list",
        "/v1/verifications?country=us",
        (400, "malformed", Some("country")),
        "country must be an ISO 3166-1 alpha-2 code in capitals, such as US",
    ),
    get(
        "time",
        "/v1/verifications?created_after=yesterday",
        (400, "malformed", Some("created_after")),
        "created_after must be RFC 3339, such as 2030-01-31T12:00:00Z",
    ),
    get(
        "browser token",
        "/v1/verifications/ver_01932f0c8a7b7c3e9d4a5b6c7d8e9f00/events?token=9999999999.AAAA",
        (401, "unauthorized", Some("token")),
        "the browser token has expired or is for another id",
    ),
    get(
        "unknown path",
        "/v2/verifications",
        (404, "not_found", None),
        "no such path; the API is described at /openapi.json and /docs",
    ),
    // Enrolments, blocks, webhooks.
    post(
        "no return",
        "/v1/enrollments",
        "{}",
        (400, "malformed", Some("return_url")),
        "return_url is required: send the page to which the browser returns",
    ),
    post(
        "return elsewhere",
        "/v1/enrollments",
        r#"{"return_url":"https://evil.example/"}"#,
        (403, "return_url_not_allowed", Some("return_url")),
        "return_url: the URL is not in the profile's allow-list return_urls",
    ),
    post(
        "script as an alternative",
        "/v1/enrollments",
        r#"{"return_url":"https://idp.example/","alternatives":[{"type":"sms","url":"javascript:alert(1)"}]}"#,
        (422, "param_invalid", Some("alternatives.0.url")),
        "alternatives.0.url: the scheme must be https or http, found javascript",
    ),
    post(
        "unknown kind",
        "/v1/enrollments",
        r#"{"return_url":"https://idp.example/","current_methods":[{"id":"a","type":"fax"}]}"#,
        (400, "malformed", Some("current_methods.0.type")),
        "unknown type \"fax\"; expected one of: phone sms authenticator email security_questions security_key \
         passkey password other",
    ),
    post(
        "method of the pages",
        "/v1/enrollments",
        r#"{"return_url":"https://idp.example/","allowed_methods":["speak_code"]}"#,
        (403, "method_not_allowed", Some("allowed_methods")),
        "the pages of this profile allow: press_key, random_key, match_code; found speak_code",
    ),
    get(
        "unknown enrolment",
        "/v1/enrollments/enr_0",
        (404, "not_found", None),
        "no enrollment with this id is visible to this API key",
    ),
    post(
        "two subjects",
        "/v1/blocks",
        r#"{"number":"+14255550123","end_user":"a"}"#,
        (400, "malformed", None),
        "send exactly one of number, prefix and end_user",
    ),
    post(
        "prefix",
        "/v1/blocks",
        r#"{"prefix":"88213"}"#,
        (422, "number_invalid", Some("prefix")),
        "prefix must be + and 1 to 14 digits, such as \"+88213\"",
    ),
    post(
        "unknown webhook",
        "/v1/webhook-deliveries/evt_0/redeliver",
        "",
        (404, "not_found", None),
        "no webhook with this id is visible to this API key",
    ),
    get(
        "webhooks of no verification",
        "/v1/webhook-deliveries?verification=42",
        (400, "malformed", Some("verification")),
        "expected an id of the form ver_<uuid>, found \"42\"",
    ),
];

#[tokio::test]
async fn each_bad_request_gets_its_exact_refusal() {
    let lab = Lab::start().await;
    let mut faults = Vec::new();
    for case in CASES {
        let mut request = lab.request(case.method.clone(), case.path);
        if case.method == Method::POST {
            request = request.header("content-type", "application/json").body(case.body);
        }
        let answer = Answer::of(request.send().await.unwrap()).await;
        let json = answer.json();
        let found = (
            json["status"].as_u64(),
            json["code"].as_str(),
            json["param"].as_str(),
            json["detail"].as_str(),
        );
        let expected = (
            Some(u64::from(case.status)),
            Some(case.code),
            case.param,
            Some(case.detail),
        );
        if found != expected || answer.status != case.status {
            faults.push(format!(
                "{}:\n  expected {expected:?}\n  found    {found:?}",
                case.what
            ));
        }
        assert_eq!(
            answer.header("content-type"),
            "application/problem+json",
            "{}",
            case.what
        );
        assert_eq!(
            json["request_id"].as_str(),
            Some(answer.header("x-request-id")),
            "{}",
            case.what
        );
    }
    assert!(
        faults.is_empty(),
        "{} of {} differ:\n{}",
        faults.len(),
        CASES.len(),
        faults.join("\n")
    );
}

#[tokio::test]
async fn refusals_before_the_body_is_read() {
    let lab = Lab::start().await;
    let url = format!("{}{V}", lab.base);
    let good = json!({"to": "+14255550123"});
    let send =
        |request: reqwest::RequestBuilder| async move { Answer::of(request.send().await.unwrap()).await };

    let none = send(lab.client.post(&url).json(&good)).await;
    assert_eq!(
        (none.status.as_u16(), none.json()["code"].as_str()),
        (401, Some("unauthorized"))
    );
    assert_eq!(
        none.json()["detail"],
        "send the header Authorization: Bearer rp_live_…"
    );
    let basic = send(lab.client.post(&url).basic_auth("a", Some("b")).json(&good)).await;
    assert_eq!(
        basic.json()["detail"],
        "the header Authorization must read: Bearer rp_live_…"
    );

    let scope = lab
        .create_key("hooks", &[ringproof::store::Scope::Hooks], &["default"])
        .await;
    let scope = send(lab.client.post(&url).bearer_auth(scope).json(&good)).await;
    assert_eq!(
        (scope.status.as_u16(), scope.json()["code"].as_str()),
        (403, Some("scope_missing"))
    );
    assert_eq!(
        scope.json()["detail"],
        "this needs the scope verifications; the key has: hooks"
    );

    let form = send(with_form(lab.request(Method::POST, V), [("to", "+14255550123")])).await;
    assert_eq!(
        (form.status.as_u16(), form.json()["code"].as_str()),
        (415, Some("unsupported_media_type"))
    );
    let large = send(
        lab.request(Method::POST, V)
            .json(&json!({"to": "x".repeat(70_000)})),
    )
    .await;
    assert_eq!(
        (large.status.as_u16(), large.json()["code"].as_str()),
        (413, Some("body_too_large"))
    );
    let put = send(lab.request(Method::PUT, V).json(&good)).await;
    assert_eq!(
        (put.status.as_u16(), put.json()["code"].as_str()),
        (405, Some("http_method_not_allowed"))
    );
    assert!(put.header("allow").contains("POST"), "{}", put.header("allow"));
    let key = lab
        .request(Method::POST, V)
        .header("idempotency-key", "a b")
        .json(&good);
    let key = send(key).await;
    assert_eq!(
        (key.status.as_u16(), key.json()["param"].as_str()),
        (400, Some("Idempotency-Key"))
    );
}

#[tokio::test]
async fn without_a_trunk_or_while_draining_new_calls_get_503_at_once() {
    let lab = Lab::start_with(Setup {
        trunks: Vec::new(),
        ..Setup::default()
    })
    .await;
    let answer = lab.post(V, &json!({"to": "+14255550123"})).await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()["code"].as_str()),
        (503, Some("no_trunk_available"))
    );
    assert_eq!(lab.get("/readyz").await.status, 503);

    let lab = Lab::start().await;
    assert_eq!(lab.get("/readyz").await.json()["ready"], true);
    lab.state.admission().set_trunks_up(false);
    let answer = lab.post(V, &json!({"to": "+14255550123"})).await;
    assert_eq!(answer.json()["detail"], "all trunks are down at present");
    lab.state.admission().drain();
    let answer = lab.post(V, &json!({"to": "+14255550123"})).await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()["code"].as_str()),
        (503, Some("shutting_down"))
    );
    assert!(!answer.header("retry-after").is_empty());
    let ready = lab.get("/readyz").await;
    assert_eq!(
        (ready.status.as_u16(), &ready.json()["draining"]),
        (503, &json!(true))
    );
    assert_eq!(lab.get("/healthz").await.status, 200);
}
