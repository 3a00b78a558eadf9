//! Canonical forms of URLs, forms, headers and documents that vendors sign.

use http::HeaderName;

use super::Unfit;
use crate::delivery::{Delivery, Single};
use crate::json::{Kind, Scanner, Token};
use crate::verify::fields::{Fields, MAX_FORM_FIELDS};

/// Most headers that a list of signed headers may name.
const MAX_LISTED: usize = 64;

/// How a sorted query is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Query {
    /// Decoded.
    Decoded,
    /// As `application/x-www-form-urlencoded`.
    Encoded,
}

/// What becomes of a pair of name and value that a form repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeats {
    /// It counts once.
    Dropped,
    /// It counts as often as it comes.
    Kept,
}

/// Returns the scheme and authority of a URL.
pub(super) fn origin(url: &str) -> &str {
    url.split_at(path_begins(url)).0
}

/// Returns the path of a URL, as it is written.
pub(super) fn path(url: &str) -> &str {
    let path = &url[path_begins(url)..];
    path.split('?').next().unwrap_or_default()
}

fn path_begins(url: &str) -> usize {
    let authority = url.find("://").map_or(0, |at| at + 3);
    url[authority..]
        .find(['/', '?'])
        .map_or(url.len(), |at| authority + at)
}

/// Writes the pairs of a query sorted by name, then value; nothing where there is no query.
pub(super) fn sorted_query(query: &str, how: Query) -> Option<String> {
    let mut pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
    if pairs.is_empty() {
        return None;
    }
    pairs.sort();
    Some(match how {
        Query::Encoded => form_urlencoded::Serializer::new(String::new())
            .extend_pairs(pairs)
            .finish(),
        Query::Decoded => {
            let each = pairs.iter().map(|(name, value)| format!("{name}={value}"));
            each.collect::<Vec<_>>().join("&")
        }
    })
}

/// Writes all fields of a form sorted, in byte order, without separators. A request without body
/// contributes nothing.
pub(super) fn sorted_form(fields: &Fields<'_>, repeats: Repeats) -> Result<String, Unfit> {
    let delivery = fields.delivery();
    if delivery.body.is_empty() {
        return Ok(String::new());
    }
    let mut pairs: Vec<&(String, String)> = bounded(fields)?.iter().collect();
    pairs.sort();
    if repeats == Repeats::Dropped {
        pairs.dedup();
    }
    let mut text = String::new();
    for (name, value) in pairs {
        text.push_str(name);
        text.push_str(value);
    }
    Ok(text)
}

/// Writes all parameters but `but`, sorted by name, each as `&name=value`, with `&` and `=` in values
/// replaced by `_`: those of the form where there is a body, else those of the query.
pub(super) fn sorted_params(fields: &Fields<'_>, but: &str) -> Result<String, Unfit> {
    let query: Vec<(String, String)>;
    let pairs = if fields.delivery().body.is_empty() {
        let parsed = form_urlencoded::parse(fields.delivery().query().as_bytes());
        query = parsed
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        &query
    } else {
        bounded(fields)?
    };
    let mut pairs: Vec<_> = pairs.iter().filter(|(name, _)| name != but).collect();
    pairs.sort();
    let mut text = String::new();
    for (name, value) in pairs {
        text.push_str(&format!("&{name}={}", value.replace(['&', '='], "_")));
    }
    Ok(text)
}

fn bounded<'f>(fields: &'f Fields<'_>) -> Result<&'f [(String, String)], Unfit> {
    if !fields.is_form() {
        return Err(Unfit::ContentType(fields.delivery().media_type()));
    }
    let pairs = fields.form();
    if pairs.len() > MAX_FORM_FIELDS {
        let form = format!("form of over {MAX_FORM_FIELDS} fields");
        return Err(Unfit::ContentType(form));
    }
    Ok(pairs)
}

