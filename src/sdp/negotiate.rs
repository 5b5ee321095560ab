//! What two descriptions have in common (RFC 3264 §6, §7).
use std::net::{IpAddr, SocketAddr};

use super::crypto::Secured;
use super::lines::{Description, MediaLine, Transport, excerpt};
use super::{Direction, LocalMedia, Negotiated, PTIME_MS_ALLOWED, SdpError};
use crate::model::Codec;

/// Clock of G.711, in RTP also of G.722 (RFC 3551 §4.5.2), and of the telephone-event that goes with them.
const CLOCK_HZ: u32 = 8000;
/// `D`, the last of the sixteen keys among the events (RFC 4733 §3.2).
const KEY_EVENT_LAST: u8 = 15;

/// The answer to our one-stream offer: the first m-line counts.
pub(super) fn accept_answer(local: &LocalMedia, answer: &Description) -> Result<Negotiated, SdpError> {
    let [media, ..] = answer.medias.as_slice() else {
        return Err(SdpError::MediaLines { expected: 1, got: 0 });
    };
    // More m-lines than we offered break RFC 3264 §6; ours still is the first, and the others get nothing.
    // A refused line may carry another profile than ours.
    if media.transport().is_some() && media.raw.port == 0 {
        return Err(SdpError::Refused);
    }
    let secured = match &local.srtp {
        Some(sdes) => sdes.answered(media)?,
        None if media.transport() == Some(Transport::Plain) => None,
        None => return Err(media.no_audio("RTP/AVP")),
    };
    // We offered to send and to receive, so the peer's direction decides.
    agree(local, answer, media, local.rtcp_mux, secured)
}

