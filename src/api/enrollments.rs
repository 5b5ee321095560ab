//! `/v1/enrollments`: open a session of the hosted pages, and read what came of it.
use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::Caller;
use super::body::Fields;
use super::enrollment::{
    self, Alternative, CurrentMethod, EnrollmentRequest, EnrollmentStatus, MethodKind, Wizard,
};
use super::intake::{idempotency_in_flight, idempotency_mismatch};
use super::openapi::Refusal;
use super::request::{
    EndUser, EndUserBody, check_callback, find_profile, parse_locale, parse_region, url_problem,
};
use super::verifications::{idempotency_key, stored};
use super::view::VerificationView;
use super::{ApiConfig, ApiState, Code, Problem, Profile, allow_list, require_json, schema};
use crate::model::{Method, Purpose, Verification};
use crate::store::{Enrollment, IdempotencyKey, IdempotencyStart, Scope, StoredAnswer, Visibility};

const LIFE_S_DEFAULT: i64 = 900;
/// Bounds of the lists; the page shows them all.
const METHODS_MAX: usize = 20;

/// A session of the hosted pages.
#[derive(ToSchema)]
#[schema(as = CreateEnrollment, example = json!({
    "return_url": "https://idp.example/security-info", "client_ref": "user-42",
    "current_methods": [{"id": "m1", "type": "email", "detail": "a•••@idp.example", "default": true}],
    "alternatives": [{"type": "authenticator", "url": "https://idp.example/setup/app"}]}))]
#[expect(dead_code, reason = "documents the body that `parse` reads")]
pub(super) struct CreateEnrollment {
    /// Where the pages return to; must lie in the profile's allow-list `return_urls`.
    #[schema(max_length = 2048)]
    return_url: String,
    profile: Option<String>,
    #[schema(example = "de-DE", max_length = 35)]
    locale: Option<String>,
    #[schema(max_length = 64)]
    brand: Option<String>,
    /// Default: `enroll`.
    #[schema(schema_with = schema::purpose)]
    purpose: Option<String>,
    #[schema(max_length = 128)]
    client_ref: Option<String>,
    end_user: Option<EndUserBody>,
    #[schema(max_length = 2048)]
    callback_url: Option<String>,
    /// Preselected in the drop-down, ISO 3166-1 alpha-2.
    region: Option<String>,
    /// Shown in the list; at most 20.
    current_methods: Option<Vec<CurrentMethodBody>>,
    /// How the call may confirm: `press_key`, `random_key`, `match_code`. Default: the profile's.
    allowed_methods: Option<Vec<String>>,
    /// Offered beside the call; at most 20.
    alternatives: Option<Vec<AlternativeBody>>,
    tags: Option<BTreeMap<String, String>>,
    /// Life of the link, seconds. Default 900.
    #[schema(minimum = 60, maximum = 3600)]
    expires_in: Option<u32>,
}

/// A method that the person has already.
#[derive(ToSchema)]
#[schema(as = CurrentMethod)]
#[expect(dead_code, reason = "documents the body that `parse_current` reads")]
pub(super) struct CurrentMethodBody {
    /// The platform's own id; comes back in an `action`.
    #[schema(max_length = 128)]
    id: String,
    /// `phone sms authenticator email security_questions security_key passkey password other`
    #[schema(rename = "type")]
    kind: String,
    #[schema(max_length = 64)]
    label: Option<String>,
    /// Masked by the platform; shown as it is.
    #[schema(max_length = 64, example = "+1 ••• ••• ••23")]
    detail: Option<String>,
    default: Option<bool>,
    /// Default true.
    removable: Option<bool>,
}

/// A hand-off link to the platform's own pages.
#[derive(ToSchema)]
#[schema(as = AlternativeMethod)]
#[expect(dead_code, reason = "documents the body that `parse_alternative` reads")]
pub(super) struct AlternativeBody {
    /// As in `current_methods`.
    #[schema(rename = "type")]
    kind: String,
    #[schema(max_length = 64)]
    label: Option<String>,
    /// https, or a URL in the profile's `return_urls`.
    #[schema(max_length = 2048)]
    url: String,
}

/// Where the session stands. This is the authority; the result in the browser's URL is a message.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Enrollment)]
pub(super) struct EnrollmentView {
    #[schema(example = "enr_6f1e…")]
    id: String,
    /// Send the person's browser here. In the answer to the POST only.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// `open`, `calling`, `completed` or `expired`.
    status: &'static str,
    profile: String,
    client_ref: Option<String>,
    return_url: Option<String>,
    /// The call placed last.
    verification: Option<VerificationView>,
    /// What the person asked to do with a current method.
    action: Option<ActionView>,
    created_at: String,
    expires_at: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EnrollmentAction)]
pub(super) struct ActionView {
    /// `remove` or `set_default`.
    #[serde(rename = "type")]
    kind: &'static str,
    method_id: String,
}

