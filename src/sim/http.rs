//! `/sim/…`: see calls, wait for one, script callees. JSON; meant for tests and for people with curl.
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::callee::{Callee, canonical, number_of_script, scripted};
use super::carrier::{Chaos, Exchange, Simulator};
use super::record::CallState;

/// Longest `?timeout=`, seconds.
const WAIT_S_MAX: u64 = 120;

/// The routes of the box, ready to serve or to merge with others.
pub fn router(simulator: &Simulator) -> Router {
    Router::new()
        .route("/sim/calls", get(calls).delete(forget))
        .route("/sim/calls/{id}", get(call))
        .route("/sim/calls/{id}/audio.wav", get(audio))
        .route("/sim/wait", get(wait))
        .route("/sim/registrations", get(registrations))
        .route("/sim/numbers", get(numbers))
        .route("/sim/numbers/{number}", put(script))
        .route("/sim/chaos", put(chaos).get(show_chaos))
        .with_state(simulator.exchange())
}

type Shared = State<Arc<Exchange>>;

fn problem(status: StatusCode, detail: impl Into<String>) -> Response {
    let detail: String = detail.into();
    let body = json!({"title": status.canonical_reason(), "status": status.as_u16(), "detail": detail});
    let mut response = (status, Json(body)).into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/problem+json"),
    );
    response
}

async fn calls(State(exchange): Shared) -> Json<Value> {
    std::future::ready(()).await;
    Json(json!({ "calls": exchange.records.list() }))
}

async fn registrations(State(exchange): Shared) -> Json<Value> {
    std::future::ready(()).await;
    Json(json!({ "registrations": exchange.registrations() }))
}

async fn forget(State(exchange): Shared) -> StatusCode {
    std::future::ready(()).await;
    exchange.forget();
    StatusCode::NO_CONTENT
}

async fn call(State(exchange): Shared, Path(id): Path<String>) -> Response {
    std::future::ready(()).await;
    match exchange.records.find(&id) {
        Some(record) => Json(record.call()).into_response(),
        None => problem(
            StatusCode::NOT_FOUND,
            format!("no call has the id or Call-ID {id:?}"),
        ),
    }
}

async fn audio(State(exchange): Shared, Path(id): Path<String>) -> Response {
    std::future::ready(()).await;
    let Some(record) = exchange.records.find(&id) else {
        return problem(
            StatusCode::NOT_FOUND,
            format!("no call has the id or Call-ID {id:?}"),
        );
    };
    match record.wav() {
        Ok(wav) => ([(header::CONTENT_TYPE, "audio/wav")], wav).into_response(),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WaitFor {
    number: Option<String>,
    /// Id, or SIP Call-ID.
    call: Option<String>,
    /// `ringing`, `answered` or `ended`: at least this.
    state: Option<String>,
    /// Seconds.
    timeout: Option<u64>,
}

async fn wait(
    State(exchange): Shared,
    wanted: Result<Query<WaitFor>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let wanted = match wanted {
        Ok(Query(wanted)) => wanted,
        Err(error) => return problem(StatusCode::BAD_REQUEST, error.body_text()),
    };
    let state = match wanted.state.as_deref() {
        None | Some("ringing") => CallState::Ringing,
        Some("answered") => CallState::Answered,
        Some("ended") => CallState::Ended,
        Some(other) => {
            let detail = format!("state: expected ringing, answered or ended, found {other:?}");
            return problem(StatusCode::BAD_REQUEST, detail);
        }
    };
    let timeout = Duration::from_secs(wanted.timeout.unwrap_or(30).min(WAIT_S_MAX));
    // A `+` in a query reads as a space.
    let number = wanted.number.map(|n| canonical(&n.replace(' ', "+")));
    let mut changes = exchange.records.changes();
    let search = async {
        loop {
            changes.borrow_and_update();
            let found = exchange
                .records
                .list()
                .into_iter()
                .filter(|c| c.state >= state)
                .filter(|c| number.as_ref().is_none_or(|n| *n == c.number))
                .find(|c| {
                    wanted
                        .call
                        .as_ref()
                        .is_none_or(|id| *id == c.id || *id == c.call_id)
                });
            if let Some(found) = found {
                return Some(found);
            }
            changes.changed().await.ok()?;
        }
    };
    match tokio::time::timeout(timeout, search).await {
        Ok(Some(call)) => Json(call).into_response(),
        _ => problem(
            StatusCode::REQUEST_TIMEOUT,
            format!("no such call within {} s", timeout.as_secs()),
        ),
    }
}

async fn numbers(State(exchange): Shared) -> Json<BTreeMap<String, Callee>> {
    std::future::ready(()).await;
    Json(exchange.callees())
}

/// The code that a callee keys.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CodeFor {
    code: String,
}

async fn script(State(exchange): Shared, Path(number): Path<String>, body: String) -> Response {
    std::future::ready(()).await;
    match set(&exchange, &number, &body) {
        Ok(true) => StatusCode::NO_CONTENT.into_response(),
        Ok(false) => problem(
            StatusCode::INSUFFICIENT_STORAGE,
            "there is no room for another number",
        ),
        Err(detail) => problem(StatusCode::UNPROCESSABLE_ENTITY, detail),
    }
}

/// Obeys `{"code": "…"}` or a whole callee; the error says what is wrong with it.
fn set(exchange: &Exchange, number: &str, body: &str) -> Result<bool, String> {
    let canonical = number_of_script(number).map_err(|e| e.to_string())?;
    let value: Value = serde_json::from_str(body).map_err(|e| format!("expected JSON: {e}"))?;
    if value.get("code").is_some() {
        let CodeFor { code } = serde_json::from_value(value).map_err(|e| e.to_string())?;
        if code.is_empty() || code.len() > 16 || !code.bytes().all(|b| b.is_ascii_digit()) {
            return Err("code: expected 1 to 16 digits".to_owned());
        }
        return Ok(exchange.set_code(&canonical, &code));
    }
    let callee: Callee = serde_json::from_value(value).map_err(|e| {
        format!("expected {{\"code\": \"…\"}} or a callee as GET /sim/numbers shows them: {e}")
    })?;
    let (number, callee) = scripted(number, callee).map_err(|e| e.to_string())?;
    Ok(exchange.set_callee(&number, callee))
}

async fn chaos(State(exchange): Shared, body: String) -> Response {
    std::future::ready(()).await;
    let wanted: Chaos = match serde_json::from_str(&body) {
        Ok(wanted) => wanted,
        Err(error) => return problem(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
    };
    if wanted.sip_loss_per_mille > 1000 || wanted.rtp_loss_per_mille > 1000 {
        return problem(StatusCode::UNPROCESSABLE_ENTITY, "expected 0 to 1000 per mille");
    }
    *exchange.chaos.write().unwrap_or_else(PoisonError::into_inner) = wanted;
    StatusCode::NO_CONTENT.into_response()
}

async fn show_chaos(State(exchange): Shared) -> Json<Chaos> {
    std::future::ready(()).await;
    Json(*exchange.chaos.read().unwrap_or_else(PoisonError::into_inner))
}
