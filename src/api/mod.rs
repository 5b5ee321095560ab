//! HTTP in: who asks, what for, is it allowed – then stop 1 of the corridor in `store`.
//!
//! Does: the `/v1` endpoints of the contract, problem documents, API keys, idempotency, long polls, Server-Sent
//! Events, OpenAPI. Does not: dial or deliver webhooks; `dialer` and `webhook` find their work in `store`.
//!
//! # Invariants
//! - Nothing is answered 201 before its commit. What is refused leaves an audit row and no verification; what is
//!   shed under overload leaves no row at all: it is counted.
//! - Every 4xx and 5xx is a problem document (RFC 9457) with `code` and `request_id`.
//! - A key sees the rows of its profiles only; what it does not see is 404, like what does not exist.
//! - A code for the screen leaves in the answer to the POST only; no query string or token is logged.
//!
//! # Layers, outermost first
//! request id → problem documents → one log line → admission (requests in work) → time and size limits → route.
mod allow_list;
mod auth;
mod blocks;
mod body;
mod capture;
mod config;
mod deliveries;
pub mod enrollment;
mod enrollments;
mod events;
mod health;
mod intake;
mod jws;
pub mod key;
mod key_cache;
mod limiter;
mod log;
mod numbers;
mod openapi;
mod problem;
mod query;
mod regions;
mod request;
mod request_id;
mod schema;
mod serve;
mod shed;
mod state;
mod verifications;
mod view;

use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{delete, get, post};
use tower_http::timeout::TimeoutLayer;

pub use allow_list::{AllowedUrl, AllowedUrlError};
pub use config::{ApiConfig, CallerIds, HttpLimits, MessageCheck, MessageFault, Profile, SpokenMessage};
pub use enrollments::last_verification;
pub use events::events;
pub use intake::{Account, Placed, answered_before, judge_number, place};
pub use jws::ResultSigner;
pub use openapi::document as openapi_document;
pub use problem::{Code, Problem};
pub use regions::{RegionView, guessed_region, language_of, preferred_language, regions as region_list};
pub use request::{Call, Dialled, EndUser, extension};
pub use serve::serve;
pub use shed::RoomFn;
pub use state::{Admission, ApiState, Clock, system_clock};
pub use view::render_webhook;

/// All routes of the API, and of `pages` (which share the layers), ready to serve.
/// [`serve`] it: the limit on wrong keys counts by the peer's address, which it adds.
pub fn router(state: ApiState, pages: Router<ApiState>) -> Router {
    let limits = state.config().limits.clone();
    let timeout = TimeoutLayer::with_status_code(
        StatusCode::REQUEST_TIMEOUT,
        Duration::from_secs(limits.request_timeout_s),
    );
    let quick = quick_routes()
        .merge(pages)
        .layer(timeout)
        .layer(from_fn_with_state(
            log::InWork::new(limits.requests_max),
            log::admit,
        ));
    // Long polls and streams are bounded by permits instead of a timeout.
    let waiting = Router::new()
        .route("/v1/verifications/{id}", get(verifications::read))
        .route("/v1/verifications/{id}/events", get(events::follow));
    let document = openapi::document();
    let docs = utoipa_swagger_ui::SwaggerUi::new("/docs").url("/openapi.json", document);
    quick
        .merge(waiting)
        .merge(Router::<ApiState>::from(docs))
        .layer(DefaultBodyLimit::max(limits.body_bytes_max))
        .layer(from_fn(log::request))
        .layer(from_fn(problem::render))
        .layer(from_fn_with_state(state.clone(), request_id::assign))
        .with_state(state)
}

fn quick_routes() -> Router<ApiState> {
    Router::new()
        .route(
            "/v1/verifications",
            post(verifications::create).get(verifications::list),
        )
        .route("/v1/verifications/{id}/cancel", post(verifications::cancel))
        .route("/v1/verifications/{id}/capture.pcap", get(capture::download))
        .route("/v1/numbers/check", post(numbers::check))
        .route("/v1/regions", get(regions::list))
        .route("/v1/enrollments", post(enrollments::create))
        .route("/v1/enrollments/{id}", get(enrollments::read))
        .route("/v1/blocks", get(blocks::list).post(blocks::create))
        .route("/v1/blocks/{id}", delete(blocks::remove))
        .route("/v1/webhook-deliveries", get(deliveries::list))
        .route(
            "/v1/webhook-deliveries/{id}/redeliver",
            post(deliveries::redeliver),
        )
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/.well-known/jwks.json", get(health::key_set))
}

/// A body must say that it is JSON: this also keeps plain HTML forms of other sites out.
fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let found = if essence.is_empty() {
        "none".to_owned()
    } else {
        format!("{essence:?}")
    };
    let detail = format!("send the header Content-Type: application/json; found {found}");
    Err(Problem::new(Code::UnsupportedMediaType, detail))
}
