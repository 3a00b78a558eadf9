//! What is wrong with a configuration file: everything at once, each with its place.
//!
//! [`Report`] collects while the file is read; [`Problems`] is what the operator sees. Messages name
//! keys, variables and paths, and never repeat a value that may be a secret.

use std::cell::{Cell, RefCell};
use std::fmt;

/// Findings kept of one file; the rest is only counted.
const MAX_FINDINGS: usize = 200;

/// Why a configuration was refused. `Display` prints one problem a line, in the order of the file.
#[derive(Debug)]
pub struct Problems {
    lines: Vec<String>,
}

impl Problems {
    /// Makes the problem of a file of which no line can be named.
    pub(super) fn of_file(name: &str, message: impl fmt::Display) -> Self {
        Self {
            lines: vec![format!("{name}: {message}")],
        }
    }

    /// Returns the problems as they are shown, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}

impl std::error::Error for Problems {}

/// Collects what is found while a file is read. Places are byte offsets into its text.
pub(super) struct Report<'t> {
    name: &'t str,
    text: &'t str,
    line_starts: Vec<usize>,
    problems: RefCell<Vec<Finding>>,
    warnings: RefCell<Vec<Finding>>,
    notices: RefCell<Vec<Finding>>,
    left_out: Cell<usize>,
}

struct Finding {
    place: Place,
    message: String,
}

/// Line and column, counted from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place(usize, usize);

impl<'t> Report<'t> {
    pub(super) fn new(name: &'t str, text: &'t str) -> Self {
        let after_breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let line_starts = std::iter::once(0)
            .chain(after_breaks.map(|(at, _)| at + 1))
            .collect();
        Self {
            name,
            text,
            line_starts,
            problems: RefCell::default(),
            warnings: RefCell::default(),
            notices: RefCell::default(),
            left_out: Cell::default(),
        }
    }

    /// Notes something that must be corrected before the configuration loads.
    pub(super) fn problem(&self, at: usize, message: impl Into<String>) {
        if self.problems.borrow().len() == MAX_FINDINGS {
            self.left_out.set(self.left_out.get() + 1);
            return;
        }
        self.problems.borrow_mut().push(self.finding(at, message));
    }

    /// Notes something that loads, and is most likely a mistake.
    pub(super) fn warning(&self, at: usize, message: impl Into<String>) {
        if self.warnings.borrow().len() < MAX_FINDINGS {
            self.warnings.borrow_mut().push(self.finding(at, message));
        }
    }

    /// Notes a decision that is worth being written down.
    pub(super) fn notice(&self, at: usize, message: impl Into<String>) {
        self.notices.borrow_mut().push(self.finding(at, message));
    }

    fn finding(&self, at: usize, message: impl Into<String>) -> Finding {
        Finding {
            place: self.place(at),
            message: message.into(),
        }
    }

    /// Returns the place as it is written in messages that point elsewhere.
    pub(super) fn place_name(&self, at: usize) -> String {
        let Place(line, column) = self.place(at);
        format!("{}:{line}:{column}", self.name)
    }

    /// Ends the collection: the warnings, or every problem.
    pub(super) fn finish(&self) -> Result<Vec<String>, Problems> {
        let mut lines = self.in_order(&self.problems.borrow());
        if lines.is_empty() {
            return Ok(self.in_order(&self.warnings.borrow()));
        }
        if self.left_out.get() > 0 {
            lines.push(format!(
                "{}: and {} more problems",
                self.name,
                self.left_out.get()
            ));
        }
        Err(Problems { lines })
    }

    /// Returns the decisions that were noted.
    pub(super) fn notices(&self) -> Vec<String> {
        self.in_order(&self.notices.borrow())
    }

    fn in_order(&self, findings: &[Finding]) -> Vec<String> {
        let mut findings: Vec<&Finding> = findings.iter().collect();
        findings.sort_by_key(|finding| finding.place);
        let shown = findings.iter().map(
            |Finding {
                 place: Place(line, column),
                 message,
             }| { format!("{}:{line}:{column}: {message}", self.name) },
        );
        shown.collect()
    }

