//! The detector against the table of `cases`: what must be heard, what must not, and how fast.
use super::cases::{KeyCase, Signal, between, voice};
use super::*;
use crate::model::Entropy;

const CODECS: [Codec; 3] = [Codec::Pcmu, Codec::Pcma, Codec::G722];

/// Feeds 20 ms packets; gives the digits and the longest time from a tone's start to its report, in samples.
fn hear(codec: Codec, octets: &[u8]) -> (String, u64) {
    let (mut detector, mut events) = (Detector::new(), Vec::new());
    let (mut digits, mut slowest, mut down) = (String::new(), 0, None);
    for packet in octets.chunks(160) {
        // A packet of 5 ms shows the detector's own delay, without the wait for a whole packet.
        for part in packet.chunks(BLOCK_LEN) {
            detector.audio(codec, part, &mut events);
            for event in events.drain(..) {
                match event {
                    ToneEvent::Began { digit, start } => {
                        assert_eq!(down.replace(digit), None, "a key began inside another");
                        digits.push(digit.as_char());
                        slowest = slowest.max(detector.position() - start);
                    }
                    ToneEvent::Ended { digit, start, end } => {
                        assert_eq!(down.take(), Some(digit), "an end without its begin");
                        assert!(start < end);
                    }
                }
            }
        }
    }
    (digits, slowest)
}

/// Sixteen keys of a kind, each digit once.
fn sixteen(entropy: &mut Entropy, kind: impl Fn(&mut Entropy, Digit) -> KeyCase) -> (Signal, String) {
    let mut signal = Signal::default().silence(between(entropy, 150.0, 170.0));
    let mut digits = String::new();
    let first = entropy.below(16) as u8;
    for n in 0..16 {
        let digit = Digit::from_event((first + n * 5) % 16).unwrap();
        let case = kind(entropy, digit);
        signal = signal.key(&case, entropy);
        digits.push(digit.as_char());
    }
    (signal.silence(100.0), digits)
}

struct Score {
    heard: usize,
    sent: usize,
    extra: usize,
    slowest_samples: u64,
}

/// Every codec over several seeds; `finish` adds what disturbs.
fn score(
    seeds: u64,
    kind: impl Fn(&mut Entropy, Digit) -> KeyCase,
    finish: impl Fn(Signal, &mut Entropy) -> Signal,
) -> Score {
    let mut total = Score {
        heard: 0,
        sent: 0,
        extra: 0,
        slowest_samples: 0,
    };
    for seed in 0..seeds {
        let mut entropy = Entropy::from_number(seed);
        let (signal, digits) = sixteen(&mut entropy, &kind);
        let signal = finish(signal, &mut entropy);
        for codec in CODECS {
            let (heard, slowest) = hear(codec, &signal.coded(codec));
            // In order: how many of the sent keys were heard, and what else.
            let mut rest = heard.chars().peekable();
            let found = digits
                .chars()
                .filter(|digit| rest.next_if_eq(digit).is_some())
                .count();
            total.heard += found;
            total.sent += digits.len();
            total.extra += heard.len() - found;
            total.slowest_samples = total.slowest_samples.max(slowest);
        }
    }
    total
}

/// Clean lines ask for every key.
fn assert_all_heard(what: &str, kind: impl Fn(&mut Entropy, Digit) -> KeyCase) {
    let score = score(3, kind, |signal, _| signal);
    assert_eq!((score.heard, score.extra), (score.sent, 0), "{what}");
    assert!(
        score.slowest_samples <= 45 * 8,
        "{what}: {} samples",
        score.slowest_samples
    );
}

fn assert_none_heard(what: &str, kind: impl Fn(&mut Entropy, Digit) -> KeyCase) {
    let score = score(3, kind, |signal, _| signal);
    assert_eq!((score.heard, score.extra), (0, 0), "{what}");
}

fn assert_rate(what: &str, rate: f64, score: &Score) {
    let reached = score.heard as f64 / score.sent as f64;
    assert!(
        reached >= rate && score.extra == 0,
        "{what}: {reached} and {} extra",
        score.extra
    );
}

fn corner(entropy: &mut Entropy, low: f32, high: f32) -> f32 {
    if entropy.below(2) == 0 { low } else { high }
}

#[test]
fn all_sixteen_digits_at_the_shortest_tone_and_pause() {
    assert_all_heard("40/40", |_, digit| KeyCase {
        tone_ms: 40.0,
        pause_ms: 40.0,
        ..KeyCase::nominal(digit)
    });
}

