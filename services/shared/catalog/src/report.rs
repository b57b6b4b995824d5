//! What of a document could not be mapped, line by line, for the person who added it.

use serde::Serialize;

use crate::limits;

/// One part that could not be mapped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// RFC 6901 pointer into the document.
    pub pointer: String,
    /// Why, and what becomes of it.
    pub problem: String,
}

impl Line {
    pub(crate) fn new(pointer: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), problem: problem.into() }
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.pointer, self.problem)
    }
}

/// Every part that could not be mapped; each part once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    lines: Vec<Line>,
    omitted: usize,
}

impl Report {
    /// The lines, in the order of the document, [`limits::REPORT_LINES`] at most.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// How many more lines there were.
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    /// Is everything mapped?
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub(crate) fn add(&mut self, line: Line) {
        // A shared schema is walked once for each operation that uses it.
        if self.lines.contains(&line) {
            return;
        }
        if self.lines.len() < limits::REPORT_LINES {
            self.lines.push(line);
        } else {
            self.omitted += 1;
        }
    }

    /// Keeps what is mapped and notes what is not.
    pub(crate) fn keep<T>(&mut self, mapped: Result<T, Line>) -> Option<T> {
        mapped.map_err(|line| self.add(line)).ok()
    }
}
