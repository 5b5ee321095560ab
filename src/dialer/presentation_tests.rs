//! Golden INVITEs: what leaves for a trunk of each kind, as text.
use std::time::Instant;

use super::super::DialerConfig;
use super::super::plan::{Trunk, Wire, invite};
use super::super::reach::Place;
use super::*;
use crate::media::command::DtmfMode;
use crate::model::{Codec, Entropy};
use crate::net::sip_net::Local;
use crate::sip::invite::{InviteConfig, InviteSession, Output};
use crate::sip::locate::{Scheme, Target};
use crate::sip::transport::{self, SipTransport};

fn number(text: &str) -> Destination {
    Destination::E164(PhoneNumber::parse(text, None, NumberValidation::Shape).unwrap())
}

fn trunk(presentation: Presentation) -> Trunk {
    Trunk {
        name: "carrier".to_owned(),
        targets: vec![Target {
            scheme: Scheme::Sip,
            host: "sip.carrier.example".to_owned(),
            port: None,
            transport: None,
        }],
        credentials: None,
        register: None,
        peers: Vec::new(),
        caller_id: [("DE".to_owned(), "+4930123456".to_owned())].into(),
        caller_id_default: "+18005550199".to_owned(),
        presentation,
        cps: 1.0,
        calls_max: 1,
        dtmf: DtmfMode::Auto,
        learn: false,
        codecs: vec![Codec::Pcmu],
        rtcp_mux: false,
        srtp: crate::model::SrtpPolicy::Off,
        srtp_profile: crate::model::SrtpProfile::Savp,
        rel100: true,
        failover_on_timeout: true,
        options_every: None,
        tcp_switch: true,
        tls: None,
    }
}

fn config() -> DialerConfig {
    DialerConfig {
        node: "node".to_owned(),
        trunks: Vec::new(),
        profiles: Default::default(),
        user_agent: "Ringproof".to_owned(),
        public_address: None,
        t1: std::time::Duration::from_millis(500),
        calls_max: 1,
        fraud_block: std::time::Duration::ZERO,
        trunk_notices: Default::default(),
        recording: None,
    }
}

fn place(host: &str, port: Option<u16>) -> Place {
    Place {
        destination: transport::Destination {
            transport: SipTransport::Udp,
            address: "192.0.2.10:5060".parse().unwrap(),
            host: host.to_owned(),
        },
        port,
        may_switch: false,
    }
}

fn planned(presentation: Presentation, to: &Destination) -> InviteConfig {
    let local = Local {
        address: "192.0.2.1:5060".parse().unwrap(),
        public: None,
    };
    let wire = Wire {
        call_id: "call-1".to_owned(),
        first: place("sip.carrier.example", None),
        further: vec![(place("sip2.carrier.example", Some(5080)), local)],
        peers: Vec::new(),
        local_sip: local,
        local_media: "192.0.2.1:20000".parse().unwrap(),
    };
    invite(&config(), &trunk(presentation), to, &wire)
}

/// The INVITE without its branch and tag, line by line.
fn invite_of(presentation: Presentation, to: &Destination) -> Vec<String> {
    let mut out = Vec::new();
    let session = InviteSession::start(
        Instant::now(),
        planned(presentation, to),
        b"v=0\r\n".to_vec(),
        Entropy::from_number(1),
        &mut out,
    );
    drop(session);
    let Some(Output::Send { bytes, .. }) = out.into_iter().next() else {
        panic!("no INVITE left");
    };
    String::from_utf8(bytes)
        .unwrap()
        .lines()
        .map(
            |line| match line.split_once(";tag=").or(line.split_once(";branch=")) {
                Some((stable, _)) => stable.to_owned(),
                None => line.to_owned(),
            },
        )
        .collect()
}

