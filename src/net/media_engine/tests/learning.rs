//! Peers that send from elsewhere than SDP says, and strangers who would be taken for them.
use super::*;

fn learning(remote: SocketAddr) -> StreamConfig {
    StreamConfig {
        learn: true,
        ..towards(remote)
    }
}

/// Sends audio for each packet of ours that comes to the address of SDP, until the leg tells what it has learnt.
async fn sends_until_learnt(leg: &mut MediaLeg, real: &mut Peer, named: &Peer) -> MediaEvent {
    for number in 0.. {
        real.sends(leg.local, 0, 6000 + number * 160, &[0xff; 160]).await;
        tokio::select! {
            event = leg.event() => match event {
                Some(event @ MediaEvent::SourceLearnt { .. }) => return event,
                other => panic!("{other:?}"),
            },
            _ = named.hears() => {}
        }
    }
    unreachable!("the loop ends by what it hears")
}

async fn closes(leg: &mut MediaLeg) -> (Vec<MediaEvent>, u64) {
    leg.says(MediaCommand::Close);
    let events = leg
        .events_until(|event| matches!(event, MediaEvent::Quality(_)))
        .await;
    let Some(MediaEvent::Quality(report)) = events.last() else {
        panic!("{events:?}")
    };
    let received = report.packets_received;
    (events, received)
}

fn keys(events: &[MediaEvent]) -> String {
    let keys = events.iter().filter_map(|event| match event {
        MediaEvent::Press(press) => Some(press.digit.as_char()),
        _ => None,
    });
    keys.collect()
}

#[tokio::test]
async fn a_peer_elsewhere_is_followed_with_its_first_key_and_nobody_else_is_heard_then() {
    let engine = engine(2050, 2069, 10);
    let mut leg = engine.open().unwrap();
    let (mut named, mut real, mut stranger) = (Peer::new(1).await, Peer::new(2).await, Peer::new(3).await);
    leg.says(MediaCommand::Start(learning(named.address())));
    named.hears().await;
    real.presses_pound(leg.local).await;
    let learnt = sends_until_learnt(&mut leg, &mut real, &named).await;
    let (agreed, source) = (named.address(), real.address());
    assert_eq!(learnt, MediaEvent::SourceLearnt { agreed, source });
    let (.., from) = real.hears().await;
    assert_eq!(from, leg.local);
    for _ in 0..5 {
        stranger.presses_pound(leg.local).await;
        named.presses_pound(leg.local).await;
    }
    // A later agreement on the same address changes nothing of it.
    leg.says(MediaCommand::Update(StreamConfig {
        ptime_ms: 10,
        ..learning(named.address())
    }));
    while real.hears().await.2.len() != 80 {}
    real.sends(leg.local, 0, 60_000, &[0xff; 160]).await;
    let sent = u64::from(real.sequence);
    until(|| engine.metrics().packets_received >= sent).await;
    let (events, received) = closes(&mut leg).await;
    assert_eq!((keys(&events).as_str(), received), ("#", sent), "{events:?}");
}

#[tokio::test]
async fn a_peer_at_its_own_address_ends_it_at_once_whatever_strangers_send() {
    let engine = engine(2070, 2084, 10);
    let mut leg = engine.open().unwrap();
    let (mut peer, mut stranger) = (Peer::new(1).await, Peer::new(2).await);
    leg.says(MediaCommand::Start(learning(peer.address())));
    peer.hears().await;
    stranger.presses_pound(leg.local).await;
    peer.sends(leg.local, 0, 160, &[0xff; 160]).await;
    assert_eq!(leg.event().await, Some(MediaEvent::FirstPacket));
    for number in 0..10 {
        stranger.presses_pound(leg.local).await;
        peer.sends(leg.local, 0, 320 + number * 160, &[0xff; 160]).await;
        peer.hears().await;
    }
    until(|| engine.metrics().packets_received >= 11).await;
    let (events, received) = closes(&mut leg).await;
    assert_eq!((events.len(), received), (1, 11), "{events:?}");
    assert!(stranger.socket.try_recv(&mut [0; 1500]).is_err());
}

#[tokio::test]
async fn another_address_in_sdp_is_listened_for_afresh() {
    let engine = engine(2086, 2099, 10);
    let mut leg = engine.open().unwrap();
    let (mut first, second, mut real) = (Peer::new(1).await, Peer::new(2).await, Peer::new(3).await);
    leg.says(MediaCommand::Start(learning(first.address())));
    // What came before the start would be thrown away.
    first.hears().await;
    first.sends(leg.local, 0, 160, &[0xff; 160]).await;
    assert_eq!(leg.event().await, Some(MediaEvent::FirstPacket));
    leg.says(MediaCommand::Update(learning(second.address())));
    second.hears().await;
    let learnt = sends_until_learnt(&mut leg, &mut real, &second).await;
    let (agreed, source) = (second.address(), real.address());
    assert_eq!(learnt, MediaEvent::SourceLearnt { agreed, source });
    real.hears().await;
}