/// Writes the headers that the first of `names` lists, `name:value` in lower case and trimmed, sorted
/// and joined with `;`. The list must hold all `names`, itself included: whoever could shorten it
/// could take a header out of what is signed.
pub(super) fn listed_headers(delivery: &Delivery, names: &[HeaderName]) -> Result<String, Unfit> {
    let text = |name: &str| match delivery.header(name) {
        Single::One(value) => std::str::from_utf8(value)
            .map_err(|_| Unfit::Blurred(format!("header {name} is not text"))),
        Single::Absent => Err(Unfit::Missing(format!("header {name}"))),
        Single::Repeated => Err(Unfit::Repeated(format!("header {name}"))),
    };
    let list = names.first().map_or("", HeaderName::as_str);
    let mut listed: Vec<String> = text(list)?
        .split(',')
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    listed.sort();
    let before = listed.len();
    listed.dedup();
    if listed.len() != before || before > MAX_LISTED {
        return Err(Unfit::Blurred(format!("header {list} repeats a name")));
    }
    let unlisted = |name: &&HeaderName| !listed.iter().any(|one| one == name.as_str());
    if let Some(name) = names.iter().find(unlisted) {
        return Err(Unfit::Blurred(format!(
            "header {list} does not list {name}"
        )));
    }
    let mut lines = Vec::with_capacity(listed.len());
    for name in &listed {
        let value = text(name)?.trim();
        // What follows would be read as another header.
        let next = listed.get(lines.len() + 1).map(|next| format!(";{next}:"));
        if let Some(next) = next.filter(|next| value.contains(next.as_str())) {
            return Err(Unfit::Blurred(format!("header {name} contains `{next}`")));
        }
        lines.push(format!("{name}:{value}"));
    }
    Ok(lines.join(";"))
}

/// Returns the text of the first element where a document is an array, else all of it; nothing where
/// the array is empty.
pub(super) fn first(document: &[u8]) -> Option<&[u8]> {
    let element = || {
        let mut scanner = Scanner::new(document).ok()?;
        if scanner.next_token().ok()?? != Token::Open(Kind::Array) {
            return None;
        }
        let token = scanner.next_token().ok()??;
        let start = scanner.start();
        match token {
            Token::Open(_) => {
                scanner.skip_rest().ok()?;
                Some(scanner.since(start).as_bytes())
            }
            Token::Close(_) => Some(&[][..]),
            _ => Some(scanner.since(start).as_bytes()),
        }
    };
    Some(element().unwrap_or(document)).filter(|text| !text.is_empty())
}

/// Returns the name of the first member of an object whose name ends like this.
pub(super) fn member(document: &[u8], ending: &str) -> Option<String> {
    let mut scanner = Scanner::new(document).ok()?;
    if scanner.next_token().ok()?? != Token::Open(Kind::Object) {
        return None;
    }
    while let Token::Key(name) = scanner.next_token().ok()?? {
        let name = name.text();
        if name.ends_with(ending) {
            return Some(name.into_owned());
        }
        if let Token::Open(_) = scanner.next_token().ok()?? {
            scanner.skip_rest().ok()?;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        for (url, parts) in [
            (
                "https://gw.example/a/b?c=/d",
                ("https://gw.example", "/a/b"),
            ),
            ("https://gw.example:8443?c", ("https://gw.example:8443", "")),
            ("https://gw.example", ("https://gw.example", "")),
        ] {
            assert_eq!((origin(url), path(url)), parts, "{url}");
        }
    }

    #[test]
    fn a_query_is_sorted_decoded_or_not() {
        let query = "b=2&a=%201&b=1";
        assert_eq!(
            sorted_query(query, Query::Decoded).as_deref(),
            Some("a= 1&b=1&b=2")
        );
        assert_eq!(
            sorted_query(query, Query::Encoded).as_deref(),
            Some("a=+1&b=1&b=2")
        );
        assert_eq!(sorted_query("", Query::Decoded), None);
    }

    #[test]
    fn the_first_element_is_kept_to_the_letter() {
        for (document, element) in [
            (r#"[ {"a": [1]} , {"b":2}]"#, Some(r#"{"a": [1]}"#)),
            (r#"{"a":1}"#, Some(r#"{"a":1}"#)),
            ("[]", None),
            ("[1.50]", Some("1.50")),
            ("[{", Some("[{")),
        ] {
            let found = first(document.as_bytes());
            assert_eq!(found, element.map(str::as_bytes), "{document}");
        }
    }
}
