//! Where responses go (RFC 3261 §18.2.2, RFC 3581), and how a server transaction is recognised (§17.2.3).
use std::net::SocketAddr;

use super::timer::Reliability;
use crate::sip::message::{Headers, MAGIC_COOKIE, Method, Request};

/// Where the response to a request from `source` goes. Neither `maddr` nor a `received` that the peer wrote itself
/// is followed: a peer may not direct our packets to a third host.
#[must_use]
pub fn response_target(request: &Request, source: SocketAddr, reliability: Reliability) -> SocketAddr {
    if reliability == Reliability::Reliable {
        return source;
    }
    datagram_response_target(&request.headers, source)
}

/// The same over UDP, where only the header fields of a request could be read.
#[must_use]
pub fn datagram_response_target(headers: &Headers, source: SocketAddr) -> SocketAddr {
    match headers.top_via() {
        Ok(via) if !via.wants_rport() && via.port_or_default() != 0 => {
            SocketAddr::new(source.ip(), via.port_or_default())
        }
        Ok(_) | Err(_) => source,
    }
}

/// What tells one server transaction from another (§17.2.3). The ACK of a 3xx–6xx has the key of its INVITE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerKey {
    branch: String,
    sent_by: String,
    method: Method,
}

impl ServerKey {
    /// `None` for a request without a readable Via.
    #[must_use]
    pub(crate) fn of(request: &Request) -> Option<Self> {
        let method = if request.method == Method::Ack {
            Method::Invite
        } else {
            request.method.clone()
        };
        Self::with_method(request, method)
    }

    /// The key of the INVITE that this CANCEL is about (§9.2).
    #[must_use]
    pub(crate) fn of_cancelled_invite(cancel: &Request) -> Option<Self> {
        Self::with_method(cancel, Method::Invite)
    }

    fn with_method(request: &Request, method: Method) -> Option<Self> {
        let via = request.headers.top_via().ok()?;
        let sent_by = format!(
            "{}:{}",
            via.host.to_string().to_ascii_lowercase(),
            via.port_or_default()
        );
        let branch = via.branch().unwrap_or_default();
        if branch.starts_with(MAGIC_COOKIE) {
            return Some(Self {
                branch: branch.to_owned(),
                sent_by,
                method,
            });
        }
        // An RFC 2543 peer: its branch need not be unique, so the whole request identity takes its place.
        let seq = request.headers.cseq().ok()?.seq;
        let from = request.headers.from().ok()?;
        let identity = format!(
            "{branch}|{}|{}|{}|{seq}",
            request.uri,
            request.headers.call_id().ok()?,
            from.tag().unwrap_or_default(),
        );
        Some(Self {
            branch: identity,
            sent_by,
            method,
        })
    }
}
