//! Typed reading of a tree: every problem is collected with its place, unknown keys get a suggestion.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use super::tree::{Node, Origin, Value};

/// One thing wrong in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// `FILE:LINE`, or the name of the environment variable.
    pub place: String,
    /// Dotted key: `media.rtp_ports`, `trunk.carrier.cps`.
    pub key: String,
    /// What was expected, what came, and the mend.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.place, self.key, self.message)
    }
}

/// Collects problems; one for the whole file.
pub(super) struct Report<'a> {
    pub(super) file: &'a str,
    pub(super) directory: &'a Path,
    pub(super) problems: Vec<Problem>,
}

impl Report<'_> {
    pub(super) fn place(&self, origin: &Origin) -> String {
        match origin {
            Origin::Line(line) => format!("{}:{line}", self.file),
            Origin::Environment(name) => name.clone(),
        }
    }

    pub(super) fn add(&mut self, origin: &Origin, key: &str, message: impl Into<String>) {
        self.problems.push(Problem {
            place: self.place(origin),
            key: key.to_owned(),
            message: message.into(),
        });
    }
}

/// One table being read. Keys that nobody asked for are reported by [`Section::finish`].
pub(super) struct Section<'t> {
    path: String,
    origin: Origin,
    table: Option<&'t BTreeMap<String, Node>>,
    asked: BTreeSet<&'static str>,
}

/// What [`Section::switch`] found.
pub(super) enum Switch<'t> {
    Off,
    On(Section<'t>),
}

impl<'t> Section<'t> {
    pub(super) fn root(table: &'t BTreeMap<String, Node>) -> Self {
        Self {
            path: String::new(),
            origin: Origin::Line(1),
            table: Some(table),
            asked: BTreeSet::new(),
        }
    }

    pub(super) const fn origin(&self) -> &Origin {
        &self.origin
    }

