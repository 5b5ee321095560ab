//! SRTP and SRTCP of one leg (RFC 3711, RFC 7714): encrypts what leaves, checks and decrypts what comes.
//!
//! Keys come from SDP ([`SrtpKeys`]); the ciphers are in `cipher`. Nothing is learnt from a packet before it has been
//! found authentic and new: neither its source nor its rollover counter nor its place in the replay window. A packet
//! that fails changes nothing.
//!
//! What it does not: MKI, key derivation rates, and unencrypted or unauthenticated streams; SDP agrees to none of them.
//!
//! Invariants:
//! - No index is used twice under one key of ours.
//! - A packet passes at most once (a window of [`WINDOW`] packets; older ones do not pass at all).
//! - The path of a packet allocates nothing.
mod cipher;

#[cfg(test)]
mod tests;

use cipher::{Cipher, Part, Place};

use crate::model::{SrtpKey, SrtpKeys};

/// Packets behind the newest one that may still come.
pub const WINDOW: u64 = 128;

/// Sources that are followed at once: audio, events beside it, and their successors.
const SOURCES_MAX: usize = 4;
/// A rollover counter of 32 bits and a sequence number.
const RTP_INDEX_MAX: u64 = (1 << 48) - 1;
const RTCP_INDEX_MAX: u64 = (1 << 31) - 1;
const RTP_HEADER_LEN: usize = 12;
const ENCRYPTED: u32 = 1 << 31;

/// Why a packet was not taken, or not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SrtpError {
    #[error("expected at least {expected} octets, got {got}")]
    TooShort { expected: usize, got: usize },
    #[error("expected room for {expected} octets, got {got}")]
    Buffer { expected: usize, got: usize },
    #[error("expected RTP version 2, got {0}")]
    Version(u8),
    #[error("expected a tag made with the agreed key, got another")]
    NotAuthentic,
    #[error("expected a packet that did not come before, got an old one")]
    Replayed,
    #[error("expected encrypted RTCP, got it in the clear")]
    InTheClear,
    #[error("expected a key with packets left, it has encrypted all that it may")]
    Exhausted,
    #[error("the cipher refused its key")]
    Key,
}

/// Both directions of one leg.
#[derive(Debug)]
pub struct Srtp {
    keys: SrtpKeys,
    ours: Pair,
    theirs: Pair,
    sent: Option<u64>,
    sent_rtcp: u64,
    heard: Vec<Source>,
    heard_rtcp: Vec<Source>,
}

#[derive(Debug)]
struct Pair {
    rtp: Cipher,
    rtcp: Cipher,
}

/// One source of the peer, by its authentic packets.
#[derive(Debug, Clone, Copy)]
struct Source {
    ssrc: u32,
    highest: u64,
    /// Bit n: `highest - n` has come.
    seen: u128,
    /// The peer has a new key and nothing has come under it: most peers keep their rollover counter (RFC 3711
    /// §3.3.1), some begin again.
    rekeyed: bool,
}

impl Srtp {
    pub fn new(keys: &SrtpKeys) -> Result<Self, SrtpError> {
        Ok(Self {
            keys: keys.clone(),
            ours: Pair::new(&keys.ours)?,
            theirs: Pair::new(&keys.theirs)?,
            sent: None,
            sent_rtcp: 0,
            heard: Vec::with_capacity(SOURCES_MAX),
            heard_rtcp: Vec::with_capacity(SOURCES_MAX),
        })
    }

    /// A later agreement. Indices run on, whatever changes.
    pub fn rekey(&mut self, keys: &SrtpKeys) -> Result<(), SrtpError> {
        if keys.ours != self.keys.ours {
            self.ours = Pair::new(&keys.ours)?;
            self.keys.ours = keys.ours.clone();
        }
        if keys.theirs != self.keys.theirs {
            self.theirs = Pair::new(&keys.theirs)?;
            self.keys.theirs = keys.theirs.clone();
            for source in self.heard.iter_mut().chain(&mut self.heard_rtcp) {
                source.rekeyed = true;
            }
        }
        self.keys.suite = keys.suite;
        Ok(())
    }

