//! The session behind a token, and what every page shares.
use askama::Template;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use super::csrf::{self, Browser};
use crate::api::enrollment::{self, Alternative, EnrollmentRequest, EnrollmentStatus, Wizard};
use crate::api::{ApiState, Code, Problem, last_verification};
use crate::model::{Verification, VerificationId};
use crate::store::Enrollment;

/// A person has a few windows at most, and each change is one click.
const NOTE_TRIES: usize = 5;

/// What the layout needs.
#[derive(Debug, Clone, Default)]
pub(super) struct Frame {
    /// `/enroll/{token}`; empty when there is no session.
    pub(super) path: String,
    pub(super) brand: Option<String>,
}

impl Frame {
    pub(super) fn organisation(&self) -> &str {
        self.brand.as_deref().unwrap_or("your organisation")
    }
}

/// One enrolment, read for one request.
pub(super) struct Session {
    pub(super) state: ApiState,
    pub(super) token: String,
    pub(super) row: Enrollment,
    pub(super) request: EnrollmentRequest,
    pub(super) wizard: Wizard,
    pub(super) verification: Option<Verification>,
    pub(super) browser: Browser,
    pub(super) headers: HeaderMap,
}

impl Session {
    pub(super) fn status(&self) -> EnrollmentStatus {
        EnrollmentStatus::of(&self.row, self.verification.as_ref(), self.state.now())
    }

    pub(super) fn frame(&self) -> Frame {
        Frame {
            path: format!("/enroll/{}", self.token),
            brand: self.request.brand.clone(),
        }
    }

    pub(super) fn csrf(&self) -> String {
        self.browser.field(&self.state, &self.token)
    }

    /// Refuses a form that did not come from one of our pages in this browser.
    pub(super) fn check_form(&self, field: &str) -> Result<(), WebError> {
        if !csrf::is_foreign(&self.headers) && self.browser.sent(&self.state, &self.token, field) {
            return Ok(());
        }
        Err(WebError::new(
            StatusCode::FORBIDDEN,
            self.frame(),
            "Please try again",
            "The form was not sent from this browser, or cookies are switched off. Allow cookies for this page, \
             go back and send it again.",
        ))
    }

    /// A page; sets the form cookie when the browser has none.
    pub(super) fn page(&self, template: &impl Template) -> Result<Response, WebError> {
        self.page_with(StatusCode::OK, template)
    }

    pub(super) fn page_with(
        &self,
        status: StatusCode,
        template: &impl Template,
    ) -> Result<Response, WebError> {
        let html = template
            .render()
            .map_err(|e| WebError::from(Problem::internal(&e)))?;
        Ok(self
            .browser
            .remember(&self.state, (status, Html(html)).into_response()))
    }

    /// 303: the answer to a form is always another page, so that a reload sends nothing twice.
    pub(super) fn see(&self, step: &str) -> Response {
        see_other(&format!("/enroll/{}{step}", self.token))
    }

    /// Stores what the person did. Somebody else's change in between is told as such.
    pub(super) async fn save(&mut self) -> Result<(), Problem> {
        self.row.wizard_json = serde_json::to_string(&self.wizard).map_err(|e| Problem::internal(&e))?;
        self.row.updated_at = self.state.now();
        self.row.version = self.state.store().enrollment_update(self.row.clone()).await?;
        Ok(())
    }

    /// Ties a call that was placed to the session. The call is committed by then: whatever another window has changed
    /// meanwhile stays as it is there, and the call goes on top, else the telephone would ring for nobody.
    pub(super) async fn note_call(&mut self, id: VerificationId) -> Result<(), Problem> {
        for _ in 0..NOTE_TRIES {
            self.row.verification = Some(id);
            EnrollmentStatus::Calling.as_str().clone_into(&mut self.row.state);
            match self.save().await {
                Err(problem) if problem.code == Code::Conflict => {}
                done => return done,
            }
            self.read_again().await?;
            // Two clicks at once: the other one has stored the same call.
            if self.row.verification == Some(id) {
                return Ok(());
            }
        }
        let detail = format!("the enrollment changed {NOTE_TRIES} times while its call was noted");
        Err(Problem::new(Code::Conflict, detail))
    }