    pub(super) fn path(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    fn node(&mut self, key: &'static str) -> Option<&'t Node> {
        self.asked.insert(key);
        self.table?.get(key)
    }

    /// Whether `key` is written here.
    pub(super) fn holds(&self, key: &str) -> bool {
        self.table.is_some_and(|t| t.contains_key(key))
    }

    /// Whether `key` is written here as a table.
    pub(super) fn holds_table(&self, key: &str) -> bool {
        let node = self.table.and_then(|t| t.get(key));
        node.is_some_and(|node| matches!(node.value, Value::Table(_)))
    }

    /// A file, its name relative to the configuration file. Whoever uses it says when it cannot be read.
    pub(super) fn file(&mut self, key: &'static str, report: &mut Report<'_>) -> Option<std::path::PathBuf> {
        let name = self.text(key, report)?;
        Some(report.directory.join(name))
    }

    /// The origin of `key`, or of the section when it is absent.
    pub(super) fn origin_of(&self, key: &str) -> Origin {
        self.table
            .and_then(|t| t.get(key))
            .map_or_else(|| self.origin.clone(), |n| n.origin.clone())
    }

    pub(super) fn problem(&self, report: &mut Report<'_>, key: &str, message: impl Into<String>) {
        report.add(&self.origin_of(key), &self.path(key), message);
    }

    fn wrong_kind(&self, report: &mut Report<'_>, key: &str, expected: &str, node: &Node) {
        let message = format!("expected {expected}, found {}", node.value.kind());
        report.add(&node.origin, &self.path(key), message);
    }

    pub(super) fn section(&mut self, key: &'static str, report: &mut Report<'_>) -> Self {
        let path = self.path(key);
        let node = self.node(key);
        let table = node.and_then(|n| match &n.value {
            Value::Table(table) => Some(table),
            _ => None,
        });
        if let (Some(node), None) = (node, table) {
            self.wrong_kind(report, key, &format!("a table [{path}]"), node);
        }
        let origin = node.map_or_else(|| self.origin.clone(), |n| n.origin.clone());
        Self {
            path,
            origin,
            table,
            asked: BTreeSet::new(),
        }
    }

    /// A key that is `false` or absent, `true`, or a table that says more. An empty section for `true`.
    pub(super) fn switch(
        &mut self,
        key: &'static str,
        expected: &str,
        report: &mut Report<'_>,
    ) -> Switch<'t> {
        let path = self.path(key);
        let Some(node) = self.node(key) else {
            return Switch::Off;
        };
        let table = match &node.value {
            Value::Table(table) => Some(table),
            Value::Boolean(true) => None,
            Value::Boolean(false) => return Switch::Off,
            _ => {
                self.wrong_kind(report, key, expected, node);
                return Switch::Off;
            }
        };
        Switch::On(Self {
            path,
            origin: node.origin.clone(),
            table,
            asked: BTreeSet::new(),
        })
    }

    /// `[key.NAME]` tables, by name.
    pub(super) fn named_sections(
        &mut self,
        key: &'static str,
        report: &mut Report<'_>,
    ) -> Vec<(String, Self)> {
        let parent = self.section(key, report);
        let Some(table) = parent.table else {
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (name, node) in table {
            let path = format!("{}.{name}", parent.path);
            match &node.value {
                Value::Table(table) => sections.push((
                    name.clone(),
                    Section {
                        path,
                        origin: node.origin.clone(),
                        table: Some(table),
                        asked: BTreeSet::new(),
                    },
                )),
                other => report.add(
                    &node.origin,
                    &path,
                    format!("expected a table [{path}], found {}", other.kind()),
                ),
            }
        }
        sections
    }

    /// `[[key]]` tables, in order.
    pub(super) fn listed_sections(&mut self, key: &'static str, report: &mut Report<'_>) -> Vec<Self> {
        let Some(node) = self.node(key) else {
            return Vec::new();
        };
        let Value::List(items) = &node.value else {
            self.wrong_kind(report, key, &format!("tables written as [[{key}]]"), node);
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let Value::Table(table) = &item.value else {
                self.wrong_kind(report, key, &format!("a table [[{key}]]"), item);
                continue;
            };
            let name = table
                .get("name")
                .and_then(Node::text)
                .map_or_else(|| index.to_string(), str::to_owned);
            let origin = table
                .get("name")
                .map_or_else(|| item.origin.clone(), |n| n.origin.clone());
            sections.push(Section {
                path: self.path(&format!("{key}.{name}")),
                origin,
                table: Some(table),
                asked: BTreeSet::new(),
            });
        }
        sections
    }

    pub(super) fn text(&mut self, key: &'static str, report: &mut Report<'_>) -> Option<String> {
        let node = self.node(key)?;
        if let Some(text) = node.text() {
            return Some(text.to_owned());
        }
        self.wrong_kind(report, key, "a string", node);
        None
    }

    pub(super) fn boolean(&mut self, key: &'static str, default: bool, report: &mut Report<'_>) -> bool {
        let Some(node) = self.node(key) else {
            return default;
        };
        if let Value::Boolean(value) = node.value {
            return value;
        }
        self.wrong_kind(report, key, "true or false", node);
        default
    }

    /// An integer within `range`.
    pub(super) fn integer(
        &mut self,
        key: &'static str,
        range: std::ops::RangeInclusive<i64>,
        default: i64,
        report: &mut Report<'_>,
    ) -> i64 {
        let Some(node) = self.node(key) else {
            return default;
        };
        match node.value {
            Value::Integer(value) if range.contains(&value) => value,
            Value::Integer(value) => {
                let message = format!("expected {} to {}, found {value}", range.start(), range.end());
                report.add(&node.origin, &self.path(key), message);
                default
            }
            _ => {
                self.wrong_kind(report, key, "an integer", node);
                default
            }
        }
    }

    /// A number, with or without a fraction, within `range`.
    pub(super) fn number(
        &mut self,
        key: &'static str,
        range: std::ops::RangeInclusive<f64>,
        default: f64,
        report: &mut Report<'_>,
    ) -> f64 {
        let Some(node) = self.node(key) else {
            return default;
        };
        let value = match node.value {
            Value::Integer(value) => value as f64,
            Value::Float(value) => value,
            _ => {
                self.wrong_kind(report, key, "a number", node);
                return default;
            }
        };
        if range.contains(&value) {
            return value;
        }
        let message = format!("expected {} to {}, found {value}", range.start(), range.end());
        report.add(&node.origin, &self.path(key), message);
        default
    }

    /// A string read by `FromStr`.
    pub(super) fn parsed<T: FromStr>(
        &mut self,
        key: &'static str,
        expected: &str,
        report: &mut Report<'_>,
    ) -> Option<T> {
        let text = self.text(key, report)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(_) => {
                self.problem(report, key, format!("expected {expected}, found {text:?}"));
                None
            }
        }
    }

    pub(super) fn one_of<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&str, T)],
        default: T,
        report: &mut Report<'_>,
    ) -> T {
        let Some(text) = self.text(key, report) else {
            return default;
        };
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return *value;
        }
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        self.problem(
            report,
            key,
            format!("expected one of {}, found {text:?}", known.join(", ")),
        );
        default
    }

    /// A list of strings; `None` when the key is absent.
    pub(super) fn texts(&mut self, key: &'static str, report: &mut Report<'_>) -> Option<Vec<String>> {
        let node = self.node(key)?;
        let Value::List(items) = &node.value else {
            self.wrong_kind(report, key, "a list of strings", node);
            return None;
        };
        let mut texts = Vec::new();
        for item in items {
            match &item.value {
                Value::Text(text) => texts.push(text.clone()),
                _ => self.wrong_kind(report, key, "a list of strings", item),
            }
        }
        Some(texts)
    }

    /// A list whose every element is read by `FromStr`.
    pub(super) fn parsed_list<T: FromStr>(
        &mut self,
        key: &'static str,
        expected: &str,
        report: &mut Report<'_>,
    ) -> Vec<T> {
        let mut values = Vec::new();
        for text in self.texts(key, report).unwrap_or_default() {
            match text.parse() {
                Ok(value) => values.push(value),
                Err(_) => self.problem(report, key, format!("expected {expected}, found {text:?}")),
            }
        }
        values
    }

    /// A table of strings with free keys.
    pub(super) fn text_table(
        &mut self,
        key: &'static str,
        report: &mut Report<'_>,
    ) -> BTreeMap<String, String> {
        let section = self.section(key, report);
        let mut values = BTreeMap::new();
        for (name, node) in section.table.into_iter().flatten() {
            match node.text() {
                Some(text) => {
                    values.insert(name.clone(), text.to_owned());
                }
                None => {
                    let message = format!("expected a string, found {}", node.value.kind());
                    report.add(&node.origin, &section.path(name), message);
                }
            }
        }
        values
    }

    /// `key`, or the trimmed text of the file that `key_file` names (relative to the configuration file).
    pub(super) fn secret(
        &mut self,
        key: &'static str,
        key_file: &'static str,
        report: &mut Report<'_>,
    ) -> Option<String> {
        let (inline, file) = (self.text(key, report), self.text(key_file, report));
        if inline.is_some() && file.is_some() {
            self.problem(
                report,
                key_file,
                format!("expected {key} or {key_file}, found both"),
            );
        }
        let Some(file) = file else { return inline };
        let path = report.directory.join(&file);
        match std::fs::read_to_string(&path) {
            Ok(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
            Ok(_) => {
                self.problem(
                    report,
                    key_file,
                    format!("expected a secret in {file}, found an empty file"),
                );
                None
            }
            Err(error) => {
                self.problem(report, key_file, format!("cannot read {file}: {error}"));
                None
            }
        }
    }

    /// Reports every key that was not asked for.
    pub(super) fn finish(self, report: &mut Report<'_>) {
        for (key, node) in self.table.into_iter().flatten() {
            if self.asked.contains(key.as_str()) {
                continue;
            }
            let hint = nearest(key, self.asked.iter().copied())
                .map_or_else(|| known_keys(&self.asked), |near| format!("did you mean {near}?"));
            report.add(&node.origin, &self.path(key), format!("unknown key; {hint}"));
        }
    }
}

fn known_keys(asked: &BTreeSet<&'static str>) -> String {
    format!(
        "known here: {}",
        asked.iter().copied().collect::<Vec<_>>().join(", ")
    )
}

/// The known word at an edit distance of at most a third of its length.
pub(super) fn nearest<'w>(word: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    known
        .map(|k| (distance(word, k), k))
        .filter(|(d, k)| *d <= (k.len() / 3).max(1))
        .min()
        .map(|(_, k)| k)
}

/// Levenshtein distance over characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_word_is_suggested_and_a_far_one_is_not() {
        let known = ["listen", "public_url", "admin_listen"];
        assert_eq!(nearest("lisen", known.into_iter()), Some("listen"));
        assert_eq!(nearest("publik_url", known.into_iter()), Some("public_url"));
        assert_eq!(nearest("colour", known.into_iter()), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
