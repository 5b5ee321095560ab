//! Our G.722 against FFmpeg's and spandsp's (`tests/vectors/g722/make.py`), and what a stream of clips asks of it.
use super::g722::{Decoder, Encoder, NarrowDecoder, NarrowEncoder, SILENCE, encode_narrow, encode_wide};
use crate::model::Entropy;

macro_rules! vector {
    ($name:literal) => {
        include_bytes!(concat!("../../../tests/vectors/g722/", $name))
    };
}

fn samples(file: &[u8]) -> Vec<i16> {
    let pairs = file.as_chunks::<2>().0.iter();
    pairs.map(|pair| i16::from_le_bytes(*pair)).collect()
}

fn decoded(octets: &[u8]) -> Vec<i16> {
    let mut pcm = vec![0; octets.len()];
    NarrowDecoder::default().decode(octets, &mut pcm);
    pcm
}

fn rms(pcm: &[i16]) -> f32 {
    let energy: f32 = pcm.iter().map(|s| f32::from(*s).powi(2)).sum();
    (energy / pcm.len() as f32).sqrt()
}

fn sine(hz: f32, rate: f32, peak: f32, len: usize) -> Vec<i16> {
    let angle = std::f32::consts::TAU * hz / rate;
    (0..len)
        .map(|n| (peak * (angle * n as f32).sin()) as i16)
        .collect()
}

#[test]
fn it_encodes_as_ffmpeg_bit_for_bit() {
    let pcm = samples(vector!("signal.s16"));
    let mut octets = vec![0; pcm.len() / 2];
    assert_eq!(Encoder::default().encode(&pcm, &mut octets), octets.len());
    assert!(octets == vector!("signal.g722"));
}

#[test]
fn it_decodes_any_octets_as_ffmpeg_bit_for_bit() {
    let octets = vector!("octets.g722");
    let mut pcm = vec![0; octets.len() * 2];
    assert_eq!(Decoder::default().decode(octets, &mut pcm), pcm.len());
    assert!(pcm == samples(vector!("octets.s16")));
}

#[test]
fn its_low_band_is_spandsps_bit_for_bit() {
    assert!(decoded(vector!("octets.g722")) == samples(vector!("octets-narrow.s16")));
    let pcm = samples(vector!("signal.s16"));
    let mut octets = vec![0; pcm.len()];
    assert_eq!(NarrowEncoder::default().encode(&pcm, &mut octets), octets.len());
    assert!(octets == vector!("signal-narrow.g722"));
}

#[test]
fn packets_give_what_the_whole_gives() {
    let pcm = samples(vector!("signal.s16"));
    let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
    let (mut octets, mut back) = (Vec::new(), Vec::<i16>::new());
    for part in pcm.chunks(320) {
        let (mut packet, mut audio) = ([0; 160], [0; 320]);
        let length = encoder.encode(part, &mut packet);
        let count = decoder.decode(&packet[..length], &mut audio);
        octets.extend(&packet[..length]);
        back.extend(&audio[..count]);
    }
    assert!(octets == vector!("signal.g722"));
    let mut whole = vec![0; pcm.len()];
    Decoder::default().decode(&octets, &mut whole);
    assert!(back == whole);
}

#[test]
fn short_slices_bound_the_work() {
    let (mut octets, mut pcm) = ([7; 2], [7; 5]);
    assert_eq!(Encoder::default().encode(&[0; 9], &mut octets), 2);
    assert_eq!(Encoder::default().encode(&[0; 1], &mut octets), 0);
    assert_eq!(Decoder::default().decode(&[0; 9], &mut pcm), 4);
    assert_eq!(pcm[4], 7);
    assert_eq!(NarrowDecoder::default().decode(&[0; 3], &mut pcm), 3);
    assert_eq!(pcm[3..], [pcm[3], 7]);
    assert_eq!(encode_narrow(NarrowEncoder::default(), &[0; 50], &mut octets), 2);
    assert_eq!(encode_wide(Encoder::default(), &[0; 50], &mut octets), 2);
    assert_eq!(encode_wide(Encoder::default(), &[1; 3], &mut octets), 1);
    assert_eq!(encode_narrow(NarrowEncoder::default(), &[], &mut octets), 0);
}

#[test]
fn the_state_of_each_direction_is_small() {
    assert!(size_of::<Encoder>() <= 300, "{}", size_of::<Encoder>());
    assert!(size_of::<Decoder>() <= 300, "{}", size_of::<Decoder>());
    assert!(
        size_of::<NarrowEncoder>() <= 100,
        "{}",
        size_of::<NarrowEncoder>()
    );
    assert!(
        size_of::<NarrowDecoder>() <= 100,
        "{}",
        size_of::<NarrowDecoder>()
    );
}

#[test]
fn a_tone_comes_back_at_either_rate() {
    let wide = sine(1000.0, 16_000.0, 8000.0, 16_000);
    let mut octets = vec![0; 8000];
    encode_wide(Encoder::default(), &wide, &mut octets);
    let level = rms(&decoded(&octets)[800..]);
    assert!((level / 5657.0 - 1.0).abs() < 0.03, "{level}");
    let high = sine(6000.0, 16_000.0, 8000.0, 16_000);
    encode_wide(Encoder::default(), &high, &mut octets);
    assert!(rms(&decoded(&octets)[800..]) < 60.0);
    let mut back = vec![0; 16_000];
    Decoder::default().decode(&octets, &mut back);
    assert!(
        (rms(&back[800..]) / 5657.0 - 1.0).abs() < 0.2,
        "{}",
        rms(&back[800..])
    );
}

