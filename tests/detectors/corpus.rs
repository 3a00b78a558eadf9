//! The texts of real sample events: what the vectors and the definitions of all providers hold.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A text of the corpus: a string, a key or a number of a body, or a body that is neither JSON nor form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Text {
    pub(crate) provider: String,
    pub(crate) text: String,
}

/// Returns the bodies of all sample events, each once, with their provider.
pub(crate) fn bodies() -> BTreeSet<(String, String)> {
    let mut bodies = BTreeSet::new();
    for (name, text) in files("tests/vectors") {
        let file: Value = serde_json::from_str(&text).unwrap();
        for vectors in ["vectors", "handshake_vectors"] {
            let vectors = file[vectors].as_array().into_iter().flatten();
            let texts = vectors.filter_map(|vector| vector["body"].as_str());
            bodies.extend(texts.map(|body| (name.clone(), body.to_owned())));
        }
    }
    for (name, text) in files("providers") {
        let file: toml::Table = toml::from_str(&text).unwrap();
        let vectors = file.get("vector").and_then(|vectors| vectors.as_array());
        let bodies_of = vectors
            .into_iter()
            .flatten()
            .filter_map(|vector| vector.get("body"));
        let texts = bodies_of.filter_map(|body| body.as_str());
        bodies.extend(texts.map(|body| (name.clone(), body.to_owned())));
    }
    bodies
}

/// Returns the files of a directory with their names.
fn files(directory: &str) -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let paths = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap();
        (name.to_owned(), fs::read_to_string(&path).unwrap())
    };
    paths.map(read).collect()
}

/// Returns every text of the bodies, each once for a provider.
pub(crate) fn texts() -> BTreeSet<Text> {
    let mut texts = BTreeSet::new();
    for (provider, body) in bodies() {
        read(&body, &mut |text| {
            texts.insert(Text {
                provider: provider.clone(),
                text: text.to_owned(),
            });
        });
    }
    texts
}

/// Calls `each` with the texts of a body, those of JSON within strings included.
fn read(body: &str, each: &mut impl FnMut(&str)) {
    match serde_json::from_str(body) {
        Ok(value) => walk(&value, each),
        Err(_) if is_form(body) => {
            for (name, value) in form_urlencoded::parse(body.as_bytes()) {
                each(&name);
                read_string(&value, each);
            }
        }
        Err(_) => each(body),
    }
}

fn is_form(body: &str) -> bool {
    let name = body.split_once('=').map_or("", |(name, _)| name);
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_-[]%.".contains(c);
    !name.is_empty() && name.chars().all(is_part) && !body.contains(char::is_whitespace)
}

fn walk(value: &Value, each: &mut impl FnMut(&str)) {
    match value {
        Value::Null | Value::Bool(_) => {}
        Value::Number(number) => each(&number.to_string()),
        Value::String(text) => read_string(text, each),
        Value::Array(items) => items.iter().for_each(|item| walk(item, each)),
        Value::Object(members) => {
            for (key, value) in members {
                each(key);
                walk(value, each);
            }
        }
    }
}

fn read_string(text: &str, each: &mut impl FnMut(&str)) {
    match text.starts_with(['{', '[']) && serde_json::from_str::<Value>(text).is_ok() {
        true => read(text, each),
        false => each(text),
    }
}
