//! Splits a delivery of several events into documents of one event each.
//!
//! Part of the step `identify`. Every event keeps the shape in which its vendor documents it: its
//! document is the delivery's with all other events left out, so that pointers, redaction rules and
//! a worker's code mean the same for one event as for a batch. What stays is kept to the letter.

use std::fmt;

use bytes::Bytes;

use crate::json::{JsonError, Kind, Scanner, Token};

#[cfg(test)]
mod properties;

/// Most events of one delivery.
pub const MAX_EVENTS: usize = 2000;
/// Most bytes that the documents of one delivery have together: what surrounds the events is copied
/// into each of them.
pub const MAX_SPLIT_BYTES: usize = 64 << 20;
/// How many times the size of their delivery the documents may have, and what small ones have beside.
const MAX_GROWTH: usize = 64;
const ALLOWANCE: usize = 64 << 10;

/// Where a provider's events stand in a document.
#[derive(Clone, Debug, Default)]
pub struct BatchRules {
    /// Alternatives: the one that finds events is used.
    pub at: Vec<BatchPath>,
    /// Alternatives for what each event holds in turn, from its own top.
    pub within: Vec<BatchPath>,
}

/// A way to events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchPath {
    /// JSON texts, one a line.
    Lines,
    /// Arrays in arrays: the members that lead to each.
    Arrays(Vec<Vec<String>>),
}

/// One event of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The document with this event alone.
    pub document: Bytes,
    /// The event itself, as it is written.
    pub element: Bytes,
}

/// A batch that is larger than the gateway splits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the delivery holds more than {MAX_EVENTS} events, or {MAX_SPLIT_BYTES} bytes of them")]
pub struct TooManyEvents;

impl BatchPath {
    /// Reads a path such as `/events/*` or `/entry/*/changes/*`; `/*` is an array at the top, and
    /// `lines` is JSON lines.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "lines" {
            return Ok(Self::Lines);
        }
        let inner = text
            .strip_prefix('/')
            .and_then(|rest| rest.strip_suffix('*'));
        let inner =
            inner.ok_or_else(|| format!("batch `{text}` is no path that ends with `/*`"))?;
        let levels = inner.split("*/").map(|level| {
            let names = level.split('/').filter(|name| !name.is_empty());
            names.map(str::to_owned).collect()
        });
        Ok(Self::Arrays(levels.collect()))
    }
}

impl fmt::Display for BatchPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lines => f.write_str("lines"),
            Self::Arrays(levels) => levels.iter().try_for_each(|names| {
                names.iter().try_for_each(|name| write!(f, "/{name}"))?;
                f.write_str("/*")
            }),
        }
    }
}

impl BatchRules {
    /// Splits a document. Returns nothing where it holds no batch, where it is not JSON, and where
    /// several of the alternatives find events: then it is one event as a whole, and nothing of it
    /// is lost.
    pub fn split(&self, document: &[u8]) -> Result<Vec<Part>, TooManyEvents> {
        if self.at.is_empty() {
            return Ok(Vec::new());
        }
        let Ok(text) = std::str::from_utf8(document) else {
            return Ok(Vec::new());
        };
        let mut room = (text.len() * MAX_GROWTH + ALLOWANCE).min(MAX_SPLIT_BYTES);
        let found = only(&self.at, &self.within, text, &mut room)?;
        Ok(found
            .into_iter()
            .map(|(document, element)| Part {
                document: document.into(),
                element: element.into(),
            })
            .collect())
    }
}

/// A document of one event, and the event.
type Split = (String, String);

/// Splits by the only alternative that finds events; nothing where several do.
fn only(
    paths: &[BatchPath],
    within: &[BatchPath],
    text: &str,
    room: &mut usize,
) -> Result<Vec<Split>, TooManyEvents> {
    let mut found: Vec<Split> = Vec::new();
    for path in paths {
        let one = match path {
            BatchPath::Lines => lines(text)?,
            BatchPath::Arrays(levels) => arrays(text, levels, within, room)?,
        };
        match (found.is_empty(), one.is_empty()) {
            (_, true) => {}
            (true, false) => found = one,
            (false, false) => return Ok(Vec::new()),
        }
    }
    Ok(found)
}

