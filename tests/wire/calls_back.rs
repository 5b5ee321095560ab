//! Somebody calls the number back, over the wire: a caller of our own making, with its RTP socket.
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::house::House;

/// The sentence takes nine seconds; this only ends a test that would hang.
const PATIENCE: Duration = Duration::from_secs(40);

struct Caller {
    sip: UdpSocket,
    rtp: UdpSocket,
    server: SocketAddr,
    call_id: &'static str,
}

impl Caller {
    async fn new(server: SocketAddr, call_id: &'static str) -> Self {
        Self {
            sip: UdpSocket::bind("127.0.0.1:0").await.unwrap(),
            rtp: UdpSocket::bind("127.0.0.1:0").await.unwrap(),
            server,
            call_id,
        }
    }

    async fn says(&self, method: &str, to_tag: &str, sdp: &str) {
        let (at, call_id) = (self.sip.local_addr().unwrap(), self.call_id);
        let content = if sdp.is_empty() {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        let text = format!(
            "{method} sip:+18005550199@{server} SIP/2.0\r\nVia: SIP/2.0/UDP {at};rport;branch=z9hG4bK{call_id}{method}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:+14155550123@{at}>;tag=c\r\nTo: <sip:+18005550199@{server}>{to_tag}\r\n\
             Call-ID: {call_id}\r\nCSeq: 1 {method}\r\nContact: <sip:caller@{at}>\r\n{content}Content-Length: {}\r\n\r\n{sdp}",
            sdp.len(),
            server = self.server,
        );
        self.sip.send_to(text.as_bytes(), self.server).await.unwrap();
    }

    async fn invites(&self) {
        let port = self.rtp.local_addr().unwrap().port();
        let sdp = format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 8\r\n"
        );
        self.says("INVITE", "", &sdp).await;
    }

    /// The next message, and its To tag.
    async fn hears(&self) -> (String, String) {
        let mut buffer = [0; 8192];
        let (len, _) = timeout(PATIENCE, self.sip.recv_from(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
        let to = text
            .lines()
            .find(|line| line.starts_with("To:"))
            .unwrap_or_default();
        let tag = to.split_once(";tag=").map(|(_, tag)| format!(";tag={tag}"));
        (text, tag.unwrap_or_default())
    }

    /// Counts RTP until the BYE, which it answers.
    async fn listens(&self) -> usize {
        let (mut packets, mut buffer) = (0, [0; 2048]);
        loop {
            tokio::select! {
                received = self.rtp.recv_from(&mut buffer) => {
                    received.unwrap();
                    packets += 1;
                }
                (text, _) = self.hears() => {
                    // The 200 comes again when its ACK was late.
                    if text.starts_with("SIP/2.0 200 ") {
                        continue;
                    }
                    assert!(text.starts_with("BYE sip:caller@127.0.0.1:"), "{text}");
                    let copied = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
                    let kept = text.lines().filter(|l| copied.iter().any(|name| l.starts_with(name)));
                    let kept: Vec<&str> = kept.collect();
                    let ok = format!("SIP/2.0 200 OK\r\n{}\r\nContent-Length: 0\r\n\r\n", kept.join("\r\n"));
                    self.sip.send_to(ok.as_bytes(), self.server).await.unwrap();
                    return packets;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_calls_back_hears_a_sentence_and_one_more_is_told_to_be_patient() {
    let house = House::start_with("inbound = \"announce\"\ninbound_max = 1").await;
    let (_, server) = house.app.sip[0];
    let caller = Caller::new(server, "back-1").await;
    caller.invites().await;
    let (answer, tag) = caller.hears().await;
    assert!(answer.starts_with("SIP/2.0 200 OK\r\n"), "{answer}");
    assert!(
        answer.contains("\r\nm=audio ") && answer.contains(" RTP/AVP 0"),
        "{answer}"
    );
    let second = Caller::new(server, "back-2").await;
    second.invites().await;
    let (refusal, _) = second.hears().await;
    assert!(refusal.starts_with("SIP/2.0 486 "), "{refusal}");
    caller.says("ACK", &tag, "").await;
    let packets = caller.listens().await;
    // 8.1 s of words after 0.7 s; a packet each 20 ms.
    assert!((350..700).contains(&packets), "{packets} packets");
    let all = house.http.get("/v1/verifications").await.ok();
    assert_eq!(all["items"].as_array().map(Vec::len), Some(0), "{all}");
    // The line is free again.
    let third = Caller::new(server, "back-3").await;
    third.invites().await;
    let (answer, tag) = third.hears().await;
    assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    third.says("ACK", &tag, "").await;
    // The stop of the server does not leave a caller in silence.
    let (_, packets) = tokio::join!(house.stop(), third.listens());
    assert!(packets < 350, "{packets} packets");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_default_who_calls_back_is_declined() {
    let house = House::start().await;
    let caller = Caller::new(house.app.sip[0].1, "back-4").await;
    caller.invites().await;
    let (answer, _) = caller.hears().await;
    assert!(answer.starts_with("SIP/2.0 603 "), "{answer}");
    house.stop().await;
}
