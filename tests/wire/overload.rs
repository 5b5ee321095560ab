//! More calls than the server has ports for: the next one is refused at once with the reason, the others go on.
use futures_util::future::join_all;
use serde_json::json;

use super::house::House;
use super::line::text;

const V: &str = "/v1/verifications";
/// 100 pairs for more calls than that, which the trunk's rate of 50 a second lets wait for seconds.
const PACED: (&str, &str) = ("47000-48999", "27200-27399");
/// Two pairs, which no other test takes.
const PORTS: (&str, &str) = ("47000-48999", "27100-27103");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_burst_over_the_ports_as_many_are_taken_as_there_are_and_all_of_them_end_well() {
    let house = House::start_edited(PORTS.0, PORTS.1).await;
    let numbers: Vec<String> = (0..6).map(|n| format!("+150055540{n:02}")).collect();
    for to in &numbers {
        let press = json!({"press": {"digits": "#"}});
        let steps = json!(["ring", {"wait": {"ms": 500}}, "answer", "wait_until_told", press]);
        house.carrier.callee(to, steps).await;
    }
    let bodies: Vec<_> = numbers
        .iter()
        .map(|to| json!({"to": to, "callback_url": house.hooks.url}))
        .collect();
    let answers = join_all(bodies.iter().map(|body| house.http.post(V, body))).await;
    let (taken, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
    assert_eq!(
        (taken.len(), refused.len()),
        (2, 4),
        "{:?}",
        answers.iter().map(|a| &a.text).collect::<Vec<_>>()
    );
    for answer in refused {
        assert_eq!(answer.status, 503, "{}", answer.text);
        assert_eq!(answer.json()["code"], "overloaded");
        assert!(answer.text.contains("RTP ports"), "{}", answer.text);
    }
    for answer in taken {
        let ended = house.http.ended(text(&answer.json()["id"])).await;
        assert_eq!(ended["reason"], "key_confirmed", "{ended}");
        assert_eq!(ended["attempts"].as_array().map(Vec::len), Some(1));
    }
    // Their ports are free again: the next one is taken.
    let next = json!({"to": "+15005550001", "callback_url": house.hooks.url});
    let id = loop {
        let answer = house.http.post(V, &next).await;
        if answer.status == 201 {
            break text(&answer.json()["id"]).to_owned();
        }
        assert_eq!(answer.status, 503, "{}", answer.text);
    };
    assert_eq!(house.http.ended(&id).await["reason"], "key_confirmed");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_the_trunks_rate_keeps_no_port_from_others() {
    let house = House::start_edited(PACED.0, PACED.1).await;
    let numbers: Vec<String> = (0..115).map(|n| format!("+1500556{n:04}")).collect();
    let rings = json!(["ring", {"wait": {"ms": 30_000}}]);
    join_all(numbers.iter().map(|to| house.carrier.callee(to, rings.clone()))).await;
    let bodies: Vec<_> = numbers
        .iter()
        .map(|to| json!({"to": to, "callback_url": house.hooks.url}))
        .collect();
    let (first, later) = bodies.split_at(90);
    for answer in join_all(first.iter().map(|body| house.http.post(V, body))).await {
        assert_eq!(answer.status, 201, "{}", answer.text);
    }
    // Some ring by now, and with these more are there than ports.
    house.carrier.wait(&numbers[0], "ringing").await;
    for body in later {
        let answer = house.http.post(V, body).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
    }
    house.stop().await;
}
