//! Each section of the file, read once.
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::contents::{Contents, contents};
use super::presentation::*;
use super::profile::profiles;
use super::reader::{Report, Section};
use super::registration::register;
use super::sip::{sip, trunk_tls};
use super::tree::Node;
use super::types::*;
use crate::model::{Codec, Masked, NumberValidation, Region, SrtpPolicy, SrtpProfile};

/// A compiled pattern may take so much memory.
const PATTERN_BYTES_MAX: usize = 64 * 1024;
/// It stands in every packet.
const HEP_PASSWORD_OCTETS_MAX: usize = 255;
/// Some 20 kB each.
const CAPTURED_CALLS_MAX: i64 = 100_000;

pub(super) fn read(table: &BTreeMap<String, Node>, report: &mut Report<'_>) -> Config {
    let mut root = Section::root(table);
    let server = server(root.section("server", report), report);
    let webhook = webhook(root.section("webhook", report), report);
    let mut config = Config {
        store: store(root.section("store", report), report),
        sip: sip(root.section("sip", report), report),
        media: media(root.section("media", report), report),
        trunks: trunks(&mut root, report),
        policy: policy(root.section("policy", report), report),
        profiles: profiles(&mut root, &webhook, report),
        prompts: prompts(root.section("prompts", report), report),
        enrollment: enrollment(root.section("enrollment", report), report),
        telemetry: telemetry(root.section("telemetry", report), report),
        capture: capture(root.section("capture", report), report),
        server,
        webhook,
        contents: Contents::new(),
    };
    config.contents = contents(&config);
    webhooks_are_signed(&mut root, &config, report);
    root.finish(report);
    config
}

/// A callback without a secret could never be told anything.
fn webhooks_are_signed(root: &mut Section<'_>, config: &Config, report: &mut Report<'_>) {
    let told = report.problems.iter().any(|p| p.key.starts_with("webhook"));
    let Some(profile) = config.profiles.values().find(|p| !p.callbacks.is_empty()) else {
        return;
    };
    if config.webhook.secrets.is_empty() && !told {
        let message = format!(
            "expected secret or secret_file: profile.{} has callbacks, and every webhook is signed",
            profile.name
        );
        root.section("webhook", report).problem(report, "secret", message);
    }
}

pub(super) fn seconds(
    section: &mut Section<'_>,
    key: &'static str,
    max_s: f64,
    default_s: f64,
    report: &mut Report<'_>,
) -> Duration {
    Duration::from_secs_f64(section.number(key, 0.0..=max_s, default_s, report))
}

pub(super) fn millis(
    section: &mut Section<'_>,
    key: &'static str,
    range_ms: RangeInclusive<i64>,
    default_ms: i64,
    report: &mut Report<'_>,
) -> Duration {
    Duration::from_millis(section.integer(key, range_ms, default_ms, report).unsigned_abs())
}

pub(super) fn count(
    section: &mut Section<'_>,
    key: &'static str,
    range: RangeInclusive<i64>,
    default: i64,
    report: &mut Report<'_>,
) -> u32 {
    u32::try_from(section.integer(key, range, default, report)).unwrap_or(u32::MAX)
}

fn server(mut s: Section<'_>, report: &mut Report<'_>) -> Server {
    let address = "an address and port such as 127.0.0.1:8080";
    let listen = s
        .parsed("listen", address, report)
        .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080)));
    let admin_listen = s.parsed("admin_listen", address, report);
    let public_url = s
        .text("public_url", report)
        .unwrap_or_else(|| format!("http://{listen}"));
    if !(public_url.starts_with("http://") || public_url.starts_with("https://")) {
        s.problem(
            report,
            "public_url",
            format!("expected http:// or https://, found {public_url:?}"),
        );
    }
    let drain = seconds(&mut s, "drain_s", 600.0, 75.0, report);
    let node = s.text("node", report).unwrap_or_else(|| "node-1".to_owned());
    let trusted_proxies = s.parsed_list("trusted_proxies", "an IP address such as 10.0.0.1", report);
    s.finish(report);
    Server {
        trusted_proxies,
        listen,
        admin_listen,
        public_url: public_url.trim_end_matches('/').to_owned(),
        drain,
        node,
    }
}

