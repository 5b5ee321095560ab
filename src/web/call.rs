//! Placing the call, following it, and how it ended.
use std::time::Duration;

use askama::Template;
use axum::Form;
use axum::extract::RawQuery;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use sha2::{Digest as _, Sha256};

use super::number::{confirm_key, formatted, parse_extension, show_review, shown_identity};
use super::session::{Frame, Other, Session, WebError};
use super::texts::{STEPS, StageText, end_text, field_error, key_name, stage_text};
use crate::api::enrollment::{Draft, EnrollmentStatus};
use crate::api::{self, Account, Call, Dialled, Placed, Problem};
use crate::model::{Masked, Method, Outcome, Reason, Stage, Status, Verification, VerificationId};
use crate::store::{IdempotencyKey, StoredAnswer, Visibility};

#[derive(serde::Deserialize)]
pub(super) struct Confirmation {
    #[serde(default)]
    csrf: String,
}

/// Places the call of the draft. A second click finds the first one's call.
pub(super) async fn place(
    mut session: Session,
    Form(form): Form<Confirmation>,
) -> Result<Response, WebError> {
    session.check_form(&form.csrf)?;
    match session.status() {
        EnrollmentStatus::Calling => return Ok(session.see("/call")),
        EnrollmentStatus::Completed => return Ok(session.see("")),
        EnrollmentStatus::Open | EnrollmentStatus::Expired => {}
    }
    let Some(draft) = session.wizard.draft.clone() else {
        return Ok(session.see("/phone"));
    };
    let id = match place_once(&session, &draft).await {
        Ok(Placed::Created { verification, .. }) => verification.id,
        Ok(Placed::Replay(answer)) => answer
            .body
            .parse::<VerificationId>()
            .map_err(|e| WebError::from(Problem::internal(&e)))?,
        Err(problem) => return show_review(&session, Some(field_error(&problem))).await,
    };
    session.note_call(id).await?;
    Ok(session.see("/call"))
}

/// Places the call of this click, unless the click came before.
async fn place_once(session: &Session, draft: &Draft) -> Result<Placed, Problem> {
    let click = click(session, draft);
    if let Some(answer) = api::answered_before(&session.state, Some(&click)).await? {
        return Ok(Placed::Replay(answer));
    }
    let account = Account {
        key_id: session.row.key_id.clone(),
        visibility: Visibility::All,
        idempotency: Some(click),
    };
    // The stored answer of a click is the id of its call.
    let render = |verification: &Verification| StoredAnswer {
        status: StatusCode::SEE_OTHER.as_u16(),
        location: None,
        body: verification.id.to_string(),
    };
    api::place(&session.state, account, call_of(session, draft)?, render).await
}

fn call_of(session: &Session, draft: &Draft) -> Result<Call, Problem> {
    let config = session.state.config();
    let profile = config.profiles.get(&session.row.profile);
    let request = &session.request;
    let extension = parse_extension(draft.extension.as_deref().unwrap_or_default())?;
    Ok(Call {
        to: Dialled {
            number: Masked::new(draft.number.clone()),
            region: None,
            param: "to.number",
        },
        extension,
        method: draft.method,
        code: None,
        purpose: request.purpose,
        locale: request.locale.clone(),
        brand: request.brand.clone(),
        profile: session.row.profile.clone(),
        client_ref: request.client_ref.clone(),
        end_user: request.end_user.clone(),
        callback_url: request.callback_url.clone(),
        expires_in_s: profile.map_or(120, |p| p.expires_in_s),
        tags: request.tags.clone(),
        message: std::collections::BTreeMap::new(),
        supersede: false,
    })
}

/// One state of the session places one call, however often the button is pressed.
fn click(session: &Session, draft: &Draft) -> IdempotencyKey {
    let body_hash = Sha256::digest(format!(
        "{}\n{:?}\n{}",
        draft.number, draft.extension, draft.method
    ))
    .into();
    IdempotencyKey {
        key_id: session.row.key_id.clone(),
        value: format!("{}:{}", session.row.id, session.row.version),
        body_hash,
    }
}

#[derive(Template)]
#[template(path = "status.html")]
struct StatusPage {
    frame: Frame,
    csrf: String,
    headline: &'static str,
    instruction: String,
    sequence: u64,
    code: Option<String>,
    /// The code digit by digit, for those who listen to the page.
    spoken_code: String,
    key: String,
    steps: Vec<Step>,
    texts: Vec<StageText>,
    number: String,
    extension: Option<String>,
    caller_id: Option<String>,
}

struct Step {
    title: &'static str,
    /// `past`, `current` or `next`.
    state: &'static str,
}

