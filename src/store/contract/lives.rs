//! Whole lives at random.
use super::*;

/// Every operation at random over a few numbers, with crashes. What must always hold is checked at the end.
pub(super) async fn random_lives_keep_every_invariant(lab: Lab) {
    let mut reasons = std::collections::BTreeSet::new();
    for seed in 0..4 {
        let lab = random_life(Lab::sqlite().await, seed).await;
        let filter = ListFilter {
            limit: 200,
            ..ListFilter::default()
        };
        for verification in lab
            .store
            .verifications(&filter, &Visibility::All)
            .await
            .unwrap()
            .items
        {
            check_life(&lab, &verification).await;
            reasons.extend(verification.outcome.map(Outcome::reason));
        }
    }
    for reason in [
        Reason::UnknownAfterCrash,
        Reason::Superseded,
        Reason::ByClient,
        Reason::Ttl,
    ] {
        assert!(reasons.contains(&reason), "{reason} never happened");
    }
    assert!(
        reasons.len() >= 10,
        "too few lives ended by a decision: {reasons:?}"
    );
    drop(lab);
}

async fn random_life(mut lab: Lab, seed: u64) -> Lab {
    let mut dice = Entropy::from_number(seed);
    let mut known: Vec<Verification> = Vec::new();
    for step in 0..200 {
        let now = at(step * 8);
        // Among the newest: the older ones have mostly ended.
        let pick = known
            .iter()
            .rev()
            .nth(dice.below(known.len().clamp(1, 5) as u64) as usize)
            .cloned();
        match (dice.below(12), pick) {
            (0 | 1, _) | (_, None) => {
                let mut request = lab.request(dice.below(4) as u32, step * 8);
                request.supersede = dice.below(2) == 0;
                if let Accepted::Created { verification, .. } =
                    lab.store.accept(request, lab.entropy(), now).await.unwrap()
                {
                    known.push(*verification);
                }
            }
            (2..=4, Some(v)) => drop(lab.claim(&lab.read(v.id).await, now).await),
            (5, Some(v)) => {
                let stage = Stage::ALL[dice.below(6) as usize];
                lab.stage(&lab.read(v.id).await, stage, now).await;
            }
            (6 | 7, Some(v)) => {
                let reason = Reason::ALL[dice.below(Reason::ALL.len() as u64) as usize];
                let mut decision = finish(&lab.read(v.id).await, reason);
                if dice.below(2) == 0 {
                    decision.next = Next::Retry { due_at: now };
                }
                lab.decide(decision, now).await;
            }
            (8, Some(v)) => {
                let canceled = lab
                    .store
                    .cancel(v.id, &Visibility::All, Reason::ByClient, lab.entropy(), now);
                drop(canceled.await.unwrap());
            }
            (9 | 10, Some(_)) => drop(lab.store.expire_due(lab.entropy(), now).await.unwrap()),
            (_, Some(_)) => {
                lab = lab.crash().await;
                lab.store.recover(NODE, lab.entropy(), now).await.unwrap();
                assert_eq!(lab.store.in_progress().await.unwrap().1, 0);
            }
        }
    }
    lab
}

async fn check_life(lab: &Lab, verification: &Verification) {
    let events = lab.store.events_after(verification.id, 0).await.unwrap();
    let sequences: Vec<u64> = events.iter().map(|event| event.sequence).collect();
    assert_eq!(
        sequences,
        (1..=verification.sequence).collect::<Vec<_>>(),
        "no gap, no double"
    );
    let ends: Vec<_> = events
        .iter()
        .filter_map(|event| match event.kind {
            ProgressKind::Ended(outcome) => Some(outcome),
            _ => None,
        })
        .collect();
    assert_eq!(
        ends,
        Vec::from_iter(verification.outcome),
        "one end, the one that stands"
    );
    let webhooks = lab
        .store
        .deliveries(Some(verification.id), 10, None, &Visibility::All)
        .await
        .unwrap()
        .items;
    let terminal = webhooks
        .iter()
        .filter(|delivery| delivery.kind != EventType::FraudReported);
    assert_eq!(terminal.count(), ends.len());
    let mut call_ids: Vec<_> = verification
        .attempts
        .iter()
        .filter_map(|a| a.call_id.as_ref())
        .collect();
    let dialled = call_ids.len();
    call_ids.dedup();
    assert_eq!(call_ids.len(), dialled);
    let undecided = verification
        .attempts
        .iter()
        .filter(|attempt| attempt.outcome.is_none())
        .count();
    assert_eq!(
        undecided,
        usize::from(verification.outcome.is_none()),
        "{verification:?}"
    );
}
