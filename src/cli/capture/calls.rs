//! Messages and streams → calls: by Call-ID, and by the addresses that their SDP announces.
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::listen::{self, Meaning};
use super::report::{Audio, Call, Exchange, Key, LeftOut, Malformed, Message, Report, Sound, Stream, shown};
use super::rtp::{self, Flow, Media};
use super::sip::{self, Heard, Signalling};
use crate::media::press::{InfoKey, parse_info};
use crate::model::UnixMillis;
use crate::sdp::{self, AudioLine, Direction};
use crate::sip::message::{Message as SipMessage, Method, NameAddr};
use crate::telemetry::Dissection;

/// How much earlier than its announcement a stream may pass the capture, and be its first choice.
const EARLY_MAX: Duration = Duration::from_secs(1);
/// A stream may begin before the SDP that announces it has passed, and go on after the last message.
const APART_MAX: Duration = Duration::from_secs(30);

/// Reads everything that the capture holds.
pub(super) fn report(origin: Instant, dissection: &Dissection<'_>) -> Report {
    let signalling = sip::signalling(&dissection.carried);
    let media = rtp::media(&dissection.carried, &signalling.packets);
    let mut desk = Desk::new(origin, &signalling, &media);
    desk.assign();
    let began = dissection
        .carried
        .first()
        .map_or(Duration::ZERO, |c| c.since_epoch);
    Report {
        packets: dissection.packets,
        exchanges: exchanges(&signalling, &desk.calls),
        streams: desk.strangers(began),
        calls: (0..desk.calls.len()).map(|at| desk.call(at)).collect(),
        left_out: dissection
            .left_out
            .iter()
            .map(|left| LeftOut {
                reason: left.reason,
                count: left.count,
                first_packet: left.packet,
            })
            .collect(),
        malformed: signalling
            .faults
            .iter()
            .map(|fault| Malformed {
                packet: fault.packet,
                error: shown(&fault.what),
            })
            .collect(),
        damage: dissection.damage.as_ref().map(ToString::to_string),
    }
}

/// SIP that is no call, by method.
fn exchanges(signalling: &Signalling, calls: &[Dialled<'_>]) -> Vec<Exchange> {
    let known: BTreeSet<&str> = calls.iter().map(|call| call.call_id).collect();
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for heard in &signalling.messages {
        let call_id = heard.message.headers().call_id().unwrap_or_default();
        if let SipMessage::Request(request) = &heard.message
            && !known.contains(call_id)
        {
            *counts.entry(request.method.as_str()).or_default() += 1;
        }
    }
    let counted = counts.into_iter();
    counted
        .map(|(method, requests)| Exchange {
            method: shown(method),
            requests,
        })
        .collect()
}

/// One Call-ID with an INVITE.
struct Dialled<'a> {
    call_id: &'a str,
    heard: Vec<&'a Heard>,
    announced: Vec<Announced>,
}

/// Where an SDP asks for media.
struct Announced {
    at: Duration,
    address: SocketAddr,
    /// Who sent the SDP.
    by: SocketAddr,
    line: AudioLine,
}

struct Desk<'a> {
    origin: Instant,
    calls: Vec<Dialled<'a>>,
    media: &'a Media<'a>,
    /// By place among the flows: the call that it belongs to.
    assigned: Vec<Option<usize>>,
}

impl<'a> Desk<'a> {
    fn new(origin: Instant, signalling: &'a Signalling, media: &'a Media<'a>) -> Self {
        let mut by_id: BTreeMap<&str, Vec<&Heard>> = BTreeMap::new();
        for heard in &signalling.messages {
            let call_id = heard.message.headers().call_id().unwrap_or_default();
            by_id.entry(call_id).or_default().push(heard);
        }
        let mut calls: Vec<Dialled<'_>> = by_id
            .into_iter()
            .filter(|(_, heard)| {
                heard
                    .iter()
                    .any(|h| method(&h.message) == Method::Invite.as_str())
            })
            .map(|(call_id, heard)| Dialled {
                call_id,
                announced: heard.iter().flat_map(|h| announced(h)).collect(),
                heard,
            })
            .collect();
        calls.sort_by_key(Dialled::began);
        Self {
            origin,
            calls,
            media,
            assigned: vec![None; media.flows.len()],
        }
    }