impl EnrollmentView {
    fn new(
        enrollment: &Enrollment,
        verification: Option<&Verification>,
        state: &ApiState,
    ) -> Result<Self, Problem> {
        let (request, wizard) = enrollment::documents(enrollment)?;
        let config = state.config();
        Ok(Self {
            id: enrollment.id.clone(),
            url: None,
            status: EnrollmentStatus::of(enrollment, verification, state.now()).as_str(),
            profile: enrollment.profile.clone(),
            client_ref: request.client_ref,
            return_url: enrollment.return_url.clone(),
            verification: verification.map(|v| VerificationView::new(v, &config.public_url)),
            action: wizard.action.map(|action| ActionView {
                kind: match action.kind {
                    enrollment::ActionKind::Remove => "remove",
                    enrollment::ActionKind::SetDefault => "set_default",
                },
                method_id: action.method_id,
            }),
            created_at: enrollment.created_at.to_rfc3339(),
            expires_at: enrollment.expires_at.to_rfc3339(),
        })
    }
}

/// Open a session of the hosted enrolment pages.
#[utoipa::path(post, path = "/v1/enrollments", operation_id = "create_enrollment", tag = "enrollments", request_body = CreateEnrollment,
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters")),
    responses(
        (status = 201, body = EnrollmentView, headers(("Location" = String, description = "The session"))),
        (status = "4XX", response = Refusal)))]
pub(super) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    caller.require(Scope::Enrollments)?;
    require_json(&headers)?;
    let idempotency = idempotency_key(&headers, &caller, "POST /v1/enrollments", &body)?;
    let (profile, request, life) = parse(Fields::parse(&body)?, &state.config(), &caller)?;
    let Some(key) = idempotency else {
        let answer = open(&state, &caller, profile, request, life).await?;
        return Ok(stored(&answer, false));
    };
    match state.store().idempotency_begin(key.clone(), state.now()).await? {
        IdempotencyStart::Replay(answer) => return Ok(stored(&answer, true)),
        IdempotencyStart::Mismatch => return Err(idempotency_mismatch()),
        IdempotencyStart::InFlight => return Err(idempotency_in_flight()),
        IdempotencyStart::Fresh => {}
    }
    open_once(&state, &caller, profile, request, life, key).await
}

async fn open_once(
    state: &ApiState,
    caller: &Caller,
    profile: String,
    request: EnrollmentRequest,
    life: Duration,
    key: IdempotencyKey,
) -> Result<Response, Problem> {
    match open(state, caller, profile, request, life).await {
        Ok(answer) => {
            state.store().idempotency_finish(key, answer.clone()).await?;
            Ok(stored(&answer, false))
        }
        Err(problem) => {
            state.store().idempotency_abandon(key).await?;
            Err(problem)
        }
    }
}

async fn open(
    state: &ApiState,
    caller: &Caller,
    profile: String,
    request: EnrollmentRequest,
    life: Duration,
) -> Result<StoredAnswer, Problem> {
    let token = enrollment::new_token(state);
    let now = state.now();
    let json = |e: serde_json::Error| Problem::internal(&e);
    let row = Enrollment {
        id: format!("enr_{}", state.token()),
        token_hash: enrollment::token_hash(token.reveal()),
        key_id: caller.key_id().to_owned(),
        profile,
        state: EnrollmentStatus::Open.as_str().to_owned(),
        return_url: Some(request.return_url.clone()),
        request_json: serde_json::to_string(&request).map_err(json)?,
        wizard_json: serde_json::to_string(&Wizard::default()).map_err(json)?,
        verification: None,
        created_at: now,
        updated_at: now,
        expires_at: now.plus(life),
        version: 1,
    };
    let mut view = EnrollmentView::new(&row, None, state)?;
    view.url = Some(format!("{}/enroll/{}", state.config().public_url, token.reveal()));
    let location = format!("/v1/enrollments/{}", row.id);
    state.store().enrollment_create(row).await?;
    Ok(StoredAnswer {
        status: StatusCode::CREATED.as_u16(),
        location: Some(location),
        body: serde_json::to_string(&view).map_err(json)?,
    })
}