/// A peer's offer: the first usable audio line is taken, one with keys before the others. Gives its index too.
pub(super) fn accept_offer(local: &LocalMedia, offer: &Description) -> Result<(usize, Negotiated), SdpError> {
    let mut audio: Vec<(usize, &MediaLine)> = offer
        .medias
        .iter()
        .enumerate()
        .filter(|(_, m)| match m.transport() {
            Some(Transport::Plain) => true,
            Some(Transport::Secure) => local.srtp.is_some(),
            None => false,
        })
        .collect();
    audio.sort_by_key(|(_, m)| m.transport() == Some(Transport::Plain));
    if audio.is_empty() {
        let lines: Vec<String> = offer.medias.iter().map(MediaLine::describe).collect();
        let got = if lines.is_empty() {
            "no m-line".to_owned()
        } else {
            lines.join(", ")
        };
        return Err(SdpError::NoAudio {
            expected: if local.srtp.is_some() {
                "RTP/SAVP"
            } else {
                "RTP/AVP"
            },
            got: excerpt(&got),
        });
    }
    let mut refusal = SdpError::Refused;
    for (index, media) in audio.into_iter().filter(|(_, m)| m.raw.port != 0) {
        let secured = match &local.srtp {
            Some(sdes) => sdes.taken(media),
            None => Ok(None),
        };
        match secured.and_then(|secured| agree(local, offer, media, true, secured)) {
            Ok(negotiated) => return Ok((index, negotiated)),
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

/// The peer's order of codecs decides, in both roles: the answerer keeps the offerer's order, and the offerer sends
/// with the answer's first (RFC 3264 §6.1, §7).
fn agree(
    local: &LocalMedia,
    description: &Description,
    media: &MediaLine,
    mux_allowed: bool,
    secured: Option<Secured>,
) -> Result<Negotiated, SdpError> {
    let address = description.address(media)?;
    if address.is_ipv4() != local.address.is_ipv4() && !address.is_unspecified() {
        return Err(SdpError::Address(format!(
            "{address}, and ours is {}",
            local.address
        )));
    }
    let (codec, payload_type) = common_codec(local, media)?;
    let remote = SocketAddr::new(address, media.raw.port);
    let rtcp_mux = mux_allowed && media.has("rtcp-mux");
    let direction = our_direction(description.direction(media), address);
    Ok(Negotiated {
        remote,
        remote_rtcp: remote_rtcp(media, remote, rtcp_mux),
        codec,
        payload_type,
        telephone_event: if local.telephone_event {
            telephone_event(media)
        } else {
            None
        },
        ptime_ms: ptime_ms(local, media),
        direction,
        rtcp_mux,
        secured,
    })
}

fn common_codec(local: &LocalMedia, media: &MediaLine) -> Result<(Codec, u8), SdpError> {
    let mut known = media
        .formats
        .iter()
        .filter_map(|pt| codec_of(media, *pt).map(|codec| (codec, *pt)));
    known
        .find(|(codec, _)| local.codecs.contains(codec))
        .ok_or_else(|| {
            let expected: Vec<&str> = local.codecs.iter().map(|c| c.as_str()).collect();
            SdpError::NoCommonCodec {
                expected: expected.join(" "),
                got: describe_formats(media),
            }
        })
}

/// By its rtpmap; a static number needs none (RFC 3551 §6).
fn codec_of(media: &MediaLine, payload_type: u8) -> Option<Codec> {
    let Some(map) = media.map(payload_type) else {
        return Codec::ALL
            .iter()
            .copied()
            .find(|c| c.static_payload_type() == payload_type);
    };
    if map.clock_hz != CLOCK_HZ || map.channels != 1 {
        return None;
    }
    Codec::ALL
        .iter()
        .copied()
        .find(|c| map.encoding.eq_ignore_ascii_case(c.as_str()))
}

/// Number of telephone-event at the audio's clock. A peer that lists only /16000 or /48000 means other codecs.
fn telephone_event(media: &MediaLine) -> Option<u8> {
    let listed = media.formats.iter().filter_map(|pt| media.map(*pt));
    let mut events = listed
        .filter(|m| m.encoding.eq_ignore_ascii_case("telephone-event") && m.clock_hz == CLOCK_HZ)
        .map(|m| m.payload_type);
    events.find(|payload_type| has_keys(media, *payload_type))
}

/// RFC 4733 §2.4.1: the events of `a=fmtp:101 0-11,16`. Without them, or where they cannot be read, the keys are meant.
fn has_keys(media: &MediaLine, payload_type: u8) -> bool {
    let Some(listed) = media.format_parameters(payload_type) else {
        return true;
    };
    let listed = listed.trim().trim_start_matches("events=");
    let range = |text: &str| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (first.trim().parse::<u8>().ok()?, last.trim().parse::<u8>().ok()?);
        (first <= last).then_some(first)
    };
    let starts: Option<Vec<u8>> = listed.split(',').map(range).collect();
    starts.is_none_or(|starts| starts.into_iter().any(|first| first <= KEY_EVENT_LAST))
}

fn describe_formats(media: &MediaLine) -> String {
    let names: Vec<String> = media
        .formats
        .iter()
        .map(|pt| match media.map(*pt) {
            Some(map) => format!("{}/{}", map.encoding, map.clock_hz),
            None => format!("payload type {pt}"),
        })
        .collect();
    if names.is_empty() {
        "no codec".to_owned()
    } else {
        excerpt(&names.join(" "))
    }
}

/// What the peer wants to receive per packet: `a=ptime`, bounded by `a=maxptime`; else what we would send. A value
/// that we cannot send becomes the nearest smaller one.
fn ptime_ms(local: &LocalMedia, media: &MediaLine) -> u8 {
    let number = |name| media.value(name).and_then(whole_ms);
    let wanted = number("ptime").unwrap_or_else(|| u32::from(local.ptime_ms));
    let wanted = number("maxptime").map_or(wanted, |most| wanted.min(most));
    let [smallest, ..] = PTIME_MS_ALLOWED;
    let fitting = PTIME_MS_ALLOWED
        .into_iter()
        .rev()
        .find(|ms| u32::from(*ms) <= wanted);
    fitting.unwrap_or(smallest)
}

/// Some peers write `20.0`; 0 and words count as absent.
fn whole_ms(value: &str) -> Option<u32> {
    let whole = value.split('.').next()?.trim();
    whole.parse().ok().filter(|ms| *ms > 0)
}

/// RFC 3264 §6.1 with §8.4: the mirror of the peer's direction; an unspecified address is hold, so we do not send.
fn our_direction(theirs: Direction, address: IpAddr) -> Direction {
    let ours = theirs.seen_from_peer();
    Direction::of(ours.sends() && !address.is_unspecified(), ours.receives())
}

/// `a=rtcp:<port> [IN IP4 <address>]` (RFC 3605), the RTP port itself when multiplexed, else the next port.
fn remote_rtcp(media: &MediaLine, remote: SocketAddr, rtcp_mux: bool) -> SocketAddr {
    if rtcp_mux {
        return remote;
    }
    let next = SocketAddr::new(remote.ip(), remote.port().checked_add(1).unwrap_or(remote.port()));
    let Some(value) = media.value("rtcp") else {
        return next;
    };
    let mut words = value.split_ascii_whitespace();
    let port = words
        .next()
        .and_then(|p| p.parse::<u16>().ok())
        .filter(|port| *port > 0);
    let Some(port) = port else { return next };
    // Reports go to the host that has the media, whatever address the attribute names: a peer must not aim our
    // packets at a third party.
    SocketAddr::new(remote.ip(), port)
}