    fn assign(&mut self) {
        for (at, flow) in self.media.flows.iter().enumerate() {
            let fits = |address: SocketAddr| {
                let calls = self.calls.iter().enumerate();
                let wanting = calls.filter_map(|(call, dialled)| {
                    let distance = dialled.distance(flow, address)?;
                    Some((distance, call))
                });
                wanting.min().map(|(_, call)| call)
            };
            let call = fits(flow.destination).or_else(|| fits(flow.source));
            if let Some(place) = self.assigned.get_mut(at) {
                *place = call;
            }
        }
    }

    fn flows_of(&self, call: Option<usize>) -> impl Iterator<Item = &'a Flow<'a>> + use<'a, '_> {
        let assigned = self.media.flows.iter().zip(&self.assigned);
        assigned.filter(move |(_, at)| **at == call).map(|(flow, _)| flow)
    }

    /// What looks like RTP and belongs to no call.
    fn strangers(&self, began: Duration) -> Vec<Stream> {
        let flows = self.flows_of(None).filter(|flow| flow.is_believable());
        flows
            .map(|flow| self.stream(flow, &Meaning::default(), began))
            .collect()
    }

    fn stream(&self, flow: &Flow<'_>, meaning: &Meaning, began: Duration) -> Stream {
        let figures = listen::measure(self.origin, flow, meaning);
        let sent = figures.packets + figures.lost;
        let rtcp = |apart: u16| {
            let way = (moved(flow.source, apart), moved(flow.destination, apart));
            self.media.rtcp.get(&way).copied().unwrap_or(0)
        };
        Stream {
            from: flow.source,
            to: flow.destination,
            ssrc: format!("{:08x}", flow.ssrc),
            codec: match meaning.encrypted {
                true => format!("{} (encrypted)", figures.codec),
                false => figures.codec,
            },
            first_ms: since(flow.began(), began),
            last_ms: since(flow.ended(), began),
            packets: figures.packets,
            lost: figures.lost,
            loss_percent: rounded(figures.lost as f64 * 100.0 / sent.max(1) as f64),
            jitter_mean_ms: rounded(figures.jitter_mean_ms),
            jitter_max_ms: rounded(figures.jitter_max_ms),
            jitter_last_ms: rounded(figures.jitter_last_ms),
            mos: figures.mos.map(rounded),
            sound: figures.sound,
            event_packets: figures.event_packets,
            rtcp_packets: rtcp(0) + rtcp(1),
        }
    }

    fn call(&self, at: usize) -> Call {
        let Some(dialled) = self.calls.get(at) else {
            return Call::default();
        };
        let began = dialled.began();
        let flows: Vec<(&Flow<'_>, Meaning)> = self
            .flows_of(Some(at))
            .map(|flow| (flow, dialled.meaning(flow)))
            .collect();
        let streams: Vec<Stream> = flows
            .iter()
            .map(|(flow, meaning)| self.stream(flow, meaning, began))
            .collect();
        let keys = self.keys(dialled, &flows, began);
        let headers = dialled.heard.first().map(|heard| heard.message.headers());
        let party = |party: Option<NameAddr>| {
            shown(&party.map_or_else(|| "?".to_owned(), |party| party.uri.to_string()))
        };
        Call {
            call_id: shown(dialled.call_id),
            from: party(headers.and_then(|headers| headers.from().ok())),
            to: party(headers.and_then(|headers| headers.to().ok())),
            started_at: wallclock(began),
            outcome: super::outcome::told(&dialled.heard),
            hosts: dialled.hosts(),
            messages: dialled.heard.iter().map(|heard| message(heard, began)).collect(),
            notes: notes(&streams, &keys),
            streams,
            keys,
        }
    }

    fn keys(&self, dialled: &Dialled<'_>, flows: &[(&Flow<'_>, Meaning)], began: Duration) -> Vec<Key> {
        let mut infos = dialled.infos();
        let mut found = Vec::new();
        for (flow, meaning) in flows {
            let back = flows
                .iter()
                .find(|(back, _)| (back.source, back.destination) == (flow.destination, flow.source));
            // Keys of the side that announced where this stream comes from; a NAT hides that, and then they stand alone.
            let by = dialled.announced.iter().find(|a| a.address == flow.source);
            let own = by.and_then(|by| infos.remove(&by.by)).unwrap_or_default();
            let back = back.map(|(back, meaning)| (*back, meaning));
            let heard = listen::keys(self.origin, Some((flow, meaning)), back, &own);
            found.extend(
                heard
                    .into_iter()
                    .map(|key| told(&key, began, flow.source, flow.destination)),
            );
        }
        for (by, alone) in infos {
            let to = dialled
                .heard
                .iter()
                .find(|h| h.source == by)
                .map_or(by, |h| h.destination);
            let heard = listen::keys(self.origin, None, None, &alone);
            found.extend(heard.into_iter().map(|key| told(&key, began, by, to)));
        }
        found.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms));
        found
    }
}

