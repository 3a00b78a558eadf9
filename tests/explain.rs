//! What `hookgate verify` tells of the published vectors that are near misses, and of those that are
//! not: those that nothing tells from a forgery must never be given a cause.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;

use hookgate::provider::Catalogue;
use hookgate::provider::vector::{Vector, VectorFile};
use hookgate::verify::explain::{Case, explain};

/// An invalid vector and what is told of it; nothing where its configuration would not load.
struct Told {
    provider: String,
    name: String,
    why: String,
    lines: Vec<String>,
}

/// Words in the name of a vector, and words of which one must be in what is told of it. The first
/// line that fits counts, so what is more special stands first.
const NEAR_MISSES: &[(&str, &[&str])] = &[
    ("uppercase-hex", &["upper case"]),
    ("uppercase-signature", &["upper case"]),
    ("uppercase-hash", &["upper case"]),
    ("hex-instead-of-base64", &["in hex instead of base64"]),
    ("hex-encoded", &["in hex instead of base64"]),
    ("hex-signature", &["in hex instead of base64"]),
    ("base64-instead-of-hex", &["in base64 instead of"]),
    ("base64-signature", &["in base64 instead of"]),
    ("base64-mac", &["in base64 instead of"]),
    (
        "invalid-wrong-encoding",
        &["in hex instead of", "in base64 instead of"],
    ),
    ("standard-base64", &["in base64 instead of base64url"]),
    ("unpadded-base64", &["padding"]),
    ("base64url", &["in base64url instead of"]),
    ("pss-padding", &["PSS"]),
    ("hmac-with-public-key", &["a forgery"]),
    ("sha512-cut", &["SHA-512", "cut"]),
    ("sha512-first", &["cut", "bytes"]),
    ("sha1-in-256", &["SHA-1"]),
    ("sha1-digest-in-256", &["SHA-1"]),
    ("sha1-method", &["SHA-1"]),
    ("sha1-signature", &["SHA-1"]),
    ("sha1-only", &["similar one", "scheme = "]),
    ("weak-method", &["SHA-1"]),
    ("sha256-instead", &["SHA-256"]),
    ("sha256-digest", &["SHA-256"]),
    ("sha256-mac", &["SHA-256"]),
    ("sha256-variant", &["another hash"]),
    ("invalid-sha256-digest", &["SHA-256"]),
    ("rule-sha256", &["SHA-256"]),
    ("plain-sha1", &["plain SHA-1 digest"]),
    ("legacy-header-only", &["similar one", "nothing like"]),
    ("prefix-missing", &["prefix"]),
    ("sha256-prefix", &["`sha256=`"]),
    ("uppercase-prefix", &["instead of `sha256=`"]),
    ("empty-prefix", &["empty"]),
    ("prefix-only-signature", &["empty"]),
    ("truncated", &["cut", "missing", "bytes"]),
    ("v1a-tag", &["another version", "element"]),
    ("only-v2", &["element `v2`"]),
    ("only-v0", &["element `v0`"]),
    ("other-version-only", &["element `v2`"]),
    ("v2-tag", &["`v2"]),
    ("comma-separated", &["separated by `,`"]),
    ("key-not-decoded", &["taken as plain text"]),
    ("secret-not-decoded", &["taken as plain text"]),
    ("key-as-text", &["taken as plain text"]),
    ("base64-decoded", &["taken as base64"]),
    ("decoded-as-base64", &["taken as base64"]),
    ("hex-decoded", &["taken as hex", "decoded once more"]),
    ("key-not-hashed", &["not hashed"]),
    ("nfc-key", &["not normalised"]),
    ("without-ampersand", &["without anything appended"]),
    ("entity-not-decoded", &["HTML entities"]),
    ("whole-key-as-secret", &["whole `ID:KEY`"]),
    ("unknown-key-name", &["`ID:KEY`"]),
    ("wrong-key-id", &["`ID:KEY`"]),
    ("prefix-stripped", &["behind its prefix"]),
    ("claim-swapped", &["no near miss fits"]),
    ("url-swapped", &["no near miss fits"]),
    (
        "swapped",
        &["wrong order", "sent 2 times", "more than once"],
    ),
    ("http-instead-of-https", &["https instead of http"]),
    ("http-scheme", &["http instead of https"]),
    ("url-scheme-http", &["http instead of https"]),
    ("trailing-slash", &["`notification_url`"]),
    ("url-without-query", &["without the query"]),
    ("challenge-", &["could pass for a signature"]),
    ("newline", &["line break"]),
    ("crlf-trimmed", &["CRLF"]),
    ("real-delivery-compacted", &["pretty-printed"]),
    ("raw-r-s-signature", &["side by side"]),
    ("der-signature", &["DER", "not signed with it"]),
    ("signed-over-raw-body", &["the body alone"]),
    ("signed-raw-body", &["the body alone"]),
    ("decoded-json", &["form field alone"]),
    ("body-only", &["the body alone"]),
    ("timestamp-not-signed", &["the body alone"]),
    ("wrong-order", &["in this order"]),
    ("url-before-body", &["in this order"]),
    ("timestamp-before-body", &["in this order"]),
    ("dot-separator", &["with `.` between"]),
    ("dot-instead-of-colon", &["with `.` between"]),
    ("no-v0-prefix", &["otherwise than this provider does"]),
    (
        "version-missing-in-text",
        &["otherwise than this provider does"],
    ),
    ("in-seconds", &["in seconds", "millisecond"]),
    ("seconds-instead-of-ms", &["in seconds", "millisecond"]),
    ("stale", &[" s old", " s (", "expired"]),
    ("future", &["in the future", "becomes valid"]),
    ("key-expired", &["withdrawn"]),
    (
        "expired",
        &["expired", " s old", "not valid at this time", " days) old"],
    ),
    ("not-yet-valid", &["becomes valid"]),
    ("garbage-timestamp", &["no time in any form"]),
    (
        "non-numeric-timestamp",
        &["no time in any form", "written as"],
    ),
    ("wrong-audience", &["audience"]),
    ("audience-prefix", &["audience"]),
    ("wrong-issuer", &["issuer"]),
    ("wrong-tenant", &["claim"]),
    ("alg-none", &["not signed", "algorithm"]),
    ("alg-hs", &["algorithm"]),
    ("alg-rs512", &["algorithm"]),
    ("hs512-not-allowed", &["algorithm"]),
    ("two-parts", &["three parts"]),
    ("two-segments", &["three parts"]),
    ("unknown-kid", &["not in the key set"]),
    ("cert-host", &["host `"]),
    ("cert-userinfo", &["host `"]),
    ("cert-http", &["host `"]),
    ("cert-s3-bucket", &["host `"]),
    ("cert-other-service", &["host `"]),
    ("cert-self-signed", &["does not chain"]),
    ("cert-other-subject", &["another subject"]),
    ("cert-lookalike-subject", &["another subject"]),
    ("duplicate-signature", &["sent 2 times", "more than once"]),
    (
        "duplicated",
        &["sent 2 times", "more than once", "sent 3 times"],
    ),
    ("duplicate-header", &["sent 2 times", "more than once"]),
    ("empty-signature", &["no secret"]),
    ("empty-header", &["no secret"]),
    (
        "missing-signature-header",
        &["nothing like", "similar one", "no header is named"],
    ),
    (
        "missing-header",
        &["nothing like", "similar one", "no header"],
    ),
    ("missing-timestamp-header", &["nothing like", "similar one"]),
    (
        "missing-id",
        &[
            "nothing like",
            "similar one",
            "without what the proof needs",
        ],
    ),
    ("basic-wrong-password", &["the password"]),
    ("basic-wrong-user", &["the user"]),
    ("basic-empty-password", &["empty"]),
    ("basic-bearer", &["`Basic`"]),
    ("basic-not-base64", &["base64"]),
    ("bearer-without-scheme", &["without the word `Bearer`"]),
    ("bearer-basic-mixup", &["HTTP Basic", "`Basic`"]),
    ("bearer-case", &["case"]),
    ("bearer-prefix", &["it is cut"]),
    ("bearer-longer", &["too many"]),
    ("token-case", &["case"]),
    ("token-prefix", &["it is cut"]),
    ("token-longer", &["too many"]),
    ("query-case", &["case"]),
    ("query-prefix", &["it is cut"]),
    ("query-missing", &["query"]),
    ("nested-token", &["stands in the body"]),
    ("in-header", &["stands in header", "query"]),
    ("none-of-two", &["no near miss fits"]),
];
/// Near misses that are told otherwise, since something else is the matter as well.
const EXCEPTIONS: &[(&str, &str)] = &[
    // Three characters are too few to say that they are a part of the secret.
    ("shippo", "url-token-prefix"),
];
/// Fewest near misses that must be recognised.
const FLOOR: usize = 750;