    /// Encrypts the RTP packet in `buffer[..len]` where it stands; gives its new length.
    pub fn seal_rtp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        let header = RtpHeader::read(buffer.get(..len).unwrap_or_default())?;
        let index = match self.sent {
            None => u64::from(header.sequence),
            Some(highest) => estimate(highest, header.sequence)
                .filter(|index| *index <= RTP_INDEX_MAX)
                .ok_or(SrtpError::Exhausted)?,
        };
        let place = header.at(index);
        let sealed = self.ours.rtp.seal_rtp(place, buffer, header.len, len)?;
        self.sent = self.sent.max(Some(index));
        Ok(sealed)
    }

    /// Encrypts the compound RTCP packet in `buffer[..len]` where it stands; gives its new length.
    pub fn seal_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        let ssrc = rtcp_ssrc(buffer.get(..len).unwrap_or_default())?;
        let index = self.sent_rtcp + 1;
        if index > RTCP_INDEX_MAX {
            return Err(SrtpError::Exhausted);
        }
        let sealed = self.ours.rtcp.seal_rtcp(Place { ssrc, index }, buffer, len)?;
        self.sent_rtcp = index;
        Ok(sealed)
    }

    /// Checks a datagram and decrypts it into `plain`.
    pub fn open_rtp<'a>(&mut self, datagram: &[u8], plain: &'a mut [u8]) -> Result<&'a [u8], SrtpError> {
        let header = RtpHeader::read(datagram)?;
        let (index, len) = self.decrypt_rtp(header, datagram, plain)?;
        match self.heard.iter_mut().find(|source| source.ssrc == header.ssrc) {
            Some(source) => source.accept(index),
            None => follow(&mut self.heard, header.ssrc, index),
        }
        Ok(plain.get(..len).unwrap_or_default())
    }

    /// Whether a datagram would pass [`Self::open_rtp`]. Changes nothing: it passes there afterwards. `room` is for its
    /// plain text.
    #[must_use]
    pub fn would_open_rtp(&self, datagram: &[u8], room: &mut [u8]) -> bool {
        RtpHeader::read(datagram).is_ok_and(|header| self.decrypt_rtp(header, datagram, room).is_ok())
    }

    /// The packet's index and the length of its plain text.
    fn decrypt_rtp(
        &self,
        header: RtpHeader,
        datagram: &[u8],
        plain: &mut [u8],
    ) -> Result<(u64, usize), SrtpError> {
        let known = self.heard.iter().find(|source| source.ssrc == header.ssrc);
        // Where a sender wraps before its first packet arrives, the counter is one ahead of ours.
        let candidates = match known {
            None => [
                Some(u64::from(header.sequence)),
                (header.sequence < 1 << 15).then_some(1 << 16 | u64::from(header.sequence)),
            ],
            Some(source) => [
                estimate(source.highest, header.sequence),
                source.rekeyed.then_some(u64::from(header.sequence)),
            ],
        };
        if let (Some(source), [Some(index), _]) = (known, candidates) {
            source.check(index)?;
        }
        let mut outcome = Err(SrtpError::Replayed);
        for index in candidates.into_iter().flatten() {
            outcome = self
                .theirs
                .rtp
                .open_rtp(header.at(index), datagram, header.len, plain)
                .map(|len| (index, len));
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    /// Checks a datagram and decrypts it into `plain`.
    pub fn open_rtcp<'a>(&mut self, datagram: &[u8], plain: &'a mut [u8]) -> Result<&'a [u8], SrtpError> {
        let ssrc = rtcp_ssrc(datagram)?;
        let word = self.theirs.rtcp.rtcp_word_of(datagram)?;
        // RFC 3711 §3.4 lets a sender leave it out where both agreed to that; we agree to nothing of the kind.
        if word & ENCRYPTED == 0 {
            return Err(SrtpError::InTheClear);
        }
        let index = u64::from(word & !ENCRYPTED);
        let known = self.heard_rtcp.iter_mut().find(|source| source.ssrc == ssrc);
        if let Some(source) = &known {
            source.check(index)?;
        }
        let place = Place { ssrc, index };
        let len = self.theirs.rtcp.open_rtcp(place, datagram, plain)?;
        match known {
            Some(source) => source.accept(index),
            None => follow(&mut self.heard_rtcp, ssrc, index),
        }
        Ok(plain.get(..len).unwrap_or_default())
    }
}

