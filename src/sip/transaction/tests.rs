//! State × input tables of the four machines, and their schedules in virtual time.
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::client_invite::{ClientInvite, Rules};
use super::client_non_invite::ClientNonInvite;
use super::server_invite::ServerInvite;
use super::server_non_invite::ServerNonInvite;
use super::timer::{Reliability, TimerConfig};
use super::{ClientInput, ClientOutput, ServerInput, ServerOutput};
use crate::sip::message::{Message, Method, Request, Response};

const UDP: Rules = rules(Reliability::Unreliable);
const TCP: Rules = rules(Reliability::Reliable);

const fn rules(reliability: Reliability) -> Rules {
    let timers = TimerConfig {
        t1: Duration::from_millis(500),
        t2: Duration::from_secs(4),
        t4: Duration::from_secs(5),
    };
    Rules { timers, reliability }
}

fn request(method: &str) -> Request {
    let text = format!(
        "{method} sip:callee@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK77;rport\r\n\
         Route: <sip:p1.example;lr>, <sip:p2.example;lr>\r\nMax-Forwards: 70\r\n\
         From: <sip:us@example.com>;tag=ours\r\nTo: <sip:callee@192.0.2.9>\r\nCall-ID: c1\r\nCSeq: 4 {method}\r\n\
         Content-Length: 0\r\n\r\n"
    );
    match Message::parse(text.as_bytes()).unwrap() {
        Message::Request(request) => request,
        Message::Response(_) => unreachable!(),
    }
}

fn response(status: u16) -> Response {
    Response::reply_to(&request("INVITE"), status, None).with_to_tag("theirs")
}

fn first_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().next().unwrap_or_default();
    line.trim_start_matches("SIP/2.0 ")
        .split(' ')
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn client_text(out: &[ClientOutput]) -> String {
    let words = out.iter().map(|output| match output {
        ClientOutput::Send(bytes) => format!("send {}", first_line(bytes)),
        ClientOutput::Response(response) => format!("tell {}", response.status),
        ClientOutput::TimedOut => "timed out".to_owned(),
        ClientOutput::TransportFailed => "transport failed".to_owned(),
    });
    words.collect::<Vec<_>>().join(", ")
}

fn server_text(out: &[ServerOutput]) -> String {
    let words = out.iter().map(|output| match output {
        ServerOutput::Send(bytes) => format!("send {}", first_line(bytes)),
        ServerOutput::Ack(_) => "tell ACK".to_owned(),
        ServerOutput::NoAck => "no ACK".to_owned(),
        ServerOutput::TransportFailed => "transport failed".to_owned(),
    });
    words.collect::<Vec<_>>().join(", ")
}

fn client_input(word: &str) -> ClientInput {
    match word {
        "timeout" | "early" => ClientInput::Timeout,
        "error" => ClientInput::TransportError,
        status => ClientInput::Response(Box::new(response(status.parse().unwrap()))),
    }
}

fn server_input(word: &str) -> ServerInput {
    match word {
        "again" => ServerInput::Retransmission,
        "ACK" => ServerInput::Ack(Box::new(request("ACK"))),
        "timeout" | "early" => ServerInput::Timeout,
        "error" => ServerInput::TransportError,
        status => {
            let response = response(status.parse().unwrap());
            ServerInput::Respond {
                status: response.status,
                bytes: response.to_bytes(),
            }
        }
    }
}

/// `timeout` comes at the deadline, or long after all of them where there is none; `early` a moment before.
fn moment(now: Instant, deadline: Option<(Instant, &'static str)>, word: &str) -> Instant {
    let far = now + Duration::from_secs(3600);
    match word {
        "timeout" => deadline.map_or(far, |(at, _)| at),
        "early" => deadline.map_or(far, |(at, _)| at - Duration::from_millis(1)),
        _ => now,
    }
}

fn client_invite_state(name: &str, now: Instant) -> ClientInvite {
    let mut out = Vec::new();
    let calling = ClientInvite::start(now, UDP, Arc::new(request("INVITE")), &mut out);
    let words: &[&str] = match name {
        "Calling" => &[],
        "Proceeding" => &["180"],
        "Accepted" => &["200"],
        "Completed" => &["486"],
        _ => return ClientInvite::Terminated,
    };
    words.iter().fold(calling, |state, word| {
        state.handle(now, UDP, client_input(word), &mut out)
    })
}

fn client_invite_name(state: &ClientInvite) -> &'static str {
    match state {
        ClientInvite::Calling { .. } => "Calling",
        ClientInvite::Proceeding { .. } => "Proceeding",
        ClientInvite::Accepted { .. } => "Accepted",
        ClientInvite::Completed { .. } => "Completed",
        ClientInvite::Terminated => "Terminated",
    }
}

