//! Damage to our own packets, for the simulator's callees: a bad line that every run repeats exactly.
use crate::media::command::Impairment;
use crate::media::rtp::DATAGRAM_LEN_MAX;
use crate::model::Entropy;

#[derive(Debug)]
pub(super) struct Impairer {
    damage: Impairment,
    entropy: Entropy,
    held: Held,
    packet: [u8; DATAGRAM_LEN_MAX],
    packet_len: usize,
}

/// A packet that lets its successor pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    Nothing,
    /// The successor has not left yet.
    Waits,
    /// It leaves now.
    Leaves,
}

impl Impairer {
    pub(super) const fn new(damage: Impairment, entropy: Entropy) -> Self {
        Self {
            damage,
            entropy,
            held: Held::Nothing,
            packet: [0; DATAGRAM_LEN_MAX],
            packet_len: 0,
        }
    }

    /// How often this packet leaves now.
    pub(super) fn copies_of(&mut self, packet: &[u8]) -> u8 {
        let followed = self.held == Held::Waits;
        if followed {
            self.held = Held::Leaves;
        }
        if self.happens(self.damage.drop_per_mille) {
            return 0;
        }
        if !followed
            && self.happens(self.damage.reorder_per_mille)
            && let Some(place) = self.packet.get_mut(..packet.len())
        {
            place.copy_from_slice(packet);
            self.packet_len = packet.len();
            self.held = Held::Waits;
            return 0;
        }
        if self.happens(self.damage.duplicate_per_mille) {
            return 2;
        }
        1
    }

    /// Writes the packet that was overtaken, if its time has come.
    pub(super) fn release(&mut self, buffer: &mut [u8]) -> Option<usize> {
        if self.held != Held::Leaves {
            return None;
        }
        self.held = Held::Nothing;
        buffer
            .get_mut(..self.packet_len)?
            .copy_from_slice(self.packet.get(..self.packet_len)?);
        Some(self.packet_len)
    }

    fn happens(&mut self, per_mille: u16) -> bool {
        self.entropy.below(1000) < u64::from(per_mille)
    }
}
