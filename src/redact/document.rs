//! The pass over a document: tokens in, redacted JSON out.
//!
//! Forms are written with the same steps, so that one set of decisions serves both.

use std::borrow::Cow;

use super::action::Action;
use super::names::{Named, normalise};
use super::path::{Place, Trail};
use super::rules::RuleId;
use super::suspects::Look;
use super::sweep::{Search, Swept};
use super::tally::{Cause, Tally};
use super::writer::{Piece, Spot, Writer};
use super::{REDACTED, Redactor, looks_like_json};
use crate::json::{JsonError, Kind, Scanner, Token};

/// Documents, each inside a string of the other, that are entered; one inside all these goes as a whole.
pub(super) const MAX_NESTED: u8 = 4;

/// Writes one document, leaving out what the rules name.
pub(super) struct Pass<'r, 'o> {
    redactor: &'r Redactor,
    trail: Trail<'r>,
    writer: Writer<'o>,
    tally: &'o mut Tally,
    /// What becomes of the document as a whole.
    whole: Ruling,
    /// How many documents, one inside a string of the other, may still be entered.
    nesting: u8,
    /// Where the current member or element began.
    began: Began,
    /// The last key, normalised; kept to spare an allocation for each.
    name: Vec<u8>,
}

/// What the rules say about a value by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ruling {
    /// The rule acts on it.
    Act(RuleId),
    /// It stays, but for what is found in it.
    Search(Search),
}

/// Where a member or element began, to go back to where it is left out.
#[derive(Clone, Copy)]
struct Began {
    at: Spot,
    is_member: bool,
}

/// An object or array that is open.
struct Level {
    /// For an array how many elements were seen, for an object nothing.
    index: Option<usize>,
    /// Whether it is exempt from what is looked for, which its elements are with it.
    search: Search,
}

/// What becomes of a string.
enum Fate {
    Stays,
    Goes(Cause),
    Becomes(String),
    Removed(RuleId),
}

impl<'r, 'o> Pass<'r, 'o> {
    /// Begins a body, whose pieces that stay are copied from `source`.
    pub(super) fn new(
        redactor: &'r Redactor,
        source: &'o [u8],
        out: &'o mut Vec<u8>,
        tally: &'o mut Tally,
    ) -> Self {
        let (trail, named) = Trail::start(&redactor.rules.paths);
        let writer = Writer::new(source, out);
        Self {
            trail,
            whole: redactor.ruling(named),
            began: Began {
                at: writer.spot(),
                is_member: false,
            },
            redactor,
            writer,
            tally,
            nesting: MAX_NESTED,
            name: Vec::new(),
        }
    }

    /// Writes a whole document.
    pub(super) fn document(&mut self, mut scanner: Scanner<'_>) -> Result<(), JsonError> {
        let mut suspects = self.redactor.suspects(scanner.text());
        let mut ruling = self.whole;
        let mut open: Vec<Level> = Vec::new();
        while let Some(token) = scanner.next_token()? {
            match token {
                Token::Key(key) => {
                    let look = suspects.look(&scanner, key.is_escaped());
                    let written = Some((scanner.piece(), key.raw().len()));
                    ruling = self.key(&key.text(), written, look);
                }
                Token::Close(_) => {
                    open.pop();
                    self.writer.keep_end(scanner.piece());
                    self.leave();
                }
                value => {
                    if let Some(level) = open.last_mut()
                        && let Some(index) = &mut level.index
                    {
                        ruling = self.element(*index, level.search);
                        *index += 1;
                    }
                    match (value, ruling) {
                        (value, Ruling::Act(rule)) => self.act(rule, value, &mut scanner)?,
                        (Token::Open(kind), Ruling::Search(search)) => {
                            self.writer.keep_beginning(scanner.piece());
                            let index = (kind == Kind::Array).then_some(0);
                            open.push(Level { index, search });
                        }
                        (Token::String(text), Ruling::Search(search)) => {
                            let look = suspects.look(&scanner, text.is_escaped());
                            self.string(&text.text(), Some(scanner.piece()), search, look);
                            self.leave();
                        }
                        (scalar, Ruling::Search(search)) => {
                            let look = suspects.look(&scanner, false);
                            self.scalar(scalar, &scanner, search, look);
                            self.leave();
                        }
                    }
                }
            }
        }
        self.finish();
        Ok(())
    }

    /// Writes what is not written yet.
    pub(super) fn finish(&mut self) {
        self.writer.finish();
    }

    /// Returns the rule that acts on the document as a whole.
    pub(super) fn acts_on_all(&self) -> Option<RuleId> {
        match self.whole {
            Ruling::Act(rule) => Some(rule),
            Ruling::Search(_) => None,
        }
    }