#[test]
fn client_invite_table() {
    for (from, input, output, to) in [
        ("Calling", "100", "tell 100", "Proceeding"),
        ("Calling", "183", "tell 183", "Proceeding"),
        ("Calling", "200", "tell 200", "Accepted"),
        ("Calling", "302", "send ACK, tell 302", "Completed"),
        ("Calling", "486", "send ACK, tell 486", "Completed"),
        ("Calling", "603", "send ACK, tell 603", "Completed"),
        ("Calling", "early", "", "Calling"),
        ("Calling", "timeout", "send INVITE", "Calling"),
        ("Calling", "error", "transport failed", "Terminated"),
        ("Proceeding", "180", "tell 180", "Proceeding"),
        ("Proceeding", "200", "tell 200", "Accepted"),
        ("Proceeding", "503", "send ACK, tell 503", "Completed"),
        ("Proceeding", "timeout", "", "Proceeding"),
        ("Proceeding", "error", "", "Proceeding"),
        ("Accepted", "180", "", "Accepted"),
        ("Accepted", "200", "tell 200", "Accepted"),
        ("Accepted", "486", "", "Accepted"),
        ("Accepted", "early", "", "Accepted"),
        ("Accepted", "timeout", "", "Terminated"),
        ("Accepted", "error", "", "Accepted"),
        ("Completed", "180", "", "Completed"),
        ("Completed", "200", "tell 200", "Completed"),
        ("Completed", "486", "send ACK", "Completed"),
        ("Completed", "early", "", "Completed"),
        ("Completed", "timeout", "", "Terminated"),
        ("Completed", "error", "", "Completed"),
        ("Terminated", "180", "", "Terminated"),
        ("Terminated", "200", "", "Terminated"),
        ("Terminated", "486", "", "Terminated"),
        ("Terminated", "timeout", "", "Terminated"),
        ("Terminated", "error", "", "Terminated"),
    ] {
        let now = crate::sip::epoch();
        let state = client_invite_state(from, now);
        let at = moment(now, state.poll_timeout(), input);
        let mut out = Vec::new();
        let next = state.handle(at, UDP, client_input(input), &mut out);
        assert_eq!(
            (client_text(&out).as_str(), client_invite_name(&next)),
            (output, to),
            "{from} × {input}"
        );
    }
}

#[test]
fn an_unanswered_invite_goes_out_seven_times_and_gives_up_at_32_seconds() {
    let start = crate::sip::epoch();
    let mut out = Vec::new();
    let mut state = ClientInvite::start(start, UDP, Arc::new(request("INVITE")), &mut out);
    let mut schedule = vec![];
    let mut now = start;
    loop {
        for output in out.drain(..) {
            schedule.push(((now - start).as_millis(), client_text(&[output])));
        }
        let Some((at, _)) = state.poll_timeout() else {
            break;
        };
        now = at;
        state = state.handle(now, UDP, ClientInput::Timeout, &mut out);
    }
    let times: Vec<u128> = schedule.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [0, 500, 1500, 3500, 7500, 15_500, 31_500, 32_000]);
    assert!(schedule[..7].iter().all(|(_, what)| what == "send INVITE"));
    assert_eq!(schedule[7].1, "timed out");
}

#[test]
fn on_a_reliable_transport_an_invite_goes_out_once_and_a_rejection_ends_it() {
    let now = crate::sip::epoch();
    let mut out = Vec::new();
    let state = ClientInvite::start(now, TCP, Arc::new(request("INVITE")), &mut out);
    assert_eq!(
        state.poll_timeout(),
        Some((now + Duration::from_secs(32), "timer B"))
    );
    let state = state.handle(now, TCP, client_input("404"), &mut out);
    assert_eq!(client_text(&out), "send INVITE, send ACK, tell 404");
    assert_eq!(client_invite_name(&state), "Terminated");
}

