//! The RTP socket of a leg whose peer may send from elsewhere than SDP says: unconnected until [`Learning`] has settled,
//! then connected as any other, so that the kernel drops strangers again.
//!
//! It is judged by RTP alone; RTCP follows: to the same port where both share one, else to the next one.
use std::net::{SocketAddr, UdpSocket};
use std::time::Instant;

use super::{Channel, DRAIN_PACKETS_MAX, Leg, Media, Running, Scratch, connect, reachable_rtcp};
use crate::media::command::{MediaEvent, StreamConfig};
use crate::media::learn::is_same;
use crate::net::media_engine::metrics::ThreadMetrics;

impl Leg {
    /// The call was answered: where nobody was heard before, the window begins anew.
    pub(super) fn listen_afresh(&mut self, now: Instant) {
        let Media::Running(running) = &mut self.media else {
            return;
        };
        let Some(learning) = running.learning.as_mut() else {
            return;
        };
        let was_open = learning.is_open();
        learning.answered(now);
        if learning.is_open() && !was_open {
            disconnect(&self.sockets.rtp);
        }
    }

    /// Reads one datagram of anybody.
    pub(super) fn receive_unconnected(
        &mut self,
        now: Instant,
        scratch: &mut Scratch,
        metrics: &ThreadMetrics,
    ) {
        let Media::Running(running) = &mut self.media else {
            return;
        };
        let Some(learning) = running.learning.as_mut() else {
            return;
        };
        let mut settled = false;
        if let Ok((len, source)) = self.sockets.rtp.recv_from(&mut scratch.inbound[..]) {
            let octets = scratch.inbound.get(..len).unwrap_or_default();
            let claim = running.stream.vouch(octets);
            settled = learning.packet(now, source, claim, octets);
            // What is no proof of the source is heard of the agreed one all the same.
            if !settled && is_same(source, learning.agreed()) {
                running.take(now, Channel::Rtp, octets, &mut scratch.events, metrics);
            }
        }
        if settled {
            self.settle(now, scratch, metrics);
        }
        self.deliver(scratch, metrics);
    }

    /// Learning has just ended: connects to what it ended on, and hands on what has come from there.
    pub(super) fn settle(&mut self, now: Instant, scratch: &mut Scratch, metrics: &ThreadMetrics) {
        let Media::Running(running) = &mut self.media else {
            return;
        };
        let Some(learning) = running.learning.as_mut() else {
            return;
        };
        let agreed = learning.agreed();
        if self.sockets.rtp.connect(learning.source()).is_err() {
            learning.lapse();
            // It could be reached when it was agreed; if it cannot any more, nothing is sent and the call ends by its own rules.
            let _ = connect(&self.sockets.rtp, agreed);
        }
        let source = learning.source();
        if source != agreed {
            let rtcp = rtcp_beside(source, running.remote, running.remote_rtcp);
            running.remote_rtcp = reachable_rtcp(&self.sockets, running.remote_rtcp, source, rtcp);
            running.remote = source;
            running.stream.moved(source, running.remote_rtcp);
            scratch.events.push(MediaEvent::SourceLearnt { agreed, source });
        }
        while let Some(octets) = running.learning.as_mut().and_then(|l| l.next_held()) {
            running.take(now, Channel::Rtp, &octets, &mut scratch.events, metrics);
        }
        drain(&self.sockets.rtp, running, now, scratch, metrics);
    }
}

/// What was queued before the socket was connected: the peer's is taken, anybody else's is thrown away.
fn drain(
    socket: &UdpSocket,
    running: &mut Running,
    now: Instant,
    scratch: &mut Scratch,
    metrics: &ThreadMetrics,
) {
    for _ in 0..DRAIN_PACKETS_MAX {
        let Ok((len, source)) = socket.recv_from(&mut scratch.inbound[..]) else {
            break;
        };
        if is_same(source, running.remote) {
            let octets = scratch.inbound.get(..len).unwrap_or_default();
            running.take(now, Channel::Rtp, octets, &mut scratch.events, metrics);
        }
    }
}

/// The agreement as it is with the peer at `source`.
pub(super) fn at_source(config: StreamConfig, source: SocketAddr) -> StreamConfig {
    if source == config.remote {
        return config;
    }
    StreamConfig {
        remote_rtcp: rtcp_beside(source, config.remote, config.remote_rtcp),
        remote: source,
        ..config
    }
}

/// Where RTCP goes for a peer at `source` that was agreed to be at `remote`.
fn rtcp_beside(source: SocketAddr, remote: SocketAddr, rtcp: Option<SocketAddr>) -> Option<SocketAddr> {
    if rtcp? == remote {
        return Some(source);
    }
    let port = source.port().checked_add(1)?;
    Some(SocketAddr::new(source.ip(), port))
}

/// Everybody is heard again. A socket that stays connected hears the agreed address only: nothing is learnt, no harm.
pub(super) fn disconnect(socket: &UdpSocket) {
    let _ = rustix::net::connect_unspec(socket);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_go_beside_the_source_as_they_were_agreed() {
        let at = |port| SocketAddr::from(([192, 0, 2, 1], port));
        let source = SocketAddr::from(([198, 51, 100, 7], 31_000));
        let beside = SocketAddr::from(([198, 51, 100, 7], 31_001));
        assert_eq!(rtcp_beside(source, at(4000), None), None);
        assert_eq!(rtcp_beside(source, at(4000), Some(at(4000))), Some(source));
        assert_eq!(rtcp_beside(source, at(4000), Some(at(4001))), Some(beside));
        assert_eq!(rtcp_beside(at(u16::MAX), at(4000), Some(at(4001))), None);
    }
}
