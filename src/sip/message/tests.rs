use std::net::SocketAddr;

use super::*;
use crate::sip::wire::{BODY_BYTES_MAX, MESSAGE_BYTES_MAX, WireError};

/// RFC 3261 §24.2, F1.
pub(super) const INVITE: &str = "INVITE sip:bob@biloxi.com SIP/2.0\r\n\
Via: SIP/2.0/UDP pc33.atlanta.com;branch=z9hG4bKnashds8\r\n\
Max-Forwards: 70\r\n\
To: Bob <sip:bob@biloxi.com>\r\n\
From: Alice <sip:alice@atlanta.com>;tag=1928301774\r\n\
Call-ID: a84b4c76e66710\r\n\
CSeq: 314159 INVITE\r\n\
Contact: <sip:alice@pc33.atlanta.com>\r\n\
Content-Type: application/sdp\r\n\
Content-Length: 4\r\n\r\nv=0\n";

/// RFC 3261 §24.2, F9.
pub(super) const OK: &str = "SIP/2.0 200 OK\r\n\
Via: SIP/2.0/UDP bigbox3.site3.atlanta.com;branch=z9hG4bK77ef4c2312983.1;received=192.0.2.2\r\n\
Via: SIP/2.0/UDP pc33.atlanta.com;branch=z9hG4bKnashds8;received=192.0.2.1\r\n\
To: Bob <sip:bob@biloxi.com>;tag=a6c85cf\r\n\
From: Alice <sip:alice@atlanta.com>;tag=1928301774\r\n\
Call-ID: a84b4c76e66710\r\n\
CSeq: 314159 INVITE\r\n\
Contact: <sip:bob@192.0.2.4>\r\n\
Content-Length: 0\r\n\r\n";

fn request(text: &str) -> Request {
    match Message::parse(text.as_bytes()) {
        Ok(Message::Request(request)) => request,
        other => panic!("expected a request, came {other:?}"),
    }
}

fn response(text: &str) -> Response {
    match Message::parse(text.as_bytes()) {
        Ok(Message::Response(response)) => response,
        other => panic!("expected a response, came {other:?}"),
    }
}

fn bad(text: &str) -> BadRequest {
    match Message::parse(text.as_bytes()) {
        Err(ParseError::BadRequest(bad)) => *bad,
        other => panic!("expected a bad request, came {other:?}"),
    }
}