/// A telephone of 16 kHz sends both bands of G.722, and a network that goes up to 16 kHz sends the tones of 8 kHz.
#[test]
fn all_sixteen_digits_through_both_bands_of_g722() {
    for (level_dbm0, twist_db) in [(0.0, 0.0), (-25.0, 0.0), (-10.0, -8.0), (-10.0, 4.0)] {
        let mut entropy = Entropy::from_number(7);
        let (signal, digits) = sixteen(&mut entropy, |_, digit| KeyCase {
            level_dbm0,
            twist_db,
            ..KeyCase::nominal(digit)
        });
        // Halfway between two samples lies about their mean: what that adds is far above the keypad's band.
        let next = signal.0.iter().skip(1).chain([&0.0]);
        let wide: Vec<i16> = (signal.0.iter().zip(next))
            .flat_map(|(sample, next)| [*sample as i16, ((sample + next) / 2.0) as i16])
            .collect();
        let mut octets = vec![0; signal.0.len()];
        codec::g722::Encoder::default().encode(&wide, &mut octets);
        let (heard, slowest) = hear(Codec::G722, &octets);
        assert_eq!(heard, digits, "{level_dbm0} dBm0, twist {twist_db} dB");
        assert!(slowest <= 47 * 8, "{slowest} samples");
    }
}

#[test]
fn every_level_from_0_to_minus_25_dbm0() {
    for level_dbm0 in [0.0, -5.0, -15.0, -25.0] {
        assert_all_heard("level", |_, digit| KeyCase {
            level_dbm0,
            ..KeyCase::nominal(digit)
        });
    }
    for level_dbm0 in [-40.0, -55.0] {
        assert_none_heard("too quiet", |_, digit| KeyCase {
            level_dbm0,
            ..KeyCase::nominal(digit)
        });
    }
}

#[test]
fn twist_from_minus_8_to_4_db() {
    for twist_db in [-8.0, -4.0, 4.0] {
        assert_all_heard("twist", |_, digit| KeyCase {
            twist_db,
            ..KeyCase::nominal(digit)
        });
    }
    for twist_db in [-14.0, 10.0] {
        assert_none_heard("too much twist", |_, digit| KeyCase {
            twist_db,
            ..KeyCase::nominal(digit)
        });
    }
}

#[test]
fn frequencies_1_5_percent_and_2_hz_off_are_heard_and_3_5_percent_not() {
    assert_all_heard("off", |entropy, digit| KeyCase {
        off: [corner(entropy, -0.015, 0.015), corner(entropy, -0.015, 0.015)],
        off_hz: 2.0,
        tone_ms: 45.0,
        ..KeyCase::nominal(digit)
    });
    for off in [[0.035, 0.0], [-0.035, 0.0], [0.0, 0.035], [0.0, -0.035]] {
        assert_none_heard("too far off", |_, digit| KeyCase {
            off,
            tone_ms: 100.0,
            ..KeyCase::nominal(digit)
        });
    }
}

#[test]
fn tones_of_23_ms_are_no_keys() {
    for tone_ms in [5.0, 10.0, 15.0, 20.0, 23.0] {
        assert_none_heard("short", |_, digit| KeyCase {
            tone_ms,
            ..KeyCase::nominal(digit)
        });
    }
}

#[test]
fn a_break_of_10_ms_does_not_split_a_key_and_a_pause_of_35_does() {
    for (break_ms, keys) in [(3.0, 1), (10.0, 1), (35.0, 2), (40.0, 2)] {
        for seed in 0..16 {
            let mut entropy = Entropy::from_number(seed);
            let digit = Digit::from_event(seed as u8).unwrap();
            let case = KeyCase {
                tone_ms: 110.0 + break_ms,
                ..KeyCase::nominal(digit)
            };
            let mut signal = Signal::default()
                .silence(between(&mut entropy, 50.0, 60.0))
                .key(&case, &mut entropy);
            let start = signal.0.len() - ((60.0 + 55.0 + break_ms) * 8.0) as usize;
            signal.0[start..start + (break_ms * 8.0) as usize].fill(0.0);
            for codec in CODECS {
                let (heard, _) = hear(codec, &signal.coded(codec));
                let expected = digit.to_string().repeat(keys);
                assert_eq!(heard, expected, "{codec}, {break_ms} ms, seed {seed}");
            }
        }
    }
}

#[test]
fn noise_15_db_below_the_signal_does_not_hide_keys() {
    let kind = |entropy: &mut Entropy, digit| KeyCase {
        tone_ms: between(entropy, 40.0, 100.0),
        pause_ms: between(entropy, 40.0, 100.0),
        ..KeyCase::nominal(digit)
    };
    // Two tones of −10 dBm0 are −7 together.
    let white = score(5, kind, |signal, entropy| signal.white_noise(-22.0, entropy));
    assert_rate("white", 0.99, &white);
    let pink = score(5, kind, |signal, entropy| signal.pink_noise(-22.0, entropy));
    assert_rate("pink", 0.99, &pink);
}

