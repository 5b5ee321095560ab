//! Live calls under forged BYE, CANCEL, re-INVITE, INFO and answers (SAFETY §1 point 5, §2): none has an effect.
//!
//! Whoever forges knows the calls well. From off the path every message is right in every word, and only its source is
//! not the trunk's. From the trunk's own address one thing is wrong: Call-ID, a tag, the branch or the CSeq.
use ringproof::sip::transport::SipTransport::Udp;
use serde_json::{Value, json};

use super::dice::Dice;
use super::peer::{Datagrams, Heard};
use crate::line::text;
use crate::town::{Server, Town};

/// So many datagrams fit into the queue of one call, whatever else comes for it.
const BATCH: usize = 24;
/// Of one set of calls.
const ROUND_MAX: usize = 10_000;
/// Sources off the path: each has an allowance, and what exceeds it is not even read.
const SOURCES: u8 = 64;
/// How long the calls stay as they are.
const HELD_MS: u32 = 8000;

/// What the callee does with its call, and how it must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    RingsThenConfirms,
    RingsThenIsBusy,
    AnswersThenHangsUp,
}

impl Plan {
    const ALL: [Self; 6] = [
        Self::RingsThenConfirms,
        Self::RingsThenIsBusy,
        Self::AnswersThenHangsUp,
        Self::RingsThenConfirms,
        Self::RingsThenIsBusy,
        Self::AnswersThenHangsUp,
    ];

    fn steps(self) -> Value {
        let held = json!({"wait": {"ms": HELD_MS}});
        match self {
            Self::RingsThenConfirms => {
                json!(["ring", held, "answer", "wait_until_told", {"press": {"digits": "#"}}])
            }
            Self::RingsThenIsBusy => json!(["ring", held, {"reject": {"status": 486}}]),
            Self::AnswersThenHangsUp => json!(["ring", "answer", held, "hang_up"]),
        }
    }

    fn held_at(self) -> &'static str {
        match self {
            Self::RingsThenConfirms | Self::RingsThenIsBusy => "ringing",
            Self::AnswersThenHangsUp => "prompting",
        }
    }

    fn outcome(self) -> &'static str {
        match self {
            Self::RingsThenConfirms => "approved/key_confirmed",
            Self::RingsThenIsBusy => "failed/busy",
            Self::AnswersThenHangsUp => "denied/hung_up",
        }
    }
}

struct Placed {
    plan: Plan,
    to: String,
    id: String,
}

/// What the messages of a call say.
#[derive(Debug, Clone)]
struct Words {
    call_id: String,
    /// Of our INVITE, with its tag.
    ours: String,
    /// Of the callee's answers, with its tag.
    theirs: String,
    /// Of our INVITE.
    via: String,
    contact: String,
    seq: u32,
}

impl Words {
    async fn of(town: &Town, to: &str) -> Self {
        let call = &town.carrier.calls_to(to).await[0];
        let path = format!("/sim/calls/{}", text(&call["id"]));
        let call = town.carrier.http.get(&path).await.ok();
        let find = |direction: &str, word: &str| -> String {
            let all = call["messages"].as_array().unwrap();
            let found = all
                .iter()
                .find(|m| m["direction"] == direction && text(&m["summary"]).contains(word));
            found.map_or_else(|| panic!("no {word} in {call}"), |m| text(&m["text"]).to_owned())
        };
        let (invite, ringing) = (find("in", "INVITE"), find("out", "180"));
        let field = |message: &str, name: &str| -> String {
            let found = message.lines().find_map(|line| line.strip_prefix(name));
            found
                .unwrap_or_else(|| panic!("no {name} in {message}"))
                .to_owned()
        };
        Self {
            call_id: field(&invite, "Call-ID: "),
            ours: field(&invite, "From: "),
            theirs: field(&ringing, "To: "),
            via: field(&invite, "Via: "),
            contact: field(&invite, "Contact: ").trim_matches(['<', '>']).to_owned(),
            seq: field(&invite, "CSeq: ")
                .split(' ')
                .next()
                .and_then(|seq| seq.parse().ok())
                .unwrap(),
        }
    }

