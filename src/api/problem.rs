//! Every refusal is a problem document (RFC 9457) with `code`, `param` and `request_id`.
//!
//! A handler returns a [`Problem`]; it rides in the response's extensions until [`render`], the outermost
//! layer, which knows the request id and writes the document. Refusals made elsewhere (an unknown path, a
//! method, a body too large) are turned into problems there too, so that no 4xx or 5xx is anything else.
use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::request_id::RequestId;

/// Declares the codes: word, HTTP status, title.
macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $word:literal, $status:ident, $title:literal;)+) => {
        /// The machine-readable kind of a problem.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code { $($(#[$doc])* $variant),+ }

        impl Code {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word of the contract.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status),+ }
            }

            const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),+ }
            }
        }
    };
}

codes! {
    /// Not JSON, a wrong type, an unknown field or word, a field that is missing.
    Malformed = "malformed", BAD_REQUEST, "The request is malformed";
    Unauthorized = "unauthorized", UNAUTHORIZED, "No valid API key";
    ScopeMissing = "scope_missing", FORBIDDEN, "The API key lacks the scope";
    ProfileNotAllowed = "profile_not_allowed", FORBIDDEN, "The API key may not use the profile";
    CountryNotAllowed = "country_not_allowed", FORBIDDEN, "Calls to this country are not allowed";
    NumberBlocked = "number_blocked", FORBIDDEN, "The number is blocked";
    UserBlocked = "user_blocked", FORBIDDEN, "The end user is blocked";
    PremiumNumber = "premium_number", FORBIDDEN, "The number is premium-rate or of a refused kind";
    MethodNotAllowed = "method_not_allowed", FORBIDDEN, "The profile does not allow the method";
    CallbackNotAllowed = "callback_not_allowed", FORBIDDEN, "The callback URL is not in the allow-list";
    ReturnUrlNotAllowed = "return_url_not_allowed", FORBIDDEN, "The return URL is not in the allow-list";
    NotFound = "not_found", NOT_FOUND, "Not found";
    HttpMethodNotAllowed = "http_method_not_allowed", METHOD_NOT_ALLOWED, "The path does not answer this HTTP method";
    RequestTimeout = "request_timeout", REQUEST_TIMEOUT, "The request took too long to arrive";
    CallInProgress = "call_in_progress", CONFLICT, "Another call to this number is in progress";
    IdempotencyInFlight = "idempotency_in_flight", CONFLICT, "A request with this Idempotency-Key is in flight";
    Conflict = "conflict", CONFLICT, "The request conflicts with the present state";
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, "The request body is too large";
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The body must be JSON";
    NumberInvalid = "number_invalid", UNPROCESSABLE_ENTITY, "The number cannot be called";
    NumberAmbiguous = "number_ambiguous", UNPROCESSABLE_ENTITY, "The number has more than one reading";
    RegionRequired = "region_required", UNPROCESSABLE_ENTITY, "The number needs a country code or a region";
    ExtensionInvalid = "extension_invalid", UNPROCESSABLE_ENTITY, "The extension cannot be dialled";
    CodeInvalid = "code_invalid", UNPROCESSABLE_ENTITY, "The code does not fit the method";
    ParamInvalid = "param_invalid", UNPROCESSABLE_ENTITY, "A field has a value that is not allowed";
    IdempotencyMismatch = "idempotency_mismatch", UNPROCESSABLE_ENTITY, "The Idempotency-Key was used for another body";
    RateLimited = "rate_limited", TOO_MANY_REQUESTS, "Too many requests";
    Internal = "internal", INTERNAL_SERVER_ERROR, "Internal error";
    NoTrunkAvailable = "no_trunk_available", SERVICE_UNAVAILABLE, "No trunk is available";
    StoreUnavailable = "store_unavailable", SERVICE_UNAVAILABLE, "The store is not available";
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, "The server is overloaded";
    ShuttingDown = "shutting_down", SERVICE_UNAVAILABLE, "The server is shutting down";
}

/// A refusal. Its detail says what was expected, what came, and the mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub code: Code,
    pub detail: String,
    /// The request's field, as a path: `to.region`.
    pub param: Option<String>,
    /// 429: which limit (`number user ip prefix key global`).
    pub limit: Option<String>,
    pub retry_after_s: Option<u64>,
    /// `call_in_progress`: the verification that is in the way, when the key may see it.
    pub verification: Option<String>,
}