    async fn read_again(&mut self) -> Result<(), Problem> {
        let found = self
            .state
            .store()
            .enrollment_by_token(&self.row.token_hash)
            .await?;
        self.row = found.ok_or_else(|| Problem::not_found("enrollment"))?;
        (self.request, self.wizard) = enrollment::documents(&self.row)?;
        Ok(())
    }

    fn expired(&self) -> WebError {
        WebError::new(
            StatusCode::GONE,
            Frame {
                path: String::new(),
                ..self.frame()
            },
            "This link has expired",
            "For your safety a link works for a short time only. Go back to the page that you came from and start \
             again.",
        )
    }

    pub(super) fn others(&self) -> Vec<Other> {
        self.request.alternatives.iter().map(Other::new).collect()
    }
}

/// A hand-off link.
#[derive(Debug, Clone)]
pub(super) struct Other {
    pub(super) icon: &'static str,
    pub(super) title: String,
    pub(super) url: String,
}

impl Other {
    fn new(alternative: &Alternative) -> Self {
        let title = alternative
            .label
            .clone()
            .unwrap_or_else(|| alternative.kind.title().to_owned());
        Self {
            icon: alternative.kind.as_str(),
            title,
            url: alternative.url.clone(),
        }
    }
}

pub(super) fn see_other(target: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    if let Ok(value) = HeaderValue::from_str(target) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    response
}

impl FromRequestParts<ApiState> for Session {
    type Rejection = WebError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, WebError> {
        let Path(path) = Path::<std::collections::BTreeMap<String, String>>::from_request_parts(parts, state)
            .await
            .map_err(|_| WebError::unknown_link())?;
        let token = path.get("token").cloned().unwrap_or_default();
        if token.len() != 64 || !token.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(WebError::unknown_link());
        }
        let found = state
            .store()
            .enrollment_by_token(&enrollment::token_hash(&token))
            .await;
        let row = found.map_err(Problem::from)?.ok_or_else(WebError::unknown_link)?;
        let (request, wizard) = enrollment::documents(&row)?;
        let verification = last_verification(state, &row).await?;
        let session = Self {
            browser: Browser::of(&parts.headers, state),
            headers: parts.headers.clone(),
            state: state.clone(),
            token,
            row,
            request,
            wizard,
            verification,
        };
        // A call under way may be followed to its end, and a finished session may still return, for a while.
        let is_over = enrollment::is_link_over(&session.row, state.now());
        match session.status() {
            _ if is_over => Err(session.expired()),
            EnrollmentStatus::Expired if !parts.uri.path().ends_with("/return") => Err(session.expired()),
            _ => Ok(session),
        }
    }
}

/// A page instead of the one that was asked for.
#[derive(Debug)]
pub(super) struct WebError {
    status: StatusCode,
    frame: Frame,
    title: String,
    text: String,
}

#[derive(Template)]
#[template(path = "message.html")]
struct Message<'a> {
    frame: &'a Frame,
    title: &'a str,
    text: &'a str,
}

impl WebError {
    pub(super) fn new(status: StatusCode, frame: Frame, title: &str, text: &str) -> Self {
        Self {
            status,
            frame,
            title: title.to_owned(),
            text: text.to_owned(),
        }
    }

    fn unknown_link() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            Frame::default(),
            "This link does not work",
            "It may be mistyped or too old. Go back to the page that you came from and start again.",
        )
    }
}

impl From<Problem> for WebError {
    fn from(problem: Problem) -> Self {
        let (title, text) = match problem.code {
            Code::Conflict => (
                "Please try again",
                "The page was used in two windows at once. Go back and try again.",
            ),
            code if code.status() == StatusCode::SERVICE_UNAVAILABLE => (
                "Please try again soon",
                "The service is busy for a moment. Nothing was lost.",
            ),
            _ => (
                "Something went wrong",
                "This was our fault. Go back and try again.",
            ),
        };
        Self::new(problem.code.status(), Frame::default(), title, text)
    }
}

