//! rtpengine's control protocol NG: a cookie, a space and a bencoded dictionary in a UDP datagram; the answer bears the
//! same cookie. Kamailio asks for media by it, the cases what came of them.
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::net::UdpSocket;

const COOKIE: &[u8] = b"interop ";
const ASK_EVERY: Duration = Duration::from_secs(2);
const ASKS_MAX: usize = 5;
/// Dictionaries within dictionaries.
const DEPTH_MAX: usize = 16;

/// What rtpengine knows of the call with this Call-ID.
pub(crate) async fn query(address: &str, call_id: &str) -> Result<Value, String> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.map_err(|e| e.to_string())?;
    socket.connect(address).await.map_err(|e| e.to_string())?;
    // Keys in their order, as bencode wants them.
    let dictionary = format!("d7:call-id{}:{call_id}7:command5:querye", call_id.len());
    let question = [COOKIE, dictionary.as_bytes()].concat();
    let mut buffer = vec![0; 65_536];
    for _ in 0..ASKS_MAX {
        socket.send(&question).await.map_err(|e| e.to_string())?;
        let Ok(received) = tokio::time::timeout(ASK_EVERY, socket.recv(&mut buffer)).await else {
            continue;
        };
        let length = received.map_err(|e| e.to_string())?;
        let answer = buffer[..length]
            .strip_prefix(COOKIE)
            .ok_or("expected our cookie in rtpengine's answer")?;
        let answer = decoded(answer)?;
        return match answer["result"].as_str() {
            Some("ok") => Ok(answer),
            _ => Err(format!("rtpengine's answer to query: {answer}")),
        };
    }
    Err("rtpengine answers no query".to_owned())
}

fn decoded(octets: &[u8]) -> Result<Value, String> {
    match value(octets, 0) {
        Some((value, [])) => Ok(value),
        _ => Err(format!("expected bencode, found {}", octets.escape_ascii())),
    }
}

/// The value at the front, and what follows it.
fn value(octets: &[u8], depth: usize) -> Option<(Value, &[u8])> {
    let (first, rest) = octets.split_first().filter(|_| depth < DEPTH_MAX)?;
    match first {
        b'i' => {
            let (digits, rest) = until(rest, b'e')?;
            Some((digits.parse::<i64>().ok()?.into(), rest))
        }
        b'l' => {
            let (items, rest) = items(rest, depth)?;
            Some((items.into(), rest))
        }
        b'd' => {
            let (items, rest) = items(rest, depth)?;
            let pairs = items.chunks_exact(2);
            let pairs = pairs.filter_map(|pair| Some((pair[0].as_str()?.to_owned(), pair[1].clone())));
            Some((pairs.collect::<Map<_, _>>().into(), rest))
        }
        _ => {
            let (length, rest) = until(octets, b':')?;
            let (text, rest) = rest.split_at_checked(length.parse().ok()?)?;
            Some((String::from_utf8_lossy(text).into(), rest))
        }
    }
}

/// The values up to an `e`.
fn items(mut octets: &[u8], depth: usize) -> Option<(Vec<Value>, &[u8])> {
    let mut items = Vec::new();
    loop {
        if let Some(rest) = octets.strip_prefix(b"e") {
            return Some((items, rest));
        }
        let (item, rest) = value(octets, depth + 1)?;
        items.push(item);
        octets = rest;
    }
}

fn until(octets: &[u8], end: u8) -> Option<(&str, &[u8])> {
    let at = octets.iter().position(|octet| *octet == end)?;
    Some((std::str::from_utf8(&octets[..at]).ok()?, &octets[at + 1..]))
}
