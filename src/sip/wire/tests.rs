use super::*;

fn values(line: &str) -> Vec<&str> {
    split_list(line).collect()
}

#[test]
fn commas_in_quotes_and_brackets_do_not_split() {
    assert_eq!(values("INVITE, ACK ,BYE"), ["INVITE", "ACK", "BYE"]);
    assert_eq!(
        values(r#""Bell, A. \"x\"," <sip:a,b@c>;q=1 , <sip:d>"#),
        [r#""Bell, A. \"x\"," <sip:a,b@c>;q=1"#, "<sip:d>"]
    );
    assert_eq!(values(""), [""; 0]);
    assert_eq!(values("  "), [""; 0]);
    assert_eq!(values("a,,b,"), ["a", "", "b", ""]);
    assert_eq!(values("\"torn, b"), ["\"torn, b"]);
}

fn fields(text: &str) -> Vec<(String, Result<String, WireError>)> {
    let mut lexer = open(format!("OPTIONS sip:a SIP/2.0\r\n{text}").leak().as_bytes())
        .unwrap()
        .1;
    lexer
        .by_ref()
        .map(|field| match field {
            Ok((FieldName::Known(name), value)) => (name.as_str().to_owned(), Ok(value.into_owned())),
            Ok((FieldName::Other(name), value)) => (name.to_owned(), Ok(value.into_owned())),
            Err(error) => (String::new(), Err(error)),
        })
        .collect()
}

fn one(text: &str) -> (String, Result<String, WireError>) {
    let mut all = fields(text);
    assert_eq!(all.len(), 1, "{text}");
    all.remove(0)
}

fn good(name: &str, value: &str) -> (String, Result<String, WireError>) {
    (name.to_owned(), Ok(value.to_owned()))
}

#[test]
fn names_are_made_canonical_and_space_around_the_colon_goes() {
    assert_eq!(one("v:SIP/2.0/UDP h\r\n\r\n"), good("Via", "SIP/2.0/UDP h"));
    assert_eq!(one("CALL-id \t:  x y \t\r\n\r\n"), good("Call-ID", "x y"));
    assert_eq!(one("X-Mine: 1\n\n"), good("X-Mine", "1"));
    assert_eq!(one("Subject:\r\n\r\n"), good("Subject", ""));
    assert_eq!(one("Subject: no end of line"), good("Subject", "no end of line"));
}

#[test]
fn folded_lines_become_one_with_a_single_space() {
    assert_eq!(
        one("Subject: one\r\n two\r\n\t three  \n   four\r\n\r\n"),
        good("Subject", "one two three four")
    );
    assert_eq!(one("Subject:\r\n  \r\n x\r\n\r\n"), good("Subject", "x"));
}

#[test]
fn octets_that_are_not_utf_8_are_latin_1() {
    let bytes = b"SIP/2.0 200 Tr\xe8s bien\r\nSubject: na\xefve\r\n\r\n";
    let (start, mut lexer) = open(bytes).unwrap();
    assert!(matches!(start, StartLine::Response { status: 200, reason } if reason == "Très bien"));
    let (_, value) = lexer.next().unwrap().unwrap();
    assert_eq!(value, "naïve");
}

#[test]
fn a_broken_line_is_reported_and_the_next_ones_are_read() {
    let all = fields("no colon here\r\n: no name\r\n(bad): x\r\nTo: b\r\n\r\n");
    assert_eq!(
        all.iter()
            .filter(|(_, value)| *value == Err(WireError::NotAField))
            .count(),
        3
    );
    assert_eq!(all.last().unwrap(), &good("To", "b"));
}

#[test]
fn control_characters_stand_in_quoted_pairs_only() {
    assert_eq!(
        one("To: \"\\\u{7}\" <sip:a>\r\n\r\n").1,
        Ok("\"\\\u{7}\" <sip:a>".to_owned())
    );
    for text in [
        "To: a\u{0}b",
        "To: a\rb",
        "To: \"a\u{7}\" <sip:a>",
        "To: \"\\\r\"",
        "To: a\u{7f}",
    ] {
        assert_eq!(
            one(&format!("{text}\r\n\r\n")).1,
            Err(WireError::ControlCharacter),
            "{text:?}"
        );
    }
}

/// What is read can be written, and read again.
#[test]
fn a_field_may_not_exceed_its_limit_when_it_is_written() {
    let long = [b"f:".as_slice(), &[0xec; HEADER_BYTES_MAX / 2]].concat();
    let compact = format!("f:{}", "x".repeat(HEADER_BYTES_MAX - 4)).into_bytes();
    for line in [long, compact] {
        let octets = [b"OPTIONS sip:a SIP/2.0\r\n", line.as_slice(), b"\r\n\r\n"].concat();
        let (_, mut lexer) = open(&octets).unwrap();
        let field = lexer.next().unwrap().map(drop);
        assert!(matches!(field, Err(WireError::HeaderTooLong { .. })), "{field:?}");
    }
}

#[test]
fn one_field_may_not_exceed_its_limit() {
    let long = "x".repeat(HEADER_BYTES_MAX);
    assert!(matches!(
        one(&format!("Subject: {long}\r\n\r\n")).1,
        Err(WireError::HeaderTooLong { .. })
    ));
    let folded = format!("Subject: {}\r\n\r\n", "y\r\n ".repeat(HEADER_BYTES_MAX / 4));
    assert!(matches!(
        fields(&folded).first().unwrap().1,
        Err(WireError::HeaderTooLong { .. })
    ));
    let fits = "x".repeat(HEADER_BYTES_MAX - "Subject: ".len());
    assert!(one(&format!("Subject: {fits}\r\n\r\n")).1.is_ok());
}

#[test]
fn start_lines_are_told_apart() {
    let request = |line: &str| open(format!("{line}\r\n\r\n").leak().as_bytes()).map(|(start, _)| start);
    assert!(matches!(
        request("INVITE sip:a SIP/2.0"),
        Some(StartLine::Request {
            method: "INVITE",
            uri: "sip:a"
        })
    ));
    assert!(matches!(
        request("foo  sip:a b sip/2.0 "),
        Some(StartLine::Request {
            method: "foo",
            uri: "sip:a b"
        })
    ));
    assert!(matches!(
        request("INVITE sip:a SIP/3.0"),
        Some(StartLine::BadRequest(WireError::Version))
    ));
    assert!(matches!(
        request("IN<ITE sip:a SIP/2.0"),
        Some(StartLine::BadRequest(WireError::RequestLine))
    ));
    assert!(matches!(
        request("SIP/2.0 183"),
        Some(StartLine::Response { status: 183, .. })
    ));
    assert!(matches!(request("SIP/2.0 99 x"), Some(StartLine::BadResponse(_))));
    assert!(matches!(
        request("SIP/2.0 700 x"),
        Some(StartLine::BadResponse(_))
    ));
    assert!(matches!(
        request("SIP/2.0 2000 x"),
        Some(StartLine::BadResponse(_))
    ));
    assert!(matches!(
        request("SIP/1.0 200 OK"),
        Some(StartLine::BadResponse(_))
    ));
    for noise in ["GET / HTTP/1.1", "hello", "", "SIP", "\u{0}\u{1}\u{0}\u{8}"] {
        assert!(request(noise).is_none(), "{noise:?}");
    }
    let long = format!("INVITE sip:{} SIP/2.0", "a".repeat(HEADER_BYTES_MAX));
    assert!(matches!(
        request(&long),
        Some(StartLine::BadRequest(WireError::StartLineTooLong { .. }))
    ));
}

#[test]
fn content_length_decides_where_a_datagram_ends() {
    let cut = |value: &str, rest: &'static str| {
        let mut content = Content::unknown();
        content.declare(value).and_then(|()| content.cut(rest.as_bytes()))
    };
    assert_eq!(cut("3", "abcd"), Ok(b"abc".as_slice()));
    assert_eq!(cut("0", "abcd"), Ok(b"".as_slice()));
    assert_eq!(
        cut("5", "abcd"),
        Err(WireError::ShortBody { declared: 5, came: 4 })
    );
    assert_eq!(
        cut("16385", "abcd"),
        Err(WireError::BodyTooLarge { bytes: 16385 })
    );
    for bad in ["", "-1", "+1", "1 2", "0x1", "99999999999999999999"] {
        assert_eq!(cut(bad, "abcd"), Err(WireError::ContentLength), "{bad}");
    }
    assert_eq!(Content::unknown().cut(b"all"), Ok(b"all".as_slice()));
}

#[test]
fn quoting_reads_back() {
    for text in ["", "plain", "a \"b\" \\c", "tab\tand é", "\u{7}\u{7f}"] {
        let quoted = quote(text);
        assert_eq!(quoted_end(&quoted), Some(quoted.len()));
        assert_eq!(unquote(&quoted), text);
    }
    assert_eq!(unquote(&quote("two\r\nlines")), "two  lines");
    assert_eq!(quoted_end("\"open"), None);
    assert_eq!(quoted_end("\"open\\\""), None);
}

#[test]
fn long_numbers_are_masked_and_short_ones_are_not() {
    assert_eq!(mask_numbers("+14155550123"), "+14•••••••23");
    assert_eq!(mask_numbers("call 415-555-0123 now"), "call 41•-•••-••23 now");
    assert_eq!(mask_numbers("SIP 200 in 123456 ms"), "SIP 200 in 123456 ms");
    assert_eq!(mask_numbers(""), "");
}

// The stream framer.

const MESSAGE: &str = "OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/TCP h\r\nl: 4\r\n\r\nbody";

fn drain(framer: &mut StreamFramer) -> Vec<Frame> {
    std::iter::from_fn(|| framer.next_frame().unwrap()).collect()
}

#[test]
fn a_stream_is_cut_into_messages_wherever_its_segments_end() {
    let stream = format!("\r\n\r\n{MESSAGE}\r\n{MESSAGE}{MESSAGE}");
    for size in 1..stream.len() {
        let mut framer = StreamFramer::new();
        let mut frames = Vec::new();
        for segment in stream.as_bytes().chunks(size) {
            assert_eq!(framer.push(segment), segment.len());
            frames.extend(drain(&mut framer));
        }
        let message = || Frame::Message(MESSAGE.as_bytes().to_vec());
        assert_eq!(
            frames,
            [Frame::Ping, message(), message(), message()],
            "segments of {size}"
        );
        assert!(!framer.is_inside_message());
    }
}

#[test]
fn line_feeds_alone_frame_as_well() {
    let mut framer = StreamFramer::new();
    let text = "OPTIONS sip:a SIP/2.0\nContent-Length : 2\n\nhi";
    framer.push(text.as_bytes());
    assert_eq!(drain(&mut framer), [Frame::Message(text.as_bytes().to_vec())]);
}

#[test]
fn a_half_message_waits_and_is_known_to_be_unfinished() {
    let mut framer = StreamFramer::new();
    framer.push(b"\r\n");
    assert_eq!(drain(&mut framer), []);
    assert!(!framer.is_inside_message());
    framer.push(b"OPTIONS");
    assert_eq!(drain(&mut framer), []);
    assert!(framer.is_inside_message());
}

#[test]
fn a_stream_that_cannot_be_cut_fails_for_good() {
    let fail = |text: &str| {
        let mut framer = StreamFramer::new();
        let (mut rest, mut error) = (text.as_bytes(), None);
        while !rest.is_empty() && error.is_none() {
            let taken = framer.push(rest);
            rest = rest.get(taken..).unwrap();
            error = framer.next_frame().err();
        }
        assert_eq!(framer.next_frame().err(), error);
        error
    };
    let head = "OPTIONS sip:a SIP/2.0\r\n";
    assert_eq!(fail(&format!("{head}\r\n")), Some(FrameError::ContentLength));
    assert_eq!(
        fail(&format!("{head}l: x\r\n\r\n")),
        Some(FrameError::ContentLength)
    );
    assert_eq!(
        fail(&format!("{head}l: 1\r\nContent-Length: 1\r\n\r\n")),
        Some(FrameError::ContentLength)
    );
    assert_eq!(
        fail(&format!("{head}l: 16385\r\n\r\n")),
        Some(FrameError::BodyTooLarge)
    );
    assert_eq!(
        fail(&"x".repeat(HEADER_BYTES_MAX + 1)),
        Some(FrameError::LineTooLong)
    );
    assert_eq!(
        fail(&format!("{head}{}", "A: b\r\n".repeat(20_000))),
        Some(FrameError::HeadTooLarge)
    );
}

#[test]
fn a_framer_never_holds_more_than_one_message_limit() {
    let mut framer = StreamFramer::new();
    let taken = framer.push(&vec![b'\n'; 3 * MESSAGE_BYTES_MAX]);
    assert_eq!((taken, framer.room()), (MESSAGE_BYTES_MAX, 0));
    assert_eq!(drain(&mut framer), []);
    assert_eq!(framer.room(), MESSAGE_BYTES_MAX);
    framer.push("\r\n\r\n".repeat(1000).as_bytes());
    assert_eq!(drain(&mut framer), [Frame::Ping]);
}
