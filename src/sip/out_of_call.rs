//! Answers to requests that belong to no call, without keeping state (RFC 3261 §8.2.7).
//!
//! ```text
//!  from a stranger ──▶ nothing          ACK ──▶ nothing
//!  from a trunk:  OPTIONS ──▶ 200       INVITE ──▶ 603, 486   in a dialog, CANCEL ──▶ 481
//!                 a method we know ──▶ 405                   another method ──▶ 501
//! ```
//!
//! Invariants:
//! - A repeated request gets the same answer, To tag included.
//! - An answer is at most half as large again as its request: optional fields are left out to keep to it, and
//!   without room even then there is no answer (SAFETY 5). Nor is there where it would be too long to be read.
use std::net::SocketAddr;

use super::endpoint::{ACCEPT, ALLOW};
use super::message::{Method, Request, Response, stateless_tag};

/// The answer, to be sent by [`response_target`](super::transaction::response_target); `None`: stay silent.
#[must_use]
pub fn answer(request: &Request, source: SocketAddr, is_trunk_peer: bool) -> Option<Response> {
    if !is_trunk_peer || request.method == Method::Ack {
        return None;
    }
    stateless(request, source, status_for(request))
}

/// 486 to an INVITE of a trunk that would be answered if there were room.
#[must_use]
pub fn busy(request: &Request, source: SocketAddr) -> Option<Response> {
    stateless(request, source, 486)
}

/// An INVITE that begins a call: what may be answered by [`uas`](super::uas).
#[must_use]
pub fn begins_call(request: &Request) -> bool {
    request.method == Method::Invite && request.headers.to().is_ok_and(|to| to.tag().is_none())
}

fn stateless(request: &Request, source: SocketAddr, status: u16) -> Option<Response> {
    let size_max = request.to_bytes().len() * 3 / 2;
    let mut stamped = request.clone();
    stamped.stamp_source(source);
    let response = Response::reply_to(&stamped, status, None);
    let mut response = response.with_to_tag(&stateless_tag(&request.headers));
    if response.to_bytes().len() > size_max || !response.headers.is_readable() {
        return None;
    }
    for (name, value) in fields_for(request, response.status) {
        let mut longer = response.clone();
        longer.headers.push(name, value);
        if longer.to_bytes().len() <= size_max {
            response = longer;
        }
    }
    Some(response)
}

fn status_for(request: &Request) -> u16 {
    let in_dialog = request.headers.to().is_ok_and(|to| to.tag().is_some());
    match &request.method {
        Method::Cancel | Method::Bye | Method::Prack => 481,
        _ if in_dialog => 481,
        Method::Invite => 603,
        Method::Options if request.headers.contains("Require") => 420,
        Method::Options => 200,
        Method::Other(_) => 501,
        Method::Ack
        | Method::Info
        | Method::Update
        | Method::Register
        | Method::Refer
        | Method::Notify
        | Method::Subscribe
        | Method::Message
        | Method::Publish => 405,
    }
}

/// Most wanted first.
fn fields_for(request: &Request, status: u16) -> Vec<(&'static str, String)> {
    match status {
        200 => vec![("Allow", ALLOW.to_owned()), ("Accept", ACCEPT.to_owned())],
        405 | 501 => vec![("Allow", ALLOW.to_owned())],
        420 => {
            let unsupported: Vec<&str> = request.headers.require().collect();
            vec![("Unsupported", unsupported.join(", "))]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::Message;

    fn request(method: &str, to_tag: &str, more: &str) -> Request {
        let text = format!(
            "{method} sip:ringproof@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.9:5080;rport;branch=z9hG4bKx\r\n\
             Max-Forwards: 70\r\nFrom: <sip:carrier@198.51.100.9>;tag=f\r\nTo: <sip:ringproof@192.0.2.1>{to_tag}\r\n\
             Call-ID: 77@198.51.100.9\r\nCSeq: 1 {method}\r\nContact: <sip:carrier@198.51.100.9:5080>\r\n\
             User-Agent: a carrier with a name\r\n{more}Content-Length: 0\r\n\r\n"
        );
        match Message::parse(text.as_bytes()).unwrap() {
            Message::Request(request) => request,
            Message::Response(_) => unreachable!(),
        }
    }

    fn source() -> SocketAddr {
        "198.51.100.9:5080".parse().unwrap()
    }

    #[test]
    fn each_method_has_its_status() {
        for (method, to_tag, more, status) in [
            ("OPTIONS", "", "", 200),
            ("OPTIONS", "", "Require: sec-agree\r\n", 420),
            ("OPTIONS", ";tag=t", "", 481),
            ("INVITE", "", "", 603),
            ("INVITE", ";tag=t", "", 481),
            ("BYE", ";tag=t", "", 481),
            ("BYE", "", "", 481),
            ("CANCEL", "", "", 481),
            ("PRACK", "", "", 481),
            ("INFO", "", "", 405),
            ("REGISTER", "", "", 405),
            ("REFER", "", "", 405),
            ("NOTIFY", "", "", 405),
            ("NOTIFY", ";tag=t", "", 481),
            ("FROBNICATE", "", "", 501),
        ] {
            let request = request(method, to_tag, more);
            let response = answer(&request, source(), true).unwrap();
            assert_eq!(response.status, status, "{method} {to_tag} {more}");
            assert!(response.headers.to().unwrap().tag().is_some(), "{method}");
            let (asked, answered) = (request.to_bytes().len(), response.to_bytes().len());
            assert!(
                answered * 2 <= asked * 3,
                "{method}: {asked} octets in, {answered} out"
            );
        }
    }

    #[test]
    fn only_an_invite_outside_a_dialog_begins_a_call() {
        assert!(begins_call(&request("INVITE", "", "")));
        assert!(!begins_call(&request("INVITE", ";tag=t", "")) && !begins_call(&request("OPTIONS", "", "")));
        let busy = busy(&request("INVITE", "", ""), source()).unwrap();
        assert!(busy.status == 486 && busy.headers.to().unwrap().tag().is_some());
    }

    #[test]
    fn strangers_and_acks_get_nothing() {
        assert_eq!(answer(&request("OPTIONS", "", ""), source(), false), None);
        assert_eq!(answer(&request("INVITE", "", ""), source(), false), None);
        assert_eq!(answer(&request("ACK", ";tag=t", ""), source(), true), None);
    }

    #[test]
    fn a_repetition_gets_the_same_answer_and_the_source_is_written_into_via() {
        let first = answer(&request("INVITE", "", ""), source(), true).unwrap();
        let second = answer(&request("INVITE", "", ""), source(), true).unwrap();
        assert_eq!(first, second);
        let via = first.headers.top_via().unwrap();
        assert_eq!((via.received(), via.rport()), (Some(source().ip()), Some(5080)));
    }
}
