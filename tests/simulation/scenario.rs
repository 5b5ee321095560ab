//! A seed becomes a plan.
use ringproof::model::{Entropy, KeyTransport, Method};
use ringproof::policy::ATTEMPTS_MAX;

use crate::calls::{self, Ending};
use crate::dice::Dice;
use crate::link::Link;
use crate::plan::{Front, Plan, Receipt, ReceiverPlan, RequestPlan, Trouble, TrunkPlan};
use crate::script::{CallScript, Habit, OnCancel, Step};
use crate::transition::SpoofKind;

/// What kind of world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Everything that may happen.
    Any,
    /// Nothing goes wrong but what the scripts say: every outcome is known before.
    Calm,
    /// 10 % loss, 10 % duplication, 50 ms reorder, and nothing else.
    Lossy,
    /// The phone is picked up as the CANCEL arrives.
    CancelCrossesAnswer,
    /// `kill -9` somewhere in every run.
    Killed,
    /// A voicemail greeting with all twelve tones.
    Voicemail,
}

impl Profile {
    const ALL: [Self; 6] = [
        Self::Any,
        Self::Calm,
        Self::Lossy,
        Self::CancelCrossesAnswer,
        Self::Killed,
        Self::Voicemail,
    ];
    /// Seeds of one profile before those of the next, so that a seed alone is enough to see a run again.
    const SEEDS: u64 = 1_000_000_000;

    pub(crate) const fn first_seed(self) -> u64 {
        self as u64 * Self::SEEDS
    }

    pub(crate) fn of_seed(seed: u64) -> Self {
        let index = usize::try_from(seed / Self::SEEDS).unwrap_or(usize::MAX);
        *Self::ALL.get(index).unwrap_or(&Self::Any)
    }
}

pub(crate) fn draw(seed: u64, profile: Profile) -> Plan {
    let mut dice = Entropy::from_number(seed);
    let trunks = draw_trunks(&mut dice, profile);
    let count = dice.weighted(&[(70, 1), (22, 2), (8, 3)]);
    let mut requests: Vec<RequestPlan> = (0..count)
        .map(|index| draw_request(&mut dice, profile, index, &trunks))
        .collect();
    if profile == Profile::Any && requests.len() > 1 && dice.chance(40) {
        quarrel(&mut dice, &mut requests);
    }
    let any = profile == Profile::Any;
    Plan {
        requests,
        troubles: draw_troubles(&mut dice, profile, trunks.len()),
        ports: if any && dice.chance(10) { 1 } else { 12 },
        calls_max: if any && dice.chance(10) { 1 } else { 12 },
        scheduling_us_max: if any {
            dice.weighted(&[(80, 2_000), (15, 20_000), (5, 150_000)])
        } else {
            2_000
        },
        store_us_max: if any {
            dice.weighted(&[(75, 3_000), (20, 60_000), (5, 900_000)])
        } else {
            3_000
        },
        mute_legs_percent: if any && dice.chance(5) { 50 } else { 0 },
        send_errors_per_mille: if any && dice.chance(4) { 30 } else { 0 },
        fraud_block: dice.chance(50),
        trunks: with_fronts(&mut dice, profile, trunks),
    }
}

/// Drawn last, so that the rest of a seed stays what it was before there were any.
fn with_fronts(dice: &mut Entropy, profile: Profile, mut trunks: Vec<TrunkPlan>) -> Vec<TrunkPlan> {
    let fronts: &[(u64, Option<Front>)] = match profile {
        Profile::Any => &[
            (80, None),
            (12, Some(Front::Unavailable)),
            (8, Some(Front::Silent)),
        ],
        Profile::Calm | Profile::Lossy => &[(85, None), (15, Some(Front::Unavailable))],
        Profile::CancelCrossesAnswer | Profile::Killed | Profile::Voicemail => &[(1, None)],
    };
    for trunk in &mut trunks {
        trunk.front = dice.weighted(fronts);
    }
    trunks
}

