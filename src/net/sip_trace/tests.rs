use std::io;
use std::sync::{Mutex, PoisonError};

use super::*;

const LIMIT: Duration = Duration::from_secs(10);

/// What was written, for a test to read.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    fn text(&self) -> String {
        let octets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8(octets.clone()).unwrap()
    }
}

impl Write for Page {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn local() -> SocketAddr {
    "192.0.2.1:5060".parse().unwrap()
}

fn carrier() -> SocketAddr {
    "198.51.100.9:5060".parse().unwrap()
}

const SDP: &str = "v=0\r\no=- 4711 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
                   m=audio 20000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n";

fn message(start: &str, cseq: &str, more: &str, body: &str) -> String {
    let content = if body.is_empty() {
        ""
    } else {
        "Content-Type: application/sdp\r\n"
    };
    format!(
        "{start}\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKtrace\r\nMax-Forwards: 70\r\n\
         From: \"Contoso\" <sip:+18005550199@carrier.example>;tag=f\r\nTo: <sip:+14155550123@carrier.example>\r\n\
         Call-ID: 7f3a@192.0.2.1\r\nCSeq: {cseq}\r\nContact: <sip:18005550199@192.0.2.1:5060>\r\n\
         P-Asserted-Identity: <tel:+1-800-555-0199>\r\n{more}{content}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

const CREDENTIALS: &str = "Digest username=\"lab\", realm=\"carrier.example\", nonce=\"n0nce\", \
                           uri=\"sip:+14155550123@carrier.example\", response=\"0123456789abcdef0123456789abcdef\"";

#[test]
fn a_challenged_call_is_printed_without_its_numbers_and_credentials() {
    let page = Page::default();
    let trace = SipTrace::to(page.clone()).unwrap();
    let uri = "sip:+14155550123@carrier.example";
    let invite = message(&format!("INVITE {uri} SIP/2.0"), "1 INVITE", "", SDP);
    let challenge = message(
        "SIP/2.0 407 Proxy Authentication Required",
        "1 INVITE",
        "Proxy-Authenticate: Digest realm=\"carrier.example\", nonce=\"n0nce\"\r\n",
        "",
    );
    let ack = message(
        &format!("ACK {uri} SIP/2.0"),
        "1 ACK",
        &format!("Proxy-Authorization: {CREDENTIALS}\r\nAuthorization: {CREDENTIALS}\r\n"),
        "",
    );
    trace.sent(Transport::Udp, local(), carrier(), invite.as_bytes());
    trace.received(
        Transport::Udp,
        carrier(),
        local(),
        challenge.as_bytes(),
        &Message::parse(challenge.as_bytes()),
    );
    trace.sent(Transport::Tls, local(), carrier(), ack.as_bytes());
    trace.flush(LIMIT);
    let text = page.text();

    for hidden in [
        "4155550123",
        "8005550199",
        "800-555-0199",
        "response=",
        "n0nce",
        "username",
    ] {
        assert!(!text.contains(hidden), "{hidden} in\n{text}");
    }
    let entries: Vec<&str> = text.trim_end().split("\n\n20").collect();
    assert_eq!(entries.len(), 3, "{text}");
    let length = invite.len();
    let expected = format!(
        "sent udp 192.0.2.1:5060 -> 198.51.100.9:5060 {length} octets\nINVITE sip:+14•••••••23@carrier.example SIP/2.0\n"
    );
    assert!(entries[0].contains(&expected), "{text}");
    for kept in SDP.lines() {
        assert!(entries[0].contains(kept), "{kept} not in\n{text}");
    }
    assert!(
        entries[1].contains(" received udp 198.51.100.9:5060 -> 192.0.2.1:5060 "),
        "{text}"
    );
    assert!(entries[1].contains("Proxy-Authenticate: ***\n"), "{text}");
    assert!(entries[2].contains(" sent tls "), "{text}");
    assert!(
        entries[2].contains("\nProxy-Authorization: ***\n") && entries[2].contains("\nAuthorization: ***\n")
    );
}

#[test]
fn what_is_no_sip_is_named_and_not_shown() {
    let page = Page::default();
    let trace = SipTrace::to(page.clone()).unwrap();
    let octets = b"GET /4155550123 HTTP/1.1\r\n\r\n";
    trace.received(
        Transport::Tcp,
        carrier(),
        local(),
        octets,
        &Message::parse(octets),
    );
    trace.sent(Transport::Tcp, local(), carrier(), octets);
    trace.flush(LIMIT);
    let text = page.text();
    assert!(
        text.contains("[not SIP: ") && text.contains("[not shown: "),
        "{text}"
    );
    assert!(!text.contains("4155550123"), "{text}");
}

#[test]
fn no_control_character_reaches_the_terminal() {
    let traced = Traced {
        direction: Direction::Received,
        transport: Transport::Udp,
        local: local(),
        peer: carrier(),
        octets: b"123456789",
        parsed: None,
        read: OnceCell::new(),
    };
    let text = entry(&traced, "a\u{1b}[2J\rb\n");
    assert!(text.ends_with(" 9 octets\na\u{fffd}[2J\u{fffd}b\n\n"), "{text:?}");
}

#[test]
fn an_output_that_stands_still_costs_lines_and_says_how_many() {
    /// Writes nothing until it may.
    struct Stuck(Receiver<()>, Page);
    impl Write for Stuck {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            self.1.write(octets)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (go_on, gate) = sync_channel(0);
    let page = Page::default();
    let trace = SipTrace::to(Stuck(gate, page.clone())).unwrap();
    let options = message("OPTIONS sip:ringproof@192.0.2.1 SIP/2.0", "1 OPTIONS", "", "");
    for _ in 0..WAITING_MAX + 10 {
        trace.sent(Transport::Udp, local(), carrier(), options.as_bytes());
    }
    drop(go_on);
    trace.flush(LIMIT);
    // The queue may have been full still, then nothing could ask for the end: ask again until it is taken.
    while page.text().matches("OPTIONS sip:").count() < WAITING_MAX {
        trace.flush(LIMIT);
        std::thread::yield_now();
    }
    trace.sent(Transport::Udp, local(), carrier(), options.as_bytes());
    trace.flush(LIMIT);
    assert!(
        page.text()
            .contains("messages not shown: the output was too slow]")
    );
}

#[test]
fn switched_off_it_does_nothing() {
    let trace = SipTrace::off();
    trace.sent(Transport::Udp, local(), carrier(), b"");
    trace.flush(LIMIT);
    assert_eq!(format!("{trace:?}"), "SipTrace(off)");
}

#[test]
fn every_sink_is_told_of_every_message() {
    struct Seen(Mutex<Vec<(Direction, SocketAddr, bool)>>);
    impl TraceSink for Seen {
        fn take(&self, traced: &Traced<'_>) {
            let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            seen.push((traced.direction, traced.peer, traced.message().is_ok()));
        }

        fn flush(&self, _: Duration) {}
    }
    let (page, seen) = (Page::default(), Arc::new(Seen(Mutex::default())));
    let trace = SipTrace::to(page.clone()).unwrap().with(seen.clone());
    let options = message("OPTIONS sip:ringproof@192.0.2.1 SIP/2.0", "1 OPTIONS", "", "");
    let parsed = Message::parse(options.as_bytes());
    trace.received(Transport::Udp, carrier(), local(), options.as_bytes(), &parsed);
    trace.clone().sent(Transport::Udp, local(), carrier(), b"no SIP");
    trace.flush(LIMIT);
    let told = std::mem::take(&mut *seen.0.lock().unwrap());
    assert_eq!(
        told,
        [
            (Direction::Received, carrier(), true),
            (Direction::Sent, carrier(), false)
        ]
    );
    assert_eq!(page.text().matches(" octets\n").count(), 2);
}
