//! Dialogs, RFC 3261 §12: what two User Agents remember of each other, and the requests made from it.
//!
//! It builds requests (loose and strict routing, §12.2.1.1) and checks those that come (§12.2.2). It does not
//! know sessions, transactions or addresses: Via, Contact and the destination are added by
//! [`crate::sip::endpoint`].
//!
//! Invariants:
//! - The local CSeq only grows, and by one for each new request; ACK and CANCEL reuse the INVITE's.
//! - A request is in the dialog only with its Call-ID and both tags, octet by octet.
//! - The route set is fixed when the dialog is confirmed; only the remote target is refreshed later.
use crate::sip::message::{CSeq, HeaderError, Headers, Method, NameAddr, Request, Response};
use crate::sip::uri::Uri;

/// RFC 3261 §8.1.1.6.
pub(crate) const MAX_FORWARDS: &str = "70";

#[derive(Debug, Clone)]
pub struct Dialog {
    pub call_id: String,
    pub local_tag: String,
    /// Empty for an RFC 2543 peer (§12.1.1).
    pub remote_tag: String,
    /// CSeq number of the latest request that we sent.
    pub local_seq: u32,
    /// CSeq number of the latest request that the peer sent.
    pub remote_seq: Option<u32>,
    /// Contact of the peer.
    pub remote_target: Uri,
    pub route_set: Vec<NameAddr>,
    /// Our From, with our tag.
    pub local: NameAddr,
    /// Our To, with the peer's tag.
    pub remote: NameAddr,
}

/// §12.2.2: the request is older than one already seen, or repeats its number in another transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a CSeq above {seen}, got {got}")]
pub struct StaleSeq {
    pub seen: u32,
    pub got: u32,
}

impl Dialog {
    /// The UAC's side, from a 101–299 to our INVITE (§12.1.2). Without a usable Contact the peer is reached where the
    /// INVITE went, and an unreadable Record-Route counts as none: a 2xx has to be acknowledged all the same.
    pub fn from_response(invite: &Request, response: &Response) -> Result<Self, HeaderError> {
        let local = invite.headers.from()?;
        let remote = response.headers.to()?;
        let mut route_set = routes_of(&response.headers);
        route_set.reverse();
        Ok(Self {
            call_id: invite.headers.call_id()?.to_owned(),
            local_tag: local.tag().unwrap_or_default().to_owned(),
            remote_tag: remote.tag().unwrap_or_default().to_owned(),
            local_seq: invite.headers.cseq()?.seq,
            remote_seq: None,
            remote_target: contact_of(&response.headers).unwrap_or_else(|| invite.uri.clone()),
            route_set,
            local,
            remote,
        })
    }

    /// The UAS's side, from an INVITE and the tag that we put into To (§12.1.1).
    pub fn from_request(invite: &Request, local_tag: &str) -> Result<Self, HeaderError> {
        let remote = invite.headers.from()?;
        let local = invite.headers.to()?.with_tag(local_tag);
        let remote_target = contact_of(&invite.headers).unwrap_or_else(|| remote.uri.clone());
        Ok(Self {
            call_id: invite.headers.call_id()?.to_owned(),
            local_tag: local_tag.to_owned(),
            remote_tag: remote.tag().unwrap_or_default().to_owned(),
            local_seq: 0,
            remote_seq: Some(invite.headers.cseq()?.seq),
            remote_target,
            route_set: routes_of(&invite.headers),
            local,
            remote,
        })
    }

    /// A 2xx replaces what an early dialog learnt from its 1xx (§13.2.2.4).
    pub fn confirm(&mut self, response: &Response) {
        self.route_set = routes_of(&response.headers);
        self.route_set.reverse();
        self.refresh_target(&response.headers);
    }

    /// §12.2: a target refresh request, or a 2xx to one, moves the peer.
    pub fn refresh_target(&mut self, headers: &Headers) {
        if let Some(target) = contact_of(headers) {
            self.remote_target = target;
        }
    }

    /// A new request: Request-URI, Route, Max-Forwards, From, To, Call-ID and the next CSeq.
    #[must_use]
    pub fn next_request(&mut self, method: Method) -> Request {
        self.local_seq = self.local_seq.saturating_add(1);
        self.request(method, self.local_seq)
    }

    /// The ACK of a 2xx to the INVITE with this CSeq (§13.2.2.4).
    #[must_use]
    pub fn ack(&self, invite_seq: u32) -> Request {
        self.request(Method::Ack, invite_seq)
    }

    /// Where the next request of this dialog goes first (§8.1.2).
    #[must_use]
    pub fn next_hop(&self) -> &Uri {
        self.route_set
            .first()
            .map_or(&self.remote_target, |route| &route.uri)
    }

