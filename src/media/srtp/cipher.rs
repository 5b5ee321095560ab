//! Session keys and the two transforms: AES in counter mode with HMAC-SHA1 (RFC 3711 §4), AES-GCM (RFC 7714). The only
//! file that names `aws_lc_rs`.
//!
//! ```text
//!                    clear      encrypted
//! RTP,  counter:  | header | payload | tag |              tag over what precedes it, and the rollover counter
//! RTP,  GCM:      | header | payload | tag |
//! RTCP, counter:  | 8 octets | rest | E index | tag |     tag over what precedes it
//! RTCP, GCM:      | 8 octets | rest | tag | E index |     clear part and last word are authenticated beside it
//! ```
//! It keeps no state: which index a packet has, and whether it came before, is the caller's.
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;

use super::SrtpError;
use crate::model::{MASTER_KEY_LEN, MASTER_SALT_LEN_MAX, SrtpKey, SrtpSuite};

/// Octets of an RTCP packet that stay clear: the first header and the SSRC (RFC 3711 §3.4).
pub(super) const RTCP_CLEAR_LEN: usize = 8;
/// E bit and SRTCP index.
pub(super) const RTCP_WORD_LEN: usize = 4;
const AUTH_KEY_LEN: usize = 20;
const GCM_SALT_LEN: usize = 12;
const GCM_TAG_LEN: usize = 16;
/// RFC 3711 §5.2 with RFC 4568 §6.2: SRTCP has the long tag in both suites.
const RTCP_TAG_LEN: usize = 10;

/// Whose session keys (RFC 3711 §4.3.2): the first of three labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Rtp = 0,
    Rtcp = 3,
}

/// What makes a packet's initialisation vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) ssrc: u32,
    /// 48 bits: rollover counter and sequence number, or the 31 bits of SRTCP.
    pub(super) index: u64,
}

pub(super) struct SessionKeys {
    pub(super) encryption: [u8; MASTER_KEY_LEN],
    pub(super) authentication: [u8; AUTH_KEY_LEN],
    pub(super) salt: [u8; MASTER_SALT_LEN_MAX],
}

/// One direction's RTP or RTCP.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "four of them live in one box for each encrypted call, and none moves"
)]
pub(super) enum Cipher {
    Counter {
        key: EncryptingKey,
        authentication: hmac::Key,
        salt: [u8; MASTER_SALT_LEN_MAX],
        tag_len: usize,
    },
    Gcm {
        key: LessSafeKey,
        salt: [u8; MASTER_SALT_LEN_MAX],
    },
}

impl SessionKeys {
    /// RFC 3711 §4.3, with a key derivation rate of zero; RFC 7714 §11 keeps the function.
    pub(super) fn derive(master: &SrtpKey, part: Part) -> Result<Self, SrtpError> {
        let prf = counter_key(&master.master_key())?;
        let label = part as u8;
        let mut keys = Self {
            encryption: [0; MASTER_KEY_LEN],
            authentication: [0; AUTH_KEY_LEN],
            salt: [0; MASTER_SALT_LEN_MAX],
        };
        let salt_len = master.suite().salt_len();
        let outputs = [
            (label, &mut keys.encryption[..]),
            (label + 1, &mut keys.authentication[..]),
            (label + 2, keys.salt.get_mut(..salt_len).unwrap_or_default()),
        ];
        for (label, output) in outputs {
            let mut iv = [0; 16];
            iv.iter_mut()
                .zip(master.master_salt())
                .for_each(|(octet, salt)| *octet = salt);
            iv[7] ^= label;
            keystream(&prf, iv, output)?;
        }
        Ok(keys)
    }
}

impl Cipher {
    pub(super) fn new(master: &SrtpKey, part: Part) -> Result<Self, SrtpError> {
        Self::with(master.suite(), part, &SessionKeys::derive(master, part)?)
    }

