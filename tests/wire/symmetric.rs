//! Callees whose RTP comes from elsewhere than their SDP says, over trunks that follow it and trunks that do not; and a
//! stranger who would be followed.
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ringproof::media::rtp::Header;
use serde_json::{Value, json};

use super::house::House;
use super::line::text;

const TO: &str = "+15005559850";

async fn house(lines: &str) -> House {
    House::start_by("", |carrier| {
        format!("targets = [\"sip:{}\"]\n{lines}", carrier.sip)
    })
    .await
}

/// A callee who does `steps` after the answer; its verification as it was created.
async fn calling(house: &House, rtp: &str, steps: &[Value]) -> Value {
    let mut all = vec![json!("ring"), json!("answer")];
    all.extend_from_slice(steps);
    let script = json!({"about": "a person", "rtp": rtp, "steps": all});
    house.carrier.script(TO, &script).await;
    house.http.create(&json!({"to": TO})).await
}

fn confirming() -> [Value; 2] {
    [json!("wait_until_told"), json!({"press": {"digits": "#"}})]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callee_behind_nat_hears_us_and_is_heard_where_the_trunk_learns() {
    for lines in [
        "learn = true",
        "learn = true\nsrtp = \"require\"\nsrtp_profile = \"avp\"",
    ] {
        let house = house(lines).await;
        let created = calling(&house, "behind_nat", &confirming()).await;
        let ended = house.http.ended(text(&created["id"])).await;
        let call = house.carrier.wait(TO, "ended").await;
        let attempt = &ended["attempts"][0];
        assert_eq!(ended["reason"], "key_confirmed", "{lines}: {ended}\n{call}");
        assert_eq!(attempt["flags"], json!(["rtp_source_learned"]), "{ended}");
        assert_eq!(attempt["rtp_source"]["agreed"], "127.0.0.1:9", "{ended}");
        let seen: SocketAddr = text(&attempt["rtp_source"]["seen"]).parse().unwrap();
        assert!((45_000..47_000).contains(&seen.port()), "{seen}");
        let heard = call["heard"].as_array().unwrap();
        assert!(heard.iter().any(|clip| clip == "confirm-press-pound"), "{call}");
        house.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callee_behind_nat_is_not_heard_where_the_trunk_does_not_learn() {
    let house = house("").await;
    let steps = [
        json!({"wait": {"ms": 1500}}),
        json!({"press": {"digits": "#"}}),
        json!({"wait": {"ms": 500}}),
        json!("hang_up"),
    ];
    let created = calling(&house, "behind_nat", &steps).await;
    let ended = house.http.ended(text(&created["id"])).await;
    let call = house.carrier.wait(TO, "ended").await;
    let attempt = &ended["attempts"][0];
    assert_eq!(ended["reason"], "media_failed", "{ended}\n{call}");
    // Nobody listens where SDP said, and the host tells.
    let flags = json!(["rtp_refused", "no_callee_audio"]);
    assert_eq!(attempt["flags"], flags, "{ended}");
    assert_eq!(attempt["rtp_source"], Value::Null);
    assert_eq!(call["rtp"]["packets_received"], 0, "{call}");
    house.stop().await;
}

/// Where our offer wants the callee's RTP.
async fn our_port(house: &House) -> SocketAddr {
    let call = house.carrier.wait(TO, "ringing").await;
    let offer = text(&call["messages"][0]["text"]);
    let port = offer
        .split("m=audio ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    SocketAddr::from(([127, 0, 0, 1], port.unwrap().parse().unwrap()))
}

/// Audio and presses of 7 as a telephone would send them, at twice its pace; gives the octets that came back.
async fn sprays(to: SocketAddr, over: Arc<AtomicBool>) -> usize {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut pace = tokio::time::interval(Duration::from_millis(10));
    let mut buffer = [0; 1500];
    let mut heard = 0;
    for number in 0_u16.. {
        if over.load(Ordering::SeqCst) {
            break;
        }
        let event: [u8; 4] = [7, 0x80, 6, 64];
        let (payload_type, payload) = match number % 10 {
            0..=2 => (101, &event[..]),
            _ => (0, &[0xff; 160][..]),
        };
        let header = Header {
            payload_type,
            marker: false,
            sequence: number,
            timestamp: u32::from(number / 10 * 10) * 80,
            ssrc: 77,
        };
        let len = header.write(payload, &mut buffer).unwrap();
        socket.send_to(&buffer[..len], to).await.unwrap();
        pace.tick().await;
        heard += socket.try_recv(&mut buffer).unwrap_or_default();
    }
    heard
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_who_sprays_is_not_followed_while_the_callee_sends() {
    let house = house("learn = true").await;
    let created = calling(&house, "good", &confirming()).await;
    let over = Arc::new(AtomicBool::new(false));
    let stranger = tokio::spawn(sprays(our_port(&house).await, Arc::clone(&over)));
    let ended = house.http.ended(text(&created["id"])).await;
    over.store(true, Ordering::SeqCst);
    let attempt = &ended["attempts"][0];
    assert_eq!(ended["reason"], "key_confirmed", "{ended}");
    assert_eq!(attempt["key"], "#");
    assert_eq!(attempt["flags"], json!([]), "{ended}");
    assert_eq!(stranger.await.unwrap(), 0, "nothing is sent to a stranger");
    house.stop().await;
}