    /// Goes down to a member, writes its key (as it was written, if it was in JSON: the piece, and the
    /// length without quotes) and tells what becomes of its value.
    pub(super) fn key(&mut self, key: &str, written: Option<(Piece, usize)>, look: Look) -> Ruling {
        self.begin(true);
        let named = self.named(key);
        match self.shown(key, look) {
            None => {
                self.tally.enter(|| key.to_owned());
                match written {
                    Some((piece, length)) => self.writer.keep_key(piece, length),
                    None => self.writer.key(key),
                }
            }
            Some((shown, cause)) => {
                self.tally.enter(|| shown.clone());
                self.tally.fire(cause, Action::Mask);
                self.writer.key(&shown);
            }
        }
        self.redactor.ruling(named)
    }

    /// Goes down to an element of an array and tells what becomes of it.
    pub(super) fn element(&mut self, index: usize, around: Search) -> Ruling {
        self.begin(false);
        self.tally.enter(|| index.to_string());
        let named = self.trail.enter(Place::Index(index));
        match self.redactor.ruling(named) {
            Ruling::Search(search) => Ruling::Search(search.and(around)),
            act => act,
        }
    }

    /// Goes up again from a member or element.
    pub(super) fn leave(&mut self) {
        self.trail.leave();
        self.tally.leave();
    }

    /// Opens an object or array that is in no source.
    pub(super) fn open(&mut self, kind: Kind) {
        self.writer.open(kind);
    }

    /// Closes it.
    pub(super) fn close(&mut self, kind: Kind) {
        self.writer.close(kind);
    }

    /// Writes a string that no rule names: what is in it may still have to go.
    pub(super) fn string(&mut self, text: &str, piece: Option<Piece>, search: Search, look: Look) {
        match self.fate(text, search, look) {
            Fate::Stays => self.write(text, piece),
            Fate::Goes(cause) => self.take_out(cause),
            Fate::Becomes(text) => self.writer.string(&text),
            Fate::Removed(rule) => self.remove(rule),
        }
    }

    /// Has a rule act on a string, unless that was done before.
    pub(super) fn act_on_text(&mut self, rule: RuleId, text: &str, piece: Option<Piece>) {
        let action = self.redactor.rules.book.action(rule);
        if action == Action::Remove {
            self.remove(rule);
        } else if action.has_made(text) {
            self.write(text, piece);
        } else if self.redactor.rules.secrets.found_in(text.as_bytes()) {
            self.take_out(Cause::Secret);
        } else {
            let (made, action) = self.redactor.made_of(text, action);
            self.writer.string(&made);
            self.tally.fire(Cause::Rule(rule), action);
        }
    }

    /// Has a rule act on what has no text of its own.
    pub(super) fn act_on_all(&mut self, rule: RuleId) {
        match self.redactor.rules.book.action(rule) {
            Action::Remove => self.remove(rule),
            _ => self.take_out(Cause::Rule(rule)),
        }
    }

    /// Writes that a value was taken out, and counts it.
    pub(super) fn take_out(&mut self, cause: Cause) {
        self.writer.mark();
        self.tally.fire(cause, Action::Mask);
    }

    /// Goes down to a member, and returns what is said about it.
    fn named(&mut self, key: &str) -> Named {
        let names = &self.redactor.rules.names;
        let may_be_named = names.may_name(key);
        self.name.clear();
        if may_be_named || self.trail.leads_on() {
            normalise(key, &mut self.name);
        }
        let by_path = self.trail.enter(Place::Key(&self.name));
        match may_be_named {
            true => by_path.or(names.named(&self.name)),
            false => by_path,
        }
    }

    fn act(
        &mut self,
        rule: RuleId,
        value: Token<'_>,
        scanner: &mut Scanner<'_>,
    ) -> Result<(), JsonError> {
        match value {
            Token::String(text) => {
                self.act_on_text(rule, &text.text(), Some(scanner.piece()));
            }
            Token::Number(text) => self.act_on_text(rule, text, None),
            // What was removed from an array before.
            Token::Null if self.leaves_null(rule) => self.writer.null(),
            Token::Open(_) => {
                scanner.skip_rest()?;
                self.act_on_all(rule);
            }
            _ => self.act_on_all(rule),
        }
        self.leave();
        Ok(())
    }

    fn leaves_null(&self, rule: RuleId) -> bool {
        !self.began.is_member && self.redactor.rules.book.action(rule) == Action::Remove
    }

    /// Leaves a member out; anything else leaves `null`.
    fn remove(&mut self, rule: RuleId) {
        self.tally.fire(Cause::Rule(rule), Action::Remove);
        match self.began.is_member {
            true => self.writer.go_back(self.began.at),
            false => self.writer.null(),
        }
    }

