//! Keeps the documents honest: what they name exists, and what exists is named. Needs no server.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use hookgate::config::{Config, Environment};
use hookgate::provider::Catalogue;
use hookgate::provider::vector::Vector;
use secrecy::ExposeSecret;

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
fn every_name_of_a_profile_is_documented() {
    use hookgate::redact::{Action, DEFAULT_KEYS, PAYMENT_KEYS, PERSONAL_KEYS, Profile};
    let page = read("docs/REDACTION.md");
    let lists = [DEFAULT_KEYS, PAYMENT_KEYS, PERSONAL_KEYS];
    let profiles = Profile::WORDS.map(|(word, _)| word);
    let actions = Action::WORDS.map(|(word, _)| word);
    let words = lists.into_iter().flatten().chain(&profiles).chain(&actions);
    for word in words {
        assert!(page.contains(&format!("`{word}`")), "{word}");
    }
}

/// Returns the names of the definitions, as their files are called.
fn providers() -> BTreeSet<String> {
    let stem = |file: &String| {
        file["providers/".len()..]
            .trim_end_matches(".toml")
            .to_owned()
    };
    files("providers", ".toml").iter().map(stem).collect()
}

#[test]
fn the_readme_counts_the_providers_and_leads_to_their_pages() {
    let page = read("README.md");
    let section = page.split("\n## Providers\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let count = format!("\n{} definitions are built in", providers().len());
    assert!(section.contains(&count), "there are {}", providers().len());
    assert!(section.contains("](docs/providers/README.md)"));
}

#[test]
fn the_pages_of_the_providers_are_those_of_their_definitions() {
    const RENEW: &str = "`make docs` makes the pages anew";
    let directory = tempfile::tempdir().unwrap();
    let made = std::process::Command::new(env!("CARGO_BIN_EXE_hookgate"))
        .args(["providers", "docs"])
        .arg(directory.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let mut expected = BTreeSet::new();
    for entry in fs::read_dir(directory.path()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let kept = fs::read_to_string(root().join("docs/providers").join(&name));
        let kept = kept.unwrap_or_else(|_| panic!("docs/providers/{name} is missing: {RENEW}"));
        let fresh = fs::read_to_string(entry.path()).unwrap();
        assert!(kept == fresh, "docs/providers/{name} is stale: {RENEW}");
        expected.insert(format!("docs/providers/{name}"));
    }
    let kept: BTreeSet<String> = files("docs/providers", "").into_iter().collect();
    let left_over: Vec<_> = kept.difference(&expected).collect();
    assert!(
        left_over.is_empty(),
        "{left_over:?} belong to no definition: {RENEW}"
    );
    assert_eq!(expected.len(), providers().len() + 1);
}

/// An environment in which every variable is set, to the same text.
#[derive(Debug)]
struct Everything<'t>(&'t str);

impl Environment for Everything<'_> {
    fn variable(&self, _: &str) -> Option<OsString> {
        Some(self.0.into())
    }
}

#[test]
fn the_endpoint_of_every_page_loads() {
    let catalogue = Catalogue::builtin().unwrap();
    for one in catalogue.iter() {
        let block = blocks(&read(&format!("docs/providers/{}.md", one.name)), "toml");
        let block = format!(
            "[server]\npublic_url = \"https://hooks.example.com\"\n{}",
            block[0]
        );
        // What a secret looks like differs; the vectors know.
        let configured = one.vectors().iter().flat_map(Vector::configured);
        let configured = configured.map(|secret| secret.expose_secret().to_owned());
        let invented = ["user:password", "id:00000000", "0123456789abcdef"].map(str::to_owned);
        let mut told = String::new();
        let loads = configured.chain(invented).any(|secret| {
            let config = Config::parse(&block, "page", Path::new(""), &Everything(&secret));
            config
                .map_err(|problems| told = problems.to_string())
                .is_ok()
        });
        assert!(loads, "{}: {told}\n{block}", one.name);
    }
}