    pub(super) fn with(suite: SrtpSuite, part: Part, keys: &SessionKeys) -> Result<Self, SrtpError> {
        let tag_len = match (suite, part) {
            (SrtpSuite::AeadAes128Gcm, _) => {
                let key = UnboundKey::new(&AES_128_GCM, &keys.encryption).map_err(|_| SrtpError::Key)?;
                return Ok(Self::Gcm {
                    key: LessSafeKey::new(key),
                    salt: keys.salt,
                });
            }
            (SrtpSuite::AesCm128HmacSha1_32, Part::Rtp) => 4,
            (SrtpSuite::AesCm128HmacSha1_80, Part::Rtp) => 10,
            (SrtpSuite::AesCm128HmacSha1_80 | SrtpSuite::AesCm128HmacSha1_32, Part::Rtcp) => RTCP_TAG_LEN,
        };
        Ok(Self::Counter {
            key: counter_key(&keys.encryption)?,
            authentication: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &keys.authentication),
            salt: keys.salt,
            tag_len,
        })
    }

    pub(super) const fn tag_len(&self) -> usize {
        match self {
            Self::Counter { tag_len, .. } => *tag_len,
            Self::Gcm { .. } => GCM_TAG_LEN,
        }
    }

    /// Encrypts the packet in `buffer[..len]` behind its header and appends the tag; gives the new length.
    pub(super) fn seal_rtp(
        &self,
        place: Place,
        buffer: &mut [u8],
        header_len: usize,
        len: usize,
    ) -> Result<usize, SrtpError> {
        let end = len + self.tag_len();
        let got = buffer.len();
        let room = || SrtpError::Buffer { expected: end, got };
        let (packet, rest) = buffer.split_at_mut_checked(len).ok_or_else(room)?;
        let tag_room = rest.get_mut(..self.tag_len()).ok_or_else(room)?;
        let (header, payload) = packet.split_at_mut_checked(header_len).ok_or_else(room)?;
        match self {
            Self::Counter {
                key,
                authentication,
                salt,
                ..
            } => {
                keystream(key, counter_iv(salt, place), payload)?;
                let rollover = rollover(place.index);
                fill(tag_room, hmac_of(authentication, packet, &rollover).as_ref());
            }
            Self::Gcm { key, salt } => {
                let tag = key
                    .seal_in_place_separate_tag(gcm_nonce(salt, place), Aad::from(&*header), payload)
                    .map_err(|_| SrtpError::Key)?;
                fill(tag_room, tag.as_ref());
            }
        }
        Ok(end)
    }

    /// Checks a whole packet and writes it in the clear, without its tag, to the front of `plain`; gives its length.
    pub(super) fn open_rtp(
        &self,
        place: Place,
        packet: &[u8],
        header_len: usize,
        plain: &mut [u8],
    ) -> Result<usize, SrtpError> {
        let body = body_of(packet, header_len, self.tag_len())?;
        match self {
            Self::Counter {
                key,
                authentication,
                salt,
                ..
            } => {
                let (body, tag) = packet.split_at_checked(body).ok_or(SrtpError::NotAuthentic)?;
                let rollover = rollover(place.index);
                verify(hmac_of(authentication, body, &rollover).as_ref(), tag)?;
                let plain = copied(body, plain)?;
                let payload = plain.get_mut(header_len..).unwrap_or_default();
                keystream(key, counter_iv(salt, place), payload)?;
            }
            Self::Gcm { key, salt } => {
                let plain = copied(packet, plain)?;
                let (header, sealed) = plain
                    .split_at_mut_checked(header_len)
                    .ok_or(SrtpError::NotAuthentic)?;
                key.open_in_place(gcm_nonce(salt, place), Aad::from(&*header), sealed)
                    .map_err(|_| SrtpError::NotAuthentic)?;
            }
        }
        Ok(body)
    }

    /// As [`Cipher::seal_rtp`], for a compound RTCP packet.
    pub(super) fn seal_rtcp(&self, place: Place, buffer: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        let end = len + RTCP_WORD_LEN + self.tag_len();
        let got = buffer.len();
        let room = || SrtpError::Buffer { expected: end, got };
        let word = rtcp_word(place.index);
        let (packet, rest) = buffer.split_at_mut_checked(len).ok_or_else(room)?;
        let trailer = rest.get_mut(..RTCP_WORD_LEN + self.tag_len()).ok_or_else(room)?;
        let (clear, body) = packet.split_at_mut_checked(RTCP_CLEAR_LEN).ok_or_else(room)?;
        match self {
            Self::Counter {
                key,
                authentication,
                salt,
                ..
            } => {
                keystream(key, counter_iv(salt, place), body)?;
                let tag = hmac_of(authentication, packet, &word);
                let (word_room, tag_room) = trailer.split_at_mut(RTCP_WORD_LEN);
                fill(word_room, &word);
                fill(tag_room, tag.as_ref());
            }
            Self::Gcm { key, salt } => {
                let aad = Aad::from(rtcp_aad(clear, word));
                let tag = key
                    .seal_in_place_separate_tag(gcm_nonce(salt, place), aad, body)
                    .map_err(|_| SrtpError::Key)?;
                let (tag_room, word_room) = trailer.split_at_mut(GCM_TAG_LEN);
                fill(tag_room, tag.as_ref());
                fill(word_room, &word);
            }
        }
        Ok(end)
    }

    /// The word with E bit and index of a received packet.
    pub(super) fn rtcp_word_of(&self, packet: &[u8]) -> Result<u32, SrtpError> {
        body_of(packet, RTCP_CLEAR_LEN, self.tag_len() + RTCP_WORD_LEN)?;
        let after = match self {
            Self::Counter { tag_len, .. } => *tag_len,
            Self::Gcm { .. } => 0,
        };
        let head = packet.get(..packet.len() - after).unwrap_or_default();
        let word = head.last_chunk().copied().ok_or(SrtpError::NotAuthentic)?;
        Ok(u32::from_be_bytes(word))
    }

    /// As [`Cipher::open_rtp`], for a compound RTCP packet; gives its length without index and tag.
    pub(super) fn open_rtcp(
        &self,
        place: Place,
        packet: &[u8],
        plain: &mut [u8],
    ) -> Result<usize, SrtpError> {
        let body = body_of(packet, RTCP_CLEAR_LEN, self.tag_len() + RTCP_WORD_LEN)?;
        match self {
            Self::Counter {
                key,
                authentication,
                salt,
                tag_len,
            } => {
                let (signed, tag) = packet
                    .split_at_checked(packet.len() - tag_len)
                    .ok_or(SrtpError::NotAuthentic)?;
                verify(hmac_of(authentication, signed, &[]).as_ref(), tag)?;
                let plain = copied(packet.get(..body).unwrap_or_default(), plain)?;
                let sealed = plain.get_mut(RTCP_CLEAR_LEN..).unwrap_or_default();
                keystream(key, counter_iv(salt, place), sealed)?;
            }
            Self::Gcm { key, salt } => {
                let sealed = packet.get(..body + GCM_TAG_LEN).unwrap_or_default();
                let plain = copied(sealed, plain)?;
                let (clear, sealed) = plain
                    .split_at_mut_checked(RTCP_CLEAR_LEN)
                    .ok_or(SrtpError::NotAuthentic)?;
                let aad = Aad::from(rtcp_aad(clear, rtcp_word(place.index)));
                key.open_in_place(gcm_nonce(salt, place), aad, sealed)
                    .map_err(|_| SrtpError::NotAuthentic)?;
            }
        }
        Ok(body)
    }
}

