//! Strict query strings: an unknown or repeated name is a fault, not a silence.
use std::str::FromStr;

use super::{Code, Problem};
use crate::model::UnknownWord;

/// The pairs of a query, taken by name.
pub(super) struct Query {
    pairs: Vec<(String, String)>,
    asked: Vec<&'static str>,
}

impl Query {
    pub(super) fn parse(query: Option<&str>) -> Result<Self, Problem> {
        let query = query.unwrap_or_default();
        // `reqwest::Url` carries the WHATWG form decoder; the base is never used.
        let url = reqwest::Url::parse(&format!("http://query.invalid/?{query}"))
            .map_err(|e| Problem::new(Code::Malformed, format!("the query cannot be read: {e}")))?;
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in url.query_pairs().take(64) {
            if pairs.iter().any(|(known, _)| *known == name) {
                return Err(Problem::malformed(
                    name.clone(),
                    format!("{name} stands twice in the query"),
                ));
            }
            pairs.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self {
            pairs,
            asked: Vec::new(),
        })
    }

    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        self.asked.push(name);
        let at = self.pairs.iter().position(|(known, _)| known == name)?;
        Some(self.pairs.swap_remove(at).1)
    }

    pub(super) fn word<T: FromStr<Err = UnknownWord>>(
        &mut self,
        name: &'static str,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        text.parse()
            .map(Some)
            .map_err(|e: UnknownWord| Problem::malformed(name, e.to_string()))
    }

    pub(super) fn integer(&mut self, name: &'static str, max: u32) -> Result<Option<u32>, Problem> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let value = text.parse::<u32>().ok().filter(|v| *v <= max);
        value.map(Some).ok_or_else(|| {
            let shown: String = text.chars().take(32).collect();
            Problem::malformed(
                name,
                format!("{name} must be a whole number, 0 to {max}, found {shown:?}"),
            )
        })
    }

    pub(super) fn finish(self) -> Result<(), Problem> {
        let Some((unknown, _)) = self.pairs.first() else {
            return Ok(());
        };
        let shown: String = unknown.chars().take(64).collect();
        let known = if self.asked.is_empty() {
            "none here".to_owned()
        } else {
            self.asked.join(", ")
        };
        let detail = format!("unknown query parameter {shown:?}; known: {known}");
        Err(Problem::malformed(shown, detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Status;

    #[test]
    fn known_names_are_taken_and_the_rest_is_refused() {
        let mut query = Query::parse(Some("status=pending&wait=25")).unwrap();
        assert_eq!(query.word::<Status>("status").unwrap(), Some(Status::Pending));
        assert_eq!(query.integer("wait", 60).unwrap(), Some(25));
        query.finish().unwrap();
        let mut query = Query::parse(Some("wiat=25")).unwrap();
        assert_eq!(query.integer("wait", 60).unwrap(), None);
        let detail = query.finish().unwrap_err().detail;
        assert_eq!(detail, "unknown query parameter \"wiat\"; known: wait");
        assert!(Query::parse(Some("a=1&a=2")).is_err());
    }
}
