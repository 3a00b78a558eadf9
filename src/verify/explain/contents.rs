//! Contents: what was signed, put together otherwise than this provider does.

use super::ground::{Change, Ground, Guess};
use crate::verify::fields::Pointers;
use crate::verify::key::Hash;
use crate::verify::scheme::{Proof, Scheme, TimestampUnit};
use crate::verify::template::{Source, Template};

/// Most ways of putting the pieces together.
const MAX_FORMS: usize = 240;
/// What stands between pieces somewhere.
const SEPARATORS: [&str; 9] = ["", ".", ":", "|", "\n", ",", "&", "-", ";"];

/// Tries other contents.
pub(super) fn guess(ground: &Ground<'_>) -> Vec<String> {
    let mut found = ground.first(put_together_otherwise(ground));
    if found.is_empty() {
        found = ground.first(times_in_another_unit(ground));
    }
    found
}

/// A piece of content: how a template writes it, and what people call it.
#[derive(Clone, PartialEq, Eq)]
struct Piece {
    written: String,
    called: String,
}

impl Piece {
    fn of(source: &Source) -> Option<Self> {
        let written = match source {
            Source::Body | Source::Document => "{body}".to_owned(),
            Source::Url => "{url}".to_owned(),
            Source::Origin => "{origin}".to_owned(),
            Source::Path => "{path}".to_owned(),
            Source::RawQuery => "{rawquery}".to_owned(),
            Source::Method => "{method}".to_owned(),
            Source::Secret => "{secret}".to_owned(),
            Source::SortedForm(_) => "{form}".to_owned(),
            Source::Param(name) => format!("{{param:{name}}}"),
            Source::Form(name) => format!("{{form:{name}}}"),
            Source::Query(name) => format!("{{query:{name}}}"),
            Source::Header(names) => {
                let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
                format!("{{header:{}}}", names.join(","))
            }
            _ => return None,
        };
        let called = match source {
            Source::Body | Source::Document => "the body".to_owned(),
            Source::SortedForm(_) => "the fields of the form".to_owned(),
            Source::Url => "the URL".to_owned(),
            Source::Secret => "the secret".to_owned(),
            other => other.to_string(),
        };
        Some(Self { written, called })
    }
}

fn put_together_otherwise(ground: &Ground<'_>) -> Vec<Guess> {
    let scheme = ground.scheme();
    if scheme.carrier().is_none() {
        return Vec::new();
    }
    let time = scheme.timestamp.iter().flat_map(|rule| rule.from.sources());
    let sources = scheme.signed.sources().chain(time);
    let mut pieces: Vec<Piece> = Vec::new();
    let body = Piece::of(&Source::Body);
    for piece in sources.filter_map(Piece::of).chain(body) {
        if !pieces.contains(&piece) {
            pieces.push(piece);
        }
    }
    let keyed = matches!(scheme.proof, Proof::KeyedHash { .. });
    pieces.truncate(5);
    let mut guesses = Vec::new();
    for order in orders(pieces.len()) {
        let parts: Vec<&Piece> = order.iter().filter_map(|at| pieces.get(*at)).collect();
        if keyed && !parts.iter().any(|part| part.written == "{secret}") {
            continue;
        }
        let separators = if parts.len() == 1 {
            &SEPARATORS[..1]
        } else {
            &SEPARATORS[..]
        };
        for separator in separators {
            let written: Vec<&str> = parts.iter().map(|part| part.written.as_str()).collect();
            let left: Vec<&str> = pieces
                .iter()
                .filter(|piece| !parts.contains(piece) && scheme_signs(scheme, piece))
                .map(|piece| piece.called.as_str())
                .collect();
            let told = told(&parts, separator, &left);
            guesses.extend(signed(scheme, &written.join(separator), told));
        }
    }
    guesses.truncate(MAX_FORMS);
    guesses.extend(plain_digests(scheme));
    guesses
}

fn scheme_signs(scheme: &Scheme, piece: &Piece) -> bool {
    let mut signed = scheme.signed.sources().filter_map(Piece::of);
    signed.any(|one| one == *piece)
}

