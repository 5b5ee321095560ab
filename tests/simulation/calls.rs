//! How one call may go, each with the end that the product's documents promise for it.
use ringproof::model::{Entropy, KeyTransport, Method, Reason};

use crate::dice::Dice;
use crate::plan::TrunkPlan;
use crate::script::{
    AnswerForm, CallScript, CalleeScript, Challenge, ChallengeVerdict, FirstTry, Habit, OfferForm, OnBye,
    OnCancel, Step,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) reason: Reason,
    pub(crate) next_trunk: bool,
    /// To one other trunk in the whole verification, not to all of them.
    pub(crate) once: bool,
    /// Reason and next trunk where every 18x was lost: nobody can tell then that a phone rang.
    pub(crate) unrung: Option<(Reason, bool)>,
}

const fn ends(reason: Reason) -> Option<Ending> {
    Some(Ending {
        reason,
        next_trunk: false,
        once: false,
        unrung: None,
    })
}

const fn goes_on(reason: Reason) -> Option<Ending> {
    Some(Ending {
        reason,
        next_trunk: true,
        once: false,
        unrung: None,
    })
}

const fn goes_on_once(reason: Reason) -> Option<Ending> {
    Some(Ending {
        reason,
        next_trunk: true,
        once: true,
        unrung: None,
    })
}

const fn ends_after_ringing(reason: Reason, unrung: (Reason, bool)) -> Option<Ending> {
    Some(Ending {
        reason,
        next_trunk: false,
        once: false,
        unrung: Some(unrung),
    })
}

type Call = (CallScript, Option<Ending>);

fn script(steps: Vec<(u64, Step)>) -> CallScript {
    CallScript {
        challenge: None,
        first: None,
        steps,
        on_cancel: OnCancel::Terminates { after_ms: 10 },
        on_bye: OnBye::Ok,
        info_waits: false,
        record_route: false,
        callee: CalleeScript::silent(),
    }
}

const fn ring(leg: usize, status: u16) -> Step {
    Step::Provisional {
        leg,
        status,
        media: false,
        reliable: false,
    }
}

pub(crate) fn draw(dice: &mut Entropy, method: Method, trunk: &TrunkPlan) -> Call {
    let draws: &[(u64, fn(&mut Entropy, Method) -> Call)] = &[
        (52, answers),
        (14, |dice, _| refuses(dice)),
        (5, |dice, _| rings_for_ever(dice)),
        (2, |dice, _| never_rings(dice)),
        (4, |dice, _| is_silent(dice)),
        (3, |dice, _| answers_too_late(dice)),
        (4, |dice, _| announces_and_refuses(dice)),
        (4, |dice, _| rings_and_refuses(dice)),
        (6, forks),
        (3, |dice, _| answers_badly(dice)),
        (3, reoffers),
    ];
    let (mut script, mut ending) = dice.weighted(draws)(dice, method);
    script.record_route = dice.chance(25);
    script.info_waits = dice.chance(50);
    script.on_bye = dice.weighted(&[
        (88, OnBye::Ok),
        (5, OnBye::Unknown),
        (4, OnBye::Deaf),
        (3, OnBye::Challenges),
    ]);
    if !trunk.has_credentials && script.on_bye == OnBye::Challenges {
        script.on_bye = OnBye::Ok;
    }
    let silent = matches!(script.steps.first(), None | Some((30_000.., _)));
    if !silent && dice.chance(15) {
        challenge(dice, trunk, &mut script, &mut ending);
    } else if !silent && dice.chance(4) {
        script.first = Some(*dice.pick(&[FirstTry::Pending491, FirstTry::IntervalTooSmall422]));
    }
    (script, ending)
}

