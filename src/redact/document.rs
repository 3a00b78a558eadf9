//! The pass over a document: tokens in, redacted JSON out.
//!
//! Forms are written with the same steps, so that one set of decisions serves both.

use std::borrow::Cow;

use super::path::{Place, Trail};
use super::rules::{Named, normalise};
use super::{REDACTED, REDACTED_JSON, Redactor, looks_like_json};
use crate::json::{JsonError, Kind, Scanner, Token, quote};

/// Writes one document, leaving out what the rules name.
pub(super) struct Pass<'r, 'o> {
    redactor: &'r Redactor,
    trail: Trail<'r>,
    out: &'o mut Vec<u8>,
    redacted: u32,
    /// Whether the document goes as a whole.
    all_hidden: bool,
    /// How many documents, one inside a string of the other, may still be entered.
    nesting: u8,
    /// Whether what comes next on this level needs a comma.
    comma: bool,
    /// The last key, normalised; kept to spare an allocation for each.
    name: Vec<u8>,
}

/// What becomes of a string.
enum Fate {
    Stays,
    Goes,
    /// It holds a document, of which something was taken out.
    Becomes {
        text: String,
        redacted: u32,
    },
}

impl<'r, 'o> Pass<'r, 'o> {
    /// Begins a body, in which documents inside strings are entered up to `nesting` times.
    pub(super) fn new(redactor: &'r Redactor, nesting: u8, out: &'o mut Vec<u8>) -> Self {
        let (trail, verdict) = Trail::start(&redactor.paths);
        Self {
            redactor,
            trail,
            out,
            redacted: 0,
            all_hidden: verdict.hides(),
            nesting,
            comma: false,
            name: Vec::new(),
        }
    }

