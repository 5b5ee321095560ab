//! The plan of the house, enforced: import directions, crates that one file may name, sizes.
//!
//! The source is parsed by `syn`, so grouped, renamed, `super` and re-exported paths are resolved, and comments
//! and strings cannot confuse it. `breaches.rs` plants one breach of each rule and sees it found.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test says why it fails"
)]
#[path = "architecture/breaches.rs"]
mod breaches;
#[path = "architecture/rules.rs"]
mod rules;

use std::fs;
use std::path::{Path, PathBuf};

/// Files over 800 lines and functions over 70, by name. The list only shrinks: a name that fits again must go.
const LONG_FILES: &[&str] = &[];
const LONG_FUNCTIONS: &[&str] = &[
    "app/mod.rs::start (73)",
    "sim/callee.rs::defaults (184)",
    "sim/phone.rs::run (87)",
    "web/texts.rs::end_text (119)",
];

fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    visit(&root, &mut found);
    found.sort();
    assert!(found.len() > 30, "the walk lost its way: {} files", found.len());
    found
        .iter()
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}

fn visit(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            visit(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn rooms_import_only_what_the_plan_allows() {
    let breaches: Vec<String> = sources()
        .iter()
        .flat_map(|(name, text)| rules::imports(name, text))
        .collect();
    assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));
}

#[test]
fn pure_rooms_deny_clock_threads_and_unordered_maps() {
    let breaches: Vec<String> = sources()
        .iter()
        .flat_map(|(name, text)| rules::fences(name, text))
        .collect();
    assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));
}

#[test]
fn files_and_functions_stay_small_and_the_exceptions_only_shrink() {
    let (mut files, mut functions) = (Vec::new(), Vec::new());
    for (name, text) in sources() {
        if text.lines().count() > rules::FILE_LINES_MAX {
            files.push(name.clone());
        }
        functions.extend(rules::long_functions(&name, &text));
    }
    assert_eq!(files, LONG_FILES, "files over {} lines", rules::FILE_LINES_MAX);
    assert_eq!(
        functions,
        LONG_FUNCTIONS,
        "functions over {} lines",
        rules::FUNCTION_LINES_MAX
    );
}
