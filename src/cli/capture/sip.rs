//! The SIP messages in a capture: each datagram that is one, and the streams of TCP cut into theirs.
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use crate::sip::message::{Message, ParseError};
use crate::sip::wire::{Frame, StreamFramer};
use crate::telemetry::{Carried, Content};

/// Segments of one direction that wait for one that is missing.
const HELD_MAX: usize = 64;
/// A start line is looked for in so many octets.
const START_LINE_MAX: usize = 8 * 1024;

/// One message as it passed.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    /// The packet that made it whole.
    pub(super) packet: u64,
    pub(super) at: Duration,
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    /// `UDP` or `TCP`.
    pub(super) transport: &'static str,
    pub(super) message: Message,
    /// The same octets had passed there before.
    pub(super) again: bool,
}

/// What begins as SIP and is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) packet: u64,
    pub(super) what: String,
}

/// All of it, in the order of the capture.
#[derive(Debug, Default)]
pub(super) struct Signalling {
    pub(super) messages: Vec<Heard>,
    pub(super) faults: Vec<Fault>,
    /// Numbers of the packets whose datagram is SIP.
    pub(super) packets: BTreeSet<u64>,
}

type Way = (SocketAddr, SocketAddr);

pub(super) fn signalling(carried: &[Carried<'_>]) -> Signalling {
    let mut found = Signalling::default();
    let mut streams: BTreeMap<Way, Stream<'_>> = BTreeMap::new();
    let mut before: BTreeSet<(Way, Vec<u8>)> = BTreeSet::new();
    for one in carried {
        let way = (one.source, one.destination);
        match &one.content {
            Content::Datagram(octets) if is_sip(octets) => {
                found.packets.insert(one.packet);
                found.take(one, "UDP", octets, &mut before);
            }
            Content::Datagram(_) => {}
            Content::Segment {
                sequence,
                opens,
                octets,
            } => {
                let mut whole = Vec::new();
                let stream = streams.entry(way).or_default();
                stream.take(*sequence, *opens, octets, &mut whole);
                for message in whole {
                    found.take(one, "TCP", &message, &mut before);
                }
            }
        }
    }
    found
}

impl Signalling {
    fn take(
        &mut self,
        one: &Carried<'_>,
        transport: &'static str,
        octets: &[u8],
        before: &mut BTreeSet<(Way, Vec<u8>)>,
    ) {
        match Message::parse(octets) {
            Ok(message) => self.messages.push(Heard {
                packet: one.packet,
                at: one.since_epoch,
                source: one.source,
                destination: one.destination,
                transport,
                message,
                again: !before.insert(((one.source, one.destination), octets.to_vec())),
            }),
            Err(ParseError::KeepAlive) => {}
            Err(error) => self.faults.push(Fault {
                packet: one.packet,
                what: error.to_string(),
            }),
        }
    }
}

/// `INVITE sip:… SIP/2.0` or `SIP/2.0 200 OK`.
fn is_sip(octets: &[u8]) -> bool {
    if octets.starts_with(b"SIP/2.0 ") {
        return true;
    }
    let line = octets.split(|octet| matches!(octet, b'\r' | b'\n')).next();
    let line = line.unwrap_or_default();
    let is_short = line.len() <= START_LINE_MAX;
    is_short && line.first().is_some_and(u8::is_ascii_uppercase) && line.ends_with(b" SIP/2.0")
}

/// One direction of one connection.
#[derive(Default)]
struct Stream<'a> {
    /// Sequence number of the next octet.
    next: Option<u32>,
    held: Vec<(u32, &'a [u8])>,
    /// `None`: nothing of SIP has begun yet, or the stream cannot be cut any more; a start line begins anew.
    framer: Option<StreamFramer>,
}

impl<'a> Stream<'a> {
    fn take(&mut self, sequence: u32, opens: bool, octets: &'a [u8], whole: &mut Vec<Vec<u8>>) {
        // SYN takes a number of its own.
        let start = sequence.wrapping_add(u32::from(opens));
        if opens {
            *self = Self::default();
            self.next = Some(start);
        }
        if octets.is_empty() {
            return;
        }
        if ahead(start, *self.next.get_or_insert(start)) > 0 {
            if self.held.len() < HELD_MAX {
                self.held.push((start, octets));
                return;
            }
            // The capture has lost what is missing.
            self.held.clear();
            self.framer = None;
            self.next = Some(start);
        }
        self.append(start, octets, whole);
        while let Some(at) = self.held.iter().position(|(start, _)| self.is_due(*start)) {
            let (start, octets) = self.held.swap_remove(at);
            self.append(start, octets, whole);
        }
    }

    fn is_due(&self, start: u32) -> bool {
        self.next.is_some_and(|next| ahead(start, next) <= 0)
    }

    /// Takes octets whose place is the next one or before it; what came already is passed over.
    fn append(&mut self, start: u32, octets: &[u8], whole: &mut Vec<Vec<u8>>) {
        let next = self.next.unwrap_or(start);
        let known = usize::try_from(next.wrapping_sub(start)).unwrap_or(usize::MAX);
        let Some(fresh) = octets.get(known..).filter(|fresh| !fresh.is_empty()) else {
            return;
        };
        self.next = Some(next.wrapping_add(u32::try_from(fresh.len()).unwrap_or(0)));
        self.cut(fresh, whole);
    }

    fn cut(&mut self, mut octets: &[u8], whole: &mut Vec<Vec<u8>>) {
        if self.framer.is_none() && is_sip(octets) {
            self.framer = Some(StreamFramer::new());
        }
        while let Some(framer) = self.framer.as_mut().filter(|_| !octets.is_empty()) {
            let taken = framer.push(octets);
            octets = octets.get(taken..).unwrap_or_default();
            let mut goes_on = taken > 0;
            loop {
                match framer.next_frame() {
                    Ok(Some(Frame::Message(message))) => {
                        whole.push(message);
                        goes_on = true;
                    }
                    Ok(Some(Frame::Ping)) => goes_on = true,
                    Ok(None) if goes_on => break,
                    Ok(None) | Err(_) => {
                        self.framer = None;
                        return;
                    }
                }
            }
        }
    }
}

/// How far `start` lies behind (negative) or before the next octet.
const fn ahead(start: u32, next: u32) -> i32 {
    start.wrapping_sub(next).cast_signed()
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    const OPTIONS: &str = "OPTIONS sip:b@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK1\r\n\
        From: <sip:a@192.0.2.1>;tag=1\r\nTo: <sip:b@192.0.2.2>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n";

    fn carried(packet: u64, content: Content<'_>) -> Carried<'_> {
        Carried {
            packet,
            since_epoch: Duration::from_millis(packet),
            source: "192.0.2.1:5060".parse().unwrap(),
            destination: "192.0.2.2:5060".parse().unwrap(),
            content,
        }
    }

    fn segments(parts: &[(u32, bool, &str)]) -> Vec<u64> {
        let carried: Vec<Carried<'_>> = (1..)
            .zip(parts)
            .map(|(packet, (sequence, opens, text))| {
                let content = Content::Segment {
                    sequence: *sequence,
                    opens: *opens,
                    octets: Cow::Borrowed(text.as_bytes()),
                };
                carried(packet, content)
            })
            .collect();
        let found = signalling(&carried);
        assert_eq!(found.faults, []);
        found.messages.iter().map(|heard| heard.packet).collect()
    }

    #[test]
    fn a_stream_is_cut_whatever_its_segments() {
        let (a, b) = OPTIONS.split_at(100);
        let end = u32::try_from(OPTIONS.len()).unwrap();
        let start = u32::MAX - 50;
        let at = |offset: u32| start.wrapping_add(1 + offset);
        assert_eq!(
            segments(&[(start, true, ""), (at(0), false, a), (at(100), false, b)]),
            [3]
        );
        // Out of order, and one that comes again and brings more.
        let both = OPTIONS.repeat(2);
        assert_eq!(
            segments(&[
                (start, true, ""),
                (at(100), false, b),
                (at(0), false, a),
                (at(0), false, &both)
            ]),
            [3, 4]
        );
        // The capture begins within a message.
        assert_eq!(segments(&[(at(100), false, b), (at(end), false, OPTIONS)]), [2]);
        // What is missing never comes.
        let mut parts = vec![(at(0), false, a)];
        let late: Vec<(u32, bool, &str)> = (0..70).map(|n| (at(1000 + n * end), false, OPTIONS)).collect();
        parts.extend(late);
        assert!(!segments(&parts).is_empty());
    }

    #[test]
    fn a_datagram_that_comes_again_is_known() {
        let content = || Content::Datagram(Cow::Borrowed(OPTIONS.as_bytes()));
        let other = Content::Datagram(Cow::Borrowed(b"GET / HTTP/1.1\r\n\r\n".as_slice()));
        let found = signalling(&[carried(1, content()), carried(2, other), carried(3, content())]);
        let told: Vec<_> = found.messages.iter().map(|h| (h.packet, h.again)).collect();
        assert_eq!(told, [(1, false), (3, true)]);
        assert_eq!(found.packets, BTreeSet::from([1, 3]));
    }

    #[test]
    fn a_broken_message_names_its_packet() {
        let broken = Content::Datagram(Cow::Borrowed(
            b"INVITE sip:a@b SIP/2.0\r\nVia: x\r\n\r\n".as_slice(),
        ));
        let found = signalling(&[carried(7, broken)]);
        assert_eq!(found.faults.len(), 1);
        assert_eq!(found.faults[0].packet, 7);
    }
}
