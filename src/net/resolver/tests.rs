//! Against a name server of our own on a loopback socket.
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, NAPTR, SRV};
use hickory_resolver::proto::rr::{RData, Record};
use tokio::net::UdpSocket;

use super::*;
use crate::sip::locate::Scheme;

/// Answers from a fixed list of records; NXDOMAIN for a name that it has nothing of.
struct Server {
    address: SocketAddr,
    silent: Arc<AtomicBool>,
    asked: Arc<AtomicU32>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start(records: Vec<Record>) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let (silent, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let (is_silent, count) = (Arc::clone(&silent), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
                count.fetch_add(1, Ordering::SeqCst);
                if is_silent.load(Ordering::SeqCst) {
                    continue;
                }
                let query = Message::from_vec(&buffer[..len]).unwrap();
                let answer = answer_to(&query, &records).to_vec().unwrap();
                socket.send_to(&answer, from).await.unwrap();
            }
        });
        Self {
            address,
            silent,
            asked,
            task,
        }
    }

    fn resolver(&self) -> Resolver {
        let config = ResolverConfig {
            servers: vec![self.address],
            families: Families::V4Only,
            transports: vec![SipTransport::Udp, SipTransport::Tcp],
        };
        Resolver::new(config, Entropy::from_number(1)).unwrap()
    }

    fn be_silent(&self) {
        self.silent.store(true, Ordering::SeqCst);
    }

    fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn answer_to(query: &Message, records: &[Record]) -> Message {
    let question = query.queries.first().unwrap().clone();
    let mut message = Message::response(query.metadata.id, OpCode::Query);
    let named = |record: &&Record| record.name == *question.name();
    if !records.iter().any(|record| named(&record)) {
        message.metadata.response_code = ResponseCode::NXDomain;
    }
    let fits = records
        .iter()
        .filter(named)
        .filter(|record| record.record_type() == question.query_type());
    message.add_answers(fits.cloned());
    message.add_query(question);
    message
}

fn name(text: &str) -> Name {
    let mut name = Name::from_utf8(text).unwrap();
    name.set_fqdn(true);
    name
}

fn a(host: &str, ttl: u32, ip: [u8; 4]) -> Record {
    Record::from_rdata(name(host), ttl, RData::A(A::from(Ipv4Addr::from(ip))))
}

fn srv_record(host: &str, ttl: u32, (priority, weight, port): (u16, u16, u16), target: &str) -> Record {
    Record::from_rdata(
        name(host),
        ttl,
        RData::SRV(SRV::new(priority, weight, port, name(target))),
    )
}

fn naptr_record(host: &str, preference: u16, service: &str, replacement: &str) -> Record {
    let octets = |text: &str| text.as_bytes().to_vec().into_boxed_slice();
    let data = NAPTR::new(
        10,
        preference,
        octets("s"),
        octets(service),
        octets(""),
        name(replacement),
    );
    Record::from_rdata(name(host), 300, RData::NAPTR(data))
}

fn target(host: &str, port: Option<u16>) -> Target {
    Target {
        scheme: Scheme::Sip,
        host: host.to_owned(),
        port,
        transport: None,
    }
}

async fn found(resolver: &Resolver, host: &str, port: Option<u16>) -> Vec<String> {
    let destinations = resolver.locate(&target(host, port)).await.unwrap();
    destinations
        .iter()
        .map(|d| format!("{:?} {}", d.transport, d.address))
        .collect()
}

