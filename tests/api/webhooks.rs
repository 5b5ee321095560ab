//! Webhooks as a receiver sees them: signed, in order, tried again, never sent into a private network.
use std::sync::Arc;
use std::time::Duration;

use ringproof::model::{Entropy, EventId, Reason, UnixMillis, VerificationId};
use ringproof::store::{EventType, LooseEvent, Store, StoreOptions, Subscription};
use ringproof::webhook::{Deliverer, Guard, Signer, WebhookConfig};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::dialer;
use super::harness::{Lab, Setup};
use super::sink::{Received, Reply, Sink};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OLD_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

struct Loop {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Loop {
    fn start(lab: &Lab, allow_private: &[&str]) -> Self {
        let guard = Guard::new(allow_private.iter().map(|r| r.parse().unwrap()).collect());
        let config = WebhookConfig::new(Signer::new([SECRET, OLD_SECRET]).unwrap(), guard);
        let deliverer = Deliverer::new(lab.store.clone(), config, Entropy::from_number(3)).unwrap();
        let (stop, stopped) = watch::channel(false);
        Self {
            stop,
            task: tokio::spawn(deliverer.run(stopped)),
        }
    }

    async fn stop(self) {
        self.stop.send(true).unwrap();
        self.task.await.unwrap();
    }
}

fn verify(received: &Received) {
    for secret in [SECRET, OLD_SECRET] {
        let webhook = standardwebhooks::Webhook::new(secret).unwrap();
        webhook
            .verify(received.body.as_bytes(), &received.headers)
            .unwrap();
    }
    let stranger = standardwebhooks::Webhook::new("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").unwrap();
    assert!(
        stranger
            .verify(received.body.as_bytes(), &received.headers)
            .is_err()
    );
}

async fn call(lab: &Lab, sink: &Sink, number: &str) -> VerificationId {
    let (id, _) = lab.create(&json!({"to": number, "callback_url": sink.url})).await;
    dialer::play_due(lab).await;
    id
}

async fn lab_with(subscription: Subscription) -> Lab {
    let mut setup = Setup::default();
    setup.profile.subscription = subscription;
    setup.profile.callbacks = Vec::new();
    // Ports of the receivers are chosen by the system, so the allow-list is made when they are known.
    Lab::start_with(setup).await
}

/// Lets the profile call back to a receiver.
fn allow(lab: &Lab, sink: &Sink) {
    let mut config = (*lab.state.config()).clone();
    config
        .profiles
        .get_mut("default")
        .unwrap()
        .callbacks
        .push(sink.url.parse().unwrap());
    lab.state.reload(config);
}

#[tokio::test]
async fn the_terminal_event_arrives_signed_by_every_live_secret() {
    let (lab, mut sink) = (
        lab_with(Subscription::terminal_only()).await,
        Sink::start([]).await,
    );
    allow(&lab, &sink);
    let deliveries = Loop::start(&lab, &["127.0.0.0/8"]);
    let id = call(&lab, &sink, "+14255550101").await;
    let received = sink.next().await;
    verify(&received);
    assert_eq!(received.header("content-type"), "application/json");
    assert!(received.header("webhook-id").starts_with("evt_"));
    let body = received.json();
    assert_eq!(body["type"], "verification.approved");
    assert_eq!(body["data"]["id"], id.to_string());
    assert_eq!(
        (&body["data"]["status"], &body["data"]["reason"]),
        (&json!("approved"), &json!("key_confirmed"))
    );
    assert_eq!(body["data"]["to"], "+14255550101");
    assert!(body["data"]["sequence"].as_u64().unwrap() > 1);
    assert!(body["timestamp"].as_str().unwrap().ends_with('Z'));
    deliveries.stop().await;
    assert!(sink.is_empty(), "progress events are not subscribed");
    let listed = lab
        .get(&format!("/v1/webhook-deliveries?verification={id}"))
        .await
        .json();
    assert_eq!(
        (&listed["items"][0]["state"], &listed["items"][0]["tries"]),
        (&json!("delivered"), &json!(1))
    );
    assert_eq!(listed["items"][0]["last_try"]["status"], 204);
}

#[tokio::test]
async fn progress_comes_before_the_end_when_it_is_wanted() {
    let wanted = Subscription::terminal_only()
        .with(EventType::Created)
        .with(EventType::Ringing);
    let (lab, mut sink) = (lab_with(wanted).await, Sink::start([]).await);
    allow(&lab, &sink);
    let deliveries = Loop::start(&lab, &["127.0.0.0/8"]);
    let (_, created) = lab
        .create(&json!({"to": "+14255550150", "callback_url": sink.url}))
        .await;
    assert_eq!(sink.next().await.json()["type"], "verification.created");
    dialer::play_due(&lab).await;
    let ringing = sink.next().await;
    verify(&ringing);
    assert_eq!(ringing.json()["type"], "verification.ringing");
    let attempt = ringing.json()["data"]["attempts"][0]["id"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    dialer::decide(&lab.store, &lab, attempt, Reason::NoAnswer).await;
    let last = sink.next().await.json();
    assert_eq!(
        (&last["type"], &last["data"]["id"]),
        (&json!("verification.expired"), &created["id"])
    );
    deliveries.stop().await;
}

#[tokio::test]
async fn a_failed_try_is_repeated_with_the_same_id_and_body_and_a_new_timestamp() {
    let lab = lab_with(Subscription::terminal_only()).await;
    let mut sink = Sink::start([Reply::status(500)]).await;
    allow(&lab, &sink);
    let deliveries = Loop::start(&lab, &["127.0.0.0/8"]);
    call(&lab, &sink, "+14255550104").await;
    let (first, second) = (sink.next().await, sink.next().await);
    verify(&second);
    assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
    assert_eq!(first.body, second.body);
    let pause = second.at - first.at;
    assert!(
        pause >= Duration::from_millis(990) && pause < Duration::from_secs(5),
        "{pause:?}"
    );
    deliveries.stop().await;
    let row = lab.get("/v1/webhook-deliveries").await.json()["items"][0].clone();
    assert_eq!((&row["state"], &row["tries"]), (&json!("delivered"), &json!(2)));
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_retry_after_is_honoured() {
    let lab = lab_with(Subscription::terminal_only()).await;
    let target = Sink::start([]).await;
    let redirect = Reply {
        status: 307,
        header: Some(("location", target.url.clone())),
    };
    let busy = Reply {
        status: 503,
        header: Some(("retry-after", "7200".into())),
    };
    let mut sink = Sink::start([redirect, busy]).await;
    allow(&lab, &sink);
    let deliveries = Loop::start(&lab, &["127.0.0.0/8"]);
    let id = call(&lab, &sink, "+14255550104").await;
    sink.next().await;
    sink.next().await;
    deliveries.stop().await;
    let row = lab
        .get(&format!("/v1/webhook-deliveries?verification={id}"))
        .await
        .json()["items"][0]
        .clone();
    assert_eq!((&row["state"], &row["tries"]), (&json!("pending"), &json!(2)));
    assert_eq!(row["last_try"]["error"], "the receiver answered 503");
    let next = UnixMillis::parse_rfc3339(row["next_at"].as_str().unwrap()).unwrap();
    let wait = next.since(lab.now());
    assert!((7190..=7200).contains(&wait.as_secs()), "{wait:?}");
    let mut target = target;
    assert!(target.is_empty(), "a redirect must not be followed");
}

#[tokio::test]
async fn gone_disables_until_it_is_redelivered() {
    let lab = lab_with(Subscription::terminal_only()).await;
    let mut sink = Sink::start([Reply::status(410)]).await;
    allow(&lab, &sink);
    let deliveries = Loop::start(&lab, &["127.0.0.0/8"]);
    let id = call(&lab, &sink, "+14255550104").await;
    let first = sink.next().await;
    let mut row = json!(null);
    while row["state"] != "disabled" {
        row = lab
            .get(&format!("/v1/webhook-deliveries?verification={id}"))
            .await
            .json()["items"][0]
            .clone();
    }
    let event = row["id"].as_str().unwrap();
    assert_eq!(event, first.header("webhook-id"));
    let again = lab
        .post(&format!("/v1/webhook-deliveries/{event}/redeliver"), &json!({}))
        .await;
    assert_eq!(again.status, 202, "{}", again.text);
    let second = sink.next().await;
    assert_eq!((second.header("webhook-id"), &second.body), (event, &first.body));
    deliveries.stop().await;
}

#[tokio::test]
async fn nothing_is_sent_into_a_private_network() {
    let (lab, mut sink) = (
        lab_with(Subscription::terminal_only()).await,
        Sink::start([]).await,
    );
    allow(&lab, &sink);
    let deliveries = Loop::start(&lab, &["10.0.0.0/8"]);
    let id = call(&lab, &sink, "+14255550104").await;
    let mut row = json!(null);
    while row["tries"].as_u64().is_none_or(|tries| tries == 0) {
        row = lab
            .get(&format!("/v1/webhook-deliveries?verification={id}"))
            .await
            .json()["items"][0]
            .clone();
    }
    deliveries.stop().await;
    assert_eq!(
        row["last_try"]["error"],
        "the callback address 127.0.0.1 is loopback and not in webhook.allow_private"
    );
    assert!(sink.is_empty());
}

#[tokio::test]
async fn many_webhooks_share_few_connections_and_all_arrive_once() {
    const CALLS: usize = 200;
    let (lab, mut sink) = (
        lab_with(Subscription::terminal_only()).await,
        Sink::start([]).await,
    );
    allow(&lab, &sink);
    let deliveries = Loop::start(&lab, &["127.0.0.0/8"]);
    for n in 0..CALLS {
        lab.create(&json!({"to": format!("+1425555{:04}", 1000 + n), "callback_url": sink.url}))
            .await;
    }
    let mut played = 0;
    while played < CALLS {
        played += dialer::play_due(&lab).await;
    }
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..CALLS {
        let received = sink.next().await;
        assert!(ids.insert(received.header("webhook-id").to_owned()), "sent twice");
    }
    deliveries.stop().await;
    assert_eq!(lab.store.outbox_pending().await.unwrap(), 0);
}

/// The result of a request is committed with others, some time later: it holds no other request up.
#[tokio::test]
async fn the_next_leaves_when_the_one_before_was_answered_and_not_when_that_is_committed() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/outbox.db", dir.path().display());
    let mut options = StoreOptions::new(url, Arc::new(|_| String::new()));
    // Alone, what nobody waits for would wait for ever.
    options.gather = Duration::from_secs(3600);
    let store = Store::open(options).await.unwrap();
    let mut sink = Sink::start([]).await;
    let mut entropy = Entropy::from_number(5);
    for n in 0..4 {
        let at = UnixMillis(1_000 + n);
        let event = LooseEvent {
            id: EventId::generate(at, &mut entropy),
            kind: EventType::FraudReported,
            profile: "default".into(),
            url: sink.url.clone(),
            body: format!("{{\"n\":{n}}}"),
            at,
        };
        store.enqueue(event).await.unwrap();
    }
    let guard = Guard::new(vec!["127.0.0.0/8".parse().unwrap()]);
    let mut config = WebhookConfig::new(Signer::new([SECRET]).unwrap(), guard);
    config.concurrency_max = 1;
    let deliverer = Deliverer::new(store, config, entropy).unwrap();
    let (_stop, stopped) = watch::channel(false);
    let task = tokio::spawn(deliverer.run(stopped));
    for n in 0..4 {
        let received = tokio::time::timeout(Duration::from_secs(20), sink.next()).await;
        assert_eq!(received.unwrap().json()["n"], n);
    }
    task.abort();
}
