//! What a refusal leaves behind: one audit row, no verification, no number in clear.
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Method;
use ringproof::model::{Reason, VerificationId};
use ringproof::policy::{Look, PolicySettings, Room, Shed};
use ringproof::store::{Claimed, OverloadGate, Visibility};
use serde_json::{Value, json};

use super::bad_requests::{CASES, V};
use super::dialer;
use super::harness::{Answer, Lab, Setup};

#[tokio::test]
async fn no_refusal_leaves_a_verification() {
    let lab = Lab::start().await;
    let mut expected = 0;
    for case in CASES.iter().filter(|c| c.path == V && c.method == Method::POST) {
        let request = lab
            .request(Method::POST, V)
            .header("content-type", "application/json")
            .body(case.body);
        request.send().await.unwrap();
        // Malformed is no refusal: nothing was judged.
        let leaves_row = case.status != 400;
        expected += usize::from(leaves_row);
        let rows = refusals(&lab).await;
        assert_eq!(rows.len(), expected, "{}", case.what);
        if leaves_row {
            let newest = &rows[0];
            assert_eq!(newest.actor, "key_lab", "{}", case.what);
            assert!(newest.detail.starts_with(case.code), "{}: {newest:?}", case.what);
            if case.body.contains("\"to\":\"+14255550123\"") {
                assert_eq!(newest.subject, "+1••••••••23", "{}", case.what);
            }
        }
    }
    assert_eq!(lab.get(V).await.json()["items"], json!([]));
    let rows = refusals(&lab).await;
    let country = rows
        .iter()
        .find(|row| row.detail.starts_with("country_not_allowed"))
        .unwrap();
    assert_eq!(country.subject, "+33•••••••89");
    let text = format!("{rows:?}");
    for number in ["33123456789", "4255550123", "9005550123"] {
        assert!(!text.contains(number), "an audit row must not hold the number");
    }
}

/// Audit rows of refusals, newest first.
async fn refusals(lab: &Lab) -> Vec<ringproof::store::AuditRow> {
    let mut rows = lab.store.audit_rows(200).await.unwrap();
    rows.retain(|row| row.action == "verification.refused");
    rows
}

#[tokio::test]
async fn each_kind_of_refusal_leaves_one_audit_row() {
    let lab = Lab::start_with(Setup::with_number_limits(0, 0, 60)).await;
    let good = json!({"to": "+14255550123"});
    lab.create(&good).await;
    let mut expected = 0;
    let mut check = async |status: u16, code: &str| {
        let answer = lab.post(V, &good).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        expected += 1;
        let rows = refusals(&lab).await;
        assert_eq!(rows.len(), expected, "{code}: {rows:?}");
        assert!(rows[0].detail.starts_with(code), "{:?}", rows[0]);
        assert_eq!(
            (rows[0].actor.as_str(), rows[0].subject.as_str()),
            ("key_lab", "+1••••••••23")
        );
    };
    check(409, "call_in_progress").await;
    dialer::play_due(&lab).await;
    check(429, "rate_limited").await;
    let block = lab.post("/v1/blocks", &json!({"number": "+14255550123"})).await;
    assert_eq!(block.status, 201);
    check(403, "number_blocked").await;
    lab.state.admission().set_trunks_up(false);
    check(503, "no_trunk_available").await;
    lab.state.admission().drain();
    check(503, "shutting_down").await;
}

#[tokio::test]
async fn a_request_beyond_the_live_calls_is_refused_at_once() {
    let policy = PolicySettings {
        live_max: 1,
        ..Setup::default().policy
    };
    let lab = Lab::start_with(Setup {
        policy,
        ..Setup::default()
    })
    .await;
    let (ringing, _) = lab.create(&json!({"to": "+14255550150"})).await;
    assert_eq!(dialer::play_due(&lab).await, 1);
    let refused = lab.post(V, &json!({"to": "+14255550123"})).await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    assert_eq!(refused.json()["code"], "overloaded");
    assert_eq!(refused.header("retry-after"), "5");
    assert_eq!(refusals(&lab).await.len(), 1);
    let call = lab.store.verification(ringing, &Visibility::All).await;
    let attempt = call.unwrap().unwrap().attempts[0].id;
    dialer::decide(&lab.store, &lab, attempt, Reason::NoAnswer).await;
    lab.create(&json!({"to": "+14255550123"})).await;
}

