//! Stop 1 and stop 2.
use super::*;

use crate::policy::{Limit, ProblemCode};

pub(super) async fn an_accepted_request_is_stored_whole_with_a_due_attempt(lab: Lab) {
    let request = lab.request(1, 0);
    let asked = request.verification.clone();
    let created = lab.created(request).await;
    assert_eq!((created.sequence, created.attempts.len()), (1, 1));
    let expected = Verification {
        sequence: 1,
        attempts: created.attempts.clone(),
        ..asked
    };
    assert_eq!(lab.read(created.id).await, expected);
    assert_eq!(lab.events(created.id).await, [ProgressKind::Created]);
    let agenda = lab.store.agenda(T0, 10).await.unwrap();
    let due = agenda.due;
    assert_eq!(due.len(), 1);
    assert_eq!(
        (due[0].verification, due[0].number, due[0].internal),
        (created.id, 1, false)
    );
    assert_eq!(
        (due[0].country.as_deref(), due[0].expires_at),
        (Some("US"), created.expires_at)
    );
    let before = lab.store.agenda(UnixMillis(T0.0 - 1), 10).await.unwrap();
    assert_eq!((before.due, before.next_at), (vec![], Some(T0)));
    assert_eq!(
        (agenda.next_at, agenda.is_overdue),
        (Some(created.expires_at), false)
    );
    let after = lab.store.agenda(created.expires_at, 10).await.unwrap();
    assert_eq!((after.due, after.next_at, after.is_overdue), (vec![], None, true));
    assert_eq!(lab.store.in_progress().await.unwrap(), (1, 0));
}

fn keyed(lab: &Lab, last: u32, second: u64, value: &str, body: u8) -> Accept {
    let idempotency = Some(IdempotencyKey {
        key_id: "key_a".into(),
        value: value.into(),
        body_hash: [body; 32],
    });
    Accept {
        idempotency,
        ..lab.request(last, second)
    }
}

pub(super) async fn the_same_idempotency_key_gives_the_same_answer_and_another_body_is_refused(lab: Lab) {
    let accept = |request: Accept, now| lab.store.accept(request, lab.entropy(), now);
    let first = accept(keyed(&lab, 1, 0, "k", 1), T0).await.unwrap();
    let Accepted::Created { answer, .. } = first else {
        panic!("{first:?}");
    };
    assert_eq!(answer.body, "sequence 1");
    let again = accept(keyed(&lab, 1, 5, "k", 1), at(5)).await.unwrap();
    assert!(matches!(again, Accepted::Replay(replayed) if replayed == answer));
    let other = accept(keyed(&lab, 1, 5, "k", 2), at(5)).await.unwrap();
    assert!(matches!(other, Accepted::IdempotencyMismatch), "{other:?}");
    // Another API key has a name space of its own.
    let mut foreign = keyed(&lab, 2, 5, "k", 2);
    foreign.idempotency.as_mut().unwrap().key_id = "key_b".into();
    assert!(matches!(
        accept(foreign, at(5)).await.unwrap(),
        Accepted::Created { .. }
    ));
    // Looking takes nothing and changes nothing.
    let find = |body: u8, second| {
        let key = keyed(&lab, 1, 0, "k", body).idempotency.unwrap();
        lab.store.idempotency_find(key, at(second))
    };
    assert_eq!(find(1, 5).await, Ok(IdempotencyStart::Replay(answer)));
    assert_eq!(find(2, 5).await, Ok(IdempotencyStart::Mismatch));
    let next_day = 24 * 3600 + 1;
    assert_eq!(find(1, next_day).await, Ok(IdempotencyStart::Fresh));
    let late = accept(keyed(&lab, 3, next_day, "k", 2), at(next_day))
        .await
        .unwrap();
    assert!(matches!(late, Accepted::Created { .. }), "{late:?}");
}