#[test]
fn dial_tone_and_hum_do_not_hide_keys() {
    let kind = |_: &mut Entropy, digit| KeyCase::nominal(digit);
    let dial_tone = score(3, kind, |signal, _| signal.sine(350.0, -13.0).sine(440.0, -13.0));
    assert_rate("dial tone", 0.99, &dial_tone);
    let hum = score(3, kind, |signal, _| signal.sine(50.0, -12.0).sine(150.0, -18.0));
    assert_rate("hum", 0.99, &hum);
}

#[test]
fn corners_combine() {
    let kind = |entropy: &mut Entropy, digit| {
        let twist_db = corner(entropy, -8.0, 4.0);
        let level_dbm0 = if twist_db < 0.0 {
            between(entropy, -17.0, -3.0)
        } else {
            between(entropy, -25.0, -6.0)
        };
        KeyCase {
            level_dbm0,
            twist_db,
            off: [corner(entropy, -0.015, 0.015), corner(entropy, -0.015, 0.015)],
            tone_ms: between(entropy, 40.0, 60.0),
            pause_ms: between(entropy, 40.0, 60.0),
            ..KeyCase::nominal(digit)
        }
    };
    let score = score(8, kind, |signal, entropy| signal.white_noise(-45.0, entropy));
    assert_rate("corners", 0.99, &score);
}

#[test]
fn a_voice_is_no_key_and_its_echo_hides_none() {
    for seed in 0..4 {
        let mut entropy = Entropy::from_number(seed);
        let signal = voice(20.0, &mut entropy);
        for codec in CODECS {
            assert_eq!(hear(codec, &signal.coded(codec)).0, "", "seed {seed}");
        }
    }
    let kind = |_: &mut Entropy, digit| KeyCase {
        tone_ms: 100.0,
        pause_ms: 100.0,
        ..KeyCase::nominal(digit)
    };
    let echo = score(3, kind, |signal, entropy| {
        let echo = voice(signal.0.len() as f32 / 8000.0 + 0.1, entropy);
        signal.add(|n| echo.0[n] * 0.2)
    });
    assert_rate("echo", 0.97, &echo);
}

#[test]
fn a_long_press_is_one_key_of_its_length() {
    let mut entropy = Entropy::from_number(1);
    let case = KeyCase {
        tone_ms: 3000.0,
        ..KeyCase::nominal(Digit::POUND)
    };
    let signal = Signal::default().silence(100.0).key(&case, &mut entropy);
    let octets = signal.coded(Codec::Pcma);
    let mut pcm = vec![0; octets.len()];
    codec::decode(Codec::Pcma, &octets, &mut pcm);
    let [key] = detect(&pcm)[..] else {
        panic!("{:?}", detect(&pcm))
    };
    assert_eq!(key.digit, Digit::POUND);
    assert!(
        key.start_ms.abs_diff(100) <= 3 && key.end_ms.abs_diff(3100) <= 5,
        "{key:?}"
    );
}

#[test]
fn lost_packets_neither_split_a_key_nor_make_one() {
    let mut entropy = Entropy::from_number(2);
    let case = KeyCase {
        tone_ms: 300.0,
        pause_ms: 200.0,
        ..KeyCase::nominal(Digit::POUND)
    };
    let octets = Signal::default()
        .silence(100.0)
        .key(&case, &mut entropy)
        .coded(Codec::Pcmu);
    let (mut detector, mut events) = (Detector::new(), Vec::new());
    for (n, packet) in octets.chunks(160).enumerate() {
        if matches!(n, 10..=12 | 16) {
            detector.lost(160, &mut events);
        } else {
            detector.audio(Codec::Pcmu, packet, &mut events);
        }
    }
    let [
        ToneEvent::Began { digit, .. },
        ToneEvent::Ended { start, end, .. },
    ] = events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!(digit, Digit::POUND);
    assert!((end - start).abs_diff(2400) <= 64, "{start} {end}");
    detector.lost(1_000_000, &mut events);
    assert_eq!(events.len(), 2);
}

#[test]
fn a_key_whose_end_is_never_heard_ends() {
    let mut entropy = Entropy::from_number(3);
    let case = KeyCase {
        pause_ms: 0.0,
        ..KeyCase::nominal(Digit::STAR)
    };
    let signal = Signal::default().silence(100.0).key(&case, &mut entropy);
    let (mut detector, mut events) = (Detector::new(), Vec::new());
    detector.audio(Codec::Pcmu, &signal.coded(Codec::Pcmu), &mut events);
    assert_eq!(events.len(), 1);
    detector.lost(160 * 20, &mut events);
    assert!(matches!(events[..], [_, ToneEvent::Ended { .. }]), "{events:?}");
}

