use super::*;

mod presentation;
mod registration;
mod reload;
mod screening;

const SMALL: &str = r#"
[server]
listen = "127.0.0.1:8080"
[[trunk]]
name = "carrier"
targets = ["sip:127.0.0.1:5080"]
caller_id = { default = "+18005550199" }
[policy]
countries = ["US"]
[profile.default]
brand = "Contoso"
[webhook]
secret = "whsec_cmluZ3Byb29mLWxhYi1zZWNyZXQtMDAwMDAwMDE="
"#;

fn read(text: &str) -> Result<Config, Vec<String>> {
    read_with(text, &[])
}

fn read_with(text: &str, variables: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    match parse(text, "test.toml", Path::new("."), variables) {
        Ok(config) => Ok(config),
        Err(ConfigError::Invalid(problems)) => Err(problems.iter().map(ToString::to_string).collect()),
        Err(ConfigError::Read { .. }) => unreachable!("nothing is read from disk"),
    }
}

#[test]
fn the_shipped_files_are_valid() {
    for file in ["config/ringproof.toml", "config/lab.toml"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let config = load(&path).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert_eq!(config.trunks.len(), 1, "{file}");
    }
}

#[test]
fn every_key_that_the_shipped_file_comments_out_is_a_real_key() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/ringproof.toml");
    let text = std::fs::read_to_string(path).unwrap();
    let mut uncommented = String::new();
    for line in text.lines() {
        let body = line.strip_prefix("# ").unwrap_or(line);
        let is_key = body.split_once('=').is_some_and(|(k, _)| {
            let k = k.trim_end();
            !k.is_empty()
                && k.chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        });
        let is_table = body.starts_with('[') && line.starts_with("# ");
        let needs_a_file = body.starts_with("signing_key_file") || body.starts_with("directory");
        let example = body.starts_with("previous_secret");
        uncommented.push_str(if (is_key && !needs_a_file && !example) || is_table {
            body
        } else {
            line
        });
        uncommented.push('\n');
    }
    read(&uncommented).unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert!(uncommented.contains("\nexpires_in_s = 120") && uncommented.contains("\n[enrollment]"));
}

#[test]
fn the_smallest_file_takes_the_defaults() {
    let config = read(SMALL).unwrap();
    assert_eq!(config.server.public_url, "http://127.0.0.1:8080");
    assert_eq!(config.media.rtp_ports, (20000, 29999));
    assert_eq!(
        config.trunks[0].targets[0],
        TrunkTarget {
            is_secure: false,
            host: "127.0.0.1".into(),
            port: Some(5080),
            transport: None,
        }
    );
    assert_eq!(config.policy.per_number.per_hour, 3);
    assert_eq!(config.profiles["default"].plays, 3);
}