fn store(mut s: Section<'_>, report: &mut Report<'_>) -> Store {
    let url = s
        .text("url", report)
        .unwrap_or_else(|| "sqlite://ringproof.db".to_owned());
    if url.starts_with("postgres") {
        s.problem(
            report,
            "url",
            "this version keeps its rows in SQLite only: write sqlite://FILE",
        );
    } else if !url.starts_with("sqlite:") {
        s.problem(report, "url", format!("expected sqlite://FILE, found {url:?}"));
    }
    let days = s.number("retention_days", 1.0..=3650.0, 90.0, report);
    s.finish(report);
    Store {
        url,
        retention: Duration::from_secs_f64(days * 86_400.0),
    }
}

fn media(mut s: Section<'_>, report: &mut Report<'_>) -> Media {
    let text = s
        .text("rtp_ports", report)
        .unwrap_or_else(|| "20000-29999".to_owned());
    let range = text
        .split_once('-')
        .and_then(|(a, b)| Some((a.trim().parse().ok()?, b.trim().parse().ok()?)));
    let rtp_ports = match range {
        Some((first, last)) if first >= 1024 && last > first => (first, last),
        _ => {
            let message =
                format!("expected FIRST-LAST within 1024-65535 such as \"20000-29999\", found {text:?}");
            s.problem(report, "rtp_ports", message);
            (20000, 29999)
        }
    };
    let threads = s.integer("threads", 1..=64, 1, report).unsigned_abs() as usize;
    let bind = s.parsed("bind", "an IP address", report);
    let calls_max = s.integer("max_calls", 1..=32_000, 5000, report).unsigned_abs() as usize;
    let pin = s.boolean("pin", false, report);
    s.finish(report);
    Media {
        rtp_ports,
        threads,
        bind,
        calls_max,
        pin,
    }
}

fn trunks(root: &mut Section<'_>, report: &mut Report<'_>) -> Vec<Trunk> {
    let mut trunks: Vec<Trunk> = Vec::new();
    let mut names = BTreeSet::new();
    for mut section in root.listed_sections("trunk", report) {
        let origin = section.origin().clone();
        let path = section.path("name");
        let name = section.text("name", report).unwrap_or_default();
        if name.is_empty() {
            report.add(&origin, &path, "expected a name for this trunk");
        } else if !names.insert(name.clone()) {
            report.add(&origin, &path, format!("{name:?} names more than one trunk"));
        }
        trunks.push(trunk(section, name, report));
    }
    trunks
}

fn trunk(mut s: Section<'_>, name: String, report: &mut Report<'_>) -> Trunk {
    let mut targets = Vec::new();
    let texts = s.texts("targets", report).unwrap_or_default();
    for text in &texts {
        match target(text) {
            Ok(target) => targets.push(target),
            Err(message) => s.problem(report, "targets", message),
        }
    }
    if texts.is_empty() {
        s.problem(
            report,
            "targets",
            "expected at least one target such as \"sip:sip.carrier.example\"",
        );
    }
    let (caller_id, caller_id_default) = caller_ids(&mut s, report);
    let identities = [
        ("none", Identity::None),
        ("asserted", Identity::Asserted),
        ("preferred", Identity::Preferred),
    ];
    let modes = [
        ("auto", Dtmf::Auto),
        ("rfc4733", Dtmf::Rfc4733),
        ("inband", Dtmf::Inband),
    ];
    let auth = auth(s.section("auth", report), report);
    let trunk = Trunk {
        register: register(&mut s, &targets, auth.as_ref(), report),
        auth,
        peers: s.parsed_list("peers", "an address block such as 198.51.100.0/24", report),
        number_format: s.one_of("number_format", &FORMATS, NumberFormat::PlusE164, report),
        home_country: home_country(&mut s, report),
        tech_prefix: tech_prefix(&mut s, report),
        caller_id_format: caller_id_format(&mut s, report),
        from_user: from_user(&mut s, report),
        from_domain: from_domain(&mut s, report),
        display_name: display_name(&mut s, report),
        identity: s.one_of("identity", &identities, Identity::Asserted, report),
        privacy: privacy(&mut s, report),
        diversion: diversion(&mut s, report),
        uri_params: uri_params(&mut s, report),
        headers: headers(&mut s, report),
        cps: s.number("cps", 0.01..=10_000.0, 1.0, report),
        calls_max: u32::try_from(s.integer("max_calls", 1..=100_000, 30, report)).unwrap_or(1),
        dtmf: s.one_of("dtmf", &modes, Dtmf::Auto, report),
        codecs: codecs(&mut s, report),
        learn: s.boolean("learn", false, report),
        rtcp_mux: s.boolean("rtcp_mux", false, report),
        srtp: s.one_of("srtp", &SRTP_POLICIES, SrtpPolicy::Off, report),
        srtp_profile: s.one_of("srtp_profile", &SRTP_PROFILES, SrtpProfile::Savp, report),
        rel100: s.one_of("rel100", &[("supported", true), ("off", false)], true, report),
        failover_on_timeout: s.boolean("failover_on_timeout", true, report),
        options: seconds(&mut s, "options_s", 3600.0, 30.0, report),
        tcp_switch: s.boolean("tcp_switch", true, report),
        tls: trunk_tls(&mut s, report),
        name,
        targets,
        caller_id,
        caller_id_default,
    };
    srtp_profile_is_used(&s, &trunk, report);
    home_country_is_used(&s, &trunk, report);
    s.finish(report);
    trunk
}

