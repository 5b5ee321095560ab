//! The fake dialer: claims what is due and drives it through the stages of its number's script.
use ringproof::model::{
    AttemptId, AttemptReport, Digit, Entropy, KeyTransport, Outcome, Reason, Stage, Verification,
};
use ringproof::store::{Claim, Claimed, Decision, Next, Store};

use super::harness::Lab;

const NODE: &str = "node-1";

/// How a callee behaves, by the last two digits of its number.
fn script(number: &str) -> (&'static [Stage], Option<Reason>) {
    use Stage::{Answered, Prompting, Ringing};
    match number.get(number.len() - 2..).unwrap() {
        "04" => (&[], Some(Reason::Busy)),
        "05" => (&[Ringing], Some(Reason::NoAnswer)),
        "06" => (&[Ringing], Some(Reason::Declined)),
        "07" => (&[], Some(Reason::NotAllocated)),
        "11" => (&[Ringing, Answered, Prompting], Some(Reason::FraudReported)),
        // Rings until it is canceled or the test moves it on.
        "50" => (&[Ringing], None),
        _ => (&[Ringing, Answered, Prompting], Some(Reason::KeyConfirmed)),
    }
}

/// Plays every attempt that is due now; returns how many there were.
pub(crate) async fn play_due(lab: &Lab) -> usize {
    let due = lab.store.agenda(lab.now(), 16).await.unwrap().due;
    for attempt in &due {
        let verification = claim(lab, attempt.id).await;
        let (stages, end) = script(verification.to.reveal());
        for stage in stages {
            set_stage(lab, attempt.id, *stage).await;
        }
        if let Some(reason) = end {
            decide(&lab.store, lab, attempt.id, reason).await;
        }
    }
    due.len()
}

pub(crate) async fn claim(lab: &Lab, attempt: AttemptId) -> Verification {
    match try_claim(lab, attempt).await {
        Claimed::Dialing(verification) => *verification,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn try_claim(lab: &Lab, attempt: AttemptId) -> Claimed {
    let claim = Claim {
        attempt,
        node: NODE.into(),
        call_id: format!("{attempt}@lab"),
        trunk: "carrier".into(),
        caller_id: None,
    };
    lab.store.claim(claim, entropy(lab), lab.now()).await.unwrap()
}

pub(crate) async fn set_stage(lab: &Lab, attempt: AttemptId, stage: Stage) {
    lab.store
        .set_stage(attempt, stage, entropy(lab), lab.now())
        .await
        .unwrap();
}

pub(crate) async fn decide(store: &Store, lab: &Lab, attempt: AttemptId, reason: Reason) {
    let mut report = AttemptReport::default();
    if reason == Reason::KeyConfirmed {
        report.pressed(Digit::POUND, KeyTransport::Rfc4733);
    }
    let decision = Decision {
        attempt,
        node: NODE.into(),
        outcome: Outcome::new(reason),
        report,
        next: Next::Finish,
        block_until: None,
        frees_number: true,
    };
    store.decide(decision, entropy(lab), lab.now()).await.unwrap();
}

fn entropy(lab: &Lab) -> Entropy {
    lab.state.entropy()
}
