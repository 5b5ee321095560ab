//! `kill -9` in every state of a call, over one store that is never repaired in between.
//!
//! After each life: every verification that was accepted is final, with one outcome that does not change; every
//! number was called by at most one INVITE (one Call-ID); every verification has one terminal event id.
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::server::{Server, Town};
use crate::hooks::Mood;
use crate::line::text;

/// SAFETY §2: each call is final so soon after the restart.
const FINAL_WITHIN: Duration = Duration::from_secs(60);

/// Where the server stands when it is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Accepted, not claimed: the trunk is full.
    Queued,
    /// The INVITE has left; nothing came back.
    Dialing,
    Ringing,
    EarlyMedia,
    /// The 2xx has come; the first word has not been said.
    Answered,
    Prompting,
    /// The key was pressed and the outcome committed; the goodbye plays.
    Decided,
    /// Canceled by the client while it rings: the CANCEL may have left or not.
    Canceling,
    /// Ended; the receiver of webhooks says 503.
    WebhookRefused,
    /// Ended; the receiver took the webhook, its 200 was lost.
    WebhookSwallowed,
}

impl At {
    const ALL: [Self; 10] = [
        Self::Queued,
        Self::Dialing,
        Self::Ringing,
        Self::EarlyMedia,
        Self::Answered,
        Self::Prompting,
        Self::Decided,
        Self::Canceling,
        Self::WebhookRefused,
        Self::WebhookSwallowed,
    ];

    fn steps(self) -> Value {
        let confirms = json!(["ring", "answer", "wait_until_told", {"press": {"digits": "#"}}]);
        match self {
            Self::Queued => json!(["ring", {"reject": {"status": 603}}]),
            Self::Dialing => json!(["silent"]),
            Self::Ringing | Self::Canceling => json!(["ring"]),
            Self::EarlyMedia => json!([{"early_media": {"ms": 60_000}}]),
            Self::Answered | Self::Prompting | Self::Decided => confirms,
            Self::WebhookRefused | Self::WebhookSwallowed => json!([{"reject": {"status": 486}}]),
        }
    }

    /// What the platform may be told in the end.
    fn outcomes(self) -> &'static [&'static str] {
        const UNKNOWN: &str = "failed/unknown_after_crash";
        match self {
            Self::Queued => &["denied/declined"],
            Self::Dialing | Self::Ringing | Self::EarlyMedia | Self::Answered | Self::Prompting => &[UNKNOWN],
            Self::Decided => &["approved/key_confirmed"],
            Self::Canceling => &["canceled/by_client", UNKNOWN],
            Self::WebhookRefused | Self::WebhookSwallowed => &["failed/busy"],
        }
    }
}

/// One verification and what is known of it.
struct Placed {
    id: String,
    to: String,
    at: At,
    /// Status and reason, once they were read from the API: they may not change.
    seen: Option<String>,
}

/// Brings one call into the state; the number is new in every run.
async fn place(town: &Town, server: &Server, at: At, run: usize) -> Placed {
    let to = format!("+1500555{}", 3000 + run);
    town.carrier.callee(&to, at.steps()).await;
    town.hooks.mood(match at {
        At::WebhookRefused => Mood::Refuse,
        At::WebhookSwallowed => Mood::Swallow,
        _ => Mood::Accept,
    });
    let http = &server.http;
    let body = json!({"to": to, "callback_url": town.hooks.url});
    let id = text(&http.create(&body).await["id"]).to_owned();
    let mut seen = None;
    match at {
        // The trunk is full: see `fill`.
        At::Queued => {}
        At::Dialing => drop(town.carrier.wait(&to, "ringing").await),
        At::Ringing => drop(http.stage(&id, "ringing").await),
        At::EarlyMedia => drop(http.stage(&id, "early_media").await),
        At::Answered => drop(town.carrier.wait(&to, "answered").await),
        At::Prompting => drop(http.stage(&id, "prompting").await),
        At::Decided => seen = Some(outcome(&http.ended(&id).await)),
        At::Canceling => {
            http.stage(&id, "ringing").await;
            let path = format!("/v1/verifications/{id}/cancel");
            let answer = http.post(&path, &json!({})).await;
            assert!(answer.status.is_success(), "{}", answer.text);
        }
        At::WebhookRefused | At::WebhookSwallowed => {
            seen = Some(outcome(&http.ended(&id).await));
            let came = |h: &&crate::hooks::Hook| h.verification == id && h.is_terminal();
            town.hooks
                .until("a first try", |all| all.iter().find(came).map(|_| ()))
                .await;
        }
    }
    Placed { id, to, at, seen }
}

