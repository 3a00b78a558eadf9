//! Templates: what a provider signs, or where it names an event, as text with `{…}` in it.
//!
//! Compiled once from a definition into typed steps; the request path interprets no strings. The
//! same steps tell what a signature covers, so that whether an event id is signed is worked out and
//! never merely claimed by a definition.

mod canonical;
mod filter;
#[cfg(test)]
mod properties;
mod source;

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::verify::fields::{Fields, Pointers};
use crate::verify::key::HmacKey;
use filter::Filter;
pub(crate) use source::Source;

/// A compiled template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Literal(String),
    Piece(Piece),
    /// Left out as a whole where a piece in it is absent.
    Group(Template),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    source: Source,
    filters: Vec<Filter>,
    /// Absent stands for empty.
    optional: bool,
    /// It may hold the text that follows it in the template.
    free: bool,
}

/// What a signature covers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    sources: Vec<Source>,
}

impl Coverage {
    /// Tells whether every byte of the body is covered.
    pub fn body(&self) -> bool {
        let whole = |source: &Source| {
            matches!(
                source,
                Source::Body | Source::Document | Source::SortedForm(_)
            )
        };
        self.sources.iter().any(whole)
    }

    /// Tells whether the public URL is covered, so that it has to be known.
    pub fn url(&self) -> bool {
        self.sources.iter().any(Source::is_url)
    }

    /// Returns the pieces that are covered, in the order in which they were found to be.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter()
    }

    /// Adds what comparing `left` with `right` binds, where `left` is covered already.
    pub(crate) fn bind(&mut self, left: &Template, right: &Template) {
        if left.covered_by(self) {
            self.add(right);
        }
    }

    /// Adds what a template that is signed covers.
    pub(crate) fn add(&mut self, template: &Template) {
        self.sources
            .extend(template.bound_pieces().map(|piece| piece.source.clone()));
    }

    /// Adds the document.
    pub(crate) fn add_document(&mut self) {
        self.sources.push(Source::Document);
    }

    /// Keeps only what another coverage has too: of two spellings one cannot tell which was signed.
    pub(crate) fn keep_common(&mut self, other: &Self) {
        self.sources.retain(|source| other.covers(source));
    }

    /// Adds the claims of a token that is signed.
    pub(crate) fn add_claims(&mut self, names: impl Iterator<Item = String>) {
        self.sources.extend(names.map(Source::Claim));
    }

    fn covers(&self, source: &Source) -> bool {
        let has = |one: fn(&Source) -> bool| self.sources.iter().any(one);
        match source {
            Source::Field(..) | Source::Form(_) | Source::SortedForm(_) | Source::Member(_)
                if self.body() =>
            {
                true
            }
            Source::Field(at, _) => {
                let same = |one: &Source| matches!(one, Source::Field(known, _) if known == at);
                self.sources.iter().any(same)
            }
            Source::Form(name) => {
                let but = |one: &Source| matches!(one, Source::SortedParams(but) if but != name);
                self.sources.contains(source) || self.sources.iter().any(but)
            }
            Source::Query(name) => {
                let but = |one: &Source| matches!(one, Source::SortedParams(but) if but != name);
                has(|one| matches!(one, Source::Url | Source::RawQuery | Source::SortedQuery(_)))
                    || self.sources.contains(source)
                    || self.sources.iter().any(but)
            }
            Source::Header(names) => self.sources.iter().any(|one| match one {
                Source::Header(known) | Source::ListedHeaders(known) => {
                    names.iter().all(|name| known.contains(name))
                }
                _ => false,
            }),
            // The JWT is the proof: all of it is covered.
            Source::Claim(_) => has(|one| matches!(one, Source::Claim(_))),
            other => self.sources.contains(other),
        }
    }
}

/// Why a template cannot be filled in from a delivery.
#[derive(Debug, PartialEq, Eq)]
pub enum Unfit {
    /// A piece is absent.
    Missing(String),
    /// A piece is there more than once.
    Repeated(String),
    /// A piece holds what would blur the boundary to the next.
    Blurred(String),
    /// The body is not of the kind that the template reads.
    ContentType(String),
}

/// What a template is filled in from.
#[derive(Clone, Copy)]
pub struct Scope<'s, 'd> {
    /// The delivery and its body's fields.
    pub fields: &'s Fields<'d>,
    /// The URL to take as the one called: a scheme may try several spellings of it.
    pub url: &'s str,
    /// The elements of the signature header.
    pub params: &'s [(String, String)],
    /// The claims of the JWT that is the proof.
    pub claims: Option<&'s Map<String, Value>>,
    /// The secret, where it is hashed with the content.
    pub(crate) secret: Option<&'s [u8]>,
    /// What challenges are answered with.
    pub(crate) replies: Option<&'s ReplyKey>,
}

/// The key that answers challenges: the endpoint's first. Never shown.
#[derive(Clone)]
pub(crate) struct ReplyKey {
    pub(crate) id: Option<String>,
    pub(crate) key: Option<HmacKey>,
}

