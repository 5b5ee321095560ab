//! The offers and answers of RFC 4317 §2–§5 in their order, and what our side makes of each, as answerer and as offerer.
//! The lines are those of the RFC from the first m-line on; its host names are addresses here, since names are never looked
//! up. Where the only codec is iLBC, which we do not have, the example is played once more with PCMU in its place.
use super::*;

/// What comes of one description.
struct Verdict {
    /// As an offer to us: the m-lines of our answer and our direction, or the start of the refusal's words.
    answered: Result<(&'static [&'static str], Direction), &'static str>,
    /// As an answer to our offer: payload type, telephone-event and port.
    accepted: Result<(u8, Option<u8>, u16), &'static str>,
}

/// One description of an example.
struct Example {
    section: &'static str,
    media: Vec<String>,
    verdict: Verdict,
}

const NO_CODEC: &str = "expected one of PCMU PCMA, the peer has";
const REFUSED: &str = "the peer refused the audio stream";
const SENDRECV: Direction = Direction::SendRecv;

const PCMU: &str = "a=rtpmap:0 PCMU/8000";
const PCMA: &str = "a=rtpmap:8 PCMA/8000";
const ILBC: &str = "a=rtpmap:97 iLBC/8000";
const ILBC_99: &str = "a=rtpmap:99 iLBC/8000";
const H261: &str = "a=rtpmap:31 H261/90000";
const MPV: &str = "a=rtpmap:32 MPV/90000";
const EVENT: &str = "a=rtpmap:98 telephone-event/8000";
const EVENT_101: &str = "a=rtpmap:101 telephone-event/8000";

fn example(section: &'static str, media: &[&str], verdict: Verdict) -> Example {
    let media = media.iter().map(|line| (*line).to_owned()).collect();
    Example {
        section,
        media,
        verdict,
    }
}

/// The same lines with PCMU where iLBC stood.
fn in_pcmu(section: &'static str, media: &[&str], verdict: Verdict) -> Example {
    let line = |line: &&str| match *line {
        ILBC | ILBC_99 => PCMU.to_owned(),
        audio if audio.starts_with("m=audio") => audio.replace(" 97", " 0").replace(" 99", " 0"),
        other => other.to_owned(),
    };
    Example {
        section,
        media: media.iter().map(line).collect(),
        verdict,
    }
}

const fn heard(lines: &'static [&'static str], port: u16) -> Verdict {
    Verdict {
        answered: Ok((lines, SENDRECV)),
        accepted: Ok((0, None, port)),
    }
}

const fn directed(lines: &'static [&'static str], direction: Direction, port: u16) -> Verdict {
    Verdict {
        answered: Ok((lines, direction)),
        accepted: Ok((0, None, port)),
    }
}

const fn refused(words: &'static str) -> Verdict {
    Verdict {
        answered: Err(words),
        accepted: Err(words),
    }
}

/// As RFC 4317 has it, and with PCMU in the place of iLBC.
fn both(section: &'static str, media: &[&str], verdict: Verdict) -> [Example; 2] {
    [
        example(section, media, refused(NO_CODEC)),
        in_pcmu(section, media, verdict),
    ]
}

const THREE_CODECS: [&str; 7] = [
    "m=audio 49170 RTP/AVP 0 8 97",
    PCMU,
    PCMA,
    ILBC,
    "m=video 51372 RTP/AVP 31 32",
    H261,
    MPV,
];

fn codec_negotiation() -> Vec<Example> {
    let offer = || heard(&["m=audio 20000 RTP/AVP 0", "m=video 0 RTP/AVP 31 32"], 49_170);
    let no_video = &["m=audio 20000 RTP/AVP 0", "m=video 0 RTP/AVP 31"];
    let mut all = vec![
        example("2.1 offer", &THREE_CODECS, offer()),
        example(
            "2.1 answer",
            &["m=audio 49174 RTP/AVP 0", PCMU, "m=video 49170 RTP/AVP 32", MPV],
            heard(&["m=audio 20000 RTP/AVP 0", "m=video 0 RTP/AVP 32"], 49_174),
        ),
        example("2.2 offer", &THREE_CODECS, offer()),
        example(
            "2.2 answer",
            &[
                "m=audio 49172 RTP/AVP 0 8",
                PCMU,
                PCMA,
                "m=video 0 RTP/AVP 31",
                H261,
            ],
            heard(no_video, 49_172),
        ),
        example(
            "2.2 second offer",
            &["m=audio 51372 RTP/AVP 0", PCMU, "m=video 0 RTP/AVP 31", H261],
            heard(no_video, 51_372),
        ),
        example(
            "2.2 second answer",
            &["m=audio 49172 RTP/AVP 0", PCMU, "m=video 0 RTP/AVP 31", H261],
            heard(no_video, 49_172),
        ),
        example("2.3 offer", &THREE_CODECS, offer()),
    ];
    all.extend(both(
        "2.3 answer, the payload number changed",
        &[
            "m=audio 49172 RTP/AVP 99",
            ILBC_99,
            "m=video 51374 RTP/AVP 31",
            H261,
        ],
        heard(no_video, 49_172),
    ));
    all.extend(two_streams());
    all.extend(
        [
            (
                "2.5 offer",
                "m=audio 49170 RTP/AVP 97",
                "m=video 51372 RTP/AVP 31",
                49_170,
            ),
            (
                "2.5 answer",
                "m=audio 49174 RTP/AVP 97",
                "m=video 49170 RTP/AVP 31",
                49_174,
            ),
            (
                "2.5 second offer",
                "m=audio 49178 RTP/AVP 97",
                "m=video 49188 RTP/AVP 31",
                49_178,
            ),
            (
                "2.5 second answer",
                "m=audio 49170 RTP/AVP 97",
                "m=video 51372 RTP/AVP 31",
                49_170,
            ),
        ]
        .into_iter()
        .flat_map(|(section, audio, video, port)| {
            both(section, &[audio, ILBC, video, H261], heard(no_video, port))
        }),
    );
    all.extend(more_video());
    all
}

