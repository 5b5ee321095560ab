//! What a changed file changes in a running server, key by key, and what of it must wait for a restart.
use std::collections::BTreeMap;
use std::path::PathBuf;

use super::contents;
use super::show::show;
use super::types::*;

/// Sections and keys that are read at the start only: what listens, what is open, what the store holds by name.
const AT_START_ONLY: [&str; 10] = [
    "server.listen",
    "server.admin_listen",
    "server.public_url",
    "server.node",
    "store.",
    "sip.",
    "media.",
    "enrollment.",
    "telemetry.",
    "capture.",
];

/// Keys whose value differs, dotted as problems name them, in alphabetical order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    pub in_force: Vec<String>,
    pub needs_restart: Vec<String>,
}

/// Compares what runs with what was read again.
#[must_use]
pub fn changes(running: &Config, new: &Config) -> Changes {
    let (old_keys, new_keys) = (keys(running), keys(new));
    let mut paths: Vec<String> = Vec::new();
    for table in old_keys.keys().chain(new_keys.keys()) {
        match (old_keys.get(table), new_keys.get(table)) {
            (Some(old), Some(new)) => {
                let of_both = old.keys().chain(new.keys());
                let differ = of_both.filter(|key| old.get(*key) != new.get(*key));
                paths.extend(differ.map(|key| format!("{table}.{key}")));
            }
            (None, _) => paths.push(format!("{table} (new)")),
            (_, None) => paths.push(format!("{table} (gone)")),
        }
    }
    paths.extend(contents::changed(&running.contents, &new.contents));
    paths.extend(secrets(running, new));
    if reordered(running, new) {
        paths.push("trunk (their order)".to_owned());
    }
    paths.sort();
    paths.dedup();
    let waits = |path: &String| AT_START_ONLY.iter().any(|key| path.starts_with(key));
    let (needs_restart, in_force) = paths.into_iter().partition(waits);
    Changes {
        in_force,
        needs_restart,
    }
}

/// The configuration of the server after it has taken what it can of `new`.
#[must_use]
pub fn in_force(running: &Config, new: Config) -> Config {
    let old = running.clone();
    // The listeners keep the certificates that they began with.
    let at_start = |(key, _): &(String, PathBuf)| AT_START_ONLY.iter().any(|start| key.starts_with(start));
    let mut contents = old.contents;
    contents.retain(|of, _| at_start(of));
    contents.extend(new.contents.into_iter().filter(|(of, _)| !at_start(of)));
    Config {
        contents,
        server: Server {
            drain: new.server.drain,
            trusted_proxies: new.server.trusted_proxies,
            ..old.server
        },
        store: old.store,
        sip: old.sip,
        media: old.media,
        trunks: new.trunks,
        policy: new.policy,
        profiles: new.profiles,
        prompts: new.prompts,
        webhook: new.webhook,
        enrollment: old.enrollment,
        telemetry: old.telemetry,
        capture: old.capture,
    }
}

type Table = BTreeMap<String, toml::Value>;

/// `server`, `trunk.carrier`, `profile.default` → its keys, as `config show` writes them.
fn keys(config: &Config) -> BTreeMap<String, Table> {
    let shown: toml::Table = show(config).parse().unwrap_or_default();
    let mut tables = BTreeMap::new();
    for (section, value) in shown {
        match value {
            toml::Value::Array(items) => {
                for item in items.into_iter().filter_map(as_table) {
                    let name = item.get("name").and_then(toml::Value::as_str).unwrap_or_default();
                    tables.insert(format!("{section}.{name}"), item);
                }
            }
            toml::Value::Table(table) if !table.is_empty() && table.values().all(toml::Value::is_table) => {
                for (name, item) in table {
                    tables.extend(as_table(item).map(|item| (format!("{section}.{name}"), item)));
                }
            }
            other => tables.extend(as_table(other).map(|table| (section, table))),
        }
    }
    tables
}

fn as_table(value: toml::Value) -> Option<Table> {
    match value {
        toml::Value::Table(table) => Some(table.into_iter().collect()),
        _ => None,
    }
}

/// `config show` hides them, so that their change shows only here.
fn secrets(running: &Config, new: &Config) -> Vec<String> {
    let mut paths = Vec::new();
    for trunk in &new.trunks {
        let password = |trunk: &Trunk| trunk.auth.as_ref().map(|auth| auth.password.clone());
        let old = running.trunks.iter().find(|old| old.name == trunk.name);
        if old.is_some_and(|old| password(old) != password(trunk)) {
            paths.push(format!("trunk.{}.auth", trunk.name));
        }
    }
    if running.webhook.secrets != new.webhook.secrets {
        paths.push("webhook.secret".to_owned());
    }
    if running.enrollment.signing_key != new.enrollment.signing_key {
        paths.push("enrollment.signing_key".to_owned());
    }
    let password = |config: &Config| config.telemetry.hep.as_ref().and_then(|hep| hep.password.clone());
    if password(running) != password(new) {
        paths.push("telemetry.hep_password".to_owned());
    }
    paths
}

/// Calls try trunks in the order of the file.
fn reordered(running: &Config, new: &Config) -> bool {
    let common = |of: &Config, with: &Config| -> Vec<String> {
        let names = of.trunks.iter().map(|trunk| trunk.name.clone());
        names
            .filter(|name| with.trunks.iter().any(|trunk| trunk.name == *name))
            .collect()
    };
    common(running, new) != common(new, running)
}
