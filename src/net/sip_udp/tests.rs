use std::net::Ipv4Addr;

use tokio::time::timeout;

use super::*;
use crate::net::sip_router::CALL_QUEUE_MAX;
use crate::sip::message::Method;

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// Nothing here waits for time to pass; this only ends a test that would hang.
const PATIENCE: Duration = Duration::from_secs(10);

struct Bench {
    sip: SipUdp,
    requests: mpsc::Receiver<Inbound>,
    peer: UdpSocket,
    local: SocketAddr,
}

async fn bench_with(is_peer: PeerCheck) -> Bench {
    let config = SipUdpConfig {
        bind: vec![LOOPBACK],
        routes_max: 8,
        is_peer,
    };
    let (sip, requests) = SipUdp::bind(config).unwrap();
    let local = sip.locals().next().unwrap();
    Bench {
        sip,
        requests,
        peer: UdpSocket::bind(LOOPBACK).await.unwrap(),
        local,
    }
}

async fn bench() -> Bench {
    bench_with(Arc::new(|_| true)).await
}

impl Bench {
    async fn says(&self, datagram: impl AsRef<[u8]>) {
        self.peer.send_to(datagram.as_ref(), self.local).await.unwrap();
    }

    /// Waits until everything sent so far has been looked at.
    async fn settle(&self, received: u64) {
        let looked_at = async {
            while self.sip.metrics().received < received {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, looked_at).await.unwrap();
    }

    async fn hears(&self) -> String {
        let mut buffer = [0; 4096];
        let received = timeout(PATIENCE, self.peer.recv_from(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        String::from_utf8(buffer[..received.0].to_vec()).unwrap()
    }
}

fn request(method: &str, call_id: &str) -> String {
    format!(
        "{method} sip:ringproof@127.0.0.1 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK{call_id}\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:trunk@127.0.0.1>;tag=1\r\n\
         To: <sip:ringproof@127.0.0.1>\r\n\
         Call-ID: {call_id}\r\n\
         CSeq: 1 {method}\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

fn response(call_id: &str) -> String {
    format!(
        "SIP/2.0 200 OK\r\n\
         Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK{call_id}\r\n\
         From: <sip:ringproof@127.0.0.1>;tag=1\r\n\
         To: <sip:trunk@127.0.0.1>;tag=2\r\n\
         Call-ID: {call_id}\r\n\
         CSeq: 1 INVITE\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

fn method_of(inbound: &Inbound) -> Option<&Method> {
    match &inbound.message {
        Message::Request(request) => Some(&request.method),
        Message::Response(_) => None,
    }
}

#[tokio::test]
async fn messages_find_their_call_by_call_id_and_the_rest_goes_out_of_call() {
    let mut bench = bench().await;
    let (guard_a, mut call_a) = bench.sip.register("a@ringproof").unwrap();
    let (_guard_b, mut call_b) = bench.sip.register("b@ringproof").unwrap();
    bench.says(response("b@ringproof")).await;
    bench.says(request("BYE", "a@ringproof")).await;
    bench.says(request("OPTIONS", "c@trunk")).await;
    bench.says(response("nobody@ringproof")).await;

    let to_b = timeout(PATIENCE, call_b.recv()).await.unwrap().unwrap();
    assert_eq!(method_of(&to_b), None);
    let to_a = timeout(PATIENCE, call_a.recv()).await.unwrap().unwrap();
    assert_eq!(method_of(&to_a), Some(&Method::Bye));
    assert_eq!(
        (to_a.source, to_a.local),
        (bench.peer.local_addr().unwrap(), bench.local)
    );
    let outside = timeout(PATIENCE, bench.requests.recv()).await.unwrap().unwrap();
    assert_eq!(method_of(&outside), Some(&Method::Options));
    bench.settle(4).await;
    let metrics = bench.sip.metrics();
    assert_eq!(
        (
            metrics.calls,
            metrics.routed,
            metrics.out_of_call,
            metrics.stray_responses
        ),
        (2, 2, 1, 1)
    );

    drop(guard_a);
    bench.says(request("BYE", "a@ringproof")).await;
    let outside = timeout(PATIENCE, bench.requests.recv()).await.unwrap().unwrap();
    assert_eq!(method_of(&outside), Some(&Method::Bye));
}

#[tokio::test]
async fn a_request_that_waited_outside_reaches_its_call_once_that_is_registered() {
    let mut bench = bench().await;
    bench.says(request("INVITE", "new@trunk")).await;
    bench.says(request("CANCEL", "new@trunk")).await;
    let invite = timeout(PATIENCE, bench.requests.recv()).await.unwrap().unwrap();
    let cancel = timeout(PATIENCE, bench.requests.recv()).await.unwrap().unwrap();
    assert_eq!(method_of(&invite), Some(&Method::Invite));
    let cancel = bench.sip.reroute(cancel).unwrap_err();
    let (_guard, mut call) = bench.sip.register("new@trunk").unwrap();
    bench.sip.reroute(cancel).unwrap();
    assert_eq!(method_of(&call.recv().await.unwrap()), Some(&Method::Cancel));
}

#[tokio::test]
async fn a_call_id_is_registered_once_and_only_so_many() {
    let bench = bench().await;
    let guards: Vec<_> = (0..8)
        .map(|n| bench.sip.register(&format!("{n}")).unwrap())
        .collect();
    assert_eq!(bench.sip.register("9").unwrap_err(), RegisterError::Full(8));
    drop(guards);
    let _guard = bench.sip.register("0").unwrap();
    assert_eq!(bench.sip.register("0").unwrap_err(), RegisterError::Taken);
}

#[tokio::test]
async fn a_full_call_queue_drops_and_counts_and_harms_no_other_call() {
    let bench = bench().await;
    let (_guard, mut slow) = bench.sip.register("slow").unwrap();
    let (_other, mut quick) = bench.sip.register("quick").unwrap();
    for _ in 0..CALL_QUEUE_MAX + 10 {
        bench.says(request("INFO", "slow")).await;
    }
    bench.says(request("INFO", "quick")).await;
    timeout(PATIENCE, quick.recv()).await.unwrap().unwrap();
    let metrics = bench.sip.metrics();
    assert_eq!(
        (metrics.routed, metrics.call_queue_dropped),
        (CALL_QUEUE_MAX as u64 + 1, 10)
    );
    assert!(slow.try_recv().is_ok());
}

#[tokio::test]
async fn keep_alives_and_noise_are_counted_and_never_answered() {
    let bench = bench().await;
    for noise in [
        &b""[..],
        b"\r\n\r\n",
        b"\0\0\0\0",
        b"GET / HTTP/1.1\r\n\r\n",
        &[0xff; 2000],
    ] {
        bench.says(noise).await;
    }
    bench.settle(5).await;
    let metrics = bench.sip.metrics();
    assert_eq!((metrics.keep_alives, metrics.unparsable, metrics.sent), (3, 2, 0));
}

#[tokio::test]
async fn only_a_known_peer_learns_what_was_wrong_with_its_request() {
    let broken = request("OPTIONS", "x")
        .replace("CSeq: 1 OPTIONS", "CSeq: 1 INVITE")
        .replace(";branch", ";rport;branch");
    let bench = bench().await;
    bench.says(&broken).await;
    let refusal = bench.hears().await;
    assert!(refusal.starts_with("SIP/2.0 400 "), "{refusal}");
    assert!(
        refusal.len() * 2 <= broken.len() * 3,
        "{} for {}",
        refusal.len(),
        broken.len()
    );
    bench.says(&broken).await;
    assert_eq!(
        bench.hears().await,
        refusal,
        "a retransmission gets the same answer"
    );

    let strangers = bench_with(Arc::new(|_| false)).await;
    strangers.says(&broken).await;
    strangers.settle(1).await;
    let metrics = strangers.sip.metrics();
    assert_eq!((metrics.unparsable, metrics.refused, metrics.sent), (1, 0, 0));
}

#[tokio::test]
async fn a_refusal_goes_to_the_port_in_via_unless_rport_asks_for_the_source() {
    let bench = bench().await;
    let behind_via = UdpSocket::bind(LOOPBACK).await.unwrap();
    let via_port = behind_via.local_addr().unwrap().port();
    let broken = request("OPTIONS", "x")
        .replace("CSeq: 1 OPTIONS", "CSeq: 1 INVITE")
        .replace("127.0.0.1:5060", &format!("127.0.0.1:{via_port}"));
    bench.says(&broken).await;
    let mut buffer = [0; 4096];
    let (len, _) = timeout(PATIENCE, behind_via.recv_from(&mut buffer))
        .await
        .unwrap()
        .unwrap();
    assert!(buffer[..len].starts_with(b"SIP/2.0 400 "));

    bench.says(broken.replace(";branch", ";rport;branch")).await;
    let refusal = bench.hears().await;
    let source_port = bench.peer.local_addr().unwrap().port();
    assert!(refusal.contains(&format!("rport={source_port}")), "{refusal}");
}

#[tokio::test]
async fn a_stranger_can_make_us_parse_only_so_much() {
    let bench = bench_with(Arc::new(|_| false)).await;
    for _ in 0..400 {
        bench.says(request("OPTIONS", "x")).await;
    }
    bench.settle(400).await;
    let metrics = bench.sip.metrics();
    assert!(metrics.strangers_limited >= 200, "{metrics:?}");
    assert_eq!(metrics.out_of_call + metrics.strangers_limited, 400);
}

#[tokio::test]
async fn octets_leave_from_the_listener_of_the_family_or_the_named_one() {
    let config = SipUdpConfig {
        bind: vec![LOOPBACK, LOOPBACK],
        routes_max: 8,
        is_peer: Arc::new(|_| true),
    };
    let (sip, _requests) = SipUdp::bind(config).unwrap();
    let locals: Vec<SocketAddr> = sip.locals().collect();
    let peer = UdpSocket::bind(LOOPBACK).await.unwrap();
    let to = peer.local_addr().unwrap();
    let mut buffer = [0; 16];
    sip.send(to, b"one").await.unwrap();
    let (len, source) = timeout(PATIENCE, peer.recv_from(&mut buffer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((&buffer[..len], source), (&b"one"[..], locals[0]));
    sip.send_from(locals[1], to, b"two").await.unwrap();
    let (len, source) = timeout(PATIENCE, peer.recv_from(&mut buffer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((&buffer[..len], source), (&b"two"[..], locals[1]));
    let error = sip.send("[::1]:5060".parse().unwrap(), b"x").await.unwrap_err();
    assert!(error.to_string().contains("IPv6"), "{error}");
}

#[tokio::test]
async fn a_wildcard_listener_names_the_address_that_the_target_sees() {
    let config = SipUdpConfig {
        bind: vec!["0.0.0.0:0".parse().unwrap()],
        routes_max: 8,
        is_peer: Arc::new(|_| true),
    };
    let (sip, _requests) = SipUdp::bind(config).unwrap();
    let local = sip.local_for("127.0.0.1:5080".parse().unwrap()).unwrap();
    assert_eq!(local.ip(), IpAddr::from(Ipv4Addr::LOCALHOST));
    assert_eq!(local.port(), sip.locals().next().unwrap().port());
    let bound = bench().await;
    assert_eq!(
        bound.sip.local_for("127.0.0.1:5080".parse().unwrap()).unwrap(),
        bound.local
    );
}

#[test]
fn there_are_far_more_routes_than_calls_within_a_bound() {
    for (calls, routes) in [
        (1, 4096),
        (64, 4096),
        (100, 6400),
        (5000, 65_536),
        (100_000, 100_000),
    ] {
        assert_eq!(routes_for(calls), routes, "{calls} calls");
    }
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let other = std::net::UdpSocket::bind(LOOPBACK).unwrap();
    let taken = other.local_addr().unwrap();
    let config = SipUdpConfig {
        bind: vec![taken],
        routes_max: 8,
        is_peer: Arc::new(|_| true),
    };
    let error = SipUdp::bind(config).unwrap_err();
    assert!(error.to_string().contains(&taken.to_string()), "{error}");
    let none = SipUdpConfig {
        bind: Vec::new(),
        routes_max: 8,
        is_peer: Arc::new(|_| true),
    };
    assert!(matches!(SipUdp::bind(none), Err(BindError::NoAddress)));
}
