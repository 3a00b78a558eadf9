//! Writes the seeds of the fuzz target, a delivery for every shape that a proof can have:
//! `cargo test --test properties -- --ignored` after a definition of a new kind was added.

use std::collections::BTreeSet;
use std::path::Path;

use crate::cases::{Case, SEED, cases};
use crate::pieces::{Piece, proof};

#[test]
#[ignore = "writes files"]
fn the_seeds_of_the_fuzz_target_are_written() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/delivery");
    let mut shapes = BTreeSet::new();
    let write = |name: &str, seed: &[u8]| std::fs::write(directory.join(name), seed).unwrap();
    for case in cases().into_iter().filter(|case| !case.is_recorded()) {
        if shapes.insert(shape(&case)) {
            let name = case.to_string().replace('/', "-").replace(['[', ']'], "");
            write(&format!("sample-{name}"), &seed(&case));
        }
    }
    assert!(shapes.len() >= 40, "only {} shapes", shapes.len());

    write("batch-lines", b"b/* lines\n{\"a\":1}\n{\"a\":[2]}\n");
    write(
        "batch-nested",
        b"b/e/* /x/*;/c/* /d/*\n{\"e\":[{\"c\":[1,\"]\"]},{\"d\":[]}],\"x\":[]}",
    );
    write("form", b"fmultipart/form-data; boundary=\"xYz\"\n--xYz\r\nContent-Disposition: form-data; name=\"a\\\"b\"; \
        filename=c\r\nContent-Type: text/plain\r\n\r\n1\r\n--xYz--\r\n");
    for name in ["messagebird/jwt", "plaid/jwt"] {
        let case = cases()
            .into_iter()
            .find(|case| case.to_string() == name)
            .unwrap();
        let delivery = case.signed(&SEED);
        let header = case.proof_headers(&delivery).remove(0);
        let token = delivery.headers[&header].as_bytes();
        write(
            &format!("token-{}", case.provider.name),
            &[b"j", token].concat(),
        );
    }
    let mut keys = BTreeSet::new();
    for name in [
        "hmac",
        "aws-sns",
        "azure-event-grid",
        "google-health",
        "paypal",
        "plaid",
    ] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("providers/{name}.toml"));
        let text = std::fs::read_to_string(file).unwrap();
        find_keys(&toml::Value::Table(text.parse().unwrap()), &mut keys);
        if let "hmac" | "azure-event-grid" = name {
            let set = "signed={header:x-time}.{body}\ntimestamp_header=x-time\ntenant=common\n\n";
            write(
                &format!("definition-{name}"),
                format!("p{set}{text}").as_bytes(),
            );
        }
    }
    for (format, document) in keys {
        write(
            &format!("keys-{format}"),
            format!("k{format}\n{document}").as_bytes(),
        );
    }
}

/// What a scheme looks like without the names in it.
fn shape(case: &Case) -> String {
    let scheme = &case.scheme;
    let text = format!("{:?} {:?}", scheme.proof, scheme.signed);
    let unquoted = text.split('"').step_by(2);
    let words = unquoted.flat_map(|text| text.split(|char: char| !char.is_ascii_alphabetic()));
    // How many there are of what does not matter.
    let words: BTreeSet<&str> = words.collect();
    format!("{words:?} {}", case.sample().media_type())
}

/// Writes a request as the target reads it. What is signed again there is not signed here where it
/// would stand twice.
fn seed(case: &Case) -> Vec<u8> {
    let signed = case.signed(&SEED);
    let headers_only = proof(case, &signed)
        .iter()
        .all(|piece| matches!(piece, Piece::Header(_)));
    let delivery = if headers_only { signed } else { case.sample() };
    let url = match delivery.url.contains('?') && case.scheme.when.query.is_none() {
        true => delivery.url.as_str(),
        false => "",
    };
    let mut seed = format!("d{case}\n{url}\n").into_bytes();
    for (name, value) in &delivery.headers {
        seed.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\n"].concat());
    }
    seed.push(b'\n');
    seed.extend(&delivery.body);
    seed
}

/// Finds documents of keys among a definition's vectors, one of each kind.
fn find_keys(value: &toml::Value, found: &mut BTreeSet<(&'static str, String)>) {
    let mut add = |format: &'static str, document: String| {
        if !found.iter().any(|(known, _)| *known == format) {
            found.insert((format, document));
        }
    };
    match value {
        toml::Value::String(text) if text.starts_with("-----BEGIN CERTIFICATE") => {
            add("x509", text.clone());
        }
        toml::Value::String(text) if text.contains("primaryKeyId") => add("tink", text.clone()),
        toml::Value::Table(table) if table.contains_key("primaryKeyId") => {
            add("tink", serde_json::to_string(table).unwrap());
        }
        toml::Value::Table(table) if table.contains_key("keys") && table["keys"].is_array() => {
            add("jwks", serde_json::to_string(table).unwrap());
        }
        toml::Value::Table(table) => table.values().for_each(|one| find_keys(one, found)),
        toml::Value::Array(array) => array.iter().for_each(|one| find_keys(one, found)),
        _ => {}
    }
}
