//! Messages that are not the peer's change nothing (SAFETY 5).
use super::*;

fn stranger() -> SocketAddr {
    "198.51.100.66:5060".parse().unwrap()
}

/// The genuine message, and one deviation of it.
fn forgeries(genuine: &Message) -> Vec<Message> {
    let mut forged = Vec::new();
    for (name, value) in [
        ("Call-ID", "other"),
        ("From", "<sip:x@example.com>;tag=guess"),
        ("From", "<sip:x@example.com>"),
        ("To", "<sip:x@example.com>;tag=guess"),
    ] {
        let mut message = genuine.clone();
        message.headers_mut().set(name, value);
        forged.push(message);
    }
    forged
}

#[test]
fn nothing_from_a_stranger_has_an_effect_or_an_answer() {
    let mut rig = Rig::answered();
    for method in [
        Method::Bye,
        Method::Invite,
        Method::Info,
        Method::Options,
        Method::Cancel,
    ] {
        let request = rig.peer_request(method, 1, "a");
        rig.receive_from(request, stranger());
    }
    let (sent, events) = (rig.sent.len(), rig.events.len());
    assert_eq!((sent, events), (1, 0), "only the INVITE itself has left");
    let mut rig = Rig::new();
    for status in [100, 180, 200, 486] {
        let response = rig.response(&Method::Invite, status, "a");
        rig.receive_from(response, stranger());
    }
    assert_eq!((rig.sent.len(), rig.events.len()), (1, 0));
}

#[test]
fn a_request_with_a_wrong_tag_or_call_id_never_ends_the_call() {
    let mut rig = Rig::answered();
    for method in [Method::Bye, Method::Invite, Method::Info] {
        let genuine = Message::Request(rig.peer_request(method, 1, "a"));
        for forged in forgeries(&genuine) {
            rig.receive(forged);
        }
    }
    assert!(rig.events.is_empty());
    let statuses = rig.sent.iter().filter_map(|(_, message)| match message {
        Message::Response(response) => Some(response.status),
        Message::Request(_) => None,
    });
    // The other Call-ID is not even answered.
    assert_eq!(statuses.collect::<Vec<u16>>(), [481; 9]);
    let info = rig.peer_request(Method::Info, 1, "a");
    rig.receive(info);
    assert_eq!(rig.events.len(), 1);
}

#[test]
fn a_response_with_anything_guessed_is_dropped() {
    for status in [180, 200, 486, 407] {
        let mut rig = Rig::new();
        let genuine = Message::Response(rig.response(&Method::Invite, status, "a"));
        let mut forged = forgeries(&genuine);
        // To is the peer's to choose in a response to the first INVITE.
        forged.pop();
        for (name, value) in [
            (
                "Via",
                "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK0123456789abcdef0123456789abcdef",
            ),
            ("CSeq", "2 INVITE"),
            ("CSeq", "1 BYE"),
        ] {
            let mut message = genuine.clone();
            message.headers_mut().set(name, value);
            forged.push(message);
        }
        for message in forged {
            rig.receive(message);
        }
        assert_eq!((rig.sent.len(), rig.events.len()), (1, 0), "{status}");
        rig.receive(genuine);
        assert!(rig.sent.len() + rig.events.len() > 1, "{status}");
    }
}

#[test]
fn a_forged_200_to_our_bye_does_not_end_it() {
    let mut rig = Rig::answered();
    rig.input(Input::Bye { reason: None });
    let mut forged = rig.response(&Method::Bye, 200, "a");
    forged
        .headers
        .set("To", "<sip:+493012345@trunk.example>;tag=guess");
    rig.receive(forged);
    assert!(rig.events.is_empty());
}

#[test]
fn peers_route_hosts_and_the_remote_target_may_speak() {
    let mut config = config();
    config.peers = vec!["198.51.100.0/24".parse().unwrap()];
    let mut rig = Rig::with(config);
    let mut ok = rig.response(&Method::Invite, 200, "a");
    ok.headers.set("Contact", "<sip:callee@203.0.113.20>");
    ok.headers.push("Record-Route", "<sip:203.0.113.10;lr>");
    rig.receive(ok);
    rig.clear();
    for (n, source) in [
        "198.51.100.9:1",
        "203.0.113.10:5060",
        "203.0.113.20:7",
        "192.0.2.10:9",
    ]
    .iter()
    .enumerate()
    {
        let info = rig.peer_request(Method::Info, 1 + u32::try_from(n).unwrap(), "a");
        rig.receive_from(info, source.parse().unwrap());
        assert_eq!(rig.events.len(), n + 1, "{source}");
    }
    let info = rig.peer_request(Method::Info, 9, "a");
    rig.receive_from(info, "203.0.113.11:5060".parse().unwrap());
    assert_eq!(rig.events.len(), 4);
}