#[test]
fn bad_configurations_each_get_their_exact_problem() {
    // (what is replaced in SMALL, by what, all problems, one a line)
    let table: &[(&str, &str, &str)] = &[
        (
            "listen = \"127.0.0.1:8080\"",
            "listen = \"8080\"",
            "test.toml:3: server.listen: expected an address and port such as 127.0.0.1:8080, found \"8080\"",
        ),
        (
            "[webhook]",
            "[sip]\ndns = [\"127.0.0.1\"]\n[webhook]",
            "test.toml:13: sip.dns: expected udp:ADDRESS[:PORT] such as \"udp:192.0.2.53\", found \"127.0.0.1\"",
        ),
        (
            "listen = \"127.0.0.1:8080\"",
            "lisen = \"127.0.0.1:8080\"",
            "test.toml:3: server.lisen: unknown key; did you mean listen?",
        ),
        (
            "listen = \"127.0.0.1:8080\"",
            "listen = 8080",
            "test.toml:3: server.listen: expected a string, found an integer",
        ),
        (
            "listen = \"127.0.0.1:8080\"",
            "drain_s = -1",
            "test.toml:3: server.drain_s: expected 0 to 600, found -1",
        ),
        (
            "listen = \"127.0.0.1:8080\"",
            "public_url = \"calls.example\"",
            "test.toml:3: server.public_url: expected http:// or https://, found \"calls.example\"",
        ),
        (
            "listen = \"127.0.0.1:8080\"",
            "listen = ",
            "test.toml:3: syntax: string values must be quoted, expected literal string",
        ),
        (
            "[policy]",
            "[policie]",
            "test.toml:8: policie: unknown key; did you mean policy?",
        ),
        (
            "countries = [\"US\"]",
            "countries = [\"us\"]",
            "test.toml:9: policy.countries: expected two capital letters such as \"US\", found \"us\"",
        ),
        (
            "countries = [\"US\"]",
            "countries = \"US\"",
            "test.toml:9: policy.countries: expected a list of strings, found a string",
        ),
        (
            "countries = [\"US\"]",
            "countries = [1]",
            "test.toml:9: policy.countries: expected a list of strings, found an integer",
        ),
        (
            "countries = [\"US\"]",
            "number_validation = \"loose\"",
            "test.toml:9: policy.number_validation: expected one of strict, possible, shape, found \"loose\"",
        ),
        (
            "countries = [\"US\"]",
            "per_number = { per_hour = -3 }",
            "test.toml:9: policy.per_number.per_hour: expected 0 to 1000000, found -3",
        ),
        (
            "countries = [\"US\"]",
            "per_number = 3",
            "test.toml:9: policy.per_number: expected a table [policy.per_number], found an integer",
        ),
        (
            "name = \"carrier\"",
            "",
            "test.toml:4: trunk.0.name: expected a name for this trunk",
        ),
        (
            "targets = [\"sip:127.0.0.1:5080\"]",
            "targets = []",
            "test.toml:6: trunk.carrier.targets: expected at least one target such as \"sip:sip.carrier.example\"",
        ),
        (
            "sip:127.0.0.1:5080",
            "127.0.0.1:5080",
            "test.toml:6: trunk.carrier.targets: expected sip:HOST[:PORT][;transport=udp|tcp|tls] or sips:HOST[:PORT], found \"127.0.0.1:5080\"",
        ),
        (
            "sip:127.0.0.1:5080",
            "sip:127.0.0.1:99999",
            "test.toml:6: trunk.carrier.targets: expected sip:HOST[:PORT][;transport=udp|tcp|tls] or sips:HOST[:PORT], found \"sip:127.0.0.1:99999\"",
        ),
        (
            "sip:127.0.0.1:5080",
            "sip:carrier.example;transport=sctp",
            "test.toml:6: trunk.carrier.targets: expected sip:HOST[:PORT][;transport=udp|tcp|tls] or sips:HOST[:PORT], found \"sip:carrier.example;transport=sctp\"",
        ),
        (
            "caller_id = { default = \"+18005550199\" }",
            "",
            "test.toml:5: trunk.carrier.caller_id: expected caller_id = { default = \"+…\" }: the number that the phone shows",
        ),
        (
            "+18005550199",
            "anonymous",
            "test.toml:7: trunk.carrier.caller_id: expected a number such as +18005550199 for default, found \"anonymous\"",
        ),
        (
            "caller_id =",
            "cps = 0\ncaller_id =",
            "test.toml:7: trunk.carrier.cps: expected 0.01 to 10000, found 0",
        ),
        (
            "caller_id =",
            "codecs = [\"G729\"]\ncaller_id =",
            "test.toml:7: trunk.carrier.codecs: expected PCMU, PCMA or G722, found \"G729\"",
        ),
        (
            "caller_id =",
            "headers = { Via = \"x\" }\ncaller_id =",
            "test.toml:7: trunk.carrier.headers: Via is written by Ringproof itself",
        ),
        (
            "caller_id =",
            "auth = { username = \"u\" }\ncaller_id =",
            "test.toml:7: trunk.carrier.auth.password: expected password or password_file beside the username",
        ),
        (
            "caller_id =",
            "auth = { username = \"u\", password_file = \"nowhere\" }\ncaller_id =",
            "test.toml:7: trunk.carrier.auth.password_file: cannot read nowhere: No such file or directory (os error 2)",
        ),
        (
            "caller_id =",
            "peers = [\"10.0.0.0/33\"]\ncaller_id =",
            "test.toml:7: trunk.carrier.peers: expected an address block such as 198.51.100.0/24, found \"10.0.0.0/33\"",
        ),
        (
            "[profile.default]",
            "[profile.main]",
            "test.toml:10: profile: expected a table [profile.default]",
        ),
        (
            "brand = \"Contoso\"",
            "confirm_key = \"##\"",
            "test.toml:11: profile.default.confirm_key: expected one of 0-9, * and #, found \"##\"",
        ),
        (
            "brand = \"Contoso\"",
            "confirm_key = \"*\"",
            "test.toml:11: profile.default.confirm_key: expected confirm_key and repeat_key to differ, found * for both",
        ),
        (
            "brand = \"Contoso\"",
            "methods = [\"sms\"]",
            "test.toml:11: profile.default.methods: expected press_key, random_key, match_code or speak_code, found \"sms\"",
        ),
        (
            "brand = \"Contoso\"",
            "callbacks = [\"idp.example\"]",
            "test.toml:11: profile.default.callbacks: expected https://HOST/PATH, found \"idp.example\"",
        ),
        (
            "whsec_cmluZ3Byb29mLWxhYi1zZWNyZXQtMDAwMDAwMDE=",
            "hunter2",
            "test.toml:13: webhook.secret: expected whsec_ and 24 to 64 octets in base64, or whsk_ and an Ed25519 seed of 32 octets in base64 (Standard Webhooks)",
        ),
        (
            "[webhook]",
            "[media]\nrtp_ports = \"100-200\"\n[webhook]",
            "test.toml:13: media.rtp_ports: expected FIRST-LAST within 1024-65535 such as \"20000-29999\", found \"100-200\"",
        ),
        (
            "[webhook]",
            "[sip]\nlisten = [\"tls:0.0.0.0:5061\"]\n[webhook]",
            "test.toml:13: sip.listen: expected sip.tls.cert_file and key_file for the tls listener",
        ),
        (
            "[webhook]",
            "[telemetry]\nhep = \"tcp:127.0.0.1:9060\"\nhep_id = 0\n[webhook]",
            "test.toml:14: telemetry.hep_id: expected 1 to 4294967295, found 0\ntest.toml:13: telemetry.hep: expected udp:HOST:PORT such as \"udp:127.0.0.1:9060\", found \"tcp:127.0.0.1:9060\"",
        ),
        (
            "[webhook]",
            "[capture]\ncalls = -1\ncallee = true\n[webhook]",
            "test.toml:13: capture.calls: expected 0 to 100000, found -1\ntest.toml:14: capture.callee: unknown key; known here: callee_audio, calls, rtp, rtp_kib",
        ),
        (
            "[webhook]",
            "[capture]\ncalls = 0\nrtp = \"headers\"\ncallee_audio = true\n[webhook]",
            "test.toml:15: capture.callee_audio: expected rtp = \"audio\" beside it\ntest.toml:14: capture.rtp: expected calls of at least 1 beside it",
        ),
        (
            "[webhook]",
            "[capture]\nrtp = \"all\"\nrtp_kib = 8\n[webhook]",
            "test.toml:13: capture.rtp: expected one of off, headers, audio, found \"all\"\ntest.toml:14: capture.rtp_kib: expected 16 to 16384, found 8",
        ),
        (
            "[webhook]",
            "[telemetry]\nhep_mask = false\n[webhook]",
            "test.toml:13: telemetry.hep_mask: expected hep = \"udp:HOST:PORT\" beside it",
        ),
        (
            "[webhook]",
            "[store]\nurl = \"postgres://db/ringproof\"\n[webhook]",
            "test.toml:13: store.url: this version keeps its rows in SQLite only: write sqlite://FILE",
        ),
        (
            "countries = [\"US\"]",
            "countries = [\"XX\"]",
            "test.toml:9: policy.countries: expected a region that has telephone numbers, such as \"US\", found \"XX\"",
        ),
        (
            "countries = [\"US\"]",
            "internal_numbers = [\"1(\"]",
            "test.toml:9: policy.internal_numbers: expected a regular expression of a whole number such as \"1\\\\d{3}\", found \"1(\"",
        ),
        (
            "caller_id =",
            "from_domain = \"carrier example\"\ncaller_id =",
            "test.toml:7: trunk.carrier.from_domain: expected a host name such as carrier.example, found \"carrier example\"",
        ),
        (
            "caller_id =",
            "rtcp_mux = \"yes\"\ncaller_id =",
            "test.toml:7: trunk.carrier.rtcp_mux: expected true or false, found a string",
        ),
        (
            "caller_id =",
            "learn = 1\ncaller_id =",
            "test.toml:7: trunk.carrier.learn: expected true or false, found an integer",
        ),
        (
            "brand = \"Contoso\"",
            "confirm_key = \"0\"",
            "test.toml:11: profile.default.confirm_key: expected fraud_key and confirm_key to differ, found 0 for both\ntest.toml:11: profile.default.confirm_key: expected * or #, found 0: digits are the answer in random_key and match_code",
        ),
        (
            "brand = \"Contoso\"",
            "methods = [\"press_key\", \"match_code\"]\nrepeat_key = \"5\"",
            "test.toml:12: profile.default.repeat_key: expected * or #, found 5: digits are the answer in match_code",
        ),
        (
            "brand = \"Contoso\"",
            "reveal_key = \"*\"",
            "test.toml:11: profile.default.reveal_key: expected reveal_key and repeat_key to differ, found * for both",
        ),
        (
            "brand = \"Contoso\"",
            "fraud_key = \"00\"",
            "test.toml:11: profile.default.fraud_key: expected one of 0-9, * and #, or \"none\", found \"00\"",
        ),
        (
            "brand = \"Contoso\"",
            "plays = 0",
            "test.toml:11: profile.default.plays: expected 1 to 10, found 0",
        ),
        (
            "brand = \"Contoso\"",
            "invalid_keys = 0",
            "test.toml:11: profile.default.invalid_keys: expected 1 to 20, found 0",
        ),
        (
            "brand = \"Contoso\"",
            "wrong_keys_max = 0",
            "test.toml:11: profile.default.wrong_keys_max: expected 1 to 20, found 0",
        ),
        (
            "brand = \"Contoso\"",
            "wrong_codes_max = 0",
            "test.toml:11: profile.default.wrong_codes_max: expected 1 to 20, found 0",
        ),
        (
            "brand = \"Contoso\"",
            "quiet_before_ms = -1",
            "test.toml:11: profile.default.quiet_before_ms: expected 0 to 10000, found -1",
        ),
        (
            "brand = \"Contoso\"",
            "quiet_after_ms = -1",
            "test.toml:11: profile.default.quiet_after_ms: expected 0 to 10000, found -1",
        ),
        (
            "brand = \"Contoso\"",
            "fraud_window_s = 31",
            "test.toml:11: profile.default.fraud_window_s: expected 0 to 30, found 31",
        ),
        (
            "brand = \"Contoso\"",
            "callbacks = [\"http://idp.example/\"]",
            "test.toml:11: profile.default.callbacks: expected https://, or http:// to an address in webhook.allow_private, found \"http://idp.example/\"",
        ),
        (
            "brand = \"Contoso\"",
            "callbacks = [\"https://u:p@idp.example/\"]",
            "test.toml:11: profile.default.callbacks: expected a URL without a user name and password",
        ),
        (
            "brand = \"Contoso\"",
            "callback_url = \"idp.example\"",
            "test.toml:11: profile.default.callback_url: expected https://HOST/PATH, found \"idp.example\"",
        ),
        (
            "brand = \"Contoso\"",
            "callback_url = \"https://u:p@idp.example/\"",
            "test.toml:11: profile.default.callback_url: expected a URL without a user name and password",
        ),
        (
            "brand = \"Contoso\"",
            "callback_url = [\"https://idp.example/\"]",
            "test.toml:11: profile.default.callback_url: expected a string, found a list",
        ),
        (
            "brand = \"Contoso\"",
            "return_urls = [\"https://idp.example/?a=b\"]",
            "test.toml:11: profile.default.return_urls: expected a URL without query and fragment, found \"https://idp.example/?a=b\"",
        ),
        (
            "brand = \"Contoso\"\n[webhook]\nsecret = \"whsec_cmluZ3Byb29mLWxhYi1zZWNyZXQtMDAwMDAwMDE=\"",
            "callbacks = [\"https://idp.example/\"]",
            "test.toml:1: webhook.secret: expected secret or secret_file: profile.default has callbacks, and every webhook is signed",
        ),
        (
            "[webhook]",
            "[webhook]\nprevious_secret = \"hunter2\"",
            "test.toml:13: webhook.previous_secret: expected whsec_ and 24 to 64 octets in base64, or whsk_ and an Ed25519 seed of 32 octets in base64 (Standard Webhooks)",
        ),
        (
            "[webhook]",
            "[sip]\nt1_ms = 0\n[webhook]",
            "test.toml:13: sip.t1_ms: expected 50 to 2000, found 0",
        ),
        (
            "[webhook]",
            "[sip]\ninbound = \"voicemail\"\n[webhook]",
            "test.toml:13: sip.inbound: expected one of decline, announce, found \"voicemail\"",
        ),
        (
            "[webhook]",
            "[sip]\ninbound_max = 0\n[webhook]",
            "test.toml:13: sip.inbound_max: expected 1 to 1000, found 0",
        ),
        (
            "[webhook]",
            "[telemetry]\nlog = \"info,ringproof=loud\"\n[webhook]",
            "test.toml:13: telemetry.log: expected a level or a filter such as \"info,ringproof::sip=debug\", found \"info,ringproof=loud\"",
        ),
    ];
    each_gets_its_problem(table);
}