fn outcome(view: &Value) -> String {
    format!("{}/{}", text(&view["status"]), text(&view["reason"]))
}

/// What the next life must show of a call that the last one left behind.
async fn check(town: &Town, server: &Server, placed: &mut Placed, restarted: Instant) {
    let name = format!("{:?} {}", placed.at, placed.to);
    let ended = server.http.ended(&placed.id).await;
    assert!(
        restarted.elapsed() < FINAL_WITHIN,
        "{name}: {:?}",
        restarted.elapsed()
    );
    let found = outcome(&ended);
    assert!(
        placed.at.outcomes().contains(&found.as_str()),
        "{name}: {found}: {ended}"
    );
    if let Some(seen) = &placed.seen {
        assert_eq!(*seen, found, "{name}: an outcome changed");
    }
    placed.seen = Some(found.clone());
    let hook = town.hooks.terminal(&placed.id).await;
    assert_eq!(hook.fault, None, "{name}");
    assert_eq!(outcome(&hook.body["data"]), found, "{name}");
}

/// After all lives: nothing has been doubled, lost or changed.
async fn check_all(town: &Town, server: &Server, all: &[Placed]) {
    for placed in all {
        let name = format!("{:?} {}", placed.at, placed.to);
        let view = server.http.read(&placed.id).await;
        assert_eq!(placed.seen.as_deref(), Some(outcome(&view).as_str()), "{name}");
        assert_eq!(view["attempts"].as_array().map(Vec::len), Some(1), "{name}");
        assert_eq!(town.hooks.terminal_ids(&placed.id).len(), 1, "{name}");
        let accepted = town
            .hooks
            .of(&placed.id)
            .into_iter()
            .filter(|h| h.accepted)
            .count();
        // Killed between the platform's 200 and its commit, the next life sends the same event once more.
        let most = if placed.at == At::Decided { 2 } else { 1 };
        assert!(
            (1..=most).contains(&accepted),
            "{name}: accepted {accepted} times"
        );
        let calls = town.carrier.calls_to(&placed.to).await;
        let call_ids: BTreeSet<&str> = calls.iter().map(|c| text(&c["call_id"])).collect();
        assert_eq!(call_ids.len(), 1, "{name}: rung by {call_ids:?}");
        assert_eq!(view["attempts"][0]["call_id"], calls[0]["call_id"], "{name}");
    }
    let faults = town.hooks.all().into_iter().filter(|h| h.fault.is_some());
    assert_eq!(faults.count(), 0);
}

/// Lives and deaths: 10 states, once each; `RINGPROOF_LONG=1` ten times each.
fn runs() -> usize {
    let long = std::env::var("RINGPROOF_LONG").is_ok_and(|v| v == "1");
    At::ALL.len() * if long { 10 } else { 1 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_outcome_is_lost_or_doubled_and_no_phone_rings_twice() {
    // One call at a time: the second of two waits in the queue.
    let town = Town::found("max_calls = 1").await;
    let mut server = town.serve();
    let mut all: Vec<Placed> = Vec::new();
    let began = Instant::now();
    for run in 0..runs() {
        let at = At::ALL[run % At::ALL.len()];
        let mut now = Vec::new();
        if at == At::Queued {
            // The only line is taken by a phone that rings.
            now.push(place(&town, &server, At::Ringing, 2 * run + 1).await);
        }
        now.push(place(&town, &server, at, 2 * run).await);
        server.kill();
        town.hooks.mood(Mood::Accept);
        let restarted = Instant::now();
        server = town.serve();
        for placed in &mut now {
            check(&town, &server, placed, restarted).await;
        }
        all.extend(now);
    }
    check_all(&town, &server, &all).await;
    println!(
        "{} lives ended by SIGKILL, {} verifications, {:.0} s",
        runs(),
        all.len(),
        began.elapsed().as_secs_f32()
    );
    server.kill();
}
