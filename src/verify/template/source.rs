//! The pieces of a delivery that a template can name.

use std::borrow::Cow;
use std::fmt;

use http::HeaderName;

use super::canonical;
use super::{Scope, Unfit};
use crate::delivery::Single;
use crate::verify::fields::{Pointers, Type};

/// Where a piece of a delivery stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The raw body.
    Body,
    /// The JSON document: the body, or what the definition says holds it.
    Document,
    /// The first element where the document is an array, else the document.
    First,
    /// The public URL that the provider called, with its query.
    Url,
    /// Its scheme and authority.
    Origin,
    /// Its path.
    Path,
    /// Its query as written; absent where there is none.
    RawQuery,
    /// Its query's pairs, sorted.
    SortedQuery(canonical::Query),
    /// The method.
    Method,
    /// A header that appears once; the first of several names that is there.
    Header(Vec<HeaderName>),
    /// The headers that another header lists, with the names that the list must hold.
    ListedHeaders(Vec<HeaderName>),
    /// An element of the signature header, such as Stripe's `t`.
    Param(String),
    /// A query parameter that appears once, percent-decoded.
    Query(String),
    /// A field of a JSON document: the index of its pointer in the provider's table.
    Field(usize, Type),
    /// A field of a form body that appears once.
    Form(String),
    /// All fields of a form body, sorted, without separators.
    SortedForm(canonical::Repeats),
    /// All parameters of query and form but one, sorted, as `&name=value`.
    SortedParams(String),
    /// A claim of the JWT that is the proof.
    Claim(String),
    /// The secret itself, where a vendor hashes it with the content.
    Secret,
    /// The id of the endpoint's first key.
    KeyId,
    /// The name of the document's first member that ends like this.
    Member(String),
}

impl Source {
    /// Reads the name of a piece, as it stands between braces.
    pub(super) fn compile(text: &str, pointers: &mut Pointers) -> Result<Self, String> {
        let (kind, name) = text.split_once(':').unwrap_or((text, ""));
        let mut field = |wanted| Ok(Self::Field(pointers.intern(name)?, wanted));
        Ok(match (kind, name) {
            ("body", "") => Self::Body,
            ("body", _) => return field(Type::Scalar),
            ("string", _) => return field(Type::String),
            ("number", _) => return field(Type::Number),
            ("document", "") => Self::Document,
            ("first", "") => Self::First,
            ("url", "") => Self::Url,
            ("origin", "") => Self::Origin,
            ("path", "") => Self::Path,
            ("rawquery", "") => Self::RawQuery,
            ("sortedquery", "") => Self::SortedQuery(canonical::Query::Decoded),
            ("sortedquery-encoded", "") => Self::SortedQuery(canonical::Query::Encoded),
            ("method", "") => Self::Method,
            ("form", "") => Self::SortedForm(canonical::Repeats::Dropped),
            ("sortedform", "") => Self::SortedForm(canonical::Repeats::Kept),
            ("form", name) => Self::Form(name.to_owned()),
            ("header", name) => Self::Header(header_names(name)?),
            ("listedheaders", name) => Self::ListedHeaders(header_names(name)?),
            ("param", name) if !name.is_empty() => Self::Param(name.to_owned()),
            ("query", name) if !name.is_empty() => Self::Query(name.to_owned()),
            ("sortedparams", name) if !name.is_empty() => Self::SortedParams(name.to_owned()),
            ("claim", name) if !name.is_empty() => Self::Claim(name.to_owned()),
            ("secret", "") => Self::Secret,
            ("key-id", "") => Self::KeyId,
            ("member", name) if name.starts_with('*') => Self::Member(name[1..].to_owned()),
            _ => return Err(format!("`{{{text}}}` is unknown; {KNOWN}")),
        })
    }