    fn place(&self, at: usize) -> Place {
        let at = self.text.floor_char_boundary(at);
        let line = self.line_starts.partition_point(|start| *start <= at);
        let column = self.text[self.line_starts[line - 1]..at].chars().count();
        Place(line, column + 1)
    }
}

/// Characters of the file that a message repeats at most.
const MAX_SHOWN: usize = 64;

/// Quotes a word of the file: control characters escaped, long words cut.
pub(super) fn quoted(word: &str) -> String {
    let mut shown = String::from("`");
    for character in word.chars().take(MAX_SHOWN) {
        match character {
            '\'' | '"' | '\\' => shown.push(character),
            other => shown.extend(other.escape_debug()),
        }
    }
    if word.chars().nth(MAX_SHOWN).is_some() {
        shown.push('…');
    }
    shown.push('`');
    shown
}

/// Returns "; did you mean `a` or `b`?" with at most `count` known words, empty where none is near.
pub(super) fn did_you_mean<'k>(
    word: &str,
    known: impl IntoIterator<Item = &'k str>,
    count: usize,
) -> String {
    if word.len() > MAX_SHOWN {
        return String::new();
    }
    let mut near: Vec<(usize, &str)> = known
        .into_iter()
        .filter_map(|known| Some((distance(word, known)?, known)))
        .collect();
    near.sort_unstable();
    let quoted: Vec<String> = near
        .iter()
        .take(count)
        .map(|(_, word)| quoted(word))
        .collect();
    match quoted.is_empty() {
        true => String::new(),
        false => format!("; did you mean {}?", quoted.join(" or ")),
    }
}

/// How far a word is from a known one; `None` where nobody would mistake one for the other.
fn distance(word: &str, known: &str) -> Option<usize> {
    let (shorter, longer) = if word.len() < known.len() {
        (word, known)
    } else {
        (known, word)
    };
    let edits = strsim::damerau_levenshtein(&word.to_lowercase(), known);
    let near = edits <= 1.max(longer.len() / 3) && edits < longer.len();
    let begins = shorter.len() >= 3 && longer.starts_with(shorter);
    (near || begins).then_some(edits)
}

/// Writes an error with its causes on one line.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_shown_in_the_order_of_the_file_with_line_and_column() {
        let report = Report::new("f.toml", "a = 1\nü = x\n");
        report.problem(11, "second");
        report.problem(0, "first");
        report.problem(999, "past the end");
        let shown = report.finish().unwrap_err().to_string();
        assert_eq!(
            shown,
            "f.toml:1:1: first\nf.toml:2:5: second\nf.toml:3:1: past the end"
        );
    }

    #[test]
    fn a_flood_of_problems_is_counted_and_cut() {
        let report = Report::new("f.toml", "");
        (0..MAX_FINDINGS + 7).for_each(|_| report.problem(0, "x"));
        let problems = report.finish().unwrap_err();
        assert_eq!(problems.iter().count(), MAX_FINDINGS + 1);
        assert_eq!(problems.iter().last(), Some("f.toml: and 7 more problems"));
    }

    #[test]
    fn only_near_words_are_suggested() {
        let known = ["secrets", "scheme", "state", "google-pubsub-push"];
        assert_eq!(
            did_you_mean("secrests", known, 1),
            "; did you mean `secrets`?"
        );
        assert_eq!(
            did_you_mean("google-pubsub", known, 3),
            "; did you mean `google-pubsub-push`?"
        );
        assert_eq!(did_you_mean("colour", known, 3), "");
        assert_eq!(did_you_mean("x", ["a"], 3), "");
    }

    #[test]
    fn a_quoted_word_stays_on_its_line_and_is_cut() {
        assert_eq!(quoted("a\nb\u{1b}"), "`a\\nb\\u{1b}`");
        assert!(quoted(&"x".repeat(10_000)).chars().count() < 70);
    }
}
