//! SDES keys: which lines count, what is agreed under each policy and profile, and what a re-offer changes.
use super::*;
use crate::model::{Entropy, SrtpPolicy, SrtpProfile, SrtpSuite};

fn with(policy: SrtpPolicy, profile: SrtpProfile, seed: u64) -> LocalMedia {
    LocalMedia {
        address: "192.0.2.10".parse().unwrap(),
        port: 20_000,
        codecs: vec![Codec::Pcmu, Codec::Pcma],
        telephone_event: true,
        ptime_ms: 20,
        session_id: 42,
        version: 1,
        rtcp_mux: false,
        srtp: Sdes::new(policy, profile, &mut Entropy::from_number(seed)),
    }
}

fn caller(policy: SrtpPolicy, profile: SrtpProfile) -> LocalMedia {
    with(policy, profile, 1)
}

fn callee() -> LocalMedia {
    with(SrtpPolicy::Prefer, SrtpProfile::Avp, 2)
}

fn body(media: &[&str]) -> Vec<u8> {
    let mut body = "v=0\no=- 1 1 IN IP4 198.51.100.7\ns=-\nc=IN IP4 198.51.100.7\nt=0 0\n".to_owned();
    for line in media {
        body.push_str(line);
        body.push('\n');
    }
    body.into_bytes()
}

fn lines(body: &[u8], prefix: &str) -> Vec<String> {
    let text = String::from_utf8(body.to_vec()).unwrap();
    let lines = text.lines().filter(|line| line.starts_with(prefix));
    lines.map(str::to_owned).collect()
}

const KEY_30: &str = "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

#[test]
fn an_offer_names_a_key_for_each_suite_under_its_profile() {
    for (profile, proto) in [(SrtpProfile::Savp, "RTP/SAVP"), (SrtpProfile::Avp, "RTP/AVP")] {
        let offered = offer(&caller(SrtpPolicy::Require, profile));
        assert_eq!(lines(&offered, "m="), [format!("m=audio 20000 {proto} 0 8 101")]);
        let crypto = lines(&offered, "a=crypto:");
        assert_eq!(crypto.len(), 3);
        for (at, suite) in (1..).zip(SrtpSuite::ALL) {
            let start = format!("a=crypto:{at} {suite} inline:");
            let key = crypto[at - 1].strip_prefix(&start).unwrap();
            assert_eq!(key.len(), 40, "{key}");
        }
        assert_eq!(offer(&caller(SrtpPolicy::Require, profile)), offered);
        assert_ne!(offer(&with(SrtpPolicy::Require, profile, 9)), offered);
    }
    let off = caller(SrtpPolicy::Off, SrtpProfile::Savp);
    assert!(lines(&offer(&off), "a=crypto").is_empty());
    assert_eq!(offer(&off.plain()), offer(&off));
}

#[test]
fn both_sides_find_the_same_keys() {
    for policy in [SrtpPolicy::Prefer, SrtpPolicy::Require] {
        for profile in [SrtpProfile::Savp, SrtpProfile::Avp] {
            let near = caller(policy, profile);
            let (answered, theirs) = answer(&callee(), &offer(&near)).unwrap();
            let ours = accept_answer(&near, &answered).unwrap();
            let (ours, theirs) = (ours.secured.unwrap(), theirs.secured.unwrap());
            assert_eq!(ours.keys.ours, theirs.keys.theirs);
            assert_eq!(ours.keys.theirs, theirs.keys.ours);
            assert_ne!(ours.keys.ours, ours.keys.theirs);
            assert_eq!(ours.keys.suite, SrtpSuite::AesCm128HmacSha1_80);
            assert_eq!(lines(&answered, "a=crypto:1 ").len(), 1);
            assert_eq!(lines(&answered, "a=crypto").len(), 1);
        }
    }
}

