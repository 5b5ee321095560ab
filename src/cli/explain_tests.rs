//! Every end that a trunk test can come to, with its verdict and a word of what is said.
use std::time::Duration;

use serde_json::json;

use super::*;

fn answered(status: u16, reason: &str, auth: Auth) -> Heard {
    Heard::Answered(Answer {
        status,
        reason: reason.to_owned(),
        server: None,
        after: Duration::from_millis(20),
        auth,
    })
}

#[test]
fn each_end_of_an_options_has_its_words() {
    use Verdict::{Fails, Refuses, Unreached, Works};
    let realm = || "carrier.example".to_owned();
    let why = || "expected a challenge for realm `a`, came `carrier.example`".to_owned();
    let table = [
        (
            Heard::NoAddress("no such name".into()),
            Unreached,
            "no address: no such name",
            "resolv.conf",
        ),
        (
            Heard::NoRoute("no IPv6".into()),
            Unreached,
            "nothing could be sent: no IPv6",
            "sip.listen",
        ),
        (
            Heard::NoConnection("invalid peer certificate: UnknownIssuer".into()),
            Unreached,
            "no connection: invalid peer certificate: UnknownIssuer",
            "ca_file",
        ),
        (Heard::Refused, Unreached, "the port is closed", "port in targets"),
        (
            Heard::Silent(Duration::from_secs(6)),
            Unreached,
            "nothing came back within 6.0 s",
            "sip.public_address",
        ),
        (answered(200, "OK", Auth::NotAsked), Works, "alive (200 OK)", ""),
        (
            answered(404, "Not Found", Auth::NotAsked),
            Works,
            "alive (404 Not Found: it takes no OPTIONS",
            "",
        ),
        (
            answered(405, "Method Not Allowed", Auth::NotAsked),
            Works,
            "no harm",
            "",
        ),
        (
            answered(501, "Not Implemented", Auth::NotAsked),
            Works,
            "no harm",
            "",
        ),
        (
            answered(403, "Forbidden", Auth::NotAsked),
            Refuses,
            "it refuses us (403 Forbidden)",
            "strangers",
        ),
        (
            answered(503, "Service Unavailable", Auth::NotAsked),
            Fails,
            "overloaded",
            "second target",
        ),
        (
            answered(
                407,
                "Proxy Authentication Required",
                Auth::NoCredentials { realm: realm() },
            ),
            Refuses,
            "credentials of realm \"carrier.example\"",
            "auth =",
        ),
        (
            answered(401, "Unauthorized", Auth::Rejected { realm: realm() }),
            Refuses,
            "did not take the credentials for realm \"carrier.example\" (401 Unauthorized)",
            "auth.username",
        ),
        (
            answered(
                401,
                "Unauthorized",
                Auth::NotAnswered {
                    realm: realm(),
                    why: why(),
                },
            ),
            Refuses,
            "was not answered: expected a challenge",
            "auth.realm",
        ),
        (
            answered(200, "OK", Auth::Accepted { realm: realm() }),
            Works,
            "took the credentials",
            "",
        ),
        (
            answered(404, "", Auth::Accepted { realm: realm() }),
            Works,
            "took the credentials",
            "",
        ),
        (
            answered(403, "Forbidden", Auth::Accepted { realm: realm() }),
            Refuses,
            "refuses us",
            "from_domain",
        ),
    ];
    for (heard, verdict, says, mend) in table {
        assert_finding(&of_probe(&heard), verdict, says, mend);
    }
}

fn assert_finding(found: &Finding, verdict: Verdict, says: &str, mend: &str) {
    assert_eq!(found.verdict, verdict, "{found:?}");
    assert!(found.says.contains(says), "{says:?}: {found:?}");
    let mends = found.mends.join("\n");
    assert!(mends.contains(mend), "{mend:?}: {found:?}");
    assert_eq!(mend.is_empty(), mends.is_empty(), "{found:?}");
}

