//! Two targets of one trunk, the first of them broken: what the fault costs each call, one phone that rings, one outcome.
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::broken::Broken;
use super::link::FAIR;
use super::town::{CALLS_PER_S, Setup, Town, is_long};

/// A target that is known to be broken, or that says so, costs a call no more.
const KNOWN_MAX: Duration = Duration::from_secs(4);
/// Timer B (RFC 3261 §17.1.1.2: 64 T1), and what a busy machine adds.
const SILENT_MAX: Duration = Duration::from_millis(32_000 + 1000);

fn calls() -> usize {
    if is_long() { 500 } else { 25 }
}

/// Longer than it takes to ask for all of them.
fn asking() -> Duration {
    Duration::from_secs(u64::try_from(calls().div_ceil(CALLS_PER_S)).unwrap() + 1)
}

/// One in five listens and confirms, the others decline: audio for all of them would load a small machine.
fn callee(n: usize) -> (&'static str, Value) {
    let press = json!({"press": {"digits": "#"}});
    match n % 5 {
        0 => (
            "key_confirmed",
            json!(["ring", "answer", "wait_until_told", press]),
        ),
        _ => (
            "declined",
            json!(["ring", {"wait": {"ms": 300}}, {"reject": {"status": 603}}]),
        ),
    }
}

/// All calls, to their ends: what the callee wanted, by one attempt, one INVITE and one phone. `failed`: since when the first target
/// had cost a call time; `None` where it has not been asked, then it is the request. How many had been there.
async fn play(what: &str, town: &Town, failed: impl Fn(&str) -> Option<Instant>) -> usize {
    let asked = town.call_all().await;
    let ends = town.ended(&asked, Duration::from_secs(120)).await;
    let tally = town.link.tally();
    let (mut costs, mut met) = (Vec::new(), 0);
    for (n, call) in asked.iter().enumerate() {
        let events = &ends[&call.id];
        assert_eq!(events.len(), 1, "{what}: more than one outcome: {events:#?}");
        let end = events.values().next().unwrap();
        assert_eq!(end["reason"], callee(n).0, "{what}: {end:#}");
        assert_eq!(
            end["attempts"].as_array().map(Vec::len),
            Some(1),
            "{what}: {end:#}"
        );
        let rang: Vec<_> = tally
            .calls()
            .filter(|(_, seen)| seen.number == call.number)
            .collect();
        let [(call_id, seen)] = rang[..] else {
            panic!("{what}: expected one call at the carrier, found {rang:#?}");
        };
        assert_eq!(seen.phones.len(), 1, "{what}: {seen:#?}");
        let from = failed(call_id);
        met += usize::from(from.is_some());
        let from = from.unwrap_or(call.at);
        costs.push(seen.invited.unwrap().saturating_duration_since(from));
    }
    costs.sort();
    println!(
        "{what}: {} calls right, {met} of them had been there; cost {:.2} s at least, {:.2} s median, {:.2} s at most",
        costs.len(),
        costs[0].as_secs_f64(),
        costs[costs.len() / 2].as_secs_f64(),
        costs[costs.len() - 1].as_secs_f64()
    );
    let max = if what.starts_with("silent") {
        SILENT_MAX
    } else {
        KNOWN_MAX
    };
    assert!(
        costs[costs.len() - 1] <= max,
        "{what}: {:?}",
        costs[costs.len() - 1]
    );
    met
}

async fn town(host: &str, first_target: &str, trunk: &str) -> Town {
    Town::found(&Setup {
        host,
        first_target: Some(first_target),
        trunk,
        weather: FAIR,
        callees: &(0..calls())
            .map(|n| (format!("+1500556{n:04}"), callee(n).1))
            .collect::<Vec<_>>(),
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_options_found_dead_costs_no_call_four_seconds() {
    let broken = Broken::silent().await;
    let mut town = town("127.0.2.1", &format!("sip:{}", broken.address), "options_s = 30").await;
    // Missed twice: it is down.
    town.logged("OPTIONS was not answered").await;
    town.logged("OPTIONS was not answered").await;
    play("marked down by OPTIONS", &town, |_| None).await;
    let (came, _) = broken.times();
    assert!(came.is_empty(), "calls went to it: {came:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_target_that_nobody_knows_of_costs_each_call_timer_b() {
    let broken = Broken::silent().await;
    let town = town("127.0.2.2", &format!("sip:{}", broken.address), "options_s = 0").await;
    let met = play("silent and undetected", &town, |call_id| {
        broken.times().0.get(call_id).copied()
    })
    .await;
    assert_eq!(
        met,
        calls(),
        "every call was asked for before the first one had given up"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_says_503_gives_way_at_once() {
    let broken = Broken::unavailable(asking()).await;
    let town = town("127.0.2.3", &format!("sip:{}", broken.address), "options_s = 0").await;
    let met = play("503", &town, |call_id| broken.times().1.get(call_id).copied()).await;
    assert_eq!(
        met,
        calls(),
        "every call was asked for before the first one was told"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_reset_under_all_calls_sends_each_to_the_next_target() {
    let broken = Broken::resets_after(calls()).await;
    let first = format!("sip:{};transport=tcp", broken.address);
    let town = town("127.0.2.4", &first, "options_s = 0").await;
    let met = play("connection reset", &town, |call_id| {
        broken.times().1.get(call_id).copied()
    })
    .await;
    assert_eq!(met, calls(), "every call was on the connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_refuses_connections_costs_no_call_four_seconds() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let first = format!("sip:{};transport=tcp", listener.local_addr().unwrap());
    drop(listener);
    let town = town("127.0.2.5", &first, "options_s = 0").await;
    play("connection refused", &town, |_| None).await;
}
