//! A server that may open few files counts them: no call that it has taken meets the limit.
use serde_json::json;

use super::server::Town;
use crate::line::text;

const V: &str = "/v1/verifications";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_its_files_the_next_call_is_refused_with_the_reason() {
    let town = Town::found("max_calls = 50").await;
    // Beside the reserve there are eight: four calls.
    let server = town.serve_with_files(72);
    let mut placed = Vec::new();
    for n in 0..5 {
        let to = format!("+1500555{}", 5000 + n);
        let press = json!({"press": {"digits": "#"}});
        let steps = json!(["ring", {"wait": {"ms": 1500}}, "answer", "wait_until_told", press]);
        town.carrier.callee(&to, steps).await;
        let body = json!({"to": to, "callback_url": town.hooks.url});
        placed.push(server.http.post(V, &body).await);
    }
    let refused = placed.pop().unwrap();
    assert_eq!(refused.status, 503, "{}", refused.text);
    assert_eq!(refused.json()["code"], "overloaded");
    assert!(refused.text.contains("files"), "{}", refused.text);
    for answer in placed {
        assert_eq!(answer.status, 201, "{}", answer.text);
        let id = text(&answer.json()["id"]).to_owned();
        let hook = town.hooks.terminal(&id).await;
        assert_eq!(hook.kind, "verification.approved", "{}", hook.body);
    }
    server.kill();
}
