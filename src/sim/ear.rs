//! What a callee makes of the audio that it hears: which of our sentences was said, and when the other side went
//! quiet.
//!
//! A sentence is known by its loudest 20 ms, octet for octet: RTP carries our own prompts unchanged, whatever the
//! packet length. For anybody else's prompts there is the general rule: speech, then a pause.
use std::collections::BTreeMap;

use crate::media::codec::Decoder;
use crate::media::voice::Voice;
use crate::model::Codec;

/// Octets (and samples) of a millisecond.
const OCTETS_PER_MS: usize = 8;
/// Length of the excerpt that a clip is known by.
const EXCERPT: usize = 160;
/// A 20 ms window is speech from this mean level on, of a full scale of 32,768.
const SPEECH_LEVEL_MIN: u32 = 300;
/// So much speech must have been heard before a pause means that the prompt is over.
const SPEECH_MS_MIN: usize = 400;
/// Pause that ends a prompt: longer than any within our sentences.
const PAUSE_MS: usize = 900;

/// One clip that was recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) clip: String,
    /// Where it ends in the audio, milliseconds from its start.
    pub(super) ends_at_ms: usize,
}

/// Excerpts of all clips of a language, in each codec that is spoken.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    excerpts: BTreeMap<Codec, Vec<Excerpt>>,
}

#[derive(Debug, Clone)]
struct Excerpt {
    clip: String,
    octets: Vec<u8>,
    /// From the end of the excerpt to the end of the clip.
    rest_ms: usize,
}

impl Memory {
    pub(super) fn of(voices: &[std::sync::Arc<Voice>], codecs: &[Codec]) -> Self {
        let mut excerpts: BTreeMap<Codec, Vec<Excerpt>> = BTreeMap::new();
        for clip in voices.iter().flat_map(|voice| voice.all_clips()) {
            for codec in codecs.iter().copied() {
                let octets = clip.audio(codec);
                let mut decoder = Decoder::default();
                let levels = octets
                    .chunks(EXCERPT)
                    .map(|frame| level(&mut decoder, codec, frame));
                let loudest = levels.enumerate().max_by_key(|(_, level)| *level);
                let Some((index, level)) = loudest else { continue };
                if level < SPEECH_LEVEL_MIN {
                    continue;
                }
                excerpts.entry(codec).or_default().push(Excerpt {
                    clip: clip.name.clone(),
                    octets: octets.chunks(EXCERPT).nth(index).unwrap_or_default().to_vec(),
                    rest_ms: octets.len().saturating_sub((index + 1) * EXCERPT) / OCTETS_PER_MS,
                });
            }
        }
        Self { excerpts }
    }
}

/// Listens to one call.
#[derive(Debug, Clone)]
pub(super) struct Ear {
    codec: Codec,
    decoder: Decoder,
    /// Audio not yet searched: the tail of what came, so that an excerpt across two pieces is found.
    tail: Vec<u8>,
    /// Octets before `tail`.
    passed: usize,
    heard: Vec<Heard>,
    speech_ms: usize,
    pause_ms: usize,
    window: Vec<u8>,
}

impl Ear {
    pub(super) fn new(codec: Codec) -> Self {
        Self {
            codec,
            decoder: Decoder::default(),
            tail: Vec::new(),
            passed: 0,
            heard: Vec::new(),
            speech_ms: 0,
            pause_ms: 0,
            window: Vec::new(),
        }
    }

    /// Takes the next piece of audio.
    pub(super) fn listen(&mut self, memory: &Memory, octets: &[u8]) {
        self.window.extend_from_slice(octets);
        while self.window.len() >= EXCERPT {
            let rest = self.window.split_off(EXCERPT);
            let speaks = level(&mut self.decoder, self.codec, &self.window) >= SPEECH_LEVEL_MIN;
            self.window = rest;
            if speaks {
                self.speech_ms += 20;
                self.pause_ms = 0;
            } else {
                self.pause_ms += 20;
            }
        }
        self.tail.extend_from_slice(octets);
        for excerpt in memory.excerpts.get(&self.codec).into_iter().flatten() {
            if let Some(at) = find(&self.tail, &excerpt.octets) {
                let end_octet = self.passed + at + EXCERPT;
                let ends_at_ms = end_octet / OCTETS_PER_MS + excerpt.rest_ms;
                let again = self
                    .heard
                    .iter()
                    .any(|h| h.clip == excerpt.clip && h.ends_at_ms.abs_diff(ends_at_ms) < 100);
                if !again && self.heard.len() < 1024 {
                    self.heard.push(Heard {
                        clip: excerpt.clip.clone(),
                        ends_at_ms,
                    });
                }
            }
        }
        let keep = self.tail.len().min(EXCERPT - 1);
        let gone = self.tail.len() - keep;
        self.passed += gone;
        self.tail.drain(..gone);
    }

