//! One id per request: taken from `x-request-id` when it is well formed, else made here; echoed in the answer,
//! the problem document and the log.
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

use super::ApiState;

pub(super) const HEADER: HeaderName = HeaderName::from_static("x-request-id");
const LEN_MAX: usize = 64;

/// The id, in the request's extensions.
#[derive(Debug, Clone, Default)]
pub(super) struct RequestId(pub(super) String);

pub(super) async fn assign(State(state): State<ApiState>, mut request: Request, next: Next) -> Response {
    let offered = request.headers().get(HEADER).and_then(|v| v.to_str().ok());
    let id = match offered.filter(|text| is_well_formed(text)) {
        Some(text) => text.to_owned(),
        None => format!("req_{}", state.token()),
    };
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = next.run(request).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(HEADER, value);
    }
    response
}

/// Only characters that cannot disturb a log line.
fn is_well_formed(text: &str) -> bool {
    (1..=LEN_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}
