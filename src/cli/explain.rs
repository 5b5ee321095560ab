//! What happened on a trunk → words and the mend. Pure: what was heard goes in, sentences come out.
//!
//! | verdict | says | exit code of `trunk test` |
//! |---|---|---|
//! | `Works` | the trunk does its part; what is left is the telephone's | 0 |
//! | `Refuses` | it is alive and does not take us: credentials, address, caller ID | 2 |
//! | `Unreached` | nobody answered: name, route, port, firewall | 3 |
//! | `Fails` | it is out of order, or took the call and it did not work: codecs, audio, limits | 4 |
use serde_json::Value;

use crate::call::{FLAG_NO_CALLEE_AUDIO, FLAG_RTP_NOT_RECEIVED, FLAG_RTP_REFUSED, FLAG_SILENT_CALLEE};
use crate::dialer::{Answer, Auth, Heard};
use crate::model::{Reason, Status};

/// The nearest to working first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    Works,
    Refuses,
    Fails,
    Unreached,
}

impl Verdict {
    pub(super) const fn exit_code(self) -> u8 {
        match self {
            Self::Works => 0,
            Self::Refuses => 2,
            Self::Unreached => 3,
            Self::Fails => 4,
        }
    }

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::Refuses => "refuses",
            Self::Unreached => "unreached",
            Self::Fails => "fails",
        }
    }
}

/// One thing found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) verdict: Verdict,
    pub(super) says: String,
    /// What to do, first things first; empty where nothing is wrong.
    pub(super) mends: Vec<String>,
}

impl Finding {
    pub(super) fn new(verdict: Verdict, says: impl Into<String>, mends: &[&str]) -> Self {
        Self {
            verdict,
            says: says.into(),
            mends: mends.iter().map(|mend| (*mend).to_owned()).collect(),
        }
    }
}

pub(super) const FIREWALL: &str =
    "let UDP pass both ways between the SIP listener and the carrier; behind NAT set sip.public_address";
pub(super) const STRANGERS: &str =
    "register the address that the carrier sees: most drop what comes from strangers without a word";
const FRAGMENTS: &str =
    "where OPTIONS is answered and INVITE is not: a firewall that drops long or fragmented datagrams";
const AUTH: [&str; 2] = [
    "check auth.username and the password",
    "auth.realm, where it is set, must be the realm that the carrier asks for",
];
const CODECS: [&str; 2] = [
    "codecs must hold one that the trunk allows: [\"PCMU\", \"PCMA\"] in its order",
    "srtp: \"require\" where the trunk insists on it, \"off\" or \"prefer\" where it knows none; srtp_profile = \"avp\" for some",
];
const CONGESTION: [&str; 2] = [
    "cps and max_calls must lie within what the account allows",
    "503 from a carrier often means: no route, no credit or no permission for this country",
];
const NUMBER: [&str; 2] = [
    "if the number is right, its form is not: number_format, tech_prefix, uri_params",
    "a PBX says this where no dial plan of the trunk's context matches",
];
const INVITE: [&str; 2] = [
    "400: number_format, headers, from_domain; 420: rel100 = \"off\"",
    "the log with telemetry.log = \"debug\" says more",
];

/// Of an OPTIONS.
pub(super) fn of_probe(heard: &Heard) -> Finding {
    match heard {
        Heard::NoAddress(why) => Finding::new(
            Verdict::Unreached,
            format!("no address: {why}"),
            &[
                "check the name in targets for a misspelling",
                "check that this machine can ask a name server (/etc/resolv.conf, or sip.dns)",
                "a name that has IPv6 addresses only needs an IPv6 listener in sip.listen",
            ],
        ),
        Heard::NoRoute(why) => Finding::new(
            Verdict::Unreached,
            format!("nothing could be sent: {why}"),
            &[
                "sip.listen needs a listener of the same family (udp:0.0.0.0:5060, udp:[::]:5060) with a route there",
            ],
        ),
        Heard::Refused => Finding::new(
            Verdict::Unreached,
            "the machine is there, but the port is closed (ICMP port unreachable)",
            &[
                "check the port in targets",
                "check that the PBX or proxy runs and listens on UDP",
            ],
        ),
        Heard::NoConnection(why) => Finding::new(
            Verdict::Unreached,
            format!("no connection: {why}"),
            &[
                "check the port in targets: TCP is commonly 5060, TLS 5061",
                "TLS: tls.ca_file for a certificate of a private authority, tls_name for one of another name",
                "a server that asks for a certificate of ours needs tls.cert_file and tls.key_file",
            ],
        ),
        Heard::Silent(after) => Finding::new(
            Verdict::Unreached,
            format!("nothing came back within {:.1} s", after.as_secs_f32()),
            &[FIREWALL, STRANGERS, "check address and port in targets"],
        ),
        Heard::Answered(answer) => of_answer(answer),
    }
}

