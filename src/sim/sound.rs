//! What machines sound like: a tone, all keys one after another, a greeting.
use super::carrier::Exchange;
use crate::media::codec;
use crate::media::frame::Clip;
use crate::media::tone::{ToneGenerator, to_sample};
use crate::model::{Codec, Digit};

pub(super) fn sine(name: &str, hz: f32, ms: u32) -> Clip {
    let mut tone = ToneGenerator::new(hz, -13.0, 0.0, -99.0);
    let pcm: Vec<i16> = (0..ms as usize * 8)
        .map(|_| to_sample(tone.next_sample()))
        .collect();
    Clip::from_pcm(name, &pcm)
}

/// Every key of the telephone, 100 ms each with 100 ms between, over and over.
pub(super) fn twelve_tones(ms: u32) -> Clip {
    let mut pcm: Vec<i16> = Vec::new();
    let keys = "1234567890*#".chars().filter_map(Digit::from_char).cycle();
    for key in keys {
        if pcm.len() >= ms as usize * 8 {
            break;
        }
        let mut tone = ToneGenerator::of(key);
        pcm.extend((0..800).map(|_| to_sample(tone.next_sample())));
        pcm.extend(std::iter::repeat_n(0, 800));
    }
    Clip::from_pcm("twelve-tones", &pcm)
}

/// A machine's greeting: our own sentences in the first voice of the box, the longest first, with pauses between.
pub(super) fn speech(exchange: &Exchange, ms: u32) -> Clip {
    const PAUSE: usize = 350 * 8;
    let wanted = ms as usize * 8;
    let Some(voice) = exchange.voices.first() else {
        return Clip::silence(ms);
    };
    let mut clips: Vec<_> = voice.all_clips().filter(|clip| clip.duration_ms > 0).collect();
    clips.sort_by_key(|clip| std::cmp::Reverse(clip.duration_ms));
    let mut pcm: Vec<i16> = Vec::with_capacity(wanted);
    for clip in clips.iter().cycle() {
        if pcm.len() >= wanted {
            break;
        }
        let octets = clip.audio(Codec::Pcmu);
        let mut decoded = vec![0; octets.len()];
        codec::decode(Codec::Pcmu, octets, &mut decoded);
        pcm.extend(decoded);
        pcm.extend(std::iter::repeat_n(0, PAUSE));
    }
    pcm.resize(wanted, 0);
    Clip::from_pcm("greeting", &pcm)
}
