//! The rules as data, and the checks over one source file.
use std::collections::BTreeMap;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

pub(super) const FILE_LINES_MAX: usize = 800;
pub(super) const FUNCTION_LINES_MAX: usize = 70;

/// Room → rooms that it may import besides itself.
const ALLOWED: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("config", &["model"]),
    ("policy", &["model"]),
    ("sip", &["model"]),
    ("sdp", &["model"]),
    ("media", &["model"]),
    ("ivr", &["model"]),
    ("call", &["model", "sip", "sdp", "media", "ivr"]),
    ("store", &["model", "policy"]),
    ("net", &["model", "sip", "media"]),
    ("prompt", &["model", "media", "ivr"]),
    ("telemetry", &["model"]),
    ("api", &["model", "policy", "store", "telemetry"]),
    ("web", &["model", "policy", "store", "telemetry", "api"]),
    (
        "dialer",
        &[
            "model",
            "policy",
            "sip",
            "sdp",
            "media",
            "ivr",
            "call",
            "store",
            "net",
            "prompt",
            "telemetry",
        ],
    ),
    ("webhook", &["model", "store", "telemetry"]),
    (
        "sim",
        &[
            "model",
            "sip",
            "sdp",
            "media",
            "ivr",
            "net",
            "prompt",
            "telemetry",
        ],
    ),
    (
        "app",
        &[
            "model",
            "config",
            "policy",
            "sip",
            "sdp",
            "media",
            "ivr",
            "call",
            "store",
            "net",
            "prompt",
            "telemetry",
            "api",
            "web",
            "dialer",
            "webhook",
            "sim",
        ],
    ),
    (
        "cli",
        &[
            "model",
            "config",
            "policy",
            "sip",
            "sdp",
            "media",
            "ivr",
            "call",
            "store",
            "net",
            "prompt",
            "telemetry",
            "api",
            "web",
            "dialer",
            "webhook",
            "sim",
            "app",
        ],
    ),
];

pub(super) const PURE: &[&str] = &["model", "policy", "sip", "sdp", "media", "ivr", "call"];

/// What a pure room never names: I/O, tasks, threads, the environment.
const BANNED_IN_PURE: &[&str] = &[
    "tokio",
    "reqwest",
    "rusqlite",
    "axum",
    "rustix",
    "getrandom",
    "std::fs",
    "std::thread",
    "std::env",
    "std::process",
    "std::net::UdpSocket",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::ToSocketAddrs",
    "std::sync::mpsc",
    "std::sync::Mutex",
    "std::sync::RwLock",
    "std::io::stdin",
    "std::io::stdout",
];

/// Crate → the only file (with its own submodules) or room (ending in `/`) that may name it.
const ONLY: &[(&str, &str)] = &[
    ("rsip", "sip/message.rs"),
    ("rtp_rs", "media/rtp.rs"),
    ("webrtc_media", "media/frame.rs"),
    ("webrtc_rtp", "media/frame.rs"),
    ("hound", "prompt/"),
    ("rusqlite", "store/"),
    ("sdp_types", "sdp/"),
    ("rlibphonenumber", "model/"),
    ("aws_lc_rs", "media/srtp/cipher.rs"),
];

/// Every path that `text` names, absolute where it starts in this crate (`crate::room::…`).
pub(super) fn paths(file: &str, text: &str) -> Vec<(usize, Vec<String>)> {
    let parsed = syn::parse_file(text).unwrap_or_else(|e| panic!("{file}: {e}"));
    let mut walk = Paths {
        module: module_of(file),
        found: Vec::new(),
        aliases: BTreeMap::new(),
    };
    walk.visit_file(&parsed);
    walk.found
}

fn module_of(file: &str) -> Vec<String> {
    let mut parts: Vec<String> = file
        .trim_end_matches(".rs")
        .split('/')
        .map(str::to_owned)
        .collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        parts.pop();
    }
    parts
}

struct Paths {
    module: Vec<String>,
    found: Vec<(usize, Vec<String>)>,
    /// `use a::b as c` → c stands for a::b, so that `c::net` is seen through.
    aliases: BTreeMap<String, Vec<String>>,
}

impl Paths {
    fn resolve(&self, path: &[String]) -> Vec<String> {
        let mut rest = path;
        let mut base = self.module.clone();
        let mut inside = false;
        while let Some(first) = rest.first() {
            match first.as_str() {
                "self" if !inside => inside = true,
                "super" => {
                    base.pop();
                    inside = true;
                }
                _ => break,
            }
            rest = &rest[1..];
        }
        if inside {
            return std::iter::once("crate".to_owned())
                .chain(base)
                .chain(rest.iter().cloned())
                .collect();
        }
        match rest.first() {
            Some(first) if first == "ringproof" => std::iter::once("crate".to_owned())
                .chain(rest[1..].iter().cloned())
                .collect(),
            Some(first) if self.aliases.contains_key(first) => {
                self.aliases[first].iter().chain(&rest[1..]).cloned().collect()
            }
            _ => rest.to_vec(),
        }
    }

