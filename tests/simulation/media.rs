//! The media engine, acted out: it obeys every command in virtual time and reports what it did.
//!
//! What it keeps in [`MediaFacts`](crate::facts::MediaFacts) is the truth of what left and what came, whatever the
//! call believes.
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ringproof::media::command::{MediaCommand, MediaEvent, Press, StreamConfig};
use ringproof::model::{AttemptId, Codec, Digit, KeyTransport, QualityReport};

use crate::clock::At;
use crate::dice::Dice;
use crate::facts::PressFact;
use crate::plan::Plant;
use crate::task::Task;
use crate::transition::{Line, Transition};
use crate::world::World;

/// One key of an extension with its pause.
const KEY_MS: u64 = 200;
/// From the leg to the ear of the callee.
const TO_EAR_MS: u64 = 50;

pub(crate) struct Leg {
    pub(crate) port: u16,
    state: State,
    play: Option<Play>,
    /// Counts what has made earlier plans of this leg void.
    generation: u32,
    first_packet_told: bool,
    callee: Callee,
    /// Fault: keys of early media that are told later.
    held: Vec<char>,
}

/// Whether the side that answered was heard; its ringback is not it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Callee {
    NotAwaited,
    Awaited,
    Heard,
}

enum State {
    Idle,
    Open(StreamConfig),
    Closed,
}

struct Play {
    id: u32,
    clips: VecDeque<(usize, String, Duration)>,
    /// When the clip in front began; `None` while nothing may be sent.
    since: Option<At>,
}