    /// Writes a whole document.
    pub(super) fn document(&mut self, mut scanner: Scanner<'_>) -> Result<(), JsonError> {
        let mut hidden = self.all_hidden;
        // For an array how many elements were seen, for an object nothing.
        let mut open: Vec<Option<usize>> = Vec::new();
        while let Some(token) = scanner.next_token()? {
            match token {
                Token::Key(key) => hidden = self.key(&key.text(), Some(key.raw())),
                Token::Close(kind) => {
                    open.pop();
                    self.close(kind);
                    self.leave();
                }
                value => {
                    if let Some(Some(index)) = open.last_mut() {
                        hidden = self.element(*index);
                        *index += 1;
                    }
                    match value {
                        value if hidden => self.hide(value, &mut scanner)?,
                        Token::Open(kind) => {
                            self.open(kind);
                            open.push((kind == Kind::Array).then_some(0));
                        }
                        scalar => {
                            self.scalar(scalar, &scanner);
                            self.leave();
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns how many values were taken out.
    pub(super) fn redacted(&self) -> u32 {
        self.redacted
    }

    /// Tells whether the document goes as a whole.
    pub(super) fn all_hidden(&self) -> bool {
        self.all_hidden
    }

    /// Goes down to a member, writes its key (as it was written, if it was in JSON) and tells
    /// whether its value must go.
    pub(super) fn key(&mut self, key: &str, raw: Option<&str>) -> bool {
        self.separate();
        match key != REDACTED && self.redactor.secrets.found_in(key.as_bytes()) {
            true => self.take_out(),
            false => self.write(key, raw),
        }
        self.out.push(b':');
        self.comma = false;

        self.name.clear();
        normalise(key, &mut self.name);
        let mut verdict = self.trail.enter(Place::Key(&self.name));
        let names = &self.redactor.names;
        verdict.kept |= names.kept(&self.name);
        verdict.hides()
            || match names.named(&self.name) {
                Some(Named::ByRule) => true,
                Some(Named::ByDefault) => !verdict.kept,
                None => false,
            }
    }

    /// Goes down to an element of an array and tells whether it must go.
    pub(super) fn element(&mut self, index: usize) -> bool {
        self.separate();
        self.trail.enter(Place::Index(index)).hides()
    }

    /// Goes up again from a member or element.
    pub(super) fn leave(&mut self) {
        self.trail.leave();
    }

    /// Opens an object or array.
    pub(super) fn open(&mut self, kind: Kind) {
        self.out.push(match kind {
            Kind::Object => b'{',
            Kind::Array => b'[',
        });
        self.comma = false;
    }

    /// Closes an object or array.
    pub(super) fn close(&mut self, kind: Kind) {
        self.out.push(match kind {
            Kind::Object => b'}',
            Kind::Array => b']',
        });
        self.comma = true;
    }

    /// Writes a string that no name or path takes out: what is in it may still have to go.
    pub(super) fn string(&mut self, text: &str, raw: Option<&str>) {
        match self.fate(text) {
            Fate::Stays => self.write(text, raw),
            Fate::Goes => self.take_out(),
            Fate::Becomes { text, redacted } => {
                self.write(&text, None);
                self.redacted = self.redacted.saturating_add(redacted);
            }
        }
    }

    /// Writes that a value was taken out, and counts it.
    pub(super) fn take_out(&mut self) {
        self.out.extend_from_slice(REDACTED_JSON);
        self.redacted = self.redacted.saturating_add(1);
        self.comma = true;
    }

    /// Takes out a value, unless that was done before.
    fn hide(&mut self, value: Token<'_>, scanner: &mut Scanner<'_>) -> Result<(), JsonError> {
        match value {
            Token::String(text) if text.is(REDACTED) => self.write(REDACTED, Some(text.raw())),
            value => {
                if let Token::Open(_) = value {
                    scanner.skip_rest()?;
                }
                self.take_out();
            }
        }
        self.leave();
        Ok(())
    }

    fn scalar(&mut self, scalar: Token<'_>, scanner: &Scanner<'_>) {
        match scalar {
            Token::String(text) => self.string(&text.text(), Some(text.raw())),
            Token::Number(text) if self.redactor.secrets.found_in(text.as_bytes()) => {
                self.take_out();
            }
            _ => {
                let text = scanner.since(scanner.start());
                self.out.extend_from_slice(text.as_bytes());
            }
        }
        self.comma = true;
    }

    fn separate(&mut self) {
        if self.comma {
            self.out.push(b',');
        }
    }

    /// Writes a string to the letter.
    fn write(&mut self, text: &str, raw: Option<&str>) {
        match raw {
            None => quote(text, self.out),
            Some(raw) => {
                self.out.push(b'"');
                self.out.extend_from_slice(raw.as_bytes());
                self.out.push(b'"');
            }
        }
        self.comma = true;
    }

    fn fate(&self, text: &str) -> Fate {
        if text == REDACTED {
            return Fate::Stays;
        }
        let fate = match self.nesting > 0 && looks_like_json(text.as_bytes()) {
            true => self.enter(text),
            false => Fate::Stays,
        };
        let left: Cow<'_, str> = match &fate {
            Fate::Stays => text.into(),
            Fate::Becomes { text, .. } => text.into(),
            Fate::Goes => return fate,
        };
        // A secret may also lie across what the document inside has for values.
        match self.redactor.secrets.found_in(left.as_bytes()) {
            true => Fate::Goes,
            false => fate,
        }
    }

    /// Redacts the document that a string may hold.
    fn enter(&self, text: &str) -> Fate {
        let mut out = Vec::new();
        let mut pass = Pass {
            redactor: self.redactor,
            trail: self.trail.inside(&self.redactor.paths),
            out: &mut out,
            redacted: 0,
            all_hidden: false,
            nesting: self.nesting - 1,
            comma: false,
            name: Vec::new(),
        };
        let read = pass.document(Scanner::over(text));
        let redacted = pass.redacted;
        match read {
            Ok(()) if redacted == 0 => Fate::Stays,
            Ok(()) => match String::from_utf8(out) {
                Ok(text) => Fate::Becomes { text, redacted },
                Err(_) => Fate::Goes,
            },
            // Other parsers would read it and find what the rules name.
            Err(error) if error.fault.is_ours() => Fate::Goes,
            Err(_) => Fate::Stays,
        }
    }
}
