//! A caller played by hand, in virtual time.
use super::*;
use crate::model::Codec;
use crate::sip::message::Method;
use crate::sip::transaction::timer::{TimerConfig, Transport};

const CALLER: &str = "192.0.2.1:5060";
const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
                   m=audio 30000 RTP/AVP 8 0\r\n";

struct Rig {
    now: Instant,
    call: Announcement,
    sent: Vec<Message>,
    commands: Vec<MediaCommand>,
    ends: Vec<AnnouncementEnd>,
}

fn caller() -> SocketAddr {
    CALLER.parse().unwrap()
}

fn request(method: &str, seq: u32, to_tag: &str, sdp: &str) -> Message {
    let content = if sdp.is_empty() {
        ""
    } else {
        "Content-Type: application/sdp\r\n"
    };
    let text = format!(
        "{method} sip:18005550199@192.0.2.10 SIP/2.0\r\n\
         Via: SIP/2.0/UDP {CALLER};branch=z9hG4bK{method}{seq};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:14155550123@carrier.example>;tag=caller\r\nTo: <sip:18005550199@192.0.2.10>{to_tag}\r\n\
         Call-ID: back\r\nCSeq: {seq} {method}\r\nContact: <sip:c@{CALLER}>\r\n{content}Content-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    );
    Message::parse(text.as_bytes()).unwrap()
}

impl Rig {
    #[expect(clippy::disallowed_methods, reason = "virtual time has to begin somewhere")]
    fn called(sdp: &str) -> Self {
        let spec = AnnouncementSpec {
            sip: UasConfig {
                local: "192.0.2.10:5060".parse().unwrap(),
                public: None,
                transport: Transport::Udp,
                contact_user: "18005550199".to_owned(),
                user_agent: String::new(),
                peers: Vec::new(),
                timers: TimerConfig::default(),
            },
            local_media: LocalMedia {
                address: "192.0.2.10".parse().unwrap(),
                port: 20_000,
                codecs: vec![Codec::Pcmu, Codec::Pcma],
                telephone_event: true,
                ptime_ms: 20,
                session_id: 5,
                version: 1,
                rtcp_mux: false,
                srtp: None,
            },
            clips: vec![Arc::new(Clip::silence(2000))],
        };
        let Message::Request(invite) = request("INVITE", 1, "", sdp) else {
            unreachable!()
        };
        let (now, mut out) = (Instant::now(), Vec::new());
        let call =
            Announcement::start(now, spec, invite, caller(), Entropy::from_number(7), &mut out).unwrap();
        let mut rig = Self {
            now,
            call,
            sent: Vec::new(),
            commands: Vec::new(),
            ends: Vec::new(),
        };
        rig.take(out);
        rig
    }

    fn take(&mut self, out: Vec<AnnouncementOutput>) {
        for output in out {
            match output {
                AnnouncementOutput::SendSip { bytes, .. } => {
                    self.sent.push(Message::parse(&bytes).unwrap());
                }
                AnnouncementOutput::Media(command) => self.commands.push(command),
                AnnouncementOutput::Over(end) => self.ends.push(end),
            }
        }
    }

    fn gives(&mut self, input: AnnouncementInput) {
        let mut out = Vec::new();
        self.call.handle(self.now, input, &mut out);
        self.take(out);
    }

    fn says(&mut self, method: &str, seq: u32, sdp: &str) {
        let tag = match self.answer() {
            Message::Response(response) => response.headers.to().unwrap().tag().unwrap().to_owned(),
            Message::Request(_) => unreachable!(),
        };
        let message = request(method, seq, &format!(";tag={tag}"), sdp);
        self.gives(AnnouncementInput::Sip {
            message,
            source: caller(),
        });
    }

    fn answer(&self) -> &Message {
        self.sent
            .iter()
            .find(|m| matches!(m, Message::Response(_)))
            .unwrap()
    }

    fn status(&self) -> u16 {
        match self.answer() {
            Message::Response(response) => response.status,
            Message::Request(_) => unreachable!(),
        }
    }

    /// Lets every deadline pass that comes within `limit`.
    fn runs(&mut self, limit: Duration) {
        let end = self.now + limit;
        while let Some((at, _)) = self.call.poll_timeout().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.gives(AnnouncementInput::Timeout);
        }
        self.now = end;
    }

    fn sent_byes(&self) -> usize {
        let is_bye = |m: &&Message| matches!(m, Message::Request(r) if r.method == Method::Bye);
        self.sent.iter().filter(is_bye).count()
    }

    fn names(&self) -> Vec<&'static str> {
        self.commands
            .iter()
            .map(|command| match command {
                MediaCommand::Start(_) => "start",
                MediaCommand::Update(_) => "update",
                MediaCommand::Play { .. } => "play",
                MediaCommand::Close => "close",
                _ => "other",
            })
            .collect()
    }

    fn answers_bye(&mut self) {
        let bye = self.sent.iter().find_map(|m| match m {
            Message::Request(r) if r.method == Method::Bye => Some(r.clone()),
            _ => None,
        });
        let ok = crate::sip::message::Response::reply_to(&bye.unwrap(), 200, None);
        let message = Message::parse(&ok.to_bytes()).unwrap();
        self.gives(AnnouncementInput::Sip {
            message,
            source: caller(),
        });
    }
}

