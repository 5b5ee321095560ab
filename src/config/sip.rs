//! `[sip]` and the transport keys of a trunk: listeners, static NAT, inbound calls, name servers, connections, TLS.
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::reader::{Report, Section};
use super::sections::{count, millis, seconds};
use super::types::*;

pub(super) fn sip(mut s: Section<'_>, report: &mut Report<'_>) -> Sip {
    let listen = listeners(&mut s, report);
    let (public_address, listen) = public_addresses(&mut s, listen, report);
    let user_agent = s
        .text("user_agent", report)
        .unwrap_or_else(|| concat!("Ringproof/", env!("CARGO_PKG_VERSION")).to_owned());
    if user_agent.chars().any(char::is_control) || user_agent.len() > 128 {
        s.problem(report, "user_agent", "expected at most 128 printable characters");
    }
    let calls_max = s.integer("max_calls", 1..=100_000, 5000, report).unsigned_abs() as usize;
    let t1 = millis(&mut s, "t1_ms", 50..=2000, 500, report);
    let answers = [
        ("decline", InboundCalls::Decline),
        ("announce", InboundCalls::Announce),
    ];
    let inbound = s.one_of("inbound", &answers, InboundCalls::Decline, report);
    let inbound_max = count(&mut s, "inbound_max", 1..=1000, 4, report);
    let dns = name_servers(&mut s, report);
    let connections_max = s
        .integer("connections_max", 2..=100_000, 1024, report)
        .unsigned_abs() as usize;
    let connections_per_source = s
        .integer("connections_per_source", 1..=100_000, 8, report)
        .unsigned_abs() as usize;
    let keep_alive = seconds(&mut s, "keep_alive_s", 3600.0, 30.0, report);
    let tls = server_tls(s.section("tls", report), report);
    if tls.is_none() && listen.iter().any(|listener| listener.transport == Transport::Tls) {
        s.problem(
            report,
            "listen",
            "expected sip.tls.cert_file and key_file for the tls listener",
        );
    }
    s.finish(report);
    Sip {
        listen,
        public_address,
        user_agent,
        calls_max,
        t1,
        dns,
        inbound,
        inbound_max,
        connections_max,
        connections_per_source,
        keep_alive: (!keep_alive.is_zero()).then(|| keep_alive.max(Duration::from_secs(1))),
        tls,
    }
}

fn name_servers(s: &mut Section<'_>, report: &mut Report<'_>) -> Vec<SocketAddr> {
    let mut servers = Vec::new();
    for text in s.texts("dns", report).unwrap_or_default() {
        let server = text.strip_prefix("udp:").and_then(|address| {
            let with_port = address.parse::<SocketAddr>().ok();
            with_port.or_else(|| Some(SocketAddr::new(address.parse().ok()?, 53)))
        });
        match server {
            Some(server) if server.port() != 0 => servers.push(server),
            _ => s.problem(
                report,
                "dns",
                format!("expected udp:ADDRESS[:PORT] such as \"udp:192.0.2.53\", found {text:?}"),
            ),
        }
    }
    servers
}

fn listeners(s: &mut Section<'_>, report: &mut Report<'_>) -> Vec<SipListener> {
    let mut listen = Vec::new();
    let texts = s
        .texts("listen", report)
        .unwrap_or_else(|| vec!["udp:0.0.0.0:5060".to_owned()]);
    for text in &texts {
        match listener(text) {
            Ok(listener) => listen.push(listener),
            Err(message) => s.problem(report, "listen", message),
        }
    }
    if texts.is_empty() {
        s.problem(
            report,
            "listen",
            "expected at least one listener such as \"udp:0.0.0.0:5060\"",
        );
    }
    listen
}

fn listener(text: &str) -> Result<SipListener, String> {
    let expected = || {
        format!("expected udp:, tcp: or tls: and ADDRESS:PORT such as \"udp:0.0.0.0:5060\", found {text:?}")
    };
    let (transport, address) = text.split_once(':').ok_or_else(expected)?;
    Ok(SipListener {
        transport: Transport::from_name(transport).ok_or_else(expected)?,
        address: address.parse().map_err(|_| expected())?,
        public: None,
    })
}

/// One address for all listeners, or a table with one for some of them.
fn public_addresses(
    s: &mut Section<'_>,
    mut listen: Vec<SipListener>,
    report: &mut Report<'_>,
) -> (Option<IpAddr>, Vec<SipListener>) {
    const KEY: &str = "public_address";
    if !s.holds_table(KEY) {
        let one = s.parsed(KEY, "an IP address such as 203.0.113.10", report);
        return (one, listen);
    }
    for (name, text) in s.text_table(KEY, report) {
        let ip = text.parse().map(|ip: IpAddr| SocketAddr::new(ip, 0));
        let Ok(public) = ip.or_else(|_| text.parse::<SocketAddr>()) else {
            let message = format!("expected an address with or without a port for {name}, found {text:?}");
            s.problem(report, KEY, message);
            continue;
        };
        match listen.iter_mut().find(|listener| listener.to_string() == name) {
            Some(listener) => listener.public = Some(public),
            None => s.problem(
                report,
                KEY,
                format!("expected a listener of sip.listen, found {name:?}"),
            ),
        }
    }
    (None, listen)
}

fn server_tls(mut s: Section<'_>, report: &mut Report<'_>) -> Option<ServerTls> {
    let identity = identity(&mut s, report);
    let client_ca_file = s.file("client_ca_file", report);
    s.finish(report);
    Some(ServerTls {
        identity: identity?,
        client_ca_file,
    })
}

/// Both files or none.
fn identity(s: &mut Section<'_>, report: &mut Report<'_>) -> Option<TlsIdentity> {
    let (cert_file, key_file) = (s.file("cert_file", report), s.file("key_file", report));
    match (cert_file, key_file) {
        (Some(cert_file), Some(key_file)) => Some(TlsIdentity { cert_file, key_file }),
        (None, None) => None,
        (Some(_), None) => {
            s.problem(report, "key_file", "expected key_file beside cert_file");
            None
        }
        (None, Some(_)) => {
            s.problem(report, "cert_file", "expected cert_file beside key_file");
            None
        }
    }
}

/// The TLS keys of a trunk.
pub(super) fn trunk_tls(s: &mut Section<'_>, report: &mut Report<'_>) -> TrunkTls {
    let mut table = s.section("tls", report);
    let ca_file = table.file("ca_file", report);
    let identity = identity(&mut table, report);
    table.finish(report);
    let rules = [
        ("rfc5922", TlsNameRule::Rfc5922),
        ("one-label-wildcard", TlsNameRule::OneLabelWildcard),
    ];
    let name = s.text("tls_name", report);
    if let Some(name) = name.as_ref().filter(|name| !is_name(name)) {
        let message = format!("expected a host name such as sip.carrier.example, found {name:?}");
        s.problem(report, "tls_name", message);
    }
    TrunkTls {
        ca_file,
        identity,
        name,
        rule: s.one_of("tls_name_rule", &rules, TlsNameRule::Rfc5922, report),
    }
}

fn is_name(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
        || (!text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-')))
}
