//! A menu in virtual time: a line lasts two seconds, deadlines and ends of lines come in order.
mod course;
mod early;
mod machine;
mod match_code;
mod press_key;
mod random_input;
mod random_key;
mod speak_code;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::model::{Digit, Digits, Entropy, Extension, KeyTransport, Masked, Reason};

const LINE_MS: u64 = 2000;

struct Playing {
    lines: usize,
    done: usize,
    next_at: Instant,
}

struct Talk {
    menu: Option<Menu>,
    start: Instant,
    now: Instant,
    playing: Option<Playing>,
    /// All outputs with their time in milliseconds.
    log: Vec<(u64, Output)>,
    commits: bool,
}

fn code(text: &str) -> Masked<Digits> {
    Masked::new(Digits::parse(text).unwrap())
}

impl Talk {
    fn new(task: Task) -> Self {
        Self::with(task, Script::default(), None)
    }

    fn with(task: Task, script: Script, extension: Option<Extension>) -> Self {
        let config = MenuConfig {
            script: Arc::new(script),
            task,
            extension,
            transaction: None,
        };
        Self::configured(config, 7)
    }

    #[expect(clippy::disallowed_methods, reason = "virtual time has to begin somewhere")]
    fn configured(config: MenuConfig, seed: u64) -> Self {
        let start = Instant::now();
        Self {
            menu: Some(Menu::new(config, Entropy::from_number(seed))),
            start,
            now: start,
            playing: None,
            log: Vec::new(),
            commits: true,
        }
    }

    /// Answered, and the first play heard in full.
    fn named(task: Task) -> Self {
        let mut talk = Self::new(task);
        talk.give(Input::Answered);
        talk.advance(700 + 2 * LINE_MS);
        talk
    }

    fn ms(&self) -> u64 {
        u64::try_from(self.now.duration_since(self.start).as_millis()).unwrap()
    }

    fn give(&mut self, input: Input) {
        let mut out = Vec::new();
        let menu = self.menu.take().unwrap().handle(self.now, input, &mut out);
        self.menu = Some(menu);
        for output in out {
            let goodbye = match &output {
                Output::Play(lines) => {
                    self.playing = Some(Playing {
                        lines: lines.len(),
                        done: 0,
                        next_at: self.now + Duration::from_millis(LINE_MS),
                    });
                    false
                }
                Output::Stop | Output::Hangup => {
                    self.playing = None;
                    false
                }
                Output::Verdict(verdict) => verdict.goodbye.is_some(),
                Output::SendDigits(_) => false,
            };
            self.log.push((self.ms(), output));
            if goodbye && self.commits {
                self.give(Input::Committed);
            }
        }
    }

    fn advance(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        for _ in 0..10_000 {
            let deadline = self.menu.as_ref().unwrap().poll_timeout().map(|(at, _)| at);
            let line = self.playing.as_ref().map(|playing| playing.next_at);
            let Some(next) = [deadline, line]
                .into_iter()
                .flatten()
                .min()
                .filter(|at| *at <= end)
            else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            if line.is_some_and(|at| at <= next) {
                self.line_ends();
            } else {
                self.give(Input::Timeout);
            }
        }
        panic!("a deadline does not move");
    }

    fn line_ends(&mut self) {
        let Some(playing) = &mut self.playing else { return };
        let index = playing.done;
        playing.done += 1;
        playing.next_at += Duration::from_millis(LINE_MS);
        let last = playing.done >= playing.lines;
        if last {
            self.playing = None;
        }
        self.give(Input::LineDone(index));
        if last {
            self.give(Input::PlayDone);
        }
    }

    fn press(&mut self, symbol: char) {
        self.give(Input::Press(Key {
            digit: Digit::from_char(symbol).unwrap(),
            transport: KeyTransport::Rfc4733,
            started_at: self.now,
            at: self.now,
        }));
        self.give(Input::Release);
    }

    /// One key after another, `gap_ms` apart.
    fn type_keys(&mut self, symbols: &str, gap_ms: u64) {
        for symbol in symbols.chars() {
            self.press(symbol);
            self.advance(gap_ms);
        }
    }

    fn verdict(&self) -> Option<&Verdict> {
        self.log.iter().find_map(|(_, output)| match output {
            Output::Verdict(verdict) => Some(verdict),
            Output::Play(_) | Output::Stop | Output::SendDigits(_) | Output::Hangup => None,
        })
    }

    fn reason(&self) -> Option<Reason> {
        self.verdict().map(|verdict| verdict.reason)
    }

    /// The phrases of each play so far.
    fn plays(&self) -> Vec<Vec<&str>> {
        self.log
            .iter()
            .filter_map(|(_, output)| match output {
                Output::Play(lines) => Some(lines.iter().map(|line| line.phrase.as_str()).collect()),
                Output::Stop | Output::SendDigits(_) | Output::Verdict(_) | Output::Hangup => None,
            })
            .collect()
    }

    fn play_times_ms(&self) -> Vec<u64> {
        self.log
            .iter()
            .filter(|(_, output)| matches!(output, Output::Play(_)))
            .map(|(at, _)| *at)
            .collect()
    }

    fn last_lines(&self) -> Vec<Line> {
        self.log
            .iter()
            .rev()
            .find_map(|(_, output)| match output {
                Output::Play(lines) => Some(lines.clone()),
                Output::Stop | Output::SendDigits(_) | Output::Verdict(_) | Output::Hangup => None,
            })
            .unwrap_or_default()
    }

    /// The digit that `random_key` asks for now.
    fn asked(&self) -> char {
        self.last_lines()
            .iter()
            .find_map(|line| line.vars.get(phrase::VAR_KEY))
            .and_then(|value| value.chars().next())
            .unwrap()
    }

    /// A digit that is not asked for now, and has no job of its own.
    fn wrong(&self) -> char {
        if self.asked() == '5' { '6' } else { '5' }
    }

    fn is_stopped(&self) -> bool {
        self.log.iter().any(|(_, output)| *output == Output::Stop)
    }

    fn is_over(&self) -> bool {
        self.menu.as_ref().unwrap().is_over()
    }
}
