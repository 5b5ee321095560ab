//! The edge of a stream: SRTP where keys are agreed, nothing where not.
use crate::media::rtp::DATAGRAM_LEN_MAX;
use crate::media::srtp::{Srtp, SrtpError};
use crate::model::SrtpKeys;

#[derive(Debug, Default)]
pub(super) enum Shield {
    /// Plain RTP: packets pass as they are.
    #[default]
    Open,
    Keyed(Box<Srtp>),
    /// Keys are agreed and the cipher did not take them: nothing passes, rather than in the clear.
    Shut(SrtpError),
}

impl Shield {
    /// As the latest agreement wants it. Keys that stay keep their counters.
    #[must_use]
    pub(super) fn under(self, keys: Option<&SrtpKeys>) -> Self {
        let Some(keys) = keys else {
            return Self::Open;
        };
        let keyed = match self {
            Self::Keyed(mut srtp) => srtp.rekey(keys).map(|()| srtp),
            Self::Open | Self::Shut(_) => Srtp::new(keys).map(Box::new),
        };
        keyed.map_or_else(Self::Shut, Self::Keyed)
    }

    pub(super) const fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }

    pub(super) fn seal_rtp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        match self {
            Self::Open => Ok(len),
            Self::Keyed(srtp) => srtp.seal_rtp(buffer, len),
            Self::Shut(error) => Err(*error),
        }
    }

    pub(super) fn seal_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        match self {
            Self::Open => Ok(len),
            Self::Keyed(srtp) => srtp.seal_rtcp(buffer, len),
            Self::Shut(error) => Err(*error),
        }
    }

    /// Not for an open one: its packets need no copy.
    pub(super) fn open_rtp<'a>(
        &mut self,
        datagram: &[u8],
        plain: &'a mut [u8],
    ) -> Result<&'a [u8], SrtpError> {
        match self {
            Self::Open => Err(SrtpError::InTheClear),
            Self::Keyed(srtp) => srtp.open_rtp(datagram, plain),
            Self::Shut(error) => Err(*error),
        }
    }

    /// Whether a datagram would be let in, now or a little later. Changes nothing.
    pub(super) fn would_open_rtp(&self, datagram: &[u8]) -> bool {
        match self {
            Self::Open => true,
            Self::Keyed(srtp) => srtp.would_open_rtp(datagram, &mut [0; DATAGRAM_LEN_MAX]),
            Self::Shut(_) => false,
        }
    }

    /// Not for an open one: its packets need no copy.
    pub(super) fn open_rtcp<'a>(
        &mut self,
        datagram: &[u8],
        plain: &'a mut [u8],
    ) -> Result<&'a [u8], SrtpError> {
        match self {
            Self::Open => Err(SrtpError::InTheClear),
            Self::Keyed(srtp) => srtp.open_rtcp(datagram, plain),
            Self::Shut(error) => Err(*error),
        }
    }
}
