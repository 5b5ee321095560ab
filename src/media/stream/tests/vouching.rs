//! What a stream vouches for, so that its source may be learnt.
use super::*;
use crate::media::learn::Claim;
use crate::media::srtp::Srtp;
use crate::model::{SrtpKey, SrtpKeys, SrtpSuite};

#[test]
fn only_agreed_payload_types_with_a_payload_are_vouched_for() {
    let bench = Bench::new(config(), 1);
    let claim = Some(Claim {
        ssrc: 9,
        sequence: 7,
        timestamp: 1120,
    });
    assert_eq!(bench.stream.vouch(&packet(9, 7, 0, &[0xff; 160])), claim);
    assert_eq!(bench.stream.vouch(&packet(9, 7, 101, &[11, 0x80, 6, 64])), claim);
    // The other codec, comfort noise and an event that nobody agreed are heard of the peer, and prove no source.
    for payload_type in [8, 9, 13, 96, 127] {
        assert_eq!(
            bench.stream.vouch(&packet(9, 7, payload_type, &[0xff; 160])),
            None
        );
    }
    assert_eq!(bench.stream.vouch(&packet(9, 7, 0, &[])), None);
    let mut old = packet(9, 7, 0, &[0xff; 160]);
    old[0] = 0x40;
    assert_eq!(bench.stream.vouch(&old), None);
    for len in 0..12 {
        assert_eq!(bench.stream.vouch(&old[..len]), None);
    }
    let report = [0x80, 201, 0, 1, 0, 0, 0, 7];
    assert_eq!(bench.stream.vouch(&report), None);
}

#[test]
fn nothing_is_vouched_for_that_the_direction_forbids() {
    let held = StreamConfig {
        receive: false,
        ..config()
    };
    let bench = Bench::new(held, 1);
    assert_eq!(bench.stream.vouch(&packet(9, 7, 0, &[0xff; 160])), None);
}

#[test]
fn under_keys_only_authentic_packets_are_and_they_pass_afterwards() {
    for suite in SrtpSuite::ALL {
        let mut entropy = Entropy::from_number(3);
        let keys = SrtpKeys {
            suite: *suite,
            ours: SrtpKey::draw(*suite, &mut entropy),
            theirs: SrtpKey::draw(*suite, &mut entropy),
        };
        let far = SrtpKeys {
            ours: keys.theirs.clone(),
            theirs: keys.ours.clone(),
            ..keys.clone()
        };
        let mut bench = Bench::new(
            StreamConfig {
                srtp: Some(Box::new(keys)),
                ..config()
            },
            1,
        );
        let mut peer = Srtp::new(&far).unwrap();
        let plain = packet(9, 7, 101, &[11, 0x80, 6, 64]);
        let mut sealed = [0; 1500];
        sealed[..plain.len()].copy_from_slice(&plain);
        let len = peer.seal_rtp(&mut sealed, plain.len()).unwrap();
        let sealed = &mut sealed[..len];
        assert_eq!(bench.stream.vouch(&plain), None, "{suite}");
        for _ in 0..3 {
            assert!(bench.stream.vouch(sealed).is_some(), "{suite}");
        }
        for octet in 12..sealed.len() {
            sealed[octet] ^= 1;
            assert_eq!(bench.stream.vouch(sealed), None, "{suite}: octet {octet}");
            sealed[octet] ^= 1;
        }
        assert_eq!(bench.stream.rejects(), Rejects::default());
        bench.takes(sealed);
        assert_eq!(bench.keys(), "#", "{suite}");
        assert_eq!(bench.stream.vouch(sealed), None, "{suite}: it came before");
    }
}
