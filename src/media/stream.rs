//! One call's leg as a value: commands and packets in, packets and events out. No socket, no clock.
//!
//! ```text
//!              command ─► playout ─┐
//!                         keying  ─┼─► sender ─► next_packet (every ptime, silence in between)
//! handle_rtp ─► receiver: source, payload type, order ─┬► telephone-event, tones ─► press ─► events
//!                                                      └► screening ─────────────────────────────► events
//! handle_rtcp, next_rtcp: reports every 5 s
//! ```
//! Where keys are agreed, all of it passes a shield at the edge: what leaves is encrypted, and what comes is looked
//! at only when it is authentic and new.
//! While media is agreed a packet leaves every ptime: the prompt, keys, or silence. Silence is sent and not
//! saved, because it keeps NAT bindings and session border controllers open. Timestamps run on through
//! everything; the marker is set after each gap.
//!
//! What it does not: decide what a press means, or notice that a peer has gone silent.
//!
//! Invariants:
//! - At any moment at most two packets are owed; what a longer stall missed is never sent, and media time jumps
//!   over it. A prompt loses none of its octets by that.
//! - [`MediaEvent::ClipDone`] comes with the packet that holds the clip's last octet, neither before nor without.
//! - Under keys nothing leaves in the clear, and nothing that came in the clear is believed.
//! - Whatever octets come in, at most a counter changes unless source, payload type and order are right.
//! - The path of a packet allocates nothing.
mod impair;
mod order;
mod receive;
mod recording;
mod screen;
mod send;
mod shield;
mod source;
mod tape;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::time::Instant;

pub use self::receive::Rejects;
pub use self::send::Outgoing;
pub use self::tape::{NO_DIGIT, Tape, TapeRules, Taped};

use self::receive::Receiver;
use self::send::Sender;
use self::shield::Shield;
use super::codec;
use super::command::{MediaCommand, MediaEvent, StreamConfig};
use super::keys::Content;
use super::learn::Claim;
use super::playout::Playout;
use super::quality;
use super::rtcp::{self, RtcpSession};
use super::rtp::{DATAGRAM_LEN_MAX, Packet};
use crate::model::{Entropy, QualityReport};

/// One leg with agreed media.
#[derive(Debug)]
pub struct Stream {
    config: StreamConfig,
    playout: Playout,
    sender: Sender,
    receiver: Receiver,
    rtcp: RtcpSession,
    shield: Shield,
    /// Only where the flight recorder wants this call's packets.
    tape: Option<Box<Tape>>,
}

impl Stream {
    /// Begins at `now`: the first packet is due at once.
    #[must_use]
    pub fn new(now: Instant, config: StreamConfig, mut entropy: Entropy) -> Self {
        let config = normalized(config);
        let sender = Sender::new(now, &config, entropy.fork());
        let receiver = Receiver::new(&config);
        let rtcp = RtcpSession::new(now, sender.ssrc(), entropy);
        let shield = Shield::default().under(config.srtp.as_deref());
        let tape = config.tape.map(|rules| {
            let mut tape = Tape::new(now, rules);
            tape.agreed(config.remote, config.remote_rtcp);
            Box::new(tape)
        });
        Self {
            config,
            playout: Playout::default(),
            sender,
            receiver,
            rtcp,
            shield,
            tape,
        }
    }

    pub fn command(&mut self, now: Instant, command: MediaCommand, events: &mut Vec<MediaEvent>) {
        match command {
            MediaCommand::Start(config) | MediaCommand::Update(config) => self.update(config),
            MediaCommand::Answered => self.receiver.listen_for_callee(),
            MediaCommand::Screen => self.receiver.screen(),
            MediaCommand::Play { id, clips, private } => self.playout.play(id, clips, private, events),
            MediaCommand::Stop => {
                self.playout.stop(events);
                self.sender.stop_digits();
            }
            MediaCommand::SendDigits { digits, keying } => self.sender.send_digits(digits, keying, events),
            MediaCommand::Info(key) => self.receiver.info(now, key, events),
            MediaCommand::Impair(impairment) => self.sender.impair(impairment),
            MediaCommand::ReportQuality => self.report_quality(events),
            MediaCommand::TakeAudio => self.receiver.take_audio(events),
            MediaCommand::Close => {
                self.playout.stop(events);
                self.receiver.take_audio(events);
                events.extend(self.tape.take().map(MediaEvent::Tape));
                self.report_quality(events);
            }
        }
    }

