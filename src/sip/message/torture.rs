//! RFC 4475 and RFC 5118: every message with the verdict that the RFC asks of its reader. What is left to the
//! transaction or the application (a duplicate broadcast answer, `Max-Forwards: 0`, an unknown extension) is
//! accepted here.
use super::*;

enum Verdict {
    /// Read as a request of that method.
    Request(&'static str),
    Response(u16),
    /// Refused with that status, and the refusal can be sent.
    Refuse(u16),
    /// Refused, but a field is missing that an answer would need.
    RefuseSilently(u16),
    Drop,
}
use Verdict::{Drop, Refuse, RefuseSilently, Request as Req, Response as Resp};

macro_rules! vectors {
    ($rfc:literal: $($name:literal $verdict:expr),* $(,)?) => {
        [$(($name, include_bytes!(concat!("../../../tests/vectors/", $rfc, "/", $name, ".sip")) as &[u8], $verdict)),*]
    };
}

#[test]
fn every_message_of_rfc_4475_gets_the_verdict_of_the_rfc() {
    judge(&vectors!["rfc4475":
        // §3.1.1: valid.
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
        "unreason" Resp(200),
        "noreason" Resp(100),
        // §3.1.2: invalid.
        "badinv01" Refuse(400),
        "clerr" Refuse(400),
        "ncl" Refuse(400),
        "scalar02" Refuse(400),
        "scalarlg" Drop,
        "quotbal" Refuse(400),
        "ltgtruri" Refuse(400),
        "lwsruri" Refuse(400),
        // The RFC lets a reader be liberal in these four.
        "lwsstart" Req("INVITE"),
        "trws" Req("OPTIONS"),
        "escruri" Req("INVITE"),
        "baddate" Req("INVITE"),
        "regbadct" Refuse(400),
        "badaspec" Refuse(400),
        "baddn" Refuse(400),
        "badvers" Refuse(505),
        "mismatch01" Refuse(400),
        "mismatch02" Refuse(400),
        "bigcode" Drop,
        // §3.2, §3.3, §3.4: for the layers above, but for what no layer could use.
        "badbranch" Req("OPTIONS"),
        "insuf" RefuseSilently(400),
        "unkscm" Refuse(416),
        "novelsc" Refuse(416),
        "unksm2" Req("REGISTER"),
        "bext01" Req("OPTIONS"),
        "invut" Req("INVITE"),
        "regaut01" Req("REGISTER"),
        "multi01" Refuse(400),
        "mcl01" Refuse(400),
        "bcast" Resp(200),
        "zeromf" Req("OPTIONS"),
        "cparam01" Req("REGISTER"),
        "cparam02" Req("REGISTER"),
        "regescrt" Req("REGISTER"),
        "sdp01" Req("INVITE"),
        "inv2543" Req("INVITE"),
    ]);
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
        (Resp(status), Ok(Message::Response(response))) => response.status == *status,
        (Refuse(status), Err(ParseError::BadRequest(bad))) => {
            bad.status == *status && bad.reply("t").is_some_and(|reply| is_refusal(&reply, *status))
        }
        (RefuseSilently(status), Err(ParseError::BadRequest(bad))) => {
            bad.status == *status && bad.reply("t").is_none()
        }
        (Drop, Err(ParseError::BadResponse(_))) => true,
        (Req(_) | Resp(_) | Refuse(_) | RefuseSilently(_) | Drop, _) => false,
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

#[test]
fn the_tortuous_invite_means_what_the_rfc_says() {
    let invite = request(include_bytes!("../../../tests/vectors/rfc4475/wsinv.sip"));
    assert_eq!(invite.headers.to().unwrap().tag(), Some("1918181833n"));
    let from = invite.headers.from().unwrap();
    assert_eq!(from.display.as_deref(), Some("J Rosenberg \\\""));
    assert_eq!(from.tag(), Some("98asjd8"));
    assert_eq!(invite.headers.max_forwards(), Some(68));
    assert_eq!(invite.headers.cseq().unwrap(), CSeq::new(9, Method::Invite));
    let vias = invite.headers.vias().unwrap();
    let branches: Vec<_> = vias
        .iter()
        .map(|via| (via.transport.as_str(), via.branch()))
        .collect();
    assert_eq!(
        branches,
        [
            ("UDP", Some("390skdjuw")),
            ("TCP", Some("z9hG4bK9ikj8")),
            ("UDP", Some("z9hG4bK30239"))
        ]
    );
    let contact = invite.headers.contacts().unwrap().remove(0);
    assert_eq!(contact.display.as_deref(), Some("Quoted string \"\""));
    assert_eq!(contact.params.get("q"), Some("0.33"));
    assert_eq!(invite.headers.get("Subject"), Some(""));
    assert_eq!(
        invite.headers.get("NewFangledHeader"),
        Some("newfangled value continued newfangled value")
    );
    assert!(
        invite
            .headers
            .routes()
            .unwrap()
            .first()
            .is_some_and(|route| route.uri.is_loose_router())
    );
}

#[test]
fn the_second_message_of_a_datagram_is_cut_off() {
    let register = request(include_bytes!("../../../tests/vectors/rfc4475/dblreq.sip"));
    assert!(register.body.is_empty());
    assert_eq!(
        register.headers.call_id().unwrap(),
        "dblreq.0ha0isndaksdj99sdfafnl3lk233412"
    );
}

#[test]
fn semicolons_of_a_user_part_are_not_parameters() {
    let options = request(include_bytes!("../../../tests/vectors/rfc4475/semiuri.sip"));
    assert_eq!(options.uri.user(), Some("user;par=u%40example.net"));
    assert_eq!(
        options.uri.user_decoded().as_deref(),
        Some("user;par=u@example.net")
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
    let bare = request(include_bytes!("../../../tests/vectors/rfc4475/cparam01.sip"));
    let contact = bare.headers.contacts().unwrap().remove(0);
    assert!(contact.params.has("unknownparam") && !contact.uri.has_param("unknownparam"));
    let bracketed = request(include_bytes!("../../../tests/vectors/rfc4475/cparam02.sip"));
    let contact = bracketed.headers.contacts().unwrap().remove(0);
    assert!(!contact.params.has("unknownparam") && contact.uri.has_param("unknownparam"));
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
