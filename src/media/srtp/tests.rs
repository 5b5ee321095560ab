//! Known answers of the RFCs, and what must not pass.
use proptest::prelude::*;

use super::cipher::{Cipher, Part, Place, SessionKeys};
use super::*;
use crate::model::{Entropy, SrtpSuite};

fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex
        .chars()
        .filter_map(|c| c.to_digit(16))
        .map(|d| d as u8)
        .collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn key(suite: SrtpSuite, hex: &str) -> SrtpKey {
    SrtpKey::from_octets(suite, &octets(hex)).unwrap()
}

/// Two ends that have each other's keys.
fn ends(suite: SrtpSuite) -> (Srtp, Srtp) {
    let mut entropy = Entropy::from_number(3);
    let (ours, theirs) = (
        SrtpKey::draw(suite, &mut entropy),
        SrtpKey::draw(suite, &mut entropy),
    );
    let keys = SrtpKeys { suite, ours, theirs };
    (Srtp::new(&keys).unwrap(), Srtp::new(&turned(&keys)).unwrap())
}

fn turned(keys: &SrtpKeys) -> SrtpKeys {
    SrtpKeys {
        suite: keys.suite,
        ours: keys.theirs.clone(),
        theirs: keys.ours.clone(),
    }
}

fn packet(sequence: u16, ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(sequence.to_be_bytes());
    packet.extend([0, 0, 0, 7]);
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0x55; 160]);
    packet
}

fn sealed(srtp: &mut Srtp, packet: &[u8]) -> Vec<u8> {
    let mut buffer = [0; 1500];
    buffer[..packet.len()].copy_from_slice(packet);
    let len = srtp.seal_rtp(&mut buffer, packet.len()).unwrap();
    buffer[..len].to_vec()
}

fn sealed_rtcp(srtp: &mut Srtp, packet: &[u8]) -> Vec<u8> {
    let mut buffer = [0; 1500];
    buffer[..packet.len()].copy_from_slice(packet);
    let len = srtp.seal_rtcp(&mut buffer, packet.len()).unwrap();
    buffer[..len].to_vec()
}

fn opened(srtp: &mut Srtp, datagram: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut plain = [0; 1500];
    srtp.open_rtp(datagram, &mut plain).map(<[u8]>::to_vec)
}

fn opened_rtcp(srtp: &mut Srtp, datagram: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut plain = [0; 1500];
    srtp.open_rtcp(datagram, &mut plain).map(<[u8]>::to_vec)
}

#[test]
fn session_keys_are_those_of_rfc_3711_appendix_b3() {
    let master = key(
        SrtpSuite::AesCm128HmacSha1_80,
        "E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6",
    );
    let keys = SessionKeys::derive(&master, Part::Rtp).unwrap();
    assert_eq!(
        keys.encryption.to_vec(),
        octets("C61E7A93744F39EE10734AFE3FF7A087")
    );
    assert_eq!(keys.salt.to_vec(), octets("30CBBC08863D8C85D49DB34A9AE1"));
    let authentication = octets("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4");
    assert_eq!(keys.authentication.to_vec(), authentication);
}

#[test]
fn the_keystream_is_that_of_rfc_3711_appendix_b2() {
    let keys = SessionKeys {
        encryption: octets("2B7E151628AED2A6ABF7158809CF4F3C").try_into().unwrap(),
        authentication: [0; 20],
        salt: octets("F0F1F2F3F4F5F6F7F8F9FAFBFCFD").try_into().unwrap(),
    };
    let cipher = Cipher::with(SrtpSuite::AesCm128HmacSha1_80, Part::Rtp, &keys).unwrap();
    let mut buffer = [0; 12 + 48 + 10];
    let place = Place { ssrc: 0, index: 0 };
    cipher.seal_rtp(place, &mut buffer, 12, 12 + 48).unwrap();
    let expected = octets(
        "E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB 41E95B3BB0A2E8DD477901E4FCA894C0",
    );
    assert_eq!(buffer[12..60].to_vec(), expected);
}

#[test]
fn gcm_gives_the_packet_of_rfc_7714_section_16() {
    let mut salt = [0; 14];
    salt[..12].copy_from_slice(&octets("517569642070726f2071756f"));
    let keys = SessionKeys {
        encryption: octets("000102030405060708090a0b0c0d0e0f").try_into().unwrap(),
        authentication: [0; 20],
        salt,
    };
    let cipher = Cipher::with(SrtpSuite::AeadAes128Gcm, Part::Rtp, &keys).unwrap();
    let mut packet = octets("8040f17b 8041f8d3 5501a0b2");
    packet.extend(b"Gallia est omnis divisa in partes tres");
    let plain = packet.clone();
    let len = packet.len();
    packet.resize(len + 16, 0);
    let place = Place {
        ssrc: 0x5501_a0b2,
        index: 0xf17b,
    };
    cipher.seal_rtp(place, &mut packet, 12, len).unwrap();
    let expected = octets(
        "8040f17b 8041f8d3 5501a0b2 f24de3a3fb34de6cacba861c9d7e4bca be633bd50d294e6f42a5f47a51c7d19b 36de3adf8833
         899d7f27beb16a9152cf765ee4390cce",
    );
    assert_eq!(packet, expected);
    let mut opened = [0; 100];
    assert_eq!(cipher.open_rtp(place, &packet, 12, &mut opened), Ok(len));
    assert_eq!(opened[..len].to_vec(), plain);
}

