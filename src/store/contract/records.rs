//! Keys, enrolments, lists, retention, and the engine's own misfortunes.
use super::*;

fn key(id: &str) -> ApiKey {
    ApiKey {
        id: id.into(),
        label: "lab".into(),
        scopes: vec![Scope::Verifications, Scope::Hooks],
        profiles: vec!["default".into()],
        created_at: T0,
        expires_at: Some(at(1000)),
        revoked_at: None,
        last_used_at: None,
    }
}

pub(super) async fn api_keys_are_found_by_hash_and_revoked(lab: Lab) {
    lab.store.key_create(key("key_1"), [1; 32]).await.unwrap();
    let found = lab.store.key_by_hash(&[1; 32]).await.unwrap().unwrap();
    assert_eq!(found, key("key_1"));
    assert!(found.allows(Scope::Hooks) && !found.allows(Scope::Admin));
    assert!(found.is_valid(at(999)) && !found.is_valid(at(1000)));
    assert_eq!(lab.store.key_by_hash(&[2; 32]).await, Ok(None));
    let same_hash = lab.store.key_create(key("key_2"), [1; 32]).await;
    assert_eq!(same_hash, Err(StoreError::Conflict("row")));
    for (now, noted) in [(at(10), at(10)), (at(50), at(10)), (at(70), at(70))] {
        lab.store.key_touch("key_1", now).await.unwrap();
        assert_eq!(lab.store.keys().await.unwrap()[0].last_used_at, Some(noted));
    }
    assert_eq!(lab.store.key_revoke("key_1", at(80)).await, Ok(true));
    assert_eq!(lab.store.key_revoke("key_1", at(90)).await, Ok(true));
    assert_eq!(lab.store.key_revoke("key_9", at(90)).await, Ok(false));
    let revoked = lab.store.key_by_hash(&[1; 32]).await.unwrap().unwrap();
    assert_eq!(
        (revoked.revoked_at, revoked.is_valid(at(81))),
        (Some(at(80)), false)
    );
}

pub(super) async fn an_enrollment_is_updated_by_who_read_it_last(lab: Lab) {
    let enrollment = Enrollment {
        id: "enr_1".into(),
        token_hash: [3; 32],
        key_id: "key_a".into(),
        profile: "default".into(),
        state: "open".into(),
        request_json: "{\"a\":1}".into(),
        wizard_json: "{}".into(),
        verification: None,
        return_url: Some("https://idp.example/back".into()),
        created_at: T0,
        updated_at: T0,
        expires_at: at(900),
        version: 1,
    };
    lab.store.enrollment_create(enrollment.clone()).await.unwrap();
    let read = lab.store.enrollment_by_token(&[3; 32]).await.unwrap().unwrap();
    assert_eq!(read, enrollment);
    let call = lab.created(lab.request(1, 0)).await;
    let changed = Enrollment {
        state: "calling".into(),
        verification: Some(call.id),
        updated_at: at(5),
        ..read.clone()
    };
    assert_eq!(lab.store.enrollment_update(changed.clone()).await, Ok(2));
    let stale = Enrollment {
        state: "done".into(),
        ..read
    };
    assert_eq!(
        lab.store.enrollment_update(stale).await,
        Err(StoreError::Conflict("enrollment"))
    );
    let stored = lab
        .store
        .enrollment("enr_1", &Visibility::All)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        stored,
        Enrollment {
            version: 2,
            ..changed
        }
    );
    let stranger = Visibility::Profiles(vec!["other".into()]);
    assert_eq!(lab.store.enrollment("enr_1", &stranger).await, Ok(None));
    assert_eq!(lab.store.enrollment_by_token(&[4; 32]).await, Ok(None));
}