#[test]
fn the_ack_of_a_rejection_has_branch_route_and_number_of_its_invite_and_the_responses_to() {
    let invite = request("INVITE");
    let ack = super::client_invite::ack_of_rejection(&invite, &response(486));
    assert_eq!(ack.method, Method::Ack);
    assert_eq!(ack.uri, invite.uri);
    assert_eq!(ack.headers.top_via().unwrap().branch(), Some("z9hG4bK77"));
    assert_eq!(ack.headers.vias().unwrap().len(), 1);
    assert_eq!(ack.headers.routes().unwrap().len(), 2);
    assert_eq!(ack.headers.get("CSeq"), Some("4 ACK"));
    assert_eq!(ack.headers.to().unwrap().tag(), Some("theirs"));
    let cancel = super::client_invite::cancel_of(&invite);
    assert_eq!(cancel.headers.get("CSeq"), Some("4 CANCEL"));
    assert_eq!(cancel.headers.to().unwrap().tag(), None);
    assert_eq!(cancel.headers.routes().unwrap().len(), 2);
}

fn client_non_invite_name(state: &ClientNonInvite) -> &'static str {
    match state {
        ClientNonInvite::Trying { .. } => "Trying",
        ClientNonInvite::Proceeding { .. } => "Proceeding",
        ClientNonInvite::Completed { .. } => "Completed",
        ClientNonInvite::Terminated => "Terminated",
    }
}

#[test]
fn client_non_invite_table() {
    for (from, input, output, to) in [
        ("Trying", "100", "tell 100", "Proceeding"),
        ("Trying", "200", "tell 200", "Completed"),
        ("Trying", "481", "tell 481", "Completed"),
        ("Trying", "early", "", "Trying"),
        ("Trying", "timeout", "send BYE", "Trying"),
        ("Trying", "error", "transport failed", "Terminated"),
        ("Proceeding", "100", "tell 100", "Proceeding"),
        ("Proceeding", "200", "tell 200", "Completed"),
        ("Proceeding", "503", "tell 503", "Completed"),
        ("Proceeding", "timeout", "send BYE", "Proceeding"),
        ("Proceeding", "error", "transport failed", "Terminated"),
        ("Completed", "100", "", "Completed"),
        ("Completed", "200", "", "Completed"),
        ("Completed", "early", "", "Completed"),
        ("Completed", "timeout", "", "Terminated"),
        ("Completed", "error", "", "Completed"),
        ("Terminated", "200", "", "Terminated"),
        ("Terminated", "timeout", "", "Terminated"),
        ("Terminated", "error", "", "Terminated"),
    ] {
        let now = crate::sip::epoch();
        let mut out = Vec::new();
        let trying = ClientNonInvite::start(now, UDP, &request("BYE"), &mut out);
        let state = match from {
            "Trying" => trying,
            "Proceeding" => trying.handle(now, UDP, client_input("100"), &mut out),
            "Completed" => trying.handle(now, UDP, client_input("200"), &mut out),
            _ => ClientNonInvite::Terminated,
        };
        out.clear();
        let at = moment(now, state.poll_timeout(), input);
        let next = state.handle(at, UDP, client_input(input), &mut out);
        assert_eq!(
            (client_text(&out).as_str(), client_non_invite_name(&next)),
            (output, to),
            "{from} × {input}"
        );
    }
}

fn non_invite_schedule(first_response: Option<(u64, &str)>) -> Vec<u128> {
    let start = crate::sip::epoch();
    let mut out = Vec::new();
    let mut state = ClientNonInvite::start(start, UDP, &request("BYE"), &mut out);
    let (mut times, mut now, mut response) = (vec![], start, first_response);
    loop {
        times.extend(
            out.drain(..)
                .filter(|o| !matches!(o, ClientOutput::Response(_)))
                .map(|_| (now - start).as_millis()),
        );
        let Some((at, _)) = state.poll_timeout() else {
            break;
        };
        let due = response.map(|(ms, word)| (start + Duration::from_millis(ms), word));
        let input = match due {
            Some((when, word)) if when <= at => {
                response = None;
                now = when;
                client_input(word)
            }
            _ => {
                now = at;
                ClientInput::Timeout
            }
        };
        state = state.handle(now, UDP, input, &mut out);
    }
    times
}

#[test]
fn a_bye_without_response_is_repeated_up_to_every_4_seconds_until_timer_f() {
    assert_eq!(
        non_invite_schedule(None),
        [
            0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500, 32_000
        ]
    );
}

#[test]
fn after_a_provisional_response_timer_e_is_t2() {
    assert_eq!(
        non_invite_schedule(Some((600, "100"))),
        [
            0, 500, 1500, 5500, 9500, 13_500, 17_500, 21_500, 25_500, 29_500, 32_000
        ]
    );
}

