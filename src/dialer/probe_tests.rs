//! The probe against a peer on loopback that the test plays by hand.
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::super::presentation::Presentation;
use super::*;
use crate::media::command::DtmfMode;
use crate::model::Masked;
use crate::net::resolver::ResolverConfig;
use crate::net::sip_net::SipNetConfig;
use crate::sip::digest::Credentials;
use crate::sip::locate::Scheme;

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// Only ends a test that would hang.
const PATIENCE: Duration = Duration::from_secs(20);

fn config() -> DialerConfig {
    DialerConfig {
        node: "node".to_owned(),
        trunks: Vec::new(),
        profiles: Default::default(),
        user_agent: "Ringproof".to_owned(),
        public_address: None,
        t1: Duration::from_millis(500),
        calls_max: 1,
        fraud_block: Duration::ZERO,
        trunk_notices: Default::default(),
        recording: None,
    }
}

fn trunk(password: Option<&str>) -> Trunk {
    Trunk {
        name: "carrier".to_owned(),
        targets: Vec::new(),
        credentials: password.map(|password| Credentials {
            username: "ringproof".to_owned(),
            password: Masked::new(password.to_owned()),
            realm: None,
        }),
        register: None,
        peers: Vec::new(),
        caller_id: Default::default(),
        caller_id_default: "+18005550199".to_owned(),
        presentation: Presentation::default(),
        cps: 1.0,
        calls_max: 1,
        dtmf: DtmfMode::Auto,
        learn: false,
        codecs: Vec::new(),
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

fn target(host: &str, port: u16) -> Target {
    Target {
        scheme: Scheme::Sip,
        host: host.to_owned(),
        port: Some(port),
        transport: None,
    }
}

async fn ask_of(target: Target, password: Option<&str>, patience: Duration) -> Probe {
    let listen = [(SipTransport::Udp, LOOPBACK)];
    let (sip, _requests) = SipNet::bind(SipNetConfig::plain(listen, 8, Arc::new(|_| true))).unwrap();
    let dns = ResolverConfig {
        transports: vec![SipTransport::Udp, SipTransport::Tcp],
        ..ResolverConfig::default()
    };
    let resolver = Resolver::new(dns, Entropy::from_number(2)).unwrap();
    let trunk = Trunk {
        targets: vec![target],
        ..trunk(password)
    };
    let entropy = Entropy::from_number(1);
    let mut probes = probe(&sip, &resolver, &config(), &trunk, patience, entropy).await;
    assert_eq!(probes.len(), 1, "{probes:?}");
    probes.remove(0)
}

/// A peer that answers each OPTIONS by `reply`, which sees how often it was asked.
async fn peer(
    reply: impl Fn(usize, &Request) -> (u16, Vec<(&'static str, String)>) + Send + 'static,
) -> Target {
    let socket = UdpSocket::bind(LOOPBACK).await.unwrap();
    let target = target("127.0.0.1", socket.local_addr().unwrap().port());
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        let mut asked = 0;
        loop {
            let (len, source) = socket.recv_from(&mut buffer).await.unwrap();
            let Ok(Message::Request(request)) = Message::parse(&buffer[..len]) else {
                continue;
            };
            let (status, fields) = reply(asked, &request);
            asked += 1;
            let mut response = Response::reply_to(&request, status, None).with_to_tag("peer");
            for (name, value) in fields {
                response.headers.push(name, value);
            }
            socket.send_to(&response.to_bytes(), source).await.unwrap();
        }
    });
    target
}

fn answer(probe: Probe) -> Answer {
    match probe.heard {
        Heard::Answered(answer) => answer,
        other => panic!("{other:?}"),
    }
}

fn challenge() -> Vec<(&'static str, String)> {
    let value = "Digest realm=\"carrier.example\", nonce=\"n\", qop=\"auth\", algorithm=MD5".to_owned();
    vec![("Proxy-Authenticate", value)]
}

#[tokio::test]
async fn an_answer_is_told_with_the_name_of_the_server() {
    let target = peer(|_, request| {
        assert_eq!(request.method, Method::Options);
        assert_eq!(
            request.headers.from().unwrap().uri.to_string(),
            "sip:+18005550199@127.0.0.1"
        );
        (200, vec![("Server", "edge/1".to_owned())])
    })
    .await;
    let answer = answer(ask_of(target, None, PATIENCE).await);
    assert_eq!((answer.status, answer.server.as_deref()), (200, Some("edge/1")));
    assert_eq!(answer.auth, Auth::NotAsked);
}

#[tokio::test]
async fn a_refusal_is_an_answer() {
    let target = peer(|_, _| (403, Vec::new())).await;
    let answer = answer(ask_of(target, None, PATIENCE).await);
    assert_eq!((answer.status, answer.reason.as_str()), (403, "Forbidden"));
}

#[tokio::test]
async fn a_challenge_shows_its_realm_and_tries_the_credentials() {
    let realm = || "carrier.example".to_owned();
    let with = |request: &Request| request.headers.contains("Proxy-Authorization");
    let accepts = move |_: usize, request: &Request| match with(request) {
        true => (200, Vec::new()),
        false => (407, challenge()),
    };
    let target = peer(accepts).await;
    let accepted = answer(ask_of(target.clone(), Some("right"), PATIENCE).await);
    assert_eq!(
        (accepted.status, accepted.auth),
        (200, Auth::Accepted { realm: realm() })
    );
    let bare = answer(ask_of(target, None, PATIENCE).await);
    assert_eq!(
        (bare.status, bare.auth),
        (407, Auth::NoCredentials { realm: realm() })
    );
    let refuses = peer(|_, _| (407, challenge())).await;
    let rejected = answer(ask_of(refuses, Some("wrong"), PATIENCE).await);
    assert_eq!(
        (rejected.status, rejected.auth),
        (407, Auth::Rejected { realm: realm() })
    );
}

#[tokio::test]
async fn a_closed_port_a_silent_one_and_a_name_of_nobody_are_told_apart() {
    let closed = UdpSocket::bind(LOOPBACK).await.unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let refused = ask_of(target("127.0.0.1", port), None, PATIENCE).await;
    assert_eq!(refused.heard, Heard::Refused);

    let silent = UdpSocket::bind(LOOPBACK).await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let patience = Duration::from_millis(50);
    let heard = ask_of(target("127.0.0.1", port), None, patience).await.heard;
    assert_eq!(heard, Heard::Silent(patience));

    let nobody = ask_of(target("nobody.invalid", 5060), None, PATIENCE).await;
    assert!(matches!(nobody.heard, Heard::NoAddress(_)), "{nobody:?}");
    // An IPv4 listener reaches no IPv6 address.
    let six = ask_of(target("::1", 5060), None, PATIENCE).await;
    assert!(matches!(six.heard, Heard::NoRoute(_)), "{six:?}");
}

#[tokio::test]
async fn a_port_that_takes_no_connection_is_told_in_words() {
    let closed = tokio::net::TcpListener::bind(LOOPBACK).await.unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let over_tcp = Target {
        transport: Some(SipTransport::Tcp),
        ..target("127.0.0.1", port)
    };
    let probe = ask_of(over_tcp, None, PATIENCE).await;
    assert!(
        matches!(&probe.heard, Heard::NoConnection(why) if why.contains("refused")),
        "{probe:?}"
    );
}

#[tokio::test]
async fn an_answer_over_tcp_is_heard() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = tokio::net::TcpListener::bind(LOOPBACK).await.unwrap();
    let over_tcp = Target {
        transport: Some(SipTransport::Tcp),
        ..target("127.0.0.1", server.local_addr().unwrap().port())
    };
    tokio::spawn(async move {
        let (mut stream, _) = server.accept().await.unwrap();
        let mut heard = Vec::new();
        while !heard.ends_with(b"\r\n\r\n") {
            stream.read_buf(&mut heard).await.unwrap();
        }
        let Ok(Message::Request(request)) = Message::parse(&heard) else {
            panic!("{}", String::from_utf8_lossy(&heard));
        };
        assert!(request.headers.get("Via").unwrap().starts_with("SIP/2.0/TCP "));
        let response = Response::reply_to(&request, 200, None).with_to_tag("peer");
        stream.write_all(&response.to_bytes()).await.unwrap();
        // Open until the other side has heard it.
        let _ = stream.read(&mut [0]).await;
    });
    let answer = answer(ask_of(over_tcp, None, PATIENCE).await);
    assert_eq!(answer.status, 200);
}
