//! TOML text and environment variables → one tree whose every value knows where it was written.
use std::collections::BTreeMap;
use std::fmt;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// Line in the configuration file, counted from 1.
    Line(usize),
    /// Name of the environment variable.
    Environment(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "{line}"),
            Self::Environment(name) => f.write_str(name),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) origin: Origin,
    /// The text of the environment variable. Where a string is expected, this is it, whatever the text also reads as.
    pub(super) raw: Option<String>,
}

impl Node {
    /// The value as a string; a variable has no quotes to tell `"0"` from `0`, so any variable is one.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => self.raw.as_deref(),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    List(Vec<Node>),
    Table(BTreeMap<String, Node>),
    /// Dates and integers beyond 64 bits: nothing in the configuration takes them.
    Unsupported(&'static str),
}

impl Value {
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number with a fraction",
            Self::Boolean(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Unsupported(kind) => kind,
        }
    }
}

/// A syntax error with its line.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub(super) line: usize,
    pub(super) message: String,
}

/// Parses a whole file, going on after a syntax error so that all of them are told at once.
pub(super) fn parse(text: &str) -> (BTreeMap<String, Node>, Vec<SyntaxError>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let errors = errors
        .into_iter()
        .map(|e| SyntaxError {
            line: e.span().map_or(1, |span| line_at(text, span.start)),
            message: e.message().to_owned(),
        })
        .collect();
    (convert_table(text, table.get_ref()), errors)
}

fn convert_table(text: &str, table: &DeTable<'_>) -> BTreeMap<String, Node> {
    table
        .iter()
        .map(|(key, value)| {
            let mut node = convert(text, value);
            // A table's own span is its header; a key's line is where a person looks.
            node.origin = Origin::Line(line_at(text, key.span().start));
            (key.get_ref().to_string(), node)
        })
        .collect()
}

fn convert(text: &str, value: &Spanned<DeValue<'_>>) -> Node {
    let origin = Origin::Line(line_at(text, value.span().start));
    let value = match value.get_ref() {
        DeValue::String(s) => Value::Text(s.to_string()),
        DeValue::Integer(i) => i64::from_str_radix(&i.as_str().replace('_', ""), i.radix())
            .map_or(Value::Unsupported("an integer beyond 64 bits"), Value::Integer),
        DeValue::Float(f) => f
            .as_str()
            .replace('_', "")
            .parse()
            .map_or(Value::Unsupported("an unreadable number"), Value::Float),
        DeValue::Boolean(b) => Value::Boolean(*b),
        DeValue::Datetime(_) => Value::Unsupported("a date"),
        DeValue::Array(items) => Value::List(items.iter().map(|item| convert(text, item)).collect()),
        DeValue::Table(table) => Value::Table(convert_table(text, table)),
    };
    Node {
        value,
        origin,
        raw: None,
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|b| *b == b'\n').count()
}

/// Lays `RINGPROOF__SECTION__KEY=value` over the tree. A value that reads as TOML is taken as that (`30`, `true`,
/// `["US"]`), anything else as a string; its text is kept for keys that are strings (`+18005550199`, `0`). In a list of tables (`[[trunk]]`) the element is named by its `name`.
/// Returns the names that could not be placed, with the reason.
pub(super) fn overlay(
    tree: &mut BTreeMap<String, Node>,
    variables: impl Iterator<Item = (String, String)>,
) -> Vec<(String, String)> {
    let mut misplaced = Vec::new();
    for (name, text) in variables {
        let Some(path) = name.strip_prefix("RINGPROOF__") else {
            continue;
        };
        let path: Vec<String> = path.split("__").map(str::to_ascii_lowercase).collect();
        let mut node = parse_value(&text);
        set_origin(&mut node, &Origin::Environment(name.clone()));
        node.raw = Some(text);
        if let Err(reason) = place(tree, &path, node) {
            misplaced.push((name, reason));
        }
    }
    misplaced
}

fn parse_value(text: &str) -> Node {
    DeValue::parse(text).map_or_else(
        |_| Node {
            value: Value::Text(text.to_owned()),
            origin: Origin::Line(0),
            raw: None,
        },
        |value| convert(text, &value),
    )
}

fn set_origin(node: &mut Node, origin: &Origin) {
    node.origin = origin.clone();
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| set_origin(item, origin)),
        Value::Table(table) => table.values_mut().for_each(|item| set_origin(item, origin)),
        Value::Text(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Unsupported(_) => {}
    }
}

fn place(tree: &mut BTreeMap<String, Node>, path: &[String], node: Node) -> Result<(), String> {
    let Some((first, rest)) = path.split_first() else {
        return Err("expected RINGPROOF__SECTION__KEY".to_owned());
    };
    // Keys and tables are compared without case: an environment variable is written in capitals, a country code is
    // too, and a profile's name is as its owner likes it.
    let key = tree
        .keys()
        .find(|k| k.eq_ignore_ascii_case(first))
        .unwrap_or(first)
        .clone();
    if rest.is_empty() {
        tree.insert(key, node);
        return Ok(());
    }
    let entry = tree.entry(key).or_insert_with(|| Node {
        value: Value::Table(BTreeMap::new()),
        origin: node.origin.clone(),
        raw: None,
    });
    match &mut entry.value {
        Value::Table(table) => place(table, rest, node),
        Value::List(items) => {
            let wanted = &rest[0];
            let element = items.iter_mut().find_map(|item| match &mut item.value {
                Value::Table(table) if has_name(table, wanted) => Some(table),
                _ => None,
            });
            let Some(table) = element else {
                return Err(format!("{first} has no element with name = {wanted:?}"));
            };
            place(table, &rest[1..], node)
        }
        other => Err(format!("{first} is {}, it has no keys of its own", other.kind())),
    }
}

fn has_name(table: &BTreeMap<String, Node>, wanted: &str) -> bool {
    table
        .get("name")
        .and_then(Node::text)
        .is_some_and(|name| name.eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_know_their_line_and_environment_wins() {
        let (mut tree, errors) = parse(
            "[media]\nthreads = 1\n\n[[trunk]]\nname = \"carrier\"\ncps = 1.0\n[trunk.auth]\nusername = \"u\"\n",
        );
        assert!(errors.is_empty(), "{errors:?}");
        let variables = [
            ("RINGPROOF__MEDIA__THREADS", "4"),
            ("RINGPROOF__TRUNK__CARRIER__CPS", "2.5"),
            ("RINGPROOF__TRUNK__NOBODY__CPS", "2.5"),
            ("HOME", "/root"),
        ];
        let misplaced = overlay(
            &mut tree,
            variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())),
        );
        assert_eq!(misplaced.len(), 1);
        let Value::Table(media) = &tree["media"].value else {
            panic!()
        };
        assert!(matches!(media["threads"].value, Value::Integer(4)));
        assert_eq!(
            media["threads"].origin,
            Origin::Environment("RINGPROOF__MEDIA__THREADS".into())
        );
        let Value::List(trunks) = &tree["trunk"].value else {
            panic!()
        };
        let Value::Table(carrier) = &trunks[0].value else {
            panic!()
        };
        assert!(matches!(carrier["cps"].value, Value::Float(f) if f == 2.5));
        assert_eq!(carrier["name"].origin, Origin::Line(5));
    }

    #[test]
    fn a_syntax_error_names_its_line() {
        let (_, errors) = parse("[server]\nlisten = \n");
        assert_eq!(errors[0].line, 2);
    }
}
