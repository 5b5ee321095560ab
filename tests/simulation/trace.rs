//! What happened, stamped with the run's own time. Written only when somebody will read it.
use std::fmt;

use crate::clock::At;

#[derive(Debug)]
pub(crate) enum Trace {
    Off,
    On(Vec<String>),
}

/// Lines kept of a run that does not end.
const LINES_MAX: usize = 20_000;

impl Trace {
    pub(crate) fn line(&mut self, at: At, text: fmt::Arguments<'_>) {
        if let Self::On(lines) = self
            && lines.len() < LINES_MAX
        {
            lines.push(format!("{at}  {text}"));
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        matches!(self, Self::On(_))
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        match self {
            Self::Off => Vec::new(),
            Self::On(lines) => lines,
        }
    }
}
