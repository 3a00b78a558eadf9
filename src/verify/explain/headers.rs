//! Headers: absent, renamed on the way, empty, or there twice.

use http::HeaderName;

use super::ground::{Change, Ground};
use crate::delivery::Delivery;
use crate::outcome::Rejected;
use crate::verify::scheme::{Place, Proof, Scheme, Token};
use crate::verify::template::{Source, Template};

/// How alike two names must be, from 0 to 1 (the share of characters that agree).
const ALIKE: f64 = 0.8;
/// Most copies of a header that are tried one by one.
const MAX_COPIES: usize = 4;

/// Explains a refusal because of what carries the proof.
pub(super) fn explain(ground: &Ground<'_>, rejected: &Rejected) -> Vec<String> {
    match rejected {
        Rejected::SignatureMissing(_) | Rejected::TimestampMissing(_) => missing(ground),
        Rejected::SignatureAmbiguous(_) => repeated(ground),
        Rejected::SignatureMalformed(_) | Rejected::TokenInvalid { .. } => empty(ground),
        _ => Vec::new(),
    }
}

/// Returns the headers that the proof of a scheme stands in.
pub(super) fn expected(scheme: &Scheme) -> Vec<HeaderName> {
    let mut names = Vec::new();
    let mut add = |template: &Template| {
        for source in template.sources() {
            if let Source::Header(all) = source {
                names.extend(all.iter().cloned());
            }
        }
    };
    scheme.signed_forms().for_each(&mut add);
    if let Some(rule) = &scheme.timestamp {
        add(&rule.from);
    }
    for token in tokens(scheme) {
        add(&token.value);
    }
    let carrier = scheme.carrier();
    for place in carrier.iter().flat_map(|carrier| &carrier.from) {
        match place {
            Place::Piece(template) => add(template),
            Place::Lines(_) | Place::Numbered(_) => {}
        }
    }
    for place in carrier.iter().flat_map(|carrier| &carrier.from) {
        if let Place::Lines(name) = place {
            names.extend(name.parse().ok());
        }
    }
    names.extend(
        scheme
            .when
            .header
            .as_ref()
            .and_then(|name| name.parse().ok()),
    );
    if matches!(scheme.proof, Proof::Basic) {
        names.push(http::header::AUTHORIZATION);
    }
    names.sort_by(|one, other| one.as_str().cmp(other.as_str()));
    names.dedup();
    names
}

/// Returns the tokens that a scheme asks for.
pub(super) fn tokens(scheme: &Scheme) -> Vec<&Token> {
    let of_proof = match &scheme.proof {
        Proof::Token(token) => Some(token),
        Proof::Jwt(rule) => Some(&rule.token),
        _ => None,
    };
    of_proof.into_iter().chain(&scheme.token).collect()
}

fn missing(ground: &Ground<'_>) -> Vec<String> {
    let headers = &ground.case.delivery.headers;
    let expected = expected(ground.scheme());
    let absent: Vec<&HeaderName> = expected
        .iter()
        .filter(|name| !headers.contains_key(*name))
        .collect();
    let mut found = Vec::new();
    for name in &absent {
        let mut alike: Vec<(f64, &HeaderName)> = headers
            .keys()
            .filter(|other| !expected.contains(other))
            .map(|other| (likeness(name, other), other))
            .filter(|(likeness, _)| *likeness >= ALIKE)
            .collect();
        alike.sort_by(|one, other| other.0.total_cmp(&one.0));
        if let Some((_, other)) = alike.first() {
            found.push(renamed(ground, name, other));
        }
    }
    if found.is_empty() && !absent.is_empty() {
        let names: Vec<&str> = absent.iter().map(|name| name.as_str()).collect();
        found.push(format!(
            "nothing like header {} is there: the provider has no secret set for this webhook and \
             sends without, it signs in another way, or a proxy drops the header",
            names.join(", ")
        ));
    }
    found
}