    /// The request carries this dialog's Call-ID and tags.
    #[must_use]
    pub fn owns(&self, request: &Request) -> bool {
        let same = || {
            let headers = &request.headers;
            let (from, to) = (headers.from().ok()?, headers.to().ok()?);
            Some(
                headers.call_id().ok()? == self.call_id
                    && to.tag() == Some(self.local_tag.as_str())
                    && from.tag().unwrap_or_default() == self.remote_tag,
            )
        };
        same().unwrap_or(false)
    }

    /// §12.2.2: the request is older than one already seen, see [`Self::receive_seq`].
    #[must_use]
    pub fn has_passed(&self, request: &Request) -> bool {
        let seq = request.headers.cseq().map_or(0, |cseq| cseq.seq);
        self.remote_seq.is_some_and(|seen| seq <= seen)
    }

    /// Takes the CSeq of a new request, §12.2.2. ACK and CANCEL are not asked: they repeat their INVITE's.
    pub fn receive_seq(&mut self, got: u32) -> Result<(), StaleSeq> {
        match self.remote_seq {
            Some(seen) if got <= seen => Err(StaleSeq { seen, got }),
            _ => {
                self.remote_seq = Some(got);
                Ok(())
            }
        }
    }

    fn request(&self, method: Method, seq: u32) -> Request {
        let (uri, routes) = self.route();
        let mut request = Request::new(method.clone(), uri);
        for route in routes {
            request.headers.push("Route", route);
        }
        request.headers.push("Max-Forwards", MAX_FORWARDS);
        request.headers.push("From", self.local.to_string());
        request.headers.push("To", self.remote.to_string());
        request.headers.push("Call-ID", self.call_id.as_str());
        request.headers.push("CSeq", CSeq { seq, method }.to_string());
        request
    }

    /// Request-URI and Route values, §12.2.1.1: a first router without `lr` is strict and wants its own URI in
    /// the Request-URI, and the target at the end of the route.
    fn route(&self) -> (Uri, Vec<String>) {
        let Some((first, rest)) = self.route_set.split_first() else {
            return (self.remote_target.clone().into_request_uri(), Vec::new());
        };
        if first.uri.is_loose_router() {
            let routes = self.route_set.iter().map(NameAddr::to_string).collect();
            return (self.remote_target.clone().into_request_uri(), routes);
        }
        let mut routes: Vec<String> = rest.iter().map(NameAddr::to_string).collect();
        routes.push(format!("<{}>", self.remote_target));
        (first.uri.clone().into_request_uri(), routes)
    }
}

/// Record-Route in its order; none where one entry cannot be a hop, since half a route leads nowhere.
fn routes_of(headers: &Headers) -> Vec<NameAddr> {
    let routes = headers.record_routes().unwrap_or_default();
    if routes.iter().all(|route| matches!(route.uri, Uri::Sip(_))) {
        routes
    } else {
        Vec::new()
    }
}

