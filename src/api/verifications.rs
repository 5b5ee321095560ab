//! `/v1/verifications`: create, read, wait, list, cancel.
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use super::auth::Caller;
use super::body::Fields;
use super::intake::{self, Account, Placed};
use super::openapi::Refusal;
use super::query::Query;
use super::request::{Call, CreateVerification, Dialled};
use super::shed::NotShed;
use super::view::VerificationView;
use super::{ApiState, Code, Problem, require_json};
use crate::model::{Reason, UnixMillis, Verification, VerificationId};
use crate::store::{Canceled, Cursor, IdempotencyKey, ListFilter, Scope, StoredAnswer, Visibility};

pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Another process may write too: a waiting reader looks again at least so often.
const POLL: Duration = Duration::from_secs(1);
/// A browser's token lives as long as a call can, and a little longer.
const BROWSER_TOKEN_LIFE: Duration = Duration::from_secs(300);

/// Place a confirmation call.
///
/// Answers once the request is committed; the call is placed at once. With `Idempotency-Key` the same key and
/// body give the same answer for 24 h.
#[utoipa::path(post, path = "/v1/verifications", operation_id = "create_verification", tag = "verifications", request_body = CreateVerification,
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters")),
    responses(
        (status = 201, body = VerificationView, headers(("Location" = String, description = "The verification"))),
        (status = "4XX", response = Refusal), (status = "5XX", response = Refusal)))]
pub(super) async fn create(
    State(state): State<ApiState>,
    _: NotShed,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let (account, call) = match asked(&state, &caller, &headers, &body).await {
        Ok(Asked::Before(answer)) => return Ok(stored(&answer, true)),
        Ok(Asked::Now(account, call)) => (account, *call),
        Err(problem) => {
            let subject = subject_of(&state, &body);
            return Err(intake::account_for(&state, caller.key_id(), subject, problem).await);
        }
    };
    let public_url = state.config().public_url.clone();
    let (signer, now) = (state.signer().clone(), state.now());
    let render = move |verification: &Verification| {
        let token = signer.browser_token(verification.id, now.plus(BROWSER_TOKEN_LIFE));
        let view = VerificationView::created(verification, &public_url, &token);
        StoredAnswer {
            status: StatusCode::CREATED.as_u16(),
            location: Some(format!("/v1/verifications/{}", verification.id)),
            body: serde_json::to_string(&view).unwrap_or_default(),
        }
    };
    match intake::place(&state, account, call, render).await? {
        Placed::Created { answer, .. } => Ok(stored(&answer, false)),
        Placed::Replay(answer) => Ok(stored(&answer, true)),
    }
}

/// What a POST asks for.
enum Asked {
    /// The same as before; this was the answer.
    Before(StoredAnswer),
    Now(Account, Box<Call>),
}