/// What may be told of a forgery: that nothing fits, or what a forgery is.
const NO_CAUSE: [&str; 4] = [
    "no near miss fits",
    "what it vouches for is not what arrived",
    "not signed with it",
    "no hash of the body",
];
/// What white space in a tampered body may be taken for.
const REWRITTEN: [&str; 2] = [
    "the body was parsed and written",
    "white space was added around",
];

fn explained(catalogue: &Catalogue, provider: &str, vector: &Vector) -> Option<Vec<String>> {
    let provider = catalogue.get(provider).unwrap();
    // Where the configuration would not load, there is no delivery to explain.
    let prepared = vector.prepare(provider).ok()?;
    let rejected = prepared.verdict().err()?;
    let keys = prepared.keys().ok().flatten();
    let case = Case {
        provider,
        catalogue: Some(catalogue),
        scheme: prepared.scheme.as_deref(),
        secrets: &prepared.secrets,
        params: &prepared.params,
        param_secrets: &prepared.param_secrets,
        tolerance: prepared.tolerance,
        keys: keys.as_ref(),
        delivery: &prepared.delivery,
        now: prepared.now,
    };
    Some(explain(&case, &rejected))
}

fn all(catalogue: &Catalogue) -> Vec<Told> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let provider = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        let written: serde_json::Value = serde_json::from_str(&text).unwrap();
        let vectors = VectorFile::parse(&text).unwrap().vectors;
        for (vector, written) in vectors.iter().zip(written["vectors"].as_array().unwrap()) {
            if vector.valid() != Some(false) {
                continue;
            }
            if let Some(lines) = explained(catalogue, &provider, vector) {
                all.push(Told {
                    provider: provider.clone(),
                    name: vector.name.clone(),
                    why: written["why"].as_str().unwrap_or_default().to_owned(),
                    lines,
                });
            }
        }
    }
    all
}

