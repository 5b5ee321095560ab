//! A request of ours as its transaction keeps it: whole while it may be sent again, later only what identifies it.
use std::fmt;
use std::sync::Arc;

use super::client_invite::identity_of;
use crate::sip::message::{Message, Method, Request};

pub(super) enum Sent {
    Whole(Arc<Request>),
    /// The octets of what identifies an INVITE, read again where something still comes for it.
    Identity(Box<[u8]>),
}

impl Sent {
    pub(super) fn is_of(&self, method: &Method) -> bool {
        match self {
            Self::Whole(request) => request.method == *method,
            Self::Identity(_) => *method == Method::Invite,
        }
    }

    /// `None` does not occur: what we wrote, we read.
    pub(super) fn request(&self) -> Option<Arc<Request>> {
        match self {
            Self::Whole(request) => Some(Arc::clone(request)),
            Self::Identity(octets) => match Message::parse(octets) {
                Ok(Message::Request(request)) => Some(Arc::new(request)),
                Ok(Message::Response(_)) | Err(_) => None,
            },
        }
    }

    /// Of an INVITE that will not be sent again.
    pub(super) fn shed(&mut self) {
        if let Self::Whole(invite) = self {
            *self = Self::Identity(identity_of(invite).to_bytes().into_boxed_slice());
        }
    }
}

/// Without the octets: they hold a number.
impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(request) => f.debug_tuple("Whole").field(request).finish(),
            Self::Identity(_) => f.write_str("Identity(…)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: &str = "INVITE sip:+4930123@trunk.example;user=phone SIP/2.0\r\n\
        Via: SIP/2.0/UDP [2001:db8::1]:5060;branch=z9hG4bKa;rport\r\nRoute: <sip:edge.example;lr>\r\nMax-Forwards: 70\r\n\
        From: \"Us, Inc.\" <sip:us@example.com>;tag=ours\r\nTo: <sip:+4930123@trunk.example>\r\n\
        Call-ID: c1\r\nCSeq: 7 INVITE\r\nContact: <sip:us@192.0.2.1:5060>\r\n\
        Authorization: Digest username=\"u\", realm=\"r\", nonce=\"n\", uri=\"sip:x\", response=\"0\"\r\n\
        User-Agent: Ringproof\r\nContent-Type: application/sdp\r\nContent-Length: 4\r\n\r\nv=0\n";

    #[test]
    fn what_identifies_an_invite_survives_and_its_description_does_not() {
        let Ok(Message::Request(invite)) = Message::parse(INVITE.as_bytes()) else {
            panic!("a request")
        };
        let mut sent = Sent::Whole(Arc::new(invite.clone()));
        sent.shed();
        sent.shed();
        let kept = sent.request().unwrap();
        assert!(sent.is_of(&Method::Invite) && !sent.is_of(&Method::Bye));
        assert_eq!((&kept.method, &kept.uri), (&invite.method, &invite.uri));
        for name in [
            "Via",
            "Route",
            "Max-Forwards",
            "From",
            "To",
            "Call-ID",
            "CSeq",
            "Authorization",
        ] {
            assert_eq!(kept.headers.get(name), invite.headers.get(name), "{name}");
        }
        assert_eq!((kept.headers.len(), kept.body.len()), (8, 0));
        assert!(!format!("{sent:?}").contains("4930123"));
    }
}
