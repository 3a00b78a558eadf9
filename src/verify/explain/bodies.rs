//! Bodies that the received one may have been made of on its way.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value};

use super::ground::{Change, Ground, Guess};
use super::rewrite::{Escapes, Layout, rewrite};

const COMPACT: &str = "the body was parsed and written again: it was signed in compact form";
const SPACED: &str =
    "the body was parsed and written again: it was signed with a space behind `:` and `,`";
const PRETTY: &str = "the body was parsed and written again: it was signed pretty-printed";
const SORTED: &str =
    "the body was parsed and written again: it was signed with its members sorted by name";
const FORM: &str = "the form was decoded and encoded again: it was signed";
const BOM: &[u8] = b"\xef\xbb\xbf";
/// Most values of a form that are tried alone.
const MAX_VALUES: usize = 4;
/// Most fields of a form that is taken apart.
const MAX_FIELDS: usize = 1000;

/// Tries bodies that would verify.
pub(super) fn guess(ground: &Ground<'_>) -> Vec<String> {
    let body = &ground.case.delivery.body;
    let mut found = try_all(ground, plain(body));
    if found.is_empty() && ground.fields.is_form() {
        found = try_all(ground, forms(body));
    }
    if found.is_empty() {
        found = try_all(ground, documents(body));
    }
    found
}

fn try_all(ground: &Ground<'_>, bodies: Vec<(Vec<u8>, String)>) -> Vec<String> {
    let case = ground.case;
    let changed = bodies
        .into_iter()
        .filter(|(body, _)| *body != case.delivery.body);
    ground.first(changed.map(|(body, told)| {
        let mut delivery = case.delivery.clone();
        delivery.body = Bytes::from(body);
        Guess::new(Change::Delivery(delivery), told)
    }))
}

/// White space, line ends, and what wraps a body.
fn plain(body: &[u8]) -> Vec<(Vec<u8>, String)> {
    let mut guesses: Vec<(Vec<u8>, &str)> = vec![
        (
            body.trim_ascii().to_vec(),
            "white space was added around the body after it was signed, such as a line break at its \
             end",
        ),
        (
            [body, b"\n"].concat(),
            "the line break at the end of the body was lost",
        ),
        (
            [body, b"\r\n"].concat(),
            "the line break (CRLF) at the end of the body was lost",
        ),
        (
            [BOM, body].concat(),
            "the byte order mark at the beginning of the body was lost",
        ),
    ];
    if let Some(rest) = body.strip_prefix(BOM) {
        let told = "a byte order mark was added at the beginning of the body";
        guesses.push((rest.to_vec(), told));
    }
    if let Ok(text) = std::str::from_utf8(body) {
        let unix = text.replace("\r\n", "\n");
        let windows = unix.replace('\n', "\r\n");
        guesses.push((
            unix.into(),
            "line ends were changed from LF to CRLF after signing",
        ));
        guesses.push((
            windows.into(),
            "line ends were changed from CRLF to LF after signing",
        ));
        let narrow = text.chars().map(|char| u8::try_from(u32::from(char)));
        if let Ok(latin) = narrow.collect::<Result<Vec<u8>, _>>() {
            let told = "the body was taken for ISO 8859-1 and written as UTF-8 after signing";
            guesses.push((latin, told));
        }
        if let Ok(inner) = serde_json::from_str::<String>(text) {
            let told = "the body was wrapped in a JSON string after it was signed";
            guesses.push((inner.into(), told));
        }
    }
    if let Ok(decoded) = STANDARD.decode(body.trim_ascii()) {
        let told = "the body is the base64 of what was signed: a proxy or function runtime encodes \
                    it, and must be told to pass it as it is";
        guesses.push((decoded, told));
    }
    owned(guesses)
}

/// JSON, parsed and written again.
fn documents(body: &[u8]) -> Vec<(Vec<u8>, String)> {
    const LAYOUTS: [(Layout, &str); 5] = [
        (Layout::Compact, COMPACT),
        (Layout::Spaced, SPACED),
        (Layout::Pretty("  "), PRETTY),
        (Layout::Pretty("    "), PRETTY),
        (Layout::Pretty("\t"), PRETTY),
    ];
    const ESCAPES: [(Escapes, &str); 5] = [
        (Escapes::Kept, ""),
        (
            Escapes::Raw,
            ", with characters written as themselves instead of escapes",
        ),
        (Escapes::Ascii, ", with characters beyond ASCII escaped"),
        (
            Escapes::Slashes,
            ", with `/` and characters beyond ASCII escaped",
        ),
        (Escapes::Html, ", with `<`, `>` and `&` escaped"),
    ];
    let mut guesses = Vec::new();
    for (escapes, how) in ESCAPES {
        for (layout, told) in LAYOUTS {
            let text = rewrite(body, layout, escapes);
            guesses.extend(text.map(|text| (text, format!("{told}{how}"))));
        }
    }
    let sorted = serde_json::from_slice(body).map(sorted);
    if let Ok(text) = sorted.and_then(|value| serde_json::to_vec(&value)) {
        let spaced = rewrite(&text, Layout::Spaced, Escapes::Kept);
        guesses.push((text, SORTED.to_owned()));
        guesses.extend(spaced.map(|text| (text, SORTED.to_owned())));
    }
    guesses
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<(String, Value)> = members.into_iter().collect();
            members.sort_by(|one, other| one.0.cmp(&other.0));
            let each = members
                .into_iter()
                .map(|(name, value)| (name, sorted(value)));
            Value::Object(each.collect::<Map<_, _>>())
        }
        Value::Array(elements) => elements.into_iter().map(sorted).collect(),
        scalar => scalar,
    }
}

/// Forms, decoded and encoded again.
fn forms(body: &[u8]) -> Vec<(Vec<u8>, String)> {
    let pairs: Vec<(String, String)> = form_urlencoded::parse(body)
        .take(MAX_FIELDS + 1)
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    if pairs.len() > MAX_FIELDS {
        return Vec::new();
    }
    let mut sorted = pairs.clone();
    sorted.sort();
    let mut filled = pairs.clone();
    filled.retain(|(_, value)| !value.is_empty());
    let mut trimmed = pairs.clone();
    for (_, value) in &mut trimmed {
        *value = value.trim().to_owned();
    }
    let mut unix = pairs.clone();
    for (_, value) in &mut unix {
        *value = value.replace("\r\n", "\n");
    }
    let values = pairs.iter().take(MAX_VALUES);
    let mut guesses: Vec<(Vec<u8>, String)> = values
        .map(|(_, value)| {
            let told = "the value of a form field alone was signed, and not the form that holds it";
            (value.clone().into(), told.to_owned())
        })
        .collect();
    for (pairs, how) in [
        (pairs, ""),
        (sorted, ", its fields sorted"),
        (filled, ", without its blank fields"),
        (trimmed, ", without white space around its values"),
        (unix, ", with LF in its values"),
    ] {
        let plus = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&pairs)
            .finish();
        let percent = plus.replace('+', "%20");
        let tilde = percent.replace("%7E", "~").replace('*', "%2A");
        guesses.push((plus.into(), format!("{FORM} with `+` for blanks{how}")));
        guesses.push((percent.into(), format!("{FORM} with `%20` for blanks{how}")));
        guesses.push((tilde.into(), format!("{FORM} with `%20` for blanks{how}")));
    }
    guesses
}

fn owned(guesses: Vec<(Vec<u8>, &str)>) -> Vec<(Vec<u8>, String)> {
    let each = guesses.into_iter();
    each.map(|(body, told)| (body, told.to_owned())).collect()
}
