//! What plays: a list of clips read as one run of coded octets, whatever the packet length.
//!
//! A clip is encoded once for every call, so a packet is a copy. A packet that spans two clips holds the end of
//! one and the beginning of the other; after the last clip it is filled with silence. Every codec here has eight
//! octets a millisecond, so a change of codec in the middle keeps the place. The far decoder of G.722 then begins in
//! the middle of a clip, as it does where one clip cuts off another: it needs a tenth of a second to follow.
use std::sync::Arc;

use super::codec;
use super::command::MediaEvent;
use super::frame::Clip;
use crate::model::Codec;

/// The player of one stream.
#[derive(Debug, Default)]
pub struct Playout {
    playing: Option<Playing>,
    /// Some of the last payload was of a private play.
    private: bool,
    mean_square: f32,
}

#[derive(Debug)]
struct Playing {
    id: u32,
    clips: Vec<Arc<Clip>>,
    private: bool,
    /// The clip being read, and the next octet of it.
    index: usize,
    offset: usize,
}

impl Playout {
    /// Plays `clips` from the beginning in place of what plays. Nothing to play is done at once.
    pub fn play(&mut self, id: u32, clips: Vec<Arc<Clip>>, private: bool, events: &mut Vec<MediaEvent>) {
        self.stop(events);
        if clips.is_empty() {
            events.push(MediaEvent::PlayDone { id });
            return;
        }
        self.playing = Some(Playing {
            id,
            clips,
            private,
            index: 0,
            offset: 0,
        });
    }

    /// Ends what plays, and tells how far the clip in the middle has come.
    pub fn stop(&mut self, events: &mut Vec<MediaEvent>) {
        let Some(playing) = self.playing.take() else {
            return;
        };
        events.push(MediaEvent::PlayStopped {
            id: playing.id,
            index: playing.index,
            played_ms: u32::try_from(playing.offset / codec::SAMPLES_PER_MS).unwrap_or(u32::MAX),
        });
    }

    #[must_use]
    pub const fn is_playing(&self) -> bool {
        self.playing.is_some()
    }

    /// Whether the last payload held some of what no record may hold.
    #[must_use]
    pub const fn is_private(&self) -> bool {
        self.private
    }

    /// Fills `payload` with the next octets, and with silence behind them. The events are of the clips whose last
    /// octet is in this payload: they hold once the packet has left.
    pub fn fill(&mut self, codec: Codec, payload: &mut [u8], events: &mut Vec<MediaEvent>) {
        let (mut filled, mut energy) = (0, 0.0);
        self.private = false;
        while let Some(playing) = &mut self.playing {
            let Some(clip) = playing.clips.get(playing.index) else {
                events.push(MediaEvent::PlayDone { id: playing.id });
                self.playing = None;
                break;
            };
            let rest = clip.audio(codec).get(playing.offset..).unwrap_or_default();
            let space = payload.get_mut(filled..).unwrap_or_default();
            let count = rest.len().min(space.len());
            if let (Some(to), Some(from)) = (space.get_mut(..count), rest.get(..count)) {
                to.copy_from_slice(from);
            }
            energy += count as f32 * playing.loudness(clip, codec, count);
            filled += count;
            self.private |= playing.private;
            playing.offset += count;
            if count < rest.len() {
                break;
            }
            events.push(MediaEvent::ClipDone {
                id: playing.id,
                index: playing.index,
            });
            playing.index += 1;
            playing.offset = 0;
        }
        payload
            .get_mut(filled..)
            .unwrap_or_default()
            .fill(codec::silence(codec));
        self.mean_square = energy / payload.len().max(1) as f32;
    }

    /// Of the samples in the last payload, where their octets do not tell it: in G.722.
    #[must_use]
    pub const fn mean_square(&self) -> f32 {
        self.mean_square
    }
}

