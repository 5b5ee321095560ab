//! Who answers, played from formulas: machines, people, and the sounds between them.
use std::f32::consts::TAU;

use super::*;
use crate::media::tone::{ToneGenerator, peak_of, to_sample};
use crate::model::{Digit, Entropy};

const RATE_HZ: f32 = 8000.0;

fn samples(ms: u32) -> usize {
    ms as usize * codec::SAMPLES_PER_MS
}

/// Speech as far as it matters here: syllables of harmonics on a gliding pitch, with pauses between words.
fn speech(seed: u64, ms: u32, dbm0: f32) -> Vec<i16> {
    let mut entropy = Entropy::from_number(seed);
    let mut pcm = Vec::new();
    while pcm.len() < samples(ms) {
        let length = samples(140 + entropy.below(120) as u32);
        let (from, to) = (100.0 + entropy.below(60) as f32, 100.0 + entropy.below(60) as f32);
        let formant = 400.0 + entropy.below(400) as f32;
        let mut phase = 0.0;
        for n in 0..length {
            let place = n as f32 / length as f32;
            phase += (from + (to - from) * place) / RATE_HZ;
            let envelope = (place * std::f32::consts::PI).sin();
            let sum: f32 = (1..16_u8)
                .map(|k| {
                    let distance = (f32::from(k) * 130.0 - formant) / 300.0;
                    (TAU * f32::from(k) * phase).sin() / (1.0 + distance * distance)
                })
                .sum();
            pcm.push(to_sample(sum * envelope * 3000.0));
        }
        let gap = if entropy.below(6) == 0 {
            250
        } else {
            20 + entropy.below(60) as u32
        };
        pcm.extend(std::iter::repeat_n(0, samples(gap)));
    }
    pcm.truncate(samples(ms));
    // Its mean level, pauses left out, is that of a sine of so many dBm0.
    let (mut energy, mut loud) = (0.0, 1.0);
    for sample in pcm.iter().filter(|sample| sample.unsigned_abs() > 200) {
        energy += f32::from(*sample).powi(2);
        loud += 1.0;
    }
    let gain = peak_of(dbm0) / (2.0 * energy / loud).sqrt().max(1.0);
    pcm.iter()
        .map(|sample| to_sample(f32::from(*sample) * gain))
        .collect()
}

fn tone(hz: f32, ms: u32, dbm0: f32) -> Vec<i16> {
    let mut generator = ToneGenerator::new(hz, dbm0, 0.0, -99.0);
    (0..samples(ms))
        .map(|_| to_sample(generator.next_sample()))
        .collect()
}

fn two_tones(hz: [f32; 2], ms: u32, dbm0: f32) -> Vec<i16> {
    let mut generator = ToneGenerator::new(hz[0], dbm0, hz[1], dbm0);
    (0..samples(ms))
        .map(|_| to_sample(generator.next_sample()))
        .collect()
}

fn silence(ms: u32) -> Vec<i16> {
    vec![0; samples(ms)]
}

fn noise(seed: u64, ms: u32, peak: u64) -> Vec<i16> {
    let mut entropy = Entropy::from_number(seed);
    let half = i16::try_from(peak).unwrap();
    (0..samples(ms))
        .map(|_| i16::try_from(entropy.below(2 * peak)).unwrap() - half)
        .collect()
}

fn hear(parts: &[Vec<i16>]) -> Vec<Screening> {
    let mut screener = Screener::default();
    let mut found = Vec::new();
    let mut octets = [0; 160];
    for packet in parts.concat().chunks(160) {
        let length = codec::encode(Codec::Pcmu, packet, &mut octets);
        screener.audio(Codec::Pcmu, &octets[..length], &mut found);
    }
    found
}

/// What is found in the callee's sound while our prompt plays and comes back after 180 ms.
fn answer(callee: &[i16], prompt: &[i16], return_db: f32) -> (Screener, Vec<Screening>) {
    let gain = 10.0_f32.powf(return_db / 20.0);
    let delay = samples(180);
    let prompt_at = |at: usize| prompt.get(at).copied().unwrap_or_default();
    let mut screener = Screener::default();
    let (mut found, mut octets) = (Vec::new(), [0; 160]);
    for (n, said) in callee.chunks_exact(160).enumerate() {
        let sent: Vec<i16> = (0..160).map(|k| prompt_at(n * 160 + k)).collect();
        codec::encode(Codec::Pcma, &sent, &mut octets);
        screener.played(codec::mean_square(Codec::Pcma, &octets).unwrap(), octets.len());
        let heard: Vec<i16> = said
            .iter()
            .zip(n * 160..)
            .map(|(said, at)| {
                let echo = at
                    .checked_sub(delay)
                    .map_or(0.0, |at| f32::from(prompt_at(at)) * gain);
                to_sample(f32::from(*said) + echo)
            })
            .collect();
        codec::encode(Codec::Pcma, &heard, &mut octets);
        screener.audio(Codec::Pcma, &octets, &mut found);
    }
    (screener, found)
}