pub(super) async fn lists_are_paged_filtered_and_limited_to_visible_profiles(lab: Lab) {
    let mut ids = Vec::new();
    for last in 0..5 {
        let mut request = lab.request(last, u64::from(last));
        request.verification.profile = if last == 4 {
            "other".into()
        } else {
            "default".into()
        };
        ids.push(lab.created(request).await.id);
    }
    lab.store
        .cancel(ids[1], &Visibility::All, Reason::ByClient, lab.entropy(), at(9))
        .await
        .unwrap();
    let mine = Visibility::Profiles(vec!["default".into()]);
    let list = async |filter: ListFilter, visibility: &Visibility| {
        let page = lab.store.verifications(&filter, visibility).await.unwrap();
        (
            page.items.into_iter().map(|v| v.id).collect::<Vec<_>>(),
            page.next,
        )
    };
    let limit = |limit| ListFilter {
        limit,
        ..ListFilter::default()
    };
    let (first, next) = list(limit(3), &mine).await;
    assert_eq!(first, [ids[3], ids[2], ids[1]]);
    let cursor: Cursor = next.unwrap().to_string().parse().unwrap();
    let (rest, next) = list(
        ListFilter {
            cursor: Some(cursor),
            ..limit(3)
        },
        &mine,
    )
    .await;
    assert_eq!((rest, next), (vec![ids[0]], None));
    assert_eq!(list(limit(0), &Visibility::All).await.0.len(), 5);
    let canceled = ListFilter {
        status: Some(Status::Canceled),
        ..ListFilter::default()
    };
    assert_eq!(list(canceled, &mine).await.0, [ids[1]]);
    let recent = ListFilter {
        created_after: Some(at(2)),
        country: Some("US".into()),
        ..ListFilter::default()
    };
    assert_eq!(list(recent, &mine).await.0, [ids[3]]);
    let german = ListFilter {
        country: Some("DE".into()),
        ..ListFilter::default()
    };
    assert_eq!(list(german, &mine).await.0, []);
    for wrong in ["", "%%%", "a b", &"x".repeat(200)] {
        assert!(wrong.parse::<Cursor>().is_err(), "{wrong}");
    }
}

pub(super) async fn retention_erases_the_person_and_keeps_the_outcome(lab: Lab) {
    let call = lab.dialing(1).await;
    lab.decide(finish(&call, Reason::KeyConfirmed), at(9)).await;
    let item = lab.leased(at(9)).await.remove(0);
    lab.tried(item.id, at(9), DeliveryVerdict::Delivered).await;
    let pending = lab.created(lab.request(2, 0)).await;
    let hour = Duration::from_secs(3600);
    let retention = Retention {
        personal: hour,
        ..Retention::default()
    };
    let slow = Retention {
        personal_by_profile: [("default".to_owned(), hour * 10)].into(),
        ..retention.clone()
    };
    assert_eq!(lab.store.purge(&slow, at(3700)).await.unwrap().numbers_erased, 0);
    assert_eq!(
        lab.store
            .purge(&retention, at(3600))
            .await
            .unwrap()
            .numbers_erased,
        0
    );
    let purged = lab.store.purge(&retention, at(3700)).await.unwrap();
    assert_eq!(
        (purged.numbers_erased, purged.verifications, purged.more),
        (1, 0, false)
    );
    let read = lab.read(call.id).await;
    assert_eq!((read.to.reveal(), read.to.country()), ("+1•••", Some("US")));
    assert_eq!(
        (read.end_user_id, read.client_ref, read.extension),
        (None, None, None)
    );
    assert_eq!(read.outcome, Some(Reason::KeyConfirmed.into()));
    assert_eq!(read.attempts[0].report.key, Some('#'));
    assert_eq!(
        lab.store.redeliver(item.id, &Visibility::All, at(3800)).await,
        Ok(false)
    );
    assert_eq!(lab.read(pending.id).await.to.reveal(), "+15005550002");
    assert_eq!(
        lab.store.purge(&retention, at(3800)).await.unwrap(),
        Purged::default()
    );
}