#[test]
fn the_secrets_of_the_example_come_from_files_where_they_are_mounted() {
    let block = blocks(&read("docs/SECRETS.md"), "toml").concat();
    let directory = tempfile::tempdir().unwrap();
    let mounted = directory.path().to_str().unwrap();
    let references = block.split("\"file:").skip(1);
    let paths: Vec<&str> = references
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    assert!(paths.len() > 3, "{paths:?}");
    for path in paths {
        let file = PathBuf::from(format!("{mounted}{path}"));
        let secret = match file.file_name().unwrap().to_str().unwrap() {
            "redis-url" => "redis://:password@redis:6379\n".to_owned(),
            "amqp-url" => "amqp://user:password@rabbit:5672/%2f\n".to_owned(),
            name => format!("the secret {name} of this test\n"),
        };
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, secret).unwrap();
    }
    let text = block.replace("\"file:", &format!("\"file:{mounted}"));
    let config = Config::parse(&text, "page", directory.path(), &Everything("unused")).unwrap();
    assert_eq!(config.warnings, [] as [String; 0]);
    let shown: Vec<&str> = config.endpoints[0]
        .secrets
        .iter()
        .map(|secret| secret.expose_secret())
        .collect();
    let wanted = [
        "the secret stripe of this test",
        "the secret stripe-next of this test",
    ];
    assert_eq!(shown, wanted);
    assert!(config.endpoints[0].shared.pseudonym_key.is_some());
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
    let [shown] = &blocks(&read("README.md"), "python")[..] else {
        panic!("the readme shows one worker");
    };
    assert!(read("examples/worker.py").contains(shown), "{shown}");
}

