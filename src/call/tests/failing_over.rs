//! More than one target in one call: one outcome, whatever the first target does.
use super::seen::Seen;
use super::world::{DEAD, SDP};
use super::*;
use crate::media::command::MediaEvent;
use crate::model::Reason;
use crate::sip::invite::{Hop, TargetFailure};
use crate::sip::transport::{Destination, SipTransport};

/// The dead target first, then the one that the world plays.
fn spec_with_dead_first(on_silence: bool) -> CallSpec {
    let mut spec = spec(Method::PressKey);
    let alive = std::mem::replace(&mut spec.invite.target, address(DEAD));
    spec.invite.failover = Failover {
        further: vec![Hop {
            destination: Destination {
                transport: SipTransport::Udp,
                address: alive,
                host: alive.ip().to_string(),
            },
            local: spec.invite.local,
            public: None,
            request_uri: spec.invite.request_uri.clone(),
        }],
        on_silence,
    };
    spec
}

fn sent_to_dead(world: &World, method: &str) -> usize {
    world
        .seen(|seen| *seen == Seen::SentToDead(method.to_owned()))
        .len()
}

fn next_targets(world: &World) -> Vec<(u64, TargetFailure)> {
    world
        .log
        .iter()
        .filter_map(|(ms, seen)| match seen {
            Seen::NextTarget(0, failure) => Some((*ms, *failure)),
            _ => None,
        })
        .collect()
}

#[test]
fn a_silent_target_costs_thirty_two_seconds_and_the_call_still_has_its_full_ring_time() {
    let mut world = World::new(spec_with_dead_first(true));
    world.at(33_000, Act::Provisional(180, None));
    world.at(50_000, Act::Answer(Some(SDP.to_owned())));
    world.at(50_100, Act::Media(MediaEvent::FirstPacket));
    world.run_to(50_020 + 700 + 2100);
    world.press('#');
    world.run_out();
    assert_eq!(next_targets(&world), [(32_000, TargetFailure::Silent)]);
    assert_eq!(sent_to_dead(&world, "INVITE"), 7);
    assert_eq!(world.reason(), Some(Reason::KeyConfirmed));
    assert_eq!(world.sent("INVITE"), 1);
    assert!(world.seen(|seen| *seen == Seen::DoubleRing).is_empty());
}

#[test]
fn a_target_that_cannot_be_sent_to_or_says_503_costs_nothing() {
    for act in [Act::TransportError, Act::Dead(503)] {
        let mut world = World::new(spec_with_dead_first(false));
        world.at(50, act);
        world.at(1000, Act::Provisional(180, None));
        world.at(2000, Act::Answer(Some(SDP.to_owned())));
        world.at(2050, Act::Media(MediaEvent::FirstPacket));
        world.run_to(2020 + 700 + 2100);
        world.press('#');
        world.run_out();
        let told = next_targets(&world);
        assert_eq!((told.len(), told[0].0), (1, 50));
        assert_eq!(world.reason(), Some(Reason::KeyConfirmed));
        assert_eq!(sent_to_dead(&world, "INVITE"), 1);
    }
}

#[test]
fn a_target_that_rings_too_late_is_cancelled_while_the_call_goes_on_elsewhere() {
    let mut world = World::new(spec_with_dead_first(true));
    world.at(32_500, Act::Provisional(180, None));
    world.at(33_000, Act::Dead(180));
    world.at(34_000, Act::Answer(Some(SDP.to_owned())));
    world.at(34_050, Act::Media(MediaEvent::FirstPacket));
    world.run_to(34_020 + 700 + 2100);
    world.press('#');
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::KeyConfirmed));
    assert_eq!(
        (sent_to_dead(&world, "CANCEL") >= 1, world.sent("CANCEL")),
        (true, 0)
    );
    assert_eq!(world.seen(|seen| *seen == Seen::DoubleRing).len(), 1);
    let (_, report, _) = world.finished().unwrap();
    assert!(report.flags.iter().any(|flag| flag == "possible_double_ring"));
}

#[test]
fn a_target_that_answers_too_late_is_acknowledged_and_ended_and_the_talk_goes_on() {
    let mut world = World::new(spec_with_dead_first(true));
    world.at(32_500, Act::Answer(Some(SDP.to_owned())));
    world.at(32_550, Act::Media(MediaEvent::FirstPacket));
    world.at(33_000, Act::Dead(200));
    world.run_to(32_520 + 700 + 2100);
    world.press('#');
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::KeyConfirmed));
    assert_eq!(sent_to_dead(&world, "ACK"), 1);
    assert!(sent_to_dead(&world, "BYE") >= 1);
    assert_eq!(world.seen(|seen| *seen == Seen::DoubleRing).len(), 1);
}

#[test]
fn silence_is_final_where_failover_on_timeout_is_off_or_the_call_was_cancelled() {
    let mut world = World::new(spec_with_dead_first(false));
    world.run_out();
    assert_eq!(world.decided().unwrap().0, 32_000);
    assert_eq!(world.reason(), Some(Reason::TrunkDown));
    assert_eq!((world.sent("INVITE"), next_targets(&world).len()), (0, 0));

    let mut world = World::new(spec_with_dead_first(true));
    world.at(1000, Act::Cancel(Reason::ByClient));
    world.run_out();
    assert_eq!(world.reason(), Some(Reason::ByClient));
    assert_eq!((world.sent("INVITE"), next_targets(&world).len()), (0, 0));
}

#[test]
fn when_every_target_is_silent_the_trunk_is_down_once() {
    let mut world = World::new(spec_with_dead_first(true));
    world.peer_hears = false;
    world.run_out();
    assert_eq!(world.decided().unwrap().0, 64_000);
    assert_eq!(world.reason(), Some(Reason::TrunkDown));
    assert_eq!(world.seen(|seen| matches!(seen, Seen::Decided(..))).len(), 1);
    assert_eq!((sent_to_dead(&world, "INVITE"), world.sent("INVITE")), (7, 7));
}
