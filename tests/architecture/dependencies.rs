//! `deny.toml`, enforced on what Cargo.lock names: licences, banned crates, sources. `cargo deny check` reads the same file
//! and asks more.
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

struct Rules {
    allowed: BTreeSet<String>,
    banned: BTreeSet<String>,
}

fn rules() -> Rules {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deny.toml")).unwrap();
    let file: toml::Table = text.parse().unwrap();
    let texts = |list: &toml::Value, key: Option<&str>| {
        let entries = list.as_array().unwrap().iter();
        let entries = entries.map(|entry| key.map_or(entry, |key| &entry[key]));
        entries.map(|entry| entry.as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(file["sources"]["unknown-registry"].as_str(), Some("deny"));
    Rules {
        allowed: texts(&file["licenses"]["allow"], None),
        banned: texts(&file["bans"]["deny"], Some("name")),
    }
}

/// An SPDX expression, `/` being the old way to write OR: whether the allowed licences satisfy it.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let joined = spaced.replace(" WITH ", "\u{1}");
    let tokens: Vec<String> = joined
        .split_whitespace()
        .map(|t| t.replace('\u{1}', " WITH "))
        .collect();
    let mut rest = tokens.as_slice();
    let verdict = any_of(&mut rest, allowed);
    assert!(
        rest.is_empty(),
        "expected an SPDX expression, came {expression:?}"
    );
    verdict
}

fn any_of(rest: &mut &[String], allowed: &BTreeSet<String>) -> bool {
    let mut verdict = all_of(rest, allowed);
    while take(rest, "OR") {
        verdict |= all_of(rest, allowed);
    }
    verdict
}

fn all_of(rest: &mut &[String], allowed: &BTreeSet<String>) -> bool {
    let mut verdict = one(rest, allowed);
    while take(rest, "AND") {
        verdict &= one(rest, allowed);
    }
    verdict
}

fn one(rest: &mut &[String], allowed: &BTreeSet<String>) -> bool {
    if take(rest, "(") {
        let verdict = any_of(rest, allowed);
        assert!(take(rest, ")"), "a bracket is not closed");
        return verdict;
    }
    let (first, after) = rest.split_first().expect("a licence");
    *rest = after;
    allowed.contains(first)
}

fn take(rest: &mut &[String], token: &str) -> bool {
    match rest.split_first() {
        Some((first, after)) if first == token => {
            *rest = after;
            true
        }
        _ => false,
    }
}

#[test]
fn every_dependency_has_an_allowed_licence_and_source_and_none_is_banned() {
    let rules = rules();
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .arg("--manifest-path")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 100, "{} packages", packages.len());
    let mut faults = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let source = package["source"].as_str();
        let is_ours = name == "ringproof" && source.is_none();
        let is_known = source.is_some_and(|s| s == "registry+https://github.com/rust-lang/crates.io-index");
        if !is_ours && !is_known {
            faults.push(format!("{name}: comes from {source:?}"));
        }
        if rules.banned.contains(name) {
            faults.push(format!("{name}: banned"));
        }
        if !is_licensed(package, &rules) {
            faults.push(format!("{name}: licence {}", package["license"]));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

fn is_licensed(package: &serde_json::Value, rules: &Rules) -> bool {
    if let Some(expression) = package["license"].as_str() {
        return is_allowed(expression, &rules.allowed);
    }
    // Only a file: its first line names the licence.
    let manifest = Path::new(package["manifest_path"].as_str().unwrap());
    let file = package["license_file"]
        .as_str()
        .map(|file| manifest.with_file_name(file));
    let text = file.and_then(|file| std::fs::read_to_string(file).ok());
    text.is_some_and(|text| text.contains("MIT License") && rules.allowed.contains("MIT"))
}

#[test]
fn expressions_are_read_as_spdx_means_them() {
    let allowed: BTreeSet<String> = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"]
        .map(String::from)
        .into();
    for good in [
        "MIT",
        "GPL-3.0 OR MIT",
        "MIT/GPL-3.0",
        "MIT AND Apache-2.0",
        "(GPL-3.0 OR MIT) AND Apache-2.0",
        "Apache-2.0 WITH LLVM-exception OR GPL-3.0",
    ] {
        assert!(is_allowed(good, &allowed), "{good}");
    }
    for bad in [
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "(MIT OR Apache-2.0) AND GPL-3.0",
        "GPL-3.0 WITH LLVM-exception",
    ] {
        assert!(!is_allowed(bad, &allowed), "{bad}");
    }
}
