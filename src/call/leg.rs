//! The call's media leg as signalling sees it: what SDP agreed, what plays, and that nothing follows `Close`.
use std::net::SocketAddr;
use std::sync::Arc;

use crate::media::command::{DtmfMode, InfoKey, Keying, MediaCommand, StreamConfig, TapeRules};
use crate::media::frame::Clip;
use crate::model::{Codec, Digits, SrtpSuite};
use crate::sdp::{self, LocalMedia, Negotiated, SdpError};

#[derive(Debug)]
pub(super) struct Leg {
    local: LocalMedia,
    dtmf: DtmfMode,
    /// The peer may send from elsewhere than SDP says.
    learn: bool,
    tape: Option<TapeRules>,
    /// The last body that we wrote: one that says the same keeps its version (RFC 3264 §8).
    body: Vec<u8>,
    last_play_id: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    /// No media is agreed.
    Silent,
    Open {
        agreed: Negotiated,
        play: Play,
    },
    /// `play`: what had left before the peer's BYE was heard all the same.
    Closed {
        play: Play,
    },
}

#[derive(Debug)]
enum Play {
    Nothing,
    /// `ends[line]` is the index of the line's last clip.
    Lines {
        id: u32,
        ends: Vec<usize>,
    },
}

impl Leg {
    pub(super) const fn new(local: LocalMedia, dtmf: DtmfMode, learn: bool, tape: Option<TapeRules>) -> Self {
        Self {
            local,
            dtmf,
            learn,
            tape,
            body: Vec::new(),
            last_play_id: 0,
            state: State::Silent,
        }
    }

    /// The offer for a peer that takes no keys, before anything was answered; [`Leg::fall_back`] says that it has left.
    pub(super) fn plain_offer(&self) -> Vec<u8> {
        sdp::offer(&self.local.plain().next_version())
    }

    /// The peer has refused our keys, and the offer without them is on its way.
    pub(super) fn fall_back(&mut self) {
        self.body = self.plain_offer();
        self.local = self.local.plain().next_version();
    }

    pub(super) fn offer(&mut self) -> Vec<u8> {
        self.body = match &self.state {
            State::Open { agreed, .. } => {
                let agreed = agreed.clone();
                self.versioned(|local| sdp::reoffer(local, &agreed))
            }
            State::Silent | State::Closed { .. } => self.versioned(sdp::offer),
        };
        self.body.clone()
    }

    /// The peer's SDP answer, in an 18x, the 2xx or an ACK. A second one in the same call is followed.
    pub(super) fn accept_answer(
        &mut self,
        answer: &[u8],
        out: &mut Vec<MediaCommand>,
    ) -> Result<(), SdpError> {
        let agreed = sdp::accept_answer(&self.local, answer)?;
        self.agree(agreed, out);
        Ok(())
    }

    /// The peer's new offer; gives our SDP answer.
    pub(super) fn answer(&mut self, offer: &[u8], out: &mut Vec<MediaCommand>) -> Result<Vec<u8>, SdpError> {
        let (_, agreed) = sdp::answer(&self.local, offer)?;
        self.body = self.versioned(|local| match sdp::answer(local, offer) {
            Ok((body, _)) => body,
            Err(_) => Vec::new(),
        });
        self.agree(agreed, out);
        Ok(self.body.clone())
    }

    pub(super) fn codec(&self) -> Option<Codec> {
        match &self.state {
            State::Open { agreed, .. } => Some(agreed.codec),
            State::Silent | State::Closed { .. } => None,
        }
    }

    /// `None`: nothing is agreed, or audio in the clear.
    pub(super) fn srtp(&self) -> Option<SrtpSuite> {
        match &self.state {
            State::Open { agreed, .. } => agreed.secured.as_ref().map(|secured| secured.keys.suite),
            State::Silent | State::Closed { .. } => None,
        }
    }

