//! Finds the values that JSON pointers (RFC 6901) name, in one pass over a document.

use std::borrow::Cow;

use super::{JsonError, Kind, MAX_DEPTH, Scanner, Token};

/// A JSON pointer: names one value of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer {
    segments: Vec<Segment>,
}

/// One level of a pointer: a key, and the index it is where an array stands.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Segment {
    key: String,
    index: Option<usize>,
}

impl Pointer {
    /// Reads a pointer such as `/data/items/0/id`; `~1` stands for `/`, `~0` for `~`, and the empty
    /// pointer for the whole document. `*` is the first element of an array: where a batch was split,
    /// the only one.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.split('/');
        if parts.next() != Some("") {
            return Err(format!("pointer `{text}` does not begin with `/`"));
        }
        let segments: Vec<Segment> = parts
            .map(|part| match unescape(part) {
                Some(key) => Ok(Segment {
                    index: match key.as_str() {
                        "*" => Some(0),
                        key => array_index(key),
                    },
                    key,
                }),
                None => Err(format!("pointer `{text}` has a `~` without 0 or 1")),
            })
            .collect::<Result<_, _>>()?;
        if segments.len() > MAX_DEPTH as usize {
            return Err(format!("pointer is deeper than {MAX_DEPTH} levels"));
        }
        Ok(Self { segments })
    }
}

/// A value that a pointer named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A string, escapes resolved.
    String(Cow<'a, str>),
    /// A number, exactly as written.
    Number(Cow<'a, str>),
    /// `true` or `false`
    Bool(bool),
    /// `null`
    Null,
    /// An object or array, exactly as written.
    Composite(Cow<'a, str>),
}

impl Found<'_> {
    /// Returns a string, number or truth value as text; nothing for the rest.
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::String(text) | Self::Number(text) => Some(Cow::Borrowed(text)),
            Self::Bool(true) => Some(Cow::Borrowed("true")),
            Self::Bool(false) => Some(Cow::Borrowed("false")),
            Self::Null | Self::Composite(_) => None,
        }
    }

    /// Detaches the value from the document it was found in.
    pub fn into_owned(self) -> Found<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        match self {
            Self::String(text) => Found::String(owned(text)),
            Self::Number(text) => Found::Number(owned(text)),
            Self::Bool(value) => Found::Bool(value),
            Self::Null => Found::Null,
            Self::Composite(text) => Found::Composite(owned(text)),
        }
    }
}

/// Looks up pointers in a document, which is read to its end and must be sound throughout.
///
/// Of a key that an object repeats the last one counts, as it does for most parsers: a worker that
/// reads the signal must not see another value than the gateway judged.
pub fn lookup<'a>(
    json: &'a [u8],
    pointers: &[Pointer],
) -> Result<Vec<Option<Found<'a>>>, JsonError> {
    let mut scanner = Scanner::new(json)?;
    let mut search = Search::new(pointers);
    while let Some(token) = scanner.next_token()? {
        search.take(token, &scanner);
        if matches!(token, Token::Open(_)) && search.is_off_every_trail() {
            scanner.skip_rest()?;
            search.take(Token::Close(Kind::Object), &scanner);
        }
    }
    Ok(search.trails.into_iter().map(|trail| trail.found).collect())
}

/// Decodes `~0` and `~1`; nothing where a `~` stands for neither. Shared with redaction paths.
pub(crate) fn unescape(part: &str) -> Option<String> {
    let mut pieces = part.split('~');
    let mut key = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (char, rest) = match piece.as_bytes().first() {
            Some(b'0') => ('~', &piece[1..]),
            Some(b'1') => ('/', &piece[1..]),
            _ => return None,
        };
        key.push(char);
        key.push_str(rest);
    }
    Some(key)
}

/// Reads an array index as RFC 6901 writes it: digits only, no leading zero.
pub(crate) fn array_index(key: &str) -> Option<usize> {
    let plain = key == "0" || key.starts_with(|first| matches!(first, '1'..='9'));
    key.parse().ok().filter(|_| plain)
}

/// How far every pointer has come.
struct Search<'p, 'a> {
    trails: Vec<Trail<'p, 'a>>,
    /// What is open: for an array how many elements were seen, for an object nothing.
    open: Vec<Option<usize>>,
}

struct Trail<'p, 'a> {
    segments: &'p [Segment],
    /// How many segments the way to the current value has matched, without a gap.
    reached: usize,
    /// Where the composite that the pointer names begins.
    begins: usize,
    found: Option<Found<'a>>,
}

impl<'p, 'a> Search<'p, 'a> {
    fn new(pointers: &'p [Pointer]) -> Self {
        let trail = |pointer: &'p Pointer| Trail {
            segments: &pointer.segments,
            reached: 0,
            begins: 0,
            found: None,
        };
        Self {
            trails: pointers.iter().map(trail).collect(),
            open: Vec::new(),
        }
    }

    fn take(&mut self, token: Token<'a>, scanner: &Scanner<'a>) {
        match token {
            Token::Key(key) => self.enter(|segment| key.is(&segment.key)),
            Token::Open(kind) => {
                self.element();
                self.begin(scanner.start());
                self.open.push((kind == Kind::Array).then_some(0));
            }
            Token::Close(_) => {
                self.open.pop();
                self.leave(|trail| Found::Composite(scanner.since(trail.begins).into()));
            }
            scalar => {
                self.element();
                self.leave(|_| found(scalar));
            }
        }
    }

    /// Counts the value that comes now if it is an array's, and follows the pointers that name it.
    fn element(&mut self) {
        if let Some(Some(count)) = self.open.last_mut() {
            let index = *count;
            *count += 1;
            self.enter(|segment| segment.index == Some(index));
        }
    }

    /// Follows the pointers whose next segment names the value that comes now.
    fn enter(&mut self, names: impl Fn(&Segment) -> bool) {
        let level = self.open.len();
        for trail in &mut self.trails {
            let next = trail.segments.get(trail.reached);
            if trail.reached + 1 == level && next.is_some_and(&names) {
                trail.reached = level;
                // The key may be a repeated one: then nothing under the first counts.
                trail.found = None;
            }
        }
    }

    /// Tells whether no pointer goes on into what was opened last.
    fn is_off_every_trail(&self) -> bool {
        let outside = self.open.len().saturating_sub(1);
        let goes_on =
            |trail: &Trail<'_, '_>| trail.reached == outside && trail.segments.len() > outside;
        !self.trails.iter().any(goes_on)
    }

    fn begin(&mut self, start: usize) {
        let level = self.open.len();
        for trail in &mut self.trails {
            if trail.arrived(level) {
                trail.begins = start;
            }
        }
    }

    /// Ends a value: it is what some pointers name, and none goes on below it.
    fn leave(&mut self, found: impl Fn(&Trail<'p, 'a>) -> Found<'a>) {
        let level = self.open.len();
        for trail in &mut self.trails {
            if trail.arrived(level) {
                trail.found = Some(found(trail));
            }
            if trail.reached == level {
                trail.reached = level.saturating_sub(1);
            }
        }
    }
}

impl Trail<'_, '_> {
    fn arrived(&self, level: usize) -> bool {
        self.reached == level && self.segments.len() == level
    }
}

fn found(scalar: Token<'_>) -> Found<'_> {
    match scalar {
        Token::String(text) => Found::String(text.text()),
        Token::Number(text) => Found::Number(text.into()),
        Token::True => Found::Bool(true),
        Token::False => Found::Bool(false),
        _ => Found::Null,
    }
}
