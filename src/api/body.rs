//! Strict JSON bodies: the first fault names its field and the mend.
//!
//! A body is read into a tree once (no duplicate names), then each request type takes its fields one by one
//! from [`Fields`]. What is left over is an unknown field, refused with the nearest known name. Nothing is
//! coerced: a number is no string, an absent field and `null` are the same.
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{Code, Problem};
use crate::model::UnknownWord;

/// A JSON value whose objects hold each name once.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Tree {
    Null,
    Bool(bool),
    Integer(i64),
    /// A number that is no integer of 64 bits; no field takes one.
    OtherNumber(f64),
    Text(String),
    List(Vec<Self>),
    Object(BTreeMap<String, Self>),
}

impl Tree {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Integer(_) => "a number",
            Self::OtherNumber(_) => "a fraction or a very large number",
            Self::Text(_) => "a string",
            Self::List(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(i64::try_from(value).map_or(Tree::OtherNumber(value as f64), Tree::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::OtherNumber(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
        let mut object = BTreeMap::new();
        while let Some((name, value)) = entries.next_entry::<String, Tree>()? {
            if object.contains_key(&name) {
                return Err(de::Error::custom(format!(
                    "the name {name:?} stands twice in one object"
                )));
            }
            object.insert(name, value);
        }
        Ok(Tree::Object(object))
    }
}

/// The fields of one object, taken by name.
pub(super) struct Fields {
    fields: BTreeMap<String, Tree>,
    /// Path of the object, with a dot at the end; empty for the body itself.
    path: String,
    asked: Vec<&'static str>,
}

impl Fields {
    /// Parses a body that must be a JSON object.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Problem> {
        if body.is_empty() {
            return Err(Problem::new(
                Code::Malformed,
                "the body is empty; send a JSON object",
            ));
        }
        let tree: Tree = serde_json::from_slice(body)
            .map_err(|e| Problem::new(Code::Malformed, format!("the body is no valid JSON: {e}")))?;
        match tree {
            Tree::Object(fields) => Ok(Self {
                fields,
                path: String::new(),
                asked: Vec::new(),
            }),
            other => Err(Problem::new(
                Code::Malformed,
                format!("the body must be a JSON object, found {}", other.kind()),
            )),
        }
    }

    pub(super) fn param(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }

    /// Takes a field; `null` counts as absent.
    pub(super) fn take(&mut self, name: &'static str) -> Option<Tree> {
        self.asked.push(name);
        self.fields.remove(name).filter(|tree| *tree != Tree::Null)
    }

    fn wrong_type(&self, name: &str, expected: &str, found: &Tree) -> Problem {
        Problem::malformed(
            self.param(name),
            format!("{name} must be {expected}, found {}", found.kind()),
        )
    }

    pub(super) fn missing(&self, name: &str, mend: &str) -> Problem {
        Problem::malformed(self.param(name), format!("{name} is required: {mend}"))
    }

    /// A string of at most `chars_max` characters without control characters.
    pub(super) fn text(&mut self, name: &'static str, chars_max: usize) -> Result<Option<String>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Tree::Text(text)) => self.check_text(name, &text, chars_max).map(|()| Some(text)),
            Some(other) => Err(self.wrong_type(name, "a string", &other)),
        }
    }

    fn check_text(&self, name: &str, text: &str, chars_max: usize) -> Result<(), Problem> {
        let count = text.chars().count();
        let fault = if count == 0 {
            format!("{name} must not be empty; leave it out instead")
        } else if count > chars_max {
            format!("{name} must have at most {chars_max} characters, found {count}")
        } else if text.chars().any(char::is_control) {
            format!("{name} must not hold control characters")
        } else {
            return Ok(());
        };
        Err(Problem::new(Code::ParamInvalid, fault).at(self.param(name)))
    }

    /// A word of one of the contract's lists.
    pub(super) fn word<T>(&mut self, name: &'static str) -> Result<Option<T>, Problem>
    where
        T: FromStr<Err = UnknownWord>,
    {
        match self.take(name) {
            None => Ok(None),
            Some(Tree::Text(text)) => text
                .parse()
                .map(Some)
                .map_err(|e: UnknownWord| unknown_word(self.param(name), &e)),
            Some(other) => Err(self.wrong_type(name, "a string", &other)),
        }
    }

    pub(super) fn integer(
        &mut self,
        name: &'static str,
        range: RangeInclusive<i64>,
    ) -> Result<Option<i64>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Tree::Integer(value)) if range.contains(&value) => Ok(Some(value)),
            Some(Tree::Integer(value)) => {
                let detail = format!(
                    "{name} must be {} to {}, found {value}",
                    range.start(),
                    range.end()
                );
                Err(Problem::new(Code::ParamInvalid, detail).at(self.param(name)))
            }
            Some(other) => Err(self.wrong_type(name, "a whole number", &other)),
        }
    }

    pub(super) fn flag(&mut self, name: &'static str) -> Result<Option<bool>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Tree::Bool(value)) => Ok(Some(value)),
            Some(other) => Err(self.wrong_type(name, "true or false", &other)),
        }
    }

    pub(super) fn object(&mut self, name: &'static str) -> Result<Option<Self>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Tree::Object(fields)) => Ok(Some(self.child(name, fields))),
            Some(other) => Err(self.wrong_type(name, "an object", &other)),
        }
    }

    pub(super) fn child(&self, name: &str, fields: BTreeMap<String, Tree>) -> Self {
        Self {
            fields,
            path: format!("{}{name}.", self.path),
            asked: Vec::new(),
        }
    }

    /// An array of at most `items_max` objects.
    pub(super) fn objects(&mut self, name: &'static str, items_max: usize) -> Result<Vec<Self>, Problem> {
        let items = self.list(name, items_max)?;
        let mut objects = Vec::with_capacity(items.len());
        for (i, item) in items.into_iter().enumerate() {
            match item {
                Tree::Object(fields) => objects.push(self.child(&format!("{name}.{i}"), fields)),
                other => return Err(self.wrong_type(&format!("{name}.{i}"), "an object", &other)),
            }
        }
        Ok(objects)
    }

    /// An array of words of one of the contract's lists.
    pub(super) fn words<T>(&mut self, name: &'static str, items_max: usize) -> Result<Vec<T>, Problem>
    where
        T: FromStr<Err = UnknownWord>,
    {
        let mut words = Vec::new();
        for (i, item) in self.list(name, items_max)?.into_iter().enumerate() {
            let place = format!("{name}.{i}");
            match item {
                Tree::Text(text) => words.push(
                    text.parse()
                        .map_err(|e: UnknownWord| unknown_word(self.param(&place), &e))?,
                ),
                other => return Err(self.wrong_type(&place, "a string", &other)),
            }
        }
        Ok(words)
    }

    fn list(&mut self, name: &'static str, items_max: usize) -> Result<Vec<Tree>, Problem> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Tree::List(items)) if items.len() <= items_max => Ok(items),
            Some(Tree::List(items)) => {
                let detail = format!(
                    "{name} must have at most {items_max} items, found {}",
                    items.len()
                );
                Err(Problem::new(Code::ParamInvalid, detail).at(self.param(name)))
            }
            Some(other) => Err(self.wrong_type(name, "an array", &other)),
        }
    }

    /// An object of strings: tags and spoken values.
    pub(super) fn text_map(
        &mut self,
        name: &'static str,
        entries_max: usize,
        chars_max: usize,
    ) -> Result<BTreeMap<String, String>, Problem> {
        let Some(object) = self.object(name)? else {
            return Ok(BTreeMap::new());
        };
        if object.fields.len() > entries_max {
            let detail = format!(
                "{name} must have at most {entries_max} entries, found {}",
                object.fields.len()
            );
            return Err(Problem::new(Code::ParamInvalid, detail).at(self.param(name)));
        }
        let mut map = BTreeMap::new();
        for (key, value) in &object.fields {
            object.check_text(key, key, 40)?;
            match value {
                Tree::Text(text) => object.check_text(key, text, chars_max)?,
                other => return Err(object.wrong_type(key, "a string", other)),
            }
            if let Tree::Text(text) = value {
                map.insert(key.clone(), text.clone());
            }
        }
        Ok(map)
    }

    /// Refuses what no one asked for, with the nearest name that exists.
    pub(super) fn finish(self) -> Result<(), Problem> {
        let Some(unknown) = self.fields.keys().next() else {
            return Ok(());
        };
        let shown: String = unknown.chars().take(64).collect();
        let nearest = self.asked.iter().map(|name| (distance(&shown, name), name)).min();
        let mend = match nearest {
            Some((steps, name)) if steps <= 2 => format!("; did you mean {name:?}?"),
            _ => format!("; known fields: {}", self.asked.join(", ")),
        };
        Err(Problem::malformed(
            self.param(&shown),
            format!("unknown field {shown:?}{mend}"),
        ))
    }
}

