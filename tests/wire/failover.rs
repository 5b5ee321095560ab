//! Two targets of one trunk, the first of them broken: one call, one attempt, one outcome.
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use ringproof::sip::message::{Message, Method, Request, Response};
use serde_json::json;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::house::House;
use super::line::text;

const V: &str = "/v1/verifications";

/// A target that answers OPTIONS with 200, if at all, and an INVITE with `status`, if at all.
struct Broken {
    address: String,
    heard: Arc<Mutex<Vec<Request>>>,
    changed: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Broken {
    async fn start(options: Option<u16>, invite: Option<u16>) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap().to_string();
        let heard: Arc<Mutex<Vec<Request>>> = Arc::default();
        let changed = watch::Sender::new(());
        let (keeps, tells) = (Arc::clone(&heard), changed.clone());
        let task = tokio::spawn(async move {
            let mut buffer = [0; 65_536];
            while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
                let Ok(Message::Request(request)) = Message::parse(&buffer[..len]) else {
                    continue;
                };
                let status = match request.method {
                    Method::Options => options,
                    Method::Invite => invite,
                    _ => None,
                };
                if let Some(status) = status {
                    let mut response = Response::reply_to(&request, status, None).with_to_tag("broken");
                    if status == 503 {
                        response.headers.push("Retry-After", "60");
                    }
                    socket.send_to(&response.to_bytes(), from).await.unwrap();
                }
                keeps.lock().unwrap().push(request);
                tells.send_replace(());
            }
        });
        Self {
            address,
            heard,
            changed,
            task,
        }
    }

    /// Call-IDs of the INVITEs that came.
    fn invites(&self) -> BTreeSet<String> {
        let heard = self.heard.lock().unwrap();
        heard
            .iter()
            .filter(|request| request.method == Method::Invite)
            .map(|request| request.headers.call_id().unwrap().to_owned())
            .collect()
    }

    /// OPTIONS that came, repetitions not counted.
    async fn until_pinged(&self, times: usize) {
        let mut changed = self.changed.subscribe();
        loop {
            changed.borrow_and_update();
            let pings: BTreeSet<String> = {
                let heard = self.heard.lock().unwrap();
                heard
                    .iter()
                    .filter(|request| request.method == Method::Options)
                    .map(|request| request.headers.call_id().unwrap().to_owned())
                    .collect()
            };
            if pings.len() >= times {
                return;
            }
            changed.changed().await.unwrap();
        }
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_says_503_gives_way_within_the_call_and_is_left_alone() {
    let broken = Broken::start(Some(200), Some(503)).await;
    let targets = format!("{} carrier", broken.address);
    let house = House::start_over("", &[("two-targets", Some(&targets))]).await;
    for to in ["+15005550001", "+15005550002"] {
        let created = house.http.create(&json!({"to": to})).await;
        let ended = house.http.ended(text(&created["id"])).await;
        assert_eq!(ended["reason"], "key_confirmed", "{ended}");
        assert_eq!(ended["attempts"].as_array().unwrap().len(), 1, "{ended}");
        let calls = house.carrier.calls_to(to).await;
        assert_eq!(calls.len(), 1);
    }
    // The first call met it; the second one honoured its Retry-After.
    assert_eq!(broken.invites().len(), 1);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_target_costs_one_call_timer_b_and_the_next_ones_nothing() {
    let broken = Broken::start(None, None).await;
    let targets = format!("{} carrier", broken.address);
    let house = House::start_over("t1_ms = 50", &[("two-targets", Some(&targets))]).await;
    for to in ["+15005550001", "+15005550002", "+15005550003"] {
        let created = house.http.create(&json!({"to": to})).await;
        let ended = house.http.ended(text(&created["id"])).await;
        assert_eq!(ended["reason"], "key_confirmed", "{ended}");
        assert_eq!(ended["attempts"].as_array().unwrap().len(), 1, "{ended}");
        assert_eq!(house.carrier.calls_to(to).await.len(), 1);
    }
    assert_eq!(broken.invites().len(), 1);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_target_that_lives_no_call_is_taken_and_the_platform_is_told() {
    let broken = Broken::start(None, None).await;
    let house = House::start_over("", &[("dead", Some(&broken.address))]).await;
    broken.until_pinged(2).await;
    let down = |hooks: &[super::hooks::Hook]| hooks.iter().find(|hook| hook.kind == "trunk.down").cloned();
    let hook = house.hooks.until("trunk.down", down).await;
    assert_eq!(hook.fault, None);
    assert_eq!(hook.body["data"]["trunk"], "dead");
    let refused = house.http.post(V, &json!({"to": "+15005550001"})).await;
    assert_eq!(
        (refused.status.as_u16(), text(&refused.json()["code"])),
        (503, "no_trunk_available")
    );
    assert!(broken.invites().is_empty());
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_is_marked_down_costs_no_call_anything() {
    let broken = Broken::start(Some(503), None).await;
    let targets = format!("{} carrier", broken.address);
    let house = House::start_over("", &[("two-targets", Some(&targets))]).await;
    broken.until_pinged(1).await;
    let created = house.http.create(&json!({"to": "+15005550001"})).await;
    let ended = house.http.ended(text(&created["id"])).await;
    assert_eq!(ended["reason"], "key_confirmed", "{ended}");
    assert!(broken.invites().is_empty());
    house.stop().await;
}