pub(super) fn target(text: &str) -> Result<TrunkTarget, String> {
    let expected =
        || format!("expected sip:HOST[:PORT][;transport=udp|tcp|tls] or sips:HOST[:PORT], found {text:?}");
    let secure = text.strip_prefix("sips:");
    let rest = secure
        .or_else(|| text.strip_prefix("sip:"))
        .ok_or_else(expected)?;
    let (address, parameters) = rest.split_once(';').unwrap_or((rest, ""));
    let transport = match parameters.strip_prefix("transport=") {
        Some(name) => Some(Transport::from_name(name).ok_or_else(expected)?),
        None if parameters.is_empty() => None,
        None => return Err(expected()),
    };
    // RFC 3261 §26.2.2: sips is TLS, whatever the transport below it is called.
    if secure.is_some() && transport == Some(Transport::Udp) {
        return Err(expected());
    }
    let bracketed = address.starts_with('[');
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !bracketed || host.ends_with(']') => {
            (host, Some(port.parse().map_err(|_| expected())?))
        }
        _ => (address, None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let fits = !host.is_empty()
        && host
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '_'));
    if fits && port != Some(0) {
        Ok(TrunkTarget {
            is_secure: secure.is_some(),
            host: host.to_owned(),
            port,
            transport,
        })
    } else {
        Err(expected())
    }
}

fn from_domain(s: &mut Section<'_>, report: &mut Report<'_>) -> Option<String> {
    let domain = s.text("from_domain", report)?;
    let bracketed = domain.strip_prefix('[').and_then(|d| d.strip_suffix(']'));
    let fits = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_host_name(&domain) || domain.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4()),
    };
    if !fits {
        let message = format!("expected a host name such as carrier.example, found {domain:?}");
        s.problem(report, "from_domain", message);
    }
    Some(domain)
}

/// Letters, digits and hyphens between dots; not digits alone, which would be a torn address.
fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    text.trim_end_matches('.').split('.').all(label) && !text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

fn caller_ids(s: &mut Section<'_>, report: &mut Report<'_>) -> (BTreeMap<String, String>, String) {
    let mut ids = s.text_table("caller_id", report);
    for (region, number) in &ids {
        if region != "default" && Region::name_of(region).is_none() {
            let message = format!("expected default or a region such as DE = \"+…\", found {region}");
            s.problem(report, "caller_id", message);
        }
        let digits = number.strip_prefix('+').unwrap_or(number);
        if digits.is_empty() || digits.len() > 15 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            let message = format!("expected a number such as +18005550199 for {region}, found {number:?}");
            s.problem(report, "caller_id", message);
        }
    }
    let default = ids.remove("default").unwrap_or_default();
    if default.is_empty() {
        s.problem(
            report,
            "caller_id",
            "expected caller_id = { default = \"+…\" }: the number that the phone shows",
        );
    }
    (ids, default)
}

fn codecs(s: &mut Section<'_>, report: &mut Report<'_>) -> Vec<Codec> {
    let codecs: Vec<Codec> = s.parsed_list("codecs", "PCMU, PCMA or G722", report);
    if codecs.is_empty() {
        vec![Codec::Pcmu, Codec::Pcma]
    } else {
        codecs
    }
}

fn auth(mut s: Section<'_>, report: &mut Report<'_>) -> Option<TrunkAuth> {
    let username = s.text("username", report);
    let password = s.secret("password", "password_file", report);
    let realm = s.text("realm", report);
    if username.is_none() && password.is_some() {
        s.problem(report, "username", "expected a username beside the password");
    }
    let given = s.holds("password") || s.holds("password_file");
    if username.is_some() && !given {
        s.problem(
            report,
            "password",
            "expected password or password_file beside the username",
        );
    }
    s.finish(report);
    Some(TrunkAuth {
        username: username?,
        password: Masked::new(password?),
        realm,
    })
}