#[test]
fn on_a_reliable_transport_a_final_response_ends_a_request_at_once() {
    let now = crate::sip::epoch();
    let mut out = Vec::new();
    let state = ClientNonInvite::start(now, TCP, &request("BYE"), &mut out);
    assert_eq!(state.poll_timeout().unwrap().1, "timer F");
    let state = state.handle(now, TCP, client_input("200"), &mut out);
    assert_eq!(client_non_invite_name(&state), "Terminated");
}

fn server_invite_name(state: &ServerInvite) -> &'static str {
    match state {
        ServerInvite::Proceeding(_) => "Proceeding",
        ServerInvite::Accepted { .. } => "Accepted",
        ServerInvite::Completed { .. } => "Completed",
        ServerInvite::Confirmed { .. } => "Confirmed",
        ServerInvite::Terminated => "Terminated",
    }
}

#[test]
fn server_invite_table() {
    for (from, input, output, to) in [
        ("Proceeding", "again", "send 100", "Proceeding"),
        ("Proceeding", "180", "send 180", "Proceeding"),
        ("Proceeding", "200", "send 200", "Accepted"),
        ("Proceeding", "486", "send 486", "Completed"),
        ("Proceeding", "ACK", "", "Proceeding"),
        ("Proceeding", "early", "", "Proceeding"),
        ("Proceeding", "timeout", "send 100", "Proceeding"),
        ("Proceeding", "error", "transport failed", "Terminated"),
        ("Ringing", "again", "send 180", "Proceeding"),
        ("Ringing", "183", "send 183", "Proceeding"),
        ("Ringing", "timeout", "", "Proceeding"),
        ("Ringing", "200", "send 200", "Accepted"),
        ("Accepted", "again", "", "Accepted"),
        ("Accepted", "ACK", "tell ACK", "Accepted"),
        ("Accepted", "200", "send 200", "Accepted"),
        ("Accepted", "180", "", "Accepted"),
        ("Accepted", "486", "", "Accepted"),
        ("Accepted", "early", "", "Accepted"),
        ("Accepted", "timeout", "", "Terminated"),
        ("Accepted", "error", "", "Accepted"),
        ("Completed", "again", "send 486", "Completed"),
        ("Completed", "ACK", "", "Confirmed"),
        ("Completed", "200", "", "Completed"),
        ("Completed", "503", "", "Completed"),
        ("Completed", "early", "", "Completed"),
        ("Completed", "timeout", "send 486", "Completed"),
        ("Completed", "error", "transport failed", "Terminated"),
        ("Confirmed", "again", "", "Confirmed"),
        ("Confirmed", "ACK", "", "Confirmed"),
        ("Confirmed", "200", "", "Confirmed"),
        ("Confirmed", "early", "", "Confirmed"),
        ("Confirmed", "timeout", "", "Terminated"),
        ("Confirmed", "error", "", "Confirmed"),
        ("Terminated", "again", "", "Terminated"),
        ("Terminated", "ACK", "", "Terminated"),
        ("Terminated", "200", "", "Terminated"),
        ("Terminated", "timeout", "", "Terminated"),
    ] {
        let now = crate::sip::epoch();
        let mut out = Vec::new();
        let start = ServerInvite::start(now, &request("INVITE"));
        let words: &[&str] = match from {
            "Proceeding" => &[],
            "Ringing" => &["180"],
            "Accepted" => &["200"],
            "Completed" => &["486"],
            "Confirmed" => &["486", "ACK"],
            _ => &["error"],
        };
        let state = words.iter().fold(start, |state, word| {
            state.handle(now, UDP, server_input(word), &mut out)
        });
        out.clear();
        let at = moment(now, state.poll_timeout(), input);
        let next = state.handle(at, UDP, server_input(input), &mut out);
        assert_eq!(
            (server_text(&out).as_str(), server_invite_name(&next)),
            (output, to),
            "{from} × {input}"
        );
    }
}

#[test]
fn a_rejection_is_repeated_by_timer_g_until_timer_h() {
    let start = crate::sip::epoch();
    let mut out = Vec::new();
    let mut state =
        ServerInvite::start(start, &request("INVITE")).handle(start, UDP, server_input("486"), &mut out);
    let (mut log, mut now) = (vec![], start);
    loop {
        log.extend(
            out.drain(..)
                .map(|output| ((now - start).as_millis(), server_text(&[output]))),
        );
        let Some((at, _)) = state.poll_timeout() else {
            break;
        };
        now = at;
        state = state.handle(now, UDP, ServerInput::Timeout, &mut out);
    }
    let times: Vec<u128> = log.iter().map(|(at, _)| *at).collect();
    assert_eq!(
        times,
        [
            0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500, 32_000
        ]
    );
    assert_eq!(log.last().unwrap().1, "no ACK");
}

