//! The RTP in a capture, by source, destination and SSRC. What announced it is not looked at here.
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use crate::media::rtcp;
use crate::media::rtp::Packet;
use crate::telemetry::{Carried, Content};

/// What nobody announced is believed to be RTP from so many packets on…
const PACKETS_MIN: usize = 10;
/// …of which three quarters follow one another within so many numbers.
const STEP_MAX: u16 = 3;

/// One packet with its place in the capture.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken<'a> {
    pub(super) at: Duration,
    pub(super) rtp: Packet<'a>,
}

/// One stream, in the order of its arrival.
#[derive(Debug, Clone)]
pub(super) struct Flow<'a> {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) ssrc: u32,
    pub(super) packets: Vec<Taken<'a>>,
}

impl Flow<'_> {
    pub(super) fn began(&self) -> Duration {
        self.packets.first().map_or(Duration::ZERO, |taken| taken.at)
    }

    pub(super) fn ended(&self) -> Duration {
        self.packets.last().map_or(Duration::ZERO, |taken| taken.at)
    }

    /// Whether it looks like RTP though no SDP announces it.
    pub(super) fn is_believable(&self) -> bool {
        let sequences = self.packets.iter().map(|taken| taken.rtp.sequence);
        let steps = sequences.clone().zip(sequences.skip(1));
        let near = steps.filter(|(a, b)| b.wrapping_sub(*a) <= STEP_MAX).count();
        self.packets.len() >= PACKETS_MIN && near * 4 >= self.packets.len() * 3
    }
}

/// Everything that may be RTP.
#[derive(Debug, Default)]
pub(super) struct Media<'a> {
    pub(super) flows: Vec<Flow<'a>>,
    /// Datagrams of RTCP by source and destination.
    pub(super) rtcp: BTreeMap<(SocketAddr, SocketAddr), u64>,
}

/// `sip`: packets that are known already.
pub(super) fn media<'a>(carried: &'a [Carried<'_>], sip: &BTreeSet<u64>) -> Media<'a> {
    let mut flows: BTreeMap<(SocketAddr, SocketAddr, u32), Vec<Taken<'a>>> = BTreeMap::new();
    let mut found = Media::default();
    for one in carried {
        let Content::Datagram(octets) = &one.content else {
            continue;
        };
        if sip.contains(&one.packet) {
            continue;
        }
        if rtcp::is_rtcp(octets) {
            *found.rtcp.entry((one.source, one.destination)).or_default() += 1;
            continue;
        }
        let Ok(rtp) = Packet::parse(octets) else { continue };
        let at = one.since_epoch;
        flows
            .entry((one.source, one.destination, rtp.ssrc))
            .or_default()
            .push(Taken { at, rtp });
    }
    found.flows = flows
        .into_iter()
        .map(|((source, destination, ssrc), packets)| Flow {
            source,
            destination,
            ssrc,
            packets,
        })
        .collect();
    found.flows.sort_by_key(Flow::began);
    found
}