fn of_answer(answer: &Answer) -> Finding {
    let said = format!("{} {}", answer.status, answer.reason)
        .trim_end()
        .to_owned();
    match (&answer.auth, answer.status) {
        (Auth::NoCredentials { realm }, _) => Finding::new(
            Verdict::Refuses,
            format!("alive; it asks for credentials of realm {realm:?} ({said}), and this trunk has none"),
            &[
                "set auth = { username = \"…\", password_file = \"…\" }",
                "or register this machine's address with the carrier, where it knows customers by address",
            ],
        ),
        (Auth::Rejected { realm }, _) => Finding::new(
            Verdict::Refuses,
            format!("alive; it did not take the credentials for realm {realm:?} ({said})"),
            &[
                "check auth.username and the password: some carriers want an authentication ID, not the number",
                "check from_user and from_domain: some find the account by From",
            ],
        ),
        (Auth::NotAnswered { realm, why }, _) => Finding::new(
            Verdict::Refuses,
            format!("alive; its challenge for realm {realm:?} was not answered: {why}"),
            &["set auth.realm to the realm above, or leave it out"],
        ),
        (Auth::NotAsked | Auth::Accepted { .. }, 403 | 603) => Finding::new(
            Verdict::Refuses,
            format!("alive; it refuses us ({said})"),
            &[
                STRANGERS,
                "check that From is what it wants: caller_id, from_user, from_domain",
            ],
        ),
        (Auth::NotAsked | Auth::Accepted { .. }, 500 | 503) => Finding::new(
            Verdict::Fails,
            format!("alive, but out of service or overloaded ({said})"),
            &["wait, or ask the carrier; a second target carries calls meanwhile"],
        ),
        (Auth::Accepted { realm }, _) => Finding::new(
            Verdict::Works,
            format!("alive; it took the credentials for realm {realm:?} ({said})"),
            &[],
        ),
        (Auth::NotAsked, 200..=299) => Finding::new(Verdict::Works, format!("alive ({said})"), &[]),
        // RFC 3261 §11.2: whatever answers is alive; many carriers know no OPTIONS.
        (Auth::NotAsked, _) => Finding::new(
            Verdict::Works,
            format!("alive ({said}: it takes no OPTIONS, which is no harm)"),
            &[],
        ),
    }
}

/// What a test call left behind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct CallFacts {
    pub(super) reason: Option<Reason>,
    pub(super) sip_status: Option<u16>,
    /// Phrase, or the text of the Reason header.
    pub(super) phrase: String,
    pub(super) codec: Option<String>,
    pub(super) srtp: Option<String>,
    pub(super) packets_sent: u64,
    pub(super) packets_received: u64,
    pub(super) packets_lost: u64,
    pub(super) key: Option<String>,
    pub(super) key_transport: String,
    pub(super) flags: Vec<String>,
    pub(super) rtp_source: Option<RtpSource>,
}

/// Audio came from another address than SDP named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RtpSource {
    pub(super) agreed: String,
    pub(super) seen: String,
    /// The trunk follows it in every call, not in this test only.
    pub(super) learns: bool,
}

impl CallFacts {
    /// Of the verification as the API shows it: its reason, and its last attempt. `learns`: as the trunk is configured.
    pub(super) fn of(verification: &Value, learns: bool) -> Self {
        let none = Value::Null;
        let attempts = verification["attempts"].as_array();
        let attempt = attempts.and_then(|list| list.last()).unwrap_or(&none);
        let text = |key: &str| attempt[key].as_str().map(str::to_owned);
        let count = |key: &str| attempt[key].as_u64().unwrap_or_default();
        let flags = attempt["flags"].as_array().into_iter().flatten();
        Self {
            reason: verification["reason"].as_str().and_then(|word| word.parse().ok()),
            sip_status: attempt["sip_status"]
                .as_u64()
                .and_then(|status| status.try_into().ok()),
            phrase: text("reason_text").or(text("sip_reason")).unwrap_or_default(),
            codec: text("codec"),
            srtp: text("srtp"),
            packets_sent: count("packets_sent"),
            packets_received: count("packets_received"),
            packets_lost: count("packets_lost"),
            key: text("key"),
            key_transport: text("key_transport").unwrap_or_default(),
            flags: flags
                .filter_map(|flag| flag.as_str())
                .map(str::to_owned)
                .collect(),
            rtp_source: attempt["rtp_source"].as_object().map(|found| RtpSource {
                agreed: word_of(found.get("agreed")),
                seen: word_of(found.get("seen")),
                learns,
            }),
        }
    }