#[test]
fn every_near_miss_is_recognised_and_no_forgery_is_taken_for_one() {
    let catalogue = Catalogue::builtin().unwrap();
    let all = all(&catalogue);
    let (mut covered, mut wrong) = (0, Vec::new());
    for told in &all {
        let at = format!("{}/{}", told.provider, told.name);
        let causes = told.lines.get(1..).unwrap_or_default();
        let says = |words: &[&str]| {
            let mut lines = causes.iter();
            lines.any(|line| words.iter().any(|words| line.contains(words)))
        };
        if told.name.contains("tampered") || told.name.contains("wrong-secret") {
            let rewritten = told.why.contains("byte") || told.why.contains("body");
            if causes.is_empty() || !(says(&NO_CAUSE) || (rewritten && says(&REWRITTEN))) {
                wrong.push(format!("{at} ({}): {:?}", told.why, told.lines));
            }
            continue;
        }
        let expected = NEAR_MISSES
            .iter()
            .find(|(words, _)| told.name.contains(words));
        if let Some((_, expected)) = expected
            && !EXCEPTIONS.contains(&(told.provider.as_str(), told.name.as_str()))
        {
            match says(expected) {
                true => covered += 1,
                false => wrong.push(format!("{at} ({}): {:?}", told.why, told.lines)),
            }
        }
    }
    let silent: Vec<String> = all
        .iter()
        .filter(|told| told.lines.len() < 2)
        .map(|told| format!("{}/{}: {:?}", told.provider, told.name, told.lines))
        .collect();
    println!(
        "{covered} near misses are recognised, of {} refusals",
        all.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        silent.len() <= 8,
        "nothing is told of {}",
        silent.join("\n")
    );
    assert!(
        covered >= FLOOR,
        "only {covered} near misses are recognised"
    );
}
