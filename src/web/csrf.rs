//! A form counts only from the browser that got it: its hidden field is a keyed hash of the session's token and
//! of a cookie that other sites can neither read nor set for a form of theirs.
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;

use crate::api::ApiState;

const COOKIE: &str = "rp_form";

/// The browser's half of the secret.
#[derive(Debug, Clone)]
pub(super) struct Browser {
    value: String,
    /// Not yet known to the browser.
    is_new: bool,
}

impl Browser {
    pub(super) fn of(headers: &HeaderMap, state: &ApiState) -> Self {
        match cookie(headers) {
            Some(value) => Self { value, is_new: false },
            None => Self {
                value: state.entropy().token(),
                is_new: true,
            },
        }
    }

    /// The hidden field for forms of one session.
    pub(super) fn field(&self, state: &ApiState, token: &str) -> String {
        state.signer().mac("form", &format!("{}.{token}", self.value))
    }

    pub(super) fn sent(&self, state: &ApiState, token: &str, field: &str) -> bool {
        !self.is_new
            && state
                .signer()
                .mac_fits("form", &format!("{}.{token}", self.value), field)
    }

    pub(super) fn remember(&self, state: &ApiState, mut response: Response) -> Response {
        if !self.is_new {
            return response;
        }
        let secure = if state.config().public_url.starts_with("https:") {
            "; Secure"
        } else {
            ""
        };
        let cookie = format!(
            "{COOKIE}={}; Path=/enroll; HttpOnly; SameSite=Lax; Max-Age=7200{secure}",
            self.value
        );
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        response
    }
}

fn cookie(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, value)| {
            *name == COOKIE && value.len() == 32 && value.bytes().all(|b| b.is_ascii_hexdigit())
        })
        .map(|(_, value)| value.to_owned())
}

/// Browsers say where a request comes from; another site is refused even with a good field.
pub(super) fn is_foreign(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").and_then(|v| v.to_str().ok());
    site.is_some_and(|site| site != "same-origin")
}