    fn said(&self) -> String {
        match self.sip_status {
            Some(status) => format!("{status} {}", self.phrase).trim_end().to_owned(),
            None => "no answer".to_owned(),
        }
    }

    /// A call that was not answered, with what the carrier said.
    fn end(&self, verdict: Verdict, what: &str, mends: &[&str]) -> Finding {
        Finding::new(verdict, format!("{what} ({})", self.said()), mends)
    }

    fn audio(&self) -> String {
        format!(
            "{}{}, {} packets sent, {} received, {} lost",
            self.codec.as_deref().unwrap_or("no codec"),
            over_srtp(self.srtp.as_deref()),
            self.packets_sent,
            self.packets_received,
            self.packets_lost
        )
    }

    fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|found| found == flag)
    }
}

fn word_of(value: Option<&Value>) -> String {
    value.and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// What follows the name of the codec.
pub(super) fn over_srtp(suite: Option<&str>) -> String {
    suite.map_or_else(String::new, |suite| format!(" over SRTP ({suite})"))
}

/// Of a test call.
pub(super) fn of_call(facts: &CallFacts) -> Finding {
    let Some(reason) = facts.reason else {
        return Finding::new(Verdict::Fails, "the call has not ended", &[]);
    };
    match reason {
        Reason::KeyConfirmed
        | Reason::CodeMatched
        | Reason::CodePlayed
        | Reason::FraudReported
        | Reason::WrongKey
        | Reason::WrongCode
        | Reason::HungUp
        | Reason::NoInput
        | Reason::Voicemail
        | Reason::CallScreened
        | Reason::SuspectMachine
        | Reason::MediaFailed => with_source(of_answered(reason, facts), facts),
        Reason::RejectedByNetwork => of_rejection(facts),
        Reason::TrunkAuth => facts.end(Verdict::Refuses, "the INVITE's credentials were not taken", &AUTH),
        Reason::CodecMismatch => facts.end(Verdict::Fails, "no common ground for the audio", &CODECS),
        Reason::TrunkDown => Finding::new(
            Verdict::Unreached,
            "the INVITE got no answer at all",
            &[FIREWALL, STRANGERS, FRAGMENTS],
        ),
        Reason::Congestion => facts.end(
            Verdict::Fails,
            "the carrier has no way for this call now",
            &CONGESTION,
        ),
        Reason::InvalidNumber | Reason::NotAllocated => facts.end(
            Verdict::Fails,
            "the trunk answers, but does not know this number",
            &NUMBER,
        ),
        Reason::Internal => facts.end(Verdict::Fails, "the INVITE was not understood", &INVITE),
        Reason::Busy | Reason::NoAnswer | Reason::Declined | Reason::Unreachable | Reason::Ttl => {
            let says = format!("the trunk carried the call; the telephone said {reason}");
            facts.end(Verdict::Works, &says, &[])
        }
        Reason::ByClient | Reason::Superseded | Reason::Shutdown => Finding::new(
            Verdict::Works,
            format!("the call was ended from here ({reason}) before it could show more"),
            &[],
        ),
        Reason::CountryNotAllowed
        | Reason::NumberBlocked
        | Reason::UserBlocked
        | Reason::RateLimited
        | Reason::SpendLimit
        | Reason::PremiumNumber
        | Reason::UnknownAfterCrash => Finding::new(
            Verdict::Fails,
            format!("the call was not placed ({reason})"),
            &["the trunk was not asked: [policy] decides here"],
        ),
    }
}

fn of_rejection(facts: &CallFacts) -> Finding {
    let says = format!("the carrier refused the call ({})", facts.said());
    if facts.has("call_blocked") {
        return Finding::new(
            Verdict::Refuses,
            format!("{says}: a network rates the caller ID as unwanted"),
            &[
                "use a caller ID of the account, registered with the carrier's reputation service",
                "ask the carrier which attestation (STIR/SHAKEN) your calls get",
            ],
        );
    }
    match facts.sip_status {
        Some(300..=399) => Finding::new(
            Verdict::Refuses,
            format!("{says}: it wants the call to go elsewhere, which is not followed"),
            &["write the address that it names into targets"],
        ),
        Some(428 | 433 | 436..=438) => Finding::new(
            Verdict::Refuses,
            format!("{says}: it wants a signed or a named caller"),
            &["take privacy and the anonymous From out; ask the carrier to sign (STIR/SHAKEN)"],
        ),
        _ => Finding::new(
            Verdict::Refuses,
            says,
            &[
                "caller_id must be a number that this carrier knows as yours, in its form: caller_id_format",
                "identity, from_user and from_domain must be what it wants to see: docs/carriers.md",
                "register the address that the carrier sees, and allow the called country in the account",
            ],
        ),
    }
}

/// A test call follows the audio wherever it comes from; the calls of a trunk do so only where they are told to.
fn with_source(found: Finding, facts: &CallFacts) -> Finding {
    let Some(source) = &facts.rtp_source else {
        return found;
    };
    let from = format!(
        "RTP came from {}, not from the address {} of the SDP",
        source.seen, source.agreed
    );
    if source.learns {
        let mut found = found;
        found.says = format!("{}; {from}, and was followed (learn = true)", found.says);
        return found;
    }
    Finding::new(
        Verdict::Fails,
        format!(
            "{from}: this test followed it, the calls of this trunk would not hear it. Beside that: {}",
            found.says
        ),
        &[
            "ask the carrier, or mend the NAT of the PBX, so that SDP names the address that its RTP comes from",
            "or set learn = true on this trunk: it follows what this test has followed",
        ],
    )
}

/// The telephone was answered: what is left to judge is the audio, and the keys in it.
fn of_answered(reason: Reason, facts: &CallFacts) -> Finding {
    // Packets may all be of before the answer.
    if facts.packets_received == 0 || facts.has(FLAG_NO_CALLEE_AUDIO) {
        return Finding::new(
            Verdict::Fails,
            format!("answered, but no audio came in ({})", facts.audio()),
            &[
                "let UDP in on media.rtp_ports: carriers send audio from other addresses than signalling",
                "behind NAT set sip.public_address, and forward media.rtp_ports unchanged",
            ],
        );
    }
    if let Some(key) = &facts.key {
        let note: &[&str] = if facts.has("dtmf_mismatch") {
            &["keys came otherwise than was agreed; leave dtmf = \"auto\" on this trunk"]
        } else {
            &[]
        };
        let says = format!(
            "works: answered, audio both ways, key {key} by {} ({})",
            facts.key_transport,
            facts.audio()
        );
        return Finding::new(Verdict::Works, says, note);
    }
    if matches!(reason.status(), Status::Approved | Status::Delivered) {
        let says = format!("works: answered, audio both ways ({})", facts.audio());
        return Finding::new(Verdict::Works, says, &[]);
    }
    if let Some(lost) = of_our_audio(facts) {
        return lost;
    }
    if facts.has(FLAG_SILENT_CALLEE) {
        return Finding::new(
            Verdict::Works,
            format!(
                "answered, RTP came in, all of it digital silence, and no key did: {reason} ({})",
                facts.audio()
            ),
            &[
                "a telephone that is muted sends this, and so does a media server that hears nothing of its own callee",
                "if the person spoke: ask the carrier for both legs; [capture] rtp = \"headers\" and `ringproof capture show` \
                 give our side",
            ],
        );
    }
    Finding::new(
        Verdict::Works,
        format!(
            "answered, audio came in, and no key did: {reason} ({})",
            facts.audio()
        ),
        &[
            "if the person heard nothing, ours does not get out: sip.public_address, and a firewall that lets \
             media.rtp_ports out",
            "if a key was pressed and not heard: dtmf = \"auto\", and telephone-event (RFC 4733) on the trunk's side",
        ],
    )
}

/// Audio came in, and ours did not get there: the other direction of one-way audio.
fn of_our_audio(facts: &CallFacts) -> Option<Finding> {
    let what = if facts.has(FLAG_RTP_REFUSED) {
        "the host that its SDP names refused ours (ICMP)"
    } else if facts.has(FLAG_RTP_NOT_RECEIVED) {
        "its RTCP says that most of ours was lost"
    } else {
        return None;
    };
    Some(Finding::new(
        Verdict::Fails,
        format!("answered and audio came in, but {what} ({})", facts.audio()),
        &[
            "let UDP out from media.rtp_ports to every address, and look for NAT between here and the carrier",
            "if SDP names an address that nobody listens on: learn = true on this trunk follows the one that RTP comes from",
        ],
    ))
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