    /// Reads the piece from a delivery.
    pub(super) fn read<'s>(&self, scope: &Scope<'s, '_>) -> Result<Cow<'s, [u8]>, Unfit> {
        let missing = || Unfit::Missing(self.to_string());
        let delivery = scope.fields.delivery();
        match self {
            Self::Body => Ok(Cow::Borrowed(&delivery.body)),
            Self::Document => Ok(Cow::Borrowed(scope.fields.document())),
            Self::First => canonical::first(scope.fields.document())
                .map(Cow::Borrowed)
                .ok_or_else(missing),
            Self::Url => Ok(Cow::Borrowed(scope.url.as_bytes())),
            Self::Origin => Ok(Cow::Borrowed(canonical::origin(scope.url).as_bytes())),
            Self::Path => Ok(Cow::Borrowed(canonical::path(scope.url).as_bytes())),
            Self::RawQuery => {
                let (_, query) = scope.url.split_once('?').ok_or_else(missing)?;
                Ok(Cow::Borrowed(query.as_bytes()))
            }
            Self::SortedQuery(how) => canonical::sorted_query(delivery.query(), *how)
                .map(into_owned)
                .ok_or_else(missing),
            Self::Method => Ok(Cow::Borrowed(delivery.method.as_str().as_bytes())),
            Self::Header(names) => {
                let one = |name: &HeaderName| match delivery.header(name.as_str()) {
                    Single::One(value) => Some(Ok(Cow::Borrowed(value))),
                    Single::Absent => None,
                    Single::Repeated => Some(Err(Unfit::Repeated(self.to_string()))),
                };
                names.iter().find_map(one).ok_or_else(missing)?
            }
            Self::ListedHeaders(names) => {
                canonical::listed_headers(delivery, names).map(into_owned)
            }
            Self::Param(name) => {
                let values = scope.params.iter().filter(|(key, _)| key == name);
                self.only(values.map(|(_, value)| Cow::Borrowed(value.as_bytes())))
            }
            Self::Query(name) => {
                let pairs = form_urlencoded::parse(delivery.query().as_bytes());
                let named = pairs.filter(|(key, _)| key == name);
                self.only(named.map(|(_, value)| into_bytes(value)))
            }
            Self::Field(at, wanted) => {
                let text = scope.fields.text(*at, *wanted);
                text.map(into_bytes)
                    .ok_or_else(|| match scope.fields.is_something_else(*at) {
                        // Not as good as absent: whoever adds it would have it left out.
                        true => Unfit::Blurred(format!("{self} is of another type")),
                        false => missing(),
                    })
            }
            Self::Form(name) => {
                let pairs = scope.fields.form().iter().filter(|(key, _)| key == name);
                self.only(pairs.map(|(_, value)| Cow::Borrowed(value.as_bytes())))
            }
            Self::SortedForm(repeats) => {
                canonical::sorted_form(scope.fields, *repeats).map(into_owned)
            }
            Self::SortedParams(but) => canonical::sorted_params(scope.fields, but).map(into_owned),
            Self::Claim(name) => self.only(scope.claim(name).map(into_owned)),
            Self::Secret => scope.secret.map(Cow::Borrowed).ok_or_else(missing),
            Self::Member(ending) => canonical::member(scope.fields.document(), ending)
                .map(into_owned)
                .ok_or_else(missing),
            Self::KeyId => {
                let id = scope.replies.and_then(|key| key.id.as_deref());
                id.map(|id| Cow::Borrowed(id.as_bytes()))
                    .ok_or_else(missing)
            }
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

    /// Tells whether a sender chooses the piece's text, so that it could hold any separator.
    pub(super) fn is_free_text(&self) -> bool {
        matches!(
            self,
            Self::Header(_) | Self::Param(_) | Self::Field(..) | Self::Form(_) | Self::Query(_)
        )
    }

    /// Tells whether the piece is part of the URL that the provider calls.
    pub(super) fn is_url(&self) -> bool {
        matches!(self, Self::Url | Self::Origin | Self::Path)
    }
}

const KNOWN: &str = "there are body, body:/pointer, string:/pointer, number:/pointer, document, first, \
    url, origin, path, rawquery, sortedquery, sortedquery-encoded, method, header:NAME, \
    listedheaders:NAME, param:NAME, query:NAME, form, form:NAME, sortedform, sortedparams:NAME, \
    claim:NAME, member:*ENDING, secret and key-id";

fn header_names(text: &str) -> Result<Vec<HeaderName>, String> {
    let name = |name: &str| {
        let parsed = name.trim().parse();
        parsed.map_err(|_| format!("`{name}` is not the name of a header"))
    };
    text.split(',').map(name).collect()
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body => f.write_str("body"),
            Self::Document => f.write_str("document"),
            Self::First => f.write_str("first element"),
            Self::Url => f.write_str("url"),
            Self::Origin => f.write_str("origin of the url"),
            Self::Path => f.write_str("path of the url"),
            Self::RawQuery | Self::SortedQuery(_) => f.write_str("query of the url"),
            Self::Method => f.write_str("method"),
            Self::Header(names) => {
                let names: Vec<&str> = names.iter().map(HeaderName::as_str).collect();
                write!(f, "header {}", names.join(" or "))
            }
            Self::ListedHeaders(names) => match names.first() {
                Some(list) => write!(f, "a header that {list} lists"),
                None => f.write_str("listed headers"),
            },
            Self::Param(name) => write!(f, "element `{name}` of the signature header"),
            Self::Query(name) => write!(f, "query parameter `{name}`"),
            Self::Field(_, Type::Scalar) => f.write_str("a field of the body"),
            Self::Field(_, Type::String) => f.write_str("a field of the body (a string)"),
            Self::Field(_, Type::Number) => f.write_str("a field of the body (a number)"),
            Self::Form(name) => write!(f, "form field `{name}`"),
            Self::SortedForm(_) => f.write_str("form"),
            Self::SortedParams(_) => f.write_str("parameters"),
            Self::Claim(name) => write!(f, "claim `{name}`"),
            Self::Secret => f.write_str("secret"),
            Self::KeyId => f.write_str("key id"),
            Self::Member(ending) => write!(f, "a member *{ending}"),
        }
    }
}

fn into_bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

fn into_owned(text: String) -> Cow<'static, [u8]> {
    Cow::Owned(text.into_bytes())
}