fn counter_key(key: &[u8; MASTER_KEY_LEN]) -> Result<EncryptingKey, SrtpError> {
    let key = UnboundCipherKey::new(&AES_128, key).map_err(|_| SrtpError::Key)?;
    EncryptingKey::ctr(key).map_err(|_| SrtpError::Key)
}

/// Counter mode is its own inverse.
fn keystream(key: &EncryptingKey, iv: [u8; 16], octets: &mut [u8]) -> Result<(), SrtpError> {
    let context = EncryptionContext::Iv128(FixedLength::from(iv));
    key.less_safe_encrypt(octets, context)
        .map(|_| ())
        .map_err(|_| SrtpError::Key)
}

/// RFC 3711 §4.1.1: salt, SSRC and index, and 16 bits of block counter.
fn counter_iv(salt: &[u8; MASTER_SALT_LEN_MAX], place: Place) -> [u8; 16] {
    let salt = salt
        .iter()
        .fold(0_u128, |sum, octet| sum << 8 | u128::from(*octet));
    let value = salt << 16 ^ u128::from(place.ssrc) << 64 ^ u128::from(place.index) << 16;
    value.to_be_bytes()
}

/// RFC 7714 §8.1 and §9.1: the index of SRTCP stands where that of SRTP does.
fn gcm_nonce(salt: &[u8; MASTER_SALT_LEN_MAX], place: Place) -> Nonce {
    let mut nonce = [0; GCM_SALT_LEN];
    let value = u128::from(place.ssrc) << 48 | u128::from(place.index);
    let value = value.to_be_bytes();
    let value = value.last_chunk::<GCM_SALT_LEN>().copied().unwrap_or_default();
    nonce
        .iter_mut()
        .zip(salt.iter().zip(value))
        .for_each(|(octet, (salt, value))| *octet = salt ^ value);
    Nonce::assume_unique_for_key(nonce)
}

fn rollover(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

/// The E bit is always set: what we agree to is encrypted.
fn rtcp_word(index: u64) -> [u8; 4] {
    (1 << 31 | index as u32).to_be_bytes()
}

fn rtcp_aad(clear: &[u8], word: [u8; 4]) -> [u8; RTCP_CLEAR_LEN + RTCP_WORD_LEN] {
    let mut aad = [0; RTCP_CLEAR_LEN + RTCP_WORD_LEN];
    aad.iter_mut()
        .zip(clear.iter().chain(&word))
        .for_each(|(octet, part)| *octet = *part);
    aad
}

fn hmac_of(key: &hmac::Key, packet: &[u8], more: &[u8]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    context.update(packet);
    context.update(more);
    context.sign()
}

/// Compares the tag, which is the front of `expected`, in constant time.
fn verify(expected: &[u8], tag: &[u8]) -> Result<(), SrtpError> {
    let expected = expected.get(..tag.len()).ok_or(SrtpError::NotAuthentic)?;
    aws_lc_rs::constant_time::verify_slices_are_equal(expected, tag).map_err(|_| SrtpError::NotAuthentic)
}

/// Length of a packet without what stands behind its body; the clear part must be whole.
fn body_of(packet: &[u8], clear: usize, behind: usize) -> Result<usize, SrtpError> {
    let body = packet.len().checked_sub(behind).filter(|body| *body >= clear);
    body.ok_or(SrtpError::TooShort {
        expected: clear + behind,
        got: packet.len(),
    })
}

fn copied<'a>(octets: &[u8], to: &'a mut [u8]) -> Result<&'a mut [u8], SrtpError> {
    let got = to.len();
    let front = to.get_mut(..octets.len()).ok_or(SrtpError::Buffer {
        expected: octets.len(),
        got,
    })?;
    front.copy_from_slice(octets);
    Ok(front)
}

/// The front of `octets`, as much as there is room for.
fn fill(room: &mut [u8], octets: &[u8]) {
    room.iter_mut()
        .zip(octets)
        .for_each(|(place, octet)| *place = *octet);
}
