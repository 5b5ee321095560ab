//! One call's sockets around its `media::Stream`. Moves packets between the two; what they mean is the stream's.
//!
//! ```text
//! Waiting (ports bound, nothing read) ── Start: connect, drain ──► Running ── Close ──► gone
//! ```
//! Where the peer's source is to be learnt, the RTP socket is unconnected until it is known: see `learn`.
mod learn;

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::time::Instant;

use rustix::net::{RecvFlags, SendFlags};
use tokio::sync::mpsc::error::TrySendError;

use super::metrics::ThreadMetrics;
use super::ports::PortPair;
use crate::media::command::{MediaCommand, MediaEvent, MediaRefusal, StreamConfig};
use crate::media::learn::Learning;
use crate::media::stream::Stream;
use crate::model::Entropy;
use crate::net::mailbox;

/// More than a receive buffer holds, so that draining ends even under a flood.
const DRAIN_PACKETS_MAX: usize = 1024;

/// Packets that one leg may send in one tick: two of RTP, one of RTCP (a stream gives no more; this is the fence).
const SENT_PER_TICK_MAX: usize = 4;

/// Longest datagram that is looked at; RTP over an Ethernet path is shorter.
const INBOUND_OCTETS_MAX: usize = 2048;
const OUTBOUND_OCTETS_MAX: usize = 1500;

/// Buffers of a media thread, shared by its legs one after another.
#[derive(Debug)]
pub(super) struct Scratch {
    pub(super) events: Vec<MediaEvent>,
    inbound: Box<[u8; INBOUND_OCTETS_MAX]>,
    outbound: Box<[u8; OUTBOUND_OCTETS_MAX]>,
}

impl Scratch {
    pub(super) fn new() -> Self {
        Self {
            events: Vec::with_capacity(64),
            inbound: Box::new([0; INBOUND_OCTETS_MAX]),
            outbound: Box::new([0; OUTBOUND_OCTETS_MAX]),
        }
    }
}

/// Which of a leg's two sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Channel {
    Rtp,
    Rtcp,
}

/// What the thread must do after a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Obeyed {
    Continue,
    /// Media has begun: watch the sockets.
    Started,
    Closed,
}

#[derive(Debug)]
pub(super) struct Leg {
    pub(super) id: u64,
    pub(super) sockets: PortPair,
    /// The tick on which the wheel holds it; entries on other ticks are stale.
    pub(super) due_tick: u64,
    events: mailbox::Sender<MediaEvent>,
    media: Media,
    unreachable_said: bool,
}

#[derive(Debug)]
enum Media {
    Waiting(Box<Entropy>),
    Running(Box<Running>),
}

#[derive(Debug)]
struct Running {
    stream: Stream,
    /// Where packets go.
    remote: SocketAddr,
    remote_rtcp: Option<SocketAddr>,
    /// Only where the source may be another than SDP says.
    learning: Option<Box<Learning>>,
}