#[test]
fn pauses_of_a_recording_are_silent() {
    let mut pcm = vec![0; 1200];
    pcm.extend(sine(700.0, 8000.0, 9000.0, 4000));
    pcm.extend([0; 800]);
    let mut octets = vec![0; pcm.len()];
    assert_eq!(
        encode_narrow(NarrowEncoder::default(), &pcm, &mut octets),
        pcm.len()
    );
    assert!(octets[..1200].iter().all(|octet| *octet == SILENCE));
    let heard = decoded(&octets);
    let quiet = |heard: &[i16]| [rms(&heard[..1160]), rms(&heard[5400..])];
    assert!(
        quiet(&heard).iter().all(|level| *level < 40.0),
        "{:?}",
        quiet(&heard)
    );
    let wide: Vec<i16> = pcm.iter().flat_map(|s| [*s, *s]).collect();
    let mut octets = vec![0; pcm.len()];
    assert_eq!(encode_wide(Encoder::default(), &wide, &mut octets), pcm.len());
    let heard = decoded(&octets);
    assert!(
        quiet(&heard).iter().all(|level| *level < 40.0),
        "{:?}",
        quiet(&heard)
    );
}

/// Something like speech: harmonics that glide, syllables.
fn speech(len: usize) -> Vec<i16> {
    let sample = |n: usize| {
        let t = n as f32 / 8000.0;
        let pitch = 130.0 * t + 3.0 * (9.0 * t).sin();
        let voice: f32 = (1..20)
            .map(|h| (std::f32::consts::TAU * pitch * h as f32).sin() / h as f32)
            .sum();
        (5000.0 * (0.6 + 0.4 * (20.0 * t).sin()) * voice) as i16
    };
    (0..len).map(sample).collect()
}

/// How much less than the sound itself, in dB, `heard` is off over 50 ms from `at`.
fn off_db(heard: &[i16], whole: &[i16], at: usize) -> f32 {
    let off: Vec<i16> = (at..at + 400)
        .map(|n| heard[n].saturating_sub(whole[n]))
        .collect();
    20.0 * (rms(&whole[at..at + 400]) / rms(&off).max(0.1)).log10()
}

/// As where the codec changes within a clip, and where one clip cuts off another.
#[test]
fn a_decoder_that_missed_the_beginning_comes_to_hear_the_same() {
    let mut octets = vec![0; 12_000];
    encode_narrow(NarrowEncoder::default(), &speech(12_000), &mut octets);
    let whole = decoded(&octets);
    for cut in [2000, 3333, 5000, 8008] {
        let late = decoded(&octets[cut..]);
        let other = &decoded(&[&octets[..700], &octets[cut..]].concat())[700..];
        for heard in [&late[..], other] {
            let off = [800, 1600, 2400].map(|at| off_db(heard, &whole[cut..], at));
            assert!(
                off[0] > 3.0 && off[1] > 15.0 && off[2] > 30.0,
                "from {cut}: {off:?}"
            );
        }
    }
}

#[test]
fn after_silence_a_clip_is_heard_as_it_was_encoded_from_its_first_sample() {
    let mut octets = vec![0; 4000];
    encode_narrow(NarrowEncoder::after_silence(), &speech(4000), &mut octets);
    let behind = |before: &[u8]| {
        let stream = [before, &[SILENCE; 800], &octets].concat();
        decoded(&stream)[before.len() + 800..].to_vec()
    };
    let (first, again) = (behind(&[]), behind(&octets));
    assert!(off_db(&again, &first, 0) > 15.0, "{}", off_db(&again, &first, 0));
    let given = speech(4000);
    assert!(off_db(&first, &given, 0) > 15.0, "{}", off_db(&first, &given, 0));
    let cut_off = decoded(&[&octets[..2345], &[SILENCE; 400]].concat());
    let rest = [2345 + 160..2345 + 280, 2345 + 280..2745].map(|part| rms(&cut_off[part]));
    assert!(rest[0] < 60.0 && rest[1] < 40.0, "{rest:?}");
}

#[test]
fn every_octet_from_every_state_stays_in_range() {
    let mut entropy = Entropy::from_number(1);
    let (mut wide, mut narrow) = (Decoder::default(), NarrowDecoder::default());
    let (mut encoder, mut narrow_encoder) = (Encoder::default(), NarrowEncoder::default());
    for round in 0..400 {
        // Runs of one octet drive the predictor to its limits, noise shakes it.
        let octet = entropy.below(256) as u8;
        let octets: [u8; 160] = std::array::from_fn(|_| {
            if round % 2 == 0 {
                octet
            } else {
                entropy.below(256) as u8
            }
        });
        let (mut pcm, mut half) = ([0; 320], [0; 160]);
        wide.decode(&octets, &mut pcm);
        narrow.decode(&octets, &mut half);
        let loud: [i16; 320] =
            std::array::from_fn(|_| if entropy.below(2) == 0 { i16::MIN } else { i16::MAX });
        let mut out = [0; 160];
        encoder.encode(if round % 3 == 0 { &loud } else { &pcm }, &mut out);
        narrow_encoder.encode(if round % 3 == 0 { &loud } else { &half }, &mut out);
    }
}
