//! The form for the number, and the echo before the call.
use askama::Template;
use axum::Form;
use axum::http::{StatusCode, header};
use axum::response::Response;

use super::session::{Frame, Other, Session, WebError};
use super::texts::{FieldError, field_error, what_to_do};
use crate::api::enrollment::{Draft, EnrollmentStatus};
use crate::api::{
    Dialled, Problem, RegionView, extension, guessed_region, judge_number, preferred_language, region_list,
};
use crate::model::{Destination, Digit, Extension, Masked, Method, NumberValidation, PhoneNumber};

#[derive(Template)]
#[template(path = "number.html")]
struct NumberPage {
    frame: Frame,
    csrf: String,
    error: Option<FieldError>,
    regions: Vec<RegionView>,
    region: String,
    typed: String,
    extension: String,
    choices: Vec<Choice>,
    alternatives: Vec<Other>,
}

impl NumberPage {
    fn error_at(&self, field: &str) -> bool {
        self.error.as_ref().is_some_and(|e| e.field == field)
    }

    fn error_text(&self) -> &str {
        self.error.as_ref().map_or("", |e| e.text.as_str())
    }
}

struct Choice {
    value: &'static str,
    title: &'static str,
    text: &'static str,
    is_chosen: bool,
}

impl Choice {
    fn new(method: Method, is_chosen: bool) -> Self {
        let (title, text) = match method {
            Method::PressKey => ("Call me", "Answer and press one key."),
            Method::RandomKey => (
                "Call me and name a key",
                "Answer and press the key that the voice names.",
            ),
            Method::MatchCode => (
                "Call me and ask for a code",
                "Answer and key in the digits on this screen.",
            ),
            Method::SpeakCode => ("Call me and tell me a code", "Answer and hear the digits."),
        };
        Self {
            value: method.as_str(),
            title,
            text,
            is_chosen,
        }
    }
}

/// The form as sent; everything is text until it has been judged.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct NumberForm {
    csrf: String,
    region: String,
    number: String,
    extension: String,
    method: String,
}

pub(super) async fn form(session: Session) -> Result<Response, WebError> {
    std::future::ready(()).await;
    if let Some(elsewhere) = elsewhere(&session) {
        return Ok(elsewhere);
    }
    let entered = match &session.wizard.draft {
        Some(draft) => NumberForm {
            csrf: String::new(),
            region: draft.region.clone().unwrap_or_default(),
            number: draft.typed.clone(),
            extension: draft.extension.clone().unwrap_or_default(),
            method: draft.method.as_str().to_owned(),
        },
        None => NumberForm {
            region: first_region(&session),
            ..NumberForm::default()
        },
    };
    show_form(&session, entered, None)
}

/// While a call is on its page is the right one; when all is done so is the list.
fn elsewhere(session: &Session) -> Option<Response> {
    match session.status() {
        EnrollmentStatus::Calling => Some(session.see("/call")),
        EnrollmentStatus::Completed => Some(session.see("")),
        EnrollmentStatus::Open | EnrollmentStatus::Expired => None,
    }
}

fn allowed_regions(session: &Session) -> Vec<RegionView> {
    let accept = accept_language(session);
    let mut regions = region_list(&session.state.config(), preferred_language(accept));
    regions.retain(|r| r.allowed);
    regions
}

fn accept_language(session: &Session) -> Option<&str> {
    session
        .headers
        .get(header::ACCEPT_LANGUAGE)
        .and_then(|v| v.to_str().ok())
}

/// What the platform says, else what the browser's language suggests, else the only one there is.
fn first_region(session: &Session) -> String {
    let regions = allowed_regions(session);
    let named = session
        .request
        .region
        .as_deref()
        .filter(|code| regions.iter().any(|r| r.code == *code));
    let guessed = named.or_else(|| guessed_region(accept_language(session), &regions));
    match (guessed, regions.as_slice()) {
        (Some(code), _) => code.to_owned(),
        (None, [only]) => only.code.to_owned(),
        (None, _) => String::new(),
    }
}

fn show_form(
    session: &Session,
    entered: NumberForm,
    error: Option<FieldError>,
) -> Result<Response, WebError> {
    let status = if error.is_some() {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::OK
    };
    let chosen = chosen_method(session, &entered.method);
    let methods = session.request.allowed_methods.iter();
    let page = NumberPage {
        frame: session.frame(),
        csrf: session.csrf(),
        error,
        regions: allowed_regions(session),
        region: entered.region,
        typed: entered.number,
        extension: entered.extension,
        choices: methods.map(|m| Choice::new(*m, Some(*m) == chosen)).collect(),
        alternatives: session.others(),
    };
    session.page_with(status, &page)
}