/// The INVITE with one line replaced, or taken away.
fn invite_with(line: &str, replacement: &str) -> String {
    assert!(INVITE.contains(line));
    INVITE.replace(line, replacement)
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

#[test]
fn an_answer_of_the_standard_is_read() {
    let ok = response(OK);
    assert_eq!((ok.status, ok.reason.as_str()), (200, "OK"));
    assert!(ok.is_success() && ok.is_final() && !ok.is_provisional());
    let vias = ok.headers.vias().unwrap();
    assert_eq!(vias.len(), 2);
    assert_eq!(
        vias.first().unwrap().received(),
        Some("192.0.2.2".parse().unwrap())
    );
    assert_eq!(
        ok.headers.contacts().unwrap().first().unwrap().uri.to_string(),
        "sip:bob@192.0.2.4"
    );
    assert_eq!(ok.to_bytes(), OK.as_bytes());
}

#[test]
fn keep_alives_and_noise_are_no_messages() {
    for octets in [b"".as_slice(), b"\r\n", b"\r\n\r\n", b"\0\0\0\0", b"\n"] {
        assert_eq!(Message::parse(octets), Err(ParseError::KeepAlive));
    }
    // A STUN binding request, an HTTP request, a text.
    let stun = b"\x00\x01\x00\x00\x21\x12\xa4\x42abcdefghijkl";
    for octets in [
        stun.as_slice(),
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"hello",
        b"\r\nSIPP",
    ] {
        assert_eq!(Message::parse(octets), Err(ParseError::NotSip));
    }
    assert!(Message::parse(format!("\r\n\r\n{INVITE}").as_bytes()).is_ok());
}

#[test]
fn a_missing_field_is_a_400_that_names_it() {
    for (line, header, answerable) in [
        (
            "Via: SIP/2.0/UDP pc33.atlanta.com;branch=z9hG4bKnashds8\r\n",
            "Via",
            false,
        ),
        ("To: Bob <sip:bob@biloxi.com>\r\n", "To", false),
        (
            "From: Alice <sip:alice@atlanta.com>;tag=1928301774\r\n",
            "From",
            false,
        ),
        ("Call-ID: a84b4c76e66710\r\n", "Call-ID", false),
        ("CSeq: 314159 INVITE\r\n", "CSeq", false),
    ] {
        let bad = bad(&invite_with(line, ""));
        assert_eq!(
            (bad.status, bad.fault.clone()),
            (400, Fault::Header(HeaderError::Missing { header }))
        );
        assert_eq!(bad.reply("t").is_some(), answerable, "{header}");
    }
    assert!(Message::parse(invite_with("Max-Forwards: 70\r\n", "").as_bytes()).is_ok());
}

#[test]
fn a_field_that_may_stand_once_stands_once() {
    for line in [
        "To: Bob <sip:bob@biloxi.com>\r\n",
        "From: Alice <sip:alice@atlanta.com>;tag=1928301774\r\n",
        "Call-ID: a84b4c76e66710\r\n",
        "CSeq: 314159 INVITE\r\n",
        "Max-Forwards: 70\r\n",
        "Content-Length: 4\r\n",
        "Content-Type: application/sdp\r\n",
    ] {
        let bad = bad(&invite_with(line, &format!("{line}{line}")));
        assert!(matches!(bad.fault, Fault::Duplicate(_)), "{line}");
        let reply = bad.reply("t").unwrap();
        assert_eq!(reply.headers.lines("To").count(), 1);
    }
    // In a response only what identifies it must be unambiguous.
    assert!(
        Message::parse(
            OK.replace("Contact:", "Max-Forwards: 1\r\nMax-Forwards: 2\r\nContact:")
                .as_bytes()
        )
        .is_ok()
    );
    let twice = OK.replace(
        "CSeq: 314159 INVITE\r\n",
        "CSeq: 314159 INVITE\r\nCSeq: 1 INVITE\r\n",
    );
    assert_eq!(
        Message::parse(twice.as_bytes()),
        Err(ParseError::BadResponse(Fault::Duplicate("CSeq")))
    );
}

#[test]
fn the_refusal_repeats_what_routes_and_matches_it_and_no_more() {
    let text = invite_with(
        "Max-Forwards: 70\r\n",
        "Max-Forwards: 300\r\nv: SIP/2.0/TCP second\r\nRecord-Route: <sip:p>\r\n",
    );
    let bad = bad(&text);
    assert_eq!(bad.method, Some(Method::Invite));
    let reply = bad.reply("abc").unwrap();
    let expected = "SIP/2.0 400 Bad Request\r\n\
        Via: SIP/2.0/UDP pc33.atlanta.com;branch=z9hG4bKnashds8\r\n\
        Via: SIP/2.0/TCP second\r\n\
        To: Bob <sip:bob@biloxi.com>;tag=abc\r\n\
        From: Alice <sip:alice@atlanta.com>;tag=1928301774\r\n\
        Call-ID: a84b4c76e66710\r\n\
        CSeq: 314159 INVITE\r\n\
        Content-Length: 0\r\n\r\n";
    assert_eq!(String::from_utf8(reply.to_bytes()).unwrap(), expected);
}

#[test]
fn an_ack_is_never_answered() {
    let ack = INVITE
        .replace("INVITE", "ACK")
        .replace("Max-Forwards: 70", "Max-Forwards: x");
    assert_eq!(bad(&ack).reply("t"), None);
    assert_eq!(
        bad(&ack.replace("ACK sip:bob@biloxi.com SIP/2.0", "ACK sip:bob@biloxi.com SIP/9.0")).reply("t"),
        None
    );
}

#[test]
fn the_cseq_names_the_method_and_stays_below_its_bound() {
    assert_eq!(
        bad(&invite_with("314159 INVITE", "314159 BYE")).fault,
        Fault::MethodMismatch
    );
    for cseq in [
        "INVITE",
        "1",
        "x INVITE",
        "-1 INVITE",
        "2147483648 INVITE",
        "99999999999999999999 INVITE",
        "1 ",
    ] {
        assert_eq!(
            bad(&invite_with("CSeq: 314159 INVITE", &format!("CSeq: {cseq}"))).status,
            400,
            "{cseq}"
        );
    }
    assert!(Message::parse(invite_with("314159 INVITE", "2147483647\tINVITE").as_bytes()).is_ok());
}

#[test]
fn each_limit_has_its_status() {
    let status = |text: &str| bad(text).status;
    let head = "Max-Forwards: 70\r\n";
    assert_eq!(status(&invite_with(head, &"X-A: y\r\n".repeat(129))), 513);
    assert_eq!(
        status(&invite_with(head, &format!("X-A: {}\r\n", "y".repeat(9000)))),
        513
    );
    assert_eq!(
        status(&invite_with(
            "sip:bob@biloxi.com SIP",
            &format!("sip:{}@b SIP", "y".repeat(9000))
        )),
        414
    );
    assert_eq!(
        status(&invite_with("Content-Length: 4", "Content-Length: 16385")),
        413
    );
    assert_eq!(
        status(&format!(
            "{}{}",
            invite_with("Content-Length: 4\r\n", ""),
            "x".repeat(BODY_BYTES_MAX)
        )),
        413
    );
    assert_eq!(
        status(&invite_with("Content-Length: 4", "Content-Length: 5")),
        400
    );
    let huge = format!("{INVITE}{}", "x".repeat(MESSAGE_BYTES_MAX));
    assert_eq!(status(&huge), 513);
    assert!(bad(&huge).reply("t").is_some());
    let short = OK.replace("Content-Length: 0", "Content-Length: 7");
    assert_eq!(
        Message::parse(short.as_bytes()),
        Err(ParseError::BadResponse(Fault::Wire(WireError::ShortBody {
            declared: 7,
            came: 0
        })))
    );
}

#[test]
fn a_torn_line_costs_a_request_but_not_a_response() {
    assert_eq!(
        bad(&invite_with("Max-Forwards: 70", "garbage")).fault,
        Fault::Wire(WireError::NotAField)
    );
    assert!(Message::parse(OK.replace("Contact: <sip:bob@192.0.2.4>", "garbage").as_bytes()).is_ok());
}

#[test]
fn a_bad_contact_costs_only_the_request_that_needs_it() {
    let torn = INVITE.replace("<sip:alice@pc33.atlanta.com>", "<sip:alice@pc33.atlanta.com");
    assert_eq!(bad(&torn).status, 400);
    assert_eq!(request(&torn.replace("INVITE", "BYE")).method, Method::Bye);
    assert!(Message::parse(OK.replace("<sip:bob@192.0.2.4>", "<sip:bob").as_bytes()).is_ok());
}

#[test]
fn line_feeds_alone_end_lines_as_well() {
    assert_eq!(request(&INVITE.replace("\r\n", "\n")), request(INVITE));
}

#[test]
fn a_stream_that_cannot_be_cut_is_refused_where_a_request_is_made_out() {
    let head = INVITE.replace("Content-Length: 4\r\n\r\nv=0\n", "\r\n");
    let refused = Message::unframed(head.as_bytes(), FrameError::ContentLength);
    let ParseError::BadRequest(bad) = refused else {
        panic!("expected a bad request, came {refused:?}")
    };
    assert_eq!(bad.reply("t").map(|reply| reply.status), Some(400));
    assert_eq!(
        Message::unframed(b"noise", FrameError::LineTooLong),
        ParseError::NotSip
    );
    let response = Message::unframed(OK.as_bytes(), FrameError::BodyTooLarge);
    assert_eq!(
        response,
        ParseError::BadResponse(Fault::Frame(FrameError::BodyTooLarge))
    );
}

#[test]
fn unknown_methods_pass_and_case_counts() {
    assert_eq!(
        request(&INVITE.replace("INVITE", "NEWMETHOD")).method,
        Method::Other("NEWMETHOD".to_owned())
    );
    assert_eq!(
        request(&INVITE.replace("INVITE", "invite")).method,
        Method::Other("invite".to_owned())
    );
    for name in [
        "ACK",
        "BYE",
        "PRACK",
        "UPDATE",
        "SUBSCRIBE",
        "PUBLISH",
        "MESSAGE",
        "REGISTER",
        "NOTIFY",
        "REFER",
    ] {
        let method = Method::from(name);
        assert!(!matches!(method, Method::Other(_)), "{name}");
        assert_eq!(method.to_string(), name);
    }
}

#[test]
fn look_up_knows_compact_names_and_splits_lists() {
    let mut headers = Headers::default();
    headers.push("k", "timer, 100rel");
    headers.push("supported", "path");
    headers.push("X-Own", "a, b");
    assert_eq!(headers.get("Supported"), Some("timer, 100rel"));
    assert_eq!(
        headers.all("SUPPORTED").collect::<Vec<_>>(),
        ["timer", "100rel", "path"]
    );
    assert_eq!(headers.all("x-own").collect::<Vec<_>>(), ["a, b"]);
    assert_eq!(headers.lines("k").count(), 2);
    assert!(headers.supports("100REL") && !headers.supports("gruu"));
    assert_eq!(
        headers.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        ["Supported", "Supported", "X-Own"]
    );
}

#[test]
fn fields_are_set_pushed_and_removed_in_order() {
    let mut headers = Headers::default();
    headers.push("To", "<sip:a>");
    headers.push("Via", "SIP/2.0/UDP second");
    headers.push_front("v", "SIP/2.0/UDP first");
    headers.push("Via", "SIP/2.0/UDP third");
    headers.set("t", "<sip:b>");
    headers.set("Route", "<sip:r;lr>");
    let names = |headers: &Headers| {
        headers
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        names(&headers),
        "Via=SIP/2.0/UDP first To=<sip:b> Via=SIP/2.0/UDP second Via=SIP/2.0/UDP third Route=<sip:r;lr>"
    );
    headers.remove("VIA");
    headers.remove("nothing");
    assert_eq!(names(&headers), "To=<sip:b> Route=<sip:r;lr>");
}

#[test]
fn nothing_pushed_can_end_a_line() {
    let mut request = request(INVITE);
    request.headers.push("Subject", "a\r\nBad: header\u{0}");
    request.headers.push("Bad\r\nName", "x");
    request.headers.push("Content-Length", "99");
    request.method = Method::Other("A\r\nB: c".to_owned());
    let text = String::from_utf8(request.to_bytes()).unwrap();
    assert!(text.starts_with("A  B: c sip:bob@biloxi.com SIP/2.0\r\n"));
    assert!(text.contains("Subject: a  Bad: header\r\n"));
    assert!(!text.contains("Name") && !text.contains("99"));
    for _ in 0..300 {
        request.headers.push("X", "y");
    }
    assert_eq!(request.headers.len(), HEADERS_MAX);
}

#[test]
fn a_reply_mirrors_the_request() {
    let text = INVITE.replace(
        "Contact:",
        "Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\nTimestamp: 54\r\nContact:",
    );
    let invite = request(&text);
    let trying = Response::reply_to(&invite, 100, None);
    assert_eq!(
        (trying.reason.as_str(), trying.headers.get("Timestamp")),
        ("Trying", Some("54"))
    );
    assert!(!trying.headers.contains("Record-Route"));
    let ringing = Response::reply_to(&invite, 180, None).with_to_tag("x1");
    assert_eq!(ringing.headers.record_routes().unwrap().len(), 2);
    assert_eq!(ringing.headers.to().unwrap().tag(), Some("x1"));
    assert_eq!(ringing.clone().with_to_tag("x2"), ringing);
    let busy = Response::reply_to(&invite, 486, Some("Not\r\nnow"));
    assert_eq!(busy.reason, "Not  now");
    assert!(!busy.headers.contains("Record-Route") && !busy.headers.contains("Contact"));
    let options = request(&text.replace("INVITE", "OPTIONS"));
    assert!(
        !Response::reply_to(&options, 200, None)
            .headers
            .contains("Record-Route")
    );
}

#[test]
fn phrases_are_those_of_the_standards() {
    for (status, phrase) in [
        (100, "Trying"),
        (181, "Call Is Being Forwarded"),
        (200, "OK"),
        (413, "Request Entity Too Large"),
        (481, "Call/Transaction Does Not Exist"),
        (486, "Busy Here"),
        (505, "Version Not Supported"),
        (606, "Not Acceptable"),
        (607, "Unwanted"),
        (608, "Rejected"),
        (299, "Success"),
        (499, "Request Failure"),
        (699, "Global Failure"),
    ] {
        assert_eq!(reason_phrase(status), phrase, "{status}");
    }
}

#[test]
fn the_stateless_tag_repeats_for_a_retransmission_only() {
    let first = request(INVITE);
    assert_eq!(
        stateless_tag(&first.headers),
        stateless_tag(&request(INVITE).headers)
    );
    let other = request(&INVITE.replace("nashds8", "nashds9"));
    assert_ne!(stateless_tag(&first.headers), stateless_tag(&other.headers));
}

fn source() -> SocketAddr {
    "192.0.2.77:40000".parse().unwrap()
}

#[test]
fn the_top_via_learns_where_the_request_came_from() {
    let via = |value: &str| {
        let mut invite =
            request(&INVITE.replace("SIP/2.0/UDP pc33.atlanta.com;branch=z9hG4bKnashds8", value));
        invite.stamp_source(source());
        (
            invite.headers.get("Via").unwrap().to_owned(),
            invite.top_via().unwrap().response_target(),
        )
    };
    assert_eq!(
        via("SIP/2.0/UDP a.example:5070;rport;branch=z9hG4bK1, SIP/2.0/TCP second"),
        (
            "SIP/2.0/UDP a.example:5070;rport=40000;branch=z9hG4bK1;received=192.0.2.77, SIP/2.0/TCP second"
                .to_owned(),
            Some(source())
        )
    );
    assert_eq!(
        via("SIP/2.0/UDP 192.0.2.77:5070;branch=z9hG4bK1"),
        (
            "SIP/2.0/UDP 192.0.2.77:5070;branch=z9hG4bK1".to_owned(),
            Some("192.0.2.77:5070".parse().unwrap())
        )
    );
    assert_eq!(
        via("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1").1,
        Some("192.0.2.77:5060".parse().unwrap())
    );
    assert_eq!(
        via("SIP/2.0/TLS [2001:db8::1];branch=z9hG4bK1").1,
        Some("192.0.2.77:5061".parse().unwrap())
    );
}

#[test]
fn a_via_of_our_own_reads_back() {
    let via = Via::new("UDP", "[2001:db8::5]:5062".parse().unwrap(), "z9hG4bKabc");
    assert_eq!(
        via.to_string(),
        "SIP/2.0/UDP [2001:db8::5]:5062;branch=z9hG4bKabc;rport"
    );
    let read: Via = via.to_string().parse().unwrap();
    assert_eq!(read, via);
    assert!(read.wants_rport() && read.rport().is_none() && !read.is_reliable());
}

#[test]
fn vias_that_cannot_be_read_are_refused() {
    for via in [
        "",
        "SIP/2.0/UDP",
        "SIP/2.0 UDP host",
        "SIP/2.0/UDP host:port",
        "SIP/1.0/UDP host",
        "HTTP/2.0/UDP host",
        "SIP/2.0/UDPhost",
        "SIP/2.0/UDP 2001:db8::1",
        "SIP/2.0/UDP host;;branch=1",
        "SIP/2.0/UDP host;branch=",
        "SIP/2.0/UDP host;branch=\"open",
        "SIP/2.0/UDP ho st",
    ] {
        assert!(via.parse::<Via>().is_err(), "{via}");
    }
    let spaced: Via =
        "SIP / 2.0 / UDP first.example.com: 4000 ; ttl=16 ; maddr=224.2.0.1 ;branch=z9hG4bKa7.1"
            .parse()
            .unwrap();
    assert_eq!((spaced.port, spaced.params.get("ttl")), (Some(4000), Some("16")));
}

#[test]
fn addresses_of_many_forms_are_read() {
    let read = |text: &str| text.parse::<NameAddr>().unwrap();
    let full = read(r#""A. G. \"Bell\"" <sip:agb@bell-telephone.com;lr>;tag=a48s;x"#);
    assert_eq!(full.display.as_deref(), Some("A. G. \"Bell\""));
    assert_eq!(
        (full.tag(), full.uri.has_param("lr"), full.params.has("x")),
        (Some("a48s"), true, true)
    );
    assert_eq!(read(&full.to_string()), full);
    let bare = read("sip:+12125551212@server.phone2net.com;tag=887s");
    assert_eq!((bare.tag(), bare.uri.has_param("tag")), (Some("887s"), false));
    assert_eq!(
        bare.to_string(),
        "<sip:+12125551212@server.phone2net.com>;tag=887s"
    );
    assert_eq!(
        read("Anonymous <sip:c8oqz84zk7z@privacy.org>;tag=hyh8")
            .display
            .as_deref(),
        Some("Anonymous")
    );
    assert_eq!(read("<tel:+14155550100>;tag=1;").tag(), Some("1"));
    assert_eq!(read("caller<sip:a@b>").display.as_deref(), Some("caller"));
    assert_eq!(read("\"\" <sip:a@b>").display.as_deref(), Some(""));
    assert_eq!(
        read("<sip:a@b>").with_tag("1").with_tag("2").to_string(),
        "<sip:a@b>;tag=2"
    );
    assert_eq!(read("<sip:a@b>;tag=x==/+@").tag(), Some("x==/+@"));
    assert_eq!(
        NameAddr::new(Uri::tel("+1"))
            .with_display("Ann \"A\"")
            .to_string(),
        r#""Ann \"A\"" <tel:+1>"#
    );
}

#[test]
fn addresses_that_cannot_be_read_are_refused() {
    for text in [
        "",
        "<sip:a@b",
        "sip:a@b>",
        "\"open <sip:a@b>",
        "\"a\" sip:a@b",
        "Bell, A <sip:a@b>",
        "sip:a@b,c",
        "sip:a@b?Subject=x",
        "< sip:a@b >",
        "<sip:a@b> ;;tag=1",
        "<sip:a@b>tag=1",
        "<sip:a@b>;tag=1;;",
        "<>",
        "nonsense",
    ] {
        assert!(text.parse::<NameAddr>().is_err(), "{text}");
    }
}

#[test]
fn smaller_fields_are_read() {
    let ok = response(&OK.replace(
        "Contact:",
        "Reason: Q.850;cause=16;text=\"Normal, call; clearing\", SIP;cause=200\r\nReason: X\r\nRSeq: 7\r\n\
         Retry-After: 120 (in a meeting);duration=60\r\nRequire: 100rel,timer\r\nSession-Expires: 1800;refresher=UAS\r\n\
         Min-SE:90\r\nExpires: 60\r\nMin-Expires: 30\r\nc: Application/SDP ; charset=x\r\nContact:",
    ));
    let reasons = ok.headers.reasons();
    assert_eq!(reasons.len(), 3);
    let q850 = reasons.first().unwrap();
    assert!(q850.is_q850());
    assert_eq!(
        (q850.cause, q850.text.as_deref()),
        (Some(16), Some("Normal, call; clearing"))
    );
    assert_eq!(q850.to_string().parse::<ReasonHeader>().unwrap(), *q850);
    assert_eq!(ok.headers.rseq(), Some(7));
    assert_eq!(ok.headers.retry_after(), Some(120));
    assert!(ok.headers.requires("timer") && ok.headers.requires("100rel"));
    let expires = SessionExpires {
        seconds: 1800,
        refresher: Some(Refresher::Uas),
    };
    assert_eq!(
        (ok.headers.session_expires(), ok.headers.min_se()),
        (Some(expires), Some(90))
    );
    assert_eq!(
        (ok.headers.expires(), ok.headers.min_expires()),
        (Some(60), Some(30))
    );
    assert_eq!(ok.headers.content_type(), Some("Application/SDP"));
    assert!(ok.headers.is_content_type("application/sdp"));
    assert_eq!(
        "776656 1 INVITE".parse::<RAck>().unwrap().to_string(),
        "776656 1 INVITE"
    );
}

#[test]
fn a_star_contact_is_for_register_only() {
    let star = INVITE.replace("<sip:alice@pc33.atlanta.com>", "*");
    assert_eq!(bad(&star).status, 400);
    let register = request(&star.replace("INVITE", "REGISTER"));
    assert_eq!(register.headers.contacts_or_all().unwrap(), Contacts::All);
}

#[test]
fn a_session_description_is_found_alone_and_among_parts() {
    assert_eq!(
        Message::parse(INVITE.as_bytes()).unwrap().sdp(),
        Some(b"v=0\n".as_slice())
    );
    let body = "preamble\r\n--b1\r\nContent-Type: application/isup;version=itu-t92+\r\n\r\n\u{1}\u{2}\r\n--b1\r\n\
                content-type: application/sdp\r\nContent-Disposition: session\r\n\r\nv=0\r\ns=-\r\n\r\n--b1--\r\nepilogue";
    let head = "Content-Type: application/sdp\r\nContent-Length: 4\r\n\r\nv=0\n";
    for boundary in ["boundary=b1", "x=y; boundary=\"b1\""] {
        let text = INVITE.replace(
            head,
            &format!("Content-Type: multipart/mixed;{boundary}\r\n\r\n{body}"),
        );
        let invite = Message::parse(text.as_bytes()).unwrap();
        assert_eq!(invite.sdp(), Some(b"v=0\r\ns=-\r\n".as_slice()));
    }
    let text = INVITE.replace(head, &format!("Content-Type: multipart/mixed\r\n\r\n{body}"));
    assert_eq!(Message::parse(text.as_bytes()).unwrap().sdp(), None);
}

#[test]
fn a_trace_hides_numbers_keys_and_credentials() {
    let text = INVITE
        .replace("sip:bob@biloxi.com", "sip:+14155550123@biloxi.com")
        .replace(
            "Contact:",
            "Authorization: Digest username=\"u\", response=\"secret\"\r\nContact:",
        )
        .replace(
            "Content-Length: 4\r\n\r\nv=0\n",
            "\r\nv=0\r\no=14155550123 1790000001 2 IN IP4 192.0.2.7\r\np=+1 415-555-0123\r\np=+14155550123\r\n\
             a=crypto:1 AES inline:hush\r\n",
        );
    let trace = Message::parse(text.as_bytes()).unwrap().masked();
    for hidden in ["4155550123", "5550", "secret", "hush"] {
        assert!(!trace.contains(hidden), "{hidden} in {trace}");
    }
    assert!(
        trace.contains("\no=14•••••••23 1790000001 2 IN IP4 192.0.2.7\n"),
        "{trace}"
    );
    assert!(
        trace.contains("Authorization: ***") && trace.contains("v=0") && trace.contains("z9hG4bKnashds8")
    );
    let info = INVITE
        .replace("application/sdp", "application/dtmf-relay")
        .replace("v=0\n", "S=7\n");
    assert!(!Message::parse(info.as_bytes()).unwrap().masked().contains("S=7"));
}

#[test]
fn a_capture_is_whole_sip_that_may_show_numbers_and_never_credentials() {
    let sdp =
        "v=0\r\no=14155550123 1 2 IN IP4 192.0.2.7\r\ns=-\r\nk=clear:hush\r\na=crypto:1 AES inline:hush\r\n";
    let text = INVITE
        .replace("sip:bob@biloxi.com", "sip:+14155550123@biloxi.com")
        .replace(
            "Contact:",
            "Proxy-Authorization: Digest username=\"u\", response=\"secret\"\r\nContact:",
        )
        .replace("Content-Length: 4\r\n\r\nv=0\n", &format!("\r\n{sdp}"));
    let invite = Message::parse(text.as_bytes()).unwrap();
    let shown = |numbers| String::from_utf8(invite.for_capture(numbers)).unwrap();
    let (masked, whole) = (shown(Numbers::Masked), shown(Numbers::Whole));
    assert!(
        masked.starts_with("INVITE sip:+14•••••••23@biloxi.com SIP/2.0\r\n"),
        "{masked}"
    );
    assert!(
        whole.starts_with("INVITE sip:+14155550123@biloxi.com SIP/2.0\r\n"),
        "{whole}"
    );
    assert!(!masked.contains("4155550123") && whole.contains("\r\no=14155550123 1 2 IN IP4 192.0.2.7\r\n"));
    for text in [&masked, &whole] {
        assert!(!text.contains("secret") && !text.contains("hush"), "{text}");
        assert!(
            text.contains("\r\nProxy-Authorization: Digest hidden=\"***\"\r\n")
                && text.contains("\r\nk=***\r\n"),
            "{text}"
        );
        // Content-Length fits, so that it is a message again.
        let again = Message::parse(text.as_bytes()).unwrap();
        assert_eq!(
            again.headers().call_id().unwrap(),
            invite.headers().call_id().unwrap()
        );
    }
    let info = INVITE
        .replace("application/sdp", "application/dtmf-relay")
        .replace("v=0\n", "S=7\n");
    let info = Message::parse(info.as_bytes())
        .unwrap()
        .for_capture(Numbers::Whole);
    let info = String::from_utf8(info).unwrap();
    assert!(
        info.ends_with("\r\nContent-Length: 22\r\n\r\n[4 octets not shown]\r\n"),
        "{info}"
    );
}

#[test]
fn errors_never_carry_a_number() {
    let text = INVITE.replace("To: Bob <sip:bob@biloxi.com>", "To: <sip:+14155550123@>");
    let error = Message::parse(text.as_bytes()).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("4155550123"));
}

#[test]
fn a_reason_phrase_of_control_characters_reads_the_same_when_it_is_written() {
    let octets = b"SIP/2.0 200 \x01 fine \x13\x02\x7f\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKa\r\nFrom: <sip:a@b>;tag=1\r\n\
        To: <sip:a@b>;tag=2\r\nCall-ID: a\r\nCSeq: 1 INVITE\r\n\r\n";
    let message = Message::parse(octets).unwrap();
    let Message::Response(response) = &message else {
        panic!("expected a response");
    };
    assert_eq!(response.reason, "fine");
    assert_eq!(Message::parse(&message.to_bytes()), Ok(message));
}
