//! The audio of the offer/answer examples of RFC 4317 §2–§5, and what our side makes of each, as answerer and as
//! offerer. Codecs, payload numbers, ports and directions are those of the examples; hosts are addresses here, since
//! names are never looked up, and of other media only the m-line is kept.
use super::*;

/// One description of an example, and what comes of it.
struct Example {
    section: &'static str,
    /// From the first m-line on.
    media: &'static [&'static str],
    /// As an offer to us: the m-lines of our answer and our direction, or the start of the refusal's words.
    answered: Result<(&'static [&'static str], Direction), &'static str>,
    /// As an answer to our offer: payload type, telephone-event and port.
    accepted: Result<(u8, Option<u8>, u16), &'static str>,
}

const NO_CODEC: &str = "expected one of PCMU PCMA, the peer has";
const REFUSED: &str = "the peer refused the audio stream";
const SENDRECV: Direction = Direction::SendRecv;

fn codec_negotiation() -> Vec<Example> {
    vec![
        Example {
            section: "2.1 audio and video, the offer",
            media: &[
                "m=audio 49170 RTP/AVP 0 8 97",
                "a=rtpmap:0 PCMU/8000",
                "a=rtpmap:8 PCMA/8000",
                "a=rtpmap:97 iLBC/8000",
                "m=video 51372 RTP/AVP 31 32",
                "a=rtpmap:31 H261/90000",
                "a=rtpmap:32 MPV/90000",
            ],
            answered: Ok((&["m=audio 20000 RTP/AVP 0", "m=video 0 RTP/AVP 31 32"], SENDRECV)),
            accepted: Ok((0, None, 49_170)),
        },
        Example {
            section: "2.1 the answer: one codec, the video too",
            media: &[
                "m=audio 49174 RTP/AVP 0",
                "a=rtpmap:0 PCMU/8000",
                "m=video 49170 RTP/AVP 32",
                "a=rtpmap:32 MPV/90000",
            ],
            answered: Ok((&["m=audio 20000 RTP/AVP 0", "m=video 0 RTP/AVP 32"], SENDRECV)),
            accepted: Ok((0, None, 49_174)),
        },
        Example {
            section: "2.2 the answer: two codecs, no video",
            media: &[
                "m=audio 49172 RTP/AVP 0 8",
                "a=rtpmap:0 PCMU/8000",
                "a=rtpmap:8 PCMA/8000",
                "m=video 0 RTP/AVP 31",
                "a=rtpmap:31 H261/90000",
            ],
            answered: Ok((&["m=audio 20000 RTP/AVP 0", "m=video 0 RTP/AVP 31"], SENDRECV)),
            accepted: Ok((0, None, 49_172)),
        },
        Example {
            section: "2.3 the answer: a codec that we do not have",
            media: &[
                "m=audio 49172 RTP/AVP 97",
                "a=rtpmap:97 iLBC/8000",
                "m=video 0 RTP/AVP 31",
            ],
            answered: Err(NO_CODEC),
            accepted: Err(NO_CODEC),
        },
        Example {
            section: "2.4 two audio streams: the voice, and the keys on their own",
            media: &[
                "m=audio 49170 RTP/AVP 0 8 97",
                "a=rtpmap:0 PCMU/8000",
                "a=rtpmap:8 PCMA/8000",
                "a=rtpmap:97 iLBC/8000",
                "m=audio 49172 RTP/AVP 98",
                "a=rtpmap:98 telephone-event/8000",
                "a=sendonly",
            ],
            answered: Ok((&["m=audio 20000 RTP/AVP 0", "m=audio 0 RTP/AVP 98"], SENDRECV)),
            accepted: Ok((0, None, 49_170)),
        },
        Example {
            section: "2.6 audio only, iLBC with telephone-event",
            media: &[
                "m=audio 49170 RTP/AVP 97 98",
                "a=rtpmap:97 iLBC/8000",
                "a=rtpmap:98 telephone-event/8000",
            ],
            answered: Err(NO_CODEC),
            accepted: Err(NO_CODEC),
        },
        Example {
            section: "2.6 with PCMU in its place",
            media: &[
                "m=audio 49170 RTP/AVP 0 98",
                "a=rtpmap:0 PCMU/8000",
                "a=rtpmap:98 telephone-event/8000",
            ],
            answered: Ok((&["m=audio 20000 RTP/AVP 0 98"], SENDRECV)),
            accepted: Ok((0, Some(98), 49_170)),
        },
        Example {
            section: "2.7 a codec between two that we do not have",
            media: &[
                "m=audio 49170 RTP/AVP 4 8 97",
                "a=rtpmap:4 G723/8000",
                "a=rtpmap:8 PCMA/8000",
                "a=rtpmap:97 iLBC/8000",
                "m=video 51372 RTP/AVP 31",
            ],
            answered: Ok((&["m=audio 20000 RTP/AVP 8", "m=video 0 RTP/AVP 31"], SENDRECV)),
            accepted: Ok((8, None, 49_170)),
        },
    ]
}

