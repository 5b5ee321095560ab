//! Puts received packets back in order for the tone detector, which must hear audio as it was spoken.
//!
//! A packet in order passes straight through. After a gap up to [`HELD_MAX`] packets wait for the missing one; with
//! the next it counts as lost. So a gap delays a key by at most two packet times, and a stream without gaps by none.
//! The buffer is made at the first gap.
use crate::media::rtp::{DATAGRAM_LEN_MAX, Packet};

/// Packets that wait for a missing one.
const HELD_MAX: usize = 2;

/// A step this far is not worth waiting in.
const AHEAD_MAX: u16 = 64;

/// What one sequence number carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item<'a> {
    Audio(Packet<'a>),
    /// A packet without audio: it only keeps the count.
    Other,
}

/// Audio in its turn, after `lost` packets that never came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn<'a> {
    pub(super) lost: u16,
    pub(super) packet: Packet<'a>,
}

#[derive(Debug, Default)]
pub(super) struct Order {
    next: Option<u16>,
    /// Lost since the last audio.
    lost: u16,
    held: Option<Box<[Held; HELD_MAX]>>,
}

#[derive(Debug)]
struct Held {
    sequence: u16,
    kind: Kind,
    octets: [u8; DATAGRAM_LEN_MAX],
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Vacant,
    Other,
    /// The packet's header; its payload is in `octets`.
    Audio {
        header: Packet<'static>,
        len: usize,
    },
}

impl Order {
    /// Begins a new count, at whatever comes next.
    pub(super) fn restart(&mut self) {
        self.next = None;
        self.lost = 0;
        for held in self.held.iter_mut().flat_map(|held| held.iter_mut()) {
            held.kind = Kind::Vacant;
        }
    }

