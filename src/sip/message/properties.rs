//! What must hold for every message, and for every damage done to one.
use proptest::prelude::*;

use super::tests::{INVITE, OK};
use super::*;

fn token() -> impl Strategy<Value = String> {
    "[A-Za-z0-9!%*_+`'~.-]{1,12}"
}

fn any_uri() -> impl Strategy<Value = Uri> {
    let text = prop_oneof![
        "sips?:[a-z0-9+%41]{0}[a-z0-9+.]{1,8}@[a-z]{1,8}(\\.[a-z]{1,3})?(:[1-9][0-9]{0,3})?(;[a-z]{1,4}(=[a-z0-9]{1,4})?){0,3}",
        "sip:\\[2001:db8::[0-9a-f]{1,4}\\](:[1-9][0-9]{0,3})?(;lr)?",
        "sip:[a-z]{1,6}:[a-z]{1,4}@192\\.0\\.2\\.[1-9](\\?[a-z]{1,4}=[a-z%20]{0}[a-z]{0,3})?",
        "tel:\\+[0-9-]{0,3}[0-9]{4,12}(;isub=[0-9]{1,3})?",
    ];
    text.prop_map(|text| text.parse().unwrap())
}

fn address() -> impl Strategy<Value = NameAddr> {
    (
        proptest::option::of("[ -~éü]{0,10}"),
        any_uri(),
        proptest::option::of(token()),
    )
        .prop_map(|(display, uri, tag)| {
            let address = NameAddr {
                display,
                uri,
                params: crate::sip::uri::Params::default(),
            };
            match tag {
                Some(tag) => address.with_tag(&tag),
                None => address,
            }
        })
}

fn method() -> impl Strategy<Value = Method> {
    prop_oneof!["INVITE|BYE|OPTIONS|CANCEL|PRACK|NEW-METHOD", token()]
        .prop_map(|text| Method::from(text.as_str()))
}

fn any_headers(method: Method) -> impl Strategy<Value = Headers> {
    let others = proptest::collection::vec(
        (
            "(X-[a-z]{1,6}|Subject|Supported|Allow|User-Agent|Warning)",
            "[ -~\té]{0,20}",
        ),
        0..6,
    );
    (
        address(),
        address(),
        0..1_u32 << 31,
        "[!-~]{1,20}",
        address(),
        others,
    )
        .prop_map(move |(from, to, seq, call_id, contact, others)| {
            let mut headers = Headers::default();
            headers.push(
                "Via",
                "SIP/2.0/UDP [2001:db8::1]:5060;branch=z9hG4bK1;received=2001:db8::2, SIP/2.0/TCP h",
            );
            headers.push("From", from.to_string());
            headers.push("To", to.to_string());
            headers.push("Call-ID", call_id);
            headers.push("CSeq", CSeq::new(seq, method.clone()).to_string());
            headers.push("Contact", contact.to_string());
            for (name, value) in others {
                headers.push(&name, value);
            }
            headers
        })
}

fn any_message() -> impl Strategy<Value = Message> {
    let body = || proptest::collection::vec(any::<u8>(), 0..60);
    let request = (method(), any_uri(), body()).prop_flat_map(|(method, uri, body)| {
        any_headers(method.clone()).prop_map(move |headers| {
            Message::Request(Request {
                method: method.clone(),
                uri: uri.clone(),
                headers,
                body: body.clone(),
            })
        })
    });
    let response = (
        100..700_u16,
        "([!-~é][ -~é]{0,12}[!-~é])?",
        any_headers(Method::Invite),
        body(),
    )
        .prop_map(|(status, reason, headers, body)| {
            Message::Response(Response {
                status,
                reason,
                headers,
                body,
            })
        });
    prop_oneof![request, response]
}

proptest! {
    #[test]
    fn what_is_written_reads_back_the_same(message in any_message()) {
        prop_assert_eq!(Message::parse(&message.to_bytes()), Ok(message));
    }

    #[test]
    fn typed_values_read_back_the_same(address in address(), uri in any_uri()) {
        prop_assert_eq!(address.to_string().parse::<NameAddr>(), Ok(address));
        prop_assert!(uri.equivalent(&uri.clone()));
        prop_assert_eq!(uri.to_string().parse::<Uri>(), Ok(uri));
    }

    #[test]
    fn arbitrary_octets_end_in_a_value_or_an_error(octets in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Message::parse(&octets);
        let text = String::from_utf8_lossy(&octets);
        let _ = text.parse::<Uri>();
        let _ = text.parse::<Via>();
        let _ = text.parse::<NameAddr>();
        let mut head = b"INVITE sip:a SIP/2.0\r\n".to_vec();
        head.extend_from_slice(&octets);
        let _ = Message::parse(&head);
    }

    #[test]
    fn a_mutated_message_ends_in_a_value_or_an_error_and_what_was_read_can_be_used(
        is_request in any::<bool>(),
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), 0..4_u8, any::<u8>()), 1..8),
    ) {
        let mut octets = if is_request { INVITE } else { OK }.as_bytes().to_vec();
        for (place, how, octet) in cuts {
            let at = place.index(octets.len().max(1));
            match how {
                0 if at < octets.len() => { octets.remove(at); }
                1 => octets.insert(at, octet),
                2 if at < octets.len() => octets[at] = octet,
                _ => octets.truncate(at.max(20)),
            }
        }
        match Message::parse(&octets) {
            Ok(message) => {
                let headers = message.headers();
                prop_assert!(headers.top_via().is_ok() && headers.from().is_ok() && headers.to().is_ok());
                prop_assert!(headers.call_id().is_ok() && headers.cseq().is_ok());
                prop_assert_eq!(Message::parse(&message.to_bytes()), Ok(message));
            }
            Err(ParseError::BadRequest(bad)) => {
                // No amplification: at most half as much again as came, and the tag.
                if let Some(reply) = bad.reply("0123456789abcdef") {
                    prop_assert!(reply.to_bytes().len() <= octets.len() * 3 / 2 + 64);
                }
            }
            Err(ParseError::KeepAlive | ParseError::NotSip | ParseError::BadResponse(_)) => {}
        }
    }
}