fn parse(
    mut fields: Fields,
    config: &ApiConfig,
    caller: &Caller,
) -> Result<(String, EnrollmentRequest, Duration), Problem> {
    let return_url = fields.text("return_url", 2048)?;
    let return_url = return_url
        .ok_or_else(|| fields.missing("return_url", "send the page to which the browser returns"))?;
    let name = fields.text("profile", 64)?;
    let locale = parse_locale(&mut fields)?;
    let brand = fields.text("brand", 64)?;
    let purpose = fields.word("purpose")?.unwrap_or(Purpose::Enroll);
    let client_ref = fields.text("client_ref", 128)?;
    let end_user = EndUser::parse(&mut fields)?;
    let callback_url = fields.text("callback_url", 2048)?;
    let region = match fields.text("region", 8)? {
        None => None,
        Some(code) => Some(parse_region(&code, "region")?),
    };
    let current = fields.objects("current_methods", METHODS_MAX)?;
    let methods = fields.words::<Method>("allowed_methods", METHODS_MAX)?;
    let alternatives = fields.objects("alternatives", METHODS_MAX)?;
    let tags = fields.text_map("tags", 16, 256)?;
    let life_s = fields.integer("expires_in", 60..=3600)?.unwrap_or(LIFE_S_DEFAULT);
    fields.finish()?;

    let current_methods = current.into_iter().map(parse_current).collect::<Result<_, _>>()?;
    let (profile_name, profile) = find_profile(config, name, |p| caller.require_profile(p))?;
    let return_url = allow_list::check(&profile.return_urls, &return_url, "return_urls")
        .map_err(|fault| url_problem(&fault, Code::ReturnUrlNotAllowed, "return_url"))?;
    if purpose == Purpose::Transaction {
        let detail = "the pages confirm no transactions; use enroll, sign_in or password_reset";
        return Err(Problem::new(Code::ParamInvalid, detail).at("purpose"));
    }
    let mut links = Vec::with_capacity(alternatives.len());
    for (i, alternative) in alternatives.into_iter().enumerate() {
        links.push(parse_alternative(alternative, i, profile)?);
    }
    let request = EnrollmentRequest {
        return_url: return_url.into(),
        locale,
        brand: brand.or_else(|| profile.brand.clone()),
        purpose,
        client_ref,
        end_user,
        callback_url: check_callback(profile, callback_url)?,
        region,
        current_methods,
        allowed_methods: check_methods(methods, profile)?,
        alternatives: links,
        tags,
    };
    let life = Duration::from_secs(u64::try_from(life_s).unwrap_or_default());
    Ok((profile_name, request, life))
}

/// The methods that need no code of the platform, among those of the profile.
fn check_methods(asked: Vec<Method>, profile: &Profile) -> Result<Vec<Method>, Problem> {
    let refused = |detail: String| Problem::new(Code::MethodNotAllowed, detail).at("allowed_methods");
    let offered: Vec<Method> = profile
        .methods
        .iter()
        .copied()
        .filter(|m| *m != Method::SpeakCode)
        .collect();
    if asked.is_empty() && offered.is_empty() {
        return Err(refused(
            "the profile allows no method that the pages can use".to_owned(),
        ));
    }
    if asked.is_empty() {
        return Ok(offered);
    }
    match asked.iter().find(|m| !offered.contains(m)) {
        None => Ok(asked),
        Some(method) => {
            let offered: Vec<&str> = offered.iter().map(|m| m.as_str()).collect();
            Err(refused(format!(
                "the pages of this profile allow: {}; found {method}",
                offered.join(", ")
            )))
        }
    }
}

fn parse_current(mut fields: Fields) -> Result<CurrentMethod, Problem> {
    let id = fields.text("id", 128)?;
    let kind = fields.word::<MethodKind>("type")?;
    let method = CurrentMethod {
        id: id.ok_or_else(|| fields.missing("id", "send your own id of the method"))?,
        kind: kind.ok_or_else(|| fields.missing("type", "send its kind, such as \"phone\""))?,
        label: fields.text("label", 64)?,
        detail: fields.text("detail", 64)?,
        is_default: fields.flag("default")?.unwrap_or(false),
        removable: fields.flag("removable")?.unwrap_or(true),
    };
    fields.finish()?;
    Ok(method)
}

fn parse_alternative(mut fields: Fields, place: usize, profile: &Profile) -> Result<Alternative, Problem> {
    let kind = fields.word::<MethodKind>("type")?;
    let kind = kind.ok_or_else(|| fields.missing("type", "send its kind, such as \"authenticator\""))?;
    let label = fields.text("label", 64)?;
    let url = fields.text("url", 2048)?;
    let url = url.ok_or_else(|| fields.missing("url", "send the page that sets the method up"))?;
    fields.finish()?;
    let param = format!("alternatives.{place}.url");
    let parsed = allow_list::parse(&url).map_err(|fault| url_problem(&fault, Code::ParamInvalid, &param))?;
    if parsed.scheme() != "https" && allow_list::check(&profile.return_urls, &url, "return_urls").is_err() {
        let detail = format!("{param}: the scheme must be https, or the URL in the profile's return_urls");
        return Err(Problem::new(Code::ParamInvalid, detail).at(param));
    }
    Ok(Alternative {
        kind,
        label,
        url: parsed.into(),
    })
}

/// Read a session.
#[utoipa::path(get, path = "/v1/enrollments/{id}", operation_id = "get_enrollment", tag = "enrollments",
    params(("id" = String, Path, description = "`enr_…`")),
    responses((status = 200, body = EnrollmentView), (status = "4XX", response = Refusal)))]
pub(super) async fn read(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    caller.require(Scope::Enrollments)?;
    let found = state.store().enrollment(&id, &caller.visibility()).await?;
    let enrollment = found.ok_or_else(|| Problem::not_found("enrollment"))?;
    let verification = last_verification(&state, &enrollment).await?;
    let view = EnrollmentView::new(&enrollment, verification.as_ref(), &state)?;
    let mut response = Json(view).into_response();
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The call that the session placed last.
pub async fn last_verification(
    state: &ApiState,
    enrollment: &Enrollment,
) -> Result<Option<Verification>, Problem> {
    match enrollment.verification {
        None => Ok(None),
        Some(id) => Ok(state.store().verification(id, &Visibility::All).await?),
    }
}