#[derive(Template)]
#[template(path = "done.html")]
struct DonePage {
    frame: Frame,
    masked: String,
}

#[derive(Template)]
#[template(path = "failed.html")]
struct FailedPage {
    frame: Frame,
    csrf: String,
    title: &'static str,
    text: &'static str,
    next: &'static str,
    tone: &'static str,
    number: String,
    extension: Option<String>,
    offers_again: bool,
    offers_change: bool,
    wait_s: u64,
    none: Option<String>,
    alternatives: Vec<Other>,
}

pub(super) async fn show(session: Session) -> Result<Response, WebError> {
    std::future::ready(()).await;
    let Some(verification) = &session.verification else {
        return Ok(session.see("/phone"));
    };
    match verification.outcome {
        None => show_status(&session, verification),
        Some(outcome) => show_end(&session, verification, outcome),
    }
}

fn show_status(session: &Session, verification: &Verification) -> Result<Response, WebError> {
    let key = confirm_key(session);
    let now = stage_text(verification.stage, verification.method, key);
    let steps = STEPS.iter().enumerate().map(|(place, title)| Step {
        title,
        state: match place.cmp(&now.step) {
            std::cmp::Ordering::Less => "past",
            std::cmp::Ordering::Equal => "current",
            std::cmp::Ordering::Greater => "next",
        },
    });
    let code = verification
        .code
        .as_ref()
        .filter(|_| verification.method == Method::MatchCode);
    let code = code.map(|digits| digits.reveal().reveal());
    let page = StatusPage {
        frame: session.frame(),
        csrf: session.csrf(),
        headline: now.headline,
        instruction: now.instruction,
        sequence: verification.sequence,
        spoken_code: spaced(code.as_deref().unwrap_or_default()),
        code,
        key: key_name(key),
        steps: steps.collect(),
        texts: Stage::ALL
            .iter()
            .map(|stage| stage_text(*stage, verification.method, key))
            .collect(),
        number: formatted(&verification.to),
        extension: verification.extension.as_ref().map(|e| e.digits.reveal()),
        caller_id: Some(shown_identity(&verification.caller_id)),
    };
    session.page(&page)
}

fn spaced(code: &str) -> String {
    code.chars().map(String::from).collect::<Vec<_>>().join(" ")
}

fn show_end(session: &Session, verification: &Verification, outcome: Outcome) -> Result<Response, WebError> {
    match outcome.status() {
        Status::Approved | Status::Delivered => session.page(&DonePage {
            frame: session.frame(),
            masked: verification.to.masked(),
        }),
        Status::Pending
        | Status::Denied
        | Status::Expired
        | Status::Failed
        | Status::Blocked
        | Status::Canceled => show_failure(session, verification, outcome.reason()),
    }
}

fn show_failure(
    session: &Session,
    verification: &Verification,
    reason: Reason,
) -> Result<Response, WebError> {
    let words = end_text(reason);
    let again_after = Duration::from_secs(session.state.config().call_again_after_s.into());
    let left = verification
        .created_at
        .plus(again_after)
        .since(session.state.now());
    let page = FailedPage {
        frame: session.frame(),
        csrf: session.csrf(),
        title: words.title,
        text: words.text,
        next: words.next,
        tone: words.tone,
        number: formatted(&verification.to),
        extension: verification.extension.as_ref().map(|e| e.digits.reveal()),
        offers_again: words.again && session.wizard.draft.is_some(),
        offers_change: reason != Reason::FraudReported,
        wait_s: u64::try_from(left.as_millis().div_ceil(1000)).unwrap_or(0),
        none: None,
        alternatives: session.others(),
    };
    session.page(&page)
}

pub(super) async fn cancel(session: Session, Form(form): Form<Confirmation>) -> Result<Response, WebError> {
    session.check_form(&form.csrf)?;
    if let Some(id) = session.row.verification {
        let (entropy, now) = (session.state.entropy(), session.state.now());
        let canceled = session
            .state
            .store()
            .cancel(id, &Visibility::All, Reason::ByClient, entropy, now)
            .await;
        canceled.map_err(Problem::from)?;
    }
    Ok(session.see("/call"))
}

/// The events of the session's call, for the script of the status page.
pub(super) async fn events(
    session: Session,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Some(id) = session.row.verification else {
        return Err(Problem::not_found("call"));
    };
    let last = headers.get("last-event-id").and_then(|v| v.to_str().ok());
    let after = query.as_deref().and_then(|q| q.strip_prefix("after="));
    let seen = last.or(after).and_then(|text| text.parse().ok()).unwrap_or(0);
    api::events(&session.state, id, &Visibility::All, seen).await
}
