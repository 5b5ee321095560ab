//! From octets to what offer/answer asks about: a tolerant reading of the lines, then `sdp_types` for their grammar.
//!
//! Only `v=`, `c=`, `m=` and `a=` decide about audio. Everything else, malformed or not, is dropped before the
//! parser sees it: a peer with a Latin-1 session name or a broken `t=` still talks.
use std::net::IpAddr;

use sdp_types::{Attribute, Connection, Media, Session};

use super::{ATTRIBUTES_MAX, Direction, FORMATS_MAX, MEDIA_LINES_MAX, SDP_LEN_MAX, SdpError};

/// Longest excerpt of the peer's words in an error, characters.
const EXCERPT_LEN_MAX: usize = 80;

/// A session description as far as we use it.
#[derive(Debug)]
pub(super) struct Description {
    pub(super) session: Session,
    pub(super) medias: Vec<MediaLine>,
}

/// One m-line with what belongs to it.
#[derive(Debug)]
pub(super) struct MediaLine {
    pub(super) raw: Media,
    /// Payload types, in the peer's order.
    pub(super) formats: Vec<u8>,
    /// `rtpmap` lines.
    pub(super) maps: Vec<FormatMap>,
}

/// How the packets of an m-line travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Plain,
    Secure,
}

/// `a=rtpmap:101 telephone-event/8000`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FormatMap {
    pub(super) payload_type: u8,
    pub(super) encoding: String,
    pub(super) clock_hz: u32,
    pub(super) channels: u8,
}

impl Description {
    pub(super) fn parse(body: &[u8]) -> Result<Self, SdpError> {
        if body.len() > SDP_LEN_MAX {
            return Err(SdpError::TooLong(body.len()));
        }
        let kept = keep_known_lines(body)?;
        let session =
            Session::parse(&kept).map_err(|error| SdpError::Malformed(excerpt(&error.to_string())))?;
        let medias = session
            .medias
            .iter()
            .map(MediaLine::read)
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self { session, medias })
    }

    /// Address of a media line: its own `c=`, else the session's (RFC 8866 §5.7).
    pub(super) fn address(&self, media: &MediaLine) -> Result<IpAddr, SdpError> {
        let connection = media.raw.connections.first().or(self.session.connection.as_ref());
        let Some(connection) = connection else {
            return Err(SdpError::Address("none".to_owned()));
        };
        unicast(connection)
    }

    /// The peer's own direction: of the media line, else of the session, else both ways (RFC 8866 §6.7).
    pub(super) fn direction(&self, media: &MediaLine) -> Direction {
        let of_media = media.raw.attributes.iter().rev().find_map(direction);
        let of_session = || self.session.attributes.iter().rev().find_map(direction);
        of_media.or_else(of_session).unwrap_or(Direction::SendRecv)
    }
}

impl MediaLine {
    fn read(media: &Media) -> Result<Self, SdpError> {
        let mut formats = Vec::new();
        for format in media.fmt.split_ascii_whitespace() {
            if formats.len() == FORMATS_MAX {
                return Err(SdpError::TooMany {
                    what: "payload types",
                    max: FORMATS_MAX,
                });
            }
            // A video or image line may carry other words; they are kept in `raw` for the refusal.
            if let Some(format) = format.parse::<u8>().ok().filter(|pt| *pt < 128) {
                formats.push(format);
            }
        }
        let maps = values(&media.attributes, "rtpmap")
            .filter_map(FormatMap::parse)
            .collect();
        let raw = media.clone();
        Ok(Self { raw, formats, maps })
    }

    /// Of an audio line over a profile that we know. Those with feedback are taken too: its messages are optional
    /// (RFC 4585 §3.1, RFC 5124 §3.3).
    pub(super) fn transport(&self) -> Option<Transport> {
        if !self.raw.media.eq_ignore_ascii_case("audio") {
            return None;
        }
        let known = [
            ("RTP/AVP", Transport::Plain),
            ("RTP/AVPF", Transport::Plain),
            ("RTP/SAVP", Transport::Secure),
            ("RTP/SAVPF", Transport::Secure),
        ];
        let proto = &self.raw.proto;
        let named = known
            .into_iter()
            .find(|(name, _)| proto.eq_ignore_ascii_case(name));
        named.map(|(_, transport)| transport)
    }

    pub(super) fn no_audio(&self, expected: &'static str) -> SdpError {
        SdpError::NoAudio {
            expected,
            got: self.describe(),
        }
    }

