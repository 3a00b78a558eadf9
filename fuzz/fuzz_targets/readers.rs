//! What is read on the way of a delivery, and when a configuration is loaded: nothing panics, and
//! what comes of it is sound.

use std::collections::BTreeMap;
use std::sync::Arc;

use hookgate::batch::{BatchPath, BatchRules};
use hookgate::multipart::{self, MAX_PARTS};
use hookgate::provider::Provider;
use hookgate::verify::jws::{self, JwsAlgorithm};
use hookgate::verify::public_key::{Algorithm, KeyFormat, KeySet, Trust};
use serde::de::IgnoredAny;

use crate::cases::now;

/// Splits the first line off.
pub(crate) fn line(input: &[u8]) -> (&[u8], &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n');
    let end = end.unwrap_or(input.len());
    (&input[..end], input.get(end + 1..).unwrap_or_default())
}

/// A line of paths, `;` between those of the document and those within an event; then a document.
pub(crate) fn batch(input: &[u8]) {
    let (paths, document) = line(input);
    let paths = String::from_utf8_lossy(paths);
    let (at, within) = paths.split_once(';').unwrap_or((&paths, ""));
    let read = |texts: &str| {
        let each = texts
            .split(' ')
            .filter_map(|text| BatchPath::parse(text).ok());
        each.take(4).collect()
    };
    let rules = BatchRules {
        at: read(at),
        within: read(within),
    };
    for part in rules.split(document).unwrap_or_default() {
        for text in [&part.document, &part.element] {
            serde_json::from_slice::<IgnoredAny>(text).unwrap();
        }
    }
}

/// A line with a Content-Type, then a body.
pub(crate) fn form(input: &[u8]) {
    let (content_type, body) = line(input);
    let content_type = String::from_utf8_lossy(content_type);
    let parts = multipart::parts(&content_type, body).unwrap_or_default();
    let all: usize = parts.iter().map(|part| part.content.len()).sum();
    assert!(all <= body.len() && parts.len() <= MAX_PARTS);
}

/// A signed token.
pub(crate) fn token(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let Ok(token) = jws::parse(&text) else {
        return;
    };
    let _ = token.check_times(now().as_second(), 0);
    for name in token.claims().keys() {
        let _ = token.claim_texts(name);
    }
    assert!(!token.signature().is_empty());
    assert!(text.as_bytes().starts_with(token.signing_input()));
}

/// A line with the format and a pointer, then a document of keys.
pub(crate) fn keys(input: &[u8]) {
    let (head, document) = line(input);
    let head = String::from_utf8_lossy(head);
    let (format, pointer) = head.split_once(' ').unwrap_or((&head, ""));
    let format = match format {
        "jwks" => KeyFormat::Jwks,
        "pem" => KeyFormat::Pem,
        "tink" => KeyFormat::Tink,
        _ => KeyFormat::X509,
    };
    let pointer = Some(pointer).filter(|text| !text.is_empty());
    for chain in [false, true] {
        let trust = Trust {
            chain,
            ..Trust::default()
        };
        let Ok(keys) = KeySet::parse(format, document, pointer, &trust, now().as_second()) else {
            continue;
        };
        for key in keys.keys() {
            for algorithm in JwsAlgorithm::ALL {
                if let Some(algorithm) = algorithm.public_key() {
                    assert!(!key.key.verify(algorithm, b"message", &[0; 64]));
                }
            }
            assert!(
                !key.key
                    .verify(Algorithm::EcdsaP256Der, b"message", document)
            );
        }
    }
}

/// Settings in lines of their own, an empty line, then a definition.
pub(crate) fn definition(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (settings, text) = text.split_once("\n\n").unwrap_or(("", &text));
    let settings = settings.lines().filter_map(|line| line.split_once('='));
    let settings: BTreeMap<String, String> = settings
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let Ok(provider) = Provider::parse("fuzz.toml", text) else {
        return;
    };
    let provider = Arc::new(provider);
    if let Ok((set, _)) = provider.with_params(&settings, &BTreeMap::new()) {
        let _ = (set.assurance(), set.scheme_names(), set.signs_url());
        for vector in set.vectors() {
            let _ = vector.outcome(&set);
        }
    }
}
