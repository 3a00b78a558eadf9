//! Secrets: written otherwise than they should be, in the wrong place, or decoded otherwise by the
//! sender. No finding repeats one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret;

use super::ground::{Change, Ground, Guess};
use crate::verify::key::{Derivation, KeyEncoding};
use crate::verify::scheme::{Proof, Scheme};
use crate::verify::template::Scope;

/// Most `_` in a secret that may end its prefix.
const MAX_MARKS: usize = 3;

/// Tries secrets that would verify.
pub(super) fn guess(ground: &Ground<'_>) -> Vec<String> {
    let mut found = ground.first(spelled_otherwise(ground));
    if found.is_empty() {
        found = ground.first(of_another_place(ground));
    }
    if found.is_empty() {
        found = ground.first(derived_otherwise(ground));
    }
    if found.is_empty() {
        found = ground.first(encoded_otherwise(ground));
    }
    found
}

fn texts(ground: &Ground<'_>) -> Vec<String> {
    let secrets = ground.case.secrets.iter();
    secrets.map(|one| one.expose_secret().to_owned()).collect()
}

fn spelled_otherwise(ground: &Ground<'_>) -> Vec<Guess> {
    let ids = named_ids(ground);
    replaced(ground, |text| {
        let mut spellings = spellings(text);
        spellings.extend(with_prefix(text, ground.scheme()));
        spellings.extend(with_id(text, ground.scheme(), &ids));
        spellings
    })
}

fn encoded_otherwise(ground: &Ground<'_>) -> Vec<Guess> {
    replaced(ground, encodings)
}

/// Replaces one secret at a time.
fn replaced(ground: &Ground<'_>, by: impl Fn(&str) -> Vec<(String, String)>) -> Vec<Guess> {
    let texts = texts(ground);
    let mut guesses = Vec::new();
    for (place, text) in texts.iter().enumerate() {
        for (spelling, told) in by(text) {
            if spelling != *text && !spelling.is_empty() {
                let mut changed = texts.clone();
                changed[place] = spelling;
                guesses.push(Guess::new(Change::Secrets(changed), told));
            }
        }
    }
    guesses
}

/// The ways in which a secret gets something around it.
pub(super) fn spellings(text: &str) -> Vec<(String, String)> {
    let bare = text.trim().trim_matches(['"', '\'']).trim();
    let mut all = vec![
        (
            text.trim().to_owned(),
            "the secret has white space around it; without it the signature fits",
        ),
        (
            text.trim_matches(['"', '\'']).to_owned(),
            "the secret has quotation marks around it; without them the signature fits",
        ),
        (
            bare.to_owned(),
            "the secret has white space and quotation marks around it; without them the signature \
             fits",
        ),
        (
            format!("{text}\n"),
            "the sender's secret ends with a line break; with one the signature fits",
        ),
        (
            format!("{text}\r\n"),
            "the sender's secret ends with a line break (CRLF); with one the signature fits",
        ),
        (
            text.to_lowercase(),
            "the secret is in another case; in lower case the signature fits",
        ),
        (
            text.to_uppercase(),
            "the secret is in another case; in upper case the signature fits",
        ),
    ];
    for word in ["Bearer ", "Token ", "Basic "] {
        if let Some(rest) = text.strip_prefix(word) {
            let told = "the secret begins with the word of an HTTP authentication scheme, which is \
                        no part of it; without it the signature fits";
            all.push((rest.trim().to_owned(), told));
        }
    }
    if let Some((_, rest)) = text.split_once('=') {
        let told = "the secret begins with a name and `=`, which are no part of it; without them \
                    the signature fits";
        all.push((rest.trim_matches(['"', '\'']).to_owned(), told));
    }
    let each = all.into_iter();
    each.map(|(text, told)| (text, told.to_owned())).collect()
}

/// The secret encoded once more or once less.
pub(super) fn encodings(text: &str) -> Vec<(String, String)> {
    let bare = text.trim().trim_matches(['"', '\'']).trim();
    let mut all = vec![
        (
            STANDARD.encode(text),
            "the secret is decoded once too often: the sender uses its base64",
        ),
        (
            hex::encode(text),
            "the secret is decoded once too often: the sender uses its hex",
        ),
    ];
    let as_text = |bytes: Vec<u8>| String::from_utf8(bytes).ok();
    if let Some(once) = KeyEncoding::Base64
        .decode(bare)
        .ok()
        .and_then(|bytes| as_text(bytes.to_vec()))
    {
        let told = "the secret is the base64 of the sender's: it has to be decoded once more";
        all.push((once, told));
    }
    if let Some(once) = hex::decode(bare).ok().and_then(as_text) {
        let told = "the secret is the hex of the sender's: it has to be decoded once more";
        all.push((once, told));
    }
    let each = all.into_iter();
    each.map(|(text, told)| (text, told.to_owned())).collect()
}

fn with_prefix(text: &str, scheme: &Scheme) -> Vec<(String, String)> {
    let strip = derivation(scheme).map_or(&[][..], |key| key.strip.as_slice());
    let known = scheme.for_secrets.iter().chain(strip);
    let absent = known.filter(|prefix| !text.starts_with(prefix.as_str()));
    let add = |prefix: &String| {
        let told = format!("the secret lacks its prefix `{prefix}`; with it the signature fits");
        (format!("{prefix}{text}"), told)
    };
    absent.map(add).collect()
}

