//! What one call did, as the tests look at it.
use super::world::World;
use crate::media::command::StreamConfig;
use crate::model::{AttemptReport, Outcome, Reason, Stage};
use crate::sip::invite::TargetFailure;
use crate::sip::uas;

/// One line of what happened.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Seen {
    /// A request (its method) or response (its status and method) that the call sent.
    Sent(String),
    Start(StreamConfig),
    Update(StreamConfig),
    /// The leg was told that the callee speaks from now on.
    Answered,
    Screen,
    /// Names of the clips.
    Play(Vec<String>),
    Stop,
    Digits(String),
    Close,
    OtherMedia,
    Stage(Stage),
    Decided(Outcome, Box<AttemptReport>),
    Finished(Outcome, Box<AttemptReport>, bool),
    DoubleRing,
    NextTarget(usize, TargetFailure),
    /// The method of a request to the target from which nothing comes.
    SentToDead(String),
    /// What the peer's side told its owner.
    Peer(uas::Event),
}

impl World {
    pub(super) fn seen(&self, wanted: impl Fn(&Seen) -> bool) -> Vec<u64> {
        self.log
            .iter()
            .filter(|(_, seen)| wanted(seen))
            .map(|(ms, _)| *ms)
            .collect()
    }

    pub(super) fn sent(&self, name: &str) -> usize {
        self.seen(|seen| *seen == Seen::Sent(name.to_owned())).len()
    }

    pub(super) fn play_times_ms(&self) -> Vec<u64> {
        self.seen(|seen| matches!(seen, Seen::Play(_)))
    }

    pub(super) fn stages(&self) -> Vec<Stage> {
        self.log
            .iter()
            .filter_map(|(_, seen)| match seen {
                Seen::Stage(stage) => Some(*stage),
                _ => None,
            })
            .collect()
    }

    pub(super) fn decided(&self) -> Option<(u64, Reason, &AttemptReport)> {
        self.log.iter().find_map(|(ms, seen)| match seen {
            Seen::Decided(outcome, report) => Some((*ms, outcome.reason(), &**report)),
            _ => None,
        })
    }

    pub(super) fn reason(&self) -> Option<Reason> {
        self.decided().map(|(_, reason, _)| reason)
    }

    pub(super) fn finished(&self) -> Option<(u64, &AttemptReport, bool)> {
        self.log.iter().find_map(|(ms, seen)| match seen {
            Seen::Finished(_, report, next) => Some((*ms, &**report, *next)),
            _ => None,
        })
    }

    pub(super) fn stream(&self) -> Option<&StreamConfig> {
        self.log.iter().rev().find_map(|(_, seen)| match seen {
            Seen::Start(config) | Seen::Update(config) => Some(config),
            _ => None,
        })
    }

    /// What holds for every call that is over.
    pub(super) fn check(&self) {
        let position = |wanted: fn(&Seen) -> bool| {
            let mut found = self.log.iter().enumerate().filter(|(_, (_, seen))| wanted(seen));
            let first = found.next().map(|(index, _)| index);
            assert!(found.next().is_none(), "twice: {:#?}", self.log);
            first.unwrap_or_else(|| panic!("never: {:#?}", self.log))
        };
        let decided = position(|seen| matches!(seen, Seen::Decided(..)));
        let finished = position(|seen| matches!(seen, Seen::Finished(..)));
        let closed = position(|seen| *seen == Seen::Close);
        assert!(decided < finished, "{:#?}", self.log);
        let (Seen::Decided(first, _), Seen::Finished(second, ..)) =
            (&self.log[decided].1, &self.log[finished].1)
        else {
            unreachable!()
        };
        assert_eq!(first, second);
        let media = |seen: &Seen| {
            matches!(
                seen,
                Seen::Start(_)
                    | Seen::Update(_)
                    | Seen::Answered
                    | Seen::Screen
                    | Seen::Play(_)
                    | Seen::Stop
                    | Seen::Digits(_)
                    | Seen::OtherMedia
            )
        };
        assert!(
            !self.log[closed..].iter().any(|(_, seen)| media(seen)),
            "{:#?}",
            self.log
        );
        let started = self
            .log
            .iter()
            .position(|(_, seen)| matches!(seen, Seen::Start(_)));
        let first_media = self.log.iter().position(|(_, seen)| media(seen));
        assert_eq!(started, first_media, "{:#?}", self.log);
        let bye = self
            .log
            .iter()
            .position(|(_, seen)| *seen == Seen::Sent("BYE".to_owned()));
        let is_given_up = self.sent("CANCEL") > 0;
        assert!(
            is_given_up || bye.is_none_or(|bye| closed < bye),
            "{:#?}",
            self.log
        );
    }
}
