//! The answering side against a caller that the test plays by hand, in virtual time.
use std::time::Duration;

use super::*;
use crate::sip::message::{CSeq, RAck, Response};

const CALLER: &str = "192.0.2.1:5060";

struct Rig {
    now: Instant,
    session: Option<UasSession>,
    invite: Request,
    sent: Vec<Message>,
    events: Vec<Event>,
}

fn caller() -> SocketAddr {
    CALLER.parse().unwrap()
}

fn invite(more: &str, sdp: &str) -> Request {
    let text = format!(
        "INVITE sip:callee@192.0.2.10 SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER};branch=z9hG4bKinvite;rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:caller@example.com>;tag=caller\r\nTo: <sip:callee@192.0.2.10>\r\n\
         Call-ID: call\r\nCSeq: 3 INVITE\r\nContact: <sip:caller@{CALLER}>\r\nSupported: 100rel\r\n{more}\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    );
    match Message::parse(text.as_bytes()).unwrap() {
        Message::Request(request) => request,
        Message::Response(_) => unreachable!(),
    }
}

impl Rig {
    fn new() -> Self {
        Self::with(invite("", "offer"))
    }

    fn with(invite: Request) -> Self {
        let config = UasConfig {
            local: "192.0.2.10:5060".parse().unwrap(),
            public: None,
            transport: Transport::Udp,
            contact_user: "callee".to_owned(),
            user_agent: String::new(),
            peers: Vec::new(),
            timers: TimerConfig::default(),
        };
        let (now, mut out) = (crate::sip::epoch(), Vec::new());
        let entropy = Entropy::from_number(3);
        let session = UasSession::start(now, config, invite.clone(), caller(), entropy, &mut out).unwrap();
        let mut rig = Self {
            now,
            session: Some(session),
            invite,
            sent: vec![],
            events: vec![],
        };
        rig.take(out);
        rig
    }

    fn take(&mut self, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Send { to, bytes } => {
                    assert_eq!(to, caller());
                    self.sent.push(Message::parse(&bytes).unwrap());
                }
                Output::Event(event) => self.events.push(event),
            }
        }
    }

    fn input(&mut self, input: Input) {
        let mut out = Vec::new();
        let session = self.session.take().unwrap();
        self.session = Some(session.handle(self.now, input, &mut out));
        self.take(out);
    }

    fn receive(&mut self, request: Request) {
        self.input(Input::Message {
            message: Message::Request(request),
            source: caller(),
        });
    }

    fn advance(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while let Some((at, _)) = self
            .session
            .as_ref()
            .unwrap()
            .poll_timeout()
            .filter(|(at, _)| *at <= end)
        {
            self.now = self.now.max(at);
            self.input(Input::Timeout);
        }
        self.now = end;
    }

    fn ring(&mut self, reliable: bool, sdp: Option<&str>) {
        let sdp = sdp.map(|sdp| sdp.as_bytes().to_vec());
        self.input(Input::Provisional {
            status: 180,
            reason: None,
            sdp,
            reliable,
            headers: vec![],
        });
    }

    fn answer(&mut self) {
        self.input(Input::Answer {
            sdp: Some(b"answer".to_vec()),
            headers: vec![],
        });
    }

    fn statuses(&self) -> Vec<u16> {
        let responses = self.sent.iter().filter_map(|message| match message {
            Message::Response(response) => Some(response.status),
            Message::Request(_) => None,
        });
        responses.collect()
    }

    fn response(&self, status: u16) -> Response {
        let responses = self.sent.iter().filter_map(|message| match message {
            Message::Response(response) if response.status == status => Some(response.clone()),
            Message::Request(_) | Message::Response(_) => None,
        });
        responses
            .collect::<Vec<_>>()
            .pop()
            .unwrap_or_else(|| panic!("no {status} was sent"))
    }

    fn sent_requests(&self, method: &Method) -> Vec<Request> {
        let requests = self.sent.iter().filter_map(|message| match message {
            Message::Request(request) if request.method == *method => Some(request.clone()),
            Message::Request(_) | Message::Response(_) => None,
        });
        requests.collect()
    }

    /// A request of the caller in the dialog.
    fn request(&self, method: Method, seq: u32) -> Request {
        let mut request = Request::new(method.clone(), "sip:callee@192.0.2.10".parse().unwrap());
        let tag = self.session.as_ref().unwrap().local_tag();
        request.headers.push(
            "Via",
            format!("SIP/2.0/UDP {CALLER};rport;branch=z9hG4bK{method}{seq}"),
        );
        request
            .headers
            .push("From", "<sip:caller@example.com>;tag=caller");
        request
            .headers
            .push("To", format!("<sip:callee@192.0.2.10>;tag={tag}"));
        request.headers.push("Call-ID", "call");
        request.headers.push("CSeq", CSeq::new(seq, method).to_string());
        request
    }

    fn ack(&mut self) {
        let ack = self.request(Method::Ack, 3);
        self.receive(ack);
    }
}

