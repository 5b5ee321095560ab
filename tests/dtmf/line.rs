//! What a telephone line does to a sound: G.711 (ITU-T G.711), packets, loss, concealment, slips.
use super::dice::Dice;
use super::signal::samples_of;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Law {
    Mu,
    A,
}

/// Samples of one packet: 20 ms.
pub const PACKET: usize = 160;

pub fn to_pcm(signal: &[f64]) -> Vec<i16> {
    // A float-to-integer cast saturates.
    signal.iter().map(|x| x.round() as i16).collect()
}

pub fn encode(law: Law, pcm: &[i16]) -> Vec<u8> {
    pcm.iter()
        .map(|s| match law {
            Law::Mu => encode_mu(*s),
            Law::A => encode_a(*s),
        })
        .collect()
}

pub fn decode(law: Law, octets: &[u8]) -> Vec<i16> {
    octets
        .iter()
        .map(|o| match law {
            Law::Mu => decode_mu(*o),
            Law::A => decode_a(*o),
        })
        .collect()
}

fn encode_mu(sample: i16) -> u8 {
    let magnitude = i32::from(sample).abs().min(32_635) + 132;
    let segment = magnitude.ilog2() - 7;
    let code = (segment << 4) as u8 | (magnitude >> (segment + 3) & 15) as u8;
    !(code | if sample < 0 { 0x80 } else { 0 })
}

fn decode_mu(octet: u8) -> i16 {
    let code = !octet;
    let magnitude = (((i32::from(code & 15) << 3) + 132) << (code >> 4 & 7)) - 132;
    (if code & 0x80 == 0 { magnitude } else { -magnitude }) as i16
}

fn encode_a(sample: i16) -> u8 {
    let sample = i32::from(sample);
    let magnitude = (if sample < 0 { -1 - sample } else { sample }) >> 3;
    let segment = magnitude.max(16).ilog2() - 4;
    let code = (segment << 4) as u8 | (magnitude >> segment.max(1) & 15) as u8;
    (code | if sample < 0 { 0 } else { 0x80 }) ^ 0x55
}

fn decode_a(octet: u8) -> i16 {
    let code = octet ^ 0x55;
    let (segment, mantissa) = (i32::from(code >> 4 & 7), i32::from(code & 15));
    let magnitude = match segment {
        0 => (mantissa << 4) + 8,
        _ => ((mantissa << 4) + 0x108) << (segment - 1),
    };
    (if code & 0x80 == 0 { -magnitude } else { magnitude }) as i16
}

/// One packet in so many is lost, and with it now and then the next.
pub fn losses(packets: usize, share: f64, dice: &mut Dice) -> Vec<bool> {
    let mut lost = vec![false; packets];
    for n in 0..packets {
        if dice.chance(share) {
            lost[n] = true;
            if let Some(next) = lost.get_mut(n + 1) {
                *next = dice.chance(0.2);
            }
        }
    }
    lost
}

/// A gateway fills lost packets in: it repeats the last pitch period, falling by a fifth each 10 ms after the first, and
/// blends into what comes next (in the manner of ITU-T G.711 appendix I).
pub fn conceal(pcm: &mut [i16], lost: &[bool]) {
    let blend = samples_of(4.0);
    let mut gap = 0;
    while let Some(first) = lost.iter().skip(gap).position(|l| *l).map(|n| n + gap) {
        let end = lost
            .iter()
            .skip(first)
            .position(|l| !l)
            .map_or(lost.len(), |n| n + first);
        gap = end;
        let (start, end) = (first * PACKET, (end * PACKET).min(pcm.len()));
        if start < 400 {
            pcm[..end].fill(0);
            continue;
        }
        let period = pitch(&pcm[start - 400..start]);
        for n in start..(end + blend).min(pcm.len()) {
            let tens = (n - start) as f64 / 80.0;
            let fall = (1.0 - 0.2 * (tens - 1.0).max(0.0)).max(0.0);
            let repeated = f64::from(pcm[start - period + (n - start) % period]) * fall;
            let real = if n < end {
                0.0
            } else {
                (n - end) as f64 / blend as f64
            };
            pcm[n] = (repeated * (1.0 - real) + f64::from(pcm[n]) * real) as i16;
        }
    }
}

/// The lag of 5-15 ms at which the end of a stretch resembles what was before.
fn pitch(past: &[i16]) -> usize {
    let tail = 160;
    let likeness = |lag: usize| {
        let (mut both, mut energy) = (0.0, 1.0);
        for n in past.len() - tail..past.len() {
            let (now, then) = (f64::from(past[n]), f64::from(past[n - lag]));
            both += now * then;
            energy += then * then;
        }
        both / energy.sqrt()
    };
    (40..=120)
        .max_by(|a, b| likeness(*a).total_cmp(&likeness(*b)))
        .unwrap_or(80)
}

/// Samples of a RIFF file of 16-bit mono PCM.
pub fn samples_of_wav(octets: &[u8]) -> Option<Vec<i16>> {
    let mut rest = octets.get(12..)?;
    loop {
        let (name, length) = (rest.get(..4)?, rest.get(4..8)?.try_into().ok()?);
        let data = rest.get(8..)?;
        let length = u32::from_le_bytes(length) as usize;
        if name == b"data" {
            let data = data.get(..length)?;
            return Some(
                data.chunks_exact(2)
                    .map(|s| i16::from_le_bytes([s[0], s[1]]))
                    .collect(),
            );
        }
        rest = data.get(length + length % 2..)?;
    }
}