impl Problem {
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            param: None,
            limit: None,
            retry_after_s: None,
            verification: None,
        }
    }

    pub fn malformed(param: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(Code::Malformed, detail).at(param)
    }

    #[must_use]
    pub fn at(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(
            Code::NotFound,
            format!("no {what} with this id is visible to this API key"),
        )
    }

    /// For faults of our own: the cause goes to the log, not to the client.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "request failed");
        Self::new(
            Code::Internal,
            "the server failed to answer; the request id finds the cause in its log",
        )
    }

    fn document(&self, request_id: &str) -> ProblemDocument {
        ProblemDocument {
            kind: format!("urn:ringproof:problem:{}", self.code.as_str()),
            title: self.code.title().to_owned(),
            status: self.code.status().as_u16(),
            detail: self.detail.clone(),
            code: self.code.as_str().to_owned(),
            param: self.param.clone(),
            limit: self.limit.clone(),
            verification: self.verification.clone(),
            request_id: request_id.to_owned(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The body of every 4xx and 5xx answer (`application/problem+json`, RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemDocument {
    /// `urn:ringproof:problem:<code>`
    #[serde(rename = "type")]
    #[schema(example = "urn:ringproof:problem:number_invalid")]
    kind: String,
    title: String,
    #[schema(example = 422)]
    status: u16,
    /// What was expected, what came, and the mend.
    detail: String,
    /// Stable, for programs.
    #[schema(example = "number_invalid")]
    code: String,
    /// Path of the field at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "to.number")]
    param: Option<String>,
    /// 429: `number`, `user`, `ip`, `prefix`, `key` or `global`.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<String>,
    /// `call_in_progress`: the verification in the way, when this key may see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    verification: Option<String>,
    request_id: String,
}

/// The outermost layer: writes the problem document of every refusal.
pub(super) async fn render(request: Request, next: Next) -> Response {
    let id = request
        .extensions()
        .get::<RequestId>()
        .cloned()
        .unwrap_or_default();
    let mut response = next.run(request).await;
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let problem = match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem,
        None if is_finished(&response) => return response,
        None => of_status(status),
    };
    let allow = response.headers_mut().remove(header::ALLOW);
    write(&problem, &id.0, allow)
}

/// Marks a 4xx or 5xx answer whose body is meant as it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Finished;

/// A page or a document that is already what the client should see.
fn is_finished(response: &Response) -> bool {
    if response.extensions().get::<Finished>().is_some() {
        return true;
    }
    let kind = response
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or("");
    kind.starts_with("text/html") || kind.starts_with("application/problem+json")
}

fn write(problem: &Problem, request_id: &str, allow: Option<HeaderValue>) -> Response {
    let mut response = (problem.code.status(), Json(problem.document(request_id))).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if problem.code == Code::Unauthorized {
        headers.insert(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"ringproof\""),
        );
    }
    if let Some(seconds) = problem.retry_after_s {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(allow) = allow {
        headers.insert(header::ALLOW, allow);
    }
    response
}

/// The problem for a refusal that a library made.
fn of_status(status: StatusCode) -> Problem {
    match status {
        StatusCode::NOT_FOUND => Problem::new(
            Code::NotFound,
            "no such path; the API is described at /openapi.json and /docs",
        ),
        StatusCode::METHOD_NOT_ALLOWED => Problem::new(
            Code::HttpMethodNotAllowed,
            "the path exists; the header Allow lists its methods",
        ),
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(Code::BodyTooLarge, "the body is over the limit"),
        StatusCode::REQUEST_TIMEOUT => Problem::new(
            Code::RequestTimeout,
            "the request did not arrive in time; send it again",
        ),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Problem::new(
            Code::UnsupportedMediaType,
            "send the header Content-Type: application/json",
        ),
        _ if status.is_server_error() => Problem::internal(&format!("a layer answered {status}")),
        _ => Problem::new(
            Code::Malformed,
            format!("the request was refused with HTTP status {status}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_words_and_refusals() {
        for (i, code) in Code::ALL.iter().enumerate() {
            assert!(code.status().is_client_error() || code.status().is_server_error());
            assert!(
                !Code::ALL[..i].iter().any(|other| other.as_str() == code.as_str()),
                "{code:?}"
            );
        }
    }

    #[test]
    fn a_document_leaves_out_what_does_not_apply() {
        let problem = Problem::malformed("to", "expected a string");
        let json = serde_json::to_value(problem.document("req_1")).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "type": "urn:ringproof:problem:malformed", "title": "The request is malformed", "status": 400,
                "detail": "expected a string", "code": "malformed", "param": "to", "request_id": "req_1",
            })
        );
    }
}
