//! What a seed decides before the run.
use super::Link;
use crate::model::Entropy;
use crate::sip::uas;

#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) link: Link,
    pub(super) caller: CallerPlan,
    /// One for each telephone that the INVITE reaches.
    pub(super) callees: Vec<CalleePlan>,
}

#[derive(Debug, Clone)]
pub(super) struct CallerPlan {
    pub(super) cancel_after_ms: Option<u64>,
    pub(super) bye_after_ms: Option<u64>,
}

#[derive(Debug, Clone)]
pub(super) struct CalleePlan {
    ring_after_ms: u64,
    reliable: bool,
    ending: Ending,
}

#[derive(Debug, Clone)]
enum Ending {
    /// Rings until it is cancelled, or nearly for ever.
    Silence,
    Rejects {
        after_ms: u64,
        status: u16,
    },
    Answers {
        after_ms: u64,
        reinvite_ms: Option<u64>,
        info_ms: Option<u64>,
        bye_ms: Option<u64>,
    },
}

impl Plan {
    pub(super) fn draw(entropy: &mut Entropy) -> Self {
        let link = Link {
            loss_percent: [0, 10, 25, 40, 75][pick(entropy, 5)],
            duplicate_percent: [0, 10, 30][pick(entropy, 3)],
            delay_ms_max: [5, 50, 400][pick(entropy, 3)],
        };
        let caller = CallerPlan {
            cancel_after_ms: chance(entropy, 35).then(|| entropy.below(8_000)),
            bye_after_ms: chance(entropy, 70).then(|| entropy.below(20_000)),
        };
        let callees = (0..1 + pick(entropy, 3))
            .map(|_| CalleePlan::draw(entropy))
            .collect();
        Self {
            link,
            caller,
            callees,
        }
    }
}

impl CalleePlan {
    fn draw(entropy: &mut Entropy) -> Self {
        let after_ms = 200 + entropy.below(9_000);
        let ending = match entropy.below(10) {
            0 => Ending::Silence,
            1 | 2 => Ending::Rejects {
                after_ms,
                status: [486, 480, 603, 503][pick(entropy, 4)],
            },
            _ => Ending::Answers {
                after_ms,
                reinvite_ms: chance(entropy, 40).then(|| entropy.below(9_000)),
                info_ms: chance(entropy, 40).then(|| entropy.below(9_000)),
                bye_ms: chance(entropy, 50).then(|| entropy.below(15_000)),
            },
        };
        Self {
            ring_after_ms: 20 + entropy.below(1_500),
            reliable: chance(entropy, 30),
            ending,
        }
    }

    pub(super) const fn answers(&self) -> bool {
        matches!(self.ending, Ending::Answers { .. })
    }

    /// What the telephone does, in ms after the INVITE came.
    pub(super) fn steps(&self) -> Vec<(u64, uas::Input)> {
        let ringing = uas::Input::Provisional {
            status: 180,
            reason: None,
            sdp: None,
            reliable: self.reliable,
            headers: Vec::new(),
        };
        let mut steps = vec![(self.ring_after_ms, ringing)];
        match self.ending {
            // A CANCEL may be lost for good: a telephone stops ringing by itself.
            Ending::Silence => steps.push((150_000, reject(480))),
            Ending::Rejects { after_ms, status } => steps.push((after_ms, reject(status))),
            Ending::Answers {
                after_ms,
                reinvite_ms,
                info_ms,
                bye_ms,
            } => {
                let answer = uas::Input::Answer {
                    sdp: Some(b"answer".to_vec()),
                    headers: Vec::new(),
                };
                steps.push((after_ms, answer));
                steps.extend(reinvite_ms.map(|ms| {
                    (
                        after_ms + ms,
                        uas::Input::Offer {
                            sdp: b"again".to_vec(),
                        },
                    )
                }));
                let info = uas::Input::Info {
                    content_type: "application/dtmf".to_owned(),
                    body: b"#".to_vec(),
                };
                steps.extend(info_ms.map(|ms| (after_ms + ms, info)));
                // Every BYE of the caller may be lost: nobody listens to a dead line for ever.
                steps.push((400_000, uas::Input::Bye { reason: None }));
                steps.extend(bye_ms.map(|ms| (after_ms + ms, uas::Input::Bye { reason: None })));
            }
        }
        steps
    }
}

fn reject(status: u16) -> uas::Input {
    uas::Input::Reject {
        status,
        reason: None,
        headers: Vec::new(),
    }
}

fn pick(entropy: &mut Entropy, count: u64) -> usize {
    usize::try_from(entropy.below(count)).unwrap()
}

fn chance(entropy: &mut Entropy, percent: u64) -> bool {
    entropy.below(100) < percent
}
