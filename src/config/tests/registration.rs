//! `register` of a trunk.
use super::{SMALL, read, show};
use crate::config::types::{Register, TrunkTarget};

const AUTH: &str = "auth = { username = \"u\", password = \"p\" }";

fn with(lines: &str) -> String {
    SMALL.replace("[policy]", &format!("{lines}\n[policy]"))
}

fn register(lines: &str) -> Option<Register> {
    read(&with(lines)).unwrap().trunks[0].register.clone()
}

#[test]
fn true_takes_every_default_from_the_trunk() {
    assert_eq!(register(""), None);
    assert_eq!(register("register = false"), None);
    let expected = Register {
        expires_s: 300,
        registrar: TrunkTarget {
            is_secure: false,
            host: "127.0.0.1".to_owned(),
            port: Some(5080),
            transport: None,
        },
        aor: "sip:u@127.0.0.1".to_owned(),
        contact_user: "u".to_owned(),
    };
    assert_eq!(register(&format!("{AUTH}\nregister = true")), Some(expected));
}

#[test]
fn a_table_says_more_and_is_shown_as_it_is_in_force() {
    let lines =
        "register = { expires_s = 600, registrar = \"sip:reg.example\", aor = \"sip:1001@carrier.example\" }";
    let config = read(&with(lines)).unwrap();
    let shown = show(&config);
    let expected = "register = { expires_s = 600, registrar = \"sip:reg.example\", aor = \"sip:1001@carrier.example\", contact_user = \"1001\" }";
    assert!(shown.contains(expected), "{shown}");
    let again = read(&with(expected)).unwrap();
    assert_eq!(again.trunks[0].register, config.trunks[0].register);
}

#[test]
fn mistakes_are_told_with_the_mend() {
    for (lines, expected) in [
        (
            "register = true",
            "trunk.carrier.register.aor: expected aor = \"sip:USER@DOMAIN\" beside register: without auth there is no user to register",
        ),
        (
            "register = 5",
            "trunk.carrier.register: expected true, false or a table such as { expires_s = 300 }, found an integer",
        ),
        (
            "register = { aor = \"1001\" }",
            "expected sip:USER@DOMAIN such as \"sip:1001@carrier.example\", found \"1001\"",
        ),
        (
            "register = { aor = \"sip:u@d\", expires_s = 5 }",
            "expected 30 to 86400, found 5",
        ),
        (
            "register = { aor = \"sip:u@d\", registrar = \"reg\" }",
            "expected sip:HOST[:PORT][;transport=udp|tcp|tls] or sips:HOST[:PORT], found \"reg\"",
        ),
        (
            "register = { aor = \"sip:u@d\", contact_user = \"a b\" }",
            "expected at most 64 of letters, digits",
        ),
        ("register = { aor = \"sip:u@d\", expire_s = 300 }", "expires_s"),
    ] {
        let problems = read(&with(lines)).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains(expected), "{lines}: {problems:?}");
    }
}
