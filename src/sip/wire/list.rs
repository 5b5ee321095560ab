//! Comma-separated lists of header values.

/// The values of a list header line: commas inside quotes or `<>` do not separate. An empty line has no values;
/// an empty place between two commas is a value of its own, for the reader to judge.
pub(crate) const fn split_list(line: &str) -> SplitList<'_> {
    SplitList {
        rest: Some(line),
        first: true,
    }
}

pub(crate) struct SplitList<'a> {
    rest: Option<&'a str>,
    first: bool,
}

impl<'a> Iterator for SplitList<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.rest.take()?;
        let was_first = std::mem::replace(&mut self.first, false);
        let Some(comma) = separator(rest) else {
            let value = rest.trim_ascii();
            return if was_first && value.is_empty() {
                None
            } else {
                Some(value)
            };
        };
        self.rest = rest.get(comma + 1..);
        Some(rest.get(..comma).unwrap_or_default().trim_ascii())
    }
}

fn separator(text: &str) -> Option<usize> {
    if !text.as_bytes().contains(&b',') {
        return None;
    }
    let (mut quoted, mut bracketed, mut escaped) = (false, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'<' => bracketed = true,
            b'>' => bracketed = false,
            b',' if !bracketed => return Some(at),
            _ => {}
        }
    }
    None
}
