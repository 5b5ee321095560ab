//! Timelines of telephone-event: regular, lossy, repeated, reordered, and the senders that count in their own way.
use proptest::prelude::*;

use super::*;
use crate::model::Entropy;

const SSRC: u32 = 0x5eed;

#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some origin; only differences count"
)]
fn origin() -> Instant {
    Instant::now()
}

/// One packet of a timeline.
#[derive(Debug, Clone, Copy)]
struct Sent {
    at_ms: u64,
    sequence: u16,
    timestamp: u32,
    event: u8,
    end: bool,
    duration: u16,
}

/// A regular press as a telephone sends it: updates each 20 ms, three end packets.
fn press(at_ms: u64, sequence: u16, timestamp: u32, event: u8, duration_ms: u16) -> Vec<Sent> {
    let updates = duration_ms / 20;
    let mut sent: Vec<Sent> = (1..=updates)
        .map(|n| Sent {
            at_ms: at_ms + u64::from(n - 1) * 20,
            sequence: sequence.wrapping_add(n - 1),
            timestamp,
            event,
            end: n == updates,
            duration: n * 160,
        })
        .collect();
    let last = sent[sent.len() - 1];
    for n in 1..3 {
        sent.push(Sent {
            at_ms: last.at_ms + u64::from(n) * 20,
            sequence: last.sequence.wrapping_add(n),
            ..last
        });
    }
    sent
}

struct Run {
    presses: Vec<(char, u32)>,
    /// When each press was reported, ms.
    began_ms: Vec<u64>,
}

/// Plays a timeline, polling each 20 ms in between as a stream does.
fn run(timeline: &[Sent]) -> Run {
    let start = origin();
    let at = |ms: u64| start + Duration::from_millis(ms);
    let mut receiver = EventReceiver::new(20);
    let mut result = Run {
        presses: Vec::new(),
        began_ms: Vec::new(),
    };
    let mut open: Option<Digit> = None;
    let mut take = |reports: &mut Vec<EventReport>, now_ms: u64| {
        for report in reports.drain(..) {
            match report {
                EventReport::Began { digit, .. } => {
                    assert_eq!(open, None, "a press began inside another");
                    open = Some(digit);
                    result.began_ms.push(now_ms);
                }
                EventReport::Ended { digit, duration_ms } => {
                    assert_eq!(open.take(), Some(digit), "an end without its begin");
                    result.presses.push((digit.as_char(), duration_ms));
                }
            }
        }
    };
    let mut reports = Vec::new();
    let mut now_ms = 0;
    for sent in timeline {
        while now_ms + 20 <= sent.at_ms {
            now_ms += 20;
            receiver.poll(at(now_ms), &mut reports);
            take(&mut reports, now_ms);
        }
        let [high, low] = sent.duration.to_be_bytes();
        let flags = if sent.end { END_BIT } else { 0 } | 10;
        let payload = [sent.event, flags, high, low];
        let packet = EventPacket {
            ssrc: SSRC,
            sequence: sent.sequence,
            timestamp: sent.timestamp,
            payload: &payload,
        };
        receiver.on_packet(at(sent.at_ms), packet, &mut reports).unwrap();
        take(&mut reports, sent.at_ms);
    }
    receiver.poll(at(now_ms + 10_000), &mut reports);
    take(&mut reports, now_ms + 10_000);
    assert_eq!(receiver.poll_timeout(), None);
    result
}

#[test]
fn a_regular_press_is_reported_with_its_second_packet_and_once() {
    let result = run(&press(1000, 40, 8000, 11, 100));
    assert_eq!(result.presses, [('#', 100)]);
    assert_eq!(result.began_ms, [1020]);
}

#[test]
fn a_single_end_packet_is_a_press() {
    let all = press(0, 1, 8000, 11, 100);
    let result = run(&all[all.len() - 1..]);
    assert_eq!(result.presses, [('#', 100)]);
}

#[test]
fn a_lone_packet_without_end_bit_proves_nothing() {
    assert_eq!(run(&press(0, 1, 8000, 11, 100)[..1]).presses, []);
}

#[test]
fn the_same_packet_twice_is_one_piece_of_evidence() {
    let first = press(0, 1, 8000, 11, 100)[0];
    assert_eq!(run(&[first, first, first]).presses, []);
}

#[test]
fn a_lost_end_comes_by_timeout() {
    let result = run(&press(0, 1, 8000, 5, 200)[..4]);
    assert_eq!(result.presses, [('5', 80)]);
}

#[test]
fn a_lost_end_comes_with_the_next_press() {
    let mut timeline = press(0, 1, 8000, 5, 100)[..3].to_vec();
    timeline.extend(press(80, 9, 8640, 6, 100));
    let result = run(&timeline);
    assert_eq!(result.presses, [('5', 60), ('6', 100)]);
}

