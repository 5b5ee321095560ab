//! The seeded dice of the mutations.
use ringproof::model::Entropy;

pub(super) struct Dice(Entropy);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(Entropy::from_number(seed))
    }

    /// 0 up to and without `sides`.
    pub(super) fn below(&mut self, sides: usize) -> usize {
        let sides = u64::try_from(sides.max(1)).unwrap();
        usize::try_from(self.0.below(sides)).unwrap()
    }

    pub(super) fn octet(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }
}

/// One to eight wounds. What comes out is at most a datagram.
pub(super) fn mutate(dice: &mut Dice, message: &[u8], other: &[u8]) -> Vec<u8> {
    let mut octets = message.to_vec();
    for _ in 0..=dice.below(8) {
        wound(dice, &mut octets, other);
    }
    octets.truncate(60_000);
    octets
}

fn wound(dice: &mut Dice, octets: &mut Vec<u8>, other: &[u8]) {
    let at = dice.below(octets.len() + 1);
    match dice.below(10) {
        0 if at < octets.len() => octets[at] ^= 1 << dice.below(8),
        1 if at < octets.len() => octets[at] = dice.octet(),
        2 => octets.insert(at, dice.octet()),
        3 => {
            let until = (at + dice.below(32)).min(octets.len());
            octets.drain(at..until);
        }
        4 => octets.truncate(at),
        5 => {
            // A piece of itself once more: fields twice, tags within tags.
            let from = dice.below(octets.len() + 1);
            let until = (from + dice.below(200)).min(octets.len());
            let piece = octets[from..until].to_vec();
            octets.splice(at..at, piece);
        }
        6 => {
            // The rest of another message.
            octets.truncate(at);
            octets.extend(&other[dice.below(other.len() + 1)..]);
        }
        7 => {
            const TOKENS: [&[u8]; 16] = [
                b"\r\n",
                b"\r\n\r\n",
                b"\r\n ",
                b"\n",
                b"\0",
                b"%00",
                b"\"",
                b"<",
                b">",
                b";",
                b",",
                b":",
                b"@",
                b"4294967296",
                b"-1",
                b"\xff\xfe",
            ];
            octets.splice(at..at, TOKENS[dice.below(TOKENS.len())].iter().copied());
        }
        8 => octets
            .splice(at..at, vec![dice.octet(); dice.below(3000)])
            .for_each(drop),
        _ => {
            // A number becomes another.
            if let Some(digit) = octets.iter().skip(at).position(u8::is_ascii_digit) {
                octets[at + digit] = b'0' + u8::try_from(dice.below(10)).unwrap();
            }
        }
    }
}