    fn tree(&mut self, prefix: &[String], tree: &syn::UseTree) {
        let extended = |name: &syn::Ident| {
            prefix
                .iter()
                .cloned()
                .chain(std::iter::once(name.to_string()))
                .collect::<Vec<_>>()
        };
        match tree {
            syn::UseTree::Path(path) => self.tree(&extended(&path.ident), &path.tree),
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.tree(prefix, item)),
            syn::UseTree::Name(name) => {
                let resolved = self.resolve(&extended(&name.ident));
                if name.ident != "self" && resolved.first().is_some_and(|f| f == "crate") {
                    self.aliases.insert(name.ident.to_string(), resolved.clone());
                }
                self.found.push((name.span().start().line, resolved));
            }
            syn::UseTree::Rename(rename) => {
                let resolved = self.resolve(&extended(&rename.ident));
                self.aliases.insert(rename.rename.to_string(), resolved.clone());
                self.found.push((rename.span().start().line, resolved));
            }
            syn::UseTree::Glob(glob) => {
                let resolved = self.resolve(prefix);
                self.found.push((glob.span().start().line, resolved));
            }
        }
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree(&[], &item.tree);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if item.attrs.iter().any(is_cfg_test) {
            return;
        }
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        if names.len() > 1 {
            let resolved = self.resolve(&names);
            self.found.push((path.span().start().line, resolved));
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        // Paths inside a macro are tokens to us: read the `crate::room` and `super::` runs out of its text.
        let text = item.tokens.to_string().replace(' ', "");
        for (start, _) in text.match_indices("crate::") {
            let run: Vec<String> = text[start..]
                .split("::")
                .map(|s| {
                    s.chars()
                        .take_while(|c| c.is_alphanumeric() || *c == '_')
                        .collect::<String>()
                })
                .take(2)
                .collect();
            self.found.push((item.span().start().line, run));
        }
        visit::visit_macro(self, item);
    }
}

fn is_cfg_test(attribute: &syn::Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute
            .meta
            .require_list()
            .is_ok_and(|list| list.tokens.to_string().contains("test"))
}

/// Files that are compiled for tests only: their `mod` line carries `#[cfg(test)]`.
fn is_test_file(file: &str) -> bool {
    const NAMES: [&str; 5] = [
        "tests.rs",
        "vectors.rs",
        "torture.rs",
        "cases.rs",
        "simulation.rs",
    ];
    NAMES.iter().any(|name| file.ends_with(name)) || file.contains("/tests/") || file.contains("/simulation/")
}

/// Import directions, banned names in pure rooms, crates that one place may name.
pub(super) fn imports(file: &str, text: &str) -> Vec<String> {
    let room = file.split('/').next().unwrap_or_default().trim_end_matches(".rs");
    if matches!(room, "lib" | "main") {
        return Vec::new();
    }
    let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == room) else {
        return vec![format!("{file}: the room {room} is not in the plan")];
    };
    let is_test = is_test_file(file);
    let mut breaches = Vec::new();
    for (line, path) in paths(file, text) {
        let joined = path.join("::");
        if path[0] == "crate" {
            let target = path.get(1).map_or("", String::as_str);
            let is_room = ALLOWED.iter().any(|(name, _)| *name == target);
            if is_room && target != room && !allowed.contains(&target) {
                breaches.push(format!("{file}:{line}: {room} must not use {target} ({joined})"));
            }
            continue;
        }
        if PURE.contains(&room) && !is_test {
            for banned in BANNED_IN_PURE {
                if joined == *banned || joined.starts_with(&format!("{banned}::")) {
                    breaches.push(format!("{file}:{line}: {banned} in the pure room {room}"));
                }
            }
        }
        for (name, place) in ONLY.iter().filter(|(name, _)| path[0] == *name) {
            let fits = if place.ends_with('/') {
                file.starts_with(place)
            } else {
                file == *place || file.starts_with(&place.replace(".rs", "/"))
            };
            if !fits {
                breaches.push(format!("{file}:{line}: only {place} may name {name}"));
            }
        }
    }
    breaches
}

/// Each pure room's `mod.rs` carries the clippy fence.
pub(super) fn fences(file: &str, text: &str) -> Vec<String> {
    let pure = PURE.iter().any(|room| file == format!("{room}/mod.rs"));
    let fence = "#![deny(clippy::disallowed_methods, clippy::disallowed_types)]";
    if pure && !text.contains(fence) {
        return vec![format!("{file}: a pure room must start with {fence}")];
    }
    let loosened = PURE.iter().any(|room| file.starts_with(&format!("{room}/")))
        && text
            .lines()
            .any(|l| l.contains("allow(clippy::disallowed") || l.contains("expect(clippy::disallowed"));
    if loosened && !is_test_file(file) && !text.contains("#[cfg(test)]") {
        return vec![format!("{file}: a pure room loosens its fence")];
    }
    Vec::new()
}

/// Names of functions over the limit, tests left out.
pub(super) fn long_functions(file: &str, text: &str) -> Vec<String> {
    struct Functions<'f> {
        file: &'f str,
        found: Vec<String>,
    }
    impl Functions<'_> {
        fn check(&mut self, name: &syn::Ident, block: &syn::Block) {
            let lines = block.span().end().line - block.span().start().line + 1;
            if lines > FUNCTION_LINES_MAX {
                self.found.push(format!("{}::{name} ({lines})", self.file));
            }
        }
    }
    impl<'ast> Visit<'ast> for Functions<'_> {
        fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
            if !item.attrs.iter().any(is_cfg_test) {
                visit::visit_item_mod(self, item);
            }
        }
        fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
            self.check(&item.sig.ident, &item.block);
            visit::visit_item_fn(self, item);
        }
        fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
            self.check(&item.sig.ident, &item.block);
            visit::visit_impl_item_fn(self, item);
        }
    }
    if is_test_file(file) {
        return Vec::new();
    }
    let mut functions = Functions {
        file,
        found: Vec::new(),
    };
    functions.visit_file(&syn::parse_file(text).unwrap_or_else(|e| panic!("{file}: {e}")));
    functions.found
}