#[test]
fn silence_gets_a_100_and_a_repeated_invite_the_latest_1xx() {
    let mut rig = Rig::new();
    rig.advance(199);
    assert!(rig.sent.is_empty());
    rig.advance(1);
    assert_eq!(rig.statuses(), [100]);
    rig.ring(false, None);
    let invite = rig.invite.clone();
    rig.receive(invite);
    assert_eq!(rig.statuses(), [100, 180, 180]);
    let ringing = rig.response(180);
    assert!(
        ringing
            .headers
            .to()
            .unwrap()
            .tag()
            .is_some_and(|tag| tag.len() == 32)
    );
    assert!(ringing.headers.contains("Contact"));
}

#[test]
fn a_2xx_is_repeated_until_its_ack() {
    let mut rig = Rig::new();
    rig.answer();
    rig.advance(3_500);
    assert_eq!(rig.statuses(), [200; 4]);
    rig.ack();
    assert_eq!(rig.events, [Event::Acked { sdp: None }]);
    rig.advance(100_000);
    assert_eq!(rig.statuses(), [200; 4]);
}

#[test]
fn without_ack_the_2xx_goes_out_eleven_times_and_then_a_bye() {
    let mut rig = Rig::new();
    rig.answer();
    rig.advance(31_999);
    assert_eq!(
        (rig.statuses().len(), rig.sent_requests(&Method::Bye).len()),
        (11, 0)
    );
    rig.advance(1);
    assert_eq!(rig.sent_requests(&Method::Bye).len(), 1);
    assert!(matches!(rig.events[0], Event::Lost { .. }));
}

#[test]
fn a_bye_wished_before_the_ack_waits_for_it() {
    let mut rig = Rig::new();
    rig.answer();
    rig.input(Input::Bye {
        reason: Some("Q.850;cause=16".to_owned()),
    });
    assert!(rig.sent_requests(&Method::Bye).is_empty());
    rig.ack();
    let bye = &rig.sent_requests(&Method::Bye)[0];
    assert_eq!(
        (bye.headers.get("CSeq"), bye.headers.get("Reason")),
        (Some("1 BYE"), Some("Q.850;cause=16"))
    );
    assert_eq!(bye.uri.to_string(), format!("sip:caller@{CALLER}"));
    // Or for its deadline.
    let mut rig = Rig::new();
    rig.answer();
    rig.input(Input::Bye { reason: None });
    rig.advance(32_000);
    assert_eq!(rig.sent_requests(&Method::Bye).len(), 1);
}

#[test]
fn cancel_before_the_answer_gives_487_and_after_it_nothing() {
    let mut rig = Rig::new();
    rig.ring(false, None);
    let mut cancel = crate::sip::transaction::client_invite::cancel_of(&rig.invite);
    cancel.headers.push("Reason", "SIP;cause=200;text=\"elsewhere\"");
    rig.receive(cancel);
    assert_eq!(rig.statuses(), [180, 200, 487]);
    assert!(
        matches!(&rig.events[0], Event::Cancelled { cause } if cause.reason_text.as_deref() == Some("elsewhere"))
    );
    assert_eq!(rig.events[1], Event::Ended);
    let mut rig = Rig::new();
    rig.answer();
    let cancel = crate::sip::transaction::client_invite::cancel_of(&rig.invite);
    rig.receive(cancel);
    assert_eq!(rig.statuses(), [200, 200]);
    assert!(rig.events.is_empty());
}