fn hold_and_change() -> Vec<Example> {
    vec![
        Example {
            section: "3.1 hold",
            media: &["m=audio 49172 RTP/AVP 0", "a=rtpmap:0 PCMU/8000", "a=sendonly"],
            answered: Ok((&["m=audio 20000 RTP/AVP 0"], Direction::RecvOnly)),
            accepted: Ok((0, None, 49_172)),
        },
        Example {
            section: "3.1 unhold",
            media: &["m=audio 49172 RTP/AVP 0", "a=rtpmap:0 PCMU/8000"],
            answered: Ok((&["m=audio 20000 RTP/AVP 0"], SENDRECV)),
            accepted: Ok((0, None, 49_172)),
        },
        Example {
            section: "3.2 hold with two streams: both held, the keys refused as before",
            media: &[
                "m=audio 49170 RTP/AVP 0",
                "a=rtpmap:0 PCMU/8000",
                "a=sendonly",
                "m=audio 49174 RTP/AVP 98",
                "a=rtpmap:98 telephone-event/8000",
                "a=recvonly",
            ],
            answered: Ok((
                &["m=audio 20000 RTP/AVP 0", "m=audio 0 RTP/AVP 98"],
                Direction::RecvOnly,
            )),
            accepted: Ok((0, None, 49_170)),
        },
        Example {
            section: "4.1 a second audio stream is added",
            media: &[
                "m=audio 49172 RTP/AVP 0",
                "a=rtpmap:0 PCMU/8000",
                "m=audio 49174 RTP/AVP 0",
                "a=rtpmap:0 PCMU/8000",
                "a=sendonly",
            ],
            answered: Ok((&["m=audio 20000 RTP/AVP 0", "m=audio 0 RTP/AVP 0"], SENDRECV)),
            accepted: Ok((0, None, 49_172)),
        },
        Example {
            section: "4.3 the video is deleted",
            media: &[
                "m=audio 49170 RTP/AVP 0",
                "a=rtpmap:0 PCMU/8000",
                "m=video 0 RTP/AVP 31",
            ],
            answered: Ok((&["m=audio 20000 RTP/AVP 0", "m=video 0 RTP/AVP 31"], SENDRECV)),
            accepted: Ok((0, None, 49_170)),
        },
        Example {
            section: "4.3 turned round: the audio is deleted",
            media: &["m=audio 0 RTP/AVP 0", "m=video 51372 RTP/AVP 31"],
            answered: Err(REFUSED),
            accepted: Err(REFUSED),
        },
        Example {
            section: "5.1 third party call control: no media yet",
            media: &[],
            answered: Err("expected an audio stream over RTP/AVP, got no m-line"),
            accepted: Err("expected 1 m-lines as in the offer, got 0"),
        },
        Example {
            section: "5.2 hold by the old way and by inactive",
            media: &["m=audio 49172 RTP/AVP 0", "c=IN IP4 0.0.0.0", "a=inactive"],
            answered: Ok((&["m=audio 20000 RTP/AVP 0"], Direction::Inactive)),
            accepted: Ok((0, None, 49_172)),
        },
        Example {
            section: "5.3 the controller offers first without sending",
            media: &["m=audio 49170 RTP/AVP 0", "a=rtpmap:0 PCMU/8000", "a=recvonly"],
            answered: Ok((&["m=audio 20000 RTP/AVP 0"], Direction::SendOnly)),
            accepted: Ok((0, None, 49_170)),
        },
    ]
}

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

fn body(media: &[&str]) -> Vec<u8> {
    let session = [
        "v=0",
        "o=alice 2890844526 2890844526 IN IP4 198.51.100.7",
        "s=",
        "c=IN IP4 198.51.100.7",
        "t=0 0",
    ];
    let mut body = [&session[..], media].concat().join("\r\n");
    body.push_str("\r\n");
    body.into_bytes()
}

#[test]
fn each_example_offered_to_us_gets_its_answer() {
    for example in codec_negotiation().into_iter().chain(hold_and_change()) {
        let got = answer(&local(), &body(example.media));
        match (example.answered, got) {
            (Ok((lines, direction)), Ok((answered, negotiated))) => {
                let answered = String::from_utf8(answered).unwrap();
                let found: Vec<&str> = answered.lines().filter(|line| line.starts_with("m=")).collect();
                assert_eq!(found, lines, "{}", example.section);
                assert_eq!(negotiated.direction, direction, "{}", example.section);
                let said = format!("a={}", direction.attribute());
                assert!(
                    answered.lines().any(|line| line == said),
                    "{}: {answered}",
                    example.section
                );
                let ours = accept_answer(&local(), answered.as_bytes());
                assert!(ours.is_ok(), "{}: {ours:?}", example.section);
            }
            (Err(words), Err(error)) => {
                let error = error.to_string();
                assert!(error.starts_with(words), "{}: {error}", example.section);
            }
            (expected, got) => panic!("{}: expected {expected:?}, got {got:?}", example.section),
        }
    }
}

#[test]
fn each_example_in_answer_to_our_offer_has_its_outcome() {
    for example in codec_negotiation().into_iter().chain(hold_and_change()) {
        let got = accept_answer(&local(), &body(example.media));
        match (example.accepted, got) {
            (Ok((payload_type, telephone_event, port)), Ok(negotiated)) => {
                let found = (
                    negotiated.payload_type,
                    negotiated.telephone_event,
                    negotiated.remote.port(),
                );
                assert_eq!(
                    found,
                    (payload_type, telephone_event, port),
                    "{}",
                    example.section
                );
            }
            (Err(words), Err(error)) => {
                let error = error.to_string();
                assert!(error.starts_with(words), "{}: {error}", example.section);
            }
            (expected, got) => panic!("{}: expected {expected:?}, got {got:?}", example.section),
        }
    }
}
