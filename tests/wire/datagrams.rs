//! Bad SIP on the server's socket: what a trunk peer is answered, and that a stranger hears nothing.
//!
//! No test waits for silence: a good OPTIONS follows each datagram, and the socket answers in order, so what the bad
//! one was answered, if anything, has come before the answer to that.
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use tokio::net::UdpSocket;

use super::house::House;
use super::line::text;

/// A request as it should be; the table tears it.
const GOOD: &str = "OPTIONS sip:ping@127.0.0.1 SIP/2.0\r\n\
    Via: SIP/2.0/UDP 127.0.0.1:5999;branch=z9hG4bK-torn;rport\r\n\
    Max-Forwards: 70\r\n\
    From: <sip:carrier@127.0.0.1>;tag=torn-from\r\n\
    To: <sip:ping@127.0.0.1>\r\n\
    Call-ID: torn-call\r\n\
    CSeq: 7 OPTIONS\r\n\
    Contact: <sip:carrier@127.0.0.1:5999>\r\n\
    Content-Length: 0\r\n\r\n";

fn torn(from: &str, to: &str) -> Vec<u8> {
    assert!(GOOD.contains(from), "{from:?}");
    GOOD.replace(from, to).into_bytes()
}

fn method(name: &str) -> Vec<u8> {
    GOOD.replace("OPTIONS", name).into_bytes()
}