/// Splits JSON lines; nothing where a line is not JSON, or there is only one document.
fn lines(text: &str) -> Result<Vec<Split>, TooManyEvents> {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim_matches([' ', '\t', '\r']).is_empty())
        .collect();
    let sound = |line: &&str| {
        let mut scanner = Scanner::over(line);
        loop {
            match scanner.next_token() {
                Ok(Some(_)) => {}
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    };
    if lines.len() < 2 || !lines.iter().all(sound) {
        return Ok(Vec::new());
    }
    if lines.len() > MAX_EVENTS {
        return Err(TooManyEvents);
    }
    let split = |line: &&str| ((*line).to_owned(), (*line).to_owned());
    Ok(lines.iter().map(split).collect())
}

fn arrays(
    text: &str,
    levels: &[Vec<String>],
    within: &[BatchPath],
    room: &mut usize,
) -> Result<Vec<Split>, TooManyEvents> {
    let Some((names, deeper)) = levels.split_first() else {
        return only(within, &[], text, room);
    };
    let Ok(Some(array)) = find(text, names) else {
        return Ok(Vec::new());
    };
    let mut split = Vec::new();
    for (begins, ends) in array.elements {
        let element = &text[begins..ends];
        let inner = arrays(element, deeper, within, room)?;
        let inner = match inner.is_empty() {
            true => vec![(element.to_owned(), element.to_owned())],
            false => inner,
        };
        for (one, innermost) in inner {
            let whole = [&text[..array.opens], &one, &text[array.closes..]].concat();
            *room = room.checked_sub(whole.len()).ok_or(TooManyEvents)?;
            if split.len() == MAX_EVENTS {
                return Err(TooManyEvents);
            }
            split.push((whole, innermost));
        }
    }
    Ok(split)
}

/// An array in a document.
struct Array {
    /// The offset behind its bracket.
    opens: usize,
    /// The offset of the bracket that closes it.
    closes: usize,
    /// Where its elements begin and end.
    elements: Vec<(usize, usize)>,
}

/// Finds the array that these members lead to; nothing where a member on the way is repeated, since
/// parsers differ in which one they take.
fn find(text: &str, names: &[String]) -> Result<Option<Array>, JsonError> {
    let mut scanner = Scanner::over(text);
    let mut search = Search::default();
    walk(&mut scanner, names, &mut search)?;
    // Reads to the end: a document that is not sound is not split.
    while scanner.next_token()?.is_some() {}
    Ok(search.found.filter(|_| !search.repeated))
}

#[derive(Default)]
struct Search {
    found: Option<Array>,
    /// Whether a member on the way is repeated, whatever it holds then.
    repeated: bool,
}

/// Reads one value, and the array in it that `names` lead to.
fn walk(scanner: &mut Scanner<'_>, names: &[String], search: &mut Search) -> Result<(), JsonError> {
    match (scanner.next_token()?, names.split_first()) {
        (Some(Token::Open(Kind::Array)), None) => search.found = Some(read_array(scanner)?),
        (Some(Token::Open(Kind::Object)), Some((wanted, deeper))) => {
            let mut seen = false;
            while let Some(Token::Key(name)) = scanner.next_token()? {
                if name.is(wanted) {
                    search.repeated |= std::mem::replace(&mut seen, true);
                    walk(scanner, deeper, search)?;
                } else if let Some(Token::Open(_)) = scanner.next_token()? {
                    scanner.skip_rest()?;
                }
            }
        }
        (Some(Token::Open(_)), _) => scanner.skip_rest()?,
        _ => {}
    }
    Ok(())
}

fn read_array(scanner: &mut Scanner<'_>) -> Result<Array, JsonError> {
    let opens = scanner.start() + 1;
    let mut elements = Vec::new();
    loop {
        let token = scanner.next_token()?;
        let begins = scanner.start();
        match token {
            Some(Token::Close(_)) | None => {
                return Ok(Array {
                    opens,
                    closes: begins,
                    elements,
                });
            }
            Some(Token::Open(_)) => scanner.skip_rest()?,
            Some(_) => {}
        }
        let ends = begins + scanner.since(begins).len();
        elements.push((begins, ends));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(at: &[&str], within: &[&str], document: &str) -> Vec<(String, String)> {
        let paths = |texts: &[&str]| {
            let each = texts.iter().map(|text| BatchPath::parse(text).unwrap());
            each.collect()
        };
        let rules = BatchRules {
            at: paths(at),
            within: paths(within),
        };
        let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        let parts = rules.split(document.as_bytes()).unwrap();
        parts
            .into_iter()
            .map(|part| (text(part.document), text(part.element)))
            .collect()
    }

    fn documents(at: &[&str], within: &[&str], document: &str) -> Vec<String> {
        split(at, within, document)
            .into_iter()
            .map(|(document, _)| document)
            .collect()
    }

    #[test]
    fn every_event_keeps_what_surrounds_it() {
        assert_eq!(
            split(
                &["/events/*"],
                &[],
                r#"{"at":1.50, "events": [{"id":1}, {"id":2}], "z":[]}"#
            ),
            [
                (
                    r#"{"at":1.50, "events": [{"id":1}], "z":[]}"#.to_owned(),
                    r#"{"id":1}"#.to_owned()
                ),
                (
                    r#"{"at":1.50, "events": [{"id":2}], "z":[]}"#.to_owned(),
                    r#"{"id":2}"#.to_owned()
                ),
            ]
        );
        assert_eq!(
            documents(&["/*"], &[], "[1, [2], \"]\"]"),
            ["[1]", "[[2]]", "[\"]\"]"]
        );
    }

    #[test]
    fn arrays_in_arrays_are_split_to_the_innermost() {
        let body = r#"{"e":[{"id":1,"d":{"c":[1,2]}},{"id":2,"d":{"c":[]}},{"id":3}]}"#;
        assert_eq!(
            documents(&["/e/*/d/c/*"], &[], body),
            [
                r#"{"e":[{"id":1,"d":{"c":[1]}}]}"#,
                r#"{"e":[{"id":1,"d":{"c":[2]}}]}"#,
                r#"{"e":[{"id":2,"d":{"c":[]}}]}"#,
                r#"{"e":[{"id":3}]}"#,
            ]
        );
    }

    #[test]
    fn alternatives_within_an_event_are_told_apart_for_each() {
        let body = r#"{"o":"p","e":[{"a":[1,2]},{"b":[3]},{"a":[4],"b":[5]}]}"#;
        assert_eq!(
            documents(&["/e/*"], &["/a/*", "/b/*"], body),
            [
                r#"{"o":"p","e":[{"a":[1]}]}"#,
                r#"{"o":"p","e":[{"a":[2]}]}"#,
                r#"{"o":"p","e":[{"b":[3]}]}"#,
                r#"{"o":"p","e":[{"a":[4],"b":[5]}]}"#,
            ]
        );
    }

    #[test]
    fn what_is_no_batch_is_kept_whole() {
        for body in [
            r#"{"events":[]}"#,
            r#"{"events":{}}"#,
            r#"{"x":[1]}"#,
            r#"{"events":[1],"events":[2]}"#,
            r#"{"events":[1],"events":null}"#,
            r#"{"events":{"a":1},"events":[1]}"#,
            r#"{"events":[1]"#,
            "events=1",
            "",
        ] {
            assert_eq!(documents(&["/events/*"], &[], body), [""; 0], "{body}");
        }
        assert_eq!(
            documents(&["/a/*", "/b/*"], &[], r#"{"a":[1],"b":[2]}"#),
            [""; 0]
        );
    }

    #[test]
    fn lines_are_events_if_all_of_them_are_json() {
        assert_eq!(
            documents(&["/*", "lines"], &[], "{\"a\":1}\n{\"a\":2}\n"),
            ["{\"a\":1}", "{\"a\":2}"]
        );
        assert_eq!(documents(&["lines"], &[], "{\"a\":1}\nx\n"), [""; 0]);
        assert_eq!(documents(&["/*", "lines"], &[], "[1]"), ["[1]"]);
    }

    #[test]
    fn a_batch_beyond_reason_is_refused() {
        let rules = BatchRules {
            at: vec![BatchPath::parse("/*").unwrap()],
            within: Vec::new(),
        };
        let many = format!("[{}1]", "1,".repeat(MAX_EVENTS));
        assert_eq!(rules.split(many.as_bytes()), Err(TooManyEvents));
        let lines = BatchRules {
            at: vec![BatchPath::Lines],
            within: Vec::new(),
        };
        let wide = format!("[{}{:?}]", "1,".repeat(1999), "x".repeat(40_000));
        assert!(rules.split(wide.as_bytes()).is_ok());
        let nested = BatchRules {
            at: vec![BatchPath::parse("/e/*").unwrap()],
            within: Vec::new(),
        };
        let around = |bytes: usize| {
            format!(
                "{{\"x\":{:?},\"e\":[{}1]}}",
                "x".repeat(bytes),
                "1,".repeat(999)
            )
        };
        assert!(nested.split(around(100).as_bytes()).is_ok());
        assert_eq!(nested.split(around(100_000).as_bytes()), Err(TooManyEvents));
        // Lines are counted like elements.
        let text = |count: usize| "{}\n".repeat(count);
        let most = lines.split(text(MAX_EVENTS).as_bytes()).unwrap();
        assert_eq!(most.len(), MAX_EVENTS);
        for count in [MAX_EVENTS + 1, MAX_EVENTS + 2] {
            assert_eq!(lines.split(text(count).as_bytes()), Err(TooManyEvents));
        }
    }
}