#[test]
fn the_same_digit_again_is_a_new_press() {
    let mut timeline = press(0, 1, 8000, 11, 60);
    timeline.extend(press(140, 9, 9120, 11, 60));
    assert_eq!(run(&timeline).presses, [('#', 60), ('#', 60)]);
}

#[test]
fn the_same_digit_again_with_all_ends_lost_is_a_new_press() {
    let mut timeline = press(0, 1, 8000, 11, 100)[..4].to_vec();
    timeline.extend(press(180, 12, 9440, 11, 100));
    assert_eq!(run(&timeline).presses, [('#', 80), ('#', 100)]);
}

#[test]
fn a_long_press_in_segments_is_one() {
    // RFC 4733 §2.5.1.3: after 65,535 ticks a segment follows under a new timestamp, no end bit between.
    let mut timeline = Vec::new();
    for n in 0..409_u16 {
        timeline.push(Sent {
            at_ms: u64::from(n) * 20,
            sequence: n,
            timestamp: 8000,
            event: 11,
            end: false,
            duration: (n + 1) * 160,
        });
    }
    timeline.push(Sent {
        at_ms: 8190,
        sequence: 409,
        timestamp: 8000,
        event: 11,
        end: false,
        duration: u16::MAX,
    });
    let rest = press(8200, 410, 8000 + 65_535, 11, 200);
    timeline.extend(rest);
    assert_eq!(run(&timeline).presses, [('#', (65_535 + 1600) / 8)]);
}

#[test]
fn a_timestamp_that_moves_with_every_packet_is_one_press() {
    for counts_from_start in [true, false] {
        let timeline: Vec<Sent> = (0..8_u16)
            .map(|n| Sent {
                at_ms: u64::from(n) * 20,
                sequence: n,
                timestamp: 8000 + u32::from(n) * 160,
                event: 11,
                end: n >= 5,
                duration: if counts_from_start {
                    (n + 1).min(6) * 160
                } else {
                    160
                },
            })
            .collect();
        let result = run(&timeline);
        assert_eq!(
            result.presses,
            [('#', 120)],
            "counts from start: {counts_from_start}"
        );
        assert_eq!(result.began_ms, [20]);
    }
}

#[test]
fn a_moving_timestamp_survives_a_lost_packet() {
    for lost in 1..5 {
        let timeline: Vec<Sent> = (0..8_u16)
            .filter(|n| *n != lost)
            .map(|n| Sent {
                at_ms: u64::from(n) * 20,
                sequence: n,
                timestamp: 8000 + u32::from(n) * 160,
                event: 11,
                end: n >= 5,
                duration: (n + 1).min(6) * 160,
            })
            .collect();
        assert_eq!(run(&timeline).presses, [('#', 120)], "lost {lost}");
    }
}

#[test]
fn events_above_fifteen_are_no_keys() {
    assert_eq!(run(&press(0, 1, 8000, 16, 100)).presses, []);
    assert_eq!(run(&press(0, 1, 8000, 255, 100)).presses, []);
}

#[test]
fn several_events_in_one_packet_are_read_in_order() {
    let start = origin();
    let mut receiver = EventReceiver::new(20);
    let mut reports = Vec::new();
    let payload = [1, 0x8a, 0x03, 0x20, 16, 0x8a, 0x03, 0x20, 2, 0x8a, 0x03, 0x20];
    for sequence in [7, 8, 9] {
        let packet = EventPacket {
            ssrc: SSRC,
            sequence,
            timestamp: 100,
            payload: &payload,
        };
        receiver.on_packet(start, packet, &mut reports).unwrap();
    }
    let ends: Vec<char> = reports
        .iter()
        .filter_map(|r| match r {
            EventReport::Ended { digit, .. } => Some(digit.as_char()),
            EventReport::Began { .. } => None,
        })
        .collect();
    assert_eq!(ends, ['1', '2']);
}

#[test]
fn a_payload_of_another_length_is_refused() {
    let start = origin();
    let mut receiver = EventReceiver::new(20);
    for length in [0, 1, 3, 5, 7, 13] {
        let packet = EventPacket {
            ssrc: SSRC,
            sequence: 1,
            timestamp: 1,
            payload: &[11; 16][..length],
        };
        assert_eq!(
            receiver.on_packet(start, packet, &mut Vec::new()),
            Err(EventLenError(length))
        );
    }
}

#[test]
fn packets_of_a_press_before_the_last_change_nothing() {
    let first = press(0, 1, 8000, 5, 60);
    let mut timeline = first[..3].to_vec();
    timeline.extend(&press(100, 9, 8800, 6, 100)[..2]);
    timeline.push(Sent {
        at_ms: 125,
        ..first[4]
    });
    timeline.push(Sent {
        at_ms: 126,
        ..first[0]
    });
    timeline.extend(&press(100, 9, 8800, 6, 100)[2..]);
    assert_eq!(run(&timeline).presses, [('5', 60), ('6', 100)]);
}

