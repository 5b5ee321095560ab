//! What each fuzz target does with its octets. `tests/torture` replays the committed corpora through the same functions.
//!
//! Every target holds two things: nothing panics (integers are checked for overflow), and what was read and written again
//! reads the same.
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringproof::call::{Call, CallSpec, CallTimings, Input, Output};
use ringproof::ivr::{Script, phrase};
use ringproof::media::command::{MediaCommand, MediaEvent, StreamConfig};
use ringproof::media::frame::Clip;
use ringproof::media::press::{DtmfMode, Press};
use ringproof::media::stream::Stream;
use ringproof::media::telephone_event::{EventPacket, EventReceiver};
use ringproof::media::voice::Voice;
use ringproof::model::{
    Codec, Digit, Digits, Entropy, KeyTransport, Masked, Method, Reason, SrtpPolicy, SrtpProfile,
};
use ringproof::sdp::{self, LocalMedia, Sdes};
use ringproof::sip::digest::{Challenge, Credentials, DigestClient, RequestChallenges};
use ringproof::sip::invite::{Failover, InviteConfig, TimerConfig, Transport};
use ringproof::sip::message::{Headers, Message, NameAddr, Request, Response};
use ringproof::sip::uri::Uri;
use ringproof::sip::wire::StreamFramer;

/// Name → target.
pub(crate) const ALL: [(&str, fn(&[u8])); 7] = [
    ("wire", wire),
    ("uri", uri),
    ("sdp_negotiation", sdp_negotiation),
    ("digest_challenge", digest_challenge),
    ("rtp", rtp),
    ("telephone_event", telephone_event),
    ("call", call),
];

/// A datagram, and the same octets as a stream that comes in pieces.
pub(crate) fn wire(data: &[u8]) {
    if let Ok(message) = Message::parse(data) {
        look_at(message.headers());
        let _ = message.masked();
        let written = message.to_bytes();
        let again = Message::parse(&written);
        assert_eq!(again.as_ref(), Ok(&message), "written and read again it differs");
    }
    let mut framer = StreamFramer::new();
    let piece = usize::from(data.first().copied().unwrap_or(1)).max(1);
    for chunk in data.chunks(piece) {
        let mut rest = chunk;
        while !rest.is_empty() {
            let taken = framer.push(rest);
            rest = &rest[taken..];
            loop {
                match framer.next_frame() {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(error) => {
                        let _ = Message::unframed(framer.head(), error);
                        return;
                    }
                }
            }
            assert!(
                taken > 0 || framer.room() > 0,
                "a framer that takes nothing and says nothing"
            );
        }
    }
}

fn look_at(headers: &Headers) {
    let _ = (
        headers.vias(),
        headers.from(),
        headers.to(),
        headers.cseq(),
        headers.contacts(),
    );
    let _ = (
        headers.record_routes(),
        headers.routes(),
        headers.rack(),
        headers.rseq(),
        headers.reasons(),
    );
    let _ = (
        headers.session_expires(),
        headers.min_se(),
        headers.retry_after(),
        headers.max_forwards(),
    );
    let _ = (
        headers.require().count(),
        headers.supported().count(),
        headers.allow().count(),
    );
    for name in ["P-Asserted-Identity", "Diversion", "History-Info"] {
        let _ = headers.addresses(name);
    }
}

pub(crate) fn uri(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(uri) = text.parse::<Uri>() else { return };
    let _ = (
        uri.user(),
        uri.user_decoded(),
        uri.is_loose_router(),
        uri.param("transport"),
    );
    let again: Uri = uri
        .to_string()
        .parse()
        .expect("a URI that was written can be read");
    assert_eq!(again, uri);
    assert!(uri.equivalent(&again));
    let _ = uri.into_request_uri();
}

/// As the peer's offer, as its answer, and as an offer after an answer.
pub(crate) fn sdp_negotiation(data: &[u8]) {
    for policy in [SrtpPolicy::Off, SrtpPolicy::Prefer] {
        let srtp = Sdes::new(policy, SrtpProfile::Avp, &mut Entropy::from_number(7));
        negotiate(data, srtp);
    }
}