    /// Value attributes of this name.
    pub(super) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        values(&self.raw.attributes, name)
    }

    /// A value attribute, the first of its name.
    pub(super) fn value<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.values(name).next()
    }

    /// `a=fmtp:<payload type> <parameters>`.
    pub(super) fn format_parameters(&self, payload_type: u8) -> Option<&str> {
        values(&self.raw.attributes, "fmtp").find_map(|value| {
            let (number, parameters) = value.split_once(' ').unwrap_or((value, ""));
            (number.parse() == Ok(payload_type)).then_some(parameters)
        })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.raw
            .attributes
            .iter()
            .any(|a| a.attribute.trim().eq_ignore_ascii_case(name))
    }

    pub(super) fn map(&self, payload_type: u8) -> Option<&FormatMap> {
        self.maps.iter().find(|m| m.payload_type == payload_type)
    }

    /// For messages: `audio 4000 RTP/SAVP`.
    pub(super) fn describe(&self) -> String {
        excerpt(&format!(
            "{} {} {}",
            self.raw.media, self.raw.port, self.raw.proto
        ))
    }
}

impl FormatMap {
    /// `<payload type> <encoding>/<clock>[/<channels>]`.
    fn parse(value: &str) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        let payload_type = words.next()?.parse::<u8>().ok().filter(|pt| *pt < 128)?;
        let mut parts = words.next()?.split('/');
        let encoding = parts.next()?.to_owned();
        let clock_hz = parts.next().map_or(Some(8000), |clock| clock.parse().ok())?;
        let channels = parts.next().map_or(Some(1), |channels| channels.parse().ok())?;
        Some(Self {
            payload_type,
            encoding,
            clock_hz,
            channels,
        })
    }
}

/// The lines that decide about audio, one per line end, whatever the line end was.
fn keep_known_lines(body: &[u8]) -> Result<Vec<u8>, SdpError> {
    let mut kept = Vec::with_capacity(body.len() + 2);
    let (mut media_lines, mut attributes, mut session_connections) = (0, 0, 0);
    for line in body.split(|octet| matches!(octet, b'\n' | b'\r' | b'\0')) {
        let line = line.trim_ascii();
        let Some((key, value)) = line.split_first_chunk::<2>() else {
            continue;
        };
        match key {
            b"v=" => {}
            b"m=" => media_lines += 1,
            b"a=" => attributes += 1,
            // The first session-level c= counts; a second one has no meaning.
            b"c=" if media_lines == 0 && session_connections > 0 => continue,
            b"c=" if media_lines == 0 => session_connections += 1,
            b"c=" => {}
            _ => continue,
        }
        let readable = std::str::from_utf8(value).is_ok() || key == b"m=" || key == b"c=";
        if !readable {
            continue;
        }
        kept.extend_from_slice(key);
        let words = value
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        for (i, word) in words.enumerate() {
            if i > 0 {
                kept.push(b' ');
            }
            kept.extend_from_slice(word);
        }
        kept.extend_from_slice(b"\r\n");
    }
    within("media lines", MEDIA_LINES_MAX, media_lines)?;
    within("attributes", ATTRIBUTES_MAX, attributes)?;
    Ok(kept)
}

const fn within(what: &'static str, max: usize, count: usize) -> Result<(), SdpError> {
    if count > max {
        return Err(SdpError::TooMany { what, max });
    }
    Ok(())
}

fn values<'a>(attributes: &'a [Attribute], name: &'a str) -> impl Iterator<Item = &'a str> {
    let named = attributes
        .iter()
        .filter(move |a| a.attribute.trim().eq_ignore_ascii_case(name));
    named.filter_map(|a| a.value.as_deref().map(str::trim))
}

fn direction(attribute: &Attribute) -> Option<Direction> {
    if attribute.value.is_some() {
        return None;
    }
    let all = [
        Direction::SendRecv,
        Direction::SendOnly,
        Direction::RecvOnly,
        Direction::Inactive,
    ];
    let name = attribute.attribute.trim();
    all.into_iter().find(|d| name.eq_ignore_ascii_case(d.attribute()))
}

/// Host names are not looked up: no carrier sends them, and a look-up would let a peer choose our packets' target.
pub(super) fn unicast(connection: &Connection) -> Result<IpAddr, SdpError> {
    let text = &connection.connection_address;
    let refuse = || SdpError::Address(excerpt(text));
    let ip = connection.try_address().map_err(|_| refuse())?.ip.to_canonical();
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    if ip.is_multicast() || broadcast {
        return Err(refuse());
    }
    Ok(ip)
}

/// The peer's words, short and printable.
pub(super) fn excerpt(text: &str) -> String {
    let printable = text.chars().map(|c| if c.is_control() { '.' } else { c });
    printable.take(EXCERPT_LEN_MAX).collect()
}