/// §2.4 and §2.6: the keys have a stream of their own, or the second stream is the one that is taken.
fn two_streams() -> Vec<Example> {
    let mut all = vec![example(
        "2.4 offer",
        &TWO_STREAMS,
        heard(&["m=audio 20000 RTP/AVP 0", "m=audio 0 RTP/AVP 98"], 49_170),
    )];
    all.extend(both(
        "2.4 answer",
        &[
            "m=audio 49172 RTP/AVP 97",
            ILBC,
            "m=audio 49174 RTP/AVP 98",
            EVENT,
            "a=recvonly",
        ],
        heard(&["m=audio 20000 RTP/AVP 0", "m=audio 0 RTP/AVP 98"], 49_172),
    ));
    all.push(example(
        "2.6 offer",
        &[
            "m=audio 49170 RTP/AVP 0",
            PCMU,
            "m=audio 51372 RTP/AVP 97 101",
            ILBC,
            EVENT_101,
        ],
        heard(&["m=audio 20000 RTP/AVP 0", "m=audio 0 RTP/AVP 97 101"], 49_170),
    ));
    // Our offers have one stream, so its refusal is the call's.
    all.push(example(
        "2.6 answer",
        &[
            "m=audio 0 RTP/AVP 0",
            PCMU,
            "m=audio 49170 RTP/AVP 97 101",
            ILBC,
            EVENT_101,
        ],
        Verdict {
            answered: Err(NO_CODEC),
            accepted: Err(REFUSED),
        },
    ));
    all
}

const TWO_STREAMS: [&str; 6] = [
    "m=audio 49170 RTP/AVP 0 97",
    PCMU,
    ILBC,
    "m=audio 49172 RTP/AVP 98",
    EVENT,
    "a=sendonly",
];

/// §2.7 and §2.8.
fn more_video() -> Vec<Example> {
    let one = &["m=audio 20000 RTP/AVP 0", "m=video 0 RTP/AVP 31"];
    let two = &["m=audio 20000 RTP/AVP 0", "m=video 0 RTP/AVP 31 32"];
    let mut all: Vec<Example> = [
        (
            "2.7 offer",
            &[
                "m=audio 49170 RTP/AVP 99",
                ILBC_99,
                "m=video 51372 RTP/AVP 31",
                H261,
            ][..],
            heard(one, 49_170),
        ),
        (
            "2.7 answer",
            &[
                "m=audio 49172 RTP/AVP 99",
                ILBC_99,
                "m=video 51374 RTP/AVP 31",
                H261,
            ][..],
            heard(one, 49_172),
        ),
        (
            "2.7 second offer",
            &[
                "m=audio 49170 RTP/AVP 99",
                ILBC_99,
                "m=video 51372 RTP/AVP 31 32",
                H261,
                MPV,
            ][..],
            heard(two, 49_170),
        ),
        (
            "2.7 second answer",
            &[
                "m=audio 49172 RTP/AVP 99",
                ILBC_99,
                "m=video 51374 RTP/AVP 31 32",
                H261,
                MPV,
            ][..],
            heard(two, 49_172),
        ),
    ]
    .into_iter()
    .flat_map(|(section, media, verdict)| both(section, media, verdict))
    .collect();
    all.push(example("2.8 offer", &THREE_CODECS, heard(two, 49_170)));
    all.push(example(
        "2.8 answer, the video elsewhere",
        &[
            "m=audio 49174 RTP/AVP 0",
            PCMU,
            "m=video 49172 RTP/AVP 32",
            "c=IN IP4 198.51.100.8",
            MPV,
        ],
        heard(&["m=audio 20000 RTP/AVP 0", "m=video 0 RTP/AVP 32"], 49_174),
    ));
    all
}

