//! The pieces of a delivery that a template can name.

use std::borrow::Cow;
use std::fmt;

use http::HeaderName;

use super::{MAX_FORM_FIELDS, Pointers, Scope, Unfit};
use crate::delivery::Single;

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

impl Source {
    /// Reads the name of a piece, as it stands between braces.
    pub(super) fn compile(text: &str, pointers: &mut Pointers) -> Result<Self, String> {
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

    /// Reads the piece from a delivery.
    pub(super) fn read<'s>(&self, scope: &Scope<'s, '_>) -> Result<Cow<'s, [u8]>, Unfit> {
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
    pub(super) fn keeps_its_boundary(&self, piece: &[u8], next: &str) -> Result<(), Unfit> {
        let free_text = matches!(self, Self::Header(_) | Self::Param(_));
        if free_text && contains(piece, next.as_bytes()) {
            return Err(Unfit::Blurred(format!("{self} contains `{next}`")));
        }
        Ok(())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