fn told(key: &listen::HeardKey, began: Duration, from: SocketAddr, to: SocketAddr) -> Key {
    Key {
        at_ms: since(key.at, began),
        digit: key.press.digit.as_char(),
        transport: key.press.transport.as_str(),
        duration_ms: key.duration_ms,
        mismatch: key.press.mismatch,
        from,
        to,
    }
}

impl Dialled<'_> {
    fn began(&self) -> Duration {
        self.heard.first().map_or(Duration::ZERO, |heard| heard.at)
    }

    fn ended(&self) -> Duration {
        self.heard.last().map_or(Duration::ZERO, |heard| heard.at)
    }

    /// How well an announcement of that address fits the beginning of a stream, less is better; none when it cannot be
    /// meant. Ports are used again: what was announced before goes before what is announced after.
    fn distance(&self, flow: &Flow<'_>, address: SocketAddr) -> Option<(bool, Duration)> {
        let began = flow.began();
        if began > self.ended() + APART_MAX {
            return None;
        }
        let announced = self.announced.iter().filter(|a| a.address == address);
        announced
            .map(|a| (a.at > began + EARLY_MAX, began.abs_diff(a.at)))
            .min()
            .filter(|_| began + APART_MAX >= self.began())
    }

    /// The receiver's SDP numbers the packets (RFC 3264 §5.1); where it is not known, the sender's.
    fn meaning(&self, flow: &Flow<'_>) -> Meaning {
        let of = |address: SocketAddr| {
            let announced = self.announced.iter().filter(move |a| a.address == address);
            announced.map(|a| &a.line)
        };
        let mut meaning = Meaning::default();
        let lines: Vec<&AudioLine> = of(flow.source).chain(of(flow.destination)).collect();
        for format in lines.iter().flat_map(|line| &line.formats) {
            let Some(encoding) = &format.encoding else {
                continue;
            };
            meaning.encodings.insert(format.payload_type, encoding.clone());
            if encoding.eq_ignore_ascii_case("telephone-event") && format.clock_hz == 8000 {
                meaning.telephone_event = Some(format.payload_type);
            }
        }
        // What one side only offers is not yet encrypted; the last word of each side counts.
        let last = |address: SocketAddr| of(address).next_back().map(|line| line.secured);
        let (source, destination) = (last(flow.source), last(flow.destination));
        meaning.encrypted = source.or(destination) == Some(true) && destination.or(source) == Some(true);
        meaning
    }

    fn hosts(&self) -> Vec<SocketAddr> {
        let mut hosts = Vec::new();
        for heard in &self.heard {
            for host in [heard.source, heard.destination] {
                if !hosts.contains(&host) {
                    hosts.push(host);
                }
            }
        }
        hosts
    }

    /// Keys by SIP INFO, by who sent them.
    fn infos(&self) -> BTreeMap<SocketAddr, Vec<(Duration, InfoKey)>> {
        let mut infos: BTreeMap<SocketAddr, Vec<(Duration, InfoKey)>> = BTreeMap::new();
        // Behind a proxy it passes twice.
        let mut seen = BTreeSet::new();
        for heard in &self.heard {
            let SipMessage::Request(request) = &heard.message else {
                continue;
            };
            let (from, cseq) = (request.headers.get("From"), request.headers.get("CSeq"));
            if request.method != Method::Info || !seen.insert((from, cseq)) {
                continue;
            }
            let content_type = request.headers.content_type().unwrap_or_default();
            if let Some(key) = parse_info(content_type, &request.body) {
                infos.entry(heard.source).or_default().push((heard.at, key));
            }
        }
        infos
    }
}