fn policy(mut s: Section<'_>, report: &mut Report<'_>) -> Policy {
    let countries = s.texts("countries", report).unwrap_or_default();
    for country in &countries {
        if country.len() != 2 || !country.bytes().all(|b| b.is_ascii_uppercase()) {
            s.problem(
                report,
                "countries",
                format!("expected two capital letters such as \"US\", found {country:?}"),
            );
        } else if Region::name_of(country).is_none() {
            s.problem(
                report,
                "countries",
                format!("expected a region that has telephone numbers, such as \"US\", found {country:?}"),
            );
        }
    }
    let validation = [
        ("strict", NumberValidation::Strict),
        ("possible", NumberValidation::Possible),
        ("shape", NumberValidation::Shape),
    ];
    let mut n = s.section("per_number", report);
    let per_number = NumberLimits {
        per_hour: count(&mut n, "per_hour", 0..=1_000_000, 3, report),
        per_day: count(&mut n, "per_day", 0..=1_000_000, 10, report),
        again_after: seconds(&mut n, "again_after_s", 86_400.0, 60.0, report),
    };
    n.finish(report);
    let policy = Policy {
        number_validation: s.one_of("number_validation", &validation, NumberValidation::Strict, report),
        internal_numbers: internal_numbers(&mut s, report),
        per_user_per_hour: count(&mut s, "per_user_per_hour", 0..=1_000_000, 5, report),
        per_ip_per_hour: count(&mut s, "per_ip_per_hour", 0..=1_000_000, 30, report),
        per_key_per_hour: count(&mut s, "per_key_per_hour", 0..=100_000_000, 0, report),
        per_prefix_per_hour: count(&mut s, "per_prefix_per_hour", 0..=100_000_000, 60, report),
        pending_max: count(&mut s, "pending_max", 0..=10_000_000, 10_000, report),
        refuse_when_late: s.boolean("refuse_when_late", true, report),
        fraud_block: seconds(&mut s, "fraud_block_s", 31_536_000.0, 86_400.0, report),
        countries,
        per_number,
    };
    s.finish(report);
    policy
}

fn internal_numbers(s: &mut Section<'_>, report: &mut Report<'_>) -> Vec<String> {
    let patterns = s.texts("internal_numbers", report).unwrap_or_default();
    for pattern in &patterns {
        // As `policy` compiles it: alone, so that a stray bracket cannot reach what is put around it.
        let compiled = regex::RegexBuilder::new(pattern)
            .size_limit(PATTERN_BYTES_MAX)
            .build();
        if compiled.is_err() {
            let message = format!(
                "expected a regular expression of a whole number such as \"1\\\\d{{3}}\", found {pattern:?}"
            );
            s.problem(report, "internal_numbers", message);
        }
    }
    patterns
}

fn prompts(mut s: Section<'_>, report: &mut Report<'_>) -> Prompts {
    let directory = s.text("directory", report).map(|d| report.directory.join(d));
    let engines = [
        ("flite", Some("flite")),
        ("espeak-ng", Some("espeak-ng")),
        ("none", None),
    ];
    let brand_engine = s
        .one_of("brand_engine", &engines, None, report)
        .map(str::to_owned);
    if let Some(directory) = directory.as_ref().filter(|d: &&PathBuf| !d.is_dir()) {
        s.problem(
            report,
            "directory",
            format!("{} is not a directory", directory.display()),
        );
    }
    s.finish(report);
    Prompts {
        directory,
        brand_engine,
    }
}

fn webhook(mut s: Section<'_>, report: &mut Report<'_>) -> Webhook {
    let mut secrets = Vec::new();
    for (key, key_file) in [
        ("secret", "secret_file"),
        ("previous_secret", "previous_secret_file"),
    ] {
        let Some(secret) = s.secret(key, key_file, report) else {
            continue;
        };
        if !is_webhook_secret(&secret) {
            s.problem(
                report,
                key,
                "expected whsec_ and 24 to 64 octets in base64, or whsk_ and an Ed25519 seed of 32 octets in base64 \
                 (Standard Webhooks)",
            );
        }
        secrets.push(Masked::new(secret));
    }
    const PROGRESS: [&str; 5] = [
        "verification.created",
        "verification.ringing",
        "verification.answered",
        "trunk.down",
        "trunk.up",
    ];
    let progress_events = s.texts("progress_events", report).unwrap_or_default();
    for event in progress_events.iter().filter(|e| !PROGRESS.contains(&e.as_str())) {
        s.problem(
            report,
            "progress_events",
            format!("expected some of {}, found {event:?}", PROGRESS.join(", ")),
        );
    }
    let webhook = Webhook {
        secrets,
        allow_private: s.parsed_list("allow_private", "an address block such as 127.0.0.0/8", report),
        progress_events,
        workers: s.integer("workers", 1..=1024, 128, report).unsigned_abs() as usize,
    };
    s.finish(report);
    webhook
}

