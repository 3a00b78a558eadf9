//! Keeps the documents honest: what they name exists, and what exists is named. Needs no server.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use hookgate::config::Config;
use hookgate::provider::Provider;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the files under a directory whose names end so, as paths from the root.
fn files(directory: &str, ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join(directory)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{directory}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&path, ending));
        } else if path.ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Returns every page of documentation, as paths from the root.
fn pages() -> Vec<String> {
    let at_root = [
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
    ];
    let mut pages: Vec<String> = at_root.map(str::to_owned).into();
    pages.extend(files("docs", ".md"));
    pages
}

/// Returns the code blocks of a page that are marked with a language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let after = text.split(fence.as_str()).skip(1);
    after
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

/// Returns a page without its code blocks.
fn prose(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

/// Returns the words of a text that are made of these characters and begin so.
fn words<'t>(text: &'t str, beginning: &str, part: fn(char) -> bool) -> BTreeSet<&'t str> {
    text.split(|c| !part(c))
        .filter(|word| word.starts_with(beginning))
        .collect()
}

#[test]
fn every_metric_is_documented_and_every_documented_metric_exists() {
    let plain = |c: char| c.is_ascii_lowercase() || c == '_';
    let (code, page) = (read("src/metrics.rs"), read("docs/OPERATIONS.md"));
    let exist = words(&code, "hookgate_", plain);
    let named = words(&page, "hookgate_", plain);
    assert!(exist.len() > 10, "{exist:?}");
    assert_eq!(named, exist);
    for name in exist {
        let row = format!("\n| `{name}` |");
        assert!(page.contains(&row), "{name} has no row");
    }
}

#[test]
fn every_outcome_and_reason_is_documented() {
    let page = read("docs/OPERATIONS.md");
    let code = read("src/outcome.rs");
    let table = code.split("impl Rejected").nth(1).unwrap();
    let table = table.split("pub fn reason").next().unwrap();
    let reasons: Vec<&str> = table.split('"').skip(1).step_by(2).collect();
    assert!(reasons.len() > 20, "{reasons:?}");
    let outcomes = ["accepted", "duplicate", "replayed", "filtered", "handshake"];
    for word in reasons.into_iter().chain(outcomes) {
        assert!(page.contains(&format!("`{word}`")), "{word}");
    }
}

#[test]
fn every_provider_has_its_row_in_the_readme() {
    let page = read("README.md");
    let mut rows = BTreeSet::new();
    let section = page.split("\n## Providers\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    for row in section.lines().filter_map(|line| line.strip_prefix("| `")) {
        rows.insert(row.split('`').next().unwrap().to_owned());
    }
    let files = files("providers", ".toml");
    let stem = |file: &String| {
        file["providers/".len()..]
            .trim_end_matches(".toml")
            .to_owned()
    };
    let names: BTreeSet<String> = files.iter().map(stem).collect();
    assert_eq!(rows, names);
}

#[test]
fn every_relative_link_leads_somewhere() {
    for page in pages() {
        let text = prose(&read(&page));
        for target in text.split("](").skip(1) {
            let target = target.split(')').next().unwrap();
            if target.contains("://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let directory = Path::new(&page).parent().unwrap();
            let path = match file {
                "" => page.clone(),
                file => directory.join(file).to_str().unwrap().to_owned(),
            };
            assert!(root().join(&path).exists(), "{page}: {target}");
            if !anchor.is_empty() {
                assert!(anchors(&read(&path)).contains(anchor), "{page}: {target}");
            }
        }
    }
}

/// Returns the anchors of a page's headings, as they are made of them by those who show it.
fn anchors(page: &str) -> BTreeSet<String> {
    let page = prose(page);
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let title = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = title
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn the_worker_of_the_readme_is_the_one_of_the_examples() {
    assert_eq!(
        blocks(&read("README.md"), "python"),
        [read("examples/worker.py")]
    );
}

#[test]
fn the_configurations_of_the_readme_load() {
    let names = [
        "ACME_STRIPE_SECRET",
        "ACME_GITHUB_OLD",
        "REDIS_URL",
        "AMQP_URL",
    ];
    let values = ["whsec_x", "secret-of-before", "redis://h", "amqp://h"];
    let environment: BTreeMap<String, String> = names
        .map(str::to_owned)
        .into_iter()
        .zip(values.map(str::to_owned))
        .collect();
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("acme-github");
    fs::write(&secret, "secret-of-now").unwrap();
    let blocks = blocks(&read("README.md"), "toml");
    assert_eq!(blocks.len(), 2);
    for block in blocks {
        let text = block.replace("/run/secrets/acme-github", secret.to_str().unwrap());
        let config = Config::parse(&text, "README.md", directory.path(), &environment);
        let config = config.unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(config.warnings, [""; 0]);
    }
}

#[test]
fn the_definition_of_the_page_on_providers_passes_its_vectors() {
    let blocks = blocks(&read("docs/PROVIDERS.md"), "toml");
    let provider = Provider::parse("docs/PROVIDERS.md", &blocks[0])
        .unwrap()
        .into();
    let vectors = |provider: &std::sync::Arc<Provider>| provider.vectors().to_vec();
    assert!(vectors(&provider).len() > 1);
    for vector in vectors(&provider) {
        assert_eq!(vector.run(&provider), Ok(()), "{}", vector.name);
    }
}

#[test]
fn every_key_of_a_definition_is_documented() {
    let page = read("docs/PROVIDERS.md");
    let code = read("src/provider/definition.rs");
    let mut renamed = None;
    let mut keys = Vec::new();
    for line in code.lines().map(str::trim) {
        if let Some((_, name)) = line.split_once("rename = \"") {
            renamed = name.split('"').next();
        }
        if let Some((name, _)) = line
            .strip_prefix("pub(crate) ")
            .and_then(|field| field.split_once(": "))
        {
            keys.push(renamed.take().unwrap_or(name));
        }
    }
    assert!(keys.len() > 40, "{keys:?}");
    for key in keys {
        // As a key in backquotes, or as the name of a table.
        let forms = [
            format!("`{key}`"),
            format!("[{key}]"),
            format!("`tag.{key}`"),
        ];
        assert!(forms.iter().any(|form| page.contains(form)), "{key}");
    }
}

#[test]
fn every_bound_of_the_page_on_architecture_is_in_its_file() {
    let page = read("docs/ARCHITECTURE.md");
    let mut count = 0;
    for row in page.lines().filter(|line| line.contains(" | src/")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let (name, file) = (cells[1].trim_matches('`'), cells[2]);
        let constant = format!("const {name}: ");
        assert!(read(file).contains(&constant), "{file} has no {name}");
        count += 1;
    }
    assert!(count > 25, "only {count} bounds were found");
}

#[test]
fn every_test_that_the_readme_names_exists() {
    let page = prose(&read("README.md"));
    let part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let quoted = page.split('`').skip(1).step_by(2);
    let named: Vec<&str> = quoted
        .filter(|word| word.matches('_').count() >= 4 && word.chars().all(part))
        .collect();
    assert!(named.len() > 8, "{named:?}");
    let code: String = [files("src", ".rs"), files("tests", ".rs")]
        .concat()
        .iter()
        .map(|file| read(file))
        .collect();
    for name in named {
        assert!(code.contains(&format!("fn {name}(")), "there is no {name}");
    }
}