    pub(super) const fn is_agreed(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// From here on what is heard is the callee, not the network's ringback.
    pub(super) fn answered(&self, out: &mut Vec<MediaCommand>) {
        if self.is_agreed() {
            out.push(MediaCommand::Answered);
        }
    }

    /// Listens for more than keys from here on.
    pub(super) fn screen(&self, out: &mut Vec<MediaCommand>) {
        if self.is_agreed() {
            out.push(MediaCommand::Screen);
        }
    }

    /// Plays one list of clips per line, in place of what plays; `private` when they speak a code. Tells the play's id and
    /// the codec; `None`: nobody would hear it.
    pub(super) fn play(
        &mut self,
        lines: Vec<Vec<Arc<Clip>>>,
        private: bool,
        out: &mut Vec<MediaCommand>,
    ) -> Option<(u32, Codec)> {
        let State::Open { play, agreed } = &mut self.state else {
            return None;
        };
        self.last_play_id = self.last_play_id.wrapping_add(1);
        let mut ends = Vec::with_capacity(lines.len());
        let mut clips = Vec::new();
        for line in lines {
            clips.extend(line);
            ends.push(clips.len().saturating_sub(1));
        }
        *play = Play::Lines {
            id: self.last_play_id,
            ends,
        };
        out.push(MediaCommand::Play {
            id: self.last_play_id,
            clips,
            private,
        });
        Some((self.last_play_id, agreed.codec))
    }

    pub(super) fn stop(&mut self, out: &mut Vec<MediaCommand>) {
        if let State::Open { play, .. } = &mut self.state {
            *play = Play::Nothing;
            out.push(MediaCommand::Stop);
        }
    }

    pub(super) fn send_digits(&self, digits: Digits, out: &mut Vec<MediaCommand>) {
        if self.is_agreed() {
            out.push(MediaCommand::SendDigits {
                digits,
                keying: Keying::default(),
            });
        }
    }

    /// A key in a SIP INFO: the leg knows whether its media has brought the same press.
    pub(super) fn info(&self, key: InfoKey, out: &mut Vec<MediaCommand>) {
        if self.is_agreed() {
            out.push(MediaCommand::Info(key));
        }
    }

    /// The line that ended with this clip, if the report is of what plays now.
    pub(super) fn line_done(&self, reported: u32, index: usize) -> Option<usize> {
        match self.playing()? {
            Play::Lines { id, ends } if *id == reported => ends.iter().position(|end| *end == index),
            Play::Lines { .. } | Play::Nothing => None,
        }
    }

    pub(super) fn is_current(&self, reported: u32) -> bool {
        matches!(self.playing(), Some(Play::Lines { id, .. }) if *id == reported)
    }

    /// The menu went on to other lines that nobody will hear.
    pub(super) fn forget_play(&mut self) {
        if let State::Closed { play } = &mut self.state {
            *play = Play::Nothing;
        }
    }

    const fn playing(&self) -> Option<&Play> {
        match &self.state {
            State::Open { play, .. } | State::Closed { play } => Some(play),
            State::Silent => None,
        }
    }

    /// Ends the leg; says whether a last report is to be expected.
    pub(super) fn close(&mut self, out: &mut Vec<MediaCommand>) -> Reports {
        let nothing = State::Closed { play: Play::Nothing };
        match std::mem::replace(&mut self.state, nothing) {
            State::Closed { play } => {
                self.state = State::Closed { play };
                Reports::None
            }
            State::Silent => {
                out.push(MediaCommand::Close);
                Reports::None
            }
            State::Open { play, .. } => {
                self.state = State::Closed { play };
                out.push(MediaCommand::Close);
                Reports::Last
            }
        }
    }

    fn agree(&mut self, agreed: Negotiated, out: &mut Vec<MediaCommand>) {
        match &mut self.state {
            State::Closed { .. } => {}
            State::Silent => {
                let config = stream(&agreed, self.dtmf, self.learn, self.tape);
                out.push(MediaCommand::Start(config));
                self.state = State::Open {
                    agreed,
                    play: Play::Nothing,
                };
            }
            State::Open { agreed: before, .. } => {
                let agreed = with_address(agreed, before);
                if agreed != *before {
                    let config = stream(&agreed, self.dtmf, self.learn, self.tape);
                    out.push(MediaCommand::Update(config));
                    *before = agreed;
                }
            }
        }
    }

    fn versioned(&mut self, write: impl Fn(&LocalMedia) -> Vec<u8>) -> Vec<u8> {
        let mut body = write(&self.local);
        body.shrink_to_fit();
        if self.body.is_empty() || body == self.body {
            return body;
        }
        self.local = self.local.next_version();
        write(&self.local)
    }
}

/// Whether a leg that was closed still reports its quality.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reports {
    None,
    Last,
}

