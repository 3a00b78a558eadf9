//! Templates: what a provider signs, or where it names an event, as text with `{…}` in it.
//!
//! Compiled once from a definition into typed steps; the request path interprets no strings. The
//! same steps tell what a signature covers, so that whether an event id is signed is worked out and
//! never merely claimed by a definition.

mod source;

use std::borrow::Cow;
use std::cell::OnceCell;

use sha2::{Digest, Sha256};

use crate::delivery::Delivery;
use crate::json::{self, Found, Pointer};
pub(crate) use source::Source;

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
    Ok(Step::Source(Source::compile(source, pointers)?, filter))
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
