//! The list of methods, what can be done with each, and the way back to the platform.
use askama::Template;
use axum::extract::Path;
use axum::response::Response;

use axum::Form;
use axum::http::StatusCode;

use super::session::{Frame, Other, Session, WebError, see_other};
use crate::api::enrollment::{Action, ActionKind, CurrentMethod, EnrollmentStatus, MethodKind, return_url};

#[derive(Template)]
#[template(path = "list.html")]
struct ListPage {
    frame: Frame,
    notice: Option<String>,
    methods: Vec<Row>,
    offers_phone: bool,
    is_completed: bool,
    alternatives: Vec<Other>,
}

struct Row {
    icon: &'static str,
    title: String,
    detail: Option<String>,
    is_default: bool,
    is_new: bool,
    removable: bool,
    /// Place in the platform's list; `None` for what was set up just now.
    place: Option<usize>,
}

impl Row {
    fn new(place: usize, method: &CurrentMethod) -> Self {
        Self {
            icon: method.kind.as_str(),
            title: title(method),
            detail: method.detail.clone(),
            is_default: method.is_default,
            is_new: false,
            removable: method.removable,
            place: Some(place),
        }
    }
}

fn title(method: &CurrentMethod) -> String {
    method
        .label
        .clone()
        .unwrap_or_else(|| method.kind.title().to_owned())
}

pub(super) async fn show(session: Session) -> Result<Response, WebError> {
    std::future::ready(()).await;
    let mut methods: Vec<Row> = session
        .request
        .current_methods
        .iter()
        .enumerate()
        .map(|(i, m)| Row::new(i, m))
        .collect();
    let is_completed = session.status() == EnrollmentStatus::Completed;
    if let Some(verification) = session.verification.as_ref().filter(|_| is_completed) {
        methods.push(Row {
            icon: MethodKind::Phone.as_str(),
            title: MethodKind::Phone.title().to_owned(),
            detail: Some(verification.to.masked()),
            is_default: false,
            is_new: true,
            removable: false,
            place: None,
        });
    }
    let page = ListPage {
        frame: session.frame(),
        notice: is_completed.then(|| "Your phone is set up. Continue to finish.".to_owned()),
        methods,
        offers_phone: !is_completed,
        is_completed,
        alternatives: if is_completed {
            Vec::new()
        } else {
            session.others()
        },
    };
    session.page(&page)
}

#[derive(Template)]
#[template(path = "action.html")]
struct ActionPage {
    frame: Frame,
    title: String,
    text: String,
    button: &'static str,
    action: String,
    csrf: String,
    is_removal: bool,
}

#[derive(Template)]
#[template(path = "leaving.html")]
struct LeavingPage {
    frame: Frame,
}

/// Asks before anything is done.
pub(super) async fn ask(
    session: Session,
    Path((_, place, action)): Path<(String, String, String)>,
) -> Result<Response, WebError> {
    std::future::ready(()).await;
    let (kind, method) = chosen(&session, &place, &action)?;
    let name = match &method.detail {
        Some(detail) => format!("{} ({detail})", title(method)),
        None => title(method),
    };
    let is_removal = kind == ActionKind::Remove;
    let (title, text, button) = match kind {
        ActionKind::Remove => (
            format!("Remove {name}?"),
            "You can no longer prove that it is you in this way.",
            "Remove",
        ),
        ActionKind::SetDefault => (
            format!("Use {name} first?"),
            "It is offered to you before your other methods.",
            "Set as default",
        ),
    };
    let page = ActionPage {
        frame: session.frame(),
        title,
        text: text.to_owned(),
        button,
        action: format!("{}/methods/{place}/{action}", session.frame().path),
        csrf: session.csrf(),
        is_removal,
    };
    session.page(&page)
}

#[derive(serde::Deserialize)]
pub(super) struct Confirmation {
    #[serde(default)]
    csrf: String,
}

/// Notes the choice; the platform carries it out.
pub(super) async fn act(
    mut session: Session,
    Path((_, place, action)): Path<(String, String, String)>,
    Form(form): Form<Confirmation>,
) -> Result<Response, WebError> {
    session.check_form(&form.csrf)?;
    let (kind, method) = chosen(&session, &place, &action)?;
    session.wizard.action = Some(Action {
        kind,
        method_id: method.id.clone(),
    });
    session.save().await?;
    // A page and not a redirect: the CSP lets a form lead to our own pages only.
    let page = LeavingPage {
        frame: session.frame(),
    };
    session.page(&page)
}

fn chosen<'a>(
    session: &'a Session,
    place: &str,
    action: &str,
) -> Result<(ActionKind, &'a CurrentMethod), WebError> {
    let kind = match action {
        "remove" => Some(ActionKind::Remove),
        "default" => Some(ActionKind::SetDefault),
        _ => None,
    };
    let method = place
        .parse()
        .ok()
        .and_then(|at: usize| session.request.current_methods.get(at));
    match (kind, method) {
        (Some(ActionKind::SetDefault), Some(method)) => Ok((ActionKind::SetDefault, method)),
        (Some(ActionKind::Remove), Some(method)) if method.removable => Ok((ActionKind::Remove, method)),
        _ => Err(WebError::new(
            StatusCode::NOT_FOUND,
            session.frame(),
            "There is no such method",
            "The list may have changed. Look at it again.",
        )),
    }
}

/// Back to the platform, with a result signed now.
pub(super) async fn leave(session: Session) -> Result<Response, WebError> {
    std::future::ready(()).await;
    let target = return_url(&session.state, &session.row, session.verification.as_ref())?;
    Ok(see_other(&target))
}