/// Known answers that libsrtp tests itself with: keys derived, packets whole.
#[test]
fn whole_packets_are_those_of_libsrtp() {
    for (suite, master, rtp, rtcp) in [
        (
            SrtpSuite::AesCm128HmacSha1_80,
            "e1f97a0d3e018be0d64fa32c06de4139 0ec675ad498afeebb6960b3aabe6",
            "800f1234 decafbad cafebabe 4e55dc4ce79978d88ca4d215949d2402 b78d6acc99ea179b8dbb",
            "81c8000b cafebabe 7128035be487b9bdbef89041f977a5a8 80000001 993e08cd54d6c1230798",
        ),
        (
            SrtpSuite::AeadAes128Gcm,
            "000102030405060708090a0b0c0d0e0f a0a1a2a3a4a5a6a7a8a9aaab",
            "800f1234 decafbad cafebabe c5002ede04cfdd2eb91159e0880aa06e d2976826f796b201df3131a127e8a392",
            "81c8000b cafebabe c98b8b5df0392a55852b6c21ac8e7025 c52c6fbea2b3b446ea31123ba88ce61e 80000001",
        ),
    ] {
        let master = key(suite, master);
        let keys = SrtpKeys {
            suite,
            ours: master.clone(),
            theirs: master,
        };
        let mut srtp = Srtp::new(&keys).unwrap();
        let mut plain = octets("800f1234 decafbad cafebabe");
        plain.extend([0xab; 16]);
        assert_eq!(sealed(&mut srtp, &plain), octets(rtp), "{suite}");
        assert_eq!(opened(&mut srtp, &octets(rtp)), Ok(plain));
        let mut plain = octets("81c8000b cafebabe");
        plain.extend([0xab; 16]);
        assert_eq!(sealed_rtcp(&mut srtp, &plain), octets(rtcp), "{suite}");
        assert_eq!(opened_rtcp(&mut srtp, &octets(rtcp)), Ok(plain));
    }
}

#[test]
fn every_octet_is_authenticated_and_a_failure_changes_nothing() {
    for suite in SrtpSuite::ALL {
        let (mut near, mut far) = ends(*suite);
        let good = sealed(&mut near, &packet(9, 1));
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(opened(&mut far, &bad).is_err(), "{suite} octet {at}");
        }
        assert!(far.heard.is_empty());
        assert_eq!(opened(&mut far, &good), Ok(packet(9, 1)), "{suite}");
        // A forged packet far ahead does not move the window.
        let mut ahead = sealed(&mut near, &packet(5000, 1));
        ahead[30] ^= 1;
        assert_eq!(opened(&mut far, &ahead), Err(SrtpError::NotAuthentic));
        let next = sealed(&mut ends(*suite).0, &packet(10, 1));
        assert_eq!(opened(&mut far, &next), Ok(packet(10, 1)));
        // What is no SRTP at all.
        assert!(opened(&mut far, &packet(11, 1)).is_err());
    }
}

#[test]
fn reports_are_authenticated_too_and_never_taken_in_the_clear() {
    let mut plain = octets("81c8000b cafebabe");
    plain.extend([0xab; 44]);
    for suite in SrtpSuite::ALL {
        let (mut near, mut far) = ends(*suite);
        let good = sealed_rtcp(&mut near, &plain);
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(opened_rtcp(&mut far, &bad).is_err(), "{suite} octet {at}");
        }
        let word_at = match suite {
            SrtpSuite::AeadAes128Gcm => good.len() - 4,
            SrtpSuite::AesCm128HmacSha1_80 | SrtpSuite::AesCm128HmacSha1_32 => good.len() - 14,
        };
        let mut clear = good.clone();
        clear[word_at] &= 0x7f;
        assert_eq!(opened_rtcp(&mut far, &clear), Err(SrtpError::InTheClear));
        assert_eq!(opened_rtcp(&mut far, &good).as_ref(), Ok(&plain), "{suite}");
        assert_eq!(opened_rtcp(&mut far, &good), Err(SrtpError::Replayed));
        let next = sealed_rtcp(&mut near, &plain);
        assert_ne!(next, good);
        assert_eq!(opened_rtcp(&mut far, &next).as_ref(), Ok(&plain));
    }
}