#[tokio::test]
async fn naptr_srv_and_addresses_are_followed_and_remembered() {
    let server = Server::start(vec![
        naptr_record("carrier.example", 10, "SIP+D2T", "_sip._tcp.carrier.example"),
        naptr_record("carrier.example", 20, "SIP+D2U", "_sip._udp.carrier.example"),
        srv_record(
            "_sip._tcp.carrier.example",
            300,
            (1, 0, 5070),
            "one.carrier.example",
        ),
        srv_record(
            "_sip._udp.carrier.example",
            300,
            (2, 0, 5060),
            "two.carrier.example",
        ),
        srv_record(
            "_sip._udp.carrier.example",
            300,
            (1, 0, 5080),
            "one.carrier.example",
        ),
        a("one.carrier.example", 300, [127, 0, 0, 11]),
        a("two.carrier.example", 300, [127, 0, 0, 12]),
    ])
    .await;
    let resolver = server.resolver();
    let expected = [
        "Tcp 127.0.0.11:5070",
        "Udp 127.0.0.11:5080",
        "Udp 127.0.0.12:5060",
    ];
    assert_eq!(found(&resolver, "carrier.example", None).await, expected);
    let asked = server.asked();
    assert_eq!(found(&resolver, "carrier.example", None).await, expected);
    assert_eq!(server.asked(), asked, "all of it is remembered");
    assert!(resolver.has_seen("127.0.0.12".parse().unwrap()));
    assert!(!resolver.has_seen("127.0.0.13".parse().unwrap()));
    // After a reload another trunk is the only one; what is located late for the old one makes it no peer again.
    resolver.keep_only(["Other.example"]);
    assert_eq!(found(&resolver, "carrier.example", None).await, expected);
    assert!(!resolver.has_seen("127.0.0.12".parse().unwrap()));
    resolver.keep_only(["other.example", "CARRIER.example"]);
    assert!(resolver.has_seen("127.0.0.12".parse().unwrap()));
}

#[tokio::test]
async fn weights_share_the_calls() {
    let server = Server::start(vec![
        srv_record("_sip._udp.w.example", 300, (1, 90, 5060), "a.w.example"),
        srv_record("_sip._udp.w.example", 300, (1, 10, 5060), "b.w.example"),
        a("a.w.example", 300, [127, 0, 0, 21]),
        a("b.w.example", 300, [127, 0, 0, 22]),
    ])
    .await;
    let resolver = server.resolver();
    let mut first = 0;
    for _ in 0..400 {
        let order = found(&resolver, "w.example", None).await;
        assert_eq!(order.len(), 2);
        first += u32::from(order[0] == "Udp 127.0.0.21:5060");
    }
    assert!((320..396).contains(&first), "{first}");
}

#[tokio::test]
async fn an_answer_that_has_lived_its_time_is_asked_for_again_and_serves_when_dns_is_silent() {
    let server = Server::start(vec![a("short.example", 0, [127, 0, 0, 31])]).await;
    let resolver = server.resolver();
    let expected = ["Udp 127.0.0.31:5060"];
    assert_eq!(found(&resolver, "short.example", Some(5060)).await, expected);
    let asked = server.asked();
    assert_eq!(found(&resolver, "short.example", Some(5060)).await, expected);
    assert!(server.asked() > asked, "a lifetime of 0 is over at once");
    server.be_silent();
    let before = Instant::now();
    assert_eq!(found(&resolver, "short.example", Some(5060)).await, expected);
    assert!(before.elapsed() <= LOCATE_MAX + Duration::from_secs(1));
    // DNS is left alone for a moment: the next call does not wait.
    let asked = server.asked();
    assert_eq!(found(&resolver, "short.example", Some(5060)).await, expected);
    assert_eq!(server.asked(), asked);
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_named_and_silence_ends_in_time() {
    let server = Server::start(vec![a("here.example", 300, [127, 0, 0, 41])]).await;
    let resolver = server.resolver();
    let error = resolver.locate(&target("gone.example", None)).await.unwrap_err();
    assert!(error.to_string().contains("gone.example"), "{error}");
    let asked = server.asked();
    assert!(resolver.locate(&target("gone.example", None)).await.is_err());
    assert_eq!(server.asked(), asked, "that there are none is remembered");
    server.be_silent();
    let before = Instant::now();
    let error = resolver.locate(&target("other.example", None)).await.unwrap_err();
    assert!(error.to_string().contains("other.example"), "{error}");
    assert!(before.elapsed() <= LOCATE_MAX + Duration::from_secs(1));
}

#[tokio::test]
async fn addresses_and_local_names_need_no_name_server() {
    let config = ResolverConfig {
        servers: vec!["127.0.0.1:9".parse().unwrap()],
        ..ResolverConfig::default()
    };
    let resolver = Resolver::new(config, Entropy::from_number(1)).unwrap();
    assert_eq!(
        found(&resolver, "2001:db8::1", None).await,
        ["Udp [2001:db8::1]:5060"]
    );
    let local = found(&resolver, "localhost", None).await;
    assert_eq!(local.first().map(String::as_str), Some("Udp 127.0.0.1:5060"));
}