    /// Milliseconds of audio heard so far.
    pub(super) const fn now_ms(&self) -> usize {
        (self.passed + self.tail.len()) / OCTETS_PER_MS
    }

    /// Clips that were heard to their end, in that order.
    pub(super) fn finished(&self) -> impl Iterator<Item = &Heard> {
        let now_ms = self.now_ms();
        self.heard.iter().filter(move |h| h.ends_at_ms <= now_ms)
    }

    /// Speech came, and then a pause that no sentence has inside.
    pub(super) const fn is_prompt_over(&self) -> bool {
        self.speech_ms >= SPEECH_MS_MIN && self.pause_ms >= PAUSE_MS
    }

    /// Waits for the next prompt from now on.
    pub(super) const fn expect_more(&mut self) {
        self.speech_ms = 0;
        self.pause_ms = 0;
    }
}

/// Mean level of a window, 0–32,767.
fn level(decoder: &mut Decoder, codec: Codec, octets: &[u8]) -> u32 {
    let mut pcm = [0; EXCERPT];
    let count = decoder.decode(codec, octets, &mut pcm);
    let sum: u32 = pcm[..count].iter().map(|s| u32::from(s.unsigned_abs())).sum();
    sum / u32::try_from(count.max(1)).unwrap_or(1)
}

/// Where `needle` begins, by a search for its first two octets; both are short.
fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|w| w[0] == needle[0] && w == needle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::codec;
    use crate::media::frame::Clip;
    use std::sync::Arc;

    fn noise(seed: u64, ms: usize) -> Vec<i16> {
        let mut entropy = crate::model::Entropy::from_number(seed);
        (0..ms * OCTETS_PER_MS)
            .map(|_| i16::try_from(entropy.below(8000)).unwrap() - 4000)
            .collect()
    }

    fn memory() -> (Memory, Vec<Arc<Clip>>) {
        let clips: Vec<Arc<Clip>> = (0..3)
            .map(|n| Arc::new(Clip::from_pcm(format!("clip-{n}"), &noise(n, 400))))
            .collect();
        let map = clips.iter().map(|c| (c.name.clone(), Arc::clone(c))).collect();
        (
            Memory::of(&[Arc::new(Voice::new("en-US", map, BTreeMap::new()))], Codec::ALL),
            clips,
        )
    }

    #[test]
    fn a_clip_is_known_when_it_has_ended_whatever_the_packets() {
        let (memory, clips) = memory();
        for (packet, codec) in [
            (80, Codec::Pcmu),
            (160, Codec::Pcmu),
            (240, Codec::Pcma),
            (333, Codec::Pcmu),
            (240, Codec::G722),
        ] {
            let mut ear = Ear::new(codec);
            let mut audio = vec![codec::silence(codec); 1000];
            audio.extend_from_slice(clips[1].audio(codec));
            audio.extend(vec![codec::silence(codec); 8000]);
            let mut told_at = None;
            for piece in audio.chunks(packet) {
                ear.listen(&memory, piece);
                if ear.finished().next().is_some() && told_at.is_none() {
                    told_at = Some(ear.now_ms());
                }
            }
            let names: Vec<&str> = ear.finished().map(|h| h.clip.as_str()).collect();
            assert_eq!(names, ["clip-1"], "packet {packet}");
            let told_at = told_at.unwrap();
            assert!(
                (525..=575).contains(&told_at),
                "packet {packet}: told at {told_at} ms"
            );
            assert!(ear.is_prompt_over());
            ear.expect_more();
            assert!(!ear.is_prompt_over());
        }
    }

    #[test]
    fn another_voice_is_no_clip_but_its_pause_counts() {
        let (memory, _) = memory();
        let mut ear = Ear::new(Codec::Pcma);
        let stranger = Clip::from_pcm("stranger", &noise(99, 700));
        ear.listen(&memory, stranger.audio(Codec::Pcma));
        assert!(!ear.is_prompt_over());
        ear.listen(&memory, &vec![codec::silence(Codec::Pcma); 8 * PAUSE_MS]);
        assert!(ear.is_prompt_over());
        assert_eq!(ear.finished().count(), 0);
    }
}