#[test]
fn a_packet_passes_once_in_whatever_order_and_old_ones_not_at_all() {
    let (mut near, mut far) = ends(SrtpSuite::AesCm128HmacSha1_80);
    let sent: Vec<Vec<u8>> = (0..400).map(|n| sealed(&mut near, &packet(n, 1))).collect();
    for n in [0_u16, 2, 1, 5, 3] {
        let datagram = &sent[usize::from(n)];
        assert_eq!(opened(&mut far, datagram), Ok(packet(n, 1)));
        assert_eq!(opened(&mut far, datagram), Err(SrtpError::Replayed));
    }
    assert!(opened(&mut far, &sent[300]).is_ok());
    assert_eq!(
        opened(&mut far, &sent[300 - 128]),
        Err(SrtpError::Replayed),
        "older than the window"
    );
    assert!(opened(&mut far, &sent[300 - 127]).is_ok());
    for n in [0, 1, 2, 3, 4, 5] {
        assert_eq!(opened(&mut far, &sent[n]), Err(SrtpError::Replayed));
    }
}

#[test]
fn the_rollover_counter_follows_the_sequence_number_on_both_sides() {
    let (mut near, mut far) = ends(SrtpSuite::AeadAes128Gcm);
    for n in 0..200_000_u32 {
        let sequence = (n as u16).wrapping_add(60_000);
        let datagram = sealed(&mut near, &packet(sequence, 1));
        // A part is lost, and some packets come late.
        if n % 7 != 3 {
            assert!(opened(&mut far, &datagram).is_ok(), "packet {n}");
        }
    }
    assert_eq!(far.heard[0].highest >> 16, 3);
    assert_eq!(near.sent.map(|index| index >> 16), Some(3));
    // A sender that wraps before its first packet arrives.
    let (mut near, mut far) = ends(SrtpSuite::AesCm128HmacSha1_32);
    sealed(&mut near, &packet(65_535, 1));
    let wrapped = sealed(&mut near, &packet(0, 1));
    assert_eq!(opened(&mut far, &wrapped), Ok(packet(0, 1)));
}

#[test]
fn a_new_key_of_the_peer_is_followed_whether_it_keeps_its_counter_or_not() {
    let suite = SrtpSuite::AesCm128HmacSha1_80;
    for keeps_counter in [true, false] {
        let (mut near, mut far) = ends(suite);
        for sequence in [65_535, 0] {
            let datagram = sealed(&mut near, &packet(sequence, 1));
            opened(&mut far, &datagram).unwrap();
        }
        let mut keys = far.keys.clone();
        keys.theirs = SrtpKey::draw(suite, &mut Entropy::from_number(77));
        let old = sealed(&mut near, &packet(1, 1));
        far.rekey(&keys).unwrap();
        if keeps_counter {
            near.rekey(&turned(&keys)).unwrap();
        } else {
            near = Srtp::new(&turned(&keys)).unwrap();
        }
        assert_eq!(opened(&mut far, &old), Err(SrtpError::NotAuthentic));
        let first = sealed(&mut near, &packet(2, 1));
        assert_eq!(opened(&mut far, &first), Ok(packet(2, 1)), "{keeps_counter}");
        assert_eq!(opened(&mut far, &first), Err(SrtpError::Replayed));
    }
}

#[test]
fn the_same_keys_again_begin_nothing_anew() {
    let (mut near, _) = ends(SrtpSuite::AeadAes128Gcm);
    sealed(&mut near, &packet(65_535, 1));
    sealed(&mut near, &packet(0, 1));
    let keys = near.keys.clone();
    near.rekey(&keys).unwrap();
    assert_eq!(near.sent, Some(1 << 16));
}

#[test]
fn sources_are_bounded_and_only_authentic_ones_take_a_place() {
    let (mut near, mut far) = ends(SrtpSuite::AesCm128HmacSha1_80);
    for ssrc in 0..1000 {
        assert!(opened(&mut far, &packet(1, ssrc)).is_err());
    }
    assert!(far.heard.is_empty());
    for ssrc in 0..10 {
        near.sent = None;
        let datagram = sealed(&mut near, &packet(1, ssrc));
        assert!(opened(&mut far, &datagram).is_ok());
    }
    assert_eq!(far.heard.len(), SOURCES_MAX);
}

#[test]
fn header_extensions_and_csrcs_stay_clear_and_count() {
    for suite in SrtpSuite::ALL {
        let (mut near, mut far) = ends(*suite);
        let mut long = octets("92000001 00000007 00000001 0000000a 0000000b bede0001 10ff0000");
        long.extend([0x77; 20]);
        let datagram = sealed(&mut near, &long);
        assert_eq!(datagram[..28], long[..28]);
        assert_ne!(datagram[28..48], long[28..48]);
        assert_eq!(opened(&mut far, &datagram), Ok(long));
    }
}

proptest! {
    #[test]
    fn no_octets_panic(datagram in proptest::collection::vec(any::<u8>(), 0..200), small in 0_usize..64) {
        for suite in SrtpSuite::ALL {
            let (mut near, mut far) = ends(*suite);
            let mut plain = [0; 1500];
            prop_assert!(far.open_rtp(&datagram, &mut plain).is_err());
            prop_assert!(far.open_rtcp(&datagram, &mut plain).is_err());
            prop_assert!(far.open_rtp(&datagram, &mut plain[..small]).is_err());
            let mut buffer = datagram.clone();
            let _ = near.seal_rtp(&mut buffer, datagram.len().min(small));
            let _ = near.seal_rtcp(&mut buffer, datagram.len().min(small));
        }
    }
}
