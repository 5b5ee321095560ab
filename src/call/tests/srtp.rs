//! Keys in the offer: what the callee does with them decides about the leg.
use super::world::SDP;
use super::*;
use crate::model::{Reason, SrtpPolicy, SrtpProfile, SrtpSuite};

const CRYPTO: &str =
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^31\r\n";
const OTHER: &str = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj\r\n";

fn keyed(policy: SrtpPolicy, profile: SrtpProfile) -> CallSpec {
    CallSpec {
        srtp: policy,
        srtp_profile: profile,
        ..spec(Method::PressKey)
    }
}

fn savp(crypto: &str) -> String {
    format!("{}{crypto}", SDP.replace("RTP/AVP", "RTP/SAVP"))
}

fn answered_with(spec: CallSpec, sdp: String) -> World {
    let mut world = World::new(spec);
    world.at(100, Act::Provisional(180, None));
    world.at(1000, Act::Answer(Some(sdp)));
    world.at(1050, Act::Media(crate::media::command::MediaEvent::Heard));
    world.run_to(1100);
    world
}

#[test]
fn an_answer_with_a_key_gives_an_encrypted_leg_and_the_report_names_the_suite() {
    let mut world = answered_with(keyed(SrtpPolicy::Require, SrtpProfile::Savp), savp(CRYPTO));
    let offer = world.last_offer.clone().unwrap();
    assert!(offer.contains("m=audio 20000 RTP/SAVP"), "{offer}");
    let keys = world.stream().unwrap().srtp.clone().unwrap();
    assert_eq!(keys.suite, SrtpSuite::AesCm128HmacSha1_80);
    // A re-offer with the same key changes nothing, one with another is followed; ours stays.
    world.does(Act::Offer(savp(OTHER).replace("o=- 1 1", "o=- 1 2")));
    world.run_for(200);
    let after = world.stream().unwrap().srtp.clone().unwrap();
    assert_eq!(after.ours, keys.ours);
    assert_ne!(after.theirs, keys.theirs);
    let said = world.last_sdp.clone().unwrap();
    assert!(
        said.contains("RTP/SAVP") && said.contains("a=crypto:1 "),
        "{said}"
    );
    // An offer without keys is refused, and the encrypted talk goes on.
    world.does(Act::Offer(SDP.replace("o=- 1 1", "o=- 1 3")));
    world.run_for(200);
    assert_eq!(world.sent("488 INVITE"), 1);
    assert_eq!(world.stream().unwrap().srtp, Some(after));
    world.run_to(4500);
    world.press('#');
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::KeyConfirmed));
    let (_, report, _) = world.finished().unwrap();
    assert_eq!(report.srtp, Some(SrtpSuite::AesCm128HmacSha1_80));
}

#[test]
fn an_answer_without_a_key_ends_the_call_and_nothing_is_sent_in_the_clear() {
    for (policy, profile, sdp) in [
        (SrtpPolicy::Require, SrtpProfile::Savp, savp("")),
        (SrtpPolicy::Require, SrtpProfile::Savp, SDP.to_owned()),
        (SrtpPolicy::Prefer, SrtpProfile::Savp, savp("")),
        (SrtpPolicy::Require, SrtpProfile::Avp, SDP.to_owned()),
    ] {
        let mut world = answered_with(keyed(policy, profile), sdp.clone());
        world.run_out();
        assert_eq!(world.reason(), Some(Reason::CodecMismatch), "{policy} {sdp}");
        assert_eq!(world.stream(), None, "{policy} {sdp}");
        let (_, report, _) = world.finished().unwrap();
        assert_eq!(report.flags, ["no_srtp_key"]);
        assert_eq!(world.sent("BYE"), 1);
    }
}

#[test]
fn a_preferred_key_under_avp_is_used_where_the_answer_has_one() {
    let prefer = || keyed(SrtpPolicy::Prefer, SrtpProfile::Avp);
    let world = answered_with(prefer(), format!("{SDP}{CRYPTO}"));
    assert!(world.stream().unwrap().srtp.is_some());
    let world = answered_with(prefer(), SDP.to_owned());
    assert!(world.stream().unwrap().srtp.is_none());
    assert_eq!(world.sent("INVITE"), 1);
}

#[test]
fn a_peer_that_takes_no_savp_is_called_once_more_in_the_clear() {
    let mut world = World::new(keyed(SrtpPolicy::Prefer, SrtpProfile::Savp));
    world.at(100, Act::Reject(488, vec![]));
    world.at(300, Act::Provisional(180, None));
    world.at(1000, Act::Answer(Some(SDP.to_owned())));
    world.at(1050, Act::Media(crate::media::command::MediaEvent::Heard));
    world.run_to(1100);
    assert_eq!(world.sent("INVITE"), 2);
    let offer = world.last_offer.clone().unwrap();
    assert!(offer.contains("RTP/AVP") && !offer.contains("crypto"), "{offer}");
    assert_eq!(world.stream().unwrap().srtp, None);
    world.run_to(4500);
    world.press('#');
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::KeyConfirmed));
    let (_, report, _) = world.finished().unwrap();
    assert_eq!((report.srtp, report.codec.as_deref()), (None, Some("PCMU")));
}

#[test]
fn where_keys_are_required_or_a_telephone_rang_the_refusal_stands() {
    let mut required = World::new(keyed(SrtpPolicy::Require, SrtpProfile::Savp));
    required.at(100, Act::Reject(488, vec![]));
    let mut rang = World::new(keyed(SrtpPolicy::Prefer, SrtpProfile::Savp));
    rang.at(100, Act::Provisional(180, None));
    rang.at(500, Act::Reject(488, vec![]));
    let mut twice = World::new(keyed(SrtpPolicy::Prefer, SrtpProfile::Savp));
    twice.at(100, Act::Reject(488, vec![]));
    twice.at(300, Act::Reject(488, vec![]));
    for (mut world, invites) in [(required, 1), (rang, 1), (twice, 2)] {
        world.run_out();
        assert_eq!(world.reason(), Some(Reason::CodecMismatch));
        assert_eq!(world.sent("INVITE"), invites);
    }
}