#[test]
fn a_line_counts_only_when_all_of_it_is_understood() {
    let near = caller(SrtpPolicy::Require, SrtpProfile::Savp);
    let gcm = "inline:AAECAwQFBgcICQoLDA0OD1F1aWQgcHJvIHF1bw";
    for (line, counts) in [
        (format!("1 AES_CM_128_HMAC_SHA1_80 {KEY_30}"), true),
        (format!("1 aes_cm_128_hmac_sha1_80 {KEY_30}"), true),
        (format!("1 AES_CM_128_HMAC_SHA1_80 {KEY_30}|2^31"), true),
        (format!("1 AES_CM_128_HMAC_SHA1_80 {KEY_30}|1048576"), true),
        (format!("3 AES_CM_128_HMAC_SHA1_32 {KEY_30}|2^48 WSH=64"), true),
        (format!("1 AES_CM_128_HMAC_SHA1_80 {KEY_30} -FOO=1"), true),
        (format!("2 AEAD_AES_128_GCM {gcm}"), true),
        (format!("2 AEAD_AES_128_GCM {gcm}=="), true),
        // Tag and suite must be of one line that we offered.
        (format!("2 AES_CM_128_HMAC_SHA1_80 {KEY_30}"), false),
        (format!("4 AES_CM_128_HMAC_SHA1_80 {KEY_30}"), false),
        (format!("x AES_CM_128_HMAC_SHA1_80 {KEY_30}"), false),
        (format!("0000000001 AES_CM_128_HMAC_SHA1_80 {KEY_30}"), false),
        (format!("1 AES_256_CM_HMAC_SHA1_80 {KEY_30}"), false),
        // MKI, several keys, lifetimes that end within a call, or that no key has.
        (format!("1 AES_CM_128_HMAC_SHA1_80 {KEY_30}|2^20|1:4"), false),
        (format!("1 AES_CM_128_HMAC_SHA1_80 {KEY_30}|1:4"), false),
        (format!("1 AES_CM_128_HMAC_SHA1_80 {KEY_30};{KEY_30}"), false),
        (format!("1 AES_CM_128_HMAC_SHA1_80 {KEY_30}|2^10"), false),
        (format!("1 AES_CM_128_HMAC_SHA1_80 {KEY_30}|2^64"), false),
        (format!("1 AES_CM_128_HMAC_SHA1_80 {KEY_30}|2^99999999999"), false),
        (format!("1 AES_CM_128_HMAC_SHA1_80 {KEY_30}|3^20"), false),
        // Another packet than we make.
        (
            format!("1 AES_CM_128_HMAC_SHA1_80 {KEY_30} UNENCRYPTED_SRTP"),
            false,
        ),
        (
            format!("1 AES_CM_128_HMAC_SHA1_80 {KEY_30} UNENCRYPTED_SRTCP"),
            false,
        ),
        (
            format!("1 AES_CM_128_HMAC_SHA1_80 {KEY_30} UNAUTHENTICATED_SRTP"),
            false,
        ),
        (format!("1 AES_CM_128_HMAC_SHA1_80 {KEY_30} KDR=1"), false),
        // Broken keys.
        (format!("1 AES_CM_128_HMAC_SHA1_80 {gcm}"), false),
        (format!("1 AES_CM_128_HMAC_SHA1_80 {KEY_30}AAAA"), false),
        ("1 AES_CM_128_HMAC_SHA1_80 inline:".to_owned(), false),
        ("1 AES_CM_128_HMAC_SHA1_80 inline:§".to_owned(), false),
        ("1 AES_CM_128_HMAC_SHA1_80".to_owned(), false),
        (String::new(), false),
    ] {
        let line = format!("a=crypto:{line}");
        let answered = body(&["m=audio 4000 RTP/SAVP 0", &line]);
        let secured = accept_answer(&near, &answered).map(|agreed| agreed.secured.is_some());
        if counts {
            assert_eq!(secured, Ok(true), "{line}");
        } else {
            let told = secured.unwrap_err().to_string();
            assert!(
                told.starts_with("expected a=crypto with a key for one of"),
                "{told}"
            );
            assert!(!told.contains("inline"), "{told}");
        }
    }
}

#[test]
fn an_answer_without_keys_is_an_answer_only_where_none_are_needed() {
    use SrtpPolicy::{Prefer, Require};
    use SrtpProfile::{Avp, Savp};
    let crypto = format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 {KEY_30}");
    let other = format!("a=crypto:1 F8_128_HMAC_SHA1_80 {KEY_30}");
    let savp = "expected an audio stream over RTP/SAVP, got audio 4000 RTP/AVP";
    let avp = "expected an audio stream over RTP/AVP, got audio 4000 RTP/SAVP";
    let none = "expected a=crypto with a key for one of AES_CM_128_HMAC_SHA1_80 AEAD_AES_128_GCM \
        AES_CM_128_HMAC_SHA1_32, got ";
    for (policy, profile, proto, line, expected) in [
        (Require, Savp, "RTP/SAVP", Some(&crypto), Ok(true)),
        (Require, Savp, "RTP/SAVPF", Some(&crypto), Ok(true)),
        (
            Require,
            Savp,
            "RTP/SAVP",
            None,
            Err("none in audio 4000 RTP/SAVP"),
        ),
        (Prefer, Savp, "RTP/SAVP", None, Err("none in audio 4000 RTP/SAVP")),
        (Prefer, Savp, "RTP/SAVP", Some(&other), Err("F8_128_HMAC_SHA1_80")),
        (Prefer, Savp, "RTP/AVP", Some(&crypto), Err(savp)),
        (Prefer, Savp, "RTP/AVP", None, Err(savp)),
        (Require, Avp, "RTP/AVP", Some(&crypto), Ok(true)),
        (Prefer, Avp, "RTP/AVP", Some(&crypto), Ok(true)),
        (Require, Avp, "RTP/AVP", None, Err("none in audio 4000 RTP/AVP")),
        (Prefer, Avp, "RTP/AVP", None, Ok(false)),
        // The peer means SRTP, and we have no key of its: silence would be all that is heard.
        (Prefer, Avp, "RTP/AVP", Some(&other), Err("F8_128_HMAC_SHA1_80")),
        (Prefer, Avp, "RTP/SAVP", Some(&crypto), Err(avp)),
    ] {
        let media = format!("m=audio 4000 {proto} 0");
        let mut answered = vec![media.as_str()];
        answered.extend(line.map(String::as_str));
        let agreed = accept_answer(&caller(policy, profile), &body(&answered));
        let found = agreed
            .map(|agreed| agreed.secured.is_some())
            .map_err(|e| e.to_string());
        let expected = expected.map_err(|told: &str| {
            if told.starts_with("expected") {
                told.to_owned()
            } else {
                format!("{none}{told}")
            }
        });
        assert_eq!(found, expected, "{policy} {profile} {proto} {line:?}");
    }
    let refused = body(&["m=audio 0 RTP/AVP 0"]);
    assert_eq!(
        accept_answer(&caller(Require, Savp), &refused),
        Err(SdpError::Refused)
    );
}