/// The first Contact that a request may be sent to.
fn contact_of(headers: &Headers) -> Option<Uri> {
    let contact = headers.contacts().ok()?.into_iter().next()?;
    matches!(contact.uri, Uri::Sip(_)).then_some(contact.uri)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::Message;

    const INVITE: &str = "INVITE sip:+4930123@trunk.example SIP/2.0\r\n\
        Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa;rport\r\nMax-Forwards: 70\r\n\
        From: <sip:us@example.com>;tag=ours\r\nTo: <sip:+4930123@trunk.example>\r\n\
        Call-ID: c1\r\nCSeq: 7 INVITE\r\nContact: <sip:us@192.0.2.1:5060>\r\n\
        Record-Route: <sip:p1.example;lr>, <sip:p2.example;lr>\r\nContent-Length: 0\r\n\r\n";

    fn invite() -> Request {
        match Message::parse(INVITE.as_bytes()).unwrap() {
            Message::Request(request) => request,
            Message::Response(_) => unreachable!(),
        }
    }

    fn ok(record_routes: &str, contact: &str) -> Response {
        let text = format!(
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa\r\n\
             From: <sip:us@example.com>;tag=ours\r\nTo: <sip:+4930123@trunk.example>;tag=theirs\r\n\
             Call-ID: c1\r\nCSeq: 7 INVITE\r\n{record_routes}{contact}Content-Length: 0\r\n\r\n"
        );
        match Message::parse(text.as_bytes()).unwrap() {
            Message::Response(response) => response,
            Message::Request(_) => unreachable!(),
        }
    }

    fn routes(request: &Request) -> Vec<String> {
        request.headers.all("Route").map(str::to_owned).collect()
    }

    #[test]
    fn a_loose_route_set_is_reversed_and_goes_into_route() {
        let response = ok(
            "Record-Route: <sip:far.example;lr>\r\nRecord-Route: <sip:near.example;lr>\r\n",
            "Contact: <sip:callee@198.51.100.7:5070>\r\n",
        );
        let mut dialog = Dialog::from_response(&invite(), &response).unwrap();
        let bye = dialog.next_request(Method::Bye);
        assert_eq!(bye.uri.to_string(), "sip:callee@198.51.100.7:5070");
        assert_eq!(routes(&bye), ["<sip:near.example;lr>", "<sip:far.example;lr>"]);
        assert_eq!(bye.headers.get("CSeq"), Some("8 BYE"));
        assert_eq!(bye.headers.get("Max-Forwards"), Some("70"));
        assert_eq!(dialog.next_hop().to_string(), "sip:near.example;lr");
        assert_eq!(dialog.ack(7).headers.get("CSeq"), Some("7 ACK"));
    }

    #[test]
    fn a_strict_router_gets_its_own_uri_and_the_target_ends_the_route() {
        let response = ok(
            "Record-Route: <sip:far.example;lr>, <sip:near.example;method=INVITE>\r\n",
            "Contact: <sip:callee@198.51.100.7>\r\n",
        );
        let mut dialog = Dialog::from_response(&invite(), &response).unwrap();
        let bye = dialog.next_request(Method::Bye);
        assert_eq!(bye.uri.to_string(), "sip:near.example");
        assert_eq!(
            routes(&bye),
            ["<sip:far.example;lr>", "<sip:callee@198.51.100.7>"]
        );
    }

    #[test]
    fn without_contact_the_peer_is_reached_where_the_invite_went() {
        let dialog = Dialog::from_response(&invite(), &ok("", "")).unwrap();
        assert_eq!(dialog.remote_target.to_string(), "sip:+4930123@trunk.example");
    }

    #[test]
    fn the_uas_keeps_the_order_of_record_route_and_starts_its_own_seq() {
        let mut dialog = Dialog::from_request(&invite(), "callee").unwrap();
        assert_eq!(dialog.remote_target.to_string(), "sip:us@192.0.2.1:5060");
        let bye = dialog.next_request(Method::Bye);
        assert_eq!(routes(&bye), ["<sip:p1.example;lr>", "<sip:p2.example;lr>"]);
        assert_eq!(bye.headers.get("CSeq"), Some("1 BYE"));
        assert_eq!(bye.headers.from().unwrap().tag(), Some("callee"));
        assert_eq!(bye.headers.to().unwrap().tag(), Some("ours"));
    }

    #[test]
    fn only_both_tags_and_the_call_id_make_a_request_ours() {
        let mut dialog = Dialog::from_response(&invite(), &ok("", "")).unwrap();
        let mut peer = Dialog::from_request(&invite(), "theirs").unwrap();
        let bye = peer.next_request(Method::Bye);
        assert!(dialog.owns(&bye));
        for (name, value) in [
            ("From", "<sip:+4930123@trunk.example>;tag=other"),
            ("From", "<sip:+4930123@trunk.example>"),
            ("To", "<sip:us@example.com>;tag=OURS"),
            ("To", "<sip:us@example.com>"),
            ("Call-ID", "c2"),
        ] {
            let mut forged = bye.clone();
            forged.headers.set(name, value);
            assert!(!dialog.owns(&forged), "{name}: {value}");
        }
        assert_eq!(dialog.receive_seq(5), Ok(()));
        assert_eq!(dialog.receive_seq(5), Err(StaleSeq { seen: 5, got: 5 }));
        assert_eq!(dialog.receive_seq(4), Err(StaleSeq { seen: 5, got: 4 }));
        assert_eq!(dialog.receive_seq(900), Ok(()));
    }

    #[test]
    fn a_2xx_replaces_the_early_route_set_and_a_refresh_only_the_target() {
        let mut dialog = Dialog::from_response(
            &invite(),
            &ok("Record-Route: <sip:a;lr>\r\n", "Contact: <sip:x@h1>\r\n"),
        )
        .unwrap();
        dialog.confirm(&ok("Record-Route: <sip:b;lr>\r\n", "Contact: <sip:x@h2>\r\n"));
        assert_eq!(dialog.next_hop().to_string(), "sip:b;lr");
        dialog.refresh_target(&ok("Record-Route: <sip:c;lr>\r\n", "Contact: <sip:x@h3>\r\n").headers);
        assert_eq!(dialog.next_hop().to_string(), "sip:b;lr");
        assert_eq!(dialog.remote_target.to_string(), "sip:x@h3");
        dialog.refresh_target(&ok("", "Contact: <tel:+4930123>\r\n").headers);
        assert_eq!(dialog.remote_target.to_string(), "sip:x@h3");
    }
}