/// Secrets of the form `ID:KEY` without their id, or under another.
fn with_id(text: &str, scheme: &Scheme, ids: &[String]) -> Vec<(String, String)> {
    if !derivation(scheme).is_some_and(|key| key.named) {
        return Vec::new();
    }
    let key = text.rsplit_once(':').map_or(text, |(_, key)| key);
    let mut all = Vec::new();
    for id in ids {
        let told = format!(
            "the key is right, but the delivery names it `{id}`: write the secret as `ID:KEY` with \
             that id"
        );
        all.push((format!("{id}:{key}"), told.clone()));
        all.push((format!("{id}:{text}"), told));
    }
    if let Some((id, key)) = text.split_once(':') {
        let told = "the secret is written KEY:ID; as `ID:KEY` the signature fits";
        all.push((format!("{key}:{id}"), told.to_owned()));
    }
    all
}

/// The ids of keys that the delivery names.
fn named_ids(ground: &Ground<'_>) -> Vec<String> {
    let scheme = ground.scheme();
    let scope = Scope::of(&ground.fields);
    let id = derivation(scheme).and_then(|key| key.id.as_ref()?.text(&scope));
    let mut ids: Vec<String> = id.into_iter().collect();
    if let Some(carrier) = scheme.carrier() {
        for text in ground.tag_texts() {
            let parsed = carrier.layout.parse(&text).unwrap_or_default();
            let named = parsed.tags.iter().filter_map(|(id, _)| *id);
            ids.extend(named.map(str::to_owned));
        }
    }
    ids.retain(|id| !id.is_empty() && id.len() <= 256);
    ids
}

/// Where each place has a secret of its own: the secrets in another order.
fn of_another_place(ground: &Ground<'_>) -> Vec<Guess> {
    let by_place = ground.scheme().carrier().is_some_and(|one| one.by_secret);
    if !by_place {
        return Vec::new();
    }
    let texts = texts(ground);
    let reversed: Vec<String> = texts.iter().rev().cloned().collect();
    let told = "the secrets are right, but in the wrong order: the first one belongs to the second \
                place, and the other way round";
    let mut guesses = vec![Guess::new(Change::Secrets(reversed), told)];
    for text in &texts {
        // Nothing verifies under the other one: it only takes its place.
        let other: String = text.trim_end_matches('=').chars().rev().collect();
        let told = "the secret is that of the second place: give both, in order";
        guesses.push(Guess::new(Change::Secrets(vec![other, text.clone()]), told));
    }
    guesses
}

/// Returns how a scheme makes its shared key.
pub(super) fn derivation(scheme: &Scheme) -> Option<&Derivation> {
    match &scheme.proof {
        Proof::Hmac { key, .. } | Proof::KeyedHash { key, .. } => Some(key),
        Proof::Jwt(rule) if scheme.keys.is_none() => Some(&rule.key),
        _ => None,
    }
}

fn with_derivation(scheme: &Scheme, derivation: Derivation) -> Scheme {
    let mut scheme = scheme.clone();
    match &mut scheme.proof {
        Proof::Hmac { key, .. } | Proof::KeyedHash { key, .. } => *key = derivation,
        Proof::Jwt(rule) => rule.key = derivation,
        _ => {}
    }
    scheme
}

fn derived_otherwise(ground: &Ground<'_>) -> Vec<Guess> {
    let scheme = ground.scheme();
    let Some(usual) = derivation(scheme) else {
        return Vec::new();
    };
    let mut guesses = Vec::new();
    for secret in ground.case.secrets {
        let mut known: Vec<Vec<u8>> = Vec::new();
        known.extend(usual.bytes(secret).ok().map(|bytes| bytes.to_vec()));
        for (derivation, told) in derivations(usual, secret.expose_secret()) {
            let Ok(bytes) = derivation.bytes(secret) else {
                continue;
            };
            if !known.contains(&bytes) {
                known.push(bytes.to_vec());
                guesses.push(Guess::scheme(with_derivation(scheme, derivation), told));
            }
        }
    }
    guesses
}

fn derivations(usual: &Derivation, text: &str) -> Vec<(Derivation, String)> {
    let mut all = Vec::new();
    // Some prefixes have a `_` in them.
    let marks = text.match_indices('_').take(MAX_MARKS);
    let prefixes = marks.filter_map(|(at, mark)| text.get(..at + mark.len()));
    let behind = prefixes.map(|prefix| (vec![prefix.to_owned()], "the secret behind its prefix"));
    let mut kinds = vec![(Vec::new(), "the whole secret")];
    kinds.extend(behind);
    kinds.push((usual.strip.clone(), "the secret"));
    for encoding in KeyEncoding::ALL {
        for (strip, of) in &kinds {
            let told = format!(
                "the signature fits if {of} is taken as {}: the sender decodes its key otherwise \
                 than this provider does",
                encoding.name()
            );
            let derivation = Derivation {
                strip: strip.clone(),
                encoding,
                ..usual.clone()
            };
            all.push((derivation, told));
        }
    }
    let otherwise = "otherwise than this provider does";
    let without =
        |what: &str| format!("the signature fits if the key is taken {what}, {otherwise}");
    let usual = || usual.clone();
    all.push((
        Derivation {
            suffix: String::new(),
            ..usual()
        },
        without("without anything appended"),
    ));
    all.push((
        Derivation {
            nfkd: false,
            ..usual()
        },
        without("as it is written, not normalised"),
    ));
    all.push((
        Derivation {
            html_entities: false,
            ..usual()
        },
        without("with its HTML entities not decoded"),
    ));
    all.push((
        Derivation {
            hash: None,
            ..usual()
        },
        without("as it is and not hashed"),
    ));
    all.push((
        Derivation {
            named: false,
            id: None,
            ..usual()
        },
        without("as the whole `ID:KEY`"),
    ));
    all
}
