//! The menu's own course: answer, lines and plays that end, deadlines, hangup, commit.
use std::time::{Duration, Instant};

use super::early::Early;
use super::io::{Line, Output};
use super::menu::{Ask, Ruling, State};
use super::phrase;
use super::talk::{Answered, Talk};
use crate::model::Reason;

impl State {
    pub(super) fn answered(self, talk: &mut Talk, now: Instant, out: &mut Vec<Output>) -> Self {
        let Self::Unanswered { sounding } = self else {
            return self;
        };
        talk.answered = Some(Answered {
            at: now,
            ends_at: now + talk.script.answered_max,
        });
        // A tone that outlives the answer was not made by the person who answered.
        if sounding.is_some() || talk.early == Early::Suspect {
            return talk.conclude(now, Reason::SuspectMachine, None, out);
        }
        match &talk.extension {
            Some(extension) => Self::ExtensionWait {
                until: now + Duration::from_millis(extension.wait_ms.into()),
            },
            None => Self::Lead {
                until: now + talk.script.first_word,
            },
        }
    }

    pub(super) fn release(self) -> Self {
        match self {
            Self::Unanswered { .. } => Self::Unanswered { sounding: None },
            state => state,
        }
    }

    pub(super) fn line_done(self, talk: &mut Talk, ask: &Ask, now: Instant, index: usize) -> Self {
        if let Self::Playing { lines } = &self
            && let Some(line) = lines.get(index)
        {
            talk.line_done(now, &line.phrase, ask);
        }
        self
    }

    pub(super) fn play_done(self, talk: &mut Talk, ask: &Ask, now: Instant, out: &mut Vec<Output>) -> Self {
        match self {
            Self::Playing { lines } => {
                // Lines whose own report was lost have been played as well.
                for line in &lines {
                    talk.line_named(now, &line.phrase, ask);
                }
                Self::Waiting {
                    until: now + talk.script.key_wait,
                }
            }
            // The callee may be between the two keys of a report: it is heard out before the verdict.
            Self::Speaking { key } => match talk.fraud_open_until() {
                Some(until) if until > now => Self::Spoken { until, key },
                _ => talk.conclude(now, Reason::CodePlayed, Some(key), out),
            },
            Self::Goodbye => {
                out.push(Output::Hangup);
                Self::Over
            }
            state => state,
        }
    }

    pub(super) fn digits_sent(self, talk: &mut Talk, now: Instant) -> Self {
        match self {
            Self::ExtensionDialing => {
                talk.dialed_at = Some(now);
                Self::Lead {
                    until: now + talk.script.first_word,
                }
            }
            state => state,
        }
    }

    pub(super) fn committed(self, out: &mut Vec<Output>) -> Self {
        match self {
            Self::Committing { goodbye, .. } => {
                out.push(Output::Play(vec![goodbye]));
                Self::Goodbye
            }
            state => state,
        }
    }

    /// Left without a word. What keys have decided, or are about to, counts more; and before the extension is dialled
    /// a machine is to be expected.
    pub(super) fn machine(self, talk: &Talk, now: Instant, reason: Reason, out: &mut Vec<Output>) -> Self {
        match self {
            Self::Lead { .. } | Self::Playing { .. } | Self::Waiting { .. } => {
                self.stop(out);
                talk.conclude(now, reason, None, out)
            }
            state @ (Self::Unanswered { .. }
            | Self::ExtensionWait { .. }
            | Self::ExtensionDialing
            | Self::HalfFraud { .. }
            | Self::Quiet { .. }
            | Self::Speaking { .. }
            | Self::Spoken { .. }
            | Self::Committing { .. }
            | Self::Goodbye
            | Self::Over) => state,
        }
    }

    pub(super) fn hung_up(self, talk: &Talk, now: Instant, out: &mut Vec<Output>) -> Self {
        match self {
            Self::Unanswered { .. } | Self::Committing { .. } | Self::Goodbye | Self::Over => Self::Over,
            // No other key can follow any more: the right one stood alone.
            Self::Quiet { key, .. } => talk.conclude(now, Reason::KeyConfirmed, Some(key), out).left(out),
            Self::Spoken { key, .. } => talk.conclude(now, Reason::CodePlayed, Some(key), out).left(out),
            Self::ExtensionWait { .. }
            | Self::ExtensionDialing
            | Self::Lead { .. }
            | Self::Playing { .. }
            | Self::Waiting { .. }
            | Self::HalfFraud { .. }
            | Self::Speaking { .. } => talk.conclude(now, Reason::HungUp, None, out).left(out),
        }
    }

    /// There is nobody left to say goodbye to.
    fn left(self, out: &mut Vec<Output>) -> Self {
        if let Some(Output::Verdict(verdict)) = out.last_mut() {
            verdict.goodbye = None;
            out.push(Output::Hangup);
        }
        Self::Over
    }

