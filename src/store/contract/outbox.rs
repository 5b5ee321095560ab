//! Webhooks.
use super::*;

fn kinds(items: &[OutboxItem]) -> Vec<EventType> {
    items.iter().map(|item| item.kind).collect()
}

async fn subscribed(lab: &Lab, last: u32) -> Verification {
    let request = Accept {
        subscription: Subscription::all(),
        ..lab.request(last, 0)
    };
    let created = lab.created(request).await;
    match lab.claim(&created, at(1)).await {
        Claimed::Dialing(call) => *call,
        other => panic!("{other:?}"),
    }
}

pub(super) async fn webhooks_of_one_verification_leave_in_order(lab: Lab) {
    let call = subscribed(&lab, 1).await;
    let created = lab.leased(at(1)).await;
    assert_eq!(kinds(&created), [EventType::Created]);
    assert_eq!(created[0].body, format!("verification.created {} 1", call.id));
    // The first is on its way: the next of the same verification waits for its result.
    lab.stage(&call, Stage::Ringing, at(2)).await;
    assert_eq!(lab.leased(at(2)).await, []);
    assert_eq!(lab.next_webhook_at(at(2)).await, Some(at(31)));
    lab.tried(created[0].id, at(3), DeliveryVerdict::Delivered).await;
    let ringing = lab.leased(at(3)).await;
    assert_eq!(kinds(&ringing), [EventType::Ringing]);
    assert_eq!(ringing[0].sequence, 3);
    lab.tried(ringing[0].id, at(4), DeliveryVerdict::Delivered).await;
    lab.decide(finish(&call, Reason::KeyConfirmed), at(9)).await;
    let approved = lab.leased(at(9)).await;
    assert_eq!(kinds(&approved), [EventType::Approved]);
    assert_eq!(approved[0].body, format!("verification.approved {} 4", call.id));
    lab.tried(approved[0].id, at(9), DeliveryVerdict::Delivered).await;
    assert_eq!(lab.next_webhook_at(at(9)).await, None);
    assert_eq!(lab.store.outbox_pending().await.unwrap(), 0);
}

pub(super) async fn progress_gives_way_to_what_comes_later(lab: Lab) {
    let call = subscribed(&lab, 1).await;
    lab.stage(&call, Stage::Ringing, at(2)).await;
    lab.stage(&call, Stage::Answered, at(3)).await;
    let answered = lab.leased(at(3)).await;
    assert_eq!(
        kinds(&answered),
        [EventType::Answered],
        "what had not left was dropped"
    );
    // Overtaken while on its way: it is not tried again.
    lab.decide(finish(&call, Reason::KeyConfirmed), at(9)).await;
    lab.tried(answered[0].id, at(10), DeliveryVerdict::Retry { at: at(11) })
        .await;
    assert_eq!(kinds(&lab.leased(at(12)).await), [EventType::Approved]);
    let states: Vec<_> = lab
        .store
        .deliveries(Some(call.id), 10, None, &Visibility::All)
        .await
        .unwrap()
        .items;
    let dropped = states
        .iter()
        .filter(|delivery| delivery.state == OutboxState::Dropped);
    assert_eq!(dropped.count(), 3, "{states:?}");
}

pub(super) async fn a_terminal_event_never_waits_for_progress(lab: Lab) {
    let call = subscribed(&lab, 1).await;
    lab.stage(&call, Stage::Ringing, at(2)).await;
    assert_eq!(kinds(&lab.leased(at(2)).await), [EventType::Ringing]);
    lab.decide(finish(&call, Reason::HungUp), at(9)).await;
    assert_eq!(kinds(&lab.leased(at(9)).await), [EventType::Denied]);
    // By default nobody hears of progress.
    let quiet = lab.dialing(2).await;
    lab.stage(&quiet, Stage::Ringing, at(2)).await;
    assert_eq!(lab.leased(at(10)).await, []);
}

pub(super) async fn a_lease_ends_and_a_crash_sends_again_with_the_same_id(lab: Lab) {
    let call = lab.dialing(1).await;
    lab.decide(finish(&call, Reason::KeyConfirmed), at(9)).await;
    let first = lab.leased(at(10)).await;
    assert_eq!(lab.leased(at(39)).await, []);
    assert_eq!(lab.leased(at(40)).await, first);
    let restarted = lab.crash().await;
    restarted
        .store
        .recover(NODE, restarted.entropy(), at(41))
        .await
        .unwrap();
    assert_eq!(
        restarted.leased(at(41)).await,
        first,
        "a new process need not wait for the lease"
    );
}