/// Tells how alike two names are; 1 where they differ in what proxies and runtimes change.
fn likeness(name: &HeaderName, other: &HeaderName) -> f64 {
    let plain = |name: &HeaderName| {
        let text = name.as_str().replace('_', "-");
        let text = text.strip_prefix("http-").unwrap_or(&text).to_owned();
        text.strip_prefix("x-").unwrap_or(&text).to_owned()
    };
    let (name, other) = (plain(name), plain(other));
    let one_in_other = |one: &str, other: &str| {
        one.len() >= 8
            && (other.ends_with(&format!("-{one}")) || other.starts_with(&format!("{one}-")))
    };
    match name == other || one_in_other(&name, &other) || one_in_other(&other, &name) {
        true => 1.0,
        false => strsim::normalized_levenshtein(&name, &other),
    }
}

fn renamed(ground: &Ground<'_>, name: &HeaderName, other: &HeaderName) -> String {
    let mut delivery: Delivery = ground.case.delivery.clone();
    if let Some(value) = delivery.headers.remove(other) {
        delivery.headers.insert(name.clone(), value);
    }
    match ground.fits(&Change::Delivery(delivery)) {
        true => format!(
            "header {name} arrived as `{other}`, and under its own name it verifies: a proxy \
             renames it"
        ),
        false => format!(
            "header {name} is not there, but a similar one is, `{other}`: that of another version \
             of the scheme or of another provider, or renamed by a proxy"
        ),
    }
}

fn repeated(ground: &Ground<'_>) -> Vec<String> {
    let headers = &ground.case.delivery.headers;
    let mut found = Vec::new();
    for name in expected(ground.scheme()) {
        let copies: Vec<&[u8]> = headers
            .get_all(&name)
            .iter()
            .map(|one| one.as_bytes())
            .collect();
        let [first, _, ..] = copies.as_slice() else {
            continue;
        };
        let fits = |value: &&&[u8]| {
            let delivery = ground.with_header(&name, value);
            delivery.is_some_and(|delivery| ground.fits(&Change::Delivery(delivery)))
        };
        let right = copies.iter().take(MAX_COPIES).position(|copy| fits(&copy));
        let same = copies.iter().all(|copy| copy == first);
        found.push(match right {
            _ if same => format!(
                "header {name} is sent {} times with the same value: a proxy adds it again",
                copies.len()
            ),
            Some(place) => format!(
                "header {name} is sent {} times with different values, of which number {} \
                 verifies: a proxy adds one, or somebody tries which of them is believed",
                copies.len(),
                place + 1
            ),
            None => format!(
                "header {name} is sent {} times with different values, and none of them verifies",
                copies.len()
            ),
        });
    }
    if found.is_empty() {
        found.push(
            "a part of the proof is there more than once, and readers differ in which one they \
             take: a proxy adds it again, or somebody tries which of them is believed"
                .to_owned(),
        );
    }
    found
}

/// Tells that the place of the proof is empty.
fn empty(ground: &Ground<'_>) -> Vec<String> {
    let scheme = ground.scheme();
    let Some(fields) = ground.proof_fields() else {
        return Vec::new();
    };
    let scope = crate::verify::template::Scope::of(&fields);
    let blank = |text: &str| text.trim().is_empty();
    let token = tokens(scheme).iter().any(|token| {
        let sent = token.value.bytes(&scope).unwrap_or_else(|_| b"-".to_vec());
        let word = token.prefix.trim();
        let text = String::from_utf8_lossy(&sent).into_owned();
        blank(&text) || (!word.is_empty() && text.trim().eq_ignore_ascii_case(word))
    });
    let texts = ground.tag_texts();
    let carrier = scheme.carrier();
    let empty_tag = |text: &String| {
        let parsed = carrier.and_then(|carrier| carrier.layout.parse(text).ok());
        let tags = parsed.map(|parsed| parsed.tags).unwrap_or_default();
        blank(text) || (!tags.is_empty() && tags.iter().all(|(_, tag)| blank(tag)))
    };
    let tag = !texts.is_empty() && texts.iter().all(empty_tag);
    match token || tag {
        true => vec![
            "the place of the proof is there but empty: most likely the provider has no secret \
             configured for this webhook"
                .to_owned(),
        ],
        false => Vec::new(),
    }
}