/// 200 presses over a link that loses, repeats and reorders.
fn lossy_run(seed: u64, loss_percent: u64) -> (usize, usize) {
    let mut entropy = Entropy::from_number(seed);
    let (mut timeline, mut expected, mut at_ms) = (Vec::new(), Vec::new(), 0_u64);
    for n in 0..200_u16 {
        let event = entropy.below(16) as u8;
        let duration = 40 + 20 * entropy.below(12) as u16;
        let sequence = n.wrapping_mul(40);
        timeline.extend(press(at_ms, sequence, (at_ms * 8) as u32, event, duration));
        expected.push(Digit::from_event(event).unwrap().as_char());
        at_ms += u64::from(duration) + 120 + 20 * entropy.below(10);
    }
    let mut arrived: Vec<Sent> = Vec::new();
    for sent in timeline {
        if entropy.below(100) < loss_percent {
            continue;
        }
        let late = Sent {
            at_ms: sent.at_ms + entropy.below(50),
            ..sent
        };
        arrived.push(late);
        if entropy.below(100) < 5 {
            arrived.push(late);
        }
    }
    arrived.sort_by_key(|s| s.at_ms);
    let found: Vec<char> = run(&arrived).presses.iter().map(|(digit, _)| *digit).collect();
    // In order, with none twice: the found ones must be a subsequence of the sent ones.
    let mut rest = expected.iter();
    assert!(
        found.iter().all(|digit| rest.any(|e| e == digit)),
        "seed {seed}: a press too many"
    );
    (found.len(), expected.len())
}

#[test]
fn loss_repetition_and_reordering_keep_each_press_single() {
    for (loss_percent, required) in [(0, 1.0), (5, 0.9985), (20, 0.99)] {
        let (mut found, mut sent) = (0, 0);
        for seed in 0..20 {
            let (f, s) = lossy_run(seed, loss_percent);
            found += f;
            sent += s;
        }
        let rate = f64::from(found as u32) / f64::from(sent as u32);
        assert!(rate >= required, "{loss_percent} % loss: {found} of {sent}");
    }
}

#[test]
fn what_is_sent_is_received() {
    for ptime_ms in [10, 20, 30, 40, 60] {
        let mut sender = EventSender::new(Digits::parse("1#*D00").unwrap(), ptime_ms);
        let (mut timeline, mut markers, mut timestamp) = (Vec::new(), 0, 0_u32);
        for n in 0..1000_u16 {
            match sender.next_step(timestamp) {
                SendStep::Event {
                    payload: [event, flags, high, low],
                    marker,
                    timestamp,
                } => {
                    markers += u32::from(marker);
                    timeline.push(Sent {
                        at_ms: u64::from(n) * u64::from(ptime_ms),
                        sequence: n,
                        timestamp,
                        event,
                        end: flags & END_BIT != 0,
                        duration: u16::from_be_bytes([high, low]),
                    });
                }
                SendStep::Gap => {}
                SendStep::Done => break,
            }
            timestamp = timestamp.wrapping_add(u32::from(ptime_ms) * 8);
        }
        let result = run(&timeline);
        let digits: String = result.presses.iter().map(|(digit, _)| digit).collect();
        assert_eq!((digits.as_str(), markers), ("1#*D00", 6), "ptime {ptime_ms}");
        assert!(
            result.presses.iter().all(|(_, ms)| (100..160).contains(ms)),
            "{:?}",
            result.presses
        );
        assert_eq!(timeline.iter().filter(|s| s.end).count(), 18);
        let gaps = timeline.windows(2).filter(|w| w[0].timestamp != w[1].timestamp);
        assert!(gaps.map(|w| w[1].at_ms - w[0].at_ms).all(|gap| gap > 100));
    }
}

proptest! {
    #[test]
    fn no_payload_panics_and_reports_alternate(
        packets in proptest::collection::vec(
            (any::<u32>(), any::<u16>(), proptest::collection::vec(any::<u8>(), 0..24), 0_u64..200), 0..60),
    ) {
        let start = origin();
        let mut receiver = EventReceiver::new(20);
        let (mut reports, mut at_ms) = (Vec::new(), 0);
        for (timestamp, sequence, payload, step_ms) in packets {
            at_ms += step_ms;
            let now = start + Duration::from_millis(at_ms);
            let packet = EventPacket { ssrc: timestamp % 2, sequence, timestamp, payload: &payload };
            let _ = receiver.on_packet(now, packet, &mut reports);
            receiver.poll(now, &mut reports);
        }
        receiver.poll(start + Duration::from_secs(60), &mut reports);
        let (mut began, mut ended) = (0, 0);
        for report in &reports {
            match report {
                EventReport::Began { .. } => began += 1,
                EventReport::Ended { .. } => ended += 1,
            }
            prop_assert!(began >= ended && began <= ended + 2);
        }
        prop_assert_eq!(began, ended);
    }
}
