//! Pieces of a delivery, and deliveries that differ from it in one bit of one of them.

use std::ops::Range;

use hookgate::delivery::Delivery;
use hookgate::verify::scheme::{Proof, Scheme};
use hookgate::verify::tag::Encoding;
use http::{HeaderName, HeaderValue};
use serde_json::Value;

use crate::cases::{Case, filled};

/// Most bits of a piece that are changed, one at a time. Of larger ones a random part is.
const MOST: usize = 1200;

/// What stands in a sample where something is filled in.
const PLACES: [&str; 3] = ["$TOKEN", "$TAG", "$TIME"];

/// Where a piece stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A header, whole.
    Header(HeaderName),
    /// A part of the URL.
    Url(Range<usize>),
    /// A part of the body.
    Body(Range<usize>),
}

/// Returns what signing added to a case's sample.
pub(crate) fn proof(case: &Case, signed: &Delivery) -> Vec<Piece> {
    let headers = case.proof_headers(signed).into_iter();
    let mut pieces: Vec<Piece> = headers.map(Piece::Header).collect();
    let before = case.sample();
    if signed.url != before.url {
        let added = before.url.len() + 1..signed.url.len();
        pieces.push(Piece::Url(added));
    }
    let template = filled(std::str::from_utf8(&before.body).unwrap());
    pieces.extend(
        filled_in(&template, &signed.body)
            .into_iter()
            .map(Piece::Body),
    );
    pieces
}

/// Finds what stands in a body where its template has places.
fn filled_in(template: &str, body: &[u8]) -> Vec<Range<usize>> {
    let Some(place) = PLACES.iter().find(|place| template.contains(*place)) else {
        return Vec::new();
    };
    // Places of the same kind cut the template; others in between are cut in turn.
    let mut literals: Vec<String> = template.split(place).map(str::to_owned).collect();
    for place in PLACES {
        let cut = |text: &String| text.split(place).map(str::to_owned).collect::<Vec<_>>();
        literals = literals.iter().flat_map(cut).collect();
    }
    let body = std::str::from_utf8(body).unwrap();
    let (mut ranges, mut at) = (Vec::new(), 0);
    for pair in literals.windows(2) {
        let (mut before, mut behind) = (pair[0].as_str(), pair[1].as_str());
        // A number that was a text in the sample has no quotation marks any more.
        let number = before.ends_with('"') && !body[at..].starts_with(before);
        if number {
            (before, behind) = (&before[..before.len() - 1], &behind[1..]);
        }
        at += body[at..].find(before).unwrap() + before.len();
        let ends = match behind {
            "" => body.len(),
            behind => at + body[at..].find(behind).unwrap(),
        };
        // What this scheme does not fill in proves nothing.
        if !PLACES.contains(&&body[at..ends]) {
            ranges.push(at..ends);
        }
        at = ends;
    }
    ranges
}

/// Returns the bits of a piece of so many bytes that are tried: all, or a random part of many.
pub(crate) fn bits(bytes: usize) -> impl Iterator<Item = usize> {
    let all = bytes * 8;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let few = move |at: usize| {
        // Knuth's generator: the same part in every run.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        match all > MOST {
            true => (state >> 33) as usize % all,
            false => at,
        }
    };
    (0..all.min(MOST)).map(few)
}

/// Returns how many bytes a piece has.
pub(crate) fn length(piece: &Piece, delivery: &Delivery) -> usize {
    match piece {
        Piece::Header(name) => delivery.headers[name].len(),
        Piece::Url(range) | Piece::Body(range) => range.len(),
    }
}

/// Changes one bit of a piece; nothing where no such delivery can be sent.
pub(crate) fn flip(piece: &Piece, bit: usize, delivery: &Delivery) -> Option<Delivery> {
    let mut changed = delivery.clone();
    let (at, mask) = (bit / 8, 1 << (bit % 8));
    match piece {
        Piece::Header(name) => {
            let mut value = delivery.headers[name].as_bytes().to_vec();
            value[at] ^= mask;
            changed
                .headers
                .insert(name, HeaderValue::from_bytes(&value).ok()?);
        }
        Piece::Url(range) => {
            let mut url = delivery.url.clone().into_bytes();
            url[range.start + at] ^= mask;
            changed.url = String::from_utf8(url).ok()?;
        }
        Piece::Body(range) => {
            let mut body = delivery.body.to_vec();
            body[range.start + at] ^= mask;
            changed.body = body.into();
        }
    }
    Some(changed)
}

