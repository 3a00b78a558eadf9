//! Templates: what a provider signs, or where it names an event, as text with `{…}` in it.
//!
//! Compiled once from a definition into typed steps; the request path interprets no strings. The
//! same steps tell what a signature covers, so that whether an event id is signed is worked out and
//! never merely claimed by a definition.

use std::borrow::Cow;
use std::cell::OnceCell;

use http::HeaderName;
use sha2::{Digest, Sha256};

use crate::delivery::{Delivery, Single};
use crate::json::{self, Found, Pointer};

/// Most fields of a form that are read; a form with more is refused.
const MAX_FORM_FIELDS: usize = 1000;

/// A compiled template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Literal(String),
    Source(Source, Option<Filter>),
}

/// Where a piece of a delivery stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The raw body.
    Body,
    /// The public URL that the provider called, with its query.
    Url,
    /// The method.
    Method,
    /// A header that appears once.
    Header(HeaderName),
    /// An element of the signature header, such as Stripe's `t`.
    Param(String),
    /// A query parameter that appears once, percent-decoded.
    Query(String),
    /// A field of a JSON body: the index of its pointer in the provider's table.
    Field(usize),
    /// A field of a form body that appears once.
    Form(String),
    /// All fields of a form body: each distinct pair of name and value once, sorted.
    SortedForm,
}

/// What is done to a piece before it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filter {
    Sha256Hex,
}

/// The JSON pointers that a provider's templates name: looked up together, in one pass.
#[derive(Clone, Debug, Default)]
pub struct Pointers {
    texts: Vec<String>,
    compiled: Vec<Pointer>,
}

impl Pointers {
    /// Returns the index of a pointer, adding it where it is new.
    pub fn intern(&mut self, text: &str) -> Result<usize, String> {
        if let Some(at) = self.texts.iter().position(|known| known == text) {
            return Ok(at);
        }
        self.compiled.push(Pointer::parse(text)?);
        self.texts.push(text.to_owned());
        Ok(self.compiled.len() - 1)
    }
}

/// What a signature covers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    sources: Vec<Source>,
}

impl Coverage {
    /// Tells whether every byte of the body is covered.
    pub fn body(&self) -> bool {
        self.sources
            .iter()
            .any(|source| matches!(source, Source::Body | Source::SortedForm))
    }

    /// Tells whether the public URL is covered, so that it has to be known.
    pub fn url(&self) -> bool {
        self.sources.contains(&Source::Url)
    }

    /// Adds what comparing `left` with `right` binds, where `left` is covered already.
    pub(crate) fn bind(&mut self, left: &Template, right: &Template) {
        if left.covered_by(self) {
            self.sources.extend(right.sources().cloned());
        }
    }

    fn covers(&self, source: &Source) -> bool {
        match source {
            Source::Field(_) | Source::Form(_) | Source::SortedForm if self.body() => true,
            Source::Query(_) if self.sources.contains(&Source::Url) => true,
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

/// The fields of a body, looked up at most once however many templates ask.
#[derive(Debug)]
pub struct Fields<'d> {
    delivery: &'d Delivery,
    pointers: &'d Pointers,
    json: OnceCell<Vec<Option<Found<'d>>>>,
    form: OnceCell<Vec<(String, String)>>,
}

impl<'d> Fields<'d> {
    /// Prepares to read the fields that `pointers` name.
    pub fn new(delivery: &'d Delivery, pointers: &'d Pointers) -> Self {
        Self {
            delivery,
            pointers,
            json: OnceCell::new(),
            form: OnceCell::new(),
        }
    }

    /// Returns the delivery that the fields are of.
    pub fn delivery(&self) -> &'d Delivery {
        self.delivery
    }

    /// Returns a JSON field as text; `None` for null, objects, arrays, and a body that is not JSON.
    pub(crate) fn text(&self, at: usize) -> Option<Cow<'_, str>> {
        self.found(at).and_then(Found::text)
    }

    /// Tells whether a JSON field is there at all.
    pub(crate) fn exists(&self, at: usize) -> bool {
        self.found(at).is_some()
    }

