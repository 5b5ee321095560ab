//! Keeps what the peer says, in media time. Only for the simulator's callees.
use crate::media::codec;
use crate::media::command::Recording;
use crate::model::Codec;

/// A step in media time beyond this is not silence but a new count of timestamps: the recording goes on where
/// it was.
const GAP_OCTETS_MAX: usize = 10 * 8000;

#[derive(Debug)]
pub(super) struct Recorder {
    codec: Codec,
    octets: Vec<u8>,
    received: usize,
    /// Media time of the first octet, and whose clock it is.
    origin: Option<(u32, u32)>,
}

impl Recorder {
    pub(super) const fn new(codec: Codec) -> Self {
        Self {
            codec,
            octets: Vec::new(),
            received: 0,
            origin: None,
        }
    }

    /// Puts a payload where its timestamp says; a late one fills its gap. One of the other law leaves a gap.
    pub(super) fn put(&mut self, codec: Codec, ssrc: u32, timestamp: u32, payload: &[u8]) {
        if codec != self.codec {
            return;
        }
        let continued = self
            .origin
            .filter(|(_, source)| *source == ssrc)
            .map(|(origin, _)| timestamp.wrapping_sub(origin).cast_signed())
            .filter(|at| usize::try_from(*at).is_ok_and(|at| at <= self.octets.len() + GAP_OCTETS_MAX));
        let at = match continued {
            Some(at) => usize::try_from(at).unwrap_or(0),
            None => {
                let at = self.octets.len();
                self.origin = Some((timestamp.wrapping_sub(at as u32), ssrc));
                at
            }
        };
        let end = at + payload.len();
        if end > Recording::OCTETS_MAX {
            return;
        }
        if self.octets.len() < end {
            self.octets.resize(end, codec::silence(self.codec));
        }
        if let Some(place) = self.octets.get_mut(at..end) {
            place.copy_from_slice(payload);
            self.received += payload.len();
        }
    }

    /// The recording so far; a new one begins.
    pub(super) fn take(&mut self) -> Recording {
        let fresh = Self::new(self.codec);
        let taken = std::mem::replace(self, fresh);
        Recording {
            codec: taken.codec,
            octets: taken.octets,
            received: taken.received,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_stand_where_their_timestamps_say() {
        let mut recorder = Recorder::new(Codec::Pcmu);
        recorder.put(Codec::Pcmu, 1, u32::MAX - 159, &[1; 160]);
        recorder.put(Codec::Pcmu, 1, 320, &[3; 160]);
        recorder.put(Codec::Pcmu, 1, 0, &[2; 160]);
        let recording = recorder.take();
        assert_eq!(recording.received, 480);
        let expected = [[1; 160], [2; 160], [0xff; 160], [3; 160]].concat();
        assert_eq!(recording.octets, expected);
        assert!(recorder.take().octets.is_empty());
    }

    #[test]
    fn a_new_source_or_a_new_count_goes_on_at_the_end() {
        let mut recorder = Recorder::new(Codec::Pcma);
        recorder.put(Codec::Pcma, 1, 1000, &[1; 80]);
        recorder.put(Codec::Pcma, 2, 99, &[2; 80]);
        recorder.put(Codec::Pcma, 2, 99 + 80, &[3; 80]);
        recorder.put(Codec::Pcma, 2, 50_000_000, &[4; 80]);
        recorder.put(Codec::Pcma, 2, 4, &[5; 80]);
        assert_eq!(
            recorder.take().octets,
            [[1; 80], [2; 80], [3; 80], [4; 80], [5; 80]].concat()
        );
    }

    #[test]
    fn it_ends_at_its_bound() {
        let mut recorder = Recorder::new(Codec::Pcmu);
        for n in 0..2000_u32 {
            recorder.put(Codec::Pcmu, 1, n * 960, &[1; 960]);
        }
        assert_eq!(recorder.take().octets.len(), Recording::OCTETS_MAX);
    }
}