#[test]
fn on_a_reliable_transport_a_rejection_goes_out_once_and_its_ack_ends_it() {
    let now = crate::sip::epoch();
    let mut out = Vec::new();
    let state = ServerInvite::start(now, &request("INVITE")).handle(now, TCP, server_input("486"), &mut out);
    assert_eq!(state.poll_timeout().unwrap().1, "timer H");
    let state = state.handle(now, TCP, server_input("ACK"), &mut out);
    assert_eq!(server_invite_name(&state), "Terminated");
}

fn server_non_invite_name(state: &ServerNonInvite) -> &'static str {
    match state {
        ServerNonInvite::Trying { .. } => "Trying",
        ServerNonInvite::Proceeding { .. } => "Proceeding",
        ServerNonInvite::Completed { .. } => "Completed",
        ServerNonInvite::Terminated => "Terminated",
    }
}

#[test]
fn server_non_invite_table() {
    for (from, input, output, to) in [
        ("Trying", "again", "", "Trying"),
        ("Trying", "200", "send 200", "Completed"),
        ("Trying", "481", "send 481", "Completed"),
        ("Trying", "183", "", "Trying"),
        ("Trying", "ACK", "", "Trying"),
        ("Trying", "early", "", "Trying"),
        ("Trying", "timeout", "send 100", "Proceeding"),
        ("Trying", "error", "transport failed", "Terminated"),
        ("Proceeding", "again", "send 100", "Proceeding"),
        ("Proceeding", "200", "send 200", "Completed"),
        ("Proceeding", "early", "", "Proceeding"),
        // RFC 4320: no 408, no late final response.
        ("Proceeding", "timeout", "", "Terminated"),
        ("Proceeding", "error", "transport failed", "Terminated"),
        ("Completed", "again", "send 200", "Completed"),
        ("Completed", "500", "", "Completed"),
        ("Completed", "early", "", "Completed"),
        ("Completed", "timeout", "", "Terminated"),
        ("Terminated", "again", "", "Terminated"),
        ("Terminated", "200", "", "Terminated"),
        ("Terminated", "timeout", "", "Terminated"),
        ("Terminated", "error", "", "Terminated"),
    ] {
        let now = crate::sip::epoch();
        let mut out = Vec::new();
        let trying = ServerNonInvite::start(now, UDP, &request("BYE"));
        let state = match from {
            "Trying" => trying,
            "Proceeding" => {
                let at = trying.poll_timeout().unwrap().0;
                trying.handle(at, UDP, ServerInput::Timeout, &mut out)
            }
            "Completed" => trying.handle(now, UDP, server_input("200"), &mut out),
            _ => ServerNonInvite::Terminated,
        };
        out.clear();
        let at = moment(now, state.poll_timeout(), input);
        let next = state.handle(at, UDP, server_input(input), &mut out);
        assert_eq!(
            (server_text(&out).as_str(), server_non_invite_name(&next)),
            (output, to),
            "{from} × {input}"
        );
    }
}

#[test]
fn a_slow_answer_to_a_request_gets_its_100_when_timer_e_reaches_t2() {
    let now = crate::sip::epoch();
    let state = ServerNonInvite::start(now, UDP, &request("BYE"));
    assert_eq!(
        state.poll_timeout(),
        Some((now + Duration::from_millis(3500), "100 Trying"))
    );
}

mod matching {
    use super::*;
    use crate::sip::message::Message;
    use crate::sip::transaction::response_target;
    use crate::sip::transaction::table::{CancelledInvite, Received, Transactions};
    use crate::sip::transaction::timer::Transport;

    fn source() -> std::net::SocketAddr {
        "192.0.2.1:5060".parse().unwrap()
    }

    fn table() -> Transactions {
        Transactions::new(TimerConfig::default(), Transport::Udp)
    }

