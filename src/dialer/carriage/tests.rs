use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;

use super::*;
use crate::net::sip_net::SipNetConfig;

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// Only ends a test that would hang.
const PATIENCE: Duration = Duration::from_secs(10);

fn carriage(transport: SipTransport, address: SocketAddr) -> Carriage {
    let config = SipNetConfig::plain([(SipTransport::Udp, LOOPBACK)], 8, Arc::new(|_| true));
    let (sip, _) = SipNet::bind(config).unwrap();
    let to = Destination {
        transport,
        address,
        host: address.ip().to_string(),
    };
    Carriage::new(sip, to, None, true)
}

/// A server that has the same port for UDP and TCP.
async fn server() -> (UdpSocket, TcpListener, SocketAddr) {
    loop {
        let tcp = TcpListener::bind(LOOPBACK).await.unwrap();
        let address = tcp.local_addr().unwrap();
        if let Ok(udp) = UdpSocket::bind(address).await {
            return (udp, tcp, address);
        }
    }
}

fn request(method: &str, branch: &str, filler: usize) -> String {
    format!(
        "{method} sip:a@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch={branch};rport\r\n\
         X-Filler: {}\r\nContent-Length: 0\r\n\r\n",
        "x".repeat(filler)
    )
}

async fn read(stream: &mut TcpStream, length: usize) -> String {
    let mut octets = vec![0; length];
    timeout(PATIENCE, stream.read_exact(&mut octets))
        .await
        .unwrap()
        .unwrap();
    String::from_utf8(octets).unwrap()
}

async fn receive(socket: &UdpSocket) -> String {
    let mut octets = vec![0; 4096];
    let (length, _) = timeout(PATIENCE, socket.recv_from(&mut octets))
        .await
        .unwrap()
        .unwrap();
    String::from_utf8(octets[..length].to_vec()).unwrap()
}

#[tokio::test]
async fn a_long_request_takes_tcp_with_all_that_goes_with_it() {
    let (udp, tcp, address) = server().await;
    let mut carriage = carriage(SipTransport::Udp, address);
    let invite = request("INVITE", "z9hG4bKlong", 1400);
    carriage.send(address, invite.as_bytes()).await.unwrap();
    let (mut stream, _) = tcp.accept().await.unwrap();
    let heard = read(&mut stream, invite.len()).await;
    assert_eq!(heard, invite.replace("SIP/2.0/UDP", "SIP/2.0/TCP"));
    // A repetition is TCP's own business; CANCEL goes where its INVITE went, and the next short request does not.
    carriage.send(address, invite.as_bytes()).await.unwrap();
    let cancel = request("CANCEL", "z9hG4bKlong", 1);
    carriage.send(address, cancel.as_bytes()).await.unwrap();
    let heard = read(&mut stream, cancel.len()).await;
    assert_eq!(heard, cancel.replace("SIP/2.0/UDP", "SIP/2.0/TCP"));
    let bye = request("BYE", "z9hG4bKother", 1);
    carriage.send(address, bye.as_bytes()).await.unwrap();
    assert_eq!(receive(&udp).await, bye);
}

#[tokio::test]
async fn a_long_request_falls_back_to_udp_where_there_is_no_tcp() {
    let udp = UdpSocket::bind(LOOPBACK).await.unwrap();
    let address = udp.local_addr().unwrap();
    let mut carriage = carriage(SipTransport::Udp, address);
    let invite = request("INVITE", "z9hG4bKlong", 1400);
    for _ in 0..2 {
        carriage.send(address, invite.as_bytes()).await.unwrap();
        assert_eq!(receive(&udp).await, invite);
    }
    assert_eq!(carriage.sip.stream_metrics().connect_failed, 1);
    assert!(!carriage.sip.may_switch(address));
}

#[tokio::test]
async fn a_written_transport_is_kept() {
    let (udp, _tcp, address) = server().await;
    let mut carriage = carriage(SipTransport::Udp, address);
    carriage.may_switch = false;
    let invite = request("INVITE", "z9hG4bKlong", 1400);
    carriage.send(address, invite.as_bytes()).await.unwrap();
    assert_eq!(receive(&udp).await, invite);
}

#[tokio::test]
async fn each_target_of_a_call_gets_what_is_its_own() {
    let (udp, tcp, address) = server().await;
    let config = SipNetConfig::plain([(SipTransport::Udp, LOOPBACK)], 8, Arc::new(|_| true));
    let (sip, _) = SipNet::bind(config).unwrap();
    let way = |transport| {
        let host = address.ip().to_string();
        let to = Destination {
            transport,
            address,
            host,
        };
        Carriage::new(sip.clone(), to, None, false)
    };
    // The same address over another transport, as the SRV records of one server say.
    let ways = vec![way(SipTransport::Udp), way(SipTransport::Tcp)];
    let mut carriages = Carriages::new(sip.clone(), ways);
    let first = request("INVITE", "z9hG4bKfirst", 1);
    carriages.send(address, first.as_bytes()).await.unwrap();
    assert_eq!(receive(&udp).await, first);
    assert!(!carriages.is_only_try(address, first.as_bytes()));
    carriages.turn_to(1);
    let second = request("INVITE", "z9hG4bKsecond", 1).replace("SIP/2.0/UDP", "SIP/2.0/TCP");
    assert!(carriages.is_only_try(address, second.as_bytes()));
    carriages.send(address, second.as_bytes()).await.unwrap();
    let (mut stream, _) = tcp.accept().await.unwrap();
    assert_eq!(read(&mut stream, second.len()).await, second);
    // A late answer of the first one is acknowledged where it came from.
    let ack = request("ACK", "z9hG4bKack", 1);
    let contact = SocketAddr::new(address.ip(), 9);
    assert!(!carriages.is_only_try(contact, ack.as_bytes()));
    carriages.send(address, ack.as_bytes()).await.unwrap();
    assert_eq!(receive(&udp).await, ack);
    drop(stream);
    assert_eq!(timeout(PATIENCE, carriages.lost()).await.unwrap(), 1);
}

#[tokio::test]
async fn a_call_over_tcp_keeps_its_connection_and_opens_another_when_it_is_lost() {
    let (_udp, tcp, address) = server().await;
    let mut carriage = carriage(SipTransport::Tcp, address);
    carriage.send(address, b"one").await.unwrap();
    let (mut first, _) = tcp.accept().await.unwrap();
    assert_eq!(read(&mut first, 3).await, "one");
    // The Contact of a server behind TCP may name any port of its host.
    let contact = SocketAddr::new(address.ip(), 9);
    carriage.send(contact, b"two").await.unwrap();
    assert_eq!(read(&mut first, 3).await, "two");
    drop(first);
    timeout(PATIENCE, carriage.lost()).await.unwrap();
    carriage.forget_connection();
    carriage.send(contact, b"bye").await.unwrap();
    let (mut second, _) = tcp.accept().await.unwrap();
    assert_eq!(read(&mut second, 3).await, "bye");
}