impl std::fmt::Debug for ReplyKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReplyKey([redacted])")
    }
}

impl<'s, 'd> Scope<'s, 'd> {
    /// A delivery as it was received, with no proof taken apart yet.
    pub(crate) fn of(fields: &'s Fields<'d>) -> Self {
        Self {
            fields,
            url: &fields.delivery().url,
            params: &[],
            claims: None,
            secret: None,
            replies: None,
        }
    }

    /// Returns the texts that a claim has: several where it is an array.
    fn claim(&self, name: &str) -> impl Iterator<Item = String> + use<> {
        let value = self.claims.and_then(|claims| claims.get(name));
        claim_texts(value).into_iter()
    }
}

/// Returns a claim's value as texts; nothing for null and objects.
pub(crate) fn claim_texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Number(number)) => vec![number.to_string()],
        Some(Value::Bool(value)) => vec![value.to_string()],
        Some(Value::Array(all)) => all
            .iter()
            .filter(|one| !one.is_array())
            .flat_map(|one| claim_texts(Some(one)))
            .collect(),
        _ => Vec::new(),
    }
}

impl Template {
    /// Compiles a template. Literal braces cannot be written; no provider needs them.
    pub fn compile(text: &str, pointers: &mut Pointers) -> Result<Self, String> {
        let mut steps = Vec::new();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once('{') {
            let (inside, after) = after
                .split_once('}')
                .ok_or_else(|| format!("`{text}`: a `{{` is not closed"))?;
            if !literal.is_empty() {
                steps.push(Step::Literal(literal.to_owned()));
            }
            let piece = compile_piece(inside, pointers);
            steps.push(Step::Piece(
                piece.map_err(|why| format!("`{text}`: {why}"))?,
            ));
            rest = after;
        }
        if rest.contains('}') {
            return Err(format!("`{text}`: a `}}` closes nothing"));
        }
        if !rest.is_empty() {
            steps.push(Step::Literal(rest.to_owned()));
        }
        Self { steps }.checked(text)
    }

    /// Compiles parts that follow each other. One that begins with `?` is left out where a piece in
    /// it is absent.
    pub fn compile_parts(parts: &[String], pointers: &mut Pointers) -> Result<Self, String> {
        let mut steps = Vec::new();
        for part in parts {
            match part.strip_prefix('?') {
                Some(group) => steps.push(Step::Group(Self::compile(group, pointers)?)),
                None => steps.extend(Self::compile(part, pointers)?.steps),
            }
        }
        Self { steps }.checked(&parts.concat())
    }

    /// With two pieces of free text, what is signed could be cut in more than one way.
    fn checked(self, text: &str) -> Result<Self, String> {
        match self.pieces().filter(|piece| piece.free).count() {
            0 | 1 => Ok(self),
            _ => Err(format!("`{text}`: only one piece may be `free`")),
        }
    }

    /// Hands the filled-in template to `sink`, piece by piece.
    pub fn feed(&self, scope: &Scope<'_, '_>, sink: &mut dyn FnMut(&[u8])) -> Result<(), Unfit> {
        self.feed_from(scope, false, sink)
    }