fn is_webhook_secret(text: &str) -> bool {
    let octets = |prefix| text.strip_prefix(prefix).and_then(decoded_length);
    octets("whsec_").is_some_and(|n| (24..=64).contains(&n)) || matches!(octets("whsk_"), Some(32 | 64))
}

fn decoded_length(text: &str) -> Option<usize> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .ok()
        .map(|bytes| bytes.len())
}

fn enrollment(mut s: Section<'_>, report: &mut Report<'_>) -> Enrollment {
    let key = s.secret("signing_key", "signing_key_file", report);
    if key.as_deref().is_some_and(|k| decoded_length(k) != Some(32)) {
        s.problem(
            report,
            "signing_key",
            "expected 32 octets in base64 (an Ed25519 seed)",
        );
    }
    s.finish(report);
    Enrollment {
        signing_key: key.map(Masked::new),
    }
}

fn telemetry(mut s: Section<'_>, report: &mut Report<'_>) -> Telemetry {
    let telemetry = Telemetry {
        metrics: s.boolean("metrics", true, report),
        log: s.text("log", report).unwrap_or_else(|| "info".to_owned()),
        log_json: s.one_of("log_format", &[("text", false), ("json", true)], false, report),
        hep: hep(&mut s, report),
    };
    if tracing_subscriber::EnvFilter::try_new(&telemetry.log).is_err() {
        let message = format!(
            "expected a level or a filter such as \"info,ringproof::sip=debug\", found {:?}",
            telemetry.log
        );
        s.problem(report, "log", message);
    }
    s.finish(report);
    telemetry
}

fn capture(mut s: Section<'_>, report: &mut Report<'_>) -> Capture {
    let calls = s.integer("calls", 0..=CAPTURED_CALLS_MAX, 100, report);
    let words = [
        ("off", CaptureRtp::Off),
        ("headers", CaptureRtp::Headers),
        ("audio", CaptureRtp::Audio),
    ];
    let rtp = s.one_of("rtp", &words, CaptureRtp::Off, report);
    let rtp_kib = s.integer("rtp_kib", 16..=16_384, 1024, report);
    let callee_audio = s.boolean("callee_audio", false, report);
    if callee_audio && rtp != CaptureRtp::Audio {
        s.problem(report, "callee_audio", "expected rtp = \"audio\" beside it");
    }
    if calls == 0 && rtp != CaptureRtp::Off {
        s.problem(report, "rtp", "expected calls of at least 1 beside it");
    }
    s.finish(report);
    Capture {
        calls: usize::try_from(calls).unwrap_or_default(),
        rtp,
        rtp_octets_max: usize::try_from(rtp_kib).unwrap_or_default() * 1024,
        callee_audio,
    }
}

fn hep(s: &mut Section<'_>, report: &mut Report<'_>) -> Option<Hep> {
    let server = s.text("hep", report);
    let id = s.integer("hep_id", 1..=i64::from(u32::MAX), 1, report);
    let password = s.secret("hep_password", "hep_password_file", report);
    let mask = s.boolean("hep_mask", true, report);
    let Some(server) = server else {
        let keys = ["hep_id", "hep_password", "hep_password_file", "hep_mask"];
        if let Some(key) = keys.into_iter().find(|key| s.holds(key)) {
            s.problem(report, key, "expected hep = \"udp:HOST:PORT\" beside it");
        }
        return None;
    };
    let Some((host, port)) = hep_server(&server) else {
        let message = format!("expected udp:HOST:PORT such as \"udp:127.0.0.1:9060\", found {server:?}");
        s.problem(report, "hep", message);
        return None;
    };
    if password
        .as_ref()
        .is_some_and(|p| p.len() > HEP_PASSWORD_OCTETS_MAX)
    {
        let message = format!("expected at most {HEP_PASSWORD_OCTETS_MAX} octets");
        s.problem(report, "hep_password", message);
    }
    Some(Hep {
        host,
        port,
        id: u32::try_from(id).unwrap_or(u32::MAX),
        password: password.map(Masked::new),
        mask,
    })
}

fn hep_server(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.strip_prefix("udp:")?.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let fits = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_host_name(host) || host.parse::<std::net::Ipv4Addr>().is_ok(),
    };
    fits.then(|| (bracketed.unwrap_or(host).to_owned(), port))
}
