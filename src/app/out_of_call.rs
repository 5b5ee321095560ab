//! Requests that belong to no call: OPTIONS of a trunk is answered, an INVITE refused or given to the announcer, a stranger
//! hears nothing.
use tokio::sync::mpsc;

use super::announcer::Announcer;
use crate::net::sip_net::{Flow, Inbound, PeerCheck, SipNet};
use crate::sip::message::Message;
use crate::sip::out_of_call;
use crate::sip::transaction::response_target;

/// `announcer` answers INVITEs of trunk peers over UDP; `None` where they are declined.
pub(super) async fn run(
    sip: SipNet,
    mut inbound: mpsc::Receiver<Inbound>,
    is_peer: PeerCheck,
    announcer: Option<Announcer>,
) {
    while let Some(Inbound {
        message,
        source,
        local,
        flow,
    }) = inbound.recv().await
    {
        let Message::Request(request) = message else {
            continue;
        };
        let is_peer = is_peer(source.ip());
        let response = match &announcer {
            Some(announcer)
                if is_peer && matches!(flow, Flow::Datagram) && out_of_call::begins_call(&request) =>
            {
                if announcer.take(request.clone(), source, local) {
                    continue;
                }
                out_of_call::busy(&request, source)
            }
            _ => out_of_call::answer(&request, source, is_peer),
        };
        let Some(response) = response else {
            continue;
        };
        let to = response_target(&request, source, flow.transport().reliability());
        let sent = sip.answer(&flow, local, to, &response.to_bytes()).await;
        if let Err(error) = sent {
            tracing::debug!(%error, "an answer outside a call was not sent");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::net::UdpSocket;
    use tokio::time::timeout;

    use super::*;
    use crate::net::sip_net::SipNetConfig;
    use crate::sip::transport::SipTransport;

    const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    /// Only ends a test that would hang.
    const PATIENCE: Duration = Duration::from_secs(10);

    fn options(via_port: u16, rport: &str) -> String {
        format!(
            "OPTIONS sip:ringproof@127.0.0.1 SIP/2.0\r\n\
             Via: SIP/2.0/UDP 127.0.0.1:{via_port}{rport};branch=z9hG4bKoptions{via_port}\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:trunk@127.0.0.1>;tag=1\r\n\
             To: <sip:ringproof@127.0.0.1>\r\n\
             Call-ID: options@trunk\r\n\
             CSeq: 1 OPTIONS\r\n\
             Content-Length: 0\r\n\r\n"
        )
    }

    async fn hears(socket: &UdpSocket) -> String {
        let mut buffer = [0; 4096];
        let received = timeout(PATIENCE, socket.recv_from(&mut buffer)).await;
        let (len, _) = received.unwrap().unwrap();
        String::from_utf8(buffer[..len].to_vec()).unwrap()
    }

    #[tokio::test]
    async fn an_answer_goes_to_the_port_in_via_unless_rport_asks_for_the_source() {
        let is_peer: PeerCheck = Arc::new(|_| true);
        let config = SipNetConfig::plain([(SipTransport::Udp, LOOPBACK)], 8, Arc::clone(&is_peer));
        let (sip, requests) = SipNet::bind(config).unwrap();
        let (_, local) = sip.locals().next().unwrap();
        let answering = tokio::spawn(run(sip, requests, is_peer, None));
        let sender = UdpSocket::bind(LOOPBACK).await.unwrap();
        let behind_via = UdpSocket::bind(LOOPBACK).await.unwrap();
        let sender_port = sender.local_addr().unwrap().port();
        let via_port = behind_via.local_addr().unwrap().port();

        let without_rport = options(via_port, "");
        sender.send_to(without_rport.as_bytes(), local).await.unwrap();
        let answer = hears(&behind_via).await;
        assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");

        let with_rport = options(via_port, ";rport");
        sender.send_to(with_rport.as_bytes(), local).await.unwrap();
        let answer = hears(&sender).await;
        assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
        assert!(answer.contains(&format!("rport={sender_port}")), "{answer}");
        answering.abort();
    }
}