/// The old form of hold, `c=0.0.0.0`, names no address: the one before stays.
fn with_address(agreed: Negotiated, before: &Negotiated) -> Negotiated {
    if !agreed.remote.ip().is_unspecified() {
        return agreed;
    }
    Negotiated {
        remote: before.remote,
        remote_rtcp: before.remote_rtcp,
        ..agreed
    }
}

fn stream(agreed: &Negotiated, dtmf: DtmfMode, learn: bool, tape: Option<TapeRules>) -> StreamConfig {
    let rtcp: SocketAddr = agreed.remote_rtcp;
    StreamConfig {
        remote: agreed.remote,
        learn,
        remote_rtcp: (!rtcp.ip().is_unspecified()).then_some(rtcp),
        codec: agreed.codec,
        payload_type: agreed.payload_type,
        telephone_event: agreed.telephone_event,
        ptime_ms: agreed.ptime_ms,
        send: agreed.direction.sends(),
        receive: agreed.direction.receives(),
        dtmf,
        collect_audio: false,
        srtp: agreed
            .secured
            .as_ref()
            .map(|secured| Box::new(secured.keys.clone())),
        tape,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"v=0\r\no=- 1 1 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\n\
        m=audio 30000 RTP/AVP 8\r\n";

    fn leg() -> Leg {
        let local = LocalMedia {
            address: "192.0.2.1".parse().unwrap(),
            port: 20_000,
            codecs: vec![Codec::Pcmu, Codec::Pcma],
            telephone_event: true,
            ptime_ms: 20,
            session_id: 5,
            version: 1,
            rtcp_mux: false,
            srtp: None,
        };
        Leg::new(local, DtmfMode::Auto, false, None)
    }

    fn version(body: &[u8]) -> u64 {
        let text = String::from_utf8_lossy(body).into_owned();
        let origin = text
            .lines()
            .find(|line| line.starts_with("o="))
            .unwrap()
            .to_owned();
        origin.split(' ').nth(2).unwrap().parse().unwrap()
    }

    fn clip(ms: u32) -> Arc<Clip> {
        Arc::new(Clip::silence(ms))
    }

    #[test]
    fn a_body_that_says_the_same_keeps_its_version() {
        let mut leg = leg();
        let mut out = Vec::new();
        assert_eq!(version(&leg.offer()), 1);
        leg.accept_answer(ANSWER, &mut out).unwrap();
        let first = leg.answer(ANSWER, &mut out).unwrap();
        assert_eq!(version(&first), 2);
        assert_eq!(leg.answer(ANSWER, &mut out).unwrap(), first);
        let other = String::from_utf8_lossy(ANSWER).replace("AVP 8", "AVP 0");
        assert_eq!(version(&leg.answer(other.as_bytes(), &mut out).unwrap()), 3);
    }

    #[test]
    fn the_end_of_a_lines_last_clip_is_the_end_of_the_line() {
        let mut leg = leg();
        let mut out = Vec::new();
        leg.accept_answer(ANSWER, &mut out).unwrap();
        leg.play(vec![vec![clip(20), clip(20)], vec![clip(20)]], false, &mut out);
        let ends: Vec<_> = (0..4).map(|index| leg.line_done(1, index)).collect();
        assert_eq!(ends, [None, Some(0), Some(1), None]);
        leg.play(vec![vec![clip(20)]], false, &mut out);
        assert_eq!(leg.line_done(1, 1), None);
        assert!(leg.is_current(2) && !leg.is_current(1));
        leg.stop(&mut out);
        assert!(!leg.is_current(2));
    }

    #[test]
    fn a_closed_leg_commands_nothing_and_closes_once() {
        let mut leg = leg();
        let mut out = Vec::new();
        leg.accept_answer(ANSWER, &mut out).unwrap();
        assert_eq!(leg.close(&mut out), Reports::Last);
        let commands = out.len();
        assert_eq!(leg.close(&mut out), Reports::None);
        leg.play(vec![vec![clip(20)]], false, &mut out);
        leg.stop(&mut out);
        leg.send_digits(Digits::default(), &mut out);
        leg.accept_answer(ANSWER, &mut out).unwrap();
        assert_eq!(out.len(), commands);
    }
}