pub(super) fn unknown_word(param: String, error: &UnknownWord) -> Problem {
    Problem::malformed(param, error.to_string())
}

/// Levenshtein distance; both words are short.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(&b) {
            let up = *cell;
            let cost = diagonal + usize::from(x != *y);
            left = cost.min(up + 1).min(left + 1);
            diagonal = up;
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Method;

    fn fields(json: &str) -> Fields {
        Fields::parse(json.as_bytes()).unwrap()
    }

    #[test]
    fn an_unknown_field_suggests_the_nearest_known_one() {
        let mut body = fields(r#"{"metod":"press_key"}"#);
        body.word::<Method>("method").unwrap();
        let problem = body.finish().unwrap_err();
        assert_eq!(
            problem.detail,
            "unknown field \"metod\"; did you mean \"method\"?"
        );
        assert_eq!(problem.param.as_deref(), Some("metod"));
    }

    #[test]
    fn a_nested_fault_carries_its_path() {
        let mut body = fields(r#"{"end_user":{"id":7}}"#);
        let problem = body
            .object("end_user")
            .unwrap()
            .unwrap()
            .text("id", 9)
            .unwrap_err();
        assert_eq!(problem.param.as_deref(), Some("end_user.id"));
        assert_eq!(problem.detail, "id must be a string, found a number");
    }

    #[test]
    fn a_name_that_stands_twice_is_refused() {
        let problem = Fields::parse(br#"{"to":"+1","to":"+2"}"#).err().unwrap();
        assert!(
            problem.detail.contains("\"to\" stands twice"),
            "{}",
            problem.detail
        );
    }

    #[test]
    fn depth_is_bounded() {
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(Fields::parse(deep.as_bytes()).is_err());
    }

    #[test]
    fn distance_counts_single_edits() {
        assert_eq!(distance("metod", "method"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