fn negotiate(data: &[u8], srtp: Option<Sdes>) {
    let local = LocalMedia {
        address: "192.0.2.1".parse().expect("an address"),
        port: 20_000,
        codecs: vec![Codec::Pcmu, Codec::Pcma],
        telephone_event: true,
        ptime_ms: 20,
        session_id: 7,
        version: 1,
        rtcp_mux: true,
        srtp,
    };
    if let Ok(agreed) = sdp::accept_answer(&local, data) {
        assert!(sdp::accept_answer(&local, &sdp::reoffer(&local, &agreed)).is_ok());
    }
    if let Ok((body, agreed)) = sdp::answer(&local, data) {
        assert!(agreed.ptime_ms >= 10 && agreed.ptime_ms <= 60);
        assert!(!body.is_empty());
    }
}

/// A 401 or 407 whose challenges are the lines of the octets.
pub(crate) fn digest_challenge(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for status in [401, 407] {
        let mut response = Response::new(status, None);
        let name = if status == 401 {
            "WWW-Authenticate"
        } else {
            "Proxy-Authenticate"
        };
        for line in text.lines().take(8) {
            response.headers.push(name, line);
        }
        let challenges = Challenge::parse_all(&response.headers, status);
        let mut client = DigestClient::new(Credentials {
            username: "u".to_owned(),
            password: Masked::new("secret".to_owned()),
            realm: None,
        });
        let uri: Uri = "sip:carrier.example".parse().expect("a URI");
        let method = ringproof::sip::message::Method::Invite;
        let mut asked = RequestChallenges::default();
        let mut entropy = Entropy::from_number(1);
        for _ in 0..3 {
            let answer = client.authorize(&mut asked, &challenges, &method, &uri, b"v=0", &mut entropy);
            if let Ok((_, value)) = answer {
                assert!(!value.contains("secret") || text.contains("secret"));
                assert!(!value.contains(['\r', '\n']), "a challenge wrote a line end");
            }
        }
        let _ = client.headers_for(&method, &uri, b"");
    }
}

