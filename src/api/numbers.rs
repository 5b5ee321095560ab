//! `POST /v1/numbers/check`: what a number is and whether it may be called. Places no call.
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::Caller;
use super::body::Fields;
use super::intake;
use super::openapi::Refusal;
use super::request::{Dialled, To};
use super::{ApiState, Problem, require_json};
use crate::model::Destination;
use crate::policy;
use crate::store::Scope;

#[derive(ToSchema)]
#[schema(as = CheckNumber, example = json!({"to": {"number": "(425) 555-0123", "region": "US"}}))]
#[expect(dead_code, reason = "documents the body that `Dialled::parse` reads")]
pub(super) struct CheckNumber {
    to: To,
}

/// What the number is, and why it may not be called.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = CheckedNumber)]
pub(super) struct CheckedNumber {
    /// Whether a POST would be let through by the number rules; limits and a call in progress are not looked at.
    allowed: bool,
    /// Canonical form; null when it could not be read.
    #[schema(example = "+14255550123")]
    to: Option<String>,
    to_masked: Option<String>,
    /// As people of the country write it.
    #[schema(example = "+1 425-555-0123")]
    formatted: Option<String>,
    #[schema(example = "US")]
    country: Option<String>,
    #[schema(example = "1")]
    calling_code: Option<String>,
    /// `fixed_line`, `mobile`, `fixed_line_or_mobile`, `toll_free`, `voip`, …; `internal` for the PBX.
    #[schema(example = "mobile")]
    line_type: Option<&'static str>,
    /// The identity that a call would present.
    caller_id: Option<String>,
    /// When not allowed: the problem code that a POST would get.
    #[schema(example = "country_not_allowed")]
    code: Option<&'static str>,
    detail: Option<String>,
}

/// Check a number without calling it.
#[utoipa::path(post, path = "/v1/numbers/check", operation_id = "check_number", tag = "numbers", request_body = CheckNumber,
    responses((status = 200, body = CheckedNumber), (status = "4XX", response = Refusal)))]
pub(super) async fn check(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<CheckedNumber>, Problem> {
    caller.require(Scope::Verifications)?;
    require_json(&headers)?;
    let mut fields = Fields::parse(&body)?;
    let dialled = Dialled::parse(&mut fields)?;
    fields.finish()?;
    let config = state.config();
    let to = match intake::read_number(&config, &dialled) {
        Ok(to) => to,
        Err(refusal) => return Ok(Json(CheckedNumber::default().refused(&refusal))),
    };
    let checked = described(&to);
    if let Err(refusal) = config.policy.admits(&to) {
        return Ok(Json(checked.refused(&refusal)));
    }
    if state
        .store()
        .blocked(to.reveal(), None, state.now())
        .await?
        .is_some()
    {
        let refusal = policy::Refusal::new(
            policy::ProblemCode::NumberBlocked,
            "the number is on the list of blocks",
        );
        return Ok(Json(checked.refused(&refusal)));
    }
    let ids = config.trunks.first();
    Ok(Json(CheckedNumber {
        allowed: true,
        caller_id: ids.map(|ids| ids.for_country(to.country()).to_owned()),
        ..checked
    }))
}

impl CheckedNumber {
    fn refused(self, refusal: &policy::Refusal) -> Self {
        Self {
            allowed: false,
            code: Some(refusal.code.as_str()),
            detail: Some(refusal.detail.clone()),
            ..self
        }
    }
}

fn described(to: &Destination) -> CheckedNumber {
    let mut checked = CheckedNumber {
        to: Some(to.reveal().to_owned()),
        to_masked: Some(to.masked()),
        country: to.country().map(str::to_owned),
        ..CheckedNumber::default()
    };
    match to {
        Destination::E164(number) => {
            checked.formatted = Some(number.reveal_formatted());
            checked.calling_code = Some(number.calling_code().to_string());
            checked.line_type = Some(number.line_type().as_str());
        }
        Destination::Internal(number) => {
            checked.formatted = Some(number.clone());
            checked.line_type = Some("internal");
        }
    }
    checked
}