fn draw_trunks(dice: &mut Entropy, profile: Profile) -> Vec<TrunkPlan> {
    let count = dice.weighted(&[(50, 1), (35, 2), (15, 3)]);
    let any = matches!(profile, Profile::Any | Profile::Killed);
    // The same for all, since it is the pace of the run that says which trunk carries which call.
    let (has_credentials, rel100, failover_on_timeout) = (dice.chance(80), dice.chance(60), dice.chance(90));
    let lossy = Link {
        loss_percent: 10,
        duplicate_percent: 10,
        delay_ms: 20,
        jitter_ms: 50,
        down: false,
    };
    (0..count)
        .map(|_| TrunkPlan {
            link: match profile {
                Profile::Lossy => lossy,
                Profile::Any | Profile::Killed | Profile::CancelCrossesAnswer if dice.chance(55) => Link {
                    loss_percent: dice.between(0, 35),
                    duplicate_percent: dice.between(0, 15),
                    delay_ms: dice.between(1, 120),
                    jitter_ms: dice.weighted(&[(40, 0), (40, 50), (20, 250)]),
                    down: false,
                },
                _ => Link {
                    delay_ms: dice.between(1, 120),
                    ..Link::CLEAN
                },
            },
            cps: if any {
                dice.weighted(&[(50, 20.0), (30, 1.0), (20, 0.2)])
            } else {
                20.0
            },
            calls_max: if any && dice.chance(20) { 1 } else { 12 },
            has_credentials,
            rel100,
            failover_on_timeout,
            front: None,
        })
        .collect()
}

fn draw_request(dice: &mut Entropy, profile: Profile, index: usize, trunks: &[TrunkPlan]) -> RequestPlan {
    let method = *dice.pick(&[
        Method::PressKey,
        Method::PressKey,
        Method::RandomKey,
        Method::MatchCode,
        Method::SpeakCode,
    ]);
    let digits = dice.between(4, 8);
    let code: String = (0..digits)
        .map(|_| char::from(b'0' + u8::try_from(dice.below(10)).unwrap()))
        .collect();
    let any = matches!(profile, Profile::Any | Profile::Killed);
    let mut calls = Vec::new();
    let mut endings = Vec::new();
    for attempt in 0..ATTEMPTS_MAX {
        let trunk = &trunks[usize::try_from(attempt).unwrap().min(trunks.len() - 1)];
        let (script, ending) = draw_call(dice, profile, method, trunk);
        calls.push(script);
        endings.push(ending);
    }
    let life_s = if any {
        dice.weighted(&[(85, 120), (10, 30), (5, 4)])
    } else {
        120
    };
    RequestPlan {
        at_ms: dice.between(5, 50) + if index > 0 { dice.between(0, 40_000) } else { 0 },
        number: draw_number(dice, index),
        method,
        code,
        extension: dice.chance(10),
        transaction: dice.chance(10),
        life_s,
        supersede: false,
        idempotent: any && dice.chance(60),
        cancel_at_ms: (any && dice.chance(12))
            .then(|| dice.weighted(&[(40, 2_000), (30, 8_000), (30, 30_000)]))
            .map(|max_ms| dice.between(10, max_ms)),
        calls,
        receiver: dice.chance(85).then(|| draw_receiver(dice, any)),
        endings,
        is_known: matches!(profile, Profile::Calm | Profile::Lossy),
    }
}

/// Distinct within a run: the last digit is the place of the request.
fn draw_number(dice: &mut Entropy, index: usize) -> String {
    match dice.weighted(&[(80, 0), (12, 1), (8, 2)]) {
        0 => format!("+1425{}{:05}{index}", dice.between(2, 9), dice.below(100_000)),
        1 => format!("+447911{:05}{index}", dice.below(100_000)),
        _ => format!("1{:02}{index}", dice.below(100)),
    }
}

fn draw_receiver(dice: &mut Entropy, any: bool) -> ReceiverPlan {
    let count = if any {
        dice.weighted(&[(60, 0), (20, 1), (10, 3), (8, 5), (2, 12)])
    } else {
        0
    };
    let receipts = [
        Receipt::Status(500),
        Receipt::Status(503),
        Receipt::Unheard,
        Receipt::Refused,
        Receipt::Status(301),
    ];
    let mut answers: Vec<Receipt> = (0..count).map(|_| *dice.pick(&receipts)).collect();
    if any && dice.chance(3) {
        answers.push(Receipt::Status(410));
    }
    ReceiverPlan {
        answers,
        progress: dice.chance(30),
    }
}

