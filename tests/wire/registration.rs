//! Trunks that know us by a login: registered at the simulated carrier, on the wire of loopback.
use std::time::Duration;

use ringproof::sim::RegistrarRules;
use ringproof::sip::message::Request;
use serde_json::{Value, json};

use tokio::net::TcpListener;

use super::house::House;
use super::line::{Carrier, Http, text};
use super::registrar::{Datagrams, Flow, granted};

const LOGIN: &str = "auth = { username = \"u\", password = \"right\" }";
const V: &str = "/v1/verifications";

fn rules(min_expires_s: u32) -> RegistrarRules {
    RegistrarRules {
        username: Some("u".to_owned()),
        password: "right".to_owned(),
        min_expires_s,
        max_expires_s: 3600,
    }
}

/// The bindings, once `liked` likes them: read again after each look, which the carrier answers at once.
async fn until(carrier: &Carrier, what: &str, liked: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let search = async {
        let mut every = tokio::time::interval(Duration::from_millis(20));
        loop {
            every.tick().await;
            let found = carrier.http.get("/sim/registrations").await.ok();
            let found = found["registrations"].as_array().unwrap().clone();
            if liked(&found) {
                return found;
            }
        }
    };
    match tokio::time::timeout(Duration::from_secs(60), search).await {
        Ok(found) => found,
        Err(_) => panic!("not {what}"),
    }
}

