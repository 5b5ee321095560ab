//! Torture: every message of RFC 4475 and RFC 5118 with the verdict that the RFC asks of its reader, and messages of
//! our own that are hard in the same ways. What is left to the transaction or the application (`Max-Forwards: 0`, an
//! unknown extension) is accepted here. Where the RFC lets the reader choose, the comment says so.
use super::*;

enum Verdict {
    /// Read as a request of that method.
    Request(&'static str),
    /// Read as a response of that status.
    Response(u16),
    /// Refused with that status, and the refusal can be sent.
    Refuse(u16),
    /// Refused with that status, and nobody can be told: the fields that a response needs are not there.
    Mute(u16),
    /// A response that nobody can use.
    Drop,
}
use Verdict::{Drop, Mute, Refuse, Request as Req, Response as Res};

macro_rules! vectors {
    ($rfc:literal: $($name:literal $verdict:expr),* $(,)?) => {
        [$(($name, include_bytes!(concat!("../../../tests/vectors/", $rfc, "/", $name, ".sip")) as &[u8], $verdict)),*]
    };
}

#[test]
fn every_message_of_rfc_5118_gets_the_verdict_of_the_rfc() {
    judge(&vectors!["rfc5118":
        "ipv6-good" Req("REGISTER"),
        "ipv6-bad" Refuse(400),
        "port-ambiguous" Req("REGISTER"),
        "port-unambiguous" Req("REGISTER"),
        "via-received-param-with-delim" Req("BYE"),
        "via-received-param-no-delim" Req("OPTIONS"),
        "ipv6-in-sdp" Req("INVITE"),
        "mult-ip-in-header" Req("BYE"),
        "mult-ip-in-sdp" Req("INVITE"),
        "ipv4-mapped-ipv6" Req("INVITE"),
        "ipv6-bug-abnf-3-colons" Req("OPTIONS"),
        "ipv6-correct-abnf-2-colons" Req("OPTIONS"),
    ]);
}

/// RFC 4475 §3.1.1: hard, and valid.
#[test]
fn every_valid_message_of_rfc_4475_is_read() {
    judge(&vectors!["rfc4475":
        "wsinv" Req("INVITE"),
        "intmeth" Req("!interesting-Method0123456789_*+`.%indeed'~"),
        "esc01" Req("INVITE"),
        "escnull" Req("REGISTER"),
        "esc02" Req("RE%47IST%45R"),
        "lwsdisp" Req("OPTIONS"),
        "longreq" Req("INVITE"),
        "dblreq" Req("REGISTER"),
        "semiuri" Req("OPTIONS"),
        "transports" Req("OPTIONS"),
        "mpart01" Req("MESSAGE"),
        "unreason" Res(200),
        "noreason" Res(100),
    ]);
}

/// RFC 4475 §3.1.2: not valid.
#[test]
fn every_invalid_message_of_rfc_4475_gets_the_verdict_of_the_rfc() {
    judge(&vectors!["rfc4475":
        "badinv01" Refuse(400),
        "clerr" Refuse(400),
        "ncl" Refuse(400),
        "scalar02" Refuse(400),
        "scalarlg" Drop,
        "quotbal" Refuse(400),
        "ltgtruri" Refuse(400),
        "lwsruri" Refuse(400),
        // Excess white space around the Request-URI or at the end of the line, and header fields in a Request-URI, may
        // be refused or passed over. We pass them over: nothing is ambiguous, and no proxy is here.
        "lwsstart" Req("INVITE"),
        "trws" Req("OPTIONS"),
        "escruri" Req("INVITE"),
        // A UA needs no Date to answer and may ignore one that it cannot read.
        "baddate" Req("INVITE"),
        // May be read for what was meant; what was meant is a guess, so we refuse.
        "regbadct" Refuse(400),
        "badaspec" Refuse(400),
        "baddn" Refuse(400),
        "badvers" Refuse(505),
        "mismatch01" Refuse(400),
        "mismatch02" Refuse(400),
        "bigcode" Drop,
    ]);
}

/// RFC 4475 §3.2 to §3.4: what the transaction, the application or an old reader must judge.
#[test]
fn every_other_message_of_rfc_4475_gets_the_verdict_of_the_rfc() {
    judge(&vectors!["rfc4475":
        "badbranch" Req("OPTIONS"),
        "insuf" Mute(400),
        "unkscm" Refuse(416),
        "novelsc" Refuse(416),
        "unksm2" Req("REGISTER"),
        "bext01" Req("OPTIONS"),
        "invut" Req("INVITE"),
        "regaut01" Req("REGISTER"),
        "multi01" Refuse(400),
        "mcl01" Refuse(400),
        "bcast" Res(200),
        "zeromf" Req("OPTIONS"),
        "cparam01" Req("REGISTER"),
        "cparam02" Req("REGISTER"),
        "regescrt" Req("REGISTER"),
        "sdp01" Req("INVITE"),
        "inv2543" Req("INVITE"),
    ]);
}

fn judge(vectors: &[(&str, &[u8], Verdict)]) {
    let wrong: Vec<String> = vectors
        .iter()
        .filter_map(|(name, bytes, verdict)| misjudged(name, bytes, verdict))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn misjudged(name: &str, bytes: &[u8], verdict: &Verdict) -> Option<String> {
    let parsed = Message::parse(bytes);
    let right = match (verdict, &parsed) {
        (Req(method), Ok(Message::Request(request))) => request.method.as_str() == *method,
        (Res(status), Ok(Message::Response(response))) => response.status == *status,
        (Refuse(status), Err(ParseError::BadRequest(bad))) => {
            bad.status == *status && bad.reply("t").is_some_and(|reply| is_refusal(&reply, *status))
        }
        (Mute(status), Err(ParseError::BadRequest(bad))) => bad.status == *status && bad.reply("t").is_none(),
        (Drop, Err(ParseError::BadResponse(_))) => true,
        (Req(_) | Res(_) | Refuse(_) | Mute(_) | Drop, _) => false,
    };
    if let Ok(message) = &parsed
        && Message::parse(&message.to_bytes()).as_ref() != Ok(message)
    {
        return Some(format!("{name}: written and read again it differs"));
    }
    (!right).then(|| match parsed {
        Ok(message) => format!("{name}: accepted {message:?}"),
        Err(error) => format!("{name}: {error}"),
    })
}

fn is_refusal(reply: &Response, status: u16) -> bool {
    reply.status == status && reply.headers.contains("Via") && reply.headers.contains("Call-ID")
}

fn request(bytes: &[u8]) -> Request {
    match Message::parse(bytes) {
        Ok(Message::Request(request)) => request,
        other => panic!("expected a request, came {other:?}"),
    }
}

/// A request of our own with CRLF line ends; `|` in a line stands for nothing, so that white space at its end is seen.
fn own(lines: &[&str]) -> Vec<u8> {
    let mut text = lines.join("\r\n").replace('|', "");
    text.push_str("\r\n\r\n");
    text.into_bytes()
}

const HEAD: [&str; 4] = [
    "Via: SIP/2.0/UDP phone.example.net;branch=z9hG4bKown1",
    "From: <sip:caller@example.net>;tag=f1",
    "Call-ID: own-1@example.net",
    "Max-Forwards: 70",
];

#[test]
fn folding_compact_names_lists_and_odd_white_space_mean_what_they_say() {
    let invite = request(&own(&[
        "INVITE sip:bob@example.com;unknown=yes SIP/2.0",
        "TO :|",
        " sip:bob@example.com ;   tag    = \tt1-own",
        "from   : \"A. Caller \\\\\\\"\"       <sip:caller@example.net>",
        "  ;|",
        "  tag = f1-own",
        "MaX-fOrWaRdS: 0068",
        "i: own-2@example.net",
        "CSeq: 0007",
        "  INVITE",
        "Via  : SIP  /   2.0",
        " /UDP",
        "    192.0.2.2;branch=old-style",
        "s :|",
        "X-Own-Field:   one",
        " two",
        "  three",
        "v:  SIP  / 2.0  / TCP     proxy.example.net   ;",
        "  branch  =   z9hG4bKown2  , SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKown3",
        "m:\"Quoted \\\"\\\"\" <sip:caller@192.0.2.2> ; flag =",
        "  value ;",
        "  q = 0.33",
        "Route:|",
        " <sip:edge.example.net;lr;other=%41>",
        "l: 0",
    ]));
    assert_eq!(invite.headers.to().unwrap().tag(), Some("t1-own"));
    let from = invite.headers.from().unwrap();
    assert_eq!(
        (from.display.as_deref(), from.tag()),
        (Some("A. Caller \\\""), Some("f1-own"))
    );
    assert_eq!(invite.headers.max_forwards(), Some(68));
    assert_eq!(invite.headers.cseq().unwrap(), CSeq::new(7, Method::Invite));
    let vias = invite.headers.vias().unwrap();
    let hops: Vec<_> = vias
        .iter()
        .map(|via| (via.transport.as_str(), via.branch()))
        .collect();
    assert_eq!(
        hops,
        [
            ("UDP", Some("old-style")),
            ("TCP", Some("z9hG4bKown2")),
            ("UDP", Some("z9hG4bKown3"))
        ]
    );
    let contact = invite.headers.contacts().unwrap().remove(0);
    assert_eq!(contact.display.as_deref(), Some("Quoted \"\""));
    assert_eq!(contact.params.get("q"), Some("0.33"));
    assert_eq!(invite.headers.get("Subject"), Some(""));
    assert_eq!(invite.headers.get("X-Own-Field"), Some("one two three"));
    let routes = invite.headers.routes().unwrap();
    assert!(routes.first().is_some_and(|route| route.uri.is_loose_router()));
}

#[test]
fn the_second_message_of_a_datagram_is_cut_off() {
    let mut lines = vec![
        "REGISTER sip:example.com SIP/2.0",
        "To: sip:u@example.com",
        "CSeq: 8 REGISTER",
        "Content-Length: 0",
    ];
    lines.extend(HEAD);
    let mut datagram = own(&lines);
    datagram.extend(own(&[
        "INVITE sip:joe@example.com SIP/2.0",
        "To: sip:joe@example.com",
        "Call-ID: second",
    ]));
    let register = request(&datagram);
    assert!(register.body.is_empty());
    assert_eq!(register.headers.call_id().unwrap(), "own-1@example.net");
}

#[test]
fn semicolons_of_a_user_part_are_not_parameters() {
    let mut lines = vec![
        "OPTIONS sip:user;par=u%40own.example@example.com SIP/2.0",
        "To: sip:u@example.com",
        "CSeq: 8 OPTIONS",
    ];
    lines.extend(HEAD);
    let options = request(&own(&lines));
    assert_eq!(options.uri.user(), Some("user;par=u%40own.example"));
    assert_eq!(
        options.uri.user_decoded().as_deref(),
        Some("user;par=u@own.example")
    );
    assert!(
        options
            .uri
            .params()
            .is_some_and(crate::sip::uri::Params::is_empty)
    );
}

#[test]
fn parameters_of_a_bare_contact_belong_to_the_field() {
    for (contact, in_field) in [
        ("Contact: sip:u@192.0.2.1;own", true),
        ("Contact: <sip:u@192.0.2.1;own>", false),
    ] {
        let mut lines = vec![
            "REGISTER sip:example.com SIP/2.0",
            "To: sip:u@example.com",
            "CSeq: 8 REGISTER",
            contact,
        ];
        lines.extend(HEAD);
        let found = request(&own(&lines)).headers.contacts().unwrap().remove(0);
        assert_eq!(
            (found.params.has("own"), found.uri.has_param("own")),
            (in_field, !in_field),
            "{contact}"
        );
    }
}

#[test]
fn broken_requests_are_refused_with_their_status() {
    let base = ["To: sip:u@example.com", "CSeq: 8 OPTIONS"];
    for (line, replaced, status) in [
        ("OPTIONS sip:u@example.com SIP/7.0", "", 505),
        ("OPTIONS nobodyknows:u@example.com SIP/2.0", "", 416),
        ("OPTIONS <sip:u@example.com> SIP/2.0", "", 400),
        ("OPTIONS sip:u@example.com SIP/2.0", "CSeq: 8 INVITE", 400),
        (
            "OPTIONS sip:u@example.com SIP/2.0",
            "CSeq: 36893488147419103232 OPTIONS",
            400,
        ),
        ("OPTIONS sip:u@example.com SIP/2.0", "Content-Length: -9", 400),
        ("OPTIONS sip:u@example.com SIP/2.0", "Content-Length: 9999", 400),
    ] {
        let mut lines = vec![line];
        lines.extend(
            base.iter()
                .filter(|l| !(replaced.starts_with("CSeq") && l.starts_with("CSeq"))),
        );
        lines.extend(HEAD);
        if !replaced.is_empty() {
            lines.push(replaced);
        }
        let refused = misjudged(line, &own(&lines), &Refuse(status));
        assert_eq!(refused, None, "{line} {replaced}");
    }
}

#[test]
fn received_of_ipv6_is_read_with_and_without_brackets() {
    for bytes in [
        include_bytes!("../../../tests/vectors/rfc5118/via-received-param-with-delim.sip") as &[u8],
        include_bytes!("../../../tests/vectors/rfc5118/via-received-param-no-delim.sip"),
    ] {
        let via = request(bytes).headers.top_via().unwrap();
        assert_eq!(via.received(), Some("2001:db8::9:255".parse().unwrap()));
        assert!(
            via.branch()
                .is_some_and(|branch| branch.starts_with(MAGIC_COOKIE))
        );
    }
}

#[test]
fn an_ambiguous_port_is_part_of_the_address() {
    let register = request(include_bytes!(
        "../../../tests/vectors/rfc5118/port-ambiguous.sip"
    ));
    assert_eq!(
        register.uri.host().and_then(crate::sip::uri::Host::ip),
        Some("2001:db8::10:5070".parse().unwrap())
    );
    assert_eq!(register.uri.port(), None);
    let register = request(include_bytes!(
        "../../../tests/vectors/rfc5118/port-unambiguous.sip"
    ));
    assert_eq!(register.uri.port(), Some(5070));
}
