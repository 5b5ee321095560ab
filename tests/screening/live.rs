//! A scene through the path of a live call: `media::stream` plays the script, its echo comes back, packets get lost.
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringproof::media::codec;
use ringproof::media::command::{DtmfMode, MediaCommand, MediaEvent, Screening, Sign, StreamConfig};
use ringproof::media::frame::Clip;
use ringproof::media::rtp::{HEADER_LEN, Header};
use ringproof::media::stream::Stream;
use ringproof::model::{Codec, Digit, Entropy};

use super::dice::Dice;
use super::line::to_pcm;
use super::scene::{Press, Scene};

const PACKET: usize = 160;
const FIRST_WORD_MS: u64 = 700;
const KEY_WAIT_MS: u64 = 5000;
const PLAYS: u32 = 3;

/// What came of a call.
pub struct Ended {
    /// The last thing that was told before the end.
    pub sign: Sign,
    pub at_ms: u64,
    pub found: Option<Screening>,
    /// `#` was heard before anything ended the call.
    pub pressed: bool,
}

struct Leg<'a> {
    scene: &'a Scene,
    clips: &'a [Vec<Arc<Clip>>; 2],
    stream: Stream,
    start: Instant,
    codec: Codec,
    events: Vec<MediaEvent>,
    /// What we sent, waiting to come back.
    echo: VecDeque<f64>,
    dice: Dice,
    plays: u32,
    play_at_ms: Option<u64>,
    sequence: u16,
}

pub fn run(scene: &Scene, clips: &[Vec<Arc<Clip>>; 2]) -> Ended {
    let start = Instant::now();
    let codec = if scene.is_mu_law { Codec::Pcmu } else { Codec::Pcma };
    let config = StreamConfig {
        remote: "192.0.2.1:4000".parse().unwrap(),
        learn: false,
        remote_rtcp: None,
        codec,
        payload_type: codec.static_payload_type(),
        telephone_event: Some(101),
        ptime_ms: 20,
        send: true,
        receive: true,
        dtmf: DtmfMode::Auto,
        collect_audio: false,
        srtp: None,
        tape: None,
    };
    let mut leg = Leg {
        scene,
        clips,
        stream: Stream::new(start, config, Entropy::from_number(scene.seed)),
        start,
        codec,
        events: Vec::new(),
        echo: VecDeque::from(vec![0.0; scene.echo_delay]),
        dice: Dice::new(scene.seed + 77),
        plays: 0,
        play_at_ms: Some(FIRST_WORD_MS),
        sequence: 100,
    };
    leg.command(0, MediaCommand::Answered);
    leg.command(0, MediaCommand::Screen);
    leg.call()
}

impl Leg<'_> {
    fn command(&mut self, at_ms: u64, command: MediaCommand) {
        let now = self.start + Duration::from_millis(at_ms);
        self.stream.command(now, command, &mut self.events);
    }

    fn call(mut self) -> Ended {
        let mut seems: (Sign, Option<Screening>) = (Sign::Person, None);
        let packets = (self.scene.signal.len() / PACKET) as u64;
        for n in 0..packets {
            let at_ms = n * 20;
            self.script(at_ms);
            self.tick(n as usize);
            for event in std::mem::take(&mut self.events) {
                match event {
                    MediaEvent::Press(press) if press.digit == Digit::POUND && self.plays > 0 => {
                        return Ended {
                            sign: seems.0,
                            at_ms,
                            found: None,
                            pressed: true,
                        };
                    }
                    MediaEvent::Screened(found) => {
                        seems = (found.sign, Some(found));
                        if found.sign.is_certain() {
                            return self.ended(seems, at_ms);
                        }
                    }
                    MediaEvent::PlayDone { .. } if self.plays <= PLAYS => {
                        self.play_at_ms = Some(at_ms + KEY_WAIT_MS);
                    }
                    _ => {}
                }
            }
            if self.plays == PLAYS && self.play_at_ms.is_some_and(|at| at <= at_ms) {
                return self.ended(seems, at_ms);
            }
        }
        self.ended(seems, packets * 20)
    }

    fn ended(&self, (sign, found): (Sign, Option<Screening>), at_ms: u64) -> Ended {
        Ended {
            sign,
            at_ms,
            found,
            pressed: false,
        }
    }

    fn script(&mut self, at_ms: u64) {
        if self.plays < PLAYS && self.play_at_ms.is_some_and(|at| at <= at_ms) {
            self.play_at_ms = None;
            let clips = self.clips[usize::from(self.plays > 0)].clone();
            self.plays += 1;
            let id = self.plays;
            self.command(
                at_ms,
                MediaCommand::Play {
                    id,
                    clips,
                    private: false,
                },
            );
        }
    }

    fn tick(&mut self, n: usize) {
        let now = self.start + Duration::from_millis(n as u64 * 20);
        let mut buffer = [0; 1500];
        let mut own = [0; PACKET];
        while let Some(out) = self.stream.next_packet(now, &mut buffer, &mut self.events) {
            codec::decode(self.codec, &buffer[HEADER_LEN..out.len], &mut own);
        }
        self.echo
            .extend(own.iter().map(|sample| f64::from(*sample) * self.scene.echo_gain));
        let at = n * PACKET;
        let mut signal = self.scene.signal[at..at + PACKET].to_vec();
        for sample in &mut signal {
            *sample += self.echo.pop_front().unwrap_or_default();
        }
        let now = now + Duration::from_millis(3);
        self.sequence = self.sequence.wrapping_add(1);
        let muted = self.scene.mute_from.is_some_and(|from| at >= from);
        let lost = self.scene.loss > 0.0 && self.dice.chance(self.scene.loss);
        if !muted && !lost {
            self.receive(now, at, &signal);
        }
        self.stream.poll(now, &mut self.events);
    }

    fn receive(&mut self, now: Instant, at: usize, signal: &[f64]) {
        let mut octets = [0; PACKET];
        let mut header = Header {
            payload_type: self.codec.static_payload_type(),
            marker: false,
            sequence: self.sequence,
            timestamp: 4000 + at as u32,
            ssrc: 9,
        };
        let mut buffer = [0; 400];
        let since = match self.scene.press {
            Some((start, Press::Event)) => at.checked_sub(start / PACKET * PACKET),
            _ => None,
        };
        let len = match since {
            // Eight packets of one `#`, the last three with the end bit.
            Some(since) if since < 8 * PACKET => {
                header.payload_type = 101;
                header.timestamp -= since as u32;
                let length = ((since + PACKET).min(6 * PACKET) as u16).to_be_bytes();
                let end = if since >= 5 * PACKET { 0x8a } else { 0x0a };
                header.write(&[11, end, length[0], length[1]], &mut buffer)
            }
            _ => {
                codec::encode(self.codec, &to_pcm(signal), &mut octets);
                header.write(&octets, &mut buffer)
            }
        };
        let len = len.expect("room for a packet");
        self.stream.handle_rtp(now, &buffer[..len], &mut self.events);
    }
}

/// Our prompts as the engine plays them.
pub fn clips(prompt: &[Vec<Vec<i16>>; 2]) -> [Vec<Arc<Clip>>; 2] {
    prompt.each_ref().map(|plays| {
        plays
            .iter()
            .map(|pcm| Arc::new(Clip::from_pcm("prompt", pcm)))
            .collect()
    })
}
