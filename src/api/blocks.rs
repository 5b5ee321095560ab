//! `/v1/blocks`: numbers, prefixes and end users that are not called.
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;

use super::auth::Caller;
use super::body::Fields;
use super::openapi::Refusal;
use super::query::Query;
use super::verifications::{parse_cursor, parse_limit};
use super::{ApiState, Code, Problem, require_json};
use crate::model::{NumberValidation, PhoneNumber};
use crate::store::{Block, BlockSubject, Scope};

/// Exactly one of `number`, `prefix` and `end_user`.
#[derive(ToSchema)]
#[schema(as = CreateBlock, example = json!({"number": "+14255550123", "note": "asked not to be called"}))]
#[expect(dead_code, reason = "documents the body that `parse_subject` reads")]
pub(super) struct CreateBlock {
    /// E.164, or an internal number.
    number: Option<String>,
    /// Start of E.164 numbers.
    #[schema(example = "+88213")]
    prefix: Option<String>,
    /// `end_user.id` of requests.
    #[schema(max_length = 128)]
    end_user: Option<String>,
    /// Why, for the operator.
    #[schema(max_length = 256)]
    note: Option<String>,
    /// Seconds; without it the block stays until removed.
    #[schema(minimum = 60, maximum = 315_360_000)]
    expires_in: Option<u32>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Block)]
pub(super) struct BlockView {
    #[schema(example = "blk_6f1e…")]
    id: String,
    /// `number`, `prefix` or `end_user`.
    #[serde(rename = "type")]
    kind: &'static str,
    value: String,
    note: String,
    /// API key, or `fraud_report`.
    created_by: String,
    created_at: String,
    expires_at: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BlockList)]
pub(super) struct BlockList {
    items: Vec<BlockView>,
    next_cursor: Option<String>,
}

impl BlockView {
    fn new(block: &Block) -> Self {
        Self {
            id: block.id.clone(),
            kind: block.subject.kind(),
            value: block.subject.value().to_owned(),
            note: block.note.clone(),
            created_by: block.created_by.clone(),
            created_at: block.created_at.to_rfc3339(),
            expires_at: block.expires_at.map(|at| at.to_rfc3339()),
        }
    }
}

/// List the blocks in force.
#[utoipa::path(get, path = "/v1/blocks", operation_id = "list_blocks", tag = "blocks",
    params(("limit" = Option<u32>, Query, description = "1 to 200; default 50"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of an earlier answer")),
    responses((status = 200, body = BlockList), (status = "4XX", response = Refusal)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<BlockList>, Problem> {
    caller.require(Scope::Blocks)?;
    let mut query = Query::parse(query.as_deref())?;
    let (limit, cursor) = (parse_limit(&mut query)?, parse_cursor(&mut query)?);
    query.finish()?;
    let page = state.store().blocks(state.now(), limit, cursor.as_ref()).await?;
    Ok(Json(BlockList {
        items: page.items.iter().map(BlockView::new).collect(),
        next_cursor: page.next.map(|c| c.to_string()),
    }))
}

/// Block a number, a prefix or an end user.
#[utoipa::path(post, path = "/v1/blocks", operation_id = "create_block", tag = "blocks", request_body = CreateBlock,
    responses((status = 201, body = BlockView), (status = "4XX", response = Refusal)))]
pub(super) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    caller.require(Scope::Blocks)?;
    require_json(&headers)?;
    let mut fields = Fields::parse(&body)?;
    let subject = parse_subject(&mut fields)?;
    let note = fields.text("note", 256)?.unwrap_or_default();
    let expires_in = fields.integer("expires_in", 60..=315_360_000)?;
    fields.finish()?;
    let now = state.now();
    let life = expires_in
        .and_then(|s| u64::try_from(s).ok())
        .map(Duration::from_secs);
    let block = Block {
        id: format!("blk_{}", state.token()),
        subject,
        note,
        created_by: caller.key_id().to_owned(),
        created_at: now,
        expires_at: life.map(|life| now.plus(life)),
    };
    let view = BlockView::new(&block);
    state.store().block_add(block).await?;
    let mut response = (StatusCode::CREATED, Json(&view)).into_response();
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/blocks/{}", view.id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

fn parse_subject(fields: &mut Fields) -> Result<BlockSubject, Problem> {
    let number = fields.text("number", 64)?;
    let prefix = fields.text("prefix", 16)?;
    let end_user = fields.text("end_user", 128)?;
    match (number, prefix, end_user) {
        (Some(number), None, None) => parse_number(&number),
        (None, Some(prefix), None) => parse_prefix(prefix),
        (None, None, Some(id)) => Ok(BlockSubject::EndUser(id)),
        _ => Err(Problem::new(
            Code::Malformed,
            "send exactly one of number, prefix and end_user",
        )),
    }
}

fn parse_number(text: &str) -> Result<BlockSubject, Problem> {
    let is_internal = !text.starts_with('+') && text.len() <= 15 && text.bytes().all(|b| b.is_ascii_digit());
    if is_internal {
        return Ok(BlockSubject::Number(text.to_owned()));
    }
    match PhoneNumber::parse(text, None, NumberValidation::Shape) {
        Ok(number) => Ok(BlockSubject::Number(number.reveal().to_owned())),
        Err(error) => Err(Problem::new(Code::NumberInvalid, error.to_string()).at("number")),
    }
}

fn parse_prefix(prefix: String) -> Result<BlockSubject, Problem> {
    let digits = prefix.strip_prefix('+').unwrap_or_default();
    if (1..=14).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(BlockSubject::Prefix(prefix));
    }
    let detail = "prefix must be + and 1 to 14 digits, such as \"+88213\"";
    Err(Problem::new(Code::NumberInvalid, detail).at("prefix"))
}

/// Remove a block.
#[utoipa::path(delete, path = "/v1/blocks/{id}", operation_id = "delete_block", tag = "blocks",
    params(("id" = String, Path, description = "`blk_…`")),
    responses((status = 204, description = "Removed"), (status = "4XX", response = Refusal)))]
pub(super) async fn remove(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::Blocks)?;
    if state.store().block_remove(&id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found("block"))
    }
}
