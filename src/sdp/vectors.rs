//! Bodies in the styles of common devices, each with its expected result, and the rules of offer and answer.
use std::net::SocketAddr;

use proptest::prelude::*;

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

/// Lines joined by CRLF.
fn body(lines: &[&str]) -> Vec<u8> {
    let mut body = lines.join("\r\n");
    body.push_str("\r\n");
    body.into_bytes()
}

/// A minimal answer with its media lines.
fn with_media(media: &[&str]) -> Vec<u8> {
    let session = [
        "v=0",
        "o=- 1 1 IN IP4 198.51.100.7",
        "s=-",
        "c=IN IP4 198.51.100.7",
        "t=0 0",
    ];
    body(&[&session[..], media].concat())
}

fn accepted(answer: &[u8]) -> Negotiated {
    accept_answer(&local(), answer).unwrap()
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn text(body: &[u8]) -> String {
    String::from_utf8(body.to_vec()).unwrap()
}

/// Answers to our offer, one per device style: (name, body, remote, codec, payload type, telephone-event, ptime,
/// direction).
type Expected = (&'static str, Codec, u8, Option<u8>, u8, Direction);

fn device_answers() -> Vec<(&'static str, Vec<u8>, Expected)> {
    vec![
        (
            "asterisk",
            body(&[
                "v=0",
                "o=- 1795375740 1795375741 IN IP4 198.51.100.7",
                "s=Asterisk",
                "c=IN IP4 198.51.100.7",
                "t=0 0",
                "m=audio 17480 RTP/AVP 0 101",
                "a=rtpmap:0 PCMU/8000",
                "a=rtpmap:101 telephone-event/8000",
                "a=fmtp:101 0-16",
                "a=ptime:20",
                "a=maxptime:140",
                "a=sendrecv",
            ]),
            ("198.51.100.7:17480", Codec::Pcmu, 0, Some(101), 20, Direction::SendRecv),
        ),
        (
            "freeswitch",
            body(&[
                "v=0",
                "o=FreeSWITCH 1795360001 1795360002 IN IP4 198.51.100.8",
                "s=FreeSWITCH",
                "c=IN IP4 198.51.100.8",
                "t=0 0",
                "m=audio 29034 RTP/AVP 8 101",
                "a=rtpmap:8 PCMA/8000",
                "a=rtpmap:101 telephone-event/8000",
                "a=fmtp:101 0-15",
                "a=silenceSupp:off - - - -",
                "a=ptime:20",
                "a=rtcp:29035 IN IP4 198.51.100.8",
            ]),
            ("198.51.100.8:29034", Codec::Pcma, 8, Some(101), 20, Direction::SendRecv),
        ),
        (
            "rtpengine behind kamailio",
            body(&[
                "v=0",
                "o=- 3946278123 3946278124 IN IP4 203.0.113.4",
                "s=-",
                "t=0 0",
                "m=audio 30128 RTP/AVP 0 96",
                "c=IN IP4 203.0.113.4",
                "a=label:0",
                "a=rtpmap:0 PCMU/8000",
                "a=rtpmap:96 telephone-event/8000",
                "a=sendrecv",
                "a=rtcp:30129",
                "a=ssrc:12345 cname:abc",
            ]),
            ("203.0.113.4:30128", Codec::Pcmu, 0, Some(96), 20, Direction::SendRecv),
        ),
        (
            "cisco",
            body(&[
                "v=0",
                "o=CiscoSystemsSIP-GW-UserAgent 1834 4627 IN IP4 198.51.100.20",
                "s=SIP Call",
                "c=IN IP4 198.51.100.20",
                "t=0 0",
                "m=audio 17222 RTP/AVP 0 100 19",
                "c=IN IP4 198.51.100.21",
                "a=rtpmap:0 PCMU/8000",
                "a=rtpmap:100 telephone-event/8000",
                "a=fmtp:100 0-15",
                "a=rtpmap:19 CN/8000",
                "a=ptime:20",
            ]),
            ("198.51.100.21:17222", Codec::Pcmu, 0, Some(100), 20, Direction::SendRecv),
        ),
        (
            "carrier gateway, PCMA first and 30 ms",
            body(&[
                "v=0",
                "o=root 1171734 1171734 IN IP4 203.0.113.80",
                "s=carrier",
                "c=IN IP4 203.0.113.80",
                "t=0 0",
                "m=audio 15012 RTP/AVP 8 0 101",
                "a=rtpmap:8 PCMA/8000",
                "a=rtpmap:0 PCMU/8000",
                "a=rtpmap:101 telephone-event/8000",
                "a=fmtp:101 0-16",
                "a=ptime:30",
                "a=sendrecv",
            ]),
            ("203.0.113.80:15012", Codec::Pcma, 8, Some(101), 30, Direction::SendRecv),
        ),
        (
            "baresip",
            body(&[
                "v=0",
                "o=- 2203 1 IN IP4 198.51.100.30",
                "s=-",
                "c=IN IP4 198.51.100.30",
                "t=0 0",
                "a=tool:baresip 1.0.0",
                "m=audio 10042 RTP/AVP 0 101",
                "b=AS:125",
                "a=rtpmap:0 PCMU/8000",
                "a=rtpmap:101 telephone-event/8000",
                "a=fmtp:101 0-15",
                "a=rtcp:10043",
                "a=sendrecv",
                "a=label:1",
                "a=rtcp-rsize",
                "a=ptime:20",
            ]),
            ("198.51.100.30:10042", Codec::Pcmu, 0, Some(101), 20, Direction::SendRecv),
        ),
        (
            "sipp, static payload without rtpmap",
            body(&[
                "v=0",
                "o=user1 53655765 2353687637 IN IP4 127.0.0.1",
                "s=-",
                "c=IN IP4 127.0.0.1",
                "t=0 0",
                "m=audio 6000 RTP/AVP 0",
            ]),
            ("127.0.0.1:6000", Codec::Pcmu, 0, None, 20, Direction::SendRecv),
        ),
        (
            "line ends of LF only, no t=, no final line end",
            b"v=0\no=x 1 1 IN IP4 198.51.100.7\ns=-\nc=IN IP4 198.51.100.7\nm=audio 4000 RTP/AVP 8".to_vec(),
            ("198.51.100.7:4000", Codec::Pcma, 8, None, 20, Direction::SendRecv),
        ),
        (
            "changed payload number of a codec",
            with_media(&[
                "m=audio 4000 RTP/AVP 97 98",
                "a=rtpmap:97 pcma/8000/1",
                "a=rtpmap:98 TELEPHONE-EVENT/8000",
            ]),
            ("198.51.100.7:4000", Codec::Pcma, 97, Some(98), 20, Direction::SendRecv),
        ),
        (
            "unknown lines, Latin-1 name, words without value, doubled spaces",
            [
                &b"v=0\r\no=x 1 1 IN IP4 198.51.100.7\r\ns=Anlagenanschlu\xdf\r\ny=0100000001\r\nnonsense\r\n"[..],
                b"i=caf\xe9\r\nc=IN  IP4 198.51.100.7 \r\nt=now\r\nm=audio  4000 RTP/AVP 0  101 \r\n",
                b"a=rtpmap: 101 telephone-event/8000\r\na=X-vendor:\xff\r\na=ptime:\r\nf=v/1/2\r\n",
            ]
            .concat(),
            ("198.51.100.7:4000", Codec::Pcmu, 0, Some(101), 20, Direction::SendRecv),
        ),
        (
            "hold by inactive at session level",
            body(&[
                "v=0",
                "o=- 1 2 IN IP4 198.51.100.7",
                "s=-",
                "c=IN IP4 198.51.100.7",
                "a=inactive",
                "t=0 0",
                "m=audio 4000 RTP/AVP 0",
            ]),
            ("198.51.100.7:4000", Codec::Pcmu, 0, None, 20, Direction::Inactive),
        ),
        (
            "announcement server that only sends",
            with_media(&["m=audio 4000 RTP/AVP 0", "a=sendonly"]),
            ("198.51.100.7:4000", Codec::Pcmu, 0, None, 20, Direction::RecvOnly),
        ),
        (
            "hold by 0.0.0.0",
            with_media(&["m=audio 4000 RTP/AVP 0", "c=IN IP4 0.0.0.0", "a=sendrecv"]),
            ("0.0.0.0:4000", Codec::Pcmu, 0, None, 20, Direction::RecvOnly),
        ),
        (
            "opus event clock beside ours",
            with_media(&[
                "m=audio 4000 RTP/AVP 110 0 101",
                "a=rtpmap:110 telephone-event/48000",
                "a=rtpmap:101 telephone-event/8000",
            ]),
            ("198.51.100.7:4000", Codec::Pcmu, 0, Some(101), 20, Direction::SendRecv),
        ),
    ]
}

#[test]
fn answers_of_common_devices_are_understood() {
    for (name, answer, (remote, codec, payload_type, telephone_event, ptime_ms, direction)) in
        device_answers()
    {
        let negotiated = accept_answer(&local(), &answer).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(negotiated.remote, at(remote), "{name}");
        assert_eq!(
            (negotiated.codec, negotiated.payload_type),
            (codec, payload_type),
            "{name}"
        );
        assert_eq!(negotiated.telephone_event, telephone_event, "{name}");
        assert_eq!(negotiated.ptime_ms, ptime_ms, "{name}");
        assert_eq!(negotiated.direction, direction, "{name}");
    }
}

#[test]
fn the_offer_says_what_we_can() {
    let expected = [
        "v=0",
        "o=- 42 1 IN IP4 192.0.2.10",
        "s=-",
        "c=IN IP4 192.0.2.10",
        "t=0 0",
        "m=audio 20000 RTP/AVP 0 8 101",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15",
        "a=ptime:20",
        "a=sendrecv",
    ];
    assert_eq!(text(&offer(&local())), text(&body(&expected)));
    let next = LocalMedia {
        rtcp_mux: true,
        telephone_event: false,
        codecs: vec![Codec::Pcma],
        ..local_v6().next_version()
    };
    let offered = text(&offer(&next));
    assert!(offered.contains("o=- 42 2 IN IP6 2001:db8::10\r\n"), "{offered}");
    assert!(
        offered.contains("m=audio 20000 RTP/AVP 8\r\n") && offered.contains("a=rtcp-mux\r\n"),
        "{offered}"
    );
    assert!(!offered.contains("telephone-event"), "{offered}");
}

#[test]
fn both_sides_of_our_own_agree() {
    for (a, b) in [(local(), local()), (local_v6(), local_v6())] {
        let b = LocalMedia { port: 30_000, ..b };
        let (answered, of_b) = answer(&b, &offer(&a)).unwrap();
        let of_a = accept_answer(&a, &answered).unwrap();
        assert_eq!(of_a.remote, SocketAddr::new(b.address, 30_000));
        assert_eq!(of_b.remote, SocketAddr::new(a.address, 20_000));
        assert_eq!(of_a.remote_rtcp.port(), 30_001);
        assert_eq!(
            (of_a.codec, of_a.payload_type, of_a.telephone_event),
            (Codec::Pcmu, 0, Some(101))
        );
        assert_eq!(
            (of_b.codec, of_b.payload_type, of_b.telephone_event),
            (Codec::Pcmu, 0, Some(101))
        );
    }
}

#[test]
fn multiplexed_reports_need_both_sides() {
    let offering = LocalMedia {
        rtcp_mux: true,
        ..local()
    };
    let (answered, of_b) = answer(&local(), &offer(&offering)).unwrap();
    assert!(of_b.rtcp_mux && text(&answered).contains("a=rtcp-mux"));
    assert_eq!(of_b.remote_rtcp, of_b.remote);
    assert!(accept_answer(&offering, &answered).unwrap().rtcp_mux);
    assert!(
        !accept_answer(&local(), &answered).unwrap().rtcp_mux,
        "not offered, so not agreed"
    );
}

#[test]
fn reports_go_to_the_host_of_the_media() {
    let aimed = with_media(&["m=audio 4000 RTP/AVP 0", "a=rtcp:5000 IN IP4 192.0.2.99"]);
    assert_eq!(accepted(&aimed).remote_rtcp, at("198.51.100.7:5000"));
    for odd in ["a=rtcp:0", "a=rtcp:x", "a=rtcp:"] {
        let answer = with_media(&["m=audio 4000 RTP/AVP 0", odd]);
        assert_eq!(accepted(&answer).remote_rtcp, at("198.51.100.7:4001"), "{odd}");
    }
    let last = with_media(&["m=audio 65535 RTP/AVP 0"]);
    assert_eq!(accepted(&last).remote_rtcp, at("198.51.100.7:65535"));
}

#[test]
fn every_ptime_from_10_to_60_finds_one_that_we_send() {
    for (wanted, sent) in [
        ("10", 10),
        ("20", 20),
        ("20.0", 20),
        ("30", 30),
        ("40", 40),
        ("50", 40),
        ("60", 60),
        ("5", 10),
        ("120", 60),
        ("0", 20),
        ("-20", 20),
        ("twenty", 20),
        ("99999999999", 20),
    ] {
        let ptime = format!("a=ptime:{wanted}");
        let answer = with_media(&["m=audio 4000 RTP/AVP 0", &ptime]);
        assert_eq!(accepted(&answer).ptime_ms, sent, "{wanted}");
    }
    let bounded = with_media(&["m=audio 4000 RTP/AVP 0", "a=ptime:60", "a=maxptime:30"]);
    assert_eq!(accepted(&bounded).ptime_ms, 30);
}

#[test]
fn several_lines_are_answered_in_order_and_all_but_one_refused() {
    let offered = with_media(&[
        "m=video 5000 RTP/AVP 96",
        "a=rtpmap:96 H264/90000",
        "m=audio 0 RTP/AVP 0",
        "m=audio 4002 RTP/SAVP 0",
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz",
        "m=audio 4004 RTP/AVP 18",
        "m=audio 4006/2 RTP/AVP 18 8 99",
        "a=rtpmap:99 telephone-event/8000",
        "a=sendonly",
        "m=image 4008 udptl t38",
    ]);
    let (answered, negotiated) = answer(&local(), &offered).unwrap();
    assert_eq!(negotiated.remote, at("198.51.100.7:4006"));
    assert_eq!(
        (negotiated.codec, negotiated.telephone_event),
        (Codec::Pcma, Some(99))
    );
    assert_eq!(negotiated.direction, Direction::RecvOnly);
    let lines: Vec<String> = text(&answered)
        .lines()
        .filter(|l| l.starts_with("m="))
        .map(str::to_owned)
        .collect();
    let expected = [
        "m=video 0 RTP/AVP 96",
        "m=audio 0 RTP/AVP 0",
        "m=audio 0 RTP/SAVP 0",
        "m=audio 0 RTP/AVP 18",
        "m=audio 20000 RTP/AVP 8 99",
        "m=image 0 udptl t38",
    ];
    assert_eq!(lines, expected);
    assert!(text(&answered).contains("a=recvonly") && !text(&answered).contains("crypto"));
}

#[test]
fn hold_and_its_end_keep_the_payload_numbers() {
    let numbers = [
        "m=audio 4000 RTP/AVP 97 98",
        "a=rtpmap:97 PCMU/8000",
        "a=rtpmap:98 telephone-event/8000",
    ];
    let first = answer(&local(), &with_media(&numbers)).unwrap();
    for (hold, ours, said) in [
        ("a=sendonly", Direction::RecvOnly, "a=recvonly"),
        ("a=inactive", Direction::Inactive, "a=inactive"),
        ("c=IN IP4 0.0.0.0", Direction::RecvOnly, "a=recvonly"),
        ("a=recvonly", Direction::SendOnly, "a=sendonly"),
        ("a=sendrecv", Direction::SendRecv, "a=sendrecv"),
    ] {
        let mut lines = numbers.to_vec();
        lines.insert(1, hold);
        let next = local().next_version();
        let (body, negotiated) = answer(&next, &with_media(&lines)).unwrap();
        assert_eq!(negotiated.direction, ours, "{hold}");
        assert_eq!(
            (negotiated.payload_type, negotiated.telephone_event),
            (97, Some(98))
        );
        let body = text(&body);
        assert!(
            body.contains("m=audio 20000 RTP/AVP 97 98\r\n") && body.contains(said),
            "{hold}: {body}"
        );
        assert!(body.contains("o=- 42 2 IN IP4"), "{body}");
    }
    let again = text(&reoffer(&local().next_version(), &first.1));
    assert!(again.contains("m=audio 20000 RTP/AVP 97 8 98\r\n"), "{again}");
    assert!(
        again.contains("a=rtpmap:97 PCMU/8000\r\n") && again.contains("a=fmtp:98 0-15"),
        "{again}"
    );
}

#[test]
fn telephone_event_is_agreed_only_where_we_want_it() {
    let without = LocalMedia {
        telephone_event: false,
        ..local()
    };
    let offered = with_media(&["m=audio 4000 RTP/AVP 0 101", "a=rtpmap:101 telephone-event/8000"]);
    let (body, negotiated) = answer(&without, &offered).unwrap();
    assert_eq!(negotiated.telephone_event, None);
    assert!(!text(&body).contains("101"));
}

#[test]
fn ipv6_is_spoken_and_families_do_not_mix() {
    let v6 = body(&[
        "v=0",
        "o=- 1 1 IN IP6 2001:db8::7",
        "s=-",
        "c=IN IP6 2001:db8::7",
        "t=0 0",
        "m=audio 4000 RTP/AVP 0",
    ]);
    assert_eq!(
        accept_answer(&local_v6(), &v6).unwrap().remote,
        at("[2001:db8::7]:4000")
    );
    let error = accept_answer(&local(), &v6).unwrap_err();
    assert_eq!(
        error.to_string(),
        "expected a c= line with a unicast IP address, got 2001:db8::7, and ours is 192.0.2.10"
    );
    let mapped = with_media(&["m=audio 4000 RTP/AVP 0", "c=IN IP6 ::ffff:198.51.100.9"]);
    assert_eq!(accepted(&mapped).remote, at("198.51.100.9:4000"));
}

#[test]
fn refusals_have_words() {
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"".to_vec(), "expected SDP, got No version line"),
        (b"hello".to_vec(), "expected SDP, got No version line"),
        (body(&["v=1"]), "expected SDP, got"),
        (with_media(&[]), "expected 1 m-lines as in the offer, got 0"),
        (
            with_media(&["m=audio 0 RTP/AVP 0"]),
            "the peer refused the audio stream (port 0)",
        ),
        (
            with_media(&["m=audio 4000 RTP/SAVP 0"]),
            "expected an audio stream over RTP/AVP, got audio 4000 RTP/SAVP",
        ),
        (
            with_media(&["m=image 4000 udptl t38"]),
            "expected an audio stream over RTP/AVP, got image 4000 udptl",
        ),
        (
            with_media(&["m=audio 4000 RTP/AVP 18 96 9", "a=rtpmap:96 opus/48000/2"]),
            "expected one of PCMU PCMA, the peer has payload type 18 opus/48000 payload type 9",
        ),
        (
            with_media(&["m=audio 4000 RTP/AVP 0", "a=rtpmap:0 PCMU/16000"]),
            "expected one of PCMU PCMA, the peer has PCMU/16000",
        ),
        (
            with_media(&["m=audio 4000 RTP/AVP 0", "c=IN IP4 239.1.2.3/127"]),
            "expected a c= line with a unicast IP address, got 239.1.2.3/127",
        ),
        (
            with_media(&["m=audio 4000 RTP/AVP 0", "c=IN IP4 255.255.255.255"]),
            "expected a c= line with a unicast IP address, got 255.255.255.255",
        ),
        (
            with_media(&["m=audio 4000 RTP/AVP 0", "c=IN IP4 media.example.com"]),
            "expected a c= line with a unicast IP address, got media.example.com",
        ),
        (
            body(&["v=0", "m=audio 4000 RTP/AVP 0"]),
            "expected a c= line with a unicast IP address, got none",
        ),
        (with_media(&["m=audio 70000 RTP/AVP 0"]), "expected SDP, got"),
        (
            vec![b'a'; SDP_LEN_MAX + 1],
            "expected at most 16384 octets of SDP, got 16385",
        ),
        (
            with_media(&["m=audio 4000 RTP/AVP 0"; 17]),
            "expected at most 16 media lines in SDP, got more",
        ),
        (
            with_media(&["a=x"; 513]),
            "expected at most 512 attributes in SDP, got more",
        ),
    ];
    for (answer, words) in cases {
        let error = accept_answer(&local(), &answer).unwrap_err().to_string();
        assert!(error.starts_with(words), "{error:?} is not {words:?}");
    }
    let formats = format!("m=audio 4000 RTP/AVP{}", " 0".repeat(FORMATS_MAX + 1));
    let error = accept_answer(&local(), &with_media(&[&formats])).unwrap_err();
    assert!(matches!(
        error,
        SdpError::TooMany {
            what: "payload types",
            ..
        }
    ));
    let error = answer(&local(), &with_media(&["m=audio 0 RTP/AVP 0"])).unwrap_err();
    assert_eq!(error, SdpError::Refused);
    let error = answer(
        &local(),
        &with_media(&["m=video 7 RTP/AVP 96", "m=image 9 udptl t38"]),
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "expected an audio stream over RTP/AVP, got video 7 RTP/AVP, image 9 udptl"
    );
}

proptest! {
    #[test]
    fn no_octets_panic(octets in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = accept_answer(&local(), &octets);
        let _ = answer(&local(), &octets);
    }

    #[test]
    fn damaged_bodies_never_panic_and_never_aim_at_many(
        which in 0_usize..14,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let (_, mut octets, _) = device_answers().swap_remove(which);
        for (place, octet) in damage {
            let length = octets.len();
            octets[place.index(length)] = octet;
        }
        for negotiated in [accept_answer(&local(), &octets), answer(&local(), &octets).map(|(_, n)| n)] {
            let Ok(negotiated) = negotiated else { continue };
            prop_assert!(!negotiated.remote.ip().is_multicast());
            prop_assert!(negotiated.remote.port() > 0);
            prop_assert!(!(negotiated.remote.ip().is_unspecified() && negotiated.direction.sends()));
            prop_assert!(PTIME_MS_ALLOWED.contains(&negotiated.ptime_ms));
        }
    }
}