/// Reads a POST up to where the call itself is judged.
async fn asked(
    state: &ApiState,
    caller: &Caller,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Asked, Problem> {
    caller.require(Scope::Verifications)?;
    require_json(headers)?;
    let idempotency = idempotency_key(headers, caller, "POST /v1/verifications", body)?;
    if let Some(answer) = intake::answered_before(state, idempotency.as_ref()).await? {
        return Ok(Asked::Before(answer));
    }
    let call = Call::parse(Fields::parse(body)?, &state.config(), |profile| {
        caller.require_profile(profile)
    })?;
    let account = Account {
        key_id: caller.key_id().to_owned(),
        visibility: caller.visibility(),
        idempotency,
    };
    Ok(Asked::Now(account, Box::new(call)))
}

/// The number of a body that was refused for something else, masked, as far as it can be read.
fn subject_of(state: &ApiState, body: &Bytes) -> String {
    let dialled = Fields::parse(body).and_then(|mut fields| Dialled::parse(&mut fields));
    dialled.map_or_else(
        |_| String::new(),
        |dialled| intake::subject_of(&state.config(), &dialled),
    )
}

/// An answer as it was stored.
pub(super) fn stored(answer: &StoredAnswer, replayed: bool) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::CREATED);
    let mut response = (status, answer.body.clone()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(location) = answer
        .location
        .as_deref()
        .and_then(|l| HeaderValue::from_str(l).ok())
    {
        headers.insert(header::LOCATION, location);
    }
    if replayed {
        headers.insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// The header `Idempotency-Key`, bound to the API key and the body.
pub(super) fn idempotency_key(
    headers: &HeaderMap,
    caller: &Caller,
    route: &str,
    body: &[u8],
) -> Result<Option<IdempotencyKey>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let value = value
        .to_str()
        .ok()
        .filter(|v| (1..=255).contains(&v.len()) && v.bytes().all(|b| b.is_ascii_graphic()));
    let value = value.ok_or_else(|| {
        Problem::malformed(
            "Idempotency-Key",
            "Idempotency-Key must be 1 to 255 visible ASCII characters",
        )
    })?;
    let body_hash = Sha256::new()
        .chain_update(route)
        .chain_update([0])
        .chain_update(body)
        .finalize()
        .into();
    Ok(Some(IdempotencyKey {
        key_id: caller.key_id().to_owned(),
        value: value.to_owned(),
        body_hash,
    }))
}

/// Read a verification, or wait for its next change.
///
/// With `wait` the answer comes at the next change, at the end, or after so many seconds. With `after_sequence`
/// it comes at once when the sequence is higher already, so that no change falls between two requests.
#[utoipa::path(get, path = "/v1/verifications/{id}", operation_id = "get_verification", tag = "verifications",
    params(("id" = String, Path, description = "`ver_…`"),
        ("wait" = Option<u32>, Query, description = "Seconds, 0 to 60"),
        ("after_sequence" = Option<u64>, Query, description = "The sequence that you have seen")),
    responses((status = 200, body = VerificationView), (status = "4XX", response = Refusal)))]
pub(super) async fn read(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    caller.require(Scope::Verifications)?;
    let mut query = Query::parse(query.as_deref())?;
    let wait_s = query
        .integer("wait", state.config().limits.wait_s_max)?
        .unwrap_or(0);
    let seen = query.integer("after_sequence", u32::MAX)?.map(u64::from);
    query.finish()?;
    let id = parse_id(&id)?;
    let verification = if wait_s == 0 {
        find(&state, id, &caller.visibility()).await?
    } else {
        let _permit = state.stream_permit()?;
        wait_for_change(
            &state,
            id,
            &caller.visibility(),
            seen,
            Duration::from_secs(wait_s.into()),
        )
        .await?
    };
    Ok(shown(&state, StatusCode::OK, &verification))
}

/// Waits for a sequence higher than `seen` (or than the present one), the end, or the time.
pub(super) async fn wait_for_change(
    state: &ApiState,
    id: VerificationId,
    visibility: &Visibility,
    seen: Option<u64>,
    wait: Duration,
) -> Result<Verification, Problem> {
    // First the watch, then the look: no change can fall between.
    let mut watch = state.store().watch(id);
    let mut verification = find(state, id, visibility).await?;
    let seen = seen.unwrap_or(verification.sequence);
    let deadline = tokio::time::Instant::now() + wait;
    while verification.sequence <= seen && !verification.status().is_terminal() {
        let changed = async {
            match watch.as_mut() {
                Some(watch) => watch.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = changed => {}
            () = tokio::time::sleep(POLL) => {}
            () = state.admission().stopping() => break,
            () = tokio::time::sleep_until(deadline) => break,
        }
        verification = find(state, id, visibility).await?;
    }
    Ok(verification)
}

pub(super) fn parse_id(text: &str) -> Result<VerificationId, Problem> {
    // A text that is no id names nothing that exists.
    text.parse().map_err(|_| Problem::not_found("verification"))
}

pub(super) async fn find(
    state: &ApiState,
    id: VerificationId,
    visibility: &Visibility,
) -> Result<Verification, Problem> {
    let found = state.store().verification(id, visibility).await?;
    found.ok_or_else(|| Problem::not_found("verification"))
}

fn shown(state: &ApiState, status: StatusCode, verification: &Verification) -> Response {
    let view = VerificationView::new(verification, &state.config().public_url).with_prompts(verification);
    let mut response = (status, Json(view)).into_response();
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Cancel a verification.
///
/// Idempotent. A ringing call is CANCELled and an answered one gets a BYE: then the answer is 202, and the end
/// follows as an event. What has ended stays as it ended.
#[utoipa::path(post, path = "/v1/verifications/{id}/cancel", operation_id = "cancel_verification", tag = "verifications",
    params(("id" = String, Path, description = "`ver_…`")),
    responses((status = 200, description = "It has ended", body = VerificationView),
        (status = 202, description = "A call is live and is being ended", body = VerificationView),
        (status = "4XX", response = Refusal)))]