/// Of each: what is replaced in [`SMALL`], by what, all problems, one a line.
fn each_gets_its_problem(table: &[(&str, &str, &str)]) {
    for (from, to, expected) in table {
        assert!(SMALL.contains(from), "{from}");
        let problems = read(&SMALL.replacen(from, to, 1))
            .err()
            .unwrap_or_else(|| panic!("accepted: {to}"));
        assert_eq!(problems, expected.lines().collect::<Vec<_>>(), "{to:?}");
    }
}

#[test]
fn the_script_of_a_profile_is_read_and_shown() {
    let text = SMALL.replace(
        "brand = \"Contoso\"",
        "methods = [\"press_key\", \"speak_code\"]\nconfirm_key = \"5\"\nreveal_key = \"7\"\nfraud_key = \"none\"\n\
         fraud_window_s = 2.5\nwrong_keys_max = 4\nwrong_codes_max = 5\nquiet_before_ms = 800\nquiet_after_ms = 600",
    );
    let config = read(&text.replace("caller_id =", "rtcp_mux = true\nlearn = true\ncaller_id =")).unwrap();
    let profile = &config.profiles["default"];
    assert_eq!(
        (profile.confirm_key.as_char(), profile.reveal_key.as_char()),
        ('5', '7')
    );
    assert_eq!(profile.fraud_key, None);
    let shown = show(&config);
    for line in [
        "rtcp_mux = true",
        "learn = true",
        "reveal_key = \"7\"",
        "fraud_key = \"none\"",
        "fraud_window_s = 2.5",
        "wrong_keys_max = 4",
        "wrong_codes_max = 5",
        "quiet_before_ms = 800",
        "quiet_after_ms = 600",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
    }
    let empty = read(&SMALL.replace("brand = \"Contoso\"", "fraud_key = \"\"")).unwrap();
    assert_eq!(empty.profiles["default"].fraud_key, None);
}