    pub(super) fn deadline(&self) -> Option<(Instant, &'static str)> {
        match self {
            Self::ExtensionWait { until } => Some((*until, "extension wait")),
            Self::Lead { until } => Some((*until, "first word")),
            Self::Waiting { until } => Some((*until, "key wait")),
            Self::HalfFraud { until } => Some((*until, "second fraud key")),
            Self::Quiet { until, .. } => Some((*until, "quiet after key")),
            Self::Spoken { until, .. } => Some((*until, "fraud key after code")),
            Self::Committing { until, .. } => Some((*until, "commit wait")),
            Self::Unanswered { .. }
            | Self::ExtensionDialing
            | Self::Playing { .. }
            | Self::Speaking { .. }
            | Self::Goodbye
            | Self::Over => None,
        }
    }

    pub(super) fn timeout(self, talk: &mut Talk, ask: &mut Ask, now: Instant, out: &mut Vec<Output>) -> Self {
        let Some(answered) = talk.answered else {
            return self;
        };
        match self.deadline() {
            Some((until, _)) if until <= now && until < answered.ends_at => {
                self.own_timeout(talk, ask, now, out)
            }
            _ if answered.ends_at <= now => self.time_is_up(talk, now, out),
            _ => self,
        }
    }

    fn own_timeout(self, talk: &mut Talk, ask: &mut Ask, now: Instant, out: &mut Vec<Output>) -> Self {
        match self {
            Self::ExtensionWait { .. } => match &talk.extension {
                Some(extension) => {
                    out.push(Output::SendDigits(extension.digits.clone()));
                    Self::ExtensionDialing
                }
                None => Self::Lead { until: now },
            },
            Self::Lead { .. } => first_play(talk, ask, out),
            Self::Waiting { .. } if talk.plays_left() => next_play(talk, ask, None, out),
            Self::Waiting { .. } => talk.conclude(now, Reason::NoInput, None, out),
            // Half a report is no report, and no key of the menu either.
            Self::HalfFraud { .. } => {
                let ruling = ask.wrong_key(talk);
                self.apply(talk, ask, now, ruling, None, out)
            }
            Self::Quiet { key, .. } => talk.conclude(now, Reason::KeyConfirmed, Some(key), out),
            Self::Spoken { key, .. } => talk.conclude(now, Reason::CodePlayed, Some(key), out),
            Self::Committing { .. } => {
                out.push(Output::Hangup);
                Self::Over
            }
            state => state,
        }
    }

    /// The answered call has lasted as long as it may: no further word.
    fn time_is_up(self, talk: &Talk, now: Instant, out: &mut Vec<Output>) -> Self {
        match self {
            Self::Unanswered { .. } | Self::Over => self,
            Self::Committing { .. } | Self::Goodbye => {
                out.extend([Output::Stop, Output::Hangup]);
                Self::Over
            }
            Self::Spoken { key, .. } => talk.conclude(now, Reason::CodePlayed, Some(key), out),
            Self::ExtensionWait { .. }
            | Self::ExtensionDialing
            | Self::Lead { .. }
            | Self::Playing { .. }
            | Self::Waiting { .. }
            | Self::HalfFraud { .. }
            | Self::Quiet { .. }
            | Self::Speaking { .. } => {
                self.stop(out);
                talk.conclude(now, Reason::NoInput, None, out)
            }
        }
    }

    /// Ends what plays, if anything does.
    pub(super) fn stop(&self, out: &mut Vec<Output>) {
        if matches!(
            self,
            Self::Playing { .. } | Self::Speaking { .. } | Self::ExtensionDialing
        ) {
            out.push(Output::Stop);
        }
    }
}

impl Ask {
    /// What a key that nobody asked for means to this method.
    pub(super) fn wrong_key(&mut self, talk: &Talk) -> Ruling {
        match self {
            Self::RandomKey(random) => random.wrong_key(&talk.script),
            Self::PressKey(_) | Self::MatchCode(_) | Self::SpeakCode(_) => Ruling::Invalid,
        }
    }
}

fn first_play(talk: &mut Talk, ask: &mut Ask, out: &mut Vec<Output>) -> State {
    let opening = match talk.early {
        Early::Forgiven => Some(phrase::PLEASE_LISTEN),
        Early::Nothing | Early::BeforeAnswer | Early::Suspect => None,
    };
    next_play(talk, ask, opening, out)
}

/// The next of the plays that the script allows.
pub(super) fn next_play(
    talk: &mut Talk,
    ask: &mut Ask,
    opening: Option<&str>,
    out: &mut Vec<Output>,
) -> State {
    talk.plays = talk.plays.saturating_add(1);
    replay(talk, ask, opening, out)
}

/// The same play from its beginning.
pub(super) fn replay(talk: &Talk, ask: &mut Ask, opening: Option<&str>, out: &mut Vec<Output>) -> State {
    if let Ask::MatchCode(code) = ask {
        code.forget_entry();
    }
    let mut lines: Vec<Line> = opening.map(Line::new).into_iter().collect();
    lines.extend(talk.lines(ask.naming(&talk.script)));
    say(lines, out)
}

pub(super) fn say(lines: Vec<Line>, out: &mut Vec<Output>) -> State {
    out.push(Output::Play(lines.clone()));
    State::Playing { lines }
}