impl IntoResponse for WebError {
    fn into_response(self) -> Response {
        let page = Message {
            frame: &self.frame,
            title: &self.title,
            text: &self.text,
        };
        match page.render() {
            Ok(html) => (self.status, Html(html)).into_response(),
            Err(_) => (self.status, Html(self.title)).into_response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::api::enrollment::Draft;
    use crate::api::{Admission, ApiConfig, EndUser, HttpLimits, MessageCheck, render_webhook, system_clock};
    use crate::model::{Entropy, Masked, Method, Purpose, UnixMillis};
    use crate::policy::{Policy, PolicySettings};
    use crate::store::{Store, StoreOptions};

    async fn state(directory: &std::path::Path) -> ApiState {
        let url = format!("sqlite://{}/web.db", directory.display());
        let store = Store::open(StoreOptions::new(url, render_webhook("http://a")))
            .await
            .unwrap();
        let config = ApiConfig {
            public_url: "http://a".into(),
            default_profile: "default".into(),
            profiles: BTreeMap::new(),
            policy: Policy::new(PolicySettings::default()).unwrap(),
            trunks: Vec::new(),
            signing_seed: Masked::new([7; 32]),
            call_again_after_s: 60,
            trusted_proxies: Vec::new(),
            limits: HttpLimits::default(),
            message_check: MessageCheck::new(|_| Ok(())),
        };
        let entropy = Entropy::from_number(1);
        ApiState::new(store, config, Admission::default(), entropy, system_clock())
    }

    fn session(state: &ApiState, row: Enrollment) -> Session {
        let (request, wizard) = enrollment::documents(&row).unwrap();
        Session {
            browser: Browser::of(&HeaderMap::new(), state),
            headers: HeaderMap::new(),
            state: state.clone(),
            token: "t".into(),
            row,
            request,
            wizard,
            verification: None,
        }
    }

    fn row() -> Enrollment {
        let request = EnrollmentRequest {
            return_url: "https://idp.example/".into(),
            locale: None,
            brand: None,
            purpose: Purpose::Enroll,
            client_ref: None,
            end_user: EndUser::default(),
            callback_url: None,
            region: None,
            current_methods: Vec::new(),
            allowed_methods: vec![Method::PressKey],
            alternatives: Vec::new(),
            tags: BTreeMap::new(),
        };
        Enrollment {
            id: "enr_1".into(),
            token_hash: enrollment::token_hash("t"),
            key_id: "key_1".into(),
            profile: "default".into(),
            state: EnrollmentStatus::Open.as_str().into(),
            return_url: None,
            request_json: serde_json::to_string(&request).unwrap(),
            wizard_json: serde_json::to_string(&Wizard::default()).unwrap(),
            verification: None,
            created_at: UnixMillis(1_000),
            updated_at: UnixMillis(1_000),
            expires_at: UnixMillis(901_000),
            version: 1,
        }
    }

    #[tokio::test]
    async fn a_call_is_noted_although_another_window_changed_the_session() {
        let directory = tempfile::tempdir().unwrap();
        let state = state(directory.path()).await;
        state.store().enrollment_create(row()).await.unwrap();
        let mut calling = session(&state, row());
        let mut typing = session(&state, row());
        let draft = Draft {
            typed: "425 555 0102".into(),
            region: None,
            number: "+14255550102".into(),
            extension: None,
            method: Method::PressKey,
        };
        typing.wizard.draft = Some(draft.clone());
        typing.save().await.unwrap();
        let id = VerificationId::generate(UnixMillis(2_000), &mut Entropy::from_number(2));
        calling.note_call(id).await.unwrap();
        let stored = state.store().enrollment_by_token(&row().token_hash).await;
        let stored = stored.unwrap().unwrap();
        assert_eq!((stored.verification, stored.version), (Some(id), 3));
        assert_eq!(enrollment::documents(&stored).unwrap().1.draft, Some(draft));
        // A second click that lost the race finds the call in its place.
        session(&state, row()).note_call(id).await.unwrap();
        let again = state.store().enrollment_by_token(&row().token_hash).await;
        assert_eq!(again.unwrap().unwrap().version, 3);
    }
}
