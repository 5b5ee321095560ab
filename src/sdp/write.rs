//! Our own bodies.
use sdp_types::{Connection, Media, MediaType, Origin, Session, Time, TransportProto};

use super::crypto::{Sdes, Secured};
use super::lines::Description;
use super::{Direction, LocalMedia, Negotiated, TELEPHONE_EVENT_PT};
use crate::model::SrtpProfile;

pub(super) fn offer(local: &LocalMedia) -> Vec<u8> {
    let mut formats: Vec<(u8, &str)> = local
        .codecs
        .iter()
        .map(|c| (c.static_payload_type(), c.as_str()))
        .collect();
    if local.telephone_event {
        formats.push((TELEPHONE_EVENT_PT, "telephone-event"));
    }
    let mut media = audio(
        local,
        TransportProto::RtpAvp,
        &formats,
        Direction::SendRecv,
        local.rtcp_mux,
    );
    if let Some(sdes) = &local.srtp {
        secure(&mut media, sdes, None);
    }
    write(local, vec![media])
}

/// RFC 3264 §8.3.2: a number keeps its meaning for the whole session.
pub(super) fn reoffer(local: &LocalMedia, agreed: &Negotiated) -> Vec<u8> {
    let others = local.codecs.iter().filter(|c| **c != agreed.codec);
    let others = others.map(|c| (c.static_payload_type(), c.as_str()));
    let mut formats = vec![(agreed.payload_type, agreed.codec.as_str())];
    formats.extend(others.filter(|(payload_type, _)| *payload_type != agreed.payload_type));
    if local.telephone_event {
        formats.push((
            agreed.telephone_event.unwrap_or(TELEPHONE_EVENT_PT),
            "telephone-event",
        ));
    }
    let mut media = audio(
        local,
        TransportProto::RtpAvp,
        &formats,
        Direction::SendRecv,
        agreed.rtcp_mux,
    );
    // What was agreed in the clear stays so.
    if let (Some(sdes), Some(secured)) = (&local.srtp, &agreed.secured) {
        secure(&mut media, sdes, Some(secured));
    }
    write(local, vec![media])
}

fn secure(media: &mut Media, sdes: &Sdes, agreed: Option<&Secured>) {
    if sdes.profile == SrtpProfile::Savp {
        media.proto = TransportProto::RtpSavp.as_str().to_owned();
    }
    for line in sdes.offered(agreed) {
        media.add_attribute_with_value("crypto", line);
    }
}

/// The offer's m-lines in order: the chosen one answered, every other one refused (RFC 3264 §6).
pub(super) fn answer(
    local: &LocalMedia,
    offer: &Description,
    chosen: usize,
    negotiated: &Negotiated,
) -> Vec<u8> {
    let medias = offer.medias.iter().enumerate().map(|(index, line)| {
        if index != chosen {
            let mut refused = line.raw.clone();
            refused.port = 0;
            refused.num_ports = None;
            refused.media_title = None;
            refused.connections.clear();
            refused.bandwidths.clear();
            refused.key = None;
            refused.attributes.clear();
            return refused;
        }
        let mut formats = vec![(negotiated.payload_type, negotiated.codec.as_str())];
        if let Some(payload_type) = negotiated.telephone_event {
            formats.push((payload_type, "telephone-event"));
        }
        let mut media = audio(
            local,
            TransportProto::RtpAvp,
            &formats,
            negotiated.direction,
            negotiated.rtcp_mux,
        );
        media.proto.clone_from(&line.raw.proto);
        if let Some(secured) = &negotiated.secured {
            media.add_attribute_with_value("crypto", secured.line());
        }
        media
    });
    write(local, medias.collect())
}

fn audio(
    local: &LocalMedia,
    proto: TransportProto,
    formats: &[(u8, &str)],
    direction: Direction,
    rtcp_mux: bool,
) -> Media {
    let numbers: Vec<String> = formats
        .iter()
        .map(|(payload_type, _)| payload_type.to_string())
        .collect();
    let mut media = Media::new(MediaType::Audio, local.port, proto, numbers.join(" "));
    for (payload_type, encoding) in formats {
        media.add_attribute_with_value("rtpmap", format!("{payload_type} {encoding}/8000"));
        if *encoding == "telephone-event" {
            media.add_attribute_with_value("fmtp", format!("{payload_type} 0-15"));
        }
    }
    media.add_attribute_with_value("ptime", local.ptime_ms);
    media.add_attribute_from_str(direction.attribute());
    if rtcp_mux {
        media.add_attribute_from_str("rtcp-mux");
    }
    media
}

fn write(local: &LocalMedia, medias: Vec<Media>) -> Vec<u8> {
    let origin = Origin::with_ip_addr(local.session_id, local.version, local.address);
    let mut session = Session::new(origin, "-");
    session.connection = Some(Connection::from_ip_addr(local.address));
    session.times = vec![Time::new(0, 0)];
    session.medias = medias;
    let mut body = Vec::with_capacity(512);
    // Writing into a Vec has no way to fail.
    let _ = session.write(&mut body);
    body
}
