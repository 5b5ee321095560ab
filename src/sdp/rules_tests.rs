//! SRTP lines, key events, IPv6 and re-offers: what is taken, ignored and refused.
use super::*;

fn local() -> LocalMedia {
    LocalMedia {
        address: "192.0.2.10".parse().unwrap(),
        port: 20_000,
        codecs: vec![Codec::Pcmu, Codec::Pcma],
        telephone_event: true,
        ptime_ms: 20,
        session_id: 42,
        version: 1,
        rtcp_mux: false,
        srtp: None,
    }
}

fn local_v6() -> LocalMedia {
    LocalMedia {
        address: "2001:db8::10".parse().unwrap(),
        ..local()
    }
}

fn body(connection: &str, media: &[&str]) -> Vec<u8> {
    let mut body = format!("v=0\no=- 1 1 IN IP4 198.51.100.7\ns=-\n{connection}\nt=0 0\n");
    for line in media {
        body.push_str(line);
        body.push('\n');
    }
    body.into_bytes()
}

fn v4(media: &[&str]) -> Vec<u8> {
    body("c=IN IP4 198.51.100.7", media)
}

const CRYPTO: &str =
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:32";

fn text(body: Vec<u8>) -> String {
    String::from_utf8(body).unwrap()
}

#[test]
fn crypto_in_plain_rtp_is_ignored_and_not_echoed() {
    let offered = v4(&["m=audio 4000 RTP/AVP 0", CRYPTO, "a=crypto:2 nonsense"]);
    let (answered, negotiated) = answer(&local(), &offered).unwrap();
    assert_eq!(negotiated.payload_type, 0);
    assert!(!text(answered).contains("crypto"));
    assert!(accept_answer(&local(), &offered).is_ok());
    assert!(!text(offer(&local())).contains("crypto"));
}

#[test]
fn secure_profiles_alone_are_refused_with_a_reason() {
    for proto in ["RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF"] {
        let line = format!("m=audio 4000 {proto} 0");
        let secure = v4(&[&line, CRYPTO]);
        let words = format!("expected an audio stream over RTP/AVP, got audio 4000 {proto}");
        assert_eq!(answer(&local(), &secure).unwrap_err().to_string(), words);
        assert_eq!(accept_answer(&local(), &secure).unwrap_err().to_string(), words);
        // Beside a plain line the plain one is taken, and the secure one refused in its place.
        let both = v4(&[&line, CRYPTO, "m=audio 4002 RTP/AVP 0"]);
        let (answered, negotiated) = answer(&local(), &both).unwrap();
        assert_eq!(negotiated.remote.port(), 4002);
        let answered = text(answered);
        let lines: Vec<&str> = answered.lines().filter(|l| l.starts_with("m=")).collect();
        assert_eq!(
            lines,
            [format!("m=audio 0 {proto} 0").as_str(), "m=audio 20000 RTP/AVP 0"]
        );
    }
}

#[test]
fn every_way_to_name_the_events_is_read_and_only_keys_count() {
    for (fmtp, keys) in [
        (None, true),
        (Some("0-15"), true),
        (Some("0-16"), true),
        (Some("0-11,16"), true),
        (Some("0-9, 11"), true),
        (Some("11"), true),
        (Some("events=0-15"), true),
        (Some("0-255"), true),
        // Unreadable: the event itself was still agreed.
        (Some(""), true),
        (Some("x"), true),
        (Some("15-0"), true),
        (Some("0-99999999999999999999"), true),
        // Flash, fax and line tones only: no key will come, and none can be sent.
        (Some("16"), false),
        (Some("16,32-49"), false),
        (Some("66-89"), false),
    ] {
        let fmtp_line = format!("a=fmtp:101 {}", fmtp.unwrap_or_default());
        let mut media = vec![
            "m=audio 4000 RTP/AVP 0 101",
            "a=rtpmap:0 PCMU/8000",
            "a=rtpmap:101 telephone-event/8000",
            // Of another format.
            "a=fmtp:0 16",
        ];
        if fmtp.is_some() {
            media.push(&fmtp_line);
        }
        let negotiated = accept_answer(&local(), &v4(&media)).unwrap();
        assert_eq!(negotiated.telephone_event, keys.then_some(101), "{fmtp:?}");
    }
}

#[test]
fn of_several_events_the_one_with_keys_at_the_audio_clock_is_taken() {
    let media = [
        "m=audio 4000 RTP/AVP 8 100 101 102",
        "a=rtpmap:100 telephone-event/16000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 32-49",
        "a=rtpmap:102 telephone-event/8000",
        "a=fmtp:102 0-15",
    ];
    let negotiated = accept_answer(&local(), &v4(&media)).unwrap();
    assert_eq!(negotiated.telephone_event, Some(102));
}

#[test]
fn hold_has_its_three_forms_over_ipv6_too() {
    for (connection, attribute, direction) in [
        ("c=IN IP6 ::", "a=sendrecv", Direction::RecvOnly),
        ("c=IN IP4 0.0.0.0", "a=sendrecv", Direction::RecvOnly),
        ("c=IN IP6 2001:db8::7", "a=sendonly", Direction::RecvOnly),
        ("c=IN IP6 2001:db8::7", "a=inactive", Direction::Inactive),
        ("c=IN IP6 2001:db8::7", "a=sendrecv", Direction::SendRecv),
    ] {
        let held = body(connection, &["m=audio 4000 RTP/AVP 0", attribute]);
        let (answered, negotiated) = answer(&local_v6(), &held).unwrap();
        assert_eq!(negotiated.direction, direction, "{connection} {attribute}");
        let answered = text(answered);
        assert!(
            answered.contains(&format!("a={}", direction.attribute()))
                && answered.contains("c=IN IP6 2001:db8::10"),
            "{answered}"
        );
    }
}