#[test]
fn a_rejection_carries_phrase_and_headers_and_ends_with_its_ack() {
    let mut rig = Rig::new();
    rig.input(Input::Reject {
        status: 486,
        reason: Some("Engaged".to_owned()),
        headers: vec![("Reason".to_owned(), "Q.850;cause=17".to_owned())],
    });
    let busy = rig.response(486);
    assert_eq!(
        (busy.reason.as_str(), busy.headers.get("Reason")),
        ("Engaged", Some("Q.850;cause=17"))
    );
    let ack = crate::sip::transaction::client_invite::ack_of_rejection(&rig.invite, &busy);
    rig.receive(ack);
    rig.advance(40_000);
    assert_eq!(rig.statuses(), [486]);
    assert!(rig.session.as_ref().unwrap().is_ended());
    rig.answer();
    assert_eq!(rig.statuses(), [486]);
}

#[test]
fn a_bye_in_the_early_dialog_ends_the_invite() {
    let mut rig = Rig::new();
    rig.ring(false, None);
    let bye = rig.request(Method::Bye, 4);
    rig.receive(bye);
    assert_eq!(rig.statuses(), [180, 200, 487]);
    assert!(matches!(rig.events[..], [Event::PeerBye { .. }, Event::Ended]));
}

#[test]
fn a_reliable_1xx_is_repeated_until_its_prack_and_holds_the_answer_back() {
    let mut rig = Rig::new();
    rig.ring(true, Some("early"));
    rig.answer();
    rig.advance(1_500);
    assert_eq!(rig.statuses(), [180, 180, 180]);
    let rseq = rig.response(180).headers.rseq().unwrap();
    let mut wrong = rig.request(Method::Prack, 4);
    wrong.headers.push(
        "RAck",
        RAck {
            rseq: rseq + 1,
            cseq: CSeq::new(3, Method::Invite),
        }
        .to_string(),
    );
    rig.receive(wrong);
    assert_eq!(rig.statuses().last(), Some(&481));
    let mut prack = rig.request(Method::Prack, 5);
    prack.headers.push(
        "RAck",
        RAck {
            rseq,
            cseq: CSeq::new(3, Method::Invite),
        }
        .to_string(),
    );
    rig.receive(prack);
    assert_eq!(rig.statuses()[4..], [200, 200]);
    assert_eq!(rig.response(200).headers.get("CSeq"), Some("3 INVITE"));
}

#[test]
fn without_prack_the_invite_fails() {
    let mut rig = Rig::new();
    rig.ring(true, None);
    rig.advance(32_000);
    assert_eq!(rig.statuses().iter().filter(|status| **status == 180).count(), 7);
    assert!(rig.statuses().contains(&504));
}

#[test]
fn a_caller_without_100rel_gets_an_ordinary_1xx() {
    let mut plain = invite("", "offer");
    plain.headers.remove("Supported");
    let mut rig = Rig::with(plain);
    rig.ring(true, None);
    assert!(!rig.response(180).headers.contains("RSeq"));
}

#[test]
fn our_reinvite_is_acknowledged_and_glare_is_tried_again() {
    let mut rig = Rig::new();
    rig.answer();
    rig.ack();
    rig.input(Input::Offer {
        sdp: b"hold".to_vec(),
    });
    let reinvite = rig.sent_requests(&Method::Invite).pop().unwrap();
    assert_eq!(
        (reinvite.headers.get("CSeq"), reinvite.body.as_slice()),
        (Some("1 INVITE"), &b"hold"[..])
    );
    let glare = Message::Response(Response::reply_to(&reinvite, 491, None));
    rig.input(Input::Message {
        message: glare,
        source: caller(),
    });
    rig.advance(2_000);
    let again = rig.sent_requests(&Method::Invite).pop().unwrap();
    assert_eq!(
        (again.headers.get("CSeq"), again.body.as_slice()),
        (Some("2 INVITE"), &b"hold"[..])
    );
    let ok = Response::reply_to(&again, 200, None).with_body("application/sdp", b"held".to_vec());
    rig.input(Input::Message {
        message: Message::Response(ok),
        source: caller(),
    });
    assert_eq!(rig.sent_requests(&Method::Ack)[1..].len(), 1);
    assert_eq!(
        rig.events.last(),
        Some(&Event::SdpAnswer {
            sdp: b"held".to_vec()
        })
    );
    rig.input(Input::Offer {
        sdp: b"video".to_vec(),
    });
    let third = rig.sent_requests(&Method::Invite).pop().unwrap();
    let refused = Message::Response(Response::reply_to(&third, 488, None));
    rig.input(Input::Message {
        message: refused,
        source: caller(),
    });
    assert_eq!(rig.events.last(), Some(&Event::OfferRejected { status: 488 }));
}