#[test]
fn a_flood_of_requests_keeps_the_session_bounded_and_alive() {
    let mut rig = Rig::answered();
    for seq in 1..500 {
        let info = rig.peer_request(Method::Info, seq, "a");
        rig.receive(info);
    }
    assert_eq!(rig.events.len(), 28);
    assert_eq!(rig.last_response().status, 503);
    let bye = rig.peer_request(Method::Bye, 1_000, "a");
    rig.receive(bye);
    assert!(matches!(rig.events[28], Event::PeerBye { .. }));
}

/// Each in a transaction of its own, from the peer's address: they take no place that a genuine BYE needs.
#[test]
fn a_spray_of_cancels_and_stale_byes_leaves_room_for_the_callees_bye() {
    let mut rig = Rig::answered();
    let info = rig.peer_request(Method::Info, 900, "a");
    rig.receive(info);
    for seq in 1..500 {
        for (method, status) in [(Method::Cancel, 481), (Method::Bye, 500)] {
            let forged = rig.peer_request(method.clone(), seq, "a");
            rig.receive(forged);
            assert_eq!(rig.last_response().status, status, "{method} {seq}");
        }
    }
    let update = rig.peer_request(Method::Update, 901, "a");
    rig.receive(update);
    assert_ne!(rig.last_response().status, 503);
    let bye = rig.peer_request(Method::Bye, 902, "a");
    rig.receive(bye);
    assert_eq!(rig.last_response().status, 200);
    let ended = |event: &Event| matches!(event, Event::PeerBye { .. });
    assert!(rig.events.iter().any(ended));
}

/// Genuine messages with a few octets changed: whatever still parses is survived, and the session ends.
#[test]
fn torn_messages_are_survived_in_every_state() {
    for seed in 0..400 {
        let mut entropy = Entropy::from_number(seed);
        let mut rig = Rig::new();
        let mut reliable = rig
            .response(&Method::Invite, 183, "a")
            .with_body("application/sdp", ANSWER.to_vec());
        reliable.headers.push("Require", "100rel");
        reliable.headers.push("RSeq", "1");
        let mut ok = rig
            .response(&Method::Invite, 200, "a")
            .with_body("application/sdp", ANSWER.to_vec());
        ok.headers.push("Session-Expires", "90;refresher=uac");
        ok.headers.push("Record-Route", "<sip:192.0.2.10;lr>");
        let reinvite = rig
            .peer_request(Method::Invite, 2, "a")
            .with_body("application/sdp", b"x".to_vec());
        let messages: [Message; 7] = [
            reliable.into(),
            rig.response(&Method::Invite, 407, "a").into(),
            ok.into(),
            rig.peer_request(Method::Info, 1, "a").into(),
            reinvite.into(),
            rig.peer_ack("a", 2).into(),
            rig.peer_request(Method::Bye, 3, "a").into(),
        ];
        for message in &messages {
            for _ in 0..4 {
                let mut bytes = message.to_bytes();
                for _ in 0..=entropy.below(3) {
                    let at = usize::try_from(entropy.below(bytes.len() as u64)).unwrap();
                    bytes[at] = entropy.u16().to_le_bytes()[0];
                }
                if let Ok(message) = Message::parse(&bytes) {
                    rig.input(Input::Message {
                        message,
                        source: target(),
                    });
                }
                rig.advance(entropy.below(3_000));
            }
            if entropy.below(3) == 0 {
                rig.input(Input::AnswerOffer { sdp: ANSWER.to_vec() });
            }
        }
        for _ in 0..4 {
            rig.input(Input::Bye { reason: None });
            rig.advance(100_000);
        }
        assert!(rig.is_ended(), "seed {seed}");
        assert_eq!(
            rig.events.iter().filter(|event| **event == Event::Ended).count(),
            1,
            "seed {seed}"
        );
    }
}