pub(super) async fn a_number_is_erased_on_request(lab: Lab) {
    for second in [0, 100] {
        let request = Accept {
            quotas: vec![per_hour(9)],
            ..lab.request(1, second)
        };
        let created = lab.created(request).await;
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
    let other = lab.created(lab.request(2, 0)).await;
    assert_eq!(lab.store.erase_number("+15005550001", at(200)).await, Ok(2));
    assert_eq!(lab.store.erase_number("+15005550001", at(200)).await, Ok(0));
    assert_eq!(
        lab.store.erase_number("+15005550002", at(200)).await,
        Ok(0),
        "one in progress is needed"
    );
    assert_eq!(lab.read(other.id).await.to.reveal(), "+15005550002");
    lab.store.close().await.unwrap();
    let bytes = std::fs::read(lab.path()).unwrap();
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(
        !holds("+15005550001") && holds("+15005550002"),
        "nothing is left in the file's free pages"
    );
}

pub(super) async fn old_rows_are_deleted_in_batches(lab: Lab) {
    for last in 0..210 {
        lab.created(lab.request(last, 0)).await;
    }
    lab.store.expire_due(lab.entropy(), at(120)).await.unwrap();
    let year = at(366 * 24 * 3600);
    let first = lab.store.purge(&Retention::default(), year).await.unwrap();
    assert_eq!((first.verifications, first.more), (200, true));
    let mut runs = 1;
    while lab.store.purge(&Retention::default(), year).await.unwrap().more {
        runs += 1;
        assert!(runs < 20);
    }
    let page = lab
        .store
        .verifications(&ListFilter::default(), &Visibility::All)
        .await
        .unwrap();
    assert_eq!(page.items, []);
    assert_eq!(lab.store.outbox_pending().await.unwrap(), 0);
}

pub(super) async fn a_failing_write_spoils_no_other_of_its_group(lab: Lab) {
    lab.store.key_create(key("key_0"), [0; 32]).await.unwrap();
    let writes = (0..40_u8).map(|i| {
        let (id, hash) = if i % 4 == 0 {
            ("key_0".to_owned(), [0; 32])
        } else {
            (format!("key_{i}"), [i; 32])
        };
        lab.store.key_create(key(&id), hash)
    });
    let answers = futures_util::future::join_all(writes).await;
    for (i, answer) in answers.iter().enumerate() {
        let expected = if i % 4 == 0 {
            Err(StoreError::Conflict("row"))
        } else {
            Ok(())
        };
        assert_eq!(*answer, expected, "{i}");
    }
    assert_eq!(lab.crash().await.store.keys().await.unwrap().len(), 31);
}

pub(super) async fn a_lock_held_by_another_process_is_told_and_survived(lab: Lab) {
    let queued = lab.created(lab.request(1, 0)).await;
    let other = rusqlite::Connection::open(lab.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = lab.store.accept(lab.request(2, 0), lab.entropy(), T0).await;
    assert!(matches!(refused, Err(StoreError::Locked)), "{refused:?}");
    assert_eq!(lab.store.ready().await, Err(StoreError::Locked));
    assert_eq!(lab.read(queued.id).await.id, queued.id, "readers go on");
    other.execute_batch("ROLLBACK").unwrap();
    lab.created(lab.request(2, 0)).await;
    assert_eq!(lab.store.ready().await, Ok(()));
}

pub(super) async fn a_store_is_refused_that_would_forget_or_cannot_be_opened(lab: Lab) {
    for (url, expected) in [
        ("sqlite::memory:", "in memory"),
        ("sqlite://x?mode=memory", "in memory"),
        (
            "postgres://localhost/x",
            "expected sqlite://<file>, found \"postgres\"",
        ),
        ("sqlite:///nowhere/at/all/x.db", "cannot open"),
        ("sqlite:", "no file name"),
        ("sqlite://x.db?mode=ro", "found parameters (\"mode=ro\")"),
    ] {
        let options = StoreOptions::new(url, Arc::new(render));
        let error = Store::open(options).await.err().unwrap().to_string();
        assert!(
            error.contains("store.url") && error.contains(expected),
            "{url}: {error}"
        );
    }
    let garbage = lab.path().with_file_name("garbage.db");
    std::fs::write(&garbage, "not a database, whatever its name says ".repeat(200)).unwrap();
    let options = StoreOptions::new(format!("sqlite://{}", garbage.display()), Arc::new(render));
    assert!(matches!(
        Store::open(options).await.err(),
        Some(StoreError::Corrupt(_))
    ));
}

pub(super) async fn a_closed_store_answers_unavailable_and_keeps_its_rows(lab: Lab) {
    use std::os::unix::fs::PermissionsExt;
    let queued = lab.created(lab.request(1, 0)).await;
    lab.store.close().await.unwrap();
    let answer = lab.store.accept(lab.request(2, 0), lab.entropy(), T0).await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    assert!(lab.store.verification(queued.id, &Visibility::All).await.is_err());
    assert_eq!(lab.crash().await.read(queued.id).await.id, queued.id);
    let mode = std::fs::metadata(lab.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "nobody else may read numbers and key hashes");
}

pub(super) async fn conversions_are_counted_by_day_and_prefix(lab: Lab) {
    let first = lab.dialing(1).await;
    lab.stage(&first, Stage::Answered, at(3)).await;
    lab.stage(&first, Stage::Prompting, at(4)).await;
    lab.decide(finish(&first, Reason::KeyConfirmed), at(9)).await;
    let second = lab.dialing(2).await;
    lab.decide(finish(&second, Reason::Busy), at(9)).await;
    let usage = lab.store.daily_usage(T0).await.unwrap();
    assert_eq!(usage.len(), 1);
    assert_eq!(
        (usage[0].country.as_str(), usage[0].prefix.as_str()),
        ("US", "+1500555")
    );
    assert_eq!(
        (usage[0].accepted, usage[0].answered, usage[0].approved),
        (2, 1, 1)
    );
}
