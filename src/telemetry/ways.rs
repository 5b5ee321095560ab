//! Which of our addresses a peer sees, for records of what came and left.
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Peers whose way is remembered: trunks are few, strangers are not.
const WAYS_MAX: usize = 1024;

/// The address that a peer sees of us, by the peer's.
#[derive(Debug, Default)]
pub(super) struct Ways(BTreeMap<IpAddr, IpAddr>);

impl Ways {
    /// A socket that is bound to all addresses is seen at the one that the kernel picks for this peer.
    pub(super) fn seen(&mut self, local: SocketAddr, peer: SocketAddr) -> SocketAddr {
        if !local.ip().is_unspecified() {
            return local;
        }
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        if let Some(ip) = self.0.get(&peer.ip()) {
            return SocketAddr::new(*ip, local.port());
        }
        let Ok(probe) = bound_for(peer).and_then(|probe| {
            // Connecting a UDP socket sends nothing; it only makes the kernel choose.
            probe.connect(peer)?;
            probe.local_addr()
        }) else {
            return local;
        };
        if self.0.len() >= WAYS_MAX {
            self.0.clear();
        }
        self.0.insert(peer.ip(), probe.ip());
        SocketAddr::new(probe.ip(), local.port())
    }
}

/// A socket of the peer's family on a port of the kernel's choice.
pub(super) fn bound_for(peer: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match peer {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    UdpSocket::bind((any, 0))
}
