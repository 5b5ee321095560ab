use super::*;

/// RFC 3261 §24.2, F1.
const INVITE: &str = "INVITE sip:bob@biloxi.com SIP/2.0\r\n\
Via: SIP/2.0/UDP pc33.atlanta.com;branch=z9hG4bKnashds8\r\n\
Max-Forwards: 70\r\n\
To: Bob <sip:bob@biloxi.com>\r\n\
From: Alice <sip:alice@atlanta.com>;tag=1928301774\r\n\
Call-ID: a84b4c76e66710\r\n\
CSeq: 314159 INVITE\r\n\
Contact: <sip:alice@pc33.atlanta.com>\r\n\
Content-Type: application/sdp\r\n\
Content-Length: 4\r\n\r\nv=0\n";

fn request(text: &str) -> Request {
    match Message::parse(text.as_bytes()) {
        Ok(Message::Request(request)) => request,
        other => panic!("expected a request, came {other:?}"),
    }
}

#[test]
fn the_first_invite_of_the_standard_is_read_and_written_back() {
    let invite = request(INVITE);
    assert_eq!(invite.method, Method::Invite);
    assert_eq!(invite.uri.to_string(), "sip:bob@biloxi.com");
    assert_eq!(invite.headers.top_via().unwrap().branch(), Some("z9hG4bKnashds8"));
    assert_eq!(invite.headers.from().unwrap().tag(), Some("1928301774"));
    assert_eq!(invite.headers.to().unwrap().display.as_deref(), Some("Bob"));
    assert_eq!(invite.headers.cseq().unwrap(), CSeq::new(314_159, Method::Invite));
    assert_eq!(invite.headers.max_forwards(), Some(70));
    assert_eq!(invite.body, b"v=0\n");
    assert_eq!(request(&String::from_utf8(invite.to_bytes()).unwrap()), invite);
}
