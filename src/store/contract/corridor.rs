//! Between the stops, and through a crash.
use super::*;

pub(super) async fn a_claim_is_durable_before_it_returns_and_happens_once(lab: Lab) {
    let queued = lab.created(lab.request(1, 0)).await;
    let attempt = queued.attempts[0].id;
    let claims = (0..8).map(|i| {
        let claim = Claim {
            call_id: format!("call-{i}"),
            caller_id: Some("+4930123456".into()),
            ..claim_of(attempt, "carrier")
        };
        lab.store.claim(claim, lab.entropy(), at(1))
    });
    let answers = futures_util::future::join_all(claims).await;
    let won: Vec<_> = answers
        .iter()
        .filter_map(|answer| match answer {
            Ok(Claimed::Dialing(verification)) => Some(verification.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(won.len(), 1, "{answers:?}");
    let call = &won[0];
    assert_eq!(call.code.as_ref().unwrap().reveal().reveal(), "481920");
    assert_eq!(
        (call.stage, call.caller_id.as_str()),
        (Stage::Dialing, "+4930123456")
    );
    let after = lab.crash().await.read(queued.id).await;
    assert_eq!(after, **call, "another process sees the claim with its Call-ID");
    assert_eq!(after.attempts[0].node.as_deref(), Some(NODE));
    assert_eq!(after.attempts[0].dialed_at, Some(at(1)));
    assert_eq!(lab.due(at(2)).await, []);
}

pub(super) async fn nothing_is_claimed_after_cancel_or_expiry(lab: Lab) {
    let canceled = lab.created(lab.request(1, 0)).await;
    lab.store
        .cancel(
            canceled.id,
            &Visibility::All,
            Reason::ByClient,
            lab.entropy(),
            at(1),
        )
        .await
        .unwrap();
    assert_eq!(lab.claim(&canceled, at(2)).await, Claimed::NoLonger);
    let late = lab.created(lab.request(2, 0)).await;
    assert_eq!(lab.due(at(120)).await, []);
    assert_eq!(lab.claim(&late, at(120)).await, Claimed::NoLonger);
    let unknown = claim_of(AttemptId::generate(T0, &mut lab.entropy()), "carrier");
    assert_eq!(
        lab.store.claim(unknown, lab.entropy(), at(1)).await,
        Ok(Claimed::NoLonger)
    );
}

pub(super) async fn what_was_blocked_while_it_waited_is_not_dialled(lab: Lab) {
    for (last, subject, reason) in [
        (
            1,
            BlockSubject::Number("+15005550001".into()),
            Reason::NumberBlocked,
        ),
        (
            2,
            BlockSubject::Prefix("+15005550002".into()),
            Reason::NumberBlocked,
        ),
        (3, BlockSubject::EndUser("user-1".into()), Reason::UserBlocked),
    ] {
        let queued = lab.created(lab.request(last, 0)).await;
        let block = Block {
            id: format!("blk_{last}"),
            subject,
            note: "test".into(),
            created_by: "key_a".into(),
            created_at: at(1),
            expires_at: None,
        };
        lab.store.block_add(block).await.unwrap();
        let outcome = Outcome::new(reason);
        assert_eq!(lab.claim(&queued, at(2)).await, Claimed::Blocked(outcome));
        let read = lab.read(queued.id).await;
        assert_eq!((read.outcome, read.status()), (Some(outcome), Status::Blocked));
        assert_eq!(
            (read.attempts[0].call_id.as_ref(), read.attempts[0].dialed_at),
            (None, None)
        );
        assert_eq!(lab.claim(&queued, at(3)).await, Claimed::NoLonger);
        assert_eq!(lab.due(at(3)).await, []);
        let webhooks = lab
            .store
            .deliveries(Some(queued.id), 10, None, &Visibility::All)
            .await;
        assert_eq!(webhooks.unwrap().items.len(), 1, "its outcome is told once");
    }
}

pub(super) async fn stages_only_go_forward_and_readers_see_each(lab: Lab) {
    let call = lab.dialing(1).await;
    assert_eq!(
        lab.stage(&call, Stage::Ringing, at(3)).await,
        StageSet::Moved { sequence: 3 }
    );
    assert_eq!(lab.stage(&call, Stage::Dialing, at(4)).await, StageSet::Unchanged);
    assert_eq!(lab.stage(&call, Stage::Ringing, at(4)).await, StageSet::Unchanged);
    assert_eq!(
        lab.stage(&call, Stage::Prompting, at(5)).await,
        StageSet::Moved { sequence: 4 }
    );
    let read = lab.read(call.id).await;
    assert_eq!(
        (read.stage, read.attempts[0].stage),
        (Stage::Prompting, Stage::Prompting)
    );
    let stages = [Stage::Dialing, Stage::Ringing, Stage::Prompting].map(ProgressKind::Stage);
    assert_eq!(lab.events(call.id).await[1..], stages);
    assert_eq!(lab.store.events_after(call.id, 3).await.unwrap().len(), 1);
    lab.decide(finish(&call, Reason::KeyConfirmed), at(9)).await;
    assert_eq!(
        lab.stage(&call, Stage::Prompting, at(10)).await,
        StageSet::Unchanged
    );
}

fn congested(call: &Verification, due_at: UnixMillis) -> Decision {
    Decision {
        next: Next::Retry { due_at },
        ..finish(call, Reason::Congestion)
    }
}

pub(super) async fn a_network_failure_goes_to_another_trunk_while_there_is_time(lab: Lab) {
    let call = lab.dialing(1).await;
    let Decided::Retrying { attempt, .. } = lab.decide(congested(&call, at(5)), at(4)).await else {
        panic!("expected another attempt");
    };
    assert_eq!(lab.due(at(4)).await, []);
    let due = lab.store.agenda(at(5), 10).await.unwrap().due;
    assert_eq!(
        (due[0].id, due[0].number, due[0].tried_trunks.as_slice()),
        (attempt, 2, &["carrier".into()][..])
    );
    let read = lab.read(call.id).await;
    assert_eq!((read.outcome, read.stage), (None, Stage::Queued));
    assert_eq!(read.attempts[0].outcome, Some(Reason::Congestion.into()));
    assert_eq!(lab.leased(at(5)).await, []);
    let claimed = lab
        .store
        .claim(claim_of(attempt, "other"), lab.entropy(), at(5))
        .await
        .unwrap();
    let Claimed::Dialing(second) = claimed else {
        panic!("{claimed:?}");
    };
    // No time is left for a third.
    let decided = lab.decide(congested(&second, at(121)), at(100)).await;
    assert!(matches!(decided, Decided::Finished { outcome, .. } if outcome == Reason::Congestion.into()));
    assert_eq!(lab.leased(at(100)).await.len(), 1);
}

pub(super) async fn a_cancel_during_a_failing_call_ends_the_verification(lab: Lab) {
    let call = lab.dialing(1).await;
    lab.store
        .cancel(call.id, &Visibility::All, Reason::ByClient, lab.entropy(), at(3))
        .await
        .unwrap();
    let decided = lab.decide(congested(&call, at(5)), at(4)).await;
    assert!(matches!(decided, Decided::Finished { outcome, .. } if outcome == Reason::ByClient.into()));
    assert_eq!(lab.due(at(60)).await, []);
    // A press that was judged first stands, whatever was asked meanwhile.
    let call = lab.dialing(2).await;
    lab.store
        .cancel(call.id, &Visibility::All, Reason::ByClient, lab.entropy(), at(3))
        .await
        .unwrap();
    lab.decide(finish(&call, Reason::KeyConfirmed), at(4)).await;
    assert_eq!(lab.read(call.id).await.outcome, Some(Reason::KeyConfirmed.into()));
}

/// Decided while its phone may still ring.
fn ringing_on(call: &Verification, reason: Reason) -> Decision {
    Decision {
        frees_number: false,
        ..finish(call, reason)
    }
}

pub(super) async fn a_number_stays_taken_until_its_phone_is_quiet(lab: Lab) {
    let call = lab.dialing(1).await;
    let attempt = call.attempts[0].id;
    // Before the outcome the call is live, whatever is said of it.
    lab.store.free_number(attempt).await.unwrap();
    lab.decide(ringing_on(&call, Reason::ByClient), at(4)).await;
    assert_eq!(lab.store.in_progress().await.unwrap(), (0, 0));
    let accept = |request: Accept, second| lab.store.accept(request, lab.entropy(), at(second));
    let busy = accept(lab.request(1, 5), 5).await.unwrap();
    assert!(matches!(busy, Accepted::NumberBusy { verification } if verification == call.id));
    let mut foreign = Accept {
        supersede: true,
        ..lab.request(1, 5)
    };
    foreign.verification.key_id = "key_b".into();
    let busy = accept(foreign, 5).await.unwrap();
    assert!(matches!(busy, Accepted::NumberBusy { .. }), "{busy:?}");
    // Who asked for the first call may queue the second; it waits.
    let second = lab
        .created(Accept {
            supersede: true,
            ..lab.request(1, 6)
        })
        .await;
    let report = AttemptReport::default();
    lab.store.finish_report(attempt, report, at(7)).await.unwrap();
    assert_eq!(lab.due(at(8)).await, []);
    assert_eq!(lab.claim(&second, at(8)).await, Claimed::NumberBusy);
    assert_eq!(
        lab.store.agenda(at(8), 1).await.unwrap().next_at,
        Some(second.expires_at)
    );
    let wake = lab.store.attempts_changed();
    lab.store.free_number(attempt).await.unwrap();
    assert!(wake.has_changed().unwrap(), "the quiet phone frees the number");
    assert_eq!(lab.due(at(9)).await, [second.attempts[0].id]);
    assert!(matches!(lab.claim(&second, at(9)).await, Claimed::Dialing(_)));
    // The number is the second call's now.
    lab.store.free_number(attempt).await.unwrap();
    lab.decide(ringing_on(&second, Reason::NoAnswer), at(40)).await;
    let busy = accept(lab.request(1, 41), 41).await.unwrap();
    assert!(matches!(busy, Accepted::NumberBusy { verification } if verification == second.id));
    lab.store.free_number(second.attempts[0].id).await.unwrap();
    lab.created(lab.request(1, 42)).await;
}

pub(super) async fn another_trunk_waits_for_the_phone_of_the_first(lab: Lab) {
    let call = lab.dialing(1).await;
    let decision = Decision {
        frees_number: false,
        ..congested(&call, at(4))
    };
    let Decided::Retrying { attempt, .. } = lab.decide(decision, at(4)).await else {
        panic!("expected another attempt");
    };
    assert_eq!(lab.due(at(5)).await, []);
    let claimed = lab
        .store
        .claim(claim_of(attempt, "other"), lab.entropy(), at(5))
        .await
        .unwrap();
    assert_eq!(claimed, Claimed::NumberBusy);
    lab.store.free_number(call.attempts[0].id).await.unwrap();
    assert_eq!(lab.due(at(6)).await, [attempt]);
}

pub(super) async fn a_restart_frees_the_numbers_of_calls_that_were_decided(lab: Lab) {
    let (silent, reported) = (lab.dialing(1).await, lab.dialing(2).await);
    for call in [&silent, &reported] {
        lab.decide(ringing_on(call, Reason::NoAnswer), at(30)).await;
    }
    lab.store
        .finish_report(reported.attempts[0].id, AttemptReport::default(), at(31))
        .await
        .unwrap();
    let restarted = lab.crash().await;
    let recovered = restarted
        .store
        .recover(NODE, restarted.entropy(), at(40))
        .await
        .unwrap();
    assert_eq!((recovered.unknown.len(), recovered.unreported), (0, 1));
    for last in [1, 2] {
        restarted.created(restarted.request(last, 41)).await;
    }
}

pub(super) async fn a_late_report_changes_no_outcome(lab: Lab) {
    let call = lab.dialing(1).await;
    let attempt = call.attempts[0].id;
    let mut report = finish(&call, Reason::KeyConfirmed).report;
    report.quality.packets_sent = 500;
    report.talk_ms = Some(9_000);
    let early = lab.store.finish_report(attempt, report.clone(), at(3)).await;
    assert_eq!(early, Err(StoreError::NotFound("decided attempt")));
    lab.decide(finish(&call, Reason::KeyConfirmed), at(9)).await;
    let decided = lab.read(call.id).await;
    assert_eq!(decided.attempts[0].ended_at, None);
    lab.store
        .finish_report(attempt, report.clone(), at(12))
        .await
        .unwrap();
    lab.store
        .finish_report(attempt, report.clone(), at(15))
        .await
        .unwrap();
    let read = lab.read(call.id).await;
    assert_eq!(
        (read.outcome, read.attempts[0].outcome),
        (decided.outcome, decided.outcome)
    );
    assert_eq!(
        (&read.attempts[0].report, read.attempts[0].ended_at),
        (&report, Some(at(12)))
    );
    assert_eq!(lab.leased(at(20)).await.len(), 1, "a report sends no webhook");
}

pub(super) async fn cancel_is_idempotent_and_tells_a_live_call_once(lab: Lab) {
    let mut cancels = lab.store.cancels();
    let cancel = |id| {
        lab.store
            .cancel(id, &Visibility::All, Reason::ByClient, lab.entropy(), at(2))
    };
    let queued = lab.created(lab.request(1, 0)).await;
    let Ok(Canceled::Now(now)) = cancel(queued.id).await else {
        panic!("expected Now");
    };
    assert_eq!(now.outcome, Some(Reason::ByClient.into()));
    assert_eq!(cancel(queued.id).await, Ok(Canceled::AlreadyOver(now)));
    let live = lab.dialing(2).await;
    for _ in 0..2 {
        let Ok(Canceled::Live {
            attempt,
            node,
            verification,
        }) = cancel(live.id).await
        else {
            panic!("expected Live");
        };
        assert_eq!(
            (attempt, node.as_str(), verification.outcome),
            (live.attempts[0].id, NODE, None)
        );
    }
    assert_eq!(cancels.try_recv().unwrap().verification, live.id);
    assert!(cancels.try_recv().is_err());
    assert_eq!(lab.store.pending_cancels(NODE).await.unwrap().len(), 1);
    assert_eq!(lab.store.pending_cancels("node-2").await.unwrap(), []);
    lab.decide(finish(&live, Reason::ByClient), at(3)).await;
    assert_eq!(lab.store.pending_cancels(NODE).await.unwrap(), []);
    assert!(matches!(cancel(live.id).await, Ok(Canceled::AlreadyOver(_))));
}

pub(super) async fn a_stranger_cancels_and_sees_nothing(lab: Lab) {
    let queued = lab.created(lab.request(1, 0)).await;
    let stranger = Visibility::Profiles(vec!["other".into()]);
    let owner = Visibility::Profiles(vec!["other".into(), "default".into()]);
    assert_eq!(lab.store.verification(queued.id, &stranger).await, Ok(None));
    let answer = lab
        .store
        .cancel(queued.id, &stranger, Reason::ByClient, lab.entropy(), at(1))
        .await;
    assert_eq!(answer, Err(StoreError::NotFound("verification")));
    assert!(lab.store.verification(queued.id, &owner).await.unwrap().is_some());
    assert_eq!(lab.read(queued.id).await.outcome, None);
}

pub(super) async fn only_queued_verifications_expire(lab: Lab) {
    let queued = lab.created(lab.request(1, 0)).await;
    let live = lab.dialing(2).await;
    assert_eq!(lab.store.expire_due(lab.entropy(), at(119)).await.unwrap(), []);
    assert_eq!(
        lab.store.expire_due(lab.entropy(), at(120)).await.unwrap(),
        [queued.id]
    );
    assert_eq!(lab.store.expire_due(lab.entropy(), at(121)).await.unwrap(), []);
    assert_eq!(lab.read(queued.id).await.outcome, Some(Reason::Ttl.into()));
    assert_eq!(lab.read(live.id).await.outcome, None);
    assert_eq!(lab.leased(at(121)).await.len(), 1);
    // More than one batch.
    for last in 100..250 {
        lab.created(lab.request(last, 0)).await;
    }
    assert_eq!(
        lab.store.expire_due(lab.entropy(), at(120)).await.unwrap().len(),
        150
    );
}

pub(super) async fn a_clock_that_is_set_back_holds_nothing_up(lab: Lab) {
    let verification = lab.created(lab.request(1, 3600)).await;
    assert_eq!(lab.store.agenda(at(5), 10).await.unwrap().due, []);
    assert_eq!(lab.store.expire_due(lab.entropy(), at(5)).await.unwrap(), []);
    let due = lab.store.agenda(at(5), 10).await.unwrap().due;
    assert_eq!(due.len(), 1);
    assert_eq!(
        (due[0].verification, due[0].expires_at),
        (verification.id, at(125))
    );
    assert_eq!(
        lab.store.expire_due(lab.entropy(), at(125)).await.unwrap(),
        [verification.id]
    );
}

pub(super) async fn a_crash_in_any_state_loses_nothing_and_redials_nothing(lab: Lab) {
    let queued = lab.created(lab.request(1, 0)).await;
    let dialing = lab.dialing(2).await;
    let prompting = lab.dialing(3).await;
    lab.stage(&prompting, Stage::Prompting, at(5)).await;
    let decided = lab.dialing(4).await;
    lab.decide(finish(&decided, Reason::KeyConfirmed), at(8)).await;
    let over = lab.dialing(5).await;
    lab.decide(finish(&over, Reason::HungUp), at(8)).await;
    lab.store
        .finish_report(over.attempts[0].id, AttemptReport::default(), at(9))
        .await
        .unwrap();
    let foreign = lab.created(lab.request(6, 0)).await;
    let claim = Claim {
        node: "node-2".into(),
        ..claim_of(foreign.attempts[0].id, "carrier")
    };
    lab.store.claim(claim, lab.entropy(), at(1)).await.unwrap();

    let restarted = lab.crash().await;
    let recovered = restarted
        .store
        .recover(NODE, restarted.entropy(), at(30))
        .await
        .unwrap();
    assert_eq!((recovered.unknown.len(), recovered.unreported), (2, 1));
    for (id, expected) in [
        (queued.id, None),
        (dialing.id, Some(Reason::UnknownAfterCrash)),
        (prompting.id, Some(Reason::UnknownAfterCrash)),
        (decided.id, Some(Reason::KeyConfirmed)),
        (over.id, Some(Reason::HungUp)),
        (foreign.id, None),
    ] {
        let read = restarted.read(id).await;
        assert_eq!(read.outcome.map(Outcome::reason), expected, "{id}");
        let open = read
            .attempts
            .iter()
            .filter(|attempt| attempt.ended_at.is_none())
            .count();
        assert_eq!(open, usize::from(expected.is_none()), "{id}");
    }
    assert_eq!(
        restarted.due(at(30)).await,
        [queued.attempts[0].id],
        "only what never left may be dialled"
    );
    let webhooks = restarted.leased(at(30)).await;
    assert_eq!(webhooks.len(), 4, "each outcome has one webhook");
    // A late word from the dead call is refused, and a second recovery finds nothing.
    let late = restarted
        .decide(finish(&dialing, Reason::KeyConfirmed), at(31))
        .await;
    assert_eq!(late, Decided::Already(Reason::UnknownAfterCrash.into()));
    let again = restarted
        .store
        .recover(NODE, restarted.entropy(), at(32))
        .await
        .unwrap();
    assert_eq!(again, Recovered::default());
    assert_eq!(restarted.store.in_progress().await.unwrap(), (2, 1));
}

pub(super) async fn a_watcher_wakes_after_the_commit(lab: Lab) {
    let attempts = lab.store.attempts_changed();
    let webhooks = lab.store.outbox_changed();
    let call = lab.dialing(1).await;
    assert!(attempts.has_changed().unwrap() && !webhooks.has_changed().unwrap());
    let mut watch = lab.store.watch(call.id).unwrap();
    let waiting = async {
        watch.changed().await;
        lab.read(call.id).await.outcome
    };
    let deciding = async {
        lab.decide(finish(&call, Reason::KeyConfirmed), at(5)).await;
    };
    let (seen, ()) = tokio::join!(waiting, deciding);
    assert_eq!(seen, Some(Reason::KeyConfirmed.into()));
    assert!(webhooks.has_changed().unwrap());
}

pub(super) async fn a_queued_verification_can_be_ended_by_policy(lab: Lab) {
    let queued = lab.created(lab.request(1, 0)).await;
    let end = |id, reason: Reason| lab.store.end_queued(id, reason.into(), lab.entropy(), at(2));
    assert_eq!(end(queued.id, Reason::SpendLimit).await, Ok(true));
    assert_eq!(end(queued.id, Reason::TrunkDown).await, Ok(false));
    assert_eq!(lab.read(queued.id).await.status(), Status::Blocked);
    let live = lab.dialing(2).await;
    assert_eq!(end(live.id, Reason::TrunkDown).await, Ok(false));
}

pub(super) async fn a_first_attempt_is_told_as_a_look_would_find_it(lab: Lab) {
    let mut created = lab.store.attempts_created();
    let attempts = lab.store.attempts_changed();
    lab.created(lab.request(1, 1)).await;
    let found = lab.store.agenda(at(1), 9).await.unwrap().due;
    assert_eq!(vec![created.try_recv().unwrap()], found);
    assert!(!attempts.has_changed().unwrap(), "who was told need not look");
    // The phone of the call that it supersedes may be in its way: only a look tells.
    let request = Accept {
        supersede: true,
        ..lab.request(1, 2)
    };
    lab.created(request).await;
    assert!(created.try_recv().is_err() && attempts.has_changed().unwrap());
    // Nobody is told: then somebody must look.
    drop(created);
    let attempts = lab.store.attempts_changed();
    lab.created(lab.request(2, 3)).await;
    assert!(attempts.has_changed().unwrap());
}