fn challenge(dice: &mut Entropy, trunk: &TrunkPlan, script: &mut CallScript, ending: &mut Option<Ending>) {
    let verdict = dice.weighted(&[
        (80, ChallengeVerdict::Accepts),
        (10, ChallengeVerdict::StaleOnce),
        (10, ChallengeVerdict::Never),
    ]);
    script.challenge = Some(Challenge {
        status: *dice.pick(&[401, 407]),
        with_qop: dice.chance(80),
        verdict,
    });
    if verdict == ChallengeVerdict::Never || !trunk.has_credentials {
        *ending = goes_on(Reason::TrunkAuth);
    }
}

/// Somebody picks up, after some ringing.
pub(crate) fn answers(dice: &mut Entropy, method: Method) -> Call {
    let (callee, ending) = draw_callee(dice, method);
    let mut steps = Vec::new();
    if dice.chance(70) {
        steps.push((dice.between(1, 300), ring(0, 100)));
    }
    let early = matches!(callee.habit, Habit::TonesBeforeAnswer { .. });
    let reliable = dice.chance(30);
    if early || dice.chance(15) {
        let step = Step::Provisional {
            leg: 0,
            status: 183,
            media: true,
            reliable,
        };
        steps.push((dice.between(10, 1_500), step));
    } else if dice.chance(85) {
        let step = Step::Provisional {
            leg: 0,
            status: 180,
            media: false,
            reliable,
        };
        steps.push((dice.between(10, 1_500), step));
    }
    if dice.chance(5) {
        steps.push((dice.between(10, 800), ring(0, 181)));
    }
    let form = dice.weighted(&[
        (70, AnswerForm::Pcmu),
        (20, AnswerForm::Pcma),
        (10, AnswerForm::WithoutEvents),
    ]);
    let after_ms = if early {
        dice.between(1_500, 6_000)
    } else {
        dice.between(10, 9_000)
    };
    steps.push((after_ms, Step::Answer { leg: 0, form }));
    if dice.chance(5) {
        steps.push((dice.between(1_000, 5_000), Step::Options { leg: 0 }));
    }
    let mut script = script(steps);
    script.on_cancel = draw_on_cancel(dice);
    script.callee = callee;
    (script, ending)
}

fn draw_on_cancel(dice: &mut Entropy) -> OnCancel {
    let after_ms = dice.weighted(&[(80, 5), (15, 300), (5, 2_500)]);
    dice.weighted(&[
        (70, OnCancel::Terminates { after_ms }),
        (15, OnCancel::AnswersFirst),
        (5, OnCancel::Ignores),
        (5, OnCancel::Deaf),
        (5, OnCancel::Unknown),
    ])
}

fn draw_callee(dice: &mut Entropy, method: Method) -> (CalleeScript, Option<Ending>) {
    let habit = match dice.below(100) {
        0..30 => Habit::Obeys { wrong_first: 0 },
        30..36 => Habit::Obeys { wrong_first: 1 },
        36..40 => Habit::Obeys { wrong_first: 2 },
        40..44 => Habit::Obeys { wrong_first: 3 },
        44..48 => Habit::RepeatsThenObeys,
        48..54 => Habit::ReportsFraud,
        54..59 => Habit::EarlyKeys {
            at_ms: vec![dice.between(300, 1_800)],
            keys: "5".to_owned(),
        },
        59..63 => {
            let first_ms = dice.between(300, 900);
            Habit::EarlyKeys {
                at_ms: vec![first_ms, first_ms + dice.between(250, 800)],
                keys: "58".to_owned(),
            }
        }
        63..68 => Habit::HangsUp {
            at_ms: dice.between(400, 2_400),
        },
        68..74 => Habit::ObeysAndHangsUp {
            after_ms: dice.between(130, 1_500),
        },
        74..79 => Habit::TwelveTones,
        79..82 => Habit::TonesBeforeAnswer {
            goes_on: dice.chance(50),
        },
        82..90 => Habit::Mashes { keys: mash(dice) },
        _ => Habit::Nothing,
    };
    let passive = matches!(habit, Habit::Nothing | Habit::HangsUp { .. });
    let callee = CalleeScript {
        sends_rtp: !passive || dice.chance(75),
        transport: *dice.pick(&[
            KeyTransport::Rfc4733,
            KeyTransport::Rfc4733,
            KeyTransport::Inband,
            KeyTransport::Info,
        ]),
        reaction_ms: dice.between(150, 3_500),
        tone_ms: dice.between(60, 250),
        gap_ms: dice.between(150, 700),
        habit,
    };
    let ending = of_callee(&callee, method);
    (callee, ending)
}

