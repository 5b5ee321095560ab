//! Requests that belong to no call: OPTIONS of a trunk is answered, an unwanted INVITE refused, a stranger hears nothing.
use tokio::sync::mpsc;

use crate::net::sip_udp::{Inbound, PeerCheck, SipUdp};
use crate::sip::message::Message;
use crate::sip::out_of_call;

pub(super) async fn run(sip: SipUdp, mut inbound: mpsc::Receiver<Inbound>, is_peer: PeerCheck) {
    while let Some(Inbound {
        message,
        source,
        local,
    }) = inbound.recv().await
    {
        let Message::Request(request) = message else {
            continue;
        };
        let Some(response) = out_of_call::answer(&request, source, is_peer(source.ip())) else {
            continue;
        };
        if let Err(error) = sip.send_from(local, source, &response.to_bytes()).await {
            tracing::debug!(%error, "an answer outside a call was not sent");
        }
    }
}
