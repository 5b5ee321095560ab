//! What a changed file changes in a running server.
use super::*;

/// SMALL with these replaced, one after the other.
fn changed(replaced: &[(&str, &str)]) -> Config {
    let text = replaced.iter().fold(SMALL.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from} not in\n{text}");
        text.replacen(from, to, 1)
    });
    read(&text).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

#[test]
fn each_changed_key_is_named_where_it_belongs() {
    let second = "[[trunk]]\nname = \"second\"\ntargets = [\"sip:127.0.0.1:5081\"]\ncaller_id = { default = \"+18005550199\" }\n[policy]";
    // (what is replaced in SMALL, by what, taken at once, needs a restart)
    let table: &[(&str, &str, &[&str], &[&str])] = &[
        (
            "brand = \"Contoso\"",
            "brand = \"Fabrikam\"",
            &["profile.default.brand"],
            &[],
        ),
        (
            "brand = \"Contoso\"",
            "brand = \"Contoso\"\n[profile.vip]",
            &["profile.vip (new)"],
            &[],
        ),
        ("caller_id =", "cps = 5\ncaller_id =", &["trunk.carrier.cps"], &[]),
        (
            "127.0.0.1:5080",
            "127.0.0.1:5082",
            &["trunk.carrier.targets"],
            &[],
        ),
        (
            "name = \"carrier\"",
            "name = \"other\"",
            &["trunk.carrier (gone)", "trunk.other (new)"],
            &[],
        ),
        ("[policy]", second, &["trunk.second (new)"], &[]),
        (
            "countries = [\"US\"]",
            "countries = [\"US\", \"DE\"]",
            &["policy.countries"],
            &[],
        ),
        ("[webhook]", "[webhook]\nworkers = 3", &["webhook.workers"], &[]),
        ("[server]", "[server]\ndrain_s = 5", &["server.drain_s"], &[]),
        (
            "[webhook]",
            "[sip]\nlisten = [\"udp:127.0.0.1:5070\"]\nmax_calls = 9\n[webhook]",
            &[],
            &["sip.listen", "sip.max_calls"],
        ),
        (
            "[webhook]",
            "[store]\nurl = \"sqlite://other.db\"\n[webhook]",
            &[],
            &["store.url"],
        ),
        (
            "[webhook]",
            "[media]\nrtp_ports = \"30000-30999\"\n[webhook]",
            &[],
            &["media.rtp_ports"],
        ),
        (
            "[webhook]",
            "[telemetry]\nhep = \"udp:127.0.0.1:9060\"\n[webhook]",
            &[],
            &["telemetry.hep", "telemetry.hep_id", "telemetry.hep_mask"],
        ),
    ];
    let running = read(SMALL).unwrap();
    for (from, to, at_once, restart) in table {
        let found = changes(&running, &changed(&[(from, to)]));
        assert_eq!(found.in_force, *at_once, "{to}");
        assert_eq!(found.needs_restart, *restart, "{to}");
    }
    assert_eq!(changes(&running, &running), Changes::default());
}

#[test]
fn a_secret_that_changes_is_named_and_not_shown() {
    let auth = |password: &str| {
        let auth = format!("auth = {{ username = \"u\", password = \"{password}\" }}\ncaller_id =");
        changed(&[("caller_id =", &auth)])
    };
    let found = changes(&auth("hunter2"), &auth("hunter3"));
    assert_eq!(found.in_force, ["trunk.carrier.auth"]);
    assert!(!format!("{found:?}").contains("hunter"));
    let mut rotated = read(SMALL).unwrap();
    rotated
        .webhook
        .secrets
        .push(crate::model::Masked::new("whsec_old".to_owned()));
    assert_eq!(
        changes(&read(SMALL).unwrap(), &rotated).in_force,
        ["webhook.previous_secret", "webhook.secret"]
    );
}

#[test]
fn certificates_that_change_under_the_same_name_are_named() {
    let scratch = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(scratch.path().join(name), text).unwrap();
    let read = || {
        let trunk = "tls = { ca_file = \"ca.pem\" }\ncaller_id =";
        let sip = "[sip]\ntls = { cert_file = \"sip.pem\", key_file = \"sip.key\" }\n[webhook]";
        let text = SMALL.replace("caller_id =", trunk).replace("[webhook]", sip);
        parse(&text, "test.toml", scratch.path(), std::iter::empty()).unwrap()
    };
    write("ca.pem", "one");
    write("sip.pem", "one");
    write("sip.key", "one");
    let running = read();
    assert_eq!(changes(&running, &read()), Changes::default());
    write("ca.pem", "two");
    write("sip.pem", "two");
    let new = read();
    let found = changes(&running, &new);
    assert_eq!(found.in_force, ["trunk.carrier.tls.ca_file (contents)"]);
    assert_eq!(found.needs_restart, ["sip.tls.cert_file (contents)"]);
    // What waits for a restart is told each time, the rest once.
    let again = changes(&in_force(&running, new.clone()), &new);
    assert_eq!(again.in_force, Vec::<String>::new());
    assert_eq!(again.needs_restart, ["sip.tls.cert_file (contents)"]);
}

#[test]
fn trunks_that_change_places_are_told() {
    let second = "[[trunk]]\nname = \"second\"\ntargets = [\"sip:127.0.0.1:5081\"]\ncaller_id = { default = \"+18005550199\" }\n[policy]";
    let running = changed(&[("[policy]", second)]);
    let mut turned = running.clone();
    turned.trunks.reverse();
    assert_eq!(changes(&running, &turned).in_force, ["trunk (their order)"]);
}

#[test]
fn what_needs_a_restart_stays_as_it_runs_and_is_told_each_time() {
    let running = read(SMALL).unwrap();
    let new = changed(&[
        ("brand = \"Contoso\"", "brand = \"Fabrikam\""),
        ("[webhook]", "[sip]\nlisten = [\"udp:127.0.0.1:5070\"]\n[webhook]"),
        ("[server]", "[server]\ndrain_s = 5\nnode = \"two\""),
    ]);
    let merged = in_force(&running, new.clone());
    assert_eq!(merged.sip.listen, running.sip.listen);
    assert_eq!(
        (merged.server.node.as_str(), merged.server.drain.as_secs()),
        ("node-1", 5)
    );
    assert_eq!(merged.profiles["default"].brand, "Fabrikam");
    let again = changes(&merged, &new);
    assert_eq!(again.in_force, Vec::<String>::new());
    assert_eq!(again.needs_restart, ["server.node", "sip.listen"]);
}