fn mash(dice: &mut Entropy) -> Vec<(u64, char)> {
    let count = dice.between(1, 12);
    let mut keys: Vec<(u64, char)> = (0..count)
        .map(|_| {
            (
                dice.between(100, 25_000),
                *dice.pick(&['0', '#', '*', '1', '5', '7', '4']),
            )
        })
        .collect();
    keys.sort_unstable();
    // One finger: a key is up before the next goes down.
    let mut free_at_ms = 0;
    for (at_ms, _) in &mut keys {
        *at_ms = (*at_ms).max(free_at_ms);
        free_at_ms = *at_ms + 400;
    }
    keys
}

/// CONTRACT §4.
fn of_callee(callee: &CalleeScript, method: Method) -> Option<Ending> {
    let success = match method {
        Method::PressKey | Method::RandomKey => Reason::KeyConfirmed,
        Method::MatchCode => Reason::CodeMatched,
        Method::SpeakCode => Reason::CodePlayed,
    };
    match (&callee.habit, method) {
        (Habit::Nothing | Habit::HangsUp { .. }, _) if !callee.sends_rtp => ends(Reason::MediaFailed),
        (Habit::Nothing, _) => ends(Reason::NoInput),
        (Habit::HangsUp { .. }, _) => ends(Reason::HungUp),
        (Habit::Obeys { wrong_first: 2.. }, Method::RandomKey) => ends(Reason::WrongKey),
        (Habit::Obeys { wrong_first: 2.. }, Method::MatchCode) => ends(Reason::WrongCode),
        (Habit::Obeys { wrong_first: 3.. }, _) => ends(Reason::WrongKey),
        (Habit::Obeys { .. } | Habit::RepeatsThenObeys, _) => ends(success),
        (Habit::ReportsFraud, _) => ends(Reason::FraudReported),
        (Habit::EarlyKeys { keys, .. }, _) if keys.len() > 1 => ends(Reason::SuspectMachine),
        (Habit::EarlyKeys { .. }, _) => ends(success),
        (Habit::ObeysAndHangsUp { .. }, Method::SpeakCode) => ends(Reason::HungUp),
        (Habit::ObeysAndHangsUp { .. }, _) => ends(success),
        (Habit::TwelveTones, _) => ends(Reason::SuspectMachine),
        // Over INFO nothing is heard before the answer.
        (Habit::TonesBeforeAnswer { goes_on: true }, _) => match callee.transport {
            KeyTransport::Info => None,
            KeyTransport::Rfc4733 | KeyTransport::Inband => ends(Reason::SuspectMachine),
        },
        (Habit::TonesBeforeAnswer { goes_on: false }, _) => ends(success),
        (Habit::Mashes { .. }, _) => None,
    }
}

