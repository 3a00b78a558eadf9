//! What a proof covers cannot be changed, not by a bit.

use std::path::Path;

use hookgate::delivery::Delivery;
use hookgate::signal::Assurance;
use http::{HeaderName, Method};

use crate::cases::{Case, SEED, URL, cases};
use crate::pieces::{Piece, bits, flip, length, same};
use crate::refuses;

#[test]
fn no_changed_bit_of_a_covered_body_goes_unnoticed() {
    let mut tried = 0;
    for case in cases() {
        if case.scheme.assurance() != Assurance::Body {
            continue;
        }
        let endpoint = case.pinned(&SEED);
        let delivery = case.signed(&SEED);
        let body = Piece::Body(0..delivery.body.len());
        tried += usize::from(!delivery.body.is_empty());
        let is_form = delivery.media_type() == "application/x-www-form-urlencoded";
        for bit in bits(delivery.body.len()) {
            let changed = flip(&body, bit, &delivery).unwrap();
            // `%2b` and `%2B` are the same field: a vendor that signs the fields signs both.
            if is_form && same(&case.scheme, &changed, &delivery) {
                continue;
            }
            refuses(
                &endpoint,
                &changed,
                &format!("bit {bit} of the body changed"),
            );
        }
    }
    assert!(tried >= 100, "only {tried} schemes cover the body");
}

#[test]
fn no_changed_bit_of_anything_else_that_is_covered_goes_unnoticed() {
    let (mut fields, mut beside) = (0, 0);
    for case in cases() {
        let assurance = case.scheme.assurance();
        // What a token covers are its own claims.
        if assurance < Assurance::Fields || case.scheme.carrier().is_none() {
            continue;
        }
        let endpoint = case.pinned(&SEED);
        let delivery = case.signed(&SEED);
        let mut covered = covered(&case, &delivery);
        match assurance {
            Assurance::Fields => {
                fields += 1;
                assert!(!covered.is_empty(), "{case} covers nothing");
            }
            _ => {
                covered.retain(|piece| !matches!(piece, Piece::Body(_)));
                beside += usize::from(!covered.is_empty());
            }
        }
        for piece in covered {
            for bit in bits(length(&piece, &delivery)) {
                let Some(changed) = flip(&piece, bit, &delivery) else {
                    continue;
                };
                if !same(&case.scheme, &changed, &delivery) {
                    refuses(
                        &endpoint,
                        &changed,
                        &format!("bit {bit} of {piece:?} changed"),
                    );
                }
            }
        }
    }
    assert!(fields >= 10, "only {fields} schemes cover fields");
    assert!(
        beside >= 30,
        "only {beside} schemes cover more than the body"
    );
}

/// Finds the pieces of a delivery that the definition, as it is written, names in what is signed.
fn covered(case: &Case, delivery: &Delivery) -> Vec<Piece> {
    let pieces = signed_pieces(case);
    let found = pieces.iter().flat_map(|piece| find(piece, delivery));
    found.collect()
}

/// Returns what stands between braces in what the schemes of a case's name sign.
fn signed_pieces(case: &Case) -> Vec<String> {
    let file = format!("providers/{}.toml", case.provider.name);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let definition: toml::Table = std::fs::read_to_string(file).unwrap().parse().unwrap();
    let schemes = definition["scheme"].as_array().unwrap().iter();
    let schemes = schemes.filter(|one| one["name"].as_str() == Some(&case.scheme.name));
    let method = |one: &&toml::Value| {
        let wanted = one.get("when").and_then(|when| when.get("method"));
        let wanted = wanted.map(|name| name.as_str().unwrap().parse::<Method>().unwrap());
        wanted == case.scheme.when.method
    };
    let set = |one: &&toml::Value| {
        let there = |key| {
            one.get(key)
                .map(|name| case.params.contains_key(name.as_str().unwrap()))
        };
        there("if_set") != Some(false) && there("if_unset") != Some(true)
    };
    let signed = schemes
        .filter(method)
        .filter(set)
        .map(|one| one["signed"].to_string());
    let texts: Vec<String> = signed.collect();
    let pieces = texts.iter().flat_map(|text| {
        // What stands behind a dollar is a setting.
        let text = text.replace("${", "");
        let parts: Vec<String> = text.split('{').skip(1).map(str::to_owned).collect();
        parts
            .into_iter()
            .map(|part| part.split(['}', '|']).next().unwrap().to_owned())
    });
    pieces.collect()
}

fn find(piece: &str, delivery: &Delivery) -> Vec<Piece> {
    let (kind, name) = piece.split_once(':').unwrap_or((piece, ""));
    let name = name.trim_end_matches('?');
    let query = delivery
        .url
        .find('?')
        .map_or(delivery.url.len(), |at| at + 1);
    let body = std::str::from_utf8(&delivery.body).unwrap();
    let of_body = |range: (usize, usize)| vec![Piece::Body(range.0..range.1)];
    match kind {
        "header" => {
            let names = name
                .split(',')
                .map(|name| name.parse::<HeaderName>().unwrap());
            let there = names.filter(|name| delivery.headers.contains_key(name));
            there.map(Piece::Header).collect()
        }
        "first" if body.starts_with('[') => vec![Piece::Body(1..body.len() - 1)],
        "first" => vec![Piece::Body(0..body.len())],
        "document" | "form" if name.is_empty() => vec![Piece::Body(0..body.len())],
        "listedheaders" => vec![Piece::Header(
            name.split(',').next().unwrap().parse().unwrap(),
        )],
        "sortedform" => vec![Piece::Body(0..body.len())],
        "rawquery" | "sortedquery" | "sortedquery-encoded" => {
            vec![Piece::Url(query..delivery.url.len())]
        }
        "method" => Vec::new(),
        "body" if name.is_empty() => vec![Piece::Body(0..body.len())],
        "body" | "string" | "number" => {
            let name = name.rsplit('/').next().unwrap();
            member(body, name).map_or_else(Vec::new, of_body)
        }
        "form" => field(body, name).map_or_else(Vec::new, of_body),
        "query" => match field(&delivery.url[query..], name) {
            Some((begins, ends)) => vec![Piece::Url(query + begins..query + ends)],
            None => Vec::new(),
        },
        "sortedparams" if body.is_empty() => vec![Piece::Url(query..delivery.url.len())],
        "sortedparams" => vec![Piece::Body(0..body.len())],
        "path" | "origin" | "url" => {
            let path = URL.rfind('/').unwrap();
            let begins = if kind == "path" { path } else { 8 };
            let ends = if kind == "origin" { path } else { URL.len() };
            vec![Piece::Url(begins..ends)]
        }
        // Part of the proof, and changed with it.
        "param" | "secret" => Vec::new(),
        other => panic!("nobody told where `{other}` stands"),
    }
}

/// Finds the value of the first member of this name in a JSON text.
fn member(text: &str, name: &str) -> Option<(usize, usize)> {
    let key = format!("\"{name}\":");
    let begins = text.find(&key)? + key.len();
    let begins = begins + (text[begins..].len() - text[begins..].trim_start().len());
    Some(match text[begins..].strip_prefix('"') {
        Some(string) => (begins + 1, begins + 1 + string.find('"')?),
        None => (begins, begins + text[begins..].find([',', '}', ']'])?),
    })
}

fn field(text: &str, name: &str) -> Option<(usize, usize)> {
    let mut at = 0;
    for pair in text.split('&') {
        if let Some(value) = pair.strip_prefix(&format!("{name}=")) {
            return Some((at + pair.len() - value.len(), at + pair.len()));
        }
        at += pair.len() + 1;
    }
    None
}
