//! What is absent beside headers: elements of the signature header, parameters, fields.

use super::ground::Ground;
use crate::outcome::Rejected;
use crate::verify::scheme::Scheme;
use crate::verify::tag::Layout;
use crate::verify::template::{Source, Template};

/// Most names that are listed.
const MAX_NAMES: usize = 8;

/// Explains what is absent, by what is there instead.
pub(super) fn explain(ground: &Ground<'_>, rejected: &Rejected) -> Option<String> {
    let (Rejected::SignatureMissing(what) | Rejected::TimestampMissing(what)) = rejected else {
        return None;
    };
    if what.contains("element `") || what.starts_with("an element") {
        return Some(elements(ground));
    }
    if what.starts_with("query parameter") {
        return Some(parameters(ground));
    }
    if what.starts_with("form field") {
        return Some(form_fields(ground));
    }
    if what.contains("field of the body") {
        return Some(body_fields(ground));
    }
    Some(match what.as_str() {
        "first element" | "an event with a proof of its own" => {
            "there is no event in the body: nothing in it could be proven".to_owned()
        }
        _ if what.starts_with("a header ") => {
            "no header is named like this: the provider has no secret set for this webhook, or a \
             proxy drops the header"
                .to_owned()
        }
        _ if what.starts_with("header ") => {
            "the provider sends without what the proof needs: it has no secret set for this webhook, \
             or a proxy drops the header"
                .to_owned()
        }
        _ => "the delivery is signed in no way that this provider's definition knows: not at all, \
              or by another version of the scheme"
            .to_owned(),
    })
}

fn elements(ground: &Ground<'_>) -> String {
    let layout = ground.scheme().carrier().map(|carrier| &carrier.layout);
    let (separator, assign) = match layout {
        Some(Layout::Pairs {
            separator, assign, ..
        }) => (separator.as_str(), *assign),
        _ => (",", '='),
    };
    let texts = ground.tag_texts();
    let names = texts.iter().flat_map(|text| {
        let elements = text.split(|char| separator.contains(char));
        elements.filter_map(|element| element.split_once(assign))
    });
    let names = names.map(|(name, _)| name.trim().to_owned());
    match list(names) {
        None => format!(
            "the text holds no element NAME{assign}VALUE at all: it is empty, since the provider has \
             no secret configured, or written by another version of the scheme"
        ),
        Some(names) => format!(
            "the text holds the element(s) {names} and not the one that counts: it is cut, or written \
             by another version of the scheme"
        ),
    }
}

fn parameters(ground: &Ground<'_>) -> String {
    let wanted = names(ground.scheme(), |source| match source {
        Source::Query(name) => Some(name),
        _ => None,
    });
    let query = ground.case.delivery.query();
    let there = || form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name.into_owned());
    let same = |name: &String| wanted.iter().any(|one| one.eq_ignore_ascii_case(name));
    match list(there().filter(same)).or_else(|| list(there())) {
        None => {
            "the URL has no query: it was not entered with one at the provider's, a proxy drops \
                 it, or the recording lacks it"
                .to_owned()
        }
        Some(names) => format!(
            "the URL has the parameter(s) {names} and not the one that counts; names are compared to \
             the letter, and what stands behind `#` is never sent"
        ),
    }
}

fn form_fields(ground: &Ground<'_>) -> String {
    let names = ground.fields.form().iter().map(|(name, _)| name.clone());
    match list(names) {
        None => {
            "the body is no form, or was recorded without its Content-Type: the webhook is set up \
                 for another format"
                .to_owned()
        }
        Some(names) => format!("the form has the field(s) {names} and not the one that counts"),
    }
}

fn body_fields(ground: &Ground<'_>) -> String {
    match serde_json::from_slice::<serde_json::Value>(ground.fields.document()) {
        Err(_) => "the body is not JSON: the webhook is set up for another format".to_owned(),
        Ok(_) => "the body is JSON, but what proves it is not in it, or is not of its type: the \
                  provider has no secret configured for this webhook, or sends another kind of event"
            .to_owned(),
    }
}

fn names<'s>(scheme: &'s Scheme, pick: impl Fn(&'s Source) -> Option<&'s String>) -> Vec<String> {
    let tokens = super::headers::tokens(scheme).into_iter();
    let templates = tokens
        .map(|token| &token.value)
        .chain(scheme.signed_forms());
    templates
        .flat_map(Template::sources)
        .filter_map(pick)
        .cloned()
        .collect()
}

fn list(names: impl Iterator<Item = String>) -> Option<String> {
    let shown = names.map(|name| name.chars().take(32).collect::<String>());
    let quoted: Vec<String> = shown
        .filter(|name| !name.is_empty())
        .take(MAX_NAMES)
        .map(|name| format!("`{}`", name.escape_debug()))
        .collect();
    (!quoted.is_empty()).then(|| quoted.join(", "))
}