pub(super) async fn tries_are_kept_and_retries_wait_for_their_time(lab: Lab) {
    let call = lab.dialing(1).await;
    lab.decide(finish(&call, Reason::KeyConfirmed), at(9)).await;
    let item = lab.leased(at(9)).await.remove(0);
    let failed = DeliveryTry {
        event: item.id,
        at: at(9),
        duration: Duration::from_millis(1500),
        status: Some(503),
        error: Some("x".repeat(9000)),
        verdict: DeliveryVerdict::Retry { at: at(14) },
    };
    lab.store.outbox_result(failed).await.unwrap();
    assert_eq!(lab.leased(at(13)).await, []);
    assert_eq!(lab.next_webhook_at(at(13)).await, Some(at(14)));
    let list = || lab.store.deliveries(None, 10, None, &Visibility::All);
    let shown = list().await.unwrap().items.remove(0);
    let last_try = shown.last_try.unwrap();
    assert_eq!(
        (shown.tries, shown.next_at, last_try.status),
        (1, Some(at(14)), Some(503))
    );
    assert_eq!((last_try.duration_ms, last_try.error.unwrap().len()), (1500, 512));
    let again = lab.leased(at(14)).await.remove(0);
    assert_eq!((again.id, again.attempts, &again.body), (item.id, 1, &item.body));
    lab.tried(item.id, at(14), DeliveryVerdict::GaveUp).await;
    let shown = list().await.unwrap().items.remove(0);
    assert_eq!(
        (shown.state, shown.tries, shown.next_at),
        (OutboxState::GaveUp, 2, None)
    );
    let stranger = Visibility::Profiles(vec!["other".into()]);
    assert_eq!(
        lab.store
            .deliveries(None, 10, None, &stranger)
            .await
            .unwrap()
            .items,
        []
    );
}

pub(super) async fn gone_disables_the_url_until_a_redelivery_succeeds(lab: Lab) {
    for last in [1, 2] {
        let call = lab.dialing(last).await;
        lab.decide(finish(&call, Reason::KeyConfirmed), at(9)).await;
    }
    let items = lab.leased(at(9)).await;
    lab.tried(items[0].id, at(10), DeliveryVerdict::Disabled).await;
    assert_eq!(
        lab.leased(at(100)).await,
        [],
        "all that waits for the URL is disabled with it"
    );
    let late = lab.dialing(3).await;
    lab.decide(finish(&late, Reason::KeyConfirmed), at(9)).await;
    assert_eq!(lab.leased(at(100)).await, []);
    let stranger = Visibility::Profiles(vec!["other".into()]);
    assert_eq!(
        lab.store.redeliver(items[0].id, &stranger, at(101)).await,
        Ok(false)
    );
    assert_eq!(
        lab.store.redeliver(items[0].id, &Visibility::All, at(101)).await,
        Ok(true)
    );
    let again = lab.leased(at(101)).await;
    assert_eq!((again.len(), again[0].id), (1, items[0].id));
    lab.tried(again[0].id, at(101), DeliveryVerdict::Delivered).await;
    let next = lab.dialing(4).await;
    lab.decide(finish(&next, Reason::KeyConfirmed), at(9)).await;
    assert_eq!(lab.leased(at(102)).await.len(), 1);
}

pub(super) async fn events_without_a_verification_are_delivered_too(lab: Lab) {
    let id = EventId::generate(T0, &mut lab.entropy());
    let event = LooseEvent {
        id,
        kind: EventType::TrunkDown,
        profile: "default".into(),
        url: "https://ops.example/".into(),
        body: "{}".into(),
        at: T0,
    };
    lab.store.enqueue(event).await.unwrap();
    let items = lab.leased(T0).await;
    assert_eq!(
        (items[0].id, items[0].verification, items[0].kind),
        (id, None, EventType::TrunkDown)
    );
    lab.tried(id, T0, DeliveryVerdict::Delivered).await;
    assert_eq!(lab.store.outbox_pending().await.unwrap(), 0);
    let unknown = EventId::generate(T0, &mut lab.entropy());
    assert_eq!(
        lab.store.redeliver(unknown, &Visibility::All, T0).await,
        Ok(false)
    );
}