impl Leg {
    pub(super) fn new(
        id: u64,
        sockets: PortPair,
        events: mailbox::Sender<MediaEvent>,
        entropy: Entropy,
    ) -> Self {
        Self {
            id,
            sockets,
            due_tick: 0,
            events,
            media: Media::Waiting(Box::new(entropy)),
            unreachable_said: false,
        }
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.media, Media::Running(_))
    }

    /// The call has dropped its end: nobody will say `Close` any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.events.is_closed()
    }

    /// Closes the sockets; what is left is the channel whose end tells the call that the leg is gone.
    pub(super) fn give_ports_back(self) -> mailbox::Sender<MediaEvent> {
        self.events
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        match &self.media {
            Media::Waiting(_) => None,
            Media::Running(running) => {
                let due = running.stream.next_due();
                let learnt = running.learning.as_ref().and_then(|l| l.poll_timeout());
                Some(learnt.map_or(due, |at| due.min(at)))
            }
        }
    }

    /// Whether something is due that no packet of ours is: what a press or a tone was, where the peer is.
    pub(super) fn has_decision_due(&self) -> bool {
        match &self.media {
            Media::Waiting(_) => false,
            Media::Running(running) => running.learning.is_some() || running.stream.has_decision_due(),
        }
    }

    pub(super) fn obey(
        &mut self,
        now: Instant,
        command: MediaCommand,
        scratch: &mut Scratch,
        metrics: &ThreadMetrics,
    ) -> Obeyed {
        let obeyed = match command {
            MediaCommand::Start(config) | MediaCommand::Update(config) => self.agree(now, config, scratch),
            MediaCommand::Close => {
                if let Media::Running(running) = &mut self.media {
                    running.count_rejects(metrics);
                    running
                        .stream
                        .command(now, MediaCommand::Close, &mut scratch.events);
                    let farewell = running.stream.goodbye(now, &mut scratch.outbound[..]);
                    if let Some(octets) = farewell.and_then(|len| scratch.outbound.get(..len))
                        && let Some((socket, to)) = rtcp_way(&self.sockets, running)
                    {
                        send(socket, to, octets, metrics);
                    }
                }
                Obeyed::Closed
            }
            other => {
                if matches!(other, MediaCommand::Answered) {
                    self.listen_afresh(now);
                    // Before the answer nobody may have listened yet.
                    self.unreachable_said = false;
                }
                match &mut self.media {
                    Media::Running(running) => running.stream.command(now, other, &mut scratch.events),
                    Media::Waiting(_) => {
                        let refusal = MediaRefusal::NotStarted(name_of(&other));
                        scratch.events.push(MediaEvent::Refused(refusal));
                    }
                }
                Obeyed::Continue
            }
        };
        self.deliver(scratch, metrics);
        obeyed
    }

    /// Begins, or follows a later agreement.
    fn agree(&mut self, now: Instant, config: StreamConfig, scratch: &mut Scratch) -> Obeyed {
        let (before, before_rtcp, learning) = match &self.media {
            Media::Waiting(_) => (None, None, None),
            Media::Running(running) => (
                Some(running.remote),
                running.remote_rtcp,
                running.learning.as_deref(),
            ),
        };
        let learns_anew = config.learn && learning.is_none_or(|l| l.agreed() != config.remote);
        let learnt = learning.filter(|_| config.learn && !learns_anew);
        let begun = learns_anew.then(|| Box::new(Learning::begin(now, config.remote)));
        let config = match learnt {
            Some(learnt) => learn::at_source(config, learnt.source()),
            None => config,
        };
        if (learns_anew || before != Some(config.remote))
            && let Err(error) = connect(&self.sockets.rtp, config.remote)
        {
            let refusal = MediaRefusal::NoRoute(error.kind());
            scratch.events.push(MediaEvent::Refused(refusal));
            return Obeyed::Continue;
        }
        if learns_anew {
            learn::disconnect(&self.sockets.rtp);
        }
        let remote = config.remote;
        let remote_rtcp = reachable_rtcp(&self.sockets, before_rtcp, remote, config.remote_rtcp);
        let learn = config.learn;
        let config = StreamConfig {
            remote_rtcp,
            ..config
        };
        self.unreachable_said = false;
        match &mut self.media {
            Media::Running(running) => {
                running.remote = remote;
                running.remote_rtcp = remote_rtcp;
                if learns_anew || !learn {
                    running.learning = begun;
                }
                running
                    .stream
                    .command(now, MediaCommand::Update(config), &mut scratch.events);
                Obeyed::Continue
            }
            Media::Waiting(entropy) => {
                let stream = Stream::new(now, config, entropy.fork());
                self.media = Media::Running(Box::new(Running {
                    stream,
                    remote,
                    remote_rtcp,
                    learning: begun,
                }));
                Obeyed::Started
            }
        }
    }

    /// Sends everything that is due and lets the stream's deadlines pass.
    pub(super) fn tick(&mut self, now: Instant, scratch: &mut Scratch, metrics: &ThreadMetrics) {
        let Media::Running(running) = &mut self.media else {
            return;
        };
        let to = running.unconnected_to();
        let mut unreachable = false;
        for _ in 0..SENT_PER_TICK_MAX {
            let Some(packet) =
                running
                    .stream
                    .next_packet(now, &mut scratch.outbound[..], &mut scratch.events)
            else {
                break;
            };
            let Some(octets) = scratch.outbound.get(..packet.len) else {
                break;
            };
            for _ in 0..packet.copies {
                unreachable |= send(&self.sockets.rtp, to, octets, metrics);
                metrics.packets_sent.add(1);
            }
        }
        if let Some(len) = running.stream.next_rtcp(now, &mut scratch.outbound[..])
            && let Some(octets) = scratch.outbound.get(..len)
            && let Some((socket, to)) = rtcp_way(&self.sockets, running)
        {
            // A peer without RTCP is common: its refusal says nothing about the call.
            send(socket, to, octets, metrics);
            metrics.rtcp_sent.add(1);
        }
        running.stream.poll(now, &mut scratch.events);
        metrics.packets_skipped.add(running.stream.take_skipped());
        running.count_rejects(metrics);
        let lapsed = running.learning.as_mut().is_some_and(|l| l.poll(now));
        if unreachable {
            self.say_unreachable(scratch);
        }
        if lapsed {
            self.settle(now, scratch, metrics);
        }
        self.deliver(scratch, metrics);
    }

    /// Reads one datagram. Readiness is level-triggered: what is left is read in the next tick, so that no leg
    /// starves the others.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        channel: Channel,
        scratch: &mut Scratch,
        metrics: &ThreadMetrics,
    ) {
        let Media::Running(running) = &mut self.media else {
            return;
        };
        if channel == Channel::Rtp && running.unconnected_to().is_some() {
            return self.receive_unconnected(now, scratch, metrics);
        }
        let socket = match channel {
            Channel::Rtp => &self.sockets.rtp,
            Channel::Rtcp => &self.sockets.rtcp,
        };
        match rustix::net::recv(socket, &mut scratch.inbound[..], RecvFlags::empty()) {
            Ok((len, _)) => {
                let octets = scratch.inbound.get(..len).unwrap_or_default();
                running.take(now, channel, octets, &mut scratch.events, metrics);
            }
            Err(error) if is_unreachable(&error.into()) && channel == Channel::Rtp => {
                self.say_unreachable(scratch)
            }
            Err(_) => {}
        }
        self.deliver(scratch, metrics);
    }

    fn say_unreachable(&mut self, scratch: &mut Scratch) {
        if !self.unreachable_said {
            self.unreachable_said = true;
            scratch.events.push(MediaEvent::Unreachable);
        }
    }

    fn deliver(&self, scratch: &mut Scratch, metrics: &ThreadMetrics) {
        for event in scratch.events.drain(..) {
            match self.events.try_send(event) {
                // A closed channel is an abandoned leg; the sweep takes it.
                Ok(()) | Err(TrySendError::Closed(_)) => {}
                Err(TrySendError::Full(_)) => metrics.events_dropped.add(1),
            }
        }
    }
}