#[test]
fn an_offer_is_answered_with_keys_where_it_brings_some() {
    use SrtpPolicy::{Prefer, Require};
    use SrtpProfile::{Avp, Savp};
    let crypto = format!("a=crypto:7 AES_CM_128_HMAC_SHA1_32 {KEY_30}");
    for (policy, profile, proto, keyed, expected) in [
        (Require, Savp, "RTP/SAVP", true, Some(true)),
        (Prefer, Savp, "RTP/SAVP", true, Some(true)),
        (Prefer, Savp, "RTP/SAVP", false, None),
        (Prefer, Savp, "RTP/AVP", false, Some(false)),
        // Not ours to believe: keys in RTP/AVP count only where the trunk says so.
        (Prefer, Savp, "RTP/AVP", true, Some(false)),
        (Require, Savp, "RTP/AVP", true, None),
        (Require, Avp, "RTP/AVP", true, Some(true)),
        (Prefer, Avp, "RTP/AVP", true, Some(true)),
        (Require, Avp, "RTP/AVP", false, None),
        (Require, Avp, "RTP/SAVP", true, Some(true)),
    ] {
        let media = format!("m=audio 4000 {proto} 0");
        let mut offered = vec![media.as_str()];
        offered.extend(keyed.then_some(crypto.as_str()));
        let result = answer(&caller(policy, profile), &body(&offered)).ok();
        let secured = result.as_ref().map(|(_, agreed)| agreed.secured.is_some());
        assert_eq!(secured, expected, "{policy} {profile} {proto} {keyed}");
        if let Some((answered, _)) = result {
            assert_eq!(lines(&answered, "m="), [format!("m=audio 20000 {proto} 0")]);
            let ours = lines(&answered, "a=crypto:7 AES_CM_128_HMAC_SHA1_32 inline:");
            assert_eq!(ours.len(), usize::from(expected == Some(true)));
        }
    }
    // Of two lines the one with keys is taken, wherever it stands.
    let both = body(&["m=audio 4000 RTP/AVP 0", "m=audio 4002 RTP/SAVP 0", &crypto]);
    let (answered, agreed) = answer(&caller(Prefer, Savp), &both).unwrap();
    assert_eq!(agreed.remote.port(), 4002);
    assert_eq!(
        lines(&answered, "m="),
        ["m=audio 0 RTP/AVP 0", "m=audio 20000 RTP/SAVP 0"]
    );
    let plain = caller(SrtpPolicy::Off, Savp);
    assert_eq!(answer(&plain, &both).unwrap().1.remote.port(), 4000);
}

#[test]
fn a_new_key_of_the_peer_is_taken_and_ours_stays() {
    let near = caller(SrtpPolicy::Require, SrtpProfile::Savp);
    let (answered, _) = answer(&callee(), &offer(&near)).unwrap();
    let before = accept_answer(&near, &answered).unwrap();
    let rekeyed = with(SrtpPolicy::Require, SrtpProfile::Savp, 5);
    let (said, after) = answer(&near.next_version(), &offer(&rekeyed)).unwrap();
    let (old, new) = (before.secured.clone().unwrap(), after.secured.unwrap());
    assert_eq!(new.keys.ours, old.keys.ours);
    assert_ne!(new.keys.theirs, old.keys.theirs);
    assert_eq!(lines(&said, "a=crypto:1 ").len(), 1);
    // Our own offer within the session: the agreed suite alone, under the same tag.
    let again = reoffer(&near, &before);
    assert_eq!(lines(&again, "a=crypto"), lines(&offer(&near), "a=crypto:1 "));
    assert_eq!(lines(&again, "m=audio 20000 RTP/SAVP ").len(), 1);
}