    fn feed_from(
        &self,
        scope: &Scope<'_, '_>,
        mut after_free: bool,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Unfit> {
        for (at, step) in self.steps.iter().enumerate() {
            match step {
                Step::Literal(text) => sink(text.as_bytes()),
                Step::Piece(piece) => {
                    let read = piece.read(scope)?;
                    for next in self.literals_after(at) {
                        piece.keeps_its_boundary(&read, next)?;
                    }
                    if let Some(before) = self.literal_before(at, after_free) {
                        piece.keeps_its_boundary(&read, before)?;
                    }
                    sink(&piece.filter(read, scope)?);
                }
                Step::Group(group) => match group.filled(scope, after_free) {
                    Ok(bytes) => sink(&bytes),
                    Err(Unfit::Missing(_)) => {}
                    Err(other) => return Err(other),
                },
            }
            after_free |= matches!(step, Step::Piece(piece) if piece.free);
        }
        Ok(())
    }

    fn filled(&self, scope: &Scope<'_, '_>, after_free: bool) -> Result<Vec<u8>, Unfit> {
        let mut whole = Vec::new();
        self.feed_from(scope, after_free, &mut |piece| {
            whole.extend_from_slice(piece)
        })?;
        Ok(whole)
    }

    /// Behind a free piece the literal before a piece may not stand in it either: the free piece
    /// could end there, and what is signed could be cut anew.
    fn literal_before(&self, at: usize, after_free: bool) -> Option<&str> {
        let before = at.checked_sub(1).and_then(|at| self.steps.get(at));
        match before {
            Some(Step::Literal(text)) if after_free => Some(text),
            _ => None,
        }
    }

    /// Returns the literals that may follow a step.
    fn literals_after(&self, at: usize) -> impl Iterator<Item = &str> {
        let next = self.steps.get(at + 1..).unwrap_or_default();
        let groups = next
            .iter()
            .take_while(|step| matches!(step, Step::Group(_)))
            .count();
        next.iter()
            .take(groups + 1)
            .filter_map(Step::leading_literal)
    }

    /// Returns the filled-in template.
    pub fn bytes(&self, scope: &Scope<'_, '_>) -> Result<Vec<u8>, Unfit> {
        self.filled(scope, false)
    }

    /// Returns the filled-in template as text, or nothing where a piece is absent, empty or not text.
    pub fn text(&self, scope: &Scope<'_, '_>) -> Option<String> {
        let whole = self.bytes(scope).ok()?;
        String::from_utf8(whole)
            .ok()
            .filter(|text| !text.is_empty())
    }

    /// Tells whether a signature that covers `coverage` covers every piece of this template.
    pub fn covered_by(&self, coverage: &Coverage) -> bool {
        self.sources().all(|source| coverage.covers(source))
    }

    /// Returns what a signature over this template covers.
    pub fn coverage(&self) -> Coverage {
        let mut coverage = Coverage::default();
        coverage.add(self);
        coverage
    }

    /// Tells whether the template is the raw body and nothing else.
    pub fn is_body(&self) -> bool {
        matches!(self.only_source(), Some(Source::Body))
    }

    /// Tells whether it is text alone.
    pub(crate) fn is_literal(&self) -> bool {
        self.pieces().next().is_none()
    }

    /// Returns the template's text if it is text alone.
    pub(crate) fn literal(&self) -> Option<&str> {
        match self.steps.as_slice() {
            [Step::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Returns the only piece of a template that has one piece and no other text.
    pub(crate) fn only_source(&self) -> Option<&Source> {
        match self.steps.as_slice() {
            [Step::Piece(piece)] if piece.filters.is_empty() => Some(&piece.source),
            _ => None,
        }
    }

    pub(crate) fn sources(&self) -> impl Iterator<Item = &Source> {
        self.pieces().map(|piece| &piece.source)
    }

    /// Tells whether an HMAC is made of a piece, which only answers to challenges may do.
    pub(crate) fn makes_hmac(&self) -> bool {
        self.pieces().any(|piece| {
            piece
                .filters
                .iter()
                .any(|one| matches!(one, Filter::Hmac(_)))
        })
    }

    fn bound_pieces(&self) -> impl Iterator<Item = &Piece> {
        self.pieces()
            .filter(|piece| piece.filters.iter().all(Filter::binds))
    }

    fn pieces(&self) -> impl Iterator<Item = &Piece> {
        // Groups are not nested.
        let steps = self.steps.iter().flat_map(|step| match step {
            Step::Group(group) => group.steps.as_slice(),
            step => std::slice::from_ref(step),
        });
        steps.filter_map(|step| match step {
            Step::Piece(piece) => Some(piece),
            _ => None,
        })
    }
}

impl Step {
    fn leading_literal(&self) -> Option<&str> {
        match self {
            Self::Literal(text) => Some(text),
            Self::Piece(_) => None,
            Self::Group(group) => group.steps.first().and_then(Self::leading_literal),
        }
    }
}

impl Piece {
    fn read<'s>(&self, scope: &Scope<'s, '_>) -> Result<Cow<'s, [u8]>, Unfit> {
        match self.source.read(scope) {
            Err(Unfit::Missing(_)) if self.optional => Ok(Cow::Borrowed(&[])),
            read => read,
        }
    }

    fn filter<'s>(
        &self,
        piece: Cow<'s, [u8]>,
        scope: &Scope<'_, '_>,
    ) -> Result<Cow<'s, [u8]>, Unfit> {
        self.filters
            .iter()
            .try_fold(piece, |piece, filter| filter.apply(piece, scope))
    }

    /// Refuses a free-text piece that contains the literal after it: `a.1` + `.` + `2` and
    /// `a` + `.` + `1.2` would be signed alike, and a captured delivery could be cut anew.
    fn keeps_its_boundary(&self, piece: &[u8], next: &str) -> Result<(), Unfit> {
        let contains = !next.is_empty() && memchr::memmem::find(piece, next.as_bytes()).is_some();
        if self.source.is_free_text() && !self.free && contains {
            let next = next.escape_debug();
            return Err(Unfit::Blurred(format!("{} contains `{next}`", self.source)));
        }
        Ok(())
    }
}

fn compile_piece(inside: &str, pointers: &mut Pointers) -> Result<Piece, String> {
    let mut parts = inside.split('|');
    let source = parts.next().unwrap_or_default();
    let (source, optional) = match source.strip_suffix('?') {
        Some(source) => (source, true),
        None => (source, false),
    };
    let mut piece = Piece {
        source: Source::compile(source, pointers)?,
        filters: Vec::new(),
        optional,
        free: false,
    };
    for part in parts {
        match part {
            "free" => piece.free = true,
            filter => piece.filters.push(Filter::compile(filter)?),
        }
    }
    Ok(piece)
}

#[cfg(test)]
mod tests;