pub(super) async fn an_idempotency_key_in_flight_is_told_so_until_it_is_finished_or_abandoned(lab: Lab) {
    let key = IdempotencyKey {
        key_id: "key_a".into(),
        value: "k".into(),
        body_hash: [7; 32],
    };
    let begin = |second| lab.store.idempotency_begin(key.clone(), at(second));
    assert_eq!(begin(0).await, Ok(IdempotencyStart::Fresh));
    assert_eq!(begin(1).await, Ok(IdempotencyStart::InFlight));
    let request = keyed(&lab, 1, 1, "k", 7);
    let accepted = lab.store.accept(request, lab.entropy(), at(1)).await.unwrap();
    assert!(matches!(accepted, Accepted::IdempotencyInFlight));
    lab.store.idempotency_abandon(key.clone()).await.unwrap();
    assert_eq!(begin(2).await, Ok(IdempotencyStart::Fresh));
    let answer = StoredAnswer {
        status: 201,
        location: None,
        body: "{}".into(),
    };
    lab.store
        .idempotency_finish(key.clone(), answer.clone())
        .await
        .unwrap();
    lab.store.idempotency_abandon(key.clone()).await.unwrap();
    assert_eq!(begin(3).await, Ok(IdempotencyStart::Replay(answer)));
    // Work that a crash left behind does not lock the key for a day.
    let left = IdempotencyKey {
        value: "left".into(),
        ..key
    };
    assert_eq!(
        lab.store.idempotency_begin(left.clone(), at(0)).await,
        Ok(IdempotencyStart::Fresh)
    );
    assert_eq!(
        lab.store.idempotency_begin(left, at(121)).await,
        Ok(IdempotencyStart::Fresh)
    );
}

pub(super) async fn of_many_requests_for_one_number_one_wins(lab: Lab) {
    let requests = (0..16).map(|_| lab.store.accept(lab.request(1, 0), lab.entropy(), T0));
    let answers = futures_util::future::join_all(requests).await;
    let winner = answers
        .iter()
        .find_map(|answer| match answer {
            Ok(Accepted::Created { verification, .. }) => Some(verification.id),
            _ => None,
        })
        .unwrap();
    let busy = answers.iter().filter(
        |answer| matches!(answer, Ok(Accepted::NumberBusy { verification }) if *verification == winner),
    );
    assert_eq!(busy.count(), 15, "{answers:?}");
    assert_eq!(lab.store.in_progress().await.unwrap(), (1, 0));
}

pub(super) async fn a_superseding_request_takes_the_place_of_a_queued_one(lab: Lab) {
    let first = lab.created(lab.request(1, 0)).await;
    let second = lab
        .created(Accept {
            supersede: true,
            ..lab.request(1, 5)
        })
        .await;
    let first = lab.read(first.id).await;
    assert_eq!(first.outcome, Some(Reason::Superseded.into()));
    assert_eq!(lab.due(at(5)).await, [second.attempts[0].id]);
    assert_eq!(lab.claim(&first, at(6)).await, Claimed::NoLonger);
}

pub(super) async fn a_superseding_request_waits_for_the_live_call_to_end(lab: Lab) {
    let mut cancels = lab.store.cancels();
    let first = lab.dialing(1).await;
    let second = lab
        .created(Accept {
            supersede: true,
            ..lab.request(1, 5)
        })
        .await;
    let notice = cancels.try_recv().unwrap();
    assert_eq!(
        (notice.verification, notice.reason),
        (first.id, Reason::Superseded)
    );
    assert_eq!(lab.store.pending_cancels(NODE).await.unwrap(), [notice]);
    assert_eq!(lab.due(at(6)).await, []);
    assert_eq!(lab.claim(&second, at(6)).await, Claimed::NumberBusy);
    // A third replaces the second; the first, told already, is not told again.
    let third = lab
        .created(Accept {
            supersede: true,
            ..lab.request(1, 7)
        })
        .await;
    assert!(cancels.try_recv().is_err());
    assert_eq!(lab.read(second.id).await.outcome, Some(Reason::Superseded.into()));
    let wake = lab.store.attempts_changed();
    lab.decide(finish(&first, Reason::Superseded), at(8)).await;
    assert!(
        wake.has_changed().unwrap(),
        "the end of the call frees the number"
    );
    assert_eq!(lab.due(at(8)).await, [third.attempts[0].id]);
    assert!(matches!(lab.claim(&third, at(8)).await, Claimed::Dialing(_)));
}

pub(super) async fn only_the_key_that_asked_may_supersede(lab: Lab) {
    let first = lab.created(lab.request(1, 0)).await;
    let mut foreign = Accept {
        supersede: true,
        ..lab.request(1, 5)
    };
    foreign.verification.key_id = "key_b".into();
    let answer = lab.store.accept(foreign, lab.entropy(), at(5)).await.unwrap();
    assert!(matches!(answer, Accepted::NumberBusy { verification } if verification == first.id));
    assert_eq!(lab.read(first.id).await.outcome, None);
}

async fn refused(lab: &Lab, request: Accept) -> crate::policy::Refusal {
    let now = request.verification.created_at;
    match lab.store.accept(request, lab.entropy(), now).await.unwrap() {
        Accepted::Refused(refusal) => refusal,
        other => panic!("expected Refused, got {other:?}"),
    }
}

