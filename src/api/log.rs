//! One log line per request, and the bound on requests in work.
//!
//! The line holds the route's pattern, never the path or query: those may carry tokens.
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use super::request_id::RequestId;
use super::{Code, Problem};

pub(super) async fn request(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request
        .extensions()
        .get::<RequestId>()
        .cloned()
        .unwrap_or_default();
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("-", |m| m.as_str())
        .to_owned();
    let response = next.run(request).await;
    let status = response.status().as_u16();
    let elapsed = started.elapsed();
    let problem = response.extensions().get::<Problem>();
    let code = problem.map_or("-", |p| p.code.as_str());
    tracing::debug!(request_id = %id.0, %method, route, status, code, elapsed_us = elapsed.as_micros() as u64, "request");
    let labels = [("route", route), ("status", status.to_string())];
    metrics::counter!("ringproof_http_requests_total", &labels).increment(1);
    metrics::histogram!("ringproof_http_request_seconds", &labels).record(elapsed.as_secs_f64());
    response
}

/// Places for requests in work.
#[derive(Debug, Clone)]
pub(super) struct InWork(Arc<Semaphore>);

impl InWork {
    pub(super) fn new(requests_max: usize) -> Self {
        Self(Arc::new(Semaphore::new(requests_max)))
    }
}

/// Refuses at once what would only wait: an overloaded server that queues answers nobody in time.
pub(super) async fn admit(State(in_work): State<InWork>, request: Request, next: Next) -> Response {
    let Ok(_place) = in_work.0.try_acquire() else {
        let mut problem = Problem::new(
            Code::Overloaded,
            "too many requests are in work; send it again shortly",
        );
        problem.retry_after_s = Some(1);
        return problem.into_response();
    };
    next.run(request).await
}