    fn scalar(&mut self, scalar: Token<'_>, scanner: &Scanner<'_>, search: Search, look: Look) {
        let cause = match scalar {
            Token::Number(text) if self.redactor.rules.secrets.found_in(text.as_bytes()) => {
                Some(Cause::Secret)
            }
            Token::Number(text) if search.detectors => self.redactor.detected(text, look),
            _ => None,
        };
        match cause {
            Some(cause) => self.take_out(cause),
            None => self.writer.keep(scanner.piece()),
        }
    }

    /// Returns what is shown of a key that does not stay as it is, and why.
    fn shown(&self, key: &str, look: Look) -> Option<(String, Cause)> {
        if key == REDACTED {
            return None;
        }
        if self.redactor.rules.secrets.found_in(key.as_bytes()) {
            return Some((REDACTED.to_owned(), Cause::Secret));
        }
        let cause = self.redactor.detected(key, look)?;
        let search = Search {
            values: false,
            detectors: true,
        };
        match self
            .redactor
            .sweep(key, search, search, &mut Tally::default())
        {
            Swept::Becomes(shown) => Some((shown, cause)),
            Swept::Stays | Swept::Removed(_) => None,
        }
    }

    fn begin(&mut self, is_member: bool) {
        self.began = Began {
            at: self.writer.spot(),
            is_member,
        };
    }

    /// Writes a string to the letter.
    fn write(&mut self, text: &str, piece: Option<Piece>) {
        match piece {
            None => self.writer.string(text),
            Some(piece) => self.writer.keep(piece),
        }
    }

    fn fate(&mut self, text: &str, search: Search, look: Look) -> Fate {
        if text == REDACTED {
            return Fate::Stays;
        }
        let mark = self.tally.mark();
        let fate = match looks_like_json(text.as_bytes()) {
            true => self.enter(text),
            false => None,
        };
        let fate =
            fate.unwrap_or_else(
                || match self.redactor.search(text, search, look, self.tally) {
                    Swept::Stays => Fate::Stays,
                    Swept::Becomes(text) => Fate::Becomes(text),
                    Swept::Removed(rule) => Fate::Removed(rule),
                },
            );
        let left: Cow<'_, str> = match &fate {
            Fate::Stays => text.into(),
            Fate::Becomes(text) => text.into(),
            Fate::Goes(_) | Fate::Removed(_) => return fate,
        };
        // A secret may also lie across what the document inside has for values.
        match self.redactor.rules.secrets.found_in(left.as_bytes()) {
            true => {
                self.tally.rewind(mark);
                Fate::Goes(Cause::Secret)
            }
            false => fate,
        }
    }

    /// Redacts the document that a string may hold; nothing where it holds none.
    fn enter(&mut self, text: &str) -> Option<Fate> {
        let Some(nesting) = self.nesting.checked_sub(1) else {
            return reads_as_json(text).then_some(Fate::Goes(Cause::Unread));
        };
        let (mark, path) = (self.tally.mark(), self.tally.path());
        let mut out = Vec::with_capacity(text.len());
        let trail = self.trail.inside(&self.redactor.rules.paths);
        let mut pass = Pass {
            trail,
            whole: Ruling::Search(Search::ALL),
            nesting,
            ..Pass::new(self.redactor, text.as_bytes(), &mut out, self.tally)
        };
        let read = pass.document(Scanner::over(text));
        self.tally.return_to(path);
        match read {
            Ok(()) if self.tally.mark() == mark => Some(Fate::Stays),
            Ok(()) => Some(match String::from_utf8(out) {
                Ok(text) => Fate::Becomes(text),
                Err(_) => Fate::Goes(Cause::Unread),
            }),
            Err(error) => {
                self.tally.rewind(mark);
                // Other parsers would read it and find what the rules name.
                error.fault.is_ours().then_some(Fate::Goes(Cause::Unread))
            }
        }
    }
}

/// Tells whether a text is JSON, for us or for others.
fn reads_as_json(text: &str) -> bool {
    let mut scanner = Scanner::over(text);
    loop {
        match scanner.next_token() {
            Ok(Some(_)) => {}
            Ok(None) => return true,
            Err(error) => return error.fault.is_ours(),
        }
    }
}

impl Redactor {
    /// Weighs what paths and names say about a value.
    fn ruling(&self, named: Named) -> Ruling {
        match (named.explicit, named.default) {
            (Some(rule), _) => match self.rules.book.action(rule) {
                Action::Keep => Ruling::Search(Search::NOTHING),
                _ => Ruling::Act(rule),
            },
            (None, _) if named.kept => Ruling::Search(Search {
                values: true,
                detectors: false,
            }),
            (None, Some(rule)) => Ruling::Act(rule),
            (None, None) => Ruling::Search(Search::ALL),
        }
    }
}
