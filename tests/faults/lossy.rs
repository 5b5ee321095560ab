//! Calls over a link that loses a tenth of all datagrams, doubles a tenth and lets each take up to 50 ms: the outcomes are
//! those of a good link, no phone rings twice, and every 2xx is acknowledged.
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::link::Weather;
use super::town::{Setup, Town, is_long};

const BAD: Weather = Weather {
    lost_per_mille: 100,
    doubled_per_mille: 100,
    delay_max: Duration::from_millis(50),
    seed: 10,
};

/// What the callee does, and what that is.
fn callee(n: usize) -> (&'static str, Value) {
    let press = json!({"press": {"digits": "#"}});
    match n % 10 {
        0 => ("busy", json!([{"reject": {"status": 486}}])),
        1 => (
            "declined",
            json!(["ring", {"wait": {"ms": 300}}, {"reject": {"status": 603}}]),
        ),
        2 => ("no_answer", json!(["ring"])),
        3 => ("not_allocated", json!([{"reject": {"status": 404}}])),
        4 | 5 => ("hung_up", json!(["ring", "answer", "wait_until_told", "hang_up"])),
        _ => (
            "key_confirmed",
            json!(["ring", {"wait": {"ms": 500}}, "answer", "wait_until_told", press]),
        ),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_link_changes_no_outcome_and_rings_no_phone_twice() {
    let calls = if is_long() { 5000 } else { 100 };
    let callees: Vec<(String, Value)> = (0..calls)
        .map(|n| (format!("+1500557{n:04}"), callee(n).1))
        .collect();
    let town = Town::found(&Setup {
        host: "127.0.2.6",
        first_target: None,
        trunk: "",
        weather: BAD,
        callees: &callees,
    })
    .await;
    let began = Instant::now();
    let asked = town.call_all().await;
    let ends = town.ended(&asked, Duration::from_secs(150)).await;
    let tally = town.link.tally();
    let (mut wrong, mut came): (Vec<Value>, BTreeMap<&str, usize>) = (Vec::new(), BTreeMap::new());
    let (mut answers, mut unsettled) = (0, 0);
    for (n, call) in asked.iter().enumerate() {
        let events = &ends[&call.id];
        assert_eq!(events.len(), 1, "more than one outcome: {events:#?}");
        let end = events.values().next().unwrap();
        let wanted = callee(n).0;
        let rang = tally.to(&call.number);
        if end["reason"] == wanted {
            *came.entry(wanted).or_default() += 1;
        } else {
            wrong.push(json!({"wanted": wanted, "found": end}));
        }
        assert!(rang.len() <= 1, "called twice: {rang:#?}");
        for seen in rang {
            assert!(seen.phones.len() <= 1, "rang twice: {seen:#?}");
            assert!(
                seen.answered.is_subset(&seen.acknowledged),
                "not acknowledged: {seen:#?}"
            );
            answers += seen.answered.len();
            unsettled += seen.unsettled();
        }
    }
    let counted = town.link.counted();
    println!(
        "lossy link: {} of {calls} right ({came:?}), {answers} answers all acknowledged ({unsettled} by an ACK that was lost before the BYE), no phone rang twice; {counted:?}; {:.0} s",
        calls - wrong.len(),
        began.elapsed().as_secs_f64()
    );
    for wrong in &wrong {
        println!("wrong: {wrong:#}");
    }
    // One in a thousand; of few calls, one.
    assert!(
        wrong.len() <= (calls / 1000).max(1),
        "{} of {calls} are wrong",
        wrong.len()
    );
}