#[test]
fn ptime_of_an_offer_is_bounded_by_its_maxptime() {
    for (lines, sent) in [
        (&["a=maxptime:10"][..], 10),
        (&["a=maxptime:150"], 20),
        (&["a=ptime:60", "a=maxptime:40"], 40),
        (&["a=ptime:20", "a=maxptime:5"], 10),
        (&["a=ptime:30", "a=maxptime:0"], 30),
        (&["a=maxptime:30", "a=ptime:10"], 10),
    ] {
        let media = [&["m=audio 4000 RTP/AVP 8"], lines].concat();
        let (_, negotiated) = answer(&local(), &v4(&media)).unwrap();
        assert_eq!(negotiated.ptime_ms, sent, "{lines:?}");
    }
}

#[test]
fn a_reoffer_that_drops_or_moves_the_key_events_is_answered_in_kind() {
    let with = |number: u8| {
        let line = format!("m=audio 4000 RTP/AVP 0 {number}");
        let map = format!("a=rtpmap:{number} telephone-event/8000");
        v4(&[&line, &map])
    };
    for (offered, telephone_event, line) in [
        (with(101), Some(101), "m=audio 20000 RTP/AVP 0 101"),
        (with(96), Some(96), "m=audio 20000 RTP/AVP 0 96"),
        (v4(&["m=audio 4000 RTP/AVP 0"]), None, "m=audio 20000 RTP/AVP 0"),
    ] {
        let (answered, negotiated) = answer(&local().next_version(), &offered).unwrap();
        assert_eq!(negotiated.telephone_event, telephone_event);
        let answered = text(answered);
        assert!(answered.lines().any(|l| l == line), "{answered}");
        assert_eq!(
            answered.contains("a=fmtp"),
            telephone_event.is_some(),
            "{answered}"
        );
    }
}

#[test]
fn static_numbers_need_no_map_and_a_map_of_another_codec_wins() {
    for (media, found) in [
        (&["m=audio 4000 RTP/AVP 8 0"][..], (Codec::Pcma, 8)),
        (&["m=audio 4000 RTP/AVP 18 0"], (Codec::Pcmu, 0)),
        (
            &["m=audio 4000 RTP/AVP 0 8", "a=rtpmap:0 G729/8000"],
            (Codec::Pcma, 8),
        ),
        (
            &["m=audio 4000 RTP/AVP 110", "a=rtpmap:110 pcmu/8000"],
            (Codec::Pcmu, 110),
        ),
    ] {
        let negotiated = accept_answer(&local(), &v4(media)).unwrap();
        assert_eq!((negotiated.codec, negotiated.payload_type), found, "{media:?}");
    }
}

/// RFC 3551 §4.5.2: G722/8000, though it is sampled at 16 kHz; so telephone-event/8000 goes with it.
#[test]
fn g722_is_offered_in_the_trunks_order_and_agreed_by_name_or_number() {
    let wide = LocalMedia {
        codecs: vec![Codec::G722, Codec::Pcmu, Codec::Pcma],
        ..local()
    };
    let offered = text(offer(&wide));
    for line in [
        "m=audio 20000 RTP/AVP 9 0 8 101",
        "a=rtpmap:9 G722/8000",
        "a=rtpmap:101 telephone-event/8000",
    ] {
        assert!(offered.contains(line), "{offered}");
    }
    assert!(!text(offer(&local())).contains("G722"));
    for (media, codec, payload_type) in [
        (&["m=audio 4000 RTP/AVP 9 0"][..], Codec::G722, 9),
        (
            &["m=audio 4000 RTP/AVP 9", "a=rtpmap:9 g722/8000/1"],
            Codec::G722,
            9,
        ),
        (
            &["m=audio 4000 RTP/AVP 96 9", "a=rtpmap:96 G722/8000"],
            Codec::G722,
            96,
        ),
        (&["m=audio 4000 RTP/AVP 8 9 101"], Codec::Pcma, 8),
        // No such clock, and a number that was given another meaning.
        (
            &["m=audio 4000 RTP/AVP 96 0", "a=rtpmap:96 G722/16000"],
            Codec::Pcmu,
            0,
        ),
        (
            &["m=audio 4000 RTP/AVP 9 0", "a=rtpmap:9 opus/48000/2"],
            Codec::Pcmu,
            0,
        ),
    ] {
        let peer = v4(media);
        let agreed = accept_answer(&wide, &peer).unwrap();
        assert_eq!(
            (agreed.codec, agreed.payload_type),
            (codec, payload_type),
            "{media:?}"
        );
        let (body, taken) = answer(&wide, &peer).unwrap();
        assert_eq!(
            (taken.codec, taken.payload_type),
            (codec, payload_type),
            "{media:?}"
        );
        assert!(text(body).contains(&format!("a=rtpmap:{payload_type} {codec}/8000")));
    }
    let only = v4(&["m=audio 4000 RTP/AVP 9"]);
    let refused = accept_answer(&local(), &only).unwrap_err().to_string();
    assert_eq!(refused, "expected one of PCMU PCMA, the peer has payload type 9");
}