pub(super) async fn cancel(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    caller.require(Scope::Verifications)?;
    let id = parse_id(&id)?;
    let (entropy, now) = (state.entropy(), state.now());
    let canceled = state
        .store()
        .cancel(id, &caller.visibility(), Reason::ByClient, entropy, now)
        .await?;
    state.admission().shedder().released(id);
    Ok(match canceled {
        Canceled::Now(verification) | Canceled::AlreadyOver(verification) => {
            shown(&state, StatusCode::OK, &verification)
        }
        Canceled::Live { verification, .. } => shown(&state, StatusCode::ACCEPTED, &verification),
    })
}

/// One page, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = VerificationList)]
pub(super) struct VerificationList {
    items: Vec<VerificationView>,
    /// Null on the last page.
    next_cursor: Option<String>,
}

/// List verifications.
#[utoipa::path(get, path = "/v1/verifications", operation_id = "list_verifications", tag = "verifications",
    params(("status" = Option<String>, Query, description = "One status"),
        ("country" = Option<String>, Query, description = "ISO 3166-1 alpha-2"),
        ("client_ref" = Option<String>, Query, description = "As given at the POST"),
        ("created_after" = Option<String>, Query, description = "RFC 3339"),
        ("limit" = Option<u32>, Query, description = "1 to 200; default 50"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of an earlier answer")),
    responses((status = 200, body = VerificationList), (status = "4XX", response = Refusal)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<VerificationList>, Problem> {
    caller.require(Scope::Verifications)?;
    let mut query = Query::parse(query.as_deref())?;
    let filter = ListFilter {
        status: query.word("status")?,
        country: parse_country(&mut query)?,
        client_ref: query.text("client_ref"),
        created_after: parse_time(&mut query, "created_after")?,
        limit: parse_limit(&mut query)?,
        cursor: parse_cursor(&mut query)?,
    };
    query.finish()?;
    let page = state.store().verifications(&filter, &caller.visibility()).await?;
    let public_url = &state.config().public_url;
    Ok(Json(VerificationList {
        items: page
            .items
            .iter()
            .map(|v| VerificationView::new(v, public_url))
            .collect(),
        next_cursor: page.next.map(|cursor| cursor.to_string()),
    }))
}

fn parse_country(query: &mut Query) -> Result<Option<String>, Problem> {
    let Some(code) = query.text("country") else {
        return Ok(None);
    };
    if code.len() == 2 && code.bytes().all(|b| b.is_ascii_uppercase()) {
        return Ok(Some(code));
    }
    Err(Problem::malformed(
        "country",
        "country must be an ISO 3166-1 alpha-2 code in capitals, such as US",
    ))
}

fn parse_time(query: &mut Query, name: &'static str) -> Result<Option<UnixMillis>, Problem> {
    let Some(text) = query.text(name) else {
        return Ok(None);
    };
    UnixMillis::parse_rfc3339(&text).map(Some).ok_or_else(|| {
        Problem::malformed(
            name,
            format!("{name} must be RFC 3339, such as 2030-01-31T12:00:00Z"),
        )
    })
}

pub(super) fn parse_limit(query: &mut Query) -> Result<u32, Problem> {
    match query.integer("limit", ListFilter::LIMIT_MAX)? {
        None => Ok(50),
        Some(0) => Err(Problem::malformed("limit", "limit must be 1 to 200, found 0")),
        Some(limit) => Ok(limit),
    }
}

pub(super) fn parse_cursor(query: &mut Query) -> Result<Option<Cursor>, Problem> {
    let Some(text) = query.text("cursor") else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_| {
        Problem::new(
            Code::Malformed,
            "cursor must be the next_cursor of an earlier answer",
        )
        .at("cursor")
    })
}