impl Running {
    /// While the source is being learnt no socket is connected for RTP: where it goes.
    fn unconnected_to(&self) -> Option<SocketAddr> {
        let learning = self.learning.as_ref()?;
        learning.is_open().then_some(self.remote)
    }

    fn count_rejects(&mut self, metrics: &ThreadMetrics) {
        if let Some(rejects) = self.stream.take_rejects() {
            metrics.rejected.add(&rejects);
        }
    }

    /// One datagram of the peer.
    fn take(
        &mut self,
        now: Instant,
        channel: Channel,
        octets: &[u8],
        events: &mut Vec<MediaEvent>,
        metrics: &ThreadMetrics,
    ) {
        let is_shared = self.remote_rtcp == Some(self.remote);
        match channel {
            Channel::Rtp if !(is_shared && is_rtcp(octets)) => {
                metrics.packets_received.add(1);
                self.stream.handle_rtp(now, octets, events);
            }
            // Where the peer has no port of its own for RTCP the second socket is not connected: it hears strangers only.
            Channel::Rtcp if is_shared || self.remote_rtcp.is_none() => {}
            Channel::Rtp | Channel::Rtcp => {
                metrics.rtcp_received.add(1);
                self.stream.handle_rtcp(now, octets);
            }
        }
    }
}

/// RFC 5761 §4: on a port that both share, the packet types of RTCP are 192 to 223.
fn is_rtcp(octets: &[u8]) -> bool {
    matches!(octets.get(1), Some(192..=223))
}

/// The socket of RTCP, and where it goes if that is not connected.
fn rtcp_way<'a>(sockets: &'a PortPair, running: &Running) -> Option<(&'a UdpSocket, Option<SocketAddr>)> {
    match running.remote_rtcp {
        None => None,
        Some(rtcp) if rtcp == running.remote => Some((&sockets.rtp, running.unconnected_to())),
        Some(_) => Some((&sockets.rtcp, None)),
    }
}

/// Multiplexed RTCP uses the first socket. A peer whose RTCP address is out of reach gets none.
fn reachable_rtcp(
    sockets: &PortPair,
    before: Option<SocketAddr>,
    remote: SocketAddr,
    wanted: Option<SocketAddr>,
) -> Option<SocketAddr> {
    wanted.filter(|rtcp| *rtcp == remote || before == Some(*rtcp) || connect(&sockets.rtcp, *rtcp).is_ok())
}

/// Connects and throws away what was queued before: from then on the kernel drops strangers, but the queue may
/// already hold their packets (SAFETY 3).
fn connect(socket: &UdpSocket, remote: SocketAddr) -> io::Result<()> {
    socket.connect(remote)?;
    let mut void = [0; 1];
    for _ in 0..DRAIN_PACKETS_MAX {
        match socket.recv(&mut void) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

/// `to`: where a socket that is not connected sends. Returns true when the peer's host has said that nobody is there.
fn send(socket: &UdpSocket, to: Option<SocketAddr>, octets: &[u8], metrics: &ThreadMetrics) -> bool {
    // Not `UdpSocket::send`: libc's is a cancellation point, which took 3 % of this thread.
    let once = || match to {
        None => rustix::net::send(socket, octets, SendFlags::empty()).map_err(io::Error::from),
        Some(to) => socket.send_to(octets, to),
    };
    let Err(error) = once() else {
        return false;
    };
    if !is_unreachable(&error) {
        metrics.send_errors.add(1);
        return false;
    }
    // The error belongs to an earlier packet; reporting it has kept this one from leaving.
    if once().is_err() {
        metrics.send_errors.add(1);
    }
    true
}

fn is_unreachable(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable
    )
}

fn name_of(command: &MediaCommand) -> &'static str {
    match command {
        MediaCommand::Start(_) => "Start",
        MediaCommand::Update(_) => "Update",
        MediaCommand::Answered => "Answered",
        MediaCommand::Screen => "Screen",
        MediaCommand::Play { .. } => "Play",
        MediaCommand::Stop => "Stop",
        MediaCommand::SendDigits { .. } => "SendDigits",
        MediaCommand::Info(_) => "Info",
        MediaCommand::Impair(_) => "Impair",
        MediaCommand::ReportQuality => "ReportQuality",
        MediaCommand::TakeAudio => "TakeAudio",
        MediaCommand::Close => "Close",
    }
}
