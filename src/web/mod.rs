//! The hosted enrolment pages, `/enroll/{token}` (contract §6).
//!
//! Does: list the person's methods, take a number, echo it with the caller ID, place the call, show how it goes,
//! say the next step for each outcome, return to the platform with a signed result. Does not: keep anybody's list
//! of methods (the platform does), decide anything (`api` judges, `store` keeps).
//!
//! ```text
//!   list ─▶ number ─▶ review ─▶ call: calling → ringing → answered ─┬─ confirmed ─▶ done ─▶ return_url
//!    │        ▲                   ▲                                 └─ reason ─▶ call again / change number
//!    └─▶ remove, set default ─▶ return_url
//! ```
//!
//! # Invariants
//! - Every step works without JavaScript; a small script only spares the reloads of the status page.
//! - The token in the path is the session; a form needs the cookie of the same browser too (CSRF).
//! - Every page carries the strict CSP of [`headers`]; nothing is loaded from elsewhere.
mod assets;
mod call;
mod csrf;
mod headers;
mod list;
mod number;
mod session;
mod texts;

use axum::Router;
use axum::middleware::from_fn;
use axum::routing::{get, post};

use crate::api::ApiState;

/// The pages, for [`crate::api::router`].
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route("/enroll/{token}", get(list::show))
        .route("/enroll/{token}/phone", get(number::form).post(number::submit))
        .route("/enroll/{token}/review", get(number::review))
        .route("/enroll/{token}/call", get(call::show).post(call::place))
        .route("/enroll/{token}/cancel", post(call::cancel))
        .route("/enroll/{token}/events", get(call::events))
        .route(
            "/enroll/{token}/methods/{place}/{action}",
            get(list::ask).post(list::act),
        )
        .route("/enroll/{token}/return", get(list::leave))
        .layer(from_fn(headers::protect))
        .route("/assets/{file}", get(assets::serve))
}
