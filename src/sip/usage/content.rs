//! What a request asks of us that we cannot give, RFC 3261 §8.2.2.3 and §8.2.3.
use crate::sip::endpoint::{Endpoint, SDP};
use crate::sip::message::{Method, Request, Response};

/// Extensions that may stand in Require.
const OPTION_TAGS: [&str; 2] = ["100rel", "timer"];

/// 420 for an extension that is required and unknown, 415 for a body that we cannot read.
#[must_use]
pub(crate) fn refusal_of_content(request: &Request, ua: &Endpoint) -> Option<Response> {
    let unknown: Vec<&str> = request
        .headers
        .require()
        .filter(|option| !OPTION_TAGS.iter().any(|known| known.eq_ignore_ascii_case(option)))
        .collect();
    if !unknown.is_empty() {
        let unsupported = unknown.join(", ");
        let mut response = ua.reply(request, 420);
        response.headers.push("Unsupported", unsupported);
        return Some(response);
    }
    let encoded = request
        .headers
        .tokens("Content-Encoding")
        .any(|coding| !coding.eq_ignore_ascii_case("identity"));
    if encoded && !request.body.is_empty() {
        let mut response = ua.reply(request, 415);
        response.headers.push("Accept-Encoding", "identity");
        return Some(response);
    }
    let negotiates = matches!(request.method, Method::Invite | Method::Update);
    let is_multipart = request
        .headers
        .content_type()
        .and_then(|content| content.get(..10))
        .is_some_and(|start| start.eq_ignore_ascii_case("multipart/"));
    if negotiates && !request.body.is_empty() && !is_multipart && request.body_of_type(SDP).is_none() {
        return Some(ua.reply(request, 415));
    }
    None
}
