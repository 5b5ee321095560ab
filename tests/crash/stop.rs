//! SIGTERM: live calls finish, new ones are refused, the process ends well.
use serde_json::json;

use super::server::Town;
use crate::line::text;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminated_server_finishes_its_calls_and_exits_0() {
    let town = Town::found("max_calls = 50").await;
    let server = town.serve();
    let mut placed = Vec::new();
    for n in 0..10 {
        let to = format!("+1500555{}", 4000 + n);
        let press = json!({"press": {"digits": "#"}});
        town.carrier
            .callee(
                &to,
                json!(["ring", {"wait": {"ms": 1000}}, "answer", "wait_until_told", press]),
            )
            .await;
        let body = json!({"to": to, "callback_url": town.hooks.url});
        let id = text(&server.http.create(&body).await["id"]).to_owned();
        placed.push((to, id));
    }
    for (_, id) in &placed {
        server.http.stage(id, "ringing").await;
    }
    server.ask_to_stop();
    let late = json!({"to": "+15005554999", "callback_url": town.hooks.url});
    let refused = loop {
        // The signal is on its way: until it has come, the number is nobody's and the call fails at once.
        let answer = server.http.post("/v1/verifications", &late).await;
        if answer.status != 201 && answer.status != 409 {
            break answer;
        }
    };
    assert_eq!(refused.status, 503, "{}", refused.text);
    assert_eq!(refused.json()["code"], "shutting_down");
    for (to, id) in &placed {
        let hook = town.hooks.terminal(id).await;
        assert_eq!(hook.kind, "verification.approved", "{to}: {}", hook.body);
        assert_eq!(town.hooks.terminal_ids(id).len(), 1);
        assert_eq!(town.carrier.calls_to(to).await.len(), 1);
    }
    let status = server.exit().await;
    assert_eq!(status.code(), Some(0));
    // Nothing is left for the next life to do.
    let next = town.serve();
    for (_, id) in &placed {
        assert_eq!(next.http.read(id).await["reason"], "key_confirmed");
    }
    next.kill();
}
