//! `GET /v1/verifications/{id}/events`: every change as Server-Sent Events.
//!
//! The id of an event is the verification's sequence, so `Last-Event-ID` resumes without loss. After the
//! terminal event the stream ends; a client that comes back with that id gets 204, which stops an EventSource.
use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::ToSchema;

use super::auth::Caller;
use super::openapi::Refusal;
use super::query::Query;
use super::verifications::{find, parse_id};
use super::{ApiState, Code, Problem, schema};
use crate::model::{Status, VerificationId};
use crate::store::{Progress, ProgressKind, Scope, Visibility, Watch};

const KEEP_ALIVE: Duration = Duration::from_secs(15);
const RECONNECT: Duration = Duration::from_secs(2);
/// Another process may write too: a stream looks again at least so often.
const POLL: Duration = Duration::from_secs(1);

/// `data:` of one event. It holds no number, so that a browser may see it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProgressEvent)]
pub(super) struct ProgressView {
    sequence: u64,
    /// RFC 3339.
    at: String,
    #[schema(schema_with = schema::status)]
    status: &'static str,
    #[schema(schema_with = schema::stage_or_null)]
    stage: Option<&'static str>,
    #[schema(schema_with = schema::reason_or_null)]
    reason: Option<&'static str>,
    /// Number of the attempt, from 1; 0 before the first.
    attempt: u32,
}

/// Follow a verification by Server-Sent Events.
///
/// The event's name is `created`, a stage, `cancel_requested`, or the final status; its id is the sequence.
/// With a bearer key, or from a browser with the token of `links.browser_events`.
#[utoipa::path(get, path = "/v1/verifications/{id}/events", operation_id = "follow_verification", tag = "verifications",
    params(("id" = String, Path, description = "`ver_…`"),
        ("token" = Option<String>, Query, description = "Browser token instead of the API key"),
        ("Last-Event-ID" = Option<String>, Header, description = "The last sequence seen")),
    responses((status = 200, content_type = "text/event-stream", body = ProgressView),
        (status = 204, description = "Nothing more will come after Last-Event-ID"),
        (status = "4XX", response = Refusal)),
    security(("api_key" = []), ()))]
pub(super) async fn follow(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let mut query = Query::parse(parts.uri.query())?;
    let token = query.text("token");
    query.finish()?;
    let id = parse_id(&id)?;
    let visibility = match &token {
        Some(token) if state.signer().browser_token_fits(token, id, state.now()) => Visibility::All,
        Some(_) => {
            return Err(Problem::new(
                Code::Unauthorized,
                "the browser token has expired or is for another id",
            )
            .at("token"));
        }
        None => {
            let caller = Caller::from_request_parts(&mut parts, &state).await?;
            caller.require(Scope::Verifications)?;
            caller.visibility()
        }
    };
    let seen = last_event_id(&parts.headers)?;
    let mut response = events(&state, id, &visibility, seen).await?;
    if token.is_some() {
        // The token alone opens the stream, no cookie is involved: any page that has it may read.
        response
            .headers_mut()
            .insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    Ok(response)
}

fn last_event_id(headers: &HeaderMap) -> Result<u64, Problem> {
    let Some(value) = headers.get("last-event-id") else {
        return Ok(0);
    };
    value
        .to_str()
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .ok_or_else(|| {
            Problem::malformed(
                "Last-Event-ID",
                "Last-Event-ID must be the id of an event: a whole number",
            )
        })
}

/// The stream of one verification from after `seen`.
pub async fn events(
    state: &ApiState,
    id: VerificationId,
    visibility: &Visibility,
    seen: u64,
) -> Result<Response, Problem> {
    let permit = state.stream_permit()?;
    let watch = state.store().watch(id);
    let verification = find(state, id, visibility).await?;
    let queued: VecDeque<Progress> = state.store().events_after(id, seen).await?.into();
    if verification.status().is_terminal() && queued.is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let follower = Follower {
        state: state.clone(),
        id,
        seen,
        watch,
        queued,
        ended: false,
        _permit: permit,
    };
    let events = stream::unfold(follower, |mut follower| async move {
        let progress = follower.next().await?;
        Some((Ok::<_, Infallible>(sse_event(&progress)), follower))
    });
    let mut response = Sse::new(events)
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
        .into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Reverse proxies of the nginx family buffer otherwise.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// One reader's place in the events of a verification.
struct Follower {
    state: ApiState,
    id: VerificationId,
    seen: u64,
    watch: Option<Watch>,
    queued: VecDeque<Progress>,
    ended: bool,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    /// The next event; `None` after the terminal one, on shutdown, or when the store fails (the client comes
    /// back and resumes).
    async fn next(&mut self) -> Option<Progress> {
        loop {
            if self.ended {
                return None;
            }
            if let Some(progress) = self.queued.pop_front() {
                self.seen = progress.sequence;
                self.ended = matches!(progress.kind, ProgressKind::Ended(_));
                return Some(progress);
            }
            self.queued = self
                .state
                .store()
                .events_after(self.id, self.seen)
                .await
                .ok()?
                .into();
            if self.queued.is_empty() && !self.wait().await {
                return None;
            }
        }
    }

    /// False when the server is shutting down.
    async fn wait(&mut self) -> bool {
        let changed = async {
            match self.watch.as_mut() {
                Some(watch) => watch.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = changed => true,
            () = tokio::time::sleep(POLL) => true,
            () = self.state.admission().stopping() => false,
        }
    }
}

fn sse_event(progress: &Progress) -> Event {
    let (name, status, stage, reason) = match progress.kind {
        ProgressKind::Created => ("created", Status::Pending, Some("queued"), None),
        ProgressKind::Stage(stage) => (stage.as_str(), Status::Pending, Some(stage.as_str()), None),
        ProgressKind::CancelRequested(_) => ("cancel_requested", Status::Pending, None, None),
        ProgressKind::Ended(outcome) => (
            outcome.status().as_str(),
            outcome.status(),
            None,
            Some(outcome.reason().as_str()),
        ),
    };
    let view = ProgressView {
        sequence: progress.sequence,
        at: progress.at.to_rfc3339(),
        status: status.as_str(),
        stage,
        reason,
        attempt: progress.attempt,
    };
    let data = serde_json::to_string(&view).unwrap_or_default();
    Event::default()
        .event(name)
        .id(progress.sequence.to_string())
        .retry(RECONNECT)
        .data(data)
}