/// Two requests for one number: the second is refused, or takes the place of the first.
fn quarrel(dice: &mut Entropy, requests: &mut [RequestPlan]) {
    let number = requests[0].number.clone();
    let first_at_ms = requests[0].at_ms;
    requests[1].number = number;
    requests[1].at_ms = first_at_ms + dice.between(1, 20_000);
    requests[1].supersede = dice.chance(70);
    requests[0].is_known = false;
    requests[1].is_known = false;
}

fn draw_troubles(dice: &mut Entropy, profile: Profile, trunks: usize) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    let kill = |dice: &mut Entropy| {
        let down_ms = dice.weighted(&[(40, 100), (40, 2_000), (20, 20_000)]);
        match dice.chance(70) {
            true => Trouble::KillAtStep {
                step: dice.weighted(&[(50, 60), (35, 150), (15, 400)]),
                down_ms,
            },
            false => Trouble::KillAt {
                at_ms: dice.between(1, 40_000),
                down_ms,
            },
        }
    };
    let scatter = |dice: &mut Entropy, trouble: Trouble| match trouble {
        Trouble::KillAtStep { step, down_ms } => Trouble::KillAtStep {
            step: dice.between(2, step),
            down_ms,
        },
        other => other,
    };
    if profile == Profile::Killed {
        let drawn = kill(dice);
        troubles.push(scatter(dice, drawn));
    }
    if profile != Profile::Any {
        return troubles;
    }
    for percent in [22, 5] {
        if dice.chance(percent) {
            let drawn = kill(dice);
            troubles.push(scatter(dice, drawn));
        }
    }
    if dice.chance(4) {
        let (at_ms, drain_ms, down_ms) = (
            dice.between(1, 30_000),
            dice.between(10, 20_000),
            dice.between(100, 9_000),
        );
        troubles.push(Trouble::Terminate {
            at_ms,
            drain_ms,
            down_ms,
        });
    }
    if dice.chance(8) {
        let for_ms = dice.weighted(&[(60, 500), (30, 8_000), (10, 60_000)]);
        troubles.push(Trouble::StoreDown {
            at_ms: dice.between(1, 20_000),
            for_ms,
        });
    }
    if dice.chance(5) {
        let trunk = usize::try_from(dice.below(trunks as u64)).unwrap();
        troubles.push(Trouble::LinkDown {
            trunk,
            at_ms: dice.between(0, 15_000),
            for_ms: dice.between(100, 50_000),
        });
    }
    if dice.chance(3) {
        let ms = *dice.pick(&[3_600_000, -3_600_000, 90_000, -90_000]);
        troubles.push(Trouble::WallClock {
            at_ms: dice.between(1, 20_000),
            ms,
        });
    }
    if dice.chance(15) {
        let kinds = [
            SpoofKind::Bye,
            SpoofKind::Cancel,
            SpoofKind::Ok,
            SpoofKind::ByeFromStranger,
        ];
        troubles.push(Trouble::Spoof {
            at_ms: dice.between(20, 15_000),
            kind: *dice.pick(&kinds),
        });
    }
    troubles
}

fn draw_call(
    dice: &mut Entropy,
    profile: Profile,
    method: Method,
    trunk: &TrunkPlan,
) -> (CallScript, Option<Ending>) {
    match profile {
        Profile::CancelCrossesAnswer => {
            let (mut script, _) = calls::rings_for_ever(dice);
            script.on_cancel = OnCancel::AnswersFirst;
            (script, None)
        }
        Profile::Voicemail => {
            let (mut script, _) = calls::answers(dice, method);
            script.callee.habit = Habit::TwelveTones;
            script.callee.sends_rtp = true;
            script.callee.transport = *dice.pick(&[KeyTransport::Rfc4733, KeyTransport::Inband]);
            script
                .steps
                .retain(|(_, step)| !matches!(step, Step::Offer { .. } | Step::Options { .. }));
            (script, None)
        }
        Profile::Lossy => {
            let (mut script, ending) = calls::draw(dice, method, trunk);
            // Keys that overtake each other are other keys: RFC 3261 §12.2.2 refuses the late one.
            script.info_waits = true;
            (script, ending)
        }
        Profile::Any | Profile::Killed | Profile::Calm => calls::draw(dice, method, trunk),
    }
}
