//! `a=crypto` (RFC 4568): SDES keys, ours and the peer's.
//!
//! ```text
//! a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20
//!          tag  suite                key and salt, base64                            lifetime
//! ```
//! A line counts if all of it is understood: one key, no MKI, no parameter that turns encryption or authentication
//! off, and a lifetime that no call outlives. Others are as if they were not there.
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_STANDARD;

use super::SdpError;
use super::lines::{MediaLine, Transport, excerpt};
use crate::model::{Entropy, SrtpKey, SrtpKeys, SrtpPolicy, SrtpProfile, SrtpSuite};

/// Some peers leave the padding of a GCM key out.
const TOLERANT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// Packets that a key must be good for: 20 minutes of the shortest ones.
const LIFETIME_MIN: u64 = 1 << 17;
/// RFC 3711 §9.2.
const LIFETIME_MAX: u64 = 1 << 48;
/// RFC 4568 §9.2: a tag has at most nine digits.
const TAG_LEN_MAX: usize = 9;
/// Most a=crypto lines of one m-line that are looked at.
const LINES_MAX: usize = 32;

/// Our side of SRTP. One key for each suite, for the whole call: a later body names the same, so that an agreement
/// that is only repeated changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sdes {
    /// The profile of our offers. Under `Avp`, `a=crypto` in RTP/AVP counts in theirs too.
    pub profile: SrtpProfile,
    /// No media without keys.
    pub required: bool,
    keys: Vec<SrtpKey>,
}

/// What both sides agreed about SRTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secured {
    /// Of the line that was taken, for our answer.
    pub(super) tag: u32,
    pub keys: SrtpKeys,
}

/// One line that counts.
struct CryptoLine {
    tag: u32,
    key: SrtpKey,
}

impl Sdes {
    /// `None` for [`SrtpPolicy::Off`].
    #[must_use]
    pub fn new(policy: SrtpPolicy, profile: SrtpProfile, entropy: &mut Entropy) -> Option<Self> {
        let required = match policy {
            SrtpPolicy::Off => return None,
            SrtpPolicy::Prefer => false,
            SrtpPolicy::Require => true,
        };
        let keys = SrtpSuite::ALL
            .iter()
            .map(|suite| SrtpKey::draw(*suite, entropy))
            .collect();
        Some(Self {
            profile,
            required,
            keys,
        })
    }

    /// Values of the lines of an offer; within a session only the agreed suite.
    pub(super) fn offered(&self, agreed: Option<&Secured>) -> Vec<String> {
        let only = agreed.map(|secured| secured.keys.suite);
        let lines = (1_u32..).zip(&self.keys);
        lines
            .filter(|(_, key)| only.is_none_or(|suite| suite == key.suite()))
            .map(|(tag, key)| line(tag, key))
            .collect()
    }

    fn key(&self, suite: SrtpSuite) -> Option<(u32, &SrtpKey)> {
        (1..).zip(&self.keys).find(|(_, key)| key.suite() == suite)
    }

    /// What the answer says to our lines. RFC 4568 §5.1.3: tag and suite of one that we offered.
    pub(super) fn answered(&self, media: &MediaLine) -> Result<Option<Secured>, SdpError> {
        let secure = match (self.profile, media.transport()) {
            (SrtpProfile::Savp, Some(Transport::Secure)) => true,
            (SrtpProfile::Avp, Some(Transport::Plain)) => self.required || media.has("crypto"),
            (SrtpProfile::Savp, _) => return Err(media.no_audio("RTP/SAVP")),
            (SrtpProfile::Avp, _) => return Err(media.no_audio("RTP/AVP")),
        };
        if !secure {
            return Ok(None);
        }
        let secured = lines(media).find_map(|theirs| {
            let suite = theirs.key.suite();
            let (tag, ours) = self.key(suite)?;
            (tag == theirs.tag).then(|| theirs.with(ours))
        });
        secured.map(Some).ok_or_else(|| no_key(media))
    }