    /// Takes a packet that is no duplicate and hands on the audio that is in turn now.
    pub(super) fn take(&mut self, sequence: u16, item: Item<'_>, out: &mut impl FnMut(Turn<'_>)) {
        // Every turn of the loop but the last frees a place.
        for _ in 0..=HELD_MAX {
            let ahead = self.next.map_or(0, |next| sequence.wrapping_sub(next));
            if ahead > u16::MAX / 2 {
                // It was given up already.
                return;
            }
            if ahead == 0 {
                self.hand_on(sequence, 0, item, out);
                self.release_in_turn(out);
                return;
            }
            if ahead < AHEAD_MAX && self.hold(sequence, item) {
                return;
            }
            if !self.release_nearest(out) {
                self.hand_on(sequence, ahead, item, out);
                return;
            }
        }
    }

    fn hand_on(&mut self, sequence: u16, lost: u16, item: Item<'_>, out: &mut impl FnMut(Turn<'_>)) {
        self.next = Some(sequence.wrapping_add(1));
        self.lost = self.lost.saturating_add(lost);
        if let Item::Audio(packet) = item {
            let lost = std::mem::replace(&mut self.lost, 0);
            out(Turn { lost, packet });
        }
    }

    fn hold(&mut self, sequence: u16, item: Item<'_>) -> bool {
        let held = self
            .held
            .get_or_insert_with(|| Box::new(std::array::from_fn(|_| Held::vacant())));
        match held.iter_mut().find(|held| matches!(held.kind, Kind::Vacant)) {
            Some(place) => {
                place.put(sequence, item);
                true
            }
            None => false,
        }
    }

    fn release_in_turn(&mut self, out: &mut impl FnMut(Turn<'_>)) {
        for _ in 0..HELD_MAX {
            let waiting = self.held.iter().flat_map(|held| held.iter());
            let in_turn = waiting.filter(|held| held.is_waiting() && Some(held.sequence) == self.next);
            if in_turn.count() == 0 || !self.release_nearest(out) {
                return;
            }
        }
    }

    /// Hands on the nearest held packet and gives up what is missing before it. False when none is held.
    fn release_nearest(&mut self, out: &mut impl FnMut(Turn<'_>)) -> bool {
        let (Some(next), Some(mut held)) = (self.next, self.held.take()) else {
            return false;
        };
        let waiting = held.iter_mut().filter(|held| held.is_waiting());
        let nearest = waiting.min_by_key(|held| held.sequence.wrapping_sub(next));
        let found = nearest.is_some();
        if let Some(nearest) = nearest {
            let lost = nearest.sequence.wrapping_sub(next);
            self.hand_on(nearest.sequence, lost, nearest.item(), out);
            nearest.kind = Kind::Vacant;
        }
        self.held = Some(held);
        if found {
            self.release_in_turn(out);
        }
        found
    }
}

impl Held {
    const fn vacant() -> Self {
        Self {
            sequence: 0,
            kind: Kind::Vacant,
            octets: [0; DATAGRAM_LEN_MAX],
        }
    }

    const fn is_waiting(&self) -> bool {
        !matches!(self.kind, Kind::Vacant)
    }

    fn put(&mut self, sequence: u16, item: Item<'_>) {
        self.sequence = sequence;
        self.kind = match item {
            Item::Other => Kind::Other,
            Item::Audio(packet) => {
                let len = packet.payload.len().min(self.octets.len());
                self.octets
                    .iter_mut()
                    .zip(packet.payload)
                    .for_each(|(to, from)| *to = *from);
                let header = Packet {
                    payload: &[],
                    ..packet
                };
                Kind::Audio { header, len }
            }
        };
    }

    fn item(&self) -> Item<'_> {
        match self.kind {
            Kind::Audio { header, len } => Item::Audio(Packet {
                payload: self.octets.get(..len).unwrap_or_default(),
                ..header
            }),
            Kind::Vacant | Kind::Other => Item::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Entropy;

    /// Sequence numbers (as their low payload octet) and losses, in the order they came out.
    fn ordered(order: &mut Order, sequences: &[u16]) -> Vec<(u16, u8)> {
        let mut turns = Vec::new();
        for sequence in sequences {
            let item = Item::Audio(Packet {
                payload_type: 0,
                marker: false,
                sequence: *sequence,
                timestamp: u32::from(*sequence) * 160,
                ssrc: 1,
                payload: &[*sequence as u8; 160],
            });
            order.take(*sequence, item, &mut |turn| {
                turns.push((turn.lost, turn.packet.payload[7]))
            });
        }
        turns
    }

    #[test]
    fn packets_in_order_pass_straight_through_across_the_wrap() {
        let mut order = Order::default();
        assert_eq!(
            ordered(&mut order, &[65_534, 65_535, 0, 1]),
            [(0, 254), (0, 255), (0, 0), (0, 1)]
        );
        assert!(order.held.is_none());
    }

    #[test]
    fn a_late_packet_takes_its_turn() {
        let mut order = Order::default();
        assert_eq!(ordered(&mut order, &[10, 12]), [(0, 10)]);
        assert_eq!(ordered(&mut order, &[11]), [(0, 11), (0, 12)]);
        assert_eq!(ordered(&mut order, &[15, 14, 13]), [(0, 13), (0, 14), (0, 15)]);
    }

    #[test]
    fn a_lost_packet_is_given_up_with_the_third_after_it() {
        let mut order = Order::default();
        assert_eq!(ordered(&mut order, &[10, 12, 13]), [(0, 10)]);
        assert_eq!(ordered(&mut order, &[14]), [(1, 12), (0, 13), (0, 14)]);
        assert_eq!(ordered(&mut order, &[11]), [], "too late");
        assert_eq!(ordered(&mut order, &[15]), [(0, 15)]);
    }

    #[test]
    fn several_gaps_and_a_long_one_end() {
        let mut order = Order::default();
        assert_eq!(ordered(&mut order, &[10, 12, 14, 16]), [(0, 10), (1, 12)]);
        assert_eq!(ordered(&mut order, &[18]), [(1, 14)]);
        assert_eq!(
            ordered(&mut order, &[1000]),
            [(1, 16), (1, 18), (981, 1000 % 256)].map(|(l, p)| (l, p as u8))
        );
        order.restart();
        assert_eq!(ordered(&mut order, &[5]), [(0, 5)]);
    }

    #[test]
    fn a_packet_without_audio_keeps_the_count_and_the_losses_before_it() {
        let mut order = Order::default();
        assert_eq!(ordered(&mut order, &[10]), [(0, 10)]);
        order.take(11, Item::Other, &mut |_| panic!());
        order.take(13, Item::Other, &mut |_| panic!());
        assert_eq!(ordered(&mut order, &[14, 15]), [(1, 14), (0, 15)]);
    }

    #[test]
    fn every_packet_comes_out_once_in_order_whatever_the_shuffle() {
        for seed in 0..50 {
            let mut entropy = Entropy::from_number(seed);
            let mut sequences: Vec<u16> = (0..200).filter(|_| entropy.below(20) != 0).collect();
            for i in 0..sequences.len() - 2 {
                if entropy.below(10) == 0 {
                    sequences.swap(i, i + 1 + entropy.below(2) as usize);
                }
            }
            let turns = ordered(&mut Order::default(), &sequences);
            assert!(turns.is_sorted_by_key(|(_, sequence)| *sequence), "seed {seed}");
            assert!(
                turns
                    .windows(2)
                    .all(|pair| u16::from(pair[1].1 - pair[0].1) == pair[1].0 + 1),
                "seed {seed}"
            );
        }
    }
}