    fn found(&self, at: usize) -> Option<&Found<'d>> {
        let looked_up = self.json.get_or_init(|| {
            // A body that is not JSON has no fields; redaction refuses it later if it should be.
            json::lookup(&self.delivery.body, &self.pointers.compiled).unwrap_or_default()
        });
        looked_up.get(at)?.as_ref()
    }

    /// Returns the fields of a form body; none where the body is not a form.
    fn form(&self) -> &[(String, String)] {
        self.form.get_or_init(|| {
            if !self.is_form() {
                return Vec::new();
            }
            form_urlencoded::parse(&self.delivery.body)
                .take(MAX_FORM_FIELDS + 1)
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect()
        })
    }

    fn is_form(&self) -> bool {
        self.delivery.media_type() == "application/x-www-form-urlencoded"
    }
}

/// What a template is filled in from.
#[derive(Debug)]
pub struct Scope<'s, 'd> {
    /// The delivery and its body's fields.
    pub fields: &'s Fields<'d>,
    /// The URL to take as the one called: a scheme may try several spellings of it.
    pub url: &'s str,
    /// The elements of the signature header.
    pub params: &'s [(String, String)],
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
            steps.push(compile_step(inside, pointers).map_err(|why| format!("`{text}`: {why}"))?);
            rest = after;
        }
        if rest.contains('}') {
            return Err(format!("`{text}`: a `}}` closes nothing"));
        }
        if !rest.is_empty() {
            steps.push(Step::Literal(rest.to_owned()));
        }
        Ok(Self { steps })
    }

    /// Hands the filled-in template to `sink`, piece by piece.
    pub fn feed(&self, scope: &Scope<'_, '_>, sink: &mut dyn FnMut(&[u8])) -> Result<(), Unfit> {
        for (at, step) in self.steps.iter().enumerate() {
            match step {
                Step::Literal(text) => sink(text.as_bytes()),
                Step::Source(source, filter) => {
                    let piece = source.read(scope)?;
                    if let Some(Step::Literal(next)) = self.steps.get(at + 1) {
                        source.keeps_its_boundary(&piece, next)?;
                    }
                    match filter {
                        None => sink(&piece),
                        Some(Filter::Sha256Hex) => {
                            sink(hex::encode(Sha256::digest(&piece)).as_bytes());
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns the filled-in template.
    pub fn bytes(&self, scope: &Scope<'_, '_>) -> Result<Vec<u8>, Unfit> {
        let mut whole = Vec::new();
        self.feed(scope, &mut |piece| whole.extend_from_slice(piece))?;
        Ok(whole)
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
        Coverage {
            sources: self.sources().cloned().collect(),
        }
    }

    /// Tells whether the template is the raw body and nothing else.
    pub fn is_body(&self) -> bool {
        matches!(self.steps.as_slice(), [Step::Source(Source::Body, None)])
    }

    /// Returns the only piece of a template that has one piece and no other text.
    pub(crate) fn only_source(&self) -> Option<&Source> {
        match self.steps.as_slice() {
            [Step::Source(source, None)] => Some(source),
            _ => None,
        }
    }

    pub(crate) fn sources(&self) -> impl Iterator<Item = &Source> {
        self.steps.iter().filter_map(|step| match step {
            Step::Source(source, _) => Some(source),
            Step::Literal(_) => None,
        })
    }
}

fn compile_step(inside: &str, pointers: &mut Pointers) -> Result<Step, String> {
    let (source, filter) = match inside.split_once('|') {
        None => (inside, None),
        Some((source, "sha256")) => (source, Some(Filter::Sha256Hex)),
        Some((_, other)) => return Err(format!("no filter `{other}`; there is `sha256`")),
    };
    Ok(Step::Source(compile_source(source, pointers)?, filter))
}

fn compile_source(text: &str, pointers: &mut Pointers) -> Result<Source, String> {
    let (kind, name) = text.split_once(':').unwrap_or((text, ""));
    Ok(match (kind, name) {
        ("body", "") => Source::Body,
        ("body", pointer) => Source::Field(pointers.intern(pointer)?),
        ("url", "") => Source::Url,
        ("method", "") => Source::Method,
        ("form", "") => Source::SortedForm,
        ("form", name) => Source::Form(name.to_owned()),
        ("header", name) if !name.is_empty() => Source::Header(
            name.parse()
                .map_err(|_| format!("`{name}` is not the name of a header"))?,
        ),
        ("param", name) if !name.is_empty() => Source::Param(name.to_owned()),
        ("query", name) if !name.is_empty() => Source::Query(name.to_owned()),
        _ => {
            return Err(format!(
                "`{{{text}}}` is unknown; there are body, body:/pointer, url, method, header:NAME, \
                 param:NAME, query:NAME, form and form:NAME"
            ));
        }
    })
}

impl Source {
    fn read<'s>(&self, scope: &Scope<'s, '_>) -> Result<Cow<'s, [u8]>, Unfit> {
        let missing = || Unfit::Missing(self.to_string());
        match self {
            Self::Body => Ok(Cow::Borrowed(&scope.fields.delivery.body)),
            Self::Url => Ok(Cow::Borrowed(scope.url.as_bytes())),
            Self::Method => Ok(Cow::Borrowed(
                scope.fields.delivery.method.as_str().as_bytes(),
            )),
            Self::Header(name) => match scope.fields.delivery.header(name.as_str()) {
                Single::One(value) => Ok(Cow::Borrowed(value)),
                Single::Absent => Err(missing()),
                Single::Repeated => Err(Unfit::Repeated(self.to_string())),
            },
            Self::Param(name) => {
                let values = scope.params.iter().filter(|(key, _)| key == name);
                self.only(values.map(|(_, value)| Cow::Borrowed(value.as_bytes())))
            }
            Self::Query(name) => {
                let pairs = form_urlencoded::parse(scope.fields.delivery.query().as_bytes());
                self.only(
                    pairs
                        .filter(|(key, _)| key == name)
                        .map(|(_, value)| into_bytes(value)),
                )
            }
            Self::Field(at) => scope.fields.text(*at).map(into_bytes).ok_or_else(missing),
            Self::Form(name) => {
                let pairs = scope.fields.form().iter().filter(|(key, _)| key == name);
                self.only(pairs.map(|(_, value)| Cow::Borrowed(value.as_bytes())))
            }
            Self::SortedForm => sorted_form(scope),
        }
    }

    fn only<'a>(
        &self,
        mut values: impl Iterator<Item = Cow<'a, [u8]>>,
    ) -> Result<Cow<'a, [u8]>, Unfit> {
        let first = values
            .next()
            .ok_or_else(|| Unfit::Missing(self.to_string()))?;
        match values.next() {
            None => Ok(first),
            Some(_) => Err(Unfit::Repeated(self.to_string())),
        }
    }

    /// Refuses a free-text piece that contains the literal after it: `a.1` + `.` + `2` and
    /// `a` + `.` + `1.2` would be signed alike, and a captured delivery could be cut anew.
    fn keeps_its_boundary(&self, piece: &[u8], next: &str) -> Result<(), Unfit> {
        let free_text = matches!(self, Self::Header(_) | Self::Param(_));
        if free_text && contains(piece, next.as_bytes()) {
            return Err(Unfit::Blurred(format!("{self} contains `{next}`")));
        }
        Ok(())
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Body => f.write_str("body"),
            Self::Url => f.write_str("url"),
            Self::Method => f.write_str("method"),
            Self::Header(name) => write!(f, "header {name}"),
            Self::Param(name) => write!(f, "element `{name}` of the signature header"),
            Self::Query(name) => write!(f, "query parameter `{name}`"),
            Self::Field(_) => f.write_str("a field of the body"),
            Self::Form(name) => write!(f, "form field `{name}`"),
            Self::SortedForm => f.write_str("form"),
        }
    }
}

/// Writes all fields of a form sorted: each distinct pair of name and value once, in byte order,
/// without separators. A request without body contributes nothing.
fn sorted_form(scope: &Scope<'_, '_>) -> Result<Cow<'static, [u8]>, Unfit> {
    if scope.fields.delivery.body.is_empty() {
        return Ok(Cow::Borrowed(&[]));
    }
    if !scope.fields.is_form() {
        return Err(Unfit::ContentType(scope.fields.delivery.media_type()));
    }
    let mut pairs: Vec<&(String, String)> = scope.fields.form().iter().collect();
    if pairs.len() > MAX_FORM_FIELDS {
        return Err(Unfit::ContentType(format!(
            "form of over {MAX_FORM_FIELDS} fields"
        )));
    }
    pairs.sort();
    pairs.dedup();
    let mut text = String::new();
    for (name, value) in pairs {
        text.push_str(name);
        text.push_str(value);
    }
    Ok(Cow::Owned(text.into_bytes()))
}

fn into_bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    !needle.is_empty()
        && haystack
            .windows(needle.len())
            .any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::{HeaderMap, Method};

    fn delivery(body: &'static str, media_type: &str) -> Delivery {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", media_type.parse().unwrap());
        headers.insert("x-id", "msg.1".parse().unwrap());
        Delivery {
            method: Method::POST,
            url: "https://gw.example/hooks/x?a=1&b=%20&b=2".to_owned(),
            headers,
            body: Bytes::from_static(body.as_bytes()),
            caller: [127, 0, 0, 1].into(),
        }
    }

    fn fill(template: &str, delivery: &Delivery) -> Result<String, Unfit> {
        let mut pointers = Pointers::default();
        let template = Template::compile(template, &mut pointers).unwrap();
        let fields = Fields::new(delivery, &pointers);
        let params = [("t", "12"), ("v", "1"), ("v", "2")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
        let scope = Scope {
            fields: &fields,
            url: &delivery.url,
            params: &params,
        };
        template
            .bytes(&scope)
            .map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn a_template_is_filled_in_from_every_kind_of_piece() {
        let json = delivery(r#"{"id":7,"data":{"type":"x"}}"#, "application/json");
        assert_eq!(
            fill("{method} {param:t}.{body:/data/type}", &json).unwrap(),
            "POST 12.x"
        );
        assert_eq!(fill("{query:a}|{body:/id}", &json).unwrap(), "1|7");
        assert_eq!(
            fill("{body|sha256}", &delivery("", "text/plain"))
                .unwrap()
                .len(),
            64
        );
    }

    #[test]
    fn a_sorted_form_has_each_distinct_pair_once() {
        let form = delivery("b=2&a=%2B1&b=1&b=2", "application/x-www-form-urlencoded");
        assert_eq!(fill("{form}", &form).unwrap(), "a+1b1b2");
        assert_eq!(fill("{form:a}", &form).unwrap(), "+1");
    }

    #[test]
    fn a_form_template_refuses_a_body_that_is_no_form() {
        let json = delivery("{}", "application/json");
        assert!(matches!(
            fill("{url}{form}", &json),
            Err(Unfit::ContentType(_))
        ));
    }

    #[test]
    fn what_is_absent_or_repeated_is_told_apart() {
        let json = delivery("{}", "application/json");
        assert!(matches!(
            fill("{header:x-none}", &json),
            Err(Unfit::Missing(_))
        ));
        assert!(matches!(
            fill("{body:/none}", &json),
            Err(Unfit::Missing(_))
        ));
        assert!(matches!(fill("{query:b}", &json), Err(Unfit::Repeated(_))));
        assert!(matches!(fill("{param:v}", &json), Err(Unfit::Repeated(_))));
    }

    #[test]
    fn a_free_text_piece_may_not_hold_the_separator_after_it() {
        let json = delivery("{}", "application/json");
        assert!(matches!(
            fill("{header:x-id}.{body}", &json),
            Err(Unfit::Blurred(_))
        ));
        assert_eq!(fill("{header:x-id}|{body}", &json).unwrap(), "msg.1|{}");
    }

    #[test]
    fn coverage_follows_from_what_is_signed() {
        let mut pointers = Pointers::default();
        let mut compile = |text: &str| Template::compile(text, &mut pointers).unwrap();
        let signed = compile("{header:x-id}.{body}").coverage();
        assert!(compile("{body:/id}").covered_by(&signed));
        assert!(compile("{header:X-Id}").covered_by(&signed));
        assert!(!compile("{header:x-other}").covered_by(&signed));
        let mut by_url = compile("{url}").coverage();
        assert!(!by_url.body());
        by_url.bind(&compile("{query:sum}"), &compile("{body|sha256}"));
        assert!(by_url.body());
    }

    #[test]
    fn a_bad_template_says_what_there_is() {
        let mut pointers = Pointers::default();
        for text in [
            "{",
            "x}",
            "{nothing}",
            "{header:}",
            "{body|md5}",
            "{body:no-slash}",
        ] {
            assert!(Template::compile(text, &mut pointers).is_err(), "{text}");
        }
    }
}
