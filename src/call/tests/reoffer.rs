use super::world::SDP;
use super::*;
use crate::model::Reason;

fn after(offer: &str) -> World {
    let mut world = World::answered(spec(Method::PressKey));
    world.run_to(2000);
    world.does(Act::Offer(offer.to_owned()));
    world.run_for(200);
    world
}

#[test]
fn hold_stops_our_audio_and_its_end_starts_it_again() {
    for hold in [
        format!("{SDP}a=sendonly\r\n"),
        format!("{SDP}a=inactive\r\n"),
        SDP.replace("c=IN IP4 192.0.2.20", "c=IN IP4 0.0.0.0"),
    ] {
        let mut world = after(&hold);
        let held = world.stream().unwrap();
        // Held by the old way, the address of before is kept.
        assert_eq!(held.remote, address("192.0.2.20:30000"), "{hold}");
        assert_eq!(held.send, hold.contains("sendonly") && held.send, "{hold}");
        world.does(Act::Offer(SDP.replace("o=- 1 1", "o=- 1 3")));
        world.run_for(200);
        let resumed = world.stream().unwrap();
        assert!(resumed.send && resumed.receive, "{hold}");
        assert_eq!(world.sent("200 INVITE"), 2, "{hold}");
        world.run_out();
    }
}

#[test]
fn another_codec_is_followed() {
    let world = after(
        &SDP.replace("0 101", "8 101")
            .replace("rtpmap:0 PCMU", "rtpmap:8 PCMA"),
    );
    assert_eq!(world.stream().unwrap().codec, Codec::Pcma);
    assert_eq!(world.stream().unwrap().payload_type, 8);
}

fn spoken(codec: Codec) -> String {
    let number = codec.static_payload_type();
    SDP.replace("0 101", &format!("{number} 101"))
        .replace("rtpmap:0 PCMU", &format!("rtpmap:{number} {codec}"))
}

#[test]
fn every_codec_of_the_trunk_is_followed_through_the_call_and_the_attempt_names_the_last() {
    let mut spec = spec(Method::PressKey);
    spec.codecs = vec![Codec::Pcmu, Codec::G722, Codec::Pcma];
    let mut world = World::answered(spec);
    world.run_to(1000);
    for (n, codec) in [(2, Codec::G722), (3, Codec::Pcma), (4, Codec::G722)] {
        world.does(Act::Offer(
            spoken(codec).replace("o=- 1 1", &format!("o=- 1 {n}")),
        ));
        world.run_for(200);
        let stream = world.stream().unwrap();
        assert_eq!(
            (stream.codec, stream.payload_type),
            (codec, codec.static_payload_type())
        );
        assert_eq!(stream.telephone_event, Some(101));
        let ours = world.last_sdp.clone().unwrap();
        assert!(
            ours.contains(&format!("a=rtpmap:{} {codec}/8000", codec.static_payload_type())),
            "{ours}"
        );
    }
    world.run_to(4500);
    world.press('#');
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::KeyConfirmed));
    let report = &world.finished().unwrap().1;
    assert_eq!(report.codec.as_deref(), Some("G722"));
}

#[test]
fn an_update_changes_the_codec_as_well() {
    let mut spec = spec(Method::PressKey);
    spec.codecs = vec![Codec::Pcmu, Codec::G722];
    let mut world = World::answered(spec);
    world.run_to(2000);
    world.raw("UPDATE", 7, &spoken(Codec::G722).replace("o=- 1 1", "o=- 1 2"));
    world.run_for(200);
    assert_eq!(world.sent("200 UPDATE"), 1);
    assert_eq!(world.stream().unwrap().codec, Codec::G722);
    world.run_to(4500);
    world.press('#');
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::KeyConfirmed));
}

#[test]
fn a_codec_that_the_trunk_does_not_list_is_refused() {
    let world = after(&spoken(Codec::G722));
    assert_eq!(world.sent("488 INVITE"), 1);
    assert_eq!(world.stream().unwrap().codec, Codec::Pcmu);
}

#[test]
fn a_changed_dtmf_method_is_followed() {
    let world = after(
        &SDP.replace("0 101", "0")
            .replace("a=rtpmap:101 telephone-event/8000\r\n", ""),
    );
    assert_eq!(world.stream().unwrap().telephone_event, None);
    let world = after(&SDP.replace("101", "97"));
    assert_eq!(world.stream().unwrap().telephone_event, Some(97));
}

#[test]
fn an_offer_without_a_common_codec_is_refused_and_the_talk_goes_on() {
    let mut world = after(&SDP.replace("0 101", "18 101").replace("0 PCMU", "18 G729"));
    assert_eq!(world.sent("488 INVITE"), 1);
    assert_eq!(world.stream().unwrap().codec, Codec::Pcmu);
    world.run_to(4500);
    world.press('#');
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::KeyConfirmed));
}

#[test]
fn a_repeated_offer_changes_nothing() {
    let world = after(SDP);
    let updates = world.seen(|seen| matches!(seen, seen::Seen::Update(_)));
    assert!(updates.is_empty());
    assert_eq!(world.sent("200 INVITE"), 1);
}

#[test]
fn an_offer_during_the_goodbye_is_still_answered() {
    let mut world = World::named(spec(Method::PressKey));
    world.press('#');
    world.run_for(50);
    world.does(Act::Offer(SDP.replace("30000", "30004")));
    world.run_for(100);
    assert_eq!(world.sent("200 INVITE"), 1);
    assert_eq!(world.stream().unwrap().remote.port(), 30_004);
    world.run_out();
}

#[test]
fn a_reinvite_without_an_offer_gets_ours_and_its_ack_brings_the_answer() {
    let mut world = World::answered(spec(Method::PressKey));
    world.run_to(2000);
    world.raw("INVITE", 7, "");
    world.run_for(50);
    let ours = world.last_sdp.clone().unwrap();
    assert!(ours.contains("m=audio 20000 RTP/AVP 0 8 101"), "{ours}");
    assert_eq!(world.sent("200 INVITE"), 1);
    world.raw("ACK", 7, &SDP.replace("30000", "30044"));
    world.run_for(50);
    assert_eq!(world.stream().unwrap().remote.port(), 30_044);
    world.run_to(4500);
    world.press('#');
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::KeyConfirmed));
}
