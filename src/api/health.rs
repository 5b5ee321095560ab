//! Liveness, readiness and the public key set.
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::ApiState;

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Health)]
pub(super) struct Health {
    /// `ok`
    status: &'static str,
}

/// The process answers.
#[utoipa::path(get, path = "/healthz", operation_id = "get_health", tag = "operations", security(()), responses((status = 200, body = Health)))]
pub(super) async fn live() -> Json<Health> {
    // A handler must be async; nothing is waited for.
    std::future::ready(()).await;
    Json(Health { status: "ok" })
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Readiness)]
pub(super) struct Readiness {
    ready: bool,
    /// Reads and writes.
    store: bool,
    trunks: bool,
    /// The server is finishing its last calls.
    draining: bool,
    /// More calls are asked for than the server carries: some get 503 `overloaded`. It is ready all the same.
    overloaded: bool,
}

/// New calls would be taken.
#[utoipa::path(get, path = "/readyz", operation_id = "get_readiness", tag = "operations", security(()),
    responses((status = 200, body = Readiness), (status = 503, body = Readiness)))]
pub(super) async fn ready(State(state): State<ApiState>) -> Response {
    let store = match state.store().ready().await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(%error, "store not ready");
            false
        }
    };
    let trunks = state.admission().are_trunks_up() && !state.config().trunks.is_empty();
    let draining = state.admission().is_draining();
    let ready = store && trunks && !draining;
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let mut response = (
        status,
        Json(Readiness {
            ready,
            store,
            trunks,
            draining,
            overloaded: state.admission().shedder().is_overloaded(),
        }),
    )
        .into_response();
    response.extensions_mut().insert(super::problem::Finished);
    response
}

/// Keys that verify enrolment results.
#[utoipa::path(get, path = "/.well-known/jwks.json", operation_id = "get_key_set", tag = "operations", security(()),
    responses((status = 200, description = "JWK set (RFC 7517)", content_type = "application/jwk-set+json")))]
pub(super) async fn key_set(State(state): State<ApiState>) -> Response {
    std::future::ready(()).await;
    let mut response = Json(state.signer().key_set()).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/jwk-set+json"),
    );
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=300"),
    );
    response
}