async fn post_once(lab: &Lab, key: &str, body: &Value) -> Answer {
    let request = lab.request(Method::POST, V).header("idempotency-key", key);
    Answer::of(request.json(body).send().await.unwrap()).await
}

#[tokio::test]
async fn what_is_shed_leaves_no_row_and_what_was_answered_is_answered_again() {
    let lab = Lab::start().await;
    let mut now = Instant::now();
    let gate = OverloadGate::new(now);
    let room = || Room {
        calls: 100,
        scarcest: Shed::NoPort,
    };
    lab.state.admission().shed_by(gate.clone(), Arc::new(room));
    let (good, other) = (json!({"to": "+14255550123"}), json!({"to": "+14255550150"}));
    let first = post_once(&lab, "one", &good).await;
    assert_eq!(first.status, 201, "{}", first.text);
    assert_eq!(gate.lock().standing().promised, 1);

    for _ in 0..10 {
        now += Duration::from_millis(50);
        let late = Look {
            runtime_late: Duration::ZERO,
            media_late: true,
            writes_waiting: 0,
            busy: None,
        };
        gate.lock().look(now, late);
    }
    // A few are let in all the same.
    loop {
        let id = VerificationId::generate(lab.now(), &mut lab.state.entropy());
        if gate.lock().admit(now, None, id).is_err() {
            break;
        }
    }
    let refused = lab.post(V, &other).await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    assert_eq!(refused.json()["code"], "overloaded");
    assert_eq!(refused.header("retry-after"), "1");
    let again = post_once(&lab, "one", &good).await;
    assert_eq!((again.status, again.text), (first.status, first.text));
    let new = post_once(&lab, "two", &other).await;
    assert_eq!(new.status, 503, "{}", new.text);
    assert_eq!(refusals(&lab).await.len(), 0);
    let ready = lab.get("/readyz").await;
    assert_eq!(ready.status, 200, "{}", ready.text);
    assert_eq!(ready.json()["overloaded"], true);
}

#[tokio::test]
async fn without_room_the_next_call_is_refused_with_the_reason_and_a_cancel_makes_room() {
    let lab = Lab::start().await;
    let gate = OverloadGate::new(Instant::now());
    let room = || Room {
        calls: 1,
        scarcest: Shed::NoPort,
    };
    lab.state.admission().shed_by(gate, Arc::new(room));
    let (waiting, _) = lab.create(&json!({"to": "+14255550150"})).await;
    let refused = lab.post(V, &json!({"to": "+14255550123"})).await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    assert!(refused.text.contains("RTP ports"), "{}", refused.text);
    assert_eq!(refused.header("retry-after"), "5");
    let canceled = lab.post(&format!("{V}/{waiting}/cancel"), &json!({})).await;
    assert_eq!(canceled.status, 200, "{}", canceled.text);
    lab.create(&json!({"to": "+14255550123"})).await;
}

#[tokio::test]
async fn a_number_that_is_blocked_while_its_call_waits_is_not_dialled() {
    let lab = Lab::start().await;
    let (id, _) = lab.create(&json!({"to": "+14255550123"})).await;
    let block = lab.post("/v1/blocks", &json!({"number": "+14255550123"})).await;
    assert_eq!(block.status, 201, "{}", block.text);
    let due = lab.store.agenda(lab.now(), 16).await.unwrap().due;
    let claimed = dialer::try_claim(&lab, due[0].id).await;
    assert_eq!(claimed, Claimed::Blocked(Reason::NumberBlocked.into()));
    let shown = lab.get(&format!("{V}/{id}")).await.json();
    assert_eq!(shown["status"], "blocked");
    assert_eq!(shown["reason"], "number_blocked");
}