#[test]
fn the_example_workers_take_the_same_settings_and_keep_the_same_tables() {
    let all = ["py", "mjs", "rs"].map(|ending| read(&format!("examples/worker.{ending}")));
    let tables = |code: &str| -> Vec<String> {
        let lines = code.lines().map(str::trim);
        let created = lines.filter(|line| line.starts_with("CREATE TABLE"));
        created
            .map(|line| line[..line.find(';').unwrap()].to_owned())
            .collect()
    };
    for code in &all {
        for setting in ["AMQP_URL", "QUEUE", "DB", "SIGNED_BY", "OPEN_WITH"] {
            assert!(code.contains(setting), "{setting}");
        }
        assert_eq!(tables(code), tables(&all[0]));
        assert_eq!(tables(code).len(), 2);
    }
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
fn the_definition_of_the_page_on_providers_passes_its_vectors_and_its_mistakes_are_told() {
    let page = read("docs/PROVIDERS.md");
    let definition = &blocks(&page, "toml")[0];
    let directory = tempfile::tempdir().unwrap();
    let test = |definition: &str| {
        fs::write(directory.path().join("acorn.toml"), definition).unwrap();
        let ran = std::process::Command::new(env!("CARGO_BIN_EXE_hookgate"))
            .args(["providers", "test", "--definition", "acorn.toml"])
            .current_dir(directory.path())
            .output()
            .unwrap();
        String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap()
    };
    let signed = "{header:Acorn-Timestamp}.{body}";
    assert!(definition.contains(signed));
    let told = blocks(&page, "text");
    assert_eq!(test(definition), told[0]);
    assert_eq!(test(&definition.replace(signed, "{body}")), told[1]);
    let turned = "{body}.{header:Acorn-Timestamp}";
    assert_eq!(test(&definition.replace(signed, turned)), told[2]);
}

/// Returns a section of the page on providers, by its heading.
fn section(heading: &str) -> String {
    let page = read("docs/PROVIDERS.md");
    let rest = page.split(&format!("\n{heading}\n")).nth(1);
    let rest = rest.unwrap_or_else(|| panic!("there is no {heading:?}"));
    rest.split("\n#").next().unwrap().to_owned()
}

/// Tells whether one of the section's rows is about `word`: it stands in the first cell, by itself,
/// behind the name of its table, or as a table.
fn has_row(section: &str, word: &str) -> bool {
    let rows = section.lines().filter_map(|line| line.strip_prefix("| "));
    let mut cells = rows.filter_map(|row| row.split(" | ").next());
    cells.any(|cell| {
        let mut quoted = cell.split('`').skip(1).step_by(2);
        quoted.any(|one| {
            let plain = one.trim_matches(['[', ']']);
            plain == word || plain.ends_with(&format!(".{word}")) || plain == format!("{word}.NAME")
        })
    })
}

/// Returns the keys of every struct of a file that is read from TOML or JSON, by its name.
fn keys_of(file: &str) -> BTreeMap<String, Vec<String>> {
    let code = read(file);
    let code = code.split("#[cfg(test)]").next().unwrap();
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (mut reads, mut within, mut renamed) = (false, None, None);
    for line in code.lines() {
        let text = line.trim();
        if text.starts_with("#[derive(") {
            reads = text.contains("Deserialize");
        } else if let Some((_, rest)) = line.split_once("struct ").filter(|_| reads) {
            within = rest.strip_suffix(" {").map(str::to_owned);
        } else if line.starts_with('}') {
            within = None;
        } else if text.starts_with("#[serde(") {
            let rename = text.split_once("rename = \"").map(|(_, name)| name);
            renamed = rename.and_then(|name| name.split('"').next());
            if text.contains("flatten") || text.contains("skip") {
                renamed = Some("");
            }
        } else if let (Some(name), Some((field, _))) = (&within, text.split_once(": "))
            && line.starts_with("    ")
            && !text.starts_with("//")
        {
            let field = field.rsplit(' ').next().unwrap();
            let key = renamed.take().unwrap_or(field);
            if !key.is_empty() {
                keys.entry(name.clone()).or_default().push(key.to_owned());
            }
        }
    }
    keys
}

#[test]
fn every_key_of_a_definition_has_its_row() {
    let sections = [
        ("Definition", "### At the top of the file"),
        ("ParamRule", "### Settings"),
        ("RawScheme", "### Schemes"),
        ("RawWhen", "### Conditions"),
        ("RawKey", "### Keys of an endpoint"),
        ("RawKeys", "### Published keys"),
        ("RawTag", "### Tags"),
        ("RawPairs", "### Tags"),
        ("RawList", "### Tags"),
        ("RawJwt", "### JSON Web Tokens"),
        ("RawTimestamp", "### Time"),
        ("RawEvent", "### Events"),
        ("RawTime", "### Events"),
        ("RawHandshake", "### Handshakes"),
        ("RawHandshakeToken", "### Handshakes"),
        ("RawChallenge", "### Handshakes"),
        ("RawConfirm", "### Handshakes"),
        ("RawAnswer", "### Answer and sample"),
        ("RawSample", "### Answer and sample"),
        ("Vector", "### Vectors"),
        ("RecordedDelivery", "### Vectors"),
        ("Setup", "### Vectors"),
    ];
    let sections = BTreeMap::from(sections);
    let mut count = 0;
    for file in [
        "src/provider/definition.rs",
        "src/provider/settings.rs",
        "src/provider/vector.rs",
        "src/provider/vector/setup.rs",
    ] {
        for (table, keys) in keys_of(file) {
            // What becomes of a vector file, and of an answer in it, is said in a sentence.
            if matches!(table.as_str(), "VectorFile" | "ExpectedReply") {
                continue;
            }
            let heading = sections.get(table.as_str());
            let heading = heading.unwrap_or_else(|| panic!("{table} has no section"));
            let section = section(heading);
            for key in keys {
                assert!(
                    has_row(&section, &key),
                    "`{key}` of {table} has no row under {heading}"
                );
                count += 1;
            }
        }
    }
    assert!(count > 120, "only {count} keys were found");
}

/// Returns how the variants of an enum are written in a definition.
fn words_of(file: &str, name: &str) -> Vec<String> {
    let code = read(file);
    let (before, rest) = code.split_once(&format!("enum {name} {{\n")).unwrap();
    let attributes = before.rsplit("#[derive(").next().unwrap();
    let kebab = attributes.contains("kebab-case");
    let kept = !attributes.contains("rename_all");
    let (mut words, mut renamed) = (Vec::new(), None);
    for line in rest.split("\n}").next().unwrap().lines().map(str::trim) {
        if let Some((_, name)) = line.split_once("rename = \"") {
            renamed = name.split('"').next().map(str::to_owned);
        } else if line.starts_with(|c: char| c.is_ascii_uppercase()) {
            let variant = line.trim_end_matches(',');
            let mut word = String::new();
            for c in variant.chars() {
                if kebab && c.is_ascii_uppercase() && !word.is_empty() {
                    word.push('-');
                }
                word.push(if kept { c } else { c.to_ascii_lowercase() });
            }
            words.push(renamed.take().unwrap_or(word));
        }
    }
    words
}

#[test]
fn every_word_that_a_definition_can_choose_is_documented() {
    const DEFINITION: &str = "src/provider/definition.rs";
    for (file, name, heading) in [
        (DEFINITION, "Kind", "### Schemes"),
        (DEFINITION, "Normalization", "### Keys of an endpoint"),
        (DEFINITION, "SignatureForm", "### Tags"),
        (DEFINITION, "IdNames", "### Events"),
        (DEFINITION, "IdenticalContent", "### Events"),
        ("src/provider/settings.rs", "ParamKind", "### Settings"),
        ("src/verify/key.rs", "Hash", "### Schemes"),
        (
            "src/verify/key.rs",
            "KeyEncoding",
            "### Keys of an endpoint",
        ),
        ("src/verify/tag.rs", "Encoding", "### Tags"),
        ("src/verify/scheme/time.rs", "TimestampUnit", "### Time"),
        ("src/verify/scheme/url.rs", "UrlForm", "### Schemes"),
        ("src/verify/jws.rs", "JwsAlgorithm", "### JSON Web Tokens"),
        (
            "src/verify/public_key/set.rs",
            "KeyFormat",
            "### Published keys",
        ),
    ] {
        let (words, section) = (words_of(file, name), section(heading));
        assert!(!words.is_empty(), "{name}");
        for word in words {
            let known = section.contains(&format!("`{word}`"));
            assert!(known, "`{word}` of {name} is not under {heading}");
        }
    }
}

/// Returns the words that the arms of a `match` are about, in the text of a function.
fn arms(file: &str, from: &str, to: &str) -> BTreeSet<String> {
    let code = read(file);
    let body = code.split(from).nth(1).unwrap().split(to).next().unwrap();
    let arms = body.lines().filter_map(|line| line.split_once(" =>"));
    let words = arms.filter_map(|(pattern, _)| {
        pattern
            .trim()
            .trim_start_matches("Some(")
            .strip_prefix(['(', '"'])
    });
    let words = words.map(|word| word.trim_start_matches('"'));
    words
        .map(|word| word.split('"').next().unwrap().to_owned())
        .collect()
}

#[test]
fn every_piece_and_every_filter_has_its_row() {
    let rows = |heading: &str| section(heading);
    let pieces = arms(
        "src/verify/template/source.rs",
        "pub(super) fn compile",
        "=> return Err",
    );
    assert!(pieces.len() > 20, "{pieces:?}");
    let section = rows("### Pieces");
    for piece in pieces {
        let forms = [format!("`{{{piece}}}`"), format!("`{{{piece}:")];
        let first_cells = section
            .lines()
            .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
        let known = first_cells
            .into_iter()
            .any(|cell| forms.iter().any(|form| cell.contains(form.as_str())));
        assert!(known, "{{{piece}}} has no row");
    }
    let mut filters = arms(
        "src/verify/template/filter.rs",
        "pub(super) fn compile",
        "return Err",
    );
    filters.extend(arms(
        "src/verify/template.rs",
        "fn compile_piece",
        "filter =>",
    ));
    assert!(filters.len() > 10, "{filters:?}");
    let section = rows("### Filters");
    for filter in filters {
        let known = has_row(&section, &filter) || has_row(&section, &format!("{filter}:NAME"));
        assert!(known, "|{filter} has no row");
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

#[test]
fn every_test_that_the_table_of_failures_names_exists() {
    let page = read("docs/OPERATIONS.md");
    let table = page.split("\n## When something fails\n").nth(1).unwrap();
    let table = table.split("\n## ").next().unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| "));
    let mut count = 0;
    for row in rows.skip(2) {
        let shown_by = row
            .trim_end_matches([' ', '|'])
            .rsplit(" | ")
            .next()
            .unwrap();
        let named: Vec<_> = shown_by.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "no test shows: {row}");
        for test in named {
            let (file, name) = test.split_once("::").unwrap_or_else(|| panic!("{test}"));
            let exists = read(file).contains(&format!("fn {name}("));
            assert!(exists, "there is no {test}");
            count += 1;
        }
    }
    assert!(count > 25, "only {count} tests were found");
}