/// An answered call: packets in, key.
fn talked(reason: Reason, packets_received: u64, key: Option<&str>) -> CallFacts {
    CallFacts {
        reason: Some(reason),
        sip_status: Some(200),
        phrase: "OK".to_owned(),
        codec: Some("PCMU".to_owned()),
        packets_sent: 400,
        packets_received,
        key: key.map(str::to_owned),
        key_transport: "rfc4733".to_owned(),
        ..CallFacts::default()
    }
}

fn rejected(reason: Reason, status: u16, phrase: &str) -> CallFacts {
    CallFacts {
        reason: Some(reason),
        sip_status: Some(status),
        phrase: phrase.to_owned(),
        ..CallFacts::default()
    }
}

#[test]
fn each_end_of_a_call_has_its_words() {
    use Verdict::{Fails, Refuses, Unreached, Works};
    let flagged = |mut facts: CallFacts, flag: &str| {
        facts.flags.push(flag.to_owned());
        facts
    };
    let silent = CallFacts {
        reason: Some(Reason::TrunkDown),
        ..CallFacts::default()
    };
    let table = [
        (
            talked(Reason::KeyConfirmed, 390, Some("#")),
            Works,
            "audio both ways, key # by rfc4733",
            "",
        ),
        (
            flagged(talked(Reason::KeyConfirmed, 390, Some("#")), "dtmf_mismatch"),
            Works,
            "key #",
            "dtmf = \"auto\"",
        ),
        (
            talked(Reason::CodePlayed, 390, None),
            Works,
            "audio both ways (PCMU, 400 packets sent, 390 received",
            "",
        ),
        (talked(Reason::WrongKey, 390, Some("3")), Works, "key 3", ""),
        (
            talked(Reason::NoInput, 390, None),
            Works,
            "no key did: no_input",
            "heard nothing",
        ),
        (
            talked(Reason::HungUp, 390, None),
            Works,
            "no key did: hung_up",
            "telephone-event",
        ),
        (
            flagged(talked(Reason::NoInput, 400, None), FLAG_SILENT_CALLEE),
            Works,
            "all of it digital silence, and no key did: no_input",
            "muted",
        ),
        (
            flagged(talked(Reason::NoInput, 390, None), FLAG_RTP_REFUSED),
            Fails,
            "audio came in, but the host that its SDP names refused ours",
            "learn = true",
        ),
        (
            flagged(talked(Reason::HungUp, 390, None), FLAG_RTP_NOT_RECEIVED),
            Fails,
            "its RTCP says that most of ours was lost",
            "media.rtp_ports",
        ),
        (
            flagged(talked(Reason::MediaFailed, 90, None), FLAG_NO_CALLEE_AUDIO),
            Fails,
            "no audio came in (PCMU, 400 packets sent, 90 received",
            "media.rtp_ports",
        ),
        (
            talked(Reason::MediaFailed, 0, None),
            Fails,
            "no audio came in (PCMU, 400 packets sent, 0 received",
            "media.rtp_ports",
        ),
        (
            rejected(Reason::TrunkAuth, 407, "Proxy Authentication Required"),
            Refuses,
            "not taken (407 Proxy",
            "auth.realm",
        ),
        (
            rejected(
                Reason::RejectedByNetwork,
                403,
                "Caller Origination Number is Invalid D35",
            ),
            Refuses,
            "403 Caller Origination Number is Invalid D35",
            "caller_id",
        ),
        (
            flagged(
                rejected(Reason::RejectedByNetwork, 608, "Rejected"),
                "call_blocked",
            ),
            Refuses,
            "unwanted",
            "attestation",
        ),
        (
            rejected(Reason::RejectedByNetwork, 302, "Moved Temporarily"),
            Refuses,
            "elsewhere",
            "targets",
        ),
        (
            rejected(Reason::RejectedByNetwork, 428, "Use Identity Header"),
            Refuses,
            "signed",
            "privacy",
        ),
        (
            rejected(Reason::CodecMismatch, 488, "Not Acceptable Here"),
            Fails,
            "488 Not Acceptable Here",
            "codecs",
        ),
        (silent, Unreached, "no answer at all", "fragmented"),
        (
            rejected(Reason::Congestion, 503, "Service Unavailable"),
            Fails,
            "503",
            "max_calls",
        ),
        (
            rejected(Reason::NotAllocated, 404, "Not Found"),
            Fails,
            "404 Not Found",
            "number_format",
        ),
        (
            rejected(Reason::InvalidNumber, 484, "Address Incomplete"),
            Fails,
            "484",
            "tech_prefix",
        ),
        (
            rejected(Reason::Internal, 420, "Bad Extension"),
            Fails,
            "420",
            "rel100",
        ),
        (
            rejected(Reason::Busy, 486, "Busy Here"),
            Works,
            "the telephone said busy (486 Busy Here)",
            "",
        ),
        (
            rejected(Reason::NoAnswer, 487, "Request Terminated"),
            Works,
            "no_answer",
            "",
        ),
        (rejected(Reason::ByClient, 487, ""), Works, "from here", ""),
        (
            rejected(Reason::CountryNotAllowed, 0, ""),
            Fails,
            "not placed (country_not_allowed)",
            "[policy]",
        ),
    ];
    for (facts, verdict, says, mend) in table {
        assert_finding(&of_call(&facts), verdict, says, mend);
    }
}