async fn accept_and_end(lab: &Lab, second: u64, quotas: Vec<Quota>) {
    let created = lab
        .created(Accept {
            quotas,
            ..lab.request(1, second)
        })
        .await;
    lab.store
        .cancel(
            created.id,
            &Visibility::All,
            Reason::ByClient,
            lab.entropy(),
            at(second),
        )
        .await
        .unwrap();
}

pub(super) async fn limits_are_counted_in_the_transaction_and_refusals_are_audited(lab: Lab) {
    for second in [0, 100, 200] {
        accept_and_end(&lab, second, vec![per_hour(3)]).await;
    }
    let refusal = refused(
        &lab,
        Accept {
            quotas: vec![per_hour(3)],
            ..lab.request(1, 300)
        },
    )
    .await;
    assert_eq!(
        (refusal.code, refusal.limit),
        (ProblemCode::RateLimited, Some(Limit::Number))
    );
    assert_eq!(refusal.retry_after, Some(Duration::from_secs(3300)));
    let audit = lab.store.audit_rows(10).await.unwrap();
    assert_eq!(
        (audit.len(), audit[0].action.as_str()),
        (1, "verification.refused")
    );
    assert!(
        !audit[0].subject.contains("500555") && !audit[0].detail.contains("500555"),
        "{audit:?}"
    );
    assert_eq!(lab.store.in_progress().await.unwrap(), (0, 0));
    // The refused one did not count.
    accept_and_end(&lab, 3600, vec![per_hour(3)]).await;
}

pub(super) async fn a_refused_request_leaves_its_idempotency_key_free(lab: Lab) {
    accept_and_end(&lab, 0, vec![per_hour(1)]).await;
    let request = Accept {
        quotas: vec![per_hour(1)],
        ..keyed(&lab, 1, 10, "k", 1)
    };
    refused(&lab, request).await;
    lab.created(Accept {
        quotas: vec![per_hour(1)],
        ..keyed(&lab, 1, 3601, "k", 1)
    })
    .await;
}

pub(super) async fn superseding_skips_the_cool_down_and_no_other_limit(lab: Lab) {
    let cool_down = Quota {
        max: 1,
        window: Duration::from_secs(60),
        cool_down: true,
        ..per_hour(1)
    };
    let request = |second, supersede| Accept {
        quotas: vec![cool_down.clone(), per_hour(2)],
        supersede,
        ..lab.request(1, second)
    };
    lab.created(request(0, false)).await;
    let second = lab.created(request(10, true)).await;
    let refusal = refused(&lab, request(20, true)).await;
    assert_eq!(refusal.retry_after, Some(Duration::from_secs(3580)));
    assert_eq!(
        lab.read(second.id).await.outcome,
        None,
        "a refused request supersedes nothing"
    );
}

pub(super) async fn blocked_numbers_prefixes_and_end_users_are_refused_until_the_block_ends(lab: Lab) {
    for (subject, code) in [
        (
            BlockSubject::Number("+15005550001".into()),
            ProblemCode::NumberBlocked,
        ),
        (
            BlockSubject::Prefix("+1500555".into()),
            ProblemCode::NumberBlocked,
        ),
        (BlockSubject::EndUser("user-1".into()), ProblemCode::UserBlocked),
    ] {
        let block = Block {
            id: format!("blk_{}", subject.kind()),
            subject,
            note: "test".into(),
            created_by: "key_a".into(),
            created_at: T0,
            expires_at: Some(at(100)),
        };
        lab.store.block_add(block.clone()).await.unwrap();
        assert_eq!(refused(&lab, lab.request(1, 99)).await.code, code);
        assert_eq!(
            lab.store.blocks(at(99), 10, None).await.unwrap().items,
            std::slice::from_ref(&block)
        );
        let found = lab
            .store
            .blocked("+15005550001", Some("user-1"), at(99))
            .await
            .unwrap();
        assert_eq!(found, Some(block.clone()));
        assert_eq!(
            lab.store
                .blocked("+15005550001", Some("user-1"), at(100))
                .await
                .unwrap(),
            None
        );
        assert!(lab.store.block_remove(&block.id).await.unwrap());
        assert!(!lab.store.block_remove(&block.id).await.unwrap());
    }
    assert_eq!(
        lab.store.blocked("+15005550001", None, at(1)).await.unwrap(),
        None
    );
    lab.created(lab.request(1, 100)).await;
}

pub(super) async fn a_full_queue_refuses(lab: Lab) {
    for last in [1, 2] {
        lab.created(Accept {
            pending_max: 2,
            ..lab.request(last, 0)
        })
        .await;
    }
    let refusal = refused(
        &lab,
        Accept {
            pending_max: 2,
            ..lab.request(3, 1)
        },
    )
    .await;
    assert_eq!(refusal.limit, Some(Limit::Global));
    assert_eq!(
        lab.store.expire_due(lab.entropy(), at(120)).await.unwrap().len(),
        2
    );
    lab.created(Accept {
        pending_max: 2,
        ..lab.request(3, 121)
    })
    .await;
}