const ONE: &[&str] = &["m=audio 20000 RTP/AVP 0"];
const AND_KEYS: &[&str] = &["m=audio 20000 RTP/AVP 0", "m=audio 0 RTP/AVP 98"];

fn hold_and_resume() -> Vec<Example> {
    let mut all = vec![example(
        "3.1 offer",
        &["m=audio 49170 RTP/AVP 0 97", PCMU, ILBC],
        heard(ONE, 49_170),
    )];
    all.extend(both(
        "3.1 answer: on hold",
        &["m=audio 49172 RTP/AVP 97", ILBC, "a=sendonly"],
        directed(ONE, Direction::RecvOnly, 49_172),
    ));
    all.extend(both(
        "3.1 second offer: off hold",
        &["m=audio 49170 RTP/AVP 97", ILBC],
        heard(ONE, 49_170),
    ));
    all.extend(both(
        "3.1 second answer",
        &["m=audio 49178 RTP/AVP 97", ILBC],
        heard(ONE, 49_178),
    ));
    all.push(example("3.2 offer", &TWO_STREAMS, heard(AND_KEYS, 49_170)));
    all.extend(both(
        "3.2 answer",
        &[
            "m=audio 49172 RTP/AVP 97",
            ILBC,
            "m=audio 49174 RTP/AVP 98",
            EVENT,
            "a=recvonly",
        ],
        heard(AND_KEYS, 49_172),
    ));
    all.extend(both(
        "3.2 second offer: the voice on hold",
        &[
            "m=audio 49172 RTP/AVP 97",
            ILBC,
            "a=sendonly",
            "m=audio 49174 RTP/AVP 98",
            EVENT,
            "a=recvonly",
        ],
        directed(AND_KEYS, Direction::RecvOnly, 49_172),
    ));
    all.push(example(
        "3.2 second answer",
        &TWO_STREAMS,
        heard(AND_KEYS, 49_170),
    ));
    all
}

fn streams_come_and_go() -> Vec<Example> {
    let with_video = &["m=audio 20000 RTP/AVP 0", "m=video 0 RTP/AVP 31"];
    let mut all = vec![
        example(
            "4.1 offer",
            &["m=audio 49170 RTP/AVP 0 97", PCMU, ILBC],
            heard(ONE, 49_170),
        ),
        example(
            "4.2 offer",
            &["m=audio 49170 RTP/AVP 0", PCMU],
            heard(ONE, 49_170),
        ),
        example(
            "4.2 answer",
            &["m=audio 49172 RTP/AVP 0", PCMU],
            heard(ONE, 49_172),
        ),
        example(
            "4.2 second offer",
            &["m=audio 49170 RTP/AVP 0", PCMU, "m=video 49172 RTP/AVP 31", H261],
            heard(with_video, 49_170),
        ),
        example(
            "4.2 second answer",
            &["m=audio 49172 RTP/AVP 0", PCMU, "m=video 49168 RTP/AVP 31", H261],
            heard(with_video, 49_172),
        ),
    ];
    all.extend(both(
        "4.1 answer",
        &["m=audio 49170 RTP/AVP 97", ILBC],
        heard(ONE, 49_170),
    ));
    all.extend(both(
        "4.1 second offer: keys for a media server",
        &[
            "m=audio 49170 RTP/AVP 97",
            ILBC,
            "m=audio 48282 RTP/AVP 98",
            "c=IN IP4 198.51.100.8",
            EVENT,
            "a=recvonly",
        ],
        heard(AND_KEYS, 49_170),
    ));
    all.extend(both(
        "4.1 second answer",
        &[
            "m=audio 49170 RTP/AVP 97",
            ILBC,
            "m=audio 49172 RTP/AVP 98",
            "c=IN IP4 198.51.100.7",
            EVENT,
            "a=sendonly",
        ],
        heard(AND_KEYS, 49_170),
    ));
    for (section, audio, video, port) in [
        (
            "4.3 offer",
            "m=audio 49170 RTP/AVP 97",
            "m=video 51372 RTP/AVP 31",
            49_170,
        ),
        (
            "4.3 answer",
            "m=audio 49174 RTP/AVP 97",
            "m=video 49170 RTP/AVP 31",
            49_174,
        ),
        (
            "4.3 second offer",
            "m=audio 49174 RTP/AVP 97",
            "m=video 0 RTP/AVP 31",
            49_174,
        ),
        (
            "4.3 second answer",
            "m=audio 49170 RTP/AVP 97",
            "m=video 0 RTP/AVP 31",
            49_170,
        ),
    ] {
        all.extend(both(
            section,
            &[audio, ILBC, video, H261],
            heard(with_video, port),
        ));
    }
    all
}