/// Request line, From, To and what `presentation` adds.
fn told(presentation: Presentation, to: &Destination) -> String {
    const KEPT: [&str; 8] = [
        "INVITE ",
        "From: ",
        "To: ",
        "P-",
        "Privacy: ",
        "Diversion: ",
        "X-",
        "Contact: ",
    ];
    invite_of(presentation, to)
        .into_iter()
        .filter(|line| KEPT.iter().any(|start| line.starts_with(start)))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_next_target_is_asked_for_the_number_as_the_trunk_writes_it() {
    let presentation = Presentation {
        number_format: NumberFormat::E164,
        tech_prefix: "77".to_owned(),
        uri_params: vec![("user".to_owned(), Some("phone".to_owned()))],
        ..Presentation::default()
    };
    let invite = planned(presentation, &number("+14255550123"));
    assert_eq!(
        invite.request_uri.to_string(),
        "sip:7714255550123@sip.carrier.example;user=phone"
    );
    assert_eq!(
        invite.failover.further[0].request_uri.to_string(),
        "sip:7714255550123@sip2.carrier.example:5080;user=phone"
    );
}

#[test]
fn the_invite_of_a_trunk_that_says_nothing_is_this() {
    assert_eq!(
        invite_of(Presentation::default(), &number("+14255550123")).join("\n"),
        "INVITE sip:+14255550123@sip.carrier.example SIP/2.0\n\
         Via: SIP/2.0/UDP 192.0.2.1:5060\n\
         Max-Forwards: 70\n\
         From: <sip:+18005550199@sip.carrier.example>\n\
         To: <sip:+14255550123@sip.carrier.example>\n\
         Call-ID: call-1\n\
         CSeq: 1 INVITE\n\
         Accept: application/sdp\n\
         P-Asserted-Identity: <sip:+18005550199@sip.carrier.example>\n\
         Content-Type: application/sdp\n\
         Contact: <sip:18005550199@192.0.2.1:5060>\n\
         Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK\n\
         Supported: timer, 100rel\n\
         User-Agent: Ringproof\n\
         Content-Length: 5\n\
         \n\
         v=0"
    );
}

#[test]
fn each_number_format_has_its_golden_invite() {
    use NumberFormat::{DoubleZero, E164, National, PlusE164};
    for (format, home, american, german) in [
        (PlusE164, None, "+14255550123", "+4930123456"),
        (E164, None, "14255550123", "4930123456"),
        (DoubleZero, None, "0014255550123", "004930123456"),
        (National, None, "14255550123", "030123456"),
        (National, Some("DE"), "0014255550123", "030123456"),
        (National, Some("US"), "14255550123", "0114930123456"),
    ] {
        let presentation = Presentation {
            number_format: format,
            home_country: home.map(str::to_owned),
            ..Presentation::default()
        };
        for (to, called, caller, contact) in [
            ("+14255550123", american, "+18005550199", "18005550199"),
            ("+4930123456", german, "+4930123456", "4930123456"),
        ] {
            assert_eq!(
                told(presentation.clone(), &number(to)),
                format!(
                    "INVITE sip:{called}@sip.carrier.example SIP/2.0\n\
                     From: <sip:{caller}@sip.carrier.example>\n\
                     To: <sip:{called}@sip.carrier.example>\n\
                     P-Asserted-Identity: <sip:{caller}@sip.carrier.example>\n\
                     Contact: <sip:{contact}@192.0.2.1:5060>"
                ),
                "{format:?} {home:?}"
            );
        }
    }
}

#[test]
fn everything_that_a_carrier_may_want_stands_where_it_belongs() {
    let presentation = Presentation {
        number_format: NumberFormat::National,
        home_country: Some("DE".to_owned()),
        tech_prefix: "9#".to_owned(),
        caller_id_format: Some(NumberFormat::E164),
        from_user: Some("1234567t0".to_owned()),
        from_domain: Some("carrier.example".parse().unwrap()),
        display_name: Some("Contoso \"Bank\"".to_owned()),
        identity_header: Some("P-Preferred-Identity"),
        privacy: Some("id;critical".to_owned()),
        diversion: Some(Diversion {
            number: "+49301234567".to_owned(),
            reason: "unconditional".to_owned(),
        }),
        uri_params: vec![
            ("user".to_owned(), Some("phone".to_owned())),
            ("x-plain".to_owned(), None),
        ],
        headers: vec![("X-Account".to_owned(), "42".to_owned())],
    };
    assert_eq!(
        told(presentation, &number("+4930123456")),
        "INVITE sip:9%23030123456@sip.carrier.example;user=phone;x-plain SIP/2.0\n\
         From: \"Contoso \\\"Bank\\\"\" <sip:1234567t0@carrier.example>\n\
         To: <sip:9%23030123456@sip.carrier.example;user=phone;x-plain>\n\
         P-Preferred-Identity: \"Contoso \\\"Bank\\\"\" <sip:4930123456@carrier.example;user=phone>\n\
         Privacy: id;critical\n\
         Diversion: <sip:49301234567@carrier.example;user=phone>;reason=unconditional\n\
         X-Account: 42\n\
         Contact: <sip:4930123456@192.0.2.1:5060>"
    );
}

#[test]
fn a_caller_who_is_not_named_is_still_asserted_to_the_trunk() {
    let presentation = Presentation {
        from_user: Some("anonymous".to_owned()),
        from_domain: Some("anonymous.invalid".parse().unwrap()),
        privacy: Some("id".to_owned()),
        ..Presentation::default()
    };
    assert_eq!(
        told(presentation, &number("+14255550123")),
        "INVITE sip:+14255550123@sip.carrier.example SIP/2.0\n\
         From: <sip:anonymous@anonymous.invalid>\n\
         To: <sip:+14255550123@sip.carrier.example>\n\
         P-Asserted-Identity: <sip:+18005550199@sip.carrier.example>\n\
         Privacy: id\n\
         Contact: <sip:18005550199@192.0.2.1:5060>"
    );
}

#[test]
fn an_extension_and_a_caller_id_without_plus_go_as_they_are() {
    let presentation = Presentation {
        number_format: NumberFormat::DoubleZero,
        caller_id_format: Some(NumberFormat::National),
        identity_header: None,
        ..Presentation::default()
    };
    let mut desk = trunk(presentation);
    desk.caller_id_default = "1000".to_owned();
    let host = "pbx.example".parse().unwrap();
    let presented = desk.presentation.present(
        &Destination::Internal("1001".to_owned()),
        "1000",
        &host,
        Some(5080),
    );
    assert_eq!(presented.request_uri.to_string(), "sip:1001@pbx.example:5080");
    assert_eq!(presented.from.to_string(), "<sip:1000@pbx.example>");
    assert_eq!(presented.headers, Vec::new());
}