/// Replaces a piece by another text.
pub(crate) fn replace(piece: &Piece, text: &str, delivery: &Delivery) -> Delivery {
    let mut changed = delivery.clone();
    match piece {
        Piece::Header(name) => {
            changed
                .headers
                .insert(name, HeaderValue::from_str(text).unwrap());
        }
        Piece::Url(range) => changed.url.replace_range(range.clone(), text),
        Piece::Body(range) => {
            let mut body = String::from_utf8(delivery.body.to_vec()).unwrap();
            body.replace_range(range.clone(), text);
            changed.body = body.into();
        }
    }
    changed
}

/// Tells whether two deliveries say the same by the rules of what they are written in: the escapes of
/// forms and URLs, white space and escapes of JSON, the case of `Bearer` and of some tags.
pub(crate) fn same(scheme: &Scheme, one: &Delivery, other: &Delivery) -> bool {
    let headers = |delivery: &Delivery| {
        let each = delivery.headers.iter().map(|(name, value)| {
            let text = value.as_bytes().to_vec();
            let text = match name == http::header::AUTHORIZATION {
                true => authorization(&text),
                false => text,
            };
            (name.clone(), case_of(scheme, text))
        });
        each.collect::<Vec<_>>()
    };
    let url = |delivery: &Delivery| {
        let (path, query) = delivery.url.split_once('?').unwrap_or((&delivery.url, ""));
        (path.to_owned(), pairs(scheme, query.as_bytes()))
    };
    let form = one.media_type() == "application/x-www-form-urlencoded"
        && one.media_type() == other.media_type();
    let body = |delivery: &Delivery| match form {
        true => Content::Form(pairs(scheme, &delivery.body)),
        false => match serde_json::from_slice(&delivery.body) {
            Ok(json) => Content::Json(json),
            Err(_) => Content::Bytes(delivery.body.to_vec()),
        },
    };
    headers(one) == headers(other) && url(one) == url(other) && body(one) == body(other)
}

#[derive(PartialEq)]
enum Content {
    Form(Vec<(Vec<u8>, Vec<u8>)>),
    Json(Value),
    Bytes(Vec<u8>),
}

fn pairs(scheme: &Scheme, text: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let pairs = form_urlencoded::parse(text);
    let each = pairs.map(|(name, value)| {
        let value = value.into_owned().into_bytes();
        (name.into_owned().into_bytes(), case_of(scheme, value))
    });
    let mut pairs: Vec<_> = each.collect();
    pairs.sort();
    pairs
}

/// Digits of a tag in either case are the same digits.
fn case_of(scheme: &Scheme, mut text: Vec<u8>) -> Vec<u8> {
    let carrier = scheme.carrier();
    if carrier.is_some_and(|carrier| carrier.encoding == Encoding::HexAnyCase) {
        for byte in text.iter_mut().filter(|byte| byte.is_ascii_hexdigit()) {
            byte.make_ascii_lowercase();
        }
    }
    text
}

/// The name of an authentication scheme may be in any case (RFC 9110 section 11.1).
fn authorization(text: &[u8]) -> Vec<u8> {
    match text.iter().position(|byte| *byte == b' ') {
        Some(end) => [&text[..end].to_ascii_lowercase(), &text[end..]].concat(),
        None => text.to_vec(),
    }
}

/// Tells whether a proof may stand in a header that comes in several lines.
pub(crate) fn repeatable(scheme: &Scheme) -> bool {
    use hookgate::verify::scheme::Place;
    let carrier = scheme.carrier();
    carrier.is_some_and(|carrier| {
        carrier
            .from
            .iter()
            .any(|one| !matches!(one, Place::Piece(_)))
    })
}

/// Tells whether there is a proof at all.
pub(crate) fn proves(scheme: &Scheme) -> bool {
    !matches!(scheme.proof, Proof::None)
}