fn stream_config() -> StreamConfig {
    StreamConfig {
        remote: address("192.0.2.20:30000"),
        learn: false,
        remote_rtcp: Some(address("192.0.2.20:30001")),
        codec: Codec::Pcmu,
        payload_type: 0,
        telephone_event: Some(101),
        ptime_ms: 20,
        send: true,
        receive: true,
        dtmf: DtmfMode::Auto,
        collect_audio: false,
        srtp: None,
        tape: None,
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// Datagrams, each behind its length and the milliseconds since the one before.
pub(crate) fn rtp(data: &[u8]) {
    let mut now = Instant::now();
    let mut stream = Stream::new(now, stream_config(), Entropy::from_number(1));
    let mut events = Vec::new();
    let mut buffer = [0; 2048];
    let mut rest = data;
    while let [wait, kind, len, tail @ ..] = rest {
        now += Duration::from_millis(u64::from(*wait));
        let (datagram, after) = tail.split_at(usize::from(*len).min(tail.len()));
        if kind % 4 == 0 {
            stream.handle_rtcp(now, datagram);
        } else {
            stream.handle_rtp(now, datagram, &mut events);
        }
        stream.poll(now, &mut events);
        for _ in 0..4 {
            if stream.next_packet(now, &mut buffer, &mut events).is_none() {
                break;
            }
        }
        let _ = stream.next_rtcp(now, &mut buffer);
        assert!(events.len() <= 64, "{} events of one datagram", events.len());
        events.clear();
        rest = after;
    }
    stream.command(now, MediaCommand::Close, &mut events);
}

pub(crate) fn telephone_event(data: &[u8]) {
    let mut now = Instant::now();
    let mut receiver = EventReceiver::new(20);
    let mut out = Vec::new();
    for step in data.chunks(12) {
        let [wait, sequence, high, low, payload @ ..] = step else {
            return;
        };
        now += Duration::from_millis(u64::from(*wait));
        let packet = EventPacket {
            ssrc: 7,
            sequence: u16::from(*sequence),
            timestamp: u32::from(u16::from_be_bytes([*high, *low])) << 8,
            payload,
        };
        let _ = receiver.on_packet(now, packet, &mut out);
        receiver.poll(now, &mut out);
    }
    now += Duration::from_secs(3600);
    receiver.poll(now, &mut out);
    assert!(receiver.poll_timeout().is_none(), "a press that never ends");
}

fn voice() -> Arc<Voice> {
    let clip = |ms| Arc::new(Clip::silence(ms));
    let mut clips: BTreeMap<String, Arc<Clip>> = (0..10).map(|d| (format!("digit-{d}"), clip(200))).collect();
    clips.insert("brand-default".to_owned(), clip(400));
    clips.insert("words".to_owned(), clip(800));
    let items = |name: &str| match name {
        phrase::CODE | phrase::CODE_AGAIN => vec!["digits:{code}".to_owned()],
        phrase::RANDOM => vec!["words".to_owned(), "digit:{key}".to_owned()],
        _ => vec!["words".to_owned()],
    };
    let phrases = phrase::ALL
        .iter()
        .map(|name| ((*name).to_owned(), items(name)))
        .collect();
    Arc::new(Voice::new("en-US", clips, phrases))
}

fn spec(method: Method) -> CallSpec {
    let code = matches!(method, Method::MatchCode | Method::SpeakCode);
    let uri = |text: &str| text.parse::<Uri>().expect("a URI");
    CallSpec {
        invite: InviteConfig {
            target: address("192.0.2.10:5060"),
            local: address("192.0.2.1:5060"),
            public: None,
            transport: Transport::Udp,
            request_uri: uri("sip:+15005550001@192.0.2.10"),
            from: NameAddr::new(uri("sip:+18005550199@192.0.2.1")),
            to: NameAddr::new(uri("sip:+15005550001@192.0.2.10")),
            contact_user: "ringproof".to_owned(),
            route: Vec::new(),
            extra_headers: Vec::new(),
            user_agent: "Ringproof".to_owned(),
            call_id: "call-1@192.0.2.1".to_owned(),
            credentials: Some(Credentials {
                username: "u".to_owned(),
                password: Masked::new("p".to_owned()),
                realm: None,
            }),
            peers: Vec::new(),
            rel100: true,
            timers: TimerConfig::default(),
            failover: Failover::default(),
        },
        local_media: address("192.0.2.1:20000"),
        codecs: vec![Codec::Pcmu, Codec::Pcma],
        rtcp_mux: false,
        srtp: SrtpPolicy::Prefer,
        srtp_profile: SrtpProfile::Avp,
        dtmf: DtmfMode::Auto,
        learn: false,
        tape: None,
        method,
        code: code.then(|| Masked::new(Digits::parse("481920").expect("digits"))),
        extension: None,
        script: Script::default(),
        voice: voice(),
        brand: None,
        message: BTreeMap::new(),
        timings: CallTimings::default(),
    }
}

const STATUSES: [u16; 24] = [
    100, 180, 181, 183, 200, 202, 302, 400, 401, 403, 404, 407, 408, 420, 422, 480, 486, 487, 488, 491, 500,
    503, 600, 603,
];
const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\n\
    m=audio 30000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n";

/// One call and a world that does what the octets say, two at a time: what, and which. Whatever happens, the call decides
/// once, ends, and every octet that it sends is a message.
pub(crate) fn call(data: &[u8]) {
    let [first, steps @ ..] = data else { return };
    let methods = [
        Method::PressKey,
        Method::RandomKey,
        Method::MatchCode,
        Method::SpeakCode,
    ];
    let now = Instant::now();
    let mut world = World {
        call: Call::new(
            now,
            spec(methods[usize::from(first % 4)]),
            Entropy::from_number(7),
        ),
        now,
        requests: Vec::new(),
        play: 0,
        decided: 0,
        commits: 0,
    };
    world.obey();
    for step in steps.chunks_exact(2).take(400) {
        world.step(step[0], step[1]);
    }
    // Left alone it ends by itself.
    for _ in 0..2000 {
        if world.call.is_over() {
            break;
        }
        while world.commits > 0 {
            world.commits -= 1;
            world.give(Input::Committed);
        }
        world.pass(None);
    }
    assert!(world.call.is_over(), "a call that never ends");
    assert_eq!(world.decided, 1, "outcomes of one call");
}

struct World {
    call: Call,
    now: Instant,
    /// What the call sent, responses left out.
    requests: Vec<Request>,
    play: u32,
    decided: u32,
    commits: u32,
}

impl World {
    fn step(&mut self, what: u8, which: u8) {
        match what % 12 {
            0 => self.pass(None),
            1 => self.pass(Some(Duration::from_millis(u64::from(which) * 40))),
            2 | 3 => self.respond(which),
            4 => self.give(Input::Media(MediaEvent::FirstPacket)),
            5 => {
                let id = self.play;
                let index = usize::from(which % 4);
                self.give(Input::Media(MediaEvent::ClipDone { id, index }));
                self.give(Input::Media(MediaEvent::PlayDone { id }));
            }
            6 => self.press(which),
            7 => self.request("BYE", which, None),
            8 if self.commits > 0 => {
                self.commits -= 1;
                self.give(Input::Committed);
            }
            8 => {}
            9 => {
                let reasons = [
                    Reason::ByClient,
                    Reason::Superseded,
                    Reason::Shutdown,
                    Reason::Ttl,
                ];
                self.give(Input::Cancel(reasons[usize::from(which % 4)]));
            }
            10 => {
                let (method, body) = [
                    ("INFO", None),
                    ("INVITE", Some(SDP)),
                    ("UPDATE", Some(SDP)),
                    ("INVITE", None),
                ][usize::from(which % 4)];
                self.request(method, which, body);
            }
            _ => self.give(Input::TransportError),
        }
    }

    fn press(&mut self, which: u8) {
        let symbols = ['#', '0', '*', '1', '4', '8', '9', '2'];
        let Some(digit) = Digit::from_char(symbols[usize::from(which % 8)]) else {
            return;
        };
        let press = Press {
            digit,
            transport: [KeyTransport::Rfc4733, KeyTransport::Inband][usize::from(which >> 7)],
            at: self.now,
            started_at: self.now,
            duration_ms: None,
            mismatch: false,
        };
        self.give(Input::Media(MediaEvent::Press(press)));
    }

    /// To one of the last requests.
    fn respond(&mut self, which: u8) {
        let back = usize::from(which / 24) % 3;
        let Some(request) = self.requests.iter().rev().nth(back) else {
            return;
        };
        let status = STATUSES[usize::from(which % 24)];
        let mut response = Response::reply_to(request, status, None).with_to_tag("peer");
        if status == 401 || status == 407 {
            let name = if status == 401 {
                "WWW-Authenticate"
            } else {
                "Proxy-Authenticate"
            };
            response.headers.push(
                name,
                "Digest realm=\"r\", nonce=\"n\", qop=\"auth\", algorithm=MD5",
            );
        }
        if (183..300).contains(&status) {
            response.headers.push("Contact", "<sip:peer@192.0.2.10>");
            response = response.with_body("application/sdp", SDP.as_bytes().to_vec());
        }
        let octets = response.to_bytes();
        self.hear(&octets);
    }

    /// Within the dialog, as the peer would write it.
    fn request(&mut self, method: &str, seq: u8, body: Option<&str>) {
        let Some(invite) = self.requests.first() else {
            return;
        };
        let (Some(from), Some(to)) = (invite.headers.get("From"), invite.headers.get("To")) else {
            return;
        };
        let body = body.unwrap_or_default();
        let kind = if body.is_empty() {
            "application/dtmf-relay"
        } else {
            "application/sdp"
        };
        let text = format!(
            "{method} sip:ringproof@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKpeer{method}{seq}\r\n\
             Max-Forwards: 70\r\nFrom: {to};tag=peer\r\nTo: {from}\r\nCall-ID: call-1@192.0.2.1\r\n\
             CSeq: {} {method}\r\nContact: <sip:peer@192.0.2.10>\r\nContent-Type: {kind}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            u32::from(seq) + 1,
            body.len()
        );
        self.hear(text.as_bytes());
    }

    fn hear(&mut self, octets: &[u8]) {
        let message = Message::parse(octets).expect("the world writes messages that can be read");
        let source = address("192.0.2.10:5060");
        self.give(Input::Sip { message, source });
    }

    /// Time goes on, by so much or to the next deadline.
    fn pass(&mut self, by: Option<Duration>) {
        let until = by.map(|by| self.now + by);
        for _ in 0..64 {
            let Some((at, _)) = self.call.poll_timeout() else {
                break;
            };
            if until.is_some_and(|until| at > until) {
                break;
            }
            self.now = self.now.max(at);
            self.give(Input::Timeout);
            if until.is_none() {
                return;
            }
        }
        self.now = until.map_or(self.now, |until| self.now.max(until));
    }

    fn give(&mut self, input: Input) {
        self.call.handle_input(self.now, input);
        self.obey();
    }

    fn obey(&mut self) {
        for _ in 0..200 {
            let Some(output) = self.call.poll_output() else {
                return;
            };
            match output {
                Output::SendSip { bytes, .. } => {
                    let sent = Message::parse(&bytes).expect("what a call sends can be read");
                    if let Message::Request(request) = sent {
                        self.requests.push(request);
                    }
                }
                Output::Media(MediaCommand::Play { id, .. }) => self.play = id,
                Output::Decided(..) => {
                    self.decided += 1;
                    self.commits += 1;
                }
                _ => {}
            }
        }
        panic!("more than 200 outputs of one input");
    }
}