#[test]
fn who_calls_back_hears_the_sentence_and_then_a_bye() {
    let mut rig = Rig::called(SDP);
    assert_eq!(rig.status(), 200);
    assert!(String::from_utf8_lossy(rig.answer().sdp().unwrap()).contains("m=audio 20000 RTP/AVP 8"));
    assert_eq!(rig.names(), [""; 0], "no media before the ACK");
    rig.says("ACK", 1, "");
    assert_eq!(rig.names(), ["start"]);
    rig.runs(FIRST_WORD - Duration::from_millis(1));
    assert_eq!(rig.names(), ["start"]);
    rig.runs(Duration::from_millis(1));
    assert_eq!(rig.names(), ["start", "play"]);
    rig.gives(AnnouncementInput::Media(MediaEvent::PlayDone { id: 1 }));
    assert_eq!(rig.names(), ["start", "play", "close"]);
    assert_eq!(
        (rig.sent_byes(), rig.ends.as_slice()),
        (1, [AnnouncementEnd::Announced].as_slice())
    );
    assert!(!rig.call.is_over());
    rig.answers_bye();
    rig.runs(Duration::from_secs(40));
    assert!(rig.call.is_over() && rig.ends.len() == 1);
}

#[test]
fn an_invite_without_an_offer_gets_ours_and_the_ack_answers_it() {
    let mut rig = Rig::called("");
    assert_eq!(rig.status(), 200);
    assert!(rig.answer().sdp().is_some());
    rig.says("ACK", 1, SDP);
    rig.runs(FIRST_WORD);
    assert_eq!(rig.names(), ["start", "play"]);
    // An ACK without the answer leaves nothing to speak over.
    let mut rig = Rig::called("");
    rig.says("ACK", 1, "");
    assert_eq!((rig.names(), rig.sent_byes()), (vec!["close"], 1));
    assert_eq!(rig.ends, [AnnouncementEnd::Refused]);
}

#[test]
fn without_a_codec_in_common_it_is_refused() {
    let mut rig = Rig::called(&SDP.replace("RTP/AVP 8 0", "RTP/AVP 18"));
    assert_eq!(rig.status(), 488);
    assert_eq!(
        (rig.names(), rig.ends.as_slice()),
        (vec!["close"], [AnnouncementEnd::Refused].as_slice())
    );
    rig.runs(Duration::from_secs(40));
    assert!(rig.call.is_over());
}

#[test]
fn a_caller_who_hangs_up_first_ends_it() {
    let mut rig = Rig::called(SDP);
    rig.says("ACK", 1, "");
    rig.runs(Duration::from_secs(2));
    rig.says("BYE", 2, "");
    assert_eq!(
        (rig.sent_byes(), rig.ends.as_slice()),
        (0, [AnnouncementEnd::HungUp].as_slice())
    );
    assert_eq!(rig.names().last(), Some(&"close"));
    // What the media had left to say changes nothing.
    rig.gives(AnnouncementInput::Media(MediaEvent::PlayDone { id: 1 }));
    rig.gives(AnnouncementInput::Leave);
    assert_eq!((rig.sent_byes(), rig.ends.len()), (0, 1));
}

#[test]
fn a_caller_on_hold_is_left_after_the_longest_time() {
    let mut rig = Rig::called(SDP);
    rig.says("ACK", 1, "");
    rig.runs(Duration::from_secs(1));
    rig.says("INVITE", 2, &format!("{SDP}a=sendonly\r\n"));
    rig.says("ACK", 2, "");
    let held = rig
        .commands
        .iter()
        .any(|c| matches!(c, MediaCommand::Update(stream) if !stream.send));
    assert!(held, "{:?}", rig.names());
    rig.runs(LEAVE_AFTER);
    assert_eq!(rig.ends, [AnnouncementEnd::Cut]);
    assert!(rig.sent_byes() >= 1);
}

#[test]
fn without_an_ack_no_media_ever_leaves() {
    let mut rig = Rig::called(SDP);
    rig.runs(Duration::from_secs(100));
    assert_eq!(rig.names(), ["close"]);
    assert_eq!(rig.ends.len(), 1);
    assert!(rig.call.is_over());
}

#[test]
fn at_the_stop_of_the_server_the_call_gets_its_bye() {
    let mut rig = Rig::called(SDP);
    rig.says("ACK", 1, "");
    rig.gives(AnnouncementInput::Leave);
    assert_eq!(
        (rig.sent_byes(), rig.ends.as_slice()),
        (1, [AnnouncementEnd::Cut].as_slice())
    );
}
