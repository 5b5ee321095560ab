//! Responses made from requests (RFC 3261 §8.2.6), with and without state.
use sha2::{Digest, Sha256};

use super::{BadRequest, Headers, Method, Request, Response, Via, parts, wire};

/// What every response repeats, in this order.
const MIRRORED: [&str; 5] = ["Via", "From", "To", "Call-ID", "CSeq"];

impl Response {
    /// RFC 3261 §8.2.6.2: all Via, From, To, Call-ID and CSeq as they came; Timestamp in a 100; Record-Route where
    /// the response makes a dialog. The To tag is the caller's to add, by [`Response::with_to_tag`].
    #[must_use]
    pub fn reply_to(request: &Request, status: u16, reason: Option<&str>) -> Self {
        let mirrored = |name: &str| match name {
            "Timestamp" => status == 100,
            "Record-Route" => request.method == Method::Invite && (101..300).contains(&status),
            name => MIRRORED.contains(&name),
        };
        let mut response = Self::new(status, reason);
        response.headers.0 = request
            .headers
            .0
            .iter()
            .filter(|field| mirrored(parts(field).0))
            .cloned()
            .collect();
        response
    }

    /// Adds a To tag where there is none yet. A tag that came with the request stays.
    #[must_use]
    pub fn with_to_tag(mut self, tag: &str) -> Self {
        if let Ok(to) = self.headers.to()
            && to.tag().is_none()
        {
            let line = self
                .headers
                .get("To")
                .map(|line| format!("{};tag={tag}", line.trim_end_matches(';')));
            self.headers.set("To", line.unwrap_or_default());
        }
        self
    }
}

impl Request {
    /// Writes the source of a datagram or connection into the top Via: `received` and `rport` (RFC 3261 §18.2.1,
    /// RFC 3581 §4). A server does this before anything else.
    pub fn stamp_source(&mut self, source: std::net::SocketAddr) {
        self.headers.stamp_source(source);
    }

    #[must_use]
    pub fn top_via(&self) -> Option<Via> {
        self.headers.top_via().ok()
    }
}

impl Headers {
    /// The same where only the header fields could be read.
    pub fn stamp_source(&mut self, source: std::net::SocketAddr) {
        if let Ok(mut via) = self.top_via() {
            via.stamp(source);
            self.set_top_via(&via);
        }
    }

    /// Drops what a refusal does not repeat, and second values of single fields.
    pub(super) fn keep_for_refusal(&mut self) {
        let mut seen = [false; MIRRORED.len()];
        self.0.retain(|field| {
            let name = parts(field).0;
            let seen = MIRRORED
                .iter()
                .position(|mirrored| *mirrored == name)
                .and_then(|at| seen.get_mut(at));
            seen.is_some_and(|seen| !std::mem::replace(seen, true) || name == "Via")
        });
    }
}

/// A To tag that every retransmission of one request yields again, so that no state is kept (RFC 3261 §8.2.7).
#[must_use]
pub fn stateless_tag(headers: &Headers) -> String {
    let mut hash = Sha256::new();
    for name in ["Call-ID", "From", "CSeq"] {
        hash.update(headers.get(name).unwrap_or_default());
        hash.update([0]);
    }
    hash.update(headers.all("Via").next().unwrap_or_default());
    hash.finalize()
        .iter()
        .take(10)
        .map(|octet| format!("{octet:02x}"))
        .collect()
}

/// Without Via a response finds no way back, without the rest no transaction: then there is no answer. A field that
/// came twice or torn is repeated as it came, once.
pub(super) fn refuse(bad: &BadRequest, to_tag: &str) -> Option<Response> {
    let is_ack = match &bad.method {
        Some(method) => *method == Method::Ack,
        // The request line was torn: CSeq names the method as well.
        None => bad.headers.get("CSeq").is_some_and(|cseq| cseq.ends_with("ACK")),
    };
    if is_ack || !MIRRORED.iter().all(|name| bad.headers.contains(name)) {
        return None;
    }
    let mut response = Response::new(bad.status, None);
    response.headers = bad.headers.clone();
    Some(response.with_to_tag(&wire::clean(to_tag.into())))
}