    #[test]
    fn only_a_response_with_everything_we_sent_is_taken() {
        let now = crate::sip::epoch();
        let genuine = response(180);
        for (name, value) in [
            ("Via", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK78"),
            (
                "Via",
                "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK77, SIP/2.0/UDP 192.0.2.8;branch=z9hG4bKx",
            ),
            ("CSeq", "5 INVITE"),
            ("CSeq", "4 BYE"),
            ("Call-ID", "c2"),
            ("From", "<sip:us@example.com>;tag=other"),
            ("From", "<sip:us@example.com>"),
        ] {
            let mut transactions = table();
            transactions.request(now, request("INVITE"), source());
            let mut forged = genuine.clone();
            forged.headers.set(name, value);
            assert!(
                transactions.receive_response(now, Box::new(forged)).is_err(),
                "{name}: {value}"
            );
            assert_eq!(
                transactions
                    .receive_response(now, Box::new(genuine.clone()))
                    .unwrap()
                    .len(),
                1
            );
        }
    }

    #[test]
    fn a_repeated_request_gets_the_same_response_and_is_not_new() {
        let now = crate::sip::epoch();
        let mut transactions = table();
        let bye = request("BYE");
        let id = transactions.accept(now, &bye, source()).unwrap();
        transactions.respond(now, id, &Response::reply_to(&bye, 200, None));
        let first = transactions.take_transmits();
        assert!(matches!(
            transactions.receive_request(now, Box::new(bye)),
            Received::Absorbed
        ));
        assert_eq!(transactions.take_transmits(), first);
        let mut other = request("BYE");
        other
            .headers
            .set("Via", "SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bK77");
        assert!(matches!(
            transactions.receive_request(now, Box::new(other)),
            Received::New(_)
        ));
    }

    #[test]
    fn a_cancel_finds_its_invite_by_branch_and_only_before_the_final_response() {
        let now = crate::sip::epoch();
        let mut transactions = table();
        let invite = request("INVITE");
        let id = transactions.accept(now, &invite, source()).unwrap();
        let cancel = crate::sip::transaction::client_invite::cancel_of(&invite);
        assert_eq!(
            transactions.cancelled_invite(&cancel),
            Some(CancelledInvite::Pending(id))
        );
        let mut stranger = cancel.clone();
        stranger
            .headers
            .set("Via", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK78");
        assert_eq!(transactions.cancelled_invite(&stranger), None);
        transactions.respond(now, id, &Response::reply_to(&invite, 486, None));
        assert_eq!(
            transactions.cancelled_invite(&cancel),
            Some(CancelledInvite::Answered)
        );
    }

    #[test]
    fn an_rfc_2543_peer_is_told_apart_by_the_whole_request() {
        let now = crate::sip::epoch();
        let mut transactions = table();
        let mut old = request("BYE");
        old.headers.set("Via", "SIP/2.0/UDP 192.0.2.1:5060");
        transactions.accept(now, &old, source()).unwrap();
        assert!(matches!(
            transactions.receive_request(now, Box::new(old.clone())),
            Received::Absorbed
        ));
        old.headers.set("CSeq", "5 BYE");
        assert!(matches!(
            transactions.receive_request(now, Box::new(old)),
            Received::New(_)
        ));
    }

    #[test]
    fn a_response_goes_to_the_source_and_to_no_address_that_the_peer_wrote() {
        for (via, target) in [
            (
                "SIP/2.0/UDP 192.0.2.1:5070;rport;branch=z9hG4bKa",
                "192.0.2.1:5060",
            ),
            ("SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bKa", "192.0.2.1:5070"),
            ("SIP/2.0/UDP 203.0.113.5;branch=z9hG4bKa", "192.0.2.1:5060"),
            (
                "SIP/2.0/UDP 192.0.2.1;received=203.0.113.5;maddr=203.0.113.6;branch=z9hG4bKa",
                "192.0.2.1:5060",
            ),
        ] {
            let mut bye = request("BYE");
            bye.headers.set("Via", via);
            bye.stamp_source(source());
            let to = response_target(&bye, source(), Reliability::Unreliable);
            assert_eq!(to, target.parse().unwrap(), "{via}");
        }
    }

    #[test]
    fn the_table_is_bounded_and_keeps_places_for_what_ends_a_call() {
        let now = crate::sip::epoch();
        let mut transactions = table();
        for n in 0..200 {
            let (method, places) = if n < 100 { ("INFO", 28) } else { ("BYE", 104) };
            let text = String::from_utf8(request(method).to_bytes()).unwrap();
            let text = text.replace("z9hG4bK77", &format!("z9hG4bK{n}"));
            let Ok(Message::Request(request)) = Message::parse(text.as_bytes()) else {
                unreachable!()
            };
            let accepted = transactions.accept(now, &request, source()).is_some();
            assert_eq!(accepted, n < places, "{n}");
        }
    }
}