#[test]
fn portions_of_any_size_give_the_same_keys() {
    let mut entropy = Entropy::from_number(4);
    let (signal, digits) = sixteen(&mut entropy, |_, digit| KeyCase::nominal(digit));
    let octets = signal.coded(Codec::Pcmu);
    for size in [1, 7, 80, 161, 480] {
        let (mut detector, mut events) = (Detector::new(), Vec::new());
        octets
            .chunks(size)
            .for_each(|part| detector.audio(Codec::Pcmu, part, &mut events));
        let heard: String = events
            .iter()
            .filter_map(|event| match event {
                ToneEvent::Began { digit, .. } => Some(digit.as_char()),
                ToneEvent::Ended { .. } => None,
            })
            .collect();
        assert_eq!(heard, digits, "portions of {size}");
        assert_eq!(detector.position(), octets.len() as u64);
    }
}

#[test]
fn the_state_is_small_and_owns_no_heap() {
    assert!(size_of::<Detector>() <= 2048, "{} octets", size_of::<Detector>());
    assert!(!std::mem::needs_drop::<Detector>());
    let mut entropy = Entropy::from_number(5);
    let (signal, digits) = sixteen(&mut entropy, |_, digit| KeyCase::nominal(digit));
    let (mut detector, mut events) = (Detector::new(), Vec::with_capacity(4));
    let (capacity, mut began) = (events.capacity(), 0);
    for packet in signal.coded(Codec::Pcmu).chunks(160) {
        detector.audio(Codec::Pcmu, packet, &mut events);
        let begins = events.iter().filter(|e| matches!(e, ToneEvent::Began { .. }));
        began += begins.count();
        events.clear();
    }
    assert_eq!((began, events.capacity()), (digits.len(), capacity));
}

#[test]
fn a_key_is_heard_under_the_echo_of_what_we_play() {
    let heard_when = |told: bool| {
        let mut entropy = Entropy::from_number(7);
        let (signal, digits) = sixteen(&mut entropy, |_, digit| KeyCase {
            level_dbm0: -20.0,
            tone_ms: 80.0,
            ..KeyCase::nominal(digit)
        });
        // A voice begins with each key, as loud in its echo as one of the key's tones.
        let mut prompt = Signal(vec![0.0; signal.0.len()]).sine(300.0, -8.0);
        for (sample, key) in prompt.0.iter_mut().zip(&signal.0) {
            if *key == 0.0 {
                *sample = 0.0;
            }
        }
        let signal = signal.add(|n| prompt.0[n] * 0.25);
        let prompt = prompt.coded(Codec::Pcmu);
        let (mut detector, mut events) = (Detector::new(), Vec::new());
        for (packet, played) in signal.coded(Codec::Pcmu).chunks(160).zip(prompt.chunks(160)) {
            if told {
                detector.played(Codec::Pcmu, played);
            }
            detector.audio(Codec::Pcmu, packet, &mut events);
        }
        let heard = events.iter().filter(|e| matches!(e, ToneEvent::Began { .. }));
        (heard.count(), digits.len())
    };
    assert_eq!(heard_when(false), (0, 16));
    assert_eq!(heard_when(true), (16, 16));
}

#[test]
fn the_echo_of_a_key_on_the_line_is_not_the_key_again() {
    for (delay_ms, gain) in [(15, 0.25), (30, 0.35), (38, 0.45)] {
        let mut entropy = Entropy::from_number(6);
        let (mut signal, digits) = sixteen(&mut entropy, |_, digit| KeyCase {
            tone_ms: 100.0,
            pause_ms: 100.0,
            ..KeyCase::nominal(digit)
        });
        for n in (delay_ms * 8..signal.0.len()).rev() {
            signal.0[n] += signal.0[n - delay_ms * 8] * gain;
        }
        for codec in CODECS {
            let (heard, _) = hear(codec, &signal.coded(codec));
            assert_eq!(heard, digits, "{codec}, {delay_ms} ms, {gain}");
        }
    }
}

proptest::proptest! {
    #[test]
    fn no_audio_panics(
        parts in proptest::collection::vec(proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200), 0..30),
    ) {
        let (mut detector, mut events) = (Detector::new(), Vec::new());
        for (n, part) in parts.iter().enumerate() {
            let codec = CODECS[n % 3];
            detector.audio(codec, part, &mut events);
            if n % 5 == 4 {
                detector.lost(part.len() as u64, &mut events);
                detector.silence(part.len() as u64, &mut events);
            }
        }
        detector.finish(&mut events);
        proptest::prop_assert!(events.len() % 2 == 0);
    }
}