#[test]
fn no_reason_is_left_without_words() {
    for reason in Reason::ALL {
        let found = of_call(&CallFacts {
            reason: Some(*reason),
            ..CallFacts::default()
        });
        assert!(!found.says.is_empty(), "{reason}");
        assert_eq!(
            found.verdict == Verdict::Works,
            found.mends.is_empty(),
            "{found:?}"
        );
    }
}

#[test]
fn facts_are_those_of_the_last_attempt() {
    let facts = CallFacts::of(
        &json!({
            "reason": "rejected_by_network",
            "attempts": [
                {"sip_status": 503},
                {"sip_status": 403, "sip_reason": "Forbidden", "reason_text": null, "codec": null, "packets_sent": 0,
                 "packets_received": 0, "packets_lost": 0, "key": null, "key_transport": null, "flags": ["call_blocked"]},
            ],
        }),
        false,
    );
    assert_eq!(
        (facts.reason, facts.sip_status),
        (Some(Reason::RejectedByNetwork), Some(403))
    );
    assert_eq!(
        (facts.said().as_str(), facts.has("call_blocked")),
        ("403 Forbidden", true)
    );
}

#[test]
fn each_verdict_has_its_documented_exit_code() {
    use Verdict::{Fails, Refuses, Unreached, Works};
    assert_eq!(
        [Works, Refuses, Unreached, Fails].map(Verdict::exit_code),
        [0, 2, 3, 4]
    );
}

#[test]
fn audio_from_elsewhere_is_told_with_both_addresses_and_the_mend() {
    let verification = json!({
        "reason": "key_confirmed",
        "attempts": [{
            "codec": "PCMU", "packets_sent": 400, "packets_received": 390, "key": "#", "key_transport": "rfc4733",
            "flags": ["rtp_source_learned"],
            "rtp_source": {"agreed": "10.0.0.7:4000", "seen": "192.0.2.20:31000"}
        }]
    });
    let says = "RTP came from 192.0.2.20:31000, not from the address 10.0.0.7:4000 of the SDP";
    let found = of_call(&CallFacts::of(&verification, false));
    assert_finding(&found, Verdict::Fails, says, "learn = true");
    assert!(found.says.contains("key # by rfc4733"), "{found:?}");
    let found = of_call(&CallFacts::of(&verification, true));
    assert_finding(&found, Verdict::Works, says, "");
    assert!(found.says.contains("key # by rfc4733"), "{found:?}");
}