fn third_party() -> Vec<Example> {
    let nothing = || Verdict {
        answered: Err("expected an audio stream over RTP/AVP, got no m-line"),
        accepted: Err("expected 1 m-lines as in the offer, got 0"),
    };
    // The connection address stands in the session part of the RFC's bodies; in the media part it means the same.
    const HELD: &str = "c=IN IP4 0.0.0.0";
    let mut all = vec![
        example("5.1 offer", &[], nothing()),
        example("5.1 answer", &[], nothing()),
    ];
    for (section, media, verdict) in [
        (
            "5.1 second offer",
            &["m=audio 49170 RTP/AVP 97", ILBC][..],
            heard(ONE, 49_170),
        ),
        (
            "5.1 second answer",
            &["m=audio 49172 RTP/AVP 97", ILBC][..],
            heard(ONE, 49_172),
        ),
        (
            "5.2 offer: nowhere to send",
            &["m=audio 23442 RTP/AVP 97", HELD, ILBC][..],
            directed(ONE, Direction::RecvOnly, 23_442),
        ),
        (
            "5.2 answer",
            &["m=audio 49170 RTP/AVP 97", ILBC][..],
            heard(ONE, 49_170),
        ),
        (
            "5.2 second offer",
            &["m=audio 49170 RTP/AVP 97", ILBC][..],
            heard(ONE, 49_170),
        ),
        (
            "5.2 second answer",
            &["m=audio 49170 RTP/AVP 97", ILBC][..],
            heard(ONE, 49_170),
        ),
        (
            "5.3 offer",
            &["m=audio 49170 RTP/AVP 97", ILBC][..],
            heard(ONE, 49_170),
        ),
        (
            "5.3 answer: nowhere to send",
            &["m=audio 9322 RTP/AVP 97", HELD, ILBC][..],
            directed(ONE, Direction::RecvOnly, 9_322),
        ),
        (
            "5.3 second offer",
            &["m=audio 49172 RTP/AVP 97", ILBC][..],
            heard(ONE, 49_172),
        ),
        (
            "5.3 second answer",
            &["m=audio 49170 RTP/AVP 97", ILBC][..],
            heard(ONE, 49_170),
        ),
    ] {
        all.extend(both(section, media, verdict));
    }
    all
}

/// What the RFC has no example of, in its manner.
fn beyond() -> Vec<Example> {
    vec![
        example(
            "keys beside the voice",
            &["m=audio 49170 RTP/AVP 0 98", PCMU, EVENT],
            Verdict {
                answered: Ok((&["m=audio 20000 RTP/AVP 0 98"], SENDRECV)),
                accepted: Ok((0, Some(98), 49_170)),
            },
        ),
        example(
            "a codec between two that we do not have",
            &["m=audio 49170 RTP/AVP 4 8 97", "a=rtpmap:4 G723/8000", PCMA, ILBC],
            Verdict {
                answered: Ok((&["m=audio 20000 RTP/AVP 8"], SENDRECV)),
                accepted: Ok((8, None, 49_170)),
            },
        ),
        example(
            "the audio is deleted",
            &["m=audio 0 RTP/AVP 0", "m=video 51372 RTP/AVP 31"],
            refused(REFUSED),
        ),
        example(
            "hold by the old way and by inactive",
            &["m=audio 49172 RTP/AVP 0", "c=IN IP4 0.0.0.0", "a=inactive"],
            directed(ONE, Direction::Inactive, 49_172),
        ),
        example(
            "offered without sending",
            &["m=audio 49170 RTP/AVP 0", PCMU, "a=recvonly"],
            directed(ONE, Direction::SendOnly, 49_170),
        ),
    ]
}

fn all() -> Vec<Example> {
    let mut all = codec_negotiation();
    all.extend(hold_and_resume());
    all.extend(streams_come_and_go());
    all.extend(third_party());
    all.extend(beyond());
    all
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

fn body(media: &[String]) -> Vec<u8> {
    let session = [
        "v=0",
        "o=alice 2890844526 2890844526 IN IP4 198.51.100.7",
        "s=",
        "c=IN IP4 198.51.100.7",
        "t=0 0",
    ];
    let mut body = session.join("\r\n");
    for line in media {
        body.push_str("\r\n");
        body.push_str(line);
    }
    body.push_str("\r\n");
    body.into_bytes()
}

#[test]
fn each_example_offered_to_us_gets_its_answer() {
    for example in all() {
        let got = answer(&local(), &body(&example.media));
        match (example.verdict.answered, got) {
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
    for example in all() {
        let got = accept_answer(&local(), &body(&example.media));
        match (example.verdict.accepted, got) {
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