/// The method of the form when it is allowed, else the first.
fn chosen_method(session: &Session, word: &str) -> Option<Method> {
    let allowed = &session.request.allowed_methods;
    let asked = word.parse().ok().filter(|m| allowed.contains(m));
    asked.or_else(|| allowed.first().copied())
}

pub(super) async fn submit(
    mut session: Session,
    Form(mut form): Form<NumberForm>,
) -> Result<Response, WebError> {
    session.check_form(&form.csrf)?;
    if let Some(elsewhere) = elsewhere(&session) {
        return Ok(elsewhere);
    }
    form.number = form.number.trim().chars().take(64).collect();
    form.extension = form.extension.trim().chars().take(16).collect();
    form.region = form.region.chars().take(8).collect();
    match judge(&session, &form).await {
        Ok(draft) => {
            session.wizard.draft = Some(draft);
            session.save().await?;
            Ok(session.see("/review"))
        }
        Err(error) => show_form(&session, form, Some(error)),
    }
}

async fn judge(session: &Session, form: &NumberForm) -> Result<Draft, FieldError> {
    let wrong = |field, text: &str| FieldError {
        field,
        text: text.to_owned(),
    };
    if form.number.is_empty() {
        return Err(wrong("number", "Enter your telephone number"));
    }
    let method = chosen_method(session, &form.method).ok_or_else(|| wrong("method", "Choose a method"))?;
    let extension = parse_extension(&form.extension).map_err(|p| field_error(&p))?;
    let region = (!form.region.is_empty()).then(|| form.region.clone());
    let dialled = Dialled {
        number: Masked::new(form.number.clone()),
        region: region.clone(),
        param: "to.number",
    };
    let judged = judge_number(&session.state, &session.row.key_id, &dialled).await;
    let number = judged.map_err(|p| field_error(&p))?;
    Ok(Draft {
        typed: form.number.clone(),
        region,
        number: number.reveal().to_owned(),
        extension: extension.map(|e| e.digits.reveal()),
        method,
    })
}

/// An empty field is no extension.
pub(super) fn parse_extension(text: &str) -> Result<Option<Extension>, Problem> {
    if text.is_empty() {
        return Ok(None);
    }
    extension(text, Extension::WAIT_MS_DEFAULT).map(Some)
}

#[derive(Template)]
#[template(path = "review.html")]
pub(super) struct ReviewPage {
    frame: Frame,
    csrf: String,
    error: Option<FieldError>,
    number: String,
    extension: Option<String>,
    caller_id: Option<String>,
    instruction: String,
}

pub(super) async fn review(session: Session) -> Result<Response, WebError> {
    if let Some(elsewhere) = elsewhere(&session) {
        return Ok(elsewhere);
    }
    show_review(&session, None).await
}

/// The echo, with the reason why a call could not be placed when there is one.
pub(super) async fn show_review(session: &Session, error: Option<FieldError>) -> Result<Response, WebError> {
    let Some(draft) = &session.wizard.draft else {
        return Ok(session.see("/phone"));
    };
    let dialled = Dialled {
        number: Masked::new(draft.number.clone()),
        region: None,
        param: "to.number",
    };
    let judged = judge_number(&session.state, &session.row.key_id, &dialled).await;
    let destination = match judged {
        Ok(destination) => destination,
        // The rules have changed since the form was sent.
        Err(_) if error.is_none() => return Ok(session.see("/phone")),
        Err(problem) => return Err(problem.into()),
    };
    let status = if error.is_some() {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::OK
    };
    let config = session.state.config();
    let page = ReviewPage {
        frame: session.frame(),
        csrf: session.csrf(),
        error,
        number: formatted(&destination),
        extension: draft.extension.clone(),
        caller_id: config
            .trunks
            .first()
            .map(|ids| shown_identity(ids.for_country(destination.country()))),
        instruction: what_to_do(draft.method, confirm_key(session)),
    };
    session.page_with(status, &page)
}

/// As people write it. The page is the person's own: it shows the number in full, as typed.
pub(super) fn formatted(destination: &Destination) -> String {
    match destination {
        Destination::E164(number) => number.reveal_formatted(),
        Destination::Internal(number) => number.clone(),
    }
}

/// A caller ID as telephones show it; what is no public number stays as it is.
pub(super) fn shown_identity(caller_id: &str) -> String {
    match PhoneNumber::parse(caller_id, None, NumberValidation::Shape) {
        Ok(number) => number.reveal_formatted(),
        Err(_) => caller_id.to_owned(),
    }
}

pub(super) fn confirm_key(session: &Session) -> Digit {
    let config = session.state.config();
    config
        .profiles
        .get(&session.row.profile)
        .map_or(Digit::POUND, |p| p.confirm_key)
}
