//! The configuration as it is in force, in the form of the file, secrets masked.
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use super::types::*;

/// Prints every section as TOML. A secret is written as `"***"`.
#[must_use]
pub fn show(config: &Config) -> String {
    let mut out = Printer(String::new());
    server(&mut out, config);
    for trunk in &config.trunks {
        show_trunk(&mut out, trunk);
    }
    show_policy(&mut out, &config.policy);
    for profile in config.profiles.values() {
        show_profile(&mut out, profile);
    }
    services(&mut out, config);
    out.0
}

struct Printer(String);

impl Printer {
    fn table(&mut self, name: &str) {
        let gap = if self.0.is_empty() { "" } else { "\n" };
        let _ = writeln!(self.0, "{gap}{name}");
    }

    fn raw(&mut self, key: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{key} = {value}");
    }

    fn text(&mut self, key: &str, value: impl std::fmt::Display) {
        self.raw(key, quoted(&value.to_string()));
    }

    fn optional(&mut self, key: &str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    fn list(&mut self, key: &str, values: impl IntoIterator<Item = impl std::fmt::Display>) {
        let items: Vec<String> = values.into_iter().map(|v| quoted(&v.to_string())).collect();
        self.raw(key, format!("[{}]", items.join(", ")));
    }

    fn map(&mut self, key: &str, values: &BTreeMap<String, String>) {
        let items: Vec<String> = values
            .iter()
            .map(|(k, v)| format!("{} = {}", bare_key(k), quoted(v)))
            .collect();
        self.raw(key, format!("{{ {} }}", items.join(", ")));
    }

    fn seconds(&mut self, key: &str, value: Duration) {
        self.raw(key, value.as_secs_f64());
    }
}

/// Bare where TOML allows it.
fn bare_key(text: &str) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    match text.bytes().all(bare) && !text.is_empty() {
        true => text.to_owned(),
        false => quoted(text),
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn server(out: &mut Printer, config: &Config) {
    out.table("[server]");
    out.text("listen", config.server.listen);
    out.optional("admin_listen", config.server.admin_listen);
    out.text("public_url", &config.server.public_url);
    out.seconds("drain_s", config.server.drain);
    out.text("node", &config.server.node);
    out.list("trusted_proxies", &config.server.trusted_proxies);
    out.table("[store]");
    out.text("url", &config.store.url);
    out.raw("retention_days", config.store.retention.as_secs_f64() / 86_400.0);
    out.table("[sip]");
    show_sip(out, &config.sip);
    out.table("[media]");
    out.text(
        "rtp_ports",
        format!("{}-{}", config.media.rtp_ports.0, config.media.rtp_ports.1),
    );
    out.raw("threads", config.media.threads);
    out.optional("bind", config.media.bind);
    out.raw("max_calls", config.media.calls_max);
    out.raw("pin", config.media.pin);
}

fn show_sip(out: &mut Printer, sip: &Sip) {
    out.list("listen", &sip.listen);
    out.optional("public_address", sip.public_address);
    let public = |listener: &SipListener| {
        let public = listener.public?;
        let address = match public.port() {
            0 => public.ip().to_string(),
            _ => public.to_string(),
        };
        Some(format!(
            "{} = {}",
            quoted(&listener.to_string()),
            quoted(&address)
        ))
    };
    let public: Vec<String> = sip.listen.iter().filter_map(public).collect();
    if !public.is_empty() {
        out.raw("public_address", format!("{{ {} }}", public.join(", ")));
    }
    out.text("user_agent", &sip.user_agent);
    out.raw("max_calls", sip.calls_max);
    out.raw("t1_ms", sip.t1.as_millis());
    let inbound = match sip.inbound {
        InboundCalls::Decline => "decline",
        InboundCalls::Announce => "announce",
    };
    out.text("inbound", inbound);
    out.raw("inbound_max", sip.inbound_max);
    out.list("dns", sip.dns.iter().map(|server| format!("udp:{server}")));
    out.raw("connections_max", sip.connections_max);
    out.raw("connections_per_source", sip.connections_per_source);
    out.seconds("keep_alive_s", sip.keep_alive.unwrap_or_default());
    if let Some(tls) = &sip.tls {
        let ca = tls.client_ca_file.as_deref();
        let files = tls_files(Some(&tls.identity), ca.map(|ca| ("client_ca_file", ca)));
        out.raw("tls", files);
    }
}

fn tls_files(identity: Option<&TlsIdentity>, ca: Option<(&str, &Path)>) -> String {
    let identity = identity.map(|identity| {
        [
            ("cert_file", identity.cert_file.as_path()),
            ("key_file", identity.key_file.as_path()),
        ]
    });
    let files: Vec<String> = identity
        .into_iter()
        .flatten()
        .chain(ca)
        .map(|(key, path)| format!("{key} = {}", quoted(&path.display().to_string())))
        .collect();
    format!("{{ {} }}", files.join(", "))
}

fn register_text(register: &Register) -> String {
    let registrar = quoted(&register.registrar.to_string());
    let (aor, user) = (quoted(&register.aor), quoted(&register.contact_user));
    let expires_s = register.expires_s;
    format!("{{ expires_s = {expires_s}, registrar = {registrar}, aor = {aor}, contact_user = {user} }}")
}

fn show_trunk(out: &mut Printer, trunk: &Trunk) {
    out.table("[[trunk]]");
    out.text("name", &trunk.name);
    out.list("targets", trunk.targets.iter().map(ToString::to_string));
    if let Some(auth) = &trunk.auth {
        let realm = auth
            .realm
            .as_ref()
            .map_or(String::new(), |r| format!(", realm = {}", quoted(r)));
        out.raw(
            "auth",
            format!(
                "{{ username = {}, password = \"***\"{realm} }}",
                quoted(&auth.username)
            ),
        );
    }
    if let Some(register) = &trunk.register {
        out.raw("register", register_text(register));
    }
    out.list("peers", &trunk.peers);
    out.text("number_format", number_format(trunk.number_format));
    out.optional("home_country", trunk.home_country.as_ref());
    out.text("tech_prefix", &trunk.tech_prefix);
    let mut ids = trunk.caller_id.clone();
    ids.insert("default".to_owned(), trunk.caller_id_default.clone());
    out.map("caller_id", &ids);
    out.optional("caller_id_format", trunk.caller_id_format.map(number_format));
    out.optional("from_user", trunk.from_user.as_ref());
    out.optional("from_domain", trunk.from_domain.as_ref());
    out.optional("display_name", trunk.display_name.as_ref());
    let identity = match trunk.identity {
        Identity::None => "none",
        Identity::Asserted => "asserted",
        Identity::Preferred => "preferred",
    };
    out.text("identity", identity);
    out.optional("privacy", trunk.privacy.as_ref());
    if let Some(Diversion { number, reason }) = &trunk.diversion {
        let (number, reason) = (quoted(number), quoted(reason));
        out.raw("diversion", format!("{{ number = {number}, reason = {reason} }}"));
    }
    out.map("uri_params", &trunk.uri_params);
    out.map("headers", &trunk.headers);
    out.raw("cps", trunk.cps);
    out.raw("max_calls", trunk.calls_max);
    let dtmf = match trunk.dtmf {
        Dtmf::Auto => "auto",
        Dtmf::Rfc4733 => "rfc4733",
        Dtmf::Inband => "inband",
    };
    out.text("dtmf", dtmf);
    out.list("codecs", &trunk.codecs);
    out.text("srtp", trunk.srtp.as_str());
    out.text("srtp_profile", trunk.srtp_profile.as_str());
    out.raw("rtcp_mux", trunk.rtcp_mux);
    out.raw("learn", trunk.learn);
    out.text("rel100", if trunk.rel100 { "supported" } else { "off" });
    out.raw("failover_on_timeout", trunk.failover_on_timeout);
    out.seconds("options_s", trunk.options);
    out.raw("tcp_switch", trunk.tcp_switch);
    show_trunk_tls(out, &trunk.tls);
}

fn show_trunk_tls(out: &mut Printer, tls: &TrunkTls) {
    if tls.ca_file.is_some() || tls.identity.is_some() {
        let ca = tls.ca_file.as_deref();
        out.raw(
            "tls",
            tls_files(tls.identity.as_ref(), ca.map(|ca| ("ca_file", ca))),
        );
    }
    out.optional("tls_name", tls.name.as_ref());
    let rule = match tls.rule {
        TlsNameRule::Rfc5922 => "rfc5922",
        TlsNameRule::OneLabelWildcard => "one-label-wildcard",
    };
    out.text("tls_name_rule", rule);
}

const fn number_format(format: NumberFormat) -> &'static str {
    match format {
        NumberFormat::PlusE164 => "+e164",
        NumberFormat::E164 => "e164",
        NumberFormat::DoubleZero => "00",
        NumberFormat::National => "national",
    }
}

fn show_policy(out: &mut Printer, policy: &Policy) {
    use crate::model::NumberValidation;
    out.table("[policy]");
    out.list("countries", &policy.countries);
    let validation = match policy.number_validation {
        NumberValidation::Strict => "strict",
        NumberValidation::Possible => "possible",
        NumberValidation::Shape => "shape",
    };
    out.text("number_validation", validation);
    out.list("internal_numbers", &policy.internal_numbers);
    let n = &policy.per_number;
    let again_s = n.again_after.as_secs_f64();
    out.raw(
        "per_number",
        format!(
            "{{ per_hour = {}, per_day = {}, again_after_s = {again_s} }}",
            n.per_hour, n.per_day
        ),
    );
    out.raw("per_user_per_hour", policy.per_user_per_hour);
    out.raw("per_ip_per_hour", policy.per_ip_per_hour);
    out.raw("per_key_per_hour", policy.per_key_per_hour);
    out.raw("per_prefix_per_hour", policy.per_prefix_per_hour);
    out.raw("pending_max", policy.pending_max);
    out.raw("refuse_when_late", policy.refuse_when_late);
    out.seconds("fraud_block_s", policy.fraud_block);
}

fn show_profile(out: &mut Printer, profile: &Profile) {
    out.table(&format!("[profile.{}]", profile.name));
    out.text("brand", &profile.brand);
    out.text("locale", &profile.locale);
    out.optional("prompts", profile.prompts.as_ref());
    out.text("confirm_key", profile.confirm_key);
    out.text("repeat_key", profile.repeat_key);
    out.text("reveal_key", profile.reveal_key);
    out.text(
        "fraud_key",
        profile
            .fraud_key
            .map_or_else(|| "none".to_owned(), |k| k.to_string()),
    );
    out.seconds("fraud_window_s", profile.fraud_window);
    out.list("methods", &profile.methods);
    out.list("callbacks", &profile.callbacks);
    out.optional("callback_url", profile.callback_url.as_ref());
    out.list("return_urls", &profile.return_urls);
    out.raw("plays", profile.plays);
    out.seconds("wait_key_s", profile.wait_key);
    out.raw("first_word_ms", profile.first_word.as_millis());
    out.raw("invalid_keys", profile.invalid_keys_max);
    out.raw("wrong_keys_max", profile.wrong_keys_max);
    out.raw("wrong_codes_max", profile.wrong_codes_max);
    out.raw("quiet_before_ms", profile.quiet_before.as_millis());
    out.raw("quiet_after_ms", profile.quiet_after.as_millis());
    out.raw("fraud_sentence", profile.fraud_sentence);
    out.raw("goodbye", profile.goodbye);
    out.text("screening", profile.screening.as_str());
    out.seconds("ring_s", profile.ring);
    out.seconds("no_18x_s", profile.no_18x);
    out.seconds("ring_hard_s", profile.ring_hard);
    out.seconds("answered_max_s", profile.answered_max);
    out.seconds("expires_in_s", profile.expires_in);
}

fn services(out: &mut Printer, config: &Config) {
    out.table("[prompts]");
    out.optional(
        "directory",
        config.prompts.directory.as_ref().map(|d| d.display()),
    );
    out.text(
        "brand_engine",
        config.prompts.brand_engine.as_deref().unwrap_or("none"),
    );
    out.table("[webhook]");
    for (key, _) in ["secret", "previous_secret"].iter().zip(&config.webhook.secrets) {
        out.text(key, "***");
    }
    out.list("allow_private", &config.webhook.allow_private);
    out.list("progress_events", &config.webhook.progress_events);
    out.raw("workers", config.webhook.workers);
    out.table("[enrollment]");
    out.optional("signing_key", config.enrollment.signing_key.as_ref());
    out.table("[telemetry]");
    out.raw("metrics", config.telemetry.metrics);
    out.text("log", &config.telemetry.log);
    out.text(
        "log_format",
        if config.telemetry.log_json { "json" } else { "text" },
    );
    if let Some(hep) = &config.telemetry.hep {
        let host = match hep.host.contains(':') {
            true => format!("[{}]", hep.host),
            false => hep.host.clone(),
        };
        out.text("hep", format!("udp:{host}:{}", hep.port));
        out.raw("hep_id", hep.id);
        out.optional("hep_password", hep.password.as_ref());
        out.raw("hep_mask", hep.mask);
    }
    out.table("[capture]");
    out.raw("calls", config.capture.calls);
    out.text("rtp", config.capture.rtp.as_str());
    out.raw("rtp_kib", config.capture.rtp_octets_max / 1024);
    out.raw("callee_audio", config.capture.callee_audio);
}