#[test]
fn info_is_sent_in_the_dialog() {
    let mut rig = Rig::new();
    rig.answer();
    rig.ack();
    rig.input(Input::Info {
        content_type: "application/dtmf-relay".to_owned(),
        body: b"Signal=#\r\n".to_vec(),
    });
    let info = rig.sent_requests(&Method::Info).pop().unwrap();
    assert_eq!(info.headers.content_type(), Some("application/dtmf-relay"));
    assert_eq!(info.headers.to().unwrap().tag(), Some("caller"));
}

#[test]
fn a_2xx_that_offers_gets_its_answer_in_the_ack() {
    let mut rig = Rig::with(invite("", ""));
    rig.answer();
    let ack = rig
        .request(Method::Ack, 3)
        .with_body("application/sdp", b"theirs".to_vec());
    rig.receive(ack);
    assert_eq!(
        rig.events,
        [Event::Acked {
            sdp: Some(b"theirs".to_vec())
        }]
    );
}

#[test]
fn an_invite_that_requires_the_unknown_is_refused_at_once() {
    let rig = Rig::with(invite("Require: frob\r\n", "offer"));
    assert_eq!(rig.statuses(), [420]);
    assert_eq!(rig.events, [Event::Ended]);
}

#[test]
fn it_owns_its_dialog_its_retransmissions_and_its_cancel_but_no_new_invite_of_the_call() {
    let mut rig = Rig::new();
    rig.ring(false, None);
    let session = rig.session.as_ref().unwrap();
    assert!(session.owns(&Message::Request(rig.invite.clone())));
    assert!(session.owns(&Message::Request(rig.request(Method::Bye, 4))));
    let cancel = crate::sip::transaction::client_invite::cancel_of(&rig.invite);
    assert!(session.owns(&Message::Request(cancel)));
    let mut second = rig.invite.clone();
    second
        .headers
        .set("Via", format!("SIP/2.0/UDP {CALLER};branch=z9hG4bKsecond;rport"));
    second.headers.set("CSeq", "4 INVITE");
    assert!(!session.owns(&Message::Request(second)));
}

#[test]
fn what_a_stranger_sends_has_no_effect() {
    let mut rig = Rig::new();
    rig.answer();
    rig.ack();
    let bye = Message::Request(rig.request(Method::Bye, 4));
    rig.input(Input::Message {
        message: bye,
        source: "198.51.100.66:5060".parse().unwrap(),
    });
    assert_eq!((rig.statuses().as_slice(), rig.events.len()), (&[200][..], 1));
}

/// From the caller's address, each in a transaction of its own: they take no place that a genuine BYE needs.
#[test]
fn a_spray_of_forged_requests_leaves_room_for_the_callers_bye() {
    let mut rig = Rig::new();
    rig.answer();
    rig.ack();
    for seq in 100..300 {
        let mut forged = rig.request(Method::Bye, seq);
        match seq % 3 {
            0 => forged.headers.set("To", "<sip:callee@192.0.2.10>;tag=guess"),
            1 => forged.headers.set("CSeq", "3 BYE"),
            _ => forged = rig.request(Method::Cancel, seq),
        }
        rig.receive(forged);
    }
    assert_eq!(rig.statuses().len(), 1 + 200);
    assert!(
        rig.statuses()[1..]
            .iter()
            .all(|status| matches!(status, 481 | 500))
    );
    assert_eq!(rig.events.len(), 1, "only the ACK");
    let bye = rig.request(Method::Bye, 4);
    rig.receive(bye);
    assert_eq!(rig.statuses().last(), Some(&200));
    assert!(matches!(rig.events[1], Event::PeerBye { .. }));
}