    fn update(&mut self, config: StreamConfig) {
        if self.config.remote != config.remote {
            self.receiver.moved();
        }
        self.config = normalized(config);
        self.sender.update(&self.config);
        self.receiver.update(&self.config);
        self.shield = std::mem::take(&mut self.shield).under(self.config.srtp.as_deref());
        if let Some(tape) = &mut self.tape {
            tape.agreed(self.config.remote, self.config.remote_rtcp);
        }
    }

    fn report_quality(&self, events: &mut Vec<MediaEvent>) {
        let report = self
            .receiver
            .quality()
            .report(self.sender.packets_sent(), self.rtcp.round_trip_ms());
        let silent = self.receiver.is_silent();
        let about_us = self.rtcp.about_us();
        events.push(MediaEvent::Quality(QualityReport {
            silent,
            peer_packets_lost: about_us.map(|block| u32::try_from(block.lost).unwrap_or(0)),
            peer_fraction_lost: about_us.map(|block| f32::from(block.fraction_lost) / 256.0),
            peer_jitter_ms: about_us.map(|block| quality::ticks_to_ms(block.jitter_ticks)),
            ..report
        }));
    }

    /// What a datagram says of its stream, if it is one that this stream would take: its payload type agreed, and
    /// authentic under keys. Changes nothing.
    #[must_use]
    pub fn vouch(&self, datagram: &[u8]) -> Option<Claim> {
        let packet = Packet::parse(datagram).ok()?;
        let payload_type = Some(packet.payload_type);
        let is_agreed =
            payload_type == Some(self.config.payload_type) || payload_type == self.config.telephone_event;
        let is_valid = self.config.receive
            && is_agreed
            && !packet.payload.is_empty()
            && self.shield.would_open_rtp(datagram);
        is_valid.then_some(Claim {
            ssrc: packet.ssrc,
            sequence: packet.sequence,
            timestamp: packet.timestamp,
        })
    }

    /// The peer was found to be elsewhere than SDP said.
    pub fn moved(&mut self, remote: SocketAddr, remote_rtcp: Option<SocketAddr>) {
        self.receiver.moved();
        self.config.remote = remote;
        self.config.remote_rtcp = remote_rtcp;
        if let Some(tape) = &mut self.tape {
            tape.agreed(remote, remote_rtcp);
        }
    }

    /// Takes one datagram from the RTP socket; with multiplexing it may be RTCP (RFC 5761 §4).
    pub fn handle_rtp(&mut self, now: Instant, datagram: &[u8], events: &mut Vec<MediaEvent>) {
        if rtcp::is_rtcp(datagram) {
            self.handle_rtcp(now, datagram);
            return;
        }
        if self.shield.is_open() {
            self.tape_received(now, datagram, false);
            self.receiver.handle(now, datagram, &self.config, events);
            return;
        }
        let mut plain = [0; DATAGRAM_LEN_MAX];
        match self.shield.open_rtp(datagram, &mut plain) {
            Ok(packet) => {
                self.tape_received(now, packet, true);
                self.receiver.handle(now, packet, &self.config, events);
            }
            Err(_) => self.receiver.reject_unauthentic(),
        }
    }

    fn tape_received(&mut self, now: Instant, datagram: &[u8], encrypted: bool) {
        if let Some(tape) = &mut self.tape
            && let Ok(packet) = Packet::parse(datagram)
        {
            let content = self.receiver.content(&packet);
            tape.received(now, &packet, content, encrypted);
        }
    }

    /// Takes one datagram from the RTCP socket. A bad one changes nothing; a BYE ends no call.
    pub fn handle_rtcp(&mut self, now: Instant, datagram: &[u8]) {
        if self.shield.is_open() {
            let is_rtcp = self.rtcp.on_packet(now, datagram).is_ok();
            if let Some(tape) = self.tape.as_mut().filter(|_| is_rtcp) {
                tape.rtcp(now, true, datagram);
            }
            return;
        }
        let mut plain = [0; DATAGRAM_LEN_MAX];
        match self.shield.open_rtcp(datagram, &mut plain) {
            Ok(packet) => {
                let _ = self.rtcp.on_packet(now, packet);
            }
            Err(_) => self.receiver.reject_unauthentic(),
        }
    }