/// SIP §4.
fn refuses(dice: &mut Entropy) -> Call {
    type Row = (u16, Option<&'static str>, Option<&'static str>, Option<Ending>);
    let rows: &[Row] = &[
        (486, None, None, ends(Reason::Busy)),
        (600, None, None, ends(Reason::Busy)),
        (603, None, None, ends(Reason::Declined)),
        (
            603,
            Some("Network Blocked"),
            None,
            ends(Reason::RejectedByNetwork),
        ),
        (607, None, None, ends(Reason::Declined)),
        (608, None, None, ends(Reason::RejectedByNetwork)),
        (404, None, None, ends(Reason::NotAllocated)),
        (410, None, None, ends(Reason::NotAllocated)),
        (484, None, None, ends(Reason::InvalidNumber)),
        (480, None, None, ends(Reason::Unreachable)),
        (480, None, Some("Q.850;cause=19"), ends(Reason::NoAnswer)),
        (503, None, Some("Q.850;cause=17"), ends(Reason::Busy)),
        (408, None, None, goes_on(Reason::Unreachable)),
        (403, None, None, goes_on_once(Reason::RejectedByNetwork)),
        (488, None, None, goes_on(Reason::CodecMismatch)),
        (500, None, None, goes_on(Reason::Congestion)),
        (502, None, None, goes_on(Reason::Congestion)),
        (503, None, None, goes_on(Reason::Congestion)),
        (503, None, Some("Q.850;cause=34"), goes_on(Reason::Congestion)),
        (302, None, None, goes_on(Reason::RejectedByNetwork)),
        (400, None, None, goes_on(Reason::Internal)),
        (420, None, None, goes_on(Reason::Internal)),
    ];
    let (status, phrase, reason, ending) = *dice.pick(rows);
    let mut headers: Vec<(&'static str, String)> = Vec::new();
    headers.extend(reason.map(|value| ("Reason", value.to_owned())));
    if status == 503 {
        headers.push(("Retry-After", "7".to_owned()));
    }
    if status == 302 {
        headers.push(("Contact", "<sip:other@203.0.113.9>".to_owned()));
    }
    let mut steps = Vec::new();
    if dice.chance(50) {
        steps.push((dice.between(1, 200), ring(0, 100)));
    }
    steps.push((
        dice.between(1, 3_000),
        Step::Refuse {
            status,
            phrase,
            headers,
        },
    ));
    (script(steps), ending)
}

pub(crate) fn rings_for_ever(dice: &mut Entropy) -> Call {
    let mut script = script(vec![
        (dice.between(1, 500), ring(0, 100)),
        (dice.between(10, 2_000), ring(0, 180)),
    ]);
    script.on_cancel = draw_on_cancel(dice);
    (script, ends(Reason::NoAnswer))
}

fn never_rings(dice: &mut Entropy) -> Call {
    let mut script = script(vec![(dice.between(1, 500), ring(0, 100))]);
    script.on_cancel = draw_on_cancel(dice);
    (script, ends(Reason::NoAnswer))
}

fn is_silent(_: &mut Entropy) -> Call {
    (script(Vec::new()), goes_on(Reason::TrunkDown))
}

/// The INVITE had arrived after all: the telephone rings, or is picked up, when it was given up already.
fn answers_too_late(dice: &mut Entropy) -> Call {
    let mut steps = Vec::new();
    let first_ms = dice.between(33_000, 55_000);
    if dice.chance(50) {
        steps.push((first_ms, ring(0, 180)));
        if dice.chance(50) {
            steps.push((
                dice.between(10, 4_000),
                Step::Answer {
                    leg: 0,
                    form: AnswerForm::Pcmu,
                },
            ));
        }
    } else {
        steps.push((
            first_ms,
            Step::Answer {
                leg: 0,
                form: AnswerForm::Pcmu,
            },
        ));
    }
    let mut script = script(steps);
    script.on_cancel = draw_on_cancel(dice);
    (script, goes_on(Reason::TrunkDown))
}

fn announces_and_refuses(dice: &mut Entropy) -> Call {
    let reliable = dice.chance(40);
    let steps = vec![
        (dice.between(1, 300), ring(0, 100)),
        (
            dice.between(10, 2_000),
            Step::Provisional {
                leg: 0,
                status: 183,
                media: true,
                reliable,
            },
        ),
        (
            dice.between(1_500, 9_000),
            Step::Refuse {
                status: 480,
                phrase: None,
                headers: Vec::new(),
            },
        ),
    ];
    let mut script = script(steps);
    script.callee.habit = Habit::TonesBeforeAnswer { goes_on: false };
    (
        script,
        ends_after_ringing(Reason::NoAnswer, (Reason::Unreachable, false)),
    )
}

fn rings_and_refuses(dice: &mut Entropy) -> Call {
    // The network's failures are no reason for another trunk once a phone rang.
    let (status, reason, unrung_goes_on) = *dice.pick(&[
        (486, Reason::Busy, false),
        (603, Reason::Declined, false),
        (503, Reason::Congestion, true),
        (488, Reason::CodecMismatch, true),
        (500, Reason::Congestion, true),
    ]);
    let steps = vec![
        (dice.between(1, 300), ring(0, 100)),
        (dice.between(10, 2_000), ring(0, 180)),
        (
            dice.between(1_500, 12_000),
            Step::Refuse {
                status,
                phrase: None,
                headers: Vec::new(),
            },
        ),
    ];
    (
        script(steps),
        ends_after_ringing(reason, (reason, unrung_goes_on)),
    )
}

/// Two telephones ring; one is picked up, or both are.
fn forks(dice: &mut Entropy, method: Method) -> Call {
    let (callee, ending) = draw_callee(dice, method);
    let early = matches!(callee.habit, Habit::TonesBeforeAnswer { .. });
    let first = usize::from(dice.chance(50));
    let mut steps = vec![
        (dice.between(1, 300), ring(0, 100)),
        (
            dice.between(10, 1_000),
            Step::Provisional {
                leg: 0,
                status: 183,
                media: true,
                reliable: dice.chance(30),
            },
        ),
        (
            dice.between(10, 1_000),
            Step::Provisional {
                leg: 1,
                status: 180,
                media: false,
                reliable: false,
            },
        ),
        (
            dice.between(1_500, 6_000),
            Step::Answer {
                leg: first,
                form: AnswerForm::Pcmu,
            },
        ),
    ];
    if dice.chance(60) {
        let form = *dice.pick(&[AnswerForm::Pcmu, AnswerForm::Pcma]);
        steps.push((dice.between(1, 1_500), Step::Answer { leg: 1 - first, form }));
    }
    let mut script = script(steps);
    script.on_cancel = draw_on_cancel(dice);
    script.callee = callee;
    // Which of two answers comes first is the network's to say, and tones of one leg are not the other's.
    (script, if early { None } else { ending })
}

fn answers_badly(dice: &mut Entropy) -> Call {
    let (form, reason) = *dice.pick(&[
        (AnswerForm::Absent, Reason::MediaFailed),
        (AnswerForm::OtherCodec, Reason::CodecMismatch),
        (AnswerForm::PortZero, Reason::CodecMismatch),
    ]);
    let steps = vec![
        (dice.between(1, 300), ring(0, 100)),
        (dice.between(10, 1_000), ring(0, 180)),
        (dice.between(10, 6_000), Step::Answer { leg: 0, form }),
    ];
    (script(steps), ends(reason))
}

/// The callee's side changes the session while the menu talks.
fn reoffers(dice: &mut Entropy, method: Method) -> Call {
    let (mut call, ending) = answers(dice, method);
    let forms = [
        OfferForm::OtherCodec,
        OfferForm::Offerless,
        OfferForm::UpdateRefresh,
    ];
    if dice.chance(50) {
        call.steps.push((
            dice.between(500, 3_000),
            Step::Offer {
                leg: 0,
                form: OfferForm::Hold,
            },
        ));
        call.steps.push((
            dice.between(600, 3_000),
            Step::Offer {
                leg: 0,
                form: OfferForm::Resume,
            },
        ));
        return (call, None);
    }
    for _ in 0..dice.between(1, 3) {
        let form = *dice.pick(&forms);
        call.steps
            .push((dice.between(500, 3_000), Step::Offer { leg: 0, form }));
    }
    (call, ending)
}