async fn confirm(http: &Http, number: &str) -> Value {
    let made = http
        .create(&json!({"to": number, "method": "press_key", "profile": "default"}))
        .await;
    http.ended(made["id"].as_str().unwrap()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_registers_with_a_login_and_its_calls_carry_the_service_route() {
    // The carrier wants longer than the trunk asks: 401, then 423, then 200.
    let lines = format!("{LOGIN}\nregister = {{ expires_s = 60 }}");
    let house = House::start_registering(rules(600), &lines).await;
    let found = until(&house.carrier, "bound", |found| found.len() == 1).await;
    assert_eq!(found[0]["expires_s"], 600, "{found:?}");
    assert_eq!(found[0]["aor"], "sip:u@127.0.0.1", "{found:?}");
    let view = confirm(&house.http, "+15005550001").await;
    assert_eq!(view["status"], "approved", "{view}");
    let call = house.carrier.wait("+15005550001", "ended").await;
    let route = format!("Route: <sip:{};lr>", house.carrier.sip);
    assert!(call.to_string().contains(&route), "no {route} in {call}");
    let carrier = house.stop_but_carrier().await;
    until(&carrier, "gone after the stop", <[Value]>::is_empty).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_that_is_refused_carries_no_calls_and_without_another_none_is_taken() {
    let lines = "auth = { username = \"u\", password = \"wrong\" }\nregister = true";
    let house = House::start_registering(rules(1), lines).await;
    // What was taken before the registrar had answered waits for its word.
    for last in 1..10 {
        let to = format!("+1500555000{last}");
        let made = house
            .http
            .post(V, &json!({"to": to, "method": "press_key", "profile": "default"}))
            .await;
        if made.status.as_u16() == 503 {
            assert_eq!(made.json()["code"], "no_trunk_available");
            assert!(house.carrier.calls_to(&to).await.is_empty());
            house.stop().await;
            return;
        }
        let made = made.json();
        let view = house.http.ended(made["id"].as_str().unwrap()).await;
        assert_eq!(
            (&view["status"], &view["reason"]),
            (&json!("failed"), &json!("trunk_down")),
            "{view}"
        );
        assert!(house.carrier.calls_to(&to).await.is_empty());
    }
    panic!("calls are taken without a trunk");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_binds_moves_and_unbinds() {
    let lines = format!("{LOGIN}\nregister = false");
    let mut house = House::start_registering(rules(1), &lines).await;
    let view = confirm(&house.http, "+15005550001").await;
    assert_eq!(view["status"], "approved", "{view}");
    let found = house.carrier.http.get("/sim/registrations").await.ok();
    assert_eq!(found["registrations"], json!([]));

    house
        .reload("register = false", "register = { contact_user = \"one\" }")
        .await;
    let bound_as = |user: &'static str| {
        move |found: &[Value]| {
            found.len() == 1 && text(&found[0]["contact"]).starts_with(&format!("sip:{user}@"))
        }
    };
    until(&house.carrier, "bound as one", bound_as("one")).await;
    // As another user: the first binding is taken away, and calls go on.
    house
        .reload("contact_user = \"one\"", "contact_user = \"two\"")
        .await;
    until(&house.carrier, "bound as two alone", bound_as("two")).await;
    let view = confirm(&house.http, "+15005550002").await;
    assert_eq!(view["status"], "approved", "{view}");

    house
        .reload("register = { contact_user = \"two\" }", "register = false")
        .await;
    until(&house.carrier, "unbound", <[Value]>::is_empty).await;
    let view = confirm(&house.http, "+15005550003").await;
    assert_eq!(view["status"], "approved", "{view}");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_waits_for_the_binding_where_there_is_no_other_trunk() {
    let registrar = Datagrams::start().await;
    let lines = format!(
        "register = {{ registrar = \"sip:{}\", aor = \"sip:u@127.0.0.1\" }}",
        registrar.address()
    );
    let house = House::start_registering(rules(1), &lines).await;
    let to = "+15005550001";
    let (register, us) = registrar.request(None).await;
    let made = house.http.create(&json!({"to": to})).await;
    // Its answer comes from the loop that would have dialled.
    let other = house.http.create(&json!({"to": "+15005550002"})).await;
    assert_eq!(
        (&made["stage"], &other["stage"]),
        (&json!("queued"), &json!("queued"))
    );
    assert!(house.carrier.calls_to(to).await.is_empty());
    registrar.send(&granted(&register).to_bytes(), us).await;
    for made in [made, other] {
        let ended = house.http.ended(text(&made["id"])).await;
        assert_eq!(ended["status"], "approved", "{ended}");
    }
    let (_, leaves) = tokio::join!(house.stop(), async {
        let (leaves, us) = registrar.request(Some(&register)).await;
        registrar.send(&granted(&leaves).to_bytes(), us).await;
        leaves
    });
    assert_eq!(leaves.headers.get("Expires"), Some("0"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_takes_the_next_trunk_while_the_first_is_not_registered() {
    let registrar = Datagrams::start().await;
    let house = House::start_registering_by(rules(1), |carrier| {
        format!(
            "targets = [\"sip:{carrier}\"]\nregister = {{ registrar = \"sip:{registrar}\", aor = \"sip:u@127.0.0.1\" }}\n\
             caller_id = {{ default = \"+18005550199\" }}\n\
             [[trunk]]\nname = \"second\"\ntargets = [\"sip:{carrier}\"]",
            carrier = carrier.sip,
            registrar = registrar.address(),
        )
    })
    .await;
    let (register, us) = registrar.request(None).await;
    let view = confirm(&house.http, "+15005550001").await;
    assert_eq!(
        (text(&view["status"]), text(&view["attempts"][0]["trunk"])),
        ("approved", "second")
    );
    registrar.send(&granted(&register).to_bytes(), us).await;
    // Which call is the first after the answer only the server knows.
    for n in 2..60 {
        let view = confirm(&house.http, &format!("+150055500{n:02}")).await;
        if view["attempts"][0]["trunk"] == "first" {
            house.stop().await;
            return;
        }
    }
    panic!("the first trunk stays closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_registers_over_tcp_and_over_tls() {
    for is_tls in [false, true] {
        let house = House::start_registering_by(rules(1), |carrier| {
            let way = match is_tls {
                false => format!("targets = [\"sip:{};transport=tcp\"]", carrier.sip),
                true => format!(
                    "targets = [\"sip:{};transport=tls\"]\ntls_name = \"sip.carrier.example\"\ntls = {{ ca_file = \"{}\" }}",
                    carrier.sip_tls,
                    carrier.ca_file.display()
                ),
            };
            format!("{way}\n{LOGIN}\nregister = true")
        })
        .await;
        let found = until(&house.carrier, "bound", |found| found.len() == 1).await;
        let contact = text(&found[0]["contact"]);
        let transport = if is_tls {
            ";transport=tls"
        } else {
            ";transport=tcp"
        };
        assert!(contact.ends_with(transport), "{contact}");
        let view = confirm(&house.http, "+15005550001").await;
        assert_eq!(view["status"], "approved", "{view}");
        let carrier = house.stop_but_carrier().await;
        until(&carrier, "gone after the stop", <[Value]>::is_empty).await;
    }
}

/// A request of the carrier, as it follows the binding.
fn comes_in(method: &str, contact: &str) -> String {
    format!(
        "{method} {contact} SIP/2.0\r\n\
         Via: SIP/2.0/TCP 127.0.0.1:5060;branch=z9hG4bKin{method}\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:somebody@127.0.0.1>;tag=1\r\n\
         To: <sip:u@127.0.0.1>\r\n\
         Call-ID: in-{method}@carrier\r\n\
         CSeq: 1 {method}\r\n\
         Contact: <sip:somebody@127.0.0.1:5060;transport=tcp>\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_come_in_over_the_registered_connection_are_answered_on_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    let house = House::start_registering_by(rules(1), |_| {
        format!("targets = [\"sip:{target};transport=tcp\"]\noptions_s = 0\n{LOGIN}\nregister = true")
    })
    .await;
    let mut flow = Flow::accept(&listener).await;
    let register = flow.request().await;
    let contacts = register.headers.contacts().unwrap();
    flow.send(&granted(&register).to_bytes()).await;
    for (method, status) in [("OPTIONS", 200), ("INVITE", 603)] {
        flow.send(comes_in(method, &contacts[0].uri.to_string()).as_bytes())
            .await;
        let answer = flow.response().await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.headers.cseq().unwrap().method.as_str(), method);
    }
    let (_, leaves) = tokio::join!(house.stop(), async {
        let leaves = flow.request().await;
        flow.send(&granted(&leaves).to_bytes()).await;
        leaves
    });
    assert_eq!(leaves.headers.get("Expires"), Some("0"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_made_anew_binds_its_own_port_instead_of_the_old_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    let house = House::start_registering_by(rules(1), |_| {
        format!("targets = [\"sip:{target};transport=tcp\"]\noptions_s = 0\n{LOGIN}\nregister = true")
    })
    .await;
    let for_seconds = |register: &Request| {
        let mut response = granted(register);
        let contact = register
            .headers
            .get("Contact")
            .unwrap()
            .replace("expires=300", "expires=5");
        response.headers.set("Contact", contact);
        response.to_bytes()
    };
    let mut first = Flow::accept(&listener).await;
    let register = first.request().await;
    let bound = register.headers.contacts().unwrap();
    assert_eq!(
        bound[0].uri.port(),
        Some(first.port()),
        "no listener: the connection's own"
    );
    first.send(&for_seconds(&register)).await;
    drop(first);
    let mut second = Flow::accept(&listener).await;
    let again = second.request().await;
    let contacts = again.headers.contacts().unwrap();
    assert_eq!(contacts[0].uri.port(), Some(second.port()));
    assert_eq!(
        (&contacts[1].uri, contacts[1].params.get("expires")),
        (&bound[0].uri, Some("0"))
    );
    second.send(&for_seconds(&again)).await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_nat_the_address_that_the_registrar_sees_is_bound() {
    let registrar = Datagrams::start().await;
    let lines = format!(
        "register = {{ registrar = \"sip:{}\", aor = \"sip:u@127.0.0.1\" }}",
        registrar.address()
    );
    let house = House::start_registering(rules(1), &lines).await;
    let (first, us) = registrar.request(None).await;
    let as_seen = |request: &Request| {
        let mut response = granted(request);
        response.headers.stamp_source("127.0.0.9:40123".parse().unwrap());
        response.to_bytes()
    };
    registrar.send(&as_seen(&first), us).await;
    let (second, _) = registrar.request(Some(&first)).await;
    let contacts = second.headers.contacts().unwrap();
    assert_eq!(contacts[0].uri.to_string(), "sip:u@127.0.0.9:40123");
    assert_eq!(contacts[1].uri, first.headers.contacts().unwrap()[0].uri);
    assert_eq!(contacts[1].params.get("expires"), Some("0"));
    registrar.send(&as_seen(&second), us).await;
    let view = confirm(&house.http, "+15005550001").await;
    assert_eq!(view["status"], "approved", "{view}");
    let (_, leaves) = tokio::join!(house.stop(), async {
        let (leaves, us) = registrar.request(Some(&second)).await;
        registrar.send(&as_seen(&leaves), us).await;
        leaves
    });
    let contacts = leaves.headers.contacts().unwrap();
    assert_eq!(
        (contacts.len(), contacts[0].uri.to_string()),
        (1, "sip:u@127.0.0.9:40123".to_owned())
    );
}
