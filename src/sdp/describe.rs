//! The audio lines of anyone's SDP, for people who look at a call of others: nothing is negotiated, nothing refused.
use std::net::IpAddr;

use super::lines::{Description, MediaLine, Transport};
use super::{Direction, SdpError};

/// One `m=audio` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioLine {
    /// `None`: no `c=` line, or none with a unicast IP address.
    pub address: Option<IpAddr>,
    pub port: u16,
    /// In the order of the line.
    pub formats: Vec<AudioFormat>,
    pub ptime_ms: Option<u8>,
    /// As its sender sees it.
    pub direction: Direction,
    /// RTP/SAVP, or keys in RTP/AVP.
    pub secured: bool,
    pub rtcp_mux: bool,
}

/// One payload type and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioFormat {
    pub payload_type: u8,
    /// `PCMU`, `telephone-event`; `None` for a number that nothing explains.
    pub encoding: Option<String>,
    pub clock_hz: u32,
}

/// Names of the static numbers (RFC 3551 §6).
const STATIC: [(u8, &str); 9] = [
    (0, "PCMU"),
    (3, "GSM"),
    (4, "G723"),
    (8, "PCMA"),
    (9, "G722"),
    (12, "QCELP"),
    (13, "CN"),
    (15, "G728"),
    (18, "G729"),
];

/// Every audio line of a body.
pub fn describe(body: &[u8]) -> Result<Vec<AudioLine>, SdpError> {
    let description = Description::parse(body)?;
    let audio = description
        .medias
        .iter()
        .filter(|media| media.raw.media.eq_ignore_ascii_case("audio"));
    Ok(audio.map(|media| line(&description, media)).collect())
}

fn line(description: &Description, media: &MediaLine) -> AudioLine {
    let secured = media.transport() == Some(Transport::Secure) || media.values("crypto").next().is_some();
    AudioLine {
        address: description.address(media).ok(),
        port: media.raw.port,
        formats: media
            .formats
            .iter()
            .map(|number| format(media, *number))
            .collect(),
        ptime_ms: media.value("ptime").and_then(|ptime| ptime.trim().parse().ok()),
        direction: description.direction(media),
        secured,
        rtcp_mux: media.has("rtcp-mux"),
    }
}

fn format(media: &MediaLine, payload_type: u8) -> AudioFormat {
    let fixed = STATIC.iter().find(|(number, _)| *number == payload_type);
    match (media.map(payload_type), fixed) {
        (Some(map), _) => AudioFormat {
            payload_type,
            encoding: Some(map.encoding.clone()),
            clock_hz: map.clock_hz,
        },
        (None, fixed) => AudioFormat {
            payload_type,
            encoding: fixed.map(|(_, name)| (*name).to_owned()),
            clock_hz: 8000,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_softphone_offers_is_told() {
        let body = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 10000 RTP/AVP 96 0 101 77\r\n\
            a=rtpmap:96 opus/48000/2\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\na=sendonly\r\nm=video 0 RTP/AVP 99\r\n";
        let lines = describe(body).unwrap();
        let [line] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!(
            (line.address, line.port),
            (Some("192.0.2.1".parse().unwrap()), 10_000)
        );
        assert_eq!((line.ptime_ms, line.direction), (Some(20), Direction::SendOnly));
        assert!(!line.secured && !line.rtcp_mux);
        let told: Vec<_> = line
            .formats
            .iter()
            .map(|f| (f.payload_type, f.encoding.as_deref(), f.clock_hz))
            .collect();
        let expected = [
            (96, Some("opus"), 48_000),
            (0, Some("PCMU"), 8000),
            (101, Some("telephone-event"), 8000),
            (77, None, 8000),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn keys_are_seen_under_either_profile() {
        for (proto, key) in [
            ("RTP/SAVP", ""),
            ("RTP/AVP", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\r\n"),
        ] {
            let body = format!("v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 1 {proto} 8\r\n{key}");
            assert!(describe(body.as_bytes()).unwrap()[0].secured, "{proto}");
        }
    }
}