    /// When something is to be done next: a packet, a report or a decision about a press.
    #[must_use]
    pub fn next_due(&self) -> Instant {
        let mut due = self.sender.due();
        if self.config.remote_rtcp.is_some() {
            due = due.min(self.rtcp.due_at());
        }
        match self.receiver.poll_timeout() {
            Some((at, _)) => due.min(at),
            None => due,
        }
    }

    /// Whether [`Self::next_due`] may be earlier than the next packet and the next report.
    #[must_use]
    pub fn has_decision_due(&self) -> bool {
        self.receiver.poll_timeout().is_some()
    }

    /// The next packet that is due, written to the front of `buffer`; `None` when there is none yet. To be called
    /// until it says so: a late caller gets up to two. The events hold once the packet has left.
    pub fn next_packet(
        &mut self,
        now: Instant,
        buffer: &mut [u8],
        events: &mut Vec<MediaEvent>,
    ) -> Option<Outgoing> {
        let outgoing = self
            .sender
            .next_packet(now, &self.config, &mut self.playout, buffer, events)?;
        if let Ok(packet) = Packet::parse(buffer.get(..outgoing.len)?) {
            let is_audio = packet.payload_type == self.config.payload_type;
            let sent_tones = self.sender.is_sending_tones();
            if let Some(tape) = &mut self.tape {
                let content = match is_audio {
                    true => Content::Audio(self.config.codec),
                    false => Content::Event { negotiated: true },
                };
                let under_keys = !self.shield.is_open();
                let private = sent_tones || self.playout.is_private() || under_keys;
                tape.sent(now, &packet, content, private);
            }
            if is_audio && self.receiver.heeds_own_sound() {
                // The octets of G.722 do not tell how loud it is.
                let mean_square = codec::mean_square(self.config.codec, packet.payload)
                    .unwrap_or_else(|| self.playout.mean_square());
                self.receiver.sent(mean_square, packet.payload.len(), sent_tones);
            }
        }
        let len = self.shield.seal_rtp(buffer, outgoing.len).ok()?;
        Some(Outgoing { len, ..outgoing })
    }

    /// The report that is due, written to the front of `buffer`.
    pub fn next_rtcp(&mut self, now: Instant, buffer: &mut [u8]) -> Option<usize> {
        if self.config.remote_rtcp.is_none() || now < self.rtcp.due_at() {
            return None;
        }
        let sent = self.sender.take_figures(now);
        let received = self.receiver.take_figures();
        let len = self.rtcp.write_report(now, sent, received, buffer).ok()?;
        self.tape_report(now, buffer.get(..len)?);
        self.shield.seal_rtcp(buffer, len).ok()
    }

    /// The last report, with the RTCP BYE.
    pub fn goodbye(&mut self, now: Instant, buffer: &mut [u8]) -> Option<usize> {
        self.config.remote_rtcp?;
        let sent = self.sender.take_figures(now);
        let received = self.receiver.take_figures();
        let len = self.rtcp.write_goodbye(now, sent, received, buffer).ok()?;
        self.tape_report(now, buffer.get(..len)?);
        self.shield.seal_rtcp(buffer, len).ok()
    }

    /// Under keys no report is kept.
    fn tape_report(&mut self, now: Instant, report: &[u8]) {
        if let Some(tape) = &mut self.tape
            && self.shield.is_open()
        {
            tape.rtcp(now, false, report);
        }
    }

    /// Lets deadlines pass that send nothing.
    pub fn poll(&mut self, now: Instant, events: &mut Vec<MediaEvent>) {
        self.receiver.poll(now, events);
    }

    /// Packets not sent since the last call of this, because their time had passed.
    pub fn take_skipped(&mut self) -> u64 {
        self.sender.take_skipped()
    }

    /// Received datagrams that were not believed since the last call of this; `None` without any.
    pub fn take_rejects(&mut self) -> Option<Rejects> {
        self.receiver.take_rejects()
    }

    /// Received datagrams that were not believed, by reason.
    #[must_use]
    pub const fn rejects(&self) -> Rejects {
        self.receiver.rejects()
    }
}

/// Packet lengths that some peer may ask for; anything else is sent as 20 ms.
fn normalized(config: StreamConfig) -> StreamConfig {
    let ptime_ms = match config.ptime_ms {
        agreed @ (10 | 20 | 30 | 40 | 50 | 60) => agreed,
        _ => 20,
    };
    StreamConfig { ptime_ms, ..config }
}