fn signs(parts: &[Vec<i16>]) -> Vec<Sign> {
    hear(parts).into_iter().map(|found| found.sign).collect()
}

#[test]
fn a_beep_after_a_greeting_is_certain_before_it_is_over() {
    for (hz, ms) in [
        (1000.0, 400),
        (1400.0, 500),
        (600.0, 300),
        (1700.0, 250),
        (850.0, 1000),
    ] {
        let found = hear(&[
            speech(1, 4000, -18.0),
            silence(400),
            tone(hz, ms, -15.0),
            silence(2000),
        ]);
        assert_eq!(found.len(), 1, "{hz}: {found:?}");
        assert_eq!(found[0].sign, Sign::Beep);
        let after = found[0].at_ms - 4400;
        assert!((180..=ms + 100).contains(&after), "{hz}: after {after} ms");
        let heard = found[0].tone.unwrap();
        assert!(
            heard.hz.abs_diff(hz as u16) <= 3 && (-16..=-14).contains(&heard.dbm0),
            "{heard:?}"
        );
    }
}

#[test]
fn a_short_beep_waits_for_the_silence_after_it() {
    let found = hear(&[
        speech(2, 4500, -20.0),
        silence(300),
        tone(1000.0, 120, -18.0),
        silence(500),
    ]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!((4970..=5020).contains(&found[0].at_ms), "{found:?}");
    // The same tone inside speech is part of it.
    assert_eq!(
        signs(&[
            speech(2, 4500, -20.0),
            silence(300),
            tone(1000.0, 120, -18.0),
            speech(3, 900, -18.0),
            silence(500)
        ]),
        []
    );
}

#[test]
fn after_few_words_a_beep_must_stay_alone() {
    let found = hear(&[
        speech(24, 1500, -18.0),
        silence(400),
        tone(1000.0, 400, -15.0),
        silence(2000),
    ]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!((3180..=3260).contains(&found[0].at_ms), "{found:?}");
    let then = |what: Vec<i16>| {
        signs(&[
            speech(24, 1500, -18.0),
            silence(400),
            tone(1000.0, 400, -15.0),
            silence(600),
            what,
            silence(2000),
        ])
    };
    // Somebody speaks, or it sounds again.
    assert_eq!(then(speech(25, 700, -18.0)), []);
    assert_eq!(then(tone(1000.0, 400, -15.0)), []);
}

#[test]
fn trucks_and_ovens_repeat_theirs() {
    for (hz, on, off) in [(1250.0, 500, 500), (2300.0, 150, 170), (2048.0, 700, 800)] {
        for words in [1200, 6000] {
            let mut parts = vec![speech(26, words, -18.0), silence(300)];
            for _ in 0..6 {
                parts.extend([tone(hz, on, -18.0), silence(off)]);
            }
            parts.push(silence(3000));
            assert_eq!(signs(&parts), [], "{hz} Hz after {words} ms");
        }
    }
}

#[test]
fn two_tones_that_beat_and_a_whistle_are_no_beep() {
    // British ringback: 400 and 450 Hz together are one of 425 Hz in every other block.
    let mut parts = vec![speech(27, 3500, -18.0), silence(400)];
    for gap in [200, 2000, 200, 2000] {
        parts.extend([two_tones([400.0, 450.0], 400, -16.0), silence(gap)]);
    }
    assert_eq!(signs(&parts), []);
    let mut phase = 0.0;
    let glide = (0..samples(400))
        .map(|n| {
            phase += TAU * (1500.0 + 120.0 * n as f32 / samples(400) as f32) / RATE_HZ;
            to_sample(peak_of(-16.0) * phase.sin())
        })
        .collect();
    assert_eq!(
        signs(&[speech(28, 4500, -18.0), silence(400), glide, silence(2000)]),
        []
    );
}

#[test]
fn a_beep_is_heard_through_our_own_echo() {
    for (seed, hz) in [(29, 1000.0), (30, 1400.0), (31, 850.0), (32, 425.0), (33, 2000.0)] {
        for words in [1500, 5000] {
            let callee = [
                speech(seed, words, -18.0),
                silence(300),
                tone(hz, 400, -24.0),
                silence(3000),
            ];
            // The echo comes back at −37 dBm0, and louder at times.
            let (_, found) = answer(&callee.concat(), &speech(seed + 10, 10_000, -17.0), -20.0);
            assert_eq!(found.len(), 1, "{hz} after {words}: {found:?}");
            assert_eq!(found[0].sign, Sign::Beep);
            assert!(found[0].tone.unwrap().hz.abs_diff(hz as u16) <= 10, "{found:?}");
        }
    }
}

#[test]
fn a_beep_at_425_hertz_is_told_from_ringback_and_busy() {
    let with = |on: u32, off: u32, times: usize| {
        let mut parts = vec![speech(4, 2500, -18.0), silence(500)];
        for _ in 0..times {
            parts.extend([tone(425.0, on, -15.0), silence(off)]);
        }
        signs(&parts)
    };
    assert_eq!(with(400, 2000, 1), [Sign::Beep]);
    assert_eq!(with(1000, 4000, 3), []);
    assert_eq!(with(500, 500, 6), []);
    assert_eq!(with(250, 250, 6), []);
}

#[test]
fn keys_dual_tones_and_noise_are_no_beep() {
    let after_speech = |sound: Vec<i16>| signs(&[speech(5, 2500, -18.0), silence(500), sound, silence(1500)]);
    for key in "0123456789*#".chars().filter_map(Digit::from_char) {
        let mut generator = ToneGenerator::of(key);
        let sound = (0..2400).map(|_| to_sample(generator.next_sample())).collect();
        assert_eq!(after_speech(sound), [], "{key}");
    }
    assert_eq!(after_speech(two_tones([440.0, 480.0], 2000, -16.0)), []);
    assert_eq!(after_speech(two_tones([350.0, 440.0], 3000, -16.0)), []);
    assert_eq!(after_speech(two_tones([480.0, 620.0], 500, -16.0)), []);
    assert_eq!(after_speech(noise(1, 1000, 4000)), []);
}

#[test]
fn a_tone_is_no_beep_without_a_greeting_or_far_below_it() {
    assert_eq!(
        signs(&[silence(1000), tone(1000.0, 500, -15.0), silence(1000)]),
        []
    );
    assert_eq!(
        signs(&[
            speech(6, 250, -15.0),
            silence(1500),
            tone(1000.0, 500, -15.0),
            silence(1000)
        ]),
        []
    );
    assert_eq!(
        signs(&[
            speech(6, 3000, -12.0),
            silence(500),
            tone(2048.0, 500, -38.0),
            silence(1000)
        ]),
        []
    );
    assert_eq!(
        signs(&[
            speech(6, 3000, -15.0),
            silence(4000),
            tone(1000.0, 500, -15.0),
            silence(1000)
        ]),
        []
    );
}

#[test]
fn a_melody_is_no_beep() {
    let notes = [523.0, 659.0, 784.0, 1047.0, 880.0, 698.0];
    let mut parts = vec![speech(7, 2500, -18.0), silence(500)];
    for (n, hz) in notes.iter().cycle().take(24).enumerate() {
        let ms = if n % 3 == 0 { 150 } else { 190 };
        parts.extend([tone(*hz, ms, -16.0), silence(20)]);
    }
    assert_eq!(signs(&parts), []);
}

#[test]
fn special_information_tones_are_the_networks() {
    for [a, b, c] in [
        [950.0, 1400.0, 1800.0],
        [985.2, 1370.6, 1776.7],
        [913.8, 1428.5, 1776.7],
    ] {
        for greeting in [0, 2500] {
            let found = signs(&[
                speech(8, greeting, -18.0),
                silence(400),
                tone(a, 330, -16.0),
                silence(20),
                tone(b, 300, -16.0),
                silence(20),
                tone(c, 380, -16.0),
                silence(500),
                speech(9, 4000, -18.0),
            ]);
            assert_eq!(found, [Sign::Sit], "{a} after {greeting} ms of speech");
        }
    }
}

#[test]
fn fax_tones_are_a_fax() {
    assert_eq!(signs(&[silence(1500), tone(2100.0, 3000, -13.0)]), [Sign::Fax]);
    let cng = [
        silence(500),
        tone(1100.0, 500, -13.0),
        silence(3000),
        tone(1100.0, 500, -13.0),
        silence(500),
    ];
    assert_eq!(signs(&cng), [Sign::Fax]);
    assert_eq!(signs(&cng[..3]), []);
}

#[test]
fn a_long_greeting_is_a_guess_and_a_hello_takes_it_back() {
    let greeting = [silence(300), speech(10, 13_000, -18.0), silence(12_000)];
    assert_eq!(signs(&greeting), [Sign::LongGreeting]);
    let person = [greeting.concat(), speech(11, 600, -18.0), silence(2000)];
    assert_eq!(signs(&person), [Sign::LongGreeting, Sign::Person]);
}

#[test]
fn a_question_a_pause_and_an_answer_are_a_screening_robot() {
    let robot = [
        silence(200),
        speech(12, 5000, -18.0),
        silence(9000),
        speech(13, 2600, -18.0),
        silence(9000),
    ];
    assert_eq!(signs(&robot), [Sign::Robot]);
    // Who takes a breath and goes on has not listened.
    let talker = [
        silence(200),
        speech(12, 5000, -18.0),
        silence(1300),
        speech(13, 2600, -18.0),
        silence(9000),
    ];
    assert_eq!(signs(&talker), []);
    // While the first utterance goes on nothing is guessed.
    assert_eq!(signs(&[silence(200), speech(34, 15_000, -18.0)]), []);
}

#[test]
fn people_are_people() {
    let hello = || vec![silence(500), speech(14, 500, -18.0)];
    assert_eq!(signs(&[hello().concat(), silence(20_000)]), []);
    let talker = [
        hello().concat(),
        silence(1500),
        speech(15, 2500, -18.0),
        silence(1500),
        speech(16, 5000, -18.0),
    ];
    assert_eq!(signs(&talker), []);
    let company = [
        silence(300),
        speech(17, 4500, -18.0),
        silence(9000),
        speech(18, 500, -20.0),
        silence(5000),
    ];
    assert_eq!(signs(&company), []);
    let loud_line = [noise(5, 20_000, 900)];
    assert_eq!(signs(&loud_line), []);
}

#[test]
fn our_own_echo_is_nobodys_speech() {
    for return_db in [-15.0_f32, -20.0, -30.0] {
        let (screener, found) = answer(&silence(14_000), &speech(19, 14_000, -17.0), return_db);
        assert_eq!(found, [], "{return_db} dB");
        // A line that returns more than any should may seem to speak, but says nothing that means anything.
        if return_db < -19.0 {
            assert!(screener.speech.first_speech_blocks() < 100, "{return_db} dB");
        }
    }
}

#[test]
fn a_key_excuses_the_tone_that_it_leaves_behind() {
    let mut screener = Screener::default();
    let mut found = Vec::new();
    screener.pcm(&[speech(20, 3000, -18.0), silence(300)].concat(), &mut found);
    screener.key();
    screener.pcm(&[tone(1477.0, 400, -12.0), silence(300)].concat(), &mut found);
    assert_eq!(found, []);
}

#[test]
fn nothing_follows_a_certain_finding_and_any_octets_are_taken() {
    let mut screener = Screener::default();
    let mut found = Vec::new();
    let mut entropy = Entropy::from_number(21);
    let call = [
        speech(22, 3000, -18.0),
        silence(300),
        tone(1000.0, 400, -15.0),
        silence(500),
    ]
    .concat();
    screener.pcm(&call, &mut found);
    screener.pcm(
        &[silence(1000), tone(2100.0, 2000, -15.0), speech(23, 9000, -18.0)].concat(),
        &mut found,
    );
    assert_eq!(found.iter().filter(|f| f.sign.is_certain()).count(), 1);
    for _ in 0..2000 {
        let octets: Vec<u8> = (0..entropy.below(400)).map(|_| entropy.u32() as u8).collect();
        screener.audio(Codec::Pcma, &octets, &mut found);
        screener.lost(entropy.below(3000), &mut found);
        screener.silence(u64::from(entropy.u32()), &mut found);
    }
    assert_eq!(found.iter().filter(|f| f.sign.is_certain()).count(), 1);
}