#[test]
fn a_webhook_secret_may_be_an_ed25519_seed() {
    let seed = "whsk_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
    let text = SMALL.replace("[webhook]", &format!("[webhook]\nprevious_secret = \"{seed}\""));
    let config = read(&text).unwrap();
    let secrets: Vec<&str> = config
        .webhook
        .secrets
        .iter()
        .map(|s| s.reveal().as_str())
        .collect();
    assert_eq!(secrets, ["whsec_cmluZ3Byb29mLWxhYi1zZWNyZXQtMDAwMDAwMDE=", seed]);
}

#[test]
fn an_http_callback_within_allow_private_is_taken() {
    let open = SMALL.replace("[webhook]", "[webhook]\nallow_private = [\"127.0.0.0/8\"]");
    let with = |url: &str| read(&open.replace("brand = \"Contoso\"", &format!("callbacks = [{url:?}]")));
    assert!(with("http://127.0.0.1:8099/").is_ok());
    assert!(with("http://localhost:8099/").is_ok());
    assert_eq!(
        with("http://10.0.0.1/").unwrap_err(),
        [
            "test.toml:11: profile.default.callbacks: expected https://, or http:// to an address in \
          webhook.allow_private, found \"http://10.0.0.1/\""
        ]
    );
}

#[test]
fn every_problem_is_told_at_once_and_show_hides_secrets() {
    let text = SMALL
        .replace("127.0.0.1:8080", "8080")
        .replace("[\"US\"]", "[\"us\"]");
    assert_eq!(read(&text).unwrap_err().len(), 2);
    let text = SMALL.replace(
        "caller_id",
        "auth = { username = \"u\", password = \"hunter2\" }\ncaller_id",
    );
    let shown = show(&read(&text).unwrap());
    assert!(!shown.contains("hunter2") && !shown.contains("whsec_"), "{shown}");
}

