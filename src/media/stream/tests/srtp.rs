//! A stream under keys: nothing leaves in the clear, and nothing else is believed.
use super::*;
use crate::media::srtp::Srtp;
use crate::model::{SrtpKey, SrtpKeys, SrtpSuite};

fn keys(suite: SrtpSuite, seed: u64) -> (SrtpKeys, SrtpKeys) {
    let mut entropy = Entropy::from_number(seed);
    let (ours, theirs) = (
        SrtpKey::draw(suite, &mut entropy),
        SrtpKey::draw(suite, &mut entropy),
    );
    let near = SrtpKeys {
        suite,
        ours: ours.clone(),
        theirs: theirs.clone(),
    };
    let far = SrtpKeys {
        suite,
        ours: theirs,
        theirs: ours,
    };
    (near, far)
}

fn under(keys: &SrtpKeys) -> StreamConfig {
    StreamConfig {
        remote_rtcp: Some("192.0.2.1:4001".parse().unwrap()),
        srtp: Some(Box::new(keys.clone())),
        ..config()
    }
}

fn opened(srtp: &mut Srtp, sent: &Sent) -> Vec<u8> {
    let mut plain = [0; 1500];
    srtp.open_rtp(&sent.octets, &mut plain).unwrap().to_vec()
}

#[test]
fn prompt_keys_and_reports_pass_between_two_ends_of_every_suite() {
    for suite in SrtpSuite::ALL {
        let (near, far) = keys(*suite, 4);
        let (mut a, mut b) = (Bench::new(under(&near), 1), Bench::new(under(&far), 2));
        a.play(1, &[clip("hello", 8000)]);
        b.command(digits("42#"));
        talk(&mut a, &mut b, ms(12_000));
        assert_eq!(a.keys(), "42#", "{suite}");
        a.command(MediaCommand::ReportQuality);
        let Some(MediaEvent::Quality(report)) = a.events.last() else {
            panic!("{:?}", a.events)
        };
        assert_eq!(report.packets_lost, 0);
        assert!(report.packets_received > 500, "{report:?}");
        assert_eq!((a.stream.rejects(), b.stream.rejects()), Default::default());
        let reports = std::mem::take(&mut b.reports);
        assert!(!reports.is_empty());
        for report in &reports {
            a.stream.handle_rtcp(a.now, report);
        }
        assert_eq!(a.stream.rejects(), Rejects::default());
        a.stream.handle_rtcp(a.now, &reports[0]);
        assert_eq!(a.stream.rejects().srtp, 1, "a report passes once");
        let mut buffer = [0; 256];
        let len = a.stream.goodbye(a.now, &mut buffer).unwrap();
        assert!(!buffer[..len].windows(2).any(|pair| pair == [0x81, 203]));
    }
}

#[test]
fn what_leaves_is_the_same_packet_encrypted_from_a_low_sequence_number_on() {
    let (near, far) = keys(SrtpSuite::AesCm128HmacSha1_80, 4);
    let hello = clip("hello", 1600);
    for seed in 0..20 {
        let (mut open, mut closed) = (Bench::new(config(), seed), Bench::new(under(&near), seed));
        open.play(1, std::slice::from_ref(&hello));
        closed.play(1, std::slice::from_ref(&hello));
        let (plain, sealed) = (open.run(ms(200)), closed.run(ms(200)));
        let mut srtp = Srtp::new(&far).unwrap();
        for (plain, sealed) in plain.iter().zip(&sealed) {
            assert_eq!(sealed.octets.len(), plain.octets.len() + 10);
            let octets = opened(&mut srtp, sealed);
            assert_eq!(Packet::parse(&octets).unwrap().payload, plain.packet().payload);
        }
        assert!(sealed[0].packet().sequence < 1 << 15);
    }
}

#[test]
fn strangers_change_nothing_and_are_counted() {
    let (near, far) = keys(SrtpSuite::AeadAes128Gcm, 4);
    let (mut a, mut b) = (Bench::new(under(&near), 1), Bench::new(under(&far), 2));
    // In the clear, before the peer was heard: neither source nor key is learnt.
    for n in 0..50 {
        a.takes(&packet(9, n, 0, &[0xff; 160]));
        a.takes(&packet(9, n, 101, &[11, 0x80, 6, 64]));
    }
    assert_eq!(a.stream.rejects().srtp, 100);
    assert!(a.events.is_empty(), "{:?}", a.events);
    b.command(digits("#"));
    talk(&mut a, &mut b, ms(1000));
    assert_eq!(a.keys(), "#");
    assert_eq!(a.stream.rejects().srtp, 100);
    // A press that was recorded is not pressed again.
    b.command(digits("7"));
    let mut recorded = Vec::new();
    b.now = a.now;
    for sent in b.run(ms(500)) {
        recorded.push(sent.octets.clone());
        a.takes(&sent.octets);
    }
    assert_eq!(a.keys(), "#7");
    recorded.iter().for_each(|octets| a.takes(octets));
    assert_eq!(a.keys(), "#7");
    assert_eq!(a.stream.rejects().srtp, 100 + recorded.len() as u64);
}

#[test]
fn an_update_follows_new_keys_and_the_end_of_keys() {
    let (near, far) = keys(SrtpSuite::AesCm128HmacSha1_80, 4);
    let (mut a, mut b) = (Bench::new(under(&near), 1), Bench::new(under(&far), 2));
    talk(&mut a, &mut b, ms(200));
    let fresh = SrtpKey::draw(SrtpSuite::AesCm128HmacSha1_80, &mut Entropy::from_number(99));
    let (mut near, mut far) = (near, far);
    near.theirs = fresh.clone();
    far.ours = fresh;
    a.command(MediaCommand::Update(under(&near)));
    b.command(MediaCommand::Update(under(&far)));
    b.command(digits("5"));
    talk(&mut a, &mut b, ms(1000));
    // The same agreement again changes nothing: no packet is lost over it.
    a.command(MediaCommand::Update(under(&near)));
    talk(&mut a, &mut b, ms(200));
    assert_eq!(a.keys(), "5");
    assert_eq!((a.stream.rejects(), b.stream.rejects()), Default::default());
    a.command(MediaCommand::Update(config()));
    b.command(MediaCommand::Update(config()));
    b.command(digits("6"));
    talk(&mut a, &mut b, ms(1000));
    assert_eq!(a.keys(), "56");
    assert_eq!((a.stream.rejects(), b.stream.rejects()), Default::default());
}

#[test]
fn damage_on_our_own_side_still_leaves_packets_that_open() {
    let (near, far) = keys(SrtpSuite::AeadAes128Gcm, 4);
    let mut bench = Bench::new(under(&near), 6);
    bench.command(MediaCommand::Impair(Impairment {
        drop_per_mille: 100,
        duplicate_per_mille: 100,
        reorder_per_mille: 200,
    }));
    let mut srtp = Srtp::new(&far).unwrap();
    let mut plain = [0; 1500];
    let mut refused = 0;
    let sent = bench.run(ms(4000));
    for sent in &sent {
        match srtp.open_rtp(&sent.octets, &mut plain) {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error, crate::media::srtp::SrtpError::Replayed);
                refused += 1;
            }
        }
    }
    assert!(
        refused > 5 && refused < sent.len() / 4,
        "{refused} of {}",
        sent.len()
    );
}
