use std::net::{IpAddr, Ipv4Addr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::*;
use crate::net::sip_net::{Flow, Inbound, PeerCheck, SipNet, SipNetConfig};
use crate::sip::message::{Message, Method, Response};

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// Nothing here waits for time to pass unless the clock is virtual; this only ends a test that would hang.
const PATIENCE: Duration = Duration::from_secs(10);

struct Bench {
    sip: SipNet,
    requests: mpsc::Receiver<Inbound>,
    local: SocketAddr,
}

fn bench_with(is_peer: bool, limits: StreamLimits) -> Bench {
    let check: PeerCheck = Arc::new(move |_| is_peer);
    let mut config = SipNetConfig::plain([(SipTransport::Tcp, LOOPBACK)], 8, check);
    config.limits = limits;
    let (sip, requests) = SipNet::bind(config).unwrap();
    let local = sip.local_of(SipTransport::Tcp).unwrap();
    Bench { sip, requests, local }
}

fn bench(is_peer: bool) -> Bench {
    bench_with(is_peer, StreamLimits::default())
}

impl Bench {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.local).await.unwrap()
    }

    async fn request(&mut self) -> Inbound {
        timeout(PATIENCE, self.requests.recv()).await.unwrap().unwrap()
    }
}

fn options(call_id: &str) -> String {
    format!(
        "OPTIONS sip:ringproof@127.0.0.1 SIP/2.0\r\n\
         Via: SIP/2.0/TCP 127.0.0.1:5060;branch=z9hG4bK{call_id};rport\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:trunk@127.0.0.1>;tag=1\r\n\
         To: <sip:ringproof@127.0.0.1>\r\n\
         Call-ID: {call_id}\r\n\
         CSeq: 1 OPTIONS\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// Everything that came until the other side closed.
async fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut heard = Vec::new();
    // A reset is an end too: unread octets make one.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut heard)).await.unwrap();
    heard
}

async fn hears(stream: &mut TcpStream, wanted: &[u8]) {
    let mut heard = vec![0; wanted.len()];
    timeout(PATIENCE, stream.read_exact(&mut heard))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(heard, wanted);
}

fn tcp(address: SocketAddr) -> Destination {
    Destination {
        transport: SipTransport::Tcp,
        address,
        host: address.ip().to_string(),
    }
}

#[tokio::test]
async fn messages_are_cut_wherever_the_segments_end_and_answered_on_their_connection() {
    let mut bench = bench(true);
    let mut peer = bench.connect().await;
    let two = options("a") + &options("b");
    for piece in two.as_bytes().chunks(7) {
        peer.write_all(piece).await.unwrap();
    }
    for wanted in ["a", "b"] {
        let inbound = bench.request().await;
        assert_eq!(inbound.message.headers().call_id(), Ok(wanted));
        assert_eq!(inbound.source, peer.local_addr().unwrap());
        assert_eq!(inbound.flow.transport(), SipTransport::Tcp);
        let Message::Request(request) = &inbound.message else {
            panic!("{:?}", inbound.message)
        };
        assert_eq!(request.method, Method::Options);
        let answer = bench
            .sip
            .answer(&inbound.flow, inbound.local, inbound.source, wanted.as_bytes());
        answer.await.unwrap();
        hears(&mut peer, wanted.as_bytes()).await;
    }
}

#[tokio::test]
async fn a_ping_is_answered_by_a_pong_to_a_peer_only() {
    let bench = bench(true);
    let mut peer = bench.connect().await;
    peer.write_all(b"\r\n\r\n").await.unwrap();
    hears(&mut peer, b"\r\n").await;
    let strict = self::bench(false);
    let mut stranger = strict.connect().await;
    stranger
        .write_all(b"\r\n\r\nGET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(until_closed(&mut stranger).await, b"");
}

#[tokio::test]
async fn a_peer_hears_why_its_request_cannot_be_read_and_a_stranger_does_not() {
    let torn = options("torn").replace("Content-Length: 0\r\n", "");
    let large = options("large").replace("Content-Length: 0", "Content-Length: 20000");
    let long = options("long").replace(
        "Max-Forwards",
        &format!("X: {}\r\nMax-Forwards", "x".repeat(9000)),
    );
    for (text, status) in [(&torn, "400"), (&large, "413"), (&long, "513")] {
        let bench = bench(true);
        let mut peer = bench.connect().await;
        peer.write_all(text.as_bytes()).await.unwrap();
        let heard = String::from_utf8(until_closed(&mut peer).await).unwrap();
        assert!(heard.starts_with(&format!("SIP/2.0 {status} ")), "{heard}");
        let strict = self::bench(false);
        let mut stranger = strict.connect().await;
        stranger.write_all(text.as_bytes()).await.unwrap();
        assert_eq!(until_closed(&mut stranger).await, b"", "{status}");
        assert_eq!(strict.sip.stream_metrics().garbage, 1);
    }
}

#[tokio::test]
async fn a_bad_field_is_refused_and_the_connection_goes_on() {
    let mut bench = bench(true);
    let mut peer = bench.connect().await;
    let bad = options("bad").replace("CSeq: 1 OPTIONS", "CSeq: x OPTIONS");
    peer.write_all(bad.as_bytes()).await.unwrap();
    hears(&mut peer, b"SIP/2.0 400 ").await;
    peer.write_all(options("good").as_bytes()).await.unwrap();
    assert_eq!(bench.request().await.message.headers().call_id(), Ok("good"));
}

fn soon() -> StreamLimits {
    StreamLimits {
        half_open: Duration::from_millis(200),
        keep_alive: Some(Duration::from_millis(50)),
        ..StreamLimits::default()
    }
}

#[test]
fn a_message_has_32_seconds() {
    assert_eq!(StreamLimits::default().half_open, Duration::from_secs(32));
}

#[tokio::test]
async fn a_message_that_drips_is_cut_off_when_its_time_is_over() {
    let bench = bench_with(true, soon());
    let mut peer = bench.connect().await;
    let began = std::time::Instant::now();
    peer.write_all(b"OPTIONS sip:ringproof@127.0.0.1 SIP/2.0\r\nX: ")
        .await
        .unwrap();
    // Each octet more gains no time.
    while peer.write_all(b"x").await.is_ok() && bench.sip.stream_metrics().slow_writers == 0 {
        let pause = timeout(Duration::from_millis(5), peer.readable());
        let _ = pause.await;
    }
    assert!(began.elapsed() >= soon().half_open, "{:?}", began.elapsed());
    let metrics = bench.sip.stream_metrics();
    assert_eq!((metrics.slow_writers, metrics.open), (1, 0));
}

#[tokio::test]
async fn a_stranger_that_says_nothing_is_cut_off_and_a_peer_may_be_quiet() {
    let open = bench_with(true, soon());
    let mut peer = open.connect().await;
    let strict = bench_with(false, soon());
    let mut stranger = strict.connect().await;
    assert_eq!(until_closed(&mut stranger).await, b"");
    assert_eq!(strict.sip.stream_metrics().slow_writers, 1);
    peer.write_all(b"\r\n\r\n").await.unwrap();
    hears(&mut peer, b"\r\n").await;
}

#[tokio::test]
async fn strangers_have_few_places_and_leave_room_for_peers() {
    let limits = StreamLimits {
        connections_max: 6,
        per_source_max: 2,
        keep_alive: None,
        ..StreamLimits::default()
    };
    let strict = bench_with(false, limits);
    let _first = strict.connect().await;
    let _second = strict.connect().await;
    let mut third = strict.connect().await;
    assert_eq!(until_closed(&mut third).await, b"");
    let metrics = strict.sip.stream_metrics();
    assert_eq!((metrics.turned_away, metrics.open), (1, 2));
    let peers = bench_with(true, limits);
    let mut kept = Vec::new();
    for _ in 0..6 {
        kept.push(peers.connect().await);
    }
    let mut seventh = peers.connect().await;
    assert_eq!(until_closed(&mut seventh).await, b"");
}

#[tokio::test]
async fn calls_share_one_connection_and_hear_of_its_end() {
    let bench = bench(true);
    let server = TcpListener::bind(LOOPBACK).await.unwrap();
    let to = tcp(server.local_addr().unwrap());
    let sends = (0..20).map(|_| bench.sip.send(&to, None, b"x"));
    let connections: Vec<Connection> = futures_util::future::join_all(sends)
        .await
        .into_iter()
        .map(|sent| sent.unwrap().unwrap())
        .collect();
    let (mut accepted, _) = server.accept().await.unwrap();
    hears(&mut accepted, &[b'x'; 20]).await;
    assert_eq!(bench.sip.stream_metrics().connected, 1);
    drop(accepted);
    for connection in &connections {
        timeout(PATIENCE, connection.lost()).await.unwrap();
        assert!(!connection.is_open());
    }
    let again = bench.sip.send(&to, None, b"y").await.unwrap().unwrap();
    let (mut accepted, _) = server.accept().await.unwrap();
    hears(&mut accepted, b"y").await;
    assert!(again.is_open());
}

#[tokio::test]
async fn a_refused_connection_is_told_to_all_who_wait_for_it() {
    let bench = bench(true);
    let gone = TcpListener::bind(LOOPBACK).await.unwrap().local_addr().unwrap();
    let to = tcp(gone);
    let sends = (0..5).map(|_| bench.sip.send(&to, None, b"x"));
    for sent in futures_util::future::join_all(sends).await {
        assert_eq!(sent.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}

#[tokio::test]
async fn an_idle_connection_of_ours_is_pinged() {
    let bench = bench_with(true, soon());
    let server = TcpListener::bind(LOOPBACK).await.unwrap();
    let sent = bench
        .sip
        .send(&tcp(server.local_addr().unwrap()), None, b"x")
        .await;
    let (mut accepted, _) = server.accept().await.unwrap();
    let mut heard = [0; 9];
    timeout(PATIENCE, accepted.read_exact(&mut heard))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&heard, b"x\r\n\r\n\r\n\r\n");
    assert!(sent.unwrap().unwrap().is_open());
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_cut_off() {
    let bench = bench(true);
    let server = TcpListener::bind(LOOPBACK).await.unwrap();
    let to = tcp(server.local_addr().unwrap());
    let first = bench.sip.send(&to, None, b"x").await.unwrap().unwrap();
    let (_accepted, _) = server.accept().await.unwrap();
    let block = vec![b'x'; 60_000];
    let refused = loop {
        if let Err(error) = bench.sip.send_on(&first, &block) {
            break error;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(refused.kind(), io::ErrorKind::TimedOut, "{refused}");
    timeout(PATIENCE, first.lost()).await.unwrap();
    assert_eq!(bench.sip.stream_metrics().slow_readers, 1);
}

/// Whoever answers requests outside calls does so one after the other.
#[tokio::test]
async fn an_answer_that_needs_a_new_connection_holds_nobody_up() {
    let mut bench = bench(true);
    // Its queue is full: a connection there is neither taken nor refused.
    let deaf = TcpSocket::new_v4().unwrap();
    deaf.bind(LOOPBACK).unwrap();
    let deaf = deaf.listen(0).unwrap();
    let address = deaf.local_addr().unwrap();
    let _first = TcpStream::connect(address).await.unwrap();
    let mut peer = bench.connect().await;
    let options = options("a").replace(":5060;", &format!(":{};", address.port()));
    peer.write_all(options.as_bytes()).await.unwrap();
    let inbound = bench.request().await;
    let (Message::Request(request), Flow::Stream(connection)) = (&inbound.message, &inbound.flow) else {
        panic!("{inbound:?}")
    };
    drop(peer);
    timeout(PATIENCE, connection.lost()).await.unwrap();
    let answer = Response::reply_to(request, 200, None).to_bytes();
    let returned = bench
        .sip
        .answer(&inbound.flow, inbound.local, inbound.source, &answer);
    let at_once = timeout(CONNECT_MAX / 2, returned).await;
    assert!(matches!(at_once, Ok(Ok(()))), "{at_once:?}");
}

#[tokio::test]
async fn an_answer_whose_connection_has_ended_goes_to_the_port_of_its_via() {
    let mut bench = bench(true);
    let listens = TcpListener::bind(LOOPBACK).await.unwrap();
    let mut peer = bench.connect().await;
    let port = listens.local_addr().unwrap().port();
    let options = options("a").replace(":5060;", &format!(":{port};"));
    peer.write_all(options.as_bytes()).await.unwrap();
    let inbound = bench.request().await;
    let (Message::Request(request), Flow::Stream(connection)) = (&inbound.message, &inbound.flow) else {
        panic!("{inbound:?}")
    };
    drop(peer);
    timeout(PATIENCE, connection.lost()).await.unwrap();
    let answer = Response::reply_to(request, 200, None).to_bytes();
    let returned = bench
        .sip
        .answer(&inbound.flow, inbound.local, inbound.source, &answer);
    returned.await.unwrap();
    let (mut again, _) = timeout(PATIENCE, listens.accept()).await.unwrap().unwrap();
    hears(&mut again, &answer).await;
}
