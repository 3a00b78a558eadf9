//! The published vectors: every file under `tests/vectors/` runs against the definition of its name.
//!
//! The facts and vectors were gathered from the vendors' documentation and SDKs; each file says
//! where from. A new file is picked up by itself.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use hookgate::provider::Catalogue;
use hookgate::provider::vector::VectorFile;

fn files() -> BTreeMap<String, VectorFile> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        files.insert(name, VectorFile::parse(&text).unwrap());
    }
    files
}

#[test]
fn every_published_vector_comes_out_as_it_says() {
    let catalogue = Catalogue::builtin().unwrap();
    let mut failures = Vec::new();
    let mut count = 0;
    for (name, file) in files() {
        let provider = catalogue
            .get(&name)
            .unwrap_or_else(|| panic!("no definition of {name}"));
        for vector in file.vectors.iter().chain(&file.handshake_vectors) {
            count += 1;
            if let Err(failure) = vector.run(provider) {
                failures.push(format!("{name}/{}: {failure}", vector.name));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(count >= 1900, "only {count} vectors were found");
}

#[test]
fn every_definition_passes_its_own_vectors() {
    for provider in Catalogue::builtin().unwrap().iter() {
        for vector in provider.vectors() {
            let result = vector.run(provider);
            assert_eq!(result, Ok(()), "{}/{}", provider.name, vector.name);
        }
    }
}

#[test]
fn every_definition_has_published_vectors_too() {
    let files = files();
    for name in Catalogue::builtin().unwrap().names() {
        assert!(
            files.contains_key(name),
            "tests/vectors/{name}.json is missing"
        );
    }
}

/// The reason of each refusal is part of the contract: operators alert on it.
#[test]
fn refusals_give_the_precise_reason() {
    let catalogue = Catalogue::builtin().unwrap();
    let files = files();
    let reason = |name: &str, vector: &str| {
        let vectors = &files[name].vectors;
        let vector = vectors.iter().find(|one| one.name == vector).unwrap();
        vector.outcome(catalogue.get(name).unwrap())
    };
    for (name, vector, expected) in [
        ("github", "wrong-secret", "invalid (signature_mismatch)"),
        ("github", "missing-header", "invalid (signature_missing)"),
        ("github", "prefix-missing", "invalid (signature_malformed)"),
        ("github", "uppercase-hex", "invalid (signature_malformed)"),
        (
            "github",
            "duplicated-header",
            "invalid (signature_ambiguous)",
        ),
        ("github", "sha1-only", "invalid (signature_missing)"),
        ("stripe", "stale", "invalid (timestamp_stale)"),
        ("stripe", "no-timestamp", "invalid (timestamp_missing)"),
        (
            "stripe",
            "two-timestamps-replay",
            "invalid (signature_ambiguous)",
        ),
        ("stripe", "only-v0", "invalid (signature_missing)"),
        ("slack", "future-timestamp", "invalid (timestamp_future)"),
        (
            "slack",
            "non-numeric-timestamp",
            "invalid (timestamp_malformed)",
        ),
        (
            "slack",
            "missing-timestamp-header",
            "invalid (timestamp_missing)",
        ),
        ("shopify", "empty-body", "invalid (body_malformed, 400)"),
        ("gitlab", "token-wrong", "invalid (token_invalid)"),
        ("gitlab", "token-missing", "invalid (signature_missing)"),
        (
            "gitlab",
            "token-duplicated",
            "invalid (signature_ambiguous)",
        ),
        (
            "twilio",
            "json-body-tampered",
            "invalid (signature_mismatch)",
        ),
        (
            "discord",
            "all-zero-signature",
            "invalid (signature_mismatch)",
        ),
        (
            "discord",
            "truncated-signature",
            "invalid (signature_malformed)",
        ),
    ] {
        assert_eq!(reason(name, vector), expected, "{name}/{vector}");
    }
}
