//! Proof of what was played: each recording with its digest, and how much of it has left. The digest is that of the recording
//! as it was made ready, so it costs a call nothing; the leg tells the ends of clips and where it was stopped.
//!
//! Of a play whose codec changes in the middle no digest is told from the clip on that was last known to play: which octets
//! of it left in which codec is not known here, and a digest of other octets would be no proof. The next play has its own.
//!
//! A play that speaks a code tells neither names nor digests: "digit-4" is the code.
use std::cmp::Ordering;
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
    /// The clip from which on the codec is not known to be the one of the beginning.
    mixed_from: Option<usize>,
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
                mixed_from: None,
                part_ms: 0,
            });
        }
    }

    /// What is agreed from now on. Only the last play can still be under way.
    pub(super) fn agreed(&mut self, codec: Codec) {
        if let Some(play) = self.0.last_mut()
            && play.codec != codec
            && play.done < play.clips.len()
        {
            play.mixed_from.get_or_insert(play.done);
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
        let clips = self.clips.iter().enumerate();
        clips.filter_map(|(index, clip)| {
            let played_ms = match index.cmp(&self.done) {
                Ordering::Less => clip.duration_ms,
                Ordering::Equal => self.part_ms,
                Ordering::Greater => 0,
            };
            let is_mixed = self.mixed_from.is_some_and(|from| index >= from);
            (played_ms > 0).then(|| PlayedClip {
                clip: (!self.private).then(|| clip.name.clone()),
                sha256: (!self.private && !is_mixed).then(|| clip.digest(self.codec)),
                played_ms,
                of_ms: clip.duration_ms,
            })
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
    fn a_change_of_codec_takes_the_digest_of_what_was_playing_and_of_what_followed_in_that_play() {
        let (brand, press, fraud) = (clip("brand", 2), clip("press", 3), clip("fraud", 4));
        let all = vec![Arc::clone(&brand), Arc::clone(&press), Arc::clone(&fraud)];
        let mut played = Played::default();
        played.began(1, Codec::Pcmu, all.clone(), false);
        played.agreed(Codec::Pcmu);
        played.done(1, 0);
        played.agreed(Codec::Pcma);
        played.done(1, 1);
        // Back again: what is in the middle has had both.
        played.agreed(Codec::Pcmu);
        played.stopped(1, 2, 20);
        played.began(2, Codec::Pcmu, vec![Arc::clone(&fraud)], false);
        played.done(2, 0);
        played.agreed(Codec::Pcma);
        let told: Vec<_> = played
            .clips()
            .into_iter()
            .map(|told| (told.clip, told.sha256, told.played_ms))
            .collect();
        let name = |clip: &Arc<Clip>| Some(clip.name.clone());
        let digest = |clip: &Arc<Clip>| Some(clip.digest(Codec::Pcmu));
        let expected = [
            (name(&brand), digest(&brand), 40),
            (name(&press), None, 60),
            (name(&fraud), None, 20),
            (name(&fraud), digest(&fraud), 80),
        ];
        assert_eq!(told, expected);
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