/// Datagram → the status that a trunk peer gets; `None` is silence.
fn table() -> Vec<(&'static str, Vec<u8>, Option<u16>)> {
    let many = "X-Filler: x\r\n".repeat(130);
    let long = format!("X-Filler: {}\r\n", "x".repeat(8300));
    let body = format!("Content-Length: 20000\r\n\r\n{}", "x".repeat(20_000));
    let call_length = |value: &str| torn("Content-Length: 0", &format!("Content-Length: {value}"));
    vec![
        // No SIP at all.
        ("noise", vec![0x80, 0xff, 0x00, 0x17, 0x99, 0xfe, 0xdc], None),
        (
            "STUN",
            [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat(),
            None,
        ),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: example\r\n\r\n".to_vec(), None),
        ("keep-alive", b"\r\n\r\n".to_vec(), None),
        (
            "only a request line",
            b"OPTIONS sip:a@b SIP/2.0\r\n\r\n".to_vec(),
            None,
        ),
        // Without the fields that lead a response back there is none.
        (
            "no Via",
            torn(
                "Via: SIP/2.0/UDP 127.0.0.1:5999;branch=z9hG4bK-torn;rport\r\n",
                "",
            ),
            None,
        ),
        (
            "no From",
            torn("From: <sip:carrier@127.0.0.1>;tag=torn-from\r\n", ""),
            None,
        ),
        ("no To", torn("To: <sip:ping@127.0.0.1>\r\n", ""), None),
        ("no Call-ID", torn("Call-ID: torn-call\r\n", ""), None),
        ("no CSeq", torn("CSeq: 7 OPTIONS\r\n", ""), None),
        (
            "a torn ACK",
            GOOD.replace("OPTIONS", "ACK")
                .replace("CSeq: 7", "CSeq: x")
                .into_bytes(),
            None,
        ),
        (
            "a response to nothing",
            torn("OPTIONS sip:ping@127.0.0.1 SIP/2.0", "SIP/2.0 200 OK"),
            None,
        ),
        (
            // A response is never answered, least of all one that nobody can match.
            "a response with a torn CSeq",
            GOOD.replace("OPTIONS sip:ping@127.0.0.1 SIP/2.0", "SIP/2.0 200 OK")
                .replace("CSeq: 7", "CSeq: x")
                .into_bytes(),
            None,
        ),
        // Refused, as far as it can be read.
        (
            "another version",
            torn("127.0.0.1 SIP/2.0\r\nVia", "127.0.0.1 SIP/3.0\r\nVia"),
            Some(505),
        ),
        (
            "a space in the Request-URI",
            torn("sip:ping@127.0.0.1 SIP", "sip:ping pong@127.0.0.1 SIP"),
            Some(400),
        ),
        (
            "another scheme",
            torn("sip:ping@127.0.0.1 SIP", "mailto:ping@127.0.0.1 SIP"),
            Some(416),
        ),
        (
            "CSeq of another method",
            torn("CSeq: 7 OPTIONS", "CSeq: 7 INVITE"),
            Some(400),
        ),
        ("CSeq without a number", torn("CSeq: 7", "CSeq: seven"), Some(400)),
        ("CSeq too large", torn("CSeq: 7", "CSeq: 4294967296"), Some(400)),
        (
            "two Call-IDs",
            torn(
                "Call-ID: torn-call\r\n",
                "Call-ID: torn-call\r\nCall-ID: other\r\n",
            ),
            Some(400),
        ),
        ("two From", torn("To:", "From: <sip:b@c>;tag=2\r\nTo:"), Some(400)),
        (
            "a torn From",
            torn("<sip:carrier@127.0.0.1>;tag", "\"<sip:carrier@127.0.0.1>;tag"),
            Some(400),
        ),
        (
            "a torn To",
            torn("To: <sip:ping@127.0.0.1>", "To: <sip:ping@127.0.0.1"),
            Some(400),
        ),
        (
            "a torn Via",
            torn(
                "Via: SIP/2.0/UDP 127.0.0.1:5999",
                "Via: SIP/2.0/UDP 127.0.0.1:fish",
            ),
            Some(400),
        ),
        (
            "too many hops",
            torn("Max-Forwards: 70", "Max-Forwards: 256"),
            Some(400),
        ),
        (
            "hops in words",
            torn("Max-Forwards: 70", "Max-Forwards: many"),
            Some(400),
        ),
        ("Content-Length beyond the datagram", call_length("99"), Some(400)),
        ("Content-Length negative", call_length("-1"), Some(400)),
        ("Content-Length in words", call_length("none"), Some(400)),
        ("a field without colon", torn("Contact:", "Contact"), Some(400)),
        (
            "too many fields",
            torn("Contact:", &format!("{many}Contact:")),
            Some(513),
        ),
        (
            "a field too long",
            torn("Contact:", &format!("{long}Contact:")),
            Some(513),
        ),
        (
            "a body too long",
            torn("Content-Length: 0\r\n\r\n", &body),
            Some(413),
        ),
        // Good messages that belong to no call.
        ("an unwanted INVITE", method("INVITE"), Some(603)),
        ("BYE for no dialog", method("BYE"), Some(481)),
        ("CANCEL for no INVITE", method("CANCEL"), Some(481)),
        ("INFO in no dialog", method("INFO"), Some(405)),
        ("REFER", method("REFER"), Some(405)),
        ("REGISTER", method("REGISTER"), Some(405)),
        ("a method that nobody knows", method("DANCE"), Some(501)),
        (
            "a re-INVITE of a dead dialog",
            torn("To: <sip:ping@127.0.0.1>", "To: <sip:ping@127.0.0.1>;tag=gone"),
            Some(481),
        ),
        (
            "an extension that we lack",
            torn("Contact:", "Require: teleport\r\nContact:"),
            Some(420),
        ),
        ("an ACK for nothing", method("ACK"), None),
        ("OPTIONS", GOOD.as_bytes().to_vec(), Some(200)),
    ]
}

struct Peer {
    socket: UdpSocket,
    server: SocketAddr,
    asked: u32,
}

impl Peer {
    async fn at(ip: [u8; 4], server: SocketAddr) -> Self {
        Self {
            socket: UdpSocket::bind(SocketAddr::from((ip, 0))).await.unwrap(),
            server,
            asked: 0,
        }
    }

    async fn send(&self, datagram: &[u8]) {
        self.socket.send_to(datagram, self.server).await.unwrap();
    }

    /// What came before the answer to an OPTIONS sent now.
    async fn before_the_next_answer(&mut self) -> Vec<Vec<u8>> {
        self.asked += 1;
        let call_id = format!("sentinel-{}", self.asked);
        let sentinel = GOOD
            .replace("torn-call", &call_id)
            .replace("z9hG4bK-torn", &format!("z9hG4bK-{call_id}"));
        self.send(sentinel.as_bytes()).await;
        let mut before = Vec::new();
        loop {
            let mut buffer = vec![0; 65_536];
            let read = self.socket.recv_from(&mut buffer);
            let (len, from) = tokio::time::timeout(Duration::from_secs(20), read)
                .await
                .expect("the server stopped answering")
                .unwrap();
            assert_eq!(from, self.server);
            buffer.truncate(len);
            if String::from_utf8_lossy(&buffer).contains(&call_id) {
                return before;
            }
            before.push(buffer);
        }
    }
}

fn status_of(datagram: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(datagram).ok()?;
    text.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_gets_the_exact_answer_and_a_stranger_none() {
    let house = House::start().await;
    let (_, server) = house.app.sip[0];
    let mut trunk = Peer::at([127, 0, 0, 1], server).await;
    let stranger = Peer::at([127, 0, 0, 2], server).await;
    let table = table();
    assert!(table.len() >= 40, "{}", table.len());
    let mut faults = Vec::new();
    for (name, datagram, expected) in &table {
        trunk.send(datagram).await;
        let answers = trunk.before_the_next_answer().await;
        let statuses: Vec<Option<u16>> = answers.iter().map(|a| status_of(a)).collect();
        let expected: Vec<Option<u16>> = expected.iter().map(|status| Some(*status)).collect();
        if statuses != expected {
            faults.push(format!("{name}: expected {expected:?}, came {statuses:?}"));
        }
        for answer in answers {
            // SAFETY 5: no amplification.
            if answer.len() * 2 > datagram.len() * 3 {
                faults.push(format!("{name}: {} octets for {}", answer.len(), datagram.len()));
            }
        }
        stranger.send(datagram).await;
        let answers = trunk.before_the_next_answer().await;
        if !answers.is_empty() {
            faults.push(format!(
                "{name}: the stranger's message was answered to the trunk"
            ));
        }
        let mut buffer = [0; 2048];
        if let Ok((len, _)) = stranger.socket.try_recv_from(&mut buffer) {
            let answer = String::from_utf8_lossy(&buffer[..len]).into_owned();
            faults.push(format!("{name}: the stranger was answered {answer}"));
        }
    }
    assert_eq!(faults, Vec::<String>::new());
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_messages_do_not_touch_a_live_call() {
    let house = House::start().await;
    let to = "+15005559201";
    let press = json!({"press": {"digits": "#"}});
    house
        .carrier
        .callee(to, json!(["ring", "answer", "wait_until_told", press]))
        .await;
    let created = house
        .http
        .create(&json!({"to": to, "callback_url": house.hooks.url}))
        .await;
    let id = text(&created["id"]);
    let live = house.http.stage(id, "prompting").await;
    let call_id = text(&live["attempts"][0]["call_id"]).to_owned();
    let call = house.carrier.wait(to, "answered").await;
    let invite = text(&call["messages"][0]["text"]).to_owned();
    let field = |name: &str| {
        let line = invite.lines().find_map(|l| l.strip_prefix(name));
        line.unwrap_or_default().trim().to_owned()
    };
    let (via, from) = (field("Via:"), field("From:"));
    let (_, server) = house.app.sip[0];
    let mut trunk = Peer::at([127, 0, 0, 1], server).await;
    let stranger = Peer::at([127, 0, 0, 2], server).await;
    let forged = |line: &str, via: &str, from: &str, to: &str, cseq: &str| {
        format!(
            "{line}\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\n\
             CSeq: {cseq}\r\nContent-Length: 0\r\n\r\n"
        )
    };
    let their_via = "SIP/2.0/UDP 127.0.0.1:5999;branch=z9hG4bK-forged;rport";
    let callee = "<sip:+15005559201@127.0.0.1>";
    let forgeries = [
        forged(
            "BYE sip:x@127.0.0.1 SIP/2.0",
            their_via,
            &format!("{callee};tag=guess"),
            &from,
            "1 BYE",
        ),
        forged(
            "BYE sip:x@127.0.0.1 SIP/2.0",
            their_via,
            &format!("{callee};tag=guess"),
            "<sip:us@127.0.0.1>;tag=guess",
            "9 BYE",
        ),
        forged("CANCEL sip:x@127.0.0.1 SIP/2.0", &via, &from, callee, "1 CANCEL"),
        forged(
            "SIP/2.0 486 Busy Here",
            "SIP/2.0/UDP 127.0.0.1:5999;branch=z9hG4bK-guess",
            &from,
            &format!("{callee};tag=guess"),
            "1 INVITE",
        ),
        forged(
            "SIP/2.0 603 Decline",
            &via,
            &from,
            &format!("{callee};tag=guess"),
            "1 INVITE",
        ),
        forged(
            "INFO sip:x@127.0.0.1 SIP/2.0",
            their_via,
            &format!("{callee};tag=guess"),
            &from,
            "3 INFO",
        ),
    ];
    for forgery in &forgeries {
        // The trunk's address is right, everything that only the callee knows is guessed.
        trunk.send(forgery.as_bytes()).await;
        stranger.send(forgery.as_bytes()).await;
    }
    for answer in trunk.before_the_next_answer().await {
        let status = status_of(&answer);
        assert!(
            status.is_some_and(|s| s >= 400),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
    let mut buffer = [0; 2048];
    assert!(stranger.socket.try_recv_from(&mut buffer).is_err());
    let ended = house.http.ended(id).await;
    assert_eq!(ended["reason"], "key_confirmed", "{ended}");
    assert_eq!(house.carrier.calls_to(to).await.len(), 1);
    house.stop().await;
}
