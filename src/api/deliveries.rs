//! `/v1/webhook-deliveries`: see what was sent, and send it again.
use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::Caller;
use super::openapi::Refusal;
use super::query::Query;
use super::verifications::{parse_cursor, parse_limit};
use super::{ApiState, Problem};
use crate::store::{Delivery, LastTry, Scope};

/// One webhook and how far it came.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookDelivery)]
pub(super) struct DeliveryView {
    /// `webhook-id`, stable over all tries.
    #[schema(example = "evt_abjddpamikhlhmdojnekflgmhniojpaa")]
    id: String,
    verification: Option<String>,
    #[serde(rename = "type")]
    #[schema(example = "verification.approved")]
    kind: &'static str,
    sequence: u64,
    profile: String,
    url: String,
    /// `pending`, `delivered`, `gave_up`, `dropped` (a later event made it worthless) or `disabled` (410).
    state: &'static str,
    tries: u32,
    created_at: String,
    /// While pending: when the next try is due.
    next_at: Option<String>,
    last_try: Option<TryView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookTry)]
pub(super) struct TryView {
    at: String,
    duration_ms: u32,
    /// HTTP status, when one came.
    status: Option<u16>,
    error: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookDeliveryList)]
pub(super) struct DeliveryList {
    items: Vec<DeliveryView>,
    next_cursor: Option<String>,
}

impl DeliveryView {
    fn new(delivery: &Delivery) -> Self {
        Self {
            id: delivery.id.to_string(),
            verification: delivery.verification.map(|id| id.to_string()),
            kind: delivery.kind.as_str(),
            sequence: delivery.sequence,
            profile: delivery.profile.clone(),
            url: delivery.url.clone(),
            state: delivery.state.as_str(),
            tries: delivery.tries,
            created_at: delivery.created_at.to_rfc3339(),
            next_at: delivery.next_at.map(|at| at.to_rfc3339()),
            last_try: delivery.last_try.as_ref().map(TryView::new),
        }
    }
}

impl TryView {
    fn new(last: &LastTry) -> Self {
        Self {
            at: last.at.to_rfc3339(),
            duration_ms: last.duration_ms,
            status: last.status,
            error: last.error.clone(),
        }
    }
}

/// List webhooks, newest first.
#[utoipa::path(get, path = "/v1/webhook-deliveries", operation_id = "list_webhook_deliveries", tag = "webhooks",
    params(("verification" = Option<String>, Query, description = "`ver_…`"),
        ("limit" = Option<u32>, Query, description = "1 to 200; default 50"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of an earlier answer")),
    responses((status = 200, body = DeliveryList), (status = "4XX", response = Refusal)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<DeliveryList>, Problem> {
    caller.require(Scope::Verifications)?;
    let mut query = Query::parse(query.as_deref())?;
    let verification = match query.text("verification") {
        None => None,
        Some(text) => Some(
            text.parse()
                .map_err(|e: crate::model::IdError| Problem::malformed("verification", e.to_string()))?,
        ),
    };
    let (limit, cursor) = (parse_limit(&mut query)?, parse_cursor(&mut query)?);
    query.finish()?;
    let page = state
        .store()
        .deliveries(verification, limit, cursor.as_ref(), &caller.visibility())
        .await?;
    Ok(Json(DeliveryList {
        items: page.items.iter().map(DeliveryView::new).collect(),
        next_cursor: page.next.map(|c| c.to_string()),
    }))
}

/// Send a webhook again: same id, same body.
#[utoipa::path(post, path = "/v1/webhook-deliveries/{id}/redeliver", operation_id = "redeliver_webhook", tag = "webhooks",
    params(("id" = String, Path, description = "`evt_…`")),
    responses((status = 202, description = "Queued"), (status = "4XX", response = Refusal)))]
pub(super) async fn redeliver(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::Verifications)?;
    let id = id.parse().map_err(|_| Problem::not_found("webhook"))?;
    if state
        .store()
        .redeliver(id, &caller.visibility(), state.now())
        .await?
    {
        Ok(StatusCode::ACCEPTED)
    } else {
        Err(Problem::not_found("webhook"))
    }
}