impl Playing {
    /// Mean square of the next `count` octets of a clip. Those of G.722 are not decoded for it: the same moment of the
    /// same clip in G.711 is as loud.
    fn loudness(&self, clip: &Clip, codec: Codec, count: usize) -> f32 {
        if codec != Codec::G722 {
            return 0.0;
        }
        let twin = clip.audio(Codec::Pcmu).get(self.offset..self.offset + count);
        twin.and_then(|octets| codec::mean_square(Codec::Pcmu, octets))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip(value: i16, frames: usize) -> Arc<Clip> {
        Arc::new(Clip::from_pcm("clip", &vec![value; frames * 160]))
    }

    /// Everything that plays, in packets of `octets`, and in which packet each event came.
    fn played(clips: &[Arc<Clip>], octets: usize, packets: usize) -> (Vec<u8>, Vec<(usize, MediaEvent)>) {
        let mut playout = Playout::default();
        let (mut audio, mut dated, mut events) = (Vec::new(), Vec::new(), Vec::new());
        playout.play(7, clips.to_vec(), false, &mut events);
        for packet in 0..packets {
            let mut payload = vec![0; octets];
            playout.fill(Codec::Pcmu, &mut payload, &mut events);
            audio.extend(payload);
            dated.extend(events.drain(..).map(|event| (packet, event)));
        }
        assert!(!playout.is_playing());
        (audio, dated)
    }

    #[test]
    fn every_packet_length_carries_the_same_octets_and_then_silence() {
        let clips = [clip(1000, 3), clip(-2000, 2), clip(50, 1)];
        let mut expected: Vec<u8> = clips.iter().flat_map(|c| c.audio(Codec::Pcmu).to_vec()).collect();
        expected.resize(1920, codec::silence(Codec::Pcmu));
        for ptime_ms in [10, 20, 30, 40, 60] {
            let octets = ptime_ms * 8;
            let (audio, _) = played(&clips, octets, 1920 / octets);
            assert!(audio == expected, "{ptime_ms}");
        }
    }

    #[test]
    fn a_clip_is_done_with_the_packet_that_holds_its_last_octet() {
        let clips = [clip(1000, 3), clip(-2000, 2)];
        let done = |index| MediaEvent::ClipDone { id: 7, index };
        let all = MediaEvent::PlayDone { id: 7 };
        let (_, events) = played(&clips, 160, 6);
        assert_eq!(events, [(2, done(0)), (4, done(1)), (4, all.clone())]);
        // 30 ms: the first clip ends with the second packet, the last one inside the fourth.
        let (_, events) = played(&clips, 240, 6);
        assert_eq!(events, [(1, done(0)), (3, done(1)), (3, all.clone())]);
        // 40 ms: the second packet holds the end of the first clip and the beginning of the second.
        let (_, events) = played(&clips, 320, 6);
        assert_eq!(events, [(1, done(0)), (2, done(1)), (2, all)]);
    }

    #[test]
    fn empty_clips_and_empty_lists_are_done_without_a_sound() {
        let (audio, events) = played(&[], 160, 1);
        assert_eq!(audio, [0xff; 160]);
        assert_eq!(events, [(0, MediaEvent::PlayDone { id: 7 })]);
        let (_, events) = played(&[Arc::new(Clip::silence(0)), clip(5, 1)], 160, 1);
        assert_eq!(events.len(), 3);
    }

    #[test]
    fn a_change_of_codec_keeps_the_place_and_stop_ends_without_an_event() {
        let clips = vec![clip(1000, 2)];
        let (mut playout, mut events, mut payload) = (Playout::default(), Vec::new(), [0; 160]);
        playout.play(1, clips.clone(), false, &mut events);
        playout.fill(Codec::Pcmu, &mut payload, &mut events);
        assert_eq!(payload[..], clips[0].pcmu[0].payload()[..]);
        playout.fill(Codec::Pcma, &mut payload, &mut events);
        assert_eq!(payload[..], clips[0].pcma[1].payload()[..]);
        playout.play(3, clips.clone(), false, &mut events);
        playout.fill(Codec::Pcmu, &mut payload, &mut events);
        playout.fill(Codec::G722, &mut payload, &mut events);
        assert_eq!(payload[..], clips[0].audio(Codec::G722)[160..]);
        assert!((playout.mean_square().sqrt() - 1000.0).abs() < 30.0);
        playout.fill(Codec::G722, &mut payload, &mut events);
        assert_eq!((payload, playout.mean_square()), ([0xff; 160], 0.0));
        events.clear();
        playout.play(2, clips, true, &mut events);
        assert_eq!(events, []);
        playout.fill(Codec::Pcma, &mut payload, &mut events);
        playout.stop(&mut events);
        let stopped = MediaEvent::PlayStopped {
            id: 2,
            index: 0,
            played_ms: 20,
        };
        assert_eq!(std::mem::take(&mut events), [stopped]);
        playout.fill(Codec::Pcma, &mut payload, &mut events);
        assert_eq!((payload, events.len()), ([0xd5; 160], 0));
    }
}