fn told(parts: &[&Piece], separator: &str, left: &[&str]) -> String {
    let called: Vec<&str> = parts.iter().map(|part| part.called.as_str()).collect();
    let what = match called.as_slice() {
        [only] => format!("{only} alone"),
        several => {
            let between = match separator {
                "" => "nothing".to_owned(),
                text => format!("`{}`", text.escape_debug()),
            };
            format!(
                "{}, in this order with {between} between",
                several.join(" and ")
            )
        }
    };
    let left = match left {
        [] => String::new(),
        left => format!("; {} is not part of it", left.join(" and ")),
    };
    format!("the signature is right, but made over {what}, otherwise than this provider does{left}")
}

fn signed(scheme: &Scheme, template: &str, told: String) -> Option<Guess> {
    let mut changed = scheme.clone();
    changed.signed = Template::compile(template, &mut Pointers::default()).ok()?;
    changed.also_signed = Vec::new();
    Some(Guess::scheme(changed, told))
}

/// Returns the ordered choices among so many pieces: fewer pieces first.
fn orders(pieces: usize) -> Vec<Vec<usize>> {
    let mut all: Vec<Vec<usize>> = vec![Vec::new()];
    let mut at = 0;
    while let Some(order) = all.get(at).cloned() {
        for next in (0..pieces).filter(|next| !order.contains(next)) {
            let mut longer = order.clone();
            longer.push(next);
            all.push(longer);
        }
        at += 1;
    }
    all.retain(|order| !order.is_empty());
    // What leaves most of the pieces in, and then the order of the definition, is the likeliest;
    // a single piece is cheap to try.
    all.sort_by_key(|order| match order.len() {
        1 => (0, order.clone()),
        length => (pieces - length + 1, order.clone()),
    });
    all
}

/// A plain digest of secret and content instead of an HMAC, or the other way round.
fn plain_digests(scheme: &Scheme) -> Vec<Guess> {
    let mut guesses = Vec::new();
    let Proof::Hmac { hash, key, carrier } = &scheme.proof else {
        return guesses;
    };
    for template in ["{secret}{body}", "{body}{secret}"] {
        let mut changed = scheme.clone();
        let (hash, key, carrier): (Hash, _, _) = (*hash, key.clone(), carrier.clone());
        changed.proof = Proof::KeyedHash { hash, key, carrier };
        let told = format!(
            "the tag is a plain {hash} digest of secret and body, and this provider sends an HMAC"
        );
        guesses.extend(signed(&changed, template, told));
    }
    guesses
}

/// The time was signed in another unit than it was sent in.
fn times_in_another_unit(ground: &Ground<'_>) -> Vec<Guess> {
    let Some(rule) = &ground.scheme().timestamp else {
        return Vec::new();
    };
    let Some(Source::Header(names)) = rule.from.only_source() else {
        return Vec::new();
    };
    let Some(name) = names.first() else {
        return Vec::new();
    };
    let value = ground.case.delivery.headers.get(name);
    let text = value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let (other, unit) = match rule.unit {
        TimestampUnit::Milliseconds => (TimestampUnit::Seconds, "seconds"),
        _ => (TimestampUnit::Milliseconds, "milliseconds"),
    };
    let Some(time) = rule.unit.parse(text).or_else(|| other.parse(text)) else {
        return Vec::new();
    };
    let spellings = [
        (other.format(time), unit),
        (rule.unit.format(time), "the unit that is expected"),
    ];
    let told = |unit: &str| format!("the signature fits if the time in header {name} is in {unit}");
    spellings
        .into_iter()
        .filter(|(spelling, _)| spelling != text)
        .filter_map(|(spelling, unit)| {
            let delivery = ground.with_header(name, spelling.as_bytes())?;
            let mut scheme = ground.scheme().clone();
            scheme.timestamp = None;
            let change = Change::Both(Box::new(scheme), delivery);
            Some(Guess::new(change, told(unit)))
        })
        .collect()
}
