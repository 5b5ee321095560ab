//! The API's description: OpenAPI 3.1 at `/openapi.json`, pages at `/docs`.
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi, ToResponse};

use super::problem::ProblemDocument;
use super::view::WebhookView;
use super::{blocks, capture, deliveries, enrollments, events, health, numbers, regions, verifications};

/// A refusal: `code` says which, `param` where, `detail` the mend.
#[derive(ToResponse)]
#[response(description = "A refusal", content_type = "application/problem+json")]
#[expect(dead_code, reason = "documents what `problem::render` writes")]
pub(super) struct Refusal(ProblemDocument);

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Ringproof",
        description = "Confirmation calls: post a number, the telephone rings, the person presses #, \
            a signed webhook arrives.",
    ),
    paths(
        verifications::create, verifications::list, verifications::read, verifications::cancel, events::follow,
        numbers::check, regions::list,
        enrollments::create, enrollments::read,
        blocks::list, blocks::create, blocks::remove,
        deliveries::list, deliveries::redeliver, capture::download,
        health::live, health::ready, health::key_set,
    ),
    components(schemas(WebhookView, ProblemDocument), responses(Refusal)),
    modifiers(&BearerKey),
    security(("api_key" = [])),
    tags(
        (name = "verifications", description = "Calls. Scope `verifications`."),
        (name = "numbers", description = "Numbers and regions, without a call. Scope `verifications`."),
        (name = "enrollments", description = "The hosted pages. Scope `enrollments`."),
        (name = "blocks", description = "Who is not called. Scope `blocks`."),
        (name = "webhooks", description = "Deliveries (Standard Webhooks). Scope `verifications`."),
        (name = "operations", description = "Health and public keys, without a key; captures of calls, scope `admin`."),
    ),
)]
struct Document;

struct BearerKey;

impl Modify for BearerKey {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.description = Some("An API key: `rp_live_…`".to_owned());
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("api_key", SecurityScheme::Http(scheme));
    }
}

/// The document; a golden file in the tests holds it still.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}