#[test]
fn what_is_shown_reads_back_as_the_same_configuration() {
    for file in ["config/ringproof.toml", "config/lab.toml"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let text = std::fs::read_to_string(path).unwrap();
        let shown = show(&read(&text).unwrap());
        let secret = "\"whsec_cmluZ3Byb29mLWxhYi1zZWNyZXQtMDAwMDAwMDE=\"";
        let again = read(&shown.replace("secret = \"***\"", &format!("secret = {secret}"))).unwrap();
        assert_eq!(show(&again), shown, "{file}");
    }
}

#[test]
fn a_capture_server_is_read_and_shown_without_its_key() {
    for (server, host, port) in [
        ("udp:homer.example:9060", "homer.example", 9060),
        ("udp:[2001:db8::9]:9061", "2001:db8::9", 9061),
    ] {
        let keys =
            format!("[telemetry]\nhep = \"{server}\"\nhep_id = 2001\nhep_password = \"open sesame\"\n");
        let config = read(&format!("{SMALL}\n{keys}hep_mask = false\n")).unwrap();
        let hep = config.telemetry.hep.clone().unwrap();
        assert_eq!(
            (hep.host.as_str(), hep.port, hep.id, hep.mask),
            (host, port, 2001, false)
        );
        assert_eq!(hep.password.unwrap().reveal(), "open sesame");
        let shown = show(&config);
        assert!(
            shown.contains(&format!(
                "\nhep = \"{server}\"\nhep_id = 2001\nhep_password = \"***\"\nhep_mask = false\n"
            )),
            "{shown}"
        );
    }
}