impl Pair {
    fn new(master: &SrtpKey) -> Result<Self, SrtpError> {
        Ok(Self {
            rtp: Cipher::new(master, Part::Rtp)?,
            rtcp: Cipher::new(master, Part::Rtcp)?,
        })
    }
}

impl Source {
    const fn new(ssrc: u32, index: u64) -> Self {
        Self {
            ssrc,
            highest: index,
            seen: 1,
            rekeyed: false,
        }
    }

    const fn check(&self, index: u64) -> Result<(), SrtpError> {
        // Under a new key nothing has come yet.
        if self.rekeyed || index > self.highest {
            return Ok(());
        }
        let behind = self.highest - index;
        if behind >= WINDOW || self.seen >> behind & 1 == 1 {
            return Err(SrtpError::Replayed);
        }
        Ok(())
    }

    fn accept(&mut self, index: u64) {
        if self.rekeyed {
            *self = Self::new(self.ssrc, index);
            return;
        }
        match index.checked_sub(self.highest) {
            Some(ahead) => {
                self.seen = if ahead < WINDOW { self.seen << ahead } else { 0 };
                self.seen |= 1;
                self.highest = index;
            }
            None => {
                let behind = self.highest - index;
                if behind < WINDOW {
                    self.seen |= 1 << behind;
                }
            }
        }
    }
}

/// The oldest source makes room for a new one.
fn follow(sources: &mut Vec<Source>, ssrc: u32, index: u64) {
    if sources.len() >= SOURCES_MAX {
        sources.remove(0);
    }
    sources.push(Source::new(ssrc, index));
}

/// RFC 3711 §3.3.1: the index nearest to the highest one that ends in this sequence number; `None` before zero.
fn estimate(highest: u64, sequence: u16) -> Option<u64> {
    let (rollover, last) = (highest >> 16, highest as u16);
    let rollover = if last < 1 << 15 {
        if i32::from(sequence) - i32::from(last) > 1 << 15 {
            rollover.checked_sub(1)?
        } else {
            rollover
        }
    } else if i32::from(last) - (1 << 15) > i32::from(sequence) {
        rollover + 1
    } else {
        rollover
    };
    Some(rollover << 16 | u64::from(sequence))
}

/// As much of the header as the transforms ask for.
#[derive(Debug, Clone, Copy)]
struct RtpHeader {
    /// With CSRCs and extension: what stays clear.
    len: usize,
    sequence: u16,
    ssrc: u32,
}

impl RtpHeader {
    fn read(packet: &[u8]) -> Result<Self, SrtpError> {
        let short = |expected| SrtpError::TooShort {
            expected,
            got: packet.len(),
        };
        let Some(&[first, _, s0, s1, _, _, _, _, c0, c1, c2, c3]) = packet.first_chunk::<RTP_HEADER_LEN>()
        else {
            return Err(short(RTP_HEADER_LEN));
        };
        if first >> 6 != 2 {
            return Err(SrtpError::Version(first >> 6));
        }
        let mut len = RTP_HEADER_LEN + 4 * usize::from(first & 0x0f);
        if first & 0x10 != 0 {
            let extension = packet.get(len..).and_then(<[u8]>::first_chunk::<4>);
            let Some(&[_, _, w0, w1]) = extension else {
                return Err(short(len + 4));
            };
            len += 4 + 4 * usize::from(u16::from_be_bytes([w0, w1]));
        }
        if packet.len() < len {
            return Err(short(len));
        }
        Ok(Self {
            len,
            sequence: u16::from_be_bytes([s0, s1]),
            ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
        })
    }

    const fn at(&self, index: u64) -> Place {
        Place {
            ssrc: self.ssrc,
            index,
        }
    }
}

fn rtcp_ssrc(packet: &[u8]) -> Result<u32, SrtpError> {
    let Some(&[first, _, _, _, c0, c1, c2, c3]) = packet.first_chunk::<{ cipher::RTCP_CLEAR_LEN }>() else {
        return Err(SrtpError::TooShort {
            expected: cipher::RTCP_CLEAR_LEN,
            got: packet.len(),
        });
    };
    if first >> 6 != 2 {
        return Err(SrtpError::Version(first >> 6));
    }
    Ok(u32::from_be_bytes([c0, c1, c2, c3]))
}
