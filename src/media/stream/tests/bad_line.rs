//! Many presses over a bad line, in virtual time: 5 % of the packets lost, 5 % doubled, 5 % overtaken, each up to 40 ms late.
use std::collections::BTreeMap;

use super::*;

const PRESSES: usize = 2000;
const JITTER_MS: u64 = 40;
/// As a telephone keys them: its key is held this long, and as long or longer nothing is.
const TONE_MS: u16 = 120;
const GAP_MS: u16 = 120;

/// What is on its way, by the time of its arrival.
struct Line {
    entropy: Entropy,
    packets: BTreeMap<(Instant, u32), Vec<u8>>,
    sent: u32,
}

impl Line {
    fn carry(&mut self, now: Instant, sent: Vec<Sent>) {
        for packet in sent {
            let at = now + ms(self.entropy.below(JITTER_MS + 1));
            self.sent += 1;
            self.packets.insert((at, self.sent), packet.octets);
        }
    }

    fn arrived(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let later = self.packets.split_off(&(now, u32::MAX));
        std::mem::replace(&mut self.packets, later)
            .into_values()
            .collect()
    }

    fn next(&self) -> Option<Instant> {
        self.packets.first_key_value().map(|((at, _), _)| *at)
    }
}

/// One call in which ten keys are pressed; what was heard of them.
fn ten_keys(config: &StreamConfig, transport: KeyTransport, seed: u64, keys: &str) -> String {
    let (mut phone, mut server) = (
        Bench::new(config.clone(), seed),
        Bench::new(config.clone(), seed + 7),
    );
    server.now = phone.now;
    let mut line = Line {
        entropy: Entropy::from_number(seed + 13),
        packets: BTreeMap::new(),
        sent: 0,
    };
    phone.command(MediaCommand::Impair(Impairment {
        drop_per_mille: 50,
        duplicate_per_mille: 50,
        reorder_per_mille: 50,
    }));
    server.command(MediaCommand::Answered);
    let (began, mut is_keying) = (phone.now, false);
    let end = began + ms(1000 + 10 * u64::from(TONE_MS + GAP_MS));
    while phone.now < end {
        if !is_keying && phone.now >= began + ms(300) {
            is_keying = true;
            phone.command(MediaCommand::SendDigits {
                digits: Digits::parse(keys).unwrap(),
                keying: Keying {
                    transport: Some(transport),
                    tone_ms: TONE_MS,
                    gap_ms: GAP_MS,
                    ..Keying::default()
                },
            });
        }
        let dues = [
            Some(phone.stream.next_due()),
            Some(server.stream.next_due()),
            line.next(),
        ];
        let next = dues.into_iter().flatten().min().unwrap();
        (phone.now, server.now) = (phone.now.max(next), server.now.max(next));
        line.carry(phone.now, phone.due());
        for octets in line.arrived(server.now) {
            server.takes(&octets);
        }
        server.due();
    }
    server.keys()
}

/// Keys that were heard in their place: a lost one shifts nothing, one heard twice or not pressed is found.
fn heard_of(pressed: &str, heard: &str) -> (usize, usize) {
    let mut rest = pressed.chars();
    let (mut right, mut extra) = (0, 0);
    for key in heard.chars() {
        match rest.clone().position(|pressed| pressed == key) {
            Some(place) => {
                right += 1;
                rest.nth(place);
            }
            None => extra += 1,
        }
    }
    (right, extra)
}

fn presses_over_a_bad_line(transport: KeyTransport) {
    // No key twice in a call: what is heard twice is then seen.
    const KEYS: [&str; 4] = ["1234567890", "#5*9173264", "8024#6*135", "*0#9876541"];
    let negotiated = (transport == KeyTransport::Rfc4733).then_some(101);
    let config = StreamConfig {
        telephone_event: negotiated,
        ..config()
    };
    let (mut right, mut extra) = (0, 0);
    for (seed, keys) in (0..PRESSES / 10).zip(KEYS.into_iter().cycle()) {
        let heard = ten_keys(&config, transport, 31 * seed as u64, keys);
        let (found, more) = heard_of(keys, &heard);
        right += found;
        extra += more;
    }
    println!("{transport}: {right} of {PRESSES} heard once, {extra} more than pressed");
    assert_eq!(extra, 0, "heard and not pressed, or twice");
    assert!(right * 1000 >= PRESSES * 995, "{right} of {PRESSES}");
}

#[test]
fn two_thousand_events_over_a_bad_line_are_heard_once_each() {
    presses_over_a_bad_line(KeyTransport::Rfc4733);
}

#[test]
fn two_thousand_tones_over_a_bad_line_are_heard_once_each() {
    presses_over_a_bad_line(KeyTransport::Inband);
}