impl Leg {
    pub(crate) fn new(port: u16) -> Self {
        Self {
            port,
            state: State::Idle,
            play: None,
            generation: 0,
            first_packet_told: false,
            callee: Callee::NotAwaited,
            held: Vec::new(),
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    fn config(&self) -> Option<&StreamConfig> {
        match &self.state {
            State::Open(config) => Some(config),
            State::Idle | State::Closed => None,
        }
    }

    fn hears(&self, phone: SocketAddr) -> bool {
        self.config()
            .is_some_and(|config| config.remote == phone && config.receive)
    }

    /// What was left of the clip in front, when the sending stops.
    fn pause(&mut self, now: At) {
        self.generation += 1;
        if let Some(play) = &mut self.play
            && let Some(since) = play.since.take()
            && let Some((_, _, left)) = play.clips.front_mut()
        {
            *left = left.saturating_sub(now.since(since));
        }
    }
}

impl World<'_> {
    pub(crate) fn media_command(&mut self, task: &mut Task, command: MediaCommand) {
        let now = self.now();
        if self.trace.is_on() {
            let (name, text) = (self.name_of(task.attempt), describe(&command));
            self.note(format_args!("{name} -> media: {text}"));
        }
        match command {
            MediaCommand::Start(config) => self.leg_starts(task, config),
            MediaCommand::Update(config) => {
                let sends = config.send;
                task.leg.pause(now);
                task.leg.state = State::Open(config);
                if sends {
                    self.clip_begins(task);
                }
                self.rtp_of_phone(task);
            }
            MediaCommand::Answered => {
                task.leg.callee = Callee::Awaited;
                self.rtp_of_phone(task);
            }
            // No simulated callee here makes a sound of its own.
            MediaCommand::Screen => {}
            MediaCommand::Play { id, clips, .. } => {
                let clips = clips.iter().enumerate().map(|(index, clip)| {
                    (
                        index,
                        clip.name.clone(),
                        Duration::from_millis(clip.duration_ms.into()),
                    )
                });
                self.leg_plays(task, id, clips.collect());
            }
            MediaCommand::Stop => {
                task.leg.pause(now);
                task.leg.play = None;
            }
            MediaCommand::SendDigits { digits, .. } => {
                let (life, attempt) = (self.life, task.attempt);
                self.after_ms(
                    KEY_MS * digits.len() as u64,
                    Transition::DigitsEnd { life, attempt },
                );
            }
            MediaCommand::Info(key) => {
                let press = PressFact {
                    at: now,
                    started: now,
                    key: key.digit.as_char(),
                    answered: true,
                };
                self.leg_presses(task, press, KeyTransport::Info, key.duration_ms);
            }
            MediaCommand::Close => self.leg_closes(task),
            MediaCommand::Impair(_) | MediaCommand::ReportQuality | MediaCommand::TakeAudio => {
                self.violate(0, format!("a call asks its leg for {}", describe(&command)));
            }
        }
    }

    fn leg_starts(&mut self, task: &mut Task, config: StreamConfig) {
        let now = self.now();
        let name = self.name_of(task.attempt);
        if let Some(facts) = self.facts.attempts.get_mut(&task.attempt) {
            facts.heard.started_at.get_or_insert(now);
            if !facts.wire.sdp_seen {
                self.violate(5, format!("{name}: RTP begins before any media was agreed"));
            }
        }
        if !matches!(task.leg.state, State::Idle) {
            self.violate(5, format!("{name}: a media leg is started twice"));
        }
        task.leg.state = State::Open(config);
        self.rtp_of_phone(task);
    }

    /// Fault: media before anything was agreed.
    pub(crate) fn leg_talks_unasked(&mut self, task: &mut Task) {
        let config = StreamConfig {
            remote: SocketAddr::from(([203, 0, 113, 1], 4000)),
            learn: false,
            remote_rtcp: None,
            codec: Codec::Pcmu,
            payload_type: 0,
            telephone_event: None,
            ptime_ms: 20,
            send: true,
            receive: true,
            dtmf: ringproof::media::command::DtmfMode::Auto,
            collect_audio: false,
            srtp: None,
            tape: None,
        };
        self.leg_starts(task, config);
        task.leg.state = State::Idle;
    }

    fn leg_plays(&mut self, task: &mut Task, id: u32, clips: VecDeque<(usize, String, Duration)>) {
        let now = self.now();
        if !task.leg.is_open() {
            let name = self.name_of(task.attempt);
            return self.violate(5, format!("{name}: a prompt is played on a leg that is not open"));
        }
        self.check_goodbye(task, &clips);
        task.leg.pause(now);
        if self.plant == Some(Plant::NamesKeyTooSoon) {
            task.media.extend(
                clips
                    .iter()
                    .map(|(index, ..)| MediaEvent::ClipDone { id, index: *index }),
            );
            self.wake_soon(task.attempt);
        }
        task.leg.play = Some(Play {
            id,
            clips,
            since: None,
        });
        let sends = task.leg.config().is_some_and(|config| config.send);
        if sends {
            self.clip_begins(task);
        }
    }

    /// Nobody is told that the key was received before that is durable.
    fn check_goodbye(&mut self, task: &Task, clips: &VecDeque<(usize, String, Duration)>) {
        let goodbye = clips.iter().any(|(_, name, _)| {
            matches!(
                name.as_str(),
                "say-confirmed" | "say-fraud-reported" | "say-goodbye" | "say-no-input"
            )
        });
        let durable = self
            .facts
            .attempts
            .get(&task.attempt)
            .is_some_and(|facts| facts.outcome.is_some());
        if goodbye && !durable && self.plant != Some(Plant::ForgetsOutcome) {
            let name = self.name_of(task.attempt);
            self.violate(
                1,
                format!("{name}: a goodbye plays before the outcome is committed"),
            );
        }
    }

    /// The clip in front begins, or goes on.
    fn clip_begins(&mut self, task: &mut Task) {
        let (now, life, attempt) = (self.now(), self.life, task.attempt);
        let Some(play) = &mut task.leg.play else { return };
        let Some((_, _, left)) = play.clips.front() else {
            return;
        };
        play.since = Some(now);
        let (left, generation) = (*left, task.leg.generation);
        self.after(
            left,
            Transition::ClipEnds {
                life,
                attempt,
                generation,
            },
        );
    }

    pub(crate) fn clip_ends(&mut self, attempt: AttemptId, generation: u32) {
        let now = self.now();
        let Some(mut task) = self
            .process
            .as_mut()
            .and_then(|process| process.tasks.remove(&attempt))
        else {
            return;
        };
        if task.leg.generation == generation
            && let Some(remote) = task.leg.config().map(|config| config.remote)
            && let Some(play) = &mut task.leg.play
            && let Some((index, name, _)) = play.clips.pop_front()
        {
            let id = play.id;
            let last = play.clips.is_empty();
            if let Some(facts) = self.facts.attempts.get_mut(&attempt) {
                facts.heard.said.push((now, name.clone(), remote));
            }
            if let Some(line) = self.line_of(remote) {
                self.after_ms(
                    TO_EAR_MS,
                    Transition::Hears {
                        line,
                        clip: name.clone(),
                    },
                );
            }
            if self.plant != Some(Plant::NamesKeyTooSoon) {
                task.media.push_back(MediaEvent::ClipDone { id, index });
            }
            if name == "say-confirm" {
                self.tell_held_keys(&mut task);
            }
            if last {
                task.leg.play = None;
                task.media.push_back(MediaEvent::PlayDone { id });
            } else {
                self.clip_begins(&mut task);
            }
        }
        if let Some(process) = self.process.as_mut() {
            process.tasks.insert(attempt, task);
        }
        self.wake_soon(attempt);
    }

    pub(crate) fn digits_end(&mut self, attempt: AttemptId) {
        self.push_media(attempt, MediaEvent::DigitsSent);
    }

    pub(crate) fn leg_reports(&mut self, attempt: AttemptId) {
        let quality = QualityReport {
            packets_sent: 100,
            packets_received: 100,
            ..QualityReport::default()
        };
        self.push_media(attempt, MediaEvent::Quality(quality));
    }

    fn push_media(&mut self, attempt: AttemptId, event: MediaEvent) {
        if let Some(task) = self
            .process
            .as_mut()
            .and_then(|process| process.tasks.get_mut(&attempt))
        {
            task.media.push_back(event);
            self.wake_soon(attempt);
        }
    }

    fn leg_closes(&mut self, task: &mut Task) {
        let now = self.now();
        if matches!(task.leg.state, State::Closed) {
            let name = self.name_of(task.attempt);
            self.violate(5, format!("{name}: a media leg is closed twice"));
        }
        if self.plant == Some(Plant::TalksAfterBye) && task.leg.is_open() {
            return;
        }
        if let Some(facts) = self.facts.attempts.get_mut(&task.attempt) {
            facts.heard.closed_at = Some(now);
        }
        let was_open = task.leg.is_open();
        task.leg.pause(now);
        task.leg.play = None;
        task.leg.state = State::Closed;
        if was_open && !self.dice.chance(self.plan.mute_legs_percent) {
            let (life, attempt) = (self.life, task.attempt);
            let wait_us = self.dice.between(20, 20_000);
            self.after(
                Duration::from_micros(wait_us),
                Transition::LegReports { life, attempt },
            );
        }
    }

    /// The phone that the leg speaks to may have sent RTP for a while.
    fn rtp_of_phone(&mut self, task: &Task) {
        let Some(line) = task.leg.config().and_then(|config| self.line_of(config.remote)) else {
            return;
        };
        if self.sending.contains(&line) {
            self.after_ms(20, Transition::FirstPacket { line });
        }
    }

    pub(crate) fn first_packet(&mut self, line: Line) {
        let Some(attempt) = self.listener(line) else {
            return;
        };
        let Some(task) = self
            .process
            .as_mut()
            .and_then(|process| process.tasks.get_mut(&attempt))
        else {
            return;
        };
        if !task.leg.first_packet_told {
            task.leg.first_packet_told = true;
            task.media.push_back(MediaEvent::FirstPacket);
        }
        if task.leg.callee == Callee::Awaited {
            task.leg.callee = Callee::Heard;
            task.media.push_back(MediaEvent::Heard);
        }
        self.wake_soon(attempt);
    }

    /// A key has been down long enough to be sure of it.
    pub(crate) fn key_certain(
        &mut self,
        line: Line,
        key: char,
        started: At,
        (in_band, mismatch): (bool, bool),
    ) {
        let Some(attempt) = self.listener(line) else {
            return;
        };
        let Some(mut task) = self
            .process
            .as_mut()
            .and_then(|process| process.tasks.remove(&attempt))
        else {
            return;
        };
        let answered_at = self.peers[line.trunk].exchanges[line.exchange].legs[line.leg].answered_at;
        let answered = answered_at.is_some_and(|at| at <= started);
        let fact = PressFact {
            at: self.now(),
            started,
            key,
            answered,
        };
        if self.plant == Some(Plant::CountsEarlyMedia) && !answered {
            task.leg.held.push('#');
        }
        let transport = if in_band {
            KeyTransport::Inband
        } else {
            KeyTransport::Rfc4733
        };
        self.leg_presses(&mut task, fact, transport, None);
        if mismatch && let Some(MediaEvent::Press(press)) = task.media.back_mut() {
            press.mismatch = true;
        }
        if let Some(process) = self.process.as_mut() {
            process.tasks.insert(attempt, task);
        }
        self.wake_soon(attempt);
    }

    pub(crate) fn key_up(&mut self, line: Line, key: char, tone_ms: u64, in_band: bool) {
        let Some(attempt) = self.listener(line) else {
            return;
        };
        let ended = MediaEvent::PressEnded {
            digit: Digit::from_char(key).unwrap(),
            transport: if in_band {
                KeyTransport::Inband
            } else {
                KeyTransport::Rfc4733
            },
            duration_ms: u32::try_from(tone_ms).unwrap(),
        };
        self.push_media(attempt, ended);
    }

    fn leg_presses(
        &mut self,
        task: &mut Task,
        fact: PressFact,
        transport: KeyTransport,
        duration_ms: Option<u32>,
    ) {
        if let Some(facts) = self.facts.attempts.get_mut(&task.attempt) {
            facts.heard.pressed.push(fact);
        }
        let instant = self.clock.instant();
        let ago = self.now().since(fact.started);
        task.media.push_back(MediaEvent::Press(Press {
            digit: Digit::from_char(fact.key).unwrap(),
            transport,
            at: instant,
            started_at: instant - ago,
            duration_ms,
            mismatch: false,
        }));
    }

    fn tell_held_keys(&mut self, task: &mut Task) {
        let instant: Instant = self.clock.instant();
        for key in std::mem::take(&mut task.leg.held) {
            task.media.push_back(MediaEvent::Press(Press {
                digit: Digit::from_char(key).unwrap(),
                transport: KeyTransport::Rfc4733,
                at: instant,
                started_at: instant,
                duration_ms: None,
                mismatch: false,
            }));
        }
    }

    /// The call whose leg takes what this phone sends.
    fn listener(&self, line: Line) -> Option<AttemptId> {
        let exchange = self.peers.get(line.trunk)?.exchanges.get(line.exchange)?;
        let phone = exchange.legs.get(line.leg)?.media;
        let process = self.process.as_ref()?;
        process
            .tasks
            .iter()
            .find(|(_, task)| task.leg.hears(phone))
            .map(|(attempt, _)| *attempt)
    }

    /// The phone behind a media address.
    pub(crate) fn line_of(&self, address: SocketAddr) -> Option<Line> {
        self.peers.iter().enumerate().find_map(|(trunk, peer)| {
            peer.exchanges.iter().enumerate().find_map(|(exchange, known)| {
                let leg = known.legs.iter().position(|leg| leg.media == address)?;
                Some(Line { trunk, exchange, leg })
            })
        })
    }
}

fn describe(command: &MediaCommand) -> String {
    match command {
        MediaCommand::Start(config) => format!("start to {}", config.remote),
        MediaCommand::Update(config) => format!("update to {}, sends {}", config.remote, config.send),
        MediaCommand::Answered => "answered".to_owned(),
        MediaCommand::Screen => "screen".to_owned(),
        MediaCommand::Play { id, clips, .. } => {
            let names: Vec<&str> = clips.iter().map(|clip| clip.name.as_str()).collect();
            format!("play {id}: {}", names.join(" "))
        }
        MediaCommand::Stop => "stop".to_owned(),
        MediaCommand::SendDigits { digits, .. } => format!("send {} digits", digits.len()),
        MediaCommand::Info(_) => "a key in INFO".to_owned(),
        MediaCommand::Impair(_) => "damage".to_owned(),
        MediaCommand::ReportQuality => "a report".to_owned(),
        MediaCommand::TakeAudio => "audio".to_owned(),
        MediaCommand::Close => "close".to_owned(),
    }
}