    /// As the callee would ask, in a transaction of its own.
    fn request(&self, method: &str, of: &str, dice: &mut Dice) -> String {
        let Self {
            call_id,
            ours,
            theirs,
            contact,
            ..
        } = self;
        let (branch, seq) = (dice.below(usize::MAX), 1 + dice.below(1_000_000));
        let (kind, body) = match method {
            "INVITE" | "UPDATE" => (
                "application/sdp",
                "v=0\r\no=- 1 1 IN IP4 127.0.0.66\r\ns=-\r\nc=IN IP4 127.0.0.66\r\nt=0 0\r\nm=audio 6666 RTP/AVP 0\r\n",
            ),
            "INFO" => ("application/dtmf-relay", "Signal=#\r\nDuration=160\r\n"),
            _ => ("text/plain", ""),
        };
        format!(
            "{method} {contact} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5999;branch=z9hG4bK-{branch};rport\r\n\
             Max-Forwards: 70\r\nFrom: {theirs}\r\nTo: {ours}\r\nCall-ID: {call_id}\r\nCSeq: {seq} {of}\r\n\
             Contact: <sip:callee@127.0.0.1:5999>\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    /// As the callee would answer.
    fn response(&self, status: u16, of: &str) -> String {
        let Self {
            call_id,
            ours,
            theirs,
            via,
            seq,
            ..
        } = self;
        format!(
            "SIP/2.0 {status} Forged\r\nVia: {via}\r\nFrom: {ours}\r\nTo: {theirs}\r\nCall-ID: {call_id}\r\n\
             CSeq: {seq} {of}\r\nContact: <sip:callee@127.0.0.66:5060>\r\nContent-Length: 0\r\n\r\n"
        )
    }
}

const REQUESTS: [&str; 6] = ["BYE", "CANCEL", "INVITE", "INFO", "UPDATE", "PRACK"];
const STATUSES: [u16; 9] = [100, 180, 183, 200, 202, 407, 486, 487, 603];

/// Every word right.
fn perfect(words: &Words, dice: &mut Dice) -> Vec<u8> {
    let kind = dice.below(REQUESTS.len() + STATUSES.len());
    let forged = match REQUESTS.get(kind) {
        Some(method) => words.request(method, method, dice),
        None => {
            let of = ["INVITE", "BYE", "CANCEL"][dice.below(3)];
            words.response(STATUSES[kind - REQUESTS.len()], of)
        }
    };
    forged.into_bytes()
}

/// One word wrong.
fn flawed(words: &Words, dice: &mut Dice) -> Vec<u8> {
    let guess = format!("{:032x}", dice.below(usize::MAX));
    let another = |value: &str| match value.split_once(";tag=") {
        Some((address, _)) => format!("{address};tag={guess}"),
        None => panic!("no tag in {value}"),
    };
    let mut wrong = words.clone();
    let kind = dice.below(REQUESTS.len() + STATUSES.len());
    if let Some(method) = REQUESTS.get(kind) {
        let mut of = *method;
        match dice.below(5) {
            0 => wrong.call_id = guess.clone(),
            1 => wrong.ours = another(&words.ours),
            2 => wrong.theirs = another(&words.theirs),
            // Without a tag it is a request outside of any dialog.
            3 => wrong.ours = words.ours.split(';').next().unwrap_or_default().to_owned(),
            _ => of = if *method == "INFO" { "BYE" } else { "INFO" },
        }
        return wrong.request(method, of, dice).into_bytes();
    }
    let status = STATUSES[kind - REQUESTS.len()];
    let mut of = "INVITE";
    match dice.below(5) {
        0 => wrong.call_id = guess.clone(),
        1 => wrong.ours = another(&words.ours),
        2 => wrong.seq += 1,
        3 => of = ["BYE", "CANCEL"][dice.below(2)],
        _ => {
            let branch = words.via.split_once("branch=").map(|(_, branch)| branch);
            let branch = branch.and_then(|branch| branch.split(';').next()).unwrap();
            wrong.via = words.via.replace(branch, &format!("z9hG4bK{guess}"));
            if status / 100 == 2 {
                // A 2xx of a leg that was acknowledged is repeated by its peer, and then our ACK is: not even that.
                wrong.theirs = another(&words.theirs);
            }
        }
    }
    wrong.response(status, of).into_bytes()
}

struct Forger {
    dice: Dice,
    trunk: Datagrams,
    off_path: Vec<Datagrams>,
    sent: usize,
    octets: usize,
    answered: Heard,
}

impl Forger {
    async fn at(server: &Server) -> Self {
        let mut off_path = Vec::new();
        for last in 0..SOURCES {
            off_path.push(Datagrams::at([127, 0, 1, 1 + last], server.sip()).await);
        }
        Self {
            dice: Dice::new(3261),
            trunk: Datagrams::at([127, 0, 0, 1], server.sip()).await,
            off_path,
            sent: 0,
            octets: 0,
            answered: Heard::default(),
        }
    }

    async fn volley(&mut self, calls: &[Words], count: usize) {
        for sent in 0..count {
            let words = &calls[self.dice.below(calls.len())];
            if self.dice.below(3) == 0 {
                let forged = perfect(words, &mut self.dice);
                let source = self.dice.below(self.off_path.len());
                self.off_path[source].send(&forged).await;
            } else {
                let forged = flawed(words, &mut self.dice);
                self.trunk.send(&forged).await;
                self.octets += forged.len();
            }
            if sent % BATCH == BATCH - 1 {
                self.hear().await;
            }
        }
        self.sent += count;
    }

    async fn hear(&mut self) {
        let heard = self.trunk.before_the_next_answer().await;
        self.answered.answers += heard.answers;
        self.answered.octets += heard.octets;
    }

    async fn judge(&mut self) {
        self.hear().await;
        let Heard { answers, octets } = self.answered;
        assert!(answers <= self.sent, "{answers} answers to {}", self.sent);
        assert!(
            octets * 2 <= self.octets * 3,
            "{octets} octets said for {} heard",
            self.octets
        );
        for stranger in &self.off_path {
            let mut buffer = [0; 4096];
            let heard = stranger.socket.try_recv_from(&mut buffer);
            assert!(heard.is_err(), "{}", String::from_utf8_lossy(&buffer));
        }
    }
}

async fn place(town: &Town, server: &Server, first: usize) -> Vec<Placed> {
    let mut placed = Vec::new();
    for (n, plan) in Plan::ALL.into_iter().enumerate() {
        let to = format!("+1500555{}", 1000 + first + n);
        town.carrier.callee(&to, plan.steps()).await;
        let body = json!({"to": to, "callback_url": town.hooks.url});
        let id = text(&server.http.create(&body).await["id"]).to_owned();
        placed.push(Placed { plan, to, id });
    }
    placed
}

async fn words_of(town: &Town, placed: &[Placed]) -> Vec<Words> {
    let mut words = Vec::new();
    for call in placed {
        words.push(Words::of(town, &call.to).await);
    }
    words
}

/// The call ended as its callee wished, and the callee heard nothing that it should not have.
async fn ended_as_planned(town: &Town, server: &Server, call: &Placed) {
    let view = server.http.ended(&call.id).await;
    let outcome = format!("{}/{}", text(&view["status"]), text(&view["reason"]));
    assert_eq!(outcome, call.plan.outcome(), "{view}");
    assert_eq!(view["attempts"].as_array().unwrap().len(), 1, "{view}");
    assert_eq!(town.carrier.calls_to(&call.to).await.len(), 1);
    let heard = town.carrier.wait(&call.to, "ended").await;
    let count = |method: &str| {
        let messages = heard["messages"].as_array().unwrap().iter();
        messages
            .filter(|m| m["direction"] == "in" && m["summary"] == method)
            .count()
    };
    let byes = usize::from(call.plan == Plan::RingsThenConfirms);
    let counted = (count("INVITE"), count("CANCEL"), count("BYE"));
    assert_eq!(counted, (1, 0, byes), "{:?}: {heard}", call.plan);
}

/// What would have had an effect, had it come from the trunk: without this the volleys would prove nothing.
async fn the_words_are_right(town: &Town, server: &Server, forger: &Forger, first: usize) {
    let placed = place(town, server, first).await;
    let mut dice = Dice::new(1);
    for call in &placed[1..3] {
        server.http.stage(&call.id, call.plan.held_at()).await;
        let words = Words::of(town, &call.to).await;
        let (genuine, outcome) = match call.plan {
            Plan::RingsThenConfirms | Plan::RingsThenIsBusy => {
                (words.response(603, "INVITE"), "denied/declined")
            }
            Plan::AnswersThenHangsUp => (words.request("BYE", "BYE", &mut dice), "denied/hung_up"),
        };
        let began = std::time::Instant::now();
        forger.trunk.send(genuine.as_bytes()).await;
        let view = server.http.ended(&call.id).await;
        let found = format!("{}/{}", text(&view["status"]), text(&view["reason"]));
        assert_eq!(found, outcome, "{:?}: {view}", call.plan);
        // The callee itself would have ended it later.
        assert!(began.elapsed().as_millis() < u128::from(HELD_MS) / 2);
    }
}

/// 10³; `RINGPROOF_LONG=1`: 10⁵.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_messages_have_no_effect_on_live_calls() {
    let long = std::env::var("RINGPROOF_LONG").is_ok_and(|v| v == "1");
    let count = if long { 100_000 } else { 1000 };
    let town = Town::found("max_calls = 50").await;
    let server = town.serve();
    let mut forger = Forger::at(&server).await;
    let mut calls = 0;
    while forger.sent < count {
        let volley = (count - forger.sent).min(ROUND_MAX) / 2;
        let placed = place(&town, &server, calls).await;
        calls += placed.len();
        for call in &placed {
            let view = server.http.stage(&call.id, call.plan.held_at()).await;
            assert_eq!(view["stage"], call.plan.held_at(), "{view}");
        }
        let words = words_of(&town, &placed).await;
        forger.volley(&words, volley).await;
        for call in &placed {
            let view = server.http.read(&call.id).await;
            assert_eq!(view["status"], "pending", "{view}");
        }
        // The same calls once more, when those that rang have been answered and the others are over.
        for call in placed.iter().filter(|call| call.plan == Plan::RingsThenConfirms) {
            server.http.stage(&call.id, "prompting").await;
        }
        forger.volley(&words, volley).await;
        for call in &placed {
            ended_as_planned(&town, &server, call).await;
        }
        forger.judge().await;
    }
    the_words_are_right(&town, &server, &forger, calls).await;
    let Heard { answers, octets } = forger.answered;
    println!(
        "forged over {}: {} messages at {calls} live calls, 0 effects, {answers} answers, {:.2} octets said per octet heard",
        Udp.param(),
        forger.sent,
        octets as f64 / forger.octets as f64
    );
    server.kill();
}