    /// The first line of an offer whose suite is known.
    pub(super) fn taken(&self, media: &MediaLine) -> Result<Option<Secured>, SdpError> {
        let counts = match media.transport() {
            Some(Transport::Secure) => true,
            Some(Transport::Plain) => self.profile == SrtpProfile::Avp,
            None => return Err(media.no_audio("RTP/SAVP")),
        };
        let secured = lines(media)
            .filter(|_| counts)
            .find_map(|theirs| self.key(theirs.key.suite()).map(|(_, ours)| theirs.with(ours)));
        match (secured, media.transport()) {
            (Some(secured), _) => Ok(Some(secured)),
            (None, Some(Transport::Plain)) if !self.required => Ok(None),
            (None, _) => Err(no_key(media)),
        }
    }
}

impl Secured {
    /// Value of the line of our answer.
    pub(super) fn line(&self) -> String {
        line(self.tag, &self.keys.ours)
    }
}

impl CryptoLine {
    fn with(&self, ours: &SrtpKey) -> Secured {
        Secured {
            tag: self.tag,
            keys: SrtpKeys {
                suite: ours.suite(),
                ours: ours.clone(),
                theirs: self.key.clone(),
            },
        }
    }

    /// `<tag> <suite> inline:<key and salt>[|<lifetime>] [<session parameters>]`.
    fn parse(value: &str) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        let tag = words
            .next()
            .filter(|tag| tag.len() <= TAG_LEN_MAX && tag.bytes().all(|b| b.is_ascii_digit()))?;
        let suite = words.next()?;
        let suite = SrtpSuite::ALL
            .iter()
            .copied()
            .find(|known| known.as_str().eq_ignore_ascii_case(suite))?;
        let key = parse_key(suite, words.next()?)?;
        words.all(is_harmless).then_some(Self {
            tag: tag.parse().ok()?,
            key,
        })
    }
}

/// Several keys need an MKI, which we do not have: such a line does not count, nor one with an MKI.
fn parse_key(suite: SrtpSuite, parameters: &str) -> Option<SrtpKey> {
    let (method, info) = parameters.split_once(':')?;
    if !method.eq_ignore_ascii_case("inline") || info.contains(';') {
        return None;
    }
    let mut parts = info.split('|');
    let octets = TOLERANT.decode(parts.next()?).ok()?;
    if let Some(lifetime) = parts.next() {
        let packets = parse_lifetime(lifetime)?;
        if !(LIFETIME_MIN..=LIFETIME_MAX).contains(&packets) {
            return None;
        }
    }
    if parts.next().is_some() {
        return None;
    }
    SrtpKey::from_octets(suite, &octets)
}

/// `2^20` or a number. An MKI (`1:4`) is neither.
fn parse_lifetime(text: &str) -> Option<u64> {
    match text.split_once('^') {
        Some(("2", exponent)) => 1_u64.checked_shl(exponent.parse().ok()?),
        Some(_) => None,
        None => text.parse().ok(),
    }
}

/// Session parameters (RFC 4568 §6.3). Those that change what a packet looks like make the line another one; so does
/// an unknown one, unless it begins with `-`.
fn is_harmless(parameter: &str) -> bool {
    let name = parameter.split('=').next().unwrap_or_default();
    name.starts_with('-') || name.eq_ignore_ascii_case("WSH")
}

fn lines(media: &MediaLine) -> impl Iterator<Item = CryptoLine> {
    media
        .values("crypto")
        .take(LINES_MAX)
        .filter_map(CryptoLine::parse)
}

fn line(tag: u32, key: &SrtpKey) -> String {
    let octets = BASE64_STANDARD.encode(key.reveal());
    format!("{tag} {} inline:{octets}", key.suite())
}

/// Names the suites of the peer and shows no key.
fn no_key(media: &MediaLine) -> SdpError {
    let suites: Vec<&str> = media
        .values("crypto")
        .take(LINES_MAX)
        .map(|value| value.split_ascii_whitespace().nth(1).unwrap_or("a broken line"))
        .collect();
    let got = if suites.is_empty() {
        format!("none in {}", media.describe())
    } else {
        excerpt(&suites.join(" "))
    };
    let known: Vec<&str> = SrtpSuite::ALL.iter().map(|suite| suite.as_str()).collect();
    SdpError::NoKey {
        expected: known.join(" "),
        got,
    }
}
