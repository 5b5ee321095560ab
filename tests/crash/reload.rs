//! SIGHUP: trunks and profiles change under a live call; a broken file changes nothing.
use serde_json::{Value, json};

use super::server::{Server, Town};
use crate::line::{Carrier, text, voices};

const TAKEN: &str = "SIGHUP: configuration reloaded: ";
const NOT_TAKEN: &str = "the server goes on as it was";

fn confirms(ring_ms: u64) -> Value {
    let press = json!({"press": {"digits": "#"}});
    json!(["ring", {"wait": {"ms": ring_ms}}, "answer", "wait_until_told", press])
}

async fn place(server: &Server, to: &str) -> Value {
    server.http.create(&json!({"to": to})).await
}

/// By this carrier alone, and approved.
async fn approved_over(server: &Server, call: &Value, to: &str, carrier: &Carrier, other: &Carrier) {
    let ended = server.http.ended(text(&call["id"])).await;
    assert_eq!(ended["reason"], "key_confirmed", "{ended}");
    assert_eq!(carrier.calls_to(to).await.len(), 1);
    assert_eq!(other.calls_to(to).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trunk_and_profile_change_while_a_call_lives() {
    let town = Town::found("max_calls = 1").await;
    let second = Carrier::start(voices()).await;
    let (server, mut log) = town.serve_heard();
    let numbers = ["+15005555001", "+15005555002", "+15005555003"];
    town.carrier.callee(numbers[0], confirms(3000)).await;
    for to in &numbers[1..] {
        second.callee(to, confirms(0)).await;
    }
    let live = place(&server, numbers[0]).await;
    server.http.stage(text(&live["id"]), "ringing").await;

    town.rewrite(&town.carrier.sip.to_string(), &second.sip.to_string());
    town.rewrite("cps = 1000.0\nmax_calls = 1\n", "cps = 40.0\nmax_calls = 2\n");
    town.rewrite("brand = \"Contoso\"", "brand = \"Fabrikam\"");
    town.rewrite("udp:127.0.0.1:0", "udp:127.0.0.2:0");
    town.rewrite("crash.db", "other.db");
    server.ask_to_reload();
    let told = log.until(TAKEN).await;
    assert!(
        told.contains("SIGHUP: needs a restart: sip.listen, store.url\n"),
        "{told}"
    );
    let trunk = "trunk.simulated-carrier";
    let changed = format!("{TAKEN}profile.default.brand, {trunk}.cps, {trunk}.max_calls, {trunk}.targets\n");
    assert!(told.contains(&changed), "{told}");

    // Beside the live call, for which alone there was room before; then what the live call began with ends it.
    let next = place(&server, numbers[1]).await;
    assert_eq!(
        (&live["brand"], &next["brand"]),
        (&json!("Contoso"), &json!("Fabrikam"))
    );
    approved_over(&server, &next, numbers[1], &second, &town.carrier).await;
    approved_over(&server, &live, numbers[0], &town.carrier, &second).await;

    // The same file again: what waits for a restart is told again, and nothing else.
    server.ask_to_reload();
    let told = log.until(TAKEN).await;
    assert!(
        told.contains("needs a restart: sip.listen, store.url\n"),
        "{told}"
    );
    assert!(
        told.contains(&format!("{TAKEN}nothing in it has changed")),
        "{told}"
    );
    let last = place(&server, numbers[2]).await;
    approved_over(&server, &last, numbers[2], &second, &town.carrier).await;
    server.kill();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_file_changes_nothing_and_every_problem_is_told() {
    let town = Town::found("max_calls = 50").await;
    let second = Carrier::start(voices()).await;
    let (server, mut log) = town.serve_heard();
    let numbers = ["+15005555011", "+15005555012"];
    for to in numbers {
        town.carrier.callee(to, confirms(0)).await;
    }
    // What is right in it would move every call.
    town.rewrite(&town.carrier.sip.to_string(), &second.sip.to_string());
    town.rewrite("brand = \"Contoso\"", "brand = \"Fabrikam\"\nlocal = \"en-US\"");
    town.rewrite("cps = 1000.0", "cps = \"fast\"");
    server.ask_to_reload();
    let told = log.until(NOT_TAKEN).await;
    for wanted in [
        "trunk.simulated-carrier.cps: expected a number, found a string",
        "profile.default.local: unknown key; did you mean locale?",
        "has 2 problem(s)",
    ] {
        assert!(told.contains(wanted), "{wanted} not in\n{told}");
    }
    assert!(!told.contains(TAKEN), "{told}");
    let call = place(&server, numbers[0]).await;
    assert_eq!(call["brand"], "Contoso");
    approved_over(&server, &call, numbers[0], &town.carrier, &second).await;

    // Well written, but a part would refuse it: there are no such prompts.
    town.rewrite("\nlocal = \"en-US\"", "\nlocale = \"xx\"");
    town.rewrite("cps = \"fast\"", "cps = 1000.0");
    server.ask_to_reload();
    let told = log.until(NOT_TAKEN).await;
    assert!(
        told.contains("profile.default.locale: expected a language of which there are prompts"),
        "{told}"
    );
    let call = place(&server, numbers[1]).await;
    assert_eq!(call["brand"], "Contoso");
    approved_over(&server, &call, numbers[1], &town.carrier, &second).await;
    server.kill();
}