fn announced(heard: &Heard) -> Vec<Announced> {
    let lines = heard.message.sdp().map(sdp::describe);
    let lines = lines.and_then(Result::ok).unwrap_or_default();
    let reachable = lines.into_iter().filter_map(|line| {
        let address = line.address.filter(|address| !address.is_unspecified())?;
        Some(Announced {
            at: heard.at,
            address: SocketAddr::new(address, line.port),
            by: heard.source,
            line,
        })
    });
    reachable
        .filter(|announced| announced.address.port() != 0)
        .collect()
}

fn message(heard: &Heard, began: Duration) -> Message {
    let lines = heard.message.sdp().map(sdp::describe);
    let lines = lines.and_then(Result::ok).unwrap_or_default();
    let status = match &heard.message {
        SipMessage::Request(_) => None,
        SipMessage::Response(response) => Some(response.status),
    };
    Message {
        packet: heard.packet,
        at_ms: since(heard.at, began),
        from: heard.source,
        to: heard.destination,
        transport: heard.transport,
        summary: super::outcome::summary(&heard.message),
        method: shown(method(&heard.message)),
        status,
        again: heard.again,
        sdp: lines.iter().map(audio).collect(),
    }
}

fn audio(line: &AudioLine) -> Audio {
    let event = |encoding: &str| encoding.eq_ignore_ascii_case("telephone-event");
    let codecs = line
        .formats
        .iter()
        .filter(|f| !f.encoding.as_deref().is_some_and(event));
    let events = line
        .formats
        .iter()
        .find(|f| f.encoding.as_deref().is_some_and(event));
    Audio {
        address: line.address,
        port: line.port,
        codecs: codecs
            .map(|f| match &f.encoding {
                Some(encoding) => format!("{}/{}", shown(encoding), f.payload_type),
                None => format!("?/{}", f.payload_type),
            })
            .collect(),
        telephone_event: events.map(|f| f.payload_type),
        ptime_ms: line.ptime_ms,
        direction: match line.direction {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        },
        encrypted: line.secured,
    }
}

/// What an engineer would see at once in the media of a call.
fn notes(streams: &[Stream], keys: &[Key]) -> Vec<String> {
    let mut notes = BTreeSet::new();
    for stream in streams {
        if !streams
            .iter()
            .any(|back| (back.from, back.to) == (stream.to, stream.from))
        {
            notes.insert(format!("one-way: no RTP comes from {}", stream.to));
        }
        if stream.sound == Sound::Silence {
            notes.insert(format!(
                "silent: all audio from {} is digital silence",
                stream.from
            ));
        }
    }
    for key in keys.iter().filter(|key| key.mismatch) {
        notes.insert(format!(
            "keys of {} are tones, though events were agreed",
            key.from
        ));
    }
    notes.into_iter().collect()
}

/// Of a request its own, of a response that of its CSeq.
pub(super) fn method(message: &SipMessage) -> &str {
    match message {
        SipMessage::Request(request) => request.method.as_str(),
        SipMessage::Response(response) => {
            let cseq = response.headers.get("CSeq").unwrap_or_default();
            cseq.split_ascii_whitespace().nth(1).unwrap_or_default()
        }
    }
}

/// The address with its port so many further on; RTCP is one above its RTP.
fn moved(address: SocketAddr, by: u16) -> SocketAddr {
    let mut moved = address;
    moved.set_port(address.port().wrapping_add(by));
    moved
}

pub(super) fn since(at: Duration, began: Duration) -> f64 {
    let ms = match at.checked_sub(began) {
        Some(after) => after.as_secs_f64() * 1000.0,
        None => -(began.saturating_sub(at).as_secs_f64() * 1000.0),
    };
    rounded(ms)
}

/// To thousandths.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn wallclock(at: Duration) -> String {
    let ms = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    UnixMillis(ms).to_rfc3339()
}
