//! Proof of what was played: each recording with its digest, and how much of it has left. The digest is that of the recording
//! as it was made ready, so it costs a call nothing; the leg tells the ends of clips and where it was stopped.
//!
//! A play that speaks a code tells neither names nor digests: "digit-4" is the code.
use std::sync::Arc;

use crate::media::frame::Clip;
use crate::model::{Codec, PlayedClip};

/// Plays of one call that are kept; a script has at most a dozen.
const PLAYS_MAX: usize = 32;
/// Recordings of one call that are told.
const CLIPS_MAX: usize = 128;

#[derive(Debug, Default)]
pub(super) struct Played(Vec<Play>);

#[derive(Debug)]
struct Play {
    id: u32,
    codec: Codec,
    clips: Vec<Arc<Clip>>,
    private: bool,
    /// Clips that have left whole.
    done: usize,
    /// Of the one after them.
    part_ms: u32,
}

impl Played {
    pub(super) fn began(&mut self, id: u32, codec: Codec, clips: Vec<Arc<Clip>>, private: bool) {
        if self.0.len() < PLAYS_MAX {
            self.0.push(Play {
                id,
                codec,
                clips,
                private,
                done: 0,
                part_ms: 0,
            });
        }
    }

    pub(super) fn done(&mut self, id: u32, index: usize) {
        if let Some(play) = self.play(id) {
            play.done = play.done.max(index.saturating_add(1));
        }
    }

    pub(super) fn stopped(&mut self, id: u32, index: usize, played_ms: u32) {
        if let Some(play) = self.play(id).filter(|play| play.done == index) {
            play.part_ms = played_ms;
        }
    }

    fn play(&mut self, id: u32) -> Option<&mut Play> {
        self.0.iter_mut().rev().find(|play| play.id == id)
    }

    /// Everything of which something has left.
    pub(super) fn clips(&self) -> Vec<PlayedClip> {
        self.0.iter().flat_map(Play::clips).take(CLIPS_MAX).collect()
    }
}

impl Play {
    fn clips(&self) -> impl Iterator<Item = PlayedClip> + '_ {
        let whole = self
            .clips
            .iter()
            .take(self.done)
            .map(|clip| (clip, clip.duration_ms));
        let part = self.clips.get(self.done).map(|clip| (clip, self.part_ms));
        let heard = whole.chain(part).filter(|(_, played_ms)| *played_ms > 0);
        heard.map(|(clip, played_ms)| PlayedClip {
            clip: (!self.private).then(|| clip.name.clone()),
            sha256: (!self.private).then(|| clip.digest(self.codec)),
            played_ms,
            of_ms: clip.duration_ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip(name: &str, frames: usize) -> Arc<Clip> {
        Arc::new(Clip::from_pcm(name, &vec![1000; frames * 160]))
    }

    #[test]
    fn whole_clips_and_the_one_in_the_middle_are_told_and_no_other() {
        let (brand, press, fraud) = (clip("brand", 2), clip("press", 3), clip("fraud", 4));
        let mut played = Played::default();
        played.began(
            1,
            Codec::Pcma,
            vec![Arc::clone(&brand), Arc::clone(&press), fraud],
            false,
        );
        played.done(1, 0);
        played.stopped(1, 1, 20);
        played.began(2, Codec::Pcma, vec![Arc::clone(&press)], false);
        played.done(7, 3);
        let told = |clip: &Arc<Clip>, played_ms| PlayedClip {
            clip: Some(clip.name.clone()),
            sha256: Some(clip.digest(Codec::Pcma)),
            played_ms,
            of_ms: clip.duration_ms,
        };
        assert_eq!(played.clips(), [told(&brand, 40), told(&press, 20)]);
    }

    #[test]
    fn a_code_leaves_no_name_and_no_digest() {
        let mut played = Played::default();
        played.began(1, Codec::Pcmu, vec![clip("digit-4", 2)], true);
        played.done(1, 0);
        let hidden = PlayedClip {
            played_ms: 40,
            of_ms: 40,
            ..PlayedClip::default()
        };
        assert_eq!(played.clips(), [hidden]);
    }

    #[test]
    fn an_endless_call_keeps_within_its_bounds() {
        let mut played = Played::default();
        for id in 0..1000 {
            played.began(id, Codec::Pcmu, vec![clip("a", 1); 10], false);
            (0..10).for_each(|index| played.done(id, index));
        }
        assert_eq!(played.clips().len(), CLIPS_MAX);
    }
}