#[test]
fn a_variable_is_a_string_where_a_string_is_expected() {
    let text = SMALL.replace(
        "caller_id =",
        "auth = { username = \"u\", password = \"x\" }\ncaller_id =",
    );
    let config = read_with(
        &text,
        &[
            ("RINGPROOF__TRUNK__CARRIER__CALLER_ID__DEFAULT", "+18005550100"),
            ("RINGPROOF__TRUNK__CARRIER__AUTH__PASSWORD", "12345678"),
            ("RINGPROOF__TRUNK__CARRIER__AUTH__USERNAME", "007"),
            ("RINGPROOF__PROFILE__DEFAULT__FRAUD_KEY", "9"),
            ("RINGPROOF__PROFILE__DEFAULT__BRAND", "true"),
            ("RINGPROOF__PROFILE__DEFAULT__PLAYS", "2"),
        ],
    )
    .unwrap();
    let trunk = &config.trunks[0];
    assert_eq!(trunk.caller_id_default, "+18005550100");
    let auth = trunk.auth.as_ref().unwrap();
    assert_eq!(
        (auth.username.as_str(), auth.password.reveal().as_str()),
        ("007", "12345678")
    );
    let profile = &config.profiles["default"];
    assert_eq!((profile.brand.as_str(), profile.plays), ("true", 2));
    assert_eq!(
        read_with(SMALL, &[("RINGPROOF__SIP__T1_MS", "soon")]).unwrap_err(),
        ["RINGPROOF__SIP__T1_MS: sip.t1_ms: expected an integer, found a string"]
    );
}

#[test]
fn a_variable_finds_its_table_whatever_the_case() {
    let text = format!("{SMALL}[profile.Staff]\nbrand = \"Fabrikam\"\n");
    let config = read_with(&text, &[("RINGPROOF__PROFILE__STAFF__BRAND", "Northwind")]).unwrap();
    assert_eq!(config.profiles.keys().collect::<Vec<_>>(), ["Staff", "default"]);
    assert_eq!(config.profiles["Staff"].brand, "Northwind");
}
