//! The network between us and one trunk: it loses, delays, reorders and repeats datagrams.
use std::net::SocketAddr;
use std::time::Duration;

use ringproof::model::Entropy;

use crate::dice::Dice;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Datagram {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

/// Copies made of one datagram at most.
const COPIES_MAX: u64 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) loss_percent: u64,
    pub(crate) duplicate_percent: u64,
    pub(crate) delay_ms: u64,
    /// Spread of the delay: with it a later datagram may overtake an earlier one.
    pub(crate) jitter_ms: u64,
    /// Nothing gets through, in either direction.
    pub(crate) down: bool,
}

impl Link {
    pub(crate) const CLEAN: Self = Self {
        loss_percent: 0,
        duplicate_percent: 0,
        delay_ms: 20,
        jitter_ms: 0,
        down: false,
    };

    /// After how long each copy of one datagram arrives; none when it is lost.
    pub(crate) fn carry(&self, dice: &mut Entropy) -> Vec<Duration> {
        if self.down {
            return Vec::new();
        }
        let mut copies = 1;
        while copies < COPIES_MAX && dice.chance(self.duplicate_percent) {
            copies += 1;
        }
        let arrives = |dice: &mut Entropy| {
            if dice.chance(self.loss_percent) {
                return None;
            }
            let jitter_us = dice.between(0, self.jitter_ms * 1000);
            Some(Duration::from_micros(self.delay_ms * 1000 + jitter_us))
        };
        (0..copies).filter_map(|_| arrives(dice)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(link: Link, datagrams: usize) -> Vec<Vec<Duration>> {
        let mut dice = Entropy::from_number(3);
        (0..datagrams).map(|_| link.carry(&mut dice)).collect()
    }

    #[test]
    fn a_clean_link_brings_each_datagram_once_and_in_order() {
        let all = delays(Link::CLEAN, 100);
        assert!(all.iter().all(|copies| *copies == [Duration::from_millis(20)]));
    }

    #[test]
    fn losses_and_copies_come_as_often_as_asked() {
        let link = Link {
            loss_percent: 10,
            duplicate_percent: 10,
            jitter_ms: 50,
            ..Link::CLEAN
        };
        let all = delays(link, 10_000);
        let arrived: usize = all.iter().map(Vec::len).sum();
        // 1 + 0.1 + 0.01 copies, nine of ten of which arrive.
        assert!((9_700..10_300).contains(&arrived), "{arrived}");
        let overtaken = all
            .windows(2)
            .filter(|pair| matches!((pair[0].first(), pair[1].first()), (Some(a), Some(b)) if *a > *b + Duration::from_millis(20)))
            .count();
        assert!(overtaken > 100, "{overtaken}");
    }

    #[test]
    fn a_link_that_is_down_brings_nothing() {
        assert!(
            delays(
                Link {
                    down: true,
                    ..Link::CLEAN
                },
                50
            )
            .iter()
            .all(Vec::is_empty)
        );
    }
}