pub(super) async fn as_many_live_calls_as_there_may_be_refuse(lab: Lab) {
    let request = |last, second| Accept {
        live_max: 2,
        ..lab.request(last, second)
    };
    let first = lab.dialing(1).await;
    lab.dialing(2).await;
    let refusal = refused(&lab, request(3, 2)).await;
    assert_eq!(
        (refusal.code, refusal.limit, refusal.retry_after),
        (ProblemCode::Overloaded, None, Some(Duration::from_secs(5)))
    );
    lab.created(Accept {
        supersede: true,
        ..request(2, 2)
    })
    .await;
    lab.decide(finish(&first, Reason::KeyConfirmed), at(9)).await;
    lab.created(request(3, 10)).await;
}

pub(super) async fn an_outcome_is_decided_once(lab: Lab) {
    let call = lab.dialing(1).await;
    let reasons = [
        Reason::KeyConfirmed,
        Reason::WrongKey,
        Reason::HungUp,
        Reason::NoInput,
    ];
    let decisions = reasons.map(|reason| lab.store.decide(finish(&call, reason), lab.entropy(), at(20)));
    let answers = futures_util::future::join_all(decisions).await;
    let decided = lab.read(call.id).await.outcome.unwrap();
    let won = answers
        .iter()
        .filter(|a| matches!(a, Ok(Decided::Finished { outcome, .. }) if *outcome == decided));
    assert_eq!(won.count(), 1, "{answers:?}");
    let told = answers
        .iter()
        .filter(|answer| **answer == Ok(Decided::Already(decided)));
    assert_eq!(told.count(), 3, "{answers:?}");
    let read = lab.read(call.id).await;
    assert_eq!(read.attempts[0].outcome, Some(decided));
    assert_eq!(read.attempts[0].report.key, Some('#'));
    assert_eq!(read.code, None, "a code has no use after the outcome");
    let ended = lab
        .events(call.id)
        .await
        .into_iter()
        .filter(|kind| matches!(kind, ProgressKind::Ended(_)));
    assert_eq!(ended.count(), 1);
    assert_eq!(lab.leased(at(20)).await.len(), 1);
}

pub(super) async fn only_the_node_that_claimed_decides(lab: Lab) {
    let queued = lab.created(lab.request(1, 0)).await;
    assert_eq!(
        lab.decide(finish(&queued, Reason::KeyConfirmed), at(1)).await,
        Decided::NotOurs
    );
    let call = lab.dialing(2).await;
    let foreign = Decision {
        node: "node-2".into(),
        ..finish(&call, Reason::KeyConfirmed)
    };
    assert_eq!(lab.decide(foreign, at(2)).await, Decided::NotOurs);
    assert_eq!(lab.read(call.id).await.outcome, None);
}

pub(super) async fn an_unwanted_call_blocks_the_number_for_ever(lab: Lab) {
    let call = lab.dialing(1).await;
    let decision = Decision {
        block_until: Some(BLOCK_FOR_EVER),
        ..finish(&call, Reason::Declined)
    };
    lab.decide(decision, at(20)).await;
    let years_later = at(10 * 365 * 86_400);
    let block = lab
        .store
        .blocked("+15005550001", None, years_later)
        .await
        .unwrap();
    let block = block.unwrap();
    assert_eq!((block.created_by.as_str(), block.expires_at), ("callee", None));
    assert_eq!(
        refused(&lab, lab.request(1, 30)).await.code,
        ProblemCode::NumberBlocked
    );
}

pub(super) async fn a_fraud_report_blocks_the_number_and_says_so_twice(lab: Lab) {
    let call = lab.dialing(1).await;
    let decision = Decision {
        block_until: Some(at(86_400)),
        ..finish(&call, Reason::FraudReported)
    };
    lab.decide(decision, at(20)).await;
    assert_eq!(
        refused(&lab, lab.request(1, 30)).await.code,
        ProblemCode::NumberBlocked
    );
    let first = lab.leased(at(30)).await;
    assert_eq!(
        first.iter().map(|item| item.kind).collect::<Vec<_>>(),
        [EventType::Denied]
    );
    lab.tried(first[0].id, at(30), DeliveryVerdict::Delivered).await;
    let second = lab.leased(at(31)).await;
    assert_eq!(
        second.iter().map(|item| item.kind).collect::<Vec<_>>(),
        [EventType::FraudReported]
    );
    assert_ne!(first[0].id, second[0].id);
}
